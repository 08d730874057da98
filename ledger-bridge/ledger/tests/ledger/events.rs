//! Events: kept by the embedded chain, served by it, asked of nodes that bound a question or send nonsense.

use std::path::Path;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, U256};
use assay_ledger::embedded::{EmbeddedChain, SystemClock};
use assay_ledger::rpc::RpcChain;
use assay_ledger::{Action, AssayLedger, Chain, ChainError, Event, Finality, LogQuery};
use assay_protocol::ids::{Epoch, Keccak};
use assay_testbed::web::{Reply, Request, Web, http_reply};
use serde_json::{Value, json};

use super::network::*;
use super::rpc::{ask, served};

const ROOT: Keccak = Keccak([9; 32]);

fn query(net: &Network, epoch: u64) -> LogQuery {
    LogQuery {
        address: Address::from(net.ledger.contract().0),
        topic: B256::from(U256::from(epoch)),
        from: 0,
        since_s: 0,
    }
}

/// Two posted epochs and one void.
fn three_epochs() -> Network {
    let net = Network::ready();
    net.post(&net.root(0, ROOT), &[0, 1, 2]).unwrap();
    net.finish(1);
    net.post(&net.root(1, ROOT), &[0, 1, 2]).unwrap();
    net.clock.set(GENESIS_MS + 3 * EPOCH_MS + VOID_AFTER_MS);
    net.does(&deployer(), &Action::post_void(Epoch(2))).unwrap();
    net
}

fn of_all(chain: &dyn Chain, queries: &[LogQuery]) -> Vec<Event> {
    let of = |query| chain.logs(query, Finality::Latest).unwrap();
    queries.iter().flat_map(of).collect()
}

fn execute(path: &Path, sql: &str) {
    let database = rusqlite::Connection::open(path).unwrap();
    database.execute_batch(sql).unwrap();
}

#[test]
fn a_file_that_older_programs_wrote_gets_its_events_once() {
    let net = three_epochs();
    let queries = [0, 1, 2].map(|epoch| query(&net, epoch));
    let expected = of_all(net.chain.as_ref(), &queries);
    assert_eq!(expected.len(), 3);
    let path = net.bed.dir.path().join("ledger.db");
    let Network {
        bed,
        clock,
        chain,
        ledger,
    } = net;
    let contract = ledger.contract();
    let (_dir, kept) = (bed.dir, bed.chain);
    drop((chain, kept, ledger));
    let middle = expected[1].block;
    let last = expected[2].block;
    for older in [
        "DROP TABLE event".to_owned(),
        "DELETE FROM event".to_owned(),
        format!("DELETE FROM event WHERE number >= {middle}"),
        format!("DELETE FROM event WHERE number >= {last}"),
    ] {
        execute(&path, &older);
        let chain = Arc::new(clock.chain(&path));
        assert_eq!(of_all(chain.as_ref(), &queries), expected, "{older}");
        let ledger = AssayLedger::at(chain, contract).unwrap();
        let next = ledger.next_epoch().unwrap();
        assert_eq!(next, Epoch(3));
        ledger.resolved(Epoch(0)).unwrap();
    }
    let rows = |path: &Path| -> i64 {
        let database = rusqlite::Connection::open(path).unwrap();
        let count = "SELECT count(*) FROM event";
        database.query_row(count, [], |row| row.get(0)).unwrap()
    };
    let before = rows(&path);
    drop(clock.chain(&path));
    assert_eq!(rows(&path), before, "what is there is not written again");
    // What was broken is not silently left out.
    execute(
        &path,
        "DELETE FROM event; UPDATE tx SET logs = x'00' WHERE number = 1",
    );
    let damaged = EmbeddedChain::open(&path, &config(), SystemClock);
    let error = damaged.err().unwrap();
    assert!(matches!(error, ChainError::Corrupt(_)), "{error}");
    assert_eq!(rows(&path), 0, "all of them or none");
}

#[test]
fn our_server_tells_the_same_events_and_takes_no_other_filter() {
    let net = three_epochs();
    let url = served(net.chain.clone());
    let remote = RpcChain::connect(&url).unwrap();
    let queries = [0, 1, 2, 3].map(|epoch| query(&net, epoch));
    assert_eq!(
        of_all(&remote, &queries),
        of_all(net.chain.as_ref(), &queries)
    );
    for at in [Finality::Latest, Finality::Safe, Finality::Finalized] {
        assert_eq!(remote.logs(&queries[1], at).unwrap().len(), 1);
    }
    let address = Address::from(net.ledger.contract().0).to_string();
    let topic = B256::ZERO.to_string();
    let good = json!({"address": address, "topics": [null, topic], "fromBlock": "0x0", "toBlock": "latest"});
    let get = |filter: &Value| {
        let request =
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [filter]});
        ask(&url, request.to_string().as_bytes()).1
    };
    assert!(get(&good).contains("\"result\":[{"), "{}", get(&good));
    let mut refused = vec![json!(null), json!([]), json!({})];
    for (field, value) in [
        ("address", json!(null)),
        ("address", json!([address])),
        ("topics", json!([])),
        ("topics", json!([topic])),
        ("topics", json!([topic, topic])),
        ("topics", json!([null, [topic]])),
        ("topics", json!([null, topic, topic])),
        ("fromBlock", json!("earliest")),
        ("fromBlock", json!(0)),
        ("toBlock", json!("0x1")),
        ("toBlock", json!("pending")),
        ("toBlock", json!(null)),
        ("blockHash", json!(topic)),
    ] {
        let mut filter = good.clone();
        filter[field] = value;
        refused.push(filter);
    }
    for filter in refused {
        let answer = get(&filter);
        assert!(answer.contains("-32602"), "{filter}: {answer}");
    }
}

/// From one block to the next.
const SECONDS: u64 = 12;

/// First and last block of each question.
type Ranges = Arc<Mutex<Vec<(u64, u64)>>>;

/// A node of 2,501 blocks with an event in each of `blocks`.
struct Node {
    /// It has forgotten those before.
    kept: u64,
    /// It looks through so many at once, and refuses more with this status and code.
    most: u64,
    refusal: (u16, i64),
    blocks: Vec<u64>,
}

/// One that looks through `most` blocks at once.
fn bounded(most: u64, blocks: Vec<u64>) -> (RpcChain, Ranges) {
    started(Node {
        kept: 0,
        most,
        refusal: (200, -32_005),
        blocks,
    })
}

fn started(node: Node) -> (RpcChain, Ranges) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let web = Web::plain(move |request| {
        let request: Value = serde_json::from_slice(&request.body).unwrap();
        match request["method"].as_str().unwrap() {
            "eth_chainId" => answer("result", &json!("0x7a69")),
            "eth_getBlockByNumber" => node.header(height(&request["params"][0])),
            "eth_getLogs" => {
                let (from, to) = range(&request["params"][0]);
                log.lock().unwrap().push((from, to));
                node.events(from, to)
            }
            other => panic!("{other}"),
        }
    })
    .unwrap();
    let chain = RpcChain::connect(&format!("http://{}", web.address())).unwrap();
    (chain, asked)
}

impl Node {
    fn header(&self, number: u64) -> Reply {
        match number {
            forgotten if forgotten < self.kept / 2 => answer("result", &Value::Null),
            forgotten if forgotten < self.kept => {
                let error = json!({"code": 4444, "message": "pruned history unavailable"});
                answer("error", &error)
            }
            number => answer("result", &header(number)),
        }
    }

    fn events(&self, from: u64, to: u64) -> Reply {
        if from > to || to - from >= self.most {
            let (status, code) = self.refusal;
            let error = json!({"code": code, "message": "range too large"});
            let text = json!({"jsonrpc": "2.0", "id": 1, "error": error}).to_string();
            return Reply::Raw(http_reply(status, "", text.as_bytes()));
        }
        let found = self.blocks.iter().filter(|b| (from..=to).contains(b));
        answer("result", &found.map(|block| event(*block)).collect())
    }
}

fn answer(key: &str, value: &Value) -> Reply {
    let answer = json!({"jsonrpc": "2.0", "id": 1, key: value});
    Reply::Body(answer.to_string().into_bytes())
}

fn header(number: u64) -> Value {
    json!({
        "number": format!("{number:#x}"),
        "hash": B256::repeat_byte(1).to_string(),
        "parentHash": B256::repeat_byte(2).to_string(),
        "timestamp": format!("{:#x}", SECONDS * number),
    })
}

fn height(value: &Value) -> u64 {
    match value.as_str().unwrap() {
        "latest" | "safe" | "finalized" => 2_500,
        number => u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap(),
    }
}

fn range(filter: &Value) -> (u64, u64) {
    (height(&filter["fromBlock"]), height(&filter["toBlock"]))
}

const ASKED: LogQuery = LogQuery {
    address: Address::repeat_byte(0xaa),
    topic: B256::repeat_byte(0xbb),
    from: 0,
    since_s: 0,
};

fn event(block: u64) -> Value {
    json!({
        "address": ASKED.address.to_string().to_lowercase(),
        "topics": [B256::repeat_byte(3).to_string(), ASKED.topic.to_string()],
        "data": "0x01",
        "blockNumber": format!("{block:#x}"),
        "transactionHash": B256::repeat_byte(4).to_string(),
        "removed": false,
    })
}

#[test]
fn a_node_that_refuses_long_ranges_is_asked_in_parts() {
    let blocks = vec![0, 999, 1_000, 1_700, 2_500];
    let (chain, asked) = bounded(1_000, blocks.clone());
    let found = chain.logs(&ASKED, Finality::Finalized).unwrap();
    let heights: Vec<u64> = found.iter().map(|event| event.block).collect();
    assert_eq!(heights, blocks);
    assert_eq!(
        *asked.lock().unwrap(),
        [
            (0, 2_500),
            (0, 2_500),
            (0, 999),
            (1_000, 1_999),
            (2_000, 2_500)
        ]
    );
    let later = LogQuery {
        from: 1_700,
        ..ASKED
    };
    let found = chain.logs(&later, Finality::Latest).unwrap();
    assert_eq!(found.len(), 2);
    let future = LogQuery {
        from: 9_999,
        ..ASKED
    };
    let (chain, _) = bounded(1, vec![]);
    // A node that knows fewer blocks than asked for refuses the range: there is nothing in it.
    assert!(chain.logs(&future, Finality::Latest).unwrap().is_empty());
}

/// In parts, the search begins at the first block in whose time there can be such an event.
#[test]
fn blocks_before_the_time_of_an_event_are_not_looked_at() {
    for (since_s, first) in [
        (0, 0),
        (1, 1),
        (SECONDS * 1_699, 1_699),
        (SECONDS * 1_699 + 1, 1_700),
        (SECONDS * 2_500, 2_500),
        (SECONDS * 9_999, 2_500),
    ] {
        let query = LogQuery { since_s, ..ASKED };
        let blocks = [0, 1, 1_699, 1_700, 2_500];
        let (chain, asked) = bounded(1_000, blocks.to_vec());
        let found = chain.logs(&query, Finality::Finalized).unwrap();
        let heights: Vec<u64> = found.iter().map(|event| event.block).collect();
        let expected: Vec<u64> = blocks.into_iter().filter(|block| *block >= first).collect();
        assert_eq!(heights, expected, "since {since_s}");
        let asked = asked.lock().unwrap();
        let in_parts = asked.iter().skip(1).map(|(from, _)| *from).min();
        assert_eq!(in_parts, Some(first), "since {since_s}");
    }
}

#[test]
fn a_node_that_has_forgotten_old_blocks_is_asked_about_those_it_has() {
    let (chain, asked) = started(Node {
        kept: 1_200,
        most: 1_000,
        refusal: (200, -32_005),
        blocks: vec![1_199, 1_200],
    });
    let query = LogQuery {
        since_s: 1,
        ..ASKED
    };
    let found = chain.logs(&query, Finality::Finalized).unwrap();
    assert_eq!((found.len(), found[0].block), (1, 1_200));
    assert_eq!(asked.lock().unwrap()[1].0, 1_200);
}

#[test]
fn a_node_that_refuses_any_range_is_an_error_after_a_few_questions() {
    let (chain, asked) = bounded(0, vec![1]);
    let error = chain.logs(&ASKED, Finality::Latest).unwrap_err();
    assert!(error.to_string().contains("range too large"), "{error}");
    let asked = asked.lock().unwrap().len();
    assert!(asked <= 5, "{asked}");
}

/// As providers do: QuickNode under 413, Alchemy under 400, and on some plans above ten blocks.
#[test]
fn a_node_that_refuses_long_ranges_under_a_status_of_its_own_is_asked_in_parts() {
    let blocks = vec![0, 9, 10, 1_700, 2_500];
    for (status, code, most) in [
        (413, -32_614, 1_000),
        (400, -32_600, 500),
        (400, -32_600, 10),
        (500, -32_000, 10),
    ] {
        let (chain, asked) = started(Node {
            kept: 0,
            most,
            refusal: (status, code),
            blocks: blocks.clone(),
        });
        let found = chain.logs(&ASKED, Finality::Finalized);
        let found = found.unwrap_or_else(|error| panic!("{status} {most}: {error}"));
        let heights: Vec<u64> = found.iter().map(|event| event.block).collect();
        assert_eq!(heights, blocks, "{status} {most}");
        let last = *asked.lock().unwrap().last().unwrap();
        assert!(last.1 - last.0 < most, "{status} {most}: {last:?}");
    }
    // Too many questions are no range that is too long: parts are more questions.
    let (chain, asked) = started(Node {
        kept: 0,
        most: 1_000,
        refusal: (429, -32_005),
        blocks,
    });
    let error = chain.logs(&ASKED, Finality::Finalized).unwrap_err();
    assert!(matches!(error, ChainError::Unreachable { .. }), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

/// What a node that answers `logs` is understood to say.
fn told(logs: Value) -> Result<Vec<Event>, ChainError> {
    let node = Web::plain(move |request: &Request| {
        let request: Value = serde_json::from_slice(&request.body).unwrap();
        match request["method"].as_str().unwrap() {
            "eth_chainId" => answer("result", &json!("0x7a69")),
            _ => answer("result", &logs),
        }
    })
    .unwrap();
    let chain = RpcChain::connect(&format!("http://{}", node.address())).unwrap();
    let query = LogQuery { from: 5, ..ASKED };
    chain.logs(&query, Finality::Latest)
}

fn with(field: &str, value: Value) -> Value {
    let mut event = event(7);
    event[field] = value;
    event
}

#[test]
fn an_event_that_was_taken_back_is_none() {
    let taken = with("removed", json!(true));
    let found = told(json!([event(6), taken, event(8)])).unwrap();
    let heights: Vec<u64> = found.iter().map(|event| event.block).collect();
    assert_eq!(heights, [6, 8]);
    let mut plain = event(6);
    plain.as_object_mut().unwrap().remove("removed");
    assert_eq!(told(json!([plain])).unwrap().len(), 1);
}

#[test]
fn nonsense_and_events_that_nobody_asked_for_are_errors() {
    assert!(told(json!([])).unwrap().is_empty());
    let topics = |list: &[B256]| -> Value { list.iter().map(B256::to_string).collect() };
    let (one, own) = (B256::repeat_byte(3), ASKED.topic);
    for logs in [
        json!(null),
        json!("0x"),
        json!({}),
        json!([null]),
        json!([event(8), event(7)]),
        json!([event(4)]),
        json!([with("removed", json!("false"))]),
        json!([with("blockNumber", json!(null))]),
        json!([with("blockNumber", json!("7"))]),
        json!([with("transactionHash", json!(null))]),
        json!([with("transactionHash", json!("0x04"))]),
        json!([with("data", json!("0x0"))]),
        json!([with("data", json!(null))]),
        json!([with("address", json!("0xaa"))]),
        json!([with("address", json!(Address::ZERO.to_string()))]),
        json!([with("topics", json!(null))]),
        json!([with("topics", topics(&[one]))]),
        json!([with("topics", topics(&[own, one]))]),
        json!([with("topics", topics(&[one, own, own, own, own]))]),
    ] {
        let error = told(logs.clone()).unwrap_err();
        assert!(
            matches!(error, ChainError::BadAnswer { .. }),
            "{logs}: {error}"
        );
    }
}
