//! Keys, certificates and revocation lists of the test PKI, in a small DER writer.

use super::{NOT_AFTER, NOT_BEFORE, Product, SIGNED_BYTES};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _, RsaKeyPair,
};

/// RSASSA-PSS with SHA-384, MGF1 with SHA-384, a salt of 48 bytes.
const PSS_SHA384: &str = "304106092a864886f70d01010a3034a00f300d06096086480165030402020500a11c301a0609\
                          2a864886f70d010108300d06096086480165030402020500a203020130";
/// sha384WithRSAEncryption.
const PKCS1_SHA384: &str = "300d06092a864886f70d01010c0500";
const P384_HEAD: &str = "3076301006072a8648ce3d020106052b81040022036200";
const P256_HEAD: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

/// Encodes one DER element.
pub fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=0x7f => out.push(short as u8),
        long @ 0x80..=0xff => out.extend([0x81, long as u8]),
        longer => out.extend([0x82, (longer >> 8) as u8, longer as u8]),
    }
    out.extend(content);
    out
}

fn fixed(hex_text: &str) -> Vec<u8> {
    hex::decode(hex_text).expect("a constant")
}

/// A key that signs certificates.
pub struct CaKey(RsaKeyPair);

impl CaKey {
    /// Makes an RSA-4096 key.
    pub fn generate() -> Self {
        Self::of_size(KeySize::Rsa4096)
    }

    /// Makes an RSA key of a size AMD does not use, for tests that it is refused.
    pub fn of_size(size: KeySize) -> Self {
        Self(RsaKeyPair::generate(size).expect("an RSA key"))
    }

    /// `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().expect("a public key");
        der.as_ref().to_vec()
    }

    fn sign(&self, message: &[u8], pss: bool) -> Vec<u8> {
        let mut out = vec![0; self.0.public_modulus_len()];
        let padding: &'static dyn signature::RsaEncoding = match pss {
            true => &signature::RSA_PSS_SHA384,
            false => &signature::RSA_PKCS1_SHA384,
        };
        let rng = SystemRandom::new();
        self.0
            .sign(padding, &rng, message, &mut out)
            .expect("a signature");
        out
    }
}

/// A key that signs reports.
pub struct ChipKey {
    pair: EcdsaKeyPair,
    head: &'static str,
}

impl ChipKey {
    /// Makes a P-384 key.
    pub fn generate() -> Self {
        Self::on(&ECDSA_P384_SHA384_FIXED_SIGNING, P384_HEAD)
    }

    /// Makes a P-256 key, for tests that it is refused.
    pub fn p256() -> Self {
        Self::on(&ECDSA_P256_SHA256_FIXED_SIGNING, P256_HEAD)
    }

    fn on(algorithm: &'static EcdsaSigningAlgorithm, head: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(algorithm).expect("a key");
        Self { pair, head }
    }

    /// `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        [&fixed(self.head), self.pair.public_key().as_ref()].concat()
    }

    /// Signs the first part of a report and writes the signature where it belongs.
    pub fn sign_report(&self, report: &mut [u8]) {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), &report[..SIGNED_BYTES]);
        let signature = signature.expect("a signature");
        let half = signature.as_ref().len() / 2;
        let (r, s) = signature.as_ref().split_at(half);
        report[SIGNED_BYTES..].fill(0);
        for (at, number) in [(SIGNED_BYTES, r), (SIGNED_BYTES + 72, s)] {
            for (to, from) in report[at..at + half].iter_mut().zip(number.iter().rev()) {
                *to = *from;
            }
        }
    }
}

/// One extension of a certificate.
#[derive(Debug, Clone)]
pub struct Extension {
    /// Content of the object identifier.
    pub oid: Vec<u8>,
    /// Whether it is critical.
    pub critical: bool,
    /// Content of the OCTET STRING.
    pub value: Vec<u8>,
}

impl Extension {
    /// basicConstraints.
    pub fn basic_constraints(ca: bool, path: Option<u8>) -> Self {
        let ca = if ca { der(1, &[&[0xff]]) } else { Vec::new() };
        let path = path.map_or_else(Vec::new, |path| der(2, &[&[path]]));
        Self {
            oid: vec![0x55, 0x1d, 0x13],
            critical: true,
            value: der(0x30, &[&ca, &path]),
        }
    }

    /// keyUsage with the bits of its first byte.
    pub fn key_usage(bits: u8) -> Self {
        Self {
            oid: vec![0x55, 0x1d, 0x0f],
            critical: true,
            value: der(3, &[&[0, bits]]),
        }
    }

    /// One of AMD's, below 1.3.6.1.4.1.3704.1.
    pub fn amd(arc: &[u8], value: Vec<u8>) -> Self {
        Self {
            oid: [&[0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1], arc].concat(),
            critical: false,
            value,
        }
    }

    /// One of AMD's with a small number.
    pub fn amd_number(arc: &[u8], number: u8) -> Self {
        let bytes = [0, number];
        let minimal = if number < 0x80 { &bytes[1..] } else { &bytes };
        Self::amd(arc, der(2, &[minimal]))
    }

    /// One of AMD's with text.
    pub fn amd_text(arc: &[u8], text: &str) -> Self {
        Self::amd(arc, der(0x16, &[text.as_bytes()]))
    }

    fn encode(&self) -> Vec<u8> {
        let critical = if self.critical {
            der(1, &[&[0xff]])
        } else {
            Vec::new()
        };
        let (oid, value) = (der(6, &[&self.oid]), der(4, &[&self.value]));
        der(0x30, &[&oid, &critical, &value])
    }
}

/// A certificate to be signed; every field may be changed by a test.
#[derive(Debug, Clone)]
pub struct CertificateSpec {
    /// Serial number, content of the INTEGER.
    pub serial: Vec<u8>,
    /// Common name of the issuer.
    pub issuer: String,
    /// Common name of the subject.
    pub subject: String,
    /// `UTCTime`.
    pub not_before: String,
    /// `UTCTime`.
    pub not_after: String,
    /// The key.
    pub spki: Vec<u8>,
    /// The extensions.
    pub extensions: Vec<Extension>,
    /// Signed with RSASSA-PSS, as AMD does, or with PKCS #1 v1.5.
    pub pss: bool,
}

impl CertificateSpec {
    /// Signs it.
    pub fn sign(&self, issuer: &CaKey) -> Vec<u8> {
        let algorithm = fixed(if self.pss { PSS_SHA384 } else { PKCS1_SHA384 });
        let extensions: Vec<u8> = self.extensions.iter().flat_map(Extension::encode).collect();
        let time = |text: &str| der(0x17, &[text.as_bytes()]);
        let tbs = der(
            0x30,
            &[
                &der(0xa0, &[&der(2, &[&[2]])]),
                &der(2, &[&self.serial]),
                &algorithm,
                &name(&self.issuer),
                &der(0x30, &[&time(&self.not_before), &time(&self.not_after)]),
                &name(&self.subject),
                &self.spki,
                &der(0xa3, &[&der(0x30, &[&extensions])]),
            ],
        );
        let signature = der(3, &[&[0], &issuer.sign(&tbs, self.pss)]);
        der(0x30, &[&tbs, &algorithm, &signature])
    }
}

fn name(common_name: &str) -> Vec<u8> {
    let pair = |oid: &[u8], text: &str| {
        let pair = der(0x30, &[&der(6, &[oid]), &der(0x0c, &[text.as_bytes()])]);
        der(0x31, &[&pair])
    };
    let organisation = pair(&[0x55, 4, 10], "Assay test PKI");
    der(0x30, &[&organisation, &pair(&[0x55, 4, 3], common_name)])
}

/// A revocation list to be signed by an ARK, as AMD publishes them.
#[derive(Debug, Clone)]
pub struct CrlSpec {
    /// Common name of the issuer.
    pub issuer: String,
    /// `UTCTime`.
    pub this_update: String,
    /// `UTCTime`.
    pub next_update: String,
    /// Serial numbers that are revoked, contents of INTEGERs.
    pub revoked: Vec<Vec<u8>>,
}

impl CrlSpec {
    /// The list of a product's root, valid as long as its certificates.
    pub fn of(product: Product, revoked: Vec<Vec<u8>>) -> Self {
        Self {
            issuer: format!("ARK-{}", product.name()),
            this_update: NOT_BEFORE.into(),
            next_update: NOT_AFTER.into(),
            revoked,
        }
    }

    /// Signs it (RFC 5280 section 5.1, version 2).
    pub fn sign(&self, issuer: &CaKey) -> Vec<u8> {
        let algorithm = fixed(PSS_SHA384);
        let time = |text: &str| der(0x17, &[text.as_bytes()]);
        let entry = |serial: &Vec<u8>| der(0x30, &[&der(2, &[serial]), &time(NOT_BEFORE)]);
        let entries: Vec<u8> = self.revoked.iter().flat_map(entry).collect();
        let entries = match self.revoked.is_empty() {
            true => Vec::new(),
            false => der(0x30, &[&entries]),
        };
        let number = der(0x30, &[&[6, 3, 0x55, 0x1d, 0x14], &der(4, &[&[2, 1, 1]])]);
        let tbs = der(
            0x30,
            &[
                &[2, 1, 1],
                &algorithm,
                &name(&self.issuer),
                &time(&self.this_update),
                &time(&self.next_update),
                &entries,
                &der(0xa0, &[&der(0x30, &[&number])]),
            ],
        );
        let signature = der(3, &[&[0], &issuer.sign(&tbs, true)]);
        der(0x30, &[&tbs, &algorithm, &signature])
    }
}
