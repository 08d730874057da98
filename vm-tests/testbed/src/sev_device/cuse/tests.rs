use super::*;
use crate::snp::{Chip, Product, REPORT_BYTES};
use std::collections::BTreeMap;

fn firmware() -> Firmware {
    let mut firmware = Firmware::new(Chip::new(Product::Genoa), [7; 48]);
    firmware.table = vec![0xce; 5_000];
    firmware
}

fn message(opcode: u32, body: &[u8]) -> Vec<u8> {
    let length = (HEADER_BYTES + body.len()) as u32;
    let mut header = [length.to_le_bytes(), opcode.to_le_bytes()].concat();
    header.extend(77u64.to_le_bytes());
    header.resize(HEADER_BYTES, 0);
    [&header, body].concat()
}

/// Error and body of an answer, whose header is looked at.
fn told(kind: Kind, firmware: &Firmware, opcode: u32, body: &[u8]) -> (i32, Vec<u8>) {
    let answer = answer(kind, firmware, &message(opcode, body))
        .unwrap()
        .unwrap();
    assert_eq!(u32_at(&answer, 0).unwrap() as usize, answer.len());
    assert_eq!(u64_at(&answer, 8).unwrap(), 77);
    (-(u32_at(&answer, 4).unwrap() as i32), answer[16..].to_vec())
}

/// A program's memory, and the part of the kernel that copies from and to it (`fuse_do_ioctl`).
struct Program {
    memory: BTreeMap<u64, Vec<u8>>,
    rounds: usize,
}

impl Program {
    fn ioctl(&mut self, kind: Kind, firmware: &Firmware, command: u32, argument: u64) -> i32 {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        loop {
            self.rounds += 1;
            let copied: Vec<u8> = reads.iter().flat_map(|piece| self.piece(*piece)).collect();
            let room: usize = writes.iter().map(|(_, length)| length).sum();
            let mut body = vec![0; 8];
            body.extend(2u32.to_le_bytes());
            body.extend(command.to_le_bytes());
            body.extend(argument.to_le_bytes());
            body.extend((copied.len() as u32).to_le_bytes());
            body.extend((room as u32).to_le_bytes());
            body.extend(&copied);
            let (error, out) = told(kind, firmware, FUSE_IOCTL, &body);
            if error != 0 {
                return error;
            }
            if u32_at(&out, 4).unwrap() & IOCTL_RETRY == 0 {
                self.write(&writes, &out[16..]);
                return -(u32_at(&out, 0).unwrap() as i32);
            }
            let pieces: Vec<(u64, usize)> = (16..out.len())
                .step_by(16)
                .map(|at| {
                    (
                        u64_at(&out, at).unwrap(),
                        u64_at(&out, at + 8).unwrap() as usize,
                    )
                })
                .collect();
            let split = u32_at(&out, 8).unwrap() as usize;
            reads = pieces[..split].to_vec();
            writes = pieces[split..].to_vec();
            assert_eq!(writes.len(), u32_at(&out, 12).unwrap() as usize);
        }
    }

    fn piece(&self, (address, length): (u64, usize)) -> Vec<u8> {
        self.memory[&address][..length].to_vec()
    }

    fn write(&mut self, pieces: &[(u64, usize)], mut written: &[u8]) {
        for (address, length) in pieces {
            let (now, later) = written.split_at((*length).min(written.len()));
            self.memory.get_mut(address).unwrap()[..now.len()].copy_from_slice(now);
            written = later;
        }
        assert!(written.is_empty());
    }

    /// A guest's call with request, response and room for a table of this length.
    fn guest(version: u8, vmpl: u32, room: u32) -> Self {
        let mut call = vec![0; GUEST_CALL_BYTES];
        call[0] = version;
        call[8..16].copy_from_slice(&2u64.to_le_bytes());
        call[16..24].copy_from_slice(&3u64.to_le_bytes());
        let mut request = vec![9; 64];
        request.extend(vmpl.to_le_bytes());
        request.resize(REQUEST_BYTES, 0);
        request.extend(4u64.to_le_bytes());
        request.extend(room.to_le_bytes());
        request.extend([0; 4]);
        let memory = [
            (1, call),
            (2, request),
            (3, vec![0; RESPONSE_BYTES]),
            (4, vec![0; room as usize]),
        ];
        Self {
            memory: memory.into(),
            rounds: 0,
        }
    }

    fn host(command: u32, address: u64, room: u32) -> Self {
        let mut call = command.to_le_bytes().to_vec();
        call.extend(2u64.to_le_bytes());
        call.extend([0; 4]);
        let data = [&address.to_le_bytes()[..], &room.to_le_bytes()].concat();
        let memory = [(1, call), (2, data), (3, vec![0; room as usize])];
        Self {
            memory: memory.into(),
            rounds: 0,
        }
    }
}

#[test]
fn the_kernel_is_told_name_and_protocol() {
    let firmware = firmware();
    for (kind, name) in [(Kind::Guest, "sev-guest"), (Kind::Host, "sev")] {
        let (error, out) = told(kind, &firmware, CUSE_INIT, &[0; 16]);
        assert_eq!((error, out.len()), (0, 72 + 9 + name.len()));
        assert_eq!(out[..16], [7, 0, 0, 0, 31, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(out[72..], *format!("DEVNAME={name}\0").as_bytes());
    }
    assert_eq!(
        told(Kind::Host, &firmware, FUSE_OPEN, &[0; 8]),
        (0, vec![0; 16])
    );
    assert_eq!(
        told(Kind::Host, &firmware, FUSE_RELEASE, &[0; 24]),
        (0, vec![])
    );
    assert_eq!(told(Kind::Host, &firmware, 15, &[0; 40]).0, ENOSYS);
    let interrupt = message(FUSE_INTERRUPT, &[0; 8]);
    assert_eq!(answer(Kind::Host, &firmware, &interrupt).unwrap(), None);
    assert!(answer(Kind::Host, &firmware, &interrupt[..39]).is_err());
}

#[test]
fn a_report_takes_three_rounds_and_an_extended_one_four() {
    let firmware = firmware();
    for (command, rounds) in [(SNP_GET_REPORT, 3), (SNP_GET_EXT_REPORT, 4)] {
        let mut program = Program::guest(1, 0, TABLE_BYTES_MAX);
        assert_eq!(program.ioctl(Kind::Guest, &firmware, command, 1), 0);
        assert_eq!(program.rounds, rounds);
        let response = &program.memory[&3];
        assert_eq!(response[4..8], (REPORT_BYTES as u32).to_le_bytes());
        assert_eq!(response[32 + 0x50..32 + 0x90], [9; 64]);
        let table = &program.memory[&4];
        let given = if command == SNP_GET_EXT_REPORT {
            5_000
        } else {
            0
        };
        assert!(table[..given].iter().all(|byte| *byte == 0xce));
        assert!(table[given..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn too_little_room_is_told_with_the_length_it_takes() {
    let mut program = Program::guest(1, 0, 4_096);
    assert_eq!(
        program.ioctl(Kind::Guest, &firmware(), SNP_GET_EXT_REPORT, 1),
        EIO
    );
    assert_eq!(program.memory[&1][28..32], INVALID_LEN.to_le_bytes());
    assert_eq!(program.memory[&2][104..108], 8_192u32.to_le_bytes());
    assert_eq!(program.memory[&3], [0; RESPONSE_BYTES]);
}

#[test]
fn what_the_drivers_refuse_is_refused() {
    let firmware = firmware();
    for command in [SNP_GET_REPORT, SNP_GET_EXT_REPORT] {
        let mut program = Program::guest(0, 0, 4_096);
        assert_eq!(program.ioctl(Kind::Guest, &firmware, command, 1), EINVAL);
        assert_eq!(program.memory[&1][24..28], 0xffu32.to_le_bytes());
    }
    for room in [TABLE_BYTES_MAX + 4_096, 5_000] {
        let mut program = Program::guest(1, 0, room);
        let refused = program.ioctl(Kind::Guest, &firmware, SNP_GET_EXT_REPORT, 1);
        assert_eq!(refused, EINVAL);
    }
    let mut program = Program::guest(1, 0, 0);
    assert_eq!(
        program.ioctl(Kind::Guest, &firmware, SEV_ISSUE_CMD, 1),
        ENOTTY
    );
    assert_eq!(
        program.ioctl(Kind::Host, &firmware, SNP_GET_REPORT, 1),
        ENOTTY
    );
    let mut program = Program::host(1, 3, 64);
    assert_eq!(
        program.ioctl(Kind::Host, &firmware, SEV_ISSUE_CMD, 1),
        EINVAL
    );
}

#[test]
fn ids_are_given_to_whoever_has_room_and_their_length_to_others() {
    let firmware = firmware();
    for (address, room, error) in [(0, 0, EIO), (3, 63, EIO), (3, 64, 0), (3, 128, 0)] {
        let mut program = Program::host(SEV_GET_ID2, address, room);
        assert_eq!(
            program.ioctl(Kind::Host, &firmware, SEV_ISSUE_CMD, 1),
            error
        );
        assert_eq!(program.memory[&2][8..], 64u32.to_le_bytes());
        let code = if error == 0 { 0 } else { SEV_RET_INVALID_LEN };
        assert_eq!(program.memory[&1][12..], code.to_le_bytes());
        if error == 0 {
            assert_eq!(program.memory[&3][..64], firmware.chip_ids[..]);
        }
    }
}
