//! The inside of a probe guest: a tiny confidential machine whose only program this is. The host cannot get a signed
//! report, and so it asks a guest (ARCHITECTURE section 6).
//!
//! It has no configuration and no secret, keeps nothing, and answers one kind of question, one at a time. What it is
//! follows from its launch measurement, which is in each report; what it is asked, from the report data.

use crate::node::StartError;
use crate::sources::guest_device::GuestDeviceSource;
use crate::sources::report::{ReportSource, SourceError};
use assay_protocol::config::{GUEST_DEVICE, PROBE_GUEST_PORT};
use assay_protocol::evidence::SnpEvidence;
use assay_protocol::ids::ReportData;
use assay_protocol::limits::{PROBE_GUEST_REPLY_BYTES_MAX, PROBE_GUEST_REQUEST_BYTES_MAX};
use assay_protocol::wire::{ProbeGuestReply, ProbeGuestRequest, Refusal, RefusalCode};
use assay_transport::frames::{self, TransportError};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

/// VMADDR_CID_ANY: whatever context id the host gave this guest.
const CID_ANY: u32 = u32::MAX;
/// Connections that wait for the one that is served.
const BACKLOG: i32 = 4;
/// A host that says nothing for so long is left.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// Pause after a failed accept, so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the host until the guest ends.
pub fn run() -> Result<std::convert::Infallible, StartError> {
    let mut source = Device::of(Path::new(GUEST_DEVICE));
    let listener = listen().map_err(|source| StartError::Listen {
        listen: format!("vsock port {PROBE_GUEST_PORT}"),
        source,
    })?;
    eprintln!("probe guest: listening on vsock port {PROBE_GUEST_PORT}");
    loop {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        let timed = stream
            .set_read_timeout(Some(IDLE_MAX))
            .and_then(|()| stream.set_write_timeout(Some(IDLE_MAX)));
        if timed.is_ok() {
            // A host that breaks off asks again.
            let _ = answer(&mut stream, &mut source);
        }
    }
}

/// The guest's device. A guest without SEV-SNP has none: it says so on its console, and to each question.
#[derive(Debug)]
struct Device<'a> {
    path: &'a Path,
    open: Option<GuestDeviceSource>,
}

impl<'a> Device<'a> {
    fn of(path: &'a Path) -> Self {
        let mut device = Self { path, open: None };
        if let Err(error) = device.opened() {
            eprintln!("probe guest: no reports: {error}");
        }
        device
    }

    fn opened(&mut self) -> Result<&mut GuestDeviceSource, SourceError> {
        match &mut self.open {
            Some(source) => Ok(source),
            none => Ok(none.insert(GuestDeviceSource::open(self.path)?)),
        }
    }
}

impl ReportSource for Device<'_> {
    fn report(&mut self, report_data: &ReportData) -> Result<SnpEvidence, SourceError> {
        self.opened()?.report(report_data)
    }
}

fn listen() -> io::Result<Socket> {
    let socket = Socket::new(Domain::VSOCK, Type::STREAM, None)?;
    socket.bind(&SockAddr::vsock(CID_ANY, PROBE_GUEST_PORT))?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// One question and its answer.
pub fn answer(
    stream: &mut (impl Read + Write),
    source: &mut dyn ReportSource,
) -> Result<(), TransportError> {
    let ProbeGuestRequest::Report { report_data } =
        frames::read(stream, PROBE_GUEST_REQUEST_BYTES_MAX)?;
    let reply = match source.report(&report_data) {
        Ok(snp) => ProbeGuestReply::Report {
            report: snp.report.0,
            certificates: snp.certificates.0,
        },
        Err(error) => {
            ProbeGuestReply::Refused(Refusal::new(RefusalCode::Storage, error.to_string()))
        }
    };
    frames::write(stream, &reply, PROBE_GUEST_REPLY_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::probe_guest::{GuestError, ProbeGuestSource, ask};
    use assay_protocol::item::Blob;
    use assay_protocol::limits::{SNP_CERTIFICATES_BYTES_MAX, SNP_REPORT_BYTES_MAX};
    use assay_protocol::wire;
    use std::os::unix::net::UnixStream;

    const DATA: ReportData = ReportData([7; 64]);

    /// A report as long as allowed, which repeats the data; or an error.
    #[derive(Debug)]
    struct Scripted {
        fails: bool,
    }

    impl ReportSource for Scripted {
        fn report(&mut self, data: &ReportData) -> Result<SnpEvidence, SourceError> {
            match self.fails {
                true => Err(SourceError::Busy),
                false => Ok(SnpEvidence {
                    report: Blob(data.0.repeat(SNP_REPORT_BYTES_MAX / 64)),
                    certificates: Blob(vec![1; SNP_CERTIFICATES_BYTES_MAX]),
                }),
            }
        }
    }

    /// What the guest does with these bytes, and what it says.
    fn told(bytes: &[u8]) -> (Result<(), TransportError>, Vec<u8>) {
        let (mut host, mut guest) = UnixStream::pair().unwrap();
        host.write_all(bytes).unwrap();
        host.shutdown(std::net::Shutdown::Write).unwrap();
        let outcome = answer(&mut guest, &mut Scripted { fails: false });
        drop(guest);
        let mut said = Vec::new();
        // What the guest left unread resets the connection, after what it said.
        let _ = host.read_to_end(&mut said);
        (outcome, said)
    }

    fn asked(mut source: impl ReportSource + 'static) -> Result<SnpEvidence, GuestError> {
        let (mut host, mut guest) = UnixStream::pair().unwrap();
        let serving = std::thread::spawn(move || answer(&mut guest, &mut source));
        let asked = ask(&mut host, DATA);
        serving.join().unwrap().unwrap();
        asked
    }

    #[test]
    fn the_host_gets_the_report_over_its_data_as_the_device_gave_it() {
        let snp = asked(Scripted { fails: false }).unwrap();
        assert_eq!(snp.report.0, DATA.0.repeat(64));
        assert_eq!(snp.certificates.0.len(), SNP_CERTIFICATES_BYTES_MAX);
        let error = asked(Scripted { fails: true }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it runs and has no report: an earlier report is still being made"
        );
    }

    #[test]
    fn a_guest_without_the_device_answers_and_names_it() {
        let error = asked(Device::of(Path::new("/nowhere/sev-guest"))).unwrap_err();
        assert!(matches!(error, GuestError::Refused(_)), "{error:?}");
        let expected = "it runs and has no report: /nowhere/sev-guest: No such file";
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    /// It may be there later than the first question.
    #[test]
    fn a_device_is_opened_when_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sev-guest");
        let mut device = Device::of(&path);
        assert!(device.opened().is_err());
        std::fs::write(&path, b"").unwrap();
        // It is no device.
        let error = device.report(&DATA).unwrap_err().to_string();
        assert!(error.contains("SNP_GET_EXT_REPORT"), "{error}");
        assert!(device.open.is_some());
    }

    #[test]
    fn anything_but_one_bounded_question_is_left_without_an_answer() {
        let question = ProbeGuestRequest::Report { report_data: DATA };
        let good = wire::frame(&question, PROBE_GUEST_REQUEST_BYTES_MAX).unwrap();
        assert!(good.len() < PROBE_GUEST_REQUEST_BYTES_MAX);
        assert!(told(&good).0.is_ok());
        for cut in 0..good.len() {
            let (outcome, said) = told(&good[..cut]);
            assert!(outcome.is_err() && said.is_empty(), "cut at {cut}");
        }
        let mut long = good.clone();
        // The announced length, which is not read.
        long[5..9].copy_from_slice(&(PROBE_GUEST_REQUEST_BYTES_MAX as u32 + 1).to_be_bytes());
        let mut other = good.clone();
        other[9] = 1;
        for bytes in [long, other, b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
            let (outcome, said) = told(&bytes);
            assert!(outcome.is_err() && said.is_empty(), "{bytes:?}");
        }
    }

    #[test]
    fn a_guest_that_says_too_much_or_nothing_is_an_error() {
        for reply in [
            vec![],
            wire::frame(&vec![0u8; PROBE_GUEST_REPLY_BYTES_MAX], 1 << 20).unwrap(),
        ] {
            let (mut host, mut guest) = UnixStream::pair().unwrap();
            let saying = std::thread::spawn(move || {
                let _: Result<ProbeGuestRequest, _> =
                    frames::read(&mut guest, PROBE_GUEST_REQUEST_BYTES_MAX);
                let _ = guest.write_all(&reply);
            });
            assert!(ask(&mut host, DATA).is_err());
            drop(host);
            saying.join().unwrap();
        }
    }

    /// Without a guest of this id, or without vsock at all.
    #[test]
    fn a_guest_that_is_not_there_is_named() {
        let mut source = ProbeGuestSource::new(77, 9, Duration::from_secs(5));
        let error = source.report(&DATA).unwrap_err().to_string();
        assert!(error.starts_with("probe guest at vsock 77:9: "), "{error}");
    }
}
