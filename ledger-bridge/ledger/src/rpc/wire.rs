//! The JSON forms both sides share.

use alloy_primitives::{Address, B256, Bloom, BloomInput, Bytes, Log, LogData, U256, hex};
use serde_json::{Value, json};

use crate::chain::{Block, Event, LogQuery, Receipt};

/// JSON-RPC error codes (EIP-1474; 3 is what execution clients use for a revert).
pub(super) mod code {
    pub(in super::super) const PARSE: i64 = -32700;
    pub(in super::super) const INVALID_REQUEST: i64 = -32600;
    pub(in super::super) const UNKNOWN_METHOD: i64 = -32601;
    pub(in super::super) const INVALID_PARAMS: i64 = -32602;
    pub(in super::super) const INTERNAL: i64 = -32603;
    pub(in super::super) const TX_REJECTED: i64 = -32003;
    pub(in super::super) const REVERTED: i64 = 3;
}

pub(crate) fn quantity(number: u64) -> Value {
    Value::String(format!("{number:#x}"))
}

pub(crate) fn data(bytes: &[u8]) -> Value {
    Value::String(hex::encode_prefixed(bytes))
}

pub(super) fn parse_quantity(value: &Value) -> Option<U256> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    U256::from_str_radix(digits, 16)
        .ok()
        .filter(|_| !digits.is_empty() && digits.len() <= 64)
}

pub(super) fn parse_u64(value: &Value) -> Option<u64> {
    parse_quantity(value)?.try_into().ok()
}

pub(crate) fn parse_data(value: &Value) -> Option<Bytes> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    hex::decode(digits).ok().map(Bytes::from)
}

pub(super) fn parse_hash(value: &Value) -> Option<B256> {
    B256::try_from(parse_data(value)?.as_ref()).ok()
}

pub(super) fn parse_address(value: &Value) -> Option<Address> {
    Address::try_from(parse_data(value)?.as_ref()).ok()
}

pub(crate) fn price(wei: u128) -> Value {
    Value::String(format!("{wei:#x}"))
}

pub(super) fn parse_price(value: &Value) -> Option<u128> {
    parse_quantity(value)?.try_into().ok()
}

pub(super) fn block_json(block: &Block, base_fee: u128) -> Value {
    json!({
        "number": quantity(block.number),
        "hash": block.hash.to_string(),
        "parentHash": block.parent.to_string(),
        "timestamp": quantity(block.timestamp_s),
        "baseFeePerGas": price(base_fee),
    })
}

pub(super) fn parse_block(value: &Value) -> Option<Block> {
    Some(Block {
        number: parse_u64(value.get("number")?)?,
        hash: parse_hash(value.get("hash")?)?,
        parent: parse_hash(value.get("parentHash")?)?,
        timestamp_s: parse_u64(value.get("timestamp")?)?,
    })
}

/// A receipt in the standard form, plus `revertData`, which no standard has.
pub(super) fn receipt_json(r: &Receipt) -> Value {
    let mut bloom = Bloom::ZERO;
    for log in &r.logs {
        bloom.accrue(BloomInput::Raw(log.address.as_slice()));
        log.topics()
            .iter()
            .for_each(|topic| bloom.accrue(BloomInput::Raw(topic.as_slice())));
    }
    let address = |a: Option<Address>| a.map_or(Value::Null, |a| data(a.as_slice()));
    let logs: Vec<Value> = r
        .logs
        .iter()
        .enumerate()
        .map(|(index, log)| log_json(r, index, log))
        .collect();
    json!({
        "type": "0x2",
        "transactionHash": r.tx_hash.to_string(),
        "transactionIndex": "0x0",
        "blockNumber": quantity(r.block_number),
        "blockHash": r.block_hash.to_string(),
        "from": data(r.from.as_slice()),
        "to": address(r.to),
        "contractAddress": address(r.contract_address),
        "status": quantity(u64::from(r.success)),
        "gasUsed": quantity(r.gas_used),
        "cumulativeGasUsed": quantity(r.gas_used),
        "effectiveGasPrice": "0x0",
        "logsBloom": data(bloom.as_slice()),
        "logs": logs,
        "revertData": r.revert_data.as_ref().map_or(Value::Null, |bytes| data(bytes)),
    })
}

fn log_json(r: &Receipt, index: usize, log: &Log) -> Value {
    json!({
        "address": data(log.address.as_slice()),
        "topics": log.topics().iter().map(B256::to_string).collect::<Vec<_>>(),
        "data": data(&log.data.data),
        "logIndex": quantity(index as u64),
        "transactionIndex": "0x0",
        "transactionHash": r.tx_hash.to_string(),
        "blockNumber": quantity(r.block_number),
        "blockHash": r.block_hash.to_string(),
        "removed": false,
    })
}

/// Accepts any execution client's receipt; `revertData` may be missing.
pub(super) fn parse_receipt(value: &Value) -> Option<Receipt> {
    let address = |key| match value.get(key) {
        None | Some(Value::Null) => Some(None),
        Some(given) => parse_address(given).map(Some),
    };
    Some(Receipt {
        tx_hash: parse_hash(value.get("transactionHash")?)?,
        block_number: parse_u64(value.get("blockNumber")?)?,
        block_hash: parse_hash(value.get("blockHash")?)?,
        from: parse_address(value.get("from")?)?,
        to: address("to")?,
        contract_address: address("contractAddress")?,
        success: match parse_u64(value.get("status")?)? {
            0 => false,
            1 => true,
            _ => return None,
        },
        gas_used: parse_u64(value.get("gasUsed")?)?,
        logs: value
            .get("logs")?
            .as_array()?
            .iter()
            .map(parse_log)
            .collect::<Option<_>>()?,
        revert_data: match value.get("revertData") {
            None | Some(Value::Null) => None,
            Some(given) => Some(parse_data(given)?),
        },
    })
}

/// Of a transaction, what [`crate::Chain::input`] asks for.
pub(super) fn transaction_json(hash: B256, input: &[u8]) -> Value {
    json!({ "hash": hash.to_string(), "input": data(input) })
}

/// The filter of `eth_getLogs`: `to` is a tag or a height.
pub(super) fn query_json(query: &LogQuery, from: u64, to: Value) -> Value {
    json!({
        "address": data(query.address.as_slice()),
        "topics": [null, query.topic.to_string()],
        "fromBlock": quantity(from),
        "toBlock": to,
    })
}

/// What [`query_json`] writes, and up to the newest block: nothing else is served.
pub(super) fn parse_query(value: &Value) -> Option<LogQuery> {
    let fields = value.as_object().filter(|fields| fields.len() == 4)?;
    let topics = fields.get("topics")?.as_array()?;
    let [Value::Null, topic] = topics.as_slice() else {
        return None;
    };
    let to = fields.get("toBlock")?.as_str()?;
    matches!(to, "latest" | "safe" | "finalized").then_some(LogQuery {
        address: parse_address(fields.get("address")?)?,
        topic: parse_hash(topic)?,
        from: parse_u64(fields.get("fromBlock")?)?,
        since_s: 0,
    })
}

pub(super) fn event_json(event: &Event) -> Value {
    json!({
        "address": data(event.log.address.as_slice()),
        "topics": event.log.topics().iter().map(B256::to_string).collect::<Vec<_>>(),
        "data": data(&event.log.data.data),
        "blockNumber": quantity(event.block),
        "transactionHash": event.tx.to_string(),
        "removed": false,
    })
}

/// Events in the order of the chain, and only those asked for: a node that sends others, or sorts them otherwise, cannot be
/// told from one that leaves some out. An event that was taken back is none.
pub(super) fn parse_events(value: &Value, query: &LogQuery) -> Option<Vec<Event>> {
    let mut events = Vec::new();
    let mut least = query.from;
    for value in value.as_array()? {
        let event = Event {
            block: parse_u64(value.get("blockNumber")?)?,
            tx: parse_hash(value.get("transactionHash")?)?,
            log: parse_log(value)?,
        };
        match value.get("removed") {
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) => continue,
            Some(_) => return None,
        }
        if event.block < least || !query.asks_for(&event.log) {
            return None;
        }
        least = event.block;
        events.push(event);
    }
    Some(events)
}

fn parse_log(value: &Value) -> Option<Log> {
    let topics = value
        .get("topics")?
        .as_array()?
        .iter()
        .map(parse_hash)
        .collect::<Option<Vec<_>>>()?;
    let data = LogData::new(topics, parse_data(value.get("data")?)?)?;
    Some(Log {
        address: parse_address(value.get("address")?)?,
        data,
    })
}
