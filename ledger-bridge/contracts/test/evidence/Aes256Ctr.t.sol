// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceLibraries} from "../deployed/EvidenceLibraries.sol";
import {Deployed} from "../support/Deployed.sol";
import {Test} from "../support/Test.sol";

contract Aes256CtrTest is Test {
    EvidenceLibraries private libraries = Deployed.evidenceLibraries();

    /// @dev The cipher of the zero block under the zero key, which block 0 begins with.
    function test_blockOf_beginsWithTheCipherOfTheCounter() public {
        bytes memory stream = libraries.blockOf(0, 0);
        vm.snapshotGasLastCall("evidence", "Aes256Ctr block of 4096 bytes");
        vm.assertEq(stream.length, 4096, "length");
        vm.assertEq(bytes32(bytes16(bytes32(stream))), bytes32(bytes16(hex"dc95c078a2408989ad48a21492842087")), "first");
    }

    /// @dev Keys, indexes and SHA-256 of whole blocks, of another implementation: every entry of every table is used.
    function test_blockOf_isAnotherImplementationsStream() public view {
        string memory json = vm.readFile("test/vectors/aes256ctr.json");
        bytes32[] memory keys = vm.parseJsonBytes32Array(json, ".keys");
        uint256[] memory indexes = vm.parseJsonUintArray(json, ".indexes");
        bytes32[] memory digests = vm.parseJsonBytes32Array(json, ".digests");
        for (uint256 i = 0; i < keys.length; ++i) {
            bytes32 digest = sha256(libraries.blockOf(keys[i], uint64(indexes[i])));
            vm.assertEq(digest, digests[i], vm.toString(i));
        }
        vm.assertEq(keys.length, 8, "blocks");
    }
}
