//! The API: what officers and schedulers ask over HTTP, with a token for each right.
//!
//! It is on the address of statements, under `/v1/`. Officers sign on their own machine; the server takes
//! what they signed and never signs for them. `openapi.json` says what each path takes and gives.

mod admission;
mod body;
mod pod;
mod route;

use affiant_judge::asking::Question;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hyper::{HeaderMap, Method, StatusCode, body::Bytes, header::AUTHORIZATION};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::{
    clock::Clock,
    http::{Readers, Right},
    office::Office,
};
pub use admission::{Place, Unknown};
pub use body::{Due, MAX_BODY_BYTES};
use route::Route;

/// The paths under which the API is.
pub const PREFIX: &str = "/v1/";

/// What the API says of itself.
const OPENAPI: &str = include_str!("openapi.json");

/// Answers requests.
#[derive(Clone)]
pub struct Api {
    /// What the running verifier holds.
    pub office: Office,
    /// Who may ask what.
    pub readers: Readers,
    /// The wall clock.
    pub clock: Clock,
}

/// An answer in JSON.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statements {
    statements: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Objection {
    statement: String,
}

#[derive(Serialize)]
struct Head {
    genesis: String,
    chain: String,
    sequence: u64,
    head: String,
    checkpoint: String,
}

/// A request whose caller has the right to it; its body is not read yet.
#[derive(Debug)]
pub struct Granted(Route);

impl Granted {
    /// By which right it is.
    pub fn right(&self) -> Right {
        self.0.right()
    }

    /// What its body may be.
    pub fn body(&self) -> Due {
        Due::of(&self.0)
    }
}

impl Api {
    /// Whether this caller has the right that a path wants; asked before its body is read.
    pub fn grant(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Granted, Answer> {
        let route = Route::parse(method, path, query)?;
        if route == Route::OpenApi {
            return Ok(Granted(route));
        }
        let token = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let due = route.right();
        match token.and_then(|token| self.readers.who(token)) {
            Some(reader) if reader.may(due) => {
                tracing::debug!(reader = reader.name, path, "asks the api");
                Ok(Granted(route))
            }
            Some(reader) => Err(refused(
                StatusCode::FORBIDDEN,
                &format!(
                    "{} may not {due}; verifier.toml says what each token may",
                    reader.name
                ),
            )),
            None => Err(refused(
                StatusCode::UNAUTHORIZED,
                "a token is due: Authorization: Bearer TOKEN",
            )),
        }
    }

    /// Answers a request whose caller has the right to it.
    pub async fn answer(&self, asked: Granted, body: Bytes) -> Answer {
        self.take(asked.0, body)
            .await
            .unwrap_or_else(|status| refused(code(&status), status.message()))
    }

    async fn take(&self, route: Route, body: Bytes) -> Result<Answer, Status> {
        Ok(match route {
            Route::OpenApi => fine(OPENAPI.to_owned()),
            Route::List(what) => fine(self.office.list(what).await?),
            Route::Dossier(tenant) => {
                let dossier = self.office.dossier(&tenant)?;
                let digest = affiant_proto::digest(&dossier.dossier).to_string();
                let beside: Value = read(dossier.json.as_bytes())?;
                let dossier = BASE64.encode(&dossier.dossier);
                let said = json!({
                    "tenant": tenant, "digest": digest, "dossier": dossier, "beside": beside
                });
                fine(said.to_string())
            }
            Route::At(tenant, when) => fine(self.office.tenant_at(&tenant, when.at, when.known)?),
            Route::History(tenant) => fine(self.office.history(&tenant)?),
            Route::Head(key) => {
                let head = self.office.head(&key)?;
                let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let head = Head {
                    genesis: hex(&head.genesis),
                    chain: hex(&head.chain),
                    sequence: head.sequence,
                    head: hex(&head.head),
                    checkpoint: String::from_utf8_lossy(&head.checkpoint).into_owned(),
                };
                fine(spell(&head)?)
            }
            Route::Statements => {
                let asked: Statements = read(&body)?;
                let mut statements = Vec::with_capacity(asked.statements.len());
                for (number, text) in (1..).zip(&asked.statements) {
                    let read = BASE64.decode(text).map_err(|error| {
                        Status::invalid_argument(format!("statement {number}: {error}"))
                    });
                    statements.push(read?);
                }
                let indices = self.office.submit(&statements).await?;
                fine(json!({ "indices": indices }).to_string())
            }
            Route::Objection => {
                let asked: Objection = read(&body)?;
                let statement = BASE64.decode(&asked.statement);
                let statement = statement
                    .map_err(|error| Status::invalid_argument(format!("statement: {error}")))?;
                let index = self.office.objection(&statement).await?;
                fine(json!({ "index": index }).to_string())
            }
            Route::Exhibit => {
                let named = self.office.put(body).await?;
                fine(json!({ "sha256": named.to_string() }).to_string())
            }
            Route::Check => {
                let question: Question = read(&body)?;
                let answer = self.office.live.judge().ask(&question, self.clock.now_ms());
                fine(spell(&answer)?)
            }
            Route::Admission(place) => {
                let review: Value = read(&body)?;
                // Read before the judge is held, and spelled after it.
                let review = admission::Review::parse(&review)?;
                let said = review.say(&self.office.live.judge(), &place, self.clock.now_ms());
                fine(review.answer(said, place.unknown).to_string())
            }
        })
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Status> {
    serde_json::from_slice(body)
        .map_err(|error| Status::invalid_argument(format!("the body is not what is due: {error}")))
}

fn spell(value: &impl Serialize) -> Result<String, Status> {
    serde_json::to_string(value).map_err(|error| Status::internal(error.to_string()))
}

fn fine(body: String) -> Answer {
    Answer {
        status: StatusCode::OK,
        body,
    }
}

fn refused(status: StatusCode, why: &str) -> Answer {
    Answer {
        status,
        body: json!({ "error": why }).to_string(),
    }
}

fn code(status: &Status) -> StatusCode {
    match status.code() {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::ResourceExhausted => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a token may be given for.
impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Ask => "ask",
            Self::Object => "object",
        })
    }
}
