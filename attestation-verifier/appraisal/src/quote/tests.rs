//! Each wrong part of a quote, refused by its own check.

use super::*;
use crate::checks::Mode;
use crate::tpm::attest::tests::{encode, sample};
use crate::tpm::signature::tests::SoftAk;

pub(crate) fn values() -> PcrValues {
    (0..15)
        .map(|index| ((HashAlg::Sha256, index), vec![index as u8; 32]))
        .collect()
}

fn digest(values: &PcrValues) -> Vec<u8> {
    let parts: Vec<&[u8]> = values.values().map(Vec::as_slice).collect();
    HashAlg::Sha256.digest(&parts)
}

struct Case {
    ak: SoftAk,
    attest: Attest,
    pcrs: PcrValues,
    selection: Vec<PcrSelection>,
}

impl Case {
    fn new() -> Self {
        let attest = Attest {
            pcr_digest: digest(&values()),
            ..sample()
        };
        Self {
            ak: SoftAk::generate(),
            attest,
            pcrs: values(),
            selection: SELECTION.to_vec(),
        }
    }

    /// The name of the check that stopped, or `ok`.
    fn outcome(&self) -> String {
        let attest = encode(&self.attest);
        self.outcome_of(&attest, &self.ak.sign(&attest))
    }

    fn outcome_of(&self, attest: &[u8], signature: &[u8]) -> String {
        let received = Received {
            attest,
            signature,
            pcrs: Cow::Borrowed(&self.pcrs),
        };
        let key = &self.ak.public();
        let expected = Expected {
            key,
            qualifying_data: &[7; 32],
            selection: &self.selection,
        };
        verify(received, expected).map_or_else(|e| e.0.name, |_| "ok".into())
    }
}

#[test]
fn a_good_quote_is_authenticated() {
    assert_eq!(Case::new().outcome(), "ok");
}

#[test]
fn each_wrong_part_is_refused_by_its_own_check() {
    let mut case = Case::new();
    case.attest.extra_data = vec![7; 31];
    assert_eq!(case.outcome(), "quote-qualifying-data");
    let mut case = Case::new();
    case.attest.selections[0].mask = 0x3fff;
    assert_eq!(case.outcome(), "quote-pcr-selection");
    let mut case = Case::new();
    case.attest.selections.push(case.attest.selections[0]);
    assert_eq!(case.outcome(), "quote-pcr-selection");
    let mut case = Case::new();
    case.attest.selections[0].bank = HashAlg::Sha384;
    assert_eq!(case.outcome(), "quote-pcr-selection");
    let mut case = Case::new();
    case.pcrs.insert((HashAlg::Sha256, 7), vec![0; 32]);
    assert_eq!(case.outcome(), "quote-pcr-digest");
    let mut case = Case::new();
    case.pcrs.remove(&(HashAlg::Sha256, 7));
    assert_eq!(case.outcome(), "quote-pcr-values");
    let mut case = Case::new();
    case.pcrs.insert((HashAlg::Sha256, 7), vec![7; 31]);
    assert_eq!(case.outcome(), "quote-pcr-values");
}

#[test]
fn an_empty_selection_is_refused_even_when_asked_for() {
    let nothing = PcrSelection {
        bank: HashAlg::Sha256,
        mask: 0,
    };
    for selection in [Vec::new(), vec![nothing]] {
        let mut case = Case::new();
        case.selection.clone_from(&selection);
        case.attest.selections = selection;
        case.attest.pcr_digest = HashAlg::Sha256.digest(&[]);
        assert_eq!(case.outcome(), "quote-pcr-selection");
    }
}

#[test]
fn one_bank_twice_is_refused_even_when_asked_for_and_an_empty_entry_is_not() {
    let half = |mask| PcrSelection {
        bank: HashAlg::Sha256,
        mask,
    };
    let mut case = Case::new();
    case.selection = vec![half(0x00ff), half(0x7f00)];
    case.attest.selections.clone_from(&case.selection);
    assert_eq!(case.outcome(), "quote-pcr-selection");
    let absent = PcrSelection {
        bank: HashAlg::Sha384,
        mask: 0,
    };
    case.selection = vec![absent, half(0x7fff)];
    case.attest.selections.clone_from(&case.selection);
    assert_eq!(case.outcome(), "ok");
}

/// CVE-2022-0317: a quote over fewer PCRs than the values shown, each way round.
#[test]
fn a_quote_over_too_few_pcrs_is_refused() {
    let mut case = Case::new();
    case.attest.selections[0].mask = 0x00ff;
    let few: Vec<Vec<u8>> = (0..8).map(|index| vec![index; 32]).collect();
    let parts: Vec<&[u8]> = few.iter().map(Vec::as_slice).collect();
    case.attest.pcr_digest = HashAlg::Sha256.digest(&parts);
    assert_eq!(case.outcome(), "quote-pcr-selection");
    case.selection[0].mask = 0x00ff;
    let attest = encode(&case.attest);
    let signature = case.ak.sign(&attest);
    let received = Received {
        attest: &attest,
        signature: &signature,
        pcrs: Cow::Borrowed(&case.pcrs),
    };
    let key = case.ak.public();
    let expected = Expected {
        key: &key,
        qualifying_data: &[7; 32],
        selection: &case.selection,
    };
    let quote = verify(received, expected).unwrap();
    assert_eq!(quote.pcr(HashAlg::Sha256, 7), Some(&[7; 32][..]));
    assert_eq!(quote.pcr(HashAlg::Sha256, 8), None);
    assert_eq!(quote.pcrs().len(), 8);
}

/// CVE-2026-6420: a nonce compared only as far as the shorter one goes, or taken twice.
#[test]
fn a_nonce_is_compared_whole() {
    for extra_data in [vec![7; 31], vec![7; 33], Vec::new(), vec![0; 32]] {
        let mut case = Case::new();
        case.attest.extra_data = extra_data;
        assert_eq!(case.outcome(), "quote-qualifying-data");
    }
}

/// CVE-2024-29038, -29039, -29040 and GHSA-x5j2-26fc-hhc3: each signed by the right key.
#[test]
fn wrong_magic_type_bank_and_trailing_bytes_are_refused_under_a_valid_signature() {
    let mut case = Case::new();
    let good = encode(&case.attest);
    let outcome = |attest: &[u8]| case.outcome_of(attest, &case.ak.sign(attest));
    assert_eq!(outcome(&good), "ok");
    for (at, value) in [(0, 0), (3, 0x46), (4, 0), (5, 0x17), (5, 0x1a)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(outcome(&bad), "quote-structure", "{at}");
    }
    assert_eq!(outcome(&[&good[..], &[0; 4]].concat()), "quote-structure");
    case.attest.selections[0].bank = HashAlg::Sha1;
    assert_eq!(case.outcome(), "quote-pcr-selection");
}

#[test]
fn without_values_every_other_check_is_made() {
    let case = Case::new();
    let attest = encode(&case.attest);
    let signature = case.ak.sign(&attest);
    let key = case.ak.public();
    let names = |qualifying_data: &[u8], selection: &[PcrSelection]| {
        let mut checks = Checks::new(Mode::Explain);
        let expected = Expected {
            key: &key,
            qualifying_data,
            selection,
        };
        without_values(&mut checks, &attest, &signature, expected).unwrap();
        let failed = checks
            .list()
            .iter()
            .filter(|c| c.outcome != crate::checks::Outcome::Pass);
        failed.map(|c| c.name.to_owned()).collect::<Vec<_>>()
    };
    assert!(names(&[7; 32], &SELECTION).is_empty());
    assert_eq!(names(&[8; 32], &SELECTION), ["quote-qualifying-data"]);
    assert_eq!(names(&[7; 32], &[]), ["quote-pcr-selection"]);
}

#[test]
fn another_key_is_refused() {
    let case = Case::new();
    let attest = encode(&case.attest);
    let other = SoftAk::generate().sign(&attest);
    assert_eq!(case.outcome_of(&attest, &other), "quote-signature");
}

#[test]
fn every_flip_and_truncation_of_quote_and_signature_is_refused() {
    let case = Case::new();
    let attest = encode(&case.attest);
    let signature = case.ak.sign(&attest);
    for at in 0..attest.len() {
        let mut bad = attest.clone();
        bad[at] ^= 1;
        assert_ne!(case.outcome_of(&bad, &signature), "ok", "flip {at}");
        assert_ne!(case.outcome_of(&attest[..at], &signature), "ok", "cut {at}");
    }
    for at in 0..signature.len() {
        let mut bad = signature.clone();
        bad[at] ^= 1;
        assert_ne!(case.outcome_of(&attest, &bad), "ok", "signature flip {at}");
    }
}

#[test]
fn explain_runs_every_step_and_yields_nothing_when_one_fails() {
    let case = Case::new();
    let attest = encode(&case.attest);
    let signature = SoftAk::generate().sign(&attest);
    let mut checks = Checks::new(Mode::Explain);
    let key = case.ak.public();
    let received = Received {
        attest: &attest,
        signature: &signature,
        pcrs: Cow::Borrowed(&case.pcrs),
    };
    let expected = Expected {
        key: &key,
        qualifying_data: &[8; 32],
        selection: &SELECTION,
    };
    let quote = authenticate(&mut checks, received, expected).unwrap();
    assert!(quote.is_none() && !checks.passed());
    let failed: Vec<&str> = checks
        .list()
        .iter()
        .filter(|c| c.outcome == crate::checks::Outcome::Fail)
        .map(|c| c.name)
        .collect();
    assert_eq!(failed, ["quote-signature", "quote-qualifying-data"]);
}

/// CVE-2022-3500 and CVE-2023-3674: a failure, whichever it is, leaves nothing behind that could be trusted,
/// not even where every check is made.
#[test]
fn no_failed_check_leaves_a_quote_behind() {
    type Change = fn(&mut Case);
    let changes: [(&str, Change); 5] = [
        ("quote-qualifying-data", |c| c.attest.extra_data[0] ^= 1),
        ("quote-pcr-selection", |c| c.selection[0].mask = 0x3fff),
        ("quote-pcr-digest", |c| c.attest.pcr_digest[0] ^= 1),
        ("quote-pcr-values", |c| {
            c.pcrs.remove(&(HashAlg::Sha256, 14));
        }),
        ("quote-signature", |_| {}),
    ];
    for (name, change) in changes {
        let mut case = Case::new();
        change(&mut case);
        let attest = encode(&case.attest);
        let signer = SoftAk::generate();
        let stranger = name == "quote-signature";
        let signature = if stranger { &signer } else { &case.ak }.sign(&attest);
        let received = Received {
            attest: &attest,
            signature: &signature,
            pcrs: Cow::Borrowed(&case.pcrs),
        };
        let expected = Expected {
            key: &case.ak.public(),
            qualifying_data: &[7; 32],
            selection: &case.selection,
        };
        let mut checks = Checks::new(Mode::Explain);
        let explained = authenticate(&mut checks, received.clone(), expected).unwrap();
        assert!(explained.is_none() && !checks.passed(), "{name}");
        assert_eq!(checks.stopped("quote").0.name, name);
        assert_eq!(verify(received, expected).unwrap_err().0.name, name);
    }
}
