//! Enrolments, attestations, result tokens and certificates beside them.

use super::*;

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
        ima_before: ImaBefore::Unknown,
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

/// Evidence carries what was measured since the last one; the bundle holds the rest, and no position is believed.
#[test]
fn a_list_in_parts_is_judged_whole() {
    let cast = Cast::measuring(4);
    let audit = reproduced(&cast, &honest);
    assert!(
        audit
            .verdicts
            .iter()
            .all(|verdict| verdict.verdict == "pass")
    );
    // Without them the evidence of the last epoch leads no further than tier 1.
    type Lied = fn(&Cast, &mut Vec<Vec<u8>>);
    let lies: [Lied; 7] = [
        |_, parts| parts.clear(),
        |_, parts| drop(parts.remove(0)),
        |_, parts| drop(parts.remove(1)),
        |_, parts| parts.swap(0, 1),
        |_, parts| parts.push(parts[1].clone()),
        |_, parts| parts[1].truncate(9),
        |cast, parts| parts[1] = cast.measured_in(2).encode(),
    ];
    for lie in lies {
        contradicted(
            &cast,
            "attestation/tier",
            &outcome_in(2, OutcomeKind::Attest, move |cast, draft| {
                let mut parts: Vec<Vec<u8>> = Vec::new();
                draft.raw.retain(|(bytes, media)| {
                    let is_part = *media == media::IMA_PART;
                    parts.extend(is_part.then(|| bytes.clone()));
                    !is_part
                });
                assert_eq!(parts.len(), 2);
                lie(cast, &mut parts);
                let parts = parts.into_iter().map(|part| (part, media::IMA_PART));
                draft.raw.extend(parts);
            }),
        );
    }
    // A tier that was not earned.
    let claimed = outcome_in(2, OutcomeKind::Attest, |_, draft| {
        draft.outcome.metrics = vec![(metric::TIER, 1)];
    });
    contradicted(&cast, "attestation/tier", &claimed);
}

#[test]
fn a_list_whose_parts_are_gone_is_undecided() {
    let cast = Cast::measuring(2);
    let part = layout::evidence(&digest(&[&cast.measured_in(0).encode()]));
    undecided(&cast, "evidence/present", &|told| {
        if let Part::Payload(files) = told {
            files.remove(&part).unwrap();
        }
    });
}
