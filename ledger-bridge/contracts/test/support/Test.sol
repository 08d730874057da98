// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// @title What every test contract starts from. Invariant tests name their handlers by `target`.
/// @dev Tests deploy by a cheat code (dynamic_test_linking), and a constructor that refuses ends the call in which that
/// stands: with `vm.expectRevert` before it, the test, which then passes whatever would have followed. So what is
/// expected to refuse is deployed by a call of its own.
abstract contract Test {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev tells forge that this is a test contract
    bool public constant IS_TEST = true;

    /// @notice Functions of a handler, for `targetSelectors`.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    address[] private _targets;
    FuzzSelector[] private _selectors;

    /// @notice What forge calls at random in invariant tests.
    function targetContracts() public view returns (address[] memory) {
        return _targets;
    }

    /// @notice And which of their functions, where not all.
    function targetSelectors() public view returns (FuzzSelector[] memory) {
        return _selectors;
    }

    function target(address handler) internal {
        _targets.push(handler);
    }

    function target(address handler, bytes4[] memory selectors) internal {
        _targets.push(handler);
        _selectors.push(FuzzSelector(handler, selectors));
    }

    /// @dev A value within [low, high] that depends on all of `value`; equal ends of the range stay likely.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        if (value >= low && value <= high) return value;
        if (high - low == type(uint256).max) return value;
        return low + value % (high - low + 1);
    }
}
