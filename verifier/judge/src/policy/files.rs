//! The files of a pack as bytes: one spelling, so that a pack has one digest.

use std::collections::BTreeMap;

use affiant_proto::{Digest, digest, v1};
use prost::Message;

use super::fault::{BadPack, Fault};

/// Name, version and parameters.
pub const MANIFEST: &str = "pack.toml";
/// The policies, in Cedar.
pub const POLICIES: &str = "policies.cedar";
/// Cases with the decisions that are due: the pack's own tests.
pub const EXAMPLES: &str = "examples.toml";
/// A device table in the place of the shipped one; a pack need not have it.
pub const DEVICES: &str = "devices.csv";

/// Most files of a pack: the four above, and a dozen lists of countries.
pub const MAX_FILES: usize = 16;
/// Most bytes of one file. 256 policies of 1,000 bytes each are 250 KiB.
pub const MAX_FILE_BYTES: usize = 262_144;
/// Most bytes of a pack as it is stored and sent: all its files at their largest, names and lengths.
pub const MAX_PACK_BYTES: usize = MAX_FILES * (MAX_FILE_BYTES + 128);
/// Most characters of a file's name.
const MAX_NAME: usize = 64;

/// Files of a pack within their bounds: UTF-8, by name, nothing read in them yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFiles(BTreeMap<String, String>);

impl PackFiles {
    /// Takes files by name, as a directory has them.
    pub fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, BadPack> {
        let mut all = BTreeMap::new();
        for (name, content) in files {
            if !is_name(&name) {
                let remedy = "a pack has pack.toml, policies.cedar, examples.toml, perhaps \
                              devices.csv, and lists of countries NAME.csv; take others away";
                let said = "is no file of a pack";
                return Err(BadPack::one(Fault::new(&name, None, said, remedy)));
            }
            if content.len() > MAX_FILE_BYTES {
                let bytes = content.len();
                return Err(BadPack::TooLarge { name, bytes });
            }
            let text = String::from_utf8(content).map_err(|error| {
                let good = error.utf8_error().valid_up_to();
                let said = format!("is not UTF-8 at byte {good}");
                BadPack::one(Fault::new(&name, None, said, "save it as UTF-8"))
            })?;
            all.insert(name, text);
            if all.len() > MAX_FILES {
                return Err(BadPack::TooManyFiles(all.len()));
            }
        }
        for name in [MANIFEST, POLICIES, EXAMPLES] {
            if !all.contains_key(name) {
                return Err(BadPack::Missing(name));
            }
        }
        Ok(Self(all))
    }

    /// Reads what [`PackFiles::to_bytes`] wrote, and nothing that is spelled otherwise.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPack> {
        if bytes.len() > MAX_PACK_BYTES {
            return Err(BadPack::NotAPack("too many bytes"));
        }
        let read = v1::PackContent::decode(bytes)
            .map_err(|_| BadPack::NotAPack("not a PackContent message"))?;
        let files = read.files.into_iter().map(|file| (file.name, file.content));
        let files = Self::new(files)?;
        if files.to_bytes() != bytes {
            return Err(BadPack::NotAPack("not in their one spelling"));
        }
        Ok(files)
    }

    /// Gives the canonical bytes: `PackContent` with the files in the order of their names.
    pub fn to_bytes(&self) -> Vec<u8> {
        let file = |(name, text): (&String, &String)| v1::PackFile {
            name: name.clone(),
            content: text.clone().into_bytes(),
        };
        let files = self.0.iter().map(file).collect();
        v1::PackContent { files }.encode_to_vec()
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Digest {
        digest(&self.to_bytes())
    }

    /// The text of a file; `None` when the pack has none of that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All files, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

/// Whether a file of this name may be in a pack: it becomes a file name again in other places.
pub(super) fn is_name(name: &str) -> bool {
    let stem = name.strip_suffix(".csv");
    let is_list = stem.is_some_and(|stem| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        !stem.is_empty() && name.len() <= MAX_NAME && stem.chars().all(plain)
    });
    is_list || [MANIFEST, POLICIES, EXAMPLES].contains(&name)
}
