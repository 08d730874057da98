// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EpochRoot} from "../../src/interfaces/Types.sol";
import {Network} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

/// @title Gas of a post as a transaction of its own, in a steady state: the ring's place reused, a next committee named.
/// forge-config: default.isolate = true
contract PostRootGasTest is Network {
    uint256 private constant MEMBERS = 100;
    uint256 private constant SIGNERS = 67;

    function setUp() public {
        deploy(Deployed.ecdsa());
        uint96[] memory stakes = new uint96[](MEMBERS);
        for (uint256 i; i < MEMBERS; ++i) {
            stakes[i] = uint96(10_000 ether + i * 1_234_567_890_123_456_789);
        }
        join(stakes);
        openGenesis();
        give(address(this), address(epochs), 1_000_000 ether);
        epochs.fund(0, 2, 10 ether);
        epochs.fund(1024, 2, 10 ether);
    }

    function test_postRoot_67of100() public {
        uint256 who = ((1 << SIGNERS) - 1) << (MEMBERS - SIGNERS);
        toEndOf(0);
        post(rootOf(0, keccak256("leaf 0"), 1 ether), who);
        toEndOf(1);
        post(rootOf(1, keccak256("leaf 1"), 2 ether), who);
        toEndOf(1024 + 12);
        for (uint64 e = 2; e < 1024; ++e) {
            epochs.postVoid(e);
        }
        EpochRoot memory r = rootOf(1024, keccak256("another"), 3 ether);
        r.nextCommittee = keccak256("another committee");
        bytes memory committee = committeeBytes();
        bytes memory signatures = signaturesOf(epochs.hashRoot(r), who);
        epochs.postRoot(r, committee, signatures);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("AssayEpochs", "postRoot ECDSA 67 of 100, as a transaction", used);
        vm.assertLe(used, 430_000, "gas");
    }
}
