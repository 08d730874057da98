//! `kill -9` at random moments: a child records, closes and signs, and says so after each call has returned;
//! whatever it said must be there afterwards, and its checkpoints must form one growing log.

use assay_log::{Tree, verify_consistency};
use assay_protocol::ids::{Digest, Epoch, HyperNodeId, NodeId, Slot};
use assay_store::{Journal, ObjectStore, Record};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

const ORIGIN: &str = "assay/log/1/kill";
const CHILD_DIR: &str = "ASSAY_STORE_KILL_DIR";
const ROUNDS: usize = 12;

fn record(epoch: u64, slot: u32, node: u8, run: u32) -> Record {
    let signed = format!("{epoch} {slot} {node} by process {run}").into_bytes();
    let (epoch, slot, node) = (Epoch(epoch), Slot(slot), NodeId([node; 32]));
    Record {
        epoch,
        slot,
        node,
        kind: 2,
        salt: [7; 32],
        signed,
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "SAID {line}").unwrap();
    out.flush().unwrap();
}

/// Not a test of its own: the body of the child that gets killed.
#[test]
#[ignore = "started and killed by acknowledged_things_survive_kill_9"]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    let dir = Path::new(&dir);
    let mut journal = Journal::open(dir.join("journal.sqlite"), ORIGIN).unwrap();
    let objects = ObjectStore::open(dir.join("objects")).unwrap();
    let first = journal
        .meta("next epoch")
        .unwrap()
        .map_or(0, |b| u64::from_be_bytes(b.try_into().unwrap()));
    for epoch in first.. {
        run_epoch(&mut journal, &objects, epoch);
        journal
            .put_meta("next epoch", &(epoch + 1).to_be_bytes())
            .unwrap();
        say(&format!("epoch {}", epoch + 1));
    }
}

/// Repeats an interrupted epoch from its start: every step is idempotent.
fn run_epoch(journal: &mut Journal, objects: &ObjectStore, epoch: u64) {
    for slot in 0..3 {
        if journal
            .slot_leaf(Epoch(epoch), Slot(slot))
            .unwrap()
            .is_none()
        {
            for node in 0..3 {
                let record = record(epoch, slot, node, std::process::id());
                let object = objects.put(&record.signed).unwrap();
                say(&format!("object {object}"));
                journal.acknowledge(&record).unwrap();
                say(&format!("record {epoch} {slot} {node}"));
            }
        }
        let index = journal.close_slot(Epoch(epoch), Slot(slot)).unwrap();
        say(&format!("slot {epoch} {slot} {index}"));
        let note = journal
            .checkpoint(&HyperNodeId([1; 32]), |_| [0; 64])
            .unwrap();
        let size = note.lines().nth(1).unwrap().to_owned();
        say(&format!(
            "checkpoint {size} {}",
            note.lines().nth(2).unwrap()
        ));
    }
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn random_delay() -> Duration {
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .subsec_nanos();
    Duration::from_micros(20_000 + u64::from(nanos / 7) % 150_000)
}

/// Runs a child for a random time and returns what it said before it died.
fn run_and_kill(dir: &Path) -> Vec<String> {
    let mut child = start(dir);
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        lines
            .filter_map(|line| line.split_once("SAID ").map(|(_, said)| said.to_owned()))
            .collect()
    });
    std::thread::sleep(random_delay());
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Everything that was ever said, checked against what is on disk now.
#[derive(Default)]
struct Ledger {
    records: BTreeMap<(u64, u32, u8), Vec<u8>>,
    said: Vec<Vec<String>>,
    checkpoints: BTreeMap<u64, String>,
    last_size: u64,
}

impl Ledger {
    fn check(&mut self, dir: &Path, lines: Vec<String>) {
        let journal = Journal::open(dir.join("journal.sqlite"), ORIGIN).unwrap();
        let objects = ObjectStore::open(dir.join("objects")).unwrap();
        for line in lines {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            self.said.push(words);
        }
        for words in self.said.clone() {
            self.check_one(&journal, &objects, &words);
        }
        self.last_size = journal.tree().size();
    }

    fn check_one(&mut self, journal: &Journal, objects: &ObjectStore, words: &[String]) {
        match words[0].as_str() {
            "object" => {
                objects
                    .get(&words[1].parse::<Digest>().unwrap(), 1000)
                    .unwrap();
            }
            "record" => self.check_record(journal, words),
            "slot" => {
                let (epoch, slot) = (
                    Epoch(words[1].parse().unwrap()),
                    Slot(words[2].parse().unwrap()),
                );
                let index = journal.slot_leaf(epoch, slot).unwrap();
                assert_eq!(index, Some(words[3].parse().unwrap()));
            }
            "checkpoint" => self.check_checkpoint(journal.tree(), words),
            "epoch" => {
                let kept = journal.meta("next epoch").unwrap().unwrap();
                let said: u64 = words[1].parse().unwrap();
                assert!(u64::from_be_bytes(kept.try_into().unwrap()) >= said);
            }
            other => panic!("unknown word {other}"),
        }
    }

    /// There, and for ever the same bytes.
    fn check_record(&mut self, journal: &Journal, words: &[String]) {
        let key: (u64, u32, u8) = (
            words[1].parse().unwrap(),
            words[2].parse().unwrap(),
            words[3].parse().unwrap(),
        );
        let records = journal.slot_records(Epoch(key.0), Slot(key.1)).unwrap();
        let found = records
            .iter()
            .find(|record| record.node == NodeId([key.2; 32]));
        let signed = found
            .expect("an acknowledged record is lost")
            .signed
            .clone();
        assert_eq!(
            *self.records.entry(key).or_insert_with(|| signed.clone()),
            signed
        );
    }

    fn check_checkpoint(&mut self, tree: &Tree, words: &[String]) {
        let size: u64 = words[1].parse().unwrap();
        let root = tree
            .root_at(size)
            .expect("the log shrank below a signed checkpoint");
        assert_eq!(
            assay_log::base64::encode(&root.0),
            words[2],
            "size {size} was signed otherwise"
        );
        let known = self
            .checkpoints
            .entry(size)
            .or_insert_with(|| words[2].clone());
        assert_eq!(*known, words[2], "two checkpoints of size {size}");
        let proof = tree.consistency_proof(size, tree.size()).unwrap();
        verify_consistency(size, tree.size(), &proof, &root, &tree.root()).unwrap();
    }
}

#[test]
fn acknowledged_things_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    for _ in 0..ROUNDS {
        let lines = run_and_kill(dir.path());
        ledger.check(dir.path(), lines);
    }
    println!(
        "{} statements held, {} leaves",
        ledger.said.len(),
        ledger.last_size
    );
    assert!(ledger.said.len() > ROUNDS, "the children hardly ran");
}
