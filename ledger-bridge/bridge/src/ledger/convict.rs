//! Proofs of faults: what HyperNodes signed convicts them, and whoever shows it gets the reporter's share.

use super::OfEpoch;
use crate::args::{ConfigArg, Key, Output, say_json};
use anyhow::{Result, ensure};
use assay_bridge::double_votes;
use assay_bridge::store::Store;
use assay_ledger::{Action, AssayLedger, Replaced, TxSigner};
use assay_protocol::ids::Epoch;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What is proven.
#[derive(Subcommand)]
pub enum Command {
    /// Slash whoever signed a root that a correction replaced, by what the ledger holds; anybody may.
    ConvictRoots(OfEpoch),
    /// Slash whoever voted for two input sets in one epoch, by the boards of two bridges; anybody may.
    ConvictVotes(Votes),
}

#[derive(Args)]
pub struct Votes {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    output: Output,
    /// The epoch.
    #[arg(long)]
    epoch: u64,
    /// state_dir of another bridge of this network, or a copy of it.
    #[arg(long)]
    other: PathBuf,
}

impl Command {
    /// Whether a program reads the output.
    pub fn is_for_programs(&self) -> bool {
        match self {
            Self::ConvictRoots(arg) => arg.signed.output.json,
            Self::ConvictVotes(arg) => arg.output.json,
        }
    }

    /// Does it.
    pub fn execute(self) -> Result<()> {
        match self {
            Self::ConvictRoots(arg) => convict_roots(&arg),
            Self::ConvictVotes(arg) => convict_votes(&arg),
        }
    }
}

fn convict_roots(arg: &OfEpoch) -> Result<()> {
    let (ledger, signer) = arg.signed.open()?;
    let epoch = Epoch(arg.epoch);
    let replaced = ledger.replaced_roots(epoch)?;
    ensure!(
        !replaced.is_empty(),
        "epoch {epoch}: no root of it was replaced\n\
         hint: a root that only an earlier epoch's correction undid convicts nobody"
    );
    let mut court = Court::new(&ledger, signer.as_ref());
    for wrong in &replaced {
        if wrong.signatures.is_empty() {
            court.skips(wrong);
        }
        for (account, signature) in &wrong.signatures {
            court.convicts(account, &Action::convict_of_root(&wrong.root, signature));
        }
    }
    court.closes()
}

fn convict_votes(arg: &Votes) -> Result<()> {
    let signer = arg.key.open()?;
    let (store, ledger, history) = arg.config.network()?;
    let other = Store::open_for_reading(&arg.other, history.network())?;
    let epoch = Epoch(arg.epoch);
    let pairs = double_votes::find([&store, &other], history.network(), epoch)?;
    ensure!(
        !pairs.is_empty(),
        "epoch {epoch}: nobody voted for two input sets on these two boards"
    );
    let mut court = Court::new(&ledger, signer.as_ref());
    for [first, second] in &pairs {
        let action = Action::convict_of_votes([(&first.0, &first.1), (&second.0, &second.1)]);
        court.convicts(first.0.hypernode, &action);
    }
    court.closes()
}

/// One proof after the other: what is wrong with one keeps none of the others back.
struct Court<'a> {
    ledger: &'a AssayLedger,
    signer: &'a dyn TxSigner,
    proofs: Vec<Value>,
    failed: Option<anyhow::Error>,
}

impl<'a> Court<'a> {
    fn new(ledger: &'a AssayLedger, signer: &'a dyn TxSigner) -> Self {
        Self {
            ledger,
            signer,
            proofs: Vec::new(),
            failed: None,
        }
    }

    /// What counted before is not proven again.
    fn convicts(&mut self, who: impl ToString, action: &Action) {
        let (who, of) = (who.to_string(), action.name);
        match self.ledger.submit(self.signer, action) {
            Ok(receipt) => self.proofs.push(json!({
                "convicted": who, "of": of,
                "tx": receipt.tx_hash.to_string(), "gas": receipt.gas_used,
            })),
            Err(error) if error.revert_name() == Some("AlreadyProven") => {
                let proof = json!({ "convicted": who, "of": of, "before": true });
                self.proofs.push(proof);
            }
            Err(error) => {
                let error = anyhow::Error::from(error).context(who);
                self.failed.get_or_insert(error);
            }
        }
    }

    fn skips(&mut self, wrong: &Replaced) {
        let why = "posted through another contract: its signatures cannot be read";
        let (digest, tx) = (wrong.digest.to_string(), wrong.tx.to_string());
        let skipped = json!({ "skipped": digest, "tx": tx, "why": why });
        self.proofs.push(skipped);
    }

    /// Says what was done, then what was not.
    fn closes(self) -> Result<()> {
        if self.failed.is_none() || !self.proofs.is_empty() {
            say_json(&json!({ "proofs": self.proofs }))?;
        }
        self.failed.map_or(Ok(()), Err)
    }
}
