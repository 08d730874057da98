//! Real processes beside each other: two bridges on one PostgreSQL, and what Prometheus scrapes.

use assay_bridge::store::{Access, Store, TxEnd};
use assay_protocol::ids::Epoch;
use assay_testbed::Postgres;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::convictions::votes_again;
use crate::kill::{Bridge, until, write_config};
use crate::kill_states::signed;
use crate::network::poster_key;
use crate::proxy::{Fault, Proxy};

const E: Epoch = Epoch(0);

const POSTING: &str = "[posting]\npoll_ms = 50\n";

#[test]
fn two_bridges_on_one_database_do_each_thing_once_and_the_second_takes_over() {
    let server = Postgres::start().unwrap();
    let net = signed(&[0, 1, 2]);
    let store = Store::connect(&server.url(), Access::default(), net.network).unwrap();
    for stored in net.store.objects(E, 0, 1_000, usize::MAX).unwrap() {
        let from = assay_protocol::ids::HyperNodeId([stored.number as u8; 32]);
        store.insert(E, &from, &stored.object).unwrap();
    }
    let more = format!("{POSTING}[state]\nurl = \"{}\"\n", server.url());
    let config = write_config(&net, &net.node().url(), 0, &more);
    let account = poster_key().address().0.into();
    let before = net.chain.nonce(account).unwrap();
    net.node().automine(false).unwrap();
    let first = Bridge::start(&config);
    until("the first one sends", || store.live().unwrap().len() == 1);
    let address = free_address();
    let second = net.dir.path().join("second.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &second,
        format!("{text}[metrics]\nlisten = \"{address}\"\n"),
    )
    .unwrap();
    let second = Bridge::start(&second);
    let leads = || value(&scrape(address).unwrap_or_default(), "assay_bridge_leads");
    until("the second stands by", || leads() == Some(0.0));
    let sent = store.live().unwrap()[0].sent[0].clone();
    first.kill();
    net.node().automine(true).unwrap();
    until("settled by the second", || {
        net.node().mine(1).unwrap();
        net.ledger().nodes().unwrap()[0].settled_epoch == Some(E)
            && store.live().unwrap().is_empty()
    });
    until("the second leads", || leads() == Some(1.0));
    second.kill();
    assert_eq!(net.chain.nonce(account).unwrap() - before, 2);
    for action in ["postRoot", "confirm"] {
        assert_eq!(store.ended(action, TxEnd::Included).unwrap(), 1, "{action}");
    }
    let receipt = net.chain.receipt(sent.hash.0.into()).unwrap();
    assert!(receipt.unwrap().success, "the first one's bytes");
}

/// The key of the file is what the bridge does.
#[test]
fn a_bridge_proves_a_second_vote_itself_where_its_file_says_so() {
    for (convict, jailed) in [("", false), ("convict = true\n", true)] {
        let net = signed(&[0, 1, 2]);
        votes_again(&net, 3, E, 7);
        let more = format!("{POSTING}{convict}");
        let bridge = Bridge::start(&write_config(&net, &net.node().url(), 0, &more));
        let is_jailed = || net.ledger().hypernodes().unwrap()[3].jailed;
        until("settled", || {
            net.node().mine(1).unwrap();
            let is_settled = net.ledger().nodes().unwrap()[0].settled_epoch == Some(E);
            is_settled && is_jailed() == jailed && net.store.live().unwrap().is_empty()
        });
        bridge.kill();
        assert_eq!(
            net.store.ended("convict", TxEnd::Included).unwrap(),
            u64::from(jailed)
        );
    }
}

/// Neither the ledger's answers nor the poster's next step are waited for.
#[test]
fn a_bridge_that_waits_for_its_ledger_ends_at_once_when_it_is_told_to() {
    let net = signed(&[0, 1, 2]);
    let proxy = Proxy::before(net.node().address());
    let bridge = Bridge::start(&write_config(&net, &proxy.url(), 0, POSTING));
    proxy.await_call("eth_sendRawTransaction");
    proxy.fault("eth_call", Fault::CutBefore);
    std::thread::sleep(Duration::from_secs(3));
    let status = bridge.terminate(Duration::from_secs(3));
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

fn free_address() -> SocketAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

fn scrape(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

fn value(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

#[test]
fn prometheus_reads_what_an_operator_must_know() {
    let net = signed(&[0, 1, 2]);
    let address = free_address();
    let more = format!("{POSTING}[metrics]\nlisten = \"{address}\"\n");
    let config = write_config(&net, &net.node().url(), 0, &more);
    net.node().automine(false).unwrap();
    let bridge = Bridge::start(&config);
    let holds = |name: &str, check: &dyn Fn(f64) -> bool| {
        until(name, || {
            let page = scrape(address).unwrap_or_default();
            value(&page, name).is_some_and(check)
        });
    };
    holds("assay_bridge_outbox_unincluded", &|count| count == 1.0);
    holds("assay_bridge_oldest_unsettled_epoch_age_seconds", &|age| {
        age >= 1.0
    });
    holds("assay_bridge_chain_head_age_seconds", &|age| age >= 0.0);
    holds("assay_bridge_balance_epochs", &|epochs| epochs > 1.0);
    holds("assay_bridge_leads", &|leads| leads == 1.0);
    holds("assay_bridge_ledger_up", &|up| up == 1.0);
    for (index, missing) in [(0, 0.0), (3, 1.0)] {
        let id = net.hypernodes[index].id();
        let name = format!("assay_bridge_signature_missing{{hypernode=\"{id}\"}}");
        holds(&name, &|value| value == missing);
    }
    net.node().automine(true).unwrap();
    until("settled", || {
        net.node().mine(1).unwrap();
        net.ledger().nodes().unwrap()[0].settled_epoch == Some(E)
    });
    let included = "assay_bridge_outbox_ended_total{end=\"included\"}";
    until("counted", || {
        net.node().mine(1).unwrap();
        value(&scrape(address).unwrap_or_default(), included) == Some(2.0)
    });
    holds("assay_bridge_oldest_unsettled_epoch ", &|epoch| {
        epoch == 1.0
    });
    bridge.kill();
}
