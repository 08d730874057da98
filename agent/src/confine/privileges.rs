//! Capabilities, limits and memory of the process.

use super::ConfineError;
use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities,
    capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
    set_no_new_privs,
};

/// Capability numbers are below this (two 32-bit words of capset(2)).
const CAPABILITIES_MAX: u32 = 64;
/// What a thread reserves for its stack, and everything that is not a stack: program, libraries, heap.
const STACK_BYTES: u64 = 2 << 20;
const OTHER_BYTES: u64 = 192 << 20;

/// No core dumps, and at most `files` open files.
pub fn limit_files(files: u64) -> Result<(), ConfineError> {
    at_most(Resource::Core, 0).map_err(system("core dumps"))?;
    at_most(Resource::Nofile, files).map_err(system("limit of open files"))
}

/// At most `threads` threads of this user; only for a user of the agent's own, because all its processes count.
pub fn limit_threads(threads: u64) -> Result<(), ConfineError> {
    at_most(Resource::Nproc, threads).map_err(system("limit of threads"))
}

fn at_most(resource: Resource, wanted: u64) -> Result<(), Errno> {
    let hard = getrlimit(resource)
        .maximum
        .map_or(wanted, |hard| hard.min(wanted));
    let limit = Rlimit {
        current: Some(hard),
        maximum: Some(hard),
    };
    setrlimit(resource, limit)
}

/// Locks what is in memory and whatever comes there, so that no key reaches swap; pages come as they are touched, not
/// whole stacks at once. Locked memory is counted as it is *reserved*: a limit that is too low would later refuse
/// threads, so that nothing is locked then. Yields why not.
pub fn lock_memory(threads: u64) -> Result<(), String> {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    let needed = threads
        .saturating_mul(STACK_BYTES)
        .saturating_add(OTHER_BYTES);
    if setrlimit(Resource::Memlock, unlimited).is_err() {
        let hard = getrlimit(Resource::Memlock).maximum;
        if let Some(hard) = hard.filter(|hard| *hard < needed) {
            return Err(format!(
                "memory is not locked: the limit is {hard} bytes, {needed} are needed (LimitMEMLOCK=infinity)"
            ));
        }
        let raised = Rlimit {
            current: hard,
            maximum: hard,
        };
        setrlimit(Resource::Memlock, raised).map_err(not_locked)?;
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).map_err(not_locked)
}

fn not_locked(error: Errno) -> String {
    format!("memory is not locked: {error}")
}

/// Empties the ambient and the bounding set and locks the secure bits: no program and no change of user brings a
/// capability back. Needs CAP_SETPCAP; started without it, there is nothing to bound, which is said.
pub fn bound() -> Result<Option<String>, ConfineError> {
    clear_ambient_capability_set().map_err(system("ambient capabilities"))?;
    let held = capabilities(None).map_err(system("capabilities"))?;
    if !held.effective.contains(CapabilitySet::SETPCAP) {
        let note = "the bounding set is as it was: not started with CAP_SETPCAP";
        return Ok((!bounding().is_empty()).then(|| note.to_owned()));
    }
    for capability in bounding().iter() {
        remove_capability_from_bounding_set(capability).map_err(system("bounding set"))?;
    }
    use CapabilitiesSecureBits as Bits;
    let locked = Bits::NO_ROOT
        | Bits::NO_ROOT_LOCKED
        | Bits::NO_SETUID_FIXUP
        | Bits::NO_SETUID_FIXUP_LOCKED
        | Bits::KEEP_CAPS_LOCKED
        | Bits::NO_CAP_AMBIENT_RAISE
        | Bits::NO_CAP_AMBIENT_RAISE_LOCKED;
    set_capabilities_secure_bits(locked).map_err(system("secure bits"))?;
    Ok(None)
}

/// What is in the bounding set; the kernel answers with an error for numbers that it does not know.
fn bounding() -> CapabilitySet {
    (0..CAPABILITIES_MAX)
        .map(|number| CapabilitySet::from_bits_retain(1 << number))
        .filter(|capability| capability_is_in_bounding_set(*capability).unwrap_or(false))
        .collect()
}

/// The last capabilities go; no program started could have more, nobody of the same user can look inside. Looks that
/// it is so.
pub fn drop_all() -> Result<(), ConfineError> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(system("capabilities"))?;
    set_no_new_privs(true).map_err(system("no_new_privs"))?;
    // After the change of user, which would make it dumpable again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(system("dumpable"))?;
    match capabilities(None).map_err(system("capabilities"))? {
        held if held == none => Ok(()),
        held => Err(ConfineError::Left {
            what: format!("{held:?}"),
        }),
    }
}

fn system(what: &'static str) -> impl Fn(Errno) -> ConfineError {
    move |error| ConfineError::System {
        what,
        source: error.into(),
    }
}
