//! Admission: which statements may enter, chain by chain.
//!
//! The verifier admits before it logs, the auditor admits what it reads, with this same code. An
//! [`Admitted`] is made here only.

use affiant_proto::{
    Body, Broken, ChainState, Digest, Disclosure, Opened, Reenrolment, Statement, Verified,
    authority::{Act, KeyRevoked, Refused, Revocations},
    envelope::{self, BadEnvelope},
    opened::Matter,
    salted::BadLeaves,
    statement::Place,
    usage::{self, BadUsage, Ended, Lines},
    v1::{self, KeyUse},
};
use prost::Message;

use crate::{retention, roll_call::Untrue};

/// Which sources of measurement are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Recorded traces and simulated libraries too, not just NVML: for demonstrations and tests.
    pub accept_recorded: bool,
}

/// A statement that holds: signature, place in its chain, contents. Made only by this module, of
/// a host's statement or of an [`Act`] of the operator or an officer.
///
/// ```
/// # use affiant_judge::admission::{Admitted, Content};
/// fn read(admitted: &Admitted) -> &Content {
///     admitted.content()
/// }
/// ```
///
/// A verified statement is not yet an admitted one:
///
/// ```compile_fail
/// # use affiant_judge::admission::{Admitted, Content};
/// # use affiant_proto::Verified;
/// fn forge(verified: Verified) -> Admitted {
///     Admitted { verified, content: Content::Body }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    verified: Verified,
    content: Content,
}

/// What an admitted statement brings beside its signed body. `None` entries are not shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Devices under the inventory's root.
    Devices(Vec<Option<v1::Device>>),
    /// Workloads under the root.
    Workloads(Vec<Option<v1::Workload>>),
    /// Totals, and lines from leaf 1 on.
    Usage(v1::Totals, Vec<Option<v1::UsageLine>>),
    /// What an enrolment proves of a chain before it.
    Enrolled(Reenrolment),
    /// The body says it all.
    Body,
}

impl Admitted {
    /// The statement with its chain.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// What stands under its root.
    pub fn content(&self) -> &Content {
        &self.content
    }
}

impl From<Act> for Admitted {
    fn from(act: Act) -> Self {
        Self {
            verified: act.into_verified(),
            content: Content::Body,
        }
    }
}

/// Why a statement is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It cannot be read.
    #[error(transparent)]
    Envelope(#[from] BadEnvelope),
    /// It does not continue its chain.
    #[error(transparent)]
    Chain(#[from] Broken),
    /// Its contents contradict its root.
    #[error(transparent)]
    Leaves(#[from] BadLeaves),
    /// Its usage cannot be.
    #[error(transparent)]
    Usage(#[from] BadUsage),
    /// A device or workload that is not in its one spelling.
    #[error("entry {0} is not in the one accepted spelling")]
    Entry(usize),
    /// Measured by something else than NVML.
    #[error(
        "measured by a {0} source; this verifier takes nvml only (--accept-recorded takes others)"
    )]
    Source(&'static str),
    /// It points to another inventory or other workloads than those in force.
    #[error("points to the {what} at sequence {got}; in force is {due}")]
    NotInForce {
        /// "inventory" or "workloads".
        what: &'static str,
        /// In force.
        due: u64,
        /// As cited.
        got: u64,
    },
    /// A kind that this chain may not carry.
    #[error("a {0} statement does not belong into this chain")]
    Kind(String),
    /// An opener of another deployment.
    #[error("cites another genesis than this log's")]
    Deployment,
    /// It is not one of the operator's or an officer's.
    #[error(transparent)]
    Authority(#[from] Refused),
    /// Signed by a record key that was revoked, or hands over to one.
    #[error(transparent)]
    Revoked(#[from] KeyRevoked),
    /// A chain before this one that is not named as chain, head and proof are.
    #[error("predecessor names no chain, sequence, head and proof that can be")]
    Predecessor,
    /// A gap that does not bridge what is missing.
    #[error("gap {0}")]
    Gap(&'static str),
    /// A restart that does not follow what it says it adopts.
    #[error("chain-restart {0}")]
    Restart(&'static str),
    /// A roll call that the log before it does not make.
    #[error("roll call {0}")]
    RollCall(#[from] Untrue),
    /// An erasure or a hold that does not follow from the log before it.
    #[error("erasure or hold {0}")]
    Retention(#[from] retention::Untrue),
    /// An objection that says nothing, or of nobody.
    #[error("objection {0}")]
    Objection(&'static str),
    /// Two histories were signed; nothing of the chain is taken until an operator decides.
    #[error("chain is frozen: two statements were signed at sequence {0}")]
    Frozen(u64),
}

impl Refusal {
    /// A stable word for the refusal, listed in FORMAT.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Envelope(bad) => bad.code(),
            Self::Chain(broken) => broken.code(),
            Self::Leaves(_) | Self::Entry(_) => "leaves",
            Self::Usage(BadUsage::Overlap { .. }) => "overlap",
            Self::Usage(BadUsage::Apart { .. }) => "apart",
            Self::Usage(BadUsage::Sum { .. } | BadUsage::Parts { .. }) => "sum",
            Self::Usage(_) => "usage",
            Self::Source(_) => "source",
            Self::NotInForce { .. } => "not-in-force",
            Self::Kind(_) => "kind",
            Self::Deployment => "deployment",
            Self::Authority(refused) => refused.code(),
            Self::Revoked(_) => "revoked",
            Self::Predecessor => "predecessor",
            Self::Gap(_) => "gap",
            Self::Restart(_) => "restart",
            Self::RollCall(_) => "roll-call",
            Self::Retention(_) => "erasure",
            Self::Objection(_) => "objection",
            Self::Frozen(_) => "frozen",
        }
    }
}

/// Admits the statement that opens a relay's chain, which must cite `genesis`. Nothing follows it
/// there: a relay carries what others say, and says nothing itself.
pub fn open_relay(
    statement: Statement,
    genesis: Digest,
    revocations: &Revocations,
) -> Result<(ChainState, Admitted), Refusal> {
    match statement.body() {
        Body::RelayEnrolment(body) if body.genesis == genesis.as_bytes() => {}
        Body::RelayEnrolment(_) => return Err(Refusal::Deployment),
        _ => return Err(Refusal::Kind(statement.kind().name())),
    }
    revocations.trusts(KeyUse::Record, &statement.key())?;
    let (state, verified) = ChainState::open(statement)?;
    let content = Content::Body;
    Ok((state, Admitted { verified, content }))
}

/// Admits a tenant's objection, which must cite `genesis`. It is all of its chain. Whether its key is one
/// of the tenant's the registry says, not the chain.
pub fn open_objection(
    statement: Statement,
    genesis: Digest,
) -> Result<(ChainState, Admitted), Refusal> {
    match statement.body() {
        Body::Objection(body) if body.genesis == genesis.as_bytes() => {
            crate::objections::form(body)?
        }
        Body::Objection(_) => return Err(Refusal::Deployment),
        _ => return Err(Refusal::Kind(statement.kind().name())),
    }
    let (state, verified) = ChainState::open(statement)?;
    let content = Content::Body;
    Ok((state, Admitted { verified, content }))
}

/// What stands under a statement's root: leaves, none for one that is not shown, or the lines of a
/// usage record that were read before.
enum Under {
    Leaves(Vec<Option<Vec<u8>>>),
    Lines(Lines),
}

impl From<Vec<Option<Vec<u8>>>> for Under {
    fn from(leaves: Vec<Option<Vec<u8>>>) -> Self {
        Self::Leaves(leaves)
    }
}

/// A table that usage lines point into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct InForce {
    sequence: u64,
    count: u32,
}

/// All that is kept of a host's chain to judge its next statement: some 200 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostChain {
    state: ChainState,
    ended: Option<Ended>,
    inventory: Option<(InForce, i32)>,
    workloads: InForce,
    frozen: Option<u64>,
    reenrolment: Reenrolment,
}

impl HostChain {
    /// Opens a chain by its enrolment, which must cite `genesis`. `old` is the chain that it says
    /// it continues, where there is one.
    pub fn open(
        statement: Statement,
        genesis: Digest,
        revocations: &Revocations,
        old: Option<&ChainState>,
    ) -> Result<(Self, Admitted), Refusal> {
        let body = match statement.body() {
            Body::Enrolment(body) if body.genesis == genesis.as_bytes() => body,
            Body::Enrolment(_) => return Err(Refusal::Deployment),
            _ => return Err(Refusal::Kind(statement.kind().name())),
        };
        if body.predecessor.as_ref().is_some_and(|old| !spelled(old)) {
            return Err(Refusal::Predecessor);
        }
        revocations.trusts(KeyUse::Record, &statement.key())?;
        let trusted = |old: &&ChainState| {
            let id = old.key().id();
            revocations.trusts(KeyUse::Record, &id).is_ok()
        };
        let reenrolment = Reenrolment::of(body, old.filter(trusted));
        let (state, verified) = ChainState::open(statement)?;
        let chain = Self {
            state,
            ended: None,
            inventory: None,
            workloads: InForce::default(),
            frozen: None,
            reenrolment,
        };
        let content = Content::Enrolled(reenrolment);
        Ok((chain, Admitted { verified, content }))
    }

    /// Admits the next statement with all its contents, or as many as its host still had; on a
    /// refusal the chain is as before.
    pub fn admit(
        &mut self,
        entry: impl Into<Opened>,
        sources: Sources,
        revocations: &Revocations,
    ) -> Result<Admitted, Refusal> {
        let (statement, matter) = entry.into().into_parts();
        let count = envelope::root(statement.body()).map_or(0, |(_, count)| count);
        let mut next = self.clone();
        revocations.trusts(KeyUse::Record, &statement.key())?;
        let due = self.state.sequence().saturating_add(1);
        let lost = matches!(statement.body(), Body::Gap(gap) if (gap.first..=gap.last).contains(&due))
            && bridges(&statement).is_ok_and(|bridges| bridges);
        let verified = if lost {
            next.state.skip_to(statement)?
        } else {
            next.state.follow(statement)?
        };
        self.lost(&verified)?;
        next.hands_over(&verified, revocations)?;
        let leaves = match matter {
            Matter::Leaves(leaves) => leaves.contents(count).into(),
            Matter::Lines(lines) => Under::Lines(lines),
        };
        let content = next.content(&verified, leaves, sources)?;
        *self = next;
        Ok(Admitted { verified, content })
    }

    /// Admits a statement of which some leaves may be withheld, `skipped` when statements before
    /// it are not shown.
    pub fn admit_shown(
        &mut self,
        statement: Statement,
        disclosure: Disclosure,
        sources: Sources,
        revocations: &Revocations,
    ) -> Result<Admitted, Refusal> {
        let mut next = self.clone();
        revocations.trusts(KeyUse::Record, &statement.key())?;
        let mut shown = Vec::new();
        if let Some((root, count)) = envelope::root(statement.body()) {
            disclosure.matches(root, count)?;
            if count as usize > affiant_proto::salted::MAX_LEAVES {
                return Err(BadLeaves::TooMany(count as usize).into());
            }
            shown = vec![None; count as usize];
            for leaf in disclosure.shown {
                if let Some(place) = shown.get_mut(leaf.index as usize) {
                    *place = Some(leaf.content);
                }
            }
        }
        if statement.header().sequence() != next.state.sequence().saturating_add(1) {
            next.ended = None;
        }
        let verified = next.state.skip_to(statement)?;
        self.lost(&verified)?;
        next.hands_over(&verified, revocations)?;
        let content = next.content(&verified, shown.into(), sources)?;
        *self = next;
        Ok(Admitted { verified, content })
    }

    /// Refuses everything from now on: two statements were signed at `sequence`.
    pub fn freeze(&mut self, sequence: u64) {
        self.frozen.get_or_insert(sequence);
    }

    /// The sequence at which two statements were signed, where any were.
    pub fn frozen(&self) -> Option<u64> {
        self.frozen
    }

    /// The chain's head and key.
    pub fn state(&self) -> &ChainState {
        &self.state
    }

    /// Where its last usage record ended.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// What its enrolment says of a chain before it.
    pub fn reenrolment(&self) -> Reenrolment {
        self.reenrolment
    }

    /// Refuses a gap over statements all of which are here. Some may be: a host does not know of
    /// all that it sent whether it came.
    fn lost(&self, verified: &Verified) -> Result<(), Refusal> {
        match verified.body() {
            Body::Gap(gap) if !gap.lines && gap.last <= self.state.sequence() => {
                Err(Refusal::Gap("says that statements are lost which are here"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a change to a key that was revoked, and one of the authority, which is the
    /// operator's to change.
    fn hands_over(&self, verified: &Verified, revocations: &Revocations) -> Result<(), Refusal> {
        let Body::Key(change) = verified.body() else {
            return Ok(());
        };
        if change.new_key.is_empty() {
            return Err(Refusal::Kind("key.v1 of an authority".to_owned()));
        }
        Ok(revocations.trusts(KeyUse::Record, &self.state.key().id())?)
    }

    /// Forgets what was in force: after a break the host states it anew.
    fn break_off(&mut self) {
        self.ended = None;
        self.inventory = None;
        self.workloads = InForce::default();
    }

    fn content(
        &mut self,
        verified: &Verified,
        leaves: Under,
        sources: Sources,
    ) -> Result<Content, Refusal> {
        if let Some(sequence) = self.frozen {
            return Err(Refusal::Frozen(sequence));
        }
        let sequence = verified.statement().header().sequence();
        match verified.body() {
            Body::Inventory(body) => {
                believed(body.source, sources)?;
                bounded("inventory", body.count, usage::MAX_DEVICES)?;
                self.inventory = Some((
                    InForce {
                        sequence,
                        count: body.count,
                    },
                    body.source,
                ));
                Ok(Content::Devices(entries(leaves)?))
            }
            Body::Workloads(body) => {
                bounded("workloads", body.count, usage::MAX_WORKLOADS)?;
                self.workloads = InForce {
                    sequence,
                    count: body.count,
                };
                Ok(Content::Workloads(entries(leaves)?))
            }
            Body::Usage(body) => self.usage(body, leaves, sources),
            Body::Gap(_) => {
                if bridges(verified.statement())? {
                    self.break_off();
                }
                Ok(Content::Body)
            }
            Body::ChainRestart(restart) => {
                restarts(restart, verified)?;
                self.break_off();
                Ok(Content::Body)
            }
            Body::Observation(_) | Body::Key(_) | Body::HardwareEvidence(_) | Body::Unknown(_) => {
                Ok(Content::Body)
            }
            _ => Err(Refusal::Kind(verified.statement().kind().name())),
        }
    }

    fn usage(
        &mut self,
        body: &v1::Usage,
        leaves: Under,
        sources: Sources,
    ) -> Result<Content, Refusal> {
        let interval = usage::check_interval(body)?;
        believed(body.source, sources)?;
        if let Some(ended) = self.ended {
            ended.abuts(body)?;
        }
        let (inventory, source) = self.inventory.unwrap_or_default();
        if body.inventory != inventory.sequence {
            return Err(Refusal::NotInForce {
                what: "inventory",
                due: inventory.sequence,
                got: body.inventory,
            });
        }
        if body.workloads != self.workloads.sequence {
            let due = self.workloads.sequence;
            return Err(Refusal::NotInForce {
                what: "workloads",
                due,
                got: body.workloads,
            });
        }
        if source != body.source {
            return Err(BadUsage::Undefined("source: not the inventory's, and so").into());
        }
        let (devices, workloads) = (inventory.count, self.workloads.count);
        self.ended = Some(Ended {
            boot: body.boot,
            end_ms: body.end_ms,
        });
        let leaves = match leaves {
            Under::Lines(lines) => {
                let (totals, lines) = lines.fit(devices, workloads)?;
                return Ok(Content::Usage(
                    totals,
                    lines.into_iter().map(Some).collect(),
                ));
            }
            Under::Leaves(leaves) => leaves,
        };
        if leaves.iter().all(Option::is_some) {
            let leaves: Vec<Vec<u8>> = leaves.into_iter().flatten().collect();
            let (totals, lines) = usage::read_leaves(&leaves, devices, workloads, interval)?;
            return Ok(Content::Usage(
                totals,
                lines.into_iter().map(Some).collect(),
            ));
        }
        let (first, rest) = leaves.split_first().ok_or(BadUsage::Totals)?;
        let first = first.as_ref().ok_or(BadUsage::Totals)?;
        let totals = usage::read_totals(first, devices, interval)?;
        let mut lines = Vec::with_capacity(rest.len());
        for (leaf, index) in rest.iter().zip(1..) {
            let line = leaf
                .as_ref()
                .map(|leaf| usage::read_line(leaf, index, devices, workloads));
            lines.push(line.transpose()?);
        }
        usage::check_shown(&totals, &lines, interval)?;
        Ok(Content::Usage(totals, lines))
    }
}

/// Tells whether a statement is a gap that continues its chain across lost statements, rather than
/// one that says of statements that stand that their lines are lost.
fn bridges(statement: &Statement) -> Result<bool, Refusal> {
    let Body::Gap(gap) = statement.body() else {
        return Ok(false);
    };
    let header = statement.header();
    if gap.first == 0 || gap.first > gap.last {
        return Err(Refusal::Gap("names no range: first is 0, or after last"));
    }
    if gap.lines {
        if !gap.last_digest.is_empty() {
            return Err(Refusal::Gap("of lines names a digest"));
        }
        if gap.last >= header.sequence() {
            return Err(Refusal::Gap("of lines names statements that come after it"));
        }
        return Ok(false);
    }
    let follows = gap.last.checked_add(1) == Some(header.sequence())
        && matches!(header.place(), Place::Link { previous, .. }
            if previous.as_bytes().as_slice() == gap.last_digest);
    match follows {
        true => Ok(true),
        false => Err(Refusal::Gap(
            "does not stand right behind the last lost statement, which it names",
        )),
    }
}

/// Holds a restart against the place where it stands.
fn restarts(restart: &v1::ChainRestart, verified: &Verified) -> Result<(), Refusal> {
    let header = verified.statement().header();
    let follows = restart.adopted_sequence.checked_add(1) == Some(header.sequence())
        && matches!(header.place(), Place::Link { previous, .. }
            if previous.as_bytes().as_slice() == restart.adopted_head);
    if !follows {
        return Err(Refusal::Restart(
            "does not follow the statement that it says it adopts",
        ));
    }
    if Digest::try_from(restart.restored_head.as_slice()).is_err() {
        return Err(Refusal::Restart("names no head that the disk had"));
    }
    if restart.restored_sequence == restart.adopted_sequence
        && restart.restored_head == restart.adopted_head
    {
        return Err(Refusal::Restart("adopts the head that the disk had"));
    }
    Ok(())
}

/// Tells whether a chain before is named as chain, head and proof are.
fn spelled(old: &v1::Predecessor) -> bool {
    Digest::try_from(old.chain.as_slice()).is_ok()
        && Digest::try_from(old.head.as_slice()).is_ok()
        && matches!(old.proof.len(), 0 | 64)
}

fn believed(source: i32, sources: Sources) -> Result<(), Refusal> {
    match v1::SourceKind::try_from(source).unwrap_or_default() {
        v1::SourceKind::Nvml => Ok(()),
        v1::SourceKind::Recorded | v1::SourceKind::Simulated if sources.accept_recorded => Ok(()),
        v1::SourceKind::Recorded => Err(Refusal::Source("recorded")),
        v1::SourceKind::Simulated => Err(Refusal::Source("simulated")),
        v1::SourceKind::Unspecified => Err(BadUsage::Undefined("source").into()),
    }
}

fn bounded(what: &'static str, count: u32, limit: usize) -> Result<(), BadUsage> {
    if count as usize > limit {
        Err(BadUsage::TooMany { what, count, limit })
    } else {
        Ok(())
    }
}

/// Reads the entries of a table. Lines are of no table, and there are none of a statement that has one.
fn entries<M: Message + Default>(leaves: Under) -> Result<Vec<Option<M>>, Refusal> {
    let leaves = match leaves {
        Under::Leaves(leaves) => leaves,
        Under::Lines(_) => return Err(Refusal::Entry(0)),
    };
    let read = |(index, leaf): (usize, &Option<Vec<u8>>)| {
        let Some(leaf) = leaf else { return Ok(None) };
        let message = M::decode(leaf.as_slice()).map_err(|_| Refusal::Entry(index))?;
        if message.encode_to_vec() == *leaf {
            Ok(Some(message))
        } else {
            Err(Refusal::Entry(index))
        }
    };
    leaves.iter().enumerate().map(read).collect()
}
