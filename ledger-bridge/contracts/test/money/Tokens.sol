// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

contract PlainToken is ERC20("Plain", "PLN") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @title Lets accounts that were blocked receive nothing.
contract BlockingToken is PlainToken {
    mapping(address => bool) private _blocked;

    function setBlocked(address account, bool value) external {
        _blocked[account] = value;
    }

    function _update(address from, address to, uint256 value) internal override {
        require(!_blocked[to], "blocked");
        super._update(from, to, value);
    }
}

/// @title Takes one unit of every transfer.
contract FeeToken is PlainToken {
    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(1), 1);
    }
}

/// @title Calls back what a test tells it to, in the middle of a transfer.
contract CallingToken is PlainToken {
    address private _target;
    bytes private _data;
    bytes public answer;

    function arm(address target, bytes calldata data) external {
        (_target, _data) = (target, data);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (_target == address(0)) return;
        address target = _target;
        _target = address(0);
        (, answer) = target.call(_data);
    }
}
