// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAssayLedger} from "./IAssayLedger.sol";

/// @title The one implementation of IAssayLedger; every rule is described there.
contract AssayLedger is IAssayLedger {
    uint8 private constant NODE_LEAF = 1;
    uint8 private constant PASS = 1;
    uint8 private constant WARNED = 2;
    uint8 private constant BREACH = 3;

    uint256 private constant BPS = 10_000;
    /// @dev the worst order of registration must still sort within one transaction's gas
    uint256 private constant MAX_HYPERNODES = 128;
    uint256 private constant MAX_ENDPOINT = 256;
    uint256 private constant MAX_PROOF = 64;
    /// @dev ten years; keeps every release time far inside uint64
    uint256 private constant MAX_WINDOW_MS = 315_360_000_000;
    /// @dev tranches one `claim` looks at, so that it never runs out of gas
    uint256 private constant MAX_TRANCHES = 128;
    /// @dev half the order of secp256k1: a larger s is the malleable twin of a signature
    bytes32 private constant MAX_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant ROOT_TYPEHASH = keccak256(
        "EpochRoot(bytes32 networkId,uint64 epoch,uint32 round,bytes32 inputSet,bytes32 committee,bytes32 root,uint32 leafCount,bytes32 evidenceRoot,bytes32 policyDigest,bytes32 nextCommittee)"
    );

    struct NodeKey {
        bytes32 node;
        address provider;
    }

    struct Tranche {
        uint64 releaseAtMs;
        uint128 amount;
    }

    struct Earnings {
        uint256 head;
        Tranche[] tranches;
    }

    address public immutable override deployer;
    Parameters private _parameters;

    bytes32 public override networkId;
    bytes32 public override committeeHash;
    uint64 public override nextEpoch;
    uint128 public override rewardPool;

    HyperNode[] private _hyperNodes;
    mapping(address => bool) private _signerTaken;
    mapping(bytes32 => bool) private _ed25519Taken;
    mapping(bytes32 => uint256) private _operatorStake;
    uint256 private _operatorCount;

    NodeKey[] private _nodes;
    mapping(bytes32 => mapping(address => Registration)) private _registrations;
    mapping(bytes32 => NodeAccount) private _accounts;
    mapping(uint64 => EpochRecord) private _epochs;
    mapping(address => Earnings) private _earnings;

    constructor(Parameters memory p) {
        if (p.epochMs == 0 || p.operatorCapBps == 0 || p.operatorCapBps > BPS) revert BadParameters();
        if (uint256(p.disputeWindowEpochs) * p.epochMs > MAX_WINDOW_MS) revert BadParameters();
        deployer = msg.sender;
        _parameters = p;
    }

    // ----------------------------------------------------------------- roster

    function registerHyperNode(
        bytes32 ed25519Key,
        bytes32 operatorId,
        bytes32 seedChainEnd,
        string calldata endpoint
    ) external payable override {
        if (networkId != 0) revert RosterClosed();
        if (_hyperNodes.length == MAX_HYPERNODES) revert RosterFull(MAX_HYPERNODES);
        if (ed25519Key == 0 || operatorId == 0 || seedChainEnd == 0) revert ZeroId();
        _checkValue(type(uint96).max);
        _checkEndpoint(endpoint);
        if (_signerTaken[msg.sender]) revert HyperNodeAlreadyRegistered(msg.sender);
        if (_ed25519Taken[ed25519Key]) revert Ed25519KeyAlreadyRegistered(ed25519Key);
        _signerTaken[msg.sender] = true;
        _ed25519Taken[ed25519Key] = true;
        if (_operatorStake[operatorId] == 0) ++_operatorCount;
        _operatorStake[operatorId] += msg.value;
        _hyperNodes.push(
            HyperNode(msg.sender, uint96(msg.value), 0, ed25519Key, operatorId, seedChainEnd, endpoint)
        );
        emit HyperNodeRegistered(msg.sender, ed25519Key, operatorId, msg.value);
    }

    function openGenesis(bytes32 networkId_) external override {
        if (msg.sender != deployer) revert OnlyDeployer(msg.sender);
        if (networkId != 0) revert GenesisAlreadyOpen();
        if (networkId_ == 0) revert ZeroId();
        uint256 count = _hyperNodes.length;
        if (count == 0) revert NoHyperNodes();
        uint256 capBps = _parameters.operatorCapBps;
        if (capBps * _operatorCount < BPS) revert CapTooSmall(capBps, _operatorCount);
        (Member[] memory members, uint256 totalWeight) = _weigh(count);
        networkId = networkId_;
        committeeHash = keccak256(abi.encode(members));
        emit GenesisOpened(networkId_, committeeHash, totalWeight);
    }

    /// @dev Caps every operator once against the uncapped total, splits what is left by stake, sorts by address.
    function _weigh(uint256 count) private returns (Member[] memory members, uint256 totalWeight) {
        uint256 totalStake;
        for (uint256 i; i < count; ++i) totalStake += _hyperNodes[i].stake;
        uint256 cap = totalStake * _parameters.operatorCapBps / BPS;
        members = new Member[](count);
        for (uint256 i; i < count; ++i) {
            HyperNode storage h = _hyperNodes[i];
            uint256 sum = _operatorStake[h.operatorId];
            uint96 weight = uint96(h.stake * (sum < cap ? sum : cap) / sum);
            if (weight == 0) revert ZeroWeight(h.signer);
            h.weight = weight;
            totalWeight += weight;
            _insert(members, i, Member(h.signer, weight));
        }
    }

    function _insert(Member[] memory members, uint256 used, Member memory m) private pure {
        while (used > 0 && members[used - 1].signer > m.signer) {
            members[used] = members[used - 1];
            --used;
        }
        members[used] = m;
    }

    // ------------------------------------------------------------------ nodes

    function registerNode(bytes32 nodeId, bytes32 classDigest, bytes32 region, string calldata endpoint)
        external
        payable
        override
    {
        if (nodeId == 0 || classDigest == 0) revert ZeroId();
        _checkValue(type(uint128).max);
        _checkEndpoint(endpoint);
        Registration storage r = _registrations[nodeId][msg.sender];
        if (r.cancelledAtMs != 0) revert RegistrationEnded(nodeId, msg.sender, r.cancelledAtMs);
        if (r.status != Status.None) revert NodeAlreadyRegistered(nodeId, msg.sender);
        address owner = _accounts[nodeId].owner;
        if (owner != address(0)) revert NodeAlreadyConfirmed(nodeId, owner);
        _nodes.push(NodeKey(nodeId, msg.sender));
        uint128 pledged = uint128(msg.value);
        _registrations[nodeId][msg.sender] = Registration(
            Status.Provisional, uint64(_nowMs()), 0, pledged, pledged, 0, classDigest, region, endpoint
        );
        emit NodeRegistered(nodeId, msg.sender, classDigest, msg.value);
    }

    function cancelRegistration(bytes32 nodeId) external override {
        Registration storage r = _registrations[nodeId][msg.sender];
        if (r.status != Status.Provisional) revert NotProvisional(nodeId, msg.sender);
        uint256 amount = r.collateral;
        r.status = Status.None;
        r.cancelledAtMs = uint64(_nowMs());
        r.collateral = 0;
        emit RegistrationCancelled(nodeId, msg.sender, amount);
        _pay(msg.sender, amount);
    }

    function fundRewards() external payable override {
        _checkValue(type(uint128).max);
        rewardPool += uint128(msg.value);
        emit RewardsFunded(msg.sender, msg.value);
    }

    // ----------------------------------------------------------------- epochs

    function postRoot(EpochRoot calldata r, Member[] calldata committee, bytes[] calldata signatures)
        external
        override
    {
        if (networkId == 0) revert GenesisNotOpen();
        if (r.networkId != networkId) revert WrongNetwork(networkId, r.networkId);
        if (r.epoch != nextEpoch) revert WrongEpoch(nextEpoch, r.epoch);
        uint256 endMs = _epochEndMs(r.epoch);
        if (_nowMs() < endMs) revert EpochNotFinished(r.epoch, endMs, _nowMs());
        _checkCommittee(r, committee);
        (uint256 signedWeight, uint256 totalWeight) = _signedWeight(hashRoot(r), committee, signatures);
        if (signedWeight * 3 <= totalWeight * 2) revert QuorumNotReached(signedWeight, totalWeight);
        _epochs[r.epoch] = EpochRecord(
            Resolution.Posted,
            r.round,
            r.leafCount,
            uint64(_nowMs()),
            r.root,
            r.inputSet,
            r.evidenceRoot,
            r.policyDigest,
            r.committee
        );
        nextEpoch = r.epoch + 1;
        committeeHash = r.nextCommittee;
        emit RootPosted(r.epoch, r.round, r.root, r.inputSet, signedWeight, totalWeight);
    }

    function postVoid(uint64 epoch) external override {
        if (networkId == 0) revert GenesisNotOpen();
        if (epoch != nextEpoch) revert WrongEpoch(nextEpoch, epoch);
        uint256 deadlineMs = _epochEndMs(epoch) + _parameters.voidAfterMs;
        if (_nowMs() < deadlineMs) revert VoidTooEarly(epoch, deadlineMs, _nowMs());
        _epochs[epoch].resolution = Resolution.Void;
        _epochs[epoch].resolvedAtMs = uint64(_nowMs());
        _epochs[epoch].committee = committeeHash;
        nextEpoch = epoch + 1;
        emit EpochVoided(epoch);
    }

    function _checkCommittee(EpochRoot calldata r, Member[] calldata committee) private view {
        if (r.committee != committeeHash) revert WrongCommittee(committeeHash, r.committee);
        bytes32 given = keccak256(abi.encode(committee));
        if (given != committeeHash) revert WrongCommittee(committeeHash, given);
        if (r.nextCommittee == 0) revert ZeroNextCommittee();
    }

    /// @dev Every signature present must be good: a bad one is the poster's fault, not an absence.
    function _signedWeight(bytes32 digest, Member[] calldata committee, bytes[] calldata signatures)
        private
        pure
        returns (uint256 signedWeight, uint256 totalWeight)
    {
        if (signatures.length != committee.length) revert WrongSignatureCount(committee.length, signatures.length);
        for (uint256 i; i < committee.length; ++i) {
            totalWeight += committee[i].weight;
            if (signatures[i].length == 0) continue;
            address signer = _recover(digest, signatures[i], i);
            if (signer != committee[i].signer) revert WrongSigner(i, committee[i].signer, signer);
            signedWeight += committee[i].weight;
        }
    }

    function _recover(bytes32 digest, bytes calldata signature, uint256 index) private pure returns (address signer) {
        if (signature.length != 65) revert BadSignatureLength(index, signature.length);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (s > MAX_S || (v != 27 && v != 28)) revert BadSignature(index);
        signer = ecrecover(digest, v, bytes32(signature[:32]), s);
        if (signer == address(0)) revert BadSignature(index);
    }

    // ------------------------------------------------------------- settlement

    function settle(uint64 epoch, NodeLeaf calldata leaf, bytes32[] calldata proof) external override {
        _checkLeaf(epoch, leaf, proof);
        NodeAccount storage a = _accounts[leaf.node];
        if (a.settledEpochs == epoch + 1) revert AlreadySettled(leaf.node, epoch);
        if (a.settledEpochs > epoch) revert StaleEpoch(leaf.node, a.settledEpochs - 1, epoch);
        a.settledEpochs = epoch + 1;
        if (_confirmed(a, leaf)) {
            Registration storage r = _registrations[leaf.node][leaf.owner];
            if (leaf.cumulativeReward < a.cumulativeReward || leaf.cumulativeSlash < a.cumulativeSlash) {
                revert CumulativeDecreased(leaf.node);
            }
            a.arrears += leaf.cumulativeReward - a.cumulativeReward;
            a.cumulativeReward = leaf.cumulativeReward;
            _accrue(leaf.node, a, _epochs[epoch].resolvedAtMs);
            _slash(a, r, leaf);
            _setStatus(leaf, r, _nextStatus(r, leaf.verdict));
        }
        emit NodeSettled(leaf.node, epoch, leaf.owner, leaf.verdict, leaf.tier);
    }

    function payArrears(bytes32 nodeId) external override {
        NodeAccount storage a = _accounts[nodeId];
        if (a.owner == address(0)) revert NotConfirmed(nodeId);
        _accrue(nodeId, a, _nowMs());
    }

    function claim() external override {
        Earnings storage e = _earnings[msg.sender];
        uint256 amount;
        uint256 head = e.head;
        uint256 stop = head + MAX_TRANCHES;
        if (stop > e.tranches.length) stop = e.tranches.length;
        for (; head < stop && e.tranches[head].releaseAtMs <= _nowMs(); ++head) {
            amount += e.tranches[head].amount;
            delete e.tranches[head];
        }
        if (amount == 0) revert NothingToClaim(msg.sender);
        e.head = head;
        emit Claimed(msg.sender, amount);
        _pay(msg.sender, amount);
    }

    function _checkLeaf(uint64 epoch, NodeLeaf calldata leaf, bytes32[] calldata proof) private view {
        EpochRecord storage record = _epochs[epoch];
        if (record.resolution != Resolution.Posted) revert EpochNotPosted(epoch);
        if (leaf.leafType != NODE_LEAF) revert WrongLeafType(NODE_LEAF, leaf.leafType);
        if (leaf.epoch != epoch) revert WrongLeafEpoch(epoch, leaf.epoch);
        if (leaf.verdict > BREACH) revert UnknownVerdict(leaf.verdict);
        if (proof.length > MAX_PROOF) revert ProofTooLong(proof.length, MAX_PROOF);
        bytes32 computed = leafHash(leaf);
        for (uint256 i; i < proof.length; ++i) computed = _hashPair(computed, proof[i]);
        if (computed != record.root) revert BadProof(record.root, computed);
    }

    /// @dev Whether the leaf may move money: its owner is, or hereby becomes, the node's confirmed provider.
    function _confirmed(NodeAccount storage a, NodeLeaf calldata leaf) private returns (bool) {
        if (a.owner != address(0)) {
            if (leaf.owner != a.owner) revert WrongOwner(leaf.node, a.owner, leaf.owner);
            return true;
        }
        if (!leaf.confirmed) {
            if (leaf.cumulativeReward != 0 || leaf.cumulativeSlash != 0) revert NotConfirmed(leaf.node);
            return false;
        }
        Registration storage r = _registrations[leaf.node][leaf.owner];
        if (r.status != Status.Provisional) revert NodeNotRegistered(leaf.node, leaf.owner);
        a.owner = leaf.owner;
        emit NodeConfirmed(leaf.node, leaf.owner, leaf.epoch);
        _setStatus(leaf, r, Status.Active);
        return true;
    }

    /// @dev Moves as much of the arrears as the pool holds into a tranche; tranches stay in release order.
    function _accrue(bytes32 node, NodeAccount storage a, uint256 fromMs) private {
        uint128 amount = a.arrears < rewardPool ? a.arrears : rewardPool;
        if (amount == 0) return;
        a.arrears -= amount;
        rewardPool -= amount;
        uint64 releaseAtMs = uint64(fromMs + uint256(_parameters.disputeWindowEpochs) * _parameters.epochMs);
        Tranche[] storage tranches = _earnings[a.owner].tranches;
        uint256 count = tranches.length;
        if (count > _earnings[a.owner].head && tranches[count - 1].releaseAtMs >= releaseAtMs) {
            releaseAtMs = tranches[count - 1].releaseAtMs;
            tranches[count - 1].amount += amount;
        } else {
            tranches.push(Tranche(releaseAtMs, amount));
        }
        emit RewardAccrued(node, a.owner, amount, a.arrears, releaseAtMs);
    }

    function _slash(NodeAccount storage a, Registration storage r, NodeLeaf calldata leaf) private {
        uint128 asked = leaf.cumulativeSlash - a.cumulativeSlash;
        if (asked == 0) return;
        a.cumulativeSlash = leaf.cumulativeSlash;
        uint128 taken = asked < r.collateral ? asked : r.collateral;
        r.collateral -= taken;
        r.escrow += taken;
        emit Slashed(leaf.node, leaf.owner, leaf.epoch, asked, taken);
    }

    /// @dev A breach steps down once, a pass steps up once; nothing brings back a node without collateral.
    function _nextStatus(Registration storage r, uint8 verdict) private view returns (Status) {
        Status s = r.status;
        if (s == Status.Removed || r.collateral == 0) return Status.Removed;
        if (verdict == BREACH) return s == Status.Active ? Status.Warned : Status.Suspended;
        if (verdict == PASS) return s == Status.Suspended ? Status.Warned : Status.Active;
        if (verdict == WARNED && s == Status.Active) return Status.Warned;
        return s;
    }

    function _setStatus(NodeLeaf calldata leaf, Registration storage r, Status s) private {
        if (r.status == s) return;
        r.status = s;
        emit StatusChanged(leaf.node, leaf.owner, s);
    }

    // ------------------------------------------------------------------ views

    function parameters() external view override returns (Parameters memory) {
        return _parameters;
    }

    function epochRecord(uint64 epoch) external view override returns (EpochRecord memory) {
        return _epochs[epoch];
    }

    function hyperNodeCount() external view override returns (uint256) {
        return _hyperNodes.length;
    }

    function hyperNodeAt(uint256 index) external view override returns (HyperNode memory) {
        return _hyperNodes[index];
    }

    function nodeCount() external view override returns (uint256) {
        return _nodes.length;
    }

    function nodeAt(uint256 index) external view override returns (NodeView memory) {
        NodeKey storage k = _nodes[index];
        return NodeView(k.node, k.provider, _registrations[k.node][k.provider], _accounts[k.node]);
    }

    function registration(bytes32 nodeId, address provider) external view override returns (Registration memory) {
        return _registrations[nodeId][provider];
    }

    function account(bytes32 nodeId) external view override returns (NodeAccount memory) {
        return _accounts[nodeId];
    }

    function rewards(address provider) external view override returns (uint256 claimable, uint256 waiting) {
        Earnings storage e = _earnings[provider];
        for (uint256 i = e.head; i < e.tranches.length; ++i) {
            if (e.tranches[i].releaseAtMs <= _nowMs()) claimable += e.tranches[i].amount;
            else waiting += e.tranches[i].amount;
        }
    }

    function domainSeparator() public view override returns (bytes32) {
        return
            keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("Assay"), keccak256("1"), block.chainid, address(this)));
    }

    function hashRoot(EpochRoot calldata r) public view override returns (bytes32) {
        return keccak256(abi.encodePacked("\x19\x01", domainSeparator(), keccak256(abi.encode(ROOT_TYPEHASH, r))));
    }

    function leafHash(NodeLeaf calldata leaf) public pure override returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(leaf))));
    }

    // ---------------------------------------------------------------- helpers

    function _nowMs() private view returns (uint256) {
        return block.timestamp * 1000;
    }

    function _epochEndMs(uint64 epoch) private view returns (uint256) {
        return _parameters.genesisUnixMs + (uint256(epoch) + 1) * _parameters.epochMs;
    }

    function _hashPair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }

    function _checkValue(uint256 max) private view {
        if (msg.value == 0) revert ZeroValue();
        if (msg.value > max) revert ValueTooLarge(msg.value, max);
    }

    function _checkEndpoint(string calldata endpoint) private pure {
        if (bytes(endpoint).length > MAX_ENDPOINT) revert EndpointTooLong(bytes(endpoint).length, MAX_ENDPOINT);
    }

    function _pay(address to, uint256 amount) private {
        (bool ok,) = to.call{value: amount}("");
        if (!ok) revert TransferFailed(to, amount);
    }
}
