//! A TPM that stops or is reset under a running agent.

use super::*;

#[test]
fn a_stopped_tpm_fails_attestation_by_name_and_no_probe() {
    let bench = Bench::new();
    bench.configure("127.0.0.1:0", "state", "");
    let text = std::fs::read_to_string(bench.config()).unwrap() + "deadline_ms = 400\n";
    std::fs::write(bench.config(), text).unwrap();
    let agent = bench.start();
    let mut client = bench.bound(&agent);
    bench.swtpm.freeze().unwrap();
    let (code, text) = client.refused(attest([2; 32]));
    assert_eq!(code, RefusalCode::Tpm, "{text}");
    assert!(text.contains("did not answer"), "{text}");
    client.probe([3; 32]);
    bench.swtpm.thaw().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    client.attest([4; 32]);
}

#[test]
fn a_tpm_reset_under_a_running_agent_shows_in_the_next_evidence() {
    let mut bench = Bench::new();
    let agent = bench.start();
    let mut client = bench.bound(&agent);
    let before = client.attest([1; 32]).claims().clock.reset_count;
    bench.swtpm.restart().unwrap();
    let after = client.attest([2; 32]);
    assert_eq!(after.claims().clock.reset_count, before + 1);
    assert_eq!(after.vendor().pcrs[4].1, Digest([0; 32]));
}
