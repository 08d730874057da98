//! Azure's evidence, generated: HCL report, claims, quote.

use super::*;
use crate::crypto::key::PublicKey;
use crate::quote::PcrValues;
use crate::snp::azure::claims::RuntimeClaims;
use crate::snp::azure::hcl::{CLAIMS_BYTES_MAX, HCL_BYTES_MAX, HclReport};
use crate::snp::azure::verify::{self as composed, AzureVm, ExpectedQuote, RawQuote};
use crate::tpm::algorithm::HashAlg;
use crate::tpm::attest::tests::{encode, sample};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};

static AK: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
static OTHER: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

fn base64url(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let groups = bytes.chunks(3).map(|group| {
        let bits = group
            .iter()
            .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        let digit = |at: usize| alphabet[(bits >> (18 - 6 * at)) as usize & 63] as char;
        (0..=group.len()).map(digit).collect::<String>()
    });
    groups.collect()
}

fn public(key: &RsaKeyPair) -> PublicKey {
    let spki: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    PublicKey::from_spki(spki.as_ref()).unwrap()
}

fn jwk(key: &RsaKeyPair) -> String {
    let PublicKey::Rsa { modulus, .. } = public(key) else {
        unreachable!()
    };
    let n = base64url(&modulus);
    format!(r#"{{"kid":"HCLAkPub","key_ops":["sign"],"kty":"RSA","e":"AQAB","n":"{n}"}}"#)
}

fn claims(key: &RsaKeyPair) -> String {
    let key = jwk(key);
    format!(
        r#"{{"keys":[{key},{{"kid":"HCLEkPub"}}],"vm-configuration":{{"secure-boot":true,"n":1}},"user-data":"00"}}"#
    )
}

fn hcl(report: &[u8], claims: &[u8]) -> Vec<u8> {
    let size = claims.len() as u32;
    let mut out = b"HCLA".to_vec();
    for word in [1, 32 + 1184 + 20 + size, 2, 0, 0, 0, 0] {
        out.extend(u32::to_le_bytes(word));
    }
    out.extend(report);
    for word in [20 + size, 1, 2, 1, size] {
        out.extend(word.to_le_bytes());
    }
    out.extend(claims);
    out.extend([0; 40]);
    out
}

struct Vm {
    case: Case,
    hcl: Vec<u8>,
}

impl Vm {
    fn new() -> Self {
        Self::with(&claims(&AK))
    }

    fn with(claims: &str) -> Self {
        let mut case = Case::genoa();
        let digest = HashAlg::Sha256.digest(&[claims.as_bytes()]);
        case.sign(|report| report.with(0x50, &digest));
        Self {
            hcl: hcl(&case.report, claims.as_bytes()),
            case,
        }
    }

    fn run(&self, mode: Mode) -> (Checks, Option<AzureVm>) {
        let mut checks = Checks::new(mode);
        let certificates = Certificates {
            kind: KeyKind::Vcek,
            leaf: &self.case.leaf,
            intermediate: &self.case.intermediate,
            root: &self.case.root,
        };
        static CACHE: LazyLock<ChainCache> = LazyLock::new(ChainCache::new);
        let trust = Trust {
            roots: &self.case.roots,
            at: AT,
            revocation: Revocation::default(),
            cache: &CACHE,
        };
        let vm = composed::vm(&mut checks, &self.hcl, certificates, &trust, &policy());
        (checks, vm.unwrap_or_default())
    }

    fn failed(&self) -> Vec<String> {
        let (checks, vm) = self.run(Mode::Explain);
        assert_eq!(vm.is_some(), checks.passed());
        failed(&checks)
    }
}

/// A quote as the vTPM makes it, with the bare signature.
struct Quote {
    attest: Vec<u8>,
    signature: Vec<u8>,
    pcrs: PcrValues,
}

impl Quote {
    fn by(key: &RsaKeyPair) -> Self {
        let pcrs: PcrValues = (0..24)
            .map(|at| ((HashAlg::Sha256, at), vec![at as u8; 32]))
            .collect();
        let parts: Vec<&[u8]> = pcrs.values().map(Vec::as_slice).collect();
        let mut content = sample();
        content.selections = composed::SELECTION.to_vec();
        content.pcr_digest = HashAlg::Sha256.digest(&parts);
        let attest = encode(&content);
        let mut signature = vec![0; 256];
        key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            &attest,
            &mut signature,
        )
        .unwrap();
        Self {
            attest,
            signature,
            pcrs,
        }
    }

    /// The name of the check that stopped, or `ok`.
    fn outcome(&self, vm: &AzureVm, nonce: &[u8]) -> String {
        let raw = RawQuote {
            attest: &self.attest,
            signature: &self.signature,
            pcrs: &self.pcrs,
        };
        let expected = ExpectedQuote {
            nonce,
            selection: &composed::SELECTION,
        };
        let mut checks = Checks::new(Mode::Verify);
        match composed::quote(&mut checks, vm, raw, expected) {
            Ok(quote) => {
                assert!(quote.is_some());
                "ok".into()
            }
            Err(stopped) => stopped.0.name,
        }
    }
}

#[test]
fn report_claims_and_quote_of_one_vm_hold() {
    let vm = Vm::new().run(Mode::Verify).1.unwrap();
    assert_eq!(vm.report().authentic().product(), Product::Genoa);
    assert_eq!(vm.claims().attestation_key, public(&AK));
    assert_eq!(Quote::by(&AK).outcome(&vm, &[7; 32]), "ok");
}

#[test]
fn a_quote_of_another_vm_or_for_another_challenge_is_refused() {
    let vm = Vm::new().run(Mode::Verify).1.unwrap();
    assert_eq!(Quote::by(&OTHER).outcome(&vm, &[7; 32]), "quote-signature");
    assert_eq!(
        Quote::by(&AK).outcome(&vm, &[8; 32]),
        "quote-qualifying-data"
    );
    let mut quote = Quote::by(&AK);
    quote.signature.push(0);
    assert_eq!(quote.outcome(&vm, &[7; 32]), "azure-quote-signature-size");
    quote.signature.truncate(255);
    assert_eq!(quote.outcome(&vm, &[7; 32]), "azure-quote-signature-size");
    let mut quote = Quote::by(&AK);
    quote.pcrs.insert((HashAlg::Sha256, 23), vec![0; 32]);
    assert_eq!(quote.outcome(&vm, &[7; 32]), "quote-pcr-digest");
}

#[test]
fn claims_of_another_vm_are_refused() {
    let mut vm = Vm::new();
    vm.hcl = hcl(&vm.case.report, claims(&OTHER).as_bytes());
    assert_eq!(vm.failed(), ["azure-claims-binding"]);
    let mut vm = Vm::new();
    let digest = HashAlg::Sha256.digest(&[claims(&AK).as_bytes()]);
    vm.case
        .sign(|report| report.with(0x50, &digest).with(0x8f, &[1]));
    vm.hcl = hcl(&vm.case.report, claims(&AK).as_bytes());
    assert_eq!(vm.failed(), ["azure-claims-binding"]);
}

#[test]
fn report_and_policy_are_judged_as_anywhere_else() {
    let mut vm = Vm::new();
    vm.case.roots = SnpRoots::amd();
    assert_eq!(vm.failed(), ["snp-root-pinned"]);
    let mut vm = Vm::new();
    let digest = HashAlg::Sha256.digest(&[claims(&AK).as_bytes()]);
    vm.case
        .sign(|report| report.with(0x50, &digest).with(0x30, &[2]));
    vm.hcl = hcl(&vm.case.report, claims(&AK).as_bytes());
    assert_eq!(vm.failed(), ["snp-vmpl"]);
}

/// The hash may be one of three, and fills as much of the report's data as it is long.
#[test]
fn the_hash_is_the_one_the_report_names() {
    let text = claims(&AK);
    for (id, hash) in [
        (1, HashAlg::Sha256),
        (2, HashAlg::Sha384),
        (3, HashAlg::Sha512),
    ] {
        let mut vm = Vm::new();
        vm.case
            .sign(|report| report.with(0x50, &hash.digest(&[text.as_bytes()])));
        vm.hcl = hcl(&vm.case.report, text.as_bytes());
        vm.hcl[32 + 1184 + 12] = id;
        assert_eq!(vm.failed(), [""; 0], "{hash:?}");
    }
}

/// The version of the header (byte 4) is the one thing nothing covers: 1 and 2 have the same layout.
#[test]
fn every_flipped_byte_and_every_truncation_of_an_hcl_report_is_refused() {
    let mut vm = Vm::new();
    let good = vm.hcl.clone();
    for at in 0..good.len() {
        vm.hcl = good.clone();
        vm.hcl[at] ^= 1;
        assert!(vm.run(Mode::Verify).1.is_none(), "flip {at}");
        if at < good.len() - 40 {
            assert!(HclReport::parse(&good[..at]).is_err(), "cut {at}");
        }
    }
    vm.hcl = good;
    vm.hcl[4] = 2;
    assert!(vm.run(Mode::Verify).1.is_some());
    for version in [0, 3] {
        vm.hcl[4] = version;
        assert_eq!(
            HclReport::parse(&vm.hcl).unwrap_err().to_string(),
            format!("HCL report: version: expected 1 or 2, got {version:#x}")
        );
    }
}

#[test]
fn hcl_headers_of_another_form_are_refused() {
    let good = Vm::new().hcl;
    for (at, value) in [
        (12, 1),
        (16, 1),
        (20, 1),
        (24, 1),
        (28, 1),
        (1216 + 4, 2),
        (1216 + 8, 4),
        (1216 + 12, 0),
        (1216 + 12, 4),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert!(HclReport::parse(&bytes).is_err(), "{at}");
    }
    let mut huge = good.clone();
    huge[1216 + 16..1216 + 20].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(
        HclReport::parse(&huge)
            .unwrap_err()
            .to_string()
            .contains("claims size")
    );
    let mut long = good;
    long.resize(HCL_BYTES_MAX, 0);
    assert!(HclReport::parse(&long).is_ok());
    long.push(0);
    assert!(HclReport::parse(&long).is_err());
}

#[test]
fn claims_without_one_usable_attestation_key_are_refused() {
    let good = claims(&AK);
    assert!(RuntimeClaims::parse(good.as_bytes()).is_ok());
    let key = jwk(&AK);
    for (from, to) in [
        (r#""kid":"HCLAkPub""#, r#""kid":"Other""#),
        (r#""kty":"RSA""#, r#""kty":"EC""#),
        (r#""key_ops":["sign"]"#, r#""key_ops":["encrypt"]"#),
        (r#""key_ops":["sign"]"#, r#""key_ops":["sign","encrypt"]"#),
        (r#""key_ops":["sign"]"#, r#""key_ops":[]"#),
        (r#""e":"AQAB""#, r#""e":"AQ""#),
        (r#""n":""#, r#""n":"AA"#),
        (r#""n":""#, r#""n":"="#),
        (r#""n""#, r#""m""#),
        (&key, &format!("{key},{key}")),
        (r#""n":1"#, r#""n":1.5"#),
        (r#""n":1"#, r#""n":18446744073709551615"#),
        (
            r#""user-data":"00""#,
            r#""user-data":"00","user-data":"00""#,
        ),
        (
            r#""secure-boot":true"#,
            r#""secure-boot":true,"secure-boot":false"#,
        ),
        (
            r#""kid":"HCLEkPub""#,
            r#""kid":"HCLEkPub","kid":"HCLEkPub""#,
        ),
        (r#""keys":["#, r#""keys":[1,2,3,4,5,6,7,"#),
    ] {
        assert!(good.contains(from), "{from}");
        assert!(
            RuntimeClaims::parse(good.replacen(from, to, 1).as_bytes()).is_err(),
            "{to}"
        );
    }
    for bad in [
        "",
        "[]",
        "null",
        "{}",
        r#"{"keys":null}"#,
        &format!("{good} x"),
    ] {
        assert!(RuntimeClaims::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let eight = good.replacen(r#""keys":["#, r#""keys":[1,2,3,4,5,6,"#, 1);
    assert!(RuntimeClaims::parse(eight.as_bytes()).is_ok());
}

#[test]
fn claims_are_capped_in_size_and_depth() {
    let padded = |size: usize| format!("{}{}", claims(&AK), " ".repeat(size - claims(&AK).len()));
    assert!(RuntimeClaims::parse(padded(CLAIMS_BYTES_MAX).as_bytes()).is_ok());
    assert!(RuntimeClaims::parse(padded(CLAIMS_BYTES_MAX + 1).as_bytes()).is_err());
    assert!(RuntimeClaims::parse("[".repeat(CLAIMS_BYTES_MAX).as_bytes()).is_err());
}

/// A modulus whose first bit is clear has fewer than 2048 bits; base64url has one form.
#[test]
fn a_short_or_loosely_written_modulus_is_refused() {
    let with = |n: &str| {
        format!(
            r#"{{"keys":[{{"kid":"HCLAkPub","key_ops":["sign"],"kty":"RSA","e":"AQAB","n":"{n}"}}]}}"#
        )
    };
    let parse = |n: &str| RuntimeClaims::parse(with(n).as_bytes()).is_ok();
    let full = base64url(&[0xff; 256]);
    assert!(parse(&full) && parse(&base64url(&[0x80; 256])));
    assert!(!parse(&base64url(&[0x7f; 256])));
    assert!(!parse(&base64url(&[0xff; 255])) && !parse(&base64url(&[0xff; 257])));
    let loose = format!("{}x", &full[..full.len() - 1]);
    assert!(full.ends_with('w') && !parse(&loose));
    for bad in ["=", "+", "/", " ", "\\n"] {
        assert!(!parse(&format!("{full}{bad}")), "{bad}");
    }
}
