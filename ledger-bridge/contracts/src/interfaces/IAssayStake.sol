// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title HyperNodes and their stake.
/// @notice Holds stake and nothing else. A change of stake counts from a later epoch (`activeAfterEpochs` ahead, at least
/// two), so that the committee of an epoch is known one epoch before. Stake that leaves can be slashed until it is
/// withdrawn: unbonding takes at least region life + dispute + outage.
interface IAssayStake {
    /// @param signer its ledger key: signs roots, receives withdrawals
    /// @param ed25519Key its HyperNode id: signs votes, receipts, log checkpoints
    /// @param operatorId who operates it; shares one cap with all of the same id
    /// @param seedChainEnd end of the hash chain of its seeds
    /// @param bonded stake that counts once active
    /// @param unbonding stake on its way out, still slashable
    struct HyperNode {
        address signer;
        bytes32 ed25519Key;
        bytes32 operatorId;
        bytes32 seedChainEnd;
        uint64 registeredEpoch;
        uint96 bonded;
        uint96 unbonding;
        bool jailed;
        string endpoint;
    }

    /// @notice A stake on its way out: it can be withdrawn at or after `releaseAtMs`, and slashed until it is withdrawn.
    struct Unbonding {
        uint96 amount;
        uint64 releaseAtMs;
    }

    /// @notice Joins with `amount` of the token as stake; the caller is its ledger key. Keys are never reused.
    /// @param blsKey empty, or the member's key in the encoding of `BlsQuorum`
    /// @param blsProof empty, or the proof that the key's owner has its secret
    function register(
        bytes32 ed25519Key,
        bytes32 operatorId,
        bytes32 seedChainEnd,
        string calldata endpoint,
        bytes calldata blsKey,
        bytes calldata blsProof,
        uint96 amount
    ) external;

    /// @notice Adds to the caller's stake.
    function bond(uint96 amount) external;

    /// @notice Starts to take stake back. It stops counting from the next snapshot that is not fixed yet.
    function unbond(uint96 amount) external;

    /// @notice Pays everything whose time has come to the caller.
    function withdraw() external;

    /// @notice Another endpoint, or the end of a new seed chain, which counts from a later epoch.
    function update(bytes32 seedChainEnd, string calldata endpoint) external;

    /// @notice Takes `bps` of everything a HyperNode has here, bonded first and then unbonding; less when there is less.
    /// Never reverts for want of stake. Takes it out of the next snapshot for good. Only by the contracts of this network
    /// that check proofs.
    /// @return taken moved to `beneficiary` and the treasury, by the network's split
    function slash(bytes32 ed25519Key, uint16 bps, address beneficiary, bytes32 reason) external returns (uint96 taken);

    /// @notice The committee of an epoch in the encoding of the network's verifier: members ascending by address, their
    /// capped stake as weight. Of the running epoch and the next, and of every earlier one.
    /// Weight = stake × min(operator's stake, limit) / operator's stake, where limit = total stake × cap / 10000.
    function committee(uint64 epoch) external view returns (bytes memory);

    function hyperNodeCount() external view returns (uint256);
    function hyperNodeAt(uint256 index) external view returns (HyperNode memory);
    function hyperNodeOf(bytes32 ed25519Key) external view returns (HyperNode memory);
    function hyperNodeOfSigner(address signer) external view returns (HyperNode memory);
    function stakeAt(bytes32 ed25519Key, uint64 epoch) external view returns (uint96);
    function unbondings(bytes32 ed25519Key) external view returns (Unbonding[] memory);
    /// @notice Sum of all that is bonded or unbonding: what this contract owes.
    function totalHeld() external view returns (uint256);
}
