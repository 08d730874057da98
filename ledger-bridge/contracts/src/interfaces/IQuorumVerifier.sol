// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title How the signatures of a committee are checked. Stateless: which committee it must be is the caller's to say.
interface IQuorumVerifier {
    /// @notice The committee bytes do not hash to what is expected.
    error WrongCommittee(bytes32 expected, bytes32 actual);
    /// @notice Members are not strictly ascending, have no weight, or the encoding's length is impossible.
    error BadCommittee();
    /// @notice The encoding of the signatures is not what this scheme and this committee ask for.
    error BadSignatures();
    /// @notice A signature that is present is not its member's: the poster's fault, not an absence.
    error WrongSigner(uint256 index);

    /// @notice Name of the scheme, as `ecdsa-secp256k1` or `bls12-381-min-sig`.
    function scheme() external pure returns (string memory);

    /// @notice Hash of a committee in this scheme's encoding.
    function committeeHash(bytes calldata committee) external pure returns (bytes32);

    /// @notice The weight behind a digest. Reverts unless every signature that is present is good.
    /// @param digest what was signed
    /// @param expectedCommittee `committeeHash` of the committee that must have signed
    /// @param committee the committee, in this scheme's encoding
    /// @param signatures which members signed, and their signatures, in this scheme's encoding
    /// @return signedWeight weight of the members who signed
    /// @return totalWeight weight of the whole committee
    function verify(bytes32 digest, bytes32 expectedCommittee, bytes calldata committee, bytes calldata signatures)
        external
        view
        returns (uint256 signedWeight, uint256 totalWeight);
}
