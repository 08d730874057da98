use super::*;
use crate::cose::tests::TestKey;
use crate::cose::{Signer as _, seal, signature_of};
use crate::ids::{Address, Bps, Seed, Stake};
use crate::params::RosterEntry;
use proptest::prelude::*;

const WEIGHTS: [(u8, u128); 4] = [(1, 40), (2, 25), (3, 20), (4, 15)];

fn id(key: u8) -> HyperNodeId {
    HyperNodeId(TestKey::new(key).public_key())
}

fn params() -> NetworkParams {
    let entry = |(key, stake): (u8, u128)| RosterEntry {
        id: id(key),
        operator: Digest([key; 32]),
        ledger: Address([key; 20]),
        stake: Stake(stake),
        seed_end: Seed([key; 32]),
    };
    let mut roster = WEIGHTS.map(entry).to_vec();
    roster.sort_by_key(|entry| entry.id);
    NetworkParams {
        operator_cap_bps: Bps(4_000),
        roster,
        ..crate::params::tests::sample()
    }
}

fn genesis() -> Lineage {
    Lineage::genesis(params()).unwrap()
}

fn roster(of: &[(u8, u128)]) -> Vec<Member> {
    members(of.iter().map(|(key, weight)| (id(*key), *weight)))
}

fn link(from: u64, of: &[(u8, u128)], signers: &[u8]) -> Link {
    signed(from, roster(of), signers)
}

fn signed(from: u64, members: Vec<Member>, signers: &[u8]) -> Link {
    let (params, from) = (params(), Epoch(from));
    let network = params.network_id();
    let signed = |key: &u8| {
        let said = succession(&params, network, (from, &members), id(*key));
        MemberSignature {
            hypernode: id(*key),
            signature: signature_of(&seal(said, &TestKey::new(*key))).unwrap(),
        }
    };
    let mut signatures: Vec<_> = signers.iter().map(signed).collect();
    signatures.sort_by_key(|signed| signed.hypernode);
    Link {
        from,
        members,
        signatures,
    }
}

fn answered(lineage: &Lineage, epoch: u64) -> Vec<u8> {
    let answered = lineage.answered_in(Epoch(epoch));
    (1..=9).filter(|key| answered.contains(&id(*key))).collect()
}

fn reopened(lineage: &Lineage) -> Lineage {
    Lineage::open(&params().network_id(), &lineage.bytes()).unwrap()
}

#[test]
fn genesis_answers_its_roster_by_capped_stake() {
    let lineage = genesis();
    assert_eq!(answered(&lineage, 0), [1, 2, 3, 4]);
    assert_eq!(lineage.newest_members(), roster(&WEIGHTS));
    assert_eq!(reopened(&lineage), lineage);
    let mut concentrated = params();
    concentrated.roster[0].stake = Stake(1_000);
    let capped = Lineage::genesis(concentrated).unwrap();
    let most = capped.newest_members().iter().map(|m| m.weight).max();
    assert!(most.unwrap() < 500, "{most:?}");
}

#[test]
fn a_roster_needs_strictly_more_than_two_thirds_of_one_before_it() {
    let next = [(2, 25), (3, 20), (5, 30)];
    let mut lineage = genesis();
    let refused = lineage.extend(link(4, &next, &[1, 2])).unwrap_err();
    assert_eq!(
        refused,
        LineageError::Vouched {
            from: Epoch(4),
            signed: 65,
            total: 100
        }
    );
    assert_eq!(lineage, genesis(), "nothing half done");
    lineage.extend(link(4, &next, &[1, 2, 3])).unwrap();
    assert_eq!(lineage.newest(), Epoch(4));
    // The roster's own members vouch for the next one; those of genesis that are left are too few.
    let later = [(5, 30), (6, 30)];
    let refused = lineage.extend(link(6, &later, &[1, 4, 5])).unwrap_err();
    assert!(matches!(
        refused,
        LineageError::Vouched {
            signed: 30,
            total: 75,
            ..
        }
    ));
    lineage.extend(link(6, &later, &[2, 5])).unwrap();
    assert_eq!(reopened(&lineage), lineage);
}

#[test]
fn who_leaves_is_answered_until_the_roster_is_in_force_and_who_comes_from_now_on() {
    let mut lineage = genesis();
    lineage
        .extend(link(4, &[(2, 25), (3, 20), (5, 30)], &[1, 2, 3]))
        .unwrap();
    assert_eq!(answered(&lineage, 3), [1, 2, 3, 4, 5]);
    assert_eq!(answered(&lineage, 4), [2, 3, 5]);
    lineage
        .extend(link(5, &[(5, 30), (6, 30)], &[2, 5]))
        .unwrap();
    assert_eq!(answered(&lineage, 4), [2, 3, 5, 6]);
    assert_eq!(answered(&lineage, 5), [5, 6]);
    assert_eq!(reopened(&lineage), lineage);
}

#[test]
fn what_proves_nothing_any_more_is_dropped() {
    let mut lineage = genesis();
    for from in 2..40_u64 {
        let stake = u128::from(from);
        lineage
            .extend(link(from, &[(1, stake), (2, 25), (3, 20)], &[1, 2, 3]))
            .unwrap();
    }
    let record = LineageRecord::decode("lineage", LINEAGE_BYTES_MAX, &lineage.bytes()).unwrap();
    let firsts: Vec<u64> = record.links.iter().map(|link| link.from.0).collect();
    assert_eq!(firsts, [38, 39]);
    assert_eq!(reopened(&lineage), lineage);
    // The whole roster changes, step by step: every step is needed.
    lineage
        .extend(link(50, &[(5, 1), (6, 1)], &[1, 2, 3]))
        .unwrap();
    lineage
        .extend(link(51, &[(7, 1), (8, 1)], &[5, 6]))
        .unwrap();
    lineage
        .extend(link(52, &[(7, 2), (8, 1)], &[7, 8]))
        .unwrap();
    let record = LineageRecord::decode("lineage", LINEAGE_BYTES_MAX, &lineage.bytes()).unwrap();
    let firsts: Vec<u64> = record.links.iter().map(|link| link.from.0).collect();
    assert_eq!(firsts, [50, 51, 52]);
    assert_eq!(reopened(&lineage), lineage);
}

#[test]
fn what_is_wrong_with_a_link_is_named() {
    let next = [(2, 25), (3, 20), (5, 30)];
    let all = [1, 2, 3, 4];
    type Change = fn(&mut Link);
    let broken: [(&str, Change); 10] = [
        ("after epoch 0", |link| link.from = Epoch(0)),
        ("members: expected 1 to 1024", |link| link.members.clear()),
        ("ascending unique", |link| link.members.swap(0, 1)),
        ("ascending unique", |link| link.members[1] = link.members[0]),
        ("weights", |link| link.members[0].weight = 0),
        ("weights", |link| link.members[0].weight = WEIGHT_MAX + 1),
        ("signatures: expected ascending", |link| {
            link.signatures.swap(0, 1)
        }),
        ("does not verify", |link| {
            link.signatures[0].signature[5] ^= 1
        }),
        ("does not verify", |link| link.members[0].weight += 1),
        ("does not verify", |link| link.from = Epoch(5)),
    ];
    for (said, change) in broken {
        let mut link = link(4, &next, &all);
        change(&mut link);
        let mut lineage = genesis();
        let error = lineage.extend(link).unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
        assert_eq!(lineage, genesis());
    }
    let mut lineage = genesis();
    let refused = lineage.extend(link(4, &next, &[1, 2, 3, 9])).unwrap_err();
    let signer = id(9);
    assert_eq!(
        refused,
        LineageError::Stranger {
            from: Epoch(4),
            signer
        }
    );
    lineage.extend(link(4, &next, &all)).unwrap();
    let again = lineage.extend(link(4, &next, &all)).unwrap_err();
    assert!(matches!(again, LineageError::Order { .. }));
}

#[test]
fn a_signature_counts_in_its_network_only() {
    let mut elsewhere = params();
    elsewhere.chain_id += 1;
    let mut other = Lineage::genesis(elsewhere).unwrap();
    let refused = other.extend(link(4, &[(2, 1), (3, 1)], &[1, 2, 3, 4]));
    assert!(matches!(refused, Err(LineageError::Signature { .. })));
    let opened = Lineage::open(&params().network_id(), &other.bytes());
    assert!(matches!(opened, Err(LineageError::Network { .. })));
}

#[test]
fn what_is_too_long_is_not_read() {
    let long = vec![0; LINEAGE_BYTES_MAX + 1];
    let opened = Lineage::open(&params().network_id(), &long);
    assert_eq!(opened, Err(LineageError::Oversize(LINEAGE_BYTES_MAX + 1)));
}

#[test]
fn a_lineage_that_would_grow_too_long_stays_as_it_is() {
    // A thousand who never sign, and one that alone can: each roster is vouched for by the one before it only.
    let large = |decides: u8| {
        let mut members: Vec<Member> = (0..1_000_u16)
            .map(|number| {
                let mut bytes = [7; 32];
                bytes[..2].copy_from_slice(&number.to_be_bytes());
                let (hypernode, weight) = (HyperNodeId(bytes), 1);
                Member { hypernode, weight }
            })
            .collect();
        let (hypernode, weight) = (id(decides), WEIGHT_MAX);
        members.push(Member { hypernode, weight });
        members.sort_by_key(|member| member.hypernode);
        members
    };
    let mut lineage = genesis();
    lineage.extend(signed(2, large(10), &[1, 2, 3])).unwrap();
    for step in 1..20_u8 {
        let before = lineage.clone();
        let link = signed(2 + u64::from(step), large(10 + step), &[9 + step]);
        if let Err(error) = lineage.extend(link) {
            assert!(matches!(error, LineageError::Oversize(length) if length > LINEAGE_BYTES_MAX));
            assert_eq!(lineage, before);
            assert!(step > 2, "only {step} rosters of a thousand fit");
            return;
        }
        assert!(lineage.bytes().len() <= LINEAGE_BYTES_MAX);
    }
    panic!("a lineage grew without end");
}

#[test]
fn keys_of_genesis_alone_take_nobody_back_who_holds_a_later_roster() {
    let mut held = genesis();
    held.extend(link(4, &[(5, 30), (6, 30)], &[1, 2, 3]))
        .unwrap();
    // Another history from genesis on, of those who left.
    let mut other = genesis();
    other
        .extend(link(5, &[(8, 1), (9, 1)], &[1, 2, 3, 4]))
        .unwrap();
    assert!(other.newest() > held.newest() && !other.follows(&held));
    assert!(other.follows(&genesis()) && held.follows(&genesis()));
    // What the newest roster vouched for follows it, also when it is among the dropped ones.
    let mut later = held.clone();
    later.extend(link(6, &[(5, 30), (7, 30)], &[5, 6])).unwrap();
    assert!(later.follows(&held) && !held.follows(&later));
    assert!(reopened(&later).follows(&held));
    let mut same = genesis();
    same.extend(link(4, &[(1, 40), (2, 25), (3, 20)], &[1, 2, 3]))
        .unwrap();
    let before = same.clone();
    for from in 5..8 {
        same.extend(link(
            from,
            &[(1, 39 - u128::from(from)), (2, 25), (3, 20)],
            &[1, 2, 3],
        ))
        .unwrap();
    }
    assert!(same.follows(&before) && reopened(&same).follows(&before));
}

#[test]
fn a_new_roster_is_vouched_for_by_the_newest_one_and_by_no_earlier_one_alone() {
    let mut lineage = genesis();
    lineage
        .extend(link(4, &[(5, 30), (6, 30)], &[1, 2, 3]))
        .unwrap();
    let by_genesis = lineage
        .clone()
        .extend(link(6, &[(1, 1), (2, 1)], &[1, 2, 3, 4]));
    let expected = LineageError::Vouched {
        from: Epoch(6),
        signed: 0,
        total: 60,
    };
    assert_eq!(by_genesis, Err(expected));
}

#[test]
fn in_force_is_one_roster_at_a_time() {
    let mut lineage = genesis();
    lineage
        .extend(link(4, &[(2, 25), (3, 20), (5, 30)], &[1, 2, 3]))
        .unwrap();
    let in_force = |epoch| {
        (1..=5)
            .filter(|key| lineage.is_in_force(&id(*key), Epoch(epoch)))
            .collect::<Vec<_>>()
    };
    assert_eq!(in_force(3), [1, 2, 3, 4]);
    assert_eq!(in_force(4), [2, 3, 5]);
}

proptest! {
    #[test]
    fn any_bytes_are_a_lineage_of_the_network_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Lineage::open(&params().network_id(), &bytes).is_err());
    }

    #[test]
    fn whatever_is_held_can_be_proven_from_genesis(
        steps in proptest::collection::vec(
            (1..3_u64, proptest::collection::btree_map(1..8_u8, 1..50_u128, 2..5), proptest::collection::btree_set(1..8_u8, 0..8)),
            1..12,
        ),
    ) {
        let mut lineage = genesis();
        let mut from = 0;
        for (step, of, signers) in steps {
            from += step;
            let of: Vec<_> = of.into_iter().collect();
            let signers: Vec<_> = signers.into_iter().collect();
            let before = lineage.clone();
            match lineage.extend(link(from, &of, &signers)) {
                Ok(()) => {
                    prop_assert_eq!(lineage.newest_members(), roster(&of));
                    // In force until then is what was the newest before.
                    let was: BTreeSet<_> = before.newest_members().iter().map(|m| m.hypernode).collect();
                    prop_assert!(was.is_subset(&lineage.answered_in(Epoch(from - 1))));
                }
                Err(_) => prop_assert_eq!(&lineage, &before),
            }
            prop_assert_eq!(&reopened(&lineage), &lineage);
        }
    }
}
