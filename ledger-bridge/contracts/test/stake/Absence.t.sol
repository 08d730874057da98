// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {AbsenceLeaf, EpochRoot} from "../../src/interfaces/Types.sol";
import {FourHyperNodes, Network} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

/// @title Four HyperNodes, of which some are absent. Every root has two leaves; the other one is nobody's.
contract StakeAbsenceTest is FourHyperNodes {
    bytes32 private constant OTHER = keccak256("the other leaf");
    uint32 private constant MISSED = 1;

    function hashOf(AbsenceLeaf memory leaf) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(leaf))));
    }

    function parent(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }

    function proof() private pure returns (bytes32[] memory siblings) {
        siblings = new bytes32[](1);
        siblings[0] = OTHER;
    }

    /// @dev Roots up to the one of `leaf.epoch`, right after its end.
    function posted(AbsenceLeaf memory leaf) private returns (EpochRoot memory r) {
        toEndOf(leaf.epoch);
        for (uint64 e = epochs.nextEpoch(); e < leaf.epoch; ++e) {
            post(rootOf(e, OTHER, 0), QUORUM);
        }
        r = rootOf(leaf.epoch, parent(hashOf(leaf), OTHER), 0);
        r.leafCount = 2;
        post(r, QUORUM);
    }

    function leafOf(uint64 epoch, uint256 who) private view returns (AbsenceLeaf memory) {
        return AbsenceLeaf(4, epoch, edKey(who), MISSED);
    }

    /// @dev Posted and taken.
    function mark(uint64 epoch, uint256 who) private returns (AbsenceLeaf memory leaf) {
        leaf = leafOf(epoch, who);
        posted(leaf);
        stake.markAbsent(leaf, proof());
    }

    function refused(bytes memory failure, AbsenceLeaf memory leaf) private {
        vm.expectRevert(failure);
        stake.markAbsent(leaf, proof());
    }

    function notSeated(AbsenceLeaf memory leaf) private {
        refused(abi.encodeWithSelector(IAssayStake.NotSeated.selector, leaf.hyperNode), leaf);
    }

    function stale(AbsenceLeaf memory leaf, uint64 earliest) private {
        bytes4 selector = IAssayStake.StaleAbsence.selector;
        refused(abi.encodeWithSelector(selector, leaf.hyperNode, earliest, leaf.epoch), leaf);
    }

    function badProof(AbsenceLeaf memory leaf, bytes32 root) private {
        bytes32 computed = parent(hashOf(leaf), OTHER);
        refused(abi.encodeWithSelector(IAssayEpochs.BadProof.selector, root, computed), leaf);
    }

    function comeBack(uint256 who) private {
        vm.prank(vm.addr(keys[who]));
        stake.comeBack();
    }

    function notAbsent(uint256 who) private {
        bytes memory failure = abi.encodeWithSelector(IAssayStake.NotAbsent.selector, edKey(who));
        vm.prank(vm.addr(keys[who]));
        vm.expectRevert(failure);
        stake.comeBack();
    }

    function weighs(uint256 who, uint64 epoch) private view returns (uint96) {
        return stake.stakeAt(edKey(who), epoch);
    }

    function slash(uint256 who, uint16 bps) private returns (uint96) {
        vm.prank(faults);
        return stake.slash(edKey(who), bps, address(0x4e9), "");
    }

    // --------------------------------------------------------------- markAbsent

    /// @dev By an account that is nobody's, with a root that is not final.
    function test_markAbsent() public {
        AbsenceLeaf memory leaf = leafOf(0, 3);
        posted(leaf);
        vm.assertFalse(epochs.isFinal(0), "not final");
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.MarkedAbsent(edKey(3), 0, 3);
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.SeatChanged(3, 3, 0);
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.StakeChanged(edKey(3), 3, 0);
        vm.prank(address(0xab0d7));
        stake.markAbsent(leaf, proof());
        vm.snapshotGasLastCall("AssayStake", "markAbsent");
        IAssayStake.HyperNode memory h = stake.hyperNodeOf(edKey(3));
        vm.assertTrue(h.absent, "absent");
        vm.assertFalse(h.jailed, "not jailed");
        vm.assertEq(h.bonded, 15_000 ether, "no stake is lost");
        vm.assertEq(h.unbonding, 0, "nor on its way out");
        vm.assertEq(h.endpoint, "https://hypernode.example", "the rest");
        vm.assertEq(stake.seatHolder(3), 0, "no seat");
        vm.assertEq(stake.totalHeld(), 100_000 ether, "held");
        vm.assertEq(token.balanceOf(address(stake)), 100_000 ether, "balance");
        vm.assertFalse(stake.hyperNodeOf(edKey(2)).absent, "not another");
    }

    function test_markAbsent_committees() public {
        toEndOf(0);
        bytes memory before = stake.committee(2);
        mark(0, 3);
        vm.assertEq(stake.committee(2), before, "fixed");
        vm.assertEq(weighs(3, 2), 15_000 ether, "counts there");
        vm.assertEq(weighs(3, 3), 0, "and not after");
        toEndOf(1);
        vm.assertEq(stake.committee(1), before, "still");
        vm.assertEq(stake.committee(2), before, "still");
        vm.assertEq(stake.committee(3).length, before.length - MEMBER, "without it");
        vm.assertEq(stake.roster(2).length, 4, "roster with it");
        vm.assertEq(stake.roster(3).length, 3, "roster without it");
        toEndOf(50);
        vm.assertEq(stake.committee(51).length, before.length - MEMBER, "and stays so");
    }

    function test_markAbsent_paused() public {
        AbsenceLeaf memory leaf = leafOf(0, 3);
        posted(leaf);
        vm.prank(guardian);
        epochs.pause(1000);
        stake.markAbsent(leaf, proof());
        vm.assertTrue(stake.hyperNodeOf(edKey(3)).absent, "absent");
        comeBack(3);
        vm.assertEq(weighs(3, 3), 15_000 ether, "back");
    }

    /// @dev Also when a root has such a leaf.
    function test_markAbsent_wrongType() public {
        AbsenceLeaf memory leaf = leafOf(0, 3);
        leaf.leafType = 3;
        posted(leaf);
        refused(abi.encodeWithSelector(IAssayStake.WrongLeafType.selector, 4, 3), leaf);
        leaf.leafType = 5;
        refused(abi.encodeWithSelector(IAssayStake.WrongLeafType.selector, 4, 5), leaf);
        leaf.leafType = 4;
        badProof(leaf, epochs.epochRecord(0).root);
    }

    function test_markAbsent_unknown() public {
        AbsenceLeaf memory leaf = AbsenceLeaf(4, 0, keccak256("?"), MISSED);
        posted(leaf);
        refused(abi.encodeWithSelector(IAssayStake.UnknownKey.selector, keccak256("?")), leaf);
    }

    function test_markAbsent_notProven() public {
        refused(abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 0), leafOf(0, 3));
        bytes32 root = posted(leafOf(0, 3)).root;
        badProof(leafOf(0, 2), root);
        badProof(AbsenceLeaf(4, 0, edKey(3), MISSED - 1), root);
        refused(abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 1), leafOf(1, 3));
        AbsenceLeaf memory leaf = leafOf(0, 3);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.BadProof.selector, root, hashOf(leaf)));
        stake.markAbsent(leaf, new bytes32[](0));
        toEndOf(1);
        post(rootOf(1, OTHER, 0), QUORUM);
        badProof(leafOf(1, 3), OTHER);
        toEndOf(2);
        passMs(VOID_AFTER_MS);
        epochs.postVoid(2);
        refused(abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 2), leafOf(2, 3));
        for (uint256 i; i < 4; ++i) {
            vm.assertEq(weighs(i, type(uint64).max), stake.hyperNodeOf(edKey(i)).bonded, "who was there");
        }
    }

    /// @dev What a correction replaced or undid proves nothing any more.
    function test_markAbsent_corrected() public {
        AbsenceLeaf memory second = leafOf(1, 2);
        EpochRoot memory r = posted(leafOf(0, 3));
        posted(second);
        r.root = OTHER;
        r.leafCount = 1;
        r.round = 1;
        correct(r, QUORUM);
        badProof(leafOf(0, 3), OTHER);
        refused(abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 1), second);
    }

    function test_markAbsent_notSeated() public {
        AbsenceLeaf memory leaf = mark(0, 3);
        notSeated(leaf);
        leaf = leafOf(1, 3);
        posted(leaf);
        notSeated(leaf);
        slash(2, 1);
        leaf = leafOf(2, 2);
        posted(leaf);
        notSeated(leaf);
        vm.assertFalse(stake.hyperNodeOf(edKey(2)).absent, "jailed, not absent");
        vm.prank(vm.addr(keys[1]));
        stake.unbond(25_000 ether);
        leaf = leafOf(3, 1);
        posted(leaf);
        notSeated(leaf);
        vm.assertFalse(stake.hyperNodeOf(edKey(1)).absent, "gone, not absent");
    }

    /// @dev A newcomer's seat counts from a later epoch: it was not asked for anything before.
    function test_markAbsent_newcomer() public {
        keys.push(uint256(keccak256("another")) >> 8);
        toEndOf(2);
        joinOne(4, 5000 ether);
        bytes32 key = edKey(4);
        keys.pop(); // the committee that signs has no bit for it
        AbsenceLeaf memory leaf = AbsenceLeaf(4, 4, key, MISSED);
        posted(leaf);
        stale(leaf, 5);
        leaf.epoch = 5;
        posted(leaf);
        vm.assertEq(stake.stakeAt(key, 100), 5000 ether, "counts");
        stake.markAbsent(leaf, proof());
        vm.assertEq(stake.stakeAt(key, 7), 5000 ether, "fixed");
        vm.assertEq(stake.stakeAt(key, 8), 0, "not after");
    }

    // ----------------------------------------------------------------- comeBack

    function test_comeBack() public {
        mark(0, 3);
        toEndOf(4);
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.CameBack(edKey(3), 7);
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.SeatChanged(3, 7, 4);
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.StakeChanged(edKey(3), 7, 15_000 ether);
        comeBack(3);
        vm.snapshotGasLastCall("AssayStake", "comeBack");
        vm.assertFalse(stake.hyperNodeOf(edKey(3)).absent, "not absent");
        vm.assertEq(stake.seatHolder(3), 4, "its seat");
        vm.assertEq(weighs(3, 2), 15_000 ether, "before");
        vm.assertEq(weighs(3, 6), 0, "fixed without it");
        vm.assertEq(weighs(3, 7), 15_000 ether, "then");
        toEndOf(6);
        vm.assertEq(stake.roster(6).length, 3, "without it");
        vm.assertEq(stake.roster(7).length, 4, "with it");
        vm.assertEq(stake.committee(7), stake.committee(0), "as before");
        vm.assertEq(stake.totalHeld(), 100_000 ether, "held");
    }

    function test_comeBack_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.NotRegistered.selector, address(this)));
        stake.comeBack();
        slash(1, 1);
        notAbsent(1);
    }

    /// @dev In the epoch in which it was marked: no committee is without it.
    function test_comeBack_atOnce() public {
        AbsenceLeaf memory leaf = mark(0, 3);
        comeBack(3);
        toEndOf(5);
        for (uint64 e; e < 6; ++e) {
            vm.assertEq(stake.roster(e).length, 4, "all");
        }
        stale(leaf, 3);
    }

    /// @dev The leaf that took it out, and one of before its new seat counts, do it no more; a later one does.
    function test_comeBack_thenAbsentAgain() public {
        AbsenceLeaf memory first = mark(0, 3);
        toEndOf(1);
        comeBack(3);
        stale(first, 4);
        AbsenceLeaf memory second = leafOf(3, 3);
        posted(second);
        stale(second, 4);
        AbsenceLeaf memory third = leafOf(4, 3);
        posted(third);
        stale(second, 4);
        stake.markAbsent(third, proof());
        vm.assertEq(weighs(3, 6), 15_000 ether, "fixed");
        vm.assertEq(weighs(3, 7), 0, "out again");
        comeBack(3);
        vm.assertEq(weighs(3, 7), 15_000 ether, "back again");
        stale(third, 7);
    }

    /// @dev What was missed must all be of after the seat began to count.
    function test_markAbsent_missedMore() public {
        AbsenceLeaf memory leaf = AbsenceLeaf(4, 2, edKey(3), 4);
        posted(leaf);
        stale(leaf, 3);
        leaf.epoch = 3;
        posted(leaf);
        stake.markAbsent(leaf, proof());
        comeBack(3); // counts from 6 on
        goneAfterFour(leaf);
    }

    /// @dev Four epochs from 6 on are missed when 9 is over, and not before.
    function goneAfterFour(AbsenceLeaf memory leaf) private {
        for (leaf.epoch = 4; leaf.epoch < 9; ++leaf.epoch) {
            posted(leaf);
            stale(leaf, 9);
        }
        posted(leaf);
        stake.markAbsent(leaf, proof());
        vm.assertTrue(stake.hyperNodeOf(edKey(3)).absent, "it was not there");
    }

    /// @dev Who is kept from the others' lists says so on the ledger, and keeps its seat.
    function test_comeBack_seated() public {
        AbsenceLeaf memory leaf = AbsenceLeaf(4, 3, edKey(3), 4);
        posted(leaf);
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.CameBack(edKey(3), 6);
        comeBack(3);
        stale(leaf, 9);
        vm.assertEq(weighs(3, 6), 15_000 ether, "as before");
        goneAfterFour(leaf);
    }

    /// @dev Time alone makes no leaf worse.
    function test_markAbsent_late() public {
        AbsenceLeaf memory leaf = leafOf(0, 3);
        posted(leaf);
        toEndOf(40);
        stake.markAbsent(leaf, proof());
        vm.assertEq(weighs(3, 42), 15_000 ether, "fixed");
        vm.assertEq(weighs(3, 43), 0, "not after");
    }

    /// @dev It may have reported in the epochs since.
    function test_markAbsent_old() public {
        for (uint64 epoch = 2; epoch < 6; ++epoch) {
            posted(leafOf(epoch, 3));
        }
        uint256 before = vm.snapshotState();
        stake.markAbsent(leafOf(2, 3), proof());
        vm.assertTrue(stake.hyperNodeOf(edKey(3)).absent, "one of the last four");
        vm.revertToState(before);
        posted(leafOf(6, 3));
        stale(leafOf(2, 3), 3);
        stake.markAbsent(leafOf(3, 3), proof());
        vm.assertTrue(stake.hyperNodeOf(edKey(3)).absent, "one of the last four again");
    }

    /// @dev Stake that changes leaves the seat as it is: the leaf stays good.
    function test_markAbsent_afterBond() public {
        AbsenceLeaf memory leaf = leafOf(0, 3);
        posted(leaf);
        give(vm.addr(keys[3]), address(stake), 1 ether);
        vm.startPrank(vm.addr(keys[3]));
        stake.bond(1 ether);
        stake.unbond(2 ether);
        vm.stopPrank();
        stake.refresh(edKey(3));
        stake.markAbsent(leaf, proof());
        vm.assertTrue(stake.hyperNodeOf(edKey(3)).absent, "absent");
    }

    function test_absent_bonds() public {
        mark(0, 3);
        give(vm.addr(keys[3]), address(stake), 5 ether);
        vm.prank(vm.addr(keys[3]));
        stake.bond(5 ether);
        stake.refresh(edKey(3));
        vm.assertTrue(stake.hyperNodeOf(edKey(3)).absent, "still absent");
        vm.assertEq(stake.hyperNodeOf(edKey(3)).bonded, 15_005 ether, "bonded");
        vm.assertEq(weighs(3, 100), 0, "weighs nothing");
        vm.assertEq(stake.seatHolder(3), 0, "no seat");
        comeBack(3);
        vm.assertEq(weighs(3, 3), 15_005 ether, "weighs all of it");
    }

    function test_absent_unbonds() public {
        mark(0, 3);
        vm.prank(vm.addr(keys[3]));
        stake.unbond(14_000 ether);
        comeBack(3);
        vm.assertEq(weighs(3, 3), MIN_STAKE, "the least");
        mark(3, 3);
        vm.prank(vm.addr(keys[3]));
        stake.unbond(MIN_STAKE);
        passMs(30 days * 1000);
        vm.prank(vm.addr(keys[3]));
        stake.withdraw();
        vm.assertEq(token.balanceOf(vm.addr(keys[3])), 15_000 ether, "all of it");
        vm.assertEq(stake.totalHeld(), 85_000 ether, "held");
    }

    /// @dev Without the least stake it gets no seat, and need not: it gets one when it bonds.
    function test_comeBack_tooSmall() public {
        mark(0, 3);
        vm.prank(vm.addr(keys[3]));
        stake.unbond(14_000 ether + 1);
        comeBack(3);
        vm.assertFalse(stake.hyperNodeOf(edKey(3)).absent, "not absent");
        vm.assertEq(weighs(3, 100), 0, "no seat");
        give(vm.addr(keys[3]), address(stake), 1);
        vm.prank(vm.addr(keys[3]));
        stake.bond(1);
        vm.assertEq(weighs(3, 3), MIN_STAKE, "a seat");
    }

    function test_absent_slashed() public {
        mark(0, 3);
        vm.prank(vm.addr(keys[3]));
        stake.unbond(5000 ether);
        vm.assertEq(slash(3, 1000), 1500 ether, "of everything");
        IAssayStake.HyperNode memory h = stake.hyperNodeOf(edKey(3));
        vm.assertTrue(h.jailed, "jailed");
        vm.assertTrue(h.absent, "and absent");
        vm.assertEq(h.bonded, 8500 ether, "bonded first");
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.CameBack(edKey(3), 3);
        comeBack(3);
        h = stake.hyperNodeOf(edKey(3));
        vm.assertFalse(h.absent, "not absent");
        vm.assertTrue(h.jailed, "jailed for good");
        vm.assertEq(weighs(3, 100), 0, "weighs nothing");
        vm.assertEq(stake.seatHolder(3), 0, "no seat");
        stake.refresh(edKey(3));
        vm.assertEq(weighs(3, 100), 0, "whatever is done");
    }

    /// @dev All of them, by one root after the other: nobody is left, and who comes back is there again.
    function test_absent_all() public {
        for (uint256 i; i < 4; ++i) {
            mark(uint64(i), i);
        }
        toEndOf(4);
        vm.assertEq(stake.roster(5).length, 1, "the last one");
        toEndOf(5);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.EmptyCommittee.selector, 6));
        stake.committee(6);
        comeBack(1);
        toEndOf(7);
        vm.assertEq(stake.committee(8).length, MEMBER, "one");
    }
}

/// @title 128 HyperNodes of before genesis, the 78th with the smallest stake. What a root proves is of no concern here.
contract StakeAbsenceSeatsTest is Network {
    uint256 private constant SEATS = 128;

    function setUp() public {
        deploy(Deployed.ecdsa());
        keys = sortedKeys(SEATS + 2);
        for (uint256 i; i < SEATS; ++i) {
            joinOne(i, i == 77 ? MIN_STAKE : 2 * MIN_STAKE);
        }
        openGenesis();
        IAssayEpochs.EpochRecord memory record;
        vm.mockCall(address(epochs), abi.encodeWithSelector(IAssayEpochs.proven.selector), abi.encode(record));
    }

    function mark(uint64 epoch, uint256 who) private {
        stake.markAbsent(AbsenceLeaf(4, epoch, edKey(who), 1), new bytes32[](0));
    }

    function refused(bytes4 selector, uint64 epoch, uint256 who) private {
        AbsenceLeaf memory leaf = AbsenceLeaf(4, epoch, edKey(who), 1);
        vm.expectPartialRevert(selector);
        stake.markAbsent(leaf, new bytes32[](0));
    }

    function comeBack(uint256 who) private {
        vm.prank(vm.addr(keys[who]));
        stake.comeBack();
    }

    function unbond(uint256 who, uint96 amount) private {
        vm.prank(vm.addr(keys[who]));
        stake.unbond(amount);
    }

    function seatOf(uint256 who) private view returns (bool) {
        return stake.stakeAt(edKey(who), type(uint64).max) != 0;
    }

    /// @dev A newcomer takes it; who was absent is of before genesis and takes it from the newcomer, if larger.
    function test_seats_freed() public {
        toEndOf(0);
        mark(0, 5);
        joinOne(SEATS, MIN_STAKE);
        vm.assertEq(stake.seatHolder(5), SEATS + 1, "a newcomer's");
        vm.assertEq(stake.stakeAt(edKey(SEATS), 3), MIN_STAKE, "counts");
        vm.assertEq(stake.committee(2).length, SEATS * MEMBER, "full");
        toEndOf(1);
        vm.assertEq(stake.committee(3).length, SEATS * MEMBER, "full");
        comeBack(5);
        vm.assertEq(stake.seatHolder(5), 6, "back");
        vm.assertFalse(seatOf(SEATS), "gave way");
    }

    /// @dev As small as the smallest: it is back and has no seat, until one is free.
    function test_seats_taken() public {
        mark(0, 77);
        joinOne(SEATS, 2 * MIN_STAKE);
        vm.assertEq(stake.seatHolder(77), SEATS + 1, "another's");
        comeBack(77);
        vm.assertFalse(stake.hyperNodeOf(edKey(77)).absent, "not absent");
        vm.assertFalse(seatOf(77), "no seat");
        refused(IAssayStake.NotSeated.selector, 100, 77);
        toEndOf(9);
        stake.refresh(edKey(77));
        vm.assertFalse(seatOf(77), "none is free");
        mark(9, 100);
        vm.assertFalse(seatOf(77), "free, not taken");
        stake.refresh(edKey(77));
        vm.assertEq(stake.seatHolder(100), 78, "that one");
        refused(IAssayStake.StaleAbsence.selector, 11, 77);
        mark(12, 77);
        vm.assertFalse(seatOf(77), "out");
    }

    /// @dev A newcomer that was absent takes no seat of before genesis, however large.
    function test_seats_newcomer() public {
        mark(0, 5);
        joinOne(SEATS, 9 * MIN_STAKE);
        mark(2, SEATS);
        comeBack(5);
        vm.assertEq(stake.seatHolder(5), 6, "whose it was");
        comeBack(SEATS);
        vm.assertFalse(seatOf(SEATS), "no seat");
        vm.assertEq(stake.seatHolder(77), 78, "nor the smallest's");
    }

    /// @dev Its seat of before counted from epoch 0, this one from epoch 6 on.
    function test_seats_displaced() public {
        unbond(5, 2 * MIN_STAKE);
        give(vm.addr(keys[5]), address(stake), 2 * MIN_STAKE);
        joinOne(SEATS, MIN_STAKE);
        vm.prank(vm.addr(keys[5]));
        stake.bond(2 * MIN_STAKE);
        vm.assertFalse(seatOf(SEATS), "gave way");
        refused(IAssayStake.NotSeated.selector, 100, SEATS);
        toEndOf(3);
        unbond(90, 2 * MIN_STAKE);
        stake.refresh(edKey(SEATS));
        vm.assertEq(stake.seatHolder(90), SEATS + 1, "another seat");
        refused(IAssayStake.StaleAbsence.selector, 5, SEATS);
        mark(6, SEATS);
        vm.assertFalse(seatOf(SEATS), "out");
    }
}
