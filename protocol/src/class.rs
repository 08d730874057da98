//! Hardware classes: what a node of the class must have, deliver and prove (ARCHITECTURE section 12).
//! The TOML files and their loader are in `hw-profiles`; here are the types and their canonical digest.

use crate::cbor_map;
use crate::hash;
use crate::ids::{Bps, Digest, Digest384, Ppm};
use crate::item::Item;
use crate::params::RosterEntry;
use crate::region::RegionId;
use serde::{Deserialize, Serialize};

cbor_map! {
    /// A hardware class. Its digest is what verdicts cite and the ledger stores.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct HardwareClass {
        /// Schema version, 2.
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
        /// Least collateral, in gwei, see [`crate::amount`].
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
        /// Rules over what the event log proves; a rule that is absent is not made.
        3 => boot: Option<BootPolicy>,
        /// Tier 2 by a published image; absent where the class has none.
        4 => image: Option<ImagePolicy>,
        /// Tier 2 by IMA; absent where the class does not use it.
        5 => ima: Option<ImaPolicy>,
        /// Tier 3 by a chassis proof; absent where the class asks for none.
        6 => chassis: Option<ChassisPolicy>,
    }
}

cbor_map! {
    /// Rules over what the event log proves about the boot. What is not proven fails the rule.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct BootPolicy {
        /// Secure Boot must be proven to be on. By itself it earns no tier: the keys may be the provider's.
        1 => secure_boot: bool,
        /// Kernel command lines allowed, whole.
        2 => command_lines: Option<Vec<String>>,
        /// Authenticode SHA-256 digests of the EFI applications allowed, every one that ran.
        3 => boot_applications: Option<Vec<Digest>>,
        /// Firmware versions allowed, as the S-CRTM names them.
        4 => firmware_versions: Option<Vec<String>>,
    }
}

cbor_map! {
    /// A published image: PCR 4 and PCR 11 are pinned, and the command line inside the image names the hash of the
    /// root file system, so that people see what the pinned values stand for.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct ImagePolicy {
        /// Whole command lines of the image's `.cmdline` section, each with `roothash=` and the dm-verity root hash.
        1 => command_lines: Vec<String>,
    }
}

cbor_map! {
    /// A measured IMA policy and what may run under it.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct ImaPolicy {
        /// SHA-256 digests of the files that may run, ascending: every entry of the measurement list must be one.
        1 => allowed: Vec<Digest>,
        /// SHA-256 digests of the IMA policy files that may be loaded; they are measured like any other file.
        2 => policies: Vec<Digest>,
        /// Kernel command lines allowed, whole: they choose the policy of the first moments.
        3 => command_lines: Vec<String>,
    }
}

cbor_map! {
    /// What a chassis proof must show (ARCHITECTURE section 6).
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct ChassisPolicy {
        /// MEASUREMENT of the probe guest, as its build computes it.
        1 => measurements: Vec<Digest384>,
        /// Least TCB, one entry for each processor generation that is allowed.
        2 => tcb_min: Vec<TcbFloor>,
    }
}

cbor_map! {
    /// The least TCB of one processor generation (SEV-SNP ABI, TCB_VERSION), each part by itself.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct TcbFloor {
        /// The generation: `Milan`, `Genoa` or `Turin`, as AMD names them.
        1 => product: String,
        /// FMC; on Turin only, and there required.
        2 => fmc: Option<u8>,
        /// Boot loader of the security processor.
        3 => bootloader: u8,
        /// Its operating system.
        4 => tee: u8,
        /// SNP firmware.
        5 => snp: u8,
        /// Microcode.
        6 => microcode: u8,
    }
}

/// Processor generations a class may name.
pub const SNP_PRODUCTS: [&str; 3] = ["Milan", "Genoa", "Turin"];

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

impl AttestationPolicy {
    /// A policy of pinned PCRs alone, without rules for tiers 2 and 3.
    pub fn of_pcrs(tier_min: u8, pcrs: Vec<PcrReference>) -> Self {
        Self {
            tier_min,
            pcrs,
            boot: None,
            image: None,
            ima: None,
            chassis: None,
        }
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

/// A class that does not contradict itself, with its digest: both are found out once, and nodes by the thousand are
/// appraised against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidClass {
    class: HardwareClass,
    digest: Digest,
}

impl ValidClass {
    /// Validates a class.
    pub fn new(class: HardwareClass) -> Result<Self, ClassError> {
        class.validate()?;
        Ok(Self::unvalidated(class))
    }

    /// Takes a class as it is: for tests of what the appraisal refuses by itself.
    #[doc(hidden)]
    pub fn unvalidated(class: HardwareClass) -> Self {
        let digest = class.digest();
        Self { class, digest }
    }

    /// The digest that verdicts cite.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The class alone, to make another of it.
    pub fn into_class(self) -> HardwareClass {
        self.class
    }
}

impl core::ops::Deref for ValidClass {
    type Target = HardwareClass;
    fn deref(&self) -> &HardwareClass {
        &self.class
    }
}

impl HardwareClass {
    /// The digest that verdicts cite: SHA-256 of the deterministic CBOR.
    pub fn digest(&self) -> Digest {
        hash::digest(&[b"assay/class/1", &self.encode()])
    }

    /// Refuses a class that contradicts itself.
    pub fn validate(&self) -> Result<(), ClassError> {
        self.rule(self.schema == 2, "schema", "2", self.schema)?;
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
        let policy = &self.attestation;
        let pcrs = &policy.pcrs;
        let ordered = pcrs.is_sorted_by(|a, b| a.index < b.index);
        let complete = pcrs
            .iter()
            .all(|pcr| pcr.index <= 14 && !pcr.allowed.is_empty());
        let expected = "ascending indices 0..=14, each with values";
        let actual = format!("{} entries", pcrs.len());
        self.rule(ordered && complete, "attestation.pcrs", expected, actual)?;
        self.validate_tiers()?;
        self.validate_lists()?;
        let mut allowed = policy.ima.iter().map(|ima| &ima.allowed);
        let ascending = allowed.all(|list| list.is_sorted_by(|a, b| a < b));
        let expected = "ascending digests, none twice";
        self.rule(
            ascending,
            "attestation.ima.allowed",
            expected,
            "another order",
        )?;
        self.validate_chassis()
    }

    /// A class may ask only for a tier whose proof it describes.
    fn validate_tiers(&self) -> Result<(), ClassError> {
        let policy = &self.attestation;
        let tier = policy.tier_min;
        self.rule(tier <= 3, "attestation.tier_min", "0 to 3", tier)?;
        let software = policy.image.is_some() || policy.ima.is_some();
        let why = "an image or an ima section for tier 2 and above";
        self.rule(tier < 2 || software, "attestation", why, "neither")?;
        let why = "a chassis section for tier 3, and an image or an ima section with it";
        let chassis = policy.chassis.is_some();
        self.rule(tier < 3 || chassis, "attestation", why, "none")?;
        self.rule(!chassis || software, "attestation", why, "a chassis alone")?;
        let pinned = |index| policy.pcrs.iter().any(|pcr| pcr.index == index);
        let image = policy.image.is_none() || (pinned(4) && pinned(11));
        let expected = "PCR 4 and PCR 11 pinned beside an image section";
        self.rule(image, "attestation.pcrs", expected, "not both")?;
        let line = policy
            .boot
            .as_ref()
            .is_some_and(|boot| boot.command_lines.is_some());
        let expected = "none beside an image, which holds its own command line";
        let twice = policy.image.is_some() && line;
        self.rule(!twice, "attestation.boot.command_lines", expected, "some")?;
        let lines = policy.image.iter().flat_map(|image| &image.command_lines);
        lines.into_iter().try_for_each(|line| {
            let expected = "roothash= and 64 hexadecimal digits in each";
            let name = "attestation.image.command_lines";
            self.rule(verity_root(line).is_some(), name, expected, line)
        })
    }

    /// An empty list would allow nothing, or be taken for "anything": it is a mistake either way.
    fn validate_lists(&self) -> Result<(), ClassError> {
        let policy = &self.attestation;
        let boot = policy.boot.as_ref();
        let image = policy.image.as_ref();
        let ima = policy.ima.as_ref();
        let chassis = policy.chassis.as_ref();
        let lengths = [
            (
                "boot.command_lines",
                boot.and_then(|b| Some(b.command_lines.as_ref()?.len())),
            ),
            (
                "boot.boot_applications",
                boot.and_then(|b| Some(b.boot_applications.as_ref()?.len())),
            ),
            (
                "boot.firmware_versions",
                boot.and_then(|b| Some(b.firmware_versions.as_ref()?.len())),
            ),
            ("image.command_lines", image.map(|i| i.command_lines.len())),
            ("ima.allowed", ima.map(|i| i.allowed.len())),
            ("ima.policies", ima.map(|i| i.policies.len())),
            ("ima.command_lines", ima.map(|i| i.command_lines.len())),
            (
                "chassis.measurements",
                chassis.map(|c| c.measurements.len()),
            ),
            ("chassis.tcb_min", chassis.map(|c| c.tcb_min.len())),
        ];
        lengths.into_iter().try_for_each(|(name, length)| {
            self.rule(length != Some(0), name, "at least one entry", 0)
        })
    }

    fn validate_chassis(&self) -> Result<(), ClassError> {
        let floors = self.attestation.chassis.iter().flat_map(|c| &c.tcb_min);
        let mut seen: Vec<&str> = Vec::new();
        for floor in floors {
            let product = floor.product.as_str();
            let known = SNP_PRODUCTS.contains(&product) && !seen.contains(&product);
            let name = "chassis.tcb_min.product";
            self.rule(known, name, "Milan, Genoa or Turin, each once", product)?;
            let name = "chassis.tcb_min.fmc";
            let fits = floor.fmc.is_some() == (product == "Turin");
            self.rule(fits, name, "a value on Turin, none elsewhere", product)?;
            seen.push(product);
        }
        Ok(())
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

/// The dm-verity root hash that a kernel command line names; nothing when it names none or two.
pub fn verity_root(command_line: &str) -> Option<Digest> {
    let mut named = command_line
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("roothash="));
    match (named.next(), named.next()) {
        (Some(hash), None) if !hash.starts_with("0x") => hash.parse().ok(),
        _ => None,
    }
}

/// Digest of what an epoch is judged by, the `policyDigest` of its root: the classes in force, and whose stake counts.
pub fn policy_digest(classes: &[Digest], roster: &[RosterEntry]) -> Digest {
    let (mut classes, mut roster) = (classes.to_vec(), roster.to_vec());
    classes.sort();
    roster.sort_by_key(|entry| entry.id);
    hash::digest(&[b"assay/policy/3", &classes.encode(), &roster.encode()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(attestation: AttestationPolicy) -> HardwareClass {
        HardwareClass {
            schema: 2,
            name: "t".into(),
            summary: String::new(),
            hardware: Hardware {
                cpu: "any".into(),
                cores: 1,
                memory_mib: 1,
                disk_gib: 1,
                nic_mbps: 1,
            },
            sla: Sla {
                availability_ppm: Ppm(1_000_000),
                coverage_ppm_min: Ppm(1),
                chase_reads_per_s_min: 1,
                chase_liveness_reads_per_s_min: 1,
            },
            budget: Budget {
                region_blocks: 64,
                chase_lanes: 1,
                chase_steps: 16,
                chase_checkpoint_every: 16,
                probe_attempts: 1,
            },
            money: Money {
                collateral_gwei_min: 1,
                reward_gwei_per_epoch: 1,
                slash_bps: Bps(10_000),
            },
            attestation,
        }
    }

    fn full() -> AttestationPolicy {
        let pinned = |index| PcrReference {
            index,
            allowed: vec![Digest([1; 32])],
        };
        let floor = |product: &str, fmc| TcbFloor {
            product: product.into(),
            fmc,
            bootloader: 1,
            tee: 0,
            snp: 1,
            microcode: 1,
        };
        AttestationPolicy {
            tier_min: 3,
            pcrs: vec![pinned(4), pinned(11)],
            boot: Some(BootPolicy {
                secure_boot: true,
                command_lines: None,
                boot_applications: Some(vec![Digest([2; 32])]),
                firmware_versions: Some(vec!["1".into()]),
            }),
            image: Some(ImagePolicy {
                command_lines: vec![format!("roothash={} ro", "03".repeat(32))],
            }),
            ima: Some(ImaPolicy {
                allowed: vec![Digest([4; 32]), Digest([5; 32])],
                policies: vec![Digest([5; 32])],
                command_lines: vec!["ro".into()],
            }),
            chassis: Some(ChassisPolicy {
                measurements: vec![Digest384([6; 48])],
                tcb_min: vec![floor("Genoa", None), floor("Turin", Some(1))],
            }),
        }
    }

    /// What a changed policy is refused for; nothing when it is accepted.
    fn refused(change: impl FnOnce(&mut AttestationPolicy)) -> String {
        let mut policy = full();
        change(&mut policy);
        let outcome = class(policy).validate();
        outcome.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_complete_policy_is_accepted_and_round_trips() {
        let class = class(full());
        assert_eq!(class.validate(), Ok(()));
        assert_eq!(
            HardwareClass::decode("class", 4_096, &class.encode()),
            Ok(class)
        );
    }

    #[test]
    fn a_tier_needs_the_section_that_proves_it() {
        assert!(refused(|p| p.tier_min = 4).contains("tier_min"));
        assert!(refused(|p| p.chassis = None).contains("a chassis section"));
        let neither = |p: &mut AttestationPolicy| (p.image, p.ima) = (None, None);
        assert!(refused(neither).contains("an image or an ima section"));
        let bare = |tier| {
            move |p: &mut AttestationPolicy| *p = AttestationPolicy::of_pcrs(tier, Vec::new())
        };
        assert_eq!(refused(bare(1)), "");
        assert!(refused(bare(2)).contains("an image or an ima section"));
        let alone = |p: &mut AttestationPolicy| (p.tier_min, p.image, p.ima) = (1, None, None);
        assert!(refused(alone).contains("a chassis alone"));
        for only in [0, 1] {
            let one = |p: &mut AttestationPolicy| drop(p.pcrs.remove(only));
            assert!(refused(one).contains("PCR 4 and PCR 11"));
        }
        assert_eq!(refused(|p| (p.image, p.pcrs) = (None, Vec::new())), "");
        assert_eq!(refused(|p| p.ima = None), "");
    }

    #[test]
    fn an_image_holds_its_own_command_line() {
        let lines = |p: &mut AttestationPolicy| {
            p.boot.as_mut().unwrap().command_lines = Some(vec!["ro".into()]);
        };
        assert!(refused(lines).contains("none beside an image"));
        let without = |p: &mut AttestationPolicy| {
            lines(p);
            p.image = None;
        };
        assert_eq!(refused(without), "");
    }

    #[test]
    fn an_image_names_the_hash_of_its_root() {
        let hash = "0a".repeat(32);
        let root = Some(Digest([10; 32]));
        assert_eq!(verity_root(&format!("ro roothash={hash} quiet")), root);
        for bad in [
            "ro quiet".to_owned(),
            format!("roothash={hash} roothash={hash}"),
            format!("roothash=0x{hash}"),
            format!("roothash={}", "0a".repeat(31)),
            format!("xroothash={hash}"),
        ] {
            assert_eq!(verity_root(&bad), None, "{bad}");
            let line = |p: &mut AttestationPolicy| {
                p.image.as_mut().unwrap().command_lines.push(bad.clone());
            };
            assert!(refused(line).contains("roothash="), "{bad}");
        }
    }

    #[test]
    fn pcrs_are_ascending_known_and_have_values() {
        assert!(refused(|p| p.pcrs.reverse()).contains("ascending"));
        assert!(refused(|p| p.pcrs[1].index = 4).contains("ascending"));
        assert!(refused(|p| p.pcrs[1].index = 15).contains("ascending"));
        assert!(refused(|p| p.pcrs[0].allowed.clear()).contains("ascending"));
    }

    #[test]
    fn empty_lists_are_mistakes_and_named() {
        fn boot(p: &mut AttestationPolicy) -> &mut BootPolicy {
            p.boot.as_mut().unwrap()
        }
        fn ima(p: &mut AttestationPolicy) -> &mut ImaPolicy {
            p.ima.as_mut().unwrap()
        }
        fn chassis(p: &mut AttestationPolicy) -> &mut ChassisPolicy {
            p.chassis.as_mut().unwrap()
        }
        let cases = [
            (
                "boot.command_lines",
                refused(|p| {
                    boot(p).command_lines = Some(vec![]);
                    p.image = None;
                }),
            ),
            (
                "boot.boot_applications",
                refused(|p| boot(p).boot_applications = Some(vec![])),
            ),
            (
                "boot.firmware_versions",
                refused(|p| boot(p).firmware_versions = Some(vec![])),
            ),
            (
                "image.command_lines",
                refused(|p| p.image.as_mut().unwrap().command_lines.clear()),
            ),
            ("ima.allowed", refused(|p| ima(p).allowed.clear())),
            ("ima.policies", refused(|p| ima(p).policies.clear())),
            (
                "ima.command_lines",
                refused(|p| ima(p).command_lines.clear()),
            ),
            (
                "chassis.measurements",
                refused(|p| chassis(p).measurements.clear()),
            ),
            ("chassis.tcb_min", refused(|p| chassis(p).tcb_min.clear())),
        ];
        for (name, error) in cases {
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn allowed_files_are_ascending_and_listed_once() {
        let list = |values: [u8; 2]| {
            refused(|p| {
                let allowed = values.map(|value| Digest([value; 32]));
                p.ima.as_mut().unwrap().allowed = allowed.to_vec();
            })
        };
        assert_eq!(list([1, 2]), "");
        assert!(list([2, 1]).contains("ascending"));
        assert!(list([1, 1]).contains("ascending"));
    }

    #[test]
    fn floors_name_known_generations_once_and_fmc_only_on_turin() {
        fn floors(p: &mut AttestationPolicy) -> &mut Vec<TcbFloor> {
            &mut p.chassis.as_mut().unwrap().tcb_min
        }
        assert!(refused(|p| floors(p)[0].product = "Rome".into()).contains("Rome"));
        assert!(refused(|p| floors(p)[1].product = "Genoa".into()).contains("each once"));
        assert!(refused(|p| floors(p)[0].fmc = Some(1)).contains("fmc"));
        assert!(refused(|p| floors(p)[1].fmc = None).contains("fmc"));
    }
}
