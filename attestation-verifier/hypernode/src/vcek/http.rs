//! One request to the key distribution service, by the library that speaks HTTP.
//!
//! TLS is verified against Mozilla's roots. Nothing that is appraised rests on it: certificates lead to pinned roots
//! or are refused. It keeps strangers on the way from answering with nonsense, old revocation lists or nothing.

use super::cache::BYTES_MAX;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::RootCerts;

/// Whole of a request, from looking up the name to the last byte.
pub(super) const TOTAL_MAX: Duration = Duration::from_secs(20);

/// What the service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// The `Retry-After` header.
    pub(super) retry_after: Option<String>,
    /// Of an answer with status 200; of others nothing is read.
    pub(super) body: Vec<u8>,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoReply {
    /// The body is over the cap; it was not read to its end.
    TooLarge,
    /// Everything else.
    Failed(String),
}

/// Asks the service; blocks.
pub(super) trait Service: Send + Sync {
    fn get(&self, url: &str) -> Result<Reply, NoReply>;
}

/// The service behind a network.
pub(super) struct Http {
    agent: Agent,
}

impl Http {
    pub(super) fn new() -> Self {
        Self::with(TOTAL_MAX, RootCerts::WebPki)
    }

    pub(super) fn with(total: Duration, roots: RootCerts) -> Self {
        let user_agent = concat!("assay-hypernode/", env!("CARGO_PKG_VERSION"));
        Self {
            agent: assay_ledger::http::agent(total, roots, user_agent, 0),
        }
    }
}

impl Service for Http {
    fn get(&self, url: &str) -> Result<Reply, NoReply> {
        let mut response = self.agent.get(url).call().map_err(no_reply)?;
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after");
        let retry_after = header.and_then(|value| value.to_str().ok().map(str::to_owned));
        let body = if status == 200 {
            let limited = response.body_mut().with_config().limit(BYTES_MAX as u64);
            limited.read_to_vec().map_err(no_reply)?
        } else {
            Vec::new()
        };
        Ok(Reply {
            status,
            retry_after,
            body,
        })
    }
}

fn no_reply(error: ureq::Error) -> NoReply {
    match error {
        ureq::Error::BodyExceedsLimit(_) => NoReply::TooLarge,
        other => NoReply::Failed(other.to_string()),
    }
}
