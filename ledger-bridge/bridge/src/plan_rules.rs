//! What a plan must hold before anything is paid for it: the rules of the network's parameters, of this version, and of the
//! contracts.

use anyhow::Result;
use assay_aggregate::agreement::commit_ms_min;
use assay_aggregate::inputs::History;
use assay_protocol::amount::Gwei;
use assay_protocol::class::ValidClass;
use assay_protocol::ids::{Address, Bps, Digest, HyperNodeId, Seed, Stake, UnixMs};
use assay_protocol::params::{NetworkParams, RosterEntry};
use std::collections::BTreeMap;

use crate::config::{ConfigError, LedgerPlan, Plan};

/// HyperNodes that the contract has seats for: as many operators as there may be.
const SEATS: u8 = 128;
/// Longest time that the contracts take: ten years.
pub const TIME_MS_MAX: u64 = 315_360_000_000;
/// Epochs that may wait to become final.
const OPEN_EPOCHS_MAX: u64 = 1_022;
const TIERS_MAX: usize = 8;
const PPM_ONE: u32 = 1_000_000;
const BPS_ONE: u32 = 10_000;

/// What the plan does not say of a network's parameters.
pub struct Given {
    /// Chain id.
    pub chain_id: u64,
    /// The contract.
    pub contract: Address,
    /// Start of epoch 0.
    pub genesis: UnixMs,
    /// What amounts call a gwei.
    pub gwei: Gwei,
    /// Who registered.
    pub roster: Vec<RosterEntry>,
}

/// The network's parameters, validated, and under rules that this version has.
pub fn parameters(plan: &Plan, given: Given) -> Result<NetworkParams> {
    let classes = plan.load_classes()?;
    let mut digests: Vec<Digest> = classes.iter().map(|class| class.digest()).collect();
    digests.sort_unstable();
    let params = NetworkParams {
        chain_id: given.chain_id,
        contract: given.contract,
        genesis_unix_ms: given.genesis,
        epoch_ms: plan.epoch_ms,
        slot_ms: plan.slot_ms,
        clock_skew_ms_max: plan.clock_skew_ms_max,
        panel_min: plan.panel_min,
        operator_cap_bps: plan.operator_cap_bps,
        systemic_min_providers: plan.systemic_min_providers,
        control_probes: plan.control_probes,
        persistence: plan.persistence,
        reaudit_seats: plan.reaudit_seats,
        region_epochs: plan.region_epochs,
        seed_chain_links: plan.seed_chain_links,
        commit_ms: plan.commit_ms,
        reveal_ms: plan.reveal_ms,
        vote_ms: plan.vote_ms,
        void_after_ms: plan.void_after_ms,
        absent_epochs: plan.absent_epochs,
        gwei: given.gwei.get(),
        classes: digests,
        roster: given.roster,
    };
    params.validate().map_err(ConfigError::Parameters)?;
    // Rules this version does not have are refused now, not at the end of the first epoch.
    History::new(&params, classes)?.aggregate([], &BTreeMap::new(), 0)?;
    Ok(params)
}

/// Refuses what `set-classes`, `open-genesis` or a contract would, whoever registers: with as many HyperNodes as there may be,
/// and without a re-audit, whose seats can be all of them where they are few.
pub fn check(plan: &Plan, gwei: Gwei, genesis: UnixMs) -> Result<()> {
    times(plan)?;
    terms(&plan.ledger)?;
    credits(&plan.ledger.credits)?;
    let given = Given {
        chain_id: 0,
        contract: Address([0; 20]),
        genesis,
        gwei,
        roster: (1..=SEATS).map(anybody).collect(),
    };
    let few = Plan {
        reaudit_seats: 0,
        ..plan.clone()
    };
    parameters(&few, given)?;
    plan.load_classes()?.iter().try_for_each(collateral)?;
    Ok(())
}

fn anybody(n: u8) -> RosterEntry {
    RosterEntry {
        id: HyperNodeId([n; 32]),
        operator: Digest([n; 32]),
        ledger: Address([n; 20]),
        stake: Stake(1_000_000),
        seed_end: Seed([n; 32]),
    }
}

fn collateral(class: &ValidClass) -> Result<(), ConfigError> {
    let least = class.money.collateral_gwei_min;
    let key = format!("collateral_gwei_min of class {}", class.digest());
    rule(least > 0, &key, "at least 1", least)
}

fn times(plan: &Plan) -> Result<(), ConfigError> {
    let l = &plan.ledger;
    let most = format!("at most {TIME_MS_MAX} ms, ten years");
    let within = |key: &str, ms: u64| rule(ms <= TIME_MS_MAX, key, &most, format!("{ms} ms"));
    within("epoch_ms", plan.epoch_ms)?;
    let least = commit_ms_min(plan.slot_ms, plan.clock_skew_ms_max);
    rule(
        plan.commit_ms >= least,
        "commit_ms",
        &format!("at least {least}: HyperNodes commit slot_ms after the epoch's end"),
        plan.commit_ms,
    )?;
    let epochs = [
        ("dispute_window_epochs", plan.dispute_window_epochs),
        (
            "ledger.dispute_extension_epochs",
            l.dispute_extension_epochs,
        ),
        ("ledger.unbonding_epochs", l.unbonding_epochs),
        ("ledger.provisional_epochs", l.provisional_epochs),
        ("ledger.change_delay_epochs", l.change_delay_epochs),
        ("ledger.remove_after_epochs", l.remove_after_epochs),
        ("ledger.silence_epochs", l.silence_epochs),
    ];
    for (key, epochs) in epochs {
        within(key, epochs.saturating_mul(plan.epoch_ms))?;
    }
    let windows = (plan
        .dispute_window_epochs
        .saturating_add(l.dispute_extension_epochs))
    .saturating_mul(plan.epoch_ms)
    .saturating_add(plan.void_after_ms);
    rule(
        windows <= OPEN_EPOCHS_MAX.saturating_mul(plan.epoch_ms),
        "dispute_window_epochs",
        "void_after_ms, window and extension together at most 1022 epochs",
        format!("{windows} ms"),
    )
}

fn terms(l: &LedgerPlan) -> Result<(), ConfigError> {
    let after = l.active_after_epochs;
    rule(
        (2..=16).contains(&after),
        "ledger.active_after_epochs",
        "2 to 16",
        after,
    )?;
    for (key, actual) in [
        ("min_stake_gwei", l.min_stake_gwei),
        ("period_epochs", l.period_epochs.into()),
        ("max_ahead_epochs", l.max_ahead_epochs.into()),
    ] {
        rule(actual > 0, &format!("ledger.{key}"), "at least 1", actual)?;
    }
    for (key, actual, most) in [
        ("reporter_bps", l.reporter_bps.0, BPS_ONE / 2),
        ("remove_below_bps", l.remove_below_bps.0, BPS_ONE),
        ("slash_cap_bps", l.slash_cap_bps.0, BPS_ONE),
        ("builder_share_bps", l.builder_share_bps.0, BPS_ONE),
        ("undecided_ppm", l.undecided_ppm, PPM_ONE),
    ] {
        let expected = format!("at most {most}");
        rule(actual <= most, &format!("ledger.{key}"), &expected, actual)?;
    }
    for (key, role) in [
        ("token", l.token),
        ("treasury", l.treasury),
        ("governor", l.governor),
        ("guardian", l.guardian),
    ] {
        let is_somebody = role != Some(Address([0; 20]));
        rule(
            is_somebody,
            &format!("ledger.{key}"),
            "an account",
            "the address zero",
        )?;
    }
    Ok(())
}

fn credits(tiers: &[(u32, Bps)]) -> Result<(), ConfigError> {
    let key = "ledger.credits";
    let count = tiers.len();
    rule((1..=TIERS_MAX).contains(&count), key, "1 to 8 steps", count)?;
    let in_range = |(below, share): &(u32, Bps)| {
        (1..=PPM_ONE).contains(below) && (1..=BPS_ONE).contains(&share.0)
    };
    let is_next = |a: &(u32, Bps), b: &(u32, Bps)| a.0 > b.0 && a.1 < b.1;
    let actual = tiers
        .iter()
        .map(|(below, share)| format!("[{below}, {share}]"));
    rule(
        tiers.iter().all(in_range) && tiers.is_sorted_by(is_next),
        key,
        "[1 to 1000000 ppm, 1 to 10000], the first ones falling, the second ones growing",
        actual.collect::<Vec<_>>().join(", "),
    )
}

fn rule(holds: bool, key: &str, expected: &str, actual: impl ToString) -> Result<(), ConfigError> {
    match holds {
        true => Ok(()),
        false => Err(ConfigError::Rule {
            key: key.to_owned(),
            expected: expected.to_owned(),
            actual: actual.to_string(),
        }),
    }
}
