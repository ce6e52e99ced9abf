//! A policy pack, read whole and checked against its types.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use affiant_proto::Digest;
use cedar_policy::{Authorizer, Effect, PolicyId, PolicySet, ValidationMode, Validator};
use miette::Diagnostic;

use super::{
    annotation::{self, Mode, Policy, UNDECIDED},
    decision::{Broken, Decision},
    examples::Examples,
    facts::{ATTRIBUTES, Asking, Facts},
    fault::{BadPack, Fault, MAX_FAULTS},
    files::{DEVICES, POLICIES, PackFiles},
    manifest::{JUDGED_LIMITS, Manifest, PackParameters, TOGETHER},
    scan::{self, MAX_DEPTH, MAX_POLICIES, MAX_TOKENS, Statement},
};
use crate::devices::DeviceTable;

/// A policy pack: read whole, every policy checked strictly against the types of the facts.
#[derive(Clone, Debug)]
pub struct Pack {
    digest: Digest,
    label: Arc<str>,
    manifest: Manifest,
    devices: Option<DeviceTable>,
    asking: Asking,
    set: PolicySet,
    policies: Vec<Arc<Policy>>,
    undecided: Option<Arc<Policy>>,
    /// First instants of the days on which some policy begins or no longer applies.
    instants: BTreeSet<u64>,
    pub(super) examples: Examples,
}

impl Pack {
    /// Reads the canonical bytes of a pack.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPack> {
        Self::read(&PackFiles::parse(bytes)?)
    }

    /// Reads the files of a pack.
    pub fn read(files: &PackFiles) -> Result<Self, BadPack> {
        let manifest = Manifest::read(files)?;
        let devices = files.text(DEVICES).map(DeviceTable::parse).transpose();
        let devices =
            devices.map_err(|bad| BadPack::one(Fault::new(DEVICES, None, bad.to_string(), "")))?;
        let asking = Asking::new(&manifest.parameters)
            .map_err(|why| BadPack::one(Fault::new(POLICIES, None, why, "")))?;
        let text = files.text(POLICIES).ok_or(BadPack::Missing(POLICIES))?;
        let (set, policies) = read_policies(text, &asking, &manifest.parameters)?;
        let known: BTreeSet<&str> = policies.iter().map(|policy| policy.id().as_ref()).collect();
        let examples = Examples::read(files, &known)?;
        let begins = policies
            .iter()
            .map(|policy| policy.since().begins_unix_ms());
        let ends = policies.iter().filter_map(|policy| policy.until());
        let instants = begins.chain(ends.map(|day| day.ends_unix_ms())).collect();
        let tried = manifest.undecided == Mode::Shadow;
        Ok(Self {
            undecided: tried.then(|| Arc::new(Policy::undecided())),
            digest: files.digest(),
            label: format!("{}@{}", manifest.name, manifest.version).into(),
            manifest,
            devices,
            asking,
            set,
            policies,
            instants,
            examples,
        })
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How findings name it: `name@version`.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The name of the pack.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Its version, as its author counts.
    pub fn version(&self) -> &str {
        &self.manifest.version
    }

    /// Its title, for people.
    pub fn title(&self) -> &str {
        &self.manifest.title
    }

    /// What its author wants read before it is relied on; may be empty.
    pub fn notice(&self) -> &str {
        &self.manifest.notice
    }

    /// Country groups, sets of classes and limits.
    pub fn parameters(&self) -> &PackParameters {
        &self.manifest.parameters
    }

    /// The pack's device table; `None` where the shipped one is in force.
    pub fn devices(&self) -> Option<&DeviceTable> {
        self.devices.as_ref()
    }

    /// All policies, in the order of the file.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// Under what use by tenants on whom nobody ever decided is tried in shadow; `None` where it counts.
    pub fn undecided(&self) -> Option<&Arc<Policy>> {
        self.undecided.as_ref()
    }

    /// The instants at which a policy begins or ends to apply, milliseconds since 1970.
    pub fn instants(&self) -> &BTreeSet<u64> {
        &self.instants
    }

    /// Decides whether a use at `at_unix_ms` is allowed. What no policy forbids is; a policy that
    /// gives no answer is broken, for it is not known to be kept.
    ///
    /// The same facts give the same decision, in the order of the pack's file.
    pub fn decide(&self, facts: &Facts, at_unix_ms: u64) -> Decision {
        let applying = || {
            let policies = self.policies.iter();
            policies.filter(|policy| policy.applies(at_unix_ms))
        };
        let (request, entities) = match self.asking.put(facts) {
            Ok(put) => put,
            Err(why) => {
                let broken = |policy: &Arc<Policy>| Broken {
                    policy: Arc::clone(policy),
                    error: Some(why.clone()),
                };
                return Decision::new(applying().map(broken).collect());
            }
        };
        let answer = Authorizer::new().is_authorized(&request, &self.set, &entities);
        let said = answer.diagnostics();
        let satisfied: BTreeSet<&str> = said.reason().map(|id| id.as_ref()).collect();
        let mut errors: BTreeMap<String, String> = BTreeMap::new();
        for error in said.errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            let why = error.inner().to_string();
            errors.insert(error.policy_id().to_string(), why);
        }
        let broken = applying().filter_map(|policy| {
            let error = errors.get(policy.id().as_ref()).cloned();
            let broken = error.is_some() || satisfied.contains(policy.id().as_ref());
            broken.then(|| Broken {
                policy: Arc::clone(policy),
                error,
            })
        });
        Decision::new(broken.collect())
    }
}

type Policies = (PolicySet, Vec<Arc<Policy>>);

fn read_policies(
    text: &str,
    asking: &Asking,
    parameters: &PackParameters,
) -> Result<Policies, BadPack> {
    let statements = scan::statements(text);
    bounded(text, &statements)?;
    let read: PolicySet = text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        let errors = errors.iter().take(MAX_FAULTS);
        let faults = errors.map(|error| {
            let remedy = "a policy is: annotations, then forbid (principal, action == \
                          Action::\"use\", resource) when { … };";
            fault(text, error, remedy)
        });
        BadPack::Faults(faults.collect())
    })?;
    let mut faults = Vec::new();
    if read.num_of_templates() > 0 {
        let said = "a policy with ?principal or ?resource is a template";
        let remedy = "write principal and resource without a question mark";
        faults.push(Fault::new(POLICIES, None, said, remedy));
    }
    let mut policies: Vec<Arc<Policy>> = Vec::new();
    let mut set = PolicySet::new();
    for (number, statement) in statements.iter().enumerate() {
        // Cedar numbers the policies of a text from 0.
        let Some(one) = read.policy(&PolicyId::new(format!("policy{number}"))) else {
            continue;
        };
        let at = Some(scan::place(text, statement.start));
        if one.effect() == Effect::Permit {
            let said = "a pack has no permit policies";
            let remedy =
                "what no policy forbids is allowed: write a forbid with the opposite condition";
            faults.push(Fault::new(POLICIES, at, said, remedy));
        }
        match annotation::read(one, text, statement) {
            Ok(policy) if policy.id().as_ref() == UNDECIDED => {
                let said = format!("policy {UNDECIDED:?} has an id that pack.toml takes");
                faults.push(Fault::new(POLICIES, at, said, "give it another id"));
            }
            Ok(policy) if policies.iter().any(|other| other.id() == policy.id()) => {
                let said = format!("policy {:?} stands above too", policy.id());
                faults.push(Fault::new(POLICIES, at, said, "give it an id of its own"));
            }
            Ok(policy) => {
                let named = one.new_id(PolicyId::new(policy.id()));
                if let Err(error) = set.add(named) {
                    faults.push(Fault::new(POLICIES, at, error.to_string(), ""));
                }
                policies.push(Arc::new(policy));
            }
            Err(found) => faults.extend(found),
        }
    }
    faults.extend(validated(text, &read, asking, parameters));
    faults.extend(unread(&statements, parameters));
    if policies.is_empty() && faults.is_empty() {
        let said = "has no policy";
        faults.push(Fault::new(POLICIES, None, said, "write at least one"));
    }
    if faults.is_empty() {
        return Ok((set, policies));
    }
    faults.sort_by(|a, b| (a.place, &a.said).cmp(&(b.place, &b.said)));
    faults.dedup();
    faults.truncate(MAX_FAULTS);
    Err(BadPack::Faults(faults))
}

/// Refuses what is too long or too deep to be read and asked within any stack.
fn bounded(text: &str, statements: &[Statement]) -> Result<(), BadPack> {
    let at = |statement: &Statement| Some(scan::place(text, statement.start));
    let mut faults = Vec::new();
    if let Some(first) = statements.get(MAX_POLICIES) {
        let said = format!("more than {MAX_POLICIES} policies");
        faults.push(Fault::new(POLICIES, at(first), said, "put some together"));
    }
    for statement in statements {
        if statement.tokens > MAX_TOKENS {
            let said = format!("a policy of {} tokens", statement.tokens);
            let remedy = format!("at most {MAX_TOKENS} are read; part it");
            faults.push(Fault::new(POLICIES, at(statement), said, remedy));
        }
        if statement.depth > MAX_DEPTH {
            let said = format!("brackets in one another, {} deep", statement.depth);
            let remedy = format!("at most {MAX_DEPTH} are read");
            faults.push(Fault::new(POLICIES, at(statement), said, remedy));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    faults.truncate(MAX_FAULTS);
    Err(BadPack::Faults(faults))
}

/// Checks policies strictly. A warning is a fault too: a policy that nothing can break, or a letter
/// that looks like another.
fn validated(
    text: &str,
    set: &PolicySet,
    asking: &Asking,
    parameters: &PackParameters,
) -> Vec<Fault> {
    let validator = Validator::new(asking.schema().clone());
    let result = validator.validate(set, ValidationMode::Strict);
    let remedy = |said: &str| {
        let of = |what: &str, keys: Vec<&String>| {
            let keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
            format!("context.{what} has {}", keys.join(", "))
        };
        let [principal, resource] = ATTRIBUTES.map(|(what, names)| format!("{what} has {names}"));
        match said {
            _ if said.contains("type `Tenant`") => principal,
            _ if said.contains("type `Device`") => resource,
            _ if said.contains("`groups.") => of("groups", parameters.groups().keys().collect()),
            _ if said.contains("`classes.") => of("classes", parameters.classes().keys().collect()),
            _ if said.contains("`limits.") => of("limits", parameters.limits().keys().collect()),
            _ => "context has groups, classes and limits".to_owned(),
        }
    };
    let errors = result.validation_errors().map(|error| {
        use cedar_policy::ValidationError as E;
        let remedy = match error {
            E::UnsafeAttributeAccess(_) => remedy(&error.to_string()),
            E::UnsafeOptionalAttributeAccess(_) => {
                "it may be absent, which is not known: ask `has` first".to_owned()
            }
            E::UnrecognizedEntityType(_) | E::UnrecognizedActionId(_) => {
                "there are Tenant, Device and Action::\"use\"".to_owned()
            }
            _ => String::new(),
        };
        fault(text, error, &remedy)
    });
    let warnings = result
        .validation_warnings()
        .map(|warning| fault(text, warning, ""));
    errors.chain(warnings).collect()
}

/// Limits that nobody reads: a misspelt one would bound nothing.
fn unread(statements: &[Statement], parameters: &PackParameters) -> Vec<Fault> {
    let read: BTreeSet<&str> = statements
        .iter()
        .flat_map(|statement| statement.words.iter().map(String::as_str))
        .collect();
    let names = parameters.limits().keys();
    let unread = names
        .filter(|name| !read.contains(name.as_str()) && !JUDGED_LIMITS.contains(&name.as_str()));
    let fault = |name: &String| {
        let said = format!("parameters.limits.{name} is read by no policy");
        let remedy = format!(
            "spell it as one does, or take it away; the judge itself reads {}",
            JUDGED_LIMITS.join(", ")
        );
        Fault::new(super::files::MANIFEST, None, said, remedy)
    };
    unread.map(fault).chain(incomplete(parameters)).collect()
}

/// Rules of the judge's that a pack gives some limits of and not all.
fn incomplete(parameters: &PackParameters) -> impl Iterator<Item = Fault> + '_ {
    let given = |name: &&&str| parameters.limits().contains_key(**name);
    let some = TOGETHER
        .iter()
        .filter(move |row| row.iter().any(|name| given(&name)));
    let lacking = some.flat_map(move |row| row.iter().filter(move |name| !given(name)));
    lacking.map(|name| {
        let said = format!("parameters.limits.{name} is lacking beside others of its rule");
        let remedy = "state it too, or take the others away: with some of them nothing is judged";
        Fault::new(super::files::MANIFEST, None, said, remedy)
    })
}

/// What Cedar found, at its place in the text and in the house's style.
fn fault(text: &str, found: &dyn Diagnostic, remedy: &str) -> Fault {
    let label = found.labels().and_then(|mut labels| labels.next());
    let place = label
        .as_ref()
        .map(|label| scan::place(text, label.offset()));
    // Cedar counts policies where the place says which one is meant.
    let said = found.to_string();
    let said = said.strip_prefix("for policy `").unwrap_or(&said);
    let said = said.split_once("`, ").map_or(said, |(counted, rest)| {
        if counted.starts_with("policy") {
            rest
        } else {
            said
        }
    });
    let mut said = said.to_owned();
    if let Some(expected) = label.as_ref().and_then(|label| label.label()) {
        said += &format!(" ({expected})");
    }
    let help = found.help().map(|help| help.to_string());
    let remedy = match (help, remedy) {
        (Some(help), "") => help,
        (Some(help), remedy) => format!("{help}; {remedy}"),
        (None, remedy) => remedy.to_owned(),
    };
    Fault::new(POLICIES, place, said, remedy)
}
