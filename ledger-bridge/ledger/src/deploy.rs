//! From nothing to a wired network: the contracts one after the other, in the order of STAKE.md.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolConstructor};
use assay_protocol::ids;

use crate::abi::{
    AssayEpochs, AssayFaults, AssayNodes, AssayReservations, AssayStake, EcdsaQuorum, TestToken,
};
use crate::chain::Chain;
use crate::client::{AssayLedger, LedgerError};
use crate::send;
use crate::tx::{Call, TxSigner};
use crate::types::{Deployment, Token};

/// Sends the transactions of one deployment.
pub(crate) struct Deployer<'a> {
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) key: &'a dyn TxSigner,
    pub(crate) fee_cap: u128,
}

impl Deployer<'_> {
    /// Deploys and wires everything; the key's account becomes the deployer, who opens genesis. When it fails half way,
    /// what was deployed stays without use: nobody can join what is not wired.
    pub(crate) fn deploy(&self, with: &Deployment) -> Result<AssayLedger, LedgerError> {
        let roles = &with.roles;
        let address = |a: ids::Address| Address::from(a.0);
        let (treasury, governor) = (address(roles.treasury), address(roles.governor));
        let token = match roles.token {
            Token::At(token) => address(token),
            Token::Test { decimals } => self.create(
                "TestToken",
                &TestToken::BYTECODE,
                TestToken::constructorCall {
                    decimals_: decimals,
                },
            )?,
        };
        let verifier = self.created("EcdsaQuorum", EcdsaQuorum::BYTECODE.clone())?;
        let epochs = AssayEpochs::constructorCall {
            p: (&with.genesis).into(),
            token_: token,
            verifier_: verifier,
            treasury_: treasury,
            governor_: governor,
            guardian_: address(roles.guardian),
        };
        let epochs = self.create("AssayEpochs", &AssayEpochs::BYTECODE, epochs)?;
        let stake = AssayStake::constructorCall {
            p: (&with.genesis).into(),
            epochs_: epochs,
        };
        let stake = self.create("AssayStake", &AssayStake::BYTECODE, stake)?;
        let nodes = AssayNodes::constructorCall {
            epochs,
            governor_: governor,
            p: (&with.nodes).into(),
        };
        let nodes = self.create("AssayNodes", &AssayNodes::BYTECODE, nodes)?;
        let reservations = AssayReservations::constructorCall {
            epochs,
            nodes,
            governor_: governor,
            p: (&with.rent).into(),
        };
        let reservations = self.create(
            "AssayReservations",
            &AssayReservations::BYTECODE,
            reservations,
        )?;
        let faults = AssayFaults::constructorCall {
            epochs_: epochs,
            stake_: stake,
            shares_: (&with.faults).into(),
        };
        let faults = self.create("AssayFaults", &AssayFaults::BYTECODE, faults)?;
        let wire = AssayEpochs::wireCall {
            stake_: stake,
            nodes_: nodes,
            reservations_: reservations,
            faults_: faults,
        };
        self.run("wire", Some(epochs), wire.abi_encode().into())?;
        AssayLedger::at(Arc::clone(&self.chain), ids::Address(epochs.into_array()))
    }

    fn create(
        &self,
        name: &'static str,
        code: &Bytes,
        arguments: impl SolConstructor,
    ) -> Result<Address, LedgerError> {
        let data = [code.as_ref(), &arguments.abi_encode()].concat();
        self.created(name, data.into())
    }

    fn created(&self, name: &'static str, data: Bytes) -> Result<Address, LedgerError> {
        let created = self.run(name, None, data)?;
        created.ok_or_else(|| LedgerError::BadAnswer {
            action: name.to_owned(),
            why: "no contract address".into(),
        })
    }

    fn run(
        &self,
        action: &'static str,
        to: Option<Address>,
        data: Bytes,
    ) -> Result<Option<Address>, LedgerError> {
        let call = Call {
            action,
            to,
            value: U256::ZERO,
            data: &data,
        };
        let tx = send::prepare(self.chain.as_ref(), self.key, &call, self.fee_cap)?;
        Ok(send::send(self.chain.as_ref(), &tx)?.contract_address)
    }
}
