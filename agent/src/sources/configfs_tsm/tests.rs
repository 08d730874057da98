use super::*;
use assay_testbed::TsmEntry;
use std::collections::VecDeque;
use std::sync::Mutex;

const DATA: ReportData = ReportData([3; 64]);

/// A report that repeats what was asked, and a table.
fn echo(data: [u8; 64]) -> (Vec<u8>, Vec<u8>) {
    ([&b"report of "[..], &data].concat(), b"table".to_vec())
}

struct Kernel {
    dir: tempfile::TempDir,
    entry: TsmEntry,
}

impl Kernel {
    fn new(provider: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let entry = TsmEntry::start(dir.path(), ENTRY, provider, echo).unwrap();
        Self { dir, entry }
    }

    fn open(&self) -> Result<ConfigfsTsm, SourceError> {
        ConfigfsTsm::open(self.dir.path())
    }
}

#[test]
fn each_report_is_of_what_was_asked_and_takes_one_write() {
    let kernel = Kernel::new("sev_guest");
    let mut tsm = kernel.open().unwrap();
    // The privilege level.
    assert_eq!(kernel.entry.generation(), 1);
    for (n, count) in (5..).zip(2..5) {
        let report = tsm.report(&ReportData([n; 64])).unwrap();
        assert_eq!((report.report.0, report.certificates.0), echo([n; 64]));
        assert_eq!(kernel.entry.generation(), count);
    }
    // The entry was there before.
    drop(tsm);
    assert!(kernel.dir.path().join(ENTRY).is_dir());
}

#[test]
fn a_report_that_others_wrote_into_is_asked_for_again_but_not_for_ever() {
    let kernel = Kernel::new("sev_guest");
    let mut tsm = kernel.open().unwrap();
    kernel.entry.disturb(ATTEMPTS_MAX - 1);
    assert_eq!(tsm.report(&DATA).unwrap().report.0, echo(DATA.0).0);
    kernel.entry.disturb(ATTEMPTS_MAX);
    let error = tsm.report(&DATA).unwrap_err().to_string();
    assert!(
        error.ends_with("others wrote to it in each of 5 attempts"),
        "{error}"
    );
}

#[test]
fn another_driver_and_a_folder_that_is_not_there_are_named() {
    let kernel = Kernel::new("tdx_guest");
    let error = kernel.open().unwrap_err().to_string();
    assert!(
        error.ends_with("provider: expected sev_guest, got \"tdx_guest\""),
        "{error}"
    );
    let error = ConfigfsTsm::open(Path::new("/nowhere"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/nowhere/assay-agent: No such file"),
        "{error}"
    );
}

#[test]
fn blobs_longer_than_evidence_carries_are_refused_by_name() {
    for (report, table, named) in [
        (
            SNP_REPORT_BYTES_MAX + 1,
            1,
            "outblob: longer than 4096 bytes",
        ),
        (
            1,
            SNP_CERTIFICATES_BYTES_MAX + 1,
            "auxblob: longer than 32768 bytes",
        ),
    ] {
        let kernel = Kernel::new("sev_guest");
        kernel
            .entry
            .remake(move |_| (vec![1; report], vec![1; table]));
        let error = kernel
            .open()
            .unwrap()
            .report(&DATA)
            .unwrap_err()
            .to_string();
        assert!(error.ends_with(named), "{error}");
    }
    let kernel = Kernel::new("sev_guest");
    let most = (
        vec![1; SNP_REPORT_BYTES_MAX],
        vec![1; SNP_CERTIFICATES_BYTES_MAX],
    );
    let given = most.clone();
    kernel.entry.remake(move |_| given.clone());
    let report = kernel.open().unwrap().report(&DATA).unwrap();
    assert_eq!((report.report.0, report.certificates.0), most);
}

/// The kernel makes an entry with its attributes or none; an ordinary folder gets an empty one.
#[test]
fn an_entry_that_this_process_made_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let error = ConfigfsTsm::open(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("assay-agent/provider: No such file"),
        "{error}"
    );
    assert!(!dir.path().join(ENTRY).exists());
}

/// An entry whose every access follows a script: what a folder cannot do.
#[derive(Debug)]
struct Scripted(Mutex<VecDeque<(&'static str, io::Result<&'static str>)>>);

impl Scripted {
    fn next(&self, name: &str) -> io::Result<Vec<u8>> {
        let (expected, outcome) = self.0.lock().unwrap().pop_front().unwrap();
        assert_eq!(name, expected);
        outcome.map(|text| text.as_bytes().to_vec())
    }
}

impl Attributes for Scripted {
    fn read(&self, name: &str, _: usize) -> io::Result<Vec<u8>> {
        self.next(name)
    }

    fn write(&self, name: &str, _: &[u8]) -> io::Result<()> {
        self.next(name).map(|_| ())
    }
}

fn run(script: impl IntoIterator<Item = (&'static str, io::Result<&'static str>)>) -> String {
    let attributes = Scripted(Mutex::new(script.into_iter().collect()));
    let mut tsm = ConfigfsTsm {
        path: "/entry".into(),
        attributes,
        made: false,
    };
    let outcome = tsm.report(&DATA);
    assert!(tsm.attributes.0.lock().unwrap().is_empty());
    match outcome {
        Ok(report) => String::from_utf8(report.report.0).unwrap(),
        Err(error) => error.to_string(),
    }
}

fn undisturbed(
    before: &'static str,
    after: &'static str,
) -> [(&'static str, io::Result<&'static str>); 6] {
    [
        ("generation", Ok(before)),
        ("inblob", Ok("")),
        ("generation", Ok(after)),
        ("outblob", Ok("report")),
        ("auxblob", Ok("")),
        ("generation", Ok(after)),
    ]
}

/// Closing the file tells nobody that the write was refused; the number does, and the old report is not even read.
#[test]
fn a_write_that_the_kernel_did_not_take_is_noticed() {
    let lost = [
        ("generation", Ok("4\n")),
        ("inblob", Ok("")),
        ("generation", Ok("4\n")),
    ];
    assert_eq!(
        run(lost.into_iter().chain(undisturbed("4\n", "5\n"))),
        "report"
    );
    let wrapped = undisturbed("18446744073709551615\n", "0\n");
    assert_eq!(run(wrapped), "report");
}

#[test]
fn what_passes_is_tried_again_and_what_stays_is_not() {
    for kind in [ErrorKind::WouldBlock, ErrorKind::ResourceBusy] {
        let busy = || {
            [
                ("generation", Ok("4")),
                ("inblob", Ok("")),
                ("generation", Ok("5")),
                ("outblob", Err(io::Error::from(kind))),
            ]
        };
        assert_eq!(
            run(busy().into_iter().chain(undisturbed("5", "6"))),
            "report"
        );
        let always = (0..ATTEMPTS_MAX).flat_map(|_| busy());
        assert!(run(always).contains("5 attempts"));
    }
    let gone = [("generation", Err(io::Error::from(ErrorKind::NotFound)))];
    assert!(run(gone).starts_with("/entry/generation: "));
    let nonsense = [("generation", Ok("many"))];
    assert_eq!(
        run(nonsense),
        "/entry/generation: expected a number, got \"many\""
    );
}
