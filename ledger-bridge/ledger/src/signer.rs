//! A signer behind a URL: JSON-RPC `eth_signTransaction`, as web3signer and nodes with unlocked accounts serve it. It is
//! asked to sign exactly one transaction, and what comes back is compared with it field by field before anything is kept.

use std::path::Path;
use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Bytes, TxKind};
use assay_protocol::ids;
use serde_json::{Value, json};

use crate::chain::ChainError;
use crate::key::KeyError;
use crate::rpc::call::Caller;
use crate::rpc::wire;
use crate::tx::{SignedTx, TxRequest, TxSigner};

/// A signer may ask a person or a slow device.
const SIGN_TIMEOUT: Duration = Duration::from_secs(60);

/// The signer of one account.
pub struct RemoteSigner {
    caller: Caller,
    address: ids::Address,
}

impl RemoteSigner {
    /// A signer at `http://…` or `https://…` that holds the key of `address`. It is not asked yet.
    pub fn new(url: &str, ca: Option<&Path>, address: ids::Address) -> Result<Self, KeyError> {
        let caller = Caller::new(url, ca, SIGN_TIMEOUT)
            .map_err(|error| KeyError::BadSigner(error.to_string()))?;
        Ok(Self { caller, address })
    }

    fn failed(&self, why: String) -> KeyError {
        KeyError::Signer {
            url: self.caller.shown().to_owned(),
            why,
        }
    }

    fn request(&self, tx: &TxRequest) -> Value {
        let body = &tx.body;
        let mut request = json!({
            "type": "0x2",
            "from": wire::data(&self.address.0),
            "chainId": wire::quantity(body.chain_id),
            "nonce": wire::quantity(body.nonce),
            "gas": wire::quantity(body.gas_limit),
            "maxFeePerGas": wire::price(body.max_fee_per_gas),
            "maxPriorityFeePerGas": wire::price(body.max_priority_fee_per_gas),
            "value": format!("{:#x}", body.value),
            "data": wire::data(&body.input),
        });
        if let (TxKind::Call(to), Some(fields)) = (body.to, request.as_object_mut()) {
            fields.insert("to".into(), wire::data(to.as_slice()));
        }
        request
    }

    /// Only the very transaction that was asked for, signed by the account.
    fn check(&self, tx: &TxRequest, raw: &[u8]) -> Result<SignedTx, String> {
        let Ok(TxEnvelope::Eip1559(signed)) = TxEnvelope::decode_2718_exact(raw) else {
            return Err("answered something else than one EIP-1559 transaction".into());
        };
        if *signed.tx() != tx.body {
            return Err("signed another transaction than it was asked for".into());
        }
        let signature = *signed.signature();
        if signature.normalize_s().is_some() {
            return Err("signature with high s (EIP-2)".into());
        }
        let hash = tx.body.signature_hash();
        let recovered = signature.recover_address_from_prehash(&hash);
        let actual = recovered.map_err(|_| "signature of no key".to_owned())?;
        if actual.0 != self.address.0 {
            let actual = ids::Address(actual.into_array());
            return Err(format!("signed by {actual}, expected {}", self.address));
        }
        Ok(tx.signed(signature))
    }
}

impl TxSigner for RemoteSigner {
    fn address(&self) -> ids::Address {
        self.address
    }

    fn sign_tx(&self, tx: &TxRequest) -> Result<SignedTx, KeyError> {
        let params = json!([self.request(tx)]);
        let asked: Result<Bytes, ChainError> =
            self.caller.ask("eth_signTransaction", params, signed_bytes);
        let raw = asked.map_err(|error| self.failed(error.to_string()))?;
        self.check(tx, &raw).map_err(|why| self.failed(why))
    }
}

/// web3signer answers the bytes, other nodes an object that has them under `raw`.
fn signed_bytes(result: &Value) -> Option<Bytes> {
    wire::parse_data(result.get("raw").unwrap_or(result))
}
