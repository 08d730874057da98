//! IMA measurement lists: parsed, replayed, explained and judged.

use assay_appraisal::crypto::signature::Sha1;
use assay_appraisal::ima::appraise::{AggregateRule, Violations};
use assay_appraisal::ima::signature::FileSignature;
use assay_appraisal::ima::{
    Allowlist, BankForm, Entry, Extra, FileDigest, ImaError, Keyring, List, Options, Policy,
    Position, Tail, appraise, explain, explain_after, replay,
};
use assay_appraisal::quote::PcrValues;
use assay_appraisal::tpm::algorithm::HashAlg;
use std::sync::LazyLock;

const BANKS: [HashAlg; 4] = assay_appraisal::ima::list::ALGORITHMS;

/// A list of either form: whatever replays explains its own values, whole and from every position.
pub fn ima_list(data: &[u8]) {
    let Ok(list) = List::read(data, None) else {
        return;
    };
    let Ok(replayed) = replay(&list, &BANKS) else {
        return;
    };
    let quoted: PcrValues = replayed
        .values
        .iter()
        .filter(|((_, form, _), _)| *form == BankForm::Native)
        .map(|((bank, _, pcr), value)| ((*bank, *pcr), value.clone()))
        .collect();
    let explained = explain(&list, &quoted, Options::default()).expect("it replays");
    assert_eq!(explained.summary(), &replayed.summary);
    let policy = Policy {
        allowlist: Some(&ALLOWLIST),
        contents: &[],
        keyring: Some(&KEYRING),
        violations: Violations::Tolerated,
        aggregate: AggregateRule::UnlessNotQuoted,
        sha1: Sha1::Legacy,
    };
    let appraisal = appraise(&explained, &quoted, &policy).expect("it was read before");
    assert_eq!(appraisal.totals.entries, replayed.summary.entries as u64);
    let position = explained.position();
    assert_eq!(
        Position::from_bytes(&position.to_bytes()).as_ref(),
        Ok(position)
    );
    let rest = list.skip(position).expect("the list is as long as itself");
    let again = explain_after(position, 0, &rest, &quoted, Options::default());
    assert_eq!(again.expect("nothing was added").position(), position);
    let newer = Options {
        tail: Tail::Allowed,
        ..Options::default()
    };
    assert_eq!(
        explain(&list, &quoted, newer)
            .expect("it replays")
            .unquoted(),
        0
    );
}

/// A saved position: one spelling.
pub fn ima_position(data: &[u8]) {
    if let Ok(position) = Position::from_bytes(data) {
        assert_eq!(position.to_bytes(), data);
        let list = List::read(&[], None).expect("an empty list");
        let rest = list.starting_at(position.entries);
        let quoted = PcrValues::from([((HashAlg::Sha1, 10), vec![0; 20])]);
        let reset_count = position.reset_count;
        let _ = explain_after(&position, reset_count, &rest, &quoted, Options::default());
    }
}

/// A file's signature, an allowlist and a keyring.
pub fn ima_policy(data: &[u8]) {
    let _ = FileSignature::parse(data);
    let digest = HashAlg::Sha256.digest(&[b"content"]);
    let field = [b"sha256:\0".as_slice(), &digest].concat();
    let digest = FileDigest::parse(&field).expect("a digest");
    let _ = KEYRING.verify(&digest, data, Sha1::Legacy);
    let _ = Allowlist::parse(data);
    let _ = Keyring::read(data);
}

static ALLOWLIST: LazyLock<Allowlist> = LazyLock::new(|| {
    let mut list = Allowlist::default();
    list.exclude(b"/tmp/").expect("a folder");
    list
});

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    let mut keyring = Keyring::default();
    keyring.add_key(&SPKI).expect("a key");
    keyring
});

/// A point of P-256: its generator (FIPS 186-4 section D.1.2.3).
static SPKI: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let hex = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        digits.filter_map(byte).collect()
    };
    [
        hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
        hex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
        hex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
    ]
    .concat()
});

/// First inputs of each target.
pub fn seeds() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let lists: Vec<Vec<u8>> = BANKS.iter().map(|alg| list(*alg)).collect();
    let text = ascii(&lists[0]).expect("a list");
    let positions = lists.iter().map(|list| position(list).expect("a list"));
    let positions = positions.collect();
    let signature = [
        &[3, 2, 4, 0, 0, 0, 1, 0, 8][..],
        &[0x30, 6, 2, 1, 1, 2, 1, 1],
    ]
    .concat();
    let allowlist = format!("{}  /bin/sh\nsha1:{}\n", "ab".repeat(32), "cd".repeat(20));
    let keyring = br#"{"pubkeys": [], "keyids": []}"#.to_vec();
    vec![
        ("ima_list", lists.into_iter().chain([text]).collect()),
        ("ima_position", positions),
        (
            "ima_policy",
            vec![signature, allowlist.into_bytes(), keyring],
        ),
    ]
}

/// One entry of several templates, and a violation.
fn list(alg: HashAlg) -> Vec<u8> {
    let digest = |label: &str| [label.as_bytes(), &[0], &[7; 32]].concat();
    let (ng, verity) = (digest("sha256:"), digest("verity:sha256:"));
    let ng = ng.as_slice();
    let entries: [(&str, &[&[u8]]); 6] = [
        ("ima-ng", &[ng, b"boot_aggregate\0"]),
        (
            "ima-sig",
            &[ng, b"/bin/sh\0", b"\x03\x02\x04\0\0\0\x01\0\x01x"],
        ),
        ("ima-sigv2", &[&verity, b"/v\0", b""]),
        ("ima-buf", &[ng, b"kexec-cmdline\0", b"quiet"]),
        ("ima-modsig", &[ng, b"/m.ko\0", b"", ng, b"pkcs7"]),
        ("evm-sig", &[ng, b"/e\0", b"", b"", b"", b"", b"", b"", b""]),
    ];
    let mut out = Vec::new();
    for (template, fields) in entries {
        let data: Vec<u8> = fields.iter().flat_map(|field| counted(field)).collect();
        out.extend(entry(template, &alg.digest(&[&data]), &counted(&data)));
    }
    let mut fixed = [7; 276];
    fixed[20..].fill(0);
    fixed[20..24].copy_from_slice(b"/old");
    let data = [&[7; 20][..], &counted(b"/old")].concat();
    out.extend(entry("ima", &alg.digest(&[&fixed]), &data));
    let data = [counted(ng), counted(b"/log\0")].concat();
    out.extend(entry("ima-ng", &vec![0; alg.size()], &counted(&data)));
    out
}

fn entry(template: &str, hash: &[u8], data: &[u8]) -> Vec<u8> {
    [
        &10u32.to_le_bytes(),
        hash,
        &counted(template.as_bytes()),
        data,
    ]
    .concat()
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

fn position(bytes: &[u8]) -> Result<Vec<u8>, ImaError> {
    let list = List::read(bytes, None)?;
    let replayed = replay(&list, &BANKS)?;
    let native = replayed
        .values
        .into_iter()
        .filter(|((_, form, _), _)| *form == BankForm::Native);
    let quoted = native
        .map(|((bank, _, pcr), value)| ((bank, pcr), value))
        .collect();
    Ok(explain(&list, &quoted, Options::default())?
        .position()
        .to_bytes())
}

/// The entries that have an easy line.
fn ascii(bytes: &[u8]) -> Result<Vec<u8>, ImaError> {
    let list = List::read(bytes, None)?;
    let mut text = Vec::new();
    for entry in list.entries() {
        line(&entry?, &mut text);
    }
    Ok(text)
}

fn line(entry: &Entry<'_>, text: &mut Vec<u8>) {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let extra = match entry.event.extra {
        Extra::None if entry.template.name() == "ima-ng" => String::new(),
        Extra::Buffer(bytes) => format!(" {}", hex(bytes)),
        _ => return,
    };
    let (hash, digest) = (hex(entry.template_hash), hex(entry.event.digest.bytes));
    let name = entry.template.name();
    text.extend(format!("{:2} {hash} {name} sha256:{digest} ", entry.pcr).bytes());
    text.extend(entry.event.name);
    text.extend(extra.bytes());
    text.push(b'\n');
}
