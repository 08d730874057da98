//! The bridge on a real embedded chain: board rules, posting, crashes, the command line.

mod board;
mod cli;
mod kill;
mod network;
mod poster;
