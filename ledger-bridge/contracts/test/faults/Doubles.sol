// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {EpochRoot} from "../../src/interfaces/Types.sol";

/// @title What `AssayFaults` asks of the contract of epochs, with roots hashed as EIP-712 asks.
contract EpochsDouble is EIP712 {
    bytes32 private constant ROOT_TYPE = keccak256(
        "EpochRoot(bytes32 networkId,uint64 epoch,uint32 round,bytes32 inputSet,bytes32 committee,bytes32 root,"
        "uint32 leafCount,bytes32 evidenceRoot,bytes32 policyDigest,uint128 cumulativeReward,bytes32 nextCommittee)"
    );

    bytes32 public immutable networkId;
    mapping(uint64 epoch => mapping(bytes32 digest => bool)) public wrongDigest;

    constructor(bytes32 networkId_) EIP712("Assay", "2") {
        networkId = networkId_;
    }

    function hashRoot(EpochRoot calldata r) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(ROOT_TYPE, r)));
    }

    function replace(EpochRoot calldata r) external {
        wrongDigest[r.epoch][hashRoot(r)] = true;
    }
}

/// @title What `AssayFaults` asks of the contract of stake: who is registered, and slashes that take what there is.
contract StakeDouble {
    struct Slash {
        bytes32 hyperNode;
        uint16 bps;
        address beneficiary;
        bytes32 reason;
    }

    mapping(bytes32 ed25519Key => IAssayStake.HyperNode) private nodes;
    mapping(address signer => bytes32) private keyOf;
    Slash[] public slashes;

    function add(bytes32 ed25519Key, address signer, uint96 bonded) external {
        nodes[ed25519Key].signer = signer;
        nodes[ed25519Key].ed25519Key = ed25519Key;
        nodes[ed25519Key].bonded = bonded;
        keyOf[signer] = ed25519Key;
    }

    function slash(bytes32 ed25519Key, uint16 bps, address beneficiary, bytes32 reason)
        external
        returns (uint96 taken)
    {
        slashes.push(Slash(ed25519Key, bps, beneficiary, reason));
        taken = uint96(uint256(nodes[ed25519Key].bonded) * bps / 10_000);
        nodes[ed25519Key].bonded -= taken;
    }

    function hyperNodeOf(bytes32 ed25519Key) external view returns (IAssayStake.HyperNode memory) {
        return nodes[ed25519Key];
    }

    function hyperNodeOfSigner(address signer) external view returns (IAssayStake.HyperNode memory) {
        return nodes[keyOf[signer]];
    }

    function slashCount() external view returns (uint256) {
        return slashes.length;
    }
}
