//! Many tenants at once: imported, exported, listed for review, approved over the list's digest.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use affiant_proto::{Body, Digest, Ed25519Signer, digest, v1};
use prost::Message as _;

use super::{Context, Failure, given, officer, screening, text};
use crate::{
    client::Client,
    import::{self, Standing},
    keyfile::{OfficerKey, create_private},
    review::{self, Hit, Reviewed},
    rpc::admin::{self as rpc, list_request::What},
    wording,
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
        eprintln!("warning: {}: {warning}", file.display());
    }
    let count: usize = plan.parts.iter().map(Vec::len).sum();
    println!(
        "{}: {} new, {} changed, {} stand already",
        file.display(),
        plan.new,
        plan.changed,
        plan.same
    );
    if !plan.lapsing.is_empty() {
        println!(
            "{} approved tenants are stated anew, and their approvals lapse: {}",
            plan.lapsing.len(),
            some(&plan.lapsing)
        );
    }
    let Some((name, signer)) = signs else {
        println!("nothing was signed: no --key");
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
    println!("{} signed {count} statements, all logged", name.name);
    Ok(ExitCode::SUCCESS)
}

/// Writes all that stands as JSON lines.
pub(super) async fn export(context: &Context, out: Option<&Path>) -> Result<ExitCode, Failure> {
    let stands = standing(context, &mut context.client().await?).await?;
    let text = import::write(&stands).map_err(Failure::io)?;
    match out {
        Some(out) => {
            create_private(out, text.as_bytes())?;
            println!("wrote {} lines to {}", text.lines().count(), out.display());
        }
        None => print!("{text}"),
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
    let stands = standing(context, &mut client).await?;
    let listed = stands.tenants.iter().filter(|(_, (_, is))| is == state);
    let mut dossiers = Vec::new();
    for (tenant, _) in listed {
        dossiers.push(dossier(&mut client, tenant).await?);
    }
    if dossiers.is_empty() {
        return Err(Failure::usage(format!(
            "no tenant is in state `{state}`; `tenant list` shows them"
        )));
    }
    let text = review::list(state, &dossiers, &hits(&mut client).await?);
    create_private(out, text.as_bytes())?;
    println!("{} tenants in {}", dossiers.len(), out.display());
    println!("sha256  {}", digest(text.as_bytes()));
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
    println!("{}", summary(&name.name, &stood, reviewed));
    let effective_unix_ms = of.effective.unwrap_or_else(|| context.clock.now_ms());
    let decision = |(tenant, (dossier, digest)): &(String, (v1::Dossier, Digest))| {
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
    println!(
        "{} signed {} decisions, all logged",
        name.name,
        bodies.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// The dossiers of a list as they stand; or all tenants that do not stand as listed.
async fn compare(
    client: &mut Client,
    listed: &[Reviewed],
) -> Result<Vec<(String, (v1::Dossier, Digest))>, Failure> {
    let mut stood = Vec::with_capacity(listed.len());
    let mut faults = Vec::new();
    let hits = hits(client).await?;
    for one in listed {
        match dossier(client, &one.tenant).await {
            Ok((dossier, digest)) => match one.differs(&dossier, digest, &hits) {
                Some(fault) => faults.push(fault),
                None => stood.push((one.tenant.clone(), (dossier, digest))),
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
fn summary(officer: &str, stood: &[(String, (v1::Dossier, Digest))], reviewed: Digest) -> String {
    let tenants = stood
        .iter()
        .filter_map(|(_, (dossier, _))| dossier.tenant.as_ref());
    let count = |which: fn(&&v1::Tenant) -> bool| tenants.clone().filter(which).count();
    let mut seats: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, (dossier, _)) in stood {
        for party in &dossier.parties {
            *seats.entry(party.headquarters.as_str()).or_default() += 1;
        }
    }
    let seats = seats.iter().map(|(seat, count)| format!("{seat} {count}"));
    let seats: Vec<String> = seats.collect();
    [
        format!("{officer} approves {} tenants, as reviewed", stood.len()),
        format!("list             {reviewed}"),
        format!(
            "conditions       {} have some, {} none",
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
        format!("headquarters     {}", seats.join(", ")),
    ]
    .join("\n")
}

/// The hits that nobody cleared, in words.
async fn hits(client: &mut Client) -> Result<Vec<Hit>, Failure> {
    let all = client.list(What::Hits).await?;
    let open = screening::hits(&all).filter(|hit| text(hit, "disposition") != "cleared");
    let hit = |hit: &serde_json::Value| {
        let due = hit.get("due_unix_ms").and_then(serde_json::Value::as_u64);
        let due = due.map_or_else(String::new, |due| format!(", due {}", wording::time(due)));
        Hit {
            party: text(hit, "party").to_owned(),
            id: text(hit, "id").to_owned(),
            words: format!(
                "{} {}: {} \"{}\" ~ \"{}\" on list {}{due}",
                text(hit, "class"),
                text(hit, "disposition"),
                text(hit, "party"),
                text(hit, "name"),
                text(hit, "listed"),
                text(hit, "list"),
            ),
        }
    };
    Ok(open.map(hit).collect())
}

async fn dossier(client: &mut Client, tenant: &str) -> Result<(v1::Dossier, Digest), Failure> {
    let asked = rpc::DossierRequest {
        tenant: tenant.to_owned(),
    };
    let bytes = client.calls().dossier(asked).await?.into_inner().dossier;
    let read = v1::Dossier::decode(bytes.as_slice());
    let read = read.map_err(|_| Failure::io("the server's dossier cannot be read"))?;
    Ok((read, digest(&bytes)))
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
    Ok(Standing {
        now_ms: context.clock.now_ms(),
        parties: parties.map(|party| (party.id.clone(), party)).collect(),
        edges: edges
            .map(|edge| ((edge.from.clone(), edge.to.clone(), edge.kind), edge))
            .collect(),
        tenants: tenants
            .zip(all.states)
            .map(|(tenant, state)| (tenant.id.clone(), (tenant, state)))
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
            eprintln!("logged {done} of {count} statements");
        }
    }
    (done, None)
}

fn some(ids: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = ids
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match ids.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}
