// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodesTypes} from "../../../src/interfaces/IAssayNodes.sol";
import {NodeStatus} from "../../../src/interfaces/Types.sol";
import {WholeEpochs} from "./WholeEpochs.sol";

/// @title What providers do with pledges.
abstract contract WholeProviders is WholeEpochs {
    function provide(uint256 seed) external {
        seed = mixed(seed);
        (uint256 n, uint256 i) = (seed % 2, (seed >> 8) % 3);
        address owner = nodes.account(nodeIds[n]).owner;
        uint256 what = (seed >> 16) % 10;
        Cause cause = Cause.Nothing;
        // what stands still is brought to its end
        if (nodes.registration(nodeIds[n], owner).exitEpochs != 0 && (seed >> 24) % 4 != 0) what = 4;
        if (what == 0 || (owner == address(0) && what > 3)) cause = registerBy(n, i, seed >> 32);
        else if (what == 1) cause = endOf(n, i, seed >> 32);
        else if (what == 2) cause = topUpBy(n, owner, seed >> 32);
        else if (what == 3) requestExitBy(n, owner, seed >> 32);
        else if (what == 4) cause = exitAll();
        else if (what < 7) cause = removeOf();
        else if (what == 7) cause = offerTransferBy(n, owner, i, seed >> 32);
        else cause = acceptBy(n);
        watch(cause);
    }

    function pledge(uint256 n, uint256 i, bytes32 class_) internal {
        vm.prank(providers[i]);
        nodes.register(nodeIds[n], class_, "region", "host:1", PLEDGE);
    }

    function registerBy(uint256 n, uint256 i, uint256 seed) private returns (Cause) {
        vm.prank(providers[i]);
        try nodes.register(nodeIds[n], n == 0 ? CLASS : SECOND, "", "", PLEDGE + uint128(seed % 50 ether)) {
            did("register");
            if (epochs.isPaused()) mistake(Rule.States, "registered while paused");
        } catch {}
        return Cause.Register;
    }

    function endOf(uint256 n, uint256 i, uint256 seed) private returns (Cause) {
        // one that waits, where there is any
        for (uint256 k; k < 5 && nodes.registration(nodeIds[n], providers[i]).status != NodeStatus.Provisional; ++k) {
            (n, i) = (k == 2 ? 1 - n : n, (i + 1) % 3);
        }
        uint256 before = token.balanceOf(providers[i]);
        INodesTypes.Registration memory r = nodes.registration(nodeIds[n], providers[i]);
        bool done;
        if (seed % 4 == 0) {
            address owner = nodes.account(nodeIds[n]).owner;
            vm.prank(providers[i]);
            try nodes.cancel(nodeIds[n]) {
                done = true;
                did("cancel");
                bool beaten = owner != address(0) && r.offeredBy == address(0);
                if (!beaten && waits(r) && counts(n, r)) mistake(Rule.Slash, "what a root can name was cancelled");
                if (r.registeredAtMs >= begunMs()) mistake(Rule.Money, "a pledge for no time");
            } catch {}
        } else {
            // what nobody confirmed in time
            if (seed % 4 == 1 && waits(r)) vm.warp(block.timestamp + 10 * HOUR);
            try nodes.expire(nodeIds[n], providers[i]) {
                done = true;
                did("expire");
            } catch {}
        }
        if (done && token.balanceOf(providers[i]) != before + r.pledged) mistake(Rule.Money, "a pledge came back");
        return Cause.End;
    }

    /// @dev Whether the roots of an epoch that has begun go by it, see `named`.
    function counts(uint256 n, INodesTypes.Registration memory r) private view returns (bool) {
        if (r.offeredBy == address(0)) return r.registeredAtMs < begunMs();
        return takesOver(n, nodes.account(nodeIds[n]), begunMs());
    }

    function begunMs() private view returns (uint256) {
        return GENESIS_MS + uint256(epochs.currentEpoch()) * EPOCH_MS;
    }

    function topUpBy(uint256 n, address owner, uint256 seed) private returns (Cause) {
        vm.prank(owner);
        try nodes.topUp(nodeIds[n], uint128(bound(seed, 1 ether, 60 ether))) {
            did("top up");
        } catch {}
        return Cause.Nothing;
    }

    /// @dev Not often: a node that nobody leaves has more to tell.
    function requestExitBy(uint256 n, address owner, uint256 seed) private {
        if (seed % 2 != 0) return;
        vm.prank(owner);
        try nodes.requestExit(nodeIds[n]) {
            did("request exit");
        } catch {}
    }

    function exitAll() private returns (Cause) {
        for (uint256 k; k < 6; ++k) {
            exitBy(k % 2, providers[k / 2]);
        }
        return Cause.Exit;
    }

    /// @dev Who leaves has back what it pledged but for what final roots took, and has answered for the last leaf.
    function exitBy(uint256 n, address provider) private {
        uint256 before = token.balanceOf(provider);
        INodesTypes.Account memory a = nodes.account(nodeIds[n]);
        INodesTypes.Registration memory r = nodes.registration(nodeIds[n], provider);
        try nodes.exit(nodeIds[n], provider) {
            did("exit");
            if (token.balanceOf(provider) + r.slashed != before + r.pledged) {
                mistake(Rule.Money, "what is left of a pledge came back");
            }
            // without any leaf after its service, it is free when nobody brought one for long
            bool silent = r.exitLeafEpochs == 0;
            if (provider == a.owner && !silent && r.counted < a.cumulativeSlash) {
                mistake(Rule.Slash, "left before it had answered for all that was settled");
            }
        } catch {}
    }

    function removeOf() private returns (Cause) {
        for (uint256 n; n < 2; ++n) {
            try nodes.remove(nodeIds[n]) {
                did("remove");
            } catch {}
        }
        return Cause.Remove;
    }

    /// @dev Half of the offers are accepted at once. One that is open stays, is taken back or replaced.
    function offerTransferBy(uint256 n, address owner, uint256 i, uint256 seed) private returns (Cause) {
        address open = nodes.account(nodeIds[n]).transferTo;
        if (open != address(0) && seed % 3 == 0) return Cause.Nothing;
        address to = open != address(0) && seed % 3 == 1 ? address(0) : providers[i];
        vm.prank(owner);
        try nodes.offerTransfer(nodeIds[n], to) {
            did("offer a node");
        } catch {}
        return (seed >> 8) % 2 == 0 ? acceptBy(n) : Cause.Nothing;
    }

    function acceptBy(uint256 n) private returns (Cause) {
        vm.prank(nodes.account(nodeIds[n]).transferTo);
        try nodes.acceptTransfer(nodeIds[n], "", PLEDGE) {
            did("accept a node");
        } catch {}
        return Cause.Register;
    }
}
