//! Replay to quoted values: banks, forms, tails.

use super::kit::*;
use crate::ima::testing::{BANKS, SoftEntry, ascii, binary, every_template, pcrs, quoted, short};
use crate::ima::*;
use crate::quote::PcrValues;
use crate::tpm::algorithm::HashAlg;

/// Whether `at` lies in the violation's digest or name: a violation extends a constant, so that nothing
/// covers them.
fn in_violation(entries: &[SoftEntry], at: usize) -> bool {
    let mut start = 0;
    for entry in entries {
        let size = entry.binary(SHA1).len();
        if (start..start + size).contains(&at) {
            let field = |n: usize| entry.fields[n].len();
            let digest = start + 4 + 20 + 4 + 6 + 4 + 4;
            let name = digest + field(0) + 4;
            let digest = digest + "sha256:\0".len()..digest + field(0);
            let name = name..name + field(1) - 1;
            return entry.violation && (digest.contains(&at) || name.contains(&at));
        }
        start += size;
    }
    unreachable!()
}

#[test]
fn every_flipped_byte_of_a_binary_list_is_refused_but_the_unproven_of_a_violation() {
    let entries = short();
    let list = binary(&entries, SHA1);
    let values = quoted(&entries);
    assert_eq!(whole(&list, &values), Ok(entries.len()));
    for at in 0..list.len() {
        for bit in [1, 0x20, 0x80] {
            let mut bad = list.clone();
            bad[at] ^= bit;
            let accepted = whole(&bad, &values).is_ok();
            assert_eq!(accepted, in_violation(&entries, at), "byte {at} ^ {bit}");
        }
    }
}

#[test]
fn every_flipped_byte_of_every_template_is_refused() {
    let entries = every_template();
    let list = binary(&entries, SHA256);
    let values = quoted(&entries);
    for at in 0..list.len() {
        let mut bad = list.clone();
        bad[at] ^= 1;
        assert!(whole(&bad, &values).is_err(), "byte {at}");
    }
}

#[test]
fn every_truncation_and_addition_is_refused() {
    let entries = short();
    let list = binary(&entries, SHA1);
    let values = quoted(&entries);
    for end in 0..list.len() {
        assert!(whole(&list[..end], &values).is_err(), "cut at {end}");
        let tail = explained(&list[..end], &values, TAIL);
        assert!(tail.is_err(), "cut at {end}");
    }
    for extra in [&[0][..], b"\n", &list, &list[..80]] {
        assert!(whole(&[&list, extra].concat(), &values).is_err());
    }
    let error = whole(&[&list[..], &[0]].concat(), &values).unwrap_err();
    assert_eq!(
        error.to_string(),
        "IMA list: entry 5: IMA list: PCR index needs 4 bytes, 1 are left"
    );
}

#[test]
fn a_template_hash_is_recomputed_and_never_believed() {
    let mut entries = short();
    let genuine = quoted(&entries);
    entries[1] = SoftEntry::sig(b"evil", "/init", b"");
    // The hash of the genuine entry before the data of another: replaying the hashes alone would match.
    let mut list = binary(&entries, SHA1);
    let at = entries[0].binary(SHA1).len() + 4;
    list[at..at + 20].copy_from_slice(&short()[1].template_hash(SHA1));
    let error = whole(&list, &genuine).unwrap_err();
    assert_eq!(error.check(), "ima-template-hash");
    assert!(
        error.to_string().contains("entry 1: template hash"),
        "{error}"
    );
    // Consistently forged: the replay ends elsewhere.
    let error = whole(&binary(&entries, SHA1), &genuine).unwrap_err();
    assert_eq!(error.check(), "ima-replay");
}

#[test]
fn a_list_with_entries_removed_swapped_repeated_or_moved_to_another_pcr_is_refused() {
    let good = short();
    let values = quoted(&good);
    let refused = |entries: &[SoftEntry]| {
        let error = whole(&binary(entries, SHA1), &values).unwrap_err();
        assert_eq!(error.check(), "ima-replay");
    };
    for at in 0..good.len() {
        let mut entries = good.clone();
        entries.remove(at);
        refused(&entries);
        let mut entries = good.clone();
        entries.insert(at, good[at].clone());
        refused(&entries);
        let mut entries = good.clone();
        entries[at].pcr = 11;
        refused(&entries);
        if at > 0 {
            let mut entries = good.clone();
            entries.swap(at, at - 1);
            refused(&entries);
        }
    }
    refused(&[]);
    refused(&good[..3]);
}

#[test]
fn every_quoted_bank_is_compared() {
    let entries = short();
    let list = binary(&entries, SHA1);
    let all = BANKS.map(|bank| (bank, BankForm::Native));
    let values = pcrs(&entries, &all);
    assert_eq!(whole(&list, &values), Ok(5));
    for bank in BANKS {
        let mut bad = values.clone();
        bad.get_mut(&(bank, 10)).unwrap()[0] ^= 1;
        let error = whole(&list, &bad).unwrap_err().to_string();
        assert!(error.contains(&format!("{bank:?} PCR 10")), "{error}");
        let mut short = values.clone();
        short.get_mut(&(bank, 10)).unwrap().pop();
        assert!(
            whole(&list, &short)
                .unwrap_err()
                .to_string()
                .contains("quoted value")
        );
    }
}

#[test]
fn without_a_quoted_value_nothing_is_explained() {
    let entries = short();
    let list = binary(&entries, SHA1);
    let none = PcrValues::from([((SHA256, 11), vec![0; 32])]);
    let error = whole(&list, &none).unwrap_err();
    assert!(error.to_string().contains("any PCR 10"), "{error}");
    assert!(whole(&[], &PcrValues::new()).is_err());
    let mut entries = entries;
    entries.push(SoftEntry::ng(b"x", "/x").on(11));
    let mut values = quoted(&entries);
    let list = binary(&entries, SHA1);
    assert_eq!(whole(&list, &values), Ok(6));
    let eleven = values.remove(&(SHA256, 11)).unwrap();
    let error = whole(&list, &values).unwrap_err();
    assert_eq!(error.check(), "ima-replay");
    assert!(
        error.to_string().contains("Sha256 PCR 11, got none"),
        "{error}"
    );
    // Somebody else extended it too.
    values.insert((SHA256, 11), SHA256.digest(&[&eleven]));
    assert!(whole(&list, &values).is_err());
}

#[test]
fn an_empty_list_explains_zeros_only() {
    assert_eq!(whole(&[], &quoted(&[])), Ok(0));
    assert!(whole(&[], &quoted(&short())).is_err());
}

#[test]
fn padded_sha1_is_found_named_and_refusable() {
    let entries = short();
    let list = binary(&entries, SHA1);
    let form = |values: &PcrValues, forms| {
        let list = List::read(&list, None).unwrap();
        let options = Options {
            forms,
            ..Options::default()
        };
        let explained = explain(&list, values, options)?;
        Ok::<_, ImaError>(explained.banks().iter().map(|b| b.form).collect::<Vec<_>>())
    };
    let padded = pcrs(
        &entries,
        &[(SHA1, BankForm::Native), (SHA256, BankForm::PaddedSha1)],
    );
    let expected = [BankForm::Native, BankForm::PaddedSha1];
    assert_eq!(form(&padded, Forms::Either).unwrap(), expected);
    assert!(form(&padded, Forms::Native).is_err());
    let native = quoted(&entries);
    assert_eq!(form(&native, Forms::Native).unwrap(), [BankForm::Native; 2]);
    // A form for each bank, but one for the whole of a bank.
    let mixed = pcrs(
        &entries,
        &[
            (SHA256, BankForm::Native),
            (HashAlg::Sha384, BankForm::PaddedSha1),
        ],
    );
    assert_eq!(form(&mixed, Forms::Either).unwrap(), expected);
    let first = pcrs(&entries[..2], &[(SHA256, BankForm::PaddedSha1)]);
    let mut changed = first[&(SHA256, 10)].clone();
    for entry in &entries[2..] {
        let by = match entry.violation {
            true => vec![0xff; 32],
            false => SHA256.digest(&[&entry.hashed()]),
        };
        changed = SHA256.digest(&[&changed, &by]);
    }
    let changed = PcrValues::from([((SHA256, 10), changed)]);
    assert!(form(&changed, Forms::Either).is_err());
}

#[test]
fn sha1_is_never_padded_and_lists_without_sha1_hashes_pad_nothing() {
    let entries = short();
    let padded = pcrs(&entries, &[(SHA256, BankForm::PaddedSha1)]);
    assert_eq!(whole(&binary(&entries, SHA1), &padded), Ok(5));
    assert!(whole(&binary(&entries, SHA256), &padded).is_err());
    let bytes = binary(&entries, SHA1);
    let list = List::read(&bytes, None).unwrap();
    let replayed = replay(&list, &BANKS).unwrap();
    assert_eq!(replayed.values.len(), 7);
    for ((bank, form, pcr), value) in replayed.values {
        let expected = pcrs(&entries, &[(bank, form)]);
        assert_eq!(expected[&(bank, pcr)], value, "{bank:?} {form:?}");
    }
    let bytes = binary(&entries, SHA256);
    let list = List::read(&bytes, None).unwrap();
    assert_eq!(replay(&list, &BANKS).unwrap().values.len(), 4);
}

#[test]
fn violations_are_counted_and_extend_ones() {
    let entries = short();
    let bytes = binary(&entries, SHA1);
    let list = List::read(&bytes, None).unwrap();
    let replayed = replay(&list, &[SHA256]).unwrap();
    assert_eq!(
        (replayed.summary.entries, replayed.summary.violations),
        (5, 1)
    );
    assert_eq!(replayed.summary.templates[&Template::ImaNg], 3);
    let mut hidden = entries.clone();
    hidden[2].violation = false;
    assert!(whole(&binary(&hidden, SHA1), &quoted(&entries)).is_err());
    let mut invented = entries.clone();
    invented[3].violation = true;
    assert!(whole(&binary(&invented, SHA1), &quoted(&entries)).is_err());
}

#[test]
fn a_newer_list_is_proven_up_to_the_quote_only() {
    let entries = short();
    let list = binary(&entries, SHA1);
    for count in 0..=entries.len() {
        let values = quoted(&entries[..count]);
        let read = List::read(&list, None).unwrap();
        let found = explain(&read, &values, TAIL).unwrap();
        assert_eq!(found.summary().entries, count);
        assert_eq!(found.unquoted(), entries.len() - count);
        assert_eq!(found.entries().count(), count);
        assert_eq!(found.position().entries, count as u64);
        let strict = whole(&list, &values);
        assert_eq!(strict.is_ok(), count == entries.len());
    }
    let other = quoted(&[SoftEntry::ng(b"other", "/other")]);
    let error = explained(&list, &other, TAIL).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("after 5 entries, nor after fewer"),
        "{error}"
    );
}

#[test]
fn an_unquoted_tail_must_still_be_well_formed() {
    let entries = short();
    let values = quoted(&entries[..3]);
    let mut list = binary(&entries, SHA1);
    assert_eq!(explained(&list, &values, TAIL), Ok(3));
    let last = list.len() - 1;
    list[last] ^= 1;
    let error = explained(&list, &values, TAIL).unwrap_err();
    assert_eq!(error.check(), "ima-template-hash");
    assert!(explained(&list[..last], &values, TAIL).is_err());
}

#[test]
fn an_entry_on_another_pcr_is_not_taken_for_a_tail() {
    // Quoted after the entry on PCR 11: were PCR 10 alone looked at, the prefix before it would do.
    let mut entries = short();
    entries.push(SoftEntry::ng(b"evil", "/evil").on(11));
    let values = quoted(&entries);
    entries.push(SoftEntry::ng(b"later", "/later"));
    assert_eq!(explained(&binary(&entries, SHA1), &values, TAIL), Ok(6));
}

#[test]
fn banks_quoted_at_different_times_are_refused() {
    let entries = short();
    let mut values = quoted(&entries);
    values.insert((SHA1, 10), quoted(&entries[..3])[&(SHA1, 10)].clone());
    let error = explained(&binary(&entries, SHA1), &values, TAIL).unwrap_err();
    assert_eq!(error, ImaError::Banks { first: 3, other: 5 });
}

#[test]
fn padded_banks_may_have_a_tail_too() {
    let entries = short();
    let values = pcrs(
        &entries[..4],
        &[(SHA1, BankForm::Native), (SHA256, BankForm::PaddedSha1)],
    );
    assert_eq!(explained(&binary(&entries, SHA1), &values, TAIL), Ok(4));
}

#[test]
fn a_replay_alone_always_has_pcr_10() {
    for entries in [vec![], vec![SoftEntry::ng(b"x", "/x").on(11)], short()] {
        let bytes = binary(&entries, SHA1);
        let list = List::read(&bytes, Some(SHA1)).unwrap();
        let replayed = replay(&list, &[SHA256]).unwrap();
        let values = pcrs(&entries, &[(SHA256, BankForm::Native)]);
        let native = replayed
            .values
            .iter()
            .filter(|(key, _)| key.1 == BankForm::Native);
        let native: PcrValues = native
            .map(|((bank, _, pcr), v)| ((*bank, *pcr), v.clone()))
            .collect();
        assert_eq!(native, values);
    }
}

#[test]
fn a_bank_that_explains_itself_is_not_called_padded() {
    let bytes = binary(&short(), SHA1);
    let list = List::read(&bytes, None).unwrap();
    let explained = explain(&list, &quoted(&[]), TAIL).unwrap();
    let forms: Vec<_> = explained.banks().iter().map(|bank| bank.form).collect();
    assert_eq!(forms, [BankForm::Native; 2]);
}

#[test]
fn a_replay_that_ends_elsewhere_says_where() {
    let entries = short();
    let mut values = quoted(&entries);
    let replayed = values.insert((SHA256, 10), vec![7; 32]).unwrap();
    let error = whole(&binary(&entries, SHA1), &values).unwrap_err();
    let ImaError::Replay {
        bank,
        pcr,
        expected,
        actual,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((bank, pcr), (SHA256, 10));
    assert_eq!((expected, actual), ("07".repeat(32), hex::encode(replayed)));
}

/// Numbers that look random and are always the same.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn changed_lists_never_panic_and_what_replays_explains_itself() {
    let mut random = Lcg(1);
    let binary = binary(&every_template(), SHA1);
    let text = ascii(&every_template(), SHA256).into_bytes();
    let mut replayed = 0;
    for round in 0..5_000 {
        let mut list = if round % 2 == 0 {
            binary.clone()
        } else {
            text.clone()
        };
        for _ in 0..=random.below(3) {
            let (at, length) = (random.below(list.len()), random.below(6));
            let end = (at + length).min(list.len());
            let new: Vec<u8> = (0..random.below(6))
                .map(|_| [0, 1, 10, 32, 48, 255][random.below(6)])
                .collect();
            list.splice(at..end, new);
        }
        let Ok(list) = List::read(&list, None) else {
            continue;
        };
        let Ok(found) = replay(&list, &[SHA256]) else {
            continue;
        };
        replayed += 1;
        let value = found.values[&(SHA256, BankForm::Native, 10)].clone();
        let quoted = PcrValues::from([((SHA256, 10), value)]);
        let Ok(explained) = explain(&list, &quoted, Options::default()) else {
            assert!(found.values.len() > 2, "entries on another PCR");
            continue;
        };
        assert_eq!(explained.summary(), &found.summary);
    }
    // Changes that change nothing, or whole entries.
    assert!(replayed < 500, "{replayed}");
}
