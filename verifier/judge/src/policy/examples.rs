//! The examples of a pack: its own tests, run by `check`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::{Spanned, Table, Value};

use super::{
    annotation::Day,
    facts::{DeviceFacts, Facts, TenantFacts},
    fault::{BadPack, Fault, MAX_FAULTS},
    files::{EXAMPLES, PackFiles},
    pack::Pack,
    scan,
};

/// Most examples of a pack: two sides of each of 256 policies, twice.
const MAX_EXAMPLES: usize = 1_024;
/// What an example writes for a fact that is not known.
const UNKNOWN: &str = "unknown";

/// Cases with what is due of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Examples(Vec<Example>);

#[derive(Clone, Debug)]
struct Example {
    name: String,
    line: usize,
    facts: Facts,
    at: Day,
    breaks: BTreeSet<String>,
}

/// An example that did not come out as it says, or a policy without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its name, or the policy's id.
    pub name: String,
    /// Line of `examples.toml`; `None` for what is not there.
    pub line: Option<usize>,
    /// What was due and what came.
    pub said: String,
}

/// What a pack's own tests gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many examples ran.
    pub examples: usize,
    /// Those that failed, in the order of the file; then policies without an example.
    pub failed: Vec<Failed>,
}

impl Report {
    /// Whether all is as the pack says.
    pub fn is_good(&self) -> bool {
        self.failed.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    base: RawFacts,
    #[serde(default, rename = "example")]
    examples: Vec<RawExample>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawFacts {
    tenant: Table,
    device: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExample {
    name: Spanned<String>,
    at: String,
    #[serde(default)]
    tenant: Table,
    #[serde(default)]
    device: Table,
    breaks: Vec<String>,
}

impl Examples {
    pub(super) fn read(files: &PackFiles, policies: &BTreeSet<&str>) -> Result<Self, BadPack> {
        let text = files.text(EXAMPLES).ok_or(BadPack::Missing(EXAMPLES))?;
        let raw: Raw = toml::from_str(text)
            .map_err(|error| BadPack::one(Fault::toml(EXAMPLES, text, &error)))?;
        let mut faults = Vec::new();
        if raw.examples.len() > MAX_EXAMPLES {
            let said = format!("{} examples", raw.examples.len());
            let remedy = format!("at most {MAX_EXAMPLES} are taken");
            return Err(BadPack::one(Fault::new(EXAMPLES, None, said, remedy)));
        }
        let (mut read, mut names) = (Vec::new(), BTreeSet::new());
        for example in raw.examples {
            let place = scan::place(text, example.name.span().start);
            let name = example.name.get_ref().clone();
            let found = example_of(&raw.base, example, place.0, policies).and_then(|example| {
                let fresh = names.insert(name.clone());
                let twice = (
                    "stands above too".to_owned(),
                    "give it a name of its own".into(),
                );
                if fresh { Ok(example) } else { Err(twice) }
            });
            match found {
                Ok(example) => read.push(example),
                Err((said, remedy)) => {
                    let said = format!("example {name:?}: {said}");
                    faults.push(Fault::new(EXAMPLES, Some(place), said, remedy));
                }
            }
        }
        if faults.is_empty() {
            return Ok(Self(read));
        }
        faults.truncate(MAX_FAULTS);
        Err(BadPack::Faults(faults))
    }
}

/// Reads one example over the base; else what is wrong and the remedy.
fn example_of(
    base: &RawFacts,
    raw: RawExample,
    line: usize,
    policies: &BTreeSet<&str>,
) -> Result<Example, (String, String)> {
    let at = Day::parse(&raw.at).ok_or_else(|| {
        let said = format!("at = {:?} is no day", raw.at);
        (said, "write a day such as 2026-11-10".to_owned())
    })?;
    let strange = raw.breaks.iter().find(|id| !policies.contains(id.as_str()));
    if let Some(id) = strange {
        let all: Vec<&str> = policies.iter().copied().collect();
        let said = format!("breaks {id:?}, which is no policy of the pack");
        return Err((said, format!("there are {}", all.join(", "))));
    }
    let facts = |what: &str, error: toml::de::Error| {
        let said = error.message().trim().replace('\n', "; ");
        (format!("{what}: {said}"), String::new())
    };
    let tenant = over(&base.tenant, raw.tenant).try_into::<TenantFacts>();
    let device = over(&base.device, raw.device).try_into::<DeviceFacts>();
    Ok(Example {
        name: raw.name.into_inner(),
        line,
        facts: Facts {
            tenant: tenant.map_err(|error| facts("tenant", error))?,
            device: device.map_err(|error| facts("device", error))?,
        },
        at,
        breaks: raw.breaks.into_iter().collect(),
    })
}

/// The base with what an example says otherwise; a fact that is "unknown" is one that nobody gave.
fn over(base: &Table, own: Table) -> Table {
    let mut facts = base.clone();
    facts.extend(own);
    let unknown = |name: &str, value: &Value| name != "class" && value.as_str() == Some(UNKNOWN);
    facts.retain(|name, value| !unknown(name, value));
    facts
}

impl Pack {
    /// Runs the pack's own examples. Every policy needs one that breaks it: one that nothing was
    /// seen to break may be misspelt.
    pub fn check(&self) -> Report {
        let mut failed = Vec::new();
        let mut broken_in: BTreeMap<String, usize> = BTreeMap::new();
        for example in &self.examples.0 {
            let decision = self.decide(&example.facts, example.at.begins_unix_ms());
            let due: Vec<&str> = example.breaks.iter().map(String::as_str).collect();
            let broken = decision.broken().iter();
            let came: BTreeSet<&str> = broken.map(|one| one.policy.id().as_ref()).collect();
            let came: Vec<&str> = came.into_iter().collect();
            for id in &came {
                *broken_in.entry((*id).to_owned()).or_default() += 1;
            }
            let mut said = Vec::new();
            if came != due {
                said.push(format!("breaks {}, due is {}", words(&came), words(&due)));
            }
            for error in decision.errors() {
                let why = error.error.as_deref().unwrap_or_default();
                said.push(format!("{} gave no answer: {why}", error.policy.id()));
            }
            if !said.is_empty() {
                failed.push(Failed {
                    name: example.name.clone(),
                    line: Some(example.line),
                    said: said.join("; "),
                });
            }
        }
        let all = self.examples.0.len();
        for policy in self.policies() {
            let breaks = broken_in.get(policy.id().as_ref()).copied().unwrap_or(0);
            let said = match (breaks, all - breaks) {
                (0, _) => "no example breaks it; add one, so that it is seen to work",
                (_, 0) => "no example keeps it; add one, so that it is seen to spare somebody",
                _ => continue,
            };
            failed.push(Failed {
                name: policy.id().to_string(),
                line: None,
                said: said.to_owned(),
            });
        }
        Report {
            examples: all,
            failed,
        }
    }
}

fn words(ids: &[&str]) -> String {
    if ids.is_empty() {
        "none".to_owned()
    } else {
        ids.join(", ")
    }
}
