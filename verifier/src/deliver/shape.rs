//! What of a finding a receiver is told of: when this is another than before, there is an event.

use std::fmt;

use affiant_judge::{Finding, Severity, handling::State};
use serde::Serialize;

/// What receivers are told of one finding; evidence that only extends it is no news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    open: bool,
    severity: Severity,
    handled: Option<Handled>,
}

/// What officers did last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handled {
    state: State,
    /// Log index of what was said.
    index: u64,
    /// Whether evidence was logged since. Of a finding that somebody is at it says nothing new.
    overtaken: bool,
}

/// What happened to a finding, the first to tell first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// It goes on: it is new, or evidence came after it had ended.
    Opened,
    /// It ended: no evidence for as long as episodes are apart.
    Closed,
    /// Its evidence counts with another finding's now; this one is no more.
    Gone,
    /// An officer acknowledged or resolved it, or asked for its withdrawal, or it was withdrawn; or
    /// evidence came after that.
    Handled,
    /// It is graver than it was.
    Changed,
}

impl Event {
    /// Spells it as bodies and headers do.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Gone => "gone",
            Self::Handled => "handled",
            Self::Changed => "changed",
        }
    }
}

impl Shape {
    /// Reads it off a finding.
    pub(super) fn of(finding: &Finding) -> Self {
        let handled = finding.handling.as_ref().map(|handling| Handled {
            state: handling.state,
            index: handling.index,
            overtaken: handling.overtaken
                && matches!(handling.state, State::Resolved | State::Withdrawn),
        });
        Self {
            open: finding.open,
            severity: finding.severity,
            handled,
        }
    }

    /// Whether it may go on.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// What happened since `before`, the first to tell first; nothing where they are alike.
    pub(super) fn since(&self, before: Option<&Self>) -> Vec<Event> {
        let Some(before) = before else {
            let begun = [Event::Opened, Event::Closed];
            let begun = begun.into_iter().filter(|event| match event {
                Event::Opened => self.open,
                _ => !self.open,
            });
            let handled = self.handled.map(|_| Event::Handled);
            return begun.chain(handled).collect();
        };
        let mut events = Vec::new();
        match (before.open, self.open) {
            (false, true) => events.push(Event::Opened),
            (true, false) => events.push(Event::Closed),
            _ => {}
        }
        if before.handled != self.handled {
            events.push(Event::Handled);
        }
        if before.severity != self.severity {
            events.push(Event::Changed);
        }
        events
    }

    /// Reads what [`fmt::Display`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let open = match words.next()? {
            "open" => true,
            "closed" => false,
            _ => return None,
        };
        let severity = severity(words.next()?)?;
        let handled = match words.next() {
            None => None,
            Some(state) => Some(Handled {
                state: STATES.into_iter().find(|it| spelt(*it) == state)?,
                index: words.next()?.parse().ok()?,
                overtaken: match words.next() {
                    None => false,
                    Some("overtaken") => true,
                    Some(_) => return None,
                },
            }),
        };
        words.next().is_none().then_some(Self {
            open,
            severity,
            handled,
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.open { "open" } else { "closed" };
        write!(f, "{open} {}", self.severity.as_str())?;
        if let Some(handled) = self.handled {
            write!(f, " {} {}", spelt(handled.state), handled.index)?;
            if handled.overtaken {
                f.write_str(" overtaken")?;
            }
        }
        Ok(())
    }
}

const STATES: [State; 4] = [
    State::Acknowledged,
    State::Resolved,
    State::WithdrawalAsked,
    State::Withdrawn,
];

const fn spelt(state: State) -> &'static str {
    match state {
        State::Acknowledged => "acknowledged",
        State::Resolved => "resolved",
        State::WithdrawalAsked => "withdrawal_asked",
        State::Withdrawn => "withdrawn",
    }
}

/// Reads a severity as policies and reports spell it.
pub fn severity(text: &str) -> Option<Severity> {
    let all = [
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];
    all.into_iter().find(|severity| severity.as_str() == text)
}

/// The last time at which the log said anything about a finding, milliseconds since 1970.
pub(super) fn newest_ms(finding: &Finding) -> u64 {
    let handled = finding.handling.as_ref();
    let handled = handled.map_or(0, |handling| handling.logged_unix_ms);
    finding.evidence.logged_last_unix_ms.max(handled)
}
