//! What can be done to the contract, apart from when and by whom: an [`Action`] becomes a
//! [`crate::SignedTx`].
//! A bridge stores the signed bytes before it sends them; the same bytes sent twice do one thing.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolValue};
use assay_aggregate::root::Committee;
use assay_protocol::ids::{Epoch, Keccak, NetworkId, NodeId, Stake};

use crate::abi::{IAssayLedger as Abi, creation_code};
use crate::tx::Call;
use crate::types::{GenesisParameters, NewHyperNode, NewNode};

/// One state change of the contract, not yet signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The contract's function, for messages.
    pub name: &'static str,
    value: U256,
    data: Bytes,
}

impl Action {
    /// A HyperNode of the genesis roster, by its ledger key.
    pub fn register_hypernode(new: &NewHyperNode) -> Self {
        let call = Abi::registerHyperNodeCall {
            ed25519Key: new.ed25519.0.into(),
            operatorId: new.operator.0.into(),
            seedChainEnd: new.seed_end.0.into(),
            endpoint: new.endpoint.clone(),
        };
        Self::paying("registerHyperNode", new.stake, &call)
    }

    /// Closes the roster and fixes the genesis committee; by the deployer.
    pub fn open_genesis(network: NetworkId) -> Self {
        Self::of(
            "openGenesis",
            &Abi::openGenesisCall {
                networkId_: network.0.into(),
            },
        )
    }

    /// Registers a node provisionally, by its provider.
    pub fn register_node(new: &NewNode) -> Self {
        let call = Abi::registerNodeCall {
            nodeId: new.node.0.into(),
            classDigest: new.class_digest.0.into(),
            region: new.region.into(),
            endpoint: new.endpoint.clone(),
        };
        Self::paying("registerNode", new.collateral, &call)
    }

    /// Takes back the collateral of a provisional registration, by its provider.
    pub fn cancel_registration(node: NodeId) -> Self {
        Self::of(
            "cancelRegistration",
            &Abi::cancelRegistrationCall {
                nodeId: node.0.into(),
            },
        )
    }

    /// Adds to the reward pool.
    pub fn fund_rewards(amount: Stake) -> Self {
        Self::paying("fundRewards", amount, &Abi::fundRewardsCall {})
    }

    /// Posts an epoch's signed root. `signatures` are parallel to `committee`, `None` for an absent member.
    pub fn post_root(
        root: impl Into<Abi::EpochRoot>,
        committee: &Committee,
        signatures: &[Option<[u8; 65]>],
    ) -> Self {
        let signature = |s: &Option<[u8; 65]>| s.map_or_else(Bytes::new, Bytes::from);
        let call = Abi::postRootCall {
            r: root.into(),
            committee: committee.members().iter().map(Into::into).collect(),
            signatures: signatures.iter().map(signature).collect(),
        };
        Self::of("postRoot", &call)
    }

    /// Declares an epoch void.
    pub fn post_void(epoch: Epoch) -> Self {
        Self::of("postVoid", &Abi::postVoidCall { epoch: epoch.0 })
    }

    /// Settles one leaf by its Merkle proof (siblings from the leaf up).
    pub fn settle(epoch: Epoch, leaf: impl Into<Abi::NodeLeaf>, proof: &[Keccak]) -> Self {
        let proof = proof.iter().map(|k| B256::from(k.0)).collect();
        Self::of(
            "settle",
            &Abi::settleCall {
                epoch: epoch.0,
                leaf: leaf.into(),
                proof,
            },
        )
    }

    /// Pays a node's arrears from the pool.
    pub fn pay_arrears(node: NodeId) -> Self {
        Self::of(
            "payArrears",
            &Abi::payArrearsCall {
                nodeId: node.0.into(),
            },
        )
    }

    /// Pays the sender's released rewards.
    pub fn claim() -> Self {
        Self::of("claim", &Abi::claimCall {})
    }

    /// Creation of the contract; `None` when the artefact is unusable.
    pub(crate) fn deploy(parameters: &GenesisParameters) -> Option<Self> {
        let mut data = creation_code()?;
        data.extend_from_slice(&Abi::Parameters::from(parameters).abi_encode());
        Some(Self {
            name: "deploy",
            value: U256::ZERO,
            data: data.into(),
        })
    }

    pub(crate) fn to(&self, to: Option<Address>) -> Call<'_> {
        Call {
            action: self.name,
            to,
            value: self.value,
            data: &self.data,
        }
    }

    fn of(name: &'static str, call: &impl SolCall) -> Self {
        Self {
            name,
            value: U256::ZERO,
            data: call.abi_encode().into(),
        }
    }

    fn paying(name: &'static str, amount: Stake, call: &impl SolCall) -> Self {
        Self {
            value: U256::from(amount.0),
            ..Self::of(name, call)
        }
    }
}
