//! `assay-agent measure` on a real software TPM: once a boot, and the log that says so.

use assay_protocol::limits::EVENT_LOG_BYTES_MAX;
use assay_testbed::{Banks, MeasuredBoot, Swtpm, TestCa, Variant};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

struct Machine {
    dir: tempfile::TempDir,
    tpm: Swtpm,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = TestCa::create(&dir.path().join("ca")).unwrap();
        let tpm = Swtpm::create(&dir.path().join("tpm"), &ca, "node").unwrap();
        fs::write(dir.path().join("firmware.log"), firmware_log(Banks::Sha256)).unwrap();
        Self { dir, tpm }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A configuration whose log is to be `log`.
    fn configure(&self, provider: u8, log: &str) -> Vec<u8> {
        let text = format!(
            "network = \"{}\"\nprovider = \"{}\"\nroster = [\"{}\"]\nlisten = \"127.0.0.1:0\"\n\
             state_dir = {:?}\n[tpm]\ntcti = {:?}\nevent_log = {:?}\n",
            "11".repeat(32),
            hex::encode([provider; 20]),
            "33".repeat(32),
            self.at("state"),
            self.tpm.tcti(),
            self.at(log),
        );
        fs::write(self.at("agent.toml"), &text).unwrap();
        text.into_bytes()
    }

    /// Exit code, and both outputs as one text.
    fn measure(&self, firmware_log: &str) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay-agent"));
        command
            .arg("measure")
            .arg("--config")
            .arg(self.at("agent.toml"));
        let ended = command
            .arg("--firmware-log")
            .arg(self.at(firmware_log))
            .output()
            .unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        (
            ended.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    }

    fn register(&self) -> [u8; 32] {
        self.tpm.connect().unwrap().read_pcr(12).unwrap()
    }
}

fn firmware_log(banks: Banks) -> Vec<u8> {
    MeasuredBoot::firmware_log(Variant::Good, banks)
}

#[test]
fn the_log_with_the_configuration_replays_to_the_register() {
    let machine = Machine::new();
    let config = machine.configure(1, "event.log");
    let (code, said) = machine.measure("firmware.log");
    assert_eq!(code, 0, "{said}");
    assert!(
        said.ends_with("agent.toml: measured into PCR 12\n"),
        "{said}"
    );
    let expected = MeasuredBoot::new(Variant::Good, &config);
    assert_eq!(
        fs::read(machine.at("event.log")).unwrap(),
        expected.log(Banks::Sha256)
    );
    assert_eq!(machine.register(), expected.pcrs()[12]);
}

#[test]
fn the_same_file_is_measured_once_and_another_not_before_the_next_boot() {
    let mut machine = Machine::new();
    machine.configure(1, "event.log");
    assert_eq!(machine.measure("firmware.log").0, 0);
    let (register, log) = (
        machine.register(),
        fs::read(machine.at("event.log")).unwrap(),
    );
    // As after a crash between the extension and the log.
    fs::remove_file(machine.at("event.log")).unwrap();
    let (code, said) = machine.measure("firmware.log");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("before, in this boot"), "{said}");
    assert_eq!(machine.register(), register);
    assert_eq!(fs::read(machine.at("event.log")).unwrap(), log);

    machine.configure(2, "event.log");
    let (code, said) = machine.measure("firmware.log");
    assert_eq!(code, 3, "{said}");
    let taken = format!(
        "error: PCR 12 holds {}, expected 0000",
        hex::encode(register)
    );
    assert!(said.starts_with(&taken), "{said}");
    assert!(said.contains("boot the machine"), "{said}");
    assert_eq!(machine.register(), register);
    assert_eq!(fs::read(machine.at("event.log")).unwrap(), log);

    machine.tpm.restart().unwrap();
    assert_eq!(machine.measure("firmware.log").0, 0);
    assert_ne!(machine.register(), register);
}

#[test]
fn nothing_is_measured_when_the_log_could_not_say_it() {
    let machine = Machine::new();
    machine.configure(1, "event.log");
    fs::write(machine.at("other.log"), b"no log").unwrap();
    let same = "tpm.event_log is the firmware's log";
    for (log, firmware, code, why) in [
        (
            "event.log",
            "other.log",
            2,
            "expected the crypto-agile format",
        ),
        ("event.log", "none.log", 5, "none.log: No such file"),
        ("firmware.log", "firmware.log", 2, same),
    ] {
        machine.configure(1, log);
        let (actual, said) = machine.measure(firmware);
        assert_eq!(actual, code, "{said}");
        assert!(said.starts_with("error: ") && said.contains(why), "{said}");
        assert!(said.contains("hint: "), "{said}");
        assert_eq!(machine.register(), [0; 32]);
    }
    fs::write(machine.at("agent.toml"), "network = 1").unwrap();
    let (code, said) = machine.measure("firmware.log");
    assert_eq!((code, machine.register()), (2, [0; 32]), "{said}");
}

#[test]
fn both_banks_of_a_log_are_written() {
    let machine = Machine::new();
    fs::write(
        machine.at("firmware.log"),
        firmware_log(Banks::Sha1AndSha256),
    )
    .unwrap();
    let config = machine.configure(1, "event.log");
    assert_eq!(machine.measure("firmware.log").0, 0);
    let expected = MeasuredBoot::new(Variant::Good, &config);
    assert_eq!(
        fs::read(machine.at("event.log")).unwrap(),
        expected.log(Banks::Sha1AndSha256)
    );
    assert_eq!(machine.register(), expected.pcrs()[12]);
}

/// A boot loader that measures the kernel's command line does it in the same register, before.
#[test]
fn what_the_firmware_s_log_has_in_the_register_stays_there() {
    let machine = Machine::new();
    let boot = |config: &[u8]| MeasuredBoot::with_command_line(Variant::Good, config, "quiet");
    let firmware = boot(b"").before_configuration();
    let line = firmware.events().last().unwrap();
    assert_eq!(line.pcr, 12);
    fs::write(machine.at("firmware.log"), firmware.log(Banks::Sha256)).unwrap();
    let config = machine.configure(1, "event.log");

    // The log says that it was measured, and the register does not.
    let (code, said) = machine.measure("firmware.log");
    assert_eq!((code, machine.register()), (3, [0; 32]), "{said}");

    machine
        .tpm
        .connect()
        .unwrap()
        .extend(12, &line.digest())
        .unwrap();
    for _ in 0..2 {
        let (code, said) = machine.measure("firmware.log");
        assert_eq!(code, 0, "{said}");
        assert_eq!(machine.register(), boot(&config).pcrs()[12]);
        let log = fs::read(machine.at("event.log")).unwrap();
        assert_eq!(log, boot(&config).log(Banks::Sha256));
    }
}

/// A log of the longest that goes with a quote has no room for the configuration, and a longer one is not read whole.
#[test]
fn a_log_that_would_be_too_long_measures_nothing() {
    let machine = Machine::new();
    machine.configure(1, "event.log");
    let with = |data: usize| {
        let mut boot = MeasuredBoot::new(Variant::Good, b"").before_configuration();
        boot.measure(5, 0xd, &vec![0; data]);
        boot.log(Banks::Sha256)
    };
    let room = EVENT_LOG_BYTES_MAX - with(0).len();
    for data in [room, room + 1] {
        fs::write(machine.at("firmware.log"), with(data)).unwrap();
        let (code, said) = machine.measure("firmware.log");
        assert_eq!((code, machine.register()), (2, [0; 32]), "{said}");
        assert!(
            said.starts_with("error: firmware log: ") && !machine.at("event.log").exists(),
            "{said}"
        );
        assert!(said.contains("with the configuration, got"), "{said}");
    }
}
