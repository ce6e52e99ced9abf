//! What a file of an operator's own may say when somebody imports it: all that is wrong with it at once.
//!
//! Stricter than what reads a list again from the log, where a list that is there stays what it is. What
//! others publish is taken as they write it.

use std::fmt;

use super::{
    Fault, ImportError, Kind, Place,
    entries::{Fields, nameless, shown},
    operator,
    sheet::Sheet,
};
use crate::{
    countries,
    screening::{Name, known_as, lands},
};

/// Most faults that are told one by one: as many as somebody mends before he tries again.
pub const MAX_TOLD: usize = 20;

/// Columns by which a list is told from an alias file.
const OF_LISTS: [&str; 4] = ["name", "aliases", "country", "source"];

/// All that is wrong with a file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slips {
    told: Vec<ImportError>,
    more: usize,
}

impl Slips {
    /// Those that are told one by one, [`MAX_TOLD`] at most.
    pub fn told(&self) -> &[ImportError] {
        &self.told
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.told.len() + self.more
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    fn push(&mut self, slip: ImportError) {
        match self.told.len() < MAX_TOLD {
            true => self.told.push(slip),
            false => self.more += 1,
        }
    }
}

impl fmt::Display for Slips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, slip) in self.told.iter().enumerate() {
            let line = if number == 0 { "" } else { "\n" };
            let (place, fault) = (slip.place(), slip.fault());
            write!(f, "{line}{place}: {fault}; {}", fault.remedy())?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// Says what is wrong with an operator's list or alias file; nothing of files that others publish.
pub fn slips(kind: Kind, bytes: &[u8]) -> Slips {
    let mut slips = Slips::default();
    let read = match kind {
        Kind::Operator => operator::each(bytes, |row| {
            match row {
                Ok(row) => listed(&row, &mut slips),
                Err(bad) => slips.push(bad),
            }
            Ok(())
        }),
        Kind::Aliases => aliases(bytes, &mut slips),
        Kind::Consolidated | Kind::Json | Kind::Pairs => Ok(()),
    };
    // Behind such a fault nothing can be read.
    if let Err(bad) = read {
        slips.push(bad);
    }
    slips
}

fn listed(row: &Fields<'_>, slips: &mut Slips) {
    if known_as::names_in(row.name).is_empty() {
        slips.push(nameless(Kind::Operator, row.line, row.name));
    }
    let names = row.aliases.iter().map(|alias| ("aliases", alias.as_str()));
    for (column, name) in std::iter::once(("name", row.name)).chain(names) {
        if let Some(code) = strange(name, &[]) {
            let place = Place::column(row.line, column);
            slips.push(ImportError::new(
                Kind::Operator,
                place,
                Fault::Strange { code },
            ));
        }
    }
    for value in &row.countries {
        if !countries::is_assigned(value) {
            let meant = countries::meant(value).or_else(|| lands::code_of(value));
            let value = shown(value);
            let place = Place::column(row.line, "country");
            let fault = Fault::NoCountry { value, meant };
            slips.push(ImportError::new(Kind::Operator, place, fault));
        }
    }
}

fn aliases(bytes: &[u8], slips: &mut Slips) -> Result<(), ImportError> {
    let mut sheet = Sheet::new(Kind::Aliases, bytes)?;
    let wrong = |place, fault| ImportError::new(Kind::Aliases, place, fault);
    let mut is_empty = true;
    while let Some(row) = sheet.row()? {
        let fields: Vec<&str> = row.fields.iter().map(|it| it.trim()).collect();
        if fields.first().is_some_and(|it| it.starts_with('#')) {
            continue;
        }
        let of_list = |field: &&&str| OF_LISTS.iter().any(|it| field.eq_ignore_ascii_case(it));
        if is_empty && fields.iter().filter(of_list).count() > 1 {
            return Err(wrong(Place::line(row.line), Fault::ListHeader));
        }
        is_empty = false;
        let names = (1..).zip(&fields).filter(|(_, name)| !name.is_empty());
        if names.clone().count() < 2 {
            slips.push(wrong(Place::line(row.line), Fault::Alone));
        }
        for (column, name) in names {
            let column: u32 = column;
            let place = || Place::column(row.line, column.to_string());
            // Those are of a page, or of data, that came in the place of the file.
            if let Some(code) = strange(name, &['<', '>', '{', '}']) {
                slips.push(wrong(place(), Fault::Strange { code }));
            } else if Name::read(name).is_none() || !name.chars().any(char::is_alphabetic) {
                slips.push(wrong(place(), Fault::NoName));
            }
        }
    }
    match is_empty {
        true => Err(wrong(Place::default(), Fault::NoAliases)),
        false => Ok(()),
    }
}

/// The first character that no name has.
fn strange(name: &str, others: &[char]) -> Option<u32> {
    let is_strange = |c: &char| c.is_control() || others.contains(c);
    name.chars().find(is_strange).map(u32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: Kind, text: &str) -> String {
        slips(kind, text.as_bytes()).to_string()
    }

    #[test]
    fn every_faulty_row_is_told_with_line_and_field_and_of_very_many_how_many_more() {
        let list = "name,aliases,country\nXenon Works,,Germany\nYork Ltd,,ZZ\nGood Ltd,GL,DE;XK\n\
                    Quartz,,XQ1\nX,,DE\n,..,DE\nTwo,Columns\nOld,,UK\n";
        assert_eq!(
            told(Kind::Operator, list).lines().collect::<Vec<_>>(),
            [
                "line 2, column country: \"Germany\" is no assigned code of ISO 3166-1 such as DE, and DE is; write the code, or leave it empty where it is not known",
                "line 3, column country: \"ZZ\" is no assigned code of ISO 3166-1 such as DE; write the code, or leave it empty where it is not known",
                "line 5, column country: \"XQ1\" is no assigned code of ISO 3166-1 such as DE; write the code, or leave it empty where it is not known",
                "line 6, column name: the name \"X\" is too short to be compared; write it out, with two letters or digits at least",
                "line 7, column name: the name is empty or has no letter or digit; give the row a name or leave it out",
                "line 8: the row has 2 columns, the header 3; load the file again from its source, or complete the row",
                "line 9, column country: \"UK\" is no assigned code of ISO 3166-1 such as DE, and GB is; write the code, or leave it empty where it is not known",
            ]
        );
        let many = format!("name,country\n{}", "Firm,ZZ\n".repeat(MAX_TOLD + 5));
        let slips = slips(Kind::Operator, many.as_bytes());
        assert_eq!(
            (slips.told().len(), slips.count()),
            (MAX_TOLD, MAX_TOLD + 5)
        );
        assert!(slips.to_string().ends_with("\nand 5 more"));
        let good = "name,country\nFirm,DE\nAnother,\n";
        assert_eq!(told(Kind::Operator, good), "");
    }

    #[test]
    fn what_joins_no_names_is_no_alias_file() {
        assert_eq!(
            told(Kind::Aliases, "# ours\n哈工大,HIT\n\"A, B\",C Corp\n"),
            ""
        );
        for (text, due) in [
            ("", "the file: it joins no names"),
            ("# ours\n", "the file: it joins no names"),
            ("One name\n", "line 1: one name alone"),
            (
                "name,country\nFirm,DE\n",
                "line 1: it begins with the header of a list",
            ),
            (
                "HIT,HIT Ltd\n<p>Error, try later</p>\n",
                "line 2, column 1: U+003C stands in it",
            ),
            (
                "HIT,17\n",
                "line 1, column 2: the name is empty or has no letter",
            ),
            ("HIT,\"Harbin\n", "the quotation mark is never closed"),
        ] {
            let told = told(Kind::Aliases, text);
            assert!(told.contains(due), "{text:?}: {told}");
        }
    }

    #[test]
    fn what_others_publish_is_taken_as_they_write_it() {
        let list = "source,entity_number,name,country\nEL,1,Xenon,Atlantis\n";
        assert_eq!(told(Kind::Consolidated, list), "");
    }
}
