//! The conformance suite of `tests/ledger` on a real node (anvil) over JSON-RPC, and what only a real node has: fees,
//! finality, reorganisations.

mod bed;
mod finality;
mod gas;
#[path = "../ledger/life.rs"]
mod life;
#[path = "../ledger/network.rs"]
mod network;
#[path = "../ledger/refusals.rs"]
mod refusals;
mod signer;
