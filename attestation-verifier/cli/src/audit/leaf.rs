//! A node's leaf, word by word.

use assay_aggregate::epoch::NodeState;
use assay_aggregate::persistence::Record;
use assay_protocol::ids::{Address, Digest};

/// Words of the ABI-encoded leaf, in order.
pub const WORDS: [&str; 18] = [
    "type",
    "epoch",
    "node",
    "owner",
    "confirmed",
    "chips",
    "verdict",
    "reasons",
    "tier",
    "availability_ppm",
    "lower_ppm",
    "upper_ppm",
    "coverage_ppm",
    "chase_rate",
    "chase_kind",
    "cumulative_up_slots",
    "cumulative_down_slots",
    "cumulative_slash",
];
/// Words that also depend on epochs before this one.
pub const SUMS: [&str; 3] = [
    "cumulative_up_slots",
    "cumulative_down_slots",
    "cumulative_slash",
];

/// A leaf as its 32-byte words.
pub struct Leaf([[u8; 32]; WORDS.len()]);

impl Leaf {
    /// The words of these bytes, or how many bytes there are instead.
    pub fn parse(abi: &[u8]) -> Result<Self, String> {
        let (words, rest) = abi.as_chunks::<32>();
        let words = words.try_into().ok().filter(|_| rest.is_empty());
        words
            .map(Self)
            .ok_or_else(|| format!("{} bytes", abi.len()))
    }

    fn word(&self, name: &str) -> [u8; 32] {
        let at = WORDS.iter().position(|word| *word == name);
        at.and_then(|at| self.0.get(at))
            .copied()
            .unwrap_or_default()
    }

    /// Numbers as such; what does not fit 128 bits is shown whole, by [`Leaf::show`].
    pub fn number(&self, name: &str) -> u128 {
        let word = self.word(name);
        u128::from_be_bytes(word.last_chunk().copied().unwrap_or_default())
    }

    /// A number in decimal; a word that is wider, in hexadecimal.
    pub fn show(&self, name: &str) -> String {
        let word = self.word(name);
        match word.first_chunk::<16>() {
            Some([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) => self.number(name).to_string(),
            _ => hex::encode(word),
        }
    }

    /// The owner.
    pub fn owner(&self) -> Address {
        Address(self.word("owner").last_chunk().copied().unwrap_or_default())
    }

    /// Whether a root confirmed the owner.
    pub fn confirmed(&self) -> bool {
        self.number("confirmed") == 1
    }

    /// The processors that the node is bound to.
    pub fn chips(&self) -> Option<Digest> {
        Some(Digest(self.word("chips"))).filter(|chips| chips.0 != [0; 32])
    }

    /// The state this leaf leaves behind, with the record that is not in it.
    pub fn state(&self, record: Record) -> NodeState {
        let slots = |name| u64::try_from(self.number(name)).unwrap_or(u64::MAX);
        NodeState {
            confirmed_owner: self.confirmed().then(|| self.owner()),
            cumulative_up_slots: slots("cumulative_up_slots"),
            cumulative_down_slots: slots("cumulative_down_slots"),
            cumulative_slash: self.number("cumulative_slash"),
            record,
            chips: self.chips(),
        }
    }

    /// For want of the epoch before: confirmed then as now, on the same processors, sums unknown.
    pub fn assumed_prior(&self) -> NodeState {
        NodeState {
            confirmed_owner: self.confirmed().then(|| self.owner()),
            chips: self.chips(),
            ..NodeState::default()
        }
    }
}
