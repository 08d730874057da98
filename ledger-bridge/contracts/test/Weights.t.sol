// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IQuorumVerifier} from "../src/interfaces/IQuorumVerifier.sol";
import {Weights} from "../src/lib/Weights.sol";
import {Test} from "./support/Test.sol";

contract WeightsTest is Test {
    function scale(IQuorumVerifier.Member[] calldata members, uint256 most)
        external
        pure
        returns (uint256[] memory scaled, uint256 shift)
    {
        shift = Weights.shiftOf(members, most);
        scaled = new uint256[](members.length);
        for (uint256 i; i < scaled.length; ++i) {
            scaled[i] = Weights.scaled(members[i].weight, shift);
        }
    }

    /// @dev Weights of all magnitudes, each as likely.
    function drawn(uint256 seed, uint256 count) private pure returns (IQuorumVerifier.Member[] memory m) {
        m = new IQuorumVerifier.Member[](count);
        for (uint256 i; i < count; ++i) {
            uint256 word = uint256(keccak256(abi.encode(seed, i)));
            m[i] = IQuorumVerifier.Member(address(uint160(i + 1)), uint96(1 + (word >> 161 >> word % 95)));
        }
    }

    function one(uint96 weight) private pure returns (IQuorumVerifier.Member[] memory m) {
        m = new IQuorumVerifier.Member[](1);
        m[0] = IQuorumVerifier.Member(address(1), weight);
    }

    /// @dev Nobody is without weight, none is off by one or more, all together fit, and no smaller shift does it.
    function testFuzz_scaled(uint256 seed, uint256 count) public view {
        count = bound(count, 1, 256);
        IQuorumVerifier.Member[] memory m = drawn(seed, count);
        (uint256[] memory scaled, uint256 shift) = this.scale(m, 256);
        (uint256 sum, uint256 total) = (0, 0);
        for (uint256 i; i < count; ++i) {
            vm.assertGt(scaled[i], 0, "some");
            uint256 back = scaled[i] << shift;
            uint256 off = back > m[i].weight ? back - m[i].weight : m[i].weight - back;
            vm.assertLt(off, 1 << shift, "less than one off");
            (sum, total) = (sum + scaled[i], total + m[i].weight);
        }
        vm.assertLt(sum, 1 << 32, "fits");
        if (shift == 0) return;
        vm.assertGe((total >> (shift - 1)) + count, 1 << 32, "the least shift");
        vm.assertGt(sum, (1 << 31) - 2 * count, "resolution");
    }

    /// @dev The share of a set of members is off by less than n / (2^31 - 2n).
    function testFuzz_share(uint256 seed, uint256 count, uint256 who) public view {
        count = bound(count, 1, 256);
        IQuorumVerifier.Member[] memory m = drawn(seed, count);
        (uint256[] memory scaled,) = this.scale(m, 256);
        (uint256 part, uint256 sum, uint256 weight, uint256 total) = (0, 0, 0, 0);
        for (uint256 i; i < count; ++i) {
            (sum, total) = (sum + scaled[i], total + m[i].weight);
            if (who >> i & 1 == 1) (part, weight) = (part + scaled[i], weight + m[i].weight);
        }
        (uint256 a, uint256 b) = (part * total, weight * sum);
        vm.assertLe((a > b ? a - b : b - a) * ((1 << 31) - 2 * count), count * sum * total, "share");
    }

    function testFuzz_order(uint256 seed) public view {
        IQuorumVerifier.Member[] memory m = drawn(seed, 40);
        (uint256[] memory scaled,) = this.scale(m, 40);
        for (uint256 i = 1; i < 40; ++i) {
            bool smaller = m[i].weight < m[i - 1].weight;
            vm.assertTrue(smaller ? scaled[i] <= scaled[i - 1] : scaled[i] >= scaled[i - 1], "order");
        }
    }

    function test_shift_edges() public view {
        uint96 most = type(uint32).max - 1;
        (uint256[] memory scaled, uint256 shift) = this.scale(one(most), 1);
        vm.assertEq(scaled[0], most, "as it is");
        (scaled, shift) = this.scale(one(most + 1), 1);
        vm.assertEq(shift, 1, "by one");
        vm.assertEq(scaled[0], type(uint32).max >> 1, "half");
        (, shift) = this.scale(one(type(uint96).max), 1);
        vm.assertEq(shift, 65, "the largest of one");
    }

    /// @dev The largest weights there can be.
    function test_shift_most() public view {
        IQuorumVerifier.Member[] memory m = drawn(0, 256);
        for (uint256 i; i < 256; ++i) {
            m[i].weight = type(uint96).max;
        }
        (uint256[] memory scaled, uint256 shift) = this.scale(m, 256);
        vm.assertEq(shift, 73, "shift");
        vm.assertEq(scaled[255], (1 << 23) - 1, "equal");
    }

    function test_shift_refused() public {
        refused(new IQuorumVerifier.Member[](0), 5);
        refused(drawn(1, 6), 5);
        this.scale(drawn(1, 5), 5);
        IQuorumVerifier.Member[] memory m = drawn(1, 5);
        m[4].signer = m[3].signer;
        refused(m, 5);
        m = drawn(1, 5);
        m[2].weight = 0;
        refused(m, 5);
        m = drawn(1, 5);
        m[0].signer = address(0);
        refused(m, 5);
    }

    function refused(IQuorumVerifier.Member[] memory m, uint256 most) private {
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector));
        this.scale(m, most);
    }
}
