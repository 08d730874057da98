//! An IMA measurement list as Linux keeps it with `ima_template=ima-ng` and a SHA-256 PCR bank
//! (security/integrity/ima/ima_template.c and ima_queue.c), and what it leaves in PCR 10.

use assay_protocol::hash::{digest, sha256};
use assay_protocol::ids::Digest;
use aws_lc_rs::digest as aws;

const PCR: u32 = 10;
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
            &PCR.to_le_bytes()[..],
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

    /// What the list leaves in PCR 10 of the SHA-256 bank.
    pub fn pcr(&self) -> Digest {
        self.entries.iter().fold(Digest([0; 32]), |pcr, entry| {
            digest(&[&pcr.0, &sha256(&[&entry.template_data()])])
        })
    }
}

fn length(bytes: &[u8]) -> [u8; 4] {
    (bytes.len() as u32).to_le_bytes()
}
