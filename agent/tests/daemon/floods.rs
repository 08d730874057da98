//! Strangers in numbers: closed, and the agent is as small afterwards as before.

use super::*;

/// Connections of each kind.
const MANY: usize = 300;
/// What an agent may grow by: stacks and buffers of 64 strangers at once, which the allocator keeps.
const GROWTH_KIB_MAX: u64 = 6 * 1024;

/// A field of `/proc/PID/status` in KiB.
pub fn memory_kib(agent: &Agent, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Reads until the other side closes; what comes is an alert at most.
fn is_closed(mut stream: &TcpStream) {
    let mut rest = Vec::new();
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).unwrap();
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert!(rest.len() < 16, "an alert at most"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
}

/// Each begins a handshake and never ends it: more of them than there are places.
fn loris(agent: &Agent) -> Vec<TcpStream> {
    let begin = |_| {
        let mut stream = TcpStream::connect(&agent.address).unwrap();
        // The first byte of a TLS record; over the limit it is closed already.
        let _ = stream.write_all(&[0x16]);
        stream
    };
    (0..MANY).map(begin).collect()
}

fn garbage(agent: &Agent) {
    for n in 0..MANY {
        let mut stream = TcpStream::connect(&agent.address).unwrap();
        let bytes: Vec<u8> = (0..16 * 1024).map(|i| (i * 31 + n * 7) as u8).collect();
        let _ = stream.write_all(&bytes);
        is_closed(&stream);
    }
}

fn foreign_keys(agent: &Agent) {
    let stranger = Identity::generate().unwrap();
    for _ in 0..MANY {
        let mut client = Client::connect(agent, &stranger);
        let asked = client.send(&AgentRequest::Enrol);
        let answered = asked.and_then(|()| client.receive());
        assert!(matches!(answered, Err(TransportError::Io(_))));
    }
}

#[test]
fn floods_of_strangers_are_closed_and_leave_the_agent_as_small_as_it_was() {
    let bench = Bench::new();
    let agent = bench.start();
    let mut member = bench.bound(&agent);
    member.fill();
    assert_eq!(member.chase([2; 32]).0, expected_lanes([2; 32]));
    let before = memory_kib(&agent, "VmRSS");
    for round in 0..2 {
        let waiting = loris(&agent);
        // A member that is in has a place of its own meanwhile.
        member.probe([round; 32]);
        waiting.iter().for_each(is_closed);
        garbage(&agent);
        foreign_keys(&agent);
        bench.connect(&agent, 1).attest([round; 32]);
    }
    let (after, peak) = (memory_kib(&agent, "VmRSS"), memory_kib(&agent, "VmHWM"));
    println!("resident: {before} KiB before, {after} KiB after, {peak} KiB at most");
    assert!(
        peak < before + GROWTH_KIB_MAX,
        "resident memory: {before} KiB before, {after} KiB after, {peak} KiB at most"
    );
    let threads = memory_kib(&agent, "Threads");
    assert!(threads < 10, "{threads} threads are left");
    assert_eq!(member.chase([3; 32]).0, expected_lanes([3; 32]));
}
