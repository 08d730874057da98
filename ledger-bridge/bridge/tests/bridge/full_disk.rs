//! A full disk under the state: nothing is acknowledged and nothing is sent; with room again the epoch is settled, once.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use assay_bridge::store::Store;
use assay_protocol::ids::Epoch;

use crate::faults::{finish, settled_once};
use crate::network::{Network, poster_key};

const E: Epoch = Epoch(0);

/// A file system of one MiB, unmounted on drop; needs root.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]);
        let is_mounted = mount.arg(dir.path()).output().ok()?.status.success();
        is_mounted.then(|| Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fill(&self) {
        let filler = std::fs::File::create(self.path().join("filler")).unwrap();
        let written = std::io::copy(&mut std::io::repeat(1), &mut &filler);
        assert!(written.is_err(), "it is full now");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn nothing_is_acknowledged_or_sent_while_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: a small file system needs root");
        return;
    };
    let net = Network::on_node();
    net.agree(E);
    let digest = net.digest(&net.outcome(&net.history()));
    net.sign(E, digest, &[0, 1, 2, 3]);
    let store = net.copy_of_store(disk.path(), E);
    let mut poster = net.poster_with(store.clone(), poster_key(), net.chain.clone());
    let board = net.board_over(store.clone());
    disk.fill();

    let height = net.chain.height().unwrap();
    for _ in 0..2 {
        let error = assay_bridge::chain_of(&poster.step(net.now()).unwrap_err());
        assert!(
            error.contains("full") && error.contains("check free space"),
            "{error}"
        );
    }
    assert_eq!(net.chain.height().unwrap(), height, "nothing was sent");
    let next = Epoch(1);
    let now = net.at(next, 100);
    let by = &net.hypernodes[0];
    let refused = board.post(by.id(), next, &by.commit(&net, next), now);
    assert!(refused.unwrap_err().text.contains("full"));
    assert!(board.read(next, 0).unwrap().is_empty());

    disk.make_room();
    assert_eq!(
        board.post(by.id(), next, &by.commit(&net, next), now),
        Ok(1)
    );
    finish(&mut poster, &net);
    while !store.live().unwrap().is_empty() {
        net.node().mine(1).unwrap();
        poster.step(net.now()).unwrap();
    }
    drop((poster, board));
    let again = Arc::new(Store::open(disk.path(), net.network).unwrap());
    assert!(again.live().unwrap().is_empty());
    settled_once(&net);
}
