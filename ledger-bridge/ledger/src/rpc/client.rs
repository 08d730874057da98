//! A chain behind a URL.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use super::MAX_BODY_BYTES;
use super::wire::{self, code};
use crate::chain::{Block, Chain, ChainError, Receipt, TxRefused};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Any EVM node that speaks JSON-RPC over plain http. The chain id is read once, at connection.
pub struct RpcChain {
    agent: ureq::Agent,
    url: String,
    chain_id: u64,
}

impl RpcChain {
    /// Connects to `http://…` and reads the chain id.
    pub fn connect(url: &str) -> Result<Self, ChainError> {
        if !url.starts_with("http://") {
            let why = "expected an http:// URL (TLS is not built in)".to_owned();
            return Err(ChainError::Unreachable {
                url: url.to_owned(),
                why,
            });
        }
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(CALL_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        let mut chain = Self {
            agent: config.into(),
            url: url.to_owned(),
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
        if status != 200 {
            return Err(self.unreachable(format!("HTTP status {status}")));
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
            .post(&self.url)
            .header("content-type", "application/json");
        let mut response = request.send(body)?;
        let limit = MAX_BODY_BYTES as u64;
        let text = response
            .body_mut()
            .with_config()
            .limit(limit)
            .read_to_vec()?;
        Ok((response.status().as_u16(), text))
    }

    fn unreachable(&self, why: String) -> ChainError {
        ChainError::Unreachable {
            url: self.url.clone(),
            why,
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
        ("eth_call", code::REVERTED) => ChainError::Reverted(data.unwrap_or_default()),
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

    fn latest(&self) -> Result<Block, ChainError> {
        self.ask(
            "eth_getBlockByNumber",
            json!(["latest", false]),
            wire::parse_block,
        )
    }

    fn call(&self, to: Address, data: &[u8]) -> Result<Bytes, ChainError> {
        let request = json!({"to": wire::data(to.as_slice()), "input": wire::data(data)});
        self.ask("eth_call", json!([request, "latest"]), wire::parse_data)
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

    fn nonce(&self, address: Address) -> Result<u64, ChainError> {
        self.ask("eth_getTransactionCount", account(address), wire::parse_u64)
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
