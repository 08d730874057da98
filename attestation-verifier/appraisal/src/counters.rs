//! Whether an agent's counters agree with the chase that they were signed with (ARCHITECTURE section 6).
//!
//! They are claimed, so this never passes or fails a node; the outcome says it, and the audit makes the note again. But a region that lies in memory, behind a cache or on
//! another device shows here on an agent that does not lie, and a contradiction is worth a person's look.

use assay_protocol::answers::{ChaseAnswer, Counter, counter};
use assay_protocol::outcome;
use assay_protocol::region::BLOCK_BYTES;
use core::fmt;

/// What the counters before and after a chase say about its reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// The device read at least what the chase needs.
    Agrees,
    /// The counters cannot say.
    Untold(String),
    /// They say that less was read.
    Contradicts(String),
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agrees => f.write_str("claimed counters agree with the chase"),
            Self::Untold(why) => write!(
                f,
                "claimed counters do not say whether the device was read: {why}"
            ),
            Self::Contradicts(why) => write!(f, "claimed counters contradict the chase: {why}"),
        }
    }
}

/// What the outcome of a chase that passed says of the counters: nothing where they agree. It is signed, so that its
/// words are fixed with the form of the answer.
pub fn note(answer: &ChaseAnswer) -> String {
    match agreement(answer) {
        Agreement::Agrees => String::new(),
        other => outcome::detail(&other.to_string()),
    }
}

/// Compares counters with the reads of a chase that was verified, by bytes: neighbouring reads become one request, so
/// requests may be fewer than reads.
pub fn agreement(answer: &ChaseAnswer) -> Agreement {
    let reads = answer.plan().reads();
    let by_agent = moved(answer, counter::REGION_READ_IOS);
    let by_device = moved(answer, counter::DISK_READ_BYTES);
    let needed = [
        (by_agent, reads),
        (by_device, reads.saturating_mul(BLOCK_BYTES as u64)),
    ];
    let mut untold = None;
    for (moved, needed) in needed {
        match moved {
            Ok((what, moved)) if moved < needed => {
                let text =
                    format!("{what}: expected to move by at least {needed}, moved by {moved}");
                return Agreement::Contradicts(text);
            }
            Ok(_) => (),
            Err(why) => untold = untold.or(Some(why)),
        }
    }
    untold.map_or(Agreement::Agrees, Agreement::Untold)
}

/// How far a counter moved, with its name and scope. An answer speaks of one device: the one of the regions.
fn moved(answer: &ChaseAnswer, id: u16) -> Result<(String, u64), String> {
    let name = counter::name(id).unwrap_or("counter");
    let first = |counters: &[Counter]| counters.iter().find(|counter| counter.id == id).cloned();
    let (Some(before), Some(after)) = (first(&answer.counters_before), first(&answer.counters))
    else {
        return Err(format!(
            "{name} is missing: the file system may have no block device of its own"
        ));
    };
    let what = format!("{name} {}", after.scope).trim_end().to_owned();
    if before.scope != after.scope {
        return Err(format!("{what}: was of {} before the chase", before.scope));
    }
    match after.value.checked_sub(before.value) {
        Some(by) => Ok((what, by)),
        None => Err(format!(
            "{what}: went back from {} to {}",
            before.value, after.value
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::answers::ChainLink;
    use assay_protocol::ids::{Digest, NodeId, Nonce, UnixMs};
    use assay_protocol::item::Blob;

    /// (id, scope, value)
    type Values = [(u16, &'static str, u64); 2];

    const BEFORE: Values = [
        (counter::DISK_READ_BYTES, "vda", 1_000),
        (counter::REGION_READ_IOS, "", 5),
    ];

    /// After a chase of two lanes of three reads that moved them just as far as they must.
    const AFTER: Values = [
        (counter::DISK_READ_BYTES, "vda", 1_000 + 6 * 4_096),
        (counter::REGION_READ_IOS, "", 5 + 6),
    ];

    fn counters(values: &[(u16, &str, u64)]) -> Vec<Counter> {
        let counter = |(id, scope, value): &(u16, &str, u64)| Counter {
            id: *id,
            scope: (*scope).into(),
            value: *value,
        };
        values.iter().map(counter).collect()
    }

    fn of(before: &[(u16, &str, u64)], after: &[(u16, &str, u64)]) -> Agreement {
        agreement(&answer(before, after))
    }

    fn answer(before: &[(u16, &str, u64)], after: &[(u16, &str, u64)]) -> ChaseAnswer {
        ChaseAnswer {
            node: NodeId([0; 32]),
            nonce: Nonce([0; 32]),
            region: 0,
            generation: 0,
            blocks: 64,
            steps: 3,
            checkpoint_every: 3,
            lanes: vec![Blob(vec![0; 32]); 2],
            link: ChainLink {
                sequence: 0,
                previous: Digest([0; 32]),
            },
            counters: counters(after),
            at: UnixMs(0),
            counters_before: counters(before),
        }
    }

    #[test]
    fn the_note_says_what_does_not_agree_and_fits_an_outcome() {
        assert_eq!(note(&answer(&BEFORE, &AFTER)), "");
        let found = of(&BEFORE, &BEFORE);
        assert_eq!(note(&answer(&BEFORE, &BEFORE)), found.to_string());
        let scope = "x".repeat(1_000);
        let mut long = AFTER.map(|(id, _, value)| (id, scope.as_str(), value));
        long[0].2 = 0;
        let note = note(&answer(&BEFORE, &long));
        assert_eq!(note.chars().count(), 400);
        let scope = "😀".repeat(400);
        let mut wide = AFTER.map(|(id, _, value)| (id, scope.as_str(), value));
        wide[0].2 = 0;
        assert!(super::note(&answer(&BEFORE, &wide)).len() <= 1_024);
    }

    #[test]
    fn counters_that_moved_far_enough_agree() {
        assert_eq!(of(&BEFORE, &AFTER), Agreement::Agrees);
        let mut busy = AFTER;
        busy[0].2 += 1 << 40;
        assert_eq!(of(&BEFORE, &busy), Agreement::Agrees);
    }

    #[test]
    fn one_byte_or_one_read_too_few_contradicts() {
        for at in 0..2 {
            let mut less = AFTER;
            less[at].2 -= 1;
            let found = of(&BEFORE, &less);
            let name = counter::name(less[at].0).unwrap();
            let Agreement::Contradicts(text) = &found else {
                panic!("{found:?}");
            };
            assert!(text.contains(name), "{text}");
            assert!(found.to_string().contains("contradict"), "{found}");
        }
    }

    #[test]
    fn a_counter_that_is_missing_went_back_or_is_of_another_device_says_nothing() {
        let untold = |before: &[_], after: &[_]| match of(before, after) {
            Agreement::Untold(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(untold(&BEFORE[1..], &AFTER[1..]).contains("no block device"));
        assert!(untold(&[], &AFTER).contains("missing"));
        assert!(untold(&BEFORE, &AFTER[1..]).contains("missing"));
        let mut other = AFTER;
        other[0].1 = "vdb";
        assert!(untold(&BEFORE, &other).contains("was of vda"));
        let mut reset = AFTER;
        reset[0].2 = 999;
        assert!(untold(&BEFORE, &reset).contains("went back from 1000 to 999"));
    }

    #[test]
    fn a_contradiction_outweighs_what_is_not_told() {
        let mut less = AFTER;
        less[1].2 -= 1;
        assert!(matches!(
            of(&BEFORE[1..], &less[1..]),
            Agreement::Contradicts(_)
        ));
    }
}
