//! A misbehaving bridge shows two of the four HyperNodes another set of reports: no two roots are signed for one epoch and
//! round, the epochs end void, and nothing is lost.

use assay_aggregate::inputs::{self, Hearing, Opened};
use assay_aggregate::roster::Known;
use assay_protocol::cose::{PublicKey, Signer as _};
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, Keccak, UnixMs};
use assay_protocol::limits::BOARD_FRAME_BYTES_MAX;
use assay_protocol::wire::{BoardObject, BoardReply, BoardRequest};
use assay_testbed::Variant;
use assay_testbed::net::{LocalNetwork, Plan, Programs, sleep_until};
use assay_transport::{Identity, frames, tls};
use rustls::{ServerConnection, StreamOwned};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const PLAN: Plan = Plan {
    epoch_ms: 10_000,
    slot_ms: 500,
    commit_ms: 2_000,
    reveal_ms: 3_500,
    vote_ms: 5_500,
    void_after_ms: 8_000,
    absent_epochs: 0,
    genesis_in_ms: 12_000,
    dispute_window_epochs: 1,
};

/// All objects of an epoch by number, and who posted them.
type Objects = BTreeMap<Epoch, Vec<(HyperNodeId, BoardObject)>>;

/// Takes everything, and hides `hidden`'s commit and reveal from whoever is in `misled`.
struct LyingBoard {
    objects: Mutex<Objects>,
    hidden: HyperNodeId,
    misled: BTreeSet<HyperNodeId>,
}

impl LyingBoard {
    fn answer(&self, peer: HyperNodeId, request: BoardRequest) -> BoardReply {
        let mut objects = self.objects.lock().unwrap();
        match request {
            BoardRequest::Post { epoch, object } => {
                let all = objects.entry(epoch).or_default();
                if !all
                    .iter()
                    .any(|(from, other)| *from == peer && *other == object)
                {
                    all.push((peer, object));
                }
                BoardReply::Stored {
                    number: all.len() as u64,
                }
            }
            BoardRequest::Read { epoch, after } => {
                let all = objects.entry(epoch).or_default();
                let shown = |(_, (from, object)): &(u64, &(HyperNodeId, BoardObject))| {
                    let secret = matches!(object, BoardObject::Commit(_) | BoardObject::Reveal(_));
                    !(secret && *from == self.hidden && self.misled.contains(&peer))
                };
                let numbered = (1..).zip(all.iter()).filter(|(number, _)| *number > after);
                let objects = numbered
                    .filter(shown)
                    .map(|(number, (_, object))| (number, object.clone()))
                    .collect();
                BoardReply::Objects { objects }
            }
        }
    }

    fn serve(self: Arc<Self>, identity: &Identity) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = tls::server_config(identity, Arc::new(|_: &PublicKey| true)).unwrap();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (board, config) = (Arc::clone(&self), Arc::clone(&config));
                std::thread::spawn(move || board.converse(socket, config));
            }
        });
        port
    }

    fn converse(&self, socket: TcpStream, config: Arc<rustls::ServerConfig>) {
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        while let Ok(request) = frames::read(&mut stream, BOARD_FRAME_BYTES_MAX) {
            let peer = tls::peer_key(stream.conn.peer_certificates()).unwrap();
            let reply = self.answer(HyperNodeId(peer), request);
            if frames::write(&mut stream, &reply, BOARD_FRAME_BYTES_MAX).is_err() {
                return;
            }
        }
    }
}

/// Distinct root digests and input sets voted for, by epoch.
fn signed(network: &LocalNetwork, objects: &Objects) -> BTreeMap<Epoch, (BTreeSet<Keccak>, usize)> {
    let id = network.id();
    let mut found: BTreeMap<Epoch, (BTreeSet<Keccak>, usize)> = BTreeMap::new();
    for (epoch, all) in objects {
        let entry = found.entry(*epoch).or_default();
        let hearing = Hearing {
            params: &network.params,
            network: id,
            epoch: *epoch,
            known: Known::at_genesis(&network.params),
        };
        for (_, object) in all {
            match inputs::open(&hearing, object).unwrap() {
                Opened::RootSignature { digest, .. } => _ = entry.0.insert(digest),
                Opened::Reveal(_) => entry.1 += 1,
                _ => {}
            }
        }
    }
    found
}

#[test]
fn two_hypernodes_that_see_other_reports_never_lead_to_two_roots() {
    let dir = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_one().unwrap();
    let scalers = [("only", Variant::Good)];
    let mut network = LocalNetwork::create(
        programs,
        dir.path(),
        PLAN,
        &[40, 25, 20, 15],
        &scalers,
        |_| (),
    )
    .unwrap();
    let ids: Vec<HyperNodeId> = network
        .hypernodes
        .iter()
        .map(|hypernode| hypernode.id)
        .collect();
    let board = Arc::new(LyingBoard {
        objects: Mutex::default(),
        hidden: ids[2],
        misled: BTreeSet::from([ids[1], ids[3]]),
    });
    let identity = Identity::generate().unwrap();
    let port = Arc::clone(&board).serve(&identity);
    network
        .use_board(port, Digest(identity.public_key()))
        .unwrap();
    network.start_scalers(10).unwrap();
    network.start_hypernodes().unwrap();

    let voided = UnixMs(network.params.epoch_end(Epoch(1)).0 + PLAN.void_after_ms + 1_500);
    sleep_until(voided);
    let signed = signed(&network, &board.objects.lock().unwrap());
    for epoch in [Epoch(0), Epoch(1)] {
        let (digests, reveals) = &signed[&epoch];
        assert!(
            digests.len() <= 1,
            "epoch {epoch}: {} roots signed",
            digests.len()
        );
        assert_eq!(*reveals, 4, "epoch {epoch}: every HyperNode revealed");
    }
    // The real bridge never saw a vote: it voided the epochs, and the sums roll on.
    let status = network.status().unwrap();
    assert_eq!(status["next_epoch"], 2, "{status:#}");
    for epoch in status["epochs"].as_array().unwrap() {
        assert_eq!(epoch["resolution"], "void", "{epoch:#}");
    }
    for node in status["nodes"].as_array().unwrap() {
        assert_eq!(node["slash_gwei"].as_u64(), Some(0), "{node:#}");
        assert_eq!(
            node["collateral_gwei"].as_u64(),
            Some(10_000_000_000),
            "{node:#}"
        );
    }
}
