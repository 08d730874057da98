//! A Debian machine with the package, as a provider sets it up, under systemd and firmware: what happens to honest ones,
//! and what their root can do.

use assay_bench::debian;
use assay_bench::event_log::Pieces;
use assay_bench::guest::Guest;
use assay_bench::judge::Judge;
use assay_bench::state_disk;
use assay_bench::table::Row;
use assay_bench::thief::{self, Captured};
use assay_bench::trial::{PROVIDER, Seen, Trial};
use assay_protocol::answers::counter;
use assay_protocol::hash::sha256;
use assay_protocol::ids::{Address, NodeId};
use assay_protocol::outcome::{OutcomeClass, metric};
use assay_testbed::net::Programs;
use assay_transport::Identity;
use nix::unistd::Uid;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// A class that knows a way to tier 2: it is not walked by a machine whose root may do anything.
fn class() -> String {
    let digest = "11".repeat(32);
    format!(
        "{}\n[attestation.ima]\nallowed = [\"{digest}\"]\npolicies = [\"{digest}\"]\n\
         command_lines = [\"ima_policy=tcb\"]\n",
        debian::class()
    )
}

/// The package installed and configured, its state on a disk of its own, and a second agent that root starts at will:
/// with a log that root writes.
fn machine() -> Trial {
    let trial = debian::machine(&class(), |trial, system| {
        system.install("0.1.0")?;
        let config = trial.config(PROVIDER);
        let mut second = config.clone();
        second.listen = "0.0.0.0:7144".into();
        second.state_dir = "/var/lib/second".into();
        second.tpm.event_log = "/etc/second.log".into();
        for (config, path) in [
            (&config, "/etc/assay/agent.toml"),
            (&second, "/etc/second.toml"),
        ] {
            fs::write(system.at(path), toml::to_string(config)?)?;
        }
        // However fast the machine is: systemd counts no starts.
        let unit = "[Unit]\nStartLimitIntervalSec=0\n\
             [Service]\nExecStart=/usr/bin/assay-agent run --config /etc/second.toml --user root\n";
        fs::write(system.at("/etc/systemd/system/second.service"), unit)?;
        debian::show_on_console(system, "second")?;
        let intruder = system.at("/usr/local/bin/assay-intruder");
        let program = Programs::beside_this_one()?.path("assay-intruder")?;
        fs::copy(program, intruder)?;
        trial.add_nvme()?;
        state_disk::add(trial, system)
    });
    trial.unwrap()
}

/// One machine for all rows, since each boot takes its time; the rows stand in the order in which nothing that one
/// leaves behind excuses another.
#[tokio::test(flavor = "multi_thread")]
async fn a_debian_machine_is_believed_at_tier_1_and_its_root_no_further() {
    if !Uid::effective().is_root() {
        eprintln!("NOT RUN: only root can set up a system in a folder");
        return;
    }
    let mut guest = Guest::boot(machine()).unwrap();
    let (node, endpoint) = (guest.node, guest.machine.endpoint.clone());
    let judge = Judge::enrol(&guest.trial, node, &endpoint).await.unwrap();
    let seen = judge.attest(&guest.trial).await.unwrap();
    Row::honest(
        "honest-package",
        "the package on Debian, measured and started by its units",
        "pass, tier 1",
    )
    .passes(1, &seen);
    nvme_health(&mut guest, &judge).await;
    killed(&mut guest, &judge).await;
    bad_network(&mut guest, &judge).await;
    slow_and_broken_disk(&mut guest, &judge).await;
    second_program(&mut guest).await;
    second_id(&mut guest).await;
    memory(&mut guest).await;
    edited_logs(&mut guest).await;
    second_configuration(&mut guest, &judge).await;
    reset_chip(&mut guest, &judge).await;
}

/// What the agent claims of its NVMe controller, by the number of a counter.
async fn nvme_counters(guest: &Guest, judge: &Judge) -> BTreeMap<u16, u64> {
    let seen = judge.attest(&guest.trial).await.unwrap();
    assert_eq!(seen.tier, Some(1), "{seen}");
    let claimed = Captured::from(judge).unwrap().claims.counters;
    let of_it = claimed.into_iter().filter(|one| {
        let name = counter::name(one.id).unwrap_or_default();
        name.starts_with("nvme_") && ["nvme0", ""].contains(&one.scope.as_str())
    });
    of_it.map(|one| (one.id, one.value)).collect()
}

/// The package's timer reads the controller; the agent, which may not, tells what it said. Between two readings somebody
/// reads so much of the disk.
async fn nvme_health(guest: &mut Guest, judge: &Judge) {
    const READS: u64 = 256;
    const READ_BYTES: u64 = READS * 65_536;
    let file = "timeout 300 sh -c 'until test -s /run/assay/nvme_smart; do sleep 1; done'";
    guest.shell.run(file).unwrap();
    // From here on it is read when this test says so.
    let now = "systemctl stop assay-smart.timer && systemctl start assay-smart";
    guest.shell.run(now).unwrap();
    let before = nvme_counters(guest, judge).await;
    let read = format!("dd if=/dev/nvme0n1 of=/dev/null bs=64k count={READS} iflag=direct");
    guest.shell.run(&read).unwrap();
    let unread = nvme_counters(guest, judge).await;
    guest.shell.run("systemctl start assay-smart").unwrap();
    let after = nvme_counters(guest, judge).await;
    let grew = |id| after[&id] - before[&id];
    let (reads, bytes) = (grew(counter::NVME_READ_IOS), grew(counter::NVME_READ_BYTES));
    // Whole units of 512,000 bytes are counted, and somebody else may read a little too.
    let grown = (READS..2 * READS).contains(&reads)
        && (READ_BYTES - 512_000..2 * READ_BYTES).contains(&bytes);
    let read_again = grew(counter::NVME_READ_AT_UPTIME_MS) > 0 && unread == before;
    let temperature = after[&counter::NVME_TEMPERATURE_K];
    // QEMU's controller: 50 degrees Celsius, never used up, never an error.
    let whole = temperature == 323
        && after[&counter::NVME_USED_PERCENT] == 0
        && after[&counter::NVME_MEDIA_ERRORS] == 0
        && after.len() >= 12;
    Row::honest(
        "honest-nvme-health",
        "256 reads of 64 KiB from an NVMe disk between two readings of its controller's health",
        "the agent's counters grow by as much",
    )
    .seen(
        &format!("{reads} reads and {bytes} bytes more, {temperature} K"),
        grown && read_again && whole,
    );
    let units = "assay-smart.service assay-agent.service assay-measure.service";
    let scores = format!("systemd-analyze security --no-pager {units} | grep Overall");
    println!("{}", guest.shell.run(&scores).unwrap());
}

/// The agent dies and its unit starts it again: the same boot, another session key.
async fn killed(guest: &mut Guest, judge: &Judge) {
    let (session, resets) = (judge.session().unwrap(), judge.reset_count().unwrap());
    let kill = "systemctl kill --signal=KILL --kill-who=main assay-agent";
    guest.shell.run(kill).unwrap();
    assert_eq!(guest.serves_again().unwrap(), guest.node);
    let seen = judge.attest(&guest.trial).await.unwrap();
    let probed = judge.probe(&guest.trial).await.unwrap();
    assert_ne!(judge.session().unwrap(), session);
    assert_eq!(judge.reset_count().unwrap(), resets);
    assert_eq!(probed.class, OutcomeClass::Pass, "{}", probed.detail);
    Row::honest(
        "honest-agent-killed",
        "kill -9 of the agent, started again by its unit",
        "pass, tier 1, the same boot",
    )
    .passes(1, &seen);
}

/// What the machine sends waits, in no order, and some of it is lost.
async fn bad_network(guest: &mut Guest, judge: &Judge) {
    let card = "card=$(ip -o route show 10.0.2.0/24 | sed 's/.* dev \\([^ ]*\\).*/\\1/')";
    let worse = "tc qdisc add dev $card root netem delay 150ms 50ms loss 5%";
    guest.shell.run(&format!("{card}; {worse}")).unwrap();
    let seen = judge.attest(&guest.trial).await.unwrap();
    let probed = judge.probe(&guest.trial).await.unwrap();
    let better = "tc -s qdisc show dev $card && tc qdisc del dev $card root";
    let said = guest.shell.run(&format!("{card}; {better}")).unwrap();
    let rtt_ms = probed.metric(metric::RTT_US).unwrap_or(0) / 1000;
    let good = probed.class == OutcomeClass::Pass && rtt_ms >= 100 && seen.tier == Some(1);
    Row::honest(
        "honest-bad-network",
        "netem: 100 to 200 ms late, in no order, 5 % lost",
        "up and attested all the same",
    )
    .seen(
        &format!(
            "probe {}, round trip {rtt_ms} ms; {seen}",
            probed.class.name()
        ),
        good,
    );
    assert!(said.contains("netem"), "{said}");
}

async fn slow_and_broken_disk(guest: &mut Guest, judge: &Judge) {
    let filled = judge.fill(&guest.trial).await.unwrap();
    assert_eq!(filled.class, OutcomeClass::Pass, "{}", filled.detail);
    let floor = guest.trial.bench.class.sla.chase_liveness_reads_per_s_min;
    let rate = |outcome: &assay_protocol::outcome::Outcome| {
        outcome.metric(metric::CHASE_READS_PER_S).unwrap_or(0)
    };
    let before = judge.chase(&guest.trial).await.unwrap();
    assert!(rate(&before) > floor, "{}", rate(&before));

    state_disk::exchange(&mut guest.shell, &state_disk::slow(300)).unwrap();
    let slow = judge.chase(&guest.trial).await.unwrap();
    Row::attack(
        "delayed-disk",
        "dm-delay: each read of the state's disk takes 300 ms",
        "a chase below the class's floor of 20 reads/s",
    )
    .seen(
        &format!(
            "{} reads/s, {} without the delay",
            rate(&slow),
            rate(&before)
        ),
        slow.class == OutcomeClass::Pass && rate(&slow) < floor,
    );
    broken_disk(guest, judge).await;
}

/// The blocks of the region fail while they are read; the disk around them is well.
async fn broken_disk(guest: &mut Guest, judge: &Judge) {
    let process = "systemctl show --value -p MainPID -p NRestarts assay-agent";
    let (extents, before) = (
        state_disk::regions(&mut guest.shell).unwrap(),
        guest.shell.run(process).unwrap(),
    );
    let broken = state_disk::broken(&extents);
    let (trial, shell) = (&guest.trial, &mut guest.shell);
    // It would fail as well if all of it came later.
    let breaks = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        tokio::task::block_in_place(|| state_disk::exchange(shell, &broken)).unwrap();
    };
    let (chased, ()) = tokio::join!(judge.chase(trial), breaks);
    let chased = chased.unwrap();
    let probed = judge.probe(&guest.trial).await.unwrap();
    let seen = judge.attest(&guest.trial).await.unwrap();
    state_disk::exchange(&mut guest.shell, &state_disk::good()).unwrap();
    let after = judge.chase(&guest.trial).await.unwrap();
    let lives = guest.shell.run(process).unwrap() == before && seen.tier == Some(1);
    let good = [&probed, &after].map(|outcome| outcome.class) == [OutcomeClass::Pass; 2];
    Row::attack(
        "broken-disk",
        "dm-error: the region's blocks fail in the middle of a chase",
        "inconclusive; the same agent answers the next probe",
    )
    .seen(
        &format!(
            "{}: {}; then probe {}, {seen}, repaired: chase {}",
            chased.class.name(),
            chased.detail,
            probed.class.name(),
            after.class.name()
        ),
        chased.class == OutcomeClass::Inconclusive && lives && good,
    );
}

/// A program of root's own, here the agent without its confinement, has the TPM quote its session key.
async fn second_program(guest: &mut Guest) {
    let log = guest.read("/run/assay/event_log").unwrap();
    let (judge, seen) = second_agent(guest, &log).await;
    assert_ne!(judge.session().unwrap().0, [0; 32]);
    Row::attack(
        "second-program",
        "another program of root has the TPM quote a session key of its own",
        "not tier 2",
    )
    .stays_below_tier_2("tier-2-ima", &seen);
}

/// Starts the second agent with this event log, enrols and attests it.
async fn second_agent(guest: &mut Guest, log: &[u8]) -> (Judge, Seen) {
    guest.write("/etc/second.log", log).unwrap();
    guest.shell.run("systemctl restart second").unwrap();
    assert_eq!(guest.serves_again().unwrap(), guest.node);
    let endpoint = guest.machine.second_endpoint.clone();
    let judge = Judge::enrol(&guest.trial, guest.node, &endpoint).await;
    let judge = judge.unwrap();
    let seen = judge.attest(&guest.trial).await.unwrap();
    (judge, seen)
}

/// The TPM that is one node already enrols as another: by its name, and by the second key that its vendor certified.
async fn second_id(guest: &mut Guest) {
    let other = NodeId([0x99; 32]);
    let endpoint = guest.machine.second_endpoint.clone();
    let refused = Judge::enrol(&guest.trial, other, &endpoint).await.err();
    let said = refused.map_or("enrolled".into(), |error| error.to_string());
    Row::attack(
        "second-id",
        "one TPM enrols under another node id besides its own",
        "refused: node id",
    )
    .seen(
        &said,
        said == format!("node id: expected {other}, got {}", guest.node),
    );

    let read = "tpm2_nvread -T device:/dev/tpmrm0 -C o 0x01C00016 -o /run/second-ek.der";
    guest.shell.run(read).unwrap();
    let certificate = guest.read("/run/second-ek.der").unwrap();
    let endpoint = thief::offer(&Identity::generate().unwrap(), certificate);
    let refused = Judge::enrol(&guest.trial, other, &endpoint).await.err();
    let said = refused.map_or("enrolled".into(), |error| error.to_string());
    Row::attack(
        "second-key",
        "one TPM enrols by its other endorsement key, which its vendor certified too",
        "refused: kind of key",
    )
    .seen(&said, said.contains("eligible is RSA-2048, got ECC P-384"));
}

/// What root does to a process here: the ways that the image refuses (`memory` there) are open, which is why a machine
/// like this stays at tier 1.
async fn memory(guest: &mut Guest) {
    let said = guest.shell.run("/usr/local/bin/assay-intruder").unwrap();
    let open = ["process memory file", "process_vm_readv", "ptrace"];
    let read = open
        .iter()
        .all(|way| said.contains(&format!("{way}: ALLOWED")));
    let judge = Judge::enrol(&guest.trial, guest.node, &guest.machine.endpoint.clone()).await;
    let seen = judge.unwrap().attest(&guest.trial).await.unwrap();
    Row::attack(
        "memory-debian",
        "root of a Debian machine reads the agent's memory",
        "it can: not tier 2",
    )
    .seen(&format!("{said}; {seen}"), read && seen.tier == Some(1));
}

/// Root gives its agent a log that tells another story; quote and signature are true.
async fn edited_logs(guest: &mut Guest) {
    let whole = Pieces::of(&guest.read("/run/assay/event_log").unwrap()).unwrap();
    let (reordered, pcr) = whole.clone().reordered().unwrap();
    let provider = PROVIDER.to_string();
    let stolen = |data: &mut [u8]| {
        let at = data
            .windows(provider.len())
            .position(|part| part == provider.as_bytes());
        data[at.unwrap()..][..2].copy_from_slice(b"66");
    };
    let rows = [
        (
            Row::attack(
                "log-truncated",
                "event log without its last event, under a true quote",
                "fail: PCR 12 is not explained",
            ),
            whole.clone().truncated(),
            "event-log-pcr-12".to_owned(),
        ),
        (
            Row::attack(
                "log-reordered",
                "two events of one register exchanged in the log, under a true quote",
                "fail: that PCR is not explained",
            ),
            reordered,
            format!("event-log-pcr-{pcr}"),
        ),
        (
            Row::attack(
                "log-relabelled",
                "the configuration's event under another type, under a true quote",
                "fail: no configuration is proven",
            ),
            whole.clone().relabelled().unwrap(),
            "configuration".to_owned(),
        ),
        (
            Row::attack(
                "log-data",
                "another provider in the log under the true digest, under a true quote",
                "fail: no configuration is proven",
            ),
            whole.with_data(stolen).unwrap(),
            "configuration".to_owned(),
        ),
    ];
    for (row, log, check) in rows {
        let (_, seen) = second_agent(guest, &log.log()).await;
        row.fails(&check, &seen);
    }
}

/// One TPM, two providers: root measures a second configuration, so that the machine could be either's.
async fn second_configuration(guest: &mut Guest, judge: &Judge) {
    let config = guest.trial.config(Address([0x66; 20]));
    let text = toml::to_string(&config).unwrap();
    let digest = sha256(&[text.as_bytes()]);
    let log = Pieces::of(&guest.read("/run/assay/event_log").unwrap()).unwrap();
    let log = log
        .with_second_configuration(&digest, text.as_bytes())
        .unwrap();
    // The program that measures refuses: the register is not as the firmware left it.
    guest.write("/etc/other.toml", text.as_bytes()).unwrap();
    let refused = guest
        .shell
        .status("assay-agent measure --config /etc/other.toml");
    assert_eq!(refused.unwrap().0, 3);
    let extend = format!(
        "tpm2_pcrextend -T device:/dev/tpmrm0 12:sha256={}",
        hexadecimal(&digest)
    );
    guest.shell.run(&extend).unwrap();
    let (_, seen) = second_agent(guest, &log.log()).await;
    Row::attack(
        "second-configuration",
        "a second provider's configuration measured beside the first",
        "fail: one configuration is expected",
    )
    .fails("configuration", &seen);
    let seen = judge.attest(&guest.trial).await.unwrap();
    assert!(seen.detail.contains("event-log-pcr-12"), "{seen}");
}

/// The chip's reset line is pulled while the machine runs, and root extends the registers again from the log.
async fn reset_chip(guest: &mut Guest, judge: &Judge) {
    let resets = judge.reset_count().unwrap();
    let log = Pieces::of(&guest.read("/run/assay/event_log").unwrap()).unwrap();
    // As a careful thief does it: the clock goes on after an orderly shutdown.
    let shutdown = "tpm2_shutdown -T device:/dev/tpm0 -c";
    guest.shell.run(shutdown).unwrap();
    guest.machine.reset_tpm().unwrap();
    let startup = "tpm2_startup -T device:/dev/tpm0 -c";
    guest.shell.run(startup).unwrap();
    let extended: Vec<String> = log
        .extended()
        .map(|(pcr, digest)| format!("{pcr}:sha256={}", hexadecimal(digest)))
        .collect();
    for some in extended.chunks(8) {
        let extend = format!("tpm2_pcrextend -T device:/dev/tpmrm0 {}", some.join(" "));
        guest.shell.run(&extend).unwrap();
    }
    let seen = judge.attest(&guest.trial).await.unwrap();
    Row::attack(
        "chip-reset",
        "TPM reset while the system runs, registers extended again from the log",
        "nothing concluded: the session is older than the reset",
    )
    .earns_nothing("session key: expected a new one", &seen);

    // A new process would be all that a real boot is, but for the counter that tells how many there were.
    guest.shell.run("systemctl restart assay-agent").unwrap();
    guest.serves_again().unwrap();
    let seen = judge.attest(&guest.trial).await.unwrap();
    let now = judge.reset_count().unwrap();
    Row::attack(
        "chip-reset-restart",
        "TPM reset, registers extended again, and the agent started again",
        "another boot: resetCount grew",
    )
    .seen(
        &format!("resetCount {resets}, then {now}; {seen}"),
        now == resets + 1,
    );
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
