//! What an audit found: every check with what had to be there and what was there.

use core::fmt::{self, Display};
use serde::Serialize;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// The bundle contradicts it.
    Fail,
    /// The bundle does not hold what is needed to decide it.
    Undecided,
    /// Never decided here, and said so by name; it does not count for the result.
    NotChecked,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name: `<stage>/<check>`.
    pub name: String,
    /// What it speaks of: an epoch, a HyperNode, an outcome.
    pub about: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What had to be found.
    pub expected: String,
    /// What was found.
    pub actual: String,
}

impl Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.outcome {
            Outcome::Pass => "pass",
            Outcome::Fail => "FAIL",
            Outcome::Undecided => "undecided",
            Outcome::NotChecked => "not checked",
        };
        let Self {
            name,
            about,
            expected,
            actual,
            ..
        } = self;
        write!(
            f,
            "{word:<11} {name} ({about}): expected {expected}, got {actual}"
        )
    }
}

/// What the bundle is worth as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// The claimed verdicts, good or bad, follow from the evidence.
    Reproduced,
    /// The evidence contradicts the claim.
    Contradicted,
    /// It cannot be decided from what is there.
    Undecided,
}

impl Conclusion {
    /// The exit code of `assay-audit verify`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Reproduced => 0,
            Self::Contradicted => 1,
            Self::Undecided => 2,
        }
    }
}

/// All checks made, in order.
#[derive(Debug, Default)]
pub struct Findings(Vec<Check>);

impl Findings {
    /// Records a check; whether it passed.
    pub fn record(
        &mut self,
        (name, about): (&str, &str),
        outcome: Outcome,
        expected: impl Display,
        actual: impl Display,
    ) -> bool {
        self.0.push(Check {
            name: name.into(),
            about: about.into(),
            outcome,
            expected: expected.to_string(),
            actual: actual.to_string(),
        });
        outcome == Outcome::Pass
    }

    /// Passes when `ok`, fails otherwise.
    pub fn holds(
        &mut self,
        at: (&str, &str),
        ok: bool,
        expected: impl Display,
        actual: impl Display,
    ) -> bool {
        let outcome = if ok { Outcome::Pass } else { Outcome::Fail };
        self.record(at, outcome, expected, actual)
    }

    /// Passes when `ok`; `expected` says it all.
    pub fn plain(&mut self, at: (&str, &str), ok: bool, expected: &str) -> bool {
        self.holds(at, ok, expected, if ok { "it" } else { "something else" })
    }

    /// Passes when both are equal.
    pub fn equal<T: Display + PartialEq>(
        &mut self,
        at: (&str, &str),
        expected: T,
        actual: T,
    ) -> bool {
        self.holds(at, expected == actual, expected, actual)
    }

    /// Passes with the value, or fails with the error.
    pub fn value<T, E: Display>(
        &mut self,
        at: (&str, &str),
        expected: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.record(at, Outcome::Pass, expected, "it");
                Some(value)
            }
            Err(error) => {
                self.record(at, Outcome::Fail, expected, error);
                None
            }
        }
    }

    /// What is needed is not there.
    pub fn undecided(&mut self, at: (&str, &str), expected: impl Display, actual: impl Display) {
        self.record(at, Outcome::Undecided, expected, actual);
    }

    /// Named, and never decided here.
    pub fn not_checked(&mut self, at: (&str, &str), expected: impl Display, actual: impl Display) {
        self.record(at, Outcome::NotChecked, expected, actual);
    }

    /// The checks, in order.
    pub fn list(&self) -> &[Check] {
        &self.0
    }

    /// One contradiction is enough; then one gap is.
    pub fn conclusion(&self) -> Conclusion {
        let any = |outcome| self.0.iter().any(|check| check.outcome == outcome);
        if any(Outcome::Fail) {
            Conclusion::Contradicted
        } else if any(Outcome::Undecided) || !any(Outcome::Pass) {
            Conclusion::Undecided
        } else {
            Conclusion::Reproduced
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_contradicts_one_gap_leaves_undecided_and_nothing_is_no_proof() {
        let mut findings = Findings::default();
        assert_eq!(findings.conclusion(), Conclusion::Undecided);
        findings.not_checked(("a/b", "x"), 1, 2);
        assert_eq!(findings.conclusion(), Conclusion::Undecided);
        assert!(findings.equal(("a/b", "x"), 1, 1));
        assert_eq!(findings.conclusion(), Conclusion::Reproduced);
        findings.undecided(("a/c", "x"), "it", "nothing");
        assert_eq!(findings.conclusion(), Conclusion::Undecided);
        assert!(!findings.equal(("a/d", "x"), 1, 2));
        assert_eq!(findings.conclusion(), Conclusion::Contradicted);
        assert_eq!(
            findings.list()[3].to_string(),
            "FAIL        a/d (x): expected 1, got 2"
        );
    }
}
