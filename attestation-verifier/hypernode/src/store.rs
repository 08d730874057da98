//! What a HyperNode keeps besides its journal's outcomes: small facts under the journal's `meta` keys.

use crate::challenge::ima::KeptPosition;
use crate::clock;
use crate::context::Context;
use anyhow::{Context as _, Result};
use assay_aggregate::agreement::{Arrival, Memory};
use assay_aggregate::root::EpochRoot;
use assay_appraisal::tpm::attest::ClockInfo;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::cbor_map;
use assay_protocol::ids::{
    Address, AkName, Digest, Epoch, HyperNodeId, Keccak, NodeId, SessionKey, UnixMs,
};
use assay_protocol::item::{Blob, Item};
use assay_protocol::limits::SMALL_OBJECT_BYTES_MAX;
use assay_protocol::params::STAKES_FIXED_AHEAD;
use assay_protocol::region::RegionId;
use assay_protocol::succession::Lineage;

/// Key of the lineage.
const LINEAGE: &str = "lineage";
/// Key of the epochs with a say.
const SAY: &str = "say";

cbor_map! {
    /// A session key bound to a node's TPM by an accepted quote (ARCHITECTURE section 5).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Binding {
        /// The session key.
        1 => session_key: SessionKey,
        /// The AK that vouched for it.
        2 => ak_name: AkName,
        /// Epoch of the nonce.
        3 => epoch: Epoch,
        /// resetCount of the quote.
        4 => reset_count: u32,
        /// restartCount of the quote.
        5 => restart_count: u32,
    }
}

impl Binding {
    /// A binding ends two epochs after its nonce.
    pub fn holds_in(&self, epoch: Epoch) -> bool {
        epoch.0 < self.epoch.0.saturating_add(2)
    }
}

cbor_map! {
    /// The last accepted clock of a node's TPM.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct KeptClock {
        /// Milliseconds.
        1 => clock_ms: u64,
        /// resetCount.
        2 => reset_count: u32,
        /// restartCount.
        3 => restart_count: u32,
        /// Safe flag.
        4 => safe: bool,
    }
}

cbor_map! {
    /// An own report and the salt that hides it until the reveal.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct KeptReport {
        /// Salt of the commit.
        1 => salt: [u8; 32],
        /// The signed report.
        2 => signed: Blob,
    }
}

/// Another root was signed of this epoch and round before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("epoch {epoch}: already signed root digest {signed} in round {round}, refusing {refused}")]
pub struct AlreadySigned {
    /// The epoch.
    pub epoch: Epoch,
    /// The round.
    pub round: u32,
    /// Signed before.
    pub signed: Keccak,
    /// Refused now.
    pub refused: Keccak,
}

impl Context {
    fn get<T: Item>(&self, key: &str) -> Result<Option<T>> {
        let bytes = self.journal(|journal| journal.meta(key))?;
        let max = assay_protocol::limits::REPORT_BYTES_MAX.saturating_add(SMALL_OBJECT_BYTES_MAX);
        bytes
            .map(|bytes| T::decode("stored record", max, &bytes))
            .transpose()
            .with_context(|| format!("stored record {key}"))
    }

    fn put<T: Item>(&self, key: &str, value: &T) -> Result<()> {
        Ok(self.journal(|journal| journal.put_meta(key, &value.encode()))?)
    }

    /// The enrolment of a node.
    pub fn enrolment(&self, node: &NodeId) -> Result<Option<EnrolRecord>> {
        self.get(&format!("enrol/{node}"))
    }

    /// Keeps an enrolment; another EK for the same id cannot exist, as the id is the EK's hash. Clock and IMA
    /// position of another AK are forgotten: a new key starts a new record.
    pub fn keep_enrolment(&self, record: &EnrolRecord) -> Result<()> {
        let clock = format!("clock/{}", record.node);
        if self
            .enrolment(&record.node)?
            .is_none_or(|old| old.ak_name != record.ak_name)
        {
            self.journal(|journal| journal.remove_meta(&clock))?;
            self.forget_ima_position(&record.node)?;
        }
        self.put(&format!("enrolled-at/{}", record.node), &clock::now())?;
        self.put(&format!("enrol/{}", record.node), record)
    }

    /// Forgets an enrolment, so that the node enrols anew.
    pub fn forget_enrolment(&self, node: &NodeId) -> Result<()> {
        let key = format!("enrol/{node}");
        Ok(self.journal(|journal| journal.remove_meta(&key))?)
    }

    /// When the node was enrolled.
    pub fn enrolled_at(&self, node: &NodeId) -> Result<UnixMs> {
        let at = self.get(&format!("enrolled-at/{node}"))?;
        at.with_context(|| format!("node {node} is not enrolled"))
    }

    /// The current binding of a node.
    pub fn binding(&self, node: &NodeId) -> Result<Option<Binding>> {
        self.get(&format!("binding/{node}"))
    }

    /// Replaces the binding; the session key replaced is dead for ever.
    pub fn bind(&self, node: &NodeId, binding: &Binding) -> Result<()> {
        if let Some(old) = self
            .binding(node)?
            .filter(|old| old.session_key != binding.session_key)
        {
            self.end_session(node, &old.session_key)?;
        }
        self.put(&format!("binding/{node}"), binding)
    }

    /// From now on nothing counts that this key signs.
    pub fn end_session(&self, node: &NodeId, key: &SessionKey) -> Result<()> {
        self.put(&format!("dead/{node}/{key}"), &true)
    }

    /// Whether a session key was replaced by another one before, or outlived a reset of the TPM.
    pub fn is_dead(&self, node: &NodeId, key: &SessionKey) -> Result<bool> {
        Ok(self.get::<bool>(&format!("dead/{node}/{key}"))?.is_some())
    }

    /// Last accepted TPM clock of a node.
    pub fn clock_of(&self, node: &NodeId) -> Result<Option<ClockInfo>> {
        let kept: Option<KeptClock> = self.get(&format!("clock/{node}"))?;
        Ok(kept.map(|kept| ClockInfo {
            clock_ms: kept.clock_ms,
            reset_count: kept.reset_count,
            restart_count: kept.restart_count,
            safe: kept.safe,
        }))
    }

    /// Keeps a TPM clock.
    pub fn keep_clock(&self, node: &NodeId, clock: &ClockInfo) -> Result<()> {
        let kept = KeptClock {
            clock_ms: clock.clock_ms,
            reset_count: clock.reset_count,
            restart_count: clock.restart_count,
            safe: clock.safe,
        };
        self.put(&format!("clock/{node}"), &kept)
    }

    /// How far the IMA list of a node was appraised.
    pub fn ima_position(&self, node: &NodeId) -> Result<Option<KeptPosition>> {
        self.get(&format!("ima/{node}"))
    }

    /// Keeps how far the IMA list of a node was appraised.
    pub fn keep_ima_position(&self, node: &NodeId, position: &KeptPosition) -> Result<()> {
        self.put(&format!("ima/{node}"), position)
    }

    /// Forgets how far the IMA list of a node was appraised.
    pub fn forget_ima_position(&self, node: &NodeId) -> Result<()> {
        let key = format!("ima/{node}");
        Ok(self.journal(|journal| journal.remove_meta(&key))?)
    }

    /// The countersigned receipt of a region.
    pub fn receipt(&self, node: &NodeId, id: RegionId) -> Result<Option<Blob>> {
        self.get(&format!("receipt/{node}/{}/{}", id.region, id.generation))
    }

    /// Keeps a countersigned receipt.
    pub fn keep_receipt(&self, node: &NodeId, id: RegionId, receipt: &[u8]) -> Result<()> {
        let key = format!("receipt/{node}/{}/{}", id.region, id.generation);
        self.put(&key, &Blob(receipt.to_vec()))
    }

    /// The own report of an epoch.
    pub fn own_report(&self, epoch: Epoch) -> Result<Option<KeptReport>> {
        self.get(&format!("report/{epoch}"))
    }

    /// Keeps the own report before anything about it is sent.
    pub fn keep_report(&self, epoch: Epoch, report: &KeptReport) -> Result<()> {
        self.put(&format!("report/{epoch}"), report)
    }

    /// Size of the log when an epoch was closed.
    pub fn closed_at(&self, epoch: Epoch) -> Result<Option<u64>> {
        self.get(&format!("closed/{epoch}"))
    }

    /// Keeps the size of the log at an epoch's end.
    pub fn keep_closed(&self, epoch: Epoch, size: u64) -> Result<()> {
        self.put(&format!("closed/{epoch}"), &size)
    }

    /// Whom agents answer, as last kept.
    pub fn kept_lineage(&self) -> Result<Option<Lineage>> {
        let bytes = self.journal(|journal| journal.meta(LINEAGE))?;
        let opened = bytes.map(|bytes| Lineage::open(&self.network, &bytes));
        opened.transpose().context("stored record lineage")
    }

    /// Keeps whom agents answer.
    pub fn put_lineage(&self, lineage: &Lineage) -> Result<()> {
        Ok(self.journal(|journal| journal.put_meta(LINEAGE, &lineage.bytes()))?)
    }

    /// In which epochs on end this HyperNode had a say: the first and the last.
    pub fn say(&self) -> Result<Option<(Epoch, Epoch)>> {
        self.get(SAY)
    }

    /// Notes that this HyperNode has a say in an epoch.
    pub fn note_say(&self, epoch: Epoch) -> Result<()> {
        let since = match self.say()? {
            Some((_, last)) if last >= epoch => return Ok(()),
            Some((since, last)) if last.next() == epoch => since,
            _ => epoch,
        };
        self.put(SAY, &(since, epoch))
    }

    /// Whether this HyperNode had no say in the epoch before this one, or was on no roster then that agents can have been told
    /// of: then a node may have been restarted unseen, or does not answer because nobody has told it whom to.
    pub fn is_back(&self, epoch: Epoch) -> Result<bool> {
        let before = match self.say()? {
            Some((since, last)) => since < epoch && last.next() >= epoch,
            None => false,
        };
        let last = Epoch(epoch.0.saturating_sub(1));
        let answered = self.lineage(|lineage| lineage.is_in_force(&self.own, last));
        // Nobody has been away before the first stakes that can change.
        Ok(!(before && answered) && epoch.0 >= STAKES_FIXED_AHEAD)
    }

    /// What the agreement of an epoch must remember over a crash.
    pub fn agreement_memory(&self, epoch: Epoch) -> Result<Option<Memory>> {
        let key = format!("agreement/{epoch}");
        let bytes = self.journal(|journal| journal.meta(&key))?;
        Ok(bytes.map(|bytes| Memory::decode(&bytes)).transpose()?)
    }

    /// Keeps the agreement's memory.
    pub fn keep_agreement_memory(&self, epoch: Epoch, memory: &Memory) -> Result<()> {
        let key = format!("agreement/{epoch}");
        Ok(self.journal(|journal| journal.put_meta(&key, &memory.encode()))?)
    }

    /// Keeps what is signed as a root, before it is: of an epoch, round and committee one root only is ever signed, for two of
    /// them prove a fault.
    pub fn keep_signed(&self, root: &EpochRoot, digest: &Keccak) -> Result<()> {
        let (epoch, round) = (root.epoch, root.round);
        let key = format!("signed/{epoch}/{round}/{}", root.committee);
        match self.get::<Keccak>(&key)? {
            Some(signed) if signed != *digest => {
                return Err(AlreadySigned {
                    epoch,
                    round,
                    signed,
                    refused: *digest,
                }
                .into());
            }
            Some(_) => {}
            None => self.put(&key, digest)?,
        }
        Ok(())
    }

    /// The round in which a root with this digest was signed.
    pub fn signed_round(&self, epoch: Epoch, digest: &Keccak) -> Result<Option<u32>> {
        let prefix = format!("signed/{epoch}/");
        let kept = self.journal(|journal| journal.meta_with_prefix(&prefix))?;
        for (key, _) in kept {
            if self.get::<Keccak>(&key)?.as_ref() == Some(digest) {
                let round = key
                    .strip_prefix(&prefix)
                    .and_then(|rest| rest.split('/').next());
                let round = round.and_then(|round| round.parse().ok());
                return Ok(Some(round.with_context(|| format!("stored record {key}"))?));
            }
        }
        Ok(None)
    }

    /// Commits that were seen before commits closed, and when.
    pub fn commits_in_time(&self, epoch: Epoch) -> Result<Vec<(HyperNodeId, Digest, Arrival)>> {
        let prefix = format!("seen/{epoch}/");
        let found = self.journal(|journal| journal.meta_with_prefix(&prefix))?;
        found
            .into_iter()
            .map(|(key, kept)| {
                let (id, commit) = key
                    .strip_prefix(&prefix)
                    .and_then(|rest| rest.split_once('/'))
                    .with_context(|| format!("stored record {key}"))?;
                let arrival = arrival(&kept).with_context(|| format!("stored record {key}"))?;
                Ok((id.parse()?, commit.parse()?, arrival))
            })
            .collect()
    }

    /// Remembers a commit seen in time; when it was seen first stays.
    pub fn keep_commit_in_time(
        &self,
        epoch: Epoch,
        id: &HyperNodeId,
        commit: &Digest,
        arrival: Arrival,
    ) -> Result<()> {
        let key = format!("seen/{epoch}/{id}/{commit}");
        match self.journal(|journal| journal.meta(&key))? {
            Some(_) => Ok(()),
            None => self.put(&key, &arrival.code()),
        }
    }

    /// Remembers which object holds the raw evidence behind a salted digest.
    pub fn keep_raw(&self, salted: &Digest, sha256: &Digest) -> Result<()> {
        self.put(&format!("raw/{salted}"), sha256)
    }

    /// The object that holds the raw evidence behind a salted digest.
    pub fn raw_of(&self, salted: &Digest) -> Result<Option<Digest>> {
        self.get(&format!("raw/{salted}"))
    }

    /// The owner that authentic evidence of this epoch proved, by the salted digest of that evidence.
    pub fn keep_owner(&self, salted: &Digest, owner: &Address) -> Result<()> {
        self.put(&format!("owner/{salted}"), owner)
    }

    /// Remembers that the keys of a generation's regions are told before its period is over.
    pub fn keep_told_early(&self, generation: u64) -> Result<()> {
        self.put("told-early", &generation)
    }

    /// Whether the keys of a generation's regions were told before its period was over: who has them can make the blocks.
    pub fn is_told_early(&self, generation: u64) -> Result<bool> {
        let told: Option<u64> = self.get("told-early")?;
        Ok(told.is_some_and(|told| told >= generation))
    }

    /// See [`Context::keep_owner`].
    pub fn owner_of(&self, salted: &Digest) -> Result<Option<Address>> {
        self.get(&format!("owner/{salted}"))
    }

    /// The digest over processors that such evidence proved.
    pub fn keep_chips(&self, salted: &Digest, chips: &Digest) -> Result<()> {
        self.put(&format!("chips/{salted}"), chips)
    }

    /// See [`Context::keep_chips`].
    pub fn chips_of(&self, salted: &Digest) -> Result<Option<Digest>> {
        self.get(&format!("chips/{salted}"))
    }
}

/// When a commit was seen, as it is kept. Versions before this one kept only that it was before the closing.
fn arrival(kept: &[u8]) -> Option<Arrival> {
    if kept == true.encode() {
        return Some(Arrival::Edge);
    }
    let code = u8::decode("arrival", kept.len(), kept).ok()?;
    Arrival::from_code(code)
}
