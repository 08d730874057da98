//! From a plan to what the contracts are deployed with.

use anyhow::{Result, ensure};
use assay_ledger::{
    ClassTerms, CreditTier, Deployment, FaultShares, GenesisParameters, NodeTerms, RentTerms, Roles,
};
use assay_protocol::amount::Gwei;
use assay_protocol::class::HardwareClass;
use assay_protocol::ids::{Address, Bps, Stake, UnixMs};

use crate::config::Plan;

const BPS_ONE: u128 = 10_000;

/// Everything a plan's network is deployed with, amounts in this gwei; `deployer` has every role that the plan gives to nobody.
pub fn deployment(
    plan: &Plan,
    gwei: Gwei,
    genesis: UnixMs,
    deployer: Address,
) -> Result<Deployment> {
    let slots = plan.epoch_ms.checked_div(plan.slot_ms).unwrap_or(0);
    ensure!(
        (1..=u64::from(u32::MAX)).contains(&slots),
        "plan: epoch_ms {} over slot_ms {}: expected at least one slot",
        plan.epoch_ms,
        plan.slot_ms
    );
    let genesis = genesis_parameters(plan, gwei, genesis);
    let l = &plan.ledger;
    let until_final = genesis.until_final_ms();
    let at_least = |epochs: u64| epochs.saturating_mul(plan.epoch_ms).max(until_final);
    // A root may be posted again, after a correction at the very end of the windows: that of a period's last epoch, or one
    // that names a registration.
    let anew = until_final.saturating_mul(2);
    let refund = anew.div_ceil(plan.epoch_ms);
    let provisional = l.provisional_epochs.saturating_mul(plan.epoch_ms);
    Ok(Deployment {
        nodes: NodeTerms {
            provisional_ms: provisional.max(anew),
            change_delay_ms: l.change_delay_epochs.saturating_mul(plan.epoch_ms),
            remove_after_ms: l.remove_after_epochs.saturating_mul(plan.epoch_ms),
            silence_ms: at_least(l.silence_epochs),
            persistence_epochs: plan.persistence.1,
            reaudit_epochs: reaudit_epochs(plan.persistence.1, plan.reaudit_seats),
        },
        rent: RentTerms {
            slots_per_epoch: u32::try_from(slots).unwrap_or(u32::MAX),
            undecided_ppm: l.undecided_ppm,
            period_epochs: l.period_epochs,
            max_ahead_epochs: l.max_ahead_epochs,
            notice_epochs: l.notice_epochs,
            refund_epochs: l
                .refund_epochs
                .max(u32::try_from(refund).unwrap_or(u32::MAX)),
        },
        // Signing two things is never an accident; a root that was replaced can be.
        faults: FaultShares {
            two_roots: Bps(10_000),
            wrong_root: Bps(5_000),
            two_votes: Bps(10_000),
            forked_log: Bps(10_000),
            wrong_region_key: Bps(5_000),
            unsigned_answer: Bps(10_000),
            two_outcomes: Bps(10_000),
        },
        roles: Roles {
            token: l.token(),
            treasury: l.treasury.unwrap_or(deployer),
            governor: l.governor.unwrap_or(deployer),
            guardian: l.guardian.unwrap_or(deployer),
        },
        genesis,
    })
}

fn genesis_parameters(plan: &Plan, gwei: Gwei, genesis: UnixMs) -> GenesisParameters {
    let l = &plan.ledger;
    let epochs = |count: u64| count.saturating_mul(plan.epoch_ms);
    let mut parameters = GenesisParameters {
        genesis_unix_ms: genesis,
        epoch_ms: plan.epoch_ms,
        void_after_ms: plan.void_after_ms,
        dispute_window_ms: epochs(plan.dispute_window_epochs),
        dispute_extension_ms: epochs(l.dispute_extension_epochs),
        dispute_bond: Stake(gwei.units(l.dispute_bond_gwei)),
        min_stake: Stake(gwei.units(l.min_stake_gwei)),
        operator_cap_bps: plan.operator_cap_bps,
        active_after_epochs: l.active_after_epochs,
        unbonding_ms: epochs(l.unbonding_epochs),
        reporter_bps: l.reporter_bps,
    };
    parameters.unbonding_ms = parameters.unbonding_ms.max(parameters.unbonding_ms_min());
    parameters
}

/// A trial starts two epochs after the breach and lasts a window, see [`assay_aggregate::persistence`]; one epoch of these
/// may be void. Without re-audit there is none. Who leaves owes service for so long.
fn reaudit_epochs(window: u32, seats: u32) -> u32 {
    match seats {
        0 => 0,
        _ => window.saturating_add(2),
    }
}

/// Terms of a class.
pub fn class(plan: &Plan, gwei: Gwei, class: &HardwareClass) -> ClassTerms {
    let collateral = Stake(gwei.units(class.money.collateral_gwei_min));
    let share = |bps: Bps| {
        let whole = collateral.0.saturating_mul(bps.0.into());
        Stake(whole.checked_div(BPS_ONE).unwrap_or(0))
    };
    ClassTerms {
        collateral,
        slash_cap_per_epoch: share(class.money.slash_bps),
        remove_below: share(plan.ledger.remove_below_bps),
        slash_cap_bps: plan.ledger.slash_cap_bps,
        builder_share_bps: plan.ledger.builder_share_bps,
    }
}

/// The credit schedule of the plan's classes.
pub fn credits(plan: &Plan) -> Vec<CreditTier> {
    let tier = |(below_ppm, credit_bps): &(u32, Bps)| CreditTier {
        below_ppm: *below_ppm,
        credit_bps: *credit_bps,
    };
    plan.ledger.credits.iter().map(tier).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_aggregate::persistence::{Record, Rule};
    use assay_aggregate::verdict::Verdict::{self, Breach, Inconclusive, Pass};
    use assay_protocol::ids::Epoch;

    /// A node that breached through `last`, behaves after it and is judged through its last epoch of service.
    fn after_service(
        rule: &Rule,
        last: u64,
        owed: u64,
        then: impl Fn(u64) -> Verdict,
    ) -> (Record, bool) {
        let mut record = Record::default();
        let mut slashed = false;
        for epoch in 0..=last + owed {
            let verdict = if epoch <= last { Breach } else { then(epoch) };
            let (next, slash) = record.observe(rule, Epoch(epoch), verdict);
            (record, slashed) = (next, slashed || slash);
        }
        (record, slashed)
    }

    /// The last breach before a node asks to leave is tried to its end while service is owed, also when one epoch is void.
    #[test]
    fn nobody_leaves_a_trial() {
        for (breaches, window) in [(1, 1), (2, 3), (3, 6), (6, 6)] {
            let rule = Rule {
                breaches,
                window,
                reaudit: true,
            };
            let (last, owed) = (u64::from(breaches) - 1, reaudit_epochs(window, 101).into());
            let end = Epoch(last + owed);
            let behaves = |epoch| {
                if epoch == last + 2 {
                    Inconclusive
                } else {
                    Pass
                }
            };
            let (record, slashed) = after_service(&rule, last, owed, behaves);
            assert!(!slashed && !record.on_trial(end), "{rule:?}: dismissed");
            let (record, _) = after_service(&rule, last, owed - 1, behaves);
            assert!(record.on_trial(end), "{rule:?}: not before");
            let breaks = |epoch| {
                if epoch == end.0 {
                    Breach
                } else {
                    behaves(epoch)
                }
            };
            let (_, slashed) = after_service(&rule, last, owed, breaks);
            assert!(slashed, "{rule:?}: convicted in the last epoch");
        }
        assert_eq!(reaudit_epochs(6, 0), 0);
    }
}
