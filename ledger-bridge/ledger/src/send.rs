//! Preparing and sending one transaction, for commands that wait for its end. What a daemon sends goes through its outbox.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use assay_protocol::ids::Keccak;

use crate::chain::{Chain, ChainError, Receipt, Trial};
use crate::client::{LedgerError, failed};
use crate::fee::Fee;
use crate::tx::{Call, SignedTx, TxRequest, TxSigner};

/// Most that is paid for a unit of gas unless somebody says otherwise: 1,000 gwei.
pub(crate) const FEE_CAP_DEFAULT: u128 = 1_000_000_000_000;
/// Cap of one transaction's gas (EIP-7825).
const GAS_LIMIT_MAX: u64 = 16_777_216;
/// What somebody else's transaction, which comes first, can add to a call: a claim then asks again whether its root is final.
const GAS_SLACK: u64 = 20_000;
/// How long a receipt is waited for.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(120);
const RECEIPT_POLL: Duration = Duration::from_millis(50);

/// The nonce is read from the chain every time: it is the only counter that never runs ahead. The transaction is tried
/// out first, so that what would revert is never sent.
pub(crate) fn prepare(
    chain: &dyn Chain,
    key: &dyn TxSigner,
    call: &Call<'_>,
    fee_cap: u128,
) -> Result<SignedTx, LedgerError> {
    let failed = failed(call.action);
    let from = Address::from(key.address().0);
    let trial = Trial {
        from,
        to: call.to,
        value: call.value,
        data: call.data,
    };
    let gas = chain.estimate_gas(&trial).map_err(&failed)?;
    if gas > GAS_LIMIT_MAX {
        return Err(LedgerError::TooMuchGas {
            action: call.action.to_owned(),
            gas,
            max: GAS_LIMIT_MAX,
        });
    }
    let market = chain.market().map_err(&failed)?;
    if market.base > fee_cap {
        return Err(LedgerError::FeeCap {
            action: call.action.to_owned(),
            base: market.base,
            cap: fee_cap,
        });
    }
    let chain_id = chain.chain_id().map_err(&failed)?;
    let nonce = chain.nonce(from).map_err(&failed)?;
    let limit = gas.saturating_add(gas / 4).saturating_add(GAS_SLACK);
    let limit = limit.min(GAS_LIMIT_MAX);
    let tx = TxRequest::new(call, chain_id, nonce, limit, Fee::offer(&market, fee_cap));
    Ok(key.sign_tx(&tx)?)
}

/// Sends and waits until a block holds the transaction. A node that refuses bytes may have them all the same: only
/// when it also has no receipt of them was nothing done.
pub(crate) fn send(chain: &dyn Chain, tx: &SignedTx) -> Result<Receipt, LedgerError> {
    let failed = failed(&tx.action);
    let hash = B256::from(tx.hash.0);
    if let Err(refused) = chain.send_raw(&tx.raw)
        && chain.receipt(hash).map_err(&failed)?.is_none()
    {
        return Err(failed(refused));
    }
    let receipt = await_receipt(chain, tx, hash)?;
    if receipt.success {
        return Ok(receipt);
    }
    Err(failed(ChainError::Reverted(
        receipt.revert_data.unwrap_or_default(),
    )))
}

fn await_receipt(chain: &dyn Chain, tx: &SignedTx, hash: B256) -> Result<Receipt, LedgerError> {
    let started = Instant::now();
    loop {
        if let Some(receipt) = chain.receipt(hash).map_err(failed(&tx.action))? {
            return Ok(receipt);
        }
        if started.elapsed() > RECEIPT_TIMEOUT {
            let (action, seconds) = (tx.action.clone(), RECEIPT_TIMEOUT.as_secs());
            return Err(LedgerError::NoReceipt {
                action,
                hash: Keccak(hash.0),
                seconds,
            });
        }
        std::thread::sleep(RECEIPT_POLL);
    }
}
