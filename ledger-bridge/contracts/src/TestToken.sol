// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title A token without any value, for local chains and tests. Anyone mints as much as they like.
contract TestToken is ERC20, ERC20Permit {
    uint8 private immutable _decimals;

    /// @param decimals_ of which programs make amounts; nothing here depends on them
    constructor(uint8 decimals_)
        ERC20("Assay TEST token (worthless)", "TESTONLY")
        ERC20Permit("Assay TEST token (worthless)")
    {
        _decimals = decimals_;
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    /// @notice Mints to anyone, by anyone.
    /// @param to who gets it
    /// @param amount how much, in the smallest unit
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
