//! Who may connect, how often, and with how long a frame.

use super::*;

#[test]
fn strangers_are_closed_in_the_handshake() {
    let bench = Bench::new();
    let agent = bench.start();
    let mut stranger = Client::connect(&agent, &Identity::generate().unwrap());
    let asked = stranger
        .send(&AgentRequest::Enrol)
        .and_then(|()| stranger.receive());
    assert!(matches!(asked, Err(TransportError::Io(_))));
    let mut plain = TcpStream::connect(&agent.address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    plain
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    assert!(rest.len() < 16, "an alert at most");
    bench.connect(&agent, 0).attest([1; 32]);
}

#[test]
fn a_silent_stranger_is_closed_in_time_and_takes_no_members_place() {
    let bench = Bench::new();
    let agent = bench.start();
    let mut silent = TcpStream::connect(&agent.address).unwrap();
    let started = Instant::now();
    bench.connect(&agent, 0).attest([1; 32]);
    silent
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0);
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn an_oversized_frame_and_too_many_connections_are_closed() {
    let bench = Bench::new();
    bench.configure("127.0.0.1:0", "state", "[limits]\nconnections_max = 4\n");
    let agent = bench.start();
    let mut kept: Vec<Client> = (0..2).map(|_| bench.bound(&agent)).collect();
    let mut third = bench.connect(&agent, 0);
    assert!(
        third
            .send(&attest([1; 32]))
            .and_then(|()| third.receive())
            .is_err()
    );
    bench.connect(&agent, 1).attest([2; 32]);
    let huge = AgentRequest::FillData {
        first: 0,
        data: vec![0; 300 * 1024],
    };
    assert!(
        kept[0]
            .send(&huge)
            .and_then(|()| kept[0].receive())
            .is_err()
    );
    kept[1].probe([1; 32]);
}
