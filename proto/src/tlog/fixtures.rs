//! Trees, published notes and made keys that several tests share.

use proptest::prelude::*;

use super::*;
use crate::keys::Ed25519Signer;

/// The example of the C2SP signed-note specification.
pub(super) const C2SP_KEY: &str =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
pub(super) const C2SP_NOTE: &str = "This is an example message.\n\n\
    — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// The example of Go's package note, which the format comes from.
pub(super) const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
pub(super) const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
pub(super) const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n\
    — EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

/// A checkpoint of a public log of May 2026 with the cosignatures of public witnesses.
pub(super) const ARCHE: &str =
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
pub(super) const WITNESSES: [&str; 4] = [
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
];
pub(super) const ARCHE_NOTE: &str = "arche2025h1.staging.ct.transparency.dev\n\
    1432088532\n\
    U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n\
    — arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n\
    — arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n\
    — transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n\
    — witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==\n\
    — remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n\
    — witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==\n";
pub(super) const ARCHE_TIME: u64 = 0x6a12_2120;

pub(super) fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

pub(super) fn log(seed: u8) -> NoteSigner<Ed25519Signer> {
    let signer = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
    NoteSigner::new(name("log.example/gpu/1"), signer).unwrap()
}

pub(super) fn cosigner(called: &str, seed: u8) -> Cosigner<Ed25519Signer> {
    Cosigner::new(name(called), Ed25519Signer::from_seed(&[seed; 32]).unwrap()).unwrap()
}

pub(super) fn checkpoint(size: u64) -> Checkpoint {
    let root = if size == 0 {
        empty_root()
    } else {
        leaf_hash(&size.to_be_bytes())
    };
    Checkpoint::new("log.example/gpu/1".parse().unwrap(), size, root).unwrap()
}

pub(super) fn cosigned_note(size: u64, cosigners: &[(&Cosigner<Ed25519Signer>, u64)]) -> Note {
    let checkpoint = checkpoint(size);
    let mut note = checkpoint.sign(&log(1)).unwrap().into_note();
    for (cosigner, seconds) in cosigners {
        note.add(cosigner.cosign(&checkpoint, *seconds).unwrap())
            .unwrap();
    }
    note
}

/// A text with up to three of its bytes replaced, cut out or doubled.
pub(super) fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..text.len(), any::<u8>(), 0..4_u8);
    prop::collection::vec(edit, 0..4).prop_map(move |edits| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte, how) in edits {
            let at = at.min(bytes.len() - 1);
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] = b'\n',
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        bytes
    })
}

pub(super) fn leaf(n: u64) -> Hash {
    leaf_hash(&n.to_be_bytes())
}

pub(super) fn tree(size: u64) -> MemoryTree {
    (0..size).map(leaf).collect()
}

/// The hash with one bit, 0 to 255, changed.
pub(super) fn flipped(hash: &Hash, bit: u8) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[usize::from(bit / 8)] ^= 1 << (bit % 8);
    Hash::from_bytes(bytes)
}

/// Every proof that differs from `proof` in one bit of one hash, lacks one hash, or has one more.
pub(super) fn damaged(proof: &[Hash], bit: u8) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for at in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[at] = flipped(&changed[at], bit);
        all.push(changed);
        let mut shortened = proof.to_vec();
        shortened.remove(at);
        all.push(shortened);
    }
    for at in 0..=proof.len() {
        let mut lengthened = proof.to_vec();
        lengthened.insert(at, leaf(u64::MAX));
        all.push(lengthened);
    }
    all
}
