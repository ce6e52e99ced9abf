//! Exhibits: files that statements name by their digest and that lie beside the log.
//!
//! A screening list is public and large, so the log holds its digest and not its text. Whoever judges
//! the log brings the file; one that is not at hand makes what rests on it *not judged*.

use std::{collections::BTreeMap, fmt, sync::Arc};

use affiant_proto::{Body, Digest, digest};

/// Most bytes of one exhibit. The Consolidated Screening List has some 25,000 entries of 600 bytes as
/// CSV, 15 MB; four times that is room.
pub const MAX_EXHIBIT_BYTES: usize = 64 * 1024 * 1024;

/// The exhibit that a statement names.
pub fn named(body: &Body) -> Option<Digest> {
    let named = match body {
        Body::ListImport(import) => &import.digest,
        Body::PolicyPack(pack) => &pack.digest,
        _ => return None,
    };
    Digest::try_from(named.as_slice()).ok()
}

/// Exhibits at hand, each under the digest of its bytes.
#[derive(Clone, Default)]
pub(crate) struct Exhibits(BTreeMap<Digest, Arc<[u8]>>);

impl Exhibits {
    /// Adds one.
    pub(crate) fn add(&mut self, bytes: Vec<u8>) {
        self.0.insert(digest(&bytes), bytes.into());
    }

    /// Takes one out: what was read from it is kept in its place.
    pub(crate) fn take(&mut self, named: &[u8]) -> Option<Arc<[u8]>> {
        self.0.remove(&Digest::try_from(named).ok()?)
    }
}

impl fmt::Debug for Exhibits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use affiant_proto::v1;

    use super::*;

    #[test]
    fn an_exhibit_is_found_by_the_digest_of_its_bytes_alone() {
        let mut exhibits = Exhibits::default();
        exhibits.add(b"name\nAcme\n".to_vec());
        let import = v1::ListImport {
            digest: digest(b"name\nAcme\n").as_bytes().to_vec(),
            ..Default::default()
        };
        let other = digest(b"name\nacme\n");
        assert_eq!(exhibits.take(other.as_bytes()), None);
        assert_eq!(exhibits.take(b"short"), None);
        assert!(exhibits.take(&import.digest).is_some());
        let named = named(&Body::ListImport(import.clone()));
        assert_eq!(named, Digest::try_from(import.digest.as_slice()).ok());
    }
}
