//! Hardware classes: what a node of the class must have, deliver and prove (ARCHITECTURE section 12).
//! The TOML files and their loader are in `hw-profiles`; here are the types and their canonical digest.

use crate::cbor_map;
use crate::hash;
use crate::ids::{Bps, Digest, Ppm};
use crate::item::Item;
use crate::region::RegionId;
use serde::{Deserialize, Serialize};

cbor_map! {
    /// A hardware class. Its digest is what verdicts cite and the ledger stores.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct HardwareClass {
        /// Schema version, 1.
        1 => schema: u32,
        /// Short name, unique in the network.
        2 => name: String,
        /// One sentence for people.
        3 => summary: String,
        /// The hardware promised; described, not yet proven.
        4 => hardware: Hardware,
        /// The promise.
        5 => sla: Sla,
        /// What challenges may cost the node.
        6 => budget: Budget,
        /// What a verdict pays and costs.
        7 => money: Money,
        /// What must be proven about the node.
        8 => attestation: AttestationPolicy,
    }
}

cbor_map! {
    /// The hardware of the class, as the provider declares it.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Hardware {
        /// CPU generation.
        1 => cpu: String,
        /// Physical cores.
        2 => cores: u32,
        /// Memory in MiB.
        3 => memory_mib: u64,
        /// Disk capacity in GiB.
        4 => disk_gib: u64,
        /// Network link in Mbit/s.
        5 => nic_mbps: u64,
    }
}

cbor_map! {
    /// Service levels.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Sla {
        /// Availability promised over an epoch.
        1 => availability_ppm: Ppm,
        /// Least share of slots with a decision for a verdict of `pass`.
        2 => coverage_ppm_min: Ppm,
        /// Random 4 KiB reads a second at the budget's lanes, judged when the chase counts as `iops`.
        3 => chase_reads_per_s_min: u64,
        /// The same, judged when the chase counts as `liveness` only.
        4 => chase_liveness_reads_per_s_min: u64,
    }
}

cbor_map! {
    /// The challenge budget.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Budget {
        /// Blocks of 4 KiB in each HyperNode's region, a power of two.
        1 => region_blocks: u32,
        /// Lanes of a chase.
        2 => chase_lanes: u32,
        /// Reads of each lane.
        3 => chase_steps: u32,
        /// Steps between two checkpoints of a lane.
        4 => chase_checkpoint_every: u32,
        /// Attempts of a probe before it counts as unanswered.
        5 => probe_attempts: u32,
    }
}

cbor_map! {
    /// What a verdict pays and costs.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Money {
        /// Least collateral, in gwei.
        1 => collateral_gwei_min: u64,
        /// Reward of an epoch with verdict `pass`, in gwei.
        2 => reward_gwei_per_epoch: u64,
        /// Share of the least collateral taken for a breach.
        3 => slash_bps: Bps,
    }
}

cbor_map! {
    /// What must be proven.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct AttestationPolicy {
        /// Least attestation tier (ARCHITECTURE section 7).
        1 => tier_min: u8,
        /// Allowed values of pinned PCRs, SHA-256 bank, ascending by index.
        2 => pcrs: Vec<PcrReference>,
    }
}

cbor_map! {
    /// The values one PCR may have.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct PcrReference {
        /// PCR index, 0..=23.
        1 => index: u8,
        /// Allowed values, at least one.
        2 => allowed: Vec<Digest>,
    }
}

/// A class that contradicts itself or asks for what this version cannot prove.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hardware class {class}: {name}: expected {expected}, got {actual}")]
pub struct ClassError {
    class: String,
    name: &'static str,
    expected: String,
    actual: String,
}

impl HardwareClass {
    /// The digest that verdicts cite: SHA-256 of the deterministic CBOR.
    pub fn digest(&self) -> Digest {
        hash::digest(&[b"assay/class/1", &self.encode()])
    }

    /// Refuses a class that contradicts itself.
    pub fn validate(&self) -> Result<(), ClassError> {
        self.rule(self.schema == 1, "schema", "1", self.schema)?;
        for (name, ppm) in [
            ("sla.availability_ppm", self.sla.availability_ppm),
            ("sla.coverage_ppm_min", self.sla.coverage_ppm_min),
        ] {
            let in_range = (1..=1_000_000).contains(&ppm.0);
            self.rule(in_range, name, "1..=1000000", ppm)?;
        }
        let bps = self.money.slash_bps;
        self.rule(bps.0 <= 10_000, "money.slash_bps", "at most 10000", bps)?;
        let attempts = self.budget.probe_attempts;
        let in_range = (1..=8).contains(&attempts);
        self.rule(in_range, "budget.probe_attempts", "1..=8", attempts)?;
        let plan = self.chase_plan(RegionId {
            region: 0,
            generation: 0,
        });
        if let Err(error) = plan.validate() {
            self.rule(false, "budget", "a valid chase plan", error)?;
        }
        self.validate_attestation()
    }

    fn validate_attestation(&self) -> Result<(), ClassError> {
        let tier = self.attestation.tier_min;
        let provable = "0 or 1 (tiers 2 and 3 are not proven by this version)";
        self.rule(tier <= 1, "attestation.tier_min", provable, tier)?;
        let pcrs = &self.attestation.pcrs;
        let ordered = pcrs.is_sorted_by(|a, b| a.index < b.index);
        let complete = pcrs
            .iter()
            .all(|pcr| pcr.index <= 14 && !pcr.allowed.is_empty());
        let expected = "ascending indices 0..=14, each with values";
        let actual = format!("{} entries", pcrs.len());
        self.rule(ordered && complete, "attestation.pcrs", expected, actual)
    }

    fn rule(
        &self,
        ok: bool,
        name: &'static str,
        expected: &str,
        actual: impl ToString,
    ) -> Result<(), ClassError> {
        match ok {
            true => Ok(()),
            false => Err(ClassError {
                class: self.name.clone(),
                name,
                expected: expected.to_owned(),
                actual: actual.to_string(),
            }),
        }
    }

    /// The chase this class asks for.
    pub fn chase_plan(&self, id: RegionId) -> crate::chase::ChasePlan {
        crate::chase::ChasePlan {
            id,
            blocks: self.budget.region_blocks,
            lanes: self.budget.chase_lanes,
            steps: self.budget.chase_steps,
            checkpoint_every: self.budget.chase_checkpoint_every,
        }
    }
}

/// Digest of the set of classes in force: the `policyDigest` of an epoch's root.
pub fn policy_digest(classes: &[Digest]) -> Digest {
    let mut sorted = classes.to_vec();
    sorted.sort();
    hash::digest(&[b"assay/policy/1", &sorted.encode()])
}
