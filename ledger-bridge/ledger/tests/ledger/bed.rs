//! What the conformance suite runs on here: the embedded chain with a hand-moved clock. `tests/anvil` has the other one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use assay_ledger::embedded::{ChainConfig, EmbeddedChain};

use super::network::{START_MS, config};

pub type TestChain = EmbeddedChain;

#[derive(Clone)]
pub struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START_MS)))
    }

    pub fn set(&self, unix_ms: u64) {
        self.0.store(unix_ms, Ordering::SeqCst);
    }

    pub fn chain(&self, path: &Path) -> EmbeddedChain {
        self.open(path, &config())
    }

    fn open(&self, path: &Path, config: &ChainConfig) -> EmbeddedChain {
        let now = self.0.clone();
        EmbeddedChain::open(path, config, move || now.load(Ordering::SeqCst)).unwrap()
    }
}

pub struct Bed {
    pub clock: HandClock,
    pub chain: Arc<TestChain>,
    pub dir: tempfile::TempDir,
}

impl Bed {
    pub fn start(config: &ChainConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = HandClock::new();
        let chain = Arc::new(clock.open(&dir.path().join("ledger.db"), config));
        Self { clock, chain, dir }
    }
}
