//! Reading small foreign files without trusting their size.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Reads at most `limit` bytes of what `file` holds; more is an error, not a cut.
pub(super) fn read(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// Opens and reads `path`, which may hold at most `limit` bytes.
pub(super) fn read_path(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read(File::open(path)?, limit)
}
