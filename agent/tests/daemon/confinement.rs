//! What the running agent can no longer do: seen in `/proc`, and tried from inside, by system calls that this test
//! makes the agent's main thread do.

use super::*;
use crate::inject::Tracee;
use nix::libc;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// A user without any right, on every Debian.
const NOBODY: &str = "nobody";

/// A bench whose folder everybody may enter, and whose log only root may read.
fn open_bench() -> Bench {
    let bench = Bench::new();
    mode(bench.dir.path(), 0o755);
    mode(&bench.path("log"), 0o600);
    bench
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn start_as(bench: &Bench, user: &str) -> Agent {
    let mut command = Command::new(AGENT);
    command.args(["run", "--user", user, "--config"]);
    command.arg(bench.config());
    bench.spawn(command)
}

/// Changing users, and looking into a process of another one, is for root only.
fn is_root() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        eprintln!("skipped: only root can start an agent that becomes another user");
    }
    root
}

/// Fields of `/proc/PID/task/TID/status` of every thread.
fn threads(agent: &Agent) -> Vec<BTreeMap<String, String>> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.child.id())).unwrap();
    let fields = |text: String| {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect()
    };
    tasks
        .map(|task| fields(std::fs::read_to_string(task.unwrap().path().join("status")).unwrap()))
        .collect()
}

fn status_of(bench: &Bench) -> serde_json::Value {
    let text = std::fs::read(bench.path("state/status.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// What the agent gives up does not take its ring away, where the kernel gives one.
#[test]
fn a_confined_agent_chases_through_io_uring() {
    let bench = open_bench();
    let said = bench.path("stderr");
    let mut command = Command::new(AGENT);
    if is_root() {
        command.args(["run", "--user", NOBODY, "--config"]);
    } else {
        command.args(["run", "--config"]);
    }
    command.arg(bench.config());
    command.stderr(std::fs::File::create(&said).unwrap());
    let agent = bench.spawn(command);
    let mut client = bench.connect(&agent, 0);
    client.attest([1; 32]);
    client.fill();
    assert_eq!(client.chase([2; 32]).0, expected_lanes([2; 32]));
    let said = std::fs::read_to_string(said).unwrap();
    assert_eq!(
        said.contains("io_uring is refused"),
        assay_ring::probe().is_err(),
        "{said}"
    );
}

#[test]
fn every_thread_is_another_user_without_capabilities_and_filtered() {
    if !is_root() {
        return;
    }
    let bench = open_bench();
    let nobody = nix::unistd::User::from_name(NOBODY).unwrap().unwrap();
    for (user, uid, gid) in [
        (NOBODY, nobody.uid.as_raw(), nobody.gid.as_raw()),
        ("root", 0, 0),
    ] {
        let agent = start_as(&bench, user);
        let _connected = bench.bound(&agent);
        let threads = threads(&agent);
        assert!(threads.len() > 3, "main, tpm, attest, peer: {threads:?}");
        for thread in &threads {
            assert_eq!(thread["Seccomp"], "2");
            assert_eq!(thread["NoNewPrivs"], "1");
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(thread[set], "0".repeat(16), "{set}");
            }
            assert_eq!(thread["Uid"], [uid; 4].map(|id| id.to_string()).join("\t"));
            assert_eq!(thread["Gid"], [gid; 4].map(|id| id.to_string()).join("\t"));
            assert_eq!(thread["Groups"], "");
        }
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.child.id())).unwrap();
        let limit = |name: &str| {
            let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
            let values = line[name.len()..].split_whitespace();
            values.take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(limit("Max core file size"), ["0", "0"]);
        // Two connections of each of 128 members that may come, 64 strangers, two files each, 64 to spare.
        assert_eq!(limit("Max open files"), ["704", "704"]);
        let state = std::fs::metadata(bench.path("state/ak.blob")).unwrap();
        assert_eq!(state.uid(), uid);
        let status = status_of(&bench);
        let confinement = &status["confinement"];
        assert_eq!(confinement["user"], user);
        let locked = threads[0]["VmLck"] != "0 kB";
        assert_eq!(confinement["memory_locked"], locked, "{confinement}");
    }
}

/// The kernel's files of reports are opened anew each time, by the user that the agent has become.
#[test]
fn reports_go_on_for_a_user_without_rights() {
    if !is_root() {
        return;
    }
    let bench = open_bench();
    let reports = bench.path("reports");
    let echo = |data: [u8; 64]| (data.to_vec(), Vec::new());
    let _entry = TsmEntry::start(&reports, "assay-agent", "sev_guest", echo).unwrap();
    let section = format!("[snp]\nsource = \"configfs-tsm\"\npath = {reports:?}\n");
    bench.configure("127.0.0.1:0", "state", &section);
    let agent = start_as(&bench, NOBODY);
    let mut client = bench.connect(&agent, 0);
    for nonce in [[1; 32], [2; 32]] {
        let evidence = client.attest(nonce);
        assert_eq!(evidence.vendor().snp.as_ref().unwrap().report.0.len(), 64);
    }
    let tracee = Tracee::attach(agent.child.id());
    let entry = reports.join("assay-agent");
    // Its files, and nothing beside them.
    assert!(
        tracee
            .open(entry.join("privlevel").to_str().unwrap(), 0)
            .is_err()
    );
    let stolen = (libc::O_CREAT | libc::O_WRONLY) as u64;
    let beside = entry.join("more");
    assert_eq!(
        tracee.open(beside.to_str().unwrap(), stolen),
        Err(libc::EACCES)
    );
    tracee.detach();
}

/// Each source keeps what it takes, and no source what another takes.
#[test]
fn a_source_of_reports_keeps_its_own_calls_and_no_others() {
    if !is_root() {
        return;
    }
    const REPORT: u64 = 0xc020_5302;
    const PUSH_INPUT: u64 = libc::TIOCSTI;
    let stream = libc::SOCK_STREAM as u64;
    for (section, request, vsock) in [
        (
            "source = \"guest-device\"\npath = \"/dev/null\"",
            true,
            false,
        ),
        ("source = \"probe-guest\"\ncid = 3", false, true),
    ] {
        let bench = open_bench();
        bench.configure("127.0.0.1:0", "state", &format!("[snp]\n{section}\n"));
        let agent = start_as(&bench, NOBODY);
        let tracee = Tracee::attach(agent.child.id());
        let ioctl = |request| tracee.call(libc::SYS_ioctl, [0, request, 0, 0, 0, 0]);
        // Standard input is no such device.
        let expected = if request { libc::ENOTTY } else { libc::EPERM };
        assert_eq!(ioctl(REPORT), Err(expected), "{section}");
        assert_eq!(ioctl(PUSH_INPUT), Err(libc::EPERM));
        let family = libc::AF_VSOCK as u64;
        let socket = tracee.call(libc::SYS_socket, [family, stream, 0, 0, 0, 0]);
        // A kernel may have no vsock at all.
        assert_eq!(socket == Err(libc::EPERM), !vsock, "{section}: {socket:?}");
        tracee.detach();
    }
}

/// Memory and the places where nothing may be read or written belong to another user: `/proc/PID/mem` and the like.
#[test]
fn others_of_the_same_user_cannot_look_inside() {
    if !is_root() {
        return;
    }
    let bench = open_bench();
    let agent = start_as(&bench, NOBODY);
    let maps = format!("/proc/{}/maps", agent.child.id());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", "nogroup", "--clear-groups"]);
    let looked = command.args(["cat", &maps]).output().unwrap();
    let said = String::from_utf8(looked.stderr).unwrap();
    assert!(said.contains("Permission denied"), "{said}");
}

/// The whole of it, for a user of its own and for root, whom only capabilities and rules can hold.
#[test]
fn system_calls_from_inside_are_refused() {
    if !is_root() {
        return;
    }
    for user in [NOBODY, "root"] {
        let mut bench = open_bench();
        let agent = start_as(&bench, user);
        let tracee = Tracee::attach(agent.child.id());
        files_are_out_of_reach(&bench, &tracee);
        programs_and_code_are_refused(&tracee);
        other_processes_are_out_of_reach(&tracee);
        sockets_lead_to_the_tpm_only(&agent, &tracee);
        tracee.detach();
        still_serves(&mut bench, &agent);
    }
}

fn files_are_out_of_reach(bench: &Bench, tracee: &Tracee) {
    let create = (libc::O_CREAT | libc::O_WRONLY) as u64;
    let at = |path: &Path, flags: u64| tracee.open(path.to_str().unwrap(), flags);
    let refused = Err(libc::EACCES);
    assert_eq!(at(&bench.path("stolen"), create), refused);
    assert!(!bench.path("stolen").exists());
    // Everybody may read this one.
    assert_eq!(at(Path::new("/etc/passwd"), 0), refused);
    assert_eq!(at(&bench.config(), 0), refused);
    assert_eq!(at(Path::new("/proc/self/mem"), 0), refused);
    assert_eq!(at(Path::new("/"), 0), refused);
    let inside = at(&bench.path("state/regions/new.filling"), create).unwrap();
    assert_eq!(tracee.call(libc::SYS_close, [inside, 0, 0, 0, 0, 0]), Ok(0));
    let uptime = at(Path::new("/proc/uptime"), 0).unwrap();
    assert_eq!(tracee.call(libc::SYS_close, [uptime, 0, 0, 0, 0, 0]), Ok(0));
    let folder = tracee.text(bench.path("state/folder").to_str().unwrap());
    assert_eq!(
        tracee.call(libc::SYS_mkdir, [folder, 0o755, 0, 0, 0, 0]),
        refused
    );
}

fn programs_and_code_are_refused(tracee: &Tracee) {
    let refused = Err(libc::EPERM);
    let program = tracee.text("/bin/true");
    for call in [libc::SYS_execve, libc::SYS_execveat] {
        assert_eq!(tracee.call(call, [program, 0, 0, 0, 0, 0]), refused);
    }
    let map = |protection: libc::c_int| {
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        let none = u64::MAX;
        tracee.call(libc::SYS_mmap, [0, 4096, protection as u64, flags, none, 0])
    };
    assert_eq!(map(libc::PROT_READ | libc::PROT_EXEC), refused);
    let data = map(libc::PROT_READ | libc::PROT_WRITE).unwrap();
    let code = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let changed = tracee.call(libc::SYS_mprotect, [data, 4096, code, 0, 0, 0]);
    assert_eq!(changed, refused);
    // A fork, a namespace, and the form of clone whose flags no filter can see.
    for flags in [libc::SIGCHLD, libc::CLONE_NEWUSER | libc::SIGCHLD] {
        let forked = tracee.call(libc::SYS_clone, [flags as u64, 0, 0, 0, 0, 0]);
        assert_eq!(forked, refused);
    }
    let forked = tracee.call(libc::SYS_clone3, [data, 64, 0, 0, 0, 0]);
    assert_eq!(forked, Err(libc::ENOSYS));
}

fn other_processes_are_out_of_reach(tracee: &Tracee) {
    let refused = Err(libc::EPERM);
    let us = u64::from(std::process::id());
    for (call, arguments) in [
        (libc::SYS_ptrace, [libc::PTRACE_ATTACH as u64, us, 0, 0]),
        (libc::SYS_process_vm_readv, [us, 0, 0, 0]),
        (libc::SYS_kill, [us, 0, 0, 0]),
        (libc::SYS_tgkill, [us, us, 0, 0]),
        (libc::SYS_unshare, [libc::CLONE_NEWUSER as u64, 0, 0, 0]),
        (libc::SYS_setuid, [0, 0, 0, 0]),
        (libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, 1, 0, 0]),
        (libc::SYS_bpf, [0, 0, 0, 0]),
        (libc::SYS_mount, [0, 0, 0, 0]),
        (libc::SYS_keyctl, [0, 0, 0, 0]),
        (libc::SYS_perf_event_open, [0, 0, 0, 0]),
        (libc::SYS_userfaultfd, [0, 0, 0, 0]),
        (libc::SYS_init_module, [0, 0, 0, 0]),
        (libc::SYS_seccomp, [0, 0, 0, 0]),
    ] {
        let [a, b, c, d] = arguments;
        let answered = tracee.call(call, [a, b, c, d, 0, 0]);
        assert_eq!(answered, refused, "system call {call}");
    }
}

fn sockets_lead_to_the_tpm_only(agent: &Agent, tracee: &Tracee) {
    let refused = Err(libc::EPERM);
    let socket = |family: libc::c_int, kind: libc::c_int| {
        let arguments = [family as u64, kind as u64, 0, 0, 0, 0];
        tracee.call(libc::SYS_socket, arguments)
    };
    assert_eq!(socket(libc::AF_UNIX, libc::SOCK_STREAM), refused);
    assert_eq!(socket(libc::AF_INET, libc::SOCK_DGRAM), refused);
    assert_eq!(socket(libc::AF_INET, libc::SOCK_RAW), refused);
    assert_eq!(socket(libc::AF_NETLINK, libc::SOCK_RAW), refused);
    let open = socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC).unwrap();
    // sockaddr_in: family in the machine's order, port and address in the network's.
    let address = |port: u16| {
        let family = (libc::AF_INET as u16).to_ne_bytes();
        let port = port.to_be_bytes();
        let bytes = [&family[..], &port, &[127, 0, 0, 1], &[0; 8]].concat();
        tracee.bytes(&bytes)
    };
    let bound = tracee.call(libc::SYS_bind, [open, address(0), 16, 0, 0, 0]);
    assert_eq!(bound, refused);
    let listens = tracee.call(libc::SYS_listen, [open, 1, 0, 0, 0, 0]);
    assert_eq!(listens, refused);
    let own: u16 = agent.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let connected = tracee.call(libc::SYS_connect, [open, address(own), 16, 0, 0, 0]);
    assert_eq!(connected, Err(libc::EACCES));
    assert_eq!(tracee.call(libc::SYS_close, [open, 0, 0, 0, 0, 0]), Ok(0));
}

/// It answers everything, also after its TPM was away and is opened again.
fn still_serves(bench: &mut Bench, agent: &Agent) {
    let mut client = bench.bound(agent);
    client.probe([3; 32]);
    client.fill();
    assert_eq!(client.chase([2; 32]).0, expected_lanes([2; 32]));
    let before = client.attest([4; 32]).claims().clock.reset_count;
    bench.swtpm.restart().unwrap();
    let after = client.attest([5; 32]);
    assert_eq!(after.claims().clock.reset_count, before + 1);
    assert_eq!(client.chase([6; 32]).0, expected_lanes([6; 32]));
}

#[test]
fn state_is_given_to_the_user_and_nothing_else_is() {
    if !is_root() {
        return;
    }
    let bench = open_bench();
    let run_as = |user: &str| bench.fail(&["run", "--user", user]);
    let (code, said) = run_as("no-such-user");
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("error: no user \"no-such-user\"")
            && said.contains("hint: make one: `useradd"),
        "{said}"
    );
    // Root's own state, from an earlier run, is given away...
    drop(start_as(&bench, "root"));
    drop(start_as(&bench, NOBODY));
    // ...but not what is not the agent's.
    let owner = |name: &str| std::fs::metadata(bench.path(name)).unwrap().uid();
    bench.configure("127.0.0.1:0", "other", "");
    std::fs::create_dir(bench.path("other")).unwrap();
    std::fs::write(bench.path("other/ak.blob"), "").unwrap();
    std::fs::write(bench.path("other/diary"), "").unwrap();
    let (code, said) = run_as(NOBODY);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("other/diary is not the agent's"), "{said}");
    assert_eq!([owner("other"), owner("other/ak.blob")], [0, 0]);
    // Nor through a link, or by a second name.
    std::fs::remove_file(bench.path("other/diary")).unwrap();
    std::fs::remove_file(bench.path("other/ak.blob")).unwrap();
    std::fs::write(bench.path("secret"), "").unwrap();
    std::fs::hard_link(bench.path("secret"), bench.path("other/ak.blob")).unwrap();
    assert!(
        run_as(NOBODY)
            .1
            .contains("other/ak.blob is not the agent's")
    );
    std::fs::remove_file(bench.path("other/ak.blob")).unwrap();
    std::os::unix::fs::symlink(bench.path("secret"), bench.path("other/ak.blob")).unwrap();
    assert!(
        run_as(NOBODY)
            .1
            .contains("other/ak.blob is not the agent's")
    );
    std::fs::remove_file(bench.path("other/ak.blob")).unwrap();
    std::fs::remove_dir(bench.path("other/regions")).unwrap();
    std::fs::create_dir(bench.path("elsewhere")).unwrap();
    std::fs::write(bench.path("elsewhere/a.meta"), "").unwrap();
    std::os::unix::fs::symlink(bench.path("elsewhere"), bench.path("other/regions")).unwrap();
    let (code, said) = run_as(NOBODY);
    assert!(code == 5 && said.contains("other/regions: "), "{said}");
    assert_eq!(
        ["secret", "elsewhere", "elsewhere/a.meta"].map(owner),
        [0; 3]
    );
    // A folder above that the user may not enter.
    bench.configure("127.0.0.1:0", "state", "");
    mode(bench.dir.path(), 0o700);
    let (code, said) = run_as(NOBODY);
    assert_eq!(code, 5, "{said}");
    assert!(
        said.contains("Permission denied")
            && said.contains("hint: let the user of the agent enter"),
        "{said}"
    );
}

/// Started by the user itself, as by a service manager: it stays that user, and is confined all the same.
#[test]
fn whoever_is_not_root_stays_who_he_is() {
    if !is_root() {
        return;
    }
    let bench = open_bench();
    mode(&bench.path("log"), 0o644);
    drop(start_as(&bench, NOBODY));
    // Everybody must be able to run it.
    std::fs::copy(AGENT, bench.path("agent")).unwrap();
    let by_nobody = |more: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", "nogroup", "--clear-groups"]);
        command.arg(bench.path("agent")).arg("run").args(more);
        command.arg("--config").arg(bench.config());
        command
    };
    let agent = bench.spawn(by_nobody(&[]));
    for thread in threads(&agent) {
        assert_eq!(
            (&thread["Seccomp"][..], &thread["NoNewPrivs"][..]),
            ("2", "1")
        );
        assert_eq!(thread["CapEff"], "0".repeat(16));
    }
    bench.connect(&agent, 0).attest([1; 32]);
    drop(agent);
    let refused = by_nobody(&["--user", "root"]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot become user \"root\""), "{said}");
    // State of somebody else.
    drop(start_as(&bench, "root"));
    let refused = by_nobody(&[]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(5), "{said}");
    assert!(said.contains("expected owner 65534, got 0"), "{said}");
}
