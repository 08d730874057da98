//! The table a person reads.

use super::Summary;
use std::fmt::Write as _;

/// Renders the summary with its footnotes.
pub fn render(summary: &Summary) -> String {
    let mut out = String::from(
        "\nnode        tier  availability (lower bound, coverage)  chase reads/s      verdict                 reward gwei  slashed gwei\n",
    );
    for node in &summary.nodes {
        let availability = format!(
            "{} ({}, {})",
            percent(node.availability_ppm),
            percent(node.lower_ppm),
            percent(node.coverage_ppm)
        );
        let chase = format!("{} {}", node.chase_rate, node.chase_kind);
        let mut verdict = node.verdict.clone();
        if !node.reasons.is_empty() {
            let _ = write!(verdict, ": {}", node.reasons.join(", "));
        }
        let _ = writeln!(
            out,
            "{:<11} {:<5} {availability:<37} {chase:<18} {verdict:<23} {:>11}  {:>12}",
            node.label, node.tier, node.reward, node.slashed
        );
    }
    out.push_str(
        "\ntier 1, never 2: the TPMs are software under a test root that only this network's trust bundle allows, and nothing\n\
         here measures everything that can reach the TPM (ARCHITECTURE section 7); tier 0: the quoted PCRs are not the class's.\n\
         chase counts as liveness: the regions are far smaller than the memory that may cache them, so the rate says that\n\
         the node reads its region, not how fast its disk is.\n\
         slashed: held in escrow until the dispute window closes.\n",
    );
    out
}

fn percent(ppm: u64) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}
