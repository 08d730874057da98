//! The offline tools over raw files: each command reads files, runs the checks of `assay-appraisal` and says
//! what came out.

pub mod appraise;
pub mod azure;
pub mod corim;
pub mod ek;
pub mod eventlog;
pub mod ima;
pub mod input;
pub mod snp;
pub mod tpm;

use assay_appraisal::checks::{CheckList, Checks, Mode, Outcome};
use core::fmt::{self, Display};
use serde::Serialize;
use serde_json::Value;

/// How a tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// Every check passed.
    Accepted,
    /// A check failed.
    Rejected,
    /// No check failed, but not everything needed could be decided.
    Undecided,
}

impl Conclusion {
    /// 0, 1 or 2.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Rejected => 1,
            Self::Undecided => 2,
        }
    }
}

/// What a tool found: the JSON form is this struct.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The conclusion.
    pub result: Conclusion,
    /// Every check, in order.
    pub checks: CheckList,
    /// What the input says; proven exactly as far as the checks say.
    pub claims: Value,
}

impl Finding {
    /// One failure rejects; else one undecided check, or no check at all, leaves it undecided.
    pub fn new(checks: Checks, claims: Value) -> Self {
        let checks = checks.into_list();
        let result = if checks.any(Outcome::Fail) {
            Conclusion::Rejected
        } else if checks.any(Outcome::Undecided) || checks.is_empty() {
            Conclusion::Undecided
        } else {
            Conclusion::Accepted
        };
        Self {
            result,
            checks,
            claims,
        }
    }

    /// As [`Self::new`], when the conclusion does not follow from every check alike.
    pub fn concluded(result: Conclusion, checks: CheckList, claims: Value) -> Self {
        Self {
            result,
            checks,
            claims,
        }
    }

    /// What is said when the question itself could not be put: a file or an argument is not usable.
    pub fn unusable(error: &anyhow::Error) -> Self {
        let mut checks = Checks::new(Mode::Explain);
        let expected = "files and arguments that can be read";
        // Explanation goes on after whatever is recorded.
        let _ = checks.record("input", Outcome::Undecided, expected, format!("{error:#}"));
        Self {
            result: Conclusion::Undecided,
            checks: checks.into_list(),
            claims: Value::Object(serde_json::Map::new()),
        }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in self.checks.iter() {
            writeln!(f, "{check}")?;
        }
        let claims = serde_json::to_string_pretty(&self.claims).map_err(|_| fmt::Error)?;
        writeln!(f, "claims: {claims}")?;
        let word = match self.result {
            Conclusion::Accepted => "accepted",
            Conclusion::Rejected => "rejected",
            Conclusion::Undecided => "undecided",
        };
        writeln!(f, "result: {word}")
    }
}
