// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IAssayEpochs} from "../interfaces/IAssayEpochs.sol";
import {INodesCollateral} from "../interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../interfaces/IAssayReservations.sol";
import {NodeLeaf, NodeStatus, Resolution} from "../interfaces/Types.sol";
import {NodeStates} from "../lib/NodeStates.sol";
import {SlashQueue} from "../lib/SlashQueue.sol";
import {NodesSlash} from "./NodesSlash.sol";

/// @title What leaves do to status and escrow, and where escrow goes.
abstract contract NodesSettlement is NodesSlash, INodesCollateral {
    using SlashQueue for SlashQueue.Queue;

    /// @dev What one call of `release` moves. Parts are by entry, so that each goes to its epoch's Builder.
    struct Payout {
        uint128 treasury;
        uint128 builders;
        uint256 count;
        uint64[] epochs;
        uint128[] parts;
    }

    // -------------------------------------------------------------------------------------------------------- settle

    function settle(NodeLeaf calldata leaf, bytes32[] calldata proof) external override nonReentrant {
        IAssayEpochs.EpochRecord memory record = _proven(leaf, proof);
        if (_holds(leaf)) return;
        Account storage a = _accounts[leaf.node];
        _checkOrder(leaf.node, leaf.epoch, record.corrections, a.settledEpochs, a.settledCorrections);
        Registration storage r = _byId(a.registrationId);
        bool grown = leaf.cumulativeSlash > a.cumulativeSlash;
        NodeStatus status = r.status;
        // the same epoch again, corrected: its verdict takes the place of the one before
        if (leaf.epoch + 1 == a.settledEpochs && NodeStates.isLive(status)) status = r.statusBefore;
        r.statusBefore = status;
        if (r.status == NodeStatus.Suspended && _nowMs() >= _removableAtMs(r)) status = NodeStatus.Removed;
        status = NodeStates.next(status, grown ? NodeStates.BREACH : leaf.verdict);
        _account(a, r, leaf, record.corrections);
        _setStatus(r, status);
        _noteLastLeaf(r, leaf.epoch, record.corrections);
        emit NodeSettled(leaf.node, leaf.epoch, a.owner, leaf.verdict, leaf.tier);
    }

    function release(bytes32 node, address provider) external override nonReentrant {
        (uint64 id, Registration storage r) = _of(node, provider);
        SlashQueue.Queue storage q = _queues[id];
        // slither-disable-next-line uninitialized-local: sums begin at zero
        Payout memory p;
        p.epochs = new uint64[](SlashQueue.MAX_STEPS);
        p.parts = new uint128[](SlashQueue.MAX_STEPS);
        uint256 step;
        for (; step < SlashQueue.MAX_STEPS && !q.isEmpty(); ++step) {
            SlashQueue.Entry memory e = q.first();
            Fate fate = _fate(e);
            if (fate == Fate.Wait) break;
            q.dropFirst();
            if (fate == Fate.Pay) {
                _take(r, e, p);
                continue;
            }
            _giveBack(r, e);
            // who leaves answers to one leaf more for what came back
            if (e.taken != 0) r.exitLeafEpochs = 0;
        }
        if (step == 0) revert NothingToRelease(node, provider);
        _setStatus(r, r.status);
        _payOut(node, p);
    }

    function pendingReleases(bytes32 node, address provider) external view override returns (uint256) {
        SlashQueue.Queue storage q = _queues[_latest[node][provider]];
        return q.entries.length - q.head;
    }

    // ------------------------------------------------------------------------------------------------------- leaves

    /// @dev Whether the leaf names a provider that only `confirm` can make the owner. Its registration then stays
    /// where it is until the root is final, and nothing else is settled: sums are cumulative, so nothing is lost.
    function _holds(NodeLeaf calldata leaf) private returns (bool) {
        Account storage a = _accounts[leaf.node];
        uint64 id = _latest[leaf.node][leaf.owner];
        if (a.owner != address(0)) {
            if (!leaf.confirmed || leaf.owner == a.owner || leaf.owner != a.transferTo || id == 0) return false;
            if (!_waits(_byId(id))) return false;
            if (_epochStartMs(leaf.epoch) < _changeFromMs(a)) return false;
        } else {
            if (!leaf.confirmed) revert NotConfirmed(leaf.node, leaf.epoch);
            if (id == 0 || !_waits(_byId(id))) revert NotRegistered(leaf.node, leaf.owner);
            _requireBegan(leaf, _byId(id).registeredAtMs);
        }
        // only the first one holds it: no sequence of leaves can hold a pledge for ever
        if (_byId(id).confirmingAtMs == 0) {
            _byId(id).confirmingAtMs = _nowMs();
            emit NodeConfirming(leaf.node, leaf.owner, leaf.epoch);
        }
        return true;
    }

    /// @dev Only later epochs, or the last one anew when it was corrected. Reverts: StaleLeaf, AlreadySettled.
    function _checkOrder(bytes32 node, uint64 epoch, uint8 corrections, uint64 lastEpochs, uint8 lastCorrections)
        internal
        pure
    {
        if (epoch + 1 < lastEpochs) revert StaleLeaf(node, lastEpochs, epoch);
        if (epoch + 1 == lastEpochs && corrections <= lastCorrections) {
            revert AlreadySettled(node, epoch, corrections);
        }
    }

    /// @dev Of a registration that leaves: the first leaf at or after the end of the exit delay, as long as its root stands.
    function _noteLastLeaf(Registration storage r, uint64 epoch, uint8 corrections) private {
        if (r.exitEpochs == 0 || epoch + 1 < uint256(r.exitEpochs) + EXIT_DELAY_EPOCHS) return;
        if (r.exitLeafEpochs != 0 && _stands(r.exitLeafEpochs - 1, r.exitLeafCorrections)) return;
        r.exitLeafEpochs = epoch + 1;
        r.exitLeafCorrections = corrections;
    }

    /// @dev Whether a root was not replaced since. One so old that its record is gone was final before that.
    function _stands(uint64 epoch, uint8 corrections) internal view returns (bool) {
        IAssayEpochs.EpochRecord memory record = EPOCHS.epochRecord(epoch);
        if (record.resolution == Resolution.Posted) return record.corrections == corrections;
        return record.resolution == Resolution.Open && EPOCHS.isFinal(epoch);
    }

    // ------------------------------------------------------------------------------------------------------- escrow

    function _take(Registration storage r, SlashQueue.Entry memory e, Payout memory p) private {
        if (e.taken == 0) return;
        r.escrow -= e.taken;
        r.slashed += e.taken;
        _totalHeld -= e.taken;
        uint128 part = uint128(uint256(e.taken) * _terms[r.classDigest].builderShareBps / BPS);
        if (part != 0) {
            p.epochs[p.count] = e.epoch;
            p.parts[p.count++] = part;
        }
        p.builders += part;
        p.treasury += e.taken - part;
        emit Released(r.node, r.provider, e.epoch, e.taken - part, part);
    }

    function _payOut(bytes32 node, Payout memory p) private {
        if (p.builders != 0) {
            IAssayReservations reservations = _reservations();
            SafeERC20.forceApprove(TOKEN, address(reservations), p.builders);
            for (uint256 i; i < p.count; ++i) {
                reservations.depositSlash(node, p.epochs[i], p.parts[i]);
            }
        }
        _pay(TREASURY, p.treasury);
    }
}
