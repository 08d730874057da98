//! What an agent says of SEV-SNP: a report for each batch of challenges, and the chips of this host.

use super::configfs_tsm::{ConfigfsTsm, ENTRY};
use super::guest_device::GuestDeviceSource;
use super::probe_guest::ProbeGuestSource;
use super::report::{Patient, ReportSource, SourceError};
use super::{certificates, chips, configfs_tsm};
use assay_devices::GUEST_REQUESTS;
use assay_protocol::config::{SnpSection, SnpSource};
use assay_protocol::evidence::SnpEvidence;
use assay_protocol::ids::{ChipId, ReportData};
use std::path::PathBuf;
use std::time::Duration;

/// Everything the `[snp]` section names, open, and nothing running: what is done as root. Threads come later, so that
/// they are confined like the rest.
#[derive(Debug)]
pub struct Opened {
    source: Box<dyn ReportSource>,
    deadline: Duration,
    chip_ids: Option<Vec<ChipId>>,
    table: Vec<u8>,
}

/// The same at work.
#[derive(Debug)]
pub struct Snp {
    reports: Patient,
    chip_ids: Option<Vec<ChipId>>,
    /// For reports that come without certificates.
    table: Vec<u8>,
}

impl Opened {
    /// Opens devices and entries, and reads chip ids and certificates, once: all that needs root.
    pub fn open(section: &SnpSection) -> Result<Self, SourceError> {
        let deadline = Duration::from_millis(section.deadline_ms);
        let table = match &section.certificates {
            Some(files) => certificates::table(files)?,
            None => certificates::empty_table(),
        };
        let chip_ids = section.host.as_deref().map(chips::read).transpose()?;
        Ok(Self {
            source: source(&section.source, deadline)?,
            deadline,
            chip_ids,
            table,
        })
    }

    /// Starts the source's thread.
    pub fn start(self) -> Result<Snp, SourceError> {
        let reports = Patient::start(self.source, self.deadline);
        Ok(Snp {
            reports: reports.map_err(SourceError::Thread)?,
            chip_ids: self.chip_ids,
            table: self.table,
        })
    }
}

impl Snp {
    /// Opens and starts at once.
    pub fn open(section: &SnpSection) -> Result<Self, SourceError> {
        Opened::open(section)?.start()
    }

    /// A report that carries `report_data`, with the certificates that came with it or the configured ones.
    pub fn report(&self, report_data: ReportData) -> Result<SnpEvidence, SourceError> {
        let mut snp = self.reports.report(report_data)?;
        if snp.certificates.0.is_empty() {
            snp.certificates.0.clone_from(&self.table);
        }
        Ok(snp)
    }

    /// The chips of this host, when its device is configured.
    pub fn chip_ids(&self) -> Option<&[ChipId]> {
        self.chip_ids.as_deref()
    }

    /// Longest wait for a report.
    pub fn deadline(&self) -> Duration {
        self.reports.deadline()
    }
}

/// What a report takes once everything is open: for whoever gives the rest up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// A folder whose files are opened anew each time, to be read and written. The kernel makes new inodes for them, so
    /// that it is the folder that has to stay reachable.
    pub folder: Option<PathBuf>,
    /// The one of them that is written: root's, until it is given to the user that the agent becomes.
    pub written: Option<PathBuf>,
    /// Requests on a device that is open: second argument of `ioctl`.
    pub requests: Vec<u64>,
    /// Whether a vsock stream is connected each time.
    pub vsock: bool,
}

impl Needs {
    /// What this source takes. Chip ids and configured certificates are read once and take nothing more.
    pub fn of(source: &SnpSource) -> Self {
        match source {
            SnpSource::GuestDevice { .. } => Self {
                requests: GUEST_REQUESTS.to_vec(),
                ..Self::default()
            },
            SnpSource::ConfigfsTsm { path } => Self {
                folder: Some(path.join(ENTRY)),
                written: Some(path.join(ENTRY).join(configfs_tsm::WRITTEN)),
                ..Self::default()
            },
            SnpSource::ProbeGuest { .. } => Self {
                vsock: true,
                ..Self::default()
            },
        }
    }
}

fn source(source: &SnpSource, deadline: Duration) -> Result<Box<dyn ReportSource>, SourceError> {
    Ok(match source {
        SnpSource::GuestDevice { path } => Box::new(GuestDeviceSource::open(path)?),
        SnpSource::ConfigfsTsm { path } => Box::new(ConfigfsTsm::open(path)?),
        SnpSource::ProbeGuest { cid, port } => {
            Box::new(ProbeGuestSource::new(*cid, *port, deadline))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::item::Blob;
    use assay_testbed::TsmEntry;

    fn section(source: SnpSource) -> SnpSection {
        SnpSection {
            source,
            host: None,
            certificates: None,
            deadline_ms: 10_000,
        }
    }

    /// Everything that is opened for a report, and nothing else, is what is needed.
    #[test]
    fn a_report_by_the_kernel_s_folder_takes_the_files_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let make = |data: [u8; 64]| (data.to_vec(), Vec::new());
        let _entry = TsmEntry::start(dir.path(), ENTRY, "sev_guest", make).unwrap();
        let source = SnpSource::ConfigfsTsm {
            path: dir.path().into(),
        };
        let snp = Snp::open(&section(source.clone())).unwrap();
        // Only opening reads these.
        for name in ["provider", "privlevel"] {
            std::fs::remove_file(dir.path().join(ENTRY).join(name)).unwrap();
        }
        let given = snp.report(ReportData([5; 64])).unwrap();
        assert_eq!(given.report, Blob(vec![5; 64]));
        // The host gave no certificates.
        assert_eq!(given.certificates, Blob(certificates::empty_table()));
        // What is left there was enough, and all of it is in the folder that is said to be needed.
        let needs = Needs::of(&source);
        let folder = needs.folder.unwrap();
        let mut there: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        assert_eq!(there, ["auxblob", "generation", "inblob", "outblob"]);
        assert_eq!(needs.written, Some(folder.join("inblob")));
    }

    #[test]
    fn what_cannot_be_opened_is_an_error_at_once() {
        let path = "/nowhere/sev-guest".into();
        let error = Snp::open(&section(SnpSource::GuestDevice { path })).unwrap_err();
        assert!(
            error.to_string().starts_with("/nowhere/sev-guest: "),
            "{error}"
        );
        let (cid, port) = (7, 8);
        let guest = SnpSource::ProbeGuest { cid, port };
        // It need not run yet.
        assert!(Snp::open(&section(guest.clone())).is_ok());
        assert!(Needs::of(&guest).vsock);
        let with_host = SnpSection {
            host: Some("/nowhere/sev".into()),
            ..section(guest)
        };
        let error = Snp::open(&with_host).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/sev: "), "{error}");
    }
}
