//! The extensions this verifier reads (RFC 5280 section 4.2). What is read here is what a certificate *says*;
//! it counts only on a path that [`super::path::find`] returned.

use super::certificate::Certificate;
use crate::crypto::der::{self, Der, DerError};

/// subjectKeyIdentifier.
pub const SUBJECT_KEY: &[u8] = &[0x55, 0x1d, 0x0e];
/// keyUsage.
pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// subjectAltName.
pub const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// basicConstraints.
pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// nameConstraints.
pub const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
/// cRLDistributionPoints.
pub const CRL_POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
/// certificatePolicies.
pub const POLICIES: &[u8] = &[0x55, 0x1d, 0x20];
/// authorityKeyIdentifier.
pub const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];
/// extKeyUsage.
pub const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// authorityInfoAccess.
pub const AUTHORITY_INFO: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
/// id-ad-caIssuers.
const CA_ISSUERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 2];
/// uniformResourceIdentifier of a GeneralName.
const URI: u8 = 0x86;

/// Most entries read of one list inside an extension.
pub const LIST_MAX: usize = 32;

/// basicConstraints (RFC 5280 section 4.2.1.9); absent is the same as "not a CA".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BasicConstraints {
    /// Whether the subject may issue certificates.
    pub ca: bool,
    /// How many intermediates may follow it, when that is limited.
    pub path_length: Option<u64>,
}

/// keyUsage (RFC 5280 section 4.2.1.3): named bits, the first is the most significant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// digitalSignature.
    pub const DIGITAL_SIGNATURE: Self = Self(1 << 15);
    /// keyEncipherment.
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 13);
    /// keyAgreement.
    pub const KEY_AGREEMENT: Self = Self(1 << 11);
    /// keyCertSign.
    pub const CERT_SIGN: Self = Self(1 << 10);
    /// cRLSign.
    pub const CRL_SIGN: Self = Self(1 << 9);

    /// Whether every bit of `other` is set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the bits that are set.
    pub fn names(self) -> String {
        const NAMES: [&str; 9] = [
            "digitalSignature",
            "nonRepudiation",
            "keyEncipherment",
            "dataEncipherment",
            "keyAgreement",
            "keyCertSign",
            "cRLSign",
            "encipherOnly",
            "decipherOnly",
        ];
        let set = NAMES.iter().enumerate().filter_map(|(bit, name)| {
            let bit = u32::try_from(bit).ok()?;
            (self.0.checked_shl(bit)? & 0x8000 != 0).then_some(*name)
        });
        set.collect::<Vec<_>>().join(", ")
    }

    fn parse(bytes: &[u8]) -> Result<Self, DerError> {
        let mut r = Der::new(bytes);
        let content = r.take("keyUsage", der::BIT_STRING)?.content;
        r.finish("keyUsage")?;
        let (unused, bits) = match content {
            [unused, bits] => (*unused, u16::from_be_bytes([*bits, 0])),
            [unused, first, last] => (*unused, u16::from_be_bytes([*first, *last])),
            _ => {
                return Err(DerError::value(
                    "keyUsage",
                    "one or two bytes",
                    content.len(),
                ));
            }
        };
        if unused > 7 {
            return Err(DerError::value("keyUsage", "0 to 7 unused bits", unused));
        }
        Ok(Self(bits))
    }
}

impl<'a> Certificate<'a> {
    /// basicConstraints; not a CA when it is absent.
    pub fn basic_constraints(&self) -> Result<BasicConstraints, DerError> {
        let Some(extension) = self.extension(BASIC_CONSTRAINTS) else {
            return Ok(BasicConstraints::default());
        };
        let mut outer = Der::new(extension.value);
        let mut r = outer.enter("basicConstraints", der::SEQUENCE)?;
        outer.finish("basicConstraints")?;
        let ca = r.peek() == Some(der::BOOLEAN) && r.boolean("cA")?;
        let path_length = match r.peek() {
            Some(der::INTEGER) => Some(r.u64("pathLenConstraint")?),
            _ => None,
        };
        r.finish("basicConstraints")?;
        Ok(BasicConstraints { ca, path_length })
    }

    /// keyUsage, when it is there.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, DerError> {
        let extension = self.extension(KEY_USAGE);
        extension.map(|e| KeyUsage::parse(e.value)).transpose()
    }

    /// The object identifiers of extKeyUsage, when it is there; never an empty list.
    pub fn purposes(&self) -> Result<Option<Vec<&'a [u8]>>, DerError> {
        let Some(extension) = self.extension(EXTENDED_KEY_USAGE) else {
            return Ok(None);
        };
        let mut outer = Der::new(extension.value);
        let mut r = outer.enter("extKeyUsage", der::SEQUENCE)?;
        outer.finish("extKeyUsage")?;
        let mut found = Vec::new();
        while !r.is_empty() {
            if found.len() == LIST_MAX {
                return Err(DerError::value(
                    "extKeyUsage",
                    "at most 32 purposes",
                    "more",
                ));
            }
            found.push(r.oid("extKeyUsage")?);
        }
        if found.is_empty() {
            return Err(DerError::value("extKeyUsage", "a purpose", "none"));
        }
        Ok(Some(found))
    }

    /// subjectKeyIdentifier, when it is there: a hint, never a proof.
    pub fn subject_key_id(&self) -> Result<Option<&'a [u8]>, DerError> {
        let Some(extension) = self.extension(SUBJECT_KEY) else {
            return Ok(None);
        };
        let mut r = Der::new(extension.value);
        let id = r.take("subjectKeyIdentifier", der::OCTET_STRING)?.content;
        r.finish("subjectKeyIdentifier")?;
        Ok(Some(id))
    }

    /// The keyIdentifier of authorityKeyIdentifier, when it is there: a hint, never a proof.
    pub fn authority_key_id(&self) -> Result<Option<&'a [u8]>, DerError> {
        match self.extension(AUTHORITY_KEY) {
            Some(extension) => authority_key_id(extension.value),
            None => Ok(None),
        }
    }

    /// Where the issuer's certificate is said to be (authorityInfoAccess, caIssuers): for people, never fetched
    /// here. At most [`LIST_MAX`] addresses.
    pub fn issuer_addresses(&self) -> Result<Vec<&'a [u8]>, DerError> {
        let Some(extension) = self.extension(AUTHORITY_INFO) else {
            return Ok(Vec::new());
        };
        let mut outer = Der::new(extension.value);
        let mut r = outer.enter("authorityInfoAccess", der::SEQUENCE)?;
        let mut found = Vec::new();
        while !r.is_empty() && found.len() < LIST_MAX {
            let mut access = r.enter("accessDescription", der::SEQUENCE)?;
            let method = access.oid("accessMethod")?;
            let location = access.any("accessLocation")?;
            if method == CA_ISSUERS && location.tag == URI {
                found.push(location.content);
            }
        }
        Ok(found)
    }
}

/// The keyIdentifier inside an authorityKeyIdentifier, of a certificate or of a CRL.
pub(super) fn authority_key_id(value: &[u8]) -> Result<Option<&[u8]>, DerError> {
    let mut outer = Der::new(value);
    let mut r = outer.enter("authorityKeyIdentifier", der::SEQUENCE)?;
    outer.finish("authorityKeyIdentifier")?;
    let id = r.optional("keyIdentifier", 0x80)?;
    Ok(id.map(|element| element.content))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Ca, extension, tlv};
    use super::*;

    fn with<T>(extensions: &[Vec<u8>], read: impl Fn(&Certificate<'_>) -> T) -> T {
        let ca = Ca::new("Issuer");
        let der = ca.issue("x", &ca.spki(), ["20", "30"], extensions);
        read(&Certificate::parse(&der).unwrap())
    }

    #[test]
    fn basic_constraints_are_a_flag_and_a_number() {
        let read = |value: &[u8]| {
            let list = [extension(BASIC_CONSTRAINTS, true, value)];
            with(&list, |c| c.basic_constraints())
        };
        let is = |ca, path_length| Ok(BasicConstraints { ca, path_length });
        assert_eq!(with(&[], |c| c.basic_constraints()), is(false, None));
        assert_eq!(read(&[0x30, 0]), is(false, None));
        assert_eq!(read(&[0x30, 3, 1, 1, 0]), is(false, None));
        assert_eq!(read(&[0x30, 3, 1, 1, 0xff]), is(true, None));
        assert_eq!(read(&[0x30, 6, 1, 1, 0xff, 2, 1, 3]), is(true, Some(3)));
        for bad in [
            &[0x30, 3, 1, 1, 1][..],
            &[0x30, 6, 1, 1, 0xff, 2, 1, 0x80],
            &[0x30, 5, 1, 1, 0xff, 5, 0],
            &[0x30, 0, 5, 0],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn key_usage_is_named_bits() {
        let read = |value: &[u8]| {
            let list = [extension(KEY_USAGE, true, value)];
            with(&list, |c| c.key_usage())
        };
        assert_eq!(with(&[], |c| c.key_usage()), Ok(None));
        let usage = read(&[3, 3, 7, 0xb0, 0x80]).unwrap().unwrap();
        let names = "digitalSignature, keyEncipherment, dataEncipherment, decipherOnly";
        assert_eq!(usage.names(), names);
        assert!(usage.has(KeyUsage::DIGITAL_SIGNATURE) && usage.has(KeyUsage::KEY_ENCIPHERMENT));
        assert!(!usage.has(KeyUsage::CERT_SIGN) && !usage.has(KeyUsage::CRL_SIGN));
        let both = KeyUsage(KeyUsage::DIGITAL_SIGNATURE.0 | KeyUsage::KEY_AGREEMENT.0);
        assert!(!usage.has(both), "one of two is not both");
        assert_eq!(
            read(&[3, 2, 1, 6]).unwrap().unwrap().names(),
            "keyCertSign, cRLSign"
        );
        let agreement = read(&[3, 2, 3, 8]).unwrap().unwrap();
        assert!(agreement.has(KeyUsage::KEY_AGREEMENT));
        assert!(read(&[3, 2, 7, 0x80]).is_ok());
        for bad in [
            &[3, 1, 0][..],
            &[3, 4, 0, 1, 1, 1],
            &[3, 2, 8, 0],
            &[3, 2, 0, 1, 0],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn purposes_are_a_list_that_is_neither_empty_nor_endless() {
        let read = |count: usize| {
            let list = tlv(0x30, &[&[6, 1, 0x2a].repeat(count)]);
            let list = [extension(EXTENDED_KEY_USAGE, false, &list)];
            with(&list, |c| c.purposes().map(|list| list.map(|l| l.len())))
        };
        assert_eq!(
            with(&[], |c| c.purposes().map(|list| list.is_none())),
            Ok(true)
        );
        assert!(read(0).is_err());
        assert_eq!(read(LIST_MAX), Ok(Some(LIST_MAX)));
        assert!(read(LIST_MAX + 1).is_err());
    }

    #[test]
    fn addresses_of_issuers_are_read_and_others_passed_over() {
        let ocsp: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1];
        let access = |method: &[u8], tag: u8, address: &[u8]| {
            tlv(0x30, &[&tlv(6, &[method]), &tlv(tag, &[address])])
        };
        let list = [
            access(CA_ISSUERS, URI, b"one"),
            access(ocsp, URI, b"two"),
            access(CA_ISSUERS, 0x82, b"three"),
            access(CA_ISSUERS, URI, b"four"),
        ];
        let list = [extension(
            AUTHORITY_INFO,
            false,
            &tlv(0x30, &[&list.concat()]),
        )];
        let read = |c: &Certificate<'_>| {
            let list = c.issuer_addresses().unwrap().into_iter();
            list.map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        assert_eq!(with(&list, read), [b"one".to_vec(), b"four".to_vec()]);
        assert!(with(&[], read).is_empty());
        let many = access(CA_ISSUERS, URI, b"one").repeat(LIST_MAX + 1);
        let many = [extension(AUTHORITY_INFO, false, &tlv(0x30, &[&many]))];
        assert_eq!(with(&many, read).len(), LIST_MAX);
    }

    #[test]
    fn identifiers_of_keys_are_hints() {
        let list = [
            extension(SUBJECT_KEY, false, &[4, 2, 7, 8]),
            extension(AUTHORITY_KEY, false, &[0x30, 3, 0x80, 1, 9]),
        ];
        with(&list, |c| {
            assert_eq!(c.subject_key_id(), Ok(Some(&[7, 8][..])));
            assert_eq!(c.authority_key_id(), Ok(Some(&[9][..])));
        });
        with(&[], |c| {
            assert_eq!(
                (c.subject_key_id(), c.authority_key_id()),
                (Ok(None), Ok(None))
            );
        });
    }
}
