//! Event logs and IMA lists, in bytes hashed.

use super::bare::Work;
use crate::harness::Pair;
use assay_appraisal::eventlog;
use assay_appraisal::eventlog::claims::claims;
use assay_appraisal::eventlog::replay::Replayed;
use assay_appraisal::ima::{self, Entry, Forms, List, Options, Tail};
use assay_appraisal::quote::{self, AuthenticQuote, Expected, PcrValues, Received, SELECTION};
use assay_appraisal::tpm::ak::AttestationKey;
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_protocol::hash::digest;
use assay_protocol::ids::{Address, Digest, NetworkId, NodeId};
use assay_testbed::ImaList;
use assay_testbed::boot_log::{Banks, MeasuredBoot, Variant};
use assay_testbed::ima_list::ImaEntry;
use assay_testbed::soft_node::{QUOTED, SoftNode};
use std::borrow::Cow;
use std::hint::black_box;

/// Labels of events in PCR 5 and PCR 7 that carry data.
const EV_EFI_GPT_EVENT: u32 = 0x8000_0006;
/// Entries of a list of a few days.
const ENTRIES: usize = 10_000;

/// Replays.
pub fn pairs() -> Vec<Pair> {
    vec![
        event_log(
            "event log, replay alone, 64 B data",
            &boot(5_000, 64),
            false,
        ),
        event_log(
            "event log, digest + replay + claims, 1 KiB data",
            &boot(900, 1024),
            true,
        ),
        event_log(
            "event log, digest + replay + claims, 100 B data",
            &boot(4_000, 100),
            true,
        ),
        ima_list(),
    ]
}

/// A boot with `count` events of `size` bytes in a PCR whose data firmware measures as it is.
pub fn boot(count: usize, size: usize) -> MeasuredBoot {
    let mut boot = MeasuredBoot::new(Variant::Good, b"");
    for n in 0..count {
        let data = vec![n as u8; size];
        boot.measure(5, EV_EFI_GPT_EVENT, &data);
    }
    boot
}

fn event_log(name: &str, boot: &MeasuredBoot, whole: bool) -> Pair {
    let quote = quote(boot);
    let bytes = boot.log(Banks::Sha256);
    let mut bare = Work::default();
    for event in boot.events() {
        bare.hashed.push(vec![0; 64]);
        if whole {
            bare.hashed.push(event.data.clone());
        }
    }
    if whole {
        bare.hashed.push(bytes.clone());
    }
    Pair {
        name: format!("{name}, {} KiB", bytes.len() / 1024),
        bytes: bare.hashed.iter().map(Vec::len).sum(),
        bare: Box::new(move || bare.run()),
        ours: Box::new(move || {
            let bytes = black_box(&bytes);
            let log = eventlog::parse(bytes).unwrap();
            let replayed = Replayed::against(&log, HashAlg::Sha256, &quote).unwrap();
            assert!(replayed.is_confirmed(5));
            if whole {
                black_box((digest(&[bytes]), claims(&replayed)));
            }
        }),
    }
}

/// A node without IMA and SEV-SNP.
pub fn node() -> SoftNode {
    SoftNode::new(
        NodeId([3; 32]),
        (NetworkId([0x11; 32]), Address([0x22; 20])),
    )
}

/// The quote after a boot.
pub fn quote(boot: &MeasuredBoot) -> AuthenticQuote {
    let mut node = node();
    node.boot = boot.clone();
    let pcrs = node.pcrs();
    let attest = node.ak.attest(&[7; 32], (QUOTED, &pcrs), &node.clock, 7);
    let signature = node.ak.sign(&attest);
    let value =
        |(index, value): (u8, Digest)| ((HashAlg::Sha256, u32::from(index)), value.0.to_vec());
    let pcrs: PcrValues = pcrs.into_iter().map(value).collect();
    let ak = AttestationKey::from_bytes(&node.ak.public()).unwrap();
    let received = Received {
        attest: &attest,
        signature: &signature,
        pcrs: Cow::Borrowed(&pcrs),
    };
    let expected = Expected {
        key: ak.verifying_key(),
        qualifying_data: &[7; 32],
        selection: &SELECTION,
    };
    quote::verify(received, expected).unwrap()
}

/// A list of so many files, and the PCR values that it explains.
pub fn ima(count: usize) -> (ImaList, PcrValues) {
    let name = |n: usize| format!("/usr/lib/x86_64-linux-gnu/library-{n:06}.so");
    let entries = (0..count).map(|n| ImaEntry::of_content(&name(n), name(n).as_bytes()));
    let list = ImaList {
        entries: entries.collect(),
    };
    let quoted = [((HashAlg::Sha256, 10), list.pcr().0.to_vec())];
    (list, quoted.into())
}

/// As many bytes as an `ima-ng` template of this entry has with a SHA-256 digest.
pub fn template(entry: &Entry<'_>) -> Vec<u8> {
    vec![0; 4 + "sha256:".len() + 1 + 32 + 4 + entry.event.name.len() + 1]
}

/// As an appraisal of evidence accepts it.
pub const OPTIONS: Options = Options {
    tail: Tail::Allowed,
    forms: Forms::Native,
};

fn ima_list() -> Pair {
    let (list, quoted) = ima(ENTRIES);
    let bytes = list.encode();
    let mut bare = Work::default();
    for entry in List::read(&bytes, None).unwrap().entries() {
        let data = template(&entry.unwrap());
        bare.hashed.extend([data.clone(), vec![0; 64]]);
        bare.hashed_sha1.push(data);
    }
    let hashed = bare.hashed.iter().chain(&bare.hashed_sha1);
    Pair {
        name: format!("IMA list, {ENTRIES} entries"),
        bytes: hashed.map(Vec::len).sum(),
        bare: Box::new(move || bare.run()),
        ours: Box::new(move || {
            let list = List::read(black_box(&bytes), None).unwrap();
            black_box(ima::explain(&list, &quoted, OPTIONS).unwrap());
        }),
    }
}
