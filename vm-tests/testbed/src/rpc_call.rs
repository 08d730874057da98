//! One JSON-RPC request over plain HTTP on loopback, for driving nodes of tests.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends one request and returns the whole answer object.
pub fn rpc_answer(to: SocketAddr, method: &str, params: &Value) -> Result<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let answer = http_post(to, body.as_bytes()).with_context(|| format!("{method} to {to}"))?;
    serde_json::from_slice(&answer).with_context(|| format!("{method} to {to}: not JSON"))
}

/// Sends one request; a JSON-RPC error is an error.
pub fn rpc_call(to: SocketAddr, method: &str, params: &Value) -> Result<Value> {
    let mut answer = rpc_answer(to, method, params)?;
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => bail!("{method} to {to}: {answer}"),
    }
}

/// POSTs a body and returns the body of the answer.
pub fn http_post(to: SocketAddr, body: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.context("no end of the HTTP header")?;
    Ok(answer.split_off(end.saturating_add(4)))
}
