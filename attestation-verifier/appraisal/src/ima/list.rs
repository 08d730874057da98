//! The binary runtime list (`binary_runtime_measurements`), little-endian, read entry by entry.

use super::ascii;
use super::error::ImaError;
use super::hash::{HASH_BYTES_MAX, Hash};
use super::position::Position;
use super::replay::Summary;
use super::template::{
    Event, Extra, FileDigest, IMA_DIGEST_BYTES, IMA_NAME_BYTES_MAX, TEMPLATE_BYTES_MAX, Template,
    size_of, without_nul,
};
use crate::tpm::algorithm::HashAlg;
use crate::tpm::reader::{FormatError, Reader};
use std::borrow::Cow;

/// Largest list accepted, bytes.
pub const LIST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most entries accepted.
pub const ENTRIES_MAX: usize = 1 << 20;
/// Longest template name read, bytes.
const TEMPLATE_NAME_BYTES_MAX: usize = 32;
const PCR_LAST: u32 = 23;
/// The name padded to this is what the template hash of an `ima` entry covers.
const IMA_NAME_PADDED_BYTES: usize = IMA_NAME_BYTES_MAX + 1;

/// Algorithms a template hash, a file digest or a bank may have.
pub const ALGORITHMS: [HashAlg; 4] = [
    HashAlg::Sha1,
    HashAlg::Sha256,
    HashAlg::Sha384,
    HashAlg::Sha512,
];

/// A list of known form: **nothing in it is proven**.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<'a> {
    bytes: Cow<'a, [u8]>,
    alg: HashAlg,
    /// Entries that were there before the first of this one.
    before: usize,
}

impl<'a> List<'a> {
    /// Takes a binary or an ASCII list (`ascii_runtime_measurements`), told apart by the first byte: a
    /// binary list begins with a PCR index, never with text.
    ///
    /// `alg` is the algorithm of the template hashes. Without one it is the only one whose size fits the
    /// first entry; an empty list has SHA-1, which kernels before 6.10 always write. ASCII lists show it.
    /// Entries are looked at when they are read, not here.
    pub fn read(bytes: &'a [u8], alg: Option<HashAlg>) -> Result<Self, ImaError> {
        let at = |source| ImaError::Format { entry: 0, source };
        Reader::new("IMA list", bytes, LIST_BYTES_MAX).map_err(at)?;
        if bytes.first().is_some_and(|first| *first >= b' ') {
            let (binary, shown) = ascii::to_binary(bytes)?;
            if alg.is_some_and(|alg| alg != shown) {
                let fitting = vec![shown];
                return Err(ImaError::HashAlgorithm { fitting });
            }
            return Ok(Self {
                bytes: Cow::Owned(binary),
                alg: shown,
                before: 0,
            });
        }
        let alg = match alg {
            Some(alg) => alg,
            None => detect(bytes)?,
        };
        Ok(Self {
            bytes: Cow::Borrowed(bytes),
            alg,
            before: 0,
        })
    }

    /// The algorithm of the template hashes.
    pub fn template_hash(&self) -> HashAlg {
        self.alg
    }

    /// The entries in order; the first error is the last item.
    pub fn entries(&self) -> Entries<'_> {
        Entries {
            rest: &self.bytes,
            alg: self.alg,
            index: self.before,
            first: self.before,
        }
    }

    /// The same list without the entries that `position` has already seen. The skipped entries must be
    /// there and well-formed; they are not compared, for the replay from the position does not need them.
    pub fn skip(&self, position: &Position) -> Result<List<'_>, ImaError> {
        self.after(position.entries)
    }

    /// The same bytes as the entries that follow the first `entries` of their boot, for a sender that sends
    /// only those.
    pub fn starting_at(mut self, entries: u64) -> Self {
        self.before = usize::try_from(entries).unwrap_or(usize::MAX);
        self
    }

    /// One list of its parts: `earlier` hold the first entries of a boot in order, and this one goes on where
    /// they end, or before. What both have is taken from the earlier parts, and nothing is compared: what a
    /// replay does not explain is not believed whoever sent it.
    pub fn joined(&self, earlier: &[&[u8]]) -> Result<List<'static>, ImaError> {
        let mut bytes = Vec::new();
        for part in earlier {
            let part = List::read(part, Some(self.alg))?;
            let total = bytes.len().saturating_add(part.bytes.len());
            within_bounds(total)?;
            bytes.extend_from_slice(&part.bytes);
        }
        let whole = |bytes| List {
            bytes: Cow::Owned(bytes),
            alg: self.alg,
            before: 0,
        };
        let joined: List<'static> = whole(bytes);
        let known = joined.entries().outlined()?.1.entries;
        let rest = self.after(u64::try_from(known).unwrap_or(u64::MAX))?;
        within_bounds(joined.bytes.len().saturating_add(rest.bytes.len()))?;
        let mut bytes = joined.bytes.into_owned();
        bytes.extend_from_slice(&rest.bytes);
        Ok(whole(bytes))
    }

    /// The bytes of the first `count` entries, in binary form whatever they were read from.
    pub(super) fn first_bytes(&self, count: usize) -> Result<&[u8], ImaError> {
        let mut entries = self.entries();
        for entry in entries.by_ref().take(count) {
            entry?;
        }
        let length = self.bytes.len().saturating_sub(entries.rest.len());
        Ok(self.bytes.get(..length).unwrap_or_default())
    }

    /// The entries after the first `expected` of their boot.
    fn after(&self, expected: u64) -> Result<List<'_>, ImaError> {
        let before = u64::try_from(self.before).unwrap_or(u64::MAX);
        if before > expected {
            return Err(not_after(expected, before));
        }
        let mut entries = self.entries();
        for actual in before..expected {
            match entries.next() {
                Some(entry) => drop(entry?),
                None => return Err(ImaError::Shorter { expected, actual }),
            }
        }
        Ok(List {
            bytes: Cow::Borrowed(entries.rest),
            alg: self.alg,
            before: usize::try_from(expected).unwrap_or(usize::MAX),
        })
    }

    /// The same list, borrowed.
    pub(super) fn reborrow(&self) -> List<'_> {
        List {
            bytes: Cow::Borrowed(&self.bytes),
            alg: self.alg,
            before: self.before,
        }
    }

    pub(super) fn before(&self) -> usize {
        self.before
    }
}

/// Entries that do not begin where they must.
pub(super) fn not_after(expected: u64, before: u64) -> ImaError {
    ImaError::Position(format!(
        "expected the entries after the first {expected}, got those after {before}"
    ))
}

fn within_bounds(bytes: usize) -> Result<(), ImaError> {
    match bytes <= LIST_BYTES_MAX {
        true => Ok(()),
        false => Err(ImaError::Position(format!(
            "expected at most {LIST_BYTES_MAX} bytes of list in all parts, got {bytes}"
        ))),
    }
}

/// The only algorithm whose size lets the first entry begin as one must.
fn detect(bytes: &[u8]) -> Result<HashAlg, ImaError> {
    if bytes.is_empty() {
        return Ok(HashAlg::Sha1);
    }
    let fits = |alg: &HashAlg| {
        let Ok(mut r) = Reader::new("IMA list", bytes, LIST_BYTES_MAX) else {
            return false;
        };
        let head = Head::read(&mut r, *alg);
        head.is_ok_and(|head| Template::from_name(head.name).is_some())
    };
    match ALGORITHMS.into_iter().filter(fits).collect::<Vec<_>>() {
        only if only.len() == 1 => only.first().copied().ok_or(ImaError::HashAlgorithm {
            fitting: Vec::new(),
        }),
        // An unknown template, or no list at all: what the classic form says of it names the problem.
        none if none.is_empty() => Ok(HashAlg::Sha1),
        fitting => Err(ImaError::HashAlgorithm { fitting }),
    }
}

/// One entry: **not proven** unless it comes from an [`super::Explained`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'l> {
    /// Position in the whole list, from 0.
    pub index: usize,
    /// The PCR it says it extended.
    pub pcr: u32,
    /// Its template: not hashed, see [`Template`].
    pub template: Template,
    /// The template hash as listed.
    pub template_hash: &'l [u8],
    /// What was measured.
    pub event: Event<'l>,
    /// Template data as they stand in the list.
    data: &'l [u8],
}

impl Entry<'_> {
    /// Whether the kernel recorded that it could not measure: the file was open for writing while being
    /// measured, or was measured while being written. The template hash is all zeros and the PCR was
    /// extended by a constant, so that nothing else in the entry is proven.
    pub fn is_violation(&self) -> bool {
        is_violation(self.template_hash)
    }

    /// The hash over the template data, as the kernel computes it for a bank (`ima_calc_field_array_hash`).
    pub(super) fn hash(&self, alg: HashAlg) -> Hash {
        if self.template != Template::Ima {
            return Hash::of(alg, self.data);
        }
        let mut padded = [0; IMA_DIGEST_BYTES + IMA_NAME_PADDED_BYTES];
        let fields = self.event.digest.bytes.iter().chain(self.event.name);
        padded
            .iter_mut()
            .zip(fields)
            .for_each(|(to, from)| *to = *from);
        Hash::of(alg, &padded)
    }

    /// Refuses a template hash that is not the hash of the template data.
    pub(super) fn check_hash(&self, alg: HashAlg, recomputed: &Hash) -> Result<(), ImaError> {
        if self.is_violation() || self.template_hash == recomputed.as_ref() {
            return Ok(());
        }
        Err(ImaError::TemplateHash {
            entry: self.index,
            alg,
            expected: hex::encode(recomputed),
            actual: hex::encode(self.template_hash),
        })
    }
}

/// A cursor over the entries; see [`List::entries`].
#[derive(Debug, Clone)]
pub struct Entries<'l> {
    rest: &'l [u8],
    alg: HashAlg,
    index: usize,
    first: usize,
}

impl<'l> Iterator for Entries<'l> {
    type Item = Result<Entry<'l>, ImaError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        match entry {
            Ok(_) => self.index = self.index.saturating_add(1),
            Err(_) => self.rest = &[],
        }
        Some(entry)
    }
}

impl<'l> Entries<'l> {
    #[inline]
    fn entry(&mut self) -> Result<Entry<'l>, ImaError> {
        let frame = self.frame()?;
        let event = match frame.event {
            Some(event) => event,
            None => Event::parse(frame.template, frame.data, self.index)?,
        };
        Ok(Entry {
            index: self.index,
            pcr: frame.head.pcr,
            template: frame.template,
            template_hash: frame.head.hash,
            event,
            data: frame.data,
        })
    }

    /// The next entry with its template data as they stand there.
    #[inline]
    fn frame(&mut self) -> Result<Frame<'l>, ImaError> {
        let entry = self.index;
        let at = |source| ImaError::Format { entry, source };
        let mut r = Reader::new("IMA list", self.rest, LIST_BYTES_MAX).map_err(at)?;
        let count = entry.saturating_sub(self.first).saturating_add(1);
        r.cap("entry count", count, ENTRIES_MAX).map_err(at)?;
        let head = Head::read(&mut r, self.alg).map_err(at)?;
        let template = Template::from_name(head.name).ok_or_else(|| ImaError::Template {
            entry,
            name: head.name.escape_ascii().to_string(),
        })?;
        let (data, event) = match template {
            Template::Ima => fixed(&mut r, entry).map(|(data, event)| (data, Some(event)))?,
            _ => {
                let size = size_of(&mut r, "template data length").map_err(at)?;
                r.cap("template data length", size, TEMPLATE_BYTES_MAX)
                    .map_err(at)?;
                (r.take("template data", size).map_err(at)?, None)
            }
        };
        self.rest = r.rest();
        Ok(Frame {
            head,
            template,
            data,
            event,
        })
    }

    /// What can be said of the remaining entries without reading what was measured.
    pub(super) fn outlined(mut self) -> Result<(u32, Summary), ImaError> {
        let (mut pcrs, mut summary) = (0u32, Summary::default());
        while !self.rest.is_empty() {
            let frame = self.frame()?;
            pcrs |= 1u32.checked_shl(frame.head.pcr).unwrap_or(0);
            summary.count(frame.template, is_violation(frame.head.hash));
            self.index = self.index.saturating_add(1);
        }
        Ok((pcrs, summary))
    }
}

/// An entry whose template data were found and, but for the fixed form, not yet read.
struct Frame<'l> {
    head: Head<'l>,
    template: Template,
    data: &'l [u8],
    event: Option<Event<'l>>,
}

fn is_violation(template_hash: &[u8]) -> bool {
    template_hash.iter().all(|byte| *byte == 0)
}

/// What every entry begins with.
struct Head<'l> {
    pcr: u32,
    hash: &'l [u8],
    name: &'l [u8],
}

impl<'l> Head<'l> {
    fn read(r: &mut Reader<'l>, alg: HashAlg) -> Result<Self, FormatError> {
        let pcr = r.u32_le("PCR index")?;
        if pcr > PCR_LAST {
            return Err(r.unexpected("PCR index", "0 to 23", pcr));
        }
        let hash = r.take("template hash", alg.size().min(HASH_BYTES_MAX))?;
        let size = size_of(r, "template name length")?;
        r.cap("template name length", size, TEMPLATE_NAME_BYTES_MAX)?;
        let name = r.take("template name", size)?;
        Ok(Self { pcr, hash, name })
    }
}

/// The `ima` template: 20 bytes of digest, then a counted name; no other length.
fn fixed<'l>(r: &mut Reader<'l>, entry: usize) -> Result<(&'l [u8], Event<'l>), ImaError> {
    let at = |source| ImaError::Format { entry, source };
    let start = r.rest();
    let digest = r.take("file digest", IMA_DIGEST_BYTES).map_err(at)?;
    let size = size_of(r, "name length").map_err(at)?;
    r.cap("name length", size, IMA_NAME_BYTES_MAX).map_err(at)?;
    let name = r.take("name", size).map_err(at)?;
    without_nul(name).map_err(|problem| ImaError::Field {
        entry,
        field: 1,
        problem,
    })?;
    let used = start.len().saturating_sub(r.rest().len());
    let event = Event {
        digest: FileDigest::fixed(digest),
        name,
        extra: Extra::None,
    };
    Ok((start.get(..used).unwrap_or_default(), event))
}
