// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// @title What every test contract starts from. Invariant tests name their handlers by `target`.
abstract contract Test {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev tells forge that this is a test contract
    bool public constant IS_TEST = true;

    address[] private _targets;

    /// @notice What forge calls at random in invariant tests.
    function targetContracts() public view returns (address[] memory) {
        return _targets;
    }

    function target(address handler) internal {
        _targets.push(handler);
    }

    /// @dev A value within [low, high] that depends on all of `value`; equal ends of the range stay likely.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        if (value >= low && value <= high) return value;
        if (high - low == type(uint256).max) return value;
        return low + value % (high - low + 1);
    }
}
