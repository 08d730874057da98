//! PCRs 8, 11, 12 and 14 under attack.

use super::*;

#[test]
fn strings_of_boot_loaders_are_covered_in_the_forms_that_loaders_use() {
    let at = find(&honest(), 8, EV_IPL);
    let strings = |measured: &[u8], data: &[u8]| {
        let mut steps = honest();
        steps[at] = code(8, EV_IPL, measured, data);
        of(&steps, |claims| {
            let list = claims.loader_strings.proven()?;
            Some((list[0].unproven_prefix.clone(), list[0].string.to_vec()))
        })
    };
    let grub = |prefix: &str, string: &str| Some((prefix.to_owned(), string.as_bytes().to_vec()));
    assert_eq!(
        strings(b"set a=1", b"grub_cmd: set a=1\0"),
        grub("grub_cmd: ", "set a=1")
    );
    assert_eq!(
        strings(b"set a=1\0", b"grub_cmd set a=1\0"),
        grub("grub_cmd ", "set a=1")
    );
    assert_eq!(
        strings(b"k ro", b"grub_kernel_cmdline k ro"),
        grub("grub_kernel_cmdline ", "k ro")
    );
    assert_eq!(strings(b"a\0\0", b"a\0"), grub("", "a"));
    assert_eq!(strings(b"whole", b"whole"), grub("", "whole"));
    assert_eq!(strings(b"a=1", b"other_prefix: a=1\0"), None);
    assert_eq!(strings(b"set a=2", b"grub_cmd: set a=1\0"), None);
    let mut steps = honest();
    steps[at].kind = EV_EVENT_TAG;
    of(&steps, |claims| {
        assert!(claims.loader_strings.proven().is_none())
    });
}

#[test]
fn sections_are_pairs_of_a_known_name_and_a_content() {
    let name = find(&honest(), 11, EV_IPL);
    let broken = |change: &dyn Fn(&mut Vec<Step>)| {
        let mut steps = honest();
        change(&mut steps);
        of(&steps, |claims| {
            assert!(claims.uki_sections.proven().is_none())
        });
    };
    broken(&|steps| drop(steps.remove(name)));
    broken(&|steps| drop(steps.remove(name + 1)));
    broken(&|steps| steps.push(step(11, EV_IPL, b".osrel\0")));
    broken(&|steps| steps[name] = step(11, EV_IPL, b".other\0"));
    broken(&|steps| steps[name].measured = b".osrel\0".to_vec());
    broken(&|steps| steps[name].kind = EV_EVENT_TAG);
    broken(&|steps| steps[name + 1].kind = EV_EVENT_TAG);
    // Older systemd shows names in UTF-16; a content that is a name stays a content.
    let mut steps = honest();
    steps[name].data = utf16(".linux\0");
    steps[name + 1].measured = b".osrel\0".to_vec();
    of(&steps, |claims| {
        let sections = claims.uki_sections.proven().unwrap();
        assert_eq!((sections.len(), sections[0].name), (1, ".linux"));
    });
    steps.retain(|s| s.pcr != 11);
    of(&steps, |claims| {
        assert_eq!(claims.uki_sections, Claim::Absent)
    });
}

#[test]
fn no_command_line_is_hidden_from_pcr_12() {
    let at = find(&honest(), 12, EV_IPL);
    for kind in KINDS.into_iter().filter(|kind| *kind != EV_IPL) {
        let mut steps = honest();
        steps[at].kind = kind;
        of(&steps, |claims| {
            assert!(claims.command_lines.proven().is_none(), "{kind:#x}")
        });
    }
    let mut steps = honest();
    steps[at].data = utf16("root=/dev/sda1 rw\0");
    of(&steps, |claims| {
        assert!(claims.command_lines.proven().is_none())
    });
    let mut steps = honest();
    steps.push(step(12, EV_IPL, &utf16("init=/bin/sh\0")));
    of(&steps, |claims| {
        assert_eq!(claims.command_lines.proven().unwrap().len(), 2)
    });
}

#[test]
fn other_events_in_shims_register_are_not_passed_over() {
    let mut steps = honest();
    let at = find(&steps, 14, EV_IPL);
    steps[at].kind = EV_EVENT_TAG;
    of(&steps, |claims| {
        assert!(claims.mok.proven().is_none() && claims.mok != Claim::Absent)
    });
}
