//! One extension of one register, without keys.

use super::device::{reachable, read_pcrs};
use super::{Extended, TpmError};
use assay_protocol::hash::sha256;
use tss_esapi::Context;
use tss_esapi::handles::PcrHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Digest, DigestValues};

const ALG_SHA256: u16 = 0x000b;

/// See [`super::extend_once`].
pub(super) fn once(
    tcti: &str,
    pcr: u8,
    (before, digests): (&[u8; 32], &[(u16, Vec<u8>)]),
) -> Result<Extended, TpmError> {
    let failed = TpmError::command("extend");
    let mut context = Context::new(reachable(tcti)?).map_err(TpmError::command("open"))?;
    let actual = value(&mut context, pcr)?;
    let measured = digests.iter().find(|(bank, _)| *bank == ALG_SHA256);
    let digest = measured.map_or(&[][..], |(_, digest)| digest);
    let after = sha256(&[before, digest]);
    if actual == after {
        return Ok(Extended::Before);
    }
    if actual != *before || digest.is_empty() {
        return Err(TpmError::PcrTaken {
            pcr,
            actual: hex::encode(actual),
            before: hex::encode(before),
            after: hex::encode(after),
        });
    }
    let handle = PcrHandle::try_from(u32::from(pcr)).map_err(&failed)?;
    let values = values(digests).map_err(&failed)?;
    context
        .execute_with_session(Some(AuthSession::Password), |context| {
            context.pcr_extend(handle, values)
        })
        .map_err(&failed)?;
    Ok(Extended::Now)
}

fn value(context: &mut Context, pcr: u8) -> Result<[u8; 32], TpmError> {
    let read = read_pcrs(context, &[pcr])?;
    read.first()
        .map(|(_, value)| *value)
        .ok_or(TpmError::PcrBank {
            actual: 0,
            expected: 1,
        })
}

fn values(digests: &[(u16, Vec<u8>)]) -> tss_esapi::Result<DigestValues> {
    let mut values = DigestValues::new();
    for (bank, digest) in digests {
        values.set(algorithm(*bank)?, Digest::try_from(digest.clone())?);
    }
    Ok(values)
}

fn algorithm(bank: u16) -> tss_esapi::Result<HashingAlgorithm> {
    match bank {
        0x0004 => Ok(HashingAlgorithm::Sha1),
        ALG_SHA256 => Ok(HashingAlgorithm::Sha256),
        0x000c => Ok(HashingAlgorithm::Sha384),
        0x000d => Ok(HashingAlgorithm::Sha512),
        _ => Err(tss_esapi::Error::WrapperError(
            tss_esapi::WrapperErrorKind::UnsupportedParam,
        )),
    }
}
