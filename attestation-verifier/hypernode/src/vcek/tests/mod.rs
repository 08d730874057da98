//! Cache, pace and service together, against a service on loopback.

mod cache;
mod service;
mod tls;

use super::cache::Cache;
use super::error::{ContentError, VcekError};
use super::fetch::*;
use super::http::{Http, NoReply, Reply, Service};
use super::key::{BaseUrl, Item, Product, VcekKey};
use super::testing::*;
use super::{KdsSection, Vceks};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

const INTERVAL_MS: u64 = 10_000;

struct Bench {
    dir: TempDir,
    time: Arc<FakeTime>,
    kds: FakeKds,
}

impl Bench {
    async fn new(say: impl Fn(usize, &str) -> Say + Send + Sync + 'static) -> Self {
        let time = FakeTime::start();
        let kds = FakeKds::start(Arc::clone(&time), say).await;
        let dir = tempfile::tempdir().unwrap();
        Self { dir, time, kds }
    }

    /// The process, started (again).
    fn vceks(&self) -> Vceks {
        self.with(Arc::new(Http::new()))
    }

    fn with(&self, service: Arc<dyn Service>) -> Vceks {
        let time = self.time.clone();
        vceks(&self.dir, &self.kds.base, INTERVAL_MS, service, time)
    }

    /// What is in the folder, without the memory of the pace.
    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != MEMORY_FILE).collect()
    }
}

fn vceks(
    dir: &TempDir,
    base: &BaseUrl,
    interval_ms: u64,
    service: Arc<dyn Service>,
    time: Arc<dyn Time>,
) -> Vceks {
    let cache = Arc::new(Cache::open(dir.path()).unwrap());
    let fetcher = Fetcher::new(base.clone(), interval_ms, cache.clone(), service, time);
    Vceks {
        cache,
        fetcher: Some(Arc::new(fetcher.unwrap())),
    }
}

/// The chip that a path names by its first byte.
fn chip_of(path: &str) -> u8 {
    let chip = path.split('/').nth(4).unwrap();
    u8::from_str_radix(&chip[..2], 16).unwrap()
}

fn of(chip: u8) -> Vec<u8> {
    certificate(chip, 1_400)
}

fn works(_: usize, path: &str) -> Say {
    Say::ok(&of(chip_of(path)))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_askers_of_few_keys_cause_one_request_each_an_interval_apart() {
    let bench = Bench::new(works).await;
    let vceks = Arc::new(bench.vceks());
    let mut askers = tokio::task::JoinSet::new();
    for number in 0..90 {
        let vceks = Arc::clone(&vceks);
        let chip = 1 + number % 5;
        askers.spawn(async move { (chip, vceks.vcek(&key(chip, 1)).await) });
    }
    while let Some(answer) = askers.join_next().await {
        let (chip, got) = answer.unwrap();
        assert_eq!(got.unwrap(), Some(of(chip)));
    }
    let paths: BTreeSet<_> = bench.kds.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!((bench.kds.seen().len(), paths.len()), (5, 5));
    assert_eq!(bench.kds.gaps_ms(), [INTERVAL_MS; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_machines_clock_requests_are_an_interval_apart_too() {
    let bench = Bench::new(works).await;
    let time = Arc::new(SystemTime::start());
    let vceks = vceks(&bench.dir, &bench.kds.base, 60, Arc::new(Http::new()), time);
    let (one, two, three) = (key(1, 1), key(2, 1), key(3, 1));
    let got = tokio::join!(vceks.vcek(&one), vceks.vcek(&two), vceks.vcek(&three));
    assert!(got.0.is_ok() && got.1.is_ok() && got.2.is_ok());
    let seen = bench.kds.seen();
    assert_eq!(seen.len(), 3);
    for pair in seen.windows(2) {
        let gap = pair[1].instant - pair[0].instant;
        // Whole milliseconds, rounded down at both ends.
        assert!(gap >= Duration::from_millis(59), "{gap:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_is_not_fetched_again_until_it_is_forgotten() {
    let bench = Bench::new(works).await;
    let vceks = bench.vceks();
    for _ in 0..3 {
        assert_eq!(vceks.vcek(&key(7, 1)).await.unwrap(), Some(of(7)));
    }
    assert_eq!(bench.kds.seen().len(), 1);
    let expected = Item::Vcek(key(7, 1)).path();
    assert_eq!(bench.kds.seen()[0].path, expected);
    let again = bench.vceks();
    assert_eq!(again.vcek(&key(7, 1)).await.unwrap(), Some(of(7)));
    assert_eq!(bench.kds.seen().len(), 1);
    again.forget(&key(7, 1)).unwrap();
    assert_eq!(again.vcek(&key(7, 1)).await.unwrap(), Some(of(7)));
    assert_eq!(bench.kds.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_evidence_shipped_and_verified_needs_no_request() {
    let bench = Bench::new(works).await;
    let vceks = bench.vceks();
    vceks.keep(&key(3, 1), &of(99)).unwrap();
    assert_eq!(vceks.vcek(&key(3, 1)).await.unwrap(), Some(of(99)));
    assert!(bench.kds.seen().is_empty());
    let error = vceks.keep(&key(4, 1), b"no certificate").unwrap_err();
    assert!(matches!(error, VcekError::Content { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_service_there_is_what_was_kept_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("vcek");
    let vceks = Vceks::open(&folder, &KdsSection::default()).unwrap();
    assert_eq!(vceks.vcek(&key(1, 1)).await.unwrap(), None);
    assert_eq!(vceks.chain(Product::Genoa).await.unwrap(), None);
    assert_eq!(vceks.crl(Product::Genoa).await.unwrap(), None);
    vceks.keep(&key(1, 1), &of(1)).unwrap();
    assert_eq!(vceks.vcek(&key(1, 1)).await.unwrap(), Some(of(1)));
    assert_eq!(vceks.vcek(&key(1, 2)).await.unwrap(), None);
    let again = Vceks::open(&folder, &KdsSection::default()).unwrap();
    assert_eq!(again.vcek(&key(1, 1)).await.unwrap(), Some(of(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_pace() {
    let bench = Bench::new(works).await;
    for chip in 1..6 {
        // A new process each time, and one that comes back later than an interval.
        assert!(bench.vceks().vcek(&key(chip, 1)).await.is_ok());
    }
    assert_eq!(bench.kds.gaps_ms(), [INTERVAL_MS; 4]);
    bench.time.pass(3 * INTERVAL_MS);
    assert!(bench.vceks().vcek(&key(6, 1)).await.is_ok());
    assert_eq!(bench.kds.gaps_ms()[4], 3 * INTERVAL_MS);
    // Damaged, it counts as a request just now.
    for damaged in ["", "not a time\n", "99999999999999 0 0\n"] {
        fs::write(bench.dir.path().join(MEMORY_FILE), damaged).unwrap();
        let before = bench.time.now_ms();
        let chip = 10 + damaged.len() as u8;
        assert!(bench.vceks().vcek(&key(chip, 1)).await.is_ok());
        let at_ms = bench.kds.seen().last().unwrap().at_ms;
        assert_eq!(at_ms - before, INTERVAL_MS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_request_is_on_disk_before_it_goes_out() {
    let memory = Arc::new(Mutex::new(None));
    let file = Arc::new(Mutex::new(std::path::PathBuf::new()));
    let (seen, of_file) = (Arc::clone(&memory), Arc::clone(&file));
    let bench = Bench::new(move |number, path| {
        *seen.lock().unwrap() = fs::read_to_string(&*of_file.lock().unwrap()).ok();
        works(number, path)
    })
    .await;
    *file.lock().unwrap() = bench.dir.path().join(MEMORY_FILE);
    bench.vceks().vcek(&key(1, 1)).await.unwrap();
    let memory = memory.lock().unwrap().clone();
    assert_eq!(memory, Some(format!("{START_MS} 0 0\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_when_its_time_cannot_be_written() {
    let bench = Bench::new(works).await;
    let vceks = bench.vceks();
    fs::create_dir(bench.dir.path().join(MEMORY_FILE)).unwrap();
    for vceks in [vceks, bench.vceks()] {
        let error = vceks.vcek(&key(1, 1)).await.unwrap_err();
        assert!(
            matches!(
                error,
                VcekError::Disk {
                    action: "write",
                    ..
                }
            ),
            "{error}"
        );
    }
    assert!(bench.kds.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_still_given() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(Item::Vcek(key(1, 1)).file_name());
    let time = FakeTime::start();
    let kds = FakeKds::start(time.clone(), move |number, asked| {
        // By now nothing is in its place; then a folder is, which no file replaces.
        fs::create_dir(&path).unwrap();
        works(number, asked)
    })
    .await;
    let vceks = vceks(&dir, &kds.base, INTERVAL_MS, Arc::new(Http::new()), time);
    assert_eq!(vceks.vcek(&key(1, 1)).await.unwrap(), Some(of(1)));
}

/// A service whose answers wait until the gate is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
    asked: Mutex<Vec<String>>,
}

impl Gate {
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Service for Gate {
    fn get(&self, url: &str) -> Result<Reply, NoReply> {
        self.asked.lock().unwrap().push(url.to_owned());
        let open = self.open.lock().unwrap();
        drop(self.changed.wait_while(open, |open| !*open).unwrap());
        Ok(Reply {
            status: 200,
            retry_after: None,
            body: of(1),
        })
    }
}

/// Opens the gate, also when the test fails: its runtime ends only after the last request.
struct Opener(Arc<Gate>);

impl Drop for Opener {
    fn drop(&mut self) {
        *self.0.open.lock().unwrap() = true;
        self.0.changed.notify_all();
    }
}

type Asker = Pin<Box<dyn Future<Output = Result<Vec<u8>, VcekError>> + Send>>;

/// Somebody who waits for a key when this returns.
async fn begin(vceks: &Vceks, key: VcekKey) -> Asker {
    let fetcher = vceks.fetcher.clone().unwrap();
    let mut asker: Asker = Box::pin(async move { fetcher.fetch(Item::Vcek(key)).await });
    let waits = poll_fn(|context| Poll::Ready(asker.as_mut().poll(context).is_pending()));
    assert!(waits.await);
    asker
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_others_by_name_and_lets_the_same_join() {
    let bench = Bench::new(works).await;
    let gate = Arc::new(Gate::default());
    let opener = Opener(Arc::clone(&gate));
    let vceks = bench.with(gate.clone());
    let mut askers = Vec::new();
    for chip in 0..QUEUE_MAX {
        askers.push(begin(&vceks, key(1 + chip as u8, 1)).await);
    }
    let error = vceks.vcek(&key(200, 1)).await.unwrap_err();
    assert!(
        matches!(
            error,
            VcekError::QueueFull {
                limit: QUEUE_MAX,
                ..
            }
        ),
        "{error}"
    );
    askers.push(begin(&vceks, key(1, 1)).await);
    assert!(gate.asked() <= 1, "one request at a time");
    drop(opener);
    for asker in askers {
        assert_eq!(asker.await.unwrap(), of(1));
    }
    assert_eq!(gate.asked(), QUEUE_MAX);
    assert!(vceks.vcek(&key(200, 1)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asker_who_leaves_stops_nothing() {
    let bench = Bench::new(works).await;
    let gate = Arc::new(Gate::default());
    let opener = Opener(Arc::clone(&gate));
    let vceks = bench.with(gate.clone());
    drop(begin(&vceks, key(1, 1)).await);
    let stays = begin(&vceks, key(1, 1)).await;
    drop(begin(&vceks, key(1, 1)).await);
    drop(opener);
    assert_eq!(stays.await.unwrap(), of(1));
    assert_eq!(gate.asked(), 1);
    assert_eq!(vceks.vcek(&key(1, 1)).await.unwrap(), Some(of(1)));
    assert_eq!(gate.asked(), 1);
}

/// A service that breaks down.
struct Panics;

impl Service for Panics {
    fn get(&self, _: &str) -> Result<Reply, NoReply> {
        panic!("for a test")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_down_is_an_error_and_the_next_one_goes() {
    let bench = Bench::new(works).await;
    let vceks = bench.with(Arc::new(Panics));
    for _ in 0..2 {
        let error = vceks.vcek(&key(1, 1)).await.unwrap_err();
        assert!(matches!(error, VcekError::Unreachable { .. }), "{error}");
    }
}

fn set_written(bench: &Bench, item: Item, at_ms: u64) {
    let path = bench.dir.path().join(item.file_name());
    let file = File::options().write(true).open(path).unwrap();
    let at = UNIX_EPOCH + Duration::from_millis(at_ms);
    file.set_modified(at).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_list_is_renewed_daily_and_an_old_one_is_better_than_none() {
    let bench = Bench::new(|number, _| match number {
        2 => Say::status(500, ""),
        _ => Say::ok(&certificate(number as u8, 700)),
    })
    .await;
    let vceks = bench.vceks();
    let list = |number: u8| Some(certificate(number, 700));
    let item = Item::Crl(Product::Genoa);
    assert_eq!(vceks.crl(Product::Genoa).await.unwrap(), list(0));
    let written = bench.time.now_ms();
    set_written(&bench, item, written);
    bench.time.pass(CRL_AGE_MS_MAX);
    assert_eq!(vceks.crl(Product::Genoa).await.unwrap(), list(0));
    assert_eq!(bench.kds.seen().len(), 1);
    bench.time.pass(1);
    assert_eq!(vceks.crl(Product::Genoa).await.unwrap(), list(1));
    assert_eq!(bench.kds.seen()[1].path, "/vcek/v1/Genoa/crl");
    // Written in the future: the clock was set back, and nobody knows how old it is.
    set_written(&bench, item, bench.time.now_ms() + INTERVAL_MS * 100);
    assert_eq!(vceks.crl(Product::Genoa).await.unwrap(), list(1));
    assert_eq!(bench.kds.seen().len(), 3);
    bench.time.pass(BAD_MS);
    assert_eq!(vceks.crl(Product::Genoa).await.unwrap(), list(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_fetched_once_for_its_product() {
    let bench = Bench::new(|number, _| match number {
        0 => Say::ok(&chain()),
        _ => Say::ok(&of(1)),
    })
    .await;
    let vceks = bench.vceks();
    for _ in 0..2 {
        assert_eq!(vceks.chain(Product::Turin).await.unwrap(), Some(chain()));
    }
    assert_eq!(bench.kds.seen().len(), 1);
    assert_eq!(bench.kds.seen()[0].path, "/vcek/v1/Turin/cert_chain");
    let error = vceks.chain(Product::Milan).await.unwrap_err();
    let wrong = ContentError::NotPem { actual: 1_400 };
    assert!(matches!(error, VcekError::Content { wrong: w, .. } if w == wrong));
    vceks.forget(Item::Chain(Product::Turin)).unwrap();
    assert!(vceks.chain(Product::Turin).await.is_err());
}
