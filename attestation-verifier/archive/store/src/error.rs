//! What can go wrong with the archive, in the operator's words.

use assay_log::{CheckpointError, LeafError, MerkleError};
use assay_protocol::ids::{Digest, Epoch, NodeId, Slot};
use std::io;
use std::path::{Path, PathBuf};

/// Why the archive refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or quota is full.
    #[error(
        "{path}: no space left on the archive's disk\n\
         hint: free space or move the archive; nothing that was acknowledged is lost, and the daemon can be restarted"
    )]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// Another error of the file system.
    #[error("{path}: cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// An object's bytes are not those of its name.
    #[error(
        "{path}: expected content with SHA-256 {expected}, got {actual}\nhint: restore it from another HyperNode's archive"
    )]
    CorruptObject {
        /// The object's file.
        path: PathBuf,
        /// Its name.
        expected: Digest,
        /// What is there.
        actual: Digest,
    },
    /// No such object.
    #[error("object {0} is not in the archive")]
    NoObject(Digest),
    /// Longer than the caller reads.
    #[error("{path}: expected at most {limit} bytes, got {actual}")]
    ObjectTooLarge {
        /// The object's file.
        path: PathBuf,
        /// Cap in bytes.
        limit: u64,
        /// Its size in bytes.
        actual: u64,
    },
    /// Another process has the journal open.
    #[error(
        "{0}: the journal is in use by another process\nhint: stop the other assay-hypernode on this data directory"
    )]
    InUse(PathBuf),
    /// SQLite refused.
    #[error("{path}: cannot {action}")]
    Journal {
        /// What was tried.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// The journal is of another HyperNode, network or program version.
    #[error("{path}: expected a journal of {expected}, got one of {actual}")]
    OtherLog {
        /// The database.
        path: PathBuf,
        /// Log asked for.
        expected: String,
        /// Log it belongs to.
        actual: String,
    },
    /// The journal contradicts itself or a checkpoint that was signed.
    #[error(
        "{path}: the journal is damaged: {what}\nhint: never restore an older copy; keep this one for inspection"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What does not hold.
        what: String,
    },
    /// Something is to be recorded in a slot whose leaf is in the log.
    #[error("epoch {epoch} slot {slot}: its leaf is already in the log, nothing can be added")]
    SlotClosed {
        /// Epoch.
        epoch: Epoch,
        /// Slot.
        slot: Slot,
    },
    /// Something is to be recorded about a node whose leaf is in the log.
    #[error("epoch {epoch} node {node}: its leaf is already in the log, nothing can be added")]
    NodeClosed {
        /// Epoch.
        epoch: Epoch,
        /// Node.
        node: NodeId,
    },
    /// A number does not fit the database.
    #[error("{what}: expected at most 2^63 - 1, got {value}")]
    NumberTooLarge {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A leaf did not decode.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// A proof could not be built.
    #[error(transparent)]
    Merkle(#[from] MerkleError),
    /// A checkpoint could not be signed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl StoreError {
    /// Names an error of the file system.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }

    /// Names an error of SQLite.
    pub(crate) fn sql(action: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(DiskFull) => Self::Full { path },
            Some(DatabaseBusy | DatabaseLocked) => Self::InUse(path),
            _ => Self::Journal {
                action,
                path,
                source,
            },
        }
    }
}
