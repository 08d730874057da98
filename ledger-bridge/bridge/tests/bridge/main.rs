//! The bridge on a real embedded chain: board rules, posting, crashes, the command line.

mod board;
mod cli;
mod faults;
mod full_disk;
mod kill;
mod kill_states;
mod network;
mod poster;
mod proxy;
mod store;
