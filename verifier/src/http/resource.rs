//! What a path names.

use affiant_proto::{Digest, tlog::TilePath};
use affiant_report::segment::SegmentName;

/// Longest path that can name anything: `/segments/` and two indices of 20 digits, a digest of 64
/// and an ending are some 130 bytes; a tile's path is shorter.
const MAX_PATH_BYTES: usize = 256;

/// One thing that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// The newest checkpoint.
    Checkpoint,
    /// Hashes or entries.
    Tile(TilePath),
    /// The statement at an index, with its leaves.
    Statement(u64),
    /// The exhibit of this digest.
    Exhibit(Digest),
    /// The names of the log's segments.
    Segments,
    /// One of them.
    Segment(SegmentName),
}

impl Resource {
    /// Reads a path; each thing has one spelling only.
    pub(super) fn parse(path: &str) -> Option<Self> {
        if path.len() > MAX_PATH_BYTES {
            return None;
        }
        let path = path.strip_prefix('/')?;
        if path == "checkpoint" {
            return Some(Self::Checkpoint);
        }
        if let Some(index) = path.strip_prefix("statement/") {
            let read: u64 = index.parse().ok()?;
            return (read.to_string() == index).then_some(Self::Statement(read));
        }
        if let Some(named) = path.strip_prefix("exhibits/") {
            let read: Digest = named.parse().ok()?;
            return (read.to_string() == named).then_some(Self::Exhibit(read));
        }
        match path.strip_prefix("segments/") {
            Some("index") => Some(Self::Segments),
            Some(name) => name.parse().ok().map(Self::Segment),
            None => path.parse().ok().map(Self::Tile),
        }
    }

    /// Tells whether it can have megabytes: a segment or an exhibit up to 64 MiB, and the names of all
    /// segments 100 bytes for each hour.
    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::Segment(_) | Self::Segments | Self::Exhibit(_))
    }

    /// Tells whether it holds what not everybody may read.
    pub(super) fn is_private(&self) -> bool {
        !matches!(self, Self::Checkpoint | Self::Tile(_))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_log_has_one_path() {
        let name = format!("0-12-{}.seg", "ab".repeat(32));
        let read = |path: &str| Resource::parse(path);
        assert_eq!(read("/checkpoint"), Some(Resource::Checkpoint));
        for tile in [
            "tile/0/000",
            "tile/1/x001/234.p/17",
            "tile/entries/067.p/255",
        ] {
            assert_eq!(
                read(&format!("/{tile}")),
                Some(Resource::Tile(tile.parse().unwrap()))
            );
        }
        assert_eq!(read("/statement/0"), Some(Resource::Statement(0)));
        assert_eq!(read("/segments/index"), Some(Resource::Segments));
        let segment = read(&format!("/segments/{name}")).unwrap();
        assert_eq!(segment, Resource::Segment(name.parse().unwrap()));
        let named = affiant_proto::digest(b"list");
        let exhibit = read(&format!("/exhibits/{named}")).unwrap();
        assert_eq!(exhibit, Resource::Exhibit(named));
        assert!(exhibit.is_private());
        assert!(segment.is_private() && Resource::Statement(1).is_private());
        assert!(!Resource::Checkpoint.is_private());
    }

    #[test]
    fn other_spellings_and_ways_out_of_the_log_name_nothing() {
        for path in [
            "",
            "/",
            "checkpoint",
            "/checkpoint/",
            "//checkpoint",
            "/tile/0/0",
            "/tile/00/000",
            "/tile/0/000.p/0",
            "/tile/0/000.p/256",
            "/tile/0/../../lock",
            "/statement/007",
            "/statement/+7",
            "/statement/-1",
            "/statement/18446744073709551616",
            "/segments/",
            "/segments/../lock",
            "/segments/%2e%2e/lock",
            "/lock",
            "/exhibits/",
            "/exhibits/../lock",
        ] {
            assert_eq!(Resource::parse(path), None, "{path}");
        }
        assert_eq!(
            Resource::parse(&format!("/tile/0/{}", "x001/".repeat(100))),
            None
        );
    }
}
