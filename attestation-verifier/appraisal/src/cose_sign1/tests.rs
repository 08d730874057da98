//! Objects signed here by software keys of every kind.

use super::*;
use crate::crypto::signature::SignatureError;
use crate::testing::SessionSigner;
use crate::tpm::algorithm::Curve;
use assay_protocol::cbor::int_map;
use assay_protocol::cose::Signer as _;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature as aws;
use aws_lc_rs::signature::KeyPair as _;
use std::sync::LazyLock;

type Cbor = assay_protocol::cbor::Value<'static>;
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// A key that signs with one algorithm.
struct TestKey {
    public: PublicKey,
    sign: Sign,
}

fn ed25519(byte: u8) -> TestKey {
    let signer = SessionSigner::new(byte);
    TestKey {
        public: PublicKey::Ed25519(signer.public_key()),
        sign: Box::new(move |message| signer.sign(message).to_vec()),
    }
}

fn ecdsa(curve: Curve, algorithm: &'static aws::EcdsaSigningAlgorithm) -> TestKey {
    let pair = aws::EcdsaKeyPair::generate(algorithm).unwrap();
    let point = pair.public_key().as_ref()[1..].to_vec();
    let (x, y) = point.split_at(curve.size());
    TestKey {
        public: PublicKey::Ecc {
            curve,
            x: x.to_vec(),
            y: y.to_vec(),
        },
        sign: Box::new(move |message| {
            let signature = pair.sign(&SystemRandom::new(), message);
            signature.unwrap().as_ref().to_vec()
        }),
    }
}

static RSA: LazyLock<aws::RsaKeyPair> =
    LazyLock::new(|| aws::RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

fn rsa(padding: &'static dyn aws::RsaEncoding) -> TestKey {
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = RSA.public_key().as_der().unwrap();
    TestKey {
        public: PublicKey::from_spki(spki.as_ref()).unwrap(),
        sign: Box::new(move |message| {
            let mut signature = vec![0; RSA.public_modulus_len()];
            let random = SystemRandom::new();
            RSA.sign(padding, &random, message, &mut signature).unwrap();
            signature
        }),
    }
}

fn keys() -> [(i64, Algorithm, TestKey); 7] {
    use Algorithm as A;
    [
        (
            -7,
            A::Es256,
            ecdsa(Curve::P256, &aws::ECDSA_P256_SHA256_FIXED_SIGNING),
        ),
        (
            -35,
            A::Es384,
            ecdsa(Curve::P384, &aws::ECDSA_P384_SHA384_FIXED_SIGNING),
        ),
        (
            -36,
            A::Es512,
            ecdsa(Curve::P521, &aws::ECDSA_P521_SHA512_FIXED_SIGNING),
        ),
        (-37, A::Ps256, rsa(&aws::RSA_PSS_SHA256)),
        (-38, A::Ps384, rsa(&aws::RSA_PSS_SHA384)),
        (-39, A::Ps512, rsa(&aws::RSA_PSS_SHA512)),
        (-8, A::EdDsa, ed25519(1)),
    ]
}

/// An object to sign; each part may be spoilt by a test.
#[derive(Clone)]
struct Draft {
    protected: Vec<u8>,
    signed_protected: Option<Vec<u8>>,
    unprotected: Cbor,
    payload: Option<Vec<u8>>,
    signed_payload: Vec<u8>,
    external: Vec<u8>,
}

fn draft(algorithm: i64) -> Draft {
    Draft {
        protected: int_map([(1, Cbor::int(algorithm))]).encode(),
        signed_protected: None,
        unprotected: Cbor::Map(Vec::new()),
        payload: Some(b"payload".to_vec()),
        signed_payload: b"payload".to_vec(),
        external: Vec::new(),
    }
}

impl Draft {
    fn parts(&self, key: &TestKey) -> Cbor {
        let protected = self.signed_protected.as_ref().unwrap_or(&self.protected);
        let signed = Cbor::Array(vec![
            Cbor::text("Signature1"),
            Cbor::bytes(protected),
            Cbor::bytes(&self.external),
            Cbor::bytes(&self.signed_payload),
        ]);
        Cbor::Array(vec![
            Cbor::bytes(&self.protected),
            self.unprotected.clone(),
            self.payload.as_ref().map_or(Cbor::Null, Cbor::bytes),
            Cbor::bytes((key.sign)(&signed.encode())),
        ])
    }

    fn seal(&self, key: &TestKey) -> Vec<u8> {
        Cbor::Tag(18, Box::new(self.parts(key))).encode()
    }
}

fn run(bytes: &[u8], key: &TestKey, accept: &Accept<'_>) -> Result<Vec<u8>, CoseError> {
    let message = Message::parse(bytes, accept.envelope)?;
    Ok(message.verify(&key.public, accept)?.payload().to_vec())
}

fn refused(bytes: &[u8], key: &TestKey, accept: &Accept<'_>) -> String {
    run(bytes, key, accept).unwrap_err().to_string()
}

const RULE: Accept<'static> = Accept {
    envelope: Envelope::Tagged,
    algorithm: AlgorithmFrom::Protected,
    external_aad: &[],
    detached: None,
    understood: &[],
};

#[test]
fn each_algorithm_is_accepted_under_its_own_key_only() {
    let keys = keys();
    for (number, algorithm, key) in &keys {
        let sealed = draft(*number).seal(key);
        let verified = verify(&sealed, &key.public, &RULE).unwrap();
        assert_eq!(
            (verified.algorithm(), verified.payload()),
            (*algorithm, &b"payload"[..])
        );
        assert_eq!(
            verified.protected(Label::Int(1)).unwrap().int("alg"),
            Ok(*number)
        );
        for (other_number, _, other) in &keys {
            if other_number == number {
                continue;
            }
            let same_key = other.public == key.public;
            assert_eq!(
                run(&sealed, other, &RULE).is_ok(),
                same_key,
                "{number}, {other_number}"
            );
            // The header says another algorithm than the one signed with.
            let lying = draft(*other_number).seal(key);
            assert!(
                run(&lying, key, &RULE).is_err(),
                "{number} as {other_number}"
            );
        }
    }
}

#[test]
fn another_key_of_the_same_kind_is_refused() {
    let sealed = draft(-8).seal(&ed25519(1));
    let error = run(&sealed, &ed25519(2), &RULE).unwrap_err();
    assert!(matches!(
        error,
        CoseError::Signature(SignatureError::Invalid { .. })
    ));
}

#[test]
fn an_algorithm_that_does_not_fit_the_key_is_named() {
    for (number, key) in [
        (
            -35,
            ecdsa(Curve::P256, &aws::ECDSA_P256_SHA256_FIXED_SIGNING),
        ),
        (
            -7,
            ecdsa(Curve::P384, &aws::ECDSA_P384_SHA384_FIXED_SIGNING),
        ),
        (-37, ed25519(1)),
        (-8, rsa(&aws::RSA_PSS_SHA256)),
        (-7, rsa(&aws::RSA_PSS_SHA256)),
    ] {
        let error = run(&draft(number).seal(&key), &key, &RULE).unwrap_err();
        assert!(
            matches!(error, CoseError::AlgorithmUnfit { .. }),
            "{number}: {error}"
        );
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let key = ed25519(1);
    let sealed = draft(-8).seal(&key);
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut bad = sealed.clone();
            bad[at] ^= 1 << bit;
            assert!(run(&bad, &key, &RULE).is_err(), "byte {at} bit {bit}");
        }
        assert!(run(&sealed[..at], &key, &RULE).is_err(), "cut {at}");
    }
    let trailing = [&sealed[..], &[0]].concat();
    assert!(refused(&trailing, &key, &RULE).contains("trailing"));
}

#[test]
fn the_unprotected_header_is_anybodys_and_is_not_among_what_is_verified() {
    let key = ed25519(1);
    let with_kid = |kid: &[u8]| Draft {
        unprotected: int_map([(4, Cbor::bytes(kid))]),
        ..draft(-8)
    };
    for kid in [b"one", b"two"] {
        let sealed = with_kid(kid).seal(&key);
        let message = Message::parse(&sealed, Envelope::Tagged).unwrap();
        assert_eq!(message.headers().kid(), Some(&kid[..]));
        let verified = message.verify(&key.public, &RULE).unwrap();
        assert_eq!(verified.protected(Label::Int(4)), None);
    }
}

#[test]
fn the_algorithm_counts_only_in_the_protected_header() {
    let key = ed25519(1);
    let unprotected = Draft {
        protected: Vec::new(),
        unprotected: int_map([(1, Cbor::int(-8))]),
        ..draft(-8)
    };
    let sealed = unprotected.seal(&key);
    assert_eq!(run(&sealed, &key, &RULE), Err(CoseError::AlgorithmAbsent));
    let named = |algorithm| Accept {
        algorithm: AlgorithmFrom::Caller(algorithm),
        ..RULE
    };
    assert!(run(&sealed, &key, &named(Algorithm::EdDsa)).is_ok());
    let expected = CoseError::AlgorithmMismatch {
        expected: Algorithm::Es256,
        actual: Algorithm::EdDsa,
    };
    assert_eq!(run(&sealed, &key, &named(Algorithm::Es256)), Err(expected));
    let silent = Draft {
        unprotected: Cbor::Map(Vec::new()),
        ..unprotected
    };
    assert!(run(&silent.seal(&key), &key, &named(Algorithm::EdDsa)).is_ok());
    assert!(run(&silent.seal(&key), &key, &named(Algorithm::Es256)).is_err());
}

#[test]
fn an_empty_protected_map_is_signed_as_no_bytes() {
    let key = ed25519(1);
    let accept = Accept {
        algorithm: AlgorithmFrom::Caller(Algorithm::EdDsa),
        ..RULE
    };
    let mut empty = Draft {
        protected: vec![0xa0],
        signed_protected: Some(Vec::new()),
        ..draft(-8)
    };
    assert!(run(&empty.seal(&key), &key, &accept).is_ok());
    empty.signed_protected = Some(vec![0xa0]);
    assert!(run(&empty.seal(&key), &key, &accept).is_err());
}

#[test]
fn a_hash_that_is_not_the_curves_needs_the_callers_word() {
    let key = ecdsa(Curve::P521, &aws::ECDSA_P521_SHA256_FIXED_SIGNING);
    let sealed = draft(-7).seal(&key);
    assert!(refused(&sealed, &key, &RULE).contains("ES256 does not fit an ECC P-521 key"));
    let named = Accept {
        algorithm: AlgorithmFrom::Caller(Algorithm::Es256),
        ..RULE
    };
    assert!(run(&sealed, &key, &named).is_ok());
    for at in sealed.len() - 132..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(run(&bad, &key, &named).is_err(), "byte {at}");
    }
    // The caller's word is about the hash: the key must still be of the kind.
    assert!(run(&sealed, &ed25519(1), &named).is_err());
}

#[test]
fn labels_are_unique_over_both_headers() {
    let key = ed25519(1);
    let both = Draft {
        unprotected: int_map([(1, Cbor::int(-8))]),
        ..draft(-8)
    };
    let error = run(&both.seal(&key), &key, &RULE).unwrap_err();
    assert_eq!(error, CoseError::LabelTwice("1".into()));
    for protected in ["a2012701 27", "a201271801 27"] {
        let twice = Draft {
            protected: hex::decode(protected.replace(' ', "")).unwrap(),
            ..draft(-8)
        };
        assert!(refused(&twice.seal(&key), &key, &RULE).contains("map key 1 is there twice"));
    }
    // The same in the unprotected header, which the deterministic encoder cannot write.
    let good = Draft {
        unprotected: int_map([(4, Cbor::Uint(0)), (5, Cbor::Uint(0))]),
        ..draft(-8)
    };
    let mut bytes = good.seal(&key);
    let at = bytes
        .windows(5)
        .position(|w| w == [0xa2, 4, 0, 5, 0])
        .unwrap();
    bytes[at + 3] = 4;
    assert!(refused(&bytes, &key, &RULE).contains("map key 4 is there twice"));
}

#[test]
fn a_protected_header_is_a_byte_string_of_one_map() {
    let key = ed25519(1);
    for (hex, what) in [
        ("a1012700", "trailing"),
        ("80", "a map"),
        ("a10127", ""),
        ("a101", "ends early"),
    ] {
        let spoilt = Draft {
            protected: hex::decode(hex).unwrap(),
            ..draft(-8)
        };
        let outcome = run(&spoilt.seal(&key), &key, &RULE);
        let text = outcome.map_or_else(|e| e.to_string(), |_| String::new());
        assert!(
            text.contains(what) && text.is_empty() == what.is_empty(),
            "{hex}: {text}"
        );
    }
    let Cbor::Array(mut parts) = draft(-8).parts(&key) else {
        panic!()
    };
    parts[0] = int_map([(1, Cbor::int(-8))]);
    let bytes = Cbor::Tag(18, Box::new(Cbor::Array(parts))).encode();
    assert!(refused(&bytes, &key, &RULE).contains("protected header: expected a byte string"));
}

#[test]
fn critical_labels_must_be_there_and_understood() {
    let key = ed25519(1);
    let critical = |list: Cbor, unprotected: Cbor| {
        let protected = int_map([(1, Cbor::int(-8)), (2, list), (40, Cbor::Uint(0))]);
        Draft {
            protected: protected.encode(),
            unprotected,
            ..draft(-8)
        }
        .seal(&key)
    };
    let none = || Cbor::Map(Vec::new());
    let list = |labels: &[i64]| Cbor::Array(labels.iter().map(|n| Cbor::int(*n)).collect());
    assert!(run(&critical(list(&[1]), none()), &key, &RULE).is_ok());
    let forty = critical(list(&[1, 40]), none());
    assert_eq!(
        run(&forty, &key, &RULE),
        Err(CoseError::Critical("40".into()))
    );
    let understood = Accept {
        understood: &[Label::Int(40)],
        ..RULE
    };
    assert!(run(&forty, &key, &understood).is_ok());
    let absent = critical(list(&[41]), none());
    assert_eq!(
        run(&absent, &key, &RULE),
        Err(CoseError::CriticalAbsent("41".into()))
    );
    // In the unprotected header it is as good as absent.
    let elsewhere = critical(list(&[4]), int_map([(4, Cbor::bytes([1]))]));
    assert_eq!(
        run(&elsewhere, &key, &RULE),
        Err(CoseError::CriticalAbsent("4".into()))
    );
    for spoilt in [
        Cbor::Array(Vec::new()),
        Cbor::Uint(1),
        Cbor::Array(vec![Cbor::Null]),
    ] {
        assert!(refused(&critical(spoilt, none()), &key, &RULE).contains("crit"));
    }
    let text = critical(Cbor::Array(vec![Cbor::text("x")]), none());
    assert_eq!(
        run(&text, &key, &RULE),
        Err(CoseError::CriticalAbsent("\"x\"".into()))
    );
    let unprotected = Draft {
        unprotected: int_map([(2, list(&[1]))]),
        ..draft(-8)
    };
    assert!(
        refused(&unprotected.seal(&key), &key, &RULE).contains("crit: expected in the protected")
    );
}

#[test]
fn the_envelope_is_the_one_asked_for() {
    let key = ed25519(1);
    let parts = draft(-8).parts(&key);
    let tag = |number, inner: &Cbor| Cbor::Tag(number, Box::new(inner.clone()));
    let tagged = tag(18, &parts);
    let forms = [parts.clone(), tagged.clone(), tag(61, &tagged)];
    let envelopes = [Envelope::Untagged, Envelope::Tagged, Envelope::Cwt];
    for (at, form) in forms.iter().enumerate() {
        for (asked, envelope) in envelopes.into_iter().enumerate() {
            let accept = Accept { envelope, ..RULE };
            let outcome = run(&form.encode(), &key, &accept);
            assert_eq!(outcome.is_ok(), at == asked, "form {at} as {envelope:?}");
        }
    }
    for other in [
        tag(98, &parts),
        tag(17, &parts),
        tag(18, &tagged),
        tag(61, &parts),
    ] {
        for envelope in envelopes {
            let accept = Accept { envelope, ..RULE };
            assert!(run(&other.encode(), &key, &accept).is_err());
        }
    }
}

#[test]
fn external_data_and_payload_are_signed() {
    let key = ed25519(1);
    let external = Draft {
        external: b"aad".to_vec(),
        ..draft(-8)
    };
    let sealed = external.seal(&key);
    let accept = |external_aad| Accept {
        external_aad,
        ..RULE
    };
    assert!(run(&sealed, &key, &accept(b"aad")).is_ok());
    assert!(run(&sealed, &key, &accept(b"aae")).is_err());
    assert!(run(&sealed, &key, &RULE).is_err());
    let other = Draft {
        signed_payload: b"another".to_vec(),
        ..draft(-8)
    };
    assert!(run(&other.seal(&key), &key, &RULE).is_err());
}

#[test]
fn a_detached_payload_needs_the_callers_and_only_then() {
    let key = ed25519(1);
    let detached = |payload| Accept {
        detached: Some(payload),
        ..RULE
    };
    let sealed = Draft {
        payload: None,
        ..draft(-8)
    }
    .seal(&key);
    assert_eq!(
        run(&sealed, &key, &detached(b"payload")),
        Ok(b"payload".to_vec())
    );
    assert!(run(&sealed, &key, &detached(b"payloae")).is_err());
    assert!(refused(&sealed, &key, &RULE).contains("expected a payload in the object, got none"));
    let carried = draft(-8).seal(&key);
    let error = refused(&carried, &key, &detached(b"payload"));
    assert!(error.contains("expected a detached payload"), "{error}");
}

#[test]
fn a_chain_is_bytes_and_nothing_more() {
    let key = ed25519(1);
    let chain = |value: Cbor| {
        let sealed = Draft {
            unprotected: int_map([(33, value)]),
            ..draft(-8)
        }
        .seal(&key);
        let message = Message::parse(&sealed, Envelope::Tagged).unwrap();
        message
            .headers()
            .x5chain()
            .map(|chain| chain.iter().map(|c| c.to_vec()).collect::<Vec<_>>())
    };
    let many = |count: usize| Cbor::Array(vec![Cbor::bytes([7]); count]);
    assert_eq!(chain(Cbor::bytes([7])), Ok(vec![vec![7]]));
    assert_eq!(chain(many(2)), Ok(vec![vec![7]; 2]));
    assert_eq!(chain(many(8)).unwrap().len(), 8);
    for spoilt in [
        many(0),
        many(1),
        many(9),
        Cbor::Uint(1),
        Cbor::Array(vec![Cbor::Uint(1); 2]),
    ] {
        assert!(chain(spoilt).is_err());
    }
    let sealed = draft(-8).seal(&key);
    let message = Message::parse(&sealed, Envelope::Tagged).unwrap();
    assert_eq!(message.headers().x5chain(), Ok(Vec::new()));
    assert_eq!(
        (message.headers().kid(), message.payload()),
        (None, Some(&b"payload"[..]))
    );
}

fn several(keys: &[&TestKey]) -> Vec<u8> {
    let protected = int_map([(1, Cbor::int(-8))]).encode();
    let signature = |key: &&TestKey| {
        let signed = Cbor::Array(vec![
            Cbor::text("Signature"),
            Cbor::bytes([]),
            Cbor::bytes(&protected),
            Cbor::bytes([]),
            Cbor::bytes(b"payload"),
        ]);
        let parts = vec![
            Cbor::bytes(&protected),
            Cbor::Map(Vec::new()),
            Cbor::bytes((key.sign)(&signed.encode())),
        ];
        Cbor::Array(parts)
    };
    let parts = vec![
        Cbor::bytes([]),
        Cbor::Map(Vec::new()),
        Cbor::bytes(b"payload"),
        Cbor::Array(keys.iter().map(signature).collect()),
    ];
    Cbor::Tag(98, Box::new(Cbor::Array(parts))).encode()
}

#[test]
fn several_signers_are_exactly_those_expected_in_their_order() {
    let (one, two) = (ed25519(1), ed25519(2));
    let (a, b) = (one.public.clone(), two.public.clone());
    let sealed = several(&[&one, &two]);
    let run =
        |bytes: &[u8], keys: &[PublicKey]| verify_several(bytes, keys, &RULE).map(<[u8]>::to_vec);
    assert_eq!(
        run(&sealed, &[a.clone(), b.clone()]),
        Ok(b"payload".to_vec())
    );
    assert!(matches!(
        run(&sealed, &[b.clone(), a.clone()]),
        Err(CoseError::Signature(_))
    ));
    for keys in [
        vec![],
        vec![a.clone()],
        vec![b.clone()],
        vec![a.clone(), b.clone(), a.clone()],
    ] {
        let count = CoseError::SignerCount {
            expected: keys.len(),
            actual: 2,
        };
        assert_eq!(run(&sealed, &keys), Err(count));
    }
    assert!(run(&several(&[]), &[]).is_err());
    assert!(matches!(
        run(&several(&[&one; 17]), &vec![a.clone(); 17]),
        Err(CoseError::SignerCount {
            expected: 16,
            actual: 17
        })
    ));
    assert!(run(&several(&[&one; 16]), &vec![a.clone(); 16]).is_ok());
    let keys = [a, b];
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(run(&bad, &keys).is_err(), "byte {at}");
        assert!(run(&sealed[..at], &keys).is_err(), "cut {at}");
    }
    assert!(verify(&sealed, &keys[0], &RULE).is_err());
    let single = draft(-8).seal(&one);
    assert!(run(&single, &keys[..1]).is_err());
}

fn cose_key(entries: impl IntoIterator<Item = (i64, Cbor)>) -> Result<CoseKey, CoseError> {
    CoseKey::parse(&int_map(entries).encode())
}

#[test]
fn keys_of_each_kind_are_read() {
    let okp = [
        (1, Cbor::int(1)),
        (-1, Cbor::int(6)),
        (-2, Cbor::bytes([3; 32])),
    ];
    let parsed = cose_key(okp.clone()).unwrap();
    assert_eq!(parsed.key, PublicKey::Ed25519([3; 32]));
    assert_eq!((parsed.algorithm, parsed.kid), (None, None));
    let more = [
        (2, Cbor::bytes([9])),
        (3, Cbor::int(-8)),
        (4, Cbor::Array(vec![Cbor::int(1), Cbor::int(2)])),
    ];
    let parsed = cose_key(okp.into_iter().chain(more)).unwrap();
    assert_eq!(
        (parsed.algorithm, parsed.kid),
        (Some(Algorithm::EdDsa), Some(vec![9]))
    );
    for (number, curve) in [(1, Curve::P256), (2, Curve::P384), (3, Curve::P521)] {
        let (x, y) = (vec![1; curve.size()], vec![2; curve.size()]);
        let entries = [
            (1, Cbor::int(2)),
            (-1, Cbor::int(number)),
            (-2, Cbor::bytes(&x)),
            (-3, Cbor::bytes(&y)),
        ];
        assert_eq!(
            cose_key(entries).unwrap().key,
            PublicKey::Ecc { curve, x, y }
        );
    }
    let entries = [
        (1, Cbor::int(3)),
        (-1, Cbor::bytes([0xc1; 256])),
        (-2, Cbor::bytes([1, 0, 1])),
    ];
    let expected = PublicKey::Rsa {
        modulus: vec![0xc1; 256],
        exponent: 65_537,
    };
    assert_eq!(cose_key(entries).unwrap().key, expected);
}

/// Each is the good key with one entry replaced or added, and what the refusal says.
#[test]
fn keys_that_are_not_usable_are_refused() {
    let ec: [(i64, Cbor); 4] = [
        (1, Cbor::int(2)),
        (-1, Cbor::int(1)),
        (-2, Cbor::bytes([1; 32])),
        (-3, Cbor::bytes([2; 32])),
    ];
    let rsa: [(i64, Cbor); 3] = [
        (1, Cbor::int(3)),
        (-1, Cbor::bytes([0xc1; 256])),
        (-2, Cbor::bytes([1, 0, 1])),
    ];
    let okp: [(i64, Cbor); 3] = [
        (1, Cbor::int(1)),
        (-1, Cbor::int(6)),
        (-2, Cbor::bytes([3; 32])),
    ];
    let with = |base: &[(i64, Cbor)], label: i64, value: Cbor| {
        let others = base.iter().filter(|(key, _)| *key != label).cloned();
        cose_key(others.chain([(label, value)]))
            .unwrap_err()
            .to_string()
    };
    for (text, expected) in [
        (
            with(&ec, -4, Cbor::bytes([5; 32])),
            "no further key, got key -4",
        ),
        (with(&ec, 5, Cbor::bytes([5])), "no further key, got key 5"),
        (with(&ec, -2, Cbor::bytes([1; 31])), "x: expected 32 bytes"),
        (with(&ec, -3, Cbor::bytes([1; 33])), "y: expected 32 bytes"),
        (with(&ec, -3, Cbor::Bool(true)), "y: expected a byte string"),
        (with(&ec, -1, Cbor::int(8)), "EC2 curve 8"),
        (with(&ec, 3, Cbor::int(-35)), "ES384 does not fit"),
        (with(&ec, 3, Cbor::int(-8)), "EdDSA does not fit"),
        (
            with(&ec, 4, Cbor::Array(vec![Cbor::int(1)])),
            "key_ops without verify",
        ),
        (
            with(&ec, 4, Cbor::Array(vec![])),
            "key_ops: expected an array",
        ),
        (with(&ec, 1, Cbor::int(4)), "kty 4"),
        (with(&ec, 2, Cbor::Uint(1)), "kid: expected a byte string"),
        (with(&okp, -1, Cbor::int(4)), "OKP curve 4"),
        (with(&okp, -2, Cbor::bytes([3; 31])), "x: expected 32 bytes"),
        (
            with(&rsa, -1, Cbor::bytes([0, 0xc1])),
            "a modulus of 2 bytes",
        ),
        (
            with(&rsa, -1, Cbor::bytes([0xc1; 513])),
            "a modulus of 513 bytes",
        ),
        (with(&rsa, -1, Cbor::bytes([])), "a modulus of 0 bytes"),
        (
            with(&rsa, -2, Cbor::bytes([1, 0, 0, 0, 1])),
            "an exponent of 5 bytes",
        ),
        (
            with(&rsa, -2, Cbor::bytes([0, 3])),
            "an exponent of 2 bytes",
        ),
        (with(&rsa, -2, Cbor::bytes([])), "an exponent of 0 bytes"),
    ] {
        assert!(text.contains(expected), "expected {expected}, got {text}");
    }
    let sized = |size: usize| {
        let error = CoseKey::parse(&vec![0; size]).unwrap_err();
        error.to_string().contains(&format!("{size} bytes"))
    };
    let largest = COSE_KEY_BYTES_MAX;
    assert!(!sized(largest) && sized(largest + 1) && sized(largest + 2));
}
