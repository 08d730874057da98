//! The one printer of audits for people.

use crate::audit::{Audit, EpochVerdict};
use crate::findings::{Check, Conclusion, Outcome};
use core::fmt::{self, Display};

/// Most checks of one kind printed; `--json` has them all.
const SHOWN_MAX: usize = 40;

/// An audit as people read it: verdicts, what did not pass, the result, and what to do.
pub struct Human<'a>(pub &'a Audit);

impl Display for Human<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Audit {
            result,
            checks,
            verdicts,
        } = self.0;
        table(f, verdicts)?;
        for outcome in [Outcome::Fail, Outcome::Undecided] {
            listed(f, checks, outcome)?;
        }
        let count = |outcome| {
            checks
                .iter()
                .filter(|check| check.outcome == outcome)
                .count()
        };
        writeln!(
            f,
            "{} checks passed, {} failed, {} undecided, {} named but not checked here",
            count(Outcome::Pass),
            count(Outcome::Fail),
            count(Outcome::Undecided),
            count(Outcome::NotChecked)
        )?;
        writeln!(f, "{}", sentence(*result))
    }
}

fn table(f: &mut fmt::Formatter<'_>, verdicts: &[EpochVerdict]) -> fmt::Result {
    if verdicts.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "{:>6}  {:<12} {:>4} {:>12} {:>12} {:>12} {:>8} {:<8}  recomputed  reasons",
        "epoch", "verdict", "tier", "available", "lower", "coverage", "reads/s", "kind"
    )?;
    for verdict in verdicts {
        let EpochVerdict {
            epoch,
            verdict: word,
            tier,
            chase_rate,
            chase_kind,
            ..
        } = verdict;
        writeln!(
            f,
            "{epoch:>6}  {word:<12} {tier:>4} {:>12} {:>12} {:>12} {chase_rate:>8} {chase_kind:<8}  {:<10}  {}",
            percent(verdict.availability_ppm),
            percent(verdict.lower_ppm),
            percent(verdict.coverage_ppm),
            if verdict.reproduced { "yes" } else { "no" },
            verdict.reasons.join(", ")
        )?;
    }
    basis(f, verdicts)
}

/// Where the numbers come from, once when all epochs agree.
fn basis(f: &mut fmt::Formatter<'_>, verdicts: &[EpochVerdict]) -> fmt::Result {
    let mut last = None;
    for verdict in verdicts {
        if last != Some(&verdict.basis) {
            let parts = verdict
                .basis
                .iter()
                .map(|basis| format!("{}: {}", basis.number, basis.from));
            writeln!(
                f,
                "from epoch {}: {}",
                verdict.epoch,
                parts.collect::<Vec<_>>().join("; ")
            )?;
        }
        last = Some(&verdict.basis);
    }
    Ok(())
}

fn percent(ppm: u128) -> String {
    format!("{}.{:04} %", ppm / 10_000, ppm % 10_000)
}

fn listed(f: &mut fmt::Formatter<'_>, checks: &[Check], outcome: Outcome) -> fmt::Result {
    let all: Vec<&Check> = checks
        .iter()
        .filter(|check| check.outcome == outcome)
        .collect();
    for check in all.iter().take(SHOWN_MAX) {
        writeln!(f, "{check}")?;
    }
    match all.len().checked_sub(SHOWN_MAX) {
        Some(more @ 1..) => writeln!(f, "… and {more} more of these (--json lists all)"),
        _ => Ok(()),
    }
}

fn sentence(result: Conclusion) -> &'static str {
    match result {
        Conclusion::Reproduced => {
            "result: reproduced: the claimed verdicts follow from the evidence"
        }
        Conclusion::Contradicted => {
            "result: contradicted: the evidence contradicts the claim\nhint: the first FAIL above says where; ask for the bundle again, and dispute the epoch if it says the same"
        }
        Conclusion::Undecided => {
            "result: undecided\nhint: give --trust FILE and a complete bundle of whole region periods; the undecided checks above say what is missing"
        }
    }
}
