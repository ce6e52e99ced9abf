//! The operator's alias file: names that are one organisation, whatever they look like.
//!
//! One organisation a line, its names parted by commas, each quoted where it has a comma itself; lines
//! that begin with `#` are comments:
//!
//! ```text
//! 哈工大,Harbin Institute of Technology,HIT
//! ```

use std::{collections::BTreeMap, sync::OnceLock};

use super::{
    import::{Fault, ImportError, Kind, Place, sheet::Sheet},
    name::Name,
};

/// Groups of names, by the key of each. Made by [`Aliases::parse`] alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    groups: Vec<Vec<String>>,
    by_key: BTreeMap<String, Vec<usize>>,
}

impl Aliases {
    /// No aliases.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads an alias file.
    ///
    /// # Errors
    /// As the importers of lists, and a line with a name that nothing can be compared of.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImportError> {
        let mut sheet = Sheet::new(Kind::Aliases, bytes)?;
        let mut aliases = Self::default();
        while let Some(row) = sheet.row()? {
            if row
                .fields
                .first()
                .is_some_and(|it| it.trim_start().starts_with('#'))
            {
                continue;
            }
            let names: Vec<String> = row
                .fields
                .iter()
                .map(|it| it.trim().to_owned())
                .filter(|it| !it.is_empty())
                .collect();
            let group = aliases.groups.len();
            for (at, name) in names.iter().enumerate() {
                let place = || Place::column(row.line, (at + 1).to_string());
                let read = Name::read(name)
                    .ok_or_else(|| ImportError::new(Kind::Aliases, place(), Fault::NoName))?;
                let groups = aliases.by_key.entry(read.key().to_owned()).or_default();
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
            aliases.groups.push(names);
        }
        Ok(aliases)
    }

    /// How many organisations have several names.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The groups that ship with this crate: acronyms and second names that no rule derives.
    pub fn shipped() -> &'static Self {
        static SHIPPED: OnceLock<Aliases> = OnceLock::new();
        // A test reads the file; what cannot be read would leave names to the rules alone.
        SHIPPED.get_or_init(|| {
            Self::parse(include_bytes!("../../screening/aliases.csv")).unwrap_or_default()
        })
    }

    /// These groups and those of another file.
    pub fn with(mut self, other: &Self) -> Self {
        let shift = self.groups.len();
        self.groups.extend(other.groups.iter().cloned());
        for (key, groups) in &other.by_key {
            let all = self.by_key.entry(key.clone()).or_default();
            all.extend(groups.iter().map(|it| it + shift));
        }
        self
    }

    /// Whether both are names of one organisation.
    pub(crate) fn are_one(&self, a: &Name, b: &Name) -> bool {
        let groups = |name: &Name| self.by_key.get(name.key()).map_or(&[][..], Vec::as_slice);
        groups(a).iter().any(|it| groups(b).contains(it))
    }

    /// Other names of the organisation whose name this is.
    pub(crate) fn others(&self, name: &Name) -> impl Iterator<Item = &str> {
        let groups = self.by_key.get(name.key()).map_or(&[][..], Vec::as_slice);
        groups
            .iter()
            .filter_map(|it| self.groups.get(*it))
            .flatten()
            .map(String::as_str)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_read_and_an_operators_file_adds_to_it() {
        assert!(Aliases::shipped().groups.len() > 40);
        let own = Aliases::parse("Foo,Bar\n".as_bytes()).unwrap();
        let both = own.with(Aliases::shipped());
        let others = |name: &str| both.others(&Name::read(name).unwrap()).count();
        assert!(others("foo") == 2 && others("SUSTech") > 1);
    }

    #[test]
    fn every_name_of_a_group_leads_to_the_others() {
        let file = "# ours\n哈工大,Harbin Institute of Technology,HIT\n\n\"A, B\",C\n";
        let aliases = Aliases::parse(file.as_bytes()).unwrap();
        let name = Name::read("hit").unwrap();
        let others: Vec<&str> = aliases.others(&name).collect();
        assert_eq!(others, ["哈工大", "Harbin Institute of Technology", "HIT"]);
        assert_eq!(aliases.others(&Name::read("Nobody").unwrap()).count(), 0);
        assert!(aliases.are_one(&name, &Name::read("哈工大").unwrap()));
        assert!(!aliases.are_one(&name, &Name::read("C").unwrap()));
        let error = Aliases::parse(b"Good,...\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "alias file (CSV), line 1, column 2: the name is empty or has no letter or digit; give the row a name or leave it out"
        );
    }
}
