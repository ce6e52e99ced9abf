//! A statement: one COSE_Sign1 (RFC 9052) in the only spelling that is accepted.
//!
//! The layout has no freedom, so it is written and read here as a fixed template; a test holds it
//! against an independent COSE implementation.

use std::ops::Range;

use prost::Message as _;

use crate::{
    digest::{Digest, digest},
    keys::{Algorithm, BadSignature, KeyId, PublicKey, SignError, Signer},
    tlog::Origin,
    v1, wire,
};

/// Most bytes of one statement.
///
/// The largest that is now in use carries a checkpoint with a hundred cosignatures:
/// 100 × 200 = 20,000 bytes. Hardware evidence of one device is 8 KiB with a chain of 5 KiB. The
/// rest is room; 64 KiB is a sixty-fourth of gRPC's default message limit of 4 MiB.
pub const MAX_STATEMENT_BYTES: usize = 64 * 1024;

const CONTENT_TYPE_HEAD: &str = "application/vnd.affiant.";
const CONTENT_TYPE_TAIL: &str = "+protobuf";

macro_rules! kinds {
    ($($variant:ident $name:literal,)+) => {
        /// What a statement says, by its content type `application/vnd.affiant.<kind>.v1+protobuf`.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
            /// A kind or version of which this reader knows nothing: `<kind>.v<n>`. Its place in
            /// the chain is checked; what it says is *not judged*.
            Unknown(String),
        }

        /// The payload of a statement.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Body {
            $(#[doc = concat!("`", $name, "`")] $variant(v1::$variant),)+
            /// Bytes of a kind that is not known.
            Unknown(Vec<u8>),
        }

        impl Kind {
            /// Every kind of version 1.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name with the version, as in the content type.
            pub fn name(&self) -> String {
                match self {
                    $(Self::$variant => concat!($name, ".v1").to_owned(),)+
                    Self::Unknown(name) => name.clone(),
                }
            }

            fn parse(name: &str) -> Option<Self> {
                match name {
                    $(concat!($name, ".v1") => Some(Self::$variant),)+
                    _ => is_kind_name(name).then(|| Self::Unknown(name.to_owned())),
                }
            }
        }

        impl Body {
            fn read(kind: &Kind, payload: &[u8]) -> Result<(Self, Header), Malformed> {
                // Nearly all of a log, read in one pass; what is wrong with another is said below.
                if matches!(kind, Kind::Usage)
                    && let Some(read) = wire::usage(payload)
                {
                    let header = read.header.as_ref();
                    let header = Header::check(header.ok_or(Malformed::Header("is missing"))?)?;
                    return Ok((Self::Usage(read), header));
                }
                match kind {
                    $(Kind::$variant => {
                        let read = v1::$variant::decode(payload).map_err(|_| Malformed::Payload)?;
                        if read.encode_to_vec() != payload {
                            return Err(Malformed::Respelled);
                        }
                        let header = read.header.as_ref();
                        let header = Header::check(header.ok_or(Malformed::Header("is missing"))?)?;
                        Ok((Self::$variant(read), header))
                    })+
                    Kind::Unknown(_) => {
                        let header = Header::check(&leading_header(payload)?)?;
                        Ok((Self::Unknown(payload.to_vec()), header))
                    }
                }
            }

            /// The kind that this body makes.
            pub fn kind(&self) -> Option<Kind> {
                match self {
                    $(Self::$variant(_) => Some(Kind::$variant),)+
                    Self::Unknown(_) => None,
                }
            }

            fn spell(mut self, header: v1::Header) -> (Self, Vec<u8>) {
                let bytes = match &mut self {
                    $(Self::$variant(message) => {
                        message.header = Some(header);
                        message.encode_to_vec()
                    })+
                    Self::Unknown(bytes) => bytes.clone(),
                };
                (self, bytes)
            }
        }

        $(impl From<v1::$variant> for Body {
            fn from(message: v1::$variant) -> Self {
                Self::$variant(message)
            }
        })+
    };
}

kinds! {
    Genesis "genesis",
    Enrolment "enrolment",
    Key "key",
    Revocation "revocation",
    HostEvent "host-event",
    Inventory "inventory",
    InventoryDeclaration "inventory-declaration",
    Usage "usage",
    Gap "gap",
    Observation "observation",
    Workloads "workloads",
    HardwareEvidence "hardware-evidence",
    ChainRestart "chain-restart",
    RelayEnrolment "relay-enrolment",
    Officer "officer",
    TenantEvent "tenant-event",
    BindingEvent "binding-event",
    Decision "decision",
    Lease "lease",
    PolicyPack "policy-pack",
    ListImport "list-import",
    Clock "clock",
    Cosigned "cosigned",
    RollCall "roll-call",
    Fork "fork",
    Hold "hold",
    Erasure "erasure",
    Succession "succession",
    Request "request",
    ReportIssued "report-issued",
    Objection "objection",
}

/// Where a statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It opens a chain.
    Opening,
    /// It continues one.
    Link {
        /// Digest of the statement that opened the chain.
        chain: Digest,
        /// At least 1.
        sequence: u64,
        /// Digest of the statement at `sequence − 1`.
        previous: Digest,
    },
}

/// The header of a statement, checked for form.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    place: Place,
    time: v1::Time,
    checkpoint: Option<v1::CheckpointRef>,
}

/// Why bytes are not a statement. Each is a refusal: there is one spelling, and this is not it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// More than [`MAX_STATEMENT_BYTES`].
    #[error("statement is {0} bytes long where at most {MAX_STATEMENT_BYTES} are allowed")]
    TooLong(usize),
    /// The COSE wrapper departs from the template; says where.
    #[error("cose wrapper is not in the one accepted spelling: {0}")]
    Wrapper(&'static str),
    /// The content type names no kind.
    #[error("content type is not application/vnd.affiant.<kind>.v<n>+protobuf")]
    ContentType,
    /// The payload is not the protobuf message of its kind.
    #[error("payload is not a protobuf message of its kind")]
    Payload,
    /// The payload reads, but re-encoding it gives other bytes.
    #[error(
        "payload is not in the one accepted spelling (unknown or repeated field, long varint, \
         or a default value that is spelled out)"
    )]
    Respelled,
    /// The header is missing or cannot be.
    #[error("header {0}")]
    Header(&'static str),
}

/// A statement that was read: it has one spelling. Nothing else is proved of it but, once
/// [`Statement::attest`] was asked, that one key signed it.
///
/// Its bytes never change, so what was verified of it stays true, and is not verified again by the
/// same key. Nobody else can say that it was:
///
/// ```compile_fail
/// # use affiant_proto::{PublicKey, Statement};
/// fn forge(statement: &mut Statement, key: PublicKey) {
///     statement.attested = Some(key);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Statement {
    bytes: Vec<u8>,
    digest: Digest,
    kind: Kind,
    algorithm: Algorithm,
    key: KeyId,
    header: Header,
    body: Body,
    /// Where in the bytes protected header and payload lie, which are what is signed.
    spans: (Range<usize>, Range<usize>),
    signature: [u8; 64],
    /// The key by which the signature was verified.
    attested: Option<PublicKey>,
}

/// The three strings of which a statement's bytes are made; all else in them is fixed.
///
/// Made from a statement, or by whoever stores these apart; what [`Parts::join`] gives of those is
/// for [`Statement::parse`] to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Algorithm, content type and key id.
    pub protected: &'a [u8],
    /// The message of its kind.
    pub payload: &'a [u8],
    /// 64 bytes.
    pub signature: &'a [u8],
}

impl Parts<'_> {
    /// Puts them together as a statement has them.
    pub fn join(&self) -> Vec<u8> {
        wrap(self.protected, self.payload, self.signature)
    }
}

/// Two statements are the same when their bytes are; whether one was verified is not said by them.
impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// Why a statement could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// What was to be signed would be refused by every reader.
    #[error("refused to sign what no reader would accept: {0}")]
    Unreadable(#[from] Malformed),
}

impl Statement {
    /// Signs `body` at `place`; what stood in its header before is replaced.
    pub fn seal(
        body: Body,
        place: Place,
        time: v1::Time,
        checkpoint: Option<v1::CheckpointRef>,
        signer: &dyn Signer,
    ) -> Result<Self, SealError> {
        let kind = body.kind().ok_or(Malformed::ContentType)?;
        let (_, payload) = body.spell(
            Header {
                place,
                time,
                checkpoint,
            }
            .message(),
        );
        let protected = protected_header(
            signer.public_key().algorithm(),
            &kind,
            &signer.public_key().id(),
        );
        let signature = signer.sign(&signed_bytes(&protected, &payload))?;
        Ok(Self::parse(&wrap(&protected, &payload, &signature))?)
    }

    /// Reads a statement; refuses every spelling but the one of FORMAT.md.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_STATEMENT_BYTES {
            return Err(Malformed::TooLong(bytes.len()));
        }
        let mut rest = Reader { rest: bytes };
        rest.literal(&[0x84], "not an untagged array of four")?;
        // Where the string lies that was just read.
        let span = |rest: &Reader<'_>, part: &[u8]| {
            let end = bytes.len() - rest.rest.len();
            end - part.len()..end
        };
        let protected = rest.byte_string("protected header")?;
        let protected_span = span(&rest, protected);
        rest.literal(&[0xa0], "unprotected header is not empty")?;
        let payload = rest.byte_string("payload")?;
        let payload_span = span(&rest, payload);
        let signature = rest.byte_string("signature")?;
        let signature = signature
            .try_into()
            .map_err(|_| Malformed::Wrapper("signature is not 64 bytes"))?;
        rest.end("bytes after the signature")?;
        let (algorithm, kind, key) = read_protected(protected)?;
        let (body, header) = Body::read(&kind, payload)?;
        Ok(Self {
            digest: digest(bytes),
            bytes: bytes.to_vec(),
            kind,
            algorithm,
            key,
            header,
            body,
            spans: (protected_span, payload_span),
            signature,
            attested: None,
        })
    }

    /// Verifies the signature and remembers by which key, so that [`Statement::verify`] by that key
    /// costs nothing: for those who verify on many threads and judge on one. That the key is the
    /// chain's is still for the chain to say.
    pub fn attest(&mut self, key: &PublicKey) -> Result<(), BadSignature> {
        self.verify(key)?;
        self.attested = Some(key.clone());
        Ok(())
    }

    /// Takes its caller's word that [`Statement::attest`] held by this key before, in another process:
    /// the one way around verifying. Only an audit that goes on where it was broken off may ask for
    /// it, of bytes that its own notes name by their digest; a test holds that nothing else does.
    pub fn attested_before(&mut self, key: PublicKey) {
        if key.id() == self.key && key.algorithm() == self.algorithm {
            self.attested = Some(key);
        }
    }

    /// Verifies the signature: the key must be the one that the statement names.
    pub fn verify(&self, key: &PublicKey) -> Result<(), BadSignature> {
        if self.attested.as_ref() == Some(key) {
            return Ok(());
        }
        if key.id() != self.key || key.algorithm() != self.algorithm {
            return Err(BadSignature(key.id()));
        }
        let parts = self.parts();
        let signed = signed_bytes(parts.protected, parts.payload);
        key.verify(&signed, &self.signature)
    }

    /// The strings that it is made of.
    pub fn parts(&self) -> Parts<'_> {
        let part = |span: &Range<usize>| self.bytes.get(span.clone()).unwrap_or_default();
        Parts {
            protected: part(&self.spans.0),
            payload: part(&self.spans.1),
            signature: &self.signature,
        }
    }

    /// The exact bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the exact bytes: its name, and its entry in the log.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What it says it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The key that it names.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What it says.
    pub fn body(&self) -> &Body {
        &self.body
    }
}

impl Header {
    /// Where the statement stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The chain it continues; none when it opens one.
    pub fn chain(&self) -> Option<Digest> {
        match self.place {
            Place::Opening => None,
            Place::Link { chain, .. } => Some(chain),
        }
    }

    /// 0 opens the chain.
    pub fn sequence(&self) -> u64 {
        match self.place {
            Place::Opening => 0,
            Place::Link { sequence, .. } => sequence,
        }
    }

    /// The signer's clock: a claim.
    pub fn time(&self) -> &v1::Time {
        &self.time
    }

    /// The newest checkpoint that the signer had seen.
    pub fn checkpoint(&self) -> Option<&v1::CheckpointRef> {
        self.checkpoint.as_ref()
    }

    fn message(&self) -> v1::Header {
        let (chain, sequence, previous) = match self.place {
            Place::Opening => (Vec::new(), 0, Vec::new()),
            Place::Link {
                chain,
                sequence,
                previous,
            } => (
                chain.as_bytes().to_vec(),
                sequence,
                previous.as_bytes().to_vec(),
            ),
        };
        v1::Header {
            chain,
            sequence,
            previous,
            time: Some(self.time),
            checkpoint: self.checkpoint.clone(),
        }
    }

    fn check(header: &v1::Header) -> Result<Self, Malformed> {
        let digest =
            |bytes: &[u8], what| Digest::try_from(bytes).map_err(|_| Malformed::Header(what));
        let place = match (
            header.chain.is_empty(),
            header.sequence,
            header.previous.is_empty(),
        ) {
            (true, 0, true) => Place::Opening,
            (true, ..) => return Err(Malformed::Header("names no chain but does not open one")),
            (_, 0, _) => return Err(Malformed::Header("names a chain but has sequence 0")),
            (false, sequence, _) => Place::Link {
                chain: digest(&header.chain, "has a chain that is not 32 bytes long")?,
                sequence,
                previous: digest(&header.previous, "has a previous that is not 32 bytes long")?,
            },
        };
        let time = header.time.ok_or(Malformed::Header("has no time"))?;
        if !matches!(v1::ClockState::try_from(time.clock), Ok(state) if state != v1::ClockState::Unspecified)
        {
            return Err(Malformed::Header("has a clock state that is not defined"));
        }
        if let Some(seen) = &header.checkpoint {
            if !Origin::is_spelled(&seen.origin) || seen.size == 0 {
                return Err(Malformed::Header("has a checkpoint without origin or size"));
            }
            digest(
                &seen.root,
                "has a checkpoint whose root is not 32 bytes long",
            )?;
        }
        Ok(Self {
            place,
            time,
            checkpoint: header.checkpoint.clone(),
        })
    }
}

/// Bytes that are signed: `Sig_structure` of RFC 9052 section 4.4, no external data. Sealing and
/// opening both call this; nothing else spells them.
fn signed_bytes(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(protected.len() + payload.len() + 24);
    out.extend(b"\x84\x6aSignature1");
    put_string(&mut out, 2, protected);
    out.push(0x40);
    put_string(&mut out, 2, payload);
    out
}

fn wrap(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(protected.len() + payload.len() + 80);
    out.push(0x84);
    put_string(&mut out, 2, protected);
    out.push(0xa0);
    put_string(&mut out, 2, payload);
    put_string(&mut out, 2, signature);
    out
}

/// The map {1: algorithm, 3: content type, 4: key identifier}, in this order.
fn protected_header(algorithm: Algorithm, kind: &Kind, key: &KeyId) -> Vec<u8> {
    let mut out = vec![0xa3, 0x01, algorithm_byte(algorithm), 0x03];
    let content_type = format!("{CONTENT_TYPE_HEAD}{}{CONTENT_TYPE_TAIL}", kind.name());
    put_string(&mut out, 3, content_type.as_bytes());
    out.push(0x04);
    put_string(&mut out, 2, key.as_bytes());
    out
}

fn read_protected(bytes: &[u8]) -> Result<(Algorithm, Kind, KeyId), Malformed> {
    let mut rest = Reader { rest: bytes };
    rest.literal(&[0xa3, 0x01], "protected header is not {1, 3, 4}")?;
    let algorithm = match rest.byte("algorithm")? {
        b if b == algorithm_byte(Algorithm::Ed25519) => Algorithm::Ed25519,
        b if b == algorithm_byte(Algorithm::Esp256) => Algorithm::Esp256,
        _ => return Err(Malformed::Wrapper("algorithm is neither -19 nor -9")),
    };
    rest.literal(&[0x03], "protected header is not {1, 3, 4}")?;
    let content_type = rest.string(3, "content type")?;
    let kind = std::str::from_utf8(content_type)
        .ok()
        .and_then(|text| {
            text.strip_prefix(CONTENT_TYPE_HEAD)?
                .strip_suffix(CONTENT_TYPE_TAIL)
        })
        .and_then(Kind::parse)
        .ok_or(Malformed::ContentType)?;
    rest.literal(&[0x04], "protected header is not {1, 3, 4}")?;
    let key = rest.byte_string("key identifier")?;
    let key = key
        .try_into()
        .map_err(|_| Malformed::Wrapper("key identifier is not 16 bytes"))?;
    rest.end("bytes after the protected header")?;
    Ok((algorithm, kind, KeyId::new(key)))
}

/// A negative CBOR integer −1 − n with n < 24 is the one byte 0x20 + n.
fn algorithm_byte(algorithm: Algorithm) -> u8 {
    0x20 + (-1 - algorithm.cose()).unsigned_abs()
}

fn is_kind_name(name: &str) -> bool {
    let Some((kind, version)) = name.rsplit_once(".v") else {
        return false;
    };
    let word = |text: &str| {
        !text.is_empty()
            && text.len() <= 40
            && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    };
    let number = !version.starts_with('0')
        && (1..=4).contains(&version.len())
        && version.bytes().all(|b| b.is_ascii_digit());
    word(kind) && number
}

/// Reads the header that leads a payload of unknown kind: field 1 in the one spelling. What comes
/// after it is carried and not looked at, so that every reader accepts the same bytes.
fn leading_header(payload: &[u8]) -> Result<v1::Header, Malformed> {
    let Some(mut rest) = payload.strip_prefix(&[0x0a]) else {
        return Err(Malformed::Header("is missing"));
    };
    let length = prost::decode_length_delimiter(&mut rest).map_err(|_| Malformed::Payload)?;
    let (header, _) = rest.split_at_checked(length).ok_or(Malformed::Payload)?;
    let header = v1::Header::decode(header).map_err(|_| Malformed::Payload)?;
    let spelled = [&[0x0a], header.encode_length_delimited_to_vec().as_slice()].concat();
    if payload.starts_with(&spelled) {
        Ok(header)
    } else {
        Err(Malformed::Respelled)
    }
}

/// Writes the head and bytes of a CBOR string: major type 2 (bytes) or 3 (text), definite and
/// shortest length.
fn put_string(out: &mut Vec<u8>, major: u8, bytes: &[u8]) {
    let major = major << 5;
    match bytes.len() {
        n @ 0..=23 => out.push(major | n.to_le_bytes()[0]),
        n @ 24..=0xff => out.extend([major | 24, n.to_le_bytes()[0]]),
        n @ 0x100..=0xffff => out.extend([major | 25, n.to_le_bytes()[1], n.to_le_bytes()[0]]),
        n => {
            let n = n.to_le_bytes();
            out.extend([major | 26, n[3], n[2], n[1], n[0]]);
        }
    }
    out.extend(bytes);
}

/// Reads the template from left to right.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Malformed::Wrapper(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, Malformed> {
        self.take(1, what)?
            .first()
            .copied()
            .ok_or(Malformed::Wrapper(what))
    }

    fn literal(&mut self, due: &[u8], what: &'static str) -> Result<(), Malformed> {
        if self.take(due.len(), what)? == due {
            Ok(())
        } else {
            Err(Malformed::Wrapper(what))
        }
    }

    fn byte_string(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        self.string(2, what)
    }

    fn string(&mut self, major: u8, what: &'static str) -> Result<&'a [u8], Malformed> {
        let head = self.byte(what)?;
        if head >> 5 != major {
            return Err(Malformed::Wrapper(what));
        }
        let wide = |bytes: &[u8]| bytes.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
        let (length, least) = match head & 0x1f {
            n @ 0..=23 => (usize::from(n), 0),
            24 => (wide(self.take(1, what)?), 24),
            25 => (wide(self.take(2, what)?), 0x100),
            26 => (wide(self.take(4, what)?), 0x1_0000),
            _ => return Err(Malformed::Wrapper(what)),
        };
        if length < least {
            return Err(Malformed::Wrapper("a length is not in its shortest form"));
        }
        self.take(length, what)
    }

    fn end(&self, what: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Wrapper(what))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::keys::Ed25519Signer;

    fn signer() -> Ed25519Signer {
        Ed25519Signer::from_seed(&[3; 32]).unwrap()
    }

    fn time() -> v1::Time {
        v1::Time {
            unix_ms: 1_700_000_000_000,
            clock: v1::ClockState::Synchronized.into(),
            max_error_ms: Some(4),
        }
    }

    fn sample() -> Statement {
        let body = v1::Clock::default();
        let place = Place::Link {
            chain: digest(b"c"),
            sequence: 3,
            previous: digest(b"p"),
        };
        Statement::seal(body.into(), place, time(), None, &signer()).unwrap()
    }

    #[test]
    fn an_independent_cose_implementation_reads_and_verifies_what_is_sealed() {
        use coset::CborSerializable as _;
        let made = sample();
        let read = coset::CoseSign1::from_slice(made.as_bytes()).unwrap();
        assert!(read.unprotected.is_empty());
        assert_eq!(read.protected.header.key_id, made.key().as_bytes());
        read.verify_signature(b"", |signature, message| {
            signer()
                .public_key()
                .verify(message, signature.try_into().unwrap())
        })
        .unwrap();
        assert_eq!(read.to_vec().unwrap(), made.as_bytes());
    }

    #[test]
    fn a_statement_taken_apart_is_put_together_to_the_same_bytes() {
        let made = sample();
        assert_eq!(made.parts().join(), made.as_bytes());
    }

    #[test]
    fn every_changed_bit_is_refused() {
        let made = sample();
        for byte in 0..made.as_bytes().len() {
            for bit in 0..8 {
                let mut changed = made.as_bytes().to_vec();
                changed[byte] ^= 1 << bit;
                let verdict = Statement::parse(&changed)
                    .map_err(|e| e.to_string())
                    .and_then(|s| s.verify(signer().public_key()).map_err(|e| e.to_string()));
                assert!(verdict.is_err(), "byte {byte} bit {bit}");
            }
        }
    }

    #[test]
    fn every_cut_and_every_added_byte_is_refused() {
        let made = sample();
        for end in 0..made.as_bytes().len() {
            assert!(Statement::parse(&made.as_bytes()[..end]).is_err());
        }
        assert!(Statement::parse(&[made.as_bytes(), &[0]].concat()).is_err());
    }

    #[test]
    fn what_was_attested_by_one_key_is_believed_of_no_other() {
        let other = Ed25519Signer::from_seed(&[4; 32]).unwrap();
        let mut made = sample();
        assert!(made.attest(other.public_key()).is_err());
        assert!(made.verify(other.public_key()).is_err());
        made.attest(signer().public_key()).unwrap();
        assert_eq!(made.verify(signer().public_key()), Ok(()));
        assert!(made.verify(other.public_key()).is_err());
        assert!(made.clone().verify(other.public_key()).is_err());
    }

    #[test]
    fn a_changed_statement_is_attested_by_nobody() {
        let mut changed = sample().as_bytes().to_vec();
        *changed.last_mut().unwrap() ^= 1;
        let mut changed = Statement::parse(&changed).unwrap();
        assert!(changed.attest(signer().public_key()).is_err());
        assert!(changed.verify(signer().public_key()).is_err());
    }

    #[test]
    fn a_key_that_is_not_named_does_not_verify() {
        let other = Ed25519Signer::from_seed(&[4; 32]).unwrap();
        assert!(sample().verify(other.public_key()).is_err());
    }

    /// Seals any payload under a kind of which nothing is known.
    fn unknown(payload: &[u8]) -> Result<Statement, Malformed> {
        let key = signer();
        let kind = Kind::Unknown("tea-leaves.v7".into());
        let protected = protected_header(Algorithm::Ed25519, &kind, &key.public_key().id());
        let signature = key.sign(&signed_bytes(&protected, payload)).unwrap();
        Statement::parse(&wrap(&protected, payload, &signature))
    }

    fn leading() -> Vec<u8> {
        let header = Header {
            place: Place::Opening,
            time: time(),
            checkpoint: None,
        };
        let message = v1::Clock {
            header: Some(header.message()),
        };
        message.encode_to_vec()
    }

    #[test]
    fn an_unknown_kind_keeps_its_place_and_is_not_read() {
        for rest in [
            &[0x12, 0x01, 0xff][..],
            &leading(),
            b"\xff\xff not even protobuf",
        ] {
            let payload = [&leading(), rest].concat();
            let read = unknown(&payload).unwrap();
            assert_eq!(read.kind(), &Kind::Unknown("tea-leaves.v7".into()));
            assert_eq!(read.header().place(), Place::Opening);
            assert_eq!(read.body(), &Body::Unknown(payload));
            read.verify(signer().public_key()).unwrap();
        }
    }

    #[test]
    fn an_unknown_kind_without_a_leading_header_in_its_one_spelling_is_refused() {
        let whole = leading();
        let (length, header) = (whole[1], &whole[2..]);
        let long_length = [&[0x0a, length | 0x80, 0x00], header].concat();
        assert_eq!(unknown(&long_length), Err(Malformed::Respelled));
        let spelled_out = [&[0x0a, length + 2], header, &[0x10, 0x00]].concat();
        assert_eq!(unknown(&spelled_out), Err(Malformed::Respelled));
        assert_eq!(unknown(&whole[..whole.len() - 1]), Err(Malformed::Payload));
        let second = [&[0x12, 0x00], whole.as_slice()].concat();
        assert_eq!(unknown(&second), Err(Malformed::Header("is missing")));
        assert_eq!(unknown(&[]), Err(Malformed::Header("is missing")));
    }

    #[test]
    fn names_of_kinds_are_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(&kind.name()).as_ref(), Some(kind));
        }
        for bad in [
            "usage",
            "Usage.v1",
            "usage.v01",
            "usage.v",
            ".v1",
            "us age.v1",
        ] {
            assert_eq!(Kind::parse(bad), None, "{bad}");
        }
    }
}
