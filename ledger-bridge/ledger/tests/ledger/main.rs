//! The real bytecode on the embedded chain: whole life, every refusal by name, restart, RPC.

mod abi;
mod bed;
mod embedded;
mod life;
mod network;
mod refusals;
mod rpc;
