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
const RESPONSE_MAX: usize = 4096;
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
        let mut body = u32::from(pcr).to_be_bytes().to_vec();
        body.extend(EMPTY_PASSWORD);
        body.extend(1u32.to_be_bytes());
        body.extend(ALG_SHA256.to_be_bytes());
        body.extend(digest);
        self.command(SESSIONS, PCR_EXTEND, &body)?;
        Ok(())
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
        let size = u32::try_from(body.len() + 10)?;
        let mut command = tag.to_be_bytes().to_vec();
        command.extend(size.to_be_bytes());
        command.extend(code.to_be_bytes());
        command.extend(body);
        self.stream.write_all(&command)?;
        let mut header = [0u8; 10];
        self.stream.read_exact(&mut header)?;
        let size = u32::from_be_bytes([header[2], header[3], header[4], header[5]]) as usize;
        let result = u32::from_be_bytes([header[6], header[7], header[8], header[9]]);
        ensure!(
            (10..=RESPONSE_MAX).contains(&size),
            "TPM response of {size} bytes"
        );
        let mut answer = vec![0; size - 10];
        self.stream.read_exact(&mut answer)?;
        ensure!(result == 0, "TPM command {code:#x} failed with {result:#x}");
        Ok(answer)
    }
}
