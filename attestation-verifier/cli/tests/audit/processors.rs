//! Processors in leaves: what reports say of them leads to the leaf, and other nodes' are not in the bundle.
//!
//! The reports say them and no evidence does, which is contradicted on its own; here is asked what the verdict is.

use super::*;
use crate::network::PROVIDER;
use assay_aggregate::epoch::{Registration, Standing};
use assay_aggregate::verdict::{Verdict, reason};
use assay_protocol::ids::NodeId;

const MINE: Digest = Digest([0xc0; 32]);
const NEW: Digest = Digest([0xc1; 32]);
/// After every other in order.
const OTHER: NodeId = NodeId([0xff; 32]);

/// What the node and another one show in every epoch.
type Shown = fn(u64) -> [Option<Digest>; 2];

fn tell(shown: Shown) -> impl Fn(Part<'_>) {
    move |part| match part {
        Part::Report(_, epoch, report) => {
            let [own, others] = shown(epoch);
            let mut other = report.nodes[0].clone();
            report.nodes[0].attest.chips = own;
            (other.node, other.attest.chips) = (OTHER, others);
            report.nodes.push(other);
        }
        Part::Registrations(_, all) => all.push(Registration {
            node: OTHER,
            provider: PROVIDER,
            class: all[0].class,
            standing: Standing::Waiting,
        }),
        _ => (),
    }
}

/// Checks of the verdict that do not pass, and the last epoch's.
fn judged(lie: Lie<'_>) -> (Vec<(String, Outcome)>, &'static str, Vec<&'static str>) {
    let audit = audited(&story(&Cast::new(Behaviour::Honest, 2), lie));
    let open = audit.checks.iter();
    let open = open.filter(|c| c.name.starts_with("verdict/") && c.outcome != Outcome::Pass);
    let open = open
        .map(|check| (check.name.clone(), check.outcome))
        .collect();
    let last = audit.verdicts.last().unwrap();
    (open, last.verdict, last.reasons.clone())
}

#[test]
fn processors_that_reports_name_lead_to_the_leaf() {
    let first = judged(&tell(|_| [Some(MINE), None]));
    assert_eq!(first, (vec![], "pass", vec![]));
    let later = judged(&tell(|epoch| [(epoch == 1).then_some(MINE), None]));
    assert_eq!(later, (vec![], "pass", vec![]));
    let kept = judged(&tell(|epoch| [(epoch == 0).then_some(MINE), None]));
    assert_eq!(kept, (vec![], "pass", vec![]));
    let other = judged(&tell(|epoch| [Some([MINE, NEW][epoch as usize]), None]));
    assert_eq!(other, (vec![], "warned", vec!["identity"]));
}

#[test]
fn that_another_node_has_the_processors_takes_that_node_s_leaves_to_know() {
    let taken = judged(&tell(|epoch| [(epoch == 1).then_some(MINE), Some(MINE)]));
    let open = vec![("verdict/registration".into(), Outcome::Undecided)];
    assert_eq!(taken, (open.clone(), "warned", vec!["identity"]));
    // Those that it does not show go to who does.
    let lost = judged(&tell(|epoch| match epoch {
        0 => [Some(MINE), None],
        _ => [None, Some(MINE)],
    }));
    assert_eq!(lost, (open, "pass", vec![]));
}

#[test]
fn a_leaf_that_does_not_follow_from_what_the_node_shows_is_contradicted() {
    let lying = |shown: Shown, change: fn(&mut assay_aggregate::root::NodeLeaf)| {
        let tell = tell(shown);
        let lie = move |part: Part<'_>| match part {
            Part::Leaf(1, leaf) => change(leaf),
            other => tell(other),
        };
        judged(&lie).0
    };
    let shows: Shown = |_| [Some(MINE), None];
    let failed = |name: &str| vec![(name.into(), Outcome::Fail)];
    assert_eq!(
        lying(shows, |leaf| leaf.chips = NEW),
        failed("verdict/chips")
    );
    // Said to be another node's, which costs the owner its reward, while the leaf before has it bound to them.
    let warned = lying(shows, |leaf| {
        (leaf.verdict, leaf.reasons) = (Verdict::Warned as u8, reason::IDENTITY);
    });
    assert!(warned.contains(&("verdict/reasons".into(), Outcome::Fail)));
    // Bound to what nobody showed.
    let nothing: Shown = |_| [None, None];
    assert_eq!(
        lying(nothing, |leaf| leaf.chips = MINE),
        failed("verdict/chips")
    );
}

/// Checks of the verdict that fail in the bundle of epochs 1 to 3. Epoch 2 has no beacon in it; the third one has, and the
/// leaf before it, and not all breaches.
fn failed_late(cast: &Cast, lie: Lie<'_>) -> Vec<String> {
    let mut told = story(cast, lie);
    told.payload
        .retain(|path, _| !path.starts_with("epochs/0/"));
    let mut claim = Claim::decode("claim", 4096, &told.payload[layout::CLAIM]).unwrap();
    claim.first = Epoch(1);
    told.payload.insert(layout::CLAIM.into(), claim.encode());
    // Nobody joined or left.
    told.trust.committee.epoch = Epoch(1);
    let audit = audited(&told);
    let verdicts = || {
        audit
            .checks
            .iter()
            .filter(|c| c.name.starts_with("verdict/"))
    };
    let mut of_third = verdicts().filter(|check| check.about == "epoch 3");
    assert!(
        of_third.any(|check| check.name == "verdict/tier"),
        "{}",
        not_passed(&audit)
    );
    let fails = verdicts().filter(|check| check.outcome == Outcome::Fail);
    fails.map(|check| check.name.clone()).collect()
}

#[test]
fn a_bundle_that_starts_late_has_the_processors_of_the_leaf_before() {
    let cast = Cast::under(Behaviour::Honest, 4, |params| params.persistence = (2, 3));
    let none: [&str; 0] = [];
    for shown in [
        (|_| [Some(MINE), None]) as Shown,
        |epoch| [Some([MINE, MINE, NEW, NEW][epoch as usize]), None],
        |epoch| [Some([MINE, MINE, MINE, NEW][epoch as usize]), None],
        |epoch| [(epoch == 0).then_some(MINE), None],
        |epoch| [(epoch == 2).then_some(MINE), Some(MINE)],
    ] {
        assert_eq!(failed_late(&cast, &tell(shown)), none);
    }
    let lying = |shown: Shown, change: fn(&mut assay_aggregate::root::NodeLeaf)| {
        let tell = tell(shown);
        let lie = move |part: Part<'_>| match part {
            Part::Leaf(3, leaf) => change(leaf),
            other => tell(other),
        };
        failed_late(&cast, &lie)
    };
    let quiet: Shown = |epoch| [(epoch < 3).then_some(MINE), None];
    assert_eq!(lying(quiet, |leaf| leaf.chips = NEW), ["verdict/chips"]);
    let warned = lying(
        |_| [Some(MINE), None],
        |leaf| {
            (leaf.verdict, leaf.reasons) = (Verdict::Warned as u8, reason::IDENTITY);
        },
    );
    assert!(warned.contains(&"verdict/reasons".into()), "{warned:?}");
}

/// The breach of epoch 2 waits, which a bundle that starts there cannot know of all breaches.
#[test]
fn a_bundle_that_starts_late_does_not_contradict_that_a_node_stays_with_its_owner() {
    let mut cast = Cast::under(Behaviour::Silent, 4, |params| params.persistence = (2, 3));
    cast.silent_in = 2;
    let buyer = Address([7; 20]);
    let offered = |part: Part<'_>| match part {
        Part::Report(_, 3, report) => report.nodes[0].attest.owner = Some(buyer),
        Part::Registrations(3, all) => {
            all[0].standing = Standing::Owner;
            all.push(Registration {
                provider: buyer,
                standing: Standing::Offered,
                ..all[0]
            });
        }
        _ => (),
    };
    let none: [&str; 0] = [];
    assert_eq!(failed_late(&cast, &offered), none);
}
