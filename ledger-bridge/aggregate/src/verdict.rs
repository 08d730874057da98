//! The verdict of a node and epoch against its class's SLA: the worst of four findings.
//!
//! | finding | breach | warned | inconclusive |
//! |---|---|---|---|
//! | attestation | `fail` by more than 1/2 of the committee's weight | median tier below the class's, 3 only on processors that more than 1/2 of the conclusive weight name | conclusive reports by at most 2/3 |
//! | availability | upper bound < target | point < target, or coverage too low | no slot decided |
//! | chase | `fail` by more than 1/2, or median and 75 % quantile below the floor | only the median below the floor | conclusive reports by at most 2/3 |
//! | identity | – | more than 2/3 name another owner than the confirmed one; other processors than the bound ones | – |
//!
//! Order: pass < inconclusive < warned < breach. Only `pass` is paid, only `breach` is slashed.

use crate::availability::Census;
use crate::median::{Weighted, lower_median, quartiles};
use crate::{more_than_half, more_than_two_thirds};
use assay_protocol::class::Sla;
use assay_protocol::ids::Digest;
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::report::ChaseKind;
use std::collections::BTreeMap;

/// What becomes of a node for an epoch. Codes are those of the ledger's leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// Not enough data to judge: no reward, no slash.
    Inconclusive = 0,
    /// The promise was kept: paid.
    Pass = 1,
    /// Below the promise, but not provably: no reward, no slash.
    Warned = 2,
    /// The promise was broken: slashed.
    Breach = 3,
}

/// Bits that say why a verdict is what it is.
pub mod reason {
    /// The evidence was wrong.
    pub const ATTESTATION: u8 = 1;
    /// The tier is below the class's.
    pub const TIER: u8 = 2;
    /// Availability below its target.
    pub const AVAILABILITY: u8 = 4;
    /// Too few slots were decided.
    pub const COVERAGE: u8 = 8;
    /// Chases failed or were too slow.
    pub const CHASE: u8 = 16;
    /// Another owner than the confirmed one, or other processors.
    pub const IDENTITY: u8 = 32;
    /// Too little data about the node, its attestation or its chases.
    pub const DATA: u8 = 64;
    /// Slots were excused, as most others were down in them too. The only bit a `pass` may have.
    pub const SYSTEMIC: u8 = 128;

    /// Names of the bits set, in the order of the bits.
    pub fn names(bits: u8) -> Vec<&'static str> {
        let all = [
            (ATTESTATION, "attestation"),
            (TIER, "tier"),
            (AVAILABILITY, "availability"),
            (COVERAGE, "coverage"),
            (CHASE, "chase"),
            (IDENTITY, "identity"),
            (DATA, "data"),
            (SYSTEMIC, "systemic"),
        ];
        all.into_iter()
            .filter(|(bit, _)| bits & bit != 0)
            .map(|(_, name)| name)
            .collect()
    }
}

impl Verdict {
    /// The verdict of a code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Inconclusive, Self::Pass, Self::Warned, Self::Breach]
            .into_iter()
            .find(|verdict| *verdict as u8 == code)
    }

    /// Its name in tables and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inconclusive => "inconclusive",
            Self::Pass => "pass",
            Self::Warned => "warned",
            Self::Breach => "breach",
        }
    }

    /// From good to bad.
    fn severity(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Inconclusive => 1,
            Self::Warned => 2,
            Self::Breach => 3,
        }
    }
}

/// A verdict, or one of the findings it consists of, with its [`reason`] bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub verdict: Verdict,
    /// Why; 0 for `pass`.
    pub reasons: u8,
}

impl Finding {
    /// Nothing to complain about.
    pub const PASS: Self = Self {
        verdict: Verdict::Pass,
        reasons: 0,
    };

    /// A finding for one reason.
    pub const fn of(verdict: Verdict, reasons: u8) -> Self {
        Self { verdict, reasons }
    }

    /// The worse verdict of two findings, with the reasons of both.
    pub fn worst(self, other: Self) -> Self {
        let worse = if self.verdict.severity() >= other.verdict.severity() {
            self
        } else {
            other
        };
        Self {
            verdict: worse.verdict,
            reasons: self.reasons | other.reasons,
        }
    }
}

/// One HyperNode's value with its capped weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote<T> {
    /// Weight in the committee.
    pub weight: u128,
    /// What it reports.
    pub value: T,
}

/// The first tier that comes with processors.
const TIER_CHASSIS: u8 = 3;

/// Attestation as one HyperNode saw it: class, tier, processors.
pub type AttestVote = Vote<(OutcomeClass, u8, Option<Digest>)>;
/// Chases as one HyperNode saw them: class, reads per second, kind.
pub type ChaseVote = Vote<(OutcomeClass, u64, ChaseKind)>;

/// Chase rate of a node: weighted lower medians over passed chases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChaseRate {
    /// Reads per second.
    pub reads_per_s: u64,
    /// How far it counts: `iops` only when more than half of the weight says so.
    pub kind: ChaseKind,
}

/// Availability against the SLA.
pub fn availability(census: &Census, sla: &Sla) -> Finding {
    let Some(bounds) = census.bounds() else {
        return Finding::of(Verdict::Inconclusive, reason::COVERAGE);
    };
    if bounds.upper < sla.availability_ppm {
        return Finding::of(Verdict::Breach, reason::AVAILABILITY);
    }
    let mut reasons = 0;
    if bounds.point < sla.availability_ppm {
        reasons |= reason::AVAILABILITY;
    }
    if census.coverage() < sla.coverage_ppm_min {
        reasons |= reason::COVERAGE;
    }
    if reasons == 0 {
        Finding::PASS
    } else {
        Finding::of(Verdict::Warned, reasons)
    }
}

/// What attestations come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attested {
    /// Against the class's tier.
    pub finding: Finding,
    /// 0 unless the finding is at most `warned`.
    pub tier: u8,
    /// The processors that more than half of the conclusive votes name, as long as those are enough; at tier 3 there are some.
    pub chips: Option<Digest>,
}

/// Attestation against the class's tier. Processors need as many votes as a tier does: who shows some of them to some only,
/// or to few, has no tier 3.
pub fn attestation(votes: &[AttestVote], committee: u128, tier_min: u8) -> Attested {
    let class = |vote: &AttestVote| vote.value.0;
    let nothing = |verdict, reason| Attested {
        finding: Finding::of(verdict, reason),
        tier: 0,
        chips: None,
    };
    let (enough, has_failed) = (
        conclusive(votes, class, committee),
        failed(votes, class, committee),
    );
    let votes: Vec<_> = votes.iter().filter(|v| is_conclusive(class(v))).collect();
    let chips = enough.then(|| named(&votes)).flatten();
    if has_failed {
        let breach = nothing(Verdict::Breach, reason::ATTESTATION);
        return Attested { chips, ..breach };
    }
    if !enough {
        return nothing(Verdict::Inconclusive, reason::DATA);
    }
    let weighted = |vote: &&AttestVote| Weighted {
        value: tier_of(vote).into(),
        weight: vote.weight,
    };
    let tiers: Vec<_> = votes.iter().map(weighted).collect();
    let tier = lower_median(&tiers).and_then(|tier| u8::try_from(tier).ok());
    let tier = match (tier.unwrap_or(0), chips) {
        (tier, None) => tier.min(TIER_CHASSIS - 1),
        (tier, Some(_)) => tier,
    };
    let finding = match tier < tier_min {
        true => Finding::of(Verdict::Warned, reason::TIER),
        false => Finding::PASS,
    };
    Attested {
        finding,
        tier,
        chips,
    }
}

/// The processors that more than half of the weight names.
fn named(votes: &[&AttestVote]) -> Option<Digest> {
    let (mut sums, mut whole) = (BTreeMap::<Digest, u128>::new(), 0u128);
    for vote in votes {
        whole = whole.saturating_add(vote.weight);
        if let Some(chips) = vote.value.2 {
            let sum = sums.entry(chips).or_default();
            *sum = sum.saturating_add(vote.weight);
        }
    }
    let mut sums = sums.into_iter();
    sums.find_map(|(chips, sum)| more_than_half(sum, whole).then_some(chips))
}

/// Chases against the SLA's floor for their kind; the rate is there whenever a chase passed.
pub fn chase(votes: &[ChaseVote], committee: u128, sla: &Sla) -> (Finding, Option<ChaseRate>) {
    let class = |vote: &ChaseVote| vote.value.0;
    let passed = || {
        votes
            .iter()
            .filter(|vote| class(vote) == OutcomeClass::Pass)
    };
    let rates: Vec<_> = passed()
        .map(|vote| Weighted {
            value: vote.value.1,
            weight: vote.weight,
        })
        .collect();
    let kinds: Vec<_> = passed()
        .map(|vote| Weighted {
            value: vote.value.2 as u64,
            weight: vote.weight,
        })
        .collect();
    let interval = quartiles(&rates);
    let iops = lower_median(&kinds) == Some(ChaseKind::Iops as u64);
    let kind = if iops {
        ChaseKind::Iops
    } else {
        ChaseKind::Liveness
    };
    let rate = interval.map(|interval| ChaseRate {
        reads_per_s: interval.median,
        kind,
    });
    if failed(votes, class, committee) {
        return (Finding::of(Verdict::Breach, reason::CHASE), rate);
    }
    let Some(interval) = interval.filter(|_| conclusive(votes, class, committee)) else {
        return (Finding::of(Verdict::Inconclusive, reason::DATA), rate);
    };
    let floor = floor(kind, sla);
    let verdict = match (interval.median < floor, interval.high < floor) {
        (false, _) => return (Finding::PASS, rate),
        (true, true) => Verdict::Breach,
        // The interval is wide: it reaches over the floor.
        (true, false) => Verdict::Warned,
    };
    (Finding::of(verdict, reason::CHASE), rate)
}

fn floor(kind: ChaseKind, sla: &Sla) -> u64 {
    match kind {
        ChaseKind::Liveness => sla.chase_liveness_reads_per_s_min,
        ChaseKind::Iops => sla.chase_reads_per_s_min,
    }
}

fn tier_of(vote: &AttestVote) -> u8 {
    let (class, tier, _) = vote.value;
    if class == OutcomeClass::Pass { tier } else { 0 }
}

fn is_conclusive(class: OutcomeClass) -> bool {
    matches!(class, OutcomeClass::Pass | OutcomeClass::Fail)
}

fn failed<T>(votes: &[Vote<T>], class: impl Fn(&Vote<T>) -> OutcomeClass, committee: u128) -> bool {
    more_than_half(
        weight_of(votes, |vote| class(vote) == OutcomeClass::Fail),
        committee,
    )
}

fn conclusive<T>(
    votes: &[Vote<T>],
    class: impl Fn(&Vote<T>) -> OutcomeClass,
    committee: u128,
) -> bool {
    more_than_two_thirds(
        weight_of(votes, |vote| is_conclusive(class(vote))),
        committee,
    )
}

/// Weight of the votes that satisfy a condition.
pub(crate) fn weight_of<T>(votes: &[Vote<T>], which: impl Fn(&Vote<T>) -> bool) -> u128 {
    votes
        .iter()
        .filter(|vote| which(vote))
        .fold(0, |sum, vote| sum.saturating_add(vote.weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use OutcomeClass::{Fail, Inconclusive, Pass};
    use assay_protocol::ids::Ppm;

    fn sla() -> Sla {
        Sla {
            availability_ppm: Ppm(900_000),
            coverage_ppm_min: Ppm(800_000),
            chase_reads_per_s_min: 10_000,
            chase_liveness_reads_per_s_min: 100,
        }
    }

    fn census(up: u32, down: u32, slots: u32) -> Finding {
        availability(&Census { up, down, slots }, &sla())
    }

    fn attest(votes: &[(u128, OutcomeClass, u8)]) -> (Finding, u8) {
        let votes: Vec<_> = votes
            .iter()
            .map(|&(weight, class, tier)| Vote {
                weight,
                value: (class, tier, (tier > 2).then_some(Digest([7; 32]))),
            })
            .collect();
        let attested = attestation(&votes, 100, 1);
        (attested.finding, attested.tier)
    }

    fn chases(
        votes: &[(u128, OutcomeClass, u64)],
        kind: ChaseKind,
    ) -> (Finding, Option<ChaseRate>) {
        let votes: Vec<_> = votes
            .iter()
            .map(|&(weight, class, rate)| Vote {
                weight,
                value: (class, rate, kind),
            })
            .collect();
        chase(&votes, 100, &sla())
    }

    #[test]
    fn availability_against_its_bounds() {
        assert_eq!(census(60, 0, 60), Finding::PASS);
        assert_eq!(
            census(0, 60, 60),
            Finding::of(Verdict::Breach, reason::AVAILABILITY)
        );
        // 85 % of 20 is below the target, but not significantly.
        assert_eq!(
            census(17, 3, 20),
            Finding::of(Verdict::Warned, reason::AVAILABILITY)
        );
        assert_eq!(
            census(40, 0, 60),
            Finding::of(Verdict::Warned, reason::COVERAGE)
        );
        assert_eq!(
            census(0, 0, 60),
            Finding::of(Verdict::Inconclusive, reason::COVERAGE)
        );
        let both = reason::AVAILABILITY | reason::COVERAGE;
        assert_eq!(census(17, 3, 60), Finding::of(Verdict::Warned, both));
    }

    #[test]
    fn attestation_needs_more_than_half_to_fail_and_two_thirds_to_count() {
        assert_eq!(attest(&[(70, Pass, 1), (30, Pass, 1)]), (Finding::PASS, 1));
        let breach = Finding::of(Verdict::Breach, reason::ATTESTATION);
        assert_eq!(attest(&[(51, Fail, 0), (49, Pass, 1)]), (breach, 0));
        assert_eq!(
            attest(&[(50, Fail, 0), (50, Pass, 1)]).0.verdict,
            Verdict::Warned
        );
        let unknown = Finding::of(Verdict::Inconclusive, reason::DATA);
        assert_eq!(
            attest(&[(66, Pass, 1), (34, Inconclusive, 0)]),
            (unknown, 0)
        );
        assert_eq!(
            attest(&[(67, Pass, 1), (33, Inconclusive, 0)]),
            (Finding::PASS, 1)
        );
        assert_eq!(attest(&[]), (unknown, 0));
    }

    #[test]
    fn a_tier_below_the_class_warns_and_a_failed_one_counts_as_zero() {
        let low = Finding::of(Verdict::Warned, reason::TIER);
        assert_eq!(attest(&[(100, Pass, 0)]), (low, 0));
        assert_eq!(attest(&[(60, Pass, 3), (40, Fail, 3)]), (Finding::PASS, 3));
        assert_eq!(attest(&[(50, Pass, 3), (50, Fail, 3)]), (low, 0));
    }

    #[test]
    fn chase_is_judged_against_the_floor_of_its_kind() {
        let liveness = chases(&[(100, Pass, 150)], ChaseKind::Liveness);
        let rate = ChaseRate {
            reads_per_s: 150,
            kind: ChaseKind::Liveness,
        };
        assert_eq!(liveness, (Finding::PASS, Some(rate)));
        let iops = chases(&[(100, Pass, 150)], ChaseKind::Iops);
        assert_eq!(iops.0, Finding::of(Verdict::Breach, reason::CHASE));
        assert_eq!(
            chases(&[(100, Pass, 10_000)], ChaseKind::Iops).0,
            Finding::PASS
        );
        assert_eq!(
            chases(&[(100, Pass, 99)], ChaseKind::Liveness).0.verdict,
            Verdict::Breach
        );
    }

    #[test]
    fn a_wide_interval_warns_instead_of_breaching() {
        let wide = chases(&[(60, Pass, 50), (40, Pass, 500)], ChaseKind::Liveness);
        assert_eq!(wide.0, Finding::of(Verdict::Warned, reason::CHASE));
        let narrow = chases(&[(80, Pass, 50), (20, Pass, 500)], ChaseKind::Liveness);
        assert_eq!(narrow.0, Finding::of(Verdict::Breach, reason::CHASE));
    }

    #[test]
    fn chase_fails_by_more_than_half_and_needs_two_thirds() {
        let failed = chases(&[(51, Fail, 0), (49, Pass, 500)], ChaseKind::Liveness);
        assert_eq!(failed.0, Finding::of(Verdict::Breach, reason::CHASE));
        let half = chases(&[(50, Fail, 0), (50, Pass, 500)], ChaseKind::Liveness);
        assert_eq!(half.0, Finding::PASS);
        let few = chases(&[(66, Pass, 500)], ChaseKind::Liveness);
        assert_eq!(few.0, Finding::of(Verdict::Inconclusive, reason::DATA));
        assert!(few.1.is_some());
        assert_eq!(chases(&[], ChaseKind::Liveness).1, None);
    }

    #[test]
    fn mixed_kinds_count_as_liveness_up_to_one_half() {
        let vote = |weight, kind| Vote {
            weight,
            value: (Pass, 500, kind),
        };
        let kind = |votes: &[ChaseVote]| chase(votes, 100, &sla()).1.unwrap().kind;
        let half = [vote(50, ChaseKind::Iops), vote(50, ChaseKind::Liveness)];
        assert_eq!(kind(&half), ChaseKind::Liveness);
        let more = [vote(51, ChaseKind::Iops), vote(49, ChaseKind::Liveness)];
        assert_eq!(kind(&more), ChaseKind::Iops);
    }

    #[test]
    fn the_worst_verdict_wins_and_reasons_add_up() {
        let order = [
            Verdict::Pass,
            Verdict::Inconclusive,
            Verdict::Warned,
            Verdict::Breach,
        ];
        for (i, better) in order.iter().enumerate() {
            for worse in &order[i..] {
                let (a, b) = (Finding::of(*better, 1), Finding::of(*worse, 2));
                assert_eq!(a.worst(b), Finding::of(*worse, 3));
                assert_eq!(b.worst(a), Finding::of(*worse, 3));
            }
        }
        assert_eq!(reason::names(reason::TIER | reason::DATA), ["tier", "data"]);
        for code in 0..4 {
            assert_eq!(Verdict::from_code(code).unwrap() as u8, code);
        }
        assert_eq!(Verdict::from_code(4), None);
        assert_eq!(Verdict::Breach.name(), "breach");
    }
}
