// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {EpochRoot, RewardLeaf} from "../../src/interfaces/Types.sol";
import {FourHyperNodes} from "../support/Network.sol";

contract EpochsClaimTest is FourHyperNodes {
    address private provider = address(0xabc);
    bytes32[] private none;

    function refused(bytes memory failure, RewardLeaf memory leaf, bytes32[] memory proof) private {
        vm.expectRevert(failure);
        epochs.claim(leaf, proof);
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
        epochs.claim(rewardLeaf(0, provider, 3 ether), none);
        vm.assertEq(token.balanceOf(provider), 3 ether, "paid");
        vm.assertEq(epochs.paid(provider), 3 ether, "counted");
        refused(
            abi.encodeWithSelector(IAssayEpochs.NothingToClaim.selector, provider, 3 ether, 3 ether),
            rewardLeaf(0, provider, 3 ether),
            none
        );
        postReward(1, provider, 8 ether);
        passMs(WINDOW_MS);
        epochs.claim(rewardLeaf(1, provider, 8 ether), none);
        vm.assertEq(token.balanceOf(provider), 8 ether, "the growth");
        refused(
            abi.encodeWithSelector(IAssayEpochs.NothingToClaim.selector, provider, 3 ether, 8 ether),
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
        epochs.claim(rewardLeaf(0, provider, 3 ether), none);
        refused(abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 1), rewardLeaf(1, provider, 3 ether), none);
    }

    function test_claim_wrongType() public {
        postReward(0, provider, 3 ether);
        passMs(WINDOW_MS);
        RewardLeaf memory leaf = rewardLeaf(0, provider, 3 ether);
        leaf.leafType = 1;
        refused(abi.encodeWithSelector(IAssayEpochs.WrongLeafType.selector, 3, 1), leaf, none);
    }

    function test_claim_badProof() public {
        RewardLeaf memory a = rewardLeaf(0, provider, 1 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 2 ether);
        (bytes32[] memory proof,) = postTwo(0, a, b, 3 ether);
        passMs(WINDOW_MS);
        bytes32 root = epochs.epochRecord(0).root;
        refused(abi.encodeWithSelector(IAssayEpochs.BadProof.selector, root, leafHash(a)), a, none);
        RewardLeaf memory more = rewardLeaf(0, provider, 1 ether + 1);
        vm.expectPartialRevert(IAssayEpochs.BadProof.selector);
        epochs.claim(more, proof);
        RewardLeaf memory other = rewardLeaf(0, address(0xabd), 1 ether);
        vm.expectPartialRevert(IAssayEpochs.BadProof.selector);
        epochs.claim(other, proof);
        proof[0] ^= bytes32(uint256(1));
        vm.expectPartialRevert(IAssayEpochs.BadProof.selector);
        epochs.claim(a, proof);
        proof[0] ^= bytes32(uint256(1));
        epochs.claim(a, proof);
    }

    function test_claim_leafOfAnotherEpoch() public {
        postReward(0, provider, 1 ether);
        toEndOf(1);
        post(rootOf(1, leafHash(rewardLeaf(0, provider, 2 ether)), 2 ether), QUORUM);
        passMs(WINDOW_MS);
        vm.expectPartialRevert(IAssayEpochs.BadProof.selector);
        epochs.claim(rewardLeaf(1, provider, 2 ether), none);
        vm.expectPartialRevert(IAssayEpochs.BadProof.selector);
        epochs.claim(rewardLeaf(0, provider, 2 ether), none);
    }

    /// @dev A committee that promises more than the sum it signs takes nobody else's money.
    function test_claim_moreThanTheRoot() public {
        RewardLeaf memory a = rewardLeaf(0, provider, 2 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 2 ether);
        (bytes32[] memory proofOfA, bytes32[] memory proofOfB) = postTwo(0, a, b, 3 ether);
        passMs(WINDOW_MS);
        epochs.claim(a, proofOfA);
        refused(abi.encodeWithSelector(IAssayEpochs.RewardsExceedRoot.selector, 3 ether, 4 ether), b, proofOfB);
    }

    function test_claim_olderRoot() public {
        RewardLeaf memory a = rewardLeaf(0, provider, 1 ether);
        RewardLeaf memory b = rewardLeaf(0, address(0xdef), 1 ether);
        (bytes32[] memory proofOfA,) = postTwo(0, a, b, 2 ether);
        RewardLeaf memory c = rewardLeaf(1, provider, 1 ether);
        RewardLeaf memory d = rewardLeaf(1, address(0xdef), 9 ether);
        (, bytes32[] memory proofOfD) = postTwo(1, c, d, 10 ether);
        passMs(WINDOW_MS);
        epochs.claim(d, proofOfD);
        epochs.claim(a, proofOfA);
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
        vm.expectPartialRevert(IAssayEpochs.BadProof.selector);
        epochs.claim(rewardLeaf(0, provider, 9 ether), none);
        refused(
            abi.encodeWithSelector(IAssayEpochs.EpochNotPosted.selector, 1), rewardLeaf(1, provider, 10 ether), none
        );
        epochs.claim(rewardLeaf(0, provider, 1 ether), none);
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
        epochs.claim(leaf, proof);
        vm.assertEq(token.balanceOf(provider), 1 ether, "paid");
    }
}
