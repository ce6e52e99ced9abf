//! Importers: bytes of a file to a [`List`], whole or not at all.

mod consolidated;
pub mod desk;
mod entries;
mod json;
mod operator;
pub(crate) mod sheet;

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::list::List;

/// Largest file that is read: 128 MiB. The Consolidated Screening List with its some 25,000 entries is
/// about 20 MB; its largest part, the SDN list, has grown by a tenth a year.
pub const MAX_BYTES: usize = 128 << 20;

/// Most rows of a file: 250,000, ten times the Consolidated Screening List. A row is up to some 2 KB in
/// memory, so that a list is at most some 500 MB; a file of a million rows is refused while it is read.
pub const MAX_ROWS: u64 = 250_000;

/// Most columns of a row. The widest layout of the Consolidated Screening List has 36.
pub const MAX_COLUMNS: usize = 64;

/// Most bytes of one field: 64 KiB. The longest of the lists of July 2026 has some 9,000.
pub const MAX_FIELD: usize = 64 << 10;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The Consolidated Screening List as CSV, or one of the lists it is made of, in any of their
    /// layouts over the years.
    Consolidated,
    /// JSON: an object with `list_id` and `entities`.
    Json,
    /// An operator's own CSV: a column `name`, and of `aliases`, `country`, `address`, `identifiers`
    /// and `program` those that he has. Several values in a field are parted by semicolons.
    Operator,
    /// An operator's alias file, see [`Aliases`](super::Aliases).
    Aliases,
    /// Labelled pairs of names, for measuring.
    Pairs,
}

impl Kind {
    /// What the kind is called in errors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consolidated => "consolidated screening list (CSV)",
            Self::Json => "list (JSON)",
            Self::Operator => "operator's list (CSV)",
            Self::Aliases => "alias file (CSV)",
            Self::Pairs => "labelled pairs (CSV)",
        }
    }
}

/// A text that names no kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a format of lists: consolidated, json, operator or aliases")]
pub struct NotAKind;

impl FromStr for Kind {
    type Err = NotAKind;

    fn from_str(text: &str) -> Result<Self, NotAKind> {
        match text {
            "consolidated" => Ok(Self::Consolidated),
            "json" => Ok(Self::Json),
            "operator" => Ok(Self::Operator),
            "aliases" => Ok(Self::Aliases),
            _ => Err(NotAKind),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a file is not a list; nothing of it was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}, {place}: {fault}; {}", .fault.remedy())]
pub struct ImportError {
    kind: Kind,
    place: Place,
    fault: Fault,
}

impl ImportError {
    pub(crate) fn new(kind: Kind, place: Place, fault: Fault) -> Self {
        Self { kind, place, fault }
    }

    /// What the file was read as.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where in the file.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What is wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

/// Where in a file, lines from 1 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line, 0 for the file as a whole.
    pub line: u64,
    /// The column by its name, or by its number from 1 on.
    pub column: Option<String>,
}

impl Place {
    pub(crate) fn line(line: u64) -> Self {
        Self { line, column: None }
    }

    pub(crate) fn column(line: u64, column: impl Into<String>) -> Self {
        Self {
            line,
            column: Some(column.into()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, &self.column) {
            (0, _) => f.write_str("the file"),
            (line, None) => write!(f, "line {line}"),
            (line, Some(column)) => write!(f, "line {line}, column {column}"),
        }
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// More bytes than [`MAX_BYTES`].
    #[error("it has {bytes} bytes, and {MAX_BYTES} are read at most")]
    TooLarge {
        /// Bytes of the file.
        bytes: usize,
    },
    /// More rows than [`MAX_ROWS`].
    #[error("it has more than {MAX_ROWS} rows")]
    TooManyRows,
    /// More columns than [`MAX_COLUMNS`].
    #[error("the row has more than {MAX_COLUMNS} columns")]
    TooManyColumns,
    /// A field longer than [`MAX_FIELD`].
    #[error("the field has more than {MAX_FIELD} bytes")]
    FieldTooLong,
    /// More than 1,000 values of one kind in an entry.
    #[error(
        "its entry has more than {} names, addresses or other values of one kind",
        entries::MAX_VALUES
    )]
    TooManyValues,
    /// Bytes that are no UTF-8.
    #[error("byte {byte} of the file is not UTF-8")]
    NotUtf8 {
        /// Its offset in the file, from 0 on.
        byte: usize,
    },
    /// A quotation mark that is never closed.
    #[error("the quotation mark is never closed")]
    OpenQuote,
    /// Something behind a closed quotation mark.
    #[error("a quotation mark stands where none can")]
    StrayQuote,
    /// A row that has other columns than the header.
    #[error("the row has {found} columns, the header {expected}")]
    Ragged {
        /// Columns of the row.
        found: usize,
        /// Columns of the header.
        expected: usize,
    },
    /// The header lacks a column.
    #[error("there is no column `{name}`")]
    MissingColumn {
        /// Its name.
        name: &'static str,
    },
    /// The header has a column twice.
    #[error("the header has the column `{name}` twice")]
    DuplicateColumn {
        /// Its name.
        name: String,
    },
    /// The header has a column that this kind of file does not.
    #[error("the column `{name}` is not known")]
    UnknownColumn {
        /// Its name.
        name: String,
    },
    /// Nobody is on the list.
    #[error("nobody is on it")]
    Empty,
    /// A row that names nobody.
    #[error("the name is empty or has no letter or digit")]
    NoName,
    /// A name that would be like too many.
    #[error("the name {name:?} is too short to be compared")]
    ShortName {
        /// The name.
        name: String,
    },
    /// A country of an operator's list that is none.
    #[error("{value:?} is no assigned code of ISO 3166-1 such as DE{}", meant_by(.meant))]
    NoCountry {
        /// What stands there.
        value: String,
        /// The code that is meant, where that can be told.
        meant: Option<&'static str>,
    },
    /// A character that no name has.
    #[error("U+{code:04X} stands in it, which no name has")]
    Strange {
        /// The character.
        code: u32,
    },
    /// A line of an alias file that joins nothing.
    #[error("one name alone is joined with nothing")]
    Alone,
    /// A header of a list at the beginning of an alias file.
    #[error("it begins with the header of a list, and an alias file has none")]
    ListHeader,
    /// An alias file without aliases.
    #[error("it joins no names")]
    NoAliases,
    /// A label that is neither true nor false.
    #[error("`{value}` is neither true nor false")]
    NoLabel {
        /// What stands there.
        value: String,
    },
    /// JSON that cannot be read.
    #[error("not the JSON of a list: {reason}")]
    Json {
        /// What the reader says.
        reason: String,
    },
    /// Neither JSON nor a header that is known.
    #[error("neither JSON nor a CSV header with a column for names")]
    Unknown,
}

fn meant_by(meant: &Option<&str>) -> String {
    meant.map_or_else(String::new, |code| format!(", and {code} is"))
}

impl Fault {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::TooManyRows | Self::TooManyValues => {
                "check that it is the list that was meant, or part it into several"
            }
            Self::TooManyColumns | Self::FieldTooLong | Self::OpenQuote | Self::StrayQuote => {
                "quote fields that contain commas, and double quotation marks inside them"
            }
            Self::NotUtf8 { .. } => "save the file as UTF-8, or load it again from its source",
            Self::Ragged { .. } => "load the file again from its source, or complete the row",
            Self::MissingColumn { .. } | Self::Unknown => {
                "give the file as its source publishes it, with its header"
            }
            Self::DuplicateColumn { .. } => "leave one of the columns out",
            Self::UnknownColumn { .. } => {
                "name columns name, aliases, country, address, identifiers and program"
            }
            Self::Empty => "check the download: an empty list would clear everybody",
            Self::NoName => "give the row a name or leave it out",
            Self::ShortName { .. } => "write it out, with two letters or digits at least",
            Self::NoCountry { .. } => "write the code, or leave it empty where it is not known",
            Self::Strange { .. } => "take it out, or check that it is the file that was meant",
            Self::Alone => {
                "write two names or more of one organisation in a line, or leave the line out"
            }
            Self::ListHeader => "import it as a list: format operator, consolidated or json",
            Self::NoAliases => "check that it is the file that was meant",
            Self::NoLabel { .. } => "label each pair true or false",
            Self::Json { .. } => "give an object with list_id and entities, each with a name",
        }
    }
}

/// Reads a file of any kind, told by its beginning; `id` names a list whose file does not.
///
/// # Errors
/// The first fault in the order of the file. Nothing is taken then.
pub fn read(id: &str, bytes: &[u8]) -> Result<List, ImportError> {
    let first = bytes
        .iter()
        .find(|b| !b.is_ascii_whitespace() && !matches!(b, 0xef | 0xbb | 0xbf));
    if first == Some(&b'{') {
        return json::read(bytes);
    }
    let header = sheet::header(bytes);
    match header {
        Some(header) if consolidated::knows(&header) => consolidated::read(id, bytes),
        Some(header) if operator::knows(&header) => operator::read(id, bytes),
        _ => {
            // Faults of the bytes come before what the header says.
            let mut sheet = sheet::Sheet::new(Kind::Operator, bytes)?;
            sheet.row()?;
            Err(ImportError::new(
                Kind::Operator,
                Place::line(1),
                Fault::Unknown,
            ))
        }
    }
}

/// Reads the Consolidated Screening List or one of its parts.
///
/// # Errors
/// As [`read`].
pub fn read_consolidated(id: &str, bytes: &[u8]) -> Result<List, ImportError> {
    consolidated::read(id, bytes)
}

/// Reads a list in JSON, which names itself.
///
/// # Errors
/// As [`read`].
pub fn read_json(bytes: &[u8]) -> Result<List, ImportError> {
    json::read(bytes)
}

/// Reads an operator's CSV.
///
/// # Errors
/// As [`read`].
pub fn read_operator(id: &str, bytes: &[u8]) -> Result<List, ImportError> {
    operator::read(id, bytes)
}
