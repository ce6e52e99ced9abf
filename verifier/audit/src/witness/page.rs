//! What a witness shows to people who look at it.

use std::fmt::Write as _;

use super::{Memory, Witness};

/// Says in plain text who the witness is, what it watches and what it last cosigned.
pub fn page<M: Memory>(witness: &Witness<M>) -> String {
    let mut text = format!(
        "A witness of transparency logs (C2SP tlog-witness).\n\n\
         key     {}\n\
         cosign  POST /add-checkpoint\n\
         read    GET /HASH/checkpoint, where HASH is the SHA-256 of a log's origin\n",
        witness.key()
    );
    for (origin, key, seen) in witness.watched() {
        // Writing into a string cannot fail.
        let _ = write!(text, "\nlog     {origin}\nkey     {key}\n");
        let Some(seen) = seen else {
            text.push_str("size    never asked\n");
            continue;
        };
        let checkpoint = seen.checkpoint();
        let _ = write!(
            text,
            "size    {}\nroot    {}\nread    /{}/checkpoint\n",
            checkpoint.size(),
            checkpoint.root(),
            super::server::origin_hash(origin)
        );
        if let Some(contradiction) = seen.contradiction() {
            let _ = write!(
                text,
                "\nThis log's key signed two trees of one size, shown at {} s since 1970:\n\n{}\n{}",
                contradiction.unix_s, contradiction.cosigned, contradiction.shown
            );
        }
    }
    text
}
