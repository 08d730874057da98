//! Which certificate is meant: the key of cache and request, and AMD's name for it (VCEK Certificate and KDS
//! Interface Specification, publication 57230).

pub use assay_appraisal::snp::Product;
use assay_protocol::ids::ChipId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most characters of a service's address.
const URL_CHARS_MAX: usize = 200;

/// The parts of a TCB_VERSION: name in the request and place among its eight bytes, least significant first
/// (SEV-SNP ABI specification, publication 56860, TCB_VERSION). What is not named is reserved.
fn tcb_parts(product: Product) -> &'static [(&'static str, usize)] {
    match product {
        Product::Milan | Product::Genoa => {
            &[("blSPL", 0), ("teeSPL", 1), ("snpSPL", 6), ("ucodeSPL", 7)]
        }
        Product::Turin => &[
            ("fmcSPL", 0),
            ("blSPL", 1),
            ("teeSPL", 2),
            ("snpSPL", 3),
            ("ucodeSPL", 7),
        ],
    }
}

/// One VCEK: of this chip, for this *reported* TCB. AMD has at most one certified key for each.
///
/// It names a certificate and proves nothing: whoever wrote the report chose all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VcekKey {
    product: Product,
    chip_id: ChipId,
    reported_tcb: u64,
}

/// Why no VCEK can be named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// MASK_CHIP_ID is on, or somebody removed the id.
    #[error("chip id: expected the id of one chip, got a masked one (all zero)")]
    MaskedChipId,
    /// More than the product's chips have.
    #[error(
        "chip id: expected {limit} bytes and zeros on {product}, got more than that: {chip_id}"
    )]
    LongChipId {
        /// The product.
        product: Product,
        /// Bytes that identify a chip of it.
        limit: usize,
        /// The whole of it.
        chip_id: ChipId,
    },
    /// A part this version has no name for: the request would be for another TCB.
    #[error(
        "reported TCB: expected zero in the bytes that are reserved on {product}, got {reported_tcb:#018x}"
    )]
    ReservedTcb {
        /// The product.
        product: Product,
        /// The TCB.
        reported_tcb: u64,
    },
}

impl VcekKey {
    /// The key for what a report says. `reported_tcb` is REPORTED_TCB read as a little-endian number.
    pub fn new(product: Product, chip_id: ChipId, reported_tcb: u64) -> Result<Self, KeyError> {
        if chip_id.0.iter().all(|byte| *byte == 0) {
            return Err(KeyError::MaskedChipId);
        }
        let limit = product.chip_id_bytes();
        if chip_id.0.iter().skip(limit).any(|byte| *byte != 0) {
            return Err(KeyError::LongChipId {
                product,
                limit,
                chip_id,
            });
        }
        let named = |place| tcb_parts(product).iter().any(|part| part.1 == place);
        let mut bytes = reported_tcb.to_le_bytes().into_iter().enumerate();
        if bytes.any(|(place, byte)| byte != 0 && !named(place)) {
            return Err(KeyError::ReservedTcb {
                product,
                reported_tcb,
            });
        }
        Ok(Self {
            product,
            chip_id,
            reported_tcb,
        })
    }

    /// The product.
    pub fn product(&self) -> Product {
        self.product
    }

    /// The chip.
    pub fn chip_id(&self) -> ChipId {
        self.chip_id
    }

    /// The TCB, as a little-endian number.
    pub fn reported_tcb(&self) -> u64 {
        self.reported_tcb
    }

    /// The key that a file of the cache is named after; nothing when the name is not exactly of that form.
    pub(super) fn of_file(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".der")?.split('-');
        let (product, chip_id, tcb) = (parts.next()?, parts.next()?, parts.next()?);
        let product = Product::ALL.into_iter().find(|p| p.name() == product)?;
        let tcb = u64::from_str_radix(tcb, 16).ok()?;
        let key = Self::new(product, chip_id.parse().ok()?, tcb).ok()?;
        (Item::Vcek(key).file_name() == name).then_some(key)
    }

    fn path(&self) -> String {
        let chip = &self.chip_id.to_string()[..self.product.chip_id_bytes() * 2];
        let bytes = self.reported_tcb.to_le_bytes();
        let part = |(name, place): &(&str, usize)| format!("{name}={:02}", bytes[*place]);
        let parts: Vec<_> = tcb_parts(self.product).iter().map(part).collect();
        format!("/vcek/v1/{}/{chip}?{}", self.product, parts.join("&"))
    }
}

/// Something the service has and the cache keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// A VCEK certificate, DER.
    Vcek(VcekKey),
    /// The ASK and ARK certificates of a product, PEM.
    Chain(Product),
    /// The revocation list of a product's ARK, DER.
    Crl(Product),
}

impl From<&VcekKey> for Item {
    fn from(key: &VcekKey) -> Self {
        Self::Vcek(*key)
    }
}

impl Item {
    /// Its file: made of fixed words and hexadecimal digits only, and different for different items.
    pub(super) fn file_name(&self) -> String {
        match self {
            Self::Vcek(key) => format!(
                "{}-{}-{:016x}.der",
                key.product, key.chip_id, key.reported_tcb
            ),
            Self::Chain(product) => format!("{product}-chain.pem"),
            Self::Crl(product) => format!("{product}-crl.der"),
        }
    }

    /// Path and query below the service's address (publication 57230, sections 4.1 and 4.2).
    pub(super) fn path(&self) -> String {
        match self {
            Self::Vcek(key) => key.path(),
            Self::Chain(product) => format!("/vcek/v1/{product}/cert_chain"),
            Self::Crl(product) => format!("/vcek/v1/{product}/crl"),
        }
    }
}

/// Address of a key distribution service: scheme, host, perhaps a port and a folder. AMD's is
/// `https://kdsintf.amd.com`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl(String);

/// Not the address of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address of the service: expected https://HOST or http://HOST without query, got {0:?}")]
pub struct UrlError(String);

impl TryFrom<String> for BaseUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]".contains(c);
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let fine = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']));
        if !fine || !text.chars().all(plain) || text.len() > URL_CHARS_MAX {
            return Err(UrlError(text.chars().take(URL_CHARS_MAX).collect()));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.0
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn chip(bytes: usize) -> ChipId {
        let mut id = [0; 64];
        id[..bytes].fill(0xab);
        ChipId(id)
    }

    #[test]
    fn requests_have_the_form_of_the_specification() {
        let path =
            |product, chip_id, tcb| Item::Vcek(VcekKey::new(product, chip_id, tcb).unwrap()).path();
        // Each part in a place of its own: 1 boot loader, 2 TEE, 3 SNP, 213 microcode.
        assert_eq!(
            path(Product::Milan, chip(64), 0xd503_0000_0000_0201),
            format!(
                "/vcek/v1/Milan/{}?blSPL=01&teeSPL=02&snpSPL=03&ucodeSPL=213",
                "ab".repeat(64)
            )
        );
        assert_eq!(
            path(Product::Genoa, chip(3), 0x5417_0000_0000_000a),
            format!(
                "/vcek/v1/Genoa/ababab{}?blSPL=10&teeSPL=00&snpSPL=23&ucodeSPL=84",
                "00".repeat(61)
            )
        );
        assert_eq!(
            path(Product::Turin, chip(8), 0x4d00_0000_0403_0201),
            "/vcek/v1/Turin/abababababababab?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=77"
        );
        assert_eq!(
            Item::Chain(Product::Genoa).path(),
            "/vcek/v1/Genoa/cert_chain"
        );
        assert_eq!(Item::Crl(Product::Turin).path(), "/vcek/v1/Turin/crl");
    }

    #[test]
    fn a_masked_chip_id_is_refused_by_name() {
        for product in Product::ALL {
            let refused = VcekKey::new(product, ChipId([0; 64]), 1);
            assert_eq!(refused, Err(KeyError::MaskedChipId));
        }
    }

    #[test]
    fn a_turin_chip_id_is_eight_bytes_and_any_other_byte_is_refused() {
        for place in 0..64 {
            let mut id = chip(8);
            id.0[place] = 1;
            let made = VcekKey::new(Product::Turin, id, 1);
            let refused = matches!(made, Err(KeyError::LongChipId { limit: 8, .. }));
            assert_eq!(refused, place >= 8, "{place}");
            assert!(VcekKey::new(Product::Milan, id, 1).is_ok());
            let mut alone = ChipId([0; 64]);
            alone.0[place] = 1;
            assert_eq!(VcekKey::new(Product::Turin, alone, 1).is_ok(), place < 8);
        }
    }

    #[test]
    fn reserved_bytes_of_a_tcb_are_refused() {
        for (product, reserved) in [
            (Product::Milan, &[2, 3, 4, 5][..]),
            (Product::Genoa, &[2, 3, 4, 5]),
            (Product::Turin, &[4, 5, 6]),
        ] {
            for place in 0..8 {
                let made = VcekKey::new(product, chip(8), 1 << (8 * place));
                let refused = matches!(made, Err(KeyError::ReservedTcb { .. }));
                assert_eq!(refused, reserved.contains(&place), "{product} {place}");
            }
        }
    }

    #[test]
    fn files_of_different_items_differ_and_name_their_key() {
        let mut names = BTreeSet::new();
        for product in Product::ALL {
            for (id, tcb) in [(1, 1), (1, 2), (8, 1), (8, 2)] {
                let key = VcekKey::new(product, chip(id), tcb).unwrap();
                let name = Item::Vcek(key).file_name();
                assert_eq!(VcekKey::of_file(&name), Some(key));
                assert!(name.len() < 200 && !name.contains(['/', '\0']) && !name.contains(".."));
                assert!(names.insert(name));
            }
            for item in [Item::Chain(product), Item::Crl(product)] {
                assert_eq!(VcekKey::of_file(&item.file_name()), None);
                assert!(names.insert(item.file_name()));
            }
        }
    }

    #[test]
    fn other_spellings_of_a_file_name_are_no_key() {
        let key = VcekKey::new(Product::Milan, chip(64), 0xab).unwrap();
        let name = Item::Vcek(key).file_name();
        let others = [
            name.to_uppercase(),
            name.replace("Milan", "milan"),
            name.replace("-ab", "-AB"),
            name.replace("Milan-", "Milan-0x"),
            name.replace("00ab.der", "ab.der"),
            name.replace("-0000", "-+000"),
            name.replace(".der", "-1.der"),
            name.replace(".der", ""),
            format!("tmp-{name}"),
            format!("{name}.der"),
            String::new(),
            "Milan-.der".into(),
            "Milan--.der".into(),
        ];
        for other in others {
            assert_ne!(other, name);
            assert_eq!(VcekKey::of_file(&other), None, "{other}");
        }
    }

    #[test]
    fn an_address_is_scheme_and_host() {
        let parsed = |text: &str| BaseUrl::try_from(text.to_owned()).map(String::from);
        let amd = "https://kdsintf.amd.com";
        assert_eq!(parsed(amd).as_deref(), Ok(amd));
        assert_eq!(parsed("https://kdsintf.amd.com//").as_deref(), Ok(amd));
        assert!(parsed("http://[::1]:8080/mirror").is_ok());
        let long = format!("http://{}", "a".repeat(URL_CHARS_MAX));
        for bad in [
            "",
            "kdsintf.amd.com",
            "ftp://kdsintf.amd.com",
            "https://",
            "https:///vcek",
            "https://:443",
            "https://user@host",
            "https://host?x=1",
            "https://host#x",
            "https://host name",
            "https://host\r\nX: y",
            &long,
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
        assert!(parsed(&long[..URL_CHARS_MAX]).is_ok());
    }
}
