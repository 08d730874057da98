// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EpochRoot} from "./Types.sol";

/// @title What a HyperNode can be slashed for, by proof alone.
/// @notice Nobody votes on a fault: each function checks bytes that the HyperNode itself signed. Ed25519 and the signed
/// objects' encodings are checked on chain (protocol/cddl/assay.cddl), so what HyperNodes sign anyway is what convicts them.
/// The reporter gets a share of what is taken. Each fault of a HyperNode counts once.
interface IAssayFaults {
    /// @notice Two different roots of one epoch and round, signed by one ledger key.
    function twoRoots(EpochRoot calldata a, bytes calldata signatureA, EpochRoot calldata b, bytes calldata signatureB)
        external;
    /// @notice A root that the network replaced by a correction, signed by a ledger key.
    function wrongRoot(EpochRoot calldata r, bytes calldata signature) external;
    /// @notice Two votes of one epoch and round for different input sets.
    function twoVotes(bytes calldata voteA, bytes calldata voteB) external;
    /// @notice Two log checkpoints under which one index holds two leaves, or one size two roots.
    function twoCheckpoints(bytes calldata a, bytes calldata b, bytes calldata proofs) external;
    /// @notice A region's revealed key whose keystream is not what its receipt's root holds at one block.
    function wrongRegionKey(bytes calldata receipt, bytes32 key, uint64 blockIndex, bytes32 leaf, bytes32[] calldata path)
        external;
}
