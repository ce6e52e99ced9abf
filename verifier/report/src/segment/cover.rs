//! Which of the files in a directory are the log's segments.
//!
//! A segment may be rewritten, when lines are erased: for a while, and after a crash, the directory
//! then holds two over the same entries, and the one that was rewritten more often counts.

use std::collections::BTreeMap;

use super::SegmentName;

/// Chooses from `names` the segments that hold the entries from 0 to `end − 1`, in order.
///
/// Of several that start alike the one of the highest revision counts, and of these the longest;
/// `revision` is asked only then. Where nothing goes on it ends, so that the last one ends before
/// `end`: the caller says what that means. What the entries are, the root of their tree says.
pub fn cover<E>(
    names: impl IntoIterator<Item = SegmentName>,
    end: u64,
    mut revision: impl FnMut(&SegmentName) -> Result<u64, E>,
) -> Result<Vec<SegmentName>, E> {
    let mut by_start: BTreeMap<u64, Vec<SegmentName>> = BTreeMap::new();
    for name in names.into_iter().filter(|name| name.end() <= end) {
        by_start.entry(name.start()).or_default().push(name);
    }
    let mut chosen = Vec::new();
    let mut at = 0;
    // None is empty, so this ends.
    while let Some(here) = by_start.remove(&at) {
        let name = match here.as_slice() {
            [only] => *only,
            several => {
                let mut best: Option<((u64, u64), SegmentName)> = None;
                for name in several {
                    let rank = (revision(name)?, name.end());
                    if best.is_none_or(|(highest, _)| rank > highest) {
                        best = Some((rank, *name));
                    }
                }
                let Some((_, name)) = best else { break };
                name
            }
        };
        chosen.push(name);
        at = name.end();
    }
    Ok(chosen)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;

    use affiant_proto::digest;

    use super::*;

    /// Names with a revision each, spelled `start-end:revision`.
    fn chosen(given: &[(u64, u64, u64)], end: u64) -> Vec<(u64, u64, u64)> {
        let name = |(start, end, revision): &(u64, u64, u64)| {
            SegmentName::new(*start, *end, digest(&revision.to_be_bytes())).unwrap()
        };
        let named: BTreeMap<_, _> = given.iter().map(|it| (name(it), *it)).collect();
        let revision = |name: &SegmentName| Ok::<_, Infallible>(named[name].2);
        let found = cover(named.keys().copied(), end, revision).unwrap();
        found.iter().map(|name| named[name]).collect()
    }

    #[test]
    fn the_rewritten_one_counts_whatever_else_is_still_there() {
        let old = [(0, 5, 0), (5, 9, 0), (9, 12, 0)];
        assert_eq!(chosen(&old, 12), old);
        let one = [(0, 5, 0), (5, 9, 0), (5, 9, 2), (5, 9, 1), (9, 12, 0)];
        assert_eq!(chosen(&one, 12), [(0, 5, 0), (5, 9, 2), (9, 12, 0)]);
        let joined = [(0, 9, 1), (0, 5, 0), (5, 9, 0), (9, 12, 0)];
        assert_eq!(chosen(&joined, 12), [(0, 9, 1), (9, 12, 0)]);
    }

    #[test]
    fn it_ends_where_nothing_goes_on_and_takes_nothing_beyond_the_end() {
        assert_eq!(chosen(&[(0, 5, 0), (6, 9, 0)], 9), [(0, 5, 0)]);
        assert_eq!(chosen(&[(1, 5, 0)], 5), []);
        assert_eq!(chosen(&[(0, 5, 0), (5, 9, 0)], 8), [(0, 5, 0)]);
    }
}
