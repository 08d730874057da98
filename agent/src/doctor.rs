//! What can be found out about this machine before any stake is at risk: `assay-agent doctor`.
//!
//! Each examination stands by itself, and says in one line what it found and what to do. Nothing here decides anything
//! about a node: HyperNodes do, from evidence.

mod class;
mod host;
mod snp;

use crate::evidence::EvidenceError;
use crate::node::{StartError, node_id, open_tpm, read_config};
use crate::region::RegionStore;
use crate::sources::{Attached, Sources};
use crate::tpm::Tpm;
use assay_protocol::class::ValidClass;
use assay_protocol::config::AgentConfig;
use assay_protocol::region::BLOCK_BYTES;
use serde::Serialize;
use std::fmt;
use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

/// How one examination ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Something to repair.
    Fail,
    /// It is not there, or cannot be told.
    Skip,
}

/// One examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name, such as `tpm`.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, unless it passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::Skip => "SKIP",
        };
        write!(f, "{word}  {:<14} {}", self.name, self.found)?;
        match &self.hint {
            Some(hint) => write!(f, "\n      {:<14} hint: {hint}", ""),
            None => Ok(()),
        }
    }
}

pub(crate) fn pass(name: &'static str, found: impl Into<String>) -> Finding {
    let found = found.into();
    Finding {
        name,
        verdict: Verdict::Pass,
        found,
        hint: None,
    }
}

pub(crate) fn fail(
    name: &'static str,
    found: impl Into<String>,
    hint: impl Into<String>,
) -> Finding {
    Finding {
        verdict: Verdict::Fail,
        hint: Some(hint.into()),
        ..pass(name, found)
    }
}

pub(crate) fn skip(
    name: &'static str,
    found: impl Into<String>,
    hint: impl Into<String>,
) -> Finding {
    Finding {
        verdict: Verdict::Skip,
        hint: Some(hint.into()),
        ..pass(name, found)
    }
}

fn failed(name: &'static str, error: &StartError) -> Finding {
    fail(name, error.to_string(), error.hint())
}

/// Examines this machine as the agent of this configuration, and against a class when one is given.
pub fn examine(config: &Path, class: Option<&ValidClass>) -> Vec<Finding> {
    let path = config;
    let config = match read_config(path) {
        Ok(config) => config,
        Err(error) => return vec![failed("configuration", &error)],
    };
    let roster = config.roster.len();
    let mut findings = vec![pass(
        "configuration",
        format!("{roster} HyperNodes in the roster"),
    )];
    let sources = Sources::open(&config).and_then(|sources| sources.read(None));
    findings.extend(logs(path, &config, sources));
    findings.extend(tpm(&config));
    findings.extend([
        host::secure_boot(Path::new(host::SECURE_BOOT)),
        snp::machine(Path::new("/")),
        host::clock(Path::new(host::CLOCK_SYNCHRONISED)),
        state(&config),
        listen(&config),
    ]);
    findings.extend(snp::examine(config.snp.as_ref()));
    findings.extend(
        class
            .into_iter()
            .flat_map(|class| class::fits(&config, class)),
    );
    findings
}

/// The files that go with a quote, and whether the configuration was measured.
fn logs(
    path: &Path,
    config: &AgentConfig,
    sources: Result<Attached, EvidenceError>,
) -> Vec<Finding> {
    let attached = match sources {
        Ok(attached) => attached,
        Err(error) => return vec![failed("logs", &StartError::Source(error))],
    };
    let event_log = &attached.event_log;
    let ima = match (&attached.ima, &config.ima) {
        (Some(part), _) => pass(
            "ima",
            format!("{} entries, {} bytes", part.total, part.bytes.len()),
        ),
        (None, _) => skip(
            "ima",
            "no [ima] section",
            "a class with an ima section needs a kernel that measures files, and ima.list",
        ),
    };
    vec![
        pass("event-log", format!("{} bytes", event_log.len())),
        measured(path, event_log),
        ima,
    ]
}

/// The log carries measured data as they are: the file must be in it, byte for byte.
fn measured(path: &Path, event_log: &[u8]) -> Finding {
    const NAME: &str = "measured";
    let file = std::fs::read(path).unwrap_or_default();
    let found = !file.is_empty() && event_log.windows(file.len()).any(|part| part == file);
    match found {
        true => pass(NAME, "the configuration is in the event log"),
        false => fail(
            NAME,
            "the event log does not have this configuration",
            "measure the file into PCR 12 (EV_IPL, its bytes as event data) and boot again; a changed file \
             counts from the next boot",
        ),
    }
}

/// The TPM, its endorsement key and how long a quote takes.
fn tpm(config: &AgentConfig) -> Vec<Finding> {
    let tpm = match open_tpm(config) {
        Ok(tpm) => tpm,
        Err(error) => return vec![failed("tpm", &error)],
    };
    let identity = tpm.identity();
    let ek = match node_id(&identity.ek_public) {
        Some(node) => pass(
            "ek-certificate",
            format!("{} bytes, node {node}", identity.ek_certificate.len()),
        ),
        None => failed("ek-certificate", &StartError::EkType),
    };
    vec![pass("tpm", config.tpm.tcti.clone()), ek, quote(&tpm)]
}

fn quote(tpm: &Tpm) -> Finding {
    const NAME: &str = "quote";
    let begun = Instant::now();
    match tpm.quote([0; 32]) {
        Ok(quote) => {
            let took = begun.elapsed().as_millis();
            pass(NAME, format!("{} registers in {took} ms", quote.pcrs.len()))
        }
        Err(error) => failed(NAME, &StartError::Tpm(error)),
    }
}

/// The folder of the regions, on a file system that reads past the cache.
fn state(config: &AgentConfig) -> Finding {
    const NAME: &str = "state";
    let dir = config.state_dir.join("regions");
    let most = u64::from(config.limits.region_blocks_max).saturating_mul(BLOCK_BYTES as u64);
    if let Err(error) = RegionStore::open(&dir, most) {
        return failed(NAME, &StartError::Regions(error));
    }
    let free = match host::free_bytes(&dir) {
        Ok(free) => free,
        Err(error) => return fail(NAME, error.to_string(), "see the message"),
    };
    let found = format!("{} MiB free in {}", free >> 20, config.state_dir.display());
    // Each HyperNode of the roster may fill a region.
    let wanted = most.saturating_mul(config.roster.len() as u64);
    match free >= wanted {
        true => pass(NAME, found),
        false => fail(
            NAME,
            found,
            format!(
                "{} HyperNodes may fill {} MiB each: free space or lower limits.region_blocks_max",
                config.roster.len(),
                most >> 20
            ),
        ),
    }
}

/// Whether HyperNodes could be answered there; a running agent is in the way of itself.
fn listen(config: &AgentConfig) -> Finding {
    match TcpListener::bind(&config.listen) {
        Ok(_) => pass("listen", config.listen.clone()),
        Err(source) => {
            let listen = config.listen.clone();
            failed("listen", &StartError::Listen { listen, source })
        }
    }
}

/// Whether nothing has to be repaired.
pub fn is_sound(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.verdict != Verdict::Fail)
}
