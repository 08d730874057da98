//! What a network is not opened with: the ledger says something else than the plan.

use assay_bridge::config::Plan;
use assay_bridge::{setup, terms};
use assay_ledger::{Action, AssayLedger, ClassTerms, LedgerKey};
use assay_protocol::amount::Gwei;
use assay_protocol::ids::{Bps, Stake, UnixMs};

use crate::network::{COIN, Network, PLAN, deployer, join, key, plan_file};

/// Another deployment on a network's chain, whose genesis is not open and whose governor is not its deployer.
struct Draft {
    net: Network,
    dir: tempfile::TempDir,
    plan: Plan,
    ledger: AssayLedger,
}

fn governor() -> LedgerKey {
    key(3)
}

impl Draft {
    fn new() -> Self {
        let net = Network::open();
        let text = format!("{PLAN}[ledger]\ngovernor = \"{}\"\n", governor().address());
        let dir = tempfile::tempdir().unwrap();
        let plan = plan_file(dir.path(), &text);
        let genesis = UnixMs(net.now().0 + 100_000);
        let chain = net.chain.clone();
        let contract = setup::deploy(chain, &deployer(), &plan, genesis, u128::MAX).unwrap();
        let ledger = AssayLedger::at(net.chain.clone(), contract).unwrap();
        Self {
            net,
            dir,
            plan,
            ledger,
        }
    }

    fn governs(&self, action: &Action) {
        self.ledger.submit(&governor(), action).unwrap();
    }

    fn set_classes(&self) -> usize {
        setup::set_classes(&self.ledger, &governor(), &self.plan).unwrap()
    }

    fn open(&self) -> Result<(), String> {
        let out = self.dir.path().join("network.json");
        let opened = setup::open_genesis(&self.ledger, &deployer(), &self.plan, &out);
        assert_eq!(out.exists(), opened.is_ok());
        opened.map(drop).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn is_not_opened(&self, expected: &str) {
        let said = self.open().unwrap_err();
        assert!(said.contains(expected) && said.contains("hint:"), "{said}");
        assert_eq!(self.ledger.network_id().unwrap(), None);
    }
}

#[test]
fn classes_that_the_governor_did_not_set_or_set_otherwise() {
    let draft = Draft::new();
    join(&draft.ledger, &draft.net.hypernodes);
    draft.is_not_opened("terms on the ledger");
    let good = terms::class(&draft.plan, Gwei::USUAL, &draft.net.class);
    let digest = draft.net.class.digest();
    let poor = ClassTerms {
        collateral: Stake(good.collateral.0 - 1),
        ..good
    };
    draft.governs(&Action::set_class(digest, &poor));
    draft.is_not_opened("terms on the ledger");
}

#[test]
fn a_class_that_takes_nothing_for_a_breach() {
    let draft = Draft::new();
    join(&draft.ledger, &draft.net.hypernodes);
    let harmless = ClassTerms {
        slash_cap_bps: Bps(0),
        ..terms::class(&draft.plan, Gwei::USUAL, &draft.net.class)
    };
    let set = Action::set_class(draft.net.class.digest(), &harmless);
    draft.governs(&set);
    draft.is_not_opened("terms on the ledger");
}

#[test]
fn a_schedule_that_is_missing_is_set_by_setting_the_classes_again() {
    let draft = Draft::new();
    join(&draft.ledger, &draft.net.hypernodes);
    let digest = draft.net.class.digest();
    let good = terms::class(&draft.plan, Gwei::USUAL, &draft.net.class);
    draft.governs(&Action::set_class(digest, &good));
    draft.is_not_opened("credits on the ledger");
    assert_eq!(draft.set_classes(), 0);
    let credits = terms::credits(&draft.plan);
    assert_eq!(draft.ledger.schedule(digest).unwrap(), credits);
    assert_eq!(draft.ledger.class_terms(digest).unwrap(), good);
    draft.open().unwrap();
}

/// Genesis cannot be opened twice, so its file must have a place, and epoch 0 must not be over.
#[test]
fn what_cannot_be_undone_waits_for_a_place_and_comes_in_time() {
    let draft = Draft::new();
    join(&draft.ledger, &draft.net.hypernodes);
    draft.set_classes();
    for place in ["nowhere/network.json", "."] {
        let out = draft.dir.path().join(place);
        let opened = setup::open_genesis(&draft.ledger, &deployer(), &draft.plan, &out);
        assert!(opened.is_err(), "{place}");
        assert_eq!(draft.ledger.network_id().unwrap(), None, "{place}");
    }
    let fixed = draft.ledger.genesis_parameters().unwrap();
    let end = fixed.genesis_unix_ms.0 + fixed.epoch_ms;
    setup::check_in_time(&draft.ledger, UnixMs(end - 1)).unwrap();
    let late = setup::check_in_time(&draft.ledger, UnixMs(end)).unwrap_err();
    let said = late.to_string();
    assert!(
        said.contains(&format!("ends at {end}")) && said.contains("hint:"),
        "{said}"
    );
    draft.open().unwrap();
    setup::check_in_time(&draft.ledger, UnixMs(end)).unwrap();
}

/// A chain that lies about them would change every amount by powers of ten.
#[test]
fn a_token_of_other_decimals_than_the_plan_says() {
    let draft = Draft::new();
    join(&draft.ledger, &draft.net.hypernodes);
    draft.set_classes();
    let mut plan = draft.plan.clone();
    plan.ledger.token_decimals = 6;
    let out = draft.dir.path().join("network.json");
    let opened = setup::open_genesis(&draft.ledger, &deployer(), &plan, &out);
    let said = opened.unwrap_err().to_string();
    assert!(
        said.contains("expected 6, the token says 18") && said.contains("hint:"),
        "{said}"
    );

    plan.ledger.token = Some(draft.ledger.contracts().token);
    let genesis = UnixMs(draft.net.now().0 + 100_000);
    let deploy = |plan: &Plan| {
        let chain = draft.net.chain.clone();
        setup::deploy(chain, &deployer(), plan, genesis, u128::MAX)
    };
    let said = deploy(&plan).unwrap_err().to_string();
    assert!(said.contains("expected 6, the token says 18"), "{said}");
    plan.ledger.token = None;
    let contract = deploy(&plan).unwrap();
    let millionths = AssayLedger::at(draft.net.chain.clone(), contract).unwrap();
    let least = plan.ledger.min_stake_gwei;
    let terms = millionths.genesis_parameters().unwrap();
    assert_eq!(terms.min_stake, Stake(least.into()));
    let usual = draft.ledger.genesis_parameters().unwrap();
    assert_eq!(usual.min_stake, Stake(u128::from(least) * 1_000_000_000));
}

/// How many seats are all of them is known when everybody has registered.
#[test]
fn a_reaudit_of_all_is_deployed_and_opened_for_few() {
    let mut draft = Draft::new();
    draft.plan.reaudit_seats = 4;
    let genesis = UnixMs(draft.net.now().0 + 100_000);
    let chain = draft.net.chain.clone();
    let contract = setup::deploy(chain, &deployer(), &draft.plan, genesis, u128::MAX).unwrap();
    draft.ledger = AssayLedger::at(draft.net.chain.clone(), contract).unwrap();
    join(&draft.ledger, &draft.net.hypernodes);
    draft.set_classes();
    let out = draft.dir.path().join("network.json");
    setup::open_genesis(&draft.ledger, &deployer(), &draft.plan, &out).unwrap();
    assert!(draft.ledger.network_id().unwrap().is_some());
}

/// A re-audit that the contract knows nothing of would let a node leave its trial.
#[test]
fn terms_and_amounts_and_a_token_that_are_not_the_plans() {
    type Change = fn(&mut Plan);
    let of_nodes: [Change; 3] = [
        |plan| plan.reaudit_seats = 101,
        |plan| plan.persistence = (1, 2),
        |plan| plan.ledger.silence_epochs += 10,
    ];
    let of_reservations: [Change; 2] = [
        |plan| plan.slot_ms /= 2,
        |plan| plan.ledger.undecided_ppm += 1,
    ];
    let is_not_opened = |change: Change, expected: &str| {
        let mut draft = Draft::new();
        join(&draft.ledger, &draft.net.hypernodes);
        assert_eq!(draft.set_classes(), 1);
        change(&mut draft.plan);
        draft.is_not_opened(expected);
    };
    for change in of_nodes {
        is_not_opened(change, "terms of nodes");
    }
    let amounts: [(Change, &str); 3] = [
        (
            |plan| plan.ledger.dispute_bond_gwei += 1,
            "dispute_bond_gwei",
        ),
        (|plan| plan.ledger.min_stake_gwei -= 1, "min_stake_gwei"),
        (
            |plan| plan.ledger.token = Some(deployer().address()),
            "ledger.token",
        ),
    ];
    for (change, name) in amounts {
        is_not_opened(change, name);
    }
    for change in of_reservations {
        is_not_opened(change, "terms of reservations");
    }
}

/// Genesis is once, so nothing may be opened that every later command would refuse.
#[test]
fn a_hypernode_that_fell_below_the_least_stake_before_genesis() {
    let draft = Draft::new();
    join(&draft.ledger, &draft.net.hypernodes);
    assert_eq!(draft.set_classes(), 1);
    let leaver = &draft.net.hypernodes[3].ledger;
    let unbond = Action::unbond(Stake(15 * COIN - 1));
    draft.ledger.submit(leaver, &unbond).unwrap();
    draft.is_not_opened("committee of epoch 0");
}
