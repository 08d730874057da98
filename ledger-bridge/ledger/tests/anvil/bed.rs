//! What the conformance suite runs on here: a node of its own for each test, with a hand-moved clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{Address, Bytes};
use assay_ledger::embedded::ChainConfig;
use assay_ledger::rpc::RpcChain;
use assay_ledger::{Chain, ChainError, Finality, Market};
use assay_testbed::Anvil;

use super::network::START_MS;
use super::passes_on::passes_on;

pub type TestChain = FreeGas;

/// The base fee of this node is zero, so that balances are the same as on the embedded chain.
pub const FREE_GAS: [&str; 3] = [
    "--block-base-fee-per-gas",
    "0",
    "--disable-min-priority-fee",
];

/// The node as it is, but for its advice: it suggests a tip of one gwei whatever it was told.
pub struct FreeGas(pub RpcChain);

impl Chain for FreeGas {
    fn market(&self) -> Result<Market, ChainError> {
        let base = self.0.market()?.base;
        Ok(Market { base, tip: 0 })
    }
    fn call_at(&self, to: Address, data: &[u8], at: Finality) -> Result<Bytes, ChainError> {
        self.0.call_at(to, data, at)
    }
    passes_on!(0);
}

#[derive(Clone)]
pub struct HandClock {
    node: Arc<Anvil>,
    newest_s: Arc<AtomicU64>,
}

impl HandClock {
    /// A node knows whole seconds only, and block time never runs backwards, here as on the embedded chain.
    pub fn set(&self, unix_ms: u64) {
        let unix_s = unix_ms / 1_000;
        let newest_s = self.newest_s.fetch_max(unix_s, Ordering::SeqCst);
        self.node.set_time(unix_s.max(newest_s)).unwrap();
    }
}

pub struct Bed {
    pub clock: HandClock,
    pub chain: Arc<TestChain>,
    pub node: Arc<Anvil>,
}

impl Bed {
    pub fn start(config: &ChainConfig) -> Self {
        let start = (START_MS / 1_000).to_string();
        let arguments = [&FREE_GAS[..], &["--timestamp", &start]].concat();
        let node = Arc::new(Anvil::start(&arguments).unwrap());
        for (account, stake) in &config.balances {
            node.set_balance(&account.to_string(), stake.0).unwrap();
        }
        let clock = HandClock {
            node: node.clone(),
            newest_s: Arc::default(),
        };
        clock.set(START_MS);
        let chain = Arc::new(FreeGas(RpcChain::connect(&node.url()).unwrap()));
        Self { clock, chain, node }
    }
}
