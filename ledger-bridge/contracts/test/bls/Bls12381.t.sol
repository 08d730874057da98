// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bls12381} from "../../src/Bls12381.sol";
import {BlsSigner} from "../support/BlsSigner.sol";
import {Test} from "../support/Test.sol";

contract Bls12381Test is Test {
    bytes private constant TAG = "QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    function point(bytes memory x, bytes memory y) private pure returns (bytes memory) {
        return bytes.concat(new bytes(16), x, new bytes(16), y);
    }

    function test_hashToG1_rfc9380_J_9_1() public view {
        vm.assertEq(
            Bls12381.hashToG1("", TAG),
            point(
                hex"052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1",
                hex"08ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265"
            ),
            "empty"
        );
        vm.assertEq(
            Bls12381.hashToG1("abc", TAG),
            point(
                hex"03567bc5ef9c690c2ab2ecdf6a96ef1c139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903",
                hex"0b9c15f3fe6e5cf4211f346271d7b01c8f3b28be689c8429c85b67af215533311f0b8dfaaa154fa6b88176c229f2885d"
            ),
            "abc"
        );
        vm.assertEq(
            Bls12381.hashToG1("abcdef0123456789", TAG),
            point(
                hex"11e0b079dea29a68f0383ee94fed1b940995272407e3bb916bbf268c263ddd57a6a27200a784cbc248e84f357ce82d98",
                hex"03a87ae2caf14e8ee52e51fa2ed8eefe80f02457004ba4d486d6aa1f517c0889501dc7413753f9599b099ebcbbd2d709"
            ),
            "abcdef0123456789"
        );
    }

    function signed(bytes calldata signature, bytes calldata hash, bytes calldata key) external view returns (bool) {
        return Bls12381.holds(Bls12381.check(signature, hash, key));
    }

    function testFuzz_negateG2(uint256 secret) public view {
        secret = bound(secret, 1, type(uint128).max);
        bytes memory key = BlsSigner.keyOf(secret);
        bytes memory both = bytes.concat(key, key);
        Bls12381.negateG2(both, 256);
        bytes memory minus = BlsSigner.minus(key);
        vm.assertEq(both, bytes.concat(key, minus), "in its place");
        vm.assertTrue(keccak256(minus) != keccak256(key), "another point");
        vm.assertEq(Bls12381.addG2(key, minus), new bytes(256), "nothing together");
        vm.assertEq(BlsSigner.minus(minus), key, "twice");
        vm.assertEq(BlsSigner.minus(new bytes(256)), new bytes(256), "infinity");
    }

    /// @dev Both numbers of y are high ‖ low, x is zero.
    function withY(uint256 high, uint256 low) private pure returns (bytes memory) {
        return bytes.concat(new bytes(128), abi.encode(high, low, high, low));
    }

    /// @dev The upper words differ by one more only where the lower one is above the modulus'.
    function test_negateG2_borrow() public pure {
        vm.assertEq(BlsSigner.minus(withY(5, P_LOW - 1)), withY(P_HIGH - 5, 1), "below");
        vm.assertEq(BlsSigner.minus(withY(5, P_LOW)), withY(P_HIGH - 5, 0), "equal");
        vm.assertEq(BlsSigner.minus(withY(5, P_LOW + 1)), withY(P_HIGH - 6, type(uint256).max), "above");
    }

    function added(bytes calldata a, bytes calldata b) external view returns (bytes memory) {
        return Bls12381.addG2(a, b);
    }

    /// @dev With little gas: a precompile that refuses takes what it was given.
    function refusedSum(bytes memory a, bytes memory b) private {
        vm.expectRevert(abi.encodeWithSelector(Bls12381.BadPoint.selector));
        this.added{gas: 1_000_000}(a, b);
    }

    function test_addG2_badPoint() public {
        bytes memory key = BlsSigner.keyOf(1);
        bytes memory offCurve = bytes.concat(key);
        offCurve[255] ^= 0x01;
        refusedSum(offCurve, key);
        refusedSum(key, offCurve);
        refusedSum(key, bytes.concat(abi.encode(P_HIGH, P_LOW), new bytes(192)));
        refusedSum(key, new bytes(255));
        vm.assertEq(this.added(key, new bytes(256)), key, "and infinity");
    }

    function testFuzz_holds(uint256 secret, bytes memory message) public view {
        secret = bound(secret, 1, type(uint128).max);
        bytes memory key = BlsSigner.keyOf(secret);
        bytes memory signature = BlsSigner.sign(secret, message, TAG);
        bytes memory hash = Bls12381.hashToG1(message, TAG);
        vm.assertTrue(this.signed(signature, hash, key), "signed");
        bytes memory other = Bls12381.hashToG1(bytes.concat(message, hex"00"), TAG);
        vm.assertFalse(this.signed(signature, other, key), "another message");
        vm.assertFalse(this.signed(signature, hash, BlsSigner.keyOf(secret + 1)), "another key");
        vm.assertFalse(this.signed(signature, hash, BlsSigner.minus(key)), "minus the key");
    }

    function test_holds_infinity() public view {
        bytes memory hash = Bls12381.hashToG1("", TAG);
        vm.assertFalse(this.signed(new bytes(128), hash, new bytes(256)), "both");
        vm.assertFalse(this.signed(new bytes(128), hash, BlsSigner.keyOf(1)), "signature");
        vm.assertFalse(this.signed(BlsSigner.sign(1, "", TAG), hash, new bytes(256)), "key");
    }
}
