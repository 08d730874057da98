//! TPM quotes as a whole, their PCR files and clocks.

use crate::node::{ak, node};
use assay_appraisal::checks::{Checks, Mode};
use assay_appraisal::clock::{Reenrolment, same_tpm, step};
use assay_appraisal::crypto::verifying_key::{LegacyKey, Verifier};
use assay_appraisal::quote::{self, Expected, PcrValues, Received};
use assay_appraisal::tpm::ak::{AkRules, AttestationKey, check};
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::tpm::attest::{self, ClockInfo};
use assay_appraisal::tpm::public;
use assay_cli::pcrs;
use assay_protocol::ids::{Digest, UnixMs};
use assay_testbed::soft_node::QUOTED;
use std::borrow::Cow;

/// A quote the node's key really signed, whatever it says: two bytes of size, TPMS_ATTEST, then PCR values. Stopping at
/// the first failure and explaining all of them must come to the same end.
pub fn tpm_quote(data: &[u8]) {
    let Some((size, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let at = usize::from(u16::from_be_bytes(*size)).min(rest.len());
    let (attest, values) = rest.split_at(at);
    let Ok(parsed) = attest::parse(attest) else {
        return;
    };
    let pcrs: PcrValues = values
        .chunks_exact(32)
        .zip(0..32)
        .map(|(value, index)| ((HashAlg::Sha256, index), value.to_vec()))
        .collect();
    let signature = node().ak.sign(attest);
    let received = Received {
        attest,
        signature: &signature,
        pcrs: Cow::Borrowed(&pcrs),
    };
    let legacy = LegacyKey(ak().key());
    let keys: [&dyn Verifier; 3] = [ak().key(), ak().verifying_key(), &legacy];
    for key in keys {
        let expected = Expected {
            key,
            qualifying_data: &parsed.extra_data,
            selection: &parsed.selections,
        };
        let mut checks = Checks::new(Mode::Explain);
        let explained = quote::authenticate(&mut checks, received.clone(), expected);
        let explained = explained.expect("explaining does not stop");
        assert_eq!(explained.is_some(), checks.passed());
        assert_eq!(quote::verify(received.clone(), expected).ok(), explained);
        let foreign = Expected {
            selection: &quote::SELECTION,
            qualifying_data: b"another nonce",
            ..expected
        };
        assert!(
            quote::verify(received.clone(), foreign).is_err()
                || parsed.extra_data == b"another nonce"
        );
    }
}

/// The rules of attestation keys: what a network takes, the offline tools take.
pub fn tpm_ak_rules(data: &[u8]) {
    let Ok(public) = public::parse(data) else {
        return;
    };
    let network = check(&public, AkRules::Network).ok();
    let offline = check(&public, AkRules::Offline).ok();
    assert!(network.is_none() || network == offline);
    assert!(offline.is_none() || offline == check(&public, AkRules::OfflineLegacy).ok());
    assert_eq!(public.object_name().len(), 2 + public.name_alg.size());
    if let Ok(key) = AttestationKey::from_public(public) {
        assert!(network.is_some() && key.verifying_key().public() == key.key());
    }
}

/// Files of PCR values, read for the quote that an agent makes.
pub fn pcr_file(data: &[u8]) {
    if let Ok(file) = pcrs::read(data, &quote::SELECTION) {
        assert!(
            file.values
                .iter()
                .all(|((bank, _), value)| value.len() == bank.size())
        );
    }
}

/// Histories of clocks, 17 bytes each: an accepted step leaves a record that refuses what lay before it.
pub fn tpm_clock(data: &[u8]) {
    let quotes: Vec<(UnixMs, ClockInfo)> = data.chunks_exact(17).filter_map(clock).collect();
    let (a, b) = quotes.split_at(quotes.len() / 2);
    let _ = same_tpm(a, b).suspected();
    let mut last: Option<ClockInfo> = None;
    for (_, now) in &quotes {
        let accepted = step(last.as_ref(), now, Reenrolment::None).is_ok();
        if let (Some(before), true) = (last, accepted) {
            let back = step(Some(now), &before, Reenrolment::None).is_ok();
            let same = (before.reset_count, before.restart_count, before.clock_ms)
                == (now.reset_count, now.restart_count, now.clock_ms);
            assert_eq!(back, same, "{before:?} and {now:?}");
        }
        if accepted {
            last = Some(*now);
        }
        assert!(step(last.as_ref(), now, Reenrolment::AfterClear).is_ok());
    }
}

fn clock(bytes: &[u8]) -> Option<(UnixMs, ClockInfo)> {
    let (clock, rest) = bytes.split_first_chunk::<8>()?;
    let (reset, rest) = rest.split_first_chunk::<4>()?;
    let (restart, rest) = rest.split_first_chunk::<4>()?;
    let clock_ms = u64::from_be_bytes(*clock);
    let info = ClockInfo {
        clock_ms,
        reset_count: u32::from_be_bytes(*reset),
        restart_count: u32::from_be_bytes(*restart),
        safe: rest.first()? & 1 == 1,
    };
    Some((UnixMs(clock_ms.wrapping_mul(3)), info))
}

/// The first corpus of each target here.
pub fn seeds() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let node = node();
    let values: Vec<(u8, Digest)> = (0..15).map(|index| (index, Digest([index; 32]))).collect();
    let attest = node.ak.attest(&[7; 32], (QUOTED, &values), &node.clock, 7);
    let plain: Vec<u8> = values.iter().flat_map(|(_, value)| value.0).collect();
    let json: Vec<String> = values
        .iter()
        .map(|(i, v)| format!("\"{i}\":\"{v}\""))
        .collect();
    let json = format!("{{\"sha256\":{{{}}}}}", json.join(","));
    let quoted = [&(attest.len() as u16).to_be_bytes()[..], &attest, &plain].concat();
    let clocks = [[1u8; 17], [2; 17], [3; 17]].concat();
    vec![
        ("tpm_quote", vec![quoted]),
        ("tpm_ak_rules", vec![node.ak.public()]),
        (
            "pcr_file",
            vec![pcrs::write_serialized(&values), plain, json.into_bytes()],
        ),
        ("tpm_clock", vec![clocks]),
    ]
}
