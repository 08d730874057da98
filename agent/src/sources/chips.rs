//! The ids of this machine's processors, read on the host.

use super::report::SourceError;
use assay_devices::HostDevice;
use assay_protocol::ids::ChipId;
use assay_protocol::limits::CHIP_IDS_MAX;
use std::path::Path;

/// Reads the ids by `/dev/sev`. They do not change while the machine runs, so once is enough, and root is needed no
/// longer.
pub fn read(device: &Path) -> Result<Vec<ChipId>, SourceError> {
    let path = || device.to_owned();
    let opened = HostDevice::open(device).map_err(|source| SourceError::File {
        path: path(),
        source,
    })?;
    let bytes = opened.chip_ids().map_err(|source| SourceError::Device {
        path: path(),
        source,
    })?;
    split(&bytes).ok_or_else(|| SourceError::Unexpected {
        path: path(),
        expected: format!("1 to {CHIP_IDS_MAX} chip ids of 64 bytes, or one that is shorter"),
        actual: format!("{} bytes: {}", bytes.len(), hex::encode(&bytes)),
    })
}

/// One id a socket, each of 64 bytes. A single shorter one (Turin's has 8) is padded with zeros as reports pad it, and
/// zeros alone are a socket that is not there.
fn split(bytes: &[u8]) -> Option<Vec<ChipId>> {
    let (whole, rest) = bytes.as_chunks::<{ ChipId::LEN }>();
    let mut ids: Vec<ChipId> = whole.iter().copied().map(ChipId).collect();
    if !rest.is_empty() {
        if !ids.is_empty() {
            return None;
        }
        let mut padded = [0; ChipId::LEN];
        padded.get_mut(..rest.len())?.copy_from_slice(rest);
        ids.push(ChipId(padded));
    }
    ids.retain(|id| id.0 != [0; ChipId::LEN]);
    (1..=CHIP_IDS_MAX).contains(&ids.len()).then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_id_for_each_socket() {
        let two = [[1; 64], [2; 64]];
        let ids = two.map(ChipId).to_vec();
        assert_eq!(split(two.as_flattened()), Some(ids));
        let eight = [[3; 64]; 8];
        assert_eq!(split(eight.as_flattened()).unwrap().len(), 8);
        // The second socket of a one-socket machine.
        let one = [[1; 64], [0; 64]];
        assert_eq!(split(one.as_flattened()), Some(vec![ChipId([1; 64])]));
    }

    #[test]
    fn a_short_id_is_padded_as_in_reports() {
        let mut padded = [0; 64];
        padded[..8].fill(7);
        assert_eq!(split(&[7; 8]), Some(vec![ChipId(padded)]));
    }

    #[test]
    fn no_id_too_many_and_pieces_are_refused() {
        assert_eq!(split(&[]), None);
        assert_eq!(split(&[0; 64]), None);
        assert_eq!(split(&[0; 8]), None);
        assert_eq!(split(&[1; 72]), None);
        assert_eq!(split(&[1; 9 * 64]), None);
    }

    #[test]
    fn a_device_that_is_not_one_is_named() {
        let error = read(Path::new("/dev/null")).unwrap_err().to_string();
        assert!(
            error.starts_with("/dev/null: SEV_GET_ID2: ENOTTY"),
            "{error}"
        );
        let error = read(Path::new("/nowhere/sev")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/sev: No such file"), "{error}");
    }
}
