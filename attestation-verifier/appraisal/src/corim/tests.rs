//! Manifests written and signed by code.

mod policy;
mod values;

use super::*;
use crate::checks::{Mode, Outcome};
use crate::testing::SessionSigner;
use assay_protocol::cbor::{self, int_map};
use assay_protocol::cose::Signer as _;
use assay_protocol::hash::digest;
use assay_protocol::ids::{Digest, UnixMs};

type Value = cbor::Value<'static>;

/// 2026-11-01, seconds.
const NOW_S: i64 = 1_793_491_200;
const AT: UnixMs = UnixMs(1_793_491_200_000);

fn tag(number: u64, inner: Value) -> Value {
    Value::Tag(number, Box::new(inner))
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

fn spki(byte: u8) -> Vec<u8> {
    let head = hex::decode("302a300506032b6570032100").unwrap();
    [&head[..], &SessionSigner::new(byte).public_key()].concat()
}

fn pinned(byte: u8) -> PinnedKey {
    PinnedKey::from_spki(&spki(byte)).unwrap()
}

fn window(not_before_s: i64, not_after_s: i64) -> Value {
    let time = |s| tag(1, Value::int(s));
    int_map([(0, time(not_before_s)), (1, time(not_after_s))])
}

fn sha256(byte: u8) -> Value {
    list([Value::Uint(1), Value::bytes([byte; 32])])
}

/// A measurement-map.
fn measured(key: Option<Value>, values: impl IntoIterator<Item = (i64, Value)>) -> Value {
    let key = key.map(|key| (0, key));
    int_map(key.into_iter().chain([(1, int_map(values))]))
}

fn pcr(key: Value, byte: u8) -> Value {
    measured(Some(key), [(2, list([sha256(byte)]))])
}

fn environment(model: &'static str) -> Value {
    int_map([(
        0,
        int_map([(1, Value::text("ACME")), (2, Value::text(model))]),
    )])
}

fn triple(environment: Value, measurements: impl IntoIterator<Item = Value>) -> Value {
    list([environment, list(measurements)])
}

/// A manifest; each part may be spoilt by a test.
#[derive(Clone)]
struct Draft {
    triples: Vec<(i64, Value)>,
    comid: Vec<(i64, Value)>,
    corim: Vec<(i64, Value)>,
    header: Vec<(i64, Value)>,
    unprotected: Vec<(i64, Value)>,
}

fn draft(references: impl IntoIterator<Item = Value>) -> Draft {
    let meta = int_map([
        (0, int_map([(0, Value::text("ACME signing"))])),
        (1, window(NOW_S - 10, NOW_S + 10)),
    ]);
    Draft {
        triples: vec![(0, list(references))],
        comid: vec![(1, int_map([(0, Value::text("tag"))]))],
        corim: vec![
            (0, Value::text("manifest")),
            (4, window(NOW_S - 20, NOW_S + 20)),
        ],
        header: vec![
            (1, Value::int(-8)),
            (3, Value::text("application/rim+cbor")),
            (8, Value::bytes(meta.encode())),
        ],
        unprotected: Vec::new(),
    }
}

fn pcrs() -> Draft {
    draft([triple(
        environment("one"),
        [pcr(Value::Uint(4), 0x44), pcr(Value::text("PCR7"), 0x77)],
    )])
}

fn replace(entries: &mut Vec<(i64, Value)>, key: i64, value: Option<Value>) {
    entries.retain(|(other, _)| *other != key);
    entries.extend(value.map(|value| (key, value)));
}

impl Draft {
    fn comid(&self) -> Vec<u8> {
        let mut comid = self.comid.clone();
        comid.push((4, int_map(self.triples.clone())));
        int_map(comid).encode()
    }

    fn unsigned(&self) -> Vec<u8> {
        let mut corim = self.corim.clone();
        if !corim.iter().any(|(key, _)| *key == 1) {
            corim.push((1, list([tag(506, Value::bytes(self.comid()))])));
        }
        tag(501, int_map(corim)).encode()
    }

    fn signed(&self) -> Vec<u8> {
        let (protected, payload) = (int_map(self.header.clone()).encode(), self.unsigned());
        let signed = list([
            Value::text("Signature1"),
            Value::bytes(&protected),
            Value::bytes([]),
            Value::bytes(&payload),
        ]);
        let signature = SessionSigner::new(1).sign(&signed.encode());
        let parts = [
            Value::bytes(protected),
            int_map(self.unprotected.clone()),
            Value::bytes(payload),
            Value::bytes(signature),
        ];
        tag(18, list(parts)).encode()
    }

    fn corim(mut self, key: i64, value: Option<Value>) -> Self {
        replace(&mut self.corim, key, value);
        self
    }

    fn header(mut self, key: i64, value: Option<Value>) -> Self {
        replace(&mut self.header, key, value);
        self
    }

    fn import(&self) -> Result<ReferenceValues, Refused> {
        import_at(&self.signed(), AT)
    }
}

fn import_at(bytes: &[u8], at: UnixMs) -> Result<ReferenceValues, Refused> {
    let keys = [pinned(1)];
    let in_mode = |mode| import(bytes, &Trust { keys: &keys, at }, mode);
    let verified = in_mode(Mode::Verify);
    // Explaining goes on after a failure; it must yield no more than verifying does.
    assert_eq!(in_mode(Mode::Explain).is_ok(), verified.is_ok());
    verified
}

/// The name and the text of the check that stopped an import.
fn stopped(outcome: Result<ReferenceValues, Refused>) -> (String, String) {
    let checks = outcome.unwrap_err().checks;
    let last = checks.last().unwrap();
    assert_eq!(last.outcome, Outcome::Fail);
    (last.name.into(), last.actual.into())
}

#[test]
fn a_signed_manifest_gives_pcr_values_for_a_class() {
    let values = pcrs().import().unwrap();
    assert_eq!((values.id(), values.profile()), ("manifest", None));
    assert_eq!(values.signer(), digest(&[&spki(1)]));
    assert_eq!(
        values.manifest().signature.as_ref().unwrap().name,
        "ACME signing"
    );
    let mut checks = values.checks().iter();
    assert!(checks.len() > 3 && checks.all(|check| check.outcome == Outcome::Pass));
    let sets = values.pcr_references().unwrap();
    assert_eq!(sets.len(), 1);
    assert_eq!(
        sets[0].environment.to_string(),
        "vendor \"ACME\", model \"one\""
    );
    let found: Vec<(u8, Vec<Digest>)> = sets[0]
        .pcrs
        .iter()
        .map(|p| (p.index, p.allowed.clone()))
        .collect();
    assert_eq!(
        found,
        [(4, vec![Digest([0x44; 32])]), (7, vec![Digest([0x77; 32])])]
    );
}

#[test]
fn every_flipped_byte_and_every_truncation_is_refused() {
    let signed = pcrs().signed();
    for at in 0..signed.len() {
        let mut bad = signed.clone();
        bad[at] ^= 1;
        assert!(import_at(&bad, AT).is_err(), "byte {at}");
        assert!(import_at(&signed[..at], AT).is_err(), "cut {at}");
    }
    assert!(import_at(&[&signed[..], &[0]].concat(), AT).is_err());
}

#[test]
fn an_unsigned_manifest_is_shown_and_never_imported() {
    let unsigned = pcrs().unsigned();
    let manifest = read(&unsigned).unwrap();
    assert_eq!((manifest.references.len(), manifest.signature), (1, None));
    let (name, actual) = stopped(import_at(&unsigned, AT));
    assert_eq!(
        (name.as_str(), actual.as_str()),
        ("corim-signed", "an unsigned manifest")
    );
    assert_eq!(stopped(import_at(b"", AT)).0, "corim-signed");
    let mut several = pcrs().signed();
    several.splice(0..1, [0xd8, 98]);
    assert_eq!(stopped(import_at(&several, AT)).0, "corim-signed");
}

#[test]
fn the_signer_is_pinned_by_key_and_by_nothing_else() {
    let signed = pcrs().signed();
    let with = |keys: &[PinnedKey]| import(&signed, &Trust { keys, at: AT }, Mode::Verify);
    for keys in [
        vec![],
        vec![pinned(2)],
        vec![pinned(1); PINNED_KEYS_MAX + 1],
    ] {
        assert_eq!(stopped(with(&keys)).0, "corim-signature");
    }
    let values = with(&[pinned(2), pinned(1)]).unwrap();
    assert_eq!(values.signer(), pinned(1).digest());
    assert!(with(&vec![pinned(1); PINNED_KEYS_MAX]).is_ok());
    // A chain whose leaf is the signer's key changes nothing.
    let mut chained = pcrs();
    chained.unprotected = vec![(33, Value::bytes(spki(1)))];
    let keys = [pinned(2)];
    let outcome = import(
        &chained.signed(),
        &Trust {
            keys: &keys,
            at: AT,
        },
        Mode::Verify,
    );
    assert_eq!(stopped(outcome).0, "corim-signature");
    let shown = read(&chained.signed()).unwrap().signature.unwrap();
    assert_eq!(shown.x5chain, [spki(1)]);
    assert!(PinnedKey::from_spki(&[0]).is_err());
}

#[test]
fn both_periods_are_kept_to_the_second() {
    let at = |s: i64| UnixMs(u64::try_from(s).unwrap() * 1_000);
    let signed = pcrs().signed();
    for (offset, inside) in [(-11, false), (-10, true), (10, true), (11, false)] {
        let outcome = import_at(&signed, at(NOW_S + offset));
        assert_eq!(outcome.is_ok(), inside, "{offset}");
        if !inside {
            assert_eq!(stopped(outcome).0, "corim-signature-validity");
        }
    }
    let narrow = pcrs().corim(4, Some(window(NOW_S - 5, NOW_S + 5))).signed();
    for (offset, inside) in [(-6, false), (-5, true), (5, true), (6, false)] {
        let outcome = import_at(&narrow, at(NOW_S + offset));
        assert_eq!(outcome.is_ok(), inside, "{offset}");
        if !inside {
            assert_eq!(stopped(outcome).0, "corim-validity");
        }
    }
    // An open period is open, not empty.
    let meta = int_map([(0, int_map([(0, Value::text("s"))]))]).encode();
    let open = pcrs()
        .corim(4, None)
        .header(8, Some(Value::bytes(meta)))
        .signed();
    assert!(import_at(&open, UnixMs(0)).is_ok() && import_at(&open, UnixMs(u64::MAX)).is_ok());
}

#[test]
fn cwt_claims_say_signer_and_period_too() {
    let claims = |exp: i64| {
        int_map([
            (1, Value::text("iss")),
            (4, Value::int(exp)),
            (5, Value::int(NOW_S)),
        ])
    };
    let only = |exp| pcrs().header(8, None).header(15, Some(claims(exp)));
    assert!(only(NOW_S + 1).import().is_ok());
    // `exp` is the first second at which it no longer holds.
    assert_eq!(stopped(only(NOW_S).import()).0, "corim-signature-validity");
    // Beside corim-meta, what is inside both counts.
    let both = pcrs().header(15, Some(claims(NOW_S + 100)));
    let before = UnixMs(AT.0 - 1_000);
    assert!(both.import().is_ok());
    assert_eq!(
        stopped(import_at(&both.signed(), before)).0,
        "corim-signature-validity"
    );
    let early = pcrs().header(15, Some(claims(NOW_S)));
    assert_eq!(stopped(early.import()).0, "corim-signature-validity");
    let neither = pcrs().header(8, None);
    assert_eq!(stopped(neither.import()).0, "corim-structure");
}

#[test]
fn headers_of_another_kind_of_object_are_refused() {
    let text = |t: &'static str| Some(Value::text(t));
    for spoilt in [
        pcrs().header(3, None),
        pcrs().header(3, text("application/cwt")),
        pcrs().header(3, Some(Value::Uint(60))),
        pcrs().header(8, Some(Value::bytes(vec![0xa0]))),
        pcrs().header(8, Some(int_map([]))),
        pcrs().header(
            8,
            Some(Value::bytes(
                int_map([(0, int_map([(0, Value::text("s")), (2, Value::Null)]))]).encode(),
            )),
        ),
        pcrs().header(
            8,
            Some(Value::bytes(
                int_map([(0, int_map([(0, Value::text("s"))])), (2, Value::Null)]).encode(),
            )),
        ),
    ] {
        assert_eq!(stopped(spoilt.import()).0, "corim-structure");
    }
    let critical = |labels: &[i64]| {
        let labels = labels.iter().map(|n| Value::int(*n));
        pcrs().header(2, Some(list(labels))).import()
    };
    assert!(critical(&[1, 3, 8]).is_ok());
    let unknown = pcrs()
        .header(40, Some(Value::Null))
        .header(2, Some(list([Value::int(40)])));
    assert_eq!(stopped(unknown.import()).0, "corim-signature");
}

#[test]
fn wrappers_of_older_drafts_are_peeled() {
    let signed = pcrs().signed();
    let outer = |tags: &[u16]| {
        let mut bytes = Vec::new();
        for tag in tags {
            bytes.push(0xd9);
            bytes.extend(tag.to_be_bytes());
        }
        [bytes, signed.clone()].concat()
    };
    for tags in [&[500, 502][..], &[500], &[502]] {
        assert!(import_at(&outer(tags), AT).is_ok(), "{tags:?}");
        assert!(read(&outer(tags)).unwrap().signature.is_some());
    }
    for tags in [&[502, 500][..], &[501], &[500, 500]] {
        assert!(import_at(&outer(tags), AT).is_err(), "{tags:?}");
    }
}

#[test]
fn an_unknown_profile_is_refused() {
    let uri = |text: &'static str| Some(tag(32, Value::text(text)));
    let other = pcrs().corim(3, uri("tag:example.com,2026:other"));
    assert_eq!(
        stopped(other.import()),
        ("corim-profile".into(), "tag:example.com,2026:other".into())
    );
    let oid = pcrs().corim(3, Some(tag(111, Value::bytes([0x2b, 6, 1]))));
    assert_eq!(
        stopped(oid.import()),
        ("corim-profile".into(), "oid 1.3.6.1".into())
    );
    let plain = pcrs().corim(3, Some(Value::text(SNP_PROFILE)));
    assert_eq!(stopped(plain.import()).0, "corim-structure");
}

#[test]
fn a_manifest_without_reference_values_gives_nothing() {
    let mut endorsed = pcrs();
    endorsed.triples = vec![
        (1, list([Value::Null])),
        (9, Value::Null),
        (-3, Value::Null),
    ];
    let (name, actual) = stopped(endorsed.import());
    assert_eq!(name, "corim-values");
    assert!(
        actual.ends_with("endorsed triples, triples of kind 9, triples of kind -3"),
        "{actual}"
    );
    let mut none = pcrs();
    none.triples = Vec::new();
    assert_eq!(stopped(none.import()).0, "corim-structure");
    let mut empty = pcrs();
    empty.triples = vec![(0, list([]))];
    assert_eq!(stopped(empty.import()).0, "corim-structure");
}

#[test]
fn what_is_not_used_is_listed() {
    let mut mixed = pcrs();
    mixed.triples.push((10, Value::Null));
    mixed.comid.push((3, list([Value::Null])));
    let tags = list([tag(505, Value::Null), tag(506, Value::bytes(mixed.comid()))]);
    let mixed = mixed
        .corim(1, Some(tags))
        .corim(2, Some(Value::Null))
        .corim(5, Some(Value::Null));
    let values = mixed.import().unwrap();
    let expected = [
        "dependent-rims",
        "tag 505",
        "linked-tags",
        "conditional-endorsement triples",
    ];
    assert_eq!(values.manifest().ignored, expected);
    assert_eq!(values.references().len(), 1);
}

#[test]
fn explaining_runs_every_check_and_yields_nothing() {
    let late = UnixMs(AT.0 + 100_000);
    let keys = [pinned(2)];
    let other = pcrs().corim(3, Some(tag(32, Value::text("x"))));
    let refused = import(
        &other.signed(),
        &Trust {
            keys: &keys,
            at: late,
        },
        Mode::Explain,
    )
    .unwrap_err();
    let failed = refused
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::Fail);
    let failed: Vec<&str> = failed.map(|check| check.name).collect();
    let expected = [
        "corim-signature",
        "corim-signature-validity",
        "corim-validity",
        "corim-profile",
    ];
    assert_eq!(failed, expected);
    assert!(
        refused
            .to_string()
            .starts_with("CoRIM refused: FAIL      corim-signature:")
    );
}

#[test]
fn a_tag_alone_can_be_shown() {
    let manifest = comid(&pcrs().comid()).unwrap();
    assert_eq!(
        (manifest.id.as_str(), manifest.references.len()),
        ("tag", 1)
    );
    assert!(comid(&pcrs().unsigned()).is_err() && read(&pcrs().comid()).is_err());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(at in 0usize..400, byte in 0u8.., cut in 0usize..400) {
        let mut bytes = pcrs().unsigned();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut % 4);
        let _ = read(&bytes);
    }
}
