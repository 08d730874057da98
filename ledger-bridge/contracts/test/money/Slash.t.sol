// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";
import {NodeLeaf, NodeStatus} from "../../src/interfaces/Types.sol";
import {SlashQueue} from "../../src/lib/SlashQueue.sol";
import {Money} from "./Money.sol";
import {BlockingToken} from "./Tokens.sol";

/// @title Slash.tree: what leaves ask for, what is taken, released and given back.
contract SlashTest is Money {
    // ----------------------------------------------------------------------------------------------------------- asked

    function test_asked_goesIntoEscrow() public {
        active();
        settle(40, 3, 30);
        assertMoney(alice, 170, 30, 0);
        vm.snapshotGasLastCall("AssayNodes", "settle: slash");
        vm.assertEq(nodes.pendingReleases(NODE, alice), 1, "pending");
    }

    function test_asked_isTheGrowthOnly() public {
        active();
        settle(40, 3, 30);
        settle(41, 0, 30);
        settle(42, 3, 45);
        assertMoney(alice, 155, 45, 0);
    }

    function test_asked_aboveTheCapOfAnEpochIsNeverAskedAgain() public {
        active();
        settle(40, 1, 0);
        settle(41, 3, 60);
        assertMoney(alice, 160, 40, 0);
        settle(42, 3, 61);
        assertMoney(alice, 159, 41, 0);
    }

    function test_asked_ofEpochsSettledAtOnceHasTheCapOfEach() public {
        active();
        settle(40, 1, 0);
        settle(42, 3, 90);
        assertMoney(alice, 120, 80, 0);
    }

    function test_asked_endsAtTheShareOfThePledge() public {
        active();
        for (uint64 i; i < 6; ++i) {
            settle(40 + i, 3, 40 * (i + 1));
        }
        assertMoney(alice, 20, 180, 0);
    }

    function test_asked_moreThanThereIsTakesWhatThereIs() public {
        setClassThatTakesAll();
        active("all");
        settle(40, 1, 0);
        settle(60, 3, 10_000);
        assertMoney(alice, 0, 200, 0);
        settle(61, 3, 20_000);
        assertMoney(alice, 0, 200, 0);
    }

    function test_asked_countsFromTheFirstLeafOfTheFirstOwner() public {
        register(alice, NODE, CLASS);
        NodeLeaf memory leaf = leafOf(NODE, alice, 12);
        leaf.cumulativeSlash = 7;
        confirm(leaf);
        assertMoney(alice, 193, 7, 0);
    }

    function testFuzz_asked_neverTakesMoreThanCapsAndPledge(uint128[8] memory asks, uint8[8] memory gaps) public {
        active();
        uint64 epoch = 40;
        uint128 sum;
        for (uint256 i; i < asks.length; ++i) {
            INodesTypes.Registration memory before = registrationOf(alice);
            uint64 gap = 1 + gaps[i] % 4;
            uint64 settled = nodes.account(NODE).settledEpochs;
            epoch += gap;
            sum += uint128(bound(asks[i], 0, 500));
            settle(epoch, 3, sum);
            INodesTypes.Registration memory r = registrationOf(alice);
            vm.assertLe(before.collateral - r.collateral, uint256(40) * (epoch + 1 - settled), "cap of each epoch");
            vm.assertLe(r.escrow, 180, "share of the pledge");
            vm.assertEq(r.collateral + r.escrow, PLEDGE, "nothing lost");
        }
        assertConserved();
    }

    // -------------------------------------------------------------------------------------------------------- released

    function test_released_whenFinal_toTheTreasuryWithoutABuilder() public {
        active();
        settle(40, 3, 30);
        toFinal(40);
        nodes.release(NODE, alice);
        vm.snapshotGasLastCall("AssayNodes", "release: one entry");
        assertMoney(alice, 170, 0, 30);
        vm.assertEq(token.balanceOf(treasury), 23, "treasury");
        reservations.withdraw(treasury);
        vm.assertEq(token.balanceOf(treasury), 30, "Builder's share without a Builder");
        assertConserved();
    }

    function test_released_notBeforeTheEpochIsFinal() public {
        active();
        settle(40, 3, 30);
        vm.warp(epochs.epochRecord(40).finalAtMs / 1000 - 1);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NothingToRelease.selector, NODE, alice));
        nodes.release(NODE, alice);
        vm.warp(block.timestamp + 1);
        nodes.release(NODE, alice);
    }

    function test_released_notBeforeAnExtendedWindowEnds() public {
        active();
        settle(40, 3, 30);
        epochs.extend(1_000);
        toFinal(40);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NothingToRelease.selector, NODE, alice));
        nodes.release(NODE, alice);
    }

    function test_released_nothingTwice() public {
        active();
        settle(40, 3, 30);
        toFinal(40);
        nodes.release(NODE, alice);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NothingToRelease.selector, NODE, alice));
        nodes.release(NODE, alice);
    }

    function test_released_ofAnUnknownRegistration() public {
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NotRegistered.selector, NODE, bob));
        nodes.release(NODE, bob);
    }

    function test_released_inOrderAsFarAsFinal() public {
        active();
        settle(40, 3, 10);
        settle(41, 3, 20);
        toFinal(40);
        nodes.release(NODE, alice);
        assertMoney(alice, 180, 10, 10);
    }

    function test_released_boundedStepsByCall() public {
        active();
        for (uint64 i; i < 40; ++i) {
            settle(40 + i, 3, i + 1);
        }
        toFinal(79);
        nodes.release(NODE, alice);
        vm.snapshotGasLastCall("AssayNodes", "release: 32 entries");
        vm.assertEq(nodes.pendingReleases(NODE, alice), 40 - SlashQueue.MAX_STEPS, "left");
        nodes.release(NODE, alice);
        assertMoney(alice, 160, 0, 40);
    }

    function test_released_asManyBuildersPartsAsEntries() public {
        active();
        for (uint64 i; i < 33; ++i) {
            settle(40 + i, 3, (i + 1) * 4);
        }
        toFinal(72);
        vm.expectEmit(true, true, true, true, address(nodes));
        emit INodesTypes.Released(NODE, alice, 40, 3, 1);
        nodes.release(NODE, alice);
        assertMoney(alice, 68, 4, 128);
    }

    function test_released_whenEverythingIsGoneTheNodeIsRemoved() public {
        setClassThatTakesAll();
        active("all");
        settle(60, 3, 400);
        assertStatus(NodeStatus.Suspended, "what is in escrow can come back");
        toFinal(60);
        nodes.release(NODE, alice);
        assertMoney(alice, 0, 0, 200);
        assertStatus(NodeStatus.Removed, "nothing left");
        vm.assertEq(registrationOf(alice).exitEpochs, epochs.currentEpoch() + 1, "nothing left to try it for");
    }

    /// @dev A treasury that cannot receive holds up no release: what it has to get waits for it.
    function test_released_whenTheTreasuryIsBlocked() public {
        BlockingToken blocking = new BlockingToken();
        deploy(blocking);
        active();
        settle(40, 3, 30);
        toFinal(40);
        blocking.setBlocked(treasury, true);
        vm.expectEmit(true, true, true, true, address(reservations));
        emit IAssayReservations.Deposited(treasury, 23);
        nodes.release(NODE, alice);
        assertMoney(alice, 170, 0, 30);
        vm.assertEq(reservations.balanceOf(treasury), 30, "waits, with the Builder's share without a Builder");
        vm.expectRevert("blocked");
        reservations.withdraw(treasury);
        blocking.setBlocked(treasury, false);
        reservations.withdraw(treasury);
        vm.assertEq(token.balanceOf(treasury), 30, "paid");
        assertConserved();
    }

    // ------------------------------------------------------------------------------------------------------- given back

    function test_givenBack_whatACorrectedLeafNoLongerAsksFor() public {
        active();
        settle(40, 3, 30);
        NodeLeaf memory leaf = leafOf(NODE, alice, 40);
        leaf.cumulativeSlash = 10;
        bytes32[] memory proof = correct(40, hashOf(leaf));
        nodes.settle(leaf, proof);
        assertMoney(alice, 190, 10, 0);
        toFinal(40);
        nodes.release(NODE, alice);
        assertMoney(alice, 190, 0, 10);
    }

    function test_givenBack_aCorrectedLeafThatAsksForMoreIsTakenWithinTheSameCap() public {
        active();
        settle(40, 1, 0);
        settle(41, 3, 30);
        NodeLeaf memory leaf = leafOf(NODE, alice, 41);
        leaf.cumulativeSlash = 90;
        bytes32[] memory proof = correct(41, hashOf(leaf));
        nodes.settle(leaf, proof);
        assertMoney(alice, 160, 40, 0);
    }

    /// @dev A corrected root takes the place of its own epoch's only.
    function test_givenBack_notWhatAnEarlierEpochAsked() public {
        active();
        settle(40, 3, 30);
        NodeLeaf memory leaf = leafOf(NODE, alice, 41);
        leaf.cumulativeSlash = 50;
        post(41, "another tree");
        bytes32[] memory proof = correct(41, hashOf(leaf));
        nodes.settle(leaf, proof);
        assertMoney(alice, 150, 50, 0);
        vm.assertEq(nodes.pendingReleases(NODE, alice), 2, "an entry of each");
    }

    function test_givenBack_aCorrectedLeafThatFirstAsksIsTaken() public {
        active();
        settle(40, 1, 0);
        NodeLeaf memory leaf = leafOf(NODE, alice, 40);
        leaf.cumulativeSlash = 50;
        bytes32[] memory proof = correct(40, hashOf(leaf));
        nodes.settle(leaf, proof);
        assertMoney(alice, 160, 40, 0);
    }

    function test_givenBack_byReleaseWhenTheRootWasReplacedAndNothingSettledAnew() public {
        active();
        settle(40, 3, 30);
        correct(40, "another tree");
        nodes.release(NODE, alice);
        assertMoney(alice, 200, 0, 0);
        settle(41, 0, 30);
        assertMoney(alice, 170, 30, 0);
    }

    function test_givenBack_byALaterLeafThatAsksForLess() public {
        active();
        settle(40, 3, 30);
        settle(41, 3, 50);
        settle(42, 0, 20);
        assertMoney(alice, 180, 20, 0);
        vm.assertEq(nodes.pendingReleases(NODE, alice), 1, "the later entry is gone");
    }

    function test_givenBack_notWhatIsStillAskedAboveACap() public {
        active();
        settle(40, 1, 0);
        settle(41, 3, 60);
        settle(42, 0, 50);
        assertMoney(alice, 160, 40, 0);
        settle(43, 0, 30);
        assertMoney(alice, 170, 30, 0);
    }

    function test_givenBack_neverWhatWasReleased() public {
        active();
        settle(40, 3, 30);
        toFinal(40);
        nodes.release(NODE, alice);
        settle(70, 0, 0);
        assertMoney(alice, 170, 0, 30);
        settle(71, 3, 30);
        assertMoney(alice, 170, 0, 30);
        settle(72, 3, 31);
        assertMoney(alice, 169, 1, 30);
    }

    function test_givenBack_whenTheRecordIsGone_andAskedAgain() public {
        active();
        settle(40, 3, 30);
        uint64 later = 40 + epochs.RING();
        post(later, "a tree of the same slot");
        nodes.release(NODE, alice);
        assertMoney(alice, 200, 0, 0);
        settle(later + 1, 0, 30);
        assertMoney(alice, 170, 30, 0);
    }
}
