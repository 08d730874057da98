//! The agent's command line.
//!
//! Exit codes: 0 done, 1 unexpected, 2 usage or configuration, 3 TPM, 4 network, 5 storage.
#![forbid(unsafe_code)]

use assay_agent::doctor::Finding;
use assay_agent::evidence::Request;
use assay_agent::host_files::HostFiles;
use assay_agent::node::{Node, StartError, node_id, open_sources, open_tpm, read_config};
use assay_agent::server::{self, Server};
use assay_agent::tpm::Extended;
use assay_agent::{bench, confine, doctor, durable, measure, probe_guest, smart, status};
use assay_protocol::class::ValidClass;
use assay_protocol::ids::{Beacon, Epoch, HyperNodeId, Nonce};
use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Proves that this server delivers what its owner promised.
#[derive(Parser)]
#[command(name = "assay-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the HyperNodes of the roster
    Run {
        /// The measured configuration file
        #[arg(long)]
        config: PathBuf,
        /// Whom the agent becomes when root starts it, once everything is open that only root can open [default: assay]
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Show what the running agent says of itself; exit 1 when none runs
    Status {
        /// The measured configuration file
        #[arg(long)]
        config: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure the configuration into PCR 12, once a boot and before anything else runs
    ///
    /// Writes the firmware's log with that one event more to the file that tpm.event_log names.
    Measure {
        /// The configuration file to measure
        #[arg(long)]
        config: PathBuf,
        /// The firmware's log
        #[arg(long, default_value = measure::FIRMWARE_LOG)]
        firmware_log: PathBuf,
    },
    /// Read the health of the NVMe controllers into a file that the running agent tells HyperNodes of
    ///
    /// A timer or the first process starts it now and then: the kernel wants CAP_SYS_ADMIN at each reading.
    Smart {
        /// The file
        #[arg(long, default_value = smart::READINGS)]
        out: PathBuf,
    },
    /// Show what HyperNodes enrol: node id, endorsement key and attestation key
    Enroll {
        /// The measured configuration file
        #[arg(long)]
        config: PathBuf,
        /// Print it as JSON on stdout
        #[arg(long, required = true)]
        print: bool,
    },
    /// Examine this machine before any stake is at risk: PASS, FAIL or SKIP, with a hint each; exit 1 when one failed
    Doctor {
        /// The measured configuration file
        #[arg(long)]
        config: PathBuf,
        /// A hardware class that the machine should satisfy
        #[arg(long, value_name = "CLASS")]
        profile: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fill and chase as a class asks for, against this machine itself: PASS, FAIL or SKIP; exit 1 when one failed
    ///
    /// Uses the same code as the answers to HyperNodes. Takes some ten seconds and the fill.
    Bench {
        /// The measured configuration file
        #[arg(long)]
        config: PathBuf,
        /// The hardware class
        #[arg(long, value_name = "CLASS")]
        profile: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write evidence as a HyperNode would get it, to see what it makes of this machine
    ///
    /// It is signed by a session key of its own, which ends with the command: nobody accepts it from a running agent.
    Attest {
        /// The measured configuration file
        #[arg(long)]
        config: PathBuf,
        /// The nonce, 64 hexadecimal digits
        #[arg(long)]
        nonce: Nonce,
        /// The HyperNode that is named beside it, 64 hexadecimal digits
        #[arg(long, default_value_t = HyperNodeId([0; 32]))]
        hypernode: HyperNodeId,
        /// Where it is written
        #[arg(long)]
        out: PathBuf,
    },
    /// Be the only program of a confidential guest: give its host SEV-SNP reports over vsock
    ProbeGuest,
}

/// What libraries are told by the environment. They listen to nothing else, and changing it in a running process is
/// unsafe: start over with it set.
const ENVIRONMENT: [(&str, &str); 4] = [
    // The TSS writes each refusal of the TPM to stderr by itself, where a peer could flood it; our own errors say the
    // same and more.
    ("TSS2_LOG", "all+NONE"),
    // glibc: one heap for all threads, from which freed buffers go back to the system. It would keep a heap for each
    // thread that ever was, and ever larger buffers, all of it in memory that is locked.
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];

/// Starts this program over when [`ENVIRONMENT`] is not set; what somebody has set otherwise stays so.
fn settle_environment() {
    let missing = ENVIRONMENT.map(|(name, _)| std::env::var_os(name).is_none());
    if missing.contains(&true) {
        let mut again = std::process::Command::new("/proc/self/exe");
        again.arg0("assay-agent").args(std::env::args_os().skip(1));
        for ((name, value), missing) in ENVIRONMENT.into_iter().zip(missing) {
            if missing {
                again.env(name, value);
            }
        }
        // Returns only when it failed; then we go on, louder and larger.
        let _ = again.exec();
    }
}

fn main() -> ExitCode {
    settle_environment();
    let outcome = match Cli::parse().command {
        Command::Doctor {
            config,
            profile,
            json,
        } => return doctor(&config, profile.as_deref(), json),
        Command::Bench {
            config,
            profile,
            json,
        } => return bench(&config, &profile, json),
        Command::Measure {
            config,
            firmware_log,
        } => return measure(&config, &firmware_log),
        Command::Smart { out } => return smart(&out),
        Command::Status { config, json } => return status(&config, json),
        Command::Run { config, user } => run(&config, user.as_deref()),
        Command::Enroll { config, .. } => enroll(config),
        Command::Attest {
            config,
            nonce,
            hypernode,
            out,
        } => attest(config, (hypernode, nonce), &out),
        Command::ProbeGuest => probe_guest::run().map(|never| match never {}),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &StartError) -> ExitCode {
    let text = error.to_string();
    eprintln!("error: {}\nhint: {}", text.trim_end(), error.hint());
    ExitCode::from(error.exit_code())
}

fn status(config: &Path, json: bool) -> ExitCode {
    let looked = read_config(config).and_then(|config| {
        status::look(&config.state_dir).map_err(|source| StartError::State {
            path: status::path(&config.state_dir),
            source,
        })
    });
    let report = match looked {
        Ok(report) => report,
        Err(error) => return failed(&error),
    };
    let text = match json {
        true => format!("{:#}\n", serde_json::json!(report)),
        false => report.to_string(),
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(u8::from(!report.running))
}

fn doctor(config: &Path, profile: Option<&Path>, json: bool) -> ExitCode {
    match profile.map(class).transpose() {
        Ok(class) => report(&doctor::examine(config, class.as_ref()), json),
        Err(code) => code,
    }
}

fn bench(config: &Path, profile: &Path, json: bool) -> ExitCode {
    match class(profile) {
        Ok(class) => report(&bench::measure(config, &class), json),
        Err(code) => code,
    }
}

fn class(profile: &Path) -> Result<ValidClass, ExitCode> {
    assay_hw_profiles::load(profile).map_err(|error| {
        eprintln!("error: {error}\nhint: name a class file with --profile FILE");
        ExitCode::from(2)
    })
}

fn report(findings: &[Finding], json: bool) -> ExitCode {
    let text = match json {
        true => format!("{:#}\n", serde_json::json!(findings)),
        false => findings
            .iter()
            .map(|finding| format!("{finding}\n"))
            .collect(),
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(u8::from(!doctor::is_sound(findings)))
}

fn measure(config: &Path, firmware_log: &Path) -> ExitCode {
    match measure::measure(config, firmware_log) {
        Ok(done) => {
            let text = match done {
                Extended::Now => "measured into PCR 12",
                Extended::Before => "was measured into PCR 12 before, in this boot",
            };
            let _ = writeln!(std::io::stdout(), "{}: {text}", config.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}\nhint: {}", error.hint());
            ExitCode::from(error.exit_code())
        }
    }
}

fn smart(out: &Path) -> ExitCode {
    let (count, refused) = match smart::record(&HostFiles::of_this_machine(), out) {
        Ok((count, refused)) => (Some(count), refused),
        Err(error) => (None, vec![error]),
    };
    if let Some(count) = count {
        let path = out.display();
        let _ = writeln!(std::io::stdout(), "{path}: NVMe controllers read: {count}");
    }
    let mut code = ExitCode::SUCCESS;
    for error in refused {
        eprintln!("error: {error}\nhint: {}", error.hint());
        code = ExitCode::from(error.exit_code());
    }
    code
}

/// What only root can open is opened first; then the process is confined; only then it has threads, keys, the TPM and,
/// last of all, connections.
fn run(config: &Path, user: Option<&str>) -> Result<(), StartError> {
    let config = read_config(config)?;
    let sources = open_sources(&config)?;
    let listener = server::listen(&config)?;
    let process = status::Process::own().map_err(|error| StartError::Serve(error.to_string()))?;
    let confinement = confine::enter(&config, user)?;
    let missing = confinement.not_enforced.clone();
    let origin = status::Origin {
        process,
        confinement,
    };
    let server = Server::new(Node::open(config, sources)?, listener, origin)?;
    for missing in missing {
        eprintln!("assay-agent: {missing}");
    }
    let address = server
        .address()
        .map_err(|error| StartError::Serve(error.to_string()))?;
    let node = server.node();
    let (id, session) = (node.id, node.session.id());
    let mut stdout = std::io::stdout();
    // Whoever started the agent reads this line; nobody reading it is no reason to stop.
    let _ = writeln!(stdout, "listening on {address} node {id} session {session}");
    let _ = stdout.flush();
    server.run()
}

fn attest(
    config: PathBuf,
    (hypernode, nonce): (HyperNodeId, Nonce),
    out: &Path,
) -> Result<(), StartError> {
    let config = read_config(&config)?;
    let sources = open_sources(&config)?;
    let node = Node::open(config, sources)?;
    let evidence = node.attest(Request {
        hypernode,
        nonce,
        // No epoch is under way.
        freshness: (Epoch(0), Beacon([0; 32])),
        appraised: None,
    });
    let written = durable::replace(out, 0o644, &evidence.map_err(StartError::Evidence)?);
    written.map_err(|source| StartError::Output {
        path: out.to_owned(),
        source,
    })
}

fn enroll(config: PathBuf) -> Result<(), StartError> {
    let tpm = open_tpm(&read_config(&config)?)?;
    let identity = tpm.identity();
    let node = node_id(&identity.ek_public).ok_or(StartError::EkType)?;
    let material = serde_json::json!({
        "node": node,
        "ek_certificate": hex::encode(&identity.ek_certificate),
        "ek_public": hex::encode(&identity.ek_public),
        "ak_public": hex::encode(&identity.ak_public),
        "ak_name": identity.ak_name,
    });
    let _ = writeln!(std::io::stdout(), "{material:#}");
    Ok(())
}
