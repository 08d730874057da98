//! The agent's measured configuration: one TOML file whose SHA-256 is in PCR 12 (EV_IPL).
//! It names the owner; the quote makes that a proven claim (ARCHITECTURE section 5).

mod snp;

pub use snp::{
    GUEST_DEVICE, PROBE_GUEST_PORT, SnpCertificateFiles, SnpSection, SnpSource, TSM_REPORTS,
};

use crate::ids::{Address, HyperNodeId, NetworkId};
use crate::limits::{AGENT_CONFIG_BYTES_MAX, ROSTER_MAX};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The configuration of an agent. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The network the node serves.
    pub network: NetworkId,
    /// The provider's ledger account.
    pub provider: Address,
    /// HyperNodes of the genesis roster, who are answered until they prove that others follow them; everybody else is closed
    /// without an answer.
    pub roster: Vec<HyperNodeId>,
    /// Address and port to listen on.
    pub listen: String,
    /// Where regions and the AK blob are kept.
    pub state_dir: PathBuf,
    /// How to reach the TPM and where the measured boot log is.
    pub tpm: TpmSection,
    /// The kernel's measurement list, on a machine that keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ima: Option<ImaSection>,
    /// Where SEV-SNP reports come from, on a machine that can have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snp: Option<SnpSection>,
    /// Where the flashable image is on its network; elsewhere the system knows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineSection>,
    /// Bounds the provider sets.
    #[serde(default)]
    pub limits: LimitSection,
}

/// The `[tpm]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmSection {
    /// `swtpm:host=127.0.0.1,port=2321` or `device:/dev/tpmrm0`.
    pub tcti: String,
    /// The binary TCG event log of this boot.
    pub event_log: PathBuf,
    /// Longest wait for one TPM operation, in milliseconds.
    #[serde(default = "default_deadline_ms")]
    pub deadline_ms: u64,
}

fn default_deadline_ms() -> u64 {
    10_000
}

/// The `[ima]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImaSection {
    /// The binary measurement list; `runtime_measurements_count` lies beside it.
    pub list: PathBuf,
}

/// The `[machine]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSection {
    /// Its address with the length of its prefix, `192.0.2.10/24`.
    pub address: String,
    /// The router, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Hardware address of the card; without it the first one is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// The `[limits]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSection {
    /// Connections open at once.
    pub connections_max: u32,
    /// Largest region of one HyperNode, in blocks of 4 KiB.
    pub region_blocks_max: u32,
    /// A connection silent for so long is closed, in milliseconds.
    pub idle_ms_max: u64,
    /// Share of the time, 1 to 100 percent, in which challenges may be at the disk.
    pub disk_share_max_percent: u8,
    /// Share of all CPU time, 1 to 100 percent, that challenges may use.
    pub cpu_share_max_percent: u8,
    /// Bytes a second that challenges may send and receive, at least [`NETWORK_BYTES_PER_S_MIN`]; no bound when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_bytes_per_s_max: Option<u64>,
}

/// Less could not carry one frame of a fill before the HyperNode gives up.
pub const NETWORK_BYTES_PER_S_MIN: u64 = 65_536;

impl Default for LimitSection {
    fn default() -> Self {
        Self {
            connections_max: 64,
            region_blocks_max: 65_536,
            idle_ms_max: 300_000,
            disk_share_max_percent: 100,
            cpu_share_max_percent: 100,
            network_bytes_per_s_max: None,
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Longer than the cap.
    #[error("agent configuration: {actual} bytes, at most {AGENT_CONFIG_BYTES_MAX} allowed")]
    Oversize {
        /// Its length.
        actual: usize,
    },
    /// Not UTF-8 text.
    #[error("agent configuration is not UTF-8 text")]
    NotText,
    /// Not the TOML expected.
    #[error("agent configuration: {0}")]
    Toml(String),
    /// A roster that is empty or too long.
    #[error("agent configuration: roster: expected 1 to {ROSTER_MAX} HyperNodes, got {0}")]
    Roster(usize),
    /// A bound of `[limits]` that would allow nothing, or more than there is.
    #[error("agent configuration: limits.{name}: expected {expected}, got {actual}")]
    Limit {
        /// The key.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        actual: u64,
    },
}

impl LimitSection {
    fn check(&self) -> Result<(), ConfigError> {
        let limit = |name, expected: String, actual| ConfigError::Limit {
            name,
            expected,
            actual,
        };
        let shares = [
            ("disk_share_max_percent", self.disk_share_max_percent),
            ("cpu_share_max_percent", self.cpu_share_max_percent),
        ];
        let outside = shares
            .into_iter()
            .find(|(_, percent)| !(1..=100).contains(percent));
        if let Some((name, percent)) = outside {
            return Err(limit(name, "1 to 100".into(), percent.into()));
        }
        match self.network_bytes_per_s_max {
            Some(bytes) if bytes < NETWORK_BYTES_PER_S_MIN => Err(limit(
                "network_bytes_per_s_max",
                format!("at least {NETWORK_BYTES_PER_S_MIN}"),
                bytes,
            )),
            _ => Ok(()),
        }
    }
}

impl AgentConfig {
    /// Parses the bytes of the file, exactly as they are measured.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > AGENT_CONFIG_BYTES_MAX {
            return Err(ConfigError::Oversize {
                actual: bytes.len(),
            });
        }
        let text = core::str::from_utf8(bytes).map_err(|_| ConfigError::NotText)?;
        let config: Self =
            toml::from_str(text).map_err(|error| ConfigError::Toml(error.to_string()))?;
        let count = config.roster.len();
        if !(1..=ROSTER_MAX).contains(&count) {
            return Err(ConfigError::Roster(count));
        }
        config.limits.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        format!(
            "network = \"{}\"\nprovider = \"{}\"\nroster = [\"{}\"]\nlisten = \"127.0.0.1:0\"\n\
             state_dir = \"/var/lib/assay\"\n[tpm]\ntcti = \"device:/dev/tpmrm0\"\nevent_log = \"/log\"\n",
            "11".repeat(32),
            "22".repeat(20),
            "33".repeat(32)
        )
    }

    #[test]
    fn parses_and_fills_defaults() {
        let config = AgentConfig::parse(text().as_bytes()).unwrap();
        assert_eq!(config.provider, Address([0x22; 20]));
        assert_eq!(config.limits, LimitSection::default());
    }

    #[test]
    fn shares_that_allow_nothing_or_more_than_all_are_refused() {
        let with =
            |line: &str| AgentConfig::parse(format!("{}[limits]\n{line}\n", text()).as_bytes());
        let good = "disk_share_max_percent = 1\ncpu_share_max_percent = 100\nnetwork_bytes_per_s_max = 65536";
        assert_eq!(with(good).unwrap().limits.disk_share_max_percent, 1);
        let bad = [
            "disk_share_max_percent = 0",
            "disk_share_max_percent = 101",
            "cpu_share_max_percent = 0",
            "cpu_share_max_percent = 101",
            "network_bytes_per_s_max = 65535",
        ];
        for line in bad {
            let (name, value) = line.split_once(" = ").unwrap();
            let error = with(line).unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains(&format!("got {value}")),
                "{error}"
            );
        }
    }

    #[test]
    fn refuses_unknown_keys_bad_ids_empty_rosters_and_oversize() {
        let unknown = text() + "surprise = 1\n";
        let error = AgentConfig::parse(unknown.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("surprise"), "{error}");
        let short = text().replace(&"22".repeat(20), "22");
        let error = AgentConfig::parse(short.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("Address"), "{error}");
        let empty = text().replace(&format!("\"{}\"", "33".repeat(32)), "");
        assert_eq!(
            AgentConfig::parse(empty.as_bytes()),
            Err(ConfigError::Roster(0))
        );
        let long = vec![b'#'; AGENT_CONFIG_BYTES_MAX + 1];
        assert!(matches!(
            AgentConfig::parse(&long),
            Err(ConfigError::Oversize { .. })
        ));
        assert_eq!(AgentConfig::parse(&[0xff]), Err(ConfigError::NotText));
    }
}
