//! Reports from a probe guest on this host: its side is [`crate::probe_guest`].

use super::report::{ReportSource, SourceError};
use assay_protocol::evidence::SnpEvidence;
use assay_protocol::ids::ReportData;
use assay_protocol::item::Blob;
use assay_protocol::limits::{PROBE_GUEST_REPLY_BYTES_MAX, PROBE_GUEST_REQUEST_BYTES_MAX};
use assay_protocol::wire::{ProbeGuestReply, ProbeGuestRequest};
use assay_transport::frames;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{Read, Write};
use std::time::Duration;

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
            .map_err(|error| error.to_string())
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
) -> Result<SnpEvidence, String> {
    let request = ProbeGuestRequest::Report { report_data };
    frames::write(stream, &request, PROBE_GUEST_REQUEST_BYTES_MAX)
        .map_err(|error| error.to_string())?;
    let reply = frames::read(stream, PROBE_GUEST_REPLY_BYTES_MAX);
    match reply.map_err(|error| error.to_string())? {
        ProbeGuestReply::Report {
            report,
            certificates,
        } => Ok(SnpEvidence {
            report: Blob(report),
            certificates: Blob(certificates),
        }),
        ProbeGuestReply::Refused(refusal) => Err(refusal.to_string()),
    }
}
