//! A private PostgreSQL server in a folder of its own, reached through a socket there; ends on drop.

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, chown};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::net::free_port;
use crate::tool::run;
use crate::web::pem;

/// Names the folder of the server's programs where it is another one.
pub const PROGRAMS_VARIABLE: &str = "ASSAY_POSTGRES_BIN";
const INSTALLED: &str = "/usr/lib/postgresql/15/bin";
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The server refuses to run as root: then it is this user's.
const UNPRIVILEGED: &str = "nobody";

/// A running server with an empty database `assay` of a user `assay`.
#[derive(Debug)]
pub struct Postgres {
    child: Child,
    folder: tempfile::TempDir,
    /// On loopback, for TLS alone.
    port: Option<u16>,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    pub fn start() -> Result<Self> {
        Self::started(None)
    }

    /// The same, which also listens on loopback and speaks TLS there and nothing else, with this certificate (DER) and key
    /// (PKCS #8).
    pub fn start_tls(certificate: &[u8], key: &[u8]) -> Result<Self> {
        Self::started(Some((certificate, key)))
    }

    fn started(tls: Option<(&[u8], &[u8])>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        if let Some(user) = unprivileged()? {
            chown(folder.path(), Some(user.uid), Some(user.gid))?;
        }
        let data = data(folder.path());
        let mut init = program("initdb")?;
        init.args(["--auth=trust", "--username=assay", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "-D"])
            .arg(&data);
        run(&mut init)?;
        let port = tls.map(|_| free_port()).transpose()?;
        if let Some((certificate, key)) = tls {
            speak_tls(&data, certificate, key)?;
        }
        let child = server(folder.path(), port)?;
        let started = Self {
            child,
            folder,
            port,
        };
        started.wait()?;
        Ok(started)
    }

    /// For clients that come by this name of the machine.
    pub fn url_at(&self, host: &str) -> Result<String> {
        let port = self.port.context("the server listens on no port")?;
        Ok(format!("postgres://assay@{host}:{port}/postgres"))
    }

    /// For clients.
    pub fn url(&self) -> String {
        let socket = self.folder.path().display().to_string();
        format!("postgres://assay@{}/postgres", socket.replace('/', "%2F"))
    }

    /// The server dies and comes back: every connection is lost, nothing committed is.
    pub fn crash(&mut self) -> Result<()> {
        self.signal(Signal::SIGQUIT)?;
        self.child.wait()?;
        self.resume()
    }

    /// The server is away until [`Postgres::resume`].
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGQUIT)?;
        self.child.wait()?;
        Ok(())
    }

    /// The server is back.
    pub fn resume(&mut self) -> Result<()> {
        self.child = server(self.folder.path(), self.port)?;
        self.wait()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            signal,
        )?)
    }

    fn wait(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let mut ready = program("pg_isready")?;
            ready.arg("-q").arg("-h").arg(self.folder.path());
            if let Some(port) = self.port {
                ready.args(["-p", &port.to_string()]);
            }
            if ready.status()?.success() {
                return Ok(());
            }
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            ensure!(started.elapsed() < START_TIMEOUT, "PostgreSQL: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.signal(Signal::SIGQUIT);
        let _ = self.child.wait();
    }
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Certificate and key where the server looks for them, and whom it lets in: on loopback nobody without TLS.
fn speak_tls(data: &Path, certificate: &[u8], key: &[u8]) -> Result<()> {
    let hba = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
    let files = [
        ("server.crt", pem("CERTIFICATE", certificate)),
        ("server.key", pem("PRIVATE KEY", key)),
        ("pg_hba.conf", hba.to_owned()),
    ];
    for (name, text) in files {
        let path = data.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        if let Some(user) = unprivileged()? {
            chown(&path, Some(user.uid), Some(user.gid))?;
        }
    }
    Ok(())
}

fn server(folder: &Path, tls_port: Option<u16>) -> Result<Child> {
    let log = std::fs::File::create(folder.join("log"))?;
    let mut server = program("postgres")?;
    server
        .arg("-D")
        .arg(data(folder))
        .arg("-k")
        .arg(folder)
        .args(["-c", "shared_buffers=16MB"])
        .args(["-c", "max_connections=20"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    match tls_port {
        Some(port) => server
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "ssl=on"])
            .args(["-p", &port.to_string()]),
        None => server.args(["-c", "listen_addresses="]),
    };
    Ok(server.spawn()?)
}

fn program(name: &str) -> Result<Command> {
    let folder =
        std::env::var_os(PROGRAMS_VARIABLE).map_or_else(|| PathBuf::from(INSTALLED), PathBuf::from);
    let path = folder.join(name);
    ensure!(
        path.is_file(),
        "{}: PostgreSQL is not installed\nhint: `make setup` installs it, or name its programs' folder in {PROGRAMS_VARIABLE}",
        path.display()
    );
    let mut command = Command::new(path);
    command.current_dir("/");
    if let Some(user) = unprivileged()? {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    Ok(command)
}

fn unprivileged() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name(UNPRIVILEGED)?;
    user.map(Some)
        .with_context(|| format!("no user {UNPRIVILEGED} for the database server"))
}
