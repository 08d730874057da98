//! What the bundle claims, and what it is judged by: parameters, classes and pins.

use super::files::Files;
use crate::findings::Findings;
use assay_appraisal::ek::Roots;
use assay_protocol::class::{HardwareClass, ValidClass};
use assay_protocol::ids::{Digest, Epoch, NetworkId, NodeId};
use assay_protocol::layout::{self, Claim};
use assay_protocol::params::NetworkParams;
use assay_protocol::trust::{CommitteePin, TrustBundle, TrustFile};
use std::collections::BTreeMap;

/// Most epochs of one bundle: a year of hours.
const EPOCHS_MAX: u64 = 10_000;
const BUNDLE: &str = "bundle";

/// A claim that can be judged.
pub struct Case {
    /// What is claimed.
    pub claim: Claim,
    /// The network's parameters: the pinned ones, else the bundle's own.
    pub params: NetworkParams,
    /// Their digest.
    pub network: NetworkId,
    /// The classes in force.
    pub classes: BTreeMap<Digest, ValidClass>,
    /// The first committee, when pinned.
    pub pin: Option<CommitteePin>,
    /// TPM vendor roots, when pinned.
    pub vendors: Option<(Roots, TrustBundle)>,
}

impl Case {
    /// Opens claim, parameters and classes.
    pub fn open(findings: &mut Findings, files: &Files, trust: Option<&TrustFile>) -> Option<Self> {
        if trust.is_none() {
            let actual = "none: the bundle can only be found self-consistent";
            findings.undecided(
                ("trust/file", BUNDLE),
                "a trust file (--trust FILE)",
                actual,
            );
        }
        let params = params(findings, files, trust)?;
        let network = params.network_id();
        let claim = claim(findings, files, &network)?;
        let classes = classes(findings, files, &params)?;
        let vendors = match trust {
            Some(trust) => Some((vendors(findings, trust)?, trust.vendors.clone())),
            None => None,
        };
        let pin = trust.map(|trust| trust.committee.clone());
        Some(Self {
            claim,
            params,
            network,
            classes,
            pin,
            vendors,
        })
    }

    /// The node the bundle is about.
    pub fn node(&self) -> NodeId {
        self.claim.node
    }

    /// Epochs with a verdict, ascending.
    pub fn epochs(&self) -> impl Iterator<Item = Epoch> + '_ {
        let all = (self.claim.first.0..=self.claim.last.0).map(Epoch);
        all.filter(|epoch| !self.is_void(*epoch))
    }

    /// Whether the bundle says the epoch ended void.
    pub fn is_void(&self, epoch: Epoch) -> bool {
        self.claim.void.binary_search(&epoch).is_ok()
    }

    /// Whether earlier epochs, that the bundle does not hold, may have left their mark on this one.
    pub fn starts_late(&self) -> bool {
        self.claim.first.0 > 0
    }
}

fn params(
    findings: &mut Findings,
    files: &Files,
    trust: Option<&TrustFile>,
) -> Option<NetworkParams> {
    let own: NetworkParams = files.record(findings, "case", layout::PARAMS)?;
    let valid = own.validate();
    findings.value(
        ("case/params", BUNDLE),
        "parameters that do not contradict themselves",
        valid,
    )?;
    let Some(trust) = trust else {
        return Some(own);
    };
    findings
        .equal(
            ("case/network", BUNDLE),
            trust.params.network_id(),
            own.network_id(),
        )
        .then_some(own)
}

fn claim(findings: &mut Findings, files: &Files, network: &NetworkId) -> Option<Claim> {
    let claim: Claim = files.record(findings, "case", layout::CLAIM)?;
    findings
        .equal(("case/schema", BUNDLE), 1, claim.schema)
        .then_some(())?;
    findings
        .equal(("case/claimed-network", BUNDLE), *network, claim.network)
        .then_some(())?;
    let (first, last) = (claim.first.0, claim.last.0);
    let some = last
        .checked_sub(first)
        .is_some_and(|more| more < EPOCHS_MAX);
    let expected = format!("1 to {EPOCHS_MAX} epochs, first to last");
    findings
        .holds(
            ("case/epochs", BUNDLE),
            some,
            expected,
            format!("{first} to {last}"),
        )
        .then_some(())?;
    let sorted = claim.void.is_sorted_by(|a, b| a < b);
    let inside = claim
        .void
        .iter()
        .all(|epoch| (first..=last).contains(&epoch.0));
    let void: Vec<String> = claim.void.iter().map(Epoch::to_string).collect();
    let expected = "void epochs ascending and inside";
    let ok = sorted && inside;
    findings
        .holds(
            ("case/void-epochs", BUNDLE),
            ok,
            expected,
            format!("[{}]", void.join(", ")),
        )
        .then_some(claim)
}

fn classes(
    findings: &mut Findings,
    files: &Files,
    params: &NetworkParams,
) -> Option<BTreeMap<Digest, ValidClass>> {
    let mut classes = BTreeMap::new();
    for digest in &params.classes {
        let path = layout::class(digest);
        let class: HardwareClass = files.record(findings, "case", &path)?;
        findings
            .equal(("case/class-digest", &path), *digest, class.digest())
            .then_some(())?;
        let expected = "a class that does not contradict itself";
        let class = findings.value(("case/class", &path), expected, ValidClass::new(class))?;
        classes.insert(*digest, class);
    }
    Some(classes)
}

fn vendors(findings: &mut Findings, trust: &TrustFile) -> Option<Roots> {
    let roots = Roots::new(&trust.vendors);
    findings.value(
        ("trust/vendors", "trust file"),
        "usable TPM vendor roots",
        roots,
    )
}
