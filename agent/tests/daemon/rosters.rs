//! Whom the agent answers, once HyperNodes have proven who follows them.

use super::*;
use assay_protocol::ids::{Address, Bps, NetworkId, Seed, Stake};
use assay_protocol::item::Item as _;
use assay_protocol::params::{NetworkParams, RosterEntry};
use assay_protocol::succession::{
    Lineage, LineageRecord, Link, MemberSignature, members, succession,
};

const EPOCH_MS: u64 = 1_000_000_000;
/// The epoch that it is while a test runs.
const NOW: u64 = 5;

/// A network of the bench's two HyperNodes, with a third that comes.
struct Network {
    bench: Bench,
    params: NetworkParams,
    newcomer: Identity,
}

fn id(identity: &Identity) -> HyperNodeId {
    HyperNodeId(identity.public_key())
}

impl Network {
    fn new() -> Self {
        let bench = Bench::new();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let now = u64::try_from(now.as_millis()).unwrap();
        let entry = |(member, operator): (&Identity, u8)| RosterEntry {
            id: id(member),
            operator: Digest([operator; 32]),
            ledger: Address([operator; 20]),
            stake: Stake(50),
            seed_end: Seed([operator; 32]),
        };
        let mut roster: Vec<_> = bench.members.iter().zip(1..).map(entry).collect();
        roster.sort_by_key(|entry| entry.id);
        let params = NetworkParams {
            chain_id: 31_337,
            contract: Address([1; 20]),
            genesis_unix_ms: UnixMs(now - NOW * EPOCH_MS - EPOCH_MS / 2),
            epoch_ms: EPOCH_MS,
            slot_ms: EPOCH_MS / 10,
            clock_skew_ms_max: 500,
            panel_min: 2,
            operator_cap_bps: Bps(5_000),
            systemic_min_providers: 0,
            control_probes: 1,
            persistence: (1, 1),
            reaudit_seats: 0,
            region_epochs: 2,
            seed_chain_links: 64,
            commit_ms: 4_000,
            reveal_ms: 8_000,
            vote_ms: 12_000,
            void_after_ms: 20_000,
            absent_epochs: 0,
            gwei: 1_000_000_000,
            classes: vec![Digest([3; 32])],
            roster,
        };
        let network = Self {
            bench,
            params,
            newcomer: Identity::generate().unwrap(),
        };
        let text = std::fs::read_to_string(network.bench.config()).unwrap();
        let own = network.network().to_string();
        std::fs::write(network.bench.config(), text.replace(&"11".repeat(32), &own)).unwrap();
        network
    }

    fn network(&self) -> NetworkId {
        self.params.network_id()
    }

    /// A roster of these, signed by those.
    fn link(&self, from: u64, of: &[&Identity], by: &[&Identity]) -> Link {
        let (from, members) = (Epoch(from), members(of.iter().map(|of| (id(of), 10))));
        let signed = |by: &&Identity| {
            let said = succession(&self.params, self.network(), (from, &members), id(by));
            MemberSignature {
                hypernode: id(by),
                signature: cose::signature_of(&cose::seal(said, *by)).unwrap(),
            }
        };
        let mut signatures: Vec<_> = by.iter().map(signed).collect();
        signatures.sort_by_key(|signed| signed.hypernode);
        Link {
            from,
            members,
            signatures,
        }
    }

    /// The first HyperNode leaves, the newcomer comes.
    fn lineage(&self, from: u64) -> Vec<u8> {
        let [leaver, other] = &self.bench.members;
        let mut lineage = Lineage::genesis(self.params.clone()).unwrap();
        let link = self.link(from, &[other, &self.newcomer], &[leaver, other]);
        lineage.extend(link).unwrap();
        lineage.bytes()
    }
}

fn tell(lineage: Vec<u8>) -> AgentRequest {
    AgentRequest::Roster { lineage }
}

fn is_closed(agent: &Agent, identity: &Identity) -> bool {
    let mut client = Client::connect(agent, identity);
    let asked = client.send(&AgentRequest::Enrol);
    asked.and_then(|()| client.receive()).is_err()
}

#[test]
fn a_newcomer_is_answered_at_once_and_a_leaver_until_the_roster_is_in_force() {
    let network = Network::new();
    let mut agent = network.bench.start();
    assert!(is_closed(&agent, &network.newcomer));
    let mut leaver = network.bench.bound(&agent);
    assert_eq!(
        leaver.ask(tell(network.lineage(NOW + 1))),
        AgentReply::Ready
    );
    Client::connect(&agent, &network.newcomer).attest([3; 32]);
    leaver.probe([4; 32]);

    // In force now: an open connection ends, too, and what was acknowledged survives.
    let mut other = network.bench.connect(&agent, 1);
    let mut longer = Lineage::open(&network.network(), &network.lineage(NOW - 1)).unwrap();
    let roster = [&network.bench.members[1], &network.newcomer];
    longer
        .extend(network.link(NOW + 2, &roster, &roster))
        .unwrap();
    assert_eq!(other.ask(tell(longer.bytes())), AgentReply::Ready);
    let nonce = Nonce([5; 32]);
    let (code, text) = leaver.refused(AgentRequest::Probe { nonce });
    assert_eq!(code, RefusalCode::NotAllowed);
    assert!(text.contains("not on the roster any more"), "{text}");
    for _ in 0..2 {
        assert!(is_closed(&agent, &network.bench.members[0]));
        Client::connect(&agent, &network.newcomer).attest([6; 32]);
        agent.child.kill().unwrap();
        agent.child.wait().unwrap();
        agent = network.bench.start();
    }
}

#[test]
fn what_proves_nothing_changes_nothing() {
    let network = Network::new();
    let agent = network.bench.start();
    let mut member = network.bench.connect(&agent, 0);
    let [first, second] = &network.bench.members;
    let few = network.link(NOW, &[first, &network.newcomer], &[first]);
    let forged = |change: fn(&mut Link)| {
        let mut link = network.link(NOW, &[&network.newcomer], &[first, second]);
        change(&mut link);
        link
    };
    let record = |link: Link| {
        let (params, links) = (network.params.clone(), vec![link]);
        LineageRecord { params, links }.encode()
    };
    let mut elsewhere = network.params.clone();
    elsewhere.chain_id += 1;
    let elsewhere = Lineage::genesis(elsewhere).unwrap().bytes();
    for (lineage, said) in [
        (record(few), "more than two thirds"),
        (
            record(forged(|link| link.members[0].weight = 1)),
            "does not verify",
        ),
        (
            record(forged(|link| link.signatures[0].signature[0] ^= 1)),
            "does not verify",
        ),
        (elsewhere, "expected parameters of network"),
        (
            network.lineage(NOW + 3),
            "at the latest, by this machine's clock",
        ),
        (b"nothing".to_vec(), "CBOR ends early"),
    ] {
        let (code, text) = member.refused(tell(lineage));
        assert_eq!(code, RefusalCode::BadRequest);
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(is_closed(&agent, &network.newcomer));
    member.attest([1; 32]);
    assert!(!network.bench.path("state").join("lineage.cbor").exists());
}

#[test]
fn keys_of_genesis_cannot_take_an_agent_back_that_was_told_a_later_roster() {
    let network = Network::new();
    let agent = network.bench.start();
    let [leaver, other] = &network.bench.members;
    let mut member = network.bench.connect(&agent, 1);
    assert_eq!(member.ask(tell(network.lineage(NOW))), AgentReply::Ready);
    let mut elsewhere = Lineage::genesis(network.params.clone()).unwrap();
    let link = network.link(NOW + 1, &[leaver, other], &[leaver, other]);
    elsewhere.extend(link).unwrap();
    let (code, text) = member.refused(tell(elsewhere.bytes()));
    assert_eq!(code, RefusalCode::BadRequest);
    assert!(
        text.contains("of the roster from epoch 5 vouch for"),
        "{text}"
    );
    assert!(is_closed(&agent, leaver) && !is_closed(&agent, &network.newcomer));
}

#[test]
fn a_hypernode_that_knows_less_is_told() {
    let network = Network::new();
    let agent = network.bench.start();
    let genesis = Lineage::genesis(network.params.clone()).unwrap().bytes();
    let newer = network.lineage(NOW + 1);
    let mut member = network.bench.connect(&agent, 1);
    assert_eq!(member.ask(tell(genesis.clone())), AgentReply::Ready);
    for _ in 0..2 {
        assert_eq!(member.ask(tell(newer.clone())), AgentReply::Ready);
    }
    let told = member.ask(tell(genesis));
    assert_eq!(told, AgentReply::Roster { lineage: newer });
}

#[test]
fn a_file_that_proves_nothing_is_forgotten_and_told_anew() {
    let network = Network::new();
    let mut agent = network.bench.start();
    let mut other = network.bench.connect(&agent, 1);
    assert_eq!(other.ask(tell(network.lineage(NOW))), AgentReply::Ready);
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    let file = network.bench.path("state").join("lineage.cbor");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let agent = network.bench.start();
    assert!(is_closed(&agent, &network.newcomer));
    let mut other = network.bench.connect(&agent, 1);
    assert_eq!(other.ask(tell(network.lineage(NOW))), AgentReply::Ready);
    Client::connect(&agent, &network.newcomer).attest([6; 32]);
}
