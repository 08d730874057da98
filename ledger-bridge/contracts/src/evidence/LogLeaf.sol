// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a leaf of a HyperNode's log is about.
/// @dev Encoding (big-endian, no padding): "assay/log/1" ‖ type (1) ‖ epoch (8) ‖ slot (4) or node (32) ‖ count (4) ‖
/// root (32). Type 1 is everything that was recorded in one slot, type 2 everything about one node in one epoch; a log has
/// one leaf of each.
library LogLeaf {
    /// @notice Not an encoding of a leaf: another label, type or length.
    error NotALogLeaf(bytes leaf);

    uint256 private constant SLOT_SUBJECT = 24;
    uint256 private constant NODE_SUBJECT = 52;
    /// @dev of count and root, which say what was recorded
    uint256 private constant RECORDED = 36;

    /// @dev The leaf's bytes up to what was recorded: two leaves that begin with the same are about the same. Reverts with
    /// NotALogLeaf.
    function subject(bytes calldata leaf) internal pure returns (bytes calldata) {
        bool isLong = leaf.length >= 12; // equivalent: no leaf has 12 bytes
        if (isLong && bytes11(leaf) == "assay/log/1") {
            uint256 length = leaf[11] == 0x01 ? SLOT_SUBJECT : leaf[11] == 0x02 ? NODE_SUBJECT : 0;
            if (length != 0 && leaf.length == length + RECORDED) return leaf[:length];
        }
        revert NotALogLeaf(leaf);
    }
}
