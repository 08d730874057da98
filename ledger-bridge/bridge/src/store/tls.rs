//! TLS to PostgreSQL: its certificate leads to the operator's own roots and names the host of the URL, or there is no
//! connection. Without channel binding, which needs no more than the certificate that is checked here.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::postgres::Socket;
use ::postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Session;
use tokio_rustls::rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::db::DbError;

/// What makes verified connections.
#[derive(Clone)]
pub struct Verified(TlsConnector);

impl Verified {
    /// Trusts the roots of this PEM file and nothing else.
    pub fn new(ca: &Path) -> Result<Self, DbError> {
        let failed = |why: String| DbError::Failed(why);
        let mut roots = RootCertStore::empty();
        for root in assay_ledger::http::certificates(ca).map_err(|e| failed(e.to_string()))? {
            let root = CertificateDer::from(root.der().to_vec());
            let added = roots.add(root);
            added.map_err(|e| failed(format!("root certificates {}: {e}", ca.display())))?;
        }
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| failed(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

impl MakeTlsConnect<Socket> for Verified {
    type Stream = Encrypted;
    type TlsConnect = ForHost;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<ForHost, InvalidDnsNameError> {
        Ok(ForHost {
            connector: self.0.clone(),
            host: ServerName::try_from(host.to_owned())?,
        })
    }
}

/// A connection to one host.
pub struct ForHost {
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl TlsConnect<Socket> for ForHost {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let session = self.connector.connect(self.host, socket).await?;
            Ok(Encrypted(session))
        })
    }
}

/// What goes to and fro.
pub struct Encrypted(Session<Socket>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
