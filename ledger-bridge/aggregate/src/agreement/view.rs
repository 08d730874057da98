//! What one HyperNode has seen of commits and reveals, and when: which lists it may vote for.

use super::{Arrival, Entry};
use assay_protocol::ids::{Digest, HyperNodeId};
use std::collections::{BTreeMap, BTreeSet};

/// Most commits of one HyperNode remembered; two already prove that it equivocates.
pub const COMMITS_MAX: usize = 2;

/// Commits and reveals of an epoch as they arrived here.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    members: BTreeSet<HyperNodeId>,
    /// What a commit that is seen now is.
    now: Arrival,
    reveals_due: bool,
    seen: BTreeMap<HyperNodeId, Vec<Seen>>,
    equivocators: BTreeSet<HyperNodeId>,
}

/// A commit and when it and its reveal arrived.
#[derive(Debug, Clone, Copy)]
struct Seen {
    commit: Digest,
    arrival: Arrival,
    revealed: bool,
    reveal_in_time: bool,
}

impl View {
    /// Nothing seen yet; only `members` will be.
    pub(super) fn of(members: BTreeSet<HyperNodeId>) -> Self {
        Self {
            members,
            ..Self::default()
        }
    }

    /// Commits that are seen from now on have arrived so, or later.
    pub(super) fn commits_are(&mut self, arrival: Arrival) {
        self.now = self.now.max(arrival);
    }

    pub(super) fn reveals_due(&mut self) {
        self.reveals_due = true;
    }

    /// From now on nothing more becomes required, so lists can be judged.
    pub(super) fn is_complete(&self) -> bool {
        self.reveals_due
    }

    /// Who was seen to contradict itself.
    pub(super) fn equivocators(&self) -> &BTreeSet<HyperNodeId> {
        &self.equivocators
    }

    pub(super) fn equivocated(&mut self, who: HyperNodeId) {
        self.equivocators.insert(who);
    }

    pub(super) fn commit(&mut self, entry: Entry) {
        self.commit_seen(entry, self.now);
    }

    /// The first time that a commit was seen counts.
    pub(super) fn commit_seen(&mut self, entry: Entry, arrival: Arrival) {
        if !self.members.contains(&entry.hypernode) {
            return;
        }
        let commits = self.seen.entry(entry.hypernode).or_default();
        if commits.len() >= COMMITS_MAX || commits.iter().any(|seen| seen.commit == entry.commit) {
            return;
        }
        if !commits.is_empty() {
            self.equivocators.insert(entry.hypernode);
        }
        commits.push(Seen {
            commit: entry.commit,
            arrival,
            revealed: false,
            reveal_in_time: false,
        });
    }

    pub(super) fn reveal(&mut self, entry: Entry) {
        self.commit(entry);
        let in_time = !self.reveals_due;
        let commits = self.seen.get_mut(&entry.hypernode).into_iter().flatten();
        for seen in commits.filter(|seen| seen.commit == entry.commit && !seen.revealed) {
            seen.revealed = true;
            seen.reveal_in_time = in_time;
        }
    }

    /// Whether every entry can be opened.
    pub(super) fn opens(&self, list: &[Entry]) -> bool {
        let opened = |entry: &Entry| self.find(entry).is_some_and(|seen| seen.revealed);
        list.iter().all(opened)
    }

    /// Whether every entry can be opened and was committed to in time, and nobody is missing who must not be.
    pub(super) fn acceptable(&self, list: &[Entry]) -> bool {
        let allowed = |entry: &Entry| {
            self.find(entry)
                .is_some_and(|seen| seen.arrival < Arrival::Late)
        };
        let complete = || self.required().all(|entry| list.contains(&entry));
        self.opens(list) && list.iter().all(allowed) && complete()
    }

    /// What to propose: one entry of everybody that revealed, but none that others may have seen only after the closing.
    pub(super) fn to_propose(&self) -> Vec<Entry> {
        let entry = |(id, commits): (&HyperNodeId, &Vec<Seen>)| {
            let seen = commits
                .iter()
                .find(|seen| seen.arrival < Arrival::Edge && seen.revealed)?;
            Some(Entry {
                hypernode: *id,
                commit: seen.commit,
            })
        };
        self.seen.iter().filter_map(entry).collect()
    }

    /// Entries that were there early and must not be omitted. Who committed twice is required by nobody.
    fn required(&self) -> impl Iterator<Item = Entry> {
        self.seen
            .iter()
            .filter_map(|(id, commits)| match commits[..] {
                [only]
                    if only.arrival == Arrival::Early && only.revealed && only.reveal_in_time =>
                {
                    Some(Entry {
                        hypernode: *id,
                        commit: only.commit,
                    })
                }
                _ => None,
            })
    }

    fn find(&self, entry: &Entry) -> Option<&Seen> {
        self.seen
            .get(&entry.hypernode)?
            .iter()
            .find(|seen| seen.commit == entry.commit)
    }

    /// Whether nothing was seen of anybody.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}
