//! Signed roots and the succession of committees, from the pinned one on.

use super::case::Case;
use super::files::Files;
use crate::findings::Findings;
use assay_aggregate::more_than_two_thirds;
use assay_aggregate::root::{Committee, EpochRoot, Member, recover};
use assay_aggregate::roster::Roster;
use assay_protocol::class::policy_digest;
use assay_protocol::ids::{Address, Epoch, HyperNodeId, Keccak};
use assay_protocol::layout::{self, SignedRoot};
use std::collections::{BTreeMap, BTreeSet};

/// A root signed by its committee.
pub struct CheckedRoot {
    /// What was signed.
    pub root: EpochRoot,
    /// Who had a say.
    pub roster: Roster,
}

impl CheckedRoot {
    /// Whether a HyperNode had a say in the epoch.
    pub fn has_say(&self, hypernode: &HyperNodeId) -> bool {
        let mut seats = self.roster.seats().iter();
        seats.any(|seat| seat.hypernode == *hypernode)
    }
}

/// Roots by epoch; an epoch whose root did not hold is missing.
pub type Roots = BTreeMap<Epoch, CheckedRoot>;

/// The HyperNodes of genesis, and whoever had a say in an epoch since.
pub fn everybody(case: &Case, roots: &Roots) -> BTreeSet<HyperNodeId> {
    let later = roots.values().flat_map(|root| root.roster.entries());
    let entries = case.params.roster.iter().chain(later);
    entries.map(|entry| entry.id).collect()
}

/// Checks the roots of all epochs that are not void.
pub fn check(findings: &mut Findings, files: &Files, case: &Case) -> Roots {
    let mut roots = Roots::new();
    for epoch in case.epochs() {
        let path = layout::root(epoch);
        let Some(signed) = files.record::<SignedRoot>(findings, "roots", &path) else {
            continue;
        };
        if let Some(root) = check_one(findings, case, epoch, &signed, &roots) {
            roots.insert(epoch, root);
        }
    }
    void(findings, case, &roots);
    roots
}

/// Nobody signs that an epoch was void. A later root must fit without it; with none after it, whoever made the bundle may
/// have cut off a verdict.
fn void(findings: &mut Findings, case: &Case, roots: &Roots) {
    let last = roots.keys().next_back();
    if last.is_none() {
        let expected = "at least one signed root";
        findings.undecided(("roots/signed", "bundle"), expected, "none");
    }
    let expected = "an epoch that ended void";
    for epoch in &case.claim.void {
        let about = format!("epoch {epoch}");
        let at = ("roots/void", about.as_str());
        if last.is_some_and(|last| last > epoch) {
            let actual = "only on the ledger; committees, beacons and sums must go on without it";
            findings.not_checked(at, expected, actual);
        } else {
            let actual = "no signed root after it: whether it was void only the ledger can say";
            findings.undecided(at, expected, actual);
        }
    }
}

/// The committee that must sign: the one the last signed root names, else the pinned one.
enum ExpectedCommittee {
    Known(Keccak),
    /// Why it is not known.
    Unknown(String),
}

fn expected_committee(case: &Case, epoch: Epoch, roots: &Roots) -> ExpectedCommittee {
    if let Some((_, last)) = roots.last_key_value() {
        return ExpectedCommittee::Known(last.root.next_committee);
    }
    match &case.pin {
        Some(pin) if pin.epoch == case.claim.first => ExpectedCommittee::Known(pin.hash),
        Some(pin) => ExpectedCommittee::Unknown(format!(
            "a committee pinned for epoch {}, while the bundle starts at epoch {}",
            pin.epoch, case.claim.first
        )),
        None => ExpectedCommittee::Unknown(format!("no pin that leads to epoch {epoch}")),
    }
}

fn check_one(
    findings: &mut Findings,
    case: &Case,
    epoch: Epoch,
    signed: &SignedRoot,
    roots: &Roots,
) -> Option<CheckedRoot> {
    let about = format!("epoch {epoch}");
    findings
        .equal(("roots/epoch", &about), epoch, signed.epoch)
        .then_some(())?;
    let policy = policy_digest(&case.params.classes, &signed.roster);
    findings.equal(("roots/policy", &about), policy, signed.policy_digest);
    rewards(findings, case, &about, signed, roots);
    let committee = committee(findings, &about, signed)?;
    rounds(findings, &about, signed, roots).then_some(())?;
    match expected_committee(case, epoch, roots) {
        ExpectedCommittee::Known(hash) if hash != committee.hash() && corrects(signed, roots) => {
            let actual = format!("{}, in round {}", committee.hash(), signed.round);
            let expected = format!("{hash}, or whom a root named that this one replaced or undid");
            findings.undecided(("roots/committee", &about), expected, actual);
        }
        ExpectedCommittee::Known(hash) => {
            findings
                .equal(("roots/committee", &about), hash, committee.hash())
                .then_some(())?;
        }
        ExpectedCommittee::Unknown(why) => {
            findings.undecided(
                ("roots/committee", &about),
                "a pinned or named committee",
                why,
            );
        }
    }
    let root = EpochRoot::of_record(case.network, signed, committee.hash());
    signatures(findings, case, &about, signed, &committee, &root)?;
    let roster = roster(findings, case, &about, signed)?;
    if !corrects(signed, roots) {
        signs_for_itself(findings, (epoch, &about), roots, &roster, &committee)?;
    }
    Some(CheckedRoot { root, roster })
}

/// Rounds never go back: a root of an earlier round than one before it was replaced or undone.
fn rounds(findings: &mut Findings, about: &str, signed: &SignedRoot, roots: &Roots) -> bool {
    let least = last_round(roots);
    let expected = format!("round {least} or later, as the root before");
    let holds = signed.round >= least;
    findings.holds(("roots/round", about), holds, expected, signed.round)
}

/// Whether a root may be a correction: signed, in a round of its own, by whom the last of the roots named that it replaced
/// or undid. Those are in no bundle; the contract has checked it.
fn corrects(signed: &SignedRoot, roots: &Roots) -> bool {
    signed.round > last_round(roots)
}

fn last_round(roots: &Roots) -> u32 {
    roots
        .last_key_value()
        .map_or(0, |(_, last)| last.root.round)
}

/// The sum of all providers' rewards rests on budgets and on other nodes' leaves, which a bundle of one node does not
/// hold. But it never shrinks, and the network's first root confirms owners and pays nobody yet.
fn rewards(findings: &mut Findings, case: &Case, about: &str, signed: &SignedRoot, roots: &Roots) {
    let at = ("roots/reward-sum", about);
    let expected = "the sum of all providers' reward leaves, within the ledger's budgets";
    let actual = format!("{}, as signed", signed.cumulative_reward);
    findings.not_checked(at, expected, actual);
    let at = ("roots/reward-growth", about);
    let is_first = !case.starts_late() && case.epochs().next() == Some(signed.epoch);
    match roots.last_key_value() {
        Some((_, last)) => {
            let least = last.root.cumulative_reward;
            let grew = signed.cumulative_reward >= least;
            let expected = format!("at least {least}, as in the root before");
            findings.holds(at, grew, expected, signed.cumulative_reward);
        }
        None if is_first => {
            findings.equal(at, 0, signed.cumulative_reward);
        }
        None => findings.not_checked(at, "at least the sum in the root before", "no root before"),
    }
}

/// The list must be in the order whose hash is pinned: ascending, each account once.
fn committee(findings: &mut Findings, about: &str, signed: &SignedRoot) -> Option<Committee> {
    let member = |(address, weight): &(Address, u128)| Member {
        address: *address,
        weight: *weight,
    };
    let members: Vec<Member> = signed.committee.iter().map(member).collect();
    let committee = Committee::new(members.clone());
    let committee = findings.value(
        ("roots/committee-list", about),
        "distinct members with weight",
        committee,
    )?;
    let ordered = committee.members() == members;
    findings.plain(
        ("roots/committee-order", about),
        ordered,
        "members ascending by account",
    );
    Some(committee)
}

/// Each signature stands at its member's place; together they are more than two thirds of the weight.
fn signatures(
    findings: &mut Findings,
    case: &Case,
    about: &str,
    signed: &SignedRoot,
    committee: &Committee,
    root: &EpochRoot,
) -> Option<()> {
    let (members, signatures) = (committee.members(), &signed.signatures);
    findings
        .equal(
            ("roots/signature-count", about),
            members.len(),
            signatures.len(),
        )
        .then_some(())?;
    let digest = root.digest(case.params.chain_id, &case.params.contract);
    let mut weight = 0u128;
    for (member, signature) in members
        .iter()
        .zip(signatures)
        .filter(|(_, blob)| !blob.0.is_empty())
    {
        let at = ("roots/signature", about);
        let good = match recover(&digest, &signature.0) {
            Ok(signer) => findings.equal(at, member.address, signer),
            Err(error) => findings.holds(at, false, member.address, error),
        };
        let own = committee.weight(&member.address).unwrap_or(0);
        weight = weight.saturating_add(if good { own } else { 0 });
    }
    let total = committee.total();
    let expected = format!("signatures by more than 2/3 of the weight {total}");
    findings
        .holds(
            ("roots/quorum", about),
            more_than_two_thirds(weight, total),
            expected,
            weight,
        )
        .then_some(())
}

/// Whose stake counted, in order, with the weights that votes and medians go by.
fn roster(
    findings: &mut Findings,
    case: &Case,
    about: &str,
    signed: &SignedRoot,
) -> Option<Roster> {
    let roster = Roster::of(&case.params, signed.roster.iter().cloned());
    let roster = findings.value(("roots/roster", about), "HyperNodes with stake", roster)?;
    let expected = "HyperNodes with stake, ascending, each once; at first those of genesis";
    let same = roster.entries() == signed.roster;
    // No change counts before the third epoch.
    let begins = signed.epoch < Epoch(2);
    let is_genesis = !begins || case.params.roster == signed.roster;
    findings
        .plain(("roots/stakes", about), same && is_genesis, expected)
        .then_some(roster)
}

/// Whose stake counts in an epoch signs its root, unless epochs before it were void: then whom the last root named. A
/// correction is signed by whom a root named that is no more.
fn signs_for_itself(
    findings: &mut Findings,
    (epoch, about): (Epoch, &str),
    roots: &Roots,
    roster: &Roster,
    committee: &Committee,
) -> Option<()> {
    let before = roots.last_key_value().map(|(last, _)| last.next());
    if epoch != before.unwrap_or(Epoch(0)) {
        return Some(());
    }
    let same = roster.committee().members() == committee.members();
    findings
        .plain(("roots/weights", about), same, "the capped stakes")
        .then_some(())
}
