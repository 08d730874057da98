//! Binary and ASCII lists: what is read, and what is refused.

use super::kit::*;
use crate::ima::testing::{
    BANKS, SoftEntry, ascii, binary, bytes, counted, digest, every_template, labelled, pcrs,
    quoted, short, text,
};
use crate::ima::*;
use crate::tpm::algorithm::HashAlg;

#[test]
fn every_template_replays_in_every_bank_with_every_template_hash() {
    let entries = every_template();
    let all: Vec<_> = BANKS.map(|bank| (bank, BankForm::Native)).to_vec();
    let values = pcrs(&entries, &all);
    for alg in BANKS {
        let list = binary(&entries, alg);
        let list = List::read(&list, None).unwrap();
        assert_eq!(list.template_hash(), alg);
        let explained = explain(&list, &values, Options::default()).unwrap();
        assert_eq!(explained.summary().entries, entries.len());
        assert_eq!(explained.unquoted(), 0);
        assert_eq!(explained.template_hash(), alg);
        let banks: Vec<_> = explained.banks().iter().map(|b| (b.bank, b.form)).collect();
        assert_eq!(banks, all);
    }
}

#[test]
fn the_ascii_form_is_the_same_list() {
    for alg in BANKS {
        let entries = every_template();
        let bytes = binary(&entries, alg);
        let text = ascii(&entries, alg);
        let from_binary = List::read(&bytes, None).unwrap();
        for text in [text.as_str(), text.trim_end_matches('\n')] {
            let from_ascii = List::read(text.as_bytes(), None).unwrap();
            assert_eq!(from_ascii, from_binary);
            assert_eq!(List::read(text.as_bytes(), Some(alg)).unwrap(), from_binary);
        }
    }
    let other = ascii(&short(), SHA1);
    let error = List::read(other.as_bytes(), Some(SHA256)).unwrap_err();
    assert_eq!(error.check(), "ima-list-structure");
}

#[test]
fn entries_are_what_was_written() {
    let entries = every_template();
    let bytes = binary(&entries, SHA1);
    let list = List::read(&bytes, None).unwrap();
    let read: Vec<Entry<'_>> = list.entries().collect::<Result<_, _>>().unwrap();
    for (index, (entry, soft)) in read.iter().zip(&entries).enumerate() {
        assert_eq!((entry.index, entry.pcr), (index, 10));
        assert_eq!(entry.template.name(), soft.template);
        let name = soft.fields[1].strip_suffix(&[0]).unwrap_or(&soft.fields[1]);
        assert_eq!(entry.event.name, name);
        assert!(soft.fields[0].ends_with(entry.event.digest.bytes));
    }
    let extra = |index: usize| read[index].event.extra;
    assert_eq!(extra(0), Extra::None);
    assert_eq!(extra(6), Extra::Signature(b"signature"));
    assert_eq!(extra(9), Extra::Buffer(b"ro quiet"));
    let body = HashAlg::Sha512.digest(&[b"body"]);
    let digest = Some(FileDigest {
        kind: DigestKind::Content,
        alg: HashAlg::Sha512,
        bytes: &body,
    });
    let modsig = Extra::Modsig {
        signature: b"",
        digest,
        message: b"pkcs7",
    };
    assert_eq!(extra(10), modsig);
    let evm = Extra::Evm {
        signature: b"evm",
        names: b"security.ima|security.selinux",
        lengths: &[1, 0, 0, 0, 2, 0, 0, 0],
        values: b"abc",
    };
    assert_eq!(extra(12), evm);
    let kinds: Vec<_> = [0, 5, 8].map(|i: usize| read[i].event.digest.kind).to_vec();
    assert_eq!(
        kinds,
        [DigestKind::Content, DigestKind::Content, DigestKind::Verity]
    );
}

#[test]
fn malformed_fields_are_refused_by_name() {
    let sha = SHA256.digest(&[b"x"]);
    let ng = |digest: (Vec<u8>, String), name: (Vec<u8>, String)| {
        problem(&SoftEntry::new("ima-ng", vec![digest, name]))
    };
    let good = || digest(SHA256, b"x");
    for (label, digest, expected) in [
        ("md5:", &sha[..16], "got \"md5\""),
        ("sm3:", &sha[..], "got \"sm3\""),
        ("SHA256:", &sha[..], "got \"SHA256\""),
        ("", &sha[..], "expected an algorithm, a colon"),
        ("sha256", &sha[..], "expected an algorithm, a colon"),
        ("sha256:", &sha[..31], "expected 32 bytes of Sha256, got 31"),
        ("sha1:", &sha[..], "expected 20 bytes of Sha1, got 32"),
        ("ima:sha256:", &sha[..], "got \"ima:sha256\""),
    ] {
        let found = ng(labelled(label, digest), text("/x"));
        assert!(
            found.contains("file digest") && found.contains(expected),
            "{found}"
        );
    }
    let no_nul = problem(&SoftEntry::new(
        "ima-ng",
        vec![bytes(b"sha256:"), text("/x")],
    ));
    assert!(no_nul.contains("expected an algorithm"), "{no_nul}");
    let v2 = |label| {
        problem(&SoftEntry::new(
            "ima-ngv2",
            vec![labelled(label, &sha), text("/x")],
        ))
    };
    assert!(v2("sha256:").contains("type ima or verity"));
    assert!(v2("other:sha256:").contains("type ima or verity"));
    assert_eq!(v2("verity:sha256:"), "");
    assert!(ng(good(), bytes(b"/x")).contains("name: expected a NUL at the end"));
    assert!(ng(good(), bytes(b"")).contains("expected a NUL at the end"));
    assert!(ng(good(), text("/x\0y")).contains("name: expected no NUL inside"));
    let fixed = SoftEntry::fixed(b"x", "/x\0");
    assert!(problem(&fixed).contains("name: expected no NUL inside"));
    assert!(problem(&SoftEntry::fixed(b"x", &"n".repeat(256))).contains("255 at most, got 256"));
    assert_eq!(problem(&SoftEntry::fixed(b"x", &"n".repeat(255))), "");
}

#[test]
fn numbers_and_names_of_evm_entries_have_their_sizes() {
    let good = every_template()
        .into_iter()
        .find(|e| e.template == "evm-sig")
        .unwrap();
    assert_eq!(problem(&good), "");
    for (field, value, expected) in [
        (6, vec![0; 3], "iuid: expected 4 bytes, got 3"),
        (7, vec![0; 5], "igid: expected 4 bytes, got 5"),
        (8, vec![0; 4], "imode: expected 2 bytes, got 4"),
        (
            3,
            b"security.ima".to_vec(),
            "fourth field: expected a NUL at the end",
        ),
    ] {
        let mut bad = good.clone();
        bad.fields[field] = value;
        let found = problem(&bad);
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_template_is_not_read_as_another() {
    for entry in every_template() {
        for template in Template::ALL {
            let relabelled = SoftEntry {
                template: template.name(),
                ..entry.clone()
            };
            // Only the name in the list changes: what is hashed is the genuine entry's.
            let alg = SHA1;
            let data = match entry.template {
                "ima" => entry.data(),
                _ => counted(&entry.data()),
            };
            let list = [
                &10u32.to_le_bytes()[..],
                &entry.template_hash(alg),
                &counted(relabelled.template.as_bytes()),
                &data,
            ]
            .concat();
            let accepted = whole(&list, &quoted(std::slice::from_ref(&entry))).is_ok();
            let alike = [entry.template, template.name()].map(|name| match name {
                "ima-buf" => "ima-sig",
                other => other,
            });
            assert_eq!(
                accepted,
                alike[0] == alike[1],
                "{} as {template:?}",
                entry.template
            );
        }
    }
}

#[test]
fn unknown_templates_and_pcrs_are_refused() {
    for name in ["", "ima-n", "ima-ng2", "IMA", "d-ng|n-ng"] {
        let entry = SoftEntry {
            template: Box::leak(name.to_owned().into_boxed_str()),
            ..SoftEntry::ng(b"x", "/x")
        };
        assert!(
            problem(&entry).contains("template: expected ima, ima-ng"),
            "{name}"
        );
    }
    let long = SoftEntry {
        template: "a-template-name-of-thirty-three-b",
        ..SoftEntry::ng(b"x", "/x")
    };
    assert!(problem(&long).contains("template name length may be 32 at most, got 33"));
    assert_eq!(problem(&SoftEntry::ng(b"x", "/x").on(23)), "");
    assert!(problem(&SoftEntry::ng(b"x", "/x").on(24)).contains("PCR index: expected 0 to 23"));
}

#[test]
fn every_flipped_byte_and_truncation_of_an_ascii_list_is_refused() {
    let entries: Vec<_> = every_template();
    let text = ascii(&entries, SHA1).into_bytes();
    let values = quoted(&entries);
    assert_eq!(whole(&text, &values), Ok(entries.len()));
    for at in 0..text.len() {
        let mut bad = text.clone();
        bad[at] ^= 1;
        assert!(whole(&bad, &values).is_err(), "byte {at}");
        // A copy may lose the last line feed.
        let only_line_feed = at + 1 == text.len();
        assert_eq!(
            whole(&text[..at], &values).is_ok(),
            only_line_feed,
            "cut {at}"
        );
    }
}

#[test]
fn ascii_lines_have_one_spelling() {
    let entry = SoftEntry::sig(b"x", "/x", b"");
    let line = entry.ascii(SHA1);
    let error = |text: &str| match List::read(text.as_bytes(), None) {
        Err(error) => {
            assert_eq!(error.check(), "ima-list-structure");
            error.to_string()
        }
        Ok(_) => String::new(),
    };
    assert_eq!(error(&line), "");
    for (bad, expected) in [
        (line.to_uppercase(), "lower-case hexadecimal"),
        (
            line.replace("10 ", "10  "),
            "expected 20, 32, 48 or 64 bytes, got 0",
        ),
        (line.replace("/x ", "/x"), "expected a field, got the end"),
        (line.replace("/x ", "/x  "), "expected no further field"),
        (
            line.replace("ima-sig", "ima-gis"),
            "expected a known template",
        ),
        (line.replace("10 ", "010 "), "PCR in two columns"),
        (line.replace("10 ", "1x "), "PCR in two columns"),
        (line.replace("10 ", "x0 "), "PCR in two columns"),
        (
            line.replace("sha256:", "sha256"),
            "expected algorithm:digest",
        ),
        (format!("{line}\n"), "PCR in two columns"),
        (
            format!("{line}{}", entry.ascii(SHA256)),
            "expected exactly one",
        ),
        (line.replace("10 ", "99 "), ""),
    ] {
        let found = error(&bad);
        assert!(found.contains(expected), "{bad:?}: {found}");
    }
    // A PCR of one digit has a blank before it.
    let one = entry.clone().on(9).ascii(SHA1);
    assert!(one.starts_with(" 9 "));
    assert_eq!(error(&one), "");
    assert!(error(one.trim_start()).contains("PCR in two columns"));
    assert!(error(&one.replace(" 9 ", "09 ")).contains("PCR in two columns"));
    let numbers = every_template()
        .into_iter()
        .find(|e| e.template == "evm-sig")
        .unwrap();
    let line = numbers.ascii(SHA1);
    assert_eq!(error(&line), "");
    for (from, to, expected) in [
        (" 1000 ", " 01000 ", "expected a number"),
        (" 1000 ", " +1000 ", "expected a number"),
        (" 1000 ", " 4294967296 ", "expected a number"),
        (" 33261", " 65536", "a number of 2 bytes"),
    ] {
        assert!(error(&line.replace(from, to)).contains(expected), "{to}");
    }
    assert_eq!(error(&line.replace(" 33261", " 65535")), "");
}

#[test]
fn the_template_hash_algorithm_is_told_by_size_alone() {
    for alg in BANKS {
        for first in every_template()
            .into_iter()
            .chain([SoftEntry::violated("/x")])
        {
            let list = binary(&[first], alg);
            assert_eq!(List::read(&list, None).unwrap().template_hash(), alg);
            assert_eq!(List::read(&list, Some(alg)).unwrap().template_hash(), alg);
            let other = if alg == SHA1 { SHA256 } else { SHA1 };
            let wrong = List::read(&list, Some(other)).unwrap();
            assert!(wrong.entries().any(|entry| entry.is_err()));
        }
    }
    // Made so that two sizes fit: a name at 28 and another at 40.
    let two = [
        &10u32.to_le_bytes()[..],
        &[0; 20],
        &counted(b"ima-sig"),
        &[1],
        &counted(b"ima"),
    ];
    let two = two.concat();
    let error = List::read(&two, None).unwrap_err();
    let fitting = vec![SHA1, SHA256];
    assert_eq!(error, ImaError::HashAlgorithm { fitting });
    assert_eq!(List::read(&[], None).unwrap().template_hash(), SHA1);
}

#[test]
fn huge_counts_and_lengths_are_refused_before_anything_is_read() {
    let at = |offset: usize, value: u32| {
        let mut list = SoftEntry::ng(b"x", "/x").binary(SHA1);
        list[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        let read = List::read(&list, Some(SHA1)).unwrap();
        let found = read.entries().find_map(Result::err).map(|e| e.to_string());
        found.unwrap_or_default()
    };
    for value in [u32::MAX, 1 << 31, 1 << 21] {
        assert!(at(24, value).contains("template name length"));
        assert!(at(34, value).contains("template data length may be 1048576 at most"));
        assert!(at(38, value).contains("field needs"), "{}", at(38, value));
    }
    assert!(at(34, 1 << 20).contains("template data needs 1048576 bytes"));
    assert!(at(38, 0).contains("field needs"));
    assert!(List::read(&vec![0; list::LIST_BYTES_MAX + 1], None).is_err());
    let data = SoftEntry::sig(b"x", "/x", &vec![7; (1 << 20) - 55]);
    assert_eq!(data.data().len(), 1 << 20);
    assert_eq!(problem(&data), "");
}

#[test]
fn the_number_of_entries_is_capped() {
    let entry = SoftEntry::fixed(b"x", "").binary(SHA1);
    let mut list = entry.repeat(list::ENTRIES_MAX);
    let count = |list: &[u8]| {
        let read = List::read(list, Some(SHA1)).unwrap();
        read.entries()
            .collect::<Result<Vec<_>, _>>()
            .map(|e| e.len())
    };
    assert_eq!(count(&list), Ok(list::ENTRIES_MAX));
    list.extend(&entry);
    let error = count(&list).unwrap_err().to_string();
    assert!(
        error.contains("entry count may be 1048576 at most"),
        "{error}"
    );
}

#[test]
fn an_error_is_the_last_item() {
    let list = [binary(&short(), SHA1), vec![1, 2, 3]].concat();
    let read = List::read(&list, None).unwrap();
    let items: Vec<_> = read.entries().collect();
    assert_eq!(items.len(), 6);
    assert!(items[5].is_err());
}
