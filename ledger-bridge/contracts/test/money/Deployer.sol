// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayNodes, INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";
import {Deployed} from "../support/Deployed.sol";

/// @title Deploys both contracts by a call of its own, which can refuse: see `Test`.
contract Deployer {
    function nodes(address epochs, address governor, INodesTypes.Parameters calldata p) external returns (IAssayNodes) {
        return Deployed.nodes(epochs, governor, p);
    }

    function reservations(
        address epochs,
        IAssayNodes nodes_,
        address governor,
        IAssayReservations.Parameters calldata p
    ) external returns (IAssayReservations) {
        return Deployed.reservations(epochs, nodes_, governor, p);
    }
}
