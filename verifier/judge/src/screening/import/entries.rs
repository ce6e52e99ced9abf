//! Rows that are of one entry are put together; fields are parted into values.

use std::collections::BTreeMap;

use crate::screening::{
    known_as,
    list::{Entry, List},
};

use super::{Fault, ImportError, Kind, Place};

/// Most names, addresses or other values of one entry: ten times what any on the lists of July 2026 has.
pub(super) const MAX_VALUES: usize = 1_000;

/// Entries in the order of their first rows.
pub(super) struct Entries {
    kind: Kind,
    entries: Vec<Entry>,
    by_key: BTreeMap<(String, String, String), usize>,
    rows: u64,
}

/// What a row says.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) line: u64,
    pub(super) source: &'a str,
    /// The number of an entry within its source; rows with one are of one entry.
    pub(super) number: &'a str,
    pub(super) name: &'a str,
    pub(super) aliases: Vec<String>,
    pub(super) countries: Vec<String>,
    pub(super) addresses: Vec<String>,
    pub(super) identifiers: Vec<String>,
    pub(super) programs: Vec<String>,
}

impl Entries {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            entries: Vec::new(),
            by_key: BTreeMap::new(),
            rows: 0,
        }
    }

    /// Takes a row: an entry of its own, or more of one that has its source, number and name.
    pub(super) fn take(&mut self, row: Fields<'_>) -> Result<(), ImportError> {
        let mut names = known_as::names_in(row.name);
        if names.is_empty() {
            return Err(nameless(self.kind, row.line, row.name));
        }
        self.rows += 1;
        for alias in &row.aliases {
            names.extend(known_as::names_in(alias));
        }
        for address in &row.addresses {
            names.extend(known_as::aliases_in(address));
        }
        let key = (
            row.source.to_owned(),
            row.number.to_owned(),
            row.name.trim().to_owned(),
        );
        let fresh = self.entries.len();
        let at = *self.by_key.entry(key).or_insert(fresh);
        if at == fresh {
            self.entries.push(Entry {
                names: Vec::new(),
                source: row.source.to_owned(),
                countries: Vec::new(),
                addresses: Vec::new(),
                identifiers: Vec::new(),
                programs: Vec::new(),
            });
        }
        if let Some(entry) = self.entries.get_mut(at) {
            for (into, values) in [
                (&mut entry.names, names),
                (&mut entry.countries, row.countries),
                (&mut entry.addresses, row.addresses),
                (&mut entry.identifiers, row.identifiers),
                (&mut entry.programs, row.programs),
            ] {
                merge(into, values);
                if into.len() > MAX_VALUES {
                    let fault = Fault::TooManyValues;
                    return Err(ImportError::new(self.kind, Place::line(row.line), fault));
                }
            }
        }
        Ok(())
    }

    /// The list, when somebody is on it.
    pub(super) fn finish(self, id: &str) -> Result<List, ImportError> {
        if self.entries.is_empty() {
            return Err(ImportError::new(self.kind, Place::default(), Fault::Empty));
        }
        Ok(List {
            id: id.to_owned(),
            rows: self.rows,
            entries: self.entries,
        })
    }
}

/// What is wrong with a row of whose name nothing can be compared.
pub(super) fn nameless(kind: Kind, line: u64, name: &str) -> ImportError {
    let fault = match name.chars().any(char::is_alphanumeric) {
        true => Fault::ShortName { name: shown(name) },
        false => Fault::NoName,
    };
    ImportError::new(kind, Place::column(line, "name"), fault)
}

/// As much of a value as an error shows.
pub(super) fn shown(value: &str) -> String {
    value.trim().chars().take(40).collect()
}

fn merge(into: &mut Vec<String>, values: Vec<String>) {
    for value in values {
        let value = value.trim();
        if !value.is_empty() && !into.iter().any(|it| it == value) {
            into.push(value.to_owned());
        }
    }
}

/// Values of a field, parted by semicolons.
pub(super) fn parted(field: &str) -> Vec<String> {
    let values = field.split(';').map(str::trim);
    values
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect()
}
