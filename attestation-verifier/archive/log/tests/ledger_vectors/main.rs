//! What the contract of faults (ledger-bridge/contracts/src/AssayFaults.sol) is tested against: objects that HyperNodes
//! sign, made by the encoders that HyperNodes use, in ledger-bridge/contracts/test/vectors.
//!
//! The files are compared. With `ASSAY_WRITE_VECTORS` set they are written anew.

mod outcomes;

use assay_log::checkpoint::{self, Checkpoint, origin, sign_checkpoint};
use assay_log::leaf::{Leaf, NodeLeaf, SlotLeaf};
use assay_protocol::answers::{ChainLink, Countersigned, FillReceipt};
use assay_protocol::cose::{self, Payload, PublicKey, Signer};
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, NetworkId, NodeId, RegionKey, Slot, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::merkle;
use assay_protocol::region::{Keystream, key_hash};
use assay_protocol::report::Vote;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::path::PathBuf;

const NETWORK: NetworkId = NetworkId([0x11; 32]);
const OTHER_NETWORK: NetworkId = NetworkId([0x12; 32]);
const NODE: NodeId = NodeId([0x33; 32]);
const AT: UnixMs = UnixMs(1_760_000_000_123);
const REGION_KEY: RegionKey = RegionKey([0x5a; 32]);
const BLOCKS: u32 = 11;
/// The block that the node did not receive as the key makes it.
const ALTERED: u32 = 5;
const LOG_LEAVES: u64 = 9;
/// From this leaf on the second log is another.
const FORK: u64 = 5;

/// Every number at both ends of each width of deterministic CBOR.
const WIDTHS: [u64; 11] = [
    0,
    1,
    23,
    24,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0xffff_ffff,
    0x1_0000_0000,
    u64::MAX,
];

/// A key that keeps what it signed last.
struct Key {
    pair: Ed25519KeyPair,
    signed: RefCell<Vec<u8>>,
}

impl Key {
    fn new(seed: u8) -> Self {
        Self {
            pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(),
            signed: RefCell::default(),
        }
    }

    fn id(&self) -> HyperNodeId {
        HyperNodeId(self.public_key())
    }

    /// What was signed last, and its signature.
    fn last(&self) -> Value {
        let message = self.signed.borrow();
        json!({ "signed": hex(&message), "signature": hex(self.pair.sign(&message).as_ref()) })
    }
}

impl Signer for Key {
    fn public_key(&self) -> PublicKey {
        self.pair.public_key().as_ref().try_into().unwrap()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signed.replace(message.to_vec());
        self.pair.sign(message).as_ref().try_into().unwrap()
    }
}

fn hypernode() -> Key {
    Key::new(1)
}

fn other_hypernode() -> Key {
    Key::new(2)
}

fn session() -> Key {
    Key::new(3)
}

fn hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// A number as text: JSON readers lose digits of large ones.
fn number(value: u64) -> String {
    value.to_string()
}

fn merged(mut one: Value, mut other: Value) -> Value {
    one.as_object_mut()
        .unwrap()
        .append(other.as_object_mut().unwrap());
    one
}

/// Seals as the product does, and reads what was sealed as the product does.
fn seal<T: Payload + Clone>(payload: T, key: &Key) -> Vec<u8> {
    let sealed = cose::seal(payload, key);
    cose::open::<T>(sealed.bytes(), &key.public_key()).unwrap();
    sealed.bytes().to_vec()
}

// ---- Votes

fn vote(change: impl FnOnce(&mut Vote)) -> Vote {
    let mut vote = Vote {
        network: NETWORK,
        epoch: Epoch(7),
        round: 1,
        hypernode: hypernode().id(),
        input_set: Digest([0xaa; 32]),
        at: AT,
    };
    change(&mut vote);
    vote
}

fn vote_row(vote: Vote, key: &Key) -> Value {
    let row = json!({
        "networkId": hex(&vote.network.0),
        "epoch": number(vote.epoch.0),
        "round": number(vote.round.into()),
        "hyperNode": hex(&vote.hypernode.0),
        "inputSet": hex(&vote.input_set.0),
        "atUnixMs": number(vote.at.0),
    });
    seal(vote, key);
    merged(row, key.last())
}

fn votes() -> Value {
    let key = hypernode();
    let other = Digest([0xbb; 32]);
    let mut rows = Map::new();
    let mut add = |name: &str, row| rows.insert(name.to_owned(), row);
    let own = |change: fn(&mut Vote)| vote_row(vote(change), &key);
    add("first", own(|_| ()));
    add("again", own(|v| v.at.0 += 5_000));
    add("conflict", own(|v| v.input_set = Digest([0xbb; 32])));
    add("third", own(|v| v.input_set = Digest([0xcc; 32])));
    let round = vote(|v| (v.round, v.input_set) = (2, other));
    add("nextRound", vote_row(round, &key));
    let epoch = vote(|v| (v.epoch, v.input_set) = (Epoch(8), other));
    add("nextEpoch", vote_row(epoch, &key));
    let foreign = vote(|v| (v.network, v.input_set) = (OTHER_NETWORK, other));
    add("otherNetwork", vote_row(foreign, &key));
    let stranger = other_hypernode();
    let theirs = vote(|v| (v.hypernode, v.input_set) = (stranger.id(), other));
    add("otherHyperNode", vote_row(theirs, &stranger));
    for (i, width) in WIDTHS.into_iter().enumerate() {
        let wide = vote(|v| {
            v.epoch = Epoch(width);
            v.round = u32::try_from(width).unwrap_or(u32::MAX);
            v.at = UnixMs(width);
        });
        add(&format!("width{i}"), vote_row(wide, &key));
    }
    rows.into()
}

// ---- Checkpoints

fn log_leaves(forked: bool) -> Vec<Digest> {
    let data = |i: u64| [u8::from(forked && i >= FORK), i as u8];
    (0..LOG_LEAVES)
        .map(|i| merkle::leaf_hash(&data(i)))
        .collect()
}

/// A log that says two things about a slot (leaves 0 and 3) and about a node (1 and 4), one thing about a slot twice (0 and
/// 5), and is consistent about another slot, epoch and node. The last two leaves are none.
fn records() -> Vec<Vec<u8>> {
    let slot = |epoch, slot, said| {
        Leaf::Slot(SlotLeaf {
            epoch: Epoch(epoch),
            slot: Slot(slot),
            count: said,
            root: Digest([said as u8; 32]),
        })
    };
    let node = |epoch, node, said| {
        Leaf::Node(NodeLeaf {
            epoch: Epoch(epoch),
            node,
            count: said,
            root: Digest([said as u8; 32]),
        })
    };
    let other = NodeId([0x34; 32]);
    let mut leaves = [
        slot(3, 7, 1),
        node(3, NODE, 1),
        slot(3, 8, 1),
        slot(3, 7, 2),
        node(3, NODE, 2),
        slot(3, 7, 1),
        slot(4, 7, 2),
        node(4, NODE, 2),
        node(3, other, 2),
    ]
    .map(|leaf| leaf.encode())
    .to_vec();
    let mut unknown = slot(3, 7, 3).encode();
    unknown[11] = 3;
    let long = [slot(3, 7, 3).encode(), vec![0]].concat();
    leaves.extend([unknown, long]);
    leaves
}

fn record_leaves() -> Vec<Digest> {
    records()
        .iter()
        .map(|data| merkle::leaf_hash(data))
        .collect()
}

fn checkpoint_row(network: &NetworkId, key: &Key, size: u64, root: Digest) -> Value {
    let statement = Checkpoint {
        origin: origin(network, &key.id()),
        size,
        root,
    };
    let note = sign_checkpoint(&statement, &key.id(), |body| key.sign(body)).unwrap();
    checkpoint::verify_checkpoint(note.as_bytes(), &statement.origin, &key.id()).unwrap();
    let row = json!({
        "networkId": hex(&network.0),
        "hyperNode": hex(&key.id().0),
        "size": number(size),
        "root": hex(&root.0),
    });
    merged(row, key.last())
}

fn root_at(leaves: &[Digest], size: u64) -> Digest {
    merkle::root(leaves.get(..size as usize).unwrap())
}

fn checkpoints() -> Value {
    let key = hypernode();
    let (honest, forked) = (log_leaves(false), log_leaves(true));
    let mut rows = Map::new();
    let mut add = |name: String, row| rows.insert(name, row);
    for size in 0..=LOG_LEAVES {
        let row = checkpoint_row(&NETWORK, &key, size, root_at(&honest, size));
        add(format!("honest{size}"), row);
        let row = checkpoint_row(&NETWORK, &key, size, root_at(&forked, size));
        add(format!("forked{size}"), row);
    }
    let (root, stranger) = (root_at(&forked, LOG_LEAVES), other_hypernode());
    let foreign = checkpoint_row(&OTHER_NETWORK, &key, LOG_LEAVES, root);
    add("otherNetwork".into(), foreign);
    let theirs = checkpoint_row(&NETWORK, &stranger, LOG_LEAVES, root);
    add("otherHyperNode".into(), theirs);
    let records = record_leaves();
    let all = records.len() as u64;
    let row = checkpoint_row(&NETWORK, &key, all, root_at(&records, all));
    add("records".into(), row);
    for (i, size) in WIDTHS.into_iter().enumerate() {
        let row = checkpoint_row(&NETWORK, &key, size, Digest([0xfb; 32]));
        add(format!("width{i}"), row);
    }
    rows.into()
}

/// Leaf hashes of both logs, and the path of each leaf under each size, as `path.<size>.<index>`.
fn logs() -> Value {
    let log = |leaves: Vec<Digest>| {
        let paths = |size: u64| {
            let part = leaves.get(..size as usize).unwrap();
            let path = |i| (number(i), path_row(part, i));
            (number(size), (0..size).map(path).collect::<Map<_, _>>())
        };
        let paths: Map<_, _> = (1..=leaves.len() as u64)
            .map(paths)
            .map(|(k, v)| (k, v.into()))
            .collect();
        let hashes: Vec<_> = leaves.iter().map(|leaf| hex(&leaf.0)).collect();
        json!({ "leaves": hashes, "path": paths })
    };
    let data: Vec<_> = records().iter().map(|data| hex(data)).collect();
    let records = merged(log(record_leaves()), json!({ "data": data }));
    json!({ "honest": log(log_leaves(false)), "forked": log(log_leaves(true)), "records": records })
}

fn path_row(leaves: &[Digest], index: u64) -> Value {
    let path = merkle::inclusion_proof(leaves, index).unwrap();
    path.iter()
        .map(|sibling| hex(&sibling.0))
        .collect::<Vec<_>>()
        .into()
}

// ---- Regions

/// Leaf hashes of the region as the node received it.
fn region_leaves(altered: bool) -> Vec<Digest> {
    let stream = Keystream::new(&REGION_KEY).unwrap();
    let block = |index| {
        let mut block = stream.block(index).unwrap();
        if altered && index == ALTERED {
            block[4095] ^= 1;
        }
        merkle::leaf_hash(&block)
    };
    (0..BLOCKS).map(block).collect()
}

fn receipt(root: Digest) -> FillReceipt {
    FillReceipt {
        network: NETWORK,
        node: NODE,
        hypernode: hypernode().id(),
        region: 2,
        generation: 3,
        key_hash: key_hash(&REGION_KEY),
        blocks: BLOCKS,
        root,
        link: ChainLink {
            sequence: 17,
            previous: Digest([0x77; 32]),
        },
        at: AT,
    }
}

fn receipt_row(receipt: FillReceipt, at: UnixMs, key: &Key) -> Value {
    let session = session();
    let mut row = json!({
        "networkId": hex(&receipt.network.0),
        "node": hex(&receipt.node.0),
        "hyperNode": hex(&receipt.hypernode.0),
        "region": number(receipt.region.into()),
        "generation": number(receipt.generation),
        "keyHash": hex(&receipt.key_hash.0),
        "blocks": number(receipt.blocks.into()),
        "root": hex(&receipt.root.0),
        "sequence": number(receipt.link.sequence),
        "previous": hex(&receipt.link.previous.0),
        "nodeAtUnixMs": number(receipt.at.0),
        "sessionKey": hex(&session.public_key()),
        "atUnixMs": number(at.0),
    });
    let node = receipt.node;
    let sealed = seal(receipt, &session);
    let by_node = session.last().get("signature").cloned();
    row.as_object_mut()
        .unwrap()
        .insert("nodeSignature".into(), by_node.unwrap());
    let both = Countersigned {
        node,
        receipt: Blob(sealed),
        at,
    };
    seal(both, key);
    merged(row, key.last())
}

fn receipts() -> Value {
    let key = hypernode();
    let wrong = merkle::root(&region_leaves(true));
    let mut rows = Map::new();
    let mut add = |name: &str, row| rows.insert(name.to_owned(), row);
    let right = receipt(merkle::root(&region_leaves(false)));
    add("right", receipt_row(right, AT, &key));
    add("wrong", receipt_row(receipt(wrong), AT, &key));
    let later = UnixMs(AT.0 + 9_000);
    add("wrongAgain", receipt_row(receipt(wrong), later, &key));
    let mut next = receipt(wrong);
    next.generation += 1;
    add("wrongNextGeneration", receipt_row(next, AT, &key));
    let mut foreign = receipt(wrong);
    foreign.network = OTHER_NETWORK;
    add("otherNetwork", receipt_row(foreign, AT, &key));
    for (i, width) in WIDTHS.into_iter().enumerate() {
        let narrow = u32::try_from(width).unwrap_or(u32::MAX);
        let mut wide = receipt(wrong);
        (wide.region, wide.generation, wide.blocks) = (narrow, width, narrow);
        (wide.link.sequence, wide.at) = (width, UnixMs(width));
        add(&format!("width{i}"), receipt_row(wide, UnixMs(width), &key));
    }
    rows.into()
}

/// Blocks of the region under both roots: `wrong` is the one that was altered.
fn region() -> Value {
    let side = |altered: bool| {
        let leaves = region_leaves(altered);
        let hashes: Vec<_> = leaves.iter().map(|leaf| hex(&leaf.0)).collect();
        let path = |i| (number(i), path_row(&leaves, i));
        let paths: Map<_, _> = (0..u64::from(BLOCKS)).map(path).collect();
        json!({ "leaves": hashes, "path": paths })
    };
    json!({ "key": hex(&REGION_KEY.0), "right": side(false), "wrong": side(true) })
}

// ---- Files

fn vectors(name: &str) -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.join("../../../ledger-bridge/contracts/test/vectors")
        .join(name)
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(vectors(name)).unwrap()).unwrap()
}

fn network() -> Value {
    json!({
        "networkId": hex(&NETWORK.0),
        "hyperNode": hex(&hypernode().id().0),
        "otherHyperNode": hex(&other_hypernode().id().0),
    })
}

#[test]
fn the_contracts_vectors_are_what_hypernodes_sign() {
    for (name, made) in [
        ("network.json", network()),
        ("votes.json", votes()),
        ("checkpoints.json", checkpoints()),
        ("logs.json", logs()),
        ("receipts.json", receipts()),
        ("region.json", region()),
        ("outcomes.json", outcomes::outcomes()),
        ("answers.json", outcomes::answers()),
    ] {
        if std::env::var_os("ASSAY_WRITE_VECTORS").is_some() {
            let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
            std::fs::write(vectors(name), text).unwrap();
        }
        assert!(
            read(name) == made,
            "{} is out of date; hint: ASSAY_WRITE_VECTORS=1 cargo test -p assay-log --test ledger_vectors",
            vectors(name).display()
        );
    }
}

/// The contract accepts what AWS-LC accepts for every key that it takes. Of the keys it refuses, AWS-LC takes those of
/// small order.
#[test]
fn aws_lc_says_of_the_ed25519_vectors_what_they_say() {
    let rows = read("ed25519.json");
    let column = |name: &str| rows.get(name).and_then(Value::as_array).unwrap().clone();
    let bytes = |value: &Value| hex::decode(&value.as_str().unwrap()[2..]).unwrap();
    let (keys, messages) = (column("key"), column("message"));
    let (r, s, valid) = (column("r"), column("s"), column("valid"));
    for (i, what) in column("what").iter().enumerate() {
        let signature = [bytes(&r[i]), bytes(&s[i])].concat();
        let verified = UnparsedPublicKey::new(&ED25519, bytes(&keys[i]))
            .verify(&bytes(&messages[i]), &signature)
            .is_ok();
        assert_eq!(Some(verified), valid[i].as_bool(), "{what}");
    }
    assert_eq!(keys.len(), 81);
}
