//! A whole network in software: four HyperNodes, one node, four epochs, and everything a bundle of it holds. A test may
//! change any part before it is signed ([`Lie`]), so that a lie is told consistently: re-hashed, re-signed, re-sealed.

mod answers;
mod drafts;
mod logged;
mod setting;
mod settled;
pub mod tpm;

use assay_aggregate::epoch::{Included, Registration};
use assay_aggregate::inputs::History;
use assay_aggregate::root::{EpochRoot, NodeLeaf};
use assay_aggregate::roster::Roster;
use assay_log::Tree;
use assay_protocol::class::{ImaPolicy, ValidClass};
use assay_protocol::cose::{self, Signer};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Address, Epoch, HyperNodeId, NetworkId, Nonce, RegionKey, Seed};
use assay_protocol::item::{Blob, Item};
use assay_protocol::layout::{self, Claim, Inputs};
use assay_protocol::outcome::Outcome;
use assay_protocol::params::{NetworkParams, RosterEntry};
use assay_protocol::region::{RegionId, region_key};
use assay_protocol::report::{Report, commitment};
use assay_protocol::schedule::{Challenge, ChallengePlace, seed_of_epoch};
use assay_protocol::trust::{CommitteePin, TrustFile};
use assay_testbed::boot_log::{MeasuredBoot, Variant};
use assay_testbed::ima_list::{ImaEntry, ImaList};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use logged::logged;
use setting::{class, params};
use settled::settle;
use std::collections::BTreeMap;
use tpm::SoftTpm;

pub type Files = BTreeMap<String, Vec<u8>>;

pub const PROVIDER: Address = Address([0x22; 20]);
const LINKS: u64 = 16;
const AGENT: (&str, &[u8]) = ("/usr/bin/assay-agent", b"agent");
const POLICY: (&str, &[u8]) = ("/etc/ima/ima-policy", b"measure func=BPRM_CHECK");
const IMA_LINE: &str = "ima_policy=tcb";

/// An Ed25519 key made from one byte.
pub struct Key(Ed25519KeyPair);

impl Key {
    pub fn new(byte: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[byte; 32]).unwrap())
    }
    pub fn id(&self) -> HyperNodeId {
        HyperNodeId(self.public_key())
    }
}

impl Signer for Key {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }
}

/// An outcome that is not signed yet.
#[derive(Clone)]
pub struct Draft {
    pub outcome: Outcome,
    pub raw: Vec<(Vec<u8>, &'static str)>,
}

/// Where a lie can be told.
pub enum Part<'a> {
    /// The outcomes of (HyperNode number, epoch), before they are signed and logged.
    Drafts(usize, u64, &'a Cast, &'a mut Vec<Draft>),
    /// The report of (HyperNode number, epoch), before it is signed and committed to.
    Report(usize, u64, &'a mut Report),
    /// The node's registrations on the ledger when an epoch begins.
    Registrations(u64, &'a mut Vec<Registration>),
    /// The leaf of an epoch, before its root is signed.
    Leaf(u64, &'a mut NodeLeaf),
    /// The root of an epoch, before it is signed.
    Root(u64, &'a mut EpochRoot),
    /// The signatures of an epoch.
    Signatures(u64, &'a mut Vec<Blob>),
    /// The payload, before it is sealed.
    Payload(&'a mut Files),
}

/// Tells a lie, or none.
pub type Lie<'a> = &'a dyn Fn(Part<'_>);

/// The truth.
pub fn honest(_: Part<'_>) {}

/// How the node behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Honest,
    /// It booted what its reference values do not allow.
    Rogue,
    /// It is silent in epoch 1.
    Silent,
}

/// Who is in the story, and what does not change in it.
pub struct Cast {
    pub hypernodes: Vec<Key>,
    pub session: Key,
    pub tpm: SoftTpm,
    pub class: ValidClass,
    pub params: NetworkParams,
    pub network: NetworkId,
    pub behaviour: Behaviour,
    /// Epochs of the story.
    pub epochs: u64,
    /// A HyperNode whose report of an epoch is not agreed on.
    pub absent: Option<(usize, u64)>,
    /// A HyperNode of whose epoch the bundle holds nothing: its report was missed, and its part is not there.
    pub lost: Option<(usize, u64)>,
    /// The epoch in which a silent node is.
    pub silent_in: u64,
    /// An epoch that ended void.
    pub void: Option<u64>,
    /// A HyperNode whose stake counts no more from an epoch on.
    pub left: Option<(usize, u64)>,
    /// A HyperNode that was not there at genesis and whose stake counts from an epoch on.
    pub joined: Option<(usize, u64)>,
    /// Everybody who is ever registered, in the order of `hypernodes`.
    pub registered: Vec<RosterEntry>,
    /// Its kernel measures files, one more in every epoch, and the class judges it by them.
    measuring: bool,
    boot: MeasuredBoot,
}

/// A finished story.
pub struct Story {
    pub payload: Files,
    pub trust: TrustFile,
}

/// One HyperNode's log and memory.
#[derive(Default)]
struct Memory {
    log: Tree,
    clock_ms: u64,
}

impl Cast {
    /// Whether a HyperNode has no say in an epoch.
    pub fn is_out(&self, who: usize, epoch: u64) -> bool {
        let has_left = |(leaver, from)| who == leaver && epoch >= from;
        let is_to_come = |(newcomer, from)| who == newcomer && epoch < from;
        self.left.is_some_and(has_left) || self.joined.is_some_and(is_to_come)
    }

    /// The first epoch in which a HyperNode has a say.
    pub fn first_epoch(&self, who: usize) -> u64 {
        let joins = self.joined.filter(|(newcomer, _)| *newcomer == who);
        joins.map_or(0, |(_, from)| from)
    }

    /// Whose stake counts in an epoch.
    pub fn roster(&self, epoch: Epoch) -> Vec<RosterEntry> {
        let has_say = |who: &usize| !self.is_out(*who, epoch.0);
        let say = (0..self.registered.len()).filter(has_say);
        say.map(|who| self.registered[who].clone()).collect()
    }

    /// A network that the last HyperNode joins: its stake counts from an epoch on.
    pub fn with_a_newcomer(behaviour: Behaviour, epochs: u64, from: u64) -> Self {
        let mut cast = Self::under(behaviour, epochs, |params| params.roster.truncate(3));
        cast.joined = Some((3, from));
        cast
    }

    pub fn new(behaviour: Behaviour, epochs: u64) -> Self {
        Self::of(behaviour, epochs, None, |_| {})
    }

    /// In a network with other parameters.
    pub fn under(behaviour: Behaviour, epochs: u64, change: fn(&mut NetworkParams)) -> Self {
        Self::of(behaviour, epochs, None, change)
    }

    /// An honest node whose kernel measures files.
    pub fn measuring(epochs: u64) -> Self {
        let allowed = |(_, content): (&str, &[u8])| digest(&[content]);
        let rules = ImaPolicy {
            allowed: vec![allowed(AGENT)],
            policies: vec![allowed(POLICY)],
            command_lines: vec![IMA_LINE.into()],
        };
        Self::of(Behaviour::Honest, epochs, Some(rules), |_| {})
    }

    fn of(
        behaviour: Behaviour,
        epochs: u64,
        ima: Option<ImaPolicy>,
        change: fn(&mut NetworkParams),
    ) -> Self {
        let mut hypernodes: Vec<Key> = (1..=4).map(Key::new).collect();
        hypernodes.sort_by_key(Key::id);
        let measuring = ima.is_some();
        let booted = |variant, config: &[u8]| match measuring {
            true => MeasuredBoot::with_command_line(variant, config, IMA_LINE),
            false => MeasuredBoot::new(variant, config),
        };
        let class = class(&booted(Variant::Good, &[]).pcrs(), ima);
        let mut params = params(&hypernodes, &class);
        let registered = params.roster.clone();
        change(&mut params);
        let network = params.network_id();
        let config = format!(
            "network = \"{network}\"\nprovider = \"{PROVIDER}\"\nroster = [\"{}\"]\nlisten = \"127.0.0.1:0\"\n\
             state_dir = \"/s\"\n[tpm]\ntcti = \"device:/dev/tpmrm0\"\nevent_log = \"/l\"\n",
            hypernodes[0].id()
        );
        let rogue = behaviour == Behaviour::Rogue;
        let variant = if rogue { Variant::Rogue } else { Variant::Good };
        let boot = booted(variant, config.as_bytes());
        let (session, tpm) = (Key::new(99), SoftTpm::manufacture());
        Self {
            hypernodes,
            session,
            tpm,
            class,
            params,
            network,
            behaviour,
            epochs,
            absent: None,
            lost: None,
            silent_in: 1,
            void: None,
            left: None,
            joined: None,
            registered,
            measuring,
            boot,
        }
    }

    /// What the kernel measured in an epoch.
    pub fn measured_in(&self, epoch: u64) -> ImaList {
        let mut list = ImaList::new(&self.boot.pcrs(), &[AGENT, POLICY]);
        if epoch > 0 {
            list.entries = vec![ImaEntry::of_content(&format!("/run/{epoch}"), AGENT.1)];
        }
        list
    }

    /// The entries of all epochs before this one.
    fn measured_before(&self, epoch: u64) -> ImaList {
        let epochs = (0..epoch).flat_map(|epoch| self.measured_in(epoch).entries);
        ImaList {
            entries: epochs.collect(),
        }
    }

    fn seed(&self, who: usize, epoch: u64) -> Seed {
        seed_of_epoch(&Seed([0x50 + who as u8; 32]), LINKS, Epoch(epoch)).unwrap()
    }

    pub fn region_key(&self, hypernode: usize, id: RegionId) -> RegionKey {
        region_key(&[hypernode as u8; 32], &self.network, &self.tpm.node, id)
    }

    pub fn nonce(&self, outcome: &Outcome, kind: Challenge) -> Nonce {
        let place = ChallengePlace {
            network: self.network,
            node: self.tpm.node,
            hypernode: outcome.hypernode,
            epoch: outcome.place.0,
            slot: outcome.place.1,
            kind,
        };
        place.nonce(&outcome.r)
    }
}

/// Tells the story with one lie in it.
pub fn story(cast: &Cast, lie: Lie<'_>) -> Story {
    let mut files = Files::new();
    let mut history = History::new(&cast.params, [cast.class.clone()]).unwrap();
    let mut memories: Vec<Memory> = (0..4).map(|_| Memory::default()).collect();
    files.insert(layout::PARAMS.into(), cast.params.encode());
    files.insert(layout::class(&cast.class.digest()), cast.class.encode());
    let claim = Claim {
        schema: 1,
        network: cast.network,
        node: cast.tpm.node,
        first: Epoch(0),
        last: Epoch(cast.epochs - 1),
        void: cast.void.map(Epoch).into_iter().collect(),
    };
    files.insert(layout::CLAIM.into(), claim.encode());
    for epoch in 0..cast.epochs {
        for unknown in history.unknown() {
            history.learn(unknown, cast.roster(unknown)).unwrap();
        }
        let beacon = history.beacon(Epoch(epoch)).unwrap();
        let mut entries = Vec::new();
        let mut included = BTreeMap::new();
        for (who, memory) in memories.iter_mut().enumerate() {
            if cast.is_out(who, epoch) {
                continue;
            }
            let mut drafts = cast.drafts(who, epoch, beacon, memory);
            lie(Part::Drafts(who, epoch, cast, &mut drafts));
            let mut part = Files::new();
            let mut report = logged(cast, who, epoch, beacon, memory, &drafts, &mut part);
            lie(Part::Report(who, epoch, &mut report));
            if cast.lost == Some((who, epoch)) {
                continue;
            }
            files.extend(part);
            if cast.absent == Some((who, epoch)) || cast.void == Some(epoch) {
                continue;
            }
            let id = cast.hypernodes[who].id();
            let signed = cose::seal(report.clone(), &cast.hypernodes[who])
                .bytes()
                .to_vec();
            let salt = [who as u8 + 7; 32];
            let commit = commitment(&cast.network, Epoch(epoch), &salt, &signed);
            files.insert(layout::report(Epoch(epoch), &id), signed);
            entries.push((id, commit, salt));
            included.insert(id, Included { commit, report });
        }
        if cast.void == Some(epoch) {
            history.void();
            continue;
        }
        files.insert(layout::inputs(Epoch(epoch)), Inputs { entries }.encode());
        settle(cast, &mut history, epoch, &included, lie, &mut files);
    }
    lie(Part::Payload(&mut files));
    let hash = Roster::at_genesis(&cast.params).unwrap().committee().hash();
    let committee = CommitteePin {
        epoch: Epoch(0),
        hash,
    };
    let (params, vendors) = (cast.params.clone(), cast.tpm.vendors.clone());
    let trust = TrustFile {
        schema: 1,
        params,
        committee,
        vendors,
    };
    Story {
        payload: files,
        trust,
    }
}
