//! SEV-SNP: whether this machine can run guests that prove its chassis, and, as the `[snp]` section says, whether there is
//! a report and which chips this host has.

use super::{Finding, fail, failed, pass, skip};
use crate::node::StartError;
use crate::sources::probe_guest::GuestError;
use crate::sources::report::SourceError;
use crate::sources::snp::Snp;
use assay_protocol::config::SnpSection;
use assay_protocol::ids::ReportData;
use std::path::Path;
use std::time::Instant;

const REPORT: &str = "snp-report";
/// Whether the hypervisor may make SEV-SNP guests: `Y` or `N` (Linux 6.11 and later).
const HYPERVISOR: &str = "sys/module/kvm_amd/parameters/sev_snp";

/// What is between this machine and a probe guest, the first obstacle first.
pub fn machine(root: &Path) -> Finding {
    const NAME: &str = "sev-snp";
    let there = |path: &str| root.join(path).exists();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let missing = |found: &str, hint: &str| skip(NAME, found, format!("for tier 3: {hint}"));
    if there("dev/sev-guest") {
        return pass(NAME, "a confidential guest, which proves no chassis");
    }
    if !read("proc/cpuinfo")
        .split_whitespace()
        .any(|flag| flag == "sev_snp")
    {
        return missing(
            "no flag sev_snp in /proc/cpuinfo",
            "take an AMD EPYC of the third generation or later, and turn on SMEE, SEV-SNP and its RMP table in the \
             firmware's setup",
        );
    }
    if read(HYPERVISOR).trim() != "Y" {
        return missing(
            "the CPU has SEV-SNP, the kernel runs no such guests (kvm_amd sev_snp is not Y)",
            "take Linux 6.11 or later with the IOMMU on, and see what `dmesg | grep -i sev` says",
        );
    }
    for (device, hint) in [
        ("dev/sev", "load the driver ccp"),
        ("dev/kvm", "load the driver kvm_amd"),
        ("dev/vhost-vsock", "load the driver vhost_vsock"),
    ] {
        if !there(device) {
            return missing(&format!("a host of SEV-SNP guests without /{device}"), hint);
        }
    }
    pass(NAME, "a host of SEV-SNP guests")
}

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
            format!(
                "{}; without a report evidence is sent that reaches tier 2 at most",
                remedy(&error)
            ),
        ),
    }
}

/// What to do about it.
fn remedy(error: &SourceError) -> &'static str {
    let SourceError::ProbeGuest { why, .. } = error else {
        return "see the message";
    };
    match why {
        GuestError::Unreachable(_) => {
            "start the probe guest (`systemctl status assay-probe`); snp.cid must be the --cid it was started with"
        }
        GuestError::Spoken(_) => {
            "something else than a probe guest of this version listens there; see snp.cid and snp.port"
        }
        GuestError::Refused(_) => {
            "the guest was started without SEV-SNP, or the firmware refused; see its console (`journalctl -u assay-probe`)"
        }
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
    use assay_protocol::wire::{Refusal, RefusalCode};
    use assay_testbed::TsmEntry;
    use assay_transport::frames::TransportError;

    /// Each step of a provider's way, with what to do next.
    #[test]
    fn what_a_host_lacks_for_a_probe_guest_is_told_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let seen = |found: &str, hint: &str| {
            let seen = machine(dir.path());
            assert_eq!(seen.verdict, Verdict::Skip);
            assert!(seen.found.contains(found), "{seen}");
            assert!(seen.hint.as_deref().unwrap().contains(hint), "{seen}");
        };
        seen("no flag sev_snp", "AMD EPYC");
        put("proc/cpuinfo", "flags\t\t: fpu sev sev_es\n");
        seen("no flag sev_snp", "firmware's setup");
        put(
            "proc/cpuinfo",
            "flags\t\t: fpu sev sev_es sev_snp debug_swap\n",
        );
        seen("the kernel runs no such guests", "Linux 6.11");
        put(HYPERVISOR, "N\n");
        seen("the kernel runs no such guests", "IOMMU");
        put(HYPERVISOR, "Y\n");
        for (device, driver) in [
            ("sev", "ccp"),
            ("kvm", "kvm_amd"),
            ("vhost-vsock", "vhost_vsock"),
        ] {
            seen(&format!("without /dev/{device}"), driver);
            put(&format!("dev/{device}"), "");
        }
        assert_eq!(
            machine(dir.path()),
            pass("sev-snp", "a host of SEV-SNP guests")
        );
        put("dev/sev-guest", "");
        assert!(
            machine(dir.path())
                .found
                .starts_with("a confidential guest")
        );
    }

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
        // What is wrong with a guest leads to another remedy each.
        let (cid, port) = (77, 9);
        let refusal = Refusal::new(RefusalCode::Storage, "/dev/sev-guest: No such file");
        for (why, hint) in [
            (
                GuestError::Unreachable(std::io::ErrorKind::TimedOut.into()),
                "start the probe guest",
            ),
            (
                TransportError::Io(std::io::ErrorKind::UnexpectedEof.into()).into(),
                "something else",
            ),
            (GuestError::Refused(refusal), "without SEV-SNP"),
        ] {
            let error = SourceError::ProbeGuest { cid, port, why };
            assert!(remedy(&error).contains(hint), "{error}");
        }
        assert_eq!(remedy(&SourceError::Busy), "see the message");
        entry.remake(|_| (Vec::new(), Vec::new()));
        assert_eq!(verdicts(&section), [(REPORT, Verdict::Fail), chips]);
        let section = SnpSection {
            host: Some("/nowhere/sev".into()),
            ..section
        };
        assert_eq!(verdicts(&section), [(REPORT, Verdict::Fail)]);
    }
}
