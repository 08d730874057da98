//! Authenticates a report: signature and chain hold, and certificate and report speak of the same key.

use super::chain;
use super::held;
use super::known::{ChainCache, Facts};
use super::product::Product;
use super::report::{self, KeyKind, Report};
use super::roots::{Root, RootKind, SnpRoots};
use super::tcb::{Tcb, TcbError};
use crate::checks::{Checks, Hex, Stopped};
use crate::x509::Certificate;
use assay_protocol::ids::UnixMs;

/// The certificates of a report's key as received, DER.
#[derive(Debug, Clone, Copy)]
pub struct Certificates<'a> {
    /// What the leaf is said to be; its own words must agree.
    pub kind: KeyKind,
    /// VCEK or VLEK.
    pub leaf: &'a [u8],
    /// ASK or ASVK.
    pub intermediate: &'a [u8],
    /// ARK.
    pub root: &'a [u8],
}

/// A certificate revocation list, already parsed by whoever implements this.
pub trait RevocationList {
    /// Whether `certificate` is on the list.
    ///
    /// An implementation verifies that the list was signed by `issuer` and is current at `at`; anything else
    /// is an error, in words, and refuses the certificate.
    fn is_revoked(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        at: UnixMs,
    ) -> Result<bool, String>;
}

/// What is asked about revocation.
#[derive(Clone, Copy, Default)]
pub struct Revocation<'a> {
    /// Without a list nothing is authenticated.
    pub required: bool,
    /// The list; looked at whenever it is there.
    pub list: Option<&'a dyn RevocationList>,
}

/// What a chain is judged by.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// Pinned roots.
    pub roots: &'a SnpRoots,
    /// The time at which all three certificates must be valid.
    pub at: UnixMs,
    /// Revocation.
    pub revocation: Revocation<'a>,
    /// Chains and signatures of certificates already verified.
    pub cache: &'a ChainCache,
}

/// The four TCBs of a report, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcbs {
    /// What the signing key is derived from.
    pub reported: Tcb,
    /// What the firmware cannot go below again.
    pub committed: Tcb,
    /// What ran when the guest was launched.
    pub launch: Tcb,
    /// What runs now.
    pub current: Tcb,
}

impl Tcbs {
    /// Decodes them in the layout of `product`.
    pub fn read(product: Product, report: &Report) -> Result<Self, TcbError> {
        Ok(Self {
            reported: Tcb::read(product, report.reported_tcb)?,
            committed: Tcb::read(product, report.committed_tcb)?,
            launch: Tcb::read(product, report.launch_tcb)?,
            current: Tcb::read(product, report.current_tcb)?,
        })
    }
}

/// A report that a key endorsed by a pinned root signed.
///
/// It proves that AMD's firmware on a chip of that product said so. It does not prove that the content is
/// what anybody wants: [`super::policy`] does. With a VLEK it says nothing about which chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticReport {
    report: Report,
    root: Root,
    kind: KeyKind,
    tcbs: Tcbs,
    csp_id: Option<String>,
}

impl AuthenticReport {
    /// The content.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The product, by its root key.
    pub fn product(&self) -> Product {
        self.root.product
    }

    /// Whose root vouches for it.
    pub fn root_kind(&self) -> RootKind {
        self.root.kind
    }

    /// Which key signed it.
    pub fn key_kind(&self) -> KeyKind {
        self.kind
    }

    /// The decoded TCBs.
    pub fn tcbs(&self) -> &Tcbs {
        &self.tcbs
    }

    /// Whom the VLEK was issued to.
    pub fn csp_id(&self) -> Option<&str> {
        self.csp_id.as_deref()
    }

    /// The chip, when the report names it and its VCEK vouches for it.
    pub fn chip_id(&self) -> Option<&[u8; 64]> {
        let vouched = self.kind == KeyKind::Vcek && !self.report.chip_id_masked();
        vouched.then_some(&self.report.chip_id)
    }
}

/// A report-signing key that a pinned root endorses.
///
/// It proves that AMD made a key for that chip at that TCB, or for that cloud provider; no report by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsedKey {
    root: Root,
    kind: KeyKind,
    tcb: Tcb,
    hardware_id: Option<[u8; 64]>,
}

impl EndorsedKey {
    /// The product, by its root key.
    pub fn product(&self) -> Product {
        self.root.product
    }

    /// Whose root vouches for it.
    pub fn root_kind(&self) -> RootKind {
        self.root.kind
    }

    /// VCEK or VLEK.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The TCB it is derived from.
    pub fn tcb(&self) -> &Tcb {
        &self.tcb
    }

    /// The chip of a VCEK, padded to 64 bytes.
    pub fn hardware_id(&self) -> Option<&[u8; 64]> {
        self.hardware_id.as_ref()
    }
}

/// Records the checks of a chain without a report, as a cache of VCEKs needs it; yields the key only when
/// every one of them passed.
pub fn endorsement(
    checks: &mut Checks,
    certificates: Certificates<'_>,
    trust: &Trust<'_>,
) -> Result<Option<EndorsedKey>, Stopped> {
    let from = checks.list().len();
    let judged = chain::verify(checks, certificates, trust)?;
    let passed = checks.passed_from(from);
    Ok(judged.filter(|_| passed).and_then(|(chain, root)| {
        let facts = &chain.facts;
        root.map(|root| EndorsedKey {
            root,
            kind: facts.kind,
            tcb: facts.tcb,
            hardware_id: facts.hardware_id,
        })
    }))
}

/// Records each check of a report and its chain; yields the report only when every one of them passed.
pub fn authenticate(
    checks: &mut Checks,
    report: &[u8],
    certificates: Certificates<'_>,
    trust: &Trust<'_>,
) -> Result<Option<AuthenticReport>, Stopped> {
    let from = checks.list().len();
    let expected = "an SEV-SNP report of version 2, 3 or 5";
    let parsed = checks.value("snp-report-structure", expected, report::parse(report))?;
    let Some((chain, root)) = chain::verify(checks, certificates, trust)? else {
        return Ok(None);
    };
    let Some(parsed) = parsed else {
        return Ok(None);
    };
    let leaf = &chain.facts;
    // Without a pinned root nothing comes of it; the rest is for people who read all checks.
    let product = root.map_or(leaf.product, |root| root.product);
    key_agrees(checks, &parsed.report, leaf)?;
    cpu_agrees(checks, &parsed.report, product)?;
    let tcbs = tcb_agrees(checks, &parsed.report, leaf, product)?;
    chip_agrees(checks, &parsed.report, leaf)?;
    let expected = "ECDSA P-384 with SHA-384 by the endorsed key";
    let verified = chain.verify(parsed.signed, &parsed.signature);
    checks.value("snp-report-signature", expected, verified)?;
    let passed = checks.passed_from(from);
    Ok(match (root, tcbs) {
        (Some(root), Some(tcbs)) if passed => Some(AuthenticReport {
            report: parsed.report,
            root,
            kind: leaf.kind,
            tcbs,
            csp_id: leaf.csp_id.clone(),
        }),
        _ => None,
    })
}

fn key_agrees(checks: &mut Checks, report: &Report, leaf: &Facts) -> Result<(), Stopped> {
    checks.equal("snp-signing-key", leaf.kind, report.signing_key)?;
    // Firmware told to mask the chip key never signs with it (SNP_CONFIG, MASK_CHIP_KEY).
    let contradiction = leaf.kind == KeyKind::Vcek && report.chip_key_masked;
    let actual = match report.chip_key_masked {
        true => "chip key masked",
        false => "chip key in use",
    };
    let expected = "a VCEK only where the chip key is in use";
    held(
        checks,
        "snp-chip-key-mask",
        !contradiction,
        expected,
        actual,
    )
}

/// From version 3 on the report names its CPU; before, the certificate alone does.
fn cpu_agrees(checks: &mut Checks, report: &Report, product: Product) -> Result<(), Stopped> {
    let Some(cpuid) = report.cpuid else {
        return Ok(());
    };
    let of_product = Product::from_cpuid(cpuid.family, cpuid.model) == Some(product);
    held(
        checks,
        "snp-report-product",
        of_product,
        format_args!("a CPU of {product}"),
        cpuid,
    )
}

/// The key is derived from the reported TCB: another TCB in its certificate means that an older firmware
/// signed, or that somebody paired the wrong certificate.
fn tcb_agrees(
    checks: &mut Checks,
    report: &Report,
    leaf: &Facts,
    product: Product,
) -> Result<Option<Tcbs>, Stopped> {
    let tcbs = Tcbs::read(product, report);
    let expected = format_args!("four TCBs in the layout of {product}");
    let tcbs = checks.value("snp-tcb-layout", expected, tcbs)?;
    if let Some(tcbs) = tcbs {
        checks.equal("snp-leaf-tcb", tcbs.reported, leaf.tcb)?;
    }
    Ok(tcbs)
}

/// A VLEK names no chip. A masked chip id is for policy to judge: it contradicts nothing.
fn chip_agrees(checks: &mut Checks, report: &Report, leaf: &Facts) -> Result<(), Stopped> {
    let Some(hardware_id) = leaf.hardware_id else {
        return Ok(());
    };
    let holds = report.chip_id_masked() || report.chip_id == hardware_id;
    let (expected, actual) = (Hex(&hardware_id), Hex(&report.chip_id));
    held(
        checks,
        "snp-leaf-chip",
        holds,
        format_args!("{expected}, or masked"),
        actual,
    )
}
