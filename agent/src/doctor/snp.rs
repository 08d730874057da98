//! The `[snp]` section: whether there is a report, and which chips this host has.

use super::{Finding, fail, failed, pass, skip};
use crate::node::StartError;
use crate::sources::snp::Snp;
use assay_protocol::config::{AgentConfig, SnpSection};
use assay_protocol::ids::ReportData;
use std::time::Instant;

const REPORT: &str = "snp-report";

/// A report over nothing, as a HyperNode's would be made, and the chip ids.
pub fn examine(config: &AgentConfig) -> Vec<Finding> {
    let Some(section) = &config.snp else {
        return Vec::new();
    };
    match Snp::open(section) {
        Ok(snp) => vec![report(&snp), chips(section, &snp)],
        Err(error) => vec![failed(REPORT, &StartError::Snp(error))],
    }
}

fn report(snp: &Snp) -> Finding {
    let begun = Instant::now();
    match snp.report(ReportData([0; 64])) {
        Ok(given) => pass(
            REPORT,
            format!(
                "{} bytes and a certificate table of {} in {} ms",
                given.report.0.len(),
                given.certificates.0.len(),
                begun.elapsed().as_millis()
            ),
        ),
        // The agent runs all the same.
        Err(error) => fail(
            REPORT,
            error.to_string(),
            "without a report evidence is sent that reaches tier 2 at most; see the message",
        ),
    }
}

fn chips(section: &SnpSection, snp: &Snp) -> Finding {
    const NAME: &str = "snp-chip-ids";
    match (&section.host, snp.chip_ids()) {
        (Some(host), Some(ids)) => pass(
            NAME,
            format!("{} of {}, the first {}", ids.len(), host.display(), ids[0]),
        ),
        _ => skip(
            NAME,
            "no snp.host",
            "tier 3 needs the ids of this host's chips; set snp.host, usually \"/dev/sev\"",
        ),
    }
}
