//! Whether a list explains quoted PCR values: the one way to a list that may be judged.

use super::IMA_PCR;
use super::error::ImaError;
use super::hash::Hash;
use super::list::{ALGORITHMS, Entry, List, not_after};
use super::position::{Aggregate, BankState, Position, alg};
use super::replay::{BankForm, Forms, Hashes, Run, Summary, indices, may_be_padded, run};
use crate::quote::PcrValues;
use crate::tpm::algorithm::HashAlg;
use assay_protocol::item::Blob;

/// Name of the first entry of every boot (`boot_aggregate_name`).
pub const BOOT_AGGREGATE: &[u8] = b"boot_aggregate";

/// Entries at the end of the list that the quote does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tail {
    /// The whole list must replay to the quoted values.
    #[default]
    Refused,
    /// The list may have been read after the quote: the prefix that replays to the quoted values is proven,
    /// what follows is counted and not proven. It must still parse and have right template hashes.
    Allowed,
}

/// What is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Whether the list may be newer than the quote.
    pub tail: Tail,
    /// Which forms a bank may have.
    pub forms: Forms,
}

/// One bank that the list explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExplainedBank {
    /// The bank.
    pub bank: HashAlg,
    /// How it was extended.
    pub form: BankForm,
}

/// Entries that replay to the PCR values given: exactly as authentic as those values.
///
/// It proves that these entries, in this order, extended the PCRs since the reset (or since the saved
/// position); nothing about what the kernel did not measure, and nothing about violations but their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained<'l> {
    list: List<'l>,
    count: usize,
    tail: usize,
    summary: Summary,
    banks: Vec<ExplainedBank>,
    position: Position,
}

impl<'l> Explained<'l> {
    /// The proven entries, in order. None is an error: each was read before.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry<'_>, ImaError>> {
        self.list.entries().take(self.count)
    }

    /// The bytes of the proven entries, in binary form: what [`List::joined`] takes.
    pub fn bytes(&self) -> Result<&[u8], ImaError> {
        self.list.first_bytes(self.count)
    }

    /// What the proven entries are, counted.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Entries after the proven ones: not covered by the quote.
    pub fn unquoted(&self) -> usize {
        self.tail
    }

    /// The algorithm of the template hashes.
    pub fn template_hash(&self) -> HashAlg {
        self.list.template_hash()
    }

    /// Every bank in which PCR 10 was quoted, and its form.
    pub fn banks(&self) -> &[ExplainedBank] {
        &self.banks
    }

    /// Where the next appraisal of the same boot goes on.
    pub fn position(&self) -> &Position {
        &self.position
    }
}

/// Replays a whole list and compares PCR 10, and every other PCR its entries name, with the quoted value in
/// every bank in which PCR 10 is quoted.
///
/// Every such PCR must start from zeros and be extended by IMA alone: entries on a PCR that firmware or boot
/// loader extend too (such as 11) are refused, for their replay ends elsewhere. The values must be
/// authentic: this function cannot know. The position it yields has reset count 0; to save one, use
/// [`explain_after`] with [`Position::start`].
pub fn explain<'l>(
    list: &'l List<'_>,
    quoted: &PcrValues,
    options: Options,
) -> Result<Explained<'l>, ImaError> {
    explain_after(&Position::start(0), 0, list, quoted, options)
}

/// As [`explain`], from a saved position: `list` holds only the entries after it ([`List::skip`], or
/// [`List::starting_at`] where the sender left the others out).
///
/// `reset_count` is the quote's. A reset since the position is an error: PCR and list began anew, and so
/// must the appraisal. A resume from sleep (`restartCount`) is none: the replay shows whether PCR 10 lived on.
pub fn explain_after<'l>(
    position: &Position,
    reset_count: u32,
    list: &'l List<'_>,
    quoted: &PcrValues,
    options: Options,
) -> Result<Explained<'l>, ImaError> {
    continues(position, reset_count, list)?;
    let (mask, all) = list.entries().outlined()?;
    let total = all.entries;
    let targets = Targets::new(position, mask | 1 << IMA_PCR, quoted)?;
    let mut runs = targets.starts(position)?;
    let mut prefixes = targets.prefixes(list, Hashes::Check, &mut runs, options.tail)?;
    if position.is_start() && options.forms == Forms::Either {
        targets.try_padded(list, &mut runs, &mut prefixes, options.tail)?;
    }
    let count = targets.agreed(&runs, &prefixes, (total, options.tail))?;
    let summary = match count == total {
        true => all,
        false => Summary::of(list.entries(), count)?,
    };
    let banks: Vec<ExplainedBank> = runs
        .iter()
        .map(|run| ExplainedBank {
            bank: run.bank,
            form: run.form,
        })
        .collect();
    let position = targets.position(position, list, &summary, &banks)?;
    Ok(Explained {
        list: list.reborrow(),
        count,
        tail: total.saturating_sub(count),
        summary,
        banks,
        position,
    })
}

fn continues(position: &Position, reset_count: u32, list: &List<'_>) -> Result<(), ImaError> {
    if position.reset_count != reset_count {
        return Err(ImaError::Rebooted {
            expected: position.reset_count,
            actual: reset_count,
        });
    }
    let before = u64::try_from(list.before()).unwrap_or(u64::MAX);
    if before != position.entries {
        return Err(not_after(position.entries, before));
    }
    let listed = list.template_hash();
    if !position.is_start() && alg(position.template_hash)? != listed {
        return Err(ImaError::Position(format!(
            "expected template hashes of algorithm {:#06x}, got {listed:?}",
            position.template_hash
        )));
    }
    Ok(())
}

/// The quoted values the replay must end in.
struct Targets(Vec<Target>);

/// A bank, and the value of every PCR of interest.
type Target = (HashAlg, Vec<(u32, Hash)>);

impl Targets {
    /// The values of every PCR of interest, in every bank that quotes PCR 10.
    fn new(position: &Position, mask: u32, quoted: &PcrValues) -> Result<Self, ImaError> {
        let earlier = position.banks.iter().flat_map(|bank| &bank.pcrs);
        let mask = earlier.fold(mask, |mask, (pcr, _)| {
            mask | 1u32.checked_shl(*pcr).unwrap_or(0)
        });
        let mut banks = Vec::new();
        for bank in ALGORITHMS {
            if !quoted.contains_key(&(bank, IMA_PCR)) {
                continue;
            }
            let value = |pcr| match quoted.get(&(bank, pcr)) {
                Some(value) if value.len() == bank.size() => Hash::padded(value, bank.size())
                    .map(|hash| (pcr, hash))
                    .ok_or_else(|| not_quoted(bank, pcr)),
                _ => Err(not_quoted(bank, pcr)),
            };
            banks.push((bank, indices(mask).map(value).collect::<Result<_, _>>()?));
        }
        match banks.is_empty() {
            false => Ok(Self(banks)),
            true => Err(ImaError::NotQuoted {
                bank: "any".into(),
                pcr: IMA_PCR,
            }),
        }
    }

    /// A run for every bank: from zeros, or from the position, which must know exactly these banks.
    fn starts(&self, position: &Position) -> Result<Vec<Run>, ImaError> {
        if position.is_start() {
            let start = |(bank, values): &Target| Run {
                values: values
                    .iter()
                    .map(|(pcr, _)| (*pcr, Hash::filled(bank.size(), 0)))
                    .collect(),
                ..Run::start(*bank, BankForm::Native, 0)
            };
            return Ok(self.0.iter().map(start).collect());
        }
        let saved = position.banks.iter().map(BankState::run);
        let mut runs = saved.collect::<Result<Vec<Run>, _>>()?;
        let known: Vec<HashAlg> = runs.iter().map(|run| run.bank).collect();
        let quoted: Vec<HashAlg> = self.0.iter().map(|(bank, _)| *bank).collect();
        if known != quoted {
            return Err(ImaError::Position(format!(
                "expected PCR 10 quoted in the banks {known:?}, got {quoted:?}"
            )));
        }
        for (run, (bank, values)) in runs.iter_mut().zip(&self.0) {
            let value = |(pcr, _): &(u32, Hash)| {
                let saved = run.values.iter().find(|(index, _)| index == pcr);
                let zero = Hash::filled(bank.size(), 0);
                (*pcr, saved.map_or(zero, |(_, value)| *value))
            };
            run.values = values.iter().map(value).collect();
        }
        Ok(runs)
    }

    fn reached(&self, run: &Run) -> bool {
        self.0
            .iter()
            .any(|(bank, values)| *bank == run.bank && *values == run.values)
    }

    /// For each run the number of entries after which it is where the quote is. States never repeat, so
    /// there is at most one.
    fn prefixes(
        &self,
        list: &List<'_>,
        hashes: Hashes,
        runs: &mut [Run],
        tail: Tail,
    ) -> Result<Vec<Option<usize>>, ImaError> {
        let mut found: Vec<Option<usize>> = vec![None; runs.len()];
        let mut count = 0usize;
        let mut note = |runs: &[Run], count: usize| {
            for (found, run) in found.iter_mut().zip(runs) {
                if found.is_none() && self.reached(run) {
                    *found = Some(count);
                }
            }
        };
        if tail == Tail::Allowed {
            note(runs, 0);
        }
        run(list, hashes, runs, |runs| {
            count = count.saturating_add(1);
            if tail == Tail::Allowed {
                note(runs, count);
            }
        })?;
        note(runs, count);
        Ok(found)
    }

    /// A second replay, of the banks that the native form does not explain.
    fn try_padded(
        &self,
        list: &List<'_>,
        runs: &mut [Run],
        prefixes: &mut [Option<usize>],
        tail: Tail,
    ) -> Result<(), ImaError> {
        let unexplained = |(run, prefix): &(&mut Run, &mut Option<usize>)| {
            prefix.is_none() && may_be_padded(run.bank, list)
        };
        let mut pending: Vec<_> = runs.iter_mut().zip(prefixes).filter(unexplained).collect();
        if pending.is_empty() {
            return Ok(());
        }
        let restart = |(run, _): &(&mut Run, &mut Option<usize>)| {
            let mask = run.values.iter().fold(0, |mask, (pcr, _)| {
                mask | 1u32.checked_shl(*pcr).unwrap_or(0)
            });
            Run::start(run.bank, BankForm::PaddedSha1, mask)
        };
        let mut padded: Vec<Run> = pending.iter().map(restart).collect();
        let found = self.prefixes(list, Hashes::Checked, &mut padded, tail)?;
        for ((run, prefix), (other, found)) in pending.iter_mut().zip(padded.into_iter().zip(found))
        {
            if found.is_some() {
                **run = other;
                **prefix = found;
            }
        }
        Ok(())
    }

    /// The one prefix that every bank was quoted after.
    fn agreed(
        &self,
        runs: &[Run],
        prefixes: &[Option<usize>],
        (total, tail): (usize, Tail),
    ) -> Result<usize, ImaError> {
        let mut agreed = None;
        for (run, prefix) in runs.iter().zip(prefixes) {
            let found = prefix.ok_or_else(|| self.mismatch(run, (total, tail)))?;
            let first = *agreed.get_or_insert(found);
            if first != found {
                return Err(ImaError::Banks {
                    first,
                    other: found,
                });
            }
        }
        agreed.ok_or_else(|| ImaError::NotQuoted {
            bank: "any".into(),
            pcr: IMA_PCR,
        })
    }

    fn mismatch(&self, run: &Run, (entries, tail): (usize, Tail)) -> ImaError {
        let quoted = self.0.iter().find(|(bank, _)| *bank == run.bank);
        let values = quoted.map(|(_, values)| values.as_slice());
        let mut pairs = values.unwrap_or_default().iter().zip(&run.values);
        let differing = pairs.find(|(quoted, replayed)| quoted != replayed);
        let (pcr, expected, actual) = match differing {
            Some(((pcr, quoted), (_, replayed))) => {
                (*pcr, hex::encode(quoted), hex::encode(replayed))
            }
            None => (IMA_PCR, String::new(), String::new()),
        };
        ImaError::Replay {
            bank: run.bank,
            pcr,
            expected,
            actual,
            entries,
            tail: match tail {
                Tail::Refused => "",
                Tail::Allowed => ", nor after fewer",
            },
        }
    }

    fn position(
        &self,
        from: &Position,
        list: &List<'_>,
        summary: &Summary,
        banks: &[ExplainedBank],
    ) -> Result<Position, ImaError> {
        let plus =
            |earlier: u64, now: usize| earlier.saturating_add(u64::try_from(now).unwrap_or(0));
        let boot_aggregate = match from.is_start() && summary.entries > 0 {
            true => list
                .entries()
                .next()
                .transpose()?
                .and_then(|e| aggregate(&e)),
            false => from.boot_aggregate.clone(),
        };
        let state = |((_, values), bank): (&Target, &ExplainedBank)| BankState {
            bank: bank.bank.id(),
            padded_sha1: bank.form == BankForm::PaddedSha1,
            pcrs: values
                .iter()
                .map(|(pcr, value)| (*pcr, Blob(value.as_ref().to_vec())))
                .collect(),
        };
        Ok(Position {
            reset_count: from.reset_count,
            entries: plus(from.entries, summary.entries),
            violations: plus(from.violations, summary.violations),
            template_hash: list.template_hash().id(),
            banks: self.0.iter().zip(banks).map(state).collect(),
            boot_aggregate,
        })
    }
}

fn aggregate(entry: &Entry<'_>) -> Option<Aggregate> {
    let first = entry.event.name == BOOT_AGGREGATE && !entry.is_violation();
    first.then(|| Aggregate::of(&entry.event.digest))
}

fn not_quoted(bank: HashAlg, pcr: u32) -> ImaError {
    ImaError::NotQuoted {
        bank: format!("{bank:?}"),
        pcr,
    }
}
