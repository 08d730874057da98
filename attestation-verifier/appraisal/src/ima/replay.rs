//! Replaying a list to PCR values, in every bank and in both forms that kernels used.

use super::error::ImaError;
use super::hash::Hash;
use super::list::{Entries, Entry, List};
use super::template::Template;
use crate::tpm::algorithm::HashAlg;
use std::collections::BTreeMap;

/// What a bank other than SHA-1 was extended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BankForm {
    /// The bank's own hash of the template data: Linux 5.8 and later.
    Native,
    /// The SHA-1 template hash, followed by zeros: older kernels, and banks whose hash the kernel lacks.
    /// **Such a bank is as strong as SHA-1**: two entries with one SHA-1 are one to it.
    PaddedSha1,
}

/// Which forms are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forms {
    /// Both; the result names the one found, the same for every entry of a bank.
    #[default]
    Either,
    /// [`BankForm::Native`] only.
    Native,
}

/// One bank during a replay.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) bank: HashAlg,
    pub(super) form: BankForm,
    /// Value of every PCR of interest.
    pub(super) values: Vec<(u32, Hash)>,
}

impl Run {
    /// Every PCR of `mask` as it is after a reset.
    pub(super) fn start(bank: HashAlg, form: BankForm, mask: u32) -> Self {
        let zero = Hash::filled(bank.size(), 0);
        Self {
            bank,
            form,
            values: indices(mask).map(|pcr| (pcr, zero)).collect(),
        }
    }

    fn extend(&mut self, entry: &Entry<'_>, list: HashAlg, recomputed: Option<&Hash>) {
        let by = match (self.form, entry.is_violation()) {
            (BankForm::Native, true) => Hash::filled(self.bank.size(), 0xff),
            (BankForm::Native, false) => match recomputed {
                Some(hash) if self.bank == list => *hash,
                _ => entry.hash(self.bank),
            },
            // The list's algorithm is SHA-1 here, see `forms`; its hashes were checked before.
            (BankForm::PaddedSha1, true) => self.padded(&[0xff; 20]),
            (BankForm::PaddedSha1, false) => self.padded(entry.template_hash),
        };
        if let Some((_, value)) = self.values.iter_mut().find(|(pcr, _)| *pcr == entry.pcr) {
            *value = value.extended(self.bank, &by);
        }
    }

    fn padded(&self, hash: &[u8]) -> Hash {
        Hash::padded(hash, self.bank.size()).unwrap_or(Hash::filled(self.bank.size(), 0))
    }
}

/// The PCRs of a mask, ascending.
pub(super) fn indices(mask: u32) -> impl Iterator<Item = u32> {
    (0..=23u32).filter(move |pcr| mask.checked_shr(*pcr).unwrap_or(0) & 1 == 1)
}

/// Whether template hashes are recomputed and compared, or were before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hashes {
    Check,
    Checked,
}

/// Extends every run by every entry; `seen` is told the runs after each.
pub(super) fn run(
    list: &List<'_>,
    hashes: Hashes,
    runs: &mut [Run],
    mut seen: impl FnMut(&[Run]),
) -> Result<(), ImaError> {
    let alg = list.template_hash();
    for entry in list.entries() {
        let entry = entry?;
        let recomputed = match hashes {
            Hashes::Check if !entry.is_violation() => Some(entry.hash(alg)),
            _ => None,
        };
        if let Some(hash) = &recomputed {
            entry.check_hash(alg, hash)?;
        }
        for run in runs.iter_mut() {
            run.extend(&entry, alg, recomputed.as_ref());
        }
        seen(runs);
    }
    Ok(())
}

/// The forms a bank may have under a list: hashes are padded by kernels whose lists have SHA-1.
pub(super) fn may_be_padded(bank: HashAlg, list: &List<'_>) -> bool {
    bank != HashAlg::Sha1 && list.template_hash() == HashAlg::Sha1
}

/// What a list is, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Entries.
    pub entries: usize,
    /// Violations among them.
    pub violations: usize,
    /// Entries of each template.
    pub templates: BTreeMap<Template, usize>,
}

impl Summary {
    /// Counts one entry.
    pub(super) fn count(&mut self, template: Template, violation: bool) {
        self.entries = self.entries.saturating_add(1);
        self.violations = self.violations.saturating_add(usize::from(violation));
        let of_template = self.templates.entry(template).or_default();
        *of_template = of_template.saturating_add(1);
    }

    /// Counts the first `count` entries.
    pub(super) fn of(entries: Entries<'_>, count: usize) -> Result<Self, ImaError> {
        let mut summary = Self::default();
        for entry in entries.take(count) {
            let entry = entry?;
            summary.count(entry.template, entry.is_violation());
        }
        Ok(summary)
    }
}

/// A replay that was compared with nothing: well-formed, every template hash right, **not proven**.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// What the list holds.
    pub summary: Summary,
    /// Value by bank, form and PCR.
    pub values: BTreeMap<(HashAlg, BankForm, u32), Vec<u8>>,
}

/// Replays a whole list from zeros in `banks`, checking every template hash; PCR 10 is always there.
pub fn replay(list: &List<'_>, banks: &[HashAlg]) -> Result<Replayed, ImaError> {
    let (mask, summary) = list.entries().outlined()?;
    let mask = mask | 1 << super::IMA_PCR;
    let mut runs = Vec::new();
    for bank in banks {
        runs.push(Run::start(*bank, BankForm::Native, mask));
        if may_be_padded(*bank, list) {
            runs.push(Run::start(*bank, BankForm::PaddedSha1, mask));
        }
    }
    run(list, Hashes::Check, &mut runs, |_| {})?;
    let values = runs.iter().flat_map(|run| {
        let value =
            |(pcr, value): &(u32, Hash)| ((run.bank, run.form, *pcr), value.as_ref().to_vec());
        run.values.iter().map(value)
    });
    Ok(Replayed {
        summary,
        values: values.collect(),
    })
}
