//! What was checked, with expected and actual: one list and one printer for people and for JSON.

use core::fmt::{self, Write as _};
use serde::{Deserialize, Serialize, Serializer};

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
        CheckView::from(self).fmt(f)
    }
}

impl<'a> From<&'a Check> for CheckView<'a> {
    fn from(check: &'a Check) -> Self {
        Self {
            name: &check.name,
            outcome: check.outcome,
            expected: &check.expected,
            actual: &check.actual,
        }
    }
}

impl fmt::Display for CheckView<'_> {
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

/// Several things, with commas between them when they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, thing) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{thing}")?;
        }
        Ok(())
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

/// One check of a [`CheckList`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CheckView<'a> {
    /// A stable name, such as `quote-signature`.
    pub name: &'a str,
    /// How it ended.
    pub outcome: Outcome,
    /// What had to be found.
    pub expected: &'a str,
    /// What was found.
    pub actual: &'a str,
}

impl CheckView<'_> {
    /// A copy that stands by itself.
    pub fn to_check(&self) -> Check {
        Check {
            name: self.name.into(),
            outcome: self.outcome,
            expected: self.expected.into(),
            actual: self.actual.into(),
        }
    }
}

/// Room made with the first check: an appraisal makes that many, with texts of about so many bytes.
const CHECKS_USUAL: usize = 96;
const TEXT_USUAL: usize = 8 * 1024;

/// Checks, in the order they were made. An appraisal makes about a hundred of them, so their texts are kept in one
/// piece, and a text that was expected and found is kept once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckList {
    /// Name, what was expected and, unless it is the same, what was found, of one check after the other.
    text: String,
    entries: Vec<Entry>,
}

/// Where the texts of a check begin; the last of them ends at `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    outcome: Outcome,
    name: usize,
    expected: usize,
    /// Nothing when it is what was expected.
    actual: Option<usize>,
    end: usize,
}

impl CheckList {
    /// Adds a check; `actual` is nothing when it is what was expected.
    fn push(
        &mut self,
        name: impl fmt::Display,
        outcome: Outcome,
        expected: impl fmt::Display,
        actual: Option<impl fmt::Display>,
    ) {
        if self.entries.is_empty() {
            self.entries.reserve(CHECKS_USUAL);
            self.text.reserve(TEXT_USUAL);
        }
        let name = self.write(name);
        let expected = self.write(expected);
        let actual = actual.map(|actual| self.write(actual));
        self.entries.push(Entry {
            outcome,
            name,
            expected,
            actual,
            end: self.text.len(),
        });
    }

    /// Where the text begins.
    fn write(&mut self, text: impl fmt::Display) -> usize {
        let start = self.text.len();
        // A string takes whatever is written to it; a Display that fails of itself has said what it could.
        let _ = write!(self.text, "{text}");
        start
    }

    fn view(&self, entry: &Entry) -> CheckView<'_> {
        let text = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        let expected = text(entry.expected, entry.actual.unwrap_or(entry.end));
        CheckView {
            name: text(entry.name, entry.expected),
            outcome: entry.outcome,
            expected,
            actual: entry.actual.map_or(expected, |from| text(from, entry.end)),
        }
    }

    /// Each check.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = CheckView<'_>> {
        self.entries.iter().map(|entry| self.view(entry))
    }

    /// The last check.
    pub fn last(&self) -> Option<CheckView<'_>> {
        self.entries.last().map(|entry| self.view(entry))
    }

    /// Adds the checks of another list.
    pub fn append(&mut self, other: &Self) {
        let by = self.text.len();
        self.text.push_str(&other.text);
        self.entries.extend(other.entries.iter().map(|entry| Entry {
            outcome: entry.outcome,
            name: entry.name.saturating_add(by),
            expected: entry.expected.saturating_add(by),
            actual: entry.actual.map(|from| from.saturating_add(by)),
            end: entry.end.saturating_add(by),
        }));
    }

    /// Gives back the room for more, of a list that is kept.
    pub(crate) fn shrunk(mut self) -> Self {
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
        self
    }

    /// Keeps the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.entries.truncate(count);
        self.text
            .truncate(self.entries.last().map_or(0, |entry| entry.end));
    }

    /// Whether one of them ended so.
    pub fn any(&self, outcome: Outcome) -> bool {
        self.entries.iter().any(|entry| entry.outcome == outcome)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no check was made.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How the checks ended that follow the first `from`.
    pub(crate) fn outcomes_from(&self, from: usize) -> impl Iterator<Item = Outcome> + Clone + '_ {
        let entries = self.entries.get(from..).unwrap_or_default();
        entries.iter().map(|entry| entry.outcome)
    }

    /// The first that did not pass, for an error's text.
    pub(crate) fn shown_open(&self) -> String {
        let open = self.first_open();
        open.map_or_else(|| "no check was made".into(), |check| check.to_string())
    }

    /// The first that did not pass.
    pub fn first_open(&self) -> Option<CheckView<'_>> {
        self.iter().find(|check| check.outcome != Outcome::Pass)
    }
}

impl Serialize for CheckList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The checks made so far.
#[derive(Debug, Clone)]
pub struct Checks {
    mode: Mode,
    /// Whether what passed is left out.
    brief: bool,
    list: CheckList,
}

/// The first check that did not pass, in [`Mode::Verify`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: expected {expected}, got {actual}", name = .0.name, expected = .0.expected, actual = .0.actual)]
pub struct Stopped(pub Check);

impl Checks {
    /// No checks yet.
    pub fn new(mode: Mode) -> Self {
        Self::after(CheckList::default(), mode)
    }

    /// To go on after checks that were made before.
    pub fn after(list: CheckList, mode: Mode) -> Self {
        Self {
            mode,
            brief: false,
            list,
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
        name: impl fmt::Display,
        outcome: Outcome,
        expected: impl fmt::Display,
        actual: impl fmt::Display,
    ) -> Result<(), Stopped> {
        self.add(name, outcome, expected, Some(actual))
    }

    /// Records a check that found what was expected.
    fn pass(
        &mut self,
        name: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Result<(), Stopped> {
        self.add(name, Outcome::Pass, expected, None::<&str>)
    }

    fn add(
        &mut self,
        name: impl fmt::Display,
        outcome: Outcome,
        expected: impl fmt::Display,
        actual: Option<impl fmt::Display>,
    ) -> Result<(), Stopped> {
        if self.brief && outcome == Outcome::Pass {
            return Ok(());
        }
        self.list.push(name, outcome, expected, actual);
        match (outcome, self.mode) {
            (Outcome::Pass, _) | (_, Mode::Explain) => Ok(()),
            (_, Mode::Verify) => Err(Stopped(self.last())),
        }
    }

    fn last(&self) -> Check {
        let last = self.list.last();
        last.map_or_else(|| undecided("none"), |check| check.to_check())
    }

    /// Records a pass when `expected == actual`, a fail otherwise.
    pub fn equal<T: fmt::Display + PartialEq>(
        &mut self,
        name: impl fmt::Display,
        expected: T,
        actual: T,
    ) -> Result<(), Stopped> {
        if expected == actual {
            self.pass(name, expected)
        } else {
            self.record(name, Outcome::Fail, expected, actual)
        }
    }

    /// Records a pass with the value's presence, or a fail with the error's text; yields the value.
    pub fn value<T, E: fmt::Display>(
        &mut self,
        name: impl fmt::Display,
        expected: impl fmt::Display,
        result: Result<T, E>,
    ) -> Result<Option<T>, Stopped> {
        match result {
            Ok(value) => {
                self.pass(name, expected)?;
                Ok(Some(value))
            }
            Err(error) => {
                self.record(name, Outcome::Fail, expected, error)?;
                Ok(None)
            }
        }
    }

    /// Adds checks that were made before.
    pub(crate) fn append(&mut self, made: &CheckList) {
        if !self.brief {
            return self.list.append(made);
        }
        for check in made.iter().filter(|check| check.outcome != Outcome::Pass) {
            let (expected, actual) = (check.expected, Some(check.actual));
            self.list.push(check.name, check.outcome, expected, actual);
        }
    }

    /// Runs `work` on a list of its own and adds it here; yields that list with the result.
    pub(crate) fn apart<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Stopped>,
    ) -> Result<(T, CheckList), Stopped> {
        let mut own = Self::new(self.mode);
        let result = work(&mut own);
        self.append(&own.list);
        Ok((result?, own.list))
    }

    /// The first check that did not pass, as an error; named `name` when every one passed.
    pub fn stopped(&self, name: &str) -> Stopped {
        let first = self.list.first_open();
        Stopped(first.map_or_else(|| undecided(name), |check| check.to_check()))
    }

    /// Whether there is a check and all passed; never of brief ones, which do not know.
    pub fn passed(&self) -> bool {
        self.passed_from(0)
    }

    /// The same of the checks that follow the first `from`.
    pub(crate) fn passed_from(&self, from: usize) -> bool {
        let mut made = self.list.outcomes_from(from).peekable();
        made.peek().is_some() && made.all(|outcome| outcome == Outcome::Pass)
    }

    /// The checks, in the order they were made.
    pub fn list(&self) -> &CheckList {
        &self.list
    }

    /// The checks, in the order they were made.
    pub fn into_list(self) -> CheckList {
        self.list
    }
}

fn undecided(name: &str) -> Check {
    Check {
        name: name.into(),
        outcome: Outcome::Undecided,
        expected: "a result".into(),
        actual: "none".into(),
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
    fn lists_are_joined_and_cut_without_a_word_lost_and_kept_without_room_to_spare() {
        let mut first = Checks::new(Mode::Explain);
        first.equal("one", "same", "same").unwrap();
        first.equal("two", "this", "that").unwrap();
        let ((), apart) = first
            .apart(|checks| checks.record("three", Outcome::Undecided, "x", "y"))
            .unwrap();
        let shown = |list: &CheckList| list.iter().map(|c| c.to_string()).collect::<Vec<_>>();
        assert_eq!(shown(&apart), ["undecided three: expected x, got y"]);
        let mut list = first.into_list();
        let expected = [
            "pass      one: expected same, got same",
            "FAIL      two: expected this, got that",
            "undecided three: expected x, got y",
        ];
        assert_eq!(shown(&list), expected);
        list.append(&apart);
        assert_eq!(shown(&list)[3], expected[2]);
        let kept = list.clone().shrunk();
        assert_eq!(kept, list);
        assert!(kept.text.capacity() < 200 && kept.entries.capacity() < 10);
        list.truncate(1);
        assert_eq!(shown(&list), expected[..1]);
        list.append(&apart);
        assert_eq!(shown(&list), [expected[0], expected[2]]);
    }

    #[test]
    fn nothing_checked_is_not_passed() {
        let mut checks = Checks::new(Mode::Verify);
        assert!(!checks.passed());
        checks.equal("one", 1, 1).unwrap();
        assert!(checks.passed());
    }

    #[test]
    fn a_list_knows_which_outcomes_are_in_it() {
        let empty = CheckList::default();
        assert!(empty.is_empty() && !empty.any(Outcome::Pass));
        let mut checks = Checks::new(Mode::Explain);
        checks.equal("one", 1, 1).unwrap();
        let list = checks.into_list();
        assert!(!list.is_empty());
        assert!(list.any(Outcome::Pass) && !list.any(Outcome::Fail));
        assert!(!list.any(Outcome::Undecided));
    }

    #[test]
    fn brief_checks_take_only_what_did_not_pass_from_others() {
        let mut made = Checks::new(Mode::Explain);
        made.equal("one", 1, 1).unwrap();
        made.equal("two", 1, 2).unwrap();
        let made = made.into_list();
        let mut brief = Checks::brief();
        brief.append(&made);
        let names: Vec<_> = brief.list().iter().map(|check| check.name).collect();
        assert_eq!(names, ["two"]);
        let mut whole = Checks::new(Mode::Explain);
        whole.append(&made);
        assert_eq!(whole.list().len(), 2);
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
