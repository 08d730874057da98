// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RewardLeaf} from "../../src/interfaces/Types.sol";
import {FourHyperNodes} from "../support/Network.sol";

/// @title Gas of a claim with 17 siblings (100,000 leaves), as a transaction of its own.
/// forge-config: default.isolate = true
contract ClaimGasTest is FourHyperNodes {
    address private constant PROVIDER = address(uint160(uint256(keccak256("provider"))));
    address private constant OTHER = address(uint160(uint256(keccak256("other"))));
    uint256 private constant DEPTH = 17;

    struct Proven {
        RewardLeaf leaf;
        bytes32[] proof;
    }

    /// @dev The root of two providers' leaves, whose other siblings are made up. Others have earned as much: a claim that
    /// empties the contract would be paid for by the chain.
    function posted(uint64 epoch, uint128 each) private returns (Proven memory one, Proven memory other) {
        one = Proven(rewardLeaf(epoch, PROVIDER, each), new bytes32[](DEPTH));
        other = Proven(rewardLeaf(epoch, OTHER, each), new bytes32[](DEPTH));
        (one.proof[0], other.proof[0]) = (leafHash(other.leaf), leafHash(one.leaf));
        bytes32 node = parent(one.proof[0], other.proof[0]);
        for (uint256 i = 1; i < DEPTH; ++i) {
            one.proof[i] = keccak256(abi.encode(epoch, i));
            other.proof[i] = one.proof[i];
            node = parent(node, one.proof[i]);
        }
        toEndOf(epoch);
        post(rootOf(epoch, node, 4 * each), QUORUM);
    }

    function parent(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }

    function claimed(string memory name, Proven memory p) private returns (uint256 used) {
        rewards.claim(p.leaf, p.proof);
        used = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("AssayRewards", name, used);
    }

    function test_claim() public {
        (Proven memory one, Proven memory other) = posted(0, 1.23456789 ether);
        passMs(WINDOW_MS);
        claimed("claim, the first of the network, by a provider without tokens", one);
        claimed("claim, a provider's first, without tokens", other);
        (one, other) = posted(1, 2.3456789 ether);
        passMs(WINDOW_MS);
        claimed("claim, a later one, the first from its root", one);
        uint256 later = claimed("claim, a later one", other);
        vm.assertLe(later, 62_000, "later");
    }

    function test_claim_firstWithTokens() public {
        (Proven memory one, Proven memory other) = posted(0, 1.23456789 ether);
        passMs(WINDOW_MS);
        token.mint(OTHER, 1);
        rewards.claim(one.leaf, one.proof);
        claimed("claim, a provider's first, with tokens", other);
    }
}
