// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {FourHyperNodes} from "../support/Network.sol";

contract EpochsClockTest is FourHyperNodes {
    uint64 private constant DAY = 1 days * 1000;
    address private provider = address(0xabc);

    function extend(uint64 ms) private {
        vm.prank(guardian);
        epochs.extendWindows(ms);
    }

    function test_extendWindows() public {
        postReward(0, provider, 1 ether);
        uint64 openedMs = nowMs();
        uint64 finalMs = openedMs + WINDOW_MS;
        passMs(DAY);
        extend(2 * DAY);
        vm.assertEq(epochs.windowExtensionMs(openedMs), 0, "nothing yet");
        vm.assertEq(epochs.windowExtensionMs(nowMs() + DAY), 0, "of the future nothing, within the stop");
        vm.assertEq(epochs.epochRecord(0).finalAtMs, finalMs + 2 * DAY, "announced");
        passMs(DAY);
        vm.assertEq(epochs.windowExtensionMs(openedMs), DAY, "half");
        vm.assertEq(epochs.windowExtensionMs(openedMs + DAY + DAY / 2), DAY / 2, "opened within");
        postReward(1, provider, 1 ether);
        vm.assertEq(epochs.epochRecord(1).finalAtMs, nowMs() + DAY + WINDOW_MS, "opened within");
        vm.warp(finalMs / 1000 + 2 * 86_400 - 1);
        vm.assertFalse(epochs.isFinal(0), "a second before");
        vm.expectRevert(
            abi.encodeWithSelector(IAssayEpochs.EpochNotFinal.selector, 0, finalMs + 2 * DAY, finalMs + 2 * DAY - 1000)
        );
        epochs.release(0);
        vm.assertEq(epochs.windowExtensionMs(openedMs), 2 * DAY, "all");
        vm.assertEq(epochs.windowExtensionMs(openedMs + 3 * DAY), 0, "opened after");
        vm.warp(finalMs / 1000 + 2 * 86_400);
        vm.assertTrue(epochs.isFinal(0), "final");
        vm.assertEq(epochs.epochRecord(0).finalAtMs, finalMs + 2 * DAY, "as announced");
        vm.assertEq(epochs.windowExtensionMs(nowMs() + 1), 0, "of the future nothing");
    }

    /// @dev Final is final: what has closed is not opened by a stop of the clock.
    function test_extendWindows_closedStaysClosed() public {
        postReward(0, provider, 1 ether);
        uint64 finalMs = nowMs() + WINDOW_MS;
        passMs(WINDOW_MS);
        extend(3 * DAY);
        vm.assertTrue(epochs.isFinal(0), "final");
        vm.assertEq(epochs.epochRecord(0).finalAtMs, finalMs, "as it was");
        passMs(DAY);
        vm.assertTrue(epochs.isFinal(0), "within the stop");
        rewards.claim(rewardLeaf(0, provider, 1 ether), new bytes32[](0));
    }

    function test_extendWindows_twice() public {
        extend(DAY);
        uint64 firstMs = nowMs();
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.TooSoon.selector, firstMs + 8 * DAY, firstMs));
        epochs.extendWindows(DAY);
        passMs(8 * DAY - 1000);
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.TooSoon.selector, firstMs + 8 * DAY, nowMs()));
        epochs.extendWindows(DAY);
        passMs(1000);
        extend(2 * DAY);
        passMs(10 * DAY);
        extend(3 * DAY);
        passMs(3 * DAY);
        vm.assertEq(epochs.windowExtensionMs(firstMs), 6 * DAY, "all three");
        vm.assertEq(epochs.windowExtensionMs(firstMs + DAY / 2), 5 * DAY + DAY / 2, "half the first");
        vm.assertEq(epochs.windowExtensionMs(firstMs + 2 * DAY), 5 * DAY, "two");
        vm.assertEq(epochs.windowExtensionMs(firstMs + 9 * DAY), 4 * DAY, "half the second");
        vm.assertEq(epochs.windowExtensionMs(firstMs + 11 * DAY), 3 * DAY, "one");
        vm.assertEq(epochs.windowExtensionMs(firstMs - 1000), 6 * DAY, "before all");
    }

    /// @dev A window that closes soon after a second stop: by as much as the clock had stood in the first.
    function test_extendWindows_second() public {
        extend(3 * DAY);
        passMs(9 * DAY);
        postReward(0, provider, 1 ether);
        uint64 openedMs = nowMs();
        passMs(DAY);
        extend(DAY);
        vm.assertEq(epochs.epochRecord(0).finalAtMs, openedMs + WINDOW_MS + DAY, "the second only");
        vm.warp((openedMs + WINDOW_MS + DAY) / 1000 - 1);
        vm.assertFalse(epochs.isFinal(0), "a second before");
        passMs(1000);
        vm.assertTrue(epochs.isFinal(0), "final");
    }

    /// @dev A window counted by `windowExtensionMs` closes exactly when the epoch posted at its opening is final.
    function testFuzz_windows_agree(uint32 first, uint32 length, uint32 second, uint32 at_) public {
        postReward(0, provider, 1 ether);
        uint64 openedMs = nowMs();
        passMs(bound(first, 0, 5 * DAY));
        extend(uint64(bound(length, 1, 3 * DAY / 1000) * 1000));
        passMs(10 * DAY + bound(second, 0, 2 * DAY));
        extend(DAY);
        vm.warp(openedMs / 1000 + bound(at_, (block.timestamp - openedMs / 1000), 20 days));
        bool closed = nowMs() >= openedMs + WINDOW_MS + epochs.windowExtensionMs(openedMs);
        vm.assertEq(closed, epochs.isFinal(0), "one answer");
        vm.assertEq(nowMs() >= epochs.epochRecord(0).finalAtMs, epochs.isFinal(0), "and the record's");
    }

    function testFuzz_windows_agreeInTime(uint32 first, uint32 length, uint32 later) public {
        postReward(0, provider, 1 ether);
        uint64 openedMs = nowMs();
        passMs(bound(first, 0, 9 * DAY));
        extend(uint64(bound(length, 1, 3 * DAY / 1000) * 1000));
        passMs(bound(later, 0, 9 * DAY));
        bool closed = nowMs() >= openedMs + WINDOW_MS + epochs.windowExtensionMs(openedMs);
        vm.assertEq(closed, epochs.isFinal(0), "one answer");
        vm.assertEq(nowMs() >= epochs.epochRecord(0).finalAtMs, epochs.isFinal(0), "and the record's");
    }

    function test_pause() public {
        vm.assertFalse(epochs.isPaused(), "before");
        vm.prank(guardian);
        epochs.pause(DAY);
        vm.assertTrue(epochs.isPaused(), "paused");
        passMs(DAY - 1000);
        vm.assertTrue(epochs.isPaused(), "until the end");
        passMs(1000);
        vm.assertFalse(epochs.isPaused(), "ended");
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.TooSoon.selector, nowMs() + 7 * DAY, nowMs()));
        epochs.pause(DAY);
        passMs(7 * DAY);
        vm.startPrank(guardian);
        epochs.pause(7 * DAY);
        epochs.unpause();
        vm.stopPrank();
        vm.assertFalse(epochs.isPaused(), "ended early");
    }

    /// @dev Ending twice does not begin a new rest, nor an old pause again.
    function test_unpause_twice() public {
        vm.startPrank(guardian);
        epochs.pause(DAY);
        epochs.unpause();
        uint64 endedMs = nowMs();
        passMs(DAY);
        epochs.unpause();
        passMs(6 * DAY - 1000);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.TooSoon.selector, endedMs + 7 * DAY, nowMs()));
        epochs.pause(DAY);
        passMs(1000);
        epochs.pause(DAY);
        vm.stopPrank();
    }

    function test_unauthorized() public {
        bytes memory failure = abi.encodeWithSelector(IAssayEpochs.Unauthorized.selector, guardian, address(this));
        vm.expectRevert(failure);
        epochs.pause(1);
        vm.expectRevert(failure);
        epochs.unpause();
        vm.expectRevert(failure);
        epochs.extendWindows(1);
    }

    function test_durations() public {
        bytes4 failure = IAssayEpochs.DurationOutOfBounds.selector;
        vm.startPrank(guardian);
        vm.expectRevert(abi.encodeWithSelector(failure, 7 * DAY, 7 * DAY + 1));
        epochs.pause(7 * DAY + 1);
        vm.expectRevert(abi.encodeWithSelector(failure, 7 * DAY, 0));
        epochs.pause(0);
        vm.expectRevert(abi.encodeWithSelector(failure, 3 * DAY, 3 * DAY + 1));
        epochs.extendWindows(3 * DAY + 1);
        vm.expectRevert(abi.encodeWithSelector(failure, 3 * DAY, 0));
        epochs.extendWindows(0);
        vm.stopPrank();
    }
}
