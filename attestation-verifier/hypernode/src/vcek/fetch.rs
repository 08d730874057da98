//! Asks the key distribution service for what is not in the cache: one request at a time, at its pace, and one for
//! everybody who waits for the same.

use super::cache::{self, Cache};
use super::error::{ContentError, VcekError};
use super::http::{NoReply, Reply, Service};
use super::key::{BaseUrl, Item};
use super::pacer::{Answer, Pacer, retry_after_ms};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Most requests that wait or are under way.
pub const QUEUE_MAX: usize = 16;
/// For how long the service is not asked again for what it says it has not.
pub const NO_SUCH_MS: u64 = 600_000;
/// For how long it is not asked again for what it answered badly: one bad answer must not hold up the others.
pub const BAD_MS: u64 = 60_000;
/// Longest pause that a request waits out, beside the interval itself; before a longer one it is given back.
pub const PAUSE_MS_MAX: u64 = 60_000;
/// After this a kept revocation list is asked for again.
pub const CRL_AGE_MS_MAX: u64 = 86_400_000;

/// Most items that are not asked for again at one time.
const HOLDS_MAX: usize = 1_024;
/// When the service was asked last: the next process keeps to the pace of this one.
pub(super) const MEMORY_FILE: &str = "last-request";
const MEMORY_BYTES_MAX: u64 = 100;

type Answered = Option<Result<Vec<u8>, VcekError>>;

/// The time of day as it goes on from the start of the process: no change of the clock moves it.
pub(super) trait Time: Send + Sync {
    fn now_ms(&self) -> u64;
    fn sleep_ms(&self, ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's own.
pub(super) struct SystemTime {
    started: Instant,
    started_ms: u64,
}

impl SystemTime {
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
            started_ms: crate::clock::now().0,
        }
    }
}

impl Time for SystemTime {
    fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.started_ms.saturating_add(elapsed)
    }

    fn sleep_ms(&self, ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(Duration::from_millis(ms)))
    }
}

/// The way to one service.
pub(super) struct Fetcher {
    base: BaseUrl,
    cache: Arc<Cache>,
    service: Arc<dyn Service>,
    time: Arc<dyn Time>,
    flights: Mutex<Flights>,
    /// Whoever holds it may ask. First come, first served.
    turn: tokio::sync::Mutex<Pacer>,
}

/// What is asked for, and what is not to be asked for just now.
#[derive(Default)]
struct Flights {
    running: BTreeMap<Item, watch::Receiver<Answered>>,
    holds: BTreeMap<Item, Hold>,
}

struct Hold {
    until_ms: u64,
    error: VcekError,
}

impl Fetcher {
    pub(super) fn new(
        base: BaseUrl,
        interval_ms: u64,
        cache: Arc<Cache>,
        service: Arc<dyn Service>,
        time: Arc<dyn Time>,
    ) -> Result<Self, VcekError> {
        let pacer = recall(&cache, interval_ms, time.now_ms())?;
        Ok(Self {
            base,
            cache,
            service,
            time,
            flights: Mutex::default(),
            turn: tokio::sync::Mutex::new(pacer),
        })
    }

    /// Gets an item from the service, or from the cache when it came there meanwhile. Dropping this future stops
    /// nothing: what comes is in the cache.
    pub(super) async fn fetch(self: &Arc<Self>, item: Item) -> Result<Vec<u8>, VcekError> {
        let mut answer = self.board(item)?;
        let answered = answer.wait_for(Option::is_some).await;
        let given_up = || VcekError::GivenUp {
            url: self.url(&item),
        };
        answered
            .ok()
            .and_then(|answered| answered.clone())
            .unwrap_or_else(|| Err(given_up()))
    }

    /// What is kept and need not be asked for.
    pub(super) fn kept(&self, item: &Item) -> Result<Option<Vec<u8>>, VcekError> {
        let is_current = |written_ms: u64| {
            let now_ms = self.time.now_ms();
            written_ms <= now_ms && now_ms - written_ms <= CRL_AGE_MS_MAX
        };
        match item {
            Item::Crl(_) if !self.cache.written_ms(item).is_some_and(is_current) => Ok(None),
            _ => self.cache.get(item),
        }
    }

    /// Joins the request for an item, or starts one.
    fn board(self: &Arc<Self>, item: Item) -> Result<watch::Receiver<Answered>, VcekError> {
        let mut flights = self.flights();
        if let Some(running) = flights.running.get(&item) {
            return Ok(running.clone());
        }
        flights.held(&item, self.time.now_ms())?;
        if flights.running.len() >= QUEUE_MAX {
            return Err(VcekError::QueueFull {
                url: self.url(&item),
                limit: QUEUE_MAX,
            });
        }
        let (sender, receiver) = watch::channel(None);
        flights.running.insert(item, receiver.clone());
        let flight = Flight {
            fetcher: Arc::clone(self),
            item,
        };
        tokio::spawn(flight.run(sender));
        Ok(receiver)
    }

    /// Waits for the turn, asks, and keeps what comes.
    async fn ask(&self, item: &Item) -> Result<Vec<u8>, VcekError> {
        let mut pacer = self.turn.lock().await;
        if let Some(bytes) = self.kept(item)? {
            return Ok(bytes);
        }
        self.wait(item, &pacer).await?;
        // Durable before it is done: a process that is restarted in a loop keeps to the pace, too.
        pacer.started(self.time.now_ms());
        self.remember(&pacer)?;
        let reply = self.request(self.url(item)).await;
        let now_ms = self.time.now_ms();
        pacer.answered(now_ms, pace(&reply, now_ms));
        let remembered = self.remember(&pacer);
        let result = judge(item, self.url(item), reply, pacer.wait_ms(now_ms));
        drop(pacer);
        if let Ok(bytes) = &result {
            // It can be used though it cannot be kept.
            note(self.cache.put(item, bytes));
        }
        note(remembered);
        result
    }

    async fn wait(&self, item: &Item, pacer: &Pacer) -> Result<(), VcekError> {
        loop {
            let wait_ms = pacer.wait_ms(self.time.now_ms());
            if wait_ms == 0 {
                return Ok(());
            }
            if wait_ms > pacer.interval_ms().saturating_add(PAUSE_MS_MAX) {
                let url = self.url(item);
                return Err(VcekError::Later { url, wait_ms });
            }
            self.time.sleep_ms(wait_ms).await;
        }
    }

    async fn request(&self, url: String) -> Result<Reply, NoReply> {
        let service = Arc::clone(&self.service);
        let asked = tokio::task::spawn_blocking(move || service.get(&url)).await;
        asked.unwrap_or_else(|error| Err(NoReply::Failed(error.to_string())))
    }

    fn remember(&self, pacer: &Pacer) -> Result<(), VcekError> {
        cache::write_durably(self.cache.dir(), MEMORY_FILE, pacer.memory().as_bytes())
    }

    fn url(&self, item: &Item) -> String {
        format!("{}{}", self.base, item.path())
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, from joining the queue to its answer.
struct Flight {
    fetcher: Arc<Fetcher>,
    item: Item,
}

impl Flight {
    async fn run(self, sender: watch::Sender<Answered>) {
        let result = self.fetcher.ask(&self.item).await;
        if let Err(error) = &result {
            self.hold(error);
        }
        // Whoever asks from now on gets what is kept or held, or asks again.
        drop(self);
        // Nobody may wait any more.
        let _ = sender.send(Some(result));
    }

    fn hold(&self, error: &VcekError) {
        let now_ms = self.fetcher.time.now_ms();
        if let Some(hold_ms) = hold_ms(error) {
            let hold = Hold {
                until_ms: now_ms.saturating_add(hold_ms),
                error: error.clone(),
            };
            self.fetcher.flights().hold(self.item, hold, now_ms);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.fetcher.flights().running.remove(&self.item);
    }
}

impl Flights {
    /// The last answer, while the service is not to be asked again.
    fn held(&mut self, item: &Item, now_ms: u64) -> Result<(), VcekError> {
        match self.holds.get(item) {
            Some(hold) if now_ms < hold.until_ms => Err(hold.error.clone()),
            _ => {
                self.holds.remove(item);
                Ok(())
            }
        }
    }

    fn hold(&mut self, item: Item, hold: Hold, now_ms: u64) {
        if self.holds.len() >= HOLDS_MAX {
            self.holds.retain(|_, hold| now_ms < hold.until_ms);
        }
        if self.holds.len() >= HOLDS_MAX {
            let first = self.holds.iter().min_by_key(|(_, hold)| hold.until_ms);
            if let Some(item) = first.map(|(item, _)| *item) {
                self.holds.remove(&item);
            }
        }
        self.holds.insert(item, hold);
    }
}

/// For how long the same question would get the same answer. Only what is about the item: an unreachable or busy
/// service says nothing about it.
fn hold_ms(error: &VcekError) -> Option<u64> {
    match error {
        VcekError::NoSuch { .. } => Some(NO_SUCH_MS),
        VcekError::Content { .. } | VcekError::Redirect { .. } | VcekError::Status { .. } => {
            Some(BAD_MS)
        }
        _ => None,
    }
}

/// What a reply means for the pace.
fn pace(reply: &Result<Reply, NoReply>, now_ms: u64) -> Answer {
    match reply {
        Ok(reply) => match reply.status {
            200 | 400 | 404 => Answer::Served,
            429 | 503 => Answer::Busy {
                retry_after_ms: reply
                    .retry_after
                    .as_ref()
                    .and_then(|value| retry_after_ms(value, now_ms)),
            },
            _ => Answer::Failed,
        },
        Err(_) => Answer::Failed,
    }
}

/// What a reply means for those who asked.
fn judge(
    item: &Item,
    url: String,
    reply: Result<Reply, NoReply>,
    wait_ms: u64,
) -> Result<Vec<u8>, VcekError> {
    let reply = match reply {
        Ok(reply) => reply,
        Err(NoReply::TooLarge) => {
            let limit = cache::BYTES_MAX;
            return Err(VcekError::content(url, ContentError::TooLarge { limit }));
        }
        Err(NoReply::Failed(why)) => return Err(VcekError::Unreachable { url, why, wait_ms }),
    };
    let status = reply.status;
    match status {
        200 => match cache::check(item, &reply.body) {
            Ok(()) => Ok(reply.body),
            Err(wrong) => Err(VcekError::content(url, wrong)),
        },
        400 | 404 => Err(VcekError::NoSuch { url, status }),
        429 | 503 => Err(VcekError::Busy {
            url,
            status,
            wait_ms,
        }),
        300..=399 => Err(VcekError::Redirect { url, status }),
        _ => Err(VcekError::Status {
            url,
            status,
            wait_ms,
        }),
    }
}

/// The pace as an earlier process left it.
fn recall(cache: &Cache, interval_ms: u64, now_ms: u64) -> Result<Pacer, VcekError> {
    let path = cache.dir().join(MEMORY_FILE);
    let memory = fs::metadata(&path).and_then(|metadata| match metadata.len() {
        0..=MEMORY_BYTES_MAX => fs::read(&path),
        _ => Ok(Vec::new()),
    });
    match memory {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            Ok(Pacer::resume(interval_ms, &text, now_ms))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Pacer::new(interval_ms)),
        Err(error) => Err(VcekError::disk("read", &path, error)),
    }
}

fn note(done: Result<(), VcekError>) {
    if let Err(error) = done {
        eprintln!("note: {}", crate::explain(&error.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::key;
    use super::*;

    fn hold(number: usize, until_ms: u64) -> (Item, Hold) {
        let bytes = u16::try_from(number).unwrap().to_be_bytes();
        let item = Item::Vcek(key(1 + bytes[0], bytes[1]));
        let error = VcekError::NoSuch {
            url: String::new(),
            status: 404,
        };
        (item, Hold { until_ms, error })
    }

    #[test]
    fn what_is_not_asked_for_is_bounded_and_what_ends_first_makes_room() {
        let mut flights = Flights::default();
        for number in 0..HOLDS_MAX {
            let (item, hold) = hold(number, 10_000 + number as u64);
            flights.hold(item, hold, 0);
        }
        assert_eq!(flights.holds.len(), HOLDS_MAX);
        let (item, new) = hold(HOLDS_MAX, 99_000);
        flights.hold(item, new, 9_999);
        assert_eq!(flights.holds.len(), HOLDS_MAX);
        assert!(flights.held(&hold(0, 0).0, 9_999).is_ok());
        assert!(flights.held(&hold(1, 0).0, 9_999).is_err());
        assert!(flights.held(&item, 9_999).is_err());
        // All that have ended make room at once.
        let (item, new) = hold(HOLDS_MAX + 1, 99_000);
        flights.hold(item, new, 10_100);
        assert_eq!(flights.holds.len(), HOLDS_MAX + 1 - 100);
        assert!(flights.held(&hold(101, 0).0, 10_100).is_err());
    }
}
