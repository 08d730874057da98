// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {IAssayEpochs} from "../../../src/interfaces/IAssayEpochs.sol";
import {IAssayFaults} from "../../../src/interfaces/IAssayFaults.sol";
import {IAssayNodes, INodesTypes} from "../../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../../src/interfaces/IAssayReservations.sol";
import {IAssayStake} from "../../../src/interfaces/IAssayStake.sol";
import {EpochRoot, NodeLeaf, NodeStatus} from "../../../src/interfaces/Types.sol";
import {Network} from "../../support/Network.sol";
import {Deployed} from "../../support/Deployed.sol";

/// @title All contracts of a network, and the committee that judges two nodes and pays three providers.
/// @notice The committee is that of the stake contract, epoch by epoch. The first three HyperNodes have more than two thirds
/// of it, sign every root and nothing else; the other three do as the handler says. What roots say follows the rules of
/// the protocol: a breach in three of six epochs asks for a slash, and an epoch without root is none of them.
abstract contract WholeNetwork is Network {
    /// @dev A root and what it says, in force or not any more.
    /// @param history of each node, the last six epochs: whether it was in breach, the latest lowest
    /// @param earned by each provider since genesis
    struct Tree {
        EpochRoot root;
        NodeLeaf[2] nodes;
        uint128[3] earned;
        uint8[2] history;
        bytes32[8] hashes;
    }

    bytes32 internal constant CLASS = "class";
    bytes32 internal constant SECOND = "another class";
    uint128 internal constant PLEDGE = 200 ether;
    uint128 internal constant CAP = 40 ether;
    uint128 internal constant BUDGET = 9 ether;
    uint64 internal constant BUDGETS = 500;
    uint256 internal constant HONEST = 3;
    uint64 internal constant HOUR = 3_600;

    bytes32[2] internal nodeIds = [bytes32("one"), "two"];
    address[3] internal providers = [address(0xa11ce), address(0xb0b), address(0xca401)];
    address[2] internal builders = [address(0xb111de), address(0xb111df)];
    IAssayNodes internal nodes;
    IAssayReservations internal reservations;

    /// @dev every root that was ever in force
    Tree[] internal trees;
    /// @dev 1 + the index of the tree that is in force; 0 without
    mapping(uint64 => uint256) internal treeOf;
    mapping(uint64 => uint32) private _rounds;
    /// @dev the committee that signs next
    bytes private _committee;
    mapping(address => uint256) private _honest;

    function epochParameters() internal pure override returns (IAssayEpochs.Parameters memory) {
        return IAssayEpochs.Parameters(GENESIS_MS, EPOCH_MS, 2 * EPOCH_MS, 2 * EPOCH_MS, EPOCH_MS, BOND);
    }

    function stakeParameters() internal pure override returns (IAssayStake.Parameters memory) {
        return IAssayStake.Parameters(MIN_STAKE, 4000, 2, 10 * EPOCH_MS, 1000);
    }

    /// @dev All times are short, so that a run sees each of them end.
    function deployOthers() internal override returns (address, address, address) {
        INodesTypes.Parameters memory p =
            INodesTypes.Parameters(12 * EPOCH_MS, 2 * EPOCH_MS, 14 * EPOCH_MS, 6 * EPOCH_MS, 6, 2);
        nodes = Deployed.nodes(address(epochs), governor, p);
        IAssayReservations.Parameters memory q = IAssayReservations.Parameters(60, 100_000, 2, 12, 1, 16);
        reservations = Deployed.reservations(address(epochs), nodes, governor, q);
        IAssayFaults.Shares memory shares = IAssayFaults.Shares(4_000, 2_000, 10_000, 10_000, 5_000, 10_000, 10_000);
        return
            (address(nodes), address(reservations), address(Deployed.faults(address(epochs), address(stake), shares)));
    }

    /// @dev The network at genesis, with budgets, terms and schedules, and whatever tokens its actors need.
    function begin() internal {
        deploy(Deployed.ecdsa());
        uint96[] memory stakes = new uint96[](6);
        (stakes[0], stakes[1], stakes[2]) = (40_000 ether, 25_000 ether, 20_000 ether);
        (stakes[3], stakes[4], stakes[5]) = (2_000 ether, 3_000 ether, 4_000 ether);
        join(stakes);
        for (uint256 i; i < HONEST; ++i) {
            _honest[vm.addr(keys[i])] = keys[i];
        }
        _committee = stake.committee(0);
        openGenesis();
        give(address(this), address(epochs), 1_000_000 ether);
        epochs.fund(0, BUDGETS, BUDGET);
        IAssayReservations.CreditTier[] memory tiers = new IAssayReservations.CreditTier[](2);
        (tiers[0], tiers[1]) =
        (IAssayReservations.CreditTier(995_000, 1_000), IAssayReservations.CreditTier(950_000, 10_000));
        vm.startPrank(governor);
        nodes.setClass(CLASS, INodesTypes.ClassTerms(PLEDGE, CAP, 60 ether, 9_000, 2_500));
        nodes.setClass(SECOND, INodesTypes.ClassTerms(PLEDGE, CAP / 2, 80 ether, 6_000, 2_500));
        reservations.setSchedule(CLASS, tiers);
        reservations.setSchedule(SECOND, tiers);
        vm.stopPrank();
        for (uint256 i; i < 3; ++i) {
            give(providers[i], address(nodes), 1_000_000 ether);
        }
        for (uint256 i; i < 2; ++i) {
            give(builders[i], address(reservations), 1_000_000 ether);
        }
    }

    // ------------------------------------------------------------------------------------------------------ committee

    function committeeBytes() internal view override returns (bytes memory) {
        return _committee;
    }

    /// @dev Of the honest members of the committee that signs next.
    function signaturesFor(bytes32 digest) private view returns (bytes memory out) {
        bytes memory committee = _committee;
        bytes memory bitmap = new bytes((committee.length / MEMBER + 7) / 8);
        for (uint256 i; i < committee.length / MEMBER; ++i) {
            address member;
            assembly ("memory-safe") {
                member := shr(96, mload(add(add(committee, 32), mul(i, MEMBER))))
            }
            if (_honest[member] == 0) continue;
            bitmap[i / 8] |= bytes1(uint8(1 << (i % 8)));
            out = bytes.concat(out, compact(_honest[member], digest));
        }
        return bytes.concat(bitmap, out);
    }

    // ----------------------------------------------------------------------------------------------------------- roots

    /// @dev Posts a root for the next epoch, which is over then. Whether that went through.
    function postTree(uint256 seed) internal returns (bool done) {
        uint64 epoch = epochs.nextEpoch();
        if (epochs.currentEpoch() <= epoch) toEndOf(epoch);
        Tree memory t = draw(epoch, seed);
        bytes memory signatures = signaturesFor(epochs.hashRoot(t.root));
        try epochs.postRoot(t.root, _committee, signatures) {
            done = true;
            enforce(t);
        } catch {}
    }

    /// @dev Replaces the root of an epoch, as long as that can be done; roots after it are not in force any more.
    function correctTree(uint64 epoch, uint256 seed) internal returns (bool done) {
        Tree memory t = draw(epoch, seed);
        bytes memory signatures = signaturesFor(epochs.hashRoot(t.root));
        uint64 next = epochs.nextEpoch();
        try epochs.correct(t.root, _committee, signatures) {
            done = true;
            for (uint64 e = epoch + 1; e < next; ++e) {
                treeOf[e] = 0;
            }
            enforce(t);
        } catch {}
    }

    function enforce(Tree memory t) private {
        Tree storage kept = trees.push();
        (kept.root, kept.earned, kept.history, kept.hashes) = (t.root, t.earned, t.history, t.hashes);
        (kept.nodes[0], kept.nodes[1]) = (t.nodes[0], t.nodes[1]);
        treeOf[t.root.epoch] = trees.length;
        _rounds[t.root.epoch] = t.root.round + 1;
        _committee = stake.committee(t.root.epoch + 1);
    }

    /// @dev The last epoch before this one that has a root: 1 + its tree's index, or 0.
    function treeBefore(uint64 epoch) internal view returns (uint256 i) {
        while (epoch != 0 && i == 0) i = treeOf[--epoch];
    }

    /// @dev What a committee says of an epoch, at random but within the rules.
    function draw(uint64 epoch, uint256 seed) private view returns (Tree memory t) {
        uint256 before = treeBefore(epoch);
        if (before != 0) {
            Tree storage p = trees[before - 1];
            (t.nodes, t.earned, t.history) = (p.nodes, p.earned, p.history);
        }
        uint64 passed = before == 0 ? epoch + 1 : epoch - trees[before - 1].root.epoch;
        for (uint256 n; n < 2; ++n) {
            t.history[n] = passed > 6 ? 0 : uint8(uint256(t.history[n]) << passed) & 0x3f;
            judge(t, n, epoch, uint256(keccak256(abi.encode(seed, n))));
        }
        uint128 sum;
        for (uint256 i; i < 3; ++i) {
            t.earned[i] += uint128((seed >> (32 * i)) % (epochs.budgetOf(epoch) / 3 + 1));
            sum += t.earned[i];
        }
        t.root = rootOf(epoch, treeRoot(t, epoch), sum);
        (t.root.leafCount, t.root.round) = (8, _rounds[epoch]);
        t.root.nextCommittee = verifier.committeeHash(stake.committee(epoch + 1));
    }

    function judge(Tree memory t, uint256 n, uint64 epoch, uint256 seed) private view {
        NodeLeaf memory l = t.nodes[n];
        (l.leafType, l.epoch, l.node, l.owner) = (1, epoch, nodeIds[n], named(n, epoch));
        l.confirmed = l.owner != address(0);
        bool judged = nodes.account(nodeIds[n]).owner != address(0);
        // breaches come in rows: an eighth of the epochs of a quiet time, half of a bad one
        uint256 drawn = (seed >> 8) % 8;
        if (!judged) drawn = 0;
        else if (epoch / 6 % 2 == n && drawn > 3) drawn = 7;
        l.verdict = drawn == 0 ? 0 : drawn < 6 ? 1 : drawn < 7 ? 2 : 3;
        l.cumulativeUpSlots += uint64(bound(seed >> 16, 0, 60));
        l.cumulativeDownSlots += uint64(bound(seed >> 80, 0, 6));
        if (l.verdict != 3) return;
        t.history[n] |= 1;
        uint256 count;
        for (uint8 h = t.history[n]; h != 0; h >>= 1) {
            count += h & 1;
        }
        // more than the cap of an epoch, at times
        uint256 most = seed >> 240 & 1 == 0 ? 2 * CAP : CAP / 3;
        if (count >= 3) l.cumulativeSlash += uint128(bound(uint96(seed >> 144), 1, most));
    }

    /// @dev Whom a node's claims name: the owner, or who accepted its offer in time; without an owner, who registered.
    function named(uint256 n, uint64 epoch) private view returns (address) {
        INodesTypes.Account memory a = nodes.account(nodeIds[n]);
        uint256 startMs = GENESIS_MS + uint256(epoch) * EPOCH_MS;
        if (a.owner != address(0)) return takesOver(n, a, startMs) ? a.transferTo : a.owner;
        for (uint256 i; i < 3; ++i) {
            INodesTypes.Registration memory r = nodes.registration(nodeIds[n], providers[(i + n) % 3]);
            if (waits(r) && r.registeredAtMs <= startMs) return r.provider;
        }
        return address(0);
    }

    function takesOver(uint256 n, INodesTypes.Account memory a, uint256 startMs) internal view returns (bool) {
        if (a.transferTo == address(0) || a.changeAnnouncedAtMs == 0) return false;
        if (startMs < uint256(a.changeAnnouncedAtMs) + nodes.parameters().changeDelayMs) return false;
        return waits(nodes.registration(nodeIds[n], a.transferTo));
    }

    function waits(INodesTypes.Registration memory r) internal pure returns (bool) {
        return r.status == NodeStatus.Provisional && r.exitEpochs == 0;
    }

    // ---------------------------------------------------------------------------------------------------------- leaves

    /// @dev Eight leaves: of nodes, providers, and three of nothing.
    function treeRoot(Tree memory t, uint64 epoch) private view returns (bytes32) {
        for (uint256 n; n < 2; ++n) {
            t.hashes[n] = hashOf(abi.encode(t.nodes[n]));
        }
        for (uint256 i; i < 3; ++i) {
            t.hashes[4 + i] = leafHash(rewardLeaf(epoch, providers[i], t.earned[i]));
        }
        return over(t.hashes, 0, 8);
    }

    function hashOf(bytes memory leaf) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(leaf)));
    }

    function over(bytes32[8] memory hashes, uint256 from, uint256 count) private pure returns (bytes32) {
        if (count == 1) return hashes[from];
        return Hashes.commutativeKeccak256(over(hashes, from, count / 2), over(hashes, from + count / 2, count / 2));
    }

    /// @dev Siblings of a leaf, from itself up.
    function proofOf(uint256 tree, uint256 leaf) internal view returns (bytes32[] memory proof) {
        bytes32[8] memory hashes = trees[tree].hashes;
        proof = new bytes32[](3);
        for (uint256 level; level < 3; ++level) {
            proof[level] = over(hashes, ((leaf >> level) ^ 1) << level, 1 << level);
        }
    }
}
