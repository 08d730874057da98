//! The contract's ABI, read from the interface the contract implements; a test holds it equal to the artefact's.

use alloy_primitives::Bytes;
use alloy_sol_types::SolInterface;

#[allow(missing_docs, clippy::too_many_arguments)]
mod generated {
    alloy_sol_types::sol!(#![sol(all_derives)] "../contracts/src/IAssayLedger.sol");
}

pub use generated::IAssayLedger;

/// The checked-in compiler output (`ledger-bridge/contracts/compile.mjs`).
pub const ARTIFACT: &str = include_str!("../../contracts/artifacts/AssayLedger.json");

/// Creation code of the contract, from [`ARTIFACT`]; constructor arguments are appended to it.
pub fn creation_code() -> Option<Vec<u8>> {
    let artifact: serde_json::Value = serde_json::from_str(ARTIFACT).ok()?;
    hex::decode(artifact.get("bytecode")?.as_str()?.strip_prefix("0x")?).ok()
}

/// A contract error: its name, and its name with arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// Name of the custom error, `Error`, `Panic`, or `unknown`.
    pub name: &'static str,
    /// Name and arguments, for people.
    pub detail: String,
}

/// Decodes revert data to the contract's custom error.
pub fn decode_revert(data: &Bytes) -> Revert {
    use IAssayLedger::IAssayLedgerErrors as Errors;
    if let Ok(error) = Errors::abi_decode_validate(data) {
        let name = Errors::name_by_selector(error.selector()).unwrap_or("unknown");
        return Revert {
            name,
            detail: arguments(&format!("{error:?}")),
        };
    }
    if data.is_empty() {
        return Revert {
            name: "unknown",
            detail: "no reason given (out of gas, or a call to no contract)".into(),
        };
    }
    Revert {
        name: "unknown",
        detail: data.to_string(),
    }
}

/// `WrongEpoch(WrongEpoch { expected: 0 })` reads better as `WrongEpoch { expected: 0 }`.
fn arguments(debug: &str) -> String {
    let inner = debug
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(debug).to_owned()
}
