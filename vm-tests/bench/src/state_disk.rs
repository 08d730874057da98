//! The disk that the agent's state lies on, behind device-mapper, so that it can be made slow or broken while the agent
//! runs.

use crate::debian;
use crate::shell::Shell;
use crate::system::System;
use crate::trial::Trial;
use anyhow::{Context as _, Result};
use assay_testbed::tool::run;
use std::fs::{self, File};
use std::process::Command;

const BYTES: u64 = 64 << 20;
/// Sectors that device-mapper counts in.
const SECTORS_PER_BLOCK: u64 = 8;
const DISK: &str = "/dev/vdb";
/// Mounted before the agent comes up.
const UNIT: &str = "[Unit]\nDefaultDependencies=no\nRequires=dev-vdb.device\nAfter=dev-vdb.device local-fs.target\n\
                    Before=assay-agent.service\n\
                    [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -e /etc/state.sh\n\
                    [Install]\nWantedBy=multi-user.target\n";

/// Blocks of 4 KiB on the disk, first and number.
pub type Extent = (u64, u64);

/// Gives the machine such a disk.
pub fn add(trial: &mut Trial, system: &System) -> Result<()> {
    let file = trial.path("state.img");
    File::create(&file)?.set_len(BYTES)?;
    run(Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-b", "4096"])
        .arg(&file))?;
    let script = format!(
        "dmsetup create state --table '{}'\nmkdir -p /var/lib/assay-agent\n\
         mount /dev/mapper/state /var/lib/assay-agent\n",
        good()
    );
    fs::write(system.at("/etc/state.sh"), script)?;
    debian::add_unit(system, "state", UNIT)?;
    trial.parts.second_disk = Some(file);
    Ok(())
}

/// The whole disk as it is.
pub fn good() -> String {
    linear(0, sectors())
}

/// Every read waits so long; writes do not.
pub fn slow(milliseconds: u32) -> String {
    let sectors = sectors();
    format!("0 {sectors} delay {DISK} 0 {milliseconds} {DISK} 0 0")
}

/// Reads and writes of these blocks fail, as on a medium that wore out there.
pub fn broken(extents: &[Extent]) -> String {
    let (mut lines, mut at) = (Vec::new(), 0);
    let mut extents = extents.to_vec();
    extents.sort_unstable();
    for (first, count) in extents {
        let (first, count) = (first * SECTORS_PER_BLOCK, count * SECTORS_PER_BLOCK);
        if first > at {
            lines.push(linear(at, first - at));
        }
        lines.push(format!("{first} {count} error"));
        at = first + count;
    }
    if at < sectors() {
        lines.push(linear(at, sectors() - at));
    }
    lines.join("\n")
}

/// Puts another table under the mounted file system.
pub fn exchange(shell: &mut Shell, table: &str) -> Result<()> {
    let script = format!(
        "dmsetup reload state <<'END' && dmsetup suspend state && dmsetup resume state\n{table}\nEND"
    );
    shell.run(&script).map(drop)
}

/// Where the blocks of the agent's regions lie.
pub fn regions(shell: &mut Shell) -> Result<Vec<Extent>> {
    let said = shell.run("filefrag -b4096 -v /var/lib/assay-agent/regions/*.region")?;
    // `0:  0..  63:  8704..  8767:  64: last,eof`
    let extents = said.lines().filter_map(|line| {
        let (number, rest) = line.split_once(':')?;
        number.trim().parse::<u32>().ok()?;
        let physical = rest.split(':').nth(1)?;
        let (first, last) = physical.split_once("..")?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse::<u64>().ok()?);
        Some((first, last.checked_sub(first)?.checked_add(1)?))
    });
    let extents: Vec<Extent> = extents.collect();
    let first = extents.first();
    first.with_context(|| format!("no extent in {said:?}"))?;
    Ok(extents)
}

fn linear(start: u64, count: u64) -> String {
    format!("{start} {count} linear {DISK} {start}")
}

fn sectors() -> u64 {
    BYTES / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_disk_is_whole_but_for_what_is_broken() {
        let table = broken(&[(300, 10), (100, 1)]);
        let lines: Vec<&str> = table.lines().collect();
        let expected = [
            "0 800 linear /dev/vdb 0",
            "800 8 error",
            "808 1592 linear /dev/vdb 808",
            "2400 80 error",
            "2480 128592 linear /dev/vdb 2480",
        ];
        assert_eq!(lines, expected);
    }
}
