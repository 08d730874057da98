use super::*;
use crate::testing::SessionSigner;
use assay_protocol::cose::{self, Signer as _};
use proptest::prelude::*;

fn check(name: &str, outcome: Outcome) -> Check {
    Check {
        name: name.into(),
        outcome,
        expected: "a".into(),
        actual: "b".into(),
    }
}

fn good() -> Ear {
    let tpm = TrustVector::new()
        .with(Area::InstanceIdentity, TrustClaim::AFFIRMED)
        .with(Area::Executables, TrustClaim::BOOT_AFFIRMED);
    let snp = TrustVector::new().with(Area::Hardware, TrustClaim::UNSAFE);
    let module = |name: &str, vector| Module {
        name: name.into(),
        vector,
    };
    Ear {
        node: NodeId([1; 32]),
        nonce: Nonce([2; 32]),
        issued_at_s: 1_793_491_200,
        build: "assay 0.1.0".into(),
        modules: vec![module("sev-snp", snp), module("tpm", tpm)],
        tier: 1,
        policy: Digest([3; 32]),
        evidence: Digest([4; 32]),
        checks: vec![
            check("quote-magic", Outcome::Pass),
            check("snp-tcb", Outcome::Undecided),
        ],
    }
}

fn decode(bytes: &[u8]) -> Result<Ear, CborError> {
    Ear::from_field(Field::new("EAR", Value::decode(bytes)?))
}

#[test]
fn a_result_is_filed_under_its_node_and_time() {
    use assay_protocol::cose::Payload as _;
    assert_eq!(good().subject(), "01".repeat(32));
    assert_eq!(good().issued_at_s(), 1_793_491_200);
}

#[test]
fn areas_and_statuses_have_the_names_of_the_draft() {
    let areas = Area::ALL.map(Area::name);
    assert_eq!(
        areas,
        [
            "instance-identity",
            "configuration",
            "executables",
            "file-system",
            "hardware",
            "runtime-opaque",
            "storage-opaque",
            "sourced-data",
        ]
    );
    let statuses = [
        Status::None,
        Status::Affirming,
        Status::Warning,
        Status::Contraindicated,
    ];
    assert_eq!(
        statuses.map(Status::name),
        ["none", "affirming", "warning", "contraindicated"]
    );
}

#[test]
fn a_signed_result_opens_to_itself_and_every_flipped_byte_is_refused() {
    let key = SessionSigner::new(1);
    let sealed = cose::seal(good(), &key);
    let opened = cose::open::<Ear>(sealed.bytes(), &key.public_key()).unwrap();
    assert_eq!(opened.payload(), &good());
    for at in 0..sealed.bytes().len() {
        let mut bad = sealed.bytes().to_vec();
        bad[at] ^= 1;
        assert!(
            cose::open::<Ear>(&bad, &key.public_key()).is_err(),
            "byte {at}"
        );
        let cut = &sealed.bytes()[..at];
        assert!(
            cose::open::<Ear>(cut, &key.public_key()).is_err(),
            "cut {at}"
        );
    }
    let other = SessionSigner::new(2).public_key();
    assert!(cose::open::<Ear>(sealed.bytes(), &other).is_err());
}

#[test]
fn any_coset_reader_sees_the_claims_of_the_draft() {
    let sealed = cose::seal(good(), &SessionSigner::new(1));
    use coset::TaggedCborSerializable as _;
    let foreign = coset::CoseSign1::from_tagged_slice(sealed.bytes()).unwrap();
    let payload = foreign.payload.unwrap();
    let claims: ciborium::Value = ciborium::from_reader(payload.as_slice()).unwrap();
    let get = |map: &ciborium::Value, label: i64| -> ciborium::Value {
        let entries = map.as_map().unwrap();
        let found = entries
            .iter()
            .find(|(key, _)| *key == ciborium::Value::from(label));
        found.unwrap().1.clone()
    };
    assert_eq!(get(&claims, 265), ciborium::Value::from(EAR_PROFILE));
    assert_eq!(get(&claims, 6), ciborium::Value::from(1_793_491_200));
    let identity = get(&claims, 1004);
    assert_eq!(get(&identity, 0), ciborium::Value::from(DEVELOPER));
    assert_eq!(get(&identity, 1), ciborium::Value::from("assay 0.1.0"));
    let modules = get(&claims, 266);
    let (name, record) = &modules.as_map().unwrap()[0];
    assert_eq!(name.as_text(), Some("tpm"));
    assert_eq!(get(record, 1000), ciborium::Value::from(2));
    assert_eq!(get(&get(record, 1001), 2), ciborium::Value::from(3));
    let policy = format!("sha-256:{}", "03".repeat(32));
    assert_eq!(
        get(record, 1003),
        ciborium::Value::Array(vec![policy.into()])
    );
    assert_eq!(
        get(&modules.as_map().unwrap()[1].1, 1000),
        ciborium::Value::from(32)
    );
}

/// The exact bytes of one result: what is signed does not change by accident.
#[test]
fn the_encoding_is_pinned() {
    let digest = assay_protocol::hash::digest(&[&good().value().encode()]);
    assert_eq!(
        digest.to_string(),
        "0ee096cda6f35f27429a1e553a935ed3c099b185111cb0eef800a453f2cc0134"
    );
}

#[test]
fn a_result_that_contradicts_itself_is_refused() {
    type Spoil = fn(&mut Ear);
    let cases: [(Spoil, &str); 17] = [
        (|e| e.modules.clear(), "submods"),
        (|e| e.modules.swap(0, 1), "submods"),
        (|e| e.modules[1].name = "sev-snp".into(), "submods"),
        (|e| e.modules[0].name.clear(), "submods"),
        (|e| e.modules[1].name = "t".repeat(65), "submods"),
        (
            |e| {
                let one = e.modules[1].clone();
                e.modules = (0..9)
                    .map(|n| Module {
                        name: format!("m{n}"),
                        ..one.clone()
                    })
                    .collect();
            },
            "submods",
        ),
        (
            |e| e.modules[0].vector = TrustVector::new(),
            "trustworthiness vector",
        ),
        (|e| e.build.clear(), "build"),
        (|e| e.build = "b".repeat(65), "build"),
        (|e| e.checks.clear(), "checks"),
        (
            |e| e.checks = vec![e.checks[0].clone(); CHECKS_MAX + 1],
            "checks",
        ),
        (|e| e.checks[0].name = "n".repeat(65), "checks"),
        (|e| e.checks[0].expected = "x".repeat(513), "checks"),
        (|e| e.checks[0].actual = "x".repeat(513), "checks"),
        (|e| e.tier = 4, "tier"),
        (
            |e| {
                let vector = e.modules[0].vector.clone();
                e.modules[0].vector = vector.with(Area::Hardware, TrustClaim::NOT_GENUINE);
            },
            "tier: expected 0 when contraindicated",
        ),
        (
            |e| {
                let vector = e.modules[1].vector.clone();
                e.modules[1].vector = vector.with(Area::Executables, TrustClaim::CRYPTO_FAILED);
            },
            "tier: expected 0 when contraindicated",
        ),
    ];
    for (at, (spoil, what)) in cases.into_iter().enumerate() {
        let mut ear = good();
        spoil(&mut ear);
        let error = ear.validate().unwrap_err().to_string();
        assert!(error.contains(what), "case {at}: {error}");
        // A map has no order of its own: written, the swapped submodules are the good ones.
        let swapped = at == 1;
        assert_eq!(decode(&ear.value().encode()).is_ok(), swapped, "case {at}");
    }
}

#[test]
fn what_is_at_its_cap_is_accepted() {
    let mut ear = good();
    let one = ear.modules[1].clone();
    ear.modules = (0..8)
        .map(|n| Module {
            name: format!("{n}{}", "m".repeat(63)),
            ..one.clone()
        })
        .collect();
    ear.build = "b".repeat(64);
    ear.tier = 3;
    ear.checks = vec![
        Check {
            name: "n".repeat(64),
            outcome: Outcome::Fail,
            expected: "é".repeat(256),
            actual: "x".repeat(512),
        };
        CHECKS_MAX
    ];
    assert_eq!(ear.validate(), Ok(()));
    let bytes = cose::seal(ear.clone(), &SessionSigner::new(1))
        .bytes()
        .to_vec();
    assert!(bytes.len() <= EAR_BYTES_MAX, "{}", bytes.len());
    assert_eq!(decode(&ear.value().encode()), Ok(ear));
    let mut contraindicated = good();
    contraindicated.tier = 0;
    let vector = TrustVector::new().with(Area::Hardware, TrustClaim::CONTRAINDICATED);
    contraindicated.modules[0].vector = vector;
    assert_eq!(contraindicated.validate(), Ok(()));
    assert_eq!(contraindicated.status(), Status::Contraindicated);
    assert_eq!(good().status(), Status::Warning);
}

/// A good result, encoded, with another value of one claim.
fn with_claim(label: i64, value: Option<Value<'_>>) -> Vec<u8> {
    let good = good();
    let Value::Map(mut entries) = good.value() else {
        panic!()
    };
    entries.retain(|(key, _)| *key != Value::int(label));
    entries.extend(value.map(|value| (Value::int(label), value)));
    Value::Map(entries).encode()
}

#[test]
fn claims_that_repeat_others_must_agree_and_further_ones_are_refused() {
    let refuse = |label: i64, value: Option<Value>| {
        let bytes = with_claim(label, value.clone());
        assert!(decode(&bytes).is_err(), "{label}: {value:?}");
    };
    let identity = |developer: &'static str| {
        int_map([(0, Value::text(developer)), (1, Value::text("assay 0.1.0"))])
    };
    assert!(decode(&with_claim(1004, Some(identity(DEVELOPER)))).is_ok());
    refuse(1004, Some(identity("https://other.example")));
    refuse(265, Some(Value::text("tag:assay.example,2026:ear/2")));
    refuse(256, Some(Value::bytes([&[2u8][..], &[1; 32]].concat())));
    refuse(256, Some(Value::bytes([1; 34])));
    refuse(5, Some(Value::Uint(1)));
    refuse(label::RAW_EVIDENCE, Some(Value::bytes([1])));
    for required in [
        6,
        10,
        256,
        265,
        266,
        1004,
        label::TIER,
        label::POLICY,
        label::EVIDENCE,
        label::CHECKS,
    ] {
        refuse(required, None);
    }
    refuse(
        label::CHECKS,
        Some(Value::Array(vec![Value::Array(vec![
            Value::text("n"),
            Value::Uint(3),
            Value::text("a"),
            Value::text("b"),
        ])])),
    );
    refuse(266, Some(Value::Uint(1)));
    // Status, vector and policy ids of a submodule.
    let record = |status: u64, area: i64, claim: i64, policy: u8| {
        let ids = Value::Array(vec![Value::text(format!(
            "sha-256:{}",
            Digest([policy; 32])
        ))]);
        let record = int_map([
            (1000, Value::Uint(status)),
            (1001, int_map([(area, Value::int(claim))])),
            (1003, ids),
        ]);
        Some(Value::Map(vec![(Value::text("tpm"), record)]))
    };
    assert!(decode(&with_claim(266, record(2, 0, 2, 3))).is_ok());
    assert!(decode(&with_claim(266, record(2, 7, -32, 3))).is_ok());
    for spoilt in [
        record(0, 0, 2, 3),
        record(2, 0, 32, 3),
        record(2, 8, 2, 3),
        record(2, -1, 2, 3),
        record(96, 0, 128, 3),
        record(96, 0, -129, 3),
        record(2, 0, 2, 4),
    ] {
        refuse(266, spoilt);
    }
}

#[test]
fn the_scale_has_its_edges_where_the_draft_puts_them() {
    use Status as S;
    for (number, status) in [
        (-128, S::Contraindicated),
        (-97, S::Contraindicated),
        (-96, S::Warning),
        (-33, S::Warning),
        (-32, S::Affirming),
        (-2, S::Affirming),
        (-1, S::None),
        (0, S::None),
        (1, S::None),
        (2, S::Affirming),
        (31, S::Affirming),
        (32, S::Warning),
        (95, S::Warning),
        (96, S::Contraindicated),
        (127, S::Contraindicated),
    ] {
        assert_eq!(TrustClaim(number).status(), status, "{number}");
    }
    let numbers = [S::None, S::Affirming, S::Warning, S::Contraindicated].map(S::number);
    assert_eq!(numbers, [0, 2, 32, 96]);
    let areas: Vec<i64> = Area::ALL.iter().map(|area| area.number()).collect();
    assert_eq!(areas, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn of_two_claims_about_one_area_the_worse_counts() {
    let area = Area::Hardware;
    for (first, second) in [
        (TrustClaim::AFFIRMED, TrustClaim::UNSAFE),
        (TrustClaim::UNSAFE, TrustClaim::AFFIRMED),
        (TrustClaim::NONE, TrustClaim::UNSAFE),
    ] {
        let vector = TrustVector::new().with(area, first).with(area, second);
        assert_eq!(vector.get(area), Some(TrustClaim::UNSAFE));
        assert_eq!(vector.status(), Status::Warning);
    }
    let silent = TrustVector::new().with(area, TrustClaim::VERIFIER_MALFUNCTION);
    let mixed = silent.clone().with(Area::Executables, TrustClaim::AFFIRMED);
    assert_eq!(
        (silent.status(), mixed.status()),
        (Status::None, Status::None)
    );
    assert_eq!(TrustVector::new().status(), Status::None);
    assert_eq!(mixed.get(Area::FileSystem), None);
}

#[test]
fn long_texts_are_cut_between_characters() {
    assert_eq!(cut("abc", 3), "abc");
    assert_eq!(cut("abcdefgh", 7), "abcd…");
    assert_eq!(cut("ééééé", 8), "éé…");
    let long = Check {
        name: "n".repeat(100),
        outcome: Outcome::Fail,
        expected: "é".repeat(1_000),
        actual: String::new(),
    };
    let fitted = Ear::fit_checks([&long].into_iter().map(CheckView::from));
    assert_eq!((fitted[0].name.len(), fitted[0].actual.len()), (64, 0));
    assert!((510..=512).contains(&fitted[0].expected.len()));
    assert_eq!(Ear::fit_checks(fitted.iter().map(CheckView::from)), fitted);
}

fn ears() -> impl Strategy<Value = Ear> {
    let vector = proptest::collection::btree_map(0usize..8, any::<i8>(), 1..8).prop_map(|claims| {
        let add = |vector: TrustVector, (area, claim): (usize, i8)| {
            vector.with(Area::ALL[area], TrustClaim(claim))
        };
        claims.into_iter().fold(TrustVector::new(), add)
    });
    let modules = proptest::collection::btree_map("[a-z]{1,20}", vector, 1..8);
    let outcome = prop_oneof![
        Just(Outcome::Pass),
        Just(Outcome::Fail),
        Just(Outcome::Undecided)
    ];
    let check = ("[a-z-]{0,40}", outcome, ".{0,80}", ".{0,80}").prop_map(
        |(name, outcome, expected, actual)| Check {
            name,
            outcome,
            expected,
            actual,
        },
    );
    let checks = proptest::collection::vec(check, 1..10);
    (any::<[u8; 32]>(), any::<u64>(), modules, checks, 0u8..4).prop_map(
        |(bytes, issued_at_s, modules, checks, tier)| {
            let modules: Vec<Module> = modules
                .into_iter()
                .map(|(name, vector)| Module { name, vector })
                .collect();
            let mut ear = Ear {
                node: NodeId(bytes),
                nonce: Nonce(bytes),
                issued_at_s,
                modules,
                policy: Digest(bytes),
                evidence: Digest(bytes),
                checks,
                tier,
                ..good()
            };
            if ear.status() == Status::Contraindicated {
                ear.tier = 0;
            }
            ear
        },
    )
}

proptest! {
    #[test]
    fn results_decode_to_themselves(ear in ears()) {
        prop_assert_eq!(ear.validate(), Ok(()));
        let bytes = ear.value().encode();
        prop_assert_eq!(decode(&bytes).unwrap(), ear);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }
}
