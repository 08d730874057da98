//! How close appraisal comes to the signatures and hashes it has to do, in one run.
//!
//! `cargo bench -p assay-appraisal` prints for each pair the time of the bare cryptography, the time of ours, and the
//! ratio. Both sides take turns, so that whatever else the machine does meets both; the median of the rounds counts.

mod harness;
mod subjects;

use harness::line;

fn main() {
    println!("{:<44} {:>12} {:>12} {:>8}", "", "bare", "ours", "ratio");
    for pair in subjects::all() {
        line(&pair.run());
    }
    println!("\ntime for twice the input, divided by time for the input (linear is 2)");
    for (name, grown) in subjects::doubled() {
        println!("{name:<44} {:>33.2}", grown.ratio());
    }
}
