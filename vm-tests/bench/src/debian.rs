//! A Debian machine as a provider has it, under systemd and firmware, with a shell for whoever plays its root.

use crate::machine::{Kernel, SecureBoot};
use crate::shell;
use crate::system::System;
use crate::trial::{Trial, promise};
use anyhow::Result;
use std::fs;

/// Its console is where the tests look.
const CONSOLE: &str = "[Service]\nStandardOutput=journal+console\nStandardError=journal+console\n";
/// The machine's network card.
const CARD: &str = "[Match]\nType=ether\n[Network]\nAddress=10.0.2.15/24\n";
/// A busy machine may keep its emulated one from a tick of the timer for longer than the kernel waits when it checks.
const COMMAND_LINE: &str = "root=/dev/vda rw console=ttyS0 quiet no_timer_check";
/// Nobody logs in, and nothing else is due during a trial.
const IDLE: [&str; 6] = [
    "getty.target",
    "getty-static.service",
    "systemd-timesyncd.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
];

/// A class without values of its own boot, for any machine.
pub fn class() -> String {
    let zeros = "0".repeat(64);
    let promise = promise();
    format!("{promise}[[attestation.pcrs]]\nindex = 14\nallowed = [\"{zeros}\"]\n")
}

/// A machine before HyperNodes with this class; `prepare` puts into its system what it is to be born with.
pub fn machine(
    class: &str,
    prepare: impl FnOnce(&mut Trial, &System) -> Result<()>,
) -> Result<Trial> {
    let mut trial = Trial::of_class(class, SecureBoot::Off)?;
    let system = System::new("guest")?;
    fs::write(system.at("/etc/systemd/network/10-card.network"), CARD)?;
    add_unit(&system, "shell", &shell::unit())?;
    system.run(&["systemctl", "enable", "systemd-networkd.service"])?;
    system.run(&[&["systemctl", "mask"][..], &IDLE].concat())?;
    show_on_console(&system, "assay-agent")?;
    prepare(&mut trial, &system)?;
    let (image, initial) = system.into_disk(&trial.parts.disk)?;
    trial.parts.kernel = Some(Kernel {
        image,
        initial,
        line: COMMAND_LINE.into(),
    });
    // What firmware and kernel keep for themselves is not the class's.
    trial.parts.memory_mib = 768;
    trial.parts.shell = true;
    Ok(trial)
}

/// Adds a unit that is started at boot.
pub fn add_unit(system: &System, name: &str, text: &str) -> Result<()> {
    let unit = format!("{name}.service");
    fs::write(system.at(&format!("/etc/systemd/system/{unit}")), text)?;
    system.run(&["systemctl", "enable", &unit])
}

/// Has a unit say on the console what it says.
pub fn show_on_console(system: &System, name: &str) -> Result<()> {
    let folder = system.at(&format!("/etc/systemd/system/{name}.service.d"));
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join("console.conf"), CONSOLE)?)
}
