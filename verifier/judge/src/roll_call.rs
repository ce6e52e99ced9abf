//! Roll calls: every ten minutes the operator says at which head every open chain stands, and who
//! was silent. A pure function of the log before it, so nobody has to be believed for it.
//!
//! It shows silence, not its author: a host that sent nothing and one whose records were held back
//! look alike.

use std::collections::BTreeSet;

use affiant_proto::{
    Body, Digest, KeyId, PublicKey, Reenrolment,
    tlog::{Hash, leaf_hash, root_of},
    v1::{self, HostEventKind, KeyUse},
};

use crate::{
    admission::{Admitted, Content},
    chains::ByChain,
    hosts::{HostState, Hosts},
};

type Chain = [u8; 32];

/// Log time between two roll calls, milliseconds.
pub const EVERY_MS: u64 = 600_000;

/// Most silent hosts that are named: 1,024 × 34 bytes are 35 KB, half of what a statement may have.
/// All are counted.
pub const MAX_NAMED: usize = 1_024;

/// Why a roll call does not follow from the log before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Untrue {
    /// It does not stand right behind a clock.
    #[error("does not stand right behind a clock")]
    Misplaced,
    /// It came too early.
    #[error("stands {0} ms after the one before it, and {EVERY_MS} ms are due")]
    Early(u64),
    /// It is of another log size than its own index.
    #[error("says that it is of log size {got}, and stands at index {due}")]
    Size {
        /// Its index.
        due: u64,
        /// As it says.
        got: u64,
    },
    /// It names another roll call before it.
    #[error("says that the one before it was of log size {got}, and that is {due}")]
    Since {
        /// As the log has it.
        due: u64,
        /// As it says.
        got: u64,
    },
    /// Another number of open chains.
    #[error("counts {got} open chains, and {due} are open")]
    Count {
        /// By the log.
        due: u32,
        /// As it says.
        got: u32,
    },
    /// Other heads.
    #[error("its root is not that of the heads of the open chains")]
    Heads,
    /// Others are silent.
    #[error("names other hosts as silent than the log does: {due} by the log, {got} as it says")]
    Silent {
        /// How many by the log.
        due: u32,
        /// How many as it says.
        got: u32,
    },
}

/// How many roll calls there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// That follow from the log before them.
    pub checked: u64,
    /// That could not be held against what is shown of the log.
    pub unchecked: u64,
    /// Spans of [`EVERY_MS`] in which one was due and none came, since the first.
    pub missed: u64,
}

/// An open chain, or one that was.
#[derive(Clone, Debug)]
struct Line {
    sequence: u64,
    head: [u8; 32],
    /// Log index from which a host's chain is open; of operator and officers it always is.
    opened: Option<u64>,
    host: bool,
    /// The key that signs next in a host's chain.
    key: Option<PublicKey>,
    /// Log index of its newest usage record.
    used: Option<u64>,
    /// Declared maintenance, and its end where it has one.
    maintained: Option<Option<u64>>,
}

/// The chains of a log by now: what the next roll call has to say.
#[derive(Clone, Debug, Default)]
pub struct Book {
    lines: ByChain<Line>,
    hosts: Hosts,
    /// Record keys that were revoked.
    revoked: BTreeSet<KeyId>,
    heard: Option<u64>,
    /// Whether every entry from the first on was heard.
    whole: bool,
    /// The newest clock: index and time.
    clock: Option<(u64, u64)>,
    /// From when on the next one is due: the time of the one before it, or of the first clock.
    since_ms: Option<u64>,
    /// Log size of the newest roll call.
    last: Option<u64>,
    /// The first clock at which one was due that has not come.
    due_ms: Option<u64>,
    tally: Tally,
}

impl Book {
    /// Takes the entry at `index`; refuses a roll call that does not follow from those before it.
    pub fn take(&mut self, index: u64, admitted: &Admitted) -> Result<(), Untrue> {
        let follows = match self.heard {
            None => index == 0,
            Some(last) => last.checked_add(1) == Some(index),
        };
        self.whole = follows && (self.whole || index == 0);
        if !follows {
            (self.last, self.since_ms, self.due_ms) = (None, None, None);
        }
        let verified = admitted.verified();
        if let Body::RollCall(call) = verified.body() {
            if follows {
                self.check(index, call)?;
                self.tally.checked += 1;
            } else {
                self.tally.unchecked += 1;
            }
            self.last = Some(index);
            self.since_ms = self.clock.filter(|_| follows).map(|(_, at)| at);
            self.due_ms = None;
        }
        self.heard = Some(index);
        self.follow(index, admitted);
        Ok(())
    }

    /// The roll call that is due as the next entry: right behind a clock, ten minutes after the
    /// one before it, or after the first clock.
    pub fn due(&self) -> Option<v1::RollCall> {
        let (index, now) = self.clock?;
        let due = self.since_ms?.saturating_add(EVERY_MS);
        if self.heard != Some(index) || now < due {
            return None;
        }
        Some(self.call(index.checked_add(1)?, self.last.unwrap_or(0)))
    }

    /// What an enrolment says of a chain before it, were it the next entry: a key may have changed,
    /// or been revoked, since it was looked at.
    pub fn before(&self, enrolment: &v1::Enrolment) -> Reenrolment {
        let said = enrolment.predecessor.as_ref();
        let chain = said.and_then(|said| Chain::try_from(said.chain.as_slice()).ok());
        let old = chain.and_then(|chain| {
            let key = self.lines.get(&chain)?.key.as_ref()?;
            (!self.revoked.contains(&key.id())).then_some((Digest::new(chain), key))
        });
        Reenrolment::by(enrolment, old)
    }

    /// How many roll calls there were.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn check(&self, index: u64, call: &v1::RollCall) -> Result<(), Untrue> {
        let clock = self
            .clock
            .filter(|(at, _)| at.checked_add(1) == Some(index));
        let (_, now) = clock.ok_or(Untrue::Misplaced)?;
        if call.size != index {
            return Err(Untrue::Size {
                due: index,
                got: call.size,
            });
        }
        let passed = self.since_ms.map(|since| now.saturating_sub(since));
        if let Some(passed) = passed.filter(|passed| *passed < EVERY_MS) {
            return Err(Untrue::Early(passed));
        }
        let last = self.last.or(self.whole.then_some(0));
        let due = last.unwrap_or(call.since.min(index));
        if call.since != due {
            return Err(Untrue::Since {
                due,
                got: call.since,
            });
        }
        let due = self.call(index, due);
        if call.count != due.count {
            return Err(Untrue::Count {
                due: due.count,
                got: call.count,
            });
        }
        if call.root != due.root {
            return Err(Untrue::Heads);
        }
        if call.silent_count != due.silent_count || call.silent != due.silent {
            return Err(Untrue::Silent {
                due: due.silent_count,
                got: call.silent_count,
            });
        }
        Ok(())
    }

    /// The roll call over the log of `size` entries, the one before it being over `since`.
    fn call(&self, size: u64, since: u64) -> v1::RollCall {
        let now = self.clock.map_or(0, |(_, now)| now);
        let open = || self.lines.iter().filter(|(_, line)| line.is_open());
        let leaves: Vec<Hash> = open().map(|(chain, line)| line.leaf(chain)).collect();
        let silent: BTreeSet<&Chain> = open()
            .filter(|(_, line)| line.is_silent(since, now))
            .map(|(chain, _)| chain)
            .collect();
        let named = silent.iter().take(MAX_NAMED);
        v1::RollCall {
            header: None,
            size,
            root: root_of(&leaves).as_bytes().to_vec(),
            count: count(leaves.len()),
            silent: named.map(|chain| chain.to_vec()).collect(),
            silent_count: count(silent.len()),
            since,
        }
    }

    fn follow(&mut self, index: u64, admitted: &Admitted) {
        let verified = admitted.verified();
        if matches!(
            verified.body(),
            Body::RelayEnrolment(_) | Body::Objection(_)
        ) {
            // Nothing follows in their chains that could be held back.
            return;
        }
        let statement = verified.statement();
        let chain = *verified.chain().as_bytes();
        let key = match verified.body() {
            Body::Enrolment(body) => PublicKey::ed25519(&body.record_key).ok(),
            _ => None,
        };
        let new = Line {
            sequence: 0,
            head: [0; 32],
            opened: None,
            host: matches!(verified.body(), Body::Enrolment(_)),
            key,
            used: None,
            maintained: None,
        };
        let line = self.lines.entry(chain).or_insert(new);
        line.sequence = statement.header().sequence();
        line.head = *statement.digest().as_bytes();
        match (verified.body(), admitted.content()) {
            (Body::Clock(_), _) => self.tick(index, statement.header().time().unix_ms),
            (Body::Enrolment(body), Content::Enrolled(before)) => {
                self.enrol(index, chain, body, *before);
            }
            (Body::HostEvent(event), _) => self.event(index, event),
            (Body::Usage(_), _) => line.used = Some(index),
            (Body::Key(change), _) if line.host => {
                line.key = PublicKey::ed25519(&change.new_key).ok();
            }
            (Body::Revocation(body), _) if body.r#use() == KeyUse::Record => {
                let id = <[u8; 16]>::try_from(body.key_id.as_slice());
                self.revoked.extend(id.ok().map(KeyId::new));
            }
            _ => {}
        }
    }

    fn tick(&mut self, index: u64, now_ms: u64) {
        self.clock = Some((index, now_ms));
        if self.whole {
            self.since_ms.get_or_insert(now_ms);
        }
        let due = self.since_ms.map(|since| since.saturating_add(EVERY_MS));
        if self.last.is_none() || due.is_none_or(|due| now_ms < due) {
            return;
        }
        // A crash may have parted a clock from its roll call: the next one brings it.
        let since = *self.due_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since) >= EVERY_MS {
            self.tally.missed += 1;
            self.due_ms = Some(now_ms);
        }
    }

    fn enrol(&mut self, index: u64, chain: Chain, body: &v1::Enrolment, before: Reenrolment) {
        if self.hosts.enrol(chain, body, before) == HostState::Enrolled {
            self.open(index, chain, HostState::Enrolled);
        }
    }

    fn open(&mut self, index: u64, chain: Chain, state: HostState) {
        for (old, _) in self.hosts.open(chain, state) {
            if let Some(old) = self.lines.get_mut(&old) {
                old.opened = None;
            }
        }
        if let Some(line) = self.lines.get_mut(&chain) {
            line.opened.get_or_insert(index);
            line.maintained = None;
        }
    }

    fn event(&mut self, index: u64, event: &v1::HostEvent) {
        let Ok(chain) = Chain::try_from(event.host_chain.as_slice()) else {
            return;
        };
        // A ban is for good.
        let state = self.hosts.get(&chain).map(|host| host.state);
        if state.is_none_or(|state| state == HostState::Banned) {
            return;
        }
        let over = match HostEventKind::try_from(event.kind).unwrap_or_default() {
            HostEventKind::Unspecified => return,
            HostEventKind::Approve => return self.open(index, chain, HostState::Approved),
            HostEventKind::Maintenance => {
                let line = self.lines.get_mut(&chain);
                if let Some(line) = line.filter(|line| line.opened.is_some()) {
                    line.maintained = Some(event.until_unix_ms);
                }
                return;
            }
            HostEventKind::Evict => HostState::Evicted,
            HostEventKind::Ban => HostState::Banned,
            HostEventKind::Retire => HostState::Retired,
            HostEventKind::Transfer => HostState::Transferred,
        };
        self.hosts.of(chain).state = over;
        if let Some(line) = self.lines.get_mut(&chain) {
            line.opened = None;
        }
    }
}

impl Line {
    fn is_open(&self) -> bool {
        !self.host || self.opened.is_some()
    }

    /// Whether it is a host that was open since before the last roll call, at log size `since`, of
    /// which no usage record is in the log since then, and no maintenance says why.
    fn is_silent(&self, since: u64, now_ms: u64) -> bool {
        let excused = match self.maintained {
            None => false,
            Some(None) => true,
            Some(Some(until_ms)) => until_ms.saturating_add(EVERY_MS) > now_ms,
        };
        self.host
            && !excused
            && self.opened.is_some_and(|opened| opened < since)
            && self.used.is_none_or(|used| used < since)
    }

    fn leaf(&self, chain: &Chain) -> Hash {
        let mut bytes = [0; 72];
        let (name, rest) = bytes.split_at_mut(32);
        let (sequence, head) = rest.split_at_mut(8);
        name.copy_from_slice(chain);
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        head.copy_from_slice(&self.head);
        leaf_hash(&bytes)
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
