//! What every task of the daemon shares.

use crate::config::{Config, Loaded, Secrets};
use crate::ledger_view::LedgerView;
use crate::vcek::Vceks;
use crate::{clock, explain, is_storage};
use anyhow::{Context as _, Result, ensure};
use assay_aggregate::draw::{Candidate, PanelOf, panel};
use assay_aggregate::inputs::{Anchor, Hearing, History};
use assay_aggregate::roster::Roster;
use assay_appraisal::appraise::Configurations;
use assay_appraisal::ek::Roots;
use assay_appraisal::snp::ChainCache;
use assay_appraisal::snp::SnpRoots;
use assay_ledger::{EpochRecord, LedgerKey};
use assay_protocol::class::ValidClass;
use assay_protocol::cose::Signer as _;
use assay_protocol::ids::{
    Address, Beacon, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, RegionKey, Seed, Slot,
};
use assay_protocol::params::NetworkParams;
use assay_protocol::region::{RegionId, region_key};
use assay_protocol::schedule;
use assay_protocol::succession::Lineage;
use assay_protocol::trust::TrustBundle;
use assay_store::{Journal, ObjectStore, StoreError};
use assay_transport::Identity;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Notes that are not repeated.
const NOTES_REMEMBERED: usize = 4;
/// Pause between two readings of everything that was read before.
const RELEARN_PAUSE: Duration = Duration::from_secs(30);
/// Roots that can be undone, at most: as many as the contract keeps.
const FOLLOWED_MAX: usize = 1_024;

/// A root on the ledger that came out otherwise here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contested {
    /// Digest on the ledger.
    pub wrong: Keccak,
    /// Digest as computed here.
    pub right: Keccak,
    /// The newest root then: who signs a correction changes with that.
    pub newest: Option<(Epoch, Keccak)>,
    /// When everything was done about it, for that newest root.
    pub answered: Option<Instant>,
}

/// Keys, parameters and stores of one HyperNode.
pub struct Context {
    /// The network.
    pub params: NetworkParams,
    /// Its id.
    pub network: NetworkId,
    /// This HyperNode.
    pub own: HyperNodeId,
    /// Its Ed25519 key.
    pub identity: Identity,
    /// Its secp256k1 key.
    pub ledger_key: LedgerKey,
    /// TPM vendor roots.
    pub roots: Roots,
    /// The same as a bundle, with the kinds that may earn a tier.
    pub vendors: TrustBundle,
    /// Classes by digest.
    pub classes: BTreeMap<Digest, ValidClass>,
    /// AMD's certificates that verified already.
    pub certificates: ChainCache,
    /// Nodes' configurations that were read already.
    pub configurations: Configurations,
    /// AMD's roots.
    pub snp_roots: SnpRoots,
    /// The ledger.
    pub ledger: LedgerView,
    /// Raw evidence.
    pub objects: ObjectStore,
    /// AMD's certificates.
    pub vceks: Vceks,
    journal: Mutex<Journal>,
    last_notes: Mutex<VecDeque<String>>,
    secrets: Secrets,
    history: Mutex<History>,
    anchor: Mutex<Anchor>,
    /// The roots that were taken over from the ledger, as far as they can be undone: their digests, and how often they had
    /// been corrected.
    followed: Mutex<BTreeMap<Epoch, (Keccak, u8)>>,
    /// Epochs that were taken over as void since the last root.
    voids: Mutex<BTreeSet<Epoch>>,
    /// The root that came out otherwise when last computed.
    contested: Mutex<Option<Contested>>,
    /// When everything was read anew.
    relearnt: Mutex<Option<Instant>>,
    /// Epochs that were signed again, with the rounds.
    signed: Mutex<BTreeSet<(Epoch, u32)>>,
    /// Beacons of epochs that a history knew which was undone since: panels are probed on by them.
    beacons: Mutex<BTreeMap<Epoch, Beacon>>,
    lineage: Mutex<Lineage>,
}

impl Context {
    /// Opens stores and keys.
    pub fn open(loaded: Loaded) -> Result<(Self, crate::config::Config)> {
        let Loaded {
            config,
            params,
            vendors,
            classes,
            secrets,
        } = loaded;
        let identity = Identity::load(&config.key)?;
        let own = HyperNodeId(identity.public_key());
        let network = params.network_id();
        let ledger_key = LedgerKey::from_file(&config.ledger_key)?;
        let seed_end = schedule::seed_end(&secrets.seed, params.seed_chain_links);
        if let Some(entry) = params.member(&own) {
            check_keys(
                &config,
                (&entry.ledger, &entry.seed_end),
                (&ledger_key, &seed_end),
            )?;
        }
        let state = || state_directory(&config.state_dir);
        let journal = open_journal(&config.state_dir, &network, &own).with_context(state)?;
        let objects = ObjectStore::open(config.state_dir.join("objects")).with_context(state)?;
        let vceks = Vceks::open(config.state_dir.join("vcek"), &config.kds).with_context(state)?;
        let history = History::new(&params, classes.values().cloned())?;
        let ledger = LedgerView::new(config.node(), (&params).into(), classes.clone());
        let context = Self {
            network,
            own,
            ledger_key,
            roots: Roots::new(&vendors)?,
            ledger,
            objects,
            vceks,
            journal: Mutex::new(journal),
            certificates: ChainCache::new(),
            configurations: Configurations::new(),
            snp_roots: SnpRoots::amd(),
            last_notes: Mutex::default(),
            secrets,
            anchor: Mutex::new(Anchor::at(history.clone())),
            history: Mutex::new(history),
            followed: Mutex::default(),
            voids: Mutex::default(),
            contested: Mutex::default(),
            relearnt: Mutex::default(),
            signed: Mutex::default(),
            beacons: Mutex::default(),
            lineage: Mutex::new(Lineage::genesis(params.clone())?),
            params,
            identity,
            vendors,
            classes,
        };
        context.restore_lineage()?;
        Ok((context, config))
    }

    /// Tells the operator what is wrong just now; what was among the last things told is not repeated.
    pub fn note(&self, text: String) {
        let last = self.last_notes.lock();
        let mut last = last.unwrap_or_else(PoisonError::into_inner);
        if !last.contains(&text) {
            eprintln!("note: {text}");
            last.push_back(text);
            if last.len() > NOTES_REMEMBERED {
                last.pop_front();
            }
        }
    }

    /// Tells what went wrong and goes on, unless the journal or the archive failed: then this HyperNode must end.
    pub fn survives(&self, doing: &str, done: Result<()>) -> Result<()> {
        match done {
            Err(error) if !is_storage(&error) => {
                self.note(format!("{doing}: {}", explain(&error)));
                Ok(())
            }
            other => other,
        }
    }

    /// Works on the journal; blocks this thread, not the runtime.
    pub fn journal<T>(
        &self,
        work: impl FnOnce(&mut Journal) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        tokio::task::block_in_place(|| {
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut journal)
        })
    }

    /// The key of an own region.
    pub fn region_key(&self, node: &NodeId, id: RegionId) -> RegionKey {
        region_key(&self.secrets.master, &self.network, node, id)
    }

    /// This epoch's link of the own seed chain.
    pub fn seed(&self, epoch: Epoch) -> Result<Seed> {
        schedule::seed_of_epoch(&self.secrets.seed, self.params.seed_chain_links, epoch)
            .with_context(|| format!("the seed chain has no link left for epoch {epoch}"))
    }

    /// The beacon of an epoch, once it is known: of the first unresolved one and the one after.
    pub fn beacon(&self, epoch: Epoch) -> Option<Beacon> {
        let known = self.history(|history| history.beacon(epoch));
        known.or_else(|| locked(&self.beacons).get(&epoch).copied())
    }

    /// The newest epoch whose root was taken over from the ledger.
    pub fn followed(&self) -> Option<Epoch> {
        let followed = locked(&self.followed);
        followed.last_key_value().map(|(epoch, _)| *epoch)
    }

    /// Whether another root took the place of the one that was taken over, by what the contract keeps of its epoch.
    pub fn is_replaced(&self, epoch: Epoch, record: &EpochRecord) -> bool {
        let followed = locked(&self.followed);
        let known = followed.get(&epoch);
        known.is_some_and(|(digest, corrections)| record.contradicts(*digest, *corrections))
    }

    /// Remembers what was taken over.
    pub fn note_followed(&self, epoch: Epoch, digest: Keccak, corrections: u8) {
        locked(&self.voids).clear();
        let mut followed = locked(&self.followed);
        followed.insert(epoch, (digest, corrections));
        if followed.len() > FOLLOWED_MAX {
            followed.pop_first();
        }
    }

    /// Remembers that an epoch was taken over as void.
    pub fn note_void(&self, epoch: Epoch) {
        let mut voids = locked(&self.voids);
        voids.insert(epoch);
        if voids.len() > FOLLOWED_MAX {
            voids.pop_first();
        }
    }

    /// The epochs that were taken over as void since the last root, ascending.
    pub fn voids(&self) -> Vec<Epoch> {
        locked(&self.voids).iter().copied().collect()
    }

    /// From now on this is contested.
    pub fn contests(&self, now: Contested) {
        *locked(&self.contested) = Some(now);
    }

    /// The root that is contested.
    pub fn contested(&self) -> Option<Contested> {
        *locked(&self.contested)
    }

    /// Remembers that an epoch was signed again in a round.
    pub fn note_signed(&self, epoch: Epoch, round: u32) {
        let mut signed = locked(&self.signed);
        signed.insert((epoch, round));
        if signed.len() > FOLLOWED_MAX {
            signed.pop_first();
        }
    }

    /// Whether an epoch was signed again in a round.
    pub fn has_signed(&self, epoch: Epoch, round: u32) -> bool {
        locked(&self.signed).contains(&(epoch, round))
    }

    /// Goes on from before every root that can have been undone; the first epoch to compute again.
    pub fn go_back(&self) -> Epoch {
        let undone = self.history(|history| history.clone());
        let known = [undone.next(), undone.next().next()];
        let beacon = |epoch: Epoch| Some((epoch, undone.beacon(epoch)?));
        *locked(&self.beacons) = known.into_iter().filter_map(beacon).collect();
        let history = locked(&self.anchor).back(&undone);
        locked(&self.followed).clear();
        locked(&self.voids).clear();
        let next = history.next();
        self.history(|held| *held = history);
        next
    }

    /// Remembers what to go back to, now that an epoch more is resolved.
    pub async fn advance_anchor(&self) -> Result<()> {
        let awaited = locked(&self.anchor).awaits();
        let is_final = match awaited {
            Some(epoch) => self.ledger.is_final(epoch).await?,
            None => false,
        };
        if is_final || awaited.is_none() {
            let history = self.history(|history| history.clone());
            locked(&self.anchor).advance(&history, is_final);
        }
        Ok(())
    }

    /// Refuses keys of a HyperNode that was not there at genesis and is not registered with them.
    pub async fn check_registration(&self, config: &Config) -> Result<()> {
        if self.params.member(&self.own).is_some() {
            return Ok(());
        }
        let asked = self.ledger.hypernode(&self.own).await.with_context(|| {
            format!(
                "key {}: HyperNode {} is not of genesis; is it registered in network {}?",
                config.key.display(),
                self.own,
                self.network
            )
        });
        let record = asked?.with_context(|| {
            format!(
                "key {}: HyperNode {} is not registered in network {}\n\
                 hint: register it with `assay-bridge ledger register`, and start it when that is final on the ledger",
                config.key.display(),
                self.own,
                self.network
            )
        })?;
        let own_end = schedule::seed_end(&self.secrets.seed, self.params.seed_chain_links);
        let registered = (&record.address, &record.seed_end);
        check_keys(config, registered, (&self.ledger_key, &own_end))
    }

    /// Looks at whom agents answer.
    pub fn lineage<T>(&self, look: impl FnOnce(&Lineage) -> T) -> T {
        look(&self.lineage.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on agents are told this lineage, if it is newer than the one they are told.
    pub fn keep_lineage(&self, lineage: Lineage) -> Result<()> {
        let mut held = self.lineage.lock().unwrap_or_else(PoisonError::into_inner);
        if lineage.newest() > held.newest() {
            self.put_lineage(&lineage)?;
            let (since, count) = (lineage.newest(), lineage.newest_members().len());
            eprintln!("roster from epoch {since}: agents are told of {count} HyperNodes");
            *held = lineage;
        }
        Ok(())
    }

    fn restore_lineage(&self) -> Result<()> {
        if let Some(kept) = self.kept_lineage()? {
            *self.lineage.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
        Ok(())
    }

    /// Works on what the ledger's epochs come to.
    pub fn history<T>(&self, work: impl FnOnce(&mut History) -> T) -> T {
        work(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The board of an epoch, as far as who is heard there is known.
    pub fn hearing(&self, epoch: Epoch) -> Hearing<'_> {
        Hearing {
            params: &self.params,
            network: self.network,
            epoch,
            known: self.history(|history| history.known(epoch)),
        }
    }

    /// Whether this HyperNode must probe `node` in a slot.
    pub fn on_panel(&self, beacon: Beacon, epoch: Epoch, node: NodeId, slot: Slot) -> bool {
        let of = PanelOf {
            network: self.network,
            beacon,
            epoch,
            node,
            slot,
        };
        // Not known yet: nobody can say who probes.
        let candidates: Vec<_> = self.history(|history| {
            let roster = history.roster(epoch);
            roster.map_or_else(Vec::new, |r| {
                r.seats().iter().map(Candidate::from).collect()
            })
        });
        panel(&of, &candidates, self.params.panel_min as usize).contains(&self.own)
    }

    /// Capped weights of those who have a say in an epoch; `None` until they are known here.
    pub fn weights(&self, epoch: Epoch) -> Option<BTreeMap<HyperNodeId, u128>> {
        self.history(|history| history.roster(epoch).map(Roster::weights))
    }

    /// Whether this HyperNode has a say in an epoch; `None` until that is known here.
    pub fn has_say(&self, epoch: Epoch) -> Option<bool> {
        self.weights(epoch)
            .map(|weights| weights.contains_key(&self.own))
    }

    /// Whether a HyperNode's control probes are answered.
    pub fn admits(&self, hypernode: &HyperNodeId) -> bool {
        let (now, _) = self.params.at(clock::now()).unwrap_or_default();
        let has_say = |epoch| {
            let weights = self.weights(epoch);
            weights.is_some_and(|weights| weights.contains_key(hypernode))
        };
        self.params.member(hypernode).is_some() || has_say(now)
    }

    /// Reads the rosters that were learnt again, and forgets registrations: a root on the ledger is another than the one
    /// computed.
    pub async fn relearn(&self) -> Result<()> {
        *locked(&self.relearnt) = Some(Instant::now());
        self.ledger.forget_records().await?;
        for epoch in self.history(|history| history.learnt()) {
            let Some(roster) = self.ledger.roster(epoch).await? else {
                continue;
            };
            if let Err(error) = self.history(|history| history.relearn(epoch, roster)) {
                self.note(format!("epoch {epoch}: nobody has a say: {error}"));
            }
        }
        Ok(())
    }

    /// The same, unless it was done a moment ago: for what lasts, and is looked at again and again.
    pub async fn relearn_if_due(&self) -> Result<()> {
        let last = *locked(&self.relearnt);
        match last.is_some_and(|at| at.elapsed() < RELEARN_PAUSE) {
            true => Ok(()),
            false => self.relearn().await,
        }
    }

    /// Learns whose stake counts in the epochs that are judged and probed next, as far as the ledger has fixed that.
    pub async fn learn(&self) -> Result<()> {
        let (current, _) = self.params.at(clock::now()).unwrap_or_default();
        let wanted = self.history(|history| {
            let judged = history.unknown();
            let is_unknown = |epoch: &Epoch| {
                *epoch >= history.next()
                    && history.roster(*epoch).is_none()
                    && !judged.contains(epoch)
            };
            let probed = [current, current.next()].into_iter().filter(is_unknown);
            judged.iter().copied().chain(probed).collect::<Vec<_>>()
        });
        for epoch in wanted {
            let Some(roster) = self.ledger.roster(epoch).await? else {
                continue;
            };
            if let Err(error) = self.history(|history| history.learn(epoch, roster)) {
                self.note(format!("epoch {epoch}: nobody has a say: {error}"));
            }
        }
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The keys of a HyperNode must be those that it was registered with.
fn check_keys(
    config: &Config,
    (account, seed_end): (&Address, &Seed),
    (ledger_key, own_end): (&LedgerKey, &Seed),
) -> Result<()> {
    let own = ledger_key.address();
    ensure!(
        own == *account,
        "ledger key {}: expected account {account}, got {own}\n\
         hint: use the key whose account registered this HyperNode",
        config.ledger_key.display()
    );
    ensure!(
        own_end == seed_end,
        "secrets file {}: expected a seed chain that ends in {seed_end}, got {own_end}\n\
         hint: use the secrets that were made together with the registered key",
        config.secrets.display()
    );
    Ok(())
}

fn open_journal(dir: &Path, network: &NetworkId, own: &HyperNodeId) -> Result<Journal> {
    std::fs::create_dir_all(dir)?;
    let origin = assay_log::checkpoint::origin(network, own);
    Ok(Journal::open(dir.join("journal.sqlite"), &origin)?)
}

fn state_directory(path: &Path) -> String {
    format!(
        "state directory {}\n\
         hint: it belongs to one HyperNode of one network, whose user may write there",
        path.display()
    )
}
