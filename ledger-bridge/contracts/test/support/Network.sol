// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayEpochs} from "../../src/AssayEpochs.sol";
import {AssayRewards} from "../../src/AssayRewards.sol";
import {AssayStake} from "../../src/AssayStake.sol";
import {EcdsaQuorum} from "../../src/EcdsaQuorum.sol";
import {TestToken} from "../../src/TestToken.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {EpochRoot, RewardLeaf} from "../../src/interfaces/Types.sol";
import {Test} from "./Test.sol";
import {Deployed} from "./Deployed.sol";

/// @title A contract that has code and does nothing: stands where a test needs no more.
contract Nothing {}

/// @title Deploys a network in the order of a real one, and plays its HyperNodes.
/// @notice Order: token and verifier; epochs (parameters, token, verifier, treasury, governor, guardian); stake and the
/// other contracts, each with the address of epochs; `wire` (once); HyperNodes register; `openGenesis` (once). From then
/// on nobody can change which contract is which.
abstract contract Network is Test {
    uint64 internal constant GENESIS_MS = 1_800_000_000_000;
    uint64 internal constant EPOCH_MS = 3_600_000;
    uint64 internal constant VOID_AFTER_MS = 12 * EPOCH_MS;
    uint64 internal constant WINDOW_MS = 7 days * 1000;
    uint64 internal constant EXTENSION_MS = 2 days * 1000;
    uint128 internal constant BOND = 100 ether;
    uint96 internal constant MIN_STAKE = 1000 ether;
    /// @dev bytes of a member in a committee of EcdsaQuorum
    uint256 internal constant MEMBER = 24;
    bytes32 internal constant NETWORK = keccak256("network");

    address internal treasury = address(0x7ea5);
    address internal governor = address(0x607e);
    address internal guardian = address(0x60a4);
    address internal faults;
    TestToken internal token;
    IQuorumVerifier internal verifier;
    AssayEpochs internal epochs;
    AssayRewards internal rewards;
    AssayStake internal stake;
    /// @dev keys of the HyperNodes' ledger accounts, ascending by address
    uint256[] internal keys;

    function epochParameters() internal pure virtual returns (IAssayEpochs.Parameters memory) {
        return IAssayEpochs.Parameters(GENESIS_MS, EPOCH_MS, VOID_AFTER_MS, WINDOW_MS, EXTENSION_MS, BOND);
    }

    function stakeParameters() internal pure virtual returns (IAssayStake.Parameters memory) {
        return IAssayStake.Parameters(MIN_STAKE, 4000, 2, 30 days * 1000, 1000);
    }

    /// @dev All contracts, wired; nobody has registered.
    function deploy(IQuorumVerifier verifier_) internal {
        vm.warp((GENESIS_MS - 10 * EPOCH_MS) / 1000);
        token = Deployed.token(18);
        verifier = verifier_;
        epochs = Deployed.epochs(epochParameters(), token, verifier, treasury, governor, guardian);
        rewards = AssayRewards(epochs.rewards());
        stake = Deployed.stake(stakeParameters(), epochs);
        (address nodes, address reservations, address faults_) = deployOthers();
        faults = faults_;
        epochs.wire(address(stake), nodes, reservations, faults_);
    }

    /// @dev The contracts that tests of stake and epochs do not need.
    function deployOthers() internal virtual returns (address nodes, address reservations, address faults_) {
        return (address(new Nothing()), address(new Nothing()), address(new Nothing()));
    }

    /// @dev HyperNodes of the operators that `operator` says, stakes as given, without keys of the scheme.
    function join(uint96[] memory stakes) internal {
        keys = sortedKeys(stakes.length);
        for (uint256 i; i < stakes.length; ++i) {
            joinOne(i, stakes[i]);
        }
    }

    function joinOne(uint256 i, uint96 amount) internal {
        address signer = vm.addr(keys[i]);
        give(signer, address(stake), amount);
        (bytes32 key, bytes memory proof) = (edKey(i), possession(edSeed(i), stake, signer));
        address owner = stake.operatorOwner(operator(i));
        if (owner != address(0)) {
            vm.prank(owner);
            stake.admit(signer);
        }
        vm.prank(signer);
        stake.register(key, proof, operator(i), keccak256("seed"), "https://hypernode.example", "", "", amount);
    }

    function edSeed(uint256 i) internal view returns (bytes32) {
        return keccak256(abi.encode("ed25519", keys[i]));
    }

    function edKey(uint256 i) internal view returns (bytes32) {
        return vm.publicKeyEd25519(edSeed(i));
    }

    /// @dev What `IAssayStake.register` asks of the key of `seed`, written down a second time.
    function possession(bytes32 seed, AssayStake stake_, address signer) internal view returns (bytes memory) {
        bytes memory message =
            bytes.concat("assay-hypernode-key-v1", bytes32(block.chainid), bytes20(address(stake_)), bytes20(signer));
        return vm.signEd25519("", message, seed);
    }

    function operator(uint256 i) internal view virtual returns (bytes32) {
        return keccak256(abi.encode("operator", keys[i]));
    }

    function give(address who, address spender, uint256 amount) internal {
        token.mint(who, amount);
        vm.prank(who);
        token.approve(spender, type(uint256).max);
    }

    function sortedKeys(uint256 count) internal pure returns (uint256[] memory sorted) {
        sorted = new uint256[](count);
        for (uint256 i; i < count; ++i) {
            uint256 key = uint256(keccak256(abi.encode("key", i))) >> 8;
            uint256 used = i;
            for (; used > 0 && vm.addr(sorted[used - 1]) > vm.addr(key); --used) {
                sorted[used] = sorted[used - 1];
            }
            sorted[used] = key;
        }
    }

    // ---------------------------------------------------------------------- time

    function toEndOf(uint64 epoch) internal {
        vm.warp((GENESIS_MS + (uint256(epoch) + 1) * EPOCH_MS) / 1000);
    }

    function passMs(uint256 ms) internal {
        vm.warp(block.timestamp + ms / 1000);
    }

    function nowMs() internal view returns (uint64) {
        return uint64(block.timestamp * 1000);
    }

    /// @dev With whoever has registered.
    function openGenesis() internal {
        epochs.openGenesis(NETWORK, verifier.committeeHash(stake.committee(0)));
    }

    // --------------------------------------------------------------------- roots

    /// @dev A root of the next epoch over one leaf, which names the committee of the stake contract for the one after.
    function rootOf(uint64 epoch, bytes32 leaf, uint128 cumulative) internal view returns (EpochRoot memory r) {
        r.networkId = NETWORK;
        r.epoch = epoch;
        r.inputSet = keccak256(abi.encode("input", epoch));
        r.committee = epochs.committeeHash();
        r.root = leaf;
        r.leafCount = 1;
        r.evidenceRoot = keccak256("evidence");
        r.policyDigest = keccak256("policy");
        r.cumulativeReward = cumulative;
        r.nextCommittee = verifier.committeeHash(committeeBytes());
    }

    function rewardLeaf(uint64 epoch, address provider, uint128 cumulative) internal pure returns (RewardLeaf memory) {
        return RewardLeaf(3, epoch, provider, cumulative);
    }

    function leafHash(RewardLeaf memory leaf) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(leaf))));
    }

    /// @dev The committee that signs in these tests: of epoch 0, which stays while nobody changes stake.
    function committeeBytes() internal view virtual returns (bytes memory) {
        return stake.committee(0);
    }

    /// @dev ECDSA signatures of the members whose bit is set in `who`, in the encoding of EcdsaQuorum.
    function signaturesOf(bytes32 digest, uint256 who) internal view returns (bytes memory out) {
        bytes memory bitmap = new bytes((keys.length + 7) / 8);
        for (uint256 i; i < keys.length; ++i) {
            if (who >> i & 1 == 0) continue;
            bitmap[i / 8] |= bytes1(uint8(1 << (i % 8)));
            out = bytes.concat(out, compact(keys[i], digest));
        }
        return bytes.concat(bitmap, out);
    }

    function compact(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    /// @dev The weight of the members whose bit is set in `who`, and of all, as EcdsaQuorum's committee has them.
    function weightsOf(uint256 who) internal view returns (uint256 signed, uint256 total) {
        bytes memory committee = committeeBytes();
        for (uint256 i; i < committee.length / MEMBER; ++i) {
            uint256 weight;
            for (uint256 k = 20; k < MEMBER; ++k) {
                weight = weight << 8 | uint8(committee[i * MEMBER + k]);
            }
            if (who >> i & 1 == 1) signed += weight;
            total += weight;
        }
    }

    function noQuorum(uint256 who) internal view returns (bytes memory) {
        (uint256 signed, uint256 total) = weightsOf(who);
        return abi.encodeWithSelector(IAssayEpochs.QuorumNotReached.selector, signed, total);
    }

    function post(EpochRoot memory r, uint256 who) internal {
        epochs.postRoot(r, committeeBytes(), signaturesOf(epochs.hashRoot(r), who));
    }

    function correct(EpochRoot memory r, uint256 who) internal {
        epochs.correct(r, committeeBytes(), signaturesOf(epochs.hashRoot(r), who));
    }

    function expectPost(bytes memory failure, EpochRoot memory r, uint256 who) internal {
        bytes memory committee = committeeBytes();
        bytes memory signatures = signaturesOf(epochs.hashRoot(r), who);
        vm.expectRevert(failure);
        epochs.postRoot(r, committee, signatures);
    }

    function expectCorrect(bytes memory failure, EpochRoot memory r, uint256 who) internal {
        bytes memory committee = committeeBytes();
        bytes memory signatures = signaturesOf(epochs.hashRoot(r), who);
        vm.expectRevert(failure);
        epochs.correct(r, committee, signatures);
    }
}

/// @title Four HyperNodes with 40, 25, 20 and 15 % of the stake, genesis opened, 10 tokens of budget for epochs 0 to 99.
abstract contract FourHyperNodes is Network {
    /// @dev the first three: 85 %
    uint256 internal constant QUORUM = 7;
    uint128 internal constant BUDGET = 10 ether;

    function setUp() public virtual {
        deploy(Deployed.ecdsa());
        uint96[] memory stakes = new uint96[](4);
        (stakes[0], stakes[1], stakes[2], stakes[3]) = (40_000 ether, 25_000 ether, 20_000 ether, 15_000 ether);
        join(stakes);
        openGenesis();
        give(address(this), address(epochs), 1_000_000 ether);
        epochs.fund(0, 100, BUDGET);
    }

    /// @dev Posts epoch's root over one reward leaf, right after the epoch's end.
    function postReward(uint64 epoch, address provider, uint128 cumulative) internal returns (EpochRoot memory r) {
        if (block.timestamp * 1000 < GENESIS_MS + (uint256(epoch) + 1) * EPOCH_MS) toEndOf(epoch);
        r = rootOf(epoch, leafHash(rewardLeaf(epoch, provider, cumulative)), cumulative);
        post(r, QUORUM);
    }

    /// @dev A root that corrects `r` to another sum.
    function correction(EpochRoot memory r, address provider, uint128 cumulative)
        internal
        view
        returns (EpochRoot memory c)
    {
        c = rootOf(r.epoch, leafHash(rewardLeaf(r.epoch, provider, cumulative)), cumulative);
        c.round = r.round + 1;
    }
}
