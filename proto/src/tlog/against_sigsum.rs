//! Inclusion, log signature, cosignatures and quorum together, as Mullvad's Sigsum verifier
//! judges them: a Sigsum log is a log of C2SP checkpoints under an origin that names its key.

use proptest::{prelude::*, sample::Index};
use sigsum::{
    Hash as TheirHash, InclusionProof, PolicyBuilder, PublicKey as TheirKey, SigsumSignature,
};

use super::{fixtures::*, *};
use crate::{
    digest,
    keys::{Ed25519Signer, Signer},
};

fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32]).unwrap()
}

fn public(seed: u8) -> [u8; 32] {
    signer(seed).public_key().as_bytes().try_into().unwrap()
}

fn key_hash(seed: u8) -> TheirHash {
    TheirHash::new(public(seed))
}

const SUBMITTER: u8 = 9;
const LOG: u8 = 1;
const WITNESSES: [u8; 4] = [11, 12, 13, 14];

/// What the submitter signed, as Sigsum spells a leaf.
fn sigsum_leaf(message: &TheirHash) -> ([u8; 64], Vec<u8>) {
    let checksum = TheirHash::new(message);
    let signed = [b"sigsum.org/v1/tree-leaf\0".as_slice(), checksum.as_ref()].concat();
    let signature = signer(SUBMITTER).sign(&signed).unwrap();
    let leaf = [checksum.as_ref(), &signature, key_hash(SUBMITTER).as_ref()].concat();
    (signature, leaf)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What may be changed between the making of a proof and its reading.
#[derive(Clone, Debug)]
enum Change {
    Nothing,
    Index(i8),
    Hash(Index, u8),
    Shorter,
    LogSignature(u8, u8),
    Cosignature(Index, u8, u8),
    Time(Index, u8),
    Root(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Nothing),
        1 => (-2..3_i8).prop_map(Change::Index),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Change::Hash(at, bit)),
        1 => Just(Change::Shorter),
        1 => (0..64_u8, 0..8_u8).prop_map(|(at, bit)| Change::LogSignature(at, bit)),
        1 => (any::<Index>(), 0..64_u8, 0..8_u8)
            .prop_map(|(who, at, bit)| Change::Cosignature(who, at, bit)),
        1 => (any::<Index>(), 1..9_u8).prop_map(|(who, by)| Change::Time(who, by)),
        1 => any::<u8>().prop_map(Change::Root),
    ]
}

/// A proof in parts, before either side spells it.
struct Parts {
    index: u64,
    hashes: Vec<Hash>,
    size: u64,
    root: Hash,
    log: Vec<u8>,
    cosigned: Vec<(u8, u64, Vec<u8>)>,
}

fn parts(size: u64, index: u64, leaf: Hash, cosigners: &[u8], change: &Change) -> Parts {
    let mut tree = MemoryTree::new();
    tree.extend((0..size).map(|n| {
        if n == index {
            leaf
        } else {
            super::fixtures::leaf(n)
        }
    }));
    let root = tree.root(size).unwrap();
    let origin = format!("sigsum.org/v1/tree/{:x}", key_hash(LOG));
    let checkpoint = Checkpoint::new(origin.parse().unwrap(), size, root).unwrap();
    let signed = checkpoint
        .sign(&NoteSigner::new(name(&origin), signer(LOG)).unwrap())
        .unwrap();
    let cosign = |seed: &u8| {
        let (who, at) = (
            cosigner("witness.example", *seed),
            1_700_000_000 + u64::from(*seed),
        );
        let line = who.cosign(&checkpoint, at).unwrap();
        (*seed, at, line.bytes[8..].to_vec())
    };
    let mut parts = Parts {
        index,
        hashes: inclusion_proof(&tree, index, size).unwrap(),
        size,
        root,
        log: signed.note().signatures()[0].bytes.clone(),
        cosigned: cosigners.iter().map(cosign).collect(),
    };
    let (length, cosigned) = (parts.hashes.len(), parts.cosigned.len());
    match change {
        Change::Index(by) => parts.index = parts.index.saturating_add_signed(i64::from(*by)),
        Change::Hash(at, bit) if length > 0 => {
            let at = at.index(length);
            parts.hashes[at] = flipped(&parts.hashes[at], *bit);
        }
        Change::Shorter => drop(parts.hashes.pop()),
        Change::LogSignature(at, bit) => parts.log[usize::from(*at)] ^= 1 << bit,
        Change::Cosignature(who, at, bit) if cosigned > 0 => {
            parts.cosigned[who.index(cosigned)].2[usize::from(*at)] ^= 1 << bit;
        }
        Change::Time(who, by) if cosigned > 0 => {
            parts.cosigned[who.index(cosigned)].1 += u64::from(*by);
        }
        Change::Root(bit) => parts.root = flipped(&parts.root, *bit),
        _ => {}
    }
    parts
}

impl Parts {
    /// Ours: a C2SP offline proof, the log's key, and a policy.
    fn ours(&self, leaf: &Hash, quorum: usize) -> bool {
        let origin = format!("sigsum.org/v1/tree/{:x}", key_hash(LOG));
        let checkpoint = Checkpoint::new(origin.parse().unwrap(), self.size, self.root).unwrap();
        let key = NoteKey::new(name(&origin), signer(LOG).public_key().clone()).unwrap();
        let line = |name: KeyName, id, bytes| NoteSignature { name, id, bytes };
        let first = line(key.name().clone(), key.id(), self.log.clone());
        let mut note = Note::parse(format!("{checkpoint}\n{first}\n").as_bytes()).unwrap();
        for (seed, time, signature) in &self.cosigned {
            let who = witness(*seed);
            let bytes = [&time.to_be_bytes(), signature.as_slice()].concat();
            note.add(line(who.name().clone(), who.id(), bytes)).unwrap();
        }
        let text = OfflineProof::new(self.index, self.hashes.clone(), note, None).unwrap();
        let read = OfflineProof::parse(text.to_string().as_bytes()).unwrap();
        let Ok(logged) = read.verify(leaf, &key) else {
            return false;
        };
        let listed = WITNESSES[..3].iter().map(|seed| witness(*seed)).collect();
        let policy = Policy::new(listed, quorum).unwrap();
        let signed = logged.signed();
        policy.cosigned(signed.note(), signed.checkpoint()).is_ok()
    }

    /// Theirs: the text of a Sigsum proof, and their policy of the same keys.
    fn theirs(&self, message: &TheirHash, signature: &[u8; 64], quorum: usize) -> bool {
        let mut text = format!("version=2\nlog={:x}\n", key_hash(LOG));
        text += &format!("leaf={:x} {}\n\n", key_hash(SUBMITTER), hex(signature));
        text += &format!(
            "size={}\nroot_hash={}\nsignature={}\n",
            self.size,
            self.root,
            hex(&self.log)
        );
        for (seed, time, signature) in &self.cosigned {
            text += &format!(
                "cosignature={:x} {time} {}\n",
                key_hash(*seed),
                hex(signature)
            );
        }
        let node_hashes = self
            .hashes
            .iter()
            .map(|hash| (*hash.as_bytes()).into())
            .collect();
        let leaf_index = self.index;
        text += "\n";
        text += &InclusionProof {
            leaf_index,
            node_hashes,
        }
        .to_ascii();
        let proof = SigsumSignature::from_ascii(&text).unwrap();

        let mut policy = PolicyBuilder::new();
        policy.add_log(public(LOG).into(), None).unwrap();
        let names: Vec<String> = WITNESSES[..3]
            .iter()
            .map(|seed| format!("w{seed}"))
            .collect();
        for (name, seed) in names.iter().zip(WITNESSES) {
            policy
                .add_witness(name.clone(), public(seed).into(), None)
                .unwrap();
        }
        policy
            .add_group("listed".to_owned(), quorum, names)
            .unwrap();
        policy.set_quorum("listed".to_owned()).unwrap();
        let signers: [TheirKey; 1] = [public(SUBMITTER).into()];
        sigsum::verify(message, &proof, &signers, &policy.build()).is_ok()
    }
}

fn witness(seed: u8) -> CosignerKey {
    let key = signer(seed).public_key().clone();
    CosignerKey::new(name(&format!("witness-{seed}.example")), key).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_give_one_verdict_on_a_logged_and_witnessed_entry(
        size in 1..600_u64, at in any::<u64>(), quorum in 1..4_usize,
        cosigners in prop::sample::subsequence(WITNESSES.to_vec(), 0..=4), change in change(),
    ) {
        let index = at % size;
        let message = TheirHash::new(at.to_be_bytes());
        let (signature, leaf) = sigsum_leaf(&message);
        let leaf = leaf_hash(&leaf);
        let made = parts(size, index, leaf, &cosigners, &change);
        let ours = made.ours(&leaf, quorum);
        prop_assert_eq!(ours, made.theirs(&message, &signature, quorum), "{:?}", change);
        if let Change::Nothing = change {
            let listed = cosigners.iter().filter(|seed| WITNESSES[..3].contains(seed)).count();
            prop_assert_eq!(ours, listed >= quorum);
        }
    }
}

#[test]
fn a_published_proof_of_a_public_log_verifies_in_both() {
    let proof = SigsumSignature::from_ascii(PUBLISHED).unwrap();
    let message = TheirHash::new(b"Hello, Sigsum!\n");
    let signers = [TheirKey::from(SUBMITTED_BY)];
    let policy = &sigsum::policy::SIGSUM_TEST_2025_3;
    sigsum::verify(&message, &proof, &signers, policy).unwrap();

    // The same lines, read by ours.
    let field = |name: &str| {
        let lines = PUBLISHED.lines().filter_map(|line| line.strip_prefix(name));
        lines.map(str::to_owned).collect::<Vec<String>>()
    };
    let bytes = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    };
    let leaf_line = &field("leaf=")[0];
    let (submitter, signature) = leaf_line.split_once(' ').unwrap();
    let checksum = digest(message.as_ref());
    let leaf = [
        checksum.as_bytes().as_slice(),
        &bytes(signature),
        &bytes(submitter),
    ]
    .concat();
    let (index, size) = (
        field("leaf_index=")[0].parse().unwrap(),
        field("size=")[0].parse().unwrap(),
    );
    let root = field("root_hash=")[0].parse().unwrap();
    let path: Vec<Hash> = field("node_hash=")
        .iter()
        .map(|hash| hash.parse().unwrap())
        .collect();
    verify_inclusion(&leaf_hash(&leaf), index, size, &root, &path).unwrap();

    let origin = format!("sigsum.org/v1/tree/{}", field("log=")[0]);
    let log = policy
        .logs()
        .find(|log| hex(TheirHash::new(&log.pubkey).as_ref()) == field("log=")[0]);
    let key = crate::PublicKey::ed25519(log.unwrap().pubkey.as_ref()).unwrap();
    let key = NoteKey::new(name(&origin), key).unwrap();
    let checkpoint = Checkpoint::new(origin.parse().unwrap(), size, root).unwrap();
    let line = NoteSignature {
        name: key.name().clone(),
        id: key.id(),
        bytes: bytes(&field("signature=")[0]),
    };
    let note = Note::parse(format!("{checkpoint}\n{line}\n").as_bytes()).unwrap();
    let signed = SignedCheckpoint::of(note, &key).unwrap();

    let mut note = signed.note().clone();
    let mut listed = Vec::new();
    for (number, line) in field("cosignature=").iter().enumerate() {
        let parts: Vec<&str> = line.split(' ').collect();
        let who: [u8; 32] = bytes(parts[0]).try_into().unwrap();
        let found = policy.get_witness_by_keyhash(&who.into()).unwrap();
        let key = crate::PublicKey::ed25519(found.pubkey.as_ref()).unwrap();
        let key = CosignerKey::new(name(&format!("witness-{number}")), key).unwrap();
        let time: u64 = parts[1].parse().unwrap();
        note.add(NoteSignature {
            name: key.name().clone(),
            id: key.id(),
            bytes: [time.to_be_bytes().as_slice(), &bytes(parts[2])].concat(),
        })
        .unwrap();
        listed.push(key);
    }
    let all = listed.len();
    let witnessed = Policy::new(listed, all)
        .unwrap()
        .cosigned(&note, signed.checkpoint())
        .unwrap();
    assert_eq!(witnessed.by(), 1_770_193_051);
}

/// The proof in the documentation of the crate `sigsum`, of a public log in February 2026.
const PUBLISHED: &str = "\
version=2
log=1643169b32bef33a3f54f8a353b87c475d19b6223cbb106390d10a29978e1cba
leaf=2c8d843ed6237e9ea033207113329fdd1428c75f8fd3c6782ae46c92c7a00c40 38dd0b42cab5166611a4f8346db1c6ffe81ee2345f3ffe36a466eb8fce1d4b2879fbb5f26291d25e610b2dc7f30eaa603efd97739ae585657d0f7181726eec00

size=381382
root_hash=901fefc6f1d978d2c2bedb82d448755bcdc7e8626e67ac7ee80873771be9b667
signature=8a8bf1fca60d1344fb6e2106e8f8906af833d3d75a21fe8d3af72be459f7a11f2ae6606ec6344a13b851cd454b3d281a2b1ae47732f7a8d6afbcc0134d1a2d00
cosignature=1c997261f16e6e81d13f420900a2542a4b6a049c2d996324ee5d82a90ca3360c 1770193051 a1ee1182b265204499cbef3ae59f3ea228b928b3cbda8817a4ed5a12776823e9ad8ef1ce986b9b98d9954f1798ec4315c1820704600a231c69038ccc9726d202
cosignature=49c4cd6124b7c572f3354d854d50b2a4b057a750f786cf03103c09de339c4ea3 1770193051 aaf642e81a54399777180f238573d74878b68c7b645d8011583621405bb450b4e7887fc76502a8142c493d64e3ed3e556d82dad1706411082e58805f64fa9d02
cosignature=70b861a010f25030de6ff6a5267e0b951e70c04b20ba4a3ce41e7fba7b9b7dfc 1770193051 f5953f406f5fd97d9c9d1328b00b07bf434a5eb76d8da359aeda98c414de29ca1ced1872971ea0f137508a7bb05c7d322548409425677af96433706319bc0801
cosignature=86b5414ae57f45c2953a074640bb5bedebad023925d4dc91a31de1350b710089 1770193051 3434b4646904714f4983c8e7e976a45332711f10012b19fbeb5549b6c0c04fb4ed52feed2da829354623c52b22b90093776034a8d57d660f9ff27a118f5bf801
cosignature=c1d2d6935c2fb43bef395792b1f3c1dfe4072d4c6cadd05e0cc90b28d7141ed3 1770193051 f0dce1bcdda3a2826479d62e6afedbe9ec06e8f990ae59d8cefa84d9a6ee68c12c2820fb00e1dbdc30044b16c7695a9d1047cec4788dc757f698d34ebaec4305
cosignature=d960fcff859a34d677343e4789c6843e897c9ff195ea7140a6ef382566df3b65 1770193051 b44c41f75566850003f7f655a6dc7bb38bb980e8e2c383871e29883805d3adec7782a08388b9386d9718380a4bb6900043e2b46080cff0fa75a500c36ef9df0a
cosignature=e4a6a1e4657d8d7a187cc0c20ed51055d88c72f340d29534939aee32d86b4021 1770193051 70697b4a6b07e79e49d0a8e41fd7450a593ee9df11da6244cebe4b0c15c8e52f28ad3931b95a806fc7f16b4ad90197971ddc087434c7985b8b3a0223c9fa3603
cosignature=42351ad474b29c04187fd0c8c7670656386f323f02e9a4ef0a0055ec061ecac8 1770193051 6610e5cf4ead2062d9783fbc19d2bae65eded35335495ad0cf0386277ed2d51854ced64efa21a6db0a398fdfb6761aa7d5659e54950a060d167fbdcb7b5ece05

leaf_index=381381
node_hash=d009c5dbeaaa5be1788ea9533f6f398747755a8245012165ac73f753b7917672
node_hash=fb515551fe18f6e53d7d7f49b80abbb5c702b9662ee74fc7730e4a7685000aa4
node_hash=e21e73ee8caf0d49cdcd2f334b3f64e85e4a151daf8d09b6034306bb21b88480
node_hash=f77bc4db00e509149b6e2fc0028d7107dd415929dc9972f32fe758ce39bcc9a0
node_hash=3acb38f01c633d917b899ed4e522a49a02bf20d358f98ca530e3a3065591e7f2
node_hash=889de80c543a5ae8e35430988dc120ac7edde74b776f9082f814ea88190a601f
node_hash=199f812b9f3667dec31f964098e32652477a2f3d458019b6f8f4acc645cf0131
node_hash=084580f8f6324d4ae42dbcb779502ab9fab77e0c2b92519fe089be72e38d60ed
node_hash=9ddbece4939d621df53f31e2729d5fa7802fd82f3edfb784483d8b7fa9cf41e2
node_hash=e1c7a90c09949c263807e5970aef47f9a06164b759995ab814aff94aff9dcd00
";

/// Whose it is.
const SUBMITTED_BY: [u8; 32] = [
    0x99, 0xed, 0x58, 0x58, 0x3e, 0x87, 0x50, 0xb2, 0x05, 0x48, 0xe6, 0x9d, 0xf4, 0xa4, 0xe1, 0xa5,
    0x92, 0x37, 0x9a, 0x9a, 0x66, 0xc5, 0x1c, 0xd3, 0x2e, 0x42, 0xfb, 0xe4, 0xe1, 0xbd, 0xe7, 0x8a,
];
