//! Where evidence besides the quote comes from. A source gives bytes; what they mean is the verifier's to find out.
//!
//! Files are read here. SEV-SNP reports come from one of three sources behind [`report::ReportSource`], and
//! [`snp::Snp`] is what an agent has of them.
//!
//! The kernel shows its logs to root only. They are opened once, at start, and read from their beginning each time: by
//! then the agent is not root any more.

mod certificates;
mod chips;
pub mod configfs_tsm;
pub mod guest_device;
pub mod probe_guest;
pub mod report;
pub mod snp;

use crate::evidence::EvidenceError;
use crate::host_files::HostFiles;
use crate::inventory;
use assay_protocol::config::{AgentConfig, ImaSection};
use assay_protocol::item::Item as _;
use assay_protocol::limits::{EVENT_LOG_BYTES_MAX, IMA_LIST_BYTES_MAX};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Beside the list the kernel says how many entries it has.
const IMA_COUNT: &str = "runtime_measurements_count";
/// A number and a line feed.
const IMA_COUNT_BYTES_MAX: usize = 32;
/// Bytes asked for at once.
const CHUNK: usize = 64 * 1024;

/// The files an agent sends along with its quotes.
#[derive(Debug)]
pub struct Sources {
    event_log: Bounded,
    ima: Option<ImaList>,
    inventory: Vec<u8>,
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
    /// Opens the files that `config` names.
    pub fn open(config: &AgentConfig) -> Result<Self, EvidenceError> {
        Ok(Self {
            event_log: Bounded::open("event log", &config.tpm.event_log, EVENT_LOG_BYTES_MAX)?,
            ima: config.ima.as_ref().map(ImaList::open).transpose()?,
            inventory: inventory::read(&HostFiles::of_this_machine()).encode(),
        })
    }

    /// The inventory of when the agent started, encoded.
    pub fn inventory(&self) -> &[u8] {
        &self.inventory
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
    fn open(section: &ImaSection) -> Result<Self, EvidenceError> {
        let count = section.list.with_file_name(IMA_COUNT);
        Ok(Self {
            list: Bounded::open("IMA list", &section.list, IMA_LIST_BYTES_MAX)?,
            count: Bounded::open("IMA entry count", &count, IMA_COUNT_BYTES_MAX)?,
        })
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

/// An open file of which no more than so many bytes are read.
#[derive(Debug)]
struct Bounded {
    what: &'static str,
    path: PathBuf,
    file: File,
    max: usize,
}

impl Bounded {
    fn open(what: &'static str, path: &Path, max: usize) -> Result<Self, EvidenceError> {
        let file = File::open(path).map_err(|error| failed(what, path, &error.to_string()))?;
        let path = path.to_owned();
        Ok(Self {
            what,
            path,
            file,
            max,
        })
    }

    fn failed(&self, why: String) -> EvidenceError {
        failed(self.what, &self.path, &why)
    }

    /// From the first byte to the end of this moment. The kernel gives less than asked for where one of its records
    /// ends; nothing means the end.
    fn read(&self) -> Result<Vec<u8>, EvidenceError> {
        let mut bytes = Vec::new();
        loop {
            let begun = bytes.len();
            // One byte more than allowed tells a file that is too long from one that just fits.
            let room = (self.max - begun).saturating_add(1).min(CHUNK);
            bytes.resize(begun.saturating_add(room), 0);
            let read = self.file.read_at(&mut bytes[begun..], begun as u64);
            let read = read.map_err(|error| self.failed(error.to_string()))?;
            bytes.truncate(begun.saturating_add(read));
            if bytes.len() > self.max {
                return Err(self.failed(format!("longer than {} bytes", self.max)));
            }
            if read == 0 {
                return Ok(bytes);
            }
        }
    }
}

fn failed(what: &str, path: &Path, why: &str) -> EvidenceError {
    EvidenceError::Source(format!("{what}: {}: {why}", path.display()))
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
            let write = |name: &str, bytes| std::fs::write(dir.path().join(name), bytes).unwrap();
            write("log", &b"log"[..]);
            write("binary_runtime_measurements", b"list");
            write("runtime_measurements_count", b"7\n");
            let sources = Self::open(dir.path()).unwrap();
            Self { dir, sources }
        }

        fn open(dir: &Path) -> Result<Sources, EvidenceError> {
            let list = dir.join("binary_runtime_measurements");
            Ok(Sources {
                event_log: Bounded::open("event log", &dir.join("log"), EVENT_LOG_BYTES_MAX)?,
                ima: Some(ImaList::open(&ImaSection { list })?),
                inventory: Vec::new(),
            })
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
        files.write("log", &vec![0; EVENT_LOG_BYTES_MAX + 1]);
        assert!(files.refused().contains("event log: "));
        std::fs::remove_file(files.dir.path().join("log")).unwrap();
        let error = Files::open(files.dir.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("event log: ") && error.contains("log: No such file"),
            "{error}"
        );
    }

    /// What root opened stays readable for the user the agent has become.
    #[test]
    fn an_open_file_needs_no_name_any_more() {
        let files = Files::new();
        let before = files.sources.read().unwrap();
        for name in [
            "log",
            "binary_runtime_measurements",
            "runtime_measurements_count",
        ] {
            std::fs::remove_file(files.dir.path().join(name)).unwrap();
        }
        assert_eq!(files.sources.read(), Ok(before));
    }
}
