//! A key that does not make its region.

use assay_bridge::wrong_key;
use assay_ledger::{Action, SignedReceipt};
use assay_log::leaf_hash;
use assay_log::tar::Files;
use assay_protocol::answers::{ChainLink, Countersigned, FillReceipt};
use assay_protocol::cose::seal;
use assay_protocol::ids::{Digest, NetworkId, NodeId, RegionKey, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::layout;
use assay_protocol::merkle;
use assay_protocol::region::{BLOCK_BYTES, Keystream, key_hash};
use assay_protocol::report::RegionReveal;
use assay_transport::Identity;

use super::{Bed, E, bundle, convicts, record_of, refuses};
use crate::network::{HyperNode, NODE, Network};

const BLOCKS: u32 = 5;
const ALTERED: u32 = 3;
const KEY: RegionKey = RegionKey([8; 32]);

/// A region of the key, with a bit of one block flipped when it is `altered`.
fn region(altered: bool) -> Vec<u8> {
    let stream = Keystream::new(&KEY).unwrap();
    let blocks = (0..BLOCKS).map(|index| stream.block(index).unwrap());
    let mut bytes: Vec<u8> = blocks.collect::<Vec<_>>().concat();
    bytes[ALTERED as usize * BLOCK_BYTES + 77] ^= u8::from(altered);
    bytes
}

fn fill(net: &Network, by: &HyperNode, region: &[u8]) -> FillReceipt {
    let leaves: Vec<Digest> = region.chunks(BLOCK_BYTES).map(leaf_hash).collect();
    FillReceipt {
        network: net.network,
        node: NODE,
        hypernode: by.id(),
        region: 0,
        generation: 2,
        key_hash: key_hash(&KEY),
        blocks: BLOCKS,
        root: merkle::root(&leaves),
        link: ChainLink {
            sequence: 4,
            previous: Digest([5; 32]),
        },
        at: UnixMs(1_800_000_000_001),
    }
}

/// The receipt signed by a node, and by this HyperNode for this node.
fn countersigned(by: &HyperNode, node: NodeId, receipt: FillReceipt) -> Vec<u8> {
    let session = Identity::generate().unwrap();
    let receipt = seal(receipt, &session);
    by.seal(Countersigned {
        node,
        receipt: Blob(receipt.bytes().to_vec()),
        at: UnixMs(1_800_000_000_002),
    })
}

fn signed(by: &HyperNode, receipt: FillReceipt) -> SignedReceipt {
    wrong_key::receipt(&countersigned(by, NODE, receipt)).unwrap()
}

/// A bundle's file: the report that reveals a key of this generation.
fn reveal_files(net: &Network, by: &HyperNode, key: RegionKey, generation: u64) -> Files {
    let mut report = by.report(net, E);
    report.nodes[0].reveals.push(RegionReveal {
        region: 0,
        generation,
        key,
    });
    Files::from([(layout::report(E, &by.id()), by.seal(report))])
}

#[test]
fn a_key_that_does_not_make_the_region_convicts_who_revealed_it() {
    let net = Network::open();
    let by = &net.hypernodes[1];
    let region = region(true);
    let receipt = signed(by, fill(&net, by, &region));
    let bundle = bundle(&net, "key.tar", reveal_files(&net, by, KEY, 2));
    let key = wrong_key::revealed(&bundle, &receipt.receipt).unwrap();
    assert_eq!(key, KEY);
    let wrong = wrong_key::wrong_block(&receipt.receipt, &key, &mut &region[..]).unwrap();
    assert_eq!(wrong.index, ALTERED);
    let mut right = wrong.clone();
    right.index = 0;
    refuses(
        &net,
        &Action::convict_of_region_key(&receipt, &right),
        "WrongRoot",
    );
    convicts(&net, by, &Action::convict_of_region_key(&receipt, &wrong));
}

#[test]
fn a_right_key_a_changed_region_and_a_short_one_are_named() {
    let net = Network::open();
    let by = &net.hypernodes[1];
    let refused = |receipt: &FillReceipt, region: &[u8]| {
        let error = wrong_key::wrong_block(receipt, &KEY, &mut &*region).unwrap_err();
        format!("{error:#}")
    };
    let right = fill(&net, by, &region(false));
    let said = refused(&right, &region(false));
    assert!(said.contains("it makes all 5"), "{said}");
    let said = refused(&right, &region(true));
    assert!(said.contains("altered since"), "{said}");
    let said = refused(&right, &region(false)[..4 * BLOCK_BYTES]);
    assert!(said.contains("expected 5 blocks, got 4"), "{said}");
}

#[test]
fn a_key_that_the_receipt_does_not_name_or_nobody_revealed_is_refused() {
    let net = Network::open();
    let by = &net.hypernodes[1];
    let receipt = fill(&net, by, &region(true));
    let refused = |files| {
        let bundle = bundle(&net, "key.tar", files);
        wrong_key::revealed(&bundle, &receipt)
            .unwrap_err()
            .to_string()
    };
    let none = "got none";
    let said = refused(Files::new());
    assert!(
        said.contains(none) && said.contains("generation 2"),
        "{said}"
    );
    let said = refused(reveal_files(&net, by, KEY, 3));
    assert!(said.contains(none), "{said}");
    let said = refused(reveal_files(&net, &net.hypernodes[0], KEY, 2));
    assert!(said.contains(none), "{said}");
    // A report under its name that another signed.
    let mut forged = reveal_files(&net, &net.hypernodes[0], KEY, 2);
    let bytes = forged.pop_first().unwrap().1;
    let said = refused(Files::from([(layout::report(E, &by.id()), bytes)]));
    assert!(said.contains(none), "{said}");
    let other = RegionKey([9; 32]);
    let said = refused(reveal_files(&net, by, other, 2));
    assert!(said.contains(&key_hash(&other).to_string()), "{said}");
}

#[test]
fn a_receipt_of_another_hypernode_or_node_is_refused() {
    let net = Network::open();
    let (by, other) = (&net.hypernodes[1], &net.hypernodes[0]);
    let receipt = || fill(&net, by, &region(true));
    let refused = |bytes: &[u8]| wrong_key::receipt(bytes).unwrap_err().to_string();
    let said = refused(&countersigned(other, NODE, receipt()));
    assert!(
        said.contains("expected the signature of its HyperNode"),
        "{said}"
    );
    let said = refused(&countersigned(by, NodeId([1; 32]), receipt()));
    assert!(said.contains("expected to be signed for it"), "{said}");
    refused(b"no receipt");
    let mut flipped = countersigned(by, NODE, receipt());
    *flipped.last_mut().unwrap() ^= 1;
    refused(&flipped);
}

#[test]
fn a_region_file_brings_it_to_the_ledger() {
    let bed = Bed::new();
    let net = &bed.net;
    let by = &net.hypernodes[1];
    let receipt = fill(net, by, &region(true));
    bed.bundle("key.tar", reveal_files(net, by, KEY, 2));
    bed.bundle("other.tar", Files::new());
    bed.file("region", &region(true));
    bed.file("right", &region(false));
    bed.file("receipt", &countersigned(by, NODE, receipt.clone()));
    let network = NetworkId([9; 32]);
    bed.file(
        "else",
        &countersigned(by, NODE, FillReceipt { network, ..receipt }),
    );
    let line = |bundle: &str, receipt: &str, region: &str| {
        format!("convict-region --bundle {bundle} --receipt {receipt} --region {region}")
    };
    bed.fails(&line("other.tar", "receipt", "region"), "got none");
    bed.fails(
        &line("key.tar", "else", "region"),
        "expected a receipt of network",
    );
    bed.fails(&line("key.tar", "region", "region"), "region");
    bed.fails(&line("key.tar", "receipt", "right"), "altered since");
    bed.is_misnamed(&line("key.tar", "receipt", "nowhere"), "nowhere");
    bed.does(
        &line("key.tar", "receipt", "region"),
        "\"of\":\"wrongRegionKey\"",
    );
    bed.does(&line("key.tar", "receipt", "region"), "\"before\":true");
    assert!(record_of(net, by).jailed);
}
