//! Keys that sign notes, and their text form (C2SP signed-note, "verifier keys").

use std::{fmt, str::FromStr};

use ring::digest as sha;

use super::spelling;
use crate::keys::{Algorithm, BadKey, PublicKey};

/// Most bytes of a key name: the length that C2SP tlog-cosignature gives a cosigner's name.
pub(super) const MAX_KEY_NAME_BYTES: usize = 255;

/// Names who signs a note: non-empty, at most 255 bytes, without spaces, `+` and control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(pub(super) String);

/// Text that is not a key name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a key name: 1 to 255 bytes without spaces, plus and control characters are due"
)]
pub struct NotAKeyName(pub String);

impl KeyName {
    /// Gives the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = NotAKeyName;

    fn from_str(text: &str) -> Result<Self, NotAKeyName> {
        if !is_name(text, MAX_KEY_NAME_BYTES) {
            return Err(NotAKeyName(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tells whether `text` may stand as a name in a signature line or vkey.
pub(super) fn is_name(text: &str, most: usize) -> bool {
    let foreign = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    (1..=most).contains(&text.len()) && !text.contains(foreign)
}

/// Points at a key in a signature line: the first 4 bytes of SHA-256(name ‖ 0x0A ‖ algorithm ‖
/// key). A hint, not a proof: it is short enough to collide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteKeyId(pub(super) [u8; 4]);

impl NoteKeyId {
    /// Gives the 4 bytes.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl fmt::Display for NoteKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NoteKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An Ed25519 public key with the name it signs under and what it signs: `ALGORITHM` is the
/// signature type byte of C2SP signed-note.
///
/// Its text is a vkey: `name+<8 hexadecimal digits of the id>+base64(algorithm ‖ key)`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierKey<const ALGORITHM: u8> {
    name: KeyName,
    key: PublicKey,
    id: NoteKeyId,
}

/// A key that signs note texts as they are (type 0x01): the log's.
pub type NoteKey = VerifierKey<1>;

/// Why a vkey, or the parts of one, are not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedKey {
    /// Not three parts between two `+`.
    #[error("not a verifier key: name+id+base64 is due")]
    Parts,
    /// The name.
    #[error(transparent)]
    Name(#[from] NotAKeyName),
    /// The last part is no base64 of an algorithm byte and a key.
    #[error("the last part of verifier key {0} is not base64 of an algorithm byte and a key")]
    Base64(KeyName),
    /// Another signature type.
    #[error(
        "verifier key {name} is of signature type {found:#04x} where {due:#04x} is due \
         (0x01 signs checkpoints, 0x04 cosigns)"
    )]
    Algorithm {
        /// Whose key.
        name: KeyName,
        /// Its type.
        found: u8,
        /// The type asked for.
        due: u8,
    },
    /// The id is not that of name and key.
    #[error("the id of verifier key {name} does not fit its name and key; {due} would")]
    Id {
        /// Whose key.
        name: KeyName,
        /// The id that fits.
        due: NoteKeyId,
    },
    /// The key itself.
    #[error("verifier key {name}: {why}")]
    Key {
        /// Whose key.
        name: KeyName,
        /// What is wrong.
        why: BadKey,
    },
    /// Not an Ed25519 key.
    #[error("the key of {0} is not an ed25519 key, and notes are signed with no other")]
    NotEd25519(KeyName),
}

impl<const ALGORITHM: u8> VerifierKey<ALGORITHM> {
    /// Puts a name to an Ed25519 key; refuses a key of another algorithm.
    pub fn new(name: KeyName, key: PublicKey) -> Result<Self, MalformedKey> {
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(MalformedKey::NotEd25519(name));
        }
        let mut named = sha::Context::new(&sha::SHA256);
        named.update(name.as_str().as_bytes());
        named.update(&[b'\n', ALGORITHM]);
        named.update(key.as_bytes());
        let mut id = [0; 4];
        for (byte, from) in id.iter_mut().zip(named.finish().as_ref()) {
            *byte = *from;
        }
        let id = NoteKeyId(id);
        Ok(Self { name, key, id })
    }

    /// Names who signs.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Gives the public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Gives the id that its signature lines carry.
    pub fn id(&self) -> NoteKeyId {
        self.id
    }
}

impl<const ALGORITHM: u8> FromStr for VerifierKey<ALGORITHM> {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, MalformedKey> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(MalformedKey::Parts);
        };
        let name: KeyName = name.parse()?;
        // 33 bytes are 44 characters; a longer text is not decoded at all.
        let decoded = (key.len() <= 2048).then(|| spelling::base64(key)).flatten();
        let Some((&found, key)) = decoded.as_deref().and_then(<[u8]>::split_first) else {
            return Err(MalformedKey::Base64(name));
        };
        if found != ALGORITHM {
            return Err(MalformedKey::Algorithm {
                name,
                found,
                due: ALGORITHM,
            });
        }
        let made = match PublicKey::ed25519(key) {
            Ok(key) => Self::new(name, key)?,
            Err(why) => return Err(MalformedKey::Key { name, why }),
        };
        if made.id.to_string() != id {
            return Err(MalformedKey::Id {
                name: made.name,
                due: made.id,
            });
        }
        Ok(made)
    }
}

impl<const ALGORITHM: u8> fmt::Display for VerifierKey<ALGORITHM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ALGORITHM], self.key.as_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, self.id, spelling::to_base64(&key))
    }
}

impl<const ALGORITHM: u8> fmt::Debug for VerifierKey<ALGORITHM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
