use super::*;
use libc::{ENOSYS, EPERM};
use std::io::Write as _;

/// A file of `blocks` blocks, each filled with its number.
fn numbered(blocks: u8) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    (0..blocks).for_each(|n| file.write_all(&[n; BLOCK_BYTES]).unwrap());
    Arc::new(file)
}

/// A ring, where the kernel gives one; containers often refuse it.
fn of_kernel(file: Arc<File>, slots: u32) -> Option<Ring> {
    match Ring::new(file, slots) {
        Err(error) if matches!(error.raw_os_error(), Some(EPERM | ENOSYS)) => {
            eprintln!("not tested: io_uring is refused: {error}");
            None
        }
        made => Some(made.unwrap()),
    }
}

fn offset(block: u64) -> u64 {
    block * BLOCK_BYTES as u64
}

#[test]
fn every_slot_gets_the_block_it_asked_for() {
    let Some(mut ring) = of_kernel(numbered(64), 8) else {
        return;
    };
    for round in 0..8u64 {
        for slot in 0..8 {
            ring.read(slot, offset(8 * round + u64::from(slot)))
                .unwrap();
        }
        let mut seen = Vec::new();
        while seen.len() < 8 {
            ring.wait().unwrap();
            while let Some((slot, outcome)) = ring.ended() {
                outcome.unwrap();
                let expected = [8 * round as u8 + slot as u8; BLOCK_BYTES];
                assert_eq!(ring.block(slot), Some(&expected));
                seen.push(slot);
            }
        }
        seen.sort();
        assert_eq!(seen, (0..8).collect::<Vec<_>>());
    }
}

#[test]
fn a_slot_under_way_shows_nothing_and_takes_nothing() {
    let Some(mut ring) = of_kernel(numbered(2), 1) else {
        return;
    };
    assert_eq!(ring.block(0), Some(&[0; BLOCK_BYTES]));
    assert_eq!(ring.block(1), None);
    ring.read(0, offset(1)).unwrap();
    assert_eq!(ring.block(0), None);
    assert!(ring.read(0, 0).unwrap_err().to_string().contains("idle"));
    assert!(ring.read(1, 0).is_err());
    ring.wait().unwrap();
    assert!(matches!(ring.ended(), Some((0, Ok(())))));
    assert_eq!(ring.block(0), Some(&[1; BLOCK_BYTES]));
    assert!(ring.ended().is_none());
    ring.wait().unwrap();
}

#[test]
fn a_block_past_the_end_and_a_file_that_cannot_be_read_are_errors() {
    let Some(mut ring) = of_kernel(numbered(1), 1) else {
        return;
    };
    ring.read(0, offset(1)).unwrap();
    ring.wait().unwrap();
    let (_, outcome) = ring.ended().unwrap();
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let dir = tempfile::tempdir().unwrap();
    let write_only = File::create(dir.path().join("file")).unwrap();
    let Some(mut ring) = of_kernel(Arc::new(write_only), 1) else {
        return;
    };
    ring.read(0, 0).unwrap();
    ring.wait().unwrap();
    assert!(ring.ended().unwrap().1.is_err());
}

#[test]
fn no_slot_and_too_many_are_refused() {
    for slots in [0, SLOTS_MAX + 1] {
        let error = Ring::new(numbered(1), slots).unwrap_err().to_string();
        assert!(error.contains(&format!("got {slots}")), "{error}");
    }
}

#[test]
fn results_of_the_kernel_are_blocks_or_errors() {
    assert!(outcome(4096).is_ok());
    for short in [0, 1, 4095] {
        assert_eq!(
            outcome(short).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
    assert_eq!(outcome(-5).unwrap_err().raw_os_error(), Some(5));
}

#[test]
fn a_ring_is_dropped_with_reads_under_way() {
    for _ in 0..100 {
        let Some(mut ring) = of_kernel(numbered(8), 8) else {
            return;
        };
        (0..8).for_each(|slot| ring.read(slot, offset(slot.into())).unwrap());
        ring.submit().unwrap();
    }
}

#[test]
fn memory_the_kernel_did_not_take_is_read_into_all_the_same() {
    let Some(mut ring) = of_kernel(numbered(4), 2) else {
        return;
    };
    ring.registered = false;
    ring.read(1, offset(3)).unwrap();
    ring.wait().unwrap();
    assert!(matches!(ring.ended(), Some((1, Ok(())))));
    assert_eq!(ring.block(1), Some(&[3; BLOCK_BYTES]));
}

#[test]
#[allow(unsafe_code)]
fn a_ring_does_nothing_but_read() {
    let Some(mut ring) = of_kernel(numbered(1), 1) else {
        return;
    };
    let nop = opcode::Nop::new().build();
    let opening = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), c"/etc/passwd".as_ptr()).build();
    for (entry, name) in [(nop, "nop"), (opening, "openat")] {
        // SAFETY: the path of the second one is static; both are refused without a look at it.
        unsafe { ring.uring.submission().push(&entry).unwrap() };
        ring.uring.submit_and_wait(1).unwrap();
        let ended = ring.uring.completion().next().unwrap();
        assert_eq!(ended.result(), -libc::EACCES, "{name}");
    }
    assert!(ring.uring.submitter().unregister_files().is_err());
}
