//! From raw bytes to a transaction whose sender is proven.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, Typed2718};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, keccak256};

use crate::chain::TxRefused;

/// Largest transaction accepted: a root with 128 signatures needs about 32 KiB.
const MAX_TX_BYTES: usize = 128 * 1024;

/// A transaction with a valid signature for this chain, and its sender.
pub(super) struct RecoveredTx {
    pub(super) hash: B256,
    pub(super) sender: Address,
    pub(super) body: TxEip1559,
    pub(super) raw: Vec<u8>,
}

/// Checks size, form, type, chain id and signature; the sender is what the signature says.
pub(super) fn recover(raw: &[u8], chain_id: u64) -> Result<RecoveredTx, TxRefused> {
    if raw.len() > MAX_TX_BYTES {
        return Err(TxRefused::TooLarge {
            max: MAX_TX_BYTES,
            actual: raw.len(),
        });
    }
    let envelope =
        TxEnvelope::decode_2718_exact(raw).map_err(|e| TxRefused::Malformed(e.to_string()))?;
    let TxEnvelope::Eip1559(signed) = envelope else {
        return Err(TxRefused::WrongType(envelope.ty()));
    };
    let body = signed.tx().clone();
    if body.chain_id != chain_id {
        return Err(TxRefused::WrongChainId {
            expected: chain_id,
            actual: body.chain_id,
        });
    }
    let signature = signed.signature();
    if signature.normalize_s().is_some() {
        return Err(TxRefused::BadSignature("high s (EIP-2)"));
    }
    let sender = signature
        .recover_address_from_prehash(&body.signature_hash())
        .map_err(|_| TxRefused::BadSignature("no key recovers from it"))?;
    Ok(RecoveredTx {
        hash: keccak256(raw),
        sender,
        body,
        raw: raw.to_vec(),
    })
}
