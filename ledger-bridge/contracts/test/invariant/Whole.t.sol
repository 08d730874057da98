// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Test} from "../support/Test.sol";
import {WholeBooks} from "./whole/WholeBooks.sol";
import {WholeHandler} from "./whole/WholeHandler.sol";

/// @title A cheat code without which a long game runs out of gas.
interface Unmetered {
    function pauseGasMetering() external;
}

/// @title What holds of all contracts together, whatever is called in whatever order.
/// @dev One invariant checks everything: each one more would play the same games again.
/// forge-config: default.invariant.runs = 20
/// forge-config: default.invariant.depth = 128
/// forge-config: default.invariant.fail-on-revert = true
contract WholeInvariantTest is Test {
    uint256 private constant GAMES = 20;
    uint256 private constant CALLS = 300;

    WholeHandler private handler;
    WholeHandler[] private games;
    bytes4[] private selectors;

    function setUp() public {
        handler = new WholeHandler();
        often(handler.post.selector, 5);
        often(handler.outage.selector, 1);
        often(handler.pass.selector, 1);
        often(handler.correct.selector, 2);
        often(handler.dispute.selector, 1);
        often(handler.closeDispute.selector, 1);
        often(handler.budget.selector, 1);
        often(handler.guard.selector, 1);
        often(handler.claim.selector, 1);
        often(handler.settle.selector, 8);
        often(handler.settleOld.selector, 1);
        often(handler.confirm.selector, 3);
        often(handler.release.selector, 2);
        often(handler.provide.selector, 6);
        often(handler.build.selector, 7);
        often(handler.bond.selector, 2);
        often(handler.convict.selector, 1);
        target(address(handler), selectors);
    }

    /// @dev What makes the others possible comes more often.
    function often(bytes4 selector, uint256 weight) private {
        for (uint256 i; i < weight; ++i) {
            selectors.push(selector);
        }
    }

    function invariant_everyRuleIsKept() public view {
        handler.checkMoney();
        handler.checkClaims();
        handler.checkSlashes();
        for (uint8 rule; rule <= uint8(type(WholeBooks.Rule).max); ++rule) {
            WholeBooks.Rule r = WholeBooks.Rule(rule);
            vm.assertEq(handler.mistakes(r), 0, handler.lastMistake(r));
        }
    }

    function afterInvariant() public {
        handler.drain();
    }

    /// @dev A few games from fixed seeds reach everything that the handler can do, so that no check is empty.
    function test_everythingIsReached() public {
        Unmetered(address(vm)).pauseGasMetering();
        for (uint256 game; game < GAMES; ++game) {
            if (game != 0) handler = new WholeHandler();
            play(game);
            invariant_everyRuleIsKept();
            handler.drain();
            games.push(handler);
        }
        string[51] memory all = [
            "post",
            "void",
            "pass",
            "correct",
            "dispute",
            "lose a bond",
            "win a bond",
            "reclaim",
            "allocate",
            "pause",
            "unpause",
            "extend",
            "claim",
            "refuse a claim",
            "settle",
            "settle a corrected leaf",
            "hold",
            "try a root that was replaced",
            "try a leaf that is settled",
            "take",
            "take a cap",
            "slash who leaves",
            "confirm",
            "hand over",
            "release",
            "release to a Builder",
            "give back",
            "register",
            "cancel",
            "expire",
            "top up",
            "request exit",
            "exit",
            "remove",
            "offer a node",
            "accept a node",
            "offer",
            "reserve",
            "cancel a reservation",
            "pay for a cancellation",
            "start a reservation",
            "bill",
            "credit",
            "refund",
            "withdraw",
            "bond",
            "unbond",
            "withdraw stake",
            "convict of two roots",
            "convict of a wrong root",
            "slash what is unbonding"
        ];
        for (uint256 i; i < all.length; ++i) {
            vm.assertGt(timesOf(all[i]), 0, all[i]);
        }
    }

    function play(uint256 game) private {
        for (uint256 i; i < CALLS; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(game, i)));
            bytes memory data = abi.encodeWithSelector(selectors[seed % selectors.length], seed);
            (bool done,) = address(handler).call(data);
            vm.assertTrue(done, "no call of the handler reverts");
        }
    }

    function timesOf(string memory what) private view returns (uint256 sum) {
        for (uint256 i; i < games.length; ++i) {
            sum += games[i].times(what);
        }
    }
}
