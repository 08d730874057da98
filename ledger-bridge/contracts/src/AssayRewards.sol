// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {IAssayEpochs} from "./interfaces/IAssayEpochs.sol";
import {IAssayRewards} from "./interfaces/IAssayRewards.sol";
import {RewardLeaf} from "./interfaces/Types.sol";

/// @title The one implementation of IAssayRewards. AssayEpochs makes it.
/// @dev Storage by slot: 0 `_claimedFrom` · 1 `paid`. A claim from that root reads one slot for it: that the root is
/// final, and no correction comes any more, was asked when it was released.
///
/// Money: balance = what was released by the contract of epochs - paid, plus what strangers send.
contract AssayRewards is IAssayRewards {
    using SafeERC20 for IERC20;

    uint8 private constant REWARD_LEAF = 3;

    IAssayEpochs private immutable _epochs;
    IERC20 private immutable _token;

    /// @dev Epoch and root, hashed, of a final root: of those that anyone has claimed from the one with the largest sum.
    bytes32 private _claimedFrom;
    /// @inheritdoc IAssayRewards
    mapping(address provider => uint128) public override paid;

    /// @param token_ as that of the contract of epochs, which is the caller
    constructor(IERC20 token_) {
        (_epochs, _token) = (IAssayEpochs(msg.sender), token_);
    }

    /// @inheritdoc IAssayRewards
    function claim(RewardLeaf calldata leaf, bytes32[] calldata proof) external override {
        if (leaf.leafType != REWARD_LEAF) revert WrongLeafType(REWARD_LEAF, leaf.leafType);
        bytes32 leafHash = keccak256(bytes.concat(keccak256(abi.encode(leaf))));
        bytes32 root = MerkleProof.processProofCalldata(proof, leafHash);
        if (_claimedFrom != _keyOf(leaf.epoch, root)) _release(leaf.epoch, root);
        uint128 before = paid[leaf.provider];
        if (leaf.cumulativeReward <= before) revert NothingToClaim(leaf.provider, leaf.cumulativeReward, before);
        uint128 amount = leaf.cumulativeReward - before;
        paid[leaf.provider] = leaf.cumulativeReward;
        emit RewardClaimed(leaf.provider, leaf.epoch, amount, leaf.cumulativeReward);
        _token.safeTransfer(leaf.provider, amount);
    }

    /// @inheritdoc IAssayRewards
    function epochs() external view override returns (address) {
        return address(_epochs);
    }

    /// @inheritdoc IAssayRewards
    function token() external view override returns (address) {
        return address(_token);
    }

    /// @dev Brings here what a final epoch has earned and was not brought before; of an older one the root is only compared.
    function _release(uint64 epoch, bytes32 root) private {
        (bytes32 expected, bool newest) = _epochs.release(epoch);
        if (root != expected) revert BadProof(expected, root);
        if (newest) _claimedFrom = _keyOf(epoch, root);
    }

    function _keyOf(uint64 epoch, bytes32 root) private pure returns (bytes32) {
        return keccak256(abi.encode(epoch, root));
    }
}
