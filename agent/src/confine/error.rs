//! Why the agent cannot be confined; it does not serve then.

use std::io;
use std::path::PathBuf;

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// No such user.
    #[error("no user {name:?} on this system")]
    NoUser {
        /// Its name.
        name: String,
    },
    /// Only root can become somebody else.
    #[error("cannot become user {name:?}: expected to be started by root, got user id {actual}")]
    NotRoot {
        /// The user wanted.
        name: String,
        /// The user that started it.
        actual: u32,
    },
    /// The user may not open the TPM device.
    #[error(
        "user {user:?} cannot use {device}: owner {owner}, group {group}, mode {mode:04o}", device = device.display()
    )]
    Tpm {
        /// The user the agent would run as.
        user: String,
        /// The device.
        device: PathBuf,
        /// The device's owner.
        owner: u32,
        /// The device's group.
        group: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// The state directory cannot be used, or not made to belong to the user.
    #[error("state directory {path}: {source}", path = path.display())]
    State {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something lies in the state directory that is not the agent's: its owner may not be changed.
    #[error(
        "state directory: {path} is not the agent's, so that nothing here is given to user {user:?}",
        path = path.display()
    )]
    Foreign {
        /// What lies there.
        path: PathBuf,
        /// Whom the directory would be given.
        user: String,
    },
    /// State of somebody else.
    #[error("state directory {path}: expected owner {expected}, got {actual}", path = path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// The user the agent runs as.
        expected: u32,
        /// Its owner.
        actual: u32,
    },
    /// Threads were started already.
    #[error("confinement: expected one thread, got {actual}")]
    Threads {
        /// How many there are.
        actual: usize,
    },
    /// Privileges are still there after they were given up.
    #[error("confinement: privileges are left: {what}")]
    Left {
        /// Which.
        what: String,
    },
    /// The system refused a step.
    #[error("confinement: {what}: {source}")]
    System {
        /// Which step.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// System calls cannot be filtered.
    #[error("confinement: system calls cannot be filtered: {0}")]
    Filter(String),
    /// Landlock refused its rules.
    #[error("confinement: Landlock: {0}")]
    Files(String),
}

impl ConfineError {
    /// Exit code of the process: 2 usage, 3 TPM, 5 storage, 1 the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoUser { .. } | Self::NotRoot { .. } => 2,
            Self::Tpm { .. } => 3,
            Self::State { .. } | Self::Foreign { .. } | Self::Owner { .. } => 5,
            _ => 1,
        }
    }

    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoUser { .. } => {
                "make one: `useradd --system --no-create-home --shell /usr/sbin/nologin assay`, or name another \
                 with --user NAME"
            }
            Self::NotRoot { .. } => "leave --user away, or start the agent as root",
            Self::Tpm { .. } => {
                "give the device to a group that is not root's and may read and write it (Debian's package \
                 tpm-udev does): the agent keeps that one group"
            }
            Self::State { .. } => {
                "let the user of the agent enter every folder above state_dir; root's own folders need --user root"
            }
            Self::Foreign { .. } => "give the agent a folder of its own as state_dir",
            Self::Owner { .. } => "start the agent as the owner of state_dir, or as root",
            Self::Filter(_) => {
                "the kernel needs CONFIG_SECCOMP_FILTER; without it the agent does not serve"
            }
            Self::Threads { .. } | Self::Left { .. } | Self::System { .. } | Self::Files(_) => {
                "see the message; this is not expected"
            }
        }
    }
}
