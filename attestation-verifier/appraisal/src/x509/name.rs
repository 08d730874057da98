//! Names, as far as anything is read from them: attributes of the subject, for people and for AMD's
//! product names. Names are compared byte for byte, never by their attributes.

use crate::crypto::der::{self, Der, DerError};

/// Common name.
pub const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// The first value of an attribute of a name (its whole DER element), when it is there and is text.
pub fn attribute(name: &[u8], oid: &[u8]) -> Result<Option<String>, DerError> {
    let mut outer = Der::new(name);
    let mut sets = outer.enter("name", der::SEQUENCE)?;
    while !sets.is_empty() {
        let mut set = sets.enter("relative name", der::SET)?;
        while !set.is_empty() {
            let mut pair = set.enter("attribute", der::SEQUENCE)?;
            let kind = pair.oid("attribute type")?;
            let value = pair.any("attribute value")?;
            if kind == oid {
                return Ok(Some(String::from_utf8_lossy(value.content).into_owned()));
            }
        }
    }
    Ok(None)
}
