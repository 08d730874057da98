//! What audit bundles prove to the ledger: faults, from the bundle to the slash, and who owns a node.

mod confirm;
mod logs;
mod outcomes;
mod regions;
mod roots;

use assay_bridge::bundle::Bundle;
use assay_ledger::{Action, HyperNodeRecord, LedgerKey};
use assay_log::tar::{Files, encode_tar};
use assay_protocol::ids::{Epoch, NetworkId};
use assay_protocol::item::Item as _;
use assay_protocol::layout::{self, Claim};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::network::{HyperNode, NODE, Network, provider};

const E: Epoch = Epoch(0);

/// Writes a bundle of a network with these files.
fn write(dir: &Path, name: &str, network: NetworkId, mut files: Files) -> PathBuf {
    let claim = Claim {
        schema: 1,
        network,
        node: NODE,
        first: E,
        last: E,
        void: Vec::new(),
    };
    files.insert(layout::CLAIM.into(), claim.encode());
    let bag = assay_log::bundle::seal(&files).unwrap();
    let path = dir.join(name);
    std::fs::write(&path, encode_tar(&bag).unwrap()).unwrap();
    path
}

fn bundle(net: &Network, name: &str, files: Files) -> Bundle {
    let path = write(net.dir.path(), name, net.network, files);
    Bundle::read(&path, net.network).unwrap()
}

/// The proof counts once and jails this HyperNode.
fn convicts(net: &Network, guilty: &HyperNode, proof: &Action) {
    let before = record_of(net, guilty);
    net.ledger().submit(&provider(), proof).unwrap();
    let after = record_of(net, guilty);
    assert!(after.jailed && after.stake < before.stake, "{after:?}");
    refuses(net, proof, "AlreadyProven");
}

fn record_of(net: &Network, hypernode: &HyperNode) -> HyperNodeRecord {
    let all = net.ledger().hypernodes().unwrap();
    let found = all.into_iter().find(|h| h.ed25519 == hypernode.id());
    found.unwrap()
}

fn refuses(net: &Network, proof: &Action, with: &str) {
    let refused = net.ledger().submit(&provider(), proof).unwrap_err();
    assert_eq!(refused.revert_name(), Some(with));
}

/// The commands, on a real node.
struct Bed {
    net: Network,
}

impl Bed {
    fn new() -> Self {
        let net = Network::on_node();
        LedgerKey::create_file(&net.dir.path().join("by.key"), &[50; 32]).unwrap();
        Self { net }
    }

    fn run(&self, line: &str) -> Output {
        let (node, contract) = (self.net.node(), self.net.params.contract);
        let at = format!("--rpc {} --contract {contract} --key by.key", node.url());
        Command::new(env!("CARGO_BIN_EXE_assay-bridge"))
            .current_dir(self.net.dir.path())
            .args(format!("ledger {line} {at} --json").split_whitespace())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn does(&self, line: &str, said: &str) {
        let output = self.run(line);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line}: {error}");
        let all = String::from_utf8_lossy(&output.stdout);
        assert!(all.contains(said), "{line}: {all}");
    }

    #[track_caller]
    fn fails(&self, line: &str, text: &str) {
        self.ends(line, 1, text);
    }

    /// Of a file that is not there, or is none.
    #[track_caller]
    fn is_misnamed(&self, line: &str, text: &str) {
        self.ends(line, 2, text);
    }

    #[track_caller]
    fn ends(&self, line: &str, code: i32, text: &str) {
        let output = self.run(line);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {error}");
        assert!(error.contains(text), "{line}: {error}");
        assert!(output.stdout.is_empty(), "{line}");
    }

    fn bundle(&self, name: &str, files: Files) {
        write(self.net.dir.path(), name, self.net.network, files);
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.net.dir.path().join(name), bytes).unwrap();
    }
}

#[test]
fn a_bundle_that_is_not_whole_is_named() {
    let net = Network::open();
    let dir = net.dir.path();
    let refused = |name: &str| {
        let error = Bundle::read(&dir.join(name), net.network).unwrap_err();
        format!("{error:#}")
    };
    let path = write(dir, "whole.tar", net.network, Files::new());
    let whole = std::fs::read(path).unwrap();
    let file = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
    file("cut.tar", &whole[..whole.len() - 512]);
    assert!(refused("cut.tar").contains("cut.tar"));
    let mut changed = whole.clone();
    let claim = whole.windows(3).position(|bytes| bytes == [0xa6, 1, 1]);
    changed[claim.unwrap() + 2] = 2;
    file("changed.tar", &changed);
    assert!(refused("changed.tar").contains("data/claim.cbor"));
    let empty = assay_log::bundle::seal(&Files::new()).unwrap();
    file("empty.tar", &encode_tar(&empty).unwrap());
    assert!(refused("empty.tar").contains("claim.cbor: expected a file"));
    let long = std::fs::File::create(dir.join("long.tar")).unwrap();
    long.set_len((512 << 20) + 1).unwrap();
    assert!(refused("long.tar").contains("expected at most"));
}
