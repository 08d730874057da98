//! A Debian machine with the package, as a provider sets it up, under systemd and firmware; and what its root can do.

use assay_bench::machine::{Kernel, SecureBoot};
use assay_bench::network::{CALM, outcome_of};
use assay_bench::system::System;
use assay_bench::table::Row;
use assay_bench::trial::{PROVIDER, Trial, promise, serves_again};
use assay_protocol::outcome::OutcomeKind;
use nix::unistd::Uid;
use std::fs;

/// A class that knows a way to tier 2: it is not walked by a machine whose root may do anything.
fn class() -> String {
    let (zeros, digest) = ("0".repeat(64), "11".repeat(32));
    format!(
        "{}[[attestation.pcrs]]\nindex = 14\nallowed = [\"{zeros}\"]\n\n[attestation.ima]\n\
         allowed = [\"{digest}\"]\npolicies = [\"{digest}\"]\ncommand_lines = [\"ima_policy=tcb\"]\n",
        promise()
    )
}

/// The package installed and configured, and a second agent of the provider's root beside it.
fn machine() -> Trial {
    let mut trial = Trial::of_class(&class(), SecureBoot::Off, CALM).unwrap();
    let system = System::new("guest").unwrap();
    system.install("0.1.0").unwrap();
    let config = trial.config(PROVIDER);
    let mut second = config.clone();
    second.listen = "0.0.0.0:7144".into();
    second.state_dir = "/var/lib/second".into();
    for (config, path) in [
        (&config, "/etc/assay/agent.toml"),
        (&second, "/etc/second.toml"),
    ] {
        fs::write(system.at(path), toml::to_string(config).unwrap()).unwrap();
    }
    let network = "[Match]\nType=ether\n[Network]\nAddress=10.0.2.15/24\n";
    fs::write(system.at("/etc/systemd/network/10-card.network"), network).unwrap();
    let unit = "[Unit]\nAfter=assay-agent.service\n[Service]\n\
                ExecStart=/usr/bin/assay-agent run --config /etc/second.toml --user root\n\
                [Install]\nWantedBy=multi-user.target\n";
    fs::write(system.at("/etc/systemd/system/second.service"), unit).unwrap();
    for unit in ["systemd-networkd.service", "second.service"] {
        system.run(&["systemctl", "enable", unit]).unwrap();
    }
    let (image, initial) = system.into_disk(&trial.parts.disk).unwrap();
    trial.parts.kernel = Some(Kernel {
        image,
        initial,
        line: "root=/dev/vda rw console=ttyS0 systemd.journald.forward_to_console=1".into(),
    });
    trial
}

#[tokio::test(flavor = "multi_thread")]
async fn the_package_under_systemd_reaches_tier_1_and_so_does_a_program_of_root() {
    if !Uid::effective().is_root() {
        eprintln!("NOT RUN: only root can set up a system in a folder");
        return;
    }
    let trial = machine();
    let (mut machine, node) = trial.boot().unwrap();
    let seen = trial.judged(node, &machine.endpoint).await.unwrap();
    Row {
        name: "honest-package",
        honest: true,
        done: "the package on Debian, measured and started by its units",
        expected: "pass, tier 1",
    }
    .passes(1, &seen);

    assert_eq!(serves_again(&mut machine, 2).unwrap(), node);
    let judge = trial.bench.fresh(1);
    let record = trial
        .enrol(&judge, node, &machine.second_endpoint)
        .await
        .unwrap();
    let seen = trial
        .attest(&judge, &record, &machine.second_endpoint)
        .await
        .unwrap();
    assert_eq!(outcome_of(&judge, node, OutcomeKind::Attest).node, node);
    Row {
        name: "second-program",
        honest: false,
        done: "another program of root has the TPM quote a session key of its own",
        expected: "not tier 2",
    }
    .stays_below_tier_2("tier-2-ima", &seen);
}
