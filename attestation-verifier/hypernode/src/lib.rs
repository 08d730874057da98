//! assay-hypernode: schedules and makes challenges, appraises the answers, archives them, and agrees with the
//! other HyperNodes on what they mean. The only part of the verifier with network, clock and disk.
#![forbid(unsafe_code)]

pub mod agent_link;
pub mod agree;
pub mod challenge;
pub mod clock;
pub mod config;
pub mod context;
pub mod control;
pub mod daemon;
pub mod export;
pub mod follow;
pub mod ledger_view;
pub mod node;
pub mod record;
pub mod report;
pub mod store;
pub mod succession;
pub mod vcek;

use assay_store::StoreError;

/// An error with its causes on one line; hints keep lines of their own, last. A text that its cause repeats is said once.
pub fn explain(error: &anyhow::Error) -> String {
    let (mut texts, mut hints): (Vec<String>, Vec<String>) = Default::default();
    for message in error.chain().map(ToString::to_string) {
        let (hint, text): (Vec<&str>, Vec<&str>) =
            message.lines().partition(|line| line.starts_with("hint:"));
        let text = text.join("\n");
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
        hints.extend(hint.into_iter().map(str::to_owned));
    }
    hints.dedup();
    let mut lines = vec![texts.join(": ")];
    lines.extend(hints);
    lines.join("\n")
}

/// Whether the journal or the archive could not be read or written.
pub fn is_storage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<StoreError>())
}
