// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayEpochs} from "../../src/AssayEpochs.sol";
import {TestToken} from "../../src/TestToken.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {Network, Nothing} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

contract EpochsGenesisTest is Network {
    function setUp() public {
        deploy(Deployed.ecdsa());
    }

    /// @dev With what the test's variables name. Called as `this.build`: see `Test`.
    function build(IAssayEpochs.Parameters memory p) external returns (AssayEpochs) {
        return Deployed.epochs(p, token, verifier, treasury, governor, guardian);
    }

    function refused(IAssayEpochs.Parameters memory p) private {
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.BadParameters.selector));
        this.build(p);
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
        this.build(p);
        p.disputeWindowMs += 1;
        refused(p);
    }

    function test_constructor_limitsAreAllowed() public {
        uint64 long = 315_360_000_000;
        uint64 late = type(uint48).max / 2;
        AssayEpochs made = this.build(IAssayEpochs.Parameters(late, long, long, long, long, BOND));
        vm.assertEq(made.parameters().genesisUnixMs, late, "in 4,460 years");
        vm.assertEq(made.parameters().disputeExtensionMs, long, "ten years each");
    }

    function test_constructor_zeroAddresses() public {
        bytes memory zero = abi.encodeWithSelector(IAssayEpochs.ZeroId.selector);
        address[3] memory names = [treasury, governor, guardian];
        for (uint256 i; i < 3; ++i) {
            (treasury, governor, guardian) =
            (i == 0 ? address(0) : names[0], i == 1 ? address(0) : names[1], i == 2 ? address(0) : names[2]);
            vm.expectRevert(zero);
            this.build(epochParameters());
        }
        (treasury, governor, guardian) = (names[0], names[1], names[2]);
        this.build(epochParameters());
    }

    function test_constructor_noContracts() public {
        TestToken real = token;
        token = TestToken(address(1));
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NotAContractOfThisNetwork.selector, address(1)));
        this.build(epochParameters());
        (token, verifier) = (real, IQuorumVerifier(address(2)));
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NotAContractOfThisNetwork.selector, address(2)));
        this.build(epochParameters());
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
        AssayEpochs e = this.build(epochParameters());
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
        openGenesis();
        vm.assertEq(epochs.networkId(), NETWORK, "network");
        vm.assertEq(epochs.committeeHash(), keccak256(stake.committee(0)), "committee");
        vm.assertEq(epochs.nextEpoch(), 0, "next");
        vm.assertEq(epochs.currentEpoch(), 0, "current");
    }

    function test_openGenesis_byAnother() public {
        four();
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.Unauthorized.selector, address(this), governor));
        epochs.openGenesis(NETWORK, 0);
    }

    function test_openGenesis_notWired() public {
        AssayEpochs e = this.build(epochParameters());
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.NotWired.selector));
        e.openGenesis(NETWORK, 0);
    }

    function test_openGenesis_twice() public {
        four();
        openGenesis();
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.GenesisAlreadyOpen.selector));
        epochs.openGenesis(NETWORK, 0);
    }

    function test_openGenesis_whileSomebodyRegisters() public {
        keys = sortedKeys(5);
        for (uint256 i; i < 4; ++i) {
            joinOne(i, MIN_STAKE);
        }
        bytes32 asked = keccak256(stake.committee(0));
        joinOne(4, MIN_STAKE);
        bytes32 five = keccak256(stake.committee(0));
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.WrongCommittee.selector, five, asked));
        epochs.openGenesis(NETWORK, asked);
        vm.assertEq(epochs.networkId(), bytes32(0), "not open");
        epochs.openGenesis(NETWORK, five);
        vm.assertEq(epochs.committeeHash(), five, "the five");
    }

    function test_openGenesis_zero() public {
        four();
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.ZeroId.selector));
        epochs.openGenesis(0, 0);
    }
}
