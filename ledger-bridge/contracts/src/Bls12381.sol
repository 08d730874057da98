// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title BLS12-381 by the precompiles of EIP-2537, and hashing to its G1 (RFC 9380).
/// @notice Points are in the precompiles' encoding: 64 bytes a field element, big-endian; G1 is x ‖ y, G2 is
/// x.c0 ‖ x.c1 ‖ y.c0 ‖ y.c1, the point at infinity is all zeros. The pairing refuses what is not on the curve, not in the
/// subgroup, or not reduced; the additions do not look at the subgroup.
library Bls12381 {
    uint256 internal constant G1_LENGTH = 128;
    uint256 internal constant G2_LENGTH = 256;
    /// @dev of a check: where the key begins
    uint256 internal constant KEY = 512;
    /// @dev the field's modulus: upper 16 bytes of its 48, and the rest
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
    bytes private constant G2 = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
        hex"000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";

    /// @notice A precompile refused its input: a point is not on its curve, or a number is not reduced.
    error BadPoint();

    /// @dev The check of a signature, in one piece so that nothing is copied twice: signature ‖ generator of G2 ‖ hash ‖
    /// minus the key, which is what the pairing takes, and behind it as much room as one more key takes. Keys that are added
    /// to the one at `KEY` are taken from those who must have signed.
    /// @param signature G1, 128 bytes
    /// @param hash G1, 128 bytes
    /// @param key G2, 256 bytes
    function check(bytes calldata signature, bytes memory hash, bytes calldata key)
        internal
        pure
        returns (bytes memory made)
    {
        made = bytes.concat(signature, G2, hash, key, key);
        negateG2(made, KEY);
    }

    /// @dev Whether e(signature, g2) · e(hash, -key) = 1, so that the key's secret has made the signature over the hash.
    /// False also of encodings that the pairing refuses, and of a key or signature at infinity.
    function holds(bytes memory made) internal view returns (bool good) {
        if (_anyOf(made, 0) == 0) return false;
        if (_anyOf(made, KEY) | _anyOf(made, KEY + 128) == 0) return false; // equivalent: e(signature, g2) is not 1
        assembly ("memory-safe") {
            good := staticcall(gas(), 0x0f, add(made, 32), 768, 0, 32)
            good := and(good, eq(mload(0), 1))
        }
    }

    /// @dev hash_to_curve of the suite BLS12381G1_XMD:SHA-256_SSWU_RO_ (RFC 9380, section 8.8.1). Twice 64 bytes, modulo
    /// the field's modulus, are mapped to points and these added. The precompile clears the cofactor of each, which is the
    /// same as clearing it of the sum.
    /// @param tag domain separation tag, of at most 255 bytes
    function hashToG1(bytes memory message, bytes memory tag) internal view returns (bytes memory point) {
        bytes memory uniform = _expand(message, tag);
        point = new bytes(2 * G1_LENGTH);
        bool done = true;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, 64)
            mstore(add(p, 32), 1)
            mstore(add(p, 64), 64)
            mstore8(add(p, 160), 1)
            mstore(add(p, 161), P_HIGH)
            mstore(add(p, 193), P_LOW)
            let first := add(point, 32)
            let end := add(first, 256)
            let from := add(uniform, 32)
            for { let to := first } lt(to, end) { to := add(to, 128) } {
                mcopy(add(p, 96), from, 64)
                done := and(done, staticcall(gas(), 0x05, p, 225, to, 64))
                done := and(done, staticcall(gas(), 0x10, to, 64, to, 128))
                from := add(from, 64)
            }
            done := and(done, staticcall(gas(), 0x0b, first, 256, first, 128))
            mstore(point, 128)
        }
        if (!done) revert BadPoint(); // equivalent: only gas can be missing, and too little is left to go on
    }

    function addG2(bytes memory a, bytes memory b) internal view returns (bytes memory sum) {
        bytes memory both = bytes.concat(a, b);
        sum = new bytes(G2_LENGTH);
        bool done;
        assembly ("memory-safe") {
            done := staticcall(gas(), 0x0d, add(both, 32), mload(both), add(sum, 32), 256)
        }
        if (!done) revert BadPoint();
    }

    /// @dev Puts the negative of a point of G2, whose numbers are reduced, in its place.
    /// @param start where in `data` it begins
    function negateG2(bytes memory data, uint256 start) internal pure {
        _negate(data, start + 128);
        _negate(data, start + 192);
    }

    /// @dev expand_message_xmd to 128 bytes (RFC 9380, section 5.3.1). One buffer serves all five hashes: what b_0 is over,
    /// and in it, before the tag, 32 bytes and the number i of each of the others.
    function _expand(bytes memory message, bytes memory tag) private view returns (bytes memory uniform) {
        bytes memory first = abi.encodePacked(bytes32(0), bytes32(0), message, hex"008000", tag, uint8(tag.length));
        uniform = new bytes(128);
        bool done;
        assembly ("memory-safe") {
            done := staticcall(gas(), 2, add(first, 32), mload(first), 0, 32)
            let b0 := mload(0)
            let previous := 0
            let input := add(add(first, 66), mload(message))
            let length := add(mload(tag), 34)
            for { let i := 1 } lt(i, 5) { i := add(i, 1) } {
                mstore(input, xor(b0, previous))
                mstore8(add(input, 32), i)
                let output := add(uniform, shl(5, i))
                done := and(done, staticcall(gas(), 2, input, length, output, 32))
                previous := mload(output)
            }
        }
        if (!done) revert BadPoint(); // equivalent: only gas can be missing, and below 100 kB too little is left
    }

    function _negate(bytes memory data, uint256 start) private pure {
        uint256 high = _word(data, start + 32);
        uint256 low = _word(data, start + 64);
        if (high | low == 0) return;
        unchecked {
            high = P_HIGH - high - (low > P_LOW ? 1 : 0);
            low = P_LOW - low;
        }
        assembly ("memory-safe") {
            let p := add(add(data, start), 32)
            mstore(p, high)
            mstore(add(p, 32), low)
        }
    }

    /// @dev Of the four words that begin at a byte: zero when all are.
    function _anyOf(bytes memory data, uint256 start) private pure returns (uint256) {
        unchecked {
            return
                _word(data, start + 32) | _word(data, start + 64) | _word(data, start + 96) | _word(data, start + 128);
        }
    }

    /// @dev The word that begins `offset` bytes after the array's length word.
    function _word(bytes memory data, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(data, offset))
        }
    }
}
