//! A node's inventory, for people and for programs. All of it is claimed.

use assay_protocol::evidence::SignedEvidence;
use assay_protocol::inventory::{Disk, Inventory, Nic};
use serde_json::{Value, json};
use std::fmt;

/// The inventory beside the claims; nothing when there is none that can be read. That the claims name it is a check of
/// its own.
pub fn beside(signed: &SignedEvidence) -> Option<Inventory> {
    let bytes = signed.vendor().inventory.as_ref()?;
    Inventory::read(&bytes.0).ok()
}

/// A line for each part of the machine.
pub fn write(f: &mut fmt::Formatter<'_>, inventory: &Inventory) -> fmt::Result {
    let cpu = &inventory.cpu;
    writeln!(
        f,
        "cpu           {}, {} sockets, {} cores, {} threads, microcode {} (claimed)",
        named(&cpu.model),
        cpu.sockets,
        cpu.cores,
        cpu.threads,
        named(&cpu.microcode)
    )?;
    writeln!(
        f,
        "memory        {} bytes (claimed)",
        inventory.memory_bytes
    )?;
    for disk in &inventory.disks {
        let serial = disk
            .serial
            .map_or("none".into(), |serial| serial.to_string());
        writeln!(
            f,
            "disk          {} {}, {} bytes, SHA-256 of the serial {serial} (claimed)",
            disk.name,
            named(&disk.model),
            disk.size_bytes
        )?;
    }
    for nic in &inventory.nics {
        let speed = nic
            .speed_mbps
            .map_or("unknown".into(), |speed| speed.to_string());
        writeln!(
            f,
            "nic           {} {}, {speed} Mbit/s (claimed)",
            nic.name,
            named(&nic.driver)
        )?;
    }
    Ok(())
}

fn named(text: &str) -> &str {
    if text.is_empty() { "unnamed" } else { text }
}

/// The same as JSON.
pub fn json(inventory: &Inventory) -> Value {
    let cpu = &inventory.cpu;
    let disk = |disk: &Disk| {
        json!({
            "name": disk.name,
            "model": disk.model,
            "size_bytes": disk.size_bytes,
            "serial_sha256": disk.serial,
            "rotates": disk.rotates,
        })
    };
    let nic =
        |nic: &Nic| json!({"name": nic.name, "driver": nic.driver, "speed_mbps": nic.speed_mbps});
    json!({
        "cpu": {
            "model": cpu.model,
            "sockets": cpu.sockets,
            "cores": cpu.cores,
            "threads": cpu.threads,
            "microcode": cpu.microcode,
        },
        "memory_bytes": inventory.memory_bytes,
        "disks": inventory.disks.iter().map(disk).collect::<Vec<_>>(),
        "nics": inventory.nics.iter().map(nic).collect::<Vec<_>>(),
    })
}
