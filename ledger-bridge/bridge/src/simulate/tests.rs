use super::*;
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(line: &str) -> Arguments {
    let words = std::iter::once("simulate").chain(line.split_whitespace());
    Cli::try_parse_from(words).unwrap().arguments
}

fn refused(line: &str) -> String {
    let words = std::iter::once("simulate").chain(line.split_whitespace());
    Cli::try_parse_from(words).err().unwrap().to_string()
}

const SMALL: &str = "--nodes 12 --epochs 6 --hypernodes 10";

fn effect(line: &str) -> Effect {
    run(&arguments(line).plan).unwrap().remove(0).1
}

/// SIMULATION.md holds this table, so the code and the page cannot part.
#[test]
fn the_small_table_of_the_page_is_reproduced() {
    let page = include_str!("../../SIMULATION.md");
    let table = shown(&arguments(
        "--shares 20,40 --behaviours colluding,lazy,withholding --nodes 12 --epochs 6",
    ))
    .unwrap();
    assert!(
        page.contains(&table),
        "SIMULATION.md does not contain:\n{table}"
    );
}

#[test]
fn the_same_seed_gives_the_same_numbers_and_another_gives_others() {
    let line = format!("{SMALL} --behaviours liars --shares 33");
    assert_eq!(effect(&line), effect(&line));
    assert_ne!(effect(&line), effect(&format!("{line} --seed 2")));
}

#[test]
fn without_an_attacker_nothing_moves() {
    let none = effect(&format!("{SMALL} --behaviours colluding --shares 0"));
    let still = Effect {
        good_judged: none.good_judged,
        bad_judged: none.bad_judged,
        bad_slashes: none.bad_slashes,
        bad_slashes_honest: none.bad_slashes,
        ..Effect::default()
    };
    assert_eq!(none, still);
    assert!(none.good_judged > 0 && none.bad_slashes > 0);
}

#[test]
fn a_third_that_withholds_stops_every_epoch_and_moves_nothing() {
    let third = effect(&format!("{SMALL} --behaviours withholding --shares 40"));
    assert_eq!((third.void_epochs, third.good_judged), (6, 0));
    assert_eq!((third.good_slashes, third.bad_slashes), (0, 0));
    assert_eq!(third.reports_missing, 6 * 4);
    let fewer = effect(&format!("{SMALL} --behaviours withholding --shares 20"));
    assert_eq!((fewer.void_epochs, fewer.good_slashes), (0, 0));
}

#[test]
fn a_larger_panel_takes_a_colluding_third_its_power_over_slots() {
    let line = format!("{SMALL} --behaviours colluding --shares 33");
    let (three, eight) = (
        effect(&format!("{line} --panel 3")),
        effect(&format!("{line} --panel 8")),
    );
    assert!(three.availability_moved_ppm_mean > 4 * eight.availability_moved_ppm_mean);
    assert!(three.good_breaches > 0);
    assert_eq!(eight.good_slashes, 0);
}

#[test]
fn medians_hold_below_one_half() {
    let half = effect(&format!(
        "{SMALL} --behaviours colluding --shares 49 --panel 10"
    ));
    // The median stays within what honest HyperNodes measured: a tenth around the truth.
    assert!(half.chase_moved_ppm_max <= 250_000, "{half:?}");
}

#[test]
fn bad_arguments_are_named() {
    for (line, named) in [
        ("--shares 95", "95"),
        ("--persistence 7,6", "1 <= m <= n"),
        ("--persistence 3", "expected m,n"),
        ("--behaviours nice", "nice"),
        ("--hypernodes 3", "3"),
    ] {
        let error = refused(line);
        assert!(error.contains(named), "{line}: {error}");
    }
    // An operator cap that cannot be: refused before anything runs.
    let plan = arguments(&format!("{SMALL} --cap-bps 10")).plan;
    assert!(
        run(&plan)
            .err()
            .unwrap()
            .to_string()
            .contains("operator_cap_bps")
    );
}

#[test]
fn json_holds_plan_and_every_scenario() {
    let arguments = arguments(&format!("{SMALL} --behaviours lazy --shares 10,20 --json"));
    let value: serde_json::Value = serde_json::from_str(&shown(&arguments).unwrap()).unwrap();
    assert_eq!(value["plan"]["seed"], 1);
    assert_eq!(value["scenarios"].as_array().unwrap().len(), 2);
    assert_eq!(value["scenarios"][1]["share_percent"], 20);
    assert_eq!(value["scenarios"][1]["effect"]["provable_percent"], 100);
}
