//! Who signed what was wrong, from the chain alone: the transaction that posted a root holds its committee and signatures.

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use assay_aggregate::root::EpochRoot;
use assay_protocol::ids::{self, Epoch, HyperNodeId, Keccak};
use assay_protocol::report::Vote;

use crate::abi::{AssayEpochs, AssayFaults};
use crate::client::{AssayLedger, LedgerError, failed};
use crate::convert::signers_in;
use crate::reads::told;
use crate::types::Resolved;

/// `IAssayFaults.FaultKind`.
const WRONG_ROOT: u8 = 1;
const TWO_VOTES: u8 = 2;

/// A root that a correction replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// What was signed.
    pub root: EpochRoot,
    /// Its EIP-712 digest.
    pub digest: Keccak,
    /// The transaction that posted it.
    pub tx: Keccak,
    /// Who signed it, r ‖ s ‖ v; nobody when it was posted through another contract, whose input says something else.
    pub signatures: Vec<(ids::Address, [u8; 65])>,
    /// It is the root in force, but for round and committee: what replaced it was wrong and was replaced in turn. The
    /// contract does not see that its signers did nothing wrong.
    pub is_right: bool,
}

/// What a HyperNode is convicted of once (`IAssayFaults.faultId`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultOf {
    /// It signed a root that was replaced.
    Root(Epoch, Keccak),
    /// It voted for two lists in an epoch and round.
    Votes(Epoch, u32),
}

impl FaultOf {
    /// That of a vote which another one contradicts.
    pub fn vote(vote: &Vote) -> Self {
        Self::Votes(vote.epoch, vote.round)
    }

    fn id(self, hypernode: &HyperNodeId) -> B256 {
        let (kind, place) = match self {
            Self::Root(epoch, digest) => {
                let place = (U256::from(epoch.0), B256::from(digest.0)).abi_encode();
                (WRONG_ROOT, place)
            }
            Self::Votes(epoch, round) => {
                let place = (U256::from(epoch.0), U256::from(round)).abi_encode();
                (TWO_VOTES, place)
            }
        };
        let hypernode = B256::from(hypernode.0);
        keccak256((U256::from(kind), hypernode, keccak256(place)).abi_encode())
    }
}

impl AssayLedger {
    /// Whether a HyperNode was convicted of this.
    pub fn is_proven(&self, of: FaultOf, hypernode: &HyperNodeId) -> Result<bool, LedgerError> {
        let call = AssayFaults::isProvenCall {
            fault: of.id(hypernode),
        };
        self.read(self.contracts().faults, &call)
    }

    /// The roots of an epoch that were replaced, oldest first. One that an earlier epoch's correction undid is none of them.
    pub fn replaced_roots(&self, epoch: Epoch) -> Result<Vec<Replaced>, LedgerError> {
        let chain_id = self.chain_id()?;
        let mut replaced = Vec::new();
        let in_force = match self.resolved(epoch)? {
            Resolved::Posted(root) => Some(*root),
            _ => None,
        };
        let is_right = |root: &EpochRoot| {
            in_force.is_some_and(|right| {
                let (round, committee) = (right.round, right.committee);
                right
                    == EpochRoot {
                        round,
                        committee,
                        ..*root
                    }
            })
        };
        for event in self.events_of(epoch, 0)? {
            let Some(Resolved::Posted(root)) = told(&event.log) else {
                continue;
            };
            let digest = root.digest(chain_id, &self.contract());
            if !self.is_replaced(epoch, digest)? {
                continue;
            }
            replaced.push(Replaced {
                signatures: self.signers_of(&root, event.tx)?,
                is_right: is_right(&root),
                root: *root,
                digest,
                tx: Keccak(event.tx.0),
            });
        }
        Ok(replaced)
    }

    fn is_replaced(&self, epoch: Epoch, digest: Keccak) -> Result<bool, LedgerError> {
        let call = AssayEpochs::wrongDigestCall {
            epoch: epoch.0,
            digest: digest.0.into(),
        };
        self.read(self.contracts().epochs, &call)
    }

    fn signers_of(
        &self,
        root: &EpochRoot,
        tx: B256,
    ) -> Result<Vec<(ids::Address, [u8; 65])>, LedgerError> {
        let input = self.chain().input(tx).map_err(failed("transaction"))?;
        let input = input.unwrap_or_default();
        let posted = AssayEpochs::postRootCall::abi_decode_validate(&input)
            .map(|call| (call.r, call.committee, call.signatures));
        let sent = posted.or_else(|_| {
            AssayEpochs::correctCall::abi_decode_validate(&input)
                .map(|call| (call.r, call.committee, call.signatures))
        });
        let sent = sent.ok().filter(|(r, ..)| EpochRoot::from(r) == *root);
        Ok(sent.map_or_else(Vec::new, |(_, committee, signatures)| {
            signers_in(&committee, &signatures)
        }))
    }
}
