//! On a real swtpm, as the only client.

use super::*;
use assay_testbed::{MeasuredBoot, Swtpm, TestCa, Variant};
use std::process::Command;
use tempfile::TempDir;

struct Bench {
    dir: TempDir,
    swtpm: Swtpm,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = TestCa::create(&dir.path().join("ca")).unwrap();
        let swtpm = Swtpm::create(&dir.path().join("tpm"), &ca, "node").unwrap();
        Self { dir, swtpm }
    }

    fn config(&self) -> TpmConfig {
        TpmConfig::new(self.swtpm.tcti(), self.dir.path().join("ak.blob"))
    }

    fn open(&self) -> Tpm {
        Tpm::open(self.config()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[test]
fn identity_survives_reopening_and_reboot_and_a_reboot_shows_in_the_counters() {
    let mut bench = Bench::new();
    let (identity, before) = {
        let tpm = bench.open();
        (tpm.identity().clone(), tpm.clock().unwrap())
    };
    assert_eq!(identity.ek_certificate[0], 0x30);
    assert_eq!(&identity.ek_public[..4], [0, 1, 0, 0x0b]);
    assert_eq!(&identity.ak_public[..4], [0, 0x23, 0, 0x0b]);
    assert_eq!(*bench.open().identity(), identity);
    bench.swtpm.restart().unwrap();
    let tpm = bench.open();
    assert_eq!(*tpm.identity(), identity);
    assert!(tpm.clock().unwrap().reset_count > before.reset_count);
}

#[test]
fn a_running_handle_reopens_a_tpm_that_was_restarted() {
    let mut bench = Bench::new();
    let tpm = bench.open();
    let before = tpm.quote([1; 32]).unwrap();
    bench.swtpm.restart().unwrap();
    assert!(matches!(tpm.quote([2; 32]), Err(TpmError::Command { .. })));
    let after = tpm.quote([2; 32]).unwrap();
    assert_eq!(after.clock.reset_count, before.clock.reset_count + 1);
}

#[test]
fn a_quote_is_wire_bytes_over_the_registers_it_names() {
    let bench = Bench::new();
    let boot = MeasuredBoot::new(Variant::Good, b"config");
    boot.extend(&bench.swtpm).unwrap();
    let tpm = bench.open();
    let quote = tpm.quote([0xa5; 32]).unwrap();
    assert_eq!(&quote.attest[..6], [0xff, 0x54, 0x43, 0x47, 0x80, 0x18]);
    assert!(
        quote
            .attest
            .windows(34)
            .any(|w| w[..2] == [0, 32] && w[2..] == [0xa5; 32])
    );
    assert_eq!(&quote.signature[..4], [0x00, 0x18, 0x00, 0x0b]);
    let values: Vec<[u8; 32]> = quote.pcrs.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, boot.pcrs());
    assert_eq!(tpm.pcrs().unwrap(), quote.pcrs);
    let clock = tpm.clock().unwrap();
    assert_eq!(clock.reset_count, quote.clock.reset_count);
    assert_eq!(clock.restart_count, quote.clock.restart_count);
    assert!(clock.clock_ms >= quote.clock.clock_ms);
}

#[test]
fn the_quote_verifies_under_the_attestation_key() {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey,
    };
    let bench = Bench::new();
    let tpm = bench.open();
    let quote = tpm.quote([3; 32]).unwrap();
    // TPMT_PUBLIC of an ECC key ends in x and y, TPMT_SIGNATURE in r and s, each with its size.
    let point = |bytes: &[u8]| {
        let tail = &bytes[bytes.len() - 68..];
        [&tail[2..34], &tail[36..]].concat()
    };
    let public = [&[4], &point(&tpm.identity().ak_public)[..]].concat();
    let signature = point(&quote.signature);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public)
        .verify(&quote.attest, &signature)
        .unwrap();
    let wrong = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public);
    assert!(wrong.verify(&quote.attest, &signature).is_err());
}

#[test]
fn what_killed_clients_left_is_flushed() {
    let bench = Bench::new();
    // TPM2_StartAuthSession of HMAC and policy sessions until no memory is left.
    for kind in [0u8, 1, 0] {
        let mut raw = bench.swtpm.connect().unwrap();
        let mut body = [0x4000_0007u32.to_be_bytes(), 0x4000_0007u32.to_be_bytes()].concat();
        body.extend([0, 16]);
        body.extend([9; 16]);
        body.extend([0, 0, kind, 0x00, 0x10, 0x00, 0x0b]);
        raw.command(0x8001, 0x0000_0176, &body).unwrap();
    }
    let tpm = bench.open();
    tpm.quote([0; 32]).unwrap();
}

#[test]
fn a_stopped_tpm_is_a_named_timeout_and_recovers() {
    let bench = Bench::new();
    let config = TpmConfig {
        deadline: Duration::from_millis(300),
        ..bench.config()
    };
    let tpm = Tpm::open(config).unwrap();
    bench.swtpm.freeze().unwrap();
    let error = tpm.quote([0; 32]).unwrap_err();
    assert!(
        matches!(error, TpmError::Timeout { call: "quote", .. }),
        "{error}"
    );
    assert!(error.hint().contains("another client"));
    bench.swtpm.thaw().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    tpm.quote([0; 32]).unwrap();
}

#[test]
fn a_missing_tpm_says_where_it_was_looked_for() {
    let mut bench = Bench::new();
    bench.swtpm.kill9();
    let error = Tpm::open(bench.config()).unwrap_err();
    assert!(matches!(error, TpmError::Missing { .. }), "{error}");
    assert!(error.to_string().contains(&bench.swtpm.tcti()));
    let device = TpmConfig::new("device:/nonexistent/tpmrm0", bench.path("ak.blob"));
    let error = Tpm::open(device).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no TPM at device:/nonexistent/tpmrm0"),
        "{error}"
    );
    let unknown = TpmConfig::new("tabrmd:", bench.path("ak.blob"));
    assert!(matches!(Tpm::open(unknown), Err(TpmError::Tcti { .. })));
}

#[test]
fn a_missing_certificate_names_its_index() {
    let bench = Bench::new();
    let config = TpmConfig {
        ek_nv_index: 0x01c0_000a,
        ..bench.config()
    };
    let error = Tpm::open(config).unwrap_err();
    assert!(error.to_string().contains("0x01c0000a"), "{error}");
}

#[test]
fn damaged_and_foreign_key_blobs_are_named_and_never_replaced() {
    let bench = Bench::new();
    drop(bench.open());
    let path = bench.path("ak.blob");
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..50]).unwrap();
    assert!(matches!(
        Tpm::open(bench.config()),
        Err(TpmError::BlobDamaged { .. })
    ));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    let error = Tpm::open(bench.config()).unwrap_err();
    assert!(matches!(error, TpmError::BlobRefused { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), flipped);
    let other = Bench::new();
    std::fs::write(other.path("ak.blob"), &good).unwrap();
    assert!(matches!(
        Tpm::open(other.config()),
        Err(TpmError::BlobRefused { .. })
    ));
}

/// tpm2_makecredential without a TPM: another implementation's MakeCredential.
fn make_credential(bench: &Bench, ek_public: &[u8], name: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let ek = [&(ek_public.len() as u16).to_be_bytes()[..], ek_public].concat();
    std::fs::write(bench.path("ek.pub"), ek).unwrap();
    std::fs::write(bench.path("secret"), b"sixteen byte key").unwrap();
    let output = Command::new("tpm2_makecredential")
        .args(["-T", "none", "-n", &hex::encode(name)])
        .arg("-u")
        .arg(bench.path("ek.pub"))
        .arg("-s")
        .arg(bench.path("secret"))
        .arg("-o")
        .arg(bench.path("credential"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // File: magic u32, version u32, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET.
    let file = std::fs::read(bench.path("credential")).unwrap();
    let size = usize::from(u16::from_be_bytes([file[8], file[9]]));
    (file[8..10 + size].to_vec(), file[10 + size..].to_vec())
}

#[test]
fn a_credential_for_this_key_opens_and_any_other_is_refused() {
    let bench = Bench::new();
    let tpm = bench.open();
    let identity = tpm.identity();
    let (blob, secret) = make_credential(&bench, &identity.ek_public, &identity.ak_name.0);
    for _ in 0..5 {
        let opened = tpm.activate(blob.clone(), secret.clone()).unwrap();
        assert_eq!(opened, b"sixteen byte key");
    }
    let mut other = identity.ak_name.0;
    other[9] ^= 1;
    let (wrong, wrong_secret) = make_credential(&bench, &identity.ek_public, &other);
    for _ in 0..5 {
        let refused = tpm.activate(wrong.clone(), wrong_secret.clone());
        assert!(matches!(refused, Err(TpmError::CredentialRefused { .. })));
    }
    assert!(matches!(
        tpm.activate(vec![0, 9, 1], secret),
        Err(TpmError::Malformed { .. })
    ));
    tpm.quote([0; 32]).unwrap();
}
