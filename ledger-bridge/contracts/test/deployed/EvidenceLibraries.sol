// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Aes256Ctr} from "../../src/evidence/Aes256Ctr.sol";
import {Ed25519} from "../../src/evidence/Ed25519.sol";
import {Sha512} from "../../src/evidence/Sha512.sol";

/// @title Libraries of src/evidence, compiled as they are into what is deployed.
contract EvidenceLibraries {
    function digest(bytes memory message) external pure returns (bytes memory) {
        (bytes32 left, bytes32 right) = Sha512.hash(message);
        return bytes.concat(left, right);
    }

    function digestGas(bytes memory message) external view returns (uint256) {
        uint256 before = gasleft();
        Sha512.hash(message);
        return before - gasleft();
    }

    function blockOf(bytes32 key, uint64 index) external pure returns (bytes memory) {
        return Aes256Ctr.blockOf(key, index);
    }

    function verify(bytes32 key, bytes memory message, bytes32 r, bytes32 s) external view {
        Ed25519.verify(key, message, r, s);
    }
}
