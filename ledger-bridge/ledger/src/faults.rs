//! Who signed what was wrong, from the chain alone: the transaction that posted a root holds its committee and signatures.

use alloy_primitives::B256;
use alloy_sol_types::SolCall;
use assay_aggregate::root::EpochRoot;
use assay_protocol::ids::{self, Epoch, Keccak};

use crate::abi::AssayEpochs;
use crate::client::{AssayLedger, LedgerError, failed};
use crate::convert::signers_in;
use crate::reads::told;
use crate::types::Resolved;

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
}

impl AssayLedger {
    /// The roots of an epoch that were replaced, oldest first. One that an earlier epoch's correction undid is none of them.
    pub fn replaced_roots(&self, epoch: Epoch) -> Result<Vec<Replaced>, LedgerError> {
        let chain_id = self.chain_id()?;
        let mut replaced = Vec::new();
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
