// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {BlockingToken} from "../support/FeeToken.sol";
import {FourHyperNodes, Nothing} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

contract StakeSlashTest is FourHyperNodes {
    address private reporter = address(0x4e9);

    function slash(uint256 who, uint16 bps) private returns (uint96) {
        vm.prank(faults);
        return stake.slash(edKey(who), bps, reporter, "twoVotes");
    }

    function test_slash() public {
        vm.assertEq(slash(0, 2500), 10_000 ether, "taken");
        IAssayStake.HyperNode memory h = stake.hyperNodeOf(edKey(0));
        vm.assertEq(h.bonded, 30_000 ether, "bonded");
        vm.assertTrue(h.jailed, "jailed");
        vm.assertEq(token.balanceOf(reporter), 1000 ether, "a tenth");
        vm.assertEq(token.balanceOf(treasury), 9000 ether, "the rest");
        vm.assertEq(stake.totalHeld(), 90_000 ether, "held");
        vm.assertEq(token.balanceOf(address(stake)), 90_000 ether, "balance");
    }

    function test_slash_committees() public {
        bytes memory before = stake.committee(1);
        slash(0, 1);
        vm.assertEq(stake.committee(1), before, "fixed");
        toEndOf(0);
        vm.assertEq(stake.committee(1), before, "still");
        vm.assertEq(stake.committee(2).length, before.length - MEMBER, "later without it");
        vm.assertEq(stake.stakeAt(edKey(0), 2), 0, "no weight");
        vm.prank(vm.addr(keys[0]));
        stake.unbond(1);
        vm.assertEq(stake.stakeAt(edKey(0), 100), 0, "for good");
        stake.refresh(edKey(0));
        vm.assertEq(stake.stakeAt(edKey(0), 100), 0, "whatever is done");
    }

    function test_slash_reachesUnbonding() public {
        vm.startPrank(vm.addr(keys[0]));
        stake.unbond(10_000 ether);
        passMs(1000);
        stake.unbond(10_000 ether);
        passMs(1000);
        stake.unbond(20_000 ether);
        vm.stopPrank();
        vm.assertEq(slash(0, 3000), 12_000 ether, "of what is on its way out");
        vm.assertEq(stake.hyperNodeOf(edKey(0)).unbonding, 28_000 ether, "left");
        IAssayStake.Unbonding[] memory u = stake.unbondings(edKey(0));
        vm.assertEq(u.length, 2, "the first part is gone");
        vm.assertEq(u[0].amount, 8000 ether, "the earliest first");
        vm.assertEq(u[1].amount, 20_000 ether, "the last");
    }

    /// @dev Bonded first; and what was free but not withdrawn is in reach.
    function test_slash_bondedThenFree() public {
        vm.prank(vm.addr(keys[0]));
        stake.unbond(30_000 ether);
        passMs(31 days * 1000);
        vm.assertEq(slash(0, 5000), 20_000 ether, "half of everything");
        IAssayStake.HyperNode memory h = stake.hyperNodeOf(edKey(0));
        vm.assertEq(h.bonded, 0, "bonded first");
        vm.assertEq(h.unbonding, 20_000 ether, "then the rest");
        vm.prank(vm.addr(keys[0]));
        stake.withdraw();
        vm.assertEq(token.balanceOf(vm.addr(keys[0])), 20_000 ether, "what is left is paid");
    }

    function test_slash_nothingLeft() public {
        vm.assertEq(slash(0, 10_000), 40_000 ether, "all");
        vm.assertEq(slash(0, 10_000), 0, "nothing more");
        vm.prank(vm.addr(keys[1]));
        stake.unbond(25_000 ether);
        passMs(31 days * 1000);
        vm.prank(vm.addr(keys[1]));
        stake.withdraw();
        vm.assertEq(slash(1, 10_000), 0, "too late");
    }

    /// @dev Nobody's stake is so large that a slash takes less of it.
    function test_slash_ofAllThereCanBe() public {
        address whale = vm.addr(keys[0]);
        uint96 most = type(uint96).max;
        give(whale, address(stake), most);
        vm.startPrank(whale);
        stake.bond(most - 40_000 ether);
        stake.unbond(most);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.StakeTooLarge.selector, most, uint256(most) + 1));
        stake.bond(1);
        vm.stopPrank();
        vm.assertEq(slash(0, 10_000), most, "all of it");
        vm.assertEq(token.balanceOf(address(stake)), stake.totalHeld(), "balance");
    }

    /// @dev Parts that a slash used up make place for new ones.
    function test_slash_partsAreFreed() public {
        vm.startPrank(vm.addr(keys[0]));
        for (uint256 i; i < 16; ++i) {
            stake.unbond(1 ether);
        }
        vm.stopPrank();
        slash(0, 10_000);
        vm.assertEq(stake.unbondings(edKey(0)).length, 0, "none");
        vm.assertEq(stake.hyperNodeOf(edKey(0)).unbonding, 0, "nothing");
    }

    function test_slash_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.Unauthorized.selector, faults, address(this)));
        stake.slash(edKey(0), 1, reporter, "");
        vm.startPrank(faults);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.BpsTooLarge.selector, 10_000, 10_001));
        stake.slash(edKey(0), 10_001, reporter, "");
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.UnknownKey.selector, keccak256("?")));
        stake.slash(keccak256("?"), 1, reporter, "");
        vm.stopPrank();
    }

    function testFuzz_slash(uint96 out, uint16 bps) public {
        out = uint96(bound(out, 0, 40_000 ether));
        bps = uint16(bound(bps, 0, 10_000));
        if (out != 0) {
            vm.prank(vm.addr(keys[0]));
            stake.unbond(out);
        }
        uint256 expected = 40_000 ether * uint256(bps) / 10_000;
        vm.assertEq(slash(0, bps), expected, "of everything");
        IAssayStake.HyperNode memory h = stake.hyperNodeOf(edKey(0));
        vm.assertEq(uint256(h.bonded) + h.unbonding, 40_000 ether - expected, "left");
        uint256 fromBonded = 40_000 ether - out < expected ? 40_000 ether - out : expected;
        vm.assertEq(h.bonded, 40_000 ether - out - fromBonded, "bonded first");
        vm.assertEq(token.balanceOf(address(stake)), stake.totalHeld(), "balance");
    }
}

contract StakeBlockedTest is FourHyperNodes {
    address private reporter = address(0x4e9);
    BlockingToken private blocking;

    function setUp() public override {
        super.setUp();
        blocking = new BlockingToken();
        token = blocking;
        epochs = Deployed.epochs(epochParameters(), token, verifier, treasury, governor, guardian);
        stake = Deployed.stake(stakeParameters(), epochs);
        epochs.wire(address(stake), faults, faults, faults);
        for (uint256 i; i < 4; ++i) {
            joinOne(i, 10_000 ether);
        }
    }

    function slash() private returns (uint96) {
        vm.prank(faults);
        return stake.slash(edKey(0), 1000, reporter, "");
    }

    function test_slash_reporterBlocked() public {
        blocking.setBlocked(reporter, true);
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.Slashed(edKey(0), "", 1000 ether, reporter, 0);
        vm.assertEq(slash(), 1000 ether, "taken");
        vm.assertEq(token.balanceOf(treasury), 1000 ether, "all to the treasury");
    }

    function test_slash_tellsWhatWasPaid() public {
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.Slashed(edKey(0), "", 1000 ether, reporter, 100 ether);
        slash();
    }

    function test_slash_hyperNodeBlocked() public {
        blocking.setBlocked(vm.addr(keys[0]), true);
        vm.assertEq(slash(), 1000 ether, "taken");
    }

    function test_slash_treasuryBlocked() public {
        blocking.setBlocked(treasury, true);
        vm.assertEq(slash(), 1000 ether, "taken");
        vm.assertEq(token.balanceOf(reporter), 100 ether, "the reporter's share");
        vm.assertEq(stake.treasuryOwed(), 900 ether, "owed");
        vm.assertEq(stake.totalHeld(), token.balanceOf(address(stake)), "counted");
        vm.expectRevert("blocked");
        stake.payTreasury();
        blocking.setBlocked(treasury, false);
        stake.payTreasury();
        vm.assertEq(token.balanceOf(treasury), 900 ether, "paid");
        vm.assertEq(stake.totalHeld(), token.balanceOf(address(stake)), "counted");
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.NothingOwed.selector));
        stake.payTreasury();
    }
}
