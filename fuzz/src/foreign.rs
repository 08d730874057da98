//! What others sign, and the result that the project signs: COSE objects, CoRIM manifests, EAR.

use crate::samples;
use assay_appraisal::checks::{Check, Mode, Outcome};
use assay_appraisal::corim::{self, PinnedKey, Trust};
use assay_appraisal::cose_sign1::{
    Accept, Algorithm, AlgorithmFrom, CoseKey, Envelope, Message, verify_several,
};
use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::ear::{Area, Ear, Module, TrustClaim, TrustVector};
use assay_protocol::cbor::{Field, Value, int_map};
use assay_protocol::cose::{Payload as _, Signer as _};
use assay_protocol::ids::{Digest, Nonce, UnixMs};

/// 2026-11-01.
const AT: UnixMs = UnixMs(1_793_491_200_000);

fn tag(number: u64, inner: Value) -> Value {
    Value::Tag(number, Box::new(inner))
}

fn list<'a>(items: impl IntoIterator<Item = Value<'a>>) -> Value<'a> {
    Value::Array(items.into_iter().collect())
}

/// A foreign COSE object in every wrapping, a COSE_Sign, a COSE_Key. Nothing but the seeds' own bytes verifies.
pub fn foreign_cose(data: &[u8]) {
    let key = PublicKey::Ed25519(samples::key().public_key());
    let from = [
        AlgorithmFrom::Protected,
        AlgorithmFrom::Caller(Algorithm::EdDsa),
    ];
    for envelope in [Envelope::Tagged, Envelope::Untagged, Envelope::Cwt] {
        let Ok(message) = Message::parse(data, envelope) else {
            continue;
        };
        let _ = (message.headers().kid(), message.headers().x5chain());
        for algorithm in from {
            let accept = Accept {
                envelope,
                algorithm,
                ..Accept::default()
            };
            let _ = message.verify(&key, &accept);
        }
    }
    let _ = verify_several(data, std::slice::from_ref(&key), &Accept::default());
    let _ = CoseKey::parse(data);
}

/// A manifest as it is, and the same bytes under a good signature: mutated bytes would never pass it.
pub fn corim_manifest(data: &[u8]) {
    let _ = (corim::read(data), corim::comid(data));
    let keys = [pinned()];
    let trust = Trust {
        keys: &keys,
        at: AT,
    };
    let _ = corim::import(data, &trust, Mode::Explain);
    let signed = sign(data);
    match corim::import(&signed, &trust, Mode::Verify) {
        Ok(values) => {
            assert!(!values.references().is_empty());
            let pcrs = values.pcr_references();
            assert!(values.snp_references().is_empty() || pcrs.is_err());
            for set in pcrs.unwrap_or_default() {
                assert!(set.pcrs.iter().all(|pcr| !pcr.allowed.is_empty()));
            }
        }
        Err(refused) => assert!(!refused.checks.is_empty()),
    }
}

/// The claims of a result: what is accepted has one encoding and can be signed again.
pub fn ear(data: &[u8]) {
    let Ok(value) = Value::decode(data) else {
        return;
    };
    if let Ok(ear) = Ear::from_field(Field::new("EAR", value)) {
        assert_eq!(ear.to_value().encode(), data);
        assert_eq!(ear.validate(), Ok(()));
    }
}

fn pinned() -> PinnedKey {
    // SubjectPublicKeyInfo of an Ed25519 key (RFC 8410).
    let head = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let spki = [&head[..], &samples::key().public_key()].concat();
    PinnedKey::from_spki(&spki).expect("an Ed25519 key")
}

fn sign(payload: &[u8]) -> Vec<u8> {
    let meta = int_map([(0, int_map([(0, Value::text("fuzz"))]))]).encode();
    let header = int_map([
        (1, Value::int(-8)),
        (3, Value::text("application/rim+cbor")),
        (8, Value::bytes(meta)),
    ]);
    let (protected, payload) = (Value::bytes(header.encode()), Value::bytes(payload));
    let context = Value::text("Signature1");
    let message = list([
        context,
        protected.clone(),
        Value::bytes([]),
        payload.clone(),
    ]);
    let signature = Value::bytes(samples::key().sign(&message.encode()));
    tag(
        18,
        list([protected, Value::Map(Vec::new()), payload, signature]),
    )
    .encode()
}

/// Unsigned manifests of both kinds: PCR values and AMD's profile.
pub fn manifests() -> Vec<Vec<u8>> {
    let digest = |algorithm, size| list([Value::Uint(algorithm), Value::bytes(vec![7; size])]);
    let digests = |algorithm, size| int_map([(2, list([digest(algorithm, size)]))]);
    let registers = Value::Map(vec![(Value::text("PCR7"), list([digest(1, 32)]))]);
    let every = int_map([
        (0, int_map([(0, Value::text("1")), (1, Value::int(1))])),
        (1, tag(553, Value::Uint(1))),
        (3, int_map([(0, Value::Bool(true))])),
        (4, tag(563, list([Value::bytes([1]), Value::bytes([1])]))),
        (11, Value::text("name")),
    ]);
    let pcrs = list([
        measured(Value::Uint(4), digests(1, 32)),
        int_map([(1, int_map([(14, registers)]))]),
    ]);
    let fields = list([
        measured(Value::Uint(641), digests(7, 48)),
        measured(Value::Uint(647), int_map([(1, tag(552, Value::Uint(9)))])),
        measured(
            Value::Uint(2),
            int_map([(4, tag(560, Value::bytes([0; 8])))]),
        ),
    ]);
    let environment = || {
        let class = [
            (0, tag(111, Value::bytes([0x2b, 6]))),
            (2, Value::text("model")),
        ];
        int_map([(0, int_map(class)), (1, tag(560, Value::bytes([1])))])
    };
    let profile = || vec![(3, tag(32, Value::text(corim::SNP_PROFILE)))];
    vec![
        manifest(environment(), pcrs, Vec::new()),
        manifest(environment(), fields, profile()),
        manifest(
            environment(),
            list([measured(Value::text("all"), every)]),
            Vec::new(),
        ),
    ]
}

fn measured<'a>(key: Value<'a>, values: Value<'a>) -> Value<'a> {
    int_map([(0, key), (1, values)])
}

fn manifest(environment: Value, measurements: Value, further: Vec<(i64, Value)>) -> Vec<u8> {
    let triples = int_map([(0, list([list([environment, measurements])]))]);
    let comid = int_map([(1, int_map([(0, Value::text("tag"))])), (4, triples)]);
    let time = |s| tag(1, Value::Uint(s));
    let window = int_map([(0, time(0)), (1, time(u64::from(u32::MAX)))]);
    let mut corim = vec![
        (0, Value::text("id")),
        (1, list([tag(506, Value::bytes(comid.encode()))])),
        (4, window),
    ];
    corim.extend(further);
    tag(501, int_map(corim)).encode()
}

/// Foreign COSE objects: signed manifests, one of two signers' form, a key.
pub fn cose_objects() -> Vec<Vec<u8>> {
    let key = int_map([
        (1, Value::int(2)),
        (-1, Value::int(1)),
        (-2, Value::bytes([1; 32])),
        (-3, Value::bytes([2; 32])),
    ]);
    let protected = Value::bytes(int_map([(1, Value::int(-8))]).encode());
    let empty = || Value::Map(Vec::new());
    let signature = list([protected, empty(), Value::bytes([0; 64])]);
    let several = list([
        Value::bytes([]),
        empty(),
        Value::bytes([1]),
        list([signature]),
    ]);
    let mut objects: Vec<Vec<u8>> = manifests().iter().map(|bytes| sign(bytes)).collect();
    objects.extend([key.encode(), tag(98, several).encode()]);
    objects
}

/// The claims of one result.
pub fn results() -> Vec<Vec<u8>> {
    let vector = TrustVector::new()
        .with(Area::Hardware, TrustClaim::AFFIRMED)
        .with(Area::Executables, TrustClaim::BOOT_AFFIRMED);
    let check = Check {
        name: "quote-magic".into(),
        outcome: Outcome::Pass,
        expected: "a".into(),
        actual: "a".into(),
    };
    let ear = Ear {
        node: samples::NODE,
        nonce: Nonce([2; 32]),
        issued_at_s: 1_793_491_200,
        build: "fuzz".into(),
        modules: vec![Module {
            name: "tpm".into(),
            vector,
        }],
        tier: 1,
        policy: Digest([3; 32]),
        evidence: Digest([4; 32]),
        checks: vec![check],
    };
    vec![ear.to_value().encode()]
}
