// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {FourHyperNodes} from "../support/Network.sol";

contract StakeUnbondTest is FourHyperNodes {
    uint64 private constant UNBONDING_MS = 30 days * 1000;

    function me() private view returns (address) {
        return vm.addr(keys[0]);
    }

    function unbond(uint96 amount) private {
        vm.prank(me());
        stake.unbond(amount);
    }

    function withdraw() private {
        vm.prank(me());
        stake.withdraw();
    }

    function refusedWithdraw() private {
        vm.prank(me());
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.NothingToWithdraw.selector, edKey(0)));
        stake.withdraw();
    }

    function test_unbond() public {
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.UnbondingStarted(edKey(0), 10_000 ether, nowMs() + UNBONDING_MS);
        unbond(10_000 ether);
        IAssayStake.HyperNode memory h = stake.hyperNodeOf(edKey(0));
        vm.assertEq(h.bonded, 30_000 ether, "bonded");
        vm.assertEq(h.unbonding, 10_000 ether, "unbonding");
        vm.assertEq(stake.stakeAt(edKey(0), 1), 40_000 ether, "fixed");
        vm.assertEq(stake.stakeAt(edKey(0), 2), 30_000 ether, "later");
        vm.assertEq(stake.totalHeld(), 100_000 ether, "still here");
        IAssayStake.Unbonding[] memory u = stake.unbondings(edKey(0));
        vm.assertEq(u.length, 1, "one");
        vm.assertEq(u[0].amount, 10_000 ether, "amount");
        vm.assertEq(u[0].releaseAtMs, nowMs() + UNBONDING_MS, "release");
    }

    function test_withdraw() public {
        unbond(10_000 ether);
        refusedWithdraw();
        passMs(UNBONDING_MS - 1000);
        refusedWithdraw();
        passMs(1000);
        withdraw();
        vm.assertEq(token.balanceOf(me()), 10_000 ether, "paid");
        vm.assertEq(stake.totalHeld(), 90_000 ether, "held");
        vm.assertEq(stake.unbondings(edKey(0)).length, 0, "none left");
        refusedWithdraw();
    }

    function test_withdraw_parts() public {
        unbond(1 ether);
        passMs(1000);
        unbond(2 ether);
        passMs(1000);
        unbond(4 ether);
        passMs(UNBONDING_MS - 1000);
        withdraw();
        vm.assertEq(token.balanceOf(me()), 3 ether, "the first two");
        vm.assertEq(stake.hyperNodeOf(edKey(0)).unbonding, 4 ether, "the third");
        vm.assertEq(stake.unbondings(edKey(0))[0].amount, 4 ether, "its part");
        passMs(1000);
        withdraw();
        vm.assertEq(token.balanceOf(me()), 7 ether, "all");
    }

    function test_withdraw_extended() public {
        unbond(1 ether);
        vm.prank(guardian);
        epochs.extendWindows(1 days * 1000);
        passMs(UNBONDING_MS);
        vm.assertEq(stake.unbondings(edKey(0))[0].releaseAtMs, nowMs() + 1 days * 1000, "release");
        passMs(1 days * 1000 - 1000);
        refusedWithdraw();
        passMs(1000);
        withdraw();
    }

    function test_unbond_refused() public {
        vm.startPrank(me());
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.ZeroAmount.selector));
        stake.unbond(0);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.InsufficientStake.selector, 40_000 ether, 40_000 ether + 1));
        stake.unbond(40_000 ether + 1);
        for (uint256 i; i < 16; ++i) {
            stake.unbond(1);
        }
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.TooManyUnbondings.selector, 16));
        stake.unbond(1);
        passMs(UNBONDING_MS);
        stake.withdraw();
        stake.unbond(1);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.NotRegistered.selector, address(this)));
        stake.unbond(1);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.NotRegistered.selector, address(this)));
        stake.withdraw();
    }

    /// @dev Below the least stake there is no seat; what is left can be taken too.
    function test_unbond_belowLeast() public {
        unbond(39_000 ether + 1);
        vm.assertEq(stake.stakeAt(edKey(0), 2), 0, "no weight");
        vm.assertEq(stake.seatHolder(0), 0, "no seat");
        unbond(1000 ether - 1);
        passMs(UNBONDING_MS);
        withdraw();
        vm.assertEq(token.balanceOf(me()), 40_000 ether, "everything");
    }

    function test_unbond_toLeast() public {
        unbond(39_000 ether);
        vm.assertEq(stake.stakeAt(edKey(0), 2), 1000 ether, "keeps its weight");
        vm.assertEq(stake.seatHolder(0), 1, "keeps its seat");
    }
}
