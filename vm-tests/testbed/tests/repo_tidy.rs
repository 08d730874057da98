//! Rules of the house that a compiler does not know: who may depend on whom, what a pure crate may name,
//! how long a function may be, and what no file may say.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may depend on whom (ARCHITECTURE.md). The crates of `vm-tests` may depend on anybody.
const MAY_DEPEND_ON: [(&str, &[&str]); 17] = [
    ("assay-protocol", &[]),
    ("assay-init", &["assay-protocol"]),
    ("assay-probe", &[]),
    (
        "assay-image-values",
        &["assay-protocol", "assay-hw-profiles", "assay-probe"],
    ),
    ("assay-transport", &["assay-protocol"]),
    ("assay-ring", &[]),
    ("assay-hw-profiles", &["assay-protocol"]),
    ("assay-appraisal", &["assay-protocol"]),
    ("assay-aggregate", &["assay-protocol"]),
    ("assay-log", &["assay-protocol"]),
    ("assay-store", &["assay-protocol", "assay-log"]),
    ("assay-ledger", &["assay-protocol", "assay-aggregate"]),
    ("assay-devices", &[]),
    (
        "assay-agent",
        &[
            "assay-protocol",
            "assay-transport",
            "assay-hw-profiles",
            "assay-ring",
            "assay-devices",
        ],
    ),
    (
        "assay-cli",
        &[
            "assay-protocol",
            "assay-hw-profiles",
            "assay-appraisal",
            "assay-aggregate",
            "assay-log",
        ],
    ),
    (
        "assay-bridge",
        &[
            "assay-protocol",
            "assay-transport",
            "assay-hw-profiles",
            "assay-aggregate",
            "assay-ledger",
            "assay-log",
        ],
    ),
    (
        "assay-hypernode",
        &[
            "assay-protocol",
            "assay-transport",
            "assay-hw-profiles",
            "assay-appraisal",
            "assay-log",
            "assay-store",
            "assay-aggregate",
            "assay-ledger",
        ],
    ),
];
const FOR_TESTS: [&str; 2] = ["assay-testbed", "assay-bench"];

/// What an auditor runs again: no IO, no clock, no randomness, no logging.
const PURE: [&str; 4] = [
    "protocol",
    "attestation-verifier/appraisal",
    "attestation-verifier/archive/log",
    "ledger-bridge/aggregate",
];
const IMPURE_NAMES: [&str; 14] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::io::std",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "SystemRandom",
    "rand::",
    "tokio",
    "tracing::",
    "println!",
    "dbg!",
];
const DENIED_IN_PURE: [&str; 5] = [
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::indexing_slicing",
    "clippy::arithmetic_side_effects",
];

/// The offline tools must not even contain code that could talk to a network.
const NETWORK_CRATES: [&str; 9] = [
    "tokio",
    "mio",
    "socket2",
    "hyper",
    "ureq",
    "reqwest",
    "rustls",
    "native-tls",
    "curl",
];

const FUNCTION_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    std::fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {}: {stderr}",
        args.join(" ")
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The workspace's packages by name.
fn packages() -> BTreeMap<String, Value> {
    let metadata = output(
        env!("CARGO"),
        &["metadata", "--no-deps", "--format-version", "1", "--locked"],
    );
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let named = |package: &Value| {
        (
            package["name"].as_str().unwrap().to_owned(),
            package.clone(),
        )
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(named)
        .collect()
}

/// Edges of one package that the table does not have.
fn foreign_edges(name: &str, package: &Value, allowed: &[&str]) -> Vec<String> {
    let edge = |dependency: &Value| {
        let to = dependency["name"].as_str()?;
        let for_tests = FOR_TESTS.contains(&to) && dependency["kind"] == "dev";
        let fine = !to.starts_with("assay-") || allowed.contains(&to) || for_tests;
        (!fine).then(|| format!("{name} -> {to} ({})", dependency["kind"]))
    };
    package["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(edge)
        .collect()
}

#[test]
fn no_crate_depends_on_one_that_the_table_does_not_name() {
    let packages = packages();
    let known: BTreeSet<&str> = MAY_DEPEND_ON
        .iter()
        .map(|(name, _)| *name)
        .chain(FOR_TESTS)
        .collect();
    let found: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(
        found, known,
        "the table and the workspace name different crates"
    );
    let edges = MAY_DEPEND_ON
        .iter()
        .flat_map(|(name, allowed)| foreign_edges(name, &packages[*name], allowed));
    assert_eq!(edges.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn an_edge_outside_the_table_is_found() {
    let package = serde_json::json!({"dependencies": [
        {"name": "assay-ledger", "kind": null},
        {"name": "assay-testbed", "kind": null},
        {"name": "assay-testbed", "kind": "dev"},
        {"name": "assay-protocol", "kind": null},
        {"name": "serde", "kind": null},
    ]});
    let found = foreign_edges("assay-agent", &package, &["assay-protocol"]);
    assert_eq!(
        found,
        [
            "assay-agent -> assay-ledger (null)",
            "assay-agent -> assay-testbed (null)"
        ]
    );
}

#[test]
fn the_offline_tools_contain_no_network_code() {
    let tree = output(
        env!("CARGO"),
        &[
            "tree",
            "-p",
            "assay-cli",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--locked",
        ],
    );
    let names: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.contains("assay-appraisal"), "{names:?}");
    let found: Vec<_> = NETWORK_CRATES
        .iter()
        .filter(|name| names.contains(*name))
        .collect();
    assert!(found.is_empty(), "assay-cli contains {found:?}");
}

/// Files git tracks or would track.
fn files() -> Vec<PathBuf> {
    let list = output(
        "git",
        &["ls-files", "--cached", "--others", "--exclude-standard"],
    );
    let files = list.lines().map(|line| root().join(line));
    files.filter(|path| path.is_file()).collect()
}

/// Rust sources that are not tests, with their test modules cut off.
fn sources(under: &Path) -> Vec<(PathBuf, String)> {
    let is_source = |path: &PathBuf| {
        path.starts_with(under)
            && path.extension().is_some_and(|extension| extension == "rs")
            && !path.components().any(|part| part.as_os_str() == "tests")
            && !path.ends_with("tests.rs")
            && !path.ends_with("testing.rs")
    };
    let files = files().into_iter().filter(is_source);
    files
        .map(|path| (path.clone(), without_tests(&read(&path))))
        .collect()
}

/// Everything before the test module, which is the last item of a file.
fn without_tests(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let starts = |pair: &[&str]| {
        pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{')
    };
    let end = lines.windows(2).position(starts).unwrap_or(lines.len());
    lines[..end].join("\n")
}

fn code_only(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

#[test]
fn pure_crates_forbid_unsafe_code_and_deny_what_can_panic() {
    for folder in PURE {
        let lib = read(&root().join(folder).join("src/lib.rs"));
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{folder}");
        for lint in DENIED_IN_PURE {
            assert!(lib.contains(lint), "{folder}: {lint} is not denied");
        }
    }
}

/// Where the kernel, or a counting allocator of a benchmark, touches memory behind the compiler's back.
const MAY_BE_UNSAFE: [&str; 3] = [
    "agent/ring/src",
    "agent/devices/src",
    "attestation-verifier/appraisal/benches/allocations.rs",
];

/// Whether code opens an unsafe block or function.
fn is_unsafe(line: &str) -> bool {
    let code = code_only(line);
    ["{", "fn", "impl"]
        .iter()
        .any(|what| code.contains(&format!("unsafe {what}")))
}

#[test]
fn unsafe_code_is_where_its_reasons_are_and_nowhere_else() {
    let allowed = MAY_BE_UNSAFE.map(|path| root().join(path));
    let (fine, foreign): (Vec<_>, Vec<_>) = sources(&root())
        .into_iter()
        .filter(|(_, text)| text.lines().any(is_unsafe))
        .map(|(path, _)| path)
        .partition(|path| allowed.iter().any(|allowed| path.starts_with(allowed)));
    assert_eq!(foreign, Vec::<PathBuf>::new());
    assert!(!fine.is_empty(), "the search finds nothing");
    assert!(is_unsafe("    let x = unsafe { read() };"));
    assert!(!is_unsafe("// unsafe { }") && !is_unsafe("#![forbid(unsafe_code)]"));
}

/// Lines of code, by number, that name something a pure crate must not.
fn impure_lines(text: &str) -> Vec<(usize, &'static str)> {
    let names = |(number, line): (usize, &str)| {
        let code = code_only(line).to_owned();
        let named = IMPURE_NAMES
            .into_iter()
            .filter(move |name| code.contains(name));
        named.map(move |name| (number + 1, name))
    };
    text.lines().enumerate().flat_map(names).collect()
}

#[test]
fn pure_crates_name_no_file_socket_clock_or_randomness() {
    let mut found = Vec::new();
    for (path, text) in PURE
        .iter()
        .flat_map(|folder| sources(&root().join(folder).join("src")))
    {
        let lines = impure_lines(&text).into_iter();
        found.extend(lines.map(|(line, name)| format!("{}:{line}: {name}", path.display())));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_clock_is_found_in_code_and_not_in_comments_or_tests() {
    let text = "// Instant\nfn now() { std::time::Instant::now(); }\n#[cfg(test)]\nmod tests {\nuse std::fs;\n}";
    assert_eq!(impure_lines(&without_tests(text)), [(2, "Instant")]);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for (name, package) in packages() {
        let manifest = read(Path::new(package["manifest_path"].as_str().unwrap()));
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{name}");
    }
}

/// Functions longer than the cap. In formatted code a function ends at a brace with its own indent.
fn long_functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let ends = |line: &&str| {
            let own = line.len() - line.trim_start().len() == indent;
            own && (line.trim() == "}" || line.ends_with(';'))
        };
        let length = lines[start..]
            .iter()
            .position(ends)
            .map_or(1, |end| end + 1);
        let one_line = line.ends_with('}') || line.ends_with(';');
        if length > FUNCTION_LINES_MAX && !one_line {
            found.push((name.to_owned(), length));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let modifiers = [
        "pub",
        "pub(crate)",
        "pub(super)",
        "const",
        "async",
        "unsafe",
    ];
    let declares = before
        .split_whitespace()
        .all(|word| modifiers.contains(&word));
    declares.then(|| after.split(['(', '<']).next().unwrap_or(after))
}

#[test]
fn no_function_outside_tests_is_over_70_lines() {
    let mut found = Vec::new();
    for (path, text) in sources(&root()) {
        let long = long_functions(&text).into_iter();
        found
            .extend(long.map(|(name, lines)| format!("{}: {name}: {lines} lines", path.display())));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_function_of_71_lines_is_found_and_one_of_70_is_not() {
    let function = |lines: usize| {
        format!(
            "    pub fn long() {{\n{}    }}\n",
            "        a;\n".repeat(lines - 2)
        )
    };
    assert_eq!(long_functions(&function(71)), [("long".to_owned(), 71)]);
    assert_eq!(long_functions(&function(70)), []);
}

#[test]
fn no_file_mentions_a_workplace_or_unfinished_work() {
    // Written apart so that this file does not find itself.
    let forbidden = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["X", "XX "],
        ["/wo", "rk/"],
        ["/ro", "ot/"],
    ]
    .map(|parts| parts.concat());
    let mut found = Vec::new();
    for path in files() {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        for word in forbidden.iter().filter(|word| text.contains(*word)) {
            found.push(format!("{}: {word}", path.display()));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn lock_files_name_only_the_public_registries() {
    let allowed = [
        "https://registry.npmjs.org/",
        "registry+https://github.com/rust-lang/crates.io-index",
    ];
    for name in [
        "Cargo.lock",
        "fuzz/Cargo.lock",
        "ledger-bridge/contracts/package-lock.json",
    ] {
        let text = read(&root().join(name));
        let sources = text.lines().map(str::trim).filter_map(|line| {
            line.strip_prefix("source = ")
                .or_else(|| line.strip_prefix("\"resolved\": "))
        });
        for source in sources {
            let source = source.trim_matches(['"', ',']);
            assert!(
                allowed.iter().any(|prefix| source.starts_with(prefix)),
                "{name}: {source}"
            );
        }
    }
}

/// What a document's prose has in backquotes, outside of code blocks.
fn quoted(document: &str) -> impl Iterator<Item = &str> {
    let prose = document.split("```").step_by(2);
    prose.flat_map(|text| text.split('`').skip(1).step_by(2))
}

/// Names of the programs' tests that a document cites: snake case of four words or more.
fn cited_tests(document: &str) -> Vec<String> {
    let snake = |word: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        word.matches('_').count() >= 3 && word.chars().all(plain)
    };
    quoted(document).filter(snake).map(str::to_owned).collect()
}

/// Names of the contracts' tests that a document cites.
fn cited_contract_tests(document: &str) -> Vec<String> {
    let is_test = |word: &&str| {
        let begins = ["test_", "testFuzz_", "invariant_"];
        let named = begins.iter().any(|begin| word.starts_with(begin));
        named && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    quoted(document)
        .filter(is_test)
        .map(str::to_owned)
        .collect()
}

/// All files of one language in one text.
fn sources_in(ending: &str) -> String {
    let ends = |path: &PathBuf| path.extension().is_some_and(|found| found == ending);
    files()
        .iter()
        .filter(|path| ends(path))
        .map(|path| read(path))
        .collect()
}

#[test]
fn the_documents_cite_only_tests_that_exist() {
    let rust = sources_in("rs");
    let mut missing = Vec::new();
    let mut cited = 0;
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
    ] {
        for test in cited_tests(&read(&root().join(document))) {
            cited += 1;
            if !rust.contains(&format!("fn {test}(")) {
                missing.push(format!("{document}: {test}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(cited > 50, "only {cited} citations found");
}

#[test]
fn the_documents_cite_only_tests_of_contracts_that_exist() {
    let solidity = sources_in("sol");
    let mut missing = Vec::new();
    let mut cited = 0;
    for document in [
        "SECURITY.md",
        "ledger-bridge/BUILDERS.md",
        "ledger-bridge/OPERATORS.md",
        "ledger-bridge/contracts/README.md",
        "ledger-bridge/contracts/STAKE.md",
    ] {
        for test in cited_contract_tests(&read(&root().join(document))) {
            cited += 1;
            if !solidity.contains(&format!("function {test}(")) {
                missing.push(format!("{document}: {test}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(cited > 10, "only {cited} citations found");
}

#[test]
fn a_citation_is_found_in_prose_only() {
    let text =
        "see `a_test_of_this` and `not one`\n```\n`in_a_code_block`\n```\n`another_test_of_that`";
    assert_eq!(
        cited_tests(text),
        ["a_test_of_this", "another_test_of_that"]
    );
    let text = "`test_aOf` and `testFuzz_b` and `test` and `test_x y`\n```\n`test_code`\n```\n`invariant_c`";
    assert_eq!(
        cited_contract_tests(text),
        ["test_aOf", "testFuzz_b", "invariant_c"]
    );
}
