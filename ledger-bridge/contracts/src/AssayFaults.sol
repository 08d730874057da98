// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Aes256Ctr} from "./evidence/Aes256Ctr.sol";
import {Ed25519} from "./evidence/Ed25519.sol";
import {LogLeaf} from "./evidence/LogLeaf.sol";
import {Rfc9162} from "./evidence/Rfc9162.sol";
import {Signed} from "./evidence/Signed.sol";
import {IAssayEpochs} from "./interfaces/IAssayEpochs.sol";
import {IAssayFaults} from "./interfaces/IAssayFaults.sol";
import {IAssayStake} from "./interfaces/IAssayStake.sol";
import {Answer, Checkpoint, Countersigned, EvidenceRef, FillReceipt, Outcome, Vote} from "./interfaces/SignedTypes.sol";
import {EpochRoot} from "./interfaces/Types.sol";

/// @title Proofs of a HyperNode's faults.
/// @notice See `IAssayFaults`. Holds no money: tells the stake contract whom to slash, and for what.
/// @dev Storage: slot 0, `isProven`, from fault to whether it counted. Everything else is immutable. Nothing here has an
/// owner, and no caller is trusted: what is checked is signatures of the HyperNode that is slashed.
contract AssayFaults is IAssayFaults {
    uint16 private constant ALL_BPS = 10_000;
    /// @dev Of `Outcome`.
    uint8 private constant PROBE = 2;
    uint8 private constant PASS = 0;
    uint8 private constant FAIL = 1;
    /// @dev What a HyperNode concludes something from only after it has checked the signature.
    bytes32 private constant PROBE_ANSWER = keccak256("application/vnd.assay.probe-answer+cbor");
    bytes32 private constant CHASE_ANSWER = keccak256("application/vnd.assay.chase-answer-3+cbor");

    /// @inheritdoc IAssayFaults
    address public immutable epochs;
    /// @inheritdoc IAssayFaults
    address public immutable stake;
    /// @dev Sixteen bits a kind, the first lowest.
    uint256 private immutable shares;

    /// @inheritdoc IAssayFaults
    mapping(bytes32 fault => bool) public isProven;

    /// @notice Neither contract needs to be there yet.
    /// @dev Reverts with `NoContract`, `BadShare`.
    /// @param epochs_ `IAssayEpochs`: network id, digests of roots, which were replaced
    /// @param stake_ `IAssayStake`: who is registered, and whom to slash
    constructor(address epochs_, address stake_, Shares memory shares_) {
        if (epochs_ == address(0)) revert NoContract("epochs");
        if (stake_ == address(0)) revert NoContract("stake");
        epochs = epochs_;
        stake = stake_;
        shares = packed(shares_);
    }

    /// @inheritdoc IAssayFaults
    function twoRoots(EpochRoot calldata a, bytes calldata signatureA, EpochRoot calldata b, bytes calldata signatureB)
        external
    {
        requireSame(a.epoch, b.epoch, a.round, b.round);
        if (a.committee != b.committee) revert DifferentCommittees(a.committee, b.committee);
        bytes32 digestA = digestOf(a);
        bytes32 digestB = digestOf(b);
        if (digestA == digestB) revert NoConflict(digestA);
        address signer = ECDSA.recoverCalldata(digestA, signatureA);
        address signerB = ECDSA.recoverCalldata(digestB, signatureB);
        if (signer != signerB) revert DifferentSigners(signer, signerB);
        punish(FaultKind.TwoRoots, hyperNodeOf(signer), keccak256(abi.encode(a.epoch, a.round)));
    }

    /// @inheritdoc IAssayFaults
    function wrongRoot(EpochRoot calldata r, bytes calldata signature) external {
        bytes32 digest = digestOf(r);
        if (!IAssayEpochs(epochs).wrongDigest(r.epoch, digest)) revert NotReplaced(r.epoch, digest);
        address signer = ECDSA.recoverCalldata(digest, signature);
        punish(FaultKind.WrongRoot, hyperNodeOf(signer), keccak256(abi.encode(r.epoch, digest)));
    }

    /// @inheritdoc IAssayFaults
    function twoVotes(Vote calldata a, bytes calldata signatureA, Vote calldata b, bytes calldata signatureB) external {
        requireOneSigner(a.networkId, a.hyperNode, b.networkId, b.hyperNode);
        requireSame(a.epoch, b.epoch, a.round, b.round);
        if (a.inputSet == b.inputSet) revert NoConflict(a.inputSet);
        Ed25519.verify(a.hyperNode, Signed.voteBytes(a), signatureA);
        Ed25519.verify(b.hyperNode, Signed.voteBytes(b), signatureB);
        punish(FaultKind.TwoVotes, a.hyperNode, keccak256(abi.encode(a.epoch, a.round)));
    }

    /// @inheritdoc IAssayFaults
    function twoCheckpoints(
        Checkpoint calldata a,
        bytes calldata signatureA,
        Checkpoint calldata b,
        bytes calldata signatureB
    ) external {
        if (a.size != b.size) revert DifferentSizes(a.size, b.size);
        if (a.root == b.root) revert NoConflict(a.root);
        requireOneLog(a, signatureA, b, signatureB);
        punish(FaultKind.ForkedLog, a.hyperNode, 0);
    }

    /// @inheritdoc IAssayFaults
    function twoLeaves(
        Checkpoint calldata a,
        bytes calldata signatureA,
        Checkpoint calldata b,
        bytes calldata signatureB,
        LeafConflict calldata conflict
    ) external {
        if (conflict.leafA == conflict.leafB) revert NoConflict(conflict.leafA);
        Rfc9162.verifyInclusion(conflict.leafA, conflict.index, a.size, conflict.pathA, a.root);
        Rfc9162.verifyInclusion(conflict.leafB, conflict.index, b.size, conflict.pathB, b.root);
        requireOneLog(a, signatureA, b, signatureB);
        punish(FaultKind.ForkedLog, a.hyperNode, 0);
    }

    /// @inheritdoc IAssayFaults
    function twoRecords(
        Checkpoint calldata a,
        bytes calldata signatureA,
        Checkpoint calldata b,
        bytes calldata signatureB,
        RecordConflict calldata conflict
    ) external {
        requireContradiction(conflict.leafA, conflict.leafB);
        requireLeaf(a, conflict.leafA, conflict.indexA, conflict.pathA);
        requireLeaf(b, conflict.leafB, conflict.indexB, conflict.pathB);
        requireOneLog(a, signatureA, b, signatureB);
        punish(FaultKind.ForkedLog, a.hyperNode, 0);
    }

    /// @inheritdoc IAssayFaults
    function wrongRegionKey(
        Countersigned calldata receipt,
        bytes calldata signature,
        bytes32 key,
        uint64 blockIndex,
        bytes32 leaf,
        bytes32[] calldata path
    ) external {
        FillReceipt calldata r = receipt.receipt;
        requireOurs(r.networkId);
        requireRegistered(r.hyperNode);
        Ed25519.requireLength(receipt.nodeSignature);
        bytes32 keyHash = sha256(bytes.concat("assay/region-key/1", key));
        if (keyHash != r.keyHash) revert WrongKeyHash(r.keyHash, keyHash);
        Rfc9162.verifyInclusion(leaf, blockIndex, r.blocks, path, r.root);
        Ed25519.verify(r.hyperNode, Signed.countersignedBytes(receipt), signature);
        if (Rfc9162.leafHash(Aes256Ctr.blockOf(key, blockIndex)) == leaf) revert RightRegionKey(blockIndex, leaf);
        punish(FaultKind.WrongRegionKey, r.hyperNode, keccak256(abi.encode(r.node, r.region, r.generation)));
    }

    /// @inheritdoc IAssayFaults
    function unsignedAnswer(Outcome calldata o, bytes calldata signature, uint256 index, Answer calldata answer)
        external
    {
        requireOurs(o.networkId);
        requireRegistered(o.hyperNode);
        if (o.result != PASS && o.result != FAIL) revert NothingConcluded(o.result);
        if (index >= o.evidence.length) revert NoEvidence(o.evidence.length, index);
        EvidenceRef calldata e = o.evidence[index];
        bytes32 mediaType = keccak256(bytes(e.mediaType));
        if (mediaType != PROBE_ANSWER && mediaType != CHASE_ANSWER) revert NotAnAnswer(e.mediaType);
        (bytes memory object, bytes memory toBeSigned) = Signed.answerBytes(answer, e.mediaType);
        bytes32 digest = sha256(bytes.concat(o.r, object));
        if (digest != e.saltedDigest) revert WrongAnswer(e.saltedDigest, digest);
        Ed25519.verify(o.hyperNode, Signed.outcomeBytes(o), signature);
        if (Ed25519.isSignature(answer.sessionKey, toBeSigned, answer.signature)) {
            revert SignedAnswer(answer.sessionKey);
        }
        punish(FaultKind.UnsignedAnswer, o.hyperNode, attemptOf(o));
    }

    /// @inheritdoc IAssayFaults
    function twoOutcomes(Outcome calldata a, bytes calldata signatureA, Outcome calldata b, bytes calldata signatureB)
        external
    {
        requireOneSigner(a.networkId, a.hyperNode, b.networkId, b.hyperNode);
        if (a.kind != PROBE) revert NotAProbe(a.kind);
        bytes32 attempt = attemptOf(a);
        bytes32 attemptB = attemptOf(b);
        if (attempt != attemptB) revert DifferentAttempts(attempt, attemptB);
        bytes memory bytesA = Signed.outcomeBytes(a);
        bytes memory bytesB = Signed.outcomeBytes(b);
        if (keccak256(bytesA) == keccak256(bytesB)) revert NoConflict(attempt);
        Ed25519.verify(a.hyperNode, bytesA, signatureA);
        Ed25519.verify(b.hyperNode, bytesB, signatureB);
        punish(FaultKind.TwoOutcomes, a.hyperNode, attempt);
    }

    /// @inheritdoc IAssayFaults
    function faultId(FaultKind kind, bytes32 hyperNode, bytes32 place) public pure returns (bytes32) {
        return keccak256(abi.encode(kind, hyperNode, place));
    }

    /// @inheritdoc IAssayFaults
    function shareOf(FaultKind kind) public view returns (uint16) {
        return uint16(shares >> (16 * uint256(kind)));
    }

    /// @dev Counts a fault and slashes for it. That the stake contract takes less, or nothing, changes nothing here.
    function punish(FaultKind kind, bytes32 hyperNode, bytes32 place) private {
        bytes32 fault = faultId(kind, hyperNode, place);
        if (isProven[fault]) revert AlreadyProven(fault);
        isProven[fault] = true;
        uint96 taken = IAssayStake(stake).slash(hyperNode, shareOf(kind), msg.sender, fault);
        emit FaultProven(fault, hyperNode, kind, msg.sender, taken);
    }

    /// @dev Two leaves that say different things about one subject.
    function requireContradiction(bytes calldata leafA, bytes calldata leafB) private pure {
        bytes calldata a = LogLeaf.subject(leafA);
        bytes calldata b = LogLeaf.subject(leafB);
        if (keccak256(a) != keccak256(b)) revert DifferentSubjects(a, b);
        if (keccak256(leafA) == keccak256(leafB)) revert NoConflict(Rfc9162.leafHash(leafA));
    }

    function requireLeaf(Checkpoint calldata c, bytes calldata leaf, uint64 index, bytes32[] calldata path)
        private
        pure
    {
        Rfc9162.verifyInclusion(Rfc9162.leafHash(leaf), index, c.size, path, c.root);
    }

    /// @dev Two checkpoints of one log of this network, both signed by its key.
    function requireOneLog(
        Checkpoint calldata a,
        bytes calldata signatureA,
        Checkpoint calldata b,
        bytes calldata signatureB
    ) private view {
        requireOneSigner(a.networkId, a.hyperNode, b.networkId, b.hyperNode);
        Ed25519.verify(a.hyperNode, Signed.checkpointBytes(a), signatureA);
        Ed25519.verify(b.hyperNode, Signed.checkpointBytes(b), signatureB);
    }

    function attemptOf(Outcome calldata o) private pure returns (bytes32) {
        return keccak256(abi.encode(o.node, o.epoch, o.slot, o.kind));
    }

    function requireOurs(bytes32 networkId) private view {
        bytes32 ours = IAssayEpochs(epochs).networkId();
        if (networkId != ours) revert WrongNetwork(ours, networkId);
    }

    function requireRegistered(bytes32 hyperNode) private view {
        if (IAssayStake(stake).hyperNodeOf(hyperNode).signer == address(0)) revert UnknownHyperNode(hyperNode);
    }

    /// @dev Two objects of this network that say they are of one registered HyperNode.
    function requireOneSigner(bytes32 networkA, bytes32 hyperNodeA, bytes32 networkB, bytes32 hyperNodeB) private view {
        requireOurs(networkA);
        requireOurs(networkB);
        if (hyperNodeA != hyperNodeB) revert DifferentHyperNodes(hyperNodeA, hyperNodeB);
        requireRegistered(hyperNodeA);
    }

    function requireSame(uint64 epochA, uint64 epochB, uint32 roundA, uint32 roundB) private pure {
        if (epochA != epochB) revert DifferentEpochs(epochA, epochB);
        if (roundA != roundB) revert DifferentRounds(roundA, roundB);
    }

    /// @dev The digest that ledger keys sign for a root of this network.
    function digestOf(EpochRoot calldata r) private view returns (bytes32) {
        requireOurs(r.networkId);
        return IAssayEpochs(epochs).hashRoot(r);
    }

    /// @dev The HyperNode whose ledger key this is.
    function hyperNodeOf(address signer) private view returns (bytes32) {
        IAssayStake.HyperNode memory found = IAssayStake(stake).hyperNodeOfSigner(signer);
        if (found.signer == address(0)) revert UnknownSigner(signer);
        return found.ed25519Key;
    }

    function packed(Shares memory s) private pure returns (uint256 sum) {
        uint16[7] memory bps =
            [s.twoRoots, s.wrongRoot, s.twoVotes, s.forkedLog, s.wrongRegionKey, s.unsignedAnswer, s.twoOutcomes];
        for (uint256 i = 0; i < bps.length; ++i) {
            if (bps[i] == 0 || bps[i] > ALL_BPS) revert BadShare(FaultKind(i), bps[i]);
            sum |= uint256(bps[i]) << (16 * i);
        }
    }
}
