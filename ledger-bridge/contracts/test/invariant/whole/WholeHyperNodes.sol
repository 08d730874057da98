// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayFaults} from "../../../src/AssayFaults.sol";
import {IAssayFaults} from "../../../src/interfaces/IAssayFaults.sol";
import {IAssayStake} from "../../../src/interfaces/IAssayStake.sol";
import {EpochRoot} from "../../../src/interfaces/Types.sol";
import {WholeBuilders} from "./WholeBuilders.sol";

/// @title Stake that comes and goes, and proofs against its owners.
abstract contract WholeHyperNodes is WholeBuilders {
    function bond(uint256 seed) external still {
        seed = mixed(seed);
        uint256 i = HONEST + seed % 3;
        address signer = stake.hyperNodeAt(i).signer;
        uint96 bonded = stake.hyperNodeAt(i).bonded;
        uint256 what = (seed >> 8) % 3;
        uint96 amount = uint96(bound(seed >> 16, 1, 1_000 ether));
        if (what == 0) {
            if (bonded > 5_000 ether) return;
            give(signer, address(stake), amount);
            vm.prank(signer);
            try stake.bond(amount) {
                did("bond");
                _staked += amount;
            } catch {
                vm.prank(signer);
                token.transfer(address(this), amount);
            }
        } else if (what == 1) {
            vm.prank(signer);
            try stake.unbond(amount < bonded ? amount : bonded) {
                did("unbond");
            } catch {}
        } else {
            uint256 before = token.balanceOf(signer);
            vm.prank(signer);
            try stake.withdraw() {
                did("withdraw stake");
                _staked -= token.balanceOf(signer) - before;
            } catch {}
        }
    }

    /// @dev It signed two roots in one round, or one that was replaced; or nobody proves anything this time.
    function convict(uint256 seed) external still {
        seed = mixed(seed);
        if (seed % 4 > 1) return;
        uint256 i = HONEST + (seed >> 8) % 3;
        IAssayStake.HyperNode memory before = stake.hyperNodeAt(i);
        uint256 tree = (seed >> 16) % trees.length;
        bool wrong = seed % 4 == 1;
        while (wrong && tree != 0 && inForce(tree)) --tree;
        EpochRoot memory a = trees[tree].root;
        wrong = wrong && tree != 0;
        uint256 bps = wrong ? 2_000 : 4_000;
        bytes memory data = wrong ? wrongRoot(a, keys[i]) : twoRoots(a, keys[i]);
        uint256 stakeBefore = uint256(before.bonded) + before.unbonding;
        vm.prank(REPORTER);
        (bool done,) = faults.call(data);
        uint256 taken = stakeBefore * bps / 10_000;
        if (!done) {
            // a replaced root counts once, and one that was undone by a correction of an earlier one was not wrong
            bool known = wrong && !epochs.wrongDigest(a.epoch, epochs.hashRoot(a));
            if (!known && !(wrong && provenWrong(a, i))) mistake(Rule.Slash, "a proof was refused");
            return;
        }
        did(wrong ? "convict of a wrong root" : "convict of two roots");
        afterConvict(i, before, taken);
        vm.prank(REPORTER);
        (done,) = faults.call(data);
        if (done) mistake(Rule.Once, "convicted twice");
    }

    function afterConvict(uint256 i, IAssayStake.HyperNode memory before, uint256 taken) private {
        IAssayStake.HyperNode memory h = stake.hyperNodeAt(i);
        uint256 ofBonded = taken < before.bonded ? taken : before.bonded;
        if (h.bonded != before.bonded - ofBonded || h.unbonding != before.unbonding - (taken - ofBonded)) {
            mistake(Rule.Slash, "another amount of stake than was due");
        }
        if (taken > ofBonded) did("slash what is unbonding");
        _staked -= taken;
        _reporterGot += taken / 10;
        _treasuryGot += taken - taken / 10;
    }

    function provenWrong(EpochRoot memory r, uint256 i) private view returns (bool) {
        bytes32 place = keccak256(abi.encode(r.epoch, epochs.hashRoot(r)));
        AssayFaults f = AssayFaults(faults);
        return f.isProven(f.faultId(IAssayFaults.FaultKind.WrongRoot, stake.hyperNodeAt(i).ed25519Key, place));
    }

    function wrongRoot(EpochRoot memory r, uint256 key) private view returns (bytes memory) {
        return abi.encodeCall(IAssayFaults.wrongRoot, (r, signature(key, r)));
    }

    function twoRoots(EpochRoot memory a, uint256 key) private returns (bytes memory) {
        EpochRoot memory b = abi.decode(abi.encode(a), (EpochRoot));
        // a round of its own, so that the fault is new
        a.round = b.round = 1_000 + ++_faults;
        b.root = ~b.root;
        return abi.encodeCall(IAssayFaults.twoRoots, (a, signature(key, a), b, signature(key, b)));
    }

    function signature(uint256 key, EpochRoot memory root) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, epochs.hashRoot(root));
        return abi.encodePacked(r, s, v);
    }
}
