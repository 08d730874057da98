//! What can be done to the contracts, apart from when and by whom: an [`Action`] becomes a [`crate::SignedTx`].
//! A bridge stores the signed bytes before it sends them; the same bytes sent twice do one thing.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use assay_aggregate::root::{AbsenceLeaf, Committee, EpochRoot, NodeLeaf, RewardLeaf};
use assay_protocol::ids::{
    self, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Seed, Stake,
};
use assay_protocol::report::Vote;

use crate::abi::{
    AssayEpochs, AssayFaults, AssayNodes, AssayReservations, AssayRewards, AssayStake, TestToken,
};
use crate::convert::{amount96, proof_words, signature_bytes};
use crate::proofs::{
    IncludedLeaf, IncludedRecord, SignedOutcome, SignedReceipt, UnsignedAnswer, WrongBlock,
    conflict, records,
};
use crate::tx::Call;
use crate::types::{
    ClassTerms, Contracts, CreditTier, NewHyperNode, NewNode, NewOffer, SignedHead,
};

/// Which of a network's contracts an action calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Epochs,
    Rewards,
    Stake,
    Nodes,
    Reservations,
    Faults,
    Token,
}

impl Target {
    pub(crate) fn address(self, contracts: &Contracts) -> ids::Address {
        match self {
            Self::Epochs => contracts.epochs,
            Self::Rewards => contracts.rewards,
            Self::Stake => contracts.stake,
            Self::Nodes => contracts.nodes,
            Self::Reservations => contracts.reservations,
            Self::Faults => contracts.faults,
            Self::Token => contracts.token,
        }
    }
}

/// One state change of a contract, not yet signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The contract's function, for messages.
    pub name: &'static str,
    pub(crate) target: Target,
    /// What the called contract takes of the sender's tokens.
    pub(crate) takes: Stake,
    pub(crate) data: Bytes,
}

/// Proofs of faults.
impl Action {
    /// Slashes whoever signed a root that a correction replaced; `signature` is r ‖ s ‖ v.
    pub fn convict_of_root(root: &EpochRoot, signature: &[u8; 65]) -> Self {
        let call = AssayFaults::wrongRootCall {
            r: root.into(),
            signature: Bytes::copy_from_slice(signature),
        };
        Self::of("wrongRoot", Target::Faults, &call)
    }

    /// Slashes whoever voted for two input sets in one epoch and round; each vote with its Ed25519 signature.
    pub fn convict_of_votes(votes: [(&Vote, &[u8; 64]); 2]) -> Self {
        let [(a, signature_a), (b, signature_b)] = votes;
        let call = AssayFaults::twoVotesCall {
            a: a.into(),
            signatureA: Bytes::copy_from_slice(signature_a),
            b: b.into(),
            signatureB: Bytes::copy_from_slice(signature_b),
        };
        Self::of("twoVotes", Target::Faults, &call)
    }

    /// Slashes whoever signed two roots of its log for one size.
    pub fn convict_of_fork([a, b]: [&SignedHead; 2]) -> Self {
        let call = AssayFaults::twoCheckpointsCall {
            a: a.into(),
            signatureA: Bytes::copy_from_slice(&a.signature),
            b: b.into(),
            signatureB: Bytes::copy_from_slice(&b.signature),
        };
        Self::of("twoCheckpoints", Target::Faults, &call)
    }

    /// Slashes whoever's log has two leaves at one index, each under a checkpoint of it.
    pub fn convict_of_leaves(
        [a, b]: [&SignedHead; 2],
        index: u64,
        leaves: [&IncludedLeaf; 2],
    ) -> Self {
        let call = AssayFaults::twoLeavesCall {
            a: a.into(),
            signatureA: Bytes::copy_from_slice(&a.signature),
            b: b.into(),
            signatureB: Bytes::copy_from_slice(&b.signature),
            conflict: conflict(index, leaves),
        };
        Self::of("twoLeaves", Target::Faults, &call)
    }

    /// Slashes whoever's log says two things about one slot, or about one node in one epoch.
    pub fn convict_of_records([a, b]: [&SignedHead; 2], leaves: [&IncludedRecord; 2]) -> Self {
        let call = AssayFaults::twoRecordsCall {
            a: a.into(),
            signatureA: Bytes::copy_from_slice(&a.signature),
            b: b.into(),
            signatureB: Bytes::copy_from_slice(&b.signature),
            conflict: records(leaves),
        };
        Self::of("twoRecords", Target::Faults, &call)
    }

    /// Slashes whoever signed two roots of one epoch, round and committee; each root with its signature r ‖ s ‖ v.
    pub fn convict_of_two_roots(roots: [(&EpochRoot, &[u8; 65]); 2]) -> Self {
        let [(a, signature_a), (b, signature_b)] = roots;
        let call = AssayFaults::twoRootsCall {
            a: a.into(),
            signatureA: Bytes::copy_from_slice(signature_a),
            b: b.into(),
            signatureB: Bytes::copy_from_slice(signature_b),
        };
        Self::of("twoRoots", Target::Faults, &call)
    }

    /// Slashes whoever revealed a key that does not make a block of the region it signed a receipt for.
    pub fn convict_of_region_key(receipt: &SignedReceipt, wrong: &WrongBlock) -> Self {
        let call = AssayFaults::wrongRegionKeyCall {
            receipt: receipt.into(),
            signature: Bytes::copy_from_slice(&receipt.signature),
            key: wrong.key.0.into(),
            blockIndex: wrong.index.into(),
            leaf: wrong.leaf.hash.0.into(),
            path: wrong.leaf.path_words(),
        };
        Self::of("wrongRegionKey", Target::Faults, &call)
    }

    /// Slashes whoever concluded something from an answer that its signer did not sign; `index` is the answer's among the
    /// outcome's evidence.
    pub fn convict_of_answer(of: &SignedOutcome, index: usize, answer: &UnsignedAnswer) -> Self {
        let call = AssayFaults::unsignedAnswerCall {
            o: (&of.outcome).into(),
            signature: Bytes::copy_from_slice(&of.signature),
            index: U256::from(index),
            answer: answer.into(),
        };
        Self::of("unsignedAnswer", Target::Faults, &call)
    }

    /// Slashes whoever signed two outcomes of one probe.
    pub fn convict_of_outcomes([a, b]: [&SignedOutcome; 2]) -> Self {
        let call = AssayFaults::twoOutcomesCall {
            a: (&a.outcome).into(),
            signatureA: Bytes::copy_from_slice(&a.signature),
            b: (&b.outcome).into(),
            signatureB: Bytes::copy_from_slice(&b.signature),
        };
        Self::of("twoOutcomes", Target::Faults, &call)
    }
}

/// Genesis and HyperNodes.
impl Action {
    /// Joins as a HyperNode, by its ledger key.
    pub fn register_hypernode(new: &NewHyperNode) -> Self {
        let call = AssayStake::registerCall {
            ed25519Key: new.ed25519.0.into(),
            ed25519Proof: Bytes::copy_from_slice(&new.proof),
            operatorId: new.operator.0.into(),
            seedChainEnd: new.seed_end.0.into(),
            endpoint: new.endpoint.clone(),
            blsKey: Bytes::new(),
            blsProof: Bytes::new(),
            amount: amount96(new.stake),
        };
        Self::of("register", Target::Stake, &call).taking(new.stake)
    }

    /// Begins the network with the HyperNodes that have registered, which must be this committee's; by the deployer.
    pub fn open_genesis(network: NetworkId, committee: Keccak) -> Self {
        let call = AssayEpochs::openGenesisCall {
            networkId_: network.0.into(),
            committee: committee.0.into(),
        };
        Self::of("openGenesis", Target::Epochs, &call)
    }

    /// Lets an account register a HyperNode under the sender's operator id, by the id's owner.
    pub fn admit(member: ids::Address) -> Self {
        let member = Address::from(member.0);
        Self::of("admit", Target::Stake, &AssayStake::admitCall { member })
    }

    /// Adds to the sender's stake.
    pub fn bond(amount: Stake) -> Self {
        let call = AssayStake::bondCall {
            amount: amount96(amount),
        };
        Self::of("bond", Target::Stake, &call).taking(amount)
    }

    /// Starts to take stake back.
    pub fn unbond(amount: Stake) -> Self {
        let call = AssayStake::unbondCall {
            amount: amount96(amount),
        };
        Self::of("unbond", Target::Stake, &call)
    }

    /// Pays the sender stake whose time has come.
    pub fn withdraw_stake() -> Self {
        Self::of("withdraw", Target::Stake, &AssayStake::withdrawCall {})
    }

    /// Takes a HyperNode out of the committee by its leaf; by anybody.
    pub fn mark_absent(leaf: &AbsenceLeaf, proof: &[Keccak]) -> Self {
        let call = AssayStake::markAbsentCall {
            leaf: leaf.into(),
            proof: proof_words(proof),
        };
        Self::of("markAbsent", Target::Stake, &call)
    }

    /// Lets the sender's HyperNode, which was absent, count again.
    pub fn come_back() -> Self {
        Self::of("comeBack", Target::Stake, &AssayStake::comeBackCall {})
    }

    /// Another endpoint or seed chain of the sender's HyperNode.
    pub fn update_hypernode(seed_end: Seed, endpoint: &str) -> Self {
        let call = AssayStake::updateCall {
            seedChainEnd: seed_end.0.into(),
            endpoint: endpoint.to_owned(),
        };
        Self::of("update", Target::Stake, &call)
    }

    /// Pays the treasury what it could not receive when it was due; by anybody.
    pub fn pay_treasury() -> Self {
        Self::of(
            "payTreasury",
            Target::Stake,
            &AssayStake::payTreasuryCall {},
        )
    }

    /// Brings a HyperNode's seat and weight up to date; by anybody.
    pub fn refresh_hypernode(hypernode: HyperNodeId) -> Self {
        let call = AssayStake::refreshCall {
            ed25519Key: hypernode.0.into(),
        };
        Self::of("refresh", Target::Stake, &call)
    }
}

/// Epochs, budgets and rewards.
impl Action {
    /// Posts an epoch's signed root. `signatures` are parallel to `committee`, `None` for an absent member.
    pub fn post_root(
        root: &EpochRoot,
        committee: &Committee,
        signatures: &[Option<[u8; 65]>],
    ) -> Self {
        let call = AssayEpochs::postRootCall {
            r: root.into(),
            committee: committee.encode().into(),
            signatures: signature_bytes(signatures).into(),
        };
        Self::of("postRoot", Target::Epochs, &call)
    }

    /// Replaces the root of an epoch that is not final; epochs posted after it are open again. `committee` is the one that
    /// signs the next epoch, `signatures` as in [`Action::post_root`].
    pub fn correct(
        root: &EpochRoot,
        committee: &Committee,
        signatures: &[Option<[u8; 65]>],
    ) -> Self {
        let call = AssayEpochs::correctCall {
            r: root.into(),
            committee: committee.encode().into(),
            signatures: signature_bytes(signatures).into(),
        };
        Self::of("correct", Target::Epochs, &call)
    }

    /// Declares an epoch void.
    pub fn post_void(epoch: Epoch) -> Self {
        Self::of(
            "postVoid",
            Target::Epochs,
            &AssayEpochs::postVoidCall { epoch: epoch.0 },
        )
    }

    /// Adds `per_epoch` to the budgets of `epochs` epochs.
    pub fn fund(first: Epoch, epochs: u64, per_epoch: Stake) -> Self {
        let call = AssayEpochs::fundCall {
            firstEpoch: first.0,
            epochs,
            perEpoch: per_epoch.0,
        };
        let all = Stake(per_epoch.0.saturating_mul(epochs.into()));
        Self::of("fund", Target::Epochs, &call).taking(all)
    }

    /// Adds `per_epoch` of what is unallocated to the budgets of `epochs` epochs, by the governor.
    pub fn allocate(first: Epoch, epochs: u64, per_epoch: Stake) -> Self {
        let call = AssayEpochs::allocateCall {
            firstEpoch: first.0,
            epochs,
            perEpoch: per_epoch.0,
        };
        Self::of("allocate", Target::Epochs, &call)
    }

    /// Makes what the next `epochs` epochs left of their budgets unallocated; by anybody.
    pub fn reclaim(epochs: u64) -> Self {
        let call = AssayEpochs::reclaimCall { epochs };
        Self::of("reclaim", Target::Epochs, &call)
    }

    /// Ends a network that nobody signs for any more, for ever; by the governor.
    pub fn retire() -> Self {
        Self::of("retire", Target::Epochs, &AssayEpochs::retireCall {})
    }

    /// Refuses new risks for so many milliseconds, by the guardian.
    pub fn pause(duration_ms: u64) -> Self {
        let call = AssayEpochs::pauseCall {
            durationMs: duration_ms,
        };
        Self::of("pause", Target::Epochs, &call)
    }

    /// Ends a pause early, by the guardian.
    pub fn unpause() -> Self {
        Self::of("unpause", Target::Epochs, &AssayEpochs::unpauseCall {})
    }

    /// Stops the clock of all windows for so many milliseconds, by the guardian.
    pub fn extend_windows(duration_ms: u64) -> Self {
        let call = AssayEpochs::extendWindowsCall {
            durationMs: duration_ms,
        };
        Self::of("extendWindows", Target::Epochs, &call)
    }

    /// Pays a provider by its leaf of a final epoch.
    pub fn claim(leaf: &RewardLeaf, proof: &[Keccak]) -> Self {
        let call = AssayRewards::claimCall {
            leaf: leaf.into(),
            proof: proof_words(proof),
        };
        Self::of("claim", Target::Rewards, &call)
    }

    /// Says, with a bond, that an epoch's root does not follow from its input set.
    pub fn dispute(epoch: Epoch, bond: Stake) -> Self {
        Self::of(
            "dispute",
            Target::Epochs,
            &AssayEpochs::disputeCall { epoch: epoch.0 },
        )
        .taking(bond)
    }

    /// Pays a dispute's bond to whom it is due.
    pub fn close_dispute(epoch: Epoch) -> Self {
        let call = AssayEpochs::closeDisputeCall { epoch: epoch.0 };
        Self::of("closeDispute", Target::Epochs, &call)
    }
}

/// Nodes.
impl Action {
    /// Registers a node provisionally, by its provider.
    pub fn register_node(new: &NewNode) -> Self {
        let call = AssayNodes::registerCall {
            node: new.node.0.into(),
            classDigest: new.class_digest.0.into(),
            region: new.region.into(),
            endpoint: new.endpoint.clone(),
            amount: new.collateral.0,
        };
        Self::of("register", Target::Nodes, &call).taking(new.collateral)
    }

    /// Takes back the collateral of a registration that was not confirmed, by its provider.
    pub fn cancel_registration(node: NodeId) -> Self {
        Self::of(
            "cancel",
            Target::Nodes,
            &AssayNodes::cancelCall {
                node: node.0.into(),
            },
        )
    }

    /// Offers a node to another provider, or takes the offer back; by its owner.
    pub fn offer_node(node: NodeId, to: Option<ids::Address>) -> Self {
        let call = AssayNodes::offerTransferCall {
            node: node.0.into(),
            to: to.map_or(Address::ZERO, |to| Address::from(to.0)),
        };
        Self::of("offerTransfer", Target::Nodes, &call)
    }

    /// Pledges for a node that was offered to the sender; it becomes the owner by a later leaf.
    pub fn accept_node(node: NodeId, endpoint: &str, collateral: Stake) -> Self {
        let call = AssayNodes::acceptTransferCall {
            node: node.0.into(),
            endpoint: endpoint.to_owned(),
            amount: collateral.0,
        };
        Self::of("acceptTransfer", Target::Nodes, &call).taking(collateral)
    }

    /// Ends a registration that nobody confirmed in time; by anybody, its provider gets the collateral.
    pub fn expire(node: NodeId, provider: ids::Address) -> Self {
        let call = AssayNodes::expireCall {
            node: node.0.into(),
            provider: Address::from(provider.0),
        };
        Self::of("expire", Target::Nodes, &call)
    }

    /// Where the sender's node answers from now.
    pub fn set_endpoint(node: NodeId, endpoint: &str) -> Self {
        let call = AssayNodes::setEndpointCall {
            node: node.0.into(),
            endpoint: endpoint.to_owned(),
        };
        Self::of("setEndpoint", Target::Nodes, &call)
    }

    /// Removes a node that was suspended for too long; by anybody.
    pub fn remove(node: NodeId) -> Self {
        let node = node.0.into();
        Self::of("remove", Target::Nodes, &AssayNodes::removeCall { node })
    }

    /// Adds to the sender's collateral.
    pub fn top_up(node: NodeId, amount: Stake) -> Self {
        let call = AssayNodes::topUpCall {
            node: node.0.into(),
            amount: amount.0,
        };
        Self::of("topUp", Target::Nodes, &call).taking(amount)
    }

    /// Asks to leave, by the node's owner.
    pub fn request_exit(node: NodeId) -> Self {
        let node = node.0.into();
        Self::of(
            "requestExit",
            Target::Nodes,
            &AssayNodes::requestExitCall { node },
        )
    }

    /// Pays what is left of the collateral to a provider that has left.
    pub fn exit(node: NodeId, provider: ids::Address) -> Self {
        let call = AssayNodes::exitCall {
            node: node.0.into(),
            provider: Address::from(provider.0),
        };
        Self::of("exit", Target::Nodes, &call)
    }

    /// Settles a node's leaf of a posted epoch: status, and what it asks for into escrow.
    pub fn settle(leaf: &NodeLeaf, proof: &[Keccak]) -> Self {
        let call = AssayNodes::settleCall {
            leaf: leaf.into(),
            proof: proof_words(proof),
        };
        Self::of("settle", Target::Nodes, &call)
    }

    /// Takes a node's leaf of a final epoch for who owns it.
    pub fn confirm(leaf: &NodeLeaf, proof: &[Keccak]) -> Self {
        let call = AssayNodes::confirmCall {
            leaf: leaf.into(),
            proof: proof_words(proof),
        };
        Self::of("confirm", Target::Nodes, &call)
    }

    /// Pays escrow whose epochs are final to treasury and Builders, or back to collateral.
    pub fn release(node: NodeId, provider: ids::Address) -> Self {
        let call = AssayNodes::releaseCall {
            node: node.0.into(),
            provider: Address::from(provider.0),
        };
        Self::of("release", Target::Nodes, &call)
    }

    /// Terms of a class; once, by the governor.
    pub fn set_class(class: Digest, terms: &ClassTerms) -> Self {
        let call = AssayNodes::setClassCall {
            classDigest: class.0.into(),
            terms: terms.into(),
        };
        Self::of("setClass", Target::Nodes, &call)
    }
}

/// Reservations.
impl Action {
    /// Offers a node, or changes or closes an offer; by its owner.
    pub fn offer(new: &NewOffer) -> Self {
        let call = AssayReservations::offerCall {
            node: new.node.0.into(),
            pricePerEpoch: new.price.0,
            minEpochs: new.min_epochs,
            maxEpochs: new.max_epochs,
            open: new.open,
        };
        Self::of("offer", Target::Reservations, &call)
    }

    /// Reserves a node, prepaid: `epochs` epochs from `first` on, at `price` an epoch at most.
    pub fn reserve(node: NodeId, first: Epoch, epochs: u64, price: Stake) -> Self {
        let call = AssayReservations::reserveCall {
            node: node.0.into(),
            firstEpoch: first.0,
            epochs,
            maxPricePerEpoch: price.0,
        };
        let all = Stake(price.0.saturating_mul(epochs.into()));
        Self::of("reserve", Target::Reservations, &call).taking(all)
    }

    /// Gives up the billing periods that have not begun, by the Builder.
    pub fn cancel_reservation(id: u64) -> Self {
        let id = U256::from(id);
        Self::of(
            "cancel",
            Target::Reservations,
            &AssayReservations::cancelCall { id },
        )
    }

    /// Records a node's slots before a reservation.
    pub fn start_reservation(id: u64, leaf: &NodeLeaf, proof: &[Keccak]) -> Self {
        let call = AssayReservations::startCall {
            id: U256::from(id),
            leaf: leaf.into(),
            proof: proof_words(proof),
        };
        Self::of("start", Target::Reservations, &call)
    }

    /// Settles the billing period that ends with the leaf's epoch.
    pub fn settle_reservation(id: u64, leaf: &NodeLeaf, proof: &[Keccak]) -> Self {
        let call = AssayReservations::settleCall {
            id: U256::from(id),
            leaf: leaf.into(),
            proof: proof_words(proof),
        };
        Self::of("settle", Target::Reservations, &call)
    }

    /// Pays a Builder back what nobody has settled long after a reservation's end; by anybody.
    pub fn refund(id: u64) -> Self {
        let call = AssayReservations::refundCall { id: U256::from(id) };
        Self::of("refund", Target::Reservations, &call)
    }

    /// Pays an account what it has there.
    pub fn withdraw_rent(account: ids::Address) -> Self {
        let account = Address::from(account.0);
        Self::of(
            "withdraw",
            Target::Reservations,
            &AssayReservations::withdrawCall { account },
        )
    }

    /// Credit schedule of a class; once, by the governor.
    pub fn set_schedule(class: Digest, tiers: &[CreditTier]) -> Self {
        let call = AssayReservations::setScheduleCall {
            classDigest: class.0.into(),
            tiers: tiers.iter().map(Into::into).collect(),
        };
        Self::of("setSchedule", Target::Reservations, &call)
    }
}

/// The token.
impl Action {
    /// Makes tokens; only the test token does.
    pub fn mint(to: ids::Address, amount: Stake) -> Self {
        let call = TestToken::mintCall {
            to: Address::from(to.0),
            amount: U256::from(amount.0),
        };
        Self::of("mint", Target::Token, &call)
    }

    /// Lets a contract take so many of the sender's tokens, and not more.
    pub(crate) fn approve(spender: ids::Address, amount: Stake) -> Self {
        let call = TestToken::approveCall {
            spender: Address::from(spender.0),
            value: U256::from(amount.0),
        };
        Self::of("approve", Target::Token, &call)
    }
}

impl Action {
    pub(crate) fn to<'a>(&'a self, contracts: &Contracts) -> Call<'a> {
        Call {
            action: self.name,
            to: Some(Address::from(self.target.address(contracts).0)),
            value: U256::ZERO,
            data: &self.data,
        }
    }

    fn of(name: &'static str, target: Target, call: &impl SolCall) -> Self {
        Self {
            name,
            target,
            takes: Stake(0),
            data: call.abi_encode().into(),
        }
    }

    fn taking(self, takes: Stake) -> Self {
        Self { takes, ..self }
    }
}
