//! A node in software: honest by default, and wrong in one way at a time.

mod tiers;

use super::*;
use crate::checks::Outcome;
use crate::eventlog::tests::LogBuilder;
use crate::eventlog::{self, EV_IPL, EV_SEPARATOR};
use crate::snp::ChainCache;
use crate::snp::SnpRoots;
use crate::testing::SessionSigner;
use crate::tpm::attest::{Attest as QuoteBody, PcrSelection, tests::encode};
use crate::tpm::public::tests::{AK_ATTRIBUTES, ecc_public};
use crate::tpm::signature::tests::SoftAk;
use assay_protocol::answers::ChainLink;
use assay_protocol::class::{AttestationPolicy, HardwareClass, PcrReference, ValidClass};
use assay_protocol::cose::Signer;
use assay_protocol::evidence::TpmClock;
use assay_protocol::hash::digest;
use assay_protocol::ids::{Address, Beacon, Digest, Epoch, NetworkId, UnixMs};
use assay_protocol::inventory::{self, Cpu, Inventory};
use assay_protocol::item::{Blob, Item as _};
use assay_protocol::trust::{RootKind, TrustBundle};

const NETWORK: NetworkId = NetworkId([0x11; 32]);
const PROVIDER: Address = Address([0x22; 20]);
const NODE: NodeId = NodeId([3; 32]);
const HYPERNODE: HyperNodeId = HyperNodeId([4; 32]);
const NONCE: Nonce = Nonce([5; 32]);
const FIRMWARE: u64 = 0x0001_0002_0003_0004;
const CLOCK: ClockInfo = ClockInfo {
    clock_ms: 1_000_000,
    reset_count: 7,
    restart_count: 1,
    safe: true,
};

fn config(network: NetworkId, provider: Address) -> Vec<u8> {
    format!(
        "network = \"{network}\"\nprovider = \"{provider}\"\nroster = [\"{}\"]\n\
         listen = \"127.0.0.1:0\"\nstate_dir = \"/s\"\n[tpm]\ntcti = \"device:/dev/tpmrm0\"\n\
         event_log = \"/l\"\n",
        "33".repeat(32)
    )
    .into_bytes()
}

struct Node {
    ak: SoftAk,
    ak_public: Vec<u8>,
    log: Vec<u8>,
    /// PCRs the TPM really has, when they differ from what the log says.
    pcrs: Vec<(u8, Digest)>,
    claims: Claims,
    clock: ClockInfo,
    /// Qualifying data of the quote, when it differs from the claims'.
    qualifying: Option<[u8; 32]>,
    class: HardwareClass,
    kind: RootKind,
    firmware_min: u64,
    trust: TrustBundle,
    last_clock: Option<ClockInfo>,
    inventory: Option<Vec<u8>>,
}

fn log(config: &[u8]) -> Vec<u8> {
    let firmware = (0..8).fold(LogBuilder::new(), |log, pcr| {
        log.event(pcr, EV_SEPARATOR, &[0; 4])
    });
    firmware
        .event(12, EV_IPL, b"quiet splash")
        .event(12, EV_IPL, config)
        .0
}

fn replay(log: &[u8]) -> Vec<(u8, Digest)> {
    let log = eventlog::parse(log).unwrap();
    let values = log.replay(HashAlg::Sha256).unwrap();
    let value = |pcr: u8| {
        values
            .get(&u32::from(pcr))
            .cloned()
            .unwrap_or_else(|| log.initial(pcr.into(), HashAlg::Sha256))
    };
    (0..15)
        .map(|pcr| (pcr, Digest(value(pcr).try_into().unwrap())))
        .collect()
}

fn class(pcrs: &[(u8, Digest)]) -> HardwareClass {
    let pinned = pcrs.iter().take(8).map(|(index, value)| PcrReference {
        index: *index,
        allowed: vec![*value],
    });
    assay_testbed::soft_node::class(AttestationPolicy::of_pcrs(1, pinned.collect()))
}

impl Node {
    fn new() -> Self {
        let ak = SoftAk::generate();
        let ak_public = ecc_public(AK_ATTRIBUTES, &ak.public());
        let ak_name = AttestationKey::from_bytes(&ak_public).unwrap().name();
        let log = log(&config(NETWORK, PROVIDER));
        let pcrs = replay(&log);
        let claims = Claims {
            nonces: vec![(HyperNodeId([1; 32]), Nonce([1; 32])), (HYPERNODE, NONCE)],
            node: NODE,
            uptime_s: 4,
            software: ("assay-agent".into(), "0.1.0".into()),
            freshness: (Epoch(5), Beacon([6; 32])),
            link: ChainLink {
                sequence: 0,
                previous: Digest([0; 32]),
            },
            counters: Vec::new(),
            inventory: None,
            clock: TpmClock {
                clock_ms: 999_000,
                reset_count: 7,
                restart_count: 1,
                safe: true,
            },
            session_key: SessionKey(SessionSigner::new(1).public_key()),
            ak_name,
            owner: (NETWORK, PROVIDER),
            event_log: digest(&[&log]),
            at: UnixMs(15_000),
            snp_report: None,
            ima: None,
            chip_ids: None,
        };
        Self {
            class: class(&pcrs),
            trust: TrustBundle {
                allowed_kinds: vec![RootKind::Test],
                roots: Vec::new(),
            },
            kind: RootKind::Test,
            firmware_min: 0,
            clock: CLOCK,
            qualifying: None,
            last_clock: None,
            ak,
            ak_public,
            log,
            pcrs,
            claims,
            inventory: None,
        }
    }

    /// Boots with another log: TPM and claims follow it.
    fn boot(&mut self, log: Vec<u8>) {
        self.pcrs = replay(&log);
        self.claims.event_log = digest(&[&log]);
        self.log = log;
    }

    fn evidence(&self) -> Vec<u8> {
        let values: Vec<&[u8]> = self.pcrs.iter().map(|(_, value)| &value.0[..]).collect();
        let covered = evidence::qualifying_data(&evidence::claims_bytes(&self.claims));
        let attest = encode(&QuoteBody {
            qualified_signer: vec![0, 11],
            extra_data: self.qualifying.unwrap_or(covered).to_vec(),
            clock: self.clock,
            firmware_version: FIRMWARE,
            selections: vec![PcrSelection {
                bank: HashAlg::Sha256,
                mask: 0x7fff,
            }],
            pcr_digest: HashAlg::Sha256.digest(&values),
        });
        let vendor = VendorEvidence {
            signature: Blob(self.ak.sign(&attest)),
            attest: Blob(attest),
            ak_public: Blob(self.ak_public.clone()),
            pcrs: self.pcrs.clone(),
            event_log: Blob(self.log.clone()),
            ima_log: None,
            snp: None,
            inventory: self.inventory.clone().map(Blob),
        };
        evidence::seal(self.claims.clone(), &vendor, &SessionSigner::new(1))
    }

    /// Carries this inventory, and names it.
    fn claimed(&mut self, inventory: Vec<u8>) {
        self.claims.inventory = Some(digest(&[&inventory]));
        self.inventory = Some(inventory);
    }

    fn verify_bytes(&self, bytes: &[u8], mode: Mode) -> Result<Appraisal, Refused> {
        let ak = AttestationKey::from_bytes(&self.ak_public).unwrap();
        self.verify_under(bytes, &ak, mode)
    }

    fn verify_under(
        &self,
        bytes: &[u8],
        ak: &AttestationKey,
        mode: Mode,
    ) -> Result<Appraisal, Refused> {
        let policy = Policy {
            network: NETWORK,
            class: &ValidClass::unvalidated(self.class.clone()),
            root_kind: Some(self.kind),
            firmware_min: self.firmware_min,
            trust: &self.trust,
            configurations: &Configurations::new(),
            endorsements: Endorsements {
                at: UnixMs(1_793_491_200_000),
                roots: &SnpRoots::amd(),
                chain: None,
                crl: None,
                cache: &ChainCache::new(),
            },
            ima_before: ImaBefore::Unknown,
        };
        verify(bytes, &self.expected(ak), &policy, mode)
    }

    fn expected<'a>(&'a self, ak: &'a AttestationKey) -> Expectation<'a> {
        Expectation {
            node: NODE,
            hypernode: HYPERNODE,
            nonce: NONCE,
            session_key: SessionKey(SessionSigner::new(1).public_key()),
            ak,
            last_clock: self.last_clock.as_ref(),
        }
    }

    fn verify(&self) -> Result<Appraisal, Refused> {
        self.verify_bytes(&self.evidence(), Mode::Verify)
    }

    /// The check that refused the evidence.
    fn refused(&self) -> String {
        let refused = self.verify().unwrap_err();
        assert_eq!(
            refused
                .checks
                .iter()
                .filter(|c| c.outcome != Outcome::Pass)
                .count(),
            1
        );
        // Explaining goes on after a failure; it must yield no more than verifying does.
        let explained = self.verify_bytes(&self.evidence(), Mode::Explain);
        let name = refused.checks.last().unwrap().name;
        let explained = explained.unwrap_err();
        let mut failed = explained.checks.iter();
        let mut failed = failed.by_ref().filter(|c| c.outcome != Outcome::Pass);
        assert!(failed.any(|check| check.name == name), "{name}");
        name.into()
    }

    /// Names of the checks that failed in an appraisal that yields an identity.
    fn failed(&self) -> (Appraisal, Vec<String>) {
        let appraisal = self.verify().unwrap();
        assert_eq!((appraisal.tier, appraisal.attest), (0, Attest::Fail));
        let failed = appraisal
            .checks
            .iter()
            .filter(|c| c.outcome != Outcome::Pass);
        let names = failed.map(|c| c.name.into()).collect();
        (appraisal, names)
    }
}

const OWNER: Owner = Owner {
    network: NETWORK,
    provider: PROVIDER,
};

#[test]
fn an_honest_node_reaches_tier_1_with_its_owner() {
    let node = Node::new();
    for mode in [Mode::Verify, Mode::Explain] {
        let appraisal = node.verify_bytes(&node.evidence(), mode).unwrap();
        assert_eq!((appraisal.tier, appraisal.attest), (1, Attest::Pass));
        assert_eq!(appraisal.owner, Some(OWNER));
        assert_eq!(
            (appraisal.clock, appraisal.continuity),
            (CLOCK, Continuity::First)
        );
        assert_eq!(appraisal.session_key, node.claims.session_key);
        assert!(
            appraisal
                .checks
                .iter()
                .all(|check| check.outcome == Outcome::Pass)
        );
    }
}

#[test]
fn evidence_of_somebody_else_yields_nothing() {
    let node = Node::new();
    let mut bytes = node.evidence();
    *bytes.last_mut().unwrap() ^= 1;
    let refused = node.verify_bytes(&bytes, Mode::Verify).unwrap_err();
    assert_eq!(
        refused.checks.iter().next().unwrap().name,
        "session-signature"
    );
    let mut other = Node::new();
    other.claims.node = NodeId([9; 32]);
    assert_eq!(other.refused(), "node");
    let mut name = Node::new();
    name.claims.ak_name = AkName([9; 34]);
    assert_eq!(name.refused(), "ak-name");
}

#[test]
fn another_attestation_key_yields_nothing() {
    let (node, other) = (Node::new(), Node::new());
    let enrolled = AttestationKey::from_bytes(&other.ak_public).unwrap();
    let refused = node
        .verify_under(&node.evidence(), &enrolled, Mode::Explain)
        .unwrap_err();
    let failed: Vec<&str> = refused
        .checks
        .iter()
        .filter(|c| c.outcome == Outcome::Fail)
        .map(|c| c.name)
        .collect();
    assert_eq!(failed, ["ak-name", "ak-public", "quote-signature"]);
    assert!(
        refused.to_string().contains("evidence refused: FAIL"),
        "{refused}"
    );
}

#[test]
fn an_enrolled_name_with_another_public_area_yields_nothing() {
    let mut node = Node::new();
    let enrolled = AttestationKey::from_bytes(&node.ak_public).unwrap();
    node.ak_public[7] ^= 1;
    let refused = node
        .verify_under(&node.evidence(), &enrolled, Mode::Verify)
        .unwrap_err();
    assert_eq!(refused.checks.last().unwrap().name, "ak-public");
}

#[test]
fn a_nonce_absent_under_another_id_or_twice_yields_nothing() {
    let mut absent = Node::new();
    absent.claims.nonces.pop();
    assert_eq!(absent.refused(), "nonce");
    let mut foreign = Node::new();
    foreign.claims.nonces[1].0 = HyperNodeId([8; 32]);
    assert_eq!(foreign.refused(), "nonce");
    let mut old = Node::new();
    old.claims.nonces[1].1 = Nonce([8; 32]);
    assert_eq!(old.refused(), "nonce");
    let mut twice = Node::new();
    twice.claims.nonces.push((HYPERNODE, NONCE));
    assert_eq!(twice.refused(), "nonce");
}

#[test]
fn a_quote_over_other_claims_or_pcrs_yields_nothing() {
    let mut replayed = Node::new();
    replayed.qualifying = Some([0; 32]);
    assert_eq!(replayed.refused(), "quote-qualifying-data");
    let mut fewer = Node::new();
    fewer.pcrs.pop();
    assert_eq!(fewer.refused(), "pcr-list");
    let mut twice = Node::new();
    twice.pcrs[1] = twice.pcrs[0];
    assert_eq!(twice.refused(), "pcr-list");
}

#[test]
fn counters_that_go_back_yield_nothing() {
    let mut node = Node::new();
    node.last_clock = Some(ClockInfo {
        reset_count: 8,
        ..CLOCK
    });
    assert_eq!(node.refused(), "tpm-clock");
    node.last_clock = Some(ClockInfo {
        reset_count: 6,
        ..CLOCK
    });
    assert_eq!(node.verify().unwrap().continuity, Continuity::Rebooted);
}

#[test]
fn a_boot_the_class_does_not_allow_keeps_identity_and_owner() {
    let mut node = Node::new();
    let log = log(&config(NETWORK, PROVIDER));
    let more = LogBuilder(log).event(4, EV_SEPARATOR, b"another loader").0;
    node.boot(more);
    let (appraisal, failed) = node.failed();
    assert_eq!(failed, ["reference-pcr-4"]);
    assert_eq!(appraisal.owner, Some(OWNER));
    assert_eq!(appraisal.node, NODE);
}

#[test]
fn a_log_that_does_not_explain_a_pcr_fails_by_its_number() {
    let mut node = Node::new();
    node.pcrs[9].1 = Digest([1; 32]);
    let (appraisal, failed) = node.failed();
    assert_eq!(failed, ["event-log-pcr-9"]);
    assert_eq!(appraisal.owner, Some(OWNER));
}

#[test]
fn an_owner_needs_a_configuration_that_pcr_12_proves() {
    let mut unexplained = Node::new();
    unexplained.pcrs[12].1 = Digest([1; 32]);
    let (appraisal, failed) = unexplained.failed();
    assert_eq!(failed, ["event-log-pcr-12", "configuration"]);
    assert_eq!(appraisal.owner, None);
    let mut forged = Node::new();
    let honest = log(&config(NETWORK, Address([0x55; 20])));
    forged.boot(honest);
    let at = forged.log.len() - config(NETWORK, PROVIDER).len();
    forged.log.splice(at.., config(NETWORK, PROVIDER));
    forged.claims.event_log = digest(&[&forged.log]);
    let (appraisal, failed) = forged.failed();
    assert_eq!(
        (failed, appraisal.owner),
        (vec!["configuration".to_owned()], None)
    );
}

#[test]
fn two_configurations_leave_the_owner_open() {
    let mut node = Node::new();
    let second = config(NETWORK, Address([0x55; 20]));
    node.boot(LogBuilder(node.log.clone()).event(12, EV_IPL, &second).0);
    let (appraisal, failed) = node.failed();
    assert_eq!(
        (failed, appraisal.owner),
        (vec!["configuration".to_owned()], None)
    );
}

#[test]
fn an_owner_claim_that_the_configuration_does_not_carry_fails() {
    let mut claim = Node::new();
    claim.claims.owner.1 = Address([0x55; 20]);
    let (appraisal, failed) = claim.failed();
    assert_eq!(
        (failed, appraisal.owner),
        (vec!["owner-claim-provider".to_owned()], None)
    );
    let mut claim = Node::new();
    claim.claims.owner.0 = NetworkId([0x55; 32]);
    assert_eq!(claim.failed().1, ["owner-claim-network"]);
    let mut network = Node::new();
    network.boot(log(&config(NetworkId([0x55; 32]), PROVIDER)));
    network.claims.owner.0 = NetworkId([0x55; 32]);
    let (appraisal, failed) = network.failed();
    assert_eq!(
        (failed, appraisal.owner),
        (vec!["owner-network".to_owned()], None)
    );
}

#[test]
fn another_log_than_the_claimed_one_and_garbage_fail() {
    let mut node = Node::new();
    node.claims.event_log = Digest([0; 32]);
    assert_eq!(node.failed().1, ["event-log-digest"]);
    let mut garbage = Node::new();
    garbage.log = vec![0; 100];
    garbage.claims.event_log = digest(&[&garbage.log]);
    let (appraisal, failed) = garbage.failed();
    assert_eq!(
        (failed, appraisal.owner),
        (vec!["event-log".to_owned()], None)
    );
}

fn inventory() -> Inventory {
    Inventory {
        schema: inventory::SCHEMA,
        cpu: Cpu {
            model: "CPU".into(),
            sockets: 1,
            cores: 2,
            threads: 4,
            microcode: String::new(),
        },
        memory_bytes: 1 << 34,
        disks: Vec::new(),
        nics: Vec::new(),
    }
}

/// Whatever is claimed of the machine, tier and verdict stay: what cannot be read yields nothing.
#[test]
fn an_inventory_is_the_one_claimed_and_can_be_read_or_the_evidence_yields_nothing() {
    let without = Node::new().verify().unwrap();
    let mut node = Node::new();
    node.claimed(inventory().encode());
    let with = node.verify().unwrap();
    assert_eq!((with.tier, with.attest), (without.tier, without.attest));
    let ak = AttestationKey::from_bytes(&node.ak_public).unwrap();
    let expected = node.expected(&ak);
    let authentic = authenticate(&node.evidence(), &expected, Mode::Verify).unwrap();
    assert_eq!(authentic.inventory(), Some(&inventory()));
    node.claims.inventory = Some(Digest([0; 32]));
    assert_eq!(node.refused(), "inventory-digest");
    node.claims.inventory = None;
    assert_eq!(node.refused(), "inventory-digest");
    let mut missing = Node::new();
    missing.claims.inventory = Some(Digest([0; 32]));
    assert_eq!(missing.refused(), "inventory-digest");
    let mut unknown = Node::new();
    unknown.claimed(
        Inventory {
            schema: 2,
            ..inventory()
        }
        .encode(),
    );
    assert_eq!(unknown.refused(), "inventory");
    unknown.claimed(b"no CBOR".to_vec());
    assert_eq!(unknown.refused(), "inventory");
}

#[test]
fn claimed_counters_must_not_contradict_the_quote() {
    let mut node = Node::new();
    node.claims.clock.reset_count = 6;
    assert_eq!(node.failed().1, ["claimed-counters"]);
}

#[test]
fn root_kinds_and_classes_bound_the_tier() {
    let mut kind = Node::new();
    kind.trust.allowed_kinds = vec![RootKind::Soldered];
    assert_eq!(kind.failed().1, ["root-kind"]);
    let mut none = Node::new();
    none.class.attestation.pcrs.clear();
    assert_eq!(none.failed().1, ["reference-values"]);
    let mut unquoted = Node::new();
    unquoted.class.attestation.pcrs[0].index = 20;
    let undecided = unquoted.verify().unwrap();
    assert_eq!((undecided.tier, undecided.attest), (0, Attest::Undecided));
    assert_eq!(tiers::not_passed(&undecided), ["reference-pcr-20"]);
}

#[test]
fn the_quotes_firmware_version_has_a_floor() {
    let mut node = Node::new();
    node.firmware_min = FIRMWARE;
    assert_eq!(node.verify().unwrap().tier, 1);
    node.firmware_min = FIRMWARE + 1;
    assert_eq!(node.failed().1, ["tpm-firmware"]);
}

#[test]
fn every_flipped_byte_and_every_truncation_yields_nothing() {
    let node = Node::new();
    let bytes = node.evidence();
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert!(node.verify_bytes(&bad, Mode::Verify).is_err(), "flip {at}");
        assert!(
            node.verify_bytes(&bytes[..at], Mode::Verify).is_err(),
            "cut {at}"
        );
    }
}

#[test]
fn an_appraisal_serialises_for_people_and_machines() {
    let node = Node::new();
    let json = serde_json::to_value(node.verify().unwrap()).unwrap();
    assert_eq!(json["tier"], 1);
    assert_eq!(json["attest"], "pass");
    assert_eq!(json["owner"]["provider"], "22".repeat(20));
    assert_eq!(json["checks"][0]["name"], "session-signature");
}
