// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title BLS12-381 by the precompiles of EIP-2537, and hashing to its G1 (RFC 9380).
/// @notice Points are in the precompiles' encoding: 64 bytes a field element, big-endian; G1 is x ‖ y, G2 is
/// x.c0 ‖ x.c1 ‖ y.c0 ‖ y.c1, the point at infinity is all zeros. The pairing refuses what is not on the curve, not in the
/// subgroup, or not reduced; the additions do not look at the subgroup.
library Bls12381 {
    uint256 internal constant G1_LENGTH = 128;
    uint256 internal constant G2_LENGTH = 256;
    uint256 private constant G1ADD = 0x0b;
    uint256 private constant G2ADD = 0x0d;
    address private constant PAIRING = address(0x0f);
    /// @dev the field's modulus: upper 16 bytes of its 48, and the rest
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
    /// @dev generator of G2 with y negated
    bytes private constant MINUS_G2 = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bcb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa"
        hex"0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed";

    /// @notice A precompile refused its input: a point is not on its curve, or a number is not reduced.
    error BadPoint();

    /// @dev Whether e(signature, -g2) · e(hash, key) = 1, so that the key's secret has made the signature over the hash.
    /// False also of encodings that the pairing refuses, and of a key or signature at infinity.
    function isSignature(bytes memory signature, bytes memory hash, bytes memory key) internal view returns (bool) {
        if (isZero(signature) || isZero(key)) return false;
        (bool done, bytes memory one) = PAIRING.staticcall(bytes.concat(signature, MINUS_G2, hash, key));
        return done && one.length == 32 && uint256(bytes32(one)) == 1;
    }

    /// @dev hash_to_curve of the suite BLS12381G1_XMD:SHA-256_SSWU_RO_ (RFC 9380, section 8.8.1).
    /// @param tag domain separation tag, of at most 255 bytes
    function hashToG1(bytes memory message, bytes memory tag) internal view returns (bytes memory) {
        bytes memory uniform = _expand(message, tag);
        // the precompile clears the cofactor of each, which is the same as clearing it of the sum
        return _call(G1ADD, bytes.concat(_map(uniform, 32), _map(uniform, 96)), G1_LENGTH);
    }

    function addG2(bytes memory a, bytes memory b) internal view returns (bytes memory) {
        return _call(G2ADD, bytes.concat(a, b), G2_LENGTH);
    }

    /// @dev -a, of a point whose numbers are reduced.
    function negateG2(bytes memory a) internal pure returns (bytes memory out) {
        out = bytes.concat(a);
        _negate(out, 128);
        _negate(out, 192);
    }

    /// @dev Whether a point, of G1 or of G2, is at infinity.
    function isZero(bytes memory point) internal pure returns (bool) {
        uint256 any = _word(point, 32) | _word(point, 64) | _word(point, 96) | _word(point, 128);
        if (point.length == G2_LENGTH) {
            any |= _word(point, 160) | _word(point, 192) | _word(point, 224) | _word(point, 256);
        }
        return any == 0;
    }

    /// @dev expand_message_xmd to 128 bytes (RFC 9380, section 5.3.1). One buffer serves all five hashes: what b_0 is over,
    /// and for the others 32 bytes, the number i, and the tag with its length.
    function _expand(bytes memory message, bytes memory tag) private view returns (bytes memory uniform) {
        bytes memory first = abi.encodePacked(new bytes(64), message, hex"008000", tag, uint8(tag.length));
        bytes memory other = abi.encodePacked(bytes32(0), uint8(0), tag, uint8(tag.length));
        uniform = new bytes(128);
        bool done;
        assembly ("memory-safe") {
            done := staticcall(gas(), 2, add(first, 32), mload(first), 0, 32)
            let b0 := mload(0)
            let previous := 0
            let input := add(other, 32)
            for { let i := 1 } lt(i, 5) { i := add(i, 1) } {
                mstore(input, xor(b0, previous))
                mstore8(add(input, 32), i)
                let output := add(uniform, shl(5, i))
                done := and(done, staticcall(gas(), 2, input, mload(other), output, 32))
                previous := mload(output)
            }
        }
        if (!done) revert BadPoint();
    }

    /// @dev The point of G1 that 64 bytes of `uniform`, modulo the field's modulus, map to.
    function _map(bytes memory uniform, uint256 start) private view returns (bytes memory point) {
        point = new bytes(G1_LENGTH);
        bool done;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, 64)
            mstore(add(p, 32), 1)
            mstore(add(p, 64), 64)
            mcopy(add(p, 96), add(uniform, start), 64)
            mstore8(add(p, 160), 1)
            mstore(add(p, 161), P_HIGH)
            mstore(add(p, 193), P_LOW)
            done := staticcall(gas(), 0x05, p, 225, p, 64)
            done := and(staticcall(gas(), 0x10, p, 64, add(point, 32), 128), done)
        }
        if (!done) revert BadPoint();
    }

    function _negate(bytes memory point, uint256 start) private pure {
        uint256 high = _word(point, start + 32);
        uint256 low = _word(point, start + 64);
        if (high | low == 0) return;
        unchecked {
            high = P_HIGH - high - (low > P_LOW ? 1 : 0);
            low = P_LOW - low;
        }
        assembly ("memory-safe") {
            let p := add(add(point, start), 32)
            mstore(p, high)
            mstore(add(p, 32), low)
        }
    }

    /// @dev The word that begins `offset` bytes after the array's length word.
    function _word(bytes memory data, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(data, offset))
        }
    }

    function _call(uint256 precompile, bytes memory input, uint256 length) private view returns (bytes memory output) {
        output = new bytes(length);
        bool done;
        assembly ("memory-safe") {
            done := staticcall(gas(), precompile, add(input, 32), mload(input), add(output, 32), length)
        }
        if (!done) revert BadPoint();
    }
}
