// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NodeLeaf} from "./Types.sol";

/// @title Builders reserve nodes; rent streams, a missed SLA pays itself.
/// @notice Holds Builders' prepaid rent, and what anybody has to get from here. A whole node is reserved, by one Builder
/// for an epoch.
///
/// Rent is counted by billing period: epochs [first + k·N, first + (k+1)·N), the last one up to the end. A period is
/// settled by the node leaf of its last epoch, once final, against the leaf of the epoch before it: the slots between
/// decide. When the last epoch is void, the period goes on to the first epoch that is not; at the reservation's end, it
/// goes back to the last that is not. So nobody can choose a period that suits him. `Billing` has the arithmetic, with
/// worked numbers.
interface IAssayReservations {
    /// @notice Network parameters, fixed for ever by the constructor.
    /// @param slotsPerEpoch probes' slots in an epoch
    /// @param undecidedPpm share of a period's slots that are paid for without a decision
    /// @param periodEpochs length of a billing period
    /// @param maxAheadEpochs how far ahead a reservation may begin, and how long it may be
    /// @param noticeEpochs epochs after the current one that a cancellation cannot free
    /// @param refundEpochs after a reservation's end: what nobody has settled by then goes back to the Builder
    struct Parameters {
        uint32 slotsPerEpoch;
        uint32 undecidedPpm;
        uint32 periodEpochs;
        uint32 maxAheadEpochs;
        uint32 noticeEpochs;
        uint32 refundEpochs;
    }

    /// @notice One step of a credit schedule: below this availability, this share of the rent due is credited.
    struct CreditTier {
        uint32 belowPpm;
        uint16 creditBps;
    }

    /// @notice What a provider offers a node for. An offer ends with its provider's ownership.
    struct Offer {
        address provider;
        uint32 minEpochs;
        uint32 maxEpochs;
        bool open;
        uint128 pricePerEpoch;
    }

    /// @notice A reservation of [firstEpoch, endEpoch); an earlier end is a cancellation's.
    /// @param settledThrough first epoch that is not settled yet
    /// @param upSlots the node's cumulative up slots before `settledThrough`, once started
    /// @param downSlots the same for down slots
    /// @param started whether `upSlots` and `downSlots` are known
    /// @param madeEpoch the epoch in which it was made
    /// @param held prepaid rent that is nobody's yet: price × (endEpoch - settledThrough)
    /// @param credited what went back to the Builder so far: credits, undecided slots, refunds
    struct Reservation {
        bytes32 node;
        bytes32 classDigest;
        address builder;
        uint64 firstEpoch;
        address provider;
        uint64 endEpoch;
        uint64 settledThrough;
        uint64 upSlots;
        uint64 downSlots;
        bool started;
        uint56 madeEpoch;
        uint128 pricePerEpoch;
        uint128 held;
        uint128 credited;
    }

    /// @notice The governor set a class's credit schedule; it never changes.
    event ScheduleSet(bytes32 indexed classDigest, CreditTier[] tiers);
    /// @notice The owner offers its node on these terms, in the token's smallest unit an epoch, or no longer when not
    /// `open`.
    event Offered(
        bytes32 indexed node,
        address indexed provider,
        uint128 pricePerEpoch,
        uint32 minEpochs,
        uint32 maxEpochs,
        bool open
    );
    /// @notice `builder` has the node for epochs [firstEpoch, endEpoch), and paid `pricePerEpoch`, in the token's
    /// smallest unit, for each of them.
    event Reserved(
        uint256 indexed id,
        bytes32 indexed node,
        address indexed builder,
        address provider,
        uint64 firstEpoch,
        uint64 endEpoch,
        uint128 pricePerEpoch
    );
    /// @notice The node's slots before the reservation are known: its first period can be settled.
    event Started(uint256 indexed id, uint64 epoch, uint64 upSlots, uint64 downSlots);
    /// @notice Rent of [fromEpoch, endEpoch): what the provider got, the SLA credit, and what undecided slots gave back.
    event Settled(
        uint256 indexed id,
        address indexed provider,
        uint64 fromEpoch,
        uint64 endEpoch,
        uint64 upSlots,
        uint64 downSlots,
        uint128 toProvider,
        uint128 credit,
        uint128 undecided
    );
    /// @notice The Builder gave up all epochs from `endEpoch` on. Of their rent `refunded` was added to its balance, and
    /// `toProvider` to that of the reservation's provider.
    event Cancelled(uint256 indexed id, uint64 endEpoch, uint128 refunded, uint128 toProvider);
    /// @notice `refundEpochs` after the end: all rent that nobody had settled, `amount`, was added to the Builder's
    /// balance.
    event Refunded(uint256 indexed id, uint128 amount);
    /// @notice The Builder's share of a slash that a leaf of `epoch` asked for was added to the balance of `to`: who
    /// had the node reserved then, or else the treasury.
    event SlashShare(bytes32 indexed node, uint64 indexed epoch, address indexed to, uint128 amount);
    /// @notice What AssayNodes had to pay to `to`, and the token did not let it receive, was added to its balance.
    event Deposited(address indexed to, uint128 amount);
    /// @notice All of an account's balance, `amount` in the token's smallest unit, was paid to it.
    event Withdrawn(address indexed account, uint128 amount);

    /// @notice The constructor's `name` is outside of what it can be. Of `refundEpochs`, both numbers are in
    /// milliseconds.
    error BadParameter(string name, uint256 limit, uint256 actual);
    /// @notice Schedules are set by the governor, `expected`, only.
    error OnlyGovernor(address expected, address actual);
    /// @notice Shares of slashes, and what an account could not receive, come from AssayNodes, `expected`, only.
    error OnlyNodes(address expected, address actual);
    /// @notice The caller, `actual`, is not the node's confirmed owner, `expected`; that is zero when it has none.
    error OnlyOwner(bytes32 node, address expected, address actual);
    /// @notice A reservation is cancelled by who made it, `expected`, only.
    error OnlyBuilder(uint256 id, address expected, address actual);
    /// @notice The guardian has paused the network: nothing can be reserved.
    error Paused();
    /// @notice The class has a credit schedule, and it never changes.
    error ScheduleAlreadySet(bytes32 classDigest);
    /// @notice The node's class has no credit schedule yet: its nodes cannot be reserved.
    error NoSchedule(bytes32 classDigest);
    /// @notice Tiers must be 1 to 8, strictly descending in `belowPpm` (at most 1,000,000), ascending in `creditBps`.
    error BadTier(uint256 index, uint32 belowPpm, uint16 creditBps);
    /// @notice A schedule has 1 to `max` tiers; this one has `actual`.
    error BadTierCount(uint256 max, uint256 actual);
    /// @notice The price is 0 or above 96 bits, or `minEpochs` is 0 or above `maxEpochs`, or that above `maxAheadEpochs`.
    error BadOffer(uint128 pricePerEpoch, uint32 minEpochs, uint32 maxEpochs);
    /// @notice The node has no open offer by its present owner.
    error NotOffered(bytes32 node);
    /// @notice The node is neither Active nor Warned, or its owner leaves or offers it to another.
    error NotReservable(bytes32 node);
    /// @notice The offer asks for `actual` an epoch, more than the caller's limit, `expected`; in the token's smallest
    /// unit.
    error PriceTooHigh(uint128 expected, uint128 actual);
    /// @notice A reservation begins after the current epoch, and not too far ahead: from `earliest` through `latest`.
    error WrongStart(uint64 earliest, uint64 latest, uint64 actual);
    /// @notice The node is offered for `least` to `most` epochs at a time, not for `actual`.
    error WrongLength(uint64 least, uint64 most, uint64 actual);
    /// @notice No reservation has this id; ids begin at 1.
    error UnknownReservation(uint256 id);
    /// @notice The node's slots before the reservation are recorded: `start` is once.
    error AlreadyStarted(uint256 id);
    /// @notice The node's slots before the reservation are not recorded: `start` comes first.
    error NotStarted(uint256 id);
    /// @notice Every epoch of the reservation was settled, refunded or cancelled.
    error ReservationOver(uint256 id);
    /// @notice The leaf is not a node leaf, whose type is `expected`.
    error WrongLeafType(uint8 expected, uint8 actual);
    /// @notice The leaf is about `actual`, the reservation about `expected`.
    error WrongNode(bytes32 expected, bytes32 actual);
    /// @notice The leaf's root can still be replaced: rent is settled by leaves of final epochs only.
    error EpochNotFinal(uint64 epoch);
    /// @notice The leaf's epoch is not from `first` through `last`: before the reservation to start it, of its
    /// unsettled epochs to settle it.
    error LeafOutside(uint64 first, uint64 last, uint64 actual);
    /// @notice The leaf is not of the epoch that ends the period: this one between them is not void.
    error WrongPeriodEnd(uint64 expected, uint64 actual);
    /// @notice The reservation was made in this epoch, `epoch`, and is not cancelled in it.
    error MadeNow(uint256 id, uint64 epoch);
    /// @notice No billing period of the reservation begins after the notice: it stays as it is, until `endEpoch`.
    error NothingToCancel(uint256 id, uint64 endEpoch);
    /// @notice What is unsettled is refunded from `atMs` on, in Unix milliseconds, as the windows are extended so far.
    error RefundTooEarly(uint256 id, uint256 atMs, uint256 nowMs);
    /// @notice The account has no balance here.
    error NothingToWithdraw(address account);

    // -------------------------------------------------------------------------------------------------------- provider

    /// @notice Offers a node, or changes or closes an offer. What is reserved already keeps its price.
    /// @param minEpochs shortest reservation: short periods make dear credits
    /// @param maxEpochs longest one, `maxAheadEpochs` at most: who comes after the owner is bound by it for no longer
    /// @dev Reverts: OnlyOwner, BadOffer.
    function offer(bytes32 node, uint128 pricePerEpoch, uint32 minEpochs, uint32 maxEpochs, bool open) external;

    // --------------------------------------------------------------------------------------------------------- Builder

    /// @notice Reserves the whole node for epochs [firstEpoch, firstEpoch + epochs) at its offer's price, prepaid.
    /// `firstEpoch` is later than the current one: nobody reserves what he already knows.
    /// @param maxPricePerEpoch reverts when the offer has become dearer
    /// @return id of the reservation, from 1
    /// @dev Reverts: Paused, NotOffered, NotReservable, NoSchedule, PriceTooHigh, WrongLength, WrongStart, Overlap,
    /// TooManyUpcoming, WrongAmountReceived.
    function reserve(bytes32 node, uint64 firstEpoch, uint64 epochs, uint128 maxPricePerEpoch)
        external
        returns (uint256 id);

    /// @notice The Builder gives up the billing periods that have not begun `noticeEpochs` from now; their rent goes back
    /// to it. A period under way stays whole, or its credit could be chosen by cancelling. Not in the epoch in which it was
    /// made: records are kept for ever, so a node has no more of them than it can have upcoming in each epoch.
    ///
    /// A reservation costs one billing period at least: when all of it is given up, the rent of its first period, or of all
    /// of it when that is shorter, is the provider's at once. Otherwise nodes could be kept from everybody for nothing. All
    /// goes back when the provider is the reason: the node is suspended or removed, its owner leaves or offers it to another,
    /// or it has another owner.
    /// @dev Reverts: UnknownReservation, OnlyBuilder, ReservationOver, MadeNow, NothingToCancel.
    function cancel(uint256 id) external;

    // ---------------------------------------------------------------------------------------------------------- anyone

    /// @notice Records the node's slots before a reservation, by the leaf of the last epoch before it that is not void.
    /// @dev Reverts: UnknownReservation, AlreadyStarted, ReservationOver, LeafOutside, WrongLeafType, WrongNode,
    /// EpochNotFinal, WrongPeriodEnd, and what `IAssayEpochs.proven` reverts with.
    function start(uint256 id, NodeLeaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice Settles the billing period that ends with the leaf's epoch: rent to the provider, credit to the Builder.
    /// @dev Reverts: UnknownReservation, NotStarted, ReservationOver, LeafOutside, WrongLeafType, WrongNode,
    /// EpochNotFinal, WrongPeriodEnd, and what `IAssayEpochs.proven` reverts with.
    function settle(uint256 id, NodeLeaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice `refundEpochs` after its end, rent that nobody has settled goes back to the Builder.
    /// @dev Reverts: UnknownReservation, ReservationOver, RefundTooEarly.
    function refund(uint256 id) external;

    /// @notice Pays an account what it has here: rent, credits, refunds, shares of slashes, and what AssayNodes could not pay
    /// it. Anyone may; the account gets it.
    /// @dev Reverts: NothingToWithdraw.
    function withdraw(address account) external;

    /// @notice Takes a slash's Builder share and credits it to whoever had the node reserved in that epoch, or to the
    /// treasury when nobody had. Only by AssayNodes.
    /// @dev Reverts: OnlyNodes, WrongAmountReceived.
    function depositSlash(bytes32 node, uint64 epoch, uint128 amount) external;

    /// @notice Takes what AssayNodes had to pay to an account that the token lets receive nothing, and keeps it for
    /// `withdraw`: a blocked treasury holds up no release, and a blocked provider nobody who waits for its exit. Only by
    /// AssayNodes.
    /// @dev Reverts: OnlyNodes, WrongAmountReceived.
    function deposit(address to, uint128 amount) external;

    // -------------------------------------------------------------------------------------------------------- governor

    /// @notice Credit schedule of a class; once, for ever. A usual one: 10 / 30 / 100 % below 99.5 / 99 / 95 %.
    /// @dev Reverts: OnlyGovernor, ScheduleAlreadySet, BadTierCount, BadTier.
    function setSchedule(bytes32 classDigest, CreditTier[] calldata tiers) external;

    // ----------------------------------------------------------------------------------------------------------- views

    /// @notice As the constructor fixed them; lengths in epochs, `undecidedPpm` in parts per million.
    function parameters() external view returns (Parameters memory);
    /// @notice The only one to set credit schedules; fixed by the constructor.
    function governor() external view returns (address);
    /// @notice The node's latest offer, also when closed or by an owner before; all zero when there was none.
    function offerOf(bytes32 node) external view returns (Offer memory);
    /// @notice Number of reservations ever made, cancelled ones too: ids are 1 to this.
    function reservationCount() external view returns (uint256);
    /// @notice A reservation by id, also one that is over. Reverts with UnknownReservation.
    function reservation(uint256 id) external view returns (Reservation memory);
    /// @notice Who has the node reserved in an epoch, or zero.
    function reservedBy(bytes32 node, uint64 epoch) external view returns (address);
    /// @notice First epoch from which no reservation of the node exists; 0 when it never had one.
    function reservedUntil(bytes32 node) external view returns (uint64);
    /// @notice The epoch whose leaf settles a reservation's next period, unless it is void.
    function nextPeriodEnd(uint256 id) external view returns (uint64);
    /// @notice What `withdraw` would pay the account now, in the token's smallest unit; 0 when it has nothing here.
    function balanceOf(address account) external view returns (uint128);
    /// @notice The class's tiers, highest `belowPpm` first; empty when none were set.
    function schedule(bytes32 classDigest) external view returns (CreditTier[] memory);
    /// @notice Sum of all held rent and all balances: what this contract owes.
    function totalHeld() external view returns (uint256);
}
