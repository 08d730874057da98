//! The extensions of VCEK and VLEK certificates.

use super::*;

#[test]
fn a_leaf_or_cpu_of_another_product_is_refused() {
    let mut case = Case::genoa();
    case.leaf(|spec| spec.extensions[1] = Extension::amd_text(&[2], "Milan-B0"));
    case.refused_by("snp-leaf-product");
    let mut case = Case::genoa();
    case.sign(|report| report.with(0x188, &[0x19, 0x01]));
    case.refused_by("snp-report-product");
    let mut case = Case::genoa();
    case.sign(|report| report.with(0x188, &[0x1b, 0x11]));
    case.refused_by("snp-report-product");
    for name in ["Siena", "Bergamo", "Genoa-B1"] {
        let mut case = Case::genoa();
        case.leaf(|spec| spec.extensions[1] = Extension::amd_text(&[2], name));
        assert_eq!(case.authentic().product(), Product::Genoa);
    }
}

#[test]
fn an_endorsement_needs_every_extension_of_its_kind_and_none_of_the_other() {
    let drop_one = |kind: &str, at: usize| {
        let mut case = if kind == "vlek" {
            Case::vlek()
        } else {
            Case::genoa()
        };
        case.leaf(|spec| drop(spec.extensions.remove(at)));
        case.failed()
    };
    // In the order of the testbed: structVersion, productName, bl, tee, spl4 to spl7, snp, ucode, hwID or cspID.
    for kind in ["vcek", "vlek"] {
        for at in [0, 1, 2, 3, 8, 9, 10] {
            assert_eq!(drop_one(kind, at), ["snp-leaf-structure"], "{kind} {at}");
        }
        for at in 4..8 {
            assert_eq!(drop_one(kind, at), [""; 0], "{kind} {at}");
        }
    }
    let mut case = Case::new(testbed::Product::Turin, 5);
    case.leaf(|spec| drop(spec.extensions.remove(2)));
    assert_eq!(case.failed(), ["snp-leaf-structure"]);
}

#[test]
fn endorsements_with_wrong_extensions_are_refused() {
    let change = |at: usize, to: Extension| {
        let mut case = Case::genoa();
        case.leaf(|spec| spec.extensions[at] = to);
        assert_eq!(case.failed(), ["snp-leaf-structure"], "{at}");
    };
    change(0, Extension::amd_number(&[1], 1));
    change(1, Extension::amd_text(&[2], "Venice"));
    change(1, Extension::amd(&[2], testbed::der(0x0c, &[b"Genoa"])));
    change(
        1,
        Extension::amd(&[2], [testbed::der(0x16, &[b"Genoa"]), vec![0]].concat()),
    );
    change(2, Extension::amd(&[3, 1], vec![2, 2, 1, 4]));
    change(2, Extension::amd(&[3, 1], vec![2, 1, 4, 0]));
    change(4, Extension::amd_number(&[3, 4], 1));
    change(7, Extension::amd_number(&[3, 7], 1));
    change(4, Extension::amd_number(&[3, 9], 0));
    change(10, Extension::amd(&[4], vec![0xc1; 63]));
    change(10, Extension::amd(&[4], vec![0xc1; 65]));
    change(10, Extension::amd(&[4], vec![0xc1; 8]));
    let mut case = Case::genoa();
    case.leaf(|spec| spec.extensions.push(Extension::amd_text(&[5], "CN=x")));
    assert_eq!(case.failed(), ["snp-leaf-structure"]);
    for bad in ["", &"x".repeat(257), "\u{e9}"] {
        let mut case = Case::vlek();
        case.leaf(|spec| spec.extensions[10] = Extension::amd_text(&[5], bad));
        assert_eq!(case.failed(), ["snp-leaf-structure"], "{bad}");
    }
    let mut case = Case::vlek();
    case.leaf(|spec| spec.extensions[10] = Extension::amd_text(&[5], &"x".repeat(256)));
    case.authentic();
    case.leaf(|spec| spec.extensions.push(Extension::amd(&[4], vec![0xc1; 64])));
    assert_eq!(case.failed(), ["snp-leaf-structure"]);
    let mut case = Case::genoa();
    case.leaf(|spec| spec.subject = "SEV-VLEK".into());
    assert_eq!(case.failed(), ["snp-leaf-structure"]);
    let mut case = Case::genoa();
    case.kind = KeyKind::Vlek;
    assert_eq!(case.failed(), ["snp-leaf-structure"]);
}
