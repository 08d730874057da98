//! Real agents with SEV-SNP sources, on machines whose firmware is emulated below the kernel's interfaces, judged by
//! the verifier: what leads to tier 3 and what costs it.

use assay_appraisal::appraise::{
    self, Appraisal, Attest, Configurations, Endorsements, Expectation, ImaBefore, Policy,
};
use assay_appraisal::checks::{Mode, Outcome};
use assay_appraisal::snp::{ChainCache, Product, SnpRoots};
use assay_appraisal::tpm::ak::AttestationKey;
use assay_protocol::class::ValidClass;
use assay_protocol::config::{SnpCertificateFiles, SnpSection, SnpSource};
use assay_protocol::cose::Signer as _;
use assay_protocol::evidence::{self, SignedEvidence};
use assay_protocol::hash::digest;
use assay_protocol::ids::{
    Address, Beacon, ChipId, Epoch, HyperNodeId, NetworkId, NodeId, Nonce, SessionKey, UnixMs,
};
use assay_protocol::limits::AGENT_FRAME_BYTES_MAX;
use assay_protocol::trust::{RootKind, TrustBundle};
use assay_protocol::wire::{AgentReply, AgentRequest};
use assay_testbed::net::{Programs, ScalerNode};
use assay_testbed::sev_device::Firmware;
use assay_testbed::sev_device::preload::SevDevices;
use assay_testbed::snp::{self, Authority, Certificates, Chip};
use assay_testbed::{TestCa, TsmEntry, Variant};
use assay_transport::{Identity, frames, tls};
use rustls::{ClientConnection, StreamOwned};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

const PROBE: [u8; 48] = [0x77; 48];
const NETWORK: NetworkId = NetworkId([6; 32]);
const PROVIDER: Address = Address([2; 20]);
/// 2026-11-01.
const AT: UnixMs = UnixMs(1_793_491_200_000);
const AGENT: (&str, &[u8]) = ("/usr/bin/assay-agent", b"agent");
const POLICY: (&str, &[u8]) = ("/etc/ima/ima-policy", b"measure func=BPRM_CHECK");
/// The agent's own entry (configfs-tsm).
const ENTRY: &str = "assay-agent";

fn chip() -> Chip {
    Chip::new(snp::Product::Genoa)
}

fn chip_id() -> ChipId {
    ChipId(snp::Product::Genoa.chip_id())
}

fn guest_device(devices: &SevDevices) -> SnpSection {
    SnpSection {
        source: SnpSource::GuestDevice {
            path: devices.guest.clone(),
        },
        host: Some(devices.host.clone()),
        certificates: None,
        deadline_ms: 10_000,
    }
}

fn configfs(devices: &SevDevices, tsm: &TsmEntry) -> SnpSection {
    SnpSection {
        source: SnpSource::ConfigfsTsm {
            path: tsm.reports.clone(),
        },
        ..guest_device(devices)
    }
}

/// An entry of the kernel's folder, over this firmware.
fn tsm(dir: &Path, firmware: Firmware) -> TsmEntry {
    let make = move |data| (firmware.report(data), firmware.table.clone());
    TsmEntry::start(&dir.join("reports"), ENTRY, "sev_guest", make).unwrap()
}

/// A machine with a running agent, and a HyperNode.
struct Scene {
    scaler: ScalerNode,
    node: NodeId,
    hypernode: Identity,
    _dir: TempDir,
}

impl Scene {
    /// Boots a machine whose kernel measures these files, with the section that `section` makes for its folder.
    fn boot(
        dir: TempDir,
        devices: &SevDevices,
        section: SnpSection,
        files: &[(&'static str, &[u8])],
    ) -> Self {
        let ca = TestCa::create(&dir.path().join("ca")).unwrap();
        let home = dir.path().join("node");
        let mut scaler = ScalerNode::new(&home, &ca, "node", Variant::Good, PROVIDER).unwrap();
        scaler.files = files.iter().map(|(name, c)| (*name, c.to_vec())).collect();
        scaler.snp = Some(section);
        scaler.environment = devices.environment();
        let hypernode = Identity::generate().unwrap();
        let roster = [HyperNodeId(hypernode.public_key())];
        let programs = Programs::beside_this_one().unwrap();
        let node = scaler.boot(&programs, NETWORK, &roster).unwrap();
        Self {
            scaler,
            node,
            hypernode,
            _dir: dir,
        }
    }

    fn session(&self) -> SessionKey {
        let said = self.scaler.agent.as_ref().unwrap().output().unwrap();
        let line = said.lines().find(|line| line.contains("session"));
        let word = line.unwrap().split_whitespace().last().unwrap();
        word.parse().unwrap()
    }

    /// What the agent answers on one connection.
    fn ask(&self, requests: &[AgentRequest]) -> Vec<AgentReply> {
        let expected = self.session().0;
        let accept = Arc::new(move |key: &[u8; 32]| *key == expected);
        let config = tls::client_config(&self.hypernode, accept).unwrap();
        let connection = ClientConnection::new(config, tls::server_name()).unwrap();
        let socket = TcpStream::connect(&self.scaler.endpoint).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        let mut ask = |request| {
            frames::write(&mut stream, request, AGENT_FRAME_BYTES_MAX).unwrap();
            frames::read(&mut stream, AGENT_FRAME_BYTES_MAX).unwrap()
        };
        requests.iter().map(&mut ask).collect()
    }

    fn attest(&self, nonce: Nonce) -> (Vec<u8>, SignedEvidence) {
        let attest = AgentRequest::Attest {
            nonce,
            epoch: Epoch(0),
            beacon: Beacon([0; 32]),
        };
        // Whether the session is bound shows in the second answer.
        let replies = self.ask(&[attest, AgentRequest::Probe { nonce }]);
        let [AgentReply::Evidence { bytes }, AgentReply::Answer { .. }] = &replies[..] else {
            panic!("{replies:?}")
        };
        let opened = evidence::open(bytes, &self.session().0).unwrap();
        (bytes.clone(), opened)
    }

    fn judged(&self, nonce: u8) -> Appraisal {
        let nonce = Nonce([nonce; 32]);
        let (bytes, _) = self.attest(nonce);
        let [AgentReply::Offer { ak_public, .. }] = &self.ask(&[AgentRequest::Enrol])[..] else {
            panic!("no offer")
        };
        let ak = AttestationKey::from_bytes(ak_public).unwrap();
        let expected = Expectation {
            node: self.node,
            hypernode: HyperNodeId(self.hypernode.public_key()),
            nonce,
            session_key: self.session(),
            ak: &ak,
            last_clock: None,
        };
        let (trust, ark) = (trust(), Authority::shared().ark.spki());
        let policy = Policy {
            network: NETWORK,
            class: class(),
            root_kind: Some(RootKind::Test),
            firmware_min: 0,
            trust: &trust,
            configurations: &Configurations::new(),
            endorsements: Endorsements {
                at: AT,
                roots: &SnpRoots::test([(Product::Genoa, ark.as_slice())]),
                chain: None,
                crl: None,
                cache: &ChainCache::new(),
            },
            ima_before: ImaBefore::Unknown,
        };
        appraise::verify(&bytes, &expected, &policy, Mode::Explain).unwrap()
    }

    /// Tier 3, by this chip.
    #[track_caller]
    fn is_proven(&self, nonce: u8) {
        let appraisal = self.judged(nonce);
        assert_eq!((appraisal.tier, not_passed(&appraisal)), (3, vec![]));
        assert_eq!(appraisal.shown.chip, Some(chip_id()));
    }

    /// Tier 2 for these reasons, and a good attestation.
    #[track_caller]
    fn lacks(&self, nonce: u8, names: &[&str]) {
        let appraisal = self.judged(nonce);
        assert_eq!((appraisal.tier, appraisal.attest), (2, Attest::Pass));
        assert_eq!(not_passed(&appraisal), names);
        assert_eq!(appraisal.shown.chip, None);
    }
}

fn not_passed(appraisal: &Appraisal) -> Vec<&str> {
    let checks = appraisal.checks.iter();
    let open = checks.filter(|check| check.outcome != Outcome::Pass);
    open.map(|check| check.name).collect()
}

fn trust() -> TrustBundle {
    TrustBundle {
        allowed_kinds: vec![RootKind::Test],
        roots: Vec::new(),
    }
}

/// The demonstration class, with tier 2 by IMA and a chassis.
fn class() -> &'static ValidClass {
    static CLASS: OnceLock<ValidClass> = OnceLock::new();
    CLASS.get_or_init(|| {
        let text = format!(
            "{}\n[attestation.ima]\nallowed = [\"{}\"]\npolicies = [\"{}\"]\ncommand_lines = [{:?}]\n\
             [attestation.chassis]\nmeasurements = [\"{}\"]\n[[attestation.chassis.tcb_min]]\n\
             product = \"Genoa\"\nbootloader = 1\ntee = 0\nsnp = 1\nmicrocode = 1\n",
            assay_hw_profiles::DEMO_CLASS,
            digest(&[AGENT.1]),
            digest(&[POLICY.1]),
            ScalerNode::IMA_COMMAND_LINE,
            hex::encode(PROBE),
        );
        assay_hw_profiles::parse(&text).unwrap()
    })
}

fn devices(dir: &TempDir, firmware: Firmware) -> SevDevices {
    SevDevices::start(&dir.path().join("dev"), firmware).unwrap()
}

const MEASURED: [(&str, &[u8]); 2] = [POLICY, AGENT];

#[test]
fn the_guest_driver_s_report_and_the_host_s_ids_lead_to_tier_3() {
    let dir = tempfile::tempdir().unwrap();
    let devices = devices(&dir, Firmware::new(chip(), PROBE));
    let section = guest_device(&devices);
    let scene = Scene::boot(dir, &devices, section, &MEASURED);
    scene.is_proven(1);

    // A guest of another measurement is not the probe guest.
    devices.replace(Firmware::new(chip(), [1; 48])).unwrap();
    scene.lacks(2, &["chassis-measurement"]);

    // The firmware fails: evidence goes without a report.
    let failing = Firmware::new(chip(), PROBE).making(|_, _, _| Vec::new());
    devices.replace(failing).unwrap();
    scene.lacks(3, &["chassis-report"]);

    // A report of a version nobody knows passes the agent byte for byte, and the verifier says so.
    let later: Vec<u8> = (0..2_000u32).map(|n| n.to_le_bytes()[0] | 9).collect();
    let given = later.clone();
    let unknown = Firmware::new(chip(), PROBE).making(move |_, _, _| given.clone());
    devices.replace(unknown).unwrap();
    let (_, opened) = scene.attest(Nonce([4; 32]));
    let snp = opened.vendor().snp.as_ref().unwrap();
    assert_eq!(snp.report.0, later);
    assert_eq!(opened.claims().snp_report, Some(digest(&[&later])));

    devices.replace(Firmware::new(chip(), PROBE)).unwrap();
    scene.is_proven(5);
}

#[test]
fn the_kernel_s_folder_of_reports_leads_there_too_and_old_reports_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let devices = devices(&dir, Firmware::new(chip(), PROBE));
    let tsm = tsm(dir.path(), Firmware::new(chip(), PROBE));
    let section = configfs(&devices, &tsm);
    let mut scene = Scene::boot(dir, &devices, section, &MEASURED);
    scene.is_proven(1);

    // From here on the first report is given again: of another batch under the same session key.
    let firmware = Firmware::new(chip(), PROBE);
    let first: Mutex<Option<Vec<u8>>> = Mutex::new(None);
    tsm.remake(move |data| {
        let mut first = first.lock().unwrap();
        let report = first.get_or_insert_with(|| firmware.report(data)).clone();
        (report, firmware.table.clone())
    });
    scene.is_proven(2);
    scene.lacks(3, &["chassis-report-data"]);

    // The batch it was made for, asked of an agent with another session key.
    let before = scene.session();
    scene.scaler.kill_agent();
    scene.scaler.restart_agent().unwrap();
    assert_ne!(scene.session(), before);
    scene.lacks(2, &["chassis-report-data"]);
}

#[test]
fn a_host_that_names_other_chips_or_none_proves_no_chassis() {
    let other = |ids: Vec<u8>| {
        let mut firmware = Firmware::new(chip(), PROBE);
        firmware.chip_ids = ids;
        firmware
    };
    let dir = tempfile::tempdir().unwrap();
    let machine = devices(&dir, other(vec![9; 128]));
    let section = guest_device(&machine);
    let mut scene = Scene::boot(dir, &machine, section, &MEASURED);
    scene.lacks(1, &["chassis-host-chip-id"]);

    // The second of two sockets; ids are read when the agent starts.
    let two = [[9; 64], chip_id().0].concat();
    machine.replace(other(two)).unwrap();
    scene.lacks(2, &["chassis-host-chip-id"]);
    scene.scaler.kill_agent();
    scene.scaler.restart_agent().unwrap();
    scene.is_proven(3);
    let (_, opened) = scene.attest(Nonce([4; 32]));
    assert_eq!(
        opened.claims().chip_ids,
        Some(vec![ChipId([9; 64]), chip_id()])
    );

    let dir = tempfile::tempdir().unwrap();
    let machine = devices(&dir, Firmware::new(chip(), PROBE));
    let section = SnpSection {
        host: None,
        ..guest_device(&machine)
    };
    let scene = Scene::boot(dir, &machine, section, &MEASURED);
    scene.lacks(1, &["chassis-host-chips", "chassis-host-chip-id"]);
}

/// Hosts that hand out no certificates, or more than the driver can carry.
#[test]
fn configured_certificates_serve_where_the_host_gives_none() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let chip = chip();
    let issuers = Certificates::of(snp::Product::Genoa);
    for (name, bytes) in [
        ("vcek", &chip.vcek()),
        ("ask", &issuers.ask),
        ("ark", &issuers.ark),
    ] {
        std::fs::write(at(name), bytes).unwrap();
    }
    let mut firmware = Firmware::new(chip, PROBE);
    firmware.table.clear();
    let machine = devices(&dir, firmware);
    let files = SnpCertificateFiles {
        vcek: at("vcek"),
        ask: at("ask"),
        ark: at("ark"),
    };
    let section = SnpSection {
        certificates: Some(files),
        ..guest_device(&machine)
    };
    let scene = Scene::boot(dir, &machine, section, &MEASURED);
    scene.is_proven(1);
}

#[test]
fn a_table_the_driver_cannot_carry_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut firmware = Firmware::new(chip(), PROBE);
    firmware.table.resize(0x4001, 0);
    let machine = devices(&dir, firmware);
    let section = guest_device(&machine);
    let scene = Scene::boot(dir, &machine, section, &MEASURED);
    let (_, opened) = scene.attest(Nonce([1; 32]));
    let snp = opened.vendor().snp.as_ref().unwrap();
    assert_eq!(snp.report.0.len(), snp::REPORT_BYTES);
    assert_eq!(snp.certificates.0, [0; 24]);
    scene.lacks(2, &["chassis-certificates"]);
}

#[test]
fn a_good_report_on_a_host_below_tier_2_lifts_it_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let devices = devices(&dir, Firmware::new(chip(), PROBE));
    let section = guest_device(&devices);
    let scene = Scene::boot(dir, &devices, section, &[AGENT]);
    let appraisal = scene.judged(1);
    assert_eq!((appraisal.tier, appraisal.attest), (1, Attest::Pass));
    assert!(not_passed(&appraisal).contains(&"chassis-host-tier"));
}
