// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {IAssayEpochs} from "./interfaces/IAssayEpochs.sol";
import {IAssayReservations} from "./interfaces/IAssayReservations.sol";
import {NodeStatus} from "./interfaces/Types.sol";
import {NodeStates} from "./lib/NodeStates.sol";
import {SlashQueue} from "./lib/SlashQueue.sol";
import {Funds} from "./Funds.sol";
import {NodesBase} from "./nodes/NodesBase.sol";
import {NodesIdentity} from "./nodes/NodesIdentity.sol";
import {NodesSettlement} from "./nodes/NodesSettlement.sol";

/// @title The one implementation of IAssayNodes; every rule is described there.
/// @dev Its storage layout is in NodesBase. Not upgradeable: collateral is moved to another deployment by exit only. The
/// functions of INodesIdentity run in the code of `IDENTITY`, which the constructor deploys; they are reached by `fallback`
/// and nothing else is. Call this contract through IAssayNodes.
contract AssayNodes is NodesSettlement {
    using SlashQueue for SlashQueue.Queue;

    /// @notice Code of INodesIdentity.
    address public immutable IDENTITY;

    /// @notice Fixes everything about the network's nodes but the terms of classes.
    /// @dev Deployed after `epochs`, whose parameters, token and treasury it copies. Reverts: BadParameter, ZeroId.
    constructor(IAssayEpochs epochs, address governor_, Parameters memory p) NodesBase(epochs, governor_, p) {
        IDENTITY = address(new NodesIdentity(epochs, governor_, p));
    }

    /// @dev Runs a function of INodesIdentity on this storage; none of them returns anything. Reverts as they do, and
    /// without data for an unknown function.
    fallback() external {
        // slither-disable-next-line unused-return: none of them returns anything
        Address.functionDelegateCall(IDENTITY, msg.data);
    }

    // ------------------------------------------------------------------------------------------------------ provider

    function register(bytes32 node, bytes32 classDigest, bytes32 region, string calldata endpoint, uint128 amount)
        external
        override
        nonReentrant
    {
        if (_terms[classDigest].collateral == 0) revert UnknownClass(classDigest);
        Account storage a = _accounts[node];
        if (a.owner != address(0)) revert NodeTaken(node, a.owner);
        _register(node, classDigest, region, endpoint, amount, address(0));
    }

    function cancel(bytes32 node) external override nonReentrant {
        Registration storage r = _provisional(node, msg.sender);
        uint256 begunMs = _begunMs();
        if (r.registeredAtMs >= begunMs) revert MadeNow(node, msg.sender, r.registeredAtMs, begunMs);
        // beside an owner nobody waits but who accepted its offer
        bool beaten = _accounts[node].owner != address(0) && r.offeredBy == address(0);
        if (!beaten && _waits(r)) _requireNotCounted(r, begunMs);
        _end(r, false);
    }

    function expire(bytes32 node, address provider) external override nonReentrant {
        Registration storage r = _provisional(node, provider);
        uint64 fromMs = r.confirmingAtMs;
        if (fromMs == 0) {
            fromMs = r.registeredAtMs;
            // no leaf can name it before; what lapsed waits for none
            if (r.offeredBy != address(0) && _waits(r)) fromMs += _parameters.changeDelayMs;
        }
        uint256 expiresAtMs = _closesMs(fromMs, _parameters.provisionalMs);
        if (_nowMs() < expiresAtMs) revert NotExpired(node, provider, expiresAtMs, _nowMs());
        _end(r, true);
    }

    function topUp(bytes32 node, uint128 amount) external override nonReentrant {
        (, Registration storage r) = _of(node, msg.sender);
        if (r.status != NodeStatus.Provisional && !NodeStates.isLive(r.status)) {
            revert WrongStatus(node, msg.sender, r.status);
        }
        if (amount == 0) revert PledgeTooSmall(1, 0);
        r.pledged += amount;
        r.collateral += amount;
        _totalHeld += amount;
        emit ToppedUp(node, msg.sender, amount, r.collateral);
        Funds.pull(TOKEN, msg.sender, amount);
    }

    function setEndpoint(bytes32 node, string calldata endpoint) external override {
        (, Registration storage r) = _of(node, msg.sender);
        if (r.endedAtMs != 0) revert WrongStatus(node, msg.sender, r.status);
        _checkEndpoint(endpoint);
        r.endpoint = endpoint;
        emit EndpointChanged(node, msg.sender, endpoint);
    }

    function requestExit(bytes32 node) external override {
        (, Registration storage r) = _owned(node);
        uint64 end = EPOCHS.currentEpoch() + 1;
        IAssayReservations reservations = _reservations();
        uint64 reserved = address(reservations) == address(0) ? 0 : reservations.reservedUntil(node);
        if (reserved > end) end = reserved; // equivalent: equal ones are either
        end += _parameters.reauditEpochs;
        if (r.exitEpochs != 0 && end >= r.exitEpochs) revert Leaving(node, r.provider, r.exitEpochs - 1);
        _startExit(r, end - 1);
    }

    function exit(bytes32 node, address provider) external override nonReentrant {
        (uint64 id, Registration storage r) = _of(node, provider);
        if (r.endedAtMs != 0) revert WrongStatus(node, provider, r.status);
        if (r.exitEpochs == 0 || r.status == NodeStatus.Provisional) revert NotLeaving(node, provider);
        Account storage a = _accounts[node];
        _requireFree(a, id, r);
        if (id == a.registrationId) _vacate(a, node);
        uint128 paid = _close(r);
        NodeStatus from = r.status;
        r.status = NodeStatus.Removed;
        if (from != NodeStatus.Removed) emit StatusChanged(node, provider, from, NodeStatus.Removed);
        emit Exited(node, provider, paid);
        _pay(provider, paid);
    }

    function remove(bytes32 node) external override {
        Account storage a = _accounts[node];
        if (a.owner == address(0)) revert WrongStatus(node, address(0), NodeStatus.None);
        Registration storage r = _byId(a.registrationId);
        if (r.status != NodeStatus.Suspended) revert WrongStatus(node, a.owner, r.status);
        uint256 removableAtMs = _removableAtMs(r);
        if (_nowMs() < removableAtMs) revert NotSuspendedLongEnough(node, removableAtMs, _nowMs());
        _setStatus(r, NodeStatus.Removed);
    }

    // ------------------------------------------------------------------------------------------------------ governor

    function setClass(bytes32 classDigest, ClassTerms calldata terms) external override {
        if (msg.sender != GOVERNOR) revert OnlyGovernor(GOVERNOR, msg.sender);
        if (classDigest == 0) revert ZeroId();
        if (_terms[classDigest].collateral != 0) revert ClassAlreadySet(classDigest);
        if (terms.collateral == 0) revert BadTerms("collateral", 1, 0);
        if (terms.removeBelow > terms.collateral) revert BadTerms("removeBelow", terms.collateral, terms.removeBelow);
        if (terms.slashCapBps > BPS) revert BadTerms("slashCapBps", BPS, terms.slashCapBps);
        if (terms.builderShareBps > BPS) revert BadTerms("builderShareBps", BPS, terms.builderShareBps);
        _terms[classDigest] = terms;
        emit ClassSet(classDigest, terms);
    }

    // --------------------------------------------------------------------------------------------------------- views

    function parameters() external view override returns (Parameters memory) {
        return _parameters;
    }

    function governor() external view override returns (address) {
        return GOVERNOR;
    }

    function exitDelayEpochs() external view override returns (uint64) {
        return EXIT_DELAY_EPOCHS;
    }

    function totalHeld() external view override returns (uint256) {
        return _totalHeld;
    }

    function nodeOfChips(bytes32 chips) external view override returns (bytes32) {
        return _nodeOfChips[chips];
    }

    function classTerms(bytes32 classDigest) external view override returns (ClassTerms memory) {
        return _terms[classDigest];
    }

    function registrationCount() external view override returns (uint256) {
        return _registrations.length;
    }

    function registrationAt(uint256 id) public view override returns (Registration memory r) {
        if (id != 0) r = _registrations[id - 1];
    }

    function registration(bytes32 node, address provider) external view override returns (Registration memory) {
        return registrationAt(_latest[node][provider]);
    }

    function account(bytes32 node) external view override returns (Account memory) {
        return _accounts[node];
    }

    function isReservable(bytes32 node) external view override returns (bool) {
        Account storage a = _accounts[node];
        if (a.owner == address(0) || a.transferTo != address(0)) return false;
        Registration storage r = _byId(a.registrationId);
        return r.exitEpochs == 0 && (r.status == NodeStatus.Active || r.status == NodeStatus.Warned);
    }

    function classOf(bytes32 node) external view override returns (bytes32) {
        Account storage a = _accounts[node];
        return a.owner == address(0) ? bytes32(0) : _byId(a.registrationId).classDigest;
    }

    function providerAt(bytes32 node, uint64 epoch) external view override returns (address) {
        Account storage a = _accounts[node];
        return epoch < a.handOverEpochs ? _byId(a.previousId).provider : a.owner;
    }

    // ------------------------------------------------------------------------------------------------------- helpers

    /// @dev Reverts: NotRegistered, WrongStatus.
    function _provisional(bytes32 node, address provider) private view returns (Registration storage r) {
        (, r) = _of(node, provider);
        if (r.status != NodeStatus.Provisional) revert WrongStatus(node, provider, r.status);
    }

    /// @dev Which registrations wait when an epoch begins is what its root goes by: those made before, and offers accepted
    /// `changeDelayMs` before. Reverts: Counts.
    function _requireNotCounted(Registration storage r, uint256 begunMs) private view {
        uint256 fromMs = r.registeredAtMs + (r.offeredBy == address(0) ? 0 : _parameters.changeDelayMs);
        if (fromMs <= begunMs) revert Counts(r.node, r.provider, begunMs);
    }

    /// @dev Ends a provisional registration and pays its pledge back.
    function _end(Registration storage r, bool expired) private {
        uint128 paid = _close(r);
        r.status = NodeStatus.None;
        emit RegistrationEnded(r.node, r.provider, paid, expired);
        _pay(r.provider, paid);
    }

    /// @dev Reverts: EscrowPending, ExitTooEarly, LastLeafMissing.
    function _requireFree(Account storage a, uint64 id, Registration storage r) private view {
        // of entries that took nothing none is waited for: whatever becomes of their roots, they move no money
        if (r.escrow != 0) revert EscrowPending(r.node, r.provider, _queues[id].first().epoch, r.escrow);
        uint64 fromEpochs = r.exitEpochs;
        // who handed over answers through that, also when it had asked to leave before; all ones are of who left, and that
        // registration has ended
        bool handedOver = id == a.previousId;
        if (handedOver && a.handOverEpochs > fromEpochs) fromEpochs = a.handOverEpochs; // equivalent: equal ones are either
        uint256 startMs = _epochStartMs(fromEpochs);
        uint256 freeAtMs = _closesMs(startMs, uint256(EXIT_DELAY_EPOCHS) * EPOCH_MS);
        if (_nowMs() < freeAtMs) revert ExitTooEarly(r.node, r.provider, freeAtMs, _nowMs());
        bool silent = _nowMs() >= freeAtMs + _parameters.silenceMs;
        if (id != a.registrationId || silent) return;
        if (r.exitLeafEpochs == 0 || !_isOver(r.exitLeafEpochs - 1, r.exitLeafCorrections)) {
            revert LastLeafMissing(r.node, r.exitEpochs - 1 + EXIT_DELAY_EPOCHS, a.settledEpochs);
        }
    }

    function _isOver(uint64 epoch, uint8 corrections) private view returns (bool) {
        return EPOCHS.isFinal(epoch) && _stands(epoch, corrections);
    }

    /// @dev The owner leaves: id and processors are free for another registration. `chipsEpochs` stays: it only grows.
    function _vacate(Account storage a, bytes32 node) private {
        _endOffer(a, node);
        if (_nodeOfChips[a.chips] == node) delete _nodeOfChips[a.chips];
        a.owner = address(0);
        a.previousId = a.registrationId;
        a.registrationId = 0;
        a.handOverEpochs = type(uint64).max;
        a.chips = 0;
    }
}
