//! The probe guest that ships: its image boots, answers over vsock as the agent asks, and is measured as another tool
//! measures it. Under SEV-SNP nobody has started it: no such machine was met.

use assay_agent::sources::probe_guest::{GuestError, ask};
use assay_bench::machine::Group;
use assay_bench::probe_guest::{ProbeGuest, built, until};
use assay_bench::system::programs;
use assay_probe::qemu::{Protection, Start, Vsock};
use assay_probe::{COMMAND_LINE, CPU, Guest, VCPUS};
use assay_protocol::ids::ReportData;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NO_DEVICE: &str = "/dev/sev-guest: No such file or directory (os error 2)";
/// edk2's words.
const NOTHING_TO_BOOT: &str = "No bootable option";

/// Kernel, initial file system and command line are the measured ones. What is not there without SEV-SNP is named, on
/// the console and to the agent.
#[test]
fn the_image_boots_closes_itself_and_answers_over_vsock_what_it_lacks() {
    let mut guest = ProbeGuest::start(&built().unwrap()).unwrap();
    guest.wait_for("listening on vsock port 7144").unwrap();
    let console = guest.console();
    let expected = [
        "assay-init: lockdown: none integrity [confidentiality]",
        &format!("probe guest: no reports: {NO_DEVICE}"),
        "probe guest: listening on vsock port 7144",
    ];
    // The kernel has its own to say about an emulator; a module without its hardware is told, in modprobe's words.
    let other = |line: &&String| !line.starts_with('[') && !line.contains("sev_guest");
    let said: Vec<&String> = console.iter().filter(other).collect();
    assert_eq!(said, expected, "{console:#?}");

    // Nobody reads what is typed.
    guest.type_in("\nid\n/bin/sh\n\x03\n").unwrap();
    for number in 0..2 {
        let mut stream = guest.connect().unwrap();
        let error = ask(&mut stream, ReportData([number; 64])).unwrap_err();
        assert!(matches!(error, GuestError::Refused(_)), "{error:?}");
        let expected = format!("it runs and has no report: {NO_DEVICE}");
        assert_eq!(error.to_string(), expected);
    }
    // What is no question is left without an answer, and the next one gets its own.
    let mut stream = guest.connect().unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert_eq!(said, b"");
    let error = ask(&mut guest.connect().unwrap(), ReportData([9; 64])).unwrap_err();
    assert!(matches!(error, GuestError::Refused(_)), "{error:?}");
    let console = guest.console().concat();
    assert!(
        !console.contains("uid=") && !console.contains("the agent ended"),
        "{console}"
    );
}

/// The firmware looks for the hashes in memory that is measured. Where nobody put any, it starts no kernel, not even the
/// right one.
#[test]
fn the_firmware_starts_no_kernel_without_its_hashes() {
    let guest = Guest::of(&built().unwrap());
    let firmware = guest.firmware.clone();
    let start = Start {
        guest,
        protection: Protection::Nothing,
        vsock: Vsock::Kernel(3),
    };
    let mut words = start.arguments();
    // This machine has no vsock to give.
    let device = words.iter().position(|word| word == "-device").unwrap();
    words.drain(device..device + 2);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("console.log");
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(words).arg("-bios").arg(firmware);
    let mut qemu = Group::start(&mut qemu, &log).unwrap();
    let console = || String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    until(|| qemu.has_ended().unwrap() || console().contains(NOTHING_TO_BOOT)).unwrap();
    assert!(console().contains(NOTHING_TO_BOOT), "{}", console());
    assert!(!console().contains("assay-init"), "{}", console());
}

/// What is left of the image then does not come up, and says nothing that an agent would take for a guest.
#[test]
fn a_guest_without_its_initial_file_system_does_not_come_up() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (Guest::of(&built().unwrap()), Guest::of(dir.path()));
    for (from, to) in from.files().iter().zip(to.files()) {
        fs::copy(from, to).unwrap();
    }
    let initial = fs::read(&to.initial).unwrap();
    fs::write(&to.initial, &initial[..initial.len() / 2]).unwrap();
    let mut guest = ProbeGuest::start(dir.path()).unwrap();
    let error = guest.wait_for("listening on vsock").unwrap_err();
    assert!(error.to_string().contains("(ended: true)"), "{error}");
    // Another byte, another guest: the class says so before anybody starts it.
    assert_ne!(measurement(dir.path()), measurement(&built().unwrap()));
}

/// As the build computes it.
fn measurement(folder: &Path) -> String {
    let output = Command::new(programs().unwrap().join("assay-image-values"))
        .arg("probe")
        .arg(folder)
        .output()
        .unwrap();
    told(output)
}

fn told(output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_class_names_the_measurement_that_another_tool_computes() {
    let folder = built().unwrap();
    let class = fs::read_to_string(folder.join("class.toml")).unwrap();
    assert_eq!(measurement(&folder), class);
    let Some(python) = std::env::var_os("ASSAY_FOREIGN_PYTHON").map(PathBuf::from) else {
        eprintln!("NOT TESTED: ASSAY_FOREIGN_PYTHON is not set (`make test` sets it)");
        return;
    };
    let guest = Guest::of(&folder);
    let mut other = Command::new(python.with_file_name("sev-snp-measure"));
    other.args(["--mode", "snp", "--append", COMMAND_LINE]);
    other.args(["--vcpus", &VCPUS.to_string(), "--vcpu-type", CPU.model]);
    other.arg("--ovmf").arg(&guest.firmware);
    other.arg("--kernel").arg(&guest.kernel);
    other.arg("--initrd").arg(&guest.initial);
    let value = told(other.output().unwrap());
    assert!(class.contains(value.trim()), "{class} {value}");
}

/// Here there is no SEV-SNP, and the program names what is missing instead of starting an unprotected guest.
#[test]
fn a_host_without_snp_is_told_so_before_qemu_runs() {
    let start = |folder: &Path| {
        Command::new(programs().unwrap().join("assay-probe"))
            .args(["start", "--cid", "3", "--qemu", "/nowhere/qemu", "--guest"])
            .arg(folder)
            .output()
            .unwrap()
    };
    let output = start(&built().unwrap());
    let stderr = String::from_utf8_lossy(&output.stderr);
    if Path::new("/dev/sev").exists() {
        assert!(stderr.contains("/nowhere/qemu"), "{stderr}");
        return;
    }
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr.contains("SEV-SNP") && stderr.contains("\nhint: "),
        "{stderr}"
    );
    let output = start(Path::new("/nowhere"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr.starts_with("error: /nowhere/firmware.fd: "),
        "{stderr}"
    );
}
