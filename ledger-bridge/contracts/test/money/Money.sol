// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayNodes, INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";
import {NodeLeaf, NodeStatus} from "../../src/interfaces/Types.sol";
import {Test} from "../support/Test.sol";
import {Deployer} from "./Deployer.sol";
import {EpochsDouble} from "./EpochsDouble.sol";
import {PlainToken} from "./Tokens.sol";

/// @title A network of one node class, with everything that tests of collateral and rent say often.
abstract contract Money is Test {
    bytes32 internal constant CLASS = "class";
    bytes32 internal constant SECOND = "another class";
    bytes32 internal constant NODE = "node";
    bytes32 internal constant CHIPS = "chips";
    uint128 internal constant PLEDGE = 200;
    uint64 internal constant HOUR = 3_600;

    address internal governor = address(0x60);
    address internal treasury = address(0x7e);
    address internal alice = address(0xa11ce);
    address internal bob = address(0xb0b);
    address internal builder = address(0xb111de);

    PlainToken internal token;
    EpochsDouble internal epochs;
    IAssayNodes internal nodes;
    IAssayReservations internal reservations;
    Deployer internal deployer;

    function setUp() public virtual {
        deploy(new PlainToken());
    }

    function deploy(PlainToken token_) internal {
        token = token_;
        epochs = new EpochsDouble(address(token), treasury);
        deployer = new Deployer();
        nodes = deployer.nodes(address(epochs), governor, nodeParameters());
        reservations = deployer.reservations(address(epochs), nodes, governor, reservationParameters());
        epochs.wire(address(reservations));
        vm.startPrank(governor);
        nodes.setClass(CLASS, terms());
        nodes.setClass(SECOND, terms());
        reservations.setSchedule(CLASS, tiers());
        vm.stopPrank();
        give(alice);
        give(bob);
        give(builder);
        toEpoch(10);
    }

    function nodeParameters() internal pure returns (INodesTypes.Parameters memory) {
        return INodesTypes.Parameters({
            provisionalMs: 100 * 3_600_000,
            changeDelayMs: 48 * 3_600_000,
            removeAfterMs: 168 * 3_600_000,
            silenceMs: 240 * 3_600_000,
            persistenceEpochs: 6,
            reauditEpochs: 4
        });
    }

    function reservationParameters() internal pure returns (IAssayReservations.Parameters memory) {
        return IAssayReservations.Parameters({
            slotsPerEpoch: 60,
            undecidedPpm: 100_000,
            periodEpochs: 24,
            maxAheadEpochs: 1_000,
            noticeEpochs: 2,
            refundEpochs: 72
        });
    }

    /// @dev The class "all": a slash can take a whole pledge.
    function setClassThatTakesAll() internal {
        INodesTypes.ClassTerms memory t = terms();
        t.slashCapBps = 10_000;
        vm.prank(governor);
        nodes.setClass("all", t);
    }

    function terms() internal pure returns (INodesTypes.ClassTerms memory) {
        return INodesTypes.ClassTerms(PLEDGE, 40, 60, 9_000, 2_500);
    }

    function tiers() internal pure returns (IAssayReservations.CreditTier[] memory t) {
        t = new IAssayReservations.CreditTier[](3);
        t[0] = IAssayReservations.CreditTier(995_000, 1_000);
        t[1] = IAssayReservations.CreditTier(990_000, 3_000);
        t[2] = IAssayReservations.CreditTier(950_000, 10_000);
    }

    function give(address to) internal {
        token.mint(to, 1_000_000);
        vm.startPrank(to);
        token.approve(address(nodes), type(uint256).max);
        token.approve(address(reservations), type(uint256).max);
        vm.stopPrank();
    }

    // ----------------------------------------------------------------------------------------------------------- time

    /// @dev The beginning of an epoch.
    function toEpoch(uint64 epoch) internal {
        vm.warp(epochs.GENESIS_MS() / 1000 + uint256(epoch) * HOUR);
    }

    function skip(uint256 seconds_) internal {
        vm.warp(block.timestamp + seconds_);
    }

    function toFinal(uint64 epoch) internal {
        uint256 finalAt = epochs.epochRecord(epoch).finalAtMs / 1000;
        if (block.timestamp < finalAt) vm.warp(finalAt);
    }

    // --------------------------------------------------------------------------------------------------------- leaves

    function leafOf(bytes32 node, address owner, uint64 epoch) internal pure returns (NodeLeaf memory l) {
        l.leafType = 1;
        l.epoch = epoch;
        l.node = node;
        l.owner = owner;
        l.confirmed = true;
        l.chips = CHIPS;
        l.verdict = 1;
    }

    function leafWith(bytes32 node, address owner, uint64 epoch, bytes32 chips)
        internal
        pure
        returns (NodeLeaf memory leaf)
    {
        leaf = leafOf(node, owner, epoch);
        leaf.chips = chips;
    }

    function hashOf(NodeLeaf memory leaf) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(leaf))));
    }

    /// @dev Posts a root of this leaf and one other; time is the end of its epoch at the earliest.
    function post(NodeLeaf memory leaf) internal returns (bytes32[] memory proof) {
        return post(leaf.epoch, hashOf(leaf));
    }

    function post(uint64 epoch, bytes32 hash) internal returns (bytes32[] memory proof) {
        if (epochs.currentEpoch() <= epoch) toEpoch(epoch + 1);
        proof = new bytes32[](1);
        proof[0] = keccak256("another leaf");
        epochs.post(epoch, pair(hash, proof[0]));
    }

    function correct(uint64 epoch, bytes32 hash) internal returns (bytes32[] memory proof) {
        proof = new bytes32[](1);
        proof[0] = keccak256("another leaf");
        epochs.correct(epoch, pair(hash, proof[0]));
    }

    function pair(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    function settle(NodeLeaf memory leaf) internal {
        bytes32[] memory proof = post(leaf);
        nodes.settle(leaf, proof);
    }

    function settle(uint64 epoch, uint8 verdict, uint128 slash) internal {
        NodeLeaf memory leaf = leafOf(NODE, alice, epoch);
        leaf.verdict = verdict;
        leaf.cumulativeSlash = slash;
        settle(leaf);
    }

    /// @dev Posts a leaf, waits until it is final, and confirms it.
    function confirm(NodeLeaf memory leaf) internal {
        bytes32[] memory proof = post(leaf);
        toFinal(leaf.epoch);
        nodes.confirm(leaf, proof);
    }

    // ------------------------------------------------------------------------------------------------------- scenarios

    function register(address provider, bytes32 node, bytes32 class_) internal {
        vm.prank(provider);
        nodes.register(node, class_, "region", "host:1", PLEDGE);
    }

    /// @dev A node of alice's, confirmed by epoch 12; it is epoch 37 then.
    function active() internal {
        active(CLASS);
    }

    function active(bytes32 class_) internal {
        register(alice, NODE, class_);
        confirm(leafOf(NODE, alice, 12));
    }

    function registrationOf(address provider) internal view returns (INodesTypes.Registration memory) {
        return nodes.registration(NODE, provider);
    }

    function status() internal view returns (NodeStatus) {
        return nodes.registration(NODE, alice).status;
    }

    function assertStatus(NodeStatus expected, string memory what) internal view {
        vm.assertEq(uint256(status()), uint256(expected), what);
    }

    /// @dev What a node is bound to, and by the leaf of which epoch it was bound or freed last.
    function assertChips(bytes32 node, bytes32 chips, uint64 epoch) internal view {
        INodesTypes.Account memory a = nodes.account(node);
        vm.assertEq(a.chips, chips, "chips");
        vm.assertEq(a.chipsEpochs, epoch + 1, "since");
        if (chips != 0) vm.assertEq(nodes.nodeOfChips(chips), node, "node of chips");
    }

    function assertMoney(address provider, uint128 collateral, uint128 escrow, uint128 slashed) internal view {
        INodesTypes.Registration memory r = nodes.registration(NODE, provider);
        vm.assertEq(r.collateral, collateral, "collateral");
        vm.assertEq(r.escrow, escrow, "escrow");
        vm.assertEq(r.slashed, slashed, "slashed");
        assertConserved();
    }

    function assertConserved() internal view {
        vm.assertEq(token.balanceOf(address(nodes)), nodes.totalHeld(), "nodes hold what they owe");
        vm.assertEq(token.balanceOf(address(reservations)), reservations.totalHeld(), "reservations hold what they owe");
    }
}
