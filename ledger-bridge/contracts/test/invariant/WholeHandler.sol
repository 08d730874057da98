// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayFaults} from "../../src/AssayFaults.sol";
import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";
import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {EpochRoot, NodeLeaf, NodeStatus, ReauditLeaf, RewardLeaf} from "../../src/interfaces/Types.sol";
import {Billing} from "../../src/lib/Billing.sol";
import {Vm} from "../support/Vm.sol";
import {WholeNetwork} from "./WholeNetwork.sol";

/// @title Plays everybody in a network of real contracts at random, and keeps its own books beside theirs.
/// @notice What must go through and does not, and what must not and does, is written down as a mistake; so is every amount
/// that is not what the rules say. No call of a handler's function reverts by itself.
contract WholeHandler is WholeNetwork {
    /// @notice Which rule a mistake breaks.
    enum Rule {
        Money,
        Once,
        Claims,
        Slash,
        Silence,
        States
    }

    /// @dev What a call may do to registrations.
    enum Cause {
        Nothing,
        Register,
        End,
        Confirm,
        Settle,
        SettleAgain,
        Reaudit,
        Release,
        Remove,
        Exit
    }

    /// @dev What was settled last by a root of an epoch.
    /// @param epoch of the leaf that asked: of a re-audit, the audited one
    /// @param asking tree of that epoch then, and 1
    /// @param taking tree of the root that was settled, and 1
    struct Ask {
        uint64 epoch;
        uint256 asking;
        uint256 taking;
    }

    address private constant DISPUTER = address(0xd15);
    address private constant REPORTER = address(0x4e9);

    mapping(Rule => uint256) public mistakes;
    mapping(Rule => string) public lastMistake;
    /// @notice How often an action went through.
    mapping(string => uint256) public times;
    uint256 private _salt;

    // books of the nodes
    uint64[2] private _settledEpochs;
    uint8[2] private _settledCorrections;
    uint64[2] private _auditedEpochs;
    uint64[2] private _reauditEpochs;
    uint8[2] private _reauditCorrections;
    mapping(uint256 => NodeStatus) private _status;
    /// @dev by registration: the node's sum when it became the owner's; only what came later is asked for
    mapping(uint256 => uint128) private _base;
    /// @dev by registration and epoch of a root: what left escrow for good, and what asked for it
    mapping(uint256 => mapping(uint64 => bool)) private _released;
    mapping(bytes32 => mapping(uint64 => Ask)) private _asks;

    // books of the money
    mapping(address => uint256) private _owed;
    mapping(bytes32 => mapping(uint64 => address)) private _builderOf;
    mapping(address => uint256) private _claimed;
    uint256 private _treasuryGot;
    uint256 private _reporterGot;
    uint256 private _funded;
    uint256 private _bonds;
    uint256 private _staked;

    // what convicts
    uint32 private _faults;

    constructor() {
        begin();
        _funded = uint256(BUDGETS) * BUDGET;
        give(DISPUTER, address(epochs), 1_000_000 ether);
        _staked = stake.totalHeld();
        for (uint256 n; n < 2; ++n) {
            pledge(n, n, n == 0 ? CLASS : STRICT);
        }
        watch(Cause.Register);
        if (!postTree(0) || !postTree(1)) revert();
        vm.warp(epochs.epochRecord(0).finalAtMs / 1000);
        for (uint256 n; n < 2; ++n) {
            confirmLeaf(n, 0);
            offerBy(n, 5 ether);
        }
    }

    // ---------------------------------------------------------------------------------------------------------- watch

    function mistake(Rule rule, string memory what) private {
        ++mistakes[rule];
        lastMistake[rule] = what;
    }

    function did(string memory what) private {
        ++times[what];
    }

    /// @dev The fuzzer likes small numbers and repeats them: what is drawn from a seed is even, and new each time.
    function mixed(uint256 seed) private returns (uint256) {
        return uint256(keccak256(abi.encode(seed, ++_salt)));
    }

    /// @dev All that registrations are, but for when a root named them.
    function registrationsHash() private view returns (bytes32 hash) {
        for (uint256 id = 1; id <= nodes.registrationCount(); ++id) {
            INodesTypes.Registration memory r = nodes.registrationAt(id);
            r.confirmingAtMs = 0;
            hash = keccak256(abi.encode(hash, r));
        }
    }

    /// @dev For calls that are no settlement: whatever happens, it takes nothing from any node and judges none.
    modifier still() {
        bytes32 before = registrationsHash();
        _;
        if (registrationsHash() != before) mistake(Rule.Silence, "a node was judged without a leaf");
        watch(Cause.Nothing);
    }

    /// @dev Every registration went from its state to one that the cause allows.
    function watch(Cause cause) private {
        for (uint256 id = 1; id <= nodes.registrationCount(); ++id) {
            INodesTypes.Registration memory r = nodes.registrationAt(id);
            if (r.status == _status[id]) continue;
            if (!mayGo(_status[id], r, cause)) mistake(Rule.States, "a status that was not to be reached");
            _status[id] = r.status;
        }
    }

    function mayGo(NodeStatus from, INodesTypes.Registration memory r, Cause cause) private view returns (bool) {
        NodeStatus to = r.status;
        bool judged = cause == Cause.Settle || cause == Cause.SettleAgain;
        if (to == NodeStatus.Provisional) return from == NodeStatus.None && cause == Cause.Register;
        if (from == NodeStatus.Provisional) {
            return to == NodeStatus.None ? cause == Cause.End : to != NodeStatus.Removed && cause == Cause.Confirm;
        }
        // None and Removed are final
        if (from == NodeStatus.None || from == NodeStatus.Removed || to == NodeStatus.None) return false;
        if (to == NodeStatus.Removed) {
            bool empty = r.collateral == 0 && r.escrow == 0;
            bool suspended = from == NodeStatus.Suspended && (judged || cause == Cause.Remove);
            return suspended || cause == Cause.Exit || cause == Cause.Confirm || (empty && cause == Cause.Release);
        }
        bool poor = r.collateral < nodes.classTerms(r.classDigest).removeBelow;
        if (to == NodeStatus.Suspended && poor) return judged || cause == Cause.Reaudit || cause == Cause.Release;
        if (cause == Cause.SettleAgain) return true;
        // one step at a time
        int256 step = int256(uint256(to)) - int256(uint256(from));
        return judged && (step == 1 || step == -1);
    }

    function latest(uint256 back) private view returns (bool found, uint64 epoch) {
        uint64 next = epochs.nextEpoch();
        for (uint64 e = next; e != 0 && next - e < 16;) {
            if (treeOf[--e] == 0) continue;
            if (back == 0) return (true, e);
            --back;
        }
    }

    function inForce(uint256 tree) private view returns (bool) {
        return treeOf[trees[tree].root.epoch] == tree + 1;
    }

    // ---------------------------------------------------------------------------------------------------------- epochs

    function post(uint256 seed) external still {
        seed = mixed(seed);
        for (uint256 i; i < 1 + seed % 3; ++i) {
            if (postTree(uint256(keccak256(abi.encode(seed, i))))) did("post");
            else mistake(Rule.Money, "a root was refused");
        }
    }

    /// @dev No root for a time, and the epochs of it are void.
    function outage(uint256 seed) external still {
        seed = mixed(seed);
        vm.warp(block.timestamp + (2 + seed % 7) * HOUR);
        uint256 count = (seed >> 8) % 7;
        for (uint256 i; i < count; ++i) {
            try epochs.postVoid(epochs.nextEpoch()) {
                did("void");
            } catch {
                break;
            }
        }
    }

    function pass(uint256 seed) external still {
        vm.warp(block.timestamp + (mixed(seed) % 5) * HOUR);
        did("pass");
    }

    function correct(uint256 seed) external still {
        seed = mixed(seed);
        (bool found, uint64 epoch) = latest(seed % 3);
        if (!found) return;
        if ((seed >> 128) % 3 == 0) disputeOne(epoch);
        bool open = !epochs.isFinal(epoch);
        uint256 newest = treeBefore(epochs.nextEpoch());
        if (correctTree(epoch, seed >> 8)) {
            did("correct");
            if (!open) mistake(Rule.Once, "a final root was replaced");
            // which was replaced, or undone and not posted again
            settleLeaf(0, newest - 1);
            settleLeaf(1, newest - 1);
        } else if (open) {
            mistake(Rule.Once, "a correction was refused");
        }
    }

    function dispute(uint256 seed) external still {
        (bool found, uint64 epoch) = latest(mixed(seed) % 3);
        if (found) disputeOne(epoch);
    }

    function disputeOne(uint64 epoch) private {
        vm.prank(DISPUTER);
        try epochs.dispute(epoch) {
            did("dispute");
            _bonds += BOND;
        } catch {}
    }

    function closeDispute(uint256 seed) external still {
        uint64 next = epochs.nextEpoch();
        for (uint64 back; back < 8 && back <= next; ++back) {
            closeOne(next - back);
        }
        closeOne(uint64(mixed(seed) % (next + 1)));
    }

    function closeOne(uint64 epoch) private {
        uint256 before = token.balanceOf(DISPUTER);
        try epochs.closeDispute(epoch) {
            _bonds -= BOND;
            if (token.balanceOf(DISPUTER) == before) {
                _treasuryGot += BOND;
                did("lose a bond");
            } else {
                did("win a bond");
            }
        } catch {}
    }

    function budget(uint256 seed) external still {
        seed = mixed(seed);
        uint128 amount = uint128(bound(seed >> 16, 1, 10 ether));
        uint64 epoch = epochs.currentEpoch() + 2 + uint64(seed % 5);
        give(address(this), address(epochs), amount);
        epochs.fund(epoch, 1, amount);
        _funded += amount;
        try epochs.reclaim(1 + uint64((seed >> 8) % 4)) {
            did("reclaim");
        } catch {}
        uint128 free = epochs.unallocated();
        if (free == 0) return;
        vm.prank(governor);
        epochs.allocate(epoch, 1, free);
        did("allocate");
    }

    function guard(uint256 seed) external still {
        seed = mixed(seed);
        uint64 ms = uint64(bound(seed >> 8, 1, 4)) * EPOCH_MS;
        vm.startPrank(guardian);
        if (seed % 3 == 0) {
            try epochs.pause(ms) {
                did("pause");
            } catch {}
        } else if (seed % 3 == 1) {
            epochs.unpause();
            did("unpause");
        } else {
            try epochs.extendWindows(ms) {
                did("extend");
            } catch {}
        }
        vm.stopPrank();
    }

    // --------------------------------------------------------------------------------------------------------- rewards

    function claim(uint256 seed) external still {
        seed = mixed(seed);
        // of any root that ever was, the newer ones more often
        uint256 tree = trees.length - 1 - (seed >> 8) % (seed % 4 == 0 ? trees.length : trees.length < 6 ? 1 : 6);
        uint256 i = (seed >> 64) % 3;
        address provider = providers[i];
        RewardLeaf memory leaf = rewardLeaf(trees[tree].root.epoch, provider, trees[tree].earned[i]);
        bool due = inForce(tree) && epochs.isFinal(leaf.epoch) && leaf.cumulativeReward > _claimed[provider];
        uint256 before = token.balanceOf(provider);
        bytes32[] memory proof = proofOf(tree, 4 + i);
        try rewards.claim(leaf, proof) {
            did("claim");
            if (!due) mistake(Rule.Claims, "a claim that was not due");
            if (token.balanceOf(provider) != before + leaf.cumulativeReward - _claimed[provider]) {
                mistake(Rule.Claims, "another amount than was earned");
            }
            _claimed[provider] = leaf.cumulativeReward;
        } catch {
            if (due) mistake(Rule.Claims, "a claim that was due was refused");
            else did("refuse a claim");
        }
        try rewards.claim(leaf, proof) {
            mistake(Rule.Claims, "claimed twice");
        } catch {}
    }

    // ----------------------------------------------------------------------------------------------------------- leaves

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
    function settleLeaf(uint256 n, uint256 tree) private {
        NodeLeaf memory leaf = trees[tree].nodes[n];
        bytes32[] memory proof = proofOf(tree, n);
        INodesTypes.Account memory a = nodes.account(leaf.node);
        INodesTypes.Registration memory r = nodes.registrationAt(a.registrationId);
        uint8 corrections = epochs.epochRecord(leaf.epoch).corrections;
        bool again = leaf.epoch + 1 == _settledEpochs[n];
        bool fresh = again ? corrections > _settledCorrections[n] : leaf.epoch + 1 > _settledEpochs[n];
        bool holds = leaf.confirmed && leaf.owner != a.owner && leaf.owner == a.transferTo
            && takesOver(n, a, GENESIS_MS + uint256(leaf.epoch) * EPOCH_MS);
        bytes32 before = registrationsHash();
        bool done = trySettle(leaf, proof);
        if (!inForce(tree)) {
            did("try a root that was replaced");
            if (done) mistake(Rule.Once, "settled by a root that was replaced");
        } else if (a.owner != address(0) && !holds) {
            if (done && !fresh) mistake(Rule.Once, "settled again");
            if (!done && fresh) mistake(Rule.Slash, "a leaf was refused");
            if (!fresh) did("try a leaf that is settled");
            if (done) {
                afterSettle(n, leaf, corrections, r, again);
                watch(again ? Cause.SettleAgain : Cause.Settle);
                before = registrationsHash();
                if (trySettle(leaf, proof)) mistake(Rule.Once, "settled twice");
            }
        } else if (done) {
            did("hold");
        } else if (holds) {
            mistake(Rule.Slash, "a leaf that names the next owner was refused");
        }
        if (registrationsHash() != before) mistake(Rule.Once, "what was not settled had an effect");
        watch(Cause.Nothing);
    }

    function noteAsk(bytes32 node, uint64 epoch, uint64 asking) private {
        _asks[node][epoch] = Ask(asking, treeOf[asking], treeOf[epoch]);
    }

    function trySettle(NodeLeaf memory leaf, bytes32[] memory proof) private returns (bool done) {
        try nodes.settle(leaf, proof) {
            done = true;
        } catch {}
    }

    function afterSettle(
        uint256 n,
        NodeLeaf memory leaf,
        uint8 corrections,
        INodesTypes.Registration memory before,
        bool again
    ) private {
        did(again ? "settle a corrected leaf" : "settle");
        checkAsk(n, before, leaf.cumulativeSlash, leaf.epoch + 1 - (again ? 0 : _settledEpochs[n]), again);
        if (!nodes.classTerms(before.classDigest).reaudit) noteAsk(leaf.node, leaf.epoch, leaf.epoch);
        (_settledEpochs[n], _settledCorrections[n]) = (leaf.epoch + 1, corrections);
        INodesTypes.Registration memory r = nodes.registration(leaf.node, before.provider);
        bool bad = leaf.verdict > 1 || r.counted > before.counted || leaf.cumulativeSlash > before.counted;
        bool poor = r.collateral < nodes.classTerms(r.classDigest).removeBelow;
        if (!again && !bad && !poor && r.status > before.status && r.status != NodeStatus.Removed) {
            mistake(Rule.Silence, "a status became worse without a breach");
        }
        if (before.exitEpochs != 0 && r.escrow > before.escrow) did("slash who leaves");
    }

    /// @dev What a leaf asks for goes into escrow: the least of what was asked, caps and collateral.
    function checkAsk(uint256 n, INodesTypes.Registration memory before, uint128 target, uint256 covered, bool again)
        private
    {
        INodesTypes.ClassTerms memory terms = nodes.classTerms(before.classDigest);
        INodesTypes.Registration memory r = nodes.registration(nodeIds[n], before.provider);
        if (r.collateral + r.escrow != before.collateral + before.escrow || r.slashed != before.slashed) {
            mistake(Rule.Money, "a leaf moved more than escrow");
        }
        if (terms.reaudit) {
            if (r.escrow > before.escrow) mistake(Rule.Slash, "taken without a re-audit");
            return;
        }
        if (r.counted != target) mistake(Rule.Slash, "counted is not what the leaf asks for");
        // what its replaced root had asked for is given back first: the rest of the books says that nothing is lost
        if (again) return;
        checkTaken(before, r, target, covered, terms);
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

    /// @dev A re-audit's leaf, of the latest roots or of any that ever was.
    function reaudit(uint256 seed) external {
        seed = mixed(seed);
        (bool found, uint64 epoch) = latest((seed >> 8) % 3);
        if (!found) return;
        uint256 tree = (seed >> 16) % 6 == 0 ? (seed >> 32) % trees.length : treeOf[epoch] - 1;
        reauditLeaf(seed % 8 == 0 ? 0 : 1, tree);
    }

    function reauditLeaf(uint256 n, uint256 tree) private {
        ReauditLeaf memory leaf = trees[tree].reaudits[n];
        bytes32[] memory proof = proofOf(tree, 2 + n);
        INodesTypes.Account memory a = nodes.account(leaf.node);
        uint8 corrections = epochs.epochRecord(leaf.epoch).corrections;
        bool again = leaf.epoch + 1 == _reauditEpochs[n];
        bool fresh = again ? corrections > _reauditCorrections[n] : leaf.epoch + 1 > _reauditEpochs[n];
        uint64 first = _auditedEpochs[n] - (again && _auditedEpochs[n] != 0 ? 1 : 0);
        INodesTypes.Registration memory r =
            nodes.registrationAt(leaf.auditedEpoch < a.handOverEpochs ? a.previousId : a.registrationId);
        bool due = inForce(tree) && fresh && leaf.leafType == 2 && leaf.auditedEpoch >= first && a.owner != address(0)
            && leaf.auditedEpoch < _settledEpochs[n] && nodes.classTerms(r.classDigest).reaudit;
        bytes32 before = registrationsHash();
        bool done = tryReaudit(leaf, proof);
        if (done && !due) mistake(Rule.Once, "re-audited again");
        if (!done && due) mistake(Rule.Slash, "a re-audit was refused");
        if (done) {
            did(again ? "settle a corrected re-audit" : "settle a re-audit");
            if (!again) {
                uint128 target = leaf.cumulativeSlash < a.cumulativeSlash ? leaf.cumulativeSlash : a.cumulativeSlash;
                uint256 covered = leaf.auditedEpoch + 1 - first;
                checkTaken(r, registrationOf(r), target, covered, nodes.classTerms(r.classDigest));
            }
            noteAsk(leaf.node, leaf.epoch, leaf.auditedEpoch);
            (_auditedEpochs[n], _reauditEpochs[n]) = (leaf.auditedEpoch + 1, leaf.epoch + 1);
            _reauditCorrections[n] = corrections;
            watch(Cause.Reaudit);
            before = registrationsHash();
            if (tryReaudit(leaf, proof)) mistake(Rule.Once, "re-audited twice");
        }
        if (registrationsHash() != before) mistake(Rule.Once, "what was not re-audited had an effect");
    }

    function registrationOf(INodesTypes.Registration memory r) private view returns (INodesTypes.Registration memory) {
        return nodes.registrationAt(idOf(r));
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

    function tryReaudit(ReauditLeaf memory leaf, bytes32[] memory proof) private returns (bool done) {
        try nodes.settleReaudit(leaf, proof) {
            done = true;
        } catch {}
    }

    function confirm(uint256 seed) external {
        seed = mixed(seed);
        (bool found, uint64 epoch) = latest((seed >> 8) % 8);
        if (!found) return;
        confirmLeaf(seed % 2, (seed >> 16) % 8 == 0 ? (seed >> 32) % trees.length : treeOf[epoch] - 1);
    }

    /// @dev A hand-over takes from the owner before what the leaf asks for, so that must go through, too.
    function confirmLeaf(uint256 n, uint256 tree) private {
        NodeLeaf memory leaf = trees[tree].nodes[n];
        bytes32[] memory proof = proofOf(tree, n);
        INodesTypes.Account memory a = nodes.account(leaf.node);
        INodesTypes.Registration memory old = nodes.registrationAt(a.registrationId);
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
            checkAsk(n, old, leaf.cumulativeSlash, leaf.epoch + 1 - (again ? 0 : _settledEpochs[n]), again);
            if (!nodes.classTerms(old.classDigest).reaudit) noteAsk(leaf.node, leaf.epoch, leaf.epoch);
        } else {
            did("confirm");
        }
        if (a.confirmedEpochs == 0) _auditedEpochs[n] = b.auditedEpochs;
        else _base[b.registrationId] = leaf.cumulativeSlash;
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
            Ask memory ask = _asks[r.node][epoch];
            if (!epochs.isFinal(epoch) || !epochs.isFinal(ask.epoch)) {
                mistake(Rule.Once, "a root that is not final took");
            }
            if (ask.taking == 0 || treeOf[epoch] != ask.taking || treeOf[ask.epoch] != ask.asking) {
                mistake(Rule.Once, "a root that was replaced took");
            }
            if (toBuilder != (uint256(toTreasury) + toBuilder) / 4) mistake(Rule.Money, "shares of a slash");
            address builder = _builderOf[r.node][ask.epoch];
            _owed[builder == address(0) ? treasury : builder] += toBuilder;
            _treasuryGot += toTreasury;
            sum += uint256(toTreasury) + toBuilder;
            did(builder == address(0) ? "release" : "release to a Builder");
        }
    }

    // ------------------------------------------------------------------------------------------------------- providers

    function provide(uint256 seed) external {
        seed = mixed(seed);
        (uint256 n, uint256 i) = (seed % 2, (seed >> 8) % 3);
        address owner = nodes.account(nodeIds[n]).owner;
        uint256 what = (seed >> 16) % 10;
        Cause cause = Cause.Nothing;
        // what stands still is brought to its end
        if (nodes.registration(nodeIds[n], owner).exitEpochs != 0 && (seed >> 24) % 4 != 0) what = 4;
        if (what == 0 || (owner == address(0) && what > 3)) cause = registerBy(n, i, seed >> 32);
        else if (what == 1) cause = endOf(n, i, seed >> 32);
        else if (what == 2) cause = topUpBy(n, owner, seed >> 32);
        else if (what == 3) requestExitBy(n, owner, seed >> 32);
        else if (what == 4) cause = exitAll();
        else if (what < 7) cause = removeOf();
        else if (what == 7) cause = offerTransferBy(n, owner, i, seed >> 32);
        else cause = acceptBy(n);
        watch(cause);
    }

    function pledge(uint256 n, uint256 i, bytes32 class_) private {
        vm.prank(providers[i]);
        nodes.register(nodeIds[n], class_, "region", "host:1", PLEDGE);
    }

    function registerBy(uint256 n, uint256 i, uint256 seed) private returns (Cause) {
        vm.prank(providers[i]);
        try nodes.register(nodeIds[n], n == 0 ? CLASS : STRICT, "", "", PLEDGE + uint128(seed % 50 ether)) {
            did("register");
            if (epochs.isPaused()) mistake(Rule.States, "registered while paused");
        } catch {}
        return Cause.Register;
    }

    function endOf(uint256 n, uint256 i, uint256 seed) private returns (Cause) {
        // one that waits, where there is any
        for (uint256 k; k < 5 && nodes.registration(nodeIds[n], providers[i]).status != NodeStatus.Provisional; ++k) {
            (n, i) = (k == 2 ? 1 - n : n, (i + 1) % 3);
        }
        uint256 before = token.balanceOf(providers[i]);
        INodesTypes.Registration memory r = nodes.registration(nodeIds[n], providers[i]);
        bool done;
        if (seed % 4 == 0) {
            vm.prank(providers[i]);
            try nodes.cancel(nodeIds[n]) {
                done = true;
                did("cancel");
            } catch {}
        } else {
            // what nobody confirmed in time
            if (seed % 4 == 1 && waits(r)) vm.warp(block.timestamp + 10 * HOUR);
            try nodes.expire(nodeIds[n], providers[i]) {
                done = true;
                did("expire");
            } catch {}
        }
        if (done && token.balanceOf(providers[i]) != before + r.pledged) mistake(Rule.Money, "a pledge came back");
        return Cause.End;
    }

    function topUpBy(uint256 n, address owner, uint256 seed) private returns (Cause) {
        vm.prank(owner);
        try nodes.topUp(nodeIds[n], uint128(bound(seed, 1 ether, 60 ether))) {
            did("top up");
        } catch {}
        return Cause.Nothing;
    }

    /// @dev Not often: a node that nobody leaves has more to tell.
    function requestExitBy(uint256 n, address owner, uint256 seed) private {
        if (seed % 2 != 0) return;
        vm.prank(owner);
        try nodes.requestExit(nodeIds[n]) {
            did("request exit");
        } catch {}
    }

    function exitAll() private returns (Cause) {
        for (uint256 k; k < 6; ++k) {
            exitBy(k % 2, providers[k / 2]);
        }
        return Cause.Exit;
    }

    /// @dev Who leaves has back what it pledged but for what final roots took, and has answered for the last leaf.
    function exitBy(uint256 n, address provider) private {
        uint256 before = token.balanceOf(provider);
        INodesTypes.Account memory a = nodes.account(nodeIds[n]);
        INodesTypes.Registration memory r = nodes.registration(nodeIds[n], provider);
        try nodes.exit(nodeIds[n], provider) {
            did("exit");
            if (token.balanceOf(provider) + r.slashed != before + r.pledged) {
                mistake(Rule.Money, "what is left of a pledge came back");
            }
            if (provider == a.owner && r.counted < a.cumulativeSlash && !nodes.classTerms(r.classDigest).reaudit) {
                mistake(Rule.Slash, "left before it had answered for all that was settled");
            }
        } catch {}
    }

    function removeOf() private returns (Cause) {
        for (uint256 n; n < 2; ++n) {
            try nodes.remove(nodeIds[n]) {
                did("remove");
            } catch {}
        }
        return Cause.Remove;
    }

    /// @dev Half of the offers are accepted at once. One that is open stays, is taken back or replaced.
    function offerTransferBy(uint256 n, address owner, uint256 i, uint256 seed) private returns (Cause) {
        address open = nodes.account(nodeIds[n]).transferTo;
        if (open != address(0) && seed % 3 == 0) return Cause.Nothing;
        address to = open != address(0) && seed % 3 == 1 ? address(0) : providers[i];
        vm.prank(owner);
        try nodes.offerTransfer(nodeIds[n], to) {
            did("offer a node");
        } catch {}
        return (seed >> 8) % 2 == 0 ? acceptBy(n) : Cause.Nothing;
    }

    function acceptBy(uint256 n) private returns (Cause) {
        vm.prank(nodes.account(nodeIds[n]).transferTo);
        try nodes.acceptTransfer(nodeIds[n], "", PLEDGE) {
            did("accept a node");
        } catch {}
        return Cause.Register;
    }

    // -------------------------------------------------------------------------------------------------------- builders

    function build(uint256 seed) external still {
        seed = mixed(seed);
        uint256 n = seed % 2;
        uint256 id = 1 + (seed >> 32) % (reservations.reservationCount() + 1);
        // the newest ones more often
        if ((seed >> 8) % 3 != 0 && reservations.reservationCount() > 3) id = reservations.reservationCount() - id % 3;
        uint256 what = (seed >> 16) % 9;
        if (what == 0) offerBy(n, uint128(bound(seed >> 64, 1 ether, 20 ether)));
        else if (what < 3) reserveBy(n, seed >> 64);
        else if (id > reservations.reservationCount()) return;
        else if (what == 3) cancelOf(id);
        else if (what < 7) billSome(seed >> 64);
        else if (what == 7) refundOf(id);
        else withdrawAll(seed >> 64);
    }

    function offerBy(uint256 n, uint128 price) private {
        vm.prank(nodes.account(nodeIds[n]).owner);
        try reservations.offer(nodeIds[n], price, 1, 8, true) {
            did("offer");
        } catch {}
    }

    function reserveBy(uint256 n, uint256 seed) private {
        uint64 first = epochs.currentEpoch() + 1 + uint64(seed % 4);
        uint64 count = 1 + uint64((seed >> 8) % 5);
        address builder = builders[(seed >> 16) % 2];
        if (reservations.offerOf(nodeIds[n]).provider != nodes.account(nodeIds[n]).owner) offerBy(n, 7 ether);
        vm.prank(builder);
        try reservations.reserve(nodeIds[n], first, count, 20 ether) {
            did("reserve");
            if (epochs.isPaused()) mistake(Rule.States, "reserved while paused");
            for (uint64 e = first; e < first + count; ++e) {
                if (_builderOf[nodeIds[n]][e] != address(0)) mistake(Rule.Once, "reserved twice");
                _builderOf[nodeIds[n]][e] = builder;
            }
        } catch {}
    }

    function cancelOf(uint256 id) private {
        IAssayReservations.Reservation memory r = reservations.reservation(id);
        vm.prank(r.builder);
        try reservations.cancel(id) {
            did("cancel a reservation");
            uint64 end = reservations.reservation(id).endEpoch;
            if (end <= epochs.currentEpoch() + 1 && end > r.firstEpoch) mistake(Rule.Money, "spared at no notice");
            for (uint64 e = end; e < r.endEpoch; ++e) {
                _builderOf[r.node][e] = address(0);
            }
            _owed[r.builder] += r.pricePerEpoch * (r.endEpoch - end);
        } catch {}
    }

    function billSome(uint256 seed) private {
        uint256 count = reservations.reservationCount();
        for (uint256 id = count > 3 ? count - 3 : 1; id <= count; ++id) {
            billOf(id, uint256(keccak256(abi.encode(seed, id))));
        }
    }

    /// @dev With the leaf that the reservation needs next, or the one before or after it.
    function billOf(uint256 id, uint256 seed) private {
        IAssayReservations.Reservation memory r = reservations.reservation(id);
        if (r.settledThrough >= r.endEpoch) return;
        uint64 epoch = r.started ? reservations.nextPeriodEnd(id) : r.firstEpoch - 1;
        if (seed % 4 == 0 || treeOf[epoch] == 0) epoch = epoch + uint64((seed >> 8) % 5) - 2;
        if (treeOf[epoch] == 0) return;
        uint256 n = r.node == nodeIds[0] ? 0 : 1;
        NodeLeaf memory leaf = trees[treeOf[epoch] - 1].nodes[n];
        bytes32[] memory proof = proofOf(treeOf[epoch] - 1, n);
        address provider = nodes.providerAt(r.node, epoch);
        if (provider == address(0)) provider = r.provider;
        bool final_ = epochs.isFinal(epoch);
        if (!r.started) {
            try reservations.start(id, leaf, proof) {
                did("start a reservation");
                if (!final_) mistake(Rule.Money, "started by a root that is not final");
            } catch {}
            return;
        }
        try reservations.settle(id, leaf, proof) {
            did("bill");
            if (!final_) mistake(Rule.Money, "billed by a root that is not final");
            afterBill(r, reservations.reservation(id), leaf, provider);
        } catch {
            return;
        }
        try reservations.settle(id, leaf, proof) {
            mistake(Rule.Once, "billed twice");
        } catch {}
    }

    function afterBill(
        IAssayReservations.Reservation memory before,
        IAssayReservations.Reservation memory r,
        NodeLeaf memory leaf,
        address provider
    ) private {
        uint64 count = r.settledThrough - before.settledThrough;
        uint128 rent = r.pricePerEpoch * count;
        (uint128 due, uint128 credit) = Billing.bill(
            rent,
            Billing.Period(count, leaf.cumulativeUpSlots - before.upSlots, leaf.cumulativeDownSlots - before.downSlots),
            60,
            100_000,
            reservations.schedule(r.classDigest)
        );
        if (before.held != r.held + rent) mistake(Rule.Money, "rent that was held");
        if (credit != 0) did("credit");
        _owed[provider] += due - credit;
        _owed[r.builder] += rent - (due - credit);
    }

    function refundOf(uint256 id) private {
        IAssayReservations.Reservation memory r = reservations.reservation(id);
        try reservations.refund(id) {
            did("refund");
            _owed[r.builder] += r.pricePerEpoch * (r.endEpoch - r.settledThrough);
        } catch {}
    }

    function withdrawAll(uint256 seed) private {
        address[6] memory all = accounts();
        for (uint256 i = seed % 6; i < 6; ++i) {
            withdrawOf(all[i]);
        }
    }

    function withdrawOf(address account) private {
        uint256 before = token.balanceOf(account);
        try reservations.withdraw(account) {
            did("withdraw");
            if (token.balanceOf(account) != before + _owed[account]) mistake(Rule.Money, "a withdrawal");
            if (account == treasury) _treasuryGot += _owed[account];
            _owed[account] = 0;
        } catch {
            if (_owed[account] != 0) mistake(Rule.Money, "a withdrawal was refused");
        }
    }

    function accounts() private view returns (address[6] memory) {
        return [providers[0], providers[1], providers[2], builders[0], builders[1], treasury];
    }

    // ------------------------------------------------------------------------------------------------------ HyperNodes

    function bond(uint256 seed) external still {
        seed = mixed(seed);
        uint256 i = HONEST + seed % 3;
        address signer = stake.hyperNodeAt(i).signer;
        uint96 bonded = stake.hyperNodeAt(i).bonded;
        uint256 what = (seed >> 8) % 3;
        uint96 amount = uint96(bound(seed >> 16, 1, 1_000 ether));
        if (what == 0) {
            if (bonded > 5_000 ether) return;
            give(signer, address(stake), amount);
            vm.prank(signer);
            try stake.bond(amount) {
                did("bond");
                _staked += amount;
            } catch {
                vm.prank(signer);
                token.transfer(address(this), amount);
            }
        } else if (what == 1) {
            vm.prank(signer);
            try stake.unbond(amount < bonded ? amount : bonded) {
                did("unbond");
            } catch {}
        } else {
            uint256 before = token.balanceOf(signer);
            vm.prank(signer);
            try stake.withdraw() {
                did("withdraw stake");
                _staked -= token.balanceOf(signer) - before;
            } catch {}
        }
    }

    /// @dev It signed two roots in one round, or one that was replaced; or nobody proves anything this time.
    function convict(uint256 seed) external still {
        seed = mixed(seed);
        if (seed % 4 > 1) return;
        uint256 i = HONEST + (seed >> 8) % 3;
        IAssayStake.HyperNode memory before = stake.hyperNodeAt(i);
        uint256 tree = (seed >> 16) % trees.length;
        bool wrong = seed % 4 == 1;
        while (wrong && tree != 0 && inForce(tree)) --tree;
        EpochRoot memory a = trees[tree].root;
        wrong = wrong && tree != 0;
        uint256 bps = wrong ? 2_000 : 4_000;
        bytes memory data = wrong ? wrongRoot(a, keys[i]) : twoRoots(a, keys[i]);
        uint256 stakeBefore = uint256(before.bonded) + before.unbonding;
        vm.prank(REPORTER);
        (bool done,) = faults.call(data);
        uint256 taken = stakeBefore * bps / 10_000;
        if (!done) {
            // a replaced root counts once, and one that was undone by a correction of an earlier one was not wrong
            bool known = wrong && !epochs.wrongDigest(a.epoch, epochs.hashRoot(a));
            if (!known && !(wrong && provenWrong(a, i))) mistake(Rule.Slash, "a proof was refused");
            return;
        }
        did(wrong ? "convict of a wrong root" : "convict of two roots");
        afterConvict(i, before, taken);
        vm.prank(REPORTER);
        (done,) = faults.call(data);
        if (done) mistake(Rule.Once, "convicted twice");
    }

    function afterConvict(uint256 i, IAssayStake.HyperNode memory before, uint256 taken) private {
        IAssayStake.HyperNode memory h = stake.hyperNodeAt(i);
        uint256 ofBonded = taken < before.bonded ? taken : before.bonded;
        if (h.bonded != before.bonded - ofBonded || h.unbonding != before.unbonding - (taken - ofBonded)) {
            mistake(Rule.Slash, "another amount of stake than was due");
        }
        if (taken > ofBonded) did("slash what is unbonding");
        _staked -= taken;
        _reporterGot += taken / 10;
        _treasuryGot += taken - taken / 10;
    }

    function provenWrong(EpochRoot memory r, uint256 i) private view returns (bool) {
        bytes32 place = keccak256(abi.encode(r.epoch, epochs.hashRoot(r)));
        AssayFaults f = AssayFaults(faults);
        return f.isProven(f.faultId(IAssayFaults.FaultKind.WrongRoot, stake.hyperNodeAt(i).ed25519Key, place));
    }

    function wrongRoot(EpochRoot memory r, uint256 key) private view returns (bytes memory) {
        return abi.encodeCall(IAssayFaults.wrongRoot, (r, signature(key, r)));
    }

    function twoRoots(EpochRoot memory a, uint256 key) private returns (bytes memory) {
        EpochRoot memory b = abi.decode(abi.encode(a), (EpochRoot));
        // a round of its own, so that the fault is new
        a.round = b.round = 1_000 + ++_faults;
        b.root = ~b.root;
        return abi.encodeCall(IAssayFaults.twoRoots, (a, signature(key, a), b, signature(key, b)));
    }

    function signature(uint256 key, EpochRoot memory root) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, epochs.hashRoot(root));
        return abi.encodePacked(r, s, v);
    }

    // ---------------------------------------------------------------------------------------------------------- checks

    /// @dev Every contract has what its books say, its books are the sum of their parts, and nobody else has a coin.
    function checkMoney() external view {
        uint256 atNodes;
        for (uint256 id = 1; id <= nodes.registrationCount(); ++id) {
            INodesTypes.Registration memory r = nodes.registrationAt(id);
            atNodes += uint256(r.collateral) + r.escrow;
            if (r.endedAtMs == 0) vm.assertEq(r.collateral + r.escrow + r.slashed, r.pledged, "a pledge is all there");
            else vm.assertEq(r.collateral + r.escrow, 0, "nothing is left of who left");
        }
        vm.assertEq(nodes.totalHeld(), atNodes, "sum of registrations");
        vm.assertEq(token.balanceOf(address(nodes)), atNodes, "collateral");
        uint256 atReservations;
        uint256 sum = token.balanceOf(address(this)) + token.balanceOf(treasury) + token.balanceOf(REPORTER);
        address[6] memory all = accounts();
        for (uint256 i; i < 6; ++i) {
            vm.assertEq(reservations.balanceOf(all[i]), _owed[all[i]], "rent, credits and shares, by the rules");
            atReservations += reservations.balanceOf(all[i]);
            if (i < 5) sum += token.balanceOf(all[i]);
        }
        for (uint256 id = 1; id <= reservations.reservationCount(); ++id) {
            IAssayReservations.Reservation memory r = reservations.reservation(id);
            vm.assertEq(r.held, uint256(r.pricePerEpoch) * (r.endEpoch - r.settledThrough), "rent of what is to come");
            atReservations += r.held;
        }
        vm.assertEq(reservations.totalHeld(), atReservations, "sum of rent and balances");
        vm.assertEq(token.balanceOf(address(reservations)), atReservations, "rent");
        uint256 atStake = checkStake();
        vm.assertEq(token.balanceOf(address(stake)), atStake, "stake");
        uint256 atEpochs = token.balanceOf(address(epochs)) + token.balanceOf(address(rewards));
        vm.assertEq(token.balanceOf(address(epochs)), epochs.totalHeld(), "budgets, bonds and rewards");
        vm.assertEq(atEpochs + sumClaimed(), _funded + _bonds, "what was funded is there or was paid");
        vm.assertEq(token.balanceOf(treasury), _treasuryGot, "treasury");
        vm.assertEq(token.balanceOf(REPORTER), _reporterGot, "reporter");
        for (uint256 i; i < keys.length; ++i) {
            sum += token.balanceOf(stake.hyperNodeAt(i).signer);
        }
        sum += token.balanceOf(DISPUTER) + atNodes + atReservations + atEpochs + atStake;
        vm.assertEq(sum, token.totalSupply(), "every coin is somebody's");
    }

    function checkStake() private view returns (uint256 parts) {
        for (uint256 i; i < keys.length; ++i) {
            IAssayStake.HyperNode memory h = stake.hyperNodeAt(i);
            IAssayStake.Unbonding[] memory u = stake.unbondings(h.ed25519Key);
            uint256 unbonding;
            for (uint256 k; k < u.length; ++k) {
                unbonding += u[k].amount;
            }
            vm.assertEq(h.unbonding, unbonding, "sum of what is unbonding");
            parts += uint256(h.bonded) + h.unbonding;
        }
        vm.assertEq(parts, stake.totalHeld(), "sum of stakes");
        vm.assertEq(parts, _staked, "stake that was put in and not taken");
    }

    function sumClaimed() private view returns (uint256 sum) {
        for (uint256 i; i < 3; ++i) {
            sum += _claimed[providers[i]];
        }
    }

    /// @dev 1 + the index of the newest final root's tree.
    function newestFinal() private view returns (uint256) {
        uint64 end = epochs.nextEpoch();
        while (end != 0 && !epochs.isFinal(end - 1)) --end;
        return treeBefore(end);
    }

    function checkClaims() external view {
        uint256 tree = newestFinal();
        if (tree == 0) return;
        for (uint256 i; i < 3; ++i) {
            vm.assertLe(_claimed[providers[i]], trees[tree - 1].earned[i], "claims of one within what final roots gave");
            vm.assertEq(rewards.paid(providers[i]), _claimed[providers[i]], "paid");
        }
        vm.assertLe(sumClaimed(), trees[tree - 1].root.cumulativeReward, "claims within the sums of final roots");
        vm.assertLe(trees[tree - 1].root.cumulativeReward, _funded, "sums within what was funded");
    }

    /// @dev What is gone for good was asked for by final roots, and never more than the share of the pledge.
    function checkSlashes() external view {
        uint256 tree = newestFinal();
        for (uint256 id = 1; id <= nodes.registrationCount(); ++id) {
            INodesTypes.Registration memory r = nodes.registrationAt(id);
            INodesTypes.ClassTerms memory terms = nodes.classTerms(r.classDigest);
            vm.assertLe(r.escrow + r.slashed, uint256(r.pledged) * terms.slashCapBps / 10_000, "share of the pledge");
            if (tree == 0) continue;
            uint256 n = r.node == nodeIds[0] ? 0 : 1;
            uint128 asked = trees[tree - 1].nodes[n].cumulativeSlash;
            if (terms.reaudit) asked = trees[tree - 1].reaudits[n].cumulativeSlash;
            vm.assertLe(r.slashed + _base[id], asked < _base[id] ? _base[id] : asked, "asked for by final roots");
        }
    }

    // ----------------------------------------------------------------------------------------------------------- drain

    /// @dev When everybody leaves and all windows are over, everybody has everything.
    function drain() external {
        for (uint256 n; n < 2; ++n) {
            address owner = nodes.account(nodeIds[n]).owner;
            vm.prank(owner);
            try nodes.requestExit(nodeIds[n]) {} catch {}
        }
        for (uint256 i; i < keys.length; ++i) {
            uint96 bonded = stake.hyperNodeAt(i).bonded;
            vm.warp(block.timestamp + 15 * HOUR);
            vm.startPrank(stake.hyperNodeAt(i).signer);
            try stake.withdraw() {} catch {}
            if (bonded != 0) stake.unbond(bonded);
            vm.stopPrank();
        }
        vm.warp(block.timestamp + 500 * HOUR);
        for (uint256 i; i < keys.length; ++i) {
            if (stake.hyperNodeAt(i).unbonding == 0) continue;
            vm.prank(stake.hyperNodeAt(i).signer);
            stake.withdraw();
        }
        for (uint256 i; i < 6; ++i) {
            drainRegistration(i % 2, providers[i / 2]);
        }
        for (uint256 id = 1; id <= reservations.reservationCount(); ++id) {
            try reservations.refund(id) {} catch {}
        }
        address[6] memory all = accounts();
        for (uint256 i; i < 6; ++i) {
            if (reservations.balanceOf(all[i]) != 0) reservations.withdraw(all[i]);
        }
        vm.assertEq(stake.totalHeld(), 0, "no stake is stuck");
        vm.assertEq(nodes.totalHeld(), 0, "no collateral is stuck");
        vm.assertEq(reservations.totalHeld(), 0, "no rent is stuck");
    }

    function drainRegistration(uint256 n, address provider) private {
        while (nodes.pendingReleases(nodeIds[n], provider) != 0) nodes.release(nodeIds[n], provider);
        INodesTypes.Registration memory r = nodes.registration(nodeIds[n], provider);
        if (r.registeredAtMs == 0 || r.endedAtMs != 0) return;
        if (r.status == NodeStatus.Provisional) nodes.expire(nodeIds[n], provider);
        else nodes.exit(nodeIds[n], provider);
    }
}
