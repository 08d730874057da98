//! A chain behind a URL.

use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::wire::{self, code};
use super::{MAX_ANSWER_BYTES, MAX_BODY_BYTES};
use crate::chain::{Block, Chain, ChainError, Finality, Market, Receipt, Trial, TxRefused};
use crate::http;

const CALL_TIMEOUT: Duration = Duration::from_secs(20);
const USER_AGENT: &str = concat!("assay/", env!("CARGO_PKG_VERSION"));

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
    agent: ureq::Agent,
    endpoint: Endpoint,
    confirmations: Option<u64>,
    chain_id: u64,
}

impl RpcChain {
    /// Connects with the chain's own finality and Mozilla's roots.
    pub fn connect(url: &str) -> Result<Self, ChainError> {
        Self::connect_with(url, &RpcOptions::default())
    }

    /// Connects to `http://…` or `https://…` and reads the chain id.
    pub fn connect_with(url: &str, options: &RpcOptions) -> Result<Self, ChainError> {
        let endpoint = Endpoint::parse(url)?;
        let roots = http::roots(options.ca.as_deref()).map_err(|e| ChainError::BadNode {
            url: endpoint.shown().to_owned(),
            why: e.to_string(),
        })?;
        let mut chain = Self {
            agent: http::agent(options.timeout, roots, USER_AGENT),
            endpoint,
            confirmations: options.confirmations,
            chain_id: 0,
        };
        chain.chain_id = chain.ask("eth_chainId", json!([]), wire::parse_u64)?;
        Ok(chain)
    }

    fn ask<T>(
        &self,
        method: &'static str,
        params: Value,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, ChainError> {
        let result = self.request(method, params)?;
        let unusable = || ChainError::BadAnswer {
            method,
            why: format!("{:.120}", result.to_string()),
        };
        parse(&result).ok_or_else(unusable)
    }

    fn request(&self, method: &'static str, params: Value) -> Result<Value, ChainError> {
        let body =
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        if body.len() > MAX_BODY_BYTES {
            return Err(ChainError::TooLarge {
                method,
                max: MAX_BODY_BYTES,
                actual: body.len(),
            });
        }
        let (status, text) = self
            .post(&body)
            .map_err(|e| self.unreachable(e.to_string()))?;
        match status {
            200 => {}
            300..=399 => {
                return Err(
                    self.unreachable(format!("HTTP status {status}: redirects are not followed"))
                );
            }
            _ => return Err(self.unreachable(format!("HTTP status {status}"))),
        }
        let unusable = |why: &str| ChainError::BadAnswer {
            method,
            why: why.to_owned(),
        };
        let mut answer: Value = serde_json::from_slice(&text).map_err(|_| unusable("not JSON"))?;
        if answer.get("id") != Some(&json!(1)) {
            return Err(unusable("answers another request"));
        }
        if let Some(error) = answer.get("error").filter(|e| !e.is_null()) {
            return Err(remote_error(method, error));
        }
        answer
            .get_mut("result")
            .map(Value::take)
            .ok_or_else(|| unusable("neither result nor error"))
    }

    fn post(&self, body: &str) -> Result<(u16, Vec<u8>), ureq::Error> {
        let request = self
            .agent
            .post(self.endpoint.url())
            .header("content-type", "application/json");
        let mut response = request.send(body)?;
        let limit = MAX_ANSWER_BYTES as u64;
        let text = response
            .body_mut()
            .with_config()
            .limit(limit)
            .read_to_vec()?;
        Ok((response.status().as_u16(), text))
    }

    fn header<T>(
        &self,
        tag: Value,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, ChainError> {
        self.ask("eth_getBlockByNumber", json!([tag, false]), parse)
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

    fn unreachable(&self, why: String) -> ChainError {
        ChainError::Unreachable {
            url: self.endpoint.shown().to_owned(),
            why: self.endpoint.without_secrets(&why),
        }
    }
}

/// Refusals and reverts keep their meaning; the rest is the node's own trouble.
fn remote_error(method: &'static str, error: &Value) -> ChainError {
    let code = error
        .get("code")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    let message: String = error
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or("")
        .chars()
        .take(300)
        .collect();
    let data = error.get("data").and_then(wire::parse_data);
    match (method, code) {
        ("eth_call" | "eth_estimateGas", code::REVERTED) => {
            ChainError::Reverted(data.unwrap_or_default())
        }
        ("eth_sendRawTransaction", code) if code != code::INTERNAL => {
            TxRefused::Remote(message).into()
        }
        _ => ChainError::Rpc {
            method,
            code,
            message,
        },
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
        let request = json!({"to": wire::data(to.as_slice()), "input": wire::data(data)});
        self.ask(
            "eth_call",
            json!([request, self.tag(at)?]),
            wire::parse_data,
        )
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
        self.ask("eth_estimateGas", params, wire::parse_u64)
    }

    fn market(&self) -> Result<Market, ChainError> {
        let base = |header: &Value| wire::parse_price(header.get("baseFeePerGas")?);
        Ok(Market {
            base: self.header(json!("latest"), base)?,
            tip: self.ask("eth_maxPriorityFeePerGas", json!([]), wire::parse_price)?,
        })
    }

    fn send_raw(&self, raw: &[u8]) -> Result<B256, ChainError> {
        self.ask(
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
        self.ask(
            "eth_getTransactionReceipt",
            json!([tx_hash.to_string()]),
            optional,
        )
    }

    fn nonce_at(&self, address: Address, at: Finality) -> Result<u64, ChainError> {
        let params = json!([wire::data(address.as_slice()), self.tag(at)?]);
        self.ask("eth_getTransactionCount", params, wire::parse_u64)
    }

    fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.ask("eth_getBalance", account(address), wire::parse_quantity)
    }

    fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        self.ask("eth_getCode", account(address), wire::parse_data)
    }
}

fn account(address: Address) -> Value {
    json!([wire::data(address.as_slice()), "latest"])
}
