//! What authentic evidence is worth under a hardware class and a trust bundle.
//!
//! Three lists of checks, each resting on the one before: what must hold at every tier (the boot that was measured,
//! and reference values), what leads to tier 2 (software), what leads to tier 3 (the chassis). A check of the later two
//! that does not pass costs the tier, not the node's good name: only what is proven and not allowed fails the
//! attestation.

use super::configuration::Configurations;
use super::context::{self, Boot, Ima};
use super::{AuthenticatedEvidence, chassis, measured, references, software};
use crate::checks::{CheckList, Checks, Mode, Outcome, Stopped};
use crate::clock::Continuity;
use crate::eventlog;
use crate::ima::Position;
use crate::snp::ChainCache;
use crate::snp::SnpRoots;
use crate::tpm::attest::ClockInfo;
use assay_protocol::class::ValidClass;
use assay_protocol::ids::{Address, AkName, ChipId, Digest, NetworkId, NodeId, SessionKey, UnixMs};
use assay_protocol::trust::{RootKind, TrustBundle};
use serde::Serialize;

/// What the node is measured against.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// The network the node must serve.
    pub network: NetworkId,
    /// Its hardware class.
    pub class: &'a ValidClass,
    /// Kind of the root that certified the node's EK; nothing when no root of known kind did: then there is no tier.
    pub root_kind: Option<RootKind>,
    /// Least firmware version of the TPM that the root asks for.
    pub firmware_min: u64,
    /// The bundle that says which kinds may earn a tier.
    pub trust: &'a TrustBundle,
    /// Configurations that were read before.
    pub configurations: &'a Configurations,
    /// What is known of AMD's certificates.
    pub endorsements: Endorsements<'a>,
    /// What is known of the entries of this boot's IMA list that the evidence leaves out.
    pub ima_before: ImaBefore<'a>,
}

/// Entries of a boot's IMA list that were appraised before.
#[derive(Debug, Clone, Copy, Default)]
pub enum ImaBefore<'a> {
    /// None: only a list from its first entry explains anything.
    #[default]
    Unknown,
    /// Where an appraisal of the same boot, under the same class, ended ([`Appraisal::ima_end`]). It is believed.
    Position(&'a Position),
    /// The entries themselves, from the first one on, in the parts in which they were appraised
    /// ([`ImaEnd::part`]). They are not believed: quote and class judge them like the entries carried.
    Parts(&'a [&'a [u8]]),
}

/// Where an IMA list ended of which every entry is allowed, under a loaded policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImaEnd {
    /// Where the next appraisal of this boot may go on.
    pub position: Position,
    /// The entries judged now, in binary form: with [`ImaBefore::Position`] those after it, otherwise all. Entries that
    /// the quote does not cover are not among them.
    pub part: Vec<u8>,
}

/// Certificates and roots that a SEV-SNP report is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Endorsements<'a> {
    /// When the evidence is appraised: certificates must be valid then.
    pub at: UnixMs,
    /// Pinned roots.
    pub roots: &'a SnpRoots,
    /// VCEK, ASK and ARK of the node's chip, for evidence that does not bring them.
    pub chain: Option<[&'a [u8]; 3]>,
    /// AMD's revocation list for the chip's product, DER, unverified; the intermediate must not be on it. Without one
    /// revocation is not asked.
    pub crl: Option<&'a [u8]>,
    /// Chains and signatures of certificates that verified before.
    pub cache: &'a ChainCache,
}

/// How the attestation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attest {
    /// Every check that counts at all tiers passed.
    Pass,
    /// Something is proven that may not be, or the evidence contradicts itself: the tier is 0.
    Fail,
    /// Nothing is wrong, but a rule of the class could not be decided: the tier is 0.
    Undecided,
}

/// Network and provider, proven by the measured configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The network served.
    pub network: NetworkId,
    /// The provider's account.
    pub provider: Address,
}

/// What was shown besides the tier; nothing here is a mere claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// PCR 0 to 3 are pinned by the class and have allowed values. Otherwise the firmware is unknown.
    pub firmware: bool,
    /// Whether firmware enforced Secure Boot, when the log proves it either way.
    pub secure_boot: Option<bool>,
    /// The root hash of the image that runs, when the class names it.
    pub verity_root: Option<Digest>,
    /// Entries of the IMA list that the quote covers, all allowed.
    pub ima_entries: Option<u64>,
    /// The processor that a chassis proof ties to this TPM.
    pub chip: Option<ChipId>,
    /// Digest over the ids of all processors that the claims list, when one of them was shown.
    pub chips: Option<Digest>,
}

/// The result for one piece of authentic evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Appraisal {
    /// Attestation tier, 0 to 3.
    pub tier: u8,
    /// How the attestation ended.
    pub attest: Attest,
    /// The node.
    pub node: NodeId,
    /// The session key the quote vouches for.
    pub session_key: SessionKey,
    /// The key that quoted.
    pub ak_name: AkName,
    /// Clock and counters of the quote.
    pub clock: ClockInfo,
    /// How they continue the last quote.
    pub continuity: Continuity,
    /// The owner, when the measured configuration proves one for this network.
    pub owner: Option<Owner>,
    /// Digest of the class that was applied: the whole policy.
    pub policy: Digest,
    /// Where this boot's IMA list ended: there is one when every entry so far is allowed and the attestation passed.
    #[serde(skip)]
    pub ima_end: Option<ImaEnd>,
    /// What was shown.
    pub shown: Shown,
    /// Every check of authentication and appraisal.
    pub checks: CheckList,
}

/// Appraises authentic evidence. All checks are run, whatever fails: this is what the provider reads.
pub fn appraise(evidence: &AuthenticatedEvidence, policy: &Policy<'_>) -> Appraisal {
    appraise_after(evidence.checks.clone(), evidence, policy)
}

/// The same, going on in the list of the checks that authenticated it.
pub(super) fn appraise_after(
    made: CheckList,
    evidence: &AuthenticatedEvidence,
    policy: &Policy<'_>,
) -> Appraisal {
    let log = eventlog::parse(&evidence.vendor().event_log.0);
    let replayed = context::replayed(&log, evidence);
    let boot = Boot::new(log.as_ref().ok(), &replayed);
    let ima = policy
        .class
        .attestation
        .ima
        .as_ref()
        .map(|rules| Ima::read(evidence, rules, policy.ima_before));
    let mut shown = Shown::default();
    // Explanation mode never stops, so that there is no early end to pass on.
    let mut checks = Checks::after(made, Mode::Explain);
    let from = checks.list().len();
    let (given, read) = ((evidence, policy), (&boot, ima.as_ref()));
    let owner = every_tier(&mut checks, given, read, &mut shown).unwrap_or_default();
    let attest = ended(checks.list().outcomes_from(from));
    let mut tier = u8::from(attest == Attest::Pass);
    let software = software::tier_2(&mut checks, given, read, &mut shown);
    tier = tier.saturating_add(u8::from(tier == 1 && software == Ok(true)));
    let chassis = chassis::tier_3(&mut checks, evidence, policy, tier, &mut shown);
    tier = tier.saturating_add(u8::from(tier == 2 && chassis == Ok(true)));
    Appraisal {
        tier,
        attest,
        node: evidence.claims().node,
        session_key: evidence.session_key(),
        ak_name: evidence.ak_name(),
        clock: *evidence.quote().clock(),
        continuity: evidence.continuity(),
        owner,
        policy: policy.class.digest(),
        ima_end: ima
            .and_then(Ima::end)
            .filter(|_| attest == Attest::Pass && shown.ima_entries.is_some()),
        shown,
        checks: checks.into_list(),
    }
}

/// One failure fails; else one undecided check, or none at all, leaves it undecided.
fn ended(outcomes: impl Iterator<Item = Outcome>) -> Attest {
    let severity = |outcome: &Outcome| match outcome {
        Outcome::Pass => 0,
        Outcome::Undecided => 1,
        Outcome::Fail => 2,
    };
    match outcomes.max_by_key(severity) {
        Some(Outcome::Fail) => Attest::Fail,
        Some(Outcome::Undecided) | None => Attest::Undecided,
        Some(Outcome::Pass) => Attest::Pass,
    }
}

fn every_tier(
    checks: &mut Checks,
    (evidence, policy): (&AuthenticatedEvidence, &Policy<'_>),
    (boot, ima): (&Boot<'_>, Option<&Ima>),
    shown: &mut Shown,
) -> Result<Option<Owner>, Stopped> {
    measured::claimed_counters(checks, evidence)?;
    measured::attachments(checks, evidence)?;
    let owner = measured::boot(checks, (evidence, policy), boot)?;
    references::pcrs(checks, evidence, policy.class, shown)?;
    references::tpm(checks, evidence, policy)?;
    let rules = policy.class.attestation.boot.as_ref();
    references::boot(checks, boot, rules, shown)?;
    software::ima_entries(checks, ima)?;
    Ok(owner)
}
