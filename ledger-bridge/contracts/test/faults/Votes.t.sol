// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ed25519} from "../../src/evidence/Ed25519.sol";
import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {Vote} from "../../src/interfaces/SignedTypes.sol";
import {FaultsTest} from "./FaultsTest.sol";

contract FaultsVotesTest is FaultsTest {
    bytes32 private immutable place = keccak256(abi.encode(uint64(7), uint32(1)));

    function prove(string memory one, string memory other) private {
        (Vote memory a, bytes memory signatureA) = vote(one);
        (Vote memory b, bytes memory signatureB) = vote(other);
        faults.twoVotes(a, signatureA, b, signatureB);
    }

    function refuse(string memory one, string memory other, bytes memory reason) private {
        (Vote memory a, bytes memory signatureA) = vote(one);
        (Vote memory b, bytes memory signatureB) = vote(other);
        vm.expectRevert(reason);
        faults.twoVotes(a, signatureA, b, signatureB);
    }

    function test_twoVotes_slashes() public {
        (Vote memory a, bytes memory signatureA) = vote("first");
        (Vote memory b, bytes memory signatureB) = vote("conflict");
        bytes32 fault = expectProven(IAssayFaults.FaultKind.TwoVotes, place, STAKE / 10);
        faults.twoVotes(a, signatureA, b, signatureB);
        vm.snapshotGasLastCall("AssayFaults", "twoVotes");
        assertSlashed(fault, 1_000);
    }

    function test_twoVotes_revertsWhen_eitherIsOfAnotherNetwork() public {
        (Vote memory other,) = vote("otherNetwork");
        bytes memory reason =
            abi.encodeWithSelector(IAssayFaults.WrongNetwork.selector, epochs.networkId(), other.networkId);
        refuse("first", "otherNetwork", reason);
        refuse("otherNetwork", "first", reason);
    }

    /// @dev The foreign vote under this network's id is no vote that anybody signed.
    function test_twoVotes_revertsWhen_anotherNetworksVoteIsRenamed() public {
        (Vote memory a, bytes memory signatureA) = vote("first");
        (Vote memory b, bytes memory signatureB) = vote("otherNetwork");
        b.networkId = a.networkId;
        reject(Ed25519.Ed25519WrongSignature.selector);
        faults.twoVotes(a, signatureA, b, signatureB);
    }

    function test_twoVotes_revertsWhen_theyAreOfDifferentHyperNodes() public {
        bytes32 other = otherHyperNode;
        stake.add(other, address(1), STAKE);
        bytes4 selector = IAssayFaults.DifferentHyperNodes.selector;
        refuse("first", "otherHyperNode", abi.encodeWithSelector(selector, hyperNode, other));
        refuse("otherHyperNode", "first", abi.encodeWithSelector(selector, other, hyperNode));
    }

    function test_twoVotes_revertsWhen_anotherHyperNodesVoteIsRenamed() public {
        (Vote memory a, bytes memory signatureA) = vote("first");
        (Vote memory b, bytes memory signatureB) = vote("otherHyperNode");
        b.hyperNode = a.hyperNode;
        reject(Ed25519.Ed25519WrongSignature.selector);
        faults.twoVotes(a, signatureA, b, signatureB);
    }

    function test_twoVotes_revertsWhen_epochsAreDifferent() public {
        refuse("first", "nextEpoch", abi.encodeWithSelector(IAssayFaults.DifferentEpochs.selector, 7, 8));
    }

    function test_twoVotes_revertsWhen_roundsAreDifferent() public {
        refuse("first", "nextRound", abi.encodeWithSelector(IAssayFaults.DifferentRounds.selector, 1, 2));
    }

    function test_twoVotes_revertsWhen_bothAreForOneInputSet() public {
        (Vote memory a,) = vote("first");
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.NoConflict.selector, a.inputSet);
        refuse("first", "first", reason);
        refuse("first", "again", reason);
    }

    function test_twoVotes_revertsWhen_nobodyRegisteredTheKey() public {
        (Vote memory a, bytes memory signatureA) = vote("first");
        (Vote memory b, bytes memory signatureB) = vote("conflict");
        (a.hyperNode, b.hyperNode) = (otherHyperNode, otherHyperNode);
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.UnknownHyperNode.selector, a.hyperNode));
        faults.twoVotes(a, signatureA, b, signatureB);
    }

    function test_twoVotes_revertsWhen_aSignatureHasAnotherLength() public {
        (Vote memory a, bytes memory signatureA) = vote("first");
        (Vote memory b, bytes memory signatureB) = vote("conflict");
        bytes memory long = bytes.concat(signatureA, hex"00");
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519WrongLength.selector, 64, 65));
        faults.twoVotes(a, long, b, signatureB);
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519WrongLength.selector, 64, 0));
        faults.twoVotes(a, signatureA, b, "");
    }

    function test_twoVotes_revertsWhen_itWasProven() public {
        prove("first", "conflict");
        bytes32 fault = faults.faultId(IAssayFaults.FaultKind.TwoVotes, hyperNode, place);
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.AlreadyProven.selector, fault);
        refuse("first", "conflict", reason);
        refuse("conflict", "first", reason);
        refuse("conflict", "again", reason);
        refuse("third", "first", reason);
        vm.assertEq(stake.slashCount(), 1, "slashes");
    }

    function testFuzz_twoVotes_revertsWhen_aBitIsFlipped(uint256 place_, bool second) public {
        (Vote memory a, bytes memory signatureA) = vote("first");
        (Vote memory b, bytes memory signatureB) = vote("conflict");
        if (second) (b, signatureB) = flipped(b, signatureB, place_);
        else (a, signatureA) = flipped(a, signatureA, place_);
        vm.expectRevert();
        faults.twoVotes(a, signatureA, b, signatureB);
        assertNobodySlashed();
    }

    /// @dev One bit of the vote's 192 bytes of ABI encoding that its types have, or of the signature's 64.
    function flipped(Vote memory v, bytes memory signature, uint256 pick)
        private
        pure
        returns (Vote memory, bytes memory)
    {
        uint256 bit = (pick >> 8) & 255;
        uint256 field = pick % 8;
        if (field == 0) v.networkId ^= bytes32(1 << bit);
        else if (field == 1) v.epoch ^= uint64(1 << (bit % 64));
        else if (field == 2) v.round ^= uint32(1 << (bit % 32));
        else if (field == 3) v.hyperNode ^= bytes32(1 << bit);
        else if (field == 4) v.inputSet ^= bytes32(1 << bit);
        else if (field == 5) v.atUnixMs ^= uint64(1 << (bit % 64));
        else signature[(pick >> 16) % 64] ^= bytes1(uint8(1 << (bit % 8)));
        return (v, signature);
    }

    /// @dev All that one honest HyperNode, and another, signed: no two of them convict it.
    function test_twoVotes_neverConvictsTheHonest() public {
        stake.add(otherHyperNode, address(1), STAKE);
        string[5] memory honest = ["first", "again", "nextRound", "nextEpoch", "otherHyperNode"];
        for (uint256 i = 0; i < honest.length; ++i) {
            for (uint256 j = 0; j < honest.length; ++j) {
                (Vote memory a, bytes memory signatureA) = vote(honest[i]);
                (Vote memory b, bytes memory signatureB) = vote(honest[j]);
                vm.expectRevert();
                faults.twoVotes(a, signatureA, b, signatureB);
            }
        }
        assertNobodySlashed();
    }
}
