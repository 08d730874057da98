//! The state directory, made and given to the user the agent becomes.
//!
//! Root gives away files in a directory where somebody else may write at the same time. So nothing is changed by its
//! name: what was looked at is held open, and that is given, whatever the name leads to by then.

use super::ConfineError;
use nix::fcntl::{AtFlags, OFlag};
use nix::unistd::{Gid, Uid, fchownat};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What the agent keeps in its state directory.
const OURS: [&str; 5] = [
    "ak.blob",
    "ak.blob.tmp",
    REGIONS,
    "status.json",
    "status.json.tmp",
];
const REGIONS: &str = "regions";
/// Extensions of what it keeps among the regions.
const REGION_FILES: [&str; 5] = ["region", "meta", "receipt", "filling", "tmp"];
/// What a file system keeps at its top.
const FILE_SYSTEMS: &str = "lost+found";

/// Whose the state has to be.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// User id.
    pub uid: Uid,
    /// Group id.
    pub gid: Gid,
}

/// Makes the state directory and its regions. `by_root`: gives them to `owner` with all that is in them, but only where
/// nothing lies but the agent's own plain files, so that a wrong path gives nothing away. They must be its own then.
pub fn prepare(state_dir: &Path, owner: Owner<'_>, by_root: bool) -> Result<(), ConfineError> {
    fs::create_dir_all(state_dir).map_err(at(state_dir))?;
    let dir = Held::directory(state_dir, state_dir, OFlag::empty())?;
    let regions = dir.through(REGIONS);
    match fs::create_dir(&regions) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(at(&state_dir.join(REGIONS))(error));
        }
        _ => {}
    }
    // By root's hand nothing is followed that lies in it.
    let regions = Held::directory(&regions, &state_dir.join(REGIONS), OFlag::O_NOFOLLOW)?;
    if by_root {
        dir.give(owner, |name| OURS.contains(&name))?;
        regions.give(owner, |name| {
            let extension = Path::new(name).extension().and_then(|text| text.to_str());
            extension.is_some_and(|extension| REGION_FILES.contains(&extension))
        })?;
    }
    [dir, regions]
        .iter()
        .try_for_each(|dir| dir.belongs_to(owner))
}

/// A file or directory, held open.
struct Held {
    file: File,
    /// What it was called, for people.
    path: PathBuf,
}

impl Held {
    fn directory(path: &Path, called: &Path, more: OFlag) -> Result<Self, ConfineError> {
        let flags = OFlag::O_DIRECTORY | more;
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(flags.bits()).open(path);
        Ok(Self {
            file: opened.map_err(at(called))?,
            path: called.to_owned(),
        })
    }

    /// The thing of this name itself, should it be a link; opened for nothing but to be held.
    fn entry(&self, name: &str) -> Result<Self, ConfineError> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let called = self.path.join(name);
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(flags.bits());
        let file = opened.open(self.through(name)).map_err(at(&called))?;
        Ok(Self { file, path: called })
    }

    /// A path that starts at the directory held, wherever its name leads by now.
    fn through(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.file.as_raw_fd()))
    }

    fn metadata(&self) -> Result<Metadata, ConfineError> {
        self.file.metadata().map_err(at(&self.path))
    }

    fn names(&self) -> Result<Vec<String>, ConfineError> {
        let entries = fs::read_dir(self.through("")).map_err(at(&self.path))?;
        entries
            .map(|entry| {
                let name = entry.map_err(at(&self.path))?.file_name();
                name.into_string().map_err(|name| {
                    at(&self.path.join(name))(io::ErrorKind::InvalidFilename.into())
                })
            })
            .collect()
    }

    /// Gives this directory and what is in it to `owner`; looks at everything before it changes anything.
    fn give(&self, owner: Owner<'_>, is_ours: impl Fn(&str) -> bool) -> Result<(), ConfineError> {
        let mut names = self.names()?;
        names.retain(|name| name != FILE_SYSTEMS);
        let owns = |found: &Metadata| found.uid() == owner.uid.as_raw();
        let mut changes = !owns(&self.metadata()?);
        let mut foreign = None;
        for name in &names {
            let entry = self.entry(name)?;
            let found = entry.metadata()?;
            let ours = is_ours(name) && (owns(&found) || is_plain(&found));
            changes |= ours && !owns(&found);
            if !ours {
                foreign = Some(entry.path);
            }
        }
        let Some(path) = foreign.filter(|_| changes) else {
            let all = names.iter().filter(|_| changes);
            all.map(|name| self.entry(name))
                .try_for_each(|entry| entry?.hand_over(owner))?;
            return match changes {
                true => chown(&self.file, &self.path, owner),
                false => Ok(()),
            };
        };
        Err(ConfineError::Foreign {
            path,
            user: owner.name.to_owned(),
        })
    }

    /// Looks again: it is another one when somebody put it there meanwhile.
    fn hand_over(self, owner: Owner<'_>) -> Result<(), ConfineError> {
        let found = self.metadata()?;
        if found.uid() == owner.uid.as_raw() {
            return Ok(());
        }
        match is_plain(&found) {
            true => chown(&self.file, &self.path, owner),
            false => Err(ConfineError::Foreign {
                path: self.path,
                user: owner.name.to_owned(),
            }),
        }
    }

    fn belongs_to(&self, owner: Owner<'_>) -> Result<(), ConfineError> {
        let (expected, actual) = (owner.uid.as_raw(), self.metadata()?.uid());
        match actual == expected {
            true => Ok(()),
            false => Err(ConfineError::Owner {
                path: self.path.clone(),
                expected,
                actual,
            }),
        }
    }
}

/// A second name of a file may be anywhere, and a link points anywhere.
fn is_plain(found: &Metadata) -> bool {
    found.is_dir() || found.is_file() && found.nlink() == 1
}

fn chown(file: &File, path: &Path, owner: Owner<'_>) -> Result<(), ConfineError> {
    let (uid, gid) = (Some(owner.uid), Some(owner.gid));
    // Of the open file itself, which was not opened for any use.
    fchownat(file, "", uid, gid, AtFlags::AT_EMPTY_PATH).map_err(|errno| at(path)(errno.into()))
}

/// Whether whoever runs by now gets to its state.
pub fn reach(state_dir: &Path) -> Result<(), ConfineError> {
    let regions = state_dir.join(REGIONS);
    fs::read_dir(&regions).map(drop).map_err(at(&regions))
}

fn at(path: &Path) -> impl Fn(io::Error) -> ConfineError + '_ {
    move |source| ConfineError::State {
        path: path.into(),
        source,
    }
}
