//! What follows from a log that was read: whose it is, what was published of it, what is anchored.

use std::collections::{BTreeMap, BTreeSet};

use affiant_judge::Amount;
use affiant_proto::{
    Digest,
    tlog::{Checkpoint, Hash, Note, NoteKey, SignedCheckpoint},
};

use super::WholeLog;
use crate::{
    trust::Trust,
    verify::{
        anchor::{self, Found},
        checks::{Checks, Judged},
        compare::{kinds, sources},
        trusted::{generations, officers, trusted},
    },
};

/// Most spans of missing lines that are told one by one.
const MAX_TOLD: usize = 8;

impl WholeLog<'_> {
    /// Makes the checks that need all of the log: trust, generations, the published checkpoint,
    /// what others saw, the anchor, and what the judge found. `whole` tells whether all that the
    /// checkpoint is over was read.
    pub fn conclude(&self, checks: &mut Checks, note: Option<&[u8]>, since: &[Note], whole: bool) {
        if trusted(checks, self.authorities(), self.trust).is_err() {
            return;
        }
        if let Some(index) = self.backwards {
            let text =
                format!("the clock at log index {index} does not advance on the one before it");
            checks.fail("clock", text);
        }
        let all = self.officers.iter();
        let all = all.map(|(name, key)| (name.as_str(), key.as_slice()));
        officers(checks, self.authorities().body(), all, self.trust);
        self.views.tell(checks);
        let Ok(key) = generations(checks, self.authorities(), self.trust) else {
            return;
        };
        let signed = self.published(checks, note, &key, whole);
        if let Some(signed) = &signed {
            if self.backwards.is_none() {
                checks.found("clock", self.held_to_time(signed));
            }
            self.anchored(checks, signed, since);
        }
        self.lines(checks);
        self.judged(checks, whole);
    }

    /// Says of records without lines whether they were erased, let go by their host, or withheld.
    fn lines(&self, checks: &mut Checks) {
        const NAME: &str = "lines";
        let retention = self.docket.retention();
        let (unsaid, count) = retention.unsaid();
        for it in unsaid.iter().take(MAX_TOLD) {
            let chain = Digest::new(it.chain);
            let which = format!(
                "{}, statements {} to {}, the last at log index {}",
                self.name(&chain),
                it.first,
                it.last,
                it.last_index
            );
            if it.withheld {
                checks.fail(
                    NAME,
                    format!(
                        "{which}: their lines are missing, which no erasure announced and their \
                         host did not let go"
                    ),
                );
            } else {
                checks.unknown(
                    NAME,
                    format!("{which}: their lines are missing, and nothing says yet why"),
                );
            }
        }
        if count > 0 {
            return;
        }
        let said = match retention.erasures() {
            (0, _) => "no line is missing without a word of the host that let it go".to_owned(),
            (erasures, lines) => format!(
                "{lines} lines were erased, as {erasures} erasures announced; no other is missing \
                 without a word of the host that let it go"
            ),
        };
        checks.fine(NAME, said);
    }

    /// Holds a clock that advances against the reader's witnesses.
    fn held_to_time(&self, signed: &SignedCheckpoint) -> Found {
        match anchor::clock(&self.lags, self.trust, signed, self.clock) {
            Found::Fine(text) => {
                let vouched = self.views.dated().map(|(entries, ms)| {
                    format!(
                        "; the first {entries} entries, which they cosigned, can be back-dated by \
                         {} min at most",
                        ms.div_ceil(60_000)
                    )
                });
                Found::Fine(format!(
                    "every clock advances on the one before it; {text}{}",
                    vouched.unwrap_or_default()
                ))
            }
            other => other,
        }
    }

    /// Holds the published checkpoint against the log's key and the tree.
    fn published(
        &self,
        checks: &mut Checks,
        note: Option<&[u8]>,
        key: &NoteKey,
        whole: bool,
    ) -> Option<SignedCheckpoint> {
        const NAME: &str = "checkpoint";
        let Some(note) = note else {
            checks.fail(
                NAME,
                "checkpoint is missing; nothing signed says how large the log is",
            );
            return None;
        };
        let signed = match Checkpoint::open(note, key) {
            Ok(signed) => signed,
            Err(fault) => {
                checks.fail(NAME, format!("checkpoint: {fault}"));
                return None;
            }
        };
        let now = signed.checkpoint();
        let size = now.size();
        checks.anchor.size = Some(size);
        checks.anchor.root = Some(now.root().to_string());
        // One spelling: what is not part of the note would be seen by nobody.
        if signed.note().to_string().as_bytes() != note {
            checks.fail(NAME, "checkpoint is not in its one spelling");
            return Some(signed);
        }
        if size > self.size() && !whole {
            checks.unknown(
                NAME,
                format!(
                    "signed by {key}, size {size}, of which {} entries could be read",
                    self.size()
                ),
            );
            return Some(signed);
        }
        if size > self.size() {
            checks.fail(
                NAME,
                format!(
                    "checkpoint is of size {size}, and only {} entries are there",
                    self.size()
                ),
            );
            return Some(signed);
        }
        match self.past.root(size, &self.edge) {
            Ok(root) if root == *now.root() => {
                checks.fine(NAME, format!("signed by {key}, size {size}, the root of this tree"));
            }
            Ok(root) => checks.fail(
                NAME,
                format!(
                    "checkpoint: the log signed size {size} under root {}, and its entries have {root}",
                    now.root()
                ),
            ),
            Err(unheld) => checks.unknown(NAME, format!("checkpoint of size {size}: {unheld}")),
        }
        Some(signed)
    }

    fn anchored(&self, checks: &mut Checks, signed: &SignedCheckpoint, since: &[Note]) {
        let lineage = self.authorities().lineage();
        let quorum = |signed: &SignedCheckpoint| {
            let policy = self.trust.and_then(Trust::witnesses);
            policy.is_some_and(|it| it.cosigned(signed.note(), signed.checkpoint()).is_ok())
        };
        let mut anchor = std::mem::take(&mut checks.anchor);
        let witnessed = match self.views.witnessed() {
            Some(logged) if !quorum(signed) => logged,
            _ => signed,
        };
        let witnesses = anchor::witnesses(&mut anchor, witnessed, self.trust);
        if witnessed.checkpoint() != signed.checkpoint() {
            // What came after it is not covered, so it is the smaller tree that is anchored.
            anchor.size = Some(witnessed.checkpoint().size());
            anchor.root = Some(witnessed.checkpoint().root().to_string());
        }
        let sizes = since.iter().filter_map(|note| {
            let kept = note.text().parse::<Checkpoint>().ok()?;
            Some(kept.size())
        });
        let sizes: BTreeSet<u64> = sizes.filter(|size| *size <= self.size()).collect();
        let roots = sizes.into_iter().filter_map(|size| {
            let root = self.past.root(size, &self.edge).ok()?;
            Some((size, root))
        });
        let roots: BTreeMap<u64, Hash> = roots.collect();
        let kept = since.iter();
        let kept =
            kept.map(|note| anchor::kept(&mut anchor, note, lineage, signed.checkpoint(), &roots));
        let kept: Vec<_> = kept.collect();
        checks.anchor = anchor;
        checks.found("witnesses", witnesses);
        for found in kept {
            checks.found("kept", found);
        }
    }

    fn judged(&self, checks: &mut Checks, whole: bool) {
        let figures = self.judge().figures();
        kinds(checks, &figures.not_judged);
        sources(checks, self.others, self.trust);
        if !whole {
            return;
        }
        let withheld = figures.classes.iter().map(|class| class.withheld_ms.0);
        checks.judged = Some(Judged {
            findings: self.judge().findings(),
            lines_withheld: figures.lines_withheld,
            lines_erased: self
                .docket
                .retention()
                .erasures()
                .1
                .min(figures.lines_withheld),
            withheld_ms: Amount(withheld.fold(0, |sum: u128, ms| sum.saturating_add(ms))),
            not_judged: figures.not_judged,
        });
    }
}
