//! An honest boot, and every way to make its log say something else.

mod boot;
mod edits;
mod loader;
mod secure_boot;

use super::*;
use crate::eventlog::coverage::Name;

use crate::eventlog::tests::LogBuilder;

use crate::eventlog::variable::{GLOBAL_VARIABLE, Guid, IMAGE_SECURITY_DATABASE, SHIM_LOCK};

use crate::eventlog::{self, *};

use crate::quote::PcrValues;

const BANK: HashAlg = HashAlg::Sha256;

/// One event to be: PCR, type, what is measured, what is logged.
#[derive(Clone)]
struct Step {
    pcr: u32,
    kind: u32,
    measured: Vec<u8>,
    data: Vec<u8>,
}

fn step(pcr: u32, kind: u32, data: &[u8]) -> Step {
    code(pcr, kind, data, data)
}

fn code(pcr: u32, kind: u32, measured: &[u8], data: &[u8]) -> Step {
    Step {
        pcr,
        kind,
        measured: measured.to_vec(),
        data: data.to_vec(),
    }
}

fn build(steps: &[Step]) -> Vec<u8> {
    let add = |log: LogBuilder, s: &Step| log.measured(s.pcr, s.kind, &s.measured, &s.data);
    steps.iter().fold(LogBuilder::new(), add).0
}

/// What the TPM has after these steps: labels and data do not matter.
fn quoted(steps: &[Step]) -> PcrValues {
    let log = build(steps);
    let log = parse(&log).unwrap();
    let replayed = log.replay(BANK).unwrap();
    let value = |pcr| {
        let value = replayed.get(&pcr).cloned();
        value.unwrap_or_else(|| log.initial(pcr, BANK))
    };
    (0..24).map(|pcr| ((BANK, pcr), value(pcr))).collect()
}

fn with<T>(log: &[u8], quoted: &PcrValues, look: impl FnOnce(BootClaims<'_>) -> T) -> T {
    let log = parse(log).unwrap();
    let replayed = Replayed::against_values(&log, BANK, quoted).unwrap();
    look(claims(&replayed))
}

/// The claims of a log next to a quote of the same boot.
fn of<T>(steps: &[Step], look: impl FnOnce(BootClaims<'_>) -> T) -> T {
    with(&build(steps), &quoted(steps), look)
}

fn secure_boot(steps: &[Step]) -> Claim<SecureBoot> {
    of(steps, |claims| claims.secure_boot)
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn variable(guid: Guid, name: &str, value: &[u8]) -> Vec<u8> {
    let mut data = guid.0.to_vec();
    data.extend((name.len() as u64).to_le_bytes());
    data.extend((value.len() as u64).to_le_bytes());
    data.extend(utf16(name));
    data.extend(value);
    data
}

const X509: [u8; 16] = [
    0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72,
];

fn certificate_list(owner: [u8; 16], certificate: &[u8]) -> Vec<u8> {
    let size = 16 + certificate.len() as u32;
    let mut list = X509.to_vec();
    for field in [28 + size, 0, size] {
        list.extend(field.to_le_bytes());
    }
    list.extend(owner);
    list.extend(certificate);
    list
}

fn config(name: &str, value: &[u8]) -> Step {
    let guid = if name.starts_with("db") {
        IMAGE_SECURITY_DATABASE
    } else {
        GLOBAL_VARIABLE
    };
    step(
        7,
        EV_EFI_VARIABLE_DRIVER_CONFIG,
        &variable(guid, name, value),
    )
}

fn authority(guid: Guid, name: &str, value: &[u8]) -> Step {
    step(7, EV_EFI_VARIABLE_AUTHORITY, &variable(guid, name, value))
}

const CERTIFICATE: &[u8] = &[0x30, 0x82, 0x00, 0x01, 0xaa];

const OWNER: [u8; 16] = [5; 16];

fn db_entry() -> Vec<u8> {
    [&OWNER[..], CERTIFICATE].concat()
}

fn separator(pcr: u32) -> Step {
    step(pcr, EV_SEPARATOR, &[0; 4])
}

fn load_event(path: &str) -> Vec<u8> {
    let name = utf16(&format!("{path}\0"));
    let mut nodes = vec![2, 1, 4, 0, 4, 4];
    nodes.extend((name.len() as u16 + 4).to_le_bytes());
    nodes.extend(name);
    nodes.extend([0x7f, 0xff, 4, 0]);
    let mut data = vec![0; 24];
    data.extend((nodes.len() as u64).to_le_bytes());
    data.extend(nodes);
    data
}

const SHIM: &[u8] = b"MZ\x90\0 a stripped image PE\0\0";

/// A measured boot with everything in it.
fn honest() -> Vec<Step> {
    let mut steps = vec![
        step(0, EV_S_CRTM_VERSION, &utf16("Firmware 1\0")),
        code(0, EV_EFI_PLATFORM_FIRMWARE_BLOB, b"the volume", &[8; 16]),
        step(
            1,
            EV_EFI_VARIABLE_BOOT2,
            &variable(GLOBAL_VARIABLE, "BootOrder", &[1, 0, 0, 0]),
        ),
        step(
            1,
            EV_EFI_VARIABLE_BOOT2,
            &variable(GLOBAL_VARIABLE, "Boot0001", b"\x01\0\0\0option"),
        ),
        code(
            2,
            EV_EFI_BOOT_SERVICES_DRIVER,
            b"option rom",
            &load_event("rom"),
        ),
        config("SecureBoot", &[1]),
        config("PK", &certificate_list(OWNER, CERTIFICATE)),
        config("KEK", &certificate_list(OWNER, CERTIFICATE)),
        config("db", &certificate_list(OWNER, CERTIFICATE)),
        config("dbx", b""),
        step(
            4,
            EV_EFI_ACTION,
            b"Calling EFI Application from Boot Option",
        ),
    ];
    steps.extend((0..8).map(separator));
    steps.extend([
        authority(IMAGE_SECURITY_DATABASE, "db", &db_entry()),
        code(
            4,
            EV_EFI_BOOT_SERVICES_APPLICATION,
            SHIM,
            &load_event("\\EFI\\shim.efi"),
        ),
        authority(SHIM_LOCK, "SbatLevel", b"sbat,1,2021030218\n"),
        authority(SHIM_LOCK, "Shim", CERTIFICATE),
        code(14, EV_IPL, b"keys", b"MokList\0"),
        code(
            8,
            EV_IPL,
            b"linux /vmlinuz quiet",
            b"grub_cmd: linux /vmlinuz quiet\0",
        ),
        code(
            8,
            EV_IPL,
            b"/vmlinuz quiet",
            b"kernel_cmdline: /vmlinuz quiet\0",
        ),
        code(9, EV_IPL, b"the kernel", b"/vmlinuz\0"),
        step(11, EV_IPL, b".linux\0"),
        code(11, EV_IPL, b"the kernel", b".linux\0"),
        step(12, EV_IPL, &utf16("root=/dev/sda1 ro\0")),
        step(12, EV_IPL, b"network = \"x\"\n"),
        step(5, EV_EFI_GPT_EVENT, b"EFI PART\0\0"),
        step(5, EV_EFI_ACTION, b"Exit Boot Services Invocation"),
        step(
            5,
            EV_EFI_ACTION,
            b"Exit Boot Services Returned with Success",
        ),
    ]);
    steps
}

/// The position of the first step of this PCR and type.
fn find(steps: &[Step], pcr: u32, kind: u32) -> usize {
    let found = steps.iter().position(|s| s.pcr == pcr && s.kind == kind);
    found.unwrap()
}

/// Puts a step right before the separator of its PCR, where firmware measures.
fn before_separator(steps: &mut Vec<Step>, extra: Step) {
    let at = find(steps, extra.pcr, EV_SEPARATOR);
    steps.insert(at, extra);
}

#[test]
fn an_honest_boot_proves_every_claim() {
    of(&honest(), |claims| {
        assert_eq!(claims.secure_boot, Claim::Proven(SecureBoot::Enabled));
        for database in [&claims.pk, &claims.kek, &claims.db] {
            let entry = database.proven().unwrap().0[0];
            assert_eq!((entry.owner, entry.data), (Guid(OWNER), CERTIFICATE));
        }
        assert!(claims.dbx.proven().unwrap().0.is_empty());
        assert_eq!(claims.dbt, Claim::Absent);
        let authorities = claims.authorities.proven().unwrap();
        let names: Vec<&str> = authorities.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["db", "SbatLevel", "Shim"]);
        assert_eq!(authorities[0].certificate(), Some(CERTIFICATE));
        assert_eq!(authorities[1].certificate(), None);
        assert_eq!(authorities[2].certificate(), Some(CERTIFICATE));
        assert!(!authorities[0].before_separator);
        assert_eq!(claims.sbat_level, Claim::Proven("sbat,1,2021030218".into()));
        let version = Version::Text("Firmware 1".into());
        assert_eq!(claims.firmware_version, Claim::Proven(version));
        assert_eq!(claims.firmware.proven().unwrap().len(), 2);
        assert_eq!(claims.boot_order, Claim::Proven(vec![1, 0]));
        let boot = claims.boot_variables.proven().unwrap();
        assert_eq!(
            (boot[1].name.as_str(), boot[1].name_is),
            ("Boot0001", Name::Covered)
        );
        let images = claims.images.proven().unwrap();
        assert_eq!(images[0].digest.0, BANK.digest(&[SHIM]));
        assert_eq!(images[0].unproven_path.as_deref(), Some("\\EFI\\shim.efi"));
        assert!(!images[0].before_separator && images.len() == 1);
        assert!(claims.drivers.proven().unwrap()[0].before_separator);
        let action = "Calling EFI Application from Boot Option";
        assert_eq!(claims.boot_actions, Claim::Proven(vec![action.into()]));
        let exit = claims.exit_boot_services.proven().unwrap();
        assert!(exit.invoked && exit.succeeded);
        let strings = claims.loader_strings.proven().unwrap();
        assert_eq!(strings[0].unproven_prefix, "grub_cmd: ");
        assert_eq!(strings[1].string, b"/vmlinuz quiet");
        let file = &claims.loader_files.proven().unwrap()[0];
        assert_eq!(file.digest.0, BANK.digest(&[b"the kernel"]));
        assert_eq!(file.unproven_label, "/vmlinuz");
        let sections = claims.uki_sections.proven().unwrap();
        assert_eq!(sections[0].name, ".linux");
        assert_eq!(sections[0].digest.0, BANK.digest(&[b"the kernel"]));
        assert_eq!(
            claims.command_lines,
            Claim::Proven(vec!["root=/dev/sda1 ro".into()])
        );
        assert_eq!(claims.mok.proven().unwrap()[0].unproven_label, "MokList");
        assert_eq!(claims.security_actions, Claim::Absent);
        assert!(
            claims
                .separators
                .values()
                .all(|s| *s == Claim::Proven(Separator::Zeros))
        );
    });
}

#[test]
fn claims_from_a_register_with_another_quoted_value_are_unproven() {
    let steps = honest();
    let log = build(&steps);
    let claims_of = [
        (7, "secure_boot"),
        (7, "db"),
        (7, "authorities"),
        (0, "firmware_version"),
        (0, "firmware"),
        (1, "boot_order"),
        (2, "drivers"),
        (4, "images"),
        (5, "exit_boot_services"),
        (8, "loader_strings"),
        (9, "loader_files"),
        (11, "uki_sections"),
        (12, "command_lines"),
        (14, "mok"),
    ];
    for (pcr, name) in claims_of {
        let mut other = quoted(&steps);
        other.get_mut(&(BANK, pcr)).unwrap()[0] ^= 1;
        let differs = Unproven::Differs { pcr }.to_string();
        with(&log, &other, |claims| {
            let shown = serde_json::to_value(&claims).unwrap();
            assert_eq!(shown[name]["unproven"], differs, "{name}");
            let sound = if pcr == 7 { "images" } else { "secure_boot" };
            assert!(!shown[sound]["proven"].is_null(), "{name}");
        });
        other.remove(&(BANK, pcr));
        let missing = Unproven::NotQuoted { pcr }.to_string();
        with(&log, &other, |claims| {
            let shown = serde_json::to_value(&claims).unwrap();
            assert_eq!(shown[name]["unproven"], missing, "{name}");
        });
    }
}

const KINDS: [u32; 26] = [
    EV_POST_CODE,
    EV_SEPARATOR,
    EV_ACTION,
    EV_EVENT_TAG,
    EV_S_CRTM_CONTENTS,
    EV_S_CRTM_VERSION,
    EV_CPU_MICROCODE,
    0x0c,
    EV_IPL,
    EV_NONHOST_CODE,
    EV_NONHOST_CONFIG,
    EV_NONHOST_INFO,
    EV_OMIT_BOOT_DEVICE_EVENTS,
    EV_POST_CODE2,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_EFI_VARIABLE_BOOT,
    EV_EFI_BOOT_SERVICES_APPLICATION,
    EV_EFI_BOOT_SERVICES_DRIVER,
    EV_EFI_RUNTIME_SERVICES_DRIVER,
    EV_EFI_GPT_EVENT,
    EV_EFI_PLATFORM_FIRMWARE_BLOB,
    0x8000_0009,
    EV_EFI_VARIABLE_BOOT2,
    EV_EFI_HCRTM_EVENT,
    EV_EFI_VARIABLE_AUTHORITY,
    0x7777,
];

/// The logs that the demonstration network is run on.
#[test]
fn the_demonstration_boot_is_read_as_a_real_one() {
    use assay_testbed::{Banks, MeasuredBoot, Variant};
    let boot = MeasuredBoot::new(Variant::Good, b"the configuration");
    for banks in [Banks::Sha256, Banks::Sha1AndSha256] {
        let log = boot.log(banks);
        let log = parse(&log).unwrap();
        assert_eq!(coverage::uncovered_events(&log, BANK), []);
        let values = boot.pcrs().into_iter().zip(0..);
        let quoted: PcrValues = values
            .map(|(value, pcr)| ((BANK, pcr), value.to_vec()))
            .collect();
        assert!(explain::explain(&log, &quoted, None).holds());
        let claims = claims(&Replayed::against_values(&log, BANK, &quoted).unwrap());
        assert_eq!(claims.secure_boot, Claim::Proven(SecureBoot::Enabled));
        for database in [&claims.pk, &claims.kek, &claims.db, &claims.dbx] {
            assert_eq!(database.proven().map(|database| database.0.len()), Some(1));
        }
        assert_eq!(claims.authorities.proven().map(Vec::len), Some(1));
        assert_eq!(claims.boot_order, Claim::Proven(vec![0]));
        assert_eq!(claims.uki_sections.proven().map(Vec::len), Some(5));
        assert_eq!(claims.images.proven().map(Vec::len), Some(1));
        assert_eq!(claims.command_lines, Claim::Absent);
    }
}
