// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Intervals} from "../../src/lib/Intervals.sol";
import {Test} from "../support/Test.sol";

contract IntervalsHarness {
    using Intervals for Intervals.Interval[];

    Intervals.Interval[] private _list;

    function insert(uint64 first, uint64 end, uint128 id, uint64 current) external {
        _list.insert(Intervals.Interval(first, end, id), current);
    }

    function shorten(uint64 first, uint64 end) external {
        _list.shorten(first, end);
    }

    function idAt(uint64 epoch) external view returns (uint128) {
        return _list.idAt(epoch);
    }

    function lastEnd() external view returns (uint64) {
        return _list.lastEnd();
    }

    function list() external view returns (Intervals.Interval[] memory) {
        return _list;
    }
}

contract IntervalsTest is Test {
    IntervalsHarness private h = new IntervalsHarness();

    function refuse(uint64 first, uint64 end, uint64 otherFirst, uint64 otherEnd) private {
        vm.expectRevert(abi.encodeWithSelector(Intervals.Overlap.selector, first, end, otherFirst, otherEnd));
        h.insert(first, end, 9, 0);
    }

    function test_overlap_everyKind() public {
        h.insert(10, 20, 1, 0);
        h.insert(30, 40, 2, 0);
        refuse(10, 20, 10, 20);
        refuse(9, 11, 10, 20);
        refuse(19, 21, 10, 20);
        refuse(12, 13, 10, 20);
        refuse(5, 50, 10, 20);
        refuse(25, 31, 30, 40);
        refuse(39, 41, 30, 40);
        h.insert(20, 30, 3, 0);
        h.insert(5, 10, 4, 0);
        h.insert(40, 41, 5, 0);
        vm.assertEq(h.lastEnd(), 41, "touching is not overlapping");
    }

    function test_upcoming_areBounded() public {
        for (uint64 i; i < Intervals.MAX_UPCOMING; ++i) {
            h.insert(100 + 2 * i, 101 + 2 * i, 1, 50);
        }
        vm.expectRevert(abi.encodeWithSelector(Intervals.TooManyUpcoming.selector, Intervals.MAX_UPCOMING));
        h.insert(60, 61, 2, 50);
        h.insert(1000, 1001, 2, 100);
    }

    /// @dev Against a plain array of epochs.
    function testFuzz_likeATableOfEpochs(uint8[3][24] memory steps) public {
        uint128[300] memory table;
        for (uint128 i; i < steps.length; ++i) {
            uint64 first = uint64(steps[i][0]);
            uint64 end = first + 1 + steps[i][1] % 32;
            if (steps[i][2] % 4 == 0) shortenLike(table, first, end);
            else insertLike(table, first, end, i + 1);
        }
        Intervals.Interval[] memory list = h.list();
        for (uint256 i; i < list.length; ++i) {
            vm.assertLt(list[i].first, list[i].end, "none is empty");
            if (i != 0) vm.assertLe(list[i - 1].end, list[i].first, "ascending and disjoint");
        }
        for (uint64 e; e < table.length; ++e) {
            vm.assertEq(h.idAt(e), table[e], "epoch");
        }
    }

    function insertLike(uint128[300] memory table, uint64 first, uint64 end, uint128 id) private {
        bool free = true;
        for (uint64 e = first; e < end; ++e) {
            free = free && table[e] == 0;
        }
        try h.insert(first, end, id, 0) {
            vm.assertTrue(free, "inserted where it was free");
            for (uint64 e = first; e < end; ++e) {
                table[e] = id;
            }
        } catch {
            vm.assertFalse(free, "refused where it was not");
        }
    }

    function shortenLike(uint128[300] memory table, uint64 epoch, uint64 end) private {
        uint128 id = table[epoch];
        if (id == 0) return;
        uint64 first = epoch;
        while (first > 0 && table[first - 1] == id) --first;
        uint64 last = epoch;
        while (table[last + 1] == id) ++last;
        uint64 cut = end % 2 == 0 ? first : epoch;
        h.shorten(first, cut);
        for (uint64 e = cut; e <= last; ++e) {
            table[e] = 0;
        }
    }
}
