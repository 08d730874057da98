//! What a policy gets: PCR values, report fields.

use super::*;

#[test]
fn pcr_values_of_one_index_are_alternatives_and_environments_stay_apart() {
    let register = measured(
        None,
        [
            (11, Value::text("boot")),
            (
                14,
                Value::Map(vec![
                    (Value::Uint(0), list([sha256(3)])),
                    (
                        Value::text("pcr11"),
                        list([list([Value::Uint(7), Value::bytes([1; 48])]), sha256(4)]),
                    ),
                ]),
            ),
        ],
    );
    let values = draft([
        triple(
            environment("one"),
            [pcr(Value::Uint(4), 2), pcr(Value::text("PCR4"), 1)],
        ),
        triple(environment("two"), [pcr(Value::Uint(4), 9)]),
        triple(environment("one"), [register, pcr(Value::Uint(4), 2)]),
    ]);
    let sets = values.import().unwrap().pcr_references().unwrap();
    let shape = |set: &PcrSet| -> Vec<(u8, Vec<u8>)> {
        set.pcrs
            .iter()
            .map(|p| (p.index, p.allowed.iter().map(|d| d.0[0]).collect()))
            .collect()
    };
    assert_eq!(sets.len(), 2);
    assert_eq!(
        shape(&sets[0]),
        [(0, vec![3]), (4, vec![1, 2]), (11, vec![4])]
    );
    assert_eq!(shape(&sets[1]), [(4, vec![9])]);
    assert_ne!(sets[0].environment, sets[1].environment);
}

#[test]
fn a_manifest_with_anything_but_pcr_digests_gives_no_pcr_values() {
    let digests = || (2, list([sha256(1)]));
    let four = || Some(Value::Uint(4));
    let registers = || (14, Value::Map(vec![(Value::Uint(1), list([sha256(1)]))]));
    for (measurement, expected) in [
        (
            measured(None, [digests()]),
            "a key with digests, or registers without a key",
        ),
        (
            measured(four(), [registers()]),
            "a key with digests, or registers",
        ),
        (
            measured(None, [digests(), registers()]),
            "a key with digests, or registers",
        ),
        (
            measured(four(), [digests(), registers()]),
            "a key with digests, or registers",
        ),
        (
            measured(four(), [digests(), (1, Value::Uint(1))]),
            "digests and nothing else",
        ),
        (
            measured(four(), [(1, Value::Uint(1))]),
            "digests and nothing else",
        ),
        (
            measured(four(), [digests(), (0, int_map([(0, Value::text("1"))]))]),
            "digests and nothing else",
        ),
        (
            measured(four(), [digests(), (3, int_map([(0, Value::Bool(true))]))]),
            "digests and nothing else",
        ),
        (
            measured(four(), [digests(), (4, tag(560, Value::bytes([1])))]),
            "digests and nothing else",
        ),
        (
            measured(four(), [(11, Value::text("n"))]),
            "a key with digests, or registers",
        ),
        (
            measured(
                four(),
                [(2, list([list([Value::Uint(7), Value::bytes([1; 48])])]))],
            ),
            "a sha-256 digest",
        ),
        (pcr(Value::Uint(24), 1), "a PCR: 0 to 23"),
        (pcr(Value::text("firmware"), 1), "a PCR: 0 to 23"),
        (pcr(tag(37, Value::bytes([1; 16])), 1), "a PCR: 0 to 23"),
    ] {
        // A good measurement before it does not save it.
        let values = draft([triple(
            environment("one"),
            [pcr(Value::Uint(1), 1), measurement],
        )]);
        let error = values
            .import()
            .unwrap()
            .pcr_references()
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "expected {expected}, got {error}");
    }
}

fn snp(measurements: Vec<Value>) -> Draft {
    let class = int_map([(0, int_map([(0, tag(111, Value::bytes([0x2b, 6, 1])))]))]);
    draft([triple(class, measurements)]).corim(3, Some(tag(32, Value::text(SNP_PROFILE))))
}

fn launch(byte: u8) -> Value {
    let digest = list([Value::Uint(7), Value::bytes([byte; 48])]);
    measured(Some(Value::Uint(641)), [(2, list([digest]))])
}

#[test]
fn amds_profile_gives_report_fields() {
    let raw = |key: u64, size: usize| {
        measured(
            Some(Value::Uint(key)),
            [(4, tag(560, Value::bytes(vec![7; size])))],
        )
    };
    let svn = |key: u64, svn: Value| measured(Some(Value::Uint(key)), [(1, svn)]);
    let values = snp(vec![
        launch(1),
        launch(2),
        svn(647, tag(553, Value::Uint(9))),
        svn(6, Value::Uint(8)),
        raw(2, 8),
        measured(
            Some(Value::Uint(642)),
            [
                (4, tag(560, Value::bytes(vec![7; 32]))),
                (11, Value::text("a name changes nothing")),
            ],
        ),
    ]);
    let values = values.import().unwrap();
    let [reference] = values.snp_references() else {
        panic!()
    };
    assert_eq!(
        reference.measurements().collect::<Vec<_>>(),
        [[1; 48], [2; 48]]
    );
    assert_eq!(
        reference.svns(SnpField::ReportedTcb).collect::<Vec<_>>(),
        [Svn::Min(9)]
    );
    assert_eq!(
        reference.svns(SnpField::CurrentTcb).collect::<Vec<_>>(),
        [Svn::Exact(8)]
    );
    assert_eq!(reference.svns(SnpField::CommittedTcb).count(), 0);
    assert_eq!(
        reference.raw(SnpField::Policy).collect::<Vec<_>>(),
        [[7; 8]]
    );
    assert_eq!(
        reference.raw(SnpField::HostData).collect::<Vec<_>>(),
        [[7; 32]]
    );
    assert_eq!(reference.raw(SnpField::ReportedTcb).count(), 0);
    assert_eq!(reference.fields().len(), 6);
    assert!(
        values
            .pcr_references()
            .unwrap_err()
            .to_string()
            .contains("no profile")
    );
    assert_eq!(SnpField::LaunchTcb.to_string(), "launch_tcb");
    assert_eq!(pcrs().import().unwrap().snp_references(), []);
}

#[test]
fn values_that_are_no_report_fields_are_refused_under_amds_profile() {
    let at = |key: u64, values: Vec<(i64, Value)>| measured(Some(Value::Uint(key)), values);
    let bytes = |n: usize| (4, tag(560, Value::bytes(vec![1; n])));
    let digest =
        |algorithm: u64, n: usize| list([Value::Uint(algorithm), Value::bytes(vec![1; n])]);
    let masked = (
        4,
        tag(563, list([Value::bytes([1; 8]), Value::bytes([1; 8])])),
    );
    let svn = || (1, Value::Uint(1));
    for measurement in [
        measured(None, [svn()]),
        measured(Some(Value::text("641")), [(2, list([digest(7, 48)]))]),
        measured(Some(tag(111, Value::bytes([1]))), [svn()]),
        at(8, vec![svn()]),
        at(648, vec![svn()]),
        at(641, vec![(2, list([digest(1, 32)]))]),
        at(641, vec![(2, list([digest(7, 48), digest(1, 32)]))]),
        at(641, vec![bytes(48)]),
        at(641, vec![(2, list([digest(7, 48)])), svn()]),
        at(2, vec![bytes(7)]),
        at(2, vec![bytes(9)]),
        at(2, vec![masked]),
        at(2, vec![svn()]),
        at(2, vec![bytes(8), svn()]),
        at(647, vec![bytes(8)]),
        at(647, vec![svn(), (3, int_map([(0, Value::Bool(true))]))]),
        at(0, vec![svn()]),
        at(3330, vec![(0, int_map([(0, Value::text("1"))])), svn()]),
        at(
            641,
            vec![(
                14,
                Value::Map(vec![(Value::Uint(1), list([digest(7, 48)]))]),
            )],
        ),
    ] {
        let (name, actual) = stopped(snp(vec![launch(1), measurement]).import());
        assert_eq!(name, "corim-values");
        assert!(actual.contains("reference value"), "{actual}");
    }
    let no_class_id = draft([triple(environment("one"), [launch(1)])]);
    let no_class_id = no_class_id.corim(3, Some(tag(32, Value::text(SNP_PROFILE))));
    assert!(
        stopped(no_class_id.import())
            .1
            .contains("an environment with a class-id")
    );
    let instance = draft([triple(
        int_map([(1, tag(560, Value::bytes([1])))]),
        [launch(1)],
    )]);
    let instance = instance.corim(3, Some(tag(32, Value::text(SNP_PROFILE))));
    assert!(
        stopped(instance.import())
            .1
            .contains("an environment with a class-id")
    );
}

#[test]
fn trust_anchors_of_amds_profile_name_vendor_and_model() {
    let anchored = |class: Value| {
        let mut manifest = snp(vec![launch(1)]);
        manifest.triples.push((
            3,
            list([list([int_map([(0, class)]), list([Value::Null])])]),
        ));
        manifest.import()
    };
    let (vendor, model) = ((1, Value::text("AMD")), (2, Value::text("ARK")));
    let values = anchored(int_map([vendor.clone(), model.clone()])).unwrap();
    assert_eq!(values.manifest().ignored, ["attest-key triples"]);
    for class in [int_map([vendor]), int_map([model])] {
        let (name, actual) = stopped(anchored(class));
        assert_eq!(name, "corim-structure");
        assert!(actual.contains("a class with vendor and model"), "{actual}");
    }
    // Elsewhere such triples are ignored, whatever they hold.
    let mut other = pcrs();
    other.triples.push((3, Value::Null));
    assert!(other.import().is_ok());
}
