// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {NodeLeaf, NodeStatus} from "../../src/interfaces/Types.sol";
import {Vm} from "../support/Vm.sol";
import {Money} from "./Money.sol";
import {BlockingToken} from "./Tokens.sol";

/// @title Identity.tree: change of owner, of processors.
contract IdentityTest is Money {
    bytes32 private constant OTHER = "other node";
    bytes32 private constant OTHER_CHIPS = "other chips";

    // -------------------------------------------------------------------------------------------------- change of owner

    function offered() private {
        active();
        vm.prank(alice);
        nodes.offerTransfer(NODE, bob);
    }

    function accepted() private {
        accepted(CLASS);
    }

    function accepted(bytes32 class_) private {
        active(class_);
        vm.prank(alice);
        nodes.offerTransfer(NODE, bob);
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "bob:1", PLEDGE);
    }

    /// @dev Alice's pledge is free from the end of the delay after epoch `last` on, and not a second before.
    function exitsAfter(uint64 last) private {
        uint256 freeAtMs = epochs.GENESIS_MS() + uint256(last + 1 + 60) * 3_600_000;
        vm.warp(freeAtMs / 1000 - 1);
        vm.expectRevert(
            abi.encodeWithSelector(INodesTypes.ExitTooEarly.selector, NODE, alice, freeAtMs, freeAtMs - 1000)
        );
        nodes.exit(NODE, alice);
        vm.warp(freeAtMs / 1000);
        nodes.exit(NODE, alice);
        vm.assertEq(token.balanceOf(alice), 1_000_000, "paid");
    }

    function test_transfer_endsReservability() public {
        offered();
        vm.assertFalse(nodes.isReservable(NODE), "offered");
        vm.prank(alice);
        nodes.offerTransfer(NODE, address(0));
        vm.assertTrue(nodes.isReservable(NODE), "taken back");
    }

    function test_transfer_isToldFromARegistration() public {
        vm.expectEmit(true, true, true, true, address(nodes));
        emit INodesTypes.NodeRegistered(NODE, alice, CLASS, "region", "host:1", PLEDGE, false);
        offered();
        vm.expectEmit(true, true, true, true, address(nodes));
        emit INodesTypes.NodeRegistered(NODE, bob, CLASS, "region", "bob:1", PLEDGE, true);
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "bob:1", PLEDGE);
    }

    /// @dev Bob's by epoch 90.
    function handedOver() private {
        accepted();
        confirm(leafOf(NODE, bob, 90));
    }

    function test_transfer_makesTheNewOwner() public {
        handedOver();
        vm.snapshotGasLastCall("AssayNodes", "confirm: hand over");
        INodesTypes.Registration memory r = nodes.registration(NODE, bob);
        vm.assertEq(nodes.account(NODE).owner, bob, "owner");
        vm.assertEq(uint256(r.status), uint256(NodeStatus.Active), "status");
        vm.assertEq(r.region, "region", "same region");
        vm.assertEq(r.classDigest, CLASS, "same class");
        vm.assertEq(nodes.providerAt(NODE, 90), alice, "until then");
        vm.assertEq(nodes.providerAt(NODE, 91), bob, "from then");
        assertStatus(NodeStatus.Removed, "the old registration leaves");
        vm.assertTrue(nodes.isReservable(NODE), "reservable again");
    }

    function test_transfer_slashesFollowTheirEpoch() public {
        accepted();
        settle(88, 3, 10);
        NodeLeaf memory leaf = leafOf(NODE, bob, 90);
        leaf.cumulativeSlash = 25;
        settle(leaf);
        assertMoney(alice, 190, 10, 0);
        confirm(leaf);
        assertMoney(alice, 175, 25, 0);
        leaf.epoch = 120;
        leaf.cumulativeSlash = 26;
        settle(leaf);
        assertMoney(alice, 175, 25, 0);
        assertMoney(bob, 199, 1, 0);
    }

    function test_transfer_oldPledgeIsFreeAfterTheDelay() public {
        handedOver();
        uint64 last = epochs.currentEpoch();
        vm.assertGt(last, 90, "the leaf is final epochs later");
        vm.assertEq(registrationOf(alice).exitEpochs, last + 1, "no epoch that is over becomes free of service");
        exitsAfter(last);
        vm.assertEq(nodes.account(NODE).owner, bob, "bob stays");
        vm.assertEq(nodes.nodeOfChips(CHIPS), NODE, "with his chips");
        vm.assertEq(nodes.providerAt(NODE, 90), alice, "and who had it before is still known");
    }

    function test_transfer_doesNotMoveTheEndOfServiceThatWasAskedFor() public {
        accepted();
        vm.prank(alice);
        nodes.requestExit(NODE);
        uint64 asked = registrationOf(alice).exitEpochs;
        confirm(leafOf(NODE, bob, 90));
        vm.assertEq(registrationOf(alice).exitEpochs, asked, "epochs that have begun keep who owed service in them");
        vm.assertLt(asked, 91, "before the hand-over, which counts");
        exitsAfter(90);
    }

    /// @dev Bob loses all he pledged, and leaves while Alice's service is still owed.
    function test_transfer_theNewOwnerLeavesBeforeWhoHandedOver() public {
        setClassThatTakesAll();
        vm.prank(governor);
        reservations.setSchedule("all", tiers());
        active("all");
        vm.prank(alice);
        reservations.offer(NODE, 1, 1, 1_000, true);
        vm.prank(builder);
        reservations.reserve(NODE, 60, 600, 1);
        vm.prank(alice);
        nodes.offerTransfer(NODE, bob);
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "bob:1", PLEDGE);
        vm.prank(alice);
        nodes.requestExit(NODE);
        vm.assertEq(registrationOf(alice).exitEpochs, 664, "all that is reserved, and a re-audit of it");
        confirm(leafOf(NODE, bob, 90));
        settle(leafAsking(NODE, bob, 120, PLEDGE));
        toFinal(120);
        nodes.release(NODE, bob);
        skip((nodes.exitDelayEpochs() + 1) * HOUR + nodeParameters().silenceMs / 1000);
        nodes.exit(NODE, bob);
        vm.assertEq(nodes.account(NODE).handOverEpochs, type(uint64).max, "nobody followed him");
        exitsAfter(663);
    }

    function test_transfer_holdsWhileARootNamesTheNewOwner() public {
        accepted();
        settle(leafOf(NODE, bob, 90));
        vm.assertEq(nodes.account(NODE).settledEpochs, 13, "nothing else is settled");
        uint256 untilMs = block.timestamp * 1000 + nodeParameters().provisionalMs;
        vm.expectRevert(
            abi.encodeWithSelector(INodesTypes.Confirming.selector, NODE, bob, untilMs, block.timestamp * 1000)
        );
        vm.prank(alice);
        nodes.offerTransfer(NODE, address(0));
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.Counts.selector, NODE, bob, block.timestamp * 1000));
        vm.prank(bob);
        nodes.cancel(NODE);
        vm.warp(untilMs / 1000);
        vm.prank(alice);
        nodes.offerTransfer(NODE, address(0));
        NodeLeaf memory leaf = leafOf(NODE, bob, 170);
        leaf.cumulativeSlash = 3;
        settle(leaf);
        assertMoney(alice, 197, 3, 0);
    }

    function test_transfer_holdsFromTheEndOfTheDelayOn() public {
        accepted();
        uint256 fromMs = nodes.account(NODE).changeAnnouncedAtMs + nodeParameters().changeDelayMs;
        uint64 epoch = uint64((fromMs - epochs.GENESIS_MS()) / 3_600_000);
        vm.assertEq(epochs.GENESIS_MS() + uint256(epoch) * 3_600_000, fromMs, "begins with the end of the delay");
        settle(leafOf(NODE, bob, epoch));
        vm.assertEq(nodes.account(NODE).settledEpochs, 13, "held");
        vm.assertGt(nodes.registration(NODE, bob).confirmingAtMs, 0, "confirming");
    }

    function test_transfer_onlyAConfirmedLeafAboutTheOfferedOneHolds() public {
        register(builder, NODE, CLASS);
        accepted();
        settle(leafOf(NODE, builder, 90));
        vm.assertEq(nodes.account(NODE).settledEpochs, 91, "somebody else's registration holds nothing");
        NodeLeaf memory leaf = leafOf(NODE, bob, 91);
        leaf.confirmed = false;
        settle(leaf);
        vm.assertEq(nodes.account(NODE).settledEpochs, 92, "nor does a leaf that confirms nobody");
        vm.assertEq(nodes.registration(NODE, builder).confirmingAtMs, 0, "not confirming");
        vm.assertEq(nodes.registration(NODE, bob).confirmingAtMs, 0, "nor bob");
    }

    function test_transfer_byTheCorrectedRootOfTheLastSettledEpoch() public {
        accepted();
        settle(90, 1, 0);
        NodeLeaf memory leaf = leafOf(NODE, bob, 90);
        bytes32[] memory proof = correct(90, hashOf(leaf));
        toFinal(90);
        nodes.confirm(leaf, proof);
        vm.assertEq(nodes.account(NODE).owner, bob, "the root that stands");
    }

    function test_transfer_doesNotEndASuspension() public {
        accepted();
        settle(87, 3, 0);
        settle(88, 3, 0);
        uint64 since = registrationOf(alice).suspendedAtMs;
        NodeLeaf memory leaf = leafOf(NODE, bob, 90);
        confirm(leaf);
        INodesTypes.Registration memory r = nodes.registration(NODE, bob);
        vm.assertEq(uint256(r.status), uint256(NodeStatus.Suspended), "still");
        vm.assertEq(r.suspendedAtMs, since, "since then");
    }

    function test_transfer_notBeforeItsDelay() public {
        accepted();
        uint256 fromMs = nodes.account(NODE).changeAnnouncedAtMs + nodeParameters().changeDelayMs;
        uint64 epoch = uint64((fromMs - epochs.GENESIS_MS()) / 3_600_000) - 1;
        uint256 startMs = epochs.GENESIS_MS() + uint256(epoch) * 3_600_000;
        NodeLeaf memory leaf = leafOf(NODE, bob, epoch);
        settle(leaf);
        vm.assertEq(nodes.account(NODE).settledEpochs, epoch + 1, "settled for the owner");
        refuse(leaf, abi.encodeWithSelector(INodesTypes.LeafTooEarly.selector, NODE, fromMs, startMs));
        leaf.epoch = epoch + 1;
        confirm(leaf);
        vm.assertEq(nodes.account(NODE).owner, bob, "at its end");
    }

    function test_transfer_refusals() public {
        offered();
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.OnlyOwner.selector, NODE, alice, bob));
        vm.prank(bob);
        nodes.offerTransfer(NODE, bob);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NotOffered.selector, NODE, bob, alice));
        vm.prank(alice);
        nodes.acceptTransfer(NODE, "", PLEDGE);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.PledgeTooSmall.selector, 200, 199));
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "", PLEDGE - 1);
        epochs.pause(true);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.Paused.selector));
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "", PLEDGE);
        epochs.pause(false);
        refuse(leafOf(NODE, builder, 90), abi.encodeWithSelector(INodesTypes.NotOffered.selector, NODE, bob, builder));
        refuse(leafOf(NODE, bob, 90), abi.encodeWithSelector(INodesTypes.NotRegistered.selector, NODE, bob));
        vm.startPrank(alice);
        nodes.requestExit(NODE);
        uint64 last = registrationOf(alice).exitEpochs - 1;
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.Leaving.selector, NODE, alice, last));
        nodes.offerTransfer(NODE, address(0));
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.Leaving.selector, NODE, alice, last));
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "", PLEDGE);
    }

    /// @dev A registration from before, that was beaten, is no acceptance.
    function test_transfer_anOldRegistrationIsNoAcceptance() public {
        register(bob, NODE, CLASS);
        offered();
        NodeLeaf memory leaf = leafOf(NODE, bob, 90);
        settle(leaf);
        vm.assertEq(nodes.account(NODE).settledEpochs, 91, "settled for the owner");
        refuse(
            leaf,
            abi.encodeWithSelector(
                INodesTypes.LeafTooEarly.selector, NODE, type(uint64).max, epochs.GENESIS_MS() + uint256(90) * 3_600_000
            )
        );
    }

    function test_transfer_byAnOlderLeafThanTheLastSettled() public {
        accepted();
        settle(95, 1, 0);
        refuse(leafOf(NODE, bob, 90), abi.encodeWithSelector(INodesTypes.StaleLeaf.selector, NODE, 96, 90));
    }

    function test_transfer_ofARemovedNode() public {
        accepted();
        suspendedLongEnough();
        nodes.remove(NODE);
        refuse(
            leafOf(NODE, bob, epochs.currentEpoch()),
            abi.encodeWithSelector(INodesTypes.NotOffered.selector, NODE, address(0), bob)
        );
    }

    // ------------------------------------------------------------------------------------------ acceptances that expire

    function test_transfer_expiresFromTheEndOfTheDelayOn() public {
        accepted();
        INodesTypes.Parameters memory p = nodeParameters();
        expiresAt(registrationOf(bob).registeredAtMs + p.changeDelayMs + p.provisionalMs);
    }

    /// @dev From the first root that names it: no delay comes on top.
    function test_transfer_expiresFromTheRootThatNamesIt() public {
        accepted();
        settle(leafOf(NODE, bob, 90));
        expiresAt(registrationOf(bob).confirmingAtMs + nodeParameters().provisionalMs);
    }

    /// @dev As long as a plain registration waits, this one has waited for the first leaf that can name it.
    function test_transfer_doesNotExpireBeforeItsFirstLeafIsFinal() public {
        accepted();
        uint256 plainMs = registrationOf(bob).registeredAtMs + nodeParameters().provisionalMs;
        uint256 fromMs = nodes.account(NODE).changeAnnouncedAtMs + nodeParameters().changeDelayMs;
        NodeLeaf memory leaf = leafOf(NODE, bob, uint64((fromMs - epochs.GENESIS_MS()) / 3_600_000));
        bytes32[] memory proof = post(leaf);
        toFinal(leaf.epoch);
        // a plain one would have expired
        vm.warp(plainMs / 1000);
        vm.expectPartialRevert(INodesTypes.NotExpired.selector);
        nodes.expire(NODE, bob);
        nodes.confirm(leaf, proof);
        vm.assertEq(nodes.account(NODE).owner, bob, "owner");
    }

    /// @dev Bob's pledge comes back to him by anyone's call then, and not a second before.
    function expiresAt(uint256 atMs) private {
        vm.warp(atMs / 1000 - 1);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NotExpired.selector, NODE, bob, atMs, atMs - 1000));
        nodes.expire(NODE, bob);
        vm.warp(atMs / 1000);
        nodes.expire(NODE, bob);
        vm.assertEq(token.balanceOf(bob), 1_000_000, "paid back");
        assertMoney(bob, 0, 0, 0);
    }

    function test_transfer_notTwiceBeforeTheFirstPledgeIsFree() public {
        handedOver();
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.PredecessorLiable.selector, NODE, alice));
        vm.prank(bob);
        nodes.offerTransfer(NODE, builder);
        toEpoch(registrationOf(alice).exitEpochs + 60);
        nodes.exit(NODE, alice);
        vm.prank(bob);
        nodes.offerTransfer(NODE, builder);
    }

    /// @dev Who cannot receive its pledge does not keep its successor from handing over, and loses nothing.
    function test_transfer_afterABlockedPredecessor() public {
        BlockingToken blocking = new BlockingToken();
        deploy(blocking);
        handedOver();
        toEpoch(registrationOf(alice).exitEpochs + 60);
        blocking.setBlocked(alice, true);
        nodes.exit(NODE, alice);
        assertMoney(alice, 0, 0, 0);
        vm.assertEq(reservations.balanceOf(alice), PLEDGE, "waits");
        vm.prank(bob);
        nodes.offerTransfer(NODE, builder);
        blocking.setBlocked(alice, false);
        reservations.withdraw(alice);
        vm.assertEq(token.balanceOf(alice), 1_000_000, "paid");
        assertConserved();
    }

    function test_transfer_withOtherChips() public {
        accepted();
        NodeLeaf memory leaf = leafWith(NODE, bob, 90, OTHER_CHIPS);
        bytes32[] memory proof = post(leaf);
        toFinal(90);
        expectChips(NODE, CHIPS, OTHER_CHIPS);
        nodes.confirm(leaf, proof);
        vm.assertEq(nodes.account(NODE).owner, bob, "owner");
        assertChips(NODE, OTHER_CHIPS, 90);
        vm.assertEq(nodes.nodeOfChips(CHIPS), 0, "freed");
    }

    function test_transfer_withoutChips() public {
        accepted();
        confirm(leafWith(NODE, bob, 90, 0));
        vm.assertEq(nodes.account(NODE).owner, bob, "owner");
        assertChips(NODE, CHIPS, 12);
    }

    /// @dev It is not older than what was settled: that alone is asked of the leaf that makes an owner.
    function test_transfer_byAnOlderLeafThanBoundTheChips() public {
        accepted();
        NodeLeaf memory leaf = leafWith(NODE, bob, 90, "older chips");
        bytes32[] memory proof = post(leaf);
        confirm(leafWith(NODE, alice, 91, OTHER_CHIPS));
        nodes.confirm(leaf, proof);
        vm.assertEq(nodes.account(NODE).owner, bob, "owner");
        assertChips(NODE, OTHER_CHIPS, 91);
        vm.assertEq(nodes.nodeOfChips("older chips"), 0, "not bound");
    }

    function test_transfer_withChipsThatAnotherNodeHasByANewerLeaf() public {
        accepted();
        vm.prank(builder);
        nodes.register(OTHER, CLASS, "", "", PLEDGE);
        NodeLeaf memory leaf = leafWith(NODE, bob, 90, OTHER_CHIPS);
        bytes32[] memory proof = post(leaf);
        confirm(leafWith(OTHER, builder, 91, OTHER_CHIPS));
        nodes.confirm(leaf, proof);
        vm.assertEq(nodes.account(NODE).owner, bob, "owner");
        assertChips(NODE, CHIPS, 12);
        assertChips(OTHER, OTHER_CHIPS, 91);
    }

    function test_transfer_keepsWhoOfferedAndSinceWhenItIsOwned() public {
        accepted();
        uint64 alicesMs = registrationOf(alice).confirmedAtMs;
        vm.assertGt(alicesMs, 0, "confirmed");
        vm.assertEq(registrationOf(alice).offeredBy, address(0), "nobody offered it to her");
        vm.assertEq(registrationOf(bob).offeredBy, alice, "from the acceptance on");
        vm.assertEq(registrationOf(bob).confirmedAtMs, 0, "not before");
        confirm(leafOf(NODE, bob, 90));
        uint64 bobsMs = registrationOf(bob).confirmedAtMs;
        vm.assertEq(bobsMs, block.timestamp * 1000, "the hand-over");
        exitsAfter(epochs.currentEpoch());
        vm.assertEq(registrationOf(alice).confirmedAtMs, alicesMs, "never erased");
        vm.prank(bob);
        nodes.requestExit(NODE);
        skip(310 * HOUR);
        nodes.exit(NODE, bob);
        vm.assertEq(registrationOf(bob).confirmedAtMs, bobsMs, "nor bob's");
        vm.assertEq(registrationOf(bob).offeredBy, alice, "nor who had offered");
    }

    // ------------------------------------------------------------------------------------------- acceptances that lapse

    /// @dev Bob accepted, and two hours later Alice offers to `to`.
    function lapsed(address to) private returns (uint64 last) {
        accepted();
        skip(2 * HOUR);
        last = epochs.currentEpoch();
        vm.expectEmit(true, true, true, true, address(nodes));
        emit INodesTypes.AcceptanceLapsed(NODE, bob, last);
        vm.prank(alice);
        nodes.offerTransfer(NODE, to);
        assertLapsed(last);
    }

    function assertLapsed(uint64 last) private view {
        INodesTypes.Registration memory r = registrationOf(bob);
        vm.assertEq(uint256(r.status), uint256(NodeStatus.Provisional), "still his to take back");
        vm.assertEq(r.exitEpochs, last + 1, "no service after the epoch in which it lapsed");
        vm.assertEq(r.endedAtMs, 0, "not ended");
        assertMoney(bob, PLEDGE, 0, 0);
    }

    /// @dev Without a wait, and all of it.
    function cancels() private {
        vm.prank(bob);
        nodes.cancel(NODE);
        vm.assertEq(token.balanceOf(bob), 1_000_000, "paid back");
        vm.assertEq(uint256(registrationOf(bob).status), uint256(NodeStatus.None), "as any that was not confirmed");
        assertMoney(bob, 0, 0, 0);
    }

    /// @dev A leaf about Bob, of an epoch after every delay: what it asks for is Alice's.
    function settlesForAlice() private returns (NodeLeaf memory leaf) {
        leaf = leafOf(NODE, bob, 90);
        leaf.cumulativeSlash = 7;
        settle(leaf);
        vm.assertEq(nodes.account(NODE).settledEpochs, 91, "settled");
        vm.assertEq(registrationOf(bob).confirmingAtMs, 0, "holds nothing");
        assertMoney(alice, 193, 7, 0);
    }

    function assertNotLapsed(address provider) private {
        bytes32 topic = INodesTypes.AcceptanceLapsed.selector;
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            vm.assertTrue(logs[i].topics[0] != topic, "told");
        }
        vm.assertEq(registrationOf(provider).exitEpochs, 0, "lapsed");
    }

    function test_lapse_whenTheOfferIsTakenBack() public {
        uint64 last = lapsed(address(0));
        NodeLeaf memory leaf = settlesForAlice();
        refuse(leaf, abi.encodeWithSelector(INodesTypes.NotOffered.selector, NODE, address(0), bob));
        assertLapsed(last);
        cancels();
    }

    function test_lapse_whenAnotherIsOffered() public {
        uint64 last = lapsed(builder);
        vm.prank(builder);
        nodes.acceptTransfer(NODE, "builder:1", PLEDGE);
        vm.assertEq(registrationOf(builder).offeredBy, alice, "the new acceptance");
        confirm(leafOf(NODE, builder, 95));
        vm.assertEq(nodes.account(NODE).owner, builder, "is the one that counts");
        vm.assertEq(registrationOf(builder).exitEpochs, 0, "fulfilled");
        assertLapsed(last);
        cancels();
    }

    function test_lapse_whenTheSameIsOfferedAgain_untilItAcceptsAnew() public {
        lapsed(bob);
        uint256 id = nodes.registrationCount();
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.AlreadyRegistered.selector, NODE, bob));
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "bob:2", PLEDGE);
        refuse(settlesForAlice(), abi.encodeWithSelector(INodesTypes.NotRegistered.selector, NODE, bob));
        cancels();
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "bob:2", PLEDGE);
        INodesTypes.Registration memory r = registrationOf(bob);
        vm.assertEq(nodes.registrationCount(), id + 1, "a fresh one");
        vm.assertEq(r.exitEpochs, 0, "that owes service");
        vm.assertEq(r.offeredBy, alice, "to the new offer");
        vm.assertGt(nodes.registrationAt(id).exitEpochs, 0, "the old one keeps its end");
        NodeLeaf memory leaf = leafOf(NODE, bob, epochs.currentEpoch() + 49);
        leaf.cumulativeSlash = 7;
        confirm(leaf);
        vm.assertEq(nodes.account(NODE).owner, bob, "owner by the new one");
        assertMoney(bob, PLEDGE, 0, 0);
    }

    function test_lapse_once() public {
        uint64 last = lapsed(bob);
        skip(5 * HOUR);
        vm.recordLogs();
        vm.prank(alice);
        nodes.offerTransfer(NODE, address(0));
        vm.assertEq(vm.getRecordedLogs().length, 1, "TransferOffered");
        assertLapsed(last);
    }

    function test_lapse_whenTheOwnerLeaves() public {
        accepted();
        leavesAfterTheLastLeaf();
        uint64 last = epochs.currentEpoch();
        settle(leafOf(NODE, bob, last));
        vm.assertGt(registrationOf(bob).confirmingAtMs, 0, "a posted root names him");
        last = epochs.currentEpoch();
        vm.expectEmit(true, true, true, true, address(nodes));
        emit INodesTypes.AcceptanceLapsed(NODE, bob, last);
        nodes.exit(NODE, alice);
        assertLapsed(last);
        NodeLeaf memory leaf = leafOf(NODE, bob, last + 60);
        refuse(leaf, abi.encodeWithSelector(INodesTypes.NotRegistered.selector, NODE, bob));
        bytes32[] memory proof = post(leaf);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NotRegistered.selector, NODE, bob));
        nodes.settle(leaf, proof);
        cancels();
        register(bob, NODE, CLASS);
        vm.assertEq(registrationOf(bob).offeredBy, address(0), "accepts nothing");
        confirm(leafOf(NODE, bob, epochs.currentEpoch() + 1));
        vm.assertEq(nodes.account(NODE).owner, bob, "as any other");
    }

    /// @dev No root can confirm it any more: what one said holds nobody's pledge.
    function test_lapse_whileConfirming_isHeldByNothing() public {
        accepted();
        leavesAfterTheLastLeaf();
        settle(leafOf(NODE, bob, epochs.currentEpoch()));
        vm.expectPartialRevert(INodesTypes.Counts.selector);
        vm.prank(bob);
        nodes.cancel(NODE);
        nodes.exit(NODE, alice);
        cancels();
    }

    /// @dev Alice can leave: her last leaf is settled and final.
    function leavesAfterTheLastLeaf() private {
        vm.prank(alice);
        nodes.requestExit(NODE);
        uint64 last = registrationOf(alice).exitEpochs - 1 + nodes.exitDelayEpochs();
        settle(last, 0, 0);
        toFinal(last);
    }

    function test_lapse_notByTheHandOver() public {
        accepted();
        vm.recordLogs();
        confirm(leafOf(NODE, bob, 90));
        assertNotLapsed(bob);
        exitsAfter(epochs.currentEpoch());
        vm.startPrank(bob);
        nodes.offerTransfer(NODE, alice);
        nodes.offerTransfer(NODE, address(0));
        vm.stopPrank();
        assertNotLapsed(bob);
        vm.assertGt(registrationOf(alice).exitEpochs, 0, "what left before");
    }

    /// @dev It waits for the node to have no owner, as it did before the offer.
    function test_lapse_notOfARegistrationThatAcceptsNothing() public {
        register(bob, NODE, CLASS);
        offered();
        vm.recordLogs();
        vm.prank(alice);
        nodes.offerTransfer(NODE, bob);
        assertNotLapsed(bob);
        leavesAfterTheLastLeaf();
        nodes.exit(NODE, alice);
        assertNotLapsed(bob);
        confirm(leafOf(NODE, bob, epochs.currentEpoch()));
        vm.assertEq(nodes.account(NODE).owner, bob, "confirmed");
    }

    function test_lapse_notOfAnAcceptanceThatWasCancelled() public {
        accepted();
        toEpoch(epochs.currentEpoch() + 1);
        cancels();
        vm.recordLogs();
        vm.prank(alice);
        nodes.offerTransfer(NODE, address(0));
        assertNotLapsed(bob);
    }

    /// @dev A root can name whom an offer was made to from the end of the delay on.
    function test_cancel_ofAnAcceptance_untilAnEpochCountsIt() public {
        accepted();
        uint256 fromMs = nodes.account(NODE).changeAnnouncedAtMs + nodeParameters().changeDelayMs;
        uint64 epoch = uint64((fromMs - epochs.GENESIS_MS() + 3_599_999) / 3_600_000);
        toEpoch(epoch);
        uint256 startMs = block.timestamp * 1000;
        uint256 snapshot = vm.snapshotState();
        vm.warp(startMs / 1000 - 1);
        cancels();
        vm.revertToState(snapshot);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.Counts.selector, NODE, bob, startMs));
        vm.prank(bob);
        nodes.cancel(NODE);
    }

    /// @dev Else an owner and its friend make as many records as the gas allows, with one pledge.
    function test_cancel_ofWhatLapsed_notInTheEpochInWhichItWasMade() public {
        accepted();
        vm.prank(alice);
        nodes.offerTransfer(NODE, address(0));
        uint64 madeMs = registrationOf(bob).registeredAtMs;
        uint256 begunMs = epochs.GENESIS_MS() + uint256(epochs.currentEpoch()) * 3_600_000;
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.MadeNow.selector, NODE, bob, madeMs, begunMs));
        vm.prank(bob);
        nodes.cancel(NODE);
        toEpoch(epochs.currentEpoch() + 1);
        cancels();
    }

    /// @dev As a registration that accepts nothing: it waits for no leaf, and so for no delay.
    function test_lapse_expiresByAnyone() public {
        accepted();
        vm.prank(alice);
        nodes.offerTransfer(NODE, address(0));
        expiresAt(registrationOf(bob).registeredAtMs + nodeParameters().provisionalMs);
    }

    function test_lapse_whileConfirming_expiresFromThatRootOn() public {
        accepted();
        leavesAfterTheLastLeaf();
        settle(leafOf(NODE, bob, epochs.currentEpoch()));
        nodes.exit(NODE, alice);
        expiresAt(registrationOf(bob).confirmingAtMs + nodeParameters().provisionalMs);
    }

    // ------------------------------------------------------------------------------------------ owners that are removed

    /// @dev Alice's node is suspended since epoch 72; it is epoch 240, and anyone can remove it.
    function suspendedLongEnough() private {
        settle(70, 3, 0);
        settle(71, 3, 0);
        skip(168 * HOUR);
    }

    function expectLapse() private {
        vm.expectEmit(true, true, true, true, address(nodes));
        emit INodesTypes.AcceptanceLapsed(NODE, bob, epochs.currentEpoch());
        vm.expectEmit(true, true, true, true, address(nodes));
        emit INodesTypes.TransferOffered(NODE, alice, address(0));
    }

    /// @dev Alice's registration is removed, and what Bob accepted is over.
    function assertOfferEnded() private view {
        assertStatus(NodeStatus.Removed, "removed");
        INodesTypes.Account memory a = nodes.account(NODE);
        vm.assertEq(a.owner, alice, "still the owner");
        vm.assertEq(a.transferTo, address(0), "offers nothing");
        vm.assertEq(a.changeAnnouncedAtMs, 0, "nothing is announced");
        assertLapsed(epochs.currentEpoch());
    }

    function test_removedOwner_byAnyonesCall() public {
        accepted();
        suspendedLongEnough();
        expectLapse();
        nodes.remove(NODE);
        assertOfferEnded();
        NodeLeaf memory leaf = leafOf(NODE, bob, epochs.currentEpoch() + 1);
        leaf.cumulativeSlash = 7;
        settle(leaf);
        assertMoney(alice, 193, 7, 0);
        vm.assertEq(registrationOf(bob).confirmingAtMs, 0, "holds nothing");
        cancels();
    }

    function test_removedOwner_whileARootNamesTheNewOne_holdsNothing() public {
        accepted();
        settle(70, 3, 0);
        settle(71, 3, 0);
        toEpoch(200);
        settle(leafOf(NODE, bob, 200));
        skip(39 * HOUR);
        vm.expectPartialRevert(INodesTypes.Counts.selector);
        vm.prank(bob);
        nodes.cancel(NODE);
        nodes.remove(NODE);
        assertOfferEnded();
        cancels();
    }

    function test_removedOwner_byALeaf() public {
        accepted();
        suspendedLongEnough();
        NodeLeaf memory leaf = leafOf(NODE, alice, epochs.currentEpoch());
        bytes32[] memory proof = post(leaf);
        expectLapse();
        nodes.settle(leaf, proof);
        assertOfferEnded();
        cancels();
    }

    function test_removedOwner_byTheReleaseOfAllItHad() public {
        setClassThatTakesAll();
        accepted("all");
        settle(80, 3, PLEDGE);
        vm.assertEq(registrationOf(bob).exitEpochs, 0, "suspended: the offer stands");
        toFinal(80);
        expectLapse();
        nodes.release(NODE, alice);
        assertOfferEnded();
        cancels();
    }

    function test_removedOwner_ofAnOfferThatNobodyAccepted() public {
        offered();
        suspendedLongEnough();
        nodes.remove(NODE);
        vm.assertEq(nodes.account(NODE).transferTo, address(0), "offers nothing");
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NotOffered.selector, NODE, address(0), bob));
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "bob:1", PLEDGE);
    }

    function test_removedOwner_notOfARegistrationThatAcceptsNothing() public {
        register(bob, NODE, CLASS);
        offered();
        suspendedLongEnough();
        vm.recordLogs();
        nodes.remove(NODE);
        assertNotLapsed(bob);
    }

    function leafAsking(bytes32 node, address owner, uint64 epoch, uint128 slash)
        private
        pure
        returns (NodeLeaf memory leaf)
    {
        leaf = leafOf(node, owner, epoch);
        leaf.cumulativeSlash = slash;
    }

    function test_lapse_isNoWayToLeave() public {
        uint64 last = lapsed(address(0));
        toEpoch(last + 2 * nodes.exitDelayEpochs());
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NotLeaving.selector, NODE, bob));
        nodes.exit(NODE, bob);
        cancels();
    }

    // --------------------------------------------------------------------------------------------- change of processors

    /// @dev Bob's, without processors, by the leaf of `epoch`.
    function otherNode(uint64 epoch) private {
        vm.prank(bob);
        nodes.register(OTHER, CLASS, "", "", PLEDGE);
        confirm(leafWith(OTHER, bob, epoch, 0));
    }

    function expectChips(bytes32 node, bytes32 from, bytes32 to) private {
        vm.expectEmit(true, true, true, true, address(nodes));
        emit INodesTypes.ChipsChanged(node, from, to);
    }

    function test_chips_othersAreBound_andTheFormerFreed() public {
        active();
        uint64 confirmedAtMs = registrationOf(alice).confirmedAtMs;
        NodeLeaf memory leaf = leafWith(NODE, alice, 40, OTHER_CHIPS);
        bytes32[] memory proof = post(leaf);
        toFinal(40);
        expectChips(NODE, CHIPS, OTHER_CHIPS);
        nodes.confirm(leaf, proof);
        vm.snapshotGasLastCall("AssayNodes", "confirm: other processors");
        assertChips(NODE, OTHER_CHIPS, 40);
        vm.assertEq(nodes.nodeOfChips(CHIPS), 0, "freed");
        vm.assertEq(registrationOf(alice).confirmedAtMs, confirmedAtMs, "owned since before");
    }

    function test_chips_theSameOrNoneConfirmNothing() public {
        active();
        refuse(leafOf(NODE, alice, 40), abi.encodeWithSelector(INodesTypes.NothingToConfirm.selector, NODE, 40));
        refuse(leafWith(NODE, alice, 70, 0), abi.encodeWithSelector(INodesTypes.NothingToConfirm.selector, NODE, 70));
        assertChips(NODE, CHIPS, 12);
    }

    function test_chips_firstOnesOfAnOwnedNode() public {
        register(alice, NODE, CLASS);
        confirm(leafWith(NODE, alice, 12, 0));
        NodeLeaf memory leaf = leafOf(NODE, alice, 40);
        bytes32[] memory proof = post(leaf);
        toFinal(40);
        expectChips(NODE, 0, CHIPS);
        nodes.confirm(leaf, proof);
        assertChips(NODE, CHIPS, 40);
    }

    function test_chips_notByAnOlderLeafThanTheLast() public {
        active();
        NodeLeaf memory leaf = leafWith(NODE, alice, 40, "older chips");
        bytes32[] memory proof = post(leaf);
        confirm(leafWith(NODE, alice, 41, OTHER_CHIPS));
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.StaleLeaf.selector, NODE, 42, 40));
        nodes.confirm(leaf, proof);
        assertChips(NODE, OTHER_CHIPS, 41);
        vm.assertEq(nodes.nodeOfChips("older chips"), 0, "not bound");
    }

    /// @dev Alice's node had them by epoch 12, Bob's has them by a later one.
    function test_chips_moveToAnotherNode_andNoOlderLeafTakesThemBack() public {
        active();
        otherNode(38);
        NodeLeaf memory back = leafWith(NODE, alice, 69, OTHER_CHIPS);
        bytes32[] memory proofOfBack = post(back);
        NodeLeaf memory leaf = leafOf(OTHER, bob, 70);
        bytes32[] memory proof = post(leaf);
        toFinal(70);
        expectChips(NODE, CHIPS, 0);
        expectChips(OTHER, 0, CHIPS);
        nodes.confirm(leaf, proof);
        vm.snapshotGasLastCall("AssayNodes", "confirm: processors of another node");
        assertChips(OTHER, CHIPS, 70);
        assertChips(NODE, 0, 70);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.StaleLeaf.selector, NODE, 71, 69));
        nodes.confirm(back, proofOfBack);
        confirm(leafOf(NODE, alice, 100));
        assertChips(NODE, CHIPS, 100);
        assertChips(OTHER, 0, 100);
    }

    /// @dev No leaf freed those of Bob's node: what it is late for is the one by which Alice's has them.
    function test_chips_ofAnotherNode_notByAnOlderLeaf() public {
        active();
        otherNode(38);
        NodeLeaf memory leaf = leafWith(OTHER, bob, 69, OTHER_CHIPS);
        bytes32[] memory proof = post(leaf);
        confirm(leafWith(NODE, alice, 70, OTHER_CHIPS));
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.ChipsTaken.selector, OTHER_CHIPS, OTHER, NODE));
        nodes.confirm(leaf, proof);
        assertChips(NODE, OTHER_CHIPS, 70);
        vm.assertEq(nodes.account(OTHER).chips, 0, "takes nothing");
    }

    /// @dev One root binds both: in whichever order its leaves come.
    function test_chips_byALeafOfTheEpochThatFreedThem() public {
        active();
        otherNode(38);
        NodeLeaf memory taking = leafOf(OTHER, bob, 70);
        NodeLeaf memory leaf = leafWith(NODE, alice, 70, OTHER_CHIPS);
        post(70, hashOf(taking));
        epochs.post(70, pair(hashOf(taking), hashOf(leaf)));
        toFinal(70);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = hashOf(leaf);
        nodes.confirm(taking, proof);
        assertChips(NODE, 0, 70);
        proof[0] = hashOf(taking);
        nodes.confirm(leaf, proof);
        assertChips(NODE, OTHER_CHIPS, 70);
        assertChips(OTHER, CHIPS, 70);
    }

    function test_chips_ofAnotherNode_surviveTheExitOfWhoHadThem() public {
        active();
        otherNode(38);
        confirm(leafOf(OTHER, bob, 70));
        leavesAfterTheLastLeaf();
        nodes.exit(NODE, alice);
        vm.assertEq(nodes.account(NODE).owner, address(0), "left");
        assertChips(OTHER, CHIPS, 70);
        assertChips(NODE, 0, 70);
    }

    function test_chips_ofWhoLeft_areFreeForAnotherNode() public {
        active();
        otherNode(38);
        leavesAfterTheLastLeaf();
        nodes.exit(NODE, alice);
        assertChips(NODE, 0, 12);
        vm.assertEq(nodes.nodeOfChips(CHIPS), 0, "free");
        uint64 epoch = epochs.currentEpoch();
        confirm(leafOf(OTHER, bob, epoch));
        assertChips(OTHER, CHIPS, epoch);
        assertChips(NODE, 0, 12);
    }

    /// @dev Another TPM, another id: what the old one did stays with its own pledge.
    function test_chips_moveToTheOwnersNextId_withoutThePledge() public {
        active();
        vm.prank(alice);
        nodes.requestExit(NODE);
        vm.prank(alice);
        nodes.register(OTHER, CLASS, "", "", PLEDGE);
        NodeLeaf memory leaf = leafOf(OTHER, alice, 45);
        bytes32[] memory proof = post(leaf);
        settle(46, 3, 30);
        toFinal(45);
        expectChips(NODE, CHIPS, 0);
        expectChips(OTHER, 0, CHIPS);
        nodes.confirm(leaf, proof);
        settle(80, 3, 45);
        assertMoney(alice, 155, 45, 0);
        vm.assertEq(nodes.registration(OTHER, alice).collateral, PLEDGE, "of the new id nothing is asked");
        uint64 last = registrationOf(alice).exitEpochs - 1 + nodes.exitDelayEpochs();
        settle(last, 3, 45);
        toFinal(last);
        nodes.release(NODE, alice);
        nodes.exit(NODE, alice);
        vm.assertEq(token.balanceOf(alice), 1_000_000 - 45 - PLEDGE, "what is left of the old pledge");
        assertChips(OTHER, CHIPS, 45);
        assertChips(NODE, 0, 45);
    }

    function refuse(NodeLeaf memory leaf, bytes memory expected) private {
        bytes32[] memory proof = post(leaf);
        toFinal(leaf.epoch);
        vm.expectRevert(expected);
        nodes.confirm(leaf, proof);
    }
}
