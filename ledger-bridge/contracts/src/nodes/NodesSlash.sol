// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IAssayEpochs} from "../interfaces/IAssayEpochs.sol";
import {NodeLeaf, Resolution} from "../interfaces/Types.sol";
import {SlashQueue} from "../lib/SlashQueue.sol";
import {NodesBase} from "./NodesBase.sol";

/// @title What a pledge is asked for: into escrow within caps, and back.
abstract contract NodesSlash is NodesBase {
    using SlashQueue for SlashQueue.Queue;

    /// @dev What becomes of an entry of escrow.
    enum Fate {
        Wait,
        Pay,
        GiveBack
    }

    // -------------------------------------------------------------------------------------------------- leaves

    /// @dev Records the leaf's sums, and asks for what grew.
    function _account(Account storage a, Registration storage r, NodeLeaf calldata leaf, uint8 corrections) internal {
        uint32 epochs = _covered(leaf.epoch, a.settledEpochs);
        a.settledEpochs = leaf.epoch + 1;
        a.settledCorrections = corrections;
        a.cumulativeSlash = leaf.cumulativeSlash;
        // first: what a replaced root asked for counts no more; what the leaf's sum still holds of it is asked for anew
        _voidReplaced(a.registrationId, r);
        _moveTo(a.registrationId, r, leaf.cumulativeSlash, SlashQueue.Entry(leaf.epoch, corrections, epochs, 0, 0));
    }

    function _covered(uint64 epoch, uint64 settledEpochs) internal pure returns (uint32) {
        uint256 epochs = uint256(epoch) + 1 - Math.min(settledEpochs, uint256(epoch) + 1);
        return uint32(Math.min(epochs, type(uint32).max));
    }

    // ------------------------------------------------------------------------------------------------ escrow in and out

    /// @dev Asks for what `target` is above what was counted, or gives back what it is below.
    function _moveTo(uint64 id, Registration storage r, uint128 target, SlashQueue.Entry memory e) internal {
        if (target > r.counted) {
            e.asked = target - r.counted;
            _ask(id, r, e);
        } else if (target < r.counted) {
            (uint128 lowered, uint128 back, uint32 epochs) = _queues[id].lower(r.counted - target);
            r.counted -= lowered;
            r.spareEpochs += epochs;
            if (back != 0) _return(r, e.epoch, back);
        }
    }

    /// @dev Takes what caps and collateral allow; never reverts for want of it. What a cap spares is counted as asked:
    /// it is not asked for again.
    function _ask(uint64 id, Registration storage r, SlashQueue.Entry memory e) private {
        ClassTerms storage terms = _terms[r.classDigest];
        e.epochs += r.spareEpochs;
        // an epoch that is settled again after a correction, and had asked for nothing
        if (e.epochs == 0) e.epochs = 1;
        uint256 most = uint256(r.pledged) * terms.slashCapBps / BPS;
        uint256 before = uint256(r.escrow) + r.slashed;
        uint256 left = most > before ? most - before : 0;
        uint256 cap = uint256(terms.slashCapPerEpoch) * e.epochs;
        e.taken = uint128(Math.min(Math.min(e.asked, cap), Math.min(left, r.collateral)));
        r.spareEpochs = 0;
        r.counted += e.asked;
        r.collateral -= e.taken;
        r.escrow += e.taken;
        _queues[id].entries.push(e);
        emit Slashed(r.node, r.provider, e.epoch, e.asked, e.taken, r.collateral);
    }

    /// @dev Gives back what replaced roots asked for: they are the latest ones, since a correction undoes what came after.
    function _voidReplaced(uint64 id, Registration storage r) internal {
        SlashQueue.Queue storage q = _queues[id];
        for (uint256 step; step < SlashQueue.MAX_STEPS && !q.isEmpty(); ++step) {
            SlashQueue.Entry memory e = q.last();
            if (_fate(e) != Fate.GiveBack) return;
            q.dropLast();
            _giveBack(r, e);
        }
    }

    /// @dev Only while the record of its epoch is kept can be told that it was not corrected. Without, escrow goes back
    /// to collateral: the next leaf asks for it again.
    function _fate(SlashQueue.Entry memory e) internal view returns (Fate) {
        IAssayEpochs.EpochRecord memory record = EPOCHS.epochRecord(e.epoch);
        if (record.resolution != Resolution.Posted || record.corrections != e.corrections) return Fate.GiveBack;
        return EPOCHS.isFinal(e.epoch) ? Fate.Pay : Fate.Wait;
    }

    function _giveBack(Registration storage r, SlashQueue.Entry memory e) internal {
        r.counted -= e.asked;
        r.spareEpochs += e.epochs;
        _return(r, e.epoch, e.taken);
    }

    function _return(Registration storage r, uint64 epoch, uint128 amount) private {
        r.escrow -= amount;
        r.collateral += amount;
        emit GivenBack(r.node, r.provider, epoch, amount, r.collateral);
    }
}
