//! SEV-SNP reports, endorsement certificates, certificate tables and Azure's HCL reports.

use assay_appraisal::checks::{Checks, Mode};
use assay_appraisal::snp::ChainCache;
use assay_appraisal::snp::azure::claims::RuntimeClaims;
use assay_appraisal::snp::azure::hcl::HclReport;
use assay_appraisal::snp::cert_table::{CertTable, EntryKind};
use assay_appraisal::snp::endorsement::Endorsement;
use assay_appraisal::snp::report::{self, KeyKind};
use assay_appraisal::snp::verify::{self, Certificates, Revocation, Trust};
use assay_appraisal::snp::{Product, SnpRoots, Tcb};
use assay_protocol::ids::UnixMs;

/// A report: what parses has its signed part and no TCB that both layouts refuse to name.
pub fn report(data: &[u8]) {
    let Ok(parsed) = report::parse(data) else {
        return;
    };
    assert_eq!(parsed.signed, &data[..report::SIGNED_BYTES]);
    assert_eq!(data.len(), report::REPORT_BYTES);
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        if let Ok(tcb) = Tcb::read(product, parsed.report.reported_tcb) {
            assert_eq!(tcb.to_string().parse(), Ok(tcb));
            assert!(tcb.reaches(&tcb));
        }
    }
}

/// A VCEK or VLEK certificate: none is both.
pub fn endorsement(data: &[u8]) {
    let vcek = Endorsement::parse(data, KeyKind::Vcek);
    let vlek = Endorsement::parse(data, KeyKind::Vlek);
    assert!(vcek.is_err() || vlek.is_err());
}

/// A certificate table, and the chain its entries make: never trusted by AMD's roots unless AMD signed it.
pub fn cert_table(data: &[u8]) {
    let Ok(table) = CertTable::parse(data) else {
        return;
    };
    let part = |kind| table.get(kind).unwrap_or_default();
    let certificates = Certificates {
        kind: KeyKind::Vcek,
        leaf: part(EntryKind::Vcek),
        intermediate: part(EntryKind::Ask),
        root: part(EntryKind::Ark),
    };
    let trust = Trust {
        roots: &SnpRoots::amd(),
        at: UnixMs(1_793_491_200_000),
        revocation: Revocation::default(),
        cache: &ChainCache::new(),
    };
    let mut checks = Checks::new(Mode::Explain);
    let key = verify::endorsement(&mut checks, certificates, &trust);
    assert_eq!(key.is_ok_and(|key| key.is_some()), checks.passed());
}

/// An HCL report and the claims in it.
pub fn azure_hcl(data: &[u8]) {
    if let Ok(hcl) = HclReport::parse(data) {
        let _ = (report::parse(hcl.snp_report), hcl.report_data());
        let _ = RuntimeClaims::parse(hcl.claims);
    }
}

/// Runtime claims.
pub fn azure_claims(data: &[u8]) {
    let _ = RuntimeClaims::parse(data);
}

/// The first inputs of each target. Certificates are small stand-ins of the right form; a fuzzer needs no
/// valid signature to get behind a parser.
pub fn seeds() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let claims = claims();
    vec![
        ("snp_report", [2, 3, 5].map(plain_report).to_vec()),
        (
            "snp_endorsement",
            [KeyKind::Vcek, KeyKind::Vlek].map(leaf).to_vec(),
        ),
        ("snp_cert_table", vec![table()]),
        ("snp_azure_hcl", vec![hcl(&claims)]),
        ("snp_azure_claims", vec![claims]),
    ]
}

fn plain_report(version: u8) -> Vec<u8> {
    let mut bytes = vec![0; report::REPORT_BYTES];
    let mut set = |at: usize, value: u8| bytes[at] = value;
    set(0, version);
    set(0x0a, 3);
    set(0x34, 1);
    if version >= 3 {
        set(0x188, 0x19);
        set(0x189, 0x11);
    }
    bytes
}

fn table() -> Vec<u8> {
    let guids: [u128; 4] = [
        0x63da_758d_e664_4564_adc5_f4b9_3be8_accd,
        0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782,
        0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae,
        0,
    ];
    let leaf = leaf(KeyKind::Vcek);
    let (head, size) = (96u32, leaf.len() as u32);
    let mut out = Vec::new();
    for (at, guid) in (0u32..).zip(guids) {
        let (offset, length) = if guid == 0 {
            (0, 0)
        } else {
            (head + at * size, size)
        };
        out.extend(guid.to_be_bytes());
        out.extend(offset.to_le_bytes());
        out.extend(length.to_le_bytes());
    }
    out.extend(leaf.repeat(3));
    out
}

fn claims() -> Vec<u8> {
    let modulus = "_".repeat(341);
    let key = format!(
        r#"{{"kid":"HCLAkPub","key_ops":["sign"],"kty":"RSA","e":"AQAB","n":"{modulus}w"}}"#
    );
    format!(r#"{{"keys":[{key}],"vm-configuration":{{"secure-boot":true}},"user-data":"00"}}"#)
        .into_bytes()
}

fn hcl(claims: &[u8]) -> Vec<u8> {
    let size = claims.len() as u32;
    let mut out = b"HCLA".to_vec();
    for word in [1, 32 + 1184 + 20 + size, 2, 0, 0, 0, 0] {
        out.extend(u32::to_le_bytes(word));
    }
    out.extend(plain_report(3));
    for word in [20 + size, 1, 2, 1, size] {
        out.extend(word.to_le_bytes());
    }
    out.extend(claims);
    out
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let size = content.len();
    let head = match size {
        0..=0x7f => vec![tag, size as u8],
        0x80..=0xff => vec![tag, 0x81, size as u8],
        _ => vec![tag, 0x82, (size >> 8) as u8, size as u8],
    };
    [head, content].concat()
}

/// A certificate with AMD's extensions; its key is no point and its signature is nothing.
fn leaf(kind: KeyKind) -> Vec<u8> {
    let amd = |arc: &[u8], value: &[u8]| {
        let oid = [&[0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1], arc].concat();
        der(0x30, &[&der(6, &[&oid]), &der(4, &[value])])
    };
    let mut extensions = vec![amd(&[1], &[2, 1, 0]), amd(&[2], &der(0x16, &[b"Genoa"]))];
    extensions.extend([1, 2, 3, 8].map(|part| amd(&[3, part], &[2, 1, 1])));
    extensions.push(match kind {
        KeyKind::Vcek => amd(&[4], &[7; 64]),
        KeyKind::Vlek => amd(&[5], &der(0x16, &[b"CN=x"])),
    });
    let name = |text: &str| {
        let pair = der(0x30, &[&[6, 3, 0x55, 4, 3], &der(0x0c, &[text.as_bytes()])]);
        der(0x30, &[&der(0x31, &[&pair])])
    };
    // ecdsa-with-SHA384 is shorter than AMD's RSASSA-PSS; the parser takes both.
    let algorithm = der(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]]);
    let curve = [
        6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x22,
    ];
    let spki = der(
        0x30,
        &[&der(0x30, &[&curve]), &der(3, &[&[0, 4], &[1; 96]])],
    );
    let time = der(0x17, &[b"240101000000Z"]);
    let tbs = der(
        0x30,
        &[
            &[0xa0, 3, 2, 1, 2, 2, 1, 0],
            &algorithm,
            &name("SEV-Genoa"),
            &der(0x30, &[&time, &time]),
            &name(&format!("SEV-{kind}")),
            &spki,
            &der(0xa3, &[&der(0x30, &[&extensions.concat()])]),
        ],
    );
    der(0x30, &[&tbs, &algorithm, &der(3, &[&[0, 0]])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gets_behind_its_parser() {
        let all = seeds()
            .into_iter()
            .flat_map(|(target, list)| list.into_iter().map(move |seed| (target, seed)));
        for (target, bytes) in all {
            let parsed = match target {
                "snp_report" => report::parse(&bytes).is_ok(),
                "snp_endorsement" => [KeyKind::Vcek, KeyKind::Vlek]
                    .iter()
                    .any(|kind| Endorsement::parse(&bytes, *kind).is_ok()),
                "snp_cert_table" => CertTable::parse(&bytes).is_ok(),
                "snp_azure_hcl" => HclReport::parse(&bytes).is_ok(),
                _ => RuntimeClaims::parse(&bytes).is_ok(),
            };
            assert!(parsed, "{target}");
        }
    }
}
