// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EpochRoot, Resolution, RewardLeaf} from "./Types.sol";

/// @title Signed epoch roots, disputes about them, and the rewards they pay.
/// @notice Holds the reward budgets and dispute bonds. The one address that a network's participants configure: it names
/// the other contracts.
interface IAssayEpochs {
    /// @notice Network parameters, fixed for ever by the constructor.
    /// @param voidAfterMs time after an epoch's end from which anyone may declare it void
    /// @param disputeWindowMs time after the posting of a root until it is final
    /// @param disputeBond what a dispute costs when no correction comes of it
    /// @param disputeExtensionMs how long a dispute keeps an epoch from becoming final, once
    struct Parameters {
        uint64 genesisUnixMs;
        uint64 epochMs;
        uint64 voidAfterMs;
        uint64 disputeWindowMs;
        uint64 disputeExtensionMs;
        uint128 disputeBond;
    }

    /// @notice What is kept of an epoch, in a ring: of epochs older than its size nothing is left but the events.
    /// @param digest EIP-712 digest of the root in force
    /// @param finalAtMs from when it is final; moves when disputed, paused or extended
    /// @param corrections how many roots were replaced by a larger quorum's
    struct EpochRecord {
        uint64 epoch;
        Resolution resolution;
        uint8 corrections;
        uint64 postedAtMs;
        uint64 finalAtMs;
        uint32 leafCount;
        bytes32 root;
        bytes32 digest;
        uint128 cumulativeReward;
    }

    event RootPosted(uint64 indexed epoch, bytes32 indexed digest, EpochRoot r, uint256 signedWeight, uint256 totalWeight);
    event EpochVoided(uint64 indexed epoch, address by);
    event RootCorrected(uint64 indexed epoch, bytes32 wrongDigest, bytes32 digest, EpochRoot r);
    event Disputed(uint64 indexed epoch, address indexed by, uint128 bond, uint64 finalAtMs);
    event DisputeResolved(uint64 indexed epoch, address indexed by, bool corrected, uint128 bond);
    event BudgetFunded(address indexed from, uint64 firstEpoch, uint64 epochs, uint128 perEpoch);
    event RewardClaimed(address indexed provider, uint64 indexed epoch, uint128 amount, uint128 cumulative);

    /// @notice Posts the root of the next epoch; anyone may. More than 2/3 of the committee's weight must have signed, and
    /// the rewards may have grown by at most the epoch's budget.
    function postRoot(EpochRoot calldata r, bytes calldata committee, bytes calldata signatures) external;

    /// @notice Declares the next epoch void once its deadline has passed; anyone may. Sums roll on, its budget returns
    /// to the unallocated funds.
    function postVoid(uint64 epoch) external;

    /// @notice Says, with a bond, that an epoch's root does not follow from its agreed input set. Once per epoch: it
    /// stays open for the extension, so that the committee can recompute.
    function dispute(uint64 epoch) external;

    /// @notice Replaces the root of an epoch that is not final, by more than 2/3 of the committee of the *next* epoch to
    /// be posted. Returns an open dispute's bond. Who signed the replaced root can be slashed (`wrongDigest`).
    function correct(EpochRoot calldata r, bytes calldata committee, bytes calldata signatures) external;

    /// @notice Ends a dispute that led to nothing: its bond goes to the treasury. Anyone may.
    function closeDispute(uint64 epoch) external;

    /// @notice Adds `perEpoch` to the budgets of `epochs` epochs, at the earliest two ahead, so that those who aggregate
    /// know a budget before its epoch begins.
    function fund(uint64 firstEpoch, uint64 epochs, uint128 perEpoch) external;

    /// @notice Pays what a provider has earned up to a final epoch and was not paid before; anyone may, the provider gets it.
    /// @param proof siblings from the leaf up
    function claim(RewardLeaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice The record of a posted epoch of the ring, whose proof leads to `leafHash`; reverts otherwise.
    /// For the contracts that settle leaves.
    function proven(uint64 epoch, bytes32 leafHash, bytes32[] calldata proof) external view returns (EpochRecord memory);

    function parameters() external view returns (Parameters memory);
    function networkId() external view returns (bytes32);
    function nextEpoch() external view returns (uint64);
    /// @notice The epoch that block time is in; 0 before genesis.
    function currentEpoch() external view returns (uint64);
    /// @notice Hash of the committee that signs the next epoch.
    function committeeHash() external view returns (bytes32);
    function epochRecord(uint64 epoch) external view returns (EpochRecord memory);
    function isFinal(uint64 epoch) external view returns (bool);
    /// @notice Whether a digest was once in force for an epoch and replaced.
    function wrongDigest(uint64 epoch, bytes32 digest) external view returns (bool);
    function budgetOf(uint64 epoch) external view returns (uint128);
    function paid(address provider) external view returns (uint128);
    function hashRoot(EpochRoot calldata r) external view returns (bytes32);
    function domainSeparator() external view returns (bytes32);
    /// @notice Time that a guardian added to every window open at `atMs`. Windows anywhere in the network ask this.
    function windowExtensionMs(uint64 atMs) external view returns (uint64);
    /// @notice Whether new risks may be taken (registrations, bonds, reservations). Payouts and proofs are never paused.
    function isPaused() external view returns (bool);
    function token() external view returns (address);
    function treasury() external view returns (address);
    function verifier() external view returns (address);
    function stake() external view returns (address);
    function nodes() external view returns (address);
    function reservations() external view returns (address);
    function faults() external view returns (address);
}
