// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayReservations} from "../interfaces/IAssayReservations.sol";

/// @title What of a billing period's rent is the provider's, and what goes back to the Builder.
/// @notice No data is never up and never down. Availability = up / (up + down) over decided slots. Undecided slots are
/// paid for up to a share of all slots; what is beyond lowers the rent; a period without any decided slot is free.
///
/// Example: 24 epochs of 60 slots = 1,440 slots, rent 240, undecided share 10 % = 144 slots.
/// - 1,400 up, 10 down, 30 undecided: rent due 240. 1,400 / 1,410 = 99.29 %, below 99.5 %: credit 10 % = 24. The provider
///   gets 216, the Builder 24.
/// - 720 up, 0 down, 720 undecided: (720 + 144) / 1,440 of 240 = 144 due, 96 back. 100 % up: no credit. The provider gets
///   144, the Builder 96.
/// - 0 up, 0 down: 240 back.
/// - 1,000 up, 440 down: 69.4 %, below 95 %: credit 100 % = 240 back.
library Billing {
    uint256 internal constant PPM = 1_000_000;
    uint256 internal constant BPS = 10_000;

    /// @dev What was observed of a period.
    struct Period {
        uint64 epochs;
        uint64 upSlots;
        uint64 downSlots;
    }

    /// @dev Divisions round down, in favour of the Builder for rent due, of the provider for credits: at most one unit each.
    /// @return due rent for what was decided and the tolerated undecided share, before credit
    /// @return credit of `due`, by the schedule
    function bill(
        uint128 rent,
        Period memory p,
        uint32 slotsPerEpoch,
        uint32 undecidedPpm,
        IAssayReservations.CreditTier[] memory tiers
    ) internal pure returns (uint128 due, uint128 credit) {
        uint256 decided = uint256(p.upSlots) + p.downSlots;
        if (decided == 0) return (0, 0);
        uint256 slots = uint256(p.epochs) * slotsPerEpoch;
        uint256 payable_ = decided + slots * undecidedPpm / PPM;
        due = payable_ >= slots ? rent : uint128(rent * payable_ / slots); // equivalent: > gives the same rent
        credit = uint128(uint256(due) * creditBps(p.upSlots, decided, tiers) / BPS);
    }

    /// @dev Credit of the last tier that availability is below; tiers are strictly descending. Exact, without rounding.
    function creditBps(uint256 up, uint256 decided, IAssayReservations.CreditTier[] memory tiers)
        internal
        pure
        returns (uint256 bps)
    {
        for (uint256 i; i < tiers.length && up * PPM < decided * tiers[i].belowPpm; ++i) {
            bps = tiers[i].creditBps;
        }
    }
}
