//! A TOML table that is read key by key, so that every fault of a file is found at once.

use std::{fmt, ops::RangeInclusive, path::PathBuf};

use toml::{Table, Value};

/// One fault: the key, with the tables it stands in, and what is wrong with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Such as `source.library`.
    pub key: String,
    /// What is wrong, and what is due.
    pub text: String,
    /// Nothing is wrong with what is there; it is not there.
    pub missing: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

/// A table whose keys are taken one by one; what is left at the end is unknown.
pub(super) struct Section<'a> {
    prefix: String,
    table: Table,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: Table, faults: &'a mut Vec<Fault>) -> Self {
        Self {
            prefix: String::new(),
            table,
            faults,
        }
    }

    /// Takes the table at `key`; an empty one when there is none.
    pub(super) fn section(&mut self, key: &str) -> Section<'_> {
        let table = match self.table.remove(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.fault(key, format!("is not a table; write [{}{key}]", self.prefix));
                Table::new()
            }
        };
        Section {
            prefix: format!("{}{key}.", self.prefix),
            table,
            faults: self.faults,
        }
    }

    /// Tells whether `key` is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Takes a text.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.fault(key, "is not a text in quotes".into());
                None
            }
        }
    }

    /// Takes a text that `parse` accepts.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(key, error);
                None
            }
        }
    }

    /// Takes an absolute path.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.parsed(key, |text| {
            let path = PathBuf::from(text);
            path.is_absolute()
                .then_some(path)
                .ok_or_else(|| format!("{text:?} is not an absolute path"))
        })
    }

    /// Takes a whole number.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let number = match self.table.remove(key)? {
            Value::Integer(number) => u64::try_from(number).ok(),
            _ => None,
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => {
                let (least, most) = range.into_inner();
                self.fault(key, format!("is not a whole number from {least} to {most}"));
                None
            }
        }
    }

    /// Takes true or false.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        match self.table.remove(key)? {
            Value::Boolean(flag) => Some(flag),
            _ => {
                self.fault(key, "is neither true nor false".into());
                None
            }
        }
    }

    /// Notes that something is wrong with `key`.
    pub(super) fn fault(&mut self, key: &str, text: String) {
        self.faults.push(Fault {
            key: format!("{}{key}", self.prefix),
            text,
            missing: false,
        });
    }

    /// Notes that `key` is due.
    pub(super) fn missing(&mut self, key: &str, text: &str) {
        self.faults.push(Fault {
            key: format!("{}{key}", self.prefix),
            text: format!("is missing; {text}"),
            missing: true,
        });
    }

    /// Refuses what nobody took.
    pub(super) fn end(self) {
        for key in self.table.keys() {
            self.faults.push(Fault {
                key: format!("{}{key}", self.prefix),
                text: "is not a key that affiant-agent knows; correct or remove it".into(),
                missing: false,
            });
        }
    }
}
