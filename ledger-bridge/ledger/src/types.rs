//! The contracts' records in the project's own types.

use assay_aggregate::root::EpochRoot;
use assay_aggregate::roster::Roster;
use assay_protocol::amount::DECIMALS_USUAL;
use assay_protocol::ids::{
    Address, Bps, Digest, Epoch, HyperNodeId, Keccak, NetworkId, NodeId, Seed, Stake, UnixMs,
};

/// Network parameters that epochs and stake are fixed by for ever (`IAssayEpochs.Parameters`, `IAssayStake.Parameters`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenesisParameters {
    /// Start of epoch 0.
    pub genesis_unix_ms: UnixMs,
    /// Length of an epoch in milliseconds.
    pub epoch_ms: u64,
    /// Milliseconds after an epoch's end from which anyone may void it.
    pub void_after_ms: u64,
    /// Milliseconds from the posting of a root until it is final.
    pub dispute_window_ms: u64,
    /// Milliseconds by which a dispute extends the window.
    pub dispute_extension_ms: u64,
    /// What a dispute costs when no correction comes of it.
    pub dispute_bond: Stake,
    /// Least stake of a HyperNode.
    pub min_stake: Stake,
    /// Largest share of the total stake that one operator's weight may have.
    pub operator_cap_bps: Bps,
    /// How many epochs ahead a change of stake counts.
    pub active_after_epochs: u64,
    /// How long stake that leaves can still be slashed, in milliseconds.
    pub unbonding_ms: u64,
    /// Share of a slash that goes to who reported the fault.
    pub reporter_bps: Bps,
}

impl GenesisParameters {
    /// With roots that are final when they are posted, and every other window as short as the contracts take it.
    pub fn least(genesis_unix_ms: UnixMs, epoch_ms: u64, void_after_ms: u64, cap: Bps) -> Self {
        let active_after_epochs = 2;
        let mut parameters = Self {
            genesis_unix_ms,
            epoch_ms,
            void_after_ms,
            dispute_window_ms: 0,
            dispute_extension_ms: 0,
            dispute_bond: Stake(1),
            min_stake: Stake(1),
            operator_cap_bps: cap,
            active_after_epochs,
            unbonding_ms: 0,
            reporter_bps: Bps(0),
        };
        parameters.unbonding_ms = parameters.unbonding_ms_min();
        parameters
    }

    /// The contract's least: through the last epoch that leaving stake counted in, until its root can be replaced no more.
    pub fn unbonding_ms_min(&self) -> u64 {
        let counted = self.active_after_epochs.saturating_mul(self.epoch_ms);
        counted.saturating_add(self.until_final_ms())
    }

    /// The longest time from an epoch's end until its root is final, in milliseconds.
    pub fn until_final_ms(&self) -> u64 {
        self.void_after_ms
            .saturating_add(self.dispute_window_ms)
            .saturating_add(self.dispute_extension_ms)
            .saturating_add(self.epoch_ms)
    }
}

/// What nodes are registered, changed and removed by (`INodesTypes.Parameters`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeTerms {
    /// How long a registration waits for its confirmation, in milliseconds.
    pub provisional_ms: u64,
    /// From an announced change until a leaf can bring it, in milliseconds.
    pub change_delay_ms: u64,
    /// A suspension of this length ends in removal, in milliseconds.
    pub remove_after_ms: u64,
    /// Without any leaf for so long after the exit delay collateral is free, in milliseconds.
    pub silence_ms: u64,
    /// Epochs over which a breach must persist.
    pub persistence_epochs: u32,
    /// Epochs a re-audit may take.
    pub reaudit_epochs: u32,
}

/// What reservations are made and settled by (`IAssayReservations.Parameters`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RentTerms {
    /// Slots in an epoch.
    pub slots_per_epoch: u32,
    /// Share of a period's slots that are paid for without a decision.
    pub undecided_ppm: u32,
    /// Epochs in a billing period.
    pub period_epochs: u32,
    /// How far ahead a reservation may begin, in epochs.
    pub max_ahead_epochs: u32,
    /// Epochs after the current one that a cancellation cannot free.
    pub notice_epochs: u32,
    /// Epochs after a reservation's end from which unsettled rent goes back.
    pub refund_epochs: u32,
}

/// Share of all its stake that each proven fault takes of a HyperNode (`IAssayFaults.Shares`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultShares {
    /// Two roots signed in one epoch and round.
    pub two_roots: Bps,
    /// A root signed that was replaced.
    pub wrong_root: Bps,
    /// Two votes in one epoch and round.
    pub two_votes: Bps,
    /// Two contradicting log checkpoints.
    pub forked_log: Bps,
    /// A region key that does not give what was filled.
    pub wrong_region_key: Bps,
    /// An outcome that rests on an answer which nobody signed.
    pub unsigned_answer: Bps,
    /// Two outcomes of one probe.
    pub two_outcomes: Bps,
}

/// The token everything is paid in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// An ERC-20 token that is there.
    At(Address),
    /// A worthless one for tests, which anybody can mint, with so many decimals.
    Test {
        /// See [`assay_protocol::amount`].
        decimals: u8,
    },
}

/// Who may do what, and the token everything is paid in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// The token.
    pub token: Token,
    /// Receives what slashes and lost bonds bring.
    pub treasury: Address,
    /// Sets classes and budgets.
    pub governor: Address,
    /// May pause new risks and stop the windows' clock.
    pub guardian: Address,
}

/// Everything a network is deployed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployment {
    /// Epochs and stake.
    pub genesis: GenesisParameters,
    /// Nodes.
    pub nodes: NodeTerms,
    /// Reservations.
    pub rent: RentTerms,
    /// Faults.
    pub faults: FaultShares,
    /// Roles and token.
    pub roles: Roles,
}

impl Deployment {
    /// With every window as short as the contracts take it for these epochs, and every role with one account.
    pub fn least(genesis: GenesisParameters, slots_per_epoch: u32, owner: Address) -> Self {
        let until_final_ms = genesis.until_final_ms();
        let all = Bps(10_000);
        Self {
            nodes: NodeTerms {
                provisional_ms: until_final_ms.saturating_mul(2),
                change_delay_ms: 0,
                remove_after_ms: 0,
                silence_ms: until_final_ms,
                persistence_epochs: 1,
                reaudit_epochs: 0,
            },
            rent: RentTerms {
                slots_per_epoch,
                undecided_ppm: 0,
                period_epochs: 1,
                max_ahead_epochs: u32::MAX,
                notice_epochs: 0,
                refund_epochs: u32::try_from(until_final_ms.div_ceil(genesis.epoch_ms.max(1)))
                    .unwrap_or(u32::MAX),
            },
            faults: FaultShares {
                two_roots: all,
                wrong_root: all,
                two_votes: all,
                forked_log: all,
                wrong_region_key: all,
                unsigned_answer: all,
                two_outcomes: all,
            },
            roles: Roles {
                token: Token::Test {
                    decimals: DECIMALS_USUAL,
                },
                treasury: owner,
                governor: owner,
                guardian: owner,
            },
            genesis,
        }
    }
}

/// What a hardware class asks of a provider (`INodesTypes.ClassTerms`); set once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassTerms {
    /// Collateral at registration, at least; 0 when the class is unknown to the ledger.
    pub collateral: Stake,
    /// Most that one epoch can take.
    pub slash_cap_per_epoch: Stake,
    /// A node with less collateral is suspended until it is topped up.
    pub remove_below: Stake,
    /// Most that can be taken of a pledge in all.
    pub slash_cap_bps: Bps,
    /// Share of a slash that goes to the Builders who had reserved the node.
    pub builder_share_bps: Bps,
}

/// One step of a credit schedule: below this availability, this share of the rent due is credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditTier {
    /// Availability in parts per million.
    pub below_ppm: u32,
    /// Share of the rent.
    pub credit_bps: Bps,
}

/// The addresses of a network's contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contracts {
    /// `AssayEpochs`: the one that participants configure; it names the others.
    pub epochs: Address,
    /// `AssayRewards`.
    pub rewards: Address,
    /// `AssayStake`.
    pub stake: Address,
    /// `AssayNodes`.
    pub nodes: Address,
    /// `AssayReservations`.
    pub reservations: Address,
    /// `AssayFaults`.
    pub faults: Address,
    /// The ERC-20 token.
    pub token: Address,
    /// `EcdsaQuorum` or another verifier.
    pub verifier: Address,
}

/// What a HyperNode registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHyperNode {
    /// Its Ed25519 key.
    pub ed25519: HyperNodeId,
    /// That key's signature over [`possession_message`].
    pub proof: [u8; 64],
    /// Its operator; HyperNodes of one operator share its cap.
    pub operator: Digest,
    /// End of its seed hash chain.
    pub seed_end: Seed,
    /// Where it is reached; at most 256 bytes.
    pub endpoint: String,
    /// Stake to bond.
    pub stake: Stake,
}

/// What a HyperNode's Ed25519 key signs, so that an account can register it and no other account can
/// (`IAssayStake.possessionMessage`): ASCII `assay-hypernode-key-v1` ‖ chain id (32 bytes, big-endian) ‖ address of the
/// stake contract ‖ the account.
pub fn possession_message(chain_id: u64, stake: Address, account: Address) -> Vec<u8> {
    let mut message = b"assay-hypernode-key-v1".to_vec();
    message.extend_from_slice(&[0; 24]);
    message.extend_from_slice(&chain_id.to_be_bytes());
    message.extend_from_slice(&stake.0);
    message.extend_from_slice(&account.0);
    message
}

/// A registered HyperNode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HyperNodeRecord {
    /// Its ledger key's account.
    pub address: Address,
    /// Its Ed25519 key.
    pub ed25519: HyperNodeId,
    /// Its operator.
    pub operator: Digest,
    /// End of its newest seed hash chain, which counts `active_after_epochs` after it was set.
    pub seed_end: Seed,
    /// Where it is reached.
    pub endpoint: String,
    /// First epoch that its stake can count in.
    pub registered_epoch: Epoch,
    /// Stake that counts once active.
    pub stake: Stake,
    /// Stake on its way out, which can still be slashed.
    pub unbonding: Stake,
    /// Slashed for a fault: it can only leave.
    pub jailed: bool,
    /// Taken out of the committee for its absence, until it comes back.
    pub absent: bool,
}

/// What a HyperNode signed of its log (a checkpoint, C2SP tlog-checkpoint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// The network.
    pub network: NetworkId,
    /// Whose log it is.
    pub hypernode: HyperNodeId,
    /// Number of leaves.
    pub size: u64,
    /// RFC 9162 root over them.
    pub root: Digest,
    /// Ed25519.
    pub signature: [u8; 64],
}

/// What a provider registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode {
    /// The node.
    pub node: NodeId,
    /// Digest of its hardware class.
    pub class_digest: Digest,
    /// Region, 32 free bytes.
    pub region: [u8; 32],
    /// Where its agent is reached; at most 256 bytes.
    pub endpoint: String,
    /// Collateral to pledge.
    pub collateral: Stake,
}

/// State of a (node, provider) registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeStatus {
    /// Never registered.
    None,
    /// Registered, not confirmed: earns nothing, reserves nothing.
    Provisional,
    /// Confirmed and in good standing.
    Active,
    /// Confirmed, with a warning.
    Warned,
    /// Confirmed, after repeated breaches or for want of collateral.
    Suspended,
    /// Over for good.
    Removed,
}

/// A registration with its node's settlement state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// The node.
    pub node: NodeId,
    /// Who registered it.
    pub provider: Address,
    /// Digest of its hardware class.
    pub class_digest: Digest,
    /// Region, 32 free bytes.
    pub region: [u8; 32],
    /// Where its agent is reached.
    pub endpoint: String,
    /// Block time of the registration, in whole seconds.
    pub registered_at: UnixMs,
    /// When a posted root first named it.
    pub confirming_at: Option<UnixMs>,
    /// When it was cancelled, expired or left.
    pub ended_at: Option<UnixMs>,
    /// The last epoch for which service is owed, once its provider asked to leave.
    pub serves_through: Option<Epoch>,
    /// All that was ever pledged.
    pub pledged: Stake,
    /// What a slash can still take.
    pub collateral: Stake,
    /// Slashed, and not final.
    pub escrow: Stake,
    /// Slashed for good.
    pub slashed: Stake,
    /// State of this registration.
    pub status: NodeStatus,
    /// The node's confirmed provider, if there is one (it may be another than `provider`).
    pub confirmed_owner: Option<Address>,
    /// Last epoch settled for the node.
    pub settled_epoch: Option<Epoch>,
    /// How often that epoch had been corrected by then.
    pub settled_corrections: u8,
    /// Slash asked for by roots since genesis.
    pub cumulative_slash: Stake,
    /// Slash that was asked of this registration, of the node's sum since genesis: what was given back after a correction is
    /// not in it.
    pub counted_slash: Stake,
    /// The leaf that lets a leaving node go: its epoch, and how often that had been corrected.
    pub exit_leaf: Option<(Epoch, u8)>,
    /// The owner whose offer of the node it accepts.
    pub offered_by: Option<Address>,
    /// When a leaf made its provider the node's owner.
    pub confirmed_at: Option<UnixMs>,
    /// The processors that the node is bound to, see [`assay_protocol::evidence::chips_digest`].
    pub chips: Option<Digest>,
    /// The epoch of the leaf by which processors of it were last bound or freed.
    pub chips_epoch: Option<Epoch>,
}

/// How an epoch was resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Not yet, or not any more: a correction of an earlier epoch undid it.
    Open,
    /// By a root.
    Posted,
    /// Without one.
    Void,
}

/// What a correction of a root takes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// The newest root, with its digest: the rest changes with it.
    pub newest: (Epoch, Keccak),
    /// The round.
    pub round: u32,
    /// Who signs.
    pub signing: Roster,
}

/// What the contract keeps of an epoch, as long as it is in the ring; all zero while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochRecord {
    /// How it was resolved.
    pub resolution: Resolution,
    /// How many roots were replaced by a larger quorum's, here or in an epoch before.
    pub corrections: u8,
    /// Block time of the posting.
    pub posted_at: UnixMs,
    /// From when it is final.
    pub final_at: UnixMs,
    /// Leaves under the root.
    pub leaf_count: u32,
    /// Root of the outcome tree.
    pub root: Keccak,
    /// EIP-712 digest of the root in force.
    pub digest: Keccak,
    /// Sum of all rewards since genesis.
    pub cumulative_reward: Stake,
    /// Agreement round that produced the root.
    pub round: u32,
}

impl EpochRecord {
    /// Whether another root than the one with this digest, or none, took its place, which was there after `corrections`. What
    /// was corrected less often is older: a node that is behind says so. An open epoch says neither: it waits to be
    /// posted again, which [`crate::AssayLedger::next_epoch`] tells, or the ring has lost it, which was final before.
    pub fn contradicts(&self, digest: Keccak, corrections: u8) -> bool {
        let differs = match self.resolution {
            Resolution::Posted => self.digest != digest,
            Resolution::Void => true,
            Resolution::Open => false,
        };
        differs && self.corrections >= corrections
    }
}

/// What became of an epoch, from the events: for epochs that the ring has lost, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// Nothing yet.
    Open,
    /// Void.
    Void,
    /// A root.
    Posted(Box<EpochRoot>),
}

/// A Builder's reservation of a node (`IAssayReservations.Reservation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReservationRecord {
    /// Its number, from 1.
    pub id: u64,
    /// The node.
    pub node: NodeId,
    /// Who reserved it.
    pub builder: Address,
    /// Who is paid.
    pub provider: Address,
    /// First epoch.
    pub first: Epoch,
    /// First epoch after it.
    pub end: Epoch,
    /// First epoch that is not settled yet.
    pub settled_through: Epoch,
    /// Whether the node's slots before it are known.
    pub started: bool,
    /// Rent of an epoch.
    pub price: Stake,
    /// Prepaid rent that is still held.
    pub held: Stake,
    /// What went back to the Builder so far.
    pub credited: Stake,
}

/// An offer that a Builder can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOffer {
    /// Rent of an epoch.
    pub price: Stake,
    /// Shortest reservation in epochs.
    pub min_epochs: u32,
    /// Longest reservation in epochs.
    pub max_epochs: u32,
}

/// What a provider offers a node for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOffer {
    /// The node.
    pub node: NodeId,
    /// Rent of an epoch.
    pub price: Stake,
    /// Shortest reservation in epochs.
    pub min_epochs: u32,
    /// Longest reservation in epochs.
    pub max_epochs: u32,
    /// Whether new reservations are taken.
    pub open: bool,
}
