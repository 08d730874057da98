//! Whether the machine has what a hardware class promises, and grants what its challenges need.

use super::host;
use super::{Finding, fail, pass, skip};
use assay_protocol::class::ValidClass;
use assay_protocol::config::AgentConfig;

/// What this machine has, in the units of the class.
struct Machine {
    threads: u64,
    memory_mib: Option<u64>,
    region_blocks_max: u32,
    measures_files: bool,
}

/// One finding for each promise that can be looked at here.
pub fn fits(config: &AgentConfig, class: &ValidClass) -> Vec<Finding> {
    let threads = std::thread::available_parallelism();
    let machine = Machine {
        threads: threads.map_or(0, |count| count.get() as u64),
        memory_mib: host::memory_mib(),
        region_blocks_max: config.limits.region_blocks_max,
        measures_files: config.ima.is_some(),
    };
    judge(&machine, class)
}

fn judge(machine: &Machine, class: &ValidClass) -> Vec<Finding> {
    let Machine {
        threads,
        memory_mib,
        region_blocks_max,
        measures_files,
    } = machine;
    let promised = &class.hardware;
    let mut findings = vec![
        at_least(
            "class-cores",
            Some(*threads),
            promised.cores.into(),
            "threads",
        ),
        at_least(
            "class-memory",
            *memory_mib,
            usable(promised.memory_mib),
            "MiB",
        ),
        at_least(
            "class-regions",
            Some((*region_blocks_max).into()),
            class.budget.region_blocks.into(),
            "blocks in limits.region_blocks_max",
        ),
    ];
    if class.attestation.ima.is_some() && !measures_files {
        let hint =
            "set ima.list and boot a kernel that measures files under one of the class's policies";
        findings.push(fail("class-ima", "no [ima] section", hint));
    }
    findings
}

/// The kernel keeps some of the memory that is sold, for itself and for devices: a sixteenth at most.
fn usable(mib: u64) -> u64 {
    mib - mib / 16
}

fn at_least(name: &'static str, has: Option<u64>, needs: u64, unit: &str) -> Finding {
    let Some(has) = has else {
        return skip(
            name,
            "cannot be told",
            format!("the class needs {needs} {unit}"),
        );
    };
    let found = format!("{has} {unit}");
    match has >= needs {
        true => pass(name, found),
        false => fail(name, found, format!("the class needs {needs} {unit}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use assay_protocol::class::ImaPolicy;
    use assay_protocol::ids::Digest;

    fn class() -> ValidClass {
        assay_hw_profiles::parse(assay_hw_profiles::DEMO_CLASS).unwrap()
    }

    /// A machine that has just what the demonstration class asks for.
    fn machine() -> Machine {
        let class = class();
        Machine {
            threads: class.hardware.cores.into(),
            memory_mib: Some(usable(class.hardware.memory_mib)),
            region_blocks_max: class.budget.region_blocks,
            measures_files: false,
        }
    }

    fn failed(machine: &Machine, class: &ValidClass) -> Vec<&'static str> {
        let findings = judge(machine, class).into_iter();
        let failed = findings.filter(|finding| finding.verdict == Verdict::Fail);
        failed.map(|finding| finding.name).collect()
    }

    #[test]
    fn each_promise_that_is_missed_by_one_is_named() {
        let none: [&str; 0] = [];
        assert_eq!(failed(&machine(), &class()), none);
        let mut less = machine();
        less.threads -= 1;
        assert_eq!(failed(&less, &class()), ["class-cores"]);
        let mut less = machine();
        less.memory_mib = less.memory_mib.map(|mib| mib - 1);
        assert_eq!(failed(&less, &class()), ["class-memory"]);
        less.memory_mib = None;
        assert_eq!(failed(&less, &class()), none);
        let mut less = machine();
        less.region_blocks_max -= 1;
        assert_eq!(failed(&less, &class()), ["class-regions"]);
    }

    #[test]
    fn a_class_that_wants_measured_files_wants_the_list() {
        let mut wants = class().into_class();
        wants.attestation.ima = Some(ImaPolicy {
            allowed: vec![Digest([1; 32])],
            policies: vec![Digest([2; 32])],
            command_lines: vec!["ima_policy=tcb".into()],
        });
        let wants = ValidClass::new(wants).unwrap();
        assert_eq!(failed(&machine(), &wants), ["class-ima"]);
        let measuring = Machine {
            measures_files: true,
            ..machine()
        };
        assert!(failed(&measuring, &wants).is_empty());
    }
}
