//! One suite on both databases, then what only one of them has.

use assay_bridge::store::{Access, LiveAction, Store, StoreError, StoredObject, TxEnd};
use assay_ledger::SignedTx;
use assay_protocol::ids::{Address, Epoch, HyperNodeId, Keccak, NetworkId};
use assay_protocol::wire::BoardObject;
use assay_testbed::Postgres;
use assay_testbed::web::{pem, self_signed};

const NETWORK: NetworkId = NetworkId([7; 32]);
const E: Epoch = Epoch(3);
const SENDER: Address = Address([9; 20]);

/// Where a state is, to be opened as often as wanted.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(Postgres),
}

impl Place {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    fn postgres() -> Self {
        Self::Postgres(Postgres::start().unwrap())
    }

    fn try_open(&self, network: NetworkId) -> Result<Store, StoreError> {
        match self {
            Self::Sqlite(dir) => Store::open(dir.path(), network),
            Self::Postgres(server) => Store::connect(&server.url(), Access::default(), network),
        }
    }

    fn open(&self) -> Store {
        self.try_open(NETWORK).unwrap()
    }

    fn reading(&self, network: NetworkId) -> Result<Store, StoreError> {
        match self {
            Self::Sqlite(dir) => Store::open_for_reading(dir.path(), network),
            Self::Postgres(server) => {
                Store::connect_for_reading(&server.url(), Access::default(), network)
            }
        }
    }
}

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name(&super::Place::sqlite()); })+
        }
        mod postgres {
            $(#[test] fn $name() { super::$name(&super::Place::postgres()); })+
        }
    };
}

on_both!(
    objects_are_numbered_once_and_read_back,
    a_page_ends_by_count_or_bytes_and_always_makes_progress,
    a_contradiction_is_kept_once_and_is_no_object,
    writers_at_once_number_without_gaps,
    what_is_under_way_is_one_of_its_kind_and_keeps_every_byte,
    an_ended_action_makes_room_for_another_attempt,
    bytes_of_what_was_left_are_taken_over,
    a_state_of_another_network_or_none_is_refused_and_reading_changes_nothing,
    one_process_leads_and_the_next_follows_when_it_ends,
);

fn vote(content: &[u8]) -> BoardObject {
    BoardObject::Vote(content.to_vec())
}

fn from(n: u8) -> HyperNodeId {
    HyperNodeId([n; 32])
}

fn tx(nonce: u64, fill: u8) -> SignedTx {
    SignedTx {
        action: "any".into(),
        hash: Keccak([fill; 32]),
        nonce,
        raw: vec![fill, 0, 255],
    }
}

fn objects_are_numbered_once_and_read_back(place: &Place) {
    let store = place.open();
    assert_eq!(store.insert(E, &from(1), &vote(b"a")).unwrap(), 1);
    assert_eq!(store.insert(E, &from(2), &vote(&[0, 255])).unwrap(), 2);
    assert_eq!(store.insert(Epoch(4), &from(1), &vote(b"c")).unwrap(), 1);
    let again = place.open();
    assert_eq!(
        again.insert(E, &from(1), &vote(b"a")).unwrap(),
        1,
        "the same again is the same"
    );
    let conflict = again.insert(E, &from(1), &vote(b"b")).unwrap_err();
    assert!(conflict.is_conflict(), "{conflict}");
    let kind = vote(b"").kind();
    let stored = again.object(E, kind, &from(2)).unwrap();
    assert_eq!(stored, Some((2, vec![0, 255])));
    assert_eq!(again.object(E, kind, &from(3)).unwrap(), None);
    let all = again.objects(E, 0, 10, 100).unwrap();
    let numbered = |number, object| StoredObject { number, object };
    let expected = [numbered(1, vote(b"a")), numbered(2, vote(&[0, 255]))];
    assert_eq!(all, expected);
    assert_eq!(again.batch(E, 0).unwrap(), all);
}

fn a_page_ends_by_count_or_bytes_and_always_makes_progress(place: &Place) {
    let store = place.open();
    for (n, length) in (1..).zip([0, 5, 4, 9, 1, 1]) {
        store.insert(E, &from(n), &vote(&vec![n; length])).unwrap();
    }
    store.insert(Epoch(4), &from(1), &vote(b"other")).unwrap();
    let cases = [
        ((0, 10, 100), 1..=6),
        ((0, 10, 19), 1..=5),
        ((0, 10, 9), 1..=3),
        ((0, 2, 9), 1..=2),
        ((0, 10, 8), 1..=2),
        ((3, 10, 0), 4..=4),
        ((4, 10, 2), 5..=6),
        ((4, usize::MAX, usize::MAX), 5..=6),
    ];
    for ((after, count, bytes), expected) in cases {
        let page = store.objects(E, after, count, bytes).unwrap();
        let numbers: Vec<u64> = page.iter().map(|object| object.number).collect();
        assert_eq!(
            numbers,
            expected.collect::<Vec<_>>(),
            "{after} {count} {bytes}"
        );
    }
    assert_eq!(store.objects(E, 6, 10, 100).unwrap(), []);
}

fn a_contradiction_is_kept_once_and_is_no_object(place: &Place) {
    let store = place.open();
    store.insert(E, &from(1), &vote(b"a")).unwrap();
    for (epoch, by, object) in [
        (E, 1, vote(b"b")),
        (E, 1, vote(b"c")),
        (E, 2, vote(b"d")),
        (Epoch(4), 1, vote(b"e")),
    ] {
        let kept = store.keep_contradiction(epoch, &from(by), object.kind(), &object);
        kept.unwrap();
    }
    let again = place.open();
    let kept = |of| -> Vec<_> {
        let kept = again.contradictions(of).unwrap().into_iter();
        kept.map(|one| (one.epoch, one.from, one.object)).collect()
    };
    let (b, d) = ((E, from(1), vote(b"b")), (E, from(2), vote(b"d")));
    let e = (Epoch(4), from(1), vote(b"e"));
    assert_eq!(kept(Some(E)), [b.clone(), d.clone()]);
    assert_eq!(kept(Some(Epoch(5))), []);
    assert_eq!(kept(None), [b, d, e]);
    assert_eq!(again.contradiction_count().unwrap(), 3);
    assert_eq!(again.objects(E, 0, 10, 100).unwrap().len(), 1);
    assert_eq!(again.insert(E, &from(3), &vote(b"f")).unwrap(), 2);
}

fn writers_at_once_number_without_gaps(place: &Place) {
    const EACH: u8 = 40;
    drop(place.open());
    std::thread::scope(|scope| {
        for writer in 0..3u8 {
            let store = place.open();
            scope.spawn(move || {
                for n in 0..EACH {
                    store
                        .insert(E, &from(writer * EACH + n), &vote(&[n]))
                        .unwrap();
                }
            });
        }
    });
    let all = place.open().objects(E, 0, 1_000, usize::MAX).unwrap();
    let numbers: Vec<u64> = all.iter().map(|object| object.number).collect();
    assert_eq!(numbers, (1..=3 * u64::from(EACH)).collect::<Vec<_>>());
}

fn what_is_under_way_is_one_of_its_kind_and_keeps_every_byte(place: &Place) {
    let (store, other) = (place.open(), place.open());
    let mut live = store.enqueue("postRoot/1", &SENDER, &tx(5, 1)).unwrap();
    assert_eq!(other.live().unwrap(), [with_name(live.clone())]);
    for (action, nonce, fill) in [("postRoot/1", 6, 2), ("postRoot/2", 5, 3)] {
        let error = other
            .enqueue(action, &SENDER, &tx(nonce, fill))
            .unwrap_err();
        assert!(error.is_conflict(), "{error}");
    }
    store.add_replacement(&mut live, tx(5, 4)).unwrap();
    let error = store.add_replacement(&mut live, tx(5, 4)).unwrap_err();
    assert!(error.is_conflict(), "no bytes twice: {error}");
    other.enqueue("settle/1/x", &SENDER, &tx(6, 5)).unwrap();
    let all = place.open().live().unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].sent.len(), 2);
    assert_eq!(all[0].sent[0].raw, tx(5, 1).raw, "the old bytes are kept");
    assert_eq!(all[0].sent[1].hash, tx(5, 4).hash);
    assert_eq!((all[1].nonce, all[1].attempt), (6, 0));
}

/// Signing is deterministic: what was left and is begun anew under the same nonce and fee is the same bytes.
fn bytes_of_what_was_left_are_taken_over(place: &Place) {
    let store = place.open();
    let mut first = store.enqueue("postRoot/1", &SENDER, &tx(5, 1)).unwrap();
    store.add_replacement(&mut first, tx(5, 2)).unwrap();
    store.finish(&first, TxEnd::Left).unwrap();
    let mut again = store.enqueue("postRoot/1", &SENDER, &tx(5, 1)).unwrap();
    assert_eq!((again.attempt, again.sent.len()), (1, 1));
    store.add_replacement(&mut again, tx(5, 2)).unwrap();
    store.finish(&again, TxEnd::Included).unwrap();
    let error = store.enqueue("postRoot/2", &SENDER, &tx(5, 1)).unwrap_err();
    assert!(error.is_conflict(), "what is done stays: {error}");
}

/// The store knows transactions by the action they are for.
fn with_name(mut live: LiveAction) -> LiveAction {
    for sent in &mut live.sent {
        sent.action.clone_from(&live.action);
    }
    live
}

fn an_ended_action_makes_room_for_another_attempt(place: &Place) {
    let store = place.open();
    let first = store.enqueue("postRoot/1", &SENDER, &tx(5, 1)).unwrap();
    store.finish(&first, TxEnd::Superseded).unwrap();
    assert_eq!(store.ended("postRoot", TxEnd::Superseded).unwrap(), 1);
    assert_eq!(store.ended("post", TxEnd::Superseded).unwrap(), 0);
    let second = store.enqueue("postRoot/1", &SENDER, &tx(5, 2)).unwrap();
    assert_eq!(second.attempt, 1);
    assert_eq!(store.live().unwrap().len(), 1);
    store.finish(&second, TxEnd::Included).unwrap();
    assert!(store.live().unwrap().is_empty());
    assert_eq!(store.ended("postRoot", TxEnd::Included).unwrap(), 1);
}

fn a_state_of_another_network_or_none_is_refused_and_reading_changes_nothing(place: &Place) {
    assert!(place.reading(NETWORK).is_err(), "nothing is there");
    let store = place.open();
    store.insert(E, &from(1), &vote(b"a")).unwrap();
    let reading = place.reading(NETWORK).unwrap();
    assert_eq!(reading.objects(E, 0, 10, 100).unwrap().len(), 1);
    assert!(reading.insert(E, &from(2), &vote(b"b")).is_err());
    for other in [
        place.try_open(NetworkId([8; 32])).err().unwrap(),
        place.reading(NetworkId([8; 32])).err().unwrap(),
    ] {
        assert!(matches!(other, StoreError::Other { .. }), "{other}");
        assert!(other.to_string().contains("hint:"), "{other}");
    }
}

fn one_process_leads_and_the_next_follows_when_it_ends(place: &Place) {
    let (one, two) = (place.open(), place.open());
    assert!(one.lead().unwrap() && one.lead().unwrap());
    assert!(!two.lead().unwrap());
    drop(one);
    let started = std::time::Instant::now();
    while !two.lead().unwrap() {
        assert!(started.elapsed().as_secs() < 30, "the lock is never free");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_database_that_goes_away_fails_by_name_and_is_used_again_when_it_is_back() {
    let mut server = Postgres::start().unwrap();
    let store = Store::connect(&server.url(), Access::default(), NETWORK).unwrap();
    assert!(store.lead().unwrap());
    store.insert(E, &from(1), &vote(b"a")).unwrap();
    server.stop().unwrap();
    for _ in 0..2 {
        let error = store.insert(E, &from(2), &vote(b"b")).unwrap_err();
        assert!(
            error.to_string().contains("nothing was acknowledged") && !error.is_conflict(),
            "{error}"
        );
    }
    assert!(store.lead().is_err(), "nobody leads without a database");
    server.resume().unwrap();
    assert_eq!(store.insert(E, &from(2), &vote(b"b")).unwrap(), 2);
    assert!(store.lead().unwrap());
    let other = Store::connect(&server.url(), Access::default(), NETWORK).unwrap();
    assert!(!other.lead().unwrap());
    server.crash().unwrap();
    // Whoever asks first leads; the other one does not think that it still does.
    assert!(other.lead().is_err() || other.lead().unwrap());
    assert!(other.lead().unwrap());
    assert!(store.lead().is_err());
    assert!(!store.lead().unwrap());
}

#[test]
fn urls_with_passwords_or_of_other_machines_are_refused_without_repeating_them() {
    for url in [
        "postgres://assay:secret@localhost/assay",
        "postgres://assay@db.example/assay?secret",
        "postgres://assay@192.0.2.1/secret",
        "postgres://assay@localhost/secret?hostaddr=192.0.2.1",
        "postgres://assay@localhost/secret?sslmode=require",
        "postgres:///secret",
        "secret",
    ] {
        let error = Store::connect(url, Access::default(), NETWORK)
            .err()
            .unwrap()
            .to_string();
        assert!(!error.contains("secret"), "{url}: {error}");
        assert!(!error.contains("connect"), "{url} was tried: {error}");
    }
    let error = Store::connect(
        "postgres://assay@127.0.0.1:1/assay",
        Access {
            password: Some("secret"),
            ca: None,
        },
        NETWORK,
    );
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("hint:") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn a_database_is_spoken_to_over_tls_that_the_own_roots_vouch_for_and_no_other() {
    let (certificate, key) = self_signed([127, 0, 0, 1]).unwrap();
    let (another, _) = self_signed([127, 0, 0, 1]).unwrap();
    let mut server = Postgres::start_tls(&certificate, &key).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ca = file("ca.pem", pem("CERTIFICATE", &certificate));
    let by = |ca| Access {
        password: None,
        ca: Some(ca),
    };
    let url = server.url_at("127.0.0.1").unwrap();
    let store = Store::connect(&url, by(&ca), NETWORK).unwrap();
    assert!(store.lead().unwrap());
    assert_eq!(store.insert(E, &from(1), &vote(b"a")).unwrap(), 1);
    // Whatever the URL asks for.
    let plain = format!("{url}?sslmode=disable");
    assert!(Store::connect_for_reading(&plain, by(&ca), NETWORK).is_ok());
    server.crash().unwrap();
    assert!(store.lead().is_err());
    assert!(store.lead().unwrap(), "connected anew");

    let refused = |url: &str, by: Access<'_>, text: &str| {
        let error = Store::connect(url, by, NETWORK).err().unwrap().to_string();
        assert!(error.contains(text), "{error}");
    };
    // This server takes nobody without TLS.
    refused(&url, Access::default(), "no encryption");
    let others = file("others.pem", pem("CERTIFICATE", &another));
    refused(&url, by(&others), "certificate");
    let by_name = server.url_at("localhost").unwrap();
    refused(&by_name, by(&ca), "certificate");
    refused(&server.url(), by(&ca), "got a socket");
    let none = file("none.pem", String::new());
    refused(&url, by(&none), "none.pem");
    refused(&url, by(&dir.path().join("nowhere.pem")), "nowhere.pem");
}
