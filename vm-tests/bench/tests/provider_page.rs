//! The provider's page (agent/README.md) followed to the letter on a fresh Debian machine. The commands are read from
//! the page, so that it cannot tell anything else than what was tried.

use assay_bench::debian;
use assay_bench::guest::Guest;
use assay_bench::judge::Judge;
use assay_bench::machine::Machine;
use assay_bench::table::Row;
use assay_bench::trial::{PROVIDER, Trial};
use assay_protocol::config::AgentConfig;
use assay_testbed::net::Programs;
use nix::unistd::Uid;
use std::fs;

const PAGE: &str = include_str!("../../../agent/README.md");
const VERSION: &str = "0.1.0";
/// Where the provider works.
const HOME: &str = "/srv";
/// Commands that cannot run in the machine, and why.
const ELSEWHERE: [(&str, &str); 2] = [
    (
        "make package",
        "the same script packs this build's programs",
    ),
    (
        "assay-bridge ledger register-node",
        "there is no ledger inside",
    ),
];

/// The lines of the page's code blocks in this language, block by block.
fn blocks(language: &str) -> Vec<Vec<&'static str>> {
    let (mut found, mut block) = (Vec::new(), None);
    for line in PAGE.lines() {
        match (line.strip_prefix("```"), &mut block) {
            (Some(opened), None) => block = Some((opened, Vec::new())),
            (Some(_), Some(_)) => found.extend(block.take()),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    found.retain(|(opened, _)| *opened == language);
    found.into_iter().map(|(_, lines)| lines).collect()
}

/// The page's configuration; what is shown after it is added to it.
fn configuration() -> String {
    blocks("toml")[0].join("\n")
}

/// The page's commands in its order, without what it says about them.
fn commands() -> Vec<String> {
    let (mut commands, mut begun) = (Vec::new(), String::new());
    for line in blocks("").concat() {
        let line = line.split(" # ").next().unwrap_or_default().trim();
        match line.strip_suffix('\\') {
            Some(part) => begun += part,
            None => commands.push(std::mem::take(&mut begun) + line),
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// A configuration with this network in the places that the page leaves open.
fn filled_in(text: &str, trial: &Trial) -> String {
    let config = trial.config(PROVIDER);
    let roster: Vec<String> = config.roster.iter().map(ToString::to_string).collect();
    let [network, provider] = [config.network.to_string(), PROVIDER.to_string()];
    replaced(text, &network, &provider, &roster.join("\", \""))
}

fn replaced(text: &str, network: &str, provider: &str, hypernodes: &str) -> String {
    text.replace("<network id, 64 hex digits>", network)
        .replace("<your ledger account, 40 hex digits>", provider)
        .replace("<HyperNode id, 64 hex digits>", hypernodes)
}

#[test]
fn the_page_s_configuration_is_one_with_and_without_what_it_comments_out() {
    let block = replaced(
        &configuration(),
        &"11".repeat(32),
        &"22".repeat(20),
        &"33".repeat(32),
    );
    let plain = AgentConfig::parse(block.as_bytes()).unwrap();
    assert!(plain.snp.is_none() && plain.ima.is_some());
    let uncommented = block.replace("\n# ", "\n");
    let added = format!("{block}\n{}", blocks("toml")[1].join("\n"));
    for whole in [uncommented, added] {
        let whole = AgentConfig::parse(whole.as_bytes()).unwrap();
        assert!(whole.snp.is_some());
    }
}

#[test]
fn every_command_is_tried_or_named_with_the_reason() {
    let commands = commands();
    for (left_out, why) in ELSEWHERE {
        let there = commands.iter().any(|command| command.starts_with(left_out));
        assert!(there, "{left_out} ({why}) is not on the page any more");
    }
    assert!(commands.len() > ELSEWHERE.len() + 10, "{commands:#?}");
}

/// A machine with the package at hand, and what a network and its HyperNodes hand to providers.
fn machine() -> Trial {
    let trial = debian::machine(&debian::class(), |trial, system| {
        system.build_package(HOME, VERSION)?;
        for (file, name) in [("class.toml", "class.toml"), ("vendors.json", "trust.json")] {
            fs::copy(trial.bench.path(file), system.at(HOME).join(name))?;
        }
        let verifier = Programs::beside_this_one()?.path("assay-verifier")?;
        fs::copy(verifier, system.at("/usr/local/bin/assay-verifier"))?;
        Ok(())
    });
    trial.unwrap()
}

/// What a command must end with: the page says why it is not always 0.
fn exit_code(command: &str) -> i32 {
    let undecided = command.starts_with("assay-verifier explain");
    if undecided { 2 } else { 0 }
}

/// Runs a command; variables it sets are there for the next. An error says what the page got wrong.
fn follow(guest: &mut Guest, command: &str) -> Result<(), String> {
    let command = command.replace("VERSION", VERSION);
    let script = format!(
        "touch env && . ./env\n{command}\ncode=$?; declare -p NONCE >env 2>/dev/null; exit $code\n"
    );
    guest
        .write(&format!("{HOME}/step"), script.as_bytes())
        .unwrap();
    let step = format!("cd {HOME} && HOME={HOME} bash ./step");
    let (code, said) = guest.shell.status(&step).unwrap();
    println!("# {command}\n{said}\n");
    let expected = exit_code(&command);
    let missing = promised(&command, &guest.node.to_string())
        .into_iter()
        .filter(|text| !said.contains(text.as_str()));
    let missing: Vec<String> = missing.collect();
    match code == expected && missing.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{command}: expected exit code {expected}, got {code}; not said: {missing:?}; said: {said}"
        )),
    }
}

/// The configuration's places filled in, and the machine started again.
fn configure(guest: &mut Guest) {
    let path = "/etc/assay/agent.toml";
    let text = String::from_utf8(guest.read(path).unwrap()).unwrap();
    let text = filled_in(&text, &guest.trial);
    guest.write(path, text.as_bytes()).unwrap();
    guest.shell.run("sync").unwrap();
    guest.machine.reset().unwrap();
    guest.node = guest.serves_again().unwrap();
}

/// What the page promises that a command says.
fn promised(command: &str, node: &str) -> Vec<String> {
    let texts: &[&str] = match command {
        _ if command.starts_with("assay-agent doctor") => &["PASS"],
        _ if command.starts_with("assay-agent bench") => &["PASS"],
        _ if command.starts_with("assay-agent enroll") => &[node],
        _ if command.starts_with("assay-verifier ek verify") => &["root_kind_allowed", node],
        _ if command.starts_with("assay-verifier explain") => &["enrolment"],
        _ => &[],
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_leads_from_a_fresh_machine_to_a_node_that_is_believed() {
    if !Uid::effective().is_root() {
        eprintln!("NOT RUN: only root can set up a system in a folder");
        return;
    }
    let trial = machine();
    let machine = Machine::start(&trial.parts).unwrap();
    let mut guest = Guest::of(trial, machine).unwrap();
    let mut wrong = Vec::new();
    for command in commands() {
        if ELSEWHERE
            .iter()
            .any(|(other, _)| command.starts_with(other))
        {
            continue;
        }
        wrong.extend(follow(&mut guest, &command).err());
        if command.starts_with("cp ") {
            configure(&mut guest);
        }
        if command.starts_with("systemctl start") {
            guest.serves_again().unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let endpoint = guest.machine.endpoint.clone();
    let judge = Judge::enrol(&guest.trial, guest.node, &endpoint)
        .await
        .unwrap();
    let seen = judge.attest(&guest.trial).await.unwrap();
    Row::honest(
        "honest-provider-page",
        "a fresh Debian machine set up by the commands of the provider's page",
        "pass, tier 1",
    )
    .passes(1, &seen);
}
