//! Two real TLS endpoints over a socket: who is let in, and who is not.

use assay_protocol::cose::{PublicKey, Signer};
use assay_protocol::ids::Nonce;
use assay_protocol::wire::{AgentReply, AgentRequest};
use assay_transport::{Identity, frames, tls};
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

const MAX: usize = 4096;

/// Runs one request against a server that admits `admitted`; the client expects `expected`.
fn exchange(
    client: &Identity,
    server: &Identity,
    admitted: PublicKey,
    expected: PublicKey,
) -> Result<PublicKey, String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config =
        tls::server_config(server, Arc::new(move |key: &PublicKey| *key == admitted)).unwrap();
    let serving = thread::spawn(move || -> Result<PublicKey, String> {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let _: AgentRequest = frames::read(&mut stream, MAX).map_err(|e| e.to_string())?;
        let key = tls::peer_key(stream.conn.peer_certificates()).unwrap();
        frames::write(&mut stream, &AgentReply::Ready, MAX).map_err(|e| e.to_string())?;
        Ok(key)
    });
    let config =
        tls::client_config(client, Arc::new(move |key: &PublicKey| *key == expected)).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    let connection = ClientConnection::new(config, tls::server_name()).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let asked = frames::write(
        &mut stream,
        &AgentRequest::Probe {
            nonce: Nonce([1; 32]),
        },
        MAX,
    )
    .and_then(|()| frames::read::<AgentReply>(&mut stream, MAX))
    .map_err(|e| e.to_string());
    drop(stream);
    let served = serving.join().unwrap();
    asked.and(served)
}

#[test]
fn known_peers_talk_and_see_each_other_s_key() {
    let (client, server) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let seen = exchange(&client, &server, client.public_key(), server.public_key());
    assert_eq!(seen, Ok(client.public_key()));
}

#[test]
fn a_client_off_the_roster_is_refused() {
    let (client, server) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    assert!(exchange(&client, &server, [7; 32], server.public_key()).is_err());
}

#[test]
fn a_server_with_another_key_is_refused() {
    let (client, server) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    assert!(exchange(&client, &server, client.public_key(), [7; 32]).is_err());
}
