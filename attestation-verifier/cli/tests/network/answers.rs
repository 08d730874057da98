//! What the node and the HyperNodes sign: evidence, answers, receipts.

use super::{Cast, Draft, Key, PROVIDER};
use assay_protocol::answers::{
    ChainLink, ChaseAnswer, ControlAnswer, Counter, Countersigned, FillReceipt, ProbeAnswer,
};
use assay_protocol::chase::{ChasePlan, walk};
use assay_protocol::cose::{self, Signer};
use assay_protocol::evidence::{
    self, Claims, ImaClaim, TpmClock, VendorEvidence, claims_bytes, qualifying_data,
};
use assay_protocol::hash::{digest, sha256};
use assay_protocol::ids::{Beacon, Digest, Epoch, SessionKey, Slot, UnixMs};
use assay_protocol::item::Blob;
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind};
use assay_protocol::region::{CipherError, Keystream, RegionId, key_hash};
use assay_protocol::schedule::Challenge;
use assay_testbed::boot_log::Banks;

impl Cast {
    /// A draft whose window begins `into` milliseconds into its slot.
    pub(super) fn draft(
        &self,
        who: usize,
        place: (u64, u32),
        kind: OutcomeKind,
        into: u64,
    ) -> Draft {
        let (epoch, slot) = (Epoch(place.0), Slot(place.1));
        let start = self.params.slot_start(epoch, slot).0 + into;
        let label = [who as u8, place.0 as u8, place.1 as u8, kind as u8];
        Draft {
            outcome: Outcome {
                schema: 1,
                kind,
                network: self.network,
                node: self.tpm.node,
                hypernode: self.hypernodes[who].id(),
                place: (epoch, slot),
                window: (UnixMs(start), UnixMs(start + 3)),
                class: OutcomeClass::Pass,
                metrics: Vec::new(),
                evidence: Vec::new(),
                policy: self.class.digest(),
                r: sha256(&[b"r", &label]),
                detail: String::new(),
            },
            raw: Vec::new(),
        }
    }

    pub fn evidence(&self, draft: &Outcome, clock_ms: u64, session: &Key) -> Vec<u8> {
        let log = self.boot.log(Banks::Sha256);
        let epoch = draft.place.0.0;
        let ima = self.measuring.then(|| self.measured_in(epoch).encode());
        let clock = TpmClock {
            clock_ms,
            reset_count: 3,
            restart_count: 1,
            safe: true,
        };
        let claims = Claims {
            nonces: vec![(draft.hypernode, self.nonce(draft, Challenge::Attest))],
            node: self.tpm.node,
            uptime_s: 1,
            software: ("assay-agent".into(), "0.1.0".into()),
            freshness: (draft.place.0, Beacon([0; 32])),
            link: link(),
            counters: Vec::new(),
            inventory: None,
            clock,
            session_key: SessionKey(session.public_key()),
            ak_name: self.tpm.ak_name(),
            owner: (self.network, PROVIDER),
            event_log: digest(&[&log]),
            at: draft.window.0,
            snp_report: None,
            ima: ima.as_ref().map(|list| ImaClaim {
                digest: digest(&[list]),
                first: self.measured_before(epoch).entries.len() as u64,
                count: 1,
            }),
            chip_ids: None,
        };
        let mut pcrs: Vec<_> = (0..15).zip(self.boot.pcrs().map(Digest)).collect();
        if ima.is_some() {
            pcrs[10].1 = self.measured_before(epoch + 1).pcr();
        }
        let qualifying = qualifying_data(&claims_bytes(&claims));
        let (attest, signature) = self.tpm.quote(&qualifying, &pcrs, &clock);
        let vendor = VendorEvidence {
            attest: Blob(attest),
            signature: Blob(signature),
            ak_public: Blob(self.tpm.ak_public()),
            pcrs,
            event_log: Blob(log),
            ima_log: ima.map(Blob),
            snp: None,
            inventory: None,
        };
        evidence::seal(claims, &vendor, session)
    }

    pub fn probe_answer(&self, outcome: &Outcome, session: &Key) -> Vec<u8> {
        let answer = ProbeAnswer {
            node: self.tpm.node,
            nonce: self.nonce(outcome, Challenge::Probe),
            link: link(),
            counters: Vec::new(),
            at: outcome.window.0,
        };
        cose::seal(answer, session).bytes().to_vec()
    }

    pub fn control_answer(&self, outcome: &Outcome, by: usize) -> Vec<u8> {
        let nonce = self.nonce(outcome, Challenge::Probe);
        let answer = ControlAnswer {
            hypernode: self.hypernodes[by].id(),
            nonce,
            at: outcome.window.1,
        };
        cose::seal(answer, &self.hypernodes[by]).bytes().to_vec()
    }

    pub fn receipt(&self, who: usize, id: RegionId, root: Digest, session: &Key) -> Vec<u8> {
        let receipt = FillReceipt {
            network: self.network,
            node: self.tpm.node,
            hypernode: self.hypernodes[who].id(),
            region: id.region,
            generation: id.generation,
            key_hash: key_hash(&self.region_key(who, id)),
            blocks: self.class.budget.region_blocks,
            root,
            link: link(),
            at: UnixMs(5),
        };
        let receipt = Blob(cose::seal(receipt, session).bytes().to_vec());
        let countersigned = Countersigned {
            node: self.tpm.node,
            receipt,
            at: UnixMs(6),
        };
        cose::seal(countersigned, &self.hypernodes[who])
            .bytes()
            .to_vec()
    }

    /// An answer that walks the region honestly, or with one altered block.
    pub fn chase_answer(
        &self,
        who: usize,
        outcome: &Outcome,
        id: RegionId,
        altered: bool,
    ) -> Vec<u8> {
        self.chase_answer_counting(who, outcome, (id, altered), [Vec::new(), Vec::new()])
    }

    /// The same with counters of before and after.
    pub fn chase_answer_counting(
        &self,
        who: usize,
        outcome: &Outcome,
        (id, altered): (RegionId, bool),
        [counters_before, counters]: [Vec<Counter>; 2],
    ) -> Vec<u8> {
        let plan: ChasePlan = self.class.chase_plan(id);
        let nonce = self.nonce(outcome, Challenge::Chase);
        let stream = Keystream::new(&self.region_key(who, id)).unwrap();
        let lane = |lane| {
            let states = walk(&plan, &nonce, lane, |index| {
                let mut block = stream.block(index)?;
                block[0] ^= u8::from(altered);
                Ok::<_, CipherError>(block)
            });
            ChaseAnswer::lane_blob(&states.unwrap())
        };
        let answer = ChaseAnswer {
            node: self.tpm.node,
            nonce,
            region: id.region,
            generation: id.generation,
            blocks: plan.blocks,
            steps: plan.steps,
            checkpoint_every: plan.checkpoint_every,
            lanes: (0..plan.lanes).map(lane).collect(),
            link: link(),
            counters,
            at: outcome.window.0,
            counters_before,
        };
        cose::seal(answer, &self.session).bytes().to_vec()
    }
}

fn link() -> ChainLink {
    ChainLink {
        sequence: 0,
        previous: Digest([0; 32]),
    }
}
