//! The ledger as Assay sees it: one low-level [`Chain`] trait, an embedded EVM chain on disk
//! ([`embedded::EmbeddedChain`]), any EVM node by URL ([`rpc::RpcChain`]), and the typed client
//! [`AssayLedger`] for a network's contracts (ARCHITECTURE sections 5 and 9).
//!
//! The API is synchronous: asynchronous callers use `spawn_blocking`.
//!
//! The embedded chain is an auditable record of one operator, not consensus: it gives durability, real
//! contract semantics and exact replay, and nothing against its own operator.
#![forbid(unsafe_code)]

pub mod abi;
mod action;
mod chain;
mod claims;
mod client;
mod convert;
mod deploy;
pub mod embedded;
mod faults;
mod fee;
pub mod http;
mod key;
mod keystore;
mod proofs;
mod reads;
mod records;
pub mod rpc;
mod send;
mod signer;
mod token;
mod tx;
mod types;

pub use action::Action;
pub use chain::{
    Block, Chain, ChainError, Event, Finality, LogQuery, Market, Receipt, Trial, TxRefused,
};
pub use claims::{Beginning, claims_at, is_known, is_owing};
pub use client::{AssayLedger, LedgerError};
pub use faults::{FaultOf, Replaced};
pub use fee::Fee;
pub use key::{KeyError, LedgerKey};
pub use keystore::read_password;
pub use proofs::{
    IncludedLeaf, IncludedRecord, SignedOutcome, SignedReceipt, UnsignedAnswer, WrongBlock,
};
pub use signer::RemoteSigner;
pub use token::decimals_of;
pub use tx::{SignedTx, TxRequest, TxSigner};
pub use types::{
    ClassTerms, Contracts, Correction, CreditTier, Deployment, EpochRecord, FaultShares,
    GenesisParameters, HyperNodeRecord, NewHyperNode, NewNode, NewOffer, NodeRecord, NodeStatus,
    NodeTerms, OpenOffer, RentTerms, ReservationRecord, Resolution, Resolved, Roles, SignedHead,
    Token, possession_message,
};
