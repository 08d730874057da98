//! AMD's certificates for SEV-SNP reports: a cache on disk and, when configured, the way to AMD's key distribution
//! service.
//!
//! Evidence ships its VCEK; this is for evidence that does not, and for what was verified before. Nothing here is
//! trusted: the appraisal verifies each certificate against pinned roots and the report, each time. What goes wrong
//! here is the verifier's trouble and never the node's failure.
//!
//! Whoever writes a report chooses what is asked for. A provider can so make a HyperNode send requests, one at a time
//! and at the service's pace, and fill the queue: others are then told so by name, and are undecided.

mod cache;
mod error;
mod fetch;
mod http;
mod key;
mod pacer;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use cache::{BYTES_MAX, Cache, FILES_MAX, FILES_PER_CHIP_MAX};
pub use error::{ContentError, VcekError};
pub use fetch::{BAD_MS, CRL_AGE_MS_MAX, NO_SUCH_MS, PAUSE_MS_MAX, QUEUE_MAX};
pub use key::{BaseUrl, Item, KeyError, Product, UrlError, VcekKey};

use fetch::{Fetcher, SystemTime};
use http::Http;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// AMD gives about one certificate in ten seconds.
const INTERVAL_MS_MIN: u64 = 10_000;

/// The `[kds]` section: where certificates are fetched, and how often at most.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KdsSection {
    /// The key distribution service; none: nothing is fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<BaseUrl>,
    /// Least time from the end of one request to the start of the next.
    pub interval_ms_min: u64,
}

impl Default for KdsSection {
    fn default() -> Self {
        Self {
            url: None,
            interval_ms_min: INTERVAL_MS_MIN,
        }
    }
}

/// What a HyperNode has and can get of AMD's certificates. One in a process: it keeps the pace for all.
pub struct Vceks {
    cache: Arc<Cache>,
    fetcher: Option<Arc<Fetcher>>,
}

impl Vceks {
    /// Opens the cache in `dir`. Asks nobody.
    pub fn open(dir: impl Into<PathBuf>, section: &KdsSection) -> Result<Self, VcekError> {
        let cache = Arc::new(Cache::open(dir)?);
        let fetcher = match &section.url {
            None => None,
            Some(base) => {
                let service = Arc::new(Http::new());
                let time = Arc::new(SystemTime::start());
                let (base, own) = (base.clone(), Arc::clone(&cache));
                let fetcher = Fetcher::new(base, section.interval_ms_min, own, service, time)?;
                Some(Arc::new(fetcher))
            }
        };
        Ok(Self { cache, fetcher })
    }

    /// The VCEK of a chip at a TCB, DER, unverified; from the cache, or else from the service. Nothing when it is not
    /// kept and no service is configured.
    ///
    /// It may wait for its turn, and dropping the future does no harm. An error is the verifier's own trouble.
    pub async fn vcek(&self, key: &VcekKey) -> Result<Option<Vec<u8>>, VcekError> {
        self.item(Item::Vcek(*key)).await
    }

    /// A product's ASK and ARK, PEM, unverified; like [`Self::vcek`].
    pub async fn chain(&self, product: Product) -> Result<Option<Vec<u8>>, VcekError> {
        self.item(Item::Chain(product)).await
    }

    /// A product's revocation list, DER, unverified; asked for again when it is over a day old. When the service has
    /// none to give, an older one: whether it is too old is for its own dates and the appraisal to say.
    pub async fn crl(&self, product: Product) -> Result<Option<Vec<u8>>, VcekError> {
        let item = Item::Crl(product);
        match self.item(item).await {
            Err(error) => self.read(item).await?.map(Some).ok_or(error),
            other => other,
        }
    }

    /// Keeps a VCEK that verified, as evidence shipped it; durable when it returns. Blocks on the disk, and writes
    /// nothing when the same is kept already.
    pub fn keep(&self, key: &VcekKey, der: &[u8]) -> Result<(), VcekError> {
        self.cache.put(&Item::Vcek(*key), der)
    }

    /// Drops what turned out not to verify, so that it is asked for again. Blocks on the disk.
    pub fn forget(&self, item: impl Into<Item>) -> Result<(), VcekError> {
        self.cache.forget(&item.into())
    }

    async fn item(&self, item: Item) -> Result<Option<Vec<u8>>, VcekError> {
        let Some(fetcher) = &self.fetcher else {
            return self.read(item).await;
        };
        let reader = Arc::clone(fetcher);
        match self.blocking(move || reader.kept(&item)).await? {
            Some(bytes) => Ok(Some(bytes)),
            None => fetcher.fetch(item).await.map(Some),
        }
    }

    async fn read(&self, item: Item) -> Result<Option<Vec<u8>>, VcekError> {
        let cache = Arc::clone(&self.cache);
        self.blocking(move || cache.get(&item)).await
    }

    /// Works on the disk beside the runtime.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, VcekError> + Send + 'static,
    ) -> Result<T, VcekError> {
        let broken = |error| VcekError::disk("read", self.cache.dir(), io::Error::other(error));
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(broken(error)))
    }
}
