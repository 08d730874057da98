//! Region files: written once by a HyperNode's fill, then read block by block by its chases.
//!
//! All data goes through O_DIRECT, so that a read is a read of the device and not of the page
//! cache. A region exists once its metadata file does: data is synced and renamed first, metadata
//! after it, so `kill -9` loses no acknowledged fill and shows no half one.

use crate::durable;
use crate::duty::Duty;
use assay_protocol::ids::{Digest, HyperNodeId};
use assay_protocol::merkle;
use assay_protocol::region::{BLOCK_BYTES, RegionId};
use nix::fcntl::{OFlag, posix_fallocate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const META_BYTES_MAX: u64 = 64 * 1024;
const DATA: &str = "region";
const META: &str = "meta";
const PARTIAL: &str = "filling";
const RECEIPT: &str = "receipt";

/// What went wrong with a region.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The region does not exist here: never filled, or lost.
    #[error("no region {region} generation {generation} of HyperNode {owner}")]
    Unknown {
        /// Whose.
        owner: HyperNodeId,
        /// Region number.
        region: u32,
        /// Generation.
        generation: u64,
    },
    /// The same region is being filled on another connection.
    #[error("region {region} generation {generation} is being filled already")]
    Busy {
        /// Region number.
        region: u32,
        /// Generation.
        generation: u64,
    },
    /// The HyperNode's share is used up.
    #[error("regions of HyperNode {owner} would take {wanted} bytes, {allowed} are allowed")]
    Quota {
        /// Whose.
        owner: HyperNodeId,
        /// Bytes of all its regions with this one.
        wanted: u64,
        /// Its share.
        allowed: u64,
    },
    /// The file system is full.
    #[error("disk full: {bytes} bytes for a region do not fit in {dir}", dir = dir.display())]
    DiskFull {
        /// Bytes of the region.
        bytes: u64,
        /// Region directory.
        dir: PathBuf,
    },
    /// The bytes received do not make the region announced.
    #[error("fill: expected {expected}, got {actual}")]
    Fill {
        /// What was announced.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The file system refuses O_DIRECT.
    #[error("{dir} refuses O_DIRECT: {source}", dir = dir.display())]
    Direct {
        /// Region directory.
        dir: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another input or output error.
    #[error("region file {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl RegionError {
    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "the HyperNode fills it anew; if it was filled, check the disk",
            Self::Busy { .. } => "wait for the other fill to end",
            Self::Quota { .. } => "raise limits.region_blocks_max or let old regions expire",
            Self::DiskFull { .. } => "free space or move state_dir to a larger file system",
            Self::Fill { .. } => "the HyperNode must send what it announced",
            Self::Direct { .. } => {
                "put state_dir on a file system with O_DIRECT, such as ext4 or xfs on the disk \
                 that is to be proven"
            }
            Self::Io { .. } => "check state_dir, its permissions and the disk's health",
        }
    }
}

/// A region's metadata; its file's existence is the region's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionMeta {
    /// The HyperNode that filled it.
    pub owner: HyperNodeId,
    /// Region number.
    pub region: u32,
    /// Generation.
    pub generation: u64,
    /// Blocks of 4,096 bytes.
    pub blocks: u32,
    /// Hash of the key, as announced before the fill.
    pub key_hash: Digest,
    /// Merkle root (RFC 9162) over the blocks received.
    pub root: Digest,
    /// The receipt as this agent signed it.
    #[serde(with = "hex::serde")]
    pub receipt: Vec<u8>,
}

/// The agent's regions, in one directory.
#[derive(Debug, Clone)]
pub struct RegionStore {
    shared: Arc<Shared>,
}

/// A fill in progress: whose, its file name, its size in bytes.
type Entry = (HyperNodeId, String, u64);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    owner_bytes_max: u64,
    filling: Mutex<BTreeSet<Entry>>,
}

impl RegionStore {
    /// Opens `dir` (created when missing), clears what a crash left half done, and makes sure that
    /// O_DIRECT works there. All regions of one HyperNode may take `owner_bytes_max`.
    pub fn open(dir: &Path, owner_bytes_max: u64) -> Result<Self, RegionError> {
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let shared = Shared {
            dir: dir.into(),
            owner_bytes_max,
            filling: Mutex::default(),
        };
        shared.clear_leftovers()?;
        shared.try_direct()?;
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Starts a fill of `blocks` blocks: reserves the space or refuses.
    pub fn begin(
        &self,
        owner: HyperNodeId,
        id: RegionId,
        blocks: u32,
        key_hash: Digest,
    ) -> Result<Filling, RegionError> {
        let name = name(&owner, id);
        let bytes = region_bytes(blocks);
        let reservation = self.shared.reserve(owner, &name, id, bytes)?;
        let path = self.shared.path(&name, PARTIAL);
        let file = create_direct(&path).map_err(at(&path))?;
        let length = i64::try_from(bytes).unwrap_or(i64::MAX);
        posix_fallocate(&file, 0, length)
            .map_err(|errno| self.shared.explain(&path, bytes, errno.into()))?;
        let RegionId { region, generation } = id;
        let meta = RegionMeta {
            owner,
            region,
            generation,
            blocks,
            key_hash,
            root: Digest([0; 32]),
            receipt: Vec::new(),
        };
        Ok(Filling {
            reservation,
            file,
            meta,
            frontier: Frontier::default(),
            buffer: AlignedBuffer::default(),
        })
    }

    /// Opens a filled region for reading.
    pub fn get(&self, owner: HyperNodeId, id: RegionId) -> Result<Region, RegionError> {
        let RegionId { region, generation } = id;
        let name = name(&owner, id);
        let meta = self.shared.meta(&name)?;
        let unknown = RegionError::Unknown {
            owner,
            region,
            generation,
        };
        let meta = meta.filter(|meta| meta.owner == owner).ok_or(unknown)?;
        let path = self.shared.path(&name, DATA);
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .custom_flags(OFlag::O_DIRECT.bits())
            .open(&path);
        Ok(Region {
            file: Arc::new(file.map_err(at(&path))?),
            meta,
        })
    }

    /// Keeps the receipt with both signatures, for disputes; it must be of a region of `owner`
    /// that this agent signed. Durable when this returns.
    pub fn keep_receipt(
        &self,
        owner: HyperNodeId,
        signed: &[u8],
        countersigned: &[u8],
    ) -> Result<(), RegionError> {
        let metas = self.shared.metas()?;
        let ours = metas
            .iter()
            .find(|meta| meta.owner == owner && meta.receipt == signed);
        let meta = ours.ok_or_else(|| RegionError::Fill {
            expected: "a receipt this agent signed for a region it still has".into(),
            actual: "another receipt".into(),
        })?;
        let id = RegionId {
            region: meta.region,
            generation: meta.generation,
        };
        let path = self.shared.path(&name(&owner, id), RECEIPT);
        durable::replace(&path, 0o600, countersigned).map_err(|source| {
            self.shared
                .explain(&path, countersigned.len() as u64, source)
        })
    }

    /// Removes old regions of HyperNodes that are not `answered` any more: they will never fill another one.
    pub fn expire_of_others(
        &self,
        newest: u64,
        answered: impl Fn(&HyperNodeId) -> bool,
    ) -> Result<(), RegionError> {
        self.shared.expire(newest, |meta| !answered(&meta.owner))
    }

    /// The directory, whose device the counters speak of.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }
}

impl Shared {
    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.dir.join(format!("{name}.{extension}"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Entry>> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(
        self: &Arc<Self>,
        owner: HyperNodeId,
        name: &str,
        id: RegionId,
        bytes: u64,
    ) -> Result<Reservation, RegionError> {
        let mut filling = self.lock();
        let RegionId { region, generation } = id;
        if filling.iter().any(|(_, other, _)| other == name) {
            return Err(RegionError::Busy { region, generation });
        }
        let being_filled = filling
            .iter()
            .filter(|entry| entry.0 == owner)
            .map(|entry| entry.2);
        let metas = self.metas()?;
        let filled = metas.iter().filter(|meta| meta.owner == owner);
        let filled = filled.map(|meta| region_bytes(meta.blocks));
        let wanted = being_filled.chain(filled).fold(bytes, u64::saturating_add);
        let allowed = self.owner_bytes_max;
        if wanted > allowed {
            return Err(RegionError::Quota {
                owner,
                wanted,
                allowed,
            });
        }
        let entry = (owner, name.to_owned(), bytes);
        filling.insert(entry.clone());
        Ok(Reservation {
            shared: Arc::clone(self),
            entry,
        })
    }

    fn meta(&self, name: &str) -> Result<Option<RegionMeta>, RegionError> {
        let path = self.path(name, META);
        let length = match std::fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        let damaged = |why: String| at(&path)(io::Error::new(io::ErrorKind::InvalidData, why));
        if length > META_BYTES_MAX {
            return Err(damaged(format!(
                "expected at most {META_BYTES_MAX} bytes, got {length}"
            )));
        }
        let bytes = std::fs::read(&path).map_err(at(&path))?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| damaged(error.to_string()))
    }

    fn names(&self, extension: &str) -> Result<Vec<String>, RegionError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(at(&self.dir))? {
            let path = entry.map_err(at(&self.dir))?.path();
            if path.extension().is_some_and(|found| found == extension)
                && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
            {
                names.push(stem.to_owned());
            }
        }
        Ok(names)
    }

    fn metas(&self) -> Result<Vec<RegionMeta>, RegionError> {
        let names = self.names(META)?;
        Ok(names
            .iter()
            .filter_map(|name| self.meta(name).ok().flatten())
            .collect())
    }

    /// Half fills, and data whose metadata was never written.
    fn clear_leftovers(&self) -> Result<(), RegionError> {
        for name in self.names(PARTIAL)? {
            self.remove(&name, PARTIAL)?;
        }
        for name in self.names(DATA)? {
            if !self.path(&name, META).exists() {
                self.remove(&name, DATA)?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str, extension: &str) -> Result<(), RegionError> {
        let path = self.path(name, extension);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
            _ => Ok(()),
        }
    }

    fn try_direct(&self) -> Result<(), RegionError> {
        let path = self.dir.join(format!("o_direct.{PARTIAL}"));
        let direct = |source| RegionError::Direct {
            dir: self.dir.clone(),
            source,
        };
        let file = create_direct(&path).map_err(direct)?;
        let mut buffer = AlignedBuffer::default();
        let written = file.write_all_at(buffer.blocks(1), 0);
        let _ = std::fs::remove_file(&path);
        written.map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull => self.explain(&path, BLOCK_BYTES as u64, source),
            _ => direct(source),
        })
    }

    fn explain(&self, path: &Path, bytes: u64, source: io::Error) -> RegionError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RegionError::DiskFull {
                bytes,
                dir: self.dir.clone(),
            },
            _ => at(path)(source),
        }
    }

    /// A region outlives the next generation by one period, for late disputes; older ones that are `over` go.
    fn expire(&self, newest: u64, over: impl Fn(&RegionMeta) -> bool) -> Result<(), RegionError> {
        for meta in self.metas()? {
            if over(&meta) && meta.generation.saturating_add(1) < newest {
                let id = RegionId {
                    region: meta.region,
                    generation: meta.generation,
                };
                let name = name(&meta.owner, id);
                [META, DATA, RECEIPT]
                    .iter()
                    .try_for_each(|part| self.remove(&name, part))?;
            }
        }
        Ok(())
    }
}

/// Space and name of a fill in progress; the partial file goes with it.
#[derive(Debug)]
struct Reservation {
    shared: Arc<Shared>,
    entry: Entry,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let _ = self.shared.remove(&self.entry.1, PARTIAL);
        self.shared.lock().remove(&self.entry);
    }
}

/// A region being written; dropped before [`Filling::finish`], it never was.
#[derive(Debug)]
pub struct Filling {
    reservation: Reservation,
    file: File,
    meta: RegionMeta,
    frontier: Frontier,
    buffer: AlignedBuffer,
}

impl Filling {
    /// Appends whole blocks.
    pub fn append(&mut self, data: &[u8]) -> Result<(), RegionError> {
        let (blocks, rest) = data.as_chunks::<BLOCK_BYTES>();
        let room = u64::from(self.meta.blocks).saturating_sub(self.frontier.count);
        if !rest.is_empty() || blocks.len() as u64 > room {
            let expected = format!("at most {room} more whole blocks of {BLOCK_BYTES} bytes");
            return Err(RegionError::Fill {
                expected,
                actual: format!("{} bytes", data.len()),
            });
        }
        let offset = self.frontier.count.saturating_mul(BLOCK_BYTES as u64);
        let aligned = self.buffer.blocks(blocks.len());
        aligned.copy_from_slice(data);
        self.file.write_all_at(aligned, offset).map_err(|source| {
            let shared = &self.reservation.shared;
            let path = shared.path(&self.reservation.entry.1, PARTIAL);
            shared.explain(&path, region_bytes(self.meta.blocks), source)
        })?;
        blocks
            .iter()
            .for_each(|block| self.frontier.push(merkle::leaf_hash(block)));
        Ok(())
    }

    /// Appends whole blocks, then rests as long as `duty` says.
    pub fn append_within(&mut self, data: &[u8], duty: &Duty) -> Result<(), RegionError> {
        let mut meter = duty.meter(1);
        self.append(data)?;
        if meter.is_due() {
            meter.rest();
        }
        Ok(())
    }

    /// Blocks received so far.
    pub fn received(&self) -> u64 {
        self.frontier.count
    }

    /// Makes the data durable, has `sign` make the receipt over it, and makes the region exist.
    /// Only what this returns may be acknowledged.
    pub fn finish(
        mut self,
        sign: impl FnOnce(&RegionMeta) -> Vec<u8>,
    ) -> Result<RegionMeta, RegionError> {
        if self.frontier.count != u64::from(self.meta.blocks) {
            let expected = format!("{} blocks", self.meta.blocks);
            let actual = format!("{} blocks", self.frontier.count);
            return Err(RegionError::Fill { expected, actual });
        }
        self.meta.root = self.frontier.root();
        let shared = &self.reservation.shared;
        let name = &self.reservation.entry.1;
        let (partial, data) = (shared.path(name, PARTIAL), shared.path(name, DATA));
        self.file.sync_all().map_err(at(&partial))?;
        self.meta.receipt = sign(&self.meta);
        // An earlier fill of the same region must not lend its metadata to the new data.
        shared.remove(name, META)?;
        durable::sync_directory_of(&data).map_err(at(&data))?;
        std::fs::rename(&partial, &data).map_err(at(&data))?;
        let meta = shared.path(name, META);
        let text = serde_json::to_vec(&self.meta).map_err(|error| at(&meta)(error.into()))?;
        durable::replace(&meta, 0o600, &text)
            .map_err(|source| shared.explain(&meta, text.len() as u64, source))?;
        let own = &self.meta;
        let same = |meta: &RegionMeta| meta.owner == own.owner && meta.region == own.region;
        shared.expire(own.generation, same)?;
        Ok(self.meta.clone())
    }
}

/// A filled region, open for reading; clones share the file.
#[derive(Debug, Clone)]
pub struct Region {
    file: Arc<File>,
    meta: RegionMeta,
}

impl Region {
    /// Its metadata.
    pub fn meta(&self) -> &RegionMeta {
        &self.meta
    }

    /// Its file, open for reading past the page cache.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// A reader with a buffer of its own: one per lane.
    pub fn reader(&self) -> BlockReader {
        BlockReader {
            file: Arc::clone(&self.file),
            buffer: AlignedBuffer::default(),
        }
    }
}

/// Reads whole blocks from the device.
#[derive(Debug)]
pub struct BlockReader {
    file: Arc<File>,
    buffer: AlignedBuffer,
}

impl BlockReader {
    /// Block `index`.
    pub fn read(&mut self, index: u32) -> io::Result<[u8; BLOCK_BYTES]> {
        let offset = u64::from(index).saturating_mul(BLOCK_BYTES as u64);
        let aligned = self.buffer.blocks(1);
        self.file.read_exact_at(aligned, offset)?;
        let mut block = [0; BLOCK_BYTES];
        block.copy_from_slice(aligned);
        Ok(block)
    }
}

/// Memory aligned to a block, as O_DIRECT wants it: allocated with room to shift.
#[derive(Debug, Default)]
struct AlignedBuffer {
    store: Vec<u8>,
}

impl AlignedBuffer {
    /// `count` blocks; their content is whatever was there.
    fn blocks(&mut self, count: usize) -> &mut [u8] {
        let wanted = count.saturating_mul(BLOCK_BYTES);
        if self.store.len() < wanted + BLOCK_BYTES {
            self.store = vec![0; wanted + BLOCK_BYTES];
        }
        let shift = self.store.as_ptr().align_offset(BLOCK_BYTES);
        &mut self.store[shift..shift + wanted]
    }
}

/// The right edge of a growing RFC 9162 tree: one root per set bit of the leaf count.
#[derive(Debug, Default)]
struct Frontier {
    count: u64,
    roots: Vec<Digest>,
}

impl Frontier {
    fn push(&mut self, leaf: Digest) {
        let mut root = leaf;
        for _ in 0..self.count.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                root = merkle::node_hash(&left, &root);
            }
        }
        self.roots.push(root);
        self.count += 1;
    }

    fn root(&self) -> Digest {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else {
            return merkle::empty_root();
        };
        roots.fold(*last, |right, left| merkle::node_hash(left, &right))
    }
}

fn name(owner: &HyperNodeId, id: RegionId) -> String {
    format!("{owner}-{}-{}", id.region, id.generation)
}

fn region_bytes(blocks: u32) -> u64 {
    u64::from(blocks).saturating_mul(BLOCK_BYTES as u64)
}

fn create_direct(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600);
    options.custom_flags(OFlag::O_DIRECT.bits()).open(path)
}

fn at(path: &Path) -> impl Fn(io::Error) -> RegionError + '_ {
    move |source| RegionError::Io {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests;
