// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayEpochs} from "../../src/AssayEpochs.sol";
import {EcdsaQuorum} from "../../src/EcdsaQuorum.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {Network, Nothing} from "../support/Network.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

contract EpochsGenesisTest is Network {
    function setUp() public {
        deploy(new EcdsaQuorum());
    }

    function build(IAssayEpochs.Parameters memory p) private returns (AssayEpochs) {
        return new AssayEpochs(p, token, verifier, treasury, governor, guardian);
    }

    function refused(IAssayEpochs.Parameters memory p) private {
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.BadParameters.selector));
        build(p);
    }

    function test_constructor_badParameters() public {
        uint64 tooLong = 315_360_000_001;
        IAssayEpochs.Parameters memory p = epochParameters();
        p.epochMs = 0;
        refused(p);
        p.epochMs = tooLong;
        refused(p);
        p.epochMs = 300_000_000_000;
        (p.voidAfterMs, p.disputeWindowMs, p.disputeExtensionMs) = (tooLong, 0, 0);
        refused(p);
        (p.voidAfterMs, p.disputeWindowMs, p.disputeExtensionMs) = (0, tooLong, 0);
        refused(p);
        (p.voidAfterMs, p.disputeWindowMs, p.disputeExtensionMs) = (0, 0, tooLong);
        refused(p);
        p = epochParameters();
        p.genesisUnixMs = 1 << 47;
        refused(p);
        p = epochParameters();
        p.disputeWindowMs = 1022 * EPOCH_MS - p.voidAfterMs - p.disputeExtensionMs;
        build(p);
        p.disputeWindowMs += 1;
        refused(p);
    }

    function test_constructor_zeroAddresses() public {
        bytes memory zero = abi.encodeWithSelector(IAssayEpochs.ZeroId.selector);
        vm.expectRevert(zero);
        new AssayEpochs(epochParameters(), token, verifier, address(0), governor, guardian);
        vm.expectRevert(zero);
        new AssayEpochs(epochParameters(), token, verifier, treasury, address(0), guardian);
        vm.expectRevert(zero);
        new AssayEpochs(epochParameters(), token, verifier, treasury, governor, address(0));
    }

    function test_constructor_noContracts() public {
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NotAContractOfThisNetwork.selector, address(1)));
        new AssayEpochs(epochParameters(), IERC20(address(1)), verifier, treasury, governor, guardian);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NotAContractOfThisNetwork.selector, address(2)));
        new AssayEpochs(epochParameters(), token, IQuorumVerifier(address(2)), treasury, governor, guardian);
    }

    function test_wire() public view {
        vm.assertEq(epochs.stake(), address(stake), "stake");
        vm.assertEq(epochs.faults(), faults, "faults");
        vm.assertTrue(epochs.nodes().code.length != 0 && epochs.reservations().code.length != 0, "the others");
        vm.assertEq(epochs.token(), address(token), "token");
        vm.assertEq(epochs.verifier(), address(verifier), "verifier");
        vm.assertEq(epochs.treasury(), treasury, "treasury");
        vm.assertEq(epochs.governor(), governor, "governor");
        vm.assertEq(epochs.guardian(), guardian, "guardian");
        vm.assertEq(epochs.ringSize(), 1024, "ring");
        vm.assertEq(epochs.parameters().disputeBond, BOND, "bond");
    }

    function test_wire_byAnother() public {
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.Unauthorized.selector, address(this), governor));
        epochs.wire(address(stake), faults, faults, faults);
    }

    function test_wire_twice() public {
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.AlreadyWired.selector));
        epochs.wire(address(stake), faults, faults, faults);
    }

    function test_wire_noContracts() public {
        AssayEpochs e = build(epochParameters());
        address empty = address(0xe);
        bytes memory failure = abi.encodeWithSelector(IAssayEpochs.NotAContractOfThisNetwork.selector, empty);
        vm.expectRevert(failure);
        e.wire(address(stake), empty, faults, faults);
        vm.expectRevert(failure);
        e.wire(address(stake), faults, empty, faults);
        vm.expectRevert(failure);
        e.wire(address(stake), faults, faults, empty);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NotAContractOfThisNetwork.selector, address(stake)));
        e.wire(address(stake), faults, faults, faults);
    }

    function four() private {
        uint96[] memory stakes = new uint96[](4);
        for (uint256 i; i < 4; ++i) {
            stakes[i] = MIN_STAKE;
        }
        join(stakes);
    }

    function test_openGenesis() public {
        four();
        vm.assertEq(epochs.networkId(), bytes32(0), "before");
        epochs.openGenesis(NETWORK);
        vm.assertEq(epochs.networkId(), NETWORK, "network");
        vm.assertEq(epochs.committeeHash(), keccak256(stake.committee(0)), "committee");
        vm.assertEq(epochs.nextEpoch(), 0, "next");
        vm.assertEq(epochs.currentEpoch(), 0, "current");
    }

    function test_openGenesis_byAnother() public {
        four();
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.Unauthorized.selector, address(this), governor));
        epochs.openGenesis(NETWORK);
    }

    function test_openGenesis_notWired() public {
        AssayEpochs e = build(epochParameters());
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NotWired.selector));
        e.openGenesis(NETWORK);
    }

    function test_openGenesis_twice() public {
        four();
        epochs.openGenesis(NETWORK);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.GenesisAlreadyOpen.selector));
        epochs.openGenesis(NETWORK);
    }

    function test_openGenesis_zero() public {
        four();
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.ZeroId.selector));
        epochs.openGenesis(0);
    }
}
