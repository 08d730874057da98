//! Serves a chain to the other processes of this machine. No authentication: who can connect to loopback
//! can read everything and submit signed transactions, and that is all they can do.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header::CONTENT_LENGTH};
use axum::routing::post;
use axum::{Json, Router, body::Bytes as Body};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::MAX_BODY_BYTES;
use super::wire::{self, code};
use crate::chain::{Chain, ChainError, Finality, Trial};

/// Requests executed at the same time; more wait their turn.
const MAX_CONCURRENT: usize = 16;
/// Requests in one body.
const REQUESTS_MAX: usize = 100;
/// How long a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Served {
    chain: Arc<dyn Chain>,
    permits: Arc<Semaphore>,
}

struct RpcError {
    code: i64,
    message: String,
    data: Option<Value>,
}

/// Serves `chain` on `listener` until the task is dropped. A listener that others than this machine can
/// reach is refused.
pub async fn serve(chain: Arc<dyn Chain>, listener: TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let message = format!("ledger RPC on {address}: only loopback addresses are served");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let served = Served {
        chain,
        permits: Arc::new(Semaphore::new(MAX_CONCURRENT)),
    };
    let router = Router::new().route("/", post(handle)).with_state(served);
    axum::serve(listener, router).await
}

async fn handle(State(served): State<Served>, request: Request) -> Result<Json<Value>, StatusCode> {
    let body = read_body(request).await?;
    let Ok(_permit) = served.permits.acquire_owned().await else {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    };
    let chain = served.chain;
    let answer = tokio::task::spawn_blocking(move || answer(chain.as_ref(), &body)).await;
    answer
        .map(Json)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// A declared oversize is refused before a byte of it is awaited, an undeclared one while it is read.
async fn read_body(request: Request) -> Result<Body, StatusCode> {
    let declared = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let reading = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES);
    let read = tokio::time::timeout(BODY_TIMEOUT, reading).await;
    read.map_err(|_| StatusCode::REQUEST_TIMEOUT)?
        .map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)
}

/// The answer to a request, or to several that come at once.
fn answer(chain: &dyn Chain, body: &[u8]) -> Value {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Array(requests)) if (1..=REQUESTS_MAX).contains(&requests.len()) => {
            requests.iter().map(|one| answer_one(chain, one)).collect()
        }
        Ok(Value::Array(requests)) => {
            let count = requests.len();
            let message = format!("expected 1 to {REQUESTS_MAX} requests at once, got {count}");
            failure(Value::Null, error(code::INVALID_REQUEST, &message))
        }
        Ok(request) => answer_one(chain, &request),
        Err(_) => failure(Value::Null, error(code::PARSE, "not JSON")),
    }
}

fn answer_one(chain: &dyn Chain, request: &Value) -> Value {
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    let version = request.get("jsonrpc").and_then(Value::as_str);
    let (Some("2.0"), Some(method)) = (version, request.get("method").and_then(Value::as_str))
    else {
        return failure(
            id,
            error(
                code::INVALID_REQUEST,
                "expected a JSON-RPC 2.0 request with a method",
            ),
        );
    };
    let none = Vec::new();
    let params = request
        .get("params")
        .and_then(Value::as_array)
        .unwrap_or(&none);
    match dispatch(chain, method, params) {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => failure(id, error),
    }
}

fn dispatch(chain: &dyn Chain, method: &str, params: &[Value]) -> Result<Value, RpcError> {
    match method {
        "eth_chainId" => Ok(wire::quantity(chain.chain_id()?)),
        "eth_blockNumber" => Ok(wire::quantity(chain.height()?)),
        "eth_getBlockByNumber" => {
            latest(params, 0)?;
            Ok(wire::block_json(&chain.latest()?, chain.market()?.base))
        }
        "eth_call" => call(chain, params),
        "eth_estimateGas" => estimate(chain, params),
        "eth_maxPriorityFeePerGas" => Ok(wire::price(chain.market()?.tip)),
        "eth_sendRawTransaction" => {
            let raw = param(params, 0, wire::parse_data, "transaction bytes")?;
            Ok(Value::String(chain.send_raw(&raw)?.to_string()))
        }
        "eth_getTransactionReceipt" => {
            let receipt =
                chain.receipt(param(params, 0, wire::parse_hash, "a transaction hash")?)?;
            Ok(receipt.as_ref().map_or(Value::Null, wire::receipt_json))
        }
        "eth_getTransactionByHash" => {
            let hash = param(params, 0, wire::parse_hash, "a transaction hash")?;
            let input = chain.input(hash)?;
            Ok(input.map_or(Value::Null, |input| wire::transaction_json(hash, &input)))
        }
        "eth_getTransactionCount" => Ok(wire::quantity(chain.nonce(account(params)?)?)),
        "eth_getBalance" => Ok(Value::String(format!(
            "{:#x}",
            chain.balance(account(params)?)?
        ))),
        "eth_getLogs" => {
            let query = param(
                params,
                0,
                wire::parse_query,
                "a filter of one contract and epoch",
            )?;
            let events = chain.logs(&query, Finality::Latest)?;
            Ok(events.iter().map(wire::event_json).collect())
        }
        "eth_getCode" => Ok(wire::data(&chain.code(account(params)?)?)),
        other => Err(error(
            code::UNKNOWN_METHOD,
            &format!("{other:.40} is not served here"),
        )),
    }
}

fn estimate(chain: &dyn Chain, params: &[Value]) -> Result<Value, RpcError> {
    latest(params, 1)?;
    let request = params.first().unwrap_or(&Value::Null);
    let given = |key: &str| request.get(key).filter(|value| !value.is_null());
    let to = given("to").map(|value| wire::parse_address(value).ok_or(()));
    let value = given("value").map_or(Some(U256::ZERO), wire::parse_quantity);
    let from = given("from").and_then(wire::parse_address);
    let (Some(from), Ok(to), Some(value), Some(input)) = (
        from,
        to.transpose(),
        value,
        wire::parse_data(input(request)),
    ) else {
        return Err(error(
            code::INVALID_PARAMS,
            "eth_estimateGas needs `from` and `input`, and `to` and `value` in their forms",
        ));
    };
    let trial = Trial {
        from,
        to,
        value,
        data: &input,
    };
    Ok(wire::quantity(chain.estimate_gas(&trial)?))
}

fn input(request: &Value) -> &Value {
    let given = request.get("input").or_else(|| request.get("data"));
    given.unwrap_or(&Value::Null)
}

fn call(chain: &dyn Chain, params: &[Value]) -> Result<Value, RpcError> {
    latest(params, 1)?;
    let request = params.first().unwrap_or(&Value::Null);
    let to = request.get("to").and_then(wire::parse_address);
    let (Some(to), Some(input)) = (to, wire::parse_data(input(request))) else {
        return Err(error(
            code::INVALID_PARAMS,
            "eth_call needs `to` and `input`",
        ));
    };
    Ok(wire::data(&chain.call(to, &input)?))
}

fn account(params: &[Value]) -> Result<alloy_primitives::Address, RpcError> {
    latest(params, 1)?;
    param(params, 0, wire::parse_address, "an address")
}

fn param<T>(
    params: &[Value],
    index: usize,
    parse: fn(&Value) -> Option<T>,
    what: &str,
) -> Result<T, RpcError> {
    let wrong = || {
        error(
            code::INVALID_PARAMS,
            &format!("parameter {index} is not {what}"),
        )
    };
    params.get(index).and_then(parse).ok_or_else(wrong)
}

/// History is not served: a caller that asks for another block must not get the newest.
fn latest(params: &[Value], index: usize) -> Result<(), RpcError> {
    match params.get(index).map(|p| p.as_str()) {
        None | Some(Some("latest" | "pending" | "safe" | "finalized")) => Ok(()),
        Some(_) => Err(error(
            code::INVALID_PARAMS,
            "only the block \"latest\" is served",
        )),
    }
}

fn error(code: i64, message: &str) -> RpcError {
    RpcError {
        code,
        message: message.to_owned(),
        data: None,
    }
}

fn failure(id: Value, error: RpcError) -> Value {
    let mut inner = json!({"code": error.code, "message": error.message});
    if let (Some(data), Some(object)) = (error.data, inner.as_object_mut()) {
        object.insert("data".to_owned(), data);
    }
    json!({"jsonrpc": "2.0", "id": id, "error": inner})
}

impl From<ChainError> for RpcError {
    fn from(source: ChainError) -> Self {
        match source {
            ChainError::Refused(refused) => error(code::TX_REJECTED, &refused.to_string()),
            ChainError::Reverted(data) => RpcError {
                data: Some(wire::data(&data)),
                ..error(code::REVERTED, "execution reverted")
            },
            other => error(code::INTERNAL, &other.to_string()),
        }
    }
}
