//! From a node's verdict to its sums, and to what it asks for.

use super::chips::Binding;
use super::{Judgement, NodeState, Ownership};
use crate::availability::Census;
use crate::persistence::Rule;
use crate::verdict::Verdict;
use crate::weights::{BPS_ONE, mul_div};
use assay_protocol::amount::Gwei;
use assay_protocol::class::Money;
use assay_protocol::ids::Epoch;

/// Reward and slash a verdict leads to, in the token's smallest unit.
pub fn money(verdict: Verdict, money: &Money, gwei: Gwei) -> (u128, u128) {
    let reward = gwei.units(money.reward_gwei_per_epoch);
    let collateral = gwei.units(money.collateral_gwei_min);
    let slash = mul_div(collateral, money.slash_bps.0.into(), BPS_ONE.into());
    match verdict {
        Verdict::Pass => (reward, 0),
        Verdict::Breach => (0, slash),
        Verdict::Warned | Verdict::Inconclusive => (0, 0),
    }
}

/// A node's state after a root; `prior` is the one its epoch began with. Slots are counted from the first judged epoch on. A
/// slash is only an owner's that an **earlier** root confirmed, and breaches are remembered from then on; a breach costs
/// only when [`crate::persistence`] says so.
pub(super) fn settle(
    rule: &Rule,
    epoch: Epoch,
    prior: &NodeState,
    ownership: &Ownership<'_>,
    (judgement, binding): (&Judgement, &Binding),
) -> NodeState {
    let mut state = counted(prior, &judgement.census);
    if prior.confirmed_owner.is_some() {
        let verdict = judgement.finding.map(|finding| finding.verdict);
        let verdict = verdict.unwrap_or(Verdict::Inconclusive);
        let (record, is_due) = prior.record.observe(rule, epoch, verdict);
        let slash = if is_due { judgement.slash } else { 0 };
        state.record = record;
        state.cumulative_slash = prior.cumulative_slash.saturating_add(slash);
    }
    state.confirmed_owner = ownership.after(judgement, binding, &state.record);
    state.chips = binding.after.filter(|_| state.confirmed_owner.is_some());
    state
}

/// With the slots that the census decided.
fn counted(prior: &NodeState, census: &Census) -> NodeState {
    let add = |sum: u64, slots: u32| sum.saturating_add(slots.into());
    NodeState {
        cumulative_up_slots: add(prior.cumulative_up_slots, census.up),
        cumulative_down_slots: add(prior.cumulative_down_slots, census.down),
        ..*prior
    }
}
