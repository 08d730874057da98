// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {FourHyperNodes, Network} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

contract StakeRosterTest is FourHyperNodes {
    function hashOf(uint64 epoch) private view returns (bytes32) {
        return keccak256(abi.encode(stake.roster(epoch)));
    }

    function unbond(uint256 who, uint96 amount) private {
        vm.prank(vm.addr(keys[who]));
        stake.unbond(amount);
    }

    function isSeat(IAssayStake.Seat memory seat, uint256 who, uint96 amount) private view {
        vm.assertEq(seat.signer, vm.addr(keys[who]), "signer");
        vm.assertEq(seat.ed25519Key, edKey(who), "key");
        vm.assertEq(seat.operatorId, operator(who), "operator");
        vm.assertEq(seat.stake, amount, "stake");
        vm.assertEq(seat.seedChainEnd, keccak256("seed"), "seed chain");
    }

    /// @dev Stakes are those before the cap, which leaves the first 40 %.
    function test_roster() public {
        give(vm.addr(keys[0]), address(stake), 50_000 ether);
        vm.prank(vm.addr(keys[0]));
        stake.bond(50_000 ether);
        toEndOf(0);
        IAssayStake.Seat[] memory seats = stake.roster(2);
        vm.assertEq(seats.length, 4, "all");
        isSeat(seats[0], 0, 90_000 ether);
        isSeat(seats[1], 1, 25_000 ether);
        isSeat(seats[2], 2, 20_000 ether);
        isSeat(seats[3], 3, 15_000 ether);
        vm.assertEq(stake.members(2)[0].weight, 60_000 ether, "capped");
        isSeat(stake.roster(0)[0], 0, 40_000 ether);
        isSeat(stake.roster(1)[0], 0, 40_000 ether);
    }

    function test_roster_comes() public {
        keys.push(uint256(keccak256("another")) >> 8);
        toEndOf(3);
        joinOne(4, 5000 ether);
        vm.assertEq(stake.roster(5).length, 4, "not yet");
        toEndOf(4);
        vm.assertEq(stake.roster(5).length, 4, "nor later");
        IAssayStake.Seat[] memory seats = stake.roster(6);
        vm.assertEq(seats.length, 5, "from here on");
        isSeat(seats[4], 4, 5000 ether);
    }

    function test_roster_unbonds() public {
        (bytes32 first, bytes32 second) = (hashOf(0), hashOf(1));
        unbond(1, 24_000 ether);
        unbond(2, 19_000 ether + 1);
        toEndOf(0);
        IAssayStake.Seat[] memory seats = stake.roster(2);
        vm.assertEq(seats.length, 3, "one has left");
        isSeat(seats[1], 1, MIN_STAKE);
        isSeat(seats[2], 3, 15_000 ether);
        toEndOf(50);
        vm.assertEq(stake.roster(51).length, 3, "for good");
        vm.assertEq(hashOf(0), first, "of epoch 0");
        vm.assertEq(hashOf(1), second, "of epoch 1");
    }

    /// @dev Who comes next has the seat that became free, between the others.
    function test_roster_orderOfSeats() public {
        unbond(1, 25_000 ether);
        keys.push(uint256(keccak256("another")) >> 8);
        joinOne(4, 5000 ether);
        toEndOf(0);
        IAssayStake.Seat[] memory seats = stake.roster(2);
        vm.assertEq(seats.length, 4, "as many");
        isSeat(seats[1], 4, 5000 ether);
        isSeat(seats[3], 3, 15_000 ether);
    }

    function test_roster_slashed() public {
        bytes32 before = hashOf(1);
        vm.prank(faults);
        stake.slash(edKey(0), 1, address(0x4e9), "twoVotes");
        vm.assertEq(hashOf(1), before, "fixed");
        toEndOf(0);
        IAssayStake.Seat[] memory seats = stake.roster(2);
        vm.assertEq(seats.length, 3, "without it");
        isSeat(seats[0], 1, 25_000 ether);
        vm.assertEq(hashOf(1), before, "still");
    }

    function test_roster_seedChain() public {
        toEndOf(4);
        bytes32 before = hashOf(6);
        vm.prank(vm.addr(keys[3]));
        stake.update(keccak256("next chain"), "");
        vm.assertEq(hashOf(6), before, "fixed");
        toEndOf(5);
        vm.assertEq(hashOf(6), before, "still");
        vm.assertEq(stake.roster(7)[3].seedChainEnd, keccak256("next chain"), "later");
        isSeat(stake.roster(7)[2], 2, 20_000 ether);
    }

    function test_roster_notFixed() public {
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.CommitteeNotFixed.selector, 1, 2));
        stake.roster(2);
        toEndOf(0);
        stake.roster(2);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.CommitteeNotFixed.selector, 2, type(uint64).max));
        stake.roster(type(uint64).max);
    }

    function test_roster_empty() public {
        for (uint256 i; i < 4; ++i) {
            unbond(i, stake.hyperNodeOf(edKey(i)).bonded);
        }
        toEndOf(1);
        vm.assertEq(stake.roster(2).length, 0, "nobody");
        vm.assertEq(stake.roster(1).length, 4, "earlier");
    }
}

/// @title Committees by the formula from what `roster` says, with an operator of several HyperNodes.
contract StakeRosterWeightsTest is Network {
    function operator(uint256 i) internal view override returns (bytes32) {
        return i < 3 ? keccak256("one operator") : super.operator(i);
    }

    /// @dev Seats are in descending order of addresses.
    function testFuzz_roster(uint96[5] memory stakes, uint96[5] memory leaving) public {
        deploy(Deployed.ecdsa());
        keys = sortedKeys(5);
        for (uint256 i; i < 5; ++i) {
            stakes[i] = uint96(bound(stakes[i], MIN_STAKE, 1_000_000_000 ether));
            joinOne(4 - i, stakes[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.CommitteeNotFixed.selector, 0, 1));
        stake.roster(1);
        openGenesis();
        for (uint256 i; i < 5; ++i) {
            vm.prank(vm.addr(keys[4 - i]));
            stake.unbond(uint96(bound(leaving[i], 1, stakes[i])));
        }
        toEndOf(0);
        vm.assertEq(stake.roster(0).length, 5, "all");
        for (uint64 epoch; epoch < 3; ++epoch) {
            followsFrom(stake.roster(epoch), epoch);
        }
    }

    /// @dev Members are those of the seats that have weight, ascending by address.
    function followsFrom(IAssayStake.Seat[] memory seats, uint64 epoch) private {
        uint256 count;
        for (uint256 i; i < seats.length; ++i) {
            if (weightOf(seats, i) != 0) ++count;
        }
        if (count == 0) {
            vm.expectRevert(abi.encodeWithSelector(IAssayStake.EmptyCommittee.selector, epoch));
            stake.members(epoch);
            return;
        }
        IQuorumVerifier.Member[] memory m = stake.members(epoch);
        vm.assertEq(m.length, count, "as many");
        for (uint256 i; i < seats.length; ++i) {
            if (weightOf(seats, i) == 0) continue;
            IQuorumVerifier.Member memory last = m[--count];
            vm.assertEq(last.signer, seats[i].signer, "ascending");
            vm.assertEq(last.weight, weightOf(seats, i), "weight");
        }
    }

    function weightOf(IAssayStake.Seat[] memory seats, uint256 which) private pure returns (uint256) {
        uint256 sum;
        uint256 total;
        for (uint256 i; i < seats.length; ++i) {
            total += seats[i].stake;
            if (seats[i].operatorId == seats[which].operatorId) sum += seats[i].stake;
        }
        uint256 limit = total * 4000 / 10_000;
        return seats[which].stake * (sum < limit ? sum : limit) / sum;
    }
}
