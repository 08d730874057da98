//! AMD's certificates for evidence that does not bring them: from the cache, or from AMD.
//!
//! Asked for only when the quote is authentic already and the class wants a chassis proof, so that strangers cannot
//! make this HyperNode ask. What is found is kept beside the evidence: an auditor appraises with the same certificates.

use crate::vcek::{VcekError, VcekKey, Vceks};
use assay_appraisal::appraise::{Appraisal, AuthenticatedEvidence};
use assay_appraisal::checks::Outcome;
use assay_appraisal::snp::Product;
use assay_appraisal::snp::cert_table::{CertTable, EntryKind};
use assay_appraisal::snp::endorsement::Endorsement;
use assay_appraisal::snp::report::{self, KeyKind, Report};
use assay_appraisal::x509::Crl;
use assay_protocol::class::HardwareClass;
use assay_protocol::evidence::{AmdChain, SnpEvidence};
use assay_protocol::ids::{ChipId, UnixMs};
use assay_protocol::item::Blob;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::time::Duration;

/// Longest wait for AMD's service and for the turn there.
const WAIT: Duration = Duration::from_secs(25);

/// What evidence of a chassis is judged by, besides itself.
#[derive(Default)]
pub struct Collateral {
    /// Certificates that the evidence lacks.
    pub chain: Chain,
    /// AMD's revocation list, DER: of the report's product, and current.
    pub crl: Option<Vec<u8>>,
}

/// What is known of the certificates.
#[derive(Default)]
pub enum Chain {
    /// The evidence brings its own, or needs none.
    #[default]
    NotNeeded,
    /// Nobody here has them and no service is configured: the node should have sent them.
    Unknown,
    /// Found.
    Found(AmdChain),
}

/// AMD's service, or what is kept of it, did not give what is needed: the verifier's trouble, not the node's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificates of AMD: {0}")]
pub struct Trouble(String);

/// Finds what the evidence lacks, and the revocation list that is in force `at` that time.
pub async fn collateral(
    vceks: &Vceks,
    class: &HardwareClass,
    evidence: &AuthenticatedEvidence,
    at: UnixMs,
) -> Result<Collateral, Trouble> {
    let wanted = class.attestation.chassis.is_some();
    let Some(snp) = evidence.vendor().snp.as_ref().filter(|_| wanted) else {
        return Ok(Collateral::default());
    };
    let search = async {
        let chain = match lacking(snp) {
            None => Chain::NotNeeded,
            Some((product, key)) => find(vceks, product, &key).await?,
        };
        let crl = match product_of(snp) {
            None => None,
            Some(product) => current(vceks, product, at).await?,
        };
        Ok(Collateral { chain, crl })
    };
    let found = tokio::time::timeout(WAIT, search).await;
    let late = |_| Err(format!("no answer after {} s", WAIT.as_secs()));
    found.unwrap_or_else(late).map_err(Trouble)
}

/// A list that ran out says nothing: to go on without would make whoever hinders an update gain by it.
async fn current(vceks: &Vceks, product: Product, at: UnixMs) -> Result<Option<Vec<u8>>, String> {
    let Some(bytes) = vceks.crl(product).await.map_err(|e| e.to_string())? else {
        return Ok(None);
    };
    let list = Crl::parse(&bytes).map_err(|e| format!("{product}: {e}"))?;
    let validity = list.validity();
    match validity.contains(at) {
        true => Ok(Some(bytes)),
        false => Err(format!(
            "{product}: expected a revocation list of today, got one from {} to {} (Unix seconds)",
            validity.not_before_s, validity.not_after_s
        )),
    }
}

/// By the report or, where it is too old to say, by its certificate.
fn product_of(snp: &SnpEvidence) -> Option<Product> {
    let parsed = report::parse(&snp.report.0).ok()?;
    product(&parsed.report).or_else(|| {
        let vcek = brought(snp)?.get(EntryKind::Vcek)?;
        let leaf = Endorsement::parse(vcek, KeyKind::Vcek).ok()?;
        Some(leaf.product)
    })
}

/// The key to ask for; nothing when the evidence brings all three certificates, or its report names no chip.
fn lacking(snp: &SnpEvidence) -> Option<(Product, VcekKey)> {
    if brought(snp).is_some() {
        return None;
    }
    let parsed = report::parse(&snp.report.0).ok()?;
    let product = product(&parsed.report)?;
    Some((product, key(product, &parsed.report)?))
}

fn brought(snp: &SnpEvidence) -> Option<CertTable<'_>> {
    let table = CertTable::parse(&snp.certificates.0).ok()?;
    let all = [EntryKind::Vcek, EntryKind::Ask, EntryKind::Ark];
    let complete = all.iter().all(|kind| table.get(*kind).is_some());
    complete.then_some(table)
}

/// Reports of version 2 do not say what CPU they are of.
fn product(report: &Report) -> Option<Product> {
    let cpuid = report.cpuid?;
    Product::from_cpuid(cpuid.family, cpuid.model)
}

fn key(product: Product, report: &Report) -> Option<VcekKey> {
    let tcb = u64::from_le_bytes(report.reported_tcb);
    VcekKey::new(product, ChipId(report.chip_id), tcb).ok()
}

async fn find(vceks: &Vceks, product: Product, key: &VcekKey) -> Result<Chain, String> {
    let vcek = vceks.vcek(key).await.map_err(|e| e.to_string())?;
    let authorities = vceks.chain(product).await.map_err(|e| e.to_string())?;
    let (Some(vcek), Some(pem)) = (vcek, authorities) else {
        return Ok(Chain::Unknown);
    };
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match list.as_deref() {
        Ok([ask, ark]) => Ok(Chain::Found(AmdChain {
            vcek: Blob(vcek),
            ask: Blob(ask.to_vec()),
            ark: Blob(ark.to_vec()),
        })),
        Ok(list) => Err(format!(
            "{product}: {} certificates, expected 2",
            list.len()
        )),
        Err(error) => Err(format!("{product}: {error}")),
    }
}

/// Keeps what verified, and forgets what did not. An error is told by the caller's log and costs nothing else.
pub fn settle(
    vceks: &Vceks,
    evidence: &AuthenticatedEvidence,
    chain: &Chain,
    appraisal: &Appraisal,
) -> Result<(), VcekError> {
    let Some(snp) = &evidence.vendor().snp else {
        return Ok(());
    };
    let Ok(parsed) = report::parse(&snp.report.0) else {
        return Ok(());
    };
    let key = product(&parsed.report).and_then(|product| key(product, &parsed.report));
    let Some(key) = key else {
        return Ok(());
    };
    let certified = appraisal
        .checks
        .iter()
        .all(|check| !check.name.starts_with("snp-") || check.outcome == Outcome::Pass);
    match chain {
        Chain::Found(_) if !certified => vceks.forget(&key),
        Chain::NotNeeded if certified && appraisal.shown.chip.is_some() => {
            let vcek = brought(snp).and_then(|table| table.get(EntryKind::Vcek));
            vcek.map_or(Ok(()), |vcek| vceks.keep(&key, vcek))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vcek::KdsSection;
    use assay_appraisal::appraise::{
        self, Configurations, Endorsements, Expectation, ImaBefore, Policy,
    };
    use assay_appraisal::checks::Mode;
    use assay_appraisal::snp::ChainCache;
    use assay_appraisal::snp::SnpRoots;
    use assay_appraisal::tpm::ak::AttestationKey;
    use assay_protocol::class::{
        AttestationPolicy, ChassisPolicy, ImagePolicy, PcrReference, TcbFloor, ValidClass,
    };
    use assay_protocol::cose::Signer as _;
    use assay_protocol::ids::{
        Address, Digest384, HyperNodeId, NetworkId, NodeId, Nonce, SessionKey,
    };
    use assay_protocol::trust::{RootKind, TrustBundle};
    use assay_testbed::SoftNode;
    use assay_testbed::boot_log::COMMAND_LINE;
    use assay_testbed::snp::{self, Authority, Certificates, Chip, CrlSpec, cert_table};

    const HYPERNODE: HyperNodeId = HyperNodeId([4; 32]);
    const NONCE: Nonce = Nonce([5; 32]);
    const NETWORK: NetworkId = NetworkId([6; 32]);
    const PROBE: [u8; 48] = [0x77; 48];
    /// 2026-11-01.
    const AT: UnixMs = UnixMs(1_793_491_200_000);

    /// A Genoa machine whose evidence has this certificate table.
    struct Machine {
        node: SoftNode,
        vcek: Vec<u8>,
        key: VcekKey,
        class: HardwareClass,
    }

    impl Machine {
        fn new(with_certificates: bool) -> Self {
            let chip = Chip::new(snp::Product::Genoa);
            let (vcek, id) = (chip.vcek(), ChipId(chip.chip_id));
            let table = match with_certificates {
                true => cert_table(&Certificates::of(snp::Product::Genoa), &vcek),
                false => vec![0; 24],
            };
            let tcb = u64::from_le_bytes(snp::Product::Genoa.tcb());
            let mut node = SoftNode::new(NodeId([3; 32]), (NETWORK, Address([2; 20])));
            node.chip_ids = Some(vec![id]);
            node.snp = Some(Box::new(move |report_data| {
                let report = chip.report(3).with(0x50, &report_data).with(0x90, &PROBE);
                SnpEvidence {
                    report: Blob(chip.sign(report)),
                    certificates: Blob(table.clone()),
                }
            }));
            let class = class(&node);
            let key = VcekKey::new(Product::Genoa, id, tcb).unwrap();
            Self {
                node,
                vcek,
                key,
                class,
            }
        }

        fn authentic(&self) -> AuthenticatedEvidence {
            let ak = AttestationKey::from_bytes(&self.node.ak.public()).unwrap();
            let expected = Expectation {
                node: self.node.node,
                hypernode: HYPERNODE,
                nonce: NONCE,
                session_key: SessionKey(self.node.session.public_key()),
                ak: &ak,
                last_clock: None,
            };
            let evidence = self.node.evidence(&[(HYPERNODE, NONCE)]);
            appraise::authenticate(&evidence, &expected, Mode::Verify).unwrap()
        }

        fn appraise(&self, evidence: &AuthenticatedEvidence, collateral: &Collateral) -> Appraisal {
            let spki = Authority::shared().ark.spki();
            let chain = match &collateral.chain {
                Chain::Found(chain) => Some([&chain.vcek.0[..], &chain.ask.0, &chain.ark.0]),
                _ => None,
            };
            let trust = TrustBundle {
                allowed_kinds: vec![RootKind::Test],
                roots: Vec::new(),
            };
            let policy = Policy {
                network: NETWORK,
                class: &ValidClass::new(self.class.clone()).unwrap(),
                root_kind: Some(RootKind::Test),
                firmware_min: 0,
                trust: &trust,
                configurations: &Configurations::new(),
                endorsements: Endorsements {
                    at: AT,
                    roots: &SnpRoots::test([(Product::Genoa, spki.as_slice())]),
                    chain,
                    crl: collateral.crl.as_deref(),
                    cache: &ChainCache::new(),
                },
                ima_before: ImaBefore::Unknown,
            };
            appraise::appraise(evidence, &policy)
        }
    }

    fn class(node: &SoftNode) -> HardwareClass {
        let mut class = assay_hw_profiles::parse(assay_hw_profiles::DEMO_CLASS)
            .unwrap()
            .into_class();
        let pcrs = node.pcrs();
        let pinned = |index: usize| PcrReference {
            index: pcrs[index].0,
            allowed: vec![pcrs[index].1],
        };
        let floor = TcbFloor {
            product: "Genoa".into(),
            fmc: None,
            bootloader: 0,
            tee: 0,
            snp: 0,
            microcode: 0,
        };
        class.attestation = AttestationPolicy {
            image: Some(ImagePolicy {
                command_lines: vec![COMMAND_LINE.into()],
            }),
            chassis: Some(ChassisPolicy {
                measurements: vec![Digest384(PROBE)],
                tcb_min: vec![floor],
            }),
            ..AttestationPolicy::of_pcrs(3, vec![pinned(4), pinned(11)])
        };
        class
    }

    fn no_service(dir: &tempfile::TempDir) -> Vceks {
        Vceks::open(dir.path(), &KdsSection::default()).unwrap()
    }

    async fn search(
        vceks: &Vceks,
        machine: &Machine,
        evidence: &AuthenticatedEvidence,
    ) -> Collateral {
        collateral(vceks, &machine.class, evidence, AT)
            .await
            .unwrap()
    }

    fn keep_list(dir: &tempfile::TempDir, list: &[u8]) {
        std::fs::write(dir.path().join("Genoa-crl.der"), list).unwrap();
    }

    /// As AMD serves it: ASK, then ARK.
    fn keep_authorities(dir: &tempfile::TempDir) {
        let certificates = Certificates::of(snp::Product::Genoa);
        let pem = |der: &[u8]| {
            let encoded = assay_log::base64::encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n")
        };
        let text = [pem(&certificates.ask), pem(&certificates.ark)].concat();
        std::fs::write(dir.path().join("Genoa-chain.pem"), text).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn evidence_that_brings_its_certificates_needs_nothing_and_they_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (vceks, machine) = (no_service(&dir), Machine::new(true));
        let evidence = machine.authentic();
        let found = search(&vceks, &machine, &evidence).await;
        assert!(matches!(found.chain, Chain::NotNeeded) && found.crl.is_none());
        let appraisal = machine.appraise(&evidence, &found);
        assert_eq!(appraisal.tier, 3);
        settle(&vceks, &evidence, &found.chain, &appraisal).unwrap();
        let kept = vceks.vcek(&machine.key).await.unwrap();
        assert_eq!(kept, Some(machine.vcek));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn certificates_that_the_evidence_lacks_come_from_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        keep_authorities(&dir);
        let (vceks, machine) = (no_service(&dir), Machine::new(false));
        let evidence = machine.authentic();
        let unknown = search(&vceks, &machine, &evidence).await;
        assert!(matches!(unknown.chain, Chain::Unknown));
        assert_eq!(machine.appraise(&evidence, &unknown).tier, 2);
        vceks.keep(&machine.key, &machine.vcek).unwrap();
        let found = search(&vceks, &machine, &evidence).await;
        let appraisal = machine.appraise(&evidence, &found);
        assert_eq!(appraisal.tier, 3);
        settle(&vceks, &evidence, &found.chain, &appraisal).unwrap();
        assert!(vceks.vcek(&machine.key).await.unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_kept_certificate_that_does_not_verify_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        keep_authorities(&dir);
        let (vceks, machine) = (no_service(&dir), Machine::new(false));
        let another = Machine::new(false).vcek;
        vceks.keep(&machine.key, &another).unwrap();
        let evidence = machine.authentic();
        let found = search(&vceks, &machine, &evidence).await;
        let appraisal = machine.appraise(&evidence, &found);
        assert_eq!(appraisal.tier, 2);
        settle(&vceks, &evidence, &found.chain, &appraisal).unwrap();
        assert_eq!(vceks.vcek(&machine.key).await.unwrap(), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_class_without_a_chassis_asks_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (vceks, mut machine) = (no_service(&dir), Machine::new(false));
        machine.class.attestation.chassis = None;
        let evidence = machine.authentic();
        let found = search(&vceks, &machine, &evidence).await;
        assert!(matches!(found.chain, Chain::NotNeeded) && found.crl.is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_current_revocation_list_is_asked_and_one_of_another_time_is_our_own_trouble() {
        let dir = tempfile::tempdir().unwrap();
        let (vceks, machine) = (no_service(&dir), Machine::new(true));
        let evidence = machine.authentic();
        let shared = Authority::shared();
        let spec = |revoked| CrlSpec::of(snp::Product::Genoa, revoked);
        let good = spec(Vec::new()).sign(&shared.ark);
        keep_list(&dir, &good);
        let found = search(&vceks, &machine, &evidence).await;
        assert_eq!(found.crl, Some(good));
        assert_eq!(machine.appraise(&evidence, &found).tier, 3);
        let serial = shared.ask_spec(snp::Product::Genoa).serial;
        keep_list(&dir, &spec(vec![serial]).sign(&shared.ark));
        let found = search(&vceks, &machine, &evidence).await;
        assert_eq!(machine.appraise(&evidence, &found).tier, 2);
        let mut old = spec(Vec::new());
        old.next_update = "250101000000Z".into();
        let no_list = [&[0x30, 0x82, 1, 0][..], &[0; 256]].concat();
        for bad in [old.sign(&shared.ark), no_list] {
            keep_list(&dir, &bad);
            let trouble = collateral(&vceks, &machine.class, &evidence, AT).await;
            let trouble = trouble.err().unwrap().to_string();
            assert!(
                trouble.starts_with("certificates of AMD: Genoa: "),
                "{trouble}"
            );
        }
    }

    /// Version 2 does not say what CPU it is of; the certificate does.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_report_of_version_2_has_the_list_of_its_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::new(true);
        let (chip, table) = (
            Chip::new(snp::Product::Genoa),
            Certificates::of(snp::Product::Genoa),
        );
        let table = cert_table(&table, &chip.vcek());
        machine.node.snp = Some(Box::new(move |report_data| SnpEvidence {
            report: Blob(chip.sign(chip.report(2).with(0x50, &report_data))),
            certificates: Blob(table.clone()),
        }));
        let list = CrlSpec::of(snp::Product::Genoa, Vec::new()).sign(&Authority::shared().ark);
        keep_list(&dir, &list);
        let found = search(&no_service(&dir), &machine, &machine.authentic()).await;
        assert_eq!(found.crl, Some(list));
    }
}
