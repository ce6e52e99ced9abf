//! Many tenants at once: imported, exported, listed for review, approved over the list's digest.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use affiant_judge::registry::stands::Stands;
use affiant_proto::{Body, Digest, Ed25519Signer, digest, v1};
use prost::Message as _;
use serde_json::Value;

use super::{Context, Failure, given, officer, text};
use crate::{
    client::Client,
    import::{self, Standing},
    keyfile::{OfficerKey, create_private},
    lapse,
    review::{self, Reviewed, Told},
    rpc::admin::{self as rpc, list_request::What},
};

/// Statements of one submission: the server takes 1,000, and the officer's opening may come first.
const BATCH: usize = 999;

/// Most faults of a list that are told at once.
const MAX_FAULTS: usize = 100;

/// States of a tenant, as lists show them.
const STATES: [&str; 9] = [
    "draft",
    "applied",
    "under_review",
    "approved",
    "approved_with_conditions",
    "rejected",
    "suspended",
    "expired",
    "closed",
];

/// Signs and logs what a file of JSON lines says and the log does not.
pub(super) async fn import(
    context: &Context,
    file: &Path,
    key: Option<&Path>,
    effective: Option<u64>,
) -> Result<ExitCode, Failure> {
    let signs = key.map(officer).transpose()?;
    let text = given(file, import::MAX_BYTES)?;
    let mut client = context.client().await?;
    let stands = standing(context, &mut client).await?;
    let effective = effective.unwrap_or_else(|| context.clock.now_ms());
    let plan = import::plan(&text, effective, &stands).map_err(|faults| {
        let faults = faults.join("\n");
        Failure::usage(format!("{}:\n{faults}\nnothing was signed", file.display()))
    })?;
    for warning in &plan.warnings {
        aside!("warning: {}: {warning}", file.display());
    }
    let count: usize = plan.parts.iter().map(Vec::len).sum();
    say!(
        "{}: {} new, {} changed, {} stand already",
        file.display(),
        plan.new,
        plan.changed,
        plan.same
    )?;
    if let Some(words) = lapse::words(&plan.lapsing) {
        say!("{words}")?;
    }
    let Some((name, signer)) = signs else {
        say!("nothing was signed: no --key")?;
        return Ok(ExitCode::SUCCESS);
    };
    let (done, failed) = submit(
        context,
        &mut client,
        (&name, &signer),
        plan.batches(BATCH),
        count,
    )
    .await;
    if let Some(failure) = failed {
        return Err(failure.with(format!(
            "\n{done} of {count} statements are known to be logged, the first of {}; run the same \
             command again: what stands already is not logged twice",
            file.display()
        )));
    }
    say!("{} signed {count} statements, all logged", name.name)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes all that stands as JSON lines.
pub(super) async fn export(context: &Context, out: Option<&Path>) -> Result<ExitCode, Failure> {
    let stands = standing(context, &mut context.client().await?).await?;
    let text = import::write(&stands).map_err(Failure::io)?;
    match out {
        Some(out) => {
            create_private(out, text.as_bytes())?;
            say!("wrote {} lines to {}", text.lines().count(), out.display())?;
        }
        None => put!("{text}")?,
    }
    let faults = import::refused(&text, stands.now_ms);
    if !faults.is_empty() {
        aside!(
            "warning: some entries say what was taken when they were logged and is not any more; an import refuses \
             this file until they are mended in it:\n{}",
            faults.join("\n")
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the list of tenants in a state, to be reviewed.
pub(super) async fn review(
    context: &Context,
    state: &str,
    out: &Path,
) -> Result<ExitCode, Failure> {
    if !STATES.contains(&state) {
        return Err(Failure::usage(format!(
            "--state: `{state}` is none of {}",
            STATES.join(", ")
        )));
    }
    let mut client = context.client().await?;
    let all = client.list(What::Tenants).await?;
    let all = all.as_array().into_iter().flatten();
    let listed = all.filter(|tenant| text(tenant, "state") == state);
    let mut tenants = Vec::new();
    for tenant in listed {
        tenants.push(told(&mut client, text(tenant, "id")).await?);
    }
    if tenants.is_empty() {
        return Err(Failure::usage(format!(
            "no tenant is in state `{state}`; `tenant list` shows them"
        )));
    }
    let list = review::list(state, &tenants);
    create_private(out, list.as_bytes())?;
    say!("{} tenants in {}", tenants.len(), out.display())?;
    say!("sha256  {}", digest(list.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

/// What `tenant approve --reviewed` is given.
pub(super) struct Approval {
    pub(super) list: PathBuf,
    pub(super) digest: String,
    pub(super) key: PathBuf,
    pub(super) reason: String,
    pub(super) effective: Option<u64>,
}

/// Signs a decision on each tenant of a list, if it is the list that was reviewed and all stand as it
/// says.
pub(super) async fn approve(context: &Context, of: Approval) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(&of.key)?;
    let list = of.list.display();
    let text = given(&of.list, review::MAX_BYTES)?;
    let reviewed = digest(&text);
    if !reviewed.to_string().eq_ignore_ascii_case(&of.digest) {
        return Err(Failure::usage(format!(
            "{list} is not what was reviewed: its SHA-256 is {reviewed}; nothing was signed"
        )));
    }
    let text = std::str::from_utf8(&text);
    let text =
        text.map_err(|_| Failure::usage(format!("{list} is not UTF-8; nothing was signed")))?;
    let listed = review::read(text)
        .map_err(|fault| Failure::usage(format!("{list}: {fault}; nothing was signed")))?;
    let mut client = context.client().await?;
    let stood = compare(&mut client, &listed).await?;
    say!("{}", summary(&name.name, &stood, reviewed))?;
    let effective_unix_ms = of.effective.unwrap_or_else(|| context.clock.now_ms());
    let decision = |(tenant, (dossier, digest, _)): &(String, Told)| {
        let conditions = dossier
            .tenant
            .as_ref()
            .and_then(|tenant| tenant.conditions.as_ref());
        let verdict = match conditions {
            Some(_) => v1::Verdict::ApproveWithConditions,
            None => v1::Verdict::Approve,
        };
        Body::from(v1::Decision {
            header: None,
            tenant: tenant.clone(),
            dossier: digest.as_bytes().to_vec(),
            verdict: verdict.into(),
            effective_unix_ms,
            reason: of.reason.clone(),
            reviewed: reviewed.as_bytes().to_vec(),
            ..Default::default()
        })
    };
    let bodies: Vec<Body> = stood.iter().map(decision).collect();
    let batches = bodies.chunks(BATCH).map(<[Body]>::to_vec).collect();
    let (done, failed) = submit(
        context,
        &mut client,
        (&name, &signer),
        batches,
        bodies.len(),
    )
    .await;
    if let Some(failure) = failed {
        let next = stood.get(done).map_or("", |(tenant, _)| tenant.as_str());
        return Err(failure.with(format!(
            "\nthe decisions on {done} of {} tenants are known to be logged, in the order of the list; \
             run the same command again, and one more on each of them changes nothing; next is `{next}`",
            stood.len()
        )));
    }
    say!(
        "{} signed {} decisions, all logged",
        name.name,
        bodies.len()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The tenants of a list as they stand; or all that do not stand as listed.
async fn compare(client: &mut Client, listed: &[Reviewed]) -> Result<Vec<(String, Told)>, Failure> {
    let mut stood = Vec::with_capacity(listed.len());
    let mut faults = Vec::new();
    for one in listed {
        match told(client, &one.tenant).await {
            Ok(told) => match one.differs(&told) {
                Some(fault) => faults.push(fault),
                None => stood.push((one.tenant.clone(), told)),
            },
            Err(failure) if failure.exit_code() == Failure::USAGE => {
                faults.push(format!("tenant `{}`: {failure}", one.tenant));
            }
            Err(failure) => return Err(failure),
        }
    }
    if faults.is_empty() {
        return Ok(stood);
    }
    let count = faults.len();
    faults.truncate(MAX_FAULTS);
    Err(Failure::usage(format!(
        "{count} of {} tenants do not stand as listed:\n{}\nnothing was signed; review them anew",
        listed.len(),
        faults.join("\n")
    )))
}

/// Says in plain words what is about to be signed.
fn summary(officer: &str, stood: &[(String, Told)], reviewed: Digest) -> String {
    let tenants = stood
        .iter()
        .filter_map(|(_, (dossier, ..))| dossier.tenant.as_ref());
    let count = |which: fn(&&v1::Tenant) -> bool| tenants.clone().filter(which).count();
    let beside = || stood.iter().map(|(_, (.., beside))| beside);
    let mut seats: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, (dossier, ..)) in stood {
        for party in &dossier.parties {
            *seats.entry(party.headquarters.as_str()).or_default() += 1;
        }
    }
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    // Hits, and what else is loud, by what it is.
    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    for beside in beside() {
        *states.entry(&beside.stands.state).or_default() += 1;
        for part in beside.parts.iter().filter(|part| part.hit.is_some()) {
            *hits.entry(&part.label).or_default() += 1;
        }
    }
    let expired = beside().filter(|it| it.has_expired()).count();
    let signed = beside().filter(|it| !it.stands.signed.is_empty()).count();
    let counts = |counts: BTreeMap<&str, usize>| {
        let told = counts.iter().map(|(what, count)| format!("{what} {count}"));
        let told: Vec<String> = told.collect();
        match told.is_empty() {
            true => "none".to_owned(),
            false => told.join(", "),
        }
    };
    [
        format!("{officer} approves {} tenants, as reviewed", stood.len()),
        format!("list             {reviewed}"),
        format!("states           {}", counts(states)),
        format!(
            "conditions       {} have some, of which {expired} EXPIRED; {} none",
            count(|tenant| tenant.conditions.is_some()),
            count(|tenant| tenant.conditions.is_none())
        ),
        format!(
            "end customer     {} undeclared",
            count(|tenant| tenant.end_customer.is_empty())
        ),
        format!(
            "ultimate parent  {} unresolved",
            count(|tenant| tenant.ultimate_parent.is_empty())
        ),
        format!("headquarters     {}", counts(seats)),
        format!("hits             {}", counts(hits)),
        format!("signed before    {signed}, by another officer or this one"),
    ]
    .join("\n")
}

/// A tenant as it stands: its dossier, computed here from its bytes, and what stands beside it.
pub(super) async fn told(client: &mut Client, tenant: &str) -> Result<Told, Failure> {
    let asked = rpc::DossierRequest {
        tenant: tenant.to_owned(),
    };
    let said = client.calls().dossier(asked).await?.into_inner();
    let read = v1::Dossier::decode(said.dossier.as_slice());
    let read = read.map_err(|_| Failure::io("the server's dossier cannot be read"))?;
    let beside = serde_json::from_str(&said.json);
    let beside = beside.map_err(|_| Failure::io("the server's answer cannot be read"))?;
    Ok((read, digest(&said.dossier), beside))
}

/// What the log says by now.
pub(super) async fn standing(context: &Context, client: &mut Client) -> Result<Standing, Failure> {
    let all = client
        .calls()
        .registry(rpc::RegistryRequest {})
        .await?
        .into_inner();
    let parties = read_all::<v1::Party>(&all.parties)?.into_iter();
    let edges = read_all::<v1::Edge>(&all.edges)?.into_iter();
    let tenants = read_all::<v1::Tenant>(&all.tenants)?.into_iter();
    let bindings = read_all::<v1::Binding>(&all.bindings)?.into_iter();
    let listed = client.list(What::Tenants).await?;
    let listed = listed.as_array().into_iter().flatten();
    let stands = |tenant: &Value| {
        let stands = tenant.get("stands").cloned().unwrap_or_default();
        let stands: Result<Stands, _> = serde_json::from_value(stands);
        let stands = stands.map_err(|_| Failure::io("the server's registry cannot be read"))?;
        Ok((text(tenant, "id").to_owned(), stands))
    };
    let stands: Result<BTreeMap<String, Stands>, Failure> = listed.map(stands).collect();
    let stands = stands?;
    let approved = stands.iter().filter(|(_, it)| it.rests_on_dossier);
    // One that has to apply anew counts as what it was, whatever it is until then.
    let state = |tenant: &v1::Tenant| {
        let stands = stands.get(&tenant.id).cloned().unwrap_or_default();
        stands.barred.unwrap_or(stands.state)
    };
    Ok(Standing {
        approved: approved.map(|(tenant, _)| tenant.clone()).collect(),
        now_ms: context.clock.now_ms(),
        parties: parties.map(|party| (party.id.clone(), party)).collect(),
        edges: edges
            .map(|edge| ((edge.from.clone(), edge.to.clone(), edge.kind), edge))
            .collect(),
        tenants: tenants
            .map(|tenant| (tenant.id.clone(), (tenant.clone(), state(&tenant))))
            .collect(),
        bindings: bindings
            .map(|binding| (binding.id.clone(), binding))
            .collect(),
    })
}

fn read_all<M: prost::Message + Default>(all: &[Vec<u8>]) -> Result<Vec<M>, Failure> {
    let read = all.iter().map(|bytes| M::decode(bytes.as_slice()));
    let read: Result<Vec<M>, _> = read.collect();
    read.map_err(|_| Failure::io("the server's registry cannot be read"))
}

/// Signs and logs batches one after the other, and says how far it is; gives how many statements were
/// logged, and why it ended before the last.
async fn submit(
    context: &Context,
    client: &mut Client,
    (name, signer): (&OfficerKey, &Ed25519Signer),
    batches: Vec<Vec<Body>>,
    count: usize,
) -> (usize, Option<Failure>) {
    let mut done = 0;
    let several = batches.len() > 1;
    for batch in batches {
        let more = batch.len();
        let logged = client
            .sign_and_submit(name, signer, batch, &context.clock)
            .await;
        if let Err(error) = logged {
            return (done, Some(error.into()));
        }
        done += more;
        if several {
            aside!("logged {done} of {count} statements");
        }
    }
    (done, None)
}
