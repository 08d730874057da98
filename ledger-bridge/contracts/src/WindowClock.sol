// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {IAssayEpochs} from "./interfaces/IAssayEpochs.sol";

/// @title The guardian's two powers: refuse new risks for a time, and stop the clock that windows are counted by.
/// @notice A stopped clock goes on where it stood, so a window that has closed stays closed. Each stop and each pause is
/// bounded, and rest must lie between two: whatever a guardian does, the clock runs at more than half the speed of time.
/// @dev Storage: `_clock` (1 slot), `_stops` (one checkpoint a stop: from when, how long the clock had stood before, how
/// long this time).
abstract contract WindowClock is IAssayEpochs {
    using Checkpoints for Checkpoints.Trace208;

    /// @notice Longest pause, in milliseconds.
    uint64 public constant MAX_PAUSE_MS = 7 days * 1000;
    /// @notice Longest stop of the clock of windows, in milliseconds.
    uint64 public constant MAX_EXTENSION_MS = 3 days * 1000;
    /// @notice Rest between two pauses, or two stops, in milliseconds.
    /// @dev from the end of a pause or stop to the beginning of the next
    uint64 public constant REST_MS = 7 days * 1000;

    /// @param stoodMs how long the clock stood still in all stops that were begun
    /// @param stopFromMs when the last stop began
    /// @param stopUntilMs when the last stop ends
    /// @param pausedUntilMs when the last pause ends, or was ended
    /// @param markMs a time of the clock that the heir keeps here, to read it with the rest
    struct Clock {
        uint48 stoodMs;
        uint48 stopFromMs;
        uint48 stopUntilMs;
        uint48 pausedUntilMs;
        uint48 markMs;
    }

    address public immutable override guardian;
    Clock private _clock;
    Checkpoints.Trace208 private _stops;

    constructor(address guardian_) {
        if (guardian_ == address(0)) revert ZeroId();
        guardian = guardian_;
    }

    /// @inheritdoc IAssayEpochs
    function pause(uint64 durationMs) external override {
        uint48 nowMs = _checkPower(durationMs, MAX_PAUSE_MS, _clock.pausedUntilMs);
        _clock.pausedUntilMs = nowMs + uint48(durationMs);
        emit Paused(_clock.pausedUntilMs);
    }

    /// @inheritdoc IAssayEpochs
    function unpause() external override {
        if (msg.sender != guardian) revert Unauthorized(guardian, msg.sender);
        if (isPaused()) _clock.pausedUntilMs = uint48(_nowMs());
        emit Paused(_clock.pausedUntilMs);
    }

    /// @inheritdoc IAssayEpochs
    function extendWindows(uint64 durationMs) external override {
        uint48 nowMs = _checkPower(durationMs, MAX_EXTENSION_MS, _clock.stopUntilMs);
        uint48 stood = _clock.stoodMs;
        _stops.push(nowMs, uint208(stood) << 104 | durationMs);
        (_clock.stoodMs, _clock.stopFromMs) = (stood + uint48(durationMs), nowMs);
        _clock.stopUntilMs = nowMs + uint48(durationMs);
        emit WindowsExtended(nowMs, _clock.stopUntilMs);
    }

    /// @inheritdoc IAssayEpochs
    function isPaused() public view override returns (bool) {
        return _nowMs() < _clock.pausedUntilMs;
    }

    /// @inheritdoc IAssayEpochs
    function windowExtensionMs(uint64 atMs) public view override returns (uint64) {
        uint64 nowMs = _nowMs();
        if (atMs >= nowMs) return 0; // equivalent: between a moment and itself there is nothing
        if (atMs >= _clock.stopUntilMs) return 0; // equivalent: from there on nothing was stood; spares the search
        return uint64(_stoodAt(uint48(nowMs)) - _stoodAt(uint48(atMs)));
    }

    /// @dev Time of the windows' clock.
    function _clockMs() internal view returns (uint48) {
        (uint48 stoodMs, uint48 untilMs) = (_clock.stoodMs, _clock.stopUntilMs);
        uint48 nowMs = uint48(_nowMs());
        // within a stop, what is left of it was not stood yet
        uint48 ahead = nowMs < untilMs ? untilMs - nowMs : 0; // equivalent: equal ones have no distance
        return nowMs - (stoodMs - ahead);
    }

    /// @dev What the clock showed at a moment up to now.
    function _clockAt(uint48 atMs) internal view returns (uint48) {
        return atMs - uint48(_stoodAt(atMs));
    }

    /// @dev When the clock showed, or will show, `clockMs`, as far as stops are known.
    function _timeOf(uint48 clockMs) internal view returns (uint48) {
        for (uint256 i = _stops.length(); i != 0; --i) {
            Checkpoints.Checkpoint208 memory stop = _stops.pos(uint32(i - 1));
            uint48 before = uint48(stop._value >> 104);
            if (stop._key - before < clockMs) return clockMs + before + uint48(stop._value);
        }
        return clockMs;
    }

    function _mark() internal view returns (uint48) {
        return _clock.markMs;
    }

    function _setMark(uint64 clockMs) internal {
        _clock.markMs = uint48(clockMs);
    }

    function _nowMs() internal view returns (uint64) {
        unchecked {
            return uint64(block.timestamp * 1000);
        }
    }

    /// @dev How long the clock had stood still at a moment, up to now.
    function _stoodAt(uint48 atMs) private view returns (uint256) {
        (uint208 stop, uint48 fromMs) = _stopAt(atMs);
        uint256 inThis = atMs - fromMs;
        uint256 length = uint104(stop);
        return (stop >> 104) + (inThis < length ? inThis : length); // equivalent: equal ones are either
    }

    /// @dev The last stop that had begun at a moment; of length 0 when there was none.
    function _stopAt(uint48 atMs) private view returns (uint208 stop, uint48 fromMs) {
        uint256 high = _stops.length();
        uint256 low;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            bool begun = _stops.pos(uint32(middle))._key <= atMs; // equivalent: as it begins, a stop adds nothing
            if (begun) low = middle + 1;
            else high = middle;
        }
        if (low == 0) return (0, atMs);
        Checkpoints.Checkpoint208 memory found = _stops.pos(uint32(low - 1));
        return (found._value, found._key);
    }

    function _checkPower(uint64 durationMs, uint64 max, uint48 lastEndMs) private view returns (uint48 nowMs) {
        if (msg.sender != guardian) revert Unauthorized(guardian, msg.sender);
        if (durationMs == 0 || durationMs > max) revert DurationOutOfBounds(max, durationMs);
        nowMs = uint48(_nowMs());
        if (lastEndMs != 0 && nowMs < lastEndMs + REST_MS) revert TooSoon(uint64(lastEndMs + REST_MS), nowMs);
    }
}
