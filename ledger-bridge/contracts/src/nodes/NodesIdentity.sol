// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../interfaces/IAssayEpochs.sol";
import {INodesIdentity} from "../interfaces/IAssayNodes.sol";
import {NodeLeaf, NodeStatus} from "../interfaces/Types.sol";
import {NodesBase} from "./NodesBase.sol";
import {NodesSlash} from "./NodesSlash.sol";

/// @title Who a node is: owner and processors. Only leaves of final epochs change any of it.
/// @dev AssayNodes deploys it and runs its code on its own storage, because the code of both is more than one contract can
/// hold. Its own storage is empty: called directly, every function reverts.
contract NodesIdentity is NodesSlash, INodesIdentity {
    /// @dev Reverts: BadParameter.
    constructor(IAssayEpochs epochs, address governor, Parameters memory p) NodesBase(epochs, governor, p) {}

    function confirm(NodeLeaf calldata leaf, bytes32[] calldata proof) external override nonReentrant {
        IAssayEpochs.EpochRecord memory record = _proven(leaf, proof);
        if (!EPOCHS.isFinal(leaf.epoch)) revert EpochNotFinal(leaf.epoch);
        if (!leaf.confirmed) revert NotConfirmed(leaf.node, leaf.epoch);
        Account storage a = _accounts[leaf.node];
        if (a.owner == leaf.owner && leaf.owner != address(0)) return _changeChips(a, leaf);
        if (a.owner != address(0)) return _handOver(a, leaf, record.corrections);
        _confirmFirst(a, leaf, record.corrections);
    }

    // --------------------------------------------------------------------------------------------------------- owner

    /// @dev A node's first owner answers for all it was ever asked; a later one for what comes after this leaf, which is
    /// never an older one than was settled: it would set the node's sums back.
    function _confirmFirst(Account storage a, NodeLeaf calldata leaf, uint8 corrections) private {
        (uint64 id, Registration storage r) = _provisional(leaf);
        _requireBegan(leaf, r.registeredAtMs);
        _bindChips(a, leaf);
        a.owner = leaf.owner;
        a.registrationId = id;
        r.confirmedAtMs = _nowMs();
        if (a.confirmedEpochs == 0) {
            a.confirmedEpochs = leaf.epoch + 1;
            a.settledEpochs = _epochsBefore(r.registeredAtMs);
        } else {
            _requireNotStale(a, leaf);
            r.counted = leaf.cumulativeSlash;
            a.handOverEpochs = leaf.epoch + 1;
        }
        _account(a, r, leaf, corrections);
        emit NodeConfirmed(leaf.node, leaf.owner, leaf.epoch, leaf.chips);
        r.statusBefore = NodeStatus.Active;
        _setStatus(r, NodeStatus.Active);
    }

    /// @dev The old pledge answers up to this leaf. Its service ends with the current epoch, or where the old owner had
    /// asked to end it.
    function _handOver(Account storage a, NodeLeaf calldata leaf, uint8 corrections) private {
        if (leaf.owner != a.transferTo) revert NotOffered(leaf.node, a.transferTo, leaf.owner);
        (uint64 id, Registration storage r) = _provisional(leaf);
        _requireBegan(leaf, _changeFromMs(a));
        _requireNotStale(a, leaf);
        Registration storage old = _byId(a.registrationId);
        _bindChips(a, leaf);
        _account(a, old, leaf, corrections);
        (NodeStatus status, uint64 suspendedAtMs) = (old.status, old.suspendedAtMs);
        if (old.exitEpochs == 0) _startExit(old, EPOCHS.currentEpoch());
        // before the old one is removed: what accepted the offer is fulfilled, and does not lapse
        a.owner = leaf.owner;
        _setStatus(old, NodeStatus.Removed);
        a.previousId = a.registrationId;
        a.registrationId = id;
        a.handOverEpochs = leaf.epoch + 1;
        a.transferTo = address(0);
        r.confirmedAtMs = _nowMs();
        r.counted = leaf.cumulativeSlash;
        emit HandedOver(leaf.node, old.provider, leaf.owner, leaf.epoch);
        r.statusBefore = status;
        _setStatus(r, status);
        // a suspension does not begin anew with another owner
        if (r.status == NodeStatus.Suspended && suspendedAtMs != 0) r.suspendedAtMs = suspendedAtMs;
    }

    function _requireNotStale(Account storage a, NodeLeaf calldata leaf) private view {
        if (leaf.epoch + 1 < a.settledEpochs) revert StaleLeaf(leaf.node, a.settledEpochs, leaf.epoch);
    }

    function _provisional(NodeLeaf calldata leaf) private view returns (uint64 id, Registration storage r) {
        (id, r) = _of(leaf.node, leaf.owner);
        if (!_waits(r)) revert NotRegistered(leaf.node, leaf.owner);
    }

    function _epochsBefore(uint64 atMs) private view returns (uint64) {
        return atMs < GENESIS_MS ? 0 : (atMs - GENESIS_MS) / EPOCH_MS;
    }

    // --------------------------------------------------------------------------------------------------------- chips

    /// @dev Binds, where that is all the leaf is brought for. Reverts: NothingToConfirm, StaleLeaf, ChipsTaken.
    function _changeChips(Account storage a, NodeLeaf calldata leaf) private {
        if (leaf.chips == 0 || leaf.chips == a.chips) revert NothingToConfirm(leaf.node, leaf.epoch);
        if (_isStale(a, leaf)) revert StaleLeaf(leaf.node, a.chipsEpochs, leaf.epoch);
        _bindChips(a, leaf);
        if (a.chips != leaf.chips) revert ChipsTaken(leaf.chips, leaf.node, _nodeOfChips[leaf.chips]);
    }

    /// @dev Binds a leaf's processors to its node, and frees those it had. A leaf that is older than what bound or freed
    /// last, here or at the node that has them, changes nothing: that keeps nobody from being the owner.
    function _bindChips(Account storage a, NodeLeaf calldata leaf) private {
        (bytes32 from, bytes32 to) = (a.chips, leaf.chips);
        if (to == 0 || to == from || _isStale(a, leaf) || !_takeChips(leaf)) return;
        if (_nodeOfChips[from] == leaf.node) delete _nodeOfChips[from];
        _nodeOfChips[to] = leaf.node;
        a.chips = to;
        a.chipsEpochs = leaf.epoch + 1;
        emit ChipsChanged(leaf.node, from, to);
    }

    /// @dev Another node that has a leaf's processors loses them, unless it has them by a newer one.
    function _takeChips(NodeLeaf calldata leaf) private returns (bool) {
        bytes32 other = _nodeOfChips[leaf.chips];
        if (other == 0) return true;
        Account storage b = _accounts[other];
        if (_isStale(b, leaf)) return false;
        b.chips = 0;
        b.chipsEpochs = leaf.epoch + 1;
        emit ChipsChanged(other, leaf.chips, 0);
        return true;
    }

    /// @dev Whether a leaf is older than the one that last bound or freed processors of a node.
    function _isStale(Account storage a, NodeLeaf calldata leaf) private view returns (bool) {
        return leaf.epoch + 1 < a.chipsEpochs;
    }

    // -------------------------------------------------------------------------------------------------------- offers

    function offerTransfer(bytes32 node, address to) external override {
        (Account storage a, Registration storage r) = _owned(node);
        _requireStaying(r);
        if (a.previousId != 0 && _byId(a.previousId).endedAtMs == 0) {
            revert PredecessorLiable(node, _byId(a.previousId).provider);
        }
        uint64 id = _latest[node][a.transferTo];
        if (id != 0) _requireNotConfirming(_byId(id));
        _lapse(a, node);
        a.transferTo = to;
        a.changeAnnouncedAtMs = 0;
        emit TransferOffered(node, msg.sender, to);
    }

    function acceptTransfer(bytes32 node, string calldata endpoint, uint128 amount) external override nonReentrant {
        Account storage a = _accounts[node];
        if (a.transferTo != msg.sender) revert NotOffered(node, a.transferTo, msg.sender);
        Registration storage old = _byId(a.registrationId);
        _requireStaying(old);
        a.changeAnnouncedAtMs = _nowMs();
        _register(node, old.classDigest, old.region, endpoint, amount, a.owner);
    }
}
