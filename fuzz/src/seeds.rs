//! Writes the first corpus: real objects of the product, so that fuzzing starts behind the first checks.

use assay_aggregate::agreement::{Agreement, Entry, Event, Setting, input_set_hash};
use assay_fuzz::foreign;
use assay_fuzz::node;
use assay_fuzz::samples::{self, Sample};
use assay_log::checkpoint::{self, Checkpoint};
use assay_log::leaf::{Leaf, NodeLeaf, SlotLeaf};
use assay_log::{bundle, tar};
use assay_protocol::cbor::Value;
use assay_protocol::chase::ChasePlan;
use assay_protocol::cose::{self, Signer as _};
use assay_protocol::ids::{Beacon, Digest, Epoch, Keccak, Nonce, ReportData, Slot};
use assay_protocol::region::RegionId;
use assay_protocol::wire::{
    self, AgentReply, AgentRequest, BoardObject, BoardReply, BoardRequest, ImaAppraised,
    PeerRequest, ProbeGuestReply, ProbeGuestRequest, Refusal, RefusalCode,
};
use assay_testbed::Banks;
use assay_testbed::soft_node::{QUOTED, config};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Seeds by target.
#[derive(Default)]
struct Corpus(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Corpus {
    fn add(&mut self, target: &'static str, seeds: impl IntoIterator<Item = Vec<u8>>) {
        self.0.entry(target).or_default().extend(seeds);
    }

    fn write(&self, dir: &Path) {
        for (target, seeds) in &self.0 {
            let dir = dir.join(target);
            std::fs::create_dir_all(&dir).expect("a corpus folder");
            for (number, seed) in seeds.iter().enumerate() {
                std::fs::write(dir.join(format!("seed-{number:02}")), seed).expect("a seed");
            }
        }
    }
}

/// The names of the fuzz targets.
fn targets() -> BTreeSet<&'static str> {
    let lines = include_str!("../Cargo.toml").lines();
    lines
        .filter_map(|line| {
            line.strip_prefix("path = \"fuzz_targets/")?
                .strip_suffix(".rs\"")
        })
        .collect()
}

fn main() {
    let dir = std::env::args_os().nth(1);
    let dir = PathBuf::from(dir.expect("usage: seeds <corpus folder>"));
    let mut corpus = Corpus::default();
    objects(&mut corpus);
    tpm(&mut corpus);
    archive(&mut corpus);
    for (target, seed) in assay_fuzz::x509::seeds() {
        corpus.add(target, [seed]);
    }
    corpus.add("foreign_cose", foreign::cose_objects());
    corpus.add("corim_manifest", foreign::manifests());
    corpus.add("ear", foreign::results());
    corpus.add("frames", frames());
    corpus.add("nvme_readings", assay_fuzz::nvme::seeds());
    let limits = config((samples::NETWORK, samples::PROVIDER)) + "[limits]\nidle_ms_max = 5\n";
    let snp = config((samples::NETWORK, samples::PROVIDER))
        + "[snp]\nsource = \"probe-guest\"\ncid = 3\nhost = \"/h\"\nvcek = \"v\"\nask = \"s\"\nark = \"r\"\n";
    corpus.add("agent_config", [limits.into_bytes(), snp.into_bytes()]);
    corpus.add(
        "hardware_class",
        [assay_hw_profiles::DEMO_CLASS.as_bytes().to_vec()],
    );
    corpus.add("agreement_memory", memory());
    let more = [
        assay_fuzz::appraise::seeds(),
        assay_fuzz::ima::seeds(),
        assay_fuzz::snp::seeds(),
        assay_fuzz::tpm::seeds(),
    ];
    for (target, seeds) in more.into_iter().flatten() {
        corpus.add(target, seeds);
    }
    let seeded: BTreeSet<&str> = corpus.0.keys().copied().collect();
    assert_eq!(seeded, targets(), "every target needs a seed");
    corpus.write(&dir);
}

fn bytes(samples: Vec<Sample>) -> impl Iterator<Item = Vec<u8>> {
    samples.into_iter().map(|sample| sample.bytes)
}

fn objects(corpus: &mut Corpus) {
    let payloads = || bytes(samples::signed()).map(|signed| split(&signed).payload.into_owned());
    corpus.add(
        "cbor",
        bytes(samples::signed()).chain(bytes(samples::records())),
    );
    corpus.add("cose", bytes(samples::signed()));
    corpus.add("cose_payloads", payloads().skip(1));
    corpus.add("records", bytes(samples::records()));
    corpus.add("evidence", bytes(samples::signed()).take(1));
    corpus.add("evidence_claims", payloads().take(1));
    corpus.add(
        "evidence_vendor",
        bytes(samples::signed())
            .take(1)
            .map(|signed| vendor(&signed)),
    );
    corpus.add("board_objects", bytes(samples::signed()).chain(payloads()));
}

fn split(signed: &[u8]) -> cose::Parts<'_> {
    cose::split("seed", signed.len(), signed).expect("a signed sample")
}

fn vendor(signed: &[u8]) -> Vec<u8> {
    match split(signed).unprotected {
        Value::Map(entries) => match entries.into_iter().next() {
            Some((_, Value::Bytes(collection))) => collection.into_owned(),
            other => panic!("no CMW collection: {other:?}"),
        },
        other => panic!("no unprotected header: {other:?}"),
    }
}

fn tpm(corpus: &mut Corpus) {
    let node = node::node();
    let [log, _] = node::logs();
    let values = node.pcrs();
    let quote = node.ak.attest(&[7; 32], (QUOTED, &values), &node.clock, 7);
    let public = node.ak.public();
    let sized = [&(public.len() as u16).to_be_bytes()[..], &public].concat();
    corpus.add("tpm_signature", [node.ak.sign(&quote)]);
    corpus.add("tpm_attest", [quote]);
    corpus.add("tpm_public", [public, sized]);
    let both = node.boot.log(Banks::Sha1AndSha256);
    corpus.add("measured_log", [log.clone(), both.clone()]);
    corpus.add("eventlog", [log, both]);
    corpus.add("eventlog_claims", assay_fuzz::eventlog::logs());
    let [_, variable, _] = assay_fuzz::eventlog::variables();
    corpus.add(
        "eventlog_structures",
        [variable, assay_fuzz::eventlog::list()],
    );
    corpus.add("ek_certificate", [include_bytes!("../ek/ek.der").to_vec()]);
}

fn archive(corpus: &mut Corpus) {
    let (key, hypernode) = (samples::key(), samples::hypernode());
    let origin = checkpoint::origin(&samples::NETWORK, &hypernode);
    let statement = Checkpoint {
        origin,
        size: 12,
        root: Digest([5; 32]),
    };
    let note = checkpoint::sign_checkpoint(&statement, &hypernode, |body| key.sign(body));
    corpus.add(
        "checkpoint",
        [
            note.expect("a note").into_bytes(),
            statement.body().into_bytes(),
        ],
    );
    let (epoch, root) = (Epoch(7), Digest([6; 32]));
    let slot = Leaf::Slot(SlotLeaf {
        epoch,
        slot: Slot(3),
        count: 2,
        root,
    });
    let node = Leaf::Node(NodeLeaf {
        epoch,
        node: samples::NODE,
        count: 2,
        root,
    });
    corpus.add("log_leaf", [slot.encode(), node.encode()]);
    let files = BTreeMap::from([
        ("claim.cbor".to_owned(), vec![1]),
        ("epochs/7/root.cbor".to_owned(), vec![2]),
    ]);
    let bag = bundle::seal(&files).expect("a bag");
    corpus.add("bundle", [tar::encode_tar(&bag).expect("an archive")]);
}

fn agent_requests() -> [AgentRequest; 3] {
    let (nonce, epoch, beacon) = (Nonce([1; 32]), Epoch(2), Beacon([3; 32]));
    let plan = ChasePlan {
        id: RegionId {
            region: 0,
            generation: 1,
        },
        blocks: 64,
        lanes: 1,
        steps: 8,
        checkpoint_every: 4,
    };
    [
        AgentRequest::Attest {
            nonce,
            epoch,
            beacon,
        },
        AgentRequest::AttestAfter {
            nonce,
            epoch,
            beacon,
            appraised: ImaAppraised {
                reset_count: 7,
                entries: 9,
            },
        },
        AgentRequest::Chase { nonce, plan },
    ]
}

fn frames() -> Vec<Vec<u8>> {
    let (nonce, epoch) = (Nonce([1; 32]), Epoch(2));
    let object = BoardObject::Vote(vec![1, 2, 3]);
    let refusal = Refusal::new(RefusalCode::Busy, "later");
    let payload = |frame: Result<Vec<u8>, _>| -> Vec<u8> {
        let frame: Vec<u8> = frame.expect("a frame");
        frame.get(wire::HEADER_BYTES..).unwrap_or_default().to_vec()
    };
    let [attest, after, chase] = agent_requests();
    vec![
        wire::frame(&AgentRequest::Enrol, 1024).expect("a frame"),
        payload(wire::frame(&attest, 1024)),
        payload(wire::frame(&after, 1024)),
        payload(wire::frame(&chase, 1024)),
        payload(wire::frame(
            &ProbeGuestRequest::Report {
                report_data: ReportData([4; 64]),
            },
            1024,
        )),
        payload(wire::frame(
            &ProbeGuestReply::Report {
                report: vec![1; 9],
                certificates: vec![0; 24],
            },
            1024,
        )),
        payload(wire::frame(
            &AgentReply::Answer { bytes: vec![9; 40] },
            1024,
        )),
        payload(wire::frame(&AgentReply::Refused(refusal), 1024)),
        payload(wire::frame(&PeerRequest::Control { nonce }, 1024)),
        payload(wire::frame(
            &BoardRequest::Post {
                epoch,
                object: object.clone(),
            },
            1024,
        )),
        payload(wire::frame(
            &BoardReply::Objects {
                objects: vec![(1, object)],
            },
            1024,
        )),
    ]
}

/// A round of one HyperNode from its commit to its signature: what it remembers after each step.
fn memory() -> Vec<Vec<u8>> {
    let (hypernode, commit) = (samples::hypernode(), Digest([5; 32]));
    let entry = Entry { hypernode, commit };
    let mut agreement = Agreement::start(Setting {
        network: samples::NETWORK,
        epoch: Epoch(7),
        round: 0,
        own: hypernode,
        proposers: vec![hypernode],
        weights: BTreeMap::from([(hypernode, 1)]),
    });
    let input_set = input_set_hash(&samples::NETWORK, Epoch(7), &[entry]);
    let digest = Keccak([8; 32]);
    let events = [
        Event::Commit(entry),
        Event::CommitsDue,
        Event::CommitsListed,
        Event::CommitsClosed,
        Event::Reveal(entry),
        Event::RevealsDue,
        Event::ProposalDue,
        Event::ReadToEnd,
        Event::RootComputed { input_set, digest },
    ];
    let step = |event| {
        agreement.handle(event);
        agreement.memory().encode()
    };
    events.map(step).into()
}
