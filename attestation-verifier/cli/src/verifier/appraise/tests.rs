//! The commands over evidence made here.

use super::*;
use crate::verifier::Conclusion;
use assay_protocol::class::{HardwareClass, ImaPolicy, PcrReference, ValidClass};
use assay_protocol::ids::Digest;
use assay_protocol::ids::{Address, NodeId};
use assay_protocol::item::Blob;
use assay_testbed::{ImaList, SoftNode};
use clap::Parser;

const NETWORK: NetworkId = NetworkId([0x11; 32]);
const HYPERNODE: HyperNodeId = HyperNodeId([4; 32]);
const NONCE: Nonce = Nonce([5; 32]);

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Appraise,
}

struct Files {
    dir: tempfile::TempDir,
    node: SoftNode,
}

impl Files {
    fn new() -> Self {
        let node = SoftNode::new(NodeId([3; 32]), (NETWORK, Address([0x22; 20])));
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
            node,
        };
        let class = assay_hw_profiles::parse(assay_hw_profiles::DEMO_CLASS).unwrap();
        let mut class = class.into_class();
        let reference = |(index, value): (u8, assay_protocol::ids::Digest)| PcrReference {
            index,
            allowed: vec![value],
        };
        class.attestation.pcrs = files
            .node
            .pcrs()
            .into_iter()
            .take(8)
            .map(reference)
            .collect();
        files.write("class.toml", toml::to_string(&class).unwrap().as_bytes());
        files.write("roots.json", br#"{"allowed_kinds":["test"],"roots":[]}"#);
        files.write("evidence", &files.node.evidence(&[(HYPERNODE, NONCE)]));
        files
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn line(&self, more: &[&str]) -> Result<Appraise> {
        let files = ["evidence", "class.toml", "roots.json"].map(|name| self.path(name));
        let [evidence, class, roots] = &files;
        let (hypernode, nonce) = (HYPERNODE.to_string(), NONCE.to_string());
        let line = [
            "tool",
            evidence,
            "--profile",
            class,
            "--roots",
            roots,
            "--hypernode",
            &hypernode,
            "--nonce",
            &nonce,
        ];
        let line = line.iter().chain(more).map(|word| (*word).to_owned());
        Ok(Line::try_parse_from(line)?.arguments)
    }
}

fn open(finding: &Finding) -> Vec<&str> {
    let checks = finding.checks.iter();
    let open = checks.filter(|check| check.outcome != Outcome::Pass);
    open.map(|check| check.name).collect()
}

#[test]
fn without_an_enrolment_good_evidence_is_undecided_and_says_why() {
    let files = Files::new();
    let ear = files.path("ear.cbor");
    let finding = explain(&files.line(&["--ear", &ear]).unwrap()).unwrap();
    assert_eq!(finding.result, Conclusion::Undecided, "{finding}");
    assert_eq!(open(&finding), ["enrolment", "root-kind", "tier"]);
    assert_eq!(finding.claims["tier"], 0);
    assert_eq!(finding.claims["attest"], "undecided");
    assert_eq!(finding.claims["network_expected"], false);
    let token = std::fs::read(&ear).unwrap();
    let value = assay_protocol::cbor::Value::decode(&token).unwrap();
    let field = assay_protocol::cbor::Field::new("EAR", value);
    let read = assay_appraisal::ear::Ear::from_field(field).unwrap();
    assert_eq!((read.tier, read.nonce), (0, NONCE));
    let stopped = appraise(&files.line(&[]).unwrap()).unwrap();
    assert_eq!(open(&stopped), ["enrolment"]);
    assert_eq!(stopped.checks.len(), 2);
}

#[test]
fn what_is_wrong_is_rejected_by_name() {
    let files = Files::new();
    let other = Nonce([6; 32]).to_string();
    let mut line = files.line(&[]).unwrap();
    line.nonce = other;
    let finding = explain(&line).unwrap();
    assert_eq!(finding.result, Conclusion::Rejected);
    assert_eq!(open(&finding), ["enrolment", "nonce"]);
    let network = NetworkId([9; 32]).to_string();
    let finding = explain(&files.line(&["--network", &network]).unwrap()).unwrap();
    assert_eq!(finding.result, Conclusion::Rejected);
    let names = ["enrolment", "owner-network", "root-kind", "tier"];
    assert_eq!(open(&finding), names);
    let mut bytes = files.node.evidence(&[(HYPERNODE, NONCE)]);
    bytes.pop();
    files.write("evidence", &bytes);
    for command in [appraise, explain] {
        let finding = command(&files.line(&[]).unwrap()).unwrap();
        assert_eq!(finding.result, Conclusion::Rejected);
        assert_eq!(open(&finding), ["evidence"]);
    }
    files.write("enrolment", b"x");
    let finding = explain(
        &files
            .line(&["--enrolment", &files.path("enrolment")])
            .unwrap(),
    );
    assert_eq!(finding.unwrap().result, Conclusion::Rejected);
}

#[test]
fn what_cannot_be_asked_is_an_error() {
    let files = Files::new();
    let mut line = files.line(&[]).unwrap();
    line.nonce = "5".into();
    assert!(appraise(&line).is_err());
    let mut line = files.line(&[]).unwrap();
    line.profile = "missing".into();
    assert!(appraise(&line).is_err());
    files.write("class.toml", b"schema = 1");
    assert!(appraise(&files.line(&[]).unwrap()).is_err());
}

/// The rest of an IMA list explains nothing without what was before it.
#[test]
fn earlier_parts_of_a_list_may_be_given() {
    let mut files = Files::new();
    let run: [(&str, &[u8]); 2] = [("/agent", b"agent"), ("/policy", b"policy")];
    let text = std::fs::read_to_string(files.path("class.toml")).unwrap();
    let mut class = assay_hw_profiles::parse(&text).unwrap().into_class();
    class.attestation.ima = Some(ImaPolicy {
        allowed: vec![digest(&[run[0].1])],
        policies: vec![digest(&[run[1].1])],
        command_lines: vec!["ima_policy=tcb".into()],
    });
    files.write("class.toml", toml::to_string(&class).unwrap().as_bytes());
    let mut list = ImaList::new(&files.node.boot.pcrs(), &run);
    files.node.ima = Some(list.clone());
    let rest = list.entries.split_off(2);
    let rest = ImaList { entries: rest }.encode();
    let (mut claims, _) = files.node.claims(&[(HYPERNODE, NONCE)]);
    claims.ima = Some(evidence::ImaClaim {
        digest: digest(&[&rest]),
        first: 2,
        count: 1,
    });
    let mut vendor = files.node.vendor(&claims, None);
    vendor.ima_log = Some(Blob(rest));
    let sealed = evidence::seal(claims, &vendor, &files.node.session);
    files.write("evidence", &sealed);
    files.write("part", &list.encode());
    let part = files.path("part");
    let explained = |more: &[&str]| {
        let finding = explain(&files.line(more).unwrap()).unwrap();
        !open(&finding).contains(&"tier-2-ima-list")
    };
    assert!(explained(&["--ima-part", &part]));
    assert!(!explained(&[]));
    assert!(!explained(&["--ima-part", &part, "--ima-part", &part]));
}

/// Of the image a class names, the node has another: the tier is out of reach and the node is not to blame.
#[test]
fn a_tier_that_is_not_reached_is_named_last() {
    let files = Files::new();
    let class = std::fs::read_to_string(files.path("class.toml")).unwrap();
    let mut class = assay_hw_profiles::parse(&class).unwrap().into_class();
    let given = |class: HardwareClass, tier, attest, outcomes: &[Outcome]| {
        let mut checks = Checks::new(Mode::Explain);
        for outcome in outcomes {
            let recorded = checks.record("tier-2-image-pcrs", *outcome, "", "");
            assert_eq!(recorded, Ok(()));
        }
        let appraisal = Appraisal {
            tier,
            attest,
            checks: checks.into_list(),
            ..some_appraisal(&files)
        };
        let given = Given {
            class: ValidClass::new(class).unwrap(),
            ..Given::read(&files.line(&[]).unwrap()).unwrap()
        };
        let finding = given.conclude(Mode::Explain, CheckList::default(), &appraisal, json!({}));
        assert_eq!(finding.checks.last().unwrap().name, "tier");
        (finding.result, finding.checks.last().unwrap().outcome)
    };
    use Conclusion::{Accepted, Rejected, Undecided};
    let (pass, fail, open) = (Outcome::Pass, Outcome::Fail, Outcome::Undecided);
    assert_eq!(
        given(class.clone(), 1, Attest::Pass, &[fail]),
        (Accepted, pass)
    );
    assert_eq!(
        given(class.clone(), 0, Attest::Undecided, &[open]),
        (Undecided, open)
    );
    class.attestation.tier_min = 2;
    class.attestation.ima = Some(ImaPolicy {
        allowed: vec![Digest([1; 32])],
        policies: vec![Digest([2; 32])],
        command_lines: vec!["ima_policy=tcb".into()],
    });
    assert_eq!(
        given(class.clone(), 2, Attest::Pass, &[pass]),
        (Accepted, pass)
    );
    assert_eq!(
        given(class.clone(), 1, Attest::Pass, &[fail]),
        (Rejected, fail)
    );
    assert_eq!(
        given(class.clone(), 1, Attest::Pass, &[open]),
        (Undecided, open)
    );
    assert_eq!(given(class, 0, Attest::Fail, &[pass]), (Rejected, fail));
}

fn some_appraisal(files: &Files) -> Appraisal {
    let given = Given::read(&files.line(&[]).unwrap()).unwrap();
    let mut checks = Checks::new(Mode::Explain);
    given.judge(&mut checks, Mode::Explain).unwrap().0.unwrap()
}
