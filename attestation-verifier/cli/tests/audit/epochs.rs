//! Roots, their leaves and signatures, and epochs without one.

use super::*;
use crate::network::PROVIDER;
use assay_aggregate::epoch::{Registration, Standing};

#[test]
fn a_void_epoch_counts_only_before_a_signed_root() {
    let mut void = Cast::new(Behaviour::Honest, 4);
    void.void = Some(1);
    let audit = reproduced(&void, &honest);
    assert_eq!(audit.verdicts.len(), 3);
    void.void = Some(3);
    undecided(&void, "roots/void", &honest);
    let claimed = |from: u64| {
        payload(move |files| {
            let mut claim = Claim::decode("claim", 4096, &files[layout::CLAIM]).unwrap();
            claim.void = (from..=claim.last.0).map(Epoch).collect();
            for epoch in &claim.void {
                files.retain(|path, _| !path.starts_with(&format!("epochs/{epoch}/")));
            }
            files.insert(layout::CLAIM.into(), claim.encode());
        })
    };
    // The breach at the end called void; then everything.
    let silent = Cast::new(Behaviour::Silent, 2);
    undecided(&silent, "roots/void", &claimed(1));
    undecided(&silent, "roots/void", &claimed(0));
    undecided(&silent, "roots/signed", &claimed(0));
}

#[test]
fn what_rests_on_an_epoch_that_is_not_in_the_bundle_is_undecided() {
    let cast = |lost| {
        let mut cast = Cast::new(Behaviour::Honest, 4);
        cast.lost = lost;
        cast
    };
    let lost = |epoch| cast(Some((0, epoch)));
    undecided(&lost(0), "attestation/enrolled", &honest);
    undecided(&lost(0), "probes/answer", &honest);
    undecided(&lost(0), "chase/after-fill", &honest);
    undecided(&lost(2), "chase/after-fill", &honest);
    // Nothing rests on the last epoch of a period when everything was bound again since.
    reproduced(&lost(1), &honest);
    // The binding an answer rests on.
    let unbound = |part: Part<'_>| {
        if let Part::Drafts(0, 3, _, drafts) = part {
            drafts.retain(|draft| draft.outcome.kind != OutcomeKind::Attest);
        }
    };
    undecided(&lost(2), "probes/answer", &unbound);
    reproduced(&cast(None), &unbound);
    // The attestation key, enrolled anew.
    let truth = lost(1);
    let mut anew = Cast::new(Behaviour::Honest, 4);
    anew.tpm.node = truth.tpm.node;
    let other_key = outcome_in(2, OutcomeKind::Attest, |cast, draft| {
        let evidence = anew.evidence(&draft.outcome, 9_000, &cast.session);
        raw(draft, evidence, media::EVIDENCE);
    });
    undecided(&truth, "attestation/class", &other_key);
    // The hash of a key, logged an epoch before its fill.
    let apart = |part: Part<'_>| {
        if let Part::Drafts(0, 3, cast, drafts) = part {
            let id = RegionId {
                region: 0,
                generation: 1,
            };
            let [_, fill] = cast.fill(0, 3, id);
            drafts.insert(1, fill);
        }
    };
    undecided(&lost(2), "chase/receipt-key", &apart);
    reproduced(&cast(None), &apart);
    // Other lies remain lies: before the gap, and after it where nothing rests on it.
    let foreign = |epoch| {
        outcome_in(epoch, OutcomeKind::Probe, |cast, draft| {
            let answer = cast.probe_answer(&draft.outcome, &Key::new(77));
            raw(draft, answer, media::PROBE_ANSWER);
        })
    };
    contradicted(&lost(2), "probes/answer", &foreign(1));
    contradicted(&lost(1), "probes/answer", &foreign(3));
    undecided(&lost(2), "probes/answer", &foreign(3));
}

#[test]
fn lies_in_roots_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let root = |change: fn(&mut assay_aggregate::root::EpochRoot)| {
        move |part: Part<'_>| {
            if let Part::Root(0, root) = part {
                change(root);
            }
        }
    };
    contradicted(
        &cast,
        "roots/committee",
        &root(|r| r.next_committee = Keccak([1; 32])),
    );
    contradicted(
        &cast,
        "roots/policy",
        &root(|r| r.policy_digest = Digest([1; 32])),
    );
    contradicted(
        &cast,
        "inputs/evidence-root",
        &root(|r| r.evidence_root = Digest([1; 32])),
    );
    contradicted(
        &cast,
        "inputs/set",
        &root(|r| r.input_set = Digest([1; 32])),
    );
    contradicted(&cast, "roots/epoch", &root(|r| r.epoch = Epoch(1)));
    contradicted(
        &cast,
        "verdict/leaf-in-root",
        &root(|r| r.root = Keccak([1; 32])),
    );
}

/// A root of a later round by other signers can be a correction, which the ledger knows and the bundle does not; never a proof.
#[test]
fn roots_of_later_rounds_go_on_and_earlier_rounds_are_named() {
    let cast = Cast::new(Behaviour::Honest, 4);
    let rounds = |rounds: [u32; 4]| {
        move |part: Part<'_>| {
            if let Part::Root(epoch, root) = part {
                root.round = rounds[epoch as usize];
            }
        }
    };
    reproduced(&cast, &rounds([0, 1, 1, 3]));
    contradicted(&cast, "roots/round", &rounds([0, 1, 0, 1]));
    contradicted(&cast, "roots/round", &rounds([2, 1, 1, 1]));
    let by_others = |round| {
        move |part: Part<'_>| match part {
            Part::Root(1, root) => root.next_committee = Keccak([1; 32]),
            Part::Root(epoch, root) if epoch > 1 => root.round = round,
            _ => (),
        }
    };
    contradicted(&cast, "roots/committee", &by_others(0));
    undecided(&cast, "roots/committee", &by_others(1));
}

#[test]
fn rewards_that_shrink_or_come_before_any_owner_is_confirmed_are_named() {
    let cast = Cast::new(Behaviour::Honest, 4);
    let said = |epoch: u64, wei: u128| {
        move |part: Part<'_>| match part {
            Part::Root(at, root) if at == epoch => root.cumulative_reward = wei,
            _ => (),
        }
    };
    contradicted(&cast, "roots/reward-growth", &said(0, 1));
    contradicted(&cast, "roots/reward-growth", &said(2, 1));
    // More than this node's rewards nobody can refute by its bundle, and that is said.
    let audit = reproduced(&cast, &said(3, u128::MAX));
    let mut sums = audit.checks.iter().filter(|c| c.name == "roots/reward-sum");
    assert!(sums.all(|check| check.outcome == Outcome::NotChecked));
    let shown = not_passed(&audit);
    assert!(
        shown.contains(&format!("{}, as signed", u128::MAX)),
        "{shown}"
    );
}

#[test]
fn a_providers_leaf_is_no_nodes_leaf() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let path = layout::leaf(Epoch(1));
    contradicted(
        &cast,
        "verdict/leaf-form",
        &payload(|files| {
            let mut proven = ProvenLeaf::decode("leaf", 4096, &files[&path]).unwrap();
            proven.abi.0.truncate(4 * 32);
            proven.abi.0[31] = 3;
            files.insert(path.clone(), proven.encode());
        }),
    );
}

/// The third HyperNode's stake counts no more from an epoch on.
fn with_a_leaver(epochs: u64, from: u64) -> Cast {
    let mut cast = Cast::new(Behaviour::Honest, epochs);
    cast.left = Some((2, from));
    cast
}

#[test]
fn the_verdicts_of_a_network_that_a_hypernode_leaves_are_reproduced() {
    // With the end of a period, and in its middle, where the last report has to reveal the key.
    for from in [2, 3] {
        let audit = reproduced(&with_a_leaver(4, from), &honest);
        assert_eq!(audit.verdicts.len(), 4);
    }
}

#[test]
fn the_verdicts_of_a_network_that_a_hypernode_joins_are_reproduced() {
    // With a period, and in its middle.
    for from in [2, 3] {
        let cast = Cast::with_a_newcomer(Behaviour::Honest, 4, from);
        let audit = reproduced(&cast, &honest);
        assert_eq!(audit.verdicts.len(), 4);
    }
}

#[test]
fn a_newcomer_s_part_is_judged_as_everybody_s() {
    let cast = Cast::with_a_newcomer(Behaviour::Honest, 3, 2);
    let report = |change: fn(&mut assay_protocol::report::Report)| {
        move |part: Part<'_>| {
            if let Part::Report(3, 2, report) = part {
                change(report);
            }
        }
    };
    contradicted(
        &cast,
        "inputs/seed",
        &report(|report| report.seed.0[0] ^= 1),
    );
    let before = |change: fn(&mut SignedRoot)| root_of(1, change);
    let lie = before(|root| root.roster.push(root.roster[0].clone()));
    contradicted(&cast, "roots/stakes", &lie);
    // A stranger's seed, account and operator come with it, or not at all.
    let mut swapped = Cast::with_a_newcomer(Behaviour::Honest, 3, 2);
    swapped.registered[3].seed_end.0[0] ^= 1;
    contradicted(&swapped, "inputs/seed", &honest);
}

#[test]
fn a_leaver_whose_last_epoch_was_void_signs_the_next_root_and_leaves_its_chases_undecided() {
    let mut cast = with_a_leaver(4, 3);
    cast.void = Some(2);
    undecided(&cast, "chase/key-revealed", &honest);
}

/// The root of an epoch changed in the bundle, its signatures left as they are.
fn root_of(epoch: u64, change: fn(&mut SignedRoot)) -> impl Fn(Part<'_>) {
    let path = layout::root(Epoch(epoch));
    payload(move |files| {
        let mut root = SignedRoot::decode("root", 1 << 20, &files[&path]).unwrap();
        change(&mut root);
        files.insert(path.clone(), root.encode());
    })
}

#[test]
fn stakes_that_are_not_the_signed_ones_are_named() {
    let cast = with_a_leaver(3, 2);
    let lies: [Told<SignedRoot>; 8] = [
        ("roots/policy", |root| root.roster[0].stake.0 += 1),
        ("roots/policy", |root| root.roster[0].operator.0[0] ^= 1),
        ("roots/policy", |root| root.roster[0].ledger.0[0] ^= 1),
        ("roots/policy", |root| root.roster[0].seed_end.0[0] ^= 1),
        // Whoever is left out had a say.
        ("roots/weights", |root| root.roster.truncate(2)),
        ("roots/stakes", |root| root.roster.swap(0, 1)),
        ("roots/weights", |root| {
            let mut stranger = root.roster[0].clone();
            (stranger.id, stranger.ledger) = (HyperNodeId([0xff; 32]), Address([0xff; 20]));
            root.roster.push(stranger);
        }),
        ("roots/roster", |root| root.roster.clear()),
    ];
    for (name, change) in lies {
        contradicted(&cast, name, &root_of(2, change));
    }
}

#[test]
fn stakes_of_the_first_epochs_are_those_of_genesis_even_when_they_were_void() {
    let mut cast = Cast::new(Behaviour::Honest, 3);
    cast.void = Some(0);
    let lie = root_of(1, |root| root.roster[0].stake.0 += 1);
    contradicted(&cast, "roots/stakes", &lie);
}

#[test]
fn a_committee_in_another_order_or_off_the_roster_is_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let lies: [Told<SignedRoot>; 4] = [
        // Less than the hash of the committee can see.
        ("roots/weights", |root| root.committee[0].1 += 1),
        ("roots/committee-order", |root| root.committee.swap(0, 1)),
        ("roots/committee-list", |root| {
            root.committee[1] = root.committee[0]
        }),
        ("roots/committee", |root| {
            root.committee[0].0 = Address([0; 20])
        }),
    ];
    for (name, change) in lies {
        contradicted(&cast, name, &root_of(0, change));
    }
}

#[test]
fn lies_in_leaves_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let leaf = |change: fn(&mut assay_aggregate::root::NodeLeaf)| {
        move |part: Part<'_>| {
            if let Part::Leaf(1, leaf) = part {
                change(leaf);
            }
        }
    };
    contradicted(
        &cast,
        "verdict/cumulative_up_slots",
        &leaf(|l| l.cumulative_up_slots += 1),
    );
    contradicted(
        &cast,
        "verdict/cumulative_down_slots",
        &leaf(|l| l.cumulative_down_slots = 1),
    );
    contradicted(&cast, "verdict/chips", &leaf(|l| l.chips = Digest([1; 32])));
    contradicted(
        &cast,
        "verdict/cumulative_slash",
        &leaf(|l| l.cumulative_slash = 1),
    );
    contradicted(&cast, "verdict/tier", &leaf(|l| l.tier = 2));
    contradicted(&cast, "verdict/verdict", &leaf(|l| l.verdict = 3));
    contradicted(
        &cast,
        "verdict/lower_ppm",
        &leaf(|l| l.lower = Ppm(1_000_000)),
    );
    contradicted(
        &cast,
        "verdict/owner",
        &leaf(|l| l.owner = Address([9; 20])),
    );
}

/// The node's registrations in epoch 1, as they are made of the one it has.
fn registered(change: fn(Registration) -> Vec<Registration>) -> impl Fn(Part<'_>) {
    move |part| {
        if let Part::Registrations(1, all) = part {
            *all = change(all[0]);
        }
    }
}

#[test]
fn whose_a_node_is_follows_from_reports_and_leaves_or_takes_the_ledger() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let as_owner = registered(|r| {
        vec![Registration {
            standing: Standing::Owner,
            ..r
        }]
    });
    reproduced(&cast, &as_owner);
    // Nobody names who took the offer.
    let offered = registered(|r| {
        let (owner, provider) = (Standing::Owner, BUYER);
        let taker = Registration {
            provider,
            standing: Standing::Offered,
            ..r
        };
        vec![
            Registration {
                standing: owner,
                ..r
            },
            taker,
        ]
    });
    reproduced(&cast, &offered);
    let untold: [fn(Registration) -> Vec<Registration>; 4] = [
        |_| vec![],
        |r| {
            vec![Registration {
                standing: Standing::Leaving,
                ..r
            }]
        },
        |r| {
            let (provider, standing) = (BUYER, Standing::Owner);
            vec![Registration {
                provider,
                standing,
                ..r
            }]
        },
        |r| {
            let (provider, standing) = (BUYER, Standing::Waiting);
            vec![Registration {
                provider,
                standing,
                ..r
            }]
        },
    ];
    for change in untold {
        undecided(&cast, "verdict/registration", &registered(change));
    }
}

const BUYER: Address = Address([9; 20]);

/// From this epoch on the node is offered to another, whom all reports name. (Their evidence names the seller, which is
/// contradicted elsewhere: leaves follow from the reports.)
fn sold(from: u64) -> impl Fn(Part<'_>) {
    sold_as_told(from, |_| true)
}

/// The same, as these HyperNodes tell it; the others name the seller.
fn sold_as_told(from: u64, named_by: impl Fn(&HyperNodeId) -> bool) -> impl Fn(Part<'_>) {
    move |part| match part {
        Part::Registrations(epoch, all) if epoch >= from => {
            let standing = Standing::Owner;
            let owner = Registration { standing, ..all[0] };
            let (provider, standing) = (BUYER, Standing::Offered);
            *all = vec![
                owner,
                Registration {
                    provider,
                    standing,
                    ..owner
                },
            ];
        }
        Part::Report(_, epoch, report) if epoch >= from && named_by(&report.hypernode) => {
            for node in &mut report.nodes {
                node.attest.owner = Some(BUYER);
            }
        }
        _ => (),
    }
}

#[test]
fn a_hand_over_is_reproduced_when_nothing_waits_and_no_sooner() {
    let owners = |cast: &Cast, lie: Lie<'_>| -> Vec<(Address, &str)> {
        let audit = audited(&story(cast, lie));
        let verdicts = audit.verdicts.iter();
        assert!(verdicts.clone().all(|verdict| verdict.reproduced));
        verdicts.map(|v| (v.owner, v.verdict)).collect()
    };
    let (seller, buyer) = (PROVIDER, BUYER);
    let honest = Cast::new(Behaviour::Honest, 4);
    let then = [
        (seller, "pass"),
        (seller, "pass"),
        (buyer, "pass"),
        (buyer, "pass"),
    ];
    assert_eq!(owners(&honest, &sold(2)), then);
    // The breach of epoch 1 waits for another one until epoch 3 is over.
    let waiting = silent(|params| params.persistence = (2, 3));
    let then = [
        (seller, "pass"),
        (seller, "breach"),
        (seller, "pass"),
        (seller, "pass"),
    ];
    assert_eq!(owners(&waiting, &sold(2)), then);
    // More than two thirds are two of four, and the others name the seller.
    let heavy = |behaviour| {
        let mut cast = Cast::under(behaviour, 4, |params| {
            params.persistence = (2, 3);
            for (entry, stake) in params.roster.iter_mut().zip([45, 45, 5, 5]) {
                entry.stake = Stake(stake * 1_000_000_000_000_000_000);
            }
        });
        cast.registered.clone_from(&cast.params.roster);
        cast
    };
    let owner_in_the_end = |cast: &Cast| {
        let first = [0, 1].map(|at| cast.params.roster[at].id);
        let told = sold_as_told(2, move |id| first.contains(id));
        owners(cast, &told)[3]
    };
    let handed_over = owner_in_the_end(&heavy(Behaviour::Honest));
    assert_eq!(handed_over, (buyer, "pass"));
    assert_eq!(
        owner_in_the_end(&heavy(Behaviour::Silent)),
        (seller, "pass")
    );
}

/// Its registration had ended, says the ledger, and the buyer's was there, whom the machine names: so the breach of epoch 1
/// costs nobody. Signers who spare a seller say the same.
#[test]
fn that_an_owner_lost_its_node_to_whom_the_machine_names_takes_the_ledger_to_know() {
    let lost = |part: Part<'_>| match part {
        Part::Registrations(epoch, all) if epoch >= 1 => {
            (all[0].provider, all[0].standing) = (BUYER, Standing::Waiting);
        }
        other => sold(1)(other),
    };
    let audit = audited(&story(&silent(|_| {}), &lost));
    let verdicts = audit.verdicts.iter();
    let found: Vec<_> = verdicts.map(|v| (v.owner, v.reproduced)).collect();
    let buyer = (BUYER, true);
    assert_eq!(found, [(PROVIDER, true), (BUYER, false), buyer, buyer]);
    assert_eq!(audit.verdicts[1].cumulative_slash, "0");
    let mut checks = audit.checks.iter();
    let untold = checks.find(|check| check.name == "verdict/registration");
    assert_eq!(untold.unwrap().outcome, Outcome::Undecided);
}

/// What happened before its root confirmed an owner is nobody's to pay for.
#[test]
fn breaches_count_from_the_confirmation_on() {
    let patient = Cast::under(Behaviour::Rogue, 4, |params| params.persistence = (2, 3));
    let audit = reproduced(&patient, &honest);
    let slashed = audit.verdicts.iter().map(|v| v.cumulative_slash != "0");
    assert_eq!(slashed.collect::<Vec<_>>(), [false, false, true, true]);
    let known_before = |part: Part<'_>| {
        if let Part::Registrations(0, all) = part {
            all[0].standing = Standing::Owner;
        }
    };
    let rogue = Cast::new(Behaviour::Rogue, 2);
    contradicted(&rogue, "verdict/cumulative_slash", &known_before);
}

#[test]
fn too_few_or_foreign_signatures_are_named() {
    let cast = Cast::new(Behaviour::Honest, 2);
    let signatures = |change: fn(&mut Vec<Blob>)| {
        move |part: Part<'_>| {
            if let Part::Signatures(0, signatures) = part {
                change(signatures);
            }
        }
    };
    contradicted(
        &cast,
        "roots/quorum",
        &signatures(|s| s.iter_mut().take(3).for_each(|s| s.0.clear())),
    );
    contradicted(&cast, "roots/signature", &signatures(|s| s.swap(0, 1)));
    contradicted(
        &cast,
        "roots/signature-count",
        &signatures(|s| drop(s.pop())),
    );
}

#[test]
fn a_paid_epoch_called_void_is_named() {
    // A paid epoch called void: the sums no longer add up.
    let four = Cast::new(Behaviour::Honest, 4);
    contradicted(
        &four,
        "verdict/cumulative_up_slots",
        &payload(|files| {
            let mut claim = Claim::decode("claim", 4096, &files[layout::CLAIM]).unwrap();
            claim.void = vec![Epoch(1)];
            files.insert(layout::CLAIM.into(), claim.encode());
            files.retain(|path, _| !path.starts_with("epochs/1/"));
        }),
    );
}

/// A node that is silent in epoch 1 of a network with this persistence and re-audit.
fn silent(change: fn(&mut NetworkParams)) -> Cast {
    Cast::under(Behaviour::Silent, 4, change)
}

#[test]
fn a_breach_that_is_not_yet_a_slash_is_reproduced_and_a_slash_for_it_contradicted() {
    let patient: [fn(&mut NetworkParams); 2] = [
        |params| params.persistence = (2, 3),
        |params| params.reaudit_seats = 4,
    ];
    for change in patient {
        let cast = silent(change);
        let audit = reproduced(&cast, &honest);
        let breach = &audit.verdicts[1];
        assert_eq!(
            (breach.verdict, breach.cumulative_slash.as_str()),
            ("breach", "0")
        );
        let slashed = |part: Part<'_>| {
            if let Part::Leaf(1, leaf) = part {
                leaf.cumulative_slash = 1;
            }
        };
        contradicted(&cast, "verdict/cumulative_slash", &slashed);
    }
    assert_ne!(
        reproduced(&silent(|_| {}), &honest).verdicts[1].cumulative_slash,
        "0"
    );
}

#[test]
fn sums_rest_on_every_epoch_before_unless_each_breach_is_slashed_by_itself() {
    let gap = payload(|files| drop(files.remove(&layout::leaf(Epoch(0)))));
    let ending = |change| {
        let audit = audited(&story(&silent(change), &gap));
        let sums = |epoch: &str| {
            let mut checks = audit.checks.iter();
            let check = checks.find(|c| c.name == "verdict/cumulative_slash" && c.about == epoch);
            check.unwrap().outcome
        };
        assert_ne!(
            audit.result,
            Conclusion::Contradicted,
            "{}",
            not_passed(&audit)
        );
        [sums("epoch 1"), sums("epoch 2"), sums("epoch 3")]
    };
    let (open, pass) = (Outcome::Undecided, Outcome::Pass);
    assert_eq!(ending(|_| {}), [open, pass, pass]);
    assert_eq!(ending(|params| params.persistence = (2, 3)), [open; 3]);
}
