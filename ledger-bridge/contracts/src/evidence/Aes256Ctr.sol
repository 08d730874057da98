// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title AES-256 in counter mode (FIPS 197, NIST SP 800-38A), zero IV: one block of a region's keystream.
/// @dev A state is 128 bits, its first byte the highest. A round is sixteen look-ups in tables of 32-bit columns that are
/// built in memory once for a block: four for the rounds that mix columns, four for the last, which does not.
library Aes256Ctr {
    /// @notice Bytes of a block of a region.
    uint256 internal constant BLOCK_BYTES = 4096;

    uint256 private constant AES_BLOCKS = BLOCK_BYTES / 16;
    uint256 private constant ROUNDS = 14;
    /// @dev A table has an entry of 32 bytes for each byte; the tables of the last round lie behind the four others.
    uint256 private constant TABLE_BYTES = 0x2000;
    uint256 private constant LAST_ROUND = 0x8000;
    /// @dev Where a byte times 32 lies in a word.
    uint256 private constant ENTRY_MASK = 0x1fe0;

    /// @dev SubBytes (FIPS 197 section 5.1.1).
    bytes private constant SBOX = hex"637c777bf26b6fc53001672bfed7ab76ca82c97dfa5947f0add4a2af9ca472c0b7fd9326363ff7cc34a5e5f171d8311504c723c31896059a071280e2eb27b275"
        hex"09832c1a1b6e5aa0523bd6b329e32f8453d100ed20fcb15b6acbbe394a4c58cfd0efaafb434d338545f9027f503c9fa851a3408f929d38f5bcb6da2110fff3d2"
        hex"cd0c13ec5f974417c4a77e3d645d197360814fdc222a908846eeb814de5e0bdbe0323a0a4906245cc2d3ac629195e479e7c8376d8dd54ea96c56f4ea657aae08"
        hex"ba78252e1ca6b4c6e8dd741f4bbd8b8a703eb5664803f60e613557b986c11d9ee1f8981169d98e949b1e87e9ce5528df8ca1890dbfe6426841992d0fb054bb16";

    /// @notice Bytes 4096·index to 4096·(index + 1) of the keystream of `key`.
    function blockOf(bytes32 key, uint64 index) internal pure returns (bytes memory stream) {
        bytes memory tables = build();
        uint256[ROUNDS + 1] memory keys = expand(key, tables);
        stream = new bytes(BLOCK_BYTES);
        uint256 counter = uint256(index) * AES_BLOCKS;
        for (uint256 i = 0; i < AES_BLOCKS; i += 2) {
            uint256 pair = (encrypt(counter + i, keys, tables) << 128) | encrypt(counter + i + 1, keys, tables);
            assembly ("memory-safe") {
                mstore(add(add(stream, 32), shl(4, i)), pair)
            }
        }
    }

    /// @dev The cipher (FIPS 197 section 5.1).
    function encrypt(uint256 state, uint256[ROUNDS + 1] memory keys, bytes memory tables)
        private
        pure
        returns (uint256)
    {
        state ^= keys[0];
        for (uint256 i = 1; i < ROUNDS; ++i) {
            state = substituted(state, tables, 0) ^ keys[i];
        }
        return substituted(state, tables, LAST_ROUND) ^ keys[ROUNDS];
    }

    /// @dev SubBytes, ShiftRows and, with the tables at 0, MixColumns: column c takes the byte of row r from column c + r.
    /// Byte n of the state, shifted right by 115 - 8n, is 32 times itself: the place of its entry.
    function substituted(uint256 state, bytes memory tables, uint256 from) private pure returns (uint256 next) {
        assembly ("memory-safe") {
            function entry(table, place) -> column {
                column := mload(add(table, and(place, ENTRY_MASK)))
            }
            let t0 := add(add(tables, 32), from)
            let t1 := add(t0, TABLE_BYTES)
            let t2 := add(t1, TABLE_BYTES)
            let t3 := add(t2, TABLE_BYTES)
            next := xor(entry(t0, shr(115, state)), entry(t1, shr(75, state)))
            next := xor(next, xor(entry(t2, shr(35, state)), entry(t3, shl(5, state))))
            next := xor(shl(32, next), xor(entry(t0, shr(83, state)), entry(t1, shr(43, state))))
            next := xor(next, xor(entry(t2, shr(3, state)), entry(t3, shr(91, state))))
            next := xor(shl(32, next), xor(entry(t0, shr(51, state)), entry(t1, shr(11, state))))
            next := xor(next, xor(entry(t2, shr(99, state)), entry(t3, shr(59, state))))
            next := xor(shl(32, next), xor(entry(t0, shr(19, state)), entry(t1, shr(107, state))))
            next := xor(next, xor(entry(t2, shr(67, state)), entry(t3, shr(27, state))))
        }
    }

    /// @dev The round keys (FIPS 197 section 5.2), each with its four words joined.
    function expand(bytes32 key, bytes memory tables) private pure returns (uint256[ROUNDS + 1] memory keys) {
        uint32[8] memory last;
        for (uint256 i = 0; i < 8; ++i) {
            last[i] = uint32(uint256(key) >> (224 - 32 * i));
        }
        uint32 word = last[7];
        for (uint256 i = 0; i < 4 * (ROUNDS + 1); ++i) {
            if (i < 8) word = last[i];
            else word = last[i % 8] ^ mixed(word, i, tables);
            last[i % 8] = word;
            keys[i / 4] = (keys[i / 4] << 32) | word;
        }
    }

    /// @dev What the word before becomes on its way into word `i` of the key schedule.
    function mixed(uint32 word, uint256 i, bytes memory tables) private pure returns (uint32) {
        if (i % 8 == 0) return subWord((word << 8) | (word >> 24), tables) ^ uint32(1 << (23 + i / 8));
        return i % 8 == 4 ? subWord(word, tables) : word;
    }

    /// @dev SubBytes of a word that stands in all four columns: ShiftRows then changes nothing.
    function subWord(uint32 word, bytes memory tables) private pure returns (uint32) {
        return uint32(substituted(uint256(word) * 0x1000000010000000100000001, tables, LAST_ROUND));
    }

    /// @dev Rows 0 to 3 of the rounds that mix columns, then of the last.
    function build() private pure returns (bytes memory tables) {
        bytes memory sbox = SBOX;
        tables = new bytes(8 * TABLE_BYTES);
        assembly ("memory-safe") {
            for { let i := 0 } lt(i, 256) { i := add(i, 1) } {
                let s := byte(0, mload(add(add(sbox, 32), i)))
                // Times x in the field of FIPS 197 section 4.2.
                let s2 := xor(shl(1, s), mul(shr(7, s), 0x11b))
                let mix := or(or(shl(24, s2), mul(s, 0x10100)), xor(s2, s))
                let place := add(add(tables, 32), shl(5, i))
                for { let r := 0 } lt(r, 4) { r := add(r, 1) } {
                    mstore(place, mix)
                    mstore(add(place, LAST_ROUND), shl(sub(24, shl(3, r)), s))
                    mix := or(shr(8, mix), shl(24, and(mix, 0xff)))
                    place := add(place, TABLE_BYTES)
                }
            }
        }
    }
}
