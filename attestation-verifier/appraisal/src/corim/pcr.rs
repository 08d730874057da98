//! From reference values to what a hardware class pins: PCR values of the SHA-256 bank.

use super::environment::Environment;
use super::measurement::{DigestAlg, DigestValue, Key, Measurement};
use super::{CorimError, ReferenceValues};
use assay_protocol::class::PcrReference;
use assay_protocol::ids::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// Highest PCR index.
pub const PCR_INDEX_MAX: u8 = 23;

/// PCR values allowed for one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcrSet {
    /// What is described; values of two environments are never mixed.
    pub environment: Environment,
    /// Ascending by index, each with at least one value.
    pub pcrs: Vec<PcrReference>,
}

type ByIndex = BTreeMap<u8, BTreeSet<Digest>>;

impl ReferenceValues {
    /// The PCR values of each environment, for `attestation.pcrs` of a class.
    ///
    /// A measurement is a PCR when its key is the index or `PCR` and the index, or when it holds integrity
    /// registers so named. Several of one index are alternatives. Refused as a whole when a measurement is
    /// anything else, has no SHA-256 digest, or asks for more than digests: what a class cannot hold would
    /// be a condition dropped. A manifest of another profile's numbering (SEV-SNP) is refused too.
    pub fn pcr_references(&self) -> Result<Vec<PcrSet>, CorimError> {
        if let Some(profile) = self.profile() {
            return Err(CorimError::reference("of a PCR", "no profile", profile));
        }
        let mut sets: BTreeMap<&Environment, ByIndex> = BTreeMap::new();
        for reference in self.references() {
            let set = sets.entry(&reference.environment).or_default();
            for measurement in &reference.measurements {
                add(set, measurement)?;
            }
        }
        Ok(sets.into_iter().map(pcr_set).collect())
    }
}

fn pcr_set((environment, by_index): (&Environment, ByIndex)) -> PcrSet {
    let reference = |(index, allowed): (u8, BTreeSet<Digest>)| PcrReference {
        index,
        allowed: allowed.into_iter().collect(),
    };
    PcrSet {
        environment: environment.clone(),
        pcrs: by_index.into_iter().map(reference).collect(),
    }
}

fn add(set: &mut ByIndex, measurement: &Measurement) -> Result<(), CorimError> {
    let mut rest = Measurement {
        name: None,
        ..measurement.clone()
    };
    let key = rest.key.take();
    let digests = core::mem::take(&mut rest.digests);
    let registers = core::mem::take(&mut rest.registers);
    if rest != Measurement::default() {
        let expected = "digests and nothing else";
        return Err(CorimError::reference(
            measurement.label(),
            expected,
            format!("{rest:?}"),
        ));
    }
    match (key, digests.is_empty(), registers.is_empty()) {
        (Some(key), false, true) => insert(set, &key, &digests),
        (None, true, false) => registers
            .iter()
            .try_for_each(|register| insert(set, &register.key, &register.digests)),
        _ => {
            let expected = "a key with digests, or registers without a key";
            Err(CorimError::reference(
                measurement.label(),
                expected,
                "another combination",
            ))
        }
    }
}

fn insert(set: &mut ByIndex, key: &Key, digests: &[DigestValue]) -> Result<(), CorimError> {
    let index = index(key).ok_or_else(|| {
        CorimError::reference(key, "a PCR: 0 to 23, or PCR0 to PCR23, as key", key)
    })?;
    let sha256 = digests
        .iter()
        .find(|digest| digest.algorithm == DigestAlg::Sha256);
    let value = sha256.and_then(|digest| digest.value.as_slice().try_into().ok());
    let Some(value) = value else {
        return Err(CorimError::reference(key, "a sha-256 digest", "none"));
    };
    set.entry(index).or_default().insert(Digest(value));
    Ok(())
}

fn index(key: &Key) -> Option<u8> {
    let index = match key {
        Key::Uint(n) => u8::try_from(*n).ok()?,
        Key::Text(text) => {
            let digits = text
                .strip_prefix("PCR")
                .or_else(|| text.strip_prefix("pcr"))?;
            let canonical = !digits.starts_with('0') || digits == "0";
            let number = canonical && digits.bytes().all(|byte| byte.is_ascii_digit());
            number.then(|| digits.parse().ok()).flatten()?
        }
        Key::Id(_) => return None,
    };
    (index <= PCR_INDEX_MAX).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pcr_is_named_by_its_index_in_one_way() {
        let text = |text: &str| index(&Key::Text(text.into()));
        assert_eq!(index(&Key::Uint(0)), Some(0));
        assert_eq!(index(&Key::Uint(23)), Some(23));
        assert_eq!(index(&Key::Uint(24)), None);
        assert_eq!(index(&Key::Uint(256)), None);
        assert_eq!(text("PCR4"), Some(4));
        assert_eq!(text("pcr0"), Some(0));
        assert_eq!(text("PCR23"), Some(23));
        for other in [
            "PCR24", "PCR04", "PCR00", "PCR", "PCR+4", "PCR 4", "Pcr4", "4", "PCR4 ",
        ] {
            assert_eq!(text(other), None, "{other}");
        }
    }
}
