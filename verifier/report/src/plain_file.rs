//! Files that somebody names: a plain one, or none, and never more of it than it can have.
//!
//! Neither a pipe that nobody writes into nor a device that never ends holds up who is given one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRead {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Others than its owner can read it.
    #[error(
        "{0}: others can read this file, which holds a secret; chmod 600 it, and replace the secret if they did"
    )]
    Exposed(PathBuf),
    /// A pipe, a device, a directory: nothing that ends, or that can be read twice.
    #[error("{0}: not a plain file; name one")]
    NotPlain(PathBuf),
    /// Longer than such a file can be.
    #[error("{path}: longer than {most} bytes")]
    Long {
        /// Which file.
        path: PathBuf,
        /// Most bytes that are read.
        most: u64,
    },
    /// Not text.
    #[error("{path}: line {line} is not UTF-8; save it as UTF-8")]
    NotText {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
}

impl NotRead {
    /// Tells whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Gives what the file system would have said.
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Io { source, .. } => source,
            Self::NotPlain(_) => io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"),
            other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        }
    }
}

/// Says what a reader can do about a file that the file system did not give.
pub fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "let this user read it",
        io::ErrorKind::InvalidInput => "put a plain file there",
        _ => "check the disk",
    }
}

/// A plain file, open.
#[derive(Debug)]
pub struct PlainFile {
    path: PathBuf,
    file: File,
}

impl PlainFile {
    /// Opens a plain file to read.
    pub fn open(path: &Path) -> Result<Self, NotRead> {
        Self::open_with(OpenOptions::new().read(true), 0, path)
    }

    /// Opens a file that only its owner may read, following no symbolic link.
    pub fn open_private(path: &Path) -> Result<Self, NotRead> {
        let opened = Self::open_with(OpenOptions::new().read(true), libc::O_NOFOLLOW, path)?;
        let mode = opened.file.metadata().map_err(io(path))?.mode();
        match mode & 0o077 {
            0 => Ok(opened),
            _ => Err(NotRead::Exposed(path.to_owned())),
        }
    }

    /// Opens a plain file as `options` say, with more flags of open(2).
    pub fn open_with(options: &mut OpenOptions, flags: i32, path: &Path) -> Result<Self, NotRead> {
        // Of a pipe nobody waits for the other end.
        let opened = options.custom_flags(flags | libc::O_NONBLOCK).open(path);
        let strange = |found: io::Result<fs::Metadata>| found.is_ok_and(|found| !found.is_file());
        let not_plain = || NotRead::NotPlain(path.to_owned());
        let file = match opened {
            // A socket cannot be opened, a directory not to be written.
            Err(_) if strange(fs::metadata(path)) => return Err(not_plain()),
            opened => opened.map_err(io(path))?,
        };
        match strange(file.metadata()) {
            true => Err(not_plain()),
            false => Ok(Self {
                path: path.to_owned(),
                file,
            }),
        }
    }

    /// Gives up the file.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Gives how many bytes it has now.
    pub fn length(&self) -> Result<u64, NotRead> {
        let found = self.file.metadata().map_err(io(&self.path))?;
        Ok(found.len())
    }

    /// Appends what it holds to `bytes`, at most `most`.
    pub fn read_into(self, bytes: &mut Vec<u8>, most: u64) -> Result<(), NotRead> {
        let before = bytes.len();
        let length = self.length()?.min(most);
        bytes.reserve_exact(usize::try_from(length.saturating_add(1)).unwrap_or(0));
        let mut file = self.file.take(most.saturating_add(1));
        file.read_to_end(bytes).map_err(io(&self.path))?;
        let read = bytes.len().saturating_sub(before);
        match read as u64 > most {
            true => Err(NotRead::Long {
                path: self.path,
                most,
            }),
            false => Ok(()),
        }
    }

    /// Reads text of at most `most` bytes; says in which line it is not UTF-8.
    pub fn read_text(self, most: u64) -> Result<String, NotRead> {
        let path = self.path.clone();
        let mut bytes = Vec::new();
        self.read_into(&mut bytes, most)?;
        String::from_utf8(bytes).map_err(|error| {
            let read = error.as_bytes().get(..error.utf8_error().valid_up_to());
            let lines = read.unwrap_or_default().split(|byte| *byte == b'\n');
            NotRead::NotText {
                path,
                line: lines.count(),
            }
        })
    }
}

fn io(path: &Path) -> impl Fn(io::Error) -> NotRead + '_ {
    move |source| NotRead::Io {
        path: path.to_owned(),
        source,
    }
}

/// Reads a plain file of at most `most` bytes.
pub fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, NotRead> {
    let mut bytes = Vec::new();
    PlainFile::open(path)?.read_into(&mut bytes, most)?;
    Ok(bytes)
}

/// Reads a plain text file of at most `most` bytes; says in which line it is not UTF-8.
pub fn read_bounded_text(path: &Path, most: u64) -> Result<String, NotRead> {
    PlainFile::open(path)?.read_text(most)
}

/// Puts a file in the place of a plain one, or of none: it is written under `part` and then renamed, so that
/// nobody reads half of it.
///
/// # Errors
/// Where something else than a plain file stands at either place: a pipe would hold up who opens it, and a
/// device would be gone.
pub fn put(path: &Path, part: &Path, bytes: &[u8]) -> Result<(), NotRead> {
    for place in [path, part] {
        if fs::metadata(place).is_ok_and(|found| !found.is_file()) {
            return Err(NotRead::NotPlain(place.to_owned()));
        }
    }
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(part)(error)),
        _ => {}
    }
    let mut file = File::create_new(part).map_err(io(part))?;
    file.write_all(bytes).map_err(io(part))?;
    fs::rename(part, path).map_err(io(path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::{fs::PermissionsExt as _, net::UnixListener};

    use super::*;

    #[test]
    fn what_never_ends_or_never_begins_is_not_read_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let socket = dir.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for path in [&pipe, &socket, Path::new("/dev/zero"), dir.path()] {
            let mut writing = OpenOptions::new();
            let writing = writing.read(true).write(true);
            for read in [
                read_bounded(path, 10).map(drop),
                read_bounded_text(path, 10).map(drop),
                PlainFile::open_private(path).map(drop),
                PlainFile::open_with(writing, 0, path).map(drop),
            ] {
                assert!(matches!(read, Err(NotRead::NotPlain(_))), "{path:?}");
            }
        }
        assert!(
            read_bounded(&dir.path().join("none"), 1)
                .unwrap_err()
                .is_missing()
        );
    }

    #[test]
    fn a_file_is_put_in_the_place_of_a_plain_one_and_of_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let made = std::process::Command::new("mkfifo")
            .arg(at("pipe"))
            .status();
        assert!(made.unwrap().success());
        for _ in 0..2 {
            put(&at("file"), &at("part"), b"whole").unwrap();
            assert_eq!(fs::read(at("file")).unwrap(), b"whole");
        }
        fs::write(at("part"), "left by a crash, and longer").unwrap();
        put(&at("file"), &at("part"), b"anew").unwrap();
        assert_eq!(fs::read(at("file")).unwrap(), b"anew");
        for (path, part) in [
            (at("pipe"), at("part")),
            (at("file"), at("pipe")),
            (PathBuf::from("/dev/null"), at("part")),
            (dir.path().to_owned(), at("part")),
        ] {
            let refused = put(&path, &part, b"x");
            assert!(matches!(refused, Err(NotRead::NotPlain(_))), "{path:?}");
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"anew");
    }

    #[test]
    fn no_more_is_read_than_there_can_be_and_what_is_no_text_is_named_by_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text");
        fs::write(&text, b"one\ntw\xff").unwrap();
        let said = read_bounded_text(&text, 10).unwrap_err().to_string();
        assert!(said.contains("line 2 is not UTF-8"), "{said}");
        let long = read_bounded(&text, 6);
        assert!(matches!(long, Err(NotRead::Long { most: 6, .. })));
        assert_eq!(read_bounded(&text, 7).unwrap().len(), 7);
        let endless = File::create(dir.path().join("endless")).unwrap();
        endless.set_len(1 << 40).unwrap();
        let long = read_bounded(&dir.path().join("endless"), 9);
        assert!(matches!(long, Err(NotRead::Long { most: 9, .. })));
    }

    #[test]
    fn a_secret_that_others_can_read_or_that_a_link_names_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, link) = (dir.path().join("secret"), dir.path().join("link"));
        fs::write(&secret, "x").unwrap();
        for (mode, good) in [
            (0o644, false),
            (0o640, false),
            (0o604, false),
            (0o600, true),
        ] {
            fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(PlainFile::open_private(&secret).is_ok(), good, "{mode:o}");
        }
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        assert!(PlainFile::open_private(&link).is_err());
        assert!(PlainFile::open(&link).is_ok());
    }
}
