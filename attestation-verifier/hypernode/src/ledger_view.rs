//! What a HyperNode reads from the ledger. Every call blocks, so it runs on the blocking pool.

use anyhow::{Context as _, Result};
use assay_ledger::rpc::RpcChain;
use assay_ledger::{AssayLedger, NodeRecord, NodeStatus, is_covered};
use assay_protocol::class::HardwareClass;
use assay_protocol::ids::{Address, Digest, Epoch, HyperNodeId, NodeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A registered node as the challenges need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The node.
    pub node: NodeId,
    /// Where its agent is reached.
    pub endpoint: String,
    /// Digest of its class.
    pub class: Digest,
}

/// The ledger through its client, with what was read last.
pub struct LedgerView {
    url: String,
    contract: Address,
    classes: BTreeMap<Digest, HardwareClass>,
    client: Mutex<Option<Arc<AssayLedger>>>,
    endpoints: Mutex<BTreeMap<HyperNodeId, String>>,
    known: Mutex<Vec<NodeRecord>>,
}

impl LedgerView {
    /// A view of the contract behind a JSON-RPC URL; connects when first used. `classes` are those in force.
    pub fn new(url: &str, contract: Address, classes: BTreeMap<Digest, HardwareClass>) -> Self {
        let (client, endpoints, known) = (Mutex::new(None), Mutex::default(), Mutex::default());
        Self {
            url: url.to_owned(),
            contract,
            classes,
            client,
            endpoints,
            known,
        }
    }

    fn client(&self) -> Result<Arc<AssayLedger>> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = client.as_ref() {
            return Ok(Arc::clone(client));
        }
        let chain = RpcChain::connect(&self.url)
            .with_context(|| format!("ledger {}\nhint: is the bridge running?", self.url))?;
        let made = Arc::new(AssayLedger::at(Arc::new(chain), self.contract)?);
        *client = Some(Arc::clone(&made));
        Ok(made)
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AssayLedger) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let client = tokio::task::block_in_place(|| self.client())?;
        tokio::task::spawn_blocking(move || work(&client)).await?
    }

    /// All registrations of nodes ever made, see [`assay_ledger::claims_at`].
    pub async fn registrations(&self) -> Result<Vec<NodeRecord>> {
        self.read(|ledger| Ok(ledger.nodes()?)).await
    }

    /// Reads registrations and where the other HyperNodes are reached; [`LedgerView::nodes`] then answers from it.
    pub async fn refresh(&self) -> Result<()> {
        let records = self.read(|ledger| Ok(ledger.hypernodes()?)).await?;
        let found = records
            .into_iter()
            .map(|record| (record.ed25519, record.endpoint));
        *lock(&self.endpoints) = found.collect();
        *lock(&self.known) = self.registrations().await?;
        Ok(())
    }

    /// Nodes to challenge in an epoch, one entry each, as last read. Of a node that nobody is confirmed to own, every
    /// registration has its turn, so that a stranger who registers it first with a wrong address only delays it.
    /// Cancelled and removed ones, and those that pledged less than their class asks for, are left out. Nodes with a
    /// confirmed owner come first: whoever caps the list drops newcomers, never them.
    pub fn nodes(&self, epoch: Epoch) -> Vec<Registered> {
        let mut candidates: BTreeMap<NodeId, Vec<NodeRecord>> = BTreeMap::new();
        for record in lock(&self.known).iter() {
            let owner = record.confirmed_owner;
            let owned = owner.is_none_or(|owner| owner == record.provider);
            if owned && self.is_in_service(record) {
                candidates
                    .entry(record.node)
                    .or_default()
                    .push(record.clone());
            }
        }
        let confirmed =
            |of_node: &Vec<NodeRecord>| of_node.iter().any(|r| r.confirmed_owner.is_some());
        let (known, new): (Vec<_>, Vec<_>) = candidates.into_values().partition(confirmed);
        known
            .into_iter()
            .chain(new)
            .filter_map(|of_node| turn(of_node, epoch))
            .collect()
    }

    fn is_in_service(&self, record: &NodeRecord) -> bool {
        let out = matches!(record.status, NodeStatus::None | NodeStatus::Removed);
        !out && record.cancelled_at.is_none() && is_covered(record, &self.classes)
    }

    /// One of [`LedgerView::nodes`].
    pub fn node(&self, node: &NodeId, epoch: Epoch) -> Option<Registered> {
        self.nodes(epoch)
            .into_iter()
            .find(|registered| registered.node == *node)
    }

    /// The next epoch to be resolved.
    pub async fn next_epoch(&self) -> Result<Epoch> {
        self.read(|ledger| Ok(ledger.next_epoch()?)).await
    }

    /// What the ledger keeps of an epoch.
    pub async fn epoch_record(&self, epoch: Epoch) -> Result<assay_ledger::EpochRecord> {
        self.read(move |ledger| Ok(ledger.epoch_record(epoch)?))
            .await
    }

    /// The other HyperNodes.
    pub fn peers(&self, own: &HyperNodeId) -> Vec<(HyperNodeId, String)> {
        let endpoints = lock(&self.endpoints);
        let others = endpoints.iter().filter(|(id, _)| *id != own);
        others
            .map(|(id, endpoint)| (*id, endpoint.clone()))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn turn(mut records: Vec<NodeRecord>, epoch: Epoch) -> Option<Registered> {
    records.sort_by_key(|record| record.provider);
    let count = u64::try_from(records.len()).ok()?;
    let at = usize::try_from(epoch.0.checked_rem(count)?).ok()?;
    let record = records.into_iter().nth(at)?;
    Some(Registered {
        node: record.node,
        endpoint: record.endpoint,
        class: record.class_digest,
    })
}
