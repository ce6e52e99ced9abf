//! Countries by what names and addresses call them; the table is `lands.csv` beside this crate.

use std::{collections::BTreeMap, sync::OnceLock};

use super::{fold, words::rows};

/// A country.
#[derive(Clone, Debug)]
pub(crate) struct Land {
    /// ISO 3166-1 alpha-2.
    pub(crate) code: &'static str,
    /// Names and adjectives, folded; the first is the one that is shown.
    pub(crate) names: Vec<&'static str>,
}

impl Land {
    /// The name that is shown.
    pub(crate) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or(self.code)
    }
}

/// All countries of the table.
pub(crate) fn all() -> impl Iterator<Item = Land> {
    rows(include_str!("../../screening/lands.csv")).filter_map(|line| {
        let (code, names) = line.split_once(',')?;
        let names = names.split(';').collect();
        Some(Land { code, names })
    })
}

/// Finds the country that a field names: a code of two letters, or a name in any spelling that the
/// table has. `None` is "not known", which contradicts nothing.
pub(crate) fn code_of(field: &str) -> Option<&'static str> {
    static CODES: OnceLock<BTreeMap<&'static str, &'static str>> = OnceLock::new();
    static NAMES: OnceLock<BTreeMap<&'static str, &'static str>> = OnceLock::new();
    let codes = CODES.get_or_init(|| all().map(|land| (land.code, land.code)).collect());
    let names = NAMES.get_or_init(|| {
        let each = |land: Land| land.names.into_iter().map(move |name| (name, land.code));
        all().flat_map(each).collect()
    });
    let field = field.trim();
    if field.len() == 2
        && let Some(code) = codes.get(field.to_ascii_uppercase().as_str())
    {
        return Some(code);
    }
    let words: Vec<String> = fold::pieces(field).into_iter().map(|it| it.text).collect();
    names.get(words.join(" ").as_str()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_known_by_code_name_and_script() {
        for (field, code) in [
            ("CN", Some("CN")),
            ("cn", Some("CN")),
            ("People’s Republic of China", Some("CN")),
            ("中国", Some("CN")),
            ("Crimea Region of Ukraine", Some("UA")),
            ("Türkiye", Some("TR")),
            ("Atlantis", None),
            ("", None),
        ] {
            assert_eq!(code_of(field), code, "{field}");
        }
    }
}
