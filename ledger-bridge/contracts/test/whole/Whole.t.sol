// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayFaults} from "../../src/AssayFaults.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {IAssayNodes, INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";
import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {EpochRoot, NodeLeaf, NodeStatus, RewardLeaf} from "../../src/interfaces/Types.sol";
import {Network} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

/// @title All contracts of a network together, none of them a double.
/// @notice A provider's node is confirmed, reserved, breaches its promise and is slashed; its Builder gets the rent back and
/// a share of the slash; rewards are claimed; a HyperNode that signed two roots loses its stake.
contract WholeTest is Network {
    bytes32 private constant CLASS = "class";
    bytes32 private constant NODE = "node";
    uint128 private constant PLEDGE = 200 ether;
    uint128 private constant PRICE = 10 ether;
    uint128 private constant REWARD = 3 ether;
    uint256 private constant QUORUM = 7;
    uint64 private constant FIRST = 5;

    address private provider = address(0xa11ce);
    address private builder = address(0xb111de);
    IAssayNodes private nodes;
    IAssayReservations private reservations;
    /// @dev the leaf of each posted epoch
    mapping(uint64 => NodeLeaf) private leaves;

    function epochParameters() internal pure override returns (IAssayEpochs.Parameters memory) {
        return IAssayEpochs.Parameters(GENESIS_MS, EPOCH_MS, 2 * EPOCH_MS, 2 * EPOCH_MS, EPOCH_MS, BOND);
    }

    function setUp() public {
        deploy(Deployed.ecdsa());
        uint96[] memory stakes = new uint96[](4);
        (stakes[0], stakes[1], stakes[2], stakes[3]) = (40_000 ether, 25_000 ether, 20_000 ether, 15_000 ether);
        join(stakes);
        openGenesis();
        give(address(this), address(epochs), 1_000 ether);
        epochs.fund(0, 100, REWARD);
        give(provider, address(nodes), PLEDGE);
        give(builder, address(reservations), 2 * PRICE);
        vm.startPrank(governor);
        nodes.setClass(CLASS, INodesTypes.ClassTerms(PLEDGE, 40 ether, 60 ether, 9_000, 2_500));
        reservations.setSchedule(CLASS, tiers());
        vm.stopPrank();
        vm.prank(provider);
        nodes.register(NODE, CLASS, "region", "host:1", PLEDGE);
    }

    function deployOthers() internal override returns (address, address, address) {
        nodes = Deployed.nodes(
            address(epochs),
            governor,
            INodesTypes.Parameters(72 hours * 1000, 48 hours * 1000, 168 hours * 1000, 240 hours * 1000, 6, 4)
        );
        reservations = Deployed.reservations(
            address(epochs), nodes, governor, IAssayReservations.Parameters(60, 100_000, 2, 1_100, 2, 72)
        );
        IAssayFaults.Shares memory shares = IAssayFaults.Shares(10_000, 5_000, 10_000, 10_000, 5_000, 10_000, 10_000);
        return
            (address(nodes), address(reservations), address(Deployed.faults(address(epochs), address(stake), shares)));
    }

    function tiers() private pure returns (IAssayReservations.CreditTier[] memory t) {
        t = new IAssayReservations.CreditTier[](3);
        t[0] = IAssayReservations.CreditTier(995_000, 1_000);
        t[1] = IAssayReservations.CreditTier(990_000, 3_000);
        t[2] = IAssayReservations.CreditTier(950_000, 10_000);
    }

    // ------------------------------------------------------------------------------------------------------- tests

    function test_aBreachPaysTheBuilderAndTheTreasury() public {
        uint256 id = reserved();
        runTo(FIRST + 1);
        toFinal(FIRST + 1);
        reservations.start(id, leaves[FIRST - 1], proofOf(FIRST - 1));
        reservations.settle(id, leaves[FIRST + 1], proofOf(FIRST + 1));
        vm.assertEq(reservations.balanceOf(builder), 2 * PRICE, "all rent of the period is credited");
        vm.assertEq(reservations.balanceOf(provider), 0, "rent");

        nodes.settle(leaves[FIRST + 1], proofOf(FIRST + 1));
        vm.assertEq(uint8(nodes.registration(NODE, provider).status), uint8(NodeStatus.Warned), "status");
        vm.assertEq(nodes.registration(NODE, provider).escrow, 40 ether, "escrow");
        nodes.release(NODE, provider);
        vm.assertEq(token.balanceOf(treasury), 30 ether, "treasury");
        vm.assertEq(reservations.balanceOf(builder), 2 * PRICE + 10 ether, "a quarter of the slash");
        reservations.withdraw(builder);
        vm.assertEq(token.balanceOf(builder), 2 * PRICE + 10 ether, "paid");
        held();
    }

    /// @dev After the longest outage that a network comes back from, one transaction settles the rent.
    function test_rentIsSettledAfterTheLongestOutage() public {
        runTo(1);
        toFinal(0);
        nodes.confirm(leaves[0], proofOf(0));
        vm.prank(provider);
        reservations.offer(NODE, PRICE, 1, 1_100, true);
        give(builder, address(reservations), 1_100 * PRICE);
        vm.prank(builder);
        uint256 id = reservations.reserve(NODE, FIRST, 1_100, PRICE);
        runTo(FIRST);
        toFinal(FIRST - 1);
        reservations.start(id, leaves[FIRST - 1], proofOf(FIRST - 1));
        for (uint64 epoch = FIRST + 1; epoch < FIRST + 1_024; ++epoch) {
            toEndOf(epoch + 2);
            epochs.postVoid(epoch);
        }
        NodeLeaf memory leaf = leafOf(FIRST + 1_024);
        toEndOf(leaf.epoch);
        post(rootOf(leaf.epoch, hashOf(leaf), (FIRST + 1) * REWARD), QUORUM);
        toFinal(leaf.epoch);
        uint256 before = gasleft();
        reservations.settle(id, leaf, new bytes32[](0));
        // a record that no test has read before costs 2,000 more
        vm.assertLt(before - gasleft() + 1_024 * 2_000, 16_777_216, "a transaction's gas");
        vm.assertEq(reservations.reservation(id).settledThrough, leaf.epoch + 1, "through the outage");
    }

    function test_nothingMovesByALeafThatIsNotFinal() public {
        uint256 id = reserved();
        runTo(FIRST + 1);
        nodes.settle(leaves[FIRST + 1], proofOf(FIRST + 1));
        vm.expectRevert();
        nodes.release(NODE, provider);
        bytes32[] memory proof = proofOf(FIRST + 1);
        vm.expectRevert();
        reservations.settle(id, leaves[FIRST + 1], proof);
        vm.assertEq(token.balanceOf(treasury), 0, "treasury");
        held();
    }

    function test_rewardsOfAFinalEpochAreClaimedOnce() public {
        runTo(2);
        toFinal(2);
        RewardLeaf memory leaf = rewardLeaf(2, provider, 3 * REWARD);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = hashOf(leaves[2]);
        rewards.claim(leaf, proof);
        vm.assertEq(token.balanceOf(provider), 3 * REWARD, "claimed");
        vm.expectRevert();
        rewards.claim(leaf, proof);
    }

    function test_twoRootsCostTheStakeOfWhoSignedThem() public {
        runTo(0);
        EpochRoot memory a = rootOf(1, "one", 0);
        EpochRoot memory b = rootOf(1, "another", 0);
        bytes memory signatureA = signature(keys[3], epochs.hashRoot(a));
        bytes memory signatureB = signature(keys[3], epochs.hashRoot(b));
        address reporter = address(0x4e9);
        vm.prank(reporter);
        AssayFaults(faults).twoRoots(a, signatureA, b, signatureB);
        IAssayStake.HyperNode memory guilty = stake.hyperNodeOf(edKey(3));
        vm.assertEq(uint256(guilty.bonded) + guilty.unbonding, 0, "all of its stake");
        vm.assertTrue(guilty.jailed, "jailed");
        vm.assertGt(token.balanceOf(reporter), 0, "reporter");
        vm.assertEq(stake.committee(epochs.currentEpoch() + 1).length, 4 * MEMBER, "what is fixed stays");
        toEndOf(4);
        vm.assertEq(stake.committee(epochs.currentEpoch()).length, 3 * MEMBER, "a later committee is without it");
        held();
    }

    // ------------------------------------------------------------------------------------------------------ helpers

    /// @dev The node is confirmed and its epochs FIRST and FIRST + 1 are reserved.
    function reserved() private returns (uint256 id) {
        runTo(1);
        toFinal(0);
        nodes.confirm(leaves[0], proofOf(0));
        vm.prank(provider);
        reservations.offer(NODE, PRICE, 1, 48, true);
        vm.prank(builder);
        id = reservations.reserve(NODE, FIRST, 2, PRICE);
    }

    /// @dev Posts every epoch up to this one. Half of the slots of FIRST + 1 are down.
    function runTo(uint64 last) private {
        for (uint64 epoch = epochs.nextEpoch(); epoch <= last; ++epoch) {
            if (epochs.currentEpoch() <= epoch) toEndOf(epoch);
            leaves[epoch] = leafOf(epoch);
            uint128 sum = (uint128(epoch) + 1) * REWARD;
            bytes32 reward = leafHash(rewardLeaf(epoch, provider, sum));
            EpochRoot memory r = rootOf(epoch, pair(hashOf(leaves[epoch]), reward), sum);
            r.leafCount = 2;
            post(r, QUORUM);
        }
    }

    function leafOf(uint64 epoch) private view returns (NodeLeaf memory l) {
        bool breach = epoch > FIRST;
        l.leafType = 1;
        l.epoch = epoch;
        l.node = NODE;
        l.owner = provider;
        l.confirmed = true;
        l.verdict = breach ? 3 : 1;
        l.cumulativeUpSlots = 60 * (epoch + 1) - (breach ? 30 : 0);
        l.cumulativeDownSlots = breach ? 30 : 0;
        l.cumulativeSlash = breach ? 40 ether : 0;
    }

    function proofOf(uint64 epoch) private view returns (bytes32[] memory proof) {
        proof = new bytes32[](1);
        proof[0] = leafHash(rewardLeaf(epoch, provider, (uint128(epoch) + 1) * REWARD));
    }

    function hashOf(NodeLeaf memory leaf) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(leaf))));
    }

    function pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    function signature(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function toFinal(uint64 epoch) private {
        uint256 finalAt = epochs.epochRecord(epoch).finalAtMs / 1000;
        if (block.timestamp < finalAt) vm.warp(finalAt);
    }

    /// @dev Each contract has exactly what it owes.
    function held() private view {
        vm.assertEq(token.balanceOf(address(nodes)), nodes.totalHeld(), "collateral");
        vm.assertEq(token.balanceOf(address(reservations)), reservations.totalHeld(), "rent");
        vm.assertEq(token.balanceOf(address(stake)), stake.totalHeld(), "stake");
    }
}
