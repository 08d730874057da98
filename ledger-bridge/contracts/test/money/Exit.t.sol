// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {NodeLeaf, NodeStatus} from "../../src/interfaces/Types.sol";
import {Money} from "./Money.sol";

/// @title Exit.tree: the way out, and that there always is one.
contract ExitTest is Money {
    uint64 private constant DELAY = 60;
    /// @dev Epochs a re-audit may take.
    uint64 private constant TRIAL = 4;

    function requestExit() private returns (uint64 last) {
        last = epochs.currentEpoch() + TRIAL;
        vm.prank(alice);
        nodes.requestExit(NODE);
    }

    function reservedThrough64() private returns (uint256) {
        active();
        vm.prank(alice);
        reservations.offer(NODE, 10, 1, 100, true);
        vm.prank(builder);
        return reservations.reserve(NODE, 45, 20, 10);
    }

    function exit(bytes memory expected) private {
        if (expected.length != 0) vm.expectRevert(expected);
        nodes.exit(NODE, alice);
    }

    function test_requestExit_endsReservability() public {
        active();
        uint64 last = requestExit();
        vm.assertFalse(nodes.isReservable(NODE), "not reservable");
        vm.assertEq(registrationOf(alice).exitEpochs, last + 1, "service through the current epoch and a trial of it");
    }

    function test_requestExit_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.OnlyOwner.selector, NODE, address(0), address(this)));
        nodes.requestExit(NODE);
        active();
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.OnlyOwner.selector, NODE, alice, bob));
        vm.prank(bob);
        nodes.requestExit(NODE);
        uint64 last = requestExit();
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.Leaving.selector, NODE, alice, last));
        vm.prank(alice);
        nodes.requestExit(NODE);
    }

    /// @dev A Builder that cancels frees who leaves, too; never to an epoch that is over, and never later than before.
    function test_requestExit_againWhenReservationsWereCancelled() public {
        uint256 id = reservedThrough64();
        uint64 last = requestExit();
        vm.assertEq(registrationOf(alice).exitEpochs, 65 + TRIAL, "all that is reserved");
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.Leaving.selector, NODE, alice, 64 + TRIAL));
        vm.prank(alice);
        nodes.requestExit(NODE);
        toEpoch(epochs.currentEpoch() + 1);
        vm.prank(builder);
        reservations.cancel(id);
        vm.assertEq(reservations.balanceOf(builder), 200, "all of it: the provider leaves");
        last = requestExit();
        vm.assertEq(registrationOf(alice).exitEpochs, last + 1, "through the current epoch and a trial of it");
        vm.assertLt(last, 64 + TRIAL, "earlier");
        toEpoch(epochs.currentEpoch() + 1);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.Leaving.selector, NODE, alice, last));
        vm.prank(alice);
        nodes.requestExit(NODE);
    }

    /// @dev A settlement gives back 32 entries of replaced roots. What comes back after the last leaf is asked for by one more.
    function test_exit_whatComesBackAfterTheLastLeafIsAskedForFirst() public {
        active();
        uint64 last = requestExit();
        for (uint64 i; i < 41; ++i) {
            settle(40 + i, 3, i + 1);
        }
        for (uint64 i; i < 41; ++i) {
            epochs.undo(40 + i);
        }
        settle(last + DELAY, 0, 41);
        toFinal(last + DELAY);
        nodes.release(NODE, alice);
        vm.assertEq(registrationOf(alice).slashed, 32, "asked by the last leaf");
        exit(abi.encodeWithSelector(INodesTypes.LastLeafMissing.selector, NODE, last + DELAY, last + DELAY + 1));
        settle(last + DELAY + 1, 0, 41);
        toFinal(last + DELAY + 1);
        nodes.release(NODE, alice);
        exit("");
        vm.assertEq(token.balanceOf(alice), 1_000_000 - 41, "all that was asked");
    }

    function test_exit_afterDelayAndLastLeaf_paysAndFreesNodeAndChips() public {
        active();
        uint64 last = requestExit();
        settle(last + DELAY, 0, 0);
        toFinal(last + DELAY);
        exit("");
        vm.snapshotGasLastCall("AssayNodes", "exit");
        vm.assertEq(token.balanceOf(alice), 1_000_000, "all of it");
        assertMoney(alice, 0, 0, 0);
        assertStatus(NodeStatus.Removed, "removed");
        vm.assertEq(nodes.account(NODE).owner, address(0), "no owner");
        vm.assertEq(nodes.nodeOfChips(CHIPS), 0, "chips are free");
        vm.assertEq(nodes.providerAt(NODE, 40), alice, "who had it is still known");
        exit(abi.encodeWithSelector(INodesTypes.WrongStatus.selector, NODE, alice, NodeStatus.Removed));
        register(bob, NODE, CLASS);
        NodeLeaf memory leaf = leafOf(NODE, bob, epochs.currentEpoch() + 1);
        leaf.cumulativeSlash = 11;
        confirm(leaf);
        assertMoney(bob, PLEDGE, 0, 0);
        vm.assertEq(nodes.providerAt(NODE, leaf.epoch), alice, "until then");
        vm.assertEq(nodes.providerAt(NODE, leaf.epoch + 1), bob, "from then");
    }

    function test_exit_refusedWithoutARequest() public {
        active();
        exit(abi.encodeWithSelector(INodesTypes.NotLeaving.selector, NODE, alice));
    }

    function test_exit_refusedBeforeTheDelayIsOver() public {
        active();
        uint64 last = requestExit();
        uint256 freeAtMs = epochs.GENESIS_MS() + uint256(last + 1 + DELAY) * 3_600_000;
        vm.warp(freeAtMs / 1000 - 1);
        exit(abi.encodeWithSelector(INodesTypes.ExitTooEarly.selector, NODE, alice, freeAtMs, freeAtMs - 1000));
        vm.warp(freeAtMs / 1000);
        exit(abi.encodeWithSelector(INodesTypes.LastLeafMissing.selector, NODE, last + DELAY, 13));
        epochs.extend(1_000);
        exit(abi.encodeWithSelector(INodesTypes.ExitTooEarly.selector, NODE, alice, freeAtMs + 1000, freeAtMs));
    }

    function test_exit_refusedUntilTheLastLeafIsSettledAndFinal() public {
        active();
        uint64 last = requestExit();
        settle(last + DELAY - 1, 0, 0);
        skip(25 * HOUR);
        exit(abi.encodeWithSelector(INodesTypes.LastLeafMissing.selector, NODE, last + DELAY, last + DELAY));
        settle(last + DELAY, 0, 0);
        exit(abi.encodeWithSelector(INodesTypes.LastLeafMissing.selector, NODE, last + DELAY, last + DELAY + 1));
        toFinal(last + DELAY);
        settle(last + DELAY + 1, 0, 0);
        exit("");
    }

    function test_exit_withSilenceNeedsNoLeaf() public {
        active();
        uint64 last = requestExit();
        uint256 freeAtMs = epochs.GENESIS_MS() + uint256(last + 1 + DELAY) * 3_600_000 + nodeParameters().silenceMs;
        vm.warp(freeAtMs / 1000 - 1);
        exit(abi.encodeWithSelector(INodesTypes.LastLeafMissing.selector, NODE, last + DELAY, 13));
        vm.warp(freeAtMs / 1000);
        exit("");
        vm.assertEq(token.balanceOf(alice), 1_000_000, "no hostage");
    }

    function test_exit_withALastLeafWhoseRecordIsGone() public {
        active();
        uint64 last = requestExit();
        settle(last + DELAY, 0, 0);
        uint64 later = last + DELAY + epochs.RING();
        vm.warp(epochs.GENESIS_MS() / 1000 + uint256(last + DELAY + 2) * HOUR);
        epochs.post(later, "a tree of the same slot");
        exit("");
    }

    function test_exit_refusedWhenTheLastLeafsRootWasReplaced_untilAnotherIsSettled() public {
        active();
        uint64 last = requestExit();
        settle(last + DELAY, 0, 0);
        correct(last + DELAY, "another tree");
        toFinal(last + DELAY);
        bytes memory missing =
            abi.encodeWithSelector(INodesTypes.LastLeafMissing.selector, NODE, last + DELAY, last + DELAY + 1);
        exit(missing);
        epochs.undo(last + DELAY);
        exit(missing);
        epochs.postVoid(last + DELAY);
        exit(missing);
        settle(last + DELAY + 1, 3, 30);
        toFinal(last + DELAY + 1);
        nodes.release(NODE, alice);
        exit("");
        assertMoney(alice, 0, 0, 30);
    }

    function test_exit_slashReachesThePledgeUntilItIsPaid() public {
        active();
        uint64 last = requestExit();
        settle(last + DELAY, 3, 30);
        toFinal(last + DELAY);
        exit(abi.encodeWithSelector(INodesTypes.EscrowPending.selector, NODE, alice, last + DELAY, 30));
        nodes.release(NODE, alice);
        exit("");
        vm.assertEq(token.balanceOf(alice), 1_000_000 - 30, "less the slash");
        assertMoney(alice, 0, 0, 30);
    }

    /// @dev BUILDERS.md, section 7: the sixth slash takes nothing, so nobody releases it, and the last tenth comes back.
    function test_exit_notHeldByASlashThatTookNothing() public {
        active();
        uint64 last = requestExit();
        for (uint64 i = 1; i < 6; ++i) {
            settle(last + DELAY - 6 + i, 3, 40 * i);
        }
        toFinal(last + DELAY - 1);
        settle(last + DELAY, 3, 240);
        assertMoney(alice, 20, 180, 0);
        exit(abi.encodeWithSelector(INodesTypes.EscrowPending.selector, NODE, alice, last + DELAY - 5, 180));
        nodes.release(NODE, alice);
        assertMoney(alice, 20, 0, 180);
        vm.assertEq(nodes.pendingReleases(NODE, alice), 1, "the sixth is not final");
        exit(abi.encodeWithSelector(INodesTypes.LastLeafMissing.selector, NODE, last + DELAY, last + DELAY + 1));
        toFinal(last + DELAY);
        exit("");
        vm.assertEq(token.balanceOf(alice), 1_000_000 - 180, "the last tenth");
        nodes.release(NODE, alice);
        assertMoney(alice, 0, 0, 180);
        assertStatus(NodeStatus.Removed, "what waited moves nothing");
    }

    function test_exit_ofTheRemovedNeedsNoRequest() public {
        active();
        settle(40, 3, 0);
        settle(41, 3, 0);
        skip(168 * HOUR);
        uint64 confirmedAtMs = registrationOf(alice).confirmedAtMs;
        vm.assertGt(confirmedAtMs, 0, "confirmed");
        nodes.remove(NODE);
        vm.assertEq(registrationOf(alice).confirmedAtMs, confirmedAtMs, "kept by the removal");
        uint64 last = epochs.currentEpoch() + TRIAL;
        vm.assertEq(registrationOf(alice).exitEpochs, last + 1, "a trial under way goes on");
        settle(last + DELAY, 0, 0);
        toFinal(last + DELAY);
        vm.recordLogs();
        exit("");
        vm.assertEq(vm.getRecordedLogs().length, 2, "Exited and the token's Transfer: the status was told before");
        vm.assertEq(token.balanceOf(alice), 1_000_000, "paid");
        vm.assertEq(registrationOf(alice).confirmedAtMs, confirmedAtMs, "kept by the exit");
    }

    /// @dev What is in escrow can come back, and then a trial can ask for it.
    function test_remove_withAllInEscrowOwesServiceThroughATrial() public {
        setClassThatTakesAll();
        active("all");
        settle(60, 3, 400);
        assertMoney(alice, 0, 200, 0);
        toEpoch(61 + 168);
        nodes.remove(NODE);
        vm.assertEq(registrationOf(alice).exitEpochs, epochs.currentEpoch() + TRIAL + 1, "a trial");
    }

    function test_exit_waitsForReservations() public {
        reservedThrough64();
        requestExit();
        vm.assertEq(
            registrationOf(alice).exitEpochs, 65 + TRIAL, "service through the last reserved epoch and a trial of it"
        );
    }

    function test_requestExit_afterReservationsThatAreOver() public {
        reservedThrough64();
        toEpoch(65);
        uint64 last = requestExit();
        vm.assertEq(registrationOf(alice).exitEpochs, last + 1, "never an epoch that is over");
    }

    function test_exit_tellsTheStatusOnce() public {
        active();
        uint64 last = requestExit();
        settle(last + DELAY, 0, 0);
        toFinal(last + DELAY);
        vm.expectEmit(true, true, true, true, address(nodes));
        emit INodesTypes.StatusChanged(NODE, alice, NodeStatus.Active, NodeStatus.Removed);
        exit("");
    }

    function test_exit_afterTheLastLeafsRootWasUndone_byALaterOne() public {
        active();
        uint64 last = requestExit();
        settle(last + DELAY, 0, 0);
        epochs.undo(last + DELAY);
        settle(last + DELAY + 1, 0, 0);
        toFinal(last + DELAY + 1);
        exit("");
    }

    function test_exit_ofSomebodyUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NotRegistered.selector, NODE, bob));
        nodes.exit(NODE, bob);
    }
}
