//! The Debian packages in a clean system: the agent's installed with what it depends on, run, upgraded, removed, purged;
//! the probe guest's as far as it goes on a machine without SEV-SNP.

use assay_bench::system::System;
use assay_probe::host::DEVICES;
use assay_testbed::{Banks, MeasuredBoot, Swtpm, TestCa, Variant};
use nix::unistd::Uid;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(60);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the agent as its unit does and waits for its first line.
fn serve(system: &System) -> Running {
    let log = system.at("/tmp/agent.log");
    let file = fs::File::create(&log).unwrap();
    let mut command = system.command("/usr/bin/assay-agent");
    command.args(["run", "--config", "/etc/assay/agent.toml"]);
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    let running = Running(command.spawn().unwrap());
    let deadline = Instant::now() + WAIT;
    while !fs::read_to_string(&log).unwrap().contains("listening on") {
        assert!(
            Instant::now() < deadline,
            "{}",
            fs::read_to_string(&log).unwrap()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    running
}

fn configure(system: &System, tpm: &Swtpm) {
    let text =
        fs::read_to_string(system.at("/usr/share/doc/assay-agent/agent.toml.example")).unwrap();
    let text = text
        .replace("<network id, 64 hex digits>", &"11".repeat(32))
        .replace("<your ledger account, 40 hex digits>", &"22".repeat(20))
        .replace("<HyperNode id, 64 hex digits>", &"33".repeat(32))
        .replace("device:/dev/tpmrm0", &tpm.tcti())
        .replace("0.0.0.0:7143", "127.0.0.1:0");
    fs::write(system.at("/etc/assay/agent.toml"), text).unwrap();
}

#[test]
fn it_installs_runs_and_keeps_its_state_until_it_is_purged() {
    if !Uid::effective().is_root() {
        eprintln!("NOT RUN: only root can set up a system in a folder");
        return;
    }
    let tpm_dir = tempfile::tempdir().unwrap();
    let ca = TestCa::create(&tpm_dir.path().join("ca")).unwrap();
    let tpm = Swtpm::create(&tpm_dir.path().join("tpm"), &ca, "node").unwrap();
    let system = System::new("base").unwrap();
    system.run(&["apt-get", "update", "-qq"]).unwrap();
    system.install("0.1.0").unwrap();
    system.run(&["id", "assay"]).unwrap();
    assert!(!system.at("/etc/assay/agent.toml").exists());
    let timer = system.at("/etc/systemd/system/timers.target.wants/assay-smart.timer");
    let is_enabled = || fs::symlink_metadata(&timer).is_ok();
    assert!(is_enabled());

    configure(&system, &tpm);
    fs::write(
        system.at("/tmp/firmware.log"),
        MeasuredBoot::firmware_log(Variant::Good, Banks::Sha256),
    )
    .unwrap();
    fs::create_dir_all(system.at("/run/assay")).unwrap();
    let measure = [
        "/usr/bin/assay-agent",
        "measure",
        "--config",
        "/etc/assay/agent.toml",
    ];
    system
        .run(&[&measure[..], &["--firmware-log", "/tmp/firmware.log"]].concat())
        .unwrap();
    let running = serve(&system);
    let status = fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
    let passwd = fs::read_to_string(system.at("/etc/passwd")).unwrap();
    let uid = passwd
        .lines()
        .find_map(|line| line.strip_prefix("assay:x:"))
        .unwrap();
    let uid = uid.split(':').next().unwrap();
    assert!(status.contains(&format!("Uid:\t{uid}\t{uid}")), "{status}");
    drop(running);
    let key = fs::read(system.at("/var/lib/assay-agent/ak.blob")).unwrap();
    let config = fs::read(system.at("/etc/assay/agent.toml")).unwrap();

    // Disabled by the provider, it is left so.
    fs::remove_file(&timer).unwrap();
    system.install("0.1.1").unwrap();
    assert!(!is_enabled());
    drop(serve(&system));
    let kept = |when: &str| {
        assert_eq!(
            fs::read(system.at("/var/lib/assay-agent/ak.blob")).unwrap(),
            key,
            "{when}"
        );
        assert_eq!(
            fs::read(system.at("/etc/assay/agent.toml")).unwrap(),
            config,
            "{when}"
        );
    };
    kept("upgraded");
    system
        .run(&["apt-get", "remove", "-qq", "-y", "assay-agent"])
        .unwrap();
    assert!(!system.at("/usr/bin/assay-agent").exists());
    kept("removed");
    system
        .run(&["apt-get", "purge", "-qq", "-y", "assay-agent"])
        .unwrap();
    assert!(!system.at("/var/lib/assay-agent").exists() && !system.at("/etc/assay").exists());
}

/// The guest in the package is the one that was built, and its unit gives QEMU three devices and nothing else.
#[test]
fn the_probe_guest_installs_says_what_the_host_lacks_and_leaves_nothing() {
    if !Uid::effective().is_root() {
        eprintln!("NOT RUN: only root can set up a system in a folder");
        return;
    }
    let guest = assay_bench::probe_guest::built().unwrap();
    let system = System::new("base").unwrap();
    system.install_probe(&guest, "0.1.0").unwrap();
    system.run(&["id", "assay-probe"]).unwrap();
    let installed = system.at("/usr/lib/assay-probe");
    for name in ["firmware.fd", "kernel", "initrd", "class.toml"] {
        let (built, installed) = (guest.join(name), installed.join(name));
        assert_eq!(
            fs::read(built).unwrap(),
            fs::read(installed).unwrap(),
            "{name}"
        );
    }
    let enabled = "/etc/systemd/system/multi-user.target.wants/assay-probe.service";
    assert!(fs::symlink_metadata(system.at(enabled)).is_ok());
    let unit = fs::read_to_string(system.at("/lib/systemd/system/assay-probe.service")).unwrap();
    let given: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("DeviceAllow="))
        .collect();
    assert_eq!(given, DEVICES.map(|path| format!("{path} rw")));
    // As the unit starts it.
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let line = line.unwrap().replace("${CID}", "3");
    let mut words = line.split(' ');
    let mut command = system.command(words.next().unwrap());
    let output = command.args(words).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !Path::new(DEVICES[1]).exists() {
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("\nhint: "), "{stderr}");
    }
    system.run(&["dpkg", "--purge", "assay-probe"]).unwrap();
    assert!(!installed.exists() && fs::symlink_metadata(system.at(enabled)).is_err());
}
