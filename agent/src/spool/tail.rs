//! The end of the spool, to which records are appended.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// A file that can be appended to, made durable and cut; an interface so that tests can let each
/// of these fail.
pub(super) trait Append: Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
}

/// Opens the segment at a path for appending at `bytes`; makes it when `bytes` is 0.
pub(super) type Opener = fn(&Path, u64) -> io::Result<Box<dyn Append>>;

/// Opens a file of the disk.
pub(super) fn open(path: &Path, bytes: u64) -> io::Result<Box<dyn Append>> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if bytes == 0 {
        options.create_new(true);
    }
    let mut file = options.open(path)?;
    file.seek(SeekFrom::Start(bytes))?;
    Ok(Box::new(file))
}

impl Append for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)?;
        self.seek(SeekFrom::Start(bytes)).map(drop)
    }
}
