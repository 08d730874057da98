//! The bundle's container as other people's tools see it: `tar` unpacks it, `sha256sum` checks its manifests.

use assay_log::tar::{Files, encode_tar};
use assay_log::{bundle, tar};
use std::path::Path;
use std::process::Command;

fn run(program: &str, args: &[&str], dir: &Path) -> bool {
    match Command::new(program).args(args).current_dir(dir).output() {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{program}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(
                output.stderr.is_empty(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            true
        }
        Err(error) => {
            eprintln!("NOT TESTED: {program}: {error}");
            false
        }
    }
}

#[test]
fn tar_unpacks_and_sha256sum_agrees() {
    let long = format!("{}/{}.cose", "evidence-".repeat(10), "a".repeat(64));
    let payload: Files = [
        ("claim.cbor", vec![1; 1_000]),
        (long.as_str(), vec![2; 512]),
    ]
    .map(|(path, bytes)| (path.to_owned(), bytes))
    .into();
    let bag = bundle::seal(&payload).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("b.tar"), encode_tar(&bag).unwrap()).unwrap();
    if !run("tar", &["-xf", "b.tar"], dir.path()) {
        return;
    }
    for (path, bytes) in &bag {
        assert_eq!(
            &std::fs::read(dir.path().join(path)).unwrap(),
            bytes,
            "{path}"
        );
    }
    for manifest in ["manifest-sha256.txt", "tagmanifest-sha256.txt"] {
        run("sha256sum", &["--check", "--strict", manifest], dir.path());
    }
    // And what GNU tar writes of the same files is not our one spelling.
    if run(
        "tar",
        &["--format=ustar", "-cf", "c.tar", "bagit.txt"],
        dir.path(),
    ) {
        assert!(tar::decode_tar(&std::fs::read(dir.path().join("c.tar")).unwrap()).is_err());
    }
}
