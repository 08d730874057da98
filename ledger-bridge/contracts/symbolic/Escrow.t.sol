// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../src/interfaces/IAssayEpochs.sol";
import {INodesTypes} from "../src/interfaces/IAssayNodes.sol";
import {Resolution} from "../src/interfaces/Types.sol";
import {SlashQueue} from "../src/lib/SlashQueue.sol";
import {NodesBase} from "../src/nodes/NodesBase.sol";
import {NodesSlash} from "../src/nodes/NodesSlash.sol";
import {Test} from "../test/support/Test.sol";

/// @title What the constructor asks of the epochs, and one record for all of them.
contract OneRecord {
    Resolution private _resolution;
    uint8 private _corrections;
    bool private _final;

    function set(Resolution resolution, uint8 corrections, bool isFinal_) external {
        (_resolution, _corrections, _final) = (resolution, corrections, isFinal_);
    }

    function epochRecord(uint64) external view returns (IAssayEpochs.EpochRecord memory r) {
        (r.resolution, r.corrections) = (_resolution, _corrections);
    }

    function isFinal(uint64) external view returns (bool) {
        return _final;
    }

    function parameters() external pure returns (IAssayEpochs.Parameters memory) {
        return IAssayEpochs.Parameters(0, 1, 0, 0, 0, 0);
    }

    function token() external pure returns (address) {
        return address(1);
    }

    function treasury() external pure returns (address) {
        return address(2);
    }
}

/// @title What a root no longer asks for goes from escrow back to the collateral, all of it and nothing else.
/// @notice For every sum, with at most one entry in the queue.
contract EscrowCheck is Test, NodesSlash {
    uint64 private constant ID = 1;

    constructor()
        NodesBase(IAssayEpochs(address(new OneRecord())), address(3), INodesTypes.Parameters(2, 1, 1, 1, 1, 1))
    {}

    /// @dev A registration with one entry in its queue, of any sums that belong together.
    function given(uint128 collateral, uint128 escrow, uint128 slashed, uint128 asked)
        private
        returns (Registration storage r)
    {
        vm.assume(escrow <= asked);
        vm.assume(uint256(collateral) + escrow + slashed <= type(uint128).max);
        r = _registrations.push();
        (r.collateral, r.escrow, r.slashed, r.counted) = (collateral, escrow, slashed, asked);
        r.pledged = collateral + escrow + slashed;
        if (asked != 0) _queues[ID].entries.push(SlashQueue.Entry(7, 0, 1, asked, escrow));
    }

    /// @dev Escrow is what the queue's entries took, and what was counted is what they asked for.
    function assertEscrow(Registration storage r, uint256 pledge, uint128 slashed) private view {
        uint256 asked;
        uint256 taken;
        SlashQueue.Queue storage q = _queues[ID];
        for (uint256 i = q.head; i < q.entries.length; ++i) {
            asked += q.entries[i].asked;
            taken += q.entries[i].taken;
            assert(q.entries[i].taken <= q.entries[i].asked);
        }
        assert(r.escrow == taken);
        assert(r.counted == asked);
        assert(r.slashed == slashed);
        assert(uint256(r.collateral) + r.escrow == pledge);
    }

    /// @dev Fewer than were asked for. Asking takes the least of four by a product, which the solver does not get through.
    function check_moveTo_back(uint128 collateral, uint128 escrow, uint128 slashed, uint128 asked, uint128 target)
        external
    {
        vm.assume(target <= asked);
        Registration storage r = given(collateral, escrow, slashed, asked);
        _moveTo(ID, r, target, SlashQueue.Entry(8, 0, 1, 0, 0));
        assertEscrow(r, uint256(collateral) + escrow, slashed);
        assert(r.counted == target);
    }

    function check_voidReplaced(
        uint128 collateral,
        uint128 escrow,
        uint128 slashed,
        uint128 asked,
        uint8 resolution,
        uint8 corrections,
        bool isFinal_
    ) external {
        vm.assume(resolution <= uint8(type(Resolution).max));
        OneRecord(address(EPOCHS)).set(Resolution(resolution), corrections, isFinal_);
        Registration storage r = given(collateral, escrow, slashed, asked);
        _voidReplaced(ID, r);
        assertEscrow(r, uint256(collateral) + escrow, slashed);
        bool stands = resolution == uint8(Resolution.Posted) && corrections == 0;
        assert(r.escrow == (stands ? escrow : 0));
        assert(r.counted == (stands ? asked : 0));
    }
}
