//! The registry: a projection of the log into SQLite, for people and tools that ask in SQL.
//!
//! Nothing is decided from it. It is written at most once a second and for at most a fiftieth of the
//! time, in multi-row statements, and
//! [`Registry::rebuild`] makes it again from the log: the same rows, by the same digest.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use affiant_judge::{Judge, Parameters, admission::Sources};
use affiant_proto::{Digest, digest};
use serde::Serialize;
use serde_json::Value;
use sqlx::{AnyPool, any::AnyPoolOptions};
use tokio_util::sync::CancellationToken;

use crate::{
    hosts::Hosts,
    ledger::{Entries, Exhibits, Reader},
    live::Live,
    replay::{BadLog, replay},
};

/// How often the projection follows the judge, at most.
const EVERY: Duration = Duration::from_secs(1);

/// How many times as long as it took to write it rests before it is written again: with 125,000
/// hosts all rows take a second or two, and intake needs that time more.
const REST: u32 = 50;

/// How long to wait for a segment to be judged.
const STILL: Duration = Duration::from_millis(20);

/// Rows of one INSERT: 200 rows × 5 columns stay below SQLite's bound of 32,766 parameters.
const ROWS: usize = 200;

/// Tables with one row per thing, its key and its whole description as JSON; the columns that are
/// asked for most stand beside it.
const TABLES: [&str; 4] = ["hosts", "tenants", "findings", "figures"];

/// Why the registry was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The database.
    #[error(
        "registry: {0}; it is a projection: move the file away and run `affiant-verifier rebuild`"
    )]
    Database(#[from] sqlx::Error),
    /// The log, on a rebuild.
    #[error(transparent)]
    Log(#[from] BadLog),
    /// Something could not be put in JSON.
    #[error("registry: {0}")]
    Json(#[from] serde_json::Error),
    /// The work was interrupted.
    #[error("registry: rebuild was interrupted")]
    Interrupted,
}

/// The open registry.
#[derive(Clone)]
pub struct Registry {
    pool: AnyPool,
    exhibits: Exhibits,
    sources: Sources,
    parameters: Parameters,
}

/// What a rebuild did.
pub struct Rebuilt {
    /// Entries of the log that were read.
    pub entries: u64,
    /// Digest of the rows before.
    pub before: Digest,
    /// Digest of the rows after.
    pub after: Digest,
}

/// One row: key, state, text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    key: String,
    name: String,
    state: String,
    body: String,
}

/// All rows, by table.
type Rows = Vec<(&'static str, Vec<Row>)>;

impl Registry {
    /// Opens or makes the database.
    pub async fn open(
        path: &Path,
        exhibits: Exhibits,
        sources: Sources,
        parameters: Parameters,
    ) -> Result<Self, RegistryError> {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let pool = AnyPoolOptions::new()
            .max_connections(1)
            .connect(&url)
            .await?;
        for table in TABLES {
            let create = format!(
                "create table if not exists {table} (key text primary key, name text not null, \
                 state text not null, body text not null)"
            );
            sqlx::query(sqlx::AssertSqlSafe(create))
                .execute(&pool)
                .await?;
        }
        Ok(Self {
            pool,
            exhibits,
            sources,
            parameters,
        })
    }

    /// Follows the judge until stopped.
    pub async fn follow(self, live: Live, hosts: Arc<Hosts>, stop: CancellationToken) {
        let mut written = None;
        loop {
            let (heard, begun) = (live.heard(), Instant::now());
            if written != Some(heard) {
                let rows = rows(&live.judge(), &hosts);
                match async { self.write(rows?).await }.await {
                    Ok(()) => written = Some(heard),
                    Err(error) => tracing::error!(%error, "could not write the registry"),
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY.max(begun.elapsed() * REST)) => {}
            }
        }
    }

    /// Makes all rows again from the log, and compares them with what the live judge had.
    pub async fn rebuild(
        &self,
        reader: &Reader,
        live: &Live,
        hosts: &Hosts,
    ) -> Result<Rebuilt, RegistryError> {
        // Segments come and go meanwhile: compare at a size at which the judge stood still.
        let (size, rows) = loop {
            let size = live.heard();
            let now = rows(&live.judge(), hosts)?;
            if live.heard() == size && reader.size() == size {
                break (size, now);
            }
            tokio::time::sleep(STILL).await;
        };
        self.write(rows).await?;
        let before = self.dump().await?;
        let (entries, exhibits, sources, parameters) = (
            reader.entries(0..size),
            self.exhibits.clone(),
            self.sources,
            self.parameters.clone(),
        );
        let fresh =
            tokio::task::spawn_blocking(move || from_log(entries, &exhibits, sources, &parameters))
                .await
                .map_err(|_| RegistryError::Interrupted)??;
        self.write(fresh).await?;
        Ok(Rebuilt {
            entries: size,
            before,
            after: self.dump().await?,
        })
    }

    async fn write(&self, rows: Rows) -> Result<(), RegistryError> {
        let mut transaction = self.pool.begin().await?;
        for (table, rows) in rows {
            sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table}")))
                .execute(&mut *transaction)
                .await?;
            for chunk in rows.chunks(ROWS) {
                let places: Vec<String> = (0..chunk.len())
                    .map(|row| {
                        format!(
                            "(${}, ${}, ${}, ${})",
                            4 * row + 1,
                            4 * row + 2,
                            4 * row + 3,
                            4 * row + 4
                        )
                    })
                    .collect();
                let insert = format!(
                    "insert into {table} (key, name, state, body) values {}",
                    places.join(", ")
                );
                let mut query = sqlx::query(sqlx::AssertSqlSafe(insert));
                for row in chunk {
                    query = query
                        .bind(row.key.clone())
                        .bind(row.name.clone())
                        .bind(row.state.clone())
                        .bind(row.body.clone());
                }
                query.execute(&mut *transaction).await?;
            }
        }
        Ok(transaction.commit().await?)
    }

    /// SHA-256 over all rows in the order of table and key.
    async fn dump(&self) -> Result<Digest, RegistryError> {
        let mut all = Vec::new();
        for table in TABLES {
            let select = format!("select key, name, state, body from {table} order by key");
            let rows: Vec<(String, String, String, String)> =
                sqlx::query_as(sqlx::AssertSqlSafe(select))
                    .fetch_all(&self.pool)
                    .await?;
            serde_json::to_writer(&mut all, &(table, rows))?;
        }
        Ok(digest(&all))
    }
}

fn from_log(
    entries: Entries,
    exhibits: &Exhibits,
    sources: Sources,
    parameters: &Parameters,
) -> Result<Rows, RegistryError> {
    let replayed = replay(entries, exhibits, sources, parameters)?;
    rows(&replayed.judge, &replayed.hosts)
}

fn rows(judge: &Judge, hosts: &Hosts) -> Result<Rows, RegistryError> {
    let lines = hosts.lines();
    let hosts = lines
        .iter()
        .map(|line| row(&line.chain, &line.host, line.standing, line));
    let registry = judge.registry();
    let tenants = registry.tenants().map(|tenant| {
        row(
            &tenant.id,
            &tenant.customer,
            // By the log's own time: the same log gives the same rows.
            &registry.stands(&tenant.id, judge.now_unix_ms()).state,
            registry.changes(&tenant.id),
        )
    });
    let findings = judge.findings();
    let findings = findings.iter().map(|finding| {
        let body = serde_json::to_value(finding)?;
        let text = |key: &str| {
            body.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        row(&text("id"), &text("rule"), text("severity"), &body)
    });
    let figures = std::iter::once(row("all", "figures", "", judge.figures()));
    Ok(vec![
        ("hosts", hosts.collect::<Result<_, _>>()?),
        ("tenants", tenants.collect::<Result<_, _>>()?),
        ("findings", findings.collect::<Result<_, _>>()?),
        ("figures", figures.collect::<Result<_, _>>()?),
    ])
}

fn row(
    key: &str,
    name: &str,
    state: impl Serialize,
    body: impl Serialize,
) -> Result<Row, serde_json::Error> {
    let state = serde_json::to_value(state)?
        .as_str()
        .unwrap_or_default()
        .to_owned();
    Ok(Row {
        key: key.to_owned(),
        name: name.to_owned(),
        state,
        body: serde_json::to_string(&body)?,
    })
}
