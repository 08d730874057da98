// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BlsQuorum} from "../../src/BlsQuorum.sol";
import {EpochRoot} from "../../src/interfaces/Types.sol";
import {BlsSigner} from "../support/BlsSigner.sol";
import {Network} from "../support/Network.sol";
import {Deployed} from "../support/Deployed.sol";

/// @title Gas of a post with an aggregate signature, and a whole network of this scheme.
/// forge-config: default.isolate = true
contract PostRootBlsGasTest is Network {
    uint160 private constant MEMBERS = 100;
    uint160 private constant FIRST_PAGE = 50;
    bytes private committee;

    function setUp() public {
        BlsQuorum quorum = Deployed.bls();
        deploy(quorum);
        for (uint160 i = 1; i <= MEMBERS; ++i) {
            address signer = address(i);
            bytes memory key = BlsSigner.keyOf(i);
            bytes memory message = quorum.possessionMessage(address(stake), signer, key);
            bytes memory proof = BlsSigner.sign(i, message, BlsSigner.POSSESSION_TAG);
            give(signer, address(stake), 20_000 ether);
            uint96 amount = uint96(10_000 ether + i * 1_234_567_890_123_456_789);
            bytes32 seed = bytes32(uint256(i));
            bytes memory edProof = possession(seed, stake, signer);
            bytes32 edKey_ = vm.publicKeyEd25519(seed);
            vm.prank(signer);
            stake.register(edKey_, edProof, seed, keccak256("s"), "", key, proof, amount);
        }
        vm.assertEq(stake.stakeAt(vm.publicKeyEd25519(bytes32(uint256(1))), 0), 0, "no weight without a page");
        sealFrom(quorum, 1, FIRST_PAGE);
        sealFrom(quorum, FIRST_PAGE + 1, MEMBERS);
        for (uint256 i = 1; i <= MEMBERS; ++i) {
            stake.refresh(vm.publicKeyEd25519(bytes32(i)));
        }
        openGenesis();
        committee = stake.committee(0);
        give(address(this), address(epochs), 1_000_000 ether);
        epochs.fund(0, 2, 10 ether);
        epochs.fund(1024, 2, 10 ether);
    }

    function sealFrom(BlsQuorum quorum, uint160 first, uint160 last) private {
        address[] memory who = new address[](last - first + 1);
        bytes[] memory keys_ = new bytes[](who.length);
        for (uint160 i; i < who.length; ++i) {
            (who[i], keys_[i]) = (address(first + i), BlsSigner.keyOf(first + i));
        }
        quorum.seal(address(stake), who, keys_);
    }

    function committeeBytes() internal view override returns (bytes memory) {
        return committee;
    }

    /// @dev The last `count` members, in the committee's order, which is the order of their secrets.
    function aggregate(bytes32 digest, uint256 count) private view returns (bytes memory) {
        bytes32 bitmap = bytes32((uint256(1) << (MEMBERS - count)) - 1);
        uint256 secret = count * (2 * MEMBERS - count + 1) / 2;
        return bytes.concat(bitmap, BlsSigner.sign(secret, bytes.concat(digest), BlsSigner.SIGNATURE_TAG));
    }

    function postBls(EpochRoot memory r, uint256 count) private {
        epochs.postRoot(r, committee, aggregate(epochs.hashRoot(r), count));
    }

    function measure(uint256 count) private returns (uint256) {
        toEndOf(0);
        postBls(rootOf(0, keccak256("leaf 0"), 1 ether), 67);
        toEndOf(1);
        postBls(rootOf(1, keccak256("leaf 1"), 2 ether), 67);
        toEndOf(1024 + 12);
        for (uint64 e = 2; e < 1024; ++e) {
            epochs.postVoid(e);
        }
        EpochRoot memory r = rootOf(1024, keccak256("another"), 3 ether);
        r.nextCommittee = keccak256("another committee");
        bytes memory signatures = aggregate(epochs.hashRoot(r), count);
        epochs.postRoot(r, committee, signatures);
        return vm.lastCallGas().gasTotalUsed;
    }

    function test_postRoot_33absent() public {
        uint256 used = measure(67);
        vm.snapshotValue("AssayEpochs", "postRoot BLS 33 of 100 absent, as a transaction", used);
        vm.assertLe(used, 250_000, "gas");
    }

    function test_postRoot_noneAbsent() public {
        uint256 used = measure(100);
        vm.snapshotValue("AssayEpochs", "postRoot BLS none of 100 absent, as a transaction", used);
        vm.assertLe(used, 250_000, "gas");
    }
}
