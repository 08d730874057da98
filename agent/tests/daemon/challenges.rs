//! Enrolment and every challenge, answered over the wire.

use super::*;

#[test]
fn enrol_attest_probe_fill_and_chase() {
    let bench = Bench::new();
    let agent = bench.start();
    let mut client = bench.connect(&agent, 0);
    let AgentReply::Offer {
        ek_certificate,
        ek_public,
        ak_public,
    } = client.ask(AgentRequest::Enrol)
    else {
        panic!("no offer")
    };
    assert_eq!(
        (ek_certificate[0], &ek_public[..2], ak_public[1]),
        (0x30, &[0, 1][..], 0x23)
    );
    let (code, text) = client.refused(AgentRequest::Probe {
        nonce: Nonce([0; 32]),
    });
    assert_eq!(code, RefusalCode::NotAllowed, "{text}");

    let evidence = client.attest([7; 32]);
    let claims = evidence.claims();
    assert_eq!(claims.nonces, [(HyperNodeId(client.key), Nonce([7; 32]))]);
    assert_eq!(claims.node, agent.node);
    assert_eq!(claims.freshness, (Epoch(3), Beacon([4; 32])));
    let qualifying = qualifying_data(evidence.claims_bytes());
    assert!(
        evidence
            .vendor()
            .attest
            .0
            .windows(32)
            .any(|window| window == qualifying)
    );
    let log = std::fs::read(bench.path("log")).unwrap();
    assert_eq!(
        (claims.event_log, &evidence.vendor().event_log.0),
        (digest(&[&log]), &log)
    );

    let (probe, probe_bytes) = client.probe([8; 32]);
    assert_eq!((probe.node, probe.nonce), (agent.node, Nonce([8; 32])));
    assert_eq!(
        probe.link,
        ChainLink {
            sequence: 0,
            previous: Digest([0; 32])
        }
    );

    let receipt_bytes = client.fill();
    let receipt: FillReceipt = cose::open(&receipt_bytes, &agent.session)
        .unwrap()
        .into_payload();
    assert_eq!(receipt.root, region_root(&KEY, BLOCKS).unwrap());
    assert_eq!(
        (receipt.key_hash, receipt.blocks),
        (Digest([6; 32]), BLOCKS)
    );
    assert_eq!(receipt.hypernode.0, client.key);
    assert_eq!(
        receipt.link,
        ChainLink {
            sequence: 1,
            previous: digest(&[&probe_bytes])
        }
    );
    let both = Countersigned {
        node: agent.node,
        receipt: Blob(receipt_bytes),
        at: UnixMs(1),
    };
    let both = cose::seal(both, &bench.members[0]).bytes().to_vec();
    let keep = AgentRequest::FillCountersigned {
        receipt: both.clone(),
    };
    assert_eq!(client.ask(keep), AgentReply::Ready);

    let reads_of = |counters: &[Counter]| counters.iter().find(|c| c.id == 7).unwrap().value;
    let reads = |answer: &ChaseAnswer| reads_of(&answer.counters);
    let (lanes, answer) = client.chase([9; 32]);
    assert_eq!(lanes, expected_lanes([9; 32]));
    let blobs: Vec<Blob> = lanes
        .iter()
        .map(|states| ChaseAnswer::lane_blob(states))
        .collect();
    assert_eq!((answer.plan(), &answer.lanes), (PLAN, &blobs));
    assert_eq!((reads(&answer), answer.link.sequence), (400, 2));
    assert_eq!(reads_of(&answer.counters_before), 0);
    assert_eq!(client.attest([10; 32]).claims().link.sequence, 3);

    // Another member neither sees this region nor can countersign its receipt.
    let mut other = bench.connect(&agent, 1);
    other.attest([1; 32]);
    let foreign = other.refused(AgentRequest::Chase {
        nonce: Nonce([0; 32]),
        plan: PLAN,
    });
    assert_eq!(foreign.0, RefusalCode::NotFound);
    let foreign = other.refused(AgentRequest::FillCountersigned { receipt: both });
    assert_eq!(foreign.0, RefusalCode::BadRequest);
}

#[test]
fn a_credential_of_tpm2_tools_is_opened_over_the_wire() {
    let bench = Bench::new();
    let agent = bench.start();
    let mut client = bench.connect(&agent, 0);
    let bogus = AgentRequest::Activate {
        credential_blob: vec![0, 1, 2],
        encrypted_secret: vec![],
    };
    assert_eq!(client.refused(bogus).0, RefusalCode::BadRequest);
    let AgentReply::Offer {
        ek_public,
        ak_public,
        ..
    } = client.ask(AgentRequest::Enrol)
    else {
        panic!("no offer")
    };
    let name = [&[0, 0x0b][..], &digest(&[&ak_public]).0].concat();
    std::fs::write(bench.path("ek"), [&[1, 0x3a][..], &ek_public].concat()).unwrap();
    std::fs::write(bench.path("secret"), [0x5e; 32]).unwrap();
    let made = Command::new("tpm2_makecredential")
        .current_dir(bench.dir.path())
        .args([
            "-T",
            "none",
            "-n",
            &hex::encode(name),
            "-u",
            "ek",
            "-s",
            "secret",
            "-o",
            "made",
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let file = std::fs::read(bench.path("made")).unwrap();
    let (credential_blob, encrypted_secret) =
        file[8..].split_at(2 + usize::from(u16::from_be_bytes([file[8], file[9]])));
    let opened = client.ask(AgentRequest::Activate {
        credential_blob: credential_blob.to_vec(),
        encrypted_secret: encrypted_secret.to_vec(),
    });
    assert_eq!(
        opened,
        AgentReply::Activated {
            secret: vec![0x5e; 32]
        }
    );
}
