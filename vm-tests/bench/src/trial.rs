//! One machine of the flashable image before one HyperNode that enrols, attests and challenges it for real.

use crate::machine::{Machine, Parts, SecureBoot};
use crate::network::{Bench, CALM, Times, vendors};
use anyhow::{Context as _, Result, bail, ensure};
use assay_hypernode::challenge::{Asking, attest, enrol};
use assay_hypernode::context::Context;
use assay_hypernode::report;
use assay_protocol::answers::EnrolRecord;
use assay_protocol::config::{AgentConfig, LimitSection, MachineSection, TpmSection};
use assay_protocol::ids::{Address, Epoch, NodeId, Slot, UnixMs};
use assay_protocol::outcome::{Outcome, OutcomeClass, OutcomeKind, metric};
use assay_testbed::tool::run;
use assay_testbed::{Swtpm, TestCa};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// The provider that the machine's configuration names.
pub const PROVIDER: Address = Address([0x22; 20]);
/// Slots that can be waited for, in an epoch longer than any trial.
const TIMES: Times = Times {
    slot: 6_000,
    slots: 600,
    ..CALM
};
/// Between the end of an outcome and its record.
const RECORDING_MS: u64 = 200;
/// A probe is asked in a slot that ends so much later that the machine's speed does not matter.
const PROBE_SLOTS_AHEAD: u32 = 20;
const POLL: Duration = Duration::from_millis(50);
/// First partition of the image: the EFI system partition begins at 1 MiB.
const ESP_OFFSET: &str = "@@1048576";
/// Size of the NVMe disk of a machine that has one.
const NVME_BYTES: u64 = 64 << 20;
/// The agent's first line.
const SERVING: &str = "listening on";

/// Epoch and slot.
pub type Place = (Epoch, Slot);

/// The image under test, as its build left it.
#[derive(Debug, Clone)]
pub struct Image {
    /// `assay.img`, `assay.efi`, `class.toml`.
    pub dir: PathBuf,
}

impl Image {
    /// The one that `make test` built.
    pub fn built() -> Result<Self> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let dir = match std::env::var_os("ASSAY_IMAGE") {
            Some(dir) => PathBuf::from(dir),
            None => repository.join("target/image-test"),
        };
        ensure!(
            dir.join("assay.img").is_file(),
            "{} has no image\nhint: tools/test-image.sh builds it",
            dir.display()
        );
        Ok(Self { dir })
    }

    /// A class whose tier 2 only this image reaches.
    pub fn class(&self) -> Result<String> {
        let promise = promise().replace("tier_min = 1", "tier_min = 2");
        Ok(promise + &fs::read_to_string(self.dir.join("class.toml"))?)
    }
}

/// The demonstration class without the values of its own boot.
pub fn promise() -> String {
    let demo = assay_hw_profiles::DEMO_CLASS;
    let pinned = demo.find("[[attestation.pcrs]]").unwrap_or(demo.len());
    demo[..pinned].to_owned()
}

/// The scene.
pub struct Trial {
    /// HyperNodes.
    pub bench: Bench,
    /// What the machine is made of.
    pub parts: Parts,
    dir: tempfile::TempDir,
}

impl Trial {
    /// A new machine with the image on its disk, under the image's class with `rules` besides.
    pub fn new(secure_boot: SecureBoot, rules: &str) -> Result<Self> {
        let image = Image::built()?;
        let class = format!("{}\n{rules}", image.class()?);
        let trial = Self::of_class(&class, secure_boot)?;
        trial.take(&image)?;
        if secure_boot == SecureBoot::TestKeys {
            trial.sign()?;
        }
        Ok(trial)
    }

    /// A new machine with the image, on whose ledger it can be registered, so that HyperNodes can run for real.
    pub async fn on_ledger() -> Result<Self> {
        let image = Image::built()?;
        let dir = tempfile::tempdir()?;
        let ca = TestCa::create(&dir.path().join("ca"))?;
        let nowhere = std::array::from_fn(|_| "127.0.0.1:1".to_owned());
        let bench = Bench::on_ledger(TIMES, &vendors(&ca), &image.class()?, nowhere).await;
        let trial = Self::of_bench(dir, &ca, bench, SecureBoot::Off)?;
        trial.take(&image)?;
        Ok(trial)
    }

    fn take(&self, image: &Image) -> Result<()> {
        copy(&image.dir.join("assay.img"), &self.parts.disk)?;
        self.configure(PROVIDER)
    }

    /// A machine whose disk is not there yet, before HyperNodes with this one class.
    pub fn of_class(class: &str, secure_boot: SecureBoot) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let ca = TestCa::create(&dir.path().join("ca"))?;
        let bench = Bench::with_class(TIMES, &vendors(&ca), class);
        Self::of_bench(dir, &ca, bench, secure_boot)
    }

    fn of_bench(
        dir: tempfile::TempDir,
        ca: &TestCa,
        bench: Bench,
        secure_boot: SecureBoot,
    ) -> Result<Self> {
        let tpm = dir.path().join("tpm");
        Swtpm::manufacture(&tpm, ca, "machine")?;
        let parts = Parts {
            disk: dir.path().join("disk.img"),
            tpm,
            memory_mib: 512,
            secure_boot,
            disk_options: String::new(),
            kernel: None,
            network_delay_ms: 0,
            network_boot: None,
            second_disk: None,
            nvme: None,
            shell: false,
        };
        Ok(Self { bench, parts, dir })
    }

    /// Another machine with a TPM of the same vendor, before the same HyperNodes.
    pub fn second_tpm(&self) -> Result<Parts> {
        let ca = TestCa::create(&self.dir.path().join("ca"))?;
        let mut parts = self.parts.clone();
        parts.tpm = self.dir.path().join("tpm-2");
        parts.disk = self.dir.path().join("disk-2.img");
        Swtpm::manufacture(&parts.tpm, &ca, "another")?;
        copy(&self.parts.disk, &parts.disk)?;
        Ok(parts)
    }

    /// Puts the configuration that names `provider` on the image's disk.
    pub fn configure(&self, provider: Address) -> Result<()> {
        let config = AgentConfig {
            machine: Some(MachineSection {
                address: "10.0.2.15/24".into(),
                gateway: Some("10.0.2.2".into()),
                mac: None,
            }),
            ..self.config(provider)
        };
        self.put(toml::to_string(&config)?.as_bytes(), "assay/agent.toml")
    }

    /// An agent's configuration for this network.
    pub fn config(&self, provider: Address) -> AgentConfig {
        let roster = &self.bench.params.roster;
        AgentConfig {
            network: self.bench.params.network_id(),
            provider,
            roster: roster.iter().map(|entry| entry.id).collect(),
            listen: "0.0.0.0:7143".into(),
            state_dir: "/var/lib/assay-agent".into(),
            tpm: TpmSection {
                tcti: "device:/dev/tpmrm0".into(),
                event_log: "/run/assay/event_log".into(),
                deadline_ms: 30_000,
            },
            ima: None,
            snp: None,
            machine: None,
            limits: LimitSection::default(),
        }
    }

    /// Signs the unified kernel image on the disk with the key of Debian's test firmware.
    pub fn sign(&self) -> Result<()> {
        let signed = self.dir.path().join("signed.efi");
        let image = self.dir.path().join("unsigned.efi");
        fs::write(&image, self.get("EFI/BOOT/BOOTX64.EFI")?)?;
        let key = self.dir.path().join("key.pem");
        let source = "/usr/share/ovmf/PkKek-1-snakeoil";
        // Its password is its file's name, so that nobody mistakes it for a secret.
        run(Command::new("openssl")
            .args([
                "pkey",
                "-passin",
                "pass:snakeoil",
                "-in",
                &format!("{source}.key"),
                "-out",
            ])
            .arg(&key))?;
        run(Command::new("sbsign")
            .arg("--key")
            .arg(&key)
            .args(["--cert", &format!("{source}.pem"), "--output"])
            .args([&signed, &image]))?;
        self.put(&fs::read(&signed)?, "EFI/BOOT/BOOTX64.EFI")
    }

    /// Writes a file of the EFI system partition.
    pub fn put(&self, bytes: &[u8], path: &str) -> Result<()> {
        let file = self.dir.path().join("file");
        fs::write(&file, bytes)?;
        run(Command::new("mcopy")
            .args(["-o", "-i", &self.esp()])
            .arg(&file)
            .arg(format!("::/{path}")))
    }

    /// Removes a file of the EFI system partition.
    pub fn remove(&self, path: &str) -> Result<()> {
        run(Command::new("mdel").args(["-i", &self.esp(), &format!("::/{path}")]))
    }

    /// Makes a folder of the EFI system partition.
    pub fn make_folder(&self, path: &str) -> Result<()> {
        run(Command::new("mmd").args(["-i", &self.esp(), &format!("::/{path}")]))
    }

    /// Reads a file of the EFI system partition.
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.dir.path().join("file");
        run(Command::new("mcopy")
            .args(["-n", "-o", "-i", &self.esp(), &format!("::/{path}")])
            .arg(&file))?;
        Ok(fs::read(&file)?)
    }

    /// Start and length of a partition on the disk, in bytes, by its number from 1.
    pub fn partition(&self, number: usize) -> Result<(u64, u64)> {
        let table = Command::new("sfdisk")
            .args(["--json"])
            .arg(&self.parts.disk)
            .output()?;
        let table: serde_json::Value = serde_json::from_slice(&table.stdout)?;
        let part = &table["partitiontable"]["partitions"][number - 1];
        let sectors = |name| part[name].as_u64().map(|count| count * 512);
        Ok((
            sectors("start").context("no start")?,
            sectors("size").context("no size")?,
        ))
    }

    /// Makes the state partition this small.
    pub fn shrink_state(&self, sectors: u32) -> Result<()> {
        let table = format!("{},{sectors}\n", self.partition(4)?.0 / 512);
        let file = self.path("table");
        fs::write(&file, table)?;
        // sfdisk reads what to do from its standard input.
        let line = "sfdisk --quiet --no-reread -N 4 \"$0\" < \"$1\"";
        run(Command::new("sh")
            .args(["-c", line])
            .args([&self.parts.disk, &file]))
    }

    /// Gives the machine an NVMe disk besides.
    pub fn add_nvme(&mut self) -> Result<()> {
        let file = self.path("nvme.img");
        File::create(&file)?.set_len(NVME_BYTES)?;
        self.parts.nvme = Some(file);
        Ok(())
    }

    /// Inverts one byte of the disk.
    pub fn flip(&self, at: u64) -> Result<()> {
        let disk = File::options()
            .read(true)
            .write(true)
            .open(&self.parts.disk)?;
        let mut byte = [0];
        disk.read_exact_at(&mut byte, at)?;
        Ok(disk.write_all_at(&[!byte[0]], at)?)
    }

    /// A file beside the disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn esp(&self) -> String {
        format!("{}{ESP_OFFSET}", self.parts.disk.display())
    }

    /// Switches the machine on and waits until its agent serves.
    pub fn boot(&self) -> Result<(Machine, NodeId)> {
        boot(&self.parts)
    }

    /// A HyperNode without memory.
    pub fn judge(&self) -> Arc<Context> {
        self.bench.fresh(0)
    }

    /// Enrols the machine; an error is the outcome's detail.
    pub async fn enrol(
        &self,
        judge: &Context,
        node: NodeId,
        endpoint: &str,
    ) -> Result<EnrolRecord> {
        let registered = self.bench.registered(node, endpoint);
        let asking = Asking::begin(judge, &registered, self.bench.place())?;
        if let Some(record) = enrol::run(&asking).await? {
            return Ok(record);
        }
        bail!("{}", recorded(&asking, OutcomeKind::Enrol)?.detail)
    }

    /// The present slot, or the next one where this judge has an outcome of the kind already: there is one in each.
    pub async fn place(&self, judge: &Context, node: NodeId, kind: OutcomeKind) -> Result<Place> {
        let (params, (epoch, now)) = (&self.bench.params, self.bench.place());
        let mut found = report::outcomes(judge, epoch, node)?.into_iter();
        let last = found.rfind(|outcome| outcome.kind == kind);
        if kind == OutcomeKind::Probe {
            let last = last.map_or(now, |outcome| outcome.place.1.max(now));
            return Ok((epoch, Slot(last.0.saturating_add(PROBE_SLOTS_AHEAD))));
        }
        // What takes longer is recorded in the slot in which it ended.
        let ended = last.map(|outcome| UnixMs(outcome.window.1.0.saturating_add(RECORDING_MS)));
        let taken = ended.and_then(|at| params.at(at));
        while taken.is_some_and(|taken| self.bench.place() <= taken) {
            tokio::time::sleep(POLL).await;
        }
        Ok(self.bench.place())
    }

    /// Attests the machine.
    pub async fn attest(
        &self,
        judge: &Context,
        record: &EnrolRecord,
        endpoint: &str,
    ) -> Result<Seen> {
        let registered = self.bench.registered(record.node, endpoint);
        let place = self.place(judge, record.node, OutcomeKind::Attest).await?;
        let asking = Asking::begin(judge, &registered, place)?;
        attest::run(&asking, record).await?;
        Ok(Seen::of(recorded(&asking, OutcomeKind::Attest)?))
    }

    /// Boots, enrols and attests with a HyperNode without memory, and switches off.
    pub async fn boot_and_judge(&self) -> Result<Seen> {
        let (machine, node) = self.boot()?;
        self.judged(node, &machine.endpoint).await
    }

    /// Enrols and attests with a HyperNode without memory.
    pub async fn judged(&self, node: NodeId, endpoint: &str) -> Result<Seen> {
        let judge = self.judge();
        let record = self.enrol(&judge, node, endpoint).await?;
        self.attest(&judge, &record, endpoint).await
    }
}

/// The outcome of this kind that was recorded where it was asked.
pub fn recorded(asking: &Asking<'_>, kind: OutcomeKind) -> Result<Outcome> {
    let found = report::outcomes(asking.context, asking.place.0, asking.node.node)?;
    let mut found = found.into_iter();
    let here = |outcome: &Outcome| outcome.kind == kind && outcome.place == asking.place;
    found.find(here).context("no outcome was recorded")
}

/// What a HyperNode saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How it ended.
    pub class: OutcomeClass,
    /// The tier, when the evidence was authentic.
    pub tier: Option<u64>,
    /// What did not hold.
    pub detail: String,
}

impl Seen {
    fn of(outcome: Outcome) -> Self {
        Self {
            class: outcome.class,
            tier: outcome.metric(metric::TIER),
            detail: outcome.detail,
        }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tier = self
            .tier
            .map_or_else(|| "none".to_owned(), |tier| tier.to_string());
        write!(f, "{}, tier {tier}: {}", self.class.name(), self.detail)
    }
}

/// Switches a machine on and waits until its agent serves; yields its node id.
pub fn boot(parts: &Parts) -> Result<(Machine, NodeId)> {
    let mut machine = Machine::start(parts)?;
    let line = machine.wait_for(SERVING, 1)?;
    let node = node_of(&line)?;
    Ok((machine, node))
}

/// Waits for the agent's start number `count` since the power came.
pub fn serves_again(machine: &mut Machine, count: usize) -> Result<NodeId> {
    node_of(&machine.wait_for(SERVING, count)?)
}

fn node_of(line: &str) -> Result<NodeId> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "node");
    Ok(words
        .nth(1)
        .with_context(|| format!("no node in {line:?}"))?
        .parse()?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("--sparse=always").args([from, to]))
}
