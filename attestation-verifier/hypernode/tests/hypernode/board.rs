//! The board's client: whatever a board answers, an error by name within the deadline.

use assay_bench::network::{Act, frame, say, serve};
use assay_protocol::cose::{PublicKey, Signer as _};
use assay_protocol::ids::Epoch;
use assay_protocol::limits::BOARD_FRAME_BYTES_MAX;
use assay_protocol::wire::{BoardObject, BoardReply, BoardRequest, Refusal, RefusalCode};
use assay_transport::Identity;
use assay_transport::board::{Board, BoardError, Posted};
use std::time::{Duration, Instant};

const E: Epoch = Epoch(3);

fn board(script: impl FnMut(BoardRequest) -> Vec<Act> + Send + 'static) -> Board {
    let identity = Identity::generate().unwrap();
    let address = serve(&identity, script);
    client(&address, identity.public_key())
}

fn client(address: &str, key: PublicKey) -> Board {
    Board::new(Identity::generate().unwrap(), address.parse().unwrap(), key)
}

fn pass(_: BoardObject) -> Result<(), BoardError> {
    Ok(())
}

fn commit(n: u8) -> BoardObject {
    BoardObject::Commit(vec![n])
}

fn objects(numbers: &[u64]) -> Vec<Act> {
    let object = |number: &u64| (*number, commit(1));
    let objects = numbers.iter().map(object).collect();
    say(&BoardReply::Objects { objects })
}

fn refused(code: RefusalCode) -> Vec<Act> {
    say(&BoardReply::Refused(Refusal::new(
        code,
        "not now, not here",
    )))
}

fn text<T: std::fmt::Debug>(result: Result<T, BoardError>) -> String {
    assay_hypernode::explain(&result.unwrap_err().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_read_in_order_and_a_broken_connection_is_made_anew() {
    let mut asked = Vec::new();
    let mut board = board(move |request| {
        let BoardRequest::Read { epoch: E, after } = request else {
            panic!("{request:?}")
        };
        asked.push(after);
        match asked[..] {
            [0] => vec![Act::Close],
            [0, 0] => objects(&[1, 2, 5]),
            [0, 0, 5] => objects(&[6]),
            [0, 0, 5, 6] => objects(&[]),
            _ => panic!("{asked:?}"),
        }
    });
    let error = text(board.read_all(E, pass).await);
    assert!(error.starts_with("board 127.0.0.1:"), "{error}");
    assert!(
        error.ends_with("\nhint: is the bridge running there?"),
        "{error}"
    );
    let mut shown = 0;
    let count = |_| {
        shown += 1;
        Ok::<(), BoardError>(())
    };
    board.read_all(E, count).await.unwrap();
    assert_eq!(shown, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_do_not_grow_are_refused_by_name() {
    let cases: [(&[u64], &str); 4] = [
        (&[0], "0, then 0"),
        (&[1, 1], "1, then 1"),
        (&[7, 3], "7, then 3"),
        (&[1, 2, 2, 3], "2, then 2"),
    ];
    for (numbers, said) in cases {
        let mut all = board(move |_| objects(numbers));
        let error = text(all.read_all(E, pass).await);
        assert!(
            error.contains("numbers do not grow") && error.contains(said),
            "{error}"
        );
        let error = text(all.read(E, 0).await);
        assert!(error.contains("numbers do not grow"), "{error}");
    }
    // The same page again and again.
    let mut again = board(|_| objects(&[1, 2]));
    let error = text(again.read_all(E, pass).await);
    assert!(error.contains("2, then 1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_without_end_is_given_up() {
    let mut number = 0;
    let mut endless = board(move |_| {
        number += 500;
        objects(&(number - 499..=number).collect::<Vec<_>>())
    });
    let error = text(endless.read_all(E, pass).await);
    assert!(error.contains("objects in epoch 3"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_of_the_wrong_kind_are_named() {
    let mut stored = board(|_| say(&BoardReply::Stored { number: 1 }));
    let error = text(stored.read(E, 0).await);
    assert!(error.contains("expected objects, got a receipt"), "{error}");
    let mut shown = board(|_| objects(&[]));
    let error = text(shown.post(E, commit(1)).await);
    assert!(error.contains("expected a receipt, got objects"), "{error}");
    let mut refusing = board(|_| refused(RefusalCode::BadRequest));
    let error = text(refusing.read(E, 0).await);
    assert!(error.contains("not now, not here"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_stored_or_to_be_tried_again_or_refused() {
    let mut stored = board(|_| say(&BoardReply::Stored { number: 4 }));
    assert_eq!(stored.post(E, commit(1)).await.unwrap(), Posted::Stored);
    for code in [RefusalCode::Busy, RefusalCode::Storage] {
        let mut later = board(move |_| refused(code));
        assert_eq!(later.post(E, commit(1)).await.unwrap(), Posted::NotNow);
    }
    for code in [RefusalCode::NotAllowed, RefusalCode::BadRequest] {
        let mut refusing = board(move |_| refused(code));
        let posted = refusing.post(E, commit(1)).await.unwrap();
        assert!(
            matches!(&posted, Posted::Refused(why) if why.contains("not now")),
            "{posted:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversize_and_foreign_frames_are_named() {
    let announced = u32::try_from(BOARD_FRAME_BYTES_MAX + 1).unwrap();
    let mut header = b"ASY1\x01".to_vec();
    header.extend(announced.to_be_bytes());
    let mut oversize = board(move |_| vec![Act::Say(header.clone())]);
    let error = text(oversize.read(E, 0).await);
    assert!(
        error.contains("at most 8388608 bytes allowed, got 8388609"),
        "{error}"
    );
    let mut foreign = board(|_| vec![Act::Say(b"HTTP/1.1 200 OK\r\n".to_vec())]);
    let error = text(foreign.read(E, 0).await);
    assert!(error.contains("frame magic"), "{error}");
    let mut trailing = board(|_| {
        let mut bytes = frame(&BoardReply::Stored { number: 1 });
        bytes[8] += 1;
        bytes.push(0);
        vec![Act::Say(bytes)]
    });
    let error = text(trailing.post(E, commit(1)).await);
    assert!(error.contains("trailing"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_with_another_key_is_not_talked_to() {
    let address = serve(&Identity::generate().unwrap(), |request: BoardRequest| {
        panic!("{request:?}")
    });
    let mut board = client(&address, [1; 32]);
    assert!(text(board.read(E, 0).await).contains(&format!("board {address}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_board_costs_no_more_than_its_deadline() {
    let begun = Instant::now();
    // Takes connections, and never a TLS hello.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut unheard = client(&deaf.local_addr().unwrap().to_string(), [1; 32]);
    let error = text(unheard.read(E, 0).await);
    assert!(error.contains("no connection within 3s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(9));
    let mut silent = board(|_| vec![Act::Hang]);
    let begun = Instant::now();
    let error = text(silent.post(E, commit(1)).await);
    assert!(error.contains("no answer within 10s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}
