//! Faults of HyperNodes that a bridge sees by itself: a second, different vote that was sent to its board, and roots on the
//! ledger that a correction has replaced. Each comes with its proof.

use assay_ledger::{Action, AssayLedger, LedgerError};
use assay_protocol::ids::{Epoch, NetworkId};
use std::collections::{BTreeSet, VecDeque};

use crate::double_votes;
use crate::store::{Store, StoreError};

/// A fault could not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum FaultsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A fault, its proof, and how it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Name of the proof in the outbox.
    pub name: String,
    /// The proof.
    pub action: Action,
    /// Who did what.
    pub what: String,
    /// The command that proves it.
    pub command: String,
}

/// What is seen, and what of it is not proven yet.
#[derive(Debug, Default)]
pub struct Faults {
    convicts: bool,
    /// Epochs to look at, with what came after they were followed.
    looks: BTreeSet<Epoch>,
    seen: BTreeSet<String>,
    open: VecDeque<Fault>,
}

impl Faults {
    /// From now on what is seen is proven to the ledger; otherwise it is only told.
    pub fn convict(&mut self) {
        self.convicts = true;
    }

    /// An epoch was resolved: it is looked at, and once more the one before, to which votes may have come since.
    pub fn resolved(&mut self, epoch: Epoch) {
        self.looks.insert(epoch);
        self.looks.extend(epoch.0.checked_sub(1).map(Epoch));
    }

    /// How many were seen since this process began.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// Looks at what was resolved; a line for each fault that was not seen before.
    pub fn look(
        &mut self,
        store: &Store,
        ledger: &AssayLedger,
        network: NetworkId,
    ) -> Result<Vec<String>, FaultsError> {
        let mut lines = Vec::new();
        while let Some(epoch) = self.looks.first().copied() {
            let mut found = of_votes(store, network, epoch)?;
            found.extend(of_roots(ledger, epoch)?);
            for fault in found {
                if !self.seen.insert(fault.name.clone()) {
                    continue;
                }
                let line = self.told(&fault);
                // One line for all who signed a root.
                if lines.last() != Some(&line) {
                    lines.push(line);
                }
                self.open.extend(self.convicts.then_some(fault));
            }
            self.looks.remove(&epoch);
        }
        Ok(lines)
    }

    fn told(&self, fault: &Fault) -> String {
        let Fault { what, command, .. } = fault;
        match self.convicts {
            true => format!("fault: {what}: the proof is sent to the ledger"),
            false => format!(
                "fault: {what}\nhint: `assay-bridge ledger {command}` takes stake for it, or `convict = true` under [posting]"
            ),
        }
    }

    /// How many wait for their proof.
    pub fn waiting(&self) -> usize {
        self.open.len()
    }

    /// Takes the first that waits; what is not proven yet is put back.
    pub fn take(&mut self) -> Option<Fault> {
        self.open.pop_front()
    }

    /// Puts back what goes on waiting.
    pub fn put_back(&mut self, fault: Fault) {
        self.open.push_back(fault);
    }
}

fn of_votes(store: &Store, network: NetworkId, epoch: Epoch) -> Result<Vec<Fault>, StoreError> {
    let pairs = double_votes::refused(store, network, epoch)?;
    let fault = |[first, second]: &[double_votes::SignedVote; 2]| {
        let who = first.0.hypernode;
        Fault {
            name: format!("convict/votes/{epoch}/{who}"),
            action: Action::convict_of_votes([(&first.0, &first.1), (&second.0, &second.1)]),
            what: format!("HyperNode {who} voted for two input sets in epoch {epoch}"),
            command: format!("convict-votes --epoch {epoch}"),
        }
    };
    Ok(pairs.iter().map(fault).collect())
}

fn of_roots(ledger: &AssayLedger, epoch: Epoch) -> Result<Vec<Fault>, LedgerError> {
    // Nothing was replaced there: the events need not be read.
    if ledger.epoch_record(epoch)?.corrections == 0 {
        return Ok(Vec::new());
    }
    let mut faults = Vec::new();
    for wrong in ledger.replaced_roots(epoch)? {
        let (digest, signers) = (wrong.digest, wrong.signatures.len());
        faults.extend(wrong.signatures.iter().map(|(account, signature)| Fault {
            name: format!("convict/replaced/{epoch}/{digest}/{account}"),
            action: Action::convict_of_root(&wrong.root, signature),
            what: format!(
                "root {digest} of epoch {epoch} was replaced, and {signers} accounts had signed it"
            ),
            command: format!("convict-roots --epoch {epoch}"),
        }));
    }
    Ok(faults)
}
