// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EcdsaQuorum} from "../src/EcdsaQuorum.sol";
import {IQuorumVerifier} from "../src/interfaces/IQuorumVerifier.sol";
import {Network} from "./support/Network.sol";
import {Deployed} from "./support/Deployed.sol";

contract EcdsaQuorumTest is Network {
    bytes32 private constant DIGEST = keccak256("what they sign");
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    EcdsaQuorum private quorum;

    function setUp() public {
        quorum = Deployed.ecdsa();
        keys = sortedKeys(11);
    }

    function members() private view returns (IQuorumVerifier.Member[] memory m) {
        m = new IQuorumVerifier.Member[](keys.length);
        for (uint256 i; i < m.length; ++i) {
            m[i] = IQuorumVerifier.Member(vm.addr(keys[i]), uint96(1 << i));
        }
    }

    function committee() private view returns (bytes memory) {
        return quorum.encodeCommittee(address(this), members());
    }

    function refused(bytes memory failure, bytes memory c, bytes memory signatures) private {
        bytes32 expected = keccak256(c);
        vm.expectRevert(failure);
        quorum.verify(DIGEST, expected, c, signatures);
    }

    function test_verify_all() public view {
        (uint256 signed, uint256 total) =
            quorum.verify(DIGEST, keccak256(committee()), committee(), signaturesOf(DIGEST, 2047));
        vm.assertEq(signed, 2047, "signed");
        vm.assertEq(total, 2047, "total");
    }

    function testFuzz_verify_anySet(uint256 who) public view {
        who = bound(who, 0, 2047);
        (uint256 signed, uint256 total) =
            quorum.verify(DIGEST, keccak256(committee()), committee(), signaturesOf(DIGEST, who));
        vm.assertEq(signed, who, "signed");
        vm.assertEq(total, 2047, "total");
    }

    function test_verify_anotherCommittee() public {
        bytes memory c = committee();
        bytes memory signatures = signaturesOf(DIGEST, 2047);
        vm.expectRevert(
            abi.encodeWithSelector(IQuorumVerifier.WrongCommittee.selector, keccak256("another"), keccak256(c))
        );
        quorum.verify(DIGEST, keccak256("another"), c, signatures);
    }

    function test_verify_unordered() public {
        bytes memory member = bytes.concat(bytes20(vm.addr(keys[0])), bytes4(uint32(1)));
        bytes memory twice = bytes.concat(member, member);
        refused(abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector), twice, hex"00");
        bytes memory heavier = bytes.concat(member, bytes20(vm.addr(keys[0])), bytes4(uint32(2)));
        refused(abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector), heavier, hex"00");
        bytes memory nobody = bytes.concat(bytes20(0), bytes4(uint32(1)));
        refused(abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector), nobody, hex"00");
    }

    function test_verify_weightless() public {
        bytes memory member = bytes.concat(bytes20(vm.addr(keys[0])), bytes4(0));
        refused(abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector), member, hex"00");
    }

    function test_verify_badLengths() public {
        bytes memory failure = abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector);
        refused(failure, "", "");
        refused(failure, bytes.concat(committee(), hex"01"), hex"0000");
        refused(failure, crowd(257), new bytes(33));
        quorum.verify(DIGEST, keccak256(crowd(256)), crowd(256), new bytes(32));
    }

    function crowd(uint160 count) private pure returns (bytes memory c) {
        for (uint160 i = 1; i <= count; ++i) {
            c = bytes.concat(c, bytes20(i), bytes4(uint32(1)));
        }
    }

    function test_verify_noBitmap() public {
        refused(abi.encodeWithSelector(IQuorumVerifier.BadSignatures.selector), committee(), hex"00");
    }

    function test_verify_strayBit() public {
        refused(abi.encodeWithSelector(IQuorumVerifier.BadSignatures.selector), committee(), hex"0008");
    }

    function test_verify_cut() public {
        bytes memory failure = abi.encodeWithSelector(IQuorumVerifier.BadSignatures.selector);
        refused(failure, committee(), hex"0100");
        bytes memory all = signaturesOf(DIGEST, 2047);
        bytes memory cut = new bytes(all.length - 1);
        for (uint256 i; i < cut.length; ++i) {
            cut[i] = all[i];
        }
        refused(failure, committee(), cut);
    }

    function test_verify_trailing() public {
        bytes memory failure = abi.encodeWithSelector(IQuorumVerifier.BadSignatures.selector);
        refused(failure, committee(), bytes.concat(signaturesOf(DIGEST, 5), hex"00"));
        refused(failure, committee(), bytes.concat(signaturesOf(DIGEST, 5), new bytes(64)));
    }

    function test_verify_anotherSigner() public {
        bytes memory signatures = bytes.concat(hex"0500", compact(keys[0], DIGEST), compact(keys[1], DIGEST));
        refused(abi.encodeWithSelector(IQuorumVerifier.WrongSigner.selector, 2), committee(), signatures);
        bytes memory twice = bytes.concat(hex"0300", compact(keys[0], DIGEST), compact(keys[0], DIGEST));
        refused(abi.encodeWithSelector(IQuorumVerifier.WrongSigner.selector, 1), committee(), twice);
    }

    function testFuzz_verify_flipped(uint256 place, uint8 flip) public {
        bytes memory signatures = signaturesOf(DIGEST, 1365);
        place = bound(place, 0, signatures.length - 1);
        if (flip == 0) flip = 1;
        signatures[place] ^= bytes1(flip);
        bytes32 expected = keccak256(committee());
        bytes memory c = committee();
        vm.expectRevert();
        quorum.verify(DIGEST, expected, c, signatures);
    }

    /// @dev A compact s has 255 bits, so that few high ones fit at all. For whatever r and s somebody's key can be found:
    /// with the largest s that is allowed it stands in a committee, with the next it does not.
    function test_verify_highS() public {
        (, bytes32 r,) = vm.sign(keys[0], DIGEST);
        bytes32 s = bytes32(ORDER / 2);
        bytes memory member = bytes.concat(bytes20(ecrecover(DIGEST, 27, r, s)), bytes4(uint32(1)));
        (uint256 signed,) = quorum.verify(DIGEST, keccak256(member), member, bytes.concat(hex"01", r, s));
        vm.assertEq(signed, 1, "low");
        s = bytes32(ORDER / 2 + 1);
        address high = ecrecover(DIGEST, 27, r, s);
        vm.assertTrue(high != address(0), "somebody's");
        member = bytes.concat(bytes20(high), bytes4(uint32(1)));
        refused(abi.encodeWithSelector(IQuorumVerifier.WrongSigner.selector, 0), member, bytes.concat(hex"01", r, s));
    }

    /// @dev A signature out of range must not take the earlier member's answer for its own.
    function test_verify_outOfRange() public {
        bytes memory signatures = bytes.concat(hex"0300", compact(keys[0], DIGEST), new bytes(64));
        refused(abi.encodeWithSelector(IQuorumVerifier.WrongSigner.selector, 1), committee(), signatures);
    }

    function test_encodeCommittee() public view {
        bytes memory expected;
        for (uint256 i; i < keys.length; ++i) {
            expected = bytes.concat(expected, bytes20(vm.addr(keys[i])), bytes4(uint32(1 << i)));
        }
        vm.assertEq(committee(), expected, "encoding");
        vm.assertEq(quorum.committeeHash(expected), keccak256(expected), "hash");
        vm.assertEq(quorum.scheme(), "ecdsa-secp256k1", "scheme");
        vm.assertTrue(quorum.isReady(address(this), address(this)), "ready");
    }

    /// @dev By 65: with one for each member, all together are below 2^32.
    function test_encodeCommittee_scaled() public view {
        IQuorumVerifier.Member[] memory m = new IQuorumVerifier.Member[](3);
        m[0] = IQuorumVerifier.Member(address(1), type(uint96).max);
        m[1] = IQuorumVerifier.Member(address(2), 1);
        m[2] = IQuorumVerifier.Member(address(3), 3 << 64);
        bytes memory expected = abi.encodePacked(address(1), type(uint32).max >> 1, address(2), uint32(1), address(3));
        expected = bytes.concat(expected, bytes4(uint32(1)));
        vm.assertEq(quorum.encodeCommittee(address(this), m), expected, "encoding");
    }

    function test_encodeCommittee_count() public {
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector));
        quorum.encodeCommittee(address(this), new IQuorumVerifier.Member[](0));
        IQuorumVerifier.Member[] memory m = new IQuorumVerifier.Member[](256);
        for (uint160 i; i < 256; ++i) {
            m[i] = IQuorumVerifier.Member(address(i + 1), 1);
        }
        vm.assertEq(quorum.encodeCommittee(address(this), m), crowd(256), "as many as there can be");
        m = new IQuorumVerifier.Member[](257);
        for (uint160 i; i < 257; ++i) {
            m[i] = IQuorumVerifier.Member(address(i + 1), 1);
        }
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector));
        quorum.encodeCommittee(address(this), m);
    }

    function test_encodeCommittee_unordered() public {
        IQuorumVerifier.Member[] memory m = members();
        m[1].signer = m[0].signer;
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector));
        quorum.encodeCommittee(address(this), m);
    }

    function test_encodeCommittee_weightless() public {
        IQuorumVerifier.Member[] memory m = members();
        m[1].weight = 0;
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.BadCommittee.selector));
        quorum.encodeCommittee(address(this), m);
    }

    function test_enrol_key() public {
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.WrongKeyLength.selector, 0, 1));
        quorum.enrol(address(this), hex"01", "");
    }

    function test_enrol_proof() public {
        vm.expectRevert(abi.encodeWithSelector(IQuorumVerifier.WrongProofLength.selector, 0, 2));
        quorum.enrol(address(this), "", hex"0102");
    }
}
