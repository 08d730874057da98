// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bls12381} from "../../src/Bls12381.sol";
import {BlsQuorum} from "../../src/BlsQuorum.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {BlsSigner} from "../support/BlsSigner.sol";
import {Test} from "../support/Test.sol";
import {Deployed} from "../support/Deployed.sol";

contract BlsQuorumTest is Test {
    bytes32 private constant DIGEST = keccak256("what they sign");
    uint256 private constant COUNT = 10;
    BlsQuorum private quorum;
    bytes private committee;

    function setUp() public {
        quorum = Deployed.bls();
        for (uint160 i = 1; i <= COUNT; ++i) {
            enrol(i);
        }
        sealSome(4, 10);
        sealSome(1, 3);
        committee = quorum.encodeCommittee(address(this), members());
    }

    function enrol(uint160 i) private {
        quorum.enrol(address(i), keyOf(i), proof(i, address(i)));
    }

    /// @dev Not small: sums of small ones meet.
    function secretOf(uint256 i) private pure returns (uint256) {
        return uint256(keccak256(abi.encode("secret", i))) >> 132;
    }

    function keyOf(uint256 i) private view returns (bytes memory) {
        return BlsSigner.keyOf(secretOf(i));
    }

    function proof(uint256 i, address member) private view returns (bytes memory) {
        bytes memory message = quorum.possessionMessage(address(this), member, keyOf(i));
        return BlsSigner.sign(secretOf(i), message, BlsSigner.POSSESSION_TAG);
    }

    function sealSome(uint160 first, uint160 last) private {
        address[] memory who = new address[](last - first + 1);
        bytes[] memory keys = new bytes[](who.length);
        for (uint160 i; i < who.length; ++i) {
            who[i] = address(first + i);
            keys[i] = keyOf(first + i);
        }
        quorum.seal(address(this), who, keys);
    }

    function members() private pure returns (IQuorumVerifier.Member[] memory m) {
        m = new IQuorumVerifier.Member[](COUNT);
        for (uint160 i; i < COUNT; ++i) {
            m[i] = IQuorumVerifier.Member(address(i + 1), uint96(1 << i));
        }
    }

    /// @dev Of the members in order of the committee (4 to 10, then 1 to 3).
    function signatures(uint256 who) private view returns (bytes memory) {
        bytes memory sum = new bytes(128);
        for (uint256 i; i < COUNT; ++i) {
            if (who >> i & 1 == 0) continue;
            sum = BlsSigner.add(
                sum, BlsSigner.sign(secretOf(secretAt(i)), bytes.concat(DIGEST), BlsSigner.SIGNATURE_TAG)
            );
        }
        return bytes.concat(bytes32(1023 ^ who), sum);
    }

    function secretAt(uint256 i) private pure returns (uint256) {
        return i < 7 ? i + 4 : i - 6;
    }

    function weightOf(uint256 who) private pure returns (uint256 weight) {
        for (uint256 i; i < COUNT; ++i) {
            if (who >> i & 1 != 0) weight += 1 << (secretAt(i) - 1);
        }
    }

    function refused(bytes memory failure, bytes memory c, bytes memory s) private {
        bytes32 expected = keccak256(c);
        vm.expectRevert(failure);
        quorum.verify(DIGEST, expected, c, s);
    }

    // ---------------------------------------------------------------- verify

    function testFuzz_verify_anySet(uint256 who) public view {
        who = bound(who, 1, 1023);
        (uint256 signed, uint256 total) = quorum.verify(DIGEST, keccak256(committee), committee, signatures(who));
        vm.assertEq(signed, weightOf(who), "signed");
        vm.assertEq(total, 1023, "total");
    }

    function test_verify_anotherCommittee() public {
        bytes memory s = signatures(1023);
        bytes memory failure =
            abi.encodeWithSelector(IQuorumVerifier.WrongCommittee.selector, keccak256("another"), keccak256(committee));
        vm.expectRevert(failure);
        quorum.verify(DIGEST, keccak256("another"), committee, s);
    }

    function test_verify_anotherDigest() public {
        bytes memory s = signatures(1023);
        vm.expectRevert(abi.encodeWithSelector(BlsQuorum.WrongAggregate.selector));
        quorum.verify(keccak256("another"), keccak256(committee), committee, s);
    }

    function test_verify_badCommittee() public {
        bytes memory failure = abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector);
        bytes memory s = signatures(1023);
        refused(failure, "", s);
        refused(failure, new bytes(261 + 25), s);
        refused(failure, new bytes(261 + 25), "");
        refused(failure, new bytes(261 + 26), s);
        refused(failure, bytes.concat(committee, hex"00"), s);
        bytes memory half = new bytes(committee.length - 1);
        for (uint256 i; i < half.length; ++i) {
            half[i] = committee[i];
        }
        refused(failure, half, s);
        bytes memory head = abi.encodePacked(new bytes(256), uint8(3), uint32(2), quorum.pageOf(address(this), 0));
        bytes memory two = hex"00000000010100000001";
        refused(failure, abi.encodePacked(head, uint8(2), two), bytes.concat(bytes32(uint256(4)), new bytes(128)));
        refused(failure, abi.encodePacked(head, uint8(3), two), s);
        refused(failure, abi.encodePacked(head, uint8(0), two), s);
    }

    /// @dev Sums without members: that one signature would stand for any weight.
    function test_verify_noMembers() public {
        bytes memory sums = abi.encodePacked(keyOf(1), uint8(1), uint32(7));
        bytes memory signature = BlsSigner.sign(secretOf(1), bytes.concat(DIGEST), BlsSigner.SIGNATURE_TAG);
        refused(
            abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector), sums, bytes.concat(bytes32(0), signature)
        );
    }

    /// @dev What a page does not hold is no point, and no zero either.
    function test_verify_badPage() public {
        bytes memory head = abi.encodePacked(new bytes(256), uint8(1), uint32(1), address(this), uint8(1));
        bytes memory c = bytes.concat(head, hex"0000000001");
        refused(
            abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector),
            c,
            bytes.concat(bytes32(uint256(1)), new bytes(128))
        );
    }

    function test_verify_badSignatures() public {
        bytes memory failure = abi.encodeWithSelector(IQuorumVerifier.BadSignatures.selector);
        bytes memory s = signatures(1023);
        refused(failure, committee, bytes.concat(s, hex"00"));
        refused(failure, committee, bytes.concat(hex"ff", s));
        refused(failure, committee, "");
        s[30] = 0x04;
        refused(failure, committee, s);
    }

    function testFuzz_verify_otherBits(uint256 who, uint256 claimed) public {
        who = bound(who, 1, 1023);
        claimed = bound(claimed, 0, 1023);
        if (who == claimed) claimed ^= 1;
        bytes memory s = signatures(who);
        claimed ^= 1023;
        (s[31], s[30]) = (bytes1(uint8(claimed)), bytes1(uint8(claimed >> 8)));
        refused(abi.encodeWithSelector(BlsQuorum.WrongAggregate.selector), committee, s);
    }

    function testFuzz_verify_flipped(uint256 place, uint8 flip) public {
        bytes memory s = signatures(1023);
        place = bound(place, 32, s.length - 1);
        if (flip == 0) flip = 1;
        s[place] ^= bytes1(flip);
        refused(abi.encodeWithSelector(BlsQuorum.WrongAggregate.selector), committee, s);
    }

    function test_verify_nobody() public {
        refused(
            abi.encodeWithSelector(BlsQuorum.WrongAggregate.selector),
            committee,
            bytes.concat(bytes32(uint256(1023)), new bytes(128))
        );
    }

    /// @dev Without proofs of possession this would be a signature of all: a key chosen to cancel the others'.
    function test_enrol_rogueKey() public {
        bytes memory others = keyOf(1);
        for (uint256 i = 2; i <= COUNT; ++i) {
            others = Bls12381.addG2(others, keyOf(i));
        }
        bytes memory rogue = Bls12381.addG2(keyOf(99), BlsSigner.minus(others));
        bytes memory message = quorum.possessionMessage(address(this), address(99), rogue);
        bytes memory p = BlsSigner.sign(secretOf(99), message, BlsSigner.POSSESSION_TAG);
        vm.expectRevert(abi.encodeWithSelector(BlsQuorum.BadPossession.selector));
        quorum.enrol(address(99), rogue, p);
    }

    // ----------------------------------------------------------------- keys

    function refusedProof(bytes memory key, bytes memory p) private {
        vm.expectRevert(abi.encodeWithSelector(BlsQuorum.BadPossession.selector));
        quorum.enrol(address(11), key, p);
    }

    function test_enrol_badPossession() public {
        bytes memory key = keyOf(11);
        refusedProof(key, proof(11, address(12)));
        refusedProof(key, proof(12, address(11)));
        bytes memory message = quorum.possessionMessage(address(this), address(11), key);
        refusedProof(key, BlsSigner.sign(secretOf(11), message, BlsSigner.SIGNATURE_TAG));
        message = quorum.possessionMessage(address(quorum), address(11), key);
        refusedProof(key, BlsSigner.sign(secretOf(11), message, BlsSigner.POSSESSION_TAG));
        message = Deployed.bls().possessionMessage(address(this), address(11), key);
        refusedProof(key, BlsSigner.sign(secretOf(11), message, BlsSigner.POSSESSION_TAG));
        bytes memory p = proof(11, address(11));
        vm.chainId(5);
        refusedProof(key, p);
        vm.chainId(31_337);
        quorum.enrol(address(11), key, p);
        vm.assertFalse(quorum.isReady(address(this), address(11)), "not before it is sealed");
    }

    function test_enrol_badPoints() public {
        bytes memory key = keyOf(11);
        bytes memory p = proof(11, address(11));
        refusedProof(new bytes(256), new bytes(128));
        refusedProof(new bytes(256), p);
        refusedProof(key, new bytes(128));
        key[255] ^= 0x01;
        refusedProof(key, p);
        key[255] ^= 0x01;
        p[127] ^= 0x01;
        refusedProof(key, p);
        p[127] ^= 0x01;
        key[0] = 0x01;
        refusedProof(key, p);
    }

    function test_enrol_lengths() public {
        bytes memory key = keyOf(11);
        bytes memory p = proof(11, address(11));
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.WrongKeyLength.selector, 256, 0));
        quorum.enrol(address(11), "", p);
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.WrongKeyLength.selector, 256, 257));
        quorum.enrol(address(11), bytes.concat(key, hex"00"), p);
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.WrongProofLength.selector, 128, 127));
        quorum.enrol(address(11), key, new bytes(127));
    }

    function test_enrol_twice() public {
        bytes memory failure = abi.encodeWithSelector(BlsQuorum.AlreadyEnrolled.selector, address(1));
        bytes memory key = keyOf(1);
        bytes memory p = proof(1, address(1));
        vm.expectRevert(failure);
        quorum.enrol(address(1), key, p);
        enrol(11);
        key = keyOf(11);
        p = proof(11, address(11));
        vm.expectRevert(abi.encodeWithSelector(BlsQuorum.AlreadyEnrolled.selector, address(11)));
        quorum.enrol(address(11), key, p);
    }

    function test_seal() public view {
        vm.assertEq(quorum.scheme(), "bls12-381-min-sig", "scheme");
        vm.assertTrue(quorum.isReady(address(this), address(1)), "ready");
        vm.assertFalse(quorum.isReady(address(quorum), address(1)), "of this book only");
        vm.assertEq(quorum.pageOf(address(this), 0).code.length, 1 + 7 * 256, "page");
        vm.assertEq(quorum.pageOf(address(this), 1).code.length, 1 + 3 * 256, "page");
        vm.assertEq(quorum.pageOf(address(this), 1).code, bytes.concat(hex"00", keyOf(1), keyOf(2), keyOf(3)), "keys");
    }

    function test_seal_aFullPage() public {
        uint160 last = 10 + 95;
        for (uint160 i = 11; i <= last; ++i) {
            enrol(i);
        }
        sealSome(11, last);
        bytes memory code = quorum.pageOf(address(this), 2).code;
        vm.assertEq(code.length, 1 + 95 * 256, "page");
        IQuorumVerifier.Member[] memory m = new IQuorumVerifier.Member[](1);
        m[0] = IQuorumVerifier.Member(address(last), 7);
        committee = quorum.encodeCommittee(address(this), m);
        bytes memory signature = BlsSigner.sign(secretOf(last), bytes.concat(DIGEST), BlsSigner.SIGNATURE_TAG);
        (uint256 signed,) = quorum.verify(DIGEST, keccak256(committee), committee, bytes.concat(bytes32(0), signature));
        vm.assertEq(signed, 7, "the last of the page");
    }

    function test_seal_refused() public {
        enrol(11);
        address[] memory who = new address[](1);
        bytes[] memory keys = new bytes[](1);
        (who[0], keys[0]) = (address(11), keyOf(12));
        vm.expectRevert(abi.encodeWithSelector(BlsQuorum.WrongKey.selector, address(11)));
        quorum.seal(address(this), who, keys);
        keys[0] = keyOf(11);
        vm.expectRevert(abi.encodeWithSelector(BlsQuorum.WrongKey.selector, address(11)));
        quorum.seal(address(quorum), who, keys);
        quorum.seal(address(this), who, keys);
        vm.expectRevert(abi.encodeWithSelector(BlsQuorum.WrongKey.selector, address(11)));
        quorum.seal(address(this), who, keys);
        vm.expectRevert(abi.encodeWithSelector(BlsQuorum.BadPage.selector, 95, 0, 0));
        quorum.seal(address(this), new address[](0), new bytes[](0));
        vm.expectRevert(abi.encodeWithSelector(BlsQuorum.BadPage.selector, 95, 1, 2));
        quorum.seal(address(this), who, new bytes[](2));
        vm.expectRevert(abi.encodeWithSelector(BlsQuorum.BadPage.selector, 95, 96, 96));
        quorum.seal(address(this), new address[](96), new bytes[](96));
    }

    // ------------------------------------------------------------ committee

    function test_encodeCommittee() public view {
        uint256 sum;
        for (uint256 i = 1; i <= COUNT; ++i) {
            sum += secretOf(i);
        }
        bytes memory expected = BlsSigner.keyOf(sum);
        expected = abi.encodePacked(expected, uint8(10), uint32(1023), quorum.pageOf(address(this), 0), uint8(7));
        for (uint256 i; i < 7; ++i) {
            expected = abi.encodePacked(expected, uint8(i), uint32(1 << (i + 3)));
        }
        expected = abi.encodePacked(expected, quorum.pageOf(address(this), 1), uint8(3));
        for (uint256 i; i < 3; ++i) {
            expected = abi.encodePacked(expected, uint8(i), uint32(1 << i));
        }
        vm.assertEq(committee, expected, "encoding");
    }

    function test_encodeCommittee_shifted() public view {
        IQuorumVerifier.Member[] memory m = new IQuorumVerifier.Member[](2);
        m[0] = IQuorumVerifier.Member(address(1), 1 << 90);
        m[1] = IQuorumVerifier.Member(address(2), 3 << 90);
        bytes memory c = quorum.encodeCommittee(address(this), m);
        bytes memory entries = abi.encodePacked(uint8(0), uint32(1 << 29), uint8(1), uint32(3 << 29));
        bytes memory head = abi.encodePacked(BlsSigner.keyOf(secretOf(1) + secretOf(2)), uint8(2), uint32(1 << 31));
        head = abi.encodePacked(head, quorum.pageOf(address(this), 1), uint8(2));
        vm.assertEq(c, bytes.concat(head, entries), "shifted by 61: together below 2^32");
    }

    /// @dev However much another has, who has weight keeps some.
    function test_encodeCommittee_tiny() public view {
        IQuorumVerifier.Member[] memory m = new IQuorumVerifier.Member[](2);
        m[0] = IQuorumVerifier.Member(address(1), type(uint96).max);
        m[1] = IQuorumVerifier.Member(address(2), 1);
        bytes memory c = quorum.encodeCommittee(address(this), m);
        bytes memory entries = abi.encodePacked(uint8(0), type(uint32).max >> 1, uint8(1), uint32(1));
        bytes memory head = abi.encodePacked(BlsSigner.keyOf(secretOf(1) + secretOf(2)), uint8(2), uint32(1 << 31));
        head = abi.encodePacked(head, quorum.pageOf(address(this), 1), uint8(2));
        vm.assertEq(c, bytes.concat(head, entries), "one at least");
    }

    function refusedMembers(IQuorumVerifier.Member[] memory m) private {
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector));
        quorum.encodeCommittee(address(this), m);
    }

    function test_encodeCommittee_refused() public {
        refusedMembers(new IQuorumVerifier.Member[](0));
        IQuorumVerifier.Member[] memory m = members();
        m[9].signer = address(11);
        refusedMembers(m);
        m = members();
        m[1].signer = address(1);
        refusedMembers(m);
        m = members();
        m[1].weight = 0;
        refusedMembers(m);
    }
}
