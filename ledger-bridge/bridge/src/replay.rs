//! From genesis to the next open epoch by what the board keeps, checked against every root on the ledger.
//! Nothing computed is stored: a restart computes it again, and so can anybody with the same objects.

use assay_aggregate::epoch::{EpochError, EpochOutcome, Included, Registration};
use assay_aggregate::inputs::{self, Gathered, Hearing, History, HistoryError, InputError, Opened};
use assay_aggregate::root::EpochRoot;
use assay_aggregate::roster::Roster;
use assay_ledger::{AssayLedger, LedgerError, Resolved};
use assay_protocol::ids::{Address, Digest, Epoch, HyperNodeId, Keccak, NetworkId, Stake};
use std::collections::BTreeMap;

use crate::store::{Store, StoreError, StoredObject};

/// The past cannot be recomputed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Parameters, roster and classes do not belong together.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// An object of the board does not verify any more.
    #[error(
        "board object {number} of epoch {epoch}\nhint: the board's file was changed by another program; make a new state and fill it by `assay-bridge import`"
    )]
    Object {
        /// Its epoch.
        epoch: Epoch,
        /// Its number.
        number: u64,
        /// Why.
        source: Box<InputError>,
    },
    /// The input set of a posted root is not on this board.
    #[error(
        "epoch {epoch} was posted with the input set {input_set}, which this board does not hold\nhint: `assay-bridge import` takes it from a copy or another board"
    )]
    UnknownInputs {
        /// The epoch.
        epoch: Epoch,
        /// H(L) on the ledger.
        input_set: Digest,
    },
    /// What the epoch is to be judged by is not on this board.
    #[error(
        "epoch {epoch} was posted, but this board shows no input set with votes of more than 2/3\nhint: votes may still come; if the state was replaced, `assay-bridge import` takes them from a copy or another board"
    )]
    NotAgreed {
        /// The epoch.
        epoch: Epoch,
    },
    /// An entry of the agreed list cannot be opened.
    #[error("epoch {epoch}")]
    Inputs {
        /// The epoch.
        epoch: Epoch,
        /// Why.
        source: Box<InputError>,
    },
    /// The aggregation refused its input.
    #[error("epoch {epoch}")]
    Aggregate {
        /// The epoch.
        epoch: Epoch,
        /// Why.
        source: EpochError,
    },
    /// The ledger holds another root than these inputs give.
    #[error(
        "epoch {epoch}: digest of the root: recomputed {computed}, the ledger holds {posted}\nhint: compare the versions of bridge and HyperNodes, and what another node of the ledger says; do not settle"
    )]
    OtherRoot {
        /// The epoch.
        epoch: Epoch,
        /// From the board.
        computed: Keccak,
        /// On the ledger.
        posted: Keccak,
    },
    /// The epoch is not resolved yet.
    #[error(
        "epoch {epoch} is not resolved yet: the ledger's next epoch is {next}\nhint: ask for epochs before {next}"
    )]
    NotResolved {
        /// The epoch asked for.
        epoch: Epoch,
        /// The first open one.
        next: Epoch,
    },
    /// The epochs asked for are none.
    #[error("epochs {first} to {last}: the first is after the last")]
    Reversed {
        /// The first one asked for.
        first: Epoch,
        /// The last one asked for.
        last: Epoch,
    },
}

/// Refuses a range of epochs that is none, or not all resolved; without `last` it ends with the newest one.
pub fn expect_resolved(next: Epoch, first: Epoch, last: Option<Epoch>) -> Result<(), ReplayError> {
    if let Some(last) = last.filter(|last| *last < first) {
        return Err(ReplayError::Reversed { first, last });
    }
    // Before the first one is resolved, all from the beginning on is an empty list.
    let asked = last.or((first > Epoch(0)).then_some(first));
    match asked.filter(|epoch| *epoch >= next) {
        Some(epoch) => Err(ReplayError::NotResolved { epoch, next }),
        None => Ok(()),
    }
}

impl ReplayError {
    /// Whether what HyperNodes agreed on can never become a root.
    pub fn is_hopeless(&self) -> bool {
        matches!(self, Self::Inputs { .. } | Self::Aggregate { .. })
    }
}

/// A posted epoch, recomputed.
pub struct Posted {
    /// Who had a say in it.
    pub roster: Roster,
    /// Who signed it.
    pub signing: Roster,
    /// Everything on its board.
    pub gathered: Gathered,
    /// The agreed reports.
    pub reports: BTreeMap<HyperNodeId, Included>,
    /// Leaves, tree and root.
    pub outcome: EpochOutcome,
}

/// A root on the ledger that the reports do not give.
pub struct Wrong {
    /// What they give.
    pub outcome: EpochOutcome,
    /// What the ledger holds.
    pub posted: EpochRoot,
}

/// What became of an epoch that the ledger has resolved.
pub enum Judged {
    /// It was voided.
    Void,
    /// Its root is the one that the agreed reports give.
    Right(Box<Posted>),
    /// Its root is another one.
    Wrong(Box<Wrong>),
}

impl Wrong {
    /// The root that must take its place, signed by a committee in a round.
    pub fn correction(&self, round: u32, committee: Keccak) -> EpochRoot {
        EpochRoot {
            round,
            committee,
            ..self.outcome.root
        }
    }

    /// What is wrong, for who can do nothing about it.
    pub fn error(&self, chain_id: u64, contract: &Address) -> ReplayError {
        ReplayError::OtherRoot {
            epoch: self.posted.epoch,
            computed: self.outcome.root.digest(chain_id, contract),
            posted: self.posted.digest(chain_id, contract),
        }
    }
}

/// The board of one epoch, read and verified as it grows.
#[derive(Debug, Default)]
pub struct Gathering {
    epoch: Epoch,
    after: u64,
    gathered: Gathered,
}

impl Gathering {
    /// Starts at an epoch's first object.
    pub fn of(epoch: Epoch) -> Self {
        Self {
            epoch,
            ..Self::default()
        }
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What was read so far.
    pub fn gathered(&self) -> &Gathered {
        &self.gathered
    }

    /// Adds what comes from elsewhere, behind what was read.
    pub fn add(&mut self, network: NetworkId, opened: Opened) {
        self.gathered.add(&network, self.epoch, opened);
    }

    /// Reads what came since. By another entry of its author than the epoch's, the board may have taken what does not count.
    /// `signers` are heard too: who signs a correction may have no say in the epoch.
    pub fn update(
        &mut self,
        store: &Store,
        history: &History,
        signers: Option<&Roster>,
    ) -> Result<(), ReplayError> {
        let epoch = self.epoch;
        let hearing = hearing(history, epoch, signers);
        loop {
            let stored = store.batch(epoch, self.after)?;
            if stored.is_empty() {
                return Ok(());
            }
            for StoredObject { number, object } in &stored {
                match inputs::open(&hearing, object) {
                    Ok(opened) => self.add(hearing.network, opened),
                    Err(InputError::Stranger { .. } | InputError::Differs { .. }) => {}
                    Err(error) => {
                        return Err(ReplayError::Object {
                            epoch,
                            number: *number,
                            source: Box::new(error),
                        });
                    }
                }
                self.after = *number;
            }
        }
    }
}

/// Who is heard of an epoch, and `signers`.
pub fn hearing<'a>(history: &'a History, epoch: Epoch, signers: Option<&Roster>) -> Hearing<'a> {
    let signers = signers.map_or(&[][..], Roster::entries);
    Hearing {
        params: history.params(),
        network: history.network(),
        epoch,
        known: history.known(epoch).and(signers),
    }
}

/// What the ledger says about an epoch before it is judged: the same for every reader from its end on.
#[derive(Debug, Clone)]
pub struct Read {
    /// The claims that count in it, see [`AssayLedger::claims`].
    pub claims: Vec<Registration>,
    /// What is put aside for its rewards.
    pub budget: Stake,
}

impl Read {
    /// Reads it for the history's next epoch.
    pub fn of(ledger: &AssayLedger, history: &History) -> Result<Self, LedgerError> {
        let epoch = history.next();
        let start = history.params().epoch_start(epoch);
        Ok(Self {
            claims: ledger.claims(epoch, start, history.classes())?,
            budget: ledger.budget(epoch)?,
        })
    }
}

/// Learns whose stake counts in the next epoch and the one after it, as far as the ledger has fixed that. An epoch in
/// which nobody has any stays unknown: no root can be made for it.
pub fn learn(ledger: &AssayLedger, history: &mut History) -> Result<(), ReplayError> {
    for epoch in history.unknown() {
        if let Some(roster) = ledger.fixed_roster(epoch)? {
            let _nobody = history.learn(epoch, roster);
        }
    }
    Ok(())
}

/// Reads the rosters that were learnt again, and forgets the registrations; whether a roster is another now.
pub fn relearn(ledger: &AssayLedger, history: &mut History) -> Result<bool, ReplayError> {
    ledger.forget_records();
    let mut changed = false;
    for epoch in history.learnt() {
        let before = history.roster(epoch).cloned();
        if let Some(entries) = ledger.fixed_roster(epoch)? {
            let _nobody = history.relearn(epoch, entries);
        }
        changed |= history.roster(epoch) != before.as_ref();
    }
    Ok(changed)
}

/// Aggregates an input set of the next epoch.
pub fn aggregate(
    history: &History,
    gathered: &Gathered,
    input_set: &Digest,
    ledger: &Read,
) -> Result<(BTreeMap<HyperNodeId, Included>, EpochOutcome), ReplayError> {
    let epoch = history.next();
    let missing = || ReplayError::UnknownInputs {
        epoch,
        input_set: *input_set,
    };
    let list = gathered.list(input_set).ok_or_else(missing)?;
    let unopened = |e| ReplayError::Inputs {
        epoch,
        source: Box::new(e),
    };
    let reports = gathered.included(list).map_err(unopened)?;
    let refused = |source| ReplayError::Aggregate { epoch, source };
    let outcome = history
        .aggregate(ledger.claims.iter().copied(), &reports, ledger.budget.0)
        .map_err(refused)?;
    Ok((reports, outcome))
}

/// Recomputes the next epoch when the ledger has resolved it and moves the history on.
/// `Ok(None)` for a void epoch.
pub fn follow(
    store: &Store,
    ledger: &AssayLedger,
    history: &mut History,
) -> Result<Option<Posted>, ReplayError> {
    learn(ledger, history)?;
    match recompute(store, ledger, history)? {
        Judged::Void => {
            history.void();
            Ok(None)
        }
        Judged::Right(posted) => {
            take_over(history, &posted)?;
            Ok(Some(*posted))
        }
        Judged::Wrong(wrong) => Err(wrong.error(ledger.chain_id()?, &ledger.contract())),
    }
}

/// Moves the history on by what was recomputed of its next epoch.
pub fn take_over(history: &mut History, posted: &Posted) -> Result<(), ReplayError> {
    let epoch = history.next();
    let taken = history.posted(&posted.outcome, &posted.reports);
    taken.map_err(|source| ReplayError::Aggregate { epoch, source })
}

/// Like [`follow`], with what was [learnt](learn) and without moving on.
pub fn recompute(
    store: &Store,
    ledger: &AssayLedger,
    history: &History,
) -> Result<Judged, ReplayError> {
    let epoch = history.next();
    let root = match ledger.resolved(epoch)? {
        Resolved::Void => return Ok(Judged::Void),
        Resolved::Open => {
            let next = ledger.next_epoch()?;
            return Err(ReplayError::NotResolved { epoch, next });
        }
        Resolved::Posted(root) => *root,
    };
    let signing = signers_of(ledger, history, &root)?;
    let mut board = Gathering::of(epoch);
    board.update(store, history, Some(&signing))?;
    judge(ledger, history, root, signing, board)
}

/// Compares a root on the ledger with what is on the board of the history's next epoch.
pub fn judge(
    ledger: &AssayLedger,
    history: &History,
    root: EpochRoot,
    signing: Roster,
    Gathering { gathered, .. }: Gathering,
) -> Result<Judged, ReplayError> {
    let epoch = history.next();
    let unknown = || ReplayError::Aggregate {
        epoch,
        source: EpochError::RosterUnknown(epoch),
    };
    let roster = history.roster(epoch).ok_or_else(unknown)?;
    // Not by what the root names: who signs a wrong one could choose whose reports count.
    let input_set = gathered.agreed(&roster.weights());
    let input_set = input_set.ok_or(ReplayError::NotAgreed { epoch })?;
    let read = Read::of(ledger, history)?;
    let (reports, outcome) = aggregate(history, &gathered, &input_set, &read)?;
    let outcome = history.as_signed(outcome, &root);
    if outcome.root != root {
        let posted = root;
        return Ok(Judged::Wrong(Box::new(Wrong { outcome, posted })));
    }
    Ok(Judged::Right(Box::new(Posted {
        roster: roster.clone(),
        signing,
        gathered,
        reports,
        outcome,
    })))
}

/// Who signed a root: whom the root before names, or those of a later epoch when it was corrected.
pub fn signers_of(
    ledger: &AssayLedger,
    history: &History,
    root: &EpochRoot,
) -> Result<Roster, LedgerError> {
    let named = history.signing();
    if root.committee == named.committee().hash() {
        return Ok(named.clone());
    }
    let found = ledger.roster_with(root.committee, root.epoch.next(), history.params())?;
    Ok(found.unwrap_or_else(|| named.clone()))
}
