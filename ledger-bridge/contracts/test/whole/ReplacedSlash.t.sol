// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IAssayNodes, INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";
import {EpochRoot, NodeLeaf} from "../../src/interfaces/Types.sol";
import {Network, Nothing} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

/// @title A slash whose root is replaced by one that asks for the same: all contracts that matter are real.
contract ReplacedSlashTest is Network {
    bytes32 private constant NODE = "node";
    address private provider = address(0xa11ce);
    IAssayNodes private nodes;
    uint32 private round;

    function epochParameters() internal pure override returns (IAssayEpochs.Parameters memory) {
        return IAssayEpochs.Parameters(GENESIS_MS, EPOCH_MS, 2 * EPOCH_MS, 2 * EPOCH_MS, EPOCH_MS, BOND);
    }

    function deployOthers() internal override returns (address, address, address) {
        nodes = Deployed.nodes(
            address(epochs),
            governor,
            INodesTypes.Parameters(12 * EPOCH_MS, 2 * EPOCH_MS, 99 * EPOCH_MS, 8 * EPOCH_MS, 6, 2)
        );
        IAssayReservations.Parameters memory q = IAssayReservations.Parameters(60, 100_000, 2, 12, 1, 16);
        address reservations = address(Deployed.reservations(address(epochs), nodes, governor, q));
        return (address(nodes), reservations, address(new Nothing()));
    }

    function setUp() public {
        deploy(Deployed.ecdsa());
        uint96[] memory stakes = new uint96[](3);
        (stakes[0], stakes[1], stakes[2]) = (40_000 ether, 35_000 ether, 25_000 ether);
        join(stakes);
        openGenesis();
        vm.prank(governor);
        nodes.setClass("class", INodesTypes.ClassTerms(200, 40, 60, 9_000, 0));
        give(provider, address(nodes), 200);
        vm.prank(provider);
        nodes.register(NODE, "class", "", "", 200);
    }

    function leafOf(uint64 epoch, uint8 verdict, uint128 slash) private view returns (NodeLeaf memory l) {
        (l.leafType, l.epoch, l.node, l.owner, l.confirmed) = (1, epoch, NODE, provider, true);
        (l.verdict, l.cumulativeSlash) = (verdict, slash);
    }

    function rootWith(NodeLeaf memory l) private view returns (EpochRoot memory r) {
        r = rootOf(l.epoch, keccak256(bytes.concat(keccak256(abi.encode(l)))), 0);
        r.round = round;
        r.evidenceRoot = bytes32(uint256(round));
    }

    function posted(NodeLeaf memory l) private {
        if (epochs.currentEpoch() <= l.epoch) toEndOf(l.epoch);
        post(rootWith(l), 7);
    }

    function settled(NodeLeaf memory l) private {
        posted(l);
        nodes.settle(l, new bytes32[](0));
    }

    function begun() private {
        posted(leafOf(0, 1, 0));
        passMs(2 * EPOCH_MS);
        nodes.confirm(leafOf(0, 1, 0), new bytes32[](0));
    }

    /// @dev All of them, also those of epochs that are not settled again.
    function test_whatSeveralReplacedRootsTookIsAskedForByTheNextLeaf() public {
        begun();
        settled(leafOf(1, 3, 40));
        settled(leafOf(2, 3, 80));
        settled(leafOf(3, 3, 120));
        round = 1;
        correct(rootWith(leafOf(1, 3, 40)), 7);
        posted(leafOf(2, 3, 80));
        settled(leafOf(3, 3, 110));
        INodesTypes.Registration memory r = nodes.registration(NODE, provider);
        vm.assertEq(r.escrow, 110, "what the root that stands asks for");
        vm.assertEq(r.counted, 110, "and nothing else counts");
        vm.expectPartialRevert(INodesTypes.NothingToRelease.selector);
        nodes.release(NODE, provider);
    }

    /// @dev Nobody needs to release in between, and in no order of calls does the pledge come back whole.
    function test_whatAReplacedRootTookIsAskedForByTheNextLeaf() public {
        begun();
        settled(leafOf(1, 3, 40));
        settled(leafOf(2, 1, 40));
        // the root of 1 is replaced: what it says of this node stays the same
        round = 1;
        correct(rootWith(leafOf(1, 3, 40)), 7);
        NodeLeaf memory again = leafOf(1, 3, 40);
        vm.expectPartialRevert(INodesTypes.StaleLeaf.selector);
        nodes.settle(again, new bytes32[](0));
        settled(leafOf(2, 1, 40));
        vm.assertEq(nodes.registration(NODE, provider).escrow, 40, "asked for by the root that stands");
        vm.expectPartialRevert(INodesTypes.NothingToRelease.selector);
        nodes.release(NODE, provider);
        vm.prank(provider);
        nodes.requestExit(NODE);
        uint64 last = nodes.registration(NODE, provider).exitEpochs - 1 + nodes.exitDelayEpochs();
        for (uint64 e = 3; e <= last + 1; ++e) {
            posted(leafOf(e, 1, 40));
        }
        nodes.settle(leafOf(last + 1, 1, 40), new bytes32[](0));
        passMs(100 * EPOCH_MS);
        nodes.release(NODE, provider);
        nodes.exit(NODE, provider);
        vm.assertEq(token.balanceOf(provider), 160, "paid");
        vm.assertEq(token.balanceOf(treasury), 40, "slashed");
    }
}
