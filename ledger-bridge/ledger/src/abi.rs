//! The contracts' ABIs and creation code, from the artefacts that `ledger-bridge/contracts/compile.mjs` writes and CI
//! proves current.

use alloy_primitives::Bytes;
use alloy_sol_types::SolInterface;

/// One module a contract: structs that several ABIs share are a type in each.
macro_rules! contracts {
    ($($module:ident: $name:ident, $errors:ident from $path:literal,)*) => {
        $(
            #[allow(missing_docs, clippy::too_many_arguments, clippy::pub_underscore_fields)]
            pub(crate) mod $module {
                alloy_sol_types::sol!(#[sol(all_derives)] $name, $path);
            }
            pub use $module::$name;
        )*

        /// The error of any contract: they call each other, so that one's error comes out of another.
        fn known(data: &Bytes) -> Option<Revert> {
            $(
                if let Ok(error) = $module::$name::$errors::abi_decode_validate(data) {
                    let name = $module::$name::$errors::name_by_selector(error.selector())?;
                    return Some(Revert { name, detail: arguments(&format!("{error:?}")) });
                }
            )*
            None
        }
    };
}

contracts! {
    token: TestToken, TestTokenErrors from "../contracts/artifacts/TestToken.json",
    quorum: EcdsaQuorum, EcdsaQuorumErrors from "../contracts/artifacts/EcdsaQuorum.json",
    epochs: AssayEpochs, AssayEpochsErrors from "../contracts/artifacts/AssayEpochs.json",
    rewards: AssayRewards, AssayRewardsErrors from "../contracts/artifacts/AssayRewards.json",
    stake: AssayStake, AssayStakeErrors from "../contracts/artifacts/AssayStake.json",
    nodes: AssayNodes, AssayNodesErrors from "../contracts/artifacts/AssayNodes.json",
    reservations: AssayReservations, AssayReservationsErrors from "../contracts/artifacts/AssayReservations.json",
    faults: AssayFaults, AssayFaultsErrors from "../contracts/artifacts/AssayFaults.json",
}

/// A contract error: its name, and its name with arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// Name of the custom error, or `unknown`.
    pub name: &'static str,
    /// Name and arguments, for people.
    pub detail: String,
}

/// Decodes revert data to the custom error of whichever contract has it.
pub fn decode_revert(data: &Bytes) -> Revert {
    known(data).unwrap_or_else(|| Revert {
        name: "unknown",
        detail: match data.is_empty() {
            true => "no reason given (out of gas, or a call to no contract)".into(),
            false => data.to_string(),
        },
    })
}

/// `WrongEpoch(WrongEpoch { expected: 0 })` reads better as `WrongEpoch { expected: 0 }`.
fn arguments(debug: &str) -> String {
    let inner = debug
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(debug).to_owned()
}
