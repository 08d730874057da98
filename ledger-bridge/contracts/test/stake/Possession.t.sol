// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayStake} from "../../src/AssayStake.sol";
import {Ed25519} from "../../src/evidence/Ed25519.sol";
import {FourHyperNodes} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

/// @title That who registers an Ed25519 key has its secret.
contract StakePossessionTest is FourHyperNodes {
    bytes32 private constant SEED = keccak256("the owner's");
    /// @dev (0, 1), the neutral point: with it as R and zero as s every message is signed by it, if it is a key.
    bytes32 private constant NEUTRAL = bytes32(uint256(1) << 248);
    address private owner = address(0x0e4);

    function setUp() public override {
        super.setUp();
        give(owner, address(stake), MIN_STAKE);
    }

    function key() private pure returns (bytes32) {
        return vm.publicKeyEd25519(SEED);
    }

    function register(address who, bytes32 key_, bytes memory proof) private {
        vm.prank(who);
        stake.register(key_, proof, keccak256("o"), keccak256("s"), "", "", "", MIN_STAKE);
    }

    /// @dev A signature that is good for something else.
    function refused(bytes memory proof) private {
        vm.expectPartialRevert(Ed25519.Ed25519WrongSignature.selector);
        register(owner, key(), proof);
    }

    function test_possession() public {
        bytes memory expected = abi.encodePacked("assay-hypernode-key-v1", block.chainid, address(stake), owner);
        vm.assertEq(stake.possessionMessage(owner), expected, "message");
        vm.assertEq(expected.length, 94, "length");
        register(owner, key(), possession(SEED, stake, owner));
        vm.assertEq(stake.hyperNodeOf(key()).signer, owner, "registered");
    }

    /// @dev What OpenSSL signs for other chains, contracts and signers (tools/evidence-vectors.mjs).
    function test_possession_isWhatOthersSign() public {
        string memory json = vm.readFile("test/vectors/possession.json");
        bytes32[] memory chainIds = vm.parseJsonBytes32Array(json, ".chainId");
        bytes[] memory contracts = vm.parseJsonBytesArray(json, ".contract");
        bytes[] memory signers = vm.parseJsonBytesArray(json, ".signer");
        bytes[] memory messages = vm.parseJsonBytesArray(json, ".message");
        bytes[] memory proofs = vm.parseJsonBytesArray(json, ".proof");
        bytes32[] memory edKeys = vm.parseJsonBytes32Array(json, ".key");
        bytes memory code = address(stake).code;
        for (uint256 i; i < chainIds.length; ++i) {
            address signer = address(bytes20(signers[i]));
            stake = AssayStake(address(bytes20(contracts[i])));
            vm.etch(address(stake), code);
            vm.chainId(uint256(chainIds[i]));
            give(signer, address(stake), MIN_STAKE);
            vm.assertEq(stake.possessionMessage(signer), messages[i], "message");
            register(signer, edKeys[i], proofs[i]);
            vm.assertEq(stake.hyperNodeOf(edKeys[i]).signer, signer, "registered");
        }
        vm.assertEq(chainIds.length, 3, "rows");
    }

    function test_possession_anotherKey() public {
        refused(possession(keccak256("a thief's"), stake, owner));
    }

    /// @dev A proof that was seen is of no use to another, and its owner can still register.
    function test_possession_anotherSigner() public {
        address thief = address(0x71e4);
        give(thief, address(stake), MIN_STAKE);
        bytes memory proof = possession(SEED, stake, owner);
        vm.expectPartialRevert(Ed25519.Ed25519WrongSignature.selector);
        register(thief, key(), proof);
        register(owner, key(), proof);
    }

    function test_possession_anotherContract() public {
        refused(possession(SEED, Deployed.stake(stakeParameters(), epochs), owner));
    }

    function test_possession_anotherChain() public {
        bytes memory proof = possession(SEED, stake, owner);
        vm.chainId(5);
        refused(proof);
        vm.chainId(31_337);
        register(owner, key(), proof);
    }

    function test_possession_anotherPurpose() public {
        bytes memory rest = abi.encodePacked(block.chainid, address(stake), owner);
        refused(vm.signEd25519("assay-hypernode-key-v2", rest, SEED));
        refused(vm.signEd25519("", rest, SEED));
        refused(vm.signEd25519("assay-hypernode-key-v1", bytes.concat(rest, hex"00"), SEED));
        register(owner, key(), vm.signEd25519("assay-hypernode-key-v1", rest, SEED));
    }

    function test_possession_length() public {
        bytes memory proof = possession(SEED, stake, owner);
        refusedLength(0, "");
        refusedLength(65, bytes.concat(proof, hex"00"));
        bytes memory cut = new bytes(63);
        for (uint256 i; i < 63; ++i) {
            cut[i] = proof[i];
        }
        refusedLength(63, cut);
        register(owner, key(), proof);
    }

    function refusedLength(uint256 length, bytes memory proof) private {
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519WrongLength.selector, 64, length));
        register(owner, key(), proof);
    }

    /// @dev s at the order of the group: the least that is refused.
    function test_possession_scalar() public {
        bytes32 order = 0xedd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010;
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519BadScalar.selector, order));
        register(owner, key(), bytes.concat(NEUTRAL, order));
    }

    /// @dev The neutral point, two of order 4, what is no canonical encoding, and a y that no point has.
    function test_possession_badKeys() public {
        refusedKey(NEUTRAL);
        refusedKey(0);
        refusedKey(bytes32(uint256(0x80)));
        refusedKey(0xeeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f);
        refusedKey(bytes32(uint256(2) << 248));
    }

    function refusedKey(bytes32 bad) private {
        vm.expectRevert(abi.encodeWithSelector(Ed25519.Ed25519BadKey.selector, bad));
        register(owner, bad, bytes.concat(NEUTRAL, bytes32(0)));
    }
}
