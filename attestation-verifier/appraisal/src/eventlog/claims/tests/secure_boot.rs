//! PCR 7 under attack.

use super::*;

#[test]
fn data_forged_under_a_true_digest_proves_nothing() {
    let mut steps = honest();
    let at = find(&steps, 7, EV_EFI_VARIABLE_DRIVER_CONFIG);
    // Firmware measured 0, the log shows 1.
    steps[at] = config("SecureBoot", &[0]);
    assert_eq!(secure_boot(&steps), Claim::Proven(SecureBoot::Disabled));
    steps[at].data = config("SecureBoot", &[1]).data;
    let kind = EV_EFI_VARIABLE_DRIVER_CONFIG;
    let event = at + 1;
    assert_eq!(
        secure_boot(&steps),
        Claim::Unproven(Unproven::Uncovered { event, kind })
    );
}

#[test]
fn a_relabelled_secure_boot_event_is_neither_hidden_nor_believed() {
    for kind in KINDS
        .into_iter()
        .filter(|k| *k != EV_EFI_VARIABLE_DRIVER_CONFIG)
    {
        let mut steps = honest();
        let at = find(&steps, 7, EV_EFI_VARIABLE_DRIVER_CONFIG);
        steps[at] = Step {
            kind,
            ..config("SecureBoot", &[0])
        };
        let claim = secure_boot(&steps);
        assert!(matches!(claim, Claim::Unproven(_)), "{kind:#x}: {claim:?}");
        // With data that would be fitting for the new label, the digest no longer covers it.
        steps[at].data = b"an action".to_vec();
        let claim = secure_boot(&steps);
        assert!(matches!(claim, Claim::Unproven(_)), "{kind:#x}: {claim:?}");
    }
}

#[test]
fn what_is_extended_behind_the_separator_is_no_secure_boot_state() {
    let mut steps = honest();
    let at = find(&steps, 7, EV_EFI_VARIABLE_DRIVER_CONFIG);
    let enabled = steps.remove(at);
    steps.push(enabled.clone());
    assert_eq!(secure_boot(&steps), Claim::Absent);
    steps.insert(at, config("SecureBoot", &[0]));
    let what = "SecureBoot";
    assert_eq!(
        secure_boot(&steps),
        Claim::Unproven(Unproven::Conflict { what })
    );
    steps[at] = enabled;
    assert_eq!(secure_boot(&steps), Claim::Proven(SecureBoot::Enabled));
}

#[test]
fn conflicting_and_malformed_states_are_unproven() {
    let mut steps = honest();
    let at = find(&steps, 7, EV_EFI_VARIABLE_DRIVER_CONFIG);
    steps.insert(at, config("SecureBoot", &[1]));
    assert_eq!(secure_boot(&steps), Claim::Proven(SecureBoot::Enabled));
    steps[at] = config("SecureBoot", &[0]);
    let what = "SecureBoot";
    assert_eq!(
        secure_boot(&steps),
        Claim::Unproven(Unproven::Conflict { what })
    );
    for value in [&[2][..], &[1, 0], &[0xff]] {
        let mut steps = honest();
        steps[at] = config("SecureBoot", value);
        assert_eq!(
            secure_boot(&steps),
            Claim::Unproven(Unproven::Malformed { what })
        );
    }
    let mut steps = honest();
    steps[at] = config("SecureBoot", &[]);
    assert_eq!(secure_boot(&steps), Claim::Proven(SecureBoot::NoVariable));
}

#[test]
fn a_variable_of_another_namespace_is_not_secure_boot() {
    let mut steps = honest();
    let at = find(&steps, 7, EV_EFI_VARIABLE_DRIVER_CONFIG);
    let other = variable(Guid([9; 16]), "SecureBoot", &[1]);
    steps[at] = step(7, EV_EFI_VARIABLE_DRIVER_CONFIG, &other);
    assert_eq!(secure_boot(&steps), Claim::Absent);
}

#[test]
fn an_event_that_cannot_be_told_takes_the_proof_from_its_register() {
    for kind in KINDS {
        let mut steps = honest();
        before_separator(&mut steps, code(7, kind, b"hidden", b"shown"));
        assert!(secure_boot(&steps).proven().is_none(), "{kind:#x}");
        let covered = &[0xff, 0, 1][..];
        let mut steps = honest();
        before_separator(&mut steps, step(7, kind, covered));
        assert!(secure_boot(&steps).proven().is_none(), "{kind:#x}");
    }
    // Behind the separator: the state stands, the list of authorities does not.
    let mut steps = honest();
    steps.push(code(7, EV_EFI_VARIABLE_AUTHORITY, b"hidden", b"shown"));
    of(&steps, |claims| {
        assert_eq!(claims.secure_boot, Claim::Proven(SecureBoot::Enabled));
        assert!(claims.db.proven().is_some());
        assert!(claims.authorities.proven().is_none());
        assert!(claims.sbat_level.proven().is_none());
        assert!(claims.security_actions.proven().is_none());
    });
}

#[test]
fn separators_are_told_by_their_digest() {
    let at = find(&honest(), 7, EV_SEPARATOR);
    let mut steps = honest();
    steps.remove(at);
    assert_eq!(
        secure_boot(&steps),
        Claim::Unproven(Unproven::NoSeparator { pcr: 7 })
    );
    let mut steps = honest();
    steps[at] = step(7, EV_SEPARATOR, &[0xff; 4]);
    of(&steps, |claims| {
        assert_eq!(claims.separators[&7], Claim::Proven(Separator::Ones));
        assert_eq!(claims.secure_boot, Claim::Proven(SecureBoot::Enabled));
    });
    steps[at] = step(7, EV_SEPARATOR, &[1, 0, 0, 0]);
    of(&steps, |claims| {
        assert_eq!(claims.separators[&7], Claim::Proven(Separator::Error));
        let event = at + 1;
        let reason = Unproven::ErrorSeparator { pcr: 7, event };
        assert_eq!(claims.secure_boot, Claim::Unproven(reason));
    });
    // The label gone, or a label without the digest.
    steps[at] = step(7, EV_EFI_ACTION, &[0; 4]);
    of(&steps, |claims| {
        let (event, kind) = (at + 1, EV_EFI_ACTION);
        let reason = Unproven::Relabelled { event, kind };
        assert_eq!(claims.secure_boot, Claim::Unproven(reason.clone()));
        assert_eq!(claims.separators[&7], Claim::Unproven(reason));
    });
    let mut steps = honest();
    steps.insert(at, step(7, EV_SEPARATOR, b"other"));
    assert!(matches!(
        secure_boot(&steps),
        Claim::Unproven(Unproven::Uncovered { .. })
    ));
}

#[test]
fn an_entry_that_vouched_cannot_pass_for_the_database() {
    // A driver was vouched for before the separator. Its entry reads as a list when the owner's GUID is well chosen.
    let entry = certificate_list(OWNER, b"\x30\x82 attacker");
    let mut steps = honest();
    let db = steps
        .iter()
        .position(|s| s.data == config("db", &certificate_list(OWNER, CERTIFICATE)).data);
    before_separator(&mut steps, authority(IMAGE_SECURITY_DATABASE, "db", &entry));
    of(&steps, |claims| {
        assert_eq!(claims.db.proven().unwrap().0[0].data, CERTIFICATE);
        assert_eq!(claims.authorities.proven().unwrap().len(), 4);
        assert!(claims.authorities.proven().unwrap()[0].before_separator);
    });
    let vouched = find(&steps, 7, EV_EFI_VARIABLE_AUTHORITY);
    steps[vouched].kind = EV_EFI_VARIABLE_DRIVER_CONFIG;
    steps[db.unwrap()].kind = EV_EFI_VARIABLE_AUTHORITY;
    of(&steps, |claims| assert!(claims.db.proven().is_none()));
}

#[test]
fn configuration_other_than_db_vouches_for_nothing() {
    for name in ["SecureBoot", "PK", "KEK", "dbx", "dbt", "dbr"] {
        let mut steps = honest();
        let mut last = config(name, b"");
        last.kind = EV_EFI_VARIABLE_AUTHORITY;
        before_separator(&mut steps, last);
        of(&steps, |claims| {
            assert!(claims.authorities.proven().is_none(), "{name}")
        });
    }
}

#[test]
fn malformed_databases_are_unproven_by_name() {
    let mut steps = honest();
    let at = steps
        .iter()
        .position(|s| s.data == config("dbx", b"").data)
        .unwrap();
    steps[at] = config("dbx", b"no list");
    of(&steps, |claims| {
        assert_eq!(
            claims.dbx,
            Claim::Unproven(Unproven::Malformed { what: "dbx" })
        );
        assert!(claims.db.proven().is_some());
    });
}

#[test]
fn texts_of_pcr_7_are_shown_and_must_be_labelled_so() {
    let mut steps = honest();
    before_separator(&mut steps, step(7, EV_EFI_ACTION, b"UEFI Debug Mode"));
    of(&steps, |claims| {
        let expected = Claim::Proven(vec!["UEFI Debug Mode".to_owned()]);
        assert_eq!(claims.security_actions, expected);
        assert!(claims.secure_boot.proven().is_some());
    });
    let at = find(&steps, 7, EV_EFI_ACTION);
    steps[at].kind = EV_IPL;
    assert!(matches!(
        secure_boot(&steps),
        Claim::Unproven(Unproven::Relabelled { .. })
    ));
}

#[test]
fn levels_of_sbat_must_agree() {
    let mut steps = honest();
    steps.push(authority(SHIM_LOCK, "SbatLevel", b"sbat,1,2021030218\n"));
    of(&steps, |claims| {
        assert!(claims.sbat_level.proven().is_some())
    });
    steps.push(authority(SHIM_LOCK, "SbatLevel", b"sbat,1,2030010100\n"));
    of(&steps, |claims| {
        let what = "SbatLevel";
        assert_eq!(
            claims.sbat_level,
            Claim::Unproven(Unproven::Conflict { what })
        );
    });
    let mut steps = honest();
    steps.retain(|s| !s.data.windows(4).any(|w| w == b"sbat"));
    of(&steps, |claims| {
        assert_eq!(claims.sbat_level, Claim::Absent)
    });
    steps.push(authority(SHIM_LOCK, "SbatLevel", &[0, 1]));
    of(&steps, |claims| {
        let what = "SbatLevel";
        assert_eq!(
            claims.sbat_level,
            Claim::Unproven(Unproven::Malformed { what })
        );
    });
}

#[test]
fn the_padding_of_old_shim_is_covered_and_nothing_else_is() {
    let data = variable(SHIM_LOCK, "Shim", CERTIFICATE);
    let measured = [&data[..], &[0; 5]].concat();
    let logged = [&measured[..], &[0xaf]].concat();
    let mut steps = honest();
    steps.push(code(7, EV_EFI_VARIABLE_AUTHORITY, &measured, &logged));
    of(&steps, |claims| {
        let last = claims.authorities.proven().unwrap().last().unwrap();
        assert_eq!((last.name.as_str(), last.value), ("Shim", CERTIFICATE));
    });
    for padding in [&[0; 4][..], &[0; 6], &[0, 0, 0, 0, 1]] {
        let measured = [&data[..], padding].concat();
        let logged = [&measured[..], &[0xaf]].concat();
        steps.pop();
        steps.push(code(7, EV_EFI_VARIABLE_AUTHORITY, &measured, &logged));
        of(&steps, |claims| {
            assert!(claims.authorities.proven().is_none())
        });
    }
}

#[test]
fn a_legacy_log_proves_what_sha1_proves() {
    let sha1 = |data: &[u8]| HashAlg::Sha1.digest(&[data]);
    let variable = config("SecureBoot", &[1]).data;
    let mut log = eventlog::tests::legacy(
        7,
        EV_EFI_VARIABLE_DRIVER_CONFIG,
        &sha1(&variable),
        &variable,
    );
    log.extend(eventlog::tests::legacy(
        7,
        EV_SEPARATOR,
        &sha1(&[0; 4]),
        &[0; 4],
    ));
    let log = parse_any(&log).unwrap();
    let claims = claims_of_log(&log, HashAlg::Sha1).unwrap();
    assert_eq!(
        claims.unauthenticated().secure_boot,
        Claim::Proven(SecureBoot::Enabled)
    );
}
