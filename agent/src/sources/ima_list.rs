//! The kernel's measurement list (Linux `security/integrity/ima/ima_fs.c`), and how much of it goes with a quote.
//!
//! A HyperNode that has appraised the beginning of this boot's list need not get it again. Where the rest begins is not
//! found by reading entries, which is the verifier's work: the agent remembers how long the list was when the kernel
//! counted how many entries, whenever it sent evidence. What nobody remembers is sent whole.

use super::Bounded;
use crate::evidence::EvidenceError;
use assay_protocol::config::ImaSection;
use assay_protocol::limits::IMA_LIST_BYTES_MAX;
use assay_protocol::wire::ImaAppraised;
use std::sync::{Mutex, PoisonError};

/// Beside the list the kernel says how many entries it has.
const COUNT: &str = "runtime_measurements_count";
/// A number and a line feed.
const COUNT_BYTES_MAX: usize = 32;
/// Lengths remembered: one for each piece of evidence that brought something new.
const MARKS_MAX: usize = 128;

/// The list, open.
#[derive(Debug)]
pub struct ImaList {
    list: Bounded,
    count: Bounded,
    marks: Mutex<Marks>,
}

/// What goes with a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImaPart {
    /// The list from there to its end.
    pub bytes: Vec<u8>,
    /// Entries before it.
    pub first: u64,
    /// All entries, as the kernel counted just before.
    pub total: u64,
    /// Where it ends in the list.
    end: u64,
}

impl ImaList {
    pub(super) fn open(section: &ImaSection) -> Result<Self, EvidenceError> {
        let count = section.list.with_file_name(COUNT);
        Ok(Self {
            list: Bounded::open("IMA list", &section.list, IMA_LIST_BYTES_MAX)?,
            count: Bounded::open("IMA entry count", &count, COUNT_BYTES_MAX)?,
            marks: Mutex::default(),
        })
    }

    /// From where it was appraised, as far as that is remembered; otherwise whole. The count comes first: what is
    /// measured meanwhile is in the list and makes the next count another.
    pub(super) fn read(&self, appraised: Option<ImaAppraised>) -> Result<ImaPart, EvidenceError> {
        let total = self.count()?;
        let known = appraised.filter(|known| known.entries <= total);
        let mark = known.and_then(|known| self.with_marks(|marks| marks.last_within(&known)));
        let (first, begin) = mark.map_or((0, 0), |mark| (mark.entries, mark.bytes));
        let bytes = self.list.read_from(begin)?;
        let end = begin.saturating_add(bytes.len() as u64);
        Ok(ImaPart {
            bytes,
            first,
            total,
            end,
        })
    }

    /// How many entries the kernel counts now.
    pub(super) fn count(&self) -> Result<u64, EvidenceError> {
        let bytes = self.count.read_from(0)?;
        let text = String::from_utf8_lossy(&bytes);
        let number = text.trim().parse();
        number.map_err(|_| {
            self.count
                .failed(format!("expected a number, got {:?}", text.trim()))
        })
    }

    /// Remembers where a part ended that was sent, in the boot of this `resetCount`.
    pub(super) fn remember(&self, part: &ImaPart, reset_count: u32) {
        self.with_marks(|marks| {
            marks.add(Mark {
                reset_count,
                entries: part.total,
                bytes: part.end,
            })
        });
    }

    fn with_marks<T>(&self, act: impl FnOnce(&mut Marks) -> T) -> T {
        act(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A list of so many entries was so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    reset_count: u32,
    entries: u64,
    bytes: u64,
}

/// Ascending, of one boot.
#[derive(Debug, Default)]
struct Marks(Vec<Mark>);

impl Marks {
    /// A list only grows: what contradicts that was another list, and nothing of it is remembered.
    fn add(&mut self, new: Mark) {
        let grows = |mark: &Mark| mark.reset_count == new.reset_count && mark.entries < new.entries;
        match self.0.last() {
            Some(last) if *last == new => return,
            Some(last) if !grows(last) || last.bytes >= new.bytes => self.0.clear(),
            _ => (),
        }
        if self.0.len() >= MARKS_MAX {
            self.0.remove(0);
        }
        self.0.push(new);
    }

    fn last_within(&self, known: &ImaAppraised) -> Option<Mark> {
        let fits =
            |mark: &&Mark| mark.reset_count == known.reset_count && mark.entries <= known.entries;
        self.0.iter().rev().find(fits).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(reset_count: u32, entries: u64, bytes: u64) -> Mark {
        Mark {
            reset_count,
            entries,
            bytes,
        }
    }

    fn of(all: &[Mark]) -> Marks {
        let mut marks = Marks::default();
        all.iter().for_each(|mark| marks.add(*mark));
        marks
    }

    fn found(marks: &Marks, reset_count: u32, entries: u64) -> Option<u64> {
        let known = ImaAppraised {
            reset_count,
            entries,
        };
        marks.last_within(&known).map(|mark| mark.entries)
    }

    #[test]
    fn the_last_length_within_what_was_appraised_counts() {
        let marks = of(&[
            mark(7, 3, 30),
            mark(7, 5, 50),
            mark(7, 5, 50),
            mark(7, 9, 90),
        ]);
        assert_eq!(marks.0.len(), 3);
        let entries = |entries| found(&marks, 7, entries);
        assert_eq!(
            [2, 3, 4, 8, 9, 99].map(entries),
            [None, Some(3), Some(3), Some(5), Some(9), Some(9)]
        );
        assert_eq!(found(&marks, 6, 9), None);
    }

    #[test]
    fn another_boot_or_a_list_that_did_not_grow_is_another_list() {
        let before = [mark(7, 3, 30), mark(7, 5, 50)];
        for other in [
            mark(8, 9, 90),
            mark(7, 4, 60),
            mark(7, 5, 60),
            mark(7, 6, 50),
        ] {
            let mut marks = of(&before);
            marks.add(other);
            assert_eq!(marks.0, [other]);
        }
    }

    #[test]
    fn so_many_lengths_are_remembered_and_the_last_ones() {
        let all: Vec<Mark> = (0..300).map(|n| mark(7, n, 10 * n + 1)).collect();
        let marks = of(&all);
        assert_eq!(marks.0.len(), MARKS_MAX);
        assert_eq!(found(&marks, 7, 299), Some(299));
        assert_eq!(found(&marks, 7, 100), None);
    }
}
