//! The office: what officers and readers ask of the running verifier, by socket or over HTTP.
//!
//! It only takes what officers signed; it signs nothing for them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use affiant_judge::{
    admission::open_objection, exhibits, handling::State, listings::Screened, timeline::Moment,
};
use affiant_proto::{Body, Envelope, PublicKey, Statement, digest, v1};
use prost::Message as _;
use serde::Serialize;
use tokio::sync::watch;
use tonic::Status;

use crate::{
    attached,
    clock::Clock,
    form,
    gate::Gate,
    happened,
    ledger::{Exhibits, NotPut},
    lines,
    live::Live,
    overlap,
    retention::Shared,
    rotation::not_logged,
    rpc::admin::{self as rpc, list_request::What},
    told, wording,
    writer::{Published, Submit},
};

/// Most statements in one submission: a file of 250 tenants with their parties and bindings.
pub const MAX_STATEMENTS: usize = 1_000;

/// How often the judge is asked whether it heard what was logged, and for how long: who hands in a
/// statement asks next what became of it.
const HEARD: Duration = Duration::from_millis(20);
const LOOKS: u32 = 500;

/// Answers from what the running verifier holds.
#[derive(Clone)]
pub struct Office {
    /// All hosts, and the newest of operator and officers.
    pub gate: Gate,
    /// The judge.
    pub live: Live,
    /// The writer.
    pub submit: Submit,
    /// The newest checkpoint.
    pub published: watch::Receiver<Published>,
    /// The genesis.
    pub genesis_statement: Vec<u8>,
    /// What was erased, and what is held.
    pub retention: Shared,
    /// Files that statements name by their digest.
    pub exhibits: Exhibits,
    /// The wall clock.
    pub clock: Clock,
    /// One objection at a time: the next is held against those that were heard.
    pub objecting: Arc<tokio::sync::Mutex<()>>,
}

impl Office {
    /// Lists something, as JSON.
    pub async fn list(&self, what: What) -> Result<String, Status> {
        match what {
            What::Hosts => json(&self.gate.hosts.lines()),
            What::Relays => {
                let relays = self.gate.hosts.relays();
                json(&relays.iter().map(|relay| relay.line()).collect::<Vec<_>>())
            }
            What::Findings => json(&self.live.judge().findings()),
            What::Tried => json(&self.live.judge().tried()),
            What::Figures => json(&self.live.judge().figures()),
            What::Tenants => json(&lines::tenants(&self.live.judge(), self.clock.now_ms())),
            What::Parties => json(&lines::parties(self.live.judge().registry())),
            What::Edges => json(&lines::edges(&self.live.judge(), self.clock.now_ms())),
            What::Bindings => json(&lines::bindings(self.live.judge().bindings())),
            What::Officers => {
                let authorities = self.gate.authorities.borrow().clone();
                json(&lines::officers(&authorities, &self.live.judge()))
            }
            What::Keys => {
                let authorities = self.gate.authorities.borrow().clone();
                json(&lines::keys(&authorities, &self.live.judge()))
            }
            What::Holds => json(&lines::holds(self.retention.lock().holds())),
            What::Lists => json(&self.live.judge().registry().lists().collect::<Vec<_>>()),
            What::Hits => json(&self.hits().await?),
            What::Declared => json(&self.live.judge().declared()),
            What::Packs => json(&self.live.judge().pack_lines()),
            What::Unspecified => Err(Status::invalid_argument("nothing to list")),
        }
    }

    /// What the lists in force say of all parties by now. Screens on a thread of its own, on a copy of
    /// the registry; what is found the judge finds again without screening.
    async fn hits(&self) -> Result<Screened, Status> {
        let (registry, now, days) = {
            let judge = self.live.judge();
            let days = judge.pack().parameters().hit_days();
            // What was just decided works by the wall clock; the log's time may lie before it.
            let now = judge.now_unix_ms().max(self.clock.now_ms());
            (judge.registry().clone(), now, days)
        };
        let at = Moment::as_known_now(u64::MAX, now);
        let screen = move || {
            let mut screened = registry.screened(at);
            screened.give(days);
            screened
        };
        let screened = tokio::task::spawn_blocking(screen).await;
        screened.map_err(|_| Status::internal("screening was interrupted"))
    }

    /// Where the next statement of the officer with a key stands.
    pub fn head(&self, key: &[u8]) -> Result<rpc::OfficerHeadReply, Status> {
        let key = PublicKey::ed25519(key);
        let key = key.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let officers = self.gate.authorities.borrow().clone();
        let state = officers.officer_with(&key);
        Ok(rpc::OfficerHeadReply {
            genesis: officers.genesis().as_bytes().to_vec(),
            chain: state
                .map(|s| s.chain().as_bytes().to_vec())
                .unwrap_or_default(),
            sequence: state.map(|s| s.sequence()).unwrap_or_default(),
            head: state
                .map(|s| s.head().as_bytes().to_vec())
                .unwrap_or_default(),
            checkpoint: self.published.borrow().note.to_vec(),
        })
    }

    /// Logs statements that officers signed, all or none; gives their indices, once the judge has heard them
    /// or does not come to it.
    ///
    /// What is refused is told in the journal too: an attempt is evidence.
    pub async fn submit(&self, statements: &[Vec<u8>]) -> Result<Vec<u64>, Status> {
        let taken = self.take(statements).await;
        if let Err(refused) = &taken {
            let why = wording::plain(refused.message());
            tracing::warn!(why, "statements of an officer were refused");
        }
        taken
    }

    async fn take(&self, statements: &[Vec<u8>]) -> Result<Vec<u64>, Status> {
        if statements.len() > MAX_STATEMENTS {
            return Err(Status::invalid_argument(format!(
                "at most {MAX_STATEMENTS} statements at once"
            )));
        }
        if let [only] = statements
            && let Ok(statement) = Statement::parse(only)
            && matches!(statement.body(), Body::Objection(_))
        {
            return Ok(vec![self.object(statement).await?]);
        }
        let mut parsed = Vec::with_capacity(statements.len());
        let wrong = |number: usize, why: &dyn std::fmt::Display| {
            Status::invalid_argument(format!("statement {number}: {why}; nothing was logged"))
        };
        for (number, bytes) in (1..).zip(statements) {
            let statement = Statement::parse(bytes).map_err(|e| wrong(number, &e))?;
            if statement.header().chain() == Some(digest(&self.genesis_statement))
                || matches!(statement.body(), Body::Genesis(_))
            {
                return Err(wrong(number, &"not an officer's statement"));
            }
            if let Some(named) = exhibits::named(statement.body())
                && !self.exhibits.path(&named).is_file()
            {
                let why = format!("names file {named}, which was not given; give it first");
                return Err(wrong(number, &why));
            }
            if let Some(fault) = form::body(statement.body()).first() {
                return Err(wrong(number, fault));
            }
            if let Some(why) = self.unfit(statement.body()).await? {
                return Err(wrong(number, &why));
            }
            parsed.push(statement);
        }
        if let Some((number, why)) = self.overlapping(&parsed) {
            return Err(wrong(number, &why));
        }
        if let Some((number, why)) = self.in_vain(&parsed) {
            return Err(wrong(number, &why));
        }
        let logged = self.submit.officers(parsed).await.map_err(not_logged)?;
        let indices = logged.map_err(|(number, why)| wrong(number, &why))?;
        if let Some(last) = indices.last() {
            self.heard(*last).await;
        }
        Ok(indices)
    }

    /// Why the file that a statement names cannot be what it is to be.
    async fn unfit(&self, body: &Body) -> Result<Option<String>, Status> {
        let Some(named) = exhibits::named(body) else {
            return Ok(None);
        };
        let (exhibits, body, live) = (self.exhibits.clone(), body.clone(), self.live.clone());
        let look = move || {
            let file = exhibits.get(&named)?;
            Ok(file.and_then(|file| attached::unfit(&body, &file, || live.judge().pack_lines())))
        };
        let looked = tokio::task::spawn_blocking(look).await;
        let looked = looked.map_err(|_| Status::internal("the file was not read"))?;
        looked.map_err(|error: std::io::Error| Status::internal(error.to_string()))
    }

    /// The first of the statements that binds what is another tenant's, and why.
    fn overlapping(&self, statements: &[Statement]) -> Option<(usize, String)> {
        let bound = |body: &Body| match body {
            Body::BindingEvent(event) if !event.withdrawn => event.binding.clone(),
            _ => None,
        };
        let new: Vec<(usize, v1::Binding)> = (1..)
            .zip(statements)
            .filter_map(|(number, statement)| Some((number, bound(statement.body())?)))
            .collect();
        if new.is_empty() {
            return None;
        }
        // What ends in the same breath binds nothing beside it.
        let ended = statements.iter().filter_map(|it| match it.body() {
            Body::BindingEvent(event) if event.withdrawn => event.binding.as_ref(),
            _ => None,
        });
        let ended: Vec<&str> = ended.map(|binding| binding.id.as_str()).collect();
        let judge = self.live.judge();
        let stands = judge.bindings().all().filter(|(_, withdrawn)| !withdrawn);
        let stands = stands.map(|(binding, _)| binding);
        let stands = stands.filter(|binding| !ended.contains(&binding.id.as_str()));
        let bindings = new.iter().map(|(_, binding)| binding);
        let found = overlap::find(bindings, stands, judge.now_unix_ms());
        let first = found.into_iter().next()?;
        let at = new.iter().find(|(_, it)| it.id == first.binding);
        let number = at.map_or(1, |(number, _)| *number);
        let (id, field) = (&first.binding, first.field);
        Some((number, format!("binding `{id}`, {field}: {}", first.text)))
    }

    /// The first of the statements that changes nothing that it says it changes, and why: a binding is withdrawn
    /// that is withdrawn already, or one officer would settle what two withdrew.
    fn in_vain(&self, statements: &[Statement]) -> Option<(usize, String)> {
        let judge = self.live.judge();
        let mut ended: BTreeMap<&str, bool> = BTreeMap::new();
        let mut findings = None;
        for (number, statement) in (1..).zip(statements) {
            match statement.body() {
                Body::BindingEvent(event) => {
                    let id = event.binding.as_ref().map_or("", |it| it.id.as_str());
                    let is_ended = *ended.entry(id).or_insert_with(|| {
                        let mut all = judge.bindings().all();
                        all.any(|(it, withdrawn)| it.id == id && withdrawn)
                    });
                    if event.withdrawn && is_ended {
                        return Some((number, format!("binding `{id}` is withdrawn already")));
                    }
                    ended.insert(id, event.withdrawn);
                }
                Body::Decision(decision) if !decision.finding.is_empty() => {
                    let takes = decision.verdict != i32::from(v1::Verdict::Withdraw);
                    let all = findings.get_or_insert_with(|| judge.findings());
                    let handling = all.iter().find(|it| it.id == decision.finding);
                    let handling = handling.and_then(|it| it.handling.as_ref());
                    let stands = handling
                        .filter(|it| takes && it.state == State::Withdrawn && it.is_settled());
                    if let Some(handling) = stands {
                        let id = &decision.finding;
                        return Some((
                            number,
                            format!(
                                "finding {id} is {handling}; what two officers withdrew no single one takes \
                                 back while no evidence is logged after it"
                            ),
                        ));
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Waits until the judge has heard an entry, or for as long as anybody waits for it.
    async fn heard(&self, index: u64) {
        for _ in 0..LOOKS {
            if self.live.heard() > index {
                return;
            }
            tokio::time::sleep(HEARD).await;
        }
    }

    /// Logs a tenant's objection where it counts; gives its index, for the same statement the same.
    async fn object(&self, statement: Statement) -> Result<u64, Status> {
        let wrong = |why: &dyn std::fmt::Display| {
            Status::invalid_argument(format!("{why}; nothing was logged"))
        };
        // Signed, before anything is looked up for it.
        let (_, admitted) = open_objection(statement.clone(), digest(&self.genesis_statement))
            .map_err(|refusal| wrong(&refusal))?;
        let _one = self.objecting.lock().await;
        let named = statement.digest();
        let Body::Objection(body) = statement.body() else {
            return Err(Status::invalid_argument("not an objection"));
        };
        {
            let judge = self.live.judge();
            if let Some(index) = judge.objection_index(&named) {
                return Ok(index);
            }
            if let Some(fault) = form::body(statement.body()).first() {
                let why = format!("{fault}; nothing was logged");
                return Err(Status::invalid_argument(why));
            }
            let may = judge.may_object(body, judge.now_unix_ms());
            may.map_err(|why| Status::failed_precondition(format!("{why}; nothing was logged")))?;
            let is_it = |finding: &affiant_judge::Finding| finding.id == body.finding;
            let known = body.finding.is_empty()
                || judge.findings().iter().any(is_it)
                || judge.tried().iter().any(is_it);
            if !known {
                return Err(Status::failed_precondition(format!(
                    "no finding {}; `findings` and each report show their ids; nothing was logged",
                    body.finding
                )));
            }
        }
        let envelope = Envelope::join(statement, None).map_err(|bad| wrong(&bad))?;
        let logged = self.submit.logged(admitted, &envelope, None).await;
        let index = logged.map_err(not_logged)?;
        self.heard(index).await;
        Ok(index)
    }

    /// Takes a tenant's objection as it was made on its machine; gives its index.
    pub async fn objection(&self, bytes: &[u8]) -> Result<u64, Status> {
        let statement = Statement::parse(bytes);
        let statement = statement.map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.object(statement).await
    }

    /// Keeps a file that a statement to come names, on the disk alone; gives its digest.
    pub async fn put(
        &self,
        content: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<affiant_proto::Digest, Status> {
        let exhibits = self.exhibits.clone();
        let put = tokio::task::spawn_blocking(move || exhibits.put(content.as_ref())).await;
        let put = put.map_err(|_| Status::internal("the file was not kept"))?;
        put.map_err(|error| match error {
            NotPut::TooLong => Status::invalid_argument(error.to_string()),
            NotPut::Full { .. } | NotPut::TooMany(_) => {
                Status::resource_exhausted(error.to_string())
            }
            NotPut::Io { .. } => Status::internal(error.to_string()),
        })
    }

    /// What an approval of a tenant would cover, as it stands now, and what stands beside it.
    pub fn dossier(&self, tenant: &str) -> Result<rpc::DossierReply, Status> {
        let judge = self.live.judge();
        let dossier = judge.registry().dossier(tenant);
        let dossier = dossier.ok_or_else(|| nobody(tenant))?;
        Ok(rpc::DossierReply {
            dossier: dossier.encode_to_vec(),
            json: json(&told::beside(&judge, tenant, self.clock.now_ms()))?,
        })
    }

    /// How a tenant stood at an instant, or stands now: as known then, and as known at another or now.
    pub fn tenant_at(
        &self,
        tenant: &str,
        at_unix_ms: Option<u64>,
        known_unix_ms: Option<u64>,
    ) -> Result<String, Status> {
        let now = self.clock.now_ms();
        let judge = self.live.judge();
        let at = at_unix_ms.unwrap_or_else(|| judge.now_unix_ms().max(now));
        let views = lines::views(&judge, tenant, at, known_unix_ms, now);
        json(&views.ok_or_else(|| nobody(tenant))?)
    }

    /// What happened to a tenant and to the parties of its dossier.
    pub fn history(&self, tenant: &str) -> Result<String, Status> {
        let lines = happened::lines(&self.live.judge(), tenant);
        json(&lines.ok_or_else(|| nobody(tenant))?)
    }
}

fn nobody(tenant: &str) -> Status {
    Status::not_found(format!("no tenant `{tenant}`; `tenant list` shows them"))
}

fn json(value: &impl Serialize) -> Result<String, Status> {
    serde_json::to_string(value).map_err(|error| Status::internal(error.to_string()))
}
