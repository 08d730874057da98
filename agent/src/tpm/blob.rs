//! The attestation key's file: its public and its TPM-encrypted private area.
//!
//! Useless without the TPM that made it. Written whole or not at all.

use super::TpmError;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

const MAGIC: &[u8; 8] = b"ASSAYAK1";
const FILE_MAX: u64 = 4096;

/// TPMT_PUBLIC and the content of TPM2B_PRIVATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AkBlob {
    pub public: Vec<u8>,
    pub private: Vec<u8>,
}

impl AkBlob {
    /// Reads `path`; `None` when there is no such file.
    pub fn load(path: &Path) -> Result<Option<Self>, TpmError> {
        let io = |source| TpmError::BlobIo {
            path: path.into(),
            source,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        let damaged = |reason| TpmError::BlobDamaged {
            path: path.into(),
            reason,
        };
        Self::decode(&bytes).map(Some).map_err(damaged)
    }

    /// Writes `path` with mode 0600: temporary file, fsync, rename, fsync of the directory.
    pub fn store(&self, path: &Path) -> Result<(), TpmError> {
        crate::durable::replace(path, 0o600, &self.encode()).map_err(|source| TpmError::BlobIo {
            path: path.into(),
            source,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for part in [&self.public, &self.private] {
            out.extend((part.len() as u32).to_be_bytes());
            out.extend(part);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() as u64 > FILE_MAX {
            return Err("longer than 4096 bytes");
        }
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or("does not start with ASSAYAK1")?;
        let (public, rest) = part(rest).ok_or("public area cut short")?;
        let (private, rest) = part(rest).ok_or("private area cut short")?;
        if !rest.is_empty() {
            return Err("trailing bytes");
        }
        Ok(Self {
            public: public.to_vec(),
            private: private.to_vec(),
        })
    }
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn blob() -> AkBlob {
        AkBlob {
            public: vec![1; 90],
            private: vec![2; 160],
        }
    }

    #[test]
    fn stored_private_to_the_owner_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ak.blob");
        assert_eq!(AkBlob::load(&path).unwrap(), None);
        blob().store(&path).unwrap();
        blob().store(&path).unwrap();
        assert_eq!(AkBlob::load(&path).unwrap(), Some(blob()));
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_cut_extension_and_foreign_start_is_refused() {
        let bytes = blob().encode();
        for length in 0..bytes.len() {
            assert!(AkBlob::decode(&bytes[..length]).is_err(), "{length}");
        }
        assert_eq!(
            AkBlob::decode(&[&bytes[..], &[0]].concat()),
            Err("trailing bytes")
        );
        assert!(AkBlob::decode(&vec![0; 5000]).unwrap_err().contains("4096"));
        assert!(
            AkBlob::decode(&vec![0; 300])
                .unwrap_err()
                .contains("ASSAYAK1")
        );
    }
}
