//! A signer behind a URL: a node that holds a key signs what it is asked to; one that signs something else is caught.

use assay_ledger::{Action, KeyError, RemoteSigner, SignedTx, TxSigner};
use assay_protocol::ids::{Address, Epoch, Stake};
use assay_testbed::web::{Reply, Web};
use serde_json::{Value, json};

use super::network::*;

/// The first account that every anvil holds.
fn unlocked() -> Address {
    let mut bytes = [0; 20];
    hex::decode_to_slice("f39fd6e51aad88f6f4ce6ab8827279cfffb92266", &mut bytes).unwrap();
    Address(bytes)
}

#[test]
fn a_node_with_the_key_signs_and_the_action_is_done() {
    let net = Network::deployed();
    let signer = RemoteSigner::new(&net.bed.node.url(), None, unlocked()).unwrap();
    let mint = Action::mint(unlocked(), Stake(9));
    let receipt = net.ledger.submit(&signer, &mint).unwrap();
    assert_eq!(receipt.from.0, unlocked().0);
    let minted = || net.ledger.tokens(unlocked()).unwrap();
    assert_eq!(minted(), Stake(9));
    // What takes tokens needs two signatures: one approves, one takes.
    let fund = Action::fund(Epoch(5), 1, Stake(4));
    net.ledger.submit(&signer, &fund).unwrap();
    assert_eq!(minted(), Stake(5));
    let stranger = RemoteSigner::new(&net.bed.node.url(), None, key(7).address()).unwrap();
    let error = net.ledger.submit(&stranger, &mint).unwrap_err();
    assert_eq!(minted(), Stake(5), "{error}");
}

/// What a signer of this key that answers `result` is told to have done.
fn signed_by(result: Value, address: Address) -> Result<SignedTx, KeyError> {
    let web = Web::plain(move |_| {
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": result});
        Reply::Body(answer.to_string().into_bytes())
    })
    .unwrap();
    let url = format!("http://user:secret@{}/path", web.address());
    let signer = RemoteSigner::new(&url, None, address).unwrap();
    let asked = wanted(5);
    let request = asked.with_fee(asked.fee().unwrap()).unwrap();
    signer.sign_tx(&request)
}

/// A transaction of nonce 0 that mints this much, signed by the deployer's key.
fn wanted(amount: u128) -> SignedTx {
    use assay_ledger::embedded::EmbeddedChain;
    let dir = tempfile::tempdir().unwrap();
    let chain = EmbeddedChain::open(&dir.path().join("x"), &config(), || START_MS).unwrap();
    let ledger =
        assay_ledger::AssayLedger::deploy(std::sync::Arc::new(chain), &key(2), &deployment());
    let action = Action::mint(unlocked(), Stake(amount));
    ledger.unwrap().prepare(&deployer(), &action).unwrap()
}

#[test]
fn only_the_transaction_that_was_asked_for_by_the_right_key_is_taken() {
    let hex = |raw: &[u8]| json!(format!("0x{}", hex::encode(raw)));
    let good = wanted(5);
    let own = deployer().address();
    for answer in [hex(&good.raw), json!({"raw": hex(&good.raw), "tx": {}})] {
        assert_eq!(signed_by(answer, own).unwrap().raw, good.raw);
    }
    let mut flipped = good.raw.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (answer, address, text) in [
        (hex(&wanted(6).raw), own, "another transaction"),
        (hex(&good.raw), key(3).address(), "expected"),
        (hex(&flipped), own, ""),
        (hex(&good.raw[1..]), own, "something else"),
        (json!("0x"), own, "something else"),
        (json!("nonsense"), own, "unusable answer"),
        (json!({"tx": {}}), own, "unusable answer"),
        (Value::Null, own, "unusable answer"),
    ] {
        let error = signed_by(answer, address).unwrap_err().to_string();
        assert!(error.contains(text), "{text}: {error}");
        assert!(
            !error.contains("secret") && !error.contains("path"),
            "{error}"
        );
    }
}

#[test]
fn a_signer_that_refuses_or_is_away_is_named() {
    let refusing = Web::plain(|_| {
        let error = json!({"code": -32000, "message": "locked"});
        let answer = json!({"jsonrpc": "2.0", "id": 1, "error": error});
        Reply::Body(answer.to_string().into_bytes())
    })
    .unwrap();
    let url = format!("http://{}", refusing.address());
    for (url, text) in [
        (url.as_str(), "locked"),
        ("http://127.0.0.1:1", "127.0.0.1:1"),
    ] {
        let signer = RemoteSigner::new(url, None, deployer().address()).unwrap();
        let asked = wanted(5);
        let request = asked.with_fee(asked.fee().unwrap()).unwrap();
        let error = signer.sign_tx(&request).unwrap_err().to_string();
        assert!(error.contains("signer") && error.contains(text), "{error}");
    }
    assert!(RemoteSigner::new("ftp://x", None, deployer().address()).is_err());
}
