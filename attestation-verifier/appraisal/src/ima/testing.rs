//! Lists made by code, as a kernel would write them; written apart from the parser they test.

use super::replay::BankForm;
use super::template::Template;
use crate::quote::PcrValues;
use crate::tpm::algorithm::HashAlg;
use std::collections::BTreeMap;

pub(crate) const BANKS: [HashAlg; 4] = [
    HashAlg::Sha1,
    HashAlg::Sha256,
    HashAlg::Sha384,
    HashAlg::Sha512,
];

/// One entry: the fields of its template as bytes, and as words of the ASCII list.
#[derive(Clone, Debug)]
pub(crate) struct SoftEntry {
    pub pcr: u32,
    pub template: &'static str,
    pub fields: Vec<Vec<u8>>,
    pub words: Vec<String>,
    pub violation: bool,
}

impl SoftEntry {
    pub fn new(template: &'static str, fields: Vec<(Vec<u8>, String)>) -> Self {
        let (fields, words) = fields.into_iter().unzip();
        Self {
            pcr: 10,
            template,
            fields,
            words,
            violation: false,
        }
    }

    /// `ima-ng` with the SHA-256 of `content`.
    pub fn ng(content: &[u8], name: &str) -> Self {
        Self::new("ima-ng", vec![digest(HashAlg::Sha256, content), text(name)])
    }

    /// `ima-sig`.
    pub fn sig(content: &[u8], name: &str, signature: &[u8]) -> Self {
        let fields = vec![
            digest(HashAlg::Sha256, content),
            text(name),
            bytes(signature),
        ];
        Self::new("ima-sig", fields)
    }

    /// `ima-buf`.
    pub fn buf(content: &[u8], name: &str) -> Self {
        let fields = vec![digest(HashAlg::Sha256, content), text(name), bytes(content)];
        Self::new("ima-buf", fields)
    }

    /// `ima`.
    pub fn fixed(content: &[u8], name: &str) -> Self {
        let digest = HashAlg::Sha1.digest(&[content]);
        let word = hex::encode(&digest);
        Self::new("ima", vec![(digest, word), (name.into(), name.into())])
    }

    pub fn violated(name: &str) -> Self {
        let zeros = (
            [b"sha256:\0".as_slice(), &[0; 32]].concat(),
            format!("sha256:{}", "00".repeat(32)),
        );
        Self {
            violation: true,
            ..Self::new("ima-ng", vec![zeros, text(name)])
        }
    }

    pub fn on(self, pcr: u32) -> Self {
        Self { pcr, ..self }
    }

    /// Template data as they stand in the list.
    pub fn data(&self) -> Vec<u8> {
        match self.template {
            "ima" => [self.fields[0].clone(), counted(&self.fields[1])].concat(),
            _ => self
                .fields
                .iter()
                .flat_map(|field| counted(field))
                .collect(),
        }
    }

    /// What is hashed.
    pub fn hashed(&self) -> Vec<u8> {
        if self.template != "ima" {
            return self.data();
        }
        let mut padded = self.fields.concat();
        padded.resize(276, 0);
        padded
    }

    pub fn template_hash(&self, alg: HashAlg) -> Vec<u8> {
        match self.violation {
            true => vec![0; alg.size()],
            false => alg.digest(&[&self.hashed()]),
        }
    }

    pub fn binary(&self, alg: HashAlg) -> Vec<u8> {
        let data = match self.template {
            "ima" => self.data(),
            _ => counted(&self.data()),
        };
        let parts = [
            self.pcr.to_le_bytes().to_vec(),
            self.template_hash(alg),
            counted(self.template.as_bytes()),
            data,
        ];
        parts.concat()
    }

    pub fn ascii(&self, alg: HashAlg) -> String {
        let hash = hex::encode(self.template_hash(alg));
        format!(
            "{:2} {hash} {} {}\n",
            self.pcr,
            self.template,
            self.words.join(" ")
        )
    }

    /// What a bank is extended with.
    fn extension(&self, bank: HashAlg, form: BankForm) -> Vec<u8> {
        let mut value = match (form, self.violation) {
            (BankForm::Native, true) => vec![0xff; bank.size()],
            (BankForm::Native, false) => bank.digest(&[&self.hashed()]),
            (BankForm::PaddedSha1, true) => vec![0xff; 20],
            (BankForm::PaddedSha1, false) => HashAlg::Sha1.digest(&[&self.hashed()]),
        };
        value.resize(bank.size(), 0);
        value
    }
}

/// `d-ng`.
pub(crate) fn digest(alg: HashAlg, content: &[u8]) -> (Vec<u8>, String) {
    labelled(&format!("{alg:?}:").to_lowercase(), &alg.digest(&[content]))
}

/// A digest field with any label.
pub(crate) fn labelled(label: &str, digest: &[u8]) -> (Vec<u8>, String) {
    let field = [label.as_bytes(), &[0], digest].concat();
    (field, format!("{label}{}", hex::encode(digest)))
}

/// `n-ng`.
pub(crate) fn text(name: &str) -> (Vec<u8>, String) {
    ([name.as_bytes(), &[0]].concat(), name.into())
}

pub(crate) fn bytes(value: &[u8]) -> (Vec<u8>, String) {
    (value.to_vec(), hex::encode(value))
}

pub(crate) fn counted(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
}

pub(crate) fn binary(entries: &[SoftEntry], alg: HashAlg) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.binary(alg)).collect()
}

pub(crate) fn ascii(entries: &[SoftEntry], alg: HashAlg) -> String {
    entries.iter().map(|entry| entry.ascii(alg)).collect()
}

/// What a TPM holds after the entries: every PCR they name, and PCR 10.
pub(crate) fn pcrs(entries: &[SoftEntry], banks: &[(HashAlg, BankForm)]) -> PcrValues {
    let mut values = BTreeMap::new();
    for (bank, form) in banks {
        values.insert((*bank, 10), vec![0; bank.size()]);
        for entry in entries {
            let value = values
                .entry((*bank, entry.pcr))
                .or_insert_with(|| vec![0; bank.size()]);
            *value = bank.digest(&[value, &entry.extension(*bank, *form)]);
        }
    }
    values
}

/// The usual quote: SHA-1 and SHA-256, each its own hash.
pub(crate) fn quoted(entries: &[SoftEntry]) -> PcrValues {
    let forms = [
        (HashAlg::Sha1, BankForm::Native),
        (HashAlg::Sha256, BankForm::Native),
    ];
    pcrs(entries, &forms)
}

/// One entry of every template, with every field filled.
pub(crate) fn every_template() -> Vec<SoftEntry> {
    let content = b"content";
    let ng = || digest(HashAlg::Sha256, content);
    let v2 = |label: &str, alg: HashAlg| labelled(label, &alg.digest(&[content]));
    let number =
        |value: u32, size: usize| (value.to_le_bytes()[..size].to_vec(), value.to_string());
    vec![
        SoftEntry::ng(content, "boot_aggregate"),
        SoftEntry::fixed(content, "/sbin/init"),
        SoftEntry::new("ima-ng", vec![digest(HashAlg::Sha1, content), text("/a")]),
        SoftEntry::new("ima-ng", vec![digest(HashAlg::Sha384, content), text("/b")]),
        SoftEntry::new("ima-ng", vec![digest(HashAlg::Sha512, content), text("/c")]),
        SoftEntry::new(
            "ima-ngv2",
            vec![v2("ima:sha256:", HashAlg::Sha256), text("/d")],
        ),
        SoftEntry::sig(content, "/e", b"signature"),
        SoftEntry::sig(content, "/f", b""),
        SoftEntry::new(
            "ima-sigv2",
            vec![
                v2("verity:sha512:", HashAlg::Sha512),
                text("/g"),
                bytes(b"sig"),
            ],
        ),
        SoftEntry::buf(b"ro quiet", "kexec-cmdline"),
        SoftEntry::new(
            "ima-modsig",
            vec![
                ng(),
                text("/h.ko"),
                bytes(b""),
                digest(HashAlg::Sha512, b"body"),
                bytes(b"pkcs7"),
            ],
        ),
        SoftEntry::new(
            "ima-modsig",
            vec![ng(), text("/i"), bytes(b"s"), bytes(b""), bytes(b"")],
        ),
        SoftEntry::new(
            "evm-sig",
            vec![
                ng(),
                text("/j"),
                bytes(b"evm"),
                text("security.ima|security.selinux"),
                bytes(&[1, 0, 0, 0, 2, 0, 0, 0]),
                bytes(b"abc"),
                number(1000, 4),
                number(0, 4),
                number(0o100_755, 2),
            ],
        ),
        SoftEntry::new("evm-sig", {
            let empty = || (Vec::new(), String::new());
            let mut fields = vec![ng(), text("boot")];
            fields.extend((0..7).map(|_| empty()));
            fields
        }),
    ]
}

/// A short list as most machines have it: aggregate, a violation, files.
pub(crate) fn short() -> Vec<SoftEntry> {
    vec![
        SoftEntry::ng(b"aggregate", "boot_aggregate"),
        SoftEntry::sig(b"init", "/init", b""),
        SoftEntry::violated("/var/log/journal"),
        SoftEntry::ng(b"sh", "/usr/bin/sh"),
        SoftEntry::buf(b"quiet", "kexec-cmdline"),
    ]
}

#[test]
fn the_builder_knows_every_template() {
    let entries = every_template();
    for template in Template::ALL {
        assert!(
            entries
                .iter()
                .any(|entry| entry.template == template.name())
        );
    }
}
