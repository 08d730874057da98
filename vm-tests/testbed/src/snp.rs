//! A SEV-SNP machine made of software: a root, intermediates and chip keys with AMD's extensions, and
//! reports that a chip key signs.
//!
//! Nothing here is trusted by anybody who does not pin its root: reports have to pass the same checks as
//! AMD's, under a root of kind `test`. RSA keys are made once per process, because that takes seconds.

mod certificate;

pub use certificate::{CaKey, CertificateSpec, ChipKey, CrlSpec, Extension, der};
use std::sync::LazyLock;

/// First second of every certificate unless said otherwise: 2024-01-01.
pub const NOT_BEFORE: &str = "240101000000Z";
/// Last second of every certificate unless said otherwise: 2049-01-01.
pub const NOT_AFTER: &str = "490101000000Z";
/// Size of a report, bytes.
pub const REPORT_BYTES: usize = 1184;
/// The part of it that is signed.
pub const SIGNED_BYTES: usize = 672;

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

/// The certificate table that a host hands over with an extended report (GHCB specification, section 4.1.8.1).
pub fn cert_table(certificates: &Certificates, vcek: &[u8]) -> Vec<u8> {
    const VCEK: u128 = 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd;
    const ASK: u128 = 0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782;
    const ARK: u128 = 0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae;
    let entries: [(u128, &[u8]); 3] = [
        (VCEK, vcek),
        (ASK, &certificates.ask),
        (ARK, &certificates.ark),
    ];
    let mut offset = 24 * (entries.len() + 1);
    let (mut head, mut body): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    for (guid, content) in entries {
        head.extend(guid.to_be_bytes());
        head.extend((offset as u32).to_le_bytes());
        head.extend((content.len() as u32).to_le_bytes());
        body.extend(content);
        offset += content.len();
    }
    head.extend([0; 24]);
    head.extend(body);
    head
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
