//! Slurm job → account and user, from a file that the job's prolog wrote as root.
//!
//! One file per job, named by its number or SLUID, of lines `account=NAME` and `user=NAME`. Users
//! must not be able to write one, so the folder and each file are refused unless they belong to
//! root and nobody else may write them.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use super::bounded;

/// Most bytes of a prolog file: two names of [`MAX_NAME_BYTES`] with their keys take 530.
const MAX_FILE_BYTES: u64 = 4_096;

/// Longest account or user name: `LOGIN_NAME_MAX` of Linux; accounts are shorter by custom.
const MAX_NAME_BYTES: usize = 256;

/// What the prolog says of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlurmJob {
    /// Empty where the file does not tell.
    pub account: String,
    /// Empty where the file does not tell.
    pub user: String,
}

/// Why a prolog file is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrologError {
    /// Someone other than its owner may have written it.
    #[error(
        "{path} is not a plain file or folder of uid {owner} that only its owner may write; let the prolog write it as root, mode 0644 in a folder of mode 0755"
    )]
    Untrusted {
        /// File or folder.
        path: PathBuf,
        /// Whose it must be.
        owner: u32,
    },
    /// A line that is not understood.
    #[error("{path}, line {line}: give account=NAME or user=NAME, each once and at most 256 bytes")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The folder of prolog files.
#[derive(Clone, Debug)]
pub struct PrologFiles {
    folder: PathBuf,
    owner: u32,
}

impl PrologFiles {
    /// Takes the folder (by custom `/run/affiant/slurm`) and whose files are believed: 0, root,
    /// on every host.
    pub fn new(folder: impl Into<PathBuf>, owner: u32) -> Self {
        Self {
            folder: folder.into(),
            owner,
        }
    }

    /// Reads what the prolog said of `job`; `None` when it said nothing.
    pub fn read(&self, job: &str) -> Result<Option<SlurmJob>, PrologError> {
        // The id comes from a cgroup's name: it never leads out of the folder.
        let plain = (1..=64).contains(&job.len()) && job.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain {
            return Ok(None);
        }
        let path = self.folder.join(job);
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |error| PrologError::Read { path, error }
        };
        let folder = match fs::symlink_metadata(&self.folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&self.folder)(error)),
        };
        if !folder.is_dir() || !self.trusted(&folder) {
            return Err(self.untrusted(&self.folder));
        }
        // Neither a link nor a pipe that nobody writes may hold the agent up.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(self.untrusted(&path));
            }
            Err(error) => return Err(failed(&path)(error)),
        };
        let metadata = file.metadata().map_err(failed(&path))?;
        if !metadata.is_file() || !self.trusted(&metadata) {
            return Err(self.untrusted(&path));
        }
        let bytes = bounded::read(file, MAX_FILE_BYTES).map_err(failed(&path))?;
        parse(&bytes)
            .map(Some)
            .map_err(|line| PrologError::Line { path, line })
    }

    fn trusted(&self, metadata: &fs::Metadata) -> bool {
        metadata.uid() == self.owner && metadata.mode() & 0o022 == 0
    }

    fn untrusted(&self, path: &std::path::Path) -> PrologError {
        PrologError::Untrusted {
            path: path.to_owned(),
            owner: self.owner,
        }
    }
}

/// Reads the lines; an error is the number of the line that is wrong.
pub(super) fn parse(bytes: &[u8]) -> Result<SlurmJob, usize> {
    let mut job = SlurmJob::default();
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let line = std::str::from_utf8(line).map_err(|_| number)?.trim();
        if line.is_empty() {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(number)?;
        let field = match key {
            "account" => &mut job.account,
            "user" => &mut job.user,
            _ => return Err(number),
        };
        let fits = (1..=MAX_NAME_BYTES).contains(&value.len());
        if !fits || !field.is_empty() || value.chars().any(char::is_control) {
            return Err(number);
        }
        value.clone_into(field);
    }
    Ok(job)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    struct Site {
        root: tempfile::TempDir,
        files: PrologFiles,
    }

    fn site() -> Site {
        let root = tempfile::tempdir().unwrap();
        let owner = fs::metadata(root.path()).unwrap().uid();
        mode(root.path(), 0o755);
        let files = PrologFiles::new(root.path(), owner);
        Site { root, files }
    }

    fn mode(path: &std::path::Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    impl Site {
        fn write(&self, name: &str, text: &str) {
            let path = self.root.path().join(name);
            fs::write(&path, text).unwrap();
            mode(&path, 0o644);
        }
    }

    #[test]
    fn a_prolog_file_gives_account_and_user() {
        let site = site();
        site.write("42", "account=quickfire\nuser=maria\n");
        site.write("s6A7N0GYSPG000", "user=maria");
        let job = site.files.read("42").unwrap().unwrap();
        assert_eq!(
            (job.account.as_str(), job.user.as_str()),
            ("quickfire", "maria")
        );
        let job = site.files.read("s6A7N0GYSPG000").unwrap().unwrap();
        assert_eq!(job.account, "");
        assert_eq!(site.files.read("43").unwrap(), None);
        assert_eq!(site.files.read("../42").unwrap(), None);
        assert_eq!(PrologFiles::new("/nowhere", 0).read("42").unwrap(), None);
    }

    #[test]
    fn a_file_that_others_could_have_written_is_refused() {
        let site = site();
        let untrusted =
            |name: &str| matches!(site.files.read(name), Err(PrologError::Untrusted { .. }));
        site.write("1", "user=maria");
        mode(&site.root.path().join("1"), 0o664);
        assert!(untrusted("1"));
        site.write("2", "user=maria");
        symlink(site.root.path().join("2"), site.root.path().join("3")).unwrap();
        assert!(untrusted("3"));
        fs::create_dir(site.root.path().join("4")).unwrap();
        assert!(untrusted("4"));
        let stranger = PrologFiles::new(site.root.path(), site.files.owner + 1);
        assert!(matches!(
            stranger.read("2"),
            Err(PrologError::Untrusted { .. })
        ));
        mode(site.root.path(), 0o777);
        assert!(untrusted("2"), "a folder where anybody may put files");
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused_with_its_line() {
        let site = site();
        for (text, wrong) in [
            ("account=a\npartition=gpu", 2),
            ("account", 1),
            ("account=", 1),
            ("account=a\naccount=b", 2),
            ("user=a\x07b", 1),
        ] {
            site.write("1", text);
            let Err(PrologError::Line { line, .. }) = site.files.read("1") else {
                panic!("{text:?} was taken")
            };
            assert_eq!(line, wrong, "{text:?}");
        }
        site.write("1", &format!("user={}", "x".repeat(257)));
        assert!(site.files.read("1").is_err());
        site.write("1", &"\n".repeat(5_000));
        assert!(matches!(
            site.files.read("1"),
            Err(PrologError::Read { .. })
        ));
    }
}
