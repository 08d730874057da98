//! https: only to a server whose certificate leads to a trusted root and names the host.

use super::super::http::{Http, NoReply, Service};
use super::of;
use crate::vcek::testing::reply;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts};

const ECDSA_P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 0x03, 0x01, 0x07,
];
const ECDSA_WITH_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match length {
        [0, short @ 0..0x80] => vec![tag, short],
        [0, long] => vec![tag, 0x81, long],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

/// A certificate for `host`, signed by its own key, and the key.
fn self_signed(host: [u8; 4]) -> (Vec<u8>, Vec<u8>) {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
    let point = der(0x03, &[&[0], pair.public_key().as_ref()]);
    let common_name = der(
        0x30,
        &[&[0x06, 0x03, 0x55, 0x04, 0x03], &der(0x0c, &[b"KDS"])],
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
    let signature = pair.sign(&random, &to_sign).unwrap();
    let signature = der(0x03, &[&[0], signature.as_ref()]);
    let certificate = der(0x30, &[&to_sign, ECDSA_WITH_SHA256, &signature]);
    (certificate, pkcs8.as_ref().to_vec())
}

/// A service that speaks TLS; counts the requests it could read.
fn start(certificate: &[u8], key: &[u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from(certificate.to_vec())];
    let key = PrivateKeyDer::try_from(key.to_vec()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let requests = Arc::clone(&count);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            serve(socket.unwrap(), Arc::clone(&config), &requests);
        }
    });
    (address, count)
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, requests: &AtomicUsize) -> Option<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    requests.fetch_add(1, Ordering::SeqCst);
    stream.write_all(&reply(200, "", &of(1))).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

fn ask(roots: RootCerts, address: SocketAddr) -> Result<Vec<u8>, NoReply> {
    let http = Http::with(Duration::from_secs(20), roots);
    let reply = http.get(&format!("https://{address}/vcek/v1/Milan/crl"))?;
    assert_eq!(reply.status, 200);
    Ok(reply.body)
}

fn only(certificate: &[u8]) -> RootCerts {
    RootCerts::from([Certificate::from_der(certificate).to_owned()])
}

#[test]
fn a_server_with_a_trusted_certificate_is_asked() {
    let (certificate, key) = self_signed([127, 0, 0, 1]);
    let (address, requests) = start(&certificate, &key);
    assert_eq!(ask(only(&certificate), address), Ok(of(1)));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[test]
fn a_server_that_no_root_vouches_for_is_not_asked() {
    let (certificate, key) = self_signed([127, 0, 0, 1]);
    let (another, _) = self_signed([127, 0, 0, 1]);
    let (address, requests) = start(&certificate, &key);
    for roots in [RootCerts::WebPki, only(&another)] {
        assert!(matches!(ask(roots, address), Err(NoReply::Failed(_))));
    }
    let product = Http::new().get(&format!("https://{address}/"));
    assert!(matches!(product, Err(NoReply::Failed(_))), "{product:?}");
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}

#[test]
fn a_server_whose_certificate_names_another_host_is_not_asked() {
    let (certificate, key) = self_signed([127, 0, 0, 2]);
    let (address, requests) = start(&certificate, &key);
    let refused = ask(only(&certificate), address);
    assert!(matches!(refused, Err(NoReply::Failed(_))), "{refused:?}");
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}
