//! VCEK and VLEK certificates: what AMD says about the key that signs reports (KDS specification 57230,
//! section 3; VLEK: 58369).

use super::product::Product;
use super::report::KeyKind;
use super::tcb::{Tcb, TcbError};
use crate::crypto::der::{self, Der, DerError};
use crate::x509::{Certificate, X509Error, name};

/// 1.3.6.1.4.1.3704.1: AMD's extensions.
pub(super) const AMD_ARC: &[u8] = &[0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1];
const STRUCT_VERSION: &[u8] = &[1];
const PRODUCT_NAME: &[u8] = &[2];
const BOOTLOADER: &[u8] = &[3, 1];
const TEE: &[u8] = &[3, 2];
const SNP: &[u8] = &[3, 3];
const MICROCODE: &[u8] = &[3, 8];
const FMC: &[u8] = &[3, 9];
/// spl4 to spl7: the reserved bytes of the TCB, not in every certificate, zero where they are.
const RESERVED_SPLS: [&[u8]; 4] = [&[3, 4], &[3, 5], &[3, 6], &[3, 7]];
const HARDWARE_ID: &[u8] = &[4];
const CSP_ID: &[u8] = &[5];
const CSP_ID_BYTES_MAX: usize = 256;

/// A certificate does not endorse a report-signing key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementError {
    /// Not a certificate.
    #[error(transparent)]
    X509(#[from] X509Error),
    /// A field is not DER of its form.
    #[error("endorsement certificate: {0}")]
    Der(#[from] DerError),
    /// An extension is missing.
    #[error("endorsement certificate: {kind}: expected extension {name}, got none")]
    Missing {
        /// VCEK or VLEK.
        kind: KeyKind,
        /// AMD's name of the extension.
        name: &'static str,
    },
    /// An extension that only the other kind has, or another product.
    #[error("endorsement certificate: {kind}: expected no extension {name}, got one")]
    Foreign {
        /// VCEK or VLEK.
        kind: KeyKind,
        /// AMD's name of the extension.
        name: &'static str,
    },
    /// A value is not acceptable.
    #[error("endorsement certificate: {field}: expected {expected}, got {actual}")]
    Value {
        /// What is wrong.
        field: &'static str,
        /// What is accepted.
        expected: String,
        /// What was found.
        actual: String,
    },
    /// Security version numbers out of their layout.
    #[error("endorsement certificate: {0}")]
    Tcb(#[from] TcbError),
}

/// A VCEK or VLEK certificate as parsed: **not authenticated**; see [`super::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endorsement<'a> {
    /// The certificate.
    pub certificate: Certificate<'a>,
    /// Which kind it was read as; its extensions and subject agree.
    pub kind: KeyKind,
    /// The product it names.
    pub product: Product,
    /// The TCB the key is derived from.
    pub tcb: Tcb,
    /// The chip, padded to 64 bytes as in a report; a VLEK has none.
    pub hardware_id: Option<[u8; 64]>,
    /// Whom a VLEK was issued to; a VCEK has none.
    pub csp_id: Option<String>,
}

impl<'a> Endorsement<'a> {
    /// Parses one DER certificate as `kind`. Every extension that `kind` and product call for must be
    /// there, and none of the other kind's.
    pub fn parse(bytes: &'a [u8], kind: KeyKind) -> Result<Self, EndorsementError> {
        let certificate = Certificate::parse(bytes)?;
        let fields = Fields {
            certificate: &certificate,
            kind,
        };
        fields.subject()?;
        let product = fields.product()?;
        let (tcb, hardware_id) = (fields.tcb(product)?, fields.hardware_id(product)?);
        let csp_id = fields.csp_id()?;
        Ok(Self {
            kind,
            product,
            tcb,
            hardware_id,
            csp_id,
            certificate,
        })
    }
}

struct Fields<'c, 'a> {
    certificate: &'c Certificate<'a>,
    kind: KeyKind,
}

impl<'a> Fields<'_, 'a> {
    fn get(&self, arc: &[u8]) -> Option<&'a [u8]> {
        let of_amd = |oid: &[u8]| oid.strip_prefix(AMD_ARC) == Some(arc);
        let extension = self.certificate.extensions.iter().find(|e| of_amd(e.oid));
        extension.map(|e| e.value)
    }

    fn required(&self, arc: &[u8], name: &'static str) -> Result<&'a [u8], EndorsementError> {
        let kind = self.kind;
        self.get(arc)
            .ok_or(EndorsementError::Missing { kind, name })
    }

    fn absent(&self, arc: &[u8], name: &'static str) -> Result<(), EndorsementError> {
        let kind = self.kind;
        match self.get(arc) {
            None => Ok(()),
            Some(_) => Err(EndorsementError::Foreign { kind, name }),
        }
    }

    /// `SEV-VCEK` or `SEV-VLEK`: the issuer's word for what it signed.
    fn subject(&self) -> Result<(), EndorsementError> {
        let actual = name::attribute(self.certificate.subject, name::COMMON_NAME)?;
        let expected = format!("SEV-{}", self.kind);
        match actual {
            Some(actual) if actual == expected => Ok(()),
            other => Err(value("subject", expected, other.unwrap_or_default())),
        }
    }

    fn product(&self) -> Result<Product, EndorsementError> {
        let text = text(self.required(PRODUCT_NAME, "productName")?, "productName")?;
        let unknown = || value("productName", "Milan, Genoa or Turin", text);
        let product = Product::from_name(text).ok_or_else(unknown)?;
        let version = self.required(STRUCT_VERSION, "structVersion")?;
        let version = number(version, "structVersion")?;
        match version == product.struct_version() {
            true => Ok(product),
            false => Err(value(
                "structVersion",
                product.struct_version().to_string(),
                version,
            )),
        }
    }

    fn tcb(&self, product: Product) -> Result<Tcb, EndorsementError> {
        let fmc = match product {
            Product::Turin => Some(self.spl(FMC, "fmcSPL")?),
            Product::Milan | Product::Genoa => {
                self.absent(FMC, "fmcSPL")?;
                None
            }
        };
        for reserved in RESERVED_SPLS.into_iter().filter_map(|arc| self.get(arc)) {
            let spl = number(reserved, "reserved SPL")?;
            if spl != 0 {
                return Err(value("reserved SPL", "0", spl));
            }
        }
        Ok(Tcb {
            fmc,
            bootloader: self.spl(BOOTLOADER, "blSPL")?,
            tee: self.spl(TEE, "teeSPL")?,
            snp: self.spl(SNP, "snpSPL")?,
            microcode: self.spl(MICROCODE, "ucodeSPL")?,
        })
    }

    fn spl(&self, arc: &[u8], name: &'static str) -> Result<u8, EndorsementError> {
        let number = number(self.required(arc, name)?, name)?;
        u8::try_from(number).map_err(|_| value(name, "0 to 255", number))
    }

    /// The extension holds the bare bytes: 64, or 8 on Turin, where a report's other 56 are zero.
    fn hardware_id(&self, product: Product) -> Result<Option<[u8; 64]>, EndorsementError> {
        if self.kind == KeyKind::Vlek {
            return self.absent(HARDWARE_ID, "hwID").map(|()| None);
        }
        let bytes = self.required(HARDWARE_ID, "hwID")?;
        let size = product.chip_id_bytes();
        if bytes.len() != size {
            let actual = format!("{} bytes", bytes.len());
            return Err(value("hwID", format!("{size} bytes"), actual));
        }
        let mut padded = [0; 64];
        for (to, from) in padded.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(Some(padded))
    }

    fn csp_id(&self) -> Result<Option<String>, EndorsementError> {
        if self.kind == KeyKind::Vcek {
            return self.absent(CSP_ID, "cspID").map(|()| None);
        }
        let text = text(self.required(CSP_ID, "cspID")?, "cspID")?;
        match text.len() {
            1..=CSP_ID_BYTES_MAX => Ok(Some(text.to_owned())),
            size => Err(value("cspID", "1 to 256 bytes", size)),
        }
    }
}

fn value(
    field: &'static str,
    expected: impl Into<String>,
    actual: impl core::fmt::Display,
) -> EndorsementError {
    EndorsementError::Value {
        field,
        expected: expected.into(),
        actual: actual.to_string(),
    }
}

fn number(bytes: &[u8], field: &'static str) -> Result<u64, DerError> {
    let mut r = Der::new(bytes);
    let number = r.u64(field)?;
    r.finish(field)?;
    Ok(number)
}

/// An IA5String.
fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, DerError> {
    let mut r = Der::new(bytes);
    let content = r.take(field, der::IA5_STRING)?.content;
    r.finish(field)?;
    let ascii = core::str::from_utf8(content)
        .ok()
        .filter(|text| text.is_ascii());
    ascii.ok_or_else(|| DerError::value(field, "ASCII", hex::encode(content)))
}
