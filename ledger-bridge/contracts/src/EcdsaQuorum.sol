// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IQuorumVerifier} from "./interfaces/IQuorumVerifier.sol";
import {Weights} from "./lib/Weights.sol";

/// @title Quorum by one secp256k1 signature a member.
/// @notice Committee: 24 bytes a member, address (20) ‖ weight (4, big-endian), strictly ascending by address; weights are
/// scaled as `Weights` says. Signatures: a bitmap of ceil(n / 8) bytes, member i at bit i mod 8 (lowest first) of byte i / 8, then for each bit that is
/// set, in order, 64 bytes in EIP-2098's compact form with low s. At most 256 members. No storage.
contract EcdsaQuorum is IQuorumVerifier {
    uint256 private constant MEMBER = 24;
    uint256 private constant MAX_MEMBERS = 256;
    /// @dev half the order of secp256k1: a larger s is the malleable twin of a signature
    uint256 private constant MAX_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// @inheritdoc IQuorumVerifier
    function scheme() external pure override returns (string memory) {
        return "ecdsa-secp256k1";
    }

    /// @inheritdoc IQuorumVerifier
    /// @dev The ledger key itself signs, so there is nothing to keep.
    function enrol(address, bytes calldata key, bytes calldata proof) external pure override {
        if (key.length != 0) revert WrongKeyLength(0, key.length);
        if (proof.length != 0) revert WrongProofLength(0, proof.length);
    }

    /// @inheritdoc IQuorumVerifier
    function isReady(address, address) external pure override returns (bool) {
        return true;
    }

    /// @inheritdoc IQuorumVerifier
    function encodeCommittee(address, Member[] calldata members) external pure override returns (bytes memory out) {
        uint256 shift = Weights.shiftOf(members, MAX_MEMBERS);
        out = new bytes(members.length * MEMBER);
        uint256 length = out.length;
        // from the last: the eight bytes before a member are written after it, those before the first are of the length
        for (uint256 i = members.length; i != 0; --i) {
            uint256 weight = Weights.scaled(members[i - 1].weight, shift);
            uint256 word = uint256(uint160(members[i - 1].signer)) << 32 | weight;
            assembly ("memory-safe") {
                mstore(add(out, mul(i, MEMBER)), word)
            }
        }
        assembly ("memory-safe") {
            mstore(out, length)
        }
    }

    /// @inheritdoc IQuorumVerifier
    function committeeHash(bytes calldata committee) public pure override returns (bytes32) {
        return keccak256(committee);
    }

    /// @inheritdoc IQuorumVerifier
    function verify(bytes32 digest, bytes32 expectedCommittee, bytes calldata committee, bytes calldata signatures)
        external
        view
        override
        returns (uint256 signedWeight, uint256 totalWeight)
    {
        bytes32 given = committeeHash(committee);
        if (given != expectedCommittee) revert WrongCommittee(expectedCommittee, given);
        uint256 count = committee.length / MEMBER;
        if (count == 0 || count > MAX_MEMBERS || committee.length % MEMBER != 0) revert BadCommittee();
        uint256 bitmapLength = (count + 7) / 8;
        if (signatures.length < bitmapLength) revert BadSignatures();
        uint256 bits = _littleEndian(bytes32(signatures[:bitmapLength]));
        if (bits >> count != 0) revert BadSignatures();
        uint256 sums = _weigh(digest, committee, signatures[bitmapLength:], bits);
        return (sums >> 128, uint128(sums));
    }

    /// @dev Signed weight in the upper half, total in the lower. `bits` says who signed, lowest first. The precompile's
    /// input, and behind it where the committee begins, are beyond the free pointer; its output is in scratch space: for r, s
    /// or v out of range, or too little gas, it writes nothing, and what is left there is zero or an earlier member, which
    /// this one is not. A signature beyond the end is refused after the loop at the latest.
    function _weigh(bytes32 digest, bytes calldata committee, bytes calldata signatures, uint256 bits)
        private
        view
        returns (uint256 sums)
    {
        bytes4 badCommittee = BadCommittee.selector;
        bytes4 wrongSigner = WrongSigner.selector;
        bytes4 badSignatures = BadSignatures.selector;
        assembly ("memory-safe") {
            let input := mload(0x40)
            mstore(input, digest)
            mstore(add(input, 128), committee.offset)
            mstore(add(input, 160), add(signatures.offset, signatures.length))
            mstore(0, 0)
            let next := signatures.offset
            let from := committee.offset
            let to := add(from, committee.length)
            let previous := 0
            for {} 1 {} {
                let signer := calldataload(from)
                let weight := and(shr(64, signer), 0xffffffff)
                signer := shr(96, signer)
                if iszero(mul(gt(signer, previous), weight)) {
                    mstore(0, badCommittee)
                    revert(0, 4)
                }
                previous := signer
                if and(bits, 1) {
                    let s := calldataload(add(next, 32))
                    mstore(add(input, 32), add(27, shr(255, s)))
                    mstore(add(input, 64), calldataload(next))
                    s := shr(1, shl(1, s))
                    mstore(add(input, 96), s)
                    next := add(next, 64)
                    pop(staticcall(gas(), 1, input, 128, 0, 32))
                    if or(gt(s, MAX_S), xor(mload(0), signer)) {
                        if gt(next, mload(add(input, 160))) {
                            mstore(0, badSignatures)
                            revert(0, 4)
                        }
                        mstore(0, wrongSigner)
                        mstore(4, div(sub(from, mload(add(input, 128))), MEMBER))
                        revert(0, 36)
                    }
                    sums := add(sums, shl(128, weight))
                }
                sums := add(sums, weight)
                bits := shr(1, bits)
                from := add(from, MEMBER)
                if eq(from, to) { break }
            }
            if xor(next, mload(add(input, 160))) {
                mstore(0, badSignatures)
                revert(0, 4)
            }
        }
    }

    /// @dev The bitmap as a number: its first byte lowest.
    function _littleEndian(bytes32 bitmap) private pure returns (uint256 v) {
        v = uint256(bitmap);
        uint256 m = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
        v = (v >> 8 & m) | (v & m) << 8;
        m = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
        v = (v >> 16 & m) | (v & m) << 16;
        m = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
        v = (v >> 32 & m) | (v & m) << 32;
        m = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
        v = (v >> 64 & m) | (v & m) << 64;
        v = v >> 128 | v << 128;
    }
}
