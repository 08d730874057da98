// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Merkle trees of transparency logs (RFC 9162 section 2.1) over SHA-256: hashes and inclusion proofs.
library Rfc9162 {
    /// @notice The leaf's index is not inside the tree.
    error IndexOutOfRange(uint64 index, uint64 size);
    /// @notice The proof has more or fewer hashes than a leaf of this index and tree size asks for.
    error WrongProofLength(uint64 index, uint64 size, uint256 actual);
    /// @notice The proof leads to another root.
    error WrongRoot(bytes32 expected, bytes32 actual);

    /// @notice Hash of a leaf: SHA-256(0x00 ‖ data).
    function leafHash(bytes memory data) internal pure returns (bytes32) {
        return sha256(bytes.concat(hex"00", data));
    }

    /// @notice Hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
    function nodeHash(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(bytes.concat(hex"01", left, right));
    }

    /// @notice Returns when `leaf`, a leaf's hash, is leaf `index` of the tree of `size` leaves with `root`.
    /// @dev Section 2.1.3.2. Reverts with `IndexOutOfRange`, `WrongProofLength` or `WrongRoot`.
    /// @param path siblings from the leaf up
    function verifyInclusion(bytes32 leaf, uint64 index, uint64 size, bytes32[] calldata path, bytes32 root)
        internal
        pure
    {
        if (index >= size) revert IndexOutOfRange(index, size);
        uint64 position = index;
        uint64 last = size - 1;
        bytes32 hash = leaf;
        for (uint256 i = 0; i < path.length; ++i) {
            if (last == 0) revert WrongProofLength(index, size, path.length);
            if (position % 2 == 1 || position == last) {
                hash = nodeHash(path[i], hash);
                while (position % 2 == 0 && position != 0) {
                    position /= 2;
                    last /= 2;
                }
            } else {
                hash = nodeHash(hash, path[i]);
            }
            position /= 2;
            last /= 2;
        }
        if (last != 0) revert WrongProofLength(index, size, path.length);
        if (hash != root) revert WrongRoot(root, hash);
    }
}
