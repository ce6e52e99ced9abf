//! How a session ends: for good, on purpose, or before its time.

use affiant_proto::v1;

use crate::{
    anchor::Unproved,
    recorder::{NotRejoined, RecorderGone},
    rpc::{RpcError, plain},
    spool::SpoolError,
};

/// Why nothing may be sent any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Halt {
    /// A record is not in the spool, and those around it are.
    #[error(
        "record {0} is not in the spool; restore it from a backup, or enrol anew with `affiant-agent enroll --again`"
    )]
    NotKept(u64),
    /// A record will never be taken.
    #[error(
        "the verifier refuses record {sequence} for good ({code}): {text}{}",
        remedy(code)
    )]
    Refused {
        /// Which one.
        sequence: u64,
        /// Stable word.
        code: String,
        /// For people.
        text: String,
    },
    /// The spool does not read.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A record does not read.
    #[error("record {0} of the spool does not read; restore the spool from a backup")]
    Record(u64),
}

/// What helps where the chain itself is over.
fn remedy(code: &str) -> &'static str {
    match code {
        "revoked" | "frozen" | "signature" | "key" => {
            ". stop the agent and open a new chain: `affiant-agent enroll --again --reason TEXT \
             --token-file FILE`"
        }
        _ => "",
    }
}

/// How a session ended for good or on purpose.
#[derive(Debug)]
pub(super) enum End {
    /// Everything up to the agent's last record is INCLUDED.
    Drained,
    /// The certificate is due.
    RenewalDue,
    /// Nothing may be sent any more.
    Halted(Halt),
    /// The recorder ended; so will the agent.
    Gone,
}

/// Why a session ended before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("the verifier closed the connection")]
    Closed,
    #[error("the verifier does not keep to the protocol: {0}")]
    Protocol(&'static str),
    #[error("the verifier refuses record {sequence} for now ({code}): {text}")]
    Refused {
        sequence: u64,
        code: String,
        text: String,
    },
    #[error(transparent)]
    Unproved(#[from] Unproved),
    #[error(transparent)]
    NotRejoined(#[from] NotRejoined),
}

/// What ends a session: [`End`] or [`Lost`].
pub(super) enum Stop {
    End(End),
    Lost(Lost),
}

impl<E: Into<Lost>> From<E> for Stop {
    fn from(lost: E) -> Self {
        Self::Lost(lost.into())
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::End(End::Halted(halt))
    }
}

impl From<RecorderGone> for Stop {
    fn from(_: RecorderGone) -> Self {
        Self::End(End::Gone)
    }
}

/// Takes a refusal for what it says.
pub(super) fn refusal(refused: v1::Refused) -> Stop {
    let (sequence, code, text) = (refused.sequence, plain(&refused.code), plain(&refused.text));
    if refused.permanent {
        Halt::Refused {
            sequence,
            code,
            text,
        }
        .into()
    } else {
        Lost::Refused {
            sequence,
            code,
            text,
        }
        .into()
    }
}
