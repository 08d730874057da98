//! Audit bundles as far as they convict. `assay-audit` judges a bundle; here only what somebody signed counts, so whatever
//! does not hold is nobody's and is left out.

use anyhow::{Context, Result, ensure};
use assay_log::tar::{self, Files};
use assay_protocol::ids::{Epoch, HyperNodeId, NetworkId};
use assay_protocol::item::Item;
use assay_protocol::layout::{self, Claim};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::config::expect_place;

/// Longest bundle read, in bytes.
const BUNDLE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Longest record that is not a signed object, in bytes.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a tar file has in its first header, and where.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

/// An audit bundle of one network.
#[derive(Debug)]
pub struct Bundle {
    name: String,
    files: Files,
}

impl Bundle {
    /// Reads a bundle's tar file.
    pub fn read(path: &Path, network: NetworkId) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = file(path)?;
        ensure!(
            is_tar(&bytes),
            "{name}: expected the tar file of an audit bundle, got something else\n\
             hint: `assay-verifier bundle` makes it of exported folders"
        );
        Self::open(name, &bytes, network)
    }

    /// Opens a bundle's tar file; `name` is for messages.
    pub fn open(name: String, archive: &[u8], network: NetworkId) -> Result<Self> {
        let opened = tar::decode_tar(archive).with_context(|| name.clone())?;
        let files = assay_log::bundle::open(&opened).with_context(|| name.clone())?;
        let bundle = Self { name, files };
        let claim: Claim = bundle.record(layout::CLAIM)?;
        ensure!(
            claim.network == network,
            "{}: expected a bundle of network {network}, got one of {}",
            bundle.name,
            claim.network
        );
        Ok(bundle)
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// A record that must be there.
    pub fn record<T: Item>(&self, path: &str) -> Result<T> {
        let place = || format!("{}, {path}", self.name);
        let bytes = self
            .get(path)
            .with_context(|| format!("{}: expected a file in the bundle, got none", place()))?;
        T::decode("record", RECORD_BYTES_MAX, bytes).with_context(place)
    }

    /// Every outcome, with the HyperNode that its place names.
    pub fn outcomes(&self) -> impl Iterator<Item = (HyperNodeId, &[u8])> {
        self.files.iter().filter_map(|(path, bytes)| {
            let parts: Vec<&str> = path.split('/').collect();
            let ["hypernodes", hypernode, _, "outcomes", _] = parts[..] else {
                return None;
            };
            Some((hypernode.parse().ok()?, bytes.as_slice()))
        })
    }

    /// All raw evidence.
    pub fn evidence(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.files.iter();
        all.filter_map(|(path, bytes)| path.starts_with("evidence/").then_some(bytes.as_slice()))
    }

    /// The epochs of which it has the file that `path` names.
    pub fn epochs(&self, path: impl Fn(Epoch) -> String) -> Vec<Epoch> {
        let parts = self.files.keys().flat_map(|file| file.split('/'));
        let numbers: BTreeSet<u64> = parts.filter_map(|part| part.parse().ok()).collect();
        let all = numbers.into_iter().map(Epoch);
        all.filter(|epoch| self.files.contains_key(&path(*epoch)))
            .collect()
    }
}

/// Whether a file is a tar file, and so may be a bundle.
pub fn is_tar(bytes: &[u8]) -> bool {
    let (at, magic) = TAR_MAGIC;
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

/// Reads a file that is at most as long as a bundle.
pub fn file(path: &Path) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    let opened = File::open(path).with_context(name)?;
    let meta = opened.metadata().with_context(name)?;
    let why = "expected a file, got a folder\n\
               hint: `assay-verifier bundle` writes a bundle's tar file beside its folder";
    expect_place(!meta.is_dir(), path, why)?;
    ensure!(
        meta.len() <= BUNDLE_BYTES_MAX,
        "{}: expected at most {BUNDLE_BYTES_MAX} bytes, got {}",
        name(),
        meta.len()
    );
    let (mut bytes, mut bounded) = (Vec::new(), opened.take(BUNDLE_BYTES_MAX));
    bounded.read_to_end(&mut bytes).with_context(name)?;
    Ok(bytes)
}
