//! Single rules.

use crate::Case;
use crate::random::Random;
use assay_aggregate::availability::{Seat, SlotState, slot_state};
use assay_aggregate::draw::{Candidate, DrawOf, PanelOf, ProposersOf, Purpose, Urn};
use assay_aggregate::epoch::share_out;
use assay_aggregate::median;
use assay_aggregate::persistence::{Record, Rule};
use assay_aggregate::root::{OutcomeTree, keccak as keccak256};
use assay_aggregate::systemic::Systemic;
use assay_aggregate::verdict::Verdict;
use assay_aggregate::weights::{Staked, capped_weights};
use assay_aggregate::wilson;
use assay_protocol::ids::{
    Address, Beacon, Bps, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Slot, Stake,
};
use assay_protocol::report::Cell;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub fn weights(random: &mut Random) -> Case {
    let count = random.below(9);
    let mut snapshot: Vec<Staked> = (0..count)
        .map(|n| Staked {
            hypernode: HyperNodeId([n as u8; 32]),
            operator: Digest([random.below(4) as u8; 32]),
            stake: Stake(random.stake()),
        })
        .collect();
    if random.chance(20) && !snapshot.is_empty() {
        snapshot[0].stake = Stake(1 << 96);
    }
    if random.chance(20) && !snapshot.is_empty() {
        snapshot.push(snapshot[0]);
    }
    let cap = random.pick(&[0, 1, 2_500, 3_333, 3_334, 5_000, 9_999, 10_000, 10_001]);
    let staked: Vec<Value> = snapshot
        .iter()
        .map(|s| {
            json!([
                s.hypernode.to_string(),
                s.operator.to_string(),
                s.stake.0.to_string()
            ])
        })
        .collect();
    let named = |weights: BTreeMap<HyperNodeId, u128>| {
        let each = weights.into_iter();
        each.map(|(id, weight)| (id.to_string(), weight.to_string().into()))
            .collect::<serde_json::Map<_, _>>()
    };
    Case {
        rule: "weights",
        input: json!({ "staked": staked, "cap_bps": cap }),
        expected: capped_weights(&snapshot, Bps(cap)).map(named).ok().into(),
    }
}

/// Members with distinct ids; few operators, so that draws meet the same one.
pub fn members(random: &mut Random, count: u64) -> Vec<Candidate> {
    let member = |n| {
        let mut id = random.bytes::<32>();
        id[31] = n as u8;
        Candidate {
            hypernode: HyperNodeId(id),
            operator: Digest([random.below(count.max(2)) as u8; 32]),
            weight: random.stake(),
        }
    };
    (0..count).map(member).collect()
}

pub fn members_json(members: &[Candidate]) -> Vec<Value> {
    members
        .iter()
        .map(|m| {
            json!([
                m.hypernode.to_string(),
                m.operator.to_string(),
                m.weight.to_string()
            ])
        })
        .collect()
}

pub fn draws(random: &mut Random) -> Case {
    let count = random.below(12);
    let members = members(random, count);
    let of = DrawOf {
        network: NetworkId(random.bytes()),
        beacon: Beacon(random.bytes()),
        period: random.value(),
        node: NodeId(random.bytes()),
    };
    let slot = random.value() as u32;
    let seats = random.below(14) as usize;
    let panel = PanelOf {
        network: of.network,
        beacon: of.beacon,
        epoch: Epoch(of.period),
        node: of.node,
        slot: Slot(slot),
    };
    let urn = Urn::new(members.clone());
    let ids = |drawn: Vec<Candidate>| {
        let each = drawn.iter();
        each.map(|c| c.hypernode.to_string()).collect::<Vec<_>>()
    };
    let votes = |purpose| {
        let votes = urn.committee(purpose, &of, seats as u32).into_iter();
        votes
            .map(|(id, seats)| (id.to_string(), seats.to_string().into()))
            .collect::<serde_json::Map<_, _>>()
    };
    let turns = ProposersOf {
        network: of.network,
        beacon: of.beacon,
        epoch: Epoch(of.period),
        round: slot,
    };
    Case {
        rule: "draws",
        input: json!({
            "network": of.network.to_string(), "beacon": of.beacon.to_string(), "period": of.period,
            "node": of.node.to_string(), "slot": slot, "seats": seats, "members": members_json(&members),
        }),
        expected: json!({
            "panel": ids(urn.panel(&panel, seats)),
            "keepers": ids(urn.keepers(&of, seats)),
            "committee": votes(Purpose::Committee),
            "reaudit": votes(Purpose::Reaudit),
            "proposers": ids(urn.proposers(&turns, seats)),
        }),
    }
}

pub fn slot(random: &mut Random) -> Case {
    let count = random.below(8);
    let seats: Vec<(u8, u8)> = (0..count)
        .map(|_| {
            (
                random.below(4) as u8,
                random.pick(&[0, 1, 1, 2, 2, 2, 3, 4]),
            )
        })
        .collect();
    let seat = |&(operator, code): &(u8, u8)| Seat {
        operator: Digest([operator; 32]),
        cell: Cell::from_code(code).unwrap(),
    };
    let state = slot_state(&seats.iter().map(seat).collect::<Vec<_>>());
    Case {
        rule: "slot",
        input: json!({ "seats": seats }),
        expected: match state {
            SlotState::Up => json!("up"),
            SlotState::Down => json!("down"),
            SlotState::Inconclusive => Value::Null,
        },
    }
}

pub fn systemic(random: &mut Random) -> Case {
    let (slots, least) = (random.within(1, 4), random.pick(&[1, 3, 5]));
    let mut systemic = Systemic::new(least, slots as u32);
    let mut nodes = Vec::new();
    let (providers, sites) = (random.within(1, 9), random.within(1, 9));
    for _ in 0..random.below(30) {
        let (provider, site) = (random.below(providers) as u8, random.below(sites) as u8);
        let states: Vec<SlotState> = (0..slots)
            .map(|_| {
                random.pick(&[
                    SlotState::Down,
                    SlotState::Down,
                    SlotState::Up,
                    SlotState::Inconclusive,
                ])
            })
            .collect();
        systemic.add(Address([provider; 20]), Digest([site; 32]), &states);
        let letter = |state: &SlotState| match state {
            SlotState::Up => 'u',
            SlotState::Down => 'd',
            SlotState::Inconclusive => 'i',
        };
        let states: String = states.iter().map(letter).collect();
        nodes.push(json!([provider, site, states]));
    }
    let who = random.below(10) as u8;
    Case {
        rule: "systemic",
        input: json!({ "nodes": nodes, "provider": who, "slots": slots, "least": least }),
        expected: json!(systemic.excuses().of(&Address([who; 20]))),
    }
}

pub fn wilson_bounds(random: &mut Random) -> Case {
    let any = random.value() as u32;
    let n = random.pick(&[0, 1, 2, 3, 60, 720, 44_640, u32::MAX, any]);
    let any = random.value() as u32;
    let near = [0, n / 2, n.saturating_sub(1), n, n.saturating_add(1), any];
    let s = random.pick(&near);
    let bounds = wilson::bounds(s, n).map(|b| [b.point.0, b.lower.0, b.upper.0]);
    Case {
        rule: "wilson",
        input: json!({ "s": s, "n": n }),
        expected: json!(bounds),
    }
}

pub fn quantiles(random: &mut Random) -> Case {
    let narrow = random.chance(2);
    let values: Vec<(u64, u128)> = (0..random.below(9))
        .map(|_| {
            let weight = if narrow {
                u128::from(random.below(5))
            } else {
                random.stake()
            };
            (random.value(), weight)
        })
        .collect();
    let weighted: Vec<_> = values
        .iter()
        .map(|&(value, weight)| median::Weighted { value, weight })
        .collect();
    let found = median::quartiles(&weighted).map(|q| [q.low, q.median, q.high]);
    let shown = match found {
        Some(each) => each.map(|value| json!(value.to_string())),
        None => [Value::Null, Value::Null, Value::Null],
    };
    let values: Vec<_> = values
        .iter()
        .map(|(value, weight)| json!([value.to_string(), weight.to_string()]))
        .collect();
    Case {
        rule: "quantiles",
        input: json!({ "values": values }),
        expected: json!(shown),
    }
}

/// Verdicts at epochs that may jump, stand still or go back.
pub fn history(random: &mut Random, from: u64, count: u64) -> Vec<(u64, Verdict)> {
    let mut epoch = from;
    (0..count)
        .map(|_| {
            epoch = match random.below(12) {
                0 => epoch.saturating_sub(random.below(3)),
                1 => epoch.saturating_add(random.below(70)),
                _ => epoch.saturating_add(1),
            };
            let verdict = random.pick(&[
                Verdict::Breach,
                Verdict::Breach,
                Verdict::Pass,
                Verdict::Warned,
                Verdict::Inconclusive,
            ]);
            (epoch, verdict)
        })
        .collect()
}

pub fn history_json(history: &[(u64, Verdict)]) -> Value {
    let each = history.iter();
    each.map(|(epoch, verdict)| json!([epoch, verdict.name()]))
        .collect()
}

pub fn persistence(random: &mut Random) -> Case {
    let m = random.within(1, 4) as u32;
    let window = random.pick(&[m, m + 1, m + 3, 63, 64]);
    let rule = Rule {
        breaches: m,
        window,
        reaudit: random.chance(2),
    };
    let from = random.pick(&[0, 1, 1_000, u64::MAX - 40]);
    let verdicts = history(random, from, 40);
    let mut record = Record::default();
    let slashes: Vec<bool> = verdicts
        .iter()
        .map(|(epoch, verdict)| {
            let (next, slash) = record.observe(&rule, Epoch(*epoch), *verdict);
            record = next;
            slash
        })
        .collect();
    Case {
        rule: "persistence",
        input: json!({ "m": m, "n": window, "reaudit": rule.reaudit, "verdicts": history_json(&verdicts) }),
        expected: json!(slashes),
    }
}

/// Up to nine nodes of up to four owners; budgets around what they ask; sums that leave room, little, none or wrap.
pub fn rewards(random: &mut Random) -> Case {
    let wei = |random: &mut Random| match random.chance(30) {
        true => random.pick(&[u128::MAX, u128::MAX / 2, 1 << 127]),
        false => random.stake(),
    };
    let asked: Vec<(Address, u128)> = (0..random.below(10))
        .map(|_| (Address([random.below(4) as u8; 20]), wei(random)))
        .collect();
    let earned: BTreeMap<Address, u128> = (0..random.below(4))
        .map(|n| (Address([n as u8; 20]), wei(random).max(1)))
        .collect();
    let whole = asked
        .iter()
        .fold(0u128, |sum, (_, wei)| sum.saturating_add(*wei));
    let part = whole / 7 * u128::from(random.below(8));
    let near = [whole, whole.saturating_sub(1), whole.saturating_add(1)];
    let budget = random.pick(&[
        0,
        1,
        2,
        part,
        part,
        part,
        near[0],
        near[1],
        near[2],
        u128::MAX,
    ]);
    let sums = |sums: BTreeMap<Address, u128>| -> BTreeMap<String, String> {
        let show = |(owner, wei): (Address, u128)| (owner.to_string(), wei.to_string());
        sums.into_iter().map(show).collect()
    };
    let list: Vec<_> = asked
        .iter()
        .map(|(owner, wei)| json!([owner.to_string(), wei.to_string()]))
        .collect();
    let after = share_out(earned.clone(), &asked, budget).ok();
    Case {
        rule: "rewards",
        input: json!({ "earned": sums(earned), "asked": list, "budget": budget.to_string() }),
        expected: json!(after.map(sums)),
    }
}

pub fn tree(random: &mut Random) -> Case {
    let leaves: Vec<Keccak> = (0..random.below(20))
        .map(|_| Keccak(random.bytes()))
        .collect();
    let shown: Vec<_> = leaves.iter().map(ToString::to_string).collect();
    Case {
        rule: "tree",
        input: json!({ "leaves": shown }),
        expected: json!(OutcomeTree::new(leaves).root().to_string()),
    }
}

pub fn keccak(random: &mut Random) -> Case {
    let length = random.pick(&[0, 1, 31, 64, 134, 135, 136, 137, 271, 272, 273, 512]);
    let data: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    Case {
        rule: "keccak",
        input: json!({ "data": hex::encode(&data) }),
        expected: json!(keccak256(&data).to_string()),
    }
}
