// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";
import {NodeLeaf, NodeStatus} from "../../src/interfaces/Types.sol";
import {Money} from "./Money.sol";

/// @title A network under random calls: providers, Builders, a committee that errs and corrects itself, time.
/// @notice Sums are tracked as the outside sees them, and every path out is walked at the end.
contract Handler is Money {
    bytes32[2] public nodeIds = [bytes32("one"), "two"];
    bytes32[4] public chipsIds = [bytes32(0), "one's", "two's", "three's"];
    address[2] public providers = [address(0xa11ce), address(0xb0b)];
    address[2] public builders = [address(0xb111de), address(0xb111df)];

    mapping(bytes32 => uint64) public lastEpoch;
    mapping(bytes32 => uint128) public slash;
    mapping(bytes32 => uint64) public up;
    mapping(bytes32 => uint64) public down;
    mapping(bytes32 => NodeLeaf) private _last;

    address private immutable TEST = msg.sender;

    error NotForFuzzing();

    constructor() {
        super.setUp();
        give(builders[1]);
        vm.prank(governor);
        reservations.setSchedule(SECOND, tiers());
        for (uint256 i; i < 2; ++i) {
            vm.prank(providers[i]);
            nodes.register(nodeIds[i], i == 0 ? CLASS : SECOND, "", "", PLEDGE);
            NodeLeaf memory leaf = leafOf(nodeIds[i], providers[i], 12);
            leaf.chips = 0;
            confirm(leaf);
            lastEpoch[nodeIds[i]] = 12;
            toEpoch(10);
            offerBy(nodeIds[i], 10);
        }
        toEpoch(40);
    }

    function setUp() public pure override {
        revert NotForFuzzing();
    }

    function nodeOf(uint256 seed) private view returns (bytes32) {
        return nodeIds[seed % 2];
    }

    function providerOf(uint256 seed) private view returns (address) {
        return providers[(seed >> 8) % 2];
    }

    function wait(uint16 hours_) external {
        skip(bound(hours_, 1, 40) * HOUR);
    }

    /// @dev Rarely, and then long: what waits for a delay gets its turn.
    function perhapsLater(uint256 seed, uint256 hours_) private {
        if ((seed >> 128) % 8 == 0) skip(hours_ * HOUR);
    }

    function registerAs(uint256 seed, uint8 extra) external {
        vm.prank(providerOf(seed));
        nodes.register(nodeOf(seed), seed % 5 == 0 ? SECOND : CLASS, "", "", PLEDGE + extra);
    }

    function cancelAs(uint256 seed) external {
        vm.prank(providerOf(seed));
        nodes.cancel(nodeOf(seed));
    }

    function expire(uint256 seed) external {
        perhapsLater(seed, 121);
        nodes.expire(nodeOf(seed), providerOf(seed));
    }

    function topUpAs(uint256 seed, uint8 amount) external {
        vm.prank(providerOf(seed));
        nodes.topUp(nodeOf(seed), amount);
    }

    function requestExitAs(uint256 seed) external {
        if ((seed >> 128) % 4 != 0) return;
        vm.prank(providerOf(seed));
        nodes.requestExit(nodeOf(seed));
    }

    function exitAs(uint256 seed) external {
        perhapsLater(seed, 340);
        nodes.exit(nodeOf(seed), providerOf(seed));
    }

    function transfer(uint256 seed) external {
        bytes32 node = nodeOf(seed);
        address owner = nodes.account(node).owner;
        address to = owner == providers[0] ? providers[1] : providers[0];
        vm.prank(owner);
        nodes.offerTransfer(node, to);
        vm.prank(to);
        nodes.acceptTransfer(node, "", PLEDGE);
    }

    /// @dev Offers only, or takes back: what had accepted the offer before lapses.
    function offerNode(uint256 seed) external {
        bytes32 node = nodeOf(seed);
        vm.prank(nodes.account(node).owner);
        nodes.offerTransfer(node, (seed >> 16) % 3 == 0 ? address(0) : providerOf(seed));
    }

    function acceptAs(uint256 seed) external {
        vm.prank(providerOf(seed));
        nodes.acceptTransfer(nodeOf(seed), "", PLEDGE);
    }

    function nextLeaf(uint256 seed) private returns (NodeLeaf memory leaf) {
        bytes32 node = nodeOf(seed);
        uint64 epoch = epochs.currentEpoch();
        if (epoch <= lastEpoch[node]) epoch = lastEpoch[node] + 1;
        lastEpoch[node] = epoch;
        slash[node] += uint128((seed >> 16) % 3 == 0 ? (seed >> 24) % 70 : 0);
        up[node] += uint64(bound(seed >> 32, 0, 60));
        down[node] += uint64(bound(seed >> 48, 0, 3));
        address owner = nodes.account(node).owner;
        if (owner == address(0) || (seed >> 64) % 8 == 0) owner = providerOf(seed);
        leaf = leafWith(node, owner, epoch, chipsIds[(seed >> 80) % 4]);
        leaf.verdict = uint8((seed >> 72) % 4);
        leaf.cumulativeSlash = slash[node];
        leaf.cumulativeUpSlots = up[node];
        leaf.cumulativeDownSlots = down[node];
    }

    function settleLeaf(uint256 seed) external {
        NodeLeaf memory leaf = nextLeaf(seed);
        bytes32[] memory proof = post(leaf);
        _last[leaf.node] = leaf;
        nodes.settle(leaf, proof);
    }

    function correctLeaf(uint256 seed, uint8 less) external {
        NodeLeaf memory leaf = _last[nodeOf(seed)];
        leaf.cumulativeSlash -= leaf.cumulativeSlash < less ? leaf.cumulativeSlash : less;
        bytes32[] memory proof = correct(leaf.epoch, hashOf(leaf));
        slash[leaf.node] = leaf.cumulativeSlash;
        _last[leaf.node] = leaf;
        nodes.settle(leaf, proof);
    }

    function confirmLeaf(uint256 seed) external {
        NodeLeaf memory leaf = nextLeaf(seed);
        bytes32[] memory proof = post(leaf);
        toFinal(leaf.epoch);
        nodes.confirm(leaf, proof);
    }

    function releaseAs(uint256 seed) external {
        if (seed % 3 == 0) skip(25 * HOUR);
        nodes.release(nodeOf(seed), providerOf(seed));
    }

    function removeNode(uint256 seed) external {
        perhapsLater(seed, 168);
        nodes.remove(nodeOf(seed));
    }

    function offerAs(uint256 seed) external {
        offerBy(nodeOf(seed), uint128(bound(seed >> 16, 1, 20)));
    }

    function offerBy(bytes32 node, uint128 price) private {
        vm.prank(nodes.account(node).owner);
        reservations.offer(node, price, 1, 60, true);
    }

    function reserveAs(uint256 seed) external {
        uint64 first = epochs.currentEpoch() + 1 + uint64((seed >> 16) % 30);
        uint64 n = 1 + uint64((seed >> 24) % 60);
        vm.prank(builders[(seed >> 8) % 2]);
        reservations.reserve(nodeOf(seed), first, n, 20);
    }

    function cancelReservation(uint256 seed) external {
        uint256 id = 1 + seed % reservations.reservationCount();
        vm.prank(reservations.reservation(id).builder);
        reservations.cancel(id);
    }

    /// @dev A leaf for a reservation's next step, with the node's sums as they are.
    function billReservation(uint256 seed) external {
        uint256 id = 1 + seed % reservations.reservationCount();
        IAssayReservations.Reservation memory r = reservations.reservation(id);
        uint64 epoch = r.started ? reservations.nextPeriodEnd(id) : r.firstEpoch - 1;
        up[r.node] += uint64(bound(seed >> 32, 0, 1_500));
        down[r.node] += uint64(bound(seed >> 48, 0, 40));
        NodeLeaf memory leaf = leafOf(r.node, r.provider, epoch);
        leaf.cumulativeUpSlots = up[r.node];
        leaf.cumulativeDownSlots = down[r.node];
        bytes32[] memory proof = post(leaf);
        toFinal(epoch);
        if (r.started) reservations.settle(id, leaf, proof);
        else reservations.start(id, leaf, proof);
    }

    function refundReservation(uint256 seed) external {
        reservations.refund(1 + seed % reservations.reservationCount());
    }

    function withdrawFor(uint256 seed) external {
        reservations.withdraw(seed % 2 == 0 ? providerOf(seed) : builders[(seed >> 8) % 2]);
    }

    // --------------------------------------------------------------------------------------------------------- checks

    function checkNodes() external view {
        uint256 sum;
        for (uint256 id = 1; id <= nodes.registrationCount(); ++id) {
            INodesTypes.Registration memory r = nodes.registrationAt(id);
            sum += uint256(r.collateral) + r.escrow;
            vm.assertLe(r.escrow + r.slashed, uint256(r.pledged) * 9_000 / 10_000, "slashes within the share");
            if (r.endedAtMs == 0) {
                vm.assertEq(r.collateral + r.escrow + r.slashed, r.pledged, "the pledge is all there");
            } else {
                vm.assertEq(r.collateral + r.escrow, 0, "an ended registration has nothing");
            }
        }
        vm.assertEq(sum, nodes.totalHeld(), "sum of registrations");
        vm.assertEq(token.balanceOf(address(nodes)), nodes.totalHeld(), "balance");
    }

    /// @dev Who reads registrations alone knows which of them a leaf can make the owner's, and which ever were.
    function checkOffers() external view {
        for (uint256 i; i < 2; ++i) {
            INodesTypes.Account memory a = nodes.account(nodeIds[i]);
            if (a.transferTo == address(0)) continue;
            NodeStatus status_ = nodes.registrationAt(a.registrationId).status;
            vm.assertTrue(status_ != NodeStatus.None && status_ != NodeStatus.Removed, "who offers has a live node");
        }
        for (uint256 id = 1; id <= nodes.registrationCount(); ++id) {
            INodesTypes.Registration memory r = nodes.registrationAt(id);
            bool unconfirmed = r.status == NodeStatus.Provisional || r.status == NodeStatus.None;
            vm.assertEq(r.confirmedAtMs == 0, unconfirmed, "confirmed when it was an owner's");
            if (r.status != NodeStatus.Provisional) continue;
            if (r.offeredBy == address(0)) {
                vm.assertEq(r.exitEpochs, 0, "only acceptances lapse");
            } else if (r.exitEpochs == 0) {
                INodesTypes.Account memory a = nodes.account(r.node);
                vm.assertEq(a.transferTo, r.provider, "what waits accepted the open offer");
                vm.assertEq(a.owner, r.offeredBy, "of the owner");
            }
        }
    }

    /// @dev Which node has processors, and which processors a node has, are one and the same.
    function checkChips() external view {
        for (uint256 i; i < 4; ++i) {
            bytes32 node = nodes.nodeOfChips(chipsIds[i]);
            if (node != 0) vm.assertEq(nodes.account(node).chips, chipsIds[i], "the node's");
        }
        for (uint256 i; i < 2; ++i) {
            INodesTypes.Account memory a = nodes.account(nodeIds[i]);
            if (a.chips == 0) continue;
            vm.assertEq(nodes.nodeOfChips(a.chips), nodeIds[i], "its node");
            vm.assertTrue(a.owner != address(0), "nobody's node has none");
        }
    }

    function checkReservations() external view {
        uint256 sum = uint256(reservations.balanceOf(treasury));
        for (uint256 i; i < 2; ++i) {
            sum += uint256(reservations.balanceOf(providers[i])) + reservations.balanceOf(builders[i]);
        }
        for (uint256 id = 1; id <= reservations.reservationCount(); ++id) {
            IAssayReservations.Reservation memory r = reservations.reservation(id);
            uint64 left = r.endEpoch - r.settledThrough;
            vm.assertEq(r.held, uint256(r.pricePerEpoch) * left, "held is the rent of what is not settled");
            sum += r.held;
        }
        vm.assertEq(sum, reservations.totalHeld(), "sum of parts");
        vm.assertEq(token.balanceOf(address(reservations)), reservations.totalHeld(), "balance");
    }

    /// @dev After everything has expired, all of it can be taken out by anyone's calls, and nothing is left.
    function drain() external {
        if (msg.sender != TEST) revert NotForFuzzing();
        for (uint256 i; i < 4; ++i) {
            try this.requestExitFor(i) {} catch {}
        }
        skip(3_000 * HOUR);
        for (uint256 i; i < 4; ++i) {
            drainRegistration(nodeIds[i % 2], providers[i / 2]);
        }
        for (uint256 id = 1; id <= reservations.reservationCount(); ++id) {
            try reservations.refund(id) {} catch {}
        }
        address[5] memory all = [providers[0], providers[1], builders[0], builders[1], treasury];
        for (uint256 i; i < 5; ++i) {
            if (reservations.balanceOf(all[i]) != 0) reservations.withdraw(all[i]);
        }
        vm.assertEq(nodes.totalHeld(), 0, "no collateral is stuck");
        vm.assertEq(reservations.totalHeld(), 0, "no rent is stuck");
    }

    function requestExitFor(uint256 i) external {
        if (msg.sender != address(this)) revert NotForFuzzing();
        vm.prank(providers[i / 2]);
        nodes.requestExit(nodeIds[i % 2]);
    }

    function drainRegistration(bytes32 node, address provider) private {
        while (nodes.pendingReleases(node, provider) != 0) nodes.release(node, provider);
        INodesTypes.Registration memory r = nodes.registration(node, provider);
        if (r.registeredAtMs == 0 || r.endedAtMs != 0) return;
        if (r.status == NodeStatus.Provisional) nodes.expire(node, provider);
        else nodes.exit(node, provider);
    }
}

/// forge-config: default.invariant.depth = 200
contract ConservedTest is Money {
    Handler private _handler;

    function setUp() public override {
        _handler = new Handler();
        target(address(_handler));
    }

    function invariant_collateralIsConserved() public view {
        _handler.checkNodes();
    }

    function invariant_acceptancesAreOfOpenOffers() public view {
        _handler.checkOffers();
    }

    function invariant_processorsAreOfOneNode() public view {
        _handler.checkChips();
    }

    function invariant_rentIsConserved() public view {
        _handler.checkReservations();
    }

    function afterInvariant() public {
        _handler.drain();
    }
}
