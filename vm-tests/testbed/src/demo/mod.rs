//! The demo: one promise proven end to end on loopback, by the product's own programs.
//!
//! Three nodes: one honest, one that booted something its reference values do not allow, one that is stopped for a good
//! part of the paying epoch. Two epochs: the first confirms registrations, the second pays and slashes.

mod summary;
mod table;

pub use summary::{NodeSummary, Summary};

use crate::boot_log::Variant;
use crate::net::{LocalNetwork, Plan, Programs, sleep_until};
use anyhow::{Context as _, Result, bail};
use assay_protocol::ids::{Epoch, NodeId, UnixMs};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Numbers of the demo's network.
const PLAN: Plan = Plan {
    epoch_ms: 30_000,
    slot_ms: 1_000,
    commit_ms: 4_000,
    reveal_ms: 7_000,
    vote_ms: 11_000,
    void_after_ms: 20_000,
    absent_epochs: 0,
    genesis_in_ms: 12_000,
    dispute_window_epochs: 1,
};
/// Stakes of the four HyperNodes, in whole coins.
const STAKES: [u64; 4] = [40, 25, 20, 15];
/// Collateral of each provider, in whole coins.
const COLLATERAL: u64 = 10;
/// Part of the paying epoch in which the third node is stopped, in slots.
const STOPPED_SLOTS: std::ops::Range<u64> = 8..22;
/// Longest wait for the ledger after an epoch.
const SETTLE_WAIT: Duration = Duration::from_secs(40);

/// The three nodes, by label.
pub const HONEST: &str = "honest";
/// See [`HONEST`].
pub const ROGUE: &str = "rogue-boot";
/// See [`HONEST`].
pub const STOPPED: &str = "stopped";

/// Prints progress a person can follow.
struct Progress {
    begun: Instant,
    step: u32,
}

impl Progress {
    fn say(&mut self, text: &str) {
        self.step += 1;
        println!(
            "[{:>5.1} s] {:>2}. {text}",
            self.begun.elapsed().as_secs_f32(),
            self.step
        );
    }
}

/// Runs the demo in `out`, which is made anew; `root` is what bundle paths are relative to.
pub fn run(out: &Path, root: &Path) -> Result<Summary> {
    let mut progress = Progress {
        begun: Instant::now(),
        step: 0,
    };
    prepare(out)?;
    let scalers = [
        (HONEST, Variant::Good),
        (ROGUE, Variant::Rogue),
        (STOPPED, Variant::Good),
    ];
    let programs = Programs::beside_this_one()?;
    let state = out.join("state");
    let mut network = LocalNetwork::create(programs, &state, PLAN, &STAKES, &scalers, |text| {
        progress.say(text)
    })?;
    network.write_trust(&out.join("trust.json"))?;
    print_parameters(&network);
    progress.say("ScalerNodes: measured boot, agents started, collateral pledged");
    network.start_scalers(COLLATERAL)?;
    progress.say("HyperNodes: four daemons started");
    network.start_hypernodes()?;
    live_through(&mut network, &mut progress)?;
    progress.say("audit bundles: one per node, verified offline");
    for hypernode in &mut network.hypernodes {
        hypernode.daemon.as_mut().map(crate::net::Daemon::stop);
    }
    let bundles = bundles(&network, out)?;
    let summary = summary::collect(&network, &bundles, root)?;
    fs::write(
        out.join("summary.json"),
        serde_json::to_string_pretty(&summary)?,
    )?;
    verify_bundles(&network, out, &bundles)?;
    network.bridge.stop();
    println!("{}", table::render(&summary));
    progress.say("done");
    Ok(summary)
}

fn prepare(out: &Path) -> Result<()> {
    if out.join("state").exists() || out.join("summary.json").exists() {
        fs::remove_dir_all(out).with_context(|| format!("clear {}", out.display()))?;
    } else if out.exists() && fs::read_dir(out)?.next().is_some() {
        bail!(
            "{}: not empty and not a demo's output\nhint: choose another --out",
            out.display()
        );
    }
    Ok(fs::create_dir_all(out)?)
}

fn print_parameters(network: &LocalNetwork) {
    let params = &network.params;
    println!(
        "          a small network: epochs of {} s, slots of {} s, panel of {}, operator cap {} bps, stakes {STAKES:?},\n\
        \x20          no systemic subtraction, persistence 1 of 1, no re-audit: it shows the way of the data, and proves no more\n\
        \x20          than four operators on one machine can",
        params.epoch_ms / 1_000,
        params.slot_ms / 1_000,
        params.panel_min,
        params.operator_cap_bps,
    );
}

/// Waits through both epochs; stops the third node in the second one.
fn live_through(network: &mut LocalNetwork, progress: &mut Progress) -> Result<()> {
    let params = network.params.clone();
    sleep_until(params.epoch_start(Epoch(0)));
    progress.say("epoch 0: enrol, attest, probe, fill, chase; confirms the registrations");
    let paying = params.epoch_start(Epoch(1));
    sleep_until(paying);
    progress.say("epoch 1: pays and slashes");
    let at_slot = |slot: u64| UnixMs(paying.0 + slot * params.slot_ms);
    sleep_until(at_slot(STOPPED_SLOTS.start));
    progress.say("the third node's agent is stopped");
    scaler(network, STOPPED)?.kill_agent();
    sleep_until(at_slot(STOPPED_SLOTS.end));
    progress.say("the third node's agent is started again");
    scaler(network, STOPPED)?.restart_agent()?;
    sleep_until(params.epoch_end(Epoch(1)));
    progress.say("commit, reveal, agree, aggregate, sign, post, settle");
    wait_settled(network)
}

fn scaler<'a>(
    network: &'a mut LocalNetwork,
    label: &str,
) -> Result<&'a mut crate::net::ScalerNode> {
    network
        .scalers
        .iter_mut()
        .find(|scaler| scaler.label == label)
        .context("no such node")
}

fn wait_settled(network: &LocalNetwork) -> Result<()> {
    let deadline = Instant::now() + SETTLE_WAIT;
    loop {
        let status = network.status()?;
        let nodes = status["nodes"].as_array().context("status without nodes")?;
        // A node that passes has nothing to be settled; what the others lose is in escrow.
        let confirmed = |node: &Value| !node["confirmed_owner"].is_null();
        let done = status["next_epoch"].as_u64() > Some(1) && nodes.iter().all(confirmed);
        if done && is_slashed(network, nodes)? {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "epoch 1 was not settled within {SETTLE_WAIT:?}\n{status:#}\nhint: see state/logs"
            );
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Whether everything that verdicts have asked for was taken.
fn is_slashed(network: &LocalNetwork, nodes: &[Value]) -> Result<bool> {
    let verdicts = network.verdicts()?;
    let asked = |node: &Value| {
        let of_node = verdicts.iter().filter(|row| row["node"] == node["node"]);
        of_node
            .map(|row| row["cumulative_slash_gwei"].as_u64())
            .max()
    };
    Ok(nodes
        .iter()
        .all(|node| node["slash_gwei"].as_u64() >= asked(node).flatten()))
}

/// A node and its bundle's file.
pub struct Bundle {
    /// The node.
    pub node: NodeId,
    /// Its label.
    pub label: String,
    /// The `.tar`.
    pub tar: PathBuf,
}

fn bundles(network: &LocalNetwork, out: &Path) -> Result<Vec<Bundle>> {
    let parts = out.join("state").join("parts");
    let dir = out.join("bundles");
    fs::create_dir_all(&dir)?;
    network
        .scalers
        .iter()
        .map(|scaler| {
            let node = scaler.node.context("a node that never booted")?;
            let parts = parts.join(&scaler.label);
            let tar = dir.join(format!("{}.tar", scaler.label));
            network.bundle(node, (0, 1), &parts, &tar)?;
            Ok(Bundle {
                node,
                label: scaler.label.clone(),
                tar,
            })
        })
        .collect()
}

fn verify_bundles(network: &LocalNetwork, out: &Path, bundles: &[Bundle]) -> Result<()> {
    let trust = out.join("trust.json");
    let trust = trust.to_str().context("path is not text")?;
    for bundle in bundles {
        let tar = bundle.tar.to_str().context("path is not text")?;
        let (code, said) = network
            .programs
            .status("assay-audit", &["verify", "--trust", trust, tar])?;
        if code != 0 {
            bail!("assay-audit verify --trust {trust} {tar}: exit {code}, expected 0\n{said}");
        }
        println!("          assay-audit verify --trust {trust} {tar}: verdict reproduced");
    }
    Ok(())
}
