// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayEpochs} from "../../src/AssayEpochs.sol";
import {Funds} from "../../src/Funds.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {EpochRoot} from "../../src/interfaces/Types.sol";
import {FeeToken} from "../support/FeeToken.sol";
import {FourHyperNodes} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

contract EpochsBudgetTest is FourHyperNodes {
    address private provider = address(0xabc);

    function test_fund() public {
        vm.assertEq(epochs.budgetOf(0), BUDGET, "first");
        vm.assertEq(epochs.budgetOf(99), BUDGET, "last");
        vm.assertEq(epochs.budgetOf(100), 0, "none");
        epochs.fund(99, 2, 1);
        vm.assertEq(epochs.budgetOf(99), BUDGET + 1, "added");
        vm.assertEq(epochs.totalHeld(), 100 * BUDGET + 2, "held");
        vm.assertEq(token.balanceOf(address(epochs)), epochs.totalHeld(), "balance");
    }

    function refusedFund(bytes memory failure, uint64 first, uint64 count, uint128 each) private {
        vm.expectRevert(failure);
        epochs.fund(first, count, each);
    }

    function tooLate(uint64 earliest) private {
        refusedFund(
            abi.encodeWithSelector(IAssayEpochs.FundedTooLate.selector, earliest, earliest - 1), earliest - 1, 1, 1
        );
        epochs.fund(earliest, 1, 1);
    }

    function test_fund_tooLate() public {
        vm.warp((GENESIS_MS - EPOCH_MS) / 1000 - 1);
        epochs.fund(0, 1, 1);
        vm.warp((GENESIS_MS - EPOCH_MS) / 1000);
        tooLate(1);
        vm.warp(GENESIS_MS / 1000 - 1);
        tooLate(1);
        vm.warp(GENESIS_MS / 1000);
        tooLate(2);
        toEndOf(0);
        vm.warp(block.timestamp - 1);
        tooLate(2);
        toEndOf(0);
        tooLate(3);
    }

    function test_fund_badRange() public {
        bytes4 failure = IAssayEpochs.BadRange.selector;
        refusedFund(abi.encodeWithSelector(failure, 5, 0, 1), 5, 0, 1);
        refusedFund(abi.encodeWithSelector(failure, 5, 1, 0), 5, 1, 0);
        refusedFund(abi.encodeWithSelector(failure, 5, 513, 1), 5, 513, 1);
        refusedFund(abi.encodeWithSelector(failure, 1 << 48, 1, 1), 1 << 48, 1, 1);
        refusedFund(abi.encodeWithSelector(failure, 5, 2, type(uint128).max), 5, 2, type(uint128).max);
        epochs.fund(5, 512, 1);
    }

    function test_fund_feeToken() public {
        FeeToken fee = new FeeToken();
        AssayEpochs e = Deployed.epochs(epochParameters(), fee, verifier, treasury, governor, guardian);
        fee.mint(address(this), 100);
        fee.approve(address(e), 100);
        vm.expectRevert(abi.encodeWithSelector(Funds.WrongAmountReceived.selector, 10, 9));
        e.fund(5, 1, 10);
    }

    function test_reclaim() public {
        postReward(0, provider, 3 ether);
        toEndOf(20);
        epochs.postVoid(1);
        postReward(2, provider, 13 ether);
        vm.expectRevert(
            abi.encodeWithSelector(IAssayEpochs.EpochNotFinal.selector, 0, epochs.epochRecord(0).finalAtMs, nowMs())
        );
        epochs.reclaim(1);
        passMs(WINDOW_MS);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.BadRange.selector, 0, 0, 0));
        epochs.reclaim(0);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.BadRange.selector, 0, 513, 0));
        epochs.reclaim(513);
        epochs.reclaim(1);
        vm.assertEq(epochs.unallocated(), 7 ether, "of epoch 0");
        vm.expectEmit(true, true, true, true, address(epochs));
        emit IAssayEpochs.BudgetReturned(2, 10 ether);
        epochs.reclaim(2);
        vm.assertEq(epochs.unallocated(), 17 ether, "all of epoch 1, nothing of epoch 2");
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.EpochNotFinal.selector, 3, 0, nowMs()));
        epochs.reclaim(1);
        vm.assertEq(epochs.totalHeld(), 100 * BUDGET, "held as before");
    }

    /// @dev What an undone epoch had left was never allocated: only final epochs give back.
    function test_reclaim_afterCorrection() public {
        EpochRoot memory r = postReward(0, provider, 3 ether);
        postReward(1, provider, 3 ether);
        correct(correction(r, provider, 10 ether), QUORUM);
        EpochRoot memory again = rootOf(1, keccak256("x"), 11 ether);
        again.round = 1;
        post(again, QUORUM);
        passMs(WINDOW_MS);
        epochs.reclaim(2);
        vm.assertEq(epochs.unallocated(), 9 ether, "of both");
    }

    function test_reclaim_lost() public {
        toEndOf(1040);
        postReward(0, provider, 3 ether);
        for (uint64 e = 1; e < 1024; ++e) {
            epochs.postVoid(e);
        }
        passMs(WINDOW_MS);
        postReward(1024, provider, 3 ether);
        epochs.reclaim(1);
        vm.assertEq(epochs.unallocated(), 0, "not yet: the ring has lost epoch 0");
        epochs.reclaim(1);
        vm.assertEq(epochs.unallocated(), 17 ether, "with epoch 1");
        epochs.reclaim(512);
        vm.assertEq(epochs.unallocated(), 997 ether, "of as many as one call takes");
    }

    function reclaimed() private {
        postReward(0, provider, 3 ether);
        passMs(WINDOW_MS);
        epochs.reclaim(1);
    }

    function test_budgets_limitsAreAllowed() public {
        epochs.fund(type(uint48).max, 1, 7);
        vm.assertEq(epochs.budgetOf(type(uint48).max), 7, "the last epoch");
        uint128 most = type(uint128).max;
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.InsufficientUnallocated.selector, 0, most));
        vm.prank(governor);
        epochs.allocate(200, 1, most);
    }

    function test_allocate() public {
        reclaimed();
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.Unauthorized.selector, governor, address(this)));
        epochs.allocate(200, 7, 1 ether);
        vm.startPrank(governor);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.InsufficientUnallocated.selector, 7 ether, 7 ether + 7));
        epochs.allocate(200, 7, 1 ether + 1);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.FundedTooLate.selector, 171, 170));
        epochs.allocate(170, 7, 1 ether);
        epochs.allocate(200, 7, 1 ether);
        vm.stopPrank();
        vm.assertEq(epochs.budgetOf(206), 1 ether, "budget");
        vm.assertEq(epochs.unallocated(), 0, "all of it");
        vm.assertEq(epochs.totalHeld(), 100 * BUDGET, "held as before");
    }

    function test_retire() public {
        postReward(0, provider, 3 ether);
        vm.startPrank(governor);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NotAbandoned.selector, 1023, 0));
        epochs.retire();
        toEndOf(1040);
        for (uint64 e = 1; e < 1023; ++e) {
            epochs.postVoid(e);
        }
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NotAbandoned.selector, 1023, 1022));
        epochs.retire();
        epochs.postVoid(1023);
        epochs.reclaim(10);
        epochs.retire();
        vm.assertEq(token.balanceOf(treasury), 997 ether, "what nobody has earned");
        vm.assertEq(epochs.totalHeld(), 3 ether, "what was earned");
        vm.assertEq(epochs.unallocated(), 0, "nothing unallocated");
        bytes memory retired = abi.encodeWithSelector(IAssayEpochs.Retired.selector);
        vm.expectRevert(retired);
        epochs.retire();
        vm.expectRevert(retired);
        epochs.reclaim(1);
        vm.expectRevert(retired);
        epochs.allocate(1100, 1, 1);
        vm.expectRevert(retired);
        epochs.fund(1100, 1, 1);
        vm.expectRevert(retired);
        epochs.postVoid(1024);
        vm.stopPrank();
        expectPost(retired, rootOf(1024, keccak256("x"), 3 ether), QUORUM);
        rewards.claim(rewardLeaf(0, provider, 3 ether), new bytes32[](0));
        vm.assertEq(token.balanceOf(provider), 3 ether, "paid");
        vm.assertEq(epochs.totalHeld(), 0, "empty");
    }

    function test_retire_notFinal() public {
        toEndOf(1040);
        postReward(0, provider, 3 ether);
        for (uint64 e = 1; e < 1024; ++e) {
            epochs.postVoid(e);
        }
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.EpochNotFinal.selector, 1023, nowMs() + WINDOW_MS, nowMs()));
        epochs.retire();
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.Unauthorized.selector, governor, address(this)));
        epochs.retire();
    }
}
