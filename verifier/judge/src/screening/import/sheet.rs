//! Comma-separated values, strictly.
//!
//! Readers of CSV forgive: an open quotation mark takes the rest of the file into one field, and a
//! list that lost ten thousand names that way reads as a shorter one. Here it is an error with its line.

use super::{Fault, ImportError, Kind, MAX_BYTES, MAX_COLUMNS, MAX_FIELD, MAX_ROWS, Place};

/// The rows of a file.
pub(crate) struct Sheet<'a> {
    kind: Kind,
    text: &'a str,
    at: usize,
    line: u64,
    rows: u64,
}

/// A row, and the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) line: u64,
    pub(crate) fields: Vec<String>,
}

impl Row {
    pub(crate) fn is_blank(&self) -> bool {
        self.fields.iter().all(|it| it.trim().is_empty())
    }
}

impl<'a> Sheet<'a> {
    /// Begins at the first line, behind a byte order mark.
    pub(crate) fn new(kind: Kind, bytes: &'a [u8]) -> Result<Self, ImportError> {
        let text = text(kind, bytes)?;
        Ok(Self {
            kind,
            text,
            at: 0,
            line: 1,
            rows: 0,
        })
    }

    /// The next row that is not blank; `None` at the end.
    pub(crate) fn row(&mut self) -> Result<Option<Row>, ImportError> {
        loop {
            let Some(row) = self.any_row()? else {
                return Ok(None);
            };
            if !row.is_blank() {
                return Ok(Some(row));
            }
        }
    }

    fn fault(&self, line: u64, column: usize, fault: Fault) -> ImportError {
        ImportError::new(
            self.kind,
            Place::column(line, (column + 1).to_string()),
            fault,
        )
    }

    fn any_row(&mut self) -> Result<Option<Row>, ImportError> {
        if self.at >= self.text.len() {
            return Ok(None);
        }
        self.rows += 1;
        if self.rows > MAX_ROWS + 1 {
            return Err(ImportError::new(
                self.kind,
                Place::line(self.line),
                Fault::TooManyRows,
            ));
        }
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            let (field, ends) = self.field(fields.len())?;
            if fields.len() == MAX_COLUMNS {
                return Err(self.fault(line, fields.len(), Fault::TooManyColumns));
            }
            fields.push(field);
            if ends {
                return Ok(Some(Row { line, fields }));
            }
        }
    }

    /// One field, and whether the row ends with it.
    fn field(&mut self, column: usize) -> Result<(String, bool), ImportError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match rest.strip_prefix('"') {
            Some(quoted) => self.quoted(quoted, column),
            None => {
                let length = rest.find([',', '\n']).unwrap_or(rest.len());
                let field = rest.get(..length).unwrap_or_default();
                self.fits(field.len(), column)?;
                let ends = self.step(length, rest);
                let field = if ends {
                    field.strip_suffix('\r').unwrap_or(field)
                } else {
                    field
                };
                // A mark inside a field begins nothing; the rows that lists publish have inches and nicknames.
                Ok((field.to_owned(), ends))
            }
        }
    }

    fn quoted(&mut self, quoted: &str, column: usize) -> Result<(String, bool), ImportError> {
        let (line, mut field, mut from) = (self.line, String::new(), 0);
        loop {
            let Some(mark) = quoted.get(from..).and_then(|it| it.find('"')) else {
                return Err(self.fault(line, column, Fault::OpenQuote));
            };
            let piece = quoted.get(from..from + mark).unwrap_or_default();
            self.fits(field.len() + piece.len(), column)?;
            field.push_str(piece);
            from += mark + 1;
            match quoted.get(from..).unwrap_or_default().strip_prefix('"') {
                Some(_) => {
                    field.push('"');
                    from += 1;
                }
                None => break,
            }
        }
        let newlines = field.bytes().filter(|b| *b == b'\n').count();
        let rest = quoted.get(from..).unwrap_or_default();
        let after = rest.strip_prefix('\r').unwrap_or(rest);
        if !after.is_empty() && !after.starts_with('\n') && !rest.starts_with(',') {
            return Err(self.fault(self.line, column, Fault::StrayQuote));
        }
        let skipped = if rest.starts_with(',') {
            0
        } else {
            rest.len() - after.len()
        };
        self.at += 1 + from;
        let ends = self.step(skipped, rest);
        self.line += u64::try_from(newlines).unwrap_or(u64::MAX);
        Ok((field, ends))
    }

    /// Steps over a field and what ends it; whether that is the end of the row.
    fn step(&mut self, length: usize, rest: &str) -> bool {
        match rest.as_bytes().get(length) {
            Some(b',') => {
                self.at += length + 1;
                false
            }
            Some(_) => {
                self.at += length + 1;
                self.line += 1;
                true
            }
            None => {
                self.at += length;
                true
            }
        }
    }

    fn fits(&self, bytes: usize, column: usize) -> Result<(), ImportError> {
        if bytes > MAX_FIELD {
            return Err(self.fault(self.line, column, Fault::FieldTooLong));
        }
        Ok(())
    }
}

/// Bytes as text, behind a byte order mark.
pub(crate) fn text(kind: Kind, bytes: &[u8]) -> Result<&str, ImportError> {
    if bytes.len() > MAX_BYTES {
        let fault = Fault::TooLarge { bytes: bytes.len() };
        return Err(ImportError::new(kind, Place::default(), fault));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let byte = error.valid_up_to();
        let before = bytes.get(..byte).unwrap_or_default();
        let lines = before.iter().filter(|b| **b == b'\n').count();
        let line = u64::try_from(lines).unwrap_or(u64::MAX).saturating_add(1);
        ImportError::new(kind, Place::line(line), Fault::NotUtf8 { byte })
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The first line's columns, by which a file is told; `None` when it cannot be read.
pub(crate) fn header(bytes: &[u8]) -> Option<Vec<String>> {
    let end = bytes
        .iter()
        .position(|b| *b == b'\n')
        .unwrap_or(bytes.len());
    let first = bytes.get(..end.min(MAX_FIELD))?;
    let row = Sheet::new(Kind::Operator, first).ok()?.row().ok()??;
    Some(row.fields.iter().map(|it| canonical(it)).collect())
}

/// A column's name as it is compared: small letters, words parted by one underscore.
pub(crate) fn canonical(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|it| !it.is_empty());
    words.collect::<Vec<_>>().join("_")
}

/// The header: which column stands where.
#[derive(Debug)]
pub(crate) struct Columns {
    names: Vec<String>,
}

impl Columns {
    /// Reads the header; a column twice is refused, for one of them would be ignored.
    pub(crate) fn read(sheet: &mut Sheet<'_>) -> Result<Self, ImportError> {
        let Some(row) = sheet.row()? else {
            return Err(ImportError::new(sheet.kind, Place::line(1), Fault::Empty));
        };
        let mut names: Vec<String> = row.fields.iter().map(|it| canonical(it)).collect();
        // Spreadsheets leave commas behind: columns without a name at the end are none.
        names.truncate(
            names
                .iter()
                .rposition(|it| !it.is_empty())
                .map_or(0, |it| it + 1),
        );
        for (at, name) in names.iter().enumerate() {
            if !name.is_empty() && names.iter().skip(at + 1).any(|it| it == name) {
                let fault = Fault::DuplicateColumn { name: name.clone() };
                return Err(ImportError::new(sheet.kind, Place::line(row.line), fault));
            }
        }
        Ok(Self { names })
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Where the first of these columns is that the header has.
    pub(crate) fn find(&self, any: &[&str]) -> Option<usize> {
        any.iter()
            .find_map(|name| self.names.iter().position(|it| it == name))
    }

    /// The same, for one that a file must have.
    pub(crate) fn need(&self, kind: Kind, any: &[&'static str]) -> Result<usize, ImportError> {
        self.find(any).ok_or_else(|| {
            let name = any.first().copied().unwrap_or_default();
            ImportError::new(kind, Place::line(1), Fault::MissingColumn { name })
        })
    }

    /// Checks that a row has the header's columns, and behind them at most blank ones.
    pub(crate) fn check(&self, kind: Kind, row: &Row) -> Result<(), ImportError> {
        let more = row.fields.get(self.names.len()..);
        if more.is_some_and(|it| it.iter().all(|it| it.trim().is_empty())) {
            return Ok(());
        }
        let fault = Fault::Ragged {
            found: row.fields.len(),
            expected: self.names.len(),
        };
        Err(ImportError::new(kind, Place::line(row.line), fault))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<Vec<String>>, ImportError> {
        let mut sheet = Sheet::new(Kind::Operator, text.as_bytes())?;
        let mut rows = Vec::new();
        while let Some(row) = sheet.row()? {
            rows.push(row.fields);
        }
        Ok(rows)
    }

    #[test]
    fn quoted_fields_hold_commas_lines_and_marks() {
        let read = rows("\u{feff}a,\"b, \"\"c\"\"\nd\",e\r\n\r\n,,\nf,,\"\"").unwrap();
        assert_eq!(read, [vec!["a", "b, \"c\"\nd", "e"], vec!["f", "", ""]]);
    }

    #[test]
    fn a_fault_is_told_with_its_line_and_column() {
        for (text, message) in [
            (
                "a,b\nc,\"d\ne,f",
                "operator's list (CSV), line 2, column 2: the quotation mark is never closed; quote fields that contain commas, and double quotation marks inside them",
            ),
            (
                "a\n\"b\"c\n",
                "operator's list (CSV), line 2, column 1: a quotation mark stands where none can; quote fields that contain commas, and double quotation marks inside them",
            ),
        ] {
            assert_eq!(rows(text).unwrap_err().to_string(), message);
        }
        let broken = Sheet::new(Kind::Consolidated, b"a\nb\xff").err().unwrap();
        assert_eq!(
            broken.to_string(),
            "consolidated screening list (CSV), line 2: byte 3 of the file is not UTF-8; save the file as UTF-8, or load it again from its source"
        );
    }
}
