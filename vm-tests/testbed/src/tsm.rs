//! A folder that behaves like an entry of configfs-tsm (Linux `drivers/virt/coco/tsm.c`, `fs/configfs/file.c`), made of
//! named pipes: what is read from a file is computed when it is opened, and whoever reads waits for it, as with the
//! kernel. An entry cannot appear in an ordinary folder the moment it is made, so that this one is there already.

use anyhow::Result;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The data of one report.
pub const INBLOB_BYTES: usize = 64;

/// Makes report and certificate table for what was written.
type Make = Box<dyn FnMut([u8; INBLOB_BYTES]) -> (Vec<u8>, Vec<u8>) + Send>;

/// The entry, served by threads of this process until it ends.
pub struct TsmEntry {
    /// The folder of entries, as a configuration names it.
    pub reports: PathBuf,
    kernel: Arc<Mutex<Kernel>>,
}

/// What the kernel keeps of an entry.
struct Kernel {
    /// The reading ends of what may be written; kept open, so that writers never wait.
    inblob: File,
    privlevel: File,
    make: Make,
    data: Option<[u8; INBLOB_BYTES]>,
    written: u64,
    made: u64,
    report: Vec<u8>,
    table: Vec<u8>,
    /// Writes of somebody else, done before the report is made.
    disturbances: u32,
}

impl TsmEntry {
    /// An entry `name` below `dir`, of the driver `provider`.
    pub fn start(
        dir: &Path,
        name: &str,
        provider: &str,
        make: impl FnMut([u8; INBLOB_BYTES]) -> (Vec<u8>, Vec<u8>) + Send + 'static,
    ) -> Result<Self> {
        let entry = dir.join(name);
        std::fs::create_dir_all(&entry)?;
        std::fs::write(entry.join("provider"), format!("{provider}\n"))?;
        let kernel = Arc::new(Mutex::new(Kernel {
            inblob: writable(&entry.join("inblob"))?,
            privlevel: writable(&entry.join("privlevel"))?,
            make: Box::new(make),
            data: None,
            written: 0,
            made: 0,
            report: Vec::new(),
            table: Vec::new(),
            disturbances: 0,
        }));
        for (name, answer) in [
            (
                "generation",
                Kernel::generation as fn(&mut Kernel) -> Vec<u8>,
            ),
            ("outblob", Kernel::outblob),
            ("auxblob", Kernel::auxblob),
        ] {
            serve(&entry, name, Arc::clone(&kernel), answer)?;
        }
        let reports = dir.to_owned();
        Ok(Self { reports, kernel })
    }

    /// In each of the next `count` attempts somebody else writes before the report is read.
    pub fn disturb(&self, count: u32) {
        lock(&self.kernel).disturbances = count;
    }

    /// Exchanges who makes reports.
    pub fn remake(
        &self,
        make: impl FnMut([u8; INBLOB_BYTES]) -> (Vec<u8>, Vec<u8>) + Send + 'static,
    ) {
        lock(&self.kernel).make = Box::new(make);
    }

    /// Writes that were taken.
    pub fn generation(&self) -> u64 {
        let mut kernel = lock(&self.kernel);
        kernel.take_writes();
        kernel.written
    }
}

fn lock(kernel: &Mutex<Kernel>) -> MutexGuard<'_, Kernel> {
    kernel.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kernel {
    /// Takes what was written since.
    fn take_writes(&mut self) {
        let mut level = [0; 16];
        while let Ok(1..) = self.privlevel.read(&mut level) {
            self.written += 1;
        }
        let mut data = [0; INBLOB_BYTES];
        while let Ok(INBLOB_BYTES) = self.inblob.read(&mut data) {
            self.data = Some(data);
            self.written += 1;
        }
    }

    fn generation(&mut self) -> Vec<u8> {
        self.take_writes();
        format!("{}\n", self.written).into_bytes()
    }

    fn outblob(&mut self) -> Vec<u8> {
        self.take_writes();
        if let (Some(left), Some(data)) = (self.disturbances.checked_sub(1), &mut self.data) {
            self.disturbances = left;
            data.fill(0xee);
            self.written += 1;
        }
        self.renew();
        self.report.clone()
    }

    fn auxblob(&mut self) -> Vec<u8> {
        self.take_writes();
        self.renew();
        self.table.clone()
    }

    fn renew(&mut self) {
        if let (Some(data), true) = (self.data, self.made != self.written) {
            (self.report, self.table) = (self.make)(data);
            self.made = self.written;
        }
    }
}

/// What is read, everybody may read.
fn readable(path: &Path) -> Result<()> {
    Ok(mkfifo(path, Mode::from_bits_truncate(0o644))?)
}

fn writable(path: &Path) -> Result<File> {
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let mut options = File::options();
    options.read(true).write(true);
    options.custom_flags(nix::libc::O_NONBLOCK);
    Ok(options.open(path)?)
}

/// Each opening has a pipe of its own: the next one lies there before this one is answered.
fn serve(
    entry: &Path,
    name: &str,
    kernel: Arc<Mutex<Kernel>>,
    answer: fn(&mut Kernel) -> Vec<u8>,
) -> Result<()> {
    let (path, next) = (entry.join(name), entry.join(format!(".{name}")));
    readable(&path)?;
    let one = move || -> Result<()> {
        // Waits for a reader.
        let mut opened = File::options().write(true).open(&path)?;
        readable(&next)?;
        std::fs::rename(&next, &path)?;
        let bytes = answer(&mut lock(&kernel));
        // A reader that has enough closes.
        let _ = opened.write_all(&bytes);
        Ok(())
    };
    // Ends when the folder is gone.
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || while one().is_ok() {})?;
    Ok(())
}
