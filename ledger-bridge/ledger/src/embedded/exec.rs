//! One transaction or call on revm, against the state on disk.

use alloy_primitives::{Address, B256, Bytes, Log, U256};
use revm::context::result::{EVMError, ExecutionResult};
use revm::context::{BlockEnv, Context, TxEnv};
use revm::primitives::TxKind;
use revm::primitives::hardfork::{SpecId, name};
use revm::state::EvmState;
use revm::{ExecuteEvm, MainBuilder, MainContext};

use super::store::{Head, StateReader, Store, StoreError};
use super::tx::RecoveredTx;
use crate::chain::{ChainError, Trial, TxRefused};

const SPEC: SpecId = SpecId::OSAKA;
pub(super) const SPEC_NAME: &str = name::OSAKA;

/// Gas of a block; a block holds one transaction.
const BLOCK_GAS: u64 = 30_000_000;
/// Gas of a read-only call: the cap of one transaction under these rules (EIP-7825).
const CALL_GAS: u64 = 16_777_216;

/// The block about to be made.
pub(super) struct NextBlock {
    pub(super) number: u64,
    pub(super) parent: B256,
    pub(super) time_ms: u64,
}

impl NextBlock {
    /// Time never runs backwards, whatever the clock says.
    pub(super) fn after(head: &Head, now_ms: u64) -> Self {
        Self {
            number: head.number.saturating_add(1),
            parent: head.hash,
            time_ms: now_ms.max(head.time_ms),
        }
    }

    fn env(&self) -> BlockEnv {
        BlockEnv {
            number: U256::from(self.number),
            timestamp: U256::from(self.time_ms / 1000),
            gas_limit: BLOCK_GAS,
            basefee: 0,
            prevrandao: Some(self.parent),
            ..BlockEnv::default()
        }
    }
}

/// What a transaction did: receipt fields and the state it leaves.
pub(super) struct Outcome {
    pub(super) success: bool,
    pub(super) gas_used: u64,
    pub(super) created: Option<Address>,
    pub(super) logs: Vec<Log>,
    pub(super) revert_data: Option<Bytes>,
    pub(super) state: EvmState,
}

/// Executes a recovered transaction; nothing is written.
pub(super) fn transact(
    store: &Store,
    chain_id: u64,
    block: &NextBlock,
    tx: &RecoveredTx,
) -> Result<Outcome, ChainError> {
    let done = run(store, chain_id, block, tx_env(tx)?, false)?;
    let (gas_used, state) = (done.result.tx_gas_used(), done.state);
    let failed = |revert_data| (false, None, Vec::new(), revert_data);
    let (success, created, logs, revert_data) = match done.result {
        ExecutionResult::Success { logs, output, .. } => {
            (true, output.address().copied(), logs, None)
        }
        ExecutionResult::Revert { output, .. } => failed(Some(output)),
        ExecutionResult::Halt { .. } => failed(None),
    };
    Ok(Outcome {
        success,
        gas_used,
        created,
        logs,
        revert_data,
        state,
    })
}

/// Executes a read-only call from the zero address.
pub(super) fn call(
    store: &Store,
    chain_id: u64,
    block: &NextBlock,
    to: Address,
    data: &[u8],
) -> Result<Bytes, ChainError> {
    let env = TxEnv {
        kind: TxKind::Call(to),
        data: Bytes::copy_from_slice(data),
        gas_limit: CALL_GAS,
        gas_price: 0,
        chain_id: Some(chain_id),
        ..TxEnv::default()
    };
    match run(store, chain_id, block, env, true)?.result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(ChainError::Reverted(output)),
        ExecutionResult::Halt { reason, .. } => Err(ChainError::Halted(format!("{reason:?}"))),
    }
}

/// Gas that a transaction would spend, refunds not deducted; nothing is written.
pub(super) fn estimate(
    store: &Store,
    chain_id: u64,
    block: &NextBlock,
    trial: &Trial<'_>,
) -> Result<u64, ChainError> {
    let env = TxEnv {
        caller: trial.from,
        kind: trial.to.map_or(TxKind::Create, TxKind::Call),
        value: trial.value,
        data: Bytes::copy_from_slice(trial.data),
        gas_limit: CALL_GAS,
        gas_price: 0,
        chain_id: Some(chain_id),
        ..TxEnv::default()
    };
    match run(store, chain_id, block, env, true)?.result {
        ExecutionResult::Success { gas, .. } => Ok(gas.total_gas_spent().max(gas.tx_gas_used())),
        ExecutionResult::Revert { output, .. } => Err(ChainError::Reverted(output)),
        ExecutionResult::Halt { reason, .. } => Err(ChainError::Halted(format!("{reason:?}"))),
    }
}

fn run(
    store: &Store,
    chain_id: u64,
    block: &NextBlock,
    env: TxEnv,
    read_only: bool,
) -> Result<revm::context::result::ResultAndState, ChainError> {
    let mut evm = Context::mainnet()
        .with_db(StateReader(store))
        .with_block(block.env())
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(SPEC);
            cfg.chain_id = chain_id;
            cfg.disable_nonce_check = read_only;
        })
        .build_mainnet();
    evm.transact(env).map_err(refusal)
}

fn refusal(error: EVMError<StoreError>) -> ChainError {
    match error {
        EVMError::Database(StoreError(inner)) => inner,
        EVMError::Transaction(invalid) => TxRefused::Invalid(invalid.to_string()).into(),
        other => TxRefused::Invalid(other.to_string()).into(),
    }
}

fn tx_env(tx: &RecoveredTx) -> Result<TxEnv, ChainError> {
    let body = &tx.body;
    let builder = TxEnv::builder()
        .caller(tx.sender)
        .nonce(body.nonce)
        .chain_id(Some(body.chain_id))
        .kind(body.to)
        .value(body.value)
        .data(body.input.clone())
        .gas_limit(body.gas_limit)
        .gas_price(body.max_fee_per_gas)
        .gas_priority_fee(Some(body.max_priority_fee_per_gas))
        .access_list(body.access_list.clone());
    builder
        .build()
        .map_err(|e| TxRefused::Invalid(format!("{e:?}")).into())
}
