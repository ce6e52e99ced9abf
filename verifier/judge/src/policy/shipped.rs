//! The default pack, which is in force until officers activate another.

use std::sync::{Arc, LazyLock};

use super::{
    fault::BadPack,
    files::{EXAMPLES, MANIFEST, POLICIES, PackFiles},
    pack::Pack,
};

const FILES: [(&str, &str); 4] = [
    ("countries.csv", include_str!("../../pack/countries.csv")),
    (EXAMPLES, include_str!("../../pack/examples.toml")),
    (MANIFEST, include_str!("../../pack/pack.toml")),
    (POLICIES, include_str!("../../pack/policies.cedar")),
];

/// Gives the default pack, read once.
///
/// # Panics
///
/// If the pack of this release cannot be read, which a test excludes: without one nothing would be
/// forbidden.
pub fn shipped() -> Arc<Pack> {
    static PACK: LazyLock<Result<Arc<Pack>, BadPack>> =
        LazyLock::new(|| Pack::read(&shipped_files()?).map(Arc::new));
    match &*PACK {
        Ok(pack) => Arc::clone(pack),
        Err(bad) => panic!("the pack of this release: {bad}"),
    }
}

/// Gives the files of the default pack, as a start for one's own.
pub fn shipped_files() -> Result<PackFiles, BadPack> {
    let files = FILES.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    PackFiles::new(files)
}
