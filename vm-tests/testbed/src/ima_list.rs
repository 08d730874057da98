//! An IMA measurement list as Linux keeps it with `ima_template=ima-ng` and a SHA-256 PCR bank
//! (security/integrity/ima/ima_template.c and ima_queue.c), and what it leaves in PCR 10.

use crate::Swtpm;
use anyhow::Result;
use assay_protocol::hash::{digest, sha256};
use assay_protocol::ids::Digest;
use aws_lc_rs::digest as aws;
use std::path::{Path, PathBuf};

/// The register of the list.
pub const PCR: u8 = 10;
const TEMPLATE: &[u8] = b"ima-ng";

/// One measured file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImaEntry {
    /// Its path, or `boot_aggregate`.
    pub name: String,
    /// SHA-256 of its content.
    pub digest: [u8; 32],
}

impl ImaEntry {
    /// An entry for a file of this content.
    pub fn of_content(name: &str, content: &[u8]) -> Self {
        Self {
            name: name.into(),
            digest: sha256(&[content]),
        }
    }

    /// The template data: digest with its algorithm, then the name, each with its length.
    fn template_data(&self) -> Vec<u8> {
        let digest = [&b"sha256:\0"[..], &self.digest].concat();
        let name = [self.name.as_bytes(), &[0]].concat();
        [&length(&digest)[..], &digest, &length(&name), &name].concat()
    }

    fn encode(&self) -> Vec<u8> {
        let data = self.template_data();
        let hash = aws::digest(&aws::SHA1_FOR_LEGACY_USE_ONLY, &data);
        [
            &u32::from(PCR).to_le_bytes()[..],
            hash.as_ref(),
            &length(TEMPLATE),
            TEMPLATE,
            &length(&data),
            &data,
        ]
        .concat()
    }
}

/// The list of one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImaList {
    /// Its entries, `boot_aggregate` first.
    pub entries: Vec<ImaEntry>,
}

impl ImaList {
    /// The list of a boot that left `pcrs` (0 to 14, SHA-256) and then ran `files`.
    pub fn new(pcrs: &[[u8; 32]], files: &[(&str, &[u8])]) -> Self {
        // Since Linux 5.8 the aggregate covers PCR 0 to 9.
        let values: Vec<&[u8]> = pcrs.iter().take(10).map(|pcr| &pcr[..]).collect();
        let aggregate = ImaEntry {
            name: "boot_aggregate".into(),
            digest: sha256(&values),
        };
        let files = files
            .iter()
            .map(|(name, content)| ImaEntry::of_content(name, content));
        Self {
            entries: [aggregate].into_iter().chain(files).collect(),
        }
    }

    /// `/sys/kernel/security/ima/binary_runtime_measurements`.
    pub fn encode(&self) -> Vec<u8> {
        self.entries.iter().flat_map(ImaEntry::encode).collect()
    }

    /// What PCR 10 of the SHA-256 bank is extended by, in order.
    pub fn extends(&self) -> impl Iterator<Item = [u8; 32]> {
        let entries = self.entries.iter();
        entries.map(|entry| sha256(&[&entry.template_data()]))
    }

    /// What the list leaves in PCR 10 of the SHA-256 bank.
    pub fn pcr(&self) -> Digest {
        let zero = Digest([0; 32]);
        self.extends().fold(zero, |pcr, by| digest(&[&pcr.0, &by]))
    }

    /// Boots on: extends the TPM with every entry. The connection is released before this returns.
    pub fn extend(&self, tpm: &Swtpm) -> Result<()> {
        let mut tpm = tpm.connect()?;
        self.extends().try_for_each(|by| tpm.extend(PCR, &by))
    }

    /// Writes the list and the number of its entries into `dir`, as the kernel shows them; yields the list's path.
    pub fn write(&self, dir: &Path) -> Result<PathBuf> {
        let path = dir.join("binary_runtime_measurements");
        std::fs::write(&path, self.encode())?;
        let count = format!("{}\n", self.entries.len());
        std::fs::write(dir.join("runtime_measurements_count"), count)?;
        Ok(path)
    }
}

fn length(bytes: &[u8]) -> [u8; 4] {
    (bytes.len() as u32).to_le_bytes()
}
