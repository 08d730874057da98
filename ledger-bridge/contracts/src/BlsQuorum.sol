// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bls12381} from "./Bls12381.sol";
import {IQuorumVerifier} from "./interfaces/IQuorumVerifier.sol";
import {Weights} from "./lib/Weights.sol";

/// @title Quorum by one aggregate BLS12-381 signature in G1, keys in G2.
/// @notice Ciphersuite BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_ over the 32 bytes of the digest. A member proves
/// possession of its key once, over chain, verifier, book and member, so that no key can be chosen to cancel others.
///
/// Keys are kept where they are cheap to read: as the code of pages, each of up to 95 keys, written once (`seal`). A post
/// then costs an addition in G2 for each member that has *not* signed, and one pairing.
///
/// Committee: the sum of all members' keys (256), how many members there are (1), the sum of their weights (4, big-endian),
/// then for each page that holds any: its address (20), how many members (1), and for each, ascending by place, place (1) ‖
/// weight (4), scaled as `Weights` says. Signatures: a bitmap of 32 bytes, a big-endian number whose bit i says that member
/// i, in that order, has *not* signed, then the sum of the signatures (128).
///
/// The hash of a committee vouches for its bytes: that sums are those of the members, and pages those of the book it was made
/// from, was true when it was encoded and named. Only members who did not sign are looked at again.
/// @dev Storage: `_keys` (one slot a member: hash of key, or page and place once sealed), `_pages` (one slot a page).
contract BlsQuorum is IQuorumVerifier {
    /// @dev what fits into a contract's code behind its STOP
    uint256 public constant PAGE_KEYS = 95;
    uint256 private constant MAX_MEMBERS = 255;
    uint256 private constant TOTAL = 256;
    /// @dev sum of keys, members, sum of weights
    uint256 private constant HEAD = 261;
    uint256 private constant BITMAP = 32;
    uint256 private constant PAGE_HEAD = 21;
    uint256 private constant ENTRY = 5;
    uint256 private constant PAGE_BIT = Weights.BITS + 8;
    bytes private constant SIGNATURE_TAG = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    bytes private constant POSSESSION_TAG = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

    /// @param pending hash of a key that is not in a page yet
    /// @param page 1 + index of the page
    struct Key {
        bytes32 pending;
        uint32 page;
        uint8 place;
    }

    mapping(address => mapping(address => Key)) private _keys;
    mapping(address => address[]) private _pages;

    /// @notice A member's key was proven; `seal` must put it into a page before it counts.
    event KeyEnrolled(address indexed book, address indexed member, bytes key);
    /// @notice Keys went into a page.
    event PageSealed(address indexed book, address page, address[] members);

    /// @notice The member has a key in this book.
    error AlreadyEnrolled(address member);
    /// @notice The proof is not of this key for this member in this book on this chain.
    error BadPossession();
    /// @notice Not the key that the member enrolled, or it is in a page already.
    error WrongKey(address member);
    /// @notice No keys, too many, or not one for each member.
    error BadPage(uint256 max, uint256 members, uint256 keys);
    /// @notice The signature is not of the members whose bits are set.
    error WrongAggregate();

    /// @inheritdoc IQuorumVerifier
    function scheme() external pure override returns (string memory) {
        return "bls12-381-min-sig";
    }

    // --------------------------------------------------------------------- keys

    /// @inheritdoc IQuorumVerifier
    /// @dev Also AlreadyEnrolled, BadPossession. Key: G2, 256 bytes; proof: G1, 128 bytes, over `possessionMessage`.
    function enrol(address member, bytes calldata key, bytes calldata proof) external override {
        if (key.length != Bls12381.G2_LENGTH) revert WrongKeyLength(Bls12381.G2_LENGTH, key.length);
        if (proof.length != Bls12381.G1_LENGTH) revert WrongProofLength(Bls12381.G1_LENGTH, proof.length);
        Key storage k = _keys[msg.sender][member];
        if (k.pending != 0 || k.page != 0) revert AlreadyEnrolled(member);
        bytes memory hash = Bls12381.hashToG1(possessionMessage(msg.sender, member, key), POSSESSION_TAG);
        if (!Bls12381.holds(Bls12381.check(proof, hash, key))) revert BadPossession();
        k.pending = keccak256(key);
        emit KeyEnrolled(msg.sender, member, key);
    }

    /// @notice What a member signs with its key under the tag BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_ to enrol.
    function possessionMessage(address book, address member, bytes memory key) public view returns (bytes memory) {
        return abi.encodePacked(block.chainid, address(this), book, member, key);
    }

    /// @notice Writes enrolled keys into one page; anyone may. The fewer pages a committee's keys lie in, the cheaper its
    /// posts.
    /// @dev Reverts with BadPage, WrongKey.
    /// @param book whose members they are
    /// @param members whose keys they are
    /// @param keys as they were enrolled
    function seal(address book, address[] calldata members, bytes[] calldata keys) external {
        uint256 count = members.length;
        if (count == 0 || count > PAGE_KEYS || keys.length != count) revert BadPage(PAGE_KEYS, count, keys.length);
        bytes memory code = new bytes(1 + count * Bls12381.G2_LENGTH);
        uint32 page = uint32(_pages[book].length + 1);
        for (uint256 i; i < count; ++i) {
            Key storage k = _keys[book][members[i]];
            bytes calldata key = keys[i];
            if (k.pending == 0 || k.pending != keccak256(key)) revert WrongKey(members[i]);
            (k.pending, k.page, k.place) = (0, page, uint8(i));
            assembly ("memory-safe") {
                calldatacopy(add(add(code, 33), shl(8, i)), key.offset, 256)
            }
        }
        address where = _deploy(code);
        _pages[book].push(where);
        emit PageSealed(book, where, members);
    }

    /// @inheritdoc IQuorumVerifier
    function isReady(address book, address member) public view override returns (bool) {
        return _keys[book][member].page != 0;
    }

    /// @notice A page of a book.
    function pageOf(address book, uint256 index) external view returns (address) {
        return _pages[book][index];
    }

    /// @dev A contract whose code is STOP and the keys: `code` begins with a zero byte.
    function _deploy(bytes memory code) private returns (address page) {
        // PUSH2 length, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN
        bytes memory init = abi.encodePacked(hex"61", uint16(code.length), hex"80600a3d393df3", code);
        assembly ("memory-safe") {
            page := create(0, add(init, 32), mload(init))
        }
        assert(page != address(0));
    }

    // ---------------------------------------------------------------- committee

    /// @inheritdoc IQuorumVerifier
    function encodeCommittee(address book, Member[] calldata members)
        external
        view
        override
        returns (bytes memory out)
    {
        uint256[] memory sorted = _byPlace(book, members);
        bytes memory total = new bytes(TOTAL);
        for (uint256 i; i < sorted.length;) {
            uint256 pageNumber = sorted[i] >> PAGE_BIT;
            address page = _pages[book][pageNumber - 1];
            uint256 first = i;
            bytes memory entries;
            for (; i < sorted.length && sorted[i] >> PAGE_BIT == pageNumber; ++i) {
                uint8 place = uint8(sorted[i] >> Weights.BITS);
                entries = abi.encodePacked(entries, place, uint32(sorted[i]));
                total = Bls12381.addG2(total, _keyAt(page, place));
            }
            out = abi.encodePacked(out, page, uint8(i - first), entries);
        }
        return abi.encodePacked(total, uint8(sorted.length), uint32(_weightOf(sorted)), out);
    }

    function _weightOf(uint256[] memory sorted) private pure returns (uint256 weight) {
        for (uint256 i; i < sorted.length; ++i) {
            weight += uint32(sorted[i]);
        }
    }

    /// @dev Page, place and scaled weight of each member in one number, sorted.
    function _byPlace(address book, Member[] calldata members) private view returns (uint256[] memory sorted) {
        uint256 shift = Weights.shiftOf(members, MAX_MEMBERS);
        sorted = new uint256[](members.length);
        for (uint256 i; i < members.length; ++i) {
            Key storage k = _keys[book][members[i].signer];
            if (k.page == 0) revert BadCommittee();
            uint256 weight = Weights.scaled(members[i].weight, shift);
            uint256 entry = uint256(k.page) << PAGE_BIT | uint256(k.place) << Weights.BITS | weight;
            uint256 used = i;
            for (; used > 0 && sorted[used - 1] > entry; --used)  // equivalent: no two are equal
            {
                sorted[used] = sorted[used - 1];
            }
            sorted[used] = entry;
        }
    }

    function _keyAt(address page, uint256 place) private view returns (bytes memory key) {
        key = new bytes(Bls12381.G2_LENGTH);
        assembly ("memory-safe") {
            extcodecopy(page, add(key, 32), add(1, shl(8, place)), 256)
        }
    }

    /// @inheritdoc IQuorumVerifier
    function committeeHash(bytes calldata committee) public pure override returns (bytes32) {
        return keccak256(committee);
    }

    // ------------------------------------------------------------------- verify

    /// @inheritdoc IQuorumVerifier
    /// @dev Also WrongAggregate.
    function verify(bytes32 digest, bytes32 expectedCommittee, bytes calldata committee, bytes calldata signatures)
        external
        view
        override
        returns (uint256 signedWeight, uint256 totalWeight)
    {
        bytes32 given = committeeHash(committee);
        if (given != expectedCommittee) revert WrongCommittee(expectedCommittee, given);
        if (committee.length < HEAD + PAGE_HEAD + ENTRY) revert BadCommittee();
        if (signatures.length != BITMAP + Bls12381.G1_LENGTH) revert BadSignatures();
        uint256 absent = _word(signatures, 0);
        uint256 sums = _word(committee, HEAD - 32);
        if (absent >> uint8(sums >> 32) != 0) revert BadSignatures();
        totalWeight = uint32(sums);
        bytes memory hash = Bls12381.hashToG1(bytes.concat(digest), SIGNATURE_TAG);
        bytes memory check = Bls12381.check(signatures[BITMAP:], hash, committee[:TOTAL]);
        signedWeight = totalWeight - _without(committee, absent, check);
        if (!Bls12381.holds(check)) revert WrongAggregate();
    }

    function _word(bytes calldata data, uint256 start) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(data.offset, start))
        }
    }

    /// @dev Takes the keys of those who have not signed out of the check, page by page. Each is copied behind the one that
    /// it is added to. What lies beyond the committee's end may be read as a page; then the pages do not end where it ends.
    /// @return weight of those
    function _without(bytes calldata committee, uint256 absent, bytes memory check)
        private
        view
        returns (uint256 weight)
    {
        bool good = true;
        uint256 sum = Bls12381.KEY;
        assembly ("memory-safe") {
            sum := add(add(check, 32), sum)
            let room := add(sum, 256)
            let from := add(committee.offset, HEAD)
            let end := add(committee.offset, committee.length)
            for {} lt(from, end) {} {
                let page := calldataload(from)
                let count := byte(20, page)
                page := shr(96, page)
                good := and(good, gt(count, 0))
                // where the word would begin that ends with entry 255: entry i is 5 * (255 - i) bytes before, a word
                // begins 27 bytes before the entry that ends it
                let last := add(add(from, PAGE_HEAD), sub(1275, 27))
                for { let bits := and(absent, sub(shl(count, 1), 1)) } bits {} {
                    let before := clz(bits)
                    bits := xor(bits, shr(before, shl(255, 1)))
                    let entry := calldataload(sub(last, mul(before, ENTRY)))
                    weight := add(weight, and(entry, 0xffffffff))
                    extcodecopy(page, room, add(1, and(shr(24, entry), 0xff00)), 256)
                    good := and(good, staticcall(gas(), 0x0d, sum, 512, sum, 256))
                }
                absent := shr(count, absent)
                from := add(from, add(PAGE_HEAD, mul(count, ENTRY)))
            }
            good := and(good, and(eq(from, end), iszero(absent)))
        }
        if (!good) revert BadCommittee();
    }
}
