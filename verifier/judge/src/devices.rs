//! The device table: which class of export control a model belongs to, and by whose word.
//!
//! The shipped table is `devices.csv` beside this crate. A device that it does not name is of
//! class `unknown`, which is controlled: what nobody classified is not clear.

use std::{collections::BTreeMap, fmt};

use affiant_proto::v1;
use serde::{Deserialize, Serialize};

/// NVIDIA's PCI vendor id; the ids of the table are NVIDIA's.
const VENDOR: u32 = 0x10de;

/// Columns of the table.
const COLUMNS: usize = 8;

/// A device's class under ECCN 3A090.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// 3A090.a.
    #[serde(rename = "3A090.a")]
    A,
    /// 3A090.b.
    #[serde(rename = "3A090.b")]
    B,
    /// Determined to be neither.
    #[serde(rename = "uncontrolled")]
    Uncontrolled,
    /// Nobody determined it; treated as controlled.
    #[serde(rename = "unknown")]
    Unknown,
    /// The device itself is not disclosed, so its class cannot be told; in figures only.
    #[serde(rename = "not shown")]
    NotShown,
}

impl Class {
    /// Spells the class as tables, conditions and reports do.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "3A090.a",
            Self::B => "3A090.b",
            Self::Uncontrolled => "uncontrolled",
            Self::Unknown => "unknown",
            Self::NotShown => "not shown",
        }
    }

    /// The classes that a table, a condition or a question may name.
    pub const NAMED: [Self; 4] = [Self::A, Self::B, Self::Uncontrolled, Self::Unknown];

    /// Reads what tables, conditions and reports spell; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|class| class.as_str() == text)
    }

    /// Reads what somebody wrote.
    ///
    /// # Errors
    /// That it names no class, with those that there are and the one that is meant, where one is near.
    pub fn named(text: &str) -> Result<Self, NoClass> {
        Self::parse(text).ok_or_else(|| NoClass::of(text))
    }
}

/// A text that names no class of device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is none of 3A090.a, 3A090.b, uncontrolled, unknown{}", near(.meant))]
pub struct NoClass {
    text: String,
    meant: Option<Class>,
}

fn near(meant: &Option<Class>) -> String {
    meant.map_or_else(String::new, |class| format!("; write `{class}`?"))
}

/// Most characters of a text that is compared with the classes, and shown: the longest of them has twelve.
const MAX_SHOWN: usize = 64;

/// Most letters that may differ for a class to be meant: two of the shortest's seven.
const MAX_SLIPS: usize = 2;

impl NoClass {
    fn of(text: &str) -> Self {
        let text: String = text.chars().take(MAX_SHOWN).collect();
        let slips = |class: &Class| {
            let known = class.as_str().to_ascii_lowercase();
            slips(&text.trim().to_ascii_lowercase(), &known)
        };
        let nearest = Class::NAMED.into_iter().min_by_key(slips);
        Self {
            meant: nearest.filter(|class| slips(class) <= MAX_SLIPS),
            text,
        }
    }
}

/// How many letters are wrong, missing or too many.
fn slips(text: &str, known: &str) -> usize {
    let known: Vec<char> = known.chars().collect();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (number, letter) in (1..).zip(text.chars()) {
        let mut before = number;
        let mut next = vec![number];
        for ((letter_due, diagonal), above) in known.iter().zip(&row).zip(row.iter().skip(1)) {
            let swap = diagonal + usize::from(*letter_due != letter);
            before = swap.min(above + 1).min(before + 1);
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// A class as somebody wrote it, and never "not shown".
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct NamedClass(pub(crate) Class);

impl TryFrom<String> for NamedClass {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = Class::named(&text).map(Self);
        read.map_err(|error| format!("class {error}"))
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What of a device decides what its use breaks: its class, and the row of the table that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Model {
    pub(crate) class: Class,
    row: Option<usize>,
    /// Its total processing performance; `None` when not known.
    pub(crate) tpp: Option<u32>,
}

impl Model {
    /// A device that is not shown.
    pub(crate) const NOT_SHOWN: Self = Self {
        class: Class::NotShown,
        row: None,
        tpp: None,
    };
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Spellings of the marketing name, as NVML and vendors give them.
    pub names: Vec<String>,
    /// PCI device ids (vendor 10de).
    pub pci_ids: Vec<u16>,
    /// The class.
    pub class: Class,
    /// Total processing performance, 2 × MacTOPS × bit length; `None` when not known.
    pub tpp: Option<u32>,
    /// Performance density in hundredths of TPP per mm²; `None` when not known.
    pub pd_centi: Option<u32>,
    /// Memory bandwidth in GB/s; `None` when not known.
    pub mem_bw: Option<u32>,
    /// Where the row was read.
    pub source: String,
    /// The day on which it was.
    pub as_of: String,
}

/// Why a device table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTable {
    /// A row with too few or too many fields.
    #[error(
        "device table, line {line}: {got} fields where {COLUMNS} are due; a field holds no comma"
    )]
    Columns {
        /// Line, from 1.
        line: usize,
        /// Fields found.
        got: usize,
    },
    /// A field that is not what its column says.
    #[error("device table, line {line}: {column} {value:?} cannot be read; write {due}")]
    Field {
        /// Line, from 1.
        line: usize,
        /// Name of the column.
        column: &'static str,
        /// What stands there.
        value: String,
        /// What may stand there.
        due: &'static str,
    },
    /// Two rows for one device.
    #[error("device table, line {line}: {what} stands in an earlier row too; keep one")]
    Twice {
        /// Line, from 1.
        line: usize,
        /// The name or id.
        what: String,
    },
}

/// A table of devices, looked up by PCI id and then by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceTable {
    rows: Vec<Row>,
    by_id: BTreeMap<u16, usize>,
    by_name: BTreeMap<String, usize>,
}

impl DeviceTable {
    /// The table of this release.
    ///
    /// A test proves that it parses; were it ever broken, an empty one stands in, by which every
    /// device is unknown and so controlled.
    pub fn shipped() -> Self {
        Self::parse(include_str!("../devices.csv")).unwrap_or_default()
    }

    /// Reads a table. Lines of `#` are comments, the first other line names the columns.
    pub fn parse(text: &str) -> Result<Self, BadTable> {
        let mut table = Self::default();
        let lines = text.lines().zip(1..).filter(|(line, _)| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        });
        for (text, line) in lines.skip(1) {
            table.add(line, read_row(text, line)?)?;
        }
        Ok(table)
    }

    /// All rows, in the table's order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Finds the row of a device: by PCI id, else by its exact name but for case, spaces, hyphens,
    /// the maker's name and a MIG profile, for a slice keeps the whole chip's class.
    pub fn row(&self, device: &v1::Device) -> Option<&Row> {
        self.rows.get(self.place(device)?)
    }

    fn place(&self, device: &v1::Device) -> Option<usize> {
        let id = device.pci_device_id.filter(|id| id & 0xffff == VENDOR);
        let by_id = id
            .and_then(|id| u16::try_from(id >> 16).ok())
            .and_then(|id| self.by_id.get(&id));
        by_id
            .or_else(|| self.by_name.get(&normal(&device.model)))
            .copied()
    }

    /// Gives the class of a device, `Unknown` when no row names it.
    pub fn class(&self, device: &v1::Device) -> Class {
        self.row(device).map_or(Class::Unknown, |row| row.class)
    }

    /// Gives the model of a device: all that rules ask of it.
    pub(crate) fn model(&self, device: &v1::Device) -> Model {
        let row = self.place(device);
        let known = row.and_then(|row| self.rows.get(row));
        Model {
            class: known.map_or(Class::Unknown, |row| row.class),
            row,
            tpp: known.and_then(|row| row.tpp),
        }
    }

    /// Another table in the place of this one. What this one gave as a model keeps its row.
    pub(crate) fn give_way(&mut self, to: &Self) {
        let before = self.rows.len();
        self.rows.extend(to.rows.iter().cloned());
        let shifted = |place: &usize| before + place;
        self.by_id = to.by_id.iter().map(|(id, at)| (*id, shifted(at))).collect();
        let named = to.by_name.iter();
        self.by_name = named
            .map(|(name, at)| (name.clone(), shifted(at)))
            .collect();
    }

    /// The row of a model; `None` when no row names it.
    pub(crate) fn of(&self, model: Model) -> Option<&Row> {
        self.rows.get(model.row?)
    }

    fn add(&mut self, line: usize, row: Row) -> Result<(), BadTable> {
        let place = self.rows.len();
        for id in &row.pci_ids {
            if self.by_id.insert(*id, place).is_some() {
                return Err(BadTable::Twice {
                    line,
                    what: format!("PCI id {id:04x}"),
                });
            }
        }
        for name in &row.names {
            if self.by_name.insert(normal(name), place).is_some() {
                return Err(BadTable::Twice {
                    line,
                    what: name.clone(),
                });
            }
        }
        self.rows.push(row);
        Ok(())
    }
}

/// The name as it is compared.
fn normal(name: &str) -> String {
    let lower = name.to_lowercase().replace(['-', '_'], " ");
    let words: Vec<&str> = lower.split_whitespace().collect();
    let words = words.strip_prefix(&["nvidia"]).unwrap_or(&words);
    let words = words.strip_prefix(&["tesla"]).unwrap_or(words);
    let words = words.strip_prefix(&["amd"]).unwrap_or(words);
    let whole = words.iter().position(|word| *word == "mig");
    words
        .get(..whole.unwrap_or(words.len()))
        .unwrap_or(words)
        .join(" ")
}

fn read_row(text: &str, line: usize) -> Result<Row, BadTable> {
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    let [ids, names, class, tpp, pd, mem_bw, source, as_of] = fields.as_slice() else {
        return Err(BadTable::Columns {
            line,
            got: fields.len(),
        });
    };
    let wrong = |column, value: &str, due| BadTable::Field {
        line,
        column,
        value: value.to_owned(),
        due,
    };
    let whole = |column, text: &str| match text {
        "" => Ok(None),
        _ => text
            .parse()
            .map(Some)
            .map_err(|_| wrong(column, text, "a whole number or nothing")),
    };
    let mut pci_ids = Vec::new();
    for id in ids.split('|').filter(|id| !id.is_empty()) {
        let read = u16::from_str_radix(id, 16);
        pci_ids.push(read.map_err(|_| wrong("pci_device_id", id, "four hexadecimal digits"))?);
    }
    Ok(Row {
        names: names.split('|').map(str::to_owned).collect(),
        pci_ids,
        class: Class::parse(class)
            .ok_or_else(|| wrong("class", class, "3A090.a, 3A090.b, uncontrolled or unknown"))?,
        tpp: whole("tpp", tpp)?,
        pd_centi: hundredths(pd).ok_or_else(|| wrong("pd", pd, "a number with two decimals"))?,
        mem_bw: whole("mem_bw", mem_bw)?,
        source: (*source).to_owned(),
        as_of: (*as_of).to_owned(),
    })
}

fn hundredths(text: &str) -> Option<Option<u32>> {
    if text.is_empty() {
        return Some(None);
    }
    let (whole, part) = text.split_once('.')?;
    if part.len() != 2 {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    Some(Some(
        whole.checked_mul(100)?.checked_add(part.parse().ok()?)?,
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn named(model: &str) -> v1::Device {
        v1::Device {
            model: model.to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn the_shipped_table_reads_whole_and_every_row_names_its_source() {
        let table = DeviceTable::parse(include_str!("../devices.csv")).unwrap();
        assert!(table.rows().len() >= 20);
        for row in table.rows() {
            assert!(!row.source.is_empty() && row.as_of.len() == 10, "{row:?}");
        }
    }

    #[test]
    fn a_class_that_is_none_is_told_with_the_one_that_is_meant() {
        for (text, meant) in [
            ("3A090.A", "`3A090.a`?"),
            ("3a090.b", "`3A090.b`?"),
            ("3A090a", "`3A090.a`?"),
            (" 3A090.a", "`3A090.a`?"),
            ("Uncontroled", "`uncontrolled`?"),
            ("unknwon", "`unknown`?"),
        ] {
            let said = Class::named(text).unwrap_err().to_string();
            assert!(said.ends_with(meant), "{said}");
        }
        for text in ["H100", "", "not shown", &"3".repeat(1_000_000)] {
            let said = Class::named(text).unwrap_err().to_string();
            assert!(said.ends_with("uncontrolled, unknown"), "{said}");
            assert!(said.len() < 200 && !said.contains("not shown`?"), "{said}");
        }
        for class in Class::NAMED {
            assert_eq!(Class::named(class.as_str()), Ok(class));
        }
    }

    #[test]
    fn names_as_nvml_spells_them_find_their_class() {
        let table = DeviceTable::shipped();
        for (model, class) in [
            ("NVIDIA H100 80GB HBM3", Class::A),
            ("NVIDIA A100-SXM4-80GB", Class::A),
            ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", Class::A),
            ("NVIDIA A800-SXM4-80GB", Class::A),
            ("NVIDIA H200", Class::A),
            ("NVIDIA B200", Class::A),
            ("NVIDIA H20", Class::B),
            ("NVIDIA L4", Class::Unknown),
            ("NVIDIA L40S", Class::Unknown),
            ("NVIDIA GeForce RTX 4090", Class::Unknown),
        ] {
            assert!(table.row(&named(model)).is_some(), "{model}");
            assert_eq!(table.class(&named(model)), class, "{model}");
        }
    }

    #[test]
    fn the_pci_id_decides_before_the_name() {
        let table = DeviceTable::shipped();
        let renamed = v1::Device {
            pci_device_id: Some(0x2331_10de),
            ..named("NVIDIA L4")
        };
        assert_eq!(table.class(&renamed), Class::A);
        let another_vendor = v1::Device {
            pci_device_id: Some(0x2331_8086),
            ..named("x")
        };
        assert_eq!(table.class(&another_vendor), Class::Unknown);
    }

    #[test]
    fn a_device_nobody_listed_is_unknown_and_a_name_that_only_begins_alike_is_too() {
        let table = DeviceTable::shipped();
        for model in [
            "",
            "NVIDIA",
            "MIG",
            "NVIDIA H100 80GB HBM3 Lite",
            "NVIDIA H2000",
        ] {
            assert_eq!(table.class(&named(model)), Class::Unknown, "{model}");
        }
    }

    #[test]
    fn a_broken_row_is_named_by_line_and_column() {
        let head = "pci_device_id,names,class,tpp,pd,mem_bw,source,as_of\n";
        let fault = |row: &str| DeviceTable::parse(&format!("{head}{row}")).unwrap_err();
        assert_eq!(fault("a,b"), BadTable::Columns { line: 2, got: 2 });
        assert!(matches!(
            fault(",x,3A090.c,,,,s,d"),
            BadTable::Field {
                column: "class",
                ..
            }
        ));
        assert!(matches!(
            fault(",x,unknown,,6.0,,s,d"),
            BadTable::Field { column: "pd", .. }
        ));
        assert!(matches!(
            fault(",x|X,unknown,,,,s,d"),
            BadTable::Twice { line: 2, .. }
        ));
    }
}
