//! Where machines are tried: HyperNodes with everything of theirs but the schedule, peers that follow a script, and
//! virtual machines that boot for real.
#![forbid(unsafe_code)]

pub mod debian;
pub mod event_log;
pub mod guest;
pub mod judge;
pub mod machine;
pub mod network;
pub mod probe_guest;
pub mod reset_line;
pub mod shell;
pub mod state_disk;
pub mod system;
pub mod table;
pub mod thief;
pub mod trial;
