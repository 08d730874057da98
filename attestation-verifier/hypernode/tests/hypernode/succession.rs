//! Stakes change: HyperNodes sign who follows, and agents are told once enough of them have.

use assay_bench::network::{Bench, CALM, Member, NODE, Times, say, serve, stranger_key};
use assay_hypernode::config::{self, BridgeSection, Config, Secrets};
use assay_hypernode::context::Context;
use assay_hypernode::succession;
use assay_protocol::cose;
use assay_protocol::cose::Signer as _;
use assay_protocol::ids::{Digest, Epoch};
use assay_protocol::schedule::seed_end;
use assay_protocol::succession::{self as protocol, Lineage, Link, MemberSignature, members};
use assay_protocol::wire::{
    AgentReply, AgentRequest, BoardObject, BoardReply, BoardRequest, Refusal, RefusalCode,
};
use assay_transport::Identity;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// It is epoch 1, and the stakes of epoch 2 are fixed.
const EPOCH_ONE: Times = Times {
    since_genesis: CALM.slot * CALM.slots + 50,
    ..CALM
};
const NEXT: Epoch = Epoch(2);

type Posts = Arc<Mutex<Vec<BoardObject>>>;

/// A board that takes everything, for epoch 0.
fn board() -> (BridgeSection, Posts) {
    let posts = Posts::default();
    let (kept, identity) = (Arc::clone(&posts), Identity::generate().unwrap());
    let key = Digest(identity.public_key());
    let address = serve(&identity, move |request| {
        let mut posts = kept.lock().unwrap();
        match request {
            BoardRequest::Post { epoch, object } => {
                assert_eq!(epoch, Epoch(0));
                posts.push(object);
                let number = posts.len() as u64;
                say(&BoardReply::Stored { number })
            }
            BoardRequest::Read { epoch, after } => {
                assert_eq!(epoch, Epoch(0));
                let numbered = (1..).zip(posts.iter().cloned());
                let objects = numbered.filter(|(number, _)| *number > after).collect();
                say(&BoardReply::Objects { objects })
            }
        }
    });
    let address = address.parse().unwrap();
    (BridgeSection { address, key }, posts)
}

/// Everybody but the first keeps its stake.
fn learn(bench: &Bench, context: &Context) {
    let roster = bench.params.roster[1..].to_vec();
    context
        .history(|history| history.learn(NEXT, roster))
        .unwrap();
}

type Tasks = JoinSet<anyhow::Result<()>>;

fn watch(tasks: &mut Tasks, context: &Arc<Context>, bridge: &BridgeSection) {
    let board = bridge.board(context.identity.clone());
    tasks.spawn(succession::watch(Arc::clone(context), board));
}

/// Those who count next, from an epoch on, signed by everybody.
fn link(bench: &Bench, context: &Context, from: Epoch) -> Link {
    let members = members(context.weights(NEXT).unwrap());
    let signed = |member: &Member| {
        let (hypernode, place) = (member.id(), (from, members.as_slice()));
        let said = protocol::succession(&bench.params, context.network, place, hypernode);
        let signature = cose::signature_of(&cose::seal(said, &member.identity)).unwrap();
        MemberSignature {
            hypernode,
            signature,
        }
    };
    let signatures = bench.members.iter().map(signed).collect();
    Link {
        from,
        members,
        signatures,
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} never came");
}

fn newest(context: &Context) -> Epoch {
    context.lineage(Lineage::newest)
}

/// A network that has agreed on who follows; the contexts of all, and who watches.
async fn agreed() -> (Bench, Vec<Arc<Context>>, Tasks) {
    let mut tasks = Tasks::new();
    let bench = Bench::new(EPOCH_ONE);
    let (bridge, posts) = board();
    let contexts: Vec<_> = (0..4).map(|member| bench.open(member)).collect();
    for context in &contexts {
        learn(&bench, context);
    }
    for context in &contexts[1..] {
        watch(&mut tasks, context, &bridge);
    }
    until("the word of three", || posts.lock().unwrap().len() == 3).await;
    // Three have read what all of them said: 60 of 100 are too few.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(contexts.iter().map(|c| newest(c)).max(), Some(Epoch(0)));
    watch(&mut tasks, &contexts[0], &bridge);
    until("the roster", || contexts.iter().all(|c| newest(c) == NEXT)).await;
    let own = |object: &BoardObject| matches!(object, BoardObject::Succession(_));
    let posts = posts.lock().unwrap();
    assert!(
        posts.len() == 4 && posts.iter().all(own),
        "each says it once"
    );
    drop(posts);
    (bench, contexts, tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roster_follows_once_more_than_two_thirds_have_signed_it_and_is_kept() {
    let (bench, contexts, mut tasks) = agreed().await;
    let leaver = bench.members[0].id();
    contexts[1].lineage(|lineage| {
        assert!(lineage.answers(&leaver, Epoch(1)) && !lineage.answers(&leaver, NEXT));
        assert_eq!(lineage.answered_in(NEXT).len(), 3);
    });
    // Whoever is on no roster that agents were told of does not accuse them, whatever it has to say.
    for (context, is_back) in [(&contexts[0], true), (&contexts[1], false)] {
        context.note_say(Epoch(1)).unwrap();
        context.note_say(NEXT).unwrap();
        assert!(!context.is_back(NEXT).unwrap());
        assert_eq!(context.is_back(NEXT.next()).unwrap(), is_back);
    }
    let bytes = contexts[1].lineage(Lineage::bytes);
    tasks.shutdown().await;
    drop(contexts);
    let again = bench.open(1);
    assert_eq!(again.lineage(Lineage::bytes), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_there_at_genesis_starts_with_the_keys_that_it_registered_with() {
    let nowhere = ["127.0.0.1:1"; 4].map(str::to_owned);
    let bench = Bench::with_ledger(CALM, nowhere).await;
    let mut config = bench.members[0].config.clone();
    config.key = bench.path("newcomer");
    config.state_dir = bench.path("newcomer-state");
    let identity = Identity::create(&config.key).unwrap();
    let check = async |config: &Config| {
        let file = bench.path("newcomer.toml");
        std::fs::write(&file, toml::to_string(config).unwrap()).unwrap();
        let (context, config) = Context::open(config::load(&file).unwrap()).unwrap();
        let checked = context.check_registration(&config).await;
        checked.map_err(|error| assay_hypernode::explain(&error))
    };
    let refused = check(&config).await.unwrap_err();
    assert!(
        refused.contains("is not registered in network"),
        "{refused}"
    );
    let secrets = Secrets::load(&config.secrets).unwrap();
    let end = seed_end(&secrets.seed, bench.params.seed_chain_links);
    bench.register_stranger(&identity, end, "127.0.0.1:1");
    let refused = check(&config).await.unwrap_err();
    assert!(
        refused.contains("ledger key") && refused.contains("expected account"),
        "{refused}"
    );
    config.ledger_key = bench.path("newcomer-account");
    stranger_key(&config.ledger_key);
    check(&config).await.unwrap();
    config.secrets = bench.path("other-secrets");
    Secrets::create(&config.secrets).unwrap();
    let refused = check(&config).await.unwrap_err();
    assert!(
        refused.contains("expected a seed chain that ends in"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_told_and_a_refusal_or_silence_is_no_end() {
    let (bench, contexts, _tasks) = agreed().await;
    let (context, network) = (&contexts[1], bench.params.network_id());
    let told = Arc::new(Mutex::new(None));
    let (kept, stranger) = (Arc::clone(&told), Identity::generate().unwrap());
    let endpoint = serve(&stranger, move |request| {
        let AgentRequest::Roster { lineage } = request else {
            panic!("{request:?}")
        };
        *kept.lock().unwrap() = Some(Lineage::open(&network, &lineage).unwrap());
        say(&AgentReply::Ready)
    });
    let node = bench.registered(NODE, &endpoint);
    assert!(succession::tell(context, &node).await.unwrap());
    assert_eq!(
        told.lock().unwrap().as_ref().map(Lineage::newest),
        Some(NEXT)
    );
    let endpoint = serve(&stranger, |_: AgentRequest| {
        let refusal = Refusal::new(RefusalCode::BadRequest, "my clock is slow");
        say(&AgentReply::Refused(refusal))
    });
    let node = bench.registered(NODE, &endpoint);
    assert!(succession::tell(context, &node).await.unwrap());
    let node = bench.registered(NODE, "127.0.0.1:1");
    assert!(!succession::tell(context, &node).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_knows_is_believed_only_when_the_ledger_says_the_same() {
    let (bench, contexts, _tasks) = agreed().await;
    let lineage = contexts[1].lineage(Lineage::bytes);
    let agent = |lineage: Vec<u8>| {
        let script = move |_: AgentRequest| {
            let lineage = lineage.clone();
            say(&AgentReply::Roster { lineage })
        };
        bench.registered(NODE, &serve(&Identity::generate().unwrap(), script))
    };
    let context = bench.fresh(2);
    // Of the next epoch nothing is known here: it could be what keys of long ago have signed.
    assert!(
        succession::tell(&context, &agent(lineage.clone()))
            .await
            .unwrap()
    );
    assert_eq!(newest(&context), Epoch(0));
    learn(&bench, &context);
    // The right HyperNodes from the wrong epoch on would keep every later roster out.
    let mut far = Lineage::genesis(bench.params.clone()).unwrap();
    far.extend(link(&bench, &contexts[1], Epoch(9))).unwrap();
    assert!(
        succession::tell(&context, &agent(far.bytes()))
            .await
            .unwrap()
    );
    assert_eq!(newest(&context), Epoch(0));
    let mut forged = lineage.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(succession::tell(&context, &agent(forged)).await.unwrap());
    assert_eq!(newest(&context), Epoch(0));
    assert!(succession::tell(&context, &agent(lineage)).await.unwrap());
    assert_eq!(newest(&context), NEXT);
}
