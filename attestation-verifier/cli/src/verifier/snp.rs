//! AMD SEV-SNP attestation reports.

mod builtin;
pub(super) mod chain;
pub(super) mod claims;
#[cfg(test)]
pub(super) mod tests;

use super::{Finding, input};
use anyhow::{Context as _, Result, anyhow};
use assay_appraisal::checks::{Checks, Mode};
use assay_appraisal::snp::guest_policy::Abi;
use assay_appraisal::snp::policy::{self, Expect, SnpPolicy};
use assay_appraisal::snp::product::{GENERATIONS, Product};
use assay_appraisal::snp::report::KeyKind;
use assay_appraisal::snp::revocation::ArkList;
use assay_appraisal::snp::tcb::Tcb;
use assay_appraisal::snp::verify::{self, Certificates, Revocation, RevocationList, Trust};
use assay_appraisal::snp::{AuthenticReport, ChainCache, SnpRoots};
use assay_appraisal::x509::{Certificate, name};
use assay_protocol::ids::UnixMs;
use chain::Chain;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// AMD SEV-SNP attestation reports.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify a report and its certificates.
    Verify(Box<Verify>),
}

/// Arguments of `snp verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The report, 1184 bytes.
    #[arg(long, value_name = "F")]
    pub report: PathBuf,
    /// The VCEK that signed it, DER or PEM.
    #[arg(
        long,
        value_name = "F",
        required_unless_present = "vlek",
        conflicts_with = "vlek"
    )]
    pub vcek: Option<PathBuf>,
    /// The VLEK that signed it, DER or PEM.
    #[arg(long, value_name = "F")]
    pub vlek: Option<PathBuf>,
    /// ASK or ASVK and ARK, DER or PEM, in one file or several; AMD's own ASKs and ARKs are built in.
    #[arg(long, value_name = "F")]
    pub chain: Vec<PathBuf>,
    /// What REPORT_DATA must be, 64 bytes; without it freshness is not checked, and the result says so.
    #[arg(long, value_name = "HEX")]
    pub report_data: Option<String>,
    /// An allowed MEASUREMENT, 48 bytes; may be given several times.
    #[arg(long, value_name = "HEX")]
    pub measurement: Vec<String>,
    /// What HOST_DATA must be, 32 bytes.
    #[arg(long, value_name = "HEX")]
    pub host_data: Option<String>,
    /// What the chain and the guest are judged by.
    #[command(flatten)]
    pub rules: Rules,
}

/// What chains and guests are judged by, for each command that reads a report.
#[derive(Debug, Args)]
pub struct Rules {
    /// AMD's revocation list; the ASK or ASVK must have a current answer in it.
    #[arg(long, value_name = "F")]
    pub crl: Option<PathBuf>,
    /// When the certificates must be valid; now, if it is not given.
    #[arg(long, value_name = "RFC3339")]
    pub at: Option<String>,
    /// Least reported, committed, launch and current TCB: bl=N,tee=N,snp=N,ucode=N, and fmc=N for Turin.
    #[arg(long, value_name = "SPEC")]
    pub tcb_floor: Option<String>,
    /// Accept guests the host may read and change.
    #[arg(long)]
    pub allow_debug: bool,
    /// Accept guests a migration agent may move.
    #[arg(long)]
    pub allow_migration: bool,
    /// Accept reports of a VCEK that hide the chip's identifier.
    #[arg(long)]
    pub allow_masked_chip_id: bool,
    /// The privilege level that must have asked for the report; otherwise it is shown and not judged.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub vmpl: Option<u8>,
    /// Trust this root instead of AMD's: for test networks.
    #[arg(long, value_name = "F")]
    pub test_ark: Option<PathBuf>,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<Finding> {
    let Command::Verify(arguments) = command;
    arguments.run()
}

impl Verify {
    fn run(&self) -> Result<Finding> {
        let report = input::file(&self.report)?;
        let (kind, leaf) = self.leaf()?;
        let policy = self.policy(kind)?;
        let anchors = self.rules.anchors()?;
        let mut checks = Checks::new(Mode::Explain);
        let chain = Chain::read(
            &mut checks,
            kind,
            leaf,
            &self.chain,
            anchors.test_ark.as_deref(),
        )?;
        let authentic = match &chain {
            Some(chain) => anchors.authenticate(&mut checks, &report, chain.certificates())?,
            None => None,
        };
        let appraised = match &authentic {
            Some(authentic) => policy::appraise(&mut checks, authentic, &policy)?,
            None => None,
        };
        let fresh = self.report_data.is_some() && appraised.is_some();
        let claims = claims::report(&report, authentic.as_ref(), appraised.as_ref(), fresh);
        Ok(Finding::new(checks, claims))
    }

    fn leaf(&self) -> Result<(KeyKind, &Path)> {
        match (&self.vcek, &self.vlek) {
            (Some(vcek), None) => Ok((KeyKind::Vcek, vcek)),
            (None, Some(vlek)) => Ok((KeyKind::Vlek, vlek)),
            _ => Err(anyhow!("give exactly one of --vcek and --vlek")),
        }
    }

    fn policy(&self, kind: KeyKind) -> Result<SnpPolicy> {
        let measurements: Vec<_> = self
            .measurement
            .iter()
            .map(|text| fixed("--measurement", text))
            .collect::<Result<_>>()?;
        Ok(SnpPolicy {
            report_data: expect("--report-data", self.report_data.as_deref())?,
            measurements: match measurements.as_slice() {
                [] => Expect::Unchecked,
                _ => Expect::Is(measurements),
            },
            host_data: expect("--host-data", self.host_data.as_deref())?,
            key_kinds: vec![kind],
            ..self.rules.policy()?
        })
    }
}

/// Exactly `N` bytes of hexadecimal.
fn fixed<const N: usize>(what: &str, text: &str) -> Result<[u8; N]> {
    let bytes = input::hex(what, text)?;
    let size = bytes.len();
    let fixed = bytes.try_into();
    fixed.map_err(|_| anyhow!("{what}: expected {N} bytes, got {size}"))
}

fn expect<const N: usize>(what: &str, text: Option<&str>) -> Result<Expect<[u8; N]>> {
    Ok(match text {
        Some(text) => Expect::Is(fixed(what, text)?),
        None => Expect::Unchecked,
    })
}

impl Rules {
    /// What is checked whenever nothing else is said: no debugging, no migration, a chip that is named.
    pub(super) fn policy(&self) -> Result<SnpPolicy> {
        Ok(SnpPolicy {
            report_data: Expect::Unchecked,
            measurements: Expect::Unchecked,
            host_data: Expect::Unchecked,
            family_id: Expect::Unchecked,
            image_id: Expect::Unchecked,
            id_keys: Expect::Unchecked,
            author_keys: Expect::Unchecked,
            guest_svn_min: 0,
            vmpl: self.vmpl.map_or(Expect::Unchecked, Expect::Is),
            debug_allowed: self.allow_debug,
            migration_allowed: self.allow_migration,
            smt_allowed: true,
            single_socket_required: false,
            abi_min: Abi { major: 0, minor: 0 },
            platform_required: 0,
            key_kinds: vec![KeyKind::Vcek],
            masked_chip_id_allowed: self.allow_masked_chip_id,
            tcb_floors: self.tcb_floors()?,
            launch_mitigations: 0,
            current_mitigations: 0,
            generations: GENERATIONS.to_vec(),
            tier_min: 0,
        })
    }

    /// A floor with `fmc` is one for Turin, a floor without for the others: another product has none.
    fn tcb_floors(&self) -> Result<Expect<BTreeMap<Product, Tcb>>> {
        let Some(text) = &self.tcb_floor else {
            return Ok(Expect::Unchecked);
        };
        let floor: Tcb = text.parse().context("--tcb-floor")?;
        let products: &[Product] = match floor.fmc {
            Some(_) => &[Product::Turin],
            None => &[Product::Milan, Product::Genoa],
        };
        Ok(Expect::Is(
            products.iter().map(|product| (*product, floor)).collect(),
        ))
    }

    pub(super) fn anchors(&self) -> Result<Anchors> {
        let test_ark = self.test_ark.as_deref().map(test_ark).transpose()?;
        Ok(Anchors {
            roots: match &test_ark {
                Some((roots, _)) => roots.clone(),
                None => SnpRoots::amd(),
            },
            test_ark: test_ark.map(|(_, der)| der),
            at: input::time(self.at.as_deref())?,
            crl: self.crl.as_deref().map(input::file).transpose()?,
        })
    }
}

/// The product is the one its own name says: whoever trusts a test root decides for what.
pub(super) fn test_ark(path: &Path) -> Result<(SnpRoots, Vec<u8>)> {
    let list = chain::certificates_in(&input::file(path)?).map_err(|e| anyhow!("{e}"));
    let list = list.with_context(|| path.display().to_string())?;
    let [der] = <[Vec<u8>; 1]>::try_from(list)
        .map_err(|list| anyhow!("--test-ark: expected one certificate, got {}", list.len()))?;
    let certificate = Certificate::parse(&der).context("--test-ark")?;
    let common_name = name::attribute(certificate.subject, name::COMMON_NAME)?.unwrap_or_default();
    let product = common_name
        .strip_prefix("ARK-")
        .and_then(Product::from_name);
    let product = product.with_context(|| {
        format!("--test-ark: expected a name as ARK-Genoa, got {common_name:?}")
    })?;
    let roots = SnpRoots::test([(product, certificate.spki)]);
    Ok((roots, der))
}

/// Roots, time and revocation of one run.
pub(super) struct Anchors {
    pub(super) roots: SnpRoots,
    pub(super) test_ark: Option<Vec<u8>>,
    at: UnixMs,
    crl: Option<Vec<u8>>,
}

impl Anchors {
    /// Hands `judge` what chains are judged by.
    pub(super) fn trust<T>(&self, judge: impl FnOnce(&Trust<'_>) -> T) -> T {
        let cache = &ChainCache::new();
        let list = self.crl.as_deref().map(|bytes| ArkList { bytes, cache });
        judge(&Trust {
            roots: &self.roots,
            at: self.at,
            revocation: Revocation {
                required: list.is_some(),
                list: list.as_ref().map(|list| list as &dyn RevocationList),
            },
            cache,
        })
    }

    fn authenticate(
        &self,
        checks: &mut Checks,
        report: &[u8],
        certificates: Certificates<'_>,
    ) -> Result<Option<AuthenticReport>> {
        let authentic =
            self.trust(|trust| verify::authenticate(checks, report, certificates, trust));
        Ok(authentic?)
    }
}
