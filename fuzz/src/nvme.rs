//! What the agent reads of NVMe controllers: the file in which their pages come, and the pages.

use assay_protocol::item::{Blob, Item as _};
use health::Health;
use readings::{CONTROLLERS_MAX, Reading, Readings, is_name};

// The agent's own files, without the agent: it would bring the TSS with it.
#[path = "../../agent/src/smart/health.rs"]
mod health;
#[path = "../../agent/src/smart/readings.rs"]
mod readings;

/// Never a panic; what is accepted is its own encoding, within the bounds, and every page in it has a meaning.
pub fn readings(data: &[u8]) {
    let Ok(readings) = Readings::read(data) else {
        return;
    };
    assert_eq!(readings.encode(), data);
    assert!(readings.controllers.len() <= CONTROLLERS_MAX);
    for reading in &readings.controllers {
        assert!(is_name(&reading.name), "{:?}", reading.name);
        let health = Health::of(reading.page().expect("a page of the right length"));
        assert_ne!(health.temperature_k, Some(0));
        assert_ne!((health.read_bytes, health.write_bytes), (Some(0), Some(0)));
    }
}

/// Two controllers, whose pages differ in every byte.
pub fn seeds() -> Vec<Vec<u8>> {
    let one = |number: u8| Reading {
        name: format!("nvme{number}"),
        page: Blob((0..512).map(|at| (at as u8).wrapping_mul(number)).collect()),
    };
    let of = |controllers: Vec<Reading>| Readings {
        uptime_ms: 77,
        controllers,
    };
    [of(Vec::new()), of(vec![one(0), one(1)])]
        .map(|readings| readings.encode())
        .to_vec()
}
