//! The messages of which an evidence file consists.

use affiant_proto::tlog::Hash;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Frame {
    #[prost(oneof = "Part", tags = "1, 2, 3")]
    pub(super) part: Option<Part>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Part {
    #[prost(message, tag = "1")]
    Head(HeadMessage),
    #[prost(message, tag = "2")]
    Entry(EntryMessage),
    #[prost(message, tag = "3")]
    Proof(ProofMessage),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HeadMessage {
    #[prost(uint64, tag = "1")]
    pub(super) size: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) root: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub(super) entries: u64,
    #[prost(uint64, tag = "4")]
    pub(super) hashes: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EntryMessage {
    #[prost(uint64, tag = "1")]
    pub(super) index: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) statement: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    pub(super) shown: Vec<LeafMessage>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) proof: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LeafMessage {
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) salt: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) content: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProofMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) hashes: Vec<u8>,
}

pub(super) fn put(out: &mut Vec<u8>, part: Part) {
    // A vector grows; encoding into it cannot fail.
    let bytes = Frame { part: Some(part) }.encode_length_delimited_to_vec();
    out.extend(bytes);
}

pub(super) fn joined(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

pub(super) fn parted(bytes: &[u8]) -> Option<Vec<Hash>> {
    bytes
        .chunks(32)
        .map(|chunk| Hash::try_from(chunk).ok())
        .collect()
}
