//! The HyperNode against scripted agents, peers and boards over real TLS, and its messages by the built program.

mod agreement;
mod board;
mod challenges;
mod chassis;
mod closing;
mod control;
mod following;
mod measured;
mod messages;
mod probe;
mod real_agent;
mod restart;
mod soft_machine;
mod succession;
