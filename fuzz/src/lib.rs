//! What each fuzz target does. Every decoder must return instead of panicking, and the strict ones must
//! give back the very bytes they accepted: two encodings of one object would have two digests.
#![forbid(unsafe_code)]

pub mod appraise;
pub mod eventlog;
pub mod foreign;
pub mod ima;
pub mod measured;
pub mod node;
pub mod nvme;
#[path = "../../vm-tests/testbed/tests/samples/mod.rs"]
pub mod samples;
pub mod snp;
pub mod tpm;
pub mod x509;

use assay_aggregate::agreement::Memory;
use assay_aggregate::inputs::{self, Hearing};
use assay_aggregate::roster::Known;
use assay_appraisal::eventlog::EventLog;
use assay_appraisal::tpm::ak::AttestationKey;
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::tpm::{attest, public, signature};
use assay_appraisal::{crypto::key::PublicKey, ek};
use assay_log::base64;
use assay_log::bundle;
use assay_log::checkpoint::{self, key_hash};
use assay_log::leaf::Leaf;
use assay_log::tar;
use assay_protocol::answers::{
    ChaseAnswer, ControlAnswer, Countersigned, EnrolRecord, FillReceipt, ProbeAnswer,
};
use assay_protocol::cbor::{Field, Value, int_map};
use assay_protocol::class::HardwareClass;
use assay_protocol::config::AgentConfig;
use assay_protocol::cose::{self, Payload, Signer};
use assay_protocol::evidence::{self, AmdChain, Claims};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Epoch, UnixMs};
use assay_protocol::inventory::Inventory;
use assay_protocol::item::Item;
use assay_protocol::layout::{Claim, Inputs, Proofs, ProvenLeaf, SignedRoot};
use assay_protocol::outcome::Outcome;
use assay_protocol::params::NetworkParams;
use assay_protocol::report::{Commit, Proposal, Report, Reveal, RootSignature, Vote};
use assay_protocol::succession::{Lineage, LineageRecord, Succession};
use assay_protocol::trust::{EkType, HexBytes, RootKind, TrustBundle, VendorRoot};
use assay_protocol::wire::{
    self, AgentReply, AgentRequest, BoardObject, BoardReply, BoardRequest, PeerReply, PeerRequest,
    ProbeGuestReply, ProbeGuestRequest,
};
use std::sync::LazyLock;

/// Deterministic CBOR: what decodes is its own encoding.
pub fn cbor(data: &[u8]) {
    if let Ok(value) = Value::decode(data) {
        assert_eq!(value.encode(), data);
    }
}

/// The COSE_Sign1 envelope of every kind, opened by the key it names.
pub fn cose(data: &[u8]) {
    let key = cose::claimed_signer(data, data.len()).unwrap_or([0; 32]);
    let _ = cose::open::<Outcome>(data, &key);
    let _ = cose::open::<Report>(data, &key);
    let _ = cose::open::<ProbeAnswer>(data, &key);
    let _ = evidence::open(data, &key);
}

/// The payloads behind a signature, which mutated bytes would never pass.
pub fn cose_payloads(data: &[u8]) {
    let Ok(value) = Value::decode(data) else {
        return;
    };
    payload::<ProbeAnswer>(&value, data);
    payload::<FillReceipt>(&value, data);
    payload::<Countersigned>(&value, data);
    payload::<ChaseAnswer>(&value, data);
    payload::<ControlAnswer>(&value, data);
    payload::<Outcome>(&value, data);
    payload::<Report>(&value, data);
    payload::<Commit>(&value, data);
    payload::<Reveal>(&value, data);
    payload::<Proposal>(&value, data);
    payload::<Vote>(&value, data);
    payload::<RootSignature>(&value, data);
    payload::<Succession>(&value, data);
}

fn payload<T: Payload>(value: &Value, data: &[u8]) -> Option<T> {
    let payload = T::from_field(Field::new(T::TYP, value.clone())).ok()?;
    assert_eq!(payload.to_value().encode(), data, "{}", T::TYP);
    let _ = (payload.subject(), payload.issued_at_s());
    Some(payload)
}

/// Opened as the lineage of whatever network its parameters are of, so that the links are reached.
fn rosters(record: &LineageRecord, data: &[u8]) {
    let network = record.params.network_id();
    if let Ok(lineage) = Lineage::open(&network, data) {
        let _ = lineage.answered_in(Epoch(u64::MAX));
        assert_eq!(Lineage::open(&network, &lineage.bytes()), Ok(lineage));
    }
}

/// Records that are stored or hashed without a signature of their own.
pub fn records(data: &[u8]) {
    if let Some(params) = record::<NetworkParams>(data) {
        let _ = params.validate();
        let _ = (params.slots(), params.at(UnixMs(u64::MAX)));
    }
    if let Some(lineage) = record::<LineageRecord>(data) {
        rosters(&lineage, data);
    }
    if let Some(class) = record::<HardwareClass>(data) {
        let _ = class.validate();
    }
    record::<EnrolRecord>(data);
    record::<AmdChain>(data);
    record::<Inventory>(data);
    let _ = Inventory::read(data);
    record::<Claim>(data);
    record::<SignedRoot>(data);
    record::<ProvenLeaf>(data);
    record::<Inputs>(data);
    record::<Proofs>(data);
}

fn record<T: Item>(data: &[u8]) -> Option<T> {
    let record = T::decode("record", data.len(), data).ok()?;
    assert_eq!(record.encode(), data);
    Some(record)
}

/// Evidence as it arrives: the signature stops most of it.
pub fn evidence(data: &[u8]) {
    let _ = evidence::open(data, &samples::key().public_key());
}

/// The EAT claims-set behind the signature.
pub fn evidence_claims(data: &[u8]) {
    if let Ok(value) = Value::decode(data) {
        payload::<Claims>(&value, data);
    }
}

/// The CMW collection, under a signature that covers it.
pub fn evidence_vendor(data: &[u8]) {
    let (key, digest) = (samples::key(), digest(&[data]));
    let extra = [(-70_001, digest.to_value())];
    let unprotected = int_map([(-70_002, Value::bytes(data))]);
    let sealed = cose::seal_with(samples::claims(), &key, &extra, unprotected);
    if let Ok(opened) = evidence::open(sealed.bytes(), &key.public_key()) {
        let again = evidence::seal(samples::claims(), opened.vendor(), &key);
        assert_eq!(again, sealed.bytes());
    }
}

/// Transport frames: header and every message.
pub fn frames(data: &[u8]) {
    if let Some(header) = data.first_chunk() {
        let _ = wire::payload_len(header, 1 << 20);
    }
    let _ = wire::message::<AgentRequest>(data);
    let _ = wire::message::<AgentReply>(data);
    let _ = wire::message::<PeerRequest>(data);
    let _ = wire::message::<PeerReply>(data);
    let _ = wire::message::<BoardRequest>(data);
    let _ = wire::message::<BoardReply>(data);
    let _ = wire::message::<ProbeGuestRequest>(data);
    let _ = wire::message::<ProbeGuestReply>(data);
}

/// The agent's measured configuration.
pub fn agent_config(data: &[u8]) {
    let _ = AgentConfig::parse(data);
}

/// A hardware class file; its canonical encoding must read back.
pub fn hardware_class(data: &[u8]) {
    let Some(class) = core::str::from_utf8(data)
        .ok()
        .and_then(|text| assay_hw_profiles::parse(text).ok())
    else {
        return;
    };
    let bytes = class.encode();
    assert_eq!(record::<HardwareClass>(&bytes), Some(class.into_class()));
}

/// TPMS_ATTEST.
pub fn tpm_attest(data: &[u8]) {
    if let Ok(attest) = attest::parse(data) {
        let _ = attest
            .selections
            .iter()
            .map(|s| s.indices().count())
            .sum::<usize>();
    }
}

/// TPMT_SIGNATURE, then verified under a key of each kind.
pub fn tpm_signature(data: &[u8]) {
    let Ok(signature) = signature::parse(data) else {
        return;
    };
    let rsa = PublicKey::Rsa {
        modulus: vec![0xc5; 256],
        exponent: 65_537,
    };
    let _ = signature.verify(&rsa, b"message");
    let _ = signature.verify(node::ak().key(), b"message");
}

/// TPMT_PUBLIC and TPM2B_PUBLIC, and what is made of them.
pub fn tpm_public(data: &[u8]) {
    let _ = public::parse_sized(data).map(|public| public.name());
    if let Ok(public) = public::parse(data) {
        assert_eq!(public.bytes(), data);
    }
    let _ = AttestationKey::from_bytes(data);
    let _ = PublicKey::from_spki(data);
}

/// A TCG event log, replayed in every bank.
pub fn eventlog(data: &[u8]) {
    if let Ok(log) = assay_appraisal::eventlog::parse(data) {
        replay(&log);
    }
}

fn replay(log: &EventLog<'_>) {
    for bank in [
        HashAlg::Sha1,
        HashAlg::Sha256,
        HashAlg::Sha384,
        HashAlg::Sha512,
    ] {
        let _ = log.replay(bank);
    }
    let _ = log.proven(12, assay_appraisal::eventlog::EV_IPL).count();
}

/// An EK certificate as read from NV, under a fixed test root.
pub fn ek_certificate(data: &[u8]) {
    static ROOTS: LazyLock<ek::Roots> =
        LazyLock::new(|| ek::Roots::new(&test_roots()).expect("the test root is in ek/"));
    let _ = ek::certificate::strip_padding(data);
    let _ = ek::certify(data, &ROOTS, UnixMs(1_800_000_000_000));
}

fn test_roots() -> TrustBundle {
    let root = include_bytes!("../ek/root.der");
    TrustBundle {
        allowed_kinds: vec![RootKind::Test],
        roots: vec![VendorRoot {
            name: "fuzz".into(),
            kind: RootKind::Test,
            ek_type: EkType::Rsa2048,
            firmware_min: 0,
            sha256: digest(&[root]),
            certificate: root.to_vec(),
            intermediates: vec![HexBytes(include_bytes!("../ek/intermediate.der").to_vec())],
        }],
    }
}

/// What a HyperNode remembers of an agreement.
pub fn agreement_memory(data: &[u8]) {
    if let Ok(memory) = Memory::decode(data) {
        assert_eq!(memory.encode(), data);
    }
}

/// Objects of the board: as received, and freshly signed by a member so that their content is reached.
pub fn board_objects(data: &[u8]) {
    for wrap in BOARD_KINDS {
        open_on_board(wrap(data.to_vec()));
    }
    let Ok(value) = Value::decode(data) else {
        return;
    };
    signed_on_board::<Commit>(&value, data, BoardObject::Commit);
    signed_on_board::<Reveal>(&value, data, BoardObject::Reveal);
    signed_on_board::<Proposal>(&value, data, BoardObject::Proposal);
    signed_on_board::<Vote>(&value, data, BoardObject::Vote);
    signed_on_board::<RootSignature>(&value, data, BoardObject::RootSignature);
    signed_on_board::<Succession>(&value, data, BoardObject::Succession);
}

const BOARD_KINDS: [fn(Vec<u8>) -> BoardObject; 6] = [
    BoardObject::Commit,
    BoardObject::Reveal,
    BoardObject::Proposal,
    BoardObject::Vote,
    BoardObject::RootSignature,
    BoardObject::Succession,
];

fn signed_on_board<T: Payload>(value: &Value, data: &[u8], wrap: fn(Vec<u8>) -> BoardObject) {
    if let Some(payload) = payload::<T>(value, data) {
        open_on_board(wrap(cose::seal(payload, &samples::key()).bytes().to_vec()));
    }
}

fn open_on_board(object: BoardObject) {
    let mut params = samples::params();
    if let Some(member) = params.roster.first_mut() {
        member.id = samples::hypernode();
    }
    let hearing = Hearing {
        params: &params,
        network: samples::NETWORK,
        epoch: Epoch(7),
        known: Known::at_genesis(&params),
    };
    let _ = inputs::open(&hearing, &object);
}

/// A bundle's archive and the bag inside.
pub fn bundle(data: &[u8]) {
    if let Ok(files) = tar::decode_tar(data) {
        assert_eq!(tar::encode_tar(&files).as_deref(), Ok(data));
        let _ = bundle::open(&files);
    }
}

/// A signed checkpoint; the signature stops most changes, so the text is also signed afresh.
pub fn checkpoint(data: &[u8]) {
    let (key, hypernode) = (samples::key(), samples::hypernode());
    let origin = checkpoint::origin(&samples::NETWORK, &hypernode);
    let _ = checkpoint::verify_checkpoint(data, &origin, &hypernode);
    let body = data.split(|byte| *byte == 0).next().unwrap_or_default();
    let line = note_signature(&origin, &key, body);
    let note = [body, b"\n", line.as_bytes()].concat();
    if let Ok(verified) = checkpoint::verify_checkpoint(&note, &origin, &hypernode) {
        assert_eq!(verified.checkpoint().body().as_bytes(), body);
    }
}

/// A signature line of a C2SP note.
fn note_signature(origin: &str, key: &dyn Signer, body: &[u8]) -> String {
    let hash = key_hash(origin, &samples::hypernode()).to_be_bytes();
    let line = [&hash[..], &key.sign(body)].concat();
    format!("— {origin} {}\n", base64::encode(&line))
}

/// A leaf of the transparency log.
pub fn log_leaf(data: &[u8]) {
    if let Ok(leaf) = Leaf::decode(data) {
        assert_eq!(leaf.encode(), data);
    }
}
