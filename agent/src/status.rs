//! `status`: how this host stands, from its files and from the agent that runs, if one does.

mod board;
mod health;
mod page;

use affiant_proto::Statement;
use serde_json::{Value, json};

pub use board::{Board, Live, LiveDevice, LivePause, Seen};
pub use health::Health;

use crate::{
    certificate::{CertificateError, HostCertificate},
    clock,
    config::Config,
    control::{
        Reply, Request,
        client::{AskError, ask},
    },
    data::DataDir,
    depth::{self, Depth},
    devices,
    durable::{self, FileError, Secrecy},
    spool::{self, SpoolError},
};

/// Most bytes of the statement that opened the chain: the most of any statement.
const MAX_ENROLMENT: u64 = 64 << 10;

/// Most bytes of the reason for which sending stopped: two notes of 1 MiB that contradict each
/// other, and the words around them.
const MAX_HALT: u64 = (2 << 20) + 4_096;

/// Why the status cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The agent's socket.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// What the running agent said, or why nothing is known of it.
#[derive(Clone, Debug)]
pub enum Agent {
    /// It answered.
    Running(Box<Live>),
    /// There is none.
    Stopped,
    /// It is there, and gives no answer.
    Silent(String),
}

/// How a host stands; times by the wall clock, milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct Status {
    /// When it was looked at.
    pub now_ms: u64,
    /// The name under which it enrols.
    pub host: String,
    /// Where it stands; empty when nobody says.
    pub site: String,
    /// Where records go.
    pub verifier: String,
    /// Its chain; `None` before it is enrolled.
    pub chain: Option<String>,
    /// What the running agent says.
    pub agent: Agent,
    /// When the certificate must be renewed, and when it is over.
    pub certificate: Option<(u64, u64)>,
    /// The spool.
    pub spool: spool::Status,
    /// Most bytes of the spool.
    pub spool_limit: u64,
    /// When the oldest record that is not INCLUDED was sealed.
    pub oldest_waiting_ms: Option<u64>,
    /// When the last INCLUDED record was sealed, if it is still kept.
    pub included_ms: Option<u64>,
    /// Bytes that a day of records takes.
    pub bytes_per_day: Option<u64>,
    /// Size of the newest checkpoint that came with an INCLUDED, and when that was.
    pub checkpoint: Option<(u64, u64)>,
    /// Why nothing is sent any more.
    pub halted: Option<String>,
    /// Why the log is not believed, and nothing sent to it, until it is again what it was.
    pub distrust: Option<String>,
    /// The devices: of the running agent, else as they were known last, of which nothing is
    /// observed.
    pub devices: Vec<LiveDevice>,
}

/// Looks at a host.
pub fn look(config: &Config) -> Result<Status, StatusError> {
    let data = DataDir::at(&config.data);
    let agent = match ask(&data.socket(), &Request::Status {}) {
        Ok(Reply::Status { live }) => Agent::Running(live),
        Ok(_) => Agent::Silent("the agent answered something else".into()),
        Err(AskError::NotRunning(_)) => Agent::Stopped,
        Err(error @ AskError::Io { .. }) => return Err(error.into()),
        Err(error) => Agent::Silent(error.to_string()),
    };
    let devices = match &agent {
        Agent::Running(live) => live.devices.clone(),
        Agent::Stopped | Agent::Silent(_) => {
            let known = devices::read(&data.devices());
            known.iter().map(LiveDevice::unseen).collect()
        }
    };
    let enrolment = durable::read(&data.enrolment(), MAX_ENROLMENT, Secrecy::Public)?;
    let enrolment = enrolment.and_then(|bytes| Statement::parse(&bytes).ok());
    let certificate = HostCertificate::read(&data.certificates())?;
    let halt = durable::read(&data.halt(), MAX_HALT, Secrecy::Public)?;
    let distrust = durable::read(&data.distrust(), MAX_HALT, Secrecy::Public)?;
    let [halted, distrust] =
        [halt, distrust].map(|text| Some(String::from_utf8_lossy(&text?).trim_end().to_owned()));
    let directory = data.spool();
    let spool = spool::look(&directory)?;
    let sealed = |sequence| -> Result<Option<u64>, SpoolError> {
        let entry = spool::look_at(&directory, sequence)?;
        Ok(entry.and_then(|entry| depth::sealed_ms(&entry)))
    };
    let depth = Depth::measure(&directory, &spool)?;
    let cursor = spool.cursor.as_ref();
    let included = cursor.map(|cursor| sealed(cursor.sequence)).transpose()?;
    let checkpoint = cursor.and_then(|cursor| size(&cursor.checkpoint));
    let told = spool::cursor_changed(&directory);
    Ok(Status {
        now_ms: clock::wall_ms(),
        host: config.host.to_string(),
        site: config.site.clone(),
        verifier: config.verifier.to_string(),
        chain: enrolment.map(|enrolment| enrolment.digest().to_string()),
        agent,
        certificate: certificate.map(|held| (held.renew_at_ms(), held.not_after_ms())),
        spool_limit: config.spool.max_bytes,
        oldest_waiting_ms: depth.oldest_waiting_ms,
        included_ms: included.flatten(),
        bytes_per_day: depth.bytes_per_day,
        checkpoint: checkpoint.zip(told),
        halted,
        distrust,
        spool,
        devices,
    })
}

/// The size that a note names, in its second line.
fn size(note: &str) -> Option<u64> {
    note.lines().nth(1)?.parse().ok()
}

impl Status {
    /// The pause that lasts, as the running agent says.
    pub fn pause(&self) -> Option<LivePause> {
        match &self.agent {
            Agent::Running(live) => live.pause,
            Agent::Stopped | Agent::Silent(_) => None,
        }
    }

    /// Days for which records still fit that nobody takes.
    pub fn days_left(&self) -> Option<u64> {
        depth::days_left(&self.spool, self.spool_limit, self.bytes_per_day)
    }

    /// Gives the status as JSON.
    pub fn to_json(&self) -> Value {
        let (running, live, silent) = match &self.agent {
            Agent::Running(live) => (true, Some(live), None),
            Agent::Stopped => (false, None, None),
            Agent::Silent(text) => (false, None, Some(text)),
        };
        let cursor = self.spool.cursor.as_ref();
        let health = Health::of(self);
        json!({
            "health": health.name(),
            "attention": health.attention,
            "unix_ms": self.now_ms,
            "host": self.host,
            "site": self.site,
            "verifier": self.verifier,
            "chain": self.chain,
            "running": running,
            "agent_error": silent,
            "version": live.map(|live| &live.version),
            "pid": live.map(|live| live.pid),
            "started_unix_ms": live.map(|live| live.started_unix_ms),
            "link": live.map(|live| &live.link),
            "pause": self.pause(),
            "fault": live.and_then(|live| live.fault.as_ref()),
            "sampled_unix_ms": live.and_then(|live| live.sampled_unix_ms),
            "devices": self.devices,
            "certificate_not_after_unix_ms": self.certificate.map(|(_, over)| over),
            "head": self.spool.range.map(|(_, last)| last),
            "included": cursor.map(|cursor| json!({
                "sequence": cursor.sequence,
                "index": cursor.index,
                "sealed_unix_ms": self.included_ms,
            })),
            "waiting": self.spool.waiting(),
            "oldest_waiting_unix_ms": self.oldest_waiting_ms,
            "spool": {
                "bytes": self.spool.bytes,
                "max_bytes": self.spool_limit,
                "bytes_per_day": self.bytes_per_day,
                "days_left": self.days_left(),
            },
            "checkpoint": self.checkpoint.map(|(size, told_ms)| json!({
                "size": size,
                "told_unix_ms": told_ms,
            })),
            "halted": self.halted,
            "distrust": self.distrust,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
