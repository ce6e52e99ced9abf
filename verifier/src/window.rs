//! How much of one stream may be on its way into the log.
//!
//! The writer's queue is first come, first served, and a stream waits for its place with one
//! statement at a time. So what a live host sends waits for at most a full queue, however long the
//! backlogs are that others drain: a second of the writer's full load. The window keeps one stream
//! from filling that queue alone, and a host that never waits for INCLUDED from growing what a
//! crash takes back.

use std::collections::VecDeque;

/// Statements of one stream that are admitted and not yet INCLUDED. With segments of a second it
/// is 256 statements a second: eight days at one in 10 s are drained in five minutes. Two hundred
/// such streams are four times the writer's queue, and each gets its turn.
pub const WINDOW: usize = 256;

/// The statements of one stream on their way.
#[derive(Debug, Default)]
pub struct Window(VecDeque<u64>);

impl Window {
    /// Tells whether another statement may be read from the stream.
    pub fn has_room(&self) -> bool {
        self.0.len() < WINDOW
    }

    /// A statement was handed to the writer.
    pub fn push(&mut self, sequence: u64) {
        self.0.push_back(sequence);
    }

    /// Everything up to `sequence` is INCLUDED.
    pub fn include(&mut self, sequence: u64) {
        while self.0.front().is_some_and(|at| *at <= sequence) {
            self.0.pop_front();
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_waits_once_its_window_is_full_and_goes_on_as_far_as_is_included() {
        let mut window = Window::default();
        for sequence in 1..=WINDOW as u64 {
            assert!(window.has_room());
            window.push(sequence);
        }
        assert!(!window.has_room());
        window.include(10);
        assert_eq!(window.len(), WINDOW - 10);
        assert!(window.has_room());
        window.include(u64::MAX);
        assert!(window.is_empty());
    }
}
