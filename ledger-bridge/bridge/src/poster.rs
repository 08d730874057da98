//! The poster: one epoch after the other, from votes to a settled root.
//!
//! ```text
//! resume the outbox ─▶ follow the ledger (recompute, settle) ─▶ next epoch over? ─▶ agreed ─▶ aggregate ─▶ quorum ─▶ post
//!                                                                              └─ deadline passed ─▶ void
//! ```
//! Time is an argument; the loop around [`Poster::step`] is in [`crate::run`].

use assay_aggregate::epoch::EpochOutcome;
use assay_aggregate::inputs::{Gathered, History, signatures_for};
use assay_aggregate::more_than_two_thirds;
use assay_ledger::{Action, AssayLedger, LedgerError, LedgerKey};
use assay_protocol::ids::{Epoch, Keccak, NodeId, UnixMs};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::outbox::{Outbox, OutboxError};
use crate::replay::{self, Gathering, Posted, ReplayError};
use crate::store::{Store, StoreError};

/// Contract refusals of a settlement that no later attempt can change: the leaf is done.
const FINAL: [&str; 5] = [
    "AlreadySettled",
    "StaleEpoch",
    "NotConfirmed",
    "NodeNotRegistered",
    "WrongOwner",
];

/// A step failed; the next one starts from what is durable.
#[derive(Debug, thiserror::Error)]
pub enum PosterError {
    /// The past cannot be recomputed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Sending failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger is another network's.
    #[error(
        "ledger {contract}: {part}: expected {expected}, got {actual}\nhint: do the network file and the ledger belong together?"
    )]
    OtherNetwork {
        /// The contract.
        contract: String,
        /// What differs.
        part: &'static str,
        /// From the network file.
        expected: String,
        /// From the ledger.
        actual: String,
    },
}

/// What a step did; `Display` is the operator's progress line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do yet, and why.
    Waiting {
        /// The next epoch.
        epoch: Epoch,
        /// What is missing.
        why: String,
    },
    /// The ledger has a root for this epoch; its leaves are settled.
    Settled {
        /// The epoch.
        epoch: Epoch,
        /// Leaves settled in this step.
        settled: u32,
        /// Leaves that needed nothing.
        skipped: u32,
    },
    /// A root was posted.
    Posted {
        /// The epoch.
        epoch: Epoch,
        /// Weight that signed.
        signed: u128,
        /// Weight of the committee.
        total: u128,
        /// Gas used.
        gas: u64,
    },
    /// The epoch was declared void.
    Voided {
        /// The epoch.
        epoch: Epoch,
    },
    /// The ledger says the epoch is void.
    WasVoid {
        /// The epoch.
        epoch: Epoch,
    },
    /// HyperNodes signed another root than this bridge computes: it posts nothing.
    Disagrees {
        /// The epoch.
        epoch: Epoch,
        /// Computed here.
        computed: Keccak,
        /// Signed, with the weight behind it.
        signed: Vec<(Keccak, u128)>,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { epoch, why } => write!(f, "epoch {epoch}: {why}"),
            Self::Settled {
                epoch,
                settled,
                skipped,
            } => {
                write!(
                    f,
                    "epoch {epoch}: {settled} nodes settled, {skipped} needed nothing"
                )
            }
            Self::Posted {
                epoch,
                signed,
                total,
                gas,
            } => {
                write!(
                    f,
                    "epoch {epoch}: root posted, signed by {signed} of weight {total}, {gas} gas"
                )
            }
            Self::Voided { epoch } => write!(
                f,
                "epoch {epoch}: no root was signed in time: void, nothing paid, nothing taken"
            ),
            Self::WasVoid { epoch } => write!(f, "epoch {epoch}: void on the ledger"),
            Self::Disagrees {
                epoch,
                computed,
                signed,
            } => write!(
                f,
                "epoch {epoch}: not posted: digest computed here {computed}, signed {}\n\
                 hint: compare the versions, classes and ledger views of bridge and HyperNodes",
                signed
                    .iter()
                    .map(|(d, w)| format!("{d} by weight {w}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }
}

/// The poster of one network.
pub struct Poster {
    store: Arc<Store>,
    ledger: AssayLedger,
    key: LedgerKey,
    history: History,
    board: Gathering,
    chain_id: u64,
}

impl Poster {
    /// Checks that ledger and parameters belong together.
    pub fn new(
        store: Arc<Store>,
        ledger: AssayLedger,
        key: LedgerKey,
        history: History,
    ) -> Result<Self, PosterError> {
        let chain_id = ledger.chain_id()?;
        let board = Gathering::of(history.next());
        let poster = Self {
            store,
            ledger,
            key,
            history,
            board,
            chain_id,
        };
        poster.check_ledger()?;
        Ok(poster)
    }

    /// Where the poster stands.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Does the next thing there is to do.
    pub fn step(&mut self, now: UnixMs) -> Result<Step, PosterError> {
        self.outbox().resume()?;
        let epoch = self.history.next();
        if epoch < self.ledger.next_epoch()? {
            return self.follow(epoch);
        }
        let end = self.history.params().epoch_end(epoch);
        if now < end {
            return Ok(waiting(epoch, "running"));
        }
        if self.board.epoch() != epoch {
            self.board = Gathering::of(epoch);
        }
        self.board.update(&self.store, &self.history)?;
        let attempt = self.try_post(epoch, self.board.gathered());
        let is_over = match &attempt {
            Ok(Step::Posted { .. }) => false,
            Ok(_) => true,
            // Agreed upon, but no root can come of it: only the void helps.
            Err(PosterError::Replay(error)) => error.is_hopeless(),
            Err(_) => false,
        };
        if is_over && self.is_void_time(end, now) {
            self.outbox().perform(&Action::post_void(epoch))?;
            return Ok(Step::Voided { epoch });
        }
        attempt
    }

    /// The contract counts in whole seconds of block time.
    fn is_void_time(&self, end: UnixMs, now: UnixMs) -> bool {
        let whole = now.0 - now.0 % 1_000;
        whole >= end.0.saturating_add(self.history.params().void_after_ms)
    }

    fn try_post(&self, epoch: Epoch, gathered: &Gathered) -> Result<Step, PosterError> {
        let weights = self.history.weights();
        let Some(input_set) = gathered.agreed(&weights) else {
            return Ok(waiting(
                epoch,
                "over, no input set has votes of more than 2/3 yet",
            ));
        };
        if gathered.list(&input_set).is_none() {
            return Ok(waiting(epoch, "agreed on a list that is not on the board"));
        }
        let signed = signed_weights(gathered, &weights);
        let total = self.history.committee().total();
        if !more_than_two_thirds(signed.values().sum(), total) {
            return Ok(waiting(epoch, "agreed, waiting for root signatures"));
        }
        let known = replay::claims(&self.ledger, &self.history)?;
        let (_, outcome) = replay::aggregate(&self.history, gathered, &input_set, &known)?;
        let computed = outcome.root.digest(self.chain_id, &self.ledger.contract());
        let weight = signed.get(&computed).copied().unwrap_or(0);
        if more_than_two_thirds(weight, total) {
            return self.post(&outcome, gathered, &computed, weight);
        }
        match signed.keys().any(|digest| *digest != computed) {
            true => Ok(Step::Disagrees {
                epoch,
                computed,
                signed: signed.into_iter().collect(),
            }),
            false => Ok(waiting(epoch, "agreed, waiting for root signatures")),
        }
    }

    fn post(
        &self,
        outcome: &EpochOutcome,
        gathered: &Gathered,
        digest: &Keccak,
        signed: u128,
    ) -> Result<Step, PosterError> {
        let (epoch, committee) = (outcome.root.epoch, self.history.committee());
        let signatures = signatures_for(
            committee,
            digest,
            self.history.seats(),
            gathered.signatures(),
        );
        let action = Action::post_root(&outcome.root, committee, &signatures);
        let receipt = self.outbox().perform(&action)?;
        Ok(Step::Posted {
            epoch,
            signed,
            total: committee.total(),
            gas: receipt.gas_used,
        })
    }

    /// The ledger is ahead: recompute, settle what is left, move on.
    fn follow(&mut self, epoch: Epoch) -> Result<Step, PosterError> {
        let Some(posted) = replay::recompute(&self.store, &self.ledger, &self.history)? else {
            self.history.void();
            return Ok(Step::WasVoid { epoch });
        };
        let (settled, skipped) = self.settle(&posted)?;
        self.history.posted(&posted.outcome, &posted.reports);
        Ok(Step::Settled {
            epoch,
            settled,
            skipped,
        })
    }

    fn settle(&self, posted: &Posted) -> Result<(u32, u32), PosterError> {
        let outcome = &posted.outcome;
        let epoch = outcome.root.epoch;
        let mut open = Vec::new();
        for leaf in &outcome.leaves {
            if !self.store.is_settled(epoch, &leaf.node)? {
                open.push(leaf);
            }
        }
        let before = if open.is_empty() {
            BTreeMap::new()
        } else {
            self.settled_epochs()?
        };
        let mut settled = 0u32;
        for leaf in &open {
            let is_ahead = before.get(&leaf.node).is_some_and(|last| *last >= epoch);
            let note = if is_ahead {
                "on the ledger".to_owned()
            } else {
                let proof = outcome
                    .tree
                    .proof(&leaf.hash())
                    .map_err(LeafMissing::of(epoch))?;
                match self.outbox().perform(&Action::settle(epoch, *leaf, &proof)) {
                    Ok(_) => {
                        settled = settled.saturating_add(1);
                        "settled".to_owned()
                    }
                    Err(error) => final_refusal(epoch, &leaf.node, error)?,
                }
            };
            self.store.put_settled(epoch, &leaf.node, &note)?;
        }
        let all = u32::try_from(outcome.leaves.len()).unwrap_or(u32::MAX);
        Ok((settled, all.saturating_sub(settled)))
    }

    fn settled_epochs(&self) -> Result<BTreeMap<NodeId, Epoch>, PosterError> {
        let nodes = self.ledger.nodes()?;
        Ok(nodes
            .into_iter()
            .filter_map(|n| Some((n.node, n.settled_epoch?)))
            .collect())
    }

    fn outbox(&self) -> Outbox<'_> {
        Outbox {
            store: &self.store,
            ledger: &self.ledger,
            key: &self.key,
        }
    }

    fn check_ledger(&self) -> Result<(), PosterError> {
        let params = self.history.params();
        let genesis = self.ledger.genesis_parameters()?;
        let network = self
            .ledger
            .network_id()?
            .map_or("none".into(), |id| id.to_string());
        let parts = [
            (
                "chain id",
                params.chain_id.to_string(),
                self.chain_id.to_string(),
            ),
            ("network id", self.history.network().to_string(), network),
            (
                "genesis_unix_ms",
                params.genesis_unix_ms.to_string(),
                genesis.genesis_unix_ms.to_string(),
            ),
            (
                "epoch_ms",
                params.epoch_ms.to_string(),
                genesis.epoch_ms.to_string(),
            ),
            (
                "void_after_ms",
                params.void_after_ms.to_string(),
                genesis.void_after_ms.to_string(),
            ),
            (
                "committee hash",
                self.history.committee().hash().to_string(),
                self.ledger.committee_hash()?.to_string(),
            ),
        ];
        let contract = self.ledger.contract().to_string();
        match parts
            .into_iter()
            .find(|(_, expected, actual)| expected != actual)
        {
            Some((part, expected, actual)) => Err(PosterError::OtherNetwork {
                contract,
                part,
                expected,
                actual,
            }),
            None => Ok(()),
        }
    }
}

/// A leaf of an outcome is always in its own tree.
struct LeafMissing;

impl LeafMissing {
    fn of(epoch: Epoch) -> impl Fn(assay_aggregate::root::RootError) -> PosterError {
        move |source| {
            PosterError::Replay(ReplayError::Aggregate {
                epoch,
                source: source.into(),
            })
        }
    }
}

/// A refusal that stays true closes the leaf; any other ends the step and is tried again.
fn final_refusal(epoch: Epoch, node: &NodeId, error: OutboxError) -> Result<String, PosterError> {
    let name = error
        .revert_name()
        .filter(|name| FINAL.contains(name))
        .map(str::to_owned);
    match name {
        Some(name) => {
            eprintln!("epoch {epoch}: node {node}: the ledger says {name}: nothing to settle");
            Ok(name)
        }
        None => Err(error.into()),
    }
}

fn signed_weights(
    gathered: &Gathered,
    weights: &BTreeMap<assay_protocol::ids::HyperNodeId, u128>,
) -> BTreeMap<Keccak, u128> {
    let mut signed = BTreeMap::new();
    for (from, (digest, _)) in gathered.signatures() {
        let weight = weights.get(from).copied().unwrap_or(0);
        let sum: &mut u128 = signed.entry(*digest).or_default();
        *sum = sum.saturating_add(weight);
    }
    signed
}

fn waiting(epoch: Epoch, why: &str) -> Step {
    Step::Waiting {
        epoch,
        why: why.to_owned(),
    }
}
