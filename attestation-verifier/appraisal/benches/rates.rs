//! How close appraisal comes to the signatures and hashes it has to do, in one run.
//!
//! `cargo bench -p assay-appraisal` prints for each pair the time of the bare cryptography, the time of ours, and the
//! ratio. Both sides take turns, so that whatever else the machine does meets both; the median of the rounds counts.
//! Then what an appraisal takes from the heap, and how time grows when the input doubles.
//! `cargo bench -p assay-appraisal -- WORD` runs the groups and inputs with WORD in their name, and with a second word
//! only those of their lines that have it.

mod allocations;
mod harness;
mod subjects;

use harness::{Pair, line};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

fn main() {
    let mut asked = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"));
    let (asked, of_those) = (asked.next(), asked.next());
    let has = |name: &str, word: &Option<String>| word.as_ref().is_none_or(|w| name.contains(w));
    let is_asked = |name: &str| has(name, &asked);
    let (title, heap) = ("one core", "heap peak, calls");
    println!(
        "{title:<56} {:>11} {:>11} {:>7} {heap:>18}",
        "bare", "ours", "ratio"
    );
    for (_, pairs) in subjects::GROUPS.iter().filter(|(name, _)| is_asked(name)) {
        let pairs = pairs().into_iter();
        for mut pair in pairs.filter(|pair| has(&pair.name, &of_those)) {
            // Caches are warm and statics made before anything is counted.
            (pair.ours)();
            let taken = allocations::of(&mut pair.ours);
            line(&Pair::run(pair), taken);
        }
    }
    println!("\ntime for twice the input, divided by time for the input (linear is 2)");
    for (name, measure) in subjects::doubled() {
        if is_asked(name) {
            println!("{name:<56} {:>31.2}", measure().ratio());
        }
    }
}
