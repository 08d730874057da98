// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {FourHyperNodes, Network} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

contract StakeCommitteeTest is FourHyperNodes {
    function test_committee_fixed() public {
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.CommitteeNotFixed.selector, 1, 2));
        stake.committee(2);
        bytes memory first = stake.committee(1);
        give(vm.addr(keys[0]), address(stake), 1 ether);
        vm.prank(vm.addr(keys[0]));
        stake.bond(1 ether);
        vm.assertEq(stake.committee(1), first, "the next one is fixed");
        toEndOf(0);
        bytes memory second = stake.committee(2);
        vm.assertTrue(keccak256(first) != keccak256(second), "the one after has changed");
        vm.prank(vm.addr(keys[1]));
        stake.unbond(25_000 ether);
        toEndOf(50);
        vm.assertEq(stake.committee(1), first, "for ever");
        vm.assertEq(stake.committee(2), second, "for ever");
        vm.assertEq(stake.committee(51).length, second.length - MEMBER, "one has left");
    }

    function test_committee_empty() public {
        for (uint256 i; i < 4; ++i) {
            uint96 all = stake.hyperNodeOf(edKey(i)).bonded;
            vm.prank(vm.addr(keys[i]));
            stake.unbond(all);
        }
        toEndOf(1);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.EmptyCommittee.selector, 2));
        stake.committee(2);
    }
}

/// @title Weights with an operator of several HyperNodes.
contract StakeCapTest is Network {
    function operator(uint256 i) internal view override returns (bytes32) {
        return i < 3 ? keccak256("one operator") : super.operator(i);
    }

    function testFuzz_weights(uint96[5] memory stakes) public {
        deploy(Deployed.ecdsa());
        uint96[] memory s = new uint96[](5);
        uint256 total;
        for (uint256 i; i < 5; ++i) {
            s[i] = uint96(bound(stakes[i], MIN_STAKE, 1_000_000_000 ether));
            total += s[i];
        }
        join(s);
        IQuorumVerifier.Member[] memory m = stake.members(0);
        uint256 limit = total * 4000 / 10_000;
        uint256 first = uint256(s[0]) + s[1] + s[2];
        for (uint256 i; i < 5; ++i) {
            uint256 sum = i < 3 ? first : s[i];
            uint256 expected = s[i] * (sum < limit ? sum : limit) / sum;
            vm.assertEq(m[i].signer, vm.addr(keys[i]), "ascending");
            vm.assertEq(m[i].weight, expected, "weight");
        }
    }

    function test_weights_beforeGenesis() public {
        deploy(Deployed.ecdsa());
        uint96[] memory s = new uint96[](5);
        for (uint256 i; i < 5; ++i) {
            s[i] = MIN_STAKE;
        }
        join(s);
        vm.assertEq(stake.committee(0).length, 5 * MEMBER, "all");
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.CommitteeNotFixed.selector, 0, 1));
        stake.committee(1);
    }
}

/// @title An operator whose cap leaves some of its HyperNodes nothing.
contract StakeDroppedTest is Network {
    function stakeParameters() internal pure override returns (IAssayStake.Parameters memory) {
        return IAssayStake.Parameters(1, 1, 2, 30 days * 1000, 1000);
    }

    function operator(uint256) internal pure override returns (bytes32) {
        return keccak256("one operator");
    }

    function test_weights_dropped() public {
        deploy(Deployed.ecdsa());
        uint96[] memory s = new uint96[](3);
        (s[0], s[1], s[2]) = (5000, 1, 4999);
        join(s);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.EmptyCommittee.selector, 0));
        stake.members(0);
        keys.push(uint256(keccak256("another")) >> 8);
        joinOne(3, 10_000);
        IQuorumVerifier.Member[] memory m = stake.members(0);
        vm.assertEq(m.length, 1, "without the smaller ones");
        vm.assertEq(m[0].signer, vm.addr(keys[3]), "the largest");
        vm.assertEq(m[0].weight, 1, "half of what it may weigh together");
    }
}

/// @title 128 HyperNodes of before genesis, the 78th with the smallest stake; genesis is not open yet.
contract StakeSeatsTest is Network {
    uint256 private constant SEATS = 128;

    function setUp() public {
        deploy(Deployed.ecdsa());
        keys = sortedKeys(SEATS + 4);
        for (uint256 i; i < SEATS; ++i) {
            joinOne(i, i == 77 ? MIN_STAKE : 2 * MIN_STAKE);
        }
    }

    function seatOf(uint256 who) private view returns (bool) {
        return stake.stakeAt(edKey(who), 2) != 0;
    }

    function bond(uint256 who, uint96 amount) private {
        give(vm.addr(keys[who]), address(stake), amount);
        vm.prank(vm.addr(keys[who]));
        stake.bond(amount);
    }

    function unbond(uint256 who, uint96 amount) private {
        vm.prank(vm.addr(keys[who]));
        stake.unbond(amount);
    }

    function test_seats() public {
        joinOne(SEATS, MIN_STAKE);
        vm.assertFalse(seatOf(SEATS), "as small as the smallest");
        joinOne(SEATS + 1, MIN_STAKE);
        openGenesis();
        bond(SEATS + 1, 1);
        vm.assertTrue(seatOf(SEATS + 1), "larger");
        vm.assertFalse(seatOf(77), "gave way");
        vm.assertEq(stake.seatHolder(77), SEATS + 2, "its seat");
        vm.assertEq(stake.stakeAt(edKey(77), 1), MIN_STAKE, "in the fixed ones it stays");
        vm.assertEq(stake.committee(1).length, SEATS * MEMBER, "full");
        toEndOf(0);
        vm.assertEq(stake.committee(2).length, SEATS * MEMBER, "full");
    }

    function test_seats_beforeGenesis() public {
        joinOne(SEATS, MIN_STAKE + 1);
        vm.assertEq(stake.seatHolder(77), SEATS + 1, "larger");
        vm.assertEq(stake.stakeAt(edKey(77), 0), 0, "gave way");
        vm.assertEq(stake.stakeAt(edKey(SEATS), 0), MIN_STAKE + 1, "counts");
        vm.assertEq(stake.committee(0).length, SEATS * MEMBER, "full");
    }

    /// @dev Two are the smallest: the first one's seat goes, then the other's.
    function test_seats_ofTwoSmallest() public {
        unbond(100, MIN_STAKE);
        joinOne(SEATS, MIN_STAKE + 1);
        vm.assertFalse(seatOf(77), "the first");
        vm.assertTrue(seatOf(100), "not the other");
        joinOne(SEATS + 1, MIN_STAKE + 1);
        vm.assertFalse(seatOf(100), "then the other");
    }

    function test_seats_bondMore() public {
        joinOne(SEATS, MIN_STAKE);
        openGenesis();
        bond(SEATS, 1);
        vm.assertTrue(seatOf(SEATS), "larger now");
        vm.assertFalse(seatOf(77), "gave way");
        unbond(77, MIN_STAKE);
        vm.assertEq(stake.seatHolder(77), SEATS + 1, "who gave way takes nobody's seat with it");
        passMs(31 days * 1000);
        vm.prank(vm.addr(keys[77]));
        stake.withdraw();
        vm.assertEq(token.balanceOf(vm.addr(keys[77])), MIN_STAKE, "can leave without a seat");
    }

    function test_seats_refresh() public {
        openGenesis();
        joinOne(SEATS, MIN_STAKE);
        stake.refresh(edKey(SEATS));
        vm.assertFalse(seatOf(SEATS), "none is free");
        unbond(5, 2 * MIN_STAKE);
        vm.assertFalse(seatOf(SEATS), "free, not taken");
        stake.refresh(edKey(SEATS));
        vm.assertTrue(seatOf(SEATS), "taken");
        vm.assertEq(stake.seatHolder(5), SEATS + 1, "that one");
    }

    /// @dev However much a newcomer stakes, it gets a seat of before genesis only when it is free.
    function test_seats_newcomer() public {
        openGenesis();
        joinOne(SEATS, 1000 * MIN_STAKE);
        bond(SEATS, MIN_STAKE);
        stake.refresh(edKey(SEATS));
        vm.assertEq(stake.stakeAt(edKey(SEATS), type(uint64).max), 0, "weighs nothing");
        vm.assertEq(stake.hyperNodeOf(edKey(SEATS)).bonded, 1001 * MIN_STAKE, "has its stake");
        for (uint256 i; i < SEATS; ++i) {
            vm.assertEq(stake.seatHolder(i), i + 1, "who was there");
        }
        toEndOf(0);
        vm.assertEq(stake.committee(2), stake.committee(0), "the same");
        unbond(100, MIN_STAKE + 1);
        joinOne(SEATS + 1, MIN_STAKE);
        vm.assertEq(stake.seatHolder(100), SEATS + 2, "a free one");
        vm.assertEq(stake.stakeAt(edKey(SEATS + 1), 3), MIN_STAKE, "counts");
    }

    /// @dev A newcomer passes over a smaller one of before genesis to the smallest newcomer.
    function test_seats_newcomers() public {
        openGenesis();
        unbond(5, 2 * MIN_STAKE);
        joinOne(SEATS, MIN_STAKE + 9);
        unbond(90, 2 * MIN_STAKE);
        joinOne(SEATS + 1, MIN_STAKE + 1);
        joinOne(SEATS + 2, MIN_STAKE + 1);
        vm.assertFalse(seatOf(SEATS + 2), "as small as the smallest newcomer");
        joinOne(SEATS + 3, MIN_STAKE + 2);
        vm.assertEq(stake.seatHolder(90), SEATS + 4, "the smallest newcomer's");
        vm.assertTrue(seatOf(SEATS + 3), "larger");
        vm.assertFalse(seatOf(SEATS + 1), "gave way");
        vm.assertTrue(seatOf(77), "smaller, of before genesis");
        vm.assertEq(stake.seatHolder(5), SEATS + 1, "not the smallest newcomer");
    }

    /// @dev Who lost its seat is still of before genesis: the newcomer gives way, and does not get the seat again.
    function test_seats_backFromNewcomer() public {
        openGenesis();
        unbond(5, 2 * MIN_STAKE);
        joinOne(SEATS, MIN_STAKE);
        vm.assertEq(stake.seatHolder(5), SEATS + 1, "a free one");
        bond(5, MIN_STAKE);
        vm.assertFalse(seatOf(5), "as small as the smallest");
        bond(5, 1);
        vm.assertEq(stake.seatHolder(5), 6, "larger");
        vm.assertTrue(seatOf(5), "back");
        vm.assertFalse(seatOf(SEATS), "gave way");
        bond(SEATS, 10 * MIN_STAKE);
        vm.assertFalse(seatOf(SEATS), "however large");
        vm.assertEq(stake.seatHolder(5), 6, "stays");
    }

    /// @dev Who lost its seat takes the smallest, though it is of before genesis and a newcomer has another.
    function test_seats_backFromGenesis() public {
        openGenesis();
        unbond(5, 2 * MIN_STAKE);
        joinOne(SEATS, MIN_STAKE + 9);
        bond(5, MIN_STAKE + 1);
        vm.assertEq(stake.seatHolder(77), 6, "the smallest");
        vm.assertTrue(seatOf(5), "back");
        vm.assertFalse(seatOf(77), "gave way");
        vm.assertEq(stake.seatHolder(5), SEATS + 1, "not the smallest");
        vm.assertTrue(seatOf(SEATS), "stays");
    }
}
