//! Keys that sign statements, and which of them are refused.

use std::fmt;

use ring::{
    digest as sha,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
    },
};

/// What signs: the algorithms of RFC 9864 that statements may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519, COSE −19: record, officer, operator and log keys.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, COSE −9: identity keys held by a TPM or token.
    Esp256,
}

/// Names a key: the first 16 bytes of SHA-256 over its algorithm (one byte, the COSE number in
/// two's complement) and its public bytes.
///
/// Sixteen, so that nobody finds two keys of one name in less than 2^64 tries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 16]);

/// A public key that passed the checks of [`PublicKey::ed25519`] or [`PublicKey::esp256`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    algorithm: Algorithm,
    /// As many as the algorithm has, then zeroes: in place, for keys are copied with every chain.
    bytes: [u8; P256_BYTES],
    id: KeyId,
}

/// Why bytes are not accepted as a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadKey {
    /// Not as long as its algorithm wants.
    #[error("public key is {0} bytes long; ed25519 has 32, p-256 has 65 and starts with 04")]
    Length(usize),
    /// An Ed25519 point that is not spelled in its one canonical way (RFC 8032 5.1.3).
    #[error("ed25519 public key is not in canonical form")]
    NonCanonical,
    /// A point under which some signature verifies for many messages.
    #[error("ed25519 public key is of small order")]
    SmallOrder,
}

/// A signature that does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signature does not match the key {0}")]
pub struct BadSignature(pub KeyId);

/// Bytes of an Ed25519 key.
const ED25519_BYTES: usize = 32;

/// Bytes of an uncompressed P-256 point.
const P256_BYTES: usize = 65;

/// 2^255 − 19, little-endian: the field of Ed25519.
const FIELD: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// The y coordinates of the points of order 1, 2, 4 and 8, little-endian, sign bit cleared.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = FIELD;
        minus_one[0] = 0xec;
        minus_one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Half the order of P-256, big-endian: the largest S that is not "high".
const P256_HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

impl PublicKey {
    /// Accepts 32 bytes as an Ed25519 key, unless non-canonical or of small order.
    pub fn ed25519(bytes: &[u8]) -> Result<Self, BadKey> {
        let mut y: [u8; 32] = bytes.try_into().map_err(|_| BadKey::Length(bytes.len()))?;
        y[31] &= 0x7f;
        if y.iter().rev().ge(FIELD.iter().rev()) {
            return Err(BadKey::NonCanonical);
        }
        if SMALL_ORDER.contains(&y) {
            return Err(BadKey::SmallOrder);
        }
        Ok(Self::of(Algorithm::Ed25519, bytes))
    }

    /// Accepts an uncompressed P-256 point (SEC 1, 65 bytes); that it lies on the curve is
    /// checked when it verifies.
    pub fn esp256(bytes: &[u8]) -> Result<Self, BadKey> {
        if bytes.len() != P256_BYTES || bytes.first() != Some(&4) {
            return Err(BadKey::Length(bytes.len()));
        }
        Ok(Self::of(Algorithm::Esp256, bytes))
    }

    /// Keeps public bytes, whose length was checked, with their name.
    fn of(algorithm: Algorithm, public: &[u8]) -> Self {
        let mut bytes = [0; P256_BYTES];
        bytes
            .iter_mut()
            .zip(public)
            .for_each(|(kept, byte)| *kept = *byte);
        let mut named = sha::Context::new(&sha::SHA256);
        named.update(&[algorithm.cose().to_be_bytes()[0]]);
        named.update(public);
        let mut id = [0; 16];
        id.copy_from_slice(&named.finish().as_ref()[..16]);
        Self {
            algorithm,
            bytes,
            id: KeyId(id),
        }
    }

    /// Gives the public bytes: 32 for Ed25519, 65 for P-256.
    pub fn as_bytes(&self) -> &[u8] {
        match self.algorithm {
            Algorithm::Ed25519 => &self.bytes[..ED25519_BYTES],
            Algorithm::Esp256 => &self.bytes,
        }
    }

    /// Tells what the key signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Names the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Verifies one signature, strictly: ring, never in a batch, and no high S.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        let bad = |_| BadSignature(self.id);
        match self.algorithm {
            Algorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, self.as_bytes())
                .verify(message, signature)
                .map_err(bad),
            Algorithm::Esp256 => {
                if signature[32..] > P256_HALF_ORDER[..] {
                    return Err(BadSignature(self.id));
                }
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.as_bytes())
                    .verify(message, signature)
                    .map_err(bad)
            }
        }
    }
}

impl Algorithm {
    /// Its number in the IANA COSE registry (RFC 9864).
    pub const fn cose(self) -> i8 {
        match self {
            Self::Ed25519 => -19,
            Self::Esp256 => -9,
        }
    }
}

impl KeyId {
    /// Takes 16 bytes as the name of a key.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Gives the 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} key {}", self.algorithm, self.id())
    }
}

/// Signs statements: a file key now, a TPM or token later.
pub trait Signer: Send + Sync {
    /// The key under which the signatures verify.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message`.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}

/// A signer that did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key {0} did not sign; look at the device or file that holds it")]
pub struct SignError(pub KeyId);

/// An Ed25519 key in memory.
pub struct Ed25519Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// Bytes that are no private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ed25519 private key in PKCS #8 version 2; make a new one or restore the file")]
pub struct BadPrivateKey;

impl Ed25519Signer {
    /// Reads a PKCS #8 version 2 key (RFC 8410), which carries its public half for comparison.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, BadPrivateKey> {
        Self::of(Ed25519KeyPair::from_pkcs8(der).map_err(|_| BadPrivateKey)?)
    }

    /// Derives the key from a 32-byte seed (RFC 8032); for vectors, tests and load generators.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, BadPrivateKey> {
        Self::of(Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| BadPrivateKey)?)
    }

    fn of(pair: Ed25519KeyPair) -> Result<Self, BadPrivateKey> {
        let public = PublicKey::ed25519(pair.public_key().as_ref()).map_err(|_| BadPrivateKey)?;
        Ok(Self { pair, public })
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let mut out = [0; 64];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        Ok(out)
    }
}

#[cfg(test)]
// P-256 signatures of ring take randomness; the protocol itself never does.
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_small_order_are_refused_in_both_signs() {
        for y in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut key = y;
                key[31] |= sign;
                assert_eq!(
                    PublicKey::ed25519(&key),
                    Err(BadKey::SmallOrder),
                    "{key:02x?}"
                );
            }
        }
    }

    #[test]
    fn keys_spelled_beyond_the_field_are_refused() {
        for low in 0xed..=0xff {
            let mut key = FIELD;
            key[0] = low;
            assert_eq!(PublicKey::ed25519(&key), Err(BadKey::NonCanonical));
        }
        assert_eq!(PublicKey::ed25519(&[0xff; 32]), Err(BadKey::NonCanonical));
    }

    #[test]
    fn a_high_s_is_refused_although_the_curve_would_accept_it() {
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
        let random = ring::rand::SystemRandom::new();
        let rules = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(rules, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(rules, der.as_ref(), &random).unwrap();
        let key = PublicKey::esp256(pair.public_key().as_ref()).unwrap();
        let (mut low, mut high) = (0, 0);
        while low == 0 || high == 0 {
            let made = pair.sign(&random, b"message").unwrap();
            let signature: [u8; 64] = made.as_ref().try_into().unwrap();
            if signature[32..] > P256_HALF_ORDER[..] {
                high += 1;
                assert!(key.verify(b"message", &signature).is_err());
            } else {
                low += 1;
                key.verify(b"message", &signature).unwrap();
            }
        }
    }

    #[test]
    fn one_signature_fits_one_message_and_one_key() {
        let signer = Ed25519Signer::from_seed(&[7; 32]).unwrap();
        let other = Ed25519Signer::from_seed(&[8; 32]).unwrap();
        let signature = signer.sign(b"message").unwrap();
        signer.public_key().verify(b"message", &signature).unwrap();
        assert!(signer.public_key().verify(b"massage", &signature).is_err());
        assert!(other.public_key().verify(b"message", &signature).is_err());
    }
}
