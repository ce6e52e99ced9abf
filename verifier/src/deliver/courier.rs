//! Brings one receiver what it lacks, one request at a time, until stopped.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use affiant_judge::Finding;
use affiant_report::hidden::is_hidden;
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue},
};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Standings,
    body::{self, LogName},
    kept::{Due, Kept},
    pause::Pause,
    receiver::{Kind, Receiver},
    shape::Event,
    snapshot::Snapshot,
};
use crate::{clock::Clock, keyfile::KeyFileError, outgoing::NoAnswer};

/// How long one request may take, from the connection to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an event waits that the receiver refused by itself; others go on meanwhile.
const ASIDE: Duration = Duration::from_secs(300);

/// Events set aside at one time, 64 bytes each; beyond them a refusal holds the receiver up.
const MOST_ASIDE: usize = 10_000;

/// Alerts of one request: some 100 KB.
const BATCH: usize = 64;

/// How often alerts are sent again that stand: well within [`body::LASTS_MS`], with three tries.
const AGAIN: Duration = Duration::from_secs(60);

/// Longest text of an error that is kept.
const MAX_ERROR: usize = 300;

/// Why something was not delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("did not answer within 10 s")]
    Slow,
    #[error("answered {0}: redirects are not followed; name the URL that it points to")]
    Redirect(StatusCode),
    #[error("answered {0}: {1}")]
    Refused(StatusCode, String),
    #[error(transparent)]
    File(#[from] KeyFileError),
    #[error("not to be written: {0}")]
    Header(#[from] InvalidHeaderValue),
    #[error("not to be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl NotTaken {
    /// Whether it is about this event and not about the receiver.
    fn is_of_the_event(&self) -> bool {
        matches!(
            self,
            Self::Refused(
                StatusCode::BAD_REQUEST
                    | StatusCode::PAYLOAD_TOO_LARGE
                    | StatusCode::UNPROCESSABLE_ENTITY,
                _
            ) | Self::Header(_)
                | Self::Json(_)
        )
    }
}

/// What one round came to.
enum Round {
    /// The receiver has all that can be brought to it now.
    Done,
    /// The judge says something newer.
    Stale,
}

/// The way to one receiver.
pub(super) struct Courier {
    pub(super) receiver: Receiver,
    pub(super) log: LogName,
    pub(super) kept: Kept,
    pub(super) shown: watch::Receiver<Arc<Snapshot>>,
    pub(super) standings: Standings,
    pub(super) clock: Clock,
    pause: Pause,
    aside: BTreeMap<String, Instant>,
    /// When all alerts that stand were sent last.
    again: Option<Instant>,
}

impl Courier {
    pub(super) fn new(
        receiver: Receiver,
        log: LogName,
        kept: Kept,
        shown: watch::Receiver<Arc<Snapshot>>,
        standings: Standings,
        clock: Clock,
    ) -> Self {
        Self {
            receiver,
            log,
            kept,
            shown,
            standings,
            clock,
            pause: Pause::default(),
            aside: BTreeMap::new(),
            again: None,
        }
    }

    /// Delivers until stopped.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let snapshot = self.shown.borrow_and_update().clone();
            let due = self.due(&snapshot);
            let now_ms = self.clock.now_ms();
            self.standings
                .waiting(&self.receiver.name, due.len(), now_ms);
            let round = tokio::select! {
                () = stop.cancelled() => return,
                round = self.round(&snapshot, due) => round,
            };
            let wait = match round {
                Ok(Round::Stale) => continue,
                Ok(Round::Done) => AGAIN,
                Err(error) => {
                    let wait = self.pause.next();
                    let receiver = &self.receiver.name;
                    tracing::warn!(receiver, %error, ?wait, "findings could not be delivered");
                    self.fail(&error);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(wait) => continue,
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.shown.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn fail(&self, error: &NotTaken) {
        let text: String = error.to_string().chars().take(MAX_ERROR).collect();
        self.standings.failed(&self.receiver.name, text);
    }

    /// Everything that the receiver lacks, the oldest change first.
    fn due(&self, snapshot: &Snapshot) -> Vec<Due> {
        let of_its = |finding: &&Finding| finding.severity >= self.receiver.least;
        let changed = snapshot.findings().filter(of_its).filter_map(|finding| {
            let due = self.kept.due(finding)?;
            // An alert that never stood is none.
            let never = self.receiver.kind == Kind::Alertmanager
                && due.number == 0
                && !body::stands(finding);
            (!never).then_some((finding.opened_unix_ms, due))
        });
        let mut all: Vec<(u64, Due)> = changed.collect();
        let gone = self.kept.gone(|id| snapshot.finding(id).is_some());
        all.extend(gone.map(|due| (0, due)));
        all.sort_by(|a, b| (a.0, &a.1.id).cmp(&(b.0, &b.1.id)));
        all.into_iter().map(|(_, due)| due).collect()
    }

    async fn round(&mut self, snapshot: &Snapshot, due: Vec<Due>) -> Result<Round, NotTaken> {
        let now = Instant::now();
        self.aside.retain(|_, until| *until > now);
        let due = due
            .into_iter()
            .filter(|due| !self.aside.contains_key(&due.id));
        let due: Vec<Due> = due.collect();
        match self.receiver.kind {
            Kind::Webhook => self.events(snapshot, due).await,
            Kind::Alertmanager => self.alerts(snapshot, due).await,
        }
    }

    /// Posts an event for each change.
    async fn events(&mut self, snapshot: &Snapshot, due: Vec<Due>) -> Result<Round, NotTaken> {
        for due in due {
            let event = body::event(&self.log, &due, snapshot);
            let id = body::event_id(&self.log, &due);
            let name = due
                .events
                .first()
                .map_or("", |event: &Event| event.as_str());
            match self
                .post(
                    &event,
                    &[("affiant-event", name), ("affiant-event-id", &id)],
                )
                .await
            {
                Ok(()) => self.took(&[due], snapshot),
                Err(error) => self.set_aside(&[&due.id], error)?,
            }
            if self.shown.has_changed().unwrap_or(true) {
                return Ok(Round::Stale);
            }
        }
        Ok(Round::Done)
    }

    /// Posts alerts that begin or end, and now and then all that stand.
    async fn alerts(&mut self, snapshot: &Snapshot, due: Vec<Due>) -> Result<Round, NotTaken> {
        let now = Instant::now();
        let all = self
            .again
            .is_none_or(|last| now.duration_since(last) >= AGAIN);
        // What is gone has no labels left; its alert ends by itself.
        let (gone, due): (Vec<Due>, Vec<Due>) = due
            .into_iter()
            .partition(|due| snapshot.finding(&due.id).is_none());
        self.took(&gone, snapshot);
        for batch in due.chunks(BATCH) {
            let findings = batch.iter().filter_map(|due| snapshot.finding(&due.id));
            match self.post_alerts(findings).await {
                Ok(()) => self.took(batch, snapshot),
                Err(error) if batch.len() > 1 && error.is_of_the_event() => {
                    // It is about one of them: the others go without it.
                    for due in batch {
                        match self
                            .post_alerts(snapshot.finding(&due.id).into_iter())
                            .await
                        {
                            Ok(()) => self.took(std::slice::from_ref(due), snapshot),
                            Err(error) => self.set_aside(&[&due.id], error)?,
                        }
                    }
                }
                Err(error) => self.set_aside(&ids(batch), error)?,
            }
        }
        if all {
            self.stand(snapshot).await?;
            self.again = Some(now);
        }
        Ok(Round::Done)
    }

    /// Posts all alerts that stand, so that none ends by itself.
    async fn stand(&mut self, snapshot: &Snapshot) -> Result<(), NotTaken> {
        let standing = snapshot.findings().filter(|finding| {
            finding.severity >= self.receiver.least
                && body::stands(finding)
                && !self.aside.contains_key(&finding.id)
        });
        let standing: Vec<&Finding> = standing.collect();
        for batch in standing.chunks(BATCH) {
            match self.post_alerts(batch.iter().copied()).await {
                Err(error) if batch.len() > 1 && error.is_of_the_event() => {
                    for finding in batch {
                        if let Err(error) = self.post_alerts(std::iter::once(*finding)).await {
                            self.set_aside(&[&finding.id], error)?;
                        }
                    }
                }
                Err(error) => {
                    let ids: Vec<&str> = batch.iter().map(|it| it.id.as_str()).collect();
                    self.set_aside(&ids, error)?;
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn post_alerts(&self, findings: impl Iterator<Item = &Finding>) -> Result<(), NotTaken> {
        let now_ms = self.clock.now_ms();
        let alerts = findings.map(|finding| body::alert(&self.log, finding, now_ms));
        self.post(&alerts.collect(), &[]).await
    }

    async fn post(&self, body: &Value, named: &[(&'static str, &str)]) -> Result<(), NotTaken> {
        let body = serde_json::to_vec(body)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in named {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        self.receiver.authorize(&mut headers)?;
        if let Some((seconds, signature)) = self.receiver.sign(self.clock.now_ms(), &body)? {
            let time = HeaderValue::from(seconds);
            headers.insert(HeaderName::from_static("affiant-timestamp"), time);
            let signature = HeaderValue::from_str(&format!("v1={signature}"))?;
            headers.insert(HeaderName::from_static("affiant-signature"), signature);
        }
        let sent = tokio::time::timeout(PATIENCE, self.receiver.place.post(headers, body));
        let (status, answer) = sent.await.map_err(|_| NotTaken::Slow)??;
        if status.is_success() {
            return Ok(());
        }
        if status.is_redirection() {
            return Err(NotTaken::Redirect(status));
        }
        // It is shown to people: nothing that moves a cursor or turns the text around.
        let text = String::from_utf8_lossy(&answer);
        let text = text.chars().filter(|c| !is_hidden(*c)).take(200).collect();
        Err(NotTaken::Refused(status, text))
    }

    fn took(&mut self, taken: &[Due], snapshot: &Snapshot) {
        for due in taken {
            if let Err(error) = self.kept.took(due, snapshot.now_ms()) {
                let receiver = &self.receiver.name;
                tracing::warn!(receiver, %error, "what was delivered is sent again after a restart");
            }
        }
        if !taken.is_empty() {
            self.pause.reset();
            let now_ms = self.clock.now_ms();
            self.standings
                .took(&self.receiver.name, taken.len(), now_ms);
        }
    }

    /// Leaves what the receiver refuses by itself for later, so that the rest goes on.
    fn set_aside(&mut self, refused: &[&str], error: NotTaken) -> Result<(), NotTaken> {
        let room = MOST_ASIDE.saturating_sub(self.aside.len());
        if !error.is_of_the_event() || room < refused.len() {
            return Err(error);
        }
        let receiver = &self.receiver.name;
        tracing::warn!(receiver, %error, count = refused.len(), "an event was refused, and waits");
        self.fail(&error);
        let until = Instant::now() + ASIDE;
        let ids = refused.iter().map(|id| ((*id).to_owned(), until));
        self.aside.extend(ids);
        Ok(())
    }
}

fn ids(batch: &[Due]) -> Vec<&str> {
    batch.iter().map(|due| due.id.as_str()).collect()
}
