//! One ScalerNode: a software TPM with a measured boot, and an agent process.

use super::free_port;
use super::process::{Daemon, Programs};
use crate::boot_log::{Banks, MeasuredBoot, Variant};
use crate::{Swtpm, TestCa};
use anyhow::{Context as _, Result};
use assay_protocol::config::{AgentConfig, LimitSection, TpmSection};
use assay_protocol::ids::{Address, HyperNodeId, NetworkId, NodeId};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an agent may take to its first line.
const AGENT_START: Duration = Duration::from_secs(20);

/// A ScalerNode with its TPM made, not booted yet.
pub struct ScalerNode {
    /// Name for people.
    pub label: String,
    /// The provider's account.
    pub provider: Address,
    /// Which boot it does.
    pub variant: Variant,
    /// Where its agent listens.
    pub endpoint: String,
    /// Its TPM.
    pub tpm: Swtpm,
    /// Its agent, once booted.
    pub agent: Option<Daemon>,
    /// Its id, once booted.
    pub node: Option<NodeId>,
    dir: PathBuf,
}

impl ScalerNode {
    /// Makes the TPM.
    pub fn new(
        dir: &Path,
        ca: &TestCa,
        label: &str,
        variant: Variant,
        provider: Address,
    ) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let tpm = Swtpm::create(&dir.join("tpm"), ca, label)?;
        Ok(Self {
            label: label.to_owned(),
            provider,
            variant,
            endpoint: format!("127.0.0.1:{}", free_port()?),
            tpm,
            agent: None,
            node: None,
            dir: dir.to_owned(),
        })
    }

    /// Writes the measured configuration, boots (PCRs and log) and starts the agent.
    pub fn boot(
        &mut self,
        programs: &Programs,
        network: NetworkId,
        roster: &[HyperNodeId],
    ) -> Result<NodeId> {
        let config = AgentConfig {
            network,
            provider: self.provider,
            roster: roster.to_vec(),
            listen: self.endpoint.clone(),
            state_dir: self.dir.join("state"),
            tpm: TpmSection {
                tcti: self.tpm.tcti(),
                event_log: self.dir.join("event.log"),
                deadline_ms: 10_000,
            },
            limits: LimitSection::default(),
        };
        fs::create_dir_all(&config.state_dir)?;
        let text = toml::to_string(&config)?;
        let path = self.config_path();
        fs::write(&path, &text)?;
        let boot = MeasuredBoot::new(self.variant, text.as_bytes());
        boot.extend(&self.tpm)?;
        let log = boot.log(Banks::Sha256);
        fs::write(&config.tpm.event_log, log)?;
        let args = [
            "run",
            "--config",
            path.to_str().context("path is not text")?,
        ];
        let program = programs.path("assay-agent")?;
        let log = self.dir.join("agent.log");
        self.agent = Some(Daemon::start(&self.label, program, &args, &log)?);
        self.wait_for_agent()
    }

    /// Reboots: the TPM restarts, the same boot is measured again, a new agent starts.
    pub fn reboot(&mut self, programs: &Programs) -> Result<NodeId> {
        self.kill_agent();
        self.tpm.restart()?;
        let text = fs::read(self.config_path())?;
        let config = AgentConfig::parse(&text)?;
        self.boot(programs, config.network, &config.roster)
    }

    /// Starts a new agent process on the running machine.
    pub fn restart_agent(&mut self) -> Result<NodeId> {
        self.agent
            .as_mut()
            .context("the node never booted")?
            .restart()?;
        self.wait_for_agent()
    }

    /// Kills the agent process.
    pub fn kill_agent(&mut self) {
        if let Some(agent) = self.agent.as_mut() {
            agent.kill9();
        }
    }

    fn wait_for_agent(&mut self) -> Result<NodeId> {
        let agent = self.agent.as_mut().context("no agent")?;
        let line = agent.wait_for("listening on", AGENT_START)?;
        let mut words = line.split_whitespace().skip_while(|word| *word != "node");
        let id = words
            .nth(1)
            .with_context(|| format!("agent said {line:?}"))?
            .parse()?;
        self.node = Some(id);
        Ok(id)
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join("agent.toml")
    }

    /// The agent's state: its regions among them.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }
}
