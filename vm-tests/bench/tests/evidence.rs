//! True evidence of a booted machine, changed or repeated on its way to a HyperNode.

use assay_appraisal::appraise::{self, Expectation};
use assay_appraisal::checks::{Mode, Outcome};
use assay_appraisal::tpm::ak::AttestationKey;
use assay_bench::event_log::Pieces;
use assay_bench::judge::Judge;
use assay_bench::machine::SecureBoot;
use assay_bench::table::Row;
use assay_bench::thief::{self, Captured};
use assay_bench::trial::{Seen, Trial};
use assay_protocol::ids::{NodeId, Nonce};
use assay_transport::Identity;

/// Another HyperNode without memory that has enrolled the machine before, and meets the thief now.
async fn meets(trial: &Trial, judge: &Judge, endpoint: &str) -> Seen {
    let next = judge.elsewhere(trial, endpoint).unwrap();
    next.attest(trial).await.unwrap()
}

/// Names of the checks that did not pass, when all that can be run are run on the evidence as it was received.
fn refused(
    captured: &Captured,
    judge: &Judge,
    change: impl FnOnce(&mut Expectation<'_>),
) -> Vec<String> {
    let claims = &captured.claims;
    let ak = AttestationKey::from_bytes(&judge.record.ak_public.0).unwrap();
    let (hypernode, nonce) = claims.nonces[0];
    let mut expected = Expectation {
        node: claims.node,
        hypernode,
        nonce,
        session_key: claims.session_key,
        ak: &ak,
        last_clock: None,
    };
    change(&mut expected);
    let found = appraise::authenticate(&captured.bytes, &expected, Mode::Explain);
    let Err(refused) = found else {
        return Vec::new();
    };
    let failed = refused
        .checks
        .iter()
        .filter(|check| check.outcome != Outcome::Pass);
    failed.map(|check| check.name.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_was_changed_or_seen_before_is_refused_by_name() {
    let trial = Trial::new(SecureBoot::Off, "").unwrap();
    let (machine, node) = trial.boot().unwrap();
    let judge = Judge::enrol(&trial, node, &machine.endpoint).await.unwrap();
    let seen = judge.attest(&trial).await.unwrap();
    assert_eq!(seen.tier, Some(2), "{seen}");
    let captured = Captured::from(&judge).unwrap();
    assert!(refused(&captured, &judge, |_| ()).is_empty());
    replayed(&trial, &judge, &captured).await;
    under_new_claims(&trial, &judge, &captured).await;
    for_others(&captured, &judge);
}

/// Byte for byte: without the session key it does not get past the connection, and with it not past the nonce.
async fn replayed(trial: &Trial, judge: &Judge, captured: &Captured) {
    let thief = Identity::generate().unwrap();
    let bytes = captured.bytes.clone();
    let endpoint = thief::play(&thief, move |_| bytes.clone());
    let seen = meets(trial, judge, &endpoint).await;
    let names = refused(captured, judge, |expected| expected.nonce = Nonce([7; 32]));
    assert_eq!(names, ["nonce"]);
    Row::attack(
        "replayed-evidence",
        "evidence of an earlier challenge, from another machine's connection",
        "nothing concluded; with the session key: nonce",
    )
    .earns_nothing("not signed by the living key", &seen);
}

/// The TPM's old quote under claims that answer the new challenge, with the log as it was and with each edit.
async fn under_new_claims(trial: &Trial, judge: &Judge, captured: &Captured) {
    let whole = Pieces::of(&captured.vendor.event_log.0).unwrap();
    let rows = [
        (
            "replayed-quote",
            "an old quote under claims for a new challenge",
            whole.clone(),
        ),
        (
            "wire-log-truncated",
            "an old quote under new claims and a log cut short",
            whole.clone().truncated(),
        ),
        (
            "wire-log-reordered",
            "an old quote under new claims and a log in another order",
            whole.clone().reordered().unwrap().0,
        ),
        (
            "wire-log-relabelled",
            "an old quote under new claims and a relabelled log",
            whole.relabelled().unwrap(),
        ),
    ];
    for (name, done, log) in rows {
        let thief = Identity::generate().unwrap();
        let (forger, hypernode) = (thief.clone(), judge.context.own);
        let forged = captured.with_log(log.log());
        let endpoint = thief::play(&thief, move |nonce| {
            forged.forged(&forger, (hypernode, nonce))
        });
        let seen = meets(trial, judge, &endpoint).await;
        Row::attack(
            name,
            done,
            "nothing concluded: the quote is of other claims",
        )
        .earns_nothing("quote-qualifying-data", &seen);
    }
}

/// What one HyperNode was told of one node proves nothing to another, nor of another.
fn for_others(captured: &Captured, judge: &Judge) {
    let names = refused(captured, judge, |expected| {
        expected.node = NodeId([0x99; 32])
    });
    Row::attack(
        "another-id",
        "evidence shown under another node's id",
        "refused: node",
    )
    .seen(&format!("{names:?}"), names == ["node"]);
    let names = refused(captured, judge, |expected| {
        expected.hypernode.0 = [0x99; 32]
    });
    Row::attack(
        "another-hypernode",
        "evidence for one HyperNode shown to another",
        "refused: nonce",
    )
    .seen(&format!("{names:?}"), names == ["nonce"]);
}
