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
