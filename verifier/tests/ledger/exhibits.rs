//! Files that statements name, on a disk that is nearly full.

use affiant_verifier::ledger::{Exhibits, LocalDisk, NotPut, RESERVE_BYTES};

use crate::fixture::Faults;

#[test]
fn what_the_log_needs_to_go_on_is_not_filled_with_files() {
    let dir = tempfile::tempdir().unwrap();
    let exhibits = Exhibits::of(dir.path());
    let disk = Faults::default();
    disk.set_free(RESERVE_BYTES + 5);
    let refused = exhibits.put_through(&disk, b"a list").unwrap_err();
    assert!(matches!(refused, NotPut::Full { .. }), "{refused}");
    assert_eq!(exhibits.all().unwrap(), []);
    disk.set_free(RESERVE_BYTES + 6);
    let named = exhibits.put_through(&disk, b"a list").unwrap();
    // What is there already takes no room.
    disk.set_free(0);
    assert_eq!(exhibits.put_through(&disk, b"a list").unwrap(), named);
    assert_eq!(exhibits.put_through(&LocalDisk, b"a list").unwrap(), named);
    assert_eq!(exhibits.all().unwrap(), [named]);
}
