//! When breaches of a node become a slash: never from one epoch, unless the network says 1 of 1.
//!
//! ```text
//! watching   in each of the last n epochs a breach or not; void and missing epochs are none
//!            m breaches in the window ──▶ slash at once where the network has no re-audit, and the window is emptied
//!                                     ──▶ else on trial from epoch + 2 on, whose beacon was unknown at the breach
//! on trial   each epoch is judged by the re-audit committee
//!            breach            ──▶ slash; the window is emptied
//!            pass or warned    ──▶ clean; n clean epochs dismiss, and the window is emptied
//!            inconclusive, none──▶ nothing: no data neither convicts nor acquits
//! ```
//!
//! Panels are drawn anew by each epoch's beacon, so m breaches of availability are seen by independent ones. Attestation and
//! chase are judged by everybody's capped weight, or by the seats of a re-audit where those are drawn. A trial takes n epochs and not one, or whoever behaves in the one epoch it knows to be watched is free.
//! A slash is one slash of the class, however many breaches led to it. 1 of 1 without re-audit slashes every breach.

use crate::verdict::Verdict;
use assay_protocol::ids::Epoch;
use assay_protocol::params::NetworkParams;

/// Longest window in epochs.
pub const WINDOW_MAX: u32 = u64::BITS;

/// Epochs from the last breach needed to the first epoch of the trial: the first beacon that depends on seeds which
/// were not yet revealed.
const TRIAL_AFTER: u64 = 2;

/// m of n, and whether a re-audit must confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Breaches needed, m.
    pub breaches: u32,
    /// Epochs looked at, n, at most [`WINDOW_MAX`].
    pub window: u32,
    /// Whether a re-audit must confirm.
    pub reaudit: bool,
}

/// What is remembered of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// The last epoch judged.
    last: Option<Epoch>,
    /// Bit i: a breach i epochs before the last.
    recent: u64,
    trial: Option<Trial>,
}

/// A re-audit in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trial {
    /// The first epoch that counts.
    from: Epoch,
    /// Epochs that were clean so far.
    clean: u32,
}

impl Rule {
    /// The rule of a network.
    pub fn of(params: &NetworkParams) -> Self {
        let (breaches, window) = params.persistence;
        let reaudit = params.reaudit_seats > 0;
        Self {
            breaches,
            window,
            reaudit,
        }
    }

    /// Whether every breach is slashed by itself, so that no history matters.
    pub fn is_immediate(&self) -> bool {
        self.breaches == 1 && !self.reaudit
    }
}

impl Record {
    /// Whether the re-audit committee judges the node in `epoch`.
    pub fn on_trial(&self, epoch: Epoch) -> bool {
        self.trial.is_some_and(|trial| epoch >= trial.from)
    }

    /// Breaches in the window that ends with the last epoch judged.
    pub fn breaches(&self) -> u32 {
        self.recent.count_ones()
    }

    /// Whether nothing is left to be slashed or tried.
    pub fn is_clean(&self) -> bool {
        self.recent == 0 && self.trial.is_none()
    }

    /// The record after an epoch's verdict, and whether the class's slash is due. An epoch that is not after the last
    /// one changes nothing.
    pub fn observe(self, rule: &Rule, epoch: Epoch, verdict: Verdict) -> (Self, bool) {
        if self.last.is_some_and(|last| epoch <= last) {
            return (self, false);
        }
        let seen = Self {
            last: Some(epoch),
            recent: self.shifted(rule, epoch, verdict),
            trial: self.trial,
        };
        let empty = Self {
            recent: 0,
            trial: None,
            ..seen
        };
        match self.trial {
            Some(trial) if epoch >= trial.from => match verdict {
                Verdict::Breach => (empty, true),
                Verdict::Inconclusive => (seen, false),
                Verdict::Pass | Verdict::Warned => (trial.clean_epoch(rule, seen, empty), false),
            },
            Some(_) => (seen, false),
            None if seen.breaches() < rule.breaches.max(1) => (seen, false),
            None if rule.reaudit => (seen.tried_after(epoch), false),
            None => (empty, true),
        }
    }

    fn shifted(&self, rule: &Rule, epoch: Epoch, verdict: Verdict) -> u64 {
        let gone = self.last.map_or(0, |last| epoch.0.saturating_sub(last.0));
        let gone = u32::try_from(gone).unwrap_or(u32::MAX);
        let shifted = self.recent.checked_shl(gone).unwrap_or(0);
        let window = u64::MAX
            .checked_shr(WINDOW_MAX.saturating_sub(rule.window))
            .unwrap_or(0);
        (shifted | u64::from(verdict == Verdict::Breach)) & window
    }

    fn tried_after(self, epoch: Epoch) -> Self {
        let from = Epoch(epoch.0.saturating_add(TRIAL_AFTER));
        let trial = Some(Trial { from, clean: 0 });
        Self { trial, ..self }
    }
}

impl Trial {
    fn clean_epoch(self, rule: &Rule, seen: Record, dismissed: Record) -> Record {
        let clean = self.clean.saturating_add(1);
        if clean >= rule.window {
            return dismissed;
        }
        let trial = Some(Trial { clean, ..self });
        Record { trial, ..seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Breach, Inconclusive, Pass, Warned};
    use proptest::prelude::*;

    const THREE_OF_SIX: Rule = Rule {
        breaches: 3,
        window: 6,
        reaudit: false,
    };
    const WITH_REAUDIT: Rule = Rule {
        reaudit: true,
        ..THREE_OF_SIX
    };

    /// Epochs in which a slash was due.
    fn slashes(rule: &Rule, verdicts: &[(u64, Verdict)]) -> Vec<u64> {
        let mut record = Record::default();
        let mut due = Vec::new();
        for (epoch, verdict) in verdicts {
            let (next, slash) = record.observe(rule, Epoch(*epoch), *verdict);
            record = next;
            due.extend(slash.then_some(*epoch));
        }
        due
    }

    fn run(rule: &Rule, verdicts: &[Verdict]) -> Vec<u64> {
        let numbered: Vec<_> = (0..).zip(verdicts.iter().copied()).collect();
        slashes(rule, &numbered)
    }

    #[test]
    fn one_of_one_slashes_every_breach() {
        let rule = Rule {
            breaches: 1,
            window: 1,
            reaudit: false,
        };
        assert!(rule.is_immediate() && !WITH_REAUDIT.is_immediate());
        assert_eq!(run(&rule, &[Breach, Breach, Pass, Breach]), [0, 1, 3]);
    }

    #[test]
    fn three_of_six_and_not_one_less() {
        assert_eq!(run(&THREE_OF_SIX, &[Breach, Breach, Pass, Pass, Pass]), []);
        let just = [Breach, Pass, Pass, Breach, Pass, Breach];
        assert_eq!(run(&THREE_OF_SIX, &just), [5]);
        // The first breach has left the window.
        let late = [Breach, Pass, Pass, Breach, Pass, Pass, Breach];
        assert_eq!(run(&THREE_OF_SIX, &late), []);
    }

    #[test]
    fn the_same_breaches_are_slashed_once() {
        let breaches = [Breach; 7];
        assert_eq!(run(&THREE_OF_SIX, &breaches), [2, 5]);
    }

    #[test]
    fn void_epochs_pass_time_and_are_no_breach() {
        let verdicts = [(0, Breach), (1, Breach), (5, Breach)];
        assert_eq!(slashes(&THREE_OF_SIX, &verdicts), [5]);
        let verdicts = [(0, Breach), (1, Breach), (6, Breach)];
        assert_eq!(slashes(&THREE_OF_SIX, &verdicts), []);
        let verdicts = [(0, Breach), (1, Breach), (u64::MAX, Breach)];
        assert_eq!(slashes(&THREE_OF_SIX, &verdicts), []);
    }

    #[test]
    fn an_epoch_counts_once_and_never_backwards() {
        let verdicts = [
            (3, Breach),
            (3, Breach),
            (3, Breach),
            (2, Breach),
            (1, Breach),
        ];
        assert_eq!(slashes(&THREE_OF_SIX, &verdicts), []);
    }

    #[test]
    fn a_trial_starts_two_epochs_later_and_convicts_by_a_breach() {
        let mut record = Record::default();
        for epoch in 0..3 {
            let (next, slash) = record.observe(&WITH_REAUDIT, Epoch(epoch), Breach);
            assert!(!slash);
            record = next;
        }
        assert!(!record.on_trial(Epoch(3)) && record.on_trial(Epoch(4)));
        // Epoch 3 has a beacon that was known at the breach: it does not convict.
        let (record, slash) = record.observe(&WITH_REAUDIT, Epoch(3), Breach);
        assert!(!slash);
        let (record, slash) = record.observe(&WITH_REAUDIT, Epoch(4), Breach);
        assert!(slash && !record.on_trial(Epoch(5)));
        assert_eq!(record.breaches(), 0);
    }

    #[test]
    fn clean_epochs_dismiss_only_after_the_whole_window() {
        let mut verdicts = vec![Breach, Breach, Breach, Pass];
        verdicts.extend([Pass, Warned, Pass, Pass, Pass]);
        let hiding = [verdicts.clone(), vec![Breach]].concat();
        assert_eq!(run(&WITH_REAUDIT, &hiding), [9]);
        let dismissed = [verdicts, vec![Pass, Breach]].concat();
        assert_eq!(run(&WITH_REAUDIT, &dismissed), []);
    }

    #[test]
    fn silence_neither_convicts_nor_acquits() {
        let mut verdicts = vec![Breach, Breach, Breach];
        verdicts.extend([Inconclusive; 40]);
        assert_eq!(run(&WITH_REAUDIT, &verdicts), []);
        verdicts.push(Breach);
        assert_eq!(run(&WITH_REAUDIT, &verdicts), [43]);
    }

    #[test]
    fn the_widest_window_holds_and_a_wider_one_is_no_panic() {
        let rule = |window| Rule {
            breaches: 2,
            window,
            reaudit: false,
        };
        assert_eq!(slashes(&rule(64), &[(0, Breach), (63, Breach)]), [63]);
        assert_eq!(slashes(&rule(64), &[(0, Breach), (64, Breach)]), []);
        assert_eq!(slashes(&rule(65), &[(0, Breach), (64, Breach)]), []);
        assert_eq!(slashes(&rule(0), &[(0, Breach), (1, Breach)]), []);
    }

    proptest! {
        /// Without re-audit a slash needs m breaches since the last slash, all within the last n epochs.
        #[test]
        fn every_slash_has_its_own_breaches(
            steps in proptest::collection::vec((1u64..4, 0u8..4), 0..60), m in 1u32..4, extra in 0u32..4,
        ) {
            let rule = Rule { breaches: m, window: m + extra, reaudit: false };
            let mut epoch = 0;
            let numbered: Vec<_> = steps
                .iter()
                .map(|(step, code)| {
                    epoch += step;
                    (epoch, Verdict::from_code(*code).unwrap())
                })
                .collect();
            let mut after = 0;
            let due = slashes(&rule, &numbered);
            for (at, verdict) in &numbered {
                let since = (after + 1).max((at + 1).saturating_sub(u64::from(rule.window)));
                let own = numbered
                    .iter()
                    .filter(|(e, v)| *v == Breach && (since..=*at).contains(e))
                    .count();
                prop_assert_eq!(due.contains(at), own >= m as usize, "{} {:?}", at, verdict);
                if due.contains(at) {
                    after = *at;
                }
            }
        }
    }
}
