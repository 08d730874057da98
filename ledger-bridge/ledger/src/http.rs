//! The one way of this project's daemons to ask an HTTP server: bounded in time and size, rustls with aws-lc-rs,
//! no redirects, no proxies.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Longest file of root certificates, in bytes.
const CA_BYTES_MAX: u64 = 1024 * 1024;
const HEADER_BYTES_MAX: usize = 16 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A file of root certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file could not be read.
    #[error("root certificates {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no list of certificates.
    #[error("root certificates {path}: {why}\nhint: PEM, at most {CA_BYTES_MAX} bytes")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
}

/// A client whose whole request may take `total`, which trusts `roots` alone and keeps `idle_max` connections open.
pub fn agent(total: Duration, roots: RootCerts, user_agent: &str, idle_max: usize) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(CONNECT_MAX.min(total)))
        .timeout_global(Some(total))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_response_header_size(HEADER_BYTES_MAX)
        .max_idle_connections(idle_max)
        .proxy(None)
        .user_agent(user_agent)
        .build();
    config.into()
}

/// The roots of a PEM file; without a file Mozilla's, which are built in.
pub fn roots(ca: Option<&Path>) -> Result<RootCerts, CaError> {
    let Some(path) = ca else {
        return Ok(RootCerts::WebPki);
    };
    Ok(RootCerts::Specific(Arc::new(certificates(path)?)))
}

/// The certificates of a PEM file, at least one; nothing else may be in it.
pub fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, CaError> {
    let name = path.display().to_string();
    let io = |source| CaError::Io {
        path: name.clone(),
        source,
    };
    let malformed = |why: String| CaError::Malformed {
        path: name.clone(),
        why,
    };
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length > CA_BYTES_MAX {
        return Err(malformed(format!("{length} bytes")));
    }
    let text = std::fs::read(path).map_err(io)?;
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&text) {
        match item.map_err(|e| malformed(e.to_string()))? {
            PemItem::Certificate(certificate) => found.push(certificate),
            _ => return Err(malformed("holds something else than certificates".into())),
        }
    }
    if found.is_empty() {
        return Err(malformed("holds no certificate".into()));
    }
    Ok(found)
}
