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
pub mod ima_list;
pub mod probe_guest;
pub mod report;
pub mod snp;

use crate::evidence::EvidenceError;
use crate::host_files::HostFiles;
use crate::inventory;
use assay_protocol::config::AgentConfig;
use assay_protocol::item::Item as _;
use assay_protocol::limits::EVENT_LOG_BYTES_MAX;
use assay_protocol::wire::ImaAppraised;
use ima_list::{ImaList, ImaPart};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

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
    /// The IMA list of this boot, or what of it nobody who waits has appraised.
    pub ima: Option<ImaPart>,
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

    /// Reads them anew, as for each quote: the kernel appends to them. Entries of the IMA list that were `appraised` may
    /// be left out.
    pub fn read(&self, appraised: Option<ImaAppraised>) -> Result<Attached, EvidenceError> {
        let ima = self.ima.as_ref();
        Ok(Attached {
            event_log: self.event_log.read_from(0)?,
            ima: ima.map(|list| list.read(appraised)).transpose()?,
        })
    }

    /// Whether nothing was added since `attached` was read, as far as the kernel counts.
    pub fn are_unchanged(&self, attached: &Attached) -> Result<bool, EvidenceError> {
        match (&self.ima, &attached.ima) {
            (Some(source), Some(part)) => Ok(source.count()? == part.total),
            _ => Ok(true),
        }
    }

    /// Remembers what was sent unchanged in the boot of this `resetCount`, so that it need not be sent again.
    pub fn sent(&self, attached: &Attached, reset_count: u32) {
        if let (Some(source), Some(part)) = (&self.ima, &attached.ima) {
            source.remember(part, reset_count);
        }
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

    /// From there to the end of this moment. The kernel gives less than asked for where one of its records
    /// ends; nothing means the end.
    fn read_from(&self, begin: u64) -> Result<Vec<u8>, EvidenceError> {
        let mut bytes = Vec::new();
        loop {
            let begun = bytes.len();
            // One byte more than allowed tells a file that is too long from one that just fits.
            let room = (self.max - begun).saturating_add(1).min(CHUNK);
            bytes.resize(begun.saturating_add(room), 0);
            let read = self
                .file
                .read_at(&mut bytes[begun..], begin.saturating_add(begun as u64));
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
    use assay_protocol::config::ImaSection;
    use assay_protocol::limits::IMA_LIST_BYTES_MAX;

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
            self.sources.read(None).unwrap_err().to_string()
        }
    }

    fn whole(attached: &Attached) -> (&[u8], u64) {
        let part = attached.ima.as_ref().unwrap();
        assert_eq!(part.first, 0);
        (&part.bytes, part.total)
    }

    /// A list from where it was appraised, and whole wherever anything speaks against that.
    #[test]
    fn what_was_sent_and_appraised_is_left_out_the_next_time() {
        const BOOT: u32 = 3;
        let files = Files::new();
        let list = |bytes: &[u8], count: u64| {
            files.write("binary_runtime_measurements", bytes);
            files.write(
                "runtime_measurements_count",
                format!("{count}\n").as_bytes(),
            );
        };
        let ask = |reset_count, entries| {
            let appraised = ImaAppraised {
                reset_count,
                entries,
            };
            let attached = files.sources.read(Some(appraised)).unwrap();
            let part = attached.ima.clone().unwrap();
            (attached, (part.bytes, part.first, part.total))
        };
        let told = |reset_count, entries| ask(reset_count, entries).1;
        let all = |bytes: &[u8], total| (bytes.to_vec(), 0, total);

        // Nothing was sent yet.
        assert_eq!(told(BOOT, 7), all(b"list", 7));
        files.sources.sent(&files.sources.read(None).unwrap(), BOOT);
        assert_eq!(told(BOOT, 7), (Vec::new(), 7, 7));
        list(b"list and more", 9);
        let (attached, part) = ask(BOOT, 7);
        assert_eq!(part, (b" and more".to_vec(), 7, 9));
        files.sources.sent(&attached, BOOT);
        list(b"list and more and", 10);
        assert_eq!(told(BOOT, 9), (b" and".to_vec(), 9, 10));
        assert_eq!(told(BOOT, 8), (b" and more and".to_vec(), 7, 10));
        // Of another boot, of before what is remembered, of more than there is.
        assert_eq!(told(BOOT - 1, 9), all(b"list and more and", 10));
        assert_eq!(told(BOOT, 6), all(b"list and more and", 10));
        assert_eq!(told(BOOT, 11), all(b"list and more and", 10));
        // A list that shrank is another one.
        list(b"list", 7);
        assert_eq!(told(BOOT, 9), all(b"list", 7));
        files.sources.sent(&files.sources.read(None).unwrap(), BOOT);
        list(b"list or", 8);
        assert_eq!(told(BOOT, 7), (b" or".to_vec(), 7, 8));
    }

    /// What is left out is not counted: a long boot can go on.
    #[test]
    fn a_list_longer_than_the_bound_goes_on_in_parts() {
        let files = Files::new();
        files.write("binary_runtime_measurements", &vec![1; IMA_LIST_BYTES_MAX]);
        files.sources.sent(&files.sources.read(None).unwrap(), 1);
        let longer = vec![1; IMA_LIST_BYTES_MAX + 10];
        files.write("binary_runtime_measurements", &longer);
        let appraised = ImaAppraised {
            reset_count: 1,
            entries: 7,
        };
        let attached = files.sources.read(Some(appraised)).unwrap();
        assert_eq!(attached.ima.unwrap().bytes.len(), 10);
        assert!(files.refused().ends_with("longer than 4194304 bytes"));
    }

    #[test]
    fn files_are_read_whole_and_anew_each_time() {
        let files = Files::new();
        let attached = files.sources.read(None).unwrap();
        assert_eq!(attached.event_log, b"log");
        assert_eq!(whole(&attached), (&b"list"[..], 7));
        files.write("binary_runtime_measurements", b"list and more");
        files.write("runtime_measurements_count", b"8\n");
        assert!(!files.sources.are_unchanged(&attached).unwrap());
        let attached = files.sources.read(None).unwrap();
        assert_eq!(whole(&attached), (&b"list and more"[..], 8));
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
        assert!(files.sources.read(None).is_ok());
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
        let before = files.sources.read(None).unwrap();
        for name in [
            "log",
            "binary_runtime_measurements",
            "runtime_measurements_count",
        ] {
            std::fs::remove_file(files.dir.path().join(name)).unwrap();
        }
        assert_eq!(files.sources.read(None), Ok(before));
    }
}
