//! Whether a chase is honest to the device: it and fio read the same file in turn, at the same depth.
//!
//! fio does not look at what it reads, a chase has to. Where a hypervisor copies what its disk read, looking alone costs:
//! so fio reads once as it is and once checking a CRC-32C of each block, which its headers in the file hold. A fourth
//! reader is our ring without steps, which tells what io_uring costs us from what a step costs. Prints reads a second,
//! ratios and percentiles of latency (fio's from asking to having, as ours: slat and clat together). Needs the program
//! `fio` (Debian: fio) and a disk that nobody else uses. `ASSAY_BENCH_DIR` names a folder on the disk to be read,
//! `ASSAY_BENCH_ROUNDS` how often they take turns, `ASSAY_BENCH_MS` how long each turn lasts, `ASSAY_BENCH_DEPTHS` the depths (`1,4,32,64`).

use assay_agent::chase::{self, Engine};
use assay_agent::duty::Duty;
use assay_agent::histogram::Histogram;
use assay_agent::region::{Region, RegionStore};
use assay_protocol::chase::{ChasePlan, step};
use assay_protocol::config::LimitSection;
use assay_protocol::ids::{Digest, HyperNodeId, Nonce, RegionKey};
use assay_protocol::region::{BLOCK_BYTES, Keystream, RegionId};
use assay_ring::Ring;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// 256 MiB, as large as a region is by default at most.
const BLOCKS: u32 = 65_536;
const CHUNK: u32 = 32;
const DEPTHS: &str = "1,4,32,64";
const CHECKPOINTS: u32 = 16;
const OWNER: HyperNodeId = HyperNodeId([1; 32]);
const ID: RegionId = RegionId {
    region: 0,
    generation: 0,
};
/// What makes fio write, and check, a CRC-32C of each block.
const CHECKS: &str = "--verify=crc32c";
/// Millionths, as our histogram and fio's JSON name them.
const PERCENTILES: [(u32, &str); 4] = [
    (500_000, "50.000000"),
    (900_000, "90.000000"),
    (990_000, "99.000000"),
    (999_000, "99.900000"),
];

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    // `cargo test --benches` and `cargo nextest` start benchmarks only to see them.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    if Command::new("fio").arg("--version").output().is_err() {
        return Err(
            "fio is not installed (Debian: `apt-get install fio`): nothing to compare with".into(),
        );
    }
    let number = |name: &str, default: u32| -> Result<u32, Failure> {
        let given = std::env::var(name).ok();
        given.map_or(Ok(default), |text| {
            text.parse().map_err(|_| format!("{name}: {text}").into())
        })
    };
    let (rounds, ms) = (
        number("ASSAY_BENCH_ROUNDS", 21)?,
        number("ASSAY_BENCH_MS", 500)?,
    );
    let parent = std::env::var_os("ASSAY_BENCH_DIR");
    let parent = parent.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    std::fs::create_dir_all(&parent)?;
    let dir = tempfile::tempdir_in(parent)?;
    let (region, path) = filled(dir.path())?;
    let (engine, refused) = Engine::of_this_kernel();
    println!(
        "engine {engine}{}",
        refused.map_or(String::new(), |error| format!(": {error}"))
    );
    println!("{rounds} rounds of {ms} ms each, {} MiB", BLOCKS / 256);
    println!("a step without its read: {:.2} us", step_us());
    histogram_agrees(&path)?;
    let depths = std::env::var("ASSAY_BENCH_DEPTHS").unwrap_or(DEPTHS.into());
    for depth in depths.split(',') {
        let depth = depth
            .parse()
            .map_err(|_| format!("ASSAY_BENCH_DEPTHS: {depths}"))?;
        compare((&region, &path), (depth, engine), (rounds, ms))?;
    }
    if engine == Engine::IoUring {
        println!("the way without io_uring:");
        compare((&region, &path), (32, Engine::Threads), (rounds, ms))?;
    }
    Ok(())
}

fn filled(dir: &Path) -> Result<(Region, PathBuf), Failure> {
    let store = RegionStore::open(dir, u64::MAX)?;
    let mut filling = store.begin(OWNER, ID, BLOCKS, Digest([0; 32]))?;
    let stream = Keystream::new(&RegionKey([7; 32]))?;
    for first in (0..BLOCKS).step_by(CHUNK as usize) {
        let blocks: Result<Vec<_>, _> = (first..first + CHUNK).map(|i| stream.block(i)).collect();
        filling.append(blocks?.as_flattened())?;
    }
    filling.finish(|_| Vec::new())?;
    let path = dir.join(format!("{OWNER}-0-0.region"));
    // To a chase all blocks are alike; these have headers by which fio can check them.
    run_fio(
        "write",
        (&path, CHUNK),
        &[CHECKS, "--do_verify=0", "--verify_state_save=0"],
    )?;
    Ok((store.get(OWNER, ID)?, path))
}

/// One turn of one of the two.
struct Turn {
    per_second: f64,
    /// Microseconds.
    percentiles: Vec<f64>,
}

/// Who reads in turn.
#[derive(Clone, Copy)]
enum Reader {
    Fio,
    Chase(Engine),
    /// fio, checking each block.
    Checking,
    /// Our ring, nothing done with the blocks.
    Ring,
}

fn compare(
    (region, path): (&Region, &Path),
    (depth, engine): (u32, Engine),
    (rounds, ms): (u32, u32),
) -> Result<(), Failure> {
    let mut readers = vec![Reader::Fio, Reader::Chase(engine), Reader::Checking];
    if engine == Engine::IoUring {
        readers.push(Reader::Ring);
    }
    let mut turns: Vec<Vec<Turn>> = readers.iter().map(|_| Vec::new()).collect();
    let mut reads = fio(path, depth, ms, &[])?.per_second * f64::from(ms) / 1_000.0;
    for round in 0..rounds as usize {
        // Who goes first changes, so that a disk that slows down does not choose.
        for at in (0..readers.len()).map(|at| (at + round) % readers.len()) {
            let turn = match readers[at] {
                Reader::Fio => fio(path, depth, ms, &[])?,
                Reader::Checking => fio(path, depth, ms, &[CHECKS])?,
                Reader::Chase(engine) => ours(region, (depth, engine), (round, reads))?,
                Reader::Ring => ring(region, depth, (round, reads))?,
            };
            if at == 0 {
                reads = turn.per_second * f64::from(ms) / 1_000.0;
            }
            turns[at].push(turn);
        }
    }
    // A disk that is shared or remembers changes from round to round; who took turns saw the same of it on the whole.
    let rate =
        |turns: &[Turn]| turns.iter().map(|turn| turn.per_second).sum::<f64>() / turns.len() as f64;
    println!("depth {depth:>3}  fio {:>18.0} reads/s", rate(&turns[0]));
    println!(
        "           chase to fio that checks: all rounds {:.3}",
        rate(&turns[1]) / rate(&turns[2])
    );
    for (reader, mine) in readers.iter().zip(&turns).skip(1) {
        let name = match reader {
            Reader::Ring => "ring",
            Reader::Checking => "fio that checks",
            Reader::Fio | Reader::Chase(_) => "chase",
        };
        let pairs = mine.iter().zip(&turns[0]);
        let ratios: Vec<f64> = pairs
            .map(|(mine, fio)| mine.per_second / fio.per_second)
            .collect();
        println!(
            "           {name:<15} {:>8.0} reads/s, ratio to fio: all rounds {:.3}, median of rounds {:.3} ({:.3} to {:.3})",
            rate(mine),
            rate(mine) / rate(&turns[0]),
            median(ratios.iter().copied()),
            ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        );
    }
    percentiles(&turns[0], &turns[1]);
    Ok(())
}

fn percentiles(fios: &[Turn], chases: &[Turn]) {
    for (at, (ppm, _)) in PERCENTILES.iter().enumerate() {
        let of = |turns: &[Turn]| median(turns.iter().map(|turn| turn.percentiles[at]));
        let (theirs, mine) = (of(fios), of(chases));
        println!(
            "           p{:<5} fio {theirs:>9.1} us, chase {mine:>9.1} us, ratio {:.3}",
            f64::from(*ppm) / 10_000.0,
            mine / theirs
        );
    }
}

/// Independent random reads through our ring, nothing done with what comes.
fn ring(region: &Region, depth: u32, (round, reads): (usize, f64)) -> Result<Turn, Failure> {
    let mut ring = Ring::new(region.file(), depth)?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ round as u64;
    // Xorshift (Marsaglia, 2003): any spread will do.
    let mut offset = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % u64::from(BLOCKS)) * BLOCK_BYTES as u64
    };
    let wanted = reads as u64;
    let begun = Instant::now();
    (0..depth).try_for_each(|slot| ring.read(slot, offset()))?;
    let (mut asked, mut done) = (u64::from(depth), 0u64);
    while done < asked {
        ring.wait()?;
        let mut waits = false;
        while let Some((slot, outcome)) = ring.ended() {
            outcome?;
            done += 1;
            // As a chase does, so that the steps are all that differs.
            if waits {
                ring.submit()?;
            }
            waits = true;
            if asked < wanted {
                ring.read(slot, offset())?;
                asked += 1;
            }
        }
    }
    Ok(Turn {
        per_second: done as f64 / begun.elapsed().as_secs_f64(),
        percentiles: Vec::new(),
    })
}

/// Our histogram over the latencies that fio lists one by one must have fio's percentiles, but for a bucket: whatever
/// the disk did.
fn histogram_agrees(path: &Path) -> Result<(), Failure> {
    let logs = path.with_extension("log");
    let log = format!("--write_lat_log={}", logs.display());
    let turn = fio_with(path, 4, &[&log, "--number_ios=20000"])?;
    let list = std::fs::read_to_string(format!("{}_lat.1.log", logs.display()))?;
    let mut histogram = Histogram::default();
    for line in list.lines() {
        let ns = line
            .split(',')
            .nth(1)
            .ok_or("fio: a latency log with less columns")?;
        histogram.add(Duration::from_nanos(ns.trim().parse()?));
    }
    // fio finds the rank in floating point, which now and then makes it the next one.
    let rank_ppm = 1_000_000u64.div_ceil(histogram.total().max(1)) as u32;
    for ((ppm, _), theirs) in PERCENTILES.iter().zip(&turn.percentiles) {
        let mine = [*ppm, ppm + rank_ppm]
            .map(|ppm| histogram.percentile_ns(ppm).unwrap_or(0) as f64 / 1_000.0);
        if !mine
            .iter()
            .any(|mine| (mine - theirs).abs() <= theirs / 64.0)
        {
            let text = format!("percentile {ppm} ppm: fio {theirs} us, our histogram {mine:?} us");
            return Err(text.into());
        }
    }
    println!(
        "our histogram has fio's percentiles of {} latencies, within a bucket",
        histogram.total()
    );
    Ok(())
}

/// What one step costs without its read, in microseconds.
fn step_us() -> f64 {
    const STEPS: u32 = 20_000;
    let (block, mut state) = ([7; BLOCK_BYTES], [1; 32]);
    let begun = Instant::now();
    (0..STEPS).for_each(|j| state = step(&state, j, &block).unwrap_or_default());
    assert_ne!(state, [1; 32]);
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(STEPS)
}

fn fio(path: &Path, depth: u32, ms: u32, more: &[&str]) -> Result<Turn, Failure> {
    let runtime = format!("--runtime={ms}ms");
    let timed = ["--time_based", runtime.as_str()];
    fio_with(path, depth, &[timed.as_slice(), more].concat())
}

fn fio_with(path: &Path, depth: u32, more: &[&str]) -> Result<Turn, Failure> {
    let json = run_fio("randread", (path, depth), more)?;
    let read = &json["jobs"][0]["read"];
    let float = |value: &serde_json::Value| value.as_f64().ok_or("fio: its JSON lacks a number");
    let percentile = |(_, name): &(u32, &str)| {
        float(&read["lat_ns"]["percentile"][*name]).map(|ns| ns / 1_000.0)
    };
    let percentiles: Result<Vec<f64>, _> = PERCENTILES.iter().map(percentile).collect();
    Ok(Turn {
        per_second: float(&read["iops"])?,
        percentiles: percentiles?,
    })
}

fn run_fio(
    how: &str,
    (path, depth): (&Path, u32),
    more: &[&str],
) -> Result<serde_json::Value, Failure> {
    let output = Command::new("fio")
        .arg(format!("--rw={how}"))
        .args([
            "--name=chase",
            "--bs=4k",
            "--direct=1",
            "--ioengine=io_uring",
        ])
        // A chase, too, may ask for a block again; latency from asking to having, as in a chase.
        .args([
            "--norandommap",
            "--randrepeat=0",
            "--lat_percentiles=1",
            "--clat_percentiles=0",
        ])
        .args(["--percentile_list=50:90:99:99.9", "--output-format=json"])
        .arg(format!("--filename={}", path.display()))
        .arg(format!("--iodepth={depth}"))
        .args(more)
        .output()?;
    if !output.status.success() {
        return Err(format!("fio: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn ours(
    region: &Region,
    (depth, engine): (u32, Engine),
    (round, reads): (usize, f64),
) -> Result<Turn, Failure> {
    let each = (reads / f64::from(depth * CHECKPOINTS)).round().max(1.0) as u32;
    let plan = ChasePlan {
        id: ID,
        blocks: BLOCKS,
        lanes: depth,
        steps: each * CHECKPOINTS,
        checkpoint_every: each,
    };
    let nonce = Nonce([round as u8; 32]);
    let duty = Duty::of(&LimitSection::default(), 1);
    let begun = Instant::now();
    let walked = chase::run(region, (&plan, &nonce), (engine, &duty), |_| Ok(()))?;
    let seconds = begun.elapsed().as_secs_f64();
    let percentile =
        |(ppm, _): &(u32, &str)| walked.latency.percentile_ns(*ppm).unwrap_or(0) as f64 / 1_000.0;
    Ok(Turn {
        per_second: plan.reads() as f64 / seconds,
        percentiles: PERCENTILES.iter().map(percentile).collect(),
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
