//! One JSON-RPC request over http or https: bounded in time and size, and no secret of its URL in any message.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::wire::{self, code};
use super::{MAX_ANSWER_BYTES, MAX_BODY_BYTES};
use crate::chain::{ChainError, TxRefused};
use crate::http;

/// One for each thread that asks at the same time, about.
const IDLE_MAX: usize = 4;
const USER_AGENT: &str = concat!("assay/", env!("CARGO_PKG_VERSION"));

/// Whoever answers JSON-RPC at a URL.
pub(crate) struct Caller {
    agent: ureq::Agent,
    endpoint: Endpoint,
}

impl Caller {
    /// `ca`: roots that its certificate must lead to; without, Mozilla's. Nothing is asked yet.
    pub(crate) fn new(url: &str, ca: Option<&Path>, timeout: Duration) -> Result<Self, ChainError> {
        let endpoint = Endpoint::parse(url)?;
        let roots = http::roots(ca).map_err(|e| ChainError::BadNode {
            url: endpoint.shown().to_owned(),
            why: e.to_string(),
        })?;
        Ok(Self {
            agent: http::agent(timeout, roots, USER_AGENT, IDLE_MAX),
            endpoint,
        })
    }

    /// Without credentials and path.
    pub(crate) fn shown(&self) -> &str {
        self.endpoint.shown()
    }

    pub(crate) fn ask<T>(
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
        // Some clients have other codes for it; the reason is what tells a revert.
        ("eth_call" | "eth_estimateGas", _) if data.as_ref().is_some_and(|d| d.len() >= 4) => {
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
