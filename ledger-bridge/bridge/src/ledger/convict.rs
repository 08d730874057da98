//! Proofs of faults: what HyperNodes signed convicts them, and whoever shows it gets the reporter's share.

use super::OfEpoch;
use crate::args::{ConfigArg, Key, Output, Signed, say_json};
use anyhow::{Context as _, Result, ensure};
use assay_bridge::double_votes;
use assay_bridge::store::Store;
use assay_ledger::{Action, AssayLedger, Replaced, SignedHead, TxSigner};
use assay_log::verify_checkpoint;
use assay_protocol::ids::{Epoch, HyperNodeId};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What is proven.
#[derive(Subcommand)]
pub enum Command {
    /// Slash whoever signed a root that a correction replaced, by what the ledger holds; anybody may.
    #[command(name = "convict-roots")]
    Roots(OfEpoch),
    /// Slash whoever voted for two input sets in one epoch, by the boards of two bridges; anybody may.
    #[command(name = "convict-votes")]
    Votes(Votes),
    /// Slash a HyperNode that signed two roots of its log for one size, by two of its checkpoints; anybody may.
    #[command(name = "convict-log")]
    Log(Fork),
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

#[derive(Args)]
pub struct Fork {
    #[command(flatten)]
    signed: Signed,
    /// Whose log it is.
    #[arg(long)]
    hypernode: HyperNodeId,
    /// A checkpoint: a signed note, as in each audit bundle.
    #[arg(long)]
    first: PathBuf,
    /// Another one, of as many leaves and with another root.
    #[arg(long)]
    second: PathBuf,
}

impl Command {
    /// Whether a program reads the output.
    pub fn is_for_programs(&self) -> bool {
        match self {
            Self::Roots(arg) => arg.signed.output.json,
            Self::Votes(arg) => arg.output.json,
            Self::Log(arg) => arg.signed.output.json,
        }
    }

    /// Does it.
    pub fn execute(self) -> Result<()> {
        match self {
            Self::Roots(arg) => convict_roots(&arg),
            Self::Votes(arg) => convict_votes(&arg),
            Self::Log(arg) => convict_log(&arg),
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

fn convict_log(arg: &Fork) -> Result<()> {
    let (ledger, signer) = arg.signed.open()?;
    let network = ledger.network_id()?.context("genesis is not open")?;
    let origin = assay_log::checkpoint::origin(&network, &arg.hypernode);
    let head = |path: &Path| -> Result<SignedHead> {
        let note = std::fs::read(path).with_context(|| path.display().to_string())?;
        let checkpoint = verify_checkpoint(&note, &origin, &arg.hypernode);
        let checkpoint = checkpoint.with_context(|| path.display().to_string())?;
        Ok(SignedHead {
            network,
            hypernode: arg.hypernode,
            size: checkpoint.size(),
            root: checkpoint.root(),
            signature: *checkpoint.signature(),
        })
    };
    let (first, second) = (head(&arg.first)?, head(&arg.second)?);
    ensure!(
        first.size == second.size,
        "checkpoints: expected two of one size, got {} and {} leaves\n\
         hint: a fork between them is proven by leaves (`twoLeaves` of the contract), for which there is no command",
        first.size,
        second.size
    );
    ensure!(
        first.root != second.root,
        "checkpoints: expected two roots, got {} in both",
        first.root
    );
    let mut court = Court::new(&ledger, signer.as_ref());
    court.convicts(arg.hypernode, &Action::convict_of_fork([&first, &second]));
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
