//! Two closures in turn, many rounds, medians.

use crate::allocations::Taken;
use std::time::{Duration, Instant};

const ROUNDS: usize = 201;
/// Shorter than a scheduler's slice: on a busy machine most rounds then run undisturbed, and the median is one of them.
const ROUND: Duration = Duration::from_millis(1);

/// What is compared: the floor, and our way of doing it.
pub struct Pair {
    /// What it is, with its unit of work.
    pub name: String,
    /// Bytes one piece of work covers, to print a rate; 0 prints a time.
    pub bytes: usize,
    /// The bare work.
    pub bare: Box<dyn FnMut()>,
    /// The same inside ours.
    pub ours: Box<dyn FnMut()>,
}

/// The medians of a pair, per piece of work.
pub struct Measured {
    name: String,
    bytes: usize,
    bare: Duration,
    ours: Duration,
}

impl Pair {
    /// Measures both, alternating.
    pub fn run(mut self) -> Measured {
        let (bare, ours) = alternate(&mut self.bare, &mut self.ours);
        Measured {
            name: self.name,
            bytes: self.bytes,
            bare,
            ours,
        }
    }
}

impl Measured {
    /// Bare time as a share of ours.
    pub fn ratio(&self) -> f64 {
        self.bare.as_secs_f64() / self.ours.as_secs_f64()
    }
}

/// Two sizes of one kind of work.
pub struct Doubled {
    once: Duration,
    twice: Duration,
}

impl Doubled {
    /// Measures work on an input, and on one twice its size.
    pub fn measure(mut once: impl FnMut(), mut twice: impl FnMut()) -> Self {
        let (once, twice) = alternate(&mut once, &mut twice);
        Self { once, twice }
    }

    /// How much longer the larger one took.
    pub fn ratio(&self) -> f64 {
        self.twice.as_secs_f64() / self.once.as_secs_f64()
    }
}

fn alternate(a: &mut dyn FnMut(), b: &mut dyn FnMut()) -> (Duration, Duration) {
    let (of_a, of_b) = (repeats(a), repeats(b));
    let (mut a_times, mut b_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a_times.push(round(a, of_a));
        b_times.push(round(b, of_b));
    }
    (median(a_times), median(b_times))
}

/// How often the work fits into one round.
fn repeats(work: &mut dyn FnMut()) -> u32 {
    work();
    let start = Instant::now();
    let mut count = 0u32;
    while start.elapsed() < ROUND {
        work();
        count += 1;
    }
    count.max(1)
}

fn round(work: &mut dyn FnMut(), count: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..count {
        work();
    }
    start.elapsed() / count
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Prints one line.
pub fn line(measured: &Measured, taken: Taken) {
    let shown = |time: Duration| match measured.bytes {
        0 => format!("{:.2} us", time.as_secs_f64() * 1e6),
        bytes => format!("{:.2} GB/s", bytes as f64 / time.as_secs_f64() / 1e9),
    };
    println!(
        "{:<56} {:>11} {:>11} {:>7.3} {:>10} B {:>5}",
        measured.name,
        shown(measured.bare),
        shown(measured.ours),
        measured.ratio(),
        taken.peak_bytes,
        taken.calls,
    );
}
