// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IQuorumVerifier} from "./IQuorumVerifier.sol";
import {AbsenceLeaf} from "./Types.sol";

/// @title HyperNodes and their stake.
/// @notice Holds stake and nothing else. A change of stake counts from a later epoch (`activeAfterEpochs` ahead, at least
/// two), so that the committee of an epoch is known one epoch before. Stake that leaves can be slashed until it is
/// withdrawn: unbonding takes at least region life + dispute + outage.
///
/// At most 128 HyperNodes have a seat. Who registers or bonds takes a free one, or the one of the smallest stake when its
/// own is strictly larger; but who registered after genesis never takes the seat of one that registered before: of those
/// seats that it may take, that of the smallest stake. Without a seat, with less than the least stake, jailed, absent, or with
/// a key that the verifier is not ready for, a HyperNode is in no committee.
interface IAssayStake {
    /// @notice Fixed for ever by the constructor.
    /// @param minStake least stake of a member
    /// @param operatorCapBps largest share of the total stake that one operator's weight may have, 1..10000
    /// @param activeAfterEpochs how many epochs ahead a change counts, 2..16
    /// @param unbondingMs how long stake that leaves can still be slashed
    /// @param reporterBps share of a slash that goes to who reported the fault, at most half
    struct Parameters {
        uint96 minStake;
        uint16 operatorCapBps;
        uint64 activeAfterEpochs;
        uint64 unbondingMs;
        uint16 reporterBps;
    }

    /// @param signer its ledger key: signs roots, receives withdrawals
    /// @param ed25519Key its HyperNode id: signs votes, receipts, log checkpoints
    /// @param operatorId who operates it; shares one cap with all of the same id, whose owner has admitted them
    /// @param seedChainEnd end of the hash chain of its seeds
    /// @param registeredEpoch first epoch that its stake can count in; 0 for who registered before genesis, and nobody else
    /// @param bonded stake that counts once active
    /// @param unbonding stake on its way out, still slashable
    /// @param jailed slashed: it can only leave
    /// @param absent taken out by `markAbsent`, until it says `comeBack`
    struct HyperNode {
        address signer;
        bytes32 ed25519Key;
        bytes32 operatorId;
        bytes32 seedChainEnd;
        uint64 registeredEpoch;
        uint96 bonded;
        uint96 unbonding;
        bool jailed;
        bool absent;
        string endpoint;
    }

    /// @notice A stake on its way out: it can be withdrawn at or after `releaseAtMs`, and slashed until it is withdrawn.
    struct Unbonding {
        uint96 amount;
        uint64 releaseAtMs;
    }

    /// @notice A HyperNode that counts in an epoch.
    /// @param signer its ledger key
    /// @param ed25519Key its HyperNode id
    /// @param operatorId who operates it
    /// @param stake what counts in the epoch, before the operator cap
    /// @param seedChainEnd end of the hash chain of its seeds that counts in the epoch
    struct Seat {
        address signer;
        bytes32 ed25519Key;
        bytes32 operatorId;
        uint96 stake;
        bytes32 seedChainEnd;
    }

    /// @notice A HyperNode joined.
    event HyperNodeRegistered(
        uint256 indexed index, address indexed signer, bytes32 indexed ed25519Key, bytes32 operatorId, uint96 amount
    );
    /// @notice The owner of an operator's id lets `member` register under it.
    event Admitted(bytes32 indexed operatorId, address indexed member);
    /// @notice Stake was added.
    event Bonded(bytes32 indexed ed25519Key, uint96 amount, uint96 bonded);
    /// @notice Stake is on its way out, and free at `releaseAtMs` unless windows are extended.
    event UnbondingStarted(bytes32 indexed ed25519Key, uint96 amount, uint64 releaseAtMs);
    /// @notice Stake was paid out.
    event Withdrawn(bytes32 indexed ed25519Key, uint96 amount);
    /// @notice What a HyperNode weighs (before the operator cap) in epochs from `epoch` on.
    event StakeChanged(bytes32 indexed ed25519Key, uint64 indexed epoch, uint96 stake);
    /// @notice A seat has another holder from `epoch` on; `holder` is 0 or 1 + the HyperNode's index.
    event SeatChanged(uint256 indexed seat, uint64 indexed epoch, uint256 holder);
    /// @notice Another endpoint, or another seed chain from `epoch` on.
    event Updated(bytes32 indexed ed25519Key, bytes32 seedChainEnd, uint64 epoch, string endpoint);
    /// @notice Stake was taken. `share` of it was paid to `beneficiary`: nothing when that cannot receive.
    event Slashed(bytes32 indexed ed25519Key, bytes32 indexed reason, uint96 taken, address beneficiary, uint96 share);
    /// @notice An absent HyperNode counts no longer, in epochs from `fromEpoch` on; the root of `leafEpoch` says so.
    event MarkedAbsent(bytes32 indexed ed25519Key, uint64 leafEpoch, uint64 fromEpoch);
    /// @notice A HyperNode is back, and can count in epochs from `epoch` on: `StakeChanged` says whether it has a seat.
    event CameBack(bytes32 indexed ed25519Key, uint64 epoch);
    /// @notice The treasury's token transfers failed and wait for `payTreasury`, or were made good.
    event TreasuryOwed(uint256 owed);

    /// @notice A parameter is out of its bounds.
    error BadParameters();
    /// @notice Only `expected` may do this.
    error Unauthorized(address expected, address actual);
    /// @notice An id that must not be zero.
    error ZeroId();
    /// @notice Less than the least stake.
    error StakeTooSmall(uint96 least, uint96 actual);
    /// @notice Bonded and unbonding stake together would be more than the 96 bits that a slash takes it of.
    error StakeTooLarge(uint96 most, uint256 actual);
    /// @notice An amount of nothing.
    error ZeroAmount();
    /// @notice The caller has registered before; ledger keys are never reused.
    error SignerTaken(address signer);
    /// @notice The Ed25519 key was registered before; keys are never reused.
    error KeyTaken(bytes32 ed25519Key);
    /// @notice The operator's id is another's, and `owner` has not admitted `signer`.
    error NotAdmitted(bytes32 operatorId, address owner, address signer);
    /// @notice The caller is no HyperNode.
    error NotRegistered(address signer);
    /// @notice No HyperNode has this key.
    error UnknownKey(bytes32 ed25519Key);
    /// @notice The HyperNode was slashed: it can only leave.
    error Jailed(bytes32 ed25519Key);
    /// @notice The guardian has paused new risks.
    error NetworkPaused();
    /// @notice Less is bonded.
    error InsufficientStake(uint96 bonded, uint96 asked);
    /// @notice Withdraw first: so many parts are on their way out already.
    error TooManyUnbondings(uint256 max);
    /// @notice Nothing is free at this time.
    error NothingToWithdraw(bytes32 ed25519Key);
    /// @notice The endpoint is longer than allowed.
    error EndpointTooLong(uint256 max, uint256 actual);
    /// @notice More than all of it.
    error BpsTooLarge(uint16 max, uint16 actual);
    /// @notice The committee of this epoch can still change.
    error CommitteeNotFixed(uint64 last, uint64 asked);
    /// @notice Nobody has any weight in this epoch.
    error EmptyCommittee(uint64 epoch);
    /// @notice A leaf of another type.
    error WrongLeafType(uint8 expected, uint8 actual);
    /// @notice The HyperNode has no seat that it could lose.
    error NotSeated(bytes32 ed25519Key);
    /// @notice The leaf is of an epoch before the one from which on the HyperNode's seat counts.
    error StaleAbsence(bytes32 ed25519Key, uint64 earliest, uint64 actual);
    /// @notice The HyperNode is not marked as absent.
    error NotAbsent(bytes32 ed25519Key);
    /// @notice Nothing is owed to the treasury.
    error NothingOwed();

    /// @notice Joins with `amount` of the token as stake; the caller is its ledger key. Keys are never reused. Whose key it
    /// is, proves that by a signature, so that nobody can take another's; a key of small order, by which anybody can
    /// sign, is refused: nothing that it signed would convict it. Who first registers under an operator's id owns it for ever,
    /// also once it has left; others need its `admit`, or anybody could share an honest operator's cap and leave it less.
    /// Nobody proves who it is: one owner can have many ids.
    /// @dev Reverts with NetworkPaused, ZeroId, EndpointTooLong, StakeTooSmall, SignerTaken, KeyTaken, NotAdmitted,
    /// Funds.WrongAmountReceived, what the verifier's `enrol` reverts with, and of `Ed25519`: Ed25519WrongLength,
    /// Ed25519BadKey (no canonical point, or of small order), Ed25519BadScalar, Ed25519WrongSignature.
    /// @param ed25519Key its HyperNode id, as RFC 8032 encodes a public key
    /// @param ed25519Proof 64 bytes, R ‖ S: the pure Ed25519 signature by this key over `possessionMessage(caller)`
    /// @param operatorId who operates it; not zero, and the caller's to use
    /// @param seedChainEnd end of the hash chain of its seeds; not zero
    /// @param endpoint where it answers; at most 256 bytes
    /// @param blsKey empty, or the member's key in the encoding of `BlsQuorum`
    /// @param blsProof empty, or the proof that the key's owner has its secret
    function register(
        bytes32 ed25519Key,
        bytes calldata ed25519Proof,
        bytes32 operatorId,
        bytes32 seedChainEnd,
        string calldata endpoint,
        bytes calldata blsKey,
        bytes calldata blsProof,
        uint96 amount
    ) external;

    /// @notice What an Ed25519 key signs, once, so that `signer` can register it: 94 bytes, ASCII
    /// "assay-hypernode-key-v1" (22) ‖ chain id (32, big-endian) ‖ address of this contract (20) ‖ `signer` (20).
    function possessionMessage(address signer) external view returns (bytes memory);

    /// @notice Lets `member` register under the caller's operator id, once and for all. Only by the id's owner, with its ledger
    /// key, registered, jailed or gone.
    /// @dev Reverts with NotRegistered, Unauthorized.
    function admit(address member) external;

    /// @notice Adds to the caller's stake, and takes a seat if it has none and can. An absent one stays absent.
    /// @dev Reverts with NetworkPaused, NotRegistered, Jailed, ZeroAmount, StakeTooLarge, Funds.WrongAmountReceived.
    function bond(uint96 amount) external;

    /// @notice Starts to take stake back. It stops counting from the next snapshot that is not fixed yet.
    /// @dev Reverts with NotRegistered, ZeroAmount, InsufficientStake, TooManyUnbondings.
    function unbond(uint96 amount) external;

    /// @notice Pays everything whose time has come to the caller.
    /// @dev Reverts with NotRegistered, NothingToWithdraw.
    function withdraw() external;

    /// @notice Another endpoint, or the end of a new seed chain, which counts from a later epoch.
    /// @dev Reverts with NotRegistered, ZeroId, EndpointTooLong.
    function update(bytes32 seedChainEnd, string calldata endpoint) external;

    /// @notice Brings a HyperNode's seat and weight up to date: after its key became ready, or when a seat became free or
    /// a smaller stake holds one that it may take. Anyone may.
    /// @dev Reverts with UnknownKey.
    function refresh(bytes32 ed25519Key) external;

    /// @notice Takes an absent HyperNode's seat, from the next snapshot that is not fixed yet, by a posted root's leaf. Anyone
    /// may, paused or not. It costs the HyperNode no stake; unbonding, withdrawing and slashing are as before.
    ///
    /// The root need not be final: no stake moves, the HyperNode can come back by itself, and a network near the end of its
    /// quorum must not wait for the dispute window. A leaf that speaks of an epoch before the present seat counted, or
    /// before the HyperNode said by `comeBack` that it is there, is refused; so is one that is not of the last
    /// `ABSENCE_EPOCHS` epochs with an outcome, since it may have reported since. Roots repeat a leaf as long as it holds.
    /// @dev Reverts with WrongLeafType, UnknownKey, NotSeated (also when it is absent already, or jailed), StaleAbsence, and
    /// what `IAssayEpochs.proven` reverts with: EpochNotPosted, BadProof.
    /// @param proof siblings from the leaf up
    function markAbsent(AbsenceLeaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice The caller is there. Was it marked as absent, it takes a seat if it can, as who bonds does. Has it a seat, no
    /// epoch before the next snapshot that is not fixed yet is held against it: whoever keeps its reports from the others
    /// cannot keep this from the ledger. Paused or not: no money comes in.
    /// @dev Reverts with NotRegistered, and with NotAbsent for who has no seat and was not marked.
    function comeBack() external;

    /// @notice Takes `bps` of everything a HyperNode has here, bonded first and then unbonding, the earliest first; less
    /// when there is less. Never reverts for want of stake, nor because a transfer fails: what the beneficiary cannot
    /// receive goes to the treasury, and what the treasury cannot receive waits for it. Takes the HyperNode out of the next
    /// snapshot for good. Only by the contract of this network that checks proofs.
    /// @dev Reverts with Unauthorized, UnknownKey, BpsTooLarge.
    /// @return taken moved to `beneficiary` and the treasury, by the network's split
    function slash(bytes32 ed25519Key, uint16 bps, address beneficiary, bytes32 reason) external returns (uint96 taken);

    /// @notice Pays the treasury what it could not receive when it was due; anyone may.
    /// @dev Reverts with NothingOwed.
    function payTreasury() external;

    /// @notice The committee of an epoch in the encoding of the network's verifier: members ascending by address, their
    /// capped stake, scaled as `Weights` says, as weight. Of the running epoch and the next, and of every earlier one.
    /// Weight = stake × min(operator's stake, limit) / operator's stake, where limit = total stake × cap / 10000.
    /// @dev Reverts with CommitteeNotFixed, EmptyCommittee.
    function committee(uint64 epoch) external view returns (bytes memory);

    /// @notice The committee's members before their encoding; of `committee`'s epochs.
    /// @dev Reverts with CommitteeNotFixed, EmptyCommittee.
    function members(uint64 epoch) external view returns (IQuorumVerifier.Member[] memory);

    /// @notice Who has a seat in an epoch, in order of seats, before the operator cap: what `members` are computed from, with
    /// those whom the cap leaves no weight. Empty when nobody has one; of `committee`'s epochs.
    /// @dev Reverts with CommitteeNotFixed.
    function roster(uint64 epoch) external view returns (Seat[] memory);

    /// @notice Number of HyperNodes that ever registered; those who left count.
    function hyperNodeCount() external view returns (uint256);
    /// @notice The HyperNode of an index, from 0 in order of registration. Reverts from `hyperNodeCount` on (panic
    /// 0x32).
    function hyperNodeAt(uint256 index) external view returns (HyperNode memory);
    /// @notice All zero when nobody has registered this key.
    function hyperNodeOf(bytes32 ed25519Key) external view returns (HyperNode memory);
    /// @notice All zero when this account has not registered.
    function hyperNodeOfSigner(address signer) external view returns (HyperNode memory);
    /// @notice Ledger key of who first registered under an operator's id; zero while nobody has.
    function operatorOwner(bytes32 operatorId) external view returns (address);
    /// @notice Whether the owner of an operator's id lets this account register under it.
    function isAdmitted(bytes32 operatorId, address member) external view returns (bool);
    /// @notice Stake that counts in an epoch, before the operator cap; 0 without a seat.
    /// @dev Reverts with UnknownKey, as do the two below.
    function stakeAt(bytes32 ed25519Key, uint64 epoch) external view returns (uint96);
    /// @notice End of the seed chain that counts in an epoch.
    function seedChainEndAt(bytes32 ed25519Key, uint64 epoch) external view returns (bytes32);
    /// @notice Release times as the windows are extended so far.
    function unbondings(bytes32 ed25519Key) external view returns (Unbonding[] memory);
    /// @notice 0, or 1 + the index of the HyperNode that holds a seat in the latest snapshot.
    function seatHolder(uint256 seat) external view returns (uint256);
    /// @notice Sum of all that is bonded or unbonding, and of what the treasury could not receive: what this contract owes.
    function totalHeld() external view returns (uint256);
    /// @notice What the treasury could not receive yet, in the token's smallest unit; `payTreasury` pays it.
    function treasuryOwed() external view returns (uint256);
    /// @notice The `IAssayEpochs` that names token, treasury, verifier and who may slash; fixed by the constructor.
    function epochs() external view returns (address);
    /// @notice As the constructor fixed them: stake in the token's smallest unit, times in milliseconds, shares in bps.
    function parameters() external view returns (Parameters memory);
}
