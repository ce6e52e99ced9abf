//! The wrapper of statements, written a second time and from the specification: what is refused
//! must be built by hand, for the protocol's own code refuses to make it.

use affiant_proto::{Ed25519Signer, KeyId, Signer as _};

/// Bytes as hexadecimal digits in lower case.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Hexadecimal digits as bytes; white space does not count.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap())
        .collect();
    assert!(
        digits.len().is_multiple_of(2),
        "odd number of hexadecimal digits"
    );
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap())
        .collect()
}

/// A CBOR string of major type 2 (bytes) or 3 (text) in its shortest form.
pub fn cbor(major: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match content.len() {
        0..24 => vec![major << 5 | low],
        24..256 => vec![major << 5 | 24, low],
        _ => vec![major << 5 | 25, high, low],
    };
    [head, content.to_vec()].concat()
}

/// The protected header {1: algorithm, 3: content type, 4: key id}.
pub fn protected(algorithm: u8, content_type: &str, key: KeyId) -> Vec<u8> {
    let parts = [
        vec![0xa3, 0x01, algorithm, 0x03],
        cbor(3, content_type.as_bytes()),
        vec![0x04],
        cbor(2, key.as_bytes()),
    ];
    parts.concat()
}

/// The content type of a kind.
pub fn content_type(kind: &str) -> String {
    format!("application/vnd.affiant.{kind}.v1+protobuf")
}

/// What a signature is made over.
pub fn signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let parts = [
        vec![0x84],
        cbor(3, b"Signature1"),
        cbor(2, protected),
        vec![0x40],
        cbor(2, payload),
    ];
    parts.concat()
}

/// The statement.
pub fn wrapped(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let parts = [
        vec![0x84],
        cbor(2, protected),
        vec![0xa0],
        cbor(2, payload),
        cbor(2, signature),
    ];
    parts.concat()
}

/// A statement of `kind` over any payload, with a signature that is right.
pub fn statement(kind: &str, payload: &[u8], key: &Ed25519Signer) -> Vec<u8> {
    let protected = protected(0x32, &content_type(kind), key.public_key().id());
    let signature = key.sign(&signed(&protected, payload)).unwrap();
    wrapped(&protected, payload, &signature)
}

/// A field of type bytes, string or message.
pub fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [
        tag(number, 2),
        varint(content.len() as u64),
        content.to_vec(),
    ]
    .concat()
}

/// A field of type varint.
pub fn number(number: u8, value: u64) -> Vec<u8> {
    [tag(number, 0), varint(value)].concat()
}

fn tag(number: u8, wire: u8) -> Vec<u8> {
    varint(u64::from(number) << 3 | u64::from(wire))
}

/// A varint in its shortest form.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

/// The pieces of a statement that is in the one accepted spelling.
pub struct Parts {
    pub protected: Vec<u8>,
    pub payload: Vec<u8>,
    pub signature: Vec<u8>,
}

impl Parts {
    /// Takes a statement apart.
    pub fn of(statement: &[u8]) -> Self {
        let (protected, rest) = string(&statement[1..]);
        assert_eq!(rest[0], 0xa0);
        let (payload, rest) = string(&rest[1..]);
        let (signature, rest) = string(rest);
        assert!(rest.is_empty());
        Self {
            protected: protected.to_vec(),
            payload: payload.to_vec(),
            signature: signature.to_vec(),
        }
    }
}

fn string(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes[0] & 0x1f {
        24 => bytes[2..].split_at(usize::from(bytes[1])),
        25 => bytes[3..].split_at(usize::from(u16::from_be_bytes([bytes[1], bytes[2]]))),
        short => bytes[1..].split_at(usize::from(short)),
    }
}
