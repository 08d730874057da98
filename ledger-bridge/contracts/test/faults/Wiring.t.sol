// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayFaults} from "../../src/AssayFaults.sol";
import {IAssayFaults} from "../../src/interfaces/IAssayFaults.sol";
import {FaultsTest} from "./FaultsTest.sol";
import {Deployed} from "../support/Deployed.sol";

contract FaultsWiringTest is FaultsTest {
    function test_constructor_keepsContractsAndShares() public view {
        vm.assertEq(faults.epochs(), address(epochs), "epochs");
        vm.assertEq(faults.stake(), address(stake), "stake");
        uint16[7] memory expected = [uint16(10_000), 9_000, 1_000, 5_000, 2_500, 8_000, 7_000];
        for (uint8 i = 0; i < 7; ++i) {
            vm.assertEq(faults.shareOf(IAssayFaults.FaultKind(i)), expected[i], vm.toString(i));
        }
        vm.assertLt(address(faults).code.length, 24_576, "size");
    }

    function test_constructor_revertsWhen_aContractIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.NoContract.selector, "epochs"));
        this.build(address(0), address(stake), shares());
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.NoContract.selector, "stake"));
        this.build(address(epochs), address(0), shares());
    }

    /// @dev Called as `this.build`: see `Test`.
    function build(address epochs_, address stake_, IAssayFaults.Shares memory s) external returns (AssayFaults) {
        return Deployed.faults(epochs_, stake_, s);
    }

    function test_constructor_revertsWhen_aShareIsNoShare() public {
        for (uint8 i = 0; i < 7; ++i) {
            refused(i, 0);
            refused(i, 10_001);
        }
    }

    function refused(uint8 kind, uint16 bps) private {
        uint16[7] memory all = [uint16(1), 1, 1, 1, 1, 1, 1];
        all[kind] = bps;
        IAssayFaults.Shares memory bad = abi.decode(abi.encode(all), (IAssayFaults.Shares));
        vm.expectRevert(abi.encodeWithSelector(IAssayFaults.BadShare.selector, kind, bps));
        this.build(address(epochs), address(stake), bad);
    }

    /// @dev No two faults share a name, whatever their kinds.
    function testFuzz_faultId_isDifferentForEachKindAndHyperNode(bytes32 a, bytes32 b, bytes32 place) public view {
        vm.assume(a != b);
        bytes32 one = faults.faultId(IAssayFaults.FaultKind.TwoRoots, a, place);
        vm.assertFalse(one == faults.faultId(IAssayFaults.FaultKind.TwoVotes, a, place), "kind");
        vm.assertFalse(one == faults.faultId(IAssayFaults.FaultKind.TwoRoots, b, place), "HyperNode");
        vm.assertFalse(one == faults.faultId(IAssayFaults.FaultKind.TwoRoots, a, ~place), "place");
    }
}
