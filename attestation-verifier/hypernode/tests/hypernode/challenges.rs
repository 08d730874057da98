//! Fill and chase against an agent that keeps its region in memory, and against one that cheats.

use assay_bench::network::{Act, Bench, CALM, NODE, frame, outcome, say, serve, serve_on, session};
use assay_hypernode::challenge::{Asking, chase, fill};
use assay_hypernode::clock;
use assay_hypernode::context::Context;
use assay_protocol::answers::{
    ChainLink, ChaseAnswer, Counter, Countersigned, FillReceipt, counter,
};
use assay_protocol::chase::{ChasePlan, LaneState, walk};
use assay_protocol::cose;
use assay_protocol::ids::{Digest, HyperNodeId, NetworkId, Nonce};
use assay_protocol::item::Blob;
use assay_protocol::limits::CHASE_ANSWER_BYTES_MAX;
use assay_protocol::merkle;
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, metric};
use assay_protocol::region::{BLOCK_BYTES, Keystream, RegionId, key_hash};
use assay_protocol::wire::{AgentReply, AgentRequest};
use assay_transport::Identity;
use std::sync::Arc;
use std::time::Duration;

const ID: RegionId = RegionId {
    region: 0,
    generation: 0,
};
const LINK: ChainLink = ChainLink {
    sequence: 0,
    previous: Digest([0; 32]),
};

/// An agent that takes a fill.
struct Filler {
    key: Identity,
    network: NetworkId,
    hypernode: HyperNodeId,
    begun: Option<(RegionId, Digest, u32)>,
    leaves: Vec<Digest>,
}

impl Filler {
    fn receipt(&self) -> FillReceipt {
        let (id, key_hash, blocks) = self.begun.unwrap();
        FillReceipt {
            network: self.network,
            node: NODE,
            hypernode: self.hypernode,
            region: id.region,
            generation: id.generation,
            key_hash,
            blocks,
            root: merkle::root(&self.leaves),
            link: LINK,
            at: clock::now(),
        }
    }

    /// Honest but for its receipt.
    fn answer(&mut self, request: AgentRequest, lie: fn(&mut FillReceipt)) -> Vec<Act> {
        match request {
            AgentRequest::FillBegin {
                id,
                key_hash,
                blocks,
            } => {
                self.begun = Some((id, key_hash, blocks));
                say(&AgentReply::Ready)
            }
            AgentRequest::FillData { first, data } => {
                assert_eq!(first as usize, self.leaves.len());
                self.leaves
                    .extend(data.chunks(BLOCK_BYTES).map(merkle::leaf_hash));
                say(&AgentReply::Ready)
            }
            AgentRequest::FillEnd => {
                let mut receipt = self.receipt();
                lie(&mut receipt);
                let bytes = cose::seal(receipt, &self.key).bytes().to_vec();
                say(&AgentReply::Answer { bytes })
            }
            AgentRequest::FillCountersigned { receipt } => {
                let opened = cose::open::<Countersigned>(&receipt, &self.hypernode.0).unwrap();
                let own = cose::open::<FillReceipt>(&opened.payload().receipt.0, &{
                    session(&self.key).0
                });
                assert_eq!(own.unwrap().payload().root, merkle::root(&self.leaves));
                say(&AgentReply::Ready)
            }
            other => panic!("{other:?}"),
        }
    }
}

fn filler(context: &Context, key: &Identity) -> Filler {
    Filler {
        key: key.clone(),
        network: context.network,
        hypernode: context.own,
        begun: None,
        leaves: Vec::new(),
    }
}

async fn filled(bench: &Bench, context: &Context, key: &Identity, endpoint: &str) -> Outcome {
    let node = bench.registered(NODE, endpoint);
    let asking = Asking::begin(context, &node, bench.place()).unwrap();
    let class = fill::run(&asking, session(key), ID).await.unwrap();
    let outcome = outcome(context, OutcomeKind::Fill);
    assert_eq!(outcome.class, class);
    outcome
}

async fn fill_with(lie: fn(&mut FillReceipt)) -> (Bench, Arc<Context>, Outcome) {
    let bench = Bench::new(CALM);
    let (context, key) = (bench.open(0), Identity::generate().unwrap());
    let mut agent = filler(&context, &key);
    let endpoint = serve(&key, move |request| agent.answer(request, lie));
    let outcome = filled(&bench, &context, &key, &endpoint).await;
    (bench, context, outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_is_kept_with_its_countersigned_receipt_and_the_key_hash_logged_before() {
    let (bench, context, filled) = fill_with(|_| ()).await;
    assert_eq!(filled.class, OutcomeClass::Pass, "{filled:?}");
    let bytes = u64::from(bench.class.budget.region_blocks) * BLOCK_BYTES as u64;
    assert_eq!(filled.metric(metric::FILL_BYTES), Some(bytes));
    let kept = context.receipt(&NODE, ID).unwrap().unwrap();
    let opened = cose::open::<Countersigned>(&kept.0, &context.own.0).unwrap();
    assert_eq!(opened.payload().node, NODE);

    let logged = outcome(&context, OutcomeKind::RegionKey);
    assert!(logged.window.1 <= filled.window.1);
    let object = context.raw_of(&logged.evidence[0].salted_digest).unwrap();
    let raw = context.objects.get(&object.unwrap(), 64).unwrap();
    let hash = key_hash(&context.region_key(&NODE, ID));
    assert_eq!(raw, fill::region_key_record(ID, &hash));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_differs_in_anything_is_refused_and_not_kept() {
    let lies: [fn(&mut FillReceipt); 8] = [
        |r| r.root.0[0] ^= 1,
        |r| r.key_hash.0[0] ^= 1,
        |r| r.network.0[0] ^= 1,
        |r| r.node.0[0] ^= 1,
        |r| r.hypernode.0[0] ^= 1,
        |r| r.region = 1,
        |r| r.generation = 1,
        |r| r.blocks /= 2,
    ];
    for lie in lies {
        let (_bench, context, outcome) = fill_with(lie).await;
        assert_eq!(outcome.class, OutcomeClass::Inconclusive, "{outcome:?}");
        assert!(
            outcome.detail.starts_with("fill receipt: expected"),
            "{outcome:?}"
        );
        assert_eq!(context.receipt(&NODE, ID).unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_breaks_off_anywhere_leaves_no_receipt() {
    type Break = fn(&AgentRequest) -> Option<Vec<Act>>;
    let breaks: [(Break, &str); 6] = [
        (
            |r| matches!(r, AgentRequest::FillBegin { .. }).then(|| vec![Act::Close]),
            "connection",
        ),
        (
            |r| matches!(r, AgentRequest::FillData { first: 32, .. }).then(|| vec![Act::Close]),
            "connection",
        ),
        (
            |r| matches!(r, AgentRequest::FillEnd).then(|| say(&AgentReply::Ready)),
            "expected a receipt",
        ),
        (
            |r| {
                matches!(r, AgentRequest::FillEnd).then(|| {
                    let receipt = vec![1; 30];
                    say(&AgentReply::Answer { bytes: receipt })
                })
            },
            "fill receipt",
        ),
        (
            |r| matches!(r, AgentRequest::FillCountersigned { .. }).then(|| vec![Act::Close]),
            "connection",
        ),
        (
            |r| {
                let bytes = Vec::new();
                matches!(r, AgentRequest::FillCountersigned { .. })
                    .then(|| say(&AgentReply::Evidence { bytes }))
            },
            "expected ready",
        ),
    ];
    let bench = Bench::new(CALM);
    for (broken, why) in breaks {
        let (context, key) = (bench.fresh(0), Identity::generate().unwrap());
        let mut agent = filler(&context, &key);
        let endpoint = serve(&key, move |request| {
            broken(&request).unwrap_or_else(|| agent.answer(request, |_| ()))
        });
        let outcome = filled(&bench, &context, &key, &endpoint).await;
        assert_eq!(outcome.class, OutcomeClass::Inconclusive, "{outcome:?}");
        assert!(outcome.detail.contains(why), "{why}: {outcome:?}");
        assert_eq!(context.receipt(&NODE, ID).unwrap(), None);
    }
}

/// A peer that stops reading must not hold the node's task for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stops_reading_is_given_up() {
    let bench = Bench::new(CALM);
    let (context, key) = (bench.open(0), Identity::generate().unwrap());
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(8).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    let endpoint = serve_on(listener, &key, |request| match request {
        AgentRequest::FillBegin { .. } => {
            let mut acts = say(&AgentReply::Ready);
            acts.push(Act::Hang);
            acts
        }
        other => panic!("{other:?}"),
    });
    let filling = filled(&bench, &context, &key, &endpoint);
    let outcome = tokio::time::timeout(Duration::from_secs(40), filling).await;
    let outcome = outcome.expect("still waiting");
    assert_eq!(outcome.class, OutcomeClass::Inconclusive);
    assert!(outcome.detail.contains("within 10000 ms"), "{outcome:?}");
}

/// What a scripted agent answers a chase with.
struct Walked {
    lanes: Vec<Vec<LaneState>>,
    plan: ChasePlan,
    nonce: Nonce,
    /// Bytes that the device is said to have read meanwhile; nothing when no device is named.
    device_bytes: Option<u64>,
}

impl Walked {
    fn honest(context: &Context, nonce: Nonce, plan: ChasePlan) -> Self {
        let keystream = Keystream::new(&context.region_key(&NODE, ID)).unwrap();
        let lane = |lane| walk(&plan, &nonce, lane, |index| keystream.block(index)).unwrap();
        Self {
            lanes: (0..plan.lanes).map(lane).collect(),
            plan,
            nonce,
            device_bytes: Some(plan.reads() * BLOCK_BYTES as u64),
        }
    }

    /// Counters after so many such chases.
    fn counters(&self, chases: u64) -> Vec<Counter> {
        let counter = |id, scope: &str, value| Counter {
            id,
            scope: scope.into(),
            value,
        };
        let reads = counter(counter::REGION_READ_IOS, "", chases * self.plan.reads());
        let device = self
            .device_bytes
            .map(|bytes| counter(counter::DISK_READ_BYTES, "vda", 7 + chases * bytes));
        device.into_iter().chain([reads]).collect()
    }

    fn checkpoints(&self) -> Vec<u8> {
        let lanes = (0..).zip(&self.lanes);
        let each = lanes.flat_map(|(lane, states)| {
            (0..).zip(states).map(move |(number, state)| {
                frame(&AgentReply::Checkpoint {
                    lane,
                    number,
                    state: *state,
                })
            })
        });
        each.flatten().collect()
    }

    fn answer(&self, signer: &Identity) -> Vec<u8> {
        let answer = ChaseAnswer {
            node: NODE,
            nonce: self.nonce,
            region: self.plan.id.region,
            generation: self.plan.id.generation,
            blocks: self.plan.blocks,
            steps: self.plan.steps,
            checkpoint_every: self.plan.checkpoint_every,
            lanes: self
                .lanes
                .iter()
                .map(|states| ChaseAnswer::lane_blob(states))
                .collect::<Vec<Blob>>(),
            link: LINK,
            counters: self.counters(1),
            at: clock::now(),
            counters_before: self.counters(0),
        };
        let bytes = cose::seal(answer, signer).bytes().to_vec();
        frame(&AgentReply::Answer { bytes })
    }

    fn all(&self, signer: &Identity) -> Vec<Act> {
        vec![Act::Say(self.checkpoints()), Act::Say(self.answer(signer))]
    }
}

/// Chases with an agent that got the honest walk and its key, and makes of it what it wants.
async fn chased(act: fn(Walked, &Identity) -> Vec<Act>) -> Outcome {
    let bench = Bench::new(CALM);
    let (context, key) = (bench.open(0), Identity::generate().unwrap());
    let (signer, walker) = (key.clone(), Arc::clone(&context));
    let endpoint = serve(&key, move |request| match request {
        AgentRequest::Chase { nonce, plan } => act(Walked::honest(&walker, nonce, plan), &signer),
        other => panic!("{other:?}"),
    });
    let node = bench.registered(NODE, &endpoint);
    let asking = Asking::begin(&context, &node, bench.place()).unwrap();
    let class = chase::run(&asking, session(&key), ID).await.unwrap();
    let outcome = outcome(&context, OutcomeKind::Chase);
    assert_eq!(outcome.class, class);
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_chase_passes_with_its_time() {
    let outcome = chased(|walked, key| walked.all(key)).await;
    assert_eq!(outcome.class, OutcomeClass::Pass, "{outcome:?}");
    assert_eq!(outcome.metric(metric::CHASE_READS), Some(256));
    let (time, rate) = (
        outcome.metric(metric::CHASE_US).unwrap(),
        outcome.metric(metric::CHASE_READS_PER_S).unwrap(),
    );
    assert_eq!(rate, 256 * 1_000_000 / time);
    assert_eq!(outcome.metric(metric::CHASE_IS_IOPS), Some(0), "liveness");
    assert_eq!(outcome.detail, "");
}

/// Only the HyperNode's own measurement counts; what the agent says of its device is passed on to people.
#[tokio::test(flavor = "multi_thread")]
async fn a_chase_whose_device_did_not_read_passes_with_a_warning() {
    type Claim = fn(Walked, &Identity) -> Vec<Act>;
    let claims: [(Claim, &str); 2] = [
        (
            |mut walked, key| {
                walked.device_bytes = walked.device_bytes.map(|bytes| bytes - 1);
                walked.all(key)
            },
            "disk_read_bytes vda: expected to move by at least 1048576, moved by 1048575",
        ),
        (
            |mut walked, key| {
                walked.device_bytes = None;
                walked.all(key)
            },
            "no block device of its own",
        ),
    ];
    for (claim, why) in claims {
        let outcome = chased(claim).await;
        assert_eq!(outcome.class, OutcomeClass::Pass, "{outcome:?}");
        assert!(outcome.detail.contains(why), "{why}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_walk_fails() {
    type Lie = fn(Walked, &Identity) -> Vec<Act>;
    let lies: [(Lie, &str); 4] = [
        (
            |mut walked, key| {
                walked.lanes[2][1][0] ^= 1;
                walked.all(key)
            },
            "lane 2: checkpoint 1",
        ),
        (
            |mut walked, key| {
                walked.lanes[3].pop();
                walked.all(key)
            },
            "checkpoints of a lane: expected 4, got 3",
        ),
        (
            |mut walked, key| {
                walked.plan.steps /= 2;
                walked.lanes.iter_mut().for_each(|lane| lane.truncate(2));
                walked.all(key)
            },
            "steps: expected 64, got 32",
        ),
        (
            |mut walked, key| {
                walked.lanes.pop();
                walked.all(key)
            },
            "lanes: expected 4, got 3",
        ),
    ];
    for (lie, why) in lies {
        let outcome = chased(lie).await;
        assert_eq!(outcome.class, OutcomeClass::Fail, "{outcome:?}");
        assert!(outcome.detail.contains(why), "{why}: {outcome:?}");
        assert_eq!(outcome.evidence.len(), 1, "the answer is the proof");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chase_without_a_whole_answer_proves_nothing() {
    type Lie = fn(Walked, &Identity) -> Vec<Act>;
    let lies: [(Lie, &str); 4] = [
        (
            |walked, _| {
                let mut half = walked.checkpoints();
                half.truncate(half.len() / 2);
                vec![Act::Say(half), Act::Close]
            },
            "connection",
        ),
        (
            |walked, _| vec![Act::Say(walked.checkpoints()), Act::Close],
            "connection",
        ),
        (
            |walked, key| {
                let twice = [walked.checkpoints(), walked.checkpoints()].concat();
                vec![Act::Say(twice), Act::Say(walked.answer(key))]
            },
            "expected checkpoints",
        ),
        (|_, _| say(&AgentReply::Ready), "expected checkpoints"),
    ];
    for (lie, why) in lies {
        let outcome = chased(lie).await;
        assert_eq!(outcome.class, OutcomeClass::Inconclusive, "{outcome:?}");
        assert!(outcome.detail.contains(why), "{why}: {outcome:?}");
        assert!(outcome.evidence.is_empty() && outcome.metrics.is_empty());
    }
}

/// A frame holds more than an answer may have; nobody has to keep that.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_long_is_not_kept() {
    let outcome = chased(|walked, _| {
        let bytes = vec![0; CHASE_ANSWER_BYTES_MAX + 1];
        let mut acts = vec![Act::Say(walked.checkpoints())];
        acts.extend(say(&AgentReply::Answer { bytes }));
        acts
    })
    .await;
    assert_eq!(outcome.class, OutcomeClass::Inconclusive, "{outcome:?}");
    assert_eq!(outcome.evidence, []);
}

/// Whoever asked may have put such an answer beside the wrong question.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_by_another_key_or_to_another_nonce_proves_nothing() {
    type Lie = fn(Walked, &Identity) -> Vec<Act>;
    let lies: [(Lie, &str); 2] = [
        (
            |mut walked, key| {
                walked.nonce.0[0] ^= 1;
                walked.all(key)
            },
            "nonce",
        ),
        (|walked, _| walked.all(&Identity::generate().unwrap()), ""),
    ];
    for (lie, why) in lies {
        let outcome = chased(lie).await;
        assert_eq!(outcome.class, OutcomeClass::Inconclusive, "{outcome:?}");
        assert!(outcome.detail.contains(why), "{why}: {outcome:?}");
    }
}

/// A chase cannot look fast: the clock runs to the signed answer, and checkpoints sent ahead of their time make it
/// prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_chase_does_not_look_fast_by_checkpoints_sent_ahead() {
    let pause = Duration::from_millis(400);
    let honest = chased_after(pause, |walked| walked.checkpoints()).await;
    assert_eq!(honest.class, OutcomeClass::Pass, "{honest:?}");
    let micros = honest.metric(metric::CHASE_US).unwrap();
    assert!(u128::from(micros) >= pause.as_micros(), "{micros} us");
    assert!(honest.metric(metric::CHASE_READS_PER_S).unwrap() <= 640);

    let nothing: fn(Walked) -> Vec<u8> = |_| Vec::new();
    let made_up: fn(Walked) -> Vec<u8> = |mut walked| {
        walked
            .lanes
            .iter_mut()
            .flatten()
            .for_each(|state| state[0] ^= 1);
        walked.checkpoints()
    };
    let repeated: fn(Walked) -> Vec<u8> = |mut walked| {
        // Sixteen frames, all of the first state, which really was reached early.
        let first = walked.lanes[0][0];
        walked
            .lanes
            .iter_mut()
            .flatten()
            .for_each(|state| *state = first);
        walked.checkpoints()
    };
    for ahead in [nothing, made_up, repeated] {
        let outcome = chased_after(Duration::ZERO, ahead).await;
        assert_eq!(outcome.class, OutcomeClass::Inconclusive, "{outcome:?}");
        assert!(
            outcome.detail.contains("streamed checkpoints"),
            "{outcome:?}"
        );
    }
}

/// The checkpoints `ahead` at once, the honest answer after a pause.
async fn chased_after(pause: Duration, ahead: fn(Walked) -> Vec<u8>) -> Outcome {
    let bench = Bench::new(CALM);
    let (context, key) = (bench.open(0), Identity::generate().unwrap());
    let (signer, walker) = (key.clone(), Arc::clone(&context));
    let endpoint = serve(&key, move |request| {
        let AgentRequest::Chase { nonce, plan } = request else {
            panic!("{request:?}")
        };
        let honest = || Walked::honest(&walker, nonce, plan);
        vec![
            Act::Say(ahead(honest())),
            Act::Wait(pause),
            Act::Say(honest().answer(&signer)),
        ]
    });
    let node = bench.registered(NODE, &endpoint);
    let asking = Asking::begin(&context, &node, bench.place()).unwrap();
    chase::run(&asking, session(&key), ID).await.unwrap();
    outcome(&context, OutcomeKind::Chase)
}
