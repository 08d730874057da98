// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// What HyperNodes sign with their Ed25519 keys in the ordinary course, as far as it can convict them. Names and order are
// those of protocol/cddl/assay.cddl. Times are Unix milliseconds.

/// @notice A HyperNode's vote for an input set (`Vote` in protocol/src/report.rs).
/// @param atUnixMs the HyperNode's clock
struct Vote {
    bytes32 networkId;
    uint64 epoch;
    uint32 round;
    bytes32 hyperNode;
    bytes32 inputSet;
    uint64 atUnixMs;
}

/// @notice What a HyperNode says its log is (`Checkpoint` in the log crate; C2SP tlog-checkpoint).
/// @param size number of leaves
/// @param root RFC 9162 root over them
struct Checkpoint {
    bytes32 networkId;
    bytes32 hyperNode;
    uint64 size;
    bytes32 root;
}

/// @notice A node's receipt for a region (`FillReceipt` in protocol/src/answers.rs).
/// @param hyperNode whose region it is
/// @param keyHash hash of the region's key
/// @param blocks blocks of 4 KiB that the node received
/// @param root RFC 9162 root over them
/// @param sequence place in the chain of the node's answers
/// @param previous hash of the answer before
/// @param atUnixMs the node's clock
struct FillReceipt {
    bytes32 networkId;
    bytes32 node;
    bytes32 hyperNode;
    uint32 region;
    uint64 generation;
    bytes32 keyHash;
    uint32 blocks;
    bytes32 root;
    uint64 sequence;
    bytes32 previous;
    uint64 atUnixMs;
}

/// @notice Something that a HyperNode measured (`metric` in protocol/src/outcome.rs).
struct Metric {
    uint16 id;
    uint64 value;
}

/// @notice Raw evidence of an outcome (`EvidenceRef` in protocol/src/outcome.rs).
/// @param saltedDigest SHA-256 over the outcome's `r`, then the raw bytes
/// @param size of the raw bytes
struct EvidenceRef {
    bytes32 saltedDigest;
    uint64 size;
    string mediaType;
}

/// @notice A challenge's result (`Outcome` in protocol/src/outcome.rs), of schema 1.
/// @param kind what was asked for: 2 is a probe
/// @param slot the challenge's own
/// @param startedUnixMs the HyperNode's clock
/// @param result how it ended: 0 is a pass, 1 a failure, and the others conclude nothing from what was answered
/// @param policy digest of the node's hardware class
/// @param r randomness of the nonce
struct Outcome {
    bytes32 networkId;
    uint8 kind;
    bytes32 node;
    bytes32 hyperNode;
    uint64 epoch;
    uint32 slot;
    uint64 startedUnixMs;
    uint64 endedUnixMs;
    uint8 result;
    Metric[] metrics;
    EvidenceRef[] evidence;
    bytes32 policy;
    bytes32 r;
    string detail;
}

/// @notice An answer of a node as it was received, whatever it says (`ProbeAnswer`, `ChaseAnswer` in
/// protocol/src/answers.rs).
/// @param sessionKey the Ed25519 key that it names as its signer
/// @param atUnixMs the node's clock
/// @param payload what would be signed
/// @param signature whatever stands in its place
struct Answer {
    bytes32 sessionKey;
    bytes32 node;
    uint64 atUnixMs;
    bytes payload;
    bytes signature;
}

/// @notice A receipt that node and HyperNode signed (`Countersigned` in protocol/src/answers.rs).
/// @param sessionKey the node's key; its signature is part of what the HyperNode signed, and not checked again here
/// @param nodeSignature 64 bytes
/// @param atUnixMs the HyperNode's clock
struct Countersigned {
    FillReceipt receipt;
    bytes32 sessionKey;
    bytes nodeSignature;
    uint64 atUnixMs;
}
