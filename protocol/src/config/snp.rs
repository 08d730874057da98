//! The `[snp]` section: where SEV-SNP reports, certificates and chip ids come from (ARCHITECTURE section 6).

use crate::limits::SNP_DEADLINE_MS_MAX;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The guest driver's device.
pub const GUEST_DEVICE: &str = "/dev/sev-guest";
/// The kernel's folder of reports (Linux 6.7 and later).
pub const TSM_REPORTS: &str = "/sys/kernel/config/tsm/report";
/// The vsock port a probe guest listens on.
pub const PROBE_GUEST_PORT: u32 = 7_144;
/// VMADDR_CID_ANY: everybody, and so nobody to connect to.
const CID_ANY: u32 = u32::MAX;

/// The `[snp]` section. Keys that the source does not use are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct SnpSection {
    /// Who makes the reports.
    pub source: SnpSource,
    /// The host's firmware device, which names the chips; nothing: no chip ids are claimed.
    pub host: Option<PathBuf>,
    /// Certificates for reports that come without any.
    pub certificates: Option<SnpCertificateFiles>,
    /// Longest wait for a report, in milliseconds; evidence that has none by then goes without.
    pub deadline_ms: u64,
}

/// Who makes the reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnpSource {
    /// The driver of the confidential guest the agent runs in.
    GuestDevice {
        /// Its character device.
        path: PathBuf,
    },
    /// The same by the kernel's common interface.
    ConfigfsTsm {
        /// Its folder of reports.
        path: PathBuf,
    },
    /// A confidential guest on this host, asked over vsock.
    ProbeGuest {
        /// The guest's context id.
        cid: u32,
        /// The port it listens on.
        port: u32,
    },
}

/// The chip's key and its issuers, each a file of one certificate in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpCertificateFiles {
    /// The chip's key.
    pub vcek: PathBuf,
    /// Its issuer.
    pub ask: PathBuf,
    /// The root.
    pub ark: PathBuf,
}

/// The section as it is written: which keys go together is found out afterwards.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    source: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vcek: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ask: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ark: Option<PathBuf>,
    #[serde(default = "default_deadline_ms")]
    deadline_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Name {
    GuestDevice,
    ConfigfsTsm,
    ProbeGuest,
}

fn default_deadline_ms() -> u64 {
    5_000
}

impl TryFrom<Written> for SnpSection {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let deadline_ms = written.deadline_ms;
        if !(1..=SNP_DEADLINE_MS_MAX).contains(&deadline_ms) {
            return Err(format!(
                "snp.deadline_ms: expected 1 to {SNP_DEADLINE_MS_MAX}, got {deadline_ms}"
            ));
        }
        Ok(Self {
            source: source(&written)?,
            host: written.host,
            certificates: certificates(written.vcek, written.ask, written.ark)?,
            deadline_ms,
        })
    }
}

fn source(written: &Written) -> Result<SnpSource, String> {
    let path = |usual: &str| written.path.clone().unwrap_or_else(|| usual.into());
    let is_guest = written.source == Name::ProbeGuest;
    if is_guest && written.path.is_some() {
        return Err("snp.path: source \"probe-guest\" has none".into());
    }
    if !is_guest && (written.cid.is_some() || written.port.is_some()) {
        return Err("snp.cid and snp.port: only source \"probe-guest\" has them".into());
    }
    Ok(match written.source {
        Name::GuestDevice => SnpSource::GuestDevice {
            path: path(GUEST_DEVICE),
        },
        Name::ConfigfsTsm => SnpSource::ConfigfsTsm {
            path: path(TSM_REPORTS),
        },
        Name::ProbeGuest => SnpSource::ProbeGuest {
            cid: written
                .cid
                .filter(|cid| *cid != CID_ANY)
                .ok_or("snp.cid: source \"probe-guest\" needs the context id of one guest")?,
            port: written.port.unwrap_or(PROBE_GUEST_PORT),
        },
    })
}

/// All or none: a chain with a gap is of no use to a verifier.
fn certificates(
    vcek: Option<PathBuf>,
    ask: Option<PathBuf>,
    ark: Option<PathBuf>,
) -> Result<Option<SnpCertificateFiles>, String> {
    match (vcek, ask, ark) {
        (None, None, None) => Ok(None),
        (Some(vcek), Some(ask), Some(ark)) => Ok(Some(SnpCertificateFiles { vcek, ask, ark })),
        _ => Err("snp.vcek, snp.ask and snp.ark: expected all three or none".into()),
    }
}

impl From<SnpSection> for Written {
    fn from(section: SnpSection) -> Self {
        let (source, path, cid, port) = match section.source {
            SnpSource::GuestDevice { path } => (Name::GuestDevice, Some(path), None, None),
            SnpSource::ConfigfsTsm { path } => (Name::ConfigfsTsm, Some(path), None, None),
            SnpSource::ProbeGuest { cid, port } => (Name::ProbeGuest, None, Some(cid), Some(port)),
        };
        let files = section.certificates;
        let file = |pick: fn(&SnpCertificateFiles) -> &PathBuf| files.as_ref().map(pick).cloned();
        Self {
            source,
            path,
            cid,
            port,
            host: section.host,
            vcek: file(|files| &files.vcek),
            ask: file(|files| &files.ask),
            ark: file(|files| &files.ark),
            deadline_ms: section.deadline_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SnpSection, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn each_source_has_its_own_keys_and_usual_places() {
        let section = read("source = \"guest-device\"").unwrap();
        let path = GUEST_DEVICE.into();
        assert_eq!(section.source, SnpSource::GuestDevice { path });
        assert_eq!(section.deadline_ms, 5_000);
        assert_eq!((section.host, section.certificates), (None, None));
        let section = read("source = \"configfs-tsm\"\npath = \"/reports\"").unwrap();
        let path = "/reports".into();
        assert_eq!(section.source, SnpSource::ConfigfsTsm { path });
        let section = read("source = \"probe-guest\"\ncid = 7").unwrap();
        let (cid, port) = (7, PROBE_GUEST_PORT);
        assert_eq!(section.source, SnpSource::ProbeGuest { cid, port });
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "source = \"guest-device\"\nhost = \"/dev/sev\"\ndeadline_ms = 1",
            "source = \"configfs-tsm\"\nvcek = \"v\"\nask = \"s\"\nark = \"r\"",
            "source = \"probe-guest\"\ncid = 3\nport = 9",
        ] {
            let section = read(text).unwrap();
            let written = toml::to_string(&section).unwrap();
            assert_eq!(read(&written), Ok(section), "{written}");
        }
    }

    #[test]
    fn keys_of_another_source_gaps_and_impossible_values_are_refused_by_name() {
        for (text, named) in [
            ("source = \"oracle\"", "oracle"),
            ("source = \"guest-device\"\nsurprise = 1", "surprise"),
            ("source = \"guest-device\"\ncid = 3", "snp.cid"),
            ("source = \"configfs-tsm\"\nport = 3", "snp.port"),
            (
                "source = \"probe-guest\"\ncid = 3\npath = \"/p\"",
                "snp.path",
            ),
            ("source = \"probe-guest\"", "snp.cid"),
            ("source = \"probe-guest\"\ncid = 4294967295", "snp.cid"),
            ("source = \"guest-device\"\nvcek = \"v\"", "snp.vcek"),
            (
                "source = \"guest-device\"\nvcek = \"v\"\nask = \"s\"",
                "snp.ark",
            ),
            ("source = \"guest-device\"\ndeadline_ms = 0", "deadline_ms"),
            (
                "source = \"guest-device\"\ndeadline_ms = 10001",
                "1 to 10000, got 10001",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
