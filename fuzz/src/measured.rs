//! What the agent reads of a firmware's log, at boot, before it measures its configuration.

use assay_appraisal::eventlog;
use assay_appraisal::tpm::algorithm::HashAlg;

// The agent's own file, without the agent: it would bring the TSS with it.
#[path = "../../agent/src/measure/log.rs"]
mod log;

/// Where the agent's error is for that file.
#[derive(Debug)]
enum MeasureError {
    Log(String),
}

/// The configuration's register.
const PCR: u8 = 12;

/// Never a panic, and never another value than the verifier gives the same log.
pub fn log(data: &[u8]) {
    let parsed = log::Log::parse(data);
    let ours = parsed
        .as_ref()
        .map_err(|MeasureError::Log(why)| why.clone());
    let ours = ours.and_then(|log| {
        assert!(!log.banks.is_empty());
        log.replay(PCR).map_err(|MeasureError::Log(why)| why)
    });
    let Ok(ours) = ours else {
        return;
    };
    let theirs = eventlog::parse(data).and_then(|log| log.replay(HashAlg::Sha256));
    if let Ok(values) = theirs {
        let value = values
            .get(&u32::from(PCR))
            .map_or(&[0; 32][..], Vec::as_slice);
        assert_eq!(ours, value, "PCR {PCR}");
    }
}
