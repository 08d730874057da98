//! One ScalerNode: a software TPM with a measured boot, and an agent process.

use super::free_port;
use super::process::{Daemon, Programs};
use crate::boot_log::{MeasuredBoot, Variant};
use crate::ima_list::{self, ImaEntry};
use crate::{ImaList, Swtpm, TestCa, TpmBus};
use anyhow::{Context as _, Result};
use assay_protocol::config::{AgentConfig, ImaSection, LimitSection, SnpSection, TpmSection};
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
    /// Files that its kernel measures, with their contents; none: it keeps no list.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Where its agent gets SEV-SNP reports from, when it has any.
    pub snp: Option<SnpSection>,
    /// Variables its agent is started with.
    pub environment: Vec<(String, String)>,
    /// Its id, once booted.
    pub node: Option<NodeId>,
    /// What its kernel measured since it booted, where it keeps a list.
    pub list: Option<ImaList>,
    /// What its agent shares the TPM through, when its kernel goes on measuring.
    bus: Option<TpmBus>,
    dir: PathBuf,
}

impl ScalerNode {
    /// The kernel's command line on a node that measures files.
    pub const IMA_COMMAND_LINE: &str = "ima_policy=tcb";

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
            files: Vec::new(),
            snp: None,
            environment: Vec::new(),
            node: None,
            list: None,
            bus: None,
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
        let path = self.power_on(network, roster)?;
        let mut args = vec![
            "run",
            "--config",
            path.to_str().context("path is not text")?,
        ];
        // Test networks lie in folders that only their maker may enter, so that root's agents stay root.
        if nix::unistd::Uid::effective().is_root() {
            args.extend(["--user", "root"]);
        }
        let program = programs.path("assay-agent")?;
        let log = self.dir.join("agent.log");
        let environment = self.environment.clone();
        let agent = Daemon::start_in(environment, &self.label, program, &args, &log)?;
        self.agent = Some(agent);
        self.wait_for_agent()
    }

    /// Writes the configuration and boots, without an agent; yields the configuration's path.
    pub fn power_on(&mut self, network: NetworkId, roster: &[HyperNodeId]) -> Result<PathBuf> {
        let list = self.dir.join("binary_runtime_measurements");
        let ima = (!self.files.is_empty()).then_some(ImaSection { list });
        let config = AgentConfig {
            network,
            provider: self.provider,
            roster: roster.to_vec(),
            listen: self.endpoint.clone(),
            state_dir: self.dir.join("state"),
            tpm: TpmSection {
                tcti: self
                    .bus
                    .as_ref()
                    .map_or_else(|| self.tpm.tcti(), TpmBus::tcti),
                event_log: self.dir.join("event.log"),
                deadline_ms: 10_000,
            },
            ima,
            snp: self.snp.clone(),
            machine: None,
            limits: LimitSection::default(),
        };
        fs::create_dir_all(&config.state_dir)?;
        let text = toml::to_string(&config)?;
        let path = self.config_path();
        fs::write(&path, &text)?;
        self.measure(&text)?;
        Ok(path)
    }

    /// Boots: registers, log and, where the kernel measures files, its list.
    fn measure(&mut self, config: &str) -> Result<()> {
        let boot = match self.files.is_empty() {
            true => MeasuredBoot::new(self.variant, config.as_bytes()),
            false => {
                let line = Self::IMA_COMMAND_LINE;
                MeasuredBoot::with_command_line(self.variant, config.as_bytes(), line)
            }
        };
        boot.extend(&self.tpm)?;
        boot.write_log(&self.dir.join("event.log"))?;
        if !self.files.is_empty() {
            let files: Vec<(&str, &[u8])> = self.files.iter().map(|(n, c)| (*n, &c[..])).collect();
            let list = ImaList::new(&boot.pcrs(), &files);
            list.extend(&self.tpm)?;
            list.write(&self.dir)?;
            self.list = Some(list);
        }
        Ok(())
    }

    /// From the next boot on its kernel can measure while the agent runs ([`Self::run_file`]).
    pub fn share_tpm(&mut self) -> Result<()> {
        self.bus = Some(TpmBus::start(&self.tpm)?);
        Ok(())
    }

    /// Runs a program: its kernel measures it, first in the list and then in the TPM.
    pub fn run_file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let bus = self.bus.as_ref().context("the TPM is the agent's alone")?;
        let list = self.list.as_mut().context("its kernel keeps no list")?;
        list.entries.push(ImaEntry::of_content(name, content));
        list.write(&self.dir)?;
        let by = list.extends().last().context("an entry")?;
        bus.extend(ima_list::PCR, &by)
    }

    /// Where its kernel shows files: the list and the log.
    pub fn folder(&self) -> &Path {
        &self.dir
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
