//! The real bytecode on the embedded chain: whole life, every refusal by name, restart, RPC.

mod abi;
mod bed;
mod conformance;
mod embedded;
mod events;
mod network;
mod passes_on;
mod records;
mod rpc;
