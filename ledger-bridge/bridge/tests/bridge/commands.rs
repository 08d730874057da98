//! What `ledger …` sends when all is well: every amount, epoch and name of the command line is what the ledger then says.

use std::process::{Command, Output};
use std::sync::atomic::Ordering;

use alloy_primitives::{Address, B256};
use assay_bridge::plan_rules::TIME_MS_MAX;
use assay_ledger::{LedgerKey, NodeRecord, NodeStatus, ReservationRecord, rpc};
use assay_protocol::cose::Signer as _;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Seed, Stake};
use assay_transport::Identity;
use serde_json::{Value, json};

use crate::kill::write_config;
use crate::network::{COIN, EPOCH_MS, NODE, Network, PLAN, complete, key};

const GENESIS_MS: u64 = 1_800_000_000_000;
const GWEI: u128 = 1_000_000_000;
/// Everybody's tokens at first.
const RICH: u128 = 1_000 * COIN;
const DAY_MS: u64 = 86_400_000;

/// Who is who: the deployer governs and guards, the treasury gets what is lost.
const KEYS: [(&str, u8); 7] = [
    ("governor", 1),
    ("stranger", 3),
    ("treasury", 4),
    ("hypernode", 10),
    ("newcomer", 14),
    ("provider", 50),
    ("builder", 51),
];

fn named(name: &str) -> LedgerKey {
    let found = KEYS.iter().find(|(known, _)| *known == name);
    key(found.unwrap().1)
}

/// A network on a served chain with a hand-moved clock, and everybody's key files.
struct Bed {
    net: Network,
    url: String,
    _served: tokio::runtime::Runtime,
}

impl Bed {
    fn new(plan: &str) -> Self {
        let net = Network::open_at(GENESIS_MS, plan);
        for (name, n) in KEYS {
            let file = net.dir.path().join(format!("{name}.key"));
            LedgerKey::create_file(&file, &[n; 32]).unwrap();
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(rpc::serve(net.chain.clone(), listener));
        Self {
            net,
            url,
            _served: runtime,
        }
    }

    /// `AT` stands for the ledger with its contract, `NODE` for the node.
    fn run(&self, line: &str) -> Output {
        self.start(&format!("{line} --json"))
    }

    /// The same, for people.
    #[track_caller]
    fn prints(&self, line: &str) -> String {
        let output = self.start(line);
        assert!(output.status.success(), "{line}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&self, line: &str) -> Output {
        let contract = self.net.params.contract;
        let at = format!("--rpc {} --contract {contract}", self.url);
        let line = line.replace("AT", &at).replace("NODE", &NODE.to_string());
        Command::new(env!("CARGO_BIN_EXE_assay-bridge"))
            .current_dir(self.net.dir.path())
            .args(line.split_whitespace())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn says(&self, line: &str) -> Value {
        let output = self.run(line);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{line}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A command of somebody's: it names the action and the transaction, which is that account's, and its gas.
    #[track_caller]
    fn does(&self, by: &str, line: &str, action: &str) -> Value {
        let said = self.says(&format!("ledger {line} --key {by}.key"));
        assert_eq!(said["action"], action, "{line}");
        let tx: B256 = said["tx"].as_str().unwrap().parse().unwrap();
        let receipt = self.net.chain.receipt(tx).unwrap().unwrap();
        assert!(receipt.success, "{line}");
        assert_eq!(receipt.from, Address::from(named(by).address().0), "{line}");
        assert_eq!(said["gas"], receipt.gas_used, "{line}");
        said
    }

    #[track_caller]
    fn refused(&self, by: &str, line: &str, why: &str) {
        let output = self.run(&format!("ledger {line} --key {by}.key"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{line}: {error}");
        assert!(error.contains(why), "{line}: {error}");
        assert!(output.stdout.is_empty(), "{line}");
    }

    fn pass(&self, ms: u64) {
        self.net.pass(ms);
    }

    /// Moves the clock to a second before the start of an epoch.
    fn just_before(&self, epoch: Epoch) {
        let start = self.net.params.epoch_start(epoch).0;
        self.net.clock.store(start - 1_000, Ordering::SeqCst);
    }

    fn tokens(&self, name: &str) -> u128 {
        let account = named(name).address();
        self.net.ledger().tokens(account).unwrap().0
    }

    /// What waits for somebody to withdraw it.
    fn waiting(&self, name: &str) -> u128 {
        let account = named(name).address();
        self.net.ledger().rent_balance(account).unwrap().0
    }

    fn budget(&self, epoch: u64) -> u128 {
        self.net.ledger().budget(Epoch(epoch)).unwrap().0
    }

    /// A HyperNode's stake, and what of it is on its way out.
    fn stake(&self, index: usize) -> (u128, u128) {
        let record = &self.net.ledger().hypernodes().unwrap()[index];
        (record.stake.0, record.unbonding.0)
    }

    /// A registration of a node, by its place among all.
    fn registration(&self, index: usize) -> NodeRecord {
        self.net.ledger().nodes().unwrap()[index].clone()
    }

    fn reservation(&self, id: usize) -> ReservationRecord {
        self.net.ledger().reservations().unwrap()[id - 1]
    }
}

#[test]
fn a_hypernode_s_operator_registers_stakes_and_takes_stake_back() {
    let bed = Bed::new(&format!("{PLAN}[ledger]\nunbonding_epochs = 10\n"));
    let start = RICH - 40 * COIN;
    assert_eq!(
        (bed.stake(0), bed.tokens("hypernode")),
        ((40 * COIN, 0), start)
    );
    bed.does("hypernode", "stake AT --gwei 2500000000", "bond");
    assert_eq!(bed.stake(0), (40 * COIN + 5 * COIN / 2, 0));
    assert_eq!(bed.tokens("hypernode"), start - 5 * COIN / 2);

    bed.does("hypernode", "unstake AT --gwei 1500000001", "unbond");
    let leaving = 1_500_000_001 * GWEI;
    let staying = 40 * COIN + 5 * COIN / 2 - leaving;
    assert_eq!(bed.stake(0), (staying, leaving));
    assert_eq!(bed.tokens("hypernode"), start - 5 * COIN / 2);
    bed.pass(10 * EPOCH_MS - 1_000);
    bed.refused("hypernode", "withdraw AT", "NothingToWithdraw");
    bed.pass(1_000);
    bed.does("hypernode", "withdraw AT", "withdraw");
    assert_eq!(bed.stake(0), (staying, 0));
    assert_eq!(bed.tokens("hypernode"), RICH - staying);

    let newcomer = named("newcomer").address();
    let file = bed.net.dir.path().join("newcomer.id");
    Identity::create(&file).unwrap();
    let (operator, seed_end) = ("77".repeat(32), "33".repeat(32));
    let mint = format!("mint AT --to {newcomer} --gwei 7");
    bed.does("stranger", &mint, "mint");
    assert_eq!(bed.tokens("newcomer"), RICH + 7 * GWEI);
    let register = format!(
        "register AT --identity newcomer.id --operator {operator} --seed-end {seed_end} --endpoint h:1 \
         --stake-gwei 3000000007"
    );
    bed.does("newcomer", &register, "register");
    assert_eq!(bed.tokens("newcomer"), RICH - 3 * COIN);
    assert_eq!(bed.stake(4), (3 * COIN + 7 * GWEI, 0));
    let record = bed.net.ledger().hypernodes().unwrap().remove(4);
    let id = HyperNodeId(Identity::load(&file).unwrap().public_key());
    assert_eq!((record.address, record.ed25519), (newcomer, id));
    assert_eq!(record.operator, Digest([0x77; 32]));
    assert_eq!(record.seed_end, Seed([0x33; 32]));
    assert_eq!(record.endpoint, "h:1");

    let admit = format!("admit AT --member {}", named("stranger").address());
    bed.refused("stranger", &admit, "NotRegistered");
    bed.does("newcomer", &admit, "admit");
    Identity::create(&bed.net.dir.path().join("stranger.id")).unwrap();
    let join = register.replace("newcomer.id", "stranger.id");
    bed.refused("builder", &join, "NotAdmitted");
}

#[test]
fn a_provider_pledges_for_nodes_takes_pledges_back_and_hands_a_node_over() {
    let bed = Bed::new(&format!("{PLAN}[ledger]\nprovisional_epochs = 20\n"));
    complete(&bed.net, &mut bed.net.poster());
    let (before, other) = (bed.tokens("provider"), "22".repeat(32));
    assert_eq!(before, RICH - 20 * COIN);
    bed.does(
        "provider",
        "top-up AT --node NODE --gwei 500000001",
        "topUp",
    );
    let topped = 500_000_001 * GWEI;
    let record = bed.registration(0);
    assert_eq!(record.status, NodeStatus::Active);
    let both = (record.collateral, record.pledged);
    assert_eq!(both, (Stake(20 * COIN + topped), Stake(20 * COIN + topped)));
    let before = before - topped;
    assert_eq!(bed.tokens("provider"), before);

    let register = format!(
        "register-node AT --node {other} --class-file demo.toml --endpoint h:1 --collateral-gwei 12000000000 --region here"
    );
    bed.does("provider", &register, "register");
    let record = bed.registration(1);
    assert_eq!(record.node.to_string(), other);
    assert_eq!(record.class_digest, bed.net.class.digest());
    assert_eq!(
        (record.endpoint.as_str(), &record.region[..5]),
        ("h:1", &b"here\0"[..])
    );
    assert_eq!(record.collateral, Stake(12 * COIN));
    assert_eq!(bed.tokens("provider"), before - 12 * COIN);
    let cancel = format!("cancel-node AT --node {other}");
    bed.refused("provider", &cancel, "MadeNow");
    let provider = named("provider").address();
    let expire = format!("expire AT --node {other} --provider {provider}");
    bed.pass(20 * EPOCH_MS - 1_000);
    bed.refused("stranger", &expire, "NotExpired");
    bed.pass(1_000);
    bed.does("stranger", &expire, "expire");
    assert_eq!(bed.tokens("provider"), before);

    let to = named("stranger").address();
    let hand_over = format!("hand-over AT --node NODE --to {to}");
    bed.does("provider", &hand_over, "offerTransfer");
    let take_over = "take-over AT --node NODE --endpoint h:2 --collateral-gwei 11000000000";
    bed.does("stranger", take_over, "acceptTransfer");
    let record = bed.net.ledger().nodes().unwrap().pop().unwrap();
    assert_eq!((record.node, record.provider), (NODE, to));
    assert_eq!(record.offered_by, Some(provider));
    assert_eq!(record.endpoint, "h:2");
    assert_eq!(record.collateral, Stake(11 * COIN));
    assert_eq!(bed.tokens("stranger"), RICH - 11 * COIN);
    bed.does("provider", "hand-over AT --node NODE", "offerTransfer");
    let record = bed.net.ledger().nodes().unwrap().pop().unwrap();
    assert!(record.serves_through.is_some(), "the acceptance lapsed");
}

/// A network in epoch 1 whose node is active; rent is billed for two epochs at a time.
fn rented() -> Bed {
    let rent = "period_epochs = 2\nnotice_epochs = 2\nrefund_epochs = 7\nsilence_epochs = 4\n";
    let bed = Bed::new(&format!("{PLAN}[ledger]\n{rent}"));
    complete(&bed.net, &mut bed.net.poster());
    bed
}

#[test]
fn a_builder_reserves_what_a_provider_offers_and_gives_up_what_has_not_begun() {
    let bed = rented();
    let offer = "offer AT --node NODE --gwei 3 --min-epochs 2 --max-epochs 6";
    bed.does("provider", offer, "offer");
    let price = || bed.net.ledger().offered_price(NODE).unwrap();
    assert_eq!(price(), Some(Stake(3 * GWEI)));
    let offered = || bed.says("status AT")["nodes"][0]["offer"].clone();
    let open =
        |free: Value| json!({ "price_gwei": 3, "min_epochs": 2, "max_epochs": 6, "free": free });
    assert_eq!(offered(), open(json!([{ "first": 2, "end": null }])));
    for (epochs, gwei, why) in [
        (6, 2, "offered for 3 gwei an epoch, at most 2"),
        (1, 3, "WrongLength"),
        (7, 3, "WrongLength"),
    ] {
        let line = format!("reserve AT --node NODE --first 3 --epochs {epochs} --gwei {gwei}");
        bed.refused("builder", &line, why);
    }
    let reserve = "reserve AT --node NODE --first 3 --epochs 6 --gwei 5";
    bed.does("builder", reserve, "reserve");
    let made = ReservationRecord {
        id: 1,
        node: NODE,
        builder: named("builder").address(),
        provider: named("provider").address(),
        first: Epoch(3),
        end: Epoch(9),
        settled_through: Epoch(3),
        started: false,
        price: Stake(3 * GWEI),
        held: Stake(18 * GWEI),
        credited: Stake(0),
    };
    assert_eq!(bed.reservation(1), made);
    let after = open(json!([{ "first": 9, "end": null }]));
    assert_eq!(offered(), after, "one epoch before it is too short");
    assert_eq!(bed.tokens("builder"), RICH - 18 * GWEI, "not 5 an epoch");

    let cancel = "cancel-reservation AT --reservation 1";
    bed.refused("stranger", cancel, "OnlyBuilder");
    bed.refused("builder", cancel, "MadeNow");
    bed.pass(EPOCH_MS);
    bed.does("builder", cancel, "cancel");
    // Epochs 3 and 4 are notice: the period of 3 and 4 is paid for.
    let cancelled = ReservationRecord {
        end: Epoch(5),
        held: Stake(6 * GWEI),
        credited: Stake(12 * GWEI),
        ..made
    };
    assert_eq!(bed.reservation(1), cancelled);
    assert_eq!(offered(), open(json!([{ "first": 5, "end": null }])));
    let status = bed.prints("status AT");
    let line = format!("offer {NODE}  3 gwei an epoch, 2 to 6 epochs  free: from 5 on\n");
    assert!(status.contains(&line), "{status}");
    assert_eq!(bed.waiting("builder"), 12 * GWEI);
    let withdraw = format!("withdraw-rent AT --account {}", made.builder);
    bed.does("stranger", &withdraw, "withdraw");
    assert_eq!(bed.waiting("builder"), 0);
    assert_eq!(bed.tokens("builder"), RICH - 6 * GWEI);

    bed.does("provider", &format!("{offer} --close"), "offer");
    assert_eq!(price(), None);
    assert_eq!(offered(), Value::Null);
    assert!(!bed.prints("status AT").contains("offer "));
    bed.refused("builder", reserve, "nobody offers it");
}

#[test]
fn who_leaves_serves_what_is_reserved_and_unsettled_rent_and_the_pledge_go_back() {
    let bed = rented();
    let offer = "offer AT --node NODE --gwei 3 --max-epochs 2";
    bed.does("provider", offer, "offer");
    let reserve = "reserve AT --node NODE --first 9 --epochs 2 --gwei 3";
    bed.does("builder", reserve, "reserve");
    bed.does("provider", "leave AT --node NODE", "requestExit");
    assert_eq!(bed.registration(0).serves_through, Some(Epoch(10)));

    let refund = "refund AT --reservation 1";
    let provider = named("provider").address();
    let exit = format!("exit AT --node NODE --provider {provider}");
    bed.refused("stranger", &exit, "ExitTooEarly");
    // It ends where epoch 11 starts, and seven epochs later.
    bed.just_before(Epoch(11 + 7));
    bed.refused("stranger", refund, "RefundTooEarly");
    bed.pass(1_000);
    bed.does("stranger", refund, "refund");
    let record = bed.reservation(1);
    assert_eq!((record.held, record.credited), (Stake(0), Stake(6 * GWEI)));
    assert_eq!(bed.waiting("builder"), 6 * GWEI);

    // Nobody says anything of it for the delay, and four epochs more.
    let delay = bed.net.ledger().exit_delay_epochs().unwrap();
    bed.just_before(Epoch(11 + delay + 4));
    bed.refused("stranger", &exit, "LastLeafMissing");
    bed.pass(1_000);
    bed.does("stranger", &exit, "exit");
    let record = bed.registration(0);
    let left = (record.status, record.collateral);
    assert_eq!(left, (NodeStatus::Removed, Stake(0)));
    assert_eq!(bed.tokens("provider"), RICH);
}

#[test]
fn budgets_are_funded_reclaimed_and_allocated_again() {
    let bed = Bed::new(PLAN);
    let fund = "fund AT --gwei 5 --epochs 2 --first 60";
    bed.does("stranger", fund, "fund");
    let budgets = || [59, 60, 61, 62].map(|epoch| bed.budget(epoch));
    assert_eq!(budgets(), [0, 5 * GWEI, 5 * GWEI, 0]);
    assert_eq!(bed.tokens("stranger"), RICH - 10 * GWEI);

    // Epoch 0 confirms the node and pays nothing: all of its coin is left.
    complete(&bed.net, &mut bed.net.poster());
    bed.refused("stranger", "reclaim AT --epochs 2", "EpochNotFinal");
    bed.does("stranger", "reclaim AT --epochs 1", "reclaim");
    let allocate = "allocate AT --epochs 2 --first 61 --gwei";
    let half = format!("{allocate} 500000000");
    bed.refused("stranger", &half, "Unauthorized");
    let more = format!("{allocate} 500000001");
    bed.refused("governor", &more, "InsufficientUnallocated");
    bed.does("governor", &half, "allocate");
    assert_eq!(
        budgets(),
        [0, 5 * GWEI, 5 * GWEI + COIN / 2, COIN / 2],
        "beside what was funded"
    );
}

/// The contract takes any epoch to come: money for one that nobody will see would stay there.
#[test]
fn no_budget_is_put_aside_for_an_epoch_that_has_begun_or_never_comes() {
    let bed = Bed::new(PLAN);
    bed.just_before(Epoch(7));
    bed.does("hypernode", "stake AT --gwei 1", "bond");
    let since = bed.net.chain.timestamp_ms().unwrap() - GENESIS_MS;
    let (earliest, last) = (8, (since + TIME_MS_MAX) / EPOCH_MS);
    let of = |first: u64, epochs: u64| format!("AT --gwei 5 --epochs {epochs} --first {first}");
    let too_early = format!("--first: expected epoch {earliest} or a later one");
    let too_late =
        |got: u64| format!("expected at most {last} (it begins within ten years), got {got}");
    for (by, command) in [("stranger", "fund"), ("governor", "allocate")] {
        for (first, epochs, why) in [
            (
                0,
                1,
                format!("{too_early} (budgets are fixed an epoch before), got 0"),
            ),
            (
                earliest - 1,
                3,
                format!("{too_early} (budgets are fixed an epoch before), got 7"),
            ),
            (last + 1, 1, too_late(last + 1)),
            (last, 2, too_late(last + 1)),
            (u64::MAX, 3, too_late(u64::MAX)),
            (earliest, u64::MAX, too_late(u64::MAX)),
        ] {
            bed.refused(by, &format!("{command} {}", of(first, epochs)), &why);
        }
    }
    assert_eq!(bed.tokens("stranger"), RICH);
    bed.does("stranger", &format!("fund {}", of(last - 1, 2)), "fund");
    bed.does("stranger", &format!("fund {}", of(earliest, 1)), "fund");
    bed.does("stranger", "fund AT --gwei 5 --epochs 1", "fund");
    let budgets = [last - 1, last, last + 1].map(|epoch| bed.budget(epoch));
    assert_eq!(budgets, [5 * GWEI, 5 * GWEI, 0]);
    let twice = COIN + 2 * 5 * GWEI;
    assert_eq!(bed.budget(earliest), twice, "beside what it had");
}

#[test]
fn the_guardian_pauses_for_as_long_as_it_says_or_until_it_unpauses() {
    let bed = Bed::new(PLAN);
    let stake = "stake AT --gwei 1";
    bed.does("governor", "pause AT --ms 60000", "pause");
    bed.pass(59_000);
    bed.refused("hypernode", stake, "NetworkPaused");
    bed.pass(1_000);
    bed.does("hypernode", stake, "bond");
    bed.refused("governor", "pause AT --ms 60000", "TooSoon");
    bed.pass(7 * DAY_MS);
    bed.does("governor", "pause AT --ms 60000", "pause");
    bed.refused("hypernode", stake, "NetworkPaused");
    bed.refused("stranger", "unpause AT", "Unauthorized");
    bed.does("governor", "unpause AT", "unpause");
    bed.does("hypernode", stake, "bond");
    assert_eq!(bed.stake(0), (40 * COIN + 2 * GWEI, 0));
}

#[test]
fn a_dispute_costs_the_plan_s_bond_and_keeps_a_root_open_and_so_does_the_guardian() {
    let treasury = named("treasury").address();
    let plan = PLAN.replace("dispute_window_epochs = 0", "dispute_window_epochs = 2");
    let money = format!(
        "treasury = \"{treasury}\"\ndispute_bond_gwei = 3000000001\ndispute_extension_epochs = 3\n"
    );
    let bed = Bed::new(&format!("{plan}[ledger]\n{money}"));
    let bond = 3_000_000_001 * GWEI;
    complete(&bed.net, &mut bed.net.poster());
    let final_at = || bed.net.ledger().epoch_record(Epoch(0)).unwrap().final_at.0;
    let posted = bed.net.ledger().epoch_record(Epoch(0)).unwrap().posted_at.0;
    assert_eq!(final_at(), posted + 2 * EPOCH_MS);

    let (dispute, close) = ("dispute AT --epoch 0", "close-dispute AT --epoch 0");
    bed.refused("stranger", "dispute AT --epoch 1", "EpochNotPosted");
    bed.does("stranger", dispute, "dispute");
    assert_eq!(bed.tokens("stranger"), RICH - bond);
    assert_eq!(final_at(), posted + 5 * EPOCH_MS);
    bed.refused("builder", dispute, "AlreadyDisputed");
    bed.does("governor", "extend-windows AT --ms 60000", "extendWindows");
    assert_eq!(final_at(), posted + 5 * EPOCH_MS + 60_000);

    bed.net.clock.store(final_at() - 1_000, Ordering::SeqCst);
    bed.refused("builder", close, "EpochNotFinal");
    bed.pass(1_000);
    bed.does("builder", close, "closeDispute");
    assert_eq!(bed.tokens("treasury"), RICH + bond, "nothing came of it");
    assert_eq!(bed.tokens("stranger"), RICH - bond);
    bed.refused("builder", close, "NoDispute");
}

#[test]
fn anybody_claims_for_a_provider_what_complete_epochs_earned_and_once() {
    let bed = Bed::new(PLAN);
    write_config(&bed.net, &bed.url, 0, "");
    let mut poster = bed.net.poster();
    let provider = named("provider").address();
    let claim = format!("claim --config bridge.toml --provider {provider}");
    let reward = u128::from(bed.net.class.money.reward_gwei_per_epoch) * GWEI;
    let before = bed.tokens("provider");
    complete(&bed.net, &mut poster);
    bed.refused("stranger", &claim, "nothing earned in a final epoch");
    for (last, earned) in [(2, 2 * reward), (3, 3 * reward)] {
        while poster.history().next() <= Epoch(last) {
            complete(&bed.net, &mut poster);
        }
        let said = bed.does("stranger", &claim, "claim");
        assert_eq!(said["epoch"], last);
        assert_eq!(bed.tokens("provider"), before + earned);
        assert_eq!(bed.net.ledger().paid(provider).unwrap(), Stake(earned));
        bed.refused("stranger", &claim, "NothingToClaim");
        let gwei = u64::try_from(earned / GWEI).unwrap();
        let row = json!({
            "provider": provider.to_string(), "epoch": last,
            "earned_gwei": gwei, "final_gwei": gwei, "paid_gwei": gwei,
        });
        let rewards = json!({ "rewards": [row] });
        assert_eq!(bed.says("rewards --config bridge.toml"), rewards);
    }
    let said = bed.says("verdicts --config bridge.toml");
    let epochs = said["verdicts"].as_array().unwrap().iter();
    assert!(epochs.map(|row| &row["epoch"]).eq([0, 1, 2, 3].iter()));
    let file = bed.net.dir.path().join("verdicts.json");
    std::fs::write(file, said.to_string()).unwrap();
    let quote = bed.says("quote --history verdicts.json --price-gwei 9 --block-hours 1");
    assert_eq!(quote["observed_s"], 4 * 3_600, "as it was printed");
    assert_eq!(bed.tokens("stranger"), RICH, "the provider gets it");
}
