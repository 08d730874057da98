//! Whom the agent becomes.

use super::ConfineError;
use super::state::{self, Owner};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The user of an agent that root starts.
const DEFAULT_USER: &str = "assay";
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

    /// Makes the state directory ready for this user; see [`state::prepare`].
    pub fn own(&self, state_dir: &Path) -> Result<(), ConfineError> {
        let owner = Owner {
            name: &self.name,
            uid: self.uid,
            gid: self.gid,
        };
        state::prepare(state_dir, owner, self.by_root)
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
}

fn known_as(uid: Uid) -> String {
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
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
    use std::os::unix::fs::{PermissionsExt as _, lchown};
    use std::path::PathBuf;

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
