// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {EpochRoot, Resolution, RewardLeaf} from "../../src/interfaces/Types.sol";
import {FourHyperNodes} from "../support/Network.sol";

/// @title Plays a committee, disputers, providers, a guardian and time at random, against the one network it makes.
contract EpochsHandler is FourHyperNodes {
    address private constant DISPUTER = address(0xd15);
    uint256 public funded;
    uint256 public earned;
    uint64 public lastFinal;
    bool public finalChanged;
    mapping(uint64 => bytes32) private finalRoots;
    mapping(uint64 => uint128) public sums;
    mapping(uint64 => uint32) private rounds;
    mapping(uint64 => uint64) public disputedUntil;
    uint128 public openBonds;

    constructor() {
        setUp();
        funded = 100 * BUDGET;
        give(DISPUTER, address(epochs), 1_000_000 ether);
    }

    function contracts() external view returns (address, address, address) {
        return (address(epochs), address(token), treasury);
    }

    function providerOf(uint64 epoch) private pure returns (address) {
        return address(uint160(0x1000 + epoch % 3));
    }

    function postNext(uint128 growth, bool late) external {
        uint64 epoch = epochs.nextEpoch();
        if (nowMs() < GENESIS_MS + (epoch + 1) * EPOCH_MS) toEndOf(epoch);
        if (late) passMs(EPOCH_MS);
        uint128 sum = epochs.cumulativeReward() + uint128(bound(growth, 0, epochs.budgetOf(epoch)));
        EpochRoot memory r = rootFor(epoch, sum);
        try this.tryPost(r) {
            sums[epoch] = sum;
            rounds[epoch] = r.round + 1;
        } catch {}
        watch();
    }

    function rootFor(uint64 epoch, uint128 sum) private view returns (EpochRoot memory r) {
        r = rootOf(epoch, leafHash(rewardLeaf(epoch, providerOf(epoch), sum)), sum);
        r.round = rounds[epoch];
    }

    function tryPost(EpochRoot calldata r) external {
        post(r, QUORUM);
    }

    function tryCorrect(EpochRoot calldata r) external {
        correct(r, QUORUM);
    }

    function voidNext() external {
        try epochs.postVoid(epochs.nextEpoch()) {} catch {}
        watch();
    }

    function correctOne(uint64 back, uint128 growth) external {
        uint64 next = epochs.nextEpoch();
        if (next == 0) return;
        uint64 epoch = next - 1 - uint64(bound(back, 0, next > 5 ? 4 : next - 1));
        uint128 before = epoch == 0 ? 0 : epochs.epochRecord(epoch - 1).cumulativeReward;
        EpochRoot memory r = rootFor(epoch, before + uint128(bound(growth, 0, epochs.budgetOf(epoch))));
        try this.tryCorrect(r) {
            sums[epoch] = r.cumulativeReward;
            rounds[epoch] = r.round + 1;
        } catch {}
        watch();
    }

    function disputeOne(uint64 back) external {
        uint64 next = epochs.nextEpoch();
        if (next == 0) return;
        uint64 epoch = next - 1 - uint64(bound(back, 0, next > 5 ? 4 : next - 1));
        vm.prank(DISPUTER);
        try epochs.dispute(epoch) {
            openBonds += BOND;
        } catch {}
        watch();
    }

    function closeOne(uint64 epoch) external {
        epoch = uint64(bound(epoch, 0, epochs.nextEpoch() + 2));
        try epochs.closeDispute(epoch) {
            openBonds -= BOND;
        } catch {}
        watch();
    }

    /// @dev Each leaf promises the whole sum to one of three providers: what is paid must stay within it all the same.
    function claimOne(uint64 epoch) external {
        uint64 next = epochs.nextEpoch();
        if (next == 0) return;
        epoch = uint64(bound(epoch, 0, next - 1));
        try rewards.claim(rewardLeaf(epoch, providerOf(epoch), sums[epoch]), new bytes32[](0)) {} catch {}
        watch();
    }

    function releaseOne(uint64 epoch) external {
        try epochs.release(uint64(bound(epoch, 0, epochs.nextEpoch() + 2))) {} catch {}
        watch();
    }

    function fundMore(uint64 ahead, uint128 amount) external {
        amount = uint128(bound(amount, 1, 1000 ether));
        uint64 epoch = epochs.currentEpoch() + 2 + uint64(bound(ahead, 0, 5));
        give(address(this), address(epochs), amount);
        epochs.fund(epoch, 1, amount);
        funded += amount;
    }

    function reclaimOne(uint64 count) external {
        try epochs.reclaim(uint64(bound(count, 1, 4))) {} catch {}
        uint128 amount = epochs.unallocated();
        if (amount == 0) return;
        uint64 first = epochs.currentEpoch() + 3;
        vm.prank(governor);
        epochs.allocate(first, 1, amount);
    }

    function extend(uint32 time) external {
        vm.prank(guardian);
        try epochs.extendWindows(uint64(bound(time, 1, 3 days)) * 1000) {} catch {}
        watch();
    }

    function pass(uint32 time) external {
        vm.warp(block.timestamp + bound(time, 0, 4 days));
        watch();
    }

    /// @dev Finality is ordered, and what was final once stays as it was.
    function watch() private {
        uint64 next = epochs.nextEpoch();
        while (lastFinal < next && epochs.isFinal(lastFinal)) {
            finalRoots[lastFinal] = keccak256(abi.encode(epochs.epochRecord(lastFinal).root));
            ++lastFinal;
        }
        if (lastFinal > next) finalChanged = true;
        for (uint64 e = lastFinal; e < next; ++e) {
            if (epochs.isFinal(e)) finalChanged = true;
        }
        for (uint64 e = lastFinal > 8 ? lastFinal - 8 : 0; e < lastFinal; ++e) {
            if (!epochs.isFinal(e) || finalRoots[e] != keccak256(abi.encode(epochs.epochRecord(e).root))) {
                finalChanged = true;
            }
        }
    }

    function sumPaid() public view returns (uint256 sum) {
        for (uint64 i; i < 3; ++i) {
            sum += token.balanceOf(providerOf(i));
        }
    }

    function atRewards() public view returns (uint256) {
        return token.balanceOf(address(rewards));
    }

    function allBudgets() public view returns (uint256 sum) {
        for (uint64 e = epochs.nextEpoch(); e < epochs.currentEpoch() + 120; ++e) {
            sum += epochs.budgetOf(e);
        }
    }

    /// @dev What posted epochs left of their budgets and was not reclaimed.
    function finalReward() public view returns (uint128) {
        return lastFinal == 0 ? 0 : epochs.epochRecord(lastFinal - 1).cumulativeReward;
    }
}

contract EpochsInvariantTest is FourHyperNodes {
    EpochsHandler private handler;
    IAssayEpochs private e;

    function setUp() public override {
        handler = new EpochsHandler();
        (address epochs_,,) = handler.contracts();
        e = IAssayEpochs(epochs_);
        bytes4[] memory selectors = new bytes4[](12);
        selectors[0] = EpochsHandler.postNext.selector;
        selectors[1] = EpochsHandler.voidNext.selector;
        selectors[2] = EpochsHandler.correctOne.selector;
        selectors[3] = EpochsHandler.disputeOne.selector;
        selectors[4] = EpochsHandler.closeOne.selector;
        selectors[5] = EpochsHandler.claimOne.selector;
        selectors[6] = EpochsHandler.fundMore.selector;
        selectors[7] = EpochsHandler.reclaimOne.selector;
        selectors[8] = EpochsHandler.extend.selector;
        selectors[9] = EpochsHandler.pass.selector;
        selectors[10] = EpochsHandler.postNext.selector;
        selectors[11] = EpochsHandler.releaseOne.selector;
        target(address(handler), selectors);
    }

    function invariant_conserved() public view {
        (address epochs_, address token_,) = handler.contracts();
        (bool done, bytes memory answer) = token_.staticcall(abi.encodeWithSignature("balanceOf(address)", epochs_));
        vm.assertTrue(done, "balanceOf");
        vm.assertEq(abi.decode(answer, (uint256)), e.totalHeld(), "balance");
        uint256 held = e.totalHeld() + handler.atRewards();
        vm.assertEq(held, handler.funded() + handler.openBonds() - handler.sumPaid(), "nothing lost");
    }

    /// @dev What is promised ahead is covered: budgets to come, what can be allocated, what is earned and not paid.
    function invariant_solvent() public view {
        uint256 promised = handler.allBudgets() + e.unallocated() + e.cumulativeReward() + handler.openBonds();
        vm.assertLe(promised, e.totalHeld() + handler.atRewards() + handler.sumPaid(), "covered");
    }

    function invariant_paidWithinFinal() public view {
        vm.assertLe(handler.sumPaid() + handler.atRewards(), handler.finalReward(), "paid and released");
    }

    function invariant_finalIsFinal() public view {
        vm.assertFalse(handler.finalChanged(), "changed");
    }
}
