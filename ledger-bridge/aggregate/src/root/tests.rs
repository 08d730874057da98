use super::*;
use proptest::prelude::*;

/// Account 0 of the well-known development mnemonic.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

fn key(n: u8) -> [u8; 32] {
    [n; 32]
}

fn account(n: u8) -> Address {
    address_of(SigningKey::from_slice(&key(n)).unwrap().verifying_key())
}

fn committee(weights: &[(u8, u128)]) -> Committee {
    let member = |&(n, weight): &(u8, u128)| Member {
        address: account(n),
        weight,
    };
    Committee::new(weights.iter().map(member).collect()).unwrap()
}

fn epoch_root() -> EpochRoot {
    EpochRoot {
        network: NetworkId([1; 32]),
        epoch: Epoch(2),
        round: 0,
        input_set: Digest([3; 32]),
        committee: Keccak([4; 32]),
        root: Keccak([5; 32]),
        leaf_count: 6,
        evidence_root: Digest([7; 32]),
        policy_digest: Digest([8; 32]),
        cumulative_reward: 10,
        next_committee: Keccak([9; 32]),
    }
}

fn node_leaf() -> NodeLeaf {
    NodeLeaf {
        epoch: Epoch(1),
        node: NodeId([2; 32]),
        owner: Address([3; 20]),
        confirmed: true,
        chips: Digest([4; 32]),
        verdict: 1,
        reasons: 0,
        tier: 1,
        availability: Ppm(1_000_000),
        lower: Ppm(956_853),
        upper: Ppm(1_000_000),
        coverage: Ppm(1_000_000),
        chase_rate: 8_000,
        chase_kind: 2,
        cumulative_up_slots: 60,
        cumulative_down_slots: 10,
        cumulative_slash: 0,
    }
}

fn reward_leaf() -> RewardLeaf {
    RewardLeaf {
        epoch: Epoch(1),
        provider: Address([3; 20]),
        cumulative_reward: 20,
    }
}

#[test]
fn address_of_a_known_key() {
    let key: [u8; 32] = hex::decode(KEY).unwrap().try_into().unwrap();
    let address = address_of(SigningKey::from_slice(&key).unwrap().verifying_key());
    assert_eq!(
        address.to_string(),
        "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    );
    let digest = keccak(b"hello");
    assert_eq!(recover(&digest, &sign(&digest, &key).unwrap()), Ok(address));
}

#[test]
fn abi_words_stand_right_aligned() {
    assert_eq!(
        hex::encode(number(0x1234)),
        format!("{}1234", "0".repeat(60))
    );
    assert_eq!(
        hex::encode(address_word(&Address([0xab; 20]))),
        format!("{}{}", "0".repeat(24), "ab".repeat(20))
    );
    let abi = node_leaf().abi();
    assert_eq!(abi.len(), 18 * 32);
    assert_eq!(abi[31], 1);
    assert_eq!(abi[16 * 32 + 31], 10);
    let abi = reward_leaf().abi();
    assert_eq!((abi.len(), abi[31], abi[3 * 32 + 31]), (4 * 32, 3, 20));
}

#[test]
fn a_committee_is_encoded_and_hashed_in_one_order_whatever_order_it_comes_in() {
    let of = |members: &[(u8, u128)]| {
        let member = |&(n, weight): &(u8, u128)| Member {
            address: Address([n; 20]),
            weight,
        };
        Committee::new(members.iter().map(member).collect()).unwrap()
    };
    let (one, two) = ((1, 40), (2, 0x0102_0304));
    let bytes = [&[1; 20][..], &[0, 0, 0, 40], &[2; 20], &[1, 2, 3, 4]].concat();
    assert_eq!(of(&[two, one]).encode(), bytes);
    assert_eq!(of(&[two, one]).hash(), keccak(&bytes));
    assert_eq!(of(&[one, two]).hash(), of(&[two, one]).hash());
    assert_ne!(of(&[one, two]).hash(), of(&[one]).hash());
    assert_ne!(of(&[one, two]).hash(), of(&[one, (2, 41)]).hash());
    assert_eq!(of(&[]).hash(), keccak(&[]));
}

fn scaled(weights: &[u128]) -> Vec<u128> {
    let member = |(n, weight): (u32, &u128)| {
        let mut address = Address([0; 20]);
        address.0[..4].copy_from_slice(&n.to_be_bytes());
        Member {
            address,
            weight: *weight,
        }
    };
    let committee = Committee::new((0..).zip(weights).map(member).collect()).unwrap();
    let members = committee.members().iter();
    let scaled: Vec<u128> = members
        .filter_map(|m| committee.weight(&m.address))
        .collect();
    assert_eq!(committee.total(), scaled.iter().sum::<u128>());
    assert!(committee.total() < 1 << 32);
    scaled
}

#[test]
fn weights_are_scaled_by_the_least_shift_that_fits_and_never_to_nothing() {
    assert_eq!(scaled(&[1, 2, 3]), [1, 2, 3]);
    // One below and one at the edge: the sum and one for each member stay below 2^32.
    let edge = (1u128 << 32) - 4;
    assert_eq!(scaled(&[edge, 1]), [edge, 1]);
    assert_eq!(scaled(&[edge + 1, 1]), [edge >> 1, 1]);
    assert_eq!(scaled(&[WEIGHT_MAX, 1])[1], 1, "who has weight keeps some");
    let coins = [40, 25, 20, 15].map(|coins| coins * 1_000_000_000_000_000_000u128);
    let scaled = scaled(&coins);
    assert!(scaled[0] > 1 << 29 && scaled.is_sorted_by(|a, b| a > b));
}

proptest::proptest! {
    #[test]
    fn scaled_shares_are_the_stakes_shares(
        weights in proptest::collection::vec(1u128..WEIGHT_MAX, 1..256), bits in 0u64..,
    ) {
        let scaled = scaled(&weights);
        let in_set = |at: &usize| bits >> (at % 64) & 1 == 1;
        let share = |all: &[u128]| {
            let part: f64 = (0..all.len()).filter(in_set).map(|at| all[at] as f64).sum();
            part / all.iter().map(|w| *w as f64).sum::<f64>()
        };
        proptest::prop_assert!((share(&weights) - share(&scaled)).abs() < 1.3e-7);
    }
}

#[test]
fn bad_committees_are_named() {
    let member = |n, weight| Member {
        address: Address([n; 20]),
        weight,
    };
    assert_eq!(
        Committee::new(vec![member(1, 1), member(1, 2)]),
        Err(RootError::MemberTwice(Address([1; 20])))
    );
    for weight in [0, WEIGHT_MAX + 1] {
        let refused = Committee::new(vec![member(1, weight)]);
        assert!(matches!(refused, Err(RootError::MemberWeight { .. })));
    }
    let many = vec![member(1, 1); MEMBERS_MAX + 1];
    assert_eq!(Committee::new(many), Err(RootError::TooManyMembers(257)));
}

#[test]
fn digest_binds_chain_contract_and_every_field() {
    let here = Address([7; 20]);
    let base = epoch_root().digest(31_337, &here);
    let root = epoch_root();
    let changed = [
        EpochRoot {
            network: NetworkId([0; 32]),
            ..root
        },
        EpochRoot {
            epoch: Epoch(0),
            ..root
        },
        EpochRoot { round: 1, ..root },
        EpochRoot {
            input_set: Digest([0; 32]),
            ..root
        },
        EpochRoot {
            committee: Keccak([0; 32]),
            ..root
        },
        EpochRoot {
            root: Keccak([0; 32]),
            ..root
        },
        EpochRoot {
            leaf_count: 0,
            ..root
        },
        EpochRoot {
            evidence_root: Digest([0; 32]),
            ..root
        },
        EpochRoot {
            policy_digest: Digest([0; 32]),
            ..root
        },
        EpochRoot {
            cumulative_reward: 0,
            ..root
        },
        EpochRoot {
            next_committee: Keccak([0; 32]),
            ..root
        },
    ];
    for other in changed {
        assert_ne!(other.digest(31_337, &here), base, "{other:?}");
    }
    assert_ne!(root.digest(1, &here), base);
    assert_ne!(root.digest(31_337, &Address([8; 20])), base);
}

#[test]
fn malleable_and_malformed_signatures_are_refused() {
    let digest = keccak(b"x");
    let good = sign(&digest, &key(1)).unwrap();
    assert_eq!(recover(&digest, &good), Ok(account(1)));
    assert!(recover(&digest, &good[..64]).is_err());
    let mut bad_v = good;
    bad_v[64] = 0;
    assert!(matches!(recover(&digest, &bad_v), Err(RootError::Signature(m)) if m.contains("27")));
    assert!(recover(&digest, &[0; 65]).is_err());
    assert!(matches!(
        recover(&digest, &high_s(&good)),
        Err(RootError::Signature(message)) if message.contains("lower half")
    ));
    assert_ne!(recover(&keccak(b"y"), &good), Ok(account(1)));
    assert!(sign(&digest, &[0; 32]).is_err());
}

/// The other valid spelling of a signature: n − s and the other v.
fn high_s(good: &[u8; 65]) -> [u8; 65] {
    let signature = Signature::from_slice(&good[..64]).unwrap();
    let s = -*signature.s();
    let other = Signature::from_scalars(*signature.r(), s).unwrap();
    let mut out = *good;
    out[..64].copy_from_slice(&other.to_bytes());
    out[64] = 55 - good[64];
    out
}

#[test]
fn quorum_is_strict_and_counts_each_member_once() {
    let committee = committee(&[(1, 40), (2, 25), (3, 20), (4, 15)]);
    let digest = keccak(b"root");
    let signed = |keys: &[u8]| {
        let signatures: Vec<_> = keys
            .iter()
            .map(|n| sign(&digest, &key(*n)).unwrap())
            .collect();
        quorum(&digest, &signatures, &committee)
    };
    assert_eq!(signed(&[1, 2, 3]), Ok(85));
    assert_eq!(
        signed(&[1, 2]),
        Err(RootError::NoQuorum {
            signed: 65,
            total: 100
        })
    );
    assert_eq!(signed(&[1, 2, 1]), Err(RootError::SignedTwice(account(1))));
    assert_eq!(signed(&[1, 2, 9]), Err(RootError::Stranger(account(9))));
    let thirds = super::tests::committee(&[(1, 1), (2, 1), (3, 1)]);
    let two = [
        sign(&digest, &key(1)).unwrap(),
        sign(&digest, &key(2)).unwrap(),
    ];
    assert!(matches!(
        quorum(&digest, &two, &thirds),
        Err(RootError::NoQuorum { .. })
    ));
    let none: [[u8; 65]; 0] = [];
    assert!(quorum(&digest, &none, &thirds).is_err());
}

#[test]
fn a_leaf_is_read_from_its_own_bytes_alone() {
    let leaf = NodeLeaf {
        cumulative_up_slots: u64::MAX,
        cumulative_slash: u128::MAX,
        ..node_leaf()
    };
    let abi = leaf.abi();
    assert_eq!(NodeLeaf::from_abi(&abi), Some(leaf));
    for length in [0, 32, abi.len() - 1, abi.len() + 1, abi.len() + 32] {
        let mut other = abi.clone();
        other.resize(length, 0);
        assert_eq!(NodeLeaf::from_abi(&other), None, "{length}");
    }
    let (mut read, mut refused) = (0, 0);
    for at in 0..abi.len() {
        let mut other = abi.clone();
        other[at] ^= 0x80;
        match NodeLeaf::from_abi(&other) {
            None => refused += 1,
            Some(found) => {
                assert_eq!(found.abi(), other, "byte {at}");
                read += 1;
            }
        }
    }
    // Node, owner and chips; 4 short numbers, 4 of 32 bits, 4 of 64, the sum of slashes.
    assert_eq!(read, 32 + 20 + 32 + 4 + 4 * 4 + 4 * 8 + 16);
    assert_eq!(read + refused, abi.len());
}

#[test]
fn every_leaf_field_is_in_the_hash() {
    let leaf = node_leaf();
    let base = leaf.hash();
    let changed = [
        NodeLeaf {
            epoch: Epoch(9),
            ..leaf
        },
        NodeLeaf {
            node: NodeId([9; 32]),
            ..leaf
        },
        NodeLeaf {
            owner: Address([9; 20]),
            ..leaf
        },
        NodeLeaf {
            confirmed: false,
            ..leaf
        },
        NodeLeaf {
            chips: Digest([0; 32]),
            ..leaf
        },
        NodeLeaf { verdict: 9, ..leaf },
        NodeLeaf { reasons: 9, ..leaf },
        NodeLeaf { tier: 9, ..leaf },
        NodeLeaf {
            availability: Ppm(9),
            ..leaf
        },
        NodeLeaf {
            lower: Ppm(9),
            ..leaf
        },
        NodeLeaf {
            upper: Ppm(9),
            ..leaf
        },
        NodeLeaf {
            coverage: Ppm(9),
            ..leaf
        },
        NodeLeaf {
            chase_rate: 9,
            ..leaf
        },
        NodeLeaf {
            chase_kind: 9,
            ..leaf
        },
        NodeLeaf {
            cumulative_up_slots: 9,
            ..leaf
        },
        NodeLeaf {
            cumulative_down_slots: 9,
            ..leaf
        },
        NodeLeaf {
            cumulative_slash: 9,
            ..leaf
        },
    ];
    for other in changed {
        assert_ne!(other.hash(), base, "{other:?}");
    }
    let leaf = reward_leaf();
    let changed = [
        RewardLeaf {
            epoch: Epoch(9),
            ..leaf
        },
        RewardLeaf {
            provider: Address([9; 20]),
            ..leaf
        },
        RewardLeaf {
            cumulative_reward: 9,
            ..leaf
        },
    ];
    for other in changed {
        assert_ne!(other.hash(), leaf.hash(), "{other:?}");
    }
}

#[test]
fn evidence_root_covers_id_size_and_root() {
    let head = |size, root| LogHead {
        size,
        root: Digest([root; 32]),
    };
    let of = |id, head| evidence_root(&BTreeMap::from([(HyperNodeId([id; 32]), head)]));
    let base = of(1, head(1, 1));
    for other in [of(2, head(1, 1)), of(1, head(2, 1)), of(1, head(1, 2))] {
        assert_ne!(other, base);
    }
}

#[test]
fn empty_tree_has_the_zero_root() {
    let tree = OutcomeTree::new(vec![]);
    assert_eq!(tree.root(), Keccak([0; 32]));
    assert!(tree.proof(&Keccak([1; 32])).is_err());
}

proptest! {
    #[test]
    fn every_leaf_is_proved_and_no_other(n in 1usize..50, seed: u8) {
        let leaves: Vec<_> = (0..n).map(|i| keccak(&[seed, i as u8])).collect();
        let tree = OutcomeTree::new(leaves.clone());
        let mut reversed = leaves.clone();
        reversed.reverse();
        prop_assert_eq!(OutcomeTree::new(reversed).root(), tree.root());
        for leaf in &leaves {
            let proof = tree.proof(leaf).unwrap();
            prop_assert!(verify_proof(leaf, &proof, &tree.root()));
            let stranger = keccak(b"stranger");
            prop_assert!(!verify_proof(&stranger, &proof, &tree.root()));
            if !proof.is_empty() {
                prop_assert!(!verify_proof(leaf, &proof[1..], &tree.root()));
            }
        }
    }
}
