//! The attestation key's file: PEM or DER `SubjectPublicKeyInfo`, `TPMT_PUBLIC` or `TPM2B_PUBLIC`, told apart by
//! content.

use assay_appraisal::crypto::key::{KeyError, PublicKey};
use assay_appraisal::tpm::public::{self, Public};
use assay_appraisal::tpm::reader::FormatError;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::{self, PemObject};
use serde_json::{Value, json};

/// Bits of `TPMA_OBJECT` (TPM 2.0 part 2, section 8.3) by name.
const ATTRIBUTES: [(u32, &str); 12] = [
    (1, "fixedTPM"),
    (2, "stClear"),
    (4, "fixedParent"),
    (5, "sensitiveDataOrigin"),
    (6, "userWithAuth"),
    (7, "adminWithPolicy"),
    (10, "noDA"),
    (11, "encryptedDuplication"),
    (16, "restricted"),
    (17, "decrypt"),
    (18, "sign"),
    (19, "x509sign"),
];

/// A key as its file says it.
#[derive(Debug)]
pub enum AkFile {
    /// The key alone: what it may do is not known.
    Key(&'static str, PublicKey),
    /// A TPM's public area.
    Public(&'static str, Box<Public>),
}

/// A file holds no key, or more than one reading.
#[derive(Debug, thiserror::Error)]
pub enum AkFileError {
    /// PEM that does not decode.
    #[error("PEM: {0}")]
    Pem(pem::Error),
    /// Not exactly one public key.
    #[error("PEM: expected one block PUBLIC KEY, got {0}")]
    Blocks(usize),
    /// A key that is not known.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// None of the forms.
    #[error("not PEM, and as binary neither {tpmt}, nor {tpm2b}, nor {spki}")]
    NoForm {
        /// Why it is no `TPMT_PUBLIC`.
        tpmt: Box<FormatError>,
        /// Why it is no `TPM2B_PUBLIC`.
        tpm2b: Box<FormatError>,
        /// Why it is no `SubjectPublicKeyInfo`.
        spki: Box<KeyError>,
    },
    /// More than one of the forms.
    #[error("it can be read in more than one way")]
    Ambiguous,
}

/// Reads a key from a file of any form; a file of more than one is refused.
pub fn read(bytes: &[u8]) -> Result<AkFile, AkFileError> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    if bytes.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return from_pem(bytes);
    }
    let tpmt = public::parse(bytes);
    let tpm2b = public::parse_sized(bytes);
    let spki = PublicKey::from_spki(bytes);
    match (tpmt, tpm2b, spki) {
        (Ok(public), Err(_), Err(_)) => Ok(AkFile::Public("TPMT_PUBLIC", Box::new(public))),
        (Err(_), Ok(public), Err(_)) => Ok(AkFile::Public("TPM2B_PUBLIC", Box::new(public))),
        (Err(_), Err(_), Ok(key)) => Ok(AkFile::Key("DER", key)),
        (Err(tpmt), Err(tpm2b), Err(spki)) => Err(AkFileError::NoForm {
            tpmt: Box::new(tpmt),
            tpm2b: Box::new(tpm2b),
            spki: Box::new(spki),
        }),
        _ => Err(AkFileError::Ambiguous),
    }
}

fn from_pem(bytes: &[u8]) -> Result<AkFile, AkFileError> {
    let blocks: Vec<SubjectPublicKeyInfoDer<'_>> = SubjectPublicKeyInfoDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(AkFileError::Pem)?;
    match blocks.as_slice() {
        [one] => Ok(AkFile::Key("PEM", PublicKey::from_spki(one)?)),
        other => Err(AkFileError::Blocks(other.len())),
    }
}

impl AkFile {
    /// The key.
    pub fn key(&self) -> &PublicKey {
        match self {
            Self::Key(_, key) => key,
            Self::Public(_, public) => &public.key,
        }
    }

    /// What the file says, for the claims.
    pub fn claims(&self) -> [(&'static str, Value); 4] {
        let (form, name, attributes) = match self {
            Self::Key(form, _) => (form, Value::Null, json!("not checked")),
            Self::Public(form, public) => {
                let name = hex::encode(public.object_name());
                (form, json!(name), attributes(public.attributes.0))
            }
        };
        [
            ("ak_form", json!(form)),
            ("ak_kind", json!(self.key().kind())),
            ("ak_name", name),
            ("ak_attributes", attributes),
        ]
    }
}

fn attributes(bits: u32) -> Value {
    let set = |(bit, _): &&(u32, &str)| bits.checked_shr(*bit).is_some_and(|bits| bits & 1 == 1);
    let names: Vec<&str> = ATTRIBUTES
        .iter()
        .filter(set)
        .map(|(_, name)| *name)
        .collect();
    json!(names)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `TPMT_PUBLIC` of a P-256 ECDSA key that may attest.
    pub(crate) fn tpmt(point: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 0x23, 0, 0x0b, 0, 5, 0, 0x72, 0, 0];
        out.extend([0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10, 0, 32]);
        out.extend(&point[1..33]);
        out.extend([0, 32]);
        out.extend(&point[33..]);
        out
    }

    pub(crate) fn spki(point: &[u8]) -> Vec<u8> {
        let mut der = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        der.extend_from_slice(point);
        der
    }

    pub(crate) fn pem(der: &[u8]) -> String {
        let body = assay_log::base64::encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    fn form(bytes: &[u8]) -> Value {
        read(bytes).unwrap().claims()[0].1.clone()
    }

    #[test]
    fn each_form_is_told_by_its_content() {
        let point = [&[4u8][..], &[5; 64]].concat();
        let (tpmt, spki) = (tpmt(&point), spki(&point));
        let tpm2b = [&[0, tpmt.len() as u8][..], &tpmt].concat();
        assert_eq!(form(&tpmt), "TPMT_PUBLIC");
        assert_eq!(form(&tpm2b), "TPM2B_PUBLIC");
        assert_eq!(form(&spki), "DER");
        assert_eq!(form(pem(&spki).as_bytes()), "PEM");
        let claims = read(&tpm2b).unwrap().claims();
        assert_eq!(claims[1].1, "ECC P-256");
        assert_eq!(claims[2].1.as_str().unwrap().len(), 68);
        let attributes = json!([
            "fixedTPM",
            "fixedParent",
            "sensitiveDataOrigin",
            "userWithAuth",
            "restricted",
            "sign"
        ]);
        assert_eq!(claims[3].1, attributes);
        assert_eq!(read(&spki).unwrap().claims()[3].1, "not checked");
    }

    #[test]
    fn no_key_two_keys_and_trailing_bytes_are_refused() {
        let point = [&[4u8][..], &[5; 64]].concat();
        let (tpmt, spki) = (tpmt(&point), spki(&point));
        let two = pem(&spki).repeat(2);
        let certificate = pem(&spki).replace("PUBLIC KEY", "CERTIFICATE");
        for bytes in [
            two.as_bytes(),
            certificate.as_bytes(),
            b"",
            b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n",
            &[&tpmt[..], &[0]].concat(),
            &[&spki[..], &[0]].concat(),
            &tpmt[1..],
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
