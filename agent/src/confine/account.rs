//! Whom the agent becomes, and what belongs to that user.

use super::ConfineError;
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};

/// The user of an agent that root starts.
const DEFAULT_USER: &str = "assay";
/// What the agent keeps in its state directory, and what file systems put there.
const OURS: [&str; 6] = [
    "ak.blob",
    "ak.blob.tmp",
    "regions",
    "status.json",
    "status.json.tmp",
    "lost+found",
];
const REGIONS: &str = "regions";
/// Extensions of what it keeps among the regions.
const REGION_FILES: [&str; 5] = ["region", "meta", "receipt", "filling", "tmp"];
/// Permission bits that let somebody read and write.
const READ_WRITE: u32 = 0o6;

/// A user, and the one group beside its own that it keeps.
#[derive(Debug)]
pub struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
    tpm_group: Option<Gid>,
    /// Whether root starts it; nobody else can change anything.
    by_root: bool,
}

impl Account {
    /// The user named, or [`DEFAULT_USER`] for root, or whoever started the process. `tpm` is the TPM's device, which
    /// that user must be able to open: now, and again when the TPM was lost.
    pub fn choose(name: Option<&str>, tpm: Option<&Path>) -> Result<Self, ConfineError> {
        let (uid, gid) = (Uid::effective(), Gid::effective());
        let by_root = uid.is_root();
        let mut account = match name.or(by_root.then_some(DEFAULT_USER)) {
            Some(name) => Self::named(name, by_root)?,
            None => Self {
                name: known_as(uid),
                uid,
                gid,
                tpm_group: None,
                by_root,
            },
        };
        if !by_root && account.uid != uid {
            return Err(ConfineError::NotRoot {
                name: account.name,
                actual: uid.as_raw(),
            });
        }
        // A device that is not there is the TPM's own error.
        if let Some((path, found)) = tpm.and_then(|path| Some((path, fs::metadata(path).ok()?))) {
            account.admit_to(path, &found)?;
        }
        Ok(account)
    }

    fn named(name: &str, by_root: bool) -> Result<Self, ConfineError> {
        let user = User::from_name(name).map_err(|errno| ConfineError::System {
            what: "cannot look users up",
            source: errno.into(),
        })?;
        let user = user.ok_or_else(|| ConfineError::NoUser { name: name.into() })?;
        Ok(Self {
            name: user.name,
            uid: user.uid,
            gid: user.gid,
            tpm_group: None,
            by_root,
        })
    }

    /// The user's name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the process changes its user: then the user is the agent's own.
    pub fn is_another(&self) -> bool {
        self.by_root && !self.uid.is_root()
    }

    /// By ownership, by the device's group or because everybody may. Without capabilities that is all there is, for
    /// user root as well. The group of root opens too much to be kept for this.
    fn admit_to(&mut self, device: &Path, found: &Metadata) -> Result<(), ConfineError> {
        let (mode, group) = (found.mode() & 0o7777, Gid::from_raw(found.gid()));
        let may = |shift: u32| mode >> shift & READ_WRITE == READ_WRITE;
        if found.uid() == self.uid.as_raw() && may(6) || may(0) {
            return Ok(());
        }
        // Who started it decides about its groups, when that is not root.
        if !self.by_root {
            return Ok(());
        }
        if group.as_raw() != 0 && may(3) {
            self.tpm_group = Some(group);
            return Ok(());
        }
        Err(ConfineError::Tpm {
            user: self.name.clone(),
            device: device.into(),
            owner: found.uid(),
            group: found.gid(),
            mode,
        })
    }

    /// Makes the state directory and its regions, and sees that they belong to this user with all that is in them.
    /// Changes owners only where nothing but the agent's own files lies, so that a wrong path gives nothing away.
    pub fn own(&self, state_dir: &Path) -> Result<(), ConfineError> {
        let regions = state_dir.join(REGIONS);
        fs::create_dir_all(&regions).map_err(at(state_dir))?;
        let ours = |name: &str| OURS.contains(&name);
        let region = |name: &str| {
            let extension = Path::new(name).extension().and_then(|text| text.to_str());
            extension.is_some_and(|extension| REGION_FILES.contains(&extension))
        };
        if self.by_root {
            self.take(state_dir, ours)?;
            self.take(&regions, region)?;
        }
        let actual = fs::metadata(state_dir).map_err(at(state_dir))?.uid();
        let expected = self.uid.as_raw();
        match actual == expected {
            true => Ok(()),
            false => Err(ConfineError::Owner {
                path: state_dir.into(),
                expected,
                actual,
            }),
        }
    }

    /// Gives `dir` and the files in it to this user.
    fn take(&self, dir: &Path, is_ours: impl Fn(&str) -> bool) -> Result<(), ConfineError> {
        let mut theirs = Vec::new();
        for entry in fs::read_dir(dir).map_err(at(dir))? {
            let path = entry.map_err(at(dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let known = name.is_some_and(&is_ours);
            let found = fs::symlink_metadata(&path).map_err(at(&path))?;
            if name != Some("lost+found") && !self.owns(&found) {
                // A second name of a file may be anywhere, and a link points anywhere.
                let plain = found.is_dir() || found.is_file() && found.nlink() == 1;
                theirs.push((path, known && plain));
            } else if !known {
                theirs.push((path, false));
            }
        }
        let found = fs::metadata(dir).map_err(at(dir))?;
        if self.owns(&found) && theirs.iter().all(|(_, known)| !known) {
            return Ok(());
        }
        if let Some((path, _)) = theirs.iter().find(|(_, known)| !known) {
            return Err(ConfineError::Foreign {
                path: path.clone(),
                user: self.name.clone(),
            });
        }
        let dir = Some(dir.to_owned());
        let mut all = theirs.into_iter().map(|(path, _)| path).chain(dir);
        all.try_for_each(|path: PathBuf| {
            let (uid, gid) = (self.uid.as_raw(), self.gid.as_raw());
            lchown(&path, Some(uid), Some(gid)).map_err(at(&path))
        })
    }

    fn owns(&self, found: &Metadata) -> bool {
        found.uid() == self.uid.as_raw()
    }

    /// Becomes the user, with the TPM's group and no other beside its own. Yields what could not be given up.
    pub fn become_it(&self) -> Result<Option<String>, ConfineError> {
        if !self.by_root {
            return Ok(None);
        }
        let groups: Vec<Gid> = self.tpm_group.into_iter().collect();
        let mut note = None;
        match nix::unistd::setgroups(&groups) {
            Ok(()) => {}
            // A user namespace of somebody who is not root has its groups fixed (user_namespaces(7)).
            Err(Errno::EPERM) if self.uid.is_root() => {
                note = Some("supplementary groups are as they were: the system keeps them".into());
            }
            Err(errno) => return Err(system("setgroups")(errno)),
        }
        let (uid, gid) = (self.uid, self.gid);
        nix::unistd::setresgid(gid, gid, gid).map_err(system("setresgid"))?;
        nix::unistd::setresuid(uid, uid, uid).map_err(system("setresuid"))?;
        let now = nix::unistd::getresuid().map_err(system("getresuid"))?;
        match (now.real, now.effective, now.saved) == (uid, uid, uid) {
            true => Ok(note),
            false => Err(ConfineError::Left {
                what: format!("user ids {now:?}"),
            }),
        }
    }

    /// Whether the user, as whom the process runs by now, gets to its state.
    pub fn reach(&self, state_dir: &Path) -> Result<(), ConfineError> {
        let regions = state_dir.join(REGIONS);
        fs::read_dir(&regions).map(drop).map_err(at(&regions))
    }
}

fn known_as(uid: Uid) -> String {
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

fn at(path: &Path) -> impl Fn(io::Error) -> ConfineError + '_ {
    move |source| ConfineError::State {
        path: path.into(),
        source,
    }
}

fn system(what: &'static str) -> impl Fn(Errno) -> ConfineError {
    move |errno| ConfineError::System {
        what,
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A file in a device's place, with this owner, group and mode; `None` when this is not root, who can make one.
    fn device(dir: &Path, owner: u32, group: u32, mode: u32) -> Option<PathBuf> {
        let path = dir.join("tpm");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        match lchown(&path, Some(owner), Some(group)) {
            Ok(()) => Some(path),
            Err(_) => {
                eprintln!("skipped: only root can give files away");
                None
            }
        }
    }

    /// `nobody` has user and group 65534 on Debian.
    #[test]
    fn one_group_is_kept_when_it_opens_the_tpm_and_is_not_roots() {
        let dir = tempfile::tempdir().unwrap();
        let group = |owner, group, mode| {
            let device = device(dir.path(), owner, group, mode)?;
            let chosen = Account::choose(Some("nobody"), Some(&device));
            Some(chosen.map(|account| account.tpm_group.map(Gid::as_raw)))
        };
        let Some(kept) = group(0, 4242, 0o660) else {
            return;
        };
        assert_eq!(kept.unwrap(), Some(4242));
        // No group where none is needed.
        assert_eq!(group(0, 4242, 0o666).unwrap().unwrap(), None);
        assert_eq!(group(65534, 4242, 0o660).unwrap().unwrap(), None);
        // Root's own device, a group that may only read, a group of root.
        for (owner, of, mode) in [(0, 4242, 0o600), (0, 4242, 0o640), (0, 0, 0o660)] {
            let refused = group(owner, of, mode).unwrap().unwrap_err();
            assert!(
                matches!(&refused, ConfineError::Tpm { user, .. } if user == "nobody"),
                "{refused}"
            );
            assert_eq!(refused.exit_code(), 3);
        }
    }

    #[test]
    fn without_capabilities_root_needs_what_everybody_needs() {
        let dir = tempfile::tempdir().unwrap();
        let Some(path) = device(dir.path(), 65534, 65534, 0o600) else {
            return;
        };
        let refused = Account::choose(Some("root"), Some(&path)).unwrap_err();
        assert!(
            refused.to_string().contains("user \"root\" cannot use"),
            "{refused}"
        );
        device(dir.path(), 0, 0, 0o600).unwrap();
        let account = Account::choose(Some("root"), Some(&path)).unwrap();
        assert!(!account.is_another() && account.tpm_group.is_none());
    }
}
