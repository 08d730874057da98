// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// What the committee signs and what its outcome trees hold. Amounts are in the token's smallest unit, times in
// Unix milliseconds, shares in parts per million (ppm) or basis points (bps).

/// @notice What more than 2/3 of a committee's weight signs for an epoch (EIP-712, name "Assay", version "2").
/// @param networkId SHA-256 of the network's parameters
/// @param round round of the agreement on the input set
/// @param inputSet hash of the agreed list of reports
/// @param committee hash of the committee that signs, see `IQuorumVerifier`
/// @param root root of the outcome tree: leaves are keccak256(keccak256(abi.encode(leaf))), a parent is
/// keccak256(min ‖ max); zero when there is no leaf
/// @param leafCount number of leaves of all types
/// @param evidenceRoot root over the log heads of the reports
/// @param policyDigest digest of the classes and stakes that verdicts were judged by
/// @param cumulativeReward rewards of all providers since genesis, the sum of the reward leaves
/// @param nextCommittee hash of the committee that signs the next epoch
struct EpochRoot {
    bytes32 networkId;
    uint64 epoch;
    uint32 round;
    bytes32 inputSet;
    bytes32 committee;
    bytes32 root;
    uint32 leafCount;
    bytes32 evidenceRoot;
    bytes32 policyDigest;
    uint128 cumulativeReward;
    bytes32 nextCommittee;
}

/// @notice One node's outcome of an epoch. Sums are cumulative since genesis: one settlement covers all earlier epochs.
/// @param leafType 1
/// @param owner the provider that the node's quoted claims name
/// @param confirmed a root (this or an earlier one) confirmed the owner
/// @param chips digest of the processors the node is bound to after the epoch: SHA-256("assay/chips/1" ‖ ids,
/// ascending, each once); zero when it is bound to none
/// @param verdict 0 inconclusive, 1 pass, 2 warned, 3 breach
/// @param cumulativeUpSlots slots that were decided as up
/// @param cumulativeDownSlots slots that were decided as down
/// @param cumulativeSlash what persistence (three of six epochs) has asked for so far
struct NodeLeaf {
    uint8 leafType;
    uint64 epoch;
    bytes32 node;
    address owner;
    bool confirmed;
    bytes32 chips;
    uint8 verdict;
    uint8 reasons;
    uint8 tier;
    uint32 availabilityPpm;
    uint32 lowerPpm;
    uint32 upperPpm;
    uint32 coveragePpm;
    uint64 chaseRate;
    uint8 chaseKind;
    uint64 cumulativeUpSlots;
    uint64 cumulativeDownSlots;
    uint128 cumulativeSlash;
}

/// @notice What a provider has earned with all its nodes.
/// @param leafType 3
/// @param cumulativeReward since genesis
struct RewardLeaf {
    uint8 leafType;
    uint64 epoch;
    address provider;
    uint128 cumulativeReward;
}

/// @notice A HyperNode with a say of which no agreed list had a report for as many epochs as the network allows.
/// @param leafType 4
/// @param epoch the epoch of the root that holds this leaf
/// @param hyperNode its Ed25519 key
/// @param missed what the network allows: as many agreed epochs in a row, at least, up to this one, lack a report of it
struct AbsenceLeaf {
    uint8 leafType;
    uint64 epoch;
    bytes32 hyperNode;
    uint32 missed;
}

/// @notice How an epoch was resolved.
enum Resolution {
    Open,
    Posted,
    Void
}

/// @notice Life of a node with its provider. Provisional reserves nothing and earns nothing; Removed is final.
enum NodeStatus {
    None,
    Provisional,
    Active,
    Warned,
    Suspended,
    Removed
}
