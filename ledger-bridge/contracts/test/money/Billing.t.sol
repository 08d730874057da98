// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";
import {Billing} from "../../src/lib/Billing.sol";
import {Money} from "./Money.sol";

/// @title The worked numbers of Billing, its limits, and that a bill never exceeds the rent.
contract BillingTest is Money {
    function bill(uint128 rent, uint64 n, uint64 up, uint64 down) private pure returns (uint128 due, uint128 credit) {
        return Billing.bill(rent, Billing.Period(n, up, down), 60, 100_000, tiers());
    }

    function assertBill(uint64 up, uint64 down, uint128 expectedDue, uint128 expectedCredit) private pure {
        (uint128 due, uint128 credit) = bill(240, 24, up, down);
        vm.assertEq(due, expectedDue, "due");
        vm.assertEq(credit, expectedCredit, "credit");
    }

    function test_workedNumbers() public pure {
        assertBill(1_400, 10, 240, 24);
        assertBill(720, 0, 144, 0);
        assertBill(0, 0, 0, 0);
        assertBill(1_000, 440, 240, 240);
    }

    function test_tiers_areExclusiveAtTheirBound() public pure {
        vm.assertEq(Billing.creditBps(995, 1_000, tiers()), 0, "99.5 % is not below");
        vm.assertEq(Billing.creditBps(9_949, 10_000, tiers()), 1_000, "below 99.5 %");
        vm.assertEq(Billing.creditBps(99, 100, tiers()), 1_000, "99 % is not below");
        vm.assertEq(Billing.creditBps(9_899, 10_000, tiers()), 3_000, "below 99 %");
        vm.assertEq(Billing.creditBps(95, 100, tiers()), 3_000, "95 % is not below");
        vm.assertEq(Billing.creditBps(9_499, 10_000, tiers()), 10_000, "below 95 %");
        vm.assertEq(Billing.creditBps(0, 1, tiers()), 10_000, "never up");
    }

    function test_undecided_areToleratedUpToTheShare() public pure {
        assertBill(1_296, 0, 240, 0);
        assertBill(1_295, 0, 239, 0);
        assertBill(1, 0, 24, 0);
    }

    function test_moreDecidedSlotsThanThereAreCostNoMore() public pure {
        assertBill(5_000, 0, 240, 0);
    }

    function testFuzz_neverMoreThanTheRent(uint96 price, uint32 n, uint64 up, uint64 down, uint32 undecided)
        public
        pure
    {
        uint64 epochs_ = uint64(bound(n, 1, type(uint32).max));
        uint128 rent = uint128(price) * epochs_;
        uint32 ppm = uint32(bound(undecided, 0, 1_000_000));
        (uint128 due, uint128 credit) = Billing.bill(rent, Billing.Period(epochs_, up, down), 60, ppm, tiers());
        vm.assertLe(due, rent, "due");
        vm.assertLe(credit, due, "credit");
        if (up == 0 && down == 0) vm.assertEq(due, 0, "nothing decided");
    }

    function testFuzz_moreDownNeverCostsTheBuilderMore(uint96 price, uint16 up, uint16 down) public pure {
        uint128 rent = uint128(price) * 24;
        uint64 u = uint64(bound(up, 1, 1_439));
        uint64 d = uint64(bound(down, 0, 1_440 - u - 1));
        (uint128 due, uint128 credit) = bill(rent, 24, u, d);
        (uint128 worseDue, uint128 worseCredit) = bill(rent, 24, u - 1, d + 1);
        vm.assertLe(worseDue - worseCredit, due - credit, "one slot down instead of up");
    }
}
