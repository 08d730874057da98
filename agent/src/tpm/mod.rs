//! The TPM: one thread owns the one connection; everybody else asks it and waits with a deadline.
//!
//! Without a resource manager the agent is the TPM's only client (swtpm serves exactly one), so
//! what an earlier run left in the TPM is flushed at open. All bytes handed out are TPM wire forms
//! (TPM 2.0 part 2), unprefixed by a TPM2B size, as the verifier receives them.

mod blob;
mod device;
mod error;
mod extend;
#[cfg(test)]
mod tests;

pub use error::TpmError;

use assay_protocol::ids::AkName;
use device::Device;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// Registers of the SHA-256 bank that every quote covers (10 = IMA).
pub const QUOTED_PCRS: core::ops::RangeInclusive<u8> = 0..=14;
/// NV index of the RSA-2048 EK certificate (TCG EK Credential Profile 2.5, section 2.2.1.4).
pub const EK_CERTIFICATE_NV_INDEX: u32 = 0x01c0_0002;
/// Creating a primary RSA key takes seconds on real parts.
const OPEN_DEADLINE: Duration = Duration::from_secs(90);
/// Requests waiting for the TPM; more than this are refused as a timeout would be.
const QUEUE_MAX: usize = 128;

/// Where the TPM is and what belongs to it.
#[derive(Debug, Clone)]
pub struct TpmConfig {
    /// `swtpm:host=HOST,port=PORT` or `device:/dev/tpmrm0`.
    pub tcti: String,
    /// NV index of the EK certificate.
    pub ek_nv_index: u32,
    /// File of the attestation key's TPM-encrypted blob.
    pub ak_blob: PathBuf,
    /// Longest wait for one call, queueing included.
    pub deadline: Duration,
}

impl TpmConfig {
    /// The defaults of ARCHITECTURE section 5: RSA-2048 EK, ten seconds a call.
    pub fn new(tcti: impl Into<String>, ak_blob: impl Into<PathBuf>) -> Self {
        Self {
            tcti: tcti.into(),
            ek_nv_index: EK_CERTIFICATE_NV_INDEX,
            ak_blob: ak_blob.into(),
            deadline: Duration::from_secs(10),
        }
    }
}

/// What identifies the TPM and its attestation key; constant while the chip and the blob are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The EK certificate as stored in NV, padding included.
    pub ek_certificate: Vec<u8>,
    /// TPMT_PUBLIC of the EK made from the TCG default template L-1 (RSA-2048).
    pub ek_public: Vec<u8>,
    /// TPMT_PUBLIC of the attestation key.
    pub ak_public: Vec<u8>,
    /// Its name.
    pub ak_name: AkName,
}

/// One TPM2_Quote with the registers it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// TPMS_ATTEST: the signed bytes.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
    /// (index, value) of [`QUOTED_PCRS`], ascending; they hash to the quoted digest.
    pub pcrs: Vec<(u8, [u8; 32])>,
    /// The clock inside the quote.
    pub clock: Clock,
}

/// TPMS_CLOCK_INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Milliseconds the TPM has been powered over its life.
    pub clock_ms: u64,
    /// TPM resets (power cycles) since manufacture.
    pub reset_count: u32,
    /// Restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether `clock_ms` has certainly not been reported before.
    pub safe: bool,
}

/// What became of [`extend_once`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended {
    /// The register held what it had to and is extended now.
    Now,
    /// It had been extended by the same digest before.
    Before,
}

/// Extends register `pcr`, which must hold `before` in the SHA-256 bank, in each bank by its digest: TCG algorithm
/// identifier and value, the SHA-256 bank among them. Needs no key, so that it is quick at boot.
pub fn extend_once(
    tcti: &str,
    pcr: u8,
    (before, digests): (&[u8; 32], &[(u16, Vec<u8>)]),
) -> Result<Extended, TpmError> {
    extend::once(tcti, pcr, (before, digests))
}

type Job = Box<dyn FnOnce(&mut Slot) + Send>;

/// A handle to the TPM thread; clones share the thread, which ends with the last clone.
#[derive(Debug, Clone)]
pub struct Tpm {
    jobs: SyncSender<Job>,
    identity: Identity,
    deadline: Duration,
}

impl Tpm {
    /// Opens the TPM, flushes leftovers, makes the EK, loads (or on first use creates) the AK.
    pub fn open(config: TpmConfig) -> Result<Self, TpmError> {
        let deadline = config.deadline;
        let (jobs, queue) = mpsc::sync_channel(QUEUE_MAX);
        std::thread::Builder::new()
            .name("tpm".into())
            .spawn(move || {
                serve(
                    &queue,
                    Slot {
                        config,
                        device: None,
                    },
                )
            })
            .map_err(|source| TpmError::Thread { source })?;
        let identity = ask(&jobs, "open", OPEN_DEADLINE, |device| {
            Ok(device.identity().clone())
        })?;
        Ok(Self {
            jobs,
            identity,
            deadline,
        })
    }

    /// EK certificate, EK and AK.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// TPM2_ActivateCredential: `credential_blob` is a TPM2B_ID_OBJECT, `encrypted_secret` a
    /// TPM2B_ENCRYPTED_SECRET, both with their size prefix. Returns the credential.
    pub fn activate(
        &self,
        credential_blob: Vec<u8>,
        encrypted_secret: Vec<u8>,
    ) -> Result<Vec<u8>, TpmError> {
        self.ask("activate", move |device| {
            device.activate(&credential_blob, &encrypted_secret)
        })
    }

    /// Quotes [`QUOTED_PCRS`] of the SHA-256 bank with `qualifying` as qualifyingData.
    pub fn quote(&self, qualifying: [u8; 32]) -> Result<Quote, TpmError> {
        self.ask("quote", move |device| device.quote(&qualifying))
    }

    /// Clock and counters, without a signature.
    pub fn clock(&self) -> Result<Clock, TpmError> {
        self.ask("clock", |device| device.clock())
    }

    /// Current values of [`QUOTED_PCRS`], unsigned.
    pub fn pcrs(&self) -> Result<Vec<(u8, [u8; 32])>, TpmError> {
        self.ask("pcrs", |device| device.pcrs())
    }

    fn ask<T: Send + 'static>(
        &self,
        call: &'static str,
        work: impl FnOnce(&mut Device) -> Result<T, TpmError> + Send + 'static,
    ) -> Result<T, TpmError> {
        ask(&self.jobs, call, self.deadline, work)
    }
}

/// The TPM thread's state: the device is opened on demand, and again after it was lost.
struct Slot {
    config: TpmConfig,
    device: Option<Device>,
}

impl Slot {
    fn run<T>(
        &mut self,
        work: impl FnOnce(&mut Device) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let device = match &mut self.device {
            Some(device) => device,
            empty => empty.insert(Device::open(&self.config)?),
        };
        let result = work(device);
        if result.as_ref().is_err_and(TpmError::is_loss) {
            self.device = None;
        }
        result
    }
}

fn serve(queue: &Receiver<Job>, mut slot: Slot) {
    while let Ok(job) = queue.recv() {
        job(&mut slot);
    }
}

/// Sends `work` to the TPM thread and waits. After the deadline the caller goes on; work that has
/// not started by then is dropped, so that a stalled TPM is not met by a burst when it wakes.
fn ask<T: Send + 'static>(
    jobs: &SyncSender<Job>,
    call: &'static str,
    wait: Duration,
    work: impl FnOnce(&mut Device) -> Result<T, TpmError> + Send + 'static,
) -> Result<T, TpmError> {
    let timeout = || TpmError::Timeout { call, wait };
    let expires = Instant::now() + wait;
    let (reply, answer) = mpsc::sync_channel(1);
    let job: Job = Box::new(move |slot| {
        if Instant::now() < expires {
            let _ = reply.send(slot.run(work));
        }
    });
    jobs.try_send(job).map_err(|_| timeout())?;
    match answer.recv_timeout(wait) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(timeout()),
    }
}
