// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayStake} from "../../src/AssayStake.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {AbsenceLeaf} from "../../src/interfaces/Types.sol";
import {FourHyperNodes, Network} from "../support/Network.sol";
import {TestToken} from "../../src/TestToken.sol";
import {Test} from "../support/Test.sol";

/// @title Plays HyperNodes, a court and time at random.
contract StakeHandler is Test {
    AssayStake private immutable stake;
    TestToken private immutable token;
    address private immutable faults;
    bytes32[] public edKeys;
    address[] public signers;
    uint256 public put;
    uint256 public got;
    uint256 public taken;
    uint256 public refusedSlashes;
    uint256 public wrongMarks;
    uint256 public wrongReturns;

    constructor(
        AssayStake stake_,
        TestToken token_,
        address faults_,
        bytes32[] memory edKeys_,
        address[] memory signers_
    ) {
        (stake, token, faults, edKeys, signers) = (stake_, token_, faults_, edKeys_, signers_);
    }

    function count() external view returns (uint256) {
        return signers.length;
    }

    function bond(uint256 who, uint96 amount) external {
        who %= signers.length;
        amount = uint96(bound(amount, 1, 1e24));
        token.mint(signers[who], amount);
        vm.startPrank(signers[who]);
        token.approve(address(stake), amount);
        try stake.bond(amount) {
            put += amount;
        } catch {}
        vm.stopPrank();
    }

    function unbond(uint256 who, uint96 amount) external {
        who %= signers.length;
        uint96 bonded = stake.hyperNodeOf(edKeys[who]).bonded;
        if (bonded == 0) return;
        vm.prank(signers[who]);
        try stake.unbond(uint96(bound(amount, 1, bonded))) {} catch {}
    }

    function withdraw(uint256 who) external {
        who %= signers.length;
        uint256 before = token.balanceOf(signers[who]);
        vm.prank(signers[who]);
        try stake.withdraw() {
            got += token.balanceOf(signers[who]) - before;
        } catch {}
    }

    /// @dev Whatever the HyperNode has done before, a slash goes through and takes its share of everything.
    function slash(uint256 who, uint16 bps) external {
        who %= signers.length;
        bps = uint16(bound(bps, 0, 3000));
        IAssayStake.HyperNode memory h = stake.hyperNodeOf(edKeys[who]);
        uint256 expected = (uint256(h.bonded) + h.unbonding) * bps / 10_000;
        vm.prank(faults);
        try stake.slash(edKeys[who], bps, address(0x4e9), "") returns (uint96 amount) {
            if (amount != expected) ++refusedSlashes;
            taken += amount;
        } catch {
            ++refusedSlashes;
        }
    }

    /// @dev By a root of an epoch in which its seat counts, whenever it got that: goes through when it has one, and only then.
    function markAbsent(uint256 who) external {
        who %= signers.length;
        IAssayEpochs epochs = IAssayEpochs(stake.epochs());
        bool seated = stake.stakeAt(edKeys[who], type(uint64).max) != 0;
        uint64 epoch = epochs.currentEpoch() + stake.parameters().activeAfterEpochs;
        IAssayEpochs.EpochRecord memory record;
        vm.mockCall(address(epochs), abi.encodeWithSelector(IAssayEpochs.proven.selector), abi.encode(record));
        try stake.markAbsent(AbsenceLeaf(4, epoch, edKeys[who], 1), new bytes32[](0)) {
            if (!seated) ++wrongMarks;
        } catch {
            if (seated) ++wrongMarks;
        }
    }

    /// @dev Goes through for who was marked and for who has a seat, and never leaves anybody marked.
    function comeBack(uint256 who) external {
        who %= signers.length;
        bool seated = stake.stakeAt(edKeys[who], type(uint64).max) != 0;
        bool may = seated || stake.hyperNodeOf(edKeys[who]).absent;
        vm.prank(signers[who]);
        try stake.comeBack() {
            if (!may || stake.hyperNodeOf(edKeys[who]).absent) ++wrongReturns;
        } catch {
            if (may) ++wrongReturns;
        }
    }

    function pass(uint32 time) external {
        vm.warp(block.timestamp + bound(time, 0, 20 days));
    }
}

contract StakeInvariantTest is FourHyperNodes {
    StakeHandler private handler;
    uint256 private first;
    bytes private committee0;
    bytes private committee1;

    function setUp() public override {
        super.setUp();
        bytes32[] memory edKeys = new bytes32[](4);
        address[] memory signers = new address[](4);
        for (uint256 i; i < 4; ++i) {
            (edKeys[i], signers[i]) = (edKey(i), vm.addr(keys[i]));
        }
        first = stake.totalHeld();
        (committee0, committee1) = (stake.committee(0), stake.committee(1));
        handler = new StakeHandler(stake, token, faults, edKeys, signers);
        target(address(handler));
    }

    /// @dev Balance, what is owed, and the sum of the parts are one number, and every coin is accounted for.
    function invariant_conserved() public view {
        uint256 parts;
        for (uint256 i; i < 4; ++i) {
            IAssayStake.HyperNode memory h = stake.hyperNodeOf(edKey(i));
            IAssayStake.Unbonding[] memory u = stake.unbondings(edKey(i));
            uint256 unbonding;
            for (uint256 k; k < u.length; ++k) {
                vm.assertGt(u[k].amount, 0, "no empty part");
                unbonding += u[k].amount;
            }
            vm.assertEq(h.unbonding, unbonding, "sum of parts");
            parts += uint256(h.bonded) + h.unbonding;
        }
        vm.assertEq(stake.totalHeld(), parts, "held");
        vm.assertEq(token.balanceOf(address(stake)), parts, "balance");
        vm.assertEq(first + handler.put(), parts + handler.got() + handler.taken(), "conserved");
        vm.assertEq(token.balanceOf(treasury) + token.balanceOf(address(0x4e9)), handler.taken(), "taken");
    }

    function invariant_slashGoesThrough() public view {
        vm.assertEq(handler.refusedSlashes(), 0, "refused");
    }

    function invariant_committeesStay() public view {
        vm.assertEq(stake.committee(0), committee0, "of epoch 0");
        vm.assertEq(stake.committee(1), committee1, "of epoch 1");
    }

    function invariant_weightNeedsStake() public view {
        for (uint256 i; i < 4; ++i) {
            IAssayStake.HyperNode memory h = stake.hyperNodeOf(edKey(i));
            uint96 weight = stake.stakeAt(edKey(i), type(uint64).max);
            bool member = !h.jailed && !h.absent && h.bonded >= MIN_STAKE;
            vm.assertEq(weight, member ? h.bonded : 0, "weight");
        }
    }

    /// @dev Who weighs something has one seat, whoever else has none.
    function invariant_seats() public view {
        uint256[4] memory seats;
        for (uint256 seat; seat < 128; ++seat) {
            uint256 holder = stake.seatHolder(seat);
            if (holder != 0) ++seats[holder - 1];
        }
        for (uint256 i; i < 4; ++i) {
            vm.assertEq(seats[i], stake.stakeAt(edKey(i), type(uint64).max) == 0 ? 0 : 1, "seats");
        }
    }

    function invariant_absence() public view {
        vm.assertEq(handler.wrongMarks(), 0, "marks");
        vm.assertEq(handler.wrongReturns(), 0, "returns");
    }
}
