// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {Funds} from "./Funds.sol";
import {Ed25519} from "./evidence/Ed25519.sol";
import {IAssayEpochs} from "./interfaces/IAssayEpochs.sol";
import {IAssayStake} from "./interfaces/IAssayStake.sol";
import {IQuorumVerifier} from "./interfaces/IQuorumVerifier.sol";
import {AbsenceLeaf} from "./interfaces/Types.sol";

/// @title The one implementation of IAssayStake; every rule is described there.
/// @dev Storage by slot: 0 `_records` (never erased, so that old committees stay computable; 5 slots and three arrays each) ·
/// 1 `_indexOfKey`, 2 `_indexOfSigner` (1 + index) · 3 `_holders` (16, 8 to a slot: who holds a seat in the latest snapshot) ·
/// 19 `_seatHistory` (128, one trace a seat) · 147 two sums · 148 `operatorOwner` · 149 `isAdmitted`. Histories are keyed by the epoch from which a value counts.
contract AssayStake is IAssayStake, ReentrancyGuardTransient {
    using Checkpoints for Checkpoints.Trace160;
    using Checkpoints for Checkpoints.Trace256;
    using SafeERC20 for IERC20;

    /// @notice How many HyperNodes have a seat, at most.
    uint256 public constant MAX_SEATS = 128;
    /// @notice How many parts of one HyperNode's stake are on their way out at once, at most.
    uint256 public constant MAX_UNBONDINGS = 16;
    /// @notice Bytes of an endpoint, at most.
    uint256 public constant MAX_ENDPOINT = 256;
    /// @notice A leaf of an absence is taken only when it is of one of the last so many epochs with an outcome.
    uint64 public constant ABSENCE_EPOCHS = 4;
    uint16 private constant BPS = 10_000;
    uint8 private constant ABSENCE_LEAF = 4;
    /// @dev ten years: keeps every time far inside uint64
    uint64 private constant MAX_UNBONDING_MS = 315_360_000_000;

    struct Record {
        address signer;
        uint96 unbonding;
        uint96 bonded; // in one slot with what else decides about a seat
        uint64 registeredEpoch;
        uint16 seat; // 0, or 1 + the seat it holds
        bool jailed;
        bool absent;
        uint64 seatedFrom; // the epoch from which on its present seat counts
        bytes32 ed25519Key;
        bytes32 operatorId;
        string endpoint;
        Part[] parts;
        Checkpoints.Trace160 stake;
        Checkpoints.Trace256 seedChainEnd;
    }

    /// @dev of the stake that is on its way out, in order of time
    struct Part {
        uint96 amount;
        uint64 startedAtMs;
    }

    IAssayEpochs private immutable _epochs;
    IERC20 private immutable _token;
    IQuorumVerifier private immutable _verifier;
    address private immutable _treasury;
    uint96 private immutable _minStake;
    uint16 private immutable _operatorCapBps;
    uint64 private immutable _activeAfterEpochs;
    uint64 private immutable _unbondingMs;
    uint16 private immutable _reporterBps;

    Record[] private _records;
    mapping(bytes32 => uint256) private _indexOfKey;
    mapping(address => uint256) private _indexOfSigner;
    uint32[MAX_SEATS] private _holders;
    Checkpoints.Trace160[MAX_SEATS] private _seatHistory;
    uint128 private _totalHeld;
    uint128 private _treasuryOwed;
    mapping(bytes32 => address) public override operatorOwner;
    mapping(bytes32 => mapping(address => bool)) public override isAdmitted;

    /// @param epochs_ the network's contract of epochs: names token, treasury and verifier
    /// @dev Reverts with BadParameters. Unbonding outlasts everything in which a root of the last epoch that the stake
    /// counted in can be replaced.
    constructor(Parameters memory p, IAssayEpochs epochs_) {
        IAssayEpochs.Parameters memory e = epochs_.parameters();
        uint256 least =
            (p.activeAfterEpochs + uint256(1)) * e.epochMs + e.voidAfterMs + e.disputeWindowMs + e.disputeExtensionMs;
        bool good = p.minStake != 0 && p.operatorCapBps != 0 && p.operatorCapBps <= BPS && p.activeAfterEpochs >= 2
            && p.activeAfterEpochs <= 16 && p.unbondingMs >= least && p.unbondingMs <= MAX_UNBONDING_MS
            && p.reporterBps <= BPS / 2;
        if (!good) revert BadParameters();
        _epochs = epochs_;
        _token = IERC20(epochs_.token());
        _verifier = IQuorumVerifier(epochs_.verifier());
        _treasury = epochs_.treasury();
        (_minStake, _operatorCapBps, _activeAfterEpochs) = (p.minStake, p.operatorCapBps, p.activeAfterEpochs);
        (_unbondingMs, _reporterBps) = (p.unbondingMs, p.reporterBps);
    }

    // -------------------------------------------------------------- HyperNodes

    /// @inheritdoc IAssayStake
    function register(
        bytes32 ed25519Key,
        bytes calldata ed25519Proof,
        bytes32 operatorId,
        bytes32 seedChainEnd,
        string calldata endpoint,
        bytes calldata blsKey,
        bytes calldata blsProof,
        uint96 amount
    ) external override nonReentrant {
        _checkNotPaused();
        if (operatorId == 0 || seedChainEnd == 0) revert ZeroId();
        _checkEndpoint(endpoint);
        if (amount < _minStake) revert StakeTooSmall(_minStake, amount);
        if (_indexOfSigner[msg.sender] != 0) revert SignerTaken(msg.sender);
        if (_indexOfKey[ed25519Key] != 0) revert KeyTaken(ed25519Key);
        Ed25519.verify(ed25519Key, possessionMessage(msg.sender), ed25519Proof);
        _joinOperator(operatorId);
        uint256 index = _addRecord(ed25519Key, operatorId, seedChainEnd);
        _records[index].endpoint = endpoint;
        emit HyperNodeRegistered(index, msg.sender, ed25519Key, operatorId, amount);
        _verifier.enrol(msg.sender, blsKey, blsProof);
        _addStake(_records[index], index, amount);
    }

    /// @inheritdoc IAssayStake
    function possessionMessage(address signer) public view override returns (bytes memory) {
        return abi.encodePacked("assay-hypernode-key-v1", block.chainid, address(this), signer);
    }

    /// @inheritdoc IAssayStake
    function admit(address member) external override {
        (Record storage r,) = _recordOfCaller();
        address owner = operatorOwner[r.operatorId];
        if (msg.sender != owner) revert Unauthorized(owner, msg.sender);
        isAdmitted[r.operatorId][member] = true;
        emit Admitted(r.operatorId, member);
    }

    /// @dev Who comes first has the id for ever; the others are whom it admits. Reverts: NotAdmitted.
    function _joinOperator(bytes32 operatorId) private {
        address owner = operatorOwner[operatorId];
        if (owner == address(0)) operatorOwner[operatorId] = msg.sender;
        else if (!isAdmitted[operatorId][msg.sender]) revert NotAdmitted(operatorId, owner, msg.sender);
    }

    /// @dev The caller's record, still without endpoint and stake.
    function _addRecord(bytes32 ed25519Key, bytes32 operatorId, bytes32 seedChainEnd) private returns (uint256 index) {
        index = _records.length;
        _indexOfSigner[msg.sender] = index + 1;
        _indexOfKey[ed25519Key] = index + 1;
        Record storage r = _records.push();
        (r.signer, r.ed25519Key, r.operatorId) = (msg.sender, ed25519Key, operatorId);
        r.registeredEpoch = _activationEpoch();
        r.seedChainEnd.push(r.registeredEpoch, uint256(seedChainEnd));
    }

    /// @inheritdoc IAssayStake
    function bond(uint96 amount) external override nonReentrant {
        _checkNotPaused();
        (Record storage r, uint256 index) = _recordOfCaller();
        if (r.jailed) revert Jailed(r.ed25519Key);
        if (amount == 0) revert ZeroAmount();
        _addStake(r, index, amount);
    }

    /// @inheritdoc IAssayStake
    function unbond(uint96 amount) external override {
        (Record storage r, uint256 index) = _recordOfCaller();
        if (amount == 0) revert ZeroAmount();
        if (amount > r.bonded) revert InsufficientStake(r.bonded, amount);
        if (r.parts.length == MAX_UNBONDINGS) revert TooManyUnbondings(MAX_UNBONDINGS);
        r.bonded -= amount;
        r.unbonding += amount;
        r.parts.push(Part(amount, _nowMs()));
        emit UnbondingStarted(r.ed25519Key, amount, _nowMs() + _unbondingMs);
        _sync(r, index);
    }

    /// @inheritdoc IAssayStake
    function withdraw() external override nonReentrant {
        (Record storage r,) = _recordOfCaller();
        uint96 amount;
        uint256 free;
        for (; free < r.parts.length && _nowMs() >= _releaseAtMs(r.parts[free]); ++free) {
            amount += r.parts[free].amount;
        }
        if (amount == 0) revert NothingToWithdraw(r.ed25519Key);
        _dropParts(r, free);
        r.unbonding -= amount;
        _totalHeld -= amount;
        emit Withdrawn(r.ed25519Key, amount);
        _token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IAssayStake
    function update(bytes32 seedChainEnd, string calldata endpoint) external override {
        (Record storage r,) = _recordOfCaller();
        if (seedChainEnd == 0) revert ZeroId();
        _checkEndpoint(endpoint);
        uint64 epoch = _activationEpoch();
        r.endpoint = endpoint;
        r.seedChainEnd.push(epoch, uint256(seedChainEnd));
        emit Updated(r.ed25519Key, seedChainEnd, epoch, endpoint);
    }

    /// @inheritdoc IAssayStake
    function refresh(bytes32 ed25519Key) external override {
        (Record storage r, uint256 index) = _recordOfKey(ed25519Key);
        _sync(r, index);
    }

    // ----------------------------------------------------------------- absence

    /// @inheritdoc IAssayStake
    function markAbsent(AbsenceLeaf calldata leaf, bytes32[] calldata proof) external override {
        if (leaf.leafType != ABSENCE_LEAF) revert WrongLeafType(ABSENCE_LEAF, leaf.leafType);
        (Record storage r, uint256 index) = _recordOfKey(leaf.hyperNode);
        if (r.seat == 0) revert NotSeated(leaf.hyperNode);
        _requireFresh(r.seatedFrom, leaf);
        _epochs.proven(leaf.epoch, keccak256(bytes.concat(keccak256(abi.encode(leaf)))), proof);
        r.absent = true;
        emit MarkedAbsent(leaf.hyperNode, leaf.epoch, _activationEpoch());
        _sync(r, index);
    }

    /// @dev All that was missed must be of after the seat began to count, or after the HyperNode last said that it is there.
    function _requireFresh(uint64 from, AbsenceLeaf calldata leaf) private view {
        uint64 next = _epochs.nextEpoch();
        uint64 earliest = next < ABSENCE_EPOCHS ? 0 : next - ABSENCE_EPOCHS; // equivalent: 0 either way
        uint64 own = from + leaf.missed;
        if (own != 0) --own;
        if (earliest < own) earliest = own; // equivalent: equal ones are either
        if (leaf.epoch < earliest) revert StaleAbsence(leaf.hyperNode, earliest, leaf.epoch);
    }

    /// @inheritdoc IAssayStake
    function comeBack() external override {
        (Record storage r, uint256 index) = _recordOfCaller();
        uint64 epoch = _activationEpoch();
        if (!r.absent && r.seat == 0) revert NotAbsent(r.ed25519Key);
        if (r.seat != 0) r.seatedFrom = epoch;
        r.absent = false;
        emit CameBack(r.ed25519Key, epoch);
        _sync(r, index);
    }

    // ------------------------------------------------------------------- slash

    /// @inheritdoc IAssayStake
    function slash(bytes32 ed25519Key, uint16 bps, address beneficiary, bytes32 reason)
        external
        override
        nonReentrant
        returns (uint96 taken)
    {
        if (msg.sender != _epochs.faults()) revert Unauthorized(_epochs.faults(), msg.sender);
        if (bps > BPS) revert BpsTooLarge(BPS, bps);
        (Record storage r, uint256 index) = _recordOfKey(ed25519Key);
        taken = uint96((uint256(r.bonded) + r.unbonding) * bps / BPS);
        uint96 ofBonded = taken < r.bonded ? taken : r.bonded; // equivalent: equal ones are either
        r.bonded -= ofBonded;
        _takeParts(r, taken - ofBonded);
        r.jailed = true;
        _totalHeld -= taken;
        _sync(r, index);
        uint96 share = _paySlash(beneficiary, uint96(uint256(taken) * _reporterBps / BPS), taken);
        // slither-disable-next-line reentrancy-events: what was paid is known afterwards
        emit Slashed(ed25519Key, reason, taken, beneficiary, share);
    }

    /// @inheritdoc IAssayStake
    function payTreasury() external override nonReentrant {
        uint128 owed = _treasuryOwed;
        if (owed == 0) revert NothingOwed();
        _treasuryOwed = 0;
        _totalHeld -= owed;
        emit TreasuryOwed(0);
        _token.safeTransfer(_treasury, owed);
    }

    /// @dev Takes from the parts that are the next to be free; parts that are used up go.
    function _takeParts(Record storage r, uint96 amount) private {
        r.unbonding -= amount;
        uint256 gone;
        for (; amount != 0; ++gone) {
            Part storage p = r.parts[gone];
            if (p.amount > amount) {
                p.amount -= amount;
                break;
            }
            amount -= p.amount;
        }
        _dropParts(r, gone);
    }

    /// @dev Removes the first `count` parts and keeps the order of the rest.
    function _dropParts(Record storage r, uint256 count) private {
        if (count == 0) return;
        uint256 length = r.parts.length;
        for (uint256 i = count; i < length; ++i) {
            r.parts[i - count] = r.parts[i];
        }
        for (uint256 i; i < count; ++i) {
            r.parts.pop();
        }
    }

    /// @dev Nothing here reverts: a slash must stand whatever the token says of its recipients.
    /// @return paid what the beneficiary got
    function _paySlash(address beneficiary, uint96 share, uint96 taken) private returns (uint96 paid) {
        if (share != 0 && _token.trySafeTransfer(beneficiary, share)) paid = share;
        uint96 rest = taken - paid;
        if (rest == 0 || _token.trySafeTransfer(_treasury, rest)) return paid;
        _treasuryOwed += rest;
        _totalHeld += rest;
        emit TreasuryOwed(_treasuryOwed);
    }

    // --------------------------------------------------------- seats and stake

    /// @dev Reverts: StakeTooLarge. All of a HyperNode's stake together fits 96 bits, so that a slash takes of all of it.
    function _addStake(Record storage r, uint256 index, uint96 amount) private {
        uint256 sum = uint256(r.bonded) + r.unbonding + amount;
        if (sum > type(uint96).max) revert StakeTooLarge(type(uint96).max, sum);
        r.bonded += amount;
        _totalHeld += amount;
        emit Bonded(r.ed25519Key, amount, r.bonded);
        _sync(r, index);
        Funds.pull(_token, msg.sender, amount);
    }

    /// @dev Gives or takes the seat, and writes the stake that counts from the activation epoch on.
    function _sync(Record storage r, uint256 index) private {
        uint64 epoch = _activationEpoch();
        bool eligible = !r.jailed && !r.absent && r.bonded >= _minStake && _verifier.isReady(address(this), r.signer);
        if (!eligible && r.seat != 0) _setHolder(r.seat - 1, 0, epoch);
        if (!eligible) r.seat = 0;
        else if (r.seat == 0) _findSeat(r, index, epoch);
        _setStake(r, r.seat == 0 ? 0 : r.bonded, epoch);
    }

    /// @dev A free seat, or the first of the smallest stakes that may give way to it if it is smaller.
    function _findSeat(Record storage r, uint256 index, uint64 epoch) private {
        bool beforeGenesis = r.registeredEpoch == 0;
        uint256 smallest;
        uint96 least = type(uint96).max;
        for (uint256 seat; seat < MAX_SEATS; ++seat) {
            uint32 holder = _holders[seat];
            if (holder == 0) {
                (smallest, least) = (seat, 0);
                break;
            }
            Record storage other = _records[holder - 1];
            bool givesWay = beforeGenesis || other.registeredEpoch != 0;
            if (givesWay && other.bonded < least) (smallest, least) = (seat, other.bonded);
        }
        if (r.bonded <= least) return;
        uint32 previous = _holders[smallest];
        if (previous != 0) {
            _records[previous - 1].seat = 0;
            _setStake(_records[previous - 1], 0, epoch);
        }
        (r.seat, r.seatedFrom) = (uint16(smallest + 1), epoch);
        _setHolder(smallest, uint32(index + 1), epoch);
    }

    function _setHolder(uint256 seat, uint32 holder, uint64 epoch) private {
        _holders[seat] = holder;
        _seatHistory[seat].push(epoch, holder);
        emit SeatChanged(seat, epoch, holder);
    }

    function _setStake(Record storage r, uint96 stake, uint64 epoch) private {
        if (r.stake.latest() == stake) return;
        r.stake.push(epoch, stake);
        emit StakeChanged(r.ed25519Key, epoch, stake);
    }

    // --------------------------------------------------------------- committee

    /// @inheritdoc IAssayStake
    function committee(uint64 epoch) external view override returns (bytes memory) {
        return _verifier.encodeCommittee(address(this), members(epoch));
    }

    /// @inheritdoc IAssayStake
    function members(uint64 epoch) public view override returns (IQuorumVerifier.Member[] memory out) {
        uint256[] memory indexes = _seated(epoch);
        out = new IQuorumVerifier.Member[](indexes.length);
        bytes32[] memory operators = new bytes32[](indexes.length);
        uint256 total;
        for (uint256 i; i < indexes.length; ++i) {
            Record storage r = _records[indexes[i]];
            uint96 stake = uint96(r.stake.upperLookupRecent(epoch));
            total += stake;
            _insert(out, operators, i, IQuorumVerifier.Member(r.signer, stake), r.operatorId);
        }
        _cap(out, operators, total * _operatorCapBps / BPS);
        if (out.length == 0) revert EmptyCommittee(epoch);
    }

    /// @inheritdoc IAssayStake
    function roster(uint64 epoch) external view override returns (Seat[] memory out) {
        uint256[] memory indexes = _seated(epoch);
        out = new Seat[](indexes.length);
        for (uint256 i; i < indexes.length; ++i) {
            Record storage r = _records[indexes[i]];
            uint96 stake = uint96(r.stake.upperLookupRecent(epoch));
            bytes32 seedChainEnd = bytes32(r.seedChainEnd.upperLookupRecent(epoch));
            out[i] = Seat(r.signer, r.ed25519Key, r.operatorId, stake, seedChainEnd);
        }
    }

    /// @dev Indexes of who has a seat in an epoch that is fixed, in order of seats.
    function _seated(uint64 epoch) private view returns (uint256[] memory indexes) {
        uint64 last = _activationEpoch();
        if (last != 0) --last;
        if (epoch > last) revert CommitteeNotFixed(last, epoch);
        indexes = new uint256[](MAX_SEATS);
        uint256 count;
        for (uint256 seat; seat < MAX_SEATS; ++seat) {
            uint256 holder = _seatHistory[seat].upperLookupRecent(epoch);
            if (holder != 0) indexes[count++] = holder - 1;
        }
        assembly ("memory-safe") {
            mstore(indexes, count)
        }
    }

    /// @dev Inserts behind the members of smaller addresses.
    function _insert(
        IQuorumVerifier.Member[] memory sorted,
        bytes32[] memory operators,
        uint256 used,
        IQuorumVerifier.Member memory m,
        bytes32 operator
    ) private pure {
        for (; used > 0; --used) {
            if (sorted[used - 1].signer <= m.signer) break; // equivalent: no two are equal
            sorted[used] = sorted[used - 1];
            operators[used] = operators[used - 1];
        }
        sorted[used] = m;
        operators[used] = operator;
    }

    /// @dev Caps every operator once against the uncapped total, splits what is left by stake, drops who has nothing left.
    function _cap(IQuorumVerifier.Member[] memory sorted, bytes32[] memory operators, uint256 limit) private pure {
        uint256 length = sorted.length;
        uint96[] memory weights = new uint96[](length);
        for (uint256 i; i < length; ++i) {
            uint256 sum;
            for (uint256 j; j < length; ++j) {
                if (operators[j] == operators[i]) sum += sorted[j].weight;
            }
            weights[i] = uint96(sorted[i].weight * (sum < limit ? sum : limit) / sum); // equivalent: equal ones are either
        }
        uint256 kept;
        for (uint256 i; i < length; ++i) {
            if (weights[i] == 0) continue;
            sorted[i].weight = weights[i];
            sorted[kept++] = sorted[i];
        }
        assembly ("memory-safe") {
            mstore(sorted, kept)
        }
    }

    // ------------------------------------------------------------------- views

    /// @inheritdoc IAssayStake
    function hyperNodeCount() external view override returns (uint256) {
        return _records.length;
    }

    /// @inheritdoc IAssayStake
    function hyperNodeAt(uint256 index) public view override returns (HyperNode memory) {
        Record storage r = _records[index];
        return HyperNode(
            r.signer,
            r.ed25519Key,
            r.operatorId,
            bytes32(r.seedChainEnd.latest()),
            r.registeredEpoch,
            r.bonded,
            r.unbonding,
            r.jailed,
            r.absent,
            r.endpoint
        );
    }

    /// @inheritdoc IAssayStake
    function hyperNodeOf(bytes32 ed25519Key) external view override returns (HyperNode memory h) {
        uint256 index = _indexOfKey[ed25519Key];
        if (index != 0) h = hyperNodeAt(index - 1);
    }

    /// @inheritdoc IAssayStake
    function hyperNodeOfSigner(address signer) external view override returns (HyperNode memory h) {
        uint256 index = _indexOfSigner[signer];
        if (index != 0) h = hyperNodeAt(index - 1);
    }

    /// @inheritdoc IAssayStake
    function stakeAt(bytes32 ed25519Key, uint64 epoch) external view override returns (uint96) {
        (Record storage r,) = _recordOfKey(ed25519Key);
        return uint96(r.stake.upperLookupRecent(epoch));
    }

    /// @inheritdoc IAssayStake
    function seedChainEndAt(bytes32 ed25519Key, uint64 epoch) external view override returns (bytes32) {
        (Record storage r,) = _recordOfKey(ed25519Key);
        return bytes32(r.seedChainEnd.upperLookupRecent(epoch));
    }

    /// @inheritdoc IAssayStake
    function unbondings(bytes32 ed25519Key) external view override returns (Unbonding[] memory out) {
        (Record storage r,) = _recordOfKey(ed25519Key);
        out = new Unbonding[](r.parts.length);
        for (uint256 i; i < out.length; ++i) {
            out[i] = Unbonding(r.parts[i].amount, _releaseAtMs(r.parts[i]));
        }
    }

    /// @inheritdoc IAssayStake
    function seatHolder(uint256 seat) external view override returns (uint256) {
        return _holders[seat];
    }

    /// @inheritdoc IAssayStake
    function totalHeld() external view override returns (uint256) {
        return _totalHeld;
    }

    /// @inheritdoc IAssayStake
    function treasuryOwed() external view override returns (uint256) {
        return _treasuryOwed;
    }

    /// @inheritdoc IAssayStake
    function epochs() external view override returns (address) {
        return address(_epochs);
    }

    /// @inheritdoc IAssayStake
    function parameters() external view override returns (Parameters memory) {
        return Parameters(_minStake, _operatorCapBps, _activeAfterEpochs, _unbondingMs, _reporterBps);
    }

    // ----------------------------------------------------------------- helpers

    /// @dev Everything before genesis counts from epoch 0.
    function _activationEpoch() private view returns (uint64) {
        return _epochs.networkId() == 0 ? 0 : _epochs.currentEpoch() + _activeAfterEpochs;
    }

    /// @dev The one answer to when a part is free; what is not withdrawn is in reach of a slash whatever this says.
    function _releaseAtMs(Part storage p) private view returns (uint64) {
        return p.startedAtMs + _unbondingMs + _epochs.windowExtensionMs(p.startedAtMs);
    }

    function _recordOfCaller() private view returns (Record storage r, uint256 index) {
        index = _indexOfSigner[msg.sender];
        if (index == 0) revert NotRegistered(msg.sender);
        r = _records[--index];
    }

    function _recordOfKey(bytes32 ed25519Key) private view returns (Record storage r, uint256 index) {
        index = _indexOfKey[ed25519Key];
        if (index == 0) revert UnknownKey(ed25519Key);
        r = _records[--index];
    }

    function _checkNotPaused() private view {
        if (_epochs.isPaused()) revert NetworkPaused();
    }

    function _checkEndpoint(string calldata endpoint) private pure {
        if (bytes(endpoint).length > MAX_ENDPOINT) revert EndpointTooLong(MAX_ENDPOINT, bytes(endpoint).length);
    }

    function _nowMs() private view returns (uint64) {
        return uint64(block.timestamp * 1000);
    }
}
