//! What the agent tells its owner.

use super::*;
use serde_json::Value;

/// A backstop: news are written within seconds.
const NEWS_MAX: Duration = Duration::from_secs(60);

fn asked(bench: &Bench) -> (i32, Value) {
    let output = Command::new(AGENT)
        .args(["status", "--json", "--config"])
        .arg(bench.config())
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), report)
}

/// Asks until `holds`.
fn until(bench: &Bench, holds: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let (_, report) = asked(bench);
        if holds(&report) {
            return report;
        }
        assert!(begun.elapsed() < NEWS_MAX, "{report:#}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn the_owner_sees_a_running_agent_and_a_dead_one() {
    let bench = Bench::new();
    let (code, report) = asked(&bench);
    assert_eq!((code, &report["running"]), (1, &Value::Bool(false)));
    assert!(report["status"].is_null());
    let mut agent = bench.start();
    let (code, report) = asked(&bench);
    let status = &report["status"];
    assert_eq!((code, &report["running"]), (0, &Value::Bool(true)));
    assert_eq!(status["node"], agent.node.to_string());
    assert_eq!(status["session"], hex::encode(agent.session));
    assert_eq!(status["listen"], agent.address);
    assert_eq!(status["process"]["pid"], agent.child.id());
    assert_eq!(status["confinement"]["seccomp"], true);
    assert!(status["tpm"]["reset_count"].as_u64().unwrap() > 0);

    let mut client = bench.bound(&agent);
    client.refused(AgentRequest::FillEnd);
    client.probe([3; 32]);
    let key = hex::encode(client.key);
    let last = |report: &Value, kind: &str| {
        report["status"]["hypernodes"][&key]["last"][kind]["result"].clone()
    };
    let report = until(&bench, |report| !last(report, "probe").is_null());
    assert_eq!(last(&report, "attest"), "ok");
    assert_eq!(last(&report, "probe"), "ok");
    assert!(
        last(&report, "fill")
            .as_str()
            .unwrap()
            .contains("send FillBegin first")
    );
    let seen = &report["status"]["hypernodes"][&key];
    assert_eq!(
        (&seen["connections"], &seen["refusals"]),
        (&Value::from(1), &Value::from(1))
    );

    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    let (code, report) = asked(&bench);
    assert_eq!((code, &report["running"]), (1, &Value::Bool(false)));
    let table = Command::new(AGENT)
        .args(["status", "--config"])
        .arg(bench.config())
        .output()
        .unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with("not running  process "), "{table}");
    assert!(
        table.contains(&key) && table.contains("send FillBegin first"),
        "{table}"
    );
    // A damaged file is said to be one.
    std::fs::write(bench.path("state/status.json"), "{").unwrap();
    let (code, said) = bench.fail(&["status"]);
    assert!(code == 5 && said.contains("status.json: "), "{said}");
}
