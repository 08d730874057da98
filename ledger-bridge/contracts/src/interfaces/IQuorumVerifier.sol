// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title How the signatures of a committee are checked. Which committee it must be is the caller's to say.
/// @notice A scheme may keep members' keys, each caller's in a book of its own; what it verifies depends on its arguments
/// alone.
interface IQuorumVerifier {
    /// @notice A member of a committee: its ledger key's address and its weight.
    struct Member {
        address signer;
        uint96 weight;
    }

    /// @notice The committee bytes do not hash to what is expected.
    error WrongCommittee(bytes32 expected, bytes32 actual);
    /// @notice Members are not strictly ascending, have no weight, or the encoding's length is impossible.
    error BadCommittee();
    /// @notice The encoding of the signatures is not what this scheme and this committee ask for.
    error BadSignatures();
    /// @notice A signature that is present is not its member's: the poster's fault, not an absence.
    error WrongSigner(uint256 index);
    /// @notice A member's key has another length than this scheme's keys.
    error WrongKeyLength(uint256 expected, uint256 actual);
    /// @notice A proof of possession has another length than this scheme's.
    error WrongProofLength(uint256 expected, uint256 actual);

    /// @notice Name of the scheme, as `ecdsa-secp256k1` or `bls12-381-min-sig`.
    function scheme() external pure returns (string memory);

    /// @notice Takes a member's key into the caller's book. A scheme whose members need no key but their address takes
    /// empty bytes only.
    /// @dev Reverts with WrongKeyLength, WrongProofLength and the scheme's own errors.
    /// @param member ledger key of the member; once per book
    /// @param key in this scheme's encoding
    /// @param proof that the member has the key's secret, bound to chain, book and member
    function enrol(address member, bytes calldata key, bytes calldata proof) external;

    /// @notice Whether a member of a book can stand in a committee. Never turns false again.
    function isReady(address book, address member) external view returns (bool);

    /// @notice A committee in this scheme's encoding. The same members give the same bytes for ever.
    /// @dev Reverts with BadCommittee when a member is not ready, or has no weight, when there is none, or more than the
    /// scheme takes.
    /// @param book whose members they are
    /// @param members strictly ascending by address
    function encodeCommittee(address book, Member[] calldata members) external view returns (bytes memory);

    /// @notice Hash of a committee in this scheme's encoding.
    function committeeHash(bytes calldata committee) external pure returns (bytes32);

    /// @notice The weight behind a digest. Reverts unless every signature that is present is good.
    /// @dev Reverts with WrongCommittee, BadCommittee, BadSignatures or WrongSigner.
    /// @param digest what was signed
    /// @param expectedCommittee `committeeHash` of the committee that must have signed
    /// @param committee the committee, in this scheme's encoding
    /// @param signatures which members signed, and their signatures, in this scheme's encoding
    /// @return signedWeight weight of the members who signed, as the committee's bytes have it
    /// @return totalWeight weight of the whole committee
    function verify(bytes32 digest, bytes32 expectedCommittee, bytes calldata committee, bytes calldata signatures)
        external
        view
        returns (uint256 signedWeight, uint256 totalWeight);
}
