// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A node's reservations as half-open intervals of epochs: ascending, disjoint, none empty.
/// @notice Only what has not begun is inserted, shortened or removed, and of that there are at most `MAX_UPCOMING`: no
/// call moves more.
library Intervals {
    uint256 internal constant MAX_UPCOMING = 32;

    /// @dev One slot. [first, end) is reserved by reservation `id`.
    struct Interval {
        uint64 first;
        uint64 end;
        uint128 id;
    }

    /// @notice Another reservation has an epoch of these.
    error Overlap(uint64 first, uint64 end, uint64 otherFirst, uint64 otherEnd);
    /// @notice As many reservations as a node can have ahead.
    error TooManyUpcoming(uint256 max);

    /// @dev Inserts in order. Reverts: TooManyUpcoming, Overlap.
    function insert(Interval[] storage list, Interval memory added, uint64 currentEpoch) internal {
        uint256 i = list.length;
        if (i >= MAX_UPCOMING && list[i - MAX_UPCOMING].first > currentEpoch) revert TooManyUpcoming(MAX_UPCOMING);
        list.push(added);
        for (; i > 0 && list[i - 1].first > added.first; --i) {
            list[i] = list[i - 1];
        }
        if (i > 0) _requireDisjoint(added, list[i - 1]);
        if (i + 1 < list.length) _requireDisjoint(added, list[i + 1]);
        list[i] = added;
    }

    /// @dev Cuts the interval that begins at `first` to end at `end`; removes it when nothing is left.
    function shorten(Interval[] storage list, uint64 first, uint64 end) internal {
        uint256 i = _after(list, first) - 1;
        if (end > first) {
            list[i].end = end;
            return;
        }
        for (; i + 1 < list.length; ++i) {
            list[i] = list[i + 1];
        }
        list.pop();
    }

    /// @dev The reservation that has an epoch, or 0.
    function idAt(Interval[] storage list, uint64 epoch) internal view returns (uint128) {
        uint256 i = _after(list, epoch);
        if (i == 0 || list[i - 1].end <= epoch) return 0;
        return list[i - 1].id;
    }

    /// @dev End of the last one, or 0.
    function lastEnd(Interval[] storage list) internal view returns (uint64) {
        return list.length == 0 ? 0 : list[list.length - 1].end;
    }

    /// @dev Index of the first interval that begins after an epoch.
    function _after(Interval[] storage list, uint64 epoch) private view returns (uint256 low) {
        uint256 high = list.length;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (list[middle].first > epoch) high = middle;
            else low = middle + 1;
        }
    }

    function _requireDisjoint(Interval memory a, Interval storage b) private view {
        if (a.first < b.end && b.first < a.end) revert Overlap(a.first, a.end, b.first, b.end);
    }
}
