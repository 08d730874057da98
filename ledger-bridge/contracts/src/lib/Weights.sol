// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";

/// @title Weights of a committee's members in 32 bits, whatever their stake.
/// @notice All are shifted right by one number, the least with which their sum and one for each member stay below 2^32.
/// What a shift would make zero is one: whoever has weight keeps some, and no stake, however large, puts another out.
/// Equal weights stay equal, and a smaller one never becomes the larger.
///
/// Error: a scaled weight is less than one off weight / 2^shift. When anything is shifted, the sum of n scaled weights is
/// above 2^31 - 2n. So the share of any set of members is off by less than n / (2^31 - 2n): 1.2e-7 with 256 members. Two
/// thirds of the scaled weights are two thirds of the stake but for this.
library Weights {
    uint256 internal constant BITS = 32;

    /// @notice How far a committee's weights are shifted, 0 to 73.
    /// @dev Reverts with BadCommittee when there is no member, more than `most`, not strictly ascending by address, or
    /// without weight.
    /// @param most members that the caller's encoding takes, at most 256
    function shiftOf(IQuorumVerifier.Member[] calldata members, uint256 most) internal pure returns (uint256 shift) {
        if (members.length == 0 || members.length > most) revert IQuorumVerifier.BadCommittee();
        uint256 total;
        address previous;
        for (uint256 i; i < members.length; ++i) {
            IQuorumVerifier.Member calldata m = members[i];
            if (m.signer <= previous || m.weight == 0) revert IQuorumVerifier.BadCommittee();
            previous = m.signer;
            total += m.weight;
        }
        while ((total >> shift) + members.length >= 1 << BITS) ++shift;
    }

    /// @notice A weight that is not zero, shifted; never zero.
    function scaled(uint96 weight, uint256 shift) internal pure returns (uint32) {
        uint256 w = weight >> shift;
        return w == 0 ? 1 : uint32(w);
    }
}
