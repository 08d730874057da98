use super::*;
use crate::firmware::testing;
use assay_probe::{CPU, Cpu};
use std::path::PathBuf;
use std::process::Command;

const LINE: &str = "console=ttyS0 loglevel=7";
const MILAN: Cpu = Cpu {
    model: "EPYC-Milan",
    family: 25,
    number: 1,
    stepping: 1,
};
const GENOA: Cpu = Cpu {
    model: "EPYC-Genoa",
    family: 25,
    number: 17,
    stepping: 0,
};
/// The last page of an OVMF with the tables, of the tests of virtee's crate `sev` (Apache-2.0).
const SUFFIX: &[u8] = include_bytes!("../../vectors/ovmf_AmdSev_suffix.bin");

fn measured(firmware: &[u8], files: [&[u8]; 2], line: &str, cpu: Cpu, count: u32) -> String {
    let [kernel, initial] = files;
    let launch = Launch {
        firmware: &Firmware::parse(firmware).unwrap(),
        kernel,
        initial,
        line,
        processors: Processors {
            count,
            signature: cpu.signature(),
        },
    };
    hex::encode(launch.measurement())
}

/// What `sev` 8.0 publishes in its own tests (test_snp_ovmf_hash_gen_snp_only and test_snp_ovmf_hash_full_snp_only).
#[test]
fn virtee_s_vectors_come_out() {
    for (line, expected) in [
        (
            "",
            "ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b5",
        ),
        (
            LINE,
            "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa",
        ),
    ] {
        assert_eq!(measured(SUFFIX, [b"", b""], line, CPU, 1), expected);
    }
}

/// Made once with `sev-snp-measure` 0.0.13 from the files of the next test.
const BY_ANOTHER_TOOL: [(Cpu, u32, &str); 9] = [
    (
        CPU,
        1,
        "f8da5bc9bdb5ed53b0e0da4fafd8e32ac3d2ec7749cf2dad46f249c345c1835eb4ad85c48c4df6963c478634ccac9454",
    ),
    (
        CPU,
        2,
        "4e920e50ad84807736d4c92c3ea2a35497b5dafb939435555538fc55c10ed332e79c767b60350f427ffc57ea03fc4a27",
    ),
    (
        CPU,
        5,
        "4c439b88afc1a9de5d202f15734029e44223860565b3376130445489ff49951720d67f2b13864089a7f540d74a951c86",
    ),
    (
        MILAN,
        1,
        "394343a7b769ad77dfffd8ebc0c3fcd7cd66813754d75deabf040d5f07e5d16f0f571320257aa4752270ed792dc0c699",
    ),
    (
        MILAN,
        2,
        "4b309bd592dd270c7072cb730c28074947aafae59dd3e24a9954bf8862fe0256194ef631da773e0cc6d4c5344257d70e",
    ),
    (
        MILAN,
        5,
        "15e55d29b9d900e40374af518baf537eefa083e3acd92d733afeef226574f2518b113988b49d9d8f74bb421bb1c695a0",
    ),
    (
        GENOA,
        1,
        "adbd296846493128565c62c26a3b8c77e477920d364f78f0c0c89dd9524aa751d23871c0117bebbd41ccde582f12b613",
    ),
    (
        GENOA,
        2,
        "cdb928c769babae68c8bce859306d3247ded93f89cd683540c4f9af7e3d53afb0581ad58df076308228455f32ade5641",
    ),
    (
        GENOA,
        5,
        "730056826c9a3a48eb17d4b186ae48a9801d9f5937ad4a9e2b81dd313f31f7185594adfe481d85f4e50b963dd4f6b6c6",
    ),
];

#[test]
fn several_models_and_numbers_of_processors_measure_as_another_tool_says() {
    for (cpu, count, expected) in BY_ANOTHER_TOOL {
        let found = measured(&testing::image(), [b"kernel", b"initial"], LINE, cpu, count);
        assert_eq!(found, expected, "{} {count}", cpu.model);
    }
}

/// The tool itself (PyPI `sev-snp-measure`), where `make test` has installed it.
#[test]
fn the_other_tool_says_the_same_now() {
    let Some(python) = std::env::var_os("ASSAY_FOREIGN_PYTHON").map(PathBuf::from) else {
        eprintln!("NOT TESTED: ASSAY_FOREIGN_PYTHON is not set (`make test` sets it)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("firmware"), testing::image()).unwrap();
    std::fs::write(at("kernel"), b"kernel").unwrap();
    std::fs::write(at("initial"), b"initial").unwrap();
    for (cpu, count, expected) in BY_ANOTHER_TOOL {
        let output = Command::new(python.with_file_name("sev-snp-measure"))
            .args(["--mode", "snp", "--append", LINE])
            .args(["--vcpus", &count.to_string(), "--vcpu-type", cpu.model])
            .args(["--ovmf", &at("firmware")])
            .args(["--kernel", &at("kernel"), "--initrd", &at("initial")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.trim(), expected, "{} {count}: {wrong}", cpu.model);
    }
}

/// Another byte anywhere is another guest.
#[test]
fn every_part_changes_the_measurement() {
    let good = testing::image();
    let published = measured(&good, [b"kernel", b"initial"], LINE, CPU, 1);
    let mut firmware = good.clone();
    firmware[0] ^= 1;
    let mut sections = testing::SECTIONS;
    sections[0].1 += 0x1000;
    let place = testing::with(&testing::SECTIONS, Some(testing::HASHES + 16));
    let larger = testing::with(&sections, Some(testing::HASHES));
    for (changed, other) in [
        (
            "firmware",
            measured(&firmware, [b"kernel", b"initial"], LINE, CPU, 1),
        ),
        (
            "place of the hashes",
            measured(&place, [b"kernel", b"initial"], LINE, CPU, 1),
        ),
        (
            "a section",
            measured(&larger, [b"kernel", b"initial"], LINE, CPU, 1),
        ),
        (
            "kernel",
            measured(&good, [b"Kernel", b"initial"], LINE, CPU, 1),
        ),
        (
            "initial file system",
            measured(&good, [b"kernel", b"Initial"], LINE, CPU, 1),
        ),
        (
            "command line",
            measured(&good, [b"kernel", b"initial"], "debug", CPU, 1),
        ),
        (
            "model",
            measured(&good, [b"kernel", b"initial"], LINE, MILAN, 1),
        ),
        (
            "processors",
            measured(&good, [b"kernel", b"initial"], LINE, CPU, 2),
        ),
    ] {
        assert_ne!(other, published, "{changed}");
    }
    // Kernel and initial file system are not interchangeable.
    assert_ne!(
        measured(&good, [b"initial", b"kernel"], LINE, CPU, 1),
        published
    );
}

/// Beside a way to tier 2, and with the floors that the operator chooses.
#[test]
fn the_line_completes_a_class() {
    let demo = assay_hw_profiles::DEMO_CLASS;
    let (promise, _) = demo.split_once("[[attestation.pcrs]]").unwrap();
    let digest = "11".repeat(32);
    let pinned: String = [4, 11]
        .map(|index| format!("[[attestation.pcrs]]\nindex = {index}\nallowed = [{digest:?}]\n"))
        .concat();
    let image = format!("[attestation.image]\ncommand_lines = [\"roothash={digest} ro\"]\n");
    let floor = "[[attestation.chassis.tcb_min]]\nproduct = \"Genoa\"\nbootloader = 9\ntee = 0\nsnp = 21\nmicrocode = 72\n";
    let lines = class_lines(&[7; 48]);
    let text = promise.replace("tier_min = 1", "tier_min = 3") + &pinned + &image + &lines + floor;
    let class = assay_hw_profiles::parse(&text).unwrap();
    let chassis = class.attestation.chassis.as_ref().unwrap();
    assert_eq!(hex::encode(chassis.measurements[0].0), "07".repeat(48));
}
