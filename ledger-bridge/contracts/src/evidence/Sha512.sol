// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title SHA-512 (FIPS 180-4), which Ed25519 asks for and no precompile offers.
/// @dev Words of 64 bits live in the low bits of 256. XOR, AND, ADD and shifts to the left carry nothing downwards, so what
/// lies above a word's bits does no harm until the word is shifted to the right: only then must it be clean.
library Sha512 {
    /// @dev Round constants: fractions of the cube roots of the first 80 primes (FIPS 180-4 section 4.2.3).
    bytes private constant K = hex"428a2f98d728ae227137449123ef65cdb5c0fbcfec4d3b2fe9b5dba58189dbbc3956c25bf348b53859f111f1b605d019923f82a4af194f9bab1c5ed5da6d8118"
        hex"d807aa98a303024212835b0145706fbe243185be4ee4b28c550c7dc3d5ffb4e272be5d74f27b896f80deb1fe3b1696b19bdc06a725c71235c19bf174cf692694"
        hex"e49b69c19ef14ad2efbe4786384f25e30fc19dc68b8cd5b5240ca1cc77ac9c652de92c6f592b02754a7484aa6ea6e4835cb0a9dcbd41fbd476f988da831153b5"
        hex"983e5152ee66dfaba831c66d2db43210b00327c898fb213fbf597fc7beef0ee4c6e00bf33da88fc2d5a79147930aa72506ca6351e003826f142929670a0e6e70"
        hex"27b70a8546d22ffc2e1b21385c26c9264d2c6dfc5ac42aed53380d139d95b3df650a73548baf63de766a0abb3c77b2a881c2c92e47edaee692722c851482353b"
        hex"a2bfe8a14cf10364a81a664bbc423001c24b8b70d0f89791c76c51a30654be30d192e819d6ef5218d69906245565a910f40e35855771202a106aa07032bbd1b8"
        hex"19a4c116b8d2d0c81e376c085141ab532748774cdf8eeb9934b0bcb5e19b48a8391c0cb3c5c95a634ed8aa4ae3418acb5b9cca4f7763e373682e6ff3d6b2b8a3"
        hex"748f82ee5defb2fc78a5636f43172f6084c87814a1f0ab728cc702081a6439ec90befffa23631e28a4506cebde82bde9bef9a3f7b2c67915c67178f2e372532b"
        hex"ca273eceea26619cd186b8c721c0c207eada7dd6cde0eb1ef57d4f7fee6ed17806f067aa72176fba0a637dc5a2c898a6113f9804bef90dae1b710b35131c471b"
        hex"28db77f523047d8432caab7b40c724933c9ebe0a15c9bebc431d67c49c100d4c4cc5d4becb3e42b6597f299cfc657e2a5fcb6fab3ad6faec6c44198c4a475817";

    /// @dev Initial hash value (FIPS 180-4 section 5.3.5), four words in one.
    uint256 private constant H_ABCD = 0x6a09e667f3bcc908bb67ae8584caa73b3c6ef372fe94f82ba54ff53a5f1d36f1;
    uint256 private constant H_EFGH = 0x510e527fade682d19b05688c2b3e6c1f1f83d9abfb41bd6b5be0cd19137e2179;

    /// @dev A 1 in each of the four words, and a word's mask.
    uint256 private constant WORD = 0xffffffffffffffff;
    /// @dev Times a word: the word twice, so that one shift rotates it.
    uint256 private constant TWICE = 0x10000000000000001;

    uint256 private constant BLOCK_BYTES = 128;
    uint256 private constant ROUNDS = 80;

    /// @notice SHA-512 of `message`.
    /// @return left bytes 0 to 31 of the digest
    /// @return right bytes 32 to 63
    function hash(bytes memory message) internal pure returns (bytes32 left, bytes32 right) {
        bytes memory padded = pad(message);
        bytes memory k = K;
        uint256[ROUNDS] memory w;
        uint256 abcd = H_ABCD;
        uint256 efgh = H_EFGH;
        for (uint256 from = 0; from < padded.length; from += BLOCK_BYTES) {
            schedule(w, padded, from);
            (uint256 moreAbcd, uint256 moreEfgh) = compress(w, k, abcd, efgh);
            abcd = addWords(abcd, moreAbcd);
            efgh = addWords(efgh, moreEfgh);
        }
        return (bytes32(abcd), bytes32(efgh));
    }

    /// @dev The message, a 1 bit, zeros and the length in bits as 128 bits (FIPS 180-4 section 5.1.2).
    function pad(bytes memory message) private pure returns (bytes memory) {
        uint256 zeros = BLOCK_BYTES - 1 - (message.length + 16) % BLOCK_BYTES;
        return bytes.concat(message, hex"80", new bytes(zeros), bytes16(uint128(message.length * 8)));
    }

    /// @dev The message schedule of the block at `offset` (FIPS 180-4 section 6.4.2, step 1); every word is clean.
    function schedule(uint256[ROUNDS] memory w, bytes memory padded, uint256 offset) private pure {
        assembly ("memory-safe") {
            let from := add(add(padded, 32), offset)
            for { let i := 0 } lt(i, 16) { i := add(i, 1) } {
                mstore(add(w, shl(5, i)), shr(192, mload(add(from, shl(3, i)))))
            }
            let end := add(w, mul(ROUNDS, 32))
            for { let p := add(w, 512) } lt(p, end) { p := add(p, 32) } {
                let w15 := mload(sub(p, 480))
                let w2 := mload(sub(p, 64))
                let d15 := mul(w15, TWICE)
                let d2 := mul(w2, TWICE)
                let s0 := xor(xor(shr(1, d15), shr(8, d15)), shr(7, w15))
                let s1 := xor(xor(shr(19, d2), shr(61, d2)), shr(6, w2))
                mstore(p, and(add(add(mload(sub(p, 512)), s0), add(mload(sub(p, 224)), s1)), WORD))
            }
        }
    }

    /// @dev The 80 rounds (FIPS 180-4 section 6.4.2, step 3). One shift of a packed state moves four variables on.
    function compress(uint256[ROUNDS] memory w, bytes memory k, uint256 abcd, uint256 efgh)
        private
        pure
        returns (uint256, uint256)
    {
        assembly ("memory-safe") {
            // A load at k + 8 + 8·t has round constant t in its low bits.
            let kAt := add(k, 8)
            let end := add(w, mul(ROUNDS, 32))
            for { let p := w } lt(p, end) { p := add(p, 32) } {
                let e := mul(shr(192, efgh), TWICE)
                let g := shr(64, efgh)
                let t1 := xor(g, and(e, xor(shr(128, efgh), g)))
                t1 := add(t1, xor(xor(shr(14, e), shr(18, e)), shr(41, e)))
                t1 := add(add(t1, efgh), add(mload(kAt), mload(p)))

                let a := mul(shr(192, abcd), TWICE)
                let b := shr(128, abcd)
                let t2 := or(and(a, b), and(shr(64, abcd), or(a, b)))
                t2 := add(t2, xor(xor(shr(28, a), shr(34, a)), shr(39, a)))

                efgh := or(shr(64, efgh), shl(192, add(abcd, t1)))
                abcd := or(shr(64, abcd), shl(192, add(t1, t2)))
                kAt := add(kAt, 8)
            }
        }
        return (abcd, efgh);
    }

    /// @dev Four sums modulo 2^64 at once: the words' top bits are added apart, so that no carry leaves its word.
    function addWords(uint256 a, uint256 b) private pure returns (uint256) {
        uint256 top = 0x8000000000000000800000000000000080000000000000008000000000000000;
        unchecked {
            return ((a & ~top) + (b & ~top)) ^ ((a ^ b) & top);
        }
    }
}
