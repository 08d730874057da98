// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IAssayRewards} from "../../src/interfaces/IAssayRewards.sol";
import {EpochRoot, RewardLeaf} from "../../src/interfaces/Types.sol";
import {CallingToken} from "../money/Tokens.sol";
import {FourHyperNodes} from "../support/Network.sol";
import {Vm} from "../support/Vm.sol";

contract EpochsClaimTest is FourHyperNodes {
    address private provider = address(0xabc);
    bytes32[] private none;

    function refused(bytes memory failure, RewardLeaf memory leaf, bytes32[] memory proof) private {
        vm.expectRevert(failure);
        rewards.claim(leaf, proof);
    }

    /// @dev A root over two leaves.
    function postTwo(uint64 epoch, RewardLeaf memory a, RewardLeaf memory b, uint128 sum)
        private
        returns (bytes32[] memory proofOfA, bytes32[] memory proofOfB)
    {
        toEndOf(epoch);
        (bytes32 x, bytes32 y) = (leafHash(a), leafHash(b));
        bytes32 root = x < y ? keccak256(bytes.concat(x, y)) : keccak256(bytes.concat(y, x));
        post(rootOf(epoch, root, sum), QUORUM);
        (proofOfA, proofOfB) = (new bytes32[](1), new bytes32[](1));
        (proofOfA[0], proofOfB[0]) = (y, x);
    }

    function test_claim() public {
        postReward(0, provider, 3 ether);
        passMs(WINDOW_MS);
        vm.prank(address(0x5e));
        rewards.claim(rewardLeaf(0, provider, 3 ether), none);
        vm.assertEq(token.balanceOf(provider), 3 ether, "paid");
        vm.assertEq(rewards.paid(provider), 3 ether, "counted");
        refused(
            abi.encodeWithSelector(IAssayRewards.NothingToClaim.selector, provider, 3 ether, 3 ether),
            rewardLeaf(0, provider, 3 ether),
            none
        );
        postReward(1, provider, 8 ether);
        passMs(WINDOW_MS);
        vm.expectEmit(true, true, true, true, address(rewards));
        emit IAssayRewards.RewardClaimed(provider, 1, 5 ether, 8 ether);
        rewards.claim(rewardLeaf(1, provider, 8 ether), none);
        vm.assertEq(token.balanceOf(provider), 8 ether, "the growth");
        refused(
            abi.encodeWithSelector(IAssayRewards.NothingToClaim.selector, provider, 3 ether, 8 ether),
            rewardLeaf(0, provider, 3 ether),
            none
        );
        vm.assertEq(epochs.totalHeld(), 100 * BUDGET - 8 ether, "held");
    }

    function test_claim_notFinal() public {
        postReward(0, provider, 3 ether);
        uint64 finalMs = nowMs() + WINDOW_MS;
        passMs(WINDOW_MS - 1000);
        refused(
            abi.encodeWithSelector(IAssayEpochs.EpochNotFinal.selector, 0, finalMs, nowMs()),
            rewardLeaf(0, provider, 3 ether),
            none
        );
        passMs(1000);
        rewards.claim(rewardLeaf(0, provider, 3 ether), none);
        refused(abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 1), rewardLeaf(1, provider, 3 ether), none);
    }

    function test_claim_wrongType() public {
        postReward(0, provider, 3 ether);
        passMs(WINDOW_MS);
        RewardLeaf memory leaf = rewardLeaf(0, provider, 3 ether);
        leaf.leafType = 1;
        refused(abi.encodeWithSelector(IAssayRewards.WrongLeafType.selector, 3, 1), leaf, none);
    }

    function test_claim_badProof() public {
        RewardLeaf memory a = rewardLeaf(0, provider, 1 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 2 ether);
        (bytes32[] memory proof,) = postTwo(0, a, b, 3 ether);
        passMs(WINDOW_MS);
        bytes32 root = epochs.epochRecord(0).root;
        refused(abi.encodeWithSelector(IAssayRewards.BadProof.selector, root, leafHash(a)), a, none);
        RewardLeaf memory more = rewardLeaf(0, provider, 1 ether + 1);
        vm.expectPartialRevert(IAssayRewards.BadProof.selector);
        rewards.claim(more, proof);
        RewardLeaf memory other = rewardLeaf(0, address(0xabd), 1 ether);
        vm.expectPartialRevert(IAssayRewards.BadProof.selector);
        rewards.claim(other, proof);
        proof[0] ^= bytes32(uint256(1));
        vm.expectPartialRevert(IAssayRewards.BadProof.selector);
        rewards.claim(a, proof);
        proof[0] ^= bytes32(uint256(1));
        rewards.claim(a, proof);
    }

    /// @dev A root from which anybody has claimed proves no more than one from which nobody has.
    function test_claim_badProofOfTheReleasedRoot() public {
        RewardLeaf memory a = rewardLeaf(0, provider, 1 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 2 ether);
        (bytes32[] memory proofOfA, bytes32[] memory proofOfB) = postTwo(0, a, b, 4 ether);
        passMs(WINDOW_MS);
        rewards.claim(a, proofOfA);
        bytes32 root = epochs.epochRecord(0).root;
        bytes memory alone = abi.encodeWithSelector(IAssayRewards.BadProof.selector, root, leafHash(b));
        refused(alone, b, none);
        RewardLeaf memory more = rewardLeaf(0, address(0xdef), 3 ether);
        refused(abi.encodeWithSelector(IAssayRewards.BadProof.selector, root, leafHash(more)), more, none);
        RewardLeaf[2] memory forged = [more, rewardLeaf(0, address(0xbad), 2 ether)];
        for (uint256 i; i < forged.length; ++i) {
            vm.expectPartialRevert(IAssayRewards.BadProof.selector);
            rewards.claim(forged[i], proofOfB);
        }
        proofOfB[0] ^= bytes32(uint256(1));
        vm.expectPartialRevert(IAssayRewards.BadProof.selector);
        rewards.claim(b, proofOfB);
        proofOfB[0] ^= bytes32(uint256(1));
        rewards.claim(b, proofOfB);
        vm.assertEq(token.balanceOf(address(rewards)), 1 ether, "nothing else was paid");
    }

    /// @dev Epochs that add nothing have one sum: a claim from either pays.
    function test_claim_epochsOfOneSum() public {
        RewardLeaf memory a = rewardLeaf(0, provider, 1 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 2 ether);
        (bytes32[] memory proofOfA,) = postTwo(0, a, b, 3 ether);
        (, bytes32[] memory proofOfB) =
            postTwo(1, rewardLeaf(1, provider, 1 ether), rewardLeaf(1, address(0xdef), 2 ether), 3 ether);
        passMs(WINDOW_MS);
        rewards.claim(rewardLeaf(1, address(0xdef), 2 ether), proofOfB);
        rewards.claim(a, proofOfA);
        vm.assertEq(token.balanceOf(address(rewards)), 0, "both");
    }

    function test_claim_leafOfAnotherEpoch() public {
        postReward(0, provider, 1 ether);
        toEndOf(1);
        post(rootOf(1, leafHash(rewardLeaf(0, provider, 2 ether)), 2 ether), QUORUM);
        passMs(WINDOW_MS);
        vm.expectPartialRevert(IAssayRewards.BadProof.selector);
        rewards.claim(rewardLeaf(1, provider, 2 ether), none);
        vm.expectPartialRevert(IAssayRewards.BadProof.selector);
        rewards.claim(rewardLeaf(0, provider, 2 ether), none);
    }

    /// @dev A committee that promises more than the sum it signs takes nothing but what providers have earned.
    function test_claim_moreThanTheRoot() public {
        RewardLeaf memory a = rewardLeaf(0, provider, 2 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 2 ether);
        (bytes32[] memory proofOfA, bytes32[] memory proofOfB) = postTwo(0, a, b, 3 ether);
        passMs(WINDOW_MS);
        rewards.claim(a, proofOfA);
        refused(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, address(rewards), 1 ether, 2 ether),
            b,
            proofOfB
        );
    }

    /// @dev What is released is of one epoch: a leaf that its root holds of another is none of it.
    function test_claim_leafOfAnotherEpochOfTheReleasedRoot() public {
        postReward(0, provider, 1 ether);
        RewardLeaf memory a = rewardLeaf(1, provider, 2 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 1 ether);
        (bytes32[] memory proofOfA, bytes32[] memory proofOfB) = postTwo(1, a, b, 3 ether);
        passMs(WINDOW_MS);
        rewards.claim(a, proofOfA);
        vm.expectPartialRevert(IAssayRewards.BadProof.selector);
        rewards.claim(b, proofOfB);
    }

    /// @dev A final root that was released pays on when the ring has lost it.
    function test_claim_releasedAndLost() public {
        RewardLeaf memory a = rewardLeaf(0, provider, 1 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 1 ether);
        (bytes32[] memory proofOfA, bytes32[] memory proofOfB) = postTwo(0, a, b, 2 ether);
        passMs(WINDOW_MS);
        rewards.claim(a, proofOfA);
        toEndOf(1023 + 12);
        for (uint64 e = 1; e < 1024; ++e) {
            epochs.postVoid(e);
        }
        toEndOf(1024);
        post(rootOf(1024, keccak256("x"), 2 ether), QUORUM);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 0));
        epochs.release(0);
        rewards.claim(b, proofOfB);
        vm.assertEq(token.balanceOf(address(0xdef)), 1 ether, "paid");
    }

    function test_release() public {
        vm.assertEq(rewards.epochs(), address(epochs), "made by the contract of epochs");
        vm.assertEq(rewards.token(), address(token), "of its token");
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 0));
        epochs.release(0);
        bytes32 root = postReward(0, provider, 3 ether).root;
        postReward(1, provider, 8 ether);
        uint64 finalMs = nowMs() + WINDOW_MS;
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.EpochNotFinal.selector, 1, finalMs, nowMs()));
        epochs.release(1);
        passMs(WINDOW_MS);
        vm.prank(address(0x5e));
        (bytes32 released, bool newest) = epochs.release(0);
        vm.assertTrue(released == root && newest, "the first");
        vm.assertEq(token.balanceOf(address(rewards)), 3 ether, "sent");
        vm.recordLogs();
        epochs.release(1);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertTrue(logs[0].topics[0] == IAssayEpochs.RewardsReleased.selector, "event");
        vm.assertEq(logs[0].data, abi.encode(5 ether, 8 ether), "its sums");
        vm.assertEq(token.balanceOf(address(rewards)), 8 ether, "the growth");
        vm.assertEq(epochs.totalHeld(), 100 * BUDGET - 8 ether, "held");
        (released, newest) = epochs.release(0);
        vm.assertTrue(released == root && !newest, "an older one");
        (, newest) = epochs.release(1);
        vm.assertTrue(newest, "again");
        vm.assertEq(vm.getRecordedLogs().length, 0, "nothing happens");
        vm.assertEq(token.balanceOf(address(rewards)), 8 ether, "nothing twice");
    }

    function test_release_isGuarded() public {
        postReward(0, provider, 1 ether);
        postReward(1, provider, 3 ether);
        passMs(WINDOW_MS);
        vm.etch(address(token), address(new CallingToken()).code);
        CallingToken(address(token)).arm(address(epochs), abi.encodeCall(epochs.release, (1)));
        rewards.claim(rewardLeaf(0, provider, 1 ether), none);
        bytes memory answer = CallingToken(address(token)).answer();
        vm.assertEq(bytes32(answer), bytes32(bytes4(keccak256("ReentrancyGuardReentrantCall()"))), "guarded");
        vm.assertEq(token.balanceOf(address(epochs)), epochs.totalHeld(), "held");
    }

    /// @dev A claim from an older root pays, and does not make it the released one.
    function test_claim_olderRootStaysOlder() public {
        postReward(0, provider, 1 ether);
        RewardLeaf memory a = rewardLeaf(1, address(0xdef), 1 ether);
        RewardLeaf memory b = rewardLeaf(1, provider, 4 ether);
        (bytes32[] memory proofOfA, bytes32[] memory proofOfB) = postTwo(1, a, b, 5 ether);
        passMs(WINDOW_MS);
        rewards.claim(a, proofOfA);
        bytes32 released = vm.load(address(rewards), 0);
        vm.assertTrue(released != 0, "released");
        rewards.claim(rewardLeaf(0, provider, 1 ether), none);
        vm.assertEq(vm.load(address(rewards), 0), released, "still");
        rewards.claim(b, proofOfB);
        vm.assertEq(token.balanceOf(provider), 4 ether, "both");
    }

    function test_claim_olderRoot() public {
        RewardLeaf memory a = rewardLeaf(0, provider, 1 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 1 ether);
        (bytes32[] memory proofOfA,) = postTwo(0, a, b, 2 ether);
        RewardLeaf memory c = rewardLeaf(1, provider, 1 ether);
        RewardLeaf memory d = rewardLeaf(1, address(0xdef), 9 ether);
        (, bytes32[] memory proofOfD) = postTwo(1, c, d, 10 ether);
        passMs(WINDOW_MS);
        rewards.claim(d, proofOfD);
        rewards.claim(a, proofOfA);
        vm.assertEq(token.balanceOf(provider), 1 ether, "paid");
    }

    function test_proven() public {
        RewardLeaf memory a = rewardLeaf(0, provider, 1 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 1 ether);
        (bytes32[] memory proof,) = postTwo(0, a, b, 2 ether);
        IAssayEpochs.EpochRecord memory e = epochs.proven(0, leafHash(a), proof);
        vm.assertEq(e.epoch, 0, "epoch");
        vm.assertEq(e.leafCount, 1, "record");
        vm.expectPartialRevert(IAssayEpochs.BadProof.selector);
        epochs.proven(0, leafHash(b), proof);
        vm.expectRevert(abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 1024));
        epochs.proven(1024, leafHash(a), proof);
    }

    /// @dev What was corrected away can never be claimed.
    function test_claim_corrected() public {
        EpochRoot memory r = postReward(0, provider, 9 ether);
        postReward(1, provider, 10 ether);
        correct(correction(r, provider, 1 ether), QUORUM);
        passMs(WINDOW_MS);
        vm.expectPartialRevert(IAssayRewards.BadProof.selector);
        rewards.claim(rewardLeaf(0, provider, 9 ether), none);
        refused(
            abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 1), rewardLeaf(1, provider, 10 ether), none
        );
        rewards.claim(rewardLeaf(0, provider, 1 ether), none);
    }

    function testFuzz_claim_deepTree(uint256 seed, uint8 depth) public {
        depth = uint8(bound(depth, 0, 20));
        RewardLeaf memory leaf = rewardLeaf(0, provider, 1 ether);
        bytes32[] memory proof = new bytes32[](depth);
        bytes32 node = leafHash(leaf);
        for (uint256 i; i < depth; ++i) {
            proof[i] = keccak256(abi.encode(seed, i));
            node = node < proof[i] ? keccak256(bytes.concat(node, proof[i])) : keccak256(bytes.concat(proof[i], node));
        }
        toEndOf(0);
        post(rootOf(0, node, 1 ether), QUORUM);
        passMs(WINDOW_MS);
        rewards.claim(leaf, proof);
        vm.assertEq(token.balanceOf(provider), 1 ether, "paid");
    }
}
