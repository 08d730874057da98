//! Going on from a saved position.

use crate::ima::testing::{SoftEntry, binary, pcrs, quoted, short};
use crate::ima::*;
use crate::quote::PcrValues;
use crate::tpm::algorithm::HashAlg;

const SHA1: HashAlg = HashAlg::Sha1;
const BOOT: u32 = 7;

fn after<'l>(
    position: &Position,
    list: &'l List<'_>,
    values: &PcrValues,
) -> Result<Explained<'l>, ImaError> {
    explain_after(position, BOOT, list, values, Options::default())
}

/// The position after the first `count` entries.
fn saved(entries: &[SoftEntry], values: &PcrValues) -> Position {
    let bytes = binary(entries, SHA1);
    let list = List::read(&bytes, None).unwrap();
    let explained = after(&Position::start(BOOT), &list, values).unwrap();
    let position = explained.position().clone();
    assert_eq!(
        Position::from_bytes(&position.to_bytes()),
        Ok(position.clone())
    );
    position
}

fn twelve() -> Vec<SoftEntry> {
    let mut entries = short();
    entries.extend((0..5).map(|n| SoftEntry::ng(&[n], &format!("/bin/{n}"))));
    entries.push(SoftEntry::ng(b"eleven", "/eleven").on(11));
    entries.push(SoftEntry::violated("/again"));
    entries
}

#[test]
fn every_split_of_a_list_gives_what_the_whole_gives() {
    let forms = [
        (SHA1, BankForm::Native),
        (HashAlg::Sha256, BankForm::Native),
        (HashAlg::Sha384, BankForm::PaddedSha1),
    ];
    let entries = twelve();
    let bytes = binary(&entries, SHA1);
    let list = List::read(&bytes, None).unwrap();
    let end = pcrs(&entries, &forms);
    let whole = after(&Position::start(BOOT), &list, &end).unwrap();
    for split in 0..=entries.len() {
        let mut values = pcrs(&entries[..split], &forms);
        values.extend(forms.map(|(bank, _)| ((bank, 9), vec![9; bank.size()])));
        let position = saved(&entries[..split], &values);
        assert_eq!(
            (position.entries, position.reset_count),
            (split as u64, BOOT)
        );
        let skipped = list.skip(&position).unwrap();
        let sent = binary(&entries[split..], SHA1);
        let sent = List::read(&sent, Some(SHA1))
            .unwrap()
            .starting_at(position.entries);
        for rest in [&skipped, &sent] {
            let explained = after(&position, rest, &end).unwrap();
            assert_eq!(explained.position(), whole.position(), "split {split}");
            let indices: Vec<_> = explained.entries().map(|e| e.unwrap().index).collect();
            assert_eq!(indices, (split..entries.len()).collect::<Vec<_>>());
            assert_eq!(explained.banks(), whole.banks());
        }
    }
    assert_eq!(whole.position().violations, 2);
}

#[test]
fn the_rest_must_be_the_rest() {
    let entries = twelve();
    let end = quoted(&entries);
    let position = saved(&entries[..5], &quoted(&entries[..5]));
    let bytes = binary(&entries, SHA1);
    let list = List::read(&bytes, None).unwrap();
    let error = after(&position, &list, &end).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("entries after the first 5, got those after 0"),
        "{error}"
    );
    let relabelled = list.clone().starting_at(position.entries);
    assert!(after(&position, &relabelled, &end).is_err());
    for wrong in [4, 6] {
        let bytes = binary(&entries[wrong..], SHA1);
        let rest = List::read(&bytes, Some(SHA1))
            .unwrap()
            .starting_at(position.entries);
        assert_eq!(
            after(&position, &rest, &end).unwrap_err().check(),
            "ima-replay"
        );
    }
}

#[test]
fn a_list_shorter_than_the_position_is_refused() {
    let entries = twelve();
    let position = saved(&entries[..5], &quoted(&entries[..5]));
    let bytes = binary(&entries[..4], SHA1);
    let list = List::read(&bytes, None).unwrap();
    let shorter = ImaError::Shorter {
        expected: 5,
        actual: 4,
    };
    assert_eq!(list.skip(&position).unwrap_err(), shorter);
    assert_eq!(shorter.check(), "ima-position");
    let bytes = binary(&entries[..5], SHA1);
    let list = List::read(&bytes, None).unwrap();
    let rest = list.skip(&position).unwrap();
    assert!(after(&position, &rest, &quoted(&entries[..5])).is_ok());
    assert!(list.skip(&position).unwrap().entries().next().is_none());
    let bad = [&bytes[..30], &[0xff; 60]].concat();
    assert!(
        List::read(&bad, Some(SHA1))
            .unwrap()
            .skip(&position)
            .is_err()
    );
}

#[test]
fn a_reset_starts_anew() {
    let entries = twelve();
    let position = saved(&entries, &quoted(&entries));
    let bytes = binary(&short(), SHA1);
    let list = List::read(&bytes, None).unwrap();
    let rebooted = explain_after(
        &position,
        BOOT + 1,
        &list,
        &quoted(&short()),
        Options::default(),
    );
    let error = rebooted.unwrap_err();
    assert_eq!(error.check(), "ima-position");
    assert_eq!(
        error,
        ImaError::Rebooted {
            expected: BOOT,
            actual: BOOT + 1
        }
    );
    let start = Position::start(BOOT + 1);
    let fresh = explain_after(
        &start,
        BOOT + 1,
        &list,
        &quoted(&short()),
        Options::default(),
    );
    assert_eq!(fresh.unwrap().position().reset_count, BOOT + 1);
}

#[test]
fn banks_forms_and_template_hashes_stay() {
    let entries = twelve();
    let (first, rest) = entries.split_at(5);
    let position = saved(first, &quoted(first));
    let end = quoted(&entries);
    let bytes = binary(rest, SHA1);
    let list = List::read(&bytes, Some(SHA1))
        .unwrap()
        .starting_at(position.entries);
    assert!(after(&position, &list, &end).is_ok());
    let mut fewer = end.clone();
    fewer.retain(|(bank, _), _| *bank == SHA1);
    let error = after(&position, &list, &fewer).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("quoted in the banks [Sha1, Sha256], got [Sha1]"),
        "{error}"
    );
    let padded = [
        (SHA1, BankForm::Native),
        (HashAlg::Sha256, BankForm::PaddedSha1),
    ];
    let other_form = pcrs(&entries, &padded);
    assert!(after(&position, &list, &other_form).is_err());
    let other_hash = binary(rest, HashAlg::Sha256);
    let other_hash = List::read(&other_hash, None)
        .unwrap()
        .starting_at(position.entries);
    let error = after(&position, &other_hash, &end).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("template hashes of algorithm 0x0004"),
        "{error}"
    );
}

#[test]
fn a_pcr_of_the_position_must_still_be_quoted_and_unchanged() {
    let mut entries = short();
    entries.push(SoftEntry::ng(b"x", "/x").on(11));
    let position = saved(&entries, &quoted(&entries));
    let rest = List::read(&[], Some(SHA1))
        .unwrap()
        .starting_at(position.entries);
    let good = quoted(&entries);
    assert!(after(&position, &rest, &good).is_ok());
    let mut changed = good.clone();
    changed.insert((SHA1, 11), vec![1; 20]);
    assert!(after(&position, &rest, &changed).is_err());
    let mut absent = good;
    absent.remove(&(SHA1, 11));
    assert!(after(&position, &rest, &absent).is_err());
}

#[test]
fn a_position_decodes_only_as_it_was_encoded() {
    let entries = twelve();
    let position = saved(&entries, &quoted(&entries));
    let bytes = position.to_bytes();
    for at in 0..bytes.len() {
        assert!(Position::from_bytes(&bytes[..at]).is_err(), "cut {at}");
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        if let Ok(other) = Position::from_bytes(&bad) {
            assert_ne!(other, position, "flip {at}");
            assert_eq!(other.to_bytes(), bad);
        }
    }
    let longer = [bytes, vec![0]].concat();
    assert!(Position::from_bytes(&longer).is_err());
    assert!(Position::from_bytes(&vec![0; 9000]).is_err());
    let refused = |change: fn(&mut Position)| {
        let mut bad = position.clone();
        change(&mut bad);
        let error = Position::from_bytes(&bad.to_bytes()).unwrap_err();
        assert_eq!(error.check(), "ima-position");
    };
    refused(|p| p.template_hash = 5);
    refused(|p| p.banks[0].bank = 5);
    refused(|p| p.banks[0].pcrs[0].0 = 24);
    refused(|p| p.banks[0].pcrs[0].1.0.truncate(19));
    refused(|p| p.banks[1].pcrs[0].1.0.push(0));
    refused(|p| p.boot_aggregate.as_mut().unwrap().alg = 5);
    refused(|p| p.boot_aggregate.as_mut().unwrap().digest.0.push(0));
}

#[test]
fn the_boot_aggregate_is_remembered_and_only_the_first_entry_is_one() {
    let entries = twelve();
    let position = saved(&entries, &quoted(&entries));
    let aggregate = position.boot_aggregate.unwrap();
    assert_eq!(aggregate.alg, HashAlg::Sha256.id());
    assert_eq!(aggregate.digest.0, HashAlg::Sha256.digest(&[b"aggregate"]));
    let mut late = entries.clone();
    late.swap(0, 1);
    assert_eq!(saved(&late, &quoted(&late)).boot_aggregate, None);
    let mut violated = entries;
    violated[0] = SoftEntry::violated("boot_aggregate");
    assert_eq!(saved(&violated, &quoted(&violated)).boot_aggregate, None);
    assert_eq!(saved(&[], &quoted(&[])).boot_aggregate, None);
    assert!(saved(&[], &quoted(&[])).is_start());
}

/// An entry behind the quote is anybody's: nothing of it is kept.
#[test]
fn an_unquoted_boot_aggregate_is_not_remembered() {
    let bytes = binary(&short(), SHA1);
    let list = List::read(&bytes, None).unwrap();
    let options = Options {
        tail: Tail::Allowed,
        ..Options::default()
    };
    let start = Position::start(BOOT);
    let explained = explain_after(&start, BOOT, &list, &quoted(&[]), options).unwrap();
    assert_eq!(explained.position().entries, 0);
    assert_eq!(explained.position().boot_aggregate, None);
    let explained = explain_after(&start, BOOT, &list, &quoted(&short()[..1]), options).unwrap();
    assert!(explained.position().boot_aggregate.is_some());
}

#[test]
fn parts_together_are_as_bounded_as_one_list() {
    let entry = SoftEntry::sig(b"x", "/x", &vec![7; (1 << 20) - 55]).binary(SHA1);
    let half = entry.repeat(33);
    let rest = |bytes: &'static [u8]| List::read(bytes, Some(SHA1)).unwrap().starting_at(33);
    let little: &'static [u8] = entry.clone().leak();
    assert!(rest(little).joined(&[&half]).is_ok());
    let large: &'static [u8] = half.clone().leak();
    for refused in [
        rest(little).joined(&[&half, &half]),
        rest(large).joined(&[&half]),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("at most 67108864 bytes"), "{error}");
    }
}
