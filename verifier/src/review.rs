//! A list of tenants to be reviewed and approved at once: a line each, in words that follow from the
//! dossier alone, so that who signs over the list's digest signs what it says.

use std::{collections::BTreeSet, fmt::Write as _};

use affiant_proto::{Digest, v1};

use crate::wording::{plain, time};

/// First line of every list, so that a later layout is told from this one.
pub const TITLE: &str = "# Affiant review list, version 1";

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

/// A hit on a party that stands, as a list tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The party.
    pub party: String,
    /// The hit's id.
    pub id: String,
    /// What it is, and until when it is to be decided.
    pub words: String,
}

impl Hit {
    fn part(&self) -> String {
        format!("{HIT}{} {}", plain(&self.id), plain(&self.words))
    }
}

/// Begins what a line says of a hit. It follows from lists and officers, not from the dossier, and so is not
/// held against that; that no hit is left out is.
const HIT: &str = "HIT ";

/// Writes the list of these dossiers, each with the hits on its parties.
pub fn list(state: &str, dossiers: &[(v1::Dossier, Digest)], hits: &[Hit]) -> String {
    let mut text = format!(
        "{TITLE}\n\
         # {} tenants in state {state}. One a line: id, SHA-256 of its dossier, who they are, what they may use.\n\
         # Strike out who shall not be approved, by removing the line; then sign over the SHA-256 of this file.\n",
        dossiers.len()
    );
    for (dossier, digest) in dossiers {
        text.push_str(&line(dossier, *digest));
        for hit in of(dossier, hits) {
            text.push_str(" | ");
            text.push_str(&hit.part());
        }
        text.push('\n');
    }
    text
}

/// The hits on parties of a dossier.
fn of<'a>(dossier: &'a v1::Dossier, hits: &'a [Hit]) -> impl Iterator<Item = &'a Hit> {
    let is_its = |hit: &&Hit| dossier.parties.iter().any(|party| party.id == hit.party);
    hits.iter().filter(is_its)
}

/// What a list says of one dossier.
pub fn line(dossier: &v1::Dossier, digest: Digest) -> String {
    let tenant = dossier.tenant.clone().unwrap_or_default();
    let who = |id: &str| {
        let party = dossier.parties.iter().find(|party| party.id == id);
        let name = party.and_then(|party| party.names.first());
        let name = name.map_or("no name", |name| name.text.as_str());
        let seat = party.map_or("unknown", |party| party.headquarters.as_str());
        format!("{} ({}, {})", plain(name), plain(id), plain(seat))
    };
    let or = |id: &str, none: &str| match id.is_empty() {
        true => none.to_owned(),
        false => who(id),
    };
    let mut parts = vec![
        plain(&tenant.id),
        digest.to_string(),
        format!("customer {}", or(&tenant.customer, "NONE")),
    ];
    for id in &tenant.intermediaries {
        parts.push(format!("through {}", who(id)));
    }
    parts.push(format!(
        "end customer {}",
        or(&tenant.end_customer, "UNDECLARED")
    ));
    parts.push(format!(
        "ultimate parent {}",
        or(&tenant.ultimate_parent, "UNRESOLVED")
    ));
    let named: BTreeSet<&str> = [
        &tenant.customer,
        &tenant.end_customer,
        &tenant.ultimate_parent,
    ]
    .into_iter()
    .chain(&tenant.intermediaries)
    .map(String::as_str)
    .collect();
    let others = dossier.parties.iter();
    for party in others.filter(|party| !named.contains(party.id.as_str())) {
        parts.push(format!("behind them {}", who(&party.id)));
    }
    parts.push(terms(tenant.conditions.as_ref()));
    parts.push(match tenant.training_declared {
        Some(true) => "trains models".to_owned(),
        Some(false) => "trains no models".to_owned(),
        None => "training not declared".to_owned(),
    });
    parts.push(match tenant.declared_use.is_empty() {
        true => "use not declared".to_owned(),
        false => format!("use {}", plain(&tenant.declared_use)),
    });
    for key in &tenant.objection_keys {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        parts.push(format!("may object by {hex}"));
    }
    parts.join(" | ")
}

fn terms(conditions: Option<&v1::Conditions>) -> String {
    let Some(conditions) = conditions else {
        return "NO CONDITIONS: all device classes, without end".to_owned();
    };
    let classes = conditions.device_classes.iter().map(|class| plain(class));
    let classes: Vec<String> = classes.collect();
    let mut text = match classes.is_empty() {
        true => "classes none".to_owned(),
        false => format!("classes {}", classes.join(", ")),
    };
    let from = conditions.valid_from_unix_ms.map(time);
    let to = conditions.valid_to_unix_ms.map(time);
    // Writing to a string does not fail.
    let _ = write!(
        text,
        ", from {} until {}",
        from.unwrap_or_else(|| "now".to_owned()),
        to.unwrap_or_else(|| "NO END".to_owned())
    );
    if !conditions.sites.is_empty() {
        let sites: Vec<String> = conditions.sites.iter().map(|site| plain(site)).collect();
        let _ = write!(text, ", sites {}", sites.join(", "));
    }
    if let Some(most) = conditions.max_gpus {
        let _ = write!(text, ", at most {most} GPUs");
    }
    if let Some(most) = conditions.max_aggregate_tpp {
        let _ = write!(text, ", at most {most} TPP in all at once");
    }
    if let Some(most) = conditions.max_gpu_hours_month {
        let _ = write!(text, ", at most {most} GPU-hours a month");
    }
    text
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
    /// Why it cannot be signed over the dossier as it stands, with the hits that stand by now; none when it
    /// can.
    pub fn differs(&self, dossier: &v1::Dossier, digest: Digest, hits: &[Hit]) -> Option<String> {
        if self.dossier != digest.to_string() {
            return Some(format!(
                "tenant `{}`: its dossier changed since the review; it is now {digest}",
                self.tenant
            ));
        }
        let begins = format!(" | {HIT}");
        let (said, told) = match self.line.find(&begins) {
            Some(at) => self.line.split_at(at),
            None => (self.line.as_str(), ""),
        };
        let is_told = |hit: &&Hit| told.contains(&format!("{begins}{} ", plain(&hit.id)));
        if let Some(new) = of(dossier, hits).find(|hit| !is_told(hit)) {
            return Some(format!(
                "tenant `{}`: a hit stands that the list does not tell: {}",
                self.tenant, new.words
            ));
        }
        let due = line(dossier, digest);
        (said != due).then(|| {
            format!(
                "tenant `{}`: the list says something else than its dossier, which reads\n  {due}",
                self.tenant
            )
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
            edges: Vec::new(),
        };
        let digest = affiant_proto::digest(&prost::Message::encode_to_vec(&dossier));
        (dossier, digest)
    }

    #[test]
    fn a_line_says_who_where_and_what_and_names_loudly_what_nobody_said() {
        let (dossier, digest) = dossier("Acme");
        assert_eq!(
            line(&dossier, digest),
            format!(
                "t | {digest} | customer Acme (acme, DE) | through no name (broker, unknown) | \
                 end customer UNDECLARED | ultimate parent UNRESOLVED | behind them Owner (owner, CN) | \
                 classes 3A090.a, from now until 2026-11-23T04:21:00Z, at most 8 GPUs | \
                 training not declared | use not declared"
            )
        );
    }

    #[test]
    fn hits_stand_in_the_line_and_none_that_stands_may_lack() {
        let one = dossier("Acme");
        let hit = |party: &str, id: &str| Hit {
            party: party.into(),
            id: id.into(),
            words: format!(
                "strong undecided: {party} \"A | B\" on list el, due 2026-12-03T00:00:00Z"
            ),
        };
        let known = [hit("acme", "11"), hit("elsewhere", "22")];
        let text = list("applied", std::slice::from_ref(&one), &known);
        let read = super::read(&text).unwrap();
        let line = &read[0].line;
        assert!(line.contains(" | HIT 11 strong undecided: acme"), "{line}");
        assert!(
            !line.contains("HIT 22") && line.contains("due 2026-12-03"),
            "{line}"
        );
        assert_eq!(read[0].differs(&one.0, one.1, &known), None);
        assert_eq!(
            read[0].differs(&one.0, one.1, &[]),
            None,
            "one was decided since"
        );
        let new = [known[0].clone(), hit("owner", "33")];
        let told = read[0].differs(&one.0, one.1, &new).unwrap();
        assert!(
            told.contains("a hit stands that the list does not tell"),
            "{told}"
        );
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_struck_lines_are_gone() {
        let one = dossier("Acme");
        let text = list("applied", std::slice::from_ref(&one), &[]);
        let read = super::read(&text).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].differs(&one.0, one.1, &[]), None);
        let struck: String = text
            .lines()
            .take(3)
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
        let (one, digest) = dossier("Acme");
        let (other, others) = dossier("Evil");
        let said = |line: String| {
            super::read(&format!("{TITLE}\n{line}\n"))
                .unwrap()
                .remove(0)
        };
        let listed = said(line(&one, digest));
        assert!(
            listed
                .differs(&other, others, &[])
                .unwrap()
                .contains("changed since the review")
        );
        let kind = said(line(&other, others).replace("Evil", "Acme"));
        assert!(
            kind.differs(&other, others, &[])
                .unwrap()
                .contains("something else")
        );
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
