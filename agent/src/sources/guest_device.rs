//! Reports from the guest driver of the confidential machine this runs in.

use super::report::{ReportSource, SourceError, VMPL};
use assay_devices::GuestDevice;
use assay_protocol::evidence::SnpEvidence;
use assay_protocol::ids::ReportData;
use assay_protocol::item::Blob;
use std::path::{Path, PathBuf};

/// The device, open: a report needs `ioctl` and no file.
#[derive(Debug)]
pub struct GuestDeviceSource {
    path: PathBuf,
    device: GuestDevice,
}

impl GuestDeviceSource {
    /// Opens the device.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let path = path.to_owned();
        match GuestDevice::open(&path) {
            Ok(device) => Ok(Self { path, device }),
            Err(source) => Err(SourceError::File { path, source }),
        }
    }
}

impl ReportSource for GuestDeviceSource {
    fn report(&mut self, report_data: &ReportData) -> Result<SnpEvidence, SourceError> {
        let given = self.device.report(&report_data.0, VMPL);
        let given = given.map_err(|source| SourceError::Device {
            path: self.path.clone(),
            source,
        })?;
        Ok(SnpEvidence {
            report: Blob(given.report),
            certificates: Blob(given.certificates),
        })
    }
}
