//! The format of a report, byte for byte.

use super::*;

#[test]
fn fields_are_where_the_specification_puts_them() {
    let chip = Chip::new(testbed::Product::Genoa);
    let mut report = chip.report(5);
    for (at, bytes) in [
        (0x04, &[1, 2, 0, 0][..]),
        (0x10, &[0x10; 16]),
        (0x20, &[0x20; 16]),
        (0x30, &[3]),
        (0x38, &[0x38; 8]),
        (0x48, &[3]),
        (0x50, &[0x50; 64]),
        (0x90, &[0x90; 48]),
        (0xc0, &[0xc0; 32]),
        (0xe0, &[0xe0; 48]),
        (0x110, &[0x11; 48]),
        (0x140, &[0x14; 32]),
        (0x160, &[0x16; 32]),
        (0x180, &[0x18; 8]),
        (0x188, &[1, 2, 3]),
        (0x1a0, &[0x1a; 64]),
        (0x1e0, &[0x1e; 8]),
        (0x1e8, &[1, 2, 3, 0, 4, 5, 6, 0]),
        (0x1f0, &[0x1f; 8]),
        (0x1f8, &[0x0a; 8]),
        (0x200, &[0x0b; 8]),
    ] {
        report.set(at, bytes);
    }
    let bytes = chip.sign(report);
    let parsed = report::parse(&bytes).unwrap();
    assert_eq!(parsed.signed, &bytes[..0x2a0]);
    let r = parsed.report;
    assert_eq!((r.guest_svn, r.policy.bits(), r.vmpl), (0x201, 0x3_0000, 3));
    assert_eq!((r.family_id, r.image_id), ([0x10; 16], [0x20; 16]));
    assert_eq!((r.current_tcb, r.platform_info), ([0x38; 8], 0x25));
    assert!(r.author_key_enabled && r.chip_key_masked && r.signing_key == KeyKind::Vcek);
    assert_eq!(
        (r.report_data, r.measurement, r.host_data),
        ([0x50; 64], [0x90; 48], [0xc0; 32])
    );
    assert_eq!(
        (r.id_key_digest, r.author_key_digest),
        ([0xe0; 48], [0x11; 48])
    );
    assert_eq!(
        (r.report_id, r.report_id_ma, r.reported_tcb),
        ([0x14; 32], [0x16; 32], [0x18; 8])
    );
    let cpuid = r.cpuid.unwrap();
    assert_eq!((cpuid.family, cpuid.model, cpuid.stepping), (1, 2, 3));
    assert_eq!(cpuid.to_string(), "family 0x01 model 0x02 stepping 3");
    assert_eq!(
        (r.chip_id, r.committed_tcb, r.launch_tcb),
        ([0x1a; 64], [0x1e; 8], [0x1f; 8])
    );
    assert_eq!(
        (
            r.current_firmware.to_string(),
            r.committed_firmware.to_string()
        ),
        ("3.2.1".into(), "6.5.4".into())
    );
    let vectors = r.mitigations.unwrap();
    assert_eq!(
        (vectors.launch, vectors.current),
        (0x0a0a_0a0a_0a0a_0a0a, 0x0b0b_0b0b_0b0b_0b0b)
    );
}

/// Signed with them, so that only the structure can refuse.
#[test]
fn versions_and_reserved_fields_are_refused_by_name() {
    let chip = Chip::new(testbed::Product::Genoa);
    let refused = |version: u32, at: usize, bytes: &[u8], word: &str| {
        let signed = chip.sign(chip.report(version).with(at, bytes));
        let error = report::parse(&signed).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    };
    for version in [0u32, 1, 4, 6, 7, 0xff, 0x0200_0000, u32::MAX] {
        refused(5, 0, &version.to_le_bytes(), "VERSION: expected 2, 3 or 5");
    }
    refused(5, 0x0a, &[1], "POLICY");
    refused(5, 0x0f, &[1], "POLICY");
    refused(5, 0x30, &[4], "VMPL");
    refused(5, 0x30, &[0xff; 4], "VMPL");
    refused(5, 0x31, &[1], "VMPL");
    for algorithm in [0, 2] {
        refused(5, 0x34, &[algorithm], "SIGNATURE_ALGO");
    }
    refused(5, 0x41, &[1], "PLATFORM_INFO");
    refused(5, 0x47, &[0x80], "PLATFORM_INFO");
    for signer in 2..=7u8 {
        refused(5, 0x48, &[signer << 2], "key information");
    }
    refused(5, 0x48, &[0x20], "key information");
    refused(5, 0x4b, &[0x80], "key information");
    refused(5, 0x110, &[1], "AUTHOR_KEY_DIGEST");
    refused(5, 0x13f, &[1], "AUTHOR_KEY_DIGEST");
    for (version, range) in [
        (5, 0x4c..0x50),
        (5, 0x18b..0x1a0),
        (2, 0x188..0x1a0),
        (5, 0x1eb..0x1ec),
        (5, 0x1ef..0x1f0),
        (3, 0x1f8..0x208),
        (2, 0x1f8..0x208),
        (5, 0x208..0x2a0),
    ] {
        for at in range {
            refused(version, at, &[1], "expected zero");
        }
    }
}

/// None of these bytes is signed: another value would be a second form of the same report.
#[test]
fn padding_of_the_signature_must_be_zero() {
    let good = Case::genoa().report;
    for at in (0x2a0 + 48..0x2a0 + 72).chain(0x2a0 + 120..0x4a0) {
        let mut bytes = good.clone();
        bytes[at] = 1;
        assert!(report::parse(&bytes).is_err(), "{at:#x}");
    }
    assert!(report::parse(&good).is_ok());
}

#[test]
fn every_flipped_byte_and_every_truncation_of_a_report_is_refused() {
    let mut case = Case::genoa();
    let good = case.report.clone();
    for at in 0..good.len() {
        case.report = good.clone();
        case.report[at] ^= 1 << (at % 8);
        assert!(case.run(Mode::Verify).1.is_none(), "flip {at:#x}");
        assert!(report::parse(&good[..at]).is_err(), "cut {at:#x}");
    }
    case.report = [&good[..], &[0]].concat();
    assert_eq!(case.failed(), ["snp-report-structure"]);
}
