//! Small files of the kernel, `/proc` and `/sys`, below a root that tests put elsewhere.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The longest file read: `/proc/cpuinfo` of a thousand threads.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The files of one machine.
#[derive(Debug, Clone)]
pub struct HostFiles {
    root: PathBuf,
}

impl HostFiles {
    /// Those of this machine.
    pub fn of_this_machine() -> Self {
        Self::below("/")
    }

    /// Those below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A file's bytes, as far as [`BYTES_MAX`]; nothing when it is not there or cannot be read.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.bounded(path, BYTES_MAX)
    }

    /// The same, as far as `max`.
    pub fn bounded(&self, path: &str, max: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.open(path)?;
        file.take(max as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Where a file is.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file's text without white space around it; nothing when it is not there or no text.
    pub fn text(&self, path: &str) -> Option<String> {
        let text = String::from_utf8(self.bytes(path)?).ok()?;
        Some(text.trim().to_owned())
    }

    /// A file that holds one number.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// A file to be read again and again; nothing when it is not there or cannot be opened.
    pub fn open(&self, path: &str) -> Option<File> {
        File::open(self.at(path)).ok()
    }

    /// Whether something is there.
    pub fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// The last name of what a link leads to.
    pub fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.root.join(path)).ok()?;
        target.file_name()?.to_str().map(str::to_owned)
    }

    /// Names in a folder, ascending; none when it is not there.
    pub fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Whole disks with a device behind them, ascending by name.
    pub fn disks(&self) -> Vec<String> {
        let mut names = self.names("sys/block");
        names.retain(|name| self.exists(&format!("sys/block/{name}/device")));
        names
    }

    /// Network interfaces with a device behind them, ascending by name.
    pub fn nics(&self) -> Vec<String> {
        let mut names = self.names("sys/class/net");
        names.retain(|name| self.exists(&format!("sys/class/net/{name}/device")));
        names
    }
}

/// A machine of files for tests: path and content; a path that ends in `->` is a link.
#[cfg(test)]
pub(crate) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, HostFiles) {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let (path, is_link) = match path.strip_suffix("->") {
            Some(path) => (path, true),
            None => (*path, false),
        };
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match is_link {
            true => std::os::unix::fs::symlink(content, path).unwrap(),
            false => fs::write(path, content).unwrap(),
        }
    }
    let files = HostFiles::below(dir.path());
    (dir, files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_of_a_file_is_read_than_its_bound() {
        let (_dir, files) = machine(&[("proc/long", &"x".repeat(4_194_305))]);
        assert_eq!(files.bytes("proc/long").unwrap().len(), 4_194_304);
        assert_eq!(files.bounded("proc/long", 5).unwrap(), b"xxxxx");
    }

    #[test]
    fn what_is_missing_or_no_number_is_nothing() {
        let (_dir, files) = machine(&[
            ("sys/a", "12\n"),
            ("sys/b", "-1\n"),
            ("sys/c->", "/x/driver"),
        ]);
        assert_eq!(files.number("sys/a"), Some(12));
        assert_eq!(files.number("sys/b"), None);
        assert_eq!(files.text("sys/b"), Some("-1".into()));
        assert_eq!(
            (files.text("sys/z"), files.names("nowhere")),
            (None, Vec::new())
        );
        assert_eq!(files.link_name("sys/c"), Some("driver".into()));
        assert_eq!(files.link_name("sys/a"), None);
    }
}
