// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Sha512} from "./Sha512.sol";

/// @title Ed25519 signatures (RFC 8032 section 5.1, pure), checked without the cofactor: the encoding of [s]B - [k]A must
/// be R, bit for bit.
/// @notice For every key that a key pair's owner made by the standard, this accepts what BoringSSL and AWS-LC accept, and
/// nothing else: s is below the group's order, and R is compared as bytes, so that no signature has a second form.
/// Stricter in one place: keys of small order are no keys here, since anybody can sign by them.
/// @dev The curve is -x² + y² = 1 + d·x²·y² over the integers modulo P. Points are extended homogeneous coordinates
/// (X : Y : Z : T), x = X/Z, y = Y/Z, T = XY/Z (Hisil, Wong, Carter, Dawson 2008: "dbl-2008-hwcd", "add-2008-hwcd-3").
/// Coordinates are below P, which is below 2^255: a sum of two, or a difference to which P was added, fits 256 bits and
/// needs no reduction before `mulmod`. This holds in every `unchecked` block below.
library Ed25519 {
    /// @notice A signature has 64 bytes: R and s.
    error Ed25519WrongLength(uint256 expected, uint256 actual);
    /// @notice The key is not the canonical encoding of a point, or one of small order.
    error Ed25519BadKey(bytes32 key);
    /// @notice The second half of the signature is not below the order of the group.
    error Ed25519BadScalar(bytes32 s);
    /// @notice The signature is not this key's under this message.
    /// @param expected first half of the signature
    /// @param actual what it would have to be
    error Ed25519WrongSignature(bytes32 key, bytes32 expected, bytes32 actual);
    /// @notice The chain has no working modular exponentiation at address 5.
    error Ed25519NoModexp();

    uint256 private constant SIGNATURE_BYTES = 64;
    uint256 private constant P = 0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed;
    /// @dev Order of the base point.
    uint256 private constant L = 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed;
    /// @dev 2^256 modulo L.
    uint256 private constant RADIX_MOD_L = 0xffffffffffffffffffffffffffffffec6ef5bf4737dcf70d6ec31748d98951d;
    uint256 private constant D = 0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3;
    uint256 private constant D2 = 0x2406d9dc56dffce7198e80f2eef3d13000e0149a8283b156ebd69b9426b2f159;
    uint256 private constant SQRT_MINUS_1 = 0x2b8324804fc1df0b2b4d00993dfbd7a72f431806ad2fe478c4ee1b274a0ea0b0;
    uint256 private constant SIGN_BIT = 1 << 255;

    // The base point B, 2B and 3B.
    uint256 private constant B1_X = 0x216936d3cd6e53fec0a4e231fdd6dc5c692cc7609525a7b2c9562d608f25d51a;
    uint256 private constant B1_Y = 0x6666666666666666666666666666666666666666666666666666666666666658;
    uint256 private constant B2_X = 0x36ab384c9f5a046c3d043b7d1833e7ac080d8e4515d7a45f83c5a14e2843ce0e;
    uint256 private constant B2_Y = 0x2260cdf3092329c21da25ee8c9a21f5697390f51643851560e5f46ae6af8a3c9;
    uint256 private constant B3_X = 0x67ae9c4a22928f491ff4ae743edac83a6343981981624886ac62485fd3f8e25c;
    uint256 private constant B3_Y = 0x1267b1d177ee69aba126a18e60269ef79f16ec176724030402c3684878f5b4d4;

    /// @notice Returns when R and s, 32 bytes each, are the signature of `message` by `key`.
    /// @dev Also reverts with `Ed25519WrongLength`.
    function verify(bytes32 key, bytes memory message, bytes calldata signature) internal view {
        requireLength(signature);
        verify(key, message, bytes32(signature[:32]), bytes32(signature[32:]));
    }

    /// @notice Reverts with `Ed25519WrongLength` for what is no signature's length.
    function requireLength(bytes calldata signature) internal pure {
        if (signature.length != SIGNATURE_BYTES) revert Ed25519WrongLength(SIGNATURE_BYTES, signature.length);
    }

    /// @notice Returns when (r, s) is the signature of `message` by `key`.
    /// @dev Reverts with `Ed25519BadKey`, `Ed25519BadScalar` or `Ed25519WrongSignature`. A key's bytes, and a
    /// signature's, are as RFC 8032 writes them: numbers are little-endian.
    function verify(bytes32 key, bytes memory message, bytes32 r, bytes32 s) internal view {
        (uint256 x, uint256 y) = pointOf(key);
        uint256 scalar = reversed(s);
        if (scalar >= L) revert Ed25519BadScalar(s);
        bytes32 actual = difference(scalar, challenge(r, key, message), x, y);
        if (actual != r) revert Ed25519WrongSignature(key, r, actual);
    }

    /// @notice Whether `signature`, bytes of any length, is the signature of `message` by `key`. Of what is no key here
    /// nothing is said: others may take its signatures.
    /// @dev Reverts with `Ed25519BadKey`.
    function isSignature(bytes32 key, bytes memory message, bytes calldata signature) internal view returns (bool) {
        (uint256 x, uint256 y) = pointOf(key);
        if (signature.length != SIGNATURE_BYTES) return false;
        bytes32 r = bytes32(signature[:32]);
        uint256 scalar = reversed(bytes32(signature[32:]));
        return scalar < L && difference(scalar, challenge(r, key, message), x, y) == r;
    }

    function pointOf(bytes32 key) private view returns (uint256 x, uint256 y) {
        bool good;
        (good, x, y) = decode(key);
        if (!good) revert Ed25519BadKey(key);
    }

    /// @dev k = SHA-512(R ‖ A ‖ message) as a little-endian number, modulo L.
    function challenge(bytes32 r, bytes32 key, bytes memory message) private pure returns (uint256) {
        (bytes32 low, bytes32 high) = Sha512.hash(bytes.concat(r, key, message));
        return addmod(mulmod(reversed(high), RADIX_MOD_L, L), reversed(low), L);
    }

    // ---- Encodings

    /// @dev The point that `key` encodes (RFC 8032 section 5.1.3); not good: y is not below P, no x belongs to y, or
    /// eight times the point is the neutral one. That refuses both points whose x is zero, with either sign.
    function decode(bytes32 key) private view returns (bool good, uint256 x, uint256 y) {
        uint256 number = reversed(key);
        y = number & ~SIGN_BIT;
        if (y >= P) return (false, 0, 0);
        (good, x) = rootOf(y);
        uint256 sign = number >> 255;
        if (!good) return (false, 0, 0);
        if (x & 1 != sign) x = P - x;
        good = !isSmall(x, y);
    }

    /// @dev An x with x² = (y² - 1) / (d·y² + 1), if there is one: the candidate (u·v³)·(u·v⁷)^((P-5)/8), or that times
    /// the square root of -1. Which of the two roots it is, is the caller's to choose.
    function rootOf(uint256 y) private view returns (bool good, uint256 x) {
        uint256 y2 = mulmod(y, y, P);
        uint256 u = addmod(y2, P - 1, P);
        uint256 v = addmod(mulmod(D, y2, P), 1, P);
        uint256 v3 = mulmod(mulmod(v, v, P), v, P);
        uint256 uv3 = mulmod(u, v3, P);
        uint256 uv7 = mulmod(mulmod(uv3, v3, P), v, P);
        x = mulmod(uv3, power(uv7, (P - 5) / 8), P);
        uint256 square = mulmod(v, mulmod(x, x, P), P);
        if (square == u) return (true, x);
        x = mulmod(x, SQRT_MINUS_1, P);
        good = square == addmod(P - u, 0, P);
    }

    /// @dev Eight times a point is of the base point's odd order, or neutral: of these only the neutral one has x = 0.
    function isSmall(uint256 x, uint256 y) private pure returns (bool) {
        uint256 z = 1;
        for (uint256 i = 0; i < 3; ++i) {
            (x, y, z,) = twice(x, y, z);
        }
        return x == 0;
    }

    /// @dev The encoding of a point: y, and x's lowest bit above it (RFC 8032 section 5.1.2).
    function encode(uint256 x, uint256 y, uint256 z) private view returns (bytes32) {
        uint256 inverse = power(z, P - 2);
        x = mulmod(x, inverse, P);
        y = mulmod(y, inverse, P);
        return bytes32(reversed(bytes32(y | (x << 255))));
    }

    /// @dev The number whose little-endian bytes these are; and back.
    function reversed(bytes32 value) private pure returns (uint256 v) {
        uint256 m8 = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
        uint256 m16 = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
        uint256 m32 = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
        uint256 m64 = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
        v = uint256(value);
        v = ((v >> 8) & m8) | ((v & m8) << 8);
        v = ((v >> 16) & m16) | ((v & m16) << 16);
        v = ((v >> 32) & m32) | ((v & m32) << 32);
        v = ((v >> 64) & m64) | ((v & m64) << 64);
        v = (v >> 128) | (v << 128);
    }

    // ---- The curve

    /// @dev The encoding of [s]B - [k]A, two bits of both scalars at a time (Straus): a table holds iB - jA
    /// for i and j from 0 to 3.
    /// Both scalars are below L, which has 253 bits.
    function difference(uint256 s, uint256 k, uint256 ax, uint256 ay) private view returns (bytes32) {
        uint256[64] memory table = combinations(ax, ay);
        (uint256 x, uint256 y, uint256 z, uint256 t) = (0, 1, 1, 0);
        for (uint256 bit = 254; bit > 0;) {
            unchecked {
                bit -= 2;
            }
            (x, y, z,) = twice(x, y, z);
            (x, y, z, t) = twice(x, y, z);
            uint256 entry = (((s >> bit) & 3) << 2) | ((k >> bit) & 3);
            if (entry != 0) (x, y, z,) = plus(x, y, z, t, table, entry);
        }
        return encode(x, y, z);
    }

    /// @dev Entry 4i + j is iB - jA in the form that `plus` adds; entry 0 is not used.
    function combinations(uint256 ax, uint256 ay) private pure returns (uint256[64] memory table) {
        uint256 nx = addmod(P - ax, 0, P);
        put(table, 1, nx, ay, 1, mulmod(nx, ay, P));
        (uint256 x, uint256 y, uint256 z, uint256 t) = twice(nx, ay, 1);
        put(table, 2, x, y, z, t);
        (x, y, z, t) = plus(x, y, z, t, table, 1);
        put(table, 3, x, y, z, t);
        row(table, 4, B1_X, B1_Y);
        row(table, 8, B2_X, B2_Y);
        row(table, 12, B3_X, B3_Y);
    }

    /// @dev Fills four entries: (bx, by), and it less A, 2A and 3A.
    function row(uint256[64] memory table, uint256 first, uint256 bx, uint256 by) private pure {
        uint256 bt = mulmod(bx, by, P);
        put(table, first, bx, by, 1, bt);
        for (uint256 j = 1; j < 4; ++j) {
            (uint256 x, uint256 y, uint256 z, uint256 t) = plus(bx, by, 1, bt, table, j);
            put(table, first + j, x, y, z, t);
        }
    }

    /// @dev Writes an entry: Y - X, Y + X, 2dT, 2Z.
    function put(uint256[64] memory table, uint256 entry, uint256 x, uint256 y, uint256 z, uint256 t) private pure {
        table[4 * entry] = addmod(y, P - x, P);
        table[4 * entry + 1] = addmod(y, x, P);
        table[4 * entry + 2] = mulmod(D2, t, P);
        table[4 * entry + 3] = addmod(z, z, P);
    }

    /// @dev Twice a point; T of the argument is not needed.
    function twice(uint256 x, uint256 y, uint256 z) private pure returns (uint256, uint256, uint256, uint256) {
        unchecked {
            uint256 xx = mulmod(x, x, P);
            uint256 yy = mulmod(y, y, P);
            uint256 e = mulmod(x + x, y, P);
            uint256 g = yy + P - xx;
            uint256 h = xx + yy;
            uint256 f = addmod(mulmod(z + z, z, P), xx + P - yy, P);
            return (mulmod(e, f, P), mulmod(g, h, P), mulmod(f, g, P), mulmod(e, h, P));
        }
    }

    /// @dev A point plus an entry of the table; complete, so equal and neutral points need no care.
    function plus(uint256 x, uint256 y, uint256 z, uint256 t, uint256[64] memory table, uint256 entry)
        private
        pure
        returns (uint256, uint256, uint256, uint256)
    {
        unchecked {
            uint256 a = mulmod(y + P - x, table[4 * entry], P);
            uint256 b = mulmod(y + x, table[4 * entry + 1], P);
            uint256 c = mulmod(t, table[4 * entry + 2], P);
            uint256 d = mulmod(z, table[4 * entry + 3], P);
            uint256 e = b + P - a;
            uint256 f = d + P - c;
            uint256 g = d + c;
            uint256 h = b + a;
            return (mulmod(e, f, P), mulmod(g, h, P), mulmod(f, g, P), mulmod(e, h, P));
        }
    }

    /// @dev base^exponent modulo P, by the precompiled contract (EIP-198).
    function power(uint256 base, uint256 exponent) private view returns (uint256) {
        (bool ok, bytes memory answer) = address(5).staticcall(abi.encode(32, 32, 32, base, exponent, P));
        if (!ok || answer.length != 32) revert Ed25519NoModexp();
        return abi.decode(answer, (uint256));
    }
}
