//! Doors that stay shut for as long as the machine runs; the command line, which is measured, shuts the others
//! (`lockdown=confidentiality`, `module.sig_enforce=1`).

use crate::error::{Failure, at};
use crate::say;

/// Kernel settings, each for one reason. Those that can be opened again only root could, and root runs nothing but
/// this program.
const SETTINGS: [(&str, &str); 9] = [
    // No other kernel without a boot that is measured.
    ("kernel/kexec_load_disabled", "1"),
    // Nobody looks into the agent's memory, not even its own user.
    ("kernel/yama/ptrace_scope", "3"),
    // No memory of a crashed program in a file, nor a program that is run for it.
    ("kernel/core_pattern", "|/nowhere"),
    ("fs/suid_dumpable", "0"),
    // No keys that make the kernel do things.
    ("kernel/sysrq", "0"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/kptr_restrict", "2"),
    // A kernel in doubt stops: it would have to be measured again.
    ("kernel/panic_on_oops", "1"),
];

/// Makes the settings and says which lockdown is in force.
pub fn close() -> Result<(), Failure> {
    for (name, value) in SETTINGS {
        let path = format!("/proc/sys/{name}");
        std::fs::write(&path, value).map_err(at(&path))?;
    }
    let path = "/sys/kernel/security/lockdown";
    let mode = std::fs::read_to_string(path).map_err(at(path))?;
    say(&format!("lockdown: {}", mode.trim()));
    Ok(())
}
