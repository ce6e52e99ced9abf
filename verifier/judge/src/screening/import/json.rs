//! Lists as JSON: `{"list_id": …, "entities": [{"name": …, "aliases": […], "country": …, "address": …}]}`.

use serde::Deserialize;

use super::{
    Fault, ImportError, Kind, MAX_FIELD, MAX_ROWS, Place,
    entries::{Entries, Fields},
    sheet,
};

const KIND: Kind = Kind::Json;

/// What such a file has; other members are not read.
#[derive(Deserialize)]
struct File {
    list_id: String,
    entities: Vec<Entity>,
}

#[derive(Deserialize)]
struct Entity {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    country: Option<String>,
    address: Option<String>,
    #[serde(default)]
    identifiers: Vec<String>,
    notes: Option<String>,
}

/// Schemes of identifiers that notes of such lists name, with a colon behind them.
const SCHEMES: [&str; 5] = ["USCC", "LEI", "Registration Number", "Tax ID No.", "ISIN"];

pub(super) fn read(bytes: &[u8]) -> Result<crate::screening::List, ImportError> {
    let text = sheet::text(KIND, bytes)?;
    let file: File = serde_json::from_str(text).map_err(|error| {
        let line = u64::try_from(error.line()).unwrap_or(u64::MAX);
        let place = Place::column(line, error.column().to_string());
        let reason = error.to_string();
        ImportError::new(KIND, place, Fault::Json { reason })
    })?;
    if u64::try_from(file.entities.len()).is_ok_and(|it| it > MAX_ROWS) {
        return Err(ImportError::new(KIND, Place::default(), Fault::TooManyRows));
    }
    let mut entries = Entries::new(KIND);
    for (at, entity) in file.entities.into_iter().enumerate() {
        let number = at.to_string();
        let name = format!("entities[{at}].name");
        let place = || Place {
            line: line_of(text, at),
            column: Some(name.clone()),
        };
        if entity.name.len() > MAX_FIELD {
            return Err(ImportError::new(KIND, place(), Fault::FieldTooLong));
        }
        let mut identifiers = entity.identifiers;
        identifiers.extend(in_notes(entity.notes.as_deref().unwrap_or_default()));
        entries
            .take(Fields {
                // Two entities of one name in two countries are two entries.
                number: &number,
                name: &entity.name,
                aliases: entity.aliases,
                countries: entity.country.into_iter().collect(),
                addresses: entity.address.into_iter().collect(),
                identifiers,
                ..Fields::default()
            })
            .map_err(|error| ImportError::new(KIND, place(), error.fault().clone()))?;
    }
    entries.finish(&file.list_id)
}

/// The line of the entity at a place, by counting names: for people, in an error.
fn line_of(text: &str, at: usize) -> u64 {
    let offset = text.match_indices("\"name\"").nth(at).map_or(0, |it| it.0);
    let lines = text
        .get(..offset)
        .unwrap_or_default()
        .bytes()
        .filter(|b| *b == b'\n');
    u64::try_from(lines.count())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

fn in_notes(notes: &str) -> Vec<String> {
    let parts = notes.split([';', '|']).map(str::trim);
    let value = |part: &str| {
        let (scheme, value) = part.split_once(':')?;
        SCHEMES
            .contains(&scheme.trim())
            .then(|| value.trim().to_owned())
    };
    parts.filter_map(value).collect()
}
