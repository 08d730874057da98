//! The few TPM 2.0 commands a firmware would send, as bytes over swtpm's TCP data channel
//! (TPM 2.0 part 3). No TSS: the testbed must not share code with what it tests.

use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
const PCR_EXTEND: u32 = 0x0000_0182;
const PCR_READ: u32 = 0x0000_017e;
const GET_RANDOM: u32 = 0x0000_017b;
const ALG_SHA256: u16 = 0x000b;
/// `TPM_RS_PW` with empty nonce, attributes and password: 9 bytes, preceded by their count.
const EMPTY_PASSWORD: [u8; 13] = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
/// Tag, size, and command or response code.
const HEADER_BYTES: usize = 10;
const MESSAGE_BYTES_MAX: usize = 8 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);

/// One client connection to a swtpm. swtpm serves one client at a time: drop it soon.
#[derive(Debug)]
pub struct RawTpm {
    stream: TcpStream,
}

impl RawTpm {
    /// Connects to the data channel at `address`.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)
            .with_context(|| format!("no TPM answers at {address}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// TPM2_GetRandom of one byte: succeeds once the TPM is started.
    pub fn ping(&mut self) -> Result<()> {
        self.command(NO_SESSIONS, GET_RANDOM, &1u16.to_be_bytes())?;
        Ok(())
    }

    /// TPM2_PCR_Extend of the SHA-256 bank.
    pub fn extend(&mut self, pcr: u8, digest: &[u8; 32]) -> Result<()> {
        self.exchange(&Self::extend_command(pcr, digest))?;
        Ok(())
    }

    /// The bytes of TPM2_PCR_Extend.
    pub(crate) fn extend_command(pcr: u8, digest: &[u8; 32]) -> Vec<u8> {
        let mut body = u32::from(pcr).to_be_bytes().to_vec();
        body.extend(EMPTY_PASSWORD);
        body.extend(1u32.to_be_bytes());
        body.extend(ALG_SHA256.to_be_bytes());
        body.extend(digest);
        command(SESSIONS, PCR_EXTEND, &body)
    }

    /// TPM2_PCR_Read of one register of the SHA-256 bank.
    pub fn read_pcr(&mut self, pcr: u8) -> Result<[u8; 32]> {
        let select = 1u32.checked_shl(pcr.into()).unwrap_or(0).to_le_bytes();
        let mut body = 1u32.to_be_bytes().to_vec();
        body.extend(ALG_SHA256.to_be_bytes());
        body.extend([3, select[0], select[1], select[2]]);
        let answer = self.command(NO_SESSIONS, PCR_READ, &body)?;
        let value = answer.last_chunk().context("short TPM2_PCR_Read answer")?;
        Ok(*value)
    }

    /// Sends one command; returns what follows the response header.
    pub fn command(&mut self, tag: u16, code: u32, body: &[u8]) -> Result<Vec<u8>> {
        self.exchange(&command(tag, code, body))
    }

    fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        self.stream.write_all(command)?;
        let answer = message(&mut self.stream)?;
        succeeded(command, &answer)?;
        Ok(answer[HEADER_BYTES..].to_vec())
    }
}

/// The bytes of a command.
fn command(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let size = (body.len() + HEADER_BYTES) as u32;
    [
        &tag.to_be_bytes()[..],
        &size.to_be_bytes(),
        &code.to_be_bytes(),
        body,
    ]
    .concat()
}

/// One command or response, header included.
pub(crate) fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEADER_BYTES];
    stream.read_exact(&mut bytes)?;
    let size = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]) as usize;
    if !(HEADER_BYTES..=MESSAGE_BYTES_MAX).contains(&size) {
        let text = format!("TPM message of {size} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, text));
    }
    bytes.resize(size, 0);
    stream.read_exact(&mut bytes[HEADER_BYTES..])?;
    Ok(bytes)
}

/// Whether a response says that its command succeeded.
pub(crate) fn succeeded(command: &[u8], answer: &[u8]) -> Result<()> {
    let code = command.get(6..10).unwrap_or_default();
    let result = answer.get(6..10).unwrap_or_default();
    ensure!(
        result == [0; 4],
        "TPM command 0x{} failed with 0x{}",
        hex::encode(code),
        hex::encode(result)
    );
    Ok(())
}
