//! What an agent says of SEV-SNP: a report for each batch of challenges, and the chips of this host.

use super::probe_guest::ProbeGuestSource;
use super::report::{Patient, ReportSource, SourceError};
use super::{certificates, chips};
use super::{configfs_tsm::ConfigfsTsm, guest_device::GuestDeviceSource};
use assay_protocol::config::{SnpSection, SnpSource};
use assay_protocol::evidence::SnpEvidence;
use assay_protocol::ids::{ChipId, ReportData};
use std::time::Duration;

/// Everything the `[snp]` section names, open.
#[derive(Debug)]
pub struct Snp {
    reports: Patient,
    chip_ids: Option<Vec<ChipId>>,
    /// For reports that come without certificates.
    table: Vec<u8>,
}

impl Snp {
    /// Opens devices and entries, and reads chip ids and certificates, once: all that needs root.
    pub fn open(section: &SnpSection) -> Result<Self, SourceError> {
        let deadline = Duration::from_millis(section.deadline_ms);
        let table = match &section.certificates {
            Some(files) => certificates::table(files)?,
            None => certificates::empty_table(),
        };
        let chip_ids = section.host.as_deref().map(chips::read).transpose()?;
        let source = source(&section.source, deadline)?;
        let reports = Patient::start(source, deadline).map_err(SourceError::Thread)?;
        Ok(Self {
            reports,
            chip_ids,
            table,
        })
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

fn source(source: &SnpSource, deadline: Duration) -> Result<Box<dyn ReportSource>, SourceError> {
    Ok(match source {
        SnpSource::GuestDevice { path } => Box::new(GuestDeviceSource::open(path)?),
        SnpSource::ConfigfsTsm { path } => Box::new(ConfigfsTsm::open(path)?),
        SnpSource::ProbeGuest { cid, port } => {
            Box::new(ProbeGuestSource::new(*cid, *port, deadline))
        }
    })
}
