//! What was checked, with expected and actual: one list and one printer for people and for JSON.

use core::fmt;
use serde::{Deserialize, Serialize};

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// It could not be decided from what is there; counts as not passed.
    Undecided,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// A stable name, such as `quote-signature`.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What had to be found.
    pub expected: String,
    /// What was found.
    pub actual: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.outcome {
            Outcome::Pass => "pass",
            Outcome::Fail => "FAIL",
            Outcome::Undecided => "undecided",
        };
        write!(
            f,
            "{word:<9} {}: expected {}, got {}",
            self.name, self.expected, self.actual
        )
    }
}

/// Bytes, compared as they are and shown in hexadecimal only when they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assay_protocol::ids::write_hex(f, self.0)
    }
}

/// Whether to go on after a check that did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Stop at the first: what production runs.
    Verify,
    /// Run everything that can still be run: what people read.
    Explain,
}

/// The checks made so far.
#[derive(Debug, Clone)]
pub struct Checks {
    mode: Mode,
    /// Whether what passed is left out.
    brief: bool,
    list: Vec<Check>,
}

/// The first check that did not pass, in [`Mode::Verify`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: expected {expected}, got {actual}", name = .0.name, expected = .0.expected, actual = .0.actual)]
pub struct Stopped(pub Check);

impl Checks {
    /// No checks yet.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            brief: false,
            list: Vec::new(),
        }
    }

    /// As [`Mode::Verify`], for whoever wants the result alone: what passes is neither written down nor counted.
    pub(crate) fn brief() -> Self {
        Self {
            brief: true,
            ..Self::new(Mode::Verify)
        }
    }

    /// Records a check; an error means: stop here.
    pub fn record(
        &mut self,
        name: &str,
        outcome: Outcome,
        expected: impl fmt::Display,
        actual: impl fmt::Display,
    ) -> Result<(), Stopped> {
        if self.brief && outcome == Outcome::Pass {
            return Ok(());
        }
        let check = Check {
            name: name.into(),
            outcome,
            expected: expected.to_string(),
            actual: actual.to_string(),
        };
        let result = match (outcome, self.mode) {
            (Outcome::Pass, _) | (_, Mode::Explain) => Ok(()),
            (_, Mode::Verify) => Err(Stopped(check.clone())),
        };
        self.list.push(check);
        result
    }

    /// Records a pass when `expected == actual`, a fail otherwise.
    pub fn equal<T: fmt::Display + PartialEq>(
        &mut self,
        name: &str,
        expected: T,
        actual: T,
    ) -> Result<(), Stopped> {
        let outcome = if expected == actual {
            Outcome::Pass
        } else {
            Outcome::Fail
        };
        self.record(name, outcome, expected, actual)
    }

    /// Records a pass with the value's presence, or a fail with the error's text; yields the value.
    pub fn value<T, E: fmt::Display>(
        &mut self,
        name: &str,
        expected: impl fmt::Display,
        result: Result<T, E>,
    ) -> Result<Option<T>, Stopped> {
        match result {
            Ok(value) => {
                self.record(name, Outcome::Pass, &expected, &expected)?;
                Ok(Some(value))
            }
            Err(error) => {
                self.record(name, Outcome::Fail, expected, error)?;
                Ok(None)
            }
        }
    }

    /// The first check that did not pass, as an error; named `name` when every one passed.
    pub fn stopped(&self, name: &str) -> Stopped {
        let first = self
            .list
            .iter()
            .find(|check| check.outcome != Outcome::Pass);
        Stopped(first.cloned().unwrap_or_else(|| Check {
            name: name.into(),
            outcome: Outcome::Undecided,
            expected: "a result".into(),
            actual: "none".into(),
        }))
    }

    /// Whether there is a check and all passed; never of brief ones, which do not know.
    pub fn passed(&self) -> bool {
        !self.list.is_empty() && self.list.iter().all(|c| c.outcome == Outcome::Pass)
    }

    /// The checks, in the order they were made.
    pub fn list(&self) -> &[Check] {
        &self.list
    }

    /// The checks, in the order they were made.
    pub fn into_list(self) -> Vec<Check> {
        self.list
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list
            .iter()
            .try_for_each(|check| writeln!(f, "{check}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_stops_at_the_first_failure_and_explain_goes_on() {
        let mut verify = Checks::new(Mode::Verify);
        verify.equal("one", 1, 1).unwrap();
        let stopped = verify.equal("two", 1, 2).unwrap_err();
        assert_eq!(stopped.to_string(), "two: expected 1, got 2");
        let mut explain = Checks::new(Mode::Explain);
        explain.equal("two", 1, 2).unwrap();
        explain
            .record("three", Outcome::Undecided, "x", "nothing")
            .unwrap();
        assert_eq!(explain.list().len(), 2);
        assert!(!explain.passed() && verify.list().len() == 2);
    }

    #[test]
    fn what_stopped_is_the_first_that_did_not_pass() {
        let mut checks = Checks::new(Mode::Explain);
        assert_eq!(checks.stopped("none").0.name, "none");
        checks.equal("one", 1, 1).unwrap();
        checks.equal("two", 1, 2).unwrap();
        checks.equal("three", 1, 2).unwrap();
        assert_eq!(checks.stopped("none").0.name, "two");
    }

    #[test]
    fn nothing_checked_is_not_passed() {
        let mut checks = Checks::new(Mode::Verify);
        assert!(!checks.passed());
        checks.equal("one", 1, 1).unwrap();
        assert!(checks.passed());
    }

    #[test]
    fn brief_checks_stop_as_others_do_and_never_say_that_all_passed() {
        let mut brief = Checks::brief();
        brief.equal("one", 1, 1).unwrap();
        assert!(brief.list().is_empty() && !brief.passed());
        let stopped = brief.equal("two", 1, 2).unwrap_err();
        assert_eq!(stopped.to_string(), "two: expected 1, got 2");
        assert!(brief.record("three", Outcome::Undecided, "x", "y").is_err());
    }

    #[test]
    fn undecided_stops_verification() {
        let mut checks = Checks::new(Mode::Verify);
        assert!(checks.record("a", Outcome::Undecided, "b", "c").is_err());
    }

    #[test]
    fn json_and_text_show_expected_and_actual() {
        let mut checks = Checks::new(Mode::Explain);
        checks
            .value("parse", "a quote", Err::<(), _>("garbage"))
            .unwrap();
        assert_eq!(
            checks.to_string(),
            "FAIL      parse: expected a quote, got garbage\n"
        );
        let json = serde_json::to_string(checks.list()).unwrap();
        assert_eq!(
            json,
            r#"[{"name":"parse","outcome":"fail","expected":"a quote","actual":"garbage"}]"#
        );
    }
}
