// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {AssayEpochs} from "../../src/AssayEpochs.sol";
import {AssayFaults} from "../../src/AssayFaults.sol";
import {AssayNodes} from "../../src/AssayNodes.sol";
import {AssayReservations} from "../../src/AssayReservations.sol";
import {AssayStake} from "../../src/AssayStake.sol";
import {BlsQuorum} from "../../src/BlsQuorum.sol";
import {EcdsaQuorum} from "../../src/EcdsaQuorum.sol";
import {TestToken} from "../../src/TestToken.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {IAssayNodes, INodesTypes} from "../../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../../src/interfaces/IAssayReservations.sol";
import {IAssayStake} from "../../src/interfaces/IAssayStake.sol";
import {IQuorumVerifier} from "../../src/interfaces/IQuorumVerifier.sol";
import {EvidenceLibraries} from "../deployed/EvidenceLibraries.sol";
import {Vm} from "./Vm.sol";

/// @title Contracts with the code that a ledger gets: of the profile `deployed`, which tools/forge.sh builds first.
/// @dev Tests themselves are compiled without the IR pipeline, in a seventh of the time.
library Deployed {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function epochs(
        IAssayEpochs.Parameters memory p,
        IERC20 token_,
        IQuorumVerifier verifier,
        address treasury,
        address governor,
        address guardian
    ) internal returns (AssayEpochs) {
        return AssayEpochs(create("AssayEpochs", abi.encode(p, token_, verifier, treasury, governor, guardian)));
    }

    function stake(IAssayStake.Parameters memory p, AssayEpochs epochs_) internal returns (AssayStake) {
        return AssayStake(create("AssayStake", abi.encode(p, epochs_)));
    }

    function nodes(address epochs_, address governor, INodesTypes.Parameters memory p) internal returns (IAssayNodes) {
        return IAssayNodes(create("AssayNodes", abi.encode(epochs_, governor, p)));
    }

    function reservations(address epochs_, IAssayNodes nodes_, address governor, IAssayReservations.Parameters memory p)
        internal
        returns (IAssayReservations)
    {
        return IAssayReservations(create("AssayReservations", abi.encode(epochs_, nodes_, governor, p)));
    }

    function faults(address epochs_, address stake_, IAssayFaults.Shares memory s) internal returns (AssayFaults) {
        return AssayFaults(create("AssayFaults", abi.encode(epochs_, stake_, s)));
    }

    function ecdsa() internal returns (EcdsaQuorum) {
        return EcdsaQuorum(create("EcdsaQuorum", ""));
    }

    function bls() internal returns (BlsQuorum) {
        return BlsQuorum(create("BlsQuorum", ""));
    }

    function token(uint8 decimals) internal returns (TestToken) {
        return TestToken(create("TestToken", abi.encode(decimals)));
    }

    function evidenceLibraries() internal returns (EvidenceLibraries) {
        return EvidenceLibraries(create("EvidenceLibraries", ""));
    }

    function create(string memory name, bytes memory arguments) private returns (address) {
        return VM.deployCode(string.concat("out/deployed/", name, ".sol/", name, ".json"), arguments);
    }
}
