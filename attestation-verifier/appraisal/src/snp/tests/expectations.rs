//! Each expectation of a policy, and the report that only it refuses.

use super::*;
use std::collections::BTreeMap;

const NONE: [&str; 0] = [];

/// A report changed at one place, under the plain policy.
fn changed(at: usize, bytes: &[u8]) -> Case {
    let mut case = Case::genoa();
    case.sign(|report| report.with(at, bytes));
    case
}

#[test]
fn a_report_that_says_what_was_expected_is_appraised() {
    let mut checks = Checks::new(Mode::Verify);
    let case = Case::genoa();
    let appraised = policy::appraise(&mut checks, &case.authentic(), &policy())
        .unwrap()
        .unwrap();
    assert_eq!(
        (appraised.tier_max(), appraised.authentic()),
        (3, &case.authentic())
    );
    let milan = Case::new(testbed::Product::Milan, 3);
    let appraised = policy::appraise(&mut checks, &milan.authentic(), &policy())
        .unwrap()
        .unwrap();
    assert_eq!(appraised.tier_max(), 2);
}

#[test]
fn verification_stops_at_the_first_expectation_that_fails() {
    let mut checks = Checks::new(Mode::Verify);
    let case = changed(0x50, &[1]);
    let stopped = policy::appraise(&mut checks, &case.authentic(), &policy()).unwrap_err();
    assert_eq!(stopped.0.name, "snp-report-data");
}

#[test]
fn contents_are_compared_exactly() {
    for (at, name) in [
        (0x50, "snp-report-data"),
        (0x8f, "snp-report-data"),
        (0x90, "snp-measurement"),
        (0xbf, "snp-measurement"),
        (0xc0, "snp-host-data"),
        (0xdf, "snp-host-data"),
        (0x10, "snp-family-id"),
        (0x20, "snp-image-id"),
    ] {
        assert_eq!(appraise(&changed(at, &[0x77]), &policy()), [name]);
    }
    for vmpl in 1..=3 {
        assert_eq!(appraise(&changed(0x30, &[vmpl]), &policy()), ["snp-vmpl"]);
        assert_eq!(
            appraise(
                &changed(0x30, &[vmpl]),
                &SnpPolicy {
                    vmpl: Expect::Is(vmpl),
                    ..policy()
                }
            ),
            NONE
        );
        assert_eq!(
            appraise(
                &Case::genoa(),
                &SnpPolicy {
                    vmpl: Expect::Is(vmpl),
                    ..policy()
                }
            ),
            ["snp-vmpl"]
        );
    }
}

#[test]
fn an_empty_list_allows_nothing_and_a_longer_one_each_of_its_values() {
    let case = Case::genoa();
    let list = |values: Vec<[u8; 48]>| SnpPolicy {
        measurements: Expect::Is(values),
        ..policy()
    };
    assert_eq!(appraise(&case, &list(vec![])), ["snp-measurement"]);
    assert_eq!(
        appraise(&case, &list(vec![[1; 48], [2; 48]])),
        ["snp-measurement"]
    );
    assert_eq!(appraise(&case, &list(vec![[1; 48], [0x11; 48]])), NONE);
}

#[test]
fn what_is_not_checked_is_not_checked() {
    let loose = SnpPolicy {
        report_data: Expect::Unchecked,
        measurements: Expect::Unchecked,
        host_data: Expect::Unchecked,
        family_id: Expect::Unchecked,
        image_id: Expect::Unchecked,
        ..policy()
    };
    let mut case = Case::genoa();
    case.sign(|report| report.with(0x10, &[9; 32]).with(0x50, &[9; 64 + 48 + 32]));
    assert_eq!(appraise(&case, &loose), NONE);
}

#[test]
fn id_and_author_keys_are_pinned() {
    let mut case = Case::genoa();
    case.sign(|report| {
        report
            .with(0x48, &[1])
            .with(0xe0, &[5; 48])
            .with(0x110, &[6; 48])
    });
    let keys = |id: u8, author: u8| SnpPolicy {
        id_keys: Expect::Is(vec![[id; 48]]),
        author_keys: Expect::Is(vec![[author; 48]]),
        ..policy()
    };
    assert_eq!(appraise(&case, &keys(5, 6)), NONE);
    assert_eq!(appraise(&case, &keys(6, 6)), ["snp-id-key"]);
    assert_eq!(appraise(&case, &keys(5, 5)), ["snp-author-key"]);
    // Without an author key its digest is zero, which somebody might pin by mistake.
    let plain = Case::genoa();
    assert_eq!(appraise(&plain, &keys(0, 0)), ["snp-author-key-enabled"]);
}

#[test]
fn the_guests_security_version_has_a_floor() {
    let case = changed(0x04, &7u32.to_le_bytes());
    for (least, names) in [(6, &NONE[..]), (7, &NONE), (8, &["snp-guest-svn"])] {
        let policy = SnpPolicy {
            guest_svn_min: least,
            ..policy()
        };
        assert_eq!(appraise(&case, &policy), names, "{least}");
    }
}

#[test]
fn each_bit_of_the_guests_policy_is_judged() {
    let bit = |bits: u64| changed(0x08, &bits.to_le_bytes());
    let strict = SnpPolicy {
        smt_allowed: false,
        ..policy()
    };
    assert_eq!(appraise(&bit(0x2_0000), &strict), NONE);
    assert_eq!(appraise(&bit(0xa_0000), &strict), ["snp-policy-debug"]);
    assert_eq!(appraise(&bit(0x6_0000), &strict), ["snp-policy-migration"]);
    assert_eq!(appraise(&bit(0x3_0000), &strict), ["snp-policy-smt"]);
    let loose = SnpPolicy {
        debug_allowed: true,
        migration_allowed: true,
        ..policy()
    };
    assert_eq!(appraise(&bit(0xf_0000), &loose), NONE);
    assert_eq!(appraise(&bit(0x2_0000), &loose), NONE);
    let single = SnpPolicy {
        single_socket_required: true,
        ..policy()
    };
    assert_eq!(
        appraise(&bit(0x2_0000), &single),
        ["snp-policy-single-socket"]
    );
    assert_eq!(appraise(&bit(0x12_0000), &single), NONE);
    assert_eq!(appraise(&bit(0x12_0000), &policy()), NONE);
}

#[test]
fn the_guests_firmware_api_has_a_floor() {
    let case = changed(0x08, &0x2_011fu64.to_le_bytes());
    for (major, minor, names) in [
        (1, 0x1f, &NONE[..]),
        (0, 0xff, &NONE),
        (1, 0x20, &["snp-policy-abi"]),
        (2, 0, &["snp-policy-abi"]),
    ] {
        let policy = SnpPolicy {
            abi_min: Abi { major, minor },
            ..policy()
        };
        assert_eq!(appraise(&case, &policy), names, "{major}.{minor}");
    }
}

#[test]
fn required_bits_of_the_platform_and_of_mitigations_must_all_be_set() {
    let case = Case::genoa();
    assert_eq!(
        appraise(
            &case,
            &SnpPolicy {
                platform_required: 0x21,
                ..policy()
            }
        ),
        NONE
    );
    assert_eq!(
        appraise(
            &case,
            &SnpPolicy {
                platform_required: 0x23,
                ..policy()
            }
        ),
        ["snp-platform-info"]
    );
    assert_eq!(
        appraise(
            &case,
            &SnpPolicy {
                launch_mitigations: 0x0b,
                ..policy()
            }
        ),
        NONE
    );
    assert_eq!(
        appraise(
            &case,
            &SnpPolicy {
                launch_mitigations: 0x04,
                ..policy()
            }
        ),
        ["snp-launch-mitigations"]
    );
    assert_eq!(
        appraise(
            &case,
            &SnpPolicy {
                current_mitigations: 0x0f,
                ..policy()
            }
        ),
        NONE
    );
    assert_eq!(
        appraise(
            &case,
            &SnpPolicy {
                current_mitigations: 0x11,
                ..policy()
            }
        ),
        ["snp-current-mitigations"]
    );
    let old = Case::new(testbed::Product::Genoa, 3);
    assert_eq!(
        appraise(
            &old,
            &SnpPolicy {
                launch_mitigations: 1,
                current_mitigations: 2,
                ..policy()
            }
        ),
        ["snp-launch-mitigations", "snp-current-mitigations"]
    );
}

#[test]
fn only_listed_kinds_of_key_pass() {
    let only = |kind| SnpPolicy {
        key_kinds: vec![kind],
        ..policy()
    };
    assert_eq!(appraise(&Case::genoa(), &only(KeyKind::Vcek)), NONE);
    assert_eq!(
        appraise(&Case::genoa(), &only(KeyKind::Vlek)),
        ["snp-key-kind"]
    );
    assert_eq!(
        appraise(&Case::vlek(), &only(KeyKind::Vcek)),
        ["snp-key-kind"]
    );
    assert_eq!(appraise(&Case::vlek(), &only(KeyKind::Vlek)), NONE);
    assert_eq!(
        appraise(
            &Case::vlek(),
            &SnpPolicy {
                key_kinds: vec![],
                ..policy()
            }
        ),
        ["snp-key-kind"]
    );
}

#[test]
fn a_masked_chip_id_passes_only_where_it_is_allowed() {
    let masked = changed(0x1a0, &[0; 64]);
    assert_eq!(appraise(&masked, &policy()), ["snp-chip-id-mask"]);
    assert_eq!(
        appraise(
            &masked,
            &SnpPolicy {
                masked_chip_id_allowed: true,
                ..policy()
            }
        ),
        NONE
    );
    assert_eq!(appraise(&Case::vlek(), &policy()), NONE);
}

/// A host that runs old firmware and reports an old TCB, or has not committed, or launched the guest before.
#[test]
fn each_of_the_four_tcbs_has_the_floor() {
    let floors = |text: &str| {
        let floor = [(Product::Genoa, text.parse().unwrap())];
        SnpPolicy {
            tcb_floors: Expect::Is(BTreeMap::from(floor)),
            ..policy()
        }
    };
    let exact = floors("bl=4,tee=1,snp=24,ucode=219");
    assert_eq!(appraise(&Case::genoa(), &exact), NONE);
    let mut checks = Checks::new(Mode::Explain);
    policy::appraise(&mut checks, &Case::genoa().authentic(), &exact).unwrap();
    let mut list = checks.list().iter();
    let check = list
        .find(|check| check.name == "snp-tcb-committed")
        .unwrap();
    assert!(check.expected.starts_with("at least "), "{check:?}");
    for (at, name) in [
        (0x1e0, "snp-tcb-committed"),
        (0x1f0, "snp-tcb-launch"),
        (0x38, "snp-tcb-current"),
    ] {
        assert_eq!(appraise(&changed(at, &[3]), &exact), [name]);
        assert_eq!(appraise(&changed(at + 7, &[218]), &exact), [name]);
    }
    let mut case = Case::genoa();
    let newer = [5, 1, 0, 0, 0, 0, 24, 219];
    case.sign(|report| {
        report
            .with(0x38, &newer)
            .with(0x1e0, &newer)
            .with(0x1f0, &newer)
    });
    assert_eq!(
        appraise(&case, &floors("bl=5,tee=1,snp=24,ucode=219")),
        ["snp-tcb-reported"]
    );
}

#[test]
fn a_product_without_a_floor_does_not_pass() {
    let milan: BTreeMap<_, _> =
        [(Product::Milan, "bl=0,tee=0,snp=0,ucode=0".parse().unwrap())].into();
    let policy = SnpPolicy {
        tcb_floors: Expect::Is(milan),
        ..policy()
    };
    assert_eq!(appraise(&Case::genoa(), &policy), ["snp-tcb-floor"]);
    let none = SnpPolicy {
        tcb_floors: Expect::Is(BTreeMap::new()),
        ..policy
    };
    assert_eq!(appraise(&Case::genoa(), &none), ["snp-tcb-floor"]);
}

/// Milan is held at tier 2: its root seeds were extracted by software.
#[test]
fn a_generation_earns_what_is_listed_for_it() {
    let least = |tier_min| SnpPolicy {
        tier_min,
        ..policy()
    };
    let milan = Case::new(testbed::Product::Milan, 3);
    assert_eq!(appraise(&milan, &least(2)), NONE);
    assert_eq!(appraise(&milan, &least(3)), ["snp-generation"]);
    assert_eq!(appraise(&Case::genoa(), &least(3)), NONE);
    let unlisted = SnpPolicy {
        generations: vec![],
        ..policy()
    };
    assert_eq!(appraise(&Case::genoa(), &unlisted), ["snp-generation"]);
}
