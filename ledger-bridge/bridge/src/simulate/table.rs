//! The results of a simulation, for people and for programs.

use super::{Effect, Plan, Scenario};
use serde_json::{Value, json};
use std::fmt::Write;

/// A Markdown table with a line that says how to make it again.
pub fn markdown(plan: &Plan, effects: &[(Scenario, Effect)]) -> String {
    let mut out = format!("`{}`\n\n", command(plan));
    out += "| behaviour | stake | availability moved, mean / most | chase moved, mean / most | good node-epochs unpaid; \
            breach | good nodes' slashes | bad node-epochs paid | bad nodes' slashes (honest) | void epochs | \
            reports missing | provably false |\n";
    out += "|---|---|---|---|---|---|---|---|---|---|---|\n";
    for (scenario, effect) in effects {
        let line = row(scenario, effect);
        // Writing to a string does not fail.
        let _ = writeln!(out, "| {} |", line.join(" | "));
    }
    out
}

/// One document: the plan, and one object per scenario.
pub fn json(plan: &Plan, effects: &[(Scenario, Effect)]) -> Value {
    let scenario = |(scenario, effect): &(Scenario, Effect)| {
        json!({
            "behaviour": scenario.behaviour, "share_percent": scenario.share_percent, "effect": effect,
        })
    };
    json!({ "plan": plan, "scenarios": effects.iter().map(scenario).collect::<Vec<_>>() })
}

/// The command that makes the same table, every option named.
fn command(plan: &Plan) -> String {
    let list = |items: Vec<String>| items.join(",");
    let behaviours = plan
        .behaviours
        .iter()
        .map(|b| b.name().to_owned())
        .collect();
    let named = match plan.behaviours.is_empty() {
        true => String::new(),
        false => format!(" --behaviours {}", list(behaviours)),
    };
    let shares = list(plan.shares.iter().map(u32::to_string).collect());
    let (m, n) = plan.persistence;
    format!(
        "assay-bridge simulate{named} --shares {shares} --hypernodes {} --nodes {} --epochs {} --panel {} --cap-bps {} \
         --availability-ppm {} --persistence {m},{n} --seed {}",
        plan.hypernodes,
        plan.nodes,
        plan.epochs,
        plan.panel,
        plan.cap_bps,
        plan.availability_ppm,
        plan.seed
    )
}

fn row(scenario: &Scenario, effect: &Effect) -> Vec<String> {
    vec![
        scenario.behaviour.name().to_owned(),
        format!("{} %", scenario.share_percent),
        format!(
            "{} / {}",
            percent(effect.availability_moved_ppm_mean),
            percent(effect.availability_moved_ppm_max)
        ),
        format!(
            "{} / {}",
            percent(effect.chase_moved_ppm_mean),
            percent(effect.chase_moved_ppm_max)
        ),
        format!(
            "{}; {} of {}",
            effect.good_unpaid, effect.good_breaches, effect.good_judged
        ),
        effect.good_slashes.to_string(),
        format!("{} of {}", effect.bad_paid, effect.bad_judged),
        format!("{} ({})", effect.bad_slashes, effect.bad_slashes_honest),
        effect.void_epochs.to_string(),
        effect.reports_missing.to_string(),
        format!("{} %", effect.provable_percent),
    ]
}

/// Parts in a million as per cent with two digits, rounded down.
fn percent(ppm: u64) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}
