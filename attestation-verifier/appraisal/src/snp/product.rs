//! AMD's product lines with SEV-SNP: names, CPUID ranges, and what each generation may earn.

use core::fmt;

/// A product line, as far as it has a root key (ARK) of its own.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// EPYC 7003, Zen 3.
    Milan,
    /// EPYC 9004 and 8004, Zen 4 and 4c: Genoa, Bergamo and Siena share keys.
    Genoa,
    /// EPYC 9005, Zen 5 and 5c.
    Turin,
}

impl Product {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The product that a certificate's `productName` names: `Milan`, `Milan-B0`, `Siena` ...
    /// (KDS specification 57230, table 8). A stepping is a letter and a digit; anything else is nothing.
    pub fn from_name(name: &str) -> Option<Self> {
        let base = match name.split_once('-') {
            Some((base, stepping)) if is_stepping(stepping) => base,
            Some(_) => return None,
            None => name,
        };
        match base {
            "Milan" => Some(Self::Milan),
            "Genoa" | "Bergamo" | "Siena" => Some(Self::Genoa),
            "Turin" => Some(Self::Turin),
            _ => None,
        }
    }

    /// The product of a CPU: family and model as the report gives them, base and extended parts added.
    pub fn from_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x1f) => Some(Self::Turin),
            _ => None,
        }
    }

    /// Its name, as in AMD's names of keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// Bytes of a chip's identifier; the rest of the report's 64 are zero.
    pub fn chip_id_bytes(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }

    /// `structVersion` of certificates of this product: 1 for the layout with FMC.
    pub fn struct_version(self) -> u64 {
        match self {
            Self::Milan | Self::Genoa => 0,
            Self::Turin => 1,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn is_stepping(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, digit] if letter.is_ascii_uppercase() && digit.is_ascii_digit())
}

/// What reports of one product may earn at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// The product.
    pub product: Product,
    /// Highest tier (ARCHITECTURE.md section 7: 0 to 3) a proof on this product may reach.
    pub tier_max: u8,
}

/// As known when this version was made: root seeds of Milan were extracted by software (arXiv 2605.12990).
pub const GENERATIONS: [Generation; 3] = [
    Generation {
        product: Product::Milan,
        tier_max: 2,
    },
    Generation {
        product: Product::Genoa,
        tier_max: 3,
    },
    Generation {
        product: Product::Turin,
        tier_max: 3,
    },
];

/// The highest tier of a product: the lowest that is listed for it, nothing when none is.
pub fn tier_max(generations: &[Generation], product: Product) -> Option<u8> {
    let of_product = generations.iter().filter(|g| g.product == product);
    of_product.map(|g| g.tier_max).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_stepping_are_known_and_others_are_not() {
        for (name, product) in [
            ("Milan", Product::Milan),
            ("Milan-B0", Product::Milan),
            ("Genoa", Product::Genoa),
            ("Siena", Product::Genoa),
            ("Bergamo-A1", Product::Genoa),
            ("Turin-C1", Product::Turin),
        ] {
            assert_eq!(Product::from_name(name), Some(product), "{name}");
        }
        for name in [
            "",
            "milan",
            "Milan-",
            "Milan-B",
            "Milan-B00",
            "Milan-b0",
            "Milan-BB",
            "Milan-00",
            "Rome",
            "Milan B0",
            "Venice",
            "-B0",
        ] {
            assert_eq!(Product::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn cpuid_ranges_end_where_they_end() {
        let of = Product::from_cpuid;
        assert_eq!(
            (of(0x19, 0), of(0x19, 0x0f)),
            (Some(Product::Milan), Some(Product::Milan))
        );
        assert_eq!(
            (of(0x19, 0x10), of(0x19, 0x1f)),
            (Some(Product::Genoa), Some(Product::Genoa))
        );
        assert_eq!(
            (of(0x19, 0xa0), of(0x19, 0xaf)),
            (Some(Product::Genoa), Some(Product::Genoa))
        );
        assert_eq!(
            (of(0x1a, 0), of(0x1a, 0x1f)),
            (Some(Product::Turin), Some(Product::Turin))
        );
        for (family, model) in [
            (0x19, 0x20),
            (0x19, 0x9f),
            (0x19, 0xb0),
            (0x1a, 0x20),
            (0x17, 1),
            (0, 0),
        ] {
            assert_eq!(of(family, model), None, "{family:#x} {model:#x}");
        }
    }

    #[test]
    fn a_product_earns_the_least_that_is_listed_for_it() {
        assert_eq!(tier_max(&GENERATIONS, Product::Milan), Some(2));
        assert_eq!(tier_max(&GENERATIONS, Product::Genoa), Some(3));
        assert_eq!(tier_max(&[], Product::Genoa), None);
        let twice = [3, 1].map(|tier_max| Generation {
            product: Product::Genoa,
            tier_max,
        });
        assert_eq!(tier_max(&twice, Product::Genoa), Some(1));
        assert_eq!(tier_max(&twice, Product::Turin), None);
    }
}
