//! Keyed regions: the key's hash logged before the fill, the receipt, the reveal, and every chase walked again.

use super::attestation::{Attestations, Bound, place};
use super::case::Case;
use super::evidence::{Exhibits, Found};
use super::log::{EpochRecord, History, Recorded};
use super::roots::Roots;
use crate::findings::Findings;
use assay_appraisal::chase::{ExpectedChase, verify};
use assay_appraisal::counters;
use assay_appraisal::summary::chase_kind;
use assay_protocol::answers::{ChaseAnswer, Countersigned, FillReceipt};
use assay_protocol::class::{HardwareClass, ValidClass};
use assay_protocol::cose::{CoseError, claimed_signer, open};
use assay_protocol::ids::{Digest, Epoch, RegionKey, SessionKey};
use assay_protocol::limits::{CHASE_ANSWER_BYTES_MAX, SMALL_OBJECT_BYTES_MAX};
use assay_protocol::outcome::{OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::region::{BLOCK_BYTES, RegionId, key_hash, region_root};
use assay_protocol::schedule::Challenge;
use std::collections::{BTreeMap, BTreeSet};

const NOT_IN_BUNDLE: &str = "a session key bound by evidence that is not in the bundle, if at all";

/// The regions of one HyperNode, as far as the log has told.
struct Regions<'a> {
    case: &'a Case,
    exhibits: &'a Exhibits<'a>,
    attested: &'a Attestations,
    gaps: &'a BTreeSet<Epoch>,
    keys: BTreeMap<RegionId, RegionKey>,
    logged: BTreeSet<(RegionId, Digest)>,
    receipts: BTreeMap<RegionId, FillReceipt>,
    /// Regions whose receipt did not hold or is not in the bundle: said once, by that check.
    doubtful: BTreeSet<RegionId>,
    unproven: BTreeMap<Epoch, usize>,
}

/// Checks the regions and chases of a history; for each epoch how many chases could not be walked again.
pub fn check(
    findings: &mut Findings,
    (case, roots): (&Case, &Roots),
    history: &History,
    exhibits: &Exhibits<'_>,
    attested: &Attestations,
) -> BTreeMap<Epoch, usize> {
    let keys = reveals(findings, (case, roots), history);
    let mut regions = Regions {
        case,
        exhibits,
        attested,
        gaps: &history.gaps,
        keys,
        logged: BTreeSet::new(),
        receipts: BTreeMap::new(),
        doubtful: BTreeSet::new(),
        unproven: BTreeMap::new(),
    };
    for recorded in history.outcomes() {
        match recorded.outcome.kind {
            OutcomeKind::RegionKey => regions.logged(findings, recorded),
            OutcomeKind::Fill => regions.fill(findings, recorded),
            OutcomeKind::Chase => regions.chase(findings, recorded),
            OutcomeKind::Attest | OutcomeKind::Probe | OutcomeKind::Enrol => {}
        }
    }
    regions.revealed(findings, history);
    regions.unproven
}

/// The region in use during an epoch: one per HyperNode and node in this version.
fn region(case: &Case, epoch: Epoch) -> RegionId {
    RegionId {
        region: 0,
        generation: case.params.region_generation(epoch),
    }
}

/// Whether the period of a generation ends with this epoch or ended before.
fn is_over(case: &Case, generation: u64, epoch: Epoch) -> bool {
    generation < case.params.region_generation(epoch.next())
}

/// Keys may be revealed from the last report of their period on, and again: an epoch may end void, a report be missed. Who
/// has no say in the next epoch reveals them with its last report, because it makes no later one.
fn reveals(
    findings: &mut Findings,
    (case, roots): (&Case, &Roots),
    history: &History,
) -> BTreeMap<RegionId, RegionKey> {
    let mut keys = BTreeMap::new();
    for (epoch, record) in &history.epochs {
        for reveal in record.report.iter().flat_map(|report| &report.reveals) {
            let about = format!("epoch {epoch}, HyperNode {}", history.hypernode);
            let id = RegionId {
                region: reveal.region,
                generation: reveal.generation,
            };
            let next = roots.get(&epoch.next());
            let stays = next.is_some_and(|root| root.has_say(&history.hypernode));
            let is_last = id == region(case, *epoch) && !stays;
            let due = id.region == 0 && (is_last || is_over(case, id.generation, *epoch));
            findings.plain(
                ("chase/reveal-due", &about),
                due,
                "a reveal of the region whose period is over, or by who leaves",
            );
            let first = *keys.entry(id).or_insert(reveal.key);
            let same = first == reveal.key;
            findings.plain(("chase/reveal-once", &about), same, "one key of a region");
        }
    }
    keys
}

/// Why a walk did not pass.
enum Walked {
    /// The bound key signed a wrong answer to this nonce.
    Failed(String),
    /// Nothing shows that the node gave this answer to this nonce.
    Unproven(String),
}

impl Regions<'_> {
    /// Raw evidence of a `region-key` outcome: region u32 ‖ generation u64 ‖ key hash, big-endian.
    fn logged(&mut self, findings: &mut Findings, recorded: &Recorded) {
        let at = ("chase/key-hash", recorded.path.as_str());
        let id = region(self.case, recorded.outcome.place.0);
        match self.exhibits.one(recorded, media::REGION_KEY_HASH) {
            Found::One(raw) => {
                let head = [&id.region.to_be_bytes()[..], &id.generation.to_be_bytes()].concat();
                let hash = raw.strip_prefix(head.as_slice()).map(Digest::try_from);
                let expected = "the hash of the key of this period's region";
                let hash = match hash {
                    Some(Ok(hash)) => Ok(hash),
                    _ => Err(hex::encode(raw)),
                };
                if let Some(hash) = findings.value(at, expected, hash) {
                    self.logged.insert((id, hash));
                }
            }
            Found::Missing => {
                self.doubtful.insert(id);
            }
            found => {
                findings.holds(at, false, "one key hash", format!("{found:?}"));
            }
        }
    }

    /// A fill counts with a receipt signed by both sides, for a key whose hash was logged before.
    fn fill(&mut self, findings: &mut Findings, recorded: &Recorded) {
        if recorded.outcome.class != OutcomeClass::Pass {
            return;
        }
        let at = ("chase/receipt", recorded.path.as_str());
        let expected = "a receipt signed by the node and by its HyperNode";
        let id = region(self.case, recorded.outcome.place.0);
        let receipt = match self.exhibits.one(recorded, media::RECEIPT) {
            Found::One(raw) => self.receipt(recorded, raw),
            Found::Missing => {
                self.doubtful.insert(id);
                return;
            }
            found => Err(format!("{found:?}")),
        };
        match receipt {
            Ok((receipt, Bound::Unknown)) => {
                findings.undecided(at, expected, NOT_IN_BUNDLE);
                self.receipts.insert(id, receipt);
            }
            Ok((receipt, _)) => {
                findings.plain(at, true, expected);
                self.covers(findings, recorded, id, &receipt);
                self.receipts.insert(id, receipt);
            }
            Err(why) => {
                findings.holds(at, false, expected, why);
                self.doubtful.insert(id);
            }
        }
    }

    fn receipt(&self, recorded: &Recorded, raw: &[u8]) -> Result<(FillReceipt, Bound), String> {
        let text = |error: assay_protocol::cose::CoseError| error.to_string();
        let outer = open::<Countersigned>(raw, &recorded.outcome.hypernode.0).map_err(text)?;
        let outer = outer.into_payload();
        let key = claimed_signer(&outer.receipt.0, SMALL_OBJECT_BYTES_MAX).map_err(text)?;
        let receipt = open::<FillReceipt>(&outer.receipt.0, &key)
            .map_err(text)?
            .into_payload();
        if outer.node != self.case.node() {
            return Err(format!("a countersignature for node {}", outer.node));
        }
        match self.attested.bound(recorded, SessionKey(key)) {
            Bound::No => Err(format!(
                "session key {} that no attestation binds",
                SessionKey(key)
            )),
            bound => Ok((receipt, bound)),
        }
    }

    /// The receipt speaks of this region, its logged key and its whole length; the root is the revealed key's.
    fn covers(
        &self,
        findings: &mut Findings,
        recorded: &Recorded,
        id: RegionId,
        receipt: &FillReceipt,
    ) {
        let about = recorded.path.as_str();
        findings.equal(
            ("chase/receipt-network", about),
            self.case.network,
            receipt.network,
        );
        findings.equal(
            ("chase/receipt-node", about),
            self.case.node(),
            receipt.node,
        );
        let hypernode = recorded.outcome.hypernode;
        findings.equal(
            ("chase/receipt-hypernode", about),
            hypernode,
            receipt.hypernode,
        );
        let show = |region, generation| format!("region {region}, generation {generation}");
        let named = show(receipt.region, receipt.generation);
        findings.equal(
            ("chase/receipt-region", about),
            show(id.region, id.generation),
            named,
        );
        self.logged_before(findings, recorded, id, receipt);
        if let Some(class) = self.class(recorded) {
            findings.equal(
                ("chase/receipt-blocks", about),
                class.budget.region_blocks,
                receipt.blocks,
            );
            let bytes = u64::from(class.budget.region_blocks).saturating_mul(BLOCK_BYTES as u64);
            let said = recorded.outcome.metric(metric::FILL_BYTES).unwrap_or(0);
            findings.equal(("chase/fill-bytes", about), bytes, said);
            let whole = class.budget.region_blocks == receipt.blocks;
            if let Some(key) = self.keys.get(&id).filter(|_| whole) {
                findings.equal(
                    ("chase/revealed-key-hash", about),
                    receipt.key_hash,
                    key_hash(key),
                );
                let root = region_root(key, receipt.blocks).map_err(|error| error.to_string());
                let root = root.map_or_else(|error| error, |root| root.to_string());
                findings.equal(
                    ("chase/receipt-root", about),
                    root,
                    receipt.root.to_string(),
                );
            }
        }
    }

    fn logged_before(
        &self,
        findings: &mut Findings,
        recorded: &Recorded,
        id: RegionId,
        receipt: &FillReceipt,
    ) {
        let at = ("chase/receipt-key", recorded.path.as_str());
        let expected = "a key whose hash was logged before the fill";
        let logged = self.logged.contains(&(id, receipt.key_hash));
        if !logged && (self.doubtful.contains(&id) || self.gap(id, recorded)) {
            findings.undecided(at, expected, "a logged hash that is not in the bundle");
        } else {
            findings.holds(at, logged, expected, receipt.key_hash);
        }
    }

    /// Whether a key or a fill of the region may have been logged before, where the bundle has nothing.
    fn gap(&self, id: RegionId, recorded: &Recorded) -> bool {
        let mut before = self.gaps.range(..recorded.outcome.place.0);
        self.case.starts_late() || before.any(|gap| region(self.case, *gap) == id)
    }

    fn class(&self, recorded: &Recorded) -> Option<&ValidClass> {
        self.case.classes.get(&recorded.outcome.policy)
    }

    /// A conclusive chase: walked again in full from the revealed key.
    fn chase(&mut self, findings: &mut Findings, recorded: &Recorded) {
        let outcome = &recorded.outcome;
        if !matches!(outcome.class, OutcomeClass::Pass | OutcomeClass::Fail) {
            return;
        }
        let id = region(self.case, outcome.place.0);
        self.after_fill(findings, recorded, id);
        if self.recompute(findings, recorded, id).is_none() {
            *self.unproven.entry(outcome.place.0).or_default() += 1;
        }
    }

    fn after_fill(&self, findings: &mut Findings, recorded: &Recorded, id: RegionId) {
        let about = recorded.path.as_str();
        if !self.receipts.contains_key(&id) && !self.doubtful.contains(&id) {
            let (at, expected) = (
                ("chase/after-fill", about),
                "a fill with a receipt before it",
            );
            match self.gap(id, recorded) {
                true => findings.undecided(at, expected, "none in the bundle"),
                false => {
                    findings.holds(at, false, expected, "none");
                }
            }
        }
    }

    /// `None` when the bundle does not hold what it takes.
    fn recompute(&self, findings: &mut Findings, recorded: &Recorded, id: RegionId) -> Option<()> {
        let at = ("chase/class", recorded.path.as_str());
        let says = recorded.outcome.class.name();
        let raw = match self.exhibits.one(recorded, media::CHASE_ANSWER) {
            Found::One(raw) => raw,
            Found::Missing => return None,
            found => {
                findings.holds(at, false, "one chase answer", format!("{found:?}"));
                return None;
            }
        };
        let (Some(key), Some(class)) = (self.keys.get(&id), self.class(recorded)) else {
            findings.undecided(at, says, "the region's key is not revealed in the bundle");
            return None;
        };
        let is = match self.walk(recorded, raw, id, class, key) {
            Ok((Bound::Unknown, _)) => {
                findings.undecided(at, says, NOT_IN_BUNDLE);
                return None;
            }
            Ok((_, note)) => {
                counter_note(findings, recorded, note);
                "pass".to_owned()
            }
            Err(Walked::Failed(why)) => format!("fail ({why})"),
            Err(Walked::Unproven(why)) => format!("inconclusive ({why})"),
        };
        findings.holds(at, is.starts_with(says), says, is);
        numbers(findings, recorded, id, class);
        Some(())
    }

    fn walk(
        &self,
        recorded: &Recorded,
        raw: &[u8],
        id: RegionId,
        class: &HardwareClass,
        key: &RegionKey,
    ) -> Result<(Bound, String), Walked> {
        let unproven = |error: CoseError| Walked::Unproven(error.to_string());
        let signer = claimed_signer(raw, CHASE_ANSWER_BYTES_MAX).map_err(unproven)?;
        let answer = open::<ChaseAnswer>(raw, &signer).map_err(unproven)?;
        let session_key = SessionKey(signer);
        let expected = ExpectedChase {
            node: self.case.node(),
            session_key,
            nonce: place(self.case, recorded, Challenge::Chase).nonce(&recorded.outcome.r),
            plan: class.chase_plan(id),
        };
        let bound = self.attested.bound(recorded, session_key);
        if bound == Bound::No {
            let why = format!("session key {session_key} that no attestation binds");
            return Err(Walked::Unproven(why));
        }
        let note = counters::note(answer.payload());
        match verify(&answer, &expected, key) {
            Err(_) if bound == Bound::Unknown => Ok((bound, note)),
            Err(error) if error.proves_failure() => Err(Walked::Failed(error.to_string())),
            Err(error) => Err(Walked::Unproven(error.to_string())),
            Ok(_) => Ok((bound, note)),
        }
    }

    /// A region that was used must be revealed when its period ends; before that, the audit cannot decide.
    fn revealed(&self, findings: &mut Findings, history: &History) {
        let used: BTreeSet<RegionId> = self
            .receipts
            .keys()
            .chain(&self.doubtful)
            .copied()
            .collect();
        for id in used {
            let at = format!(
                "HyperNode {}, region {}, generation {}",
                history.hypernode, id.region, id.generation
            );
            let ends = |(epoch, record): (&Epoch, &EpochRecord)| {
                let ends =
                    self.case.params.reveals_regions(*epoch) && region(self.case, *epoch) == id;
                ends && record.report.is_some()
            };
            let over = history.epochs.iter().any(ends);
            let at = ("chase/key-revealed", at.as_str());
            let expected = "the key, in an agreed report since the period's last epoch";
            match (self.keys.contains_key(&id), over) {
                (true, _) => {
                    findings.plain(at, true, expected);
                }
                (false, true) => {
                    findings.holds(at, false, expected, "a last report without it");
                }
                (false, false) => {
                    findings.undecided(
                        at,
                        expected,
                        "no agreed report of that epoch, nor the key in a later one",
                    );
                }
            }
        }
    }
}

/// What the signed counters say of a chase that passed is in the outcome, in these words, and nothing else is.
fn counter_note(findings: &mut Findings, recorded: &Recorded, note: String) {
    let outcome = &recorded.outcome;
    if outcome.class == OutcomeClass::Pass {
        let at = ("chase/counter-note", recorded.path.as_str());
        findings.equal(at, format!("{note:?}"), format!("{:?}", outcome.detail));
    }
}

/// Metrics that follow from the plan. The time itself is the HyperNode's signed word.
fn numbers(findings: &mut Findings, recorded: &Recorded, id: RegionId, class: &HardwareClass) {
    let (about, outcome) = (recorded.path.as_str(), &recorded.outcome);
    let reads = class.chase_plan(id).reads();
    let metric = |id| outcome.metric(id).unwrap_or(0);
    findings.equal(("chase/reads", about), reads, metric(metric::CHASE_READS));
    let micros = metric(metric::CHASE_US);
    let rate = reads
        .saturating_mul(1_000_000)
        .checked_div(micros)
        .unwrap_or(0);
    findings.equal(
        ("chase/rate", about),
        rate,
        metric(metric::CHASE_READS_PER_S),
    );
    // No memory size is proven in this version: any could be a cache (ARCHITECTURE section 8).
    let live = u64::from(class.budget.region_blocks).saturating_mul(BLOCK_BYTES as u64);
    let kind = chase_kind(u64::MAX, live) as u64;
    findings.equal(("chase/kind", about), kind, metric(metric::CHASE_IS_IOPS));
}
