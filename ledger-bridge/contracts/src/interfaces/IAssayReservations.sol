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
    /// @param maxAheadEpochs how far ahead a reservation may begin
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
    /// @param held prepaid rent that is still here: price × (endEpoch - settledThrough)
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
        uint128 pricePerEpoch;
        uint128 held;
        uint128 credited;
    }

    event ScheduleSet(bytes32 indexed classDigest, CreditTier[] tiers);
    event Offered(
        bytes32 indexed node,
        address indexed provider,
        uint128 pricePerEpoch,
        uint32 minEpochs,
        uint32 maxEpochs,
        bool open
    );
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
    event Cancelled(uint256 indexed id, uint64 endEpoch, uint128 refunded);
    event Refunded(uint256 indexed id, uint128 amount);
    event SlashShare(bytes32 indexed node, uint64 indexed epoch, address indexed to, uint128 amount);
    event Withdrawn(address indexed account, uint128 amount);

    error BadParameter(string name, uint256 limit, uint256 actual);
    error OnlyGovernor(address expected, address actual);
    error OnlyNodes(address expected, address actual);
    error OnlyOwner(bytes32 node, address expected, address actual);
    error OnlyBuilder(uint256 id, address expected, address actual);
    error Paused();
    error ScheduleAlreadySet(bytes32 classDigest);
    error NoSchedule(bytes32 classDigest);
    /// @notice Tiers must be 1 to 8, strictly descending in `belowPpm` (at most 1,000,000), ascending in `creditBps`.
    error BadTier(uint256 index, uint32 belowPpm, uint16 creditBps);
    error BadTierCount(uint256 max, uint256 actual);
    error BadOffer(uint128 pricePerEpoch, uint32 minEpochs, uint32 maxEpochs);
    error NotOffered(bytes32 node);
    error NotReservable(bytes32 node);
    error PriceTooHigh(uint128 expected, uint128 actual);
    error WrongStart(uint64 earliest, uint64 latest, uint64 actual);
    error WrongLength(uint64 least, uint64 most, uint64 actual);
    error UnknownReservation(uint256 id);
    error AlreadyStarted(uint256 id);
    error NotStarted(uint256 id);
    error ReservationOver(uint256 id);
    error WrongLeafType(uint8 expected, uint8 actual);
    error WrongNode(bytes32 expected, bytes32 actual);
    error EpochNotFinal(uint64 epoch);
    error LeafOutside(uint64 first, uint64 last, uint64 actual);
    /// @notice The leaf is not of the epoch that ends the period: this one between them is not void.
    error WrongPeriodEnd(uint64 expected, uint64 actual);
    error TooManyVoidEpochs(uint256 max, uint256 actual);
    error NothingToCancel(uint256 id, uint64 endEpoch);
    error RefundTooEarly(uint256 id, uint256 atMs, uint256 nowMs);
    error NothingToWithdraw(address account);

    // -------------------------------------------------------------------------------------------------------- provider

    /// @notice Offers a node, or changes or closes an offer. What is reserved already keeps its price.
    /// @param minEpochs shortest reservation: short periods make dear credits
    /// @dev Reverts: OnlyOwner, BadOffer (price 0 or above 96 bits, or minEpochs 0 or above maxEpochs).
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
    /// to it. A period under way stays whole, or its credit could be chosen by cancelling.
    /// @dev Reverts: UnknownReservation, OnlyBuilder, ReservationOver, NothingToCancel.
    function cancel(uint256 id) external;

    // ---------------------------------------------------------------------------------------------------------- anyone

    /// @notice Records the node's slots before a reservation, by the leaf of the last epoch before it that is not void.
    /// @dev Reverts: UnknownReservation, AlreadyStarted, ReservationOver, LeafOutside, WrongLeafType, WrongNode,
    /// EpochNotFinal, WrongPeriodEnd, TooManyVoidEpochs, and what `IAssayEpochs.proven` reverts with.
    function start(uint256 id, NodeLeaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice Settles the billing period that ends with the leaf's epoch: rent to the provider, credit to the Builder.
    /// @dev Reverts: UnknownReservation, NotStarted, ReservationOver, LeafOutside, WrongLeafType, WrongNode,
    /// EpochNotFinal, WrongPeriodEnd, TooManyVoidEpochs, and what `IAssayEpochs.proven` reverts with.
    function settle(uint256 id, NodeLeaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice `refundEpochs` after its end, rent that nobody has settled goes back to the Builder.
    /// @dev Reverts: UnknownReservation, ReservationOver, RefundTooEarly.
    function refund(uint256 id) external;

    /// @notice Pays an account what it has here: rent, credits, refunds, shares of slashes. Anyone may; the account gets it.
    /// @dev Reverts: NothingToWithdraw.
    function withdraw(address account) external;

    /// @notice Takes a slash's Builder share and credits it to whoever had the node reserved in that epoch, or to the
    /// treasury when nobody had. Only by AssayNodes.
    /// @dev Reverts: OnlyNodes, WrongAmountReceived.
    function depositSlash(bytes32 node, uint64 epoch, uint128 amount) external;

    // -------------------------------------------------------------------------------------------------------- governor

    /// @notice Credit schedule of a class; once, for ever. A usual one: 10 / 30 / 100 % below 99.5 / 99 / 95 %.
    /// @dev Reverts: OnlyGovernor, ScheduleAlreadySet, BadTierCount, BadTier.
    function setSchedule(bytes32 classDigest, CreditTier[] calldata tiers) external;

    // ----------------------------------------------------------------------------------------------------------- views

    function parameters() external view returns (Parameters memory);
    function governor() external view returns (address);
    function offerOf(bytes32 node) external view returns (Offer memory);
    function reservationCount() external view returns (uint256);
    function reservation(uint256 id) external view returns (Reservation memory);
    /// @notice Who has the node reserved in an epoch, or zero.
    function reservedBy(bytes32 node, uint64 epoch) external view returns (address);
    /// @notice First epoch from which no reservation of the node exists; 0 when it never had one.
    function reservedUntil(bytes32 node) external view returns (uint64);
    /// @notice The epoch whose leaf settles a reservation's next period, unless it is void.
    function nextPeriodEnd(uint256 id) external view returns (uint64);
    function balanceOf(address account) external view returns (uint128);
    function schedule(bytes32 classDigest) external view returns (CreditTier[] memory);
    /// @notice Sum of all held rent and all balances: what this contract owes.
    function totalHeld() external view returns (uint256);
}
