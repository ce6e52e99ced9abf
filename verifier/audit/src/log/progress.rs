//! How far an audit has come, for people who look on.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Is told how far an audit has come.
pub trait Watch {
    /// `done` of `all` entries were read.
    fn at(&mut self, done: u64, all: u64);

    /// Nothing more will be read.
    fn over(&mut self) {}
}

/// Nobody looks on.
impl Watch for () {
    fn at(&mut self, _done: u64, _all: u64) {}
}

/// A bar on standard error while that is a terminal; else nothing.
#[derive(Debug)]
pub struct Bar {
    begun: Instant,
    drawn: Option<Instant>,
    shown: bool,
}

/// Between two drawings: faster than an eye follows, and too seldom to cost anything.
const PAUSE: Duration = Duration::from_millis(200);

impl Default for Bar {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            drawn: None,
            shown: io::stderr().is_terminal(),
        }
    }
}

impl Watch for Bar {
    fn at(&mut self, done: u64, all: u64) {
        let now = Instant::now();
        let fresh = self.drawn.is_some_and(|drawn| now < drawn + PAUSE);
        if !self.shown || fresh || now < self.begun + PAUSE {
            return;
        }
        self.drawn = Some(now);
        let text = line(done, all, now.duration_since(self.begun));
        // A bar that cannot be drawn is no reason to stop.
        let _ = write!(io::stderr(), "\r{text}\x1b[K");
    }

    fn over(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// The bar with rate and time left.
fn line(done: u64, all: u64, since: Duration) -> String {
    let percent = done
        .saturating_mul(100)
        .checked_div(all)
        .unwrap_or(100)
        .min(100);
    let filled = usize::try_from(percent / 4).unwrap_or(25);
    let ms = since.as_millis().max(1);
    let rate = u128::from(done) * 1_000 / ms;
    let left = u128::from(all.saturating_sub(done)).checked_div(rate);
    let left = match left {
        None => "unknown".to_owned(),
        Some(seconds) if seconds < 60 => format!("{seconds} s"),
        Some(seconds) if seconds < 3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        Some(seconds) => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    };
    format!(
        "auditing [{:<25}] {percent:>3} %, {done} of {all} entries, {rate} a second, left: {left}",
        "=".repeat(filled)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_follow_from_what_was_done() {
        let text = line(50_000, 450_000, Duration::from_secs(5));
        assert_eq!(
            text,
            "auditing [==                       ]  11 %, 50000 of 450000 entries, 10000 a second, left: 40 s"
        );
        assert!(line(0, 10, Duration::ZERO).ends_with("left: unknown"));
        assert!(line(10, 10, Duration::from_secs(1)).contains("100 %"));
        assert!(line(1, 10_000, Duration::from_secs(1)).ends_with("left: 2 h 46 min"));
    }
}
