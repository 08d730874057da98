// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";
import {NodeLeaf} from "../../src/interfaces/Types.sol";
import {Intervals} from "../../src/lib/Intervals.sol";
import {Funds} from "../../src/Funds.sol";
import {EpochsDouble} from "./EpochsDouble.sol";
import {Money} from "./Money.sol";
import {CallingToken, FeeToken} from "./Tokens.sol";

/// @title Reservations.tree: offers, reservations, periods, what each party gets.
contract ReservationsTest is Money {
    uint128 private constant PRICE = 10;

    function setUp() public override {
        super.setUp();
        active();
        vm.prank(alice);
        reservations.offer(NODE, PRICE, 1, 100, true);
    }

    /// @dev [60, 60 + n) for the Builder; it is epoch 37.
    function reserved(uint64 n) private returns (uint256 id) {
        vm.prank(builder);
        id = reservations.reserve(NODE, 60, n, PRICE);
    }

    function slots(uint64 epoch, uint64 up, uint64 down) private view returns (NodeLeaf memory leaf) {
        leaf = leafOf(NODE, alice, epoch);
        leaf.cumulativeUpSlots = up;
        leaf.cumulativeDownSlots = down;
    }

    function started(uint64 n) private returns (uint256 id) {
        id = reserved(n);
        start(id, slots(59, 1_000, 50));
    }

    function start(uint256 id, NodeLeaf memory leaf) private {
        bytes32[] memory proof = post(leaf);
        toFinal(leaf.epoch);
        reservations.start(id, leaf, proof);
    }

    function bill(uint256 id, NodeLeaf memory leaf) private {
        bytes32[] memory proof = post(leaf);
        toFinal(leaf.epoch);
        reservations.settle(id, leaf, proof);
    }

    function refuseBill(uint256 id, NodeLeaf memory leaf, bytes memory expected) private {
        bytes32[] memory proof = post(leaf);
        toFinal(leaf.epoch);
        vm.expectRevert(expected);
        reservations.settle(id, leaf, proof);
    }

    function refuseStart(uint256 id, NodeLeaf memory leaf, bytes memory expected) private {
        bytes32[] memory proof = post(leaf);
        toFinal(leaf.epoch);
        vm.expectRevert(expected);
        reservations.start(id, leaf, proof);
    }

    function refuse(bytes memory expected, address caller, bytes memory call) private {
        vm.prank(caller);
        (bool ok, bytes memory answer) = address(reservations).call(call);
        vm.assertFalse(ok, "refused");
        vm.assertEq(answer, expected, "reason");
    }

    function voidEpochs(uint64 from, uint64 end) private {
        for (uint64 e = from; e < end; ++e) {
            epochs.postVoid(e);
        }
    }

    function assertBalances(uint128 provider, uint128 back) private view {
        vm.assertEq(reservations.balanceOf(alice), provider, "provider");
        vm.assertEq(reservations.balanceOf(builder), back, "Builder");
        assertConserved();
    }

    // ------------------------------------------------------------------------------------------ constructor and schedule

    function test_constructor_refusesBadParameters() public {
        IAssayReservations.Parameters memory p = reservationParameters();
        p.slotsPerEpoch = 0;
        refuseParameters(p, "slotsPerEpoch", 1, 0);
        p = reservationParameters();
        p.undecidedPpm = 1_000_001;
        refuseParameters(p, "undecidedPpm", 1_000_000, 1_000_001);
        p = reservationParameters();
        p.periodEpochs = 0;
        refuseParameters(p, "periodEpochs", 1, 0);
        p = reservationParameters();
        p.maxAheadEpochs = 0;
        refuseParameters(p, "maxAheadEpochs", 1, 0);
        p = reservationParameters();
        p.refundEpochs = 49;
        refuseParameters(p, "refundEpochs", 600_000 + 49 * 3_600_000, 49 * 3_600_000);
    }

    /// @dev All slots may be undecided, and a refund may come when the last root can be final, not a moment earlier.
    function test_constructor_limitsAreAllowed() public {
        IAssayReservations.Parameters memory p = reservationParameters();
        p.undecidedPpm = 1_000_000;
        p.refundEpochs = 50;
        epochs.setVoidAfterMs(3_600_000);
        IAssayReservations made = deployer.reservations(address(epochs), nodes, governor, p);
        vm.assertEq(made.parameters().refundEpochs, 50, "with a void deadline of an epoch");
        epochs.setVoidAfterMs(3_600_001);
        refuseParameters(p, "refundEpochs", 180_000_001, 180_000_000);
    }

    function test_constructor_refusesNoGovernor() public {
        vm.expectRevert(abi.encodeWithSelector(IAssayReservations.BadParameter.selector, "governor", 1, 0));
        deployer.reservations(address(epochs), nodes, address(0), reservationParameters());
    }

    function refuseParameters(IAssayReservations.Parameters memory p, string memory name, uint256 limit, uint256 actual)
        private
    {
        vm.expectRevert(abi.encodeWithSelector(IAssayReservations.BadParameter.selector, name, limit, actual));
        deployer.reservations(address(epochs), nodes, governor, p);
    }

    function test_setSchedule_refusals() public {
        IAssayReservations.CreditTier[] memory t = tiers();
        refuse(
            abi.encodeWithSelector(IAssayReservations.OnlyGovernor.selector, governor, alice),
            alice,
            abi.encodeCall(reservations.setSchedule, ("new", t))
        );
        refuseSchedule(CLASS, t, abi.encodeWithSelector(IAssayReservations.ScheduleAlreadySet.selector, CLASS));
        refuseSchedule(
            "new",
            new IAssayReservations.CreditTier[](0),
            abi.encodeWithSelector(IAssayReservations.BadTierCount.selector, 8, 0)
        );
        refuseSchedule(
            "new",
            new IAssayReservations.CreditTier[](9),
            abi.encodeWithSelector(IAssayReservations.BadTierCount.selector, 8, 9)
        );
        refuseTier(0, 0, 1_000);
        refuseTier(0, 1_000_001, 1_000);
        refuseTier(0, 995_000, 0);
        refuseTier(1, 995_000, 3_000);
        refuseTier(1, 990_000, 1_000);
        refuseTier(2, 950_000, 10_001);
    }

    function refuseTier(uint256 i, uint32 below, uint16 credit) private {
        IAssayReservations.CreditTier[] memory t = tiers();
        t[i] = IAssayReservations.CreditTier(below, credit);
        refuseSchedule("new", t, abi.encodeWithSelector(IAssayReservations.BadTier.selector, i, below, credit));
    }

    function refuseSchedule(bytes32 class_, IAssayReservations.CreditTier[] memory t, bytes memory expected) private {
        refuse(expected, governor, abi.encodeCall(reservations.setSchedule, (class_, t)));
    }

    function test_setSchedule_limitsAreAllowed() public {
        IAssayReservations.CreditTier[] memory t = new IAssayReservations.CreditTier[](8);
        for (uint16 i; i < 8; ++i) {
            t[i] = IAssayReservations.CreditTier(1_000_000 - i, 9_993 + i);
        }
        vm.prank(governor);
        reservations.setSchedule("new", t);
        vm.assertEq(reservations.schedule("new").length, 8, "eight");
        vm.assertEq(reservations.schedule("new")[7].creditBps, 10_000, "all");
        vm.assertEq(reservations.parameters().periodEpochs, 24, "parameters");
    }

    // ------------------------------------------------------------------------------------------------------------ offer

    function test_offer_onlyTheOwner() public {
        refuseOffer(bob, PRICE, 1, 1, abi.encodeWithSelector(IAssayReservations.OnlyOwner.selector, NODE, alice, bob));
        vm.expectRevert(
            abi.encodeWithSelector(IAssayReservations.OnlyOwner.selector, bytes32("x"), address(0), address(0))
        );
        vm.prank(address(0));
        reservations.offer("x", PRICE, 1, 1, true);
    }

    function test_offer_refusesNonsense() public {
        refuseBad(0, 1, 1);
        refuseBad(uint128(type(uint96).max) + 1, 1, 1);
        refuseBad(PRICE, 0, 1);
        refuseBad(PRICE, 2, 1);
        refuseBad(PRICE, 1, 1_001);
        vm.prank(alice);
        reservations.offer(NODE, type(uint96).max, 1, 1_000, false);
        vm.assertEq(reservations.offerOf(NODE).pricePerEpoch, type(uint96).max, "dear, but an offer");
        vm.prank(alice);
        reservations.offer(NODE, PRICE, 7, 7, true);
        vm.assertEq(reservations.offerOf(NODE).maxEpochs, 7, "of one length");
    }

    function refuseBad(uint128 price, uint32 least, uint32 most) private {
        refuseOffer(
            alice, price, least, most, abi.encodeWithSelector(IAssayReservations.BadOffer.selector, price, least, most)
        );
    }

    function refuseOffer(address caller, uint128 price, uint32 least, uint32 most, bytes memory expected) private {
        refuse(expected, caller, abi.encodeCall(reservations.offer, (NODE, price, least, most, true)));
    }

    // ---------------------------------------------------------------------------------------------------------- reserve

    function test_reserve_takesTheRentAndTheNode() public {
        uint256 id = reserved(24);
        vm.snapshotGasLastCall("AssayReservations", "reserve");
        vm.assertEq(token.balanceOf(address(reservations)), 240, "prepaid");
        IAssayReservations.Reservation memory r = reservations.reservation(id);
        vm.assertEq(r.held, 240, "held");
        vm.assertEq(r.provider, alice, "provider");
        vm.assertEq(reservations.reservedBy(NODE, 59), address(0), "before");
        vm.assertEq(reservations.reservedBy(NODE, 60), builder, "first");
        vm.assertEq(reservations.reservedBy(NODE, 83), builder, "last");
        vm.assertEq(reservations.reservedBy(NODE, 84), address(0), "after");
        vm.assertEq(reservations.reservedUntil(NODE), 84, "until");
        vm.assertEq(reservations.reservationCount(), 1, "count");
        assertConserved();
    }

    function test_reserve_oneBuilderForAnEpoch() public {
        reserved(24);
        refuseReserve(83, 1, PRICE, abi.encodeWithSelector(Intervals.Overlap.selector, 83, 84, 60, 84));
        vm.prank(bob);
        reservations.reserve(NODE, 84, 1, PRICE);
    }

    function test_reserve_start() public {
        bytes4 wrong = IAssayReservations.WrongStart.selector;
        refuseReserve(37, 1, PRICE, abi.encodeWithSelector(wrong, 38, 1_037, 37));
        refuseReserve(1_038, 1, PRICE, abi.encodeWithSelector(wrong, 38, 1_037, 1_038));
        refuseReserve(type(uint64).max, 1, PRICE, abi.encodeWithSelector(wrong, 38, 1_037, type(uint64).max));
        vm.startPrank(builder);
        reservations.reserve(NODE, 38, 1, PRICE);
        reservations.reserve(NODE, 1_037, 1, PRICE);
        vm.stopPrank();
    }

    function test_reserve_refusals() public {
        refuseReserve(60, 1, 9, abi.encodeWithSelector(IAssayReservations.PriceTooHigh.selector, 9, 10));
        vm.prank(alice);
        reservations.offer(NODE, PRICE, 2, 100, true);
        refuseReserve(60, 1, PRICE, abi.encodeWithSelector(IAssayReservations.WrongLength.selector, 2, 100, 1));
        refuseReserve(60, 101, PRICE, abi.encodeWithSelector(IAssayReservations.WrongLength.selector, 2, 100, 101));
        epochs.pause(true);
        refuseReserve(60, 2, PRICE, abi.encodeWithSelector(IAssayReservations.Paused.selector));
        epochs.pause(false);
        vm.prank(alice);
        reservations.offer(NODE, PRICE, 2, 100, false);
        refuseReserve(60, 2, PRICE, abi.encodeWithSelector(IAssayReservations.NotOffered.selector, NODE));
        vm.startPrank(alice);
        reservations.offer(NODE, PRICE, 2, 100, true);
        nodes.requestExit(NODE);
        vm.stopPrank();
        refuseReserve(60, 2, PRICE, abi.encodeWithSelector(IAssayReservations.NotReservable.selector, NODE));
    }

    function test_reserve_anOfferEndsWithItsOwner() public {
        vm.prank(alice);
        nodes.offerTransfer(NODE, bob);
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "", PLEDGE);
        confirm(leafOf(NODE, bob, 90));
        refuseReserve(120, 1, PRICE, abi.encodeWithSelector(IAssayReservations.NotOffered.selector, NODE));
    }

    function test_reserve_ofAClassWithoutSchedule() public {
        vm.prank(bob);
        nodes.register("other", SECOND, "", "", PLEDGE);
        NodeLeaf memory leaf = leafOf("other", bob, 40);
        leaf.chips = 0;
        confirm(leaf);
        vm.prank(bob);
        reservations.offer("other", PRICE, 1, 10, true);
        vm.expectRevert(abi.encodeWithSelector(IAssayReservations.NoSchedule.selector, SECOND));
        vm.prank(builder);
        reservations.reserve("other", 80, 1, PRICE);
    }

    function test_reserve_refusesATokenWithAFee() public {
        FeeToken fee = new FeeToken();
        vm.etch(address(token), address(fee).code);
        vm.expectRevert(abi.encodeWithSelector(Funds.WrongAmountReceived.selector, 10, 9));
        vm.prank(builder);
        reservations.reserve(NODE, 60, 1, PRICE);
    }

    function refuseReserve(uint64 first, uint64 n, uint128 price, bytes memory expected) private {
        refuse(expected, builder, abi.encodeCall(reservations.reserve, (NODE, first, n, price)));
    }

    // ------------------------------------------------------------------------------------------------------------ cancel

    function test_cancel_beforeItBegan_costsOnePeriod() public {
        uint256 id = reserved(60);
        toEpoch(57);
        vm.expectEmit(true, true, true, true, address(reservations));
        emit IAssayReservations.Cancelled(id, 60, 360, 240);
        cancel(id);
        vm.snapshotGasLastCall("AssayReservations", "cancel");
        assertBalances(240, 360);
        assertCancelled(id);
        vm.assertEq(reservations.reservedBy(NODE, 60), address(0), "free again");
        refuseCancel(id, builder, abi.encodeWithSelector(IAssayReservations.ReservationOver.selector, id));
        vm.prank(bob);
        reservations.reserve(NODE, 60, 60, PRICE);
    }

    /// @dev Neither settled nor refunded nor cancelled a second time.
    function assertCancelled(uint256 id) private {
        IAssayReservations.Reservation memory r = reservations.reservation(id);
        vm.assertEq(r.held, 0, "nothing left to settle");
        vm.assertEq(r.endEpoch, r.settledThrough, "over");
        bytes memory over = abi.encodeWithSelector(IAssayReservations.ReservationOver.selector, id);
        vm.expectRevert(over);
        reservations.refund(id);
        vm.expectRevert(over);
        reservations.start(id, slots(59, 0, 0), new bytes32[](0));
        assertConserved();
    }

    function test_cancel_ofLessThanAPeriod_costsAllOfIt() public {
        uint256 id = reserved(23);
        toEpoch(57);
        cancel(id);
        assertBalances(230, 0);
        assertCancelled(id);
    }

    /// @dev As many short ones as a node can have ahead: who keeps it from everybody pays for every one of them.
    function test_cancel_blockingCostsRent() public {
        vm.startPrank(builder);
        for (uint64 i; i < Intervals.MAX_UPCOMING; ++i) {
            reservations.reserve(NODE, 60 + i, 1, PRICE);
        }
        toEpoch(38);
        for (uint256 id = 1; id <= Intervals.MAX_UPCOMING; ++id) {
            reservations.cancel(id);
        }
        vm.stopPrank();
        assertBalances(uint128(Intervals.MAX_UPCOMING) * PRICE, 0);
        assertConserved();
    }

    function cancelsForNothing(uint256 id) private {
        cancel(id);
        assertBalances(0, 600);
        assertCancelled(id);
    }

    function test_cancel_ofWhoLeaves_givesAllBack() public {
        uint256 id = reserved(60);
        vm.prank(alice);
        nodes.requestExit(NODE);
        toEpoch(40);
        cancelsForNothing(id);
    }

    function test_cancel_ofWhatIsOfferedToAnother_givesAllBack() public {
        uint256 id = reserved(60);
        vm.prank(alice);
        nodes.offerTransfer(NODE, bob);
        toEpoch(40);
        cancelsForNothing(id);
    }

    function test_cancel_ofTheSuspendedAndTheRemoved_givesAllBack() public {
        vm.prank(builder);
        uint256 later = reservations.reserve(NODE, 400, 60, PRICE);
        uint256 id = reserved(60);
        settle(40, 3, 0);
        uint256 warned = vm.snapshotState();
        cancel(id);
        assertBalances(240, 360);
        vm.revertToState(warned);
        settle(41, 3, 0);
        cancelsForNothing(id);
        skip(168 * HOUR);
        nodes.remove(NODE);
        cancel(later);
        assertBalances(0, 1_200);
    }

    function test_cancel_ofAnotherOwners_givesAllBack() public {
        vm.prank(builder);
        uint256 id = reservations.reserve(NODE, 400, 60, PRICE);
        vm.prank(alice);
        nodes.offerTransfer(NODE, bob);
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "bob:1", PLEDGE);
        confirm(leafOf(NODE, bob, 90));
        vm.assertTrue(nodes.isReservable(NODE), "by another owner");
        cancelsForNothing(id);
    }

    function test_cancel_keepsThePeriodThatRunsAfterTheNotice() public {
        uint256 id = reserved(60);
        toEpoch(58);
        cancel(id);
        assertBalances(0, 360);
        vm.assertEq(reservations.reservation(id).endEpoch, 84, "the first period stays");
        vm.assertEq(reservations.reservedBy(NODE, 84), address(0), "the others are free");
    }

    function test_cancel_atThePeriodsEdge() public {
        uint256 id = reserved(60);
        toEpoch(81);
        cancel(id);
        vm.assertEq(reservations.reservation(id).endEpoch, 84, "81 + 1 + 2");
        assertBalances(0, 360);
    }

    function test_cancel_refusals() public {
        uint256 id = reserved(24);
        uint64 made = epochs.currentEpoch();
        vm.assertEq(reservations.reservation(id).madeEpoch, made, "told");
        refuseCancel(id, bob, abi.encodeWithSelector(IAssayReservations.OnlyBuilder.selector, id, builder, bob));
        refuseCancel(9, builder, abi.encodeWithSelector(IAssayReservations.UnknownReservation.selector, 9));
        refuseCancel(0, builder, abi.encodeWithSelector(IAssayReservations.UnknownReservation.selector, 0));
        refuseCancel(id, builder, abi.encodeWithSelector(IAssayReservations.MadeNow.selector, id, made));
        toEpoch(60);
        refuseCancel(id, builder, abi.encodeWithSelector(IAssayReservations.NothingToCancel.selector, id, 84));
    }

    function cancel(uint256 id) private {
        vm.prank(builder);
        reservations.cancel(id);
    }

    function refuseCancel(uint256 id, address caller, bytes memory expected) private {
        refuse(expected, caller, abi.encodeCall(reservations.cancel, (id)));
    }

    // ------------------------------------------------------------------------------------------------------------- start

    function test_start_recordsTheSlotsBefore() public {
        uint256 id = started(24);
        vm.snapshotGasLastCall("AssayReservations", "start");
        vm.assertEq(reservations.reservation(id).upSlots, 1_000, "up");
        vm.assertEq(reservations.reservation(id).downSlots, 50, "down");
    }

    function test_start_passesOverVoidEpochs() public {
        uint256 id = reserved(24);
        voidEpochs(57, 60);
        start(id, slots(56, 7, 0));
        vm.assertEq(reservations.reservation(id).upSlots, 7, "up");
    }

    function test_start_refusals() public {
        uint256 id = reserved(24);
        refuseStart(id, slots(60, 0, 0), abi.encodeWithSelector(IAssayReservations.LeafOutside.selector, 0, 59, 60));
        refuseStart(id, slots(57, 0, 0), abi.encodeWithSelector(IAssayReservations.WrongPeriodEnd.selector, 58, 57));
        NodeLeaf memory leaf = slots(59, 0, 0);
        leaf.leafType = 2;
        refuseStart(id, leaf, abi.encodeWithSelector(IAssayReservations.WrongLeafType.selector, 1, 2));
        leaf = slots(59, 0, 0);
        leaf.node = "other";
        refuseStart(id, leaf, abi.encodeWithSelector(IAssayReservations.WrongNode.selector, NODE, bytes32("other")));
        leaf = slots(59, 1, 0);
        bytes32[] memory proof = post(leaf);
        vm.expectRevert(abi.encodeWithSelector(IAssayReservations.EpochNotFinal.selector, 59));
        reservations.start(id, leaf, proof);
        toFinal(59);
        leaf.cumulativeUpSlots = 2;
        vm.expectPartialRevert(EpochsDouble.NotProven.selector);
        reservations.start(id, leaf, proof);
        start(id, slots(59, 0, 0));
        refuseStart(id, slots(59, 0, 0), abi.encodeWithSelector(IAssayReservations.AlreadyStarted.selector, id));
    }

    /// @dev However long an outage was, the leaf after it settles the period, and rent goes on: nothing waits to be refunded.
    function test_settle_overALongOutage() public {
        uint256 id = started(100);
        voidEpochs(83, 150);
        bill(id, slots(150, 1440, 0));
        vm.assertEq(reservations.reservation(id).settledThrough, 151, "rolled on");
        bill(id, slots(155, 1740, 0));
        bill(id, slots(159, 1980, 0));
        vm.assertEq(reservations.reservation(id).held, 0, "to the end");
    }

    function test_settle_overALongOutageAtTheEnd() public {
        uint256 id = started(100);
        voidEpochs(83, 160);
        bill(id, slots(82, 1380, 0));
        vm.assertEq(reservations.reservation(id).held, 0, "to the end");
    }

    function test_start_overALongOutage() public {
        toEpoch(900);
        vm.prank(builder);
        uint256 id = reservations.reserve(NODE, 901, 1, PRICE);
        voidEpochs(801, 901);
        refuseStart(id, slots(799, 0, 0), abi.encodeWithSelector(IAssayReservations.WrongPeriodEnd.selector, 800, 799));
        start(id, slots(800, 0, 0));
    }

    // ------------------------------------------------------------------------------------------------------------ settle

    function test_settle_aFullPeriodIsTheProviders() public {
        uint256 id = started(24);
        bill(id, slots(83, 2_440, 50));
        vm.snapshotGasLastCall("AssayReservations", "settle");
        assertBalances(240, 0);
        refuseBill(id, slots(83, 2_440, 50), abi.encodeWithSelector(IAssayReservations.ReservationOver.selector, id));
    }

    function test_settle_aMissedSlaPaysItself() public {
        uint256 id = started(24);
        bill(id, slots(83, 2_400, 60));
        assertBalances(216, 24);
        vm.assertEq(reservations.reservation(id).credited, 24, "credited");
    }

    function test_settle_undecidedSlotsAreNotPaidBeyondTheShare() public {
        uint256 id = started(24);
        NodeLeaf memory leaf = slots(83, 1_720, 50);
        bytes32[] memory proof = post(leaf);
        toFinal(83);
        vm.expectEmit(true, true, true, true, address(reservations));
        emit IAssayReservations.Settled(id, alice, 60, 84, 720, 0, 144, 0, 96);
        reservations.settle(id, leaf, proof);
        assertBalances(144, 96);
    }

    function test_settle_nothingDecidedIsFree() public {
        uint256 id = started(24);
        bill(id, slots(83, 1_000, 50));
        assertBalances(0, 240);
    }

    function test_settle_sumsThatFallDecideNothing() public {
        uint256 id = started(24);
        bill(id, slots(83, 900, 40));
        assertBalances(0, 240);
    }

    function test_settle_periodByPeriod() public {
        uint256 id = started(60);
        vm.assertEq(reservations.nextPeriodEnd(id), 83, "first");
        bill(id, slots(83, 2_440, 50));
        assertBalances(240, 0);
        vm.assertEq(reservations.nextPeriodEnd(id), 107, "second");
        bill(id, slots(107, 3_160, 770));
        assertBalances(240, 240);
        vm.assertEq(reservations.nextPeriodEnd(id), 119, "the rest");
        bill(id, slots(119, 3_880, 770));
        assertBalances(360, 240);
        vm.assertEq(reservations.reservation(id).held, 0, "all of it");
    }

    function test_settle_ofOneEpoch() public {
        uint256 id = started(1);
        bill(id, slots(60, 1_060, 50));
        assertBalances(10, 0);
    }

    function test_settle_onlyAtAPeriodsEnd() public {
        uint256 id = started(60);
        refuseBill(id, slots(59, 0, 0), abi.encodeWithSelector(IAssayReservations.LeafOutside.selector, 60, 119, 59));
        refuseBill(id, slots(120, 0, 0), abi.encodeWithSelector(IAssayReservations.LeafOutside.selector, 60, 119, 120));
        refuseBill(id, slots(82, 0, 0), abi.encodeWithSelector(IAssayReservations.WrongPeriodEnd.selector, 83, 82));
        refuseBill(id, slots(84, 0, 0), abi.encodeWithSelector(IAssayReservations.WrongPeriodEnd.selector, 83, 84));
        post(slots(83, 0, 0));
        refuseBill(id, slots(84, 0, 0), abi.encodeWithSelector(IAssayReservations.WrongPeriodEnd.selector, 83, 84));
        refuseBill(id, slots(107, 0, 0), abi.encodeWithSelector(IAssayReservations.WrongPeriodEnd.selector, 83, 107));
    }

    function test_settle_aVoidEndRollsOn() public {
        uint256 id = started(60);
        voidEpochs(83, 86);
        refuseBill(id, slots(82, 0, 0), abi.encodeWithSelector(IAssayReservations.WrongPeriodEnd.selector, 86, 82));
        bill(id, slots(86, 2_440, 50));
        vm.assertEq(reservations.reservation(id).settledThrough, 87, "with what is in it");
        vm.assertEq(reservations.nextPeriodEnd(id), 107, "the next ends where it would have");
    }

    function test_settle_aVoidEndOfAllRollsBack() public {
        uint256 id = started(24);
        voidEpochs(80, 84);
        refuseBill(id, slots(78, 0, 0), abi.encodeWithSelector(IAssayReservations.WrongPeriodEnd.selector, 79, 78));
        bill(id, slots(79, 2_200, 50));
        assertBalances(224, 16);
        vm.assertEq(reservations.reservation(id).held, 0, "all settled");
    }

    function test_settle_refusals() public {
        uint256 id = reserved(24);
        refuseBill(id, slots(83, 0, 0), abi.encodeWithSelector(IAssayReservations.NotStarted.selector, id));
        toEpoch(61);
        start(id, slots(59, 1_000, 50));
        NodeLeaf memory leaf = slots(83, 0, 0);
        leaf.node = "other";
        refuseBill(id, leaf, abi.encodeWithSelector(IAssayReservations.WrongNode.selector, NODE, bytes32("other")));
        leaf.node = NODE;
        leaf.leafType = 3;
        refuseBill(id, leaf, abi.encodeWithSelector(IAssayReservations.WrongLeafType.selector, 1, 3));
        leaf.leafType = 1;
        toEpoch(90);
        bytes32[] memory proof = post(leaf);
        vm.expectRevert(abi.encodeWithSelector(IAssayReservations.EpochNotFinal.selector, 83));
        reservations.settle(id, leaf, proof);
        refuseBill(7, slots(83, 0, 0), abi.encodeWithSelector(IAssayReservations.UnknownReservation.selector, 7));
    }

    function test_settle_rentFollowsAHandOver() public {
        uint256 id = started(96);
        vm.prank(alice);
        nodes.offerTransfer(NODE, bob);
        vm.prank(bob);
        nodes.acceptTransfer(NODE, "", PLEDGE);
        confirm(leafOf(NODE, bob, 140));
        bill(id, slots(83, 2_440, 50));
        bill(id, slots(107, 3_880, 50));
        bill(id, slots(131, 5_320, 50));
        bill(id, slots(155, 6_760, 50));
        assertBalances(720, 0);
        vm.assertEq(reservations.balanceOf(bob), 240, "bob's period");
    }

    function test_settle_ofANodeWhoseProviderLeft() public {
        uint256 id = started(24);
        vm.prank(alice);
        nodes.requestExit(NODE);
        toEpoch(300);
        epochs.extend(0);
        skip(400 * HOUR);
        nodes.exit(NODE, alice);
        bill(id, slots(83, 2_440, 50));
        assertBalances(240, 0);
    }

    // ------------------------------------------------------------------------------------------------------------ refund

    function test_refund_whatNobodySettled() public {
        uint256 id = reserved(24);
        uint256 atMs = epochs.GENESIS_MS() + uint256(84 + 72) * 3_600_000;
        vm.warp(atMs / 1000 - 1);
        vm.expectRevert(abi.encodeWithSelector(IAssayReservations.RefundTooEarly.selector, id, atMs, atMs - 1000));
        reservations.refund(id);
        vm.warp(atMs / 1000);
        reservations.refund(id);
        assertBalances(0, 240);
        vm.expectRevert(abi.encodeWithSelector(IAssayReservations.ReservationOver.selector, id));
        reservations.refund(id);
    }

    function test_refund_laterWhenExtended() public {
        uint256 id = reserved(24);
        epochs.extend(1_000);
        uint256 atMs = epochs.GENESIS_MS() + uint256(84 + 72) * 3_600_000;
        vm.warp(atMs / 1000);
        vm.expectRevert(abi.encodeWithSelector(IAssayReservations.RefundTooEarly.selector, id, atMs + 1000, atMs));
        reservations.refund(id);
    }

    // ------------------------------------------------------------------------------------------------ slashes, withdraw

    function test_slash_goesToWhoHadTheEpoch() public {
        reserved(24);
        settle(59, 1, 0);
        settle(60, 3, 40);
        settle(61, 3, 80);
        toFinal(61);
        nodes.release(NODE, alice);
        vm.assertEq(reservations.balanceOf(builder), 20, "25 % of both");
        vm.assertEq(token.balanceOf(treasury), 60, "the rest");
        assertConserved();
    }

    function test_depositSlash_onlyNodes() public {
        refuse(
            abi.encodeWithSelector(IAssayReservations.OnlyNodes.selector, address(nodes), alice),
            alice,
            abi.encodeCall(reservations.depositSlash, (NODE, 60, 1))
        );
    }

    function test_deposit_onlyNodes() public {
        refuse(
            abi.encodeWithSelector(IAssayReservations.OnlyNodes.selector, address(nodes), alice),
            alice,
            abi.encodeCall(reservations.deposit, (alice, 1))
        );
    }

    function test_withdraw_paysTheAccountOnce() public {
        uint256 id = started(24);
        bill(id, slots(83, 2_400, 60));
        reservations.withdraw(alice);
        vm.snapshotGasLastCall("AssayReservations", "withdraw");
        vm.assertEq(token.balanceOf(alice), 1_000_000 - PLEDGE + 216, "paid");
        vm.expectRevert(abi.encodeWithSelector(IAssayReservations.NothingToWithdraw.selector, alice));
        reservations.withdraw(alice);
        assertBalances(0, 24);
    }

    function test_withdraw_isGuarded() public {
        CallingToken calling = new CallingToken();
        uint256 id = started(24);
        bill(id, slots(83, 2_400, 60));
        vm.etch(address(token), address(calling).code);
        CallingToken(address(token)).arm(address(reservations), abi.encodeCall(reservations.withdraw, (builder)));
        reservations.withdraw(alice);
        bytes memory answer = CallingToken(address(token)).answer();
        vm.assertEq(bytes32(answer), bytes32(bytes4(keccak256("ReentrancyGuardReentrantCall()"))), "guarded");
    }
}
