//! Budgets for epochs to come. A contract takes any epoch: what is put aside for one that never comes stays there, so such
//! epochs are refused here.

use crate::args::Signed;
use anyhow::{Result, ensure};
use assay_bridge::ledger_now;
use assay_bridge::plan_rules::TIME_MS_MAX;
use assay_ledger::{Action, AssayLedger, GenesisParameters};
use assay_protocol::ids::{Epoch, Stake, UnixMs};
use clap::Args;

#[derive(Args)]
pub struct Fund {
    #[command(flatten)]
    pub(super) signed: Signed,
    /// For each epoch, in gwei.
    #[arg(long)]
    gwei: u64,
    /// How many epochs, at most 512 at once; the last one begins within ten years.
    #[arg(long)]
    epochs: u64,
    /// The first one; without, the earliest that the contract takes.
    #[arg(long)]
    first: Option<u64>,
}

impl Fund {
    /// Funds these epochs by an action.
    pub(super) fn submit(&self, of: impl Fn(Epoch, u64, Stake) -> Action) -> Result<()> {
        let (ledger, signer) = self.signed.open()?;
        let open = Open::of(&ledger)?;
        let first = self.first.map_or(open.earliest, Epoch);
        open.check(first, self.epochs)?;
        let each = self.signed.amount(&ledger, self.gwei)?;
        let action = of(first, self.epochs, each);
        self.signed.submit_to(&ledger, signer.as_ref(), &action)
    }
}

/// The epochs that can be funded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    /// The first one that begins more than one epoch from now: the contract's rule.
    earliest: Epoch,
    /// The last one that begins within ten years: ours.
    last: Epoch,
}

impl Open {
    fn of(ledger: &AssayLedger) -> Result<Self> {
        let now = ledger_now(ledger)?;
        Ok(Self::at(&ledger.genesis_parameters()?, now))
    }

    fn at(network: &GenesisParameters, now: UnixMs) -> Self {
        // Epochs that have begun so long after now, where genesis is not later.
        let begun = |ahead_ms: u64| {
            let since = now.0.saturating_add(ahead_ms);
            let since = since.checked_sub(network.genesis_unix_ms.0)?;
            since.checked_div(network.epoch_ms)
        };
        let next = |epoch: u64| epoch.saturating_add(1);
        Self {
            earliest: Epoch(begun(network.epoch_ms).map_or(0, next)),
            last: Epoch(begun(TIME_MS_MAX).unwrap_or(0)),
        }
    }

    fn check(self, first: Epoch, epochs: u64) -> Result<()> {
        let Self { earliest, last } = self;
        ensure!(
            first >= earliest,
            "--first: expected epoch {earliest} or a later one (budgets are fixed an epoch before), got {first}"
        );
        let end = Epoch(first.0.saturating_add(epochs.saturating_sub(1)));
        ensure!(
            end <= last,
            "last of the epochs: expected at most {last} (it begins within ten years), got {end}\n\
             hint: what is put aside for an epoch stays there until that epoch is final"
        );
        Ok(())
    }
}
