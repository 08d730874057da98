//! Attestations, appraised again from the raw evidence, and the session keys they bind.

use super::case::Case;
use super::enrolment::{Enrolled, Enrolments};
use super::evidence::{Exhibits, Found};
use super::log::{History, Recorded};
use crate::findings::Findings;
use assay_appraisal::appraise::{
    Appraisal, Attest, Configurations, Endorsements, Expectation, ImaBefore, Policy, Refused,
    verify,
};
use assay_appraisal::checks::{self, Mode};
use assay_appraisal::ear::Ear;
use assay_appraisal::snp::ChainCache;
use assay_appraisal::snp::SnpRoots;
use assay_appraisal::summary::Attested;
use assay_appraisal::tpm::attest::ClockInfo;
use assay_protocol::cose::{self, claimed_signer};
use assay_protocol::evidence::AmdChain;
use assay_protocol::hash::digest;
use assay_protocol::ids::{AkName, Epoch, HyperNodeId, SessionKey, UnixMs};
use assay_protocol::item::Item as _;
use assay_protocol::limits::{EVIDENCE_BYTES_MAX, SMALL_OBJECT_BYTES_MAX};
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::schedule::{Challenge, ChallengePlace};
use std::collections::{BTreeMap, BTreeSet};

/// Epochs in which a binding counts, its own among them (ARCHITECTURE section 5).
const BINDING_EPOCHS: u64 = 2;

/// A session key vouched for by an authentic quote.
#[derive(Debug, Clone, Copy)]
struct Binding {
    key: SessionKey,
    epoch: Epoch,
    /// When the HyperNode held it.
    from: UnixMs,
    /// Place in the order logged.
    order: usize,
}

/// What the attestations of one HyperNode come to.
#[derive(Debug, Default)]
pub struct Attestations {
    bindings: Vec<Binding>,
    order: BTreeMap<String, usize>,
    by_epoch: BTreeMap<Epoch, Vec<Attested>>,
    unproven: BTreeMap<Epoch, usize>,
    /// Some evidence that may bind keys or set clocks is not in the bundle.
    incomplete: bool,
    /// Epochs that may bind keys or set clocks and are not in the bundle.
    gaps: BTreeSet<Epoch>,
}

/// Whether a session key may speak for the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// An earlier authentic quote names it.
    Yes,
    /// None does, and the bundle holds everything there is.
    No,
    /// None does, but evidence that may do so is not in the bundle: expired, or of an epoch before it.
    Unknown,
}

impl Attestations {
    /// The appraisals of an epoch, in the order logged.
    pub fn of(&self, epoch: Epoch) -> &[Attested] {
        self.by_epoch.get(&epoch).map_or(&[], Vec::as_slice)
    }

    /// How many appraisals of an epoch rest on the signed outcome alone.
    pub fn unproven(&self, epoch: Epoch) -> usize {
        self.unproven.get(&epoch).copied().unwrap_or(0)
    }

    /// Whether `key` was bound when the challenge of `recorded` began: by an earlier authentic quote at most two epochs
    /// old, with no other key quoted since.
    pub fn bound(&self, recorded: &Recorded, key: SessionKey) -> Bound {
        let outcome = &recorded.outcome;
        let order = self.order.get(&recorded.path).copied().unwrap_or(0);
        let in_force = |binding: &&Binding| {
            let age = outcome.place.0.0.saturating_sub(binding.epoch.0);
            binding.order < order && age < BINDING_EPOCHS
        };
        let Some(last) = self
            .bindings
            .iter()
            .filter(in_force)
            .rfind(|binding| binding.key == key)
        else {
            return self.unbound(outcome.place.0);
        };
        let since = |binding: &Binding| {
            binding.order > last.order && binding.key != key && binding.from < outcome.window.0
        };
        if self.bindings.iter().any(since) {
            self.unbound(outcome.place.0)
        } else {
            Bound::Yes
        }
    }

    /// Whether evidence that is not in the bundle may have bound another key in time for an epoch.
    pub fn in_doubt(&self, epoch: Epoch) -> bool {
        let first = Epoch(epoch.0.saturating_sub(BINDING_EPOCHS - 1));
        self.incomplete || self.gaps.range(first..=epoch).next().is_some()
    }

    fn unbound(&self, epoch: Epoch) -> Bound {
        if self.in_doubt(epoch) {
            Bound::Unknown
        } else {
            Bound::No
        }
    }

    fn note(&mut self, epoch: Epoch, attested: Attested, proven: bool) {
        self.by_epoch.entry(epoch).or_default().push(attested);
        let conclusive = matches!(attested.class, OutcomeClass::Pass | OutcomeClass::Fail);
        if conclusive && !proven {
            self.incomplete = true;
            *self.unproven.entry(epoch).or_default() += 1;
        }
    }
}

/// The place of a challenge of this case.
pub fn place(case: &Case, recorded: &Recorded, kind: Challenge) -> ChallengePlace {
    let outcome = &recorded.outcome;
    ChallengePlace {
        network: case.network,
        node: case.node(),
        hypernode: outcome.hypernode,
        epoch: outcome.place.0,
        slot: outcome.place.1,
        kind,
    }
}

/// What appraisals of one history have in common.
struct Session<'a> {
    case: &'a Case,
    hypernode: HyperNodeId,
    /// The last enrolment, and its epoch.
    enrolled: Option<(&'a Enrolled, Epoch)>,
    clocks: BTreeMap<AkName, ClockInfo>,
    /// Certificates that verified already.
    certificates: ChainCache,
    configurations: Configurations,
}

/// Appraises all attestations of a history again.
pub fn check(
    findings: &mut Findings,
    case: &Case,
    history: &History,
    exhibits: &Exhibits<'_>,
    enrolments: &Enrolments,
) -> Attestations {
    let mut out = Attestations {
        incomplete: case.starts_late(),
        gaps: history.gaps.clone(),
        ..Attestations::default()
    };
    let mut session = Session {
        case,
        hypernode: history.hypernode,
        enrolled: None,
        clocks: BTreeMap::new(),
        certificates: ChainCache::new(),
        configurations: Configurations::new(),
    };
    for (order, recorded) in history.outcomes().enumerate() {
        out.order.insert(recorded.path.clone(), order);
        match recorded.outcome.kind {
            // One whose record is not in the bundle leaves no key to appraise by: it may have been a new one.
            OutcomeKind::Enrol if recorded.outcome.class == OutcomeClass::Pass => {
                let enrolled = enrolments.get(&recorded.path);
                session.enrolled = enrolled.map(|e| (e, recorded.outcome.place.0));
            }
            OutcomeKind::Attest => {
                attestation(findings, &mut session, recorded, exhibits, order, &mut out);
            }
            _ => {}
        }
    }
    out
}

fn attestation(
    findings: &mut Findings,
    session: &mut Session<'_>,
    recorded: &Recorded,
    exhibits: &Exhibits<'_>,
    order: usize,
    out: &mut Attestations,
) {
    let (about, outcome) = (recorded.path.as_str(), &recorded.outcome);
    let epoch = outcome.place.0;
    let raw = match exhibits.one(recorded, media::EVIDENCE) {
        Found::One(raw) => raw,
        found => {
            let conclusive = matches!(outcome.class, OutcomeClass::Pass | OutcomeClass::Fail);
            if conclusive && found != Found::Missing {
                findings.holds(
                    ("attestation/evidence", about),
                    false,
                    "one piece of evidence",
                    format!("{found:?}"),
                );
            }
            return out.note(epoch, word(recorded), false);
        }
    };
    let chain = chain(findings, recorded, exhibits);
    let crl = crl(findings, recorded, exhibits);
    let parts = exhibits.all(recorded, media::IMA_PART);
    let (Ok(chain), Ok(crl), Some(parts)) = (chain, crl, parts) else {
        return out.note(epoch, word(recorded), false);
    };
    let collateral = Collateral {
        chain: chain.as_ref(),
        crl,
        ima_parts: &parts,
    };
    let appraised = match session.appraise(findings, recorded, raw, collateral) {
        Some(appraised) => appraised,
        None => return out.note(epoch, word(recorded), false),
    };
    if let Some(why) = session.excuse(out, outcome, &appraised) {
        findings.undecided(("attestation/class", about), outcome.class.name(), why);
        out.incomplete = true;
        return out.note(epoch, word(recorded), false);
    }
    if let Ok(appraisal) = &appraised {
        result(findings, session, recorded, (raw, appraisal), exhibits);
        session.clocks.insert(appraisal.ak_name, appraisal.clock);
        out.bindings.push(Binding {
            key: appraisal.session_key,
            epoch,
            from: outcome.window.1,
            order,
        });
    }
    let attested = attested(&appraised);
    compare(findings, recorded, &attested, &appraised);
    out.note(epoch, attested, true);
}

/// The certificates that the HyperNode added cannot be used, or are gone.
struct Unusable;

/// What the HyperNode kept beside the evidence, to appraise it with.
#[derive(Clone, Copy)]
struct Collateral<'a> {
    chain: Option<&'a AmdChain>,
    crl: Option<&'a [u8]>,
    /// The IMA list before the entries that the evidence carries. It proves itself: it is replayed with them.
    ima_parts: &'a [&'a [u8]],
}

/// AMD's certificates that the HyperNode added to the evidence; it appraised with them.
fn chain(
    findings: &mut Findings,
    recorded: &Recorded,
    exhibits: &Exhibits<'_>,
) -> Result<Option<AmdChain>, Unusable> {
    let at = ("attestation/amd-chain", recorded.path.as_str());
    let expected = "one set of certificates";
    match exhibits.one(recorded, media::AMD_CHAIN) {
        Found::None => Ok(None),
        Found::One(bytes) => {
            let chain = AmdChain::decode("AMD chain", SMALL_OBJECT_BYTES_MAX, bytes);
            findings
                .value(at, expected, chain)
                .map(Some)
                .ok_or(Unusable)
        }
        Found::Missing => Err(Unusable),
        Found::Several => {
            findings.holds(at, false, expected, "several");
            Err(Unusable)
        }
    }
}

/// AMD's revocation list that the HyperNode judged by.
fn crl<'a>(
    findings: &mut Findings,
    recorded: &Recorded,
    exhibits: &Exhibits<'a>,
) -> Result<Option<&'a [u8]>, Unusable> {
    match exhibits.one(recorded, media::CRL) {
        Found::None => Ok(None),
        Found::One(bytes) => Ok(Some(bytes)),
        Found::Missing => Err(Unusable),
        Found::Several => {
            let at = ("attestation/crl", recorded.path.as_str());
            findings.holds(at, false, "one revocation list", "several");
            Err(Unusable)
        }
    }
}

/// A result token says what the evidence says. Build and checks are of the verifier's version and not compared.
fn result(
    findings: &mut Findings,
    session: &Session<'_>,
    recorded: &Recorded,
    (raw, appraisal): (&[u8], &Appraisal),
    exhibits: &Exhibits<'_>,
) {
    let at = ("attestation/result", recorded.path.as_str());
    let token = match exhibits.one(recorded, media::RESULT) {
        Found::None | Found::Missing => return,
        Found::One(token) => token,
        Found::Several => {
            findings.holds(at, false, "one result token", "several");
            return;
        }
    };
    let opened = cose::open::<Ear>(token, &session.hypernode.0);
    let expected = "a result token signed by the HyperNode";
    let Some(opened) = findings.value(at, expected, opened) else {
        return;
    };
    let nonce = place(session.case, recorded, Challenge::Attest).nonce(&recorded.outcome.r);
    let ours = appraisal.ear(digest(&[raw]), nonce, recorded.outcome.window.0);
    let said = opened.payload();
    let same = Ear {
        build: said.build.clone(),
        checks: said.checks.clone(),
        ..ours.clone()
    };
    let tier = |ear: &Ear| {
        format!(
            "tier {}, {}, policy {}",
            ear.tier,
            ear.status().name(),
            ear.policy
        )
    };
    findings.holds(at, same == *said, tier(&ours), tier(said));
}

/// The outcome's own word, for want of evidence.
fn word(recorded: &Recorded) -> Attested {
    let outcome = &recorded.outcome;
    let tier = outcome
        .metric(metric::TIER)
        .and_then(|tier| u8::try_from(tier).ok());
    Attested {
        class: outcome.class,
        tier: tier.unwrap_or(0),
        owner: None,
        chips: None,
    }
}

fn attested(appraised: &Result<Appraisal, Refused>) -> Attested {
    match appraised {
        Ok(appraisal) => Attested {
            class: match appraisal.attest {
                Attest::Pass => OutcomeClass::Pass,
                Attest::Fail => OutcomeClass::Fail,
                Attest::Undecided => OutcomeClass::Inconclusive,
            },
            tier: appraisal.tier,
            owner: appraisal.owner.map(|owner| owner.provider),
            chips: appraisal.shown.chips,
        },
        // Nothing shows that it came from the enrolled TPM.
        Err(_) => Attested {
            class: OutcomeClass::Inconclusive,
            tier: 0,
            owner: None,
            chips: None,
        },
    }
}

/// The outcome must say what the evidence says.
fn compare(
    findings: &mut Findings,
    recorded: &Recorded,
    attested: &Attested,
    appraised: &Result<Appraisal, Refused>,
) {
    let (about, outcome) = (recorded.path.as_str(), &recorded.outcome);
    let why = match appraised {
        Ok(_) => String::new(),
        Err(refused) => format!(" ({refused})"),
    };
    let (says, is) = (outcome.class.name(), attested.class.name());
    let at = ("attestation/class", about);
    findings.holds(
        at,
        says == is,
        format!("{says} (the signed outcome)"),
        format!("{is} (appraised again){why}"),
    );
    let tier = outcome.metric(metric::TIER).unwrap_or(0);
    findings.equal(("attestation/tier", about), tier, u64::from(attested.tier));
}

fn names_other_key(refused: &Refused) -> bool {
    let other = |check: checks::CheckView<'_>| {
        check.name == "ak-name" && check.outcome != checks::Outcome::Pass
    };
    refused.checks.iter().any(other)
}

impl Session<'_> {
    /// What is not in the bundle and may explain why the outcome says something else than its evidence.
    fn excuse(
        &self,
        out: &Attestations,
        outcome: &Outcome,
        appraised: &Result<Appraisal, Refused>,
    ) -> Option<&'static str> {
        let epoch = outcome.place.0;
        let refused = outcome.class == OutcomeClass::Inconclusive;
        let gap_since = |from| out.gaps.range(from..epoch).next().is_some();
        match appraised {
            // The clock or the key of evidence that is not there may be why the HyperNode refused.
            Ok(_) if refused && (out.incomplete || gap_since(Epoch(0))) => {
                Some("genuine, without the clock record of evidence that is not in the bundle")
            }
            Err(error) if !refused && names_other_key(error) => {
                let since = self.enrolled.map_or(Epoch(0), |(_, epoch)| epoch);
                let why =
                    "another key than the last enrolled one in the bundle, which has a gap since";
                gap_since(since).then_some(why)
            }
            _ => None,
        }
    }

    /// `None` when something to appraise by is missing.
    fn appraise(
        &self,
        findings: &mut Findings,
        recorded: &Recorded,
        raw: &[u8],
        collateral: Collateral<'_>,
    ) -> Option<Result<Appraisal, Refused>> {
        let (about, outcome) = (recorded.path.as_str(), &recorded.outcome);
        let class = self.case.classes.get(&outcome.policy)?;
        let Some(((enrolled, _), (_, trust))) = self.enrolled.zip(self.case.vendors.as_ref())
        else {
            let actual = "no usable enrolment record before it in the bundle";
            findings.undecided(
                ("attestation/enrolled", about),
                "an enrolled attestation key",
                actual,
            );
            return None;
        };
        // Without a readable signer no key fits: the evidence is refused like any other that does not open.
        let signer = claimed_signer(raw, EVIDENCE_BYTES_MAX).unwrap_or_default();
        let expected = Expectation {
            node: self.case.node(),
            hypernode: self.hypernode,
            nonce: place(self.case, recorded, Challenge::Attest).nonce(&outcome.r),
            session_key: SessionKey(signer),
            ak: &enrolled.ak,
            last_clock: self.clocks.get(&enrolled.ak.name()),
        };
        let network = self.case.network;
        let policy = Policy {
            network,
            class,
            root_kind: Some(enrolled.root_kind),
            firmware_min: enrolled.firmware_min,
            trust,
            configurations: &self.configurations,
            endorsements: Endorsements {
                at: outcome.window.0,
                roots: &SnpRoots::amd(),
                chain: collateral
                    .chain
                    .map(|chain| [&chain.vcek.0[..], &chain.ask.0, &chain.ark.0]),
                crl: collateral.crl,
                cache: &self.certificates,
            },
            ima_before: ImaBefore::Parts(collateral.ima_parts),
        };
        Some(verify(raw, &expected, &policy, Mode::Verify))
    }
}
