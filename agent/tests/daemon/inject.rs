//! Makes a running process do system calls of our choice, as a thief who has taken it over would: the process is
//! stopped in a system call, its registers are set to another one, and put back afterwards.

use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Length of the instruction `syscall`, and the instruction.
const SYSCALL: (u64, u64) = (2, 0x050f);
/// Below the stack pointer, out of the way of the red zone, where the stack was used before.
const SCRATCH: u64 = 2048;
/// The kernel's own error of an interrupted call that it will start again (ERESTARTSYS).
const RESTARTS: i64 = -512;
/// How often it is looked whether it waits there.
const ATTEMPTS: usize = 1000;

/// A process whose main thread is stopped in `accept4`.
pub struct Tracee {
    pid: Pid,
    registers: libc::user_regs_struct,
}

impl Tracee {
    /// Stops it where it waits for connections. Only the thread that attached may go on with it.
    pub fn attach(pid: u32) -> Self {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap());
        for _ in 0..ATTEMPTS {
            ptrace::attach(pid).unwrap();
            let stopped = WaitStatus::Stopped(pid, Signal::SIGSTOP);
            assert_eq!(waitpid(pid, None).unwrap(), stopped);
            let registers = ptrace::getregs(pid).unwrap();
            let accepts = registers.orig_rax == libc::SYS_accept4 as u64;
            if accepts && registers.rax.cast_signed() == RESTARTS {
                let at = (registers.rip - SYSCALL.0) as ptrace::AddressType;
                let code = ptrace::read(pid, at).unwrap();
                assert_eq!(code.cast_unsigned() & 0xffff, SYSCALL.1);
                return Self { pid, registers };
            }
            // It has told its address and is on its way there.
            ptrace::detach(pid, None).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the agent does not wait for connections");
    }

    /// Does one system call; yields its value or the number of its error.
    pub fn call(&self, number: i64, arguments: [u64; 6]) -> Result<u64, i32> {
        let mut registers = self.registers;
        registers.rip -= SYSCALL.0;
        registers.rax = number.cast_unsigned();
        // Not in a system call: nothing is started again.
        registers.orig_rax = u64::MAX;
        let [rdi, rsi, rdx, r10, r8, r9] = arguments;
        registers = libc::user_regs_struct {
            rdi,
            rsi,
            rdx,
            r10,
            r8,
            r9,
            ..registers
        };
        ptrace::setregs(self.pid, registers).unwrap();
        ptrace::step(self.pid, None).unwrap();
        let stopped = WaitStatus::Stopped(self.pid, Signal::SIGTRAP);
        assert_eq!(waitpid(self.pid, None).unwrap(), stopped);
        let answer = ptrace::getregs(self.pid).unwrap().rax.cast_signed();
        match answer {
            -4095..0 => Err(i32::try_from(-answer).unwrap()),
            _ => Ok(answer.cast_unsigned()),
        }
    }

    /// openat(2) with mode 0600.
    pub fn open(&self, path: &str, flags: u64) -> Result<u64, i32> {
        let current = i64::from(libc::AT_FDCWD).cast_unsigned();
        let path = self.text(path);
        self.call(libc::SYS_openat, [current, path, flags, 0o600, 0, 0])
    }

    /// Puts a text into the process; yields its address, good until the next one is put.
    pub fn text(&self, text: &str) -> u64 {
        self.bytes(&[text.as_bytes(), &[0]].concat())
    }

    /// Puts bytes into the process, as [`Self::text`].
    pub fn bytes(&self, bytes: &[u8]) -> u64 {
        let base = (self.registers.rsp - SCRATCH) & !7;
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let at = (base + 8 * index as u64) as ptrace::AddressType;
            ptrace::write(self.pid, at, i64::from_ne_bytes(word)).unwrap();
        }
        base
    }

    /// Lets it go on where it was.
    pub fn detach(self) {
        ptrace::setregs(self.pid, self.registers).unwrap();
        ptrace::detach(self.pid, None).unwrap();
    }
}
