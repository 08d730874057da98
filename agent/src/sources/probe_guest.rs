//! Reports from a probe guest on this host: its side is [`crate::probe_guest`].

use super::report::{ReportSource, SourceError};
use assay_protocol::evidence::SnpEvidence;
use assay_protocol::ids::ReportData;
use assay_protocol::item::Blob;
use assay_protocol::limits::{PROBE_GUEST_REPLY_BYTES_MAX, PROBE_GUEST_REQUEST_BYTES_MAX};
use assay_protocol::wire::{ProbeGuestReply, ProbeGuestRequest, Refusal};
use assay_transport::frames::{self, TransportError};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{Read, Write};
use std::time::Duration;

/// What is between the agent and a report.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// There is no guest with this context id, it does not listen, or this kernel has no vsock.
    #[error("no answer: {0}")]
    Unreachable(std::io::Error),
    /// It broke off, or spoke otherwise.
    #[error(transparent)]
    Spoken(#[from] TransportError),
    /// It runs and has none to give.
    #[error("it runs and has no report: {text}", text = .0.text)]
    Refused(Refusal),
}

/// Where a probe guest listens. A connection is made for each report, so that the guest may be started again.
#[derive(Debug)]
pub struct ProbeGuestSource {
    cid: u32,
    port: u32,
    deadline: Duration,
}

impl ProbeGuestSource {
    /// Nothing is opened here: the guest need not run yet. Reading and writing wait for at most `deadline` each time.
    pub fn new(cid: u32, port: u32, deadline: Duration) -> Self {
        Self {
            cid,
            port,
            deadline,
        }
    }

    fn connect(&self) -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::VSOCK, Type::STREAM, None)?;
        socket.set_read_timeout(Some(self.deadline))?;
        socket.set_write_timeout(Some(self.deadline))?;
        // The kernel gives a vsock connection two seconds.
        socket.connect(&SockAddr::vsock(self.cid, self.port))?;
        Ok(socket)
    }
}

impl ReportSource for ProbeGuestSource {
    fn report(&mut self, report_data: &ReportData) -> Result<SnpEvidence, SourceError> {
        let asked = self
            .connect()
            .map_err(GuestError::Unreachable)
            .and_then(|mut socket| ask(&mut socket, *report_data));
        asked.map_err(|why| SourceError::ProbeGuest {
            cid: self.cid,
            port: self.port,
            why,
        })
    }
}

/// One question and its answer.
pub fn ask(
    stream: &mut (impl Read + Write),
    report_data: ReportData,
) -> Result<SnpEvidence, GuestError> {
    let request = ProbeGuestRequest::Report { report_data };
    frames::write(stream, &request, PROBE_GUEST_REQUEST_BYTES_MAX)?;
    match frames::read(stream, PROBE_GUEST_REPLY_BYTES_MAX)? {
        ProbeGuestReply::Report {
            report,
            certificates,
        } => Ok(SnpEvidence {
            report: Blob(report),
            certificates: Blob(certificates),
        }),
        ProbeGuestReply::Refused(refusal) => Err(GuestError::Refused(refusal)),
    }
}
