//! A log's files as a verifier leaves them, made of the small deployment of `support`.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;

use affiant_proto::{Body, Envelope, tlog::SignedCheckpoint};
use affiant_report::{
    edge::Edge,
    head::Head,
    segment::{Builder, Entry, SegmentName},
};

use crate::support::World;

pub type Files = BTreeMap<String, Vec<u8>>;

/// Entries of a segment at least; it ends before the next clock.
const ENTRIES: usize = 12;

/// The files of a log directory: lock, segments, checkpoint, tiles.
pub fn files(world: &World) -> Files {
    files_of(&world.log, &world.checkpoint())
}

/// The same of any entries, under any checkpoint.
pub fn files_of(log: &[Envelope], signed: &SignedCheckpoint) -> Files {
    let mut files = Files::new();
    let (mut edge, mut previous): (Edge, Option<SegmentName>) = (Edge::default(), None);
    let mut rest = log;
    while !rest.is_empty() {
        let clock = |one: &Envelope| matches!(one.statement().body(), Body::Clock(_));
        let end = rest.iter().skip(ENTRIES).position(clock);
        let (now, later) = rest.split_at(end.map_or(rest.len(), |at| at + ENTRIES));
        rest = later;
        let time = now[0].statement().header().time().unix_ms;
        let mut builder = Builder::new(edge.size(), time).unwrap();
        for envelope in now {
            let entry = Entry::parse(envelope.to_bytes()).unwrap();
            builder.push(&entry).unwrap();
            edge.push(entry.digest(), |made| {
                files.insert(format!("public/{}", made.path), made.bytes);
            });
        }
        let (name, bytes) = builder.finish(0).unwrap();
        files.insert(format!("segments/{name}"), bytes);
        previous = Some(name);
    }
    for made in edge.partial(0) {
        files.insert(format!("public/{}", made.path), made.bytes);
    }
    let head = Head {
        origin: signed.checkpoint().origin().clone(),
        epoch: 3,
        size: edge.size(),
        root: edge.root(),
        segment: previous.unwrap(),
    };
    files.insert("lock".to_owned(), head.to_string().into_bytes());
    let note = signed.note().to_string().into_bytes();
    files.insert("public/checkpoint".to_owned(), note);
    files
}

/// The same as a verifier exports it: no lock, the public tree beside the segments, and a list of these.
pub fn export(files: &Files) -> Files {
    let moved = files.iter().filter(|(path, _)| *path != "lock");
    let moved = moved.map(|(path, bytes)| {
        let path = path.strip_prefix("public/").unwrap_or(path);
        (path.to_owned(), bytes.clone())
    });
    let mut moved: Files = moved.collect();
    let names = moved
        .keys()
        .filter_map(|path| path.strip_prefix("segments/"));
    let start = |name: &&str| {
        name.split('-')
            .next()
            .map(|start| start.parse::<u64>().unwrap())
    };
    let mut names: Vec<&str> = names.collect();
    names.sort_by_key(start);
    let index = names.join("\n") + "\n";
    moved.insert("segments/index".to_owned(), index.into_bytes());
    moved
}
