// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IAssayReservations} from "../../../src/interfaces/IAssayReservations.sol";
import {NodeLeaf} from "../../../src/interfaces/Types.sol";
import {Billing} from "../../../src/lib/Billing.sol";
import {WholeProviders} from "./WholeProviders.sol";

/// @title What is offered, reserved, billed and withdrawn.
abstract contract WholeBuilders is WholeProviders {
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

    function offerBy(uint256 n, uint128 price) internal {
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
        } catch {
            return;
        }
        // while all of it can still be given up
        if ((seed >> 24) % 8 == 0) cancelOf(reservations.reservationCount());
    }

    function cancelOf(uint256 id) private {
        IAssayReservations.Reservation memory r = reservations.reservation(id);
        if (r.madeEpoch == epochs.currentEpoch() && id % 4 != 0) vm.warp(block.timestamp + HOUR);
        bool free = !nodes.isReservable(r.node) || nodes.account(r.node).owner != r.provider;
        vm.prank(r.builder);
        try reservations.cancel(id) {
            did("cancel a reservation");
            if (r.madeEpoch == epochs.currentEpoch()) mistake(Rule.Money, "rent for no time");
            uint64 end = reservations.reservation(id).endEpoch;
            if (end <= epochs.currentEpoch() + 1 && end > r.firstEpoch) mistake(Rule.Money, "spared at no notice");
            for (uint64 e = end; e < r.endEpoch; ++e) {
                _builderOf[r.node][e] = address(0);
            }
            uint64 period = reservations.parameters().periodEpochs;
            uint64 paid = end == r.firstEpoch && !free ? uint64(Math.min(r.endEpoch - end, period)) : 0;
            if (paid != 0) did("pay for a cancellation");
            _owed[r.provider] += r.pricePerEpoch * paid;
            _owed[r.builder] += r.pricePerEpoch * (r.endEpoch - end - paid);
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

    function accounts() internal view returns (address[6] memory) {
        return [providers[0], providers[1], providers[2], builders[0], builders[1], treasury];
    }
}
