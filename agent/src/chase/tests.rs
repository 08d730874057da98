use super::*;
use crate::region::RegionStore;
use assay_protocol::chase::walk as expected_walk;
use assay_protocol::config::LimitSection;
use assay_protocol::ids::{Digest, HyperNodeId, RegionKey};
use assay_protocol::region::{CipherError, Keystream, RegionId};
use proptest::prelude::*;
use std::os::unix::fs::FileExt as _;

const OWNER: HyperNodeId = HyperNodeId([1; 32]);
const ID: RegionId = RegionId {
    region: 0,
    generation: 0,
};
const PLAN: ChasePlan = ChasePlan {
    id: ID,
    blocks: 64,
    lanes: 4,
    steps: 200,
    checkpoint_every: 50,
};

fn filled(dir: &std::path::Path) -> Region {
    let store = RegionStore::open(dir, 1 << 20).unwrap();
    let mut filling = store
        .begin(OWNER, ID, PLAN.blocks, Digest([0; 32]))
        .unwrap();
    let stream = Keystream::new(&RegionKey([7; 32])).unwrap();
    (0..PLAN.blocks).for_each(|i| filling.append(&stream.block(i).unwrap()).unwrap());
    filling.finish(|_| Vec::new()).unwrap();
    store.get(OWNER, ID).unwrap()
}

fn expected(nonce: &Nonce) -> Vec<Vec<LaneState>> {
    let stream = Keystream::new(&RegionKey([7; 32])).unwrap();
    let lane = |lane| expected_walk(&PLAN, nonce, lane, |i| stream.block(i));
    (0..PLAN.lanes)
        .map(|l| lane(l).map_err(|e: CipherError| e).unwrap())
        .collect()
}

const BOTH: [Engine; 2] = [Engine::IoUring, Engine::Threads];

fn free() -> Duty {
    Duty::of(&LimitSection::default(), 1)
}

/// The engines that this kernel has; the threads always.
fn engines() -> impl Iterator<Item = Engine> {
    let (best, _) = Engine::of_this_kernel();
    BOTH.into_iter()
        .filter(move |engine| *engine == Engine::Threads || *engine == best)
}

fn lanes(
    region: &Region,
    plan: &ChasePlan,
    nonce: &Nonce,
    engine: Engine,
) -> Result<Vec<Vec<LaneState>>, ChaseError> {
    run(region, (plan, nonce), (engine, &free()), |_| Ok(())).map(|walked| walked.lanes)
}

#[test]
fn the_walk_is_the_protocols_and_every_checkpoint_is_streamed_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let region = filled(dir.path());
    let nonce = Nonce([3; 32]);
    for engine in engines() {
        let mut streamed = vec![Vec::new(); 4];
        let walked = run(&region, (&PLAN, &nonce), (engine, &free()), |c| {
            assert_eq!(streamed[c.lane as usize].len(), c.number as usize);
            streamed[c.lane as usize].push(c.state);
            Ok(())
        });
        let walked = walked.unwrap();
        assert_eq!(walked.lanes, expected(&nonce), "{engine}");
        assert_eq!(streamed, expected(&nonce), "{engine}");
        assert_eq!(walked.latency.total(), PLAN.reads(), "{engine}");
    }
}

#[test]
fn one_altered_byte_of_every_block_changes_the_walk() {
    let dir = tempfile::tempdir().unwrap();
    let region = filled(dir.path());
    let path = dir.path().join(format!("{OWNER}-0-0.region"));
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    (0..64).for_each(|block| file.write_all_at(&[0xff], block * 4096 + 100).unwrap());
    file.sync_all().unwrap();
    let nonce = Nonce([3; 32]);
    for engine in engines() {
        let walked = lanes(&region, &PLAN, &nonce, engine).unwrap();
        assert_ne!(walked, expected(&nonce), "{engine}");
    }
}

#[test]
fn a_cut_file_another_size_and_a_gone_peer_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let region = filled(dir.path());
    let nonce = Nonce([3; 32]);
    let larger = ChasePlan {
        blocks: 128,
        ..PLAN
    };
    for engine in engines() {
        let size = lanes(&region, &larger, &nonce, engine);
        assert!(matches!(size, Err(ChaseError::Size { .. })), "{engine}");
        let gone = run(&region, (&PLAN, &nonce), (engine, &free()), |_| {
            Err(io::ErrorKind::BrokenPipe.into())
        });
        assert!(matches!(gone, Err(ChaseError::Peer(_))), "{engine}");
    }
    let path = dir.path().join(format!("{OWNER}-0-0.region"));
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(4096).unwrap();
    for engine in engines() {
        let cut = lanes(&region, &PLAN, &nonce, engine);
        let Err(ChaseError::Read { block, .. }) = cut else {
            panic!("{engine}: {cut:?}");
        };
        assert!(block > 0, "{engine}");
    }
}

/// A tenth without anything saved up makes a chase rest over and over.
#[test]
fn a_chase_that_rests_walks_the_same_way() {
    let dir = tempfile::tempdir().unwrap();
    let region = filled(dir.path());
    let nonce = Nonce([4; 32]);
    let limits = LimitSection {
        disk_share_max_percent: 10,
        cpu_share_max_percent: 10,
        ..LimitSection::default()
    };
    for engine in engines() {
        let duty = Duty::of(&limits, 1);
        duty.exhaust();
        let walked = run(&region, (&PLAN, &nonce), (engine, &duty), |_| Ok(())).unwrap();
        assert_eq!(walked.lanes, expected(&nonce), "{engine}");
        assert_eq!(walked.latency.total(), PLAN.reads(), "{engine}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_walk_every_plan_alike(
        lane_count in 1u32..=64,
        checkpoints in 1u32..=6,
        checkpoint_every in 1u32..=9,
        seed in any::<[u8; 32]>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let region = filled(dir.path());
        let plan = ChasePlan {
            lanes: lane_count,
            steps: checkpoints * checkpoint_every,
            checkpoint_every,
            ..PLAN
        };
        let nonce = Nonce(seed);
        let walked: Vec<_> = engines().map(|engine| lanes(&region, &plan, &nonce, engine).unwrap()).collect();
        let stream = Keystream::new(&RegionKey([7; 32])).unwrap();
        for (number, lane) in (0..plan.lanes).zip(&walked[0]) {
            let states = expected_walk(&plan, &nonce, number, |i| stream.block(i));
            prop_assert_eq!(&states.map_err(|e: CipherError| e).unwrap(), lane);
        }
        prop_assert!(walked.iter().all(|other| other == &walked[0]));
    }
}
