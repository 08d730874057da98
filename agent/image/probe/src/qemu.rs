//! The one place where QEMU's command line is made. The guest has a processor, memory, a console that it only writes to,
//! and vsock: no disk, no network, no clock but the processor's.

use crate::host::Encryption;
use crate::{COMMAND_LINE, CPU, Guest, VCPUS};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Memory of the guest, MiB: the kernel keeps 64 for what the host may read.
const MEMORY_MIB: u32 = 512;
/// SEV-SNP ABI specification 56860, GUEST_POLICY: bit 17 must be set, bit 16 allows simultaneous multithreading; no
/// debugging (19), no migration agent (18). A verifier asks for the last two.
const POLICY: u32 = 0x3_0000;

/// What keeps the host out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// SEV-SNP.
    Snp(Encryption),
    /// Nothing: the same guest in an emulator, which has no reports to give. It shows that it boots and answers.
    Nothing,
}

/// The host's end of the way to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vsock {
    /// The kernel's, where the guest has this context id.
    Kernel(u32),
    /// A program's, which speaks vhost-user at this socket.
    Program(PathBuf),
}

/// One way to start one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The guest.
    pub guest: Guest,
    /// What keeps the host out.
    pub protection: Protection,
    /// How it is asked.
    pub vsock: Vsock,
}

impl Start {
    /// QEMU's arguments.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| all.extend(words.iter().map(OsString::from));
        add(&["-name", "assay-probe", "-nodefaults", "-no-user-config"]);
        add(&["-display", "none", "-no-reboot"]);
        add(&["-m", &MEMORY_MIB.to_string(), "-smp", &VCPUS.to_string()]);
        let memory = format!("memory-backend-memfd,id=memory,size={MEMORY_MIB}M,share=on");
        add(&["-object", &memory]);
        self.protect(&mut add);
        // Nothing that the guest says does anything here, not even through a terminal.
        add(&["-chardev", "stdio,id=console,signal=off"]);
        add(&["-serial", "chardev:console"]);
        self.connect(&mut add);
        add(&["-append", COMMAND_LINE]);
        let guest = &self.guest;
        all.extend(["-kernel".into(), guest.kernel.clone().into()]);
        all.extend(["-initrd".into(), guest.initial.clone().into()]);
        if let Protection::Snp(_) = self.protection {
            all.extend(["-bios".into(), guest.firmware.clone().into()]);
        }
        all
    }

    fn protect(&self, add: &mut impl FnMut(&[&str])) {
        let machine = "q35,memory-backend=memory,vmport=off,usb=off";
        match self.protection {
            Protection::Snp(Encryption {
                c_bit,
                reduced_bits,
            }) => {
                let machine = format!("{machine},accel=kvm,confidential-guest-support=snp");
                let bits = format!("cbitpos={c_bit},reduced-phys-bits={reduced_bits}");
                let snp =
                    format!("sev-snp-guest,id=snp,{bits},policy={POLICY:#x},kernel-hashes=on");
                add(&["-machine", &machine, "-cpu", CPU.model, "-object", &snp]);
                // After it has started, QEMU runs no program and becomes nobody else.
                let closed = "obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
                add(&["-sandbox", &format!("on,{closed}")]);
            }
            Protection::Nothing => {
                let machine = format!("{machine},accel=tcg");
                add(&["-machine", &machine, "-cpu", "max"]);
            }
        }
    }

    fn connect(&self, add: &mut impl FnMut(&[&str])) {
        match &self.vsock {
            Vsock::Kernel(cid) => {
                let device = format!("vhost-vsock-pci,guest-cid={cid},disable-legacy=on");
                add(&["-device", &device]);
            }
            Vsock::Program(socket) => {
                let socket = format!("socket,id=vsock,path={}", escaped(socket));
                add(&["-chardev", &socket]);
                add(&[
                    "-device",
                    "vhost-user-vsock-pci,chardev=vsock,disable-legacy=on",
                ]);
            }
        }
    }
}

/// A path as the value of an option of QEMU, where a comma begins the next one.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILAN: Encryption = Encryption {
        c_bit: 51,
        reduced_bits: 5,
    };

    fn line(protection: Protection, vsock: Vsock) -> String {
        let guest = Guest::of(Path::new("/guest"));
        let start = Start {
            guest,
            protection,
            vsock,
        };
        let words = start.arguments();
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    /// Every word of it, so that nothing comes to the guest unseen.
    #[test]
    fn the_guest_has_one_processor_a_console_and_vsock_and_nothing_else() {
        let expected = format!(
            "-name assay-probe -nodefaults -no-user-config -display none -no-reboot -m 512 -smp 1 \
             -object memory-backend-memfd,id=memory,size=512M,share=on \
             -machine q35,memory-backend=memory,vmport=off,usb=off,accel=kvm,confidential-guest-support=snp \
             -cpu EPYC-v4 \
             -object sev-snp-guest,id=snp,cbitpos=51,reduced-phys-bits=5,policy=0x30000,kernel-hashes=on \
             -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
             -chardev stdio,id=console,signal=off -serial chardev:console \
             -device vhost-vsock-pci,guest-cid=3,disable-legacy=on \
             -append {COMMAND_LINE} -kernel /guest/kernel -initrd /guest/initrd -bios /guest/firmware.fd"
        );
        assert_eq!(line(Protection::Snp(MILAN), Vsock::Kernel(3)), expected);
    }

    /// What the emulator runs is the guest that is measured: only who keeps the host out and who carries vsock differ.
    #[test]
    fn without_snp_it_is_the_same_guest() {
        let with = line(Protection::Snp(MILAN), Vsock::Kernel(3));
        let without = line(Protection::Nothing, Vsock::Program("/a,b".into()));
        let differ = |line: &str, from: &str| {
            let words = line.split(" -").filter(|word| !from.contains(word));
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            differ(&without, &with),
            [
                "machine q35,memory-backend=memory,vmport=off,usb=off,accel=tcg",
                "cpu max",
                "chardev socket,id=vsock,path=/a,,b",
                "device vhost-user-vsock-pci,chardev=vsock,disable-legacy=on",
            ]
        );
        assert!(!without.contains("snp"));
    }
}
