//! `ATTESTATION_REPORT` (SEV-SNP ABI 56860, table 23), versions 2, 3 and 5, from the bytes received.
//!
//! Every reserved field must be zero in the version at hand, except the one bit of `PLATFORM_INFO` that
//! genuine Turin firmware sets (see [`PLATFORM_INFO_KNOWN`]).

use super::guest_policy::GuestPolicy;
use crate::tpm::reader::{FormatError, Reader};
use core::fmt;

/// Size of a report, bytes; no other is accepted.
pub const REPORT_BYTES: usize = 0x4a0;
/// The part a signature covers: from the first byte to the signature.
pub const SIGNED_BYTES: usize = 0x2a0;
/// Bits of `PLATFORM_INFO` that may be set. Bits 0 to 5 and 7 are specified (revision 1.58); genuine Turin
/// machines also set bit 6. Nothing is read from a bit that policy does not ask for.
pub const PLATFORM_INFO_KNOWN: u64 = 0xff;

const COMPONENT_BYTES: usize = 48;
const COMPONENT_PADDING: usize = 24;
const SIGNATURE_RESERVED: usize = 368;

/// The report's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 2: without CPUID.
    V2,
    /// 3: with CPUID.
    V3,
    /// 5: with CPUID and mitigation vectors.
    V5,
}

impl Version {
    /// Its number.
    pub fn number(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V5 => 5,
        }
    }
}

/// Which key signed, or whose certificate it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// Versioned chip endorsement key: one chip at one TCB.
    Vcek,
    /// Versioned loaded endorsement key: a cloud provider's, says nothing about the chip.
    Vlek,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        })
    }
}

/// The CPU the firmware runs on, base and extended parts added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpuid {
    /// Family.
    pub family: u8,
    /// Model.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

impl fmt::Display for Cpuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            family,
            model,
            stepping,
        } = self;
        write!(
            f,
            "family {family:#04x} model {model:#04x} stepping {stepping}"
        )
    }
}

/// A version of the SNP firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firmware {
    /// Major number.
    pub major: u8,
    /// Minor number.
    pub minor: u8,
    /// Build number.
    pub build: u8,
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

/// Mitigations the firmware verified, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mitigations {
    /// When the guest was launched.
    pub launch: u64,
    /// When the report was made.
    pub current: u64,
}

/// A report's content as parsed: **not authenticated**; see [`super::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Format.
    pub version: Version,
    /// Security version of the guest, from its ID block.
    pub guest_svn: u32,
    /// What the guest allows the host.
    pub policy: GuestPolicy,
    /// Family of the guest image, from its ID block.
    pub family_id: [u8; 16],
    /// The guest image, from its ID block.
    pub image_id: [u8; 16],
    /// Privilege level that asked for the report, 0 (highest) to 3.
    pub vmpl: u8,
    /// TCB that runs now, undecoded: the layout depends on the product.
    pub current_tcb: [u8; 8],
    /// State of the platform, a bit each.
    pub platform_info: u64,
    /// An author key signed the guest's ID key.
    pub author_key_enabled: bool,
    /// The host forbade the VCEK.
    pub chip_key_masked: bool,
    /// Which key signed.
    pub signing_key: KeyKind,
    /// What the guest asked to be signed.
    pub report_data: [u8; 64],
    /// Digest of the guest at launch.
    pub measurement: [u8; 48],
    /// What the host gave at launch; says nothing unless the guest's owner pins it.
    pub host_data: [u8; 32],
    /// SHA-384 of the key that signed the ID block; zero without one.
    pub id_key_digest: [u8; 48],
    /// SHA-384 of the author key; zero without one.
    pub author_key_digest: [u8; 48],
    /// Identity of this guest instance.
    pub report_id: [u8; 32],
    /// Identity of its migration agent; all ones without one.
    pub report_id_ma: [u8; 32],
    /// TCB the signing key is derived from, undecoded.
    pub reported_tcb: [u8; 8],
    /// The CPU, from version 3 on.
    pub cpuid: Option<Cpuid>,
    /// The chip; zero when masked.
    pub chip_id: [u8; 64],
    /// TCB the firmware cannot go below again, undecoded.
    pub committed_tcb: [u8; 8],
    /// Firmware that runs now.
    pub current_firmware: Firmware,
    /// Firmware that is committed.
    pub committed_firmware: Firmware,
    /// TCB when the guest was launched, undecoded.
    pub launch_tcb: [u8; 8],
    /// Mitigation vectors, from version 5 on.
    pub mitigations: Option<Mitigations>,
}

impl Report {
    /// Whether the host hid the chip's identifier.
    pub fn chip_id_masked(&self) -> bool {
        self.chip_id.iter().all(|byte| *byte == 0)
    }
}

/// A report with the bytes its signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The content.
    pub report: Report,
    /// The signed bytes as received.
    pub signed: &'a [u8],
    /// `r ‖ s`, big-endian, 48 bytes each.
    pub signature: [u8; 96],
}

/// Parses a report of exactly [`REPORT_BYTES`].
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, FormatError> {
    let mut r = Reader::new("ATTESTATION_REPORT", bytes, REPORT_BYTES)?;
    let signed = r.clone().take("signed part", SIGNED_BYTES)?;
    let report = content(&mut r)?;
    let signature = signature(&mut r)?;
    r.finish()?;
    Ok(Parsed {
        report,
        signed,
        signature,
    })
}

fn content(r: &mut Reader<'_>) -> Result<Report, FormatError> {
    let version = version(r)?;
    let guest_svn = r.u32_le("GUEST_SVN")?;
    let policy = GuestPolicy::read(r)?;
    let (family_id, image_id) = (r.array("FAMILY_ID")?, r.array("IMAGE_ID")?);
    let vmpl = vmpl(r)?;
    algorithm(r)?;
    let current_tcb = r.array("CURRENT_TCB")?;
    let platform_info = platform_info(r)?;
    let key_info = key_info(r)?;
    zero(r, "reserved at 0x4c", 4)?;
    let report = Report {
        version,
        guest_svn,
        policy,
        family_id,
        image_id,
        vmpl,
        current_tcb,
        platform_info,
        author_key_enabled: key_info.author_key,
        chip_key_masked: key_info.masked,
        signing_key: key_info.signing,
        report_data: r.array("REPORT_DATA")?,
        measurement: r.array("MEASUREMENT")?,
        host_data: r.array("HOST_DATA")?,
        id_key_digest: r.array("ID_KEY_DIGEST")?,
        author_key_digest: author_key_digest(r, key_info.author_key)?,
        report_id: r.array("REPORT_ID")?,
        report_id_ma: r.array("REPORT_ID_MA")?,
        reported_tcb: r.array("REPORTED_TCB")?,
        cpuid: cpuid(r, version)?,
        chip_id: r.array("CHIP_ID")?,
        committed_tcb: r.array("COMMITTED_TCB")?,
        current_firmware: firmware(r, "CURRENT_VERSION")?,
        committed_firmware: firmware(r, "COMMITTED_VERSION")?,
        launch_tcb: r.array("LAUNCH_TCB")?,
        mitigations: mitigations(r, version)?,
    };
    zero(r, "reserved at 0x208", 152)?;
    Ok(report)
}

fn version(r: &mut Reader<'_>) -> Result<Version, FormatError> {
    match r.u32_le("VERSION")? {
        2 => Ok(Version::V2),
        3 => Ok(Version::V3),
        5 => Ok(Version::V5),
        other => Err(r.unexpected("VERSION", "2, 3 or 5", other)),
    }
}

/// A report the host asked for (SNP_HV_REPORT_REQ) has all ones here: nobody inside the guest spoke.
fn vmpl(r: &mut Reader<'_>) -> Result<u8, FormatError> {
    let vmpl = r.u32_le("VMPL")?;
    match u8::try_from(vmpl) {
        Ok(level) if level <= 3 => Ok(level),
        _ => Err(r.unexpected("VMPL", "0 to 3", vmpl)),
    }
}

fn algorithm(r: &mut Reader<'_>) -> Result<(), FormatError> {
    match r.u32_le("SIGNATURE_ALGO")? {
        1 => Ok(()),
        other => Err(r.unexpected("SIGNATURE_ALGO", "1 (ECDSA P-384 with SHA-384)", other)),
    }
}

fn platform_info(r: &mut Reader<'_>) -> Result<u64, FormatError> {
    let info = u64::from_le_bytes(r.array("PLATFORM_INFO")?);
    if info & !PLATFORM_INFO_KNOWN != 0 {
        return Err(r.unexpected("PLATFORM_INFO", "bits 8 to 63 clear", info));
    }
    Ok(info)
}

struct KeyInfo {
    author_key: bool,
    masked: bool,
    signing: KeyKind,
}

fn key_info(r: &mut Reader<'_>) -> Result<KeyInfo, FormatError> {
    let flags = r.u32_le("key information")?;
    let signing = match flags >> 2 {
        0 => KeyKind::Vcek,
        1 => KeyKind::Vlek,
        _ => {
            return Err(r.unexpected(
                "key information",
                "VCEK (0) or VLEK (1) in bits 2 to 31",
                flags,
            ));
        }
    };
    Ok(KeyInfo {
        author_key: flags & 1 == 1,
        masked: flags & 2 == 2,
        signing,
    })
}

fn author_key_digest(r: &mut Reader<'_>, enabled: bool) -> Result<[u8; 48], FormatError> {
    let digest: [u8; 48] = r.array("AUTHOR_KEY_DIGEST")?;
    if let Some(byte) = digest.iter().find(|byte| **byte != 0 && !enabled) {
        return Err(r.unexpected("AUTHOR_KEY_DIGEST", "zero without an author key", *byte));
    }
    Ok(digest)
}

fn cpuid(r: &mut Reader<'_>, version: Version) -> Result<Option<Cpuid>, FormatError> {
    if version < Version::V3 {
        zero(r, "reserved at 0x188", 24)?;
        return Ok(None);
    }
    let cpuid = Cpuid {
        family: r.u8("CPUID_FAM_ID")?,
        model: r.u8("CPUID_MOD_ID")?,
        stepping: r.u8("CPUID_STEP")?,
    };
    zero(r, "reserved at 0x18b", 21)?;
    Ok(Some(cpuid))
}

fn firmware(r: &mut Reader<'_>, field: &'static str) -> Result<Firmware, FormatError> {
    let [build, minor, major] = r.array(field)?;
    zero(r, "reserved after a firmware version", 1)?;
    Ok(Firmware {
        major,
        minor,
        build,
    })
}

fn mitigations(r: &mut Reader<'_>, version: Version) -> Result<Option<Mitigations>, FormatError> {
    if version < Version::V5 {
        zero(r, "reserved at 0x1f8", 16)?;
        return Ok(None);
    }
    Ok(Some(Mitigations {
        launch: u64::from_le_bytes(r.array("LAUNCH_MIT_VECTOR")?),
        current: u64::from_le_bytes(r.array("CURRENT_MIT_VECTOR")?),
    }))
}

/// Two little-endian numbers in 72 bytes each, of which P-384 fills 48, then reserved bytes. None of it is
/// signed, so that anything but zero in the rest would be a second form of the same report.
fn signature(r: &mut Reader<'_>) -> Result<[u8; 96], FormatError> {
    let mut fixed = [0; 96];
    let (to_r, to_s) = fixed.split_at_mut(COMPONENT_BYTES);
    for (field, to) in [("signature r", to_r), ("signature s", to_s)] {
        let little_endian = r.take(field, COMPONENT_BYTES)?;
        for (to, from) in to.iter_mut().zip(little_endian.iter().rev()) {
            *to = *from;
        }
        zero(r, field, COMPONENT_PADDING)?;
    }
    zero(r, "reserved after the signature", SIGNATURE_RESERVED)?;
    Ok(fixed)
}

fn zero(r: &mut Reader<'_>, field: &'static str, count: usize) -> Result<(), FormatError> {
    match r.take(field, count)?.iter().find(|byte| **byte != 0) {
        None => Ok(()),
        Some(byte) => Err(r.unexpected(field, "zero", *byte)),
    }
}
