//! PCR selections and bank lists as arguments: `sha256:0,1,2+sha384:0-7`, as tpm2-tools write them.

use crate::pcrs::pcr_index;
use anyhow::{Context as _, Result, bail};
use assay_appraisal::quote::selection_rules;
use assay_appraisal::tpm::algorithm::HashAlg;
use assay_appraisal::tpm::attest::PcrSelection;
use serde_json::{Value, json};

/// The 24 PCRs of a PC.
const ALL: u32 = 0x00ff_ffff;

/// A selection, in the order of the quote.
pub fn parse(text: &str) -> Result<Vec<PcrSelection>> {
    let selections: Vec<PcrSelection> = text
        .split('+')
        .map(entry)
        .collect::<Result<_>>()
        .with_context(|| {
            format!("selection {text:?}: expected BANK:LIST+BANK:LIST, as sha256:0,1,2,7-9")
        })?;
    selection_rules(&selections).with_context(|| format!("selection {text:?}"))?;
    Ok(selections)
}

fn entry(text: &str) -> Result<PcrSelection> {
    let (name, list) = text.split_once(':').context("a bank, a colon and PCRs")?;
    let mask = match list {
        "all" => ALL,
        list => list.split(',').try_fold(0, |mask, part| {
            let bits = range(part)?;
            if mask & bits != 0 {
                bail!("PCR {part} is there twice");
            }
            Ok(mask | bits)
        })?,
    };
    Ok(PcrSelection {
        bank: bank(name)?,
        mask,
    })
}

fn range(text: &str) -> Result<u32> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let index = |text| pcr_index(text).with_context(|| format!("PCR {text:?}"));
    let (first, last) = (index(first)?, index(last)?);
    if first > last {
        bail!("PCRs {text:?} run backwards");
    }
    Ok((first..=last).fold(0, |mask, index| mask | 1 << index))
}

fn bank(name: &str) -> Result<HashAlg> {
    HashAlg::from_name(name)
        .with_context(|| format!("bank {name:?}: expected sha1, sha256, sha384 or sha512"))
}

/// Banks, separated by commas.
pub fn banks(text: &str) -> Result<Vec<HashAlg>> {
    let mut banks = Vec::new();
    for name in text.split(',') {
        let bank = bank(name)?;
        if banks.contains(&bank) {
            bail!("bank {name} is there twice");
        }
        banks.push(bank);
    }
    Ok(banks)
}

/// A selection for the claims: banks in order, each with its PCRs.
pub fn claim(selections: &[PcrSelection]) -> Value {
    let entry = |selection: &PcrSelection| {
        let pcrs: Vec<u32> = selection.indices().collect();
        json!({ "bank": selection.bank.name(), "pcrs": pcrs })
    };
    selections.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_ranges_and_all_are_read_in_order() {
        let found = parse("sha256:0,1,7-9+sha1:all").unwrap();
        let expected = [(HashAlg::Sha256, 0x383), (HashAlg::Sha1, ALL)];
        let expected = expected.map(|(bank, mask)| PcrSelection { bank, mask });
        assert_eq!(found, expected);
        assert_eq!(
            claim(&found)[0].to_string(),
            r#"{"bank":"sha256","pcrs":[0,1,7,8,9]}"#
        );
        assert_eq!(parse("sha1:31").unwrap()[0].mask, 1 << 31);
    }

    #[test]
    fn what_is_unclear_is_refused() {
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha256:1,",
            "sha256:1,1",
            "sha256:0-3,2",
            "sha256:3-1",
            "sha256:32",
            "sha256:01",
            "sha3:1",
            "sha256:1+sha256:2",
            "sha256:1+",
            "sha256: 1",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn banks_are_listed_once() {
        assert_eq!(
            banks("sha256,sha1").unwrap(),
            [HashAlg::Sha256, HashAlg::Sha1]
        );
        for text in ["", "sha256,", "sha256,sha256", "SHA256"] {
            assert!(banks(text).is_err(), "{text:?}");
        }
    }
}
