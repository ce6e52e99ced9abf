//! Faults of a pack, each with its place and a remedy, and the error that says them all.

use std::fmt;

use super::{files, scan};

/// Most faults of one pack that are said: more than a person mends in one go.
pub const MAX_FAULTS: usize = 32;

/// Something that is wrong in a file of a pack: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Name of the file.
    pub file: String,
    /// Line and column, from 1, where there is a place; columns count characters.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub said: String,
    /// What is right instead; may be empty.
    pub remedy: String,
}

impl Fault {
    pub(super) fn new(
        file: &str,
        place: Option<(usize, usize)>,
        said: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            place,
            said: said.into(),
            remedy: remedy.into(),
        }
    }

    /// A fault that the TOML reader found, with the place that it gave.
    pub(super) fn toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map(|span| scan::place(text, span.start));
        let said = error.message().trim().replace('\n', "; ");
        Self::new(file, place, said, "")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ", line {line}, column {column}")?;
        }
        write!(f, ": {}", self.said)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Why a pack cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPack {
    /// Bytes that are no canonical pack.
    #[error("these bytes are no policy pack ({0}); make them anew from its directory")]
    NotAPack(&'static str),
    /// More files than a pack may have.
    #[error("the pack has {0} files; at most {max} are taken", max = files::MAX_FILES)]
    TooManyFiles(usize),
    /// A file larger than a pack's may be.
    #[error("{name}: {bytes} bytes; a file of a pack has at most {max}", max = files::MAX_FILE_BYTES)]
    TooLarge {
        /// Name of the file.
        name: String,
        /// Its size.
        bytes: usize,
    },
    /// A file that every pack has is not there.
    #[error("{0}: is not there; every pack has one")]
    Missing(&'static str),
    /// What is wrong in its files: all at once, up to [`MAX_FAULTS`], never empty.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
}

impl BadPack {
    pub(super) fn one(fault: Fault) -> Self {
        Self::Faults(vec![fault])
    }
}

fn lines(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    lines.join("\n")
}
