//! An operator's own list as CSV.

use super::{
    Fault, ImportError, Kind, Place,
    entries::{Entries, Fields, parted},
    sheet::{Columns, Sheet},
};

const KIND: Kind = Kind::Operator;

/// The columns that there are; `name` alone is needed. Another one would be a value that nobody
/// screens, so it is refused.
const COLUMNS: [&str; 6] = [
    "name",
    "aliases",
    "country",
    "address",
    "identifiers",
    "program",
];

/// Whether a header is of this kind.
pub(super) fn knows(header: &[String]) -> bool {
    header.iter().any(|it| COLUMNS.contains(&it.as_str()))
}

pub(super) fn read(id: &str, bytes: &[u8]) -> Result<crate::screening::List, ImportError> {
    let mut entries = Entries::new(KIND);
    each(bytes, |row| entries.take(row?))?;
    entries.finish(id)
}

/// Hands on each row, or what is wrong with it; ends at a fault behind which nothing can be read.
pub(super) fn each(
    bytes: &[u8],
    mut take: impl FnMut(Result<Fields<'_>, ImportError>) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let mut sheet = Sheet::new(KIND, bytes)?;
    let columns = Columns::read(&mut sheet)?;
    if let Some(name) = columns
        .names()
        .iter()
        .find(|it| !COLUMNS.contains(&it.as_str()))
    {
        let fault = Fault::UnknownColumn { name: name.clone() };
        return Err(ImportError::new(KIND, Place::line(1), fault));
    }
    let name = columns.need(KIND, &["name"])?;
    let [_, aliases, country, address, identifiers, program] =
        COLUMNS.map(|it| columns.find(&[it]));
    while let Some(row) = sheet.row()? {
        if let Err(bad) = columns.check(KIND, &row) {
            take(Err(bad))?;
            continue;
        }
        let field = |at: Option<usize>| {
            at.and_then(|at| row.fields.get(at))
                .map_or("", |it| it.trim())
        };
        take(Ok(Fields {
            line: row.line,
            name: field(Some(name)),
            aliases: parted(field(aliases)),
            countries: parted(field(country)),
            addresses: parted(field(address)),
            identifiers: parted(field(identifiers)),
            programs: parted(field(program)),
            ..Fields::default()
        }))?;
    }
    Ok(())
}
