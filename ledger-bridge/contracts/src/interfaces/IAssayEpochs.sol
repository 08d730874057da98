// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EpochRoot, Resolution} from "./Types.sol";

/// @title Signed epoch roots, disputes about them, and the budgets that rewards come from.
/// @notice Holds the reward budgets and dispute bonds. The one address that a network's participants configure: it names
/// the other contracts.
///
/// Finality is ordered: an epoch is never final before an earlier one. A correction therefore only meets epochs that are
/// not final, and it undoes those posted after the corrected one: their sums were built on the wrong ones. They are posted
/// again, in a higher round.
///
/// Windows are counted by a clock that the guardian can stop, within bounds: a window that is open then stays open for as
/// much longer, and one that has closed never opens again.
interface IAssayEpochs {
    /// @notice Network parameters, fixed for ever by the constructor.
    /// @param voidAfterMs time after an epoch's end from which anyone may declare it void
    /// @param disputeWindowMs time after the posting of a root until it is final
    /// @param disputeBond what a dispute costs when no correction comes of it
    /// @param disputeExtensionMs by how much a dispute extends that time, once
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
    /// @param corrections how many roots were replaced by a larger quorum's, here or in an epoch before
    /// @param postedAtMs when the root in force was posted
    /// @param finalAtMs from when it is final; moves when disputed or extended
    /// @param round round of the root in force
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
        uint32 round;
    }

    /// @notice A dispute about a root.
    /// @param by who put up the bond; zero when there was none
    /// @param upheld the root was replaced: the bond goes back
    /// @param closed the bond was paid out
    /// @param digest of the disputed root
    struct Dispute {
        address by;
        bool upheld;
        bool closed;
        bytes32 digest;
    }

    /// @notice The other contracts of the network are named; once.
    event Wired(address stake, address nodes, address reservations, address faults);
    /// @notice The network begins with this committee of epoch 0.
    event GenesisOpened(bytes32 indexed networkId, bytes32 committee);
    /// @notice An epoch has a root; also again, after a correction of an epoch before.
    event RootPosted(
        uint64 indexed epoch, bytes32 indexed digest, EpochRoot r, uint256 signedWeight, uint256 totalWeight
    );
    /// @notice An epoch is void: no root came in time.
    event EpochVoided(uint64 indexed epoch, address by);
    /// @notice A root was replaced; epochs after it are to be posted again.
    event RootCorrected(uint64 indexed epoch, bytes32 wrongDigest, bytes32 digest, EpochRoot r);
    /// @notice An epoch's outcome counts no more, since an epoch before it was corrected.
    event EpochUndone(uint64 indexed epoch, uint64 corrected);
    /// @notice A root is disputed and stays open until `finalAtMs`, and so do those after it through `lastEpoch`; later ones
    /// would in any case.
    event Disputed(uint64 indexed epoch, address indexed by, uint128 bond, uint64 finalAtMs, uint64 lastEpoch);
    /// @notice A bond was paid out: to who put it up when `corrected`, else to the treasury.
    event DisputeResolved(uint64 indexed epoch, address indexed by, bool corrected, uint128 bond);
    /// @notice Money came in for budgets.
    event BudgetFunded(address indexed from, uint64 firstEpoch, uint64 epochs, uint128 perEpoch);
    /// @notice Unallocated money became budgets.
    event BudgetAllocated(uint64 firstEpoch, uint64 epochs, uint128 perEpoch);
    /// @notice What epochs up to this one left of their budgets is unallocated again.
    event BudgetReturned(uint64 indexed lastEpoch, uint128 amount);
    /// @notice What final epochs up to this one have earned, and was not sent before, went to the contract of rewards.
    event RewardsReleased(uint64 indexed epoch, uint128 amount, uint128 cumulative);
    /// @notice No new risks until `untilMs`.
    event Paused(uint64 untilMs);
    /// @notice The clock of all windows stands still from now until `untilMs`.
    event WindowsExtended(uint64 fromMs, uint64 untilMs);
    /// @notice The network is over; what nobody has earned went to the treasury.
    event NetworkRetired(uint64 nextEpoch, uint128 amount);

    /// @notice A parameter is zero where it must not be, or windows do not fit into the ring.
    error BadParameters();
    /// @notice Only `expected` may do this.
    error Unauthorized(address expected, address actual);
    /// @notice The contracts were named before.
    error AlreadyWired();
    /// @notice `wire` comes first.
    error NotWired();
    /// @notice An address without code, or a stake contract of another network.
    error NotAContractOfThisNetwork(address what);
    /// @notice A hash or address that must not be zero.
    error ZeroId();
    /// @notice Nothing can be posted before genesis.
    error GenesisNotOpen();
    /// @notice Genesis is once.
    error GenesisAlreadyOpen();
    /// @notice A root of another network.
    error WrongNetwork(bytes32 expected, bytes32 actual);
    /// @notice Epochs are posted one after the other.
    error WrongEpoch(uint64 expected, uint64 actual);
    /// @notice The epoch has not ended.
    error EpochNotFinished(uint64 epoch, uint64 endMs, uint64 nowMs);
    /// @notice The root, or genesis, names another committee than the one that signs now.
    error WrongCommittee(bytes32 expected, bytes32 actual);
    /// @notice A root must name the committee that signs the next epoch.
    error ZeroNextCommittee();
    /// @notice Not more than two thirds have signed.
    error QuorumNotReached(uint256 signedWeight, uint256 totalWeight);
    /// @notice Rewards since genesis cannot shrink.
    error RewardDecreased(uint128 previous, uint128 actual);
    /// @notice Rewards grew by more than the epoch's budget.
    error BudgetExceeded(uint64 epoch, uint128 budget, uint128 asked);
    /// @notice The record that this one would overwrite is not final. Wait.
    error OldEpochNotFinal(uint64 epoch, uint64 finalAtMs, uint64 nowMs);
    /// @notice The ring holds nothing but void epochs and the last root, which stays provable.
    error LastRootKept(uint64 firstVoid);
    /// @notice The network is over.
    error Retired();
    /// @notice Fewer void epochs than ring places have followed the last root.
    error NotAbandoned(uint256 needed, uint256 actual);
    /// @notice The deadline has not passed.
    error VoidTooEarly(uint64 epoch, uint64 deadlineMs, uint64 nowMs);
    /// @notice No root in the ring for this epoch.
    error EpochNotPosted(uint64 epoch);
    /// @notice Too late: the epoch is final.
    error EpochIsFinal(uint64 epoch);
    /// @notice Too early: the epoch is not final.
    error EpochNotFinal(uint64 epoch, uint64 finalAtMs, uint64 nowMs);
    /// @notice A root that replaces another has a higher round, so that nobody who signs both signs two in one round.
    error RoundTooLow(uint32 least, uint32 actual);
    /// @notice A dispute about this root, or the one before it, waits to be closed.
    error AlreadyDisputed(uint64 epoch);
    /// @notice No open dispute.
    error NoDispute(uint64 epoch);
    /// @notice Budgets are fixed one whole epoch before they count.
    error FundedTooLate(uint64 earliest, uint64 actual);
    /// @notice No epochs, too many at once, or past the last one that can be numbered; or no money.
    error BadRange(uint64 firstEpoch, uint64 epochs, uint128 perEpoch);
    /// @notice Less is unallocated.
    error InsufficientUnallocated(uint128 available, uint256 asked);
    /// @notice The proof leads to another root.
    error BadProof(bytes32 expected, bytes32 actual);
    /// @notice A pause or an extension is longer than allowed, or no time at all.
    error DurationOutOfBounds(uint64 max, uint64 actual);
    /// @notice Between two pauses, or two extensions, lies a time of rest.
    error TooSoon(uint64 notBeforeMs, uint64 nowMs);

    /// @notice Names the other contracts; once, by the deployer, before genesis.
    /// @dev Reverts with Unauthorized, AlreadyWired, NotAContractOfThisNetwork.
    function wire(address stake, address nodes, address reservations, address faults) external;

    /// @notice Begins the network with the committee of epoch 0 from the stake contract; once, by the deployer. Who registers
    /// while it is on its way changes that committee: it then has to be asked for anew.
    /// @dev Reverts with Unauthorized, NotWired, GenesisAlreadyOpen, ZeroId, WrongCommittee, and what
    /// `IAssayStake.committee` reverts with.
    /// @param networkId SHA-256 of the network's parameters
    /// @param committee hash of the committee that follows from them
    function openGenesis(bytes32 networkId, bytes32 committee) external;

    /// @notice Posts the root of the next epoch; anyone may. More than 2/3 of the committee's weight must have signed, and
    /// the rewards may have grown by at most the epoch's budget.
    /// @dev Reverts with GenesisNotOpen, Retired, WrongNetwork, WrongEpoch, EpochNotFinished, WrongCommittee,
    /// ZeroNextCommittee, QuorumNotReached, RewardDecreased, BudgetExceeded, OldEpochNotFinal, RoundTooLow, and what the
    /// verifier reverts with.
    function postRoot(EpochRoot calldata r, bytes calldata committee, bytes calldata signatures) external;

    /// @notice Declares the next epoch void once its deadline has passed; anyone may. Sums roll on, its budget returns
    /// to the unallocated funds. Of epochs that a correction undid, the deadline of the first is counted from there, and
    /// that of each later one that had a root from when the one before was posted again or voided.
    /// @dev Reverts with GenesisNotOpen, Retired, WrongEpoch, VoidTooEarly, OldEpochNotFinal, LastRootKept.
    function postVoid(uint64 epoch) external;

    /// @notice Says, with a bond, that an epoch's root does not follow from its agreed input set. Once per root, and whenever
    /// it comes: the root stays open for window and extension together after its posting, so that the committee can
    /// recompute, and no dispute that comes early takes that time from a later one. So do the epochs after it, but none
    /// longer than that after its own posting, however many disputes there are.
    /// @dev Reverts with EpochNotPosted, EpochIsFinal, AlreadyDisputed, Funds.WrongAmountReceived.
    function dispute(uint64 epoch) external;

    /// @notice Replaces the root of an epoch that is not final, by more than 2/3 of the committee of the *next* epoch to
    /// be posted. Upholds an open dispute. Who signed the replaced root can be slashed (`wrongDigest`). Epochs posted
    /// after it become open again and are posted anew, signed by the committees that the new root begins.
    /// @dev Reverts with WrongNetwork, EpochNotPosted, EpochIsFinal, WrongCommittee, ZeroNextCommittee, RoundTooLow,
    /// QuorumNotReached, RewardDecreased, BudgetExceeded, and what the verifier reverts with.
    function correct(EpochRoot calldata r, bytes calldata committee, bytes calldata signatures) external;

    /// @notice Pays a dispute's bond: back when the root was replaced or undone, to the treasury when it is final. Anyone
    /// may. Apart from `correct`, so that no recipient can stop a correction.
    /// @dev Reverts with NoDispute, EpochNotFinal.
    function closeDispute(uint64 epoch) external;

    /// @notice Adds `perEpoch` to the budgets of `epochs` epochs, at the earliest two ahead, so that those who aggregate
    /// know a budget before its epoch begins.
    /// @dev Reverts with BadRange, Retired, FundedTooLate, Funds.WrongAmountReceived.
    function fund(uint64 firstEpoch, uint64 epochs, uint128 perEpoch) external;

    /// @notice Returns what the next epochs to be reclaimed left of their budgets to the unallocated funds; anyone may. The
    /// last of them must be final. When the ring has lost it, the amount comes with a later call.
    /// @dev Reverts with Retired, BadRange, EpochNotFinal.
    /// @param epochs how many
    function reclaim(uint64 epochs) external;

    /// @notice Makes budgets of unallocated funds, as `fund` does of new money. Governor.
    /// @dev Reverts with Unauthorized, BadRange, Retired, FundedTooLate, InsufficientUnallocated.
    function allocate(uint64 firstEpoch, uint64 epochs, uint128 perEpoch) external;

    /// @notice Ends a network that nobody signs for any more: all places of the ring but the last root's are void. What
    /// nobody has earned goes to the treasury; what was earned stays claimable for ever. Governor.
    /// @dev Reverts with Unauthorized, Retired, NotAbandoned, EpochNotFinal.
    function retire() external;

    /// @notice Sends what final epochs up to this one have earned, and was not sent before, to the contract of rewards.
    /// Anyone may; that contract does, by the first claim of an epoch.
    /// @dev Reverts with EpochNotPosted, EpochNotFinal.
    /// @return root of the epoch
    /// @return newest nothing more was sent for another epoch
    function release(uint64 epoch) external returns (bytes32 root, bool newest);

    /// @notice Refuses new risks for a time, which can be shortened to nothing. Guardian.
    /// @dev Reverts with Unauthorized, DurationOutOfBounds, TooSoon.
    function pause(uint64 durationMs) external;

    /// @notice Ends a pause early. Guardian.
    /// @dev Reverts with Unauthorized.
    function unpause() external;

    /// @notice Stops the clock of all windows from now on for a time. Guardian.
    /// @dev Reverts with Unauthorized, DurationOutOfBounds, TooSoon.
    function extendWindows(uint64 durationMs) external;

    /// @notice The record of a posted epoch of the ring, whose proof leads to `leafHash`; reverts otherwise.
    /// For the contracts that settle leaves.
    /// @dev Reverts with EpochNotPosted, BadProof.
    function proven(uint64 epoch, bytes32 leafHash, bytes32[] calldata proof) external view returns (EpochRecord memory);

    /// @notice As the constructor fixed them: times in milliseconds, the bond in the token's smallest unit.
    function parameters() external view returns (Parameters memory);
    /// @notice SHA-256 of the network's parameters, as `openGenesis` was given it; zero before.
    function networkId() external view returns (bytes32);
    /// @notice The one epoch that can be posted or voided next. Goes back when a correction undoes later epochs.
    function nextEpoch() external view returns (uint64);
    /// @notice The epoch that block time is in; 0 before genesis.
    function currentEpoch() external view returns (uint64);
    /// @notice Hash of the committee that signs the next epoch.
    function committeeHash() external view returns (bytes32);
    /// @notice Sum of the rewards of the last epoch posted; where the next one's begins.
    function cumulativeReward() external view returns (uint128);
    /// @notice Open when the epoch is not in the ring, or was undone by a correction.
    function epochRecord(uint64 epoch) external view returns (EpochRecord memory);
    /// @notice Whether an epoch of the ring is void: what its record says, for less.
    function isVoid(uint64 epoch) external view returns (bool);
    /// @notice Whether an epoch, posted or void, can no longer change. True of every epoch that the ring has lost.
    function isFinal(uint64 epoch) external view returns (bool);
    /// @notice Whether a digest was once in force for an epoch and replaced.
    function wrongDigest(uint64 epoch, bytes32 digest) external view returns (bool);
    /// @notice The latest dispute about an epoch, open or closed; all zero when there was none.
    function disputeOf(uint64 epoch) external view returns (Dispute memory);
    /// @notice All that was ever funded or allocated for an epoch, in the token's smallest unit, whatever it earned of
    /// it.
    function budgetOf(uint64 epoch) external view returns (uint128);
    /// @notice Funds that `allocate` can make budgets of, in the token's smallest unit; `reclaim` adds what epochs
    /// left.
    function unallocated() external view returns (uint128);
    /// @notice All that this contract owes: budgets, rewards that were not released, bonds, unallocated funds.
    function totalHeld() external view returns (uint256);
    /// @notice EIP-712 digest of a root, which a committee signs, for this chain and contract. Checks nothing of the
    /// root.
    function hashRoot(EpochRoot calldata r) external view returns (bytes32);
    /// @notice EIP-712 domain separator of name "Assay", version "2", this chain and this contract.
    function domainSeparator() external view returns (bytes32);
    /// @notice How long the clock of windows has stood still since `atMs`. A window that opened at `atMs` and lasts `d` is
    /// closed from `atMs + d + windowExtensionMs(atMs)` on. Windows anywhere in the network ask this.
    /// @param atMs when the window opened
    function windowExtensionMs(uint64 atMs) external view returns (uint64);
    /// @notice Whether new risks may be taken (registrations, bonds, reservations). Payouts and proofs are never paused.
    function isPaused() external view returns (bool);
    /// @notice Places of the ring.
    function ringSize() external view returns (uint64);
    /// @notice The ERC-20 token of budgets, bonds and rewards. The network's other contracts take it from here.
    function token() external view returns (address);
    /// @notice Gets bonds of disputes that failed, and from `retire` what nobody has earned. The others take it from
    /// here.
    function treasury() external view returns (address);
    /// @notice The only one to `allocate` and `retire`; fixed by the constructor.
    function governor() external view returns (address);
    /// @notice The only one to `pause`, `unpause` and `extendWindows`; fixed by the constructor.
    function guardian() external view returns (address);
    /// @notice Who deployed this contract: the only one to `wire` and `openGenesis`.
    function deployer() external view returns (address);
    /// @notice The `IQuorumVerifier` that checks committees' signatures; fixed by the constructor.
    function verifier() external view returns (address);
    /// @notice Pays providers.
    function rewards() external view returns (address);
    /// @notice The `IAssayStake` that committees come from; zero before `wire`.
    function stake() external view returns (address);
    /// @notice The network's `IAssayNodes`; zero before `wire`.
    function nodes() external view returns (address);
    /// @notice The network's `IAssayReservations`; zero before `wire`.
    function reservations() external view returns (address);
    /// @notice The network's `IAssayFaults`, the only one to slash stake; zero before `wire`.
    function faults() external view returns (address);
}
