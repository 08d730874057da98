// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NodeLeaf} from "./Types.sol";

/// @title Builders reserve nodes; rent streams, a missed SLA pays itself.
/// @notice Holds Builders' prepaid rent. Rent is counted by billing period (a number of epochs). A period is settled by
/// the node leaf of its last epoch against the one of the last period: the slots between decide availability, and the
/// class's schedule how much of the period's rent goes back to the Builder as credit.
interface IAssayReservations {
    /// @notice One step of a credit schedule: below this availability, this share of the period's rent is credited.
    struct CreditTier {
        uint32 belowPpm;
        uint16 creditBps;
    }

    /// @notice What a provider offers a node for.
    struct Offer {
        uint128 pricePerEpoch;
        uint64 maxEpochs;
        bool open;
    }

    /// @param settledThrough first epoch that is not settled yet
    /// @param upSlots cumulative up slots at `settledThrough`
    /// @param held prepaid rent that is still here
    struct Reservation {
        bytes32 node;
        address builder;
        address provider;
        uint64 firstEpoch;
        uint64 endEpoch;
        uint64 settledThrough;
        uint64 upSlots;
        uint64 downSlots;
        uint128 pricePerEpoch;
        uint128 held;
        uint128 credited;
    }

    function offer(bytes32 node, uint128 pricePerEpoch, uint64 maxEpochs, bool open) external;
    /// @notice Reserves the whole node for epochs [firstEpoch, firstEpoch + epochs) at its offer's price, prepaid.
    /// @param maxPricePerEpoch reverts when the offer has become dearer
    function reserve(bytes32 node, uint64 firstEpoch, uint64 epochs, uint128 maxPricePerEpoch)
        external
        returns (uint256 id);
    /// @notice Settles the epochs up to and with the leaf's: rent to the provider, credit to the Builder. Anyone may, once
    /// the leaf's epoch is final.
    function settle(uint256 id, NodeLeaf calldata leaf, bytes32[] calldata proof) external;
    /// @notice After its end and a grace period without any leaf for it, what is held goes back to the Builder.
    function refund(uint256 id) external;
    /// @notice The Builder gives up what has not begun; a fee by the offer's terms may stay with the provider.
    function cancel(uint256 id) external;
    /// @notice Takes a slash's Builder share and credits it to whoever had the node reserved in that epoch.
    function depositSlash(bytes32 node, uint64 epoch, uint128 amount) external;
    /// @notice Pays what the caller has here: rent, credits, shares of slashes.
    function withdraw() external;
    function setSchedule(bytes32 classDigest, CreditTier[] calldata tiers) external;

    function reservation(uint256 id) external view returns (Reservation memory);
    function reservedBy(bytes32 node, uint64 epoch) external view returns (address);
    function balanceOf(address account) external view returns (uint128);
    function schedule(bytes32 classDigest) external view returns (CreditTier[] memory);
    function totalHeld() external view returns (uint256);
}
