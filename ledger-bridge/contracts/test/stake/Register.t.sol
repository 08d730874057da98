// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayEpochs} from "../../src/AssayEpochs.sol";
import {AssayStake} from "../../src/AssayStake.sol";
import {Funds} from "../../src/Funds.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {FeeToken} from "../support/FeeToken.sol";
import {FourHyperNodes, Nothing} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

contract StakeRegisterTest is FourHyperNodes {
    address private joiner = address(0x101e);

    function setUp() public override {
        super.setUp();
        give(joiner, address(stake), 1_000_000 ether);
        give(vm.addr(keys[0]), address(stake), 1_000_000 ether);
    }

    function register(bytes32 seed, bytes32 operatorId, bytes32 seedChainEnd, uint96 amount) private {
        (bytes32 key, bytes memory proof) = (vm.publicKeyEd25519(seed), possession(seed, stake, joiner));
        vm.prank(joiner);
        stake.register(key, proof, operatorId, seedChainEnd, "https://new", "", "", amount);
    }

    function refused(bytes memory failure, bytes32 seed, bytes32 operatorId, bytes32 seedChainEnd, uint96 amount)
        private
    {
        (bytes32 key, bytes memory proof) = (vm.publicKeyEd25519(seed), possession(seed, stake, joiner));
        vm.prank(joiner);
        vm.expectRevert(failure);
        stake.register(key, proof, operatorId, seedChainEnd, "https://new", "", "", amount);
    }

    /// @dev Called as `this.build`: see `Test`.
    function build(IAssayStake.Parameters memory p) external returns (AssayStake) {
        return Deployed.stake(p, epochs);
    }

    function refusedParameters(IAssayStake.Parameters memory p) private {
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.BadParameters.selector));
        this.build(p);
    }

    function test_constructor_badParameters() public {
        IAssayStake.Parameters memory p = stakeParameters();
        p.minStake = 0;
        refusedParameters(p);
        p = stakeParameters();
        p.operatorCapBps = 0;
        refusedParameters(p);
        p.operatorCapBps = 10_001;
        refusedParameters(p);
        p.operatorCapBps = 10_000;
        this.build(p);
        p.activeAfterEpochs = 1;
        refusedParameters(p);
        p.activeAfterEpochs = 17;
        refusedParameters(p);
        p.activeAfterEpochs = 16;
        this.build(p);
        p = stakeParameters();
        p.reporterBps = 5001;
        refusedParameters(p);
        p.reporterBps = 5000;
        this.build(p);
        p = stakeParameters();
        p.unbondingMs = 3 * EPOCH_MS + VOID_AFTER_MS + WINDOW_MS + EXTENSION_MS;
        this.build(p);
        p.unbondingMs -= 1;
        refusedParameters(p);
        p.unbondingMs = 315_360_000_001;
        refusedParameters(p);
        p.unbondingMs = 315_360_000_000;
        this.build(p);
    }

    function test_register() public {
        register(keccak256("k"), keccak256("o"), keccak256("s"), 5000 ether);
        vm.snapshotGasLastCall("AssayStake", "register");
        bytes32 key = vm.publicKeyEd25519(keccak256("k"));
        IAssayStake.HyperNode memory h = stake.hyperNodeOf(key);
        vm.assertEq(h.signer, joiner, "signer");
        vm.assertEq(h.operatorId, keccak256("o"), "operator");
        vm.assertEq(h.seedChainEnd, keccak256("s"), "seed");
        vm.assertEq(h.endpoint, "https://new", "endpoint");
        vm.assertEq(h.bonded, 5000 ether, "bonded");
        vm.assertEq(h.registeredEpoch, 2, "counts from");
        vm.assertFalse(h.jailed, "free");
        vm.assertEq(stake.hyperNodeCount(), 5, "count");
        vm.assertEq(stake.hyperNodeAt(4).ed25519Key, key, "by index");
        vm.assertEq(stake.hyperNodeOfSigner(joiner).ed25519Key, key, "by signer");
        vm.assertEq(stake.seatHolder(4), 5, "seat");
        vm.assertEq(stake.stakeAt(key, 1), 0, "not yet");
        vm.assertEq(stake.stakeAt(key, 2), 5000 ether, "then");
        vm.assertEq(stake.totalHeld(), 105_000 ether, "held");
        vm.assertEq(token.balanceOf(address(stake)), 105_000 ether, "balance");
        vm.assertEq(stake.epochs(), address(epochs), "epochs");
        vm.assertEq(stake.parameters().unbondingMs, 30 days * 1000, "parameters");
    }

    function test_register_zero() public {
        bytes memory zero = abi.encodeWithSelector(IAssayStake.ZeroId.selector);
        refused(zero, keccak256("k"), 0, keccak256("s"), 5000 ether);
        refused(zero, keccak256("k"), keccak256("o"), 0, 5000 ether);
    }

    function test_register_tooSmall() public {
        bytes memory failure = abi.encodeWithSelector(IAssayStake.StakeTooSmall.selector, MIN_STAKE, MIN_STAKE - 1);
        refused(failure, keccak256("k"), keccak256("o"), keccak256("s"), MIN_STAKE - 1);
        register(keccak256("k"), keccak256("o"), keccak256("s"), MIN_STAKE);
    }

    function test_register_taken() public {
        bytes memory taken = abi.encodeWithSelector(IAssayStake.KeyTaken.selector, edKey(0));
        refused(taken, edSeed(0), operator(0), keccak256("s"), MIN_STAKE);
        register(keccak256("k"), keccak256("o"), keccak256("s"), MIN_STAKE);
        taken = abi.encodeWithSelector(IAssayStake.SignerTaken.selector, joiner);
        refused(taken, keccak256("l"), operator(0), keccak256("s"), MIN_STAKE);
    }

    function refusedByOperator(uint256 owner) private {
        bytes memory failure =
            abi.encodeWithSelector(IAssayStake.NotAdmitted.selector, operator(owner), vm.addr(keys[owner]), joiner);
        refused(failure, keccak256("k"), operator(owner), keccak256("s"), MIN_STAKE);
    }

    /// @dev Or anybody could share an honest operator's cap.
    function test_register_underAnothersOperatorId() public {
        vm.assertEq(stake.operatorOwner(operator(0)), vm.addr(keys[0]), "who came first");
        refusedByOperator(0);
        vm.prank(vm.addr(keys[1]));
        stake.admit(joiner);
        refusedByOperator(0);
        vm.expectEmit(true, true, true, true, address(stake));
        emit IAssayStake.Admitted(operator(0), joiner);
        vm.prank(vm.addr(keys[0]));
        stake.admit(joiner);
        vm.snapshotGasLastCall("AssayStake", "admit");
        vm.assertTrue(stake.isAdmitted(operator(0), joiner), "admitted");
        refusedByOperator(2);
        register(keccak256("k"), operator(0), keccak256("s"), MIN_STAKE);
        vm.assertEq(stake.hyperNodeOfSigner(joiner).operatorId, operator(0), "a member");
        vm.assertEq(stake.operatorOwner(operator(0)), vm.addr(keys[0]), "and not the owner");
    }

    function test_register_anOperatorIdStaysItsOwnersWhoLeft() public {
        address leaver = vm.addr(keys[3]);
        vm.startPrank(leaver);
        stake.unbond(15_000 ether);
        passMs(40 days * 1000);
        stake.withdraw();
        vm.stopPrank();
        refusedByOperator(3);
        vm.prank(leaver);
        stake.admit(joiner);
        register(keccak256("k"), operator(3), keccak256("s"), MIN_STAKE);
    }

    function test_admit_refused() public {
        vm.prank(joiner);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.NotRegistered.selector, joiner));
        stake.admit(joiner);
        vm.prank(vm.addr(keys[0]));
        stake.admit(joiner);
        register(keccak256("k"), operator(0), keccak256("s"), MIN_STAKE);
        vm.prank(joiner);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.Unauthorized.selector, vm.addr(keys[0]), joiner));
        stake.admit(treasury);
        vm.assertFalse(stake.isAdmitted(operator(0), treasury), "by the owner only");
    }

    /// @dev Who has left entirely cannot come back under the same keys.
    function test_register_takenForEver() public {
        address leaver = vm.addr(keys[3]);
        bytes32 key = vm.publicKeyEd25519(keccak256("n"));
        bytes memory proof = possession(keccak256("n"), stake, leaver);
        vm.startPrank(leaver);
        stake.unbond(15_000 ether);
        passMs(40 days * 1000);
        stake.withdraw();
        token.approve(address(stake), MIN_STAKE);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.SignerTaken.selector, leaver));
        stake.register(key, proof, operator(3), keccak256("s"), "", "", "", MIN_STAKE);
        vm.stopPrank();
        bytes memory taken = abi.encodeWithSelector(IAssayStake.KeyTaken.selector, edKey(3));
        refused(taken, edSeed(3), operator(3), keccak256("s"), MIN_STAKE);
    }

    function test_endpointTooLong() public {
        string memory longest = string(new bytes(256));
        string memory tooLong = string(new bytes(257));
        bytes memory failure = abi.encodeWithSelector(IAssayStake.EndpointTooLong.selector, 256, 257);
        bytes32 key = vm.publicKeyEd25519(keccak256("k"));
        bytes memory proof = possession(keccak256("k"), stake, joiner);
        vm.startPrank(joiner);
        vm.expectRevert(failure);
        stake.register(key, proof, keccak256("o"), keccak256("s"), tooLong, "", "", MIN_STAKE);
        stake.register(key, proof, keccak256("o"), keccak256("s"), longest, "", "", MIN_STAKE);
        vm.expectRevert(failure);
        stake.update(keccak256("s"), tooLong);
        vm.stopPrank();
    }

    function test_register_foreignKey() public {
        bytes32 key = vm.publicKeyEd25519(keccak256("k"));
        bytes memory proof = possession(keccak256("k"), stake, joiner);
        vm.prank(joiner);
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.WrongKeyLength.selector, 0, 1));
        stake.register(key, proof, keccak256("o"), keccak256("s"), "", hex"01", "", MIN_STAKE);
    }

    function test_paused() public {
        vm.prank(guardian);
        epochs.pause(1000);
        bytes memory failure = abi.encodeWithSelector(IAssayStake.NetworkPaused.selector);
        refused(failure, keccak256("k"), keccak256("o"), keccak256("s"), MIN_STAKE);
        vm.startPrank(vm.addr(keys[0]));
        vm.expectRevert(failure);
        stake.bond(1);
        stake.unbond(1);
        vm.stopPrank();
    }

    function test_bond() public {
        vm.prank(vm.addr(keys[0]));
        stake.bond(5);
        vm.assertEq(stake.hyperNodeOf(edKey(0)).bonded, 40_000 ether + 5, "bonded");
        vm.assertEq(stake.stakeAt(edKey(0), 1), 40_000 ether, "fixed");
        vm.assertEq(stake.stakeAt(edKey(0), 2), 40_000 ether + 5, "later");
    }

    function test_bond_refused() public {
        vm.prank(joiner);
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.NotRegistered.selector, joiner));
        stake.bond(1);
        vm.prank(vm.addr(keys[0]));
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.ZeroAmount.selector));
        stake.bond(0);
        vm.prank(faults);
        stake.slash(edKey(0), 1, treasury, "");
        vm.prank(vm.addr(keys[0]));
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.Jailed.selector, edKey(0)));
        stake.bond(1);
    }

    function test_bond_feeToken() public {
        FeeToken fee = new FeeToken();
        AssayEpochs e = Deployed.epochs(epochParameters(), fee, verifier, treasury, governor, guardian);
        AssayStake s = Deployed.stake(stakeParameters(), e);
        fee.mint(joiner, MIN_STAKE);
        bytes32 key = vm.publicKeyEd25519(keccak256("k"));
        bytes memory proof = possession(keccak256("k"), s, joiner);
        vm.startPrank(joiner);
        fee.approve(address(s), MIN_STAKE);
        vm.expectRevert(abi.encodeWithSelector(Funds.WrongAmountReceived.selector, MIN_STAKE, MIN_STAKE - 1));
        s.register(key, proof, keccak256("o"), keccak256("s"), "", "", "", MIN_STAKE);
        vm.stopPrank();
    }

    function test_update() public {
        toEndOf(4);
        vm.prank(vm.addr(keys[0]));
        stake.update(keccak256("next chain"), "https://elsewhere");
        vm.assertEq(stake.hyperNodeOf(edKey(0)).endpoint, "https://elsewhere", "endpoint");
        vm.assertEq(stake.seedChainEndAt(edKey(0), 6), keccak256("seed"), "fixed");
        vm.assertEq(stake.seedChainEndAt(edKey(0), 7), keccak256("next chain"), "later");
    }

    function test_update_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.NotRegistered.selector, address(this)));
        stake.update(keccak256("s"), "");
        vm.prank(vm.addr(keys[0]));
        vm.expectRevert(abi.encodeWithSelector(IAssayStake.ZeroId.selector));
        stake.update(0, "");
    }

    function test_views_unknown() public {
        bytes memory unknown = abi.encodeWithSelector(IAssayStake.UnknownKey.selector, bytes32(0));
        vm.assertEq(stake.hyperNodeOf(0).signer, address(0), "no such key");
        vm.assertEq(stake.hyperNodeOfSigner(joiner).signer, address(0), "no such signer");
        vm.expectRevert(unknown);
        stake.stakeAt(0, 0);
        vm.expectRevert(unknown);
        stake.refresh(0);
        vm.expectRevert(unknown);
        stake.seedChainEndAt(0, 0);
        vm.expectRevert(unknown);
        stake.unbondings(0);
    }
}
