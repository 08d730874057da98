// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SlashQueue} from "../src/lib/SlashQueue.sol";
import {Test} from "../test/support/Test.sol";

/// @title What `lower` says is what it does: no more and no less is asked for and taken.
/// @notice For every sum, with two entries.
contract SlashQueueCheck is Test {
    using SlashQueue for SlashQueue.Queue;

    SlashQueue.Queue private q;

    function add(uint128 asked, uint128 taken, uint32 epochs) private {
        vm.assume(taken <= asked && asked != 0);
        q.entries.push(SlashQueue.Entry(1, 0, epochs, asked, taken));
    }

    function sums() private view returns (uint256 asked, uint256 taken) {
        for (uint256 i = q.head; i < q.entries.length; ++i) {
            asked += q.entries[i].asked;
            taken += q.entries[i].taken;
            assert(q.entries[i].taken <= q.entries[i].asked);
        }
    }

    function check_lower(uint128[2] calldata asked, uint128[2] calldata taken, uint128 amount) public {
        add(asked[0], taken[0], 1);
        add(asked[1], taken[1], 1);
        (uint256 askedBefore, uint256 takenBefore) = sums();
        (uint128 lowered, uint128 back,) = q.lower(amount);
        (uint256 askedAfter, uint256 takenAfter) = sums();
        assert(askedAfter + lowered == askedBefore);
        assert(takenAfter + back == takenBefore);
        assert(lowered == (amount < askedBefore ? amount : askedBefore));
    }
}
