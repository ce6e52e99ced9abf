//! `pack.toml`: the name of a pack, and the parameters that its policies read.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use serde::Deserialize;
use toml::Spanned;

use super::{
    annotation::Mode,
    fault::{BadPack, Fault, MAX_FAULTS},
    files::{self, MANIFEST, PackFiles},
    scan,
};
use crate::{
    countries,
    devices::{Class, NamedClass},
    parameters::Country,
};

/// Most entries of each table of parameters.
const MAX_ENTRIES: usize = 64;
/// Most characters of the name of a parameter, of a pack or of a version.
const MAX_WORD: usize = 64;
/// Most characters of a title or notice: a screen full.
const MAX_PROSE: usize = 2_000;

/// Limits that the judge itself reads; all others are for the policies of the pack.
pub const JUDGED_LIMITS: [&str; 15] = [
    "max_gpus",
    "max_aggregate_tpp",
    "max_gpu_hours_month",
    "hit_days",
    "new_tenant_days",
    "new_tenant_gpus",
    "mismatch_days",
    "mismatch_gpus",
    "mismatch_busy_percent",
    "report_operations_1e20",
    "report_months",
    "operation_bits",
    "operation_percent",
    "correlated_percent",
    "correlated_gpus",
];

/// Limits of one rule of the judge's: a pack has all of a row or none of it, for with some of them
/// the rule would judge nothing.
pub(super) const TOGETHER: [&[&str]; 4] = [
    &["new_tenant_days", "new_tenant_gpus"],
    &["mismatch_days", "mismatch_gpus", "mismatch_busy_percent"],
    &[
        "report_operations_1e20",
        "report_months",
        "operation_bits",
        "operation_percent",
    ],
    &["correlated_percent", "correlated_gpus"],
];

/// Most days of a deadline, or for which a screening counts: ten years.
const MOST_DAYS: u32 = 3_650;

/// What a limit may be that the judge reads, or the pack that ships; `None` for a cap, and for one of a
/// pack's own.
///
/// Caps may be zero: then only those may use anything whose approval states a cap of their own.
fn range(limit: &str) -> Option<RangeInclusive<u32>> {
    Some(match limit {
        "hit_days" | "screening_days" | "new_tenant_days" => 1..=MOST_DAYS,
        // The judge's books keep 32 days of a tenant, the last of them not over yet.
        "mismatch_days" => 1..=31,
        "new_tenant_gpus" | "mismatch_gpus" | "correlated_gpus" | "report_operations_1e20" => {
            1..=u32::MAX
        }
        "mismatch_busy_percent" | "operation_percent" | "correlated_percent" => 1..=100,
        // As many as the books keep whole.
        "report_months" => 1..=12,
        "operation_bits" => 1..=64,
        // Hundredths of a percent.
        "affiliate_share" => 1..=10_000,
        _ => return None,
    })
}

/// What policies read as `context`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackParameters {
    groups: BTreeMap<String, BTreeSet<Country>>,
    classes: BTreeMap<String, BTreeSet<Class>>,
    limits: BTreeMap<String, u32>,
}

impl PackParameters {
    /// Country groups by name.
    pub fn groups(&self) -> &BTreeMap<String, BTreeSet<Country>> {
        &self.groups
    }

    /// Sets of device classes by name.
    pub fn classes(&self) -> &BTreeMap<String, BTreeSet<Class>> {
        &self.classes
    }

    /// Whole numbers by name: caps, depths, days.
    pub fn limits(&self) -> &BTreeMap<String, u32> {
        &self.limits
    }

    /// Codes in country groups that ISO 3166-1 does not assign: a pack that is in force already stays, and one
    /// that is to be is held against this before.
    pub fn unassigned(&self) -> Vec<Fault> {
        let codes = self.groups.iter().flat_map(|(group, codes)| {
            let codes = codes.iter().map(Country::to_string);
            codes.map(move |code| (group, code))
        });
        let wrong = codes.filter(|(_, code)| !countries::is_assigned(code));
        let faults = wrong.map(|(group, code)| {
            let said =
                format!("parameters.groups.{group} has {code}, no assigned code of ISO 3166-1");
            let remedy = match countries::meant(&code) {
                Some(meant) => format!("write {meant}?"),
                None => "write the code that is meant, or take it out".to_owned(),
            };
            Fault::new(MANIFEST, None, said, remedy)
        });
        faults.take(MAX_FAULTS).collect()
    }

    /// Days that officers have to decide an exact or strong hit; `None` where the pack gives no deadline.
    pub fn hit_days(&self) -> Option<u32> {
        self.limits.get("hit_days").copied()
    }
}

/// What `pack.toml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) title: String,
    pub(super) notice: String,
    /// Whether use by tenants on whom nobody ever decided counts.
    pub(super) undecided: Mode,
    pub(super) parameters: PackParameters,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Spanned<String>,
    version: Spanned<String>,
    title: Spanned<String>,
    #[serde(default)]
    notice: Option<Spanned<String>>,
    #[serde(default)]
    undecided: Undecided,
    #[serde(default)]
    parameters: RawParameters,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawParameters {
    groups: BTreeMap<Spanned<String>, Spanned<Group>>,
    classes: BTreeMap<Spanned<String>, Vec<NamedClass>>,
    limits: BTreeMap<Spanned<String>, Spanned<u32>>,
}

/// How `undecided` is spelled.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Undecided {
    Shadow,
    #[default]
    Enforce,
}

/// A group as its codes, or as the file that lists them.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "country codes such as [\"CN\", \"MO\"], or a file such as \"countries.csv\""
)]
enum Group {
    File(String),
    Codes(Vec<Country>),
}

/// What a limit, group or set has to be spelled like, so that a policy can read it.
const WORD: &str = "write it in small letters, digits and _, a letter first, at most 64 of them";

impl Manifest {
    pub(super) fn read(files: &PackFiles) -> Result<Self, BadPack> {
        let text = files.text(MANIFEST).ok_or(BadPack::Missing(MANIFEST))?;
        let raw: Raw = toml::from_str(text)
            .map_err(|error| BadPack::one(Fault::toml(MANIFEST, text, &error)))?;
        let mut reader = Reader {
            files,
            text,
            faults: Vec::new(),
            used: BTreeSet::new(),
        };
        let manifest = Self {
            name: reader.word("name", raw.name),
            version: reader.word("version", raw.version),
            title: reader.prose("title", raw.title),
            notice: raw
                .notice
                .map(|notice| reader.prose("notice", notice))
                .unwrap_or_default(),
            undecided: match raw.undecided {
                Undecided::Shadow => Mode::Shadow,
                Undecided::Enforce => Mode::Enforce,
            },
            parameters: reader.parameters(raw.parameters),
        };
        reader.unused();
        if reader.faults.is_empty() {
            Ok(manifest)
        } else {
            reader.faults.truncate(MAX_FAULTS);
            Err(BadPack::Faults(reader.faults))
        }
    }
}

struct Reader<'a> {
    files: &'a PackFiles,
    text: &'a str,
    faults: Vec<Fault>,
    /// Lists of countries that a group names.
    used: BTreeSet<String>,
}

impl Reader<'_> {
    fn fault(&mut self, offset: usize, said: impl Into<String>, remedy: &str) {
        let place = scan::place(self.text, offset);
        let fault = Fault::new(MANIFEST, Some(place), said, remedy);
        self.faults.push(fault);
    }

    /// A name or version: it stands beside every finding.
    fn word(&mut self, what: &str, read: Spanned<String>) -> String {
        let offset = read.span().start;
        let word = read.into_inner();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if word.is_empty() || word.len() > MAX_WORD || !word.chars().all(plain) {
            let remedy = "write letters, digits and -._, at most 64 of them";
            self.fault(offset, format!("{what} {word:?} is no plain word"), remedy);
        }
        word
    }

    fn prose(&mut self, what: &str, read: Spanned<String>) -> String {
        let offset = read.span().start;
        let prose = read.into_inner();
        let bad = |c: char| c.is_control() && c != '\n';
        if prose.trim().is_empty() || prose.chars().count() > MAX_PROSE || prose.contains(bad) {
            let said = format!("{what} is empty, too long or has control characters");
            self.fault(offset, said, "write one to 2000 characters of plain text");
        }
        prose.trim().to_owned()
    }

    fn parameters(&mut self, raw: RawParameters) -> PackParameters {
        let mut parameters = PackParameters::default();
        self.names("groups", raw.groups.keys());
        self.names("classes", raw.classes.keys());
        self.names("limits", raw.limits.keys());
        for (name, group) in raw.groups {
            let offset = group.span().start;
            let codes = match group.into_inner() {
                Group::Codes(codes) => codes.into_iter().collect(),
                Group::File(file) => self.list(offset, &file),
            };
            parameters.groups.insert(name.into_inner(), codes);
        }
        for (name, classes) in raw.classes {
            let classes = classes.into_iter().map(|named| named.0).collect();
            parameters.classes.insert(name.into_inner(), classes);
        }
        for (name, limit) in raw.limits {
            let (name, offset) = (name.into_inner(), limit.span().start);
            let limit = limit.into_inner();
            if let Some(range) = range(&name)
                && !range.contains(&limit)
            {
                let said = format!("parameters.limits.{name} is {limit}");
                let remedy = format!("write {} to {}", range.start(), range.end());
                self.fault(offset, said, &remedy);
            }
            parameters.limits.insert(name, limit);
        }
        parameters
    }

    fn names<'a>(
        &mut self,
        table: &str,
        names: impl ExactSizeIterator<Item = &'a Spanned<String>>,
    ) {
        if names.len() > MAX_ENTRIES {
            let said = format!("parameters.{table} has {} entries", names.len());
            self.fault(0, said, "at most 64 are taken");
        }
        for name in names {
            let offset = name.span().start;
            let name = name.get_ref();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
            if !first || name.len() > MAX_WORD || !name.chars().all(plain) {
                let said = format!("parameters.{table}.{name:?} is no name that a policy can read");
                self.fault(offset, said, WORD);
            }
        }
    }

    /// Reads a list of countries: a line each, the code before the first comma.
    fn list(&mut self, offset: usize, file: &str) -> BTreeSet<Country> {
        let special = file == files::DEVICES || !files::is_name(file) || !file.ends_with(".csv");
        let text = self.files.text(file).filter(|_| !special);
        let Some(text) = text else {
            let said = format!("the pack has no list of countries {file:?}");
            let remedy = "put the file beside pack.toml, or write codes such as [\"CN\", \"MO\"]";
            self.fault(offset, said, remedy);
            return BTreeSet::new();
        };
        self.used.insert(file.to_owned());
        let mut codes = BTreeSet::new();
        for (line, number) in text.lines().zip(1..) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let code = line.split(',').next().unwrap_or_default();
            match Country::parse(code) {
                Some(code) if codes.insert(code) => {}
                Some(code) => {
                    let said = format!("country {code} stands in an earlier line too");
                    let fault = Fault::new(file, Some((number, 1)), said, "keep one");
                    self.faults.push(fault);
                }
                None => {
                    let said = format!("{code:?} is no country code of ISO 3166-1");
                    let remedy = "begin each line with two letters, such as CN";
                    let fault = Fault::new(file, Some((number, 1)), said, remedy);
                    self.faults.push(fault);
                }
            }
        }
        codes
    }

    /// A list that no group names would be thought to be in force.
    fn unused(&mut self) {
        let named = |name: &str| name == files::DEVICES || self.used.contains(name);
        let lists = self.files.iter().map(|(name, _)| name);
        let lists = lists.filter(|name| name.ends_with(".csv") && !named(name));
        for list in lists {
            let said = "no group of pack.toml names this file";
            let remedy =
                format!("write NAME = \"{list}\" under [parameters.groups], or take it away");
            self.faults.push(Fault::new(list, None, said, remedy));
        }
    }
}
