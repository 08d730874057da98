//! The bridge on a real embedded chain: board rules, posting, crashes, the command line.

mod absence;
mod bad_input;
mod board;
mod bundles;
mod cli;
mod commands;
mod connections;
mod convictions;
mod corrections;
mod faults;
mod full_disk;
mod import;
mod kill;
mod kill_states;
mod network;
mod poster;
mod processes;
mod proxy;
mod rent;
mod setup;
mod standby;
mod store;
mod succession;
mod void_run;
