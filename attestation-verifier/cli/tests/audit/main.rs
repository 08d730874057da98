//! Synthetic bundles through the audit: honest ones are reproduced, whatever the verdict; changed bytes and lies told
//! consistently (re-hashed, re-signed, re-sealed) never are, and the check that finds them is named.

mod attestations;
mod epochs;
mod files;
#[path = "../network/mod.rs"]
mod network;
mod outcomes;
mod probes;
mod processors;
mod regions;

use assay_appraisal::appraise::{
    self, Configurations, Endorsements, Expectation, ImaBefore, Policy,
};
use assay_appraisal::checks::Mode;
use assay_appraisal::ear::Ear;
use assay_appraisal::snp::ChainCache;
use assay_appraisal::snp::SnpRoots;
use assay_appraisal::tpm::ak::AttestationKey;
use assay_cli::audit::{Audit, audit};
use assay_cli::findings::{Conclusion, Outcome};
use assay_log::{bundle, tar};
use assay_protocol::answers::ChaseAnswer;
use assay_protocol::cose::{self, Signer as _};
use assay_protocol::evidence;
use assay_protocol::hash::digest;
use assay_protocol::ids::*;
use assay_protocol::item::{Blob, Item};
use assay_protocol::layout::{self, Claim, Proofs, ProvenLeaf, SignedRoot};
use assay_protocol::outcome::{Outcome as Signed, OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::params::NetworkParams;
use assay_protocol::region::RegionId;
use assay_protocol::report::RegionReveal;
use assay_protocol::trust::RootKind;
use network::tpm::SoftTpm;
use network::{Behaviour, Cast, Draft, Files, Key, Lie, Part, Story, honest, story};

/// The region of epochs 0 and 1.
const REGION: RegionId = RegionId {
    region: 0,
    generation: 0,
};

/// The check that must find it, and the lie.
type Told<T> = (&'static str, fn(&mut T));

fn audited(story: &Story) -> Audit {
    audit(story.payload.clone(), Some(&story.trust))
}

fn not_passed(audit: &Audit) -> String {
    let shown = audit
        .checks
        .iter()
        .map(ToString::to_string)
        .filter(|line| !line.starts_with("pass"));
    shown.collect::<Vec<_>>().join("\n")
}

fn reproduced(cast: &Cast, lie: Lie<'_>) -> Audit {
    let audit = audited(&story(cast, lie));
    assert_eq!(
        audit.result,
        Conclusion::Reproduced,
        "{}",
        not_passed(&audit)
    );
    audit
}

/// The check `name` must contradict the lie.
fn contradicted(cast: &Cast, name: &str, lie: Lie<'_>) {
    let audit = audited(&story(cast, lie));
    let found = audit
        .checks
        .iter()
        .any(|check| check.name == name && check.outcome == Outcome::Fail);
    assert!(found, "{name} did not fail:\n{}", not_passed(&audit));
    assert_eq!(audit.result, Conclusion::Contradicted);
}

/// The check `name` must leave it open, and nothing may contradict.
fn undecided(cast: &Cast, name: &str, lie: Lie<'_>) {
    let audit = audited(&story(cast, lie));
    let found = audit
        .checks
        .iter()
        .any(|check| check.name == name && check.outcome == Outcome::Undecided);
    assert!(found, "{name} is not undecided:\n{}", not_passed(&audit));
    assert_eq!(
        audit.result,
        Conclusion::Undecided,
        "{}",
        not_passed(&audit)
    );
}

/// A lie of the first HyperNode in epoch 1 about its first outcome of a kind.
fn outcome(kind: OutcomeKind, change: impl Fn(&Cast, &mut Draft)) -> impl Fn(Part<'_>) {
    outcome_in(1, kind, change)
}

fn outcome_in(at: u64, kind: OutcomeKind, change: impl Fn(&Cast, &mut Draft)) -> impl Fn(Part<'_>) {
    move |part| {
        if let Part::Drafts(0, epoch, cast, drafts) = part
            && epoch == at
        {
            change(
                cast,
                drafts
                    .iter_mut()
                    .find(|draft| draft.outcome.kind == kind)
                    .unwrap(),
            );
        }
    }
}

fn report(change: impl Fn(&mut assay_protocol::report::Report)) -> impl Fn(Part<'_>) {
    move |part| {
        if let Part::Report(0, 1, report) = part {
            change(report);
        }
    }
}

fn payload(change: impl Fn(&mut Files)) -> impl Fn(Part<'_>) {
    move |part| {
        if let Part::Payload(files) = part {
            change(files);
        }
    }
}

fn raw(draft: &mut Draft, bytes: Vec<u8>, media: &'static str) {
    draft.raw = vec![(bytes, media)];
}

#[test]
fn an_honest_bundle_is_reproduced_with_its_verdict() {
    for (behaviour, verdicts) in [
        (Behaviour::Honest, ["pass", "pass", "pass", "pass"]),
        (Behaviour::Rogue, ["breach", "breach", "breach", "breach"]),
        (Behaviour::Silent, ["pass", "breach", "pass", "pass"]),
    ] {
        let audit = reproduced(&Cast::new(behaviour, 4), &honest);
        let found: Vec<&str> = audit
            .verdicts
            .iter()
            .map(|verdict| verdict.verdict)
            .collect();
        assert_eq!(found, verdicts);
        assert!(audit.verdicts.iter().all(|verdict| verdict.reproduced));
        let not_checked = |name: &str| {
            audit
                .checks
                .iter()
                .any(|c| c.name == name && c.outcome == Outcome::NotChecked)
        };
        assert!(not_checked("ledger/posted") && not_checked("enrolment/credential-activation"));
    }
}

#[test]
fn a_report_outside_the_agreed_set_supports_but_does_not_count() {
    let mut cast = Cast::new(Behaviour::Honest, 4);
    cast.absent = Some((3, 0));
    let audit = reproduced(&cast, &honest);
    assert!(audit.checks.iter().any(|check| check.name == "log/agreed"));
}

#[test]
fn a_probe_outside_the_panel_does_not_count_and_a_missing_one_is_inconclusive() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let beside = |part: Part<'_>| {
        if let Part::Drafts(_, 1, cast, drafts) = part {
            let taken: Vec<_> = drafts.iter().map(|draft| draft.outcome.place.1).collect();
            let probes = |draft: &&Draft| draft.outcome.kind == OutcomeKind::Probe;
            let mut extra = drafts.iter().find(probes).unwrap().clone();
            if let Some(free) = (0..8).map(Slot).find(|slot| !taken.contains(slot)) {
                extra.outcome.place.1 = free;
                let answer = cast.probe_answer(&extra.outcome, &cast.session);
                raw(&mut extra, answer, media::PROBE_ANSWER);
                drafts.push(extra);
            }
            let first = drafts
                .iter()
                .position(|d| d.outcome.kind == OutcomeKind::Probe)
                .unwrap();
            drafts.remove(first);
        }
    };
    let audit = reproduced(&cast, &beside);
    let missing = audit
        .checks
        .iter()
        .filter(|c| c.name == "probes/had-to-exist" && c.actual.starts_with("1 missing"));
    assert_eq!(missing.count(), 4);
}

#[test]
fn without_trust_or_with_anothers_trust_nothing_is_reproduced() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let truth = story(&cast, &honest);
    let alone = audit(truth.payload.clone(), None);
    assert_eq!(alone.result, Conclusion::Undecided);
    let fails = |change: &dyn Fn(&mut assay_protocol::trust::TrustFile), name: &str, result| {
        let mut trust = truth.trust.clone();
        change(&mut trust);
        let audit = audit(truth.payload.clone(), Some(&trust));
        assert!(
            audit
                .checks
                .iter()
                .any(|c| c.name == name && c.outcome != Outcome::Pass),
            "{name}"
        );
        assert_eq!(audit.result, result, "{name}");
    };
    fails(
        &|trust| trust.params.clock_skew_ms_max += 1,
        "case/network",
        Conclusion::Contradicted,
    );
    fails(
        &|trust| trust.committee.hash = Keccak([1; 32]),
        "roots/committee",
        Conclusion::Contradicted,
    );
    fails(
        &|trust| trust.committee.epoch = Epoch(1),
        "roots/committee",
        Conclusion::Undecided,
    );
    fails(
        &|trust| trust.vendors = SoftTpm::manufacture().vendors,
        "enrolment/ek-chain",
        Conclusion::Contradicted,
    );
    fails(
        &|trust| trust.vendors.roots.clear(),
        "trust/vendors",
        Conclusion::Contradicted,
    );
}
