//! The same answers through JSON-RPC as from the chain itself, and limits on both sides.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use assay_ledger::abi::AssayStake;
use assay_ledger::rpc::{MAX_ANSWER_BYTES, MAX_BODY_BYTES, RpcChain, RpcOptions, serve};
use assay_ledger::{
    Action, AssayLedger, Chain, ChainError, Finality, LedgerError, Trial, TxRefused,
};
use assay_protocol::ids::{Epoch, Keccak};
use assay_protocol::limits::ROSTER_MAX;
use assay_protocol::params::RosterEntry;
use assay_testbed::web::{Reply, Web, http_reply, pem, self_signed};
use serde_json::{Value, json};

use super::embedded::transfer;
use super::network::*;

/// Serves `chain` from a thread that lives as long as the test process.
pub fn served(chain: Arc<dyn Chain>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { serve(chain, tokio::net::TcpListener::from_std(listener)?).await })
    });
    url
}

fn remote(net: &Network) -> (String, Arc<RpcChain>) {
    let url = served(net.chain.clone());
    let chain = RpcChain::connect(&url).unwrap();
    (url, Arc::new(chain))
}

#[test]
fn reads_are_the_same_from_both_sides() {
    let net = Network::ready();
    let receipt = net.conclude(&leaf(0)).unwrap();
    let (_, remote) = remote(&net);
    let local = &net.chain;
    assert_eq!(remote.chain_id().unwrap(), CHAIN_ID);
    assert_eq!(remote.latest().unwrap(), local.latest().unwrap());
    assert_eq!(remote.height().unwrap(), local.height().unwrap());
    assert_eq!(
        remote.timestamp_ms().unwrap(),
        local.timestamp_ms().unwrap()
    );
    for account in [
        deployer().address(),
        provider().address(),
        net.ledger.contract(),
    ] {
        let account = Address::from(account.0);
        assert_eq!(
            remote.nonce(account).unwrap(),
            local.nonce(account).unwrap()
        );
        assert_eq!(
            remote.balance(account).unwrap(),
            local.balance(account).unwrap()
        );
        assert_eq!(remote.code(account).unwrap(), local.code(account).unwrap());
    }
    assert_eq!(remote.market().unwrap(), local.market().unwrap());
    for at in [Finality::Latest, Finality::Safe, Finality::Finalized] {
        assert_eq!(remote.block(at).unwrap(), local.latest().unwrap());
    }
    let trial = Trial {
        from: Address::from(deployer().address().0),
        to: Some(Address::from(provider().address().0)),
        value: alloy_primitives::U256::from(1),
        data: &[],
    };
    assert_eq!(remote.estimate_gas(&trial).unwrap(), 21_000);
    assert_eq!(local.estimate_gas(&trial).unwrap(), 21_000);
    assert!(!receipt.logs.is_empty());
    assert_eq!(remote.receipt(receipt.tx_hash).unwrap(), Some(receipt));
    assert_eq!(remote.receipt(B256::ZERO).unwrap(), None);
    let ledger = AssayLedger::at(remote, net.ledger.contract()).unwrap();
    assert_eq!(
        ledger.hypernodes().unwrap(),
        net.ledger.hypernodes().unwrap()
    );
    assert_eq!(ledger.nodes().unwrap(), net.ledger.nodes().unwrap());
    assert_eq!(ledger.committee_of(Epoch(0)).unwrap(), net.committee(0));
    assert_eq!(
        ledger.epoch_record(Epoch(0)).unwrap(),
        net.ledger.epoch_record(Epoch(0)).unwrap()
    );
}

#[test]
fn transactions_and_refusals_pass_through() {
    let net = Network::ready();
    let (_, remote) = remote(&net);
    let ledger = AssayLedger::at(remote.clone(), net.ledger.contract()).unwrap();
    let root = net.root(0, Keccak([9; 32]));
    let post = |signers: &[usize]| {
        let signatures = net.signatures(&root, signers);
        let post = Action::post_root(&root, &net.committee(0), &signatures);
        ledger.submit(&deployer(), &post)
    };
    refused(post(&[0]), "QuorumNotReached");
    post(&[0, 1, 2]).unwrap();
    assert_eq!(net.ledger.next_epoch().unwrap(), Epoch(1));
    let error = remote.send_raw(&sign(transfer(7), &key(2))).unwrap_err();
    let ChainError::Refused(TxRefused::Remote(message)) = error else {
        panic!("{error}")
    };
    assert!(message.contains("nonce 7"), "{message}");
    let error = remote
        .call(Address::from(net.ledger.contract().0), &[1, 2, 3, 4])
        .unwrap_err();
    assert!(matches!(error, ChainError::Reverted(_)), "{error}");
}

/// Status and body of the answer to a request.
pub fn ask(url: &str, body: &[u8]) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut response = agent
        .post(url)
        .content_type("application/json")
        .send(body)
        .unwrap();
    (
        response.status().as_u16(),
        response.body_mut().read_to_string().unwrap(),
    )
}

/// Only the head is sent: the server must not wait for a body it will not read.
#[test]
fn an_oversize_request_is_refused_by_both_sides() {
    let net = Network::ready();
    let (url, remote) = remote(&net);
    let mut stream = std::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        MAX_BODY_BYTES + 1
    )
    .unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    let error = remote.send_raw(&vec![2; MAX_BODY_BYTES]).unwrap_err();
    assert!(matches!(error, ChainError::TooLarge { .. }), "{error}");
}

#[test]
fn bad_requests_get_standard_errors() {
    let net = Network::ready();
    let (url, _) = remote(&net);
    for (body, code) in [
        ("{", "-32700"),
        ("[]", "-32600"),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#,
            "-32600",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_sign"}"#, "-32601"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}"#,
            "-32602",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x1",false]}"#,
            "-32602",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{},"latest"]}"#,
            "-32602",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_estimateGas","params":[{"input":"0x"},"latest"]}"#,
            "-32602",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_estimateGas","params":[{"from":"0x1111111111111111111111111111111111111111","to":"0x12","input":"0x"}]}"#,
            "-32602",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0xzz"]}"#,
            "-32602",
        ),
    ] {
        let (status, answer) = ask(&url, body.as_bytes());
        assert!(status == 200 && answer.contains(code), "{body}: {answer}");
    }
}

/// A way to a node through a server that looks at each request; `refuse` answers instead of it.
fn through(
    url: String,
    refuse: impl Fn(&Value) -> Option<String> + Send + Sync + 'static,
) -> (Web, RpcChain) {
    let web = Web::plain(move |request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let answer = refuse(&asked).unwrap_or_else(|| ask(&url, &request.body).1);
        Reply::Body(answer.into_bytes())
    })
    .unwrap();
    let chain = RpcChain::connect(&format!("http://{}", web.address())).unwrap();
    (web, chain)
}

#[test]
fn many_reads_are_few_requests_and_one_by_one_where_a_node_takes_no_several() {
    let net = Network::ready();
    let (url, _) = remote(&net);
    let to = Address::from(net.ledger.contracts().stake.0);
    let call = |index: u64| {
        AssayStake::hyperNodeAtCall {
            index: U256::from(index),
        }
        .abi_encode()
    };
    let calls: Vec<Vec<u8>> = (0..120).map(|n| call(n % 4)).collect();
    let expected = net.chain.calls_at(to, &calls, Finality::Latest).unwrap();
    let asked = |web: &Web, chain: &RpcChain| {
        let before = web.requests();
        let answers = chain.calls_at(to, &calls, Finality::Latest).unwrap();
        assert_eq!(answers, expected);
        web.requests() - before
    };
    let (web, chain) = through(url.clone(), |_| None);
    assert_eq!(asked(&web, &chain), 3, "50, 50 and 20");
    let none = chain.calls_at(to, &[], Finality::Latest).unwrap();
    assert!(none.is_empty());
    // Whatever the order of the answers.
    let inner = url.clone();
    let (web, chain) = through(url.clone(), move |asked| {
        let all = ask(&inner, asked.to_string().as_bytes()).1;
        let mut all: Value = serde_json::from_str(&all).unwrap();
        if let Some(all) = all.as_array_mut() {
            all.reverse();
        }
        Some(all.to_string())
    });
    assert_eq!(asked(&web, &chain), 3);
    let none = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"one"}}"#;
    let (web, chain) = through(url.clone(), move |asked| {
        asked.is_array().then(|| none.into())
    });
    assert_eq!(asked(&web, &chain), 121, "tried once");
    assert_eq!(asked(&web, &chain), 120);
    // One that reverts is the error of all.
    let (_, chain) = through(url, |_| None);
    let beyond = [call(0), call(4), call(1)];
    let error = chain.calls_at(to, &beyond, Finality::Latest).unwrap_err();
    assert!(matches!(error, ChainError::Reverted(_)), "{error}");
}

/// A node that takes no several says so by a status, too; one that wants to be asked less often, or is broken, does not.
#[test]
fn a_status_tells_who_takes_no_several_at_once() {
    let net = Network::ready();
    let (url, _) = remote(&net);
    let to = Address::from(net.ledger.contracts().stake.0);
    let call = AssayStake::hyperNodeCountCall {}.abi_encode();
    for (status, asks_again) in [(400, true), (413, true), (429, false), (500, false)] {
        let inner = url.clone();
        let web = Web::plain(move |request| {
            let asked: Value = serde_json::from_slice(&request.body).unwrap();
            match asked.is_array() {
                true => Reply::Raw(http_reply(status, "", b"no")),
                false => Reply::Body(ask(&inner, &request.body).1.into_bytes()),
            }
        })
        .unwrap();
        let chain = RpcChain::connect(&format!("http://{}", web.address())).unwrap();
        let answers = chain.calls_at(to, &[call.clone(), call.clone()], Finality::Latest);
        assert_eq!(answers.is_ok(), asks_again, "{status}: {answers:?}");
    }
}

#[test]
fn several_answers_that_are_not_those_asked_for_are_refused() {
    let net = Network::ready();
    let (url, _) = remote(&net);
    let to = Address::from(net.ledger.contracts().stake.0);
    let call = AssayStake::hyperNodeCountCall {}.abi_encode();
    let forge = |change: fn(&mut Vec<Value>)| {
        let inner = url.clone();
        let (_, chain) = through(url.clone(), move |asked| {
            asked.as_array()?;
            let all = ask(&inner, asked.to_string().as_bytes()).1;
            let mut all: Vec<Value> = serde_json::from_str(&all).unwrap();
            change(&mut all);
            Some(json!(all).to_string())
        });
        chain.calls_at(to, &[call.clone(), call.clone()], Finality::Latest)
    };
    assert!(forge(|_| ()).is_ok());
    let forged: [fn(&mut Vec<Value>); 6] = [
        |all| all.clear(),
        |all| drop(all.pop()),
        |all| all.push(all[0].clone()),
        |all| all[1]["id"] = json!(1),
        |all| all[0]["id"] = json!("1"),
        |all| all[0]["result"] = json!(7),
    ];
    for (number, change) in forged.into_iter().enumerate() {
        let error = forge(change).unwrap_err();
        assert!(
            matches!(error, ChainError::BadAnswer { .. }),
            "{number}: {error}"
        );
    }
}

#[test]
fn so_many_requests_at_once_are_served_and_no_more() {
    let net = Network::ready();
    let (url, _) = remote(&net);
    let one = json!({"jsonrpc": "2.0", "id": 7, "method": "eth_chainId"});
    let many = |count: usize| ask(&url, json!(vec![one.clone(); count]).to_string().as_bytes()).1;
    let all: Vec<Value> = serde_json::from_str(&many(100)).unwrap();
    assert_eq!(all.len(), 100);
    assert!(all.iter().all(|answer| answer["result"] == "0x7a69"));
    assert!(many(101).contains("got 101"), "{}", many(101));
    // What is wrong with one is wrong with that one only.
    let mixed = json!([one, {"jsonrpc": "2.0", "id": 8, "method": "eth_sign"}, 5]);
    let (_, answers) = ask(&url, mixed.to_string().as_bytes());
    let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
    assert_eq!(answers[0]["result"], "0x7a69");
    assert_eq!(answers[1]["error"]["code"], -32_601);
    assert_eq!(answers[2]["error"]["code"], -32_600);
}

#[test]
fn only_loopback_is_served() {
    let net = Network::deployed();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        serve(net.chain.clone(), listener).await.unwrap_err()
    });
    assert!(error.to_string().contains("only loopback"), "{error}");
}

#[test]
fn an_unreachable_node_and_a_strange_url_are_named() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = RpcChain::connect(&format!("http://{gone}"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains(&gone.to_string()) && error.contains("hint:"),
        "{error}"
    );
    let error = RpcChain::connect("ftp://example.org").err().unwrap();
    assert!(error.to_string().contains("https://"), "{error}");
}

/// A node that answers every request with these bytes.
fn hostile(answer: String) -> String {
    let node = Web::plain(move |_| Reply::Body(answer.clone().into_bytes())).unwrap();
    format!("http://{}", node.address())
}

#[test]
fn a_hostile_node_is_bounded_and_checked() {
    let chain_id = r#"{"jsonrpc":"2.0","id":1,"result":"0x7a69"}"#;
    assert!(RpcChain::connect(&hostile(chain_id.into())).is_ok());
    for answer in [
        " ".repeat(MAX_ANSWER_BYTES) + chain_id,
        chain_id.replace("\"id\":1", "\"id\":2"),
        chain_id.replace("0x7a69", "7a69"),
        chain_id.replace("0x7a69", "0x1ffffffffffffffff"),
        r#"{"jsonrpc":"2.0","id":1}"#.into(),
        "nonsense".into(),
    ] {
        let shown: String = answer.trim_start().chars().take(60).collect();
        assert!(RpcChain::connect(&hostile(answer)).is_err(), "{shown}");
    }
}

type Seats = <AssayStake::rosterCall as SolCall>::Return;

/// The roster as a client reads it from a node that answers what `forge` makes of the true one.
fn told_roster(net: &Network, forge: &dyn Fn(&mut Seats)) -> Result<Vec<RosterEntry>, LedgerError> {
    let call = AssayStake::rosterCall { epoch: 0 }.abi_encode();
    let stake = Address::from(net.ledger.contracts().stake.0);
    let truth = net.chain.call(stake, &call).unwrap();
    let mut seats = AssayStake::rosterCall::abi_decode_returns_validate(&truth).unwrap();
    forge(&mut seats);
    let forged = hex::encode(AssayStake::rosterCall::abi_encode_returns(&seats));
    let (url, asked) = (served(net.chain.clone()), hex::encode(&call));
    let node = Web::plain(move |request| {
        let body = String::from_utf8_lossy(&request.body);
        let answer = match body.contains(&asked) {
            true => json!({"jsonrpc": "2.0", "id": 1, "result": format!("0x{forged}")}).to_string(),
            false => ask(&url, &request.body).1,
        };
        Reply::Body(answer.into_bytes())
    })
    .unwrap();
    let chain = RpcChain::connect(&format!("http://{}", node.address())).unwrap();
    let ledger = AssayLedger::at(Arc::new(chain), net.ledger.contract()).unwrap();
    ledger.roster(Epoch(0))
}

#[test]
fn a_roster_that_is_too_long_or_names_one_twice_is_a_bad_answer() {
    let net = Network::open(&STAKES);
    let lengthen = |to: usize| {
        move |seats: &mut Seats| {
            for n in seats.len()..to {
                let mut one = seats[0].clone();
                one.ed25519Key = U256::from(to - n).into();
                seats.push(one);
            }
        }
    };
    let as_it_is = told_roster(&net, &|_| {}).unwrap();
    assert_eq!(as_it_is, net.ledger.roster(Epoch(0)).unwrap());
    let longest = told_roster(&net, &lengthen(ROSTER_MAX)).unwrap();
    assert_eq!(longest.len(), ROSTER_MAX);
    assert!(longest.is_sorted_by_key(|entry| entry.id));
    let twice = |seats: &mut Seats| seats.push(seats[1].clone());
    let too_long = told_roster(&net, &lengthen(ROSTER_MAX + 1));
    for (answer, why) in [(too_long, "1025"), (told_roster(&net, &twice), "twice")] {
        let error = answer.unwrap_err();
        assert!(matches!(error, LedgerError::BadAnswer { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

const CHAIN_ID_ANSWER: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":"0x7a69"}"#;

fn with_ca(path: &std::path::Path, certificate: &[u8]) -> RpcOptions {
    std::fs::write(path, pem("CERTIFICATE", certificate)).unwrap();
    RpcOptions {
        ca: Some(path.to_owned()),
        ..RpcOptions::default()
    }
}

#[test]
fn https_is_spoken_with_a_server_that_the_own_root_vouches_for_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = self_signed([127, 0, 0, 1]).unwrap();
    let (another, _) = self_signed([127, 0, 0, 1]).unwrap();
    let answer = |_: &_| Reply::Body(CHAIN_ID_ANSWER.to_vec());
    let node = Web::tls(&certificate, &key, answer).unwrap();
    let url = format!("https://{}", node.address());
    let own = with_ca(&dir.path().join("own.pem"), &certificate);
    let chain = RpcChain::connect_with(&url, &own).unwrap();
    assert_eq!(chain.chain_id().unwrap(), CHAIN_ID);
    assert_eq!(node.requests(), 1);

    let strange = with_ca(&dir.path().join("strange.pem"), &another);
    for options in [strange, RpcOptions::default()] {
        let error = RpcChain::connect_with(&url, &options).err().unwrap();
        assert!(matches!(error, ChainError::Unreachable { .. }), "{error}");
    }
    let (elsewhere, key) = self_signed([127, 0, 0, 2]).unwrap();
    let node = Web::tls(&elsewhere, &key, answer).unwrap();
    let url = format!("https://{}", node.address());
    let named = with_ca(&dir.path().join("elsewhere.pem"), &elsewhere);
    assert!(
        RpcChain::connect_with(&url, &named).is_err(),
        "another host"
    );
    assert_eq!(node.requests(), 0);
}

#[test]
fn a_file_that_holds_no_roots_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    for text in [
        None,
        Some(String::new()),
        Some(pem("PRIVATE KEY", b"x")),
        Some("-----BEGIN".into()),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let options = RpcOptions {
            ca: Some(path.clone()),
            ..RpcOptions::default()
        };
        let error = RpcChain::connect_with("https://127.0.0.1:1", &options)
            .err()
            .unwrap();
        assert!(error.to_string().contains("ca.pem"), "{error}");
    }
}

#[test]
fn redirects_are_refused_and_failures_named() {
    let elsewhere = Web::plain(|_| Reply::Body(CHAIN_ID_ANSWER.to_vec())).unwrap();
    let location = format!("location: http://{}/\r\n", elsewhere.address());
    for status in [301, 302, 307, 308] {
        let answer = http_reply(status, &location, CHAIN_ID_ANSWER);
        let node = Web::plain(move |_| Reply::Raw(answer.clone())).unwrap();
        let error = RpcChain::connect(&format!("http://{}", node.address()))
            .err()
            .unwrap();
        assert!(
            error.to_string().contains("redirects are not followed"),
            "{error}"
        );
    }
    assert_eq!(elsewhere.requests(), 0);
    let node = Web::plain(|_| Reply::Raw(http_reply(429, "", b"slow down"))).unwrap();
    let error = RpcChain::connect(&format!("http://{}", node.address()))
        .err()
        .unwrap();
    assert!(error.to_string().contains("HTTP status 429"), "{error}");
}

#[test]
fn a_silent_node_is_given_up_in_time() {
    let node = Web::plain(|_| Reply::Silence(std::time::Duration::from_secs(60))).unwrap();
    let options = RpcOptions {
        timeout: std::time::Duration::from_millis(300),
        ..RpcOptions::default()
    };
    let error = RpcChain::connect_with(&format!("http://{}", node.address()), &options)
        .err()
        .unwrap();
    assert!(matches!(error, ChainError::Unreachable { .. }), "{error}");
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let node = Web::plain(|request| {
        let known = request
            .head
            .to_lowercase()
            .contains("authorization: basic dxnlcjpzzwnyzxq=");
        Reply::Raw(http_reply(
            if known { 200 } else { 401 },
            "",
            CHAIN_ID_ANSWER,
        ))
    })
    .unwrap();
    let address = node.address();
    let chain = RpcChain::connect(&format!("http://user:secret@{address}/v3/token")).unwrap();
    let error = chain.latest().unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    for url in [
        format!("http://user:secrets@{address}/v3/token"),
        "http://user:secret@127.0.0.1:1/v3/token".to_owned(),
        "https://user:secret@127.0.0.1:1/v3/token".to_owned(),
        "http://user:secret@192.0.2.1/v3/token".to_owned(),
    ] {
        let error = RpcChain::connect(&url).err().unwrap();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(
                !text.contains("secret") && !text.contains("token"),
                "{text}"
            );
        }
    }
}

/// Clients do not agree on the code of a revert; the contract's reason is what tells it from a node's own trouble.
#[test]
fn a_revert_is_known_by_its_reason_whatever_its_code() {
    let node = |code: i64, data: Option<&'static str>| {
        let web = Web::plain(move |request| {
            let request: Value = serde_json::from_slice(&request.body).unwrap();
            let mut answer = json!({"jsonrpc": "2.0", "id": 1});
            match request["method"].as_str().unwrap() {
                "eth_chainId" => answer["result"] = json!("0x7a69"),
                _ => answer["error"] = json!({"code": code, "message": "no", "data": data}),
            }
            Reply::Body(answer.to_string().into_bytes())
        })
        .unwrap();
        let chain = RpcChain::connect(&format!("http://{}", web.address())).unwrap();
        chain.call(Address::ZERO, &[]).unwrap_err()
    };
    for code in [3, -32_000, -32_015] {
        let error = node(code, Some("0x3204506f"));
        assert!(matches!(error, ChainError::Reverted(_)), "{code}: {error}");
    }
    for data in [None, Some("0x"), Some("no gas")] {
        let error = node(-32_000, data);
        assert!(matches!(error, ChainError::Rpc { .. }), "{data:?}: {error}");
    }
}

/// A node that answers the chain id, and all else with this status and body.
fn under(status: u16, body: &Value) -> RpcChain {
    let body = body.to_string();
    let web = Web::plain(move |request| {
        let is_first = String::from_utf8_lossy(&request.body).contains("eth_chainId");
        match is_first {
            true => Reply::Body(CHAIN_ID_ANSWER.to_vec()),
            false => Reply::Raw(http_reply(status, "", body.as_bytes())),
        }
    })
    .unwrap();
    RpcChain::connect(&format!("http://{}/v3/token", web.address())).unwrap()
}

#[test]
fn an_error_under_a_status_of_its_own_is_that_error() {
    let with_id = |id: Value, error: Value| json!({"jsonrpc": "2.0", "id": id, "error": error});
    let no = json!({"code": -32_600, "message": "no range at /v3/token"});
    let anonymous = json!({"error": no});
    for body in [
        with_id(json!(1), no.clone()),
        with_id(json!(null), no.clone()),
        anonymous,
    ] {
        for status in [400, 401, 413, 500, 503] {
            let error = under(status, &body).balance(Address::ZERO).unwrap_err();
            assert!(
                matches!(error, ChainError::Rpc { code: -32_600, .. }),
                "{error}"
            );
            let text = error.to_string();
            assert!(
                text.contains("no range") && !text.contains("token"),
                "{text}"
            );
        }
        // The status says that the node is in trouble, the body in which: not that it takes no several requests.
        let calls = [vec![1], vec![2]];
        let several = under(503, &body).calls_at(Address::ZERO, &calls, Finality::Latest);
        let error = several.unwrap_err();
        assert!(matches!(error, ChainError::Rpc { .. }), "{error}");
    }
    let revert = json!({"code": 3, "message": "reverted", "data": "0x3204506f"});
    let error = under(400, &with_id(json!(1), revert)).call(Address::ZERO, &[]);
    let error = error.unwrap_err();
    assert!(matches!(error, ChainError::Reverted(_)), "{error}");
    let nonce = json!({"code": -32_000, "message": "nonce too low"});
    let error = under(400, &with_id(json!(1), nonce))
        .send_raw(&[2])
        .unwrap_err();
    assert!(matches!(error, ChainError::Refused(_)), "{error}");
}

#[test]
fn what_is_no_error_of_the_request_under_another_status_is_that_status() {
    let no = json!({"code": -32_600, "message": "no"});
    let true_error = json!({"jsonrpc": "2.0", "id": 1, "error": no});
    for (status, body) in [
        (400, json!("no")),
        (400, json!({"jsonrpc": "2.0", "id": 1, "result": "0x1"})),
        (400, json!({"jsonrpc": "2.0", "id": 2, "error": no})),
        (400, json!({"jsonrpc": "2.0", "id": 1, "error": null})),
        (400, json!({"jsonrpc": "2.0", "id": 1, "error": "no"})),
        (
            400,
            json!({"jsonrpc": "2.0", "id": 1, "error": {"code": "no"}}),
        ),
        (400, json!([true_error])),
        (503, json!("no")),
        (429, true_error.clone()),
        (302, true_error.clone()),
        (201, true_error),
    ] {
        let error = under(status, &body).balance(Address::ZERO).unwrap_err();
        assert!(
            matches!(error, ChainError::Unreachable { .. }),
            "{body}: {error}"
        );
        assert!(
            error.to_string().contains(&format!("status {status}")),
            "{error}"
        );
    }
}
