//! Answers, silence and control probes.

use super::*;

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
    // The third has left by then.
    let mut left = Cast::new(Behaviour::Silent, 4);
    (left.left, left.silent_in) = (Some((2, 2)), 2);
    let third = controls(|cast, o| vec![cast.control_answer(o, 1), cast.control_answer(o, 2)]);
    contradicted(&left, name, &third);
    reproduced(
        &cast,
        &controls(|cast, o| (1..4).map(|by| cast.control_answer(o, by)).collect()),
    );
}
