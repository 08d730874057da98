//! Proofs of faults: what HyperNodes signed convicts them, and whoever shows it gets the reporter's share.

use super::OfEpoch;
use crate::args::{ConfigArg, Key, Output, Signed, say_json};
use anyhow::{Context as _, Result, ensure};
use assay_bridge::bundle::{self, Bundle};
use assay_bridge::double_roots::{self, Signing};
use assay_bridge::forks::{self, Head, Log};
use assay_bridge::{double_votes, outcomes, run, wrong_key};
use assay_ledger::{Action, AssayLedger, Replaced, TxSigner};
use assay_protocol::ids::{Epoch, HyperNodeId, NetworkId};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// What is proven.
#[derive(Subcommand)]
pub enum Command {
    /// Slash whoever signed a root that a correction replaced, by what the ledger holds; anybody may.
    #[command(name = "convict-roots")]
    Roots(OfEpoch),
    /// Slash whoever voted for two input sets in one epoch, by the boards of one bridge or two; anybody may.
    #[command(name = "convict-votes")]
    Votes(Votes),
    /// Slash whoever signed two roots of one epoch and round, by two audit bundles; anybody may.
    #[command(name = "convict-double-roots")]
    DoubleRoots(TwoBundles),
    /// Slash a HyperNode whose log forked or contradicts itself, by two of its checkpoints of one size or by two audit bundles;
    /// anybody may.
    #[command(name = "convict-log")]
    Log(Fork),
    /// Slash whoever signed an outcome that rests on an answer which nobody signed, or two outcomes of one probe, by audit
    /// bundles; anybody may.
    #[command(name = "convict-outcomes")]
    Outcomes(Outcomes),
    /// Slash a HyperNode that revealed a key that does not make the region of its receipt, by the region's file; anybody may.
    #[command(name = "convict-region")]
    Region(Region),
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
    /// state_dir of another bridge of this network, or a copy of it; without it by what this bridge has refused.
    #[arg(long)]
    other: Option<PathBuf>,
}

#[derive(Args)]
pub struct TwoBundles {
    #[command(flatten)]
    signed: Signed,
    /// An audit bundle, its tar file.
    #[arg(long)]
    first: PathBuf,
    /// Another one, of some of the same epochs.
    #[arg(long)]
    second: PathBuf,
}

#[derive(Args)]
pub struct Fork {
    #[command(flatten)]
    between: TwoBundles,
    /// Whose log it is; instead of a bundle, `checkpoint.txt` of one will do when both are of one size.
    #[arg(long)]
    hypernode: HyperNodeId,
}

#[derive(Args)]
pub struct Outcomes {
    #[command(flatten)]
    signed: Signed,
    /// An audit bundle, its tar file.
    #[arg(long)]
    first: PathBuf,
    /// Another one, of the same node and some of the same epochs.
    #[arg(long)]
    second: Option<PathBuf>,
}

#[derive(Args)]
pub struct Region {
    #[command(flatten)]
    signed: Signed,
    /// An audit bundle with the report that reveals the key, its tar file.
    #[arg(long)]
    bundle: PathBuf,
    /// The region's receipt, a `.receipt` file of the agent.
    #[arg(long)]
    receipt: PathBuf,
    /// The region, the `.region` file beside it.
    #[arg(long)]
    region: PathBuf,
}

impl Command {
    /// Whether a program reads the output.
    pub fn is_for_programs(&self) -> bool {
        match self {
            Self::Roots(arg) => arg.signed.output.json,
            Self::Votes(arg) => arg.output.json,
            Self::DoubleRoots(arg) => arg.signed.output.json,
            Self::Log(arg) => arg.between.signed.output.json,
            Self::Outcomes(arg) => arg.signed.output.json,
            Self::Region(arg) => arg.signed.output.json,
        }
    }

    /// Does it.
    pub fn execute(self) -> Result<()> {
        match self {
            Self::Roots(arg) => convict_roots(&arg),
            Self::Votes(arg) => convict_votes(&arg),
            Self::DoubleRoots(arg) => convict_double_roots(&arg),
            Self::Log(arg) => convict_log(&arg),
            Self::Outcomes(arg) => convict_outcomes(&arg),
            Self::Region(arg) => convict_region(&arg),
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
        if wrong.is_right {
            court.skips(wrong, "right: what replaced it was replaced in turn");
            continue;
        }
        if wrong.signatures.is_empty() {
            court.skips(
                wrong,
                "posted through another contract: its signatures cannot be read",
            );
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
    let (network, epoch) = (history.network(), Epoch(arg.epoch));
    let mut pairs = double_votes::refused(&store, network, Some(epoch))?;
    if let Some(other) = &arg.other {
        let other = run::state_for_reading(other, network)?;
        pairs.extend(double_votes::refused(&other, network, Some(epoch))?);
        pairs.extend(double_votes::find([&store, &other], network, epoch)?);
    }
    ensure!(
        !pairs.is_empty(),
        "epoch {epoch}: expected somebody who voted for two input sets, got nobody\n\
         hint: one bridge knows only whose second vote it refused; --other compares its board with another bridge's"
    );
    let mut court = Court::new(&ledger, signer.as_ref());
    for [first, second] in &pairs {
        let action = Action::convict_of_votes([(&first.0, &first.1), (&second.0, &second.1)]);
        court.convicts(first.0.hypernode, &action);
    }
    court.closes()
}

fn convict_double_roots(arg: &TwoBundles) -> Result<()> {
    let (ledger, signer) = arg.signed.open()?;
    let network = network_of(&ledger)?;
    let signing = Signing {
        network,
        chain_id: ledger.chain_id()?,
        contract: ledger.contract(),
    };
    let first = Bundle::read(&arg.first, network)?;
    let second = Bundle::read(&arg.second, network)?;
    let compared = double_roots::compare([&first, &second], &signing)?;
    ensure!(
        !compared.guilty.is_empty(),
        "{} and {}: expected two roots of one epoch, round and committee that somebody signed both, got {}",
        first.name(),
        second.name(),
        compared
    );
    let mut court = Court::new(&ledger, signer.as_ref());
    for (account, [(a, by_a), (b, by_b)]) in &compared.guilty {
        court.convicts(
            account,
            &Action::convict_of_two_roots([(a, by_a), (b, by_b)]),
        );
    }
    court.closes()
}

fn convict_log(arg: &Fork) -> Result<()> {
    let (ledger, signer) = arg.between.signed.open()?;
    let log = Log {
        network: network_of(&ledger)?,
        hypernode: arg.hypernode,
    };
    let (first, second) = (
        heads(&log, &arg.between.first)?,
        heads(&log, &arg.between.second)?,
    );
    let said = [&first, &second].map(|heads| forks::describe(heads));
    let proof = forks::proof(&[first, second].concat());
    let proof = proof.with_context(|| {
        let [first, second] = said;
        format!(
            "log of {}: expected two roots of one size, two leaves at one index or about one slot or node, got {first}, and {second}\n\
             hint: only audit bundles prove leaves: give two of them that have epochs of one node in common",
            arg.hypernode
        )
    })?;
    let mut court = Court::new(&ledger, signer.as_ref());
    court.convicts(arg.hypernode, &proof);
    court.closes()
}

/// What a file shows of a log: a checkpoint, or a bundle with some.
fn heads(log: &Log, path: &Path) -> Result<Vec<Head>> {
    let name = || path.display().to_string();
    let bytes = bundle::file(path)?;
    if !bundle::is_tar(&bytes) {
        return Ok(vec![log.head(&bytes).with_context(name)?]);
    }
    let bundle = Bundle::open(name(), &bytes, log.network)?;
    let heads = log.heads_in(&bundle);
    ensure!(
        !heads.is_empty(),
        "{}: expected checkpoints signed by HyperNode {}, got none",
        bundle.name(),
        log.hypernode
    );
    Ok(heads)
}

fn convict_outcomes(arg: &Outcomes) -> Result<()> {
    let (ledger, signer) = arg.signed.open()?;
    let network = network_of(&ledger)?;
    let paths = [Some(&arg.first), arg.second.as_ref()];
    let bundles = paths.into_iter().flatten();
    let bundles = bundles.map(|path| Bundle::read(path, network));
    let bundles = bundles.collect::<Result<Vec<_>>>()?;
    let known = ledger.hypernodes()?;
    let known = known.iter().map(|known| known.ed25519).collect();
    let compared = outcomes::compare(&bundles, network, &known);
    let names: Vec<&str> = bundles.iter().map(Bundle::name).collect();
    ensure!(
        !compared.proofs.is_empty(),
        "{}: expected an outcome that rests on an unsigned answer, or two outcomes of one probe, got neither in {} outcomes \
         and {} pieces of evidence\n\
         hint: `assay-audit verify` says what else is wrong with a bundle",
        names.join(" and "),
        compared.outcomes,
        compared.evidence
    );
    let mut court = Court::new(&ledger, signer.as_ref());
    for (hypernode, proof) in &compared.proofs {
        court.convicts(hypernode, proof);
    }
    court.closes()
}

fn convict_region(arg: &Region) -> Result<()> {
    let (ledger, signer) = arg.signed.open()?;
    let network = network_of(&ledger)?;
    let bytes = bundle::file(&arg.receipt)?;
    let receipt = wrong_key::receipt(&bytes).with_context(|| arg.receipt.display().to_string())?;
    let of = &receipt.receipt;
    ensure!(
        of.network == network,
        "{}: expected a receipt of network {network}, got one of {}",
        arg.receipt.display(),
        of.network
    );
    let key = wrong_key::revealed(&Bundle::read(&arg.bundle, network)?, of)?;
    let place = || arg.region.display().to_string();
    let mut region = BufReader::new(File::open(&arg.region).with_context(place)?);
    let wrong = wrong_key::wrong_block(of, &key, &mut region).with_context(place)?;
    let proof = Action::convict_of_region_key(&receipt, &wrong);
    let mut court = Court::new(&ledger, signer.as_ref());
    court.convicts(of.hypernode, &proof);
    court.closes()
}

fn network_of(ledger: &AssayLedger) -> Result<NetworkId> {
    ledger.network_id()?.context("genesis is not open")
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

    fn skips(&mut self, wrong: &Replaced, why: &str) {
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
