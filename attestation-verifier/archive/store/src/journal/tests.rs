use super::*;
use assay_log::verify_inclusion;

const ORIGIN: &str = "assay/log/1/test";
const KEY: HyperNodeId = HyperNodeId([3; 32]);

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        Self { _dir: dir, path }
    }

    fn open(&self) -> Journal {
        Journal::open(&self.path, ORIGIN).unwrap()
    }

    fn tamper(&self, sql: &str) {
        Connection::open(&self.path)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }
}

fn record(slot: u32, node: u8, kind: u8) -> Record {
    Record {
        epoch: Epoch(1),
        slot: Slot(slot),
        node: NodeId([node; 32]),
        kind,
        salt: [kind; 32],
        signed: vec![node; 3],
    }
}

fn sign(bytes: &[u8]) -> [u8; 64] {
    [bytes.len() as u8; 64]
}

#[test]
fn records_survive_reopening_in_order() {
    let place = Place::new();
    let mut journal = place.open();
    for (slot, node) in [(0, 2), (0, 1), (1, 1)] {
        let acknowledged = journal.acknowledge(&record(slot, node, 2)).unwrap();
        assert_eq!(acknowledged, Acknowledged::Recorded);
    }
    drop(journal);
    let journal = place.open();
    let slot = journal.slot_records(Epoch(1), Slot(0)).unwrap();
    assert_eq!(slot, [record(0, 2, 2), record(0, 1, 2)]);
    let node = journal.node_records(Epoch(1), NodeId([1; 32])).unwrap();
    assert_eq!(node, [record(0, 1, 2), record(1, 1, 2)]);
}

#[test]
fn the_first_record_of_a_challenge_stays() {
    let place = Place::new();
    let mut journal = place.open();
    journal.acknowledge(&record(0, 1, 2)).unwrap();
    let other = Record {
        signed: b"another verdict".to_vec(),
        ..record(0, 1, 2)
    };
    let acknowledged = journal.acknowledge(&other).unwrap();
    assert_eq!(acknowledged, Acknowledged::Already(record(0, 1, 2)));
    assert_eq!(
        journal.slot_records(Epoch(1), Slot(0)).unwrap(),
        [record(0, 1, 2)]
    );
}

#[test]
fn leaves_are_appended_once_and_prove_their_records() {
    let place = Place::new();
    let mut journal = place.open();
    journal.acknowledge(&record(0, 1, 2)).unwrap();
    journal.acknowledge(&record(0, 2, 2)).unwrap();
    assert_eq!(journal.close_slot(Epoch(1), Slot(0)).unwrap(), 0);
    assert_eq!(journal.close_slot(Epoch(1), Slot(1)).unwrap(), 1);
    assert_eq!(journal.close_node(Epoch(1), NodeId([1; 32])).unwrap(), 2);
    drop(journal);
    let mut journal = place.open();
    assert_eq!(journal.close_slot(Epoch(1), Slot(0)).unwrap(), 0);
    assert_eq!(journal.close_node(Epoch(1), NodeId([1; 32])).unwrap(), 2);
    assert_eq!(journal.tree().size(), 3);
    assert_eq!(journal.slot_leaf(Epoch(1), Slot(1)).unwrap(), Some(1));
    assert_eq!(journal.node_leaf(Epoch(1), NodeId([9; 32])).unwrap(), None);

    let leaf = journal.leaf(0).unwrap().unwrap();
    let digests = [record(0, 1, 2).digest(), record(0, 2, 2).digest()];
    let root = entries_root(&digests);
    let expected = SlotLeaf {
        epoch: Epoch(1),
        slot: Slot(0),
        count: 2,
        root,
    };
    assert_eq!(leaf, Leaf::Slot(expected));
    let proof = journal.tree().inclusion_proof(0, 3).unwrap();
    verify_inclusion(&leaf.hash(), 0, 3, &proof, &journal.tree().root()).unwrap();
    assert_eq!(journal.leaf(3).unwrap(), None);
}

#[test]
fn closed_slots_and_nodes_take_nothing_more() {
    let place = Place::new();
    let mut journal = place.open();
    journal.acknowledge(&record(0, 1, 2)).unwrap();
    journal.close_slot(Epoch(1), Slot(0)).unwrap();
    let refused = journal.acknowledge(&record(0, 2, 2));
    assert!(matches!(refused, Err(StoreError::SlotClosed { .. })));
    // What is there already is still acknowledged: the answer to a retry after a crash.
    let again = journal.acknowledge(&record(0, 1, 2)).unwrap();
    assert_eq!(again, Acknowledged::Already(record(0, 1, 2)));
    journal.close_node(Epoch(1), NodeId([2; 32])).unwrap();
    let refused = journal.acknowledge(&record(5, 2, 2));
    assert!(matches!(refused, Err(StoreError::NodeClosed { .. })));
}

#[test]
fn checkpoints_are_signed_once_a_size() {
    let place = Place::new();
    let mut journal = place.open();
    let empty = journal.checkpoint(&KEY, sign).unwrap();
    let same = journal
        .checkpoint(&KEY, |_| panic!("signed twice"))
        .unwrap();
    assert_eq!(same, empty);
    journal.close_slot(Epoch(1), Slot(0)).unwrap();
    let one = journal.checkpoint(&KEY, sign).unwrap();
    assert!(one.starts_with(&format!("{ORIGIN}\n1\n")), "{one}");
    drop(journal);
    let mut journal = place.open();
    let same = journal
        .checkpoint(&KEY, |_| panic!("signed twice"))
        .unwrap();
    assert_eq!(same, one);
    assert_eq!(journal.checkpoint_at(1).unwrap(), Some(one));
    assert_eq!(journal.checkpoint_at(0).unwrap(), Some(empty));
    assert_eq!(journal.checkpoint_at(2).unwrap(), None);
}

#[test]
fn a_journal_that_forgot_leaves_is_refused() {
    for (sql, expected) in [
        ("DELETE FROM leaves WHERE idx = 1", "only 1 leaves"),
        ("DELETE FROM leaves WHERE idx = 0", "expected leaf 0"),
        (
            "UPDATE leaves SET hash = zeroblob(32) WHERE idx = 1",
            "does not hash",
        ),
        (
            "UPDATE checkpoints SET root = zeroblob(32)",
            "leaves lead to",
        ),
    ] {
        let place = Place::new();
        let mut journal = place.open();
        journal.close_slot(Epoch(1), Slot(0)).unwrap();
        journal.close_slot(Epoch(1), Slot(1)).unwrap();
        journal.checkpoint(&KEY, sign).unwrap();
        drop(journal);
        place.tamper(sql);
        let error = Journal::open(&place.path, ORIGIN).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("hint:"),
            "{sql}: {error}"
        );
    }
}

#[test]
fn another_log_or_schema_is_refused() {
    let place = Place::new();
    drop(place.open());
    let error = Journal::open(&place.path, "elsewhere").unwrap_err();
    assert!(matches!(error, StoreError::OtherLog { .. }), "{error}");
    place.tamper("PRAGMA user_version = 2");
    let error = Journal::open(&place.path, ORIGIN).unwrap_err().to_string();
    assert!(error.contains("schema 2"), "{error}");
}

#[test]
fn a_second_process_is_refused() {
    let place = Place::new();
    let _journal = place.open();
    let error = Journal::open(&place.path, ORIGIN).unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    assert!(error.to_string().contains("hint:"));
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let place = Place::new();
    let mut journal = place.open();
    journal.acknowledge(&record(0, 1, 2)).unwrap();
    journal
        .connection
        .pragma_update(None, "max_page_count", 1)
        .unwrap();
    let large = Record {
        signed: vec![7; 1 << 20],
        ..record(0, 2, 2)
    };
    let error = journal.acknowledge(&large).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(
        journal.slot_records(Epoch(1), Slot(0)).unwrap(),
        [record(0, 1, 2)]
    );
}

#[test]
fn epochs_and_nodes_with_records_are_listed_once() {
    let place = Place::new();
    let mut journal = place.open();
    assert_eq!(journal.epochs(Epoch(u64::MAX)).unwrap(), []);
    for (epoch, slot, node) in [(7, 0, 2), (7, 1, 2), (7, 1, 1), (0, 3, 1), (9, 0, 3)] {
        let record = Record {
            epoch: Epoch(epoch),
            ..record(slot, node, 1)
        };
        journal.acknowledge(&record).unwrap();
    }
    let epochs = |before| journal.epochs(Epoch(before)).unwrap();
    assert_eq!(epochs(0), []);
    assert_eq!(epochs(7), [Epoch(0)]);
    assert_eq!(epochs(8), [Epoch(0), Epoch(7)]);
    assert_eq!(epochs(u64::MAX), [Epoch(0), Epoch(7), Epoch(9)]);
    let nodes = [1, 2].map(|node| NodeId([node; 32]));
    assert_eq!(journal.nodes(Epoch(7)).unwrap(), nodes);
    assert_eq!(journal.nodes(Epoch(8)).unwrap(), []);
}

#[test]
fn facts_are_replaced_listed_and_forgotten() {
    let place = Place::new();
    let mut journal = place.open();
    for (key, value) in [
        ("vote/2", b"b"),
        ("vote/1", b"x"),
        ("vote/1", b"a"),
        ("w", b"c"),
    ] {
        journal.put_meta(key, value).unwrap();
    }
    drop(journal);
    let mut journal = place.open();
    let votes = journal.meta_with_prefix("vote/").unwrap();
    assert_eq!(
        votes,
        [
            ("vote/1".into(), b"a".to_vec()),
            ("vote/2".into(), b"b".to_vec())
        ]
    );
    journal.remove_meta("w").unwrap();
    assert_eq!(journal.meta("w").unwrap(), None);
    assert_eq!(journal.meta("vote/2").unwrap().as_deref(), Some(&b"b"[..]));
}

#[test]
fn facts_are_found_by_every_prefix_and_no_other() {
    let place = Place::new();
    let mut journal = place.open();
    let keys = [
        "a",
        "a/",
        "a/1",
        "a/é",
        "a/\u{d7ff}x",
        "a/\u{10ffff}b",
        "a0",
        "b",
    ];
    for key in keys {
        journal.put_meta(key, b"x").unwrap();
    }
    for prefix in [
        "",
        "a",
        "a/",
        "a/\u{d7ff}",
        "a/\u{10ffff}",
        "\u{10ffff}",
        "c",
    ] {
        let found = journal.meta_with_prefix(prefix).unwrap();
        let mut found: Vec<_> = found.into_iter().map(|(key, _)| key).collect();
        found.retain(|key| key != ORIGIN_KEY);
        let expected = keys.into_iter().filter(|key| key.starts_with(prefix));
        assert_eq!(found, expected.collect::<Vec<_>>(), "{prefix:?}");
    }
}

/// Journals grow for years: what is looked up often must not read all of a table.
#[test]
fn no_look_up_reads_a_whole_table() {
    let journal = Place::new().open();
    for (sql, values) in [(WITH_PREFIX, 2), (EPOCHS, 1)] {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = journal.connection.prepare(&sql).unwrap();
        let values = rusqlite::params_from_iter(vec![1; values]);
        let steps = statement.query_map(values, |row| row.get::<_, String>(3));
        let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
        let reads = |what: &str| steps.iter().filter(|step| step.starts_with(what)).count();
        assert!(reads("SEARCH") >= 1, "{steps:?}");
        // What was found so far is no table.
        let scans = steps.iter().filter(|step| step.starts_with("SCAN"));
        let scans: Vec<_> = scans.filter(|step| *step != "SCAN found").collect();
        assert!(scans.is_empty(), "{steps:?}");
    }
}

#[test]
fn numbers_beyond_the_database_are_named() {
    let place = Place::new();
    let mut journal = place.open();
    let far = Record {
        epoch: Epoch(u64::MAX),
        ..record(0, 1, 1)
    };
    assert!(matches!(
        journal.acknowledge(&far),
        Err(StoreError::NumberTooLarge { .. })
    ));
}
