// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodesTypes} from "../../../src/interfaces/IAssayNodes.sol";
import {NodeStatus} from "../../../src/interfaces/Types.sol";
import {WholeNetwork} from "./WholeNetwork.sol";

/// @title What everybody has done and is owed, kept beside the books of the contracts.
abstract contract WholeBooks is WholeNetwork {
    /// @notice Which rule a mistake breaks.
    enum Rule {
        Money,
        Once,
        Claims,
        Slash,
        Silence,
        States
    }

    /// @dev What a call may do to registrations.
    enum Cause {
        Nothing,
        Register,
        End,
        Confirm,
        Settle,
        SettleAgain,
        Release,
        Remove,
        Exit
    }

    address internal constant DISPUTER = address(0xd15);
    address internal constant REPORTER = address(0x4e9);

    mapping(Rule => uint256) public mistakes;
    mapping(Rule => string) public lastMistake;
    /// @notice How often an action went through.
    mapping(string => uint256) public times;
    uint256 private _salt;

    // books of the nodes
    uint64[2] internal _settledEpochs;
    uint8[2] internal _settledCorrections;
    mapping(uint256 => NodeStatus) private _status;
    /// @dev by registration: the node's sum when it became the owner's; only what came later is asked for
    mapping(uint256 => uint128) internal _base;
    /// @dev by registration and epoch of a root: whether what it took left escrow for good
    mapping(uint256 => mapping(uint64 => bool)) internal _released;
    /// @dev by node and epoch: the tree whose leaf was settled last, and 1
    mapping(bytes32 => mapping(uint64 => uint256)) internal _settledTree;

    // books of the money
    mapping(address => uint256) internal _owed;
    mapping(bytes32 => mapping(uint64 => address)) internal _builderOf;
    mapping(address => uint256) internal _claimed;
    uint256 internal _treasuryGot;
    uint256 internal _reporterGot;
    uint256 internal _funded;
    uint256 internal _bonds;
    uint256 internal _staked;

    // what convicts
    uint32 internal _faults;

    // ---------------------------------------------------------------------------------------------------------- watch

    function mistake(Rule rule, string memory what) internal {
        ++mistakes[rule];
        lastMistake[rule] = what;
    }

    function did(string memory what) internal {
        ++times[what];
    }

    /// @dev The fuzzer likes small numbers and repeats them: what is drawn from a seed is even, and new each time.
    function mixed(uint256 seed) internal returns (uint256) {
        return uint256(keccak256(abi.encode(seed, ++_salt)));
    }

    /// @dev All that registrations are, but for when a root named them.
    function registrationsHash() internal view returns (bytes32 hash) {
        for (uint256 id = 1; id <= nodes.registrationCount(); ++id) {
            INodesTypes.Registration memory r = nodes.registrationAt(id);
            r.confirmingAtMs = 0;
            hash = keccak256(abi.encode(hash, r));
        }
    }

    /// @dev For calls that are no settlement: whatever happens, it takes nothing from any node and judges none.
    modifier still() {
        bytes32 before = registrationsHash();
        _;
        if (registrationsHash() != before) mistake(Rule.Silence, "a node was judged without a leaf");
        watch(Cause.Nothing);
    }

    /// @dev Every registration went from its state to one that the cause allows.
    function watch(Cause cause) internal {
        for (uint256 id = 1; id <= nodes.registrationCount(); ++id) {
            INodesTypes.Registration memory r = nodes.registrationAt(id);
            if (r.status == _status[id]) continue;
            if (!mayGo(_status[id], r, cause)) mistake(Rule.States, "a status that was not to be reached");
            _status[id] = r.status;
        }
    }

    function mayGo(NodeStatus from, INodesTypes.Registration memory r, Cause cause) private view returns (bool) {
        NodeStatus to = r.status;
        bool judged = cause == Cause.Settle || cause == Cause.SettleAgain;
        if (to == NodeStatus.Provisional) return from == NodeStatus.None && cause == Cause.Register;
        if (from == NodeStatus.Provisional) {
            return to == NodeStatus.None ? cause == Cause.End : to != NodeStatus.Removed && cause == Cause.Confirm;
        }
        // None and Removed are final
        if (from == NodeStatus.None || from == NodeStatus.Removed || to == NodeStatus.None) return false;
        if (to == NodeStatus.Removed) {
            bool empty = r.collateral == 0 && r.escrow == 0;
            bool suspended = from == NodeStatus.Suspended && (judged || cause == Cause.Remove);
            return suspended || cause == Cause.Exit || cause == Cause.Confirm || (empty && cause == Cause.Release);
        }
        bool poor = r.collateral < nodes.classTerms(r.classDigest).removeBelow;
        if (to == NodeStatus.Suspended && poor) return judged || cause == Cause.Release;
        if (cause == Cause.SettleAgain) return true;
        // one step at a time
        int256 step = int256(uint256(to)) - int256(uint256(from));
        return judged && (step == 1 || step == -1);
    }

    function latest(uint256 back) internal view returns (bool found, uint64 epoch) {
        uint64 next = epochs.nextEpoch();
        for (uint64 e = next; e != 0 && next - e < 16;) {
            if (treeOf[--e] == 0) continue;
            if (back == 0) return (true, e);
            --back;
        }
    }

    function inForce(uint256 tree) internal view returns (bool) {
        return treeOf[trees[tree].root.epoch] == tree + 1;
    }
}
