//! The result as an EAR, for relying parties that never see our own types.

use super::policy::{Appraisal, Attest};
use crate::ear::{Area, CHECKS_MAX, Ear, Module, TrustClaim, TrustVector};
use assay_protocol::ids::{Digest, Nonce, UnixMs};

impl Appraisal {
    /// The result token: unsigned, the same bytes for whoever appraises the same evidence under the same policy.
    ///
    /// `evidence` is the SHA-256 of the signed evidence, `at` the time it was appraised at. Of more checks than a token
    /// holds the first ones are kept.
    pub fn ear(&self, evidence: Digest, nonce: Nonce, at: UnixMs) -> Ear {
        let checks = self.checks.iter().take(CHECKS_MAX);
        let mut modules = vec![Module {
            name: "tpm".into(),
            vector: self.tpm_vector(),
        }];
        if let Some(vector) = self.chassis_vector() {
            modules.insert(
                0,
                Module {
                    name: "sev-snp".into(),
                    vector,
                },
            );
        }
        Ear {
            node: self.node,
            nonce,
            issued_at_s: at.0 / 1_000,
            build: env!("CARGO_PKG_VERSION").into(),
            modules,
            tier: self.tier,
            policy: self.policy,
            evidence,
            checks: Ear::fit_checks(checks),
        }
    }

    /// What the quote shows. Authentic evidence identifies the instance, whatever else is wrong with it.
    fn tpm_vector(&self) -> TrustVector {
        let executables = match (self.attest, self.tier) {
            (Attest::Fail, _) => TrustClaim::CONTRAINDICATED,
            (Attest::Undecided, _) => TrustClaim::NONE,
            (Attest::Pass, 0 | 1) => TrustClaim::BOOT_AFFIRMED,
            (Attest::Pass, _) => TrustClaim::AFFIRMED,
        };
        let stated = |known: bool| match known {
            true => TrustClaim::AFFIRMED,
            false => TrustClaim::NONE,
        };
        TrustVector::new()
            .with(Area::InstanceIdentity, TrustClaim::AFFIRMED)
            .with(Area::Configuration, stated(self.owner.is_some()))
            .with(Area::Executables, executables)
            .with(Area::Hardware, stated(self.shown.firmware))
    }

    /// What a chassis proof shows, when there is one.
    fn chassis_vector(&self) -> Option<TrustVector> {
        self.shown.chip?;
        let vector = TrustVector::new().with(Area::InstanceIdentity, TrustClaim::AFFIRMED);
        Some(vector.with(Area::Hardware, TrustClaim::AFFIRMED))
    }
}
