// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EvidenceLibraries} from "../deployed/EvidenceLibraries.sol";
import {Deployed} from "../support/Deployed.sol";
import {Test} from "../support/Test.sol";

contract Sha512Test is Test {
    EvidenceLibraries private libraries = Deployed.evidenceLibraries();

    /// @dev The examples of FIPS 180 and the empty message.
    function test_hash_isNistsForItsExamples() public {
        vm.assertEq(
            libraries.digest(""),
            hex"cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
            "empty"
        );
        vm.assertEq(
            libraries.digest("abc"),
            hex"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "one block"
        );
        bytes memory two =
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
        vm.assertEq(
            libraries.digest(two),
            hex"8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
            "two blocks"
        );
        vm.snapshotValue("evidence", "Sha512 of two blocks", libraries.digestGas(two));
    }

    /// @dev Message i is i bytes 7·i + j: every place of the padding in a block, and several blocks.
    function test_hash_isRightForEveryLength() public view {
        bytes[] memory digests = vm.parseJsonBytesArray(vm.readFile("test/vectors/sha512.json"), ".digests");
        for (uint256 length = 0; length < digests.length; ++length) {
            bytes memory message = new bytes(length);
            for (uint256 j = 0; j < length; ++j) {
                message[j] = bytes1(uint8(7 * length + j));
            }
            vm.assertEq(libraries.digest(message), digests[length], vm.toString(length));
        }
        vm.assertEq(digests.length, 300, "lengths");
    }
}
