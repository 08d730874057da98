//! Where machines are tried: HyperNodes with everything of theirs but the schedule, peers that follow a script, and
//! virtual machines that boot for real.
#![forbid(unsafe_code)]

pub mod machine;
pub mod network;
pub mod probe_guest;
pub mod system;
pub mod table;
pub mod trial;
