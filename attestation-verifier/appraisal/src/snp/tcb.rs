//! `TCB_VERSION`: the security version numbers of the firmware parts (SEV-SNP ABI 56860, section 2.2).

use super::product::Product;
use core::fmt;
use core::str::FromStr;

/// Security version numbers of one platform state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcb {
    /// First mutable code; only Turin has it.
    pub fmc: Option<u8>,
    /// Boot loader of the security processor.
    pub bootloader: u8,
    /// Operating system of the security processor.
    pub tee: u8,
    /// The SNP firmware.
    pub snp: u8,
    /// The lowest microcode patch level of all cores.
    pub microcode: u8,
}

/// A `TCB_VERSION`, or its written form, is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TcbError {
    /// A reserved byte of the product's layout is set.
    #[error("TCB_VERSION of {product}: expected reserved bytes of zero, got {actual}")]
    Reserved {
        /// Whose layout.
        product: Product,
        /// The eight bytes.
        actual: String,
    },
    /// The text is not `bl=N,tee=N,snp=N,ucode=N` with `,fmc=N` for Turin.
    #[error(
        "TCB: expected bl=N,tee=N,snp=N,ucode=N and fmc=N for Turin, each once and at most 255, got {0:?}"
    )]
    Text(String),
}

impl Tcb {
    /// Decodes the eight bytes of a report in the layout of `product`; reserved bytes must be zero.
    pub fn read(product: Product, raw: [u8; 8]) -> Result<Self, TcbError> {
        let tcb = match (product, raw) {
            (Product::Milan | Product::Genoa, [bootloader, tee, 0, 0, 0, 0, snp, microcode]) => {
                Self {
                    fmc: None,
                    bootloader,
                    tee,
                    snp,
                    microcode,
                }
            }
            (Product::Turin, [fmc, bootloader, tee, snp, 0, 0, 0, microcode]) => Self {
                fmc: Some(fmc),
                bootloader,
                tee,
                snp,
                microcode,
            },
            _ => {
                let actual = hex::encode(raw);
                return Err(TcbError::Reserved { product, actual });
            }
        };
        Ok(tcb)
    }

    /// Whether every part is at least the floor's; a floor of the other layout is never reached.
    pub fn reaches(&self, floor: &Self) -> bool {
        let fmc = match (self.fmc, floor.fmc) {
            (None, None) => true,
            (Some(have), Some(need)) => have >= need,
            _ => false,
        };
        fmc && self.bootloader >= floor.bootloader
            && self.tee >= floor.tee
            && self.snp >= floor.snp
            && self.microcode >= floor.microcode
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fmc,
            bootloader,
            tee,
            snp,
            microcode,
        } = self;
        write!(f, "bl={bootloader},tee={tee},snp={snp},ucode={microcode}")?;
        fmc.map_or(Ok(()), |fmc| write!(f, ",fmc={fmc}"))
    }
}

impl FromStr for Tcb {
    type Err = TcbError;

    /// Reads `bl=3,tee=0,snp=8,ucode=115[,fmc=1]` in any order; refuses what is unknown, twice or missing.
    fn from_str(text: &str) -> Result<Self, TcbError> {
        let bad = || TcbError::Text(text.into());
        let mut parts = [None; 5];
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or_else(bad)?;
            let names = ["bl", "tee", "snp", "ucode", "fmc"];
            let slot = names
                .iter()
                .zip(&mut parts)
                .find(|(known, _)| **known == name);
            let (_, slot) = slot.ok_or_else(bad)?;
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse().ok().filter(|_| digits).ok_or_else(bad)?;
            if slot.replace(number).is_some() {
                return Err(bad());
            }
        }
        match parts {
            [Some(bootloader), Some(tee), Some(snp), Some(microcode), fmc] => Ok(Self {
                fmc,
                bootloader,
                tee,
                snp,
                microcode,
            }),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: [u8; 8] = [1, 2, 0, 0, 0, 0, 7, 8];

    #[test]
    fn both_layouts_are_read_and_reserved_bytes_refused() {
        let milan = Tcb::read(Product::Milan, RAW).unwrap();
        assert_eq!(milan.to_string(), "bl=1,tee=2,snp=7,ucode=8");
        assert_eq!(Tcb::read(Product::Genoa, RAW), Ok(milan));
        let turin = Tcb::read(Product::Turin, [1, 2, 3, 4, 0, 0, 0, 8]).unwrap();
        assert_eq!(turin.to_string(), "bl=2,tee=3,snp=4,ucode=8,fmc=1");
        for at in 2..6 {
            let mut raw = RAW;
            raw[at] = 1;
            assert!(Tcb::read(Product::Milan, raw).is_err(), "{at}");
            assert!(Tcb::read(Product::Genoa, raw).is_err(), "{at}");
        }
        for at in 4..7 {
            let mut raw = [1, 2, 3, 4, 0, 0, 0, 8];
            raw[at] = 1;
            assert!(Tcb::read(Product::Turin, raw).is_err(), "{at}");
        }
    }

    #[test]
    fn a_floor_is_reached_only_when_every_part_reaches_it() {
        let floor: Tcb = "bl=2,tee=2,snp=2,ucode=2,fmc=2".parse().unwrap();
        assert!(floor.reaches(&floor));
        let low = [
            Tcb {
                fmc: Some(1),
                ..floor
            },
            Tcb { fmc: None, ..floor },
            Tcb {
                bootloader: 1,
                ..floor
            },
            Tcb { tee: 1, ..floor },
            Tcb { snp: 1, ..floor },
            Tcb {
                microcode: 1,
                ..floor
            },
        ];
        for tcb in low {
            assert!(!tcb.reaches(&floor), "{tcb}");
        }
        let without = Tcb { fmc: None, ..floor };
        assert!(without.reaches(&without) && !floor.reaches(&without));
        let high = Tcb {
            fmc: Some(3),
            microcode: 3,
            ..floor
        };
        assert!(high.reaches(&floor));
    }

    #[test]
    fn text_round_trips_and_anything_loose_is_refused() {
        let tcb: Tcb = "ucode=115,bl=3,snp=8,tee=0".parse().unwrap();
        assert_eq!(tcb.to_string(), "bl=3,tee=0,snp=8,ucode=115");
        assert_eq!(tcb.to_string().parse(), Ok(tcb));
        for bad in [
            "",
            "bl=3,tee=0,snp=8",
            "bl=3,tee=0,snp=8,ucode=256",
            "bl=3,tee=0,snp=8,ucode=1,ucode=1",
            "bl=3,tee=0,snp=8,ucode=1,x=1",
            "bl=3,tee=0,snp=8,ucode=+1",
            "bl=3,tee=0,snp=8,ucode=",
            "bl=3,tee=0,snp=8,ucode",
            "bl=3,tee=0,snp=8,ucode=1,",
            "bl=3, tee=0,snp=8,ucode=1",
            "fmc=1,tee=0,snp=8,ucode=1",
        ] {
            assert!(bad.parse::<Tcb>().is_err(), "{bad}");
        }
    }
}
