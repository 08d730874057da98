// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NodeStatus} from "../interfaces/Types.sol";

/// @title What a verdict does to a node's state.
/// @notice Warned comes before suspended, and the way back has the same steps:
///
/// | verdict      | Active | Warned    | Suspended |
/// |--------------|--------|-----------|-----------|
/// | inconclusive | Active | Warned    | Suspended |
/// | pass         | Active | Active    | Warned    |
/// | warned       | Warned | Warned    | Suspended |
/// | breach       | Warned | Suspended | Suspended |
///
/// Whatever the verdict: a node whose collateral is below its class's `removeBelow` is not better than Suspended; one
/// that was Suspended for `removeAfterMs`, or has neither collateral nor escrow, is Removed. None, Provisional and
/// Removed stay what they are.
library NodeStates {
    uint8 internal constant INCONCLUSIVE = 0;
    uint8 internal constant PASS = 1;
    uint8 internal constant WARNED = 2;
    uint8 internal constant BREACH = 3;

    /// @notice The verdict is none of the four.
    error UnknownVerdict(uint8 max, uint8 actual);

    /// @dev The table above. Reverts: UnknownVerdict.
    function next(NodeStatus s, uint8 verdict) internal pure returns (NodeStatus) {
        if (verdict > BREACH) revert UnknownVerdict(BREACH, verdict);
        if (!isLive(s)) return s;
        if (verdict == PASS) return s == NodeStatus.Suspended ? NodeStatus.Warned : NodeStatus.Active;
        if (verdict == BREACH) return s == NodeStatus.Active ? NodeStatus.Warned : NodeStatus.Suspended;
        if (verdict == WARNED && s == NodeStatus.Active) return NodeStatus.Warned;
        return s;
    }

    /// @dev Whether a confirmed node is in use: Active, Warned or Suspended.
    function isLive(NodeStatus s) internal pure returns (bool) {
        return s == NodeStatus.Active || s == NodeStatus.Warned || s == NodeStatus.Suspended;
    }
}
