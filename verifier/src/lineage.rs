//! What agents are told of trust since the genesis: the statements that passed it on, in the order of
//! the log.

use affiant_judge::admission::Admitted;
use affiant_proto::{Body, authority::Authorities};

/// Most bytes that Describe carries: a gRPC message has 4 MiB by default, and half of it is some
/// 5,000 statements of 400 bytes; a deployment changes a few keys a year. Beyond it the newest are
/// left out, and an agent that meets one of them has to be told by its operator.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// The statements by which trust passed on.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    statements: Vec<Vec<u8>>,
    bytes: usize,
}

impl Lineage {
    /// Takes note of an admitted statement, if trust passes on by it.
    ///
    /// Returns whether it did.
    pub fn hear(&mut self, authorities: &Authorities, admitted: &Admitted) -> bool {
        let verified = admitted.verified();
        let passes = match verified.body() {
            Body::Officer(_) | Body::Revocation(_) | Body::Succession(_) => true,
            // A host's own key is between it and the verifier.
            Body::Key(_) => authorities.knows(&verified.chain()),
            _ => false,
        };
        let statement = verified.statement().as_bytes();
        let fits = self.bytes + statement.len() <= MAX_BYTES;
        if passes && fits {
            self.bytes += statement.len();
            self.statements.push(statement.to_vec());
        }
        passes && fits
    }

    /// All of them, in order.
    pub fn statements(&self) -> Vec<Vec<u8>> {
        self.statements.clone()
    }
}
