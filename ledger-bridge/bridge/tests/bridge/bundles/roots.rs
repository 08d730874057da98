//! Two roots of one epoch and round.

use assay_aggregate::root::{Committee, EpochRoot, Member};
use assay_bridge::bundle::Bundle;
use assay_bridge::double_roots::{self, Compared, Signing};
use assay_ledger::Action;
use assay_log::tar::Files;
use assay_protocol::ids::{Digest, Epoch, Keccak, NetworkId};
use assay_protocol::item::{Blob, Item as _};
use assay_protocol::layout::{self, SignedRoot};

use super::{Bed, E, bundle, convicts, record_of, refuses, write};
use crate::network::{CHAIN_ID, HyperNode, Network};

fn committee(net: &Network) -> Committee {
    let member = |h: &HyperNode| Member {
        address: h.ledger.address(),
        weight: 1_000_000,
    };
    Committee::new(net.hypernodes.iter().map(member).collect()).unwrap()
}

/// A root of epoch 0 that says this of its input set.
fn root(net: &Network, input_set: u8) -> EpochRoot {
    EpochRoot {
        network: net.network,
        epoch: E,
        round: 0,
        input_set: Digest([input_set; 32]),
        committee: committee(net).hash(),
        root: Keccak([3; 32]),
        leaf_count: 1,
        evidence_root: Digest([4; 32]),
        policy_digest: Digest([5; 32]),
        cumulative_reward: 6,
        next_committee: Keccak([7; 32]),
    }
}

/// The root as these HyperNodes sign it.
fn record(net: &Network, root: &EpochRoot, signers: &[usize]) -> SignedRoot {
    let digest = root.digest(CHAIN_ID, &net.params.contract);
    let committee = committee(net);
    let signature = |m: &Member| {
        let mut signers = signers.iter().map(|at| &net.hypernodes[*at]);
        let signer = signers.find(|h| h.ledger.address() == m.address);
        let signed = signer.map(|h| h.ledger.sign_digest(&digest).unwrap());
        Blob(signed.map_or_else(Vec::new, |s| s.to_vec()))
    };
    let signatures = committee.members().iter().map(signature).collect();
    root.record(&committee, signatures, Vec::new())
}

fn at_epoch(epoch: Epoch, record: &SignedRoot) -> Files {
    Files::from([(layout::root(epoch), record.encode())])
}

fn signing(net: &Network) -> Signing {
    Signing {
        network: net.network,
        chain_id: CHAIN_ID,
        contract: net.params.contract,
    }
}

fn compare(net: &Network, a: &SignedRoot, b: &SignedRoot) -> Compared {
    let bundle = |name, record: &SignedRoot| bundle(net, name, at_epoch(record.epoch, record));
    let (a, b) = (bundle("a.tar", a), bundle("b.tar", b));
    double_roots::compare([&a, &b], &signing(net)).unwrap()
}

#[test]
fn whoever_signed_two_roots_of_one_round_is_slashed() {
    let net = Network::open();
    let (a, b) = (root(&net, 1), root(&net, 2));
    let compared = compare(
        &net,
        &record(&net, &a, &[0, 1, 2]),
        &record(&net, &b, &[1, 2, 3]),
    );
    assert_eq!((compared.epochs, compared.forked), (vec![E], vec![E]));
    let mut guilty: Vec<_> = compared.guilty.iter().map(|(who, _)| *who).collect();
    guilty.sort_unstable();
    let mut expected = [1, 2].map(|at: usize| net.hypernodes[at].ledger.address());
    expected.sort_unstable();
    assert_eq!(guilty, expected);
    for (account, [(a, by_a), (b, by_b)]) in &compared.guilty {
        let proof = Action::convict_of_two_roots([(a, by_a), (b, by_b)]);
        let mut all = net.hypernodes.iter();
        let guilty = all.find(|h| h.ledger.address() == *account).unwrap();
        convicts(&net, guilty, &proof);
        refuses(
            &net,
            &Action::convict_of_two_roots([(a, by_a), (a, by_a)]),
            "NoConflict",
        );
    }
}

#[test]
fn roots_that_one_may_sign_both_of_convict_nobody() {
    let net = Network::open();
    let all = [0, 1, 2, 3];
    let a = root(&net, 1);
    let first = record(&net, &a, &all);
    let of = |b: &EpochRoot, signers: &[usize]| compare(&net, &first, &record(&net, b, signers));
    let same = of(&a, &all);
    assert!(same.guilty.is_empty() && same.forked.is_empty(), "{same:?}");
    let later = of(
        &EpochRoot {
            round: 1,
            ..root(&net, 2)
        },
        &all,
    );
    assert_eq!((later.guilty.len(), later.corrected.clone()), (0, vec![E]));
    assert!(
        later.to_string().contains("one may correct the other"),
        "{later}"
    );
    let next = of(
        &EpochRoot {
            epoch: Epoch(1),
            ..root(&net, 2)
        },
        &all,
    );
    assert_eq!((next.guilty.len(), next.epochs.len()), (0, 0));
    assert!(next.to_string().contains("no epoch"), "{next}");
    // A smaller committee is another one.
    let mut fewer = record(&net, &root(&net, 2), &all);
    fewer.committee.pop();
    fewer.signatures.pop();
    let fewer = compare(&net, &first, &fewer);
    assert_eq!((fewer.guilty.len(), fewer.corrected), (0, vec![E]));
}

#[test]
fn a_signature_counts_at_its_members_place_and_under_its_root() {
    let net = Network::open();
    let (a, b) = (root(&net, 1), root(&net, 2));
    let first = record(&net, &a, &[0, 1, 2, 3]);
    let mut second = record(&net, &b, &[0, 1, 2, 3]);
    second.signatures.swap(0, 1);
    second.signatures[2] = first.signatures[2].clone();
    second.signatures[3] = Blob(vec![1; 64]);
    let compared = compare(&net, &first, &second);
    assert_eq!((compared.guilty.len(), compared.forked.len()), (0, 1));
    let said = compared.to_string();
    assert!(
        said.contains("no member's signature is under both"),
        "{said}"
    );
}

#[test]
fn a_root_in_another_epochs_place_and_a_bundle_of_another_network_are_refused() {
    let net = Network::open();
    let record = record(&net, &root(&net, 1), &[0]);
    let moved = bundle(&net, "moved.tar", at_epoch(Epoch(3), &record));
    let error = double_roots::compare([&moved, &moved], &signing(&net)).unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("expected the root of epoch 3, got that of 0"),
        "{error}"
    );
    let elsewhere = NetworkId([9; 32]);
    let path = write(net.dir.path(), "else.tar", elsewhere, at_epoch(E, &record));
    let error = Bundle::read(&path, net.network).unwrap_err().to_string();
    assert!(error.contains(&elsewhere.to_string()), "{error}");
}

#[test]
fn a_record_that_is_none_and_a_committee_that_cannot_be_are_named() {
    let net = Network::open();
    let refused = |files: Files| {
        let bundle = bundle(&net, "bad.tar", files);
        let error = double_roots::compare([&bundle, &bundle], &signing(&net)).unwrap_err();
        format!("{error:#}")
    };
    let said = refused(Files::from([(layout::root(E), vec![0xff])]));
    assert!(said.contains("bad.tar, epochs/0/root.cbor"), "{said}");
    let mut twice = record(&net, &root(&net, 1), &[0]);
    twice.committee[1] = twice.committee[0];
    let said = refused(at_epoch(E, &twice));
    assert!(said.contains("occurs twice"), "{said}");
}

#[test]
fn two_bundles_bring_it_to_the_ledger() {
    let bed = Bed::new();
    let net = &bed.net;
    let all = [0, 1, 2, 3];
    let roots = |input_set, signers| at_epoch(E, &record(net, &root(net, input_set), signers));
    bed.bundle("root1.tar", roots(1, &all));
    bed.bundle("root2.tar", roots(2, &[0]));
    let line = "convict-double-roots --first root1.tar --second";
    bed.does(&format!("{line} root2.tar"), "\"of\":\"twoRoots\"");
    bed.does(&format!("{line} root2.tar"), "\"before\":true");
    bed.fails(&format!("{line} root1.tar"), "got the roots of 1 epochs");
    bed.is_misnamed(&format!("{line} nowhere.tar"), "nowhere.tar");
    bed.is_misnamed(&format!("{line} ."), "expected a file, got a folder");
    bed.fails(
        &format!("{line} plan.toml"),
        "expected the tar file of an audit bundle",
    );
    assert!(record_of(net, &net.hypernodes[0]).jailed);
}
