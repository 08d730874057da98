// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Answer, Checkpoint, Countersigned, Outcome, Vote} from "./SignedTypes.sol";
import {EpochRoot} from "./Types.sol";

/// @title What a HyperNode can be slashed for, by proof alone.
/// @notice Nobody votes on a fault: each function checks what the HyperNode itself signed. Ed25519 and the signed objects'
/// encodings are checked on chain (protocol/cddl/assay.cddl), so what HyperNodes sign anyway is what convicts them.
/// Whoever proves a fault gets the reporter's share of what is taken. Each fault of a HyperNode counts once. Proofs are
/// never paused and have no deadline: what is slashed is what the HyperNode still has at stake.
/// @dev Every function that proves reverts with `WrongNetwork` for another network's object, `AlreadyProven` for a fault
/// that was proven, `UnknownHyperNode` or `UnknownSigner` for who is not registered. Those over Ed25519 revert with
/// `Ed25519WrongLength`, `Ed25519BadKey`, `Ed25519BadScalar` or `Ed25519WrongSignature`, those over roots with the errors
/// of OpenZeppelin's `ECDSA`.
interface IAssayFaults {
    /// @notice Kinds of faults; each takes its own share of the stake.
    enum FaultKind {
        TwoRoots,
        WrongRoot,
        TwoVotes,
        ForkedLog,
        WrongRegionKey,
        UnsignedAnswer,
        TwoOutcomes
    }

    /// @notice What each kind takes of all that a HyperNode has at stake, in basis points, 1 to 10,000.
    struct Shares {
        uint16 twoRoots;
        uint16 wrongRoot;
        uint16 twoVotes;
        uint16 forkedLog;
        uint16 wrongRegionKey;
        uint16 unsignedAnswer;
        uint16 twoOutcomes;
    }

    /// @notice Two leaves at one index of one log.
    /// @param leafA hash of the leaf under the first checkpoint
    /// @param pathA its siblings from the leaf up
    struct LeafConflict {
        uint64 index;
        bytes32 leafA;
        bytes32[] pathA;
        bytes32 leafB;
        bytes32[] pathB;
    }

    /// @notice Two leaves of one log about one subject, see `LogLeaf`.
    /// @param leafA encoding of the leaf under the first checkpoint
    /// @param indexA its index
    /// @param pathA its siblings from the leaf up
    struct RecordConflict {
        bytes leafA;
        uint64 indexA;
        bytes32[] pathA;
        bytes leafB;
        uint64 indexB;
        bytes32[] pathB;
    }

    /// @notice A fault was proven and slashed.
    /// @param fault see `faultId`
    /// @param hyperNode Ed25519 key of the HyperNode
    /// @param reporter who proved it
    /// @param taken what was slashed
    event FaultProven(
        bytes32 indexed fault, bytes32 indexed hyperNode, FaultKind indexed kind, address reporter, uint96 taken
    );

    /// @notice The address of a contract that must be known is zero.
    error NoContract(string what);
    /// @notice A share is not between 1 and 10,000 basis points.
    error BadShare(FaultKind kind, uint16 bps);
    /// @notice The object belongs to another network or another deployment.
    error WrongNetwork(bytes32 expected, bytes32 actual);
    /// @notice No HyperNode is registered with this Ed25519 key.
    error UnknownHyperNode(bytes32 ed25519Key);
    /// @notice No HyperNode is registered with this ledger key.
    error UnknownSigner(address signer);
    /// @notice The fault counted before.
    error AlreadyProven(bytes32 fault);
    /// @notice Two objects that must be of one HyperNode are not.
    error DifferentHyperNodes(bytes32 a, bytes32 b);
    /// @notice Two roots that must be signed by one ledger key are not.
    error DifferentSigners(address a, address b);
    /// @notice The objects speak of different epochs: no contradiction.
    error DifferentEpochs(uint64 a, uint64 b);
    /// @notice The objects speak of different rounds: no contradiction.
    error DifferentRounds(uint32 a, uint32 b);
    /// @notice The roots are of different committees: one may correct the other.
    error DifferentCommittees(bytes32 a, bytes32 b);
    /// @notice The checkpoints are of different sizes: only two leaves at one index can contradict them.
    error DifferentSizes(uint64 a, uint64 b);
    /// @notice Both objects say the same.
    error NoConflict(bytes32 both);
    /// @notice The leaves are about different slots or nodes, or different epochs.
    error DifferentSubjects(bytes a, bytes b);
    /// @notice The root was not replaced by a correction.
    error NotReplaced(uint64 epoch, bytes32 digest);
    /// @notice The key is not the one that the receipt names by its hash.
    error WrongKeyHash(bytes32 expected, bytes32 actual);
    /// @notice The key does make the block that the receipt holds.
    error RightRegionKey(uint64 blockIndex, bytes32 leaf);

    /// @notice The outcome concludes nothing from what the node answered: it is neither a pass nor a failure.
    error NothingConcluded(uint8 result);
    /// @notice The outcome has no evidence of this index.
    error NoEvidence(uint256 count, uint256 index);
    /// @notice The evidence is nothing that a node signs by its session key.
    error NotAnAnswer(string mediaType);
    /// @notice The answer is not the one that the outcome refers to.
    error WrongAnswer(bytes32 expected, bytes32 actual);
    /// @notice The answer is signed as it must be.
    error SignedAnswer(bytes32 sessionKey);
    /// @notice Only a probe's slot has one outcome: other challenges may be asked again.
    error NotAProbe(uint8 kind);
    /// @notice The outcomes are of different attempts, see `faultId`: no contradiction.
    error DifferentAttempts(bytes32 a, bytes32 b);

    /// @notice Two different roots of one epoch, round and committee, signed by one ledger key. A correction of a root is
    /// signed by another committee, or in a round of its own.
    /// @dev Reverts with `DifferentEpochs`, `DifferentRounds`, `DifferentCommittees`, `NoConflict`, `DifferentSigners`.
    /// @param signatureA r ‖ s ‖ v over the EIP-712 digest of `a`
    function twoRoots(EpochRoot calldata a, bytes calldata signatureA, EpochRoot calldata b, bytes calldata signatureB)
        external;

    /// @notice A root that the network replaced by a correction, signed by a ledger key.
    /// @dev Reverts with `NotReplaced`.
    function wrongRoot(EpochRoot calldata r, bytes calldata signature) external;

    /// @notice Two votes of one epoch and round for different input sets.
    /// @dev Reverts with `DifferentHyperNodes`, `DifferentEpochs`, `DifferentRounds`, `NoConflict`.
    /// @param signatureA 64 bytes
    function twoVotes(Vote calldata a, bytes calldata signatureA, Vote calldata b, bytes calldata signatureB) external;

    /// @notice Two checkpoints of one log with one size and two roots. A log forks once: what is proven by this function or
    /// by `twoLeaves` is one fault, whatever the sizes.
    /// @dev Reverts with `DifferentHyperNodes`, `DifferentSizes`, `NoConflict`.
    /// @param signatureA 64 bytes, those of the log's own key: cosignatures of others are no part of it
    function twoCheckpoints(
        Checkpoint calldata a,
        bytes calldata signatureA,
        Checkpoint calldata b,
        bytes calldata signatureB
    ) external;

    /// @notice Two checkpoints of one log, of any sizes, under which one index holds two leaves.
    /// @dev Reverts with `DifferentHyperNodes`, `NoConflict`, and the errors of `Rfc9162`.
    function twoLeaves(
        Checkpoint calldata a,
        bytes calldata signatureA,
        Checkpoint calldata b,
        bytes calldata signatureB,
        LeafConflict calldata conflict
    ) external;

    /// @notice Slashes whoever's log says two things about one slot, or about one node in one epoch: two leaves, each under a
    /// checkpoint of the log, which may be the same. It is the same fault as `twoCheckpoints`.
    /// @dev Reverts with `DifferentHyperNodes`, `DifferentSubjects`, `NoConflict`, `LogLeaf.NotALogLeaf`.
    function twoRecords(
        Checkpoint calldata a,
        bytes calldata signatureA,
        Checkpoint calldata b,
        bytes calldata signatureB,
        RecordConflict calldata conflict
    ) external;

    /// @notice A region's revealed key whose keystream is not what the receipt's root holds at one block.
    /// @dev Reverts with `WrongKeyHash`, `RightRegionKey`, and the errors of `Rfc9162`.
    /// @param signature 64 bytes, the HyperNode's
    /// @param key AES-256 key that the receipt names by its hash
    /// @param leaf hash of the block that the node received
    /// @param path its siblings from the leaf up
    function wrongRegionKey(
        Countersigned calldata receipt,
        bytes calldata signature,
        bytes32 key,
        uint64 blockIndex,
        bytes32 leaf,
        bytes32[] calldata path
    ) external;

    /// @notice A pass or a failure that rests on an answer whose signature is not that of the session key that the answer
    /// names: nobody's answer, taken for the node's.
    /// @dev Reverts with `NothingConcluded`, `NoEvidence`, `NotAnAnswer`, `WrongAnswer`, `SignedAnswer`.
    /// @param signature 64 bytes, the HyperNode's
    /// @param index of the answer among the outcome's evidence
    function unsignedAnswer(Outcome calldata o, bytes calldata signature, uint256 index, Answer calldata answer)
        external;

    /// @notice Two different outcomes of one probe, of one node in one slot.
    /// @dev Reverts with `DifferentHyperNodes`, `NotAProbe`, `DifferentAttempts`, `NoConflict`.
    /// @param signatureA 64 bytes
    function twoOutcomes(Outcome calldata a, bytes calldata signatureA, Outcome calldata b, bytes calldata signatureB)
        external;

    /// @notice Whether a fault was proven.
    function isProven(bytes32 fault) external view returns (bool);

    /// @notice Name of a fault.
    /// @param place keccak256 of the ABI encoding of: epoch and round (two roots, two votes), epoch and digest (wrong
    /// root), node, region and generation (region key), node, epoch, slot and kind (unsigned answer, two outcomes); zero
    /// for a forked log
    function faultId(FaultKind kind, bytes32 hyperNode, bytes32 place) external view returns (bytes32);

    /// @notice What a kind takes, in basis points.
    function shareOf(FaultKind kind) external view returns (uint16);

    /// @notice The `IAssayEpochs` that digests roots and says which were replaced; fixed by the constructor.
    function epochs() external view returns (address);
    /// @notice The `IAssayStake` that says who is registered, and takes what is slashed; fixed by the constructor.
    function stake() external view returns (address);
}
