//! The wire between QEMU and its TPM, with the chip's reset line brought out: somebody with a probe on the board pulls
//! it while the machine goes on running.

use anyhow::{Context as _, Result, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// swtpm's control channel (swtpm/tpm_ioctl.h): CMD_INIT with its flags, none set, and CMD_STOP.
const INIT: [u8; 8] = [0, 0, 0, 2, 0, 0, 0, 0];
const STOP: [u8; 4] = [0, 0, 0, 14];
/// Longer than any request or answer of a running machine.
const MESSAGE_BYTES_MAX: usize = 8192;

/// Carries QEMU's requests to the chip, one at a time.
#[derive(Debug)]
pub struct ResetLine {
    chip: Arc<Mutex<UnixStream>>,
}

impl ResetLine {
    /// Listens at `machine` for QEMU and talks to the chip at the end of `chip`.
    pub fn between(machine: &Path, chip: UnixStream) -> Result<Self> {
        let listener = UnixListener::bind(machine)?;
        let chip = Arc::new(Mutex::new(chip));
        let wire = Arc::clone(&chip);
        // It ends with either side.
        std::thread::spawn(move || carry(&listener, &wire));
        Ok(Self { chip })
    }

    /// _TPM_Init: the chip forgets its registers, as at power-on, and waits for TPM2_Startup. Nobody tells the system.
    pub fn pull(&self) -> Result<()> {
        let mut chip = self.chip.lock().unwrap_or_else(PoisonError::into_inner);
        for request in [&STOP[..], &INIT] {
            chip.write_all(request)?;
            let mut answer = [0; 4];
            chip.read_exact(&mut answer)?;
            ensure!(
                answer == [0; 4],
                "swtpm: request {request:?} answered with {answer:?}"
            );
        }
        Ok(())
    }
}

fn carry(listener: &UnixListener, chip: &Mutex<UnixStream>) -> Result<()> {
    let (mut machine, _) = listener.accept()?;
    loop {
        let (request, channel) = received(&machine)?;
        let mut chip = chip.lock().unwrap_or_else(PoisonError::into_inner);
        send(&chip, &request, channel)?;
        let mut answer = [0; MESSAGE_BYTES_MAX];
        let length = chip.read(&mut answer)?;
        drop(chip);
        ensure!(length > 0, "the chip is gone");
        machine.write_all(answer.get(..length).context("no answer")?)?;
    }
}

/// A request, and the end of the data channel that comes with one of them.
fn received(machine: &UnixStream) -> Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let length = recvmsg(machine, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    ensure!(length > 0, "QEMU is gone");
    let mut channel = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut sent) = message {
            channel = sent.next();
        }
    }
    bytes.truncate(length);
    Ok((bytes, channel))
}

fn send(chip: &UnixStream, request: &[u8], channel: Option<OwnedFd>) -> Result<()> {
    let sent: Vec<_> = channel.iter().map(|channel| channel.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !sent.is_empty() {
        let taken = control.push(SendAncillaryMessage::ScmRights(&sent));
        ensure!(taken, "no room for the data channel");
    }
    let parts = [IoSlice::new(request)];
    let length = sendmsg(chip, &parts, &mut control, SendFlags::empty())?;
    ensure!(length == request.len(), "swtpm took half a request");
    Ok(())
}
