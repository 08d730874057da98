// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {NodeLeaf, NodeStatus} from "../../src/interfaces/Types.sol";
import {Funds} from "../../src/Funds.sol";
import {EpochsDouble} from "./EpochsDouble.sol";
import {Money} from "./Money.sol";
import {CallingToken, FeeToken} from "./Tokens.sol";

/// @title Register.tree: classes, registration, confirmation, the ways out before it.
contract RegisterTest is Money {
    // ------------------------------------------------------------------------------------------------------ constructor

    function test_constructor_refusesTimesThatAreTooShortOrTooLong() public {
        uint64 least = 600_000 + 49 * 3_600_000;
        INodesTypes.Parameters memory p = nodeParameters();
        p.provisionalMs = 2 * least - 1;
        refuseParameters(p, "provisionalMs", 2 * least, 2 * least - 1);
        p = nodeParameters();
        p.silenceMs = least - 1;
        refuseParameters(p, "silenceMs", least, least - 1);
        uint64 decade = 315_360_000_000;
        p = nodeParameters();
        p.provisionalMs = decade + 1;
        refuseParameters(p, "provisionalMs", decade, decade + 1);
        p = nodeParameters();
        p.changeDelayMs = decade + 1;
        refuseParameters(p, "changeDelayMs", decade, decade + 1);
        p = nodeParameters();
        p.removeAfterMs = decade + 1;
        refuseParameters(p, "removeAfterMs", decade, decade + 1);
        p = nodeParameters();
        p.silenceMs = decade + 1;
        refuseParameters(p, "silenceMs", decade, decade + 1);
        p = nodeParameters();
        p.persistenceEpochs = 0;
        refuseParameters(p, "persistenceEpochs", 1, 0);
    }

    function test_constructor_takesTheLimits() public {
        INodesTypes.Parameters memory p = nodeParameters();
        p.silenceMs = 600_000 + 49 * 3_600_000;
        p.provisionalMs = 2 * p.silenceMs;
        p.changeDelayMs = 315_360_000_000;
        p.removeAfterMs = 315_360_000_000;
        vm.assertEq(deployer.nodes(address(epochs), governor, p).parameters().silenceMs, p.silenceMs, "taken");
    }

    function test_constructor_roundsTheExitDelayUpAndNotFurther() public {
        IAssayEpochs.Parameters memory network = epochs.parameters();
        INodesTypes.Parameters memory p = nodeParameters();
        p.provisionalMs += 3_600_000;
        network.voidAfterMs = 3_600_000;
        vm.mockCall(address(epochs), abi.encodeCall(IAssayEpochs.parameters, ()), abi.encode(network));
        vm.assertEq(deployer.nodes(address(epochs), governor, p).exitDelayEpochs(), 60, "6 + 4 + 50 h");
        network.voidAfterMs += 1;
        vm.mockCall(address(epochs), abi.encodeCall(IAssayEpochs.parameters, ()), abi.encode(network));
        vm.assertEq(deployer.nodes(address(epochs), governor, p).exitDelayEpochs(), 61, "a millisecond more");
    }

    function test_constructor_refusesNoGovernor() public {
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.ZeroId.selector));
        deployer.nodes(address(epochs), address(0), nodeParameters());
    }

    function refuseParameters(INodesTypes.Parameters memory p, string memory name, uint256 limit, uint256 actual)
        private
    {
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.BadParameter.selector, name, limit, actual));
        deployer.nodes(address(epochs), governor, p);
    }

    function test_constructor_exitDelayCoversPersistenceReauditAndFinality() public view {
        vm.assertEq(nodes.exitDelayEpochs(), 6 + 4 + 50, "6 + 4 + 49:10 h");
        vm.assertEq(nodes.governor(), governor, "governor");
        vm.assertEq(nodes.parameters().silenceMs, nodeParameters().silenceMs, "parameters");
    }

    function test_fallback_refusesUnknownFunctions() public {
        (bool ok,) = address(nodes).call(abi.encodeWithSignature("nothing()"));
        vm.assertFalse(ok, "unknown function");
    }

    // ----------------------------------------------------------------------------------------------------------- classes

    function test_setClass_onlyGovernor() public {
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.OnlyGovernor.selector, governor, address(this)));
        nodes.setClass("new", terms());
    }

    function test_setClass_onceAndForEver() public {
        refuseClass(CLASS, terms(), abi.encodeWithSelector(INodesTypes.ClassAlreadySet.selector, CLASS));
    }

    function test_setClass_refusesBadTerms() public {
        refuseClass(0, terms(), abi.encodeWithSelector(INodesTypes.ZeroId.selector));
        INodesTypes.ClassTerms memory t = terms();
        t.collateral = 0;
        refuseClass("new", t, abi.encodeWithSelector(INodesTypes.BadTerms.selector, "collateral", 1, 0));
        t = terms();
        t.removeBelow = PLEDGE + 1;
        refuseClass("new", t, abi.encodeWithSelector(INodesTypes.BadTerms.selector, "removeBelow", 200, 201));
        t = terms();
        t.slashCapBps = 10_001;
        refuseClass("new", t, abi.encodeWithSelector(INodesTypes.BadTerms.selector, "slashCapBps", 10_000, 10_001));
        t = terms();
        t.builderShareBps = 10_001;
        refuseClass("new", t, abi.encodeWithSelector(INodesTypes.BadTerms.selector, "builderShareBps", 10_000, 10_001));
    }

    function test_setClass_limitsAreAllowed() public {
        INodesTypes.ClassTerms memory t = INodesTypes.ClassTerms(1, 0, 1, 10_000, 10_000);
        vm.prank(governor);
        nodes.setClass("new", t);
        vm.assertEq(nodes.classTerms("new").slashCapBps, 10_000, "set");
    }

    function refuseClass(bytes32 class_, INodesTypes.ClassTerms memory t, bytes memory expected) private {
        vm.expectRevert(expected);
        vm.prank(governor);
        nodes.setClass(class_, t);
    }

    // ---------------------------------------------------------------------------------------------------------- register

    function test_register_isProvisionalAndReservesNothing() public {
        register(alice, NODE, CLASS);
        vm.snapshotGasLastCall("AssayNodes", "register");
        assertStatus(NodeStatus.Provisional, "status");
        assertMoney(alice, PLEDGE, 0, 0);
        vm.assertFalse(nodes.isReservable(NODE), "reserves nothing");
        register(bob, NODE, CLASS);
        vm.assertEq(nodes.registrationCount(), 2, "both may");
        vm.assertEq(nodes.registrationAt(2).provider, bob, "second");
        vm.assertEq(nodes.registrationAt(0).provider, address(0), "ids start at 1");
    }

    function test_register_refusals() public {
        refuseRegister("", CLASS, "", PLEDGE, abi.encodeWithSelector(INodesTypes.ZeroId.selector));
        refuseRegister(
            NODE, "none", "", PLEDGE, abi.encodeWithSelector(INodesTypes.UnknownClass.selector, bytes32("none"))
        );
        refuseRegister(
            NODE, CLASS, "", PLEDGE - 1, abi.encodeWithSelector(INodesTypes.PledgeTooSmall.selector, 200, 199)
        );
        refuseRegister(
            NODE,
            CLASS,
            string(new bytes(257)),
            PLEDGE,
            abi.encodeWithSelector(INodesTypes.EndpointTooLong.selector, 256, 257)
        );
        epochs.pause(true);
        refuseRegister(NODE, CLASS, "", PLEDGE, abi.encodeWithSelector(INodesTypes.Paused.selector));
        epochs.pause(false);
        register(alice, NODE, CLASS);
        refuseRegister(
            NODE, CLASS, "", PLEDGE, abi.encodeWithSelector(INodesTypes.AlreadyRegistered.selector, NODE, alice)
        );
    }

    function test_register_isOwnedByNobodyYet() public {
        register(alice, NODE, CLASS);
        vm.assertEq(registrationOf(alice).confirmedAtMs, 0, "not confirmed");
        vm.assertEq(registrationOf(alice).offeredBy, address(0), "not offered");
        settle(leafOf(NODE, alice, 12));
        vm.assertEq(registrationOf(alice).confirmedAtMs, 0, "nor by a root that is not final");
        skip(100 * HOUR);
        nodes.expire(NODE, alice);
        vm.assertEq(registrationOf(alice).confirmedAtMs, 0, "nor by its end");
    }

    function test_register_ofAnOwnedNode() public {
        active();
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NodeTaken.selector, NODE, alice));
        vm.prank(bob);
        nodes.register(NODE, CLASS, "", "", PLEDGE);
    }

    function refuseRegister(bytes32 node, bytes32 class_, string memory endpoint, uint128 amount, bytes memory expected)
        private
    {
        vm.expectRevert(expected);
        vm.prank(alice);
        nodes.register(node, class_, "", endpoint, amount);
    }

    function test_register_refusesATokenWithAFee() public {
        deploy(new FeeToken());
        vm.expectRevert(abi.encodeWithSelector(Funds.WrongAmountReceived.selector, 200, 199));
        vm.prank(alice);
        nodes.register(NODE, CLASS, "", "", PLEDGE);
    }

    function test_register_aTokenThatCallsBackGetsNoPayout() public {
        CallingToken calling = new CallingToken();
        deploy(calling);
        register(alice, NODE, CLASS);
        calling.arm(address(nodes), abi.encodeCall(nodes.expire, (NODE, alice)));
        skip(101 * HOUR);
        nodes.expire(NODE, alice);
        vm.assertEq(bytes32(calling.answer()), bytes32(bytes4(keccak256("ReentrancyGuardReentrantCall()"))), "guarded");
        assertMoney(alice, 0, 0, 0);
    }

    function test_register_identityFunctionsAreGuardedToo() public {
        CallingToken calling = new CallingToken();
        deploy(calling);
        active();
        vm.prank(alice);
        nodes.offerTransfer(NODE, address(calling));
        calling.arm(address(nodes), abi.encodeCall(nodes.acceptTransfer, (NODE, "", PLEDGE)));
        vm.prank(alice);
        nodes.topUp(NODE, 1);
        vm.assertEq(bytes32(calling.answer()), bytes32(bytes4(keccak256("ReentrancyGuardReentrantCall()"))), "guarded");
    }

    // ----------------------------------------------------------------------------------------------- cancel and expire

    /// @dev Else one pledge would be enough for as many records as the gas allows.
    function test_cancel_notInTheEpochInWhichItWasMade() public {
        register(alice, NODE, CLASS);
        refuseCancel(alice, madeNow(alice, epochs.GENESIS_MS() + 10 * 3_600_000));
        refuseCancel(bob, abi.encodeWithSelector(INodesTypes.NotRegistered.selector, NODE, bob));
    }

    /// @dev Beaten by the first leaf there can be, which confirms who registered before.
    function test_cancel_ofTheBeaten_notInTheEpochInWhichItWasMade() public {
        register(alice, NODE, CLASS);
        NodeLeaf memory leaf = leafOf(NODE, alice, 11);
        bytes32[] memory proof = post(leaf);
        toFinal(11);
        register(bob, NODE, CLASS);
        nodes.confirm(leaf, proof);
        refuseCancel(bob, madeNow(bob, uint256(epochs.GENESIS_MS()) + uint256(epochs.currentEpoch()) * 3_600_000));
        toEpoch(epochs.currentEpoch() + 1);
        vm.prank(bob);
        nodes.cancel(NODE);
        vm.assertEq(token.balanceOf(bob), 1_000_000, "paid back");
    }

    function madeNow(address provider, uint256 begunMs) private view returns (bytes memory) {
        uint64 madeMs = registrationOf(provider).registeredAtMs;
        return abi.encodeWithSelector(INodesTypes.MadeNow.selector, NODE, provider, madeMs, begunMs);
    }

    function test_cancel_ofTheBeaten() public {
        register(bob, NODE, CLASS);
        active();
        vm.prank(bob);
        nodes.cancel(NODE);
        vm.assertEq(token.balanceOf(bob), 1_000_000, "paid back");
        assertMoney(bob, 0, 0, 0);
        vm.assertGt(registrationOf(bob).endedAtMs, 0, "kept, with its end");
        refuseCancel(bob, abi.encodeWithSelector(INodesTypes.WrongStatus.selector, NODE, bob, NodeStatus.None));
        refuseCancel(alice, abi.encodeWithSelector(INodesTypes.WrongStatus.selector, NODE, alice, NodeStatus.Active));
    }

    /// @dev An offer holds nobody: who is to accept it takes its other pledge back first.
    function test_cancel_ofTheBeatenWhoIsOfferedTheNode() public {
        register(bob, NODE, CLASS);
        active();
        vm.prank(alice);
        nodes.offerTransfer(NODE, bob);
        vm.startPrank(bob);
        nodes.cancel(NODE);
        nodes.acceptTransfer(NODE, "bob:1", PLEDGE);
        vm.stopPrank();
        vm.assertEq(registrationOf(bob).offeredBy, alice, "accepted");
    }

    /// @dev A root can name it then, and pay it: what is named cannot take its pledge along.
    function test_cancel_notOnceAnEpochHasBegunWithIt() public {
        register(alice, NODE, CLASS);
        uint256 startMs = epochs.GENESIS_MS() + 11 * 3_600_000;
        vm.warp(startMs / 1000 - 1);
        refuseCancel(alice, madeNow(alice, startMs - 3_600_000));
        vm.warp(startMs / 1000);
        refuseCancel(alice, abi.encodeWithSelector(INodesTypes.Counts.selector, NODE, alice, startMs));
        settle(leafOf(NODE, alice, 11));
        uint256 heldMs = startMs + 3_600_000;
        settle(leafOf(NODE, alice, 14));
        vm.assertEq(registrationOf(alice).confirmingAtMs, heldMs, "held once, not for ever");
        vm.warp((heldMs + nodeParameters().provisionalMs) / 1000);
        refuseCancel(alice, abi.encodeWithSelector(INodesTypes.Counts.selector, NODE, alice, heldMs + 100 * 3_600_000));
        nodes.expire(NODE, alice);
        assertMoney(alice, 0, 0, 0);
    }

    function test_cancel_beforeTheFirstEpoch() public {
        vm.warp(epochs.GENESIS_MS() / 1000 - 2);
        register(alice, NODE, CLASS);
        vm.warp(epochs.GENESIS_MS() / 1000 - 1);
        refuseCancel(alice, madeNow(alice, 0));
        toEpoch(0);
        refuseCancel(
            alice, abi.encodeWithSelector(INodesTypes.Counts.selector, NODE, alice, uint256(epochs.GENESIS_MS()))
        );
    }

    function test_cancel_withAnEpochsFirstSecond() public {
        toEpoch(11);
        register(alice, NODE, CLASS);
        uint256 startMs = epochs.GENESIS_MS() + 11 * 3_600_000;
        refuseCancel(alice, madeNow(alice, startMs));
        toEpoch(12);
        refuseCancel(alice, abi.encodeWithSelector(INodesTypes.Counts.selector, NODE, alice, startMs + 3_600_000));
    }

    /// @dev Whoever earns by roots has a pledge that they can take from: no order of calls keeps one out of their reach.
    function testFuzz_cancel_whatARootNamesIsHeld(uint16[12] memory seconds_) public {
        for (uint64 e = 11; e < 23; ++e) {
            toEpoch(e);
            bool isNamed = named(e);
            uint256 again = block.timestamp + seconds_[e - 11] % 3_600;
            vm.warp(again);
            vm.startPrank(alice);
            try nodes.cancel(NODE) {} catch {}
            try nodes.register(NODE, CLASS, "", "", PLEDGE) {} catch {}
            vm.stopPrank();
            if (!isNamed) continue;
            toEpoch(e + 1);
            settle(leafOf(NODE, alice, e));
            vm.assertGt(registrationOf(alice).confirmingAtMs, 0, "held by the first root that names it");
            return;
        }
        vm.assertTrue(false, "it is named some time");
    }

    /// @dev As the aggregation has it: made before the epoch began, and there then.
    function named(uint64 e) private view returns (bool) {
        INodesTypes.Registration memory r = registrationOf(alice);
        uint256 startMs = epochs.GENESIS_MS() + e * 3_600_000;
        return r.registeredAtMs != 0 && r.registeredAtMs < startMs && (r.endedAtMs == 0 || r.endedAtMs >= startMs);
    }

    function refuseCancel(address provider, bytes memory expected) private {
        vm.expectRevert(expected);
        vm.prank(provider);
        nodes.cancel(NODE);
    }

    function test_expire_byAnyoneAfterItsTime() public {
        register(alice, NODE, CLASS);
        uint256 atMs = block.timestamp * 1000 + nodeParameters().provisionalMs;
        vm.warp(atMs / 1000 - 1);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NotExpired.selector, NODE, alice, atMs, atMs - 1000));
        nodes.expire(NODE, alice);
        vm.warp(atMs / 1000);
        nodes.expire(NODE, alice);
        vm.assertEq(token.balanceOf(alice), 1_000_000, "the provider gets it");
    }

    function test_expire_laterWhenHeldOrExtended() public {
        register(alice, NODE, CLASS);
        settle(leafOf(NODE, alice, 12));
        epochs.extend(5_000);
        uint256 atMs = block.timestamp * 1000 + nodeParameters().provisionalMs + 5_000;
        vm.warp(atMs / 1000 - 1);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.NotExpired.selector, NODE, alice, atMs, atMs - 1000));
        nodes.expire(NODE, alice);
        vm.warp(atMs / 1000);
        nodes.expire(NODE, alice);
    }

    function test_expire_onlyProvisional() public {
        active();
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.WrongStatus.selector, NODE, alice, NodeStatus.Active));
        nodes.expire(NODE, alice);
    }

    // --------------------------------------------------------------------------------------------- top up and endpoint

    function test_topUp_addsToPledgeAndCollateral() public {
        active();
        vm.prank(alice);
        nodes.topUp(NODE, 50);
        assertMoney(alice, 250, 0, 0);
        vm.assertEq(registrationOf(alice).pledged, 250, "pledged");
    }

    /// @dev Nobody confirmed it in time.
    function ends(address provider) private {
        vm.warp(block.timestamp + nodeParameters().provisionalMs / 1000);
        nodes.expire(NODE, provider);
    }

    function test_topUp_refusals() public {
        register(alice, NODE, CLASS);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.PledgeTooSmall.selector, 1, 0));
        vm.prank(alice);
        nodes.topUp(NODE, 0);
        ends(alice);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.WrongStatus.selector, NODE, alice, NodeStatus.None));
        vm.prank(alice);
        nodes.topUp(NODE, 1);
    }

    function test_setEndpoint() public {
        register(alice, NODE, CLASS);
        vm.prank(alice);
        nodes.setEndpoint(NODE, "host:2");
        vm.assertEq(registrationOf(alice).endpoint, "host:2", "changed");
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.EndpointTooLong.selector, 256, 257));
        vm.prank(alice);
        nodes.setEndpoint(NODE, string(new bytes(257)));
        vm.prank(alice);
        nodes.setEndpoint(NODE, string(new bytes(256)));
        ends(alice);
        vm.expectRevert(abi.encodeWithSelector(INodesTypes.WrongStatus.selector, NODE, alice, NodeStatus.None));
        vm.prank(alice);
        nodes.setEndpoint(NODE, "");
    }

    // ---------------------------------------------------------------------------------------------------------- confirm

    function test_confirm_makesTheOwner() public {
        active();
        vm.snapshotGasLastCall("AssayNodes", "confirm");
        vm.assertEq(registrationOf(alice).confirmedAtMs, block.timestamp * 1000, "since now");
        vm.assertEq(registrationOf(alice).offeredBy, address(0), "offered by nobody");
        assertStatus(NodeStatus.Active, "status");
        vm.assertEq(nodes.account(NODE).owner, alice, "owner");
        vm.assertEq(nodes.account(NODE).confirmedEpochs, 13, "by epoch 12");
        vm.assertEq(nodes.nodeOfChips(CHIPS), NODE, "chips");
        vm.assertEq(nodes.classOf(NODE), CLASS, "class");
        vm.assertEq(nodes.providerAt(NODE, 0), alice, "provider");
        vm.assertTrue(nodes.isReservable(NODE), "reservable");
    }

    function test_confirm_onlyWhenFinal() public {
        register(alice, NODE, CLASS);
        NodeLeaf memory leaf = leafOf(NODE, alice, 12);
        bytes32[] memory proof = post(leaf);
        nodes.settle(leaf, proof);
        assertStatus(NodeStatus.Provisional, "a root that can be corrected makes no owner");
        refuseConfirm(leaf, proof, abi.encodeWithSelector(INodesTypes.EpochNotFinal.selector, 12));
    }

    function test_confirm_refusals() public {
        register(alice, NODE, CLASS);
        NodeLeaf memory leaf = leafOf(NODE, alice, 12);
        leaf.leafType = 2;
        refuseFinal(leaf, abi.encodeWithSelector(INodesTypes.WrongLeafType.selector, 1, 2));
        leaf = leafOf(NODE, alice, 12);
        leaf.confirmed = false;
        refuseFinal(leaf, abi.encodeWithSelector(INodesTypes.NotConfirmed.selector, NODE, 12));
        refuseFinal(leafOf(NODE, bob, 12), abi.encodeWithSelector(INodesTypes.NotRegistered.selector, NODE, bob));
        skip(100 * HOUR);
        nodes.expire(NODE, alice);
        refuseFinal(leafOf(NODE, alice, 12), abi.encodeWithSelector(INodesTypes.NotRegistered.selector, NODE, alice));
    }

    /// @dev A root about the registration before says nothing about the one after.
    function test_confirm_notByARootOfAnEpochThatBeganBefore() public {
        register(alice, NODE, CLASS);
        NodeLeaf memory leaf = leafOf(NODE, alice, 12);
        bytes32[] memory proof = post(leaf);
        skip(100 * HOUR);
        nodes.expire(NODE, alice);
        register(alice, NODE, CLASS);
        uint256 registeredMs = registrationOf(alice).registeredAtMs;
        uint256 startMs = epochs.GENESIS_MS() + 12 * 3_600_000;
        bytes memory expected = abi.encodeWithSelector(INodesTypes.LeafTooEarly.selector, NODE, registeredMs, startMs);
        vm.expectRevert(expected);
        nodes.settle(leaf, proof);
        toFinal(12);
        refuseConfirm(leaf, proof, expected);
        confirm(leafOf(NODE, alice, 140));
        vm.assertEq(nodes.registrationAt(1).pledged, PLEDGE, "the first is kept");
    }

    function test_confirm_chipsOfAnotherNode() public {
        active();
        vm.prank(bob);
        nodes.register("other", CLASS, "", "", PLEDGE);
        confirm(leafOf("other", bob, 40));
        assertChips("other", CHIPS, 40);
        assertChips(NODE, 0, 40);
        vm.assertEq(nodes.account(NODE).owner, alice, "still hers");
    }

    function test_confirm_chipsOfAnotherNode_notByAnOlderLeaf() public {
        register(alice, NODE, CLASS);
        vm.prank(bob);
        nodes.register("other", CLASS, "", "", PLEDGE);
        NodeLeaf memory leaf = leafOf("other", bob, 11);
        bytes32[] memory proof = post(leaf);
        confirm(leafOf(NODE, alice, 12));
        nodes.confirm(leaf, proof);
        vm.assertEq(nodes.account("other").owner, bob, "owner");
        vm.assertEq(nodes.account("other").chips, 0, "not bound");
        assertChips(NODE, CHIPS, 12);
    }

    function test_confirm_withoutChips() public {
        active();
        vm.prank(bob);
        nodes.register("other", CLASS, "", "", PLEDGE);
        NodeLeaf memory leaf = leafWith("other", bob, 40, 0);
        bytes32[] memory proof = post(leaf);
        toFinal(40);
        vm.recordLogs();
        nodes.confirm(leaf, proof);
        vm.assertEq(vm.getRecordedLogs().length, 2, "NodeConfirmed and StatusChanged");
        vm.assertEq(nodes.account("other").owner, bob, "owner");
        vm.assertEq(nodes.account("other").chips, 0, "zero is nobody's");
        vm.assertEq(nodes.account("other").chipsEpochs, 0, "never bound");
        vm.assertEq(nodes.nodeOfChips(0), 0, "nobody's");
    }

    function test_confirm_tellsTheFirstChips() public {
        register(alice, NODE, CLASS);
        NodeLeaf memory leaf = leafOf(NODE, alice, 12);
        bytes32[] memory proof = post(leaf);
        toFinal(12);
        vm.expectEmit(true, true, true, true, address(nodes));
        emit INodesTypes.ChipsChanged(NODE, 0, CHIPS);
        nodes.confirm(leaf, proof);
        assertChips(NODE, CHIPS, 12);
    }

    /// @dev Alice's node loses its processors after her service, and she leaves: a leaf from before it does not bind any.
    function test_confirm_aLaterOwner_notBoundByAnOlderLeafThanFreedIt() public {
        uint64 last = leftAfterASlash();
        NodeLeaf memory leaf = leafWith(NODE, bob, last + 5, "bob's chips");
        leaf.cumulativeSlash = 30;
        bytes32[] memory proof = post(leaf);
        vm.prank(builder);
        nodes.register("other", CLASS, "", "", PLEDGE);
        uint64 freed = epochs.currentEpoch();
        confirm(leafOf("other", builder, freed));
        nodes.exit(NODE, alice);
        assertChips("other", CHIPS, freed);
        assertChips(NODE, 0, freed);
        nodes.confirm(leaf, proof);
        vm.assertEq(nodes.account(NODE).owner, bob, "owner all the same");
        assertChips(NODE, 0, freed);
        vm.assertEq(nodes.nodeOfChips("bob's chips"), 0, "not bound");
        leaf.epoch = freed + 1;
        confirm(leaf);
        assertChips(NODE, "bob's chips", freed + 1);
    }

    /// @dev Bob waits, registered before; Alice's node is asked for 30, which is taken, and she leaves.
    function leftAfterASlash() private returns (uint64 last) {
        register(bob, NODE, CLASS);
        active();
        settle(50, 3, 30);
        toFinal(50);
        nodes.release(NODE, alice);
        vm.prank(alice);
        nodes.requestExit(NODE);
        last = registrationOf(alice).exitEpochs - 1 + nodes.exitDelayEpochs();
        settle(last, 1, 30);
        toFinal(last);
    }

    /// @dev It would set the node's sums back, and the next leaf ask the new pledge for what the old one paid.
    function test_confirm_aLaterOwner_notByAnOlderLeafThanTheLastSettled() public {
        uint64 last = leftAfterASlash();
        NodeLeaf memory leaf = leafOf(NODE, bob, last - 1);
        bytes32[] memory proof = post(leaf);
        toFinal(leaf.epoch);
        nodes.exit(NODE, alice);
        refuseConfirm(leaf, proof, abi.encodeWithSelector(INodesTypes.StaleLeaf.selector, NODE, last + 1, last - 1));
        vm.assertEq(nodes.account(NODE).cumulativeSlash, 30, "sums stay");
        leaf.epoch = epochs.currentEpoch();
        leaf.cumulativeSlash = 30;
        confirm(leaf);
        vm.assertEq(nodes.account(NODE).owner, bob, "by a later one");
        vm.assertEq(nodes.providerAt(NODE, leaf.epoch + 1), bob, "who answers from then on");
        leaf.epoch = epochs.currentEpoch();
        leaf.cumulativeSlash = 37;
        settle(leaf);
        assertMoney(bob, 193, 7, 0);
    }

    function test_confirm_aLaterOwner_byTheRootOfTheLastSettledEpoch() public {
        uint64 last = leftAfterASlash() + 20;
        settle(last, 1, 30);
        NodeLeaf memory leaf = leafOf(NODE, bob, last);
        leaf.cumulativeSlash = 30;
        bytes32[] memory proof = correct(last, hashOf(leaf));
        nodes.exit(NODE, alice);
        toFinal(last);
        nodes.confirm(leaf, proof);
        vm.assertEq(nodes.account(NODE).owner, bob, "the root that stands");
        assertMoney(bob, PLEDGE, 0, 0);
    }

    function test_settle_refusals() public {
        NodeLeaf memory leaf = leafOf(NODE, alice, 12);
        refuseSettle(leaf, abi.encodeWithSelector(INodesTypes.NotRegistered.selector, NODE, alice));
        leaf.confirmed = false;
        refuseSettle(leaf, abi.encodeWithSelector(INodesTypes.NotConfirmed.selector, NODE, 12));
        leaf.leafType = 3;
        refuseSettle(leaf, abi.encodeWithSelector(INodesTypes.WrongLeafType.selector, 1, 3));
        toEpoch(10);
        active();
        settle(40, 1, 0);
        refuseSettle(leafOf(NODE, alice, 40), abi.encodeWithSelector(INodesTypes.AlreadySettled.selector, NODE, 40, 0));
        refuseSettle(leafOf(NODE, alice, 39), abi.encodeWithSelector(INodesTypes.StaleLeaf.selector, NODE, 41, 39));
        leaf = leafOf(NODE, alice, 41);
        bytes32[] memory proof = post(leaf);
        leaf.cumulativeSlash = 1;
        vm.expectPartialRevert(EpochsDouble.NotProven.selector);
        nodes.settle(leaf, proof);
    }

    /// @dev What a provider quotes as its owner cannot keep its slash from being taken.
    function test_settle_aLeafThatNamesAnotherOwnerStillSlashes() public {
        active();
        NodeLeaf memory leaf = leafOf(NODE, bob, 40);
        leaf.cumulativeSlash = 9;
        settle(leaf);
        assertMoney(alice, 191, 9, 0);
    }

    function refuseFinal(NodeLeaf memory leaf, bytes memory expected) private {
        bytes32[] memory proof = post(leaf);
        toFinal(leaf.epoch);
        refuseConfirm(leaf, proof, expected);
        toEpoch(leaf.epoch + 1);
    }

    function refuseConfirm(NodeLeaf memory leaf, bytes32[] memory proof, bytes memory expected) private {
        vm.expectRevert(expected);
        nodes.confirm(leaf, proof);
    }

    function refuseSettle(NodeLeaf memory leaf, bytes memory expected) private {
        bytes32[] memory proof = post(leaf);
        vm.expectRevert(expected);
        nodes.settle(leaf, proof);
    }
}
