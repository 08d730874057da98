// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAssayEpochs} from "./interfaces/IAssayEpochs.sol";
import {IAssayNodes} from "./interfaces/IAssayNodes.sol";
import {IAssayReservations} from "./interfaces/IAssayReservations.sol";
import {NodeLeaf} from "./interfaces/Types.sol";
import {Billing} from "./lib/Billing.sol";
import {Intervals} from "./lib/Intervals.sol";
import {Funds} from "./Funds.sol";

/// @title The one implementation of IAssayReservations; every rule is described there.
/// @dev Storage layout: 0 parameters (one slot) · 1 totalHeld · 2 reservations, id - 1 as index · 3 offers by node ·
/// 4 intervals by node · 5 schedules by class · 6 balances. Not upgradeable.
contract AssayReservations is IAssayReservations, ReentrancyGuardTransient {
    using Intervals for Intervals.Interval[];

    uint8 private constant NODE_LEAF = 1;
    uint256 private constant MAX_TIERS = 8;

    /// @notice Says which roots are posted and final, and names token and treasury.
    IAssayEpochs public immutable EPOCHS;
    /// @notice Says who owns a node and whether it can be reserved; the only one to deposit shares of slashes.
    IAssayNodes public immutable NODES;
    IERC20 private immutable TOKEN;
    address private immutable TREASURY;
    address public immutable override governor;
    uint64 private immutable GENESIS_MS;
    uint64 private immutable EPOCH_MS;

    Parameters private _parameters;
    uint256 public override totalHeld;
    Reservation[] private _reservations;
    mapping(bytes32 => Offer) private _offers;
    mapping(bytes32 => Intervals.Interval[]) private _intervals;
    mapping(bytes32 => CreditTier[]) private _schedules;
    mapping(address => uint128) public override balanceOf;

    /// @notice Fixes everything but the schedules of classes.
    /// @dev Deployed after `epochs` and `nodes`. Reverts: BadParameter.
    constructor(IAssayEpochs epochs, IAssayNodes nodes, address governor_, Parameters memory p) {
        IAssayEpochs.Parameters memory network = epochs.parameters();
        uint256 untilFinalMs =
            uint256(network.voidAfterMs) + network.disputeWindowMs + network.disputeExtensionMs + network.epochMs;
        if (p.slotsPerEpoch == 0) revert BadParameter("slotsPerEpoch", 1, 0);
        if (p.undecidedPpm > Billing.PPM) revert BadParameter("undecidedPpm", Billing.PPM, p.undecidedPpm);
        if (p.periodEpochs == 0) revert BadParameter("periodEpochs", 1, 0);
        if (p.maxAheadEpochs == 0) revert BadParameter("maxAheadEpochs", 1, 0);
        uint256 refundMs = uint256(p.refundEpochs) * network.epochMs;
        if (refundMs < untilFinalMs) revert BadParameter("refundEpochs", untilFinalMs, refundMs);
        if (governor_ == address(0)) revert BadParameter("governor", 1, 0);
        EPOCHS = epochs;
        NODES = nodes;
        TOKEN = IERC20(epochs.token());
        TREASURY = epochs.treasury();
        governor = governor_;
        GENESIS_MS = network.genesisUnixMs;
        EPOCH_MS = network.epochMs;
        _parameters = p;
    }

    // -------------------------------------------------------------------------------------------------------- provider

    function offer(bytes32 node, uint128 pricePerEpoch, uint32 minEpochs, uint32 maxEpochs, bool open)
        external
        override
    {
        address owner = NODES.account(node).owner;
        if (owner == address(0) || owner != msg.sender) revert OnlyOwner(node, owner, msg.sender);
        bool badLength = minEpochs == 0 || minEpochs > maxEpochs || maxEpochs > _parameters.maxAheadEpochs;
        if (badLength || pricePerEpoch == 0 || pricePerEpoch > type(uint96).max) {
            revert BadOffer(pricePerEpoch, minEpochs, maxEpochs);
        }
        _offers[node] = Offer(msg.sender, minEpochs, maxEpochs, open, pricePerEpoch);
        emit Offered(node, msg.sender, pricePerEpoch, minEpochs, maxEpochs, open);
    }

    // --------------------------------------------------------------------------------------------------------- Builder

    function reserve(bytes32 node, uint64 firstEpoch, uint64 epochs, uint128 maxPricePerEpoch)
        external
        override
        nonReentrant
        returns (uint256 id)
    {
        if (EPOCHS.isPaused()) revert Paused();
        Offer memory o = _offers[node];
        if (!o.open || o.provider != NODES.account(node).owner) revert NotOffered(node);
        if (!NODES.isReservable(node)) revert NotReservable(node);
        if (o.pricePerEpoch > maxPricePerEpoch) revert PriceTooHigh(maxPricePerEpoch, o.pricePerEpoch);
        if (epochs < o.minEpochs || epochs > o.maxEpochs) revert WrongLength(o.minEpochs, o.maxEpochs, epochs);
        bytes32 classDigest = NODES.classOf(node);
        if (_schedules[classDigest].length == 0) revert NoSchedule(classDigest);
        id = _reservations.length + 1;
        uint64 current = _occupy(node, firstEpoch, epochs, id);
        uint128 rent = o.pricePerEpoch * epochs;
        Reservation storage r = _reservations.push();
        r.node = node;
        r.classDigest = classDigest;
        r.builder = msg.sender;
        r.provider = o.provider;
        r.firstEpoch = firstEpoch;
        r.endEpoch = firstEpoch + epochs;
        r.settledThrough = firstEpoch;
        r.madeEpoch = uint56(current);
        r.pricePerEpoch = o.pricePerEpoch;
        r.held = rent;
        totalHeld += rent;
        emit Reserved(id, node, msg.sender, o.provider, firstEpoch, firstEpoch + epochs, o.pricePerEpoch);
        Funds.pull(TOKEN, msg.sender, rent);
    }

    function cancel(uint256 id) external override {
        Reservation storage r = _open(id);
        if (msg.sender != r.builder) revert OnlyBuilder(id, r.builder, msg.sender);
        if (r.madeEpoch == uint56(EPOCHS.currentEpoch())) revert MadeNow(id, r.madeEpoch);
        uint64 end = _cancelledEnd(r);
        if (end >= r.endEpoch) revert NothingToCancel(id, r.endEpoch);
        uint128 toProvider = _cancelledRent(r, end);
        uint128 back = r.pricePerEpoch * (r.endEpoch - end) - toProvider;
        r.endEpoch = end;
        _intervals[r.node].shorten(r.firstEpoch, end);
        r.held -= toProvider;
        balanceOf[r.provider] += toProvider;
        _credit(r, back);
        emit Cancelled(id, end, back, toProvider);
    }

    // ---------------------------------------------------------------------------------------------------------- anyone

    function start(uint256 id, NodeLeaf calldata leaf, bytes32[] calldata proof) external override {
        Reservation storage r = _open(id);
        if (r.started) revert AlreadyStarted(id);
        if (leaf.epoch >= r.firstEpoch) revert LeafOutside(0, r.firstEpoch - 1, leaf.epoch);
        _checkLeaf(r, leaf, proof);
        _requireVoid(leaf.epoch + 1, r.firstEpoch, leaf.epoch);
        r.started = true;
        r.upSlots = leaf.cumulativeUpSlots;
        r.downSlots = leaf.cumulativeDownSlots;
        emit Started(id, leaf.epoch, leaf.cumulativeUpSlots, leaf.cumulativeDownSlots);
    }

    function settle(uint256 id, NodeLeaf calldata leaf, bytes32[] calldata proof) external override {
        Reservation storage r = _open(id);
        if (!r.started) revert NotStarted(id);
        uint64 from = r.settledThrough;
        if (leaf.epoch < from || leaf.epoch >= r.endEpoch) revert LeafOutside(from, r.endEpoch - 1, leaf.epoch);
        _checkLeaf(r, leaf, proof);
        uint64 end = _periodEnd(r);
        if (leaf.epoch >= end) _requireVoid(end, leaf.epoch, leaf.epoch);
        else _requireVoid(leaf.epoch + 1, r.endEpoch, leaf.epoch);
        // what is void at the end belongs to the last period
        uint64 through = leaf.epoch < end ? r.endEpoch : leaf.epoch + 1;
        _bill(id, r, leaf, through);
    }

    function refund(uint256 id) external override {
        Reservation storage r = _open(id);
        uint256 startMs = GENESIS_MS + uint256(r.endEpoch) * EPOCH_MS;
        uint256 atMs =
            startMs + uint256(_parameters.refundEpochs) * EPOCH_MS + EPOCHS.windowExtensionMs(uint64(startMs));
        if (_nowMs() < atMs) revert RefundTooEarly(id, atMs, _nowMs());
        r.settledThrough = r.endEpoch;
        uint128 amount = r.held;
        _credit(r, amount);
        emit Refunded(id, amount);
    }

    function withdraw(address account) external override nonReentrant {
        uint128 amount = balanceOf[account];
        if (amount == 0) revert NothingToWithdraw(account);
        balanceOf[account] = 0;
        totalHeld -= amount;
        emit Withdrawn(account, amount);
        SafeERC20.safeTransfer(TOKEN, account, amount);
    }

    function depositSlash(bytes32 node, uint64 epoch, uint128 amount) external override nonReentrant {
        if (msg.sender != address(NODES)) revert OnlyNodes(address(NODES), msg.sender);
        address to = reservedBy(node, epoch);
        if (to == address(0)) to = TREASURY;
        emit SlashShare(node, epoch, to, amount);
        _deposit(to, amount);
    }

    function deposit(address to, uint128 amount) external override nonReentrant {
        if (msg.sender != address(NODES)) revert OnlyNodes(address(NODES), msg.sender);
        emit Deposited(to, amount);
        _deposit(to, amount);
    }

    // -------------------------------------------------------------------------------------------------------- governor

    function setSchedule(bytes32 classDigest, CreditTier[] calldata tiers) external override {
        if (msg.sender != governor) revert OnlyGovernor(governor, msg.sender);
        if (_schedules[classDigest].length != 0) revert ScheduleAlreadySet(classDigest);
        if (tiers.length == 0 || tiers.length > MAX_TIERS) revert BadTierCount(MAX_TIERS, tiers.length);
        uint32 above = uint32(Billing.PPM) + 1;
        uint16 least = 0;
        for (uint256 i; i < tiers.length; ++i) {
            CreditTier calldata t = tiers[i];
            if (t.belowPpm == 0 || t.belowPpm >= above || t.creditBps <= least || t.creditBps > Billing.BPS) {
                revert BadTier(i, t.belowPpm, t.creditBps);
            }
            (above, least) = (t.belowPpm, t.creditBps);
            _schedules[classDigest].push(t);
        }
        emit ScheduleSet(classDigest, tiers);
    }

    // ----------------------------------------------------------------------------------------------------------- views

    function parameters() external view override returns (Parameters memory) {
        return _parameters;
    }

    function offerOf(bytes32 node) external view override returns (Offer memory) {
        return _offers[node];
    }

    function reservationCount() external view override returns (uint256) {
        return _reservations.length;
    }

    function reservation(uint256 id) external view override returns (Reservation memory) {
        return _known(id);
    }

    function reservedBy(bytes32 node, uint64 epoch) public view override returns (address) {
        uint256 id = _intervals[node].idAt(epoch);
        return id == 0 ? address(0) : _reservations[id - 1].builder;
    }

    function reservedUntil(bytes32 node) external view override returns (uint64) {
        return _intervals[node].lastEnd();
    }

    function nextPeriodEnd(uint256 id) external view override returns (uint64) {
        return _periodEnd(_open(id));
    }

    function schedule(bytes32 classDigest) external view override returns (CreditTier[] memory) {
        return _schedules[classDigest];
    }

    // --------------------------------------------------------------------------------------------------------- helpers

    function _nowMs() private view returns (uint256) {
        return block.timestamp * 1000;
    }

    function _known(uint256 id) private view returns (Reservation storage) {
        if (id == 0 || id > _reservations.length) revert UnknownReservation(id);
        return _reservations[id - 1];
    }

    /// @dev A reservation with something left to settle. Reverts: UnknownReservation, ReservationOver.
    function _open(uint256 id) private view returns (Reservation storage r) {
        r = _known(id);
        if (r.settledThrough >= r.endEpoch) revert ReservationOver(id);
    }

    /// @dev Reverts: WrongStart, Overlap, TooManyUpcoming.
    function _occupy(bytes32 node, uint64 first, uint64 epochs, uint256 id) private returns (uint64 current) {
        current = EPOCHS.currentEpoch();
        uint64 latest = current + _parameters.maxAheadEpochs;
        if (first <= current || first > latest) revert WrongStart(current + 1, latest, first);
        _intervals[node].insert(Intervals.Interval(first, first + epochs, uint128(id)), current);
    }

    /// @dev End of the billing period that runs, or is the first to be spared, after the notice.
    function _cancelledEnd(Reservation storage r) private view returns (uint64) {
        uint64 cut = EPOCHS.currentEpoch() + 1 + _parameters.noticeEpochs;
        if (cut <= r.firstEpoch) return r.firstEpoch; // equivalent: none is spared of nothing either
        uint64 n = _parameters.periodEpochs;
        // slither-disable-next-line divide-before-multiply: rounds up to whole periods
        return r.firstEpoch + (cut - r.firstEpoch + n - 1) / n * n;
    }

    /// @dev What a cancellation to `end` owes the provider: where no period stays that is paid for when it is over, the rent
    /// of the first one. Nothing where the provider can be reserved no more.
    function _cancelledRent(Reservation storage r, uint64 end) private view returns (uint128) {
        if (end != r.firstEpoch) return 0;
        if (!NODES.isReservable(r.node) || NODES.account(r.node).owner != r.provider) return 0;
        uint64 n = _parameters.periodEpochs;
        uint64 length = r.endEpoch - r.firstEpoch;
        return r.pricePerEpoch * (length < n ? length : n); // equivalent: equal ones are either
    }

    /// @dev Last epoch of the billing period that is to be settled next.
    function _periodEnd(Reservation storage r) private view returns (uint64) {
        uint64 n = _parameters.periodEpochs;
        uint64 end = r.firstEpoch + ((r.settledThrough - r.firstEpoch) / n + 1) * n;
        return (end < r.endEpoch ? end : r.endEpoch) - 1; // equivalent: equal ones are either
    }

    /// @dev Reverts: WrongLeafType, WrongNode, EpochNotFinal, and what `proven` reverts with.
    function _checkLeaf(Reservation storage r, NodeLeaf calldata leaf, bytes32[] calldata proof) private view {
        if (leaf.leafType != NODE_LEAF) revert WrongLeafType(NODE_LEAF, leaf.leafType);
        if (leaf.node != r.node) revert WrongNode(r.node, leaf.node);
        // slither-disable-next-line unused-return: called for its revert
        EPOCHS.proven(leaf.epoch, keccak256(bytes.concat(keccak256(abi.encode(leaf)))), proof);
        if (!EPOCHS.isFinal(leaf.epoch)) revert EpochNotFinal(leaf.epoch);
    }

    /// @dev All epochs of [from, end) are void; of no more than the ring keeps is that known. Reverts: WrongPeriodEnd.
    function _requireVoid(uint64 from, uint64 end, uint64 actual) private view {
        for (uint64 e = from; e < end; ++e) {
            if (!EPOCHS.isVoid(e)) revert WrongPeriodEnd(e, actual);
        }
    }

    /// @dev Splits the rent of [settledThrough, through) between provider and Builder.
    function _bill(uint256 id, Reservation storage r, NodeLeaf calldata leaf, uint64 through) private {
        uint64 from = r.settledThrough;
        // sums of final roots do not fall; if they did, nothing was decided
        Billing.Period memory p = Billing.Period(
            through - from, _above(r.upSlots, leaf.cumulativeUpSlots), _above(r.downSlots, leaf.cumulativeDownSlots)
        );
        uint128 rent = r.pricePerEpoch * p.epochs;
        (uint128 due, uint128 credit) =
            Billing.bill(rent, p, _parameters.slotsPerEpoch, _parameters.undecidedPpm, _schedules[r.classDigest]);
        r.settledThrough = through;
        r.upSlots = leaf.cumulativeUpSlots;
        r.downSlots = leaf.cumulativeDownSlots;
        uint128 toProvider = due - credit;
        address provider = NODES.providerAt(r.node, leaf.epoch);
        if (provider == address(0)) provider = r.provider;
        r.held -= toProvider;
        balanceOf[provider] += toProvider;
        _credit(r, rent - toProvider);
        emit Settled(id, provider, from, through, p.upSlots, p.downSlots, toProvider, credit, rent - due);
    }

    /// @dev How far `to` is above `from`, if it is.
    function _above(uint64 from, uint64 to) private pure returns (uint64) {
        if (to <= from) return 0; // equivalent: equal ones have no distance
        return to - from;
    }

    /// @dev Takes the caller's tokens for an account. Reverts: WrongAmountReceived.
    function _deposit(address to, uint128 amount) private {
        balanceOf[to] += amount;
        totalHeld += amount;
        Funds.pull(TOKEN, msg.sender, amount);
    }

    /// @dev Held rent that becomes the Builder's again.
    function _credit(Reservation storage r, uint128 amount) private {
        r.held -= amount;
        r.credited += amount;
        balanceOf[r.builder] += amount;
    }
}
