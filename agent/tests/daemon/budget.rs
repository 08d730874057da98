//! Figures for `tools/agent-budget.sh`: what the agent takes while it idles and while it is challenged. Nothing here
//! decides anything; the script shows the figures beside their budget.

use super::floods::memory_kib;
use super::*;

/// How long it is watched doing nothing.
const IDLE: Duration = Duration::from_secs(30);
/// `/proc` counts processor time in ticks of USER_HZ, which is 100 on every Linux ABI.
const TICK_MS: u64 = 10;

/// Processor time of the agent so far, in milliseconds: utime and stime, fields 14 and 15 of `/proc/PID/stat`.
fn processor_ms(agent: &Agent) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", agent.child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let times = fields.split_whitespace().skip(14 - 3).take(2);
    times
        .map(|ticks| ticks.parse::<u64>().unwrap() * TICK_MS)
        .sum()
}

#[test]
#[ignore = "figures for tools/agent-budget.sh"]
fn figures() {
    let bench = Bench::new();
    drop(bench.start());
    let begun = Instant::now();
    let agent = bench.start();
    let mut client = bench.connect(&agent, 0);
    client.ask(AgentRequest::Enrol);
    println!("start_ms {}", begun.elapsed().as_millis());
    client.attest([1; 32]);
    drop(client);
    let (busy, begun) = (processor_ms(&agent), Instant::now());
    std::thread::sleep(IDLE);
    let taken = processor_ms(&agent) - busy;
    let per_mille = taken as f64 * 100.0 / begun.elapsed().as_millis() as f64;
    println!("idle_rss_kib {}", memory_kib(&agent, "VmRSS"));
    println!("idle_core_percent {per_mille:.3}");
    // Two HyperNodes at once: evidence, probes, fills and chases.
    let mut clients: Vec<Client> = (0..2).map(|member| bench.connect(&agent, member)).collect();
    for round in 0..5 {
        for client in &mut clients {
            client.attest([round; 32]);
            client.probe([round; 32]);
            client.fill();
            assert_eq!(client.chase([round; 32]).0, expected_lanes([round; 32]));
        }
    }
    println!("busy_rss_kib {}", memory_kib(&agent, "VmHWM"));
}
