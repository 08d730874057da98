// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {EpochRoot} from "../../src/interfaces/Types.sol";
import {EpochsDouble} from "./Doubles.sol";
import {FaultsTest} from "./FaultsTest.sol";

contract FaultsRootsTest is FaultsTest {
    uint256 private constant STRANGER = 0xbad;
    /// @dev Order of secp256k1.
    uint256 private constant N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function root(bytes32 tree) private view returns (EpochRoot memory r) {
        r.networkId = epochs.networkId();
        r.epoch = 7;
        r.round = 1;
        r.inputSet = keccak256("input set");
        r.committee = keccak256("committee");
        r.root = tree;
        r.leafCount = 3;
    }

    function signed(EpochRoot memory r, uint256 key) private view returns (bytes memory) {
        return signature(epochs.hashRoot(r), key);
    }

    function signature(bytes32 digest, uint256 key) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function prove(EpochRoot memory a, EpochRoot memory b) private {
        prove(a, LEDGER_KEY, b, LEDGER_KEY);
    }

    function prove(EpochRoot memory a, uint256 keyA, EpochRoot memory b, uint256 keyB) private {
        faults.twoRoots(a, signed(a, keyA), b, signed(b, keyB));
    }

    /// @dev Signs first, so that an expected revert is the next call's.
    function refuse(EpochRoot memory a, EpochRoot memory b, bytes memory reason) private {
        bytes memory signatureA = signed(a, LEDGER_KEY);
        bytes memory signatureB = signed(b, LEDGER_KEY);
        vm.expectRevert(reason);
        faults.twoRoots(a, signatureA, b, signatureB);
    }

    function place(uint64 epoch, uint32 round) private pure returns (bytes32) {
        return keccak256(abi.encode(epoch, round));
    }

    // ---- twoRoots

    function test_twoRoots_slashes() public {
        EpochRoot memory a = root("a");
        EpochRoot memory b = root("b");
        (bytes memory signatureA, bytes memory signatureB) = (signed(a, LEDGER_KEY), signed(b, LEDGER_KEY));
        bytes32 fault = expectProven(IAssayFaults.FaultKind.TwoRoots, place(7, 1), STAKE);
        faults.twoRoots(a, signatureA, b, signatureB);
        vm.snapshotGasLastCall("AssayFaults", "twoRoots");
        assertSlashed(fault, 10_000);
    }

    function test_twoRoots_revertsWhen_epochsAreDifferent() public {
        EpochRoot memory b = root("b");
        b.epoch = 8;
        refuse(root("a"), b, abi.encodeWithSelector(IAssayFaults.DifferentEpochs.selector, 7, 8));
    }

    function test_twoRoots_revertsWhen_roundsAreDifferent() public {
        EpochRoot memory b = root("b");
        b.round = 2;
        refuse(root("a"), b, abi.encodeWithSelector(IAssayFaults.DifferentRounds.selector, 1, 2));
    }

    /// @dev An honest member of the next committee signs the correction of a root that it had signed for the last.
    function test_twoRoots_revertsWhen_committeesAreDifferent() public {
        EpochRoot memory b = root("b");
        b.committee = keccak256("next committee");
        bytes4 selector = IAssayFaults.DifferentCommittees.selector;
        refuse(root("a"), b, abi.encodeWithSelector(selector, root("a").committee, b.committee));
    }

    function test_twoRoots_revertsWhen_eitherIsOfAnotherNetwork() public {
        EpochRoot memory a = root("a");
        EpochRoot memory other = root("b");
        other.networkId = keccak256("other");
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.WrongNetwork.selector, a.networkId, other.networkId);
        refuse(a, other, reason);
        refuse(other, a, reason);
    }

    function test_twoRoots_revertsWhen_theyAreOne() public {
        EpochRoot memory a = root("a");
        refuse(a, a, abi.encodeWithSelector(IAssayFaults.NoConflict.selector, epochs.hashRoot(a)));
    }

    function test_twoRoots_revertsWhen_signersAreDifferent() public {
        (EpochRoot memory a, EpochRoot memory b) = (root("a"), root("b"));
        (bytes memory signatureA, bytes memory signatureB) = (signed(a, LEDGER_KEY), signed(b, STRANGER));
        (address one, address other) = (vm.addr(LEDGER_KEY), vm.addr(STRANGER));
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.DifferentSigners.selector, one, other));
        faults.twoRoots(a, signatureA, b, signatureB);
    }

    /// @dev The digest holds contract and chain, so that another deployment's signature is another signer's here.
    function test_twoRoots_revertsWhen_aSignatureIsOfAnotherDeployment() public {
        (EpochRoot memory a, EpochRoot memory b) = (root("a"), root("b"));
        EpochsDouble other = new EpochsDouble(a.networkId);
        bytes memory signatureA = signed(a, LEDGER_KEY);
        bytes memory signatureB = signature(other.hashRoot(b), LEDGER_KEY);
        reject(IAssayFaults.DifferentSigners.selector);
        faults.twoRoots(a, signatureA, b, signatureB);
        signatureA = signature(other.hashRoot(a), LEDGER_KEY);
        vm.expectRevert();
        faults.twoRoots(a, signatureA, b, signatureB);
        assertNobodySlashed();
    }

    function test_twoRoots_revertsWhen_aSignatureIsMalleated() public {
        (EpochRoot memory a, EpochRoot memory b) = (root("a"), root("b"));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(LEDGER_KEY, epochs.hashRoot(b));
        bytes memory second = abi.encodePacked(r, bytes32(N - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        bytes memory signatureA = signed(a, LEDGER_KEY);
        reject(ECDSA.ECDSAInvalidSignatureS.selector);
        faults.twoRoots(a, signatureA, b, second);
    }

    function test_twoRoots_revertsWhen_nobodyRegisteredTheSigner() public {
        (EpochRoot memory a, EpochRoot memory b) = (root("a"), root("b"));
        (bytes memory signatureA, bytes memory signatureB) = (signed(a, STRANGER), signed(b, STRANGER));
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.UnknownSigner.selector, vm.addr(STRANGER)));
        faults.twoRoots(a, signatureA, b, signatureB);
    }

    function test_twoRoots_revertsWhen_itWasProven() public {
        (EpochRoot memory a, EpochRoot memory b, EpochRoot memory c) = (root("a"), root("b"), root("c"));
        prove(a, b);
        bytes32 fault = faults.faultId(IAssayFaults.FaultKind.TwoRoots, hyperNode, place(7, 1));
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.AlreadyProven.selector, fault);
        refuse(a, b, reason);
        refuse(b, a, reason);
        refuse(b, c, reason);
        vm.assertEq(stake.slashCount(), 1, "slashes");
    }

    function test_twoRoots_countsEachRound() public {
        (EpochRoot memory a, EpochRoot memory b) = (root("a"), root("b"));
        prove(a, b);
        (a.round, b.round) = (2, 2);
        prove(a, b);
        (a.epoch, b.epoch) = (8, 8);
        prove(a, b);
        vm.assertEq(stake.slashCount(), 3, "slashes");
    }

    /// @dev Whoever signs one root for each epoch, round and committee cannot be convicted by any two of them.
    function testFuzz_twoRoots_neverConvictsTheHonest(uint64[2] calldata epoch, uint32[2] calldata round, bytes32 tree)
        public
    {
        (EpochRoot memory a, EpochRoot memory b) = (root(tree), root(tree));
        (a.epoch, a.round) = (epoch[0], round[0]);
        (b.epoch, b.round) = (epoch[1], round[1]);
        if (a.epoch != b.epoch || a.round != b.round) b.root = ~tree;
        (bytes memory signatureA, bytes memory signatureB) = (signed(a, LEDGER_KEY), signed(b, LEDGER_KEY));
        vm.expectRevert();
        faults.twoRoots(a, signatureA, b, signatureB);
        assertNobodySlashed();
    }

    // ---- wrongRoot

    function test_wrongRoot_slashes() public {
        EpochRoot memory r = root("wrong");
        epochs.replace(r);
        bytes memory by = signed(r, LEDGER_KEY);
        bytes32 where = keccak256(abi.encode(r.epoch, epochs.hashRoot(r)));
        bytes32 fault = expectProven(IAssayFaults.FaultKind.WrongRoot, where, STAKE * 9 / 10);
        faults.wrongRoot(r, by);
        vm.snapshotGasLastCall("AssayFaults", "wrongRoot");
        assertSlashed(fault, 9_000);
    }

    function test_wrongRoot_revertsWhen_itWasNotReplaced() public {
        EpochRoot memory r = root("right");
        epochs.replace(root("wrong"));
        bytes memory by = signed(r, LEDGER_KEY);
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.NotReplaced.selector, 7, epochs.hashRoot(r));
        vm.expectRevert(reason);
        faults.wrongRoot(r, by);
    }

    function test_wrongRoot_revertsWhen_itIsOfAnotherNetwork() public {
        EpochRoot memory r = root("wrong");
        r.networkId = keccak256("other");
        epochs.replace(r);
        bytes memory by = signed(r, LEDGER_KEY);
        rejectPair(IAssayFaults.WrongNetwork.selector, epochs.networkId(), r.networkId);
        faults.wrongRoot(r, by);
    }

    function test_wrongRoot_revertsWhen_nobodyRegisteredTheSigner() public {
        EpochRoot memory r = root("wrong");
        epochs.replace(r);
        bytes memory by = signed(r, STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.UnknownSigner.selector, vm.addr(STRANGER)));
        faults.wrongRoot(r, by);
    }

    function test_wrongRoot_revertsWhen_itWasProven() public {
        EpochRoot memory r = root("wrong");
        epochs.replace(r);
        bytes memory by = signed(r, LEDGER_KEY);
        faults.wrongRoot(r, by);
        reject(IAssayFaults.AlreadyProven.selector);
        faults.wrongRoot(r, by);
        vm.assertEq(stake.slashCount(), 1, "slashes");
    }

    /// @dev A stake that is gone changes nothing: the fault counts, and takes nothing.
    function test_wrongRoot_countsWhen_nothingIsLeft() public {
        EpochRoot memory r = root("wrong");
        epochs.replace(r);
        prove(root("a"), root("b"));
        bytes memory by = signed(r, LEDGER_KEY);
        bytes32 where = keccak256(abi.encode(r.epoch, epochs.hashRoot(r)));
        bytes32 fault = expectProven(IAssayFaults.FaultKind.WrongRoot, where, 0);
        faults.wrongRoot(r, by);
        vm.assertTrue(faults.isProven(fault), "proven");
    }
}
