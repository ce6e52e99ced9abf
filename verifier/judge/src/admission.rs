//! Admission: which statements may enter, chain by chain.
//!
//! The verifier admits before it logs, the auditor admits what it reads, with this same code. An
//! [`Admitted`] is made here only.

use std::collections::BTreeMap;

use affiant_proto::{
    Body, Broken, ChainState, Digest, Disclosure, Envelope, PublicKey, Statement, Verified,
    envelope::{self, BadEnvelope},
    salted::BadLeaves,
    usage::{self, BadUsage, Ended},
    v1,
};
use prost::Message;

/// Which sources of measurement are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Recorded traces and simulated libraries too, not just NVML: for demonstrations and tests.
    pub accept_recorded: bool,
}

/// A statement that holds: signature, place in its chain, contents. Made only by this module.
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
    /// An officer whom neither genesis nor two officers admitted.
    #[error("officer {0} is neither named by the genesis nor admitted by two officers")]
    Officer(String),
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
            Self::Officer(_) => "officer",
            Self::Frozen(_) => "frozen",
        }
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
}

impl HostChain {
    /// Opens a chain by its enrolment, which must cite `genesis`.
    pub fn open(statement: Statement, genesis: Digest) -> Result<(Self, Admitted), Refusal> {
        match statement.body() {
            Body::Enrolment(body) if body.genesis == genesis.as_bytes() => {}
            Body::Enrolment(_) => return Err(Refusal::Deployment),
            _ => return Err(Refusal::Kind(statement.kind().name())),
        }
        let (state, verified) = ChainState::open(statement)?;
        let chain = Self {
            state,
            ended: None,
            inventory: None,
            workloads: InForce::default(),
            frozen: None,
        };
        Ok((
            chain,
            Admitted {
                verified,
                content: Content::Body,
            },
        ))
    }

    /// Admits the next statement with all its contents, or as many as its host still had; on a
    /// refusal the chain is as before.
    pub fn admit(&mut self, envelope: Envelope, sources: Sources) -> Result<Admitted, Refusal> {
        let (statement, leaves) = envelope.into_parts();
        let count = envelope::root(statement.body()).map_or(0, |(_, count)| count);
        let mut next = self.clone();
        let lost = match statement.body() {
            Body::Gap(gap) => next.bridges(gap, &statement),
            _ => false,
        };
        let verified = if lost {
            next.ended = None;
            next.state.skip_to(statement)?
        } else {
            next.state.follow(statement)?
        };
        let content = next.content(&verified, leaves.contents(count), sources)?;
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
    ) -> Result<Admitted, Refusal> {
        let mut next = self.clone();
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
        let content = next.content(&verified, shown, sources)?;
        *self = next;
        Ok(Admitted { verified, content })
    }

    /// Refuses everything from now on: two statements were signed at `sequence`.
    pub fn freeze(&mut self, sequence: u64) {
        self.frozen.get_or_insert(sequence);
    }

    /// The chain's head and key.
    pub fn state(&self) -> &ChainState {
        &self.state
    }

    /// Where its last usage record ended.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    fn bridges(&self, gap: &v1::Gap, statement: &Statement) -> bool {
        let due = self.state.sequence().saturating_add(1);
        !gap.lines
            && gap.first == due
            && gap.last >= gap.first
            && gap.last.checked_add(1) == Some(statement.header().sequence())
            && matches!(statement.header().place(), affiant_proto::statement::Place::Link { previous, .. }
                if previous.as_bytes().as_slice() == gap.last_digest)
    }

    fn content(
        &mut self,
        verified: &Verified,
        leaves: Vec<Option<Vec<u8>>>,
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
                Ok(Content::Devices(entries(&leaves)?))
            }
            Body::Workloads(body) => {
                bounded("workloads", body.count, usage::MAX_WORKLOADS)?;
                self.workloads = InForce {
                    sequence,
                    count: body.count,
                };
                Ok(Content::Workloads(entries(&leaves)?))
            }
            Body::Usage(body) => self.usage(body, leaves, sources),
            Body::Gap(_)
            | Body::Observation(_)
            | Body::Key(_)
            | Body::HardwareEvidence(_)
            | Body::ChainRestart(_)
            | Body::Unknown(_) => Ok(Content::Body),
            _ => Err(Refusal::Kind(verified.statement().kind().name())),
        }
    }

    fn usage(
        &mut self,
        body: &v1::Usage,
        leaves: Vec<Option<Vec<u8>>>,
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

fn entries<M: Message + Default>(leaves: &[Option<Vec<u8>>]) -> Result<Vec<Option<M>>, Refusal> {
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

/// The chains of the operator and the officers, all of which rest on one genesis.
#[derive(Clone, Debug)]
pub struct Authorities {
    genesis: Digest,
    body: v1::Genesis,
    operator: ChainState,
    officers: BTreeMap<Digest, ChainState>,
}

impl Authorities {
    /// Begins with the genesis; whether it is the right one is for the reader's trust to say.
    pub fn open(statement: Statement) -> Result<(Self, Admitted), Refusal> {
        let Body::Genesis(body) = statement.body().clone() else {
            return Err(Refusal::Kind(statement.kind().name()));
        };
        let (operator, verified) = ChainState::open(statement)?;
        let it = Self {
            genesis: operator.chain(),
            body,
            operator,
            officers: BTreeMap::new(),
        };
        Ok((
            it,
            Admitted {
                verified,
                content: Content::Body,
            },
        ))
    }

    /// Digest of the genesis: the operator's chain, and the name of the deployment.
    pub fn genesis(&self) -> Digest {
        self.genesis
    }

    /// What the genesis says.
    pub fn body(&self) -> &v1::Genesis {
        &self.body
    }

    /// The operator's chain.
    pub fn operator(&self) -> &ChainState {
        &self.operator
    }

    /// An officer's chain.
    pub fn officer(&self, chain: &Digest) -> Option<&ChainState> {
        self.officers.get(chain)
    }

    /// Every officer's chain, by chain.
    pub fn officers(&self) -> impl Iterator<Item = &ChainState> {
        self.officers.values()
    }

    /// Tells whether `chain` is the operator's or an officer's.
    pub fn knows(&self, chain: &Digest) -> bool {
        *chain == self.genesis || self.officers.contains_key(chain)
    }

    /// Finds the chain of the officer who holds `key`.
    pub fn officer_with(&self, key: &PublicKey) -> Option<&ChainState> {
        self.officers.values().find(|state| state.key() == key)
    }

    /// Admits the next statement of the operator or an officer, or an officer's opening one.
    /// `shown` allows statements of the chain before it not to be shown.
    pub fn admit(&mut self, statement: Statement, shown: bool) -> Result<Admitted, Refusal> {
        let Some(chain) = statement.header().chain() else {
            return self.admit_officer(statement);
        };
        let (state, allowed) = if chain == self.genesis {
            (&mut self.operator, operators(statement.body()))
        } else {
            let allowed = officers(statement.body());
            let Some(state) = self.officers.get_mut(&chain) else {
                return Err(Broken::OtherChain {
                    due: self.genesis,
                    got: chain,
                }
                .into());
            };
            (state, allowed)
        };
        if !allowed {
            return Err(Refusal::Kind(statement.kind().name()));
        }
        let verified = if shown {
            state.skip_to(statement)?
        } else {
            state.follow(statement)?
        };
        Ok(Admitted {
            verified,
            content: Content::Body,
        })
    }

    fn admit_officer(&mut self, statement: Statement) -> Result<Admitted, Refusal> {
        let Body::Officer(body) = statement.body().clone() else {
            return Err(Refusal::Kind(statement.kind().name()));
        };
        if body.genesis != self.genesis.as_bytes() {
            return Err(Refusal::Deployment);
        }
        let (state, verified) = ChainState::open(statement)?;
        if !self.body.officers.iter().any(|named| named.key == body.key) && !self.approved(&body) {
            return Err(Refusal::Officer(body.name));
        }
        // The same opening twice would be a second chain of one key: the first stands.
        if self.officer_with(state.key()).is_some() {
            return Err(Broken::Past { due: 1, got: 0 }.into());
        }
        self.officers.insert(state.chain(), state);
        Ok(Admitted {
            verified,
            content: Content::Body,
        })
    }

    fn approved(&self, body: &v1::Officer) -> bool {
        let bytes = officer_approval_bytes(self.genesis, &body.key);
        let mut by: Vec<Digest> = Vec::new();
        for approval in body.approvals.iter().take(16) {
            let Ok(chain) = Digest::try_from(approval.officer.as_slice()) else {
                continue;
            };
            let Ok(signature) = approval.signature.as_slice().try_into() else {
                continue;
            };
            let good = self
                .officers
                .get(&chain)
                .is_some_and(|o| o.key().verify(&bytes, signature).is_ok());
            if good && !by.contains(&chain) {
                by.push(chain);
            }
        }
        by.len() >= 2
    }
}

/// Bytes that an officer signs to admit another.
pub fn officer_approval_bytes(genesis: Digest, key: &[u8]) -> Vec<u8> {
    [b"affiant officer\0".as_slice(), genesis.as_bytes(), key].concat()
}

fn operators(body: &Body) -> bool {
    matches!(
        body,
        Body::Clock(_)
            | Body::Cosigned(_)
            | Body::RollCall(_)
            | Body::Fork(_)
            | Body::HostEvent(_)
            | Body::Hold(_)
            | Body::Erasure(_)
            | Body::Succession(_)
            | Body::Revocation(_)
            | Body::ReportIssued(_)
            | Body::Observation(_)
            | Body::Key(_)
            | Body::Unknown(_)
    )
}

fn officers(body: &Body) -> bool {
    matches!(
        body,
        Body::TenantEvent(_)
            | Body::BindingEvent(_)
            | Body::Decision(_)
            | Body::InventoryDeclaration(_)
            | Body::Lease(_)
            | Body::PolicyPack(_)
            | Body::ListImport(_)
            | Body::Revocation(_)
            | Body::Hold(_)
            | Body::Key(_)
            | Body::Unknown(_)
    )
}
