//! The boot aggregate.

use super::kit::*;
use crate::ima::appraise::{AggregateRule, Refusal};
use crate::ima::boot_aggregate::{AggregateError, AggregateForm, check};
use crate::ima::testing::{SoftEntry, binary, digest, labelled, quoted, text};
use crate::ima::*;
use crate::quote::PcrValues;
use crate::tpm::algorithm::HashAlg;

fn aggregate(entry: SoftEntry, values: &PcrValues) -> Result<AggregateForm, AggregateError> {
    let bytes = binary(std::slice::from_ref(&entry), HashAlg::Sha1);
    let list = List::read(&bytes, None).unwrap();
    let mut all = values.clone();
    all.extend(quoted(&[entry]));
    let explained = explain(&list, &all, Options::default()).unwrap();
    check(explained.position(), values)
}

#[test]
fn the_boot_aggregate_has_the_forms_kernels_produce() {
    let values = with_firmware(&[]);
    let over = |alg: HashAlg, count| {
        let field = digest(alg, &firmware(alg, count));
        aggregate(
            SoftEntry::new("ima-ng", vec![field, text("boot_aggregate")]),
            &values,
        )
    };
    assert_eq!(over(HashAlg::Sha1, 8), Ok(AggregateForm::Pcr0To7));
    assert_eq!(over(HashAlg::Sha256, 8), Ok(AggregateForm::Pcr0To7));
    assert_eq!(over(HashAlg::Sha256, 10), Ok(AggregateForm::Pcr0To9));
    let differs = |result| matches!(result, Err(AggregateError::Differs { .. }));
    assert!(
        differs(over(HashAlg::Sha1, 10)),
        "SHA-1 never covers PCR 8 and 9"
    );
    assert!(differs(over(HashAlg::Sha256, 9)));
    assert!(differs(over(HashAlg::Sha256, 7)));
    let not_quoted = AggregateError::NotQuoted {
        bank: HashAlg::Sha512,
        pcr: 0,
    };
    assert_eq!(over(HashAlg::Sha512, 10), Err(not_quoted));
    let fixed = SoftEntry::fixed(&firmware(HashAlg::Sha1, 8), "boot_aggregate");
    assert_eq!(aggregate(fixed, &values), Ok(AggregateForm::Pcr0To7));
    // No TPM when the kernel started: zeros.
    let zeros = labelled("sha256:", &[0; 32]);
    let zeros = SoftEntry::new("ima-ng", vec![zeros, text("boot_aggregate")]);
    assert!(differs(aggregate(zeros, &values)));
    let other = SoftEntry::ng(&firmware(HashAlg::Sha256, 10), "/boot_aggregate");
    assert_eq!(aggregate(other, &values), Err(AggregateError::Absent));
}

#[test]
fn each_pcr_of_the_boot_aggregate_counts() {
    let good = with_firmware(&[]);
    let over = |count, values: &PcrValues| {
        let entry = SoftEntry::ng(&firmware(HashAlg::Sha256, count), "boot_aggregate");
        aggregate(entry, values)
    };
    for pcr in 0..10 {
        let mut changed = good.clone();
        changed.insert((HashAlg::Sha256, pcr), vec![99; 32]);
        assert!(over(10, &changed).is_err(), "PCR {pcr}");
        assert_eq!(over(8, &changed).is_ok(), pcr >= 8, "PCR {pcr}");
        for value in [None, Some(vec![pcr as u8; 31])] {
            let mut absent = good.clone();
            absent.remove(&(HashAlg::Sha256, pcr));
            absent.extend(value.map(|value| ((HashAlg::Sha256, pcr), value)));
            let expected = AggregateError::NotQuoted {
                bank: HashAlg::Sha256,
                pcr,
            };
            assert_eq!(over(10, &absent), Err(expected));
        }
    }
}

#[test]
fn a_wrong_boot_aggregate_refuses_the_first_entry() {
    let policy = Policy::default();
    let refused = |entries: &[SoftEntry], values: &PcrValues, policy: &Policy<'_>| {
        judged(entries, values, policy)
            .refused
            .first()
            .map(|r| r.refusal.clone())
    };
    let good = booted(&[]);
    assert_eq!(refused(&good, &with_firmware(&good), &policy), None);
    let wrong = [SoftEntry::ng(b"other boot", "boot_aggregate")];
    let loose = Policy {
        aggregate: AggregateRule::UnlessNotQuoted,
        ..policy
    };
    for policy in [&policy, &loose] {
        let found = refused(&wrong, &with_firmware(&wrong), policy);
        assert!(
            matches!(found, Some(Refusal::BootAggregate(_))),
            "{found:?}"
        );
    }
    // Its bank was not quoted.
    let found = refused(&good, &quoted(&good), &policy);
    assert!(
        matches!(found, Some(Refusal::BootAggregate(_))),
        "{found:?}"
    );
    assert_eq!(refused(&good, &quoted(&good), &loose), None);
    // Another first entry, even one that is listed.
    let list = Allowlist::parse(line(b"sh", "/bin/sh").as_bytes()).unwrap();
    let listing = Policy {
        allowlist: Some(&list),
        ..loose
    };
    let first = [SoftEntry::ng(b"sh", "/bin/sh")];
    let found = refused(&first, &with_firmware(&first), &listing);
    assert!(
        matches!(found, Some(Refusal::BootAggregate(_))),
        "{found:?}"
    );
    // A file of that name later on is a file.
    let later = [SoftEntry::ng(
        &firmware(HashAlg::Sha256, 10),
        "boot_aggregate",
    )];
    assert_eq!(refusals(&later, &listing), [(1, Refusal::NotListed)]);
    let violated = [SoftEntry::violated("boot_aggregate")];
    let found = refused(&violated, &with_firmware(&violated), &loose);
    assert!(
        matches!(found, Some(Refusal::BootAggregate(_))),
        "{found:?}"
    );
}
