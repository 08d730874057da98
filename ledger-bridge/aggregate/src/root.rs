//! What the ledger checks: the committee's hash, the signed epoch root, the outcome tree, signatures and their quorum.
//!
//! ```text
//! committee hash = keccak256(members)                        address (20) ‖ scaled weight (4) of each, ascending by address
//! digest         = keccak256(0x1901 ‖ domain ‖ struct hash)  EIP-712, name "Assay", version "2"
//! leaf hash      = keccak256(keccak256(abi.encode(leaf)))     of a NodeLeaf (type 1) or a RewardLeaf (type 3)
//! node           = keccak256(min ‖ max)                       OpenZeppelin MerkleProof; an odd node is promoted
//! ```
//!
//! Leaves are sorted by hash, so the tree does not depend on the order in which nodes were computed.

use crate::more_than_two_thirds;
use crate::weights::WEIGHT_MAX;
use alloy_primitives::keccak256;
use assay_protocol::ids::{Address, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Ppm};
use assay_protocol::item::Blob;
use assay_protocol::layout::SignedRoot;
use assay_protocol::merkle;
use assay_protocol::params::RosterEntry;
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use std::collections::BTreeMap;

/// Most members of a committee: as many as `EcdsaQuorum` takes.
pub const MEMBERS_MAX: usize = 256;

/// Length of an outcome signature: r ‖ s ‖ v, v = 27 or 28.
pub const SIGNATURE_LEN: usize = 65;

const DOMAIN_TYPE: &[u8] =
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const ROOT_TYPE: &[u8] = b"EpochRoot(bytes32 networkId,uint64 epoch,uint32 round,bytes32 inputSet,\
bytes32 committee,bytes32 root,uint32 leafCount,bytes32 evidenceRoot,bytes32 policyDigest,\
uint128 cumulativeReward,bytes32 nextCommittee)";
/// Type of a node's leaf. Types are numbers for ever; 2 is not used.
pub const LEAF_TYPE_NODE: u8 = 1;
/// Type of a provider's leaf.
pub const LEAF_TYPE_REWARD: u8 = 3;
/// Leaf type of an [`AbsenceLeaf`].
pub const LEAF_TYPE_ABSENCE: u8 = 4;

type Word = [u8; 32];

/// A member of a committee as the ledger knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Account whose signatures count.
    pub address: Address,
    /// Capped stake, at most 2⁹⁶ − 1.
    pub weight: u128,
}

/// Why signatures, members or a proof were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Too many members.
    #[error("committee: expected at most {MEMBERS_MAX} members, got {0}")]
    TooManyMembers(usize),
    /// An address occurs twice.
    #[error("committee: member {0} occurs twice")]
    MemberTwice(Address),
    /// A weight is zero or does not fit 96 bits.
    #[error("committee: weight of {address}: expected 1 to 2^96 - 1, got {weight}")]
    MemberWeight {
        /// Member.
        address: Address,
        /// Its weight.
        weight: u128,
    },
    /// Not a recoverable secp256k1 signature.
    #[error("signature: {0}")]
    Signature(&'static str),
    /// Signed by somebody who is not in the committee.
    #[error("signature by {0}, who is not in the committee")]
    Stranger(Address),
    /// One member signed twice.
    #[error("two signatures by {0}")]
    SignedTwice(Address),
    /// Not more than two thirds of the weight.
    #[error("quorum: expected more than 2/3 of weight {total}, got {signed}")]
    NoQuorum {
        /// Weight that signed.
        signed: u128,
        /// Weight of the committee.
        total: u128,
    },
    /// The leaf is not in the tree.
    #[error("outcome tree: leaf {0} is not in it")]
    NotInTree(Keccak),
}

/// A committee: distinct members with weight, ascending by address.
///
/// What counts for a quorum are weights in 32 bits, as the contracts scale them (`contracts/src/lib/Weights.sol`): all are
/// shifted right by one number, the least with which their sum and one for each member stay below 2³²; what a shift would
/// make zero is one. The share of any set of members is off by less than 1.2 · 10⁻⁷.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committee {
    members: Vec<Member>,
    shift: u32,
}

impl Committee {
    /// Sorts and checks members.
    pub fn new(mut members: Vec<Member>) -> Result<Self, RootError> {
        if members.len() > MEMBERS_MAX {
            return Err(RootError::TooManyMembers(members.len()));
        }
        members.sort_unstable();
        for pair in members.windows(2) {
            if let [a, b] = pair
                && a.address == b.address
            {
                return Err(RootError::MemberTwice(a.address));
            }
        }
        for Member { address, weight } in &members {
            if !(1..=WEIGHT_MAX).contains(weight) {
                return Err(RootError::MemberWeight {
                    address: *address,
                    weight: *weight,
                });
            }
        }
        let shift = shift_of(&members);
        Ok(Self { members, shift })
    }

    /// The members, ascending by address, with their whole weights.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Sum of all scaled weights: what a quorum is two thirds of.
    pub fn total(&self) -> u128 {
        self.members.iter().fold(0, |sum, member| {
            sum.saturating_add(self.scaled(member).into())
        })
    }

    /// Scaled weight of an account; `None` for strangers.
    pub fn weight(&self, address: &Address) -> Option<u128> {
        let at = self
            .members
            .binary_search_by_key(address, |member| member.address)
            .ok()?;
        self.members
            .get(at)
            .map(|member| self.scaled(member).into())
    }

    /// keccak256 of [`Committee::encode`].
    pub fn hash(&self) -> Keccak {
        keccak(&self.encode())
    }

    /// The bytes that `EcdsaQuorum` takes: address (20) ‖ scaled weight (4, big-endian) of each member.
    pub fn encode(&self) -> Vec<u8> {
        let entry = |member: &Member| {
            let weight = self.scaled(member).to_be_bytes();
            member.address.0.into_iter().chain(weight)
        };
        self.members.iter().flat_map(entry).collect()
    }

    fn scaled(&self, member: &Member) -> u32 {
        let weight = member.weight.checked_shr(self.shift).unwrap_or(0);
        u32::try_from(weight).unwrap_or(u32::MAX).max(1)
    }
}

/// How far the weights are shifted, 0 to 73.
fn shift_of(members: &[Member]) -> u32 {
    let total = members
        .iter()
        .fold(0u128, |sum, member| sum.saturating_add(member.weight));
    let fits = |shift: &u32| {
        let sum = total.checked_shr(*shift).unwrap_or(0);
        sum.saturating_add(members.len() as u128) < 1 << 32
    };
    (0..u128::BITS).find(fits).unwrap_or(u128::BITS)
}

/// What a committee signs once per epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochRoot {
    /// Network.
    pub network: NetworkId,
    /// Epoch the outcomes belong to.
    pub epoch: Epoch,
    /// Round of the agreement.
    pub round: u32,
    /// H(L), see [`crate::agreement::input_set_hash`].
    pub input_set: Digest,
    /// Hash of the committee that signs.
    pub committee: Keccak,
    /// Root of the outcome tree; zero when there is no leaf.
    pub root: Keccak,
    /// Number of leaves of all types.
    pub leaf_count: u32,
    /// Root over the reports' log heads.
    pub evidence_root: Digest,
    /// Digest of the classes and parameters verdicts were judged by.
    pub policy_digest: Digest,
    /// Rewards of all providers since genesis, the sum of the reward leaves, in the token's smallest unit.
    pub cumulative_reward: u128,
    /// Hash of the committee that signs the next epoch.
    pub next_committee: Keccak,
}

impl EpochRoot {
    /// What was signed, of an audit bundle's record and the hash of the committee in it.
    pub fn of_record(network: NetworkId, signed: &SignedRoot, committee: Keccak) -> Self {
        Self {
            network,
            epoch: signed.epoch,
            round: signed.round,
            input_set: signed.input_set,
            committee,
            root: signed.root,
            leaf_count: signed.leaf_count,
            evidence_root: signed.evidence_root,
            policy_digest: signed.policy_digest,
            cumulative_reward: signed.cumulative_reward,
            next_committee: signed.next_committee,
        }
    }

    /// The record of an audit bundle: with the committee that signs, parallel to it who signed, and whose stake counts.
    pub fn record(
        &self,
        committee: &Committee,
        signatures: Vec<Blob>,
        roster: Vec<RosterEntry>,
    ) -> SignedRoot {
        let member = |member: &Member| (member.address, member.weight);
        SignedRoot {
            epoch: self.epoch,
            round: self.round,
            input_set: self.input_set,
            committee: committee.members().iter().map(member).collect(),
            root: self.root,
            leaf_count: self.leaf_count,
            evidence_root: self.evidence_root,
            policy_digest: self.policy_digest,
            cumulative_reward: self.cumulative_reward,
            next_committee: self.next_committee,
            signatures,
            roster,
        }
    }

    /// The EIP-712 digest to sign, bound to one chain and one contract.
    pub fn digest(&self, chain_id: u64, contract: &Address) -> Keccak {
        let domain = domain_separator(chain_id, contract);
        keccak(&[&[0x19, 0x01][..], &domain.0, &self.struct_hash().0].concat())
    }

    /// EIP-712 `hashStruct`.
    pub fn struct_hash(&self) -> Keccak {
        let words = [
            keccak(ROOT_TYPE).0,
            self.network.0,
            number(self.epoch.0.into()),
            number(self.round.into()),
            self.input_set.0,
            self.committee.0,
            self.root.0,
            number(self.leaf_count.into()),
            self.evidence_root.0,
            self.policy_digest.0,
            number(self.cumulative_reward),
            self.next_committee.0,
        ];
        keccak(&words.concat())
    }
}

/// EIP-712 domain separator of name "Assay", version "2".
pub fn domain_separator(chain_id: u64, contract: &Address) -> Keccak {
    let words = [
        keccak(DOMAIN_TYPE).0,
        keccak(b"Assay").0,
        keccak(b"2").0,
        number(chain_id.into()),
        address_word(contract),
    ];
    keccak(&words.concat())
}

/// One node's outcome of an epoch, as settled on the ledger. Sums are cumulative since genesis, so that one settlement
/// covers all earlier epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeLeaf {
    /// Epoch.
    pub epoch: Epoch,
    /// Node.
    pub node: NodeId,
    /// Confirmed owner, or the registered one while provisional.
    pub owner: Address,
    /// Whether a root (this or an earlier one) confirmed the owner.
    pub confirmed: bool,
    /// Digest over the processors' chip ids; zero when none was proven.
    pub chips: Digest,
    /// [`crate::verdict::Verdict`] code.
    pub verdict: u8,
    /// [`crate::verdict::reason`] bits.
    pub reasons: u8,
    /// Attestation tier.
    pub tier: u8,
    /// Point availability.
    pub availability: Ppm,
    /// Lower 95 % bound.
    pub lower: Ppm,
    /// Upper 95 % bound.
    pub upper: Ppm,
    /// Share of slots decided.
    pub coverage: Ppm,
    /// Median chase rate, reads per second.
    pub chase_rate: u64,
    /// Kind of the chase rate.
    pub chase_kind: u8,
    /// Slots decided as up, of all epochs up to this one.
    pub cumulative_up_slots: u64,
    /// Slots decided as down, of all epochs up to this one.
    pub cumulative_down_slots: u64,
    /// Slashes of all epochs up to this one, in the token's smallest unit.
    pub cumulative_slash: u128,
}

impl NodeLeaf {
    /// `abi.encode` of all fields, leaf type 1 first: 18 words.
    pub fn abi(&self) -> Vec<u8> {
        [
            number(LEAF_TYPE_NODE.into()),
            number(self.epoch.0.into()),
            self.node.0,
            address_word(&self.owner),
            number(self.confirmed.into()),
            self.chips.0,
            number(self.verdict.into()),
            number(self.reasons.into()),
            number(self.tier.into()),
            number(self.availability.0.into()),
            number(self.lower.0.into()),
            number(self.upper.0.into()),
            number(self.coverage.0.into()),
            number(self.chase_rate.into()),
            number(self.chase_kind.into()),
            number(self.cumulative_up_slots.into()),
            number(self.cumulative_down_slots.into()),
            number(self.cumulative_slash),
        ]
        .concat()
    }

    /// The leaf that is encoded so, if there is one.
    pub fn from_abi(abi: &[u8]) -> Option<Self> {
        let (words, rest) = abi.as_chunks::<32>();
        let words: [[u8; 32]; 18] = words.try_into().ok().filter(|_| rest.is_empty())?;
        let [_, epoch, node, owner, confirmed, chips, words @ ..] = words;
        let [verdict, reasons, tier, point, lower, upper, words @ ..] = words;
        let [coverage, rate, kind, up, down, slash] = words;
        let ppm = |word: &[u8; 32]| u32::try_from(read(word)).ok().map(Ppm);
        let byte = |word: &[u8; 32]| u8::try_from(read(word)).ok();
        let long = |word: &[u8; 32]| u64::try_from(read(word)).ok();
        let leaf = Self {
            epoch: Epoch(long(&epoch)?),
            node: NodeId(node),
            owner: Address(*owner.last_chunk()?),
            confirmed: read(&confirmed) == 1,
            chips: Digest(chips),
            verdict: byte(&verdict)?,
            reasons: byte(&reasons)?,
            tier: byte(&tier)?,
            availability: ppm(&point)?,
            lower: ppm(&lower)?,
            upper: ppm(&upper)?,
            coverage: ppm(&coverage)?,
            chase_rate: long(&rate)?,
            chase_kind: byte(&kind)?,
            cumulative_up_slots: long(&up)?,
            cumulative_down_slots: long(&down)?,
            cumulative_slash: read(&slash),
        };
        // The type, and what is cut off above.
        Some(leaf).filter(|leaf| leaf.abi() == abi)
    }

    /// See [`leaf_hash`].
    pub fn hash(&self) -> Keccak {
        leaf_hash(&self.abi())
    }
}

/// The lower half of a word.
fn read(word: &[u8; 32]) -> u128 {
    let low = word.last_chunk().copied().unwrap_or_default();
    u128::from_be_bytes(low)
}

/// What a provider has earned with all its nodes since genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewardLeaf {
    /// Epoch.
    pub epoch: Epoch,
    /// Who is paid.
    pub provider: Address,
    /// Rewards of all epochs up to this one, in the token's smallest unit.
    pub cumulative_reward: u128,
}

impl RewardLeaf {
    /// `abi.encode` of all fields, leaf type 3 first: 4 words.
    pub fn abi(&self) -> Vec<u8> {
        [
            number(LEAF_TYPE_REWARD.into()),
            number(self.epoch.0.into()),
            address_word(&self.provider),
            number(self.cumulative_reward),
        ]
        .concat()
    }

    /// See [`leaf_hash`].
    pub fn hash(&self) -> Keccak {
        leaf_hash(&self.abi())
    }
}

/// A HyperNode with a say of which no agreed list had a report for as many epochs as the network allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsenceLeaf {
    /// Epoch.
    pub epoch: Epoch,
    /// Who is absent.
    pub hypernode: HyperNodeId,
    /// What the network allows: as many agreed epochs in a row at least, up to this one, lack a report of it.
    pub missed: u32,
}

impl AbsenceLeaf {
    /// `abi.encode` of all fields, leaf type 4 first: 4 words.
    pub fn abi(&self) -> Vec<u8> {
        [
            number(LEAF_TYPE_ABSENCE.into()),
            number(self.epoch.0.into()),
            self.hypernode.0,
            number(self.missed.into()),
        ]
        .concat()
    }

    /// See [`leaf_hash`].
    pub fn hash(&self) -> Keccak {
        leaf_hash(&self.abi())
    }
}

/// Hash of a leaf's ABI encoding: twice, so that no inner node can be shown as a leaf.
pub fn leaf_hash(abi: &[u8]) -> Keccak {
    keccak(&keccak(abi).0)
}

/// The outcome tree with all its levels, leaves first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeTree {
    levels: Vec<Vec<Keccak>>,
}

impl OutcomeTree {
    /// The tree over these leaf hashes, in any order.
    pub fn new(mut leaves: Vec<Keccak>) -> Self {
        leaves.sort_unstable();
        let mut levels = vec![leaves];
        while let Some(row) = levels.last().filter(|row| row.len() > 1) {
            let above = row.chunks(2).map(parent).collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The root; zero for no leaves.
    pub fn root(&self) -> Keccak {
        self.levels
            .last()
            .and_then(|row| row.first())
            .copied()
            .unwrap_or(Keccak([0; 32]))
    }

    /// Siblings of a leaf, bottom up, as OpenZeppelin's `MerkleProof.verify` takes them.
    pub fn proof(&self, leaf: &Keccak) -> Result<Vec<Keccak>, RootError> {
        let missing = RootError::NotInTree(*leaf);
        let leaves = self.levels.first().ok_or(missing.clone())?;
        let mut at = leaves.binary_search(leaf).map_err(|_| missing)?;
        let mut proof = Vec::new();
        for row in &self.levels {
            proof.extend(row.get(at ^ 1));
            at /= 2;
        }
        Ok(proof)
    }
}

/// Whether the siblings lead from `leaf` to `root`.
pub fn verify_proof(leaf: &Keccak, proof: &[Keccak], root: &Keccak) -> bool {
    proof
        .iter()
        .fold(*leaf, |hash, sibling| pair_hash(&hash, sibling))
        == *root
}

/// The account that signed `digest`. Only the low-s form with v = 27 or 28 counts, so each signature has one spelling.
pub fn recover(digest: &Keccak, signature: &[u8]) -> Result<Address, RootError> {
    use RootError::Signature as Refused;
    let bytes: &[u8; SIGNATURE_LEN] = signature
        .try_into()
        .map_err(|_| Refused("expected 65 bytes"))?;
    let (scalars, v) = bytes.split_at(64);
    let id = match v {
        [27] => RecoveryId::new(false, false),
        [28] => RecoveryId::new(true, false),
        _ => return Err(Refused("expected v to be 27 or 28")),
    };
    let parsed = Signature::from_slice(scalars).map_err(|_| Refused("r or s out of range"))?;
    if parsed.normalize_s().is_some() {
        return Err(Refused("expected s in the lower half of the group order"));
    }
    VerifyingKey::recover_from_prehash(&digest.0, &parsed, id)
        .map(|key| address_of(&key))
        .map_err(|_| Refused("no key leads to it"))
}

/// Signs a digest with a raw secp256k1 key, deterministically (RFC 6979).
pub fn sign(digest: &Keccak, key: &[u8; 32]) -> Result<[u8; SIGNATURE_LEN], RootError> {
    let key = SigningKey::from_slice(key).map_err(|_| RootError::Signature("unusable key"))?;
    let (signature, id) = key
        .sign_prehash_recoverable(&digest.0)
        .map_err(|_| RootError::Signature("signing failed"))?;
    let mut out = [0; SIGNATURE_LEN];
    let v = if id.is_y_odd() { 28 } else { 27 };
    for (to, from) in out
        .iter_mut()
        .zip(signature.to_bytes().into_iter().chain([v]))
    {
        *to = from;
    }
    Ok(out)
}

/// The account of a public key: the last 20 bytes of keccak256(x ‖ y).
pub fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_encoded_point(false);
    let hash = keccak(point.as_bytes().get(1..).unwrap_or_default());
    Address(hash.0.last_chunk().copied().unwrap_or_default())
}

/// The weight that signed, when it is strictly more than two thirds and every signature is by another member.
pub fn quorum(
    digest: &Keccak,
    signatures: &[impl AsRef<[u8]>],
    committee: &Committee,
) -> Result<u128, RootError> {
    let mut signed = BTreeMap::new();
    for signature in signatures.iter().take(MEMBERS_MAX) {
        let address = recover(digest, signature.as_ref())?;
        let weight = committee
            .weight(&address)
            .ok_or(RootError::Stranger(address))?;
        if signed.insert(address, weight).is_some() {
            return Err(RootError::SignedTwice(address));
        }
    }
    let (sum, total) = (signed.values().sum(), committee.total());
    if more_than_two_thirds(sum, total) {
        return Ok(sum);
    }
    Err(RootError::NoQuorum { signed: sum, total })
}

/// RFC 9162 root over `HyperNode id ‖ tree size u64 ‖ root` of every included report's log, ascending by id.
pub fn evidence_root(heads: &BTreeMap<HyperNodeId, LogHead>) -> Digest {
    let leaf = |(id, head): (&HyperNodeId, &LogHead)| {
        let bytes = [&id.0[..], &head.size.to_be_bytes(), &head.root.0].concat();
        merkle::leaf_hash(&bytes)
    };
    merkle::root(&heads.iter().map(leaf).collect::<Vec<_>>())
}

/// Size and root of a HyperNode's log when it reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    /// Number of leaves.
    pub size: u64,
    /// RFC 9162 root.
    pub root: Digest,
}

/// keccak256 of bytes.
pub fn keccak(bytes: &[u8]) -> Keccak {
    Keccak(keccak256(bytes).0)
}

fn parent(children: &[Keccak]) -> Keccak {
    match children {
        [left, right] => pair_hash(left, right),
        [promoted] => *promoted,
        _ => Keccak([0; 32]),
    }
}

fn pair_hash(a: &Keccak, b: &Keccak) -> Keccak {
    keccak(&[a.min(b).0, a.max(b).0].concat())
}

fn number(value: u128) -> Word {
    let mut word = [0; 32];
    for (to, from) in word.iter_mut().rev().zip(value.to_le_bytes()) {
        *to = from;
    }
    word
}

fn address_word(address: &Address) -> Word {
    let mut word = [0; 32];
    for (to, from) in word.iter_mut().rev().zip(address.0.iter().rev()) {
        *to = *from;
    }
    word
}

#[cfg(test)]
mod tests;
