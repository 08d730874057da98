//! What one HyperNode may ask on one connection, and the answers; one at a time.
//!
//! A HyperNode that has no evidence of this session key may only enrol and attest.

use crate::chase::{self, ChaseError, Checkpoint};
use crate::evidence::{Attestor, EvidenceError, Request};
use crate::node::{Node, now};
use crate::region::{Filling, RegionError, RegionMeta};
use crate::roster::{RosterError, Told};
use crate::status::{Kind, Record};
use crate::tpm::TpmError;
use assay_protocol::answers::{ChaseAnswer, Counter, Countersigned, FillReceipt, ProbeAnswer};
use assay_protocol::chase::{ChasePlan, LaneState};
use assay_protocol::cose;
use assay_protocol::ids::{Digest, HyperNodeId, Nonce};
use assay_protocol::limits::{CHASE_LANES_MAX, FILL_CHUNK_BYTES_MAX, REGION_BLOCKS_MAX};
use assay_protocol::region::RegionId;
use assay_protocol::wire::{AgentReply, AgentRequest, Refusal, RefusalCode};
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long a chase waits for other chases to free their lanes.
const LANES_WAIT: Duration = Duration::from_secs(10);
/// Bytes of a checkpoint on its way: the state, its place and the frame.
const CHECKPOINT_BYTES: usize = 64;

/// Lanes running in the whole process, bounded by [`CHASE_LANES_MAX`].
#[derive(Debug, Default)]
pub struct Lanes {
    busy: Mutex<u32>,
    freed: Condvar,
}

impl Lanes {
    /// Waits for `lanes` free lanes; `None` when there are none in time.
    fn take(&self, lanes: u32) -> Option<LanesTaken<'_>> {
        let full = |busy: &mut u32| busy.saturating_add(lanes) > CHASE_LANES_MAX;
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_timeout_while(busy, LANES_WAIT, full);
        let (mut busy, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        *busy = busy.saturating_add(lanes);
        Some(LanesTaken { all: self, lanes })
    }
}

struct LanesTaken<'a> {
    all: &'a Lanes,
    lanes: u32,
}

impl Drop for LanesTaken<'_> {
    fn drop(&mut self) {
        let mut busy = self.all.busy.lock().unwrap_or_else(PoisonError::into_inner);
        *busy = busy.saturating_sub(self.lanes);
        self.all.freed.notify_all();
    }
}

/// What every conversation shares.
#[derive(Debug)]
pub struct Agent {
    /// The node that answers.
    pub node: std::sync::Arc<Node>,
    /// Makes its evidence.
    pub attestor: Attestor,
    /// Lanes of running chases.
    pub lanes: Lanes,
    /// What its owner sees of it.
    pub record: Record,
}

/// One authenticated connection.
#[derive(Debug)]
pub struct Conversation<'a> {
    agent: &'a Agent,
    peer: HyperNodeId,
    filling: Option<Filling>,
}

impl<'a> Conversation<'a> {
    /// Starts a conversation with `peer`, whose key TLS has verified.
    pub fn new(agent: &'a Agent, peer: HyperNodeId) -> Self {
        Self {
            agent,
            peer,
            filling: None,
        }
    }

    /// Answers one request. `checkpoint` sends what a chase streams before its answer.
    pub fn answer(
        &mut self,
        request: AgentRequest,
        checkpoint: impl FnMut(AgentReply) -> io::Result<()>,
    ) -> AgentReply {
        let kind = Kind::of(&request);
        let answered = self.permitted(&request).and_then(|()| match request {
            AgentRequest::Enrol => Ok(self.offer()),
            AgentRequest::Activate {
                credential_blob,
                encrypted_secret,
            } => self.activate(credential_blob, encrypted_secret),
            AgentRequest::Attest {
                nonce,
                epoch,
                beacon,
            } => self.attest(Request {
                hypernode: self.peer,
                nonce,
                freshness: (epoch, beacon),
                appraised: None,
            }),
            AgentRequest::AttestAfter {
                nonce,
                epoch,
                beacon,
                appraised,
            } => self.attest(Request {
                hypernode: self.peer,
                nonce,
                freshness: (epoch, beacon),
                appraised: Some(appraised),
            }),
            AgentRequest::Probe { nonce } => Ok(self.probe(nonce)),
            AgentRequest::FillBegin {
                id,
                key_hash,
                blocks,
            } => self.fill_begin(id, key_hash, blocks),
            AgentRequest::FillData { first, data } => self.fill_data(first, &data),
            AgentRequest::FillEnd => self.fill_end(),
            AgentRequest::FillCountersigned { receipt } => self.fill_countersigned(&receipt),
            AgentRequest::Chase { nonce, plan } => self.chase(nonce, plan, checkpoint),
            AgentRequest::Roster { lineage } => self.roster(&lineage),
        });
        let reply = answered.unwrap_or_else(AgentReply::Refused);
        self.agent.record.answered(self.peer, kind, &reply);
        reply
    }

    fn node(&self) -> &'a Node {
        &self.agent.node
    }

    fn permitted(&self, request: &AgentRequest) -> Result<(), Refusal> {
        use AgentRequest::{Activate, Attest, AttestAfter, Enrol, Roster};
        // The roster may have changed since the handshake.
        if !self.node().roster.answers(&self.peer, now()) {
            let text = format!("HyperNode {} is not on the roster any more", self.peer);
            return Err(Refusal::new(RefusalCode::NotAllowed, text));
        }
        let open_to_all = matches!(
            request,
            Enrol | Activate { .. } | Attest { .. } | AttestAfter { .. } | Roster { .. }
        );
        if open_to_all || self.node().is_bound(&self.peer) {
            return Ok(());
        }
        let text = "this session key is not bound yet: attest first";
        Err(Refusal::new(RefusalCode::NotAllowed, text))
    }

    fn roster(&self, lineage: &[u8]) -> Result<AgentReply, Refusal> {
        let roster = &self.node().roster;
        let told = roster.tell(lineage, now()).map_err(|error| {
            let code = match error {
                RosterError::State { .. } => RefusalCode::Storage,
                RosterError::Lineage(_)
                | RosterError::Ahead { .. }
                | RosterError::Elsewhere { .. } => RefusalCode::BadRequest,
            };
            Refusal::new(code, error.to_string())
        })?;
        match told {
            Told::Known => Ok(AgentReply::Ready),
            Told::Older(lineage) => Ok(AgentReply::Roster { lineage }),
            Told::Newer(count) => {
                let since = roster.since().unwrap_or_default();
                eprintln!("assay-agent: roster from epoch {since}: {count} HyperNodes");
                Ok(AgentReply::Ready)
            }
        }
    }

    fn offer(&self) -> AgentReply {
        let identity = self.node().tpm.identity();
        AgentReply::Offer {
            ek_certificate: identity.ek_certificate.clone(),
            ek_public: identity.ek_public.clone(),
            ak_public: identity.ak_public.clone(),
        }
    }

    fn activate(&self, credential: Vec<u8>, secret: Vec<u8>) -> Result<AgentReply, Refusal> {
        let secret = self
            .node()
            .tpm
            .activate(credential, secret)
            .map_err(|error| {
                let code = match error {
                    TpmError::CredentialRefused { .. } | TpmError::Malformed { .. } => {
                        RefusalCode::BadRequest
                    }
                    _ => RefusalCode::Tpm,
                };
                Refusal::new(code, error.to_string())
            })?;
        Ok(AgentReply::Activated { secret })
    }

    fn attest(&self, request: Request) -> Result<AgentReply, Refusal> {
        let evidence = self.agent.attestor.attest(request).map_err(|error| {
            let code = match error {
                EvidenceError::Busy => RefusalCode::Busy,
                EvidenceError::Source(_) => RefusalCode::Storage,
                EvidenceError::Tpm(_) | EvidenceError::Timeout(_) => RefusalCode::Tpm,
            };
            Refusal::new(code, error.to_string())
        })?;
        self.node().bind(self.peer);
        Ok(AgentReply::Evidence {
            bytes: evidence.to_vec(),
        })
    }

    fn probe(&self, nonce: Nonce) -> AgentReply {
        let counters = self.node().counters();
        let node = self.node().id;
        let bytes = self.node().session.answer(|link| ProbeAnswer {
            node,
            nonce,
            link,
            counters,
            at: now(),
        });
        AgentReply::Answer { bytes }
    }

    fn fill_begin(
        &mut self,
        id: RegionId,
        key_hash: Digest,
        blocks: u32,
    ) -> Result<AgentReply, Refusal> {
        let max = self
            .node()
            .config
            .limits
            .region_blocks_max
            .min(REGION_BLOCKS_MAX);
        if !blocks.is_power_of_two() || blocks > max {
            let text = format!("blocks: expected a power of two up to {max}, got {blocks}");
            return Err(Refusal::new(RefusalCode::BadRequest, text));
        }
        self.filling = None;
        let filling = self.node().regions.begin(self.peer, id, blocks, key_hash);
        self.filling = Some(filling.map_err(region_refusal)?);
        Ok(AgentReply::Ready)
    }

    /// A fill that was refused data is over: what follows would not be in its place.
    fn fill_data(&mut self, first: u32, data: &[u8]) -> Result<AgentReply, Refusal> {
        let mut filling = self.filling.take().ok_or_else(no_fill)?;
        let expected = filling.received();
        if u64::from(first) != expected || data.len() > FILL_CHUNK_BYTES_MAX {
            let actual = data.len();
            let text = format!(
                "fill data: expected at most {FILL_CHUNK_BYTES_MAX} bytes from block {expected}, \
                 got {actual} bytes from block {first}"
            );
            return Err(Refusal::new(RefusalCode::BadRequest, text));
        }
        let duty = &self.node().duty;
        filling.append_within(data, duty).map_err(region_refusal)?;
        std::thread::sleep(duty.carried(data.len()));
        self.filling = Some(filling);
        Ok(AgentReply::Ready)
    }

    fn fill_end(&mut self) -> Result<AgentReply, Refusal> {
        let filling = self.filling.take().ok_or_else(no_fill)?;
        let node = self.node();
        let sign = |meta: &RegionMeta| node.session.answer(|link| receipt(node, meta, link));
        let meta = filling.finish(sign).map_err(region_refusal)?;
        let answered = |owner: &HyperNodeId| node.roster.answers(owner, now());
        // Others' leftovers are no fault of this fill.
        if let Err(error) = node.regions.expire_of_others(meta.generation, answered) {
            eprintln!("assay-agent: {error}\nhint: {}", error.hint());
        }
        Ok(AgentReply::Answer {
            bytes: meta.receipt,
        })
    }

    fn fill_countersigned(&self, bytes: &[u8]) -> Result<AgentReply, Refusal> {
        let refused = |text: String| Refusal::new(RefusalCode::BadRequest, text);
        let opened = cose::open::<Countersigned>(bytes, &self.peer.0)
            .map_err(|error| refused(error.to_string()))?;
        let Countersigned { node, receipt, .. } = opened.payload();
        if *node != self.node().id {
            let expected = self.node().id;
            return Err(refused(format!(
                "receipt: expected node {expected}, got {node}"
            )));
        }
        let kept = self
            .node()
            .regions
            .keep_receipt(self.peer, &receipt.0, bytes);
        kept.map_err(region_refusal)?;
        Ok(AgentReply::Ready)
    }

    fn chase(
        &self,
        nonce: Nonce,
        plan: ChasePlan,
        mut send: impl FnMut(AgentReply) -> io::Result<()>,
    ) -> Result<AgentReply, Refusal> {
        plan.validate()
            .map_err(|error| chase_refusal(error.into()))?;
        let region = self
            .node()
            .regions
            .get(self.peer, plan.id)
            .map_err(region_refusal)?;
        let busy = || Refusal::new(RefusalCode::Busy, "other chases use all lanes");
        let _taken = self.agent.lanes.take(plan.lanes).ok_or_else(busy)?;
        let (engine, duty) = (self.node().engine(), &self.node().duty);
        let before = self.node().counters();
        let walked = chase::run(&region, (&plan, &nonce), (engine, duty), |checkpoint| {
            let Checkpoint {
                lane,
                number,
                state,
            } = checkpoint;
            std::thread::sleep(duty.carried(CHECKPOINT_BYTES));
            send(AgentReply::Checkpoint {
                lane,
                number,
                state,
            })
        });
        let lanes = walked.map_err(chase_refusal)?.lanes;
        self.node().count_reads(plan.reads());
        Ok(AgentReply::Answer {
            bytes: self.chase_answer(nonce, plan, (&lanes, before)),
        })
    }

    fn chase_answer(
        &self,
        nonce: Nonce,
        plan: ChasePlan,
        (lanes, before): (&[Vec<LaneState>], Vec<Counter>),
    ) -> Vec<u8> {
        let counters = self.node().counters();
        self.node().session.answer(|link| ChaseAnswer {
            node: self.node().id,
            nonce,
            region: plan.id.region,
            generation: plan.id.generation,
            blocks: plan.blocks,
            steps: plan.steps,
            checkpoint_every: plan.checkpoint_every,
            lanes: lanes
                .iter()
                .map(|states| ChaseAnswer::lane_blob(states))
                .collect(),
            link,
            counters,
            at: now(),
            counters_before: before,
        })
    }
}

fn receipt(
    node: &Node,
    meta: &RegionMeta,
    link: assay_protocol::answers::ChainLink,
) -> FillReceipt {
    FillReceipt {
        network: node.config.network,
        node: node.id,
        hypernode: meta.owner,
        region: meta.region,
        generation: meta.generation,
        key_hash: meta.key_hash,
        blocks: meta.blocks,
        root: meta.root,
        link,
        at: now(),
    }
}

fn no_fill() -> Refusal {
    Refusal::new(
        RefusalCode::BadRequest,
        "no fill is in progress: send FillBegin first",
    )
}

fn region_refusal(error: RegionError) -> Refusal {
    let code = match error {
        RegionError::Unknown { .. } => RefusalCode::NotFound,
        RegionError::Busy { .. } | RegionError::Quota { .. } => RefusalCode::Busy,
        RegionError::Fill { .. } => RefusalCode::BadRequest,
        RegionError::DiskFull { .. } | RegionError::Direct { .. } | RegionError::Io { .. } => {
            // The operator of the machine has to know, not only the HyperNode.
            eprintln!("assay-agent: {error}\nhint: {}", error.hint());
            RefusalCode::Storage
        }
    };
    Refusal::new(code, error.to_string())
}

fn chase_refusal(error: ChaseError) -> Refusal {
    match error {
        ChaseError::Region(error) => region_refusal(error),
        ChaseError::Plan(_) | ChaseError::Size { .. } => {
            Refusal::new(RefusalCode::BadRequest, error.to_string())
        }
        ChaseError::Lanes { .. } | ChaseError::Cipher(_) => {
            Refusal::new(RefusalCode::Busy, error.to_string())
        }
        ChaseError::Read { .. } | ChaseError::Ring(_) | ChaseError::Peer(_) => {
            Refusal::new(RefusalCode::Storage, error.to_string())
        }
    }
}
