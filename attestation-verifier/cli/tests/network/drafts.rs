//! What a HyperNode does about the node in an epoch, as outcomes that are not signed yet.

use super::{Behaviour, Cast, Draft, Memory};
use assay_aggregate::draw::{Candidate, PanelOf, panel};
use assay_aggregate::roster::Roster;
use assay_appraisal::counters;
use assay_protocol::answers::{ChaseAnswer, EnrolRecord};
use assay_protocol::cose::{self, Signer};
use assay_protocol::ids::{Beacon, Epoch, Slot};
use assay_protocol::item::{Blob, Item};
use assay_protocol::outcome::{OutcomeClass, OutcomeKind, media, metric};
use assay_protocol::region::{RegionId, key_hash, region_root};
use assay_protocol::schedule::{probe_offset_ms, probe_window_ms};
use std::collections::BTreeSet;

impl Cast {
    /// What HyperNode `who` does about the node in an epoch, in the order it is logged.
    pub(super) fn drafts(
        &self,
        who: usize,
        epoch: u64,
        beacon: Beacon,
        memory: &mut Memory,
    ) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let id = RegionId {
            region: 0,
            generation: self.params.region_generation(Epoch(epoch)),
        };
        let first = self.first_epoch(who);
        if epoch == first {
            drafts.push(self.enrol(who, epoch));
        }
        drafts.push(self.attest(who, epoch, memory));
        if epoch == first || epoch.is_multiple_of(self.params.region_epochs) {
            drafts.extend(self.fill(who, epoch, id));
        }
        for slot in self.panel_slots(who, epoch, beacon) {
            drafts.push(self.probe(who, (epoch, slot), beacon));
        }
        drafts.push(self.chase(who, epoch, id));
        drafts
    }

    fn enrol(&self, who: usize, epoch: u64) -> Draft {
        let mut draft = self.draft(who, (epoch, 0), OutcomeKind::Enrol, 1);
        let record = EnrolRecord {
            node: self.tpm.node,
            ek_certificate: Blob(self.tpm.ek_certificate.clone()),
            ek_public: Blob(self.tpm.ek_public.clone()),
            ak_public: Blob(self.tpm.ak_public()),
            ak_name: self.tpm.ak_name(),
        };
        draft.raw.push((record.encode(), media::ENROL_RECORD));
        draft
    }

    fn attest(&self, who: usize, epoch: u64, memory: &mut Memory) -> Draft {
        memory.clock_ms += 1_000;
        let mut draft = self.draft(who, (epoch, 0), OutcomeKind::Attest, 2);
        let raw = self.evidence(&draft.outcome, memory.clock_ms, &self.session);
        draft.raw.push((raw, media::EVIDENCE));
        if self.measuring {
            let parts = (0..epoch).map(|epoch| self.measured_in(epoch).encode());
            draft.raw.extend(parts.map(|part| (part, media::IMA_PART)));
        }
        let rogue = self.behaviour == Behaviour::Rogue;
        draft.outcome.class = if rogue {
            OutcomeClass::Fail
        } else {
            OutcomeClass::Pass
        };
        let tier = u64::from(!rogue) + u64::from(self.measuring);
        draft.outcome.metrics = vec![(metric::TIER, tier)];
        draft
    }

    /// The key's hash and the fill of a region.
    pub fn fill(&self, who: usize, epoch: u64, id: RegionId) -> [Draft; 2] {
        let mut logged = self.draft(who, (epoch, 0), OutcomeKind::RegionKey, 3);
        let key = self.region_key(who, id);
        let raw = [
            &id.region.to_be_bytes()[..],
            &id.generation.to_be_bytes(),
            &key_hash(&key).0,
        ]
        .concat();
        logged.raw.push((raw, media::REGION_KEY_HASH));
        let blocks = self.class.budget.region_blocks;
        let mut fill = self.draft(who, (epoch, 0), OutcomeKind::Fill, 4);
        let root = region_root(&key, blocks).unwrap();
        fill.raw
            .push((self.receipt(who, id, root, &self.session), media::RECEIPT));
        fill.outcome.metrics = vec![
            (metric::FILL_BYTES, u64::from(blocks) * 4096),
            (metric::FILL_US, 9),
        ];
        [logged, fill]
    }

    fn probe(&self, who: usize, (epoch, slot): (u64, u32), beacon: Beacon) -> Draft {
        let seed = self.seed(who, epoch);
        let window = probe_window_ms(&self.params);
        let offset = probe_offset_ms(&seed, &beacon, &self.tpm.node, Slot(slot), window);
        let mut draft = self.draft(who, (epoch, slot), OutcomeKind::Probe, offset + 1);
        if self.behaviour == Behaviour::Silent && epoch == self.silent_in {
            draft.outcome.class = OutcomeClass::Unreachable;
            let others = (0..4).filter(|other| *other != who).take(2);
            let answers = others.map(|by| {
                (
                    self.control_answer(&draft.outcome, by),
                    media::CONTROL_ANSWER,
                )
            });
            draft.raw = answers.collect();
            return draft;
        }
        draft.outcome.metrics = vec![(metric::RTT_US, 300), (metric::ATTEMPTS, 1)];
        draft.raw.push((
            self.probe_answer(&draft.outcome, &self.session),
            media::PROBE_ANSWER,
        ));
        draft
    }

    fn chase(&self, who: usize, epoch: u64, id: RegionId) -> Draft {
        let mut draft = self.draft(who, (epoch, 7), OutcomeKind::Chase, 500);
        let answer = self.chase_answer(who, &draft.outcome, id, false);
        let opened = cose::open::<ChaseAnswer>(&answer, &self.session.public_key());
        draft.outcome.detail = counters::note(opened.unwrap().payload());
        draft.raw.push((answer, media::CHASE_ANSWER));
        let reads = self.class.chase_plan(id).reads();
        draft.outcome.metrics = vec![
            (metric::CHASE_READS, reads),
            (metric::CHASE_US, 1_000),
            (metric::CHASE_READS_PER_S, reads * 1_000),
            (metric::CHASE_IS_IOPS, 0),
        ];
        draft
    }

    pub(super) fn panel_slots(&self, who: usize, epoch: u64, beacon: Beacon) -> BTreeSet<u32> {
        let roster = Roster::of(&self.params, self.roster(Epoch(epoch))).unwrap();
        let candidates: Vec<_> = roster
            .seats()
            .iter()
            .map(|s| Candidate {
                hypernode: s.hypernode,
                operator: s.operator,
                weight: s.weight,
            })
            .collect();
        let on_panel = |slot: &u32| {
            let of = PanelOf {
                network: self.network,
                beacon,
                epoch: Epoch(epoch),
                node: self.tpm.node,
                slot: Slot(*slot),
            };
            let panel = panel(&of, &candidates, self.params.panel_min as usize);
            panel.contains(&self.hypernodes[who].id())
        };
        (0..self.params.slots()).filter(on_panel).collect()
    }
}
