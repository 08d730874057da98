// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {IAssayEpochs} from "../../src/interfaces/IAssayEpochs.sol";
import {Resolution} from "../../src/interfaces/Types.sol";

/// @title What AssayNodes and AssayReservations ask of AssayEpochs, without committees: whoever calls posts.
/// @notice Proofs, finality, corrections, void epochs, extension and a ring of records are as the interface says.
contract EpochsDouble {
    uint64 public constant GENESIS_MS = 1_700_000_000_000;
    uint64 public constant EPOCH_MS = 3_600_000;
    uint64 public constant WINDOW_MS = 24 * 3_600_000;
    uint64 public constant RING = 512;

    error NotProven(uint64 epoch, bytes32 root, bytes32 computed);

    address public token;
    address public treasury;
    address public reservations;
    bool public isPaused;
    uint64 public extensionMs;
    uint64 private _voidAfterMs = 600_000;
    mapping(uint64 => IAssayEpochs.EpochRecord) private _ring;

    constructor(address token_, address treasury_) {
        token = token_;
        treasury = treasury_;
    }

    function wire(address reservations_) external {
        reservations = reservations_;
    }

    function pause(bool on) external {
        isPaused = on;
    }

    function extend(uint64 ms) external {
        extensionMs = ms;
    }

    function setVoidAfterMs(uint64 ms) external {
        _voidAfterMs = ms;
    }

    function post(uint64 epoch, bytes32 root) external {
        uint64 atMs = uint64(block.timestamp * 1000);
        IAssayEpochs.EpochRecord storage r = _ring[epoch % RING];
        r.epoch = epoch;
        r.resolution = Resolution.Posted;
        r.corrections = 0;
        r.postedAtMs = atMs;
        r.finalAtMs = atMs + WINDOW_MS;
        r.root = root;
    }

    function postVoid(uint64 epoch) external {
        IAssayEpochs.EpochRecord storage r = _ring[epoch % RING];
        r.epoch = epoch;
        r.resolution = Resolution.Void;
        r.corrections = 0;
        r.root = 0;
    }

    /// @dev What a correction of an earlier epoch does to this one: it is to be posted again.
    function undo(uint64 epoch) external {
        _ring[epoch % RING].resolution = Resolution.Open;
        ++_ring[epoch % RING].corrections;
    }

    function correct(uint64 epoch, bytes32 root) external {
        IAssayEpochs.EpochRecord storage r = _ring[epoch % RING];
        require(r.epoch == epoch && r.resolution == Resolution.Posted, "not posted");
        require(!isFinal(epoch), "final");
        r.root = root;
        ++r.corrections;
    }

    function parameters() external view returns (IAssayEpochs.Parameters memory) {
        return IAssayEpochs.Parameters(GENESIS_MS, EPOCH_MS, _voidAfterMs, WINDOW_MS, WINDOW_MS, 1);
    }

    function currentEpoch() external view returns (uint64) {
        uint64 nowMs = uint64(block.timestamp * 1000);
        return nowMs < GENESIS_MS ? 0 : (nowMs - GENESIS_MS) / EPOCH_MS;
    }

    function epochRecord(uint64 epoch) external view returns (IAssayEpochs.EpochRecord memory record) {
        if (_ring[epoch % RING].epoch == epoch) record = _ring[epoch % RING];
    }

    function isVoid(uint64 epoch) external view returns (bool) {
        IAssayEpochs.EpochRecord storage r = _ring[epoch % RING];
        return r.epoch == epoch && r.resolution == Resolution.Void;
    }

    function isFinal(uint64 epoch) public view returns (bool) {
        IAssayEpochs.EpochRecord storage r = _ring[epoch % RING];
        if (r.epoch > epoch) return true;
        if (r.epoch != epoch || r.resolution != Resolution.Posted) return false;
        return block.timestamp * 1000 >= r.finalAtMs + extensionMs;
    }

    function windowExtensionMs(uint64) external view returns (uint64) {
        return extensionMs;
    }

    function proven(uint64 epoch, bytes32 leafHash, bytes32[] calldata proof)
        external
        view
        returns (IAssayEpochs.EpochRecord memory record)
    {
        record = _ring[epoch % RING];
        bytes32 computed = MerkleProof.processProof(proof, leafHash);
        if (record.epoch != epoch || record.resolution != Resolution.Posted || record.root != computed) {
            revert NotProven(epoch, record.root, computed);
        }
    }
}
