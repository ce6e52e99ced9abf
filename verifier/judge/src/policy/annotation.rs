//! What a policy says of itself: its annotations, of which none is free text for machines.

use std::{fmt, sync::Arc};

use time::{Date, Month};

use super::{
    fault::Fault,
    files::POLICIES,
    scan::{self, Statement},
};
use crate::findings::{Rule, Severity};

/// Most characters of an id.
const MAX_ID: usize = 64;
/// Most characters of a sentence or citation.
const MAX_SENTENCE: usize = 500;
/// Julian day of 1970-01-01.
const EPOCH: i32 = 2_440_588;
const DAY_MS: u64 = 86_400_000;

/// Id of what [`Policy::undecided`] gives: no policy of a pack may have it.
pub(super) const UNDECIDED: &str = "undecided";

/// Annotations that every policy has.
const DUE: [&str; 7] = [
    "id", "severity", "citation", "status", "since", "mode", "says",
];
/// Annotations that a policy may have.
const MAY: [&str; 2] = ["finding", "until"];

/// Whether a policy counts or is only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Its findings are shown and count for nothing.
    Shadow,
    /// Its findings count.
    Enforce,
}

/// How the law that a policy cites stands, as the pack's author read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// In force.
    InForce,
    /// Proposed, or not enacted.
    Proposed,
    /// Suspended.
    Suspended,
    /// Not known.
    Unknown,
}

impl Mode {
    /// Spells it as policies do.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }
}

impl Status {
    /// Spells it as policies do.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in_force",
            Self::Proposed => "proposed",
            Self::Suspended => "suspended",
            Self::Unknown => "unknown",
        }
    }
}

/// A day of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// Reads a day such as 2026-11-10, from 1970 to 9999.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut part = |length: usize| {
            let part = parts.next()?;
            let digits = part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
            digits.then_some(part)
        };
        let year: i32 = part(4)?.parse().ok()?;
        let month: u8 = part(2)?.parse().ok()?;
        let day: u8 = part(2)?.parse().ok()?;
        if parts.next().is_some() || year < 1970 {
            return None;
        }
        let month = Month::try_from(month).ok()?;
        Date::from_calendar_date(year, month, day).ok().map(Self)
    }

    /// Its first instant, milliseconds since 1970.
    pub fn begins_unix_ms(self) -> u64 {
        let days = u64::try_from(self.0.to_julian_day() - EPOCH).unwrap_or(0);
        days * DAY_MS
    }

    /// The first instant after it.
    pub fn ends_unix_ms(self) -> u64 {
        self.begins_unix_ms() + DAY_MS
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        write!(f, "{year:04}-{:02}-{day:02}", u8::from(month))
    }
}

/// One policy of a pack, as it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Policy {
    id: Arc<str>,
    rule: Rule,
    severity: Severity,
    mode: Mode,
    status: Status,
    since: Day,
    until: Option<Day>,
    citation: String,
    says: String,
}

impl Policy {
    /// That use by tenants on whom nobody ever decided is tried in shadow, as `pack.toml` may say.
    pub(super) fn undecided() -> Self {
        Self {
            id: UNDECIDED.into(),
            rule: Rule::UseUnvetted,
            severity: Rule::UseUnvetted.severity(),
            mode: Mode::Shadow,
            status: Status::Unknown,
            since: Day(Date::MIN),
            until: None,
            citation: "pack.toml: undecided = \"shadow\"".to_owned(),
            says: "Nobody has decided about the tenant yet.".to_owned(),
        }
    }

    /// Its name within the pack.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The rule that a breach of it is filed under.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// How grave a breach of it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Whether it counts.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How the law behind it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The first day of use to which it applies.
    pub fn since(&self) -> Day {
        self.since
    }

    /// The last one; `None` when no end is said.
    pub fn until(&self) -> Option<Day> {
        self.until
    }

    /// Where it is written.
    pub fn citation(&self) -> &str {
        &self.citation
    }

    /// What a breach means, in one plain sentence.
    pub fn says(&self) -> &str {
        &self.says
    }

    /// Whether it applies to a use at this instant, milliseconds since 1970.
    pub fn applies(&self, at_unix_ms: u64) -> bool {
        let over = self
            .until
            .is_some_and(|day| at_unix_ms >= day.ends_unix_ms());
        at_unix_ms >= self.since.begins_unix_ms() && !over
    }
}

/// Reads the annotations of one policy; says all that is wrong with them.
pub(super) fn read(
    policy: &cedar_policy::Policy,
    text: &str,
    statement: &Statement,
) -> Result<Policy, Vec<Fault>> {
    let mut reader = Reader {
        policy,
        place: scan::place(text, statement.start),
        faults: Vec::new(),
    };
    for (name, _) in policy.annotations() {
        if !DUE.contains(&name) && !MAY.contains(&name) {
            let said = format!("@{name} is no annotation of a pack");
            let remedy = format!("write {}, and perhaps {}", list(&DUE), list(&MAY));
            reader.fault(said, remedy);
        }
    }
    let read = reader.policy();
    match read {
        Some(policy) if reader.faults.is_empty() => Ok(policy),
        _ => {
            // Annotations come in no order of the file's.
            reader.faults.sort_by(|a, b| a.said.cmp(&b.said));
            Err(reader.faults)
        }
    }
}

fn list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("@{name}")).collect();
    names.join(", ")
}

struct Reader<'a> {
    policy: &'a cedar_policy::Policy,
    place: (usize, usize),
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn policy(&mut self) -> Option<Policy> {
        let id = self.id();
        let severity = self.one_of(
            "severity",
            [
                Severity::Low,
                Severity::Medium,
                Severity::High,
                Severity::Critical,
            ]
            .map(|severity| (severity.as_str(), severity)),
        );
        let mode = self.one_of(
            "mode",
            [Mode::Shadow, Mode::Enforce].map(|mode| (mode.as_str(), mode)),
        );
        let status = self.one_of(
            "status",
            [
                Status::InForce,
                Status::Proposed,
                Status::Suspended,
                Status::Unknown,
            ]
            .map(|status| (status.as_str(), status)),
        );
        let rule = match self.policy.annotation("finding") {
            None => Some(Rule::Policy),
            Some(_) => self.one_of(
                "finding",
                Rule::OF_POLICIES.map(|rule| (rule.as_str(), rule)),
            ),
        };
        let since = self.day("since");
        let until = match self.policy.annotation("until") {
            None => Some(None),
            Some(_) => self.day("until").map(Some),
        };
        let citation = self.sentence("citation");
        let says = self.sentence("says");
        let (since, until) = (since?, until?);
        if until.is_some_and(|until| until < since) {
            let said = "@until lies before @since";
            self.fault(said, "write the last day on which the policy applies");
        }
        Some(Policy {
            id: id?,
            rule: rule?,
            severity: severity?,
            mode: mode?,
            status: status?,
            since,
            until,
            citation: citation?,
            says: says?,
        })
    }

    fn fault(&mut self, said: impl Into<String>, remedy: impl Into<String>) {
        let name = self.policy.annotation("id");
        let said = match name {
            Some(id) => format!("policy {id:?}: {}", said.into()),
            None => said.into(),
        };
        let fault = Fault::new(POLICIES, Some(self.place), said, remedy);
        self.faults.push(fault);
    }

    fn due(&mut self, name: &str, remedy: &str) -> Option<&str> {
        if self.policy.annotation(name).is_none() {
            self.fault(format!("the policy has no @{name}"), remedy);
        }
        self.policy.annotation(name)
    }

    fn id(&mut self) -> Option<Arc<str>> {
        let remedy = "write @id(\"…\") of small letters, digits and -, at most 64 of them";
        let id = self.due("id", remedy)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !id.is_empty() && id.len() <= MAX_ID && id.chars().all(plain) {
            return Some(id.into());
        }
        self.fault("@id is no plain word", remedy);
        None
    }

    fn one_of<T: Copy, const N: usize>(&mut self, name: &str, known: [(&str, T); N]) -> Option<T> {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let remedy = format!("write one of {}", words.join(", "));
        let word = self.due(name, &remedy)?;
        let found = known.iter().find(|(known, _)| *known == word);
        let found = found.map(|(_, value)| *value);
        if found.is_none() {
            let said = format!("@{name} {word:?} is not known");
            self.fault(said, remedy);
        }
        found
    }

    fn day(&mut self, name: &str) -> Option<Day> {
        let remedy = "write a day such as 2026-11-10";
        let text = self.due(name, remedy)?;
        let day = Day::parse(text);
        if day.is_none() {
            let said = format!("@{name} {text:?} is no day");
            self.fault(said, remedy);
        }
        day
    }

    fn sentence(&mut self, name: &str) -> Option<String> {
        let remedy = "write one to 500 characters of plain text on one line";
        let text = self.due(name, remedy)?.to_owned();
        let good = !text.trim().is_empty()
            && text.chars().count() <= MAX_SENTENCE
            && !text.contains(char::is_control);
        if !good {
            self.fault(format!("@{name} is no plain sentence"), remedy);
        }
        good.then_some(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_its_midnight_and_ends_at_the_next() {
        let day = Day::parse("2026-11-10").unwrap();
        assert_eq!(day.begins_unix_ms(), 1_794_268_800_000);
        assert_eq!(day.ends_unix_ms() - day.begins_unix_ms(), DAY_MS);
        assert_eq!(Day::parse("1970-01-01").unwrap().begins_unix_ms(), 0);
        assert_eq!(day.to_string(), "2026-11-10");
    }

    #[test]
    fn what_is_no_day_of_the_calendar_is_none() {
        for text in [
            "",
            "2026-2-1",
            "2026-02-30",
            "1969-12-31",
            "2026-11-10-1",
            "+026-11-10",
        ] {
            assert_eq!(Day::parse(text), None, "{text:?}");
        }
    }
}
