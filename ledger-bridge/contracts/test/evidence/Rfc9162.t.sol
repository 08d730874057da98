// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Rfc9162} from "../../src/evidence/Rfc9162.sol";
import {Test} from "../support/Test.sol";

contract Rfc9162Test is Test {
    function verify(bytes32 leaf, uint64 index, uint64 size, bytes32[] calldata path, bytes32 root) external pure {
        Rfc9162.verifyInclusion(leaf, index, size, path, root);
    }

    function test_hashes_areTheRfcs() public pure {
        vm.assertEq(
            Rfc9162.leafHash(""), 0x6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d, "empty leaf"
        );
        vm.assertEq(Rfc9162.nodeHash(0, 0), sha256(bytes.concat(hex"01", new bytes(64))), "node");
    }

    /// @dev Against section 2.1.1's definition of the root and 2.1.3.1's of the path, for every leaf of a tree.
    function testFuzz_verifyInclusion_acceptsEveryLeaf(uint8 pick) public view {
        bytes32[] memory leaves = leavesOf(bound(pick, 1, 40));
        bytes32 root = rootOf(leaves, 0, leaves.length);
        for (uint64 i = 0; i < leaves.length; ++i) {
            this.verify(leaves[i], i, uint64(leaves.length), pathOf(leaves, 0, leaves.length, i), root);
        }
    }

    function testFuzz_verifyInclusion_revertsWhen_anythingIsAnother(uint8 pick, uint64 index, uint256 bit) public {
        uint64 size = uint64(bound(pick, 2, 40));
        index = uint64(bound(index, 0, size - 1));
        bytes32[] memory leaves = leavesOf(size);
        bytes32 root = rootOf(leaves, 0, size);
        bytes32[] memory path = pathOf(leaves, 0, size, index);
        bytes32 mask = bytes32(uint256(1) << (bit & 255));

        vm.expectPartialRevert(Rfc9162.WrongRoot.selector);
        this.verify(leaves[index] ^ mask, index, size, path, root);
        vm.expectPartialRevert(Rfc9162.WrongRoot.selector);
        this.verify(leaves[index], index, size, path, root ^ mask);
        vm.assertFalse(accepts(leaves[index], (index + 1) % size, size, path, root), "index");
        path[bit % path.length] ^= mask;
        vm.expectPartialRevert(Rfc9162.WrongRoot.selector);
        this.verify(leaves[index], index, size, path, root);
    }

    function test_verifyInclusion_revertsWhen_theIndexIsNotInside() public {
        vm.expectRevert(abi.encodeWithSelector(Rfc9162.IndexOutOfRange.selector, 3, 3));
        this.verify(0, 3, 3, new bytes32[](2), 0);
        vm.expectRevert(abi.encodeWithSelector(Rfc9162.IndexOutOfRange.selector, 0, 0));
        this.verify(0, 0, 0, new bytes32[](0), 0);
    }

    function test_verifyInclusion_revertsWhen_theProofIsTooLongOrTooShort() public {
        bytes32[] memory leaves = leavesOf(5);
        bytes32 root = rootOf(leaves, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Rfc9162.WrongProofLength.selector, 1, 5, 2));
        this.verify(leaves[1], 1, 5, new bytes32[](2), root);
        vm.expectRevert(abi.encodeWithSelector(Rfc9162.WrongProofLength.selector, 1, 5, 4));
        this.verify(leaves[1], 1, 5, new bytes32[](4), root);
        vm.expectRevert(abi.encodeWithSelector(Rfc9162.WrongProofLength.selector, 0, 1, 1));
        this.verify(root, 0, 1, new bytes32[](1), root);
    }

    /// @dev The largest tree: sixty-four siblings, and no number overflows.
    function test_verifyInclusion_acceptsTheLargestTree() public view {
        uint64 size = type(uint64).max;
        bytes32[] memory path = new bytes32[](64);
        bytes32 hash = bytes32(uint256(7));
        for (uint256 i = 0; i < 64; ++i) {
            hash = Rfc9162.nodeHash(hash, 0);
        }
        this.verify(bytes32(uint256(7)), 0, size, path, hash);
    }

    function accepts(bytes32 leaf, uint64 index, uint64 size, bytes32[] memory path, bytes32 root)
        private
        view
        returns (bool)
    {
        try this.verify(leaf, index, size, path, root) {
            return true;
        } catch {
            return false;
        }
    }

    function leavesOf(uint256 count) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = Rfc9162.leafHash(abi.encode(i));
        }
    }

    function rootOf(bytes32[] memory leaves, uint256 from, uint256 to) private pure returns (bytes32) {
        if (to - from == 1) return leaves[from];
        uint256 middle = from + split(to - from);
        return Rfc9162.nodeHash(rootOf(leaves, from, middle), rootOf(leaves, middle, to));
    }

    function pathOf(bytes32[] memory leaves, uint256 from, uint256 to, uint256 index)
        private
        pure
        returns (bytes32[] memory path)
    {
        if (to - from == 1) return new bytes32[](0);
        uint256 middle = from + split(to - from);
        bool left = index < middle;
        bytes32[] memory below = left ? pathOf(leaves, from, middle, index) : pathOf(leaves, middle, to, index);
        path = new bytes32[](below.length + 1);
        for (uint256 i = 0; i < below.length; ++i) {
            path[i] = below[i];
        }
        path[below.length] = left ? rootOf(leaves, middle, to) : rootOf(leaves, from, middle);
    }

    /// @dev The largest power of two smaller than n.
    function split(uint256 n) private pure returns (uint256 k) {
        k = 1;
        while (2 * k < n) {
            k *= 2;
        }
    }
}
