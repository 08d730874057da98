//! A chain around another one: what it does not do by itself it passes on.

/// In an `impl Chain`, all that no wrapper changes, passed on to a field. `market` and `call_at` each writes itself.
macro_rules! passes_on {
    ($field:tt) => {
        fn chain_id(&self) -> Result<u64, ::assay_ledger::ChainError> {
            self.$field.chain_id()
        }
        fn block(
            &self,
            at: ::assay_ledger::Finality,
        ) -> Result<::assay_ledger::Block, ::assay_ledger::ChainError> {
            self.$field.block(at)
        }
        fn estimate_gas(
            &self,
            trial: &::assay_ledger::Trial<'_>,
        ) -> Result<u64, ::assay_ledger::ChainError> {
            self.$field.estimate_gas(trial)
        }
        fn send_raw(
            &self,
            raw: &[u8],
        ) -> Result<::alloy_primitives::B256, ::assay_ledger::ChainError> {
            self.$field.send_raw(raw)
        }
        fn receipt(
            &self,
            hash: ::alloy_primitives::B256,
        ) -> Result<Option<::assay_ledger::Receipt>, ::assay_ledger::ChainError> {
            self.$field.receipt(hash)
        }
        fn input(
            &self,
            hash: ::alloy_primitives::B256,
        ) -> Result<Option<::alloy_primitives::Bytes>, ::assay_ledger::ChainError> {
            self.$field.input(hash)
        }
        fn nonce_at(
            &self,
            address: ::alloy_primitives::Address,
            at: ::assay_ledger::Finality,
        ) -> Result<u64, ::assay_ledger::ChainError> {
            self.$field.nonce_at(address, at)
        }
        fn balance(
            &self,
            address: ::alloy_primitives::Address,
        ) -> Result<::alloy_primitives::U256, ::assay_ledger::ChainError> {
            self.$field.balance(address)
        }
        fn code(
            &self,
            address: ::alloy_primitives::Address,
        ) -> Result<::alloy_primitives::Bytes, ::assay_ledger::ChainError> {
            self.$field.code(address)
        }
        fn logs(
            &self,
            query: &::assay_ledger::LogQuery,
            at: ::assay_ledger::Finality,
        ) -> Result<Vec<::assay_ledger::Event>, ::assay_ledger::ChainError> {
            self.$field.logs(query, at)
        }
    };
}

pub(crate) use passes_on;
