//! The state in which QEMU under KVM starts each processor of a SEV-SNP guest: one measured page each (AMD 24593, table
//! B-4; QEMU target/i386/cpu.c, x86_cpu_reset; Linux arch/x86/kvm/svm/sev.c, sev_es_sync_vmsa).

use crate::firmware::PAGE_BYTES;

/// Where the first processor begins.
pub const RESET_VECTOR: u32 = 0xffff_fff0;
/// SEV_FEATURES: SEV-SNP and nothing else.
const FEATURES: u64 = 1;

/// Segments by offset: selector, attributes, limit. The base is 0, but the code segment's.
const SEGMENTS: [(usize, u16, u16, u32); 10] = [
    (0x00, 0, 0x93, 0xffff),      // ES
    (CODE, 0xf000, 0x9b, 0xffff), // CS
    (0x20, 0, 0x93, 0xffff),      // SS
    (0x30, 0, 0x93, 0xffff),      // DS
    (0x40, 0, 0x93, 0xffff),      // FS
    (0x50, 0, 0x93, 0xffff),      // GS
    (0x60, 0, 0, 0xffff),         // GDTR
    (0x70, 0, 0x82, 0xffff),      // LDTR
    (0x80, 0, 0, 0xffff),         // IDTR
    (0x90, 0, 0x8b, 0xffff),      // TR
];
const CODE: usize = 0x10;
/// Within a segment.
const BASE: usize = 8;
/// Registers that are not 0, by offset.
const REGISTERS: [(usize, u64); 8] = [
    (0x0d0, 0x1000),                // EFER: SVME, by KVM
    (0x148, 0x40),                  // CR4: MCE, by KVM
    (0x158, 0x10),                  // CR0
    (0x160, 0x400),                 // DR7
    (0x168, 0xffff_0ff0),           // DR6
    (0x170, 0x2),                   // RFLAGS
    (0x268, 0x0007_0406_0007_0406), // PAT
    (0x3e8, 0x1),                   // XCR0
];
const RIP: usize = 0x178;
const RDX: usize = 0x310;
const SEV_FEATURES: usize = 0x3b0;
const MXCSR: usize = 0x408;
const FCW: usize = 0x410;

/// The page of a processor that begins at `address` and is of a model with this signature, which is in EDX at reset.
pub fn page(address: u32, signature: u32) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in page.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    for (at, selector, attributes, limit) in SEGMENTS {
        put(at, &selector.to_le_bytes());
        put(at + 2, &attributes.to_le_bytes());
        put(at + 4, &limit.to_le_bytes());
    }
    put(CODE + BASE, &u64::from(address & 0xffff_0000).to_le_bytes());
    for (at, value) in REGISTERS {
        put(at, &value.to_le_bytes());
    }
    put(RIP, &u64::from(address & 0xffff).to_le_bytes());
    put(RDX, &u64::from(signature).to_le_bytes());
    put(SEV_FEATURES, &FEATURES.to_le_bytes());
    put(MXCSR, &0x1f80u32.to_le_bytes());
    put(FCW, &0x37fu16.to_le_bytes());
    page
}
