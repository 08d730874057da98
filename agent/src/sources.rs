//! Where evidence besides the quote comes from. A source gives bytes; what they mean is the verifier's to find out.
//!
//! Files are read here. SEV-SNP reports come from one of three sources behind [`report::ReportSource`], and
//! [`snp::Snp`] is what an agent has of them.

mod certificates;
mod chips;
pub mod configfs_tsm;
pub mod guest_device;
pub mod probe_guest;
pub mod report;
pub mod snp;

use crate::evidence::EvidenceError;
use assay_protocol::config::{AgentConfig, ImaSection};
use assay_protocol::limits::{EVENT_LOG_BYTES_MAX, IMA_LIST_BYTES_MAX};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Beside the list the kernel says how many entries it has.
const IMA_COUNT: &str = "runtime_measurements_count";
/// A number and a line feed.
const IMA_COUNT_BYTES_MAX: usize = 32;

/// The files an agent sends along with its quotes.
#[derive(Debug)]
pub struct Sources {
    event_log: Bounded,
    ima: Option<ImaList>,
}

/// What they held at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The binary TCG event log.
    pub event_log: Vec<u8>,
    /// The whole IMA list of this boot, and how many entries the kernel counted just before.
    pub ima: Option<(Vec<u8>, u64)>,
}

impl Sources {
    /// The files that `config` names.
    pub fn of(config: &AgentConfig) -> Self {
        Self {
            event_log: Bounded::new("event log", &config.tpm.event_log, EVENT_LOG_BYTES_MAX),
            ima: config.ima.as_ref().map(ImaList::of),
        }
    }

    /// Reads them anew, as for each quote: the kernel appends to them.
    pub fn read(&self) -> Result<Attached, EvidenceError> {
        Ok(Attached {
            event_log: self.event_log.read()?,
            ima: self.ima.as_ref().map(ImaList::read).transpose()?,
        })
    }

    /// Whether nothing was added since `attached` was read, as far as the kernel counts.
    pub fn are_unchanged(&self, attached: &Attached) -> Result<bool, EvidenceError> {
        match (&self.ima, &attached.ima) {
            (Some(source), Some((_, count))) => Ok(source.count()? == *count),
            _ => Ok(true),
        }
    }
}

/// The kernel's measurement list (Linux `security/integrity/ima/ima_fs.c`).
#[derive(Debug)]
struct ImaList {
    list: Bounded,
    count: Bounded,
}

impl ImaList {
    fn of(section: &ImaSection) -> Self {
        let count = section.list.with_file_name(IMA_COUNT);
        Self {
            list: Bounded::new("IMA list", &section.list, IMA_LIST_BYTES_MAX),
            count: Bounded::new("IMA entry count", &count, IMA_COUNT_BYTES_MAX),
        }
    }

    /// The count first: what is measured meanwhile is in the list and makes the next count another.
    fn read(&self) -> Result<(Vec<u8>, u64), EvidenceError> {
        let count = self.count()?;
        Ok((self.list.read()?, count))
    }

    fn count(&self) -> Result<u64, EvidenceError> {
        let bytes = self.count.read()?;
        let text = String::from_utf8_lossy(&bytes);
        let number = text.trim().parse();
        number.map_err(|_| {
            self.count
                .failed(format!("expected a number, got {:?}", text.trim()))
        })
    }
}

/// A file of which no more than so many bytes are read.
#[derive(Debug)]
struct Bounded {
    what: &'static str,
    path: PathBuf,
    max: usize,
}

impl Bounded {
    fn new(what: &'static str, path: &Path, max: usize) -> Self {
        let path = path.to_owned();
        Self { what, path, max }
    }

    fn failed(&self, why: String) -> EvidenceError {
        EvidenceError::Source(format!("{}: {}: {why}", self.what, self.path.display()))
    }

    fn read(&self) -> Result<Vec<u8>, EvidenceError> {
        let failed = |error: std::io::Error| self.failed(error.to_string());
        let file = File::open(&self.path).map_err(failed)?;
        let mut bytes = Vec::new();
        let capped = u64::try_from(self.max)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        file.take(capped).read_to_end(&mut bytes).map_err(failed)?;
        match bytes.len() <= self.max {
            true => Ok(bytes),
            false => Err(self.failed(format!("longer than {} bytes", self.max))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        dir: tempfile::TempDir,
        sources: Sources,
    }

    impl Files {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            let list = at("binary_runtime_measurements");
            let sources = Sources {
                event_log: Bounded::new("event log", &at("log"), EVENT_LOG_BYTES_MAX),
                ima: Some(ImaList::of(&ImaSection { list })),
            };
            let files = Self { dir, sources };
            files.write("log", b"log");
            files.write("binary_runtime_measurements", b"list");
            files.write("runtime_measurements_count", b"7\n");
            files
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            std::fs::write(self.dir.path().join(name), bytes).unwrap();
        }

        fn refused(&self) -> String {
            self.sources.read().unwrap_err().to_string()
        }
    }

    #[test]
    fn files_are_read_whole_and_anew_each_time() {
        let files = Files::new();
        let attached = files.sources.read().unwrap();
        assert_eq!(attached.event_log, b"log");
        assert_eq!(attached.ima, Some((b"list".to_vec(), 7)));
        files.write("binary_runtime_measurements", b"list and more");
        files.write("runtime_measurements_count", b"8\n");
        assert!(!files.sources.are_unchanged(&attached).unwrap());
        let attached = files.sources.read().unwrap();
        assert_eq!(attached.ima, Some((b"list and more".to_vec(), 8)));
        assert!(files.sources.are_unchanged(&attached).unwrap());
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_path() {
        let files = Files::new();
        files.write("runtime_measurements_count", b"seven\n");
        let error = files.refused();
        assert!(error.starts_with("IMA entry count: "), "{error}");
        assert!(
            error.ends_with("expected a number, got \"seven\""),
            "{error}"
        );
        files.write("binary_runtime_measurements", &vec![0; IMA_LIST_BYTES_MAX]);
        files.write("runtime_measurements_count", b"1");
        assert!(files.sources.read().is_ok());
        files.write(
            "binary_runtime_measurements",
            &vec![0; IMA_LIST_BYTES_MAX + 1],
        );
        assert!(files.refused().ends_with("longer than 4194304 bytes"));
        std::fs::remove_file(files.dir.path().join("log")).unwrap();
        let error = files.refused();
        assert!(
            error.starts_with("event log: ") && error.contains("log: No such file"),
            "{error}"
        );
        files.write("log", &vec![0; EVENT_LOG_BYTES_MAX + 1]);
        assert!(files.refused().contains("event log: "));
    }
}
