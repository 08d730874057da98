// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayFaults} from "../../src/AssayFaults.sol";
import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {
    Answer,
    Checkpoint,
    Countersigned,
    EvidenceRef,
    FillReceipt,
    Metric,
    Outcome,
    Vote
} from "../../src/interfaces/SignedTypes.sol";
import {Test} from "../support/Test.sol";
import {EpochsDouble, StakeDouble} from "./Doubles.sol";
import {Deployed} from "../support/Deployed.sol";

/// @title What tests of faults start from: a network with one HyperNode, and what the protocol's own encoders made of its
/// key (test/vectors, by `ledger_vectors` of the log crate).
abstract contract FaultsTest is Test {
    uint256 internal constant LEDGER_KEY = 0xa11ce;
    uint96 internal constant STAKE = 1_000_000;
    address internal constant REPORTER = address(0x4e901e);

    bytes32 internal hyperNode;
    bytes32 internal otherHyperNode;
    EpochsDouble internal epochs;
    StakeDouble internal stake;
    AssayFaults internal faults;

    function setUp() public virtual {
        string memory json = file("network");
        hyperNode = word(json, "", "hyperNode");
        otherHyperNode = word(json, "", "otherHyperNode");
        epochs = new EpochsDouble(word(json, "", "networkId"));
        stake = new StakeDouble();
        stake.add(hyperNode, vm.addr(LEDGER_KEY), STAKE);
        faults = Deployed.faults(address(epochs), address(stake), shares());
    }

    function shares() internal pure returns (IAssayFaults.Shares memory) {
        return IAssayFaults.Shares(10_000, 9_000, 1_000, 5_000, 2_500, 8_000, 7_000);
    }

    // ---- What was signed, by name

    function vote(string memory name) internal view returns (Vote memory v, bytes memory signature) {
        string memory json = file("votes");
        string memory path = string.concat(".", name);
        v.networkId = word(json, path, "networkId");
        v.epoch = uint64(number(json, path, "epoch"));
        v.round = uint32(number(json, path, "round"));
        v.hyperNode = word(json, path, "hyperNode");
        v.inputSet = word(json, path, "inputSet");
        v.atUnixMs = uint64(number(json, path, "atUnixMs"));
        signature = blob(json, path, "signature");
    }

    function checkpoint(string memory name) internal view returns (Checkpoint memory c, bytes memory signature) {
        string memory json = file("checkpoints");
        string memory path = string.concat(".", name);
        c.networkId = word(json, path, "networkId");
        c.hyperNode = word(json, path, "hyperNode");
        c.size = uint64(number(json, path, "size"));
        c.root = word(json, path, "root");
        signature = blob(json, path, "signature");
    }

    function receipt(string memory name) internal view returns (Countersigned memory c, bytes memory signature) {
        string memory json = file("receipts");
        string memory path = string.concat(".", name);
        FillReceipt memory r = c.receipt;
        r.networkId = word(json, path, "networkId");
        r.node = word(json, path, "node");
        r.hyperNode = word(json, path, "hyperNode");
        r.region = uint32(number(json, path, "region"));
        r.generation = uint64(number(json, path, "generation"));
        r.keyHash = word(json, path, "keyHash");
        r.blocks = uint32(number(json, path, "blocks"));
        r.root = word(json, path, "root");
        r.sequence = uint64(number(json, path, "sequence"));
        r.previous = word(json, path, "previous");
        r.atUnixMs = uint64(number(json, path, "nodeAtUnixMs"));
        c.sessionKey = word(json, path, "sessionKey");
        c.nodeSignature = blob(json, path, "nodeSignature");
        c.atUnixMs = uint64(number(json, path, "atUnixMs"));
        signature = blob(json, path, "signature");
    }

    function outcome(string memory name) internal view returns (Outcome memory o, bytes memory signature) {
        string memory json = file("outcomes");
        string memory path = string.concat(".", name);
        o.networkId = word(json, path, "networkId");
        o.kind = uint8(number(json, path, "kind"));
        o.node = word(json, path, "node");
        o.hyperNode = word(json, path, "hyperNode");
        o.epoch = uint64(number(json, path, "epoch"));
        o.slot = uint32(number(json, path, "slot"));
        o.startedUnixMs = uint64(number(json, path, "startedUnixMs"));
        o.endedUnixMs = uint64(number(json, path, "endedUnixMs"));
        o.result = uint8(number(json, path, "result"));
        o.metrics = metrics(json, path);
        o.evidence = evidence(json, path);
        o.policy = word(json, path, "policy");
        o.r = word(json, path, "r");
        o.detail = vm.parseJsonString(json, string.concat(path, ".detail"));
        signature = blob(json, path, "signature");
    }

    function metrics(string memory json, string memory path) private pure returns (Metric[] memory all) {
        uint256[] memory ids = vm.parseJsonUintArray(json, string.concat(path, ".metricIds"));
        uint256[] memory values = vm.parseJsonUintArray(json, string.concat(path, ".metricValues"));
        all = new Metric[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            all[i] = Metric(uint16(ids[i]), uint64(values[i]));
        }
    }

    function evidence(string memory json, string memory path) private pure returns (EvidenceRef[] memory all) {
        bytes32[] memory digests = vm.parseJsonBytes32Array(json, string.concat(path, ".saltedDigests"));
        uint256[] memory sizes = vm.parseJsonUintArray(json, string.concat(path, ".sizes"));
        string[] memory mediaTypes = vm.parseJsonStringArray(json, string.concat(path, ".mediaTypes"));
        all = new EvidenceRef[](digests.length);
        for (uint256 i = 0; i < digests.length; ++i) {
            all[i] = EvidenceRef(digests[i], uint64(sizes[i]), mediaTypes[i]);
        }
    }

    /// @dev What a node answered, or somebody for it.
    function answer(string memory name) internal view returns (Answer memory a) {
        string memory json = file("answers");
        string memory path = string.concat(".", name);
        a.sessionKey = word(json, path, "sessionKey");
        a.node = word(json, path, "node");
        a.atUnixMs = uint64(number(json, path, "atUnixMs"));
        a.payload = blob(json, path, "payload");
        a.signature = blob(json, path, "signature");
    }

    /// @dev Leaf `index` of a log, and its path under `size`.
    function logLeaf(string memory log, uint64 size, uint64 index)
        internal
        view
        returns (bytes32 hash, bytes32[] memory path)
    {
        string memory under = string.concat("['", vm.toString(size), "']");
        return leafOf(file("logs"), string.concat(".", log), under, index);
    }

    /// @dev Leaf `index` of the region as it should be (`right`) or was received (`wrong`).
    function regionLeaf(string memory side, uint64 index) internal view returns (bytes32 hash, bytes32[] memory path) {
        return leafOf(file("region"), string.concat(".", side), "", index);
    }

    function leafOf(string memory json, string memory tree, string memory under, uint64 index)
        private
        pure
        returns (bytes32 hash, bytes32[] memory path)
    {
        string memory at_ = vm.toString(index);
        hash = vm.parseJsonBytes32(json, string.concat(tree, ".leaves[", at_, "]"));
        path = vm.parseJsonBytes32Array(json, string.concat(tree, ".path", under, "['", at_, "']"));
    }

    function conflict(uint64 index, uint64 sizeA, string memory logA, uint64 sizeB, string memory logB)
        internal
        view
        returns (IAssayFaults.LeafConflict memory c)
    {
        c.index = index;
        (c.leafA, c.pathA) = logLeaf(logA, sizeA, index);
        (c.leafB, c.pathB) = logLeaf(logB, sizeB, index);
    }

    function file(string memory name) internal view returns (string memory) {
        return vm.readFile(string.concat("test/vectors/", name, ".json"));
    }

    function word(string memory json, string memory path, string memory field) internal pure returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(path, ".", field));
    }

    function number(string memory json, string memory path, string memory field) internal pure returns (uint256) {
        return vm.parseJsonUint(json, string.concat(path, ".", field));
    }

    function blob(string memory json, string memory path, string memory field) internal pure returns (bytes memory) {
        return vm.parseJsonBytes(json, string.concat(path, ".", field));
    }

    // ---- What follows from a proof

    /// @dev That the next call proves a fault: who is slashed of what, to whom, and the event.
    function expectProven(IAssayFaults.FaultKind kind, bytes32 place, uint96 taken) internal returns (bytes32 fault) {
        fault = faults.faultId(kind, hyperNode, place);
        vm.expectEmit(true, true, true, true, address(faults));
        emit IAssayFaults.FaultProven(fault, hyperNode, kind, REPORTER, taken);
        vm.prank(REPORTER);
    }

    function assertSlashed(bytes32 fault, uint16 bps) internal view {
        vm.assertTrue(faults.isProven(fault), "proven");
        (bytes32 who, uint16 share, address beneficiary, bytes32 reason) = stake.slashes(stake.slashCount() - 1);
        vm.assertEq(who, hyperNode, "who");
        vm.assertEq(share, bps, "share");
        vm.assertEq(beneficiary, REPORTER, "beneficiary");
        vm.assertEq(reason, fault, "reason");
    }

    /// @dev That nothing was slashed so far.
    function assertNobodySlashed() internal view {
        vm.assertEq(stake.slashCount(), 0, "slashes");
    }

    function reject(bytes4 selector) internal {
        vm.expectPartialRevert(selector);
    }

    function rejectPair(bytes4 selector, bytes32 a, bytes32 b) internal {
        vm.expectRevert(abi.encodeWithSelector(selector, a, b));
    }
}
