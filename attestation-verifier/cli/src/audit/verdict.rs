//! From checked outcomes to reports, and from reports to the node's leaf: both recomputed.

use super::attestation::Attestations;
use super::case::Case;
use super::files::Files;
use super::grounds::{Ground, Told, grounds};
use super::inputs::{Agreed, InputSets};
use super::leaf::{Leaf, SUMS, WORDS};
use super::log::{EpochRecord, Histories};
use super::roots::{CheckedRoot, Roots};
use super::schedule::{Duty, Schedule};
use crate::findings::{Findings, Outcome};
use assay_aggregate::epoch::{Aggregator, EpochError, EpochInput, NodeState, RootHead, States};
use assay_aggregate::persistence::Rule;
use assay_aggregate::root::{NodeLeaf, leaf_hash, verify_proof};
use assay_aggregate::rules;
use assay_aggregate::verdict::{Verdict, reason};
use assay_appraisal::summary;
use assay_protocol::ids::{Address, Beacon, Digest, Epoch, HyperNodeId};
use assay_protocol::layout::{self, ProvenLeaf};
use assay_protocol::report::{AttestSummary, ChaseSummary, NodeReport};
use serde::Serialize;
use std::collections::BTreeMap;

const FROM_EVIDENCE: &str = "recomputed from evidence";
const FROM_OUTCOMES: &str = "from signed outcomes";

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Basis {
    /// The number.
    pub number: &'static str,
    /// "recomputed from evidence" or "from signed outcomes".
    pub from: String,
}

/// The claimed verdict of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EpochVerdict {
    /// The epoch.
    pub epoch: Epoch,
    /// Whether the claimed leaf is the recomputed one.
    pub reproduced: bool,
    /// `pass`, `warned`, `breach` or `inconclusive`.
    pub verdict: &'static str,
    /// Why it is not `pass`.
    pub reasons: Vec<&'static str>,
    /// Attestation tier.
    pub tier: u128,
    /// Point availability, parts per million.
    pub availability_ppm: u128,
    /// Lower 95 % bound.
    pub lower_ppm: u128,
    /// Upper 95 % bound.
    pub upper_ppm: u128,
    /// Share of slots decided.
    pub coverage_ppm: u128,
    /// Median chase rate, reads a second.
    pub chase_rate: u128,
    /// `liveness` or `iops`.
    pub chase_kind: &'static str,
    /// The owner.
    pub owner: Address,
    /// Whether a root confirmed the owner.
    pub confirmed: bool,
    /// Digest of the processors that the node is bound to, when it is.
    pub chips: Option<Digest>,
    /// Slots decided as up, of all epochs so far.
    pub cumulative_up_slots: u128,
    /// Slots decided as down, of all epochs so far.
    pub cumulative_down_slots: u128,
    /// Slashes of all epochs so far, in the token's smallest unit, decimal.
    pub cumulative_slash: String,
    /// Where the numbers come from.
    pub basis: Vec<Basis>,
}

/// What the stages before this one accepted.
pub struct Basics<'a> {
    /// Signed roots.
    pub roots: Roots,
    /// Agreed reports.
    pub inputs: InputSets,
    /// The schedule.
    pub schedule: Schedule,
    /// Outcomes.
    pub recorded: &'a Histories,
}

/// What was found about one HyperNode.
pub struct Found {
    /// The HyperNode.
    pub hypernode: HyperNodeId,
    /// Its attestations.
    pub attested: Attestations,
    /// What it had to do.
    pub duties: BTreeMap<Epoch, Duty>,
    /// Probes that rest on the signed outcome alone.
    pub probes: BTreeMap<Epoch, usize>,
    /// Chases that rest on the signed outcome alone.
    pub chases: BTreeMap<Epoch, usize>,
}

/// Recomputes reports and leaves.
pub fn check(
    findings: &mut Findings,
    files: &Files,
    case: &Case,
    basics: &Basics<'_>,
    found: &[Found],
) -> Vec<EpochVerdict> {
    found
        .iter()
        .for_each(|found| node_reports(findings, case, basics, found));
    let mut prior = Prior {
        state: NodeState::default(),
        known: !case.starts_late(),
        follows: !case.starts_late(),
    };
    let mut verdicts = Vec::new();
    for epoch in case.epochs() {
        let root = basics.roots.get(&epoch);
        let proven = root.and_then(|root| Some((root, leaf(findings, files, epoch, root)?)));
        let Some((root, leaf)) = proven else {
            (prior.known, prior.follows) = (false, false);
            continue;
        };
        let recomputed = basics.inputs.get(&epoch).zip(basics.schedule.beacon(epoch));
        let (reproduced, state) = match recomputed {
            Some((agreed, beacon)) => {
                let judged = Judged {
                    epoch,
                    root,
                    agreed,
                    beacon,
                    prior: &prior,
                };
                judged.compare(findings, case, &leaf)
            }
            None => {
                let about = format!("epoch {epoch}");
                let at = ("verdict/leaf", about.as_str());
                findings.undecided(
                    at,
                    "agreed reports and a beacon to recompute it from",
                    "neither",
                );
                (false, None)
            }
        };
        prior = prior.after(case, &leaf, state);
        verdicts.push(EpochVerdict::of(
            &leaf,
            epoch,
            reproduced,
            basis(epoch, found),
        ));
    }
    verdicts
}

fn node_reports(findings: &mut Findings, case: &Case, basics: &Basics<'_>, found: &Found) {
    let Found {
        hypernode,
        attested,
        duties,
        ..
    } = found;
    for (epoch, record) in basics
        .recorded
        .get(hypernode)
        .iter()
        .flat_map(|h| &h.epochs)
    {
        if let (Some(report), Some(duty)) = (&record.report, duties.get(epoch)) {
            let about = format!("epoch {epoch}, HyperNode {hypernode}");
            let reported = Reported {
                epoch: *epoch,
                record,
                report,
                attested,
                duty,
            };
            reported.check(findings, case, &about);
        }
    }
}

/// What earlier epochs settled.
struct Prior {
    state: NodeState,
    /// With all breaches that wait.
    known: bool,
    /// The leaf before is there, whether or not those before it are.
    follows: bool,
}

impl Prior {
    /// Owner and sums are in the leaf. Breaches that were not slashed yet are not: they follow from all epochs before,
    /// unless every breach is slashed by itself.
    fn after(&self, case: &Case, leaf: &Leaf, recomputed: Option<NodeState>) -> Self {
        let record = recomputed.filter(|_| self.known).map(|state| state.record);
        let forgets = Rule::of(&case.params).is_immediate();
        Self {
            state: leaf.state(record.unwrap_or_default()),
            known: record.is_some() || forgets,
            follows: true,
        }
    }
}

/// One agreed report about the node, and what it must follow from.
struct Reported<'a> {
    epoch: Epoch,
    record: &'a EpochRecord,
    report: &'a NodeReport,
    attested: &'a Attestations,
    duty: &'a Duty,
}

impl Reported<'_> {
    /// Cells, attestation and chases again, from the checked outcomes.
    fn check(&self, findings: &mut Findings, case: &Case, about: &str) {
        if !self.record.complete {
            let at = ("report/outcomes", about);
            return findings.undecided(at, "all outcomes the log names", "not all of them");
        }
        let recorded = self.record.outcomes.iter();
        let outcomes: Vec<_> = recorded.map(|recorded| recorded.outcome.clone()).collect();
        let slots = case.params.slots();
        let cells = summary::cells(&outcomes, self.epoch, slots, &self.duty.slots);
        let (cells, reported) = (hex::encode(&cells.0), hex::encode(&self.report.cells.0));
        findings.equal(("report/cells", about), cells, reported);
        self.attest(findings, about);
        let chase = show_chase(&summary::chase(&outcomes));
        findings.equal(
            ("report/chase", about),
            chase,
            show_chase(&self.report.chase),
        );
    }

    fn attest(&self, findings: &mut Findings, about: &str) {
        let attest = show_attest(&summary::attest(self.attested.of(self.epoch)));
        let reported = show_attest(&self.report.attest);
        let outcome = match (attest == reported, self.attested.unproven(self.epoch)) {
            (true, _) => Outcome::Pass,
            (false, 0) => Outcome::Fail,
            // The evidence that would decide is not in the bundle; that is said where it is missed.
            (false, _) => Outcome::Undecided,
        };
        findings.record(("report/attest", about), outcome, attest, reported);
    }
}

fn show_attest(summary: &AttestSummary) -> String {
    let owner = summary
        .owner
        .map_or("no owner".into(), |owner| format!("owner {owner}"));
    let chips = summary
        .chips
        .map_or(String::new(), |chips| format!(", processors {chips}"));
    let class = summary.class.name();
    format!("{class}, tier {}, {owner}{chips}", summary.tier)
}

fn show_chase(summary: &ChaseSummary) -> String {
    let ChaseSummary {
        class,
        reads_per_s,
        kind,
    } = summary;
    format!("{}, {reads_per_s} reads/s, {kind:?}", class.name())
}

/// The claimed leaf, proven to lie in the signed root.
fn leaf(findings: &mut Findings, files: &Files, epoch: Epoch, root: &CheckedRoot) -> Option<Leaf> {
    let path = layout::leaf(epoch);
    let proven: ProvenLeaf = files.record(findings, "verdict", &path)?;
    let words = Leaf::parse(&proven.abi.0);
    let leaf = findings.value(
        ("verdict/leaf-form", &path),
        &format!("{} words of a node's leaf", WORDS.len()),
        words,
    )?;
    let hash = leaf_hash(&proven.abi.0);
    let included = verify_proof(&hash, &proven.proof, &root.root.root);
    findings
        .plain(
            ("verdict/leaf-in-root", &path),
            included,
            "a leaf of the signed root",
        )
        .then_some(leaf)
}

/// A leaf and the state it leaves behind, computed again.
type Recomputed = Result<(NodeLeaf, NodeState), EpochError>;

/// One epoch, ready to be aggregated again.
struct Judged<'a> {
    epoch: Epoch,
    root: &'a CheckedRoot,
    agreed: &'a Agreed,
    beacon: Beacon,
    prior: &'a Prior,
}

impl Judged<'_> {
    /// Whether the claimed leaf is the recomputed one, word for word, and the state it leaves behind.
    fn compare(
        &self,
        findings: &mut Findings,
        case: &Case,
        claimed: &Leaf,
    ) -> (bool, Option<NodeState>) {
        let about = format!("epoch {}", self.epoch);
        let told = Told {
            state: match self.prior.follows {
                true => self.prior.state,
                false => claimed.assumed_prior(),
            },
            by_leaf: self.prior.follows,
            with_record: self.prior.known,
        };
        let unsure = self.unsure(case);
        let chosen = self.choose(case, &told, claimed, unsure);
        let Some((recomputed, untold)) = chosen else {
            return (false, None);
        };
        let expected = "an epoch this version can aggregate";
        let at = ("verdict/aggregate", about.as_str());
        let Some((leaf, state)) = findings.value(at, expected, recomputed) else {
            return (false, None);
        };
        let recomputed = Leaf::parse(&leaf.abi());
        let recomputed =
            findings.value(("verdict/recomputed", &about), "a node's leaf", recomputed);
        let same = recomputed.is_some_and(|leaf| words(findings, &about, &leaf, claimed, unsure));
        for untold in untold.iter().filter(|_| same) {
            let at = ("verdict/registration", about.as_str());
            let actual =
                "the ledger, other nodes' leaves or earlier epochs tell, and the bundle does not";
            findings.undecided(at, untold, actual);
        }
        (same && untold.is_empty(), Some(state))
    }

    /// What the first ground that leads to the claimed leaf leads to, and what of it is untold; for none, what the likeliest
    /// does.
    fn choose(
        &self,
        case: &Case,
        told: &Told,
        claimed: &Leaf,
        unsure: Unsure,
    ) -> Option<(Recomputed, Vec<&'static str>)> {
        let leads = |recomputed: &Recomputed| {
            let leaf = recomputed.as_ref().ok().map(|(leaf, _)| leaf.abi());
            let leaf = leaf.and_then(|abi| Leaf::parse(&abi).ok());
            leaf.is_some_and(|leaf| is_same(&leaf, claimed, unsure))
        };
        let mut likeliest = None;
        for mut ground in grounds(case, (self.root, self.agreed), told, claimed) {
            let untold = std::mem::take(&mut ground.untold);
            let recomputed = self.recompute(case, ground);
            if leads(&recomputed) {
                return Some((recomputed, untold));
            }
            likeliest.get_or_insert((recomputed, untold));
        }
        likeliest
    }

    /// The leaf and the state that this ground leads to.
    fn recompute(&self, case: &Case, ground: Ground) -> Recomputed {
        let nowhere = BTreeMap::new();
        let prior = States {
            nodes: [(case.node(), ground.before)].into(),
            rewards: BTreeMap::new(),
            missed: BTreeMap::new(),
        };
        let input = EpochInput {
            params: &case.params,
            epoch: self.epoch,
            beacon: self.beacon,
            round: self.root.root.round,
            committee: self.root.roster.seats(),
            head: RootHead {
                committee: self.root.root.committee,
                next_committee: self.root.root.next_committee,
                policy_digest: self.root.root.policy_digest,
            },
            classes: &case.classes,
            registrations: &ground.registrations,
            sites: &nowhere,
            prior: &prior,
            reports: self.agreed,
            // Rewards are in no node's leaf.
            budget: 0,
        };
        Ok(Aggregator::new(input)?.node(case.node(), ground.rivals))
    }

    /// What depends on epochs before the bundle begins, if anything does.
    fn unsure(&self, case: &Case) -> Unsure {
        let members = self
            .root
            .roster
            .seats()
            .iter()
            .filter(|seat| seat.weight > 0);
        let draws = rules::draws_reaudits(&case.params, members.count());
        match (self.prior.known, draws) {
            (true, _) => Unsure::Nothing,
            (false, false) => Unsure::Sums,
            (false, true) => Unsure::Everything,
        }
    }
}

/// Which words of a leaf cannot be compared for want of earlier epochs.
#[derive(Debug, Clone, Copy)]
enum Unsure {
    Nothing,
    Sums,
    /// Seats are drawn for a node on trial: then other votes decide.
    Everything,
}

impl Unsure {
    /// Why a word cannot be compared.
    fn gap(self, name: &str) -> Option<&'static str> {
        match self {
            Self::Sums if SUMS.contains(&name) => {
                Some("the sums before the bundle begins are not in it")
            }
            Self::Everything => Some("whether the node is on trial follows from earlier epochs"),
            _ => None,
        }
    }
}

/// Whether two leaves say the same, as far as it can be known.
fn is_same(recomputed: &Leaf, claimed: &Leaf, unsure: Unsure) -> bool {
    let mut compared = WORDS.iter().filter(|name| unsure.gap(name).is_none());
    compared.all(|name| recomputed.show(name) == claimed.show(name))
}

fn words(
    findings: &mut Findings,
    about: &str,
    recomputed: &Leaf,
    claimed: &Leaf,
    unsure: Unsure,
) -> bool {
    let mut reproduced = true;
    for name in WORDS {
        let at = format!("verdict/{name}");
        let (expected, actual) = (recomputed.show(name), claimed.show(name));
        match unsure.gap(name) {
            Some(gap) => {
                findings.undecided((&at, about), gap, actual);
                reproduced = false;
            }
            None => reproduced &= findings.equal((&at, about), expected, actual),
        }
    }
    reproduced
}

fn basis(epoch: Epoch, found: &[Found]) -> Vec<Basis> {
    let count = |of: fn(&Found, Epoch) -> usize| found.iter().map(|found| of(found, epoch)).sum();
    let probes = from(count(|found, epoch| {
        found.probes.get(&epoch).copied().unwrap_or(0)
    }));
    let tier = from(count(|found, epoch| found.attested.unproven(epoch)));
    let chases = from(count(|found, epoch| {
        found.chases.get(&epoch).copied().unwrap_or(0)
    }));
    let silence = format!("control probes {probes}; the silence itself {FROM_OUTCOMES}");
    let say = |number, from: &str| Basis {
        number,
        from: from.to_owned(),
    };
    vec![
        say("slots answered", &probes),
        say("slots unanswered", &silence),
        say("tier", &tier),
        say("credential activation", FROM_OUTCOMES),
        say("chase reads", &chases),
        say("chase time", FROM_OUTCOMES),
        say(
            "registrations and offers",
            "from the signed leaves; the ledger holds them",
        ),
        say(
            "processors of no other node",
            "from the signed leaf; other nodes' leaves show them",
        ),
        say(
            "slots and slashes",
            "recomputed from the class and the leaf before",
        ),
        say(
            "rewards",
            "not in a node's leaf; their sum is from the signed root",
        ),
    ]
}

fn from(unproven: usize) -> String {
    match unproven {
        0 => FROM_EVIDENCE.to_owned(),
        n => format!("{FROM_EVIDENCE}, but {n} {FROM_OUTCOMES} (evidence expired or not revealed)"),
    }
}

impl EpochVerdict {
    fn of(leaf: &Leaf, epoch: Epoch, reproduced: bool, basis: Vec<Basis>) -> Self {
        let code = |name| u8::try_from(leaf.number(name)).ok();
        let verdict = code("verdict").and_then(Verdict::from_code);
        Self {
            epoch,
            reproduced,
            verdict: verdict.map_or("unknown", Verdict::name),
            reasons: code("reasons").map(reason::names).unwrap_or_default(),
            tier: leaf.number("tier"),
            availability_ppm: leaf.number("availability_ppm"),
            lower_ppm: leaf.number("lower_ppm"),
            upper_ppm: leaf.number("upper_ppm"),
            coverage_ppm: leaf.number("coverage_ppm"),
            chase_rate: leaf.number("chase_rate"),
            chase_kind: if leaf.number("chase_kind") == 1 {
                "iops"
            } else {
                "liveness"
            },
            owner: leaf.owner(),
            confirmed: leaf.confirmed(),
            chips: leaf.chips(),
            cumulative_up_slots: leaf.number("cumulative_up_slots"),
            cumulative_down_slots: leaf.number("cumulative_down_slots"),
            cumulative_slash: leaf.number("cumulative_slash").to_string(),
            basis,
        }
    }
}
