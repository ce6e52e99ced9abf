//! How the connection to the verifier stands, for those who ask.

use serde::{Deserialize, Serialize};

/// Most bytes of an error that is handed on: two lines of a terminal, many times over.
const MAX_TEXT: usize = 1_024;

/// The connection, times by the wall clock in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Link {
    /// Not tried yet.
    Connecting {
        /// Since the agent's start.
        since_unix_ms: u64,
    },
    /// Records go out.
    Connected {
        /// Since the verifier's welcome.
        since_unix_ms: u64,
    },
    /// There is none; it is tried again.
    Lost {
        /// Since the last connection ended, or the agent's start.
        since_unix_ms: u64,
        /// Why the last attempt failed.
        error: String,
        /// When the next is made.
        retry_unix_ms: u64,
    },
    /// Nothing is sent any more, for a reason that a person must mend.
    Halted {
        /// Since then.
        since_unix_ms: u64,
    },
}

impl Link {
    /// The connection after an attempt that failed at `now_ms`, the next due after `wait_ms`.
    #[must_use]
    pub fn lost(&self, error: &str, now_ms: u64, wait_ms: u64) -> Self {
        let since_unix_ms = match self {
            Self::Connecting { since_unix_ms } | Self::Lost { since_unix_ms, .. } => *since_unix_ms,
            Self::Connected { .. } | Self::Halted { .. } => now_ms,
        };
        // Part of it is the other side's; a terminal is to show it.
        let mut error = error.replace(char::is_control, " ");
        error.truncate(error.floor_char_boundary(MAX_TEXT));
        Self::Lost {
            since_unix_ms,
            error,
            retry_unix_ms: now_ms.saturating_add(wait_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_lost_since_it_ended_however_often_it_is_tried_again() {
        let up = Link::Connected { since_unix_ms: 5 };
        let down = up.lost("gone", 100, 10).lost("refused", 200, 10);
        assert_eq!(
            down,
            Link::Lost {
                since_unix_ms: 100,
                error: "refused".into(),
                retry_unix_ms: 210
            }
        );
    }

    #[test]
    fn an_error_of_any_length_is_cut_between_two_characters() {
        let up = Link::Connecting { since_unix_ms: 5 };
        let Link::Lost { error, .. } = up.lost(&"é".repeat(MAX_TEXT), 6, 0) else {
            panic!("not lost");
        };
        assert_eq!(error.len(), MAX_TEXT);
        assert!(!up.lost(&format!("x{}", "é".repeat(MAX_TEXT)), 6, 0).eq(&up));
    }
}
