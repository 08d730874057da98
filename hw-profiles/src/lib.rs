//! Hardware classes as data: the strict TOML loader. The types and the digest are in `assay_protocol::class`.
#![forbid(unsafe_code)]

use assay_protocol::class::{ClassError, ValidClass};
use assay_protocol::settings::{self, Misread};
use std::path::{Path, PathBuf};

/// The class of the embedded test network (`make demo`).
pub const DEMO_CLASS: &str = include_str!("../classes/demo.toml");

/// Longest class file, in bytes.
const CLASS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a class is refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("hardware class {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// Longer than the cap.
    #[error("hardware class: {actual} bytes, at most {CLASS_BYTES_MAX} allowed")]
    Oversize {
        /// Its length.
        actual: usize,
    },
    /// Not the TOML expected: an unknown, missing or mistyped key.
    #[error("hardware class: {0}")]
    Toml(#[from] Misread),
    /// Well-formed, but it contradicts itself or asks for what cannot be proven.
    #[error(transparent)]
    Class(#[from] ClassError),
}

/// Parses and validates one class.
pub fn parse(text: &str) -> Result<ValidClass, LoadError> {
    if text.len() > CLASS_BYTES_MAX {
        return Err(LoadError::Oversize { actual: text.len() });
    }
    Ok(ValidClass::new(settings::from_toml(text)?)?)
}

/// Loads one class file.
pub fn load(path: &Path) -> Result<ValidClass, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::File {
        path: path.to_owned(),
        source,
    })?;
    parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_class_is_valid_and_its_digest_covers_the_reference_values() {
        let class = parse(DEMO_CLASS).unwrap();
        assert_eq!(class.attestation.tier_min, 1);
        let pinned: Vec<u8> = class.attestation.pcrs.iter().map(|pcr| pcr.index).collect();
        assert_eq!(pinned, (0..=7).collect::<Vec<u8>>());
        let mut other = class.clone().into_class();
        other.attestation.pcrs[4].allowed[0].0[0] ^= 1;
        assert_ne!(other.digest(), class.digest());
    }

    /// The README's example of every attestation section, behind the head of the demonstration class.
    #[test]
    fn the_class_in_the_readme_loads() {
        let readme = include_str!("../../README.md");
        let blocks = readme.split("```toml\n").skip(1);
        let blocks = blocks.filter_map(|block| block.split("```").next());
        let sections: Vec<&str> = blocks
            .filter(|block| block.starts_with("[attestation]"))
            .collect();
        let [sections] = sections.as_slice() else {
            panic!("expected one example, got {}", sections.len());
        };
        let (head, _) = DEMO_CLASS.split_once("[attestation]").unwrap();
        let class = parse(&[head, sections].concat()).unwrap();
        let policy = &class.attestation;
        assert!(policy.boot.is_some() && policy.image.is_some() && policy.ima.is_some());
        assert_eq!((policy.tier_min, policy.chassis.is_some()), (3, true));
    }

    #[test]
    fn unknown_missing_and_impossible_values_are_named() {
        let cases = [
            ("schema = 2", "schema = 2\nsurprise = 2", "surprise"),
            ("chase_lanes = 4\n", "", "chase_lanes"),
            ("schema = 2", "schema = 1", "schema"),
            ("tier_min = 1", "tier_min = 4", "tier_min"),
            ("tier_min = 1", "tier_min = 2", "an image or an ima section"),
            ("region_blocks = 4096", "region_blocks = 4095", "blocks"),
            ("slash_bps = 1000", "slash_bps = 10001", "slash_bps"),
            (
                "availability_ppm = 950000",
                "availability_ppm = 1000001",
                "availability_ppm",
            ),
        ];
        for (from, to, name) in cases {
            assert!(DEMO_CLASS.contains(from), "{from}");
            let error = parse(&DEMO_CLASS.replacen(from, to, 1))
                .unwrap_err()
                .to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
        assert!(matches!(
            parse(&" ".repeat(CLASS_BYTES_MAX + 1)),
            Err(LoadError::Oversize { .. })
        ));
    }
}
