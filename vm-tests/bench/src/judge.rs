//! One HyperNode that has enrolled a node and goes on with it.

use crate::trial::{Seen, Trial, recorded};
use anyhow::{Context as _, Result};
use assay_hypernode::challenge::{Asking, chase, fill, probe};
use assay_hypernode::context::Context;
use assay_hypernode::ledger_view::Registered;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::ids::{NodeId, SessionKey};
use assay_protocol::outcome::{Outcome, OutcomeKind};
use assay_protocol::region::RegionId;
use std::sync::Arc;

/// The one region of these trials.
const REGION: RegionId = RegionId {
    region: 0,
    generation: 0,
};

/// A HyperNode that has enrolled and attested a node, and goes on with it.
pub struct Judge {
    /// Its daemon's context.
    pub context: Arc<Context>,
    /// What it keeps of the enrolment.
    pub record: EnrolRecord,
    endpoint: String,
}

impl Judge {
    /// Enrols with a HyperNode without memory.
    pub async fn enrol(trial: &Trial, node: NodeId, endpoint: &str) -> Result<Self> {
        Self::of_member(0, trial, node, endpoint).await
    }

    /// The same with another member of the roster.
    pub async fn of_member(
        member: usize,
        trial: &Trial,
        node: NodeId,
        endpoint: &str,
    ) -> Result<Self> {
        let context = trial.bench.fresh(member);
        let record = trial.enrol(&context, node, endpoint).await?;
        Ok(Self {
            context,
            record,
            endpoint: endpoint.to_owned(),
        })
    }

    /// A HyperNode that remembers the enrolment alone, and takes the node to be at `endpoint`.
    pub fn elsewhere(&self, trial: &Trial, endpoint: &str) -> Result<Self> {
        let context = trial.judge();
        context.keep_enrolment(&self.record)?;
        Ok(Self {
            context,
            record: self.record.clone(),
            endpoint: endpoint.to_owned(),
        })
    }

    /// Attests.
    pub async fn attest(&self, trial: &Trial) -> Result<Seen> {
        let endpoint = &self.endpoint;
        trial.attest(&self.context, &self.record, endpoint).await
    }

    /// The session key that holds.
    pub fn session(&self) -> Result<SessionKey> {
        let binding = self.context.binding(&self.record.node)?;
        Ok(binding.context("no session key is bound")?.session_key)
    }

    /// resetCount of the last quote that was accepted.
    pub fn reset_count(&self) -> Result<u32> {
        let clock = self.context.clock_of(&self.record.node)?;
        Ok(clock.context("no quote was accepted")?.reset_count)
    }

    /// Probes once.
    pub async fn probe(&self, trial: &Trial) -> Result<Outcome> {
        let session = probe::Session {
            key: self.session()?,
            holds: true,
        };
        let registered = trial.bench.registered(self.record.node, &self.endpoint);
        let asking = self.begin(trial, &registered, OutcomeKind::Probe).await?;
        probe::run(&self.context, &asking, &mut None, Some(session)).await?;
        recorded(&asking, OutcomeKind::Probe)
    }

    /// Fills [`REGION`].
    pub async fn fill(&self, trial: &Trial) -> Result<Outcome> {
        let registered = trial.bench.registered(self.record.node, &self.endpoint);
        let asking = self.begin(trial, &registered, OutcomeKind::Fill).await?;
        fill::run(&asking, self.session()?, REGION).await?;
        recorded(&asking, OutcomeKind::Fill)
    }

    /// Chases through [`REGION`].
    pub async fn chase(&self, trial: &Trial) -> Result<Outcome> {
        let registered = trial.bench.registered(self.record.node, &self.endpoint);
        let asking = self.begin(trial, &registered, OutcomeKind::Chase).await?;
        chase::run(&asking, self.session()?, REGION).await?;
        recorded(&asking, OutcomeKind::Chase)
    }

    async fn begin<'a>(
        &'a self,
        trial: &Trial,
        registered: &'a Registered,
        kind: OutcomeKind,
    ) -> Result<Asking<'a>> {
        let place = trial.place(&self.context, self.record.node, kind).await?;
        Asking::begin(&self.context, registered, place)
    }
}
