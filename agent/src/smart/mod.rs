//! Health of the NVMe controllers: read by a small privileged step of its own, and told by the agent that serves.
//!
//! The kernel wants `CAP_SYS_ADMIN` at each reading, which is what the agent gives up first. So `assay-agent smart`
//! reads, now and then, and copies what the controllers say, untouched, into a file; the agent finds the numbers in it.

mod health;
mod readings;

use crate::counters;
use crate::durable;
use crate::host_files::HostFiles;
use assay_devices::{Controller, ControllerError};
use assay_protocol::answers::{Counter, counter};
use assay_protocol::item::{Blob, Item as _};
use health::Health;
use readings::{CONTROLLERS_MAX, READINGS_BYTES_MAX, Reading, Readings, is_name};
use std::io;
use std::path::{Path, PathBuf};

/// Where the readings are.
pub const READINGS: &str = "/run/assay/nvme_smart";
/// Its folder, of which the agent that serves may read the files: each reading is another file.
pub const FOLDER: &str = "/run/assay";
const CONTROLLERS: &str = "sys/class/nvme";
/// Controllers of this machine; others are reached over a network and are not the machine's own.
const LOCAL: &str = "pcie";

/// Why a reading is not there.
#[derive(Debug, thiserror::Error)]
pub enum SmartError {
    /// A device or the file cannot be opened or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A controller gave no page.
    #[error("{path}: {source}", path = path.display())]
    Controller {
        /// Its device.
        path: PathBuf,
        /// Why.
        source: ControllerError,
    },
}

impl SmartError {
    /// Exit code of the process: 5, storage.
    pub fn exit_code(&self) -> u8 {
        5
    }

    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => {
                "run it as root; the folder of --out must be there, usually made by assay-measure.service"
            }
            Self::Controller { .. } => {
                "run it as root with CAP_SYS_ADMIN; a controller that refuses even so is broken or has no such page"
            }
        }
    }
}

/// Reads every controller of the machine and replaces the file `out`: its mode is 0644. Yields how many answered, and
/// why the others did not; those are absent from the file.
pub fn record(files: &HostFiles, out: &Path) -> Result<(usize, Vec<SmartError>), SmartError> {
    let (mut controllers, mut refused) = (Vec::new(), Vec::new());
    for name in controllers_of(files) {
        match read(files, &name) {
            Ok(reading) => controllers.push(reading),
            Err(error) => refused.push(error),
        }
    }
    let readings = Readings {
        uptime_ms: counters::uptime_ms(files).unwrap_or(0),
        controllers,
    };
    let written = durable::replace(out, 0o644, &readings.encode());
    written.map_err(|source| SmartError::File {
        path: out.into(),
        source,
    })?;
    Ok((readings.controllers.len(), refused))
}

/// The first ones by name.
fn controllers_of(files: &HostFiles) -> Vec<String> {
    let mut names = files.names(CONTROLLERS);
    names.retain(|name| {
        let transport = files.text(&format!("{CONTROLLERS}/{name}/transport"));
        is_name(name) && transport.as_deref() == Some(LOCAL)
    });
    names.truncate(CONTROLLERS_MAX);
    names
}

fn read(files: &HostFiles, name: &str) -> Result<Reading, SmartError> {
    let path = files.at(&format!("dev/{name}"));
    let controller = Controller::open(&path).map_err(|source| SmartError::File {
        path: path.clone(),
        source,
    })?;
    match controller.health() {
        Ok(page) => Ok(Reading {
            name: name.to_owned(),
            page: Blob(page.to_vec()),
        }),
        Err(source) => Err(SmartError::Controller { path, source }),
    }
}

/// What the last reading says, and when it was made; nothing where there is none.
pub fn counters(files: &HostFiles) -> Vec<Counter> {
    let told = READINGS.trim_start_matches('/');
    let bytes = files.bounded(told, READINGS_BYTES_MAX.saturating_add(1));
    let Some(readings) = bytes.and_then(|bytes| Readings::read(&bytes).ok()) else {
        return Vec::new();
    };
    let of_one = readings.controllers.iter().filter_map(|reading| {
        let health = Health::of(reading.page()?);
        Some(values(&health).into_iter().filter_map(|(id, value)| {
            Some(Counter {
                id,
                scope: reading.name.clone(),
                value: value?,
            })
        }))
    });
    let mut counters: Vec<Counter> = of_one.flatten().collect();
    if !counters.is_empty() {
        counters.push(Counter {
            id: counter::NVME_READ_AT_UPTIME_MS,
            scope: String::new(),
            value: readings.uptime_ms,
        });
    }
    counters
}

fn values(health: &Health) -> [(u16, Option<u64>); 12] {
    let byte = |value: u8| Some(u64::from(value));
    [
        (
            counter::NVME_CRITICAL_WARNING_BITS,
            byte(health.critical_warning_bits),
        ),
        (
            counter::NVME_TEMPERATURE_K,
            health.temperature_k.map(u64::from),
        ),
        (
            counter::NVME_AVAILABLE_SPARE_PERCENT,
            byte(health.available_spare_percent),
        ),
        (counter::NVME_USED_PERCENT, byte(health.used_percent)),
        (counter::NVME_READ_BYTES, health.read_bytes),
        (counter::NVME_WRITE_BYTES, health.write_bytes),
        (counter::NVME_READ_IOS, health.read_ios),
        (counter::NVME_WRITE_IOS, health.write_ios),
        (counter::NVME_POWER_CYCLES, health.power_cycles),
        (counter::NVME_POWER_ON_HOURS, health.power_on_hours),
        (counter::NVME_UNSAFE_SHUTDOWNS, health.unsafe_shutdowns),
        (counter::NVME_MEDIA_ERRORS, health.media_errors),
    ]
}

/// Readings for tests: pages whose numbers are all alike.
#[cfg(test)]
pub(crate) fn readings(pages: &[u8]) -> Readings {
    let one = |(number, byte): (usize, &u8)| {
        let mut page = [0; assay_devices::PAGE_BYTES];
        page[..6].fill(*byte);
        (32..176).step_by(16).for_each(|at| page[at] = *byte);
        Reading {
            name: format!("nvme{number}"),
            page: Blob(page.to_vec()),
        }
    };
    Readings {
        uptime_ms: 77,
        controllers: pages.iter().enumerate().map(one).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_files::machine;

    const UPTIME: (&str, &str) = ("proc/uptime", "12.34 1.00\n");

    /// A machine with these readings where the agent looks.
    fn told(bytes: &[u8]) -> Vec<Counter> {
        let (dir, files) = machine(&[("run/assay/event_log", "")]);
        std::fs::write(dir.path().join("run/assay/nvme_smart"), bytes).unwrap();
        counters(&files)
    }

    #[test]
    fn every_number_is_told_under_its_controller() {
        let counters = told(&readings(&[1, 2]).encode());
        let of = |scope: &str| -> Vec<(u16, u64)> {
            let of_it = counters.iter().filter(|counter| counter.scope == scope);
            of_it.map(|counter| (counter.id, counter.value)).collect()
        };
        let expected = |byte: u64| {
            [
                (counter::NVME_CRITICAL_WARNING_BITS, byte),
                (counter::NVME_TEMPERATURE_K, byte << 8 | byte),
                (counter::NVME_AVAILABLE_SPARE_PERCENT, byte),
                (counter::NVME_USED_PERCENT, byte),
                (counter::NVME_READ_BYTES, byte * 512_000),
                (counter::NVME_WRITE_BYTES, byte * 512_000),
                (counter::NVME_READ_IOS, byte),
                (counter::NVME_WRITE_IOS, byte),
                (counter::NVME_POWER_CYCLES, byte),
                (counter::NVME_POWER_ON_HOURS, byte),
                (counter::NVME_UNSAFE_SHUTDOWNS, byte),
                (counter::NVME_MEDIA_ERRORS, byte),
            ]
        };
        assert_eq!(of("nvme0"), expected(1));
        assert_eq!(of("nvme1"), expected(2));
        assert_eq!(of(""), [(counter::NVME_READ_AT_UPTIME_MS, 77)]);
        assert!(counters.iter().all(|one| counter::name(one.id).is_some()));
    }

    #[test]
    fn what_is_not_reported_is_left_out_and_never_zero() {
        let counters = told(&readings(&[0]).encode());
        let ids: Vec<u16> = counters.iter().map(|counter| counter.id).collect();
        for absent in [
            counter::NVME_TEMPERATURE_K,
            counter::NVME_READ_BYTES,
            counter::NVME_WRITE_BYTES,
        ] {
            assert!(!ids.contains(&absent), "{absent}");
        }
        assert!(ids.contains(&counter::NVME_MEDIA_ERRORS));
    }

    #[test]
    fn no_file_no_controller_and_a_file_that_does_not_hold_are_nothing() {
        let (_dir, files) = machine(&[UPTIME]);
        assert_eq!(counters(&files), []);
        assert_eq!(told(&readings(&[]).encode()), []);
        let good = readings(&[1]).encode();
        assert_eq!(told(&good[1..]), []);
        assert_eq!(told(&[good, vec![0; READINGS_BYTES_MAX]].concat()), []);
    }

    /// A file stands for a device: it refuses the request, as one of another kind does.
    #[test]
    fn controllers_that_give_nothing_are_named_and_absent() {
        let (dir, files) = machine(&[
            UPTIME,
            ("sys/class/nvme/nvme0/transport", "pcie\n"),
            ("sys/class/nvme/nvme1/transport", "pcie\n"),
            ("dev/nvme0", ""),
        ]);
        let out = dir.path().join("readings");
        let (count, refused) = record(&files, &out).unwrap();
        assert_eq!(count, 0);
        let said: Vec<String> = refused.iter().map(ToString::to_string).collect();
        assert!(
            said[0].contains("dev/nvme0: NVME_IOCTL_ADMIN_CMD"),
            "{said:?}"
        );
        assert!(said[1].contains("dev/nvme1: No such file"), "{said:?}");
        let written = Readings::read(&std::fs::read(&out).unwrap()).unwrap();
        assert_eq!(written.uptime_ms, 12_340);
        assert_eq!(written.controllers, []);
        let nowhere = record(&files, &dir.path().join("nowhere/readings")).unwrap_err();
        assert!(
            nowhere.to_string().contains("nowhere/readings"),
            "{nowhere}"
        );
        assert_eq!(nowhere.exit_code(), 5);
    }

    #[test]
    fn only_the_machine_s_own_controllers_are_asked_and_not_too_many() {
        let own = (0..12).map(|n| format!("sys/class/nvme/nvme{n}/transport"));
        let paths: Vec<String> = own.collect();
        let mut all: Vec<(&str, &str)> =
            paths.iter().map(|path| (path.as_str(), "pcie\n")).collect();
        all[0].1 = "tcp\n";
        all.push(("sys/class/nvme/nvme..5/transport", "pcie\n"));
        all.push(("sys/class/nvme/nvme13/model", "x\n"));
        let (_dir, files) = machine(&all);
        let names = controllers_of(&files);
        assert_eq!(names.len(), CONTROLLERS_MAX);
        assert_eq!(names[..3], ["nvme1", "nvme10", "nvme11"]);
        let few = [
            ("sys/class/nvme/nvme0/transport", "tcp\n"),
            all[12],
            all[13],
        ];
        assert_eq!(controllers_of(&machine(&few).1), [""; 0]);
    }
}
