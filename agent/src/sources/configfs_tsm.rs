//! Reports by the kernel's common interface, Linux 6.7 and later (`Documentation/ABI/testing/configfs-tsm`).
//!
//! The kernel takes what was written to `inblob` when the file is closed and tells nobody whether it did; it fills an
//! open file once. So each file is opened anew for each report, and `generation`, which each write makes higher by one,
//! says whether the report is of what was written here and of nothing else.

use super::report::{ReportSource, SourceError, VMPL};
use assay_protocol::evidence::SnpEvidence;
use assay_protocol::ids::ReportData;
use assay_protocol::item::Blob;
use assay_protocol::limits::{SNP_CERTIFICATES_BYTES_MAX, SNP_REPORT_BYTES_MAX};
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The agent's own entry in the folder of reports.
pub const ENTRY: &str = "assay-agent";
/// The attribute that each report writes; the kernel makes it root's.
pub const WRITTEN: &str = "inblob";
/// What the kernel calls SEV-SNP's driver.
const PROVIDER: &str = "sev_guest";
/// Most attempts at one report, others writing to the entry meanwhile.
const ATTEMPTS_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);
/// A word or a number, and a line feed.
const TEXT_BYTES_MAX: usize = 64;

/// An entry's attributes: files of a folder that the kernel plays.
pub trait Attributes: Debug + Send {
    /// What the attribute holds, read at once; longer than `max` is an error.
    fn read(&self, name: &str, max: usize) -> io::Result<Vec<u8>>;
    /// Writes the attribute and closes it.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
}

/// The real ones.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Attributes for Folder {
    fn read(&self, name: &str, max: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.0.join(name))?;
        let mut bytes = Vec::new();
        let capped = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        file.take(capped).read_to_end(&mut bytes)?;
        match bytes.len() <= max {
            true => Ok(bytes),
            false => Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("longer than {max} bytes"),
            )),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // The kernel makes these files: one that is not there is not to be made.
        let mut file = File::options().write(true).open(self.0.join(name))?;
        file.write_all(bytes)
    }
}

/// The entry, made.
#[derive(Debug)]
pub struct ConfigfsTsm<A = Folder> {
    path: PathBuf,
    attributes: A,
    /// Whether this process made it, and so takes it away.
    made: bool,
}

impl ConfigfsTsm {
    /// Makes the entry in the folder `reports`, or goes on with the one that is there: `generation` keeps two that use
    /// it apart. Needs root; what follows needs the files of the entry alone.
    pub fn open(reports: &Path) -> Result<Self, SourceError> {
        let path = reports.join(ENTRY);
        let made = match std::fs::create_dir(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(source) => return Err(SourceError::File { path, source }),
        };
        let attributes = Folder(path.clone());
        let tsm = Self {
            path,
            attributes,
            made,
        };
        tsm.prepare()?;
        Ok(tsm)
    }
}

impl<A: Attributes> ConfigfsTsm<A> {
    /// The driver must be the one whose reports are meant, and make them for [`VMPL`].
    fn prepare(&self) -> Result<(), SourceError> {
        let provider = self.text("provider")?;
        if provider != PROVIDER {
            return Err(SourceError::Unexpected {
                path: self.path.join("provider"),
                expected: PROVIDER.into(),
                actual: format!("{provider:?}"),
            });
        }
        let level = VMPL.to_string();
        let set = self.attributes.write("privlevel", level.as_bytes());
        set.map_err(|error| self.failed("privlevel", error))
    }

    fn failed(&self, name: &str, source: io::Error) -> SourceError {
        let path = self.path.join(name);
        SourceError::File { path, source }
    }

    fn read(&self, name: &str, max: usize) -> Result<Vec<u8>, SourceError> {
        let bytes = self.attributes.read(name, max);
        bytes.map_err(|error| self.failed(name, error))
    }

    fn text(&self, name: &str) -> Result<String, SourceError> {
        let bytes = self.read(name, TEXT_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn generation(&self) -> Result<u64, SourceError> {
        let text = self.text("generation")?;
        text.parse().map_err(|_| SourceError::Unexpected {
            path: self.path.join("generation"),
            expected: "a number".into(),
            actual: format!("{text:?}"),
        })
    }

    /// Nothing when somebody else wrote between, or the kernel did not take the write.
    fn attempt(&self, report_data: &ReportData) -> Result<Option<SnpEvidence>, SourceError> {
        let before = self.generation()?;
        let written = self.attributes.write("inblob", &report_data.0);
        written.map_err(|error| self.failed("inblob", error))?;
        if self.generation()? != before.wrapping_add(1) {
            return Ok(None);
        }
        let report = self.read("outblob", SNP_REPORT_BYTES_MAX)?;
        let certificates = self.read("auxblob", SNP_CERTIFICATES_BYTES_MAX)?;
        let undisturbed = self.generation()? == before.wrapping_add(1);
        Ok(undisturbed.then_some(SnpEvidence {
            report: Blob(report),
            certificates: Blob(certificates),
        }))
    }
}

impl<A: Attributes> ReportSource for ConfigfsTsm<A> {
    fn report(&mut self, report_data: &ReportData) -> Result<SnpEvidence, SourceError> {
        for attempt in 0..ATTEMPTS_MAX {
            std::thread::sleep(PAUSE.saturating_mul(attempt));
            match self.attempt(report_data) {
                Ok(Some(report)) => return Ok(report),
                Ok(None) => {}
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(SourceError::Conflict {
            path: self.path.clone(),
            attempts: ATTEMPTS_MAX,
        })
    }
}

/// What another user of the entry, or of the driver, may cause.
fn passes(error: &SourceError) -> bool {
    let SourceError::File { source, .. } = error else {
        return false;
    };
    matches!(
        source.kind(),
        ErrorKind::WouldBlock | ErrorKind::ResourceBusy | ErrorKind::Interrupted
    )
}

impl<A> Drop for ConfigfsTsm<A> {
    fn drop(&mut self) {
        if self.made {
            // Without root it stays; the next start goes on with it.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
