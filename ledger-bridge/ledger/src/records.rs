//! Registrations of nodes and reservations: lists that only grow. What is over in them never changes again, and is read
//! once. And what holds for every list that a node tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{MutexGuard, PoisonError};

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use assay_aggregate::epoch::Registration as Claim;
use assay_protocol::class::ValidClass;
use assay_protocol::ids::{self, Digest, Epoch, NodeId, Stake, UnixMs};
use assay_protocol::limits::ENDPOINT_BYTES_MAX;

use crate::abi::nodes::INodesTypes::{Account, Registration};
use crate::abi::reservations::IAssayReservations::Reservation;
use crate::abi::{AssayNodes, AssayReservations};
use crate::chain::Finality;
use crate::claims::{Beginning, claims_at};
use crate::client::{AssayLedger, LedgerError, bad_answer, failed, name_of};
use crate::types::{NodeRecord, NodeStatus, ReservationRecord};

/// Most registrations of nodes, or reservations, that are read; more are a fault, not a fleet.
const MAX_RECORDS: u64 = 10_000_000;

/// Most HyperNodes that are read. The record of one that left stays: these are the 128 seats taken anew 512 times, and each
/// record took a stake that was away until unbonding ended, and some 720,000 gas.
pub(crate) const MAX_HYPERNODES: u64 = 65_536;

/// Records that are asked for before those of them that are over are put aside: an interrupted reading goes on from there.
/// A count that is not true costs no more than so many calls.
pub(crate) const CHUNK: u64 = 1_000;

/// No node of a chain that is of use is so far behind the others.
const LONG_AGO_MS: u64 = 3_600_000;

/// What was read of the lists, as far as it is of use again.
#[derive(Default)]
pub(crate) struct Records {
    /// The registrations as of this block.
    block: Option<(B256, Vec<NodeRecord>)>,
    ended: BTreeMap<u64, Registration>,
    /// Of every node with a registration, as of when one that had not ended was last read.
    accounts: BTreeMap<B256, Account>,
    over: BTreeMap<u64, Reservation>,
}

impl AssayLedger {
    /// All registrations of nodes ever made, in order. What counts in an epoch is for [`AssayLedger::claims`] to say. Read
    /// once for a block: it takes a call or two for each that has not ended, many in one request where the node is remote.
    pub fn nodes(&self) -> Result<Vec<NodeRecord>, LedgerError> {
        let block = || self.chain().block(self.reads).map_err(failed("block"));
        let mut known = self.known();
        let before = block()?.hash;
        if let Some((_, records)) = known.block.as_ref().filter(|(at, _)| *at == before) {
            return Ok(records.clone());
        }
        let records = self.read_nodes(&mut known)?;
        // What was read while the chain went on is of no one block.
        if block()?.hash == before {
            known.block = Some((before, records.clone()));
        }
        Ok(records)
    }

    /// How many registrations of nodes were ever made: one call. It only grows.
    pub fn registration_count(&self) -> Result<u64, LedgerError> {
        let call = AssayNodes::registrationCountCall {};
        self.count(self.contracts().nodes, &call, MAX_RECORDS)
    }

    /// The claims that count in an epoch, see [`claims_at`]. Refused while blocks that are not final may change them: the
    /// final state must be of after the epoch's start, or the newest there is.
    pub fn claims(
        &self,
        epoch: Epoch,
        start: UnixMs,
        classes: &BTreeMap<Digest, ValidClass>,
    ) -> Result<Vec<Claim>, LedgerError> {
        let block = |at| self.chain().block(at).map_err(failed("block"));
        let (read, newest) = (block(self.reads)?, block(Finality::Latest)?);
        let seen = UnixMs(read.timestamp_s.saturating_mul(1_000));
        // Block times are whole seconds: a block of the second in which the epoch starts may be before it.
        if read.number < newest.number && seen.0 < start.0.saturating_add(1_000) {
            return Err(LedgerError::NotFinalYet { epoch, seen, start });
        }
        let at = Beginning {
            epoch,
            start,
            change_delay_ms: self.node_terms()?.change_delay_ms,
        };
        // Read anew: of several nodes behind one address, one can be behind what another says of the block. None is so far
        // behind as an epoch that is followed later, of which there can be thousands.
        let is_long_ago = seen.0.saturating_sub(start.0) >= LONG_AGO_MS;
        let records = match is_long_ago {
            true => self.nodes()?,
            false => self.read_nodes(&mut self.known())?,
        };
        Ok(claims_at(&records, &at, classes))
    }

    /// All reservations ever made, in order.
    pub fn reservations(&self) -> Result<Vec<ReservationRecord>, LedgerError> {
        let contract = self.contracts().reservations;
        let count = self.count(
            contract,
            &AssayReservations::reservationCountCall {},
            MAX_RECORDS,
        )?;
        let mut known = self.known();
        let live = missing(count, &mut known.over, is_over, |ids| {
            let one = |id: &u64| AssayReservations::reservationCall {
                id: U256::from(*id),
            };
            self.read_all(contract, ids.iter().map(one))
        })?;
        let all = merged(count, &known.over, &live);
        Ok(all.map(|(id, r)| reservation_record(id, r)).collect())
    }

    /// All records are asked for again when they are needed next: for when a root is another than what they lead to.
    pub fn forget_records(&self) {
        *self.known() = Records::default();
    }

    /// Locked while records are read: who asks meanwhile has them then. A block that can be replaced may say of a record
    /// that it is over, and the next one not: of such a state nothing is known before.
    fn known(&self) -> MutexGuard<'_, Records> {
        let mut known = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if self.reads != Finality::Finalized {
            let block = known.block.take();
            *known = Records {
                block,
                ..Records::default()
            };
        }
        known
    }

    fn read_nodes(&self, known: &mut Records) -> Result<Vec<NodeRecord>, LedgerError> {
        let contract = self.contracts().nodes;
        let count = self.registration_count()?;
        let (ended, accounts) = (&mut known.ended, &mut known.accounts);
        let live = missing(count, ended, has_ended, |ids| {
            let one = |id: &u64| AssayNodes::registrationAtCall {
                id: U256::from(*id),
            };
            let read = self.read_all(contract, ids.iter().map(one))?;
            for one in &read {
                let node = format_args!("node {}", NodeId(one.node.0));
                check_endpoint::<AssayNodes::registrationAtCall>(node, &one.endpoint)?;
            }
            let nodes: BTreeSet<B256> = read.iter().map(|one| one.node).collect();
            let account = |node: &B256| AssayNodes::accountCall { node: *node };
            let theirs = self.read_all(contract, nodes.iter().map(account))?;
            accounts.extend(nodes.into_iter().zip(theirs));
            Ok(read)
        })?;
        let record = |(_, one): (u64, &Registration)| {
            let account = known.accounts.get(&one.node)?;
            Some(node_record(one, account))
        };
        Ok(merged(count, &known.ended, &live)
            .filter_map(record)
            .collect())
    }

    /// How many records a list has. Refused above `most`.
    pub(crate) fn count<C: SolCall<Return = U256>>(
        &self,
        contract: ids::Address,
        call: &C,
        most: u64,
    ) -> Result<u64, LedgerError> {
        let count: u64 = self.read(contract, call)?.saturating_to();
        if count > most {
            let why = format!("{count} records, at most {most} are read");
            return Err(bad_answer(name_of::<C>(), why));
        }
        Ok(count)
    }
}

/// Refuses an endpoint that no contract would have taken, in the answer to a call.
pub(crate) fn check_endpoint<C: SolCall>(
    whose: impl fmt::Display,
    endpoint: &str,
) -> Result<(), LedgerError> {
    let actual = endpoint.len();
    if actual > ENDPOINT_BYTES_MAX {
        let why = format!(
            "endpoint of {whose}: expected at most {ENDPOINT_BYTES_MAX} bytes, got {actual}"
        );
        return Err(bad_answer(name_of::<C>(), why));
    }
    Ok(())
}

/// Reads the records 1 to `count` that are not in `over`; those that are over go there, the others are the answer.
fn missing<T>(
    count: u64,
    over: &mut BTreeMap<u64, T>,
    is_over: impl Fn(&T) -> bool,
    mut read: impl FnMut(&[u64]) -> Result<Vec<T>, LedgerError>,
) -> Result<BTreeMap<u64, T>, LedgerError> {
    let mut live = BTreeMap::new();
    let mut next = 1;
    while next <= count {
        let mut ids = Vec::new();
        while next <= count && (ids.len() as u64) < CHUNK {
            if !over.contains_key(&next) {
                ids.push(next);
            }
            next += 1;
        }
        for (id, record) in ids.iter().copied().zip(read(&ids)?) {
            let list = if is_over(&record) {
                &mut *over
            } else {
                &mut live
            };
            list.insert(id, record);
        }
    }
    Ok(live)
}

/// The records 1 to `count` in order, each from where it is.
fn merged<'a, T>(
    count: u64,
    over: &'a BTreeMap<u64, T>,
    live: &'a BTreeMap<u64, T>,
) -> impl Iterator<Item = (u64, &'a T)> {
    let one = |id| over.get(&id).or_else(|| live.get(&id));
    (1..=count).filter_map(move |id| Some((id, one(id)?)))
}

fn has_ended(one: &Registration) -> bool {
    one.endedAtMs != 0
}

fn is_over(one: &Reservation) -> bool {
    one.settledThrough >= one.endEpoch
}

fn reservation_record(id: u64, r: &Reservation) -> ReservationRecord {
    ReservationRecord {
        id,
        node: NodeId(r.node.0),
        builder: ids::Address(r.builder.into_array()),
        provider: ids::Address(r.provider.into_array()),
        first: Epoch(r.firstEpoch),
        end: Epoch(r.endEpoch),
        settled_through: Epoch(r.settledThrough),
        started: r.started,
        price: Stake(r.pricePerEpoch),
        held: Stake(r.held),
        credited: Stake(r.credited),
    }
}

fn node_record(r: &Registration, a: &Account) -> NodeRecord {
    let at = |ms: u64| (ms != 0).then_some(UnixMs(ms));
    NodeRecord {
        node: NodeId(r.node.0),
        provider: ids::Address(r.provider.into_array()),
        class_digest: Digest(r.classDigest.0),
        region: r.region.0,
        endpoint: r.endpoint.clone(),
        registered_at: UnixMs(r.registeredAtMs),
        confirming_at: at(r.confirmingAtMs),
        ended_at: at(r.endedAtMs),
        serves_through: r.exitEpochs.checked_sub(1).map(Epoch),
        pledged: Stake(r.pledged),
        collateral: Stake(r.collateral),
        escrow: Stake(r.escrow),
        slashed: Stake(r.slashed),
        status: status(r.status),
        confirmed_owner: (!a.owner.is_zero()).then(|| ids::Address(a.owner.into_array())),
        settled_epoch: a.settledEpochs.checked_sub(1).map(Epoch),
        settled_corrections: a.settledCorrections,
        cumulative_slash: Stake(a.cumulativeSlash),
        counted_slash: Stake(r.counted),
        exit_leaf: (r.exitLeafEpochs.checked_sub(1)).map(|at| (Epoch(at), r.exitLeafCorrections)),
        offered_by: (!r.offeredBy.is_zero()).then(|| ids::Address(r.offeredBy.into_array())),
        confirmed_at: at(r.confirmedAtMs),
        chips: (!a.chips.is_zero()).then_some(Digest(a.chips.0)),
        chips_epoch: a.chipsEpochs.checked_sub(1).map(Epoch),
    }
}

/// `NodeStatus` of the contracts, in their order.
fn status(code: u8) -> NodeStatus {
    match code {
        1 => NodeStatus::Provisional,
        2 => NodeStatus::Active,
        3 => NodeStatus::Warned,
        4 => NodeStatus::Suspended,
        5 => NodeStatus::Removed,
        _ => NodeStatus::None,
    }
}
