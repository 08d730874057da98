// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {NodeLeaf, NodeStatus} from "../../src/interfaces/Types.sol";
import {NodeStates} from "../../src/lib/NodeStates.sol";
import {Money} from "./Money.sol";

/// @title The table of NodeStates, cell by cell, and States.tree.
contract StatesTest is Money {
    function cell(NodeStatus from, uint8 verdict, NodeStatus to) private pure {
        vm.assertEq(uint256(NodeStates.next(from, verdict)), uint256(to), "cell");
    }

    function test_table_active() public pure {
        cell(NodeStatus.Active, 0, NodeStatus.Active);
        cell(NodeStatus.Active, 1, NodeStatus.Active);
        cell(NodeStatus.Active, 2, NodeStatus.Warned);
        cell(NodeStatus.Active, 3, NodeStatus.Warned);
    }

    function test_table_warned() public pure {
        cell(NodeStatus.Warned, 0, NodeStatus.Warned);
        cell(NodeStatus.Warned, 1, NodeStatus.Active);
        cell(NodeStatus.Warned, 2, NodeStatus.Warned);
        cell(NodeStatus.Warned, 3, NodeStatus.Suspended);
    }

    function test_table_suspended() public pure {
        cell(NodeStatus.Suspended, 0, NodeStatus.Suspended);
        cell(NodeStatus.Suspended, 1, NodeStatus.Warned);
        cell(NodeStatus.Suspended, 2, NodeStatus.Suspended);
        cell(NodeStatus.Suspended, 3, NodeStatus.Suspended);
    }

    function test_table_othersStay() public pure {
        for (uint8 v; v < 4; ++v) {
            cell(NodeStatus.None, v, NodeStatus.None);
            cell(NodeStatus.Provisional, v, NodeStatus.Provisional);
            cell(NodeStatus.Removed, v, NodeStatus.Removed);
        }
    }

    function test_table_unknownVerdict() public {
        active();
        NodeLeaf memory leaf = leafOf(NODE, alice, 40);
        leaf.verdict = 4;
        bytes32[] memory proof = post(leaf);
        vm.expectRevert(abi.encodeWithSelector(NodeStates.UnknownVerdict.selector, 3, 4));
        nodes.settle(leaf, proof);
    }

    function test_verdicts_stepDownAndUp() public {
        active();
        assertStatus(NodeStatus.Active, "confirmed");
        settle(40, 3, 0);
        assertStatus(NodeStatus.Warned, "first breach");
        settle(41, 3, 0);
        assertStatus(NodeStatus.Suspended, "second breach");
        vm.assertFalse(nodes.isReservable(NODE), "suspended is not reservable");
        vm.assertGt(registrationOf(alice).suspendedAtMs, 0, "since");
        settle(42, 1, 0);
        assertStatus(NodeStatus.Warned, "way back");
        vm.assertTrue(nodes.isReservable(NODE), "warned is reservable");
        vm.assertEq(registrationOf(alice).suspendedAtMs, 0, "not suspended");
        settle(43, 1, 0);
        assertStatus(NodeStatus.Active, "all the way");
    }

    /// @dev Who settles only the good leaves skips no step: the sum tells of the breach between.
    function test_verdicts_aGrownSlashIsABreach() public {
        active();
        settle(40, 1, 0);
        settle(42, 1, 10);
        assertStatus(NodeStatus.Warned, "grown");
        settle(43, 1, 10);
        assertStatus(NodeStatus.Active, "not grown");
    }

    function resettle(uint64 epoch, uint8 verdict) private {
        NodeLeaf memory leaf = leafOf(NODE, alice, epoch);
        leaf.verdict = verdict;
        bytes32[] memory proof = correct(epoch, hashOf(leaf));
        nodes.settle(leaf, proof);
    }

    function test_verdicts_aCorrectedOneReplacesTheOneBefore() public {
        active();
        settle(40, 3, 0);
        resettle(40, 3);
        assertStatus(NodeStatus.Warned, "one epoch is one step");
        resettle(40, 1);
        assertStatus(NodeStatus.Active, "as if it had passed from the start");
        settle(41, 3, 0);
        settle(42, 3, 0);
        assertStatus(NodeStatus.Suspended, "second breach");
        resettle(42, 0);
        assertStatus(NodeStatus.Warned, "there was none");
        settle(43, 3, 0);
        settle(44, 1, 0);
        assertStatus(NodeStatus.Warned, "way back");
        resettle(44, 3);
        assertStatus(NodeStatus.Suspended, "there was none, and it is not long ago");
    }

    function test_collateral_belowTheLeastSuspends_untilToppedUpAndPassed() public {
        active();
        settle(39, 1, 0);
        for (uint64 i; i < 4; ++i) {
            settle(40 + i, 1, 36 * (i + 1));
        }
        assertMoney(alice, 56, 144, 0);
        assertStatus(NodeStatus.Suspended, "56 < 60");
        settle(44, 1, 144);
        assertStatus(NodeStatus.Suspended, "a pass is not enough");
        vm.prank(alice);
        nodes.topUp(NODE, 4);
        assertStatus(NodeStatus.Suspended, "money is not enough");
        settle(45, 1, 144);
        assertStatus(NodeStatus.Warned, "both are");
    }

    function test_removal_afterALongSuspension_byAnyLeaf() public {
        active();
        settle(40, 3, 0);
        settle(41, 3, 0);
        uint256 removableAtMs = registrationOf(alice).suspendedAtMs + nodeParameters().removeAfterMs;
        vm.warp(removableAtMs / 1000 - 1);
        uint64 epoch = epochs.currentEpoch() - 1;
        settle(epoch, 0, 0);
        assertStatus(NodeStatus.Suspended, "one second before");
        settle(epoch + 1, 1, 0);
        assertStatus(NodeStatus.Removed, "a pass comes too late");
        vm.assertGt(registrationOf(alice).exitEpochs, 0, "removed leaves");
        settle(epoch + 2, 1, 0);
        assertStatus(NodeStatus.Removed, "removed is final");
    }

    function test_removal_withoutALeaf() public {
        active();
        refuseRemoval(abi.encodeWithSelector(INodesTypes.WrongStatus.selector, NODE, alice, NodeStatus.Active));
        settle(40, 3, 0);
        settle(41, 3, 0);
        uint256 removableAtMs = registrationOf(alice).suspendedAtMs + nodeParameters().removeAfterMs;
        vm.warp(removableAtMs / 1000 - 1);
        refuseRemoval(
            abi.encodeWithSelector(
                INodesTypes.NotSuspendedLongEnough.selector, NODE, removableAtMs, removableAtMs - 1000
            )
        );
        vm.warp(removableAtMs / 1000);
        nodes.remove(NODE);
        assertStatus(NodeStatus.Removed, "removed");
    }

    function test_removal_ofNobodysNode() public {
        refuseRemoval(abi.encodeWithSelector(INodesTypes.WrongStatus.selector, NODE, address(0), NodeStatus.None));
    }

    function refuseRemoval(bytes memory expected) private {
        vm.expectRevert(expected);
        nodes.remove(NODE);
    }

    /// @dev Whatever the leaf binds: what its processors cost is in its verdict, and what is bound is for `confirm`.
    function settlesAs(NodeLeaf memory leaf, NodeStatus expected) private {
        settle(leaf);
        vm.assertEq(uint256(nodes.registration(leaf.node, leaf.owner).status), uint256(expected), "by the verdict");
        vm.assertEq(nodes.nodeOfChips(CHIPS), NODE, "stays bound");
        assertChips(NODE, CHIPS, 12);
    }

    function test_chips_othersDoNotSuspend() public {
        active();
        NodeLeaf memory leaf = leafWith(NODE, alice, 40, "other chips");
        settlesAs(leaf, NodeStatus.Active);
        vm.assertEq(nodes.nodeOfChips("other chips"), 0, "not bound");
        leaf.epoch = 41;
        leaf.verdict = 2;
        settlesAs(leaf, NodeStatus.Warned);
        leaf.epoch = 42;
        leaf.cumulativeSlash = 5;
        settlesAs(leaf, NodeStatus.Suspended);
        assertMoney(alice, 195, 5, 0);
    }

    function test_chips_ofAnotherNodeDoNotSuspend() public {
        active();
        vm.prank(bob);
        nodes.register("other", CLASS, "", "", PLEDGE);
        NodeLeaf memory leaf = leafWith("other", bob, epochs.currentEpoch() + 1, 0);
        confirm(leaf);
        leaf.epoch += 30;
        leaf.chips = CHIPS;
        settlesAs(leaf, NodeStatus.Active);
        vm.assertEq(nodes.account("other").chips, 0, "nor bound to it");
    }

    function test_chips_noneFreeNone() public {
        active();
        settlesAs(leafWith(NODE, alice, 40, 0), NodeStatus.Active);
    }
}
