use super::*;
use crate::doctor::Verdict;

fn class() -> ValidClass {
    assay_hw_profiles::parse(assay_hw_profiles::DEMO_CLASS).unwrap()
}

fn counters(scope: &str, bytes: u64) -> Vec<Counter> {
    vec![Counter {
        id: counter::DISK_READ_BYTES,
        scope: scope.into(),
        value: bytes,
    }]
}

/// Three chases of these rates, and a device that read just what they asked for.
fn chased(rates: [u64; 3]) -> Chased {
    let mut latency = Histogram::default();
    latency.add(Duration::from_micros(100));
    Chased {
        rates: rates.into(),
        reads: 10,
        latency,
        counters: [counters("vda", 5), counters("vda", 5 + 10 * 4096)],
    }
}

fn verdicts(chased: &Chased, memory: Option<u64>) -> Vec<(&'static str, Verdict)> {
    let findings = judge(chased, &class(), &Memory(memory)).into_iter();
    findings
        .map(|finding| (finding.name, finding.verdict))
        .collect()
}

fn verdict(chased: &Chased, memory: Option<u64>, name: &str) -> Verdict {
    let all = verdicts(chased, memory);
    all.into_iter().find(|(found, _)| *found == name).unwrap().1
}

/// Of the demonstration class: 16 MiB, floors of 20 and 1,000 reads a second.
const REGION: u64 = 4096 * 4096;

#[test]
fn the_median_is_held_against_the_floor_of_its_kind() {
    let below = |rates| chased(rates);
    assert_eq!(
        verdict(&below([19, 19, 99]), Some(REGION), "liveness"),
        Verdict::Fail
    );
    assert_eq!(
        verdict(&below([1, 20, 99]), Some(REGION), "liveness"),
        Verdict::Pass
    );
    let quarter = Some(REGION / 4);
    assert_eq!(
        verdict(&below([1, 999, 9_999]), quarter, "iops"),
        Verdict::Fail
    );
    assert_eq!(
        verdict(&below([1, 1_000, 9_999]), quarter, "iops"),
        Verdict::Pass
    );
}

#[test]
fn a_region_that_memory_could_hold_says_nothing_about_iops() {
    let fast = chased([9_999; 3]);
    assert_eq!(verdict(&fast, Some(REGION / 4 + 1), "iops"), Verdict::Skip);
    assert_eq!(verdict(&fast, None, "iops"), Verdict::Skip);
    assert_eq!(verdict(&fast, None, "cache"), Verdict::Skip);
}

#[test]
fn a_device_that_read_too_little_fails_and_one_that_is_not_told_is_skipped() {
    let mut less = chased([9_999; 3]);
    assert_eq!(verdict(&less, None, "device"), Verdict::Pass);
    less.counters[1][0].value -= 1;
    assert_eq!(verdict(&less, None, "device"), Verdict::Fail);
    less.counters[0].clear();
    assert_eq!(verdict(&less, None, "device"), Verdict::Skip);
}

fn configuration(dir: &Path, limits: &str) -> PathBuf {
    let text = format!(
        "network = \"{}\"\nprovider = \"{}\"\nroster = [\"{}\"]\nlisten = \"127.0.0.1:0\"\nstate_dir = {dir:?}\n\
         [tpm]\ntcti = \"device:/dev/null\"\nevent_log = \"/dev/null\"\n[limits]\n{limits}\n",
        "11".repeat(32),
        "22".repeat(20),
        "33".repeat(32),
    );
    let path = dir.join("agent.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_class_that_is_not_granted_its_region_is_named_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "region_blocks_max = 2048");
    let findings = measure(&config, &class());
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (findings[0].name, findings[0].verdict),
        ("regions", Verdict::Fail)
    );
    assert!(findings[0].hint.as_ref().unwrap().contains("4096 blocks"));
    let missing = measure(&dir.path().join("missing"), &class());
    assert_eq!(
        (missing[0].name, missing[0].verdict),
        ("configuration", Verdict::Fail)
    );
}

#[test]
fn it_fills_chases_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench {
        folder: Folder(dir.path().join("bench")),
        config: read_config(&configuration(dir.path(), "disk_share_max_percent = 50")).unwrap(),
        duty: Duty::of(&Default::default(), 1),
        files: HostFiles::of_this_machine(),
        chasing: Duration::ZERO,
    };
    assert_eq!(bench.granted().verdict, Verdict::Skip);
    let (region, finding) = bench.fill(4096).unwrap();
    assert_eq!((finding.name, finding.verdict), ("fill", Verdict::Pass));
    assert_eq!(region.meta().blocks, 4096);
    for engine in [Engine::of_this_kernel().0, Engine::Threads] {
        let chased = bench.chase(&region, &class(), engine).unwrap();
        let reads = class().chase_plan(ID).reads() * CHASES.0 as u64;
        assert_eq!((chased.rates.len(), chased.reads), (CHASES.0, reads));
        assert_eq!(chased.latency.total(), reads);
        assert!(chased.rates.is_sorted() && chased.rates[0] > 0);
    }
    // What an earlier run left does not stand in the way.
    assert_eq!(bench.fill(4096).unwrap().1.verdict, Verdict::Pass);
    assert!(dir.path().join("bench").exists());
    drop(bench);
    assert!(!dir.path().join("bench").exists());
}
