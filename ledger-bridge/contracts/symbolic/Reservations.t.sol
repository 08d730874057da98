// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssayReservations} from "../src/AssayReservations.sol";
import {IAssayEpochs} from "../src/interfaces/IAssayEpochs.sol";
import {IAssayNodes, INodesTypes} from "../src/interfaces/IAssayNodes.sol";
import {IAssayReservations} from "../src/interfaces/IAssayReservations.sol";
import {NodeLeaf} from "../src/interfaces/Types.sol";
import {Test} from "../test/support/Test.sol";

/// @title A reservation's rent is held, the provider's or the Builder's, and together it is what the contract has.
/// @notice For every price, length, moment and count of slots, with one reservation and one credit tier.
/// @dev Stands also for the token, the epochs and the nodes, which say what suits.
contract ReservationsCheck is Test {
    bytes32 private constant NODE = "node";
    address private constant PROVIDER = address(0xa11ce);
    address private constant BUILDER = address(0xb111de);
    address public constant treasury = address(0x7e);
    address public token = address(this);
    bool public constant isPaused = false;
    uint64 public currentEpoch;
    mapping(address => uint256) public balanceOf;
    AssayReservations private reservations;

    function setUp() public {
        IAssayReservations.Parameters memory p = IAssayReservations.Parameters(60, 100_000, 24, 100, 2, 72);
        reservations = new AssayReservations(IAssayEpochs(address(this)), IAssayNodes(address(this)), address(this), p);
        IAssayReservations.CreditTier[] memory t = new IAssayReservations.CreditTier[](1);
        t[0] = IAssayReservations.CreditTier(995_000, 1_000);
        reservations.setSchedule(0, t);
    }

    // ------------------------------------------------------------------------------------- token, epochs and nodes

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function parameters() external pure returns (IAssayEpochs.Parameters memory) {
        return IAssayEpochs.Parameters(0, 3_600_000, 0, 0, 0, 0);
    }

    function windowExtensionMs(uint64) external pure returns (uint64) {
        return 0;
    }

    function isFinal(uint64) external pure returns (bool) {
        return true;
    }

    function proven(uint64, bytes32, bytes32[] calldata) external pure returns (IAssayEpochs.EpochRecord memory r) {}

    function isVoid(uint64) external pure returns (bool) {
        return true;
    }

    function account(bytes32) external pure returns (INodesTypes.Account memory a) {
        a.owner = PROVIDER;
    }

    function isReservable(bytes32) external pure returns (bool) {
        return true;
    }

    function classOf(bytes32) external pure returns (bytes32) {
        return 0;
    }

    function providerAt(bytes32, uint64) external pure returns (address) {
        return PROVIDER;
    }

    // --------------------------------------------------------------------------------------------------- conservation

    /// @dev [10, 10 + n), where a billing period is 24.
    function reserve(uint96 price, uint64 n) private {
        vm.assume(price != 0);
        vm.prank(PROVIDER);
        reservations.offer(NODE, price, 1, 100, true);
        balanceOf[BUILDER] = uint256(price) * n;
        vm.prank(BUILDER);
        reservations.reserve(NODE, 10, n, price);
        assert(balanceOf[BUILDER] == 0);
        assertRent(uint256(price) * n);
    }

    function assertRent(uint256 rent) private view {
        uint256 owed = reservations.reservation(1).held;
        owed += uint256(reservations.balanceOf(PROVIDER)) + reservations.balanceOf(BUILDER);
        assert(owed == rent);
        assert(reservations.totalHeld() == rent);
        assert(balanceOf[address(reservations)] == rent);
    }

    function cancelled(uint96 price, uint64 epoch, uint64 left, uint64 paid) private {
        reserve(price, 60);
        currentEpoch = epoch;
        vm.prank(BUILDER);
        reservations.cancel(1);
        assertRent(uint256(price) * 60);
        assert(reservations.reservation(1).held == uint256(price) * left);
        assert(reservations.balanceOf(PROVIDER) == uint256(price) * paid);
    }

    function check_cancel_before(uint96 price) external {
        cancelled(price, 5, 0, 24);
    }

    function check_cancel_within(uint96 price) external {
        cancelled(price, 9, 24, 0);
    }

    function check_settle(uint96 price, uint64[2] calldata up, uint64[2] calldata down) external {
        reserve(price, 24);
        NodeLeaf memory leaf;
        (leaf.leafType, leaf.node, leaf.epoch) = (1, NODE, 9);
        (leaf.cumulativeUpSlots, leaf.cumulativeDownSlots) = (up[0], down[0]);
        reservations.start(1, leaf, new bytes32[](0));
        (leaf.epoch, leaf.cumulativeUpSlots, leaf.cumulativeDownSlots) = (33, up[1], down[1]);
        reservations.settle(1, leaf, new bytes32[](0));
        assertRent(uint256(price) * 24);
        assert(reservations.reservation(1).held == 0);
    }

    function check_refund(uint96 price) external {
        reserve(price, 60);
        vm.warp(1_000_000_000);
        reservations.refund(1);
        assertRent(uint256(price) * 60);
        assert(reservations.balanceOf(BUILDER) == uint256(price) * 60);
    }

    function check_depositSlash_withdraw(uint128 amount, uint128 other, address who) external {
        vm.assume(uint256(amount) + other <= type(uint128).max);
        balanceOf[address(this)] = uint256(amount) + other;
        reservations.depositSlash(NODE, 10, amount);
        reservations.depositSlash(NODE, 11, other);
        assert(reservations.totalHeld() == uint256(amount) + other);
        assert(balanceOf[address(reservations)] == uint256(amount) + other);
        reservations.withdraw(who);
        assert(who == treasury);
        assert(balanceOf[treasury] == uint256(amount) + other);
        assert(reservations.totalHeld() == 0);
        assert(balanceOf[address(reservations)] == 0);
    }
}
