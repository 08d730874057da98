//! What can go wrong with the TPM, whose fault it is, and what to do.

use std::path::PathBuf;
use std::time::Duration;

/// A TPM operation failed.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// `tcti` in the configuration is neither `swtpm:` nor `device:`.
    #[error("tpm.tcti is {actual:?}, expected \"swtpm:host=HOST,port=PORT\" or \"device:PATH\"")]
    Tcti {
        /// What was configured.
        actual: String,
    },
    /// Nothing answers where the TPM should be.
    #[error("no TPM at {tcti}: {source}")]
    Missing {
        /// The configured TCTI.
        tcti: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The TPM did not answer in time.
    #[error("the TPM did not answer {call} within {wait:?}")]
    Timeout {
        /// The operation.
        call: &'static str,
        /// The deadline.
        wait: Duration,
    },
    /// The TPM, or the library that talks to it, failed.
    #[error("TPM {call} failed: {source}")]
    Command {
        /// The operation.
        call: &'static str,
        /// The response code.
        source: tss_esapi::Error,
    },
    /// No EK certificate is stored in the TPM.
    #[error("no EK certificate at NV index {index:#010x}: {source}")]
    EkCertificate {
        /// The NV index asked for.
        index: u32,
        /// The response code.
        source: tss_esapi::Error,
    },
    /// The TPM refused the credential: it was made for another EK or another AK, or is damaged.
    #[error("the TPM refused the credential: {source}")]
    CredentialRefused {
        /// The response code.
        source: tss_esapi::Error,
    },
    /// A received structure is not one TPM2B of an allowed size.
    #[error("{what}: expected a TPM2B of at most {max} bytes, got {actual} bytes")]
    Malformed {
        /// Its TPM type.
        what: &'static str,
        /// Largest content, bytes.
        max: usize,
        /// Bytes received.
        actual: usize,
    },
    /// The registers changed under every one of the attempts.
    #[error("PCRs changed during each of {attempts} attempts to read and quote them")]
    PcrRace {
        /// Attempts made.
        attempts: usize,
    },
    /// The SHA-256 bank is not active.
    #[error("the TPM returned {actual} SHA-256 registers, expected {expected}")]
    PcrBank {
        /// Registers returned.
        actual: usize,
        /// Registers asked for.
        expected: usize,
    },
    /// A register that is extended once a boot holds something else.
    #[error(
        "PCR {pcr} holds {actual}, expected {before} as the log has it, or {after} if this was measured before"
    )]
    PcrTaken {
        /// Its index.
        pcr: u8,
        /// Its value in the SHA-256 bank, hexadecimal.
        actual: String,
        /// The value that the log replays to.
        before: String,
        /// The value after the extension.
        after: String,
    },
    /// The attestation key's blob cannot be read or written.
    #[error("attestation key blob {path}: {source}", path = path.display())]
    BlobIo {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The attestation key's blob is not what this program wrote.
    #[error("attestation key blob {path} is damaged: {reason}", path = path.display())]
    BlobDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The TPM does not accept the blob: it belongs to another TPM, or the TPM was cleared.
    #[error("this TPM refuses attestation key blob {path}: {source}", path = path.display())]
    BlobRefused {
        /// The file.
        path: PathBuf,
        /// The response code.
        source: tss_esapi::Error,
    },
    /// No thread for the TPM.
    #[error("cannot start the TPM thread: {source}")]
    Thread {
        /// The system's reason.
        source: std::io::Error,
    },
}

impl TpmError {
    /// Wraps a response code of `call`.
    pub(super) fn command(call: &'static str) -> impl Fn(tss_esapi::Error) -> Self {
        move |source| Self::Command { call, source }
    }

    /// Whether the connection must be made anew: the TPM was reset, restarted or is gone.
    /// A refusal of what a peer sent is not a loss, so that no peer can force a reopening.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Command { .. } | Self::Missing { .. })
    }

    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Tcti { .. } => "set tpm.tcti, for example \"device:/dev/tpmrm0\"",
            Self::Missing { .. } => {
                "enable the TPM in the firmware setup; check that the device exists and that this \
                 user may open it (group tss); with swtpm, that it runs on that port"
            }
            Self::Timeout { .. } => {
                "another client may hold the TPM (swtpm serves one at a time; use /dev/tpmrm0, not \
                 /dev/tpm0); if not, the TPM hangs: power-cycle the machine"
            }
            Self::Command { .. } => "see the response code; tpm2_rc_decode explains it",
            Self::EkCertificate { .. } => {
                "the TPM needs its vendor's EK certificate; check `tpm2_getekcertificate`"
            }
            Self::CredentialRefused { .. } | Self::Malformed { .. } => {
                "the HyperNode made the credential for another key: enrol again"
            }
            Self::PcrTaken { .. } => {
                "a configuration is measured once a boot, and something is measured that the log does not have: boot the machine \
                 again"
            }
            Self::PcrRace { .. } => "something extends PCRs in a loop; check IMA's policy",
            Self::PcrBank { .. } => "activate the SHA-256 PCR bank in the firmware setup",
            Self::BlobIo { .. } => "check tpm.ak_blob, its directory's permissions and free space",
            Self::BlobDamaged { .. } | Self::BlobRefused { .. } => {
                "if this is the right machine, move the file away: a new key is made and every \
                 HyperNode enrols it anew"
            }
            Self::Thread { .. } => "raise the limit of processes for this user",
        }
    }
}
