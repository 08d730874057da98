// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Deterministic CBOR (RFC 8949 section 4.2.1): the items of signed objects, written and never read.
library Cbor {
    bytes1 private constant BYTES = 0x40;
    bytes1 private constant TEXT = 0x60;
    bytes1 private constant ARRAY = 0x80;

    /// @notice An unsigned number in its shortest form.
    function unsigned(uint64 number) internal pure returns (bytes memory) {
        return head(0, number);
    }

    /// @notice A byte string.
    function byteString(bytes memory content) internal pure returns (bytes memory) {
        return bytes.concat(head(BYTES, uint64(content.length)), content);
    }

    /// @notice A byte string of 32 bytes.
    function byteString(bytes32 content) internal pure returns (bytes memory) {
        return bytes.concat(head(BYTES, 32), content);
    }

    /// @notice A text string; that it is UTF-8 is the caller's to know.
    function text(bytes memory content) internal pure returns (bytes memory) {
        return bytes.concat(head(TEXT, uint64(content.length)), content);
    }

    /// @notice The beginning of an array; its items follow.
    function array(uint256 length) internal pure returns (bytes memory) {
        return head(ARRAY, uint64(length));
    }

    /// @dev Initial byte and argument in the shortest form (section 3).
    function head(bytes1 major, uint64 argument) private pure returns (bytes memory) {
        if (argument < 24) return bytes.concat(major | bytes1(uint8(argument)));
        if (argument <= type(uint8).max) return bytes.concat(major | bytes1(uint8(24)), bytes1(uint8(argument)));
        if (argument <= type(uint16).max) return bytes.concat(major | bytes1(uint8(25)), bytes2(uint16(argument)));
        if (argument <= type(uint32).max) return bytes.concat(major | bytes1(uint8(26)), bytes4(uint32(argument)));
        return bytes.concat(major | bytes1(uint8(27)), bytes8(argument));
    }
}
