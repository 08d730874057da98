// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What was asked of one pledge and is not final: first in, first out for money, last in, first back for corrections.
/// @notice Entries hold what roots asked for (`asked`) and what caps and collateral let be taken (`taken`, the escrow).
/// Storage: `entries` grows by one per asking settlement; those before `head` are deleted.
library SlashQueue {
    /// @dev what one call looks at, at most: work per call is bounded, the rest waits for the next call
    uint256 internal constant MAX_STEPS = 32;

    /// @param epoch epoch of the node leaf that asked for it
    /// @param corrections how often `epoch` was corrected by then; another number later means that its root is no more
    /// @param epochs how many epochs it covers, each with the class's cap
    struct Entry {
        uint64 epoch;
        uint8 corrections;
        uint32 epochs;
        uint128 asked;
        uint128 taken;
    }

    struct Queue {
        uint256 head;
        Entry[] entries;
    }

    function isEmpty(Queue storage q) internal view returns (bool) {
        return q.head == q.entries.length;
    }

    function first(Queue storage q) internal view returns (Entry storage) {
        return q.entries[q.head];
    }

    function last(Queue storage q) internal view returns (Entry storage) {
        return q.entries[q.entries.length - 1];
    }

    function dropFirst(Queue storage q) internal {
        delete q.entries[q.head];
        ++q.head;
    }

    function dropLast(Queue storage q) internal {
        q.entries.pop();
    }

    /// @dev Lowers what was asked by up to `amount`, the latest first.
    /// @return lowered how much less is asked now
    /// @return back escrow above what is still asked
    /// @return epochs covered by entries that are gone
    function lower(Queue storage q, uint128 amount) internal returns (uint128 lowered, uint128 back, uint32 epochs) {
        for (uint256 step; step < MAX_STEPS && lowered < amount && !isEmpty(q); ++step) {
            Entry storage e = last(q);
            uint128 cut = amount - lowered < e.asked ? amount - lowered : e.asked;
            lowered += cut;
            e.asked -= cut;
            if (e.taken > e.asked) {
                back += e.taken - e.asked;
                e.taken = e.asked;
            }
            if (e.asked == 0) {
                epochs += e.epochs;
                dropLast(q);
            }
        }
    }
}
