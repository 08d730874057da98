//! Judging entries: allowlists and policy.

use super::kit::*;
use crate::crypto::signature::Sha1;
use crate::ima::allowlist::AllowlistError;
use crate::ima::appraise::{Refusal, Totals, Violations};
use crate::ima::boot_aggregate::AggregateError;
use crate::ima::testing::{SoftEntry, digest, labelled, text};
use crate::ima::*;
use crate::tpm::algorithm::HashAlg;

#[test]
fn every_entry_must_be_on_the_allowlist() {
    let entries = [
        SoftEntry::ng(b"sh", "/bin/sh"),
        SoftEntry::ng(b"ls", "/bin/ls"),
    ];
    let both = line(b"sh", "/bin/sh") + &line(b"ls", "/bin/ls");
    let allow = |text: &str| {
        let list = Allowlist::parse(text.as_bytes()).unwrap();
        let policy = Policy {
            allowlist: Some(&list),
            ..Policy::default()
        };
        refusals(&entries, &policy)
    };
    assert_eq!(allow(&both), []);
    assert_eq!(allow(&line(b"sh", "/bin/sh")), [(2, Refusal::NotListed)]);
    let other = line(b"sh", "/bin/sh") + &line(b"other", "/bin/ls");
    assert_eq!(allow(&other), [(2, Refusal::OtherDigest)]);
    // A digest under another name is not this file.
    let swapped = line(b"sh", "/bin/sh") + &line(b"ls", "/bin/cat");
    assert_eq!(allow(&swapped), [(2, Refusal::NotListed)]);
    let anywhere = line(b"sh", "/bin/sh") + &line(b"ls", "");
    let anywhere = anywhere.trim_end().to_owned() + "\n";
    assert_eq!(allow(&anywhere), []);
    let two = line(b"old", "/bin/ls") + &both;
    assert_eq!(allow(&two), []);
    assert_eq!(refusals(&entries, &Policy::default()).len(), 2);
}

#[test]
fn totals_count_every_outcome_and_add_up() {
    let key = SoftKey::ec();
    let (keyring, ids) = ring(&[&key]);
    let text = line(b"sh", "/bin/sh") + line(b"any", "").trim_end() + "\n";
    let mut list = Allowlist::parse(text.as_bytes()).unwrap();
    list.exclude(b"/tmp/").unwrap();
    let entries = booted(&[
        SoftEntry::ng(b"sh", "/bin/sh"),
        SoftEntry::ng(b"any", "/opt/any"),
        SoftEntry::sig(b"signed", "/opt/signed", &key.xattr(ids[0], b"signed")),
        SoftEntry::ng(b"x", "/tmp/x"),
        SoftEntry::violated("/var/log"),
        SoftEntry::ng(b"evil", "/opt/evil"),
    ]);
    let policy = Policy {
        allowlist: Some(&list),
        keyring: Some(&keyring),
        violations: Violations::Tolerated,
        ..Policy::default()
    };
    let totals = judged(&entries, &with_firmware(&entries), &policy).totals;
    let expected = Totals {
        entries: 7,
        boot_aggregate: 1,
        by_path: 1,
        by_digest: 1,
        by_signature: 1,
        excluded: 1,
        violations_tolerated: 1,
        refused: 1,
    };
    assert_eq!(totals, expected);
    let doubled = totals.and(totals);
    let json = serde_json::to_value(doubled).unwrap();
    let expected = serde_json::to_value(expected).unwrap();
    for (name, count) in expected.as_object().unwrap() {
        assert_eq!(json[name].as_u64(), count.as_u64().map(|n| n * 2), "{name}");
    }
}

#[test]
fn refused_entries_are_named_up_to_a_bound_and_all_counted() {
    let entries: Vec<_> = (0..50u8)
        .map(|n| SoftEntry::ng(&[n], &"é".repeat(400)))
        .collect();
    let all = booted(&entries);
    let appraisal = judged(&all, &with_firmware(&all), &Policy::default());
    assert_eq!(appraisal.totals.refused, 50);
    assert_eq!(appraisal.refused.len(), 32);
    assert!(appraisal.refused.iter().all(|r| r.name.len() <= 4 * 256));
    let first = appraisal.refused[0].to_string();
    assert!(
        first.starts_with("entry 1 (\\xc3\\xa9") && first.ends_with("): not listed"),
        "{first}"
    );
}

#[test]
fn a_violation_is_refused_and_cannot_be_allowed_by_name() {
    let mut list = Allowlist::parse(line(b"x", "/var/log/x").as_bytes()).unwrap();
    list.exclude(b"/var/log/").unwrap();
    list.allow(b"/var/log/x", &sha256(&[0; 32])).unwrap();
    let mut policy = Policy {
        allowlist: Some(&list),
        ..Policy::default()
    };
    let entries = [SoftEntry::violated("/var/log/x")];
    assert_eq!(refusals(&entries, &policy), [(1, Refusal::Violation)]);
    policy.violations = Violations::Tolerated;
    assert_eq!(refusals(&entries, &policy), []);
}

#[test]
fn only_whole_folders_are_excluded() {
    let mut list = Allowlist::default();
    for bad in ["", "/", "tmp/", "/tmp", "*/"] {
        let excluded = list.exclude(bad.as_bytes());
        assert_eq!(excluded.is_ok(), bad == "/", "{bad:?}");
    }
    let mut list = Allowlist::default();
    list.exclude(b"/tmp/").unwrap();
    let policy = Policy {
        allowlist: Some(&list),
        ..Policy::default()
    };
    let below = [
        SoftEntry::ng(b"x", "/tmp/a/x"),
        SoftEntry::ng(b"x", "/tmp/x"),
    ];
    assert_eq!(refusals(&below, &policy), []);
    let beside = [
        SoftEntry::ng(b"x", "/tmpx"),
        SoftEntry::ng(b"x", "/a/tmp/x"),
    ];
    assert_eq!(refusals(&beside, &policy).len(), 2);
}

#[test]
fn an_empty_list_allows_nothing() {
    let appraisal = judged(&[], &with_firmware(&[]), &Policy::default());
    assert!(!appraisal.all_allowed());
    assert_eq!(appraisal.boot_aggregate, Err(AggregateError::Absent));
}

#[test]
fn sha1_digests_count_only_where_the_policy_says_so() {
    let entry = SoftEntry::new(
        "ima-ng",
        vec![digest(HashAlg::Sha1, b"sh"), text("/bin/sh")],
    );
    let hash = hex::encode(HashAlg::Sha1.digest(&[b"sh"]));
    let list = Allowlist::parse(format!("{hash}  /bin/sh\n").as_bytes()).unwrap();
    let mut policy = Policy {
        allowlist: Some(&list),
        ..Policy::default()
    };
    let entries = [entry, SoftEntry::fixed(b"sh", "/bin/sh")];
    let weak = [(1, Refusal::WeakDigest), (2, Refusal::WeakDigest)];
    assert_eq!(refusals(&entries, &policy), weak);
    policy.sha1 = Sha1::Legacy;
    assert_eq!(refusals(&entries, &policy), []);
}

#[test]
fn a_buffer_must_have_the_digest_it_is_allowed_by() {
    let list = Allowlist::parse(line(b"quiet", "kexec-cmdline").as_bytes()).unwrap();
    let policy = Policy {
        allowlist: Some(&list),
        ..Policy::default()
    };
    let good = SoftEntry::buf(b"quiet", "kexec-cmdline");
    assert_eq!(refusals(std::slice::from_ref(&good), &policy), []);
    let mut other = good;
    other.fields[2] = b"init=/bin/sh".to_vec();
    assert_eq!(refusals(&[other], &policy), [(1, Refusal::Buffer)]);
    let unknown = SoftEntry::buf(b"loud", "kexec-cmdline");
    assert_eq!(refusals(&[unknown], &policy), [(1, Refusal::OtherDigest)]);
}

#[test]
fn a_buffer_read_as_a_signature_and_back_gains_nothing() {
    let key = SoftKey::ec();
    let (keyring, ids) = ring(&[&key]);
    let list = Allowlist::parse(line(b"listed", "/listed").as_bytes()).unwrap();
    let policy = Policy {
        allowlist: Some(&list),
        keyring: Some(&keyring),
        ..Policy::default()
    };
    let signed = SoftEntry::sig(b"x", "/x", &key.xattr(ids[0], b"x"));
    assert_eq!(refusals(std::slice::from_ref(&signed), &policy), []);
    let as_buffer = SoftEntry {
        template: "ima-buf",
        ..signed
    };
    assert_eq!(refusals(&[as_buffer], &policy), [(1, Refusal::Buffer)]);
    let as_signature = SoftEntry {
        template: "ima-sig",
        ..SoftEntry::buf(b"x", "keyring")
    };
    let found = refusals(&[as_signature], &policy);
    assert!(
        matches!(found[..], [(1, Refusal::Signature(_))]),
        "{found:?}"
    );
}

#[test]
fn a_listed_digest_of_descriptor_and_content_are_not_one() {
    let hash = HashAlg::Sha256.digest(&[b"x"]);
    let verity = SoftEntry::new(
        "ima-ngv2",
        vec![labelled("verity:sha256:", &hash), text("/x")],
    );
    let content = SoftEntry::new("ima-ngv2", vec![labelled("ima:sha256:", &hash), text("/x")]);
    let entries = [verity, content];
    let allow = |prefix: &str| {
        let text = format!("{prefix}{}  /x\n", hex::encode(&hash));
        let list = Allowlist::parse(text.as_bytes()).unwrap();
        let policy = Policy {
            allowlist: Some(&list),
            ..Policy::default()
        };
        refusals(&entries, &policy)
    };
    assert_eq!(allow("verity:sha256:"), [(2, Refusal::OtherDigest)]);
    assert_eq!(allow("verity:"), [(2, Refusal::OtherDigest)]);
    assert_eq!(allow("sha256:"), [(1, Refusal::OtherDigest)]);
    assert_eq!(allow(""), [(1, Refusal::OtherDigest)]);
}

#[test]
fn allowlists_have_two_forms_of_line_and_no_other() {
    let hash = "ab".repeat(32);
    for good in [
        format!("{hash}  /x\n"),
        format!("{hash} */x"),
        format!("# comment\n\nsha256:{hash}\n"),
        format!("sha512:{}  /x", "ab".repeat(64)),
        format!("{}  /x", "ab".repeat(48)),
    ] {
        assert_eq!(
            Allowlist::parse(good.as_bytes()).map(|l| l.len()),
            Ok(1),
            "{good}"
        );
    }
    for bad in [
        format!("{hash} /x"),
        format!("{hash}   \n").trim_end().to_owned() + "  ",
        format!("{hash}\t/x"),
        format!("sha1:{hash}  /x"),
        format!("md5:{hash}  /x"),
        format!("{hash}ab  /x"),
        "/x".into(),
        format!("{hash}  /x\n/y\n"),
    ] {
        let error = Allowlist::parse(bad.as_bytes()).unwrap_err();
        assert!(matches!(error, AllowlistError::Line { .. }), "{bad:?}");
    }
    assert_eq!(Allowlist::parse(b""), Err(AllowlistError::Empty));
    assert_eq!(Allowlist::parse(b"# nothing\n"), Err(AllowlistError::Empty));
    let error = Allowlist::parse(format!("{hash}  /x\nzz\n").as_bytes()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("allowlist: line 2: expected a digest"),
        "{error}"
    );
}

#[test]
fn duplicates_count_once_and_blanks_are_what_the_kernel_makes_of_them() {
    let text = line(b"x", "/a b") + &line(b"x", "/a b") + &line(b"y", "/a b");
    let list = Allowlist::parse(text.as_bytes()).unwrap();
    assert_eq!(list.len(), 2);
    assert!(!list.is_empty() && Allowlist::default().is_empty());
    let policy = Policy {
        allowlist: Some(&list),
        ..Policy::default()
    };
    let entries = [SoftEntry::ng(b"x", "/a_b"), SoftEntry::ng(b"y", "/a_b")];
    assert_eq!(refusals(&entries, &policy), []);
}

#[test]
fn the_digests_of_one_path_are_capped() {
    let mut list = Allowlist::default();
    for n in 0..4096u32 {
        let hash = HashAlg::Sha256.digest(&[&n.to_be_bytes()]);
        list.allow(b"/x", &sha256(&hash)).unwrap();
    }
    let error = list.allow(b"/x", &sha256(&[1; 32])).unwrap_err();
    assert_eq!(error, AllowlistError::TooMany { max: 4096 });
}
