//! Evidence: one quote for all HyperNodes that wait at that moment (ARCHITECTURE section 6).

use crate::counters;
use crate::energy::SAMPLED_EVERY;
use crate::node::{Node, now};
use crate::sources::Attached;
use crate::tpm::{Clock, Quote, TpmError};
use assay_protocol::evidence::{
    Claims, ImaClaim, SnpEvidence, TpmClock, VendorEvidence, claims_bytes, nonce_batch,
    qualifying_data, seal, snp_report_data,
};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Beacon, Digest, Epoch, HyperNodeId, Nonce, ReportData};
use assay_protocol::item::Blob;
use assay_protocol::limits::NONCE_BATCH_MAX;
use assay_protocol::wire::ImaAppraised;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How long the first of a batch waits for company.
const GATHER: Duration = Duration::from_millis(20);
/// Quotes made for one batch, when what goes with them changes meanwhile.
const ATTEMPTS_MAX: usize = 3;
/// Waiting requests; more are refused.
const WAITING_MAX: usize = 4 * NONCE_BATCH_MAX;

/// Why no evidence could be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The TPM failed or took too long.
    #[error("{0}")]
    Tpm(String),
    /// A log that goes with the quote cannot be read.
    #[error("{0}")]
    Source(String),
    /// More HyperNodes wait than can be served.
    #[error("{WAITING_MAX} requests wait for the TPM already")]
    Busy,
    /// No answer from the TPM thread in time.
    #[error("no quote within {0:?}")]
    Timeout(Duration),
}

/// One HyperNode's request.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Who asks.
    pub hypernode: HyperNodeId,
    /// Its nonce.
    pub nonce: Nonce,
    /// Epoch and beacon it names: a batch has one of each.
    pub freshness: (Epoch, Beacon),
    /// What it has appraised of this boot's IMA list.
    pub appraised: Option<ImaAppraised>,
}

type Answer = Result<Arc<[u8]>, EvidenceError>;
type Waiting = (Request, SyncSender<Answer>);

/// Makes evidence in a thread of its own, one batch after the other.
#[derive(Debug, Clone)]
pub struct Attestor {
    requests: SyncSender<Waiting>,
    patience: Duration,
}

impl Attestor {
    /// Starts the thread. A TPM call may take `deadline`; one failed call is retried.
    pub fn start(node: Arc<Node>, deadline: Duration) -> std::io::Result<Self> {
        let (requests, queue) = sync_channel(WAITING_MAX);
        let patience = deadline
            .saturating_mul(4)
            .saturating_add(node.snp_deadline());
        std::thread::Builder::new()
            .name("attest".into())
            .spawn(move || serve(&node, &queue))?;
        Ok(Self { requests, patience })
    }

    /// Evidence with `request`'s nonce; waits for the TPM.
    pub fn attest(&self, request: Request) -> Answer {
        let (reply, answer) = sync_channel(1);
        self.requests
            .try_send((request, reply))
            .map_err(|_| EvidenceError::Busy)?;
        answer
            .recv_timeout(self.patience)
            .map_err(|_| EvidenceError::Timeout(self.patience))?
    }
}

fn serve(node: &Node, queue: &Receiver<Waiting>) {
    let mut waiting = VecDeque::new();
    while let Some(batch) = next_batch(queue, &mut waiting, || node.energy.sample()) {
        let requests: Vec<Request> = batch.iter().map(|(request, _)| *request).collect();
        let evidence = node.evidence(&requests);
        for (_, reply) in batch {
            let _ = reply.send(evidence.clone());
        }
    }
}

/// Waits for the first request, then [`GATHER`] for more of the same epoch and beacon; the others
/// stay in `waiting`. `None` when nobody can ask any more. While nobody asks, `idle` is called now and then.
fn next_batch(
    queue: &Receiver<Waiting>,
    waiting: &mut VecDeque<Waiting>,
    mut idle: impl FnMut(),
) -> Option<Vec<Waiting>> {
    while waiting.is_empty() {
        match queue.recv_timeout(SAMPLED_EVERY) {
            Ok(request) => waiting.push_back(request),
            Err(RecvTimeoutError::Timeout) => idle(),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    let closes = Instant::now() + GATHER;
    while waiting.len() < WAITING_MAX {
        match queue.recv_timeout(closes.saturating_duration_since(Instant::now())) {
            Ok(request) => waiting.push_back(request),
            Err(_) => break,
        }
    }
    let freshness = waiting.front()?.0.freshness;
    let (mut batch, mut others) = (Vec::new(), VecDeque::new());
    for request in waiting.drain(..) {
        // One nonce a HyperNode: two of one in a batch would make the evidence useless to it.
        let again = |(other, _): &Waiting| other.hypernode == request.0.hypernode;
        let fits = batch.len() < NONCE_BATCH_MAX
            && request.0.freshness == freshness
            && !batch.iter().any(again);
        if fits {
            batch.push(request)
        } else {
            others.push_back(request)
        }
    }
    *waiting = others;
    Some(batch)
}

impl Node {
    /// Evidence for one request, made at once.
    pub fn attest(&self, request: Request) -> Result<Arc<[u8]>, EvidenceError> {
        self.evidence(&[request])
    }

    /// The SEV-SNP report, claims, then the quote over them, sealed by the session key.
    fn evidence(&self, requests: &[Request]) -> Answer {
        // Once a batch: however often the claims are quoted anew, batch, session key and AK stay what they are.
        let snp = self.snp_report(requests);
        let (claims, attached, quote) = settled(|| {
            let attached = self.sources.read(appraised_by_all(requests))?;
            let (claims, quote) = self.quoted(requests, &attached, snp.as_ref())?;
            // The host may have slept between the two readings of the clock, and claims of before would contradict the
            // quote; or a program was started, and the quote is of more than the list.
            let settled =
                same_boot(&claims.clock, &quote.clock) && self.sources.are_unchanged(&attached)?;
            if settled {
                self.sources.sent(&attached, quote.clock.reset_count);
            }
            Ok((settled, (claims, attached, quote)))
        })?;
        let vendor = self.vendor(quote, attached, snp);
        Ok(seal(claims, &vendor, self.session.identity()).into())
    }

    /// A report for this batch. Without one evidence goes all the same: that costs the tier, while no evidence would
    /// leave the session unbound, and the node would count as silent.
    fn snp_report(&self, requests: &[Request]) -> Option<SnpEvidence> {
        let source = self.snp.as_ref()?;
        let batch = nonce_batch(&nonces(requests));
        let ak_name = self.tpm.identity().ak_name;
        let data = snp_report_data(&batch, &self.session.id(), &ak_name);
        let report = source.report(ReportData(data));
        report
            .inspect_err(|error| eprintln!("assay-agent: evidence without SEV-SNP: {error}"))
            .ok()
    }

    fn quoted(
        &self,
        requests: &[Request],
        attached: &Attached,
        snp: Option<&SnpEvidence>,
    ) -> Result<(Claims, Quote), EvidenceError> {
        let clock = retried(|| self.read_clock())?;
        let claims = self.claims(requests, clock, attached, snp)?;
        let qualifying = qualifying_data(&claims_bytes(&claims));
        let quote = retried(|| self.tpm.quote(qualifying))?;
        Ok((claims, quote))
    }

    fn claims(
        &self,
        requests: &[Request],
        clock: Clock,
        attached: &Attached,
        snp: Option<&SnpEvidence>,
    ) -> Result<Claims, EvidenceError> {
        let freshness = requests.first().ok_or(EvidenceError::Busy)?.freshness;
        Ok(Claims {
            nonces: nonces(requests),
            node: self.id,
            uptime_s: counters::uptime_s(&self.files),
            software: (
                env!("CARGO_PKG_NAME").into(),
                env!("CARGO_PKG_VERSION").into(),
            ),
            freshness,
            link: self.session.head(),
            counters: self.all_counters(),
            inventory: Some(digest(&[self.sources.inventory()])),
            clock: tpm_clock(clock),
            session_key: self.session.id(),
            ak_name: self.tpm.identity().ak_name,
            owner: (self.config.network, self.config.provider),
            event_log: digest(&[&attached.event_log]),
            at: now(),
            snp_report: snp.map(|snp| digest(&[&snp.report.0])),
            ima: attached.ima.as_ref().map(|part| ImaClaim {
                digest: digest(&[&part.bytes]),
                first: part.first,
                count: part.total.saturating_sub(part.first),
            }),
            chip_ids: self
                .snp
                .as_ref()
                .and_then(|snp| snp.chip_ids().map(<[_]>::to_vec)),
        })
    }

    fn vendor(&self, quote: Quote, attached: Attached, snp: Option<SnpEvidence>) -> VendorEvidence {
        VendorEvidence {
            attest: Blob(quote.attest),
            signature: Blob(quote.signature),
            ak_public: Blob(self.tpm.identity().ak_public.clone()),
            pcrs: quote
                .pcrs
                .into_iter()
                .map(|(pcr, value)| (pcr, Digest(value)))
                .collect(),
            event_log: Blob(attached.event_log),
            ima_log: attached.ima.map(|part| Blob(part.bytes)),
            snp,
            inventory: Some(Blob(self.sources.inventory().to_vec())),
        }
    }
}

/// What everybody in a batch has appraised: one quote serves them all, and so does one list.
fn appraised_by_all(requests: &[Request]) -> Option<ImaAppraised> {
    let first = requests.first()?.appraised?;
    requests.iter().try_fold(first, |least, request| {
        let of_one_boot = |known: &ImaAppraised| known.reset_count == least.reset_count;
        let known = request.appraised.filter(of_one_boot)?;
        Some(ImaAppraised {
            entries: known.entries.min(least.entries),
            ..least
        })
    })
}

fn nonces(requests: &[Request]) -> Vec<(HyperNodeId, Nonce)> {
    let one = |request: &Request| (request.hypernode, request.nonce);
    requests.iter().map(one).collect()
}

/// Makes something until it says that it is of one moment; after [`ATTEMPTS_MAX`] the last one has to do: the verifier
/// will find it undecided.
fn settled<T>(
    mut make: impl FnMut() -> Result<(bool, T), EvidenceError>,
) -> Result<T, EvidenceError> {
    let mut made = make()?;
    for _ in 1..ATTEMPTS_MAX {
        if made.0 {
            break;
        }
        made = make()?;
    }
    Ok(made.1)
}

fn same_boot(claimed: &TpmClock, quoted: &Clock) -> bool {
    claimed.reset_count == quoted.reset_count && claimed.restart_count == quoted.restart_count
}

/// Once more after a failure: the TPM thread reopens a TPM that was reset. Not after a timeout.
fn retried<T>(mut call: impl FnMut() -> Result<T, TpmError>) -> Result<T, EvidenceError> {
    let outcome = match call() {
        Err(TpmError::Command { .. }) => call(),
        other => other,
    };
    outcome.map_err(|error| EvidenceError::Tpm(error.to_string()))
}

fn tpm_clock(clock: Clock) -> TpmClock {
    let Clock {
        clock_ms,
        reset_count,
        restart_count,
        safe,
    } = clock;
    TpmClock {
        clock_ms,
        reset_count,
        restart_count,
        safe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(hypernode: u8, epoch: u64) -> (Waiting, Receiver<Answer>) {
        let (reply, answer) = sync_channel(1);
        let request = Request {
            hypernode: HyperNodeId([hypernode; 32]),
            nonce: Nonce([hypernode; 32]),
            freshness: (Epoch(epoch), Beacon([0; 32])),
            appraised: None,
        };
        ((request, reply), answer)
    }

    #[test]
    fn a_batch_takes_at_most_64_of_one_epoch_and_leaves_the_rest_waiting() {
        let (sender, queue) = sync_channel(WAITING_MAX);
        for n in 0..70 {
            sender.send(request(n, 1).0).unwrap();
        }
        sender.send(request(99, 2).0).unwrap();
        let mut waiting = VecDeque::new();
        assert_eq!(next_batch(&queue, &mut waiting, || ()).unwrap().len(), 64);
        assert_eq!(next_batch(&queue, &mut waiting, || ()).unwrap().len(), 6);
        let last = next_batch(&queue, &mut waiting, || ()).unwrap();
        assert_eq!(last[0].0.freshness.0, Epoch(2));
        drop(sender);
        assert!(next_batch(&queue, &mut waiting, || ()).is_none());
    }

    #[test]
    fn a_batch_holds_one_nonce_of_each_hypernode() {
        let (sender, queue) = sync_channel(WAITING_MAX);
        for n in [1, 2, 1] {
            sender.send(request(n, 1).0).unwrap();
        }
        let mut waiting = VecDeque::new();
        let members = |batch: Vec<Waiting>| -> Vec<u8> {
            batch
                .iter()
                .map(|(request, _)| request.hypernode.0[0])
                .collect()
        };
        assert_eq!(
            members(next_batch(&queue, &mut waiting, || ()).unwrap()),
            [1, 2]
        );
        assert_eq!(
            members(next_batch(&queue, &mut waiting, || ()).unwrap()),
            [1]
        );
    }

    #[test]
    fn a_batch_leaves_out_only_what_everybody_in_it_has_appraised() {
        let known = |reset_count, entries| {
            Some(ImaAppraised {
                reset_count,
                entries,
            })
        };
        let of = |all: &[Option<ImaAppraised>]| {
            let asks = all.iter().map(|appraised| Request {
                appraised: *appraised,
                ..request(1, 1).0.0
            });
            appraised_by_all(&asks.collect::<Vec<_>>())
        };
        assert_eq!(of(&[known(3, 9)]), known(3, 9));
        assert_eq!(of(&[known(3, 9), known(3, 4), known(3, 7)]), known(3, 4));
        assert_eq!(of(&[known(3, 9), None]), None);
        assert_eq!(of(&[None, known(3, 9)]), None);
        assert_eq!(of(&[known(3, 9), known(2, 9)]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_clock_of_another_boot_is_noticed() {
        let claimed = |reset_count, restart_count| TpmClock {
            clock_ms: 1,
            reset_count,
            restart_count,
            safe: true,
        };
        let quoted = Clock {
            clock_ms: 2,
            reset_count: 3,
            restart_count: 4,
            safe: true,
        };
        assert!(same_boot(&claimed(3, 4), &quoted));
        assert!(!same_boot(&claimed(3, 3), &quoted));
        assert!(!same_boot(&claimed(2, 4), &quoted));
    }

    #[test]
    fn what_changes_meanwhile_is_made_again_but_not_for_ever() {
        let attempts_until = |settles_at: usize| {
            let mut made = 0;
            let last = settled(|| {
                made += 1;
                Ok((made == settles_at, made))
            });
            assert_eq!(last, Ok(made));
            made
        };
        assert_eq!([1, 2, 3].map(attempts_until), [1, 2, 3]);
        assert_eq!(attempts_until(9), ATTEMPTS_MAX);
        let failed: Result<(), _> = settled(|| Err(EvidenceError::Busy));
        assert_eq!(failed, Err(EvidenceError::Busy));
    }
}
