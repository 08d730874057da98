// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayNodes} from "../../src/AssayNodes.sol";
import {AssayReservations} from "../../src/AssayReservations.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IAssayNodes, INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";

/// @title The one place that holds the code of both contracts: compiling it into each test contract takes minutes.
contract Deployer {
    function nodes(address epochs, address governor, INodesTypes.Parameters calldata p) external returns (IAssayNodes) {
        return IAssayNodes(address(new AssayNodes(IAssayEpochs(epochs), governor, p)));
    }

    function reservations(
        address epochs,
        IAssayNodes nodes_,
        address governor,
        IAssayReservations.Parameters calldata p
    ) external returns (IAssayReservations) {
        return new AssayReservations(IAssayEpochs(epochs), nodes_, governor, p);
    }
}
