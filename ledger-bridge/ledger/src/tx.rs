//! From an action to signed bytes, by whatever holds the key.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use assay_protocol::ids::{self, Keccak};

use crate::fee::Fee;
use crate::key::KeyError;

/// A transaction that is not signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxRequest {
    /// Name of the action, for messages.
    pub action: String,
    pub(crate) body: TxEip1559,
}

/// A transaction ready to be stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTx {
    /// Name of the action, for messages.
    pub action: String,
    /// Transaction hash.
    pub hash: Keccak,
    /// The sender's nonce it uses.
    pub nonce: u64,
    /// EIP-2718 bytes.
    pub raw: Vec<u8>,
}

/// Whoever signs for one account: a key in this process, or a signer behind a URL.
pub trait TxSigner: Send + Sync {
    /// The account.
    fn address(&self) -> ids::Address;

    /// Signs exactly this transaction.
    fn sign_tx(&self, tx: &TxRequest) -> Result<SignedTx, KeyError>;
}

/// What a transaction is about, apart from chain, account and fee.
pub(crate) struct Call<'a> {
    pub(crate) action: &'a str,
    pub(crate) to: Option<Address>,
    pub(crate) value: U256,
    pub(crate) data: &'a Bytes,
}

impl TxRequest {
    pub(crate) fn new(
        call: &Call<'_>,
        chain_id: u64,
        nonce: u64,
        gas_limit: u64,
        fee: Fee,
    ) -> Self {
        let body = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fee.max,
            max_priority_fee_per_gas: fee.tip,
            to: call.to.map_or(TxKind::Create, TxKind::Call),
            value: call.value,
            access_list: Default::default(),
            input: call.data.clone(),
        };
        Self {
            action: call.action.to_owned(),
            body,
        }
    }

    pub(crate) fn signed(&self, signature: Signature) -> SignedTx {
        let envelope = TxEnvelope::from(self.body.clone().into_signed(signature));
        SignedTx {
            action: self.action.clone(),
            hash: Keccak(envelope.tx_hash().0),
            nonce: self.body.nonce,
            raw: envelope.encoded_2718(),
        }
    }
}

impl SignedTx {
    /// The same transaction under the same nonce with another offer, to be signed; `None` when the bytes are no
    /// transaction of ours.
    pub fn with_fee(&self, fee: Fee) -> Option<TxRequest> {
        let mut body = self.body()?;
        body.max_fee_per_gas = fee.max;
        body.max_priority_fee_per_gas = fee.tip;
        Some(TxRequest {
            action: self.action.clone(),
            body,
        })
    }

    /// What it offers for gas.
    pub fn fee(&self) -> Option<Fee> {
        let body = self.body()?;
        Some(Fee {
            max: body.max_fee_per_gas,
            tip: body.max_priority_fee_per_gas,
        })
    }

    /// Gas it may use.
    pub fn gas_limit(&self) -> Option<u64> {
        Some(self.body()?.gas_limit)
    }

    fn body(&self) -> Option<TxEip1559> {
        match TxEnvelope::decode_2718_exact(&self.raw) {
            Ok(TxEnvelope::Eip1559(signed)) => Some(signed.tx().clone()),
            _ => None,
        }
    }
}
