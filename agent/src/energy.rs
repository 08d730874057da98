//! Energy that the processors used, from the kernel's power capping framework (Documentation/power/powercap).
//!
//! The files are root's, since readings tell on neighbours: they are opened before privileges are given up, and read
//! seldom. A register starts over after some minutes under load, so that readings are added up here.

use crate::host_files::HostFiles;
use assay_protocol::answers::{Counter, counter};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest time between two readings: a register of 65 kJ, the smallest there is, lasts for 2 minutes at 500 W.
pub const SAMPLED_EVERY: Duration = Duration::from_secs(60);
const ZONES: &str = "sys/class/powercap";
/// Processor packages that are read.
const PACKAGES_MAX: usize = 8;
/// A number of 64 bits and a line feed.
const NUMBER_BYTES_MAX: usize = 24;

/// The packages of a machine.
#[derive(Debug, Default)]
pub struct Energy(Mutex<Vec<Package>>);

#[derive(Debug)]
struct Package {
    file: File,
    /// What the register counts to before it starts over.
    range_uj: u64,
    last_uj: u64,
    total_uj: u64,
}

impl Energy {
    /// Opens what there is: nothing on machines without such registers, and nothing for a user who may not read them.
    pub fn open(files: &HostFiles) -> Self {
        let zones = files.names(ZONES);
        let packages = zones.iter().filter_map(|zone| Package::open(files, zone));
        Self(Mutex::new(packages.take(PACKAGES_MAX).collect()))
    }

    /// Reads the registers, so that none starts over twice unseen.
    pub fn sample(&self) {
        let mut packages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        packages.iter_mut().for_each(Package::sample);
    }

    /// Of all packages since the agent started; nothing where there is none.
    pub fn counter(&self) -> Option<Counter> {
        self.sample();
        let packages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = packages.iter().map(|package| package.total_uj);
        let value = totals.reduce(u64::saturating_add)?;
        Some(Counter {
            id: counter::CPU_ENERGY_UJ,
            scope: String::new(),
            value,
        })
    }
}

impl Package {
    /// A zone that is a package, not a part of one or the whole board: those would be counted twice.
    fn open(files: &HostFiles, zone: &str) -> Option<Self> {
        let path = format!("{ZONES}/{zone}");
        let name = files.text(&format!("{path}/name"))?;
        if !name.starts_with("package") {
            return None;
        }
        let range_uj = files.number(&format!("{path}/max_energy_range_uj"))?;
        let file = files.open(&format!("{path}/energy_uj"))?;
        let last_uj = number(&file)?;
        Some(Self {
            file,
            range_uj,
            last_uj,
            total_uj: 0,
        })
    }

    fn sample(&mut self) {
        let Some(now_uj) = number(&self.file) else {
            return;
        };
        let used_uj = match now_uj.checked_sub(self.last_uj) {
            Some(used_uj) => used_uj,
            None => now_uj.saturating_add(self.range_uj.saturating_sub(self.last_uj)),
        };
        self.total_uj = self.total_uj.saturating_add(used_uj);
        self.last_uj = now_uj;
    }
}

fn number(file: &File) -> Option<u64> {
    let mut bytes = [0; NUMBER_BYTES_MAX];
    let length = file.read_at(&mut bytes, 0).ok()?;
    let text = std::str::from_utf8(bytes.get(..length)?).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_files::machine;

    fn total(energy: &Energy) -> u64 {
        energy.counter().unwrap().value
    }

    #[test]
    fn packages_are_added_up_and_registers_start_over() {
        let zone = |zone: &str, file: &str| format!("{ZONES}/{zone}/{file}");
        let mut files = Vec::new();
        for (at, name, energy) in [
            ("intel-rapl:0", "package-0\n", "900\n"),
            ("intel-rapl:0:0", "core\n", "5\n"),
            ("intel-rapl:1", "package-1\n", "100\n"),
            ("intel-rapl:2", "psys\n", "5\n"),
        ] {
            files.push((zone(at, "name"), name));
            files.push((zone(at, "energy_uj"), energy));
            files.push((zone(at, "max_energy_range_uj"), "1000\n"));
        }
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(at, text)| (at.as_str(), *text))
            .collect();
        let (dir, files) = machine(&files);
        let write = |at: &str, text: &str| {
            std::fs::write(dir.path().join(zone(at, "energy_uj")), text).unwrap();
        };
        let energy = Energy::open(&files);
        assert_eq!(total(&energy), 0);
        write("intel-rapl:1", "130\n");
        write("intel-rapl:0:0", "900\n");
        write("intel-rapl:2", "900\n");
        assert_eq!(total(&energy), 30);
        write("intel-rapl:0", "20\n");
        energy.sample();
        write("intel-rapl:0", "15\n");
        assert_eq!(total(&energy), 30 + 120 + 995);
        // A reading that fails is no reading.
        write("intel-rapl:0", "much\n");
        assert_eq!(total(&energy), 30 + 120 + 995);
        write("intel-rapl:0", "16\n");
        assert_eq!(total(&energy), 30 + 120 + 995 + 1);
    }

    #[test]
    fn a_machine_without_registers_counts_nothing() {
        let (_dir, files) = machine(&[
            ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
            ("sys/class/powercap/intel-rapl:0/energy_uj", "1\n"),
            ("sys/class/powercap/intel-rapl:1/name", "package-1\n"),
            ("sys/class/powercap/intel-rapl:1/max_energy_range_uj", "9\n"),
        ]);
        assert_eq!(Energy::open(&files).counter(), None);
        assert_eq!(Energy::default().counter(), None);
    }
}
