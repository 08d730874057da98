// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NodeLeaf, NodeStatus} from "./Types.sol";

/// @title What AssayNodes keeps, tells and refuses.
interface INodesTypes {
    /// @notice Network parameters, fixed for ever by the constructor.
    /// @param provisionalMs how long a registration waits for its confirmation, the acceptance of an offer from the end of
    /// `changeDelayMs` on; how long it is held once a posted root named it: at least twice the time until a root is final at
    /// the latest, since one that a correction undid is posted again
    /// @param changeDelayMs from an announced change of owner until a leaf can bring it
    /// @param removeAfterMs a suspension of this length ends in removal
    /// @param silenceMs after the exit delay: without any leaf for so long, collateral is free
    /// @param persistenceEpochs epochs over which a breach must persist before a leaf asks for it
    /// @param reauditEpochs epochs a re-audit may take; who leaves owes service for so many more
    struct Parameters {
        uint64 provisionalMs;
        uint64 changeDelayMs;
        uint64 removeAfterMs;
        uint64 silenceMs;
        uint32 persistenceEpochs;
        uint32 reauditEpochs;
    }

    /// @notice What a hardware class asks of a provider; by digest of the class, set once and never changed.
    /// @param collateral at registration, at least
    /// @param slashCapPerEpoch most that one epoch can take; a leaf has the caps of all epochs since the one settled before,
    /// with a root or without, and of those whose asks were voided
    /// @param removeBelow a node whose collateral falls below is suspended until it is topped up
    /// @param slashCapBps most that can be taken of a registration's pledge in all
    /// @param builderShareBps of a slash, to the Builders who had reserved the node; the rest to the treasury. A provider
    /// can be its own Builder: this share is what a slash may not cost it
    struct ClassTerms {
        uint128 collateral;
        uint128 slashCapPerEpoch;
        uint128 removeBelow;
        uint16 slashCapBps;
        uint16 builderShareBps;
    }

    /// @notice One provider's registration of one node. Never erased: who reads it later finds what was true then.
    /// @param statusBefore the status before the last settled epoch: what a correction of that epoch starts from
    /// @param exitEpochs 0, or 1 + the last epoch for which service is owed; of a provisional one: its acceptance lapsed
    /// @param exitLeafEpochs 0, or 1 + epoch of the first settled leaf at or after the end of the exit delay
    /// @param exitLeafCorrections how often that epoch had been corrected by then
    /// @param confirmingAtMs when a posted root first named it; 0 before
    /// @param endedAtMs when it was cancelled, expired or left; 0 before
    /// @param suspendedAtMs since when it is suspended; 0 when it is not
    /// @param pledged all that was ever pledged
    /// @param collateral what a slash can still take
    /// @param escrow slashed, and not final
    /// @param slashed gone for good
    /// @param counted the node's cumulative slash up to which this registration was asked
    /// @param spareEpochs epochs of asks that were voided: their caps count for the next ask
    /// @param offeredBy the owner whose offer it accepts; zero without
    /// @param confirmedAtMs when a leaf made its provider the owner; 0 before
    struct Registration {
        bytes32 node;
        address provider;
        NodeStatus status;
        NodeStatus statusBefore;
        uint64 exitEpochs;
        uint64 registeredAtMs;
        uint64 confirmingAtMs;
        uint64 endedAtMs;
        uint64 suspendedAtMs;
        uint128 pledged;
        uint128 collateral;
        uint128 escrow;
        uint128 slashed;
        uint128 counted;
        uint32 spareEpochs;
        uint64 exitLeafEpochs;
        uint8 exitLeafCorrections;
        address offeredBy;
        uint64 confirmedAtMs;
        bytes32 classDigest;
        bytes32 region;
        string endpoint;
    }

    /// @notice What roots have settled about a node.
    /// @param owner confirmed provider; zero before, and after it left
    /// @param settledCorrections how often the last settled epoch had been corrected by then
    /// @param settledEpochs 0, or 1 + the last settled epoch
    /// @param registrationId registration of the owner
    /// @param previousId registration of the owner before; 0 without
    /// @param handOverEpochs 0, or 1 + the last epoch that the owner before answers for; all ones while nobody followed
    /// @param chipsEpochs 0, or 1 + the epoch of the leaf that last bound or freed processors of this node
    /// @param confirmedEpochs 0, or 1 + the epoch whose leaf first confirmed an owner
    /// @param changeAnnouncedAtMs when the last offer was accepted; 0 without
    /// @param cumulativeSlash of the last settled leaf
    /// @param transferTo to whom the owner offered the node; zero once the owner is removed
    /// @param chips digest of the processors that the node is bound to, see NodeLeaf; zero without
    struct Account {
        address owner;
        uint8 settledCorrections;
        uint64 settledEpochs;
        uint64 registrationId;
        uint64 previousId;
        uint64 handOverEpochs;
        uint64 chipsEpochs;
        uint64 confirmedEpochs;
        uint64 changeAnnouncedAtMs;
        uint128 cumulativeSlash;
        address transferTo;
        bytes32 chips;
    }

    /// @notice A pledge was taken for a node; `transfer` when it was the acceptance of an offered node.
    event NodeRegistered(
        bytes32 indexed node,
        address indexed provider,
        bytes32 indexed classDigest,
        bytes32 region,
        string endpoint,
        uint128 pledged,
        bool transfer
    );
    /// @notice A registration ended without having been confirmed; its pledge was paid back.
    event RegistrationEnded(bytes32 indexed node, address indexed provider, uint128 paid, bool expired);
    /// @notice `provider` added `amount` to its pledge, and `collateral` is what a slash can take now; the token's
    /// smallest unit.
    event ToppedUp(bytes32 indexed node, address indexed provider, uint128 amount, uint128 collateral);
    /// @notice `provider`, who need not be the owner yet, says that the node answers at `endpoint` from now.
    event EndpointChanged(bytes32 indexed node, address indexed provider, string endpoint);
    /// @notice A posted root names this provider; a final one will make it the owner.
    event NodeConfirming(bytes32 indexed node, address indexed provider, uint64 epoch);
    /// @notice `chips` as the leaf has them: `ChipsChanged` tells what was bound.
    event NodeConfirmed(bytes32 indexed node, address indexed provider, uint64 epoch, bytes32 chips);
    /// @notice The owner `from` offers the node to `to`, or to nobody any more when that is zero: it took the offer back, is
    /// removed, or leaves.
    event TransferOffered(bytes32 indexed node, address indexed from, address indexed to);
    /// @notice The offer that `provider` had accepted ended: no leaf makes it the owner by that, and it owes service
    /// through `lastEpoch` only.
    event AcceptanceLapsed(bytes32 indexed node, address indexed provider, uint64 lastEpoch);
    /// @notice `to` is the owner now, by a final leaf of `epoch`: the last one that the pledge of `from` answers for.
    event HandedOver(bytes32 indexed node, address indexed from, address indexed to, uint64 epoch);
    /// @notice A leaf bound other processors to the node; `from` is zero for the first ones. `to` is zero when it lost them
    /// to another node. Those of an owner that leaves are free without this event.
    event ChipsChanged(bytes32 indexed node, bytes32 from, bytes32 to);
    /// @notice A node leaf was settled for `owner`: its sums and verdict count from now. `verdict` and `tier` as in
    /// NodeLeaf.
    event NodeSettled(bytes32 indexed node, uint64 indexed epoch, address indexed owner, uint8 verdict, uint8 tier);
    /// @notice `asked` was asked for, `taken` of it moved from collateral into escrow.
    event Slashed(
        bytes32 indexed node,
        address indexed provider,
        uint64 indexed epoch,
        uint128 asked,
        uint128 taken,
        uint128 collateral
    );
    /// @notice Escrow that went back to collateral, because a correction lowered or replaced what asked for it.
    event GivenBack(bytes32 indexed node, address indexed provider, uint64 epoch, uint128 amount, uint128 collateral);
    /// @notice Escrow that left for good.
    event Released(
        bytes32 indexed node, address indexed provider, uint64 indexed epoch, uint128 toTreasury, uint128 toBuilder
    );
    /// @notice A registration's status is `to` now. Not for the first Provisional, see `NodeRegistered`, nor for its
    /// end unconfirmed, see `RegistrationEnded`.
    event StatusChanged(bytes32 indexed node, address indexed provider, NodeStatus from, NodeStatus to);
    /// @notice By `requestExit`, hand-over or removal: service is owed through epoch `lastEpoch`, and the pledge can be
    /// slashed through `liableThrough` at least.
    event ExitRequested(bytes32 indexed node, address indexed provider, uint64 lastEpoch, uint64 liableThrough);
    /// @notice A registration ended by `exit`; `paid` is what was left of its collateral, in the token's smallest unit.
    event Exited(bytes32 indexed node, address indexed provider, uint128 paid);
    /// @notice The governor set a class's terms; they never change.
    event ClassSet(bytes32 indexed classDigest, ClassTerms terms);

    /// @notice The constructor's `name` is outside of what it can be.
    error BadParameter(string name, uint256 limit, uint256 actual);
    /// @notice Terms of classes are set by the governor, `expected`, only.
    error OnlyGovernor(address expected, address actual);
    /// @notice The guardian has paused the network: no new registration and no acceptance of an offer.
    error Paused();
    /// @notice The node, the class, or the constructor's governor is zero.
    error ZeroId();
    /// @notice The endpoint has `actual` bytes, more than `max`.
    error EndpointTooLong(uint256 max, uint256 actual);
    /// @notice The class has terms, and they never change.
    error ClassAlreadySet(bytes32 classDigest);
    /// @notice No terms were set for the class: no node can be registered in it.
    error UnknownClass(bytes32 classDigest);
    /// @notice The field `name` of the terms is above `limit`; of `collateral`: it is 0, and must be at least `limit`.
    error BadTerms(string name, uint256 limit, uint256 actual);
    /// @notice A pledge of `actual` is less than the class asks, `expected`, or a top-up is 0; in the token's smallest
    /// unit.
    error PledgeTooSmall(uint128 expected, uint128 actual);
    /// @notice The provider's latest registration of the node has not ended.
    error AlreadyRegistered(bytes32 node, address provider);
    /// @notice The node has a confirmed owner: until that one leaves, only its offer and `acceptTransfer` lead to
    /// another.
    error NodeTaken(bytes32 node, address owner);
    /// @notice Not for a registration of this status, or one that has ended. `provider` is zero where `remove` finds no
    /// owner.
    error WrongStatus(bytes32 node, address provider, NodeStatus actual);
    /// @notice A posted root named this registration: it waits until that root is final or the time is over.
    error Confirming(bytes32 node, address provider, uint256 untilMs, uint256 nowMs);
    /// @notice The provisional registration still waits for a leaf: until `expiresAtMs`, in Unix milliseconds.
    error NotExpired(bytes32 node, address provider, uint256 expiresAtMs, uint256 nowMs);
    /// @notice The caller, `actual`, is not the node's confirmed owner, `expected`; that is zero when it has none.
    error OnlyOwner(bytes32 node, address expected, address actual);
    /// @notice The owner leaves: its service ends with epoch `exitEpoch`. It cannot ask again, nor offer the node,
    /// nor can its offer be accepted.
    error Leaving(bytes32 node, address provider, uint64 exitEpoch);
    /// @notice The registration has no last epoch of service yet, or is provisional: that one ends by `cancel` or
    /// `expire`.
    error NotLeaving(bytes32 node, address provider);
    /// @notice The exit delay is over at `freeAtMs`, in Unix milliseconds, as the windows are extended so far.
    error ExitTooEarly(bytes32 node, address provider, uint256 freeAtMs, uint256 nowMs);
    /// @notice No leaf at or after the end of the exit delay was settled, or its root is not final or was replaced.
    error LastLeafMissing(bytes32 node, uint64 expectedEpoch, uint64 settledEpochs);
    /// @notice `release` comes first: `escrow` is not final or not paid out, its earliest entry asked for by a root of
    /// `epoch`.
    error EscrowPending(bytes32 node, address provider, uint64 epoch, uint128 escrow);
    /// @notice `actual`, who accepts or whom the leaf names, is not whom the node is offered to: `expected`, zero for
    /// nobody.
    error NotOffered(bytes32 node, address expected, address actual);
    /// @notice The owner before the current one can still be slashed.
    error PredecessorLiable(bytes32 node, address provider);
    /// @notice The leaf's type is not that of what this function takes: 1 for a node leaf.
    error WrongLeafType(uint8 expected, uint8 actual);
    /// @notice The leaf's root can still be replaced: `confirm` takes leaves of final epochs only.
    error EpochNotFinal(uint64 epoch);
    /// @notice The leaf confirms no owner.
    error NotConfirmed(bytes32 node, uint64 epoch);
    /// @notice `provider` has never registered the node, or has no registration that waits for a leaf to confirm it.
    error NotRegistered(bytes32 node, address provider);
    /// @notice The pledge was made in the epoch that began at `begunMs` (0: before the first), and stays through it.
    error MadeNow(bytes32 node, address provider, uint256 madeAtMs, uint256 begunMs);
    /// @notice An epoch began, at `sinceMs`, that counts the waiting registration: `cancel` comes too late.
    error Counts(bytes32 node, address provider, uint256 sinceMs);
    /// @notice The leaf's epoch began before the registration or before the end of the delay of a change of owner.
    error LeafTooEarly(bytes32 node, uint256 expectedMs, uint256 epochStartMs);
    /// @notice `settledEpochs` is 1 + the epoch of the newest leaf that was settled, or that bound processors.
    error StaleLeaf(bytes32 node, uint64 settledEpochs, uint64 epoch);
    /// @notice A leaf of this node and epoch was settled under this root or a later correction of it.
    error AlreadySettled(bytes32 node, uint64 epoch, uint8 corrections);
    /// @notice A newer leaf bound these processors to `actualNode`.
    error ChipsTaken(bytes32 chips, bytes32 expectedNode, bytes32 actualNode);
    /// @notice The leaf changes nothing of owner or processors.
    error NothingToConfirm(bytes32 node, uint64 epoch);
    /// @notice No escrow of this registration is there, or its earliest entry waits for its epochs to be final.
    error NothingToRelease(bytes32 node, address provider);
    /// @notice The suspended node can be removed from `removableAtMs` on, in Unix milliseconds, as the windows are
    /// extended so far.
    error NotSuspendedLongEnough(bytes32 node, uint256 removableAtMs, uint256 nowMs);
}

/// @title Who a node is: owner and processors.
/// @notice A machine with another TPM is another node: its owner leaves with the old id and registers the new one.
interface INodesIdentity is INodesTypes {
    /// @notice Takes a node leaf of a final epoch for what cannot be undone: who owns the node, and which processors
    /// it is bound to. A leaf makes nobody a later owner that is older than the last one settled.
    ///
    /// Processors follow the newest leaf: whatever it binds is bound, also when another node had it by an older one, which
    /// then has none. A leaf without processors frees none. A leaf older than the one that last bound or freed them, at its
    /// node or at the one that has them, still makes an owner, and leaves the processors as they are; it reverts where it
    /// brings nothing else.
    /// @dev Reverts: WrongLeafType, EpochNotFinal, NotConfirmed, NotOffered, NotRegistered, LeafTooEarly, StaleLeaf,
    /// ChipsTaken, NothingToConfirm, and what `IAssayEpochs.proven` reverts with.
    function confirm(NodeLeaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice Offers the node to `to`; zero takes an offer back, unless a posted root already named the new owner. The
    /// acceptance of the offer before lapses, also when the same one is offered anew: it owes no service after the current
    /// epoch, and no leaf confirms it.
    /// @dev Reverts: OnlyOwner, Leaving, Confirming, PredecessorLiable.
    function offerTransfer(bytes32 node, address to) external;

    /// @notice Pledges for an offered node, in its class. The caller becomes owner by `confirm` of a leaf that names it,
    /// of an epoch that began `changeDelayMs` later. The old pledge answers for all epochs up to that one; its service
    /// ends with the epoch of the confirmation, or where it was asked to end before, and it is then freed as by exit, of
    /// the later of both. The acceptance lapses when the owner offers anew, takes the offer back, is removed or leaves; a
    /// new offer can be accepted once the lapsed one is cancelled or expired.
    /// @dev Reverts: Paused, NotOffered, Leaving, EndpointTooLong, PledgeTooSmall, AlreadyRegistered,
    /// WrongAmountReceived.
    function acceptTransfer(bytes32 node, string calldata endpoint, uint128 amount) external;
}

/// @title Pledges, settlement, exit.
/// @notice Whatever is paid here, to a provider or the treasury, is paid at once; whom the token does not let receive it has it
/// in AssayReservations (`deposit`, `withdraw`).
interface INodesCollateral is INodesTypes {
    // ------------------------------------------------------------------------------------------------------ provider

    /// @notice Pledges `amount` for a node; provisional. Several providers may: the first that a root confirms wins, the
    /// others can take their pledge back. One account may register a node again after its registration ended: only a
    /// leaf of an epoch that began after the new registration confirms it, so no root about the old one can.
    /// @dev Reverts: Paused, ZeroId, EndpointTooLong, UnknownClass, PledgeTooSmall, NodeTaken, AlreadyRegistered,
    /// WrongAmountReceived.
    function register(bytes32 node, bytes32 classDigest, bytes32 region, string calldata endpoint, uint128 amount)
        external;

    /// @notice Ends the caller's registration that was beaten or lapsed, or an acceptance that no epoch has counted yet, and
    /// pays its pledge back. From the first epoch on that began with it roots can name its provider, and pay it: what waits
    /// then answers for the node when it is confirmed, and ends by `expire` if it is not. Nothing is cancelled in the epoch
    /// in which it was made: records are kept for ever, and one costs a pledge for some time.
    /// @dev Reverts: WrongStatus, MadeNow, Counts.
    function cancel(bytes32 node) external;

    /// @notice Ends an expired provisional registration; anyone may, the provider gets its pledge. It expires
    /// `provisionalMs` after a posted root first named it; without, after it was made. The acceptance of an offer expires
    /// `changeDelayMs` later than that, because no leaf can name it before; one that lapsed does not, it waits for nothing.
    /// @dev Reverts: WrongStatus, NotExpired.
    function expire(bytes32 node, address provider) external;

    /// @notice Adds to the caller's pledge. A node suspended for want of collateral comes back by its next pass.
    /// @dev Reverts: WrongStatus, PledgeTooSmall (0), WrongAmountReceived.
    function topUp(bytes32 node, uint128 amount) external;

    /// @notice Asks to leave: no new reservation from now. Service is owed through the current epoch and every epoch
    /// already reserved, and for `reauditEpochs` more, so that a breach of any of them can be tried. Collateral is free
    /// when the exit delay after that is over, a leaf at or after its end was settled and final, and nothing is in escrow.
    /// Asked again it ends service earlier, when reservations were cancelled since.
    /// @dev Reverts: OnlyOwner, WrongStatus, Leaving (it ends no earlier than it did).
    function requestExit(bytes32 node) external;

    /// @notice Pays what is left of the collateral and ends the registration; anyone may, the provider gets it. Without
    /// any leaf the node is not held for ever: `silenceMs` after the delay it needs none. The acceptance of an offer that is
    /// open then lapses. What lapsed does not leave so: it is cancelled or expires.
    /// @dev Reverts: WrongStatus, NotLeaving, ExitTooEarly, LastLeafMissing, EscrowPending.
    function exit(bytes32 node, address provider) external;

    /// @notice Where the node answers from now.
    /// @dev Reverts: EndpointTooLong, WrongStatus.
    function setEndpoint(bytes32 node, string calldata endpoint) external;

    // -------------------------------------------------------------------------------------------------------- anyone

    /// @notice Settles a node leaf of a posted epoch: status, and what it asks for into escrow. About a node without
    /// confirmed owner it only holds the named registration until the epoch is final. The same epoch again only after
    /// its root was corrected. Nothing the provider can do makes it revert.
    /// @dev Reverts: WrongLeafType, UnknownVerdict, StaleLeaf, AlreadySettled, NotConfirmed, NotRegistered,
    /// LeafTooEarly, and what `IAssayEpochs.proven` reverts with.
    /// @param proof siblings from the leaf up
    function settle(NodeLeaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice Pays escrow whose epochs are final to treasury and Builders, or back to collateral when an epoch was
    /// corrected since or its record is gone; at most 32 entries.
    /// @dev Reverts: NothingToRelease.
    function release(bytes32 node, address provider) external;

    /// @notice Removes a node that was suspended for `removeAfterMs`, without a leaf. Where a re-audit could still ask for
    /// its collateral, it owes service for `reauditEpochs` more. Its owner's offer ends, as by any removal: the acceptance
    /// lapses.
    /// @dev Reverts: WrongStatus, NotSuspendedLongEnough.
    function remove(bytes32 node) external;

    // ------------------------------------------------------------------------------------------------------ governor

    /// @notice Terms of a class; once, for ever.
    /// @dev Reverts: OnlyGovernor, ZeroId, ClassAlreadySet, BadTerms.
    function setClass(bytes32 classDigest, ClassTerms calldata terms) external;

    // --------------------------------------------------------------------------------------------------------- views

    /// @notice As the constructor fixed them; times in milliseconds.
    function parameters() external view returns (Parameters memory);
    /// @notice Epochs after the last one of service in which a pledge can be slashed: persistence + re-audit + the time
    /// until a root is final at the latest.
    function exitDelayEpochs() external view returns (uint64);
    /// @notice The only one to set the terms of classes; fixed by the constructor.
    function governor() external view returns (address);
    /// @notice Terms of a class, amounts in the token's smallest unit; all zero when none were set.
    function classTerms(bytes32 classDigest) external view returns (ClassTerms memory);
    /// @notice Number of registrations ever made.
    function registrationCount() external view returns (uint256);
    /// @notice Registration of an id, from 1 to `registrationCount`.
    function registrationAt(uint256 id) external view returns (Registration memory);
    /// @notice A provider's latest registration of a node.
    function registration(bytes32 node, address provider) external view returns (Registration memory);
    /// @notice All zero until a leaf first makes somebody the node's owner; its sums stay when the owner leaves.
    function account(bytes32 node) external view returns (Account memory);
    /// @notice Whether a Builder can reserve it now.
    function isReservable(bytes32 node) external view returns (bool);
    /// @notice Class of a node with a confirmed owner; zero otherwise.
    function classOf(bytes32 node) external view returns (bytes32);
    /// @notice Who answers for a node in an epoch, as far as known: the owner, or the one before up to the hand-over.
    function providerAt(bytes32 node, uint64 epoch) external view returns (address);
    /// @notice The node that is bound to these processors, by the newest leaf that `confirm` took; zero without.
    function nodeOfChips(bytes32 chips) external view returns (bytes32);
    /// @notice How many entries wait for `release`, those that took nothing too: `exit` waits for no such.
    function pendingReleases(bytes32 node, address provider) external view returns (uint256);
    /// @notice Sum of all collateral and escrow: what this contract owes.
    function totalHeld() external view returns (uint256);
}

/// @title Providers, nodes, collateral.
/// @notice Holds collateral and what was slashed of it. Collateral moves by proven leaves only.
///
/// Two kinds of proof. `settle` takes a leaf of any posted epoch and does what can be taken back: escrow and status.
/// `confirm` takes a leaf of a final epoch and does what cannot: owner and processors.
///
/// A slash goes: a node leaf's `cumulativeSlash` grows, which it does after persistence and re-audit only (both are
/// computed from the reports that roots agree on) -> escrow, within caps -> the epoch is final and was not corrected ->
/// treasury and Builder. If it was corrected, back to collateral, at the latest by the next leaf that is settled, which
/// asks for what its sum still holds.
/// Example, cap 40 an epoch and 50 % of a pledge of 200: a leaf asks for 30: collateral 170, escrow 30. The next asks for
/// 60 more: 40 taken, escrow 70; the 20 above the cap are never asked for again. The third asks for 90: 30 taken, as
/// 100 of 200 is the most. All final: 100 leave, 100 of collateral remain.
interface IAssayNodes is INodesCollateral, INodesIdentity {}
