// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Cbor} from "./Cbor.sol";

/// @title COSE_Sign1 with Ed25519 (RFC 9052), as every signed object of Assay is sealed: the bytes that were signed, from
/// what the object says.
/// @notice The protected header is a function of payload and signer, and both are deterministic CBOR
/// (protocol/cddl/assay.cddl), so one object of one signer has one form. Bytes are made here and never parsed: what
/// was signed in another form does not verify, and convicts nobody.
library Cose {
    /// @notice The Sig_structure of RFC 9052 section 4.4, external data empty.
    function toBeSigned(bytes memory protectedHeader, bytes memory payload) internal pure returns (bytes memory) {
        return
            bytes.concat(hex"846a", "Signature1", Cbor.byteString(protectedHeader), hex"40", Cbor.byteString(payload));
    }

    /// @notice A whole signed object: tag 18, protected header, empty unprotected header, payload, signature.
    function sign1(bytes memory protectedHeader, bytes memory payload, bytes memory signature)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(
            hex"d284", Cbor.byteString(protectedHeader), hex"a0", Cbor.byteString(payload), Cbor.byteString(signature)
        );
    }

    /// @notice The protected header of an object of media type `typ` by `signer`: algorithm EdDSA (1), key id (4), CWT
    /// claims (15: issuer, subject, time), type (16).
    /// @param signer its Ed25519 key
    /// @param subject the node or HyperNode that the object speaks of
    /// @param atUnixMs when it was signed, by the signer's clock
    function header(bytes memory typ, bytes32 signer, bytes32 subject, uint64 atUnixMs)
        internal
        pure
        returns (bytes memory)
    {
        bytes memory claims = bytes.concat(
            hex"a301",
            Cbor.text(bytes.concat("ed25519:", hexadecimal(signer))),
            hex"02",
            Cbor.text(hexadecimal(subject)),
            hex"06",
            Cbor.unsigned(atUnixMs / 1000)
        );
        bytes32 keyId = sha256(bytes.concat(signer));
        return bytes.concat(hex"a4012704", Cbor.byteString(keyId), hex"0f", claims, hex"10", Cbor.text(typ));
    }

    /// @notice 64 lower-case digits.
    function hexadecimal(bytes32 value) internal pure returns (bytes memory digits) {
        bytes16 alphabet = "0123456789abcdef";
        digits = new bytes(64);
        for (uint256 i = 0; i < 32; ++i) {
            uint8 octet = uint8(value[i]);
            digits[2 * i] = alphabet[octet >> 4];
            digits[2 * i + 1] = alphabet[octet & 15];
        }
    }
}
