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
const TOO_MANY_REQUESTS: u16 = 429;
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
        let unusable = || self.bad_answer(method, &shortened(&result));
        parse(&result).ok_or_else(unusable)
    }

    /// Asks several things of one method in one request (JSON-RPC 2.0, section 6); `None` when the node takes no such
    /// request. The answers are in the order of the questions, whatever theirs was; the first error ends all.
    pub(crate) fn ask_all<T>(
        &self,
        method: &'static str,
        params: &[Value],
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, ChainError> {
        let numbered = (1..).zip(params);
        let requests: Value = numbered
            .map(|(id, params)| request(id, method, params))
            .collect();
        let (status, text) = self.exchange(method, &requests.to_string())?;
        // Too many at a time says nothing of several at once.
        let refused = (400..500).contains(&status) && status != TOO_MANY_REQUESTS;
        let answers = match status {
            200 => serde_json::from_slice::<Value>(&text).ok(),
            _ if refused => return Ok(None),
            _ => return Err(self.unhappy(method, status, &text)),
        };
        let unusable = |why: &str| self.bad_answer(method, why);
        let Value::Array(mut answers) = answers.ok_or_else(|| unusable("not JSON"))? else {
            return Ok(None);
        };
        let id = |answer: &Value| answer.get("id").and_then(Value::as_u64);
        answers.sort_by_key(id);
        let expected = (1..=params.len() as u64).map(Some);
        if !answers.iter().map(id).eq(expected) {
            return Err(unusable("answers other requests"));
        }
        let one = |answer: &mut Value| {
            let result = self.result_of(method, answer)?;
            parse(&result).ok_or_else(|| unusable(&shortened(&result)))
        };
        answers
            .iter_mut()
            .map(one)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn request(&self, method: &'static str, params: Value) -> Result<Value, ChainError> {
        let (status, text) = self.exchange(method, &request(1, method, &params).to_string())?;
        if status != 200 {
            return Err(self.unhappy(method, status, &text));
        }
        let answer: Option<Value> = serde_json::from_slice(&text).ok();
        let mut answer = answer.ok_or_else(|| self.bad_answer(method, "not JSON"))?;
        if answer.get("id") != Some(&json!(1)) {
            return Err(self.bad_answer(method, "answers another request"));
        }
        self.result_of(method, &mut answer)
    }

    /// Status and body of the answer, both bounded.
    fn exchange(&self, method: &'static str, body: &str) -> Result<(u16, Vec<u8>), ChainError> {
        if body.len() > MAX_BODY_BYTES {
            return Err(ChainError::TooLarge {
                method,
                max: MAX_BODY_BYTES,
                actual: body.len(),
            });
        }
        let posted = self.post(body);
        posted.map_err(|e| self.unreachable(e.to_string()))
    }

    /// What a status other than 200 means. Providers put errors under statuses of their own: a range that is too long under
    /// 400 or 413.
    fn unhappy(&self, method: &'static str, status: u16, body: &[u8]) -> ChainError {
        let can_tell = (400..600).contains(&status) && status != TOO_MANY_REQUESTS;
        if let Some(error) = can_tell.then(|| error_in(body)).flatten() {
            return self.remote_error(method, &error);
        }
        self.unreachable(match status {
            300..=399 => format!("HTTP status {status}: redirects are not followed"),
            _ => format!("HTTP status {status}"),
        })
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

    fn result_of(&self, method: &'static str, answer: &mut Value) -> Result<Value, ChainError> {
        if let Some(error) = answer.get("error").filter(|e| !e.is_null()) {
            return Err(self.remote_error(method, error));
        }
        let result = answer.get_mut("result").map(Value::take);
        result.ok_or_else(|| self.bad_answer(method, "neither result nor error"))
    }

    /// Refusals and reverts keep their meaning; the rest is the node's own trouble.
    fn remote_error(&self, method: &'static str, error: &Value) -> ChainError {
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
        let message = self.endpoint.without_secrets(&message);
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
                url: self.endpoint.shown().to_owned(),
                method,
                code,
                message,
            },
        }
    }

    fn bad_answer(&self, method: &'static str, why: &str) -> ChainError {
        ChainError::BadAnswer {
            url: self.endpoint.shown().to_owned(),
            method,
            why: why.to_owned(),
        }
    }

    fn unreachable(&self, why: String) -> ChainError {
        ChainError::Unreachable {
            url: self.endpoint.shown().to_owned(),
            why: self.endpoint.without_secrets(&why),
        }
    }
}

fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The error of an answer to the one request, if it is one: with its id, or none where the node read no id (JSON-RPC 2.0,
/// section 5).
fn error_in(body: &[u8]) -> Option<Value> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    let is_ours = match answer.get("id") {
        None | Some(Value::Null) => true,
        Some(id) => *id == json!(1),
    };
    let error = answer.get_mut("error").map(Value::take)?;
    let has_code = error.get("code").is_some_and(Value::is_i64);
    (is_ours && has_code).then_some(error)
}

fn shortened(result: &Value) -> String {
    format!("{:.120}", result.to_string())
}
