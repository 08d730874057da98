// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ed25519} from "../../src/evidence/Ed25519.sol";
import {Rfc9162} from "../../src/evidence/Rfc9162.sol";
import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {Countersigned} from "../../src/interfaces/SignedTypes.sol";
import {FaultsTest} from "./FaultsTest.sol";

/// @dev A region of eleven blocks; of the wrong receipt's, block 5 is not what the key makes.
contract FaultsRegionTest is FaultsTest {
    uint64 private constant BLOCKS = 11;
    uint64 private constant ALTERED = 5;
    /// @dev Most gas of a transaction (EIP-7825).
    uint256 private constant TRANSACTION_GAS_MAX = 16_777_216;

    bytes32 private key;

    function setUp() public override {
        super.setUp();
        key = word(file("region"), "", "key");
    }

    function prove(string memory name, string memory region, uint64 index) private {
        (Countersigned memory c, bytes memory signature) = receipt(name);
        (bytes32 block_, bytes32[] memory path) = regionLeaf(region, index);
        faults.wrongRegionKey(c, signature, key, index, block_, path);
    }

    function refuse(string memory name, string memory region, uint64 index, bytes memory reason) private {
        (Countersigned memory c, bytes memory signature) = receipt(name);
        (bytes32 block_, bytes32[] memory path) = regionLeaf(region, index);
        vm.expectRevert(reason);
        faults.wrongRegionKey(c, signature, key, index, block_, path);
    }

    function place(uint64 generation) private view returns (bytes32) {
        return keccak256(abi.encode(word(file("receipts"), ".wrong", "node"), uint32(2), generation));
    }

    function test_wrongRegionKey_slashes() public {
        (Countersigned memory c, bytes memory signature) = receipt("wrong");
        (bytes32 block_, bytes32[] memory path) = regionLeaf("wrong", ALTERED);
        bytes32 fault = expectProven(IAssayFaults.FaultKind.WrongRegionKey, place(3), STAKE / 4);
        faults.wrongRegionKey(c, signature, key, ALTERED, block_, path);
        uint256 gas = vm.snapshotGasLastCall("AssayFaults", "wrongRegionKey");
        vm.assertLt(gas, TRANSACTION_GAS_MAX / 4, "gas");
        assertSlashed(fault, 2_500);
    }

    function test_wrongRegionKey_revertsWhen_itIsOfAnotherNetwork() public {
        bytes32 other = word(file("receipts"), ".otherNetwork", "networkId");
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.WrongNetwork.selector, epochs.networkId(), other);
        refuse("otherNetwork", "wrong", ALTERED, reason);
    }

    function test_wrongRegionKey_revertsWhen_nobodyRegisteredTheKey() public {
        (Countersigned memory c, bytes memory signature) = receipt("wrong");
        (bytes32 block_, bytes32[] memory path) = regionLeaf("wrong", ALTERED);
        c.receipt.hyperNode = otherHyperNode;
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.UnknownHyperNode.selector, c.receipt.hyperNode));
        faults.wrongRegionKey(c, signature, key, ALTERED, block_, path);
    }

    function test_wrongRegionKey_revertsWhen_theKeyIsNotTheReceipts() public {
        bytes32 named = word(file("receipts"), ".wrong", "keyHash");
        key = ~key;
        bytes32 actual = sha256(bytes.concat("assay/region-key/1", key));
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.WrongKeyHash.selector, named, actual);
        refuse("wrong", "wrong", ALTERED, reason);
    }

    function test_wrongRegionKey_revertsWhen_theIndexIsOutside() public {
        (Countersigned memory c, bytes memory signature) = receipt("wrong");
        vm.expectRevert(abi.encodeWithSelector(Rfc9162.IndexOutOfRange.selector, BLOCKS, BLOCKS));
        faults.wrongRegionKey(c, signature, key, BLOCKS, 0, new bytes32[](4));
    }

    function test_wrongRegionKey_revertsWhen_thePathLeadsElsewhere() public {
        (Countersigned memory c, bytes memory signature) = receipt("right");
        (bytes32 block_, bytes32[] memory path) = regionLeaf("wrong", ALTERED);
        reject(Rfc9162.WrongRoot.selector);
        faults.wrongRegionKey(c, signature, key, ALTERED, block_, path);
    }

    function test_wrongRegionKey_revertsWhen_aSignatureHasAnotherLength() public {
        (Countersigned memory c, bytes memory signature) = receipt("wrong");
        (bytes32 block_, bytes32[] memory path) = regionLeaf("wrong", ALTERED);
        bytes memory long = bytes.concat(signature, hex"00");
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519WrongLength.selector, 64, 65));
        faults.wrongRegionKey(c, long, key, ALTERED, block_, path);
        c.nodeSignature = "";
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519WrongLength.selector, 64, 0));
        faults.wrongRegionKey(c, signature, key, ALTERED, block_, path);
    }

    function test_wrongRegionKey_revertsWhen_theKeyMakesTheBlock() public {
        for (uint64 i = 0; i < BLOCKS; ++i) {
            bytes4 selector = IAssayFaults.RightRegionKey.selector;
            (bytes32 right,) = regionLeaf("right", i);
            bytes memory reason = abi.encodeWithSelector(selector, i, right);
            refuse("right", "right", i, reason);
            if (i != ALTERED) refuse("wrong", "wrong", i, reason);
        }
        assertNobodySlashed();
    }

    function testFuzz_wrongRegionKey_revertsWhen_aBitIsFlipped(uint256 pick) public {
        (Countersigned memory c, bytes memory signature) = receipt("wrong");
        (bytes32 block_, bytes32[] memory path) = regionLeaf("wrong", ALTERED);
        signature = flipped(c, signature, pick);
        vm.expectRevert();
        faults.wrongRegionKey(c, signature, key, ALTERED, block_, path);
        assertNobodySlashed();
    }

    /// @dev One bit of the receipt, changed in place, or of the signature.
    function flipped(Countersigned memory c, bytes memory signature, uint256 pick) private pure returns (bytes memory) {
        bytes32 mask = bytes32(1 << ((pick >> 8) & 255));
        uint64 small = uint64(1 << ((pick >> 8) & 63));
        uint256 field = pick % 15;
        if (field == 0) c.receipt.networkId ^= mask;
        else if (field == 1) c.receipt.node ^= mask;
        else if (field == 2) c.receipt.hyperNode ^= mask;
        else if (field == 3) c.receipt.region ^= uint32(1 << ((pick >> 8) & 31));
        else if (field == 4) c.receipt.generation ^= small;
        else if (field == 5) c.receipt.keyHash ^= mask;
        else if (field == 6) c.receipt.blocks ^= uint32(1 << ((pick >> 8) & 31));
        else if (field == 7) c.receipt.root ^= mask;
        else if (field == 8) c.receipt.sequence ^= small;
        else if (field == 9) c.receipt.previous ^= mask;
        else if (field == 10) c.receipt.atUnixMs ^= small;
        else if (field == 11) c.sessionKey ^= mask;
        else if (field == 12) c.nodeSignature[(pick >> 16) & 63] ^= bytes1(uint8(1 << ((pick >> 8) & 7)));
        else if (field == 13) c.atUnixMs ^= small;
        else signature[(pick >> 16) & 63] ^= bytes1(uint8(1 << ((pick >> 8) & 7)));
        return signature;
    }

    function test_wrongRegionKey_revertsWhen_itWasProven() public {
        prove("wrong", "wrong", ALTERED);
        bytes32 fault = faults.faultId(IAssayFaults.FaultKind.WrongRegionKey, hyperNode, place(3));
        bytes memory reason = abi.encodeWithSelector(IAssayFaults.AlreadyProven.selector, fault);
        refuse("wrong", "wrong", ALTERED, reason);
        refuse("wrongAgain", "wrong", ALTERED, reason);
        vm.assertEq(stake.slashCount(), 1, "slashes");
    }

    function test_wrongRegionKey_countsEachGeneration() public {
        prove("wrong", "wrong", ALTERED);
        prove("wrongNextGeneration", "wrong", ALTERED);
        vm.assertEq(stake.slashCount(), 2, "slashes");
    }

    /// @dev Of an honest receipt no key, block, leaf or path convicts.
    function testFuzz_wrongRegionKey_neverConvictsTheHonest(uint64 index, uint64 of_, bytes32 other, bool otherKey)
        public
    {
        index = uint64(bound(index, 0, BLOCKS - 1));
        (Countersigned memory c, bytes memory signature) = receipt("right");
        (bytes32 block_, bytes32[] memory path) = regionLeaf("right", uint64(bound(of_, 0, BLOCKS - 1)));
        vm.expectRevert();
        faults.wrongRegionKey(c, signature, otherKey ? other : key, index, block_, path);
        assertNobodySlashed();
    }
}
