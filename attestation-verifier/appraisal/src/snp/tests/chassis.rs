//! The chassis proof: one machine, or nothing.

use super::*;
use crate::snp::chassis::{self, ChassisProof, Host};
use crate::snp::product::Generation;
use crate::snp::tcb::Tcb;
use assay_protocol::evidence::snp_report_data;
use assay_protocol::ids::{AkName, ChipId, Digest, Digest384, SessionKey};
use assay_protocol::limits::CHIP_IDS_MAX;
use std::collections::BTreeMap;

const BATCH: [u8; 32] = [1; 32];
const SESSION: [u8; 32] = [2; 32];
const AK_NAME: [u8; 34] = [3; 34];
const PROBE: [u8; 48] = [0x11; 48];

/// A proof that holds; a test changes one thing.
struct Proof {
    case: Case,
    tier: u8,
    chips: Vec<[u8; 64]>,
    probe: [u8; 48],
    floor: Tcb,
    generations: Vec<Generation>,
    batch: [u8; 32],
    session_key: [u8; 32],
    ak_name: [u8; 34],
}

impl Proof {
    fn of(mut case: Case) -> Self {
        case.sign(|report| report.with(0x50, &bound()));
        Self {
            tier: 2,
            chips: vec![[0x55; 64], case.chip.chip_id],
            probe: PROBE,
            floor: "bl=4,tee=1,snp=24,ucode=219".parse().unwrap(),
            generations: GENERATIONS.to_vec(),
            batch: BATCH,
            session_key: SESSION,
            ak_name: AK_NAME,
            case,
        }
    }

    fn new() -> Self {
        Self::of(Case::genoa())
    }

    /// With a report changed at one place.
    fn changed(at: usize, bytes: &[u8]) -> Self {
        let mut proof = Self::new();
        proof
            .case
            .sign(|report| report.with(0x50, &bound()).with(at, bytes));
        proof
    }

    fn run(&self, mode: Mode) -> (Checks, Option<ChassisProof>) {
        let mut checks = Checks::new(mode);
        let report_data = bound_to(self.batch, self.session_key, self.ak_name);
        let chips: Vec<ChipId> = self.chips.iter().copied().map(ChipId).collect();
        let product = product(self.case.chip.product);
        let host = Host {
            tier: self.tier,
            chip_ids: &chips,
            probe_measurements: &[Digest384([9; 48]), Digest384(self.probe)],
            tcb_floors: &BTreeMap::from([(product, self.floor)]),
            generations: &self.generations,
        };
        let proof = chassis::prove(&mut checks, &self.case.authentic(), &report_data, host);
        (checks, proof.unwrap_or_default())
    }

    fn failed(&self) -> Vec<String> {
        let (checks, proof) = self.run(Mode::Explain);
        assert_eq!(proof.is_some(), checks.passed());
        assert_eq!(self.run(Mode::Verify).1.is_some(), checks.passed());
        failed(&checks)
    }
}

fn bound() -> [u8; 64] {
    bound_to(BATCH, SESSION, AK_NAME)
}

fn bound_to(batch: [u8; 32], session: [u8; 32], ak_name: [u8; 34]) -> [u8; 64] {
    snp_report_data(&Digest(batch), &SessionKey(session), &AkName(ak_name))
}

#[test]
fn one_machine_is_proven() {
    let proof = Proof::new();
    let proven = proof.run(Mode::Verify).1.unwrap();
    assert_eq!(proven.chip_id(), &proof.case.chip.chip_id);
    assert_eq!(
        (proven.product(), proven.root_kind()),
        (Product::Genoa, RootKind::Test)
    );
    let mut one_socket = Proof::new();
    one_socket.chips.remove(0);
    one_socket.tier = 3;
    assert_eq!(one_socket.failed(), [""; 0]);
}

#[test]
fn a_host_below_tier_2_proves_nothing() {
    for tier in [0, 1] {
        let proof = Proof {
            tier,
            ..Proof::new()
        };
        assert_eq!(proof.failed(), ["chassis-host-tier"]);
    }
}

#[test]
fn another_guests_measurement_is_refused() {
    assert_eq!(
        Proof::changed(0x90, &[0x12]).failed(),
        ["chassis-measurement"]
    );
    let proof = Proof {
        probe: [0; 48],
        ..Proof::new()
    };
    assert_eq!(proof.failed(), ["chassis-measurement"]);
}

#[test]
fn a_guest_that_can_be_read_moved_or_is_not_at_the_top_is_refused() {
    assert_eq!(Proof::changed(0x0a, &[0x0b]).failed(), ["chassis-debug"]);
    assert_eq!(
        Proof::changed(0x0a, &[0x07]).failed(),
        ["chassis-migration"]
    );
    assert_eq!(Proof::changed(0x30, &[1]).failed(), ["chassis-vmpl"]);
}

#[test]
fn each_part_of_the_binding_counts() {
    let proofs = [
        Proof {
            batch: [9; 32],
            ..Proof::new()
        },
        Proof {
            session_key: [9; 32],
            ..Proof::new()
        },
        Proof {
            ak_name: [9; 34],
            ..Proof::new()
        },
        Proof::changed(0x8f, &[!bound()[63]]),
    ];
    for proof in proofs {
        assert_eq!(proof.failed(), ["chassis-report-data"]);
    }
}

#[test]
fn a_vlek_is_refused_even_when_it_names_a_listed_chip() {
    let mut proof = Proof::of(Case::vlek());
    proof
        .case
        .sign(|report| report.with(0x50, &bound()).with(0x48, &[4]));
    assert_eq!(proof.failed(), ["chassis-key-kind"]);
}

#[test]
fn a_masked_chip_id_is_refused_even_when_the_host_lists_zeros() {
    let mut proof = Proof::changed(0x1a0, &[0; 64]);
    proof.chips.push([0; 64]);
    assert_eq!(proof.failed(), ["chassis-chip-id-mask"]);
}

/// GET_ID of the measured host says otherwise: the report was made on another machine.
#[test]
fn a_chip_the_host_did_not_read_is_refused() {
    let mut proof = Proof::new();
    proof.chips[1][63] ^= 1;
    assert_eq!(proof.failed(), ["chassis-host-chip-id"]);
    proof.chips.clear();
    assert_eq!(
        proof.failed(),
        ["chassis-host-chips", "chassis-host-chip-id"]
    );
}

#[test]
fn a_host_may_not_list_the_chips_of_a_whole_fleet() {
    let mut proof = Proof::new();
    proof.chips.resize(CHIP_IDS_MAX, [7; 64]);
    assert_eq!(proof.failed(), [""; 0]);
    proof.chips.push([8; 64]);
    assert_eq!(
        proof.failed(),
        ["chassis-host-chips", "chassis-host-chip-id"]
    );
}

#[test]
fn a_tcb_below_the_floor_is_refused() {
    assert_eq!(
        Proof::changed(0x1e7, &[218]).failed(),
        ["snp-tcb-committed"]
    );
    let proof = Proof {
        floor: Tcb {
            fmc: Some(0),
            ..Proof::new().floor
        },
        ..Proof::new()
    };
    let all = [
        "snp-tcb-reported",
        "snp-tcb-committed",
        "snp-tcb-launch",
        "snp-tcb-current",
    ];
    assert_eq!(proof.failed(), all);
}

#[test]
fn a_generation_below_tier_3_is_refused() {
    let mut milan = Proof::of(Case::new(testbed::Product::Milan, 5));
    assert_eq!(milan.failed(), ["chassis-generation"]);
    milan.generations.clear();
    assert_eq!(milan.failed(), ["chassis-generation"]);
}
