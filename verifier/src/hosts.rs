//! The hosts: who is enrolled, in what standing, and how far each chain has come.
//!
//! All of it follows from the log; it is rebuilt from there at every start.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use affiant_judge::admission::{Admitted, HostChain};
use affiant_proto::{Body, Digest, v1};
use serde::Serialize;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use crate::trail::Trail;

/// Whether a host may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Enrolled again under a name that has an open chain: an operator must approve.
    Pending,
    /// May send.
    Active,
    /// Put out; may enrol again, by approval.
    Evicted,
    /// Put out for good.
    Banned,
    /// Ended in order.
    Retired,
}

/// One enrolled chain.
pub struct Host {
    chain: Digest,
    name: String,
    site: String,
    record_key: Vec<u8>,
    standing: RwLock<Standing>,
    /// Held while a statement is admitted and handed to the writer, so that order is kept.
    pub admission: AsyncMutex<Head>,
    included: Mutex<Option<Watermark>>,
    changed: Notify,
    session: AtomicU64,
}

/// What the next statement of a chain is judged by.
pub struct Head {
    /// The chain itself.
    pub chain: HostChain,
    /// Its most recent past.
    pub trail: Trail,
}

/// How much of a chain is in a published tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Every statement up to this sequence is.
    pub sequence: u64,
    /// Log index of that statement.
    pub index: u64,
}

/// All hosts of the log.
#[derive(Default)]
pub struct Hosts {
    all: RwLock<Roll>,
}

#[derive(Default)]
struct Roll {
    by_chain: BTreeMap<Digest, Arc<Host>>,
    spent: BTreeSet<Vec<u8>>,
}

/// One line of `host list`.
#[derive(Clone, Debug, Serialize)]
pub struct HostLine {
    /// Name that it enrolled under.
    pub host: String,
    /// Its chain.
    pub chain: String,
    /// Its site, as it said.
    pub site: String,
    /// Its standing.
    pub standing: Standing,
    /// Highest sequence that is INCLUDED.
    pub included_sequence: Option<u64>,
}

impl Head {
    /// The head of a chain that was just opened.
    pub fn new(chain: HostChain) -> Self {
        let trail = Trail::open(chain.state().chain(), chain.state().key().clone());
        Self { chain, trail }
    }

    /// Remembers a statement that the chain has just admitted.
    pub fn remember(&mut self, sequence: u64, digest: Digest) {
        self.trail.add(sequence, digest, self.chain.state().key());
    }
}

impl Host {
    /// Its chain.
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may send.
    pub fn standing(&self) -> Standing {
        *self.standing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session; an earlier one of the same host ends when it next looks.
    pub fn begin_session(&self) -> u64 {
        let session = self.session.fetch_add(1, Ordering::SeqCst) + 1;
        self.changed.notify_waiters();
        session
    }

    /// Tells whether `session` is still the newest and the host may send.
    pub fn holds(&self, session: u64) -> bool {
        self.session.load(Ordering::SeqCst) == session && self.standing() == Standing::Active
    }

    /// How much of the chain is INCLUDED.
    pub fn included(&self) -> Option<Watermark> {
        *lock(&self.included)
    }

    /// Completes when the watermark, the standing or the session changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Moves the watermark and tells the session.
    pub fn include(&self, watermark: Watermark) {
        *lock(&self.included) = Some(watermark);
        self.changed.notify_one();
    }

    fn set_standing(&self, standing: Standing) {
        *self
            .standing
            .write()
            .unwrap_or_else(PoisonError::into_inner) = standing;
        self.changed.notify_waiters();
        self.changed.notify_one();
    }
}

impl Hosts {
    /// Takes note of an admitted statement: an enrolment adds a host, a host event changes one.
    ///
    /// Returns the host that an enrolment added.
    pub fn hear(&self, admitted: &Admitted, opens: Option<Head>) -> Option<Arc<Host>> {
        match (admitted.verified().body(), opens) {
            (Body::Enrolment(body), Some(head)) => Some(self.enrol(body, head)),
            (Body::HostEvent(event), _) => {
                self.change(event);
                None
            }
            _ => None,
        }
    }

    fn enrol(&self, body: &v1::Enrolment, head: Head) -> Arc<Host> {
        let mut roll = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let name_is_open = roll
            .by_chain
            .values()
            .any(|host| host.name == body.host && host.standing() != Standing::Retired);
        let standing = if name_is_open {
            Standing::Pending
        } else {
            Standing::Active
        };
        let host = Arc::new(Host {
            chain: head.chain.state().chain(),
            name: body.host.clone(),
            site: body.site.clone(),
            record_key: body.record_key.clone(),
            standing: RwLock::new(standing),
            admission: AsyncMutex::new(head),
            included: Mutex::new(None),
            changed: Notify::new(),
            session: AtomicU64::new(0),
        });
        roll.spent.insert(body.token.clone());
        roll.by_chain.insert(host.chain, host.clone());
        host
    }

    fn change(&self, event: &v1::HostEvent) {
        use v1::HostEventKind as Kind;
        let chain = Digest::try_from(event.host_chain.as_slice()).ok();
        let Some(host) = chain.and_then(|chain| self.get(&chain)) else {
            return;
        };
        // A ban is for good: nothing that follows takes it back.
        if host.standing() == Standing::Banned {
            return;
        }
        match Kind::try_from(event.kind).unwrap_or_default() {
            Kind::Approve => {
                // One open chain a host: the one before is over.
                let older = self.named(&host.name).into_iter().filter(|other| {
                    other.chain != host.chain && other.standing() == Standing::Active
                });
                older.for_each(|other| other.set_standing(Standing::Retired));
                host.set_standing(Standing::Active);
            }
            Kind::Evict => host.set_standing(Standing::Evicted),
            Kind::Ban => host.set_standing(Standing::Banned),
            Kind::Retire => host.set_standing(Standing::Retired),
            Kind::Maintenance | Kind::Transfer | Kind::Unspecified => {}
        }
    }

    /// The host of a chain.
    pub fn get(&self, chain: &Digest) -> Option<Arc<Host>> {
        self.all
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_chain
            .get(chain)
            .cloned()
    }

    /// All chains that a name ever had.
    pub fn named(&self, name: &str) -> Vec<Arc<Host>> {
        let roll = self.all.read().unwrap_or_else(PoisonError::into_inner);
        roll.by_chain
            .values()
            .filter(|host| host.name == name)
            .cloned()
            .collect()
    }

    /// Finds the one chain that `name` means: a chain in hexadecimal, or a host's name; of
    /// several chains of one name the one that is pending or active.
    pub fn find(&self, name: &str) -> Vec<Arc<Host>> {
        if let Ok(chain) = name.parse() {
            return self.get(&chain).into_iter().collect();
        }
        let all = self.named(name);
        let pending: Vec<_> = all
            .iter()
            .filter(|h| h.standing() == Standing::Pending)
            .cloned()
            .collect();
        let active: Vec<_> = all
            .iter()
            .filter(|h| h.standing() == Standing::Active)
            .cloned()
            .collect();
        [pending, active, all]
            .into_iter()
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    /// Tells whether an enrolment has spent the token of this digest.
    pub fn spent(&self, token: Digest) -> bool {
        self.all
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .spent
            .contains(token.as_bytes().as_slice())
    }

    /// Tells whether any chain was opened by this record key.
    pub fn has_key(&self, record_key: &[u8]) -> bool {
        let roll = self.all.read().unwrap_or_else(PoisonError::into_inner);
        roll.by_chain
            .values()
            .any(|host| host.record_key == record_key)
    }

    /// How many chains there are.
    pub fn count(&self) -> usize {
        self.all
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_chain
            .len()
    }

    /// A line for each, by name and chain.
    pub fn lines(&self) -> Vec<HostLine> {
        let roll = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let line = |host: &Arc<Host>| HostLine {
            host: host.name.clone(),
            chain: host.chain.to_string(),
            site: host.site.clone(),
            standing: host.standing(),
            included_sequence: host.included().map(|w| w.sequence),
        };
        let mut lines: Vec<_> = roll.by_chain.values().map(line).collect();
        lines.sort_by(|a, b| (&a.host, &a.chain).cmp(&(&b.host, &b.chain)));
        lines
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
