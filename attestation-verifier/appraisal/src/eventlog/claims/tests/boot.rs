//! PCRs 0, 1, 4 and 5 under attack.

use super::*;

#[test]
fn an_image_cannot_hide_behind_another_label() {
    let at = find(&honest(), 4, EV_EFI_BOOT_SERVICES_APPLICATION);
    for kind in KINDS.into_iter().filter(|kind| !IMAGES.contains(kind)) {
        // The digest's preimage is known: the image, without its signature.
        for data in [SHIM.to_vec(), b"an action".to_vec(), load_event("x")] {
            let mut steps = honest();
            steps[at].kind = kind;
            steps[at].data = data;
            of(&steps, |claims| {
                assert!(claims.images.proven().is_none(), "{kind:#x}");
                assert!(claims.boot_actions.proven().is_none(), "{kind:#x}");
            });
        }
    }
    for kind in IMAGES {
        let mut steps = honest();
        steps[at].kind = kind;
        steps[at].data = b"\xff".to_vec();
        of(&steps, |claims| {
            let image = &claims.images.proven().unwrap()[0];
            assert_eq!(
                (image.digest.0, &image.unproven_path),
                (&BANK.digest(&[SHIM])[..], &None)
            );
        });
    }
}

const IMAGES: [u32; 3] = [
    EV_EFI_BOOT_SERVICES_APPLICATION,
    EV_EFI_BOOT_SERVICES_DRIVER,
    EV_EFI_RUNTIME_SERVICES_DRIVER,
];

#[test]
fn without_a_separator_nothing_lies_before_it() {
    let before = |steps: &[Step]| of(steps, |c| c.drivers.proven().unwrap()[0].before_separator);
    let mut steps = honest();
    assert!(before(&steps));
    steps.retain(|s| s.pcr != 2 || s.kind != EV_SEPARATOR);
    assert!(!before(&steps));
}

#[test]
fn a_boot_order_whose_name_is_not_covered_is_unproven() {
    let mut steps = honest();
    let at = find(&steps, 1, EV_EFI_VARIABLE_BOOT2);
    steps[at].measured = vec![1, 0, 0, 0];
    of(&steps, |claims| {
        let (event, what) = (at + 1, "BootOrder");
        let reason = Unproven::NameNotCovered { event, what };
        assert_eq!(claims.boot_order, Claim::Unproven(reason));
        let variable = &claims.boot_variables.proven().unwrap()[0];
        assert_eq!(
            (variable.name_is, variable.value.0),
            (Name::Label, &[1, 0, 0, 0][..])
        );
    });
    // The error separator's bytes are no error here, and a hidden separator ends nothing.
    let separator = find(&steps, 1, EV_SEPARATOR);
    let mut hidden = steps.clone();
    hidden[separator].kind = EV_EFI_VARIABLE_BOOT;
    of(&hidden, |claims| {
        assert_eq!(claims.separators[&1], Claim::Absent);
        assert!(claims.boot_order.proven().is_none());
    });
    // An owner who makes the value of another variable read as a boot order, and shows it as one.
    let crafted = variable(GLOBAL_VARIABLE, "BootOrder", &[7, 0]);
    steps[at + 1] = step(1, EV_EFI_VARIABLE_BOOT, &crafted);
    of(&steps, |claims| {
        assert!(claims.boot_order.proven().is_none())
    });
    // Hiding the true one behind another label does not help.
    steps[at].kind = 0x8000_0009;
    of(&steps, |claims| {
        assert!(claims.boot_order.proven().is_none())
    });
}

#[test]
fn boot_orders_are_single_whole_and_before_the_separator() {
    let at = find(&honest(), 1, EV_EFI_VARIABLE_BOOT2);
    let order = |value: &[u8]| {
        let data = variable(GLOBAL_VARIABLE, "BootOrder", value);
        step(1, EV_EFI_VARIABLE_BOOT2, &data)
    };
    let claim = |steps: &[Step]| of(steps, |claims| claims.boot_order);
    let what = "BootOrder";
    let mut steps = honest();
    steps[at] = order(&[1, 0, 0]);
    assert_eq!(claim(&steps), Claim::Unproven(Unproven::Malformed { what }));
    let mut steps = honest();
    steps.insert(at, order(&[2, 0]));
    assert_eq!(claim(&steps), Claim::Unproven(Unproven::Conflict { what }));
    let mut steps = honest();
    before_separator(
        &mut steps,
        Step {
            pcr: 5,
            ..order(&[1, 0, 0, 0])
        },
    );
    assert_eq!(claim(&steps), Claim::Unproven(Unproven::Conflict { what }));
    let mut steps = honest();
    let late = steps.remove(at);
    steps.push(late);
    assert_eq!(
        claim(&steps),
        Claim::Unproven(Unproven::NotFound { what, pcr: 1 })
    );
    let mut steps = honest();
    steps.retain(|s| s.kind != EV_EFI_VARIABLE_BOOT2);
    assert_eq!(claim(&steps), Claim::Absent);
    let mut steps = honest();
    steps[at].kind = EV_EFI_VARIABLE_DRIVER_CONFIG;
    assert!(matches!(
        claim(&steps),
        Claim::Unproven(Unproven::Relabelled { .. })
    ));
}

#[test]
fn firmware_versions_are_covered_single_and_of_the_firmware() {
    let at = find(&honest(), 0, EV_S_CRTM_VERSION);
    let claim = |steps: &[Step]| {
        of(steps, |claims| {
            serde_json::to_value(claims.firmware_version).unwrap()
        })
    };
    let mut steps = honest();
    for (data, expected) in [
        (&[0, 0][..], serde_json::json!({"text": ""})),
        (b"N1429 ", serde_json::json!({"text": "N1429"})),
        (
            &[1; 16],
            serde_json::json!({"guid": "01010101-0101-0101-0101-010101010101"}),
        ),
        (&[1; 15], serde_json::json!({"bytes": "01".repeat(15)})),
    ] {
        steps[at] = step(0, EV_S_CRTM_VERSION, data);
        assert_eq!(claim(&steps)["proven"], expected);
    }
    steps[at].measured = b"something else".to_vec();
    assert!(claim(&steps)["proven"].is_null());
    let mut steps = honest();
    steps.insert(at, step(0, EV_S_CRTM_VERSION, b"Firmware 2"));
    assert!(claim(&steps)["proven"].is_null());
    let mut steps = honest();
    steps.insert(at, steps[at].clone());
    assert_eq!(claim(&steps), claim(&honest()), "the same said twice");
    let mut steps = honest();
    before_separator(&mut steps, code(0, 0x40e, b"x", b"y"));
    assert!(claim(&steps)["proven"].is_null());
    let mut steps = honest();
    let late = steps.remove(at);
    steps.push(late);
    assert!(
        claim(&steps)["unproven"]
            .as_str()
            .unwrap()
            .contains("no event says")
    );
    assert_eq!(claim(&[]), "absent");
}

#[test]
fn the_end_of_boot_services_is_told_by_its_text() {
    let exit = |steps: &[Step]| of(steps, |claims| claims.exit_boot_services);
    let invoked = find(&honest(), 5, EV_EFI_ACTION);
    let mut steps = honest();
    steps[invoked].kind = EV_IPL;
    assert!(matches!(
        exit(&steps),
        Claim::Unproven(Unproven::Relabelled { .. })
    ));
    let mut steps = honest();
    steps.remove(invoked);
    let found = exit(&steps);
    assert!(
        found
            .proven()
            .is_some_and(|exit| !exit.invoked && exit.succeeded)
    );
    let mut steps = honest();
    steps.truncate(invoked);
    assert_eq!(exit(&steps), Claim::Absent);
    steps.push(code(
        5,
        EV_EFI_ACTION,
        b"Exit Boot Services Invocation",
        b"x",
    ));
    assert!(matches!(
        exit(&steps),
        Claim::Unproven(Unproven::NotFound { pcr: 5, .. })
    ));
}
