//! The table of attacks: what was done to a machine, what had to be seen, and what was.
//!
//! Each trial leaves a line in `target/attacks/`; `tools/attacks.sh` prints them together after the tests.

use crate::trial::Seen;
use assay_protocol::outcome::OutcomeClass;
use std::fs;
use std::path::Path;

/// One trial.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name, which is the file's.
    name: &'static str,
    /// Whether the machine is honest: then anything but a pass is a false alarm.
    honest: bool,
    /// What was done.
    done: &'static str,
    /// What had to be seen.
    expected: &'static str,
}

impl Row {
    /// Something done to a machine that has to be seen.
    pub fn attack(name: &'static str, done: &'static str, expected: &'static str) -> Self {
        Self {
            name,
            honest: false,
            done,
            expected,
        }
    }

    /// An honest machine, that nothing must be seen on.
    pub fn honest(name: &'static str, done: &'static str, expected: &'static str) -> Self {
        Self {
            honest: true,
            ..Self::attack(name, done, expected)
        }
    }

    /// Writes the line; fails the test when `as_expected` is false.
    #[track_caller]
    pub fn seen(self, seen: &str, as_expected: bool) {
        let kind = if self.honest { "honest" } else { "attack" };
        let result = match (self.honest, as_expected) {
            (_, true) => "as expected",
            (true, false) => "FALSE ALARM",
            (false, false) => "MISSED",
        };
        let seen: String = seen.replace(['\t', '\n'], " ").chars().take(300).collect();
        let line = [kind, result, self.done, self.expected, &seen].join("\t");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/attacks");
        let written = fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join(self.name), line + "\n"));
        written.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        assert!(
            as_expected,
            "{}: {result}: expected {}, seen {seen}",
            self.name, self.expected
        );
    }

    /// An honest machine that reaches `tier`.
    #[track_caller]
    pub fn passes(self, tier: u64, seen: &Seen) {
        let good = seen.class == OutcomeClass::Pass && seen.tier == Some(tier);
        self.seen(&seen.to_string(), good);
    }

    /// The attestation fails, and what is said names the check.
    #[track_caller]
    pub fn fails(self, check: &str, seen: &Seen) {
        let caught = seen.class == OutcomeClass::Fail && seen.tier == Some(0);
        self.seen(&seen.to_string(), caught && seen.detail.contains(check));
    }

    /// The machine proves less: not tier 2, and what is said names the check.
    #[track_caller]
    pub fn stays_below_tier_2(self, check: &str, seen: &Seen) {
        let below = seen.tier.is_none_or(|tier| tier < 2);
        self.seen(&seen.to_string(), below && seen.detail.contains(check));
    }

    /// Nothing is concluded and nothing earned.
    #[track_caller]
    pub fn earns_nothing(self, why: &str, seen: &Seen) {
        let nothing =
            seen.class == OutcomeClass::Inconclusive && seen.tier.is_none_or(|tier| tier == 0);
        self.seen(&seen.to_string(), nothing && seen.detail.contains(why));
    }
}
