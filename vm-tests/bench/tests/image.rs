//! The flashable image on a machine with firmware, Secure Boot and a TPM, before a real HyperNode: an honest machine,
//! and what its owner could do to it without a screwdriver.

use assay_bench::judge::Judge;
use assay_bench::machine::{Machine, NETWORK_IMAGE, SecureBoot};
use assay_bench::network::outcome_of;
use assay_bench::table::Row;
use assay_bench::thief::Captured;
use assay_bench::trial::{PROVIDER, Trial, boot, serves_again};
use assay_protocol::answers::{Counter, counter};
use assay_protocol::ids::Address;
use assay_protocol::outcome::{OutcomeClass, OutcomeKind, metric};
use assay_testbed::net::Programs;
use assay_testbed::tool::run;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

const KERNEL: &str = "EFI/BOOT/BOOTX64.EFI";
const ASKS_FOR_SECURE_BOOT: &str = "[attestation.boot]\nsecure_boot = true\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_image_reaches_tier_2_and_a_reboot_is_explained() {
    let trial = Trial::new(SecureBoot::TestKeys, ASKS_FOR_SECURE_BOOT).unwrap();
    let (mut machine, node) = trial.boot().unwrap();
    let (judge, endpoint) = (trial.judge(), machine.endpoint.clone());
    let record = trial.enrol(&judge, node, &endpoint).await.unwrap();
    let seen = trial.attest(&judge, &record, &endpoint).await.unwrap();
    Row::honest(
        "honest-secure-boot",
        "published image, Secure Boot on",
        "pass, tier 2",
    )
    .passes(2, &seen);
    let salted = outcome_of(&judge, node, OutcomeKind::Attest).evidence[0].salted_digest;
    assert_eq!(judge.owner_of(&salted).unwrap(), Some(PROVIDER));

    machine.reset().unwrap();
    assert_eq!(serves_again(&mut machine, 2).unwrap(), node);
    let seen = trial.attest(&judge, &record, &endpoint).await.unwrap();
    Row::honest(
        "honest-reboot",
        "reset button, same HyperNode",
        "pass, tier 2",
    )
    .passes(2, &seen);

    machine.cut_power();
    let (machine, again) = trial.boot().unwrap();
    assert_eq!(again, node);
    let seen = trial
        .attest(&judge, &record, &machine.endpoint)
        .await
        .unwrap();
    Row::honest(
        "honest-power-cut",
        "power cut, same HyperNode",
        "pass, tier 2",
    )
    .passes(2, &seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_answers_every_challenge_and_a_slow_disk_is_seen() {
    let mut rates = Vec::new();
    for options in ["", "throttling.iops-total=40"] {
        let mut trial = Trial::new(SecureBoot::Off, "").unwrap();
        trial.parts.disk_options = options.to_owned();
        trial.add_nvme().unwrap();
        let (machine, node) = trial.boot().unwrap();
        let judge = Judge::enrol(&trial, node, &machine.endpoint).await.unwrap();
        let seen = judge.attest(&trial).await.unwrap();
        if options.is_empty() {
            Row::honest(
                "honest-no-secure-boot",
                "published image, Secure Boot off, not asked for",
                "pass, tier 2",
            )
            .passes(2, &seen);
            nvme_health(&trial, &judge).await;
        }
        let probed = judge.probe(&trial).await.unwrap();
        assert_eq!(probed.class, OutcomeClass::Pass, "{}", probed.detail);
        let filled = judge.fill(&trial).await.unwrap();
        assert_eq!(filled.class, OutcomeClass::Pass, "{}", filled.detail);
        let outcome = judge.chase(&trial).await.unwrap();
        let reads = outcome.metric(metric::CHASE_READS).unwrap();
        let took = outcome.metric(metric::CHASE_US).unwrap();
        rates.push(reads * 1_000_000 / took.max(1));
    }
    // The throttle lets a burst of its first second through.
    let row = Row::attack(
        "slow-disk",
        "disk throttled to 40 operations a second",
        "a chase of few reads a second",
    );
    row.seen(
        &format!("{} reads/s, {} without the throttle", rates[1], rates[0]),
        rates[1] < 100,
    );
}

/// The first process has the NVMe controllers read beside the agent, which tells of them once that is done.
async fn nvme_health(trial: &Trial, judge: &Judge) {
    const ATTEMPTS: usize = 10;
    let is_told = |counters: Vec<Counter>| {
        let of_it = |one: &Counter| one.id == counter::NVME_TEMPERATURE_K && one.scope == "nvme0";
        counters.iter().any(of_it)
    };
    for _ in 0..ATTEMPTS {
        if is_told(Captured::from(judge).unwrap().claims.counters) {
            return;
        }
        let seen = judge.attest(trial).await.unwrap();
        assert_eq!(seen.tier, Some(2), "{seen}");
    }
    panic!("no temperature of nvme0 in {ATTEMPTS} attestations");
}

/// Regions of four HyperNodes do not fit on a disk of one mebibyte.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_a_fill_by_name_and_nothing_else() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    trial.shrink_state(2048).unwrap();
    let (machine, node) = trial.boot().unwrap();
    let mut refused = Vec::new();
    for member in 0..4 {
        let judge = Judge::of_member(member, &trial, node, &machine.endpoint).await;
        let judge = judge.unwrap();
        let seen = judge.attest(&trial).await.unwrap();
        assert_eq!(seen.tier, Some(2), "{seen}");
        let filled = judge.fill(&trial).await.unwrap();
        if filled.class != OutcomeClass::Pass {
            refused.push(filled.detail);
        }
    }
    let named = refused.iter().all(|detail| detail.contains("disk full"));
    Row::attack(
        "full-disk",
        "state partition too small for four regions",
        "the last fills refused by name, attestations go on",
    )
    .seen(
        &format!("{refused:?}"),
        !refused.is_empty() && refused.len() < 4 && named,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_is_seen_and_is_no_failure() {
    let mut trial = Trial::new(SecureBoot::Off, "").unwrap();
    trial.parts.network_delay_ms = 200;
    let (machine, node) = trial.boot().unwrap();
    let judge = Judge::enrol(&trial, node, &machine.endpoint).await.unwrap();
    let seen = judge.attest(&trial).await.unwrap();
    assert_eq!(seen.tier, Some(2), "{seen}");
    let probed = judge.probe(&trial).await.unwrap();
    let rtt_ms = probed.metric(metric::RTT_US).unwrap_or(0) / 1000;
    Row::honest(
        "slow-network",
        "packets held back up to 200 ms",
        "up, with the round trip it had",
    )
    .seen(
        &format!("{}, round trip {rtt_ms} ms", probed.class.name()),
        probed.class == OutcomeClass::Pass,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_asks_for_secure_boot_gets_it() {
    let trial = Trial::new(SecureBoot::Off, ASKS_FOR_SECURE_BOOT).unwrap();
    let seen = trial.boot_and_judge().await.unwrap();
    Row::attack(
        "secure-boot-off",
        "Secure Boot switched off, class asks for it",
        "fail: secure-boot",
    )
    .fails("secure-boot", &seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn booted_over_the_network_it_is_the_same_image() {
    let mut trial = Trial::new(SecureBoot::Off, "").unwrap();
    let served = trial.path("served");
    fs::create_dir(&served).unwrap();
    fs::write(served.join(NETWORK_IMAGE), trial.get(KERNEL).unwrap()).unwrap();
    trial.remove(KERNEL).unwrap();
    trial.parts.network_boot = Some(served);
    let seen = trial.boot_and_judge().await.unwrap();
    Row::honest(
        "honest-network-boot",
        "published image from a boot server, no loader on the disk",
        "pass, tier 2",
    )
    .passes(2, &seen);
}

#[test]
fn firmware_with_keys_does_not_start_an_unsigned_image() {
    let trial = Trial::new(SecureBoot::TestKeys, "").unwrap();
    let unsigned = fs::read(
        assay_bench::trial::Image::built()
            .unwrap()
            .dir
            .join("assay.efi"),
    )
    .unwrap();
    trial.put(&unsigned, KERNEL).unwrap();
    let mut machine = Machine::start(&trial.parts).unwrap();
    let line = machine.wait_for("Access Denied", 1).unwrap();
    Row::attack(
        "unsigned-image",
        "image without signature, Secure Boot on",
        "refused by the firmware",
    )
    .seen(&line, !machine.console().contains("listening on"));
}

/// The same length, so that it can be written over the other.
fn over(bytes: &mut [u8], old: &str, new: &str) {
    let at = bytes
        .windows(old.len())
        .position(|part| part == old.as_bytes())
        .unwrap();
    let new = format!("{new:<width$}", width = old.len());
    bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_command_line_is_seen() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    let mut image = trial.get(KERNEL).unwrap();
    over(&mut image, "lockdown=confidentiality", "lockdown=integrity");
    trial.put(&image, KERNEL).unwrap();
    let seen = trial.boot_and_judge().await.unwrap();
    Row::attack("command-line", "kernel locked down less", "fail: PCR 11")
        .fails("reference-pcr-11", &seen);
}

/// What is let in by another initial file system is seen; and what it could do if it were not.
#[tokio::test(flavor = "multi_thread")]
async fn a_rogue_initial_file_system_is_seen_and_reads_no_memory() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    let staged = trial.path("staged");
    fs::create_dir(&staged).unwrap();
    let programs = Programs::beside_this_one().unwrap();
    for (program, name) in [("assay-intruder", "init"), ("assay-init", "init.published")] {
        let strip = ["--strip-unneeded", "-o"];
        run(Command::new("strip")
            .args(strip)
            .args([staged.join(name), programs.path(program).unwrap()]))
        .unwrap();
    }
    trial
        .put(&with_initial_files(&trial, &staged), KERNEL)
        .unwrap();
    let (mut machine, node) = trial.boot().unwrap();
    machine.wait_for("intruder: done", 1).unwrap();
    let seen = trial.judged(node, &machine.endpoint).await.unwrap();
    Row::attack(
        "initial-file-system",
        "a program added to the initial file system",
        "fail: PCR 11",
    )
    .fails("reference-pcr-11", &seen);

    let console = machine.console();
    let tried = console
        .lines()
        .filter_map(|line| line.split_once("intruder: "));
    let tried: Vec<&str> = tried
        .map(|(_, way)| way)
        .filter(|way| *way != "done")
        .collect();
    let refused = tried.iter().all(|way| way.contains(": refused: "));
    Row::attack(
        "memory",
        "root in the running image reads the agent's memory, in nine ways",
        "every one refused",
    )
    .seen(&tried.join("; "), refused && tried.len() == 9);
    let locked = console.contains("lockdown: none integrity [confidentiality]");
    assert!(locked, "{console}");
}

/// The published image with these files over those of its initial file system.
fn with_initial_files(trial: &Trial, files: &Path) -> Vec<u8> {
    let (image, initrd) = (trial.path("rogue.efi"), trial.path("initrd"));
    fs::write(&image, trial.get(KERNEL).unwrap()).unwrap();
    let dump = format!(".initrd={}", initrd.display());
    run(Command::new("objcopy")
        .args(["--dump-section", &dump])
        .arg(&image))
    .unwrap();
    let mut bytes = fs::read(&initrd).unwrap();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let added = Command::new("sh")
        .args(["-c", "cd \"$0\" && ls | cpio --quiet -o -H newc"])
        .arg(files)
        .output()
        .unwrap();
    bytes.extend(added.stdout);
    fs::write(&initrd, bytes).unwrap();
    // It is the last section: it may grow where it is.
    let headers = Command::new("objdump")
        .arg("-h")
        .arg(&image)
        .output()
        .unwrap();
    let headers = String::from_utf8(headers.stdout).unwrap();
    let line = headers
        .lines()
        .find(|line| line.contains(" .initrd "))
        .unwrap();
    let place = format!(".initrd=0x{}", line.split_whitespace().nth(3).unwrap());
    let remove = ["--remove-section", ".initrd"];
    run(Command::new("objcopy").args(remove).arg(&image)).unwrap();
    let add = ["--add-section", &dump, "--change-section-vma", &place];
    run(Command::new("objcopy").args(add).arg(&image)).unwrap();
    fs::read(&image).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_beside_the_image_costs_tier_2() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    add(&trial, "rogue.cred");
    let seen = trial.boot_and_judge().await.unwrap();
    Row::attack(
        "credential",
        "a credential beside the image",
        "not tier 2: another event in PCR 12",
    )
    .stays_below_tier_2("tier-2-image-configuration", &seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_extension_beside_the_image_costs_tier_2() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    add(&trial, "rogue.raw");
    let seen = trial.boot_and_judge().await.unwrap();
    Row::attack(
        "extension",
        "a system extension beside the image",
        "not tier 2: PCR 13",
    )
    .stays_below_tier_2("tier-2-image-additions", &seen);
}

/// systemd-stub takes such files along for the system to find.
fn add(trial: &Trial, file: &str) {
    let folder = format!("{KERNEL}.extra.d");
    trial.make_folder(&folder).unwrap();
    trial.put(b"rogue", &format!("{folder}/{file}")).unwrap();
}

#[test]
fn one_byte_of_the_root_file_system_stops_the_machine() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    let (start, _) = trial.partition(2).unwrap();
    trial.flip(start + 8).unwrap();
    let mut machine = Machine::start(&trial.parts).unwrap();
    let line = machine.wait_for("assay-init: error", 1).unwrap();
    Row::attack(
        "root-byte",
        "one byte of the root file system changed",
        "the machine stops and names it",
    )
    .seen(
        &line,
        line.contains("root") && !machine.console().contains("listening on"),
    );
}

/// Whoever rebuilds the hash tree over a changed root gets another hash, and the command line names the old one.
#[test]
fn a_rebuilt_hash_tree_is_not_the_published_one() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    let ((root_at, root_size), (tree_at, _)) =
        (trial.partition(2).unwrap(), trial.partition(3).unwrap());
    trial.flip(root_at + 8).unwrap();
    let (root, tree) = (trial.path("root"), trial.path("tree"));
    let disk = File::options()
        .read(true)
        .write(true)
        .open(&trial.parts.disk)
        .unwrap();
    let mut bytes = vec![0; usize::try_from(root_size).unwrap()];
    disk.read_exact_at(&mut bytes, root_at).unwrap();
    fs::write(&root, bytes).unwrap();
    run(Command::new("veritysetup")
        .arg("format")
        .args([&root, &tree]))
    .unwrap();
    disk.write_all_at(&fs::read(&tree).unwrap(), tree_at)
        .unwrap();
    let mut machine = Machine::start(&trial.parts).unwrap();
    let line = machine.wait_for("assay-init: error", 1).unwrap();
    Row::attack(
        "hash-tree",
        "root changed and its hash tree rebuilt",
        "the machine stops and names it",
    )
    .seen(
        &line,
        line.contains("root") && !machine.console().contains("listening on"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_names_its_own_owner() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    let thief = Address([0x66; 20]);
    trial.configure(thief).unwrap();
    let (machine, node) = trial.boot().unwrap();
    let judge = trial.judge();
    let record = trial.enrol(&judge, node, &machine.endpoint).await.unwrap();
    trial
        .attest(&judge, &record, &machine.endpoint)
        .await
        .unwrap();
    let salted = outcome_of(&judge, node, OutcomeKind::Attest).evidence[0].salted_digest;
    let owner = judge.owner_of(&salted).unwrap();
    Row::attack(
        "configuration",
        "configuration names another provider",
        "the quoted owner is another",
    )
    .seen(&format!("{owner:?}"), owner == Some(thief));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_cannot_answer_for_this_one() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    let second = trial.second_tpm().unwrap();
    let judge = trial.judge();
    let (machine, node) = trial.boot().unwrap();
    let record = trial.enrol(&judge, node, &machine.endpoint).await.unwrap();
    machine.cut_power();
    let (other, other_node) = boot(&second).unwrap();
    assert_ne!(other_node, node);
    let seen = trial
        .attest(&judge, &record, &other.endpoint)
        .await
        .unwrap();
    Row::attack(
        "cuckoo",
        "a quote of another machine's TPM",
        "nothing concluded, nothing earned",
    )
    .earns_nothing("", &seen);
    let refused = trial
        .enrol(&trial.judge(), node, &other.endpoint)
        .await
        .unwrap_err();
    Row::attack(
        "cuckoo-enrolment",
        "another machine's TPM enrols under this id",
        "refused: node id",
    )
    .seen(
        &format!("{refused:#}"),
        refused.to_string().contains("node id: expected"),
    );
}

/// A TPM's state restored from an earlier copy, as with a virtual TPM or a replaced chip: its clock was later already.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_is_seen() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    let judge = trial.judge();
    let (machine, node) = trial.boot().unwrap();
    let record = trial.enrol(&judge, node, &machine.endpoint).await.unwrap();
    machine.cut_power();
    let copy = trial.path("tpm-copy");
    run(Command::new("cp").arg("-a").args([&trial.parts.tpm, &copy])).unwrap();
    for _ in 0..2 {
        let (machine, _) = trial.boot().unwrap();
        let seen = trial
            .attest(&judge, &record, &machine.endpoint)
            .await
            .unwrap();
        assert_eq!(seen.tier, Some(2), "{seen}");
        machine.cut_power();
    }
    fs::remove_dir_all(&trial.parts.tpm).unwrap();
    fs::rename(&copy, &trial.parts.tpm).unwrap();
    let (machine, _) = trial.boot().unwrap();
    let seen = trial
        .attest(&judge, &record, &machine.endpoint)
        .await
        .unwrap();
    Row::attack(
        "clock-rollback",
        "the TPM's state restored from a copy",
        "nothing concluded: counters went back",
    )
    .earns_nothing("clock", &seen);
}
