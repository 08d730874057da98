//! PCR 4 and PCR 11 of a boot of one unified kernel image from a disk.

use crate::pe::Pe;
use assay_protocol::hash::sha256;

/// TCG PC Client Platform Firmware Profile 1.05, section 3.3.4.5: before the first boot option is tried.
const CALLING: &[u8] = b"Calling EFI Application from Boot Option";
/// EV_SEPARATOR of a boot without error.
const SEPARATOR: [u8; 4] = [0; 4];
/// Sections that systemd-stub measures, in its order (systemd 252, src/fundamental/tpm-pcr.h and
/// src/boot/efi/stub.c): each by its name with the ending NUL, then by its data.
const SECTIONS: [&str; 7] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".pcrpkey",
];

/// PCR 4: the firmware's events around the one boot application.
fn boot_application(image: &Pe<'_>) -> [u8; 32] {
    let application = image.authenticode().unwrap_or_default();
    extended([sha256(&[CALLING]), sha256(&[&SEPARATOR]), application])
}

/// PCR 11: the image's sections.
fn unified_kernel(image: &Pe<'_>) -> [u8; 32] {
    extended(
        SECTIONS
            .iter()
            .filter_map(|name| Some((name, image.section(name)?)))
            .flat_map(|(name, data)| [sha256(&[name.as_bytes(), &[0]]), sha256(&[data])]),
    )
}

fn extended(digests: impl IntoIterator<Item = [u8; 32]>) -> [u8; 32] {
    digests
        .into_iter()
        .fold([0; 32], |value, digest| sha256(&[&value, &digest]))
}

/// The lines of a class that only this image satisfies, as its `[attestation.image]` way to tier 2.
pub fn class_lines(image: &Pe<'_>, command_line: &str) -> String {
    let pinned = [(4, boot_application(image)), (11, unified_kernel(image))];
    let mut lines = String::new();
    for (index, value) in pinned {
        let value = hex::encode(value);
        lines += &format!("[[attestation.pcrs]]\nindex = {index}\nallowed = [\"{value}\"]\n\n");
    }
    lines + &format!("[attestation.image]\ncommand_lines = [{command_line:?}]\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pe::testing::image;

    const LINE: &str =
        "roothash=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a ro";

    fn kernel<'a>(line: &'a str, initrd: &'a [u8]) -> Vec<(&'a str, &'a [u8])> {
        vec![
            (".initrd", initrd),
            (".cmdline", line.as_bytes()),
            (".linux", b"kernel"),
        ]
    }

    /// By hand from systemd's order, whatever the order in the file.
    #[test]
    fn sections_are_measured_by_name_and_data_in_the_stub_s_order() {
        let bytes = image(&kernel(LINE, b"initial"));
        let parts: [&[u8]; 6] = [
            b".linux\0",
            b"kernel",
            b".cmdline\0",
            LINE.as_bytes(),
            b".initrd\0",
            b"initial",
        ];
        let expected = extended(parts.map(|part| sha256(&[part])));
        assert_eq!(unified_kernel(&Pe::parse(&bytes).unwrap()), expected);
    }

    #[test]
    fn each_part_changes_a_register() {
        let values = |line, initrd| {
            let bytes = image(&kernel(line, initrd));
            let image = Pe::parse(&bytes).unwrap();
            [boot_application(&image), unified_kernel(&image)]
        };
        let published = values(LINE, b"initial");
        for other in [values("quiet", b"initial"), values(LINE, b"another")] {
            assert_ne!(other[0], published[0]);
            assert_ne!(other[1], published[1]);
        }
    }

    #[test]
    fn the_lines_complete_a_class() {
        let demo = assay_hw_profiles::DEMO_CLASS;
        let (promise, _) = demo.split_once("[[attestation.pcrs]]").unwrap();
        let bytes = image(&kernel(LINE, b"initial"));
        let lines = class_lines(&Pe::parse(&bytes).unwrap(), LINE);
        let text = promise.replace("tier_min = 1", "tier_min = 2") + &lines;
        let class = assay_hw_profiles::parse(&text).unwrap();
        assert_eq!(class.attestation.pcrs.len(), 2);
    }
}
