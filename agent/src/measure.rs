//! Measures the configuration into PCR 12, once a boot, and writes the log that says so.
//!
//! The firmware's log ends where the operating system begins; what is measured later has to be written down by whoever
//! measures it. The log that goes with quotes is the firmware's with one more event: EV_IPL in PCR 12, the file's
//! bytes as event data (ARCHITECTURE section 5).

mod log;

use crate::durable;
use crate::node::{StartError, read_config_bytes};
use crate::tpm::{self, Extended, TpmError};
use assay_protocol::config::AgentConfig;
use assay_protocol::limits::EVENT_LOG_BYTES_MAX;
use aws_lc_rs::digest::{self, Algorithm};
use log::Log;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Where Linux shows the firmware's log.
pub const FIRMWARE_LOG: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";
/// The configuration's register.
const PCR: u8 = 12;
/// TCG PC Client Platform Firmware Profile 1.05, table 27.
const EV_IPL: u32 = 0x0000_000d;
/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The log that is to be written is the one that is read.
    #[error("tpm.event_log is the firmware's log, {path}, which nobody can write", path = .0.display())]
    SameFile(PathBuf),
    /// The firmware's log is too long, or not in the crypto-agile format.
    #[error("firmware log: {0}")]
    Log(String),
    /// The configuration cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The TPM refused, or PCR 12 holds something else.
    #[error(transparent)]
    Tpm(#[from] TpmError),
}

impl MeasureError {
    /// Exit code of the process: 2 configuration and logs, 3 TPM, 5 storage.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::File { .. } => 5,
            Self::SameFile(_) | Self::Log(_) => 2,
            Self::Start(error) => error.exit_code(),
            Self::Tpm(_) => 3,
        }
    }

    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            Self::File { .. } => {
                "run it as root, with tpm.event_log in a folder that exists".into()
            }
            Self::SameFile(_) => {
                "set tpm.event_log to a file of its own, as \"/run/assay/event_log\"".into()
            }
            Self::Log(_) => {
                format!("name the firmware's log with --firmware-log, usually {FIRMWARE_LOG}")
            }
            Self::Start(error) => error.hint(),
            Self::Tpm(error) => error.hint().into(),
        }
    }
}

/// Measures the file `config` and writes the log that its `tpm.event_log` names. Doing it again in one boot, with the
/// same file, only writes the log again; with another file it is refused.
pub fn measure(config: &Path, firmware_log: &Path) -> Result<Extended, MeasureError> {
    let bytes = read_config_bytes(config)?;
    let parsed = AgentConfig::parse(&bytes).map_err(|source| StartError::Config {
        path: config.into(),
        source,
    })?;
    let target = &parsed.tpm.event_log;
    if target == firmware_log {
        return Err(MeasureError::SameFile(target.clone()));
    }
    let firmware = read_log(firmware_log)?;
    let log = Log::parse(&firmware)?;
    let (digests, before) = (digests(&log, &bytes)?, log.replay(PCR)?);
    let log = [&firmware[..], &event(&digests, &bytes)].concat();
    if log.len() > EVENT_LOG_BYTES_MAX {
        let actual = log.len();
        let why = format!(
            "expected at most {EVENT_LOG_BYTES_MAX} bytes with the configuration, got {actual}"
        );
        return Err(MeasureError::Log(why));
    }
    // In this order: whoever finds the log finds the register extended.
    let done = tpm::extend_once(&parsed.tpm.tcti, PCR, (&before, &digests))?;
    durable::replace(target, 0o644, &log).map_err(|source| MeasureError::File {
        path: target.clone(),
        source,
    })?;
    Ok(done)
}

fn read_log(path: &Path) -> Result<Vec<u8>, MeasureError> {
    let failed = |source| MeasureError::File {
        path: path.into(),
        source,
    };
    let mut log = Vec::new();
    let most = u64::try_from(EVENT_LOG_BYTES_MAX).unwrap_or(u64::MAX);
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(most.saturating_add(1))
        .read_to_end(&mut log)
        .map_err(failed)?;
    Ok(log)
}

/// The configuration's digest for each bank of the log, in its order: TCG algorithm identifier and value.
fn digests(log: &Log<'_>, config: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, MeasureError> {
    let banks = log.banks.iter();
    banks
        .map(|(bank, _)| {
            let hash = algorithm(*bank).ok_or_else(|| {
                MeasureError::Log(format!("bank {bank:#06x} has no hash known here"))
            })?;
            Ok((*bank, digest::digest(hash, config).as_ref().to_vec()))
        })
        .collect()
}

/// TCG Algorithm Registry, table 3.
fn algorithm(bank: u16) -> Option<&'static Algorithm> {
    match bank {
        0x0004 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        0x000b => Some(&digest::SHA256),
        0x000c => Some(&digest::SHA384),
        0x000d => Some(&digest::SHA512),
        _ => None,
    }
}

/// TCG_PCR_EVENT2 (section 10.2.2).
fn event(digests: &[(u16, Vec<u8>)], data: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut event = Vec::new();
    event.extend(u32::from(PCR).to_le_bytes());
    event.extend(EV_IPL.to_le_bytes());
    event.extend(length(digests.len()));
    for (bank, digest) in digests {
        event.extend(bank.to_le_bytes());
        event.extend(digest);
    }
    event.extend(length(data.len()));
    event.extend(data);
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_testbed::{Banks, MeasuredBoot, Variant};

    fn log(banks: Banks) -> Vec<u8> {
        MeasuredBoot::new(Variant::Good, b"earlier").log(banks)
    }

    #[test]
    fn the_event_has_a_digest_for_each_bank_of_the_log() {
        for (banks, names) in [
            (Banks::Sha256, &[0x000b][..]),
            (Banks::Sha1AndSha256, &[0x0004, 0x000b]),
        ] {
            let digests = digests(&Log::parse(&log(banks)).unwrap(), b"text").unwrap();
            assert_eq!(
                digests.iter().map(|(bank, _)| *bank).collect::<Vec<_>>(),
                names
            );
            let sha256 = assay_protocol::hash::sha256(&[b"text"]);
            assert_eq!(digests.last().unwrap().1, sha256);
        }
    }

    #[test]
    fn it_is_written_as_the_testbed_writes_its_own() {
        for banks in [Banks::Sha256, Banks::Sha1AndSha256] {
            let log = log(banks);
            let digests = digests(&Log::parse(&log).unwrap(), b"earlier").unwrap();
            assert!(log.ends_with(&event(&digests, b"earlier")));
        }
    }

    #[test]
    fn a_bank_without_a_hash_is_named() {
        let mut bytes = log(Banks::Sha256);
        // The one algorithm of the header.
        bytes[60] = 0x12;
        let said = digests(&Log::parse(&bytes).unwrap(), b"x")
            .unwrap_err()
            .to_string();
        assert_eq!(said, "firmware log: bank 0x0012 has no hash known here");
    }
}
