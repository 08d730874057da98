//! Quorums, signatures and committee bytes.

use alloy_sol_types::SolCall;
use assay_aggregate::root::{Committee, EpochRoot, Member};
use assay_ledger::abi::AssayEpochs;
use assay_ledger::{Action, AssayLedger, LedgerError, Receipt, Token};
use assay_protocol::ids::{Address, Epoch, Keccak};

use crate::network::*;

const ROOT: Keccak = Keccak([9; 32]);

fn post_with(
    net: &Network,
    root: &EpochRoot,
    signatures: &[Option<[u8; 65]>],
) -> Result<Receipt, LedgerError> {
    let post = Action::post_root(root, &net.committee(0), signatures);
    net.does(&deployer(), &post)
}

#[test]
fn quorum_is_strictly_more_than_two_thirds() {
    let net = Network::open(&[100, 100, 100]);
    net.finish(0);
    let root = net.root(0, ROOT);
    refused(net.post(&root, &[0, 1]), "QuorumNotReached");
    refused(net.post(&root, &[]), "QuorumNotReached");
    let net = Network::open(&[100, 101, 99]);
    net.finish(0);
    let root = net.root(0, ROOT);
    refused(net.post(&root, &[0, 2]), "QuorumNotReached");
    net.post(&root, &[0, 1]).unwrap();
}

#[test]
fn duplicated_foreign_and_misplaced_signatures() {
    let net = Network::ready();
    let root = net.root(0, ROOT);
    let good = net.signatures(&root, &[0, 1, 2, 3]);
    let mut duplicated = good.clone();
    duplicated[1] = duplicated[0];
    refused(post_with(&net, &root, &duplicated), "WrongSigner");
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    refused(post_with(&net, &root, &swapped), "WrongSigner");
    let mut foreign = good.clone();
    let digest = root.digest(CHAIN_ID, &net.ledger.contract());
    foreign[0] = Some(key(40).sign_digest(&digest).unwrap());
    refused(post_with(&net, &root, &foreign), "WrongSigner");
    // One for nobody: a bit beyond the committee, or a place that it does not have.
    let mut more = good.clone();
    more.push(good[0]);
    refused(post_with(&net, &root, &more), "BadSignatures");
    let mut many = good.clone();
    many.resize(9, None);
    refused(post_with(&net, &root, &many), "WrongSigner");
    post_with(&net, &root, &good).unwrap();
}

/// The encoding itself, byte by byte; `good` is signed by all four.
#[test]
fn signature_bytes_that_are_no_encoding() {
    let net = Network::ready();
    let root = net.root(0, ROOT);
    let signatures = net.signatures(&root, &[0, 1, 2, 3]);
    let good = compact(&signatures);
    let meets = |signatures: Vec<u8>| {
        let call = AssayEpochs::postRootCall {
            r: (&root).into(),
            committee: net.committee(0).encode().into(),
            signatures: signatures.into(),
        };
        net.meets(&deployer(), net.ledger.contract(), &call)
    };
    assert_eq!(meets(vec![]), "BadSignatures");
    assert_eq!(meets(good[..good.len() - 1].to_vec()), "BadSignatures");
    assert_eq!(meets([&good[..], &[0]].concat()), "BadSignatures");
    assert_eq!(meets([&[0b0111], &good[1..]].concat()), "BadSignatures");
    assert_eq!(meets([&[0b1_1111], &good[1..]].concat()), "BadSignatures");
    let zeros = [&[0b1111][..], &[0; 64], &good[65..]].concat();
    assert_eq!(meets(zeros), "WrongSigner");
    let mut parity = good.clone();
    parity[33] ^= 0x80;
    assert_eq!(meets(parity), "WrongSigner");
    assert_eq!(net.post(&root, &[0, 1, 2, 3]).unwrap().from, {
        alloy_primitives::Address::from(deployer().address().0)
    });
}

/// As the client encodes them, for a committee of at most eight.
fn compact(signatures: &[Option<[u8; 65]>]) -> Vec<u8> {
    let mut bytes = vec![0];
    for (at, signature) in signatures.iter().enumerate() {
        let Some(signature) = signature else { continue };
        bytes[0] |= 1 << at;
        let start = bytes.len();
        bytes.extend_from_slice(&signature[..64]);
        bytes[start + 32] |= (signature[64] - 27) << 7;
    }
    bytes
}

/// The other valid signature of the same digest, n − s and the other parity, has no spelling: its s has the highest bit
/// set, which here is the parity, or is beyond half of the order.
#[test]
fn malleable_and_malformed_signatures() {
    let net = Network::ready();
    let root = net.root(0, ROOT);
    for (at, _) in STAKES.iter().enumerate() {
        let mut signatures = net.signatures(&root, &[0, 1, 2, 3]);
        let twin = signatures[at].as_mut().unwrap();
        high_s(twin);
        refused(post_with(&net, &root, &signatures), "WrongSigner");
        let mut signatures = net.signatures(&root, &[0, 1, 2, 3]);
        signatures[at].as_mut().unwrap()[64] ^= 27 ^ 28;
        refused(post_with(&net, &root, &signatures), "WrongSigner");
    }
}

fn high_s(signature: &mut [u8; 65]) {
    use alloy_primitives::{U256, uint};
    const N: U256 = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
    let s = U256::from_be_slice(&signature[32..64]);
    signature[32..64].copy_from_slice(&(N - s).to_be_bytes::<32>());
    signature[64] = 55 - signature[64];
}

#[test]
fn signatures_for_another_chain_contract_or_root() {
    let net = Network::ready();
    let root = net.root(0, ROOT);
    let here = net.ledger.contract();
    let changed = EpochRoot { round: 1, ..root };
    for digest in [
        root.digest(CHAIN_ID + 1, &here),
        root.digest(CHAIN_ID, &Address([7; 20])),
        changed.digest(CHAIN_ID, &here),
    ] {
        let signatures = signatures_over(&digest, &net.committee(0), &[0, 1, 2]);
        refused(post_with(&net, &root, &signatures), "WrongSigner");
    }
}

#[test]
fn a_root_accepted_by_one_contract_is_no_good_for_its_twin() {
    let net = Network::ready();
    let mut with = deployment();
    with.roles.token = Token::At(net.ledger.contracts().token);
    let twin = AssayLedger::deploy(net.chain.clone(), &deployer(), &with).unwrap();
    for (index, stake) in STAKES.into_iter().enumerate() {
        let account = hypernode(index).address();
        let new = proven(&twin, account, &new_hypernode(index, stake));
        let register = Action::register_hypernode(&new);
        twin.submit(&hypernode(index), &register).unwrap();
    }
    let committee = net.committee(0).hash();
    twin.submit(&deployer(), &Action::open_genesis(NETWORK, committee))
        .unwrap();
    assert_eq!(twin.committee_of(Epoch(0)).unwrap(), net.committee(0));
    let root = net.root(0, ROOT);
    let signatures = net.signatures(&root, &[0, 1, 2]);
    let post = Action::post_root(&root, &net.committee(0), &signatures);
    net.does(&deployer(), &post).unwrap();
    refused(twin.submit(&deployer(), &post), "WrongSigner");
}

#[test]
fn committee_bytes_that_are_not_the_committees() {
    let net = Network::ready();
    let root = net.root(0, ROOT);
    let committee = net.committee(0);
    let signatures = net.signatures(&root, &[0, 1, 2]);
    let inflated = |m: &Member| Member {
        weight: m.weight * 2,
        ..*m
    };
    let inflated = committee.members().iter().map(inflated).collect();
    let inflated = Committee::new(inflated).unwrap();
    let post = Action::post_root(&root, &inflated, &signatures);
    refused(net.does(&deployer(), &post), "WrongCommittee");
    let good = committee.encode();
    for bytes in [
        vec![],
        good[1..].to_vec(),
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0]].concat(),
        good[good.len() / 4..].to_vec(),
    ] {
        let call = AssayEpochs::postRootCall {
            r: (&root).into(),
            committee: bytes.into(),
            signatures: compact(&signatures).into(),
        };
        let met = net.meets(&deployer(), net.ledger.contract(), &call);
        assert_eq!(met, "WrongCommittee");
    }
}

/// One member's bytes, as a committee of one encodes it.
fn member(index: usize, weight: u128) -> Vec<u8> {
    let address = hypernode(index).address();
    Committee::new(vec![Member { address, weight }])
        .unwrap()
        .encode()
}

/// Whoever signs now can name any hash for the next epoch; bytes that hash to it must still be a committee.
#[test]
fn a_next_committee_that_is_none_signs_nothing() {
    let both = Committee::new(net_members()).unwrap().encode();
    let (first, second) = both.split_at(both.len() / 2);
    let weightless = [&member(0, 1)[..20], &vec![0; both.len() / 2 - 20]].concat();
    for bytes in [
        vec![],
        first[1..].to_vec(),
        [first, &[0]].concat(),
        vec![0; first.len()],
        [first, first].concat(),
        [second, first].concat(),
        weightless,
    ] {
        let net = Network::ready();
        let next_committee = assay_aggregate::root::keccak(&bytes);
        let root = EpochRoot {
            next_committee,
            ..net.root(0, ROOT)
        };
        net.post(&root, &[0, 1, 2]).unwrap();
        net.finish(1);
        let root = epoch_root(1, ROOT, next_committee);
        let call = AssayEpochs::postRootCall {
            r: (&root).into(),
            committee: bytes.clone().into(),
            signatures: vec![0].into(),
        };
        let met = net.meets(&deployer(), net.ledger.contract(), &call);
        assert_eq!(met, "BadCommittee", "{bytes:?}");
    }
}

fn net_members() -> Vec<Member> {
    let member = |index| Member {
        address: hypernode(index).address(),
        weight: 5,
    };
    (0..2).map(member).collect()
}

#[test]
fn the_next_committee_replaces_the_old_one() {
    let net = Network::ready();
    let member = Member {
        address: hypernode(3).address(),
        weight: 1,
    };
    let successor = Committee::new(vec![member]).unwrap();
    let old = net.root(0, ROOT);
    let root = EpochRoot {
        next_committee: successor.hash(),
        ..old
    };
    net.post(&root, &[0, 1, 2]).unwrap();
    net.finish(1);
    refused(net.post(&net.root(1, ROOT), &[0, 1, 2]), "WrongCommittee");
    let next = epoch_root(1, ROOT, successor.hash());
    let digest = next.digest(CHAIN_ID, &net.ledger.contract());
    let signatures = signatures_over(&digest, &successor, &[3]);
    let post = Action::post_root(&next, &successor, &signatures);
    net.does(&deployer(), &post).unwrap();
    let call = AssayEpochs::committeeHashCall {}.abi_encode();
    use assay_ledger::Chain;
    let stored = net.chain.call(net.ledger.contract().0.into(), &call);
    assert_eq!(stored.unwrap().as_ref(), successor.hash().0);
}
