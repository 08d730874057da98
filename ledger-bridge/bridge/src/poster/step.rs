//! What a step of the poster did, as the operator reads it.

use assay_protocol::ids::{Epoch, Keccak, UnixMs};
use std::fmt;

use crate::tend::Kind;

/// What a step did; `Display` is the operator's progress line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do yet, and why.
    Waiting {
        /// The next epoch.
        epoch: Epoch,
        /// What is missing.
        why: String,
    },
    /// The ledger has this root for the epoch, which was recomputed.
    Followed {
        /// The epoch.
        epoch: Epoch,
        /// Nodes under the root.
        nodes: usize,
    },
    /// What roots made possible was done.
    Tended(Tended),
    /// A root was posted.
    Posted {
        /// The epoch.
        epoch: Epoch,
        /// Weight that signed.
        signed: u128,
        /// Weight of the committee.
        total: u128,
        /// Gas used.
        gas: u64,
    },
    /// The epoch was declared void.
    Voided {
        /// The epoch.
        epoch: Epoch,
    },
    /// The ledger says the epoch is void.
    WasVoid {
        /// The epoch.
        epoch: Epoch,
    },
    /// The ledger holds another root than the agreed reports give, and HyperNodes have not signed its correction yet.
    Contested {
        /// The epoch.
        epoch: Epoch,
        /// Digest of the correction.
        computed: Keccak,
        /// Digest on the ledger.
        posted: Keccak,
        /// Weight that signed the correction.
        signed: u128,
        /// Weight of the committee that signs now.
        total: u128,
        /// From when the wrong root can be corrected no more.
        final_at: UnixMs,
    },
    /// A wrong root was replaced.
    Corrected {
        /// The epoch.
        epoch: Epoch,
        /// Gas used.
        gas: u64,
    },
    /// A root that was followed is in force no more; what comes of the ledger now is computed again from here.
    Undone {
        /// The next epoch to be computed.
        epoch: Epoch,
    },
    /// HyperNodes signed another root than this bridge computes: it posts nothing.
    Disagrees {
        /// The epoch.
        epoch: Epoch,
        /// Computed here.
        computed: Keccak,
        /// Signed, with the weight behind it.
        signed: Vec<(Keccak, u128)>,
    },
}

impl Step {
    /// Whether nothing is to be done before time has passed.
    pub fn waits(&self) -> bool {
        match self {
            Self::Waiting { .. }
            | Self::Disagrees { .. }
            | Self::Contested { .. }
            | Self::Undone { .. } => true,
            Self::Followed { .. }
            | Self::Tended(_)
            | Self::Posted { .. }
            | Self::Voided { .. }
            | Self::WasVoid { .. }
            | Self::Corrected { .. } => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { epoch, why } => write!(f, "epoch {epoch}: {why}"),
            Self::Followed { epoch, nodes } => {
                write!(
                    f,
                    "epoch {epoch}: root on the ledger is the one computed here, {nodes} nodes"
                )
            }
            Self::Tended(done) => write!(f, "ledger: {done}"),
            Self::Posted {
                epoch,
                signed,
                total,
                gas,
            } => {
                write!(
                    f,
                    "epoch {epoch}: root posted, signed by {signed} of weight {total}, {gas} gas"
                )
            }
            Self::Voided { epoch } => write!(
                f,
                "epoch {epoch}: no root was signed in time: void, nothing paid, nothing taken"
            ),
            Self::WasVoid { epoch } => write!(f, "epoch {epoch}: void on the ledger"),
            Self::Contested {
                epoch,
                computed,
                posted,
                signed,
                total,
                final_at,
            } => write!(
                f,
                "epoch {epoch}: the root on the ledger is WRONG: digest {posted}; its correction {computed} is signed by {signed} \
                 of weight {total}\n\
                 hint: it is final at {final_at} ms; `assay-bridge ledger dispute` gives more time. If HyperNodes do not sign, \
                 compare their version and this one's"
            ),
            Self::Corrected { epoch, gas } => {
                write!(f, "epoch {epoch}: the wrong root was replaced, {gas} gas")
            }
            Self::Undone { epoch } => write!(
                f,
                "a correction replaced or undid a root that was followed: computing again from epoch {epoch} on"
            ),
            Self::Disagrees {
                epoch,
                computed,
                signed,
            } => write!(
                f,
                "epoch {epoch}: not posted: digest computed here {computed}, signed {}\n\
                 hint: compare the versions, classes and ledger views of bridge and HyperNodes",
                signed
                    .iter()
                    .map(|(d, w)| format!("{d} by weight {w}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }
}

/// How many of each kind were done in a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tended {
    /// Leaves settled, or held until their epoch is final.
    pub settled: u32,
    /// Owners confirmed.
    pub confirmed: u32,
    /// Escrows released.
    pub released: u32,
    /// Reservations begun, or settled for a period.
    pub rents: u32,
    /// HyperNodes taken out of the committee for their absence.
    pub absent: u32,
    /// Faults proven.
    pub convicted: u32,
}

impl fmt::Display for Tended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} nodes settled, {} confirmed, {} escrows released, {} reservations moved on",
            self.settled, self.confirmed, self.released, self.rents
        )?;
        if self.absent > 0 {
            write!(f, ", {} absent HyperNodes taken out", self.absent)?;
        }
        match self.convicted {
            0 => Ok(()),
            convicted => write!(f, ", {convicted} faults proven"),
        }
    }
}

impl Tended {
    pub(super) fn count(&mut self, kind: Kind) {
        let place = match kind {
            Kind::Settle => &mut self.settled,
            Kind::Confirm => &mut self.confirmed,
            Kind::Release => &mut self.released,
            Kind::Rent => &mut self.rents,
            Kind::Absent => &mut self.absent,
        };
        *place = place.saturating_add(1);
    }
}
