//! AMD's revocation lists (RFC 5280 section 5; KDS specification 57230, section 3.3): of one product, signed by its
//! ARK.

use super::known::ChainCache;
use super::verify::RevocationList;
use crate::crypto::signature::Sha1;
use crate::x509::Certificate;
use crate::x509::crl::{Crl, Status};
use assay_protocol::ids::UnixMs;

/// A list as it was received: it counts only when the ARK signed it and it is current.
#[derive(Clone, Copy)]
pub struct ArkList<'a> {
    /// DER.
    pub bytes: &'a [u8],
    /// Where the list's signature is remembered.
    pub cache: &'a ChainCache,
}

impl RevocationList for ArkList<'_> {
    fn is_revoked(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        at: UnixMs,
    ) -> Result<bool, String> {
        let list = Crl::parse(self.bytes).map_err(|e| e.to_string())?;
        let list = list.verify(issuer, Sha1::Refused, &self.cache.signatures);
        let list = list.map_err(|e| e.to_string())?;
        match list.status(certificate, at).map_err(|e| e.to_string())? {
            Status::Good => Ok(false),
            Status::Revoked => Ok(true),
            Status::Unknown(why) => Err(why.to_string()),
        }
    }
}
