//! A software TPM that several use: swtpm serves one client, while on a machine the kernel goes on measuring whatever
//! else has the TPM open. Commands go through one by one.

use crate::Swtpm;
use crate::raw_tpm::{RawTpm, message, succeeded};
use crate::swtpm::{address, free_port_pair};
use anyhow::Result;
use std::io::{self, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Ports before a swtpm's, on which the one client of before is served.
#[derive(Debug)]
pub struct TpmBus {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Of the swtpm.
    port: u16,
    /// There while a client is connected, so that the swtpm is free at other times.
    upstream: Mutex<Option<TcpStream>>,
}

impl TpmBus {
    /// Serves on two ports of its own as long as the process lives.
    pub fn start(tpm: &Swtpm) -> Result<Self> {
        let port = free_port_pair()?;
        let shared = Arc::new(Shared {
            port: tpm.port(),
            upstream: Mutex::default(),
        });
        let data = TcpListener::bind(address(port))?;
        let control = TcpListener::bind(address(port + 1))?;
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in data.incoming().flatten() {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.serve(client));
            }
        });
        let upstream = tpm.port() + 1;
        std::thread::spawn(move || {
            for client in control.incoming().flatten() {
                std::thread::spawn(move || pass_on(client, upstream));
            }
        });
        Ok(Self { port, shared })
    }

    /// The agent's `tcti` setting.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// TPM2_PCR_Extend of the SHA-256 bank, between two commands of the client.
    pub fn extend(&self, pcr: u8, digest: &[u8; 32]) -> Result<()> {
        let command = RawTpm::extend_command(pcr, digest);
        let answer = self.shared.exchange(&command)?;
        succeeded(&command, &answer)
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) {
        while let Ok(command) = message(&mut client) {
            let answered = self.exchange(&command);
            if answered
                .and_then(|answer| client.write_all(&answer))
                .is_err()
            {
                break;
            }
        }
        // The TPM is free again, and a client of a TPM that was restarted connects anew.
        *self.upstream.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = client.shutdown(Shutdown::Both);
    }

    fn exchange(&self, command: &[u8]) -> io::Result<Vec<u8>> {
        let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tpm = match upstream.take() {
            Some(tpm) => tpm,
            None => TcpStream::connect(address(self.port))?,
        };
        tpm.write_all(command)?;
        let answer = message(&mut tpm)?;
        *upstream = Some(tpm);
        Ok(answer)
    }
}

/// The control channel, both ways.
fn pass_on(client: TcpStream, port: u16) {
    let Ok(tpm) = TcpStream::connect(address(port)) else {
        return;
    };
    let one_way =
        |from: &TcpStream, to: &TcpStream| Some((from.try_clone().ok()?, to.try_clone().ok()?));
    for (mut from, mut to) in [one_way(&client, &tpm), one_way(&tpm, &client)]
        .into_iter()
        .flatten()
    {
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
