//! Exhibits: files that statements name by their digest and that lie beside the log.
//!
//! A screening list is public and large, so the log holds its digest and not its text. Whoever judges
//! the log brings the file; one that is not at hand makes what rests on it *not judged*.

use std::{fmt, sync::Arc};

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

/// The exhibit at hand, under the digest of its bytes. Each is handed in right before the statement that names
/// it, so there is one: what no statement takes out is 64 MiB at the most.
#[derive(Clone, Default)]
pub(crate) struct Exhibits(Option<(Digest, Arc<[u8]>)>);

impl Exhibits {
    /// Adds one, in the place of one that was not taken.
    pub(crate) fn add(&mut self, bytes: Vec<u8>) {
        self.0 = Some((digest(&bytes), bytes.into()));
    }

    /// Takes one out: what was read from it is kept in its place.
    pub(crate) fn take(&mut self, named: &[u8]) -> Option<Arc<[u8]>> {
        let (_, bytes) = self.0.take_if(|(held, _)| held.as_bytes() == named)?;
        Some(bytes)
    }
}

impl fmt::Debug for Exhibits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.0.iter().map(|(named, _)| named);
        f.debug_set().entries(named).finish()
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

    #[test]
    fn what_no_statement_takes_is_not_kept_beside_the_next() {
        let mut exhibits = Exhibits::default();
        exhibits.add(b"never named".to_vec());
        exhibits.add(b"a list".to_vec());
        assert_eq!(exhibits.take(digest(b"never named").as_bytes()), None);
        assert!(exhibits.take(digest(b"a list").as_bytes()).is_some());
        assert_eq!(exhibits.take(digest(b"a list").as_bytes()), None);
    }
}
