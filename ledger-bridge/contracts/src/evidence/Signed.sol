// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {
    Answer,
    Checkpoint,
    Countersigned,
    EvidenceRef,
    FillReceipt,
    Metric,
    Outcome,
    Vote
} from "../interfaces/SignedTypes.sol";
import {Cbor} from "./Cbor.sol";
import {Cose} from "./Cose.sol";

/// @title The exact bytes that a HyperNode's Ed25519 key signs for an object. Its encoders are protocol/src and the log
/// crate; test/vectors hold the two against each other.
library Signed {
    bytes private constant VOTE_TYPE = "application/vnd.assay.vote+cbor";
    bytes private constant OUTCOME_TYPE = "application/vnd.assay.outcome+cbor";
    bytes private constant RECEIPT_TYPE = "application/vnd.assay.fill-receipt+cbor";
    bytes private constant COUNTERSIGNED_TYPE = "application/vnd.assay.countersigned-receipt+cbor";

    /// @notice What `v.hyperNode` signs for a vote.
    function voteBytes(Vote calldata v) internal pure returns (bytes memory) {
        bytes memory payload = bytes.concat(
            hex"a601",
            Cbor.byteString(v.networkId),
            hex"02",
            Cbor.unsigned(v.epoch),
            hex"03",
            Cbor.unsigned(v.round),
            hex"04",
            Cbor.byteString(v.hyperNode),
            hex"05",
            Cbor.byteString(v.inputSet),
            hex"06",
            Cbor.unsigned(v.atUnixMs)
        );
        return Cose.toBeSigned(Cose.header(VOTE_TYPE, v.hyperNode, v.hyperNode, v.atUnixMs), payload);
    }

    /// @notice What a log's key signs for a checkpoint: three lines, each ended by a line feed.
    function checkpointBytes(Checkpoint calldata c) internal pure returns (bytes memory) {
        return bytes.concat(
            "assay/log/1/",
            Cose.hexadecimal(c.networkId),
            "/",
            Cose.hexadecimal(c.hyperNode),
            "\n",
            bytes(Strings.toString(c.size)),
            "\n",
            bytes(Base64.encode(bytes.concat(c.root))),
            "\n"
        );
    }

    /// @notice What `c.receipt.hyperNode` signs for a receipt that the node signed.
    function countersignedBytes(Countersigned calldata c) internal pure returns (bytes memory) {
        FillReceipt calldata r = c.receipt;
        bytes memory payload = bytes.concat(
            hex"a301",
            Cbor.byteString(r.node),
            hex"02",
            Cbor.byteString(receiptObject(r, c.sessionKey, c.nodeSignature)),
            hex"03",
            Cbor.unsigned(c.atUnixMs)
        );
        return Cose.toBeSigned(Cose.header(COUNTERSIGNED_TYPE, r.hyperNode, r.node, c.atUnixMs), payload);
    }

    /// @notice What `o.hyperNode` signs for an outcome.
    function outcomeBytes(Outcome calldata o) internal pure returns (bytes memory) {
        bytes memory payload = bytes.concat(outcomePlace(o), outcomeResult(o), outcomeGrounds(o));
        return Cose.toBeSigned(Cose.header(OUTCOME_TYPE, o.hyperNode, o.node, o.endedUnixMs), payload);
    }

    /// @notice A node's answer of this media type: the object's bytes, and what its signature must be over.
    function answerBytes(Answer calldata a, string calldata mediaType)
        internal
        pure
        returns (bytes memory object, bytes memory toBeSigned)
    {
        bytes memory head = Cose.header(bytes(mediaType), a.sessionKey, a.node, a.atUnixMs);
        return (Cose.sign1(head, a.payload, a.signature), Cose.toBeSigned(head, a.payload));
    }

    function outcomePlace(Outcome calldata o) private pure returns (bytes memory) {
        bytes memory who = bytes.concat(
            hex"ad010102",
            Cbor.unsigned(o.kind),
            hex"03",
            Cbor.byteString(o.networkId),
            hex"04",
            Cbor.byteString(o.node),
            hex"05",
            Cbor.byteString(o.hyperNode)
        );
        return bytes.concat(
            who,
            hex"0682",
            Cbor.unsigned(o.epoch),
            Cbor.unsigned(o.slot),
            hex"0782",
            Cbor.unsigned(o.startedUnixMs),
            Cbor.unsigned(o.endedUnixMs)
        );
    }

    function outcomeResult(Outcome calldata o) private pure returns (bytes memory made) {
        made = bytes.concat(hex"08", Cbor.unsigned(o.result), hex"09", Cbor.array(o.metrics.length));
        for (uint256 i = 0; i < o.metrics.length; ++i) {
            Metric calldata m = o.metrics[i];
            made = bytes.concat(made, hex"82", Cbor.unsigned(m.id), Cbor.unsigned(m.value));
        }
    }

    function outcomeGrounds(Outcome calldata o) private pure returns (bytes memory made) {
        made = bytes.concat(hex"0a", Cbor.array(o.evidence.length));
        for (uint256 i = 0; i < o.evidence.length; ++i) {
            EvidenceRef calldata e = o.evidence[i];
            bytes memory mediaType = Cbor.text(bytes(e.mediaType));
            made = bytes.concat(
                made, hex"a301", Cbor.byteString(e.saltedDigest), hex"02", Cbor.unsigned(e.size), hex"03", mediaType
            );
        }
        made = bytes.concat(made, hex"0b", Cbor.byteString(o.policy), hex"0c", Cbor.byteString(o.r));
        return bytes.concat(made, hex"0d", Cbor.text(bytes(o.detail)));
    }

    /// @dev The node's signed receipt, as it lies in the HyperNode's.
    function receiptObject(FillReceipt calldata r, bytes32 sessionKey, bytes calldata signature)
        private
        pure
        returns (bytes memory)
    {
        bytes memory head = Cose.header(RECEIPT_TYPE, sessionKey, r.node, r.atUnixMs);
        return Cose.sign1(head, receiptPayload(r), signature);
    }

    function receiptPayload(FillReceipt calldata r) private pure returns (bytes memory) {
        bytes memory place = bytes.concat(
            hex"aa01",
            Cbor.byteString(r.networkId),
            hex"02",
            Cbor.byteString(r.node),
            hex"03",
            Cbor.byteString(r.hyperNode),
            hex"04",
            Cbor.unsigned(r.region),
            hex"05",
            Cbor.unsigned(r.generation)
        );
        bytes memory content = bytes.concat(
            hex"06", Cbor.byteString(r.keyHash), hex"07", Cbor.unsigned(r.blocks), hex"08", Cbor.byteString(r.root)
        );
        bytes memory link =
            bytes.concat(hex"09a201", Cbor.unsigned(r.sequence), hex"02", Cbor.byteString(r.previous), hex"0a");
        return bytes.concat(place, content, link, Cbor.unsigned(r.atUnixMs));
    }
}
