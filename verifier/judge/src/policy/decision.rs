//! What a pack decides of one question.

use std::sync::Arc;

use super::annotation::{Mode, Policy};

/// What a pack decides: whether the use is allowed, and what it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    broken: Vec<Broken>,
}

/// A policy that is broken, or that could not be asked, which is not clear either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broken {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Why Cedar gave no answer; `None` when it gave one.
    pub error: Option<String>,
}

impl Decision {
    pub(super) fn new(broken: Vec<Broken>) -> Self {
        Self { broken }
    }

    /// Whether no policy that counts is broken.
    pub fn is_allowed(&self) -> bool {
        let counts = |broken: &Broken| broken.policy.mode() == Mode::Enforce;
        !self.broken.iter().any(counts)
    }

    /// All policies that are broken, those in shadow too, in the order of the pack's file.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// Those of them that gave no answer.
    pub fn errors(&self) -> impl Iterator<Item = &Broken> {
        self.broken.iter().filter(|broken| broken.error.is_some())
    }
}
