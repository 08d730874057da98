//! Environments, measurements and the maps around them.

use super::*;

/// Each measurement with what its refusal must say.
#[test]
fn an_unknown_condition_in_a_reference_triple_is_refused() {
    let key = || Some(Value::Uint(1));
    let digests = |items: Vec<Value>| measured(key(), [(2, list(items))]);
    let digest = |algorithm: Value, bytes: usize| list([algorithm, Value::bytes(vec![1; bytes])]);
    let raw = |values: Vec<(i64, Value)>| measured(key(), values);
    let bytes = |n: usize| tag(560, Value::bytes(vec![1; n]));
    let masked = |value: usize, mask: usize| {
        tag(
            563,
            list([Value::bytes(vec![1; value]), Value::bytes(vec![1; mask])]),
        )
    };
    let register =
        |key: Value, value: Value| measured(None, [(14, Value::Map(vec![(key, value)]))]);
    let cases: Vec<(Value, &str)> = vec![
        (
            measured(key(), []),
            "measurement-values-map: expected a value",
        ),
        (measured(key(), [(13, Value::Null)]), "got key 13"),
        (
            measured(key(), [(2, list([sha256(1)])), (-1, Value::Null)]),
            "got key -1",
        ),
        (
            int_map([(1, int_map([(1, Value::Uint(1))])), (2, list([]))]),
            "measurement-map: expected no further key, got key 2",
        ),
        (int_map([(0, Value::Uint(1))]), "expected key 1 (mval)"),
        (
            measured(Some(Value::int(-1)), [(1, Value::Uint(1))]),
            "measurement key",
        ),
        (
            measured(Some(tag(38, Value::Null)), [(1, Value::Uint(1))]),
            "measurement key",
        ),
        (
            measured(Some(Value::text("x".repeat(513))), [(1, Value::Uint(1))]),
            "at most 512 bytes",
        ),
        (
            digests(vec![]),
            "digests: expected an array that is not empty",
        ),
        (
            digests(vec![sha256(1), sha256(2)]),
            "sha-256 is there twice",
        ),
        (
            digests(vec![digest(Value::Uint(1), 31)]),
            "expected 32 bytes of sha-256, got 31",
        ),
        (
            digests(vec![digest(Value::Uint(7), 32)]),
            "expected 48 bytes",
        ),
        (
            digests(vec![digest(Value::Uint(8), 32)]),
            "expected 64 bytes",
        ),
        (digests(vec![digest(Value::Uint(6), 5)]), "expected 4 bytes"),
        (
            digests(vec![digest(Value::Uint(12), 32)]),
            "expected 64 bytes",
        ),
        (
            digests(vec![digest(Value::Uint(0), 32)]),
            "digest algorithm",
        ),
        (
            digests(vec![digest(Value::Uint(13), 32)]),
            "digest algorithm",
        ),
        (
            digests(vec![digest(Value::int(-16), 32)]),
            "digest algorithm",
        ),
        (
            digests(vec![list([Value::Uint(1)])]),
            "digest: expected an array of 2",
        ),
        (
            digests(
                (0..17)
                    .map(|n| digest(Value::text(format!("{n}")), 1))
                    .collect(),
            ),
            "at most 16",
        ),
        (digests(vec![sha256(1); 18]), "at most 16"),
        // The most there may be are read, one by one.
        (digests(vec![sha256(1); 16]), "twice"),
        (raw(vec![(1, Value::int(-1))]), "svn"),
        (raw(vec![(1, tag(554, Value::Uint(1)))]), "svn"),
        (
            raw(vec![(4, Value::bytes([1]))]),
            "raw-value: expected tag 560",
        ),
        (
            raw(vec![(5, Value::bytes([1]))]),
            "raw-value-mask: expected a raw-value",
        ),
        (
            raw(vec![(4, bytes(2)), (5, Value::bytes([1]))]),
            "raw-value-mask: expected 2 bytes",
        ),
        (
            raw(vec![(4, masked(2, 3))]),
            "raw-value-mask: expected 2 bytes",
        ),
        (
            raw(vec![(4, masked(2, 2)), (5, Value::bytes([1, 1]))]),
            "without another mask",
        ),
        (
            raw(vec![(3, int_map([(10, Value::Bool(true))]))]),
            "flags 0 to 9",
        ),
        (
            raw(vec![(3, int_map([(-1, Value::Bool(true))]))]),
            "flags 0 to 9",
        ),
        (
            raw(vec![(3, int_map([(0, Value::Null)]))]),
            "flag: expected a boolean",
        ),
        (
            raw(vec![(0, int_map([(1, Value::Uint(1))]))]),
            "version-map: expected key 0",
        ),
        (
            raw(vec![(
                0,
                int_map([(0, Value::text("1")), (2, Value::Null)]),
            )]),
            "got key 2",
        ),
        (raw(vec![(11, Value::Uint(1))]), "name: expected text"),
        (
            register(Value::int(-1), list([sha256(1)])),
            "integrity register",
        ),
        (register(Value::Uint(1), list([])), "digests"),
        (
            register(Value::Uint(1), list([sha256(1), sha256(1)])),
            "twice",
        ),
    ];
    for (measurement, expected) in cases {
        let (name, actual) = stopped(draft([triple(environment("one"), [measurement])]).import());
        assert_eq!(name, "corim-structure");
        assert!(
            actual.contains(expected),
            "expected {expected}, got {actual}"
        );
    }
}

#[test]
fn environments_and_identifiers_are_of_known_kinds() {
    let one = || [pcr(Value::Uint(1), 1)];
    let class = |entries: Vec<(i64, Value)>| int_map([(0, int_map(entries))]);
    for (environment, expected) in [
        (int_map([]), "environment: expected a class"),
        (int_map([(3, Value::Null)]), "got key 3"),
        (class(vec![]), "class: expected at least one field"),
        (class(vec![(5, Value::Null)]), "got key 5"),
        (
            class(vec![(0, tag(600, Value::bytes([1])))]),
            "class-id: expected",
        ),
        (
            class(vec![(0, tag(37, Value::bytes([1; 15])))]),
            "class-id: expected 16 bytes",
        ),
        (class(vec![(1, Value::Uint(1))]), "vendor: expected text"),
        (
            class(vec![(3, Value::text("1"))]),
            "layer: expected an unsigned",
        ),
        (
            int_map([(1, tag(554, Value::text("key")))]),
            "instance: expected",
        ),
        (int_map([(2, Value::bytes([1]))]), "group: expected"),
    ] {
        let (name, actual) = stopped(draft([triple(environment, one())]).import());
        assert_eq!(name, "corim-structure");
        assert!(
            actual.contains(expected),
            "expected {expected}, got {actual}"
        );
    }
    let full = int_map([
        (
            0,
            int_map([
                (0, tag(37, Value::bytes([1; 16]))),
                (1, Value::text("v")),
                (2, Value::text("m")),
                (3, Value::Uint(1)),
                (4, Value::Uint(2)),
            ]),
        ),
        (1, tag(550, Value::bytes([2]))),
        (2, tag(560, Value::bytes([3]))),
    ]);
    let values = draft([triple(full, one())]).import().unwrap();
    let expected = "class uuid 01010101010101010101010101010101, vendor \"v\", model \"m\", layer 1, index 2, instance ueid 02, group bytes 03";
    assert_eq!(values.references()[0].environment.to_string(), expected);
    for (spoilt, expected) in [
        (pcrs().corim(0, None), "expected key 0 (id)"),
        (
            pcrs().corim(0, Some(Value::bytes([1; 15]))),
            "id: expected 16 bytes",
        ),
        (pcrs().corim(-1, Some(Value::text("x"))), "got key -1"),
        (pcrs().corim(6, Some(Value::Null)), "got key 6"),
        (
            pcrs().corim(1, Some(list([]))),
            "tags: expected an array that is not empty",
        ),
        (pcrs().corim(1, Some(list([Value::Uint(1)]))), "CoRIM tag"),
        (
            pcrs().corim(4, Some(int_map([(0, tag(1, Value::Uint(1)))]))),
            "expected key 1 (not-after)",
        ),
        (
            pcrs().corim(4, Some(int_map([(1, Value::Uint(1))]))),
            "not-after: expected tag 1",
        ),
        (
            pcrs().corim(
                4,
                Some(int_map([(1, tag(1, Value::Uint(1))), (2, Value::Null)])),
            ),
            "got key 2",
        ),
    ] {
        let (name, actual) = stopped(spoilt.import());
        assert_eq!(name, "corim-structure");
        assert!(
            actual.contains(expected),
            "expected {expected}, got {actual}"
        );
    }
    let uuid = pcrs()
        .corim(0, Some(Value::bytes([0xab; 16])))
        .import()
        .unwrap();
    assert_eq!(uuid.id(), "ab".repeat(16));
    for (key, value, expected) in [
        (
            5,
            Value::Null,
            "concise-mid-tag: expected no further key, got key 5",
        ),
        (
            1,
            int_map([(0, Value::text("t")), (2, Value::Null)]),
            "tag-identity: expected no further key",
        ),
        (1, int_map([(1, Value::Uint(1))]), "expected key 0 (tag-id)"),
        (0, Value::Uint(1), "language: expected text"),
    ] {
        let mut spoilt = pcrs();
        replace(&mut spoilt.comid, key, Some(value));
        let (_, actual) = stopped(spoilt.import());
        assert!(
            actual.contains(expected),
            "expected {expected}, got {actual}"
        );
    }
}

#[test]
fn every_value_of_the_subset_is_read() {
    let all = measured(
        Some(tag(111, Value::bytes([0x2b, 6]))),
        [
            (
                0,
                int_map([(0, Value::text("1.2")), (1, Value::int(16_384))]),
            ),
            (1, tag(553, Value::Uint(3))),
            (
                2,
                list([sha256(1), list([Value::text("own"), Value::bytes([9])])]),
            ),
            (
                3,
                int_map([(3, Value::Bool(false)), (1, Value::Bool(true))]),
            ),
            (
                4,
                tag(563, list([Value::bytes([1, 2]), Value::bytes([0xff, 0])])),
            ),
            (11, Value::text("name")),
            (
                14,
                Value::Map(vec![(Value::text("PCR1"), list([sha256(5)]))]),
            ),
        ],
    );
    let values = draft([triple(environment("one"), [all])]).import().unwrap();
    let digest = |algorithm, value: &[u8]| DigestValue {
        algorithm,
        value: value.to_vec(),
    };
    let expected = Measurement {
        key: Some(Key::Id(Id::Oid(vec![0x2b, 6]))),
        version: Some(Version {
            text: "1.2".into(),
            scheme: Some(16_384),
        }),
        svn: Some(Svn::Min(3)),
        digests: vec![
            digest(DigestAlg::Sha256, &[1; 32]),
            digest(DigestAlg::Private("own".into()), &[9]),
        ],
        flags: vec![(1, true), (3, false)],
        raw: Some(RawValue {
            value: vec![1, 2],
            mask: Some(vec![0xff, 0]),
        }),
        name: Some("name".into()),
        registers: vec![Register {
            key: Key::Text("PCR1".into()),
            digests: vec![digest(DigestAlg::Sha256, &[5; 32])],
        }],
    };
    assert_eq!(values.references()[0].measurements, [expected]);
    let one = |value: Value, key: i64| {
        let values = draft([triple(environment("one"), [measured(None, [(key, value)])])])
            .import()
            .unwrap();
        values.references()[0].measurements[0].clone()
    };
    assert_eq!(one(Value::Uint(7), 1).svn, Some(Svn::Exact(7)));
    assert_eq!(one(tag(552, Value::Uint(7)), 1).svn, Some(Svn::Exact(7)));
    let raw = |mask: Option<Vec<u8>>| {
        Some(RawValue {
            value: vec![1],
            mask,
        })
    };
    assert_eq!(one(tag(560, Value::bytes([1])), 4).raw, raw(None));
    let old = measured(
        None,
        [(4, tag(560, Value::bytes([1]))), (5, Value::bytes([2]))],
    );
    let values = draft([triple(environment("one"), [old])]).import().unwrap();
    assert_eq!(
        values.references()[0].measurements[0].raw,
        raw(Some(vec![2]))
    );
}
