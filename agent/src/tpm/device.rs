//! One open TPM: the ESYS context, the EK and AK loaded in it, and the commands.

use super::blob::AkBlob;
use super::{Clock, Identity, QUOTED_PCRS, Quote, TpmConfig, TpmError};
use assay_protocol::hash::sha256;
use assay_protocol::ids::AkName;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;
use tss_esapi::abstraction::{AsymmetricAlgorithmSelection, ak, ek, nv};
use tss_esapi::constants::{CapabilityType, EccCurveIdentifier, SessionType};
use tss_esapi::handles::{AuthHandle, KeyHandle, NvIndexTpmHandle, SessionHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, SignatureSchemeAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::interface_types::resource_handles::NvAuth;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Attest, AttestInfo, CapabilityData, ClockInfo, Data, EncryptedSecret, IdObject,
    PcrSelectionList, PcrSlot, Private, Public, SignatureScheme, SymmetricDefinition,
};
use tss_esapi::tcti_ldr::{DeviceConfig, NetworkTPMConfig, TctiNameConf};
use tss_esapi::traits::{Marshall as _, UnMarshall as _};
use tss_esapi::{Context, WrapperErrorKind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const QUOTE_ATTEMPTS: usize = 5;
/// First handle of each kind a client can leave behind (TPM 2.0 part 2, section 7.2): transient
/// objects, loaded sessions, and sessions whose context was saved.
const LEFTOVERS: [u32; 3] = [0x8000_0000, 0x0200_0000, 0x0300_0000];
const LEFTOVERS_MAX: u32 = 254;
/// TPM2_PCR_Read returns at most eight digests a call.
const PCRS_PER_READ: usize = 8;

/// An open TPM with its EK and AK loaded.
pub(super) struct Device {
    context: Context,
    ek: KeyHandle,
    ak: KeyHandle,
    identity: Identity,
}

impl Device {
    pub fn open(config: &TpmConfig) -> Result<Self, TpmError> {
        let tcti = reachable(&config.tcti)?;
        let mut context = Context::new(tcti).map_err(TpmError::command("open"))?;
        if !has_resource_manager(&config.tcti) {
            flush_leftovers(&mut context).map_err(TpmError::command("flush"))?;
        }
        let ek_certificate = ek_certificate(&mut context, config.ek_nv_index)?;
        let rsa = AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048);
        let ek = ek::create_ek_object_2(&mut context, rsa, None)
            .map_err(TpmError::command("create EK"))?;
        let ak = load_or_create_ak(&mut context, ek, &config.ak_blob)?;
        let ek_public = public_bytes(&mut context, ek)?;
        let ak_public = public_bytes(&mut context, ak)?;
        let ak_name = name_of(&ak_public);
        let identity = Identity {
            ek_certificate,
            ek_public,
            ak_public,
            ak_name,
        };
        Ok(Self {
            context,
            ek,
            ak,
            identity,
        })
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn activate(&mut self, credential: &[u8], secret: &[u8]) -> Result<Vec<u8>, TpmError> {
        let credential = tpm2b("TPM2B_ID_OBJECT", credential, 132)?;
        let secret = tpm2b("TPM2B_ENCRYPTED_SECRET", secret, 512)?;
        let malformed = TpmError::command("activate");
        let credential = IdObject::try_from(credential).map_err(&malformed)?;
        let secret = EncryptedSecret::try_from(secret).map_err(&malformed)?;
        let session =
            endorsement_session(&mut self.context).map_err(TpmError::command("session"))?;
        let sessions = (Some(AuthSession::Password), Some(session), None);
        let (ak, ek) = (self.ak, self.ek);
        let outcome = self.context.execute_with_sessions(sessions, |context| {
            context.activate_credential(ak, ek, credential, secret)
        });
        // A used policy session may already be gone; either way nothing must be left behind.
        let _ = self
            .context
            .flush_context(SessionHandle::from(session).into());
        outcome
            .map(|digest| digest.value().to_vec())
            .map_err(refusal_or_failure)
    }

    /// Reads and quotes until both agree: an extend between the two makes them differ.
    pub fn quote(&mut self, qualifying: &[u8; 32]) -> Result<Quote, TpmError> {
        for _ in 0..QUOTE_ATTEMPTS {
            let pcrs = self.pcrs()?;
            let (attest, signature) = self.quote_once(qualifying)?;
            let values: Vec<&[u8]> = pcrs.iter().map(|(_, value)| &value[..]).collect();
            if quoted_digest(&attest) == Some(sha256(&values)) {
                let clock = clock_of(attest.clock_info());
                let attest = attest.marshall().map_err(TpmError::command("marshal"))?;
                return Ok(Quote {
                    attest,
                    signature,
                    pcrs,
                    clock,
                });
            }
        }
        Err(TpmError::PcrRace {
            attempts: QUOTE_ATTEMPTS,
        })
    }

    fn quote_once(&mut self, qualifying: &[u8; 32]) -> Result<(Attest, Vec<u8>), TpmError> {
        let failed = TpmError::command("quote");
        let qualifying = Data::try_from(&qualifying[..]).map_err(&failed)?;
        let indices: Vec<u8> = QUOTED_PCRS.collect();
        let selection = selection(&indices).map_err(&failed)?;
        let ak = self.ak;
        let (attest, signature) = self
            .context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.quote(ak, qualifying, SignatureScheme::Null, selection)
            })
            .map_err(&failed)?;
        Ok((attest, signature.marshall().map_err(&failed)?))
    }

    pub fn pcrs(&mut self) -> Result<Vec<(u8, [u8; 32])>, TpmError> {
        let indices: Vec<u8> = QUOTED_PCRS.collect();
        let mut pcrs = Vec::with_capacity(indices.len());
        for group in indices.chunks(PCRS_PER_READ) {
            pcrs.extend(read_pcrs(&mut self.context, group)?);
        }
        Ok(pcrs)
    }

    /// TPM2_GetTime without a signing key: the TSS bindings have no TPM2_ReadClock.
    pub fn clock(&mut self) -> Result<Clock, TpmError> {
        let password = Some(AuthSession::Password);
        let (attest, _) = self
            .context
            .execute_with_sessions((password, password, None), |context| {
                context.get_time(KeyHandle::Null, Data::default(), SignatureScheme::Null)
            })
            .map_err(TpmError::command("clock"))?;
        match attest.attested() {
            AttestInfo::Time { info } => Ok(clock_of(info.time_info().clock_info())),
            _ => Err(TpmError::command("clock")(tss_esapi::Error::WrapperError(
                WrapperErrorKind::WrongValueFromTpm,
            ))),
        }
    }
}

/// Parses `tcti` and makes sure that something is there, before the TSS gets to complain on its
/// own: its messages name source files, not causes.
pub(super) fn reachable(tcti: &str) -> Result<TctiNameConf, TpmError> {
    let wrong = || TpmError::Tcti {
        actual: tcti.into(),
    };
    let missing = |source| TpmError::Missing {
        tcti: tcti.into(),
        source,
    };
    if let Some(path) = tcti
        .strip_prefix("device:")
        .filter(|path| path.starts_with('/'))
    {
        if !tcti.ends_with("tpm0") {
            // Opening /dev/tpm0 twice is refused by the kernel: leave that one to the TSS.
            std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .map_err(missing)?;
        } else if !Path::new(path).exists() {
            return Err(missing(std::io::ErrorKind::NotFound.into()));
        }
        return DeviceConfig::from_str(path)
            .map(TctiNameConf::Device)
            .map_err(|_| wrong());
    }
    let network = tcti.strip_prefix("swtpm:").ok_or_else(wrong)?;
    let (host, port) = host_and_port(network).ok_or_else(wrong)?;
    let mut addresses = (host, port).to_socket_addrs().map_err(missing)?;
    let address = addresses.next().ok_or_else(wrong)?;
    TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(missing)?;
    NetworkTPMConfig::from_str(network)
        .map(TctiNameConf::Swtpm)
        .map_err(|_| wrong())
}

fn host_and_port(network: &str) -> Option<(&str, u16)> {
    let (host, port) = network.strip_prefix("host=")?.split_once(",port=")?;
    Some((host, port.parse().ok()?))
}

/// At most [`PCRS_PER_READ`] registers of the SHA-256 bank.
pub(super) fn read_pcrs(
    context: &mut Context,
    indices: &[u8],
) -> Result<Vec<(u8, [u8; 32])>, TpmError> {
    let failed = TpmError::command("read PCRs");
    let wanted = selection(indices).map_err(&failed)?;
    let read = context.execute_without_session(|context| context.pcr_read(wanted));
    let (_, _, digests) = read.map_err(&failed)?;
    let values: Vec<[u8; 32]> = digests
        .value()
        .iter()
        .filter_map(|digest| digest.value().try_into().ok())
        .collect();
    if values.len() != indices.len() {
        return Err(TpmError::PcrBank {
            actual: values.len(),
            expected: indices.len(),
        });
    }
    Ok(indices.iter().copied().zip(values).collect())
}

/// Linux keeps apart what several programs load through `/dev/tpmrm0`, and flushes what a dead one left. What is listed
/// there are other programs' sessions.
fn has_resource_manager(tcti: &str) -> bool {
    let device = tcti.strip_prefix("device:").map(Path::new);
    let name = device
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("tpmrm"))
}

/// A client that died without flushing leaves its objects and sessions; two runs later the TPM is
/// out of session memory (0x903). What its owner flushes meanwhile, because it is ending, is gone as well.
fn flush_leftovers(context: &mut Context) -> tss_esapi::Result<()> {
    for first in LEFTOVERS {
        for handle in loaded(context, first)? {
            let flushed = flush(context, handle);
            if flushed.is_err() && loaded(context, first)?.contains(&handle) {
                return flushed;
            }
        }
    }
    Ok(())
}

/// What is loaded, from this handle on.
fn loaded(context: &mut Context, first: u32) -> tss_esapi::Result<Vec<TpmHandle>> {
    let (data, _) = context.execute_without_session(|context| {
        context.get_capability(CapabilityType::Handles, first, LEFTOVERS_MAX)
    })?;
    Ok(match data {
        CapabilityData::Handles(handles) => handles.into_inner(),
        _ => Vec::new(),
    })
}

fn flush(context: &mut Context, handle: TpmHandle) -> tss_esapi::Result<()> {
    let object = context.execute_without_session(|context| context.tr_from_tpm_public(handle))?;
    match context.flush_context(object) {
        // The binding's bookkeeping expects policy sessions to be closed, after flushing them.
        Err(tss_esapi::Error::WrapperError(WrapperErrorKind::InvalidHandleState)) => Ok(()),
        other => other,
    }
}

fn ek_certificate(context: &mut Context, index: u32) -> Result<Vec<u8>, TpmError> {
    let failed = |source| TpmError::EkCertificate { index, source };
    let handle = NvIndexTpmHandle::new(index).map_err(failed)?;
    let object = context
        .execute_without_session(|context| context.tr_from_tpm_public(TpmHandle::NvIndex(handle)))
        .map_err(failed)?;
    context
        .execute_with_session(Some(AuthSession::Password), |context| {
            nv::read_full(context, NvAuth::NvIndex(object.into()), handle)
        })
        .map_err(failed)
}

fn load_or_create_ak(
    context: &mut Context,
    ek: KeyHandle,
    path: &Path,
) -> Result<KeyHandle, TpmError> {
    let blob = match AkBlob::load(path)? {
        Some(blob) => blob,
        None => {
            let blob = create_ak(context, ek).map_err(TpmError::command("create AK"))?;
            blob.store(path)?;
            blob
        }
    };
    let damaged = |reason| TpmError::BlobDamaged {
        path: path.into(),
        reason,
    };
    let public = Public::unmarshall(&blob.public).map_err(|_| damaged("public area unreadable"))?;
    let private = Private::try_from(blob.private).map_err(|_| damaged("private area too long"))?;
    ak::load_ak(context, ek, None, private, public).map_err(|source| match source {
        tss_esapi::Error::Tss2Error(code) if is_parameter_error(code) => TpmError::BlobRefused {
            path: path.into(),
            source,
        },
        _ => TpmError::Command {
            call: "load AK",
            source,
        },
    })
}

/// A restricted signing key in the endorsement hierarchy, so that reset and restart counters in
/// its quotes are not obfuscated: ECDSA P-256, or RSASSA-2048 where the TPM has no ECC.
fn create_ak(context: &mut Context, ek: KeyHandle) -> tss_esapi::Result<AkBlob> {
    let (key, scheme) = if has_p256(context)? {
        let key = AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256);
        (key, SignatureSchemeAlgorithm::EcDsa)
    } else {
        let key = AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048);
        (key, SignatureSchemeAlgorithm::RsaSsa)
    };
    let made = ak::create_ak_2(
        context,
        ek,
        HashingAlgorithm::Sha256,
        key,
        scheme,
        None,
        None,
    )?;
    Ok(AkBlob {
        public: made.out_public.marshall()?,
        private: made.out_private.value().to_vec(),
    })
}

fn has_p256(context: &mut Context) -> tss_esapi::Result<bool> {
    let (data, _) = context.execute_without_session(|context| {
        context.get_capability(CapabilityType::EccCurves, 0, LEFTOVERS_MAX)
    })?;
    Ok(match data {
        CapabilityData::EccCurves(curves) => {
            curves.into_inner().contains(&EccCurveIdentifier::NistP256)
        }
        _ => false,
    })
}

/// The EK's policy: PolicySecret of the endorsement hierarchy (EK Credential Profile, B.6.2).
fn endorsement_session(context: &mut Context) -> tss_esapi::Result<AuthSession> {
    let session = context
        .execute_without_session(|context| {
            context.start_auth_session(
                None,
                None,
                None,
                SessionType::Policy,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            )
        })?
        .ok_or(tss_esapi::Error::WrapperError(
            WrapperErrorKind::WrongValueFromTpm,
        ))?;
    let policy = PolicySession::try_from(session)?;
    let satisfied = context.execute_with_session(Some(AuthSession::Password), |context| {
        context.policy_secret(
            policy,
            AuthHandle::Endorsement,
            Default::default(),
            Default::default(),
            Default::default(),
            None,
        )
    });
    match satisfied {
        Ok(_) => Ok(session),
        Err(error) => {
            let _ = context.flush_context(SessionHandle::from(session).into());
            Err(error)
        }
    }
}

/// A format-one code of ActivateCredential is about what the peer sent; anything else is the TPM.
fn refusal_or_failure(source: tss_esapi::Error) -> TpmError {
    match source {
        tss_esapi::Error::Tss2Error(code) if is_parameter_error(code) => {
            TpmError::CredentialRefused { source }
        }
        _ => TpmError::Command {
            call: "activate",
            source,
        },
    }
}

fn is_parameter_error(code: tss_esapi::constants::response_code::Tss2ResponseCode) -> bool {
    matches!(
        code,
        tss_esapi::constants::response_code::Tss2ResponseCode::FormatOne(_)
    )
}

fn public_bytes(context: &mut Context, key: KeyHandle) -> Result<Vec<u8>, TpmError> {
    let failed = TpmError::command("read public area");
    let read = context.execute_without_session(|context| context.read_public(key));
    let (public, _, _) = read.map_err(&failed)?;
    public.marshall().map_err(&failed)
}

/// TPM 2.0 part 1, section 16: algorithm id ‖ hash of the public area.
fn name_of(public: &[u8]) -> AkName {
    let mut name = [0; AkName::LEN];
    let (algorithm, digest) = name.split_at_mut(2);
    algorithm.copy_from_slice(&[0x00, 0x0b]);
    digest.copy_from_slice(&sha256(&[public]));
    AkName(name)
}

/// Content of a TPM2B with exactly its announced size.
fn tpm2b(what: &'static str, bytes: &[u8], max: usize) -> Result<Vec<u8>, TpmError> {
    let content = bytes
        .split_first_chunk::<2>()
        .filter(|(size, content)| usize::from(u16::from_be_bytes(**size)) == content.len())
        .filter(|(_, content)| content.len() <= max);
    match content {
        Some((_, content)) => Ok(content.to_vec()),
        None => Err(TpmError::Malformed {
            what,
            max,
            actual: bytes.len(),
        }),
    }
}

fn selection(indices: &[u8]) -> tss_esapi::Result<PcrSelectionList> {
    let slots: Vec<PcrSlot> = indices
        .iter()
        .filter_map(|index| PcrSlot::try_from(1u32.checked_shl(u32::from(*index))?).ok())
        .collect();
    PcrSelectionList::builder()
        .with_selection(HashingAlgorithm::Sha256, &slots)
        .build()
}

fn quoted_digest(attest: &Attest) -> Option<[u8; 32]> {
    match attest.attested() {
        AttestInfo::Quote { info } => info.pcr_digest().value().try_into().ok(),
        _ => None,
    }
}

fn clock_of(info: &ClockInfo) -> Clock {
    Clock {
        clock_ms: info.clock(),
        reset_count: info.reset_count(),
        restart_count: info.restart_count(),
        safe: info.safe(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions of other programs are theirs; without a resource manager there are no others.
    #[test]
    fn only_a_tpm_of_ones_own_is_tidied_up() {
        assert!(has_resource_manager("device:/dev/tpmrm0"));
        assert!(!has_resource_manager("device:/dev/tpm0"));
        assert!(!has_resource_manager("swtpm:host=tpmrm0,port=2321"));
    }
}
