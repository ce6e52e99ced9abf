//! States of the log that hosts and witnesses saw, held against the log as it is passed.

use affiant_proto::{
    Body, Statement,
    authority::{Fate, Lineage},
    tlog::{Checkpoint, Hash, Note, SignedCheckpoint, Unverified, verify_cosignature},
};

use super::{Past, dated::Dated, past::Unheld};
use crate::{edge::Edge, trust::Trust, verify::checks::Checks};

/// What was found of them so far.
#[derive(Default)]
pub(super) struct Views {
    seen: u64,
    cosigned: u64,
    lost: u64,
    foreign: u64,
    wrong: Option<String>,
    untold: Option<(u64, Unheld)>,
    /// The newest that a quorum of the reader's witnesses cosigned.
    witnessed: Option<SignedCheckpoint>,
    dated: Dated,
}

impl Views {
    /// Takes entry `index`, before it is in the tree.
    pub(super) fn take(
        &mut self,
        index: u64,
        statement: &Statement,
        lineage: &Lineage,
        tree: (&Edge, &Past<'_>),
        trust: Option<&Trust>,
    ) {
        if let Some(seen) = statement.header().checkpoint()
            && let Ok(root) = Hash::try_from(seen.root.as_slice())
        {
            self.hold(index, lineage, tree, (&seen.origin, seen.size, root));
        }
        match statement.body() {
            Body::Cosigned(body) => self.note(index, &body.note, lineage, tree, trust),
            Body::Clock(_) => self.dated.clock(index, statement.header().time().unix_ms),
            Body::Succession(_) => self.succession(index, lineage, tree),
            _ => {}
        }
    }

    /// Takes a note that was logged with cosignatures.
    fn note(
        &mut self,
        index: u64,
        note: &[u8],
        lineage: &Lineage,
        tree: (&Edge, &Past<'_>),
        trust: Option<&Trust>,
    ) {
        self.cosigned += 1;
        let bad = |fault: String| format!("the cosigned note at log index {index}: {fault}");
        let note = match Note::parse(note) {
            Ok(note) => note,
            Err(fault) => return self.contradict(bad(fault.to_string())),
        };
        let origin = note.text().lines().next().unwrap_or_default();
        let Some(generation) = lineage.named(origin) else {
            return self.contradict(bad(format!("it is of another log, {origin:?}")));
        };
        let signed = match SignedCheckpoint::of(note, generation.key()) {
            Ok(signed) => signed,
            Err(fault) => return self.contradict(bad(fault.to_string())),
        };
        let now = signed.checkpoint();
        let stands = self.hold(
            index,
            lineage,
            tree,
            (now.origin().as_str(), now.size(), *now.root()),
        );
        let Some(policy) = trust.and_then(Trust::witnesses) else {
            return;
        };
        // A witness that the reader does not know may sign what it likes; one that he knows is
        // held to its word.
        for key in policy.witnesses() {
            match verify_cosignature(signed.note(), key) {
                Ok(_) | Err(Unverified::NotSigned(_)) => {}
                Err(fault) => return self.contradict(bad(fault.to_string())),
            }
        }
        if let Ok(witnessed) = policy.cosigned(signed.note(), now) {
            if stands {
                self.dated
                    .cosigned(now.size(), witnessed.by().saturating_mul(1_000));
            }
            self.witnessed = Some(signed);
        }
    }

    /// A generation goes on from a tree that must be the one that the log had.
    fn succession(&mut self, index: u64, lineage: &Lineage, tree: (&Edge, &Past<'_>)) {
        let Some(opening) = lineage.current().opening() else {
            return;
        };
        let kept: &Checkpoint = opening.kept();
        let here = tree.1.root(kept.size(), tree.0);
        match here {
            Ok(here) if here == *kept.root() => {}
            Ok(here) => self.contradict(format!(
                "the succession at log index {index} says that it goes on from size {} under root \
                 {}, and the log there has {here}",
                kept.size(),
                kept.root()
            )),
            Err(unheld) => self.untold = self.untold.or(Some((index, unheld))),
        }
    }

    /// Holds a state that was seen against this log; tells whether it is one of its own.
    fn hold(
        &mut self,
        index: u64,
        lineage: &Lineage,
        (edge, past): (&Edge, &Past<'_>),
        (origin, size, root): (&str, u64, Hash),
    ) -> bool {
        match lineage.fate(origin, size, &root) {
            Fate::Standing => {}
            Fate::Lost(_) => {
                self.lost += 1;
                return false;
            }
            Fate::Foreign => {
                self.foreign += 1;
                return false;
            }
            Fate::Hidden(_) | Fate::Impossible => {
                self.contradict(format!(
                    "the statement at log index {index} saw {origin} at size {size} under root \
                     {root}, which the log's succession denies: it hides more than it declares"
                ));
                return false;
            }
        }
        if size > edge.size() {
            self.contradict(format!(
                "the log was rewritten or forked: the statement at log index {index} had seen it \
                 at size {size} already"
            ));
            return false;
        }
        match past.root(size, edge) {
            Ok(here) if here == root => {
                self.seen += 1;
                return true;
            }
            Ok(here) => self.contradict(format!(
                "the log was rewritten or forked: the statement at log index {index} saw size \
                 {size} under root {root}, this log has {here}"
            )),
            Err(unheld) => self.untold = self.untold.or(Some((index, unheld))),
        }
        false
    }

    fn contradict(&mut self, text: String) {
        self.wrong.get_or_insert(text);
    }

    /// The newest checkpoint in the log that a quorum of the reader's witnesses cosigned.
    pub(super) fn witnessed(&self) -> Option<&SignedCheckpoint> {
        self.witnessed.as_ref()
    }

    /// How many entries the reader's witnesses vouch for, and by how much these may be back-dated.
    pub(super) fn dated(&self) -> Option<(u64, u64)> {
        self.dated.most()
    }

    /// Says what was found.
    pub(super) fn tell(&self, checks: &mut Checks) {
        if let Some(wrong) = &self.wrong {
            checks.fail("views", wrong.clone());
        } else if let Some((index, unheld)) = self.untold {
            checks.unknown(
                "views",
                format!("what the statement at log index {index} saw cannot be told: {unheld}"),
            );
        } else {
            let mut text = format!(
                "states of the log that hosts or witnesses saw: {}, of them in cosigned notes {}; \
                 all are states of this log",
                self.seen, self.cosigned
            );
            if self.lost > 0 {
                text += &format!(
                    "; {} more lie in what a succession declares as lost",
                    self.lost
                );
            }
            if self.foreign > 0 {
                text += &format!("; {} are of other logs", self.foreign);
            }
            checks.fine("views", text);
        }
    }
}
