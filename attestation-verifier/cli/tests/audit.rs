//! Synthetic bundles through the audit: honest ones are reproduced, whatever the verdict; changed bytes and lies told
//! consistently (re-hashed, re-signed, re-sealed) never are, and the check that finds them is named.

mod network;

use assay_appraisal::appraise::{self, Configurations, Endorsements, Expectation, Policy};
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
use assay_protocol::layout::{self, Claim, Proofs, SignedRoot};
use assay_protocol::outcome::{Outcome as Signed, OutcomeClass, OutcomeKind, media, metric};
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

#[test]
fn lies_in_reports_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let on_panel = |cells: &Blob| cells.0.iter().position(|cell| *cell == 1).unwrap();
    contradicted(
        &cast,
        "log/report-order",
        &report(|r| {
            let again = r.nodes[0].clone();
            r.nodes.push(again);
        }),
    );
    contradicted(
        &cast,
        "report/cells",
        &report(|r| {
            let cells = &mut r.nodes[0].cells;
            let at = on_panel(cells);
            cells.0[at] = 2;
        }),
    );
    contradicted(
        &cast,
        "report/attest",
        &report(|r| r.nodes[0].attest.owner = Some(Address([9; 20]))),
    );
    contradicted(
        &cast,
        "report/attest",
        &report(|r| r.nodes[0].attest.tier = 0),
    );
    contradicted(
        &cast,
        "report/chase",
        &report(|r| r.nodes[0].chase.reads_per_s += 1),
    );
    contradicted(&cast, "inputs/seed", &report(|r| r.seed = Seed([1; 32])));
    contradicted(&cast, "inputs/epoch", &report(|r| r.epoch = Epoch(0)));
    contradicted(
        &cast,
        "inputs/network",
        &report(|r| r.network = NetworkId([1; 32])),
    );
    contradicted(
        &cast,
        "log/checkpoint-root",
        &report(|r| r.log_root = Digest([1; 32])),
    );
    contradicted(&cast, "log/checkpoint-size", &report(|r| r.log_size += 1));
    contradicted(
        &cast,
        "log/report-outcome-root",
        &report(|r| r.nodes[0].outcome_root = Digest([1; 32])),
    );
    contradicted(
        &cast,
        "log/report-outcome-count",
        &report(|r| r.nodes[0].outcomes += 1),
    );
    contradicted(
        &cast,
        "log/class",
        &report(|r| r.nodes[0].class = Digest([1; 32])),
    );
}

#[test]
fn lies_about_what_an_outcome_speaks_of_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let lies: [Told<Signed>; 9] = [
        ("log/outcome-schema", |o| o.schema = 2),
        ("log/outcome-network", |o| o.network = NetworkId([1; 32])),
        ("log/outcome-node", |o| o.node = NodeId([1; 32])),
        ("log/outcome-hypernode", |o| {
            o.hypernode = HyperNodeId([1; 32])
        }),
        ("log/outcome-class", |o| o.policy = Digest([1; 32])),
        ("log/outcome-epoch", |o| o.place.0 = Epoch(0)),
        ("log/outcome-slot-number", |o| o.place.1 = Slot(8)),
        ("log/outcome-window", |o| o.window.1 = UnixMs(0)),
        ("chase/class", |o| o.kind = OutcomeKind::Chase),
    ];
    for (name, change) in lies {
        contradicted(
            &cast,
            name,
            &outcome(OutcomeKind::Probe, move |_, draft| {
                change(&mut draft.outcome)
            }),
        );
    }
}

#[test]
fn lies_in_proofs_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let path = layout::proofs(Epoch(1), &cast.hypernodes[0].id());
    let lies: [Told<Proofs>; 10] = [
        ("log/node-leaf", |p| p.node_leaf.0[0] ^= 1),
        ("log/node-leaf-covers-outcomes", |p| p.node_leaf.0[60] ^= 1),
        ("log/node-leaf-covers-outcomes", |p| {
            p.node_leaf = p.slots[0].leaf.clone()
        }),
        ("log/node-leaf-in-log", |p| p.path[0].0[0] ^= 1),
        ("log/slot-leaf", |p| p.slots[0].leaf = p.node_leaf.clone()),
        ("log/slot-leaf-in-log", |p| p.slots[0].index += 1),
        ("log/slot-leaf-once", |p| p.slots.push(p.slots[0].clone())),
        ("log/outcome-slot", |p| p.places[0].slot = Slot(9)),
        ("log/outcome-in-slot", |p| p.places[0].salt = [1; 32]),
        ("log/outcome-in-slot", |p| p.places[0].position += 1),
    ];
    for (name, change) in lies {
        contradicted(
            &cast,
            name,
            &payload(|files| {
                let mut proofs = Proofs::decode("proofs", 1 << 20, &files[&path]).unwrap();
                change(&mut proofs);
                files.insert(path.clone(), proofs.encode());
            }),
        );
    }
    // The last outcome, and every word of it, left out of the bundle.
    contradicted(
        &cast,
        "log/node-leaf-covers-outcomes",
        &payload(|files| {
            let mut proofs = Proofs::decode("proofs", 1 << 20, &files[&path]).unwrap();
            proofs.places.pop();
            let last = layout::outcome(
                Epoch(1),
                &cast.hypernodes[0].id(),
                proofs.places.len() as u32,
            );
            files.remove(&last).unwrap();
            files.insert(path.clone(), proofs.encode());
        }),
    );
}

#[test]
fn an_outcome_or_checkpoint_of_another_hypernode_is_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let ids = [cast.hypernodes[0].id(), cast.hypernodes[1].id()];
    let swapped = |paths: [String; 2]| {
        payload(move |files| {
            let other = files[&paths[1]].clone();
            files.insert(paths[0].clone(), other);
        })
    };
    let name = "log/checkpoint";
    contradicted(
        &cast,
        name,
        &swapped(ids.map(|id| layout::checkpoint(Epoch(1), &id))),
    );
    let name = "inputs/signature";
    contradicted(
        &cast,
        name,
        &swapped(ids.map(|id| layout::report(Epoch(1), &id))),
    );
    let name = "log/outcome-in-slot";
    contradicted(
        &cast,
        name,
        &swapped(ids.map(|id| layout::outcome(Epoch(1), &id, 0))),
    );
}

#[test]
fn lies_in_probes_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let probe = OutcomeKind::Probe;
    contradicted(
        &cast,
        "probes/answer",
        &outcome(probe, |cast, draft| {
            raw(
                draft,
                cast.probe_answer(&draft.outcome, &Key::new(77)),
                media::PROBE_ANSWER,
            );
        }),
    );
    contradicted(
        &cast,
        "probes/answer",
        &outcome(probe, |cast, draft| {
            let other = Signed {
                place: (Epoch(1), Slot(draft.outcome.place.1.0 ^ 1)),
                ..draft.outcome.clone()
            };
            raw(
                draft,
                cast.probe_answer(&other, &cast.session),
                media::PROBE_ANSWER,
            );
        }),
    );
    contradicted(
        &cast,
        "probes/answer",
        &outcome(probe, |_, draft| draft.raw.clear()),
    );
    contradicted(
        &cast,
        "probes/answer",
        &outcome(probe, |_, draft| {
            let mut again = draft.raw.clone();
            again[0].0.push(0);
            draft.raw.extend(again);
        }),
    );
    contradicted(
        &cast,
        "probes/start-time",
        &outcome(probe, |_, draft| draft.outcome.window.0.0 -= 2),
    );
    contradicted(
        &cast,
        "probes/start-time",
        &outcome(probe, |_, draft| {
            draft.outcome.window.0.0 += 200;
            draft.outcome.window.1.0 += 200;
        }),
    );
    // An answer at hand, yet said to be wrong, or not to have come.
    contradicted(
        &cast,
        "probes/wrong-answer",
        &outcome(probe, |_, d| d.outcome.class = OutcomeClass::Fail),
    );
    contradicted(
        &cast,
        "probes/controls",
        &outcome(probe, |_, d| d.outcome.class = OutcomeClass::Unreachable),
    );
}

#[test]
fn silence_counts_only_beside_good_control_probes() {
    let cast = Cast::new(Behaviour::Silent, 2);
    let controls = |change: fn(&Cast, &Signed) -> Vec<Vec<u8>>| {
        outcome(OutcomeKind::Probe, move |cast, draft| {
            let answers = change(cast, &draft.outcome);
            draft.raw = answers
                .into_iter()
                .map(|bytes| (bytes, media::CONTROL_ANSWER))
                .collect();
        })
    };
    let name = "probes/controls";
    contradicted(
        &cast,
        name,
        &controls(|cast, o| vec![cast.control_answer(o, 1)]),
    );
    contradicted(
        &cast,
        name,
        &controls(|cast, o| vec![cast.control_answer(o, 1); 2]),
    );
    contradicted(
        &cast,
        name,
        &controls(|cast, o| vec![cast.control_answer(o, 1), cast.control_answer(o, 0)]),
    );
    contradicted(
        &cast,
        name,
        &controls(|cast, o| {
            let other = Signed {
                r: [0; 32],
                ..o.clone()
            };
            vec![cast.control_answer(o, 1), cast.control_answer(&other, 2)]
        }),
    );
    reproduced(
        &cast,
        &controls(|cast, o| (1..4).map(|by| cast.control_answer(o, by)).collect()),
    );
}

#[test]
fn lies_about_attestations_are_named() {
    let attest = OutcomeKind::Attest;
    let rogue = Cast::new(Behaviour::Rogue, 2);
    contradicted(
        &rogue,
        "attestation/class",
        &outcome(attest, |_, draft| {
            draft.outcome.class = OutcomeClass::Pass;
            draft.outcome.metrics = vec![(metric::TIER, 1)];
        }),
    );
    let cast = Cast::new(Behaviour::Honest, 2);
    let name = "attestation/class";
    contradicted(
        &cast,
        name,
        &outcome(attest, |_, draft| draft.outcome.class = OutcomeClass::Fail),
    );
    contradicted(
        &cast,
        "attestation/tier",
        &outcome(attest, |_, draft| {
            draft.outcome.metrics = vec![(metric::TIER, 2)]
        }),
    );
    contradicted(
        &cast,
        "attestation/evidence",
        &outcome(attest, |_, draft| draft.raw.clear()),
    );
    // `fail` without evidence, with two pieces of it, and for evidence that is refused: that proves nothing.
    let failed = |change: fn(&Cast, &mut Draft)| {
        outcome(attest, move |cast, draft| {
            draft.outcome.class = OutcomeClass::Fail;
            draft.outcome.metrics = vec![(metric::TIER, 0)];
            change(cast, draft);
        })
    };
    contradicted(
        &cast,
        "attestation/evidence",
        &failed(|_, draft| draft.raw.clear()),
    );
    contradicted(
        &cast,
        "attestation/evidence",
        &failed(|_, draft| draft.raw.push(draft.raw[0].clone())),
    );
    contradicted(
        &cast,
        name,
        &failed(|cast, draft| {
            let stale = cast.evidence(&draft.outcome, 1, &cast.session);
            raw(draft, stale, media::EVIDENCE);
        }),
    );
    // A clock that went back, another nonce, another TPM's quote.
    contradicted(
        &cast,
        name,
        &outcome(attest, |cast, draft| {
            raw(
                draft,
                cast.evidence(&draft.outcome, 1, &cast.session),
                media::EVIDENCE,
            );
        }),
    );
    contradicted(
        &cast,
        name,
        &outcome(attest, |cast, draft| {
            let other = Signed {
                r: [0; 32],
                ..draft.outcome.clone()
            };
            raw(
                draft,
                cast.evidence(&other, 9_000, &cast.session),
                media::EVIDENCE,
            );
        }),
    );
    // A new session key kills the old one: the answers under it no longer count.
    contradicted(
        &cast,
        "probes/answer",
        &outcome(attest, |cast, draft| {
            draft.outcome.window = (UnixMs(0), UnixMs(0));
            raw(
                draft,
                cast.evidence(&draft.outcome, 9_000, &Key::new(77)),
                media::EVIDENCE,
            );
        }),
    );
}

#[test]
fn lies_about_enrolments_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let other = SoftTpm::manufacture();
    let enrol = |change: &dyn Fn(&mut assay_protocol::answers::EnrolRecord), name: &str| {
        contradicted(
            &cast,
            name,
            &outcome_in(0, OutcomeKind::Enrol, |_, draft| {
                let kept = &draft.raw[0].0;
                let mut record =
                    assay_protocol::answers::EnrolRecord::decode("record", 1 << 16, kept).unwrap();
                change(&mut record);
                raw(draft, record.encode(), media::ENROL_RECORD);
            }),
        );
    };
    enrol(
        &|record| record.ek_certificate = Blob(other.ek_certificate.clone()),
        "enrolment/ek-chain",
    );
    enrol(
        &|record| record.ek_public = Blob(other.ek_public.clone()),
        "enrolment/ek-template",
    );
    enrol(&|record| record.node = other.node, "enrolment/record-node");
    enrol(&|record| record.ak_public.0[5] = 0, "enrolment/ak-rules");
    enrol(&|record| record.ak_name.0[9] ^= 1, "enrolment/ak-name");
    enrol(
        &|record| {
            record.ak_public = Blob(other.ak_public());
            record.ak_name = other.ak_name();
        },
        "attestation/class",
    );
}

#[test]
fn lies_about_chases_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let chase = OutcomeKind::Chase;
    contradicted(
        &cast,
        "chase/class",
        &outcome(chase, |cast, draft| {
            raw(
                draft,
                cast.chase_answer(0, &draft.outcome, REGION, true),
                media::CHASE_ANSWER,
            );
        }),
    );
    contradicted(
        &cast,
        "chase/class",
        &outcome(chase, |_, draft| draft.outcome.class = OutcomeClass::Fail),
    );
    contradicted(
        &cast,
        "chase/class",
        &outcome(chase, |_, draft| draft.raw.clear()),
    );
    // `fail` without an answer, with two, and for an answer under a key that nothing binds.
    let failed = |change: fn(&mut Draft)| {
        outcome(chase, move |_, draft| {
            draft.outcome.class = OutcomeClass::Fail;
            change(draft);
        })
    };
    contradicted(&cast, "chase/class", &failed(|draft| draft.raw.clear()));
    contradicted(
        &cast,
        "chase/class",
        &failed(|draft| draft.raw.push(draft.raw[0].clone())),
    );
    contradicted(
        &cast,
        "chase/class",
        &failed(|draft| {
            let signer = cose::claimed_signer(&draft.raw[0].0, 1 << 20).unwrap();
            let answer = cose::open::<ChaseAnswer>(&draft.raw[0].0, &signer).unwrap();
            let foreign = cose::seal(answer.into_payload(), &Key::new(77));
            raw(draft, foreign.bytes().to_vec(), media::CHASE_ANSWER);
        }),
    );
    contradicted(
        &cast,
        "chase/rate",
        &outcome(chase, |_, draft| draft.outcome.metrics[2].1 += 1),
    );
    contradicted(
        &cast,
        "chase/reads",
        &outcome(chase, |_, draft| draft.outcome.metrics[0].1 += 1),
    );
    contradicted(
        &cast,
        "chase/kind",
        &outcome(chase, |_, draft| draft.outcome.metrics[3].1 = 1),
    );
}

#[test]
fn lies_about_fills_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    contradicted(
        &cast,
        "chase/receipt-root",
        &outcome_in(0, OutcomeKind::Fill, |cast, draft| {
            raw(
                draft,
                cast.receipt(0, REGION, Digest([1; 32]), &cast.session),
                media::RECEIPT,
            );
        }),
    );
    contradicted(
        &cast,
        "chase/receipt",
        &outcome_in(0, OutcomeKind::Fill, |cast, draft| {
            raw(
                draft,
                cast.receipt(0, REGION, Digest([1; 32]), &Key::new(77)),
                media::RECEIPT,
            );
        }),
    );
    contradicted(
        &cast,
        "chase/receipt",
        &outcome_in(0, OutcomeKind::Fill, |cast, draft| {
            raw(
                draft,
                cast.receipt(1, REGION, Digest([1; 32]), &cast.session),
                media::RECEIPT,
            );
        }),
    );
    contradicted(
        &cast,
        "chase/fill-bytes",
        &outcome_in(0, OutcomeKind::Fill, |_, d| d.outcome.metrics[0].1 += 1),
    );
    contradicted(
        &cast,
        "chase/after-fill",
        &outcome_in(0, OutcomeKind::Fill, |_, d| {
            d.outcome.class = OutcomeClass::Inconclusive;
        }),
    );
    contradicted(
        &cast,
        "chase/key-hash",
        &outcome_in(0, OutcomeKind::RegionKey, |_, d| d.raw[0].0[3] ^= 1),
    );
    contradicted(
        &cast,
        "chase/receipt-key",
        &outcome_in(0, OutcomeKind::RegionKey, |_, d| d.raw[0].0[20] ^= 1),
    );
    contradicted(&cast, "chase/receipt-key", &|part| {
        // The key's hash logged after the fill.
        if let Part::Drafts(0, 0, _, drafts) = part {
            let at = drafts
                .iter()
                .position(|d| d.outcome.kind == OutcomeKind::RegionKey)
                .unwrap();
            drafts.swap(at, at + 1);
        }
    });
}

#[test]
fn lies_about_revealed_keys_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    contradicted(
        &cast,
        "chase/key-revealed",
        &report(|r| r.nodes[0].reveals.clear()),
    );
    contradicted(
        &cast,
        "chase/revealed-key-hash",
        &report(|r| r.nodes[0].reveals[0].key = RegionKey([1; 32])),
    );
    contradicted(
        &cast,
        "chase/reveal-due",
        &report(|r| r.nodes[0].reveals[0].generation += 1),
    );
    contradicted(
        &cast,
        "chase/reveal-once",
        &report(|r| {
            let mut other = r.nodes[0].reveals[0].clone();
            other.key = RegionKey([1; 32]);
            r.nodes[0].reveals.push(other);
        }),
    );
    contradicted(
        &cast,
        "chase/reveal-due",
        &report(|r| r.nodes[0].reveals[0].region += 1),
    );
    // Before the period's last epoch; and another key in a later report.
    let revealed = |at: u64, change: fn(&mut Vec<RegionReveal>)| {
        move |part: Part<'_>| {
            if let Part::Report(0, epoch, report) = part
                && epoch == at
            {
                change(&mut report.nodes[0].reveals);
            }
        }
    };
    let key = cast.region_key(0, REGION);
    contradicted(&cast, "chase/reveal-due", &|part| {
        if let Part::Report(0, 0, report) = part {
            let (region, generation) = (0, 0);
            report.nodes[0].reveals = vec![RegionReveal {
                region,
                generation,
                key,
            }];
        }
    });
    contradicted(
        &Cast::new(Behaviour::Honest, 4),
        "chase/reveal-once",
        &revealed(2, |reveals| reveals[0].key = RegionKey([1; 32])),
    );
}

#[test]
fn a_key_whose_due_report_was_missed_is_revealed_by_any_later_one() {
    let mut missed = Cast::new(Behaviour::Honest, 4);
    missed.absent = Some((0, 1));
    reproduced(&missed, &honest);
    // By one report only: the others say nothing.
    reproduced(&missed, &|part| {
        if let Part::Report(0, 3, report) = part {
            report.nodes[0].reveals.retain(|r| r.generation == 1);
        }
    });
    let withheld = |part: Part<'_>| {
        if let Part::Report(0, _, report) = part {
            report.nodes[0].reveals.retain(|r| r.generation == 1);
        }
    };
    undecided(&missed, "chase/key-revealed", &withheld);
    undecided(&missed, "chase/class", &withheld);
    contradicted(
        &Cast::new(Behaviour::Honest, 4),
        "chase/key-revealed",
        &withheld,
    );
}

#[test]
fn a_void_epoch_counts_only_before_a_signed_root() {
    let mut void = Cast::new(Behaviour::Honest, 4);
    void.void = Some(1);
    let audit = reproduced(&void, &honest);
    assert_eq!(audit.verdicts.len(), 3);
    void.void = Some(3);
    undecided(&void, "roots/void", &honest);
    let claimed = |from: u64| {
        payload(move |files| {
            let mut claim = Claim::decode("claim", 4096, &files[layout::CLAIM]).unwrap();
            claim.void = (from..=claim.last.0).map(Epoch).collect();
            for epoch in &claim.void {
                files.retain(|path, _| !path.starts_with(&format!("epochs/{epoch}/")));
            }
            files.insert(layout::CLAIM.into(), claim.encode());
        })
    };
    // The breach at the end called void; then everything.
    let silent = Cast::new(Behaviour::Silent, 2);
    undecided(&silent, "roots/void", &claimed(1));
    undecided(&silent, "roots/void", &claimed(0));
    undecided(&silent, "roots/signed", &claimed(0));
}

#[test]
fn what_rests_on_an_epoch_that_is_not_in_the_bundle_is_undecided() {
    let cast = |lost| {
        let mut cast = Cast::new(Behaviour::Honest, 4);
        cast.lost = lost;
        cast
    };
    let lost = |epoch| cast(Some((0, epoch)));
    undecided(&lost(0), "attestation/enrolled", &honest);
    undecided(&lost(0), "probes/answer", &honest);
    undecided(&lost(0), "chase/after-fill", &honest);
    undecided(&lost(2), "chase/after-fill", &honest);
    // Nothing rests on the last epoch of a period when everything was bound again since.
    reproduced(&lost(1), &honest);
    // The binding an answer rests on.
    let unbound = |part: Part<'_>| {
        if let Part::Drafts(0, 3, _, drafts) = part {
            drafts.retain(|draft| draft.outcome.kind != OutcomeKind::Attest);
        }
    };
    undecided(&lost(2), "probes/answer", &unbound);
    reproduced(&cast(None), &unbound);
    // The attestation key, enrolled anew.
    let truth = lost(1);
    let mut anew = Cast::new(Behaviour::Honest, 4);
    anew.tpm.node = truth.tpm.node;
    let other_key = outcome_in(2, OutcomeKind::Attest, |cast, draft| {
        let evidence = anew.evidence(&draft.outcome, 9_000, &cast.session);
        raw(draft, evidence, media::EVIDENCE);
    });
    undecided(&truth, "attestation/class", &other_key);
    // The hash of a key, logged an epoch before its fill.
    let apart = |part: Part<'_>| {
        if let Part::Drafts(0, 3, cast, drafts) = part {
            let id = RegionId {
                region: 0,
                generation: 1,
            };
            let [_, fill] = cast.fill(0, 3, id);
            drafts.insert(1, fill);
        }
    };
    undecided(&lost(2), "chase/receipt-key", &apart);
    reproduced(&cast(None), &apart);
    // Other lies remain lies: before the gap, and after it where nothing rests on it.
    let foreign = |epoch| {
        outcome_in(epoch, OutcomeKind::Probe, |cast, draft| {
            let answer = cast.probe_answer(&draft.outcome, &Key::new(77));
            raw(draft, answer, media::PROBE_ANSWER);
        })
    };
    contradicted(&lost(2), "probes/answer", &foreign(1));
    contradicted(&lost(1), "probes/answer", &foreign(3));
    undecided(&lost(2), "probes/answer", &foreign(3));
}

#[test]
fn another_attestation_key_with_no_gap_that_may_have_enrolled_it_is_named() {
    let cast = Cast::new(Behaviour::Honest, 4);
    let mut anew = Cast::new(Behaviour::Honest, 4);
    anew.tpm.node = cast.tpm.node;
    contradicted(
        &cast,
        "attestation/class",
        &outcome_in(2, OutcomeKind::Attest, |cast, draft| {
            let evidence = anew.evidence(&draft.outcome, 9_000, &cast.session);
            raw(draft, evidence, media::EVIDENCE);
        }),
    );
}

#[test]
fn a_period_that_is_not_over_leaves_its_chases_undecided() {
    undecided(
        &Cast::new(Behaviour::Honest, 1),
        "chase/key-revealed",
        &honest,
    );
    undecided(&Cast::new(Behaviour::Honest, 3), "chase/class", &honest);
}

#[test]
fn lies_in_roots_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let root = |change: fn(&mut assay_aggregate::root::EpochRoot)| {
        move |part: Part<'_>| {
            if let Part::Root(0, root) = part {
                change(root);
            }
        }
    };
    contradicted(
        &cast,
        "roots/committee",
        &root(|r| r.next_committee = Keccak([1; 32])),
    );
    contradicted(
        &cast,
        "roots/policy",
        &root(|r| r.policy_digest = Digest([1; 32])),
    );
    contradicted(
        &cast,
        "inputs/evidence-root",
        &root(|r| r.evidence_root = Digest([1; 32])),
    );
    contradicted(
        &cast,
        "inputs/set",
        &root(|r| r.input_set = Digest([1; 32])),
    );
    contradicted(&cast, "roots/epoch", &root(|r| r.epoch = Epoch(1)));
    contradicted(
        &cast,
        "verdict/leaf-in-root",
        &root(|r| r.root = Keccak([1; 32])),
    );
}

#[test]
fn a_committee_in_another_order_or_off_the_roster_is_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let path = layout::root(Epoch(0));
    let lies: [Told<SignedRoot>; 3] = [
        ("roots/committee-order", |root| root.committee.swap(0, 1)),
        ("roots/committee-list", |root| {
            root.committee[1] = root.committee[0]
        }),
        ("roots/committee", |root| {
            root.committee[0].0 = Address([0; 20])
        }),
    ];
    for (name, change) in lies {
        contradicted(
            &cast,
            name,
            &payload(|files| {
                let mut root = SignedRoot::decode("root", 1 << 20, &files[&path]).unwrap();
                change(&mut root);
                files.insert(path.clone(), root.encode());
            }),
        );
    }
}

#[test]
fn lies_in_leaves_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let leaf = |change: fn(&mut assay_aggregate::root::NodeLeaf)| {
        move |part: Part<'_>| {
            if let Part::Leaf(1, leaf) = part {
                change(leaf);
            }
        }
    };
    contradicted(
        &cast,
        "verdict/cumulative_reward",
        &leaf(|l| l.cumulative_reward += 1),
    );
    contradicted(
        &cast,
        "verdict/cumulative_slash",
        &leaf(|l| l.cumulative_slash = 1),
    );
    contradicted(&cast, "verdict/tier", &leaf(|l| l.tier = 2));
    contradicted(&cast, "verdict/verdict", &leaf(|l| l.verdict = 3));
    contradicted(
        &cast,
        "verdict/lower_ppm",
        &leaf(|l| l.lower = Ppm(1_000_000)),
    );
    contradicted(
        &cast,
        "verdict/owner",
        &leaf(|l| l.owner = Address([9; 20])),
    );
}

#[test]
fn too_few_or_foreign_signatures_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let signatures = |change: fn(&mut Vec<Blob>)| {
        move |part: Part<'_>| {
            if let Part::Signatures(0, signatures) = part {
                change(signatures);
            }
        }
    };
    contradicted(
        &cast,
        "roots/quorum",
        &signatures(|s| s.iter_mut().take(3).for_each(|s| s.0.clear())),
    );
    contradicted(&cast, "roots/signature", &signatures(|s| s.swap(0, 1)));
    contradicted(
        &cast,
        "roots/signature-count",
        &signatures(|s| drop(s.pop())),
    );
}

#[test]
fn what_is_missing_or_beside_is_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let first = cast.hypernodes[0].id();
    let evidence = |files: &Files| {
        files
            .keys()
            .rfind(|path| path.starts_with("evidence/"))
            .unwrap()
            .clone()
    };
    undecided(
        &cast,
        "evidence/present",
        &payload(|files| drop(files.remove(&evidence(files)))),
    );
    contradicted(
        &cast,
        "container/unexplained-files",
        &payload(|files| drop(files.insert("extra".into(), vec![1]))),
    );
    let paths = [
        layout::outcome(Epoch(1), &first, 2),
        layout::proofs(Epoch(1), &first),
        layout::checkpoint(Epoch(1), &first),
        layout::report(Epoch(1), &first),
        layout::inputs(Epoch(1)),
        layout::leaf(Epoch(1)),
        layout::root(Epoch(1)),
        layout::class(&cast.class.digest()),
        layout::CLAIM.into(),
        layout::PARAMS.into(),
    ];
    for path in paths {
        let audit = audited(&story(&cast, &payload(|files| drop(files.remove(&path)))));
        assert_ne!(audit.result, Conclusion::Reproduced, "{path}");
        let named = audit
            .checks
            .iter()
            .any(|c| c.about == path && c.outcome == Outcome::Undecided);
        assert!(named, "{path}:\n{}", not_passed(&audit));
    }
}

#[test]
fn missing_evidence_of_any_kind_leaves_it_undecided_and_says_which_numbers_rest_on_words() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let kinds = [
        (OutcomeKind::Enrol, "tier"),
        (OutcomeKind::Attest, "tier"),
        (OutcomeKind::RegionKey, "chase time"),
        (OutcomeKind::Fill, "chase time"),
        (OutcomeKind::Chase, "chase reads"),
        (OutcomeKind::Probe, "slots answered"),
    ];
    for (kind, number) in kinds {
        let lost = std::cell::RefCell::new(String::new());
        let lie = |part: Part<'_>| match part {
            Part::Drafts(0, 0, _, drafts) => {
                let draft = drafts.iter().find(|d| d.outcome.kind == kind).unwrap();
                *lost.borrow_mut() = layout::evidence(&digest(&[&draft.raw[0].0]));
            }
            Part::Payload(files) => drop(files.remove(&*lost.borrow()).unwrap()),
            _ => {}
        };
        let audit = audited(&story(&cast, &lie));
        assert_eq!(
            audit.result,
            Conclusion::Undecided,
            "{kind:?}: {}",
            not_passed(&audit)
        );
        let basis = &audit.verdicts[0].basis;
        let from = &basis
            .iter()
            .find(|basis| basis.number == number)
            .unwrap()
            .from;
        assert!(from.contains("from signed outcomes"), "{kind:?}: {from}");
    }
}

#[test]
fn a_paid_epoch_called_void_is_named() {
    // A paid epoch called void: the sums no longer add up.
    let four = Cast::new(Behaviour::Honest, 4);
    contradicted(
        &four,
        "verdict/cumulative_reward",
        &payload(|files| {
            let mut claim = Claim::decode("claim", 4096, &files[layout::CLAIM]).unwrap();
            claim.void = vec![Epoch(1)];
            files.insert(layout::CLAIM.into(), claim.encode());
            files.retain(|path, _| !path.starts_with("epochs/1/"));
        }),
    );
}

/// Byte `at` of a payload file changed, the bundle sealed anew; evidence gets the name of its new digest.
fn flipped(payload: &Files, path: &str, at: usize) -> Files {
    let mut files = payload.clone();
    let mut bytes = files.remove(path).unwrap();
    bytes[at] ^= 1;
    let path = match path.starts_with("evidence/") {
        true => layout::evidence(&digest(&[&bytes])),
        false => path.to_owned(),
    };
    files.insert(path, bytes);
    files
}

#[test]
fn no_byte_of_any_file_may_change_even_when_sealed_anew() {
    let story = story(&Cast::new(Behaviour::Silent, 2), &honest);
    for (number, (path, bytes)) in story.payload.iter().enumerate() {
        let somewhere = number.wrapping_mul(7_919) % bytes.len();
        let result = audit(flipped(&story.payload, path, somewhere), Some(&story.trust)).result;
        assert_ne!(result, Conclusion::Reproduced, "{path} byte {somewhere}");
    }
    // The claim byte for byte; of the leaf at least one byte of each of its 16 words.
    for (path, step) in [(layout::CLAIM.to_owned(), 1), (layout::leaf(Epoch(1)), 31)] {
        for at in (0..story.payload[&path].len()).step_by(step) {
            let result = audit(flipped(&story.payload, &path, at), Some(&story.trust)).result;
            assert_ne!(result, Conclusion::Reproduced, "{path} byte {at}");
        }
    }
}

#[test]
fn no_byte_of_the_container_may_change() {
    let story = story(&Cast::new(Behaviour::Honest, 2), &honest);
    let bag = bundle::seal(&story.payload).unwrap();
    assert_eq!(bundle::open(&bag).unwrap(), story.payload);
    for (path, bytes) in &bag {
        let tag = !path.starts_with("data/") && bytes.len() < 256;
        let few = [0, bytes.len() / 2, bytes.len() - 1];
        for at in if tag {
            (0..bytes.len()).collect()
        } else {
            few.to_vec()
        } {
            let mut bad = bag.clone();
            bad.get_mut(path).unwrap()[at] ^= 1;
            assert!(bundle::open(&bad).is_err(), "{path} byte {at}");
        }
    }
    let archive = tar::encode_tar(&bag).unwrap();
    for at in (0..archive.len()).step_by(archive.len() / 200) {
        let mut bad = archive.clone();
        bad[at] ^= 1;
        let opened = tar::decode_tar(&bad)
            .map_err(|e| e.to_string())
            .and_then(|bag| bundle::open(&bag).map_err(|e| e.to_string()));
        assert!(opened.is_err(), "byte {at} of the archive");
    }
}

/// The result token of an attestation, changed.
fn token(cast: &Cast, draft: &Draft, change: impl Fn(&mut Ear), signer: &Key) -> Vec<u8> {
    let raw = &draft.raw[0].0;
    let opened = evidence::open(raw, &cast.session.public_key()).unwrap();
    let (hypernode, nonce) = opened.claims().nonces[0];
    let ak = AttestationKey::from_bytes(&cast.tpm.ak_public()).unwrap();
    let expected = Expectation {
        node: cast.tpm.node,
        hypernode,
        nonce,
        session_key: opened.session_key(),
        ak: &ak,
        last_clock: None,
    };
    let at = draft.outcome.window.0;
    let policy = Policy {
        network: cast.network,
        class: &cast.class,
        root_kind: Some(RootKind::Test),
        firmware_min: 0,
        trust: &cast.tpm.vendors,
        configurations: &Configurations::new(),
        endorsements: Endorsements {
            at,
            roots: &SnpRoots::amd(),
            chain: None,
            crl: None,
            cache: &ChainCache::new(),
        },
        ima_position: None,
    };
    let appraisal = appraise::verify(raw, &expected, &policy, Mode::Verify).unwrap();
    let mut ear = appraisal.ear(digest(&[raw]), nonce, at);
    change(&mut ear);
    cose::seal(ear, signer).bytes().to_vec()
}

#[test]
fn lies_in_result_tokens_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let with = |change: fn(&mut Ear)| {
        outcome(OutcomeKind::Attest, move |cast, draft| {
            let token = token(cast, draft, change, &cast.hypernodes[0]);
            draft.raw.push((token, media::RESULT));
        })
    };
    reproduced(&cast, &with(|_| {}));
    // Another version of the verifier words its checks otherwise.
    reproduced(&cast, &with(|ear| ear.build = "9.9.9".into()));
    let lies: [fn(&mut Ear); 6] = [
        |ear| ear.tier = 0,
        |ear| ear.policy.0[0] ^= 1,
        |ear| ear.evidence.0[0] ^= 1,
        |ear| ear.nonce.0[0] ^= 1,
        |ear| ear.node.0[0] ^= 1,
        |ear| ear.issued_at_s += 1,
    ];
    for lie in lies {
        contradicted(&cast, "attestation/result", &with(lie));
    }
    let stranger = outcome(OutcomeKind::Attest, |cast, draft| {
        let token = token(cast, draft, |_| {}, &cast.hypernodes[1]);
        draft.raw.push((token, media::RESULT));
    });
    contradicted(&cast, "attestation/result", &stranger);
    let twice = outcome(OutcomeKind::Attest, |cast, draft| {
        let token = token(cast, draft, |_| {}, &cast.hypernodes[0]);
        draft.raw.push((token.clone(), media::RESULT));
        draft.raw.push((token, media::RESULT));
    });
    contradicted(&cast, "attestation/result", &twice);
}

#[test]
fn certificates_beside_the_evidence_must_be_readable_and_once() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let chain = evidence::AmdChain {
        vcek: Blob(vec![1]),
        ask: Blob(vec![2]),
        ark: Blob(vec![3]),
    };
    let with = |bytes: Vec<u8>, count: usize| {
        outcome(OutcomeKind::Attest, move |_, draft| {
            let piece = (bytes.clone(), media::AMD_CHAIN);
            draft.raw.extend(vec![piece; count]);
        })
    };
    reproduced(&cast, &with(chain.encode(), 1));
    contradicted(&cast, "attestation/amd-chain", &with(vec![0xff], 1));
    contradicted(&cast, "attestation/amd-chain", &with(chain.encode(), 2));
    // What a list says counts only where a chassis is proven; whose it is, is for the appraisal to say.
    let listed = |count: usize| {
        outcome(OutcomeKind::Attest, move |_, draft| {
            draft.raw.extend(vec![(vec![0x30, 0], media::CRL); count]);
        })
    };
    reproduced(&cast, &listed(1));
    contradicted(&cast, "attestation/crl", &listed(2));
}
