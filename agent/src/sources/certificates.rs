//! The certificate table of configured files, for hosts that give their guests none.

use super::report::SourceError;
use assay_protocol::config::SnpCertificateFiles;
use assay_protocol::limits::SNP_CERTIFICATE_BYTES_MAX;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// GUIDs of the table's entries (GHCB specification 56421, section 4.1.8.1), most significant byte first.
const VCEK: u128 = 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd;
const ASK: u128 = 0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782;
const ARK: u128 = 0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae;
const ENTRY_BYTES: usize = 24;

/// A table without an entry: the one of zeros that ends each.
pub fn empty_table() -> Vec<u8> {
    vec![0; ENTRY_BYTES]
}

/// Reads the files into a table. They are certificates for all the agent knows: nothing is looked at.
pub fn table(files: &SnpCertificateFiles) -> Result<Vec<u8>, SourceError> {
    let contents = [(VCEK, &files.vcek), (ASK, &files.ask), (ARK, &files.ark)]
        .map(|(guid, path)| Ok((guid, content(path)?)));
    let contents: Vec<(u128, Vec<u8>)> = contents.into_iter().collect::<Result<_, _>>()?;
    let ended = contents.len().saturating_add(1);
    let mut offset = ended.saturating_mul(ENTRY_BYTES);
    let mut table = Vec::new();
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    for (guid, content) in &contents {
        table.extend_from_slice(&guid.to_be_bytes());
        table.extend_from_slice(&number(offset));
        table.extend_from_slice(&number(content.len()));
        offset = offset.saturating_add(content.len());
    }
    table.extend_from_slice(&empty_table());
    contents
        .iter()
        .for_each(|(_, content)| table.extend(content));
    Ok(table)
}

fn content(path: &Path) -> Result<Vec<u8>, SourceError> {
    let failed = |source| SourceError::File {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let capped = u64::try_from(SNP_CERTIFICATE_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.take(capped).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() {
        1..=SNP_CERTIFICATE_BYTES_MAX => Ok(bytes),
        0 => Err(unexpected(path, "an empty file")),
        _ => Err(unexpected(path, "a longer file")),
    }
}

fn unexpected(path: &Path, actual: &str) -> SourceError {
    SourceError::Unexpected {
        path: path.to_owned(),
        expected: format!("a certificate of 1 to {SNP_CERTIFICATE_BYTES_MAX} bytes"),
        actual: actual.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_testbed::snp::{Certificates, Chip, Product, cert_table};

    fn files(dir: &Path) -> SnpCertificateFiles {
        SnpCertificateFiles {
            vcek: dir.join("vcek"),
            ask: dir.join("ask"),
            ark: dir.join("ark"),
        }
    }

    #[test]
    fn files_make_the_table_a_host_would_give() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let vcek = Chip::new(Product::Genoa).vcek();
        let issuers = Certificates::of(Product::Genoa);
        std::fs::write(&files.vcek, &vcek).unwrap();
        std::fs::write(&files.ask, &issuers.ask).unwrap();
        std::fs::write(&files.ark, &issuers.ark).unwrap();
        assert_eq!(table(&files).unwrap(), cert_table(&issuers, &vcek));
    }

    #[test]
    fn a_file_that_is_missing_empty_or_too_long_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        std::fs::write(&files.vcek, vec![1; SNP_CERTIFICATE_BYTES_MAX]).unwrap();
        std::fs::write(&files.ask, b"ask").unwrap();
        let said = || table(&files).unwrap_err().to_string();
        assert!(said().contains("ark: No such file"), "{}", said());
        std::fs::write(&files.ark, b"").unwrap();
        assert!(said().ends_with("got an empty file"), "{}", said());
        std::fs::write(&files.ark, vec![1; SNP_CERTIFICATE_BYTES_MAX + 1]).unwrap();
        assert!(said().ends_with("got a longer file"), "{}", said());
        std::fs::write(&files.ark, b"ark").unwrap();
        assert!(table(&files).is_ok());
    }
}
