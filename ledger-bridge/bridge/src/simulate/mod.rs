//! `assay-bridge simulate`: what HyperNodes that misbehave with a share of the stake can do to outcomes.
//!
//! Epochs go through the aggregation itself, reports in and leaves out; only nodes, probes and the clock are simulated.
//! Each scenario is compared with the same network, draws and luck, in which everybody is honest. What the model leaves
//! out is said in SIMULATION.md.

mod behaviour;
mod table;
mod world;

use assay_aggregate::epoch::{
    Aggregator, EpochError, EpochInput, EpochOutcome, Included, RootHead, States,
};
use assay_aggregate::more_than_two_thirds;
use assay_aggregate::verdict::Verdict;
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak, Seed, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::report::{AttestSummary, ChaseKind, ChaseSummary, NodeReport, Report};
use serde::Serialize;
use std::collections::BTreeMap;

pub use behaviour::Behaviour;
use behaviour::{Place, Said, honest};
pub use table::markdown;
pub use world::WorldError;
use world::{Kind, World};

/// What is simulated.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Plan {
    /// Behaviours, separated by commas; all when left out.
    #[arg(long, value_delimiter = ',')]
    pub behaviours: Vec<Behaviour>,
    /// Shares of the stake in per cent, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 20, 33, 40, 49], value_parser = clap::value_parser!(u32).range(0..=90))]
    pub shares: Vec<u32>,
    /// HyperNodes, each an operator of its own.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=100))]
    pub hypernodes: u32,
    /// Nodes; of six, one is up in 80 % of the slots only and one reads at half of the floor.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub nodes: u32,
    /// Epochs of 60 slots.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub epochs: u64,
    /// Seats of a slot's panel.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=100))]
    pub panel: u32,
    /// Operator cap in basis points.
    #[arg(long, default_value_t = 1000)]
    pub cap_bps: u32,
    /// Availability promised, in a million.
    #[arg(long, default_value_t = 990_000)]
    pub availability_ppm: u32,
    /// Breaches before a slash, as m,n. With 1,1 there is no re-audit, else all HyperNodes are the re-audit.
    #[arg(long, default_value = "3,6", value_parser = persistence)]
    pub persistence: (u32, u32),
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    plan: Plan,
    /// For programs; else a table in Markdown.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command: what is to be printed.
pub fn shown(arguments: &Arguments) -> Result<String, SimulateError> {
    let Arguments { plan, json } = arguments;
    let effects = run(plan)?;
    Ok(match json {
        true => table::json(plan, &effects).to_string(),
        false => markdown(plan, &effects),
    })
}

/// One line of a table.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What the attacker does.
    pub behaviour: Behaviour,
    /// With how much of the stake.
    pub share_percent: u32,
}

/// What came of a scenario. "Good" and "bad" are what the nodes truly are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// Epochs without two thirds of the weight, so without a root.
    pub void_epochs: u64,
    /// How far availability moved from that of the honest network: mean over nodes and epochs.
    pub availability_moved_ppm_mean: u64,
    /// The furthest it moved.
    pub availability_moved_ppm_max: u64,
    /// How far the chase median moved, in relation to the honest one: mean.
    pub chase_moved_ppm_mean: u64,
    /// The furthest.
    pub chase_moved_ppm_max: u64,
    /// Good node-epochs judged.
    pub good_judged: u64,
    /// Of those, not paid although honest HyperNodes would have paid.
    pub good_unpaid: u64,
    /// Of those, called a breach.
    pub good_breaches: u64,
    /// Slashes of good nodes.
    pub good_slashes: u64,
    /// Bad node-epochs judged.
    pub bad_judged: u64,
    /// Of those, paid although honest HyperNodes would not have paid.
    pub bad_paid: u64,
    /// Slashes of bad nodes.
    pub bad_slashes: u64,
    /// Slashes of bad nodes in the honest network.
    pub bad_slashes_honest: u64,
    /// Reports the attacker's HyperNodes owed and did not reveal.
    pub reports_missing: u64,
    /// Of a hundred statements of the attacker about a node and epoch, those its own evidence contradicts.
    pub provable_percent: u64,
}

/// Why a simulation stopped.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The network cannot be made.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The aggregation refuses it.
    #[error(transparent)]
    Epoch(#[from] EpochError),
}

/// Runs all scenarios of a plan.
pub fn run(plan: &Plan) -> Result<Vec<(Scenario, Effect)>, SimulateError> {
    let behaviours = match plan.behaviours.as_slice() {
        [] => &Behaviour::ALL[..],
        some => some,
    };
    let mut effects = Vec::new();
    for behaviour in behaviours {
        for share_percent in &plan.shares {
            let scenario = Scenario {
                behaviour: *behaviour,
                share_percent: *share_percent,
            };
            effects.push((scenario, simulate(plan, &scenario)?));
        }
    }
    Ok(effects)
}

fn persistence(text: &str) -> Result<(u32, u32), String> {
    let expected = || format!("expected m,n with 1 <= m <= n <= 64, got {text}");
    let (m, n) = text.split_once(',').ok_or_else(expected)?;
    match (m.trim().parse(), n.trim().parse()) {
        (Ok(m), Ok(n)) if (1..=n).contains(&m) && n <= 64 => Ok((m, n)),
        _ => Err(expected()),
    }
}

/// What HyperNodes said in one epoch, and what was provably false in it.
#[derive(Default)]
struct Spoken {
    reports: BTreeMap<HyperNodeId, Included>,
    weight: u128,
    missing: u64,
    statements: u64,
    provable: u64,
}

fn simulate(plan: &Plan, scenario: &Scenario) -> Result<Effect, SimulateError> {
    let world = World::new(plan, scenario)?;
    let (mut effect, mut moved) = (Effect::default(), Moved::default());
    let (mut attacked, mut calm) = (world.states(), world.states());
    let (mut statements, mut provable) = (0, 0);
    for epoch in 0..plan.epochs {
        let truths = Truths::of(&world, epoch);
        let everybody = speak(&world, &truths, None);
        let expected = aggregate(&world, epoch, &calm, &everybody)?;
        let spoken = speak(&world, &truths, Some(scenario.behaviour));
        effect.reports_missing += spoken.missing;
        statements += spoken.statements;
        provable += spoken.provable;
        let actual = aggregate(&world, epoch, &attacked, &spoken)?;
        match (&expected, &actual) {
            (Some(expected), Some(actual)) => {
                effect.compare(&world, &mut moved, expected, actual);
            }
            _ => effect.void_epochs += 1,
        }
        attacked = actual.map_or(attacked, |outcome| outcome.states);
        calm = expected.map_or(calm, |outcome| outcome.states);
    }
    effect.slashes(&world, &attacked, &calm);
    moved.into_effect(&mut effect);
    effect.provable_percent = (100 * provable).checked_div(statements).unwrap_or(0);
    Ok(effect)
}

/// What every HyperNode would honestly say in an epoch: by seat, then by node.
struct Truths {
    epoch: u64,
    said: Vec<Vec<Said>>,
}

impl Truths {
    fn of(world: &World, epoch: u64) -> Self {
        let said = |seat| {
            let nodes = 0..world.kinds.len();
            nodes
                .map(|node| honest(world, &Place { epoch, seat, node }))
                .collect()
        };
        let said = (0..world.seats.len()).map(said).collect();
        Self { epoch, said }
    }
}

/// The reports of an epoch; with `attack` the attacker's seats follow it, else everybody is honest.
fn speak(world: &World, truths: &Truths, attack: Option<Behaviour>) -> Spoken {
    let mut spoken = Spoken::default();
    let epoch = truths.epoch;
    for (seat, (member, truths)) in world.seats.iter().zip(&truths.said).enumerate() {
        let attack = attack.filter(|_| world.attackers[seat]);
        if attack.is_some_and(|attack| !attack.reports(world, epoch, seat)) {
            spoken.missing += 1;
            continue;
        }
        let mut nodes = Vec::with_capacity(truths.len());
        for (node, truth) in truths.iter().enumerate() {
            let at = Place { epoch, seat, node };
            let said = attack.map(|attack| attack.say(world, &at, truth.clone()));
            if let (Some(attack), Some(said)) = (attack, &said) {
                spoken.statements += 1;
                spoken.provable += u64::from(attack.is_provable(said, truth));
            }
            nodes.push(node_report(world, node, said.as_ref().unwrap_or(truth)));
        }
        let report = report(world, epoch, member.hypernode, nodes);
        spoken.weight += member.weight;
        spoken.reports.insert(member.hypernode, report);
    }
    spoken
}

/// `None` when too few take part for an agreed list: the epoch is void.
fn aggregate(
    world: &World,
    epoch: u64,
    prior: &States,
    spoken: &Spoken,
) -> Result<Option<EpochOutcome>, EpochError> {
    let total = world.seats.iter().map(|seat| seat.weight).sum();
    if !more_than_two_thirds(spoken.weight, total) {
        return Ok(None);
    }
    let input = EpochInput {
        params: &world.params,
        epoch: Epoch(epoch),
        beacon: world.beacon(epoch),
        round: 0,
        committee: &world.seats,
        head: RootHead {
            committee: Keccak([0; 32]),
            next_committee: Keccak([0; 32]),
            policy_digest: Digest([0; 32]),
        },
        classes: &BTreeMap::from([(world.class.digest(), world.class.clone())]),
        registrations: &world.registrations(),
        sites: &BTreeMap::new(),
        prior,
        budget: u128::MAX,
        reports: &spoken.reports,
    };
    Aggregator::new(input)?.epoch().map(Some)
}

fn node_report(world: &World, node: usize, said: &Said) -> NodeReport {
    NodeReport {
        node: world::node_id(node),
        class: world.class.digest(),
        cells: Blob(said.cells.iter().map(|cell| *cell as u8).collect()),
        attest: AttestSummary {
            class: said.attest,
            tier: 1,
            owner: Some(world::provider(node)),
            chips: None,
        },
        chase: ChaseSummary {
            class: said.chase,
            reads_per_s: said.rate,
            kind: ChaseKind::Liveness,
        },
        outcome_root: Digest([0; 32]),
        outcomes: 0,
        reveals: vec![],
    }
}

fn report(world: &World, epoch: u64, hypernode: HyperNodeId, nodes: Vec<NodeReport>) -> Included {
    let report = Report {
        network: world.params.network_id(),
        epoch: Epoch(epoch),
        hypernode,
        seed: Seed([0; 32]),
        log_size: 0,
        log_root: Digest([0; 32]),
        nodes,
        at: UnixMs(0),
    };
    Included {
        commit: Digest([0; 32]),
        report,
    }
}

/// Distances summed over node-epochs.
#[derive(Default)]
struct Moved {
    node_epochs: u64,
    availability: u64,
    chase: u64,
}

impl Moved {
    fn into_effect(self, effect: &mut Effect) {
        let mean = |sum: u64| sum.checked_div(self.node_epochs).unwrap_or(0);
        effect.availability_moved_ppm_mean = mean(self.availability);
        effect.chase_moved_ppm_mean = mean(self.chase);
    }
}

impl Effect {
    fn compare(
        &mut self,
        world: &World,
        moved: &mut Moved,
        expected: &EpochOutcome,
        actual: &EpochOutcome,
    ) {
        let kinds = world.kinds.iter();
        for ((kind, honest), leaf) in kinds.zip(&expected.leaves).zip(&actual.leaves) {
            let availability = u64::from(honest.availability.0.abs_diff(leaf.availability.0));
            let distance = honest.chase_rate.abs_diff(leaf.chase_rate);
            let chase = (distance * 1_000_000)
                .checked_div(honest.chase_rate)
                .unwrap_or(0);
            moved.node_epochs += 1;
            moved.availability += availability;
            moved.chase += chase;
            let furthest = &mut self.availability_moved_ppm_max;
            *furthest = availability.max(*furthest);
            self.chase_moved_ppm_max = chase.max(self.chase_moved_ppm_max);
            let pays = |verdict: u8| verdict == Verdict::Pass as u8;
            let (should, does) = (pays(honest.verdict), pays(leaf.verdict));
            if *kind == Kind::Good {
                self.good_judged += 1;
                self.good_unpaid += u64::from(should && !does);
                self.good_breaches += u64::from(leaf.verdict == Verdict::Breach as u8);
            } else {
                self.bad_judged += 1;
                self.bad_paid += u64::from(!should && does);
            }
        }
    }

    fn slashes(&mut self, world: &World, attacked: &States, calm: &States) {
        let (_, one) =
            assay_aggregate::epoch::money(Verdict::Breach, &world.class.money, world.params.gwei());
        let count = |states: &States, node: usize| {
            let state = states.nodes.get(&world::node_id(node));
            let sum = state.map_or(0, |state| state.cumulative_slash);
            u64::try_from(sum.checked_div(one).unwrap_or(0)).unwrap_or(u64::MAX)
        };
        for (node, kind) in world.kinds.iter().enumerate() {
            if *kind == Kind::Good {
                self.good_slashes += count(attacked, node);
            } else {
                self.bad_slashes += count(attacked, node);
                self.bad_slashes_honest += count(calm, node);
            }
        }
    }
}

#[cfg(test)]
mod tests;
