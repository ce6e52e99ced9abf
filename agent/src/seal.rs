//! Sealing: what was measured becomes statements of this host's chain.
//!
//! A [`Draft`] holds statements that are signed and do not exist yet; they exist when the spool
//! has synced them, and only then [`Sealer::commit`] moves the chain.

use std::sync::Arc;

use affiant_proto::{
    Body, ChainState, Digest, Envelope, SaltedTree, Seed, Signer, Statement,
    envelope::BadEnvelope,
    salted::BadLeaves,
    statement::{Place, SealError},
    usage::{self, BadUsage},
    v1,
};
use prost::Message as _;
use ring::rand::SecureRandom;

use crate::{meter::Interval, sample::Inventory};

/// Least time between two checkpoints that are taken into headers, milliseconds: a minute.
pub const ADOPT_MS: u64 = 60_000;

/// Why something was not sealed. The chain is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotSealed {
    /// Lines, devices or workloads that cannot stand under one root.
    #[error("cannot seal: {0}")]
    Leaves(#[from] BadLeaves),
    /// Usage that every reader would refuse.
    #[error("refused to sign usage that cannot be: {0}")]
    Usage(#[from] BadUsage),
    /// The statement.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The statement and its leaves together.
    #[error("cannot seal: {0}")]
    Envelope(#[from] BadEnvelope),
    /// It does not continue the chain.
    #[error("cannot seal: {0}")]
    Broken(#[from] affiant_proto::Broken),
    /// The system gives no randomness.
    #[error("the system gives no randomness for salts; look at getrandom(2)")]
    Random,
    /// Usage before any inventory or workloads.
    #[error("usage cannot be sealed before the devices and workloads that it points to")]
    NothingInForce,
}

/// The time at which something is sealed.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For the header.
    pub header: v1::Time,
    /// CLOCK_BOOTTIME, milliseconds: paces the checkpoints.
    pub boot_ms: u64,
}

/// A table that usage points into.
#[derive(Clone, Copy, Debug)]
struct InForce {
    sequence: u64,
    count: u32,
}

/// All that the next statement follows from.
#[derive(Clone, Debug)]
struct Head {
    chain: ChainState,
    inventory: Option<(InForce, v1::SourceKind)>,
    workloads: Option<InForce>,
    /// The checkpoint in the headers, and when it was taken.
    embedded: Option<(v1::CheckpointRef, u64)>,
}

/// Signs the statements of one chain.
pub struct Sealer {
    signer: Arc<dyn Signer>,
    random: Box<dyn SecureRandom + Send>,
    boot: u32,
    head: Head,
    /// The newest checkpoint that the verifier gave.
    seen: Option<v1::CheckpointRef>,
}

/// Statements that follow the chain's head, signed and not yet on disk.
#[derive(Clone)]
pub struct Draft {
    head: Head,
    first: u64,
    entries: Vec<Vec<u8>>,
    bytes: usize,
}

impl Draft {
    /// Sequence of the first statement.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Sequence of the last statement.
    pub fn last(&self) -> u64 {
        self.head.chain.sequence()
    }

    /// The statements with their leaves, as the spool takes them.
    pub fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// Bytes of all entries.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Sealer {
    /// Continues `chain`, in the chain's boot number `boot`.
    pub fn new(
        signer: Arc<dyn Signer>,
        chain: ChainState,
        boot: u32,
        seen: Option<v1::CheckpointRef>,
        random: Box<dyn SecureRandom + Send>,
    ) -> Self {
        Self {
            signer,
            random,
            boot,
            head: Head {
                chain,
                inventory: None,
                workloads: None,
                embedded: None,
            },
            seen,
        }
    }

    /// Continues `chain` in the place of this one's, with the same key; nothing is in force.
    pub fn anew(&self, chain: ChainState, boot: u32, random: Box<dyn SecureRandom + Send>) -> Self {
        let signer = Arc::clone(&self.signer);
        Self::new(signer, chain, boot, self.seen.clone(), random)
    }

    /// Drafts a statement at a `place` that need not follow the chain as it is known here.
    pub fn begin(&self, body: Body, place: Place, now: Now) -> Result<Draft, NotSealed> {
        let mut draft = self.draft();
        if let Place::Link { sequence, .. } = place {
            draft.first = sequence;
        }
        self.add_at(&mut draft, body, place, None, now)?;
        Ok(draft)
    }

    /// Signs with `signer` from now on: the chain's last statement made its key the chain's.
    pub fn hand_over(&mut self, signer: Arc<dyn Signer>) {
        self.signer = signer;
    }

    /// Forgets what is in force, so that it is stated anew, in the chain's boot number `boot`.
    pub fn restate(&mut self, boot: u32) {
        self.boot = boot;
        self.head.inventory = None;
        self.head.workloads = None;
    }

    /// The chain at its head.
    pub fn chain(&self) -> &ChainState {
        &self.head.chain
    }

    /// Number of the boot.
    pub fn boot(&self) -> u32 {
        self.boot
    }

    /// Adds a statement of another run again: what it says and what stands under it stay, salts,
    /// root and the tables that it points into are those of this run.
    pub fn again(
        &self,
        draft: &mut Draft,
        body: Body,
        leaves: Option<Vec<Vec<u8>>>,
        now: Now,
    ) -> Result<(), NotSealed> {
        let Some(leaves) = leaves else {
            return self.add(draft, body, None, now);
        };
        let tree = SaltedTree::new(self.seed()?, leaves)?;
        let (root, count) = (tree.root().as_bytes().to_vec(), tree.count());
        let in_force = InForce {
            sequence: draft.last().saturating_add(1),
            count,
        };
        match body {
            Body::Inventory(body) => {
                let source = body.source();
                let body = v1::Inventory {
                    root,
                    count,
                    ..body
                };
                self.add(draft, body.into(), Some(tree), now)?;
                draft.head.inventory = Some((in_force, source));
                Ok(())
            }
            Body::Workloads(body) => {
                let body = v1::Workloads {
                    root,
                    count,
                    ..body
                };
                self.add(draft, body.into(), Some(tree), now)?;
                draft.head.workloads = Some(in_force);
                Ok(())
            }
            Body::Usage(body) => self.usage(draft, body, tree, now),
            body => self.add(draft, body, Some(tree), now),
        }
    }

    /// Sequence and digest of the last statement.
    pub fn head(&self) -> (u64, Digest) {
        (self.head.chain.sequence(), self.head.chain.head())
    }

    /// Takes note of a newer checkpoint of the log; headers take it up within [`ADOPT_MS`].
    pub fn saw(&mut self, checkpoint: v1::CheckpointRef) {
        self.seen = Some(checkpoint);
    }

    /// Begins a draft after the last commit.
    pub fn draft(&self) -> Draft {
        Draft {
            head: self.head.clone(),
            first: self.head.chain.sequence().saturating_add(1),
            entries: Vec::new(),
            bytes: 0,
        }
    }

    /// Makes a draft, all of which is on disk now, the chain.
    pub fn commit(&mut self, draft: Draft) {
        self.head = draft.head;
    }

    /// Adds the devices.
    pub fn inventory(
        &self,
        draft: &mut Draft,
        inventory: &Inventory,
        now: Now,
    ) -> Result<(), NotSealed> {
        let leaves = inventory
            .devices
            .iter()
            .map(|device| device.encode_to_vec());
        let tree = SaltedTree::new(self.seed()?, leaves.collect())?;
        let in_force = InForce {
            sequence: draft.last().saturating_add(1),
            count: tree.count(),
        };
        let body = v1::Inventory {
            header: None,
            source: inventory.source.into(),
            library: inventory.library.clone(),
            library_digest: inventory.library_digest.to_vec(),
            driver_version: inventory.driver_version.clone(),
            root: tree.root().as_bytes().to_vec(),
            count: tree.count(),
        };
        self.add(draft, body.into(), Some(tree), now)?;
        draft.head.inventory = Some((in_force, inventory.source));
        Ok(())
    }

    /// Adds an interval, and before it the workloads when they are not those in force.
    pub fn interval(
        &self,
        draft: &mut Draft,
        interval: &Interval,
        now: Now,
    ) -> Result<(), NotSealed> {
        if interval.workloads_changed() || draft.head.workloads.is_none() {
            self.workloads(draft, interval.workloads(), now)?;
        }
        let Some((_, source)) = draft.head.inventory else {
            return Err(NotSealed::NothingInForce);
        };
        let lines = interval.lines().iter().map(|line| line.encode_to_vec());
        let leaves = std::iter::once(interval.totals().encode_to_vec())
            .chain(lines)
            .collect();
        let tree = SaltedTree::new(self.seed()?, leaves)?;
        let (start, end) = (interval.start(), interval.end());
        let body = v1::Usage {
            header: None,
            boot: self.boot,
            start_ms: start.boot_ms,
            end_ms: end.boot_ms,
            wall_start_ms: start.wall_ms,
            wall_end_ms: end.wall_ms,
            source: source.into(),
            ..v1::Usage::default()
        };
        self.usage(draft, body, tree, now)
    }

    /// Adds usage, whose lines point into what is in force.
    fn usage(
        &self,
        draft: &mut Draft,
        body: v1::Usage,
        tree: SaltedTree,
        now: Now,
    ) -> Result<(), NotSealed> {
        let (Some((inventory, _)), Some(workloads)) = (draft.head.inventory, draft.head.workloads)
        else {
            return Err(NotSealed::NothingInForce);
        };
        let body = v1::Usage {
            inventory: inventory.sequence,
            workloads: workloads.sequence,
            usage_root: tree.root().as_bytes().to_vec(),
            usage_count: tree.count(),
            ..body
        };
        // What a reader would refuse is not signed: afterwards it could not be unsaid.
        let length = usage::check_interval(&body)?;
        usage::read_leaves(tree.leaves(), inventory.count, workloads.count, length)?;
        self.add(draft, body.into(), Some(tree), now)
    }

    /// Adds a statement under which nothing stands.
    pub fn statement(&self, draft: &mut Draft, body: Body, now: Now) -> Result<(), NotSealed> {
        self.add(draft, body, None, now)
    }

    /// Adds that records, or only their lines, were let go of. After records no devices and no
    /// workloads are in force.
    pub fn gap(&self, draft: &mut Draft, gap: v1::Gap, now: Now) -> Result<(), NotSealed> {
        let lines = gap.lines;
        self.add(draft, gap.into(), None, now)?;
        if !lines {
            draft.head.inventory = None;
            draft.head.workloads = None;
        }
        Ok(())
    }

    fn workloads(
        &self,
        draft: &mut Draft,
        workloads: &[Arc<v1::Workload>],
        now: Now,
    ) -> Result<(), NotSealed> {
        let leaves = workloads.iter().map(|workload| workload.encode_to_vec());
        let tree = SaltedTree::new(self.seed()?, leaves.collect())?;
        let in_force = InForce {
            sequence: draft.last().saturating_add(1),
            count: tree.count(),
        };
        let body = v1::Workloads {
            header: None,
            root: tree.root().as_bytes().to_vec(),
            count: tree.count(),
        };
        self.add(draft, body.into(), Some(tree), now)?;
        draft.head.workloads = Some(in_force);
        Ok(())
    }

    fn add(
        &self,
        draft: &mut Draft,
        body: Body,
        tree: Option<SaltedTree>,
        now: Now,
    ) -> Result<(), NotSealed> {
        let place = draft.head.chain.next_place();
        self.add_at(draft, body, place, tree, now)
    }

    fn add_at(
        &self,
        draft: &mut Draft,
        body: Body,
        place: Place,
        tree: Option<SaltedTree>,
        now: Now,
    ) -> Result<(), NotSealed> {
        let head = &mut draft.head;
        let due = head
            .embedded
            .as_ref()
            .is_none_or(|(_, taken_ms)| now.boot_ms.saturating_sub(*taken_ms) >= ADOPT_MS);
        if due && let Some(seen) = &self.seen {
            head.embedded = Some((seen.clone(), now.boot_ms));
        }
        let checkpoint = head
            .embedded
            .as_ref()
            .map(|(checkpoint, _)| checkpoint.clone());
        let statement = Statement::seal(body, place, now.header, checkpoint, &*self.signer)?;
        let envelope = Envelope::join(statement.clone(), tree)?;
        // Verifies what was just signed: a fault of memory or key shows here, not at the verifier.
        head.chain.skip_to(statement)?;
        let bytes = envelope.to_bytes();
        draft.bytes += bytes.len();
        draft.entries.push(bytes);
        Ok(())
    }

    fn seed(&self) -> Result<Seed, NotSealed> {
        let mut seed = [0; 16];
        self.random.fill(&mut seed).map_err(|_| NotSealed::Random)?;
        Ok(Seed::new(seed))
    }
}
