//! The aggregation against its reference in another language, `reference/aggregate.py`: thousands of random cases, with
//! hostile and boundary values among them, go to both, and every number must be the same.

mod epochs;
mod random;
mod rules;

use random::Random;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A case and what this crate makes of it.
struct Case {
    rule: &'static str,
    input: Value,
    expected: Value,
}

/// Runs `count` cases of one kind through the reference. Each case has a seed of its own, which a failure names.
fn agree(count: u64, make: fn(&mut Random) -> Case) {
    let cases: Vec<Case> = (0..count).map(|seed| make(&mut Random(seed))).collect();
    let lines: String = cases
        .iter()
        .map(|case| format!("{}\n", json!({ "rule": case.rule, "in": case.input })))
        .collect();
    let answers = reference(lines);
    assert_eq!(answers.len(), cases.len());
    for ((seed, case), answer) in cases.iter().enumerate().zip(answers) {
        assert_eq!(
            answer, case.expected,
            "{} of seed {seed}: {}",
            case.rule, case.input
        );
    }
}

fn reference(lines: String) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/aggregate.py");
    let mut child = Command::new("python3")
        .arg("-B")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3, which tools/setup.sh installs");
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the reference failed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn weights_agree() {
    agree(1_500, rules::weights);
}

#[test]
fn draws_agree() {
    agree(1_500, rules::draws);
}

#[test]
fn slots_agree() {
    agree(3_000, rules::slot);
}

#[test]
fn systemic_subtraction_agrees() {
    agree(1_000, rules::systemic);
}

#[test]
fn wilson_bounds_agree() {
    agree(5_000, rules::wilson_bounds);
}

#[test]
fn quantiles_agree() {
    agree(3_000, rules::quantiles);
}

#[test]
fn persistence_agrees() {
    agree(3_000, rules::persistence);
}

#[test]
fn rewards_agree() {
    agree(3_000, rules::rewards);
}

#[test]
fn trees_and_keccak_agree() {
    agree(60, rules::tree);
    agree(150, rules::keccak);
}

#[test]
fn whole_epochs_agree() {
    agree(350, epochs::small);
}

/// Else agreement would say little.
#[test]
fn the_epochs_lead_to_every_verdict_for_every_reason_and_to_slots_and_slashes() {
    let mut verdicts = [0; 4];
    let mut reasons = [0; 8];
    // confirmed, up slots, down slots, slashes
    let mut seen = [0; 4];
    let (mut absent, mut present) = (0, 0);
    for seed in 0..350 {
        let case = epochs::small(&mut Random(seed));
        match case.expected["absences"].as_array().map_or(0, Vec::len) {
            0 => present += 1,
            _ => absent += 1,
        }
        for leaf in case.expected["leaves"].as_array().into_iter().flatten() {
            verdicts[number(&leaf[5]) as usize] += 1;
            (0..8).for_each(|bit| reasons[bit] += usize::from(number(&leaf[6]) >> bit & 1 == 1));
            for (seen, at) in seen.iter_mut().zip([3, 14, 15, 16]) {
                *seen += usize::from(number(&leaf[at]) > 0);
            }
        }
    }
    assert!(verdicts.iter().all(|seen| *seen > 20), "{verdicts:?}");
    assert!(reasons.iter().all(|seen| *seen > 5), "{reasons:?}");
    assert!(seen.iter().all(|seen| *seen > 100), "{seen:?}");
    assert!(absent > 20 && present > 20, "{absent} of {present}");
}

#[test]
fn the_epochs_lead_nodes_from_any_owner_to_any() {
    let mut seen = [0; 5];
    (0..350).for_each(|seed| epochs::owners(&mut Random(seed), &mut seen));
    assert!(seen.iter().all(|seen| *seen > 10), "{seen:?}");
}

#[test]
fn the_epochs_bind_nodes_to_processors_and_free_them() {
    let mut seen = [0; 5];
    (0..350).for_each(|seed| epochs::processors(&mut Random(seed), &mut seen));
    let mut enough = seen.iter().zip([100, 100, 100, 100, 2]);
    assert!(enough.all(|(seen, least)| *seen > least), "{seen:?}");
}

#[test]
fn the_epochs_pay_all_that_is_asked_for_a_part_of_it_and_nothing() {
    let (mut refused, mut nothing, mut all_of_the_budget, mut less) = (0, 0, 0, 0);
    for seed in 0..350 {
        let Case {
            input, expected, ..
        } = epochs::small(&mut Random(seed));
        if expected.is_null() {
            refused += 1;
            continue;
        }
        let before: u128 = input["earned"]
            .as_object()
            .unwrap()
            .values()
            .map(number)
            .sum();
        let grown = number(&expected["cumulative_reward"]) - before;
        let leaves = expected["rewards"].as_array().unwrap();
        let sum: u128 = leaves.iter().map(|leaf| number(&leaf[2])).sum();
        assert_eq!(sum - before, grown, "seed {seed}");
        let budget = number(&input["budget"]);
        assert!(grown <= budget, "seed {seed}: {grown} of {budget}");
        // What is lost by rounding is less than one unit for each of at most nine nodes.
        match (grown, budget - grown) {
            (0, _) => nothing += 1,
            (_, 0..9) => all_of_the_budget += 1,
            _ => less += 1,
        }
    }
    let seen = [refused, nothing, all_of_the_budget, less];
    assert!(seen.iter().all(|seen| *seen > 3), "{seen:?}");
}

fn number(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn whole_epochs_with_drawn_reaudits_agree() {
    let tried = (0..16).filter(|seed| epochs::puts_on_trial(&mut Random(*seed)));
    assert!(tried.count() >= 2);
    agree(16, epochs::with_drawn_seats);
}
