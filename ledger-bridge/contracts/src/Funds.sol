// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title How money comes in: exactly as much as is booked, or not at all.
library Funds {
    using SafeERC20 for IERC20;

    /// @notice The token moved another amount than it was asked to: it takes a fee or rebases, and is refused.
    error WrongAmountReceived(uint256 expected, uint256 actual);

    /// @dev Takes `amount` from `from`, who has approved it. Reverts with WrongAmountReceived.
    function pull(IERC20 token, address from, uint256 amount) internal {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(from, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != amount) revert WrongAmountReceived(amount, received);
    }
}
