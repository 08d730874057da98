//! What reports and outcomes say of themselves, and their proofs.

use super::*;

#[test]
fn lies_in_reports_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let on_panel = |cells: &Blob| cells.0.iter().position(|cell| *cell == 1).unwrap();
    contradicted(
        &cast,
        "log/report-order",
        &report(|r| {
            let again = r.nodes[0].clone();
            r.nodes.push(again);
        }),
    );
    contradicted(
        &cast,
        "report/cells",
        &report(|r| {
            let cells = &mut r.nodes[0].cells;
            let at = on_panel(cells);
            cells.0[at] = 2;
        }),
    );
    contradicted(
        &cast,
        "report/attest",
        &report(|r| r.nodes[0].attest.owner = Some(Address([9; 20]))),
    );
    contradicted(
        &cast,
        "report/attest",
        &report(|r| r.nodes[0].attest.tier = 0),
    );
    contradicted(
        &cast,
        "report/chase",
        &report(|r| r.nodes[0].chase.reads_per_s += 1),
    );
    contradicted(&cast, "inputs/seed", &report(|r| r.seed = Seed([1; 32])));
    contradicted(&cast, "inputs/epoch", &report(|r| r.epoch = Epoch(0)));
    contradicted(
        &cast,
        "inputs/network",
        &report(|r| r.network = NetworkId([1; 32])),
    );
    contradicted(
        &cast,
        "log/checkpoint-root",
        &report(|r| r.log_root = Digest([1; 32])),
    );
    contradicted(&cast, "log/checkpoint-size", &report(|r| r.log_size += 1));
    contradicted(
        &cast,
        "log/report-outcome-root",
        &report(|r| r.nodes[0].outcome_root = Digest([1; 32])),
    );
    contradicted(
        &cast,
        "log/report-outcome-count",
        &report(|r| r.nodes[0].outcomes += 1),
    );
    contradicted(
        &cast,
        "log/class",
        &report(|r| r.nodes[0].class = Digest([1; 32])),
    );
}

#[test]
fn lies_about_what_an_outcome_speaks_of_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let lies: [Told<Signed>; 9] = [
        ("log/outcome-signature", |o| o.schema = 2),
        ("log/outcome-network", |o| o.network = NetworkId([1; 32])),
        ("log/outcome-node", |o| o.node = NodeId([1; 32])),
        ("log/outcome-hypernode", |o| {
            o.hypernode = HyperNodeId([1; 32])
        }),
        ("log/outcome-class", |o| o.policy = Digest([1; 32])),
        ("log/outcome-epoch", |o| o.place.0 = Epoch(0)),
        ("log/outcome-slot-number", |o| o.place.1 = Slot(8)),
        ("log/outcome-window", |o| o.window.1 = UnixMs(0)),
        ("chase/class", |o| o.kind = OutcomeKind::Chase),
    ];
    for (name, change) in lies {
        contradicted(
            &cast,
            name,
            &outcome(OutcomeKind::Probe, move |_, draft| {
                change(&mut draft.outcome)
            }),
        );
    }
}

#[test]
fn lies_in_proofs_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let path = layout::proofs(Epoch(1), &cast.hypernodes[0].id());
    let lies: [Told<Proofs>; 10] = [
        ("log/node-leaf", |p| p.node_leaf.0[0] ^= 1),
        ("log/node-leaf-covers-outcomes", |p| p.node_leaf.0[60] ^= 1),
        ("log/node-leaf-covers-outcomes", |p| {
            p.node_leaf = p.slots[0].leaf.clone()
        }),
        ("log/node-leaf-in-log", |p| p.path[0].0[0] ^= 1),
        ("log/slot-leaf", |p| p.slots[0].leaf = p.node_leaf.clone()),
        ("log/slot-leaf-in-log", |p| p.slots[0].index += 1),
        ("log/slot-leaf-once", |p| p.slots.push(p.slots[0].clone())),
        ("log/outcome-slot", |p| p.places[0].slot = Slot(9)),
        ("log/outcome-in-slot", |p| p.places[0].salt = [1; 32]),
        ("log/outcome-in-slot", |p| p.places[0].position += 1),
    ];
    for (name, change) in lies {
        contradicted(
            &cast,
            name,
            &payload(|files| {
                let mut proofs = Proofs::decode("proofs", 1 << 20, &files[&path]).unwrap();
                change(&mut proofs);
                files.insert(path.clone(), proofs.encode());
            }),
        );
    }
    // The last outcome, and every word of it, left out of the bundle.
    contradicted(
        &cast,
        "log/node-leaf-covers-outcomes",
        &payload(|files| {
            let mut proofs = Proofs::decode("proofs", 1 << 20, &files[&path]).unwrap();
            proofs.places.pop();
            let last = layout::outcome(
                Epoch(1),
                &cast.hypernodes[0].id(),
                proofs.places.len() as u32,
            );
            files.remove(&last).unwrap();
            files.insert(path.clone(), proofs.encode());
        }),
    );
}

#[test]
fn an_outcome_or_checkpoint_of_another_hypernode_is_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let ids = [cast.hypernodes[0].id(), cast.hypernodes[1].id()];
    let swapped = |paths: [String; 2]| {
        payload(move |files| {
            let other = files[&paths[1]].clone();
            files.insert(paths[0].clone(), other);
        })
    };
    let name = "log/checkpoint";
    contradicted(
        &cast,
        name,
        &swapped(ids.map(|id| layout::checkpoint(Epoch(1), &id))),
    );
    let name = "inputs/signature";
    contradicted(
        &cast,
        name,
        &swapped(ids.map(|id| layout::report(Epoch(1), &id))),
    );
    let name = "log/outcome-in-slot";
    contradicted(
        &cast,
        name,
        &swapped(ids.map(|id| layout::outcome(Epoch(1), &id, 0))),
    );
}
