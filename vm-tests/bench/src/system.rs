//! A Debian system in a folder: with the agent's package installed, run there or turned into a disk.

use anyhow::{Context as _, Result, ensure};
use assay_testbed::tool::run;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a folder needs for programs to run in it.
const MOUNTS: [(&str, &str); 3] = [("proc", "proc"), ("sysfs", "sys"), ("devtmpfs", "dev")];

/// The system; only root can set one up.
#[derive(Debug)]
pub struct System {
    dir: tempfile::TempDir,
}

impl System {
    /// A fresh one, `base` or `guest`.
    pub fn new(name: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let tar = repository()?.join(format!("target/debian-{name}.tar"));
        ensure!(
            tar.is_file(),
            "no {}\nhint: tools/test-base.sh makes it",
            tar.display()
        );
        run(Command::new("tar")
            .arg("-xf")
            .arg(&tar)
            .arg("-C")
            .arg(dir.path()))?;
        let system = Self { dir };
        for (kind, path) in MOUNTS {
            run(Command::new("mount")
                .args(["-t", kind, kind])
                .arg(system.at(path)))?;
        }
        fs::copy("/etc/resolv.conf", system.at("etc/resolv.conf"))?;
        Ok(system)
    }

    /// A path of it, seen from here.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    /// A program of it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.dir.path()).arg(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Runs a program of it to its end.
    pub fn run(&self, line: &[&str]) -> Result<()> {
        let (program, arguments) = line.split_first().context("no program")?;
        run(self.command(program).args(arguments))
    }

    /// Builds the agent's package from the programs beside this one, into a folder of the system.
    pub fn build_package(&self, folder: &str, version: &str) -> Result<()> {
        let out = self.at(folder);
        self.build(
            "agent/package/build.sh",
            &[out.as_os_str(), version.as_ref()],
        )
    }

    /// Builds the package and installs it with what it depends on.
    pub fn install(&self, version: &str) -> Result<()> {
        self.build_package("/tmp", version)?;
        let package = format!("/tmp/assay-agent_{version}_amd64.deb");
        let line = ["apt-get", "install", "-qq", "-y", "--no-install-recommends"];
        self.run(&[&line[..], &[&package]].concat())
    }

    /// Builds the package of the probe guest in a folder and installs it without what it depends on: Debian 12 has that
    /// QEMU in its backports alone.
    pub fn install_probe(&self, guest: &Path, version: &str) -> Result<()> {
        let out = self.at("/tmp");
        let arguments = [out.as_os_str(), guest.as_os_str(), version.as_ref()];
        self.build("agent/package/probe/build.sh", &arguments)?;
        let package = format!("/tmp/assay-probe_{version}_amd64.deb");
        self.run(&["dpkg", "--force-depends", "--install", &package])
    }

    fn build(&self, script: &str, arguments: &[&OsStr]) -> Result<()> {
        let mut build = Command::new(repository()?.join(script));
        run(build.args(arguments).env("ASSAY_PROGRAMS", programs()?))
    }

    /// Writes it to `disk` as one ext4 file system, and kernel and initial file system beside it.
    pub fn into_disk(self, disk: &Path) -> Result<(PathBuf, PathBuf)> {
        self.unmount();
        let folder = disk.parent().context("no folder")?;
        let (kernel, initial) = (folder.join("vmlinuz"), folder.join("initrd.img"));
        // Links to what is in /boot.
        for (link, to) in [("vmlinuz", &kernel), ("initrd.img", &initial)] {
            fs::copy(
                self.at(fs::read_link(self.at(link))?.to_str().context("no text")?),
                to,
            )?;
        }
        run(Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-L", "root", "-d"])
            .arg(self.dir.path())
            .arg(disk)
            .arg("2600M"))?;
        Ok((kernel, initial))
    }

    fn unmount(&self) {
        for (_, path) in MOUNTS.iter().rev() {
            let _ = run(Command::new("umount").arg("-l").arg(self.at(path)));
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Where the programs of this build are: beside the test that runs.
pub fn programs() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let programs = this.parent().and_then(Path::parent);
    Ok(programs.context("no folder")?.to_owned())
}

/// Where the sources are.
pub fn repository() -> Result<PathBuf> {
    Ok(fs::canonicalize(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
    )?)
}
