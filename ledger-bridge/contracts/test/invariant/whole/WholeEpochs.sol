// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RewardLeaf} from "../../../src/interfaces/Types.sol";
import {WholeLeaves} from "./WholeLeaves.sol";

/// @title Roots, corrections, disputes, budgets, the guardian, and claims of rewards.
abstract contract WholeEpochs is WholeLeaves {
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
}
