//! What the contracts say, in the project's own types.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use assay_aggregate::root::{Committee, EpochRoot, Member};
use assay_aggregate::roster::Roster;
use assay_protocol::ids::{
    self, Bps, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Seed, Stake, UnixMs,
};
use assay_protocol::limits::ROSTER_MAX;
use assay_protocol::params::{NetworkParams, RosterEntry};

use crate::abi::{
    AssayEpochs, AssayNodes, AssayReservations, AssayRewards, AssayStake, TestToken, reservations,
    stake,
};
use crate::chain::{Event, LogQuery};
use crate::client::{AssayLedger, LedgerError, bad_answer, failed};
use crate::records::{CHUNK, MAX_HYPERNODES, check_endpoint};
use crate::types::{
    ClassTerms, Correction, CreditTier, EpochRecord, GenesisParameters, HyperNodeRecord,
    NodeRecord, NodeTerms, OpenOffer, RentTerms, Resolution, Resolved,
};

/// Most epochs on end that are looked through for a root or a roster.
const VOID_RUN_MAX: usize = 1_024;

/// Epochs.
impl AssayLedger {
    /// The parameters fixed at deployment.
    pub fn genesis_parameters(&self) -> Result<GenesisParameters, LedgerError> {
        let e = self.read(self.contracts().epochs, &AssayEpochs::parametersCall {})?;
        let s = self.read(self.contracts().stake, &AssayStake::parametersCall {})?;
        Ok(GenesisParameters {
            genesis_unix_ms: UnixMs(e.genesisUnixMs),
            epoch_ms: e.epochMs,
            void_after_ms: e.voidAfterMs,
            dispute_window_ms: e.disputeWindowMs,
            dispute_extension_ms: e.disputeExtensionMs,
            dispute_bond: Stake(e.disputeBond),
            min_stake: Stake(s.minStake.to()),
            operator_cap_bps: Bps(s.operatorCapBps.into()),
            active_after_epochs: s.activeAfterEpochs,
            unbonding_ms: s.unbondingMs,
            reporter_bps: Bps(s.reporterBps.into()),
        })
    }

    /// The network id, once genesis is open.
    pub fn network_id(&self) -> Result<Option<NetworkId>, LedgerError> {
        let id = self.read(self.contracts().epochs, &AssayEpochs::networkIdCall {})?;
        Ok((!id.is_zero()).then_some(NetworkId(id.0)))
    }

    /// Hash of the committee that signs the next epoch; zero before genesis is open.
    pub fn committee_hash(&self) -> Result<Keccak, LedgerError> {
        let hash = self.read(self.contracts().epochs, &AssayEpochs::committeeHashCall {})?;
        Ok(Keccak(hash.0))
    }

    /// The committee of an epoch, as the stake contract fixes it; the two of the running and the next epoch, and earlier
    /// ones.
    pub fn committee_of(&self, epoch: Epoch) -> Result<Committee, LedgerError> {
        let epoch = epoch.0;
        let members = self.read(self.contracts().stake, &AssayStake::membersCall { epoch })?;
        let member = |m: &stake::IQuorumVerifier::Member| Member {
            address: ids::Address(m.signer.into_array()),
            weight: m.weight.to(),
        };
        Committee::new(members.iter().map(member).collect())
            .map_err(|e| bad_answer("members", e.to_string()))
    }

    /// Who counts in an epoch and with which stake, in the token's smallest unit, before the operator cap; ascending by id,
    /// empty when nobody does. Of the epochs of [`AssayLedger::committee_of`]: of a later one the contract refuses it with
    /// `CommitteeNotFixed`. More than [`ROSTER_MAX`] HyperNodes, or one of them twice, are a bad answer.
    pub fn roster(&self, epoch: Epoch) -> Result<Vec<RosterEntry>, LedgerError> {
        let call = AssayStake::rosterCall { epoch: epoch.0 };
        let seats = self.read(self.contracts().stake, &call)?;
        roster(&seats).map_err(|why| bad_answer("roster", why))
    }

    /// [`AssayLedger::roster`], or `None` while the contract has not fixed it.
    pub fn fixed_roster(&self, epoch: Epoch) -> Result<Option<Vec<RosterEntry>>, LedgerError> {
        match self.roster(epoch) {
            Ok(roster) => Ok(Some(roster)),
            Err(error) if error.revert_name() == Some("CommitteeNotFixed") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest root in force: its epoch, and what the contract keeps of it; `None` before the first one.
    pub fn newest_root(&self) -> Result<Option<(Epoch, EpochRecord)>, LedgerError> {
        let next = self.next_epoch()?;
        // The contract keeps a root for as long as only void epochs follow.
        let back = (0..next.0).rev().take(VOID_RUN_MAX).map(Epoch);
        for epoch in back {
            let record = self.epoch_record(epoch)?;
            if record.resolution == Resolution::Posted {
                return Ok(Some((epoch, record)));
            }
        }
        Ok(None)
    }

    /// The round of a correction of an epoch, and who signs it: one more than that of every root which it replaces or undoes,
    /// and than `last`; whom the newest root named, as the ledger has them. `None` while the epoch has no root, and while the
    /// ledger does not say whose stake counts.
    pub fn correction_of(
        &self,
        epoch: Epoch,
        last: u32,
        params: &NetworkParams,
    ) -> Result<Option<Correction>, LedgerError> {
        let Some((newest, record)) = self.newest_root()? else {
            return Ok(None);
        };
        let Some(signing) = self
            .roster_of(newest.next(), params)?
            .filter(|_| newest >= epoch)
        else {
            return Ok(None);
        };
        let (computed, stored) = (signing.committee().hash(), self.committee_hash()?);
        if computed != stored {
            return Err(LedgerError::CommitteeMismatch { computed, stored });
        }
        let mut round = last.max(record.round);
        for undone in (epoch.0..newest.0).map(Epoch) {
            round = round.max(self.epoch_record(undone)?.round);
        }
        Ok(Some(Correction {
            newest: (newest, record.digest),
            round: round.saturating_add(1),
            signing,
        }))
    }

    /// The round that the next root of an open epoch needs at least, when a correction of an earlier one undid it; `None`
    /// for one that was never resolved.
    pub fn undone(&self, epoch: Epoch) -> Result<Option<u32>, LedgerError> {
        let events = self.events_of(epoch, 0)?;
        let told = events.iter().filter_map(|event| told(&event.log));
        let least = told.map(|resolved| match resolved {
            Resolved::Posted(root) => root.round.saturating_add(1),
            Resolved::Void | Resolved::Open => 0,
        });
        Ok(least.max())
    }

    /// The roster whose committee has this hash, of the epochs from `first` to the one after the next to be resolved.
    pub fn roster_with(
        &self,
        committee: Keccak,
        first: Epoch,
        params: &NetworkParams,
    ) -> Result<Option<Roster>, LedgerError> {
        let last = self.next_epoch()?.next();
        for epoch in (first.0..=last.0).take(VOID_RUN_MAX).map(Epoch) {
            let roster = self.roster_of(epoch, params)?;
            if let Some(found) = roster.filter(|roster| roster.committee().hash() == committee) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn roster_of(
        &self,
        epoch: Epoch,
        params: &NetworkParams,
    ) -> Result<Option<Roster>, LedgerError> {
        let entries = self.fixed_roster(epoch)?;
        Ok(entries.and_then(|entries| Roster::of(params, entries).ok()))
    }

    /// The first epoch that is neither posted nor void.
    pub fn next_epoch(&self) -> Result<Epoch, LedgerError> {
        let next = self.read(self.contracts().epochs, &AssayEpochs::nextEpochCall {})?;
        Ok(Epoch(next))
    }

    /// What the ring keeps of an epoch.
    pub fn epoch_record(&self, epoch: Epoch) -> Result<EpochRecord, LedgerError> {
        let call = AssayEpochs::epochRecordCall { epoch: epoch.0 };
        let r = self.read(self.contracts().epochs, &call)?;
        Ok(EpochRecord {
            resolution: match r.resolution {
                1 => Resolution::Posted,
                2 => Resolution::Void,
                _ => Resolution::Open,
            },
            corrections: r.corrections,
            posted_at: UnixMs(r.postedAtMs),
            final_at: UnixMs(r.finalAtMs),
            leaf_count: r.leafCount,
            root: Keccak(r.root.0),
            digest: Keccak(r.digest.0),
            cumulative_reward: Stake(r.cumulativeReward),
            round: r.round,
        })
    }

    /// Whether the root of an epoch is the one that it was after so many corrections; one that the ring has lost was final.
    pub fn stands(&self, epoch: Epoch, corrections: u8) -> Result<bool, LedgerError> {
        let record = self.epoch_record(epoch)?;
        match record.resolution {
            Resolution::Posted => Ok(record.corrections == corrections),
            Resolution::Open => self.is_final(epoch),
            Resolution::Void => Ok(false),
        }
    }

    /// Whether an epoch, posted or void, can no longer change.
    pub fn is_final(&self, epoch: Epoch) -> Result<bool, LedgerError> {
        let call = AssayEpochs::isFinalCall { epoch: epoch.0 };
        self.read(self.contracts().epochs, &call)
    }

    /// The first epoch that can still change; `known` is one that could not before it. Finality is ordered.
    pub fn first_open(&self, known: Epoch) -> Result<Epoch, LedgerError> {
        let next = self.next_epoch()?;
        let (mut first, mut end) = (known.min(next).0, next.0);
        // An epoch after the one that was first open for long, or that one still.
        while first < end {
            let middle = match first == known.0 {
                true => first,
                false => first.midpoint(end),
            };
            match self.is_final(Epoch(middle))? {
                true => first = middle.saturating_add(1),
                false => end = middle,
            }
        }
        Ok(Epoch(first))
    }

    /// What became of an epoch, with the root as it was signed: from the events, so for epochs that the ring has lost, too.
    /// The last event counts: a correction replaces a root and opens the epochs after it, which are then posted again.
    pub fn resolved(&self, epoch: Epoch) -> Result<Resolved, LedgerError> {
        if epoch >= self.next_epoch()? {
            return Ok(Resolved::Open);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let from = if seen.0 <= epoch.0 { seen.1 } else { 0 };
        let mut told = self.told(epoch, from)?;
        // A chain that was reorganised can hold the event in an earlier block than the one that was seen.
        if told.is_none() && from > 0 {
            told = self.told(epoch, 0)?;
        }
        let Some((block, resolved)) = told else {
            let why = format!("no event of epoch {epoch}, which is resolved");
            return Err(bad_answer("RootPosted", why));
        };
        *seen = (epoch.0, block);
        Ok(resolved)
    }

    /// When an epoch begins, in whole seconds, as block times are.
    fn begun_s(&self, epoch: Epoch) -> Result<u64, LedgerError> {
        let genesis = self.genesis_parameters()?;
        let since = epoch.0.saturating_mul(genesis.epoch_ms);
        Ok(genesis.genesis_unix_ms.0.saturating_add(since) / 1_000)
    }

    /// The last event that resolved an epoch, from this block on, and its block.
    fn told(&self, epoch: Epoch, from: u64) -> Result<Option<(u64, Resolved)>, LedgerError> {
        let events = self.events_of(epoch, from)?;
        let resolving = |event: &Event| Some((event.block, told(&event.log)?));
        Ok(events.iter().rev().find_map(resolving))
    }

    /// What the contract told of an epoch, from this block on, in order.
    pub(crate) fn events_of(&self, epoch: Epoch, from: u64) -> Result<Vec<Event>, LedgerError> {
        let query = LogQuery {
            address: Address::from(self.contracts().epochs.0),
            topic: B256::from(U256::from(epoch.0)),
            from,
            since_s: self.begun_s(epoch)?,
        };
        let events = self.chain().logs(&query, self.reads);
        events.map_err(failed("RootPosted"))
    }

    /// What is put aside for an epoch's rewards: fixed before the epoch begins.
    pub fn budget(&self, epoch: Epoch) -> Result<Stake, LedgerError> {
        let call = AssayEpochs::budgetOfCall { epoch: epoch.0 };
        Ok(Stake(self.read(self.contracts().epochs, &call)?))
    }

    /// What a provider was paid since genesis.
    pub fn paid(&self, provider: ids::Address) -> Result<Stake, LedgerError> {
        let provider = Address::from(provider.0);
        let call = AssayRewards::paidCall { provider };
        Ok(Stake(self.read(self.contracts().rewards, &call)?))
    }

    /// The EIP-712 digest as the contract computes it.
    pub fn hash_root(&self, root: &EpochRoot) -> Result<Keccak, LedgerError> {
        let call = AssayEpochs::hashRootCall { r: root.into() };
        Ok(Keccak(self.read(self.contracts().epochs, &call)?.0))
    }

    /// What an account has of the network's token.
    pub fn tokens(&self, account: ids::Address) -> Result<Stake, LedgerError> {
        let account = Address::from(account.0);
        let balance = self.read(
            self.contracts().token,
            &TestToken::balanceOfCall { account },
        )?;
        Ok(Stake(balance.saturating_to()))
    }
}

/// HyperNodes and nodes.
impl AssayLedger {
    /// Who has registered, in order of registration; more than 65,536 are a bad answer.
    pub fn hypernodes(&self) -> Result<Vec<HyperNodeRecord>, LedgerError> {
        let stake = self.contracts().stake;
        let call = AssayStake::hyperNodeCountCall {};
        let count = self.count(stake, &call, MAX_HYPERNODES)?;
        let one = |index| AssayStake::hyperNodeAtCall {
            index: U256::from(index),
        };
        let mut records = Vec::new();
        let mut next = 0;
        while next < count {
            let end = next.saturating_add(CHUNK).min(count);
            for told in self.read_all(stake, (next..end).map(one))? {
                records.push(hypernode(told)?);
            }
            next = end;
        }
        Ok(records)
    }

    /// The credit schedule of a class; empty without one.
    pub fn schedule(&self, class: Digest) -> Result<Vec<CreditTier>, LedgerError> {
        let call = AssayReservations::scheduleCall {
            classDigest: class.0.into(),
        };
        let tiers = self.read(self.contracts().reservations, &call)?;
        let tier = |t: &reservations::IAssayReservations::CreditTier| CreditTier {
            below_ppm: t.belowPpm,
            credit_bps: Bps(t.creditBps.into()),
        };
        Ok(tiers.iter().map(tier).collect())
    }

    /// What the deployment fixed about nodes.
    pub fn node_terms(&self) -> Result<NodeTerms, LedgerError> {
        let call = AssayNodes::parametersCall {};
        let p = self.read(self.contracts().nodes, &call)?;
        Ok(NodeTerms {
            provisional_ms: p.provisionalMs,
            change_delay_ms: p.changeDelayMs,
            remove_after_ms: p.removeAfterMs,
            silence_ms: p.silenceMs,
            persistence_epochs: p.persistenceEpochs,
            reaudit_epochs: p.reauditEpochs,
        })
    }

    /// What the deployment fixed about reservations.
    pub fn rent_terms(&self) -> Result<RentTerms, LedgerError> {
        let call = AssayReservations::parametersCall {};
        let p = self.read(self.contracts().reservations, &call)?;
        Ok(RentTerms {
            slots_per_epoch: p.slotsPerEpoch,
            undecided_ppm: p.undecidedPpm,
            period_epochs: p.periodEpochs,
            max_ahead_epochs: p.maxAheadEpochs,
            notice_epochs: p.noticeEpochs,
            refund_epochs: p.refundEpochs,
        })
    }

    /// Epochs after the last one of service in which a pledge can be slashed.
    pub fn exit_delay_epochs(&self) -> Result<u64, LedgerError> {
        self.read(self.contracts().nodes, &AssayNodes::exitDelayEpochsCall {})
    }

    /// What the ledger asks of a class; all zero when it does not know it.
    pub fn class_terms(&self, class: Digest) -> Result<ClassTerms, LedgerError> {
        let call = AssayNodes::classTermsCall {
            classDigest: class.0.into(),
        };
        let t = self.read(self.contracts().nodes, &call)?;
        Ok(ClassTerms {
            collateral: Stake(t.collateral),
            slash_cap_per_epoch: Stake(t.slashCapPerEpoch),
            remove_below: Stake(t.removeBelow),
            slash_cap_bps: Bps(t.slashCapBps.into()),
            builder_share_bps: Bps(t.builderShareBps.into()),
        })
    }

    /// How many entries of a registration's escrow wait for their release.
    pub fn pending_releases(
        &self,
        node: NodeId,
        provider: ids::Address,
    ) -> Result<u64, LedgerError> {
        let call = AssayNodes::pendingReleasesCall {
            node: node.0.into(),
            provider: Address::from(provider.0),
        };
        Ok(self.read(self.contracts().nodes, &call)?.saturating_to())
    }

    /// What a provider offers a node for in each epoch; `None` without an open offer.
    pub fn offered_price(&self, node: NodeId) -> Result<Option<Stake>, LedgerError> {
        let node = node.0.into();
        let call = AssayReservations::offerOfCall { node };
        let offer = self.read(self.contracts().reservations, &call)?;
        Ok(offer.open.then_some(Stake(offer.pricePerEpoch)))
    }

    /// The offers among these nodes that a Builder can take now: open, by the owner, of a node that takes reservations. Two
    /// requests for many nodes where the ledger is remote.
    pub fn open_offers(
        &self,
        nodes: &[NodeRecord],
    ) -> Result<BTreeMap<NodeId, OpenOffer>, LedgerError> {
        let owned = nodes
            .iter()
            .filter(|n| n.confirmed_owner == Some(n.provider));
        let owned: Vec<_> = owned.collect();
        let call = |n: &&NodeRecord| AssayReservations::offerOfCall {
            node: n.node.0.into(),
        };
        let offers = self.read_all(self.contracts().reservations, owned.iter().map(call))?;
        let open = owned
            .into_iter()
            .zip(offers)
            .filter(|(n, offer)| offer.open && offer.provider == Address::from(n.provider.0));
        let open: Vec<_> = open.collect();
        let call = |(n, _): &(&NodeRecord, _)| AssayNodes::isReservableCall {
            node: n.node.0.into(),
        };
        let takes = self.read_all(self.contracts().nodes, open.iter().map(call))?;
        let open = open.into_iter().zip(takes).filter(|(_, takes)| *takes);
        Ok(open.map(|((n, o), _)| (n.node, open_offer(&o))).collect())
    }

    /// Rent, credits and shares of slashes that wait for an account to withdraw them.
    pub fn rent_balance(&self, account: ids::Address) -> Result<Stake, LedgerError> {
        let account = Address::from(account.0);
        let call = AssayReservations::balanceOfCall(account);
        Ok(Stake(self.read(self.contracts().reservations, &call)?))
    }
}

/// What an event says of its epoch; `None` for events that resolve nothing.
pub(crate) fn told(log: &alloy_primitives::Log) -> Option<Resolved> {
    let data = &log.data;
    if let Ok(event) = AssayEpochs::RootPosted::decode_log_data_validate(data) {
        return Some(Resolved::Posted(Box::new((&event.r).into())));
    }
    if let Ok(event) = AssayEpochs::RootCorrected::decode_log_data_validate(data) {
        return Some(Resolved::Posted(Box::new((&event.r).into())));
    }
    AssayEpochs::EpochVoided::decode_log_data_validate(data)
        .ok()
        .map(|_| Resolved::Void)
}

/// Ascending by id; why these are no roster.
fn roster(seats: &[stake::IAssayStake::Seat]) -> Result<Vec<RosterEntry>, String> {
    if seats.len() > ROSTER_MAX {
        let count = seats.len();
        return Err(format!("{count} HyperNodes, at most {ROSTER_MAX} are read"));
    }
    let mut entries = BTreeMap::new();
    for seat in seats {
        let entry = roster_entry(seat);
        if let Some(RosterEntry { id, .. }) = entries.insert(entry.id, entry) {
            return Err(format!("HyperNode {id} occurs twice"));
        }
    }
    Ok(entries.into_values().collect())
}

fn roster_entry(s: &stake::IAssayStake::Seat) -> RosterEntry {
    RosterEntry {
        id: HyperNodeId(s.ed25519Key.0),
        operator: Digest(s.operatorId.0),
        ledger: ids::Address(s.signer.into_array()),
        stake: Stake(s.stake.to()),
        seed_end: Seed(s.seedChainEnd.0),
    }
}

fn open_offer(o: &reservations::IAssayReservations::Offer) -> OpenOffer {
    OpenOffer {
        price: Stake(o.pricePerEpoch),
        min_epochs: o.minEpochs,
        max_epochs: o.maxEpochs,
    }
}

fn hypernode(h: stake::IAssayStake::HyperNode) -> Result<HyperNodeRecord, LedgerError> {
    let ed25519 = HyperNodeId(h.ed25519Key.0);
    let whose = format_args!("HyperNode {ed25519}");
    check_endpoint::<AssayStake::hyperNodeAtCall>(whose, &h.endpoint)?;
    Ok(HyperNodeRecord {
        address: ids::Address(h.signer.into_array()),
        ed25519,
        operator: Digest(h.operatorId.0),
        seed_end: Seed(h.seedChainEnd.0),
        endpoint: h.endpoint,
        registered_epoch: Epoch(h.registeredEpoch),
        stake: Stake(h.bonded.to()),
        unbonding: Stake(h.unbonding.to()),
        jailed: h.jailed,
        absent: h.absent,
    })
}
