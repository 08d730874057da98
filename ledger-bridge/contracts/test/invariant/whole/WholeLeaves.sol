// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../../../src/interfaces/IAssayEpochs.sol";
import {INodesTypes} from "../../../src/interfaces/IAssayNodes.sol";
import {NodeLeaf, NodeStatus, Resolution} from "../../../src/interfaces/Types.sol";
import {SlashQueue} from "../../../src/lib/SlashQueue.sol";
import {Vm} from "../../support/Vm.sol";
import {WholeBooks} from "./WholeBooks.sol";

/// @title What leaves do to nodes, and where escrow goes.
abstract contract WholeLeaves is WholeBooks {
    /// @dev Slot of the queues in AssayNodes, see NodesBase.
    uint256 private constant QUEUES = 7;

    /// @dev A leaf of one of the latest roots.
    function settle(uint256 seed) external {
        seed = mixed(seed);
        (bool found, uint64 epoch) = latest((seed >> 8) % 6 == 0 ? 1 + (seed >> 16) % 4 : 0);
        if (found) settleLeaf(seed % 2, treeOf[epoch] - 1);
    }

    /// @dev A leaf of any root that ever was: most are settled, passed over, or not in force any more.
    function settleOld(uint256 seed) external {
        seed = mixed(seed);
        settleLeaf(seed % 2, trees.length - 1 - (seed >> 16) % (seed & 2 == 0 || trees.length < 6 ? trees.length : 6));
    }

    /// @dev Goes through when it is in force and newer than what was settled, whatever the provider has done; else never.
    function settleLeaf(uint256 n, uint256 tree) internal {
        NodeLeaf memory leaf = trees[tree].nodes[n];
        INodesTypes.Account memory a = nodes.account(leaf.node);
        INodesTypes.Registration memory r = nodes.registrationAt(a.registrationId);
        INodesTypes.Registration memory standing = withoutReplaced(a.registrationId);
        bool again = leaf.epoch + 1 == _settledEpochs[n];
        bool fresh = again
            ? epochs.epochRecord(leaf.epoch).corrections > _settledCorrections[n]
            : leaf.epoch + 1 > _settledEpochs[n];
        bool holds = leaf.confirmed && leaf.owner != a.owner && leaf.owner == a.transferTo
            && takesOver(n, a, GENESIS_MS + uint256(leaf.epoch) * EPOCH_MS);
        bytes32 before = registrationsHash();
        bool done = trySettle(tree, n);
        if (!inForce(tree)) {
            did("try a root that was replaced");
            if (done) mistake(Rule.Once, "settled by a root that was replaced");
        } else if (a.owner != address(0) && !holds) {
            if (done && !fresh) mistake(Rule.Once, "settled again");
            if (!done && fresh) mistake(Rule.Slash, "a leaf was refused");
            if (!fresh) did("try a leaf that is settled");
            if (done) {
                checkAsk(n, standing, leaf.cumulativeSlash, again ? 0 : leaf.epoch + 1 - _settledEpochs[n]);
                afterSettle(n, leaf, r, again);
                watch(again ? Cause.SettleAgain : Cause.Settle);
                before = registrationsHash();
                if (trySettle(tree, n)) mistake(Rule.Once, "settled twice");
            }
        } else if (done) {
            did("hold");
        } else if (holds) {
            mistake(Rule.Slash, "a leaf that names the next owner was refused");
        }
        if (registrationsHash() != before) mistake(Rule.Once, "what was not settled had an effect");
        watch(Cause.Nothing);
    }

    function trySettle(uint256 tree, uint256 n) private returns (bool done) {
        try nodes.settle(trees[tree].nodes[n], proofOf(tree, n)) {
            done = true;
        } catch {}
    }

    function afterSettle(uint256 n, NodeLeaf memory leaf, INodesTypes.Registration memory before, bool again) private {
        did(again ? "settle a corrected leaf" : "settle");
        _settledTree[leaf.node][leaf.epoch] = treeOf[leaf.epoch];
        _settledEpochs[n] = leaf.epoch + 1;
        _settledCorrections[n] = epochs.epochRecord(leaf.epoch).corrections;
        INodesTypes.Registration memory r = nodes.registration(leaf.node, before.provider);
        bool bad = leaf.verdict > 1 || r.counted > before.counted || leaf.cumulativeSlash > before.counted;
        bool poor = r.collateral < nodes.classTerms(r.classDigest).removeBelow;
        if (!again && !bad && !poor && r.status > before.status && r.status != NodeStatus.Removed) {
            mistake(Rule.Silence, "a status became worse without a breach");
        }
        if (before.exitEpochs != 0 && r.escrow > before.escrow) did("slash who leaves");
    }

    /// @dev A registration without what roots asked for that stand no more: a leaf gives that back before it asks.
    function withoutReplaced(uint256 id) private view returns (INodesTypes.Registration memory r) {
        r = nodes.registrationAt(id);
        uint256 queue = uint256(keccak256(abi.encode(id, QUEUES)));
        uint256 head = uint256(loaded(queue));
        uint256 end = uint256(loaded(queue + 1));
        for (uint256 steps; end > head && steps < SlashQueue.MAX_STEPS; ++steps) {
            uint256 slot = uint256(keccak256(abi.encode(queue + 1))) + 2 * --end;
            uint256 entry = uint256(loaded(slot));
            IAssayEpochs.EpochRecord memory record = epochs.epochRecord(uint64(entry));
            if (record.resolution == Resolution.Posted && record.corrections == uint8(entry >> 64)) return r;
            uint128 taken = uint128(uint256(loaded(slot + 1)));
            r.spareEpochs += uint32(entry >> 72);
            r.counted -= uint128(entry >> 104);
            (r.escrow, r.collateral) = (r.escrow - taken, r.collateral + taken);
        }
    }

    function loaded(uint256 slot) private view returns (bytes32) {
        return vm.load(address(nodes), bytes32(slot));
    }

    /// @dev What a leaf asks for goes into escrow: the least of what was asked, caps and collateral.
    /// @param before without what replaced roots asked for
    function checkAsk(uint256 n, INodesTypes.Registration memory before, uint128 target, uint256 covered) private {
        INodesTypes.Registration memory r = nodes.registration(nodeIds[n], before.provider);
        if (r.collateral + r.escrow != before.collateral + before.escrow || r.slashed != before.slashed) {
            mistake(Rule.Money, "a leaf moved more than escrow");
        }
        if (r.counted != target) mistake(Rule.Slash, "counted is not what the leaf asks for");
        checkTaken(before, r, target, covered, nodes.classTerms(before.classDigest));
    }

    function checkTaken(
        INodesTypes.Registration memory before,
        INodesTypes.Registration memory r,
        uint128 target,
        uint256 covered,
        INodesTypes.ClassTerms memory terms
    ) private {
        if (target <= before.counted) {
            if (r.escrow > before.escrow) mistake(Rule.Slash, "taken without being asked");
            return;
        }
        covered += before.spareEpochs;
        uint256 most = uint256(before.pledged) * terms.slashCapBps / 10_000;
        uint256 gone = uint256(before.escrow) + before.slashed;
        most = most < gone ? 0 : most - gone;
        uint256 taken = target - before.counted;
        uint256 cap = terms.slashCapPerEpoch * (covered == 0 ? 1 : covered);
        if (taken > cap) (taken, cap) = (cap, 0);
        if (taken > most) taken = most;
        if (taken > before.collateral) taken = before.collateral;
        if (r.escrow != before.escrow + taken) mistake(Rule.Slash, "another amount than was due");
        if (taken != 0) did(cap == 0 ? "take a cap" : "take");
    }

    /// @dev One provider's registrations of a node come one after the other; two may be made at the same time.
    function idOf(INodesTypes.Registration memory r) private view returns (uint256 id) {
        for (id = nodes.registrationCount(); id != 0; --id) {
            INodesTypes.Registration memory found = nodes.registrationAt(id);
            if (found.node == r.node && found.provider == r.provider && found.registeredAtMs == r.registeredAtMs) {
                break;
            }
        }
    }

    function confirm(uint256 seed) external {
        seed = mixed(seed);
        (bool found, uint64 epoch) = latest((seed >> 8) % 8);
        if (!found) return;
        confirmLeaf(seed % 2, (seed >> 16) % 8 == 0 ? (seed >> 32) % trees.length : treeOf[epoch] - 1);
    }

    /// @dev A hand-over takes from the owner before what the leaf asks for, so that must go through, too.
    function confirmLeaf(uint256 n, uint256 tree) internal {
        NodeLeaf memory leaf = trees[tree].nodes[n];
        bytes32[] memory proof = proofOf(tree, n);
        INodesTypes.Account memory a = nodes.account(leaf.node);
        INodesTypes.Registration memory old = withoutReplaced(a.registrationId);
        bool may = inForce(tree) && epochs.isFinal(leaf.epoch) && leaf.confirmed && leaf.owner != a.owner;
        bool handsOver = a.owner != address(0) && leaf.owner == a.transferTo && leaf.epoch + 1 >= _settledEpochs[n]
            && takesOver(n, a, GENESIS_MS + uint256(leaf.epoch) * EPOCH_MS);
        bytes32 before = registrationsHash();
        try nodes.confirm(leaf, proof) {
            if (!may || (a.owner != address(0) && !handsOver)) mistake(Rule.Once, "an owner that was not due");
            afterConfirm(n, leaf, a, old);
            watch(Cause.Confirm);
            before = registrationsHash();
        } catch {
            if (may && handsOver) mistake(Rule.Slash, "a hand-over was refused");
        }
        try nodes.confirm(leaf, proof) {
            mistake(Rule.Once, "confirmed twice");
        } catch {}
        if (registrationsHash() != before) mistake(Rule.Once, "what was not confirmed had an effect");
    }

    function afterConfirm(
        uint256 n,
        NodeLeaf memory leaf,
        INodesTypes.Account memory a,
        INodesTypes.Registration memory old
    ) private {
        INodesTypes.Account memory b = nodes.account(leaf.node);
        if (a.owner != address(0)) {
            did("hand over");
            bool again = leaf.epoch + 1 == _settledEpochs[n];
            checkAsk(n, old, leaf.cumulativeSlash, again ? 0 : leaf.epoch + 1 - _settledEpochs[n]);
            _settledTree[leaf.node][leaf.epoch] = treeOf[leaf.epoch];
        } else {
            did("confirm");
        }
        if (a.confirmedEpochs != 0) _base[b.registrationId] = leaf.cumulativeSlash;
        (_settledEpochs[n], _settledCorrections[n]) = (b.settledEpochs, b.settledCorrections);
    }

    // ---------------------------------------------------------------------------------------------------------- escrow

    function release(uint256 seed) external {
        seed = mixed(seed);
        releaseOf(seed % 2, providers[(seed >> 8) % 3]);
        releaseOf(seed % 2, nodes.account(nodeIds[seed % 2]).owner);
    }

    function releaseOf(uint256 n, address provider) private returns (bool done) {
        bytes32 node = nodeIds[n];
        INodesTypes.Registration memory before = nodes.registration(node, provider);
        uint64 next = epochs.nextEpoch();
        bool due = nodes.pendingReleases(node, provider) != 0 && epochs.isFinal(next - 1);
        vm.recordLogs();
        try nodes.release(node, provider) {
            done = true;
        } catch {
            if (due) mistake(Rule.Slash, "escrow of final roots was not released");
            return false;
        }
        uint256 sum = readReleased(before);
        INodesTypes.Registration memory r = nodes.registration(node, provider);
        if (r.slashed != before.slashed + sum) mistake(Rule.Money, "slashed is not what was paid");
        if (before.collateral + before.escrow != r.collateral + r.escrow + sum) {
            mistake(Rule.Money, "another amount than was in escrow");
        }
        if (r.collateral != before.collateral) did("give back");
        watch(Cause.Release);
    }

    /// @dev Each root takes once, when it is final, and the Builder of the epoch that asked gets a quarter.
    function readReleased(INodesTypes.Registration memory r) private returns (uint256 sum) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 id = idOf(r);
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != INodesTypes.Released.selector) continue;
            uint64 epoch = uint64(uint256(logs[i].topics[3]));
            (uint128 toTreasury, uint128 toBuilder) = abi.decode(logs[i].data, (uint128, uint128));
            if (_released[id][epoch]) mistake(Rule.Once, "one root took twice");
            _released[id][epoch] = true;
            if (!epochs.isFinal(epoch)) mistake(Rule.Once, "a root that is not final took");
            uint256 tree = _settledTree[r.node][epoch];
            if (tree == 0 || treeOf[epoch] != tree) mistake(Rule.Once, "a root that was replaced took");
            if (toBuilder != (uint256(toTreasury) + toBuilder) / 4) mistake(Rule.Money, "shares of a slash");
            address builder = _builderOf[r.node][epoch];
            _owed[builder == address(0) ? treasury : builder] += toBuilder;
            _treasuryGot += toTreasury;
            sum += uint256(toTreasury) + toBuilder;
            did(builder == address(0) ? "release" : "release to a Builder");
        }
    }
}
