//! Signed checkpoints of a log: C2SP `tlog-checkpoint` in a `signed-note` with Ed25519 signatures.
//!
//! ```text
//! <origin>\n<size, decimal>\n<root, Base64>\n\n— <key name> <Base64(key hash u32 ‖ signature)>\n
//! ```
//!
//! The key name is the origin; key hash = first 4 bytes of SHA-256(name ‖ `\n` ‖ 0x01 ‖ public key).
//! Stricter than C2SP in one place: the body has exactly three lines, since nothing here reads extensions.
//! Signatures of other keys (cosignatures) may follow or precede; they are neither checked nor trusted.

use crate::base64;
use assay_protocol::hash;
use assay_protocol::ids::{Digest, HyperNodeId, NetworkId};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

/// Longest note read, in bytes.
pub const NOTE_LEN_MAX: usize = 8 * 1024;
/// Most signature lines read.
pub const SIGNATURES_MAX: usize = 64;

const ALGORITHM_ED25519: u8 = 1;
const SIGNATURE_PREFIX: &str = "— ";

/// Why a note is not a checkpoint of this log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Too long to be read.
    #[error("checkpoint: expected at most {NOTE_LEN_MAX} bytes, got {0}")]
    TooLong(usize),
    /// Not text, or no blank line between body and signatures, or a malformed line.
    #[error("checkpoint: malformed {0}")]
    Malformed(&'static str),
    /// More signature lines than are read.
    #[error("checkpoint: expected at most {SIGNATURES_MAX} signatures, got {0}")]
    TooManySignatures(usize),
    /// A checkpoint of another log.
    #[error("checkpoint origin: expected {expected:?}, got {actual:?}")]
    Origin {
        /// Origin of the log asked for.
        expected: String,
        /// Origin in the note.
        actual: String,
    },
    /// No signature line, or several, by the log's key.
    #[error(
        "checkpoint: expected exactly one signature by {key_name} with key hash {key_hash:08x}, got {actual}"
    )]
    SignatureCount {
        /// Name of the key.
        key_name: String,
        /// Hash of name and key.
        key_hash: u32,
        /// Lines found.
        actual: usize,
    },
    /// The signature does not verify over the received body.
    #[error("checkpoint: the Ed25519 signature by {0} does not verify")]
    Signature(String),
    /// The origin cannot be a key name.
    #[error("checkpoint origin {0:?}: expected 1 to 200 visible ASCII characters without '+'")]
    OriginName(String),
}

/// What a log states: its origin, size and root. To be signed; a received one is a [`VerifiedCheckpoint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log, unique to one HyperNode of one network: see [`origin`].
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// RFC 9162 root over them.
    pub root: Digest,
}

/// A checkpoint whose origin and signature were checked against an expected log key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    statement: Checkpoint,
    signature: [u8; 64],
}

/// The origin of a HyperNode's log: `assay/log/1/<network id>/<HyperNode id>` in hexadecimal.
pub fn origin(network: &NetworkId, hypernode: &HyperNodeId) -> String {
    format!("assay/log/1/{network}/{hypernode}")
}

impl Checkpoint {
    /// The signed bytes: three lines, each ended by a line feed.
    pub fn body(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            base64::encode(&self.root.0)
        )
    }

    fn parse(body: &str) -> Result<Self, CheckpointError> {
        use CheckpointError::Malformed;
        let lines: Vec<&str> = body
            .strip_suffix('\n')
            .unwrap_or(body)
            .split('\n')
            .collect();
        let [origin, size, root] = lines[..] else {
            return Err(Malformed("body: not 3 lines"));
        };
        let number: u64 = size.parse().map_err(|_| Malformed("size"))?;
        let root = base64::decode(root).ok_or(Malformed("root: not Base64"))?;
        let root =
            Digest::try_from(root.as_slice()).map_err(|_| Malformed("root: not 32 bytes"))?;
        let parsed = Self {
            origin: origin.to_owned(),
            size: number,
            root,
        };
        // Leading zeros and signs parse as numbers but are another spelling.
        if parsed.body() == body {
            Ok(parsed)
        } else {
            Err(Malformed("body: not canonical"))
        }
    }
}

impl VerifiedCheckpoint {
    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.statement.size
    }

    /// Root over them.
    pub fn root(&self) -> Digest {
        self.statement.root
    }

    /// The whole statement.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.statement
    }

    /// The log's own Ed25519 signature over [`Checkpoint::body`].
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

/// Signs a checkpoint: `sign` gets the body's bytes and returns the raw Ed25519 signature by `key`.
pub fn sign_checkpoint(
    checkpoint: &Checkpoint,
    key: &HyperNodeId,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) -> Result<String, CheckpointError> {
    check_name(&checkpoint.origin)?;
    let body = checkpoint.body();
    let mut line = key_hash(&checkpoint.origin, key).to_be_bytes().to_vec();
    line.extend(sign(body.as_bytes()));
    let signature = base64::encode(&line);
    Ok(format!(
        "{body}\n{SIGNATURE_PREFIX}{} {signature}\n",
        checkpoint.origin
    ))
}

/// Reads a note and checks its origin and its one signature by `key` over the received body.
pub fn verify_checkpoint(
    note: &[u8],
    origin: &str,
    key: &HyperNodeId,
) -> Result<VerifiedCheckpoint, CheckpointError> {
    check_name(origin)?;
    let (body, signatures) = split_note(note)?;
    let signature = own_signature(signatures, origin, key_hash(origin, key))?;
    let checkpoint = Checkpoint::parse(body)?;
    if checkpoint.origin != origin {
        let (expected, actual) = (origin.to_owned(), checkpoint.origin);
        return Err(CheckpointError::Origin { expected, actual });
    }
    let refused = || CheckpointError::Signature(origin.to_owned());
    UnparsedPublicKey::new(&ED25519, key.as_bytes())
        .verify(body.as_bytes(), &signature)
        .map_err(|_| refused())?;
    Ok(VerifiedCheckpoint {
        statement: checkpoint,
        signature: signature.try_into().map_err(|_| refused())?,
    })
}

/// First four bytes of SHA-256(name ‖ `\n` ‖ 0x01 ‖ public key), big-endian (C2SP signed-note).
pub fn key_hash(name: &str, key: &HyperNodeId) -> u32 {
    let full = hash::sha256(&[name.as_bytes(), b"\n", &[ALGORITHM_ED25519], key.as_bytes()]);
    full.first_chunk()
        .map_or(0, |head| u32::from_be_bytes(*head))
}

fn check_name(name: &str) -> Result<(), CheckpointError> {
    let visible = name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'+');
    if visible && (1..=200).contains(&name.len()) {
        return Ok(());
    }
    Err(CheckpointError::OriginName(
        name.chars().take(200).collect(),
    ))
}

/// Body (with its last line feed) and signature lines (each ended by a line feed).
fn split_note(note: &[u8]) -> Result<(&str, &str), CheckpointError> {
    use CheckpointError::Malformed;
    if note.len() > NOTE_LEN_MAX {
        return Err(CheckpointError::TooLong(note.len()));
    }
    let text = str::from_utf8(note).map_err(|_| Malformed("text: not UTF-8"))?;
    let blank = text.rfind("\n\n").ok_or(Malformed("note: no blank line"))?;
    let (body, rest) = text.split_at(blank.saturating_add(1));
    let signatures = rest.strip_prefix('\n').unwrap_or(rest);
    let signatures = signatures
        .strip_suffix('\n')
        .ok_or(Malformed("note: no final line feed"))?;
    Ok((body, signatures))
}

fn own_signature(lines: &str, name: &str, hash: u32) -> Result<Vec<u8>, CheckpointError> {
    let count = lines.split('\n').count();
    if count > SIGNATURES_MAX {
        return Err(CheckpointError::TooManySignatures(count));
    }
    let mut own = Vec::new();
    for line in lines.split('\n') {
        let (signer, signer_hash, signature) =
            signature_line(line).ok_or(CheckpointError::Malformed("signature line"))?;
        if signer == name && signer_hash == hash {
            own.push(signature);
        }
    }
    match (own.len(), own.pop()) {
        (1, Some(signature)) => Ok(signature),
        (actual, _) => {
            let key_name = name.to_owned();
            Err(CheckpointError::SignatureCount {
                key_name,
                key_hash: hash,
                actual,
            })
        }
    }
}

fn signature_line(line: &str) -> Option<(&str, u32, Vec<u8>)> {
    let (name, coded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    check_name(name).ok()?;
    let bytes = base64::decode(coded)?;
    let (hash, signature) = bytes.split_first_chunk()?;
    (!signature.is_empty()).then(|| (name, u32::from_be_bytes(*hash), signature.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use proptest::prelude::*;

    fn key() -> (Ed25519KeyPair, HyperNodeId) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let id = HyperNodeId::try_from(pair.public_key().as_ref()).unwrap();
        (pair, id)
    }

    fn statement() -> Checkpoint {
        let origin = origin(&NetworkId([1; 32]), &key().1);
        Checkpoint {
            origin,
            size: 42,
            root: Digest([5; 32]),
        }
    }

    fn sign(bytes: &[u8]) -> [u8; 64] {
        key().0.sign(bytes).as_ref().try_into().unwrap()
    }

    fn note() -> String {
        sign_checkpoint(&statement(), &key().1, sign).unwrap()
    }

    fn verify(note: &str) -> Result<VerifiedCheckpoint, CheckpointError> {
        verify_checkpoint(note.as_bytes(), &statement().origin, &key().1)
    }

    /// Signs any body, also one that [`Checkpoint::body`] would not write.
    fn note_over(body: &str) -> String {
        let mut line = key_hash(&statement().origin, &key().1)
            .to_be_bytes()
            .to_vec();
        line.extend(sign(body.as_bytes()));
        format!(
            "{body}\n— {} {}\n",
            statement().origin,
            base64::encode(&line)
        )
    }

    #[test]
    fn signed_and_verified() {
        assert_eq!(verify(&note()).unwrap().checkpoint(), &statement());
        assert_eq!(note_over(&statement().body()), note());
    }

    #[test]
    fn key_hash_matches_the_published_example() {
        // golang.org/x/mod/sumdb/note: "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".
        let key = base64::decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let key = HyperNodeId::try_from(&key[1..]).unwrap();
        assert_eq!(key_hash("PeterNeumann", &key), 0xc74f_20a3);
    }

    #[test]
    fn another_log_or_key_is_refused() {
        let other = verify_checkpoint(note().as_bytes(), "other", &key().1);
        assert!(matches!(
            other,
            Err(CheckpointError::SignatureCount { actual: 0, .. })
        ));
        let stranger = verify_checkpoint(
            note().as_bytes(),
            &statement().origin,
            &HyperNodeId([8; 32]),
        );
        assert!(matches!(
            stranger,
            Err(CheckpointError::SignatureCount { actual: 0, .. })
        ));
        let foreign = note_over(
            &Checkpoint {
                origin: "elsewhere".into(),
                ..statement()
            }
            .body(),
        );
        assert!(matches!(
            verify(&foreign),
            Err(CheckpointError::Origin { .. })
        ));
    }

    #[test]
    fn changed_statement_breaks_the_signature() {
        let changed = note().replacen("\n42\n", "\n43\n", 1);
        assert!(matches!(
            verify(&changed),
            Err(CheckpointError::Signature(_))
        ));
    }

    #[test]
    fn other_spellings_are_refused_even_when_signed() {
        let body = statement().body();
        for bad in [
            body.replace("\n42\n", "\n042\n"),
            body.replace("\n42\n", "\n+42\n"),
            body.replace("\n42\n", "\n-1\n"),
            body.replace("\n42\n", "\n18446744073709551616\n"),
            format!("{body}extension\n"),
            body.replace("BQU=", "BQV="),
            body.replace("BQUF", ""),
        ] {
            let refused = verify(&note_over(&bad));
            assert!(
                matches!(refused, Err(CheckpointError::Malformed(_))),
                "{bad:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn malformed_notes_are_refused() {
        let good = note();
        for bad in [
            good.trim_end().to_owned(),
            format!("{good}\n"),
            format!("{good}garbage\n"),
            good.replace("— ", "- "),
            good.replace("\n\n", "\n"),
            String::new(),
        ] {
            assert!(
                matches!(verify(&bad), Err(CheckpointError::Malformed(_))),
                "{bad:?}"
            );
        }
        let not_text = verify_checkpoint(&[0xff; 9], &statement().origin, &key().1);
        assert_eq!(not_text, Err(CheckpointError::Malformed("text: not UTF-8")));
    }

    #[test]
    fn own_signature_counts_once_and_others_are_ignored() {
        let good = note();
        let line = &good[good.find('—').unwrap()..];
        let twice = format!("{good}{line}");
        assert!(matches!(
            verify(&twice),
            Err(CheckpointError::SignatureCount { actual: 2, .. })
        ));
        let cosigned = format!("{good}— witness {}\n", base64::encode(&[1; 76]));
        assert!(verify(&cosigned).is_ok());
    }

    #[test]
    fn sizes_are_capped() {
        let long = format!("{}{}", note(), "x".repeat(NOTE_LEN_MAX));
        assert!(matches!(verify(&long), Err(CheckpointError::TooLong(_))));
        let line = format!("— w {}\n", base64::encode(&[1; 8]));
        let many = format!("{}{}", note(), line.repeat(SIGNATURES_MAX));
        assert!(matches!(
            verify(&many),
            Err(CheckpointError::TooManySignatures(65))
        ));
    }

    #[test]
    fn unusable_origin_is_named() {
        for bad in ["", "with space", "plus+", "line\nfeed"] {
            let statement = Checkpoint {
                origin: bad.into(),
                ..statement()
            };
            let refused = sign_checkpoint(&statement, &key().1, sign);
            assert_eq!(refused, Err(CheckpointError::OriginName(bad.into())));
        }
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_refused(at: usize, xor in 1u8..) {
            let mut bytes = note().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= xor;
            prop_assert!(verify_checkpoint(&bytes, &statement().origin, &key().1).is_err());
        }
    }
}
