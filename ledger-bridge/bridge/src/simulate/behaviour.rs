//! How HyperNodes behave: what each says of a node, given what it would have seen.

use super::world::{FLOOR, Kind, SLOTS, World};
use crate::random::Random;
use assay_protocol::outcome::OutcomeClass;
use assay_protocol::report::Cell;

/// What an attacker does with its share of the stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Behaviour {
    /// Each lies about half of the nodes it speaks of, at random, and clumsily: its own evidence contradicts it.
    Liars,
    /// All tell the same lie, every good node was silent and slow and every bad one is fine, and none that evidence
    /// contradicts: silence and time rest on words.
    Colluding,
    /// The same lie, with the stake in two accounts.
    Concentrated,
    /// Probe nothing and repeat what an honest HyperNode reported an epoch before.
    Copiers,
    /// Probe nothing and report that all is well.
    Lazy,
    /// Reveal nothing, ever.
    Withholding,
    /// Are down in half of the epochs, and in half of the slots of the others.
    Crashing,
}

/// One statement: by whom, of what, when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub epoch: u64,
    pub seat: usize,
    pub node: usize,
}

/// What one HyperNode says of one node in one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub cells: Vec<Cell>,
    pub attest: OutcomeClass,
    pub chase: OutcomeClass,
    pub rate: u64,
}

impl Behaviour {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::Liars,
        Self::Colluding,
        Self::Concentrated,
        Self::Copiers,
        Self::Lazy,
        Self::Withholding,
        Self::Crashing,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Liars => "liars",
            Self::Colluding => "colluding",
            Self::Concentrated => "concentrated",
            Self::Copiers => "copiers",
            Self::Lazy => "lazy",
            Self::Withholding => "withholding",
            Self::Crashing => "crashing",
        }
    }

    /// Whether a statement is contradicted by the evidence its author must show, or by its absence.
    pub(super) fn is_provable(self, said: &Said, truth: &Said) -> bool {
        let claims = said.cells.iter().zip(&truth.cells);
        let invented =
            |(said, truth): (&Cell, &Cell)| (*said, *truth) == (Cell::Answered, Cell::Unanswered);
        match self {
            Self::Lazy | Self::Copiers => true,
            _ => said.attest != truth.attest || claims.into_iter().any(invented),
        }
    }

    pub(super) fn is_concentrated(self) -> bool {
        self == Self::Concentrated
    }

    /// Whether the attacker's HyperNode takes part in an epoch at all.
    pub(super) fn reports(self, world: &World, epoch: u64, seat: usize) -> bool {
        match self {
            Self::Withholding => false,
            Self::Crashing => !Random::fork(world.seed, &[10, epoch, seat as u64]).chance(500_000),
            _ => true,
        }
    }

    /// What the attacker's HyperNode says.
    pub(super) fn say(self, world: &World, at: &Place, truth: Said) -> Said {
        let Place { epoch, seat, node } = *at;
        let mut random = Random::fork(world.seed, &[11, epoch, seat as u64, node as u64]);
        match self {
            Self::Liars if random.chance(500_000) => truth,
            Self::Liars => opposite(world, node),
            Self::Colluding | Self::Concentrated => careful(world, node, truth),
            Self::Copiers => copied(world, epoch, node),
            Self::Lazy => fine(),
            Self::Crashing => half_blind(truth, &mut random),
            Self::Withholding => truth,
        }
    }
}

/// What an honest HyperNode says: cells of all slots, of which only those on its panels count.
pub(super) fn honest(world: &World, at: &Place) -> Said {
    let Place { epoch, seat, node } = *at;
    let cell = |slot| {
        let truth = match world.is_up(epoch, node, slot) {
            true => Cell::Answered,
            false => Cell::Unanswered,
        };
        world.trouble(epoch, seat, node, slot).unwrap_or(truth)
    };
    Said {
        cells: (0..SLOTS).map(cell).collect(),
        attest: OutcomeClass::Pass,
        chase: OutcomeClass::Pass,
        rate: world.rate(epoch, seat, node),
    }
}

fn fine() -> Said {
    Said {
        cells: vec![Cell::Answered; SLOTS as usize],
        attest: OutcomeClass::Pass,
        chase: OutcomeClass::Pass,
        rate: 2 * FLOOR,
    }
}

fn opposite(world: &World, node: usize) -> Said {
    if world.kinds[node] != Kind::Good {
        return fine();
    }
    Said {
        cells: vec![Cell::Unanswered; SLOTS as usize],
        attest: OutcomeClass::Fail,
        chase: OutcomeClass::Pass,
        rate: 0,
    }
}

/// The same without a word that evidence contradicts.
fn careful(world: &World, node: usize, mut said: Said) -> Said {
    if world.kinds[node] == Kind::Good {
        said.cells.fill(Cell::Unanswered);
        said.rate = 0;
    } else {
        let silent = said
            .cells
            .iter_mut()
            .filter(|cell| **cell == Cell::Unanswered);
        silent.for_each(|cell| *cell = Cell::Inconclusive);
        said.rate = 2 * FLOOR;
    }
    said
}

/// Reports are hidden until everybody has committed, so there is only the past to copy.
fn copied(world: &World, epoch: u64, node: usize) -> Said {
    let model = world.attackers.iter().position(|attacks| !attacks);
    match (epoch.checked_sub(1), model) {
        (Some(epoch), Some(seat)) => honest(world, &Place { epoch, seat, node }),
        _ => fine(),
    }
}

fn half_blind(mut said: Said, random: &mut Random) -> Said {
    for cell in &mut said.cells {
        if random.chance(500_000) {
            *cell = Cell::None;
        }
    }
    said
}
