// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RewardLeaf} from "./Types.sol";

/// @title What final epochs have earned, and who was paid of it.
/// @notice Holds nothing else: budgets and bonds stay with the contract of epochs, which sends here what its final roots
/// have earned, and never more. So whatever leaves promise, no budget and no bond is paid out.
interface IAssayRewards {
    /// @notice A provider was paid.
    event RewardClaimed(address indexed provider, uint64 indexed epoch, uint128 amount, uint128 cumulative);

    /// @notice A leaf of another type.
    error WrongLeafType(uint8 expected, uint8 actual);
    /// @notice The proof leads to another root.
    error BadProof(bytes32 expected, bytes32 actual);
    /// @notice Everything up to this leaf was paid.
    error NothingToClaim(address provider, uint128 cumulative, uint128 paid);

    /// @notice Pays what a provider has earned up to a final epoch and was not paid before; anyone may, the provider gets it.
    /// The first claim of an epoch also brings its rewards here.
    /// @dev Reverts with WrongLeafType, BadProof, NothingToClaim, as `IAssayEpochs.release` does, and as the token does of who
    /// has not enough: where leaves promise more than the sum their root says.
    /// @param proof siblings from the leaf up
    function claim(RewardLeaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice What a provider was paid since genesis.
    function paid(address provider) external view returns (uint128);
    /// @notice The `IAssayEpochs` that deployed this contract and sends it what final epochs have earned.
    function epochs() external view returns (address);
    /// @notice The ERC-20 token that rewards are paid in: that of `epochs`.
    function token() external view returns (address);
}
