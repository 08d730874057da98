//! A plausible measured boot: the crypto-agile event log a UEFI firmware, a boot loader and
//! systemd-stub would leave (TCG PC Client Platform Firmware Profile 1.05, section 10), the PCR
//! values it replays to, and the extends that put a TPM into that state.
//!
//! The agent's configuration is the last event: EV_IPL in PCR 12, data = the file's bytes.

use crate::swtpm::Swtpm;
use anyhow::{Context as _, Result};
use assay_protocol::hash::sha256;
use aws_lc_rs::digest;
use std::path::Path;

/// Registers the agent quotes: 0–14 of the SHA-256 bank.
pub const PCR_COUNT: usize = 15;

const EV_NO_ACTION: u32 = 0x0000_0003;
const EV_SEPARATOR: u32 = 0x0000_0004;
const EV_S_CRTM_VERSION: u32 = 0x0000_0008;
const EV_IPL: u32 = 0x0000_000d;
const EV_EFI_VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
const EV_EFI_VARIABLE_BOOT: u32 = 0x8000_0002;
const EV_EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
const EV_EFI_GPT_EVENT: u32 = 0x8000_0006;
const EV_EFI_ACTION: u32 = 0x8000_0007;
const EV_EFI_PLATFORM_FIRMWARE_BLOB2: u32 = 0x8000_000a;
const EV_EFI_VARIABLE_AUTHORITY: u32 = 0x8000_00e0;

const ALG_SHA1: u16 = 0x0004;
const ALG_SHA256: u16 = 0x000b;

/// EFI_GLOBAL_VARIABLE, little-endian as in memory.
const GLOBAL_VARIABLE: [u8; 16] = guid(0x8be4_df61, 0x93ca, 0x11d2, 0xaa0d_00e0_9803_2b8c);
/// EFI_IMAGE_SECURITY_DATABASE_GUID.
const IMAGE_SECURITY: [u8; 16] = guid(0xd719_b2cb, 0x3d3a, 0x4596, 0xa3bc_dad0_0e67_656f);

/// EFI_CERT_X509_GUID.
const CERT_X509: [u8; 16] = guid(0xa5c0_59a1, 0x94e4, 0x4aa7, 0x87b5_ab15_5c2b_f072);
/// EFI_CERT_SHA256_GUID.
const CERT_SHA256: [u8; 16] = guid(0xc1c4_1626, 0x504c, 0x4092, 0xaca9_41f9_3693_4328);
/// Who put the entries into the key databases.
const OWNER: [u8; 16] = guid(0x0a55_a700, 0x0000, 0x4000, 0x8000_0000_0000_0001);
/// Stands for the certificate that signed the boot application.
const SIGNER: &[u8] = b"assay test signer";

/// The command line inside the image: it names the root file system's hash.
pub const COMMAND_LINE: &str = "roothash=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a ro quiet lockdown=integrity";

/// Which boot application was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The one the hardware class's reference values name.
    Good,
    /// Another one: its digest is in PCR 4 and the log says so honestly.
    Rogue,
}

/// Which digests each event of the log carries. Only the SHA-256 bank is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Banks {
    /// SHA-256 alone.
    Sha256,
    /// SHA-1 and SHA-256, as most firmware does.
    Sha1AndSha256,
}

/// One event: what was measured, where, and the evidence of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// PCR index.
    pub pcr: u8,
    /// TCG event type.
    pub kind: u32,
    /// What the digests cover (not always what the log stores).
    pub measured: Vec<u8>,
    /// The log's event data.
    pub data: Vec<u8>,
}

impl Event {
    /// What PCR_Extend receives in the SHA-256 bank.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[&self.measured])
    }

    fn of_data(pcr: u8, kind: u32, data: Vec<u8>) -> Self {
        Self {
            pcr,
            kind,
            measured: data.clone(),
            data,
        }
    }
}

/// The boot of one ScalerNode.
#[derive(Debug, Clone)]
pub struct MeasuredBoot {
    events: Vec<Event>,
}

impl MeasuredBoot {
    /// The boot of `variant` with the agent's configuration file `config` measured into PCR 12.
    pub fn new(variant: Variant, config: &[u8]) -> Self {
        let mut events = firmware();
        events.extend(secure_boot());
        events.extend((0..8).map(|pcr| Event::of_data(pcr, EV_SEPARATOR, vec![0; 4])));
        events.extend(boot_loader(variant));
        events.extend(unified_kernel(variant));
        events.push(Event::of_data(12, EV_IPL, config.to_vec()));
        Self { events }
    }

    /// The same with a command line given from outside of the image, which systemd-stub measures into PCR 12.
    pub fn with_command_line(variant: Variant, config: &[u8], line: &str) -> Self {
        let mut boot = Self::new(variant, config);
        let at = boot.events.len() - 1;
        boot.events
            .insert(at, Event::of_data(12, EV_IPL, utf16(line)));
        boot
    }

    /// The log as the firmware left it, before the configuration is measured.
    pub fn firmware_log(variant: Variant, banks: Banks) -> Vec<u8> {
        Self::new(variant, b"").before_configuration().log(banks)
    }

    /// The same boot up to where the configuration is measured.
    pub fn before_configuration(mut self) -> Self {
        self.events.pop();
        self
    }

    /// One more event at the end, whose digest is of its data.
    pub fn measure(&mut self, pcr: u8, kind: u32, data: &[u8]) {
        self.events.push(Event::of_data(pcr, kind, data.to_vec()));
    }

    /// The events in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The SHA-256 bank's registers 0–14 after this boot: class reference values are made of them.
    pub fn pcrs(&self) -> [[u8; 32]; PCR_COUNT] {
        let mut pcrs = [[0; 32]; PCR_COUNT];
        for event in &self.events {
            let pcr = &mut pcrs[usize::from(event.pcr)];
            *pcr = sha256(&[&pcr[..], &event.digest()]);
        }
        pcrs
    }

    /// The binary event log, as in `/sys/kernel/security/tpm0/binary_bios_measurements`.
    pub fn log(&self, banks: Banks) -> Vec<u8> {
        let mut log = specification_event(banks);
        for event in &self.events {
            log.extend(u32::from(event.pcr).to_le_bytes());
            log.extend(event.kind.to_le_bytes());
            log.extend(digests(banks, &event.measured));
            log.extend(length(&event.data));
            log.extend(&event.data);
        }
        log
    }

    /// Writes [`Self::log`] with the SHA-256 bank to `path`.
    pub fn write_log(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.log(Banks::Sha256))
            .with_context(|| format!("cannot write the event log {}", path.display()))
    }

    /// Boots: extends the TPM with every event. The connection is released before this returns.
    pub fn extend(&self, tpm: &Swtpm) -> Result<()> {
        let mut tpm = tpm.connect()?;
        for event in &self.events {
            tpm.extend(event.pcr, &event.digest())?;
        }
        Ok(())
    }
}

fn firmware() -> Vec<Event> {
    let blob = [&8u8.to_le_bytes()[..], b"TESTFV00", &[0; 8], &[0; 8]].concat();
    vec![
        Event::of_data(0, EV_S_CRTM_VERSION, utf16("Assay Test Firmware 1.0")),
        Event {
            pcr: 0,
            kind: EV_EFI_PLATFORM_FIRMWARE_BLOB2,
            measured: b"assay test firmware volume".to_vec(),
            data: blob,
        },
        Event::of_data(
            1,
            EV_EFI_VARIABLE_BOOT,
            variable(&GLOBAL_VARIABLE, "BootOrder", &[0, 0]),
        ),
        Event::of_data(
            1,
            EV_EFI_VARIABLE_BOOT,
            variable(&GLOBAL_VARIABLE, "Boot0000", b"\x01\x00\x00\x00Assay"),
        ),
    ]
}

fn secure_boot() -> Vec<Event> {
    let x509 = |certificate: &[u8]| signature_list(&CERT_X509, certificate);
    let forbidden = signature_list(&CERT_SHA256, &sha256(&[b"assay test forbidden image"]));
    let config = |guid: &[u8; 16], name: &str, value: &[u8]| {
        Event::of_data(
            7,
            EV_EFI_VARIABLE_DRIVER_CONFIG,
            variable(guid, name, value),
        )
    };
    vec![
        config(&GLOBAL_VARIABLE, "SecureBoot", &[1]),
        config(&GLOBAL_VARIABLE, "PK", &x509(b"assay test platform key")),
        config(&GLOBAL_VARIABLE, "KEK", &x509(b"assay test exchange key")),
        config(&IMAGE_SECURITY, "db", &x509(SIGNER)),
        config(&IMAGE_SECURITY, "dbx", &forbidden),
    ]
}

fn boot_loader(variant: Variant) -> Vec<Event> {
    let image: &[u8] = match variant {
        Variant::Good => b"assay test unified kernel image",
        Variant::Rogue => b"somebody's own boot application",
    };
    vec![
        Event::of_data(
            4,
            EV_EFI_ACTION,
            b"Calling EFI Application from Boot Option".to_vec(),
        ),
        Event::of_data(
            5,
            EV_EFI_GPT_EVENT,
            b"EFI PART assay test partition table".to_vec(),
        ),
        Event::of_data(
            7,
            EV_EFI_VARIABLE_AUTHORITY,
            variable(&IMAGE_SECURITY, "db", &[&OWNER, SIGNER].concat()),
        ),
        Event {
            pcr: 4,
            kind: EV_EFI_BOOT_SERVICES_APPLICATION,
            measured: image.to_vec(),
            data: image_load_event(r"\EFI\BOOT\BOOTX64.EFI"),
        },
        Event::of_data(5, EV_EFI_ACTION, b"Exit Boot Services Invocation".to_vec()),
        Event::of_data(
            5,
            EV_EFI_ACTION,
            b"Exit Boot Services Returned with Success".to_vec(),
        ),
    ]
}

/// systemd-stub: the sections of the unified kernel image into PCR 11 (name, then content).
fn unified_kernel(variant: Variant) -> Vec<Event> {
    let mut events = Vec::new();
    for section in [".linux", ".osrel", ".cmdline", ".initrd", ".uname"] {
        let name = [section.as_bytes(), &[0]].concat();
        let content = match section {
            ".cmdline" => COMMAND_LINE.to_owned(),
            _ => format!("assay test {section} of the {variant:?} image"),
        };
        events.push(Event::of_data(11, EV_IPL, name.clone()));
        events.push(Event {
            pcr: 11,
            kind: EV_IPL,
            measured: content.into_bytes(),
            data: name,
        });
    }
    events
}

/// TCG_PCR_EVENT in the old format with TCG_EfiSpecIDEvent inside: names the log's algorithms.
fn specification_event(banks: Banks) -> Vec<u8> {
    let mut body = b"Spec ID Event03\0".to_vec();
    body.extend(0u32.to_le_bytes()); // platformClass: client
    body.extend([0, 2, 105, 2]); // specVersion 2.0, errata 105, uintnSize 2 (64 bit)
    let algorithms: &[(u16, u16)] = match banks {
        Banks::Sha256 => &[(ALG_SHA256, 32)],
        Banks::Sha1AndSha256 => &[(ALG_SHA1, 20), (ALG_SHA256, 32)],
    };
    body.extend((algorithms.len() as u32).to_le_bytes());
    for (algorithm, size) in algorithms {
        body.extend(algorithm.to_le_bytes());
        body.extend(size.to_le_bytes());
    }
    body.push(0); // vendorInfoSize
    let mut event = 0u32.to_le_bytes().to_vec();
    event.extend(EV_NO_ACTION.to_le_bytes());
    event.extend([0; 20]);
    event.extend(length(&body));
    event.extend(body);
    event
}

/// TPML_DIGEST_VALUES, little-endian as the log has it.
fn digests(banks: Banks, measured: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let count: u32 = if banks == Banks::Sha256 { 1 } else { 2 };
    out.extend(count.to_le_bytes());
    if banks == Banks::Sha1AndSha256 {
        out.extend(ALG_SHA1.to_le_bytes());
        out.extend(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, measured).as_ref());
    }
    out.extend(ALG_SHA256.to_le_bytes());
    out.extend(sha256(&[measured]));
    out
}

/// UEFI_VARIABLE_DATA.
fn variable(guid: &[u8; 16], name: &str, value: &[u8]) -> Vec<u8> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let mut data = guid.to_vec();
    data.extend((units.len() as u64).to_le_bytes());
    data.extend((value.len() as u64).to_le_bytes());
    data.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    data.extend(value);
    data
}

/// EFI_SIGNATURE_LIST with one entry.
fn signature_list(kind: &[u8; 16], entry: &[u8]) -> Vec<u8> {
    let size = (OWNER.len() + entry.len()) as u32;
    let mut list = kind.to_vec();
    for field in [28 + size, 0, size] {
        list.extend(field.to_le_bytes());
    }
    list.extend(OWNER);
    list.extend(entry);
    list
}

/// UEFI_IMAGE_LOAD_EVENT with one file-path node and the end node.
fn image_load_event(path: &str) -> Vec<u8> {
    let name = utf16(path);
    let mut device_path = vec![4, 4];
    device_path.extend((name.len() as u16 + 4).to_le_bytes());
    device_path.extend(name);
    device_path.extend([0x7f, 0xff, 4, 0]);
    let mut data = Vec::new();
    for field in [0x7e00_0000, 0x0200_0000, 0, device_path.len() as u64] {
        data.extend(u64::to_le_bytes(field));
    }
    data.extend(device_path);
    data
}

/// UTF-16LE with its terminating NUL.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}

fn length(data: &[u8]) -> [u8; 4] {
    (data.len() as u32).to_le_bytes()
}

const fn guid(a: u32, b: u16, c: u16, d: u64) -> [u8; 16] {
    let (a, b, c, d) = (
        a.to_le_bytes(),
        b.to_le_bytes(),
        c.to_le_bytes(),
        d.to_be_bytes(),
    );
    [
        a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6],
        d[7],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::TestCa;

    #[test]
    fn the_extended_tpm_agrees_with_the_expected_registers() {
        let dir = tempfile::tempdir().unwrap();
        let ca = TestCa::create(&dir.path().join("ca")).unwrap();
        let tpm = Swtpm::create(&dir.path().join("tpm"), &ca, "node").unwrap();
        let boot = MeasuredBoot::new(Variant::Good, b"config");
        boot.extend(&tpm).unwrap();
        let mut raw = tpm.connect().unwrap();
        for (pcr, expected) in boot.pcrs().iter().enumerate() {
            assert_eq!(&raw.read_pcr(pcr as u8).unwrap(), expected, "PCR {pcr}");
        }
    }

    #[test]
    fn the_rogue_boot_differs_in_pcr_4_and_not_in_the_other_firmware_registers() {
        let good = MeasuredBoot::new(Variant::Good, b"config").pcrs();
        let rogue = MeasuredBoot::new(Variant::Rogue, b"config").pcrs();
        let differing: Vec<usize> = (0..8).filter(|&pcr| good[pcr] != rogue[pcr]).collect();
        assert_eq!(differing, [4]);
    }

    #[test]
    fn the_configuration_is_an_event_of_pcr_12_and_moves_no_other_register() {
        let one = MeasuredBoot::new(Variant::Good, b"one");
        let two = MeasuredBoot::new(Variant::Good, b"two");
        let last = one.events().last().unwrap();
        assert_eq!(
            (last.pcr, last.kind, last.data.as_slice()),
            (12, EV_IPL, &b"one"[..])
        );
        assert_eq!(last.digest(), sha256(&[b"one"]));
        let differing: Vec<usize> = (0..PCR_COUNT)
            .filter(|&pcr| one.pcrs()[pcr] != two.pcrs()[pcr])
            .collect();
        assert_eq!(differing, [12]);
    }

    #[test]
    fn the_log_starts_with_the_specification_event_of_its_banks() {
        let boot = MeasuredBoot::new(Variant::Good, b"config");
        let (one, two) = (boot.log(Banks::Sha256), boot.log(Banks::Sha1AndSha256));
        assert_eq!(&one[32..48], b"Spec ID Event03\0");
        assert_eq!((one[56], two[56]), (1, 2));
        let per_event = two.len() - one.len() - 4;
        assert_eq!(per_event, boot.events().len() * 22);
    }
}
