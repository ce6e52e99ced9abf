//! A screening list, parsed: who is on it, under which names.

use serde::Serialize;

/// An organisation, person or vessel on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub(crate) names: Vec<String>,
    pub(crate) source: String,
    pub(crate) countries: Vec<String>,
    pub(crate) addresses: Vec<String>,
    pub(crate) identifiers: Vec<String>,
    pub(crate) programs: Vec<String>,
}

impl Entry {
    /// The name under which it is listed.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// All its names, the listed one first, then aliases; each once.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The list within the file, as the file calls it, such as "Entity List (EL) - Bureau of Industry
    /// and Security"; empty where a file is one list.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Countries, as the file writes them.
    pub fn countries(&self) -> &[String] {
        &self.countries
    }

    /// Addresses, as the file writes them.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Numbers in registers, as the file writes them.
    pub fn identifiers(&self) -> &[String] {
        &self.identifiers
    }

    /// Programs or laws under which it is listed.
    pub fn programs(&self) -> &[String] {
        &self.programs
    }
}

/// A list that parsed from end to end. Made by the importers alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct List {
    pub(crate) id: String,
    pub(crate) rows: u64,
    pub(crate) entries: Vec<Entry>,
}

impl List {
    /// The list's id: the file's own where it has one, else what the caller gave.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Rows of the file that named somebody; several can be of one entry.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Who is on it, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many names are on it, aliases among them.
    pub fn names(&self) -> usize {
        self.entries.iter().map(|it| it.names.len()).sum()
    }
}
