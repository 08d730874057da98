// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "./Test.sol";

contract SupportTest is Test {
    function testFuzz_bound_isWithinTheRange(uint256 value, uint128 low, uint128 width) public pure {
        uint256 high = uint256(low) + width;
        uint256 found = bound(value, low, high);
        vm.assertGe(found, low, "low");
        vm.assertLe(found, high, "high");
    }
}
