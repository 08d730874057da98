// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ed25519} from "../../src/evidence/Ed25519.sol";
import {Signed} from "../../src/evidence/Signed.sol";
import {Checkpoint, Countersigned, Outcome, Vote} from "../../src/interfaces/SignedTypes.sol";
import {FaultsTest} from "../faults/FaultsTest.sol";

/// @title The bytes made here are the bytes that the protocol's encoders signed, at every width of every number.
contract SignedTest is FaultsTest {
    function voteBytes(Vote calldata v) external pure returns (bytes memory) {
        return Signed.voteBytes(v);
    }

    function checkpointBytes(Checkpoint calldata c) external pure returns (bytes memory) {
        return Signed.checkpointBytes(c);
    }

    function countersignedBytes(Countersigned calldata c) external pure returns (bytes memory) {
        return Signed.countersignedBytes(c);
    }

    function outcomeBytes(Outcome calldata o) external pure returns (bytes memory) {
        return Signed.outcomeBytes(o);
    }

    function test_voteBytes_areWhatWasSigned() public view {
        string[] memory names = vm.parseJsonKeys(file("votes"), "$");
        for (uint256 i = 0; i < names.length; ++i) {
            (Vote memory v, bytes memory signature) = vote(names[i]);
            bytes memory made = this.voteBytes(v);
            vm.assertEq(made, blob(file("votes"), string.concat(".", names[i]), "signed"), names[i]);
            verify(v.hyperNode, made, signature);
        }
        vm.assertEq(names.length, 19, "votes");
    }

    function test_checkpointBytes_areWhatWasSigned() public view {
        string[] memory names = vm.parseJsonKeys(file("checkpoints"), "$");
        for (uint256 i = 0; i < names.length; ++i) {
            (Checkpoint memory c, bytes memory signature) = checkpoint(names[i]);
            bytes memory made = this.checkpointBytes(c);
            vm.assertEq(made, blob(file("checkpoints"), string.concat(".", names[i]), "signed"), names[i]);
            verify(c.hyperNode, made, signature);
        }
        vm.assertEq(names.length, 34, "checkpoints");
    }

    function test_countersignedBytes_areWhatWasSigned() public view {
        string[] memory names = vm.parseJsonKeys(file("receipts"), "$");
        for (uint256 i = 0; i < names.length; ++i) {
            (Countersigned memory c, bytes memory signature) = receipt(names[i]);
            bytes memory made = this.countersignedBytes(c);
            vm.assertEq(made, blob(file("receipts"), string.concat(".", names[i]), "signed"), names[i]);
            verify(c.receipt.hyperNode, made, signature);
        }
        vm.assertEq(names.length, 16, "receipts");
    }

    function test_outcomeBytes_areWhatWasSigned() public view {
        string[] memory names = vm.parseJsonKeys(file("outcomes"), "$");
        for (uint256 i = 0; i < names.length; ++i) {
            this.checkOutcome(names[i]);
        }
        vm.assertEq(names.length, 32, "outcomes");
    }

    /// @dev A call of its own, so that its memory is free again.
    function checkOutcome(string calldata name) external view {
        (Outcome memory o, bytes memory signature) = outcome(name);
        bytes memory made = this.outcomeBytes(o);
        vm.assertEq(made, blob(file("outcomes"), string.concat(".", name), "signed"), name);
        verify(o.hyperNode, made, signature);
    }

    function verify(bytes32 key, bytes memory message, bytes memory signature) private view {
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        Ed25519.verify(key, message, r, s);
    }
}
