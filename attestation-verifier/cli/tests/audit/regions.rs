//! Fills, chases and the keys that are revealed for them.

use super::*;
use assay_appraisal::counters;
use assay_protocol::answers::{Counter, counter};

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
    let receipt = |of: usize, stranger: Option<Key>| {
        outcome_in(0, OutcomeKind::Fill, move |cast, draft| {
            let signer = stranger.as_ref().unwrap_or(&cast.session);
            let bytes = cast.receipt(of, REGION, Digest([1; 32]), signer);
            raw(draft, bytes, media::RECEIPT);
        })
    };
    contradicted(&cast, "chase/receipt-root", &receipt(0, None));
    contradicted(&cast, "chase/receipt", &receipt(0, Some(Key::new(77))));
    contradicted(&cast, "chase/receipt", &receipt(1, None));
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
fn a_period_that_is_not_over_leaves_its_chases_undecided() {
    undecided(
        &Cast::new(Behaviour::Honest, 1),
        "chase/key-revealed",
        &honest,
    );
    undecided(&Cast::new(Behaviour::Honest, 3), "chase/class", &honest);
}

/// What the node's own counters say of a chase is in the outcome: its HyperNode can neither leave it out nor make it up.
#[test]
fn a_note_about_counters_that_is_missing_or_made_up_is_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let reads = cast.class.chase_plan(REGION).reads();
    let counting = move |cast: &Cast, draft: &mut Draft, moved: u64| {
        let at = |reads: u64| {
            let values = [
                (counter::DISK_READ_BYTES, "vda", reads * 4_096),
                (counter::REGION_READ_IOS, "", reads),
            ];
            let counter = |(id, scope, value): (u16, &str, u64)| Counter {
                id,
                scope: scope.into(),
                value,
            };
            values.map(counter).to_vec()
        };
        let counters = [at(5), at(5 + moved)];
        let answer = cast.chase_answer_counting(0, &draft.outcome, (REGION, false), counters);
        let opened = cose::open::<ChaseAnswer>(&answer, &cast.session.public_key()).unwrap();
        draft.outcome.detail = counters::note(opened.payload());
        raw(draft, answer, media::CHASE_ANSWER);
    };
    let told = |moved: u64, change: fn(&mut Draft)| {
        outcome_in(0, OutcomeKind::Chase, move |cast, draft| {
            counting(cast, draft, moved);
            assert_eq!(draft.outcome.detail.is_empty(), moved >= reads);
            change(draft);
        })
    };
    reproduced(&cast, &told(reads, |_| ()));
    reproduced(&cast, &told(reads - 1, |_| ()));
    type Lied = fn(&mut Draft);
    let lies: [(u64, Lied); 4] = [
        (reads - 1, |draft| draft.outcome.detail.clear()),
        (reads - 1, |draft| draft.outcome.detail.push('.')),
        (reads, |draft| {
            draft.outcome.detail = "claimed counters contradict the chase: made up".into()
        }),
        (reads, |draft| draft.outcome.detail = "slow".into()),
    ];
    for (moved, lie) in lies {
        contradicted(&cast, "chase/counter-note", &told(moved, lie));
    }
}
