// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NodeLeaf, NodeStatus, ReauditLeaf} from "./Types.sol";

/// @title Providers, nodes, collateral.
/// @notice Holds collateral and what was slashed of it. Moves collateral by proven leaves only.
interface IAssayNodes {
    /// @notice What a hardware class asks of a provider; by digest of the class, set once and never changed.
    /// @param collateral at registration, at least
    /// @param slashCapPerEpoch most that one epoch can take
    /// @param slashCapBps most that can be taken of a registration's pledge in all
    /// @param builderShareBps of a slash, to the Builders who had reserved the node; the rest to the treasury
    /// @param removeBelow a node whose collateral falls below is suspended until it is topped up
    struct ClassTerms {
        uint128 collateral;
        uint128 slashCapPerEpoch;
        uint128 removeBelow;
        uint16 slashCapBps;
        uint16 builderShareBps;
        bool reaudit;
    }

    /// @notice One provider's registration of one node. Never erased: what was true in an epoch stays readable.
    struct Registration {
        NodeStatus status;
        uint64 registeredAtMs;
        uint64 endedAtMs;
        uint128 pledged;
        uint128 collateral;
        uint128 escrow;
        bytes32 classDigest;
        bytes32 region;
        string endpoint;
    }

    /// @notice What roots have settled about a node.
    /// @param owner confirmed provider; zero before
    /// @param successor the node that took over its history when TPM or CPU were replaced
    /// @param settledEpochs 0, or 1 + the last settled epoch
    struct Account {
        address owner;
        bytes32 chips;
        bytes32 successor;
        bytes32 predecessor;
        uint64 settledEpochs;
        uint64 confirmedEpoch;
        uint64 suspendedAtMs;
        uint128 cumulativeSlash;
        uint128 slashed;
    }

    struct NodeView {
        bytes32 node;
        address provider;
        Registration registration;
        Account account;
    }

    // Provider
    /// @notice Pledges `amount` for a node; provisional. Several providers may: the first that a root confirms wins, the
    /// others can take their pledge back. Unconfirmed for `provisionalMs`, it expires.
    function register(bytes32 node, bytes32 classDigest, bytes32 region, string calldata endpoint, uint128 amount)
        external;
    /// @notice Ends a registration that was not confirmed, or was beaten, and pays its pledge back.
    function cancel(bytes32 node) external;
    /// @notice Ends an expired provisional registration; anyone may, the provider gets its pledge.
    function expire(bytes32 node, address provider) external;
    function topUp(bytes32 node, uint128 amount) external;
    /// @notice Asks to leave: no new reservation from now; collateral is free after the exit delay and the last settlement.
    function requestExit(bytes32 node) external;
    function exit(bytes32 node) external;
    function setEndpoint(bytes32 node, string calldata endpoint) external;

    // Change of owner
    function offerTransfer(bytes32 node, address to) external;
    /// @notice The new owner pledges anew; it becomes owner when a root names it, and the old pledge is then freed as by exit.
    function acceptTransfer(bytes32 node, string calldata endpoint, uint128 amount) external;

    // Change of TPM or CPU
    /// @notice Same machine, other TPM: another node id takes over owner, pledge, status and sums once a root confirms it.
    function announceReplacement(bytes32 node, bytes32 successor) external;
    /// @notice Same TPM, other processors: the next confirmed `chips` may differ.
    function announceChips(bytes32 node) external;

    // Anyone
    /// @notice Settles a node leaf: confirmation, status, slash into escrow.
    function settle(NodeLeaf calldata leaf, bytes32[] calldata proof) external;
    /// @notice Settles a re-audit leaf: what it confirms of an asked slash goes into escrow.
    function settleReaudit(ReauditLeaf calldata leaf, bytes32[] calldata proof) external;
    /// @notice Pays escrow whose epoch is final to treasury and Builders, or back when it was corrected.
    function release(bytes32 node) external;

    // Governor
    /// @notice Terms of a class; once, for ever.
    function setClass(bytes32 classDigest, ClassTerms calldata terms) external;

    // Views
    function classTerms(bytes32 classDigest) external view returns (ClassTerms memory);
    function nodeCount() external view returns (uint256);
    function nodeAt(uint256 index) external view returns (NodeView memory);
    function registration(bytes32 node, address provider) external view returns (Registration memory);
    function account(bytes32 node) external view returns (Account memory);
    /// @notice Whether a Builder can reserve it now.
    function isReservable(bytes32 node) external view returns (bool);
    function totalHeld() external view returns (uint256);
}
