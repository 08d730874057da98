//! The drivers below a program's libc, by a preloaded library in C that uses the kernel's own headers: a structure that
//! the program lays out otherwise does not get through.

use super::{Firmware, REQUEST_BYTES};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, PoisonError, RwLock};

/// The devices of a machine, for programs that are started with [`Self::environment`].
pub struct SevDevices {
    /// Stands for `/dev/sev-guest`.
    pub guest: PathBuf,
    /// Stands for `/dev/sev`: holds the ids of the chips.
    pub host: PathBuf,
    library: PathBuf,
    socket: PathBuf,
    firmware: Arc<RwLock<Firmware>>,
}

impl SevDevices {
    /// Builds the library and serves the firmware until this process ends.
    pub fn start(dir: &Path, firmware: Firmware) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let devices = Self {
            guest: dir.join("sev-guest"),
            host: dir.join("sev"),
            library: dir.join("sev_device.so"),
            socket: dir.join("firmware"),
            firmware: Arc::new(RwLock::new(firmware)),
        };
        build(dir, &devices.library)?;
        fs::write(&devices.guest, b"")?;
        devices.name_chips()?;
        let listener = UnixListener::bind(&devices.socket)?;
        let firmware = Arc::clone(&devices.firmware);
        std::thread::Builder::new()
            .name("firmware".into())
            .spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let firmware = Arc::clone(&firmware);
                    // Ends with the program.
                    std::thread::spawn(move || serve(stream, &firmware));
                }
            })?;
        Ok(devices)
    }

    fn name_chips(&self) -> Result<()> {
        let firmware = self.firmware.read().unwrap_or_else(PoisonError::into_inner);
        Ok(fs::write(&self.host, &firmware.chip_ids)?)
    }

    /// Exchanges the machine.
    pub fn replace(&self, firmware: Firmware) -> Result<()> {
        *self
            .firmware
            .write()
            .unwrap_or_else(PoisonError::into_inner) = firmware;
        self.name_chips()
    }

    /// What a program must be started with.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![
            ("LD_PRELOAD".into(), text(&self.library)),
            ("ASSAY_SEV_FIRMWARE".into(), text(&self.socket)),
        ]
    }
}

fn build(dir: &Path, library: &Path) -> Result<()> {
    let source = dir.join("preload.c");
    fs::write(&source, include_str!("preload.c"))?;
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([library, &source])
        .output()
        .context("cc, of Debian package gcc")?;
    match built.status.success() {
        true => Ok(()),
        false => bail!("preload.c: {}", String::from_utf8_lossy(&built.stderr)),
    }
}

/// Request in; response, length of the table and table out; again and again.
fn serve(mut stream: UnixStream, firmware: &RwLock<Firmware>) -> Result<()> {
    loop {
        let mut request = [0; REQUEST_BYTES];
        stream.read_exact(&mut request)?;
        let firmware = firmware.read().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(&firmware.respond(&request))?;
        stream.write_all(&u32::try_from(firmware.table.len())?.to_le_bytes())?;
        stream.write_all(&firmware.table)?;
    }
}
