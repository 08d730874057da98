//! Whom agents answer, from the measured genesis on (ARCHITECTURE section 5).
//!
//! An agent's configuration names the network and its genesis roster, and only those are measured. Every later roster
//! comes with signatures of HyperNodes that have more than two thirds of the capped stake of a roster before it. A
//! [`Lineage`] is the chain of such rosters from genesis: whoever holds the network's id can verify it.

use crate::cbor::CborError;
use crate::cose::{self, CoseError};
use crate::hash;
use crate::ids::{Digest, Epoch, HyperNodeId, NetworkId, UnixMs};
use crate::item::Item;
use crate::limits::{LINEAGE_BYTES_MAX, ROSTER_MAX, SMALL_OBJECT_BYTES_MAX};
use crate::params::NetworkParams;
use crate::weights::{Staked, WEIGHT_MAX, WeightError, capped_weights, more_than_two_thirds};
use crate::{cbor_map, signed_payload};
use std::collections::BTreeSet;

cbor_map! {
    /// One HyperNode of a roster.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Member {
        /// Who.
        1 => hypernode: HyperNodeId,
        /// Its capped stake, at least 1.
        2 => weight: u128,
    }
}

cbor_map! {
    /// A HyperNode says from when on which roster is in force; everything in it follows from the ledger.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Succession {
        /// The network.
        1 => network: NetworkId,
        /// The first epoch of the roster.
        2 => from: Epoch,
        /// See [`roster_digest`].
        3 => roster: Digest,
        /// Who says so.
        4 => hypernode: HyperNodeId,
        /// Start of that epoch: the same words are the same bytes.
        5 => at: UnixMs,
    }
}
signed_payload!(
    Succession,
    "application/vnd.assay.succession+cbor",
    SMALL_OBJECT_BYTES_MAX,
    |p| p.hypernode,
    p.at
);

cbor_map! {
    /// A member's signature under the [`Succession`] that its place determines.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct MemberSignature {
        /// Who signed.
        1 => hypernode: HyperNodeId,
        /// Ed25519, over the Sig_structure of RFC 9052 section 4.4.
        2 => signature: [u8; 64],
    }
}

cbor_map! {
    /// A later roster and who vouches for it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Link {
        /// Its first epoch.
        1 => from: Epoch,
        /// Its HyperNodes, ascending.
        2 => members: Vec<Member>,
        /// Signatures, ascending by HyperNode.
        3 => signatures: Vec<MemberSignature>,
    }
}

cbor_map! {
    /// A lineage as it travels and is kept; proves nothing until [`Lineage::open`] has verified it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct LineageRecord {
        /// The parameters, whose hash is the network's id: they name the genesis roster.
        1 => params: NetworkParams,
        /// Later rosters, ascending by their first epoch.
        2 => links: Vec<Link>,
    }
}

/// SHA-256(`"assay/roster/1"` ‖ network ‖ first epoch u64 ‖ for each member its id ‖ weight u128), big-endian.
pub fn roster_digest(network: &NetworkId, from: Epoch, members: &[Member]) -> Digest {
    let from = from.0.to_be_bytes();
    let weights: Vec<[u8; 16]> = members.iter().map(|m| m.weight.to_be_bytes()).collect();
    let mut parts: Vec<&[u8]> = vec![b"assay/roster/1", &network.0, &from];
    for (member, weight) in members.iter().zip(&weights) {
        parts.push(&member.hypernode.0);
        parts.push(weight);
    }
    hash::digest(&parts)
}

/// What `hypernode` signs of a roster.
pub fn succession(
    params: &NetworkParams,
    network: NetworkId,
    (from, members): (Epoch, &[Member]),
    hypernode: HyperNodeId,
) -> Succession {
    Succession {
        network,
        from,
        roster: roster_digest(&network, from, members),
        hypernode,
        at: params.epoch_start(from),
    }
}

/// Why a roster is not in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineageError {
    /// Not a lineage.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// It begins in another network.
    #[error("lineage: expected parameters of network {expected}, got {actual}")]
    Network {
        /// The network wanted.
        expected: NetworkId,
        /// The hash of the parameters.
        actual: NetworkId,
    },
    /// The genesis roster has no weights.
    #[error("lineage: {0}")]
    Weights(#[from] WeightError),
    /// A roster that is not later than the one before it.
    #[error("roster from epoch {from}: expected one from after epoch {newest}")]
    Order {
        /// Its first epoch.
        from: Epoch,
        /// First epoch of the newest roster held.
        newest: Epoch,
    },
    /// A roster that nobody can be on.
    #[error("roster from epoch {from}: {part}: expected {expected}")]
    Members {
        /// Its first epoch.
        from: Epoch,
        /// Which part.
        part: &'static str,
        /// What was expected.
        expected: String,
    },
    /// A signature by somebody on no roster before it.
    #[error("roster from epoch {from}: signed by {signer}, who is on no roster before it")]
    Stranger {
        /// Its first epoch.
        from: Epoch,
        /// Who.
        signer: HyperNodeId,
    },
    /// A signature that does not verify.
    #[error("roster from epoch {from}: {source}")]
    Signature {
        /// Its first epoch.
        from: Epoch,
        /// What is wrong.
        source: CoseError,
    },
    /// Too few vouch for it.
    #[error(
        "roster from epoch {from}: expected signatures of more than two thirds of a roster before it, got {signed} of {total}"
    )]
    Vouched {
        /// Its first epoch.
        from: Epoch,
        /// Weight that signed, of the newest roster before it.
        signed: u128,
        /// Weight of that roster.
        total: u128,
    },
    /// Longer than anybody takes.
    #[error("lineage: expected at most {LINEAGE_BYTES_MAX} bytes, got {0}")]
    Oversize(usize),
}

/// A verified link and the number of the roster that vouched for it. Genesis has number 0, the first link 1.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proven {
    link: Link,
    voucher: usize,
}

/// Verified rosters of a network from genesis on; what is needed to prove the newest two, and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    params: NetworkParams,
    network: NetworkId,
    genesis: Vec<Member>,
    links: Vec<Proven>,
}

impl Lineage {
    /// The genesis roster alone, of parameters that are known to be the network's, or to be valid.
    pub fn genesis(params: NetworkParams) -> Result<Self, LineageError> {
        let staked = params.roster.iter().map(|entry| Staked {
            hypernode: entry.id,
            operator: entry.operator,
            stake: entry.stake,
        });
        let weights = capped_weights(&staked.collect::<Vec<_>>(), params.operator_cap_bps)?;
        let genesis = members(weights);
        Ok(Self {
            network: params.network_id(),
            params,
            genesis,
            links: Vec::new(),
        })
    }

    /// Verifies a lineage of `network`, all of it.
    pub fn open(network: &NetworkId, bytes: &[u8]) -> Result<Self, LineageError> {
        if bytes.len() > LINEAGE_BYTES_MAX {
            return Err(LineageError::Oversize(bytes.len()));
        }
        let record = LineageRecord::decode("lineage", LINEAGE_BYTES_MAX, bytes)?;
        let (expected, actual) = (*network, record.params.network_id());
        if expected != actual {
            return Err(LineageError::Network { expected, actual });
        }
        let mut lineage = Self::genesis(record.params)?;
        for link in record.links {
            let proven = lineage.prove(link)?;
            lineage.links.push(proven);
        }
        Ok(lineage)
    }

    /// Its record, see [`LineageRecord`].
    pub fn bytes(&self) -> Vec<u8> {
        let record = LineageRecord {
            params: self.params.clone(),
            links: self
                .links
                .iter()
                .map(|proven| proven.link.clone())
                .collect(),
        };
        record.encode()
    }

    /// The parameters of the network.
    pub fn params(&self) -> &NetworkParams {
        &self.params
    }

    /// First epoch of the newest roster.
    pub fn newest(&self) -> Epoch {
        self.links
            .last()
            .map_or(Epoch(0), |proven| proven.link.from)
    }

    /// The newest roster, which may not be in force yet.
    pub fn newest_members(&self) -> &[Member] {
        self.roster(self.links.len())
    }

    /// Whom to answer in an epoch: who is on the roster in force, and who is on one that comes.
    pub fn answered_in(&self, epoch: Epoch) -> BTreeSet<HyperNodeId> {
        let members = self.members_in(epoch);
        members.map(|member| member.hypernode).collect()
    }

    /// Whether a HyperNode is one of [`Lineage::answered_in`].
    pub fn answers(&self, hypernode: &HyperNodeId, epoch: Epoch) -> bool {
        let mut members = self.members_in(epoch);
        members.any(|member| member.hypernode == *hypernode)
    }

    /// Whether a HyperNode is on one of its rosters, so that its signature can count.
    pub fn knows(&self, hypernode: &HyperNodeId) -> bool {
        let mut rosters = (0..=self.links.len()).flat_map(|number| self.roster(number));
        rosters.any(|member| member.hypernode == *hypernode)
    }

    /// Whether a HyperNode is on the roster that is in force in an epoch.
    pub fn is_in_force(&self, hypernode: &HyperNodeId, epoch: Epoch) -> bool {
        let begun = |proven: &&Proven| proven.link.from <= epoch;
        let in_force = self.roster(self.links.iter().take_while(begun).count());
        in_force.iter().any(|member| member.hypernode == *hypernode)
    }

    fn members_in(&self, epoch: Epoch) -> impl Iterator<Item = &Member> {
        let begun = |proven: &&Proven| proven.link.from <= epoch;
        let in_force = self.links.iter().take_while(begun).count();
        (in_force..=self.links.len()).flat_map(|number| self.roster(number))
    }

    /// Whether a roster that these have signed follows: the number of the roster that vouches for it.
    fn voucher(&self, signers: &BTreeSet<HyperNodeId>) -> Option<usize> {
        // The earliest one is the shortest way back.
        (0..=self.links.len()).find(|number| vouches(self.roster(*number), signers))
    }

    fn unvouched(&self, from: Epoch, signers: &BTreeSet<HyperNodeId>) -> LineageError {
        LineageError::Vouched {
            from,
            signed: weight_of(self.newest_members(), signers),
            total: total(self.newest_members()),
        }
    }

    /// Whether the newest roster of `held` led to one of these, so that whoever holds it can go on from there: it is among
    /// them, or vouches for a later one. Keys of genesis alone cannot take a network back.
    pub fn follows(&self, held: &Self) -> bool {
        let Some(newest) = held.links.last().map(|proven| &proven.link) else {
            return true;
        };
        let leads_on = |proven: &Proven| {
            let Link { from, members, .. } = &proven.link;
            let same = *from == newest.from && *members == newest.members;
            same || *from > newest.from && vouches(&newest.members, &signers_of(&proven.link))
        };
        self.links.iter().any(leads_on)
    }

    /// Adds a roster that the newest one vouches for, and drops links that prove nothing any more.
    pub fn extend(&mut self, link: Link) -> Result<(), LineageError> {
        let proven = self.prove(link)?;
        let signers = signers_of(&proven.link);
        if !vouches(self.newest_members(), &signers) {
            return Err(self.unvouched(proven.link.from, &signers));
        }
        let mut longer = self.clone();
        longer.links.push(proven);
        longer.prune();
        let length = longer.bytes().len();
        if length > LINEAGE_BYTES_MAX {
            return Err(LineageError::Oversize(length));
        }
        *self = longer;
        Ok(())
    }

    fn prove(&self, link: Link) -> Result<Proven, LineageError> {
        let (from, newest) = (link.from, self.newest());
        if from <= newest {
            return Err(LineageError::Order { from, newest });
        }
        check_members(&link)?;
        let signers = self.signers(&link)?;
        let Some(voucher) = self.voucher(&signers) else {
            return Err(self.unvouched(from, &signers));
        };
        Ok(Proven { link, voucher })
    }

    /// Everybody whose signature is on the link; one that is wrong spoils it.
    fn signers(&self, link: &Link) -> Result<BTreeSet<HyperNodeId>, LineageError> {
        let from = link.from;
        for MemberSignature {
            hypernode,
            signature,
        } in &link.signatures
        {
            let signer = *hypernode;
            if !self.knows(&signer) {
                return Err(LineageError::Stranger { from, signer });
            }
            let said = succession(&self.params, self.network, (from, &link.members), signer);
            cose::check_signature(&said, &signer.0, signature)
                .map_err(|source| LineageError::Signature { from, source })?;
        }
        Ok(signers_of(link))
    }

    /// A roster by its number.
    fn roster(&self, number: usize) -> &[Member] {
        let link = number.checked_sub(1).and_then(|at| self.links.get(at));
        link.map_or(&self.genesis, |proven| &proven.link.members)
    }

    /// Keeps the newest two rosters and what they are proven by.
    fn prune(&mut self) {
        let newest = self.links.len();
        // In ascending order of their numbers, genesis first.
        let mut kept = vec![0];
        for mut number in [newest, newest.saturating_sub(1)] {
            while !kept.contains(&number) {
                kept.push(number);
                let link = number.checked_sub(1).and_then(|at| self.links.get(at));
                number = link.map_or(0, |proven| proven.voucher);
            }
        }
        kept.sort_unstable();
        let place = |old: usize| kept.binary_search(&old).unwrap_or(0);
        let mut number = 0_usize;
        self.links.retain_mut(|proven| {
            number = number.saturating_add(1);
            proven.voucher = place(proven.voucher);
            kept.contains(&number)
        });
        self.drop_signatures();
    }

    /// What somebody signed who is on no roster before it any more is no proof.
    fn drop_signatures(&mut self) {
        let ids = |members: &[Member]| members.iter().map(|m| m.hypernode).collect::<Vec<_>>();
        let mut known: BTreeSet<HyperNodeId> = ids(&self.genesis).into_iter().collect();
        for Proven { link, .. } in &mut self.links {
            let signatures = &mut link.signatures;
            signatures.retain(|signed| known.contains(&signed.hypernode));
            known.extend(ids(&link.members));
        }
    }
}

/// Everybody with weight, ascending.
pub fn members(weights: impl IntoIterator<Item = (HyperNodeId, u128)>) -> Vec<Member> {
    let member = |(hypernode, weight)| Member { hypernode, weight };
    let mut members: Vec<Member> = weights.into_iter().map(member).collect();
    members.retain(|member| member.weight > 0);
    members.sort_by_key(|member| member.hypernode);
    members
}

fn check_members(link: &Link) -> Result<(), LineageError> {
    let Link {
        from,
        members,
        signatures,
    } = link;
    let rule = |ok: bool, part, expected: &str| match ok {
        true => Ok(()),
        false => Err(LineageError::Members {
            from: *from,
            part,
            expected: expected.to_owned(),
        }),
    };
    let counts = 1..=ROSTER_MAX;
    rule(counts.contains(&members.len()), "members", "1 to 1024")?;
    rule(signatures.len() <= ROSTER_MAX, "signatures", "at most 1024")?;
    let sorted = members.is_sorted_by(|a, b| a.hypernode < b.hypernode);
    rule(sorted, "members", "ascending unique ids")?;
    let sorted = signatures.is_sorted_by(|a, b| a.hypernode < b.hypernode);
    rule(sorted, "signatures", "ascending unique ids")?;
    let fits = |member: &Member| (1..=WEIGHT_MAX).contains(&member.weight);
    rule(members.iter().all(fits), "weights", "1 to 2^96 - 1")
}

fn signers_of(link: &Link) -> BTreeSet<HyperNodeId> {
    let signatures = link.signatures.iter();
    signatures.map(|signed| signed.hypernode).collect()
}

fn vouches(roster: &[Member], signers: &BTreeSet<HyperNodeId>) -> bool {
    more_than_two_thirds(weight_of(roster, signers), total(roster))
}

fn total(members: &[Member]) -> u128 {
    let weights = members.iter().map(|member| member.weight);
    weights.fold(0, u128::saturating_add)
}

fn weight_of(members: &[Member], signers: &BTreeSet<HyperNodeId>) -> u128 {
    let signed = members.iter().filter(|m| signers.contains(&m.hypernode));
    signed.fold(0, |sum, member| sum.saturating_add(member.weight))
}

#[cfg(test)]
mod tests;
