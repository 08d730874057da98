//! Which system calls are left: those that the agent's own code makes, and nothing a thief would want.
//!
//! Everything else fails with EPERM. It does not kill: a library that asks for something new after an update goes on
//! without it, while a killed agent costs its provider money; what must not happen does not happen either way.

use super::ConfineError;
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};
use std::collections::BTreeMap;

/// Allowed with whatever arguments.
const ALLOWED: &[i64] = &[
    // Bytes in and out of what is open: connections, regions, logs, the TPM.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fcntl,
    // Files; which ones, Landlock and their owners say.
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_getdents64,
    // Asked for at each start of what is there already; Landlock lets no folder be made.
    libc::SYS_mkdirat,
    // Regions: room reserved, synced, named when they are whole, removed when they are old.
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    // Connections that come; no port is opened any more (bind, listen).
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    // Waiting.
    libc::SYS_ppoll,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    // Clocks, where the kernel has no vDSO for them.
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    // Memory that cannot be run; see `conditional` for the rest of it.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads: start, locks, end.
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signal handlers of the runtime: a stack of its own for each thread, and an orderly abort.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Nonces and keys of TLS.
    libc::SYS_getrandom,
    // Asked for by glibc for each thread; the other filter answers that it does not exist.
    libc::SYS_clone3,
];

/// Older forms of the above that glibc uses on this architecture.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = &[
    libc::SYS_mkdir,
    libc::SYS_poll,
    libc::SYS_rename,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[];

/// Reads of a chase, many at once. A ring is a way around this filter (it can open and connect; not around Landlock):
/// whoever makes one restricts it to reads (IORING_REGISTER_RESTRICTIONS), as `assay-ring` does.
const IO_URING: &[i64] = &[
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// What a thread shares with its process; anything less would be another process.
const THREAD: libc::c_int =
    libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
/// Namespaces; CLONE_NEWTIME lies among the signal bits and is for clone3 only.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;
/// SOCK_TYPE_MASK of the kernel: the rest of the argument are flags.
const SOCKET_TYPE: u64 = 0xf;

/// What some configurations take beyond that.
#[derive(Debug, Clone, Default)]
pub struct Beyond {
    /// The TPM is reached over TCP.
    pub tcp: bool,
    /// A probe guest is reached over vsock.
    pub vsock: bool,
    /// Requests of `ioctl` on a device that is open: `/dev/sev-guest`.
    pub requests: Vec<u64>,
}

/// Filters the system calls of all threads, for good.
pub fn filter(beyond: &Beyond) -> Result<(), ConfineError> {
    let programs = programs(beyond).map_err(|error| ConfineError::Filter(error.to_string()))?;
    // The first one first: the second allows no further filter.
    programs.iter().try_for_each(|program| {
        apply_filter_all_threads(program).map_err(|error| ConfineError::Filter(error.to_string()))
    })
}

fn programs(beyond: &Beyond) -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let errno = |number: libc::c_int| SeccompAction::Errno(number.unsigned_abs());
    // clone3 takes its flags by reference, where a filter cannot look: glibc then falls back to clone.
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let absent = SeccompFilter::new(
        absent,
        SeccompAction::Allow,
        errno(libc::ENOSYS),
        architecture,
    )?;
    let allowed = SeccompFilter::new(
        rules(beyond)?,
        errno(libc::EPERM),
        SeccompAction::Allow,
        architecture,
    )?;
    Ok([absent.try_into()?, allowed.try_into()?])
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules(beyond: &Beyond) -> Result<Rules, seccompiler::BackendError> {
    let whatever = [ALLOWED, ALLOWED_HERE, IO_URING].concat();
    let mut rules: Rules = whatever
        .into_iter()
        .map(|call| (call, Vec::new()))
        .collect();
    rules.extend(conditional(&beyond.requests)?);
    let stream = |family: libc::c_int| {
        both(
            argument(0, Is::Eq, flag(family))?,
            argument(1, Is::MaskedEq(SOCKET_TYPE), flag(libc::SOCK_STREAM))?,
        )
    };
    let mut families = Vec::new();
    if beyond.tcp {
        // The software TPM; Landlock says at which ports.
        families.extend([stream(libc::AF_INET)?, stream(libc::AF_INET6)?]);
    }
    if beyond.vsock {
        // The probe guest. No rule can say which context id or port: guests of this host are reached, and nobody else.
        families.push(stream(libc::AF_VSOCK)?);
    }
    if !families.is_empty() {
        rules.insert(libc::SYS_socket, families);
        rules.insert(libc::SYS_connect, Vec::new());
    }
    Ok(rules)
}

/// Allowed with some arguments only.
fn conditional(requests: &[u64]) -> Result<Rules, seccompiler::BackendError> {
    let no_code = || argument(2, Is::MaskedEq(flag(libc::PROT_EXEC)), 0).and_then(one);
    let own = u64::from(std::process::id());
    let ioctls = [libc::FIONBIO].into_iter().chain(requests.iter().copied());
    let ioctls = ioctls.map(|request| argument(1, Is::Eq, request).and_then(one));
    Ok(BTreeMap::from([
        // Memory for data: nothing that could be executed is mapped, and nothing mapped is made executable.
        (libc::SYS_mmap, vec![no_code()?]),
        (libc::SYS_mprotect, vec![no_code()?]),
        // Threads, not processes, and in no namespace of their own.
        (
            libc::SYS_clone,
            vec![one(argument(
                0,
                Is::MaskedEq(flag(THREAD | NAMESPACES)),
                flag(THREAD),
            )?)?],
        ),
        // Names of threads.
        (
            libc::SYS_prctl,
            vec![one(argument(0, Is::Eq, flag(libc::PR_SET_NAME))?)?],
        ),
        // Blocking or not: how a connection is tried with a deadline; and reports. A request is 32 bits wide.
        (libc::SYS_ioctl, ioctls.collect::<Result<_, _>>()?),
        // A process that aborts signals itself.
        (libc::SYS_tgkill, vec![one(argument(0, Is::Eq, own)?)?]),
    ]))
}

/// The kernel looks at 32 bits of each of these arguments.
fn argument(number: u8, is: Is, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(number, Length::Dword, is, value)
}

fn one(condition: SeccompCondition) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition])
}

fn both(
    first: SeccompCondition,
    second: SeccompCondition,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![first, second])
}

fn flag(flag: libc::c_int) -> u64 {
    u64::from(flag.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_filters_can_be_made_and_sockets_and_requests_only_for_whom_needs_them() {
        let requests = vec![0xc020_5302];
        let beyond = |tcp, vsock| Beyond {
            tcp,
            vsock,
            requests: requests.clone(),
        };
        for (tcp, vsock, families) in [
            (false, false, 0),
            (true, false, 2),
            (false, true, 1),
            (true, true, 3),
        ] {
            let beyond = beyond(tcp, vsock);
            assert!(programs(&beyond).unwrap().iter().all(|p| !p.is_empty()));
            let rules = rules(&beyond).unwrap();
            let sockets = rules.get(&libc::SYS_socket).map_or(0, Vec::len);
            assert_eq!(sockets, families);
            assert_eq!(rules.contains_key(&libc::SYS_connect), families > 0);
            assert_eq!(rules[&libc::SYS_ioctl].len(), 2);
        }
        assert_eq!(
            rules(&Beyond::default()).unwrap()[&libc::SYS_ioctl].len(),
            1
        );
    }

    #[test]
    fn what_a_thief_would_want_has_no_rule() {
        let all = Beyond {
            tcp: true,
            vsock: true,
            requests: vec![0xc020_5302],
        };
        let rules = rules(&all).unwrap();
        for call in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_bpf,
            libc::SYS_mount,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_keyctl,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_pkey_mprotect,
            libc::SYS_memfd_create,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_kill,
            libc::SYS_seccomp,
            libc::SYS_setuid,
        ] {
            assert!(!rules.contains_key(&call), "system call {call}");
        }
    }
}
