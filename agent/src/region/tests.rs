use super::*;
use assay_protocol::ids::RegionKey;
use assay_protocol::region::{Keystream, region_root};

const OWNER: HyperNodeId = HyperNodeId([1; 32]);
const KEY: RegionKey = RegionKey([7; 32]);
const MIB: u64 = 1 << 20;

fn id(generation: u64) -> RegionId {
    RegionId {
        region: 0,
        generation,
    }
}

fn fill(store: &RegionStore, generation: u64, blocks: u32) -> RegionMeta {
    let mut filling = store
        .begin(OWNER, id(generation), blocks, Digest([9; 32]))
        .unwrap();
    let stream = Keystream::new(&KEY).unwrap();
    for index in 0..blocks {
        filling.append(&stream.block(index).unwrap()).unwrap();
    }
    filling.finish(|_| vec![1]).unwrap()
}

#[test]
fn a_filled_region_reads_back_after_reopening_and_its_root_is_the_keys() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegionStore::open(dir.path(), MIB).unwrap();
    let meta = fill(&store, 0, 16);
    assert_eq!(meta.root, region_root(&KEY, 16).unwrap());
    let region = RegionStore::open(dir.path(), MIB)
        .unwrap()
        .get(OWNER, id(0))
        .unwrap();
    assert_eq!(*region.meta(), meta);
    let (mut reader, stream) = (region.reader(), Keystream::new(&KEY).unwrap());
    for index in [0, 15, 3] {
        assert_eq!(reader.read(index).unwrap(), stream.block(index).unwrap());
    }
    assert!(reader.read(16).is_err());
}

#[test]
fn the_frontier_agrees_with_the_tree_at_every_size() {
    let leaves: Vec<Digest> = (0..40).map(|n| merkle::leaf_hash(&[n])).collect();
    let mut frontier = Frontier::default();
    for size in 0..leaves.len() {
        assert_eq!(frontier.root(), merkle::root(&leaves[..size]), "{size}");
        frontier.push(leaves[size]);
    }
}

#[test]
fn an_unfinished_fill_never_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegionStore::open(dir.path(), MIB).unwrap();
    let mut filling = store.begin(OWNER, id(0), 4, Digest([9; 32])).unwrap();
    filling.append(&[5; BLOCK_BYTES]).unwrap();
    assert!(matches!(
        filling.finish(|_| vec![1]),
        Err(RegionError::Fill { .. })
    ));
    assert!(matches!(
        store.get(OWNER, id(0)),
        Err(RegionError::Unknown { .. })
    ));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_a_crash_left_is_cleared_and_finished_regions_stay() {
    let dir = tempfile::tempdir().unwrap();
    fill(&RegionStore::open(dir.path(), MIB).unwrap(), 3, 2);
    std::fs::write(dir.path().join("x.filling"), "half").unwrap();
    std::fs::write(dir.path().join("y.region"), "no metadata").unwrap();
    let store = RegionStore::open(dir.path(), MIB).unwrap();
    store.get(OWNER, id(3)).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn more_than_announced_and_broken_blocks_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegionStore::open(dir.path(), MIB).unwrap();
    let mut filling = store.begin(OWNER, id(0), 1, Digest([9; 32])).unwrap();
    assert!(filling.append(&[0; 100]).is_err());
    assert!(filling.append(&[0; 2 * BLOCK_BYTES]).is_err());
    filling.append(&[0; BLOCK_BYTES]).unwrap();
    assert!(filling.append(&[0; BLOCK_BYTES]).is_err());
    filling.finish(|_| vec![1]).unwrap();
}

#[test]
fn quota_and_a_second_fill_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegionStore::open(dir.path(), 8 * BLOCK_BYTES as u64).unwrap();
    let first = store.begin(OWNER, id(0), 4, Digest([9; 32])).unwrap();
    let again = store.begin(OWNER, id(0), 4, Digest([9; 32]));
    assert!(matches!(again, Err(RegionError::Busy { .. })));
    let more = store.begin(OWNER, id(1), 5, Digest([9; 32]));
    assert!(matches!(
        more,
        Err(RegionError::Quota {
            wanted: 36_864,
            allowed: 32_768,
            ..
        })
    ));
    drop(first);
    store.begin(OWNER, id(1), 5, Digest([9; 32])).unwrap();
}

#[test]
fn generations_older_than_the_last_one_expire() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegionStore::open(dir.path(), MIB).unwrap();
    (0..3).for_each(|generation| drop(fill(&store, generation, 2)));
    assert!(matches!(
        store.get(OWNER, id(0)),
        Err(RegionError::Unknown { .. })
    ));
    store.get(OWNER, id(1)).unwrap();
    store.get(OWNER, id(2)).unwrap();
}

#[test]
fn old_regions_of_who_is_not_answered_any_more_go_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegionStore::open(dir.path(), MIB).unwrap();
    fill(&store, 3, 2);
    store.expire_of_others(5, |_| true).unwrap();
    store.expire_of_others(4, |_| false).unwrap();
    store.get(OWNER, id(3)).unwrap();
    store.expire_of_others(5, |owner| *owner != OWNER).unwrap();
    let gone = store.get(OWNER, id(3));
    assert!(matches!(gone, Err(RegionError::Unknown { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn only_the_receipt_of_an_own_region_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegionStore::open(dir.path(), MIB).unwrap();
    fill(&store, 0, 2);
    store.keep_receipt(OWNER, &[1], b"both").unwrap();
    let path = dir.path().join(format!("{OWNER}-0-0.receipt"));
    assert_eq!(std::fs::read(path).unwrap(), b"both");
    assert!(store.keep_receipt(OWNER, &[2], b"both").is_err());
    assert!(
        store
            .keep_receipt(HyperNodeId([2; 32]), &[1], b"both")
            .is_err()
    );
}

#[test]
fn another_owner_has_other_regions() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegionStore::open(dir.path(), MIB).unwrap();
    fill(&store, 0, 2);
    assert!(store.get(HyperNodeId([2; 32]), id(0)).is_err());
}

#[test]
fn a_lost_or_altered_file_is_an_error_or_another_block() {
    let dir = tempfile::tempdir().unwrap();
    let store = RegionStore::open(dir.path(), MIB).unwrap();
    fill(&store, 0, 2);
    std::fs::remove_file(dir.path().join(format!("{OWNER}-0-0.region"))).unwrap();
    assert!(matches!(
        store.get(OWNER, id(0)),
        Err(RegionError::Io { .. })
    ));
}
