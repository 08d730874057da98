//! The conformance suite of `tests/ledger` on a real node (anvil) over JSON-RPC, and what only a real node has: fees,
//! finality, reorganisations.

mod bed;
#[path = "../ledger/conformance/mod.rs"]
mod conformance;
mod finality;
mod gas;
#[path = "../ledger/network.rs"]
mod network;
#[path = "../ledger/passes_on.rs"]
mod passes_on;
mod signer;
