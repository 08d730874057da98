//! The network's token, as far as amounts need to know it.

use alloy_primitives::Address;
use assay_protocol::amount::{DECIMALS_MAX, DECIMALS_USUAL, Gwei};
use assay_protocol::ids;

use crate::abi::TestToken;
use crate::chain::{Chain, Finality};
use crate::client::{AssayLedger, LedgerError, read};

/// Decimals of an ERC-20 token; 18 of one without `decimals`, which EIP-20 leaves optional.
pub fn decimals_of(chain: &dyn Chain, token: ids::Address) -> Result<u8, LedgerError> {
    let at = Address::from(token.0);
    match read(chain, at, Finality::Latest, &TestToken::decimalsCall {}) {
        Err(LedgerError::Reverted { .. } | LedgerError::BadAnswer { .. }) => Ok(DECIMALS_USUAL),
        answered => answered,
    }
}

impl AssayLedger {
    /// Decimals of the network's token, as the chain says.
    pub fn token_decimals(&self) -> Result<u8, LedgerError> {
        decimals_of(self.chain().as_ref(), self.contracts().token)
    }

    /// What amounts call a gwei of it, as the chain says: to show amounts, not to pay them by.
    pub fn gwei(&self) -> Result<Gwei, LedgerError> {
        let actual = self.token_decimals()?;
        Gwei::of_decimals(actual).ok_or(LedgerError::TooManyDecimals {
            token: self.contracts().token,
            expected: DECIMALS_MAX,
            actual,
        })
    }
}
