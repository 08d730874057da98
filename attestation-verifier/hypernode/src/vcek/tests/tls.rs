//! https: only to a server whose certificate leads to a trusted root and names the host.

use super::super::http::{Http, NoReply, Service};
use super::of;
use assay_testbed::web::{Reply, Web, self_signed};
use std::net::SocketAddr;
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts};

/// A service that speaks TLS.
fn start(certificate: &[u8], key: &[u8]) -> Web {
    Web::tls(certificate, key, |_| Reply::Body(of(1))).unwrap()
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
    let (certificate, key) = self_signed([127, 0, 0, 1]).unwrap();
    let service = start(&certificate, &key);
    let address = service.address();
    assert_eq!(ask(only(&certificate), address), Ok(of(1)));
    assert_eq!(service.requests(), 1);
}

#[test]
fn a_server_that_no_root_vouches_for_is_not_asked() {
    let (certificate, key) = self_signed([127, 0, 0, 1]).unwrap();
    let (another, _) = self_signed([127, 0, 0, 1]).unwrap();
    let service = start(&certificate, &key);
    let address = service.address();
    for roots in [RootCerts::WebPki, only(&another)] {
        assert!(matches!(ask(roots, address), Err(NoReply::Failed(_))));
    }
    let product = Http::new().get(&format!("https://{address}/"));
    assert!(matches!(product, Err(NoReply::Failed(_))), "{product:?}");
    assert_eq!(service.requests(), 0);
}

#[test]
fn a_server_whose_certificate_names_another_host_is_not_asked() {
    let (certificate, key) = self_signed([127, 0, 0, 2]).unwrap();
    let service = start(&certificate, &key);
    let address = service.address();
    let refused = ask(only(&certificate), address);
    assert!(matches!(refused, Err(NoReply::Failed(_))), "{refused:?}");
    assert_eq!(service.requests(), 0);
}
