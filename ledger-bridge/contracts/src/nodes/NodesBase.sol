// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAssayEpochs} from "../interfaces/IAssayEpochs.sol";
import {INodesTypes} from "../interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../interfaces/IAssayReservations.sol";
import {NodeLeaf, NodeStatus} from "../interfaces/Types.sol";
import {NodeStates} from "../lib/NodeStates.sol";
import {SlashQueue} from "../lib/SlashQueue.sol";
import {Funds} from "../Funds.sol";

/// @title What all parts of AssayNodes stand on: storage, time, status.
/// @dev Storage layout (nothing is upgradeable; the order matters to readers of raw storage only):
/// 0 parameters (two slots) · 2 total held · 3 class terms by digest · 4 registrations, id - 1 as index ·
/// 5 latest registration id by node and provider · 6 accounts by node · 7 queues by registration id ·
/// 8 node by bound chips, there as long as the node's account has them.
abstract contract NodesBase is INodesTypes, ReentrancyGuardTransient {
    uint256 internal constant BPS = 10_000;
    uint256 internal constant MAX_ENDPOINT = 256;
    uint8 internal constant NODE_LEAF = 1;

    IAssayEpochs internal immutable EPOCHS;
    IERC20 internal immutable TOKEN;
    address internal immutable TREASURY;
    address internal immutable GOVERNOR;
    uint64 internal immutable GENESIS_MS;
    uint64 internal immutable EPOCH_MS;
    uint64 internal immutable EXIT_DELAY_EPOCHS;

    Parameters internal _parameters;
    uint256 internal _totalHeld;
    // slither-disable-next-line uninitialized-state: NodesIdentity runs on the storage of AssayNodes, which sets it
    mapping(bytes32 => ClassTerms) internal _terms;
    Registration[] internal _registrations;
    mapping(bytes32 => mapping(address => uint64)) internal _latest;
    mapping(bytes32 => Account) internal _accounts;
    mapping(uint64 => SlashQueue.Queue) internal _queues;
    mapping(bytes32 => bytes32) internal _nodeOfChips;

    constructor(IAssayEpochs epochs, address governor_, Parameters memory p) {
        IAssayEpochs.Parameters memory network = epochs.parameters();
        uint256 untilFinalMs =
            uint256(network.voidAfterMs) + network.disputeWindowMs + network.disputeExtensionMs + network.epochMs;
        // a root that named a registration may be posted again, after a correction at the very end of the windows
        uint256 namedMs = 2 * untilFinalMs;
        if (p.provisionalMs < namedMs) revert BadParameter("provisionalMs", namedMs, p.provisionalMs);
        if (p.silenceMs < untilFinalMs) revert BadParameter("silenceMs", untilFinalMs, p.silenceMs);
        _checkYears("provisionalMs", p.provisionalMs);
        _checkYears("changeDelayMs", p.changeDelayMs);
        _checkYears("removeAfterMs", p.removeAfterMs);
        _checkYears("silenceMs", p.silenceMs);
        if (p.persistenceEpochs == 0) revert BadParameter("persistenceEpochs", 1, 0);
        if (governor_ == address(0)) revert ZeroId();
        EPOCHS = epochs;
        TOKEN = IERC20(epochs.token());
        TREASURY = epochs.treasury();
        GOVERNOR = governor_;
        GENESIS_MS = network.genesisUnixMs;
        EPOCH_MS = network.epochMs;
        EXIT_DELAY_EPOCHS =
            uint64(uint256(p.persistenceEpochs) + p.reauditEpochs + (untilFinalMs + EPOCH_MS - 1) / EPOCH_MS);
        _parameters = p;
    }

    /// @dev Ten years: every time stays far inside its type.
    function _checkYears(string memory name, uint64 ms) private pure {
        if (ms > 315_360_000_000) revert BadParameter(name, 315_360_000_000, ms);
    }

    // ---------------------------------------------------------------------------------------------------------- time

    function _nowMs() internal view returns (uint64) {
        return uint64(block.timestamp * 1000);
    }

    function _epochStartMs(uint256 epoch) internal view returns (uint256) {
        return GENESIS_MS + epoch * EPOCH_MS;
    }

    /// @dev When the current epoch began; 0 before the first one.
    function _begunMs() internal view returns (uint256 startMs) {
        startMs = _epochStartMs(EPOCHS.currentEpoch());
        if (startMs > _nowMs()) startMs = 0;
    }

    /// @dev The end of a window that opened at `startMs`; longer when the guardian extended it.
    function _closesMs(uint256 startMs, uint256 lengthMs) internal view returns (uint256) {
        return startMs + lengthMs + EPOCHS.windowExtensionMs(uint64(startMs));
    }

    /// @dev From when an announced change of owner can be brought by a leaf; never without an announcement.
    function _changeFromMs(Account storage a) internal view returns (uint256) {
        return a.changeAnnouncedAtMs == 0 ? type(uint64).max : a.changeAnnouncedAtMs + _parameters.changeDelayMs;
    }

    // -------------------------------------------------------------------------------------------------------- access

    /// @dev The registration of an id; ids start at 1.
    function _byId(uint64 id) internal view returns (Registration storage) {
        return _registrations[id - 1];
    }

    /// @dev Latest registration of a node by a provider. Reverts: NotRegistered.
    function _of(bytes32 node, address provider) internal view returns (uint64 id, Registration storage r) {
        id = _latest[node][provider];
        if (id == 0) revert NotRegistered(node, provider);
        r = _byId(id);
    }

    /// @dev The caller's own node. Reverts: OnlyOwner.
    function _owned(bytes32 node) internal view returns (Account storage a, Registration storage r) {
        a = _accounts[node];
        if (a.owner == address(0) || a.owner != msg.sender) revert OnlyOwner(node, a.owner, msg.sender);
        r = _byId(a.registrationId);
    }

    function _requireStaying(Registration storage r) internal view {
        if (r.exitEpochs != 0) revert Leaving(r.node, r.provider, r.exitEpochs - 1);
    }

    /// @dev Reverts: WrongLeafType, and what `proven` reverts with.
    function _proven(NodeLeaf calldata leaf, bytes32[] calldata proof)
        internal
        view
        returns (IAssayEpochs.EpochRecord memory)
    {
        if (leaf.leafType != NODE_LEAF) revert WrongLeafType(NODE_LEAF, leaf.leafType);
        return EPOCHS.proven(leaf.epoch, keccak256(bytes.concat(keccak256(abi.encode(leaf)))), proof);
    }

    /// @dev A root judges registrations as they stood when its epoch began. Reverts: LeafTooEarly.
    function _requireBegan(NodeLeaf calldata leaf, uint256 fromMs) internal view {
        uint256 startMs = _epochStartMs(leaf.epoch);
        if (startMs < fromMs) revert LeafTooEarly(leaf.node, fromMs, startMs);
    }

    function _reservations() internal view returns (IAssayReservations) {
        return IAssayReservations(EPOCHS.reservations());
    }

    // ------------------------------------------------------------------------------------------------- registrations

    /// @dev Takes a pledge and opens a provisional registration. Reverts: Paused, ZeroId, EndpointTooLong,
    /// PledgeTooSmall, AlreadyRegistered, WrongAmountReceived.
    function _register(
        bytes32 node,
        bytes32 classDigest,
        bytes32 region,
        string calldata endpoint,
        uint128 amount,
        address offeredBy
    ) internal {
        if (EPOCHS.isPaused()) revert Paused();
        if (node == 0) revert ZeroId();
        _checkEndpoint(endpoint);
        uint128 least = _terms[classDigest].collateral;
        if (amount < least) revert PledgeTooSmall(least, amount);
        Registration storage r = _open(node, msg.sender);
        r.status = NodeStatus.Provisional;
        r.pledged = amount;
        r.collateral = amount;
        r.offeredBy = offeredBy;
        r.classDigest = classDigest;
        r.region = region;
        r.endpoint = endpoint;
        _totalHeld += amount;
        emit NodeRegistered(node, msg.sender, classDigest, region, endpoint, amount, offeredBy != address(0));
        Funds.pull(TOKEN, msg.sender, amount);
    }

    /// @dev A new record; the provider's earlier one of this node must have ended. Reverts: AlreadyRegistered.
    function _open(bytes32 node, address provider) internal returns (Registration storage r) {
        uint64 id = _latest[node][provider];
        if (id != 0 && _byId(id).endedAtMs == 0) revert AlreadyRegistered(node, provider);
        r = _registrations.push();
        r.node = node;
        r.provider = provider;
        r.registeredAtMs = _nowMs();
        _latest[node][provider] = uint64(_registrations.length);
    }

    /// @dev Ends a registration and pays its collateral to its provider.
    function _close(Registration storage r) internal returns (uint128 paid) {
        paid = r.collateral;
        r.collateral = 0;
        r.endedAtMs = _nowMs();
        r.suspendedAtMs = 0;
        _totalHeld -= paid;
    }

    /// @dev Whether a leaf can make its provider the owner: it waits, and did not lapse.
    function _waits(Registration storage r) internal view returns (bool) {
        return r.status == NodeStatus.Provisional && r.exitEpochs == 0;
    }

    /// @dev The open offer ends without a hand-over: what accepted it owes no service after the current epoch, and waits
    /// for no leaf any more. A registration of the same account that accepts nothing waits on.
    function _lapse(Account storage a, bytes32 node) internal {
        uint64 id = _latest[node][a.transferTo];
        if (id == 0) return;
        Registration storage r = _byId(id);
        if (r.offeredBy == address(0) || !_waits(r)) return;
        uint64 lastEpoch = EPOCHS.currentEpoch();
        r.exitEpochs = lastEpoch + 1;
        emit AcceptanceLapsed(node, r.provider, lastEpoch);
    }

    /// @dev Who leaves or was removed offers nothing, and hands over to nobody.
    function _endOffer(Account storage a, bytes32 node) internal {
        _lapse(a, node);
        if (a.transferTo != address(0)) emit TransferOffered(node, a.owner, address(0));
        a.transferTo = address(0);
        a.changeAnnouncedAtMs = 0;
    }

    /// @dev Whom the token lets receive nothing holds up nobody else: what it has to get waits in AssayReservations.
    function _pay(address to, uint128 amount) internal {
        if (amount == 0 || SafeERC20.trySafeTransfer(TOKEN, to, amount)) return;
        IAssayReservations reservations = _reservations();
        SafeERC20.forceApprove(TOKEN, address(reservations), amount);
        reservations.deposit(to, amount);
    }

    function _checkEndpoint(string calldata endpoint) internal pure {
        if (bytes(endpoint).length > MAX_ENDPOINT) revert EndpointTooLong(MAX_ENDPOINT, bytes(endpoint).length);
    }

    // -------------------------------------------------------------------------------------------------------- status

    /// @dev Applies what does not depend on a verdict, see NodeStates, and then records the status. The offer of an owner
    /// that is removed ends; a hand-over has made another the owner before.
    function _setStatus(Registration storage r, NodeStatus to) internal {
        NodeStatus from = r.status;
        if (NodeStates.isLive(to)) {
            if (r.collateral == 0 && r.escrow == 0) to = NodeStatus.Removed;
            else if (r.collateral < _terms[r.classDigest].removeBelow) to = NodeStatus.Suspended;
        }
        if (to == from) return;
        r.status = to;
        r.suspendedAtMs = to == NodeStatus.Suspended ? _nowMs() : 0;
        if (to == NodeStatus.Removed) {
            Account storage a = _accounts[r.node];
            if (a.owner == r.provider) _endOffer(a, r.node);
            if (r.exitEpochs == 0) {
                uint64 trial = r.collateral + r.escrow == 0 ? 0 : _parameters.reauditEpochs;
                _startExit(r, EPOCHS.currentEpoch() + trial);
            }
        }
        emit StatusChanged(r.node, r.provider, from, to);
    }

    /// @dev Service is owed through `lastEpoch`. Never one that is over, and never a later one than before: who reads which
    /// registrations owe service in an epoch that has begun reads the same ever after.
    function _startExit(Registration storage r, uint64 lastEpoch) internal {
        r.exitEpochs = lastEpoch + 1;
        emit ExitRequested(r.node, r.provider, lastEpoch, lastEpoch + EXIT_DELAY_EPOCHS);
    }

    function _removableAtMs(Registration storage r) internal view returns (uint256) {
        return _closesMs(r.suspendedAtMs, _parameters.removeAfterMs);
    }

    /// @dev While a posted root names a provider, its registration or the offer to it stands, unless it lapsed. Reverts:
    /// Confirming.
    function _requireNotConfirming(Registration storage r) internal view {
        if (!_waits(r) || r.confirmingAtMs == 0) return;
        uint256 untilMs = _closesMs(r.confirmingAtMs, _parameters.provisionalMs);
        if (_nowMs() < untilMs) revert Confirming(r.node, r.provider, untilMs, _nowMs());
    }
}
