//! What a certificate says about the TPM in its subjectAltName (TCG EK Credential Profile for TPM 2.0, section
//! 3.2.9): the vendor's words, read for people and never used to decide.

use crate::crypto::der::{self, Der, DerError};
use crate::x509::Certificate;
use crate::x509::extension::{LIST_MAX, SUBJECT_ALT_NAME};
use crate::x509::name;

/// tcg-at-tpmManufacturer, -Model, -Version.
const MANUFACTURER: &[u8] = &[0x67, 0x81, 0x05, 2, 1];
const MODEL: &[u8] = &[0x67, 0x81, 0x05, 2, 2];
const VERSION: &[u8] = &[0x67, 0x81, 0x05, 2, 3];
/// id-on-hardwareModuleName (RFC 4108 section 5).
const HARDWARE_MODULE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 4];
/// otherName and directoryName of a GeneralName.
const OTHER_NAME: u8 = 0xa0;
const DIRECTORY_NAME: u8 = 0xa4;

/// The names a certificate gives to a TPM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TpmNames {
    /// `id:` and the vendor id in hexadecimal (TCG Vendor ID Registry), such as `id:53544D20`.
    pub manufacturer: Option<String>,
    /// The vendor's model.
    pub model: Option<String>,
    /// `id:` and the firmware version when the certificate was made.
    pub version: Option<String>,
    /// The hardware module's name, as device identity certificates have it.
    pub module: Option<HardwareModule>,
}

/// HardwareModuleName: a type and a serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardwareModule {
    /// The type, object identifier content.
    pub kind: Vec<u8>,
    /// The serial number; for TPMs `manufacturer:EK authority key id:EK serial` (TCG "TPM 2.0 Keys for Device
    /// Identity and Attestation", section 8.2).
    pub serial: Vec<u8>,
}

impl TpmNames {
    /// Reads a certificate's subjectAltName; empty when it has none. A name given twice is an error.
    pub fn of(certificate: &Certificate<'_>) -> Result<Self, DerError> {
        let mut names = Self::default();
        let Some(extension) = certificate.extension(SUBJECT_ALT_NAME) else {
            return Ok(names);
        };
        let mut outer = Der::new(extension.value);
        let mut list = outer.enter("subjectAltName", der::SEQUENCE)?;
        outer.finish("subjectAltName")?;
        let mut count = 0usize;
        while !list.is_empty() {
            count = count.saturating_add(1);
            if count > LIST_MAX {
                return Err(DerError::value(
                    "subjectAltName",
                    "at most 32 names",
                    "more",
                ));
            }
            let general = list.any("generalName")?;
            match general.tag {
                DIRECTORY_NAME => names.directory(general.content)?,
                OTHER_NAME => names.other(general.content)?,
                _ => {}
            }
        }
        Ok(names)
    }

    fn directory(&mut self, content: &[u8]) -> Result<(), DerError> {
        for (kind, value) in name::attributes(content)? {
            let slot = match kind {
                MANUFACTURER => &mut self.manufacturer,
                MODEL => &mut self.model,
                VERSION => &mut self.version,
                _ => continue,
            };
            once(slot, name::clean(value))?;
        }
        Ok(())
    }

    fn other(&mut self, content: &[u8]) -> Result<(), DerError> {
        let mut r = Der::new(content);
        if r.oid("otherName")? != HARDWARE_MODULE {
            return Ok(());
        }
        let mut wrapper = r.enter("otherName", 0xa0)?;
        r.finish("otherName")?;
        let mut module = wrapper.enter("hardwareModuleName", der::SEQUENCE)?;
        wrapper.finish("hardwareModuleName")?;
        let kind = module.oid("hwType")?.to_vec();
        let serial = module
            .take("hwSerialNum", der::OCTET_STRING)?
            .content
            .to_vec();
        module.finish("hardwareModuleName")?;
        once(&mut self.module, HardwareModule { kind, serial })
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), DerError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DerError::value(
            "subjectAltName",
            "each name once",
            "one twice",
        )),
    }
}
