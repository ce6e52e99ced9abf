//! A directory into which an export or a backup goes: its own, or nobody's.
//!
//! Both remove from their subfolders what only an earlier run put there, so a directory that is somebody
//! else's is refused before anything in it changes.

use std::{fs, io, path::Path};

use affiant_report::edge::TEMPORARY;

/// The first name in a directory that is none of `own`; none where there is no such directory, or in it
/// nothing else. A file that `own` names may still be being written.
pub fn stranger(directory: &Path, own: &[&str]) -> io::Result<Option<String>> {
    let found = match fs::read_dir(directory) {
        Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    let mut strangers = Vec::new();
    for found in found {
        let name = found?.file_name().to_string_lossy().into_owned();
        if !own.contains(&name.strip_suffix(TEMPORARY).unwrap_or(&name)) {
            strangers.push(name);
        }
    }
    Ok(strangers.into_iter().min())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_ones_own_and_anything_else_is_a_strangers() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let own = ["segments", "checkpoint"];
        assert_eq!(stranger(&at.join("none"), &own).unwrap(), None);
        fs::create_dir(at.join("segments")).unwrap();
        fs::write(at.join("checkpoint.part"), "").unwrap();
        assert_eq!(stranger(at, &own).unwrap(), None);
        fs::write(at.join("z"), "").unwrap();
        fs::write(at.join("diary"), "").unwrap();
        assert_eq!(stranger(at, &own).unwrap(), Some("diary".into()));
        assert!(stranger(&at.join("z"), &own).is_err());
    }
}
