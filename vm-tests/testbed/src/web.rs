//! An HTTP server on loopback, plain or TLS, that answers what a test wants. One request a connection.

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Request line and header fields.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// What comes back.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Status 200 with this body.
    Body(Vec<u8>),
    /// These bytes, header and all.
    Raw(Vec<u8>),
    /// Nothing for this long, then the end.
    Silence(Duration),
}

/// A running server. It ends with the process.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Web {
    /// A server without TLS.
    pub fn plain(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Result<Self> {
        Self::start(None, answer)
    }

    /// A server with this certificate (DER) and its key (PKCS #8).
    pub fn tls(
        certificate: &[u8],
        key: &[u8],
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = vec![CertificateDer::from(certificate.to_vec())];
        let key = PrivateKeyDer::try_from(key.to_vec()).map_err(anyhow::Error::msg)?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Self::start(Some(Arc::new(config)), answer)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests could be read.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn start(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (Arc::clone(&requests), Arc::new(answer));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (tls, count, answer) = (tls.clone(), Arc::clone(&count), Arc::clone(&answer));
                std::thread::spawn(move || serve(socket, tls, &count, answer.as_ref()));
            }
        });
        Ok(Self { address, requests })
    }
}

fn serve(
    socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    count: &AtomicUsize,
    answer: &dyn Fn(&Request) -> Reply,
) -> Result<()> {
    let Some(config) = tls else {
        return exchange(&mut &socket, count, answer);
    };
    let mut stream = StreamOwned::new(ServerConnection::new(config)?, socket);
    exchange(&mut stream, count, answer)?;
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}

fn exchange(
    stream: &mut (impl Read + Write),
    count: &AtomicUsize,
    answer: &dyn Fn(&Request) -> Reply,
) -> Result<()> {
    let request = read_request(stream)?;
    count.fetch_add(1, Ordering::SeqCst);
    match answer(&request) {
        Reply::Body(body) => stream.write_all(&http_reply(200, "", &body))?,
        Reply::Raw(bytes) => stream.write_all(&bytes)?,
        Reply::Silence(time) => std::thread::sleep(time),
    }
    Ok(())
}

fn read_request(stream: &mut impl Read) -> Result<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8(head)?;
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().ok())?
    };
    let length: usize = head.lines().find_map(field).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).context("body")?;
    Ok(Request { head, body })
}

/// An answer with its header.
pub fn http_reply(status: u16, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\nconnection: close\r\n{fields}\r\n"
    );
    [head.as_bytes(), body].concat()
}

const ECDSA_P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 0x03, 0x01, 0x07,
];
const ECDSA_WITH_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    let head = match length {
        [0, short @ 0..0x80] => vec![tag, short],
        [0, long] => vec![tag, 0x81, long],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

/// A certificate (DER) for an IPv4 `host`, signed by its own key, and the key (PKCS #8).
pub fn self_signed(host: [u8; 4]) -> Result<(Vec<u8>, Vec<u8>)> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref())?;
    let point = der(0x03, &[&[0], pair.public_key().as_ref()]);
    let common_name = der(
        0x30,
        &[&[0x06, 0x03, 0x55, 0x04, 0x03], &der(0x0c, &[b"test"])],
    );
    let name = der(0x30, &[&der(0x31, &[&common_name])]);
    let validity = der(
        0x30,
        &[
            &der(0x17, &[b"200101000000Z"]),
            &der(0x18, &[b"21000101000000Z"]),
        ],
    );
    let alternative = der(0x04, &[&der(0x30, &[&der(0x87, &[&host])])]);
    let extension = der(0x30, &[&[0x06, 0x03, 0x55, 0x1d, 0x11], &alternative]);
    let to_sign = der(
        0x30,
        &[
            &[0xa0, 0x03, 0x02, 0x01, 0x02],
            &[0x02, 0x01, 0x01],
            ECDSA_WITH_SHA256,
            &name,
            &validity,
            &name,
            &der(0x30, &[ECDSA_P256, &point]),
            &der(0xa3, &[&der(0x30, &[&extension])]),
        ],
    );
    let signature = pair.sign(&random, &to_sign)?;
    let signature = der(0x03, &[&[0], signature.as_ref()]);
    let certificate = der(0x30, &[&to_sign, ECDSA_WITH_SHA256, &signature]);
    Ok((certificate, pkcs8.as_ref().to_vec()))
}

/// DER as PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32| char::from(LETTERS[usize::try_from(bits & 63).unwrap_or(0)]);
    let mut text = String::new();
    for three in der.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let four = [18, 12, 6, 0].map(|shift| letter(bits >> shift));
        text.extend(four.iter().take(three.len() + 1));
        text.extend(std::iter::repeat_n('=', 3 - three.len()));
    }
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}
