//! The Rust ABI, the interface and the compiled artefact say the same.

use std::collections::BTreeSet;

use alloy_primitives::keccak256;
use alloy_sol_types::SolStruct;
use assay_ledger::abi::{ARTIFACT, IAssayLedger as Abi};
use serde_json::Value;

fn entries(kind: &str) -> Vec<Value> {
    let artifact: Value = serde_json::from_str(ARTIFACT).unwrap();
    let abi = artifact["abi"].as_array().unwrap().clone();
    abi.into_iter()
        .filter(|entry| entry["type"] == kind)
        .collect()
}

/// `(bytes32,(address,uint96)[])` of a list of parameters.
fn types(parameters: &Value) -> String {
    let one = |p: &Value| match p["type"].as_str().unwrap().strip_prefix("tuple") {
        Some(array) => types(&p["components"]) + array,
        None => p["type"].as_str().unwrap().to_owned(),
    };
    let list: Vec<String> = parameters.as_array().unwrap().iter().map(one).collect();
    format!("({})", list.join(","))
}

fn selectors<const N: usize>(kind: &str) -> BTreeSet<[u8; N]> {
    let hash = |e: &Value| {
        keccak256(format!(
            "{}{}",
            e["name"].as_str().unwrap(),
            types(&e["inputs"])
        ))
    };
    entries(kind)
        .iter()
        .map(|e| hash(e)[..N].try_into().unwrap())
        .collect()
}

#[test]
fn functions_errors_and_events_are_those_of_the_artefact() {
    let set = |list: &[[u8; 4]]| list.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(
        set(Abi::IAssayLedgerCalls::SELECTORS),
        selectors::<4>("function")
    );
    assert_eq!(
        set(Abi::IAssayLedgerErrors::SELECTORS),
        selectors::<4>("error")
    );
    let events: BTreeSet<[u8; 32]> = Abi::IAssayLedgerEvents::SELECTORS.iter().copied().collect();
    assert_eq!(events, selectors::<32>("event"));
}

/// Outputs are in no selector, so the structs are compared field by field.
#[test]
fn structs_are_those_of_the_artefact() {
    let mut found = BTreeSet::new();
    for entry in entries("function").iter().chain(&entries("constructor")) {
        for list in ["inputs", "outputs"] {
            entry[list]
                .as_array()
                .into_iter()
                .flatten()
                .for_each(|p| collect(p, &mut found));
        }
    }
    let rust = [
        Abi::Parameters::eip712_root_type(),
        Abi::Member::eip712_root_type(),
        Abi::HyperNode::eip712_root_type(),
        Abi::EpochRoot::eip712_root_type(),
        Abi::NodeLeaf::eip712_root_type(),
        Abi::EpochRecord::eip712_root_type(),
        Abi::Registration::eip712_root_type(),
        Abi::NodeAccount::eip712_root_type(),
        Abi::NodeView::eip712_root_type(),
    ];
    let rust: BTreeSet<String> = rust.into_iter().map(|s| s.into_owned()).collect();
    assert_eq!(rust, found);
}

fn name(parameter: &Value) -> Option<String> {
    let internal = parameter["internalType"].as_str().unwrap();
    internal
        .strip_prefix("struct IAssayLedger.")
        .map(|n| n.trim_end_matches("[]").to_owned())
}

fn collect(parameter: &Value, found: &mut BTreeSet<String>) {
    let Some(own) = name(parameter) else { return };
    let components = parameter["components"].as_array().unwrap();
    let field = |c: &Value| {
        format!(
            "{} {}",
            name(c).unwrap_or(c["type"].as_str().unwrap().into()),
            c["name"].as_str().unwrap()
        )
    };
    let fields: Vec<String> = components.iter().map(field).collect();
    found.insert(format!("{own}({})", fields.join(",")));
    components.iter().for_each(|c| collect(c, found));
}

#[test]
fn the_signed_type_is_the_one_the_design_fixes() {
    assert_eq!(
        Abi::EpochRoot::eip712_root_type(),
        "EpochRoot(bytes32 networkId,uint64 epoch,uint32 round,bytes32 inputSet,bytes32 committee,bytes32 root,\
         uint32 leafCount,bytes32 evidenceRoot,bytes32 policyDigest,bytes32 nextCommittee)"
    );
}
