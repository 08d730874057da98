//! Real attestation data against what must come out of it. The data is not part of the repository: it is
//! read from `$ASSAY_VECTORS`, by default `shared/vectors` beside the repository.
//!
//! Two tables, each row named: `INDEX.tsv` (genuine data and foreign vectors) and `negative/MANIFEST.tsv`
//! (derived cases that must be refused, and controls that must not).

mod common;
mod cose;
mod ek;
mod eventlog;
mod ima;
mod quote;
mod snp;
mod wycheproof;

use common::{json, vectors};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A row of `INDEX.tsv`.
pub struct Row {
    /// The file, relative to the data's folder.
    pub path: String,
    /// What it is.
    pub kind: String,
    /// Which files belong together.
    pub group: String,
    /// What must come out of it.
    pub expected: String,
}

/// What became of a row that did not contradict its expectation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// The expectation was shown to hold; in words.
    Held(&'static str),
    /// Read together with another row, which names it.
    PartOf(&'static str),
    /// Not tested, and why.
    Skipped(&'static str),
}

fn rows(root: &Path) -> Vec<Row> {
    let text = fs::read_to_string(root.join("INDEX.tsv")).unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let field = |n: usize| line.split('\t').nth(n).unwrap_or_default().to_owned();
            Row {
                path: field(0),
                kind: field(1),
                group: field(6),
                expected: field(7),
            }
        })
        .collect()
}

fn show(root: &Path, row: &Row) -> Result<Shown, String> {
    match row.path.split('/').next().unwrap_or_default() {
        "snp" => snp::row(root, row),
        "tpm-quote" => quote::row(root, row),
        "eventlog" => eventlog::row(root, row),
        "ima" => ima::row(root, row),
        "ek-certs" | "tpm-roots" => ek::row(root, row),
        "cose" | "ear-corim" => cose::row(root, row),
        "wycheproof" => wycheproof::row(root, row),
        "tlog" => Ok(Shown::Skipped(
            "Merkle proofs are tested where the log is implemented (archive/log)",
        )),
        other => Err(format!("no test for the folder {other}")),
    }
}

#[test]
fn every_row_of_the_index_holds() {
    let Some(root) = vectors() else { return };
    let mut totals: BTreeMap<(String, Shown), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows(&root) {
        match show(&root, &row) {
            Ok(shown) => *totals.entry((row.kind, shown)).or_default() += 1,
            Err(problem) => wrong.push(format!("{}: {problem}", row.path)),
        }
    }
    for ((kind, shown), count) in &totals {
        eprintln!("{count:>4} {kind}: {shown:?}");
    }
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// One derived case: an error is a refusal.
fn case(root: &Path, folder: &Path) -> Result<(), String> {
    let manifest = json(&folder.join("case.json"));
    match manifest["id"].as_str().unwrap().split('/').next().unwrap() {
        "snp" | "snp-testroot" | "azure-hcl" => snp::case(folder, &manifest),
        "tpm-quote" | "tpm-quote-forged" | "eventlog" => quote::case(root, folder, &manifest),
        "ima" => ima::case(folder, &manifest),
        "ek-cert" => ek::case(folder, &manifest),
        "cose-sign1" => cose::case(folder, &manifest),
        other => panic!("no test for {other}"),
    }
}

#[test]
fn every_derived_case_is_refused_and_every_control_accepted() {
    let Some(root) = vectors() else { return };
    let manifest = fs::read_to_string(root.join("negative/MANIFEST.tsv")).unwrap();
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for line in manifest.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (path, required, reason) = (fields[0], fields[5], fields[6]);
        let outcome = case(&root, &root.join(path));
        eprintln!("{path}: {outcome:?}");
        if outcome.is_ok() != (required == "accept") {
            wrong.push(format!(
                "{path}: must {required} ({reason}), got {outcome:?}"
            ));
        }
        *if required == "accept" {
            &mut accepted
        } else {
            &mut refused
        } += 1;
    }
    eprintln!("derived cases: {refused} to refuse, {accepted} controls to accept");
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(accepted + refused, manifest.lines().count() - 1);
}
