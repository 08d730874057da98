// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {EpochRoot, Resolution} from "../../src/interfaces/Types.sol";
import {FourHyperNodes} from "../support/Network.sol";

contract EpochsDisputeTest is FourHyperNodes {
    address private provider = address(0xabc);
    address private disputer = address(0xd15);

    function setUp() public override {
        super.setUp();
        give(disputer, address(epochs), 1000 ether);
    }

    function dispute(uint64 epoch) private {
        vm.prank(disputer);
        epochs.dispute(epoch);
    }

    function refusedDispute(uint64 epoch, bytes memory failure) private {
        vm.prank(disputer);
        vm.expectRevert(failure);
        epochs.dispute(epoch);
    }

    function test_dispute() public {
        for (uint64 e; e < 4; ++e) {
            postReward(e, provider, 1 ether);
        }
        uint64 untilMs = epochs.epochRecord(1).finalAtMs + EXTENSION_MS;
        vm.warp(epochs.epochRecord(1).finalAtMs / 1000 - 1);
        vm.expectEmit(true, true, true, true, address(epochs));
        emit IAssayEpochs.Disputed(1, disputer, BOND, untilMs, 3);
        dispute(1);
        vm.assertTrue(epochs.isFinal(0), "the one before");
        for (uint64 e = 1; e < 4; ++e) {
            vm.assertEq(epochs.epochRecord(e).finalAtMs, untilMs, "kept open");
        }
        vm.assertEq(epochs.disputeOf(1).by, disputer, "by");
        vm.assertEq(token.balanceOf(disputer), 900 ether, "bond");
        vm.assertEq(epochs.totalHeld(), token.balanceOf(address(epochs)), "held");
        toEndOf(4 + 7 * 24);
        vm.assertFalse(epochs.isFinal(3), "open");
        postReward(4, provider, 1 ether);
        vm.warp(untilMs / 1000 - 1);
        vm.assertFalse(epochs.isFinal(1), "still open");
        vm.warp(untilMs / 1000);
        vm.assertTrue(epochs.isFinal(3), "final");
    }

    /// @dev Who signed a wrong root cannot use up the extension by a dispute of its own, before there is need of it.
    function test_dispute_early() public {
        postReward(0, provider, 1 ether);
        uint64 untilMs = epochs.epochRecord(0).finalAtMs + EXTENSION_MS;
        dispute(0);
        vm.assertEq(epochs.epochRecord(0).finalAtMs, untilMs, "as much time as by the latest");
        postReward(1, provider, 1 ether);
        vm.assertGe(epochs.epochRecord(1).finalAtMs, untilMs, "ordered");
    }

    function test_dispute_later_successorsStayOrdered() public {
        postReward(0, provider, 1 ether);
        passMs(WINDOW_MS - 1000);
        dispute(0);
        uint64 untilMs = epochs.epochRecord(0).finalAtMs;
        vm.assertEq(untilMs, nowMs() + 1000 + EXTENSION_MS, "extended");
        postReward(1, provider, 1 ether);
        vm.assertGe(epochs.epochRecord(1).finalAtMs, untilMs, "ordered");
        toEndOf(2 + 12);
        if (nowMs() < untilMs) vm.warp(untilMs / 1000 - 3600);
        epochs.postVoid(2);
        vm.assertGe(epochs.epochRecord(2).finalAtMs, epochs.epochRecord(1).finalAtMs, "a void one too");
    }

    /// @dev Disputes of one epoch after the other do not add up: none waits longer than its own window and one extension.
    /// That the clock has stood before changes nothing.
    function test_dispute_chain() public {
        vm.prank(guardian);
        epochs.extendWindows(EPOCH_MS);
        passMs(EPOCH_MS);
        uint64[6] memory postedMs;
        for (uint64 e; e < 6; ++e) {
            postReward(e, provider, 1 ether);
            postedMs[e] = nowMs();
        }
        for (uint64 e; e < 6; ++e) {
            vm.warp(epochs.epochRecord(e).finalAtMs / 1000 - 1);
            dispute(e);
            vm.assertLe(epochs.epochRecord(e).finalAtMs, postedMs[e] + WINDOW_MS + EXTENSION_MS, "bounded");
            vm.assertGe(epochs.epochRecord(5).finalAtMs, epochs.epochRecord(e).finalAtMs, "ordered");
        }
        vm.assertEq(epochs.epochRecord(5).finalAtMs, postedMs[5] + WINDOW_MS + EXTENSION_MS, "the bound");
    }

    function test_dispute_afterAStop() public {
        vm.prank(guardian);
        epochs.extendWindows(1 days * 1000);
        passMs(1 days * 1000);
        postReward(0, provider, 1 ether);
        uint64 finalMs = nowMs() + WINDOW_MS;
        passMs(WINDOW_MS - 1000);
        dispute(0);
        vm.assertEq(epochs.epochRecord(0).finalAtMs, finalMs + EXTENSION_MS, "the extension");
    }

    function test_dispute_final() public {
        postReward(0, provider, 1 ether);
        passMs(WINDOW_MS);
        refusedDispute(0, abi.encodeWithSelector(IAssayEpochs.EpochIsFinal.selector, 0));
    }

    function test_dispute_twice() public {
        postReward(0, provider, 1 ether);
        dispute(0);
        refusedDispute(0, abi.encodeWithSelector(IAssayEpochs.AlreadyDisputed.selector, 0));
    }

    function test_dispute_noRoot() public {
        refusedDispute(0, abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 0));
        refusedDispute(5, abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 5));
        toEndOf(12);
        epochs.postVoid(0);
        refusedDispute(0, abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 0));
    }

    function test_dispute_newRoot() public {
        EpochRoot memory r = postReward(0, provider, 1 ether);
        dispute(0);
        correct(correction(r, provider, 2 ether), QUORUM);
        refusedDispute(0, abi.encodeWithSelector(IAssayEpochs.AlreadyDisputed.selector, 0));
        epochs.closeDispute(0);
        dispute(0);
        vm.assertFalse(epochs.disputeOf(0).upheld, "anew");
    }

    function test_correct() public {
        EpochRoot memory r = postReward(0, provider, 1 ether);
        postReward(1, provider, 5 ether);
        postReward(2, provider, 9 ether);
        EpochRoot memory c = correction(r, provider, 4 ether);
        c.nextCommittee = r.nextCommittee;
        correct(c, QUORUM);
        IAssayEpochs.EpochRecord memory e = epochs.epochRecord(0);
        vm.assertEq(e.corrections, 1, "corrections");
        vm.assertEq(e.round, 1, "round");
        vm.assertEq(e.digest, epochs.hashRoot(c), "digest");
        vm.assertEq(e.cumulativeReward, 4 ether, "rewards");
        vm.assertEq(e.finalAtMs, nowMs() + WINDOW_MS, "a new window");
        vm.assertTrue(epochs.wrongDigest(0, epochs.hashRoot(r)), "wrong");
        vm.assertFalse(epochs.wrongDigest(0, epochs.hashRoot(c)), "right");
        vm.assertFalse(epochs.disputeOf(0).upheld, "nobody disputed");
        vm.assertEq(epochs.nextEpoch(), 1, "undone");
        vm.assertEq(epochs.cumulativeReward(), 4 ether, "sum");
        for (uint64 u = 1; u < 3; ++u) {
            vm.assertEq(uint256(epochs.epochRecord(u).resolution), uint256(Resolution.Open), "open again");
            vm.assertFalse(epochs.isFinal(u), "not final");
        }
    }

    /// @dev Each epoch after the corrected one says so, the last first.
    function test_correct_undoneAreTold() public {
        EpochRoot memory r = postReward(0, provider, 1 ether);
        postReward(1, provider, 5 ether);
        postReward(2, provider, 9 ether);
        for (uint64 undone = 2; undone > 0; --undone) {
            vm.expectEmit(true, true, true, true, address(epochs));
            emit IAssayEpochs.EpochUndone(undone, 0);
        }
        correct(correction(r, provider, 4 ether), QUORUM);
    }

    function test_correct_postedAgain() public {
        EpochRoot memory r = postReward(0, provider, 1 ether);
        EpochRoot memory second = postReward(1, provider, 5 ether);
        correct(correction(r, provider, 2 ether), QUORUM);
        EpochRoot memory again = rootOf(1, second.root, 5 ether);
        expectPost(abi.encodeWithSelector(IAssayEpochs.RoundTooLow.selector, 1, 0), again, QUORUM);
        again.round = 1;
        post(again, QUORUM);
        vm.assertEq(epochs.epochRecord(1).corrections, 1, "says that it is another");
        vm.assertFalse(epochs.wrongDigest(1, epochs.hashRoot(second)), "its signers did not lie");
        postReward(2, provider, 6 ether);
        vm.assertEq(epochs.epochRecord(2).corrections, 0, "never undone");
    }

    /// @dev Nobody can void what is to be posted again at once, though its first deadline is long past.
    function test_correct_voidDeadlineAnew() public {
        toEndOf(20);
        EpochRoot memory r = postReward(0, provider, 1 ether);
        postReward(1, provider, 1 ether);
        correct(correction(r, provider, 2 ether), QUORUM);
        uint64 deadline = nowMs() + VOID_AFTER_MS;
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.VoidTooEarly.selector, 1, deadline, nowMs()));
        epochs.postVoid(1);
        passMs(VOID_AFTER_MS);
        epochs.postVoid(1);
        vm.assertEq(epochs.epochRecord(1).corrections, 1, "another than before");
    }

    /// @dev Signers see one of them final before they sign the next: each has the whole time.
    function test_correct_voidDeadlineOfEach() public {
        toEndOf(20);
        EpochRoot memory r = postReward(0, provider, 1 ether);
        for (uint64 epoch = 1; epoch < 4; ++epoch) {
            postReward(epoch, provider, 1 ether);
        }
        correct(correction(r, provider, 2 ether), QUORUM);
        passMs(VOID_AFTER_MS - 1000);
        EpochRoot memory again = rootOf(1, "again", 2 ether);
        again.round = 1;
        post(again, QUORUM);
        for (uint64 epoch = 2; epoch < 4; ++epoch) {
            uint64 deadline = nowMs() + VOID_AFTER_MS;
            vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.VoidTooEarly.selector, epoch, deadline, nowMs()));
            epochs.postVoid(epoch);
            passMs(VOID_AFTER_MS);
            epochs.postVoid(epoch);
        }
        epochs.postVoid(4);
    }

    /// @dev Epochs that were void before hold nobody up: nothing is to be posted for them.
    function test_correct_voidAgainAtOnce() public {
        toEndOf(20);
        EpochRoot memory r = postReward(0, provider, 1 ether);
        for (uint64 epoch = 1; epoch < 4; ++epoch) {
            epochs.postVoid(epoch);
        }
        postReward(4, provider, 1 ether);
        correct(correction(r, provider, 2 ether), QUORUM);
        passMs(VOID_AFTER_MS);
        for (uint64 epoch = 1; epoch < 4; ++epoch) {
            epochs.postVoid(epoch);
        }
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.VoidTooEarly.selector, 4, nowMs() + VOID_AFTER_MS, nowMs()));
        epochs.postVoid(4);
    }

    function test_correct_budgetsOfPrevious() public {
        postReward(0, provider, 3 ether);
        EpochRoot memory r = postReward(1, provider, 4 ether);
        EpochRoot memory less = correction(r, provider, 3 ether - 1);
        expectCorrect(abi.encodeWithSelector(IAssayEpochs.RewardDecreased.selector, 3 ether, 3 ether - 1), less, QUORUM);
        EpochRoot memory more = correction(r, provider, 3 ether + BUDGET + 1);
        expectCorrect(abi.encodeWithSelector(IAssayEpochs.BudgetExceeded.selector, 1, BUDGET, BUDGET + 1), more, QUORUM);
        correct(correction(r, provider, 3 ether + BUDGET), QUORUM);
        EpochRoot memory c = correction(r, provider, 3 ether);
        c.round = 2;
        correct(c, QUORUM);
        vm.assertEq(epochs.epochRecord(1).corrections, 2, "twice");
    }

    function test_correct_refused() public {
        EpochRoot memory r = postReward(0, provider, 1 ether);
        EpochRoot memory c = correction(r, provider, 2 ether);
        c.round = 0;
        expectCorrect(abi.encodeWithSelector(IAssayEpochs.RoundTooLow.selector, 1, 0), c, QUORUM);
        c.round = 1;
        expectCorrect(noQuorum(3), c, 3);
        c.networkId = 0;
        expectCorrect(abi.encodeWithSelector(IAssayEpochs.WrongNetwork.selector, NETWORK, 0), c, QUORUM);
        passMs(WINDOW_MS);
        c.networkId = NETWORK;
        expectCorrect(abi.encodeWithSelector(IAssayEpochs.EpochIsFinal.selector, 0), c, QUORUM);
    }

    function test_correct_byTheNextCommittee() public {
        toEndOf(0);
        EpochRoot memory r = rootOf(0, keccak256("x"), 1 ether);
        r.nextCommittee = keccak256("a captured committee");
        post(r, QUORUM);
        EpochRoot memory c = correction(r, provider, 2 ether);
        c.committee = keccak256(committeeBytes());
        expectCorrect(
            abi.encodeWithSelector(IAssayEpochs.WrongCommittee.selector, r.nextCommittee, c.committee), c, QUORUM
        );
    }

    /// @dev Once the ring has come round, the places after the last epoch's are those of the oldest.
    function test_dispute_correct_leaveTheOldest() public {
        postReward(0, provider, 1 ether);
        postReward(1, provider, 2 ether);
        toEndOf(1023 + 12);
        for (uint64 e = 2; e < 1024; ++e) {
            epochs.postVoid(e);
        }
        EpochRoot memory r = postReward(1024, provider, 2 ether);
        passMs(WINDOW_MS - 1000);
        dispute(1024);
        vm.assertTrue(epochs.isFinal(1), "as final as before the dispute");
        correct(correction(r, disputer, 2 ether), QUORUM);
        vm.assertTrue(epochs.epochRecord(2).resolution == Resolution.Void, "void");
        rewards.claim(rewardLeaf(1, provider, 2 ether), new bytes32[](0));
        vm.assertEq(token.balanceOf(provider), 2 ether, "paid");
    }

    function test_correct_void() public {
        postReward(0, provider, 1 ether);
        toEndOf(20);
        epochs.postVoid(1);
        EpochRoot memory c = rootOf(1, keccak256("x"), 1 ether);
        c.round = 1;
        expectCorrect(abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 1), c, QUORUM);
    }

    function test_closeDispute_corrected() public {
        EpochRoot memory r = postReward(0, provider, 1 ether);
        dispute(0);
        correct(correction(r, provider, 2 ether), QUORUM);
        vm.assertTrue(epochs.disputeOf(0).upheld, "upheld");
        epochs.closeDispute(0);
        vm.assertEq(token.balanceOf(disputer), 1000 ether, "back");
        vm.assertEq(epochs.totalHeld(), token.balanceOf(address(epochs)), "held no more");
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NoDispute.selector, 0));
        epochs.closeDispute(0);
    }

    function test_closeDispute_undone() public {
        EpochRoot memory r = postReward(0, provider, 1 ether);
        for (uint64 e = 1; e < 4; ++e) {
            postReward(e, provider, 1 ether);
        }
        for (uint64 e = 1; e < 4; ++e) {
            dispute(e);
        }
        correct(correction(r, provider, 2 ether), QUORUM);
        epochs.closeDispute(1);
        vm.assertEq(token.balanceOf(disputer), 800 ether, "before it is posted again");
        EpochRoot memory again = rootOf(1, keccak256("x"), 2 ether);
        again.round = 1;
        post(again, QUORUM);
        again = rootOf(2, keccak256("x"), 2 ether);
        again.round = 1;
        post(again, QUORUM);
        epochs.closeDispute(2);
        vm.assertEq(token.balanceOf(disputer), 900 ether, "after");
        passMs(VOID_AFTER_MS);
        epochs.postVoid(3);
        epochs.closeDispute(3);
        vm.assertEq(token.balanceOf(disputer), 1000 ether, "after it is void");
        dispute(1);
    }

    function test_closeDispute_final() public {
        postReward(0, provider, 1 ether);
        dispute(0);
        uint64 finalMs = epochs.epochRecord(0).finalAtMs;
        vm.warp(finalMs / 1000 - 1);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.EpochNotFinal.selector, 0, finalMs, finalMs - 1000));
        epochs.closeDispute(0);
        vm.warp(finalMs / 1000);
        epochs.closeDispute(0);
        vm.assertEq(token.balanceOf(treasury), BOND, "treasury");
        vm.assertEq(epochs.totalHeld(), token.balanceOf(address(epochs)), "held no more");
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NoDispute.selector, 1));
        epochs.closeDispute(1);
    }

    function test_closeDispute_lost() public {
        toEndOf(1030);
        for (uint64 e; e < 2; ++e) {
            postReward(e, provider, 1 ether);
        }
        dispute(0);
        passMs(WINDOW_MS + EXTENSION_MS);
        for (uint64 e = 2; e < 1025; ++e) {
            if (e == 1024) postReward(e, provider, 1 ether);
            else epochs.postVoid(e);
        }
        epochs.closeDispute(0);
        vm.assertEq(token.balanceOf(treasury), BOND, "treasury");
    }
}

/// @title With an extension longer than the window, a root posted after a dispute would be final before the disputed one.
contract EpochsShortWindowTest is FourHyperNodes {
    function epochParameters() internal pure override returns (IAssayEpochs.Parameters memory) {
        return IAssayEpochs.Parameters(GENESIS_MS, EPOCH_MS, VOID_AFTER_MS, EPOCH_MS, EXTENSION_MS, BOND);
    }

    function test_dispute_laterRootsStayOrdered() public {
        postReward(0, address(0xabc), 1 ether);
        passMs(EPOCH_MS - 1000);
        epochs.dispute(0);
        postReward(1, address(0xabc), 1 ether);
        vm.assertEq(epochs.epochRecord(1).finalAtMs, epochs.epochRecord(0).finalAtMs, "not before");
    }
}
