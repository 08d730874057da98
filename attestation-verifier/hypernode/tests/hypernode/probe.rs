//! The census probe against every kind of agent.

use crate::control::{Peer, network};
use assay_bench::network::{
    Act, BRISK, Bench, CALM, FRAME_MAX, NODE, frame, outcome, say, serve, serve_once, session,
};
use assay_hypernode::agent_link::AgentLink;
use assay_hypernode::challenge::{Asking, probe};
use assay_hypernode::clock;
use assay_hypernode::context::Context;
use assay_hypernode::report;
use assay_protocol::answers::{ChainLink, ProbeAnswer};
use assay_protocol::cose;
use assay_protocol::ids::{Digest, Epoch, NodeId, Nonce, SessionKey, Slot};
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::schedule::Challenge;
use assay_protocol::wire::{AgentReply, AgentRequest, Refusal, RefusalCode};
use assay_store::{Acknowledged, Record};
use assay_transport::Identity;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn signed(identity: &Identity, node: NodeId, nonce: Nonce) -> Vec<u8> {
    let link = ChainLink {
        sequence: 0,
        previous: Digest([0; 32]),
    };
    let answer = ProbeAnswer {
        node,
        nonce,
        link,
        counters: Vec::new(),
        at: clock::now(),
    };
    cose::seal(answer, identity).bytes().to_vec()
}

fn answer(identity: &Identity, node: NodeId, nonce: Nonce) -> Vec<Act> {
    let bytes = signed(identity, node, nonce);
    say(&AgentReply::Answer { bytes })
}

fn asked(request: AgentRequest) -> Nonce {
    match request {
        AgentRequest::Probe { nonce } => nonce,
        other => panic!("{other:?}"),
    }
}

fn bound(key: SessionKey) -> Option<probe::Session> {
    Some(probe::Session { key, holds: true })
}

/// Probes an agent with this key and script; the outcome recorded.
async fn probed(
    bench: &Bench,
    context: &Arc<Context>,
    key: &Identity,
    mut script: impl FnMut(Nonce) -> Vec<Act> + Send + 'static,
) -> Outcome {
    let endpoint = serve(key, move |request| script(asked(request)));
    probe_at(bench, context, &endpoint, bound(session(key))).await
}

async fn probe_at(
    bench: &Bench,
    context: &Arc<Context>,
    endpoint: &str,
    session: Option<probe::Session>,
) -> Outcome {
    let node = bench.registered(NODE, endpoint);
    let asking = Asking::begin(context, &node, bench.place()).unwrap();
    let class = probe::run(context, &asking, &mut None, session)
        .await
        .unwrap();
    let outcome = outcome(context, OutcomeKind::Probe);
    assert_eq!(outcome.class, class);
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_answer_passes_and_its_bytes_are_kept() {
    let bench = Bench::new(CALM);
    let (context, key) = (bench.open(0), Identity::generate().unwrap());
    let signer = key.clone();
    let outcome = probed(&bench, &context, &key, move |nonce| {
        answer(&signer, NODE, nonce)
    })
    .await;
    assert_eq!(outcome.class, OutcomeClass::Pass);
    assert_eq!(outcome.metric(metric::ATTEMPTS), Some(1));
    assert!(outcome.metric(metric::RTT_US).unwrap() > 0);
    let [reference] = &outcome.evidence[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(reference.media_type, media::PROBE_ANSWER);
    let object = context.raw_of(&reference.salted_digest).unwrap().unwrap();
    let raw = context.objects.get(&object, FRAME_MAX as u64).unwrap();
    assert_eq!(
        *reference,
        Outcome::reference(&outcome.r, &raw, media::PROBE_ANSWER)
    );
    cose::open::<ProbeAnswer>(&raw, &session(&key).0).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_within_the_slot_counts() {
    let bench = Bench::new(CALM);
    let (context, key) = (bench.open(0), Identity::generate().unwrap());
    let signer = key.clone();
    let outcome = probed(&bench, &context, &key, move |nonce| {
        let mut acts = vec![Act::Wait(Duration::from_millis(1_500))];
        acts.extend(answer(&signer, NODE, nonce));
        acts
    });
    let outcome = outcome.await;
    assert_eq!(outcome.class, OutcomeClass::Pass);
    assert_eq!(outcome.metric(metric::ATTEMPTS), Some(1));
    assert!(outcome.metric(metric::RTT_US).unwrap() >= 1_500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_made_anew_with_the_same_nonce() {
    let bench = Bench::new(CALM);
    let (context, key) = (bench.open(0), Identity::generate().unwrap());
    let (signer, nonces) = (key.clone(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&nonces);
    let outcome = probed(&bench, &context, &key, move |nonce| {
        let mut seen = seen.lock().unwrap();
        seen.push(nonce);
        if seen.len() < 3 {
            return vec![Act::Close];
        }
        answer(&signer, NODE, nonce)
    });
    let outcome = outcome.await;
    assert_eq!(outcome.class, OutcomeClass::Pass);
    assert_eq!(outcome.metric(metric::ATTEMPTS), Some(3));
    let nonces = nonces.lock().unwrap();
    assert!(nonces.len() == 3 && nonces.iter().all(|nonce| *nonce == nonces[0]));
}

type Lie = fn(&Identity, Nonce) -> Vec<Act>;

fn stranger() -> Identity {
    Identity::generate().unwrap()
}

/// Answers that are none, and a word of why.
fn lies() -> Vec<(Lie, &'static str)> {
    let refuse = |_: &Identity, _| {
        let refusal = Refusal::new(RefusalCode::Busy, "come back later");
        say(&AgentReply::Refused(refusal))
    };
    vec![
        (|key, _| answer(key, NODE, Nonce([9; 32])), "expected nonce"),
        (
            |key, nonce| answer(key, NodeId([9; 32]), nonce),
            "expected node",
        ),
        (
            |_, nonce| answer(&stranger(), NODE, nonce),
            "protected header",
        ),
        (
            |_, _| vec![Act::Say(b"GET / HTTP/1.1\r\n\r\n".to_vec())],
            "magic",
        ),
        (
            |_, _| vec![Act::Say(frame(&[0xffu8; 9]))],
            "not a valid message",
        ),
        (
            |_, _| vec![Act::Say(b"ASY1\x01\xff\xff\xff\xff".to_vec())],
            "at most",
        ),
        (|_, _| say(&AgentReply::Ready), "expected a signed answer"),
        (|_, _| say(&AgentReply::Answer { bytes: vec![0; 40] }), ""),
        (|_, _| vec![Act::Close], "connection"),
        (refuse, "come back later"),
        // Long, and every character of four bytes: what is recorded of it is read again.
        (
            |_, _| {
                let (code, text) = (RefusalCode::Busy, "😀".repeat(2_000));
                say(&AgentReply::Refused(Refusal { code, text }))
            },
            "😀😀",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lie_passes_and_without_controls_it_is_the_verifiers_fault() {
    let bench = Bench::new(CALM);
    for (lie, why) in lies() {
        let (context, key) = (bench.fresh(0), Identity::generate().unwrap());
        let signer = key.clone();
        let outcome = probed(&bench, &context, &key, move |nonce| lie(&signer, nonce)).await;
        assert_eq!(outcome.class, OutcomeClass::VerifierFault, "{outcome:?}");
        assert_eq!(outcome.metric(metric::ATTEMPTS), Some(3));
        assert_eq!(outcome.metric(metric::CONTROLS_GOOD), Some(0));
        assert!(outcome.detail.contains(why), "{why}: {}", outcome.detail);
        assert_eq!(outcome.evidence, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lie_passes_and_with_good_controls_the_node_is_unreachable() {
    let (bench, context) = network(CALM, [Peer::Good, Peer::Good, Peer::Gone]).await;
    let key = Identity::generate().unwrap();
    let signer = key.clone();
    let lie = move |_| answer(&signer, NODE, Nonce([9; 32]));
    let outcome = probed(&bench, &context, &key, lie).await;
    assert_eq!(outcome.class, OutcomeClass::Unreachable, "{outcome:?}");
    assert_eq!(outcome.metric(metric::CONTROLS_GOOD), Some(2));
    let media: Vec<&str> = outcome.evidence.iter().map(|e| &e.media_type[..]).collect();
    assert_eq!(media, [media::CONTROL_ANSWER; 2]);
}

/// Whoever had no say in the epoch before has not seen the node restart, and the agent may not know of it yet.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_back_accuses_nobody_in_its_first_epoch() {
    let (bench, context) = network(CALM, [Peer::Good, Peer::Good, Peer::Good]).await;
    let (epoch, before) = (Epoch(5), Epoch(4));
    let roster = bench.params.roster.clone();
    context
        .history(|history| history.learn(epoch, roster))
        .unwrap();
    let node = bench.registered(NODE, "127.0.0.1:1");
    context.note_say(Epoch(3)).unwrap();
    context.note_say(epoch).unwrap();
    let asking = Asking::begin(&context, &node, (epoch, Slot(0))).unwrap();
    let session = bound(SessionKey([1; 32]));
    let class = probe::run(&context, &asking, &mut None, session).await;
    assert_eq!(class.unwrap(), OutcomeClass::VerifierFault);
    let [outcome] = &report::outcomes(&context, epoch, NODE).unwrap()[..] else {
        panic!("one outcome")
    };
    assert_eq!(outcome.metric(metric::CONTROLS_GOOD), Some(2));
    assert!(outcome.detail.contains("had no say before this epoch"));
    assert!(context.is_back(epoch).unwrap() && context.is_back(Epoch(9)).unwrap());

    let context = bench.fresh(0);
    assert!(context.is_back(epoch).unwrap() && !context.is_back(Epoch(1)).unwrap());
    context.note_say(before).unwrap();
    assert!(!context.is_back(epoch).unwrap() && context.is_back(before).unwrap());
    context.note_say(epoch).unwrap();
    assert!(!context.is_back(epoch).unwrap());
    assert!(!context.is_back(epoch.next()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_good_control_is_too_few() {
    let (bench, context) = network(CALM, [Peer::Good, Peer::WrongNonce, Peer::Gone]).await;
    let outcome = probe_at(&bench, &context, "127.0.0.1:1", bound(SessionKey([1; 32]))).await;
    assert_eq!(outcome.class, OutcomeClass::VerifierFault, "{outcome:?}");
    assert_eq!(outcome.metric(metric::CONTROLS_GOOD), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_another_tls_key_is_not_even_asked() {
    let (bench, context) = network(CALM, [Peer::Good, Peer::Good, Peer::Good]).await;
    let endpoint = serve(&stranger(), |request: AgentRequest| panic!("{request:?}"));
    let outcome = probe_at(&bench, &context, &endpoint, bound(SessionKey([1; 32]))).await;
    assert_eq!(outcome.class, OutcomeClass::Unreachable, "{outcome:?}");
}

/// Each silence is waited for to the third quarter of the slot, and the controls are asked in the rest.
#[tokio::test(flavor = "multi_thread")]
async fn silence_and_an_answer_too_late_are_no_answers() {
    let silent: fn(&Identity, Nonce) -> Vec<Act> = |_, _| vec![Act::Hang];
    let late: fn(&Identity, Nonce) -> Vec<Act> = |key, nonce| {
        let mut acts = vec![Act::Wait(Duration::from_millis(BRISK.slot))];
        acts.extend(answer(key, NODE, nonce));
        acts
    };
    for script in [silent, late] {
        let (bench, context) = network(BRISK, [Peer::Good, Peer::Good, Peer::Good]).await;
        let key = Identity::generate().unwrap();
        let (epoch, slot) = bench.place();
        let next = bench
            .params
            .slot_start(epoch, assay_protocol::ids::Slot(slot.0 + 1));
        clock::sleep_until(next).await;
        let signer = key.clone();
        let outcome = probed(&bench, &context, &key, move |nonce| script(&signer, nonce)).await;
        assert_eq!(outcome.class, OutcomeClass::Unreachable, "{outcome:?}");
        assert_eq!(outcome.metric(metric::ATTEMPTS), Some(1));
        assert!(outcome.detail.contains("no answer within"), "{outcome:?}");
        let asked_for = outcome.window.1.0 - next.0;
        assert!(asked_for >= BRISK.slot * 3 / 4, "{asked_for}");
        assert!(asked_for < BRISK.slot, "{asked_for}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_bound_key_is_inconclusive_and_not_asked() {
    let bench = Bench::new(CALM);
    let context = bench.open(0);
    let endpoint = serve(&stranger(), |request: AgentRequest| panic!("{request:?}"));
    let outcome = probe_at(&bench, &context, &endpoint, None).await;
    assert_eq!(outcome.class, OutcomeClass::Inconclusive);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_counts_after_the_binding_ended_and_an_answer_does_not() {
    let (bench, context) = network(CALM, [Peer::Good, Peer::Good, Peer::Good]).await;
    let key = stranger();
    let ended = Some(probe::Session {
        key: session(&key),
        holds: false,
    });
    let outcome = probe_at(&bench, &context, "127.0.0.1:1", ended).await;
    assert_eq!(outcome.class, OutcomeClass::Unreachable, "{outcome:?}");
    let signer = key.clone();
    let endpoint = serve(&key, move |request| answer(&signer, NODE, asked(request)));
    drop(context);
    let outcome = probe_at(&bench, &bench.fresh(0), &endpoint, ended).await;
    assert_eq!(outcome.class, OutcomeClass::Inconclusive, "{outcome:?}");
    assert_eq!(outcome.evidence, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_for_the_next_probe_but_not_for_another_session_or_address() {
    let bench = Bench::new(CALM);
    let (first, second) = (stranger(), stranger());
    let answering = |key: &Identity| {
        let signer = key.clone();
        serve_once(key, move |request| answer(&signer, NODE, asked(request)))
    };
    let (kept, moved) = (answering(&first), answering(&first));
    let other = answering(&second);
    let mut link: Option<AgentLink> = None;
    // Each agent takes one connection only.
    for (key, endpoint) in [
        (&first, &kept),
        (&first, &kept),
        (&first, &moved),
        (&second, &other),
        (&second, &other),
    ] {
        let context = bench.fresh(0);
        let node = bench.registered(NODE, endpoint);
        let asking = Asking::begin(&context, &node, bench.place()).unwrap();
        let class = probe::run(&context, &asking, &mut link, bound(session(key)));
        assert_eq!(class.await.unwrap(), OutcomeClass::Pass);
        let made = link.as_ref().unwrap();
        assert_eq!(
            (made.peer(), made.endpoint()),
            (session(key), &endpoint[..])
        );
    }
}

/// One that an older program wrote stops no report.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_nobody_can_read_does_not_count() {
    let bench = Bench::new(CALM);
    let (context, key) = (bench.open(0), stranger());
    let signer = key.clone();
    let good = probed(&bench, &context, &key, move |nonce| {
        answer(&signer, NODE, nonce)
    })
    .await;
    let (epoch, slot) = good.place;
    let unreadable = Outcome {
        detail: "😀".repeat(400),
        ..good.clone()
    };
    let record = Record {
        epoch,
        slot,
        node: NODE,
        kind: OutcomeKind::Attest as u8,
        salt: [1; 32],
        signed: cose::seal(unreadable, &context.identity).bytes().to_vec(),
    };
    let kept = context.journal(|journal| journal.acknowledge(&record));
    assert_eq!(kept.unwrap(), Acknowledged::Recorded);
    assert_eq!(report::outcomes(&context, epoch, NODE).unwrap(), [good]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_probe_of_the_slot_adds_nothing() {
    let bench = Bench::new(CALM);
    let (context, key) = (bench.open(0), stranger());
    let signer = key.clone();
    let first = probed(&bench, &context, &key, move |nonce| {
        answer(&signer, NODE, nonce)
    })
    .await;
    let node = bench.registered(NODE, "127.0.0.1:1");
    let asking = Asking::begin(&context, &node, first.place).unwrap();
    let nonce = asking.nonce(Challenge::Probe);
    assert_ne!(asking.r, first.r);
    probe::run(&context, &asking, &mut None, bound(session(&key)))
        .await
        .unwrap();
    assert_eq!(outcome(&context, OutcomeKind::Probe), first, "not {nonce}");
}
