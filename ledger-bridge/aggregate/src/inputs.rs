//! From signed bytes on the board to an epoch's inputs, and from epoch to epoch.
//!
//! HyperNodes, the bridge and whoever replays a network use the same three steps:
//! [`open`] verifies one object, [`Gathered`] holds what an epoch's board shows, [`History`] carries beacons and what
//! is settled from one resolved epoch to the next.

mod history;

pub use history::{Anchor, History, HistoryError, registrations, signatures_for};

use crate::agreement::{Entry, input_set_hash};
use crate::epoch::Included;
use crate::more_than_two_thirds;
use crate::root::{RootError, recover};
use crate::roster::Known;
use assay_protocol::cose::{self, Authenticated, CoseError, Payload, PublicKey};
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak, NetworkId};
use assay_protocol::limits::ROOT_SIGNATURES_MAX;
use assay_protocol::params::{NetworkParams, RosterEntry, STAKES_FIXED_AHEAD};
use assay_protocol::report::{Commit, Proposal, Report, Reveal, RootSignature, Vote, commitment};
use assay_protocol::schedule::seed_belongs;
use assay_protocol::succession::{MemberSignature, Succession};
use assay_protocol::wire::BoardObject;
use std::collections::{BTreeMap, BTreeSet};

/// Rounds of agreement on a list: one; a failed round ends in a void epoch. Roots have rounds of their own, see
/// [`History::round`].
pub const ROUND: u32 = 0;

/// A report with the commit it opens, everything verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revealed {
    /// Who reveals.
    pub from: HyperNodeId,
    /// The commitment this report and salt open.
    pub commitment: Digest,
    /// The salt.
    pub salt: [u8; 32],
    /// The report with its signed bytes.
    pub report: Authenticated<Report>,
}

/// An object of the board: signed by a HyperNode of the roster, of this network, epoch and round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A commit.
    Commit {
        /// Who commits.
        from: HyperNodeId,
        /// To what.
        commitment: Digest,
    },
    /// The report behind a commit.
    Reveal(Box<Revealed>),
    /// A list put to the vote.
    Proposal {
        /// Who proposes; whether it is its turn is not checked here.
        from: HyperNodeId,
        /// The list, ascending.
        list: Vec<Entry>,
    },
    /// A vote.
    Vote {
        /// Who votes.
        from: HyperNodeId,
        /// H(L).
        input_set: Digest,
    },
    /// A signature for the ledger; it was recovered to its author's account.
    RootSignature {
        /// Who signs.
        from: HyperNodeId,
        /// The round it says; the digest is of one.
        round: u32,
        /// EIP-712 digest.
        digest: Keccak,
        /// r ‖ s ‖ v.
        signature: [u8; 65],
    },
    /// A word for a later roster.
    Succession {
        /// Who signs.
        from: HyperNodeId,
        /// Digest of the roster, see [`assay_protocol::succession::roster_digest`].
        roster: Digest,
        /// Ed25519.
        signature: [u8; 64],
    },
}

impl Opened {
    /// Who signed the object.
    pub fn from(&self) -> HyperNodeId {
        match self {
            Self::Reveal(revealed) => revealed.from,
            Self::Commit { from, .. }
            | Self::Proposal { from, .. }
            | Self::Vote { from, .. }
            | Self::RootSignature { from, .. }
            | Self::Succession { from, .. } => *from,
        }
    }
}

/// Why an object or an input set does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Not a signed object, or not signed by whom it says.
    #[error(transparent)]
    Cose(#[from] CoseError),
    /// Signed by nobody on the roster.
    #[error("{kind} by {from}, who is not on the roster")]
    Stranger {
        /// Kind of the object.
        kind: &'static str,
        /// Its signer.
        from: HyperNodeId,
    },
    /// A part of the object says something else than its place.
    #[error("{kind} by {from}: {part}: expected {expected}, got {actual}")]
    Differs {
        /// Kind of the object.
        kind: &'static str,
        /// Its signer.
        from: HyperNodeId,
        /// Which part.
        part: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// The signature for the ledger is none.
    #[error("root-signature by {from}")]
    Root {
        /// Who posted it.
        from: HyperNodeId,
        /// What is wrong.
        source: RootError,
    },
    /// An entry of the list cannot be opened.
    #[error("input set: no revealed report opens the commit {commit} of {hypernode}")]
    NotRevealed {
        /// Whose report.
        hypernode: HyperNodeId,
        /// The commit in the list.
        commit: Digest,
    },
}

/// The board of an epoch: what its objects must say, and who is heard there.
#[derive(Debug, Clone)]
pub struct Hearing<'a> {
    /// The network's parameters.
    pub params: &'a NetworkParams,
    /// Their hash.
    pub network: NetworkId,
    /// The epoch.
    pub epoch: Epoch,
    /// Who is heard, see [`History::known`].
    pub known: Known,
}

/// Verifies one object of an epoch's board.
pub fn open(board: &Hearing<'_>, object: &BoardObject) -> Result<Opened, InputError> {
    let kind = object.kind();
    match object {
        BoardObject::Commit(bytes) => {
            let (place, p) = opened::<Commit>(board, kind, bytes)?;
            place.check(p.network, p.epoch, p.hypernode)?;
            Ok(Opened::Commit {
                from: p.hypernode,
                commitment: p.commitment,
            })
        }
        BoardObject::Reveal(bytes) => {
            let (place, p) = opened::<Reveal>(board, kind, bytes)?;
            place.check(p.network, p.epoch, p.hypernode)?;
            Ok(Opened::Reveal(Box::new(place.revealed(&p)?)))
        }
        BoardObject::Proposal(bytes) => {
            let (place, p) = opened::<Proposal>(board, kind, bytes)?;
            place.check(p.network, p.epoch, p.hypernode)?;
            place.equal("round", ROUND, p.round)?;
            let ascending = p.entries.is_sorted_by(|a, b| a.0 < b.0);
            place.expect(
                "entries",
                ascending,
                "ascending by HyperNode",
                "another order",
            )?;
            let entry = |(hypernode, commit)| Entry { hypernode, commit };
            Ok(Opened::Proposal {
                from: p.hypernode,
                list: p.entries.into_iter().map(entry).collect(),
            })
        }
        BoardObject::Vote(bytes) => {
            let (place, p) = opened::<Vote>(board, kind, bytes)?;
            place.check(p.network, p.epoch, p.hypernode)?;
            place.equal("round", ROUND, p.round)?;
            Ok(Opened::Vote {
                from: p.hypernode,
                input_set: p.input_set,
            })
        }
        BoardObject::RootSignature(bytes) => {
            let (place, p) = opened::<RootSignature>(board, kind, bytes)?;
            place.check(p.network, p.epoch, p.hypernode)?;
            place.signed_by_member(&p)?;
            Ok(Opened::RootSignature {
                from: p.hypernode,
                round: p.round,
                digest: p.digest,
                signature: p.signature,
            })
        }
        BoardObject::Succession(bytes) => {
            let (place, signed) = authenticated::<Succession>(board, kind, bytes)?;
            place.succession(&signed)
        }
    }
}

/// First epoch of the rosters that are spoken of on the board of an epoch: the stakes of that one are fixed when this one
/// has ended.
pub fn successor_of(epoch: Epoch) -> Epoch {
    Epoch(epoch.0.saturating_add(STAKES_FIXED_AHEAD))
}

/// Where an object must belong to.
struct Place<'a> {
    board: &'a Hearing<'a>,
    kind: &'static str,
    member: &'a RosterEntry,
}

fn opened<'a, T: Payload>(
    board: &'a Hearing<'a>,
    kind: &'static str,
    bytes: &[u8],
) -> Result<(Place<'a>, T), InputError> {
    let (place, signed) = authenticated(board, kind, bytes)?;
    Ok((place, signed.into_payload()))
}

fn authenticated<'a, T: Payload>(
    board: &'a Hearing<'a>,
    kind: &'static str,
    bytes: &[u8],
) -> Result<(Place<'a>, Authenticated<T>), InputError> {
    let key: PublicKey = cose::claimed_signer(bytes, T::MAX_BYTES)?;
    let from = HyperNodeId(key);
    let member = board
        .known
        .get(&from)
        .ok_or(InputError::Stranger { kind, from })?;
    let signed = cose::open::<T>(bytes, &key)?;
    Ok((
        Place {
            board,
            kind,
            member,
        },
        signed,
    ))
}

impl Place<'_> {
    fn check(
        &self,
        network: NetworkId,
        epoch: Epoch,
        hypernode: HyperNodeId,
    ) -> Result<(), InputError> {
        self.equal("network", self.board.network, network)?;
        self.equal("epoch", self.board.epoch, epoch)?;
        self.equal("hypernode", self.member.id, hypernode)
    }

    fn revealed(&self, reveal: &Reveal) -> Result<Revealed, InputError> {
        let signed = &reveal.report.0;
        let report = cose::open::<Report>(signed, &self.member.id.0)?;
        let body = report.payload();
        self.equal("report's network", self.board.network, body.network)?;
        self.equal("report's epoch", self.board.epoch, body.epoch)?;
        self.equal("report's hypernode", self.member.id, body.hypernode)?;
        let (end, links) = (&self.member.seed_end, self.board.params.seed_chain_links);
        let belongs = seed_belongs(&body.seed, self.board.epoch, end, links);
        self.expect(
            "seed",
            belongs,
            "this epoch's link of its seed chain",
            "another value",
        )?;
        let commitment = commitment(&self.board.network, self.board.epoch, &reveal.salt, signed);
        Ok(Revealed {
            from: self.member.id,
            commitment,
            salt: reveal.salt,
            report,
        })
    }

    fn succession(&self, signed: &Authenticated<Succession>) -> Result<Opened, InputError> {
        let p = signed.payload();
        self.check(p.network, self.board.epoch, p.hypernode)?;
        let from = successor_of(self.board.epoch);
        self.equal("from", from, p.from)?;
        self.equal("at", self.board.params.epoch_start(from), p.at)?;
        Ok(Opened::Succession {
            from: p.hypernode,
            roster: p.roster,
            signature: cose::signature_of(signed)?,
        })
    }

    fn signed_by_member(&self, root: &RootSignature) -> Result<(), InputError> {
        let from = self.member.id;
        let account = recover(&root.digest, &root.signature)
            .map_err(|source| InputError::Root { from, source })?;
        self.equal("ledger account", self.member.ledger, account)
    }

    fn equal<T: PartialEq + ToString>(
        &self,
        part: &'static str,
        expected: T,
        actual: T,
    ) -> Result<(), InputError> {
        self.expect(part, expected == actual, expected, actual)
    }

    fn expect(
        &self,
        part: &'static str,
        holds: bool,
        expected: impl ToString,
        actual: impl ToString,
    ) -> Result<(), InputError> {
        let (kind, from) = (self.kind, self.member.id);
        let (expected, actual) = (expected.to_string(), actual.to_string());
        match holds {
            true => Ok(()),
            false => Err(InputError::Differs {
                kind,
                from,
                part,
                expected,
                actual,
            }),
        }
    }
}

/// What the board of one epoch shows. Of several objects of one kind by one HyperNode the first counts; of signatures under
/// roots, the first [`ROOT_SIGNATURES_MAX`].
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    commits: BTreeMap<HyperNodeId, Digest>,
    reveals: BTreeMap<HyperNodeId, Revealed>,
    lists: BTreeMap<Digest, Vec<Entry>>,
    votes: BTreeMap<HyperNodeId, Digest>,
    signatures: BTreeMap<HyperNodeId, BTreeMap<Keccak, (u32, [u8; 65])>>,
    successions: BTreeMap<HyperNodeId, (Digest, [u8; 64])>,
}

impl Gathered {
    /// Adds an object; `network` and `epoch` are the ones it was opened for.
    pub fn add(&mut self, network: &NetworkId, epoch: Epoch, opened: Opened) {
        match opened {
            Opened::Commit { from, commitment } => {
                self.commits.entry(from).or_insert(commitment);
            }
            Opened::Reveal(revealed) => {
                self.reveals.entry(revealed.from).or_insert(*revealed);
            }
            Opened::Proposal { list, .. } => {
                self.lists
                    .insert(input_set_hash(network, epoch, &list), list);
            }
            Opened::Vote { from, input_set } => {
                self.votes.entry(from).or_insert(input_set);
            }
            Opened::RootSignature {
                from,
                round,
                digest,
                signature,
            } => {
                let signed = self.signatures.entry(from).or_default();
                if signed.len() < ROOT_SIGNATURES_MAX {
                    signed.entry(digest).or_insert((round, signature));
                }
            }
            Opened::Succession {
                from,
                roster,
                signature,
            } => {
                self.successions.entry(from).or_insert((roster, signature));
            }
        }
    }

    /// The commit of a HyperNode.
    pub fn commit(&self, from: &HyperNodeId) -> Option<&Digest> {
        self.commits.get(from)
    }

    /// The revealed report of a HyperNode.
    pub fn reveal(&self, from: &HyperNodeId) -> Option<&Revealed> {
        self.reveals.get(from)
    }

    /// Who signed which roots in a round.
    pub fn signed_in(&self, round: u32) -> impl Iterator<Item = (HyperNodeId, Keccak)> + '_ {
        let all = self.signatures.iter();
        all.flat_map(move |(from, signed)| {
            let of_round = signed.iter().filter(move |(_, (of, _))| *of == round);
            of_round.map(|(digest, _)| (*from, *digest))
        })
    }

    /// All signatures under a root, r ‖ s ‖ v.
    pub fn under(&self, digest: &Keccak) -> BTreeMap<HyperNodeId, [u8; 65]> {
        let all = self.signatures.iter();
        all.filter_map(|(from, signed)| Some((*from, signed.get(digest)?.1)))
            .collect()
    }

    /// All signatures under a later roster, ascending.
    pub fn vouching(&self, roster: &Digest) -> Vec<MemberSignature> {
        let signed = self.successions.iter().filter(|(_, (of, _))| of == roster);
        let signature = |(hypernode, (_, signature)): (&HyperNodeId, &(Digest, [u8; 64]))| {
            let (hypernode, signature) = (*hypernode, *signature);
            MemberSignature {
                hypernode,
                signature,
            }
        };
        signed.map(signature).collect()
    }

    /// The proposed list with this hash.
    pub fn list(&self, input_set: &Digest) -> Option<&[Entry]> {
        self.lists.get(input_set).map(Vec::as_slice)
    }

    /// The input set with votes by strictly more than two thirds of the weight.
    pub fn agreed(&self, weights: &BTreeMap<HyperNodeId, u128>) -> Option<Digest> {
        let total = weights
            .values()
            .fold(0u128, |sum, weight| sum.saturating_add(*weight));
        let candidates: BTreeSet<&Digest> = self.votes.values().collect();
        let weight = |input_set: &Digest| {
            let voters = self.votes.iter().filter(|(_, vote)| *vote == input_set);
            voters
                .filter_map(|(from, _)| weights.get(from))
                .fold(0u128, |sum, weight| sum.saturating_add(*weight))
        };
        let wins = |input_set: &&&Digest| more_than_two_thirds(weight(input_set), total);
        candidates.iter().find(wins).map(|input_set| **input_set)
    }

    /// Opens every entry of a list.
    pub fn included(&self, list: &[Entry]) -> Result<BTreeMap<HyperNodeId, Included>, InputError> {
        let open = |entry: &Entry| {
            let Entry { hypernode, commit } = *entry;
            let revealed = self
                .reveals
                .get(&hypernode)
                .filter(|r| r.commitment == commit);
            let revealed = revealed.ok_or(InputError::NotRevealed { hypernode, commit })?;
            let report = revealed.report.payload().clone();
            Ok((hypernode, Included { commit, report }))
        };
        list.iter().map(open).collect()
    }
}

#[cfg(test)]
mod tests;
