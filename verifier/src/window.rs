//! How much of one stream may be on its way into the log.
//!
//! The writer's queue is first come, first served, and a stream waits for its place with one
//! statement at a time. So what a live host sends waits for at most a full queue, however long the
//! backlogs are that others drain: a second of the writer's full load. The window keeps one stream
//! from filling that queue alone, and a host that never waits for INCLUDED from growing what a
//! crash takes back.

/// Statements of one host's stream that are admitted and not yet INCLUDED. With segments of a
/// second it is 256 statements a second: eight days at one in 10 s are drained in five minutes. Two
/// hundred such streams are four times the writer's queue, and each gets its turn.
pub const WINDOW: u64 = 256;

/// The statements of one chain that a stream has on their way: those after `included`, up to
/// `sent`. A chain has no holes, but where its host lost statements for good: then those count too,
/// until what follows them is INCLUDED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    sent: u64,
    included: u64,
}

impl Flight {
    /// Begins behind the chain's head: nothing of this stream is on its way.
    pub fn behind(head: u64) -> Self {
        Self {
            sent: head,
            included: head,
        }
    }

    /// A statement was handed to the writer; gives by how many more are on their way.
    pub fn send(&mut self, sequence: u64) -> u64 {
        let more = sequence.saturating_sub(self.sent);
        self.sent = self.sent.max(sequence);
        more
    }

    /// Everything up to `sequence` is INCLUDED; gives by how many fewer are on their way.
    pub fn include(&mut self, sequence: u64) -> u64 {
        let to = sequence.clamp(self.included, self.sent);
        let fewer = to - self.included;
        self.included = to;
        fewer
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.sent - self.included
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_and_not_included_is_on_its_way_and_nothing_else() {
        let mut flight = Flight::behind(40);
        assert!(flight.is_empty());
        for sequence in 41..=40 + WINDOW {
            assert_eq!(flight.send(sequence), 1);
        }
        assert_eq!(flight.len(), WINDOW);
        // What an earlier stream had sent counts for nothing here.
        assert_eq!(flight.include(12), 0);
        assert_eq!(flight.include(50), 10);
        assert_eq!(flight.len(), WINDOW - 10);
        assert_eq!(flight.include(u64::MAX), WINDOW - 10);
        assert!(flight.is_empty());
    }

    #[test]
    fn a_hole_counts_until_what_follows_it_is_included() {
        let mut flight = Flight::behind(1);
        assert_eq!(flight.send(1_000), 999);
        assert_eq!(flight.include(1_000), 999);
        assert!(flight.is_empty());
    }
}
