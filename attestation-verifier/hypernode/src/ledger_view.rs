//! What a HyperNode reads from the ledger. Every call blocks, so it runs on the blocking pool.

use crate::clock;
use anyhow::{Context as _, Result, ensure};
use assay_aggregate::epoch::{NodeState, Registration, States};
use assay_ledger::rpc::{self, RpcChain, RpcOptions};
use assay_ledger::{
    AssayLedger, Correction, EpochRecord, Finality, HyperNodeRecord, NodeRecord, Resolved,
    is_known, is_owing,
};
use assay_protocol::class::ValidClass;
use assay_protocol::ids::{Address, Digest, Epoch, HyperNodeId, NetworkId, NodeId, Stake, UnixMs};
use assay_protocol::params::{NetworkParams, RosterEntry};
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

/// Where a network is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The chain.
    pub chain_id: u64,
    /// The contract there.
    pub contract: Address,
    /// The network that it must be of.
    pub network: NetworkId,
}

impl From<&NetworkParams> for Place {
    fn from(params: &NetworkParams) -> Self {
        Self {
            chain_id: params.chain_id,
            contract: params.contract,
            network: params.network_id(),
        }
    }
}

/// The ledger's final state through its client, with what was read last.
pub struct LedgerView {
    url: String,
    options: RpcOptions,
    place: Place,
    classes: BTreeMap<Digest, ValidClass>,
    client: Mutex<Option<Arc<AssayLedger>>>,
    endpoints: Mutex<BTreeMap<HyperNodeId, String>>,
    known: Mutex<BTreeMap<NodeId, Vec<NodeRecord>>>,
    /// When the last reading of it began.
    read_at: Mutex<Option<UnixMs>>,
    /// Whom roots left nodes to.
    owners: Mutex<BTreeMap<NodeId, Address>>,
}

impl LedgerView {
    /// A view of a network's contract behind a JSON-RPC URL; connects when first used. `classes` are those in force.
    pub fn new(
        (url, options): (&str, RpcOptions),
        place: Place,
        classes: BTreeMap<Digest, ValidClass>,
    ) -> Self {
        let (client, endpoints, known) = (Mutex::new(None), Mutex::default(), Mutex::default());
        Self {
            url: url.to_owned(),
            options,
            place,
            classes,
            client,
            endpoints,
            known,
            read_at: Mutex::default(),
            owners: Mutex::default(),
        }
    }

    fn client(&self) -> Result<Arc<AssayLedger>> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = client.as_ref() {
            return Ok(Arc::clone(client));
        }
        let chain = RpcChain::connect_with(&self.url, &self.options).with_context(|| {
            let url = rpc::shown(&self.url);
            format!("ledger {url}\nhint: is the bridge running?")
        })?;
        let ledger = AssayLedger::at(Arc::new(chain), self.place.contract)?;
        self.check(&ledger).with_context(|| {
            let url = rpc::shown(&self.url);
            format!("ledger {url}\nhint: does `ledger_url` name a node of this network's chain?")
        })?;
        // What is voted on and signed rests on nothing that a reorganisation takes back.
        let made = Arc::new(ledger.reading(Finality::Finalized));
        *client = Some(Arc::clone(&made));
        Ok(made)
    }

    /// A node of another chain may have a contract at the same address.
    fn check(&self, ledger: &AssayLedger) -> Result<()> {
        let (expected, actual) = (self.place.chain_id, ledger.chain_id()?);
        ensure!(
            expected == actual,
            "chain id: expected {expected}, got {actual}"
        );
        let (expected, actual) = (self.place.network, ledger.network_id()?);
        let shown = actual.map_or("none".to_owned(), |id| id.to_string());
        ensure!(
            actual == Some(expected),
            "network id: expected {expected}, got {shown}"
        );
        Ok(())
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AssayLedger) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let client = tokio::task::block_in_place(|| self.client())?;
        tokio::task::spawn_blocking(move || work(&client)).await?
    }

    /// All registrations of nodes ever made, see [`assay_ledger::claims_at`].
    async fn registrations(&self) -> Result<Vec<NodeRecord>> {
        self.read(|ledger| Ok(ledger.nodes()?)).await
    }

    /// The claims that count in an epoch, see [`AssayLedger::claims`].
    pub async fn claims(&self, epoch: Epoch, start: UnixMs) -> Result<Vec<Registration>> {
        let classes = self.classes.clone();
        self.read(move |ledger| Ok(ledger.claims(epoch, start, &classes)?))
            .await
    }

    /// What the contract keeps of an epoch.
    pub async fn epoch_record(&self, epoch: Epoch) -> Result<EpochRecord> {
        self.read(move |ledger| Ok(ledger.epoch_record(epoch)?))
            .await
    }

    /// Whose stake counts in an epoch; `None` while the ledger has not fixed it, see [`AssayLedger::roster`].
    pub async fn roster(&self, epoch: Epoch) -> Result<Option<Vec<RosterEntry>>> {
        self.read(move |ledger| Ok(ledger.fixed_roster(epoch)?))
            .await
    }

    /// See [`AssayLedger::forget_records`].
    pub async fn forget_records(&self) -> Result<()> {
        self.read(|ledger| {
            ledger.forget_records();
            Ok(())
        })
        .await
    }

    /// What is put aside for an epoch's rewards.
    pub async fn budget(&self, epoch: Epoch) -> Result<Stake> {
        self.read(move |ledger| Ok(ledger.budget(epoch)?)).await
    }

    /// What the ledger has of a HyperNode.
    pub async fn hypernode(&self, id: &HyperNodeId) -> Result<Option<HyperNodeRecord>> {
        let records = self.read(|ledger| Ok(ledger.hypernodes()?)).await?;
        Ok(records.into_iter().find(|record| record.ed25519 == *id))
    }

    /// Reads registrations and where the other HyperNodes are reached; [`LedgerView::nodes`] then answers from it.
    pub async fn refresh(&self) -> Result<()> {
        let begun = clock::now();
        let records = self.read(|ledger| Ok(ledger.hypernodes()?)).await?;
        let found = records
            .into_iter()
            .map(|record| (record.ed25519, record.endpoint));
        *lock(&self.endpoints) = found.collect();
        *lock(&self.known) = by_node(self.registrations().await?);
        *lock(&self.read_at) = Some(begun);
        Ok(())
    }

    /// When the last [`LedgerView::refresh`] that succeeded began; `None` before the first.
    pub fn read_at(&self) -> Option<UnixMs> {
        *lock(&self.read_at)
    }

    /// Takes over whom the roots that were followed left nodes to.
    pub fn settled(&self, states: &States) {
        let owner = |(node, state): (&NodeId, &NodeState)| Some((*node, state.confirmed_owner?));
        *lock(&self.owners) = states.nodes.iter().filter_map(owner).collect();
    }

    /// Nodes to challenge in an epoch, one entry each, as last read. A node is asked where the owner that roots name has
    /// it, who answers for it from then on; else where the owner on the ledger has it. Of a node that nobody is confirmed to
    /// own, every registration has its turn, so that a stranger who registers it first with a wrong address only delays it.
    /// Ended ones, those that owe no service in the epoch and those of no class in force are left out; a removed one owes it
    /// until a trial of it is over. Nodes with a confirmed owner come first: whoever caps the list drops newcomers, never
    /// them.
    pub fn nodes(&self, epoch: Epoch) -> Vec<Registered> {
        let (known, owners) = (lock(&self.known), lock(&self.owners));
        let asked = |(node, records): (&NodeId, &Vec<NodeRecord>)| {
            self.asked(records, owners.get(node).copied(), epoch)
        };
        let all = known.iter().filter_map(asked);
        let (owned, new): (Vec<_>, Vec<_>) = all.partition(|(is_owned, _)| *is_owned);
        let all = owned.into_iter().chain(new);
        all.map(|(_, registered)| registered).collect()
    }

    /// One of [`LedgerView::nodes`].
    pub fn node(&self, node: &NodeId, epoch: Epoch) -> Option<Registered> {
        let named = lock(&self.owners).get(node).copied();
        let known = lock(&self.known);
        let (_, registered) = self.asked(known.get(node)?, named, epoch)?;
        Some(registered)
    }

    /// Where a node with these registrations is asked, and whether somebody owns it; `named` is the owner by roots.
    fn asked(
        &self,
        records: &[NodeRecord],
        named: Option<Address>,
        epoch: Epoch,
    ) -> Option<(bool, Registered)> {
        let serving = |record: &&NodeRecord| self.is_in_service(record, epoch);
        let mut here: Vec<&NodeRecord> = records.iter().filter(serving).collect();
        let has = |owner: &Address| here.iter().any(|record| record.provider == *owner);
        let on_ledger = || records.iter().find_map(|record| record.confirmed_owner);
        let owner = named.filter(has).or_else(on_ledger);
        if let Some(owner) = owner {
            here.retain(|record| record.provider == owner);
        }
        Some((owner.is_some(), turn(here, epoch)?))
    }

    fn is_in_service(&self, record: &NodeRecord, epoch: Epoch) -> bool {
        record.ended_at.is_none() && is_owing(record, epoch) && is_known(record, &self.classes)
    }

    /// The next epoch to be resolved.
    pub async fn next_epoch(&self) -> Result<Epoch> {
        self.read(|ledger| Ok(ledger.next_epoch()?)).await
    }

    /// Whether an epoch can change no more.
    pub async fn is_final(&self, epoch: Epoch) -> Result<bool> {
        self.read(move |ledger| Ok(ledger.is_final(epoch)?)).await
    }

    /// The newest root in force, see [`AssayLedger::newest_root`].
    pub async fn newest_root(&self) -> Result<Option<(Epoch, EpochRecord)>> {
        self.read(|ledger| Ok(ledger.newest_root()?)).await
    }

    /// Who signs a correction, see [`AssayLedger::correction_of`].
    pub async fn correction_of(
        &self,
        epoch: Epoch,
        last: u32,
        params: &NetworkParams,
    ) -> Result<Option<Correction>> {
        let params = params.clone();
        self.read(move |ledger| Ok(ledger.correction_of(epoch, last, &params)?))
            .await
    }

    /// The round that an undone epoch needs at least, see [`AssayLedger::undone`].
    pub async fn undone(&self, epoch: Epoch) -> Result<Option<u32>> {
        self.read(move |ledger| Ok(ledger.undone(epoch)?)).await
    }

    /// What became of an epoch.
    pub async fn resolved(&self, epoch: Epoch) -> Result<Resolved> {
        self.read(move |ledger| Ok(ledger.resolved(epoch)?)).await
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

fn by_node(records: Vec<NodeRecord>) -> BTreeMap<NodeId, Vec<NodeRecord>> {
    let mut of_nodes: BTreeMap<NodeId, Vec<NodeRecord>> = BTreeMap::new();
    for record in records {
        of_nodes.entry(record.node).or_default().push(record);
    }
    of_nodes
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn turn(mut records: Vec<&NodeRecord>, epoch: Epoch) -> Option<Registered> {
    records.sort_by_key(|record| record.provider);
    let count = u64::try_from(records.len()).ok()?;
    let at = usize::try_from(epoch.0.checked_rem(count)?).ok()?;
    let record = records.into_iter().nth(at)?;
    Some(Registered {
        node: record.node,
        endpoint: record.endpoint.clone(),
        class: record.class_digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_ledger::NodeStatus;

    const MINE: Address = Address([1; 20]);
    const OTHER: Address = Address([2; 20]);

    fn class() -> ValidClass {
        assay_hw_profiles::parse(assay_hw_profiles::DEMO_CLASS).unwrap()
    }

    fn record(node: u8, provider: Address) -> NodeRecord {
        let least = u128::from(class().money.collateral_gwei_min) * 1_000_000_000;
        NodeRecord {
            node: NodeId([node; 32]),
            provider,
            class_digest: class().digest(),
            region: [0; 32],
            endpoint: provider.to_string(),
            registered_at: UnixMs(1_000),
            confirming_at: None,
            ended_at: None,
            serves_through: None,
            pledged: Stake(least),
            collateral: Stake(least),
            escrow: Stake(0),
            slashed: Stake(0),
            status: NodeStatus::Provisional,
            confirmed_owner: None,
            settled_epoch: None,
            settled_corrections: 0,
            cumulative_slash: Stake(0),
            counted_slash: Stake(0),
            exit_leaf: None,
            offered_by: None,
            confirmed_at: None,
            chips: None,
            chips_epoch: None,
        }
    }

    fn view(records: &[NodeRecord]) -> LedgerView {
        let classes = BTreeMap::from([(class().digest(), class())]);
        let node = ("http://127.0.0.1:1", RpcOptions::default());
        let place = Place {
            chain_id: 1,
            contract: Address([0; 20]),
            network: NetworkId([0; 32]),
        };
        let view = LedgerView::new(node, place, classes);
        *lock(&view.known) = by_node(records.to_vec());
        view
    }

    fn nodes(records: &[NodeRecord], epoch: u64) -> Vec<Registered> {
        view(records).nodes(Epoch(epoch))
    }

    #[test]
    fn registrations_of_an_unconfirmed_node_take_turns_and_the_confirmed_one_stays() {
        let mut records = [record(7, OTHER), record(7, MINE)];
        let asked = |records: &[NodeRecord], epoch| nodes(records, epoch)[0].endpoint.clone();
        assert_eq!(asked(&records, 0), MINE.to_string());
        assert_eq!(asked(&records, 1), OTHER.to_string());
        for record in &mut records {
            record.confirmed_owner = Some(MINE);
        }
        assert_eq!(asked(&records, 0), asked(&records, 1));
        assert_eq!(asked(&records, 1), MINE.to_string());
    }

    /// From the root that names it on the buyer answers for the node, and so does its address.
    #[test]
    fn a_node_is_asked_where_the_owner_that_roots_name_has_it() {
        let mut records = [record(7, OTHER), record(7, MINE)];
        let view = view(&records);
        let settled = |owner| {
            let confirmed_owner = owner;
            let state = NodeState {
                confirmed_owner,
                ..NodeState::default()
            };
            view.settled(&States {
                nodes: [(NodeId([7; 32]), state)].into(),
                ..States::default()
            });
        };
        let asked = |records: &[NodeRecord]| {
            *lock(&view.known) = by_node(records.to_vec());
            let mut of_two = [0, 1].map(|epoch| view.nodes(Epoch(epoch)));
            assert_eq!(of_two[0], of_two[1]);
            of_two[0].pop().map(|node| node.endpoint)
        };
        settled(Some(OTHER));
        assert_eq!(asked(&records), Some(OTHER.to_string()), "no turns");
        for record in &mut records {
            record.confirmed_owner = Some(MINE);
        }
        assert_eq!(asked(&records), Some(OTHER.to_string()));
        settled(None);
        assert_eq!(asked(&records), Some(MINE.to_string()));
        settled(Some(OTHER));
        records[0].ended_at = Some(UnixMs(2_000));
        assert_eq!(
            asked(&records),
            Some(MINE.to_string()),
            "it took its pledge back"
        );
        records[1].serves_through = Some(Epoch(0));
        records[0].ended_at = None;
        settled(None);
        assert_eq!(
            nodes(&records, 1),
            [],
            "it is its owner's until that has gone"
        );
    }

    #[test]
    fn what_is_over_or_of_no_class_is_not_asked() {
        let broken: [fn(&mut NodeRecord); 3] = [
            |record| record.ended_at = Some(UnixMs(2_000)),
            |record| record.class_digest = Digest([9; 32]),
            |record| record.serves_through = Some(Epoch(3)),
        ];
        assert_eq!(nodes(&[record(7, MINE)], 4).len(), 1);
        for (number, change) in broken.into_iter().enumerate() {
            let mut record = record(7, MINE);
            change(&mut record);
            assert_eq!(nodes(&[record], 4), [], "case {number}");
        }
    }

    #[test]
    fn a_node_that_leaves_or_was_removed_is_asked_through_its_last_epoch() {
        for status in [NodeStatus::Active, NodeStatus::Removed] {
            let mut leaving = record(7, MINE);
            (leaving.status, leaving.serves_through) = (status, Some(Epoch(3)));
            assert_eq!(nodes(std::slice::from_ref(&leaving), 3).len(), 1);
            assert_eq!(nodes(&[leaving], 4), []);
        }
    }

    #[test]
    fn confirmed_nodes_come_first() {
        let mut known = record(9, MINE);
        known.confirmed_owner = Some(MINE);
        let order: Vec<NodeId> = nodes(&[record(3, MINE), known], 0)
            .iter()
            .map(|node| node.node)
            .collect();
        assert_eq!(order, [NodeId([9; 32]), NodeId([3; 32])]);
    }
}
