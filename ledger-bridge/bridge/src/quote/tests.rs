use super::*;
use clap::Parser;
use std::path::Path;

const DAY: u64 = 86_400;
const MONTH: u64 = 30 * DAY;
const PRICE: u64 = 1_000_000;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(path: &Path, more: &str) -> Arguments {
    let path = path.to_str().unwrap();
    let head = [
        "quote",
        "--price-gwei",
        "1000000",
        "--runs",
        "4000",
        "--history",
        path,
    ];
    let words = head.into_iter().chain(more.split_whitespace());
    Cli::try_parse_from(words).unwrap().arguments
}

/// Quotes from a file of this name and text.
fn from_file(name: &str, text: &str, more: &str) -> Result<Quote, QuoteError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    quote(&arguments(&path, more))
}

/// A year of observation with these outages.
fn year(outages: &[(u64, u64)], more: &str) -> Quote {
    let mut text = format!(
        "what,from_unix_s,to_unix_s\nobserved,1000,{}\n",
        1_000 + 360 * DAY
    );
    for (from, to) in outages {
        text += &format!("outage,{},{}\n", 1_000 + from, 1_000 + to);
    }
    from_file("outages.csv", &text, more).unwrap()
}

fn money(quote: &Quote) -> [u64; 5] {
    [
        quote.expected_credit_gwei,
        quote.loss_p95_gwei,
        quote.loss_p99_gwei,
        quote.loss_most_gwei,
        quote.collateral_required_gwei,
    ]
}

#[test]
fn never_down_costs_nothing_and_says_that_this_proves_little() {
    let quote = year(&[], "");
    assert_eq!(money(&quote), [0; 5]);
    assert_eq!(
        (quote.breach_ppm, quote.observed_availability_ppm),
        (0, 1_000_000)
    );
    // 360 days without an outage: at most 0.75 % of days have one, z² / (n + z²).
    assert_eq!(quote.blocks_with_outage_ppm_max, 7_460);
    assert_eq!(quote.warnings.len(), 1);
}

#[test]
fn always_down_costs_the_whole_price() {
    let quote = year(&[(0, 360 * DAY)], "");
    assert_eq!(money(&quote), [PRICE; 5]);
    assert_eq!(
        (quote.breach_ppm, quote.observed_availability_ppm),
        (1_000_000, 0)
    );
}

/// A tier of 10 % of 9 gwei is less than one: a period with a credit all the same. A tier of nothing is none.
#[test]
fn periods_with_credit_are_counted_before_there_is_money() {
    let hourly = (0..360 * 24).map(|hour| (hour * 3_600, hour * 3_600 + 30));
    let text: String = hourly
        .map(|(from, to)| format!("outage,{from},{to}\n"))
        .collect();
    let end = 360 * DAY;
    let text = format!("what,from_unix_s,to_unix_s\nobserved,0,{end}\n{text}");
    let folder = tempfile::tempdir().unwrap();
    let (path, tiers) = (folder.path().join("x.csv"), folder.path().join("t.toml"));
    std::fs::write(&path, text).unwrap();
    let with = |price_gwei, lowest_bps: u32| {
        let tier = format!("below_ppm = 995000\ncredit_bps = {lowest_bps}\n");
        std::fs::write(&tiers, format!("name = \"t\"\n[[tiers]]\n{tier}")).unwrap();
        let mut arguments = arguments(&path, "");
        (arguments.price_gwei, arguments.credits) = (price_gwei, Some(tiers.clone()));
        let quote = quote(&arguments).unwrap();
        (quote.breach_ppm, quote.loss_most_gwei)
    };
    assert_eq!(with(10, 1_000), (1_000_000, 1));
    assert_eq!(with(9, 1_000), (1_000_000, 0));
    assert_eq!(with(9, 0), (0, 0));
}

#[test]
fn a_constant_outage_costs_its_tier_in_every_period() {
    // The same minutes of every hour, in blocks of whole hours: every period has the same availability.
    let hourly = |seconds: u64| -> Vec<(u64, u64)> {
        (0..360 * 24)
            .map(|hour| (hour * 3_600, hour * 3_600 + seconds))
            .collect()
    };
    // 0.5 % is not below 99.5 %; a little more is.
    assert_eq!(money(&year(&hourly(18), "")), [0; 5]);
    assert_eq!(money(&year(&hourly(19), "")), [PRICE / 10; 5]);
    assert_eq!(money(&year(&hourly(36), "")), [PRICE / 10; 5]);
    assert_eq!(money(&year(&hourly(37), "")), [3 * PRICE / 10; 5]);
    assert_eq!(money(&year(&hourly(180), "")), [3 * PRICE / 10; 5]);
    assert_eq!(money(&year(&hourly(181), "")), [PRICE; 5]);
}

#[test]
fn one_day_in_thirty_agrees_with_the_binomial_closed_form() {
    // Days 0, 30, 60, … are down whole. Blocks start at any second, so take blocks of the whole period's length 1 day
    // and starts are uniform: a block holds a share of a down day; the mean of the availability is exact.
    let outages: Vec<_> = (0..12).map(|n| (n * MONTH, n * MONTH + DAY)).collect();
    let quote = year(&outages, "");
    assert_eq!(quote.observed_availability_ppm, 966_666);
    // A period of one block: credit is due whenever more than 0.5 % of it is down. A window of a day meets a day-long
    // outage with more than d seconds overlap from 2·(DAY − d) of 30 days' starts.
    let one = year(&outages, "--period-hours 24");
    let chance = |least_s: u64| 2 * (DAY - least_s) * 1_000_000 / MONTH;
    let due = u64::from(one.breach_ppm);
    assert!(due.abs_diff(chance(432)) < 12_000, "{due} {}", chance(432));
    let above = |ppm: u64| chance(DAY * ppm / 1_000_000);
    let expected = PRICE / 10 * (above(5_000) - above(10_000)) / 1_000_000
        + 3 * PRICE / 10 * (above(10_000) - above(50_000)) / 1_000_000
        + PRICE * above(50_000) / 1_000_000;
    let got = one.expected_credit_gwei;
    assert!(got.abs_diff(expected) < expected / 5, "{got} {expected}");
}

#[test]
fn clustered_outages_cost_more_at_the_tail_than_the_same_time_spread_out() {
    // 39 hours in a year: as one storm of 13 hours a day on three days running, or 390 seconds every day.
    let storm: Vec<_> = (100..103)
        .map(|day| (day * DAY, day * DAY + 13 * 3_600))
        .collect();
    let spread: Vec<_> = (0..360).map(|day| (day * DAY, day * DAY + 390)).collect();
    let (storm, spread) = (
        year(&storm, "--block-hours 96"),
        year(&spread, "--block-hours 96"),
    );
    assert_eq!(storm.down_s, spread.down_s);
    assert_eq!(money(&spread), [0; 5]);
    assert_eq!(storm.loss_p99_gwei, PRICE);
    assert!(storm.breach_ppm < 150_000);
    // With blocks of an hour the storm falls apart, and the tail with it.
    let apart = year(&[(100 * DAY, 100 * DAY + 39 * 3_600)], "--block-hours 1");
    assert!(apart.loss_p99_gwei < PRICE);
}

#[test]
fn the_seed_decides_everything() {
    let outages = [(5 * DAY, 6 * DAY), (50 * DAY, 50 * DAY + 7_000)];
    assert_eq!(year(&outages, "--seed 9"), year(&outages, "--seed 9"));
    let other = Quote {
        seed: 9,
        ..year(&outages, "--seed 10")
    };
    assert_ne!(year(&outages, "--seed 9"), other);
}

#[test]
fn json_outages_and_csv_say_the_same() {
    let csv = year(&[(7, 70_000)], "");
    let end = 1_000 + 360 * DAY;
    let text = format!(
        "{{\"observed\":{{\"from_unix_s\":1000,\"to_unix_s\":{end}}},\"outages\":[{{\"from_unix_s\":1007,\"to_unix_s\":71000}}]}}"
    );
    assert_eq!(from_file("outages.json", &text, "").unwrap(), csv);
}

fn verdict(epoch: u64, node: u8, availability: u32, coverage: u32) -> String {
    let node = hex::encode([node; 32]);
    format!(
        "{{\"epoch\":{epoch},\"node\":\"{node}\",\"verdict\":\"pass\",\"availability_ppm\":{availability},\"coverage_ppm\":{coverage}}}"
    )
}

fn verdicts(rows: &[String]) -> String {
    format!("{{\"verdicts\":[{}]}}", rows.join(","))
}

#[test]
fn verdicts_are_a_history_and_what_was_not_decided_is_no_time() {
    let decided = (0..48).map(|n| verdict(n, 1, if n < 12 { 0 } else { 1_000_000 }, 900_000));
    let mut rows: Vec<String> = decided.collect();
    rows.push(verdict(48, 1, 0, 0));
    let text = verdicts(&rows);
    let quote = from_file("verdicts.json", &text, "").unwrap();
    // Nine tenths of each epoch were decided: the rest is no time either, as on the ledger.
    assert_eq!((quote.observed_s, quote.down_s), (48 * 3_240, 12 * 3_240));
    assert!(quote.warnings.len() >= 2);

    rows.push(verdict(3, 2, 500_000, 1_000_000));
    let two = verdicts(&rows);
    let error = from_file("verdicts.json", &two, "")
        .unwrap_err()
        .to_string();
    assert!(error.contains("several nodes"), "{error}");
    let node = hex::encode([2; 32]);
    let more = format!("--node {node} --block-hours 1");
    assert_eq!(
        from_file("verdicts.json", &two, &more).unwrap().down_s,
        1_800
    );
    let twice = verdicts(&[verdict(3, 1, 0, 1), verdict(3, 1, 0, 1)]);
    let error = from_file("verdicts.json", &twice, "")
        .unwrap_err()
        .to_string();
    assert!(error.contains("epoch 3 twice"), "{error}");
}

/// Hours that were hardly seen weigh as little here as in `Billing.sol`: 20 slots of 60 down in one, 6 of 6 in another.
#[test]
fn an_epoch_weighs_as_much_as_was_decided_of_it() {
    let rows = [
        verdict(0, 1, 666_666, 1_000_000),
        verdict(1, 1, 0, 100_000),
        verdict(2, 1, 1_000_000, 16_666),
        verdict(3, 1, 0, 0),
    ];
    let rows: Vec<String> = rows.into();
    let text = verdicts(&rows);
    let quote = from_file("verdicts.json", &text, "--block-hours 1").unwrap();
    // Shares in a million are rounded down, so what is made of them is rounded up: 1,201 s for a third of an hour.
    assert_eq!(quote.observed_s, 3_600 + 360 + 60);
    assert_eq!(quote.down_s, 1_201 + 360);
}

#[test]
fn bad_histories_are_named() {
    let head = "what,from_unix_s,to_unix_s\n";
    let cases = [
        ("x.csv", "from,to\n", "line 1"),
        (
            "x.csv",
            "what,from_unix_s,to_unix_s\noutage,1,2\n",
            "one observed",
        ),
        (
            "x.csv",
            &format!("{head}observed,0,900000\nobserved,0,900000\n"),
            "line 3",
        ),
        (
            "x.csv",
            &format!("{head}observed,0,900000\nmaybe,1,2\n"),
            "maybe",
        ),
        (
            "x.csv",
            &format!("{head}observed,0,900000\noutage,1,2,3\n"),
            "two whole numbers",
        ),
        (
            "x.csv",
            &format!("{head}observed,0,900000\noutage,-1,2\n"),
            "line 3",
        ),
        (
            "x.csv",
            &format!("{head}observed,900000,0\n"),
            "from before to",
        ),
        (
            "x.csv",
            &format!("{head}observed,0,900000\noutage,5,4\n"),
            "ascending",
        ),
        (
            "x.csv",
            &format!("{head}observed,0,900000\noutage,5,9\noutage,8,10\n"),
            "from 9 on",
        ),
        (
            "x.csv",
            &format!("{head}observed,0,900000\noutage,5,900001\n"),
            "up to 900000",
        ),
        ("x.csv", &format!("{head}observed,0,9999999999\n"), "time"),
        (
            "x.csv",
            &format!("{head}observed,0,3600\n"),
            "--block-hours",
        ),
        ("x.txt", "", ".csv or .json"),
        ("x.json", "{\"observed\":{}}", "JSON"),
        ("x.json", "[]", "JSON"),
        ("x.json", &verdicts(&[]), "at least one"),
        ("x.json", "{}", "expected observed and outages, or verdicts"),
        (
            "x.json",
            "{\"observed\":{\"from_unix_s\":0,\"to_unix_s\":9},\"outages\":[],\"verdicts\":[]}",
            "expected observed and outages, or verdicts",
        ),
        ("x.json", "{\"verdicts\":[],\"rewards\":[]}", "JSON"),
        (
            "x.json",
            &verdicts(&[verdict(7, 1, 1_000_001, 1)]),
            "epoch 7: availability_ppm: expected at most 1000000, got 1000001",
        ),
        (
            "x.json",
            &verdicts(&[verdict(7, 1, 1, 1_000_001)]),
            "epoch 7: coverage_ppm: expected at most 1000000, got 1000001",
        ),
    ];
    for (name, text, named) in cases {
        let error = from_file(name, text, "").unwrap_err().to_string();
        assert!(error.contains(named), "{name} {text:?}: {error}");
    }
    let missing = quote(&arguments(Path::new("/nowhere/x.csv"), "")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/x.csv"));
}

#[test]
fn bad_credit_tiers_are_named_and_good_ones_apply_strictly_below() {
    let tiers = |lines: &str| Credits::parse(&format!("name = \"t\"\n{lines}"));
    let tier =
        |below: u32, bps: u32| format!("[[tiers]]\nbelow_ppm = {below}\ncredit_bps = {bps}\n");
    let refused = [
        ("tiers = []".to_owned(), "tiers"),
        (tier(1_000_001, 1), "below_ppm"),
        (tier(5, 1) + &tier(5, 2), "below_ppm"),
        (tier(5, 2) + &tier(4, 2), "credit_bps"),
        (tier(5, 10_001), "credit_bps"),
        (tier(5, 1) + "more = 1\n", "credit tiers"),
    ];
    for (lines, named) in refused {
        let error = tiers(&lines).unwrap_err().to_string();
        assert!(error.contains(named), "{lines}: {error}");
    }
    let good = Credits::ec2_like().unwrap();
    let due = [
        1_000_000, 995_000, 994_999, 990_000, 989_999, 950_000, 949_999, 0,
    ];
    let due = due.map(|ppm| good.due_bps(ppm));
    assert_eq!(due, [0, 0, 1_000, 1_000, 3_000, 3_000, 10_000, 10_000]);
    assert_eq!(credits::credit_gwei(u64::MAX, 10_000), u64::MAX);
    assert_eq!(credits::credit_gwei(19, 1_000), 1, "rounded down");
}

#[test]
fn what_is_printed_names_the_seed_and_json_has_every_number() {
    let text = "what,from_unix_s,to_unix_s\nobserved,0,8640000\noutage,0,86400\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outages.csv");
    std::fs::write(&path, text).unwrap();
    let people = shown(&arguments(&path, "--seed 77")).unwrap();
    assert!(
        people.contains("seed 77") && people.contains("collateral required"),
        "{people}"
    );
    let value: serde_json::Value =
        serde_json::from_str(&shown(&arguments(&path, "--json")).unwrap()).unwrap();
    assert_eq!(value["seed"], 1);
    assert_eq!(value["down_s"], 86_400);
    assert!(value["loss_p99_gwei"].is_u64());
}
