//! Template data: the fields of one entry (Linux `ima_template.c`, `ima_template_lib.c`).

use super::error::ImaError;
use crate::tpm::algorithm::HashAlg;
use crate::tpm::reader::{FormatError, Reader};

/// Most bytes of template data in one entry.
pub const TEMPLATE_BYTES_MAX: usize = 1 << 20;
/// Size of the digest of an `ima` entry, bytes.
pub const IMA_DIGEST_BYTES: usize = 20;
/// Longest name of an `ima` entry, bytes (`IMA_EVENT_NAME_LEN_MAX`).
pub const IMA_NAME_BYTES_MAX: usize = 255;

/// A template.
///
/// Its name is not hashed. The data decide: `d-ng` and `d-ngv2` digests begin differently, the numbers of
/// fields differ, and the fixed form of `ima` has no lengths. Only `ima-sig` and `ima-buf` share a form: one
/// read as the other must still hold a valid signature, or a buffer whose hash is the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Template {
    /// `d|n`: 20 bytes of digest and a name, no lengths; hashed with the name padded to 256 bytes.
    Ima,
    /// `d-ng|n-ng`.
    ImaNg,
    /// `d-ngv2|n-ng`.
    ImaNgV2,
    /// `d-ng|n-ng|sig`.
    ImaSig,
    /// `d-ngv2|n-ng|sig`.
    ImaSigV2,
    /// `d-ng|n-ng|buf`.
    ImaBuf,
    /// `d-ng|n-ng|sig|d-modsig|modsig`.
    ImaModsig,
    /// `d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode`.
    EvmSig,
}

/// One field of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// `d`: 20 bytes.
    Digest,
    /// `d-ng`: `algorithm:\0digest`.
    DigestNg,
    /// `d-ngv2`: `type:algorithm:\0digest`.
    DigestNgV2,
    /// `d-modsig`: as `d-ng`, or empty.
    DigestModsig,
    /// `n`: a name without NUL.
    Name,
    /// `n-ng`: a name and a NUL.
    NameNg,
    /// `sig`, `buf`, `evmsig`, `xattrlengths`, `xattrvalues`, `modsig`: bytes.
    Bytes,
    /// `xattrnames`: names and a NUL, or empty.
    Names,
    /// `iuid`, `igid`, `imode`: a number of so many bytes, little-endian, or empty.
    Number(usize),
}

/// Most fields of a template.
pub(super) const FIELDS_MAX: usize = 9;
/// How errors name the fields, by position: 0 and 1 are the same in every template.
pub(super) const FIELD_NAMES: [&str; FIELDS_MAX] = [
    "file digest",
    "name",
    "third field",
    "fourth field",
    "fifth field",
    "sixth field",
    "iuid",
    "igid",
    "imode",
];

impl Template {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ima,
        Self::ImaNg,
        Self::ImaNgV2,
        Self::ImaSig,
        Self::ImaSigV2,
        Self::ImaBuf,
        Self::ImaModsig,
        Self::EvmSig,
    ];

    /// The template with this name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"ima" => Self::Ima,
            b"ima-ng" => Self::ImaNg,
            b"ima-ngv2" => Self::ImaNgV2,
            b"ima-sig" => Self::ImaSig,
            b"ima-sigv2" => Self::ImaSigV2,
            b"ima-buf" => Self::ImaBuf,
            b"ima-modsig" => Self::ImaModsig,
            b"evm-sig" => Self::EvmSig,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ima => "ima",
            Self::ImaNg => "ima-ng",
            Self::ImaNgV2 => "ima-ngv2",
            Self::ImaSig => "ima-sig",
            Self::ImaSigV2 => "ima-sigv2",
            Self::ImaBuf => "ima-buf",
            Self::ImaModsig => "ima-modsig",
            Self::EvmSig => "evm-sig",
        }
    }

    pub(super) fn fields(self) -> &'static [Field] {
        use Field::{Bytes, DigestModsig, DigestNg, DigestNgV2, NameNg, Names, Number};
        match self {
            Self::Ima => &[Field::Digest, Field::Name],
            Self::ImaNg => &[DigestNg, NameNg],
            Self::ImaNgV2 => &[DigestNgV2, NameNg],
            Self::ImaSig | Self::ImaBuf => &[DigestNg, NameNg, Bytes],
            Self::ImaSigV2 => &[DigestNgV2, NameNg, Bytes],
            Self::ImaModsig => &[DigestNg, NameNg, Bytes, DigestModsig, Bytes],
            Self::EvmSig => &[
                DigestNg,
                NameNg,
                Bytes,
                Names,
                Bytes,
                Bytes,
                Number(4),
                Number(4),
                Number(2),
            ],
        }
    }
}

/// What the digest of a file is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestKind {
    /// Its content.
    Content,
    /// fs-verity's descriptor of it (`d-ngv2` says `verity`).
    Verity,
}

/// The digest of a file or buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileDigest<'a> {
    /// What it is taken over.
    pub kind: DigestKind,
    /// Its algorithm. For the `ima` template the kernel does not say: SHA-1, or MD5 padded with zeros.
    pub alg: HashAlg,
    /// Its bytes, as many as the algorithm has.
    pub bytes: &'a [u8],
}

/// What a template has beside digest and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra<'a> {
    /// Nothing.
    None,
    /// `sig`: the signature found in the file's `security.ima`, or the EVM signature, or nothing; **not
    /// verified**.
    Signature(&'a [u8]),
    /// `buf`: the bytes measured.
    Buffer(&'a [u8]),
    /// `sig`, `d-modsig`, `modsig`: a signature appended to the file; **not verified**.
    Modsig {
        /// As in [`Extra::Signature`].
        signature: &'a [u8],
        /// Digest of the file without the appended signature.
        digest: Option<FileDigest<'a>>,
        /// The PKCS#7 message.
        message: &'a [u8],
    },
    /// EVM's portable signature and what it covers; **not verified**.
    Evm {
        /// The signature.
        signature: &'a [u8],
        /// Names of the extended attributes, separated by `|`.
        names: &'a [u8],
        /// Their lengths, four bytes each, little-endian.
        lengths: &'a [u8],
        /// Their values.
        values: &'a [u8],
    },
}

/// What was measured, as the list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Digest of the file or buffer.
    pub digest: FileDigest<'a>,
    /// Path, or the name of the buffer; bytes as the kernel wrote them, with `_` for every space.
    pub name: &'a [u8],
    /// The rest.
    pub extra: Extra<'a>,
}

impl<'a> Event<'a> {
    /// Splits the length-prefixed fields of every template but `ima`.
    #[inline]
    pub(super) fn parse(
        template: Template,
        data: &'a [u8],
        entry: usize,
    ) -> Result<Self, ImaError> {
        let mut values: [&[u8]; FIELDS_MAX] = [&[]; FIELDS_MAX];
        split(template, data, &mut values).map_err(|source| ImaError::Format { entry, source })?;
        for (position, (field, value)) in template.fields().iter().zip(&values).enumerate() {
            field.check(value).map_err(|problem| ImaError::Field {
                entry,
                field: position,
                problem,
            })?;
        }
        Self::from_fields(template, &values).map_err(|problem| ImaError::Field {
            entry,
            field: 0,
            problem,
        })
    }

    fn from_fields(template: Template, values: &[&'a [u8]; FIELDS_MAX]) -> Result<Self, String> {
        let [digest, name, third, fourth, fifth, sixth, ..] = *values;
        let digest = match template {
            Template::ImaNgV2 | Template::ImaSigV2 => FileDigest::parse_v2(digest)?,
            _ => FileDigest::parse(digest)?,
        };
        let extra = match template {
            Template::Ima | Template::ImaNg | Template::ImaNgV2 => Extra::None,
            Template::ImaSig | Template::ImaSigV2 => Extra::Signature(third),
            Template::ImaBuf => Extra::Buffer(third),
            Template::ImaModsig => Extra::Modsig {
                signature: third,
                digest: match fourth {
                    [] => None,
                    some => Some(FileDigest::parse(some)?),
                },
                message: fifth,
            },
            Template::EvmSig => Extra::Evm {
                signature: third,
                names: fourth.strip_suffix(&[0]).unwrap_or(fourth),
                lengths: fifth,
                values: sixth,
            },
        };
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        Ok(Self {
            digest,
            name,
            extra,
        })
    }
}

fn split<'a>(
    template: Template,
    data: &'a [u8],
    values: &mut [&'a [u8]; FIELDS_MAX],
) -> Result<(), FormatError> {
    let mut r = Reader::new("IMA template data", data, TEMPLATE_BYTES_MAX)?;
    for (_, value) in template.fields().iter().zip(values) {
        let size = size_of(&mut r, "field length")?;
        *value = r.take("field", size)?;
    }
    r.finish()
}

/// Four bytes, little-endian, as a size.
pub(super) fn size_of(r: &mut Reader<'_>, field: &'static str) -> Result<usize, FormatError> {
    let size = r.u32_le(field)?;
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

impl Field {
    /// Whether `value` has this field's form; digests are looked at when they are read.
    fn check(self, value: &[u8]) -> Result<(), String> {
        match self {
            Self::Digest | Self::DigestNg | Self::DigestNgV2 | Self::DigestModsig | Self::Bytes => {
                Ok(())
            }
            Self::Name => without_nul(value),
            Self::NameNg => terminated(value),
            Self::Names if value.is_empty() => Ok(()),
            Self::Names => terminated(value),
            Self::Number(size) if value.is_empty() || value.len() == size => Ok(()),
            Self::Number(size) => Err(format!("expected {size} bytes, got {}", value.len())),
        }
    }
}

fn terminated(value: &[u8]) -> Result<(), String> {
    match value.strip_suffix(&[0]) {
        Some(text) => without_nul(text),
        None => Err("expected a NUL at the end, got none".into()),
    }
}

/// A NUL inside would let one name be shown and another be compared.
pub(super) fn without_nul(text: &[u8]) -> Result<(), String> {
    match text.contains(&0) {
        false => Ok(()),
        true => Err("expected no NUL inside, got one".into()),
    }
}

impl<'a> FileDigest<'a> {
    /// `d-ng`: `algorithm:\0digest`.
    pub fn parse(field: &'a [u8]) -> Result<Self, String> {
        let (label, bytes) = labelled(field)?;
        Self::new(DigestKind::Content, label, bytes)
    }

    /// `d-ngv2`: `type:algorithm:\0digest`.
    pub fn parse_v2(field: &'a [u8]) -> Result<Self, String> {
        let (label, bytes) = labelled(field)?;
        if let Some(alg) = label.strip_prefix(b"ima:") {
            return Self::new(DigestKind::Content, alg, bytes);
        }
        match label.strip_prefix(b"verity:") {
            Some(alg) => Self::new(DigestKind::Verity, alg, bytes),
            None => Err(format!(
                "expected a digest of type ima or verity, got {}",
                label.escape_ascii()
            )),
        }
    }

    /// The digest of an `ima` entry.
    pub(super) fn fixed(bytes: &'a [u8]) -> Self {
        Self {
            kind: DigestKind::Content,
            alg: HashAlg::Sha1,
            bytes,
        }
    }

    fn new(kind: DigestKind, alg: &[u8], bytes: &'a [u8]) -> Result<Self, String> {
        let alg = algorithm(alg)?;
        if bytes.len() != alg.size() {
            return Err(format!(
                "expected {} bytes of {alg:?}, got {}",
                alg.size(),
                bytes.len()
            ));
        }
        Ok(Self { kind, alg, bytes })
    }
}

/// What is before `:\0`, and what is after.
fn labelled(field: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let malformed = || "expected an algorithm, a colon and a NUL before the digest".to_owned();
    let at = field.iter().position(|b| *b == 0).ok_or_else(malformed)?;
    let (label, rest) = field.split_at_checked(at).ok_or_else(malformed)?;
    let label = label.strip_suffix(b":").ok_or_else(malformed)?;
    Ok((label, rest.get(1..).unwrap_or_default()))
}

/// A digest's algorithm by the kernel's name. MD5, SM3 and the rest are refused: nothing here could compare
/// them with a reference value.
pub(super) fn algorithm(name: &[u8]) -> Result<HashAlg, String> {
    match name {
        b"sha1" => Ok(HashAlg::Sha1),
        b"sha256" => Ok(HashAlg::Sha256),
        b"sha384" => Ok(HashAlg::Sha384),
        b"sha512" => Ok(HashAlg::Sha512),
        other => Err(format!(
            "expected sha1, sha256, sha384 or sha512, got {:?}",
            other.escape_ascii().to_string()
        )),
    }
}

/// The kernel's name of an algorithm.
pub(super) fn algorithm_name(alg: HashAlg) -> &'static str {
    match alg {
        HashAlg::Sha1 => "sha1",
        HashAlg::Sha256 => "sha256",
        HashAlg::Sha384 => "sha384",
        HashAlg::Sha512 => "sha512",
    }
}
