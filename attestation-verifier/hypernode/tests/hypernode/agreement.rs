//! A HyperNode that dies in the middle of an agreement sends, when it is back, the same bytes again.

use crate::restart::refuse_writes;
use assay_aggregate::agreement::{CommitEdges, proposers};
use assay_aggregate::draw::{Candidate, ProposersOf};
use assay_aggregate::inputs::ROUND;
use assay_bench::network::{Act, Bench, CALM, Times, say, serve};
use assay_hypernode::agree::Round;
use assay_hypernode::clock;
use assay_hypernode::config::BridgeSection;
use assay_hypernode::context::Context;
use assay_hypernode::is_storage;
use assay_hypernode::report::close_epoch;
use assay_protocol::cose::{self, Payload, Signer as _};
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, UnixMs};
use assay_protocol::limits::{BOARD_EPOCH_OBJECTS_MAX, BOARD_OBJECTS_MAX};
use assay_protocol::report::{Commit, Proposal, Reveal, Vote, input_set};
use assay_protocol::wire::{BoardObject, BoardReply, BoardRequest, Refusal, RefusalCode};
use assay_transport::Identity;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const E: Epoch = Epoch(0);
/// The epoch has just ended; its phases follow quickly.
const ENDED: Times = Times {
    slot: 1_000,
    slots: 4,
    phases: [3_000, 5_000, 60_000, 120_000],
    since_genesis: 4_000,
};

/// A board that keeps what it is given, and remembers every post.
#[derive(Default)]
struct Kept {
    posts: Vec<BoardObject>,
    objects: Vec<BoardObject>,
    /// What is refused for now, and how.
    hold_back: Option<(&'static str, RefusalCode)>,
    /// Shows page after page for ever; how many objects were asked for, and how often for no more than before.
    endless: bool,
    asked: (u64, usize),
    /// So many requests are not answered.
    breaks: usize,
}

impl Kept {
    fn answer(&mut self, request: BoardRequest) -> Vec<Act> {
        if self.breaks > 0 {
            self.breaks -= 1;
            return vec![Act::Close];
        }
        match request {
            BoardRequest::Post { epoch, object } => {
                assert_eq!(epoch, E);
                if let Some((kind, code)) = self.hold_back
                    && kind == object.kind()
                {
                    let later = Refusal::new(code, "not now");
                    return say(&BoardReply::Refused(later));
                }
                self.posts.push(object.clone());
                if !self.objects.contains(&object) {
                    self.objects.push(object);
                }
                let number = self.objects.len() as u64;
                say(&BoardReply::Stored { number })
            }
            BoardRequest::Read { after, .. } if self.endless => {
                let again = if after > self.asked.0 {
                    0
                } else {
                    self.asked.1 + 1
                };
                self.asked = (after, again);
                let numbers = after + 1..=after + BOARD_OBJECTS_MAX as u64;
                let objects = numbers.map(|number| (number, BoardObject::Vote(vec![0])));
                let objects = objects.collect();
                say(&BoardReply::Objects { objects })
            }
            BoardRequest::Read { after, .. } => {
                let objects = (1..).zip(self.objects.iter().cloned());
                let objects = objects.filter(|(number, _)| *number > after).collect();
                say(&BoardReply::Objects { objects })
            }
        }
    }

    fn posted(&self, kind: &str) -> usize {
        self.posts.iter().filter(|post| post.kind() == kind).count()
    }
}

struct Scene {
    bench: Bench,
    /// Who proposes first, second and third.
    turns: Vec<usize>,
    board: Arc<Mutex<Kept>>,
    bridge: BridgeSection,
}

impl Scene {
    fn new(times: Times) -> Self {
        let bench = Bench::new(times);
        let context = bench.open(0);
        let of = ProposersOf {
            network: context.network,
            beacon: context.beacon(E).unwrap(),
            epoch: E,
            round: ROUND,
        };
        let roster = context.history(|history| history.roster(E).cloned());
        let seats = roster.unwrap().seats().to_vec();
        let candidates: Vec<_> = seats.iter().map(Candidate::from).collect();
        let ids: Vec<_> = bench
            .members
            .iter()
            .map(assay_bench::network::Member::id)
            .collect();
        let member = |proposer| ids.iter().position(|id| *id == proposer).unwrap();
        let turns = proposers(&of, &candidates).into_iter().map(member);
        let turns = turns.collect();
        let board = Arc::new(Mutex::new(Kept::default()));
        let (identity, shared) = (Identity::generate().unwrap(), Arc::clone(&board));
        let address = serve(&identity, move |request| {
            shared.lock().unwrap().answer(request)
        });
        let bridge = BridgeSection {
            address: address.parse().unwrap(),
            key: Digest(identity.public_key()),
        };
        Self {
            bench,
            turns,
            board,
            bridge,
        }
    }

    /// One life of the first proposer, which has everything to send.
    async fn live(&self, until: impl Fn(&Kept) -> bool) {
        self.live_as(0, until).await;
    }

    /// One life of a proposer: closes the epoch, agrees, and dies when `until` holds.
    async fn live_as(&self, turn: usize, until: impl Fn(&Kept) -> bool) {
        let context = self.bench.open(self.turns[turn]);
        let nodes = BTreeMap::new();
        let report = close_epoch(&context, E, &nodes).unwrap();
        let mut board = self.bridge.board(context.identity.clone());
        let round = Round::start(&context, &mut board, E, report).unwrap();
        let died = async {
            while !until(&self.board.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let life = async {
            tokio::select! {
                ended = round.run() => panic!("the round ended: {ended:?}"),
                () = died => {}
            }
        };
        tokio::time::timeout(Duration::from_secs(50), life)
            .await
            .unwrap_or_else(|_| panic!("{:?}", self.board.lock().unwrap().posts));
    }

    fn contents(&self) -> BTreeMap<&'static str, BTreeSet<Vec<u8>>> {
        let mut contents: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for post in &self.board.lock().unwrap().posts {
            let bytes = post.bytes().to_vec();
            contents.entry(post.kind()).or_default().insert(bytes);
        }
        contents
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_each_step_it_sends_the_same_bytes_again() {
    let scene = Scene::new(ENDED);
    for kind in ["commit", "reveal", "proposal", "vote"] {
        scene.live(|board| board.posted(kind) >= 1).await;
    }
    // Twice more, with everything behind it.
    for lives in 2..4 {
        let all = |board: &Kept| {
            let kinds = ["commit", "reveal", "proposal", "vote"];
            kinds.iter().all(|kind| board.posted(kind) >= lives)
        };
        scene.live(all).await;
    }
    let contents = scene.contents();
    let kinds: Vec<_> = contents.keys().copied().collect();
    assert_eq!(
        kinds,
        ["commit", "proposal", "reveal", "vote"],
        "too few votes for a root"
    );
    for (kind, contents) in contents {
        assert_eq!(contents.len(), 1, "{kind}: {} contents", contents.len());
    }
}

/// What it had read is gone, but for commits; its turn is long begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_proposer_that_starts_again_votes_for_the_list_that_is_there() {
    let scene = Scene::new(Times {
        phases: [6_000, 8_000, 12_000, 120_000],
        ..ENDED
    });
    let begun = clock::now().0;
    let posted = |kind, count| move |board: &Kept| board.posted(kind) >= count;
    scene.live_as(1, posted("commit", 1)).await;
    scene.live_as(2, posted("commit", 2)).await;
    // Both read in time what the others have committed to.
    for turn in [0, 1] {
        let read = clock::now().0 + 1_000;
        let all = |kept: &Kept| kept.posted("commit") >= 3 && clock::now().0 > read;
        scene.live_as(turn, all).await;
    }
    scene.live_as(2, posted("reveal", 1)).await;
    scene.live_as(0, posted("proposal", 1)).await;
    let before = scene.board.lock().unwrap().posted("vote");
    clock::sleep_until(UnixMs(begun + 11_000)).await;
    scene.live_as(1, posted("vote", before + 1)).await;
    let contents = scene.contents();
    assert_eq!(contents["proposal"].len(), 1, "only the first one's");
    let bench = &scene.bench;
    let key = |turn: usize| bench.members[scene.turns[turn]].id().0;
    let proposal = contents["proposal"].first().unwrap();
    let proposal = cose::open::<Proposal>(proposal, &key(0)).unwrap();
    let list = &proposal.payload().entries;
    assert_eq!(list.len(), 2, "of the first and the third");
    let mut votes = contents["vote"].iter();
    let vote = votes.find_map(|vote| cose::open::<Vote>(vote, &key(1)).ok());
    let vote = vote.expect("its vote");
    let network = bench.params.network_id();
    assert_eq!(vote.payload().input_set, input_set(&network, E, list));
}

/// Also when it starts again in between: it keeps when it saw them.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_near_the_closing_is_on_no_list_and_keeps_nobody_from_voting() {
    let scene = Scene::new(Times {
        phases: [10_000, 12_000, 14_000, 120_000],
        ..ENDED
    });
    let edges = CommitEdges::of(&scene.bench.params);
    let end = scene.bench.params.epoch_end(E).0;
    let key = |turn: usize| scene.bench.members[scene.turns[turn]].id();
    let at = |ms| clock::sleep_until(UnixMs(end + ms));
    let others = async {
        at(edges.due_ms + 500).await;
        scene.live_as(1, posted_by::<Commit>(key(1))).await;
        at(edges.listed_ms + 500).await;
        scene.live_as(2, posted_by::<Commit>(key(2))).await;
        at(edges.closed_ms).await;
        for turn in [1, 2] {
            scene.live_as(turn, posted_by::<Reveal>(key(turn))).await;
        }
    };
    let first = async {
        // It has read both, and is gone before commits close.
        let read = end + edges.listed_ms + 2_000;
        scene.live(|_| clock::now().0 >= read).await;
        scene.live(posted_by::<Proposal>(key(0))).await;
    };
    tokio::join!(others, first);
    scene.live_as(2, posted_by::<Vote>(key(2))).await;
    let contents = scene.contents();
    let proposal = contents["proposal"].first().unwrap();
    let proposal = cose::open::<Proposal>(proposal, &key(0).0).unwrap();
    let list = &proposal.payload().entries;
    let listed: BTreeSet<_> = list.iter().map(|(from, _)| *from).collect();
    assert_eq!(listed, [key(0), key(1)].into(), "without the third");
    let mut votes = contents["vote"].iter();
    let vote = votes.find_map(|vote| cose::open::<Vote>(vote, &key(2).0).ok());
    let vote = vote.expect("its vote");
    let network = scene.bench.params.network_id();
    assert_eq!(vote.payload().input_set, input_set(&network, E, list));
}

fn posted_by<T: Payload>(who: HyperNodeId) -> impl Fn(&Kept) -> bool {
    move |board| {
        let mut posts = board.posts.iter();
        posts.any(|post| cose::open::<T>(post.bytes(), &who.0).is_ok())
    }
}

/// Too early, or the bridge's database hiccups.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_board_cannot_take_now_is_offered_again_and_blocks_nothing_for_ever() {
    for code in [RefusalCode::Busy, RefusalCode::Storage] {
        let scene = Scene::new(ENDED);
        scene.board.lock().unwrap().hold_back = Some(("commit", code));
        let (board, released) = (Arc::clone(&scene.board), clock::now().0 + 1_000);
        scene
            .live(move |kept| {
                if clock::now().0 < released {
                    assert_eq!(kept.posts, []);
                    return false;
                }
                kept.posted("commit") >= 1 || {
                    // Released from outside of the lock that is held here.
                    let board = Arc::clone(&board);
                    std::thread::spawn(move || board.lock().unwrap().hold_back = None);
                    false
                }
            })
            .await;
        assert_eq!(scene.board.lock().unwrap().posted("commit"), 1);
    }
}

/// Bad objects on the board are said and passed over: they neither end the round nor change what is sent.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_board_changes_nothing() {
    let scene = Scene::new(ENDED);
    scene.live(|board| board.posted("commit") >= 1).await;
    {
        let mut board = scene.board.lock().unwrap();
        board.objects.push(BoardObject::Commit(vec![0xff; 20]));
        board.objects.push(BoardObject::Vote(Vec::new()));
        // A genuine object under another kind.
        let commit = board.objects[0].bytes().to_vec();
        board.objects.push(BoardObject::Reveal(commit));
    }
    scene.live(|board| board.posted("vote") >= 1).await;
    assert_eq!(scene.contents()["commit"].len(), 1);
}

/// A HyperNode that commits again and again, on a board that takes it: two prove that it does, and no more are kept.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_hypernode_that_commits_again_and_again_two_commits_are_kept() {
    let scene = Scene::new(ENDED);
    let other = &scene.bench.members[scene.turns[1]];
    let context = scene.bench.open(scene.turns[0]);
    let network = context.network;
    let commit = |n: u8| Commit {
        network,
        epoch: E,
        hypernode: other.id(),
        commitment: Digest([n; 32]),
        at: context.params.epoch_end(E),
    };
    let sealed = |n| {
        let bytes = cose::seal(commit(n), &other.identity).bytes().to_vec();
        BoardObject::Commit(bytes)
    };
    scene.board.lock().unwrap().objects = (1..=9).map(sealed).collect();
    drop(context);
    // What was kept in one life counts in the next.
    for lives in 1..=2 {
        scene.live(|board| board.posted("vote") >= lives).await;
        let context = scene.bench.open(scene.turns[0]);
        let kept = context.commits_in_time(E).unwrap();
        let of_other = kept.iter().filter(|(id, _, _)| *id == other.id());
        let of_other: Vec<_> = of_other.map(|(_, commit, _)| *commit).collect();
        assert_eq!(of_other, [1, 2].map(|n| Digest([n; 32])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_without_end_is_read_as_far_as_hypernodes_can_have_posted() {
    let scene = Scene::new(ENDED);
    scene.board.lock().unwrap().endless = true;
    let given_up = |board: &Kept| board.asked.1 >= 3 && board.posted("reveal") >= 1;
    scene.live(given_up).await;
    let (after, _) = scene.board.lock().unwrap().asked;
    assert!(after <= BOARD_EPOCH_OBJECTS_MAX as u64, "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_breaks_off_is_asked_again() {
    let scene = Scene::new(ENDED);
    scene.board.lock().unwrap().breaks = 5;
    scene.live(|board| board.posted("vote") >= 1).await;
    assert_eq!(scene.contents()["commit"].len(), 1);
}

/// What is not written is not tried again: the process ends, and starts from what is on disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_ends_when_what_it_must_remember_cannot_be_kept() {
    for key in ["seen/", "agreement/"] {
        let scene = Scene::new(ENDED);
        let first = scene.turns[0];
        let is_key = format!("NEW.key LIKE '{key}%'");
        refuse_writes(&scene.bench, first, "meta", &is_key);
        let context = scene.bench.open(first);
        let report = close_epoch(&context, E, &BTreeMap::new()).unwrap();
        let mut board = scene.bridge.board(context.identity.clone());
        let round = Round::start(&context, &mut board, E, report).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(50), round.run());
        let error = ended.await.expect("it goes on").unwrap_err();
        assert!(is_storage(&error), "{key}: {error:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_of_an_epoch_without_a_beacon_is_refused() {
    let bench = Bench::new(CALM);
    let context: Arc<Context> = bench.open(0);
    let report = close_epoch(&context, E, &BTreeMap::new()).unwrap();
    let bridge = bench.members[0].config.bridge.clone();
    let mut board = bridge.board(context.identity.clone());
    let started = Round::start(&context, &mut board, Epoch(2), report);
    let error = started.err().unwrap().to_string();
    assert!(error.contains("no beacon for epoch 2"), "{error}");
}
