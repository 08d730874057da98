// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ed25519} from "../../src/evidence/Ed25519.sol";
import {EvidenceLibraries} from "../deployed/EvidenceLibraries.sol";
import {Deployed} from "../support/Deployed.sol";
import {Test} from "../support/Test.sol";

contract Ed25519Test is Test {
    EvidenceLibraries private libraries = Deployed.evidenceLibraries();

    /// @dev Columns of test/vectors/ed25519.json (tools/evidence-vectors.mjs). `valid`: what OpenSSL and AWS-LC say of the
    /// signature; `usable`: whether the key is one for this library.
    struct Rows {
        string[] what;
        bytes32[] key;
        bytes[] message;
        bytes32[] r;
        bytes32[] s;
        bool[] valid;
        bool[] usable;
    }

    bytes32 private constant KEY = 0x3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c;
    bytes32 private constant R = 0x92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da;
    bytes32 private constant S = 0x085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00;
    bytes private constant MESSAGE = hex"72";

    function test_verify_isWhatOthersSay() public view {
        Rows memory rows = read();
        for (uint256 i = 0; i < rows.key.length; ++i) {
            (bool good, bytes4 refusal) = answer(rows.key[i], rows.message[i], rows.r[i], rows.s[i]);
            vm.assertEq(good, rows.valid[i] && rows.usable[i], rows.what[i]);
            vm.assertEq(refusal == Ed25519.Ed25519BadKey.selector, !rows.usable[i], rows.what[i]);
        }
        vm.assertEq(rows.key.length, 81, "rows");
    }

    function test_verify_gas() public {
        libraries.verify(KEY, MESSAGE, R, S);
        vm.snapshotGasLastCall("evidence", "Ed25519 of one byte");
    }

    function test_verify_revertsWhen_theKeyIsNoKey() public {
        bytes32 neutral = bytes32(uint256(1) << 248);
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519BadKey.selector, neutral));
        libraries.verify(neutral, MESSAGE, R, S);
    }

    /// @dev s + L is the same scalar: the second form of one signature.
    function test_verify_revertsWhen_theScalarIsNotBelowTheOrder() public {
        bytes32 second = 0xf52db7415978abc61b2c2eb6aeebfca0387b2eaeb4302aeeb00d291612bb0c10;
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519BadScalar.selector, second));
        libraries.verify(KEY, MESSAGE, R, second);
    }

    /// @dev The order itself, little-endian: the least that is refused.
    function test_verify_revertsWhen_theScalarIsTheOrder() public {
        bytes32 order = 0xedd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010;
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519BadScalar.selector, order));
        libraries.verify(KEY, MESSAGE, R, order);
    }

    function test_verify_revertsWhen_theMessageIsAnother() public {
        vm.expectPartialRevert(Ed25519.Ed25519WrongSignature.selector);
        libraries.verify(KEY, hex"73", R, S);
    }

    /// @dev It fails, with or without an answer, or nobody is at its address.
    function test_verify_revertsWhen_thereIsNoModexp() public {
        vm.mockCallRevert(address(5), "", "");
        refusedWithoutModexp();
        vm.mockCallRevert(address(5), "", abi.encode(1));
        refusedWithoutModexp();
        vm.clearMockedCalls();
        vm.mockCall(address(5), "", "");
        refusedWithoutModexp();
    }

    function refusedWithoutModexp() private {
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519NoModexp.selector));
        libraries.verify(KEY, MESSAGE, R, S);
    }

    function testFuzz_verify_revertsWhen_aBitIsFlipped(uint256 pick, uint8 bit) public view {
        Rows memory rows = read();
        uint256 i = bound(pick, 1, 43);
        bytes32 mask = bytes32(uint256(1) << bit);
        vm.assertFalse(accepts(rows.key[i] ^ mask, rows.message[i], rows.r[i], rows.s[i]), "key");
        vm.assertFalse(accepts(rows.key[i], rows.message[i], rows.r[i] ^ mask, rows.s[i]), "r");
        vm.assertFalse(accepts(rows.key[i], rows.message[i], rows.r[i], rows.s[i] ^ mask), "s");
        if (rows.message[i].length == 0) return;
        uint256 place = pick % rows.message[i].length;
        rows.message[i][place] ^= bytes1(uint8(1 << (bit & 7)));
        vm.assertFalse(accepts(rows.key[i], rows.message[i], rows.r[i], rows.s[i]), "message");
    }

    function testFuzz_verify_revertsWhen_theSignatureIsAnyBytes(
        bytes32 key,
        bytes calldata message,
        bytes32 r,
        bytes32 s
    ) public view {
        vm.assertFalse(accepts(key, message, r, s), "any bytes");
        vm.assertFalse(accepts(KEY, message, r, s), "any signature");
    }

    function accepts(bytes32 key, bytes memory message, bytes32 r, bytes32 s) private view returns (bool good) {
        (good,) = answer(key, message, r, s);
    }

    function answer(bytes32 key, bytes memory message, bytes32 r, bytes32 s) private view returns (bool, bytes4) {
        try libraries.verify(key, message, r, s) {
            return (true, 0);
        } catch (bytes memory reason) {
            return (false, bytes4(reason));
        }
    }

    function read() private view returns (Rows memory rows) {
        string memory json = vm.readFile("test/vectors/ed25519.json");
        rows.what = vm.parseJsonStringArray(json, ".what");
        rows.key = vm.parseJsonBytes32Array(json, ".key");
        rows.message = vm.parseJsonBytesArray(json, ".message");
        rows.r = vm.parseJsonBytes32Array(json, ".r");
        rows.s = vm.parseJsonBytes32Array(json, ".s");
        rows.valid = vm.parseJsonBoolArray(json, ".valid");
        rows.usable = vm.parseJsonBoolArray(json, ".usable");
    }
}
