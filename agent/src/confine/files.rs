//! Which files and ports are left: Landlock, as far as the kernel has it.
//!
//! System calls are filtered in any case; this says *which* file may be opened, which a filter cannot see.

use super::{ConfineError, TpmAccess};
use crate::counters;
use crate::host_files::HostFiles;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
    PathFdError, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, Scope,
};
use std::path::Path;

/// Restrictions up to here are asked for; newer ones are of UDP and UNIX sockets, which the filter does not give.
const NEWEST: ABI = ABI::V6;
/// Names of hosts, for a software TPM that is not named by its address.
const RESOLVER: [&str; 3] = ["/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf"];
/// What an ABI before the one named does not restrict (Linux, Documentation/userspace-api/landlock.rst).
const SINCE: [(ABI, &str); 5] = [
    (ABI::V1, "files"),
    (ABI::V3, "truncation of files"),
    (ABI::V4, "TCP ports"),
    (ABI::V5, "ioctl on devices"),
    (ABI::V6, "signals to other processes"),
];

/// Leaves the state directory, the files of the kernel's `reports`, the TPM and what [`counters`] read; nothing can be
/// executed, no port opened. `resolver`: also
/// the system's table of host names. Yields the ABI in force and what this kernel does not restrict.
pub fn restrict(
    state_dir: &Path,
    reports: Option<&Path>,
    tpm: Option<&TpmAccess>,
    resolver: bool,
) -> Result<(u32, Option<String>), ConfineError> {
    let status = rules(state_dir, reports, tpm, resolver).map_err(ConfineError::Files)?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi.min(NEWEST),
        _ => ABI::Unsupported,
    };
    Ok((abi as u32, missing(abi)))
}

fn missing(abi: ABI) -> Option<String> {
    let missing: Vec<&str> = SINCE
        .iter()
        .filter(|(since, _)| abi < *since)
        .map(|(_, what)| *what)
        .collect();
    (!missing.is_empty()).then(|| {
        let abi = abi as u32;
        format!(
            "Landlock (ABI {abi}) does not restrict here: {}",
            missing.join(", ")
        )
    })
}

fn rules(
    state_dir: &Path,
    reports: Option<&Path>,
    tpm: Option<&TpmAccess>,
    resolver: bool,
) -> Result<RestrictionStatus, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(|error| text(&error))?;
    let state = PathFd::new(state_dir).map_err(|error| text(&error))?;
    rules = rules
        .add_rule(PathBeneath::new(state, state_rights()))
        .map_err(|error| text(&error))?;
    if let Some(folder) = reports {
        rules = file(rules, folder, AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    // What counters read, each time anew.
    for path in counters::FILES {
        rules = file(rules, path.as_ref(), AccessFs::ReadFile.into())?;
    }
    for path in counters::folders(&HostFiles::of_this_machine()) {
        rules = file(rules, &path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    if resolver {
        for path in RESOLVER {
            rules = file(rules, path.as_ref(), AccessFs::ReadFile.into())?;
        }
    }
    match tpm {
        Some(TpmAccess::Device(path)) => {
            rules = file(rules, path, AccessFs::ReadFile | AccessFs::WriteFile)?;
        }
        Some(TpmAccess::Network(port)) => {
            // Data, and the control channel beside it, where the TSS sets the locality.
            for port in [*port, port.saturating_add(1)] {
                rules = rules
                    .add_rule(NetPort::new(port, AccessNet::ConnectTcp))
                    .map_err(|error| text(&error))?;
            }
        }
        None => {}
    }
    rules.restrict_self().map_err(|error| text(&error))
}

/// Regions, the blob and the status: plain files that come, change and go. Folders are there already.
fn state_rights() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
}

/// A file that this machine does not have needs no rule.
fn file(
    rules: RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, String> {
    let opened = match PathFd::new(path) {
        Ok(opened) => opened,
        Err(PathFdError::OpenCall { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            return Ok(rules);
        }
        Err(error) => return Err(error.to_string()),
    };
    rules
        .add_rule(PathBeneath::new(opened, rights))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_kernel_leaves_open_is_said() {
        let said = |abi| missing(abi).unwrap();
        assert!(said(ABI::Unsupported).contains("(ABI 0) does not restrict here: files, "));
        assert!(said(ABI::V1).ends_with(
            "here: truncation of files, TCP ports, ioctl on devices, signals to other processes"
        ));
        assert!(said(ABI::V5).ends_with("here: signals to other processes"));
        assert_eq!(missing(ABI::V6), None);
    }
}
