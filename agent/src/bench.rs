//! Would this machine pass? `assay-agent bench`: fill and chase of a hardware class, by the code that answers
//! HyperNodes, against itself.
//!
//! Its clock is here and not at a HyperNode, so the way through the network is missing from its figures.

mod progress;

use crate::chase::{self, ChaseError, Engine};
use crate::counters;
use crate::doctor::{Finding, fail, pass, skip};
use crate::duty::Duty;
use crate::histogram::Histogram;
use crate::host_files::HostFiles;
use crate::node::{StartError, now, read_config};
use crate::region::{Region, RegionError, RegionStore};
use assay_protocol::answers::{Counter, counter};
use assay_protocol::class::ValidClass;
use assay_protocol::config::AgentConfig;
use assay_protocol::hash::sha256;
use assay_protocol::ids::{HyperNodeId, Nonce, RegionKey};
use assay_protocol::limits::FILL_CHUNK_BYTES_MAX;
use assay_protocol::region::{BLOCK_BYTES, Keystream, RegionId, key_hash};
use progress::Progress;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// No chase begins later than this after the first one.
const CHASING: Duration = Duration::from_secs(10);
/// Chases at least, however long they take, so that there is a median; and at most.
const CHASES: (usize, usize) = (3, 10_000);
/// A fill that takes longer is given up.
const FILLING_MAX: Duration = Duration::from_secs(600);
/// Nobody's: the region is this command's own.
const OWNER: HyperNodeId = HyperNodeId([0; 32]);
const ID: RegionId = RegionId {
    region: 0,
    generation: 0,
};
const PERCENTILES: [(u32, &str); 5] = [
    (500_000, "p50"),
    (900_000, "p90"),
    (990_000, "p99"),
    (999_000, "p99.9"),
    (1_000_000, "max"),
];

/// Makes a region of the class's size in the state folder, fills it, chases through it, and removes it.
pub fn measure(config: &Path, class: &ValidClass) -> Vec<Finding> {
    let config = match read_config(config) {
        Ok(config) => config,
        Err(error) => return vec![fail("configuration", error.to_string(), error.hint())],
    };
    let (granted, needed) = (config.limits.region_blocks_max, class.budget.region_blocks);
    if granted < needed {
        let found = format!("{granted} blocks in limits.region_blocks_max");
        let hint = format!("the class fills {needed} blocks");
        return vec![fail("regions", found, hint)];
    }
    let bench = Bench {
        folder: Folder(config.state_dir.join("bench")),
        duty: Duty::of(&config.limits, threads()),
        files: HostFiles::of_this_machine(),
        chasing: CHASING,
        config,
    };
    bench.run(class)
}

fn threads() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

/// The command's own folder, gone when it ends.
struct Folder(PathBuf);

impl Folder {
    fn remove(&self) {
        // Absent at the beginning, and whoever cannot remove it later finds it there.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

struct Bench {
    folder: Folder,
    config: AgentConfig,
    duty: Duty,
    files: HostFiles,
    /// How long chases begin.
    chasing: Duration,
}

/// What all chases together were.
struct Chased {
    /// Reads a second of each, ascending.
    rates: Vec<u64>,
    reads: u64,
    latency: Histogram,
    counters: [Vec<Counter>; 2],
}

impl Bench {
    fn run(&self, class: &ValidClass) -> Vec<Finding> {
        let (engine, refused) = Engine::of_this_kernel();
        let mut findings = vec![match refused {
            None => pass("engine", engine.to_string()),
            Some(error) => skip(
                "engine",
                format!("{engine}: io_uring is refused ({error})"),
                "allow io_uring (sysctl kernel.io_uring_disabled, seccomp): threads are slower",
            ),
        }];
        findings.push(self.granted());
        let (region, finding) = match self.fill(class.budget.region_blocks) {
            Ok(filled) => filled,
            Err(error) => {
                let hint = error.hint();
                findings.push(fail("fill", StartError::Regions(error).to_string(), hint));
                return findings;
            }
        };
        findings.push(finding);
        match self.chase(&region, class, engine) {
            Ok(chased) => findings.extend(judge(&chased, class, &Memory::of(&self.files))),
            Err(error) => {
                findings.push(fail("chase", error.to_string(), "check the disk's health"))
            }
        }
        findings
    }

    /// What the configuration takes away from the figures below.
    fn granted(&self) -> Finding {
        let limits = &self.config.limits;
        let (disk, cpu) = (limits.disk_share_max_percent, limits.cpu_share_max_percent);
        let found = format!("disk {disk} %, CPU {cpu} %");
        match (disk, cpu) {
            (100, 100) => pass("granted", found),
            _ => skip(
                "granted",
                found,
                "HyperNodes measure what is left of long challenges",
            ),
        }
    }

    fn fill(&self, blocks: u32) -> Result<(Region, Finding), RegionError> {
        self.folder.remove();
        let store = RegionStore::open(&self.folder.0, u64::MAX)?;
        let begun = Instant::now();
        let key = RegionKey(sha256(&[b"assay/bench", &now().0.to_be_bytes()]));
        let mut filling = store.begin(OWNER, ID, blocks, key_hash(&key))?;
        let mut progress = Progress::new("fill");
        let chunk = u32::try_from(FILL_CHUNK_BYTES_MAX / BLOCK_BYTES).unwrap_or(1);
        for first in (0..blocks).step_by(chunk as usize) {
            let data = keystream(&key, first..blocks.min(first.saturating_add(chunk)))?;
            filling.append_within(&data, &self.duty)?;
            progress.show(u64::from(first), u64::from(blocks));
            if begun.elapsed() > FILLING_MAX {
                return Err(RegionError::Fill {
                    expected: format!("{blocks} blocks within {FILLING_MAX:?}"),
                    actual: format!("{} blocks", filling.received()),
                });
            }
        }
        filling.finish(|_| Vec::new())?;
        let mib = (u64::from(blocks) * BLOCK_BYTES as u64) >> 20;
        let ms = u64::try_from(begun.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let found = format!(
            "{mib} MiB in {ms} ms, {} MiB/s with keystream and sync",
            mib * 1000 / ms
        );
        Ok((store.get(OWNER, ID)?, pass("fill", found)))
    }

    fn chase(
        &self,
        region: &Region,
        class: &ValidClass,
        engine: Engine,
    ) -> Result<Chased, ChaseError> {
        let plan = class.chase_plan(ID);
        let (begun, mut progress) = (Instant::now(), Progress::new("chase"));
        let mut chased = Chased {
            rates: Vec::new(),
            reads: 0,
            latency: Histogram::default(),
            counters: [self.counters(0), Vec::new()],
        };
        while chased.rates.len() < CHASES.1
            && (chased.rates.len() < CHASES.0 || begun.elapsed() < self.chasing)
        {
            let count = chased.rates.len() as u64;
            let nonce = Nonce(sha256(&[&now().0.to_be_bytes(), &count.to_be_bytes()]));
            let started = Instant::now();
            let walked = chase::run(region, (&plan, &nonce), (engine, &self.duty), |_| Ok(()))?;
            let micros = u64::try_from(started.elapsed().as_micros())
                .unwrap_or(u64::MAX)
                .max(1);
            chased
                .rates
                .push(plan.reads().saturating_mul(1_000_000) / micros);
            chased.reads = chased.reads.saturating_add(plan.reads());
            chased.latency.merge(&walked.latency);
            let (done, all) = (begun.elapsed().as_millis(), self.chasing.as_millis());
            progress.show(done as u64, all as u64);
        }
        chased.rates.sort_unstable();
        chased.counters[1] = self.counters(chased.reads);
        Ok(chased)
    }

    fn counters(&self, reads: u64) -> Vec<Counter> {
        counters::of_challenge(&self.files, &self.folder.0, reads)
    }
}

fn keystream(key: &RegionKey, blocks: std::ops::Range<u32>) -> Result<Vec<u8>, RegionError> {
    let cipher = |error: assay_protocol::region::CipherError| RegionError::Fill {
        expected: "keystream".into(),
        actual: error.to_string(),
    };
    let stream = Keystream::new(key).map_err(cipher)?;
    let blocks: Result<Vec<_>, _> = blocks.map(|index| stream.block(index)).collect();
    Ok(blocks.map_err(cipher)?.concat())
}

/// Memory of the machine, in bytes; nothing when it cannot be told.
struct Memory(Option<u64>);

impl Memory {
    fn of(files: &HostFiles) -> Self {
        let bytes = crate::inventory::read(files).memory_bytes;
        Self((bytes > 0).then_some(bytes))
    }

    /// Whether a region is four times as large: then most reads must be the disk's (ARCHITECTURE section 8).
    fn is_outgrown_by(&self, region_bytes: u64) -> bool {
        self.0
            .is_some_and(|memory| memory.saturating_mul(4) <= region_bytes)
    }
}

fn judge(chased: &Chased, class: &ValidClass, memory: &Memory) -> Vec<Finding> {
    let region_bytes = u64::from(class.budget.region_blocks).saturating_mul(BLOCK_BYTES as u64);
    let is_iops = memory.is_outgrown_by(region_bytes);
    let sla = &class.sla;
    let iops = match is_iops {
        true => floor("iops", chased, sla.chase_reads_per_s_min),
        false => skip(
            "iops",
            format!(
                "floor {} reads/s: not judged by this region",
                sla.chase_reads_per_s_min
            ),
            "the region would have to be four times the memory",
        ),
    };
    vec![
        latency(&chased.latency),
        device(chased),
        cache(memory, region_bytes, is_iops),
        floor("liveness", chased, sla.chase_liveness_reads_per_s_min),
        iops,
    ]
}

/// The lower median, as a report has it, against a floor.
fn floor(name: &'static str, chased: &Chased, floor: u64) -> Finding {
    let last = chased.rates.len().saturating_sub(1);
    let rate = chased.rates.get(last / 2).copied().unwrap_or(0);
    let found = format!(
        "{rate} reads/s, the median of {} chases; the class asks for {floor}",
        chased.rates.len()
    );
    match rate >= floor {
        true => pass(name, found),
        false => fail(
            name,
            found,
            "a faster or less busy disk, or a class that asks for less",
        ),
    }
}

fn latency(latency: &Histogram) -> Finding {
    let microseconds = |(ppm, name): (u32, &str)| {
        let ns = latency.percentile_ns(ppm).unwrap_or(0);
        format!("{name} {}.{} us", ns / 1_000, ns % 1_000 / 100)
    };
    let all: Vec<String> = PERCENTILES.map(microseconds).into();
    pass(
        "latency",
        format!("{} reads: {}", latency.total(), all.join(", ")),
    )
}

/// Whether the device that HyperNodes are told of did read: else each chase comes back with a warning.
fn device(chased: &Chased) -> Finding {
    const NAME: &str = "device";
    let of = |counters: &[Counter]| {
        let counter = counters.iter().find(|c| c.id == counter::DISK_READ_BYTES);
        counter.map(|counter| (counter.scope.clone(), counter.value))
    };
    let [before, after] = chased.counters.each_ref().map(|counters| of(counters));
    let (Some((_, before)), Some((name, after))) = (before, after) else {
        let hint = "HyperNodes will say that nothing shows the device was read: put state_dir on a file system of one disk";
        return skip(NAME, "state_dir has no block device of its own", hint);
    };
    let (needed, moved) = (
        chased.reads.saturating_mul(BLOCK_BYTES as u64),
        after.saturating_sub(before),
    );
    let found = format!("{name} read {moved} bytes for {needed} asked");
    match moved >= needed {
        true => pass(NAME, found),
        false => fail(
            NAME,
            found,
            "something between file and disk answers for it, a cache perhaps: move state_dir",
        ),
    }
}

fn cache(memory: &Memory, region_bytes: u64, is_iops: bool) -> Finding {
    const NAME: &str = "cache";
    let Some(memory) = memory.0 else {
        return skip(NAME, "the memory cannot be told", "see /proc/meminfo");
    };
    // Two decimals, in integers.
    let c = u128::from(memory) * 100 / u128::from(region_bytes.max(1));
    let kind = if is_iops { "iops" } else { "liveness" };
    let found = format!(
        "memory is {}.{:02} times the region: {kind}; HyperNodes of this version count every chase as liveness",
        c / 100,
        c % 100
    );
    pass(NAME, found)
}

#[cfg(test)]
mod tests;
