// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ed25519} from "../../src/evidence/Ed25519.sol";
import {LogLeaf} from "../../src/evidence/LogLeaf.sol";
import {Rfc9162} from "../../src/evidence/Rfc9162.sol";
import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {Checkpoint} from "../../src/interfaces/SignedTypes.sol";
import {FaultsTest} from "./FaultsTest.sol";

/// @dev Two logs of one key, of nine leaves: they are one up to leaf 4, and two from leaf 5.
contract FaultsLogTest is FaultsTest {
    uint64 private constant LEAVES = 9;
    uint64 private constant FORK = 5;
    uint64 private constant RECORDS = 11;

    function refuse(string memory one, string memory other, bytes memory reason) private {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint(one);
        (Checkpoint memory b, bytes memory signatureB) = checkpoint(other);
        vm.expectRevert(reason);
        faults.twoCheckpoints(a, signatureA, b, signatureB);
    }

    function refuse(
        string memory one,
        string memory other,
        IAssayFaults.LeafConflict memory leaves,
        bytes memory reason
    ) private {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint(one);
        (Checkpoint memory b, bytes memory signatureB) = checkpoint(other);
        vm.expectRevert(reason);
        faults.twoLeaves(a, signatureA, b, signatureB, leaves);
    }

    function proveLeaves(string memory one, string memory other, IAssayFaults.LeafConflict memory leaves) private {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint(one);
        (Checkpoint memory b, bytes memory signatureB) = checkpoint(other);
        faults.twoLeaves(a, signatureA, b, signatureB, leaves);
    }

    function test_twoCheckpoints_slashes() public {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint("honest9");
        (Checkpoint memory b, bytes memory signatureB) = checkpoint("forked9");
        bytes32 fault = expectProven(IAssayFaults.FaultKind.ForkedLog, 0, STAKE / 2);
        faults.twoCheckpoints(a, signatureA, b, signatureB);
        vm.snapshotGasLastCall("AssayFaults", "twoCheckpoints");
        assertSlashed(fault, 5_000);
    }

    function test_twoLeaves_slashes() public {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint("honest6");
        (Checkpoint memory b, bytes memory signatureB) = checkpoint("forked9");
        IAssayFaults.LeafConflict memory leaves = conflict(FORK, 6, "honest", LEAVES, "forked");
        bytes32 fault = expectProven(IAssayFaults.FaultKind.ForkedLog, 0, STAKE / 2);
        faults.twoLeaves(a, signatureA, b, signatureB, leaves);
        vm.snapshotGasLastCall("AssayFaults", "twoLeaves");
        assertSlashed(fault, 5_000);
    }

    function testFuzz_twoLeaves_slashesUnderAnyTwoSizes(uint64 sizeA, uint64 sizeB, uint64 index) public {
        sizeA = uint64(bound(sizeA, FORK + 1, LEAVES));
        sizeB = uint64(bound(sizeB, FORK + 1, LEAVES));
        index = uint64(bound(index, FORK, (sizeA < sizeB ? sizeA : sizeB) - 1));
        string memory one = string.concat("honest", vm.toString(sizeA));
        string memory other = string.concat("forked", vm.toString(sizeB));
        proveLeaves(one, other, conflict(index, sizeA, "honest", sizeB, "forked"));
        vm.assertEq(stake.slashCount(), 1, "slashes");
    }

    function records(uint64 one, uint64 other) private view returns (IAssayFaults.RecordConflict memory c) {
        string memory json = file("logs");
        (c.leafA, c.indexA) = (vm.parseJsonBytes(json, string.concat(".records.data[", vm.toString(one), "]")), one);
        (c.leafB, c.indexB) = (vm.parseJsonBytes(json, string.concat(".records.data[", vm.toString(other), "]")), other);
        (, c.pathA) = logLeaf("records", RECORDS, one);
        (, c.pathB) = logLeaf("records", RECORDS, other);
    }

    function refuse(IAssayFaults.RecordConflict memory c, bytes memory reason) private {
        (Checkpoint memory a, bytes memory signature) = checkpoint("records");
        vm.expectRevert(reason);
        faults.twoRecords(a, signature, a, signature, c);
    }

    function test_twoRecords_slashes() public {
        (Checkpoint memory a, bytes memory signature) = checkpoint("records");
        bytes32 fault = expectProven(IAssayFaults.FaultKind.ForkedLog, 0, STAKE / 2);
        faults.twoRecords(a, signature, a, signature, records(0, 3));
        vm.snapshotGasLastCall("AssayFaults", "twoRecords");
        assertSlashed(fault, 5_000);
    }

    function test_twoRecords_slashesForANode() public {
        (Checkpoint memory a, bytes memory signature) = checkpoint("records");
        faults.twoRecords(a, signature, a, signature, records(4, 1));
        vm.assertEq(stake.slashCount(), 1, "slashes");
        bytes32 fault = faults.faultId(IAssayFaults.FaultKind.ForkedLog, hyperNode, 0);
        refuse(records(0, 3), abi.encodeWithSelector(IAssayFaults.AlreadyProven.selector, fault));
    }

    /// @dev Every pair of leaves but those three: another slot, node, epoch or kind, the same words twice, and no leaf at all.
    function test_twoRecords_revertsWhen_theyDoNotContradict() public {
        string memory json = file("logs");
        bytes[] memory leaves = vm.parseJsonBytesArray(json, ".records.data");
        (Checkpoint memory a, bytes memory signature) = checkpoint("records");
        IAssayFaults.RecordConflict memory c;
        for (uint64 one; one < RECORDS; ++one) {
            for (uint64 other; other < RECORDS; ++other) {
                uint256 both = uint256(1) << one | uint256(1) << other;
                if (both == 9 || both == 40 || both == 18) continue; // 0 and 3, 3 and 5, 1 and 4
                (c.leafA, c.leafB) = (leaves[one], leaves[other]);
                bool same = keccak256(c.leafA) == keccak256(c.leafB);
                bytes4 reason = same ? IAssayFaults.NoConflict.selector : IAssayFaults.DifferentSubjects.selector;
                if (one > 8 || other > 8) reason = LogLeaf.NotALogLeaf.selector;
                vm.expectPartialRevert(reason);
                faults.twoRecords(a, signature, a, signature, c);
            }
        }
        assertNobodySlashed();
    }

    function test_twoRecords_revertsWhen_theLabelIsAnother() public {
        IAssayFaults.RecordConflict memory c = records(0, 3);
        (c.leafA[0], c.leafB[0]) = (bytes1("b"), bytes1("b"));
        refuse(c, abi.encodeWithSelector(LogLeaf.NotALogLeaf.selector, c.leafA));
        c.leafA = "assay/log/1";
        refuse(c, abi.encodeWithSelector(LogLeaf.NotALogLeaf.selector, c.leafA));
        c.leafA = "";
        refuse(c, abi.encodeWithSelector(LogLeaf.NotALogLeaf.selector, c.leafA));
    }

    function test_twoRecords_revertsWhen_aLeafIsNotInTheLog() public {
        (Checkpoint memory a, bytes memory signature) = checkpoint("records");
        for (uint256 i; i < 4; ++i) {
            IAssayFaults.RecordConflict memory c = records(0, 3);
            if (i == 0) c.leafA[59] ^= 0x01;
            else if (i == 1) c.leafB[59] ^= 0x01;
            else if (i == 2) c.indexA = 1;
            else c.indexB = 2;
            reject(Rfc9162.WrongRoot.selector);
            faults.twoRecords(a, signature, a, signature, c);
        }
        assertNobodySlashed();
    }

    function test_twoRecords_revertsWhen_aCheckpointIsNotTheirs() public {
        (Checkpoint memory a, bytes memory signature) = checkpoint("records");
        (, bytes memory wrong) = checkpoint("honest9");
        reject(Ed25519.Ed25519WrongSignature.selector);
        faults.twoRecords(a, signature, a, wrong, records(0, 3));
        reject(Ed25519.Ed25519WrongSignature.selector);
        faults.twoRecords(a, wrong, a, signature, records(0, 3));
        Checkpoint memory other = a;
        (other,) = checkpoint("records");
        other.hyperNode = otherHyperNode;
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.DifferentHyperNodes.selector, hyperNode, otherHyperNode));
        faults.twoRecords(a, signature, other, signature, records(0, 3));
    }

    function test_twoCheckpoints_revertsWhen_eitherIsOfAnotherNetwork() public {
        (Checkpoint memory foreign,) = checkpoint("otherNetwork");
        bytes32 other = foreign.networkId;
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.WrongNetwork.selector, epochs.networkId(), other);
        refuse("honest9", "otherNetwork", reason);
        refuse("otherNetwork", "honest9", reason);
    }

    function test_twoLeaves_revertsWhen_eitherIsOfAnotherNetwork() public {
        (Checkpoint memory foreign,) = checkpoint("otherNetwork");
        bytes32 other = foreign.networkId;
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.WrongNetwork.selector, epochs.networkId(), other);
        refuse("honest9", "otherNetwork", conflict(7, LEAVES, "honest", LEAVES, "forked"), reason);
        refuse("otherNetwork", "honest9", conflict(7, LEAVES, "forked", LEAVES, "honest"), reason);
    }

    function test_twoCheckpoints_revertsWhen_theyAreOfDifferentHyperNodes() public {
        bytes32 other = otherHyperNode;
        stake.add(other, address(1), STAKE);
        bytes4 selector = IAssayFaults.DifferentHyperNodes.selector;
        refuse("honest9", "otherHyperNode", abi.encodeWithSelector(selector, hyperNode, other));
        IAssayFaults.LeafConflict memory leaves = conflict(7, LEAVES, "honest", LEAVES, "forked");
        refuse("honest9", "otherHyperNode", leaves, abi.encodeWithSelector(selector, hyperNode, other));
    }

    function test_twoCheckpoints_revertsWhen_sizesAreDifferent() public {
        refuse("honest9", "forked8", abi.encodeWithSelector(IAssayFaults.DifferentSizes.selector, 9, 8));
    }

    function test_twoCheckpoints_revertsWhen_rootsAreOne() public {
        (Checkpoint memory a,) = checkpoint("honest5");
        refuse("honest5", "forked5", abi.encodeWithSelector(IAssayFaults.NoConflict.selector, a.root));
    }

    function test_twoLeaves_revertsWhen_leavesAreOne() public {
        IAssayFaults.LeafConflict memory leaves = conflict(4, LEAVES, "honest", LEAVES, "forked");
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.NoConflict.selector, leaves.leafA);
        refuse("honest9", "forked9", leaves, reason);
    }

    function test_twoLeaves_revertsWhen_aPathLeadsElsewhere() public {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint("honest9");
        (Checkpoint memory b, bytes memory signatureB) = checkpoint("forked9");
        IAssayFaults.LeafConflict memory leaves = conflict(6, LEAVES, "honest", LEAVES, "forked");
        (bytes32[] memory pathA, bytes32[] memory pathB) = (leaves.pathA, leaves.pathB);
        leaves.pathA = pathB;
        reject(Rfc9162.WrongRoot.selector);
        faults.twoLeaves(a, signatureA, b, signatureB, leaves);
        (leaves.pathA, leaves.pathB) = (pathA, pathA);
        reject(Rfc9162.WrongRoot.selector);
        faults.twoLeaves(a, signatureA, b, signatureB, leaves);
    }

    /// @dev Two different leaves of one honest log, one of them said to be at the other's index.
    function test_twoLeaves_revertsWhen_theIndexIsNotTheLeafs() public {
        IAssayFaults.LeafConflict memory leaves = conflict(6, LEAVES, "honest", LEAVES, "honest");
        (leaves.leafB, leaves.pathB) = logLeaf("honest", LEAVES, 7);
        (Checkpoint memory a, bytes memory signature) = checkpoint("honest9");
        reject(Rfc9162.WrongRoot.selector);
        faults.twoLeaves(a, signature, a, signature, leaves);
    }

    function test_twoCheckpoints_revertsWhen_nobodyRegisteredTheKey() public {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint("honest9");
        (Checkpoint memory b, bytes memory signatureB) = checkpoint("otherHyperNode");
        a.hyperNode = b.hyperNode;
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.UnknownHyperNode.selector, a.hyperNode));
        faults.twoCheckpoints(a, signatureA, b, signatureB);
    }

    function test_twoCheckpoints_revertsWhen_eitherIsRenamed() public {
        stake.add(otherHyperNode, address(1), STAKE);
        (Checkpoint memory a, bytes memory signatureA) = checkpoint("honest9");
        (Checkpoint memory b, bytes memory signatureB) = checkpoint("otherNetwork");
        b.networkId = a.networkId;
        reject(Ed25519.Ed25519WrongSignature.selector);
        faults.twoCheckpoints(a, signatureA, b, signatureB);
        (b, signatureB) = checkpoint("otherHyperNode");
        b.hyperNode = a.hyperNode;
        reject(Ed25519.Ed25519WrongSignature.selector);
        faults.twoCheckpoints(a, signatureA, b, signatureB);
    }

    function test_twoCheckpoints_revertsWhen_aSignatureHasAnotherLength() public {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint("honest9");
        (Checkpoint memory b, bytes memory signatureB) = checkpoint("forked9");
        bytes memory long = bytes.concat(signatureB, hex"00");
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519WrongLength.selector, 64, 65));
        faults.twoCheckpoints(a, signatureA, b, long);
    }

    function testFuzz_twoCheckpoints_revertsWhen_aBitIsFlipped(uint256 pick, bool second) public {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint("honest9");
        (Checkpoint memory b, bytes memory signatureB) = checkpoint("forked9");
        if (second) (b, signatureB) = flipped(b, signatureB, pick);
        else (a, signatureA) = flipped(a, signatureA, pick);
        vm.expectRevert();
        faults.twoCheckpoints(a, signatureA, b, signatureB);
        assertNobodySlashed();
    }

    /// @dev The same change of the size on both sides, too: no checkpoint of that size was signed.
    function testFuzz_twoCheckpoints_revertsWhen_bothSizesAreAnother(uint64 size) public {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint("honest9");
        (Checkpoint memory b, bytes memory signatureB) = checkpoint("forked9");
        vm.assume(size != 9);
        (a.size, b.size) = (size, size);
        reject(Ed25519.Ed25519WrongSignature.selector);
        faults.twoCheckpoints(a, signatureA, b, signatureB);
    }

    function flipped(Checkpoint memory c, bytes memory signature, uint256 pick)
        private
        pure
        returns (Checkpoint memory, bytes memory)
    {
        uint256 bit = (pick >> 8) & 255;
        uint256 field = pick % 6;
        if (field == 0) c.networkId ^= bytes32(1 << bit);
        else if (field == 1) c.hyperNode ^= bytes32(1 << bit);
        else if (field == 2) c.size ^= uint64(1 << (bit % 64));
        else if (field == 3) c.root ^= bytes32(1 << bit);
        else signature[(pick >> 16) % 64] ^= bytes1(uint8(1 << (bit % 8)));
        return (c, signature);
    }

    function test_forkedLog_countsOnce() public {
        proveLeaves("honest6", "forked9", conflict(FORK, 6, "honest", LEAVES, "forked"));
        bytes32 fault = faults.faultId(IAssayFaults.FaultKind.ForkedLog, hyperNode, 0);
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.AlreadyProven.selector, fault);
        refuse("forked9", "honest6", conflict(FORK, LEAVES, "forked", 6, "honest"), reason);
        refuse("honest7", "forked8", conflict(6, 7, "honest", 8, "forked"), reason);
        refuse("honest9", "forked9", reason);
        refuse("forked8", "honest8", reason);
        vm.assertEq(stake.slashCount(), 1, "slashes");
    }

    /// @dev A log that only grows: no two of its checkpoints convict it, with any leaves.
    function testFuzz_honestLog_isNeverConvicted(uint64 sizeA, uint64 sizeB, uint64 indexA, uint64 indexB) public {
        sizeA = uint64(bound(sizeA, 1, LEAVES));
        sizeB = uint64(bound(sizeB, 1, LEAVES));
        (Checkpoint memory a, bytes memory signatureA) = checkpoint(string.concat("honest", vm.toString(sizeA)));
        (Checkpoint memory b, bytes memory signatureB) = checkpoint(string.concat("honest", vm.toString(sizeB)));
        vm.expectRevert();
        faults.twoCheckpoints(a, signatureA, b, signatureB);

        IAssayFaults.LeafConflict memory leaves;
        leaves.index = indexA = uint64(bound(indexA, 0, sizeA - 1));
        indexB = uint64(bound(indexB, 0, sizeB - 1));
        (leaves.leafA, leaves.pathA) = logLeaf("honest", sizeA, indexA);
        (leaves.leafB, leaves.pathB) = logLeaf("honest", sizeB, indexB);
        vm.expectRevert();
        faults.twoLeaves(a, signatureA, b, signatureB, leaves);
        leaves.index = indexB;
        vm.expectRevert();
        faults.twoLeaves(a, signatureA, b, signatureB, leaves);
        assertNobodySlashed();
    }
}
