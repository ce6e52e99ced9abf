//! The Consolidated Screening List as CSV, and the lists it is made of.
//!
//! Over the years it had 28 columns, then 29 with `_id`; its parts had 8, 9 and 36. Columns are told by
//! their names. Rows that differ in address or alias alone are one entry.

use crate::screening::lands;

use super::{
    ImportError, Kind, MAX_BYTES,
    entries::{Entries, Fields, parted},
    sheet::{self, Columns, Row, Sheet},
};

const KIND: Kind = Kind::Consolidated;

/// Columns that tell this file from an operator's.
const MARKS: [&str; 8] = [
    "source",
    "source_list",
    "federal_register_notice",
    "alt_names",
    "alternative_names",
    "source_list_url",
    "programs",
    "sdn_type",
];

/// Columns of the Unverified List, which has no others.
const UNVERIFIED: [&str; 3] = ["country", "name", "address"];

/// Whether a header is of this kind.
pub(super) fn knows(header: &[String]) -> bool {
    let has = |name: &str| header.iter().any(|it| it == name);
    MARKS.iter().any(|it| has(it)) || is_unverified(header)
}

fn is_unverified(header: &[String]) -> bool {
    let named: Vec<&String> = header.iter().filter(|it| !it.is_empty()).collect();
    named.len() == UNVERIFIED.len() && named.iter().zip(UNVERIFIED).all(|(a, b)| *a == b)
}

pub(super) fn read(id: &str, bytes: &[u8]) -> Result<crate::screening::List, ImportError> {
    // The Unverified List on its own was published in Windows-1252.
    let is_old = || sheet::header(bytes).is_some_and(|it| is_unverified(&it));
    let old = match std::str::from_utf8(bytes) {
        Err(_) if bytes.len() <= MAX_BYTES && is_old() => windows_1252(bytes),
        _ => None,
    };
    let mut sheet = Sheet::new(KIND, old.as_deref().map_or(bytes, str::as_bytes))?;
    let columns = Columns::read(&mut sheet)?;
    let layout = Layout::of(&columns)?;
    let mut entries = Entries::new(KIND);
    while let Some(row) = sheet.row()? {
        columns.check(KIND, &row)?;
        entries.take(layout.fields(&row))?;
    }
    entries.finish(id)
}

struct Layout {
    name: usize,
    source: Option<usize>,
    number: Option<usize>,
    aliases: Option<usize>,
    countries: Vec<usize>,
    address: Option<usize>,
    /// City, province, code and country of an address that is parted into columns.
    rest: Vec<usize>,
    identifiers: Option<usize>,
    programs: Option<usize>,
}

impl Layout {
    fn of(columns: &Columns) -> Result<Self, ImportError> {
        let each = |names: &[&str]| names.iter().filter_map(|it| columns.find(&[it])).collect();
        Ok(Self {
            name: columns.need(KIND, &["name"])?,
            source: columns.find(&["source", "source_list"]),
            number: columns.find(&["entity_number"]),
            aliases: columns.find(&["alt_names", "alternative_names", "alternate_name"]),
            countries: each(&["country", "countries", "nationalities", "citizenships"]),
            address: columns.find(&["addresses", "address"]),
            rest: each(&["city", "state_province", "postal_code", "country"]),
            identifiers: columns.find(&["ids"]),
            programs: columns.find(&["programs"]),
        })
    }

    fn fields<'a>(&self, row: &'a Row) -> Fields<'a> {
        let field = |at: usize| row.fields.get(at).map_or("", |it| it.trim());
        let optional = |at: Option<usize>| at.map_or("", field);
        let mut addresses = parted(optional(self.address));
        if !addresses.is_empty() && self.rest.len() > 1 {
            let rest: Vec<&str> = self
                .rest
                .iter()
                .map(|at| field(*at))
                .filter(|it| !it.is_empty())
                .collect();
            addresses = vec![
                [&[optional(self.address)], rest.as_slice()]
                    .concat()
                    .join(", "),
            ];
        }
        let mut countries: Vec<String> = self
            .countries
            .iter()
            .flat_map(|at| parted(field(*at)))
            .collect();
        // Addresses of the newer layouts end in the code of the country.
        for address in &addresses {
            let last = address.rsplit(',').next().unwrap_or_default().trim();
            if last.len() == 2 && lands::code_of(last).is_some() {
                countries.push(last.to_owned());
            }
        }
        Fields {
            line: row.line,
            source: optional(self.source),
            number: optional(self.number),
            name: field(self.name),
            aliases: parted(optional(self.aliases)),
            countries,
            addresses,
            identifiers: parted(optional(self.identifiers)),
            programs: parted(optional(self.programs)),
        }
    }
}

/// Reads Windows-1252; `None` when a byte is none of its characters.
fn windows_1252(bytes: &[u8]) -> Option<String> {
    const HIGH: [char; 32] = [
        '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0',
        '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
    ];
    let character = |byte: &u8| match byte {
        0x80..=0x9f => HIGH
            .get(usize::from(byte - 0x80))
            .copied()
            .filter(|c| *c != '\0'),
        byte => Some(char::from(*byte)),
    };
    bytes.iter().map(character).collect()
}
