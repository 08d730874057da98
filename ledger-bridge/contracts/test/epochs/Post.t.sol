// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {EpochRoot, Resolution} from "../../src/interfaces/Types.sol";
import {FourHyperNodes, Network, Nothing} from "../support/Network.sol";
import {AssayEpochs} from "../../src/AssayEpochs.sol";
import {Deployed} from "../support/Deployed.sol";

contract EpochsPostTest is FourHyperNodes {
    address private provider = address(0xabc);

    function test_postRoot() public {
        EpochRoot memory r = postReward(0, provider, 3 ether);
        IAssayEpochs.EpochRecord memory e = epochs.epochRecord(0);
        vm.assertEq(uint256(e.resolution), uint256(Resolution.Posted), "posted");
        vm.assertEq(e.root, r.root, "root");
        vm.assertEq(e.digest, epochs.hashRoot(r), "digest");
        vm.assertEq(e.leafCount, 1, "leaves");
        vm.assertEq(e.cumulativeReward, 3 ether, "rewards");
        vm.assertEq(e.postedAtMs, nowMs(), "posted at");
        vm.assertEq(e.finalAtMs, nowMs() + WINDOW_MS, "final at");
        vm.assertEq(epochs.nextEpoch(), 1, "next");
        vm.assertEq(epochs.currentEpoch(), 1, "current");
        vm.assertEq(epochs.committeeHash(), r.nextCommittee, "committee");
        vm.assertEq(epochs.cumulativeReward(), 3 ether, "sum");
        vm.assertFalse(epochs.isFinal(0), "not yet");
        vm.assertFalse(epochs.isFinal(1), "not posted");
        passMs(WINDOW_MS - 1000);
        vm.assertFalse(epochs.isFinal(0), "a second before");
        passMs(1000);
        vm.assertTrue(epochs.isFinal(0), "final");
    }

    /// @dev What is hashed is the EIP-712 structure of the interface.
    function test_hashRoot() public view {
        EpochRoot memory r = rootOf(3, keccak256("x"), 5);
        bytes32 typeHash = keccak256(
            "EpochRoot(bytes32 networkId,uint64 epoch,uint32 round,bytes32 inputSet,bytes32 committee,bytes32 root,uint32 leafCount,bytes32 evidenceRoot,bytes32 policyDigest,uint128 cumulativeReward,bytes32 nextCommittee)"
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Assay"),
                keccak256("2"),
                block.chainid,
                address(epochs)
            )
        );
        vm.assertEq(epochs.domainSeparator(), domain, "domain");
        bytes32 expected = keccak256(bytes.concat(hex"1901", domain, keccak256(abi.encode(typeHash, r))));
        vm.assertEq(epochs.hashRoot(r), expected, "digest");
    }

    function test_postRoot_quorum() public {
        toEndOf(0);
        EpochRoot memory r = rootOf(0, keccak256("x"), 0);
        expectPost(noQuorum(3), r, 3);
        expectPost(noQuorum(14), r, 14);
        post(r, 7);
    }

    function test_postRoot_wrongEpoch() public {
        toEndOf(1);
        expectPost(abi.encodeWithSelector(IAssayEpochs.WrongEpoch.selector, 0, 1), rootOf(1, 0, 0), QUORUM);
        postReward(0, provider, 0);
        expectPost(abi.encodeWithSelector(IAssayEpochs.WrongEpoch.selector, 1, 0), rootOf(0, 0, 0), QUORUM);
    }

    function test_postRoot_notFinished() public {
        toEndOf(0);
        vm.warp(block.timestamp - 1);
        uint64 end = GENESIS_MS + EPOCH_MS;
        bytes memory failure = abi.encodeWithSelector(IAssayEpochs.EpochNotFinished.selector, 0, end, end - 1000);
        expectPost(failure, rootOf(0, 0, 0), QUORUM);
    }

    function test_postRoot_otherFields() public {
        toEndOf(0);
        EpochRoot memory r = rootOf(0, keccak256("x"), 0);
        r.networkId = keccak256("another");
        expectPost(abi.encodeWithSelector(IAssayEpochs.WrongNetwork.selector, NETWORK, r.networkId), r, QUORUM);
        r = rootOf(0, keccak256("x"), 0);
        bytes32 good = r.committee;
        r.committee = keccak256("another");
        expectPost(abi.encodeWithSelector(IAssayEpochs.WrongCommittee.selector, good, r.committee), r, QUORUM);
        r = rootOf(0, keccak256("x"), 0);
        r.nextCommittee = 0;
        expectPost(abi.encodeWithSelector(IAssayEpochs.ZeroNextCommittee.selector), r, QUORUM);
        r = rootOf(0, keccak256("x"), 0);
        r.round = type(uint32).max;
        expectPost(abi.encodeWithSelector(IAssayEpochs.RoundTooLow.selector, 0, r.round), r, QUORUM);
    }

    function test_postRoot_committeeBytes() public {
        toEndOf(0);
        EpochRoot memory r = rootOf(0, keccak256("x"), 0);
        bytes memory signatures = signaturesOf(epochs.hashRoot(r), QUORUM);
        bytes memory other = bytes.concat(committeeBytes(), bytes32(type(uint256).max));
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.WrongCommittee.selector, r.committee, keccak256(other)));
        epochs.postRoot(r, other, signatures);
    }

    function test_postRoot_rewards() public {
        postReward(0, provider, BUDGET);
        toEndOf(1);
        EpochRoot memory less = rootOf(1, keccak256("x"), BUDGET - 1);
        expectPost(abi.encodeWithSelector(IAssayEpochs.RewardDecreased.selector, BUDGET, BUDGET - 1), less, QUORUM);
        EpochRoot memory more = rootOf(1, keccak256("x"), 2 * BUDGET + 1);
        expectPost(abi.encodeWithSelector(IAssayEpochs.BudgetExceeded.selector, 1, BUDGET, BUDGET + 1), more, QUORUM);
        postReward(1, provider, 2 * BUDGET);
    }

    /// @dev A signature for one deployment, or one chain, is none for another.
    function test_postRoot_elsewhere() public {
        toEndOf(0);
        EpochRoot memory r = rootOf(0, keccak256("x"), 0);
        bytes memory signatures = signaturesOf(epochs.hashRoot(r), QUORUM);
        bytes memory committee = committeeBytes();
        vm.chainId(5);
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.WrongSigner.selector, 0));
        epochs.postRoot(r, committee, signatures);
        vm.chainId(31_337);
        epochs.postRoot(r, committee, signatures);
    }

    function test_postRoot_anyField() public {
        toEndOf(0);
        EpochRoot memory r = rootOf(0, keccak256("x"), 1);
        bytes memory signatures = signaturesOf(epochs.hashRoot(r), QUORUM);
        bytes memory committee = committeeBytes();
        bytes memory words = abi.encode(r);
        // networkId, epoch and committee have errors of their own
        for (uint256 i; i < 11; ++i) {
            if (i == 0 || i == 1 || i == 4) continue;
            bytes memory changed = bytes.concat(words);
            changed[32 * i + 31] ^= 0x01;
            EpochRoot memory other = abi.decode(changed, (EpochRoot));
            vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.WrongSigner.selector, 0));
            epochs.postRoot(other, committee, signatures);
        }
        epochs.postRoot(r, committee, signatures);
    }

    /// @dev A word with bits beyond its type is no root, whoever signed it.
    function test_postRoot_dirtyWords() public {
        toEndOf(0);
        EpochRoot memory r = rootOf(0, keccak256("x"), 1);
        bytes memory data =
            abi.encodeCall(IAssayEpochs.postRoot, (r, committeeBytes(), signaturesOf(epochs.hashRoot(r), QUORUM)));
        uint8[4] memory typed = [1, 2, 6, 9];
        for (uint256 i; i < 4; ++i) {
            data[4 + 32 * uint256(typed[i])] = 0x01;
            (bool done,) = address(epochs).call(data);
            vm.assertFalse(done, "dirty");
            data[4 + 32 * uint256(typed[i])] = 0x00;
        }
        (bool clean,) = address(epochs).call(data);
        vm.assertTrue(clean, "clean");
    }

    function test_postRoot_beforeGenesis() public {
        AssayEpochs e = Deployed.epochs(epochParameters(), token, verifier, treasury, governor, guardian);
        toEndOf(0);
        EpochRoot memory r = rootOf(0, keccak256("x"), 0);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.GenesisNotOpen.selector));
        e.postRoot(r, "", "");
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.GenesisNotOpen.selector));
        e.postVoid(0);
    }

    /// @dev Late posting fills the ring faster than windows close: it waits, and goes on when they have.
    function test_postRoot_ringWaits() public {
        toEndOf(1024 + 12);
        postReward(0, provider, 1);
        for (uint64 e = 1; e < 1024; ++e) {
            epochs.postVoid(e);
        }
        uint64 finalMs = nowMs() + WINDOW_MS;
        bytes memory failure = abi.encodeWithSelector(IAssayEpochs.OldEpochNotFinal.selector, 0, finalMs, nowMs());
        expectPost(failure, rootOf(1024, keccak256("x"), 1), QUORUM);
        passMs(WINDOW_MS - 1000);
        expectPost(
            abi.encodeWithSelector(IAssayEpochs.OldEpochNotFinal.selector, 0, finalMs, nowMs()),
            rootOf(1024, keccak256("x"), 1),
            QUORUM
        );
        passMs(1000);
        postReward(1024, provider, 1);
        vm.assertTrue(epochs.isFinal(0), "lost and final");
        vm.assertEq(uint256(epochs.epochRecord(0).resolution), uint256(Resolution.Open), "lost");
        vm.assertEq(epochs.epochRecord(1024).corrections, 0, "fresh");
    }

    function test_postVoid() public {
        postReward(0, provider, 2 ether);
        bytes32 committee = epochs.committeeHash();
        uint64 deadline = GENESIS_MS + 2 * EPOCH_MS + VOID_AFTER_MS;
        vm.warp(deadline / 1000 - 1);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.VoidTooEarly.selector, 1, deadline, deadline - 1000));
        epochs.postVoid(1);
        vm.warp(deadline / 1000);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.WrongEpoch.selector, 1, 2));
        epochs.postVoid(2);
        epochs.postVoid(1);
        IAssayEpochs.EpochRecord memory e = epochs.epochRecord(1);
        vm.assertEq(uint256(e.resolution), uint256(Resolution.Void), "void");
        vm.assertEq(e.cumulativeReward, 2 ether, "rolls on");
        vm.assertEq(e.root, bytes32(0), "no root");
        vm.assertEq(epochs.committeeHash(), committee, "same committee");
        vm.assertFalse(epochs.isFinal(1), "not before epoch 0");
        postReward(2, provider, 3 ether);
    }

    function test_postVoid_extended() public {
        toEndOf(0);
        vm.prank(guardian);
        epochs.extendWindows(EPOCH_MS);
        passMs(VOID_AFTER_MS);
        uint64 deadline = GENESIS_MS + EPOCH_MS + VOID_AFTER_MS + EPOCH_MS;
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.VoidTooEarly.selector, 0, deadline, nowMs()));
        epochs.postVoid(0);
        passMs(EPOCH_MS);
        epochs.postVoid(0);
    }

    function test_postVoid_lastRootKept() public {
        postReward(0, provider, 1 ether);
        toEndOf(1024 + 12);
        for (uint64 e = 1; e < 1024; ++e) {
            epochs.postVoid(e);
        }
        passMs(WINDOW_MS);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.LastRootKept.selector, 1));
        epochs.postVoid(1024);
        rewards.claim(rewardLeaf(0, provider, 1 ether), new bytes32[](0));
        postReward(1024, provider, 1 ether);
    }
}

/// @title Two thirds are not more than two thirds.
contract EpochsThirdsTest is Network {
    function test_postRoot_exactlyTwoThirds() public {
        deploy(Deployed.ecdsa());
        uint96[] memory stakes = new uint96[](3);
        (stakes[0], stakes[1], stakes[2]) = (MIN_STAKE, MIN_STAKE, MIN_STAKE);
        join(stakes);
        openGenesis();
        toEndOf(0);
        EpochRoot memory r = rootOf(0, keccak256("x"), 0);
        (uint256 signed, uint256 total) = weightsOf(5);
        vm.assertEq(3 * signed, 2 * total, "equal weights stay equal");
        expectPost(noQuorum(5), r, 5);
        post(r, 7);
    }
}
