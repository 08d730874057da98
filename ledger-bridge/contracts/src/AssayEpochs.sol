// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {AssayRewards} from "./AssayRewards.sol";
import {Funds} from "./Funds.sol";
import {WindowClock} from "./WindowClock.sol";
import {IAssayEpochs} from "./interfaces/IAssayEpochs.sol";
import {IAssayStake} from "./interfaces/IAssayStake.sol";
import {IQuorumVerifier} from "./interfaces/IQuorumVerifier.sol";
import {EpochRoot, Resolution} from "./interfaces/Types.sol";

/// @title The one implementation of IAssayEpochs; every rule is described there.
/// @dev Storage by slot: 0 the clock of WindowClock, 1 its history · 2, 3 EIP712's fallback strings, unused · 4 `_ring` (4 slots
/// an epoch, reused) · 4100 `_head` · 4101 `_committeeHash` · 4102 `_networkId` · 4103 `_funds` (2) · 4105 `_reclaimed` (2) ·
/// 4107 the wired addresses (4) · 4111 `_budgets` · 4112 `_disputes` (2 slots each) · 4113 `_wrongDigests`. A steady
/// `postRoot` writes the 4 slots of the ring, the head and the committee's hash.
///
/// Money: totalHeld = unallocated + budgets of epochs to come + what posted epochs left of theirs + (sum of rewards -
/// released) + open bonds. What an epoch leaves becomes unallocated only when the epoch is final, so that an undone epoch
/// takes nothing with it that was allocated again. Never more is released than the sum of rewards of a final root.
contract AssayEpochs is IAssayEpochs, WindowClock, EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint64 private constant RING = 1024;
    /// @dev one call's budgets fit into a block; also keeps every sum of them far inside their types
    uint64 private constant MAX_EPOCHS_PER_CALL = 512;
    /// @dev ten years
    uint64 private constant MAX_WINDOW_MS = 315_360_000_000;
    /// @dev of `Head.voids`: the network is over
    uint16 private constant RETIRED = type(uint16).max;
    bytes32 private constant ROOT_TYPEHASH = keccak256(
        "EpochRoot(bytes32 networkId,uint64 epoch,uint32 round,bytes32 inputSet,bytes32 committee,bytes32 root,uint32 leafCount,bytes32 evidenceRoot,bytes32 policyDigest,uint128 cumulativeReward,bytes32 nextCommittee)"
    );

    /// @dev of an epoch; `resolution` Open: never used, or undone by a correction and not posted again yet.
    /// @dev `_store` writes this layout.
    /// @param leastRound round that a root must have to take this one's place
    /// @param finalClockMs time of the windows' clock from which it is final
    /// @param unused what its rewards left of its budget: says what the epoch before had, when this one is corrected
    struct Entry {
        uint64 epoch;
        Resolution resolution;
        uint8 corrections;
        uint32 leastRound;
        uint32 leafCount;
        uint48 postedAtMs;
        uint48 finalClockMs;
        bytes32 root;
        bytes32 digest;
        uint128 cumulativeReward;
        uint128 unused;
    }

    /// @dev `_storeHead` writes this layout.
    /// @param cumulativeReward of the epoch before `nextEpoch`
    /// @param finalClockMs of the epoch before `nextEpoch`: the next one is not final earlier
    /// @param voids how many void epochs in a row end at `nextEpoch`
    struct Head {
        uint64 nextEpoch;
        uint128 cumulativeReward;
        uint48 finalClockMs;
        uint16 voids;
    }

    /// @param received of all budgets' money, less what `retire` has sent
    /// @param bonds of disputes that are not closed
    /// @param released sum of rewards of the newest final root whose rewards the contract of rewards has
    struct Moneys {
        uint128 received;
        uint128 bonds;
        uint128 unallocated;
        uint128 released;
    }

    /// @param nextEpoch the epoch that `reclaim` goes on with
    /// @param budgets sum of all epochs' before
    /// @param returned how much of it was made unallocated again
    struct Reclaimed {
        uint64 nextEpoch;
        uint128 budgets;
        uint128 returned;
    }

    IERC20 private immutable _token;
    IQuorumVerifier private immutable _verifier;
    address public immutable override treasury;
    address public immutable override governor;
    address public immutable override deployer;
    address public immutable override rewards;
    uint64 private immutable _genesisUnixMs;
    uint64 private immutable _epochMs;
    uint64 private immutable _voidAfterMs;
    uint64 private immutable _disputeWindowMs;
    uint64 private immutable _disputeExtensionMs;
    uint128 private immutable _disputeBond;

    Entry[RING] private _ring;
    Head private _head;
    bytes32 private _committeeHash;
    bytes32 private _networkId;
    Moneys private _funds;
    Reclaimed private _reclaimed;
    address public override stake;
    address public override nodes;
    address public override reservations;
    address public override faults;
    mapping(uint64 => uint128) private _budgets;
    mapping(uint64 => Dispute) private _disputes;
    mapping(uint64 => mapping(bytes32 => bool)) private _wrongDigests;

    /// @dev Reverts with BadParameters, ZeroId. Epochs whose windows run normally are final before the ring comes round:
    /// otherwise posting waits for them.
    constructor(
        Parameters memory p,
        IERC20 token_,
        IQuorumVerifier verifier_,
        address treasury_,
        address governor_,
        address guardian_
    ) EIP712("Assay", "2") WindowClock(guardian_) {
        if (treasury_ == address(0) || governor_ == address(0)) revert ZeroId();
        if (address(token_).code.length == 0) revert NotAContractOfThisNetwork(address(token_));
        if (address(verifier_).code.length == 0) revert NotAContractOfThisNetwork(address(verifier_));
        bool inRange = p.epochMs != 0 && p.epochMs <= MAX_WINDOW_MS && p.voidAfterMs <= MAX_WINDOW_MS
            && p.disputeWindowMs <= MAX_WINDOW_MS && p.disputeExtensionMs <= MAX_WINDOW_MS
            && p.genesisUnixMs <= type(uint48).max / 2;
        if (!inRange) revert BadParameters();
        uint256 open = uint256(p.voidAfterMs) + p.disputeWindowMs + p.disputeExtensionMs;
        if (open > uint256(RING - 2) * p.epochMs) revert BadParameters();
        (_token, _verifier, treasury, governor) = (token_, verifier_, treasury_, governor_);
        deployer = msg.sender;
        rewards = address(new AssayRewards(token_));
        (_genesisUnixMs, _epochMs, _voidAfterMs) = (p.genesisUnixMs, p.epochMs, p.voidAfterMs);
        (_disputeWindowMs, _disputeExtensionMs) = (p.disputeWindowMs, p.disputeExtensionMs);
        _disputeBond = p.disputeBond;
    }

    // ----------------------------------------------------------------- genesis

    /// @inheritdoc IAssayEpochs
    function wire(address stake_, address nodes_, address reservations_, address faults_) external override {
        if (msg.sender != deployer) revert Unauthorized(deployer, msg.sender);
        if (stake != address(0)) revert AlreadyWired();
        if (nodes_.code.length == 0) revert NotAContractOfThisNetwork(nodes_);
        if (reservations_.code.length == 0) revert NotAContractOfThisNetwork(reservations_);
        if (faults_.code.length == 0) revert NotAContractOfThisNetwork(faults_);
        if (IAssayStake(stake_).epochs() != address(this)) revert NotAContractOfThisNetwork(stake_);
        (stake, nodes, reservations, faults) = (stake_, nodes_, reservations_, faults_);
        emit Wired(stake_, nodes_, reservations_, faults_);
    }

    /// @inheritdoc IAssayEpochs
    function openGenesis(bytes32 networkId_, bytes32 committee) external override {
        if (msg.sender != deployer) revert Unauthorized(deployer, msg.sender);
        if (stake == address(0)) revert NotWired();
        if (_networkId != 0) revert GenesisAlreadyOpen();
        if (networkId_ == 0) revert ZeroId();
        bytes32 expected = _verifier.committeeHash(IAssayStake(stake).committee(0));
        if (committee != expected) revert WrongCommittee(expected, committee);
        _committeeHash = committee;
        _networkId = networkId_;
        emit GenesisOpened(networkId_, committee);
    }

    // ------------------------------------------------------------------- epochs

    /// @inheritdoc IAssayEpochs
    function postRoot(EpochRoot calldata r, bytes calldata committee, bytes calldata signatures) external override {
        Head memory h = _head;
        _checkNext(h, r.epoch);
        if (_nowMs() < _endMs(r.epoch)) revert EpochNotFinished(r.epoch, _endMs(r.epoch), _nowMs());
        (bytes32 digest, uint256 signedWeight, uint256 totalWeight) = _checkSigned(r, committee, signatures);
        _emitPosted(r, digest, signedWeight, totalWeight);
        uint128 unused = _unusedBudget(r, h.cumulativeReward);
        uint48 clockMs = _clockMs();
        (uint8 corrections, uint32 leastRound) = _place(r.epoch, clockMs);
        uint48 finalClockMs = _later(h.finalClockMs, clockMs + _disputeWindowMs);
        _write(r, digest, corrections, leastRound, unused, finalClockMs);
    }

    /// @dev emit RootPosted(r.epoch, digest, r, signedWeight, totalWeight), with the root's eleven words as they were
    /// received and signed: to take them apart and put them together again costs a thousand gas. Those that are shorter
    /// than a word are refused where they are read, if they are not.
    function _emitPosted(EpochRoot calldata r, bytes32 digest, uint256 signedWeight, uint256 totalWeight) private {
        bytes32 topic = RootPosted.selector;
        uint64 epoch = r.epoch;
        assembly ("memory-safe") {
            let p := mload(0x40)
            calldatacopy(p, r, 352)
            mstore(add(p, 352), signedWeight)
            mstore(add(p, 384), totalWeight)
            log3(p, 416, topic, epoch, digest)
        }
    }

    /// @inheritdoc IAssayEpochs
    function postVoid(uint64 epoch) external override {
        Head memory h = _head;
        _checkNext(h, epoch);
        if (_nowMs() < _voidDeadlineMs(epoch)) revert VoidTooEarly(epoch, _voidDeadlineMs(epoch), _nowMs());
        if (h.voids == RING - 1) revert LastRootKept(epoch - h.voids);
        uint48 clockMs = _clockMs();
        (uint8 corrections, uint32 leastRound) = _place(epoch, clockMs);
        uint48 finalClockMs = _later(h.finalClockMs, clockMs);
        uint256 header = uint256(epoch) | uint256(Resolution.Void) << 64 | uint256(corrections) << 72
            | uint256(leastRound) << 80 | uint256(_nowMs()) << 144 | uint256(finalClockMs) << 192;
        _store(_ring[epoch % RING], header, 0, 0, uint256(_budgets[epoch]) << 128 | h.cumulativeReward);
        _storeHead(epoch, h.cumulativeReward, finalClockMs, h.voids + 1);
        emit EpochVoided(epoch, msg.sender);
    }

    /// @inheritdoc IAssayEpochs
    function correct(EpochRoot calldata r, bytes calldata committee, bytes calldata signatures) external override {
        Entry storage e = _posted(r.epoch);
        if (_clockMs() >= e.finalClockMs) revert EpochIsFinal(r.epoch);
        (bytes32 digest,,) = _checkSigned(r, committee, signatures);
        // what the epoch before had: this one's own entry says it, for the ring may have lost that one
        uint128 unused = _unusedBudget(r, e.cumulativeReward + e.unused - _budgets[r.epoch]);
        bytes32 wrong = e.digest;
        _wrongDigests[r.epoch][wrong] = true;
        _uphold(r.epoch);
        for (uint64 undone = _head.nextEpoch - 1; undone > r.epoch; --undone) {
            _ring[undone % RING].resolution = Resolution.Open;
            emit EpochUndone(undone, r.epoch);
        }
        uint48 finalClockMs = _later(e.finalClockMs, _clockMs() + _disputeWindowMs);
        _write(r, digest, e.corrections + 1, e.leastRound, unused, finalClockMs);
        _setMark(_clockMs() + _voidAfterMs);
        emit RootCorrected(r.epoch, wrong, digest, r);
    }

    function _checkNext(Head memory h, uint64 epoch) private view {
        if (_networkId == 0) revert GenesisNotOpen();
        if (h.voids == RETIRED) revert Retired();
        if (epoch != h.nextEpoch) revert WrongEpoch(h.nextEpoch, epoch);
    }

    function _checkSigned(EpochRoot calldata r, bytes calldata committee, bytes calldata signatures)
        private
        view
        returns (bytes32 digest, uint256 signedWeight, uint256 totalWeight)
    {
        bytes32 expected = _committeeHash;
        if (r.networkId != _networkId) revert WrongNetwork(_networkId, r.networkId);
        if (r.committee != expected) revert WrongCommittee(expected, r.committee);
        if (r.nextCommittee == 0) revert ZeroNextCommittee();
        digest = hashRoot(r);
        (signedWeight, totalWeight) = _verifier.verify(digest, expected, committee, signatures);
        if (signedWeight * 3 <= totalWeight * 2) revert QuorumNotReached(signedWeight, totalWeight);
    }

    function _unusedBudget(EpochRoot calldata r, uint128 previous) private view returns (uint128) {
        if (r.cumulativeReward < previous) revert RewardDecreased(previous, r.cumulativeReward);
        uint128 budget = _budgets[r.epoch];
        uint128 asked = r.cumulativeReward - previous;
        if (asked > budget) revert BudgetExceeded(r.epoch, budget, asked);
        return budget - asked;
    }

    /// @dev The ring's place for the next epoch. One that holds the epoch itself was undone by a correction: what was
    /// disputed there is upheld, and the next one, when it had a root too, has its time from now. One that holds an older
    /// epoch must be final.
    function _place(uint64 epoch, uint48 clockMs) private returns (uint8 corrections, uint32 leastRound) {
        Entry storage e = _ring[epoch % RING];
        if (e.postedAtMs == 0) return (0, 0);
        if (e.epoch == epoch) {
            _uphold(epoch);
            Entry storage next = _ring[(epoch + 1) % RING];
            if (next.epoch == epoch + 1 && next.root != 0) _setMark(clockMs + _voidAfterMs);
            return (e.corrections + 1, e.leastRound);
        }
        if (clockMs < e.finalClockMs) revert OldEpochNotFinal(e.epoch, _timeOf(e.finalClockMs), _nowMs());
    }

    /// @dev All four slots of an entry, each written once: the fields as Solidity lays them out, lowest first.
    function _store(Entry storage e, uint256 header, bytes32 root, bytes32 digest, uint256 sums) private {
        assembly ("memory-safe") {
            sstore(e.slot, header)
            sstore(add(e.slot, 1), root)
            sstore(add(e.slot, 2), digest)
            sstore(add(e.slot, 3), sums)
        }
    }

    /// @dev The head's one slot, in the same way. `epoch` is the last.
    function _storeHead(uint64 epoch, uint128 sum, uint48 finalClockMs, uint16 voids) private {
        uint256 head = uint256(epoch + 1) | uint256(sum) << 64 | uint256(finalClockMs) << 192 | uint256(voids) << 240;
        assembly ("memory-safe") {
            sstore(_head.slot, head)
        }
    }

    function _write(
        EpochRoot calldata r,
        bytes32 digest,
        uint8 corrections,
        uint32 leastRound,
        uint128 unused,
        uint48 finalClockMs
    ) private {
        if (r.round < leastRound || r.round == type(uint32).max) {
            revert RoundTooLow(leastRound, r.round);
        }
        uint256 header = uint256(r.epoch) | uint256(Resolution.Posted) << 64 | uint256(corrections) << 72
            | uint256(r.round + 1) << 80 | uint256(r.leafCount) << 112 | uint256(_nowMs()) << 144
            | uint256(finalClockMs) << 192;
        _store(_ring[r.epoch % RING], header, r.root, digest, uint256(unused) << 128 | r.cumulativeReward);
        _storeHead(r.epoch, r.cumulativeReward, finalClockMs, 0);
        _committeeHash = r.nextCommittee;
    }

    // ----------------------------------------------------------------- disputes

    /// @inheritdoc IAssayEpochs
    function dispute(uint64 epoch) external override nonReentrant {
        Entry storage e = _posted(epoch);
        if (_clockMs() >= e.finalClockMs) revert EpochIsFinal(epoch);
        Dispute storage d = _disputes[epoch];
        // a closed one was about another root: about this one it is closed when the epoch is final
        if (d.by != address(0) && !d.closed) revert AlreadyDisputed(epoch);
        _disputes[epoch] = Dispute(msg.sender, false, false, e.digest);
        uint64 last = _keepOpen(epoch, _clockAt(e.postedAtMs) + _disputeWindowMs + _disputeExtensionMs);
        _funds.bonds += _disputeBond;
        emit Disputed(epoch, msg.sender, _disputeBond, _timeOf(e.finalClockMs), last);
        Funds.pull(_token, msg.sender, _disputeBond);
    }

    /// @inheritdoc IAssayEpochs
    function closeDispute(uint64 epoch) external override nonReentrant {
        Dispute storage d = _disputes[epoch];
        if (d.by == address(0) || d.closed) revert NoDispute(epoch);
        bool corrected = d.upheld || epoch >= _head.nextEpoch;
        if (!corrected && !isFinal(epoch)) {
            revert EpochNotFinal(epoch, _timeOf(_ring[epoch % RING].finalClockMs), _nowMs());
        }
        d.closed = true;
        d.upheld = corrected;
        _funds.bonds -= _disputeBond;
        emit DisputeResolved(epoch, d.by, corrected, _disputeBond);
        _token.safeTransfer(corrected ? d.by : treasury, _disputeBond);
    }

    /// @dev Not final before: this epoch, and those after it, for finality is ordered. At most one round of the ring, and
    /// only those that would be final earlier.
    /// @return last of them; `epoch` when there is none
    function _keepOpen(uint64 epoch, uint64 until) private returns (uint64 last) {
        uint48 untilClockMs = uint48(until);
        last = epoch;
        for (uint64 next = _head.nextEpoch; epoch < next; ++epoch) {
            Entry storage e = _ring[epoch % RING];
            if (e.finalClockMs >= untilClockMs) break; // equivalent: an equal one stays as it is
            e.finalClockMs = untilClockMs;
            last = epoch;
        }
        if (_head.finalClockMs < untilClockMs) _head.finalClockMs = untilClockMs; // equivalent: so does it here
    }

    function _uphold(uint64 epoch) private {
        Dispute storage d = _disputes[epoch];
        if (d.by != address(0) && !d.closed) d.upheld = true;
    }

    // ------------------------------------------------------------------ budgets

    /// @inheritdoc IAssayEpochs
    function fund(uint64 firstEpoch, uint64 epochs, uint128 perEpoch) external override nonReentrant {
        uint256 amount = _addBudgets(firstEpoch, epochs, perEpoch);
        _funds.received += uint128(amount);
        emit BudgetFunded(msg.sender, firstEpoch, epochs, perEpoch);
        Funds.pull(_token, msg.sender, amount);
    }

    /// @inheritdoc IAssayEpochs
    function reclaim(uint64 epochs) external override {
        if (_head.voids == RETIRED) revert Retired();
        Reclaimed memory done = _reclaimed;
        if (epochs == 0 || epochs > MAX_EPOCHS_PER_CALL) revert BadRange(done.nextEpoch, epochs, 0);
        uint64 last = done.nextEpoch + epochs - 1;
        Entry storage e = _ring[last % RING];
        if (!isFinal(last)) revert EpochNotFinal(last, _timeOf(e.finalClockMs), _nowMs());
        for (uint64 epoch = done.nextEpoch; epoch <= last; ++epoch) {
            done.budgets += _budgets[epoch];
        }
        done.nextEpoch = last + 1;
        if (e.epoch == last) {
            // what final epochs left of their budgets only grows
            uint128 returned = done.budgets - e.cumulativeReward;
            _funds.unallocated += returned - done.returned;
            emit BudgetReturned(last, returned - done.returned);
            done.returned = returned;
        }
        _reclaimed = done;
    }

    /// @inheritdoc IAssayEpochs
    function allocate(uint64 firstEpoch, uint64 epochs, uint128 perEpoch) external override {
        if (msg.sender != governor) revert Unauthorized(governor, msg.sender);
        uint256 amount = _addBudgets(firstEpoch, epochs, perEpoch);
        if (amount > _funds.unallocated) revert InsufficientUnallocated(_funds.unallocated, amount);
        _funds.unallocated -= uint128(amount);
        emit BudgetAllocated(firstEpoch, epochs, perEpoch);
    }

    /// @inheritdoc IAssayEpochs
    function retire() external override nonReentrant {
        if (msg.sender != governor) revert Unauthorized(governor, msg.sender);
        Head memory h = _head;
        if (h.voids == RETIRED) revert Retired();
        if (h.voids < RING - 1) revert NotAbandoned(RING - 1, h.voids);
        if (_clockMs() < h.finalClockMs) revert EpochNotFinal(h.nextEpoch - 1, _timeOf(h.finalClockMs), _nowMs());
        _head.voids = RETIRED;
        uint128 amount = _funds.received - h.cumulativeReward;
        _funds.received = h.cumulativeReward;
        _funds.unallocated = 0;
        emit NetworkRetired(h.nextEpoch, amount);
        _token.safeTransfer(treasury, amount);
    }

    function _addBudgets(uint64 firstEpoch, uint64 epochs, uint128 perEpoch) private returns (uint256 amount) {
        amount = uint256(perEpoch) * epochs;
        bool inRange = perEpoch != 0 && epochs != 0 && epochs <= MAX_EPOCHS_PER_CALL && amount <= type(uint128).max
            && firstEpoch <= type(uint48).max;
        if (!inRange) revert BadRange(firstEpoch, epochs, perEpoch);
        if (_head.voids == RETIRED) revert Retired();
        uint64 earliest = _earliestBudget();
        if (firstEpoch < earliest) revert FundedTooLate(earliest, firstEpoch);
        for (uint64 i; i < epochs; ++i) {
            _budgets[firstEpoch + i] += perEpoch;
        }
    }

    /// @dev The first epoch that begins more than one epoch from now.
    function _earliestBudget() private view returns (uint64) {
        uint64 fixedMs = _nowMs() + _epochMs;
        return fixedMs < _genesisUnixMs ? 0 : (fixedMs - _genesisUnixMs) / _epochMs + 1;
    }

    // ------------------------------------------------------------------- leaves

    /// @inheritdoc IAssayEpochs
    function release(uint64 epoch) external override nonReentrant returns (bytes32 root, bool newest) {
        Entry storage e = _posted(epoch);
        if (_clockMs() < e.finalClockMs) revert EpochNotFinal(epoch, _timeOf(e.finalClockMs), _nowMs());
        (uint128 earned, uint128 before) = (e.cumulativeReward, _funds.released);
        (root, newest) = (e.root, earned >= before);
        if (earned <= before) return (root, newest);
        _funds.released = earned;
        emit RewardsReleased(epoch, earned - before, earned);
        _token.safeTransfer(rewards, earned - before);
    }

    /// @inheritdoc IAssayEpochs
    function proven(uint64 epoch, bytes32 leafHash, bytes32[] calldata proof)
        external
        view
        override
        returns (EpochRecord memory)
    {
        Entry storage e = _posted(epoch);
        _checkProof(e.root, leafHash, proof);
        return _record(e);
    }

    function _checkProof(bytes32 root, bytes32 leafHash, bytes32[] calldata proof) private pure {
        bytes32 computed = MerkleProof.processProofCalldata(proof, leafHash);
        if (computed != root) revert BadProof(root, computed);
    }

    // -------------------------------------------------------------------- views

    /// @inheritdoc IAssayEpochs
    function parameters() external view override returns (Parameters memory) {
        return Parameters(_genesisUnixMs, _epochMs, _voidAfterMs, _disputeWindowMs, _disputeExtensionMs, _disputeBond);
    }

    /// @inheritdoc IAssayEpochs
    function networkId() external view override returns (bytes32) {
        return _networkId;
    }

    /// @inheritdoc IAssayEpochs
    function nextEpoch() external view override returns (uint64) {
        return _head.nextEpoch;
    }

    /// @inheritdoc IAssayEpochs
    function currentEpoch() external view override returns (uint64) {
        if (_nowMs() < _genesisUnixMs) return 0; // equivalent: at genesis it is epoch 0 as well
        return (_nowMs() - _genesisUnixMs) / _epochMs;
    }

    /// @inheritdoc IAssayEpochs
    function committeeHash() external view override returns (bytes32) {
        return _committeeHash;
    }

    /// @inheritdoc IAssayEpochs
    function cumulativeReward() external view override returns (uint128) {
        return _head.cumulativeReward;
    }

    /// @inheritdoc IAssayEpochs
    function epochRecord(uint64 epoch) external view override returns (EpochRecord memory record) {
        Entry storage e = _ring[epoch % RING];
        if (e.epoch == epoch && e.resolution != Resolution.Open) return _record(e);
        record.epoch = epoch;
    }

    /// @inheritdoc IAssayEpochs
    function isVoid(uint64 epoch) external view override returns (bool) {
        Entry storage e = _ring[epoch % RING];
        return e.epoch == epoch && e.resolution == Resolution.Void;
    }

    /// @inheritdoc IAssayEpochs
    function isFinal(uint64 epoch) public view override returns (bool) {
        if (epoch >= _head.nextEpoch) return false;
        Entry storage e = _ring[epoch % RING];
        return e.epoch != epoch || _clockMs() >= e.finalClockMs;
    }

    /// @inheritdoc IAssayEpochs
    function wrongDigest(uint64 epoch, bytes32 digest) external view override returns (bool) {
        return _wrongDigests[epoch][digest];
    }

    /// @inheritdoc IAssayEpochs
    function disputeOf(uint64 epoch) external view override returns (Dispute memory) {
        return _disputes[epoch];
    }

    /// @inheritdoc IAssayEpochs
    function budgetOf(uint64 epoch) external view override returns (uint128) {
        return _budgets[epoch];
    }

    /// @inheritdoc IAssayEpochs
    function unallocated() external view override returns (uint128) {
        return _funds.unallocated;
    }

    /// @inheritdoc IAssayEpochs
    function totalHeld() external view override returns (uint256) {
        return uint256(_funds.received) + _funds.bonds - _funds.released;
    }

    /// @inheritdoc IAssayEpochs
    function hashRoot(EpochRoot calldata r) public view override returns (bytes32) {
        bytes32 typeHash = ROOT_TYPEHASH;
        bytes32 structHash;
        // abi.encode(typeHash, r): the eleven words as they were received, which the signatures then bind
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), r, 352)
            structHash := keccak256(p, 384)
        }
        return _hashTypedDataV4(structHash);
    }

    /// @inheritdoc IAssayEpochs
    function domainSeparator() external view override returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IAssayEpochs
    function ringSize() external pure override returns (uint64) {
        return RING;
    }

    /// @inheritdoc IAssayEpochs
    function token() external view override returns (address) {
        return address(_token);
    }

    /// @inheritdoc IAssayEpochs
    function verifier() external view override returns (address) {
        return address(_verifier);
    }

    // ------------------------------------------------------------------ helpers

    function _posted(uint64 epoch) private view returns (Entry storage e) {
        e = _ring[epoch % RING];
        if (e.epoch != epoch || e.resolution != Resolution.Posted) revert EpochNotPosted(epoch);
    }

    function _record(Entry storage e) private view returns (EpochRecord memory) {
        return EpochRecord(
            e.epoch,
            e.resolution,
            e.corrections,
            e.postedAtMs,
            _timeOf(e.finalClockMs),
            e.leafCount,
            e.root,
            e.digest,
            e.cumulativeReward,
            e.resolution == Resolution.Posted ? e.leastRound - 1 : 0
        );
    }

    function _endMs(uint64 epoch) private view returns (uint64) {
        return _genesisUnixMs + (epoch + 1) * _epochMs;
    }

    function _voidDeadlineMs(uint64 epoch) private view returns (uint64) {
        uint64 endMs = _endMs(epoch);
        uint64 deadlineMs = endMs + _voidAfterMs + windowExtensionMs(endMs);
        uint64 markMs = _timeOf(_mark());
        return deadlineMs < markMs ? markMs : deadlineMs; // equivalent: equal ones are either
    }

    function _later(uint48 a, uint64 b) private pure returns (uint48) {
        return a < b ? uint48(b) : a; // equivalent: equal ones are either
    }
}
