//! The character devices on a kernel that has CUSE, so that every ioctl takes the way through the kernel: messages of
//! `/dev/cuse` (Linux `include/uapi/linux/fuse.h`, protocol 7.31; `fs/fuse/cuse.c`), answered one by one.
//!
//! A request has addresses in it. The kernel copies nothing that it was not asked for: each answer but the last says
//! which pieces of the caller's memory are wanted next ("unrestricted ioctl").

use super::{Firmware, REQUEST_BYTES, RESPONSE_BYTES};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::File;
use std::io::{Read as _, Write as _};

/// Longest message: FUSE's header, an ioctl's, and the pages a connection may carry.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
const HEADER_BYTES: usize = 40;

/// Opcodes.
const CUSE_INIT: u32 = 4_096;
const FUSE_FORGET: u32 = 2;
const FUSE_OPEN: u32 = 14;
const FUSE_RELEASE: u32 = 18;
const FUSE_FLUSH: u32 = 25;
const FUSE_INTERRUPT: u32 = 36;
const FUSE_IOCTL: u32 = 39;

const UNRESTRICTED_IOCTL: u32 = 1;
const IOCTL_RETRY: u32 = 1 << 2;
const PROTOCOL: (u32, u32) = (7, 31);
const TRANSFER_BYTES_MAX: u32 = 128 * 1024;

const EIO: i32 = 5;
const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;
const ENOSYS: i32 = 38;

/// `SNP_GET_REPORT`, `SNP_GET_EXT_REPORT` and `SEV_ISSUE_CMD`.
const SNP_GET_REPORT: u32 = 0xc020_5300;
const SNP_GET_EXT_REPORT: u32 = 0xc020_5302;
const SEV_ISSUE_CMD: u32 = 0xc010_5300;

const GUEST_CALL_BYTES: usize = 32;
const EXTENDED_BYTES: usize = 112;
const PAGE_BYTES: u32 = 4_096;
const TABLE_BYTES_MAX: u32 = 0x4000;
const HOST_CALL_BYTES: usize = 16;
const GET_ID2_BYTES: usize = 12;
const SEV_GET_ID2: u32 = 8;
const SEV_RET_INVALID_LEN: u32 = 4;
const INVALID_LEN: u32 = 1;

/// Which device is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/dev/sev-guest`.
    Guest,
    /// `/dev/sev`.
    Host,
}

impl Kind {
    /// Its name below `/dev`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest => "sev-guest",
            Self::Host => "sev",
        }
    }
}

/// Serves the device until the kernel ends the connection.
pub fn serve(kind: Kind, firmware: &Firmware) -> Result<()> {
    let mut kernel = File::options()
        .read(true)
        .write(true)
        .open("/dev/cuse")
        .context("/dev/cuse (kernel module cuse, root)")?;
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let length = kernel.read(&mut message)?;
        if let Some(answer) = answer(kind, firmware, &message[..length])? {
            kernel.write_all(&answer)?;
        }
    }
}

/// What the kernel is told about one message; nothing where it expects no word.
pub fn answer(kind: Kind, firmware: &Firmware, message: &[u8]) -> Result<Option<Vec<u8>>> {
    ensure!(
        message.len() >= HEADER_BYTES,
        "a message of {} bytes",
        message.len()
    );
    let (header, body) = message.split_at(HEADER_BYTES);
    let (opcode, unique) = (u32_at(header, 4)?, u64_at(header, 8)?);
    let answer = match opcode {
        CUSE_INIT => Ok(init(kind)),
        FUSE_OPEN => Ok(vec![0; 16]),
        FUSE_RELEASE | FUSE_FLUSH => Ok(Vec::new()),
        FUSE_IOCTL => Ioctl::read(body)?.answer(kind, firmware)?,
        FUSE_FORGET | FUSE_INTERRUPT => return Ok(None),
        _ => Err(ENOSYS),
    };
    let (error, body) = match answer {
        Ok(body) => (0, body),
        Err(errno) => (-errno, Vec::new()),
    };
    let length = 16 + u32::try_from(body.len())?;
    Ok(Some(
        [
            &length.to_le_bytes()[..],
            &error.to_le_bytes(),
            &unique.to_le_bytes(),
            &body,
        ]
        .concat(),
    ))
}

/// `struct cuse_init_out` and the device's name.
fn init(kind: Kind) -> Vec<u8> {
    let numbers = [
        PROTOCOL.0,
        PROTOCOL.1,
        0,
        UNRESTRICTED_IOCTL,
        TRANSFER_BYTES_MAX,
        TRANSFER_BYTES_MAX,
    ];
    let mut out: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    // Major and minor number as the kernel likes, and what is spare.
    out.extend([0; 48]);
    out.extend(format!("DEVNAME={}\0", kind.name()).bytes());
    out
}

/// Pieces of the caller's memory: address and length.
type Pieces = Vec<(u64, usize)>;

/// What an ioctl comes to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// These pieces are wanted, and those will be written.
    Wants(Pieces, Pieces),
    /// Over: 0 or an error, and what is written to the pieces in their order.
    Done(i32, Vec<u8>),
}

/// `struct fuse_ioctl_in` and what the kernel copied.
struct Ioctl<'a> {
    command: u32,
    argument: u64,
    room: usize,
    copied: &'a [u8],
}

impl<'a> Ioctl<'a> {
    fn read(body: &'a [u8]) -> Result<Self> {
        let (length, room) = (u32_at(body, 24)?, u32_at(body, 28)?);
        let copied = body.get(32..).unwrap_or_default();
        ensure!(
            copied.len() == length as usize,
            "an ioctl of {} bytes",
            copied.len()
        );
        Ok(Self {
            command: u32_at(body, 12)?,
            argument: u64_at(body, 16)?,
            room: room as usize,
            copied,
        })
    }

    fn answer(&self, kind: Kind, firmware: &Firmware) -> Result<Result<Vec<u8>, i32>> {
        let step = match (kind, self.command) {
            (Kind::Guest, SNP_GET_REPORT) => self.report(firmware)?,
            (Kind::Guest, SNP_GET_EXT_REPORT) => self.extended(firmware)?,
            (Kind::Host, SEV_ISSUE_CMD) => self.ids(firmware)?,
            _ => return Ok(Err(ENOTTY)),
        };
        Ok(Ok(match step {
            Step::Wants(reads, writes) => retry(&reads, &writes)?,
            Step::Done(error, written) => {
                let mut out = (-error).to_le_bytes().to_vec();
                out.extend([0; 12]);
                out.extend(written);
                out
            }
        }))
    }

    /// The step that takes these pieces, unless they are here.
    fn wants(&self, reads: Pieces, writes: Pieces) -> Option<Step> {
        let size = |pieces: &Pieces| pieces.iter().map(|(_, length)| length).sum::<usize>();
        let here = self.copied.len() == size(&reads) && self.room == size(&writes);
        (!here).then_some(Step::Wants(reads, writes))
    }

    /// SNP_GET_REPORT.
    fn report(&self, firmware: &Firmware) -> Result<Step> {
        let call = (self.argument, GUEST_CALL_BYTES);
        if self.copied.len() < GUEST_CALL_BYTES {
            return Ok(Step::Wants(vec![call], vec![call]));
        }
        let (request, response) = match addresses(self.copied)? {
            Some(addresses) => addresses,
            None => return Ok(Step::Done(EINVAL, with_error(self.copied, 0xff, 0))),
        };
        let reads = vec![call, (request, REQUEST_BYTES)];
        let writes = vec![call, (response, RESPONSE_BYTES)];
        if let Some(step) = self.wants(reads, writes) {
            return Ok(step);
        }
        let response = firmware.respond(&array(self.copied, GUEST_CALL_BYTES)?);
        let mut written = with_error(self.copied, 0, 0);
        written.extend(response);
        Ok(Step::Done(0, written))
    }

    /// SNP_GET_EXT_REPORT.
    fn extended(&self, firmware: &Firmware) -> Result<Step> {
        let call = (self.argument, GUEST_CALL_BYTES);
        if self.copied.len() < GUEST_CALL_BYTES {
            return Ok(Step::Wants(vec![call], vec![call]));
        }
        let (request, response) = match addresses(self.copied)? {
            Some(addresses) => addresses,
            None => return Ok(Step::Done(EINVAL, with_error(self.copied, 0xff, 0))),
        };
        let reads = vec![call, (request, EXTENDED_BYTES)];
        if self.copied.len() < GUEST_CALL_BYTES + EXTENDED_BYTES {
            return Ok(Step::Wants(reads, vec![call]));
        }
        let asked = self.copied.get(GUEST_CALL_BYTES..).unwrap_or_default();
        let (address, length) = (u64_at(asked, 96)?, u32_at(asked, 104)?);
        if length > TABLE_BYTES_MAX || length % PAGE_BYTES != 0 {
            return Ok(Step::Done(EINVAL, with_error(self.copied, 0xff, 0)));
        }
        let writes = vec![
            call,
            (request, EXTENDED_BYTES),
            (response, RESPONSE_BYTES),
            (address, length as usize),
        ];
        if let Some(step) = self.wants(reads, writes) {
            return Ok(step);
        }
        let mut request = asked.to_vec();
        let needed = u32::try_from(firmware.table.len())?.next_multiple_of(PAGE_BYTES);
        if needed > length {
            request[104..108].copy_from_slice(&needed.to_le_bytes());
            let mut written = with_error(self.copied, 0, INVALID_LEN);
            written.extend(request);
            return Ok(Step::Done(EIO, written));
        }
        let response = firmware.respond(&array(asked, 0)?);
        let mut table = firmware.table.clone();
        table.resize(length as usize, 0);
        let written = [
            with_error(self.copied, 0, 0),
            request,
            response.to_vec(),
            table,
        ];
        Ok(Step::Done(0, written.concat()))
    }

    /// SEV_ISSUE_CMD with SEV_GET_ID2.
    fn ids(&self, firmware: &Firmware) -> Result<Step> {
        let call = (self.argument, HOST_CALL_BYTES);
        if self.copied.len() < HOST_CALL_BYTES {
            return Ok(Step::Wants(vec![call], vec![call]));
        }
        if u32_at(self.copied, 0)? != SEV_GET_ID2 {
            return Ok(Step::Done(EINVAL, Vec::new()));
        }
        let data = (u64_at(self.copied, 4)?, GET_ID2_BYTES);
        if self.copied.len() < HOST_CALL_BYTES + GET_ID2_BYTES {
            return Ok(Step::Wants(vec![call, data], vec![call, data]));
        }
        let address = u64_at(self.copied, HOST_CALL_BYTES)?;
        let room = u32_at(self.copied, HOST_CALL_BYTES + 8)? as usize;
        let ids = &firmware.chip_ids;
        let mut written = self.copied.to_vec();
        let length = u32::try_from(ids.len())?;
        written[HOST_CALL_BYTES + 8..].copy_from_slice(&length.to_le_bytes());
        if address == 0 || room < ids.len() {
            written[12..16].copy_from_slice(&SEV_RET_INVALID_LEN.to_le_bytes());
            return Ok(Step::Done(EIO, written));
        }
        let writes = vec![call, data, (address, ids.len())];
        if let Some(step) = self.wants(vec![call, data], writes) {
            return Ok(step);
        }
        written.extend(ids);
        Ok(Step::Done(0, written))
    }
}

/// `struct fuse_ioctl_out` that asks for another round, and its list of pieces.
fn retry(reads: &Pieces, writes: &Pieces) -> Result<Vec<u8>> {
    let mut out = vec![0; 4];
    let counts = [reads.len(), writes.len()];
    out.extend(IOCTL_RETRY.to_le_bytes());
    for count in counts {
        out.extend(u32::try_from(count)?.to_le_bytes());
    }
    for (address, length) in reads.iter().chain(writes) {
        out.extend(address.to_le_bytes());
        out.extend(u64::try_from(*length)?.to_le_bytes());
    }
    Ok(out)
}

/// Where a `struct snp_guest_request_ioctl` says request and response are; nothing where the driver refuses it.
fn addresses(call: &[u8]) -> Result<Option<(u64, u64)>> {
    let (request, response) = (u64_at(call, 8)?, u64_at(call, 16)?);
    let sensible = call.first() != Some(&0) && request != 0 && response != 0;
    Ok(sensible.then_some((request, response)))
}

/// The call with the codes of firmware and hypervisor.
fn with_error(copied: &[u8], firmware: u32, hypervisor: u32) -> Vec<u8> {
    let mut call = copied[..24].to_vec();
    call.extend(firmware.to_le_bytes());
    call.extend(hypervisor.to_le_bytes());
    call
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let Some(array) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
        bail!("expected {N} bytes at {at} of {}", bytes.len());
    };
    Ok(*array)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(array(bytes, at)?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_le_bytes(array(bytes, at)?))
}

#[cfg(test)]
mod tests;
