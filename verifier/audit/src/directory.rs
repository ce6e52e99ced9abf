//! A bundle in a directory, and how much of it was read.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, BufReader, IsTerminal as _, Read, Write as _},
    path::PathBuf,
};

use affiant_report::{
    files::{EVIDENCE, Files},
    plain_file::{NotRead, PlainFile},
};

/// The files of a bundle, each opened by its fixed name.
pub struct Directory {
    path: PathBuf,
    progress: Progress,
}

impl Directory {
    /// Takes a directory; an error when there is none at `path`.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        if fs::metadata(&path)?.is_dir() {
            Ok(Self {
                path,
                progress: Progress::default(),
            })
        } else {
            Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                "not a directory; a bundle is one",
            ))
        }
    }
}

impl Files for Directory {
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        let opened = match PlainFile::open(&self.path.join(name)) {
            Ok(opened) => opened,
            Err(none) if none.is_missing() => return Ok(None),
            Err(error) => return Err(error.into_io()),
        };
        let whole = opened.length().map_err(NotRead::into_io)?;
        let file = BufReader::with_capacity(1 << 16, opened.into_file());
        if name != EVIDENCE {
            return Ok(Some(Box::new(file)));
        }
        Ok(Some(Box::new(Counted {
            file,
            progress: &self.progress,
            read: 0,
            whole,
        })))
    }
}

/// A bar on standard error while a person looks on; else nothing.
#[derive(Default)]
struct Progress {
    shown: Cell<Option<u64>>,
}

impl Progress {
    fn at(&self, read: u64, whole: u64) {
        let percent = read
            .saturating_mul(100)
            .checked_div(whole)
            .unwrap_or(100)
            .min(100);
        // A small bundle is read before anybody could see a bar.
        if whole < 1 << 22 || self.shown.get() == Some(percent) || !io::stderr().is_terminal() {
            return;
        }
        self.shown.set(Some(percent));
        let filled = usize::try_from(percent / 4).unwrap_or(25);
        let end = if percent == 100 { "\r\x1b[K" } else { "" };
        // A bar that cannot be drawn is no reason to stop.
        let _ = write!(
            io::stderr(),
            "\rreading evidence [{:<25}] {percent:>3} %{end}",
            "=".repeat(filled)
        );
    }
}

struct Counted<'a> {
    file: BufReader<File>,
    progress: &'a Progress,
    read: u64,
    whole: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.read = self.read.saturating_add(count as u64);
        self.progress.at(self.read, self.whole);
        Ok(count)
    }
}
