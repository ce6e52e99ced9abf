//! The hosts: who is enrolled, in what standing, and how far each chain has come.
//!
//! All of it follows from the log; it is rebuilt from there at every start.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use affiant_judge::admission::{Admitted, Content, HostChain};
use affiant_proto::{Body, Digest, PublicKey, authority::KeyRevoked, predecessor::Reenrolment, v1};
use serde::Serialize;
use tonic::Status;

use crate::{bell::Bell, presence::Presence, relay::Relay, trail::Trail};

/// Whether a host may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// Given to another operator, or out of this fleet.
    Transferred,
    /// Continued by another chain.
    Replaced,
}

impl Standing {
    /// Tells whether the chain counts as its host's: no other may take the name without approval.
    fn keeps_name(self) -> bool {
        !matches!(self, Self::Retired | Self::Transferred | Self::Replaced)
    }

    /// Whether the host may send, and if not, why.
    pub fn may_send(self) -> Result<(), Status> {
        Err(match self {
            Self::Active => return Ok(()),
            Self::Pending => Status::failed_precondition("host waits for the operator's approval"),
            Self::Evicted => {
                Status::permission_denied("host was evicted: enrol again, by approval")
            }
            Self::Banned => Status::permission_denied("host is banned"),
            Self::Retired => Status::permission_denied("host is retired: enrol again to go on"),
            Self::Transferred => {
                Status::permission_denied("host was transferred: enrol again where it is now")
            }
            Self::Replaced => {
                Status::permission_denied("chain is continued by another: send in that")
            }
        })
    }
}

/// One enrolled chain.
pub struct Host {
    chain: Digest,
    name: String,
    site: String,
    /// The chain that this one says it continues.
    continues: Option<Digest>,
    /// Every record key that it ever had, the one in force last.
    keys: RwLock<Vec<PublicKey>>,
    standing: RwLock<Standing>,
    maintenance: Mutex<Option<Maintenance>>,
    /// Why its statements are refused although the log does not say so of its standing.
    spoilt: OnceLock<KeyRevoked>,
    /// Its connections.
    pub presence: Presence,
    /// Held while a statement is admitted and handed to the writer, so that order is kept. Nobody
    /// waits for room in the writer's queue with it: who comes would wait too.
    admission: Mutex<Head>,
    included: Mutex<Option<Watermark>>,
    /// The stream that carries it now.
    stream: Mutex<Option<Stream>>,
    session: AtomicU64,
}

/// Where a host is carried.
struct Stream {
    bell: Arc<Bell>,
    place: u32,
    /// Whether it is a relay's, and not of the host's own connection.
    relayed: bool,
    /// Whether the bell has the place noted already.
    noted: bool,
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
    /// The log's own time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
}

/// Planned work on a host: it excuses silence until the next record, or until its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Maintenance {
    /// Log index of the event.
    pub index: u64,
    /// When it ends at the latest, milliseconds since 1970; open where none was given.
    pub until_unix_ms: Option<u64>,
    /// The reason given.
    pub reason: String,
}

/// All hosts of the log.
#[derive(Default)]
pub struct Hosts {
    all: RwLock<Roll>,
}

#[derive(Default)]
struct Roll {
    by_chain: BTreeMap<Digest, Arc<Host>>,
    /// The chains of each name.
    by_name: BTreeMap<String, Vec<Digest>>,
    /// Every record key that a chain has or had.
    keys: BTreeSet<Vec<u8>>,
    spent: BTreeSet<Vec<u8>>,
    /// Relays, by chain.
    relays: BTreeMap<Digest, Arc<Relay>>,
}

impl Roll {
    /// The chains of a name, by chain.
    fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Arc<Host>> {
        let chains = self.by_name.get(name).into_iter().flatten();
        chains.filter_map(|chain| self.by_chain.get(chain))
    }
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
    /// The chain that it says it continues.
    pub continues: Option<String>,
    /// The chain that continues it.
    pub continued_by: Option<String>,
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

impl Stream {
    /// Notes the place at the bell, once; gives the bell when it is to be rung.
    fn note(&mut self) -> Option<Arc<Bell>> {
        let first = !std::mem::replace(&mut self.noted, true) && self.bell.note(self.place);
        first.then(|| self.bell.clone())
    }
}

impl Host {
    /// Its chain.
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// The key that signs its records now.
    pub fn key(&self) -> Option<PublicKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.last().cloned()
    }

    /// Planned work that excuses its silence at `now_ms`.
    pub fn maintenance(&self, now_ms: u64) -> Option<Maintenance> {
        let since = self.included().map_or(0, |watermark| watermark.index);
        let planned = lock(&self.maintenance).clone();
        planned.filter(|it| it.index > since && it.until_unix_ms.is_none_or(|end| now_ms < end))
    }

    /// Refuses all that follows: statements were on their way that the log could not take any more,
    /// so this chain in memory is ahead of the log.
    pub fn spoil(&self, why: KeyRevoked) {
        // The first reason stands.
        let _ = self.spoilt.set(why);
        self.wake();
    }

    /// Why it was spoilt.
    pub fn spoilt(&self) -> Option<&KeyRevoked> {
        self.spoilt.get()
    }

    /// Has the stream that carries it look again whether it may go on.
    pub fn wake(&self) {
        if let Some(bell) = self.note() {
            bell.ring();
        }
    }

    /// Notes at the stream's bell that something changed; gives the bell when it is to be rung.
    fn note(&self) -> Option<Arc<Bell>> {
        lock(&self.stream).as_mut()?.note()
    }

    /// The stream has taken its note and will look now.
    pub fn heed(&self, session: u64) {
        let mut stream = lock(&self.stream);
        if self.session.load(Ordering::SeqCst) == session
            && let Some(stream) = stream.as_mut()
        {
            stream.noted = false;
        }
    }

    /// Its chain, held: whoever admits a statement hands it to the writer before letting go.
    pub fn admission(&self) -> MutexGuard<'_, Head> {
        lock(&self.admission)
    }

    /// Its site, as its enrolment says.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may send.
    pub fn standing(&self) -> Standing {
        *self.standing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session on the host's own connection; an earlier one, a relay's too, is told to look,
    /// and ends.
    pub fn begin_session(&self, bell: &Arc<Bell>) -> u64 {
        let stream = Stream {
            bell: bell.clone(),
            place: 0,
            relayed: false,
            noted: false,
        };
        self.begin(&mut lock(&self.stream), stream)
    }

    /// Begins a session at a place of a relay's stream, in the place of another relay's; nothing
    /// while the host is connected itself: no relay can shut it out.
    pub fn begin_relayed(&self, bell: &Arc<Bell>, place: u32) -> Option<u64> {
        let mut held = lock(&self.stream);
        if held.as_ref().is_some_and(|stream| !stream.relayed) {
            return None;
        }
        let stream = Stream {
            bell: bell.clone(),
            place,
            relayed: true,
            noted: false,
        };
        Some(self.begin(&mut held, stream))
    }

    fn begin(&self, held: &mut Option<Stream>, stream: Stream) -> u64 {
        let session = self.session.fetch_add(1, Ordering::SeqCst) + 1;
        let old = held.replace(stream);
        if let Some(bell) = old.and_then(|mut old| old.note()) {
            bell.ring();
        }
        session
    }

    /// The stream lets the host go, which nobody carries then unless somebody else does already.
    pub fn end_session(&self, session: u64) {
        let mut stream = lock(&self.stream);
        if self.session.load(Ordering::SeqCst) == session {
            *stream = None;
        }
    }

    /// Tells whether `session` is still the newest and the host may send.
    pub fn holds(&self, session: u64) -> bool {
        self.session.load(Ordering::SeqCst) == session
            && self.standing() == Standing::Active
            && self.spoilt.get().is_none()
    }

    /// How much of the chain is INCLUDED.
    pub fn included(&self) -> Option<Watermark> {
        *lock(&self.included)
    }

    /// Moves the watermark; gives the bell that is to be rung once all hosts have theirs.
    pub fn include(&self, watermark: Watermark) -> Option<Arc<Bell>> {
        *lock(&self.included) = Some(watermark);
        self.note()
    }

    fn set_standing(&self, standing: Standing) {
        *self
            .standing
            .write()
            .unwrap_or_else(PoisonError::into_inner) = standing;
        self.wake();
    }
}

impl Hosts {
    /// Takes note of the admitted statement at `index`: an enrolment adds a host or a relay, a host
    /// event or a change of key changes a host.
    ///
    /// Returns the host that an enrolment added.
    pub fn hear(&self, index: u64, admitted: &Admitted, opens: Option<Head>) -> Option<Arc<Host>> {
        match (admitted.verified().body(), opens) {
            (Body::Enrolment(body), Some(head)) => Some(self.enrol(body, head, admitted)),
            (Body::HostEvent(event), _) => {
                self.change(index, event);
                None
            }
            (Body::RelayEnrolment(body), _) => {
                if let Some(relay) = Relay::new(admitted.verified()) {
                    let mut roll = self.all.write().unwrap_or_else(PoisonError::into_inner);
                    roll.spent.insert(body.token.clone());
                    roll.keys.insert(body.relay_key.clone());
                    roll.relays.insert(relay.chain(), Arc::new(relay));
                }
                None
            }
            (Body::Key(change), _) => {
                let host = self.get(&admitted.verified().chain());
                if let (Some(host), Ok(key)) = (host, PublicKey::ed25519(&change.new_key)) {
                    let mut roll = self.all.write().unwrap_or_else(PoisonError::into_inner);
                    roll.keys.insert(change.new_key.clone());
                    let mut keys = host.keys.write().unwrap_or_else(PoisonError::into_inner);
                    keys.push(key);
                }
                None
            }
            _ => None,
        }
    }

    fn enrol(&self, body: &v1::Enrolment, head: Head, admitted: &Admitted) -> Arc<Host> {
        let continues = body.predecessor.as_ref();
        let continues = continues.and_then(|p| Digest::try_from(p.chain.as_slice()).ok());
        let mut roll = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let before = continues.and_then(|chain| roll.by_chain.get(&chain).cloned());
        let cited = before.iter().filter(|host| host.name != body.host);
        let same = roll.named(&body.host).chain(cited);
        let mut open = same.filter(|host| host.standing().keeps_name());
        let (first, second) = (open.next().cloned(), open.next().cloned());
        drop(open);
        // The key of a chain that may send speaks for its successor; it speaks for no other chain.
        let proved = *admitted.content() == Content::Enrolled(Reenrolment::Proved);
        let standing = match (first, second) {
            (None, _) => Standing::Active,
            (Some(host), None)
                if proved
                    && Some(host.chain) == continues
                    && host.standing() == Standing::Active =>
            {
                Standing::Active
            }
            _ => Standing::Pending,
        };
        if let Some(before) = before.filter(|_| standing == Standing::Active)
            && before.standing().keeps_name()
        {
            before.set_standing(Standing::Replaced);
        }
        let host = Arc::new(Host {
            chain: head.chain.state().chain(),
            name: body.host.clone(),
            site: body.site.clone(),
            continues,
            keys: RwLock::new(vec![head.chain.state().key().clone()]),
            standing: RwLock::new(standing),
            maintenance: Mutex::default(),
            spoilt: OnceLock::new(),
            presence: Presence::default(),
            admission: Mutex::new(head),
            included: Mutex::new(None),
            stream: Mutex::new(None),
            session: AtomicU64::new(0),
        });
        roll.spent.insert(body.token.clone());
        roll.keys.insert(body.record_key.clone());
        let same = roll.by_name.entry(body.host.clone()).or_default();
        if let Err(place) = same.binary_search(&host.chain) {
            same.insert(place, host.chain);
        }
        roll.by_chain.insert(host.chain, host.clone());
        host
    }

    fn change(&self, index: u64, event: &v1::HostEvent) {
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
                let mut older = self.named(&host.name);
                older.extend(host.continues.and_then(|chain| self.get(&chain)));
                for other in older {
                    let over = matches!(other.standing(), Standing::Active | Standing::Evicted);
                    if other.chain != host.chain && over {
                        other.set_standing(Standing::Replaced);
                    }
                }
                host.set_standing(Standing::Active);
            }
            Kind::Evict => host.set_standing(Standing::Evicted),
            Kind::Ban => host.set_standing(Standing::Banned),
            Kind::Retire => host.set_standing(Standing::Retired),
            Kind::Transfer => host.set_standing(Standing::Transferred),
            Kind::Maintenance => {
                *lock(&host.maintenance) = Some(Maintenance {
                    index,
                    until_unix_ms: event.until_unix_ms,
                    reason: event.reason.clone(),
                });
            }
            Kind::Unspecified => {}
        }
    }

    /// Every host, by chain.
    pub fn all(&self) -> Vec<Arc<Host>> {
        let roll = self.all.read().unwrap_or_else(PoisonError::into_inner);
        roll.by_chain.values().cloned().collect()
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

    /// The relay of a chain.
    pub fn relay(&self, chain: &Digest) -> Option<Arc<Relay>> {
        let roll = self.all.read().unwrap_or_else(PoisonError::into_inner);
        roll.relays.get(chain).cloned()
    }

    /// Every relay, by chain.
    pub fn relays(&self) -> Vec<Arc<Relay>> {
        let roll = self.all.read().unwrap_or_else(PoisonError::into_inner);
        roll.relays.values().cloned().collect()
    }

    /// All chains that a name ever had.
    pub fn named(&self, name: &str) -> Vec<Arc<Host>> {
        let roll = self.all.read().unwrap_or_else(PoisonError::into_inner);
        roll.named(name).cloned().collect()
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

    /// Tells whether any chain has or had this record key.
    pub fn has_key(&self, record_key: &[u8]) -> bool {
        let roll = self.all.read().unwrap_or_else(PoisonError::into_inner);
        roll.keys.contains(record_key)
    }

    /// Has every stream look again whether it may go on: a key or an authority changed.
    pub fn wake_all(&self) {
        let roll = self.all.read().unwrap_or_else(PoisonError::into_inner);
        roll.by_chain.values().for_each(|host| host.wake());
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
        let hosts = roll.by_chain.values();
        // Who is only pending continues nobody yet.
        let follows = |host: &Arc<Host>| {
            let standing = host.standing();
            (standing != Standing::Pending).then_some((host.continues?, host.chain))
        };
        let continued: BTreeMap<Digest, Digest> = hosts.filter_map(follows).collect();
        let line = |host: &Arc<Host>| HostLine {
            host: host.name.clone(),
            chain: host.chain.to_string(),
            site: host.site.clone(),
            standing: host.standing(),
            included_sequence: host.included().map(|w| w.sequence),
            continues: host.continues.map(|chain| chain.to_string()),
            continued_by: continued.get(&host.chain).map(Digest::to_string),
        };
        let mut lines: Vec<_> = roll.by_chain.values().map(line).collect();
        lines.sort_by(|a, b| (&a.host, &a.chain).cmp(&(&b.host, &b.chain)));
        lines
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
