//! Published Merkle vectors of transparency-dev/merkle, where the vector folder is at hand.

use assay_log::{base64, verify_consistency, verify_inclusion};
use assay_protocol::ids::Digest;
use serde_json::Value;
use std::path::PathBuf;

fn vector_file() -> Option<PathBuf> {
    let beside_repository =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/vectors");
    let root = std::env::var_os("ASSAY_VECTORS").map_or(beside_repository, PathBuf::from);
    let file = root.join("tlog/transparency-dev__merkle/merkle-proofs.json");
    if file.exists() {
        return Some(file);
    }
    eprintln!("NOT TESTED: Merkle vectors absent at {}", file.display());
    eprintln!("hint: set ASSAY_VECTORS to the folder that holds tlog/");
    None
}

/// `None` for a hash that is not 32 bytes: our types cannot even express such a case.
fn digest(value: &Value) -> Option<Digest> {
    Digest::try_from(base64::decode(value.as_str()?)?.as_slice()).ok()
}

fn proof(value: &Value) -> Option<Vec<Digest>> {
    match value {
        Value::Null => Some(Vec::new()),
        list => list.as_array()?.iter().map(digest).collect(),
    }
}

fn inclusion(case: &Value) -> Option<bool> {
    let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
    let (leaf, root) = (digest(&case["leafHash"])?, digest(&case["root"])?);
    Some(verify_inclusion(&leaf, index, size, &proof(&case["proof"])?, &root).is_ok())
}

fn consistency(case: &Value) -> Option<bool> {
    let (old, new) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
    let (old_root, new_root) = (digest(&case["root1"])?, digest(&case["root2"])?);
    Some(verify_consistency(old, new, &proof(&case["proof"])?, &old_root, &new_root).is_ok())
}

#[test]
fn published_merkle_vectors() {
    let Some(file) = vector_file() else { return };
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let (mut accepted, mut refused, mut not_expressible) = (0, 0, 0);
    for case in &cases {
        let result = match case["_kind"].as_str().unwrap() {
            "inclusion" => inclusion(case),
            "consistency" => consistency(case),
            other => panic!("unknown kind {other}"),
        };
        let wanted = !case["wantErr"].as_bool().unwrap();
        if let Some(result) = result {
            assert_eq!(result, wanted, "{}: {}", case["_path"], case["desc"]);
        }
        match result {
            Some(true) => accepted += 1,
            Some(false) => refused += 1,
            None => not_expressible += 1,
        }
    }
    println!("{accepted} accepted, {refused} refused, {not_expressible} not expressible");
    assert_eq!((accepted, refused), (11, 132));
}
