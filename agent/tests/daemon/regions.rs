//! Fills that are wrong, cut off or too much for the disk.

use super::*;

#[test]
fn a_fill_out_of_order_or_too_large_is_refused_and_over() {
    let bench = Bench::new();
    bench.configure("127.0.0.1:0", "state", "[limits]\nregion_blocks_max = 64\n");
    let agent = bench.start();
    let mut client = bench.bound(&agent);
    let begin = |blocks| AgentRequest::FillBegin {
        id: ID,
        key_hash: Digest([0; 32]),
        blocks,
    };
    for blocks in [0, 63, 128] {
        assert_eq!(client.refused(begin(blocks)).0, RefusalCode::BadRequest);
    }
    assert_eq!(
        client.refused(AgentRequest::FillEnd).0,
        RefusalCode::BadRequest
    );
    assert_eq!(client.ask(begin(64)), AgentReply::Ready);
    let data = |first| AgentRequest::FillData {
        first,
        data: vec![0; BLOCK_BYTES],
    };
    assert_eq!(client.ask(data(0)), AgentReply::Ready);
    assert_eq!(client.refused(data(2)).0, RefusalCode::BadRequest);
    assert_eq!(client.refused(data(1)).0, RefusalCode::BadRequest);
    assert_eq!(client.ask(begin(2)), AgentReply::Ready);
    assert_eq!(
        client.refused(AgentRequest::FillEnd).0,
        RefusalCode::BadRequest
    );
}

#[test]
fn kill_9_keeps_acknowledged_fills_and_forgets_half_ones() {
    let bench = Bench::new();
    let mut agent = bench.start();
    let mut client = bench.bound(&agent);
    client.fill();
    let next = RegionId {
        generation: 1,
        ..ID
    };
    let begin = AgentRequest::FillBegin {
        id: next,
        key_hash: Digest([0; 32]),
        blocks: 2,
    };
    assert_eq!(client.ask(begin), AgentReply::Ready);
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();

    let again = bench.start();
    assert_eq!(again.node, agent.node);
    assert_ne!(again.session, agent.session);
    let mut client = bench.connect(&again, 0);
    let early = client.refused(AgentRequest::Chase {
        nonce: Nonce([1; 32]),
        plan: PLAN,
    });
    assert_eq!(early.0, RefusalCode::NotAllowed);
    client.attest([1; 32]);
    assert_eq!(client.chase([2; 32]).0, expected_lanes([2; 32]));
    let half = ChasePlan {
        id: next,
        blocks: 2,
        ..PLAN
    };
    let half = client.refused(AgentRequest::Chase {
        nonce: Nonce([1; 32]),
        plan: half,
    });
    assert_eq!(half.0, RefusalCode::NotFound);
}

#[test]
fn a_full_disk_refuses_the_fill_by_name_and_nothing_else() {
    let bench = Bench::new();
    bench.configure(
        "127.0.0.1:0",
        "small",
        "[limits]\nregion_blocks_max = 4096\n",
    );
    std::fs::create_dir(bench.path("small")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg(
        "mount -t tmpfs -o size=1m tmpfs \"$0\" && exec \"$1\" run --user root --config \"$2\"",
    );
    command
        .arg(bench.path("small"))
        .arg(AGENT)
        .arg(bench.config());
    let agent = bench.spawn(command);
    let mut client = bench.bound(&agent);
    let begin = AgentRequest::FillBegin {
        id: ID,
        key_hash: Digest([0; 32]),
        blocks: 4096,
    };
    let (code, text) = client.refused(begin);
    assert_eq!(code, RefusalCode::Storage);
    assert!(text.contains("disk full: 16777216 bytes"), "{text}");
    client.fill();
    assert_eq!(client.chase([2; 32]).0, expected_lanes([2; 32]));
}
