// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ed25519} from "../../src/evidence/Ed25519.sol";
import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {Answer, Outcome} from "../../src/interfaces/SignedTypes.sol";
import {FaultsTest} from "./FaultsTest.sol";

abstract contract OutcomesTest is FaultsTest {
    uint8 internal constant PROBE = 2;
    uint8 internal constant CHASE = 4;

    function place(uint8 kind) internal pure returns (bytes32) {
        return place(kind, 7, 300);
    }

    function place(uint8 kind, uint64 epoch, uint32 slot) internal pure returns (bytes32) {
        return keccak256(abi.encode(bytes32(uint256(0x33) * (type(uint256).max / 255)), epoch, slot, kind));
    }

    function unknown() internal {
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.UnknownHyperNode.selector, otherHyperNode));
    }

    function foreign() internal {
        (Outcome memory o,) = outcome("otherNetwork");
        rejectPair(IAssayFaults.WrongNetwork.selector, epochs.networkId(), o.networkId);
    }

    /// @dev One bit of what an outcome's types have, or of the signature's 64 bytes.
    function flip(Outcome memory o, bytes memory signature, uint256 pick) internal pure {
        uint256 bit = (pick >> 8) & 255;
        uint256 field = pick % 15;
        if (field == 0) o.networkId ^= bytes32(1 << bit);
        else if (field == 1) o.kind ^= uint8(1 << (bit % 8));
        else if (field == 2) o.node ^= bytes32(1 << bit);
        else if (field == 3) o.hyperNode ^= bytes32(1 << bit);
        else if (field == 4) o.epoch ^= uint64(1 << (bit % 64));
        else if (field == 5) o.slot ^= uint32(1 << (bit % 32));
        else if (field == 6) o.startedUnixMs ^= uint64(1 << (bit % 64));
        else if (field == 7) o.endedUnixMs ^= uint64(1 << (bit % 64));
        else if (field == 8) o.result ^= uint8(1 << (bit % 8));
        else if (field == 9) o.metrics[0].id ^= uint16(1 << (bit % 16));
        else if (field == 10) o.metrics[0].value ^= uint64(1 << (bit % 64));
        else if (field == 11) o.policy ^= bytes32(1 << bit);
        else if (field == 12) o.r ^= bytes32(1 << bit);
        else if (field == 13) o.detail = string.concat(o.detail, ".");
        else signature[(pick >> 16) % 64] ^= bytes1(uint8(1 << (bit % 8)));
    }
}

contract FaultsAnswerTest is OutcomesTest {
    function prove(string memory name) private {
        (Outcome memory o, bytes memory signature) = outcome(name);
        faults.unsignedAnswer(o, signature, 0, answer(name));
    }

    function refuse(string memory of_, string memory by, bytes memory reason) private {
        (Outcome memory o, bytes memory signature) = outcome(of_);
        Answer memory a = answer(by);
        vm.expectRevert(reason);
        faults.unsignedAnswer(o, signature, 0, a);
        assertNobodySlashed();
    }

    function test_unsignedAnswer_slashes() public {
        (Outcome memory o, bytes memory signature) = outcome("forged");
        Answer memory a = answer("forged");
        bytes32 fault = expectProven(IAssayFaults.FaultKind.UnsignedAnswer, place(PROBE), STAKE * 8 / 10);
        faults.unsignedAnswer(o, signature, 0, a);
        vm.snapshotGasLastCall("AssayFaults", "unsignedAnswer");
        assertSlashed(fault, 8_000);
    }

    function test_unsignedAnswer_slashesForAFailureToo() public {
        (Outcome memory o, bytes memory signature) = outcome("forgedChase");
        Answer memory a = answer("forgedChase");
        bytes32 fault = expectProven(IAssayFaults.FaultKind.UnsignedAnswer, place(CHASE), STAKE * 8 / 10);
        faults.unsignedAnswer(o, signature, 0, a);
        assertSlashed(fault, 8_000);
    }

    /// @dev The answer is looked for where the proof says that it is.
    function test_unsignedAnswer_slashesForTheSecondPieceOfEvidence() public {
        (Outcome memory o, bytes memory signature) = outcome("second");
        Answer memory a = answer("forged");
        reject(IAssayFaults.WrongAnswer.selector);
        faults.unsignedAnswer(o, signature, 0, a);
        faults.unsignedAnswer(o, signature, 1, a);
        vm.assertEq(stake.slashCount(), 1, "slashes");
    }

    /// @dev Another's key, half a signature, one byte more, a scalar that is not the least, the last date there is: nobody
    /// signed these.
    function test_unsignedAnswer_slashesForWhateverIsNoSignature() public {
        string[5] memory names = ["others", "short", "long", "aboveOrder", "late"];
        uint256 before = vm.snapshotState();
        for (uint256 i = 0; i < names.length; ++i) {
            prove(names[i]);
            vm.assertEq(stake.slashCount(), 1, names[i]);
            vm.revertToState(before);
        }
    }

    function test_unsignedAnswer_revertsWhen_itIsSigned() public {
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.SignedAnswer.selector, answer("signed").sessionKey);
        refuse("signed", "signed", reason);
        refuse("chase", "signedChase", reason);
    }

    /// @dev Whoever takes such keys takes what anybody signed by them: that is no proof of a lie.
    function test_unsignedAnswer_revertsWhen_theKeyIsNone() public {
        bytes32 key = answer("smallKey").sessionKey;
        refuse("smallKey", "smallKey", abi.encodeWithSelector(Ed25519.Ed25519BadKey.selector, key));
    }

    function test_unsignedAnswer_revertsWhen_nothingIsConcluded() public {
        bytes4 selector = IAssayFaults.NothingConcluded.selector;
        refuse("undecided", "forgedChase", abi.encodeWithSelector(selector, 5));
        refuse("silent", "forged", abi.encodeWithSelector(selector, 2));
    }

    function test_unsignedAnswer_revertsWhen_thereIsNoSuchEvidence() public {
        (Outcome memory o, bytes memory signature) = outcome("forged");
        Answer memory a = answer("forged");
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.NoEvidence.selector, 1, 1));
        faults.unsignedAnswer(o, signature, 1, a);
    }

    /// @dev What a node sends unsigned may look like an object that nobody signed.
    function test_unsignedAnswer_revertsWhen_theEvidenceIsNoAnswer() public {
        (Outcome memory o,) = outcome("control");
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.NotAnAnswer.selector, o.evidence[0].mediaType);
        refuse("control", "control", reason);
    }

    function test_unsignedAnswer_revertsWhen_theAnswerIsAnother() public {
        (Outcome memory o, bytes memory signature) = outcome("signed");
        Answer memory a = answer("forged");
        reject(IAssayFaults.WrongAnswer.selector);
        faults.unsignedAnswer(o, signature, 0, a);
        (o, signature) = outcome("forged");
        a = answer("signed");
        reject(IAssayFaults.WrongAnswer.selector);
        faults.unsignedAnswer(o, signature, 0, a);
    }

    function test_unsignedAnswer_revertsWhen_itIsOfAnotherNetwork() public {
        (Outcome memory o, bytes memory signature) = outcome("otherNetwork");
        Answer memory a = answer("forged");
        foreign();
        faults.unsignedAnswer(o, signature, 0, a);
        o.networkId = epochs.networkId();
        reject(Ed25519.Ed25519WrongSignature.selector);
        faults.unsignedAnswer(o, signature, 0, a);
    }

    function test_unsignedAnswer_revertsWhen_nobodyRegisteredTheKey() public {
        (Outcome memory o, bytes memory signature) = outcome("forged");
        Answer memory a = answer("forged");
        o.hyperNode = otherHyperNode;
        unknown();
        faults.unsignedAnswer(o, signature, 0, a);
    }

    function test_unsignedAnswer_revertsWhen_theOutcomesSignatureHasAnotherLength() public {
        (Outcome memory o, bytes memory signature) = outcome("forged");
        Answer memory a = answer("forged");
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519WrongLength.selector, 64, 65));
        faults.unsignedAnswer(o, bytes.concat(signature, hex"00"), 0, a);
    }

    function test_unsignedAnswer_revertsWhen_itWasProven() public {
        prove("forged");
        bytes32 fault = faults.faultId(IAssayFaults.FaultKind.UnsignedAnswer, hyperNode, place(PROBE));
        (Outcome memory o, bytes memory signature) = outcome("short");
        Answer memory a = answer("short");
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.AlreadyProven.selector, fault));
        faults.unsignedAnswer(o, signature, 0, a);
        prove("forgedChase");
        vm.assertEq(stake.slashCount(), 2, "slashes");
    }

    function testFuzz_unsignedAnswer_revertsWhen_aBitOfTheOutcomeIsFlipped(uint256 pick) public {
        (Outcome memory o, bytes memory signature) = outcome("forged");
        Answer memory a = answer("forged");
        flip(o, signature, pick);
        vm.expectRevert();
        faults.unsignedAnswer(o, signature, 0, a);
        assertNobodySlashed();
    }

    /// @dev A signed answer is not made an unsigned one by showing another in its place.
    function testFuzz_unsignedAnswer_revertsWhen_aBitOfTheAnswerIsFlipped(uint256 pick) public {
        (Outcome memory o, bytes memory signature) = outcome("signed");
        Answer memory a = answer("signed");
        uint256 bit = (pick >> 8) & 255;
        uint256 field = pick % 5;
        if (field == 0) a.sessionKey ^= bytes32(1 << bit);
        else if (field == 1) a.node ^= bytes32(1 << bit);
        else if (field == 2) a.atUnixMs ^= uint64(1024 << (bit % 54));
        else if (field == 3) a.payload[(pick >> 16) % a.payload.length] ^= bytes1(uint8(1 << (bit % 8)));
        else a.signature[(pick >> 16) % 64] ^= bytes1(uint8(1 << (bit % 8)));
        reject(IAssayFaults.WrongAnswer.selector);
        faults.unsignedAnswer(o, signature, 0, a);
    }
}

contract FaultsTwoOutcomesTest is OutcomesTest {
    function prove(string memory one, string memory other) private {
        (Outcome memory a, bytes memory signatureA) = outcome(one);
        (Outcome memory b, bytes memory signatureB) = outcome(other);
        faults.twoOutcomes(a, signatureA, b, signatureB);
    }

    function refuse(string memory one, string memory other, bytes memory reason) private {
        (Outcome memory a, bytes memory signatureA) = outcome(one);
        (Outcome memory b, bytes memory signatureB) = outcome(other);
        vm.expectRevert(reason);
        faults.twoOutcomes(a, signatureA, b, signatureB);
    }

    function test_twoOutcomes_slashes() public {
        (Outcome memory a, bytes memory signatureA) = outcome("signed");
        (Outcome memory b, bytes memory signatureB) = outcome("silent");
        bytes32 fault = expectProven(IAssayFaults.FaultKind.TwoOutcomes, place(PROBE), STAKE * 7 / 10);
        faults.twoOutcomes(a, signatureA, b, signatureB);
        vm.snapshotGasLastCall("AssayFaults", "twoOutcomes");
        assertSlashed(fault, 7_000);
    }

    /// @dev One attempt ends once, also where both outcomes are passes.
    function test_twoOutcomes_slashesWhateverTheyDifferIn() public {
        prove("signed", "again");
        vm.assertEq(stake.slashCount(), 1, "slashes");
    }

    function test_twoOutcomes_revertsWhen_bothAreOne() public {
        refuse("signed", "signed", abi.encodeWithSelector(IAssayFaults.NoConflict.selector, place(PROBE)));
    }

    function test_twoOutcomes_revertsWhen_attemptsAreDifferent() public {
        bytes4 selector = IAssayFaults.DifferentAttempts.selector;
        bytes32 own = place(PROBE);
        refuse("signed", "nextSlot", abi.encodeWithSelector(selector, own, place(PROBE, 7, 301)));
        refuse("signed", "nextEpoch", abi.encodeWithSelector(selector, own, place(PROBE, 8, 300)));
        refuse("signed", "chase", abi.encodeWithSelector(selector, own, place(CHASE)));
        (Outcome memory a, bytes memory signatureA) = outcome("signed");
        (Outcome memory b, bytes memory signatureB) = outcome("otherNode");
        reject(selector);
        faults.twoOutcomes(a, signatureA, b, signatureB);
    }

    /// @dev A chase that was broken off is asked again, for the same slot.
    function test_twoOutcomes_revertsWhen_itIsNoProbe() public {
        refuse("chase", "silentChase", abi.encodeWithSelector(IAssayFaults.NotAProbe.selector, CHASE));
    }

    function test_twoOutcomes_revertsWhen_eitherIsOfAnotherNetwork() public {
        (Outcome memory other, bytes memory signature) = outcome("otherNetwork");
        (Outcome memory own, bytes memory signatureOwn) = outcome("signed");
        foreign();
        faults.twoOutcomes(own, signatureOwn, other, signature);
        foreign();
        faults.twoOutcomes(other, signature, own, signatureOwn);
    }

    function test_twoOutcomes_revertsWhen_theyAreOfDifferentHyperNodes() public {
        stake.add(otherHyperNode, address(1), STAKE);
        bytes4 selector = IAssayFaults.DifferentHyperNodes.selector;
        refuse("signed", "otherHyperNode", abi.encodeWithSelector(selector, hyperNode, otherHyperNode));
        (Outcome memory a, bytes memory signatureA) = outcome("signed");
        (Outcome memory b, bytes memory signatureB) = outcome("otherHyperNode");
        b.hyperNode = hyperNode;
        reject(Ed25519.Ed25519WrongSignature.selector);
        faults.twoOutcomes(a, signatureA, b, signatureB);
        reject(Ed25519.Ed25519WrongSignature.selector);
        faults.twoOutcomes(b, signatureB, a, signatureA);
    }

    function test_twoOutcomes_revertsWhen_nobodyRegisteredTheKey() public {
        (Outcome memory a, bytes memory signatureA) = outcome("otherHyperNode");
        unknown();
        faults.twoOutcomes(a, signatureA, a, signatureA);
    }

    function test_twoOutcomes_revertsWhen_itWasProven() public {
        prove("signed", "silent");
        bytes32 fault = faults.faultId(IAssayFaults.FaultKind.TwoOutcomes, hyperNode, place(PROBE));
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.AlreadyProven.selector, fault);
        refuse("silent", "signed", reason);
        refuse("again", "silent", reason);
    }

    function testFuzz_twoOutcomes_revertsWhen_aBitIsFlipped(uint256 pick, bool second) public {
        (Outcome memory a, bytes memory signatureA) = outcome("signed");
        (Outcome memory b, bytes memory signatureB) = outcome("silent");
        if (second) flip(b, signatureB, pick);
        else flip(a, signatureA, pick);
        vm.expectRevert();
        faults.twoOutcomes(a, signatureA, b, signatureB);
        assertNobodySlashed();
    }
}
