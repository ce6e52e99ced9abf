//! A list of tenants to be reviewed and approved at once: a line each, in words that follow from the
//! dossier, so that who signs over the list's digest signs what it says; and behind them what stands beside
//! the dossier when the list is written.

use std::collections::BTreeSet;

use affiant_proto::{Digest, v1};

use crate::{
    told::{self, Beside, Part},
    wording::plain,
};

/// First line of every list, so that a later layout is told from this one.
pub const TITLE: &str = "# Affiant review list, version 2";

/// Most bytes of a list: 60,000 tenants with lines of 1 KB.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// One tenant of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// Its id.
    pub tenant: String,
    /// Digest of the dossier that was reviewed.
    pub dossier: String,
    /// The whole line.
    pub line: String,
}

/// A tenant as it stands: its dossier, the digest of that, and what stands beside it.
pub type Told = (v1::Dossier, Digest, Beside);

/// Between the parts of a line.
const BETWEEN: &str = " | ";

/// Begins what a line says of a hit, and what else it says beside the dossier. It follows from lists, officers
/// and the time, not from the dossier, and so is not held against that; that no hit is left out is, and the
/// state that the tenant is in.
const HIT: &str = "HIT ";
const NOW: &str = "NOW ";

/// Writes the list of these tenants.
pub fn list(state: &str, tenants: &[Told]) -> String {
    let mut text = format!(
        "{TITLE}\n\
         # {} tenants in state {state}. One a line: id, SHA-256 of its dossier, who they are, what they may use, and\n\
         # behind NOW and HIT how they stand.\n\
         # Strike out who shall not be approved, by removing the line; then sign over the SHA-256 of this file.\n",
        tenants.len()
    );
    for (dossier, digest, beside) in tenants {
        text.push_str(&line(dossier, *digest));
        for part in &beside.parts {
            text.push_str(BETWEEN);
            text.push_str(&now(part));
        }
        text.push('\n');
    }
    text
}

/// A part as a line has it.
fn words(part: &Part) -> String {
    format!("{} {}", plain(&part.label), plain(&part.text))
}

fn now(part: &Part) -> String {
    match &part.hit {
        Some(hit) => format!("{HIT}{} {}", plain(hit), words(part)),
        None => format!("{NOW}{}", words(part)),
    }
}

/// What a list says of one dossier.
pub fn line(dossier: &v1::Dossier, digest: Digest) -> String {
    let tenant = dossier.tenant.as_ref().map_or("", |tenant| &tenant.id);
    let mut parts = vec![plain(tenant), digest.to_string()];
    // The first part is the tenant itself.
    parts.extend(told::by_dossier(dossier).iter().skip(1).map(words));
    parts.join(BETWEEN)
}

/// Reads the tenants of a list; or says in which line what is wrong.
pub fn read(text: &str) -> Result<Vec<Reviewed>, String> {
    let mut lines = (1..).zip(text.lines());
    if lines.next().is_none_or(|(_, first)| first != TITLE) {
        return Err(format!(
            "line 1: it is not `{TITLE}`; is this what `tenant review` wrote?"
        ));
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (number, line) in lines.filter(|(_, line)| !line.starts_with('#') && !line.is_empty()) {
        let mut parts = line.split(" | ");
        let (Some(tenant), Some(dossier)) = (parts.next(), parts.next()) else {
            return Err(format!(
                "line {number}: it has no id and digest; leave lines whole"
            ));
        };
        if !seen.insert(tenant.to_owned()) {
            return Err(format!("line {number}: tenant `{tenant}` stands twice"));
        }
        found.push(Reviewed {
            tenant: tenant.to_owned(),
            dossier: dossier.to_owned(),
            line: line.to_owned(),
        });
    }
    if found.is_empty() {
        return Err("it lists no tenant".to_owned());
    }
    Ok(found)
}

impl Reviewed {
    /// Why it cannot be signed over the tenant as it stands; none when it can.
    pub fn differs(&self, (dossier, digest, beside): &Told) -> Option<String> {
        let tenant = &self.tenant;
        if self.dossier != digest.to_string() {
            return Some(format!(
                "tenant `{tenant}`: its dossier changed since the review; it is now {digest}"
            ));
        }
        if let Some(why) = beside.barred() {
            return Some(format!("tenant `{tenant}`: {why}"));
        }
        let due = line(dossier, *digest);
        let told = self.line.strip_prefix(&due).map(|rest| rest.split(BETWEEN));
        let told: Option<Vec<&str>> = told.map(Iterator::collect);
        let is_beside = |part: &&str| part.starts_with(HIT) || part.starts_with(NOW);
        let told = match told.as_deref() {
            Some(["", told @ ..]) if told.iter().all(is_beside) => told,
            _ => {
                return Some(format!(
                    "tenant `{tenant}`: the list says something else than its dossier, which reads\n  {due}"
                ));
            }
        };
        let hits = beside.parts.iter().filter_map(|part| {
            let begins = format!("{HIT}{} ", plain(part.hit.as_ref()?));
            Some((part, begins))
        });
        let mut new = hits.filter(|(_, begins)| !told.iter().any(|it| it.starts_with(begins)));
        if let Some((part, _)) = new.next() {
            return Some(format!(
                "tenant `{tenant}`: a hit stands that the list does not tell: {}",
                part.text
            ));
        }
        // One who signs the same list once more, after it was approved, changes nothing.
        let state = beside.state().filter(|_| !beside.stands.rests_on_dossier);
        let other = state.filter(|state| !told.contains(&now(state).as_str()));
        other.map(|state| {
            format!(
                "tenant `{tenant}`: its state is not what the list tells; it is now {}",
                state.text
            )
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn dossier(name: &str) -> (v1::Dossier, Digest) {
        let party = |id: &str, name: &str, seat: &str| v1::Party {
            id: id.into(),
            names: vec![v1::PartyName {
                text: name.into(),
                ..Default::default()
            }],
            headquarters: seat.into(),
            ..Default::default()
        };
        let dossier = v1::Dossier {
            tenant: Some(v1::Tenant {
                id: "t".into(),
                customer: "acme".into(),
                intermediaries: vec!["broker".into()],
                conditions: Some(v1::Conditions {
                    valid_to_unix_ms: Some(1_795_407_660_000),
                    device_classes: vec!["3A090.a".into()],
                    max_gpus: Some(8),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            parties: vec![party("acme", name, "DE"), party("owner", "Owner", "CN")],
            edges: vec![v1::Edge {
                from: "owner".into(),
                to: "acme".into(),
                kind: v1::EdgeKind::Owns.into(),
                ..Default::default()
            }],
        };
        let digest = affiant_proto::digest(&prost::Message::encode_to_vec(&dossier));
        (dossier, digest)
    }

    /// A tenant that applied, with these hits on its parties.
    fn told(name: &str, hits: &[&str]) -> Told {
        let (dossier, digest) = dossier(name);
        let part = |label: &str, text: String, hit: Option<&str>| Part {
            label: label.into(),
            text,
            hit: hit.map(str::to_owned),
        };
        let hit = |id: &&str| {
            let text = format!("strong: acme \"A | B\" on list el, hit {id}");
            part("on hold", text, Some(id))
        };
        let mut beside = Beside::default();
        let state = part("state", "applied since yesterday".into(), None);
        beside.parts.push(state);
        beside.parts.extend(hits.iter().map(hit));
        (dossier, digest, beside)
    }

    fn read_one(told: &Told) -> Reviewed {
        let text = list("applied", std::slice::from_ref(told));
        super::read(&text).unwrap().remove(0)
    }

    #[test]
    fn a_line_says_who_where_and_what_and_names_loudly_what_nobody_said() {
        let (dossier, digest) = dossier("Acme");
        assert_eq!(
            line(&dossier, digest),
            format!(
                "t | {digest} | customer Acme (acme, headquarters DE) | \
                 through NOT STATED (broker, headquarters unknown) | end customer UNDECLARED | \
                 ultimate parent UNRESOLVED | behind them Owner (owner, headquarters CN) | \
                 ties owner owns an UNKNOWN share of acme | device classes 3A090.a | \
                 valid until 2026-11-23T04:21:00Z | at once 8 GPUs at most | training NOT DECLARED | \
                 declared use NONE"
            )
        );
    }

    #[test]
    fn hits_stand_in_the_line_and_none_that_stands_may_lack() {
        let one = told("Acme", &["11"]);
        let read = read_one(&one);
        let line = &read.line;
        assert!(
            line.contains(" | HIT 11 on hold strong: acme \"A \\u{7c} B\""),
            "{line}"
        );
        assert!(
            line.contains(" | NOW state applied since yesterday"),
            "{line}"
        );
        assert_eq!(read.differs(&one), None);
        let decided = told("Acme", &[]);
        assert_eq!(read.differs(&decided), None, "one was decided since");
        let new = told("Acme", &["11", "33"]);
        let said = read.differs(&new).unwrap();
        assert!(
            said.contains("a hit stands that the list does not tell"),
            "{said}"
        );
    }

    #[test]
    fn a_tenant_whose_state_is_another_by_now_is_not_signed_unless_it_is_approved_as_listed() {
        let one = told("Acme", &[]);
        let read = read_one(&one);
        let mut suspended = one.clone();
        suspended.2.parts[0].text = "suspended since today".into();
        let said = read.differs(&suspended).unwrap();
        assert!(said.contains("it is now suspended since today"), "{said}");
        let mut approved = suspended.clone();
        approved.2.stands.rests_on_dossier = true;
        assert_eq!(read.differs(&approved), None);
        let mut closed = one;
        closed.2.stands.barred = Some("closed".into());
        let said = read.differs(&closed).unwrap();
        assert!(said.contains("has to apply anew"), "{said}");
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_struck_lines_are_gone() {
        let one = told("Acme", &[]);
        let text = list("applied", std::slice::from_ref(&one));
        let read = super::read(&text).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].differs(&one), None);
        let struck: String = text
            .lines()
            .take(4)
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(super::read(&struck), Err("it lists no tenant".to_owned()));
        let twice = format!("{text}{}\n", read[0].line);
        assert!(super::read(&twice).unwrap_err().contains("stands twice"));
        assert!(super::read("t | x").unwrap_err().starts_with("line 1"));
        assert!(
            super::read(&format!("{TITLE}\nt\n"))
                .unwrap_err()
                .starts_with("line 2")
        );
    }

    #[test]
    fn neither_another_dossier_nor_other_words_about_the_same_are_signed() {
        let (one, other) = (told("Acme", &[]), told("Evil", &[]));
        let said = |line: String| {
            super::read(&format!("{TITLE}\n{line}\n"))
                .unwrap()
                .remove(0)
        };
        let listed = read_one(&one);
        let changed = listed.differs(&other).unwrap();
        assert!(changed.contains("changed since the review"), "{changed}");
        for (line, of) in [
            (read_one(&other).line.replace("Evil", "Acme"), &other),
            // Words that pass for the dossier's, behind it.
            (format!("{} | ultimate parent Charity", listed.line), &one),
            (listed.line.replace("NONE | NOW", "NONE, NOW"), &one),
        ] {
            let why = said(line).differs(of).unwrap();
            assert!(why.contains("something else"), "{why}");
        }
    }

    #[test]
    fn a_name_cannot_pass_for_another_part_of_the_line_or_turn_it_around() {
        let (dossier, digest) = dossier("A | end customer B (b, DE)\n\u{202e}x");
        let line = line(&dossier, digest);
        assert!(
            line.contains("A \\u{7c} end customer B (b, DE)\\u{a}\\u{202e}x"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
    }
}
