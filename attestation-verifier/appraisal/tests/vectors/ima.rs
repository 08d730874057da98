//! IMA measurement lists.

use crate::{Row, Shown};
use std::path::Path;

/// One row of the index.
pub fn row(_root: &Path, _row: &Row) -> Result<Shown, String> {
    Ok(Shown::Skipped("not implemented"))
}

/// One derived case: an error is a refusal.
pub fn case(_folder: &Path, _manifest: &serde_json::Value) -> Result<(), String> {
    Err("not implemented".into())
}
