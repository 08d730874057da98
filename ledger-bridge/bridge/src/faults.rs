//! Faults of HyperNodes that a bridge sees by itself: a second, different vote that was sent to its board, and roots on the
//! ledger that a correction has replaced. Each comes with its proof.

use assay_ledger::{Action, AssayLedger, FaultOf, LedgerError, Replaced};
use assay_protocol::ids::{Address, Epoch, HyperNodeId, NetworkId, UnixMs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::double_votes;
use crate::store::{Store, StoreError};

/// Pause after the ledger or the store could not be asked.
const REST_MS: u64 = 10_000;

/// Epochs that are looked through for replaced roots in one go.
const LOOKS_MAX: usize = 32;

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

/// Where faults are seen.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    /// The board.
    pub store: &'a Store,
    /// The ledger's final state.
    pub ledger: &'a AssayLedger,
    /// The network.
    pub network: NetworkId,
}

/// A fault and its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Name of the proof in the outbox.
    pub name: String,
    /// The proof.
    pub action: Action,
    /// Whose it is.
    pub who: HyperNodeId,
    of: FaultOf,
    what: String,
    command: String,
}

/// What is seen, and what of it is not proven yet.
#[derive(Debug, Default)]
pub struct Faults {
    convicts: bool,
    /// Contradictions on the board that were looked at.
    kept: u64,
    /// Resolved epochs whose roots were not looked at.
    looks: VecDeque<Epoch>,
    seen: BTreeSet<String>,
    told: BTreeSet<String>,
    proven: usize,
    open: VecDeque<Fault>,
    rests_until: UnixMs,
}

impl Faults {
    /// From now on what is seen is proven to the ledger; otherwise it is only told.
    pub fn convict(&mut self) {
        self.convicts = true;
    }

    /// An epoch was resolved: its roots are to be looked at.
    pub fn resolved(&mut self, epoch: Epoch) {
        self.looks.push_back(epoch);
    }

    /// How many this process has seen that were not proven when it last looked.
    pub fn count(&self) -> usize {
        self.seen.len().saturating_sub(self.proven)
    }

    /// Whether something failed so short a time ago that nothing is tried.
    pub fn rests(&self, now: UnixMs) -> bool {
        now < self.rests_until
    }

    /// Something failed.
    pub fn rest(&mut self, now: UnixMs) {
        self.rests_until = UnixMs(now.0.saturating_add(REST_MS));
    }

    /// Looks at the board and at what was resolved; a line for each fault that was not seen before. When it fails, what was
    /// seen until then is told, and another epoch comes first the next time.
    pub fn look(&mut self, at: Places<'_>, lines: &mut Vec<String>) -> Result<(), FaultsError> {
        let kept = at.store.contradiction_count()?;
        if kept != self.kept {
            for fault in of_votes(at.store, at.network)? {
                self.add(at.ledger, fault, lines)?;
            }
            self.kept = kept;
        }
        // A standby that takes over has more of them than the next root waits for.
        for _ in 0..LOOKS_MAX {
            let Some(epoch) = self.looks.pop_front() else {
                break;
            };
            if let Err(error) = self.look_at_roots(at.ledger, epoch, lines) {
                self.looks.push_back(epoch);
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn look_at_roots(
        &mut self,
        ledger: &AssayLedger,
        epoch: Epoch,
        lines: &mut Vec<String>,
    ) -> Result<(), LedgerError> {
        // Nothing was replaced there, or the contract has forgotten whether.
        if ledger.epoch_record(epoch)?.corrections == 0 {
            return Ok(());
        }
        let hypernodes = ledger.hypernodes()?.into_iter();
        let hypernodes = hypernodes.map(|one| (one.address, one.ed25519)).collect();
        for wrong in ledger.replaced_roots(epoch)? {
            if let Some(line) = left_out(epoch, &wrong)
                && self.told.insert(line.clone())
            {
                lines.push(line);
            }
            for fault in of_root(epoch, &wrong, &hypernodes) {
                self.add(ledger, fault, lines)?;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        ledger: &AssayLedger,
        fault: Fault,
        lines: &mut Vec<String>,
    ) -> Result<(), LedgerError> {
        if self.seen.contains(&fault.name) {
            return Ok(());
        }
        let is_proven = ledger.is_proven(fault.of, &fault.who)?;
        self.seen.insert(fault.name.clone());
        if is_proven {
            self.proven();
            return Ok(());
        }
        let line = self.line(&fault);
        // One line for all who signed a root.
        if self.told.insert(line.clone()) {
            lines.push(line);
        }
        self.open.extend(self.convicts.then_some(fault));
        Ok(())
    }

    fn line(&self, fault: &Fault) -> String {
        let Fault { what, command, .. } = fault;
        match self.convicts {
            true => format!("fault: {what}: the proof is sent to the ledger"),
            false => format!(
                "fault: {what}\nhint: `assay-bridge ledger {command}` takes stake for it, or `convict = true` under [posting]"
            ),
        }
    }

    /// One of those that were seen is proven.
    pub fn proven(&mut self) {
        self.proven = self.proven.saturating_add(1);
    }

    /// Takes the first that waits for its proof.
    pub fn take(&mut self) -> Option<Fault> {
        self.open.pop_front()
    }

    /// Puts back what goes on waiting, behind the others.
    pub fn put_back(&mut self, fault: Fault) {
        self.open.push_back(fault);
    }
}

fn of_votes(store: &Store, network: NetworkId) -> Result<Vec<Fault>, StoreError> {
    let pairs = double_votes::refused(store, network, None)?;
    let fault = |[first, second]: &[double_votes::SignedVote; 2]| {
        let (who, epoch) = (first.0.hypernode, first.0.epoch);
        Fault {
            name: format!("convict/votes/{epoch}/{who}"),
            action: Action::convict_of_votes([(&first.0, &first.1), (&second.0, &second.1)]),
            who,
            of: FaultOf::vote(&first.0),
            what: format!("HyperNode {who} voted for two input sets in epoch {epoch}"),
            command: format!("convict-votes --config F --key F --epoch {epoch}"),
        }
    };
    Ok(pairs.iter().map(fault).collect())
}

/// What is said of a replaced root whose signers are not convicted.
fn left_out(epoch: Epoch, wrong: &Replaced) -> Option<String> {
    let digest = wrong.digest;
    if wrong.is_right {
        return Some(format!(
            "root {digest} of epoch {epoch} was replaced though it was right, and put back: who signed it is not convicted here, \
             but `convict-roots` by others may do it"
        ));
    }
    wrong.signatures.is_empty().then(|| {
        format!(
            "fault: root {digest} of epoch {epoch} was replaced; it was posted through another contract (transaction {}), so who \
             signed it cannot be read",
            wrong.tx
        )
    })
}

/// The faults of those who signed a replaced root.
fn of_root(
    epoch: Epoch,
    wrong: &Replaced,
    hypernodes: &BTreeMap<Address, HyperNodeId>,
) -> Vec<Fault> {
    if wrong.is_right {
        return Vec::new();
    }
    let (digest, signers) = (wrong.digest, wrong.signatures.len());
    let fault = |(account, signature): &(Address, [u8; 65])| {
        Some(Fault {
            name: format!("convict/replaced/{epoch}/{digest}/{account}"),
            action: Action::convict_of_root(&wrong.root, signature),
            who: *hypernodes.get(account)?,
            of: FaultOf::Root(epoch, digest),
            what: format!(
                "root {digest} of epoch {epoch} was replaced, and {signers} accounts had signed it"
            ),
            command: format!("convict-roots --rpc URL --contract ADDR --key F --epoch {epoch}"),
        })
    };
    wrong.signatures.iter().filter_map(fault).collect()
}
