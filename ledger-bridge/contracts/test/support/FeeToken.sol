// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestToken} from "../../src/TestToken.sol";

/// @title Takes one unit of every transfer.
contract FeeToken is TestToken(18) {
    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && value != 0) super._update(to, address(0xfee), 1);
    }
}

/// @title Refuses transfers to and from accounts that were blocked.
contract BlockingToken is TestToken(18) {
    mapping(address => bool) public blocked;

    function setBlocked(address account, bool value) external {
        blocked[account] = value;
    }

    function _update(address from, address to, uint256 value) internal override {
        require(!blocked[from] && !blocked[to], "blocked");
        super._update(from, to, value);
    }
}
