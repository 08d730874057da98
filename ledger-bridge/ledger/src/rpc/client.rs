//! A chain behind a URL.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use super::call::Caller;
use super::wire;
use crate::chain::{Block, Chain, ChainError, Event, Finality, LogQuery, Market, Receipt, Trial};

const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Blocks asked for at once where a node refuses more, at first and at least: some plans of providers allow no more.
const LOG_BLOCKS: u64 = 10_000;
const LOG_BLOCKS_MIN: u64 = 10;
/// Calls asked for in one request: what common nodes take.
const CALLS_AT_ONCE: usize = 50;
/// JSON-RPC error code of a block that a node has pruned (EIP-4444).
const PRUNED: i64 = 4444;

/// How a node is reached and when a block of it is final.
#[derive(Debug, Clone)]
pub struct RpcOptions {
    /// Roots that its certificate must lead to (PEM); without, Mozilla's.
    pub ca: Option<PathBuf>,
    /// Blocks on top of a final one, for chains without the tag `finalized`; without, the chain's own tags count.
    pub confirmations: Option<u64>,
    /// Longest time of one request, from the name to the last byte.
    pub timeout: Duration,
}

impl Default for RpcOptions {
    fn default() -> Self {
        Self {
            ca: None,
            confirmations: None,
            timeout: CALL_TIMEOUT,
        }
    }
}

/// Any EVM node that speaks JSON-RPC over http or https. The chain id is read once, at connection.
pub struct RpcChain {
    caller: Caller,
    confirmations: Option<u64>,
    chain_id: u64,
    /// The node takes no several requests at once.
    one_by_one: AtomicBool,
}

impl RpcChain {
    /// Connects with the chain's own finality and Mozilla's roots.
    pub fn connect(url: &str) -> Result<Self, ChainError> {
        Self::connect_with(url, &RpcOptions::default())
    }

    /// Connects to `http://…` or `https://…` and reads the chain id.
    pub fn connect_with(url: &str, options: &RpcOptions) -> Result<Self, ChainError> {
        let mut chain = Self {
            caller: Caller::new(url, options.ca.as_deref(), options.timeout)?,
            confirmations: options.confirmations,
            chain_id: 0,
            one_by_one: AtomicBool::new(false),
        };
        chain.chain_id = chain
            .caller
            .ask("eth_chainId", json!([]), wire::parse_u64)?;
        Ok(chain)
    }

    fn header<T>(
        &self,
        tag: Value,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, ChainError> {
        self.caller
            .ask("eth_getBlockByNumber", json!([tag, false]), parse)
    }

    fn events(&self, query: &LogQuery, from: u64, to: Value) -> Result<Vec<Event>, ChainError> {
        let params = json!([wire::query_json(query, from, to)]);
        let parse = |answer: &Value| wire::parse_events(answer, query);
        self.caller.ask("eth_getLogs", params, parse)
    }

    /// The same in parts, for nodes that bound the blocks of one question. A public chain has too many to begin at its
    /// first.
    fn events_in_parts(&self, query: &LogQuery, last: u64) -> Result<Vec<Event>, ChainError> {
        let from = self.first_since(query.since_s, query.from, last)?;
        let (mut from, mut blocks, mut found) = (from, LOG_BLOCKS, Vec::new());
        while from <= last {
            let to = from.saturating_add(blocks - 1).min(last);
            match self.events(query, from, wire::quantity(to)) {
                Ok(events) => {
                    found.extend(events);
                    if to == last {
                        break;
                    }
                    from = to.saturating_add(1);
                }
                Err(ChainError::Rpc { .. }) if blocks > LOG_BLOCKS_MIN => blocks /= 10,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The first block from `from` to `last` whose time is not before `since_s`, else `last`. One that a node does not keep
    /// any more is before.
    fn first_since(&self, since_s: u64, from: u64, last: u64) -> Result<u64, ChainError> {
        let kept = |value: &Value| match value {
            Value::Null => Some(None),
            block => wire::parse_block(block).map(Some),
        };
        let (mut low, mut high) = (from, last.max(from));
        while since_s > 0 && low < high {
            let middle = low.midpoint(high);
            match self.header(wire::quantity(middle), kept) {
                Ok(Some(block)) if block.timestamp_s >= since_s => high = middle,
                Ok(_) | Err(ChainError::Rpc { code: PRUNED, .. }) => low = middle.saturating_add(1),
                Err(error) => return Err(error),
            }
        }
        Ok(low)
    }

    /// The block that a finality means: the chain's tag, or a height counted back from the newest block.
    fn tag(&self, at: Finality) -> Result<Value, ChainError> {
        match (at, self.confirmations) {
            (Finality::Latest, _) => Ok(json!("latest")),
            (Finality::Safe, None) => Ok(json!("safe")),
            (Finality::Finalized, None) => Ok(json!("finalized")),
            (_, Some(confirmations)) => {
                let newest = self.header(json!("latest"), wire::parse_block)?.number;
                Ok(wire::quantity(newest.saturating_sub(confirmations)))
            }
        }
    }
}

impl Chain for RpcChain {
    fn chain_id(&self) -> Result<u64, ChainError> {
        Ok(self.chain_id)
    }

    fn block(&self, at: Finality) -> Result<Block, ChainError> {
        self.header(self.tag(at)?, wire::parse_block)
    }

    fn call_at(&self, to: Address, data: &[u8], at: Finality) -> Result<Bytes, ChainError> {
        let params = call_params(to, data, &self.tag(at)?);
        self.caller.ask("eth_call", params, wire::parse_data)
    }

    fn calls_at(
        &self,
        to: Address,
        calls: &[Vec<u8>],
        at: Finality,
    ) -> Result<Vec<Bytes>, ChainError> {
        let mut outputs = Vec::with_capacity(calls.len());
        for some in calls.chunks(CALLS_AT_ONCE) {
            let tag = self.tag(at)?;
            let params = some.iter().map(|data| call_params(to, data, &tag));
            let params: Vec<Value> = params.collect();
            if params.len() > 1 && !self.one_by_one.load(Ordering::Relaxed) {
                let all = self.caller.ask_all("eth_call", &params, wire::parse_data)?;
                if let Some(all) = all {
                    outputs.extend(all);
                    continue;
                }
                self.one_by_one.store(true, Ordering::Relaxed);
            }
            for params in params {
                outputs.push(self.caller.ask("eth_call", params, wire::parse_data)?);
            }
        }
        Ok(outputs)
    }

    fn estimate_gas(&self, trial: &Trial<'_>) -> Result<u64, ChainError> {
        let mut request = json!({
            "from": wire::data(trial.from.as_slice()),
            "value": format!("{:#x}", trial.value),
            "input": wire::data(trial.data),
        });
        if let (Some(to), Some(fields)) = (trial.to, request.as_object_mut()) {
            fields.insert("to".into(), wire::data(to.as_slice()));
        }
        // In the block that comes next: its time is later than the newest block's.
        let params = json!([request, "pending"]);
        self.caller.ask("eth_estimateGas", params, wire::parse_u64)
    }

    fn market(&self) -> Result<Market, ChainError> {
        let base = |header: &Value| wire::parse_price(header.get("baseFeePerGas")?);
        Ok(Market {
            base: self.header(json!("latest"), base)?,
            tip: self
                .caller
                .ask("eth_maxPriorityFeePerGas", json!([]), wire::parse_price)?,
        })
    }

    fn send_raw(&self, raw: &[u8]) -> Result<B256, ChainError> {
        self.caller.ask(
            "eth_sendRawTransaction",
            json!([wire::data(raw)]),
            wire::parse_hash,
        )
    }

    fn receipt(&self, tx_hash: B256) -> Result<Option<Receipt>, ChainError> {
        let optional = |value: &Value| match value {
            Value::Null => Some(None),
            value => wire::parse_receipt(value).map(Some),
        };
        self.caller.ask(
            "eth_getTransactionReceipt",
            json!([tx_hash.to_string()]),
            optional,
        )
    }

    fn input(&self, tx_hash: B256) -> Result<Option<Bytes>, ChainError> {
        let optional = |value: &Value| match value {
            Value::Null => Some(None),
            value => wire::parse_data(value.get("input")?).map(Some),
        };
        let params = json!([tx_hash.to_string()]);
        self.caller
            .ask("eth_getTransactionByHash", params, optional)
    }

    fn nonce_at(&self, address: Address, at: Finality) -> Result<u64, ChainError> {
        let params = json!([wire::data(address.as_slice()), self.tag(at)?]);
        self.caller
            .ask("eth_getTransactionCount", params, wire::parse_u64)
    }

    fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.caller
            .ask("eth_getBalance", account(address), wire::parse_quantity)
    }

    fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        self.caller
            .ask("eth_getCode", account(address), wire::parse_data)
    }

    fn logs(&self, query: &LogQuery, at: Finality) -> Result<Vec<Event>, ChainError> {
        match self.events(query, query.from, self.tag(at)?) {
            Err(ChainError::Rpc { .. }) => self.events_in_parts(query, self.block(at)?.number),
            other => other,
        }
    }
}

fn call_params(to: Address, data: &[u8], tag: &Value) -> Value {
    json!([{"to": wire::data(to.as_slice()), "input": wire::data(data)}, tag])
}

fn account(address: Address) -> Value {
    json!([wire::data(address.as_slice()), "latest"])
}
