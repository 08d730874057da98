//! The census: which probes had to exist, whether they ran in their time, and what their evidence proves.

use super::attestation::{Attestations, Bound, place};
use super::case::Case;
use super::evidence::{Exhibits, Found};
use super::log::{EpochRecord, History, Recorded};
use super::roots::{self, Roots};
use super::schedule::Duty;
use crate::findings::Findings;
use assay_protocol::answers::{ControlAnswer, ProbeAnswer};
use assay_protocol::cose::{claimed_signer, open};
use assay_protocol::ids::{Epoch, HyperNodeId, SessionKey};
use assay_protocol::limits::SMALL_OBJECT_BYTES_MAX;
use assay_protocol::outcome::{OutcomeClass, OutcomeKind, media};
use assay_protocol::schedule::{Challenge, probe_offset_ms, probe_window_ms};
use std::collections::{BTreeMap, BTreeSet};

/// What the probes of one history are judged by.
struct Probes<'a> {
    case: &'a Case,
    roots: &'a Roots,
    exhibits: &'a Exhibits<'a>,
    attested: &'a Attestations,
}

/// Checks all probes of a history; for each epoch how many rest on the signed outcome alone.
pub fn check(
    findings: &mut Findings,
    (case, roots): (&Case, &Roots),
    history: &History,
    exhibits: &Exhibits<'_>,
    attested: &Attestations,
    duties: &BTreeMap<Epoch, Duty>,
) -> BTreeMap<Epoch, usize> {
    let mut unproven = BTreeMap::new();
    let probes = Probes {
        case,
        roots,
        exhibits,
        attested,
    };
    for (epoch, record) in &history.epochs {
        if let Some(duty) = duties.get(epoch) {
            let about = format!("epoch {epoch}, HyperNode {}", history.hypernode);
            completeness(findings, &about, record, duty);
            for recorded in all_probes(record) {
                timing(findings, case, recorded, duty);
            }
        }
        for recorded in all_probes(record) {
            probes.outcome(findings, recorded);
        }
        let gone = |recorded: &&Recorded| exhibits.of(recorded).iter().any(|e| e.bytes.is_none());
        unproven.insert(*epoch, all_probes(record).filter(gone).count());
    }
    unproven
}

fn all_probes(record: &EpochRecord) -> impl Iterator<Item = &Recorded> {
    record
        .outcomes
        .iter()
        .filter(|recorded| recorded.outcome.kind == OutcomeKind::Probe)
}

/// Says which of the probes that had to exist are missing; their cells must be inconclusive (checked with the report).
fn completeness(findings: &mut Findings, about: &str, record: &EpochRecord, duty: &Duty) {
    let mut made: BTreeMap<u32, usize> = BTreeMap::new();
    for recorded in all_probes(record) {
        *made.entry(recorded.outcome.place.1.0).or_default() += 1;
    }
    let missing: Vec<String> = duty
        .slots
        .iter()
        .filter(|slot| !made.contains_key(slot))
        .map(u32::to_string)
        .collect();
    let beside = made
        .keys()
        .filter(|slot| !duty.slots.contains(slot))
        .count();
    let expected = format!(
        "a probe in each of {} panel slots, or an inconclusive cell",
        duty.slots.len()
    );
    let actual = format!(
        "{} missing [{}], {beside} outside the panel that do not count",
        missing.len(),
        missing.join(" ")
    );
    findings.holds(("probes/had-to-exist", about), true, expected, actual);
}

/// A conclusive probe of the panel started at its drawn time, up to the allowed clock difference later.
fn timing(findings: &mut Findings, case: &Case, recorded: &Recorded, duty: &Duty) {
    let outcome = &recorded.outcome;
    let (epoch, slot) = outcome.place;
    let counts = matches!(
        outcome.class,
        OutcomeClass::Pass | OutcomeClass::Fail | OutcomeClass::Unreachable
    );
    if !counts || !duty.slots.contains(&slot.0) {
        return;
    }
    let window = probe_window_ms(&case.params);
    let offset = probe_offset_ms(&duty.seed, &duty.beacon, &case.node(), slot, window);
    let first = case.params.slot_start(epoch, slot).0.saturating_add(offset);
    let last = first.saturating_add(case.params.clock_skew_ms_max);
    let start = outcome.window.0.0;
    let ok = (first..=last).contains(&start);
    findings.holds(
        ("probes/start-time", &recorded.path),
        ok,
        format!("{first} to {last}"),
        start,
    );
}

impl Probes<'_> {
    fn outcome(&self, findings: &mut Findings, recorded: &Recorded) {
        match recorded.outcome.class {
            OutcomeClass::Pass => self.answered(findings, recorded),
            OutcomeClass::Unreachable => self.controls(findings, recorded),
            OutcomeClass::Fail => self.wrong_answer(findings, recorded),
            OutcomeClass::VerifierFault | OutcomeClass::Excluded | OutcomeClass::Inconclusive => {}
        }
    }

    fn answered(&self, findings: &mut Findings, recorded: &Recorded) {
        let at = ("probes/answer", recorded.path.as_str());
        let expected = "an answer to this nonce, signed by a bound session key";
        match self.exhibits.one(recorded, media::PROBE_ANSWER) {
            Found::Missing => {}
            Found::One(raw) => match self.verify(recorded, raw) {
                Ok(Bound::Unknown) => {
                    findings.undecided(
                        at,
                        expected,
                        "a key bound by evidence that is not in the bundle, if at all",
                    );
                }
                Ok(_) => {
                    findings.holds(at, true, expected, "it");
                }
                Err(why) => {
                    findings.holds(at, false, expected, why);
                }
            },
            found => {
                findings.holds(at, false, expected, format!("{found:?}"));
            }
        }
    }

    /// `fail` says there was an answer and it was wrong.
    fn wrong_answer(&self, findings: &mut Findings, recorded: &Recorded) {
        let at = ("probes/wrong-answer", recorded.path.as_str());
        let expected = "an answer that does not hold";
        match self.exhibits.one(recorded, media::PROBE_ANSWER) {
            Found::One(raw) => match self.verify(recorded, raw) {
                Err(why) => {
                    findings.holds(at, true, expected, why);
                }
                Ok(_) if self.attested.in_doubt(recorded.outcome.place.0) => findings.undecided(
                    at,
                    expected,
                    "a key that evidence that is not in the bundle binds or replaces, if at all",
                ),
                Ok(_) => {
                    findings.holds(at, false, expected, "an answer that holds");
                }
            },
            Found::Missing => {}
            found => findings.undecided(at, expected, format!("{found:?}")),
        }
    }

    fn verify(&self, recorded: &Recorded, raw: &[u8]) -> Result<Bound, String> {
        let key = claimed_signer(raw, SMALL_OBJECT_BYTES_MAX).map_err(|e| e.to_string())?;
        let answer = open::<ProbeAnswer>(raw, &key)
            .map_err(|e| e.to_string())?
            .into_payload();
        let nonce = place(self.case, recorded, Challenge::Probe).nonce(&recorded.outcome.r);
        if answer.node != self.case.node() {
            return Err(format!("an answer of node {}", answer.node));
        }
        if answer.nonce != nonce {
            return Err(format!(
                "an answer to nonce {} instead of {nonce}",
                answer.nonce
            ));
        }
        match self.attested.bound(recorded, SessionKey(key)) {
            Bound::No => Err(format!(
                "session key {} that no attestation binds",
                SessionKey(key)
            )),
            bound => Ok(bound),
        }
    }

    /// `unreachable` counts only beside good control probes of other HyperNodes with the same nonce.
    fn controls(&self, findings: &mut Findings, recorded: &Recorded) {
        let of_type = |e: &&super::evidence::Exhibit<'_>| e.media_type == media::CONTROL_ANSWER;
        let exhibits: Vec<_> = self.exhibits.of(recorded).iter().filter(of_type).collect();
        let mut good = BTreeSet::new();
        let mut bad = Vec::new();
        for raw in exhibits.iter().filter_map(|exhibit| exhibit.bytes) {
            match self.control(recorded, raw) {
                Ok(hypernode) => drop(good.insert(hypernode)),
                Err(why) => bad.push(why),
            }
        }
        let needed = self.case.params.control_probes as usize;
        let expected = format!("control answers of at least {needed} other HyperNodes");
        let actual = format!("{} good, {} bad {}", good.len(), bad.len(), bad.join("; "));
        let at = ("probes/controls", recorded.path.as_str());
        let missing = exhibits.iter().any(|exhibit| exhibit.bytes.is_none());
        if good.len() < needed && missing {
            findings.undecided(at, expected, actual.trim_end());
        } else {
            findings.holds(
                at,
                good.len() >= needed && bad.is_empty(),
                expected,
                actual.trim_end(),
            );
        }
    }

    fn control(&self, recorded: &Recorded, raw: &[u8]) -> Result<HyperNodeId, String> {
        let key = claimed_signer(raw, SMALL_OBJECT_BYTES_MAX).map_err(|e| e.to_string())?;
        let answer = open::<ControlAnswer>(raw, &key)
            .map_err(|e| e.to_string())?
            .into_payload();
        let (id, own) = (HyperNodeId(key), recorded.outcome.hypernode);
        let nonce = place(self.case, recorded, Challenge::Probe).nonce(&recorded.outcome.r);
        // Nobody knows who had a say in an epoch without a root, and nothing rests on it.
        let root = self.roots.get(&recorded.outcome.place.0);
        let known = || roots::everybody(self.case, self.roots).contains(&id);
        let has_say = root.map_or_else(known, |root| root.has_say(&id));
        if answer.hypernode != id || id == own || !has_say {
            return Err(format!(
                "an answer of {id}, who is not another HyperNode of the roster"
            ));
        }
        if answer.nonce != nonce {
            return Err(format!(
                "an answer of {id} to nonce {} instead of {nonce}",
                answer.nonce
            ));
        }
        Ok(id)
    }
}
