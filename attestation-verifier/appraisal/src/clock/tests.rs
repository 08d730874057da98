//! The state machine against a model of a TPM.

use super::*;
use proptest::prelude::*;

fn at(reset_count: u32, restart_count: u32, clock_ms: u64, safe: bool) -> ClockInfo {
    ClockInfo {
        clock_ms,
        reset_count,
        restart_count,
        safe,
    }
}

const LAST: ClockInfo = ClockInfo {
    clock_ms: 10_000_000,
    reset_count: 3,
    restart_count: 2,
    safe: true,
};

#[test]
fn forward_is_accepted() {
    let cases = [
        (at(3, 2, 10_000_000, true), Continuity::SameBoot),
        (at(3, 2, 10_000_001, false), Continuity::SameBoot),
        (at(3, 3, 10_000_001, true), Continuity::Resumed),
        (at(4, 0, 10_000_001, true), Continuity::Rebooted),
        (at(4, 0, 9_999_999, false), Continuity::Rebooted),
        (
            at(9, 0, 10_000_000 - CLOCK_FALLBACK_MS_MAX, false),
            Continuity::Rebooted,
        ),
    ];
    for (now, expected) in cases {
        assert_eq!(continuity(Some(&LAST), &now), Ok(expected), "{now:?}");
    }
    assert_eq!(continuity(None, &LAST), Ok(Continuity::First));
}

#[test]
fn every_rollback_is_refused_by_name() {
    let refused = |now| continuity(Some(&LAST), &now).unwrap_err().to_string();
    assert!(refused(at(2, 9, 99_000_000, true)).contains("resetCount"));
    assert!(refused(at(3, 1, 99_000_000, true)).contains("restartCount"));
    assert!(refused(at(3, 2, 9_999_999, true)).contains("clock"));
    assert!(refused(at(3, 2, 9_999_999, false)).contains("clock"));
    assert!(refused(at(3, 3, 9_999_999, false)).contains("clock"));
    assert!(refused(at(4, 0, 9_999_999, true)).contains("clock"));
    assert!(refused(at(4, 0, 10_000_000 - CLOCK_FALLBACK_MS_MAX - 1, false)).contains("clock"));
}

#[test]
fn a_step_counts_resets_restarts_and_the_fallback() {
    let step_to = |now| step(Some(&LAST), &now, Reenrolment::None).unwrap();
    let step = |continuity, resets, restarts, fallback_ms| Step {
        continuity,
        resets,
        restarts,
        fallback_ms,
    };
    assert_eq!(
        step_to(at(3, 5, 10_000_000, true)),
        step(Continuity::Resumed, 0, 3, 0)
    );
    assert_eq!(
        step_to(at(5, 1, 9_999_990, false)),
        step(Continuity::Rebooted, 2, 1, 10)
    );
    assert_eq!(
        step_to(at(3, 2, 10_000_007, true)),
        step(Continuity::SameBoot, 0, 0, 0)
    );
}

#[test]
fn a_cleared_tpm_is_refused_unless_it_is_enrolled_again() {
    let cleared = at(0, 0, 5_000, true);
    assert!(continuity(Some(&LAST), &cleared).is_err());
    let again = |now| step(Some(&LAST), &now, Reenrolment::AfterClear).map(|s| s.continuity);
    assert_eq!(again(cleared), Ok(Continuity::Cleared));
    // What needs no excuse gets none.
    assert_eq!(again(at(4, 0, 10_000_001, true)), Ok(Continuity::Rebooted));
    assert_eq!(Reenrolment::default(), Reenrolment::None);
}

/// Clock, counters and non-volatile state of a TPM as part 1, section 36 describes them.
#[derive(Debug, Clone)]
struct Model {
    now: ClockInfo,
    /// What a start after an unorderly shutdown finds.
    stored_ms: u64,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Run(u64),
    /// TPM2_Shutdown(STATE) and a resume or restart.
    Suspend,
    /// TPM2_Shutdown(CLEAR), then a reset.
    Reboot,
    /// Power lost, then a reset.
    PowerLoss,
}

impl Model {
    fn new() -> Self {
        Self {
            now: at(0, 0, 0, true),
            stored_ms: 0,
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Run(ms) => self.run(ms),
            Act::Suspend => {
                self.stored_ms = self.now.clock_ms;
                self.now.restart_count += 1;
            }
            Act::Reboot => {
                self.stored_ms = self.now.clock_ms;
                self.reset();
            }
            Act::PowerLoss => {
                self.now.clock_ms = self.stored_ms;
                self.now.safe = false;
                self.reset();
            }
        }
    }

    fn reset(&mut self) {
        self.now.reset_count += 1;
        self.now.restart_count = 0;
    }

    /// Crossing a multiple of the update interval stores the clock and makes it safe.
    fn run(&mut self, ms: u64) {
        let next = self.now.clock_ms + ms;
        let stored = next / CLOCK_FALLBACK_MS_MAX * CLOCK_FALLBACK_MS_MAX;
        if stored > self.now.clock_ms {
            self.stored_ms = stored;
            self.now.safe = true;
        }
        self.now.clock_ms = next;
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u64..8_000_000).prop_map(Act::Run),
        2 => (0u64..1_000).prop_map(Act::Run),
        1 => Just(Act::Suspend),
        1 => Just(Act::Reboot),
        2 => Just(Act::PowerLoss),
    ]
}

/// The quotes of a history: one after each act that `quoted` names.
fn history(acts: &[(Act, bool)]) -> Vec<ClockInfo> {
    let mut model = Model::new();
    let mut quotes = vec![model.now];
    for (act, quoted) in acts {
        model.act(*act);
        if *quoted {
            quotes.push(model.now);
        }
    }
    quotes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_genuine_history_is_never_refused(acts in prop::collection::vec((act(), any::<bool>()), 1..60)) {
        let mut last = None;
        for now in history(&acts) {
            let step = step(last.as_ref(), &now, Reenrolment::None);
            prop_assert!(step.is_ok(), "{last:?} then {now:?}: {step:?}");
            last = Some(now);
        }
    }

    #[test]
    fn an_older_quote_is_refused_unless_it_says_the_same(
        acts in prop::collection::vec((act(), any::<bool>()), 1..60),
        replayed in any::<prop::sample::Index>(),
    ) {
        let quotes = history(&acts);
        let last = quotes.last().unwrap();
        let old = replayed.get(&quotes);
        let equal = (old.reset_count, old.restart_count, old.clock_ms)
            == (last.reset_count, last.restart_count, last.clock_ms);
        prop_assert_eq!(continuity(Some(last), old).is_ok(), equal, "{:?} after {:?}", old, last);
    }

    #[test]
    fn a_clear_is_always_seen(acts in prop::collection::vec((act(), any::<bool>()), 1..60)) {
        let mut quotes = history(&acts);
        let mut last = quotes.pop().unwrap();
        last.clock_ms += 1;
        let cleared = at(0, 0, 0, true);
        prop_assert!(continuity(Some(&last), &cleared).is_err());
        let again = step(Some(&last), &cleared, Reenrolment::AfterClear).unwrap();
        prop_assert_eq!(again.continuity, Continuity::Cleared);
    }
}
