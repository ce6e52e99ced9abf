//! Files that statements name: what an officer's list or pack must not say before it is logged.
//!
//! The desk holds a file against this before anything is signed, and the server before it is logged. What the
//! log has already stays what it is.

use affiant_judge::{
    PackLine,
    policy::{Fault, Pack},
    screening::import::desk,
};
use affiant_proto::{Body, v1};

/// Why a statement must not be logged with its file; nothing where all is well. `packs` gives those that the
/// log has.
pub(crate) fn unfit(body: &Body, file: &[u8], packs: impl Fn() -> Vec<PackLine>) -> Option<String> {
    match body {
        Body::ListImport(import) => list(import, file),
        Body::PolicyPack(signed) => {
            let pack = match Pack::parse(file) {
                Ok(pack) => pack,
                Err(bad) => return Some(bad.to_string()),
            };
            let digest = pack.digest().to_string();
            codes(&pack).or_else(|| {
                let all = packs();
                let mut all = all.iter();
                let other = all.find(|it| {
                    (&it.pack, &it.version) == (&signed.pack, &signed.version)
                        && it.digest != digest
                })?;
                Some(other_pack(&other.pack, &other.version, &other.digest))
            })
        }
        _ => None,
    }
}

fn list(import: &v1::ListImport, file: &[u8]) -> Option<String> {
    let kind = import.format.parse().ok()?;
    let slips = desk::slips(kind, file);
    (!slips.is_empty()).then(|| slips.to_string())
}

/// What is said of countries in a pack's groups that are none; nothing where all are.
pub(crate) fn codes(pack: &Pack) -> Option<String> {
    let faults = pack.parameters().unassigned();
    let told: Vec<String> = faults.iter().map(Fault::to_string).collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

/// What is said of a pack whose name and version the log has with other files.
pub(crate) fn other_pack(pack: &str, version: &str, digest: &str) -> String {
    format!(
        "pack {pack}@{version} is there with other files, of digest {digest}; findings name a pack by both, so \
         count up version in pack.toml"
    )
}
