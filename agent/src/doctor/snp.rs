//! The `[snp]` section: whether there is a report, and which chips this host has.

use super::{Finding, fail, failed, pass, skip};
use crate::node::StartError;
use crate::sources::snp::Snp;
use assay_protocol::config::SnpSection;
use assay_protocol::ids::ReportData;
use std::time::Instant;

const REPORT: &str = "snp-report";

/// A report over nothing, as a HyperNode's would be made, and the chip ids.
pub fn examine(section: Option<&SnpSection>) -> Vec<Finding> {
    let Some(section) = section else {
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

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::sources::configfs_tsm::ENTRY;
    use assay_protocol::config::SnpSource;
    use assay_testbed::TsmEntry;

    #[test]
    fn a_report_is_made_and_what_is_missing_is_told() {
        assert_eq!(examine(None), []);
        let dir = tempfile::tempdir().unwrap();
        let make = |data: [u8; 64]| (data.to_vec(), vec![1; 9]);
        let entry = TsmEntry::start(dir.path(), ENTRY, "sev_guest", make).unwrap();
        let path = dir.path().into();
        let section = SnpSection {
            source: SnpSource::ConfigfsTsm { path },
            host: None,
            certificates: None,
            deadline_ms: 10_000,
        };
        let verdicts = |section: &SnpSection| -> Vec<(&str, Verdict)> {
            let found = examine(Some(section)).into_iter();
            found.map(|found| (found.name, found.verdict)).collect()
        };
        let chips = ("snp-chip-ids", Verdict::Skip);
        assert_eq!(verdicts(&section), [(REPORT, Verdict::Pass), chips]);
        let found = &examine(Some(&section))[0].found;
        assert!(
            found.starts_with("64 bytes and a certificate table of 9 in "),
            "{found}"
        );
        entry.remake(|_| (Vec::new(), Vec::new()));
        assert_eq!(verdicts(&section), [(REPORT, Verdict::Fail), chips]);
        let section = SnpSection {
            host: Some("/nowhere/sev".into()),
            ..section
        };
        assert_eq!(verdicts(&section), [(REPORT, Verdict::Fail)]);
    }
}
