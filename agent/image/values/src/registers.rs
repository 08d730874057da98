//! PCR 4 and PCR 11 of a boot of one unified kernel image from a disk.

use crate::pe::Pe;
use anyhow::{Context as _, Result};
use assay_protocol::hash::sha256;

/// TCG PC Client Platform Firmware Profile 1.05, section 3.3.4.5: before the first boot option is tried.
const CALLING: &[u8] = b"Calling EFI Application from Boot Option";
/// EV_SEPARATOR of a boot without error.
const SEPARATOR: [u8; 4] = [0; 4];
/// The section that holds the kernel, which is an image of its own.
const KERNEL: &str = ".linux";
/// Sections that systemd-stub measures, in its order (systemd 252, src/fundamental/tpm-pcr.h and
/// src/boot/efi/stub.c): each by its name with the ending NUL, then by its data.
const SECTIONS: [&str; 7] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".pcrpkey",
];

/// PCR 4: the firmware's events around the one boot application, with Secure Boot and without.
///
/// systemd-stub has the firmware load the kernel within the image. Under Secure Boot it answers for the kernel itself,
/// since the image's signature covers it, and so the firmware does not look at it; without, the firmware measures it.
fn boot_application(image: &Pe<'_>) -> Result<[[u8; 32]; 2]> {
    let application = image.authenticode()?;
    let kernel = Pe::parse(image.section(KERNEL).context("no section .linux")?).context(KERNEL)?;
    let with = [sha256(&[CALLING]), sha256(&[&SEPARATOR]), application];
    let without = with.into_iter().chain([kernel.authenticode()?]);
    Ok([extended(with), extended(without)])
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
pub fn class_lines(image: &Pe<'_>, command_line: &str) -> Result<String> {
    let pinned = [
        (4, boot_application(image)?.to_vec()),
        (11, vec![unified_kernel(image)]),
    ];
    let mut lines = String::new();
    for (index, values) in pinned {
        let values: Vec<String> = values.iter().map(hex::encode).collect();
        lines += &format!("[[attestation.pcrs]]\nindex = {index}\nallowed = {values:?}\n\n");
    }
    Ok(lines + &format!("[attestation.image]\ncommand_lines = [{command_line:?}]\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pe::testing::image;

    const LINE: &str =
        "roothash=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a ro";

    fn unified(line: &str, initrd: &[u8], kernel: &[u8]) -> Vec<u8> {
        image(&[
            (".initrd", initrd),
            (".cmdline", line.as_bytes()),
            (".linux", kernel),
        ])
    }

    fn kernel(code: &[u8]) -> Vec<u8> {
        image(&[(".text", code)])
    }

    /// By hand from systemd's order, whatever the order in the file.
    #[test]
    fn sections_are_measured_by_name_and_data_in_the_stub_s_order() {
        let bytes = unified(LINE, b"initial", b"kernel");
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
    fn each_part_changes_the_registers() {
        let values = |line, initrd, code| {
            let bytes = unified(line, initrd, &kernel(code));
            let image = Pe::parse(&bytes).unwrap();
            let [with, without] = boot_application(&image).unwrap();
            [with, without, unified_kernel(&image)]
        };
        let published = values(LINE, b"initial", b"code");
        assert_ne!(published[0], published[1]);
        for other in [
            values("quiet", b"initial", b"code"),
            values(LINE, b"another", b"code"),
            values(LINE, b"initial", b"other"),
        ] {
            for (other, published) in other.iter().zip(&published) {
                assert_ne!(other, published);
            }
        }
    }

    #[test]
    fn an_image_without_a_kernel_has_no_values() {
        for bytes in [
            image(&[(".cmdline", LINE.as_bytes())]),
            unified(LINE, b"initial", b"no PE"),
        ] {
            let error = class_lines(&Pe::parse(&bytes).unwrap(), LINE).unwrap_err();
            assert!(error.to_string().contains(".linux"), "{error}");
        }
    }

    #[test]
    fn the_lines_complete_a_class() {
        let demo = assay_hw_profiles::DEMO_CLASS;
        let (promise, _) = demo.split_once("[[attestation.pcrs]]").unwrap();
        let bytes = unified(LINE, b"initial", &kernel(b"code"));
        let lines = class_lines(&Pe::parse(&bytes).unwrap(), LINE).unwrap();
        let text = promise.replace("tier_min = 1", "tier_min = 2") + &lines;
        let class = assay_hw_profiles::parse(&text).unwrap();
        assert_eq!(class.attestation.pcrs[0].allowed.len(), 2);
        assert_eq!(class.attestation.pcrs[1].allowed.len(), 1);
    }
}
