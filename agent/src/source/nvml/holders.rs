//! The driver's list of processes, from bytes to pids.
//!
//! Some drivers of the 535 series return a longer struct from the same call, so that every pid
//! but the first comes out scrambled. The layout is told by the symbols that the library exports,
//! and a list that still makes no sense is refused whole: half a list would name the wrong tenant.

use super::frame::Holder;

/// Entries that the driver is given room for. A list that does not fit is refused, not cut: 256
/// processes on one GPU is five times the 48 clients that MPS allows.
pub(super) const ROOM: usize = 256;

/// Bytes of the longest entry.
pub(super) const LONGEST_ENTRY: usize = 32;

/// Largest pid that Linux gives (PID_MAX_LIMIT, 2^22); a scrambled entry is nearly always above.
const MAX_PID: u32 = 1 << 22;

/// How the driver lays out one entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// As nvml.h has it: pid, padding, memory, GPU instance, compute instance; 24 bytes.
    Published,
    /// The same with protected memory behind it; 32 bytes.
    Early535,
}

impl Layout {
    /// Tells the layout by two symbols: early 535 drivers had the first and not yet the second.
    pub(super) fn of(has_conf_compute_mem_size: bool, has_process_detail_list: bool) -> Self {
        if has_conf_compute_mem_size && !has_process_detail_list {
            Self::Early535
        } else {
            Self::Published
        }
    }

    fn stride(self) -> usize {
        match self {
            Self::Published => 24,
            Self::Early535 => LONGEST_ENTRY,
        }
    }
}

/// Reads `count` entries; processes that stand there several times (once per context or MIG
/// instance) become one, with their memory added up.
///
/// `None` when the driver claims more than there was room for, or a pid that cannot be.
pub(super) fn decode(bytes: &[u8], layout: Layout, count: usize) -> Option<Vec<Holder>> {
    if count > ROOM {
        return None;
    }
    let mut holders = Vec::with_capacity(count);
    for entry in bytes.chunks_exact(layout.stride()).take(count) {
        let pid = u32::from_ne_bytes(*entry.first_chunk()?);
        let memory = u64::from_ne_bytes(*entry.get(8..)?.first_chunk()?);
        if pid == 0 || pid > MAX_PID {
            return None;
        }
        // All ones: NVML_VALUE_NOT_AVAILABLE, not a size.
        let used_memory = Some(memory).filter(|&bytes| bytes != u64::MAX);
        merge(&mut holders, Holder { pid, used_memory });
    }
    Some(holders)
}

/// Adds a process, or its memory where it is already there.
pub(super) fn merge(holders: &mut Vec<Holder>, holder: Holder) {
    match holders.iter_mut().find(|known| known.pid == holder.pid) {
        None => holders.push(holder),
        Some(known) => {
            known.used_memory = known
                .used_memory
                .zip(holder.used_memory)
                .map(|(one, other)| one.saturating_add(other));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(layout: Layout, pid: u32, memory: u64) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        bytes[..4].copy_from_slice(&pid.to_ne_bytes());
        bytes.extend_from_slice(&memory.to_ne_bytes());
        // No instance: all ones.
        bytes.extend_from_slice(&[0xFF; 8]);
        bytes.resize(layout.stride(), 0);
        bytes
    }

    #[test]
    fn both_layouts_give_the_same_processes() {
        for layout in [Layout::Published, Layout::Early535] {
            let bytes = [entry(layout, 41, 7 << 30), entry(layout, 42, u64::MAX)].concat();
            let holders = decode(&bytes, layout, 2).unwrap();
            assert_eq!(
                holders,
                [
                    Holder {
                        pid: 41,
                        used_memory: Some(7 << 30)
                    },
                    Holder {
                        pid: 42,
                        used_memory: None
                    },
                ]
            );
        }
    }

    #[test]
    fn a_list_read_in_the_wrong_layout_is_refused_and_names_nobody() {
        let bytes: Vec<u8> = (1..=4)
            .flat_map(|pid| entry(Layout::Early535, 4000 + pid, 1 << 30))
            .collect();
        assert_eq!(decode(&bytes, Layout::Published, 4), None);
    }

    #[test]
    fn a_process_with_several_contexts_is_one_holder() {
        let layout = Layout::Published;
        let bytes = [entry(layout, 41, 10), entry(layout, 41, 5)].concat();
        let holders = decode(&bytes, layout, 2).unwrap();
        assert_eq!(
            holders,
            [Holder {
                pid: 41,
                used_memory: Some(15)
            }]
        );
    }

    #[test]
    fn a_count_beyond_the_room_is_refused() {
        let bytes = vec![1; ROOM * LONGEST_ENTRY];
        assert_eq!(decode(&bytes, Layout::Published, 0xFFFF_FFFF), None);
        assert_eq!(decode(&bytes, Layout::Published, ROOM + 1), None);
    }

    #[test]
    fn only_early_535_drivers_have_the_longer_struct() {
        assert_eq!(Layout::of(false, false), Layout::Published);
        assert_eq!(Layout::of(true, false), Layout::Early535);
        assert_eq!(Layout::of(true, true), Layout::Published);
    }

    proptest! {
        #[test]
        fn any_bytes_and_any_count_give_pids_that_can_be_or_nothing(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), count: usize
        ) {
            for holder in decode(&bytes, Layout::Published, count).unwrap_or_default() {
                prop_assert!((1..=MAX_PID).contains(&holder.pid));
            }
        }
    }
}
