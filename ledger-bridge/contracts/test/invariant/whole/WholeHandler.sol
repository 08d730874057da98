// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodesTypes} from "../../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../../src/interfaces/IAssayReservations.sol";
import {IAssayStake} from "../../../src/interfaces/IAssayStake.sol";
import {NodeStatus} from "../../../src/interfaces/Types.sol";
import {WholeHyperNodes} from "./WholeHyperNodes.sol";

/// @title Plays everybody in a network of real contracts at random, and keeps its own books beside theirs.
/// @notice What must go through and does not, and what must not and does, is written down as a mistake; so is every amount
/// that is not what the rules say. No call of a handler's function reverts by itself.
contract WholeHandler is WholeHyperNodes {
    constructor() {
        begin();
        _funded = uint256(BUDGETS) * BUDGET;
        give(DISPUTER, address(epochs), 1_000_000 ether);
        _staked = stake.totalHeld();
        for (uint256 n; n < 2; ++n) {
            pledge(n, n, n == 0 ? CLASS : SECOND);
        }
        watch(Cause.Register);
        if (!postTree(0) || !postTree(1)) revert();
        vm.warp(epochs.epochRecord(0).finalAtMs / 1000);
        for (uint256 n; n < 2; ++n) {
            confirmLeaf(n, 0);
            offerBy(n, 5 ether);
        }
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
