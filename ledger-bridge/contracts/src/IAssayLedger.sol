// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Assay's ledger: stake, collateral, signed epoch roots, settlement by Merkle proof.
/// @notice Amounts are in the chain's native currency (its smallest unit). Times are Unix milliseconds.
/// Thin on purpose: no roster updates after genesis, no stake withdrawal, no disputes, no credits to Builders.
interface IAssayLedger {
    // ------------------------------------------------------------------ types

    /// @notice Network parameters, fixed for ever by the constructor.
    /// @param genesisUnixMs start of epoch 0
    /// @param epochMs length of an epoch; not 0
    /// @param voidAfterMs time after an epoch's end from which anyone may declare it void
    /// @param disputeWindowEpochs epochs (as time, from the posting of the root) until a reward may be claimed
    /// @param operatorCapBps largest share of the total stake one operator's weight may have, 1..10000
    struct Parameters {
        uint64 genesisUnixMs;
        uint64 epochMs;
        uint64 voidAfterMs;
        uint64 disputeWindowEpochs;
        uint32 operatorCapBps;
    }

    /// @notice A committee member: its ledger key's address and its capped stake.
    struct Member {
        address signer;
        uint96 weight;
    }

    /// @notice A HyperNode of the genesis roster.
    /// @param weight capped stake, 0 until `openGenesis`
    struct HyperNode {
        address signer;
        uint96 stake;
        uint96 weight;
        bytes32 ed25519Key;
        bytes32 operatorId;
        bytes32 seedChainEnd;
        string endpoint;
    }

    /// @notice What more than 2/3 of the committee's weight signs for an epoch (EIP-712).
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
        bytes32 nextCommittee;
    }

    /// @notice One node's outcome of an epoch, a leaf of `EpochRoot.root`. The two sums are cumulative
    /// since genesis, so that one settlement covers all earlier epochs.
    /// @param leafType 1
    /// @param confirmed the committee confirmed that `owner` is what the node's quoted claims name
    /// @param verdict 0 inconclusive, 1 pass, 2 warned, 3 breach
    struct NodeLeaf {
        uint8 leafType;
        uint64 epoch;
        bytes32 node;
        address owner;
        bool confirmed;
        uint8 verdict;
        uint8 reasons;
        uint8 tier;
        uint32 availabilityPpm;
        uint32 lowerPpm;
        uint32 upperPpm;
        uint32 coveragePpm;
        uint64 chaseRate;
        uint8 chaseKind;
        uint128 cumulativeReward;
        uint128 cumulativeSlash;
    }

    /// @notice State of a (node, provider) registration.
    /// Provisional earns nothing and reserves nothing; Removed is final.
    enum Status {
        None,
        Provisional,
        Active,
        Warned,
        Suspended,
        Removed
    }

    /// @notice How an epoch was resolved.
    enum Resolution {
        Open,
        Posted,
        Void
    }

    /// @notice What is kept of a resolved epoch.
    /// @param committee hash of the committee that signed
    /// @param resolvedAtMs block time of the posting or voiding
    struct EpochRecord {
        Resolution resolution;
        uint32 round;
        uint32 leafCount;
        uint64 resolvedAtMs;
        bytes32 root;
        bytes32 inputSet;
        bytes32 evidenceRoot;
        bytes32 policyDigest;
        bytes32 committee;
    }

    /// @notice A provider's registration of a node. It is never erased: who counts the registrations of an epoch
    /// must find the same ones whenever it reads, so what was true at a past moment stays readable.
    /// @param status None when cancelled
    /// @param registeredAtMs block time of the registration
    /// @param cancelledAtMs block time of the cancellation, 0 while there was none
    /// @param pledged the collateral at registration; never changes
    /// @param collateral what a slash can still take
    /// @param escrow what was slashed, kept for the dispute window of a later version
    struct Registration {
        Status status;
        uint64 registeredAtMs;
        uint64 cancelledAtMs;
        uint128 pledged;
        uint128 collateral;
        uint128 escrow;
        bytes32 classDigest;
        bytes32 region;
        string endpoint;
    }

    /// @notice Settlement state of a node.
    /// @param owner the confirmed provider, or 0
    /// @param settledEpochs 0, or 1 + the last settled epoch
    /// @param arrears reward earned while the pool was empty
    struct NodeAccount {
        address owner;
        uint64 settledEpochs;
        uint128 cumulativeReward;
        uint128 cumulativeSlash;
        uint128 arrears;
    }

    /// @notice A registration with its keys and its node's settlement state.
    struct NodeView {
        bytes32 node;
        address provider;
        Registration registration;
        NodeAccount account;
    }

    // ----------------------------------------------------------------- events

    event HyperNodeRegistered(
        address indexed signer, bytes32 indexed ed25519Key, bytes32 operatorId, uint256 stake
    );
    event GenesisOpened(bytes32 indexed networkId, bytes32 committee, uint256 totalWeight);
    event NodeRegistered(
        bytes32 indexed node, address indexed provider, bytes32 classDigest, uint256 collateral
    );
    event RegistrationCancelled(bytes32 indexed node, address indexed provider, uint256 collateral);
    event RewardsFunded(address indexed from, uint256 amount);
    event RootPosted(
        uint64 indexed epoch, uint32 round, bytes32 root, bytes32 inputSet, uint256 signedWeight, uint256 totalWeight
    );
    event EpochVoided(uint64 indexed epoch);
    event NodeConfirmed(bytes32 indexed node, address indexed provider, uint64 epoch);
    event NodeSettled(bytes32 indexed node, uint64 indexed epoch, address owner, uint8 verdict, uint8 tier);
    event RewardAccrued(
        bytes32 indexed node, address indexed provider, uint256 amount, uint256 arrears, uint64 releaseAtMs
    );
    event Slashed(bytes32 indexed node, address indexed provider, uint64 epoch, uint256 asked, uint256 taken);
    event StatusChanged(bytes32 indexed node, address indexed provider, Status status);
    event Claimed(address indexed provider, uint256 amount);

    // ----------------------------------------------------------------- errors

    /// @notice epochMs is 0, the cap is not in 1..10000, or the dispute window exceeds ten years.
    error BadParameters();
    error OnlyDeployer(address caller);
    error GenesisAlreadyOpen();
    error GenesisNotOpen();
    error RosterClosed();
    error RosterFull(uint256 max);
    error NoHyperNodes();
    error ZeroId();
    error ZeroValue();
    error ValueTooLarge(uint256 value, uint256 max);
    error EndpointTooLong(uint256 length, uint256 max);
    error HyperNodeAlreadyRegistered(address signer);
    error Ed25519KeyAlreadyRegistered(bytes32 key);
    error CapTooSmall(uint256 capBps, uint256 operators);
    error ZeroWeight(address signer);
    error NodeAlreadyRegistered(bytes32 node, address provider);
    error RegistrationEnded(bytes32 node, address provider, uint64 cancelledAtMs);
    error NodeAlreadyConfirmed(bytes32 node, address owner);
    error NodeNotRegistered(bytes32 node, address provider);
    error NotProvisional(bytes32 node, address provider);
    error WrongNetwork(bytes32 expected, bytes32 actual);
    error WrongEpoch(uint64 expected, uint64 actual);
    error EpochNotFinished(uint64 epoch, uint256 endMs, uint256 nowMs);
    error WrongCommittee(bytes32 expected, bytes32 actual);
    error ZeroNextCommittee();
    error WrongSignatureCount(uint256 expected, uint256 actual);
    error BadSignatureLength(uint256 index, uint256 length);
    error BadSignature(uint256 index);
    error WrongSigner(uint256 index, address expected, address actual);
    error QuorumNotReached(uint256 signedWeight, uint256 totalWeight);
    error VoidTooEarly(uint64 epoch, uint256 deadlineMs, uint256 nowMs);
    error EpochNotPosted(uint64 epoch);
    error WrongLeafType(uint8 expected, uint8 actual);
    error WrongLeafEpoch(uint64 expected, uint64 actual);
    error UnknownVerdict(uint8 verdict);
    error ProofTooLong(uint256 length, uint256 max);
    error BadProof(bytes32 root, bytes32 computed);
    error AlreadySettled(bytes32 node, uint64 epoch);
    error StaleEpoch(bytes32 node, uint64 settledEpoch, uint64 epoch);
    error NotConfirmed(bytes32 node);
    error WrongOwner(bytes32 node, address expected, address actual);
    error CumulativeDecreased(bytes32 node);
    error NothingToClaim(address provider);
    error TransferFailed(address to, uint256 amount);

    // ------------------------------------------------------------- life cycle

    /// @notice A HyperNode joins the genesis roster with `msg.value` as its stake; the caller is its ledger key.
    /// One per address and per Ed25519 key; an operator may have several, which share its cap.
    /// @dev Reverts: RosterClosed, RosterFull, ZeroId, ZeroValue, ValueTooLarge, EndpointTooLong,
    /// HyperNodeAlreadyRegistered, Ed25519KeyAlreadyRegistered.
    function registerHyperNode(
        bytes32 ed25519Key,
        bytes32 operatorId,
        bytes32 seedChainEnd,
        string calldata endpoint
    ) external payable;

    /// @notice The deployer closes the roster: the genesis committee is every HyperNode, ascending by address,
    /// with stake × min(operator's stake, limit) / operator's stake as weight, where limit = total stake × cap / 10000.
    /// @dev Reverts: OnlyDeployer, GenesisAlreadyOpen, ZeroId, NoHyperNodes, CapTooSmall (cap × operators < 100 %),
    /// ZeroWeight.
    function openGenesis(bytes32 networkId_) external;

    /// @notice A provider pledges `msg.value` for a node; provisional until a root confirms it.
    /// Several providers may do so for one id: the first confirmed one wins. One account registers a node once:
    /// after a cancellation it needs another account, or a root that confirmed the cancelled registration
    /// would pay the new one for epochs in which nothing was pledged.
    /// @dev Reverts: ZeroId, ZeroValue, ValueTooLarge, EndpointTooLong, RegistrationEnded, NodeAlreadyRegistered,
    /// NodeAlreadyConfirmed.
    function registerNode(bytes32 nodeId, bytes32 classDigest, bytes32 region, string calldata endpoint)
        external
        payable;

    /// @notice Takes back the collateral of a registration that was never confirmed, and ends it for good.
    /// @dev Reverts: NotProvisional, TransferFailed.
    function cancelRegistration(bytes32 nodeId) external;

    /// @notice Adds `msg.value` to the pool that rewards are paid from.
    /// @dev Reverts: ZeroValue, ValueTooLarge.
    function fundRewards() external payable;

    /// @notice Posts the root of the next epoch; anyone may.
    /// @param committee the members behind `r.committee`, in their order
    /// @param signatures parallel to `committee`: empty when absent, else 65 bytes r ‖ s ‖ v, low s, v 27 or 28
    /// @dev Reverts: GenesisNotOpen, WrongNetwork, WrongEpoch, EpochNotFinished, WrongCommittee, ZeroNextCommittee,
    /// WrongSignatureCount, BadSignatureLength, BadSignature, WrongSigner, QuorumNotReached.
    function postRoot(EpochRoot calldata r, Member[] calldata committee, bytes[] calldata signatures) external;

    /// @notice Declares the next epoch void once its deadline has passed; anyone may. Sums roll on.
    /// @dev Reverts: GenesisNotOpen, WrongEpoch, VoidTooEarly.
    function postVoid(uint64 epoch) external;

    /// @notice Settles one leaf of a posted epoch: confirmation, reward, slash, status. Anyone may.
    /// @param proof sibling hashes from the leaf up; a parent is keccak256(min ‖ max)
    /// @dev Reverts: EpochNotPosted, WrongLeafType, WrongLeafEpoch, UnknownVerdict, ProofTooLong, BadProof,
    /// AlreadySettled, StaleEpoch, NotConfirmed, NodeNotRegistered, WrongOwner, CumulativeDecreased.
    /// Never for lack of collateral or of funds: a slash takes what is there, a reward waits as arrears.
    function settle(uint64 epoch, NodeLeaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice Pays a node's arrears from the pool as far as it goes; anyone may. Released
    /// after one more dispute window.
    /// @dev Reverts: NotConfirmed.
    function payArrears(bytes32 nodeId) external;

    /// @notice Pays the caller's released rewards.
    /// @dev Reverts: NothingToClaim, TransferFailed.
    function claim() external;

    // ------------------------------------------------------------------ views

    function parameters() external view returns (Parameters memory);
    function deployer() external view returns (address);
    /// @notice 0 until `openGenesis`.
    function networkId() external view returns (bytes32);
    /// @notice keccak256(abi.encode(Member[])) of the committee that signs the next epoch.
    function committeeHash() external view returns (bytes32);
    /// @notice The first epoch that is neither posted nor void.
    function nextEpoch() external view returns (uint64);
    function rewardPool() external view returns (uint128);
    function epochRecord(uint64 epoch) external view returns (EpochRecord memory);
    function hyperNodeCount() external view returns (uint256);
    function hyperNodeAt(uint256 index) external view returns (HyperNode memory);
    /// @notice Number of registrations ever made; a cancelled one stays, with status None and its times.
    function nodeCount() external view returns (uint256);
    function nodeAt(uint256 index) external view returns (NodeView memory);
    function registration(bytes32 nodeId, address provider) external view returns (Registration memory);
    function account(bytes32 nodeId) external view returns (NodeAccount memory);
    /// @notice Rewards of a provider: what `claim` pays now, and what still waits for its dispute window.
    function rewards(address provider) external view returns (uint256 claimable, uint256 waiting);
    function domainSeparator() external view returns (bytes32);
    /// @notice The EIP-712 digest that committee members sign.
    function hashRoot(EpochRoot calldata r) external view returns (bytes32);
    /// @notice keccak256(keccak256(abi.encode(leaf))): the double hash keeps leaves apart from inner nodes.
    function leafHash(NodeLeaf calldata leaf) external pure returns (bytes32);
}
