//! Children that were killed and have not yet gone: a process stuck in the driver survives even
//! SIGKILL, and keeps its memory and its hold on the devices.

/// Most children that may be stuck at once. One alone would end all reading; each further one
/// takes another bite of the host for the same stuck driver.
pub(super) const MAX_ABANDONED: usize = 2;

/// Anything that may be asked whether it has gone.
pub(super) trait Mortal {
    /// Says whether it is gone for good; never waits.
    fn is_gone(&mut self) -> bool;
}

impl Mortal for std::process::Child {
    fn is_gone(&mut self) -> bool {
        // An error means that there is nothing left to wait for.
        !matches!(self.try_wait(), Ok(None))
    }
}

/// Holds the killed until they are reaped.
#[derive(Debug)]
pub(super) struct Abandoned<P>(Vec<P>);

impl<P: Mortal> Abandoned<P> {
    /// Holds none.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Takes one that was killed.
    pub(super) fn add(&mut self, process: P) {
        self.0.push(process);
    }

    /// Lets go of those that are gone and says whether another may be started.
    pub(super) fn allows_another(&mut self) -> bool {
        self.0.retain_mut(|process| !process.is_gone());
        self.0.len() < MAX_ABANDONED
    }

    /// Gives those that are left.
    pub(super) fn left(&mut self) -> &[P] {
        self.0.retain_mut(|process| !process.is_gone());
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, rc::Rc};

    struct Stuck(Rc<Cell<bool>>);

    impl Mortal for Stuck {
        fn is_gone(&mut self) -> bool {
            self.0.get()
        }
    }

    #[test]
    fn after_two_stuck_children_none_is_started_until_one_is_reaped() {
        let (first, second) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let mut abandoned = Abandoned::none();
        assert!(abandoned.allows_another());
        abandoned.add(Stuck(Rc::clone(&first)));
        assert!(abandoned.allows_another());
        abandoned.add(Stuck(Rc::clone(&second)));
        assert!(!abandoned.allows_another());
        first.set(true);
        assert!(abandoned.allows_another());
        second.set(true);
        assert!(abandoned.left().is_empty());
    }
}
