//! A SEV-SNP machine made of software: a root, intermediates and chip keys with AMD's extensions, and
//! reports that a chip key signs.
//!
//! Nothing here is trusted by anybody who does not pin its root: reports have to pass the same checks as
//! AMD's, under a root of kind `test`. RSA keys are made once per process, because that takes seconds.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _, RsaKeyPair,
};
use std::sync::LazyLock;

/// First second of every certificate unless said otherwise: 2024-01-01.
pub const NOT_BEFORE: &str = "240101000000Z";
/// Last second of every certificate unless said otherwise: 2049-01-01.
pub const NOT_AFTER: &str = "490101000000Z";
/// Size of a report, bytes.
pub const REPORT_BYTES: usize = 1184;
/// The part of it that is signed.
pub const SIGNED_BYTES: usize = 672;

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

/// A product line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// As in the names of AMD's keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    fn cpuid(self) -> [u8; 3] {
        match self {
            Self::Milan => [0x19, 0x01, 1],
            Self::Genoa => [0x19, 0x11, 1],
            Self::Turin => [0x1a, 0x02, 1],
        }
    }

    /// A TCB in the product's layout.
    pub fn tcb(self) -> [u8; 8] {
        match self {
            Self::Milan | Self::Genoa => [4, 1, 0, 0, 0, 0, 24, 219],
            Self::Turin => [1, 4, 1, 24, 0, 0, 0, 219],
        }
    }

    /// An identifier in the product's form.
    pub fn chip_id(self) -> [u8; 64] {
        let mut id = [0xc1; 64];
        if self == Self::Turin {
            id[8..].fill(0);
        }
        id
    }
}

/// Signing keys of one authority: root, and the intermediates for VCEKs and VLEKs.
pub struct Authority {
    /// ARK.
    pub ark: CaKey,
    /// ASK.
    pub ask: CaKey,
    /// ASVK.
    pub asvk: CaKey,
}

impl Authority {
    /// The one of this process.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Authority> = LazyLock::new(|| Authority {
            ark: CaKey::generate(),
            ask: CaKey::generate(),
            asvk: CaKey::generate(),
        });
        &SHARED
    }

    /// The root's certificate, to be changed or signed by [`Self::ark`].
    pub fn ark_spec(&self, product: Product) -> CertificateSpec {
        let name = format!("ARK-{}", product.name());
        Self::ca((&name, &name), self.ark.spki(), 0, None)
    }

    /// The ASK's certificate, to be changed or signed by [`Self::ark`].
    pub fn ask_spec(&self, product: Product) -> CertificateSpec {
        let (ark, ask) = (
            format!("ARK-{}", product.name()),
            format!("SEV-{}", product.name()),
        );
        Self::ca((&ark, &ask), self.ask.spki(), 1, Some(0))
    }

    /// The ASVK's certificate, to be changed or signed by [`Self::ark`].
    pub fn asvk_spec(&self, product: Product) -> CertificateSpec {
        let (ark, asvk) = (
            format!("ARK-{}", product.name()),
            format!("SEV-VLEK-{}", product.name()),
        );
        Self::ca((&ark, &asvk), self.asvk.spki(), 2, Some(0))
    }

    fn ca(
        (issuer, subject): (&str, &str),
        spki: Vec<u8>,
        serial: u8,
        path: Option<u8>,
    ) -> CertificateSpec {
        CertificateSpec {
            serial: vec![1, 0, serial],
            issuer: issuer.into(),
            subject: subject.into(),
            not_before: NOT_BEFORE.into(),
            not_after: NOT_AFTER.into(),
            spki,
            extensions: vec![
                Extension::basic_constraints(true, path),
                Extension::key_usage(0x06),
            ],
            pss: true,
        }
    }
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

/// A chip with its key and identity; every field may be changed by a test.
pub struct Chip {
    /// The product.
    pub product: Product,
    /// The key that signs reports.
    pub key: ChipKey,
    /// The TCB the key is derived from.
    pub tcb: [u8; 8],
    /// Its identifier.
    pub chip_id: [u8; 64],
}

impl Chip {
    /// A chip of a product, with a key of its own.
    pub fn new(product: Product) -> Self {
        Self {
            product,
            key: ChipKey::generate(),
            tcb: product.tcb(),
            chip_id: product.chip_id(),
        }
    }

    /// Its VCEK's certificate, to be changed or signed by the ASK.
    pub fn vcek_spec(&self) -> CertificateSpec {
        let size = if self.product == Product::Turin {
            8
        } else {
            64
        };
        let mut spec = self.leaf("SEV-", "SEV-VCEK");
        spec.extensions
            .push(Extension::amd(&[4], self.chip_id[..size].to_vec()));
        spec
    }

    /// A VLEK's certificate, to be changed or signed by the ASVK.
    pub fn vlek_spec(&self) -> CertificateSpec {
        let mut spec = self.leaf("SEV-VLEK-", "SEV-VLEK");
        spec.extensions
            .push(Extension::amd_text(&[5], "CN=cloud.example"));
        spec
    }

    /// Its VCEK, by the shared authority.
    pub fn vcek(&self) -> Vec<u8> {
        self.vcek_spec().sign(&Authority::shared().ask)
    }

    /// A VLEK with its key, by the shared authority.
    pub fn vlek(&self) -> Vec<u8> {
        self.vlek_spec().sign(&Authority::shared().asvk)
    }

    fn leaf(&self, issuer: &str, subject: &str) -> CertificateSpec {
        let mut extensions = vec![
            Extension::amd_number(&[1], u8::from(self.product == Product::Turin)),
            Extension::amd_text(&[2], self.product.name()),
        ];
        let parts: &[(u8, usize)] = match self.product {
            Product::Turin => &[
                (9, 0),
                (1, 1),
                (2, 2),
                (3, 3),
                (5, 4),
                (6, 5),
                (7, 6),
                (8, 7),
            ],
            _ => &[
                (1, 0),
                (2, 1),
                (4, 2),
                (5, 3),
                (6, 4),
                (7, 5),
                (3, 6),
                (8, 7),
            ],
        };
        let spl = |(arc, at): &(u8, usize)| Extension::amd_number(&[3, *arc], self.tcb[*at]);
        extensions.extend(parts.iter().map(spl));
        CertificateSpec {
            serial: vec![0],
            issuer: format!("{issuer}{}", self.product.name()),
            subject: subject.into(),
            not_before: NOT_BEFORE.into(),
            not_after: NOT_AFTER.into(),
            spki: self.key.spki(),
            extensions,
            pss: true,
        }
    }

    /// A report of a plain guest, not signed yet: see [`Self::sign`].
    pub fn report(&self, version: u32) -> Report {
        let mut report = Report([0; REPORT_BYTES]);
        report.set(0x00, &version.to_le_bytes());
        report.set(0x08, &0x0003_0000u64.to_le_bytes());
        report.set(0x34, &[1]);
        report.set(0x40, &[0x25]);
        report.set(0x90, &[0x11; 48]);
        report.set(0x160, &[0xff; 32]);
        report.set(0x1a0, &self.chip_id);
        for at in [0x38, 0x180, 0x1e0, 0x1f0] {
            report.set(at, &self.tcb);
        }
        for at in [0x1e8, 0x1ec] {
            report.set(at, &[29, 55, 1]);
        }
        if version >= 3 {
            report.set(0x188, &self.product.cpuid());
        }
        if version >= 5 {
            report.set(0x1f8, &[0x0b]);
            report.set(0x200, &[0x0f]);
        }
        report
    }

    /// The report's bytes, signed by this chip's key.
    pub fn sign(&self, mut report: Report) -> Vec<u8> {
        self.key.sign_report(&mut report.0);
        report.0.to_vec()
    }
}

/// A report whose bytes can be set by their offset in AMD's table.
#[derive(Debug, Clone)]
pub struct Report(pub [u8; REPORT_BYTES]);

impl Report {
    /// Overwrites bytes.
    pub fn set(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// As [`Self::set`], for building in one expression.
    pub fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.set(at, bytes);
        self
    }
}

/// Root, intermediate and leaf certificates of a chip by the shared authority.
pub struct Certificates {
    /// ARK.
    pub ark: Vec<u8>,
    /// ASK.
    pub ask: Vec<u8>,
    /// ASVK.
    pub asvk: Vec<u8>,
}

impl Certificates {
    /// Those of a product.
    pub fn of(product: Product) -> Self {
        let shared = Authority::shared();
        Self {
            ark: shared.ark_spec(product).sign(&shared.ark),
            ask: shared.ask_spec(product).sign(&shared.ark),
            asvk: shared.asvk_spec(product).sign(&shared.ark),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

    #[test]
    fn a_report_is_signed_over_its_first_part_by_the_certified_key() {
        let chip = Chip::new(Product::Genoa);
        let report = chip.sign(chip.report(5));
        assert_eq!(report.len(), REPORT_BYTES);
        let number = |at: usize| {
            report[at..at + 48]
                .iter()
                .rev()
                .copied()
                .collect::<Vec<u8>>()
        };
        let signature = [number(SIGNED_BYTES), number(SIGNED_BYTES + 72)].concat();
        let spki = chip.key.spki();
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &spki[spki.len() - 97..]);
        key.verify(&report[..SIGNED_BYTES], &signature).unwrap();
        assert!(key.verify(&report[..SIGNED_BYTES - 1], &signature).is_err());
    }

    #[test]
    fn lengths_are_minimal_der() {
        assert_eq!(der(4, &[&[0; 127]])[..2], [4, 0x7f]);
        assert_eq!(der(4, &[&[0; 128]])[..3], [4, 0x81, 0x80]);
        assert_eq!(der(4, &[&[0; 256]])[..4], [4, 0x82, 1, 0]);
    }
}
