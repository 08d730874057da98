//! SEV-SNP reports: the chain's signatures are verified once, then found by their digest.

use super::bare::{Signed, Work};
use crate::harness::Pair;
use assay_appraisal::checks::{Checks, Mode};
use assay_appraisal::crypto::key::PublicKey;
use assay_appraisal::snp::ChainCache;
use assay_appraisal::snp::report::KeyKind;
use assay_appraisal::snp::verify::{self, Revocation, Trust};
use assay_appraisal::snp::{self, SnpRoots, report};
use assay_appraisal::x509::Certificate;
use assay_protocol::ids::UnixMs;
use assay_testbed::snp::{Authority, Certificates, Chip, Product};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, RSA_PSS_2048_8192_SHA384};
use std::hint::black_box;

/// When all certificates of the testbed are valid.
pub const AT: UnixMs = UnixMs(1_793_491_200_000);

/// One with the chain known, one without.
pub fn pairs() -> Vec<Pair> {
    vec![Bench::new().warm(), Bench::new().cold()]
}

/// The roots of the testbed, for this product.
pub fn roots(product: Product) -> SnpRoots {
    let ark = Authority::shared().ark.spki();
    let of_product = snp::Product::from_name(product.name()).unwrap();
    SnpRoots::test([(of_product, ark.as_slice())])
}

/// The signature of a report, by a key decoded beforehand.
pub fn report_signature(report: &[u8], vcek: &[u8]) -> Signed {
    let parsed = report::parse(report).unwrap();
    let key = Certificate::parse(vcek).unwrap().key;
    let signed = (parsed.signed, &parsed.signature[..]);
    Signed::new(&ECDSA_P384_SHA384_FIXED, &key.bytes(), signed)
}

struct Bench {
    report: Vec<u8>,
    chain: [Vec<u8>; 3],
    roots: SnpRoots,
}

impl Bench {
    fn new() -> Self {
        let chip = Chip::new(Product::Genoa);
        let certificates = Certificates::of(Product::Genoa);
        Self {
            report: chip.sign(chip.report(3)),
            chain: [chip.vcek(), certificates.ask, certificates.ark],
            roots: roots(Product::Genoa),
        }
    }

    fn verify(&self, cache: &ChainCache) {
        let [leaf, intermediate, root] = &self.chain;
        let certificates = verify::Certificates {
            kind: KeyKind::Vcek,
            leaf,
            intermediate,
            root,
        };
        let trust = Trust {
            roots: &self.roots,
            at: AT,
            revocation: Revocation::default(),
            cache,
        };
        let mut checks = Checks::new(Mode::Verify);
        let report = black_box(&self.report);
        let report = verify::authenticate(&mut checks, report, certificates, &trust);
        assert!(black_box(report).unwrap().is_some());
    }

    fn warm(self) -> Pair {
        let bare = Work {
            signed: vec![report_signature(&self.report, &self.chain[0])],
            ..Work::default()
        };
        let cache = ChainCache::new();
        Pair {
            name: "SEV-SNP report, chain known".into(),
            bytes: 0,
            bare: Box::new(move || bare.run()),
            ours: Box::new(move || self.verify(&cache)),
        }
    }

    fn cold(self) -> Pair {
        let [vcek, ask, ark] = &self.chain;
        let bare = Work {
            signed: vec![
                report_signature(&self.report, vcek),
                certified(vcek, ask),
                certified(ask, ark),
                certified(ark, ark),
            ],
            ..Work::default()
        };
        Pair {
            name: "SEV-SNP report, chain new".into(),
            bytes: 0,
            bare: Box::new(move || bare.run()),
            ours: Box::new(move || self.verify(&ChainCache::new())),
        }
    }
}

fn certified(certificate: &[u8], issuer: &[u8]) -> Signed {
    let issuer: PublicKey = Certificate::parse(issuer).unwrap().key;
    let certificate = Certificate::parse(certificate).unwrap();
    let signed = (certificate.tbs, certificate.signature);
    Signed::rsa(&RSA_PSS_2048_8192_SHA384, &issuer, signed)
}
