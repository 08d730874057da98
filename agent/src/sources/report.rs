//! Who gives SEV-SNP reports: one small trait, and the patience the agent has with it.

use super::probe_guest::GuestError;
use assay_devices::DeviceError;
use assay_protocol::evidence::SnpEvidence;
use assay_protocol::ids::ReportData;
use assay_protocol::limits::{SNP_CERTIFICATES_BYTES_MAX, SNP_REPORT_BYTES_MAX};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// The privilege level reports are asked for: the guest's most privileged one.
pub const VMPL: u32 = 0;

/// Attempts at one report, in the first half of the time there is: evidence without one costs the tier of an epoch.
const ATTEMPTS_MAX: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file, folder or device cannot be used.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A device's request failed.
    #[error("{path}: {source}", path = path.display())]
    Device {
        /// The device.
        path: PathBuf,
        /// Its reason.
        source: DeviceError,
    },
    /// A file says something else than it should.
    #[error("{path}: expected {expected}, got {actual}", path = path.display())]
    Unexpected {
        /// Which.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// Somebody else wrote to the kernel's entry each time.
    #[error("{path}: others wrote to it in each of {attempts} attempts", path = path.display())]
    Conflict {
        /// The entry.
        path: PathBuf,
        /// Attempts made.
        attempts: u32,
    },
    /// The probe guest cannot be reached, or speaks otherwise.
    #[error("probe guest at vsock {cid}:{port}: {why}")]
    ProbeGuest {
        /// Its context id.
        cid: u32,
        /// Its port.
        port: u32,
        /// What happened.
        why: GuestError,
    },
    /// A report or table that no evidence can carry.
    #[error("{what}: expected {min} to {max} bytes, got {actual}")]
    Size {
        /// Which of them.
        what: &'static str,
        /// Least.
        min: usize,
        /// Most.
        max: usize,
        /// What came.
        actual: usize,
    },
    /// There is no thread for the source.
    #[error("no thread for SEV-SNP reports: {0}")]
    Thread(std::io::Error),
    /// No report in time.
    #[error("no report within {0:?}")]
    Late(Duration),
    /// The source still works at an earlier report.
    #[error("an earlier report is still being made")]
    Busy,
}

/// Gives reports as bytes. What they mean is the verifier's to find out, so that a report of a version that is not known
/// yet passes.
pub trait ReportSource: Debug + Send {
    /// A report that carries `report_data`, for [`VMPL`], and the certificate table that came with it; an empty one
    /// when none came.
    fn report(&mut self, report_data: &ReportData) -> Result<SnpEvidence, SourceError>;
}

type Answer = Result<SnpEvidence, SourceError>;

/// A source in a thread of its own: a driver may hold its caller for a minute, and evidence must not wait for it.
#[derive(Debug)]
pub struct Patient {
    requests: SyncSender<(ReportData, SyncSender<Answer>)>,
    /// From a request on until the source is through with it, whether or not anybody still waits.
    busy: Arc<AtomicBool>,
    deadline: Duration,
}

impl Patient {
    /// Starts the thread.
    pub fn start(source: Box<dyn ReportSource>, deadline: Duration) -> std::io::Result<Self> {
        let (requests, queue) = sync_channel(1);
        let busy = Arc::new(AtomicBool::new(false));
        let working = Arc::clone(&busy);
        std::thread::Builder::new()
            .name("snp".into())
            .spawn(move || serve(source, &queue, &working, deadline))?;
        Ok(Self {
            requests,
            busy,
            deadline,
        })
    }

    /// A report of bounded size, within the deadline.
    pub fn report(&self, report_data: ReportData) -> Answer {
        let (reply, answer) = sync_channel(1);
        // What nobody waits for any more is not queued: it would be a request to the firmware for nothing.
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(SourceError::Busy);
        }
        self.requests
            .try_send((report_data, reply))
            .map_err(|_| SourceError::Busy)?;
        let answer = answer.recv_timeout(self.deadline);
        answer.map_err(|_| SourceError::Late(self.deadline))?
    }

    /// Longest wait.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }
}

fn serve(
    mut source: Box<dyn ReportSource>,
    queue: &Receiver<(ReportData, SyncSender<Answer>)>,
    busy: &AtomicBool,
    deadline: Duration,
) {
    while let Ok((report_data, reply)) = queue.recv() {
        let answer = repeated(deadline / 2, || source.report(&report_data)).and_then(bounded);
        // Before the answer: whoever has it may ask again at once.
        busy.store(false, Ordering::Release);
        let _ = reply.send(answer);
    }
}

/// A guest may just start again, a hypervisor be busy. Begins no attempt after `within`, so that whoever waits learns why
/// there is nothing.
fn repeated(within: Duration, mut attempt: impl FnMut() -> Answer) -> Answer {
    let begun = Instant::now();
    let mut answer = attempt();
    for _ in 1..ATTEMPTS_MAX {
        if answer.is_ok() || begun.elapsed() >= within {
            break;
        }
        std::thread::sleep(PAUSE);
        answer = attempt();
    }
    answer
}

fn bounded(snp: SnpEvidence) -> Answer {
    size(
        "SEV-SNP report",
        1,
        SNP_REPORT_BYTES_MAX,
        snp.report.0.len(),
    )?;
    let table = snp.certificates.0.len();
    size("certificate table", 0, SNP_CERTIFICATES_BYTES_MAX, table)?;
    Ok(snp)
}

fn size(what: &'static str, min: usize, max: usize, actual: usize) -> Result<(), SourceError> {
    match (min..=max).contains(&actual) {
        true => Ok(()),
        false => Err(SourceError::Size {
            what,
            min,
            max,
            actual,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::item::Blob;

    const DATA: ReportData = ReportData([1; 64]);
    /// Long enough for any scheduler; never waited for.
    const LONG: Duration = Duration::from_secs(60);

    /// Makes a report of this many bytes when it is told to.
    #[derive(Debug)]
    struct Scripted {
        sizes: Receiver<(usize, usize)>,
    }

    impl ReportSource for Scripted {
        fn report(&mut self, report_data: &ReportData) -> Answer {
            let (report, table) = self.sizes.recv().unwrap();
            Ok(SnpEvidence {
                report: Blob(vec![report_data.0[0]; report]),
                certificates: Blob(vec![0; table]),
            })
        }
    }

    fn patient(deadline: Duration) -> (Patient, SyncSender<(usize, usize)>) {
        let (sender, sizes) = sync_channel(9);
        let source = Box::new(Scripted { sizes });
        let patient = Patient::start(source, deadline).unwrap();
        (patient, sender)
    }

    /// As soon as it is through with earlier requests.
    fn asked(patient: &Patient) -> Answer {
        loop {
            match patient.report(DATA) {
                Err(SourceError::Busy) => std::thread::yield_now(),
                other => return other,
            }
        }
    }

    #[test]
    fn a_report_passes_untouched_up_to_its_bounds() {
        let (patient, sizes) = patient(LONG);
        for given in [(1, 0), (SNP_REPORT_BYTES_MAX, SNP_CERTIFICATES_BYTES_MAX)] {
            sizes.send(given).unwrap();
            let snp = patient.report(DATA).unwrap();
            assert_eq!(snp.report.0, vec![1; given.0]);
            assert_eq!(snp.certificates.0.len(), given.1);
        }
        for (given, what) in [
            ((0, 0), "SEV-SNP report: expected 1 to 4096 bytes, got 0"),
            (
                (4_097, 0),
                "SEV-SNP report: expected 1 to 4096 bytes, got 4097",
            ),
            (
                (1, 32_769),
                "certificate table: expected 0 to 32768 bytes, got 32769",
            ),
        ] {
            sizes.send(given).unwrap();
            assert_eq!(patient.report(DATA).unwrap_err().to_string(), what);
        }
    }

    #[test]
    fn a_source_that_fails_is_asked_again_but_not_for_ever() {
        let attempts = |within: Duration, succeeds_at: u32| {
            let mut made = 0;
            let answer = repeated(within, || {
                made += 1;
                match made == succeeds_at {
                    true => Ok(SnpEvidence {
                        report: Blob(vec![1]),
                        certificates: Blob(vec![]),
                    }),
                    false => Err(SourceError::Busy),
                }
            });
            (made, answer.is_ok())
        };
        let expected = [(1, true), (2, true), (3, true), (3, false)];
        assert_eq!([1, 2, 3, 9].map(|at| attempts(LONG, at)), expected);
        assert_eq!(attempts(Duration::ZERO, 2), (1, false));
    }

    #[test]
    fn a_source_that_hangs_is_given_up_and_not_asked_again_meanwhile() {
        let (patient, sizes) = patient(Duration::from_millis(1));
        assert!(matches!(patient.report(DATA), Err(SourceError::Late(_))));
        // It hangs in the first request still.
        assert!(matches!(patient.report(DATA), Err(SourceError::Busy)));
        // The late answer is nobody's; the next request gets its own.
        sizes.send((5, 0)).unwrap();
        sizes.send((6, 0)).unwrap();
        let patient = Patient {
            deadline: LONG,
            ..patient
        };
        assert_eq!(asked(&patient).unwrap().report.0.len(), 6);
    }
}
