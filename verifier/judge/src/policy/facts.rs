//! What is known when a policy is asked, and how Cedar gets it.
//!
//! What is not known has a value of its own: an absent attribute, a flag that says so, or the word
//! "unknown". None of them reads as clear.

use std::collections::BTreeSet;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
    Schema,
};
use serde::Deserialize;

use super::manifest::PackParameters;
use crate::{devices::Class, parameters::Country, screening};

/// What policies are asked about: who, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Facts {
    /// The tenant.
    pub tenant: TenantFacts,
    /// The device.
    pub device: DeviceFacts,
}

/// A tenant as it stands at the instant of the use. The default is a tenant of whom nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantFacts {
    /// State of its vetting, as `approved` or `under_review`; `unregistered` when the log has none.
    pub state: String,
    /// Headquarters of every party of its chain, and of all who own or control one.
    pub headquarters: BTreeSet<Country>,
    /// Whether the headquarters of any of these are not known.
    pub headquarters_unknown: bool,
    /// Whether an ultimate parent is named.
    pub parent_known: bool,
    /// Headquarters of the ultimate parent; empty where they are not known.
    pub parent_headquarters: BTreeSet<Country>,
    /// Where the same parties are incorporated, as far as stated.
    pub incorporated: BTreeSet<Country>,
    /// How many intermediaries its chain names.
    pub intermediaries: u32,
    /// Whether somebody stands between the customer and the end customer, named or not.
    pub through_reseller: bool,
    /// Whether the end customer is named.
    pub end_customer_declared: bool,
    /// Whether some reseller of the chain is not vetted itself; `None` when that is not known.
    pub resellers_unvetted: Option<bool>,
    /// Whether the tenant was screened against lists at all.
    pub screened: bool,
    /// Days since the lists it was last screened against were current; `None` when not screened.
    pub screening_age_days: Option<u32>,
    /// Classes of hits on lists that stand: those that officers cleared are not among them.
    pub listed: BTreeSet<screening::Class>,
    /// Ids of the lists of these hits.
    pub listed_on: BTreeSet<String>,
    /// Whether an exact or strong hit was left undecided beyond the days that the pack gives for it.
    pub hold_overdue: bool,
    /// Share of listed owners in hundredths of a percent, at least; `None` when not computed.
    pub listed_ownership_min: Option<u32>,
    /// And at most.
    pub listed_ownership_max: Option<u32>,
    /// What the tenant says the devices are for; empty when it says nothing.
    pub declared_use: String,
    /// Whether it declared that models are trained; `None` when it says nothing of it.
    pub training_declared: Option<bool>,
}

impl Default for TenantFacts {
    fn default() -> Self {
        Self {
            state: "unregistered".to_owned(),
            headquarters: BTreeSet::new(),
            headquarters_unknown: true,
            parent_known: false,
            parent_headquarters: BTreeSet::new(),
            incorporated: BTreeSet::new(),
            intermediaries: 0,
            through_reseller: false,
            end_customer_declared: false,
            resellers_unvetted: None,
            screened: false,
            screening_age_days: None,
            listed: BTreeSet::new(),
            listed_on: BTreeSet::new(),
            hold_overdue: false,
            listed_ownership_min: None,
            listed_ownership_max: None,
            declared_use: String::new(),
            training_declared: None,
        }
    }
}

/// A device that is used. The default is one of which nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceFacts {
    /// Its class of export control.
    pub class: Class,
    /// Its model, as the device table names it; empty when the table has none.
    pub model: String,
    /// Total processing performance; `None` when not known.
    pub tpp: Option<u32>,
    /// Memory bandwidth in GB/s; `None` when not known.
    pub memory_bandwidth: Option<u32>,
    /// Site of its host, as the operator names it.
    pub site: String,
    /// Country of the site; `None` when not known, which policies read as "unknown".
    pub country: Option<Country>,
}

impl Default for DeviceFacts {
    fn default() -> Self {
        Self {
            class: Class::Unknown,
            model: String::new(),
            tpp: None,
            memory_bandwidth: None,
            site: String::new(),
            country: None,
        }
    }
}

/// The types that hold for all packs.
const SCHEMA: &str = include_str!("schema.cedarschema");

/// What a policy may ask of each thing, said where one asks for something else.
pub(super) const ATTRIBUTES: [(&str, &str); 2] = [
    (
        "principal",
        "state, headquarters, headquarters_unknown, parent_known, parent_headquarters, \
         incorporated, intermediaries, through_reseller, end_customer_declared, \
         resellers_unvetted?, screened, screening_age_days?, listed, listed_on, \
         hold_overdue, listed_ownership_min?, listed_ownership_max?, declared_use, training_declared?",
    ),
    (
        "resource",
        "class, model, tpp?, memory_bandwidth?, site, country",
    ),
];

/// Types and names that all questions to one pack have in common.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    schema: Schema,
    action: EntityUid,
    tenant: EntityUid,
    device: EntityUid,
    context: Context,
}

impl Asking {
    /// Types of a pack with these parameters. Only a fault of this release makes it fail.
    pub(super) fn new(parameters: &PackParameters) -> Result<Self, String> {
        let text = [
            SCHEMA,
            &record("Groups", parameters.groups().keys(), "Set<String>"),
            &record("Classes", parameters.classes().keys(), "Set<String>"),
            &record("Limits", parameters.limits().keys(), "Long"),
        ];
        let text = text.concat();
        let (schema, _) = Schema::from_cedarschema_str(&text).map_err(|e| e.to_string())?;
        let uid = |kind: &str, id: &str| {
            let kind: EntityTypeName = kind.parse().map_err(|_| format!("no type {kind}"))?;
            Ok::<_, String>(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
        };
        Ok(Self {
            schema,
            action: uid("Action", "use")?,
            tenant: uid("Tenant", "this")?,
            device: uid("Device", "this")?,
            context: context(parameters)?,
        })
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Puts facts as Cedar reads them. Only a fault of this release makes it fail.
    pub(super) fn put(&self, facts: &Facts) -> Result<(Request, Entities), String> {
        let entity = |uid: &EntityUid, attributes| {
            Entity::new_with_tags(uid.clone(), attributes, [], []).map_err(|e| e.to_string())
        };
        let entities = [
            entity(&self.tenant, tenant(&facts.tenant))?,
            entity(&self.device, device(&facts.device))?,
        ];
        let entities = Entities::from_entities(entities, Some(&self.schema));
        let request = Request::new(
            self.tenant.clone(),
            self.action.clone(),
            self.device.clone(),
            self.context.clone(),
            Some(&self.schema),
        );
        let request = request.map_err(|e| e.to_string())?;
        Ok((request, entities.map_err(|e| e.to_string())?))
    }
}

/// The type of a table of parameters, by the names that the pack gives them.
fn record<'a>(name: &str, fields: impl Iterator<Item = &'a String>, kind: &str) -> String {
    let fields: Vec<String> = fields.map(|field| format!("\"{field}\": {kind}")).collect();
    format!("type {name} = {{ {} }};\n", fields.join(", "))
}

type Attributes = Vec<(String, RestrictedExpression)>;

fn context(parameters: &PackParameters) -> Result<Context, String> {
    let record =
        |fields: Attributes| RestrictedExpression::new_record(fields).map_err(|e| e.to_string());
    let groups = parameters.groups().iter();
    let groups = groups.map(|(name, codes)| (name.clone(), countries(codes)));
    let classes = parameters.classes().iter().map(|(name, classes)| {
        let classes = classes.iter().map(|class| text(class.as_str()));
        (name.clone(), RestrictedExpression::new_set(classes))
    });
    let limits = parameters.limits().iter();
    let limits = limits.map(|(name, limit)| (name.clone(), long(*limit)));
    let pairs = [
        ("groups".to_owned(), record(groups.collect())?),
        ("classes".to_owned(), record(classes.collect())?),
        ("limits".to_owned(), record(limits.collect())?),
    ];
    Context::from_pairs(pairs).map_err(|e| e.to_string())
}

fn tenant(facts: &TenantFacts) -> Attributes {
    let hits = facts.listed.iter().map(|class| text(class.as_str()));
    let lists = facts.listed_on.iter().map(|list| text(list));
    let always = [
        ("state", text(&facts.state)),
        ("headquarters", countries(&facts.headquarters)),
        ("headquarters_unknown", flag(facts.headquarters_unknown)),
        ("parent_known", flag(facts.parent_known)),
        ("parent_headquarters", countries(&facts.parent_headquarters)),
        ("incorporated", countries(&facts.incorporated)),
        ("intermediaries", long(facts.intermediaries)),
        ("through_reseller", flag(facts.through_reseller)),
        ("end_customer_declared", flag(facts.end_customer_declared)),
        ("screened", flag(facts.screened)),
        ("listed", RestrictedExpression::new_set(hits)),
        ("listed_on", RestrictedExpression::new_set(lists)),
        ("hold_overdue", flag(facts.hold_overdue)),
        ("declared_use", text(&facts.declared_use)),
    ];
    let where_known = [
        ("resellers_unvetted", facts.resellers_unvetted.map(flag)),
        ("screening_age_days", facts.screening_age_days.map(long)),
        ("listed_ownership_min", facts.listed_ownership_min.map(long)),
        ("listed_ownership_max", facts.listed_ownership_max.map(long)),
        ("training_declared", facts.training_declared.map(flag)),
    ];
    named(always, where_known)
}

fn device(facts: &DeviceFacts) -> Attributes {
    let country = facts.country.map(|country| country.to_string());
    let always = [
        ("class", text(facts.class.as_str())),
        ("model", text(&facts.model)),
        ("site", text(&facts.site)),
        ("country", text(country.as_deref().unwrap_or("unknown"))),
    ];
    let where_known = [
        ("tpp", facts.tpp.map(long)),
        ("memory_bandwidth", facts.memory_bandwidth.map(long)),
    ];
    named(always, where_known)
}

fn named<const N: usize, const M: usize>(
    always: [(&str, RestrictedExpression); N],
    where_known: [(&str, Option<RestrictedExpression>); M],
) -> Attributes {
    let known = where_known.into_iter();
    let known = known.filter_map(|(name, value)| Some((name, value?)));
    let all = always.into_iter().chain(known);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn countries(codes: &BTreeSet<Country>) -> RestrictedExpression {
    RestrictedExpression::new_set(codes.iter().map(|code| text(&code.to_string())))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn long(value: u32) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::from(value))
}

fn flag(value: bool) -> RestrictedExpression {
    RestrictedExpression::new_bool(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::policy::{Pack, PackFiles};

    /// A pack of one policy that asks for one attribute as the remedy lists it.
    fn asks(what: &str, attribute: &str) -> Result<Pack, crate::policy::BadPack> {
        let name = attribute.trim_end_matches('?');
        let question = format!("{what}.{name} == {what}.{name} && principal.screened");
        let question = match attribute.ends_with('?') {
            true => format!("{what} has {name} && {question}"),
            false => question,
        };
        let policy = format!(
            "@id(\"a\") @severity(\"low\") @citation(\"c\") @status(\"unknown\") \
             @since(\"2020-01-01\") @mode(\"shadow\") @says(\"s\") \
             forbid (principal, action == Action::\"use\", resource) when {{ {question} }};"
        );
        let manifest = "name = \"a\"\nversion = \"1\"\ntitle = \"t\"\n".to_owned();
        let files = [
            ("pack.toml", manifest),
            ("policies.cedar", policy),
            ("examples.toml", String::new()),
        ];
        let files = files.map(|(name, text)| (name.to_owned(), text.into_bytes()));
        Pack::read(&PackFiles::new(files)?)
    }

    #[test]
    fn every_attribute_that_a_remedy_lists_is_there_and_no_other_and_may_be_absent_as_it_says() {
        let mut listed = 0;
        for (what, names) in ATTRIBUTES {
            for name in names.split(", ") {
                asks(what, name).unwrap_or_else(|bad| panic!("{what}.{name}: {bad}"));
                listed += 1;
            }
        }
        let typed = SCHEMA.lines().filter(|line| line.starts_with("  "));
        let typed = typed.filter(|line| !line.trim_start().starts_with("//"));
        let entities = typed.take_while(|line| !line.contains("principal"));
        assert_eq!(listed, entities.count());
    }

    #[test]
    fn facts_of_which_nothing_and_of_which_everything_is_known_both_reach_cedar() {
        let asking = Asking::new(&PackParameters::default()).unwrap();
        asking.put(&Facts::default()).unwrap();
        let codes: BTreeSet<Country> = ["DE", "SG"]
            .iter()
            .filter_map(|c| Country::parse(c))
            .collect();
        let full = Facts {
            tenant: TenantFacts {
                state: "approved\"\\\n".into(),
                headquarters: codes.clone(),
                incorporated: codes,
                resellers_unvetted: Some(true),
                screening_age_days: Some(u32::MAX),
                listed: [screening::Class::Exact, screening::Class::Context].into(),
                listed_on: ["el".to_owned()].into(),
                listed_ownership_min: Some(0),
                listed_ownership_max: Some(u32::MAX),
                training_declared: Some(true),
                ..TenantFacts::default()
            },
            device: DeviceFacts {
                tpp: Some(u32::MAX),
                memory_bandwidth: Some(1),
                country: Country::parse("US"),
                ..DeviceFacts::default()
            },
        };
        asking.put(&full).unwrap();
    }
}
