//! A wrong root on the ledger: HyperNodes sign another one in a round of its own, the bridge has it take the wrong one's
//! place, and everything after it is posted again.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use assay_aggregate::epoch::EpochOutcome;
use assay_aggregate::inputs::History;
use assay_aggregate::root::{Committee, EpochRoot};
use assay_bridge::poster::{Poster, PosterError, Step};
use assay_bridge::replay::{self, ReplayError};
use assay_ledger::{
    Action, Block, Chain, ChainError, Correction, Event, Finality, LogQuery, Market, NodeStatus,
    Receipt, Resolution, Trial,
};
use assay_protocol::ids::{self, Epoch, Keccak, Stake};
use assay_protocol::limits::ROOT_SIGNATURES_MAX;
use assay_protocol::report::Cell;
use assay_protocol::wire::{Refusal, RefusalCode};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::network::{CHAIN_ID, Network, PLAN, provider};

const ALL: [usize; 4] = [0, 1, 2, 3];
/// 65 of 100.
const TOO_FEW: [usize; 2] = [0, 1];

/// A network whose roots can be corrected for so many epochs.
fn network(window_epochs: u64) -> Network {
    let window = format!("dispute_window_epochs = {window_epochs}");
    let plan = PLAN.replace("dispute_window_epochs = 0", &window);
    Network::open_at(1_800_000_000_000, &plan)
}

/// Steps until there is nothing to do but wait; the last step.
fn settle(net: &Network, poster: &mut Poster) -> Step {
    loop {
        let step = poster.step(net.now()).unwrap();
        if step.waits() {
            return step;
        }
    }
}

/// An epoch that goes well, in the round that the network is in.
fn complete(net: &Network, poster: &mut Poster) {
    let (epoch, round) = (poster.history().next(), poster.history().round());
    net.agree(epoch);
    let digest = net.digest(&net.outcome(poster.history()));
    net.sign_in((epoch, round), digest, &ALL);
    let step = settle(net, poster);
    assert_eq!(poster.history().next(), epoch.next(), "{step}");
}

/// A root that the reports of the next epoch do not give.
fn wrong(net: &Network, history: &History) -> EpochRoot {
    EpochRoot {
        root: Keccak([0xbb; 32]),
        ..net.outcome(history).root
    }
}

/// Everybody signs a wrong root for the next epoch, and it is posted.
fn go_wrong(net: &Network, poster: &Poster) -> EpochRoot {
    net.agree(poster.history().next());
    let wrong = wrong(net, poster.history());
    net.post_by_hand(poster.history().signers(), &wrong);
    wrong
}

/// The digest of what must replace the root of the next epoch, in a round.
fn correction(net: &Network, history: &History, round: u32) -> Keccak {
    let committee = history.signers().hash();
    let right = EpochRoot {
        round,
        committee,
        ..net.outcome(history).root
    };
    right.digest(CHAIN_ID, &net.params.contract)
}

#[track_caller]
fn is_contested(step: &Step, by: u128) {
    let Step::Contested { signed, total, .. } = step else {
        panic!("{step}");
    };
    // The contract's weights are scaled.
    assert_eq!(signed * 100 / total, by, "{step}");
}

#[track_caller]
fn is_corrected(step: &Step) {
    assert!(matches!(step, Step::Corrected { .. }), "{step}");
}

#[test]
fn a_wrong_root_is_replaced_by_a_quorum_and_the_network_goes_on_in_the_next_round() {
    let net = network(4);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    let epoch = poster.history().next();
    let posted = go_wrong(&net, &poster);

    is_contested(&settle(&net, &mut poster), 0);
    assert!(poster.sample(net.now()).unwrap().is_contested);
    let right = correction(&net, poster.history(), 1);
    net.sign_in((epoch, 1), right, &TOO_FEW);
    is_contested(&settle(&net, &mut poster), 65);
    net.sign_in((epoch, 1), right, &[2]);
    is_corrected(&poster.step(net.now()).unwrap());
    settle(&net, &mut poster);
    assert!(!poster.sample(net.now()).unwrap().is_contested);

    let record = net.ledger().epoch_record(epoch).unwrap();
    assert_eq!(
        (record.corrections, record.round, record.digest),
        (1, 1, right)
    );
    assert_ne!(record.root, posted.root);
    assert_eq!(
        (poster.history().next(), poster.history().round()),
        (epoch.next(), 1)
    );
    complete(&net, &mut poster);
    complete(&net, &mut poster);
    let later = net.ledger().epoch_record(Epoch(epoch.0 + 2)).unwrap();
    assert_eq!((later.corrections, later.round), (0, 1));

    // Whoever computes it anew comes to the same.
    let mut again = net.poster();
    settle(&net, &mut again);
    assert_eq!(again.history().next(), poster.history().next());
    assert_eq!(again.history().states(), poster.history().states());
    assert_eq!(again.history().round(), 1);
}

/// Everybody's signatures of a root but those of whoever weighs least.
fn signed_by_most(
    net: &Network,
    committee: &Committee,
    root: &EpochRoot,
) -> (Vec<Option<[u8; 65]>>, ids::Address) {
    let members = committee.members();
    let least = members.iter().min_by_key(|member| member.weight).unwrap();
    let mut signatures = net.signed_by_all(committee, root);
    for (member, signature) in members.iter().zip(&mut signatures) {
        if member.address == least.address {
            *signature = None;
        }
    }
    (signatures, least.address)
}

fn jailed(net: &Network) -> Vec<ids::Address> {
    let all = net.ledger().hypernodes().unwrap().into_iter();
    all.filter(|one| one.jailed)
        .map(|one| one.address)
        .collect()
}

/// Whoever signed the wrong one is convicted by the transaction that posted it, and nobody else.
#[test]
fn signers_of_a_replaced_root_are_told_and_convicted_where_the_operator_wants_it() {
    let net = network(4);
    let mut poster = net.poster().convicting();
    complete(&net, &mut poster);
    let epoch = poster.history().next();
    net.agree(epoch);
    let (committee, root) = (poster.history().signers(), wrong(&net, poster.history()));
    let (signatures, innocent) = signed_by_most(&net, committee, &root);
    let post = Action::post_root(&root, committee, &signatures);
    net.ledger().submit(&provider(), &post).unwrap();
    is_contested(&settle(&net, &mut poster), 0);
    assert_eq!(jailed(&net), [], "a root is wrong when it was replaced");

    let right = correction(&net, poster.history(), 1);
    net.sign_in((epoch, 1), right, &ALL);
    is_corrected(&poster.step(net.now()).unwrap());
    settle(&net, &mut poster);
    let notes = poster.take_notes();
    let faults: Vec<_> = notes
        .iter()
        .filter(|note| note.starts_with("fault:"))
        .collect();
    assert!(
        faults.len() == 1 && faults[0].contains("3 accounts had signed it"),
        "{notes:?}"
    );
    let guilty = jailed(&net);
    assert!(
        guilty.len() == 3 && !guilty.contains(&innocent),
        "{guilty:?}"
    );
    assert_eq!(
        poster.sample(net.now()).unwrap().faults,
        0,
        "all are proven"
    );
}

/// The contract convicts for any root that was replaced; the bridge only for one that was wrong.
#[test]
fn who_signed_a_right_root_that_a_wrong_one_replaced_for_a_time_is_not_convicted() {
    let net = network(4);
    let mut poster = net.poster().convicting();
    let history = net.history();
    complete(&net, &mut poster);
    let root = EpochRoot {
        round: 1,
        ..wrong(&net, &history)
    };
    let committee = history.signers();
    let (signatures, innocent) = signed_by_most(&net, committee, &root);
    let replace = Action::correct(&root, committee, &signatures);
    net.ledger().submit(&provider(), &replace).unwrap();
    settle(&net, &mut poster);
    is_contested(&settle(&net, &mut poster), 0);
    net.sign_in((Epoch(0), 2), correction(&net, &history, 2), &ALL);
    settle(&net, &mut poster);
    assert_eq!(poster.history().next(), Epoch(1));
    let guilty = jailed(&net);
    assert!(
        guilty.len() == 3 && !guilty.contains(&innocent),
        "{guilty:?}"
    );
    let notes = poster.take_notes().concat();
    assert!(notes.contains("though it was right"), "{notes}");
    let replaced = net.ledger().replaced_roots(Epoch(0)).unwrap();
    let is_right: Vec<bool> = replaced.iter().map(|one| one.is_right).collect();
    assert_eq!(is_right, [true, false]);
}

#[test]
fn signatures_under_another_root_or_in_another_round_correct_nothing() {
    let net = network(4);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    let epoch = poster.history().next();
    let posted = go_wrong(&net, &poster);
    // Under the wrong root once more, in the round of a correction.
    let again = EpochRoot { round: 1, ..posted };
    let digest = again.digest(CHAIN_ID, &net.params.contract);
    net.sign_in((epoch, 1), digest, &ALL);
    is_contested(&settle(&net, &mut poster), 0);
    // Under the right one, as it would have been without the wrong one.
    let digest = correction(&net, poster.history(), 0);
    net.sign_in((epoch, 0), digest, &ALL);
    is_contested(&settle(&net, &mut poster), 0);
    let record = net.ledger().epoch_record(epoch).unwrap();
    assert_eq!((record.corrections, record.root), (0, posted.root));
}

#[test]
fn what_was_posted_after_a_wrong_root_is_posted_again() {
    let net = network(4);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    let epoch = poster.history().next();
    let first = go_wrong(&net, &poster);
    // The next one too, on top of it, whatever its reports say.
    net.agree(epoch.next());
    let second = EpochRoot {
        epoch: epoch.next(),
        ..first
    };
    net.post_by_hand(poster.history().signers(), &second);

    is_contested(&settle(&net, &mut poster), 0);
    net.sign_in((epoch, 1), correction(&net, poster.history(), 1), &ALL);
    let waiting = settle(&net, &mut poster);
    assert!(
        waiting.to_string().contains("waiting for root signatures"),
        "{waiting}"
    );
    assert_eq!(poster.history().next(), epoch.next());
    assert_eq!(net.ledger().next_epoch().unwrap(), epoch.next());

    let digest = net.digest(&net.outcome(poster.history()));
    net.sign_in((epoch.next(), 1), digest, &ALL);
    let posted = poster.step(net.now()).unwrap();
    assert!(matches!(posted, Step::Posted { .. }), "{posted}");
    settle(&net, &mut poster);
    assert_eq!(poster.history().next().0, epoch.0 + 2);
    let record = net.ledger().epoch_record(epoch.next()).unwrap();
    assert_eq!(
        (record.corrections, record.round, record.digest),
        (1, 1, digest)
    );
}

#[test]
fn an_undone_void_epoch_is_void_again_when_its_new_deadline_has_passed() {
    let net = network(4);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    let epoch = poster.history().next();
    go_wrong(&net, &poster);
    net.at(epoch.next(), net.params.void_after_ms);
    let void = Action::post_void(epoch.next());
    net.ledger().submit(&provider(), &void).unwrap();

    is_contested(&settle(&net, &mut poster), 0);
    net.sign_in((epoch, 1), correction(&net, poster.history(), 1), &ALL);
    let waiting = settle(&net, &mut poster);
    assert!(waiting.to_string().contains("no input set"), "{waiting}");
    let early = net.ledger().submit(&provider(), &void).unwrap_err();
    assert_eq!(early.revert_name(), Some("VoidTooEarly"));
    let open = net.ledger().epoch_record(epoch.next()).unwrap();
    assert_eq!(open.resolution, Resolution::Open);
    net.pass(net.params.void_after_ms);
    settle(&net, &mut poster);
    let void = net.ledger().epoch_record(epoch.next()).unwrap();
    assert_eq!(void.resolution, Resolution::Void);
    assert_eq!(poster.history().next().0, epoch.0 + 2);
}

/// The quorum replaces a right root by a wrong one: whoever had followed the right one goes back, and it is corrected.
#[test]
fn who_has_followed_a_root_that_is_replaced_goes_back_to_what_nobody_can_undo() {
    let net = network(2);
    let mut poster = net.poster();
    for _ in 0..6 {
        complete(&net, &mut poster);
    }
    let (epoch, before) = (Epoch(4), poster.history().states().clone());
    let mut history = net.history();
    while history.next() < epoch {
        replay::follow(&net.store, &net.ledger(), &mut history).unwrap();
    }
    let false_root = EpochRoot {
        round: 1,
        ..wrong(&net, &history)
    };
    let committee = history.signers();
    let signatures = net.signed_by_all(committee, &false_root);
    let correct = Action::correct(&false_root, committee, &signatures);
    net.ledger().submit(&provider(), &correct).unwrap();

    let step = poster.step(net.now()).unwrap();
    let Step::Undone { epoch: from } = step else {
        panic!("{step}");
    };
    assert!((1..=4).contains(&from.0), "not from genesis: {from}");
    is_contested(&settle(&net, &mut poster), 0);
    assert_eq!(poster.history().next(), epoch);
    net.sign_in((epoch, 2), correction(&net, &history, 2), &ALL);
    settle(&net, &mut poster);
    // Epoch 5 was undone, too.
    assert_eq!(
        (poster.history().next(), poster.history().round()),
        (Epoch(5), 2)
    );
    let digest = net.digest(&net.outcome(poster.history()));
    net.sign_in((Epoch(5), 2), digest, &ALL);
    settle(&net, &mut poster);
    assert_eq!(poster.history().next(), Epoch(6));
    assert_eq!(*poster.history().states(), before);
}

#[test]
fn a_wrong_root_that_is_final_stays_and_nobody_goes_on_from_it() {
    let net = network(1);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    let epoch = poster.history().next();
    go_wrong(&net, &poster);
    is_contested(&settle(&net, &mut poster), 0);
    net.at(epoch.next().next(), 0);
    let error = poster.step(net.now()).unwrap_err();
    let differs = matches!(error, PosterError::Replay(ReplayError::OtherRoot { .. }));
    assert!(differs, "{error}");
    assert_eq!(poster.history().next(), epoch);
}

/// Only those could sign another one whom the wrong root named, and they are nobody.
#[test]
fn a_wrong_root_that_names_a_committee_of_nobody_is_told_to_be_beyond_correction() {
    let net = network(4);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    net.agree(poster.history().next());
    let wrong = EpochRoot {
        next_committee: Keccak([0xcc; 32]),
        ..wrong(&net, poster.history())
    };
    net.post_by_hand(poster.history().signers(), &wrong);
    let error = poster.step(net.now()).unwrap_err();
    let differs = matches!(error, PosterError::Replay(ReplayError::OtherRoot { .. }));
    assert!(differs, "{error}");
    let notes = poster.take_notes();
    let is_told = |note: &String| note.contains("cannot be corrected: committee");
    assert!(notes.iter().any(is_told), "{notes:?}");
}

/// Reports that the node was down all the time.
fn all_down(net: &Network, history: &History) -> EpochOutcome {
    let mut reports = net.reports(history.next());
    for included in reports.values_mut() {
        let cells = &mut included.report.nodes[0].cells.0;
        cells.fill(Cell::Unanswered as u8);
    }
    net.outcome_of(history, &reports)
}

#[test]
fn what_a_wrong_root_has_taken_is_given_back_by_the_bridge() {
    let net = network(1);
    let mut poster = net.poster();
    while net.ledger().nodes().unwrap()[0].status != NodeStatus::Active {
        complete(&net, &mut poster);
    }
    let (epoch, stated) = (poster.history().next(), net.ledger().nodes().unwrap());
    net.agree(epoch);
    let breach = all_down(&net, poster.history());
    net.post_by_hand(poster.history().signers(), &breach.root);
    let leaf = &breach.leaves[0];
    assert!(leaf.cumulative_slash > 0, "{leaf:?}");
    let proof = breach.tree.proof(&leaf.hash()).unwrap();
    net.ledger()
        .submit(&provider(), &Action::settle(leaf, &proof))
        .unwrap();
    let hurt = &net.ledger().nodes().unwrap()[0];
    assert!(hurt.escrow > Stake(0) && hurt.collateral < stated[0].collateral);

    is_contested(&settle(&net, &mut poster), 0);
    net.sign_in((epoch, 1), correction(&net, poster.history(), 1), &ALL);
    settle(&net, &mut poster);
    let healed = &net.ledger().nodes().unwrap()[0];
    assert_eq!(
        (healed.escrow, healed.collateral),
        (Stake(0), stated[0].collateral)
    );
    assert_eq!(
        (healed.status, healed.settled_epoch),
        (NodeStatus::Active, Some(epoch))
    );
    assert_eq!(
        (healed.settled_corrections, healed.cumulative_slash),
        (1, Stake(0))
    );
    let step = poster.step(net.now()).unwrap();
    assert!(step.waits(), "nothing is settled twice: {step}");
}

#[test]
fn the_board_takes_signatures_of_later_rounds_for_epochs_that_can_change() {
    let net = network(1);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    let epoch = poster.history().next();
    go_wrong(&net, &poster);
    let signed = |by: usize, epoch, round, digest: u8| {
        let h = &net.hypernodes[by];
        let digest = Keccak([digest; 32]);
        let object = h.root_signature_in(&net, (epoch, round), digest, &h.ledger);
        net.post(h, epoch, &object)
    };
    let first = signed(0, epoch, 0, 1).unwrap();
    let second = signed(0, epoch, 1, 2).unwrap();
    assert!(second > first);
    assert_eq!(signed(0, epoch, 1, 2), Ok(second), "the same again");
    // Who signs a correction changes with every root that is posted: another digest.
    let third = signed(0, epoch, 1, 3).unwrap();
    assert!(third > second);
    let refused = |result: Result<u64, Refusal>, code, text: &str| {
        let refusal = result.unwrap_err();
        let is = refusal.code == code && refusal.text.contains(text);
        assert!(is, "{text}: {refusal}");
    };
    let (busy, not_allowed) = (RefusalCode::Busy, RefusalCode::NotAllowed);
    refused(signed(0, epoch, 0, 4), not_allowed, "number");
    for digest in 4..ROOT_SIGNATURES_MAX as u8 + 1 {
        signed(0, epoch, 1, digest).unwrap();
    }
    refused(signed(0, epoch, 1, 99), not_allowed, "are taken at most");
    signed(1, epoch, 1, 99).unwrap();
    refused(signed(0, epoch.next(), 1, 5), busy, "too early");
    net.at(epoch.next().next(), 0);
    refused(signed(1, epoch, 1, 6), not_allowed, "is final");
}

/// Whoever signs a wrong root could else choose whose reports count.
#[test]
fn a_root_over_another_list_than_the_agreed_one_is_wrong_however_right_it_is() {
    let net = network(4);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    let epoch = poster.history().next();
    net.agree(epoch);
    // A list without the last one, put on the board by somebody, with the right root over it.
    let first = &net.hypernodes[0];
    let short = net.list(epoch)[..3].to_vec();
    let mut reports = net.reports(epoch);
    reports.retain(|id, _| short.iter().any(|entry| entry.hypernode == *id));
    let other = net.outcome_of(poster.history(), &reports);
    assert_ne!(other.root, net.outcome(poster.history()).root);
    let by = &net.hypernodes[1];
    net.post(by, epoch, &by.proposal(&net, epoch, &short))
        .unwrap();
    assert_ne!(first.id(), by.id());
    net.post_by_hand(poster.history().signers(), &other.root);

    is_contested(&settle(&net, &mut poster), 0);
    net.sign_in((epoch, 1), correction(&net, poster.history(), 1), &ALL);
    settle(&net, &mut poster);
    assert_eq!(poster.history().next(), epoch.next());
}

/// Whom the newest root named signs, whoever had a say in the wrong one.
#[test]
fn a_correction_is_signed_by_who_signs_now_and_every_root_posted_meanwhile_changes_it() {
    let mut net = network(6);
    let mut poster = net.poster();
    let from = Epoch(
        net.ledger()
            .genesis_parameters()
            .unwrap()
            .active_after_epochs,
    );
    while poster.history().next().0 + 1 < from.0 {
        complete(&net, &mut poster);
    }
    net.join(60);
    let joined = net.hypernodes.pop().unwrap();
    // Stakes of the newcomer count from two epochs later on; the roots until then are signed without it.
    let wrong_epoch = poster.history().next();
    let posted = go_wrong(&net, &poster);
    is_contested(&settle(&net, &mut poster), 0);
    let stale = correction(&net, poster.history(), 1);
    net.sign_in((wrong_epoch, 1), stale, &TOO_FEW);
    is_contested(&settle(&net, &mut poster), 65);

    // More wrong roots on top, by which another committee signs than the wrong root's.
    let mut last = posted;
    let ledger = net.ledger();
    let counts = |epoch| {
        let roster = ledger.fixed_roster(epoch).unwrap().unwrap();
        roster.iter().any(|entry| entry.id == joined.id())
    };
    loop {
        let epoch = last.epoch.next();
        net.at(epoch, 2_100);
        net.board.refresh(net.now()).unwrap();
        let committee = ledger.committee_of(epoch).unwrap();
        let next_committee = ledger.committee_of(epoch.next()).unwrap().hash();
        last = EpochRoot {
            epoch,
            committee: committee.hash(),
            next_committee,
            ..last
        };
        net.post_by_hand(&committee, &last);
        if counts(epoch.next()) {
            break;
        }
    }
    is_contested(&settle(&net, &mut poster), 0);
    let found = ledger.correction_of(wrong_epoch, 0, &net.params);
    let Correction { round, signing, .. } = found.unwrap().unwrap();
    assert_eq!(round, 1);
    let right = EpochRoot {
        round,
        committee: signing.committee().hash(),
        ..net.outcome(poster.history()).root
    };
    let digest = right.digest(CHAIN_ID, &net.params.contract);
    assert_ne!(digest, stale);
    net.hypernodes.push(joined);
    net.sign_in((wrong_epoch, 1), digest, &[0, 1, 2, 3, 4]);
    is_corrected(&poster.step(net.now()).unwrap());
    settle(&net, &mut poster);
    assert_eq!(poster.history().next(), wrong_epoch.next());
    let mut again = net.poster();
    settle(&net, &mut again);
    assert_eq!(again.history().next(), poster.history().next());
}

/// Behind a balancer one node can be behind another: what it says of contracts is old while `is_behind`. Of budgets it knows
/// nothing while `has_no_budgets`.
struct Balancer {
    newest: Arc<dyn Chain>,
    behind: Arc<dyn Chain>,
    is_behind: AtomicBool,
    has_no_budgets: AtomicBool,
}

impl Chain for Balancer {
    fn call_at(&self, to: Address, data: &[u8], at: Finality) -> Result<Bytes, ChainError> {
        let is_budget = data.starts_with(&keccak256("budgetOf(uint64)")[..4]);
        if is_budget && self.has_no_budgets.load(Ordering::Relaxed) {
            return Ok(Bytes::from(vec![0; 32]));
        }
        match self.is_behind.load(Ordering::Relaxed) {
            true => self.behind.call_at(to, data, at),
            false => self.newest.call_at(to, data, at),
        }
    }
    fn chain_id(&self) -> Result<u64, ChainError> {
        self.newest.chain_id()
    }
    fn block(&self, at: Finality) -> Result<Block, ChainError> {
        self.newest.block(at)
    }
    fn estimate_gas(&self, trial: &Trial<'_>) -> Result<u64, ChainError> {
        self.newest.estimate_gas(trial)
    }
    fn market(&self) -> Result<Market, ChainError> {
        self.newest.market()
    }
    fn send_raw(&self, raw: &[u8]) -> Result<B256, ChainError> {
        self.newest.send_raw(raw)
    }
    fn receipt(&self, hash: B256) -> Result<Option<Receipt>, ChainError> {
        self.newest.receipt(hash)
    }
    fn input(&self, hash: B256) -> Result<Option<Bytes>, ChainError> {
        self.newest.input(hash)
    }
    fn nonce_at(&self, address: Address, at: Finality) -> Result<u64, ChainError> {
        self.newest.nonce_at(address, at)
    }
    fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.newest.balance(address)
    }
    fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        self.newest.code(address)
    }
    fn logs(&self, query: &LogQuery, at: Finality) -> Result<Vec<Event>, ChainError> {
        self.newest.logs(query, at)
    }
}

/// A poster that has followed everything, on a balancer whose other node knows nothing of what `later` does.
fn misled(
    net: &Network,
    poster: &mut Poster,
    later: impl FnOnce(&mut Poster),
) -> (Poster, Arc<Balancer>) {
    for part in ["", "-wal"] {
        let file = |name: &str| net.dir.path().join(format!("{name}.db{part}"));
        std::fs::copy(file("chain"), file("before")).unwrap();
    }
    later(poster);
    let before = net.dir.path().join("before.db");
    let balancer = Arc::new(Balancer {
        newest: net.chain.clone(),
        behind: Arc::new(crate::network::chain(&before, &net.clock)),
        is_behind: AtomicBool::new(false),
        has_no_budgets: AtomicBool::new(false),
    });
    let mut misled = net.poster_on(balancer.clone());
    settle(net, &mut misled);
    assert_eq!(misled.history().next(), poster.history().next());
    (misled, balancer)
}

#[test]
fn a_node_that_is_behind_undoes_nothing() {
    let net = network(4);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    let (mut misled, balancer) = misled(&net, &mut poster, |poster| complete(&net, poster));
    assert_eq!(misled.history().next(), Epoch(2));
    balancer.is_behind.store(true, Ordering::Relaxed);
    let step = misled.step(net.now()).unwrap();
    assert!(step.to_string().contains("is behind"), "{step}");
    balancer.is_behind.store(false, Ordering::Relaxed);
    let step = misled.step(net.now()).unwrap();
    assert!(step.to_string().contains("running"), "{step}");
    assert_eq!(misled.history().next(), Epoch(2));
}

/// It is judged again, though nothing on the ledger has changed.
#[test]
fn one_wrong_answer_of_a_node_does_not_contest_a_right_root_for_ever() {
    let net = network(12);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    let (mut misled, balancer) = misled(&net, &mut poster, |_| ());
    balancer.has_no_budgets.store(true, Ordering::Relaxed);
    complete(&net, &mut poster);
    is_contested(&settle(&net, &mut misled), 0);
    balancer.has_no_budgets.store(false, Ordering::Relaxed);
    is_contested(&settle(&net, &mut misled), 0);
    net.pass(30_000);
    let step = misled.step(net.now()).unwrap();
    assert_eq!(
        step.to_string(),
        "epoch 1: root on the ledger is the one computed here, 1 nodes"
    );
    assert_eq!(misled.history().next(), poster.history().next());
}

#[test]
fn a_node_that_has_not_seen_a_correction_yet_undoes_it_not() {
    let net = network(4);
    let mut poster = net.poster();
    complete(&net, &mut poster);
    let epoch = poster.history().next();
    go_wrong(&net, &poster);
    let correct = |poster: &mut Poster| {
        net.sign_in((epoch, 1), correction(&net, poster.history(), 1), &ALL);
        settle(&net, poster);
    };
    let (mut misled, balancer) = misled(&net, &mut poster, correct);
    balancer.is_behind.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let step = misled.step(net.now()).unwrap();
        assert!(!matches!(step, Step::Undone { .. }), "{step}");
    }
    assert_eq!(
        (misled.history().next(), misled.history().round()),
        (epoch.next(), 1)
    );
}
