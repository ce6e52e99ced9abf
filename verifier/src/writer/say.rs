//! What operator and officers say: it is admitted here, in the order in which it is written.

use std::sync::Arc;

use affiant_judge::admission::{Admitted, Refusal};
use affiant_proto::{
    Body, Ed25519Signer, Signer as _, Statement, chain::key_change_bytes, statement::SealError, v1,
};
use tokio::sync::oneshot;

use super::{Fatal, Logged, Submission, Writer};
use crate::ledger::Entry;

impl Writer {
    /// Admits statements of officers, all or none; gives them as what is only to be written.
    pub(super) fn officers(
        &mut self,
        statements: Vec<Statement>,
        admitted: oneshot::Sender<Result<Vec<Logged>, (usize, Refusal)>>,
    ) -> Vec<Submission> {
        let mut next = self.parts.authorities.clone();
        let mut holds = self.parts.retention.lock().holds().clone();
        let index = Some(self.next_index());
        let mut found = Vec::with_capacity(statements.len());
        let mut waiting = Vec::with_capacity(statements.len());
        for (number, statement) in (1..).zip(statements) {
            let entry = Entry::bare(&statement);
            let act = next.admit(index, statement, false);
            let act = act.map_err(Refusal::from).and_then(|act| {
                let admitted = Admitted::from(act);
                let verified = admitted.verified();
                if let Body::Hold(hold) = verified.body() {
                    holds.take(*verified.chain().as_bytes(), hold)?;
                }
                Ok(admitted)
            });
            match act {
                Ok(act) => {
                    let (logged, index) = oneshot::channel();
                    waiting.push(index);
                    found.push(Submission::Admitted {
                        admitted: Arc::new(act),
                        entry,
                        opens: None,
                        logged: Some(logged),
                    });
                }
                Err(refused) => {
                    // Nobody is left to tell when the asker has gone.
                    let _ = admitted.send(Err((number, refused)));
                    return Vec::new();
                }
            }
        }
        self.parts.authorities = next;
        self.show();
        let _ = admitted.send(Ok(waiting));
        found
    }

    /// Shows who speaks for the deployment now, and has every stream look whether it may go on.
    fn show(&self) {
        let newest = Arc::new(self.parts.authorities.clone());
        self.parts.newest.send_replace(newest);
        self.parts.hosts.wake_all();
    }

    /// Signs a statement of the operator at the head of his chain, `ahead` entries behind what is
    /// durable; gives the refusal of what cannot be said.
    #[allow(
        clippy::type_complexity,
        reason = "a failure that ends all, and one that does not"
    )]
    pub(super) fn operators(
        &mut self,
        body: Body,
        ahead: usize,
    ) -> Result<Result<(Arc<Admitted>, Entry), Refusal>, Fatal> {
        let index = self.next_index().saturating_add(ahead as u64);
        // Before it is signed: what is signed and not logged leaves a hole in the chain.
        let untrue = match &body {
            Body::Erasure(erasure) => self.parts.retention.lock().check(index, erasure),
            _ => Ok(()),
        };
        if let Err(untrue) = untrue {
            return Ok(Err(untrue.into()));
        }
        // The operator speaks with the log's time, which advances even when the wall clock does not.
        let unix_ms = match body {
            Body::Clock(_) => self.clock_ms,
            _ => self.parts.clock.now_ms().max(self.clock_ms),
        };
        let time = v1::Time {
            unix_ms,
            clock: v1::ClockState::Unknown.into(),
            max_error_ms: None,
        };
        let seen = self.parts.published.borrow().clone();
        let checkpoint = (seen.size > 0).then(|| v1::CheckpointRef {
            origin: self.parts.origin.clone(),
            size: seen.size,
            root: seen.root.as_bytes().to_vec(),
        });
        let place = self.parts.authorities.operator().next_place();
        let made = match Statement::seal(body, place, time, checkpoint, &self.parts.signer) {
            Ok(made) => made,
            Err(SealError::Unreadable(fault)) => {
                tracing::error!(%fault, "a statement of the operator cannot be read back");
                return Ok(Err(Refusal::Kind("unreadable".into())));
            }
            Err(error) => return Err(error.into()),
        };
        let entry = Entry::bare(&made);
        let admitted: Admitted = match self.parts.authorities.admit(Some(index), made, false) {
            Ok(act) => act.into(),
            Err(refused) => return Ok(Err(refused.into())),
        };
        let lasting = matches!(
            admitted.verified().body(),
            Body::Key(_) | Body::Revocation(_) | Body::Succession(_)
        );
        if lasting {
            self.show();
        }
        Ok(Ok((Arc::new(admitted), entry)))
    }

    /// Hands the operator's chain over to a new key.
    #[allow(
        clippy::type_complexity,
        reason = "as for any statement of the operator"
    )]
    pub(super) fn handover(
        &mut self,
        signer: Ed25519Signer,
        ahead: usize,
    ) -> Result<Result<(Arc<Admitted>, Entry), Refusal>, Fatal> {
        let state = self.parts.authorities.operator();
        let key = signer.public_key();
        let (sequence, previous) = (state.sequence().saturating_add(1), state.head());
        let bytes = key_change_bytes(state.chain(), sequence, previous, key);
        let change = v1::Key {
            header: None,
            new_key: key.as_bytes().to_vec(),
            proof: signer.sign(&bytes).map_err(SealError::from)?.to_vec(),
            ca: Vec::new(),
        };
        let made = self.operators(change.into(), ahead)?;
        if made.is_ok() {
            self.parts.signer = signer;
        }
        Ok(made)
    }
}
