// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {Answer, Checkpoint, Countersigned, Outcome, Vote} from "../../src/interfaces/SignedTypes.sol";
import {FaultsTest} from "./FaultsTest.sol";

/// @title Brings everything that was signed as proof of everything, in any order, again and again.
contract FaultsHandler is FaultsTest {
    /// @dev How often a proof was taken.
    uint256 public proven;
    mapping(bytes32 fault => uint256) public times;
    bytes32[] public faultsProven;

    string[7] private voteNames = ["first", "again", "conflict", "third", "nextRound", "nextEpoch", "otherHyperNode"];

    /// @dev Once: it is among what is called at random.
    function setUp() public override {
        if (address(faults) != address(0)) return;
        super.setUp();
        stake.add(otherHyperNode, address(1), STAKE);
    }

    function votes(uint256 one, uint256 other) external {
        (Vote memory a, bytes memory signatureA) = vote(voteNames[one % 7]);
        (Vote memory b, bytes memory signatureB) = vote(voteNames[other % 7]);
        try faults.twoVotes(a, signatureA, b, signatureB) {
            count(IAssayFaults.FaultKind.TwoVotes, a.hyperNode, keccak256(abi.encode(a.epoch, a.round)));
        } catch {}
    }

    function checkpoints(uint256 one, uint256 other) external {
        (Checkpoint memory a, bytes memory signatureA) = checkpoint(checkpointName(one));
        (Checkpoint memory b, bytes memory signatureB) = checkpoint(checkpointName(other));
        try faults.twoCheckpoints(a, signatureA, b, signatureB) {
            count(IAssayFaults.FaultKind.ForkedLog, a.hyperNode, 0);
        } catch {}
    }

    function leaves(uint64 sizeA, uint64 sizeB, uint64 index, bool fork) external {
        sizeA = uint64(bound(sizeA, 1, 9));
        sizeB = uint64(bound(sizeB, 1, 9));
        index = uint64(bound(index, 0, (sizeA < sizeB ? sizeA : sizeB) - 1));
        string memory log = fork ? "forked" : "honest";
        (Checkpoint memory a, bytes memory signatureA) = checkpoint(string.concat("honest", vm.toString(sizeA)));
        (Checkpoint memory b, bytes memory signatureB) = checkpoint(string.concat(log, vm.toString(sizeB)));
        IAssayFaults.LeafConflict memory both = conflict(index, sizeA, "honest", sizeB, log);
        try faults.twoLeaves(a, signatureA, b, signatureB, both) {
            count(IAssayFaults.FaultKind.ForkedLog, a.hyperNode, 0);
        } catch {}
    }

    function regions(uint256 pick, bool wrong) external {
        string[4] memory names = ["right", "wrong", "wrongAgain", "wrongNextGeneration"];
        (Countersigned memory c, bytes memory signature) = receipt(names[pick % 4]);
        uint64 index = 3 + uint64((pick >> 8) % 4);
        (bytes32 hash, bytes32[] memory path) = regionLeaf(wrong ? "wrong" : "right", index);
        bytes32 key = word(file("region"), "", "key");
        try faults.wrongRegionKey(c, signature, key, index, hash, path) {
            bytes32 place = keccak256(abi.encode(c.receipt.node, c.receipt.region, c.receipt.generation));
            count(IAssayFaults.FaultKind.WrongRegionKey, c.receipt.hyperNode, place);
        } catch {}
    }

    function answers(uint256 one, uint256 other) external {
        string[6] memory names = ["signed", "forged", "short", "smallKey", "undecided", "silent"];
        string[4] memory by = ["signed", "forged", "short", "smallKey"];
        (Outcome memory o, bytes memory signature) = outcome(names[one % 6]);
        Answer memory a = answer(by[other % 4]);
        try faults.unsignedAnswer(o, signature, 0, a) {
            count(IAssayFaults.FaultKind.UnsignedAnswer, o.hyperNode, attempt(o));
        } catch {}
    }

    function outcomes(uint256 one, uint256 other) external {
        string[6] memory names = ["signed", "silent", "again", "nextSlot", "chase", "otherHyperNode"];
        (Outcome memory a, bytes memory signatureA) = outcome(names[one % 6]);
        (Outcome memory b, bytes memory signatureB) = outcome(names[other % 6]);
        try faults.twoOutcomes(a, signatureA, b, signatureB) {
            count(IAssayFaults.FaultKind.TwoOutcomes, a.hyperNode, attempt(a));
        } catch {}
    }

    function attempt(Outcome memory o) private pure returns (bytes32) {
        return keccak256(abi.encode(o.node, o.epoch, o.slot, o.kind));
    }

    function checkpointName(uint256 pick) private pure returns (string memory) {
        if (pick % 11 == 10) return "otherHyperNode";
        return string.concat((pick >> 8) % 2 == 0 ? "honest" : "forked", vm.toString(pick % 11 % 10));
    }

    function count(IAssayFaults.FaultKind kind, bytes32 who, bytes32 place) private {
        bytes32 fault = faults.faultId(kind, who, place);
        proven += 1;
        times[fault] += 1;
        faultsProven.push(fault);
    }

    // ---- What the invariants read

    function slashes() external view returns (uint256) {
        return stake.slashCount();
    }

    function stakeOf(bool other) external view returns (uint96) {
        return stake.hyperNodeOf(other ? otherHyperNode : hyperNode).bonded;
    }

    function isProven(bytes32 fault) external view returns (bool) {
        return faults.isProven(fault);
    }
}

contract FaultsInvariantTest is FaultsTest {
    FaultsHandler private handler;

    function setUp() public override {
        handler = new FaultsHandler();
        handler.setUp();
        target(address(handler));
    }

    /// forge-config: default.invariant.runs = 8
    /// @dev One slash for each fault, and each fault once.
    function invariant_eachFaultCountsOnce() public view {
        vm.assertEq(handler.slashes(), handler.proven(), "slashes");
        for (uint256 i = 0; i < handler.proven(); ++i) {
            bytes32 fault = handler.faultsProven(i);
            vm.assertEq(handler.times(fault), 1, "times");
            vm.assertTrue(handler.isProven(fault), "kept");
        }
        // Votes of one round, one log, two generations of one region, one probe by an answer that nobody signed, and with
        // two outcomes: more faults were not committed.
        vm.assertLe(handler.proven(), 6, "faults");
    }

    /// forge-config: default.invariant.runs = 8
    function invariant_theHonestKeepTheirStake() public view {
        vm.assertEq(handler.stakeOf(true), STAKE, "honest");
    }
}
