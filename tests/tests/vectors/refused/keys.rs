//! Keys and signatures that some libraries accept.

use affiant_proto::Signer as _;

use super::{ReadAs, Refused};
use crate::{
    bytes::{Parts, content_type, protected, signed, statement, unhex, wrapped},
    example::{Example, public, signer},
};

/// The P-256 key of RFC 6979, A.2.5, as an uncompressed point.
pub fn rfc6979_key() -> Vec<u8> {
    unhex(
        "04 60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6
            7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
    )
}

/// Its signature of "test" with SHA-256, whose S is low: accepted.
pub fn rfc6979_low() -> Vec<u8> {
    unhex(
        "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367
         019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
    )
}

/// Its signature of "sample" with SHA-256, whose S is high.
fn rfc6979_high() -> Vec<u8> {
    unhex(
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716
         f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    )
}

/// The same with S taken from the order of the curve: low, and accepted.
pub fn rfc6979_lowered() -> Vec<u8> {
    unhex(
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716
         0834e36ad29a83bf2bc9385e491d6099c8fdf9d1ed67aa7ea5f51f93782857a9",
    )
}

/// Signatures of "message" by the key of seed 05…05. S + L is the same number modulo the order.
const S_BEYOND_THE_ORDER: &str = "d5070ac41cb1842baa63b694568d3cf79bfbe566eb34bc9c53eaabba8ea7d53e
    f155303feca99e0eee3e4860cdffa714dc2ee92440d27c106743e7b29774d411";
/// R + T, where T has order 8, and the S that fits: a verifier that multiplies by the cofactor
/// accepts it.
const R_WITH_TORSION: &str = "fa8a14de3e57e2df76b4c51273f4f80ae48ad8bbb829c0e3e6ec1eee8ca32ad6
    28c28db98a56f2ed24b270274aaa0f9cda4f09c867b6ced45000e24cc551f90a";

/// A key A + T, where T has order 8, which section 4 accepts, and two signatures: of one the
/// equation holds, of the other only eight times it.
pub struct MixedOrder {
    pub key: Vec<u8>,
    pub holds: (Vec<u8>, Vec<u8>),
    pub cofactored: (Vec<u8>, Vec<u8>),
}

pub fn mixed_order() -> MixedOrder {
    MixedOrder {
        key: unhex("cdbc161be64c4302f56443ff29ccf36a2075be1a1fa67ff126b56315f5681c38"),
        holds: (
            b"z3".to_vec(),
            unhex(
                "205b0f537994e4754a69d556e021685ffabc6150ec47b726dbce0a7f6ee57dbd
                 a72fe19150caf59b5b450b534739e9262f19774cc91e6afc6dd09ecb23a33501",
            ),
        ),
        cofactored: (
            b"z0".to_vec(),
            unhex(
                "205b0f537994e4754a69d556e021685ffabc6150ec47b726dbce0a7f6ee57dbd
                 3ac8b9a329284344419d21b312311414b517a6b4aa7280f961f4baa4954f0c01",
            ),
        ),
    }
}

/// The y coordinates of the points of order 1, 2, 4 and 8.
const SMALL_ORDER: [&str; 5] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
];

/// Public keys that are refused wherever they stand.
pub fn keys() -> Vec<Refused> {
    let ed25519 = |fault: &str, bytes| Refused::new(fault, ReadAs::Ed25519, bytes, "key");
    let mut out = vec![
        ed25519("no bytes", Vec::new()),
        ed25519("31 bytes", vec![9; 31]),
        ed25519("33 bytes", vec![9; 33]),
    ];
    for y in SMALL_ORDER {
        for (fault, sign) in [
            ("a point of small order", 0),
            ("a point of small order, other sign", 0x80),
        ] {
            let mut key = unhex(y);
            key[31] |= sign;
            out.push(ed25519(fault, key));
        }
    }
    // 2^255 - 19 + n for n from 0 to 18, and beyond with the sign.
    for (low, high) in [
        (0xed, 0x7f),
        (0xee, 0x7f),
        (0xf6, 0x7f),
        (0xff, 0x7f),
        (0xf0, 0xff),
        (0xff, 0xff),
    ] {
        let mut key = vec![0xff; 32];
        (key[0], key[31]) = (low, high);
        out.push(ed25519("a y that is not below 2^255 - 19", key));
    }
    let compressed = [&[0x02], &rfc6979_key()[1..33]].concat();
    let esp256 = |fault: &str, bytes| Refused::new(fault, ReadAs::Esp256, bytes, "key");
    out.push(esp256("a compressed point", compressed));
    out.push(esp256(
        "a point without its leading 04",
        rfc6979_key()[1..].to_vec(),
    ));
    out.push(esp256(
        "a hybrid point (06)",
        [&[0x06], &rfc6979_key()[1..]].concat(),
    ));
    out.push(esp256("the point at infinity", vec![0]));
    let mut small = v1_enrolment();
    small.record_key = unhex(SMALL_ORDER[1]);
    out.push(opening(
        "an enrolment whose record key is of small order",
        &small,
        "key",
    ));
    small.record_key = vec![5; 31];
    out.push(opening(
        "an enrolment whose record key has 31 bytes",
        &small,
        "key",
    ));
    out.push(relay_opening(
        "a relay-enrolment whose relay key is of small order",
        unhex(SMALL_ORDER[1]),
        "key",
    ));
    out.push(objection_opening(
        "an objection whose key is of small order",
        unhex(SMALL_ORDER[1]),
        "key",
    ));
    out
}

fn objection_opening(fault: &str, key: Vec<u8>, refusal: &'static str) -> Refused {
    let body = affiant_proto::v1::Objection {
        header: v1_enrolment().header,
        genesis: v1_enrolment().genesis,
        tenant: "example-labs".into(),
        key,
        from_unix_ms: 1,
        to_unix_ms: 2,
        text: "these hours were not ours".into(),
        ..Default::default()
    };
    let payload = prost::Message::encode_to_vec(&body);
    let made = statement("objection", &payload, &signer(5));
    Refused::new(fault, ReadAs::Opening, made, refusal)
}

fn relay_opening(fault: &str, relay_key: Vec<u8>, refusal: &'static str) -> Refused {
    let body = affiant_proto::v1::RelayEnrolment {
        header: v1_enrolment().header,
        genesis: v1_enrolment().genesis,
        relay: "relay-a".into(),
        relay_key,
        site: "hall-2".into(),
        ..Default::default()
    };
    let payload = prost::Message::encode_to_vec(&body);
    let made = statement("relay-enrolment", &payload, &signer(5));
    Refused::new(fault, ReadAs::Opening, made, refusal)
}

fn v1_enrolment() -> affiant_proto::v1::Enrolment {
    let affiant_proto::Body::Enrolment(body) = Example::new().enrolment.body().clone() else {
        unreachable!()
    };
    body
}

fn opening(fault: &str, body: &affiant_proto::v1::Enrolment, refusal: &'static str) -> Refused {
    let payload = prost::Message::encode_to_vec(body);
    Refused::new(
        fault,
        ReadAs::Opening,
        statement("enrolment", &payload, &signer(5)),
        refusal,
    )
}

/// Signatures that are refused.
pub fn signatures() -> Vec<Refused> {
    let ed25519 = |fault: &str, bytes: Vec<u8>| {
        let read_as = ReadAs::Signature {
            esp256: false,
            key: public(5),
            message: b"message".to_vec(),
        };
        Refused::new(fault, read_as, bytes, "signature")
    };
    let esp256 = |fault: &str, message: &[u8], key: Vec<u8>, bytes: Vec<u8>| {
        let read_as = ReadAs::Signature {
            esp256: true,
            key,
            message: message.to_vec(),
        };
        Refused::new(fault, read_as, bytes, "signature")
    };
    let good = signer(5).sign(b"message").unwrap().to_vec();
    let swapped = [&good[32..], &good[..32]].concat();
    let mut off_curve = rfc6979_key();
    off_curve[64] ^= 1;
    let low = rfc6979_low();
    let low_swapped = [&low[32..], &low[..32]].concat();
    let whole = Example::new().enrolment.as_bytes().to_vec();
    let Parts {
        protected: head,
        payload,
        signature,
    } = Parts::of(&whole);
    let (kind, id) = (content_type("enrolment"), signer(5).public_key().id());
    let under = |head: &[u8], by: u8| {
        wrapped(
            head,
            &payload,
            &signer(by).sign(&signed(head, &payload)).unwrap(),
        )
    };
    let opening = |fault: &str, bytes| Refused::new(fault, ReadAs::Opening, bytes, "signature");
    let mut beside = signed(&head, &payload);
    beside[11] ^= 0x20;
    vec![
        ed25519(
            "an s beyond the order of the base point",
            unhex(S_BEYOND_THE_ORDER),
        ),
        ed25519(
            "an r with a part of small order, under which the cofactored equation holds",
            unhex(R_WITH_TORSION),
        ),
        {
            let mixed = mixed_order();
            let (message, signature) = mixed.cofactored;
            let read_as = ReadAs::Signature {
                esp256: false,
                key: mixed.key,
                message,
            };
            let fault =
                "a key with a part of small order, under which only the cofactored equation holds";
            Refused::new(fault, read_as, signature, "signature")
        },
        ed25519("r and s swapped", swapped),
        ed25519(
            "a signature of another key",
            signer(6).sign(b"message").unwrap().to_vec(),
        ),
        ed25519(
            "a signature of another message",
            signer(5).sign(b"massage").unwrap().to_vec(),
        ),
        ed25519("all zeroes", vec![0; 64]),
        esp256(
            "a high s, the one that RFC 6979 prints",
            b"sample",
            rfc6979_key(),
            rfc6979_high(),
        ),
        esp256("r and s swapped", b"test", rfc6979_key(), low_swapped),
        esp256("a key that is not on the curve", b"test", off_curve, low),
        esp256("all zeroes", b"test", rfc6979_key(), vec![0; 64]),
        opening(
            "signed by another key than the one that it brings",
            under(&head, 6),
        ),
        relay_opening(
            "a relay-enrolment signed by another key than its relay key",
            public(6),
            "signature",
        ),
        objection_opening(
            "an objection signed by another key than it names",
            public(6),
            "signature",
        ),
        opening(
            "names another key than the one that it brings",
            under(&protected(0x32, &kind, signer(6).public_key().id()), 5),
        ),
        opening(
            "says esp256 (-9) where the key is ed25519",
            under(&protected(0x28, &kind, id), 5),
        ),
        opening(
            "signed over the payload alone",
            wrapped(&head, &payload, &signer(5).sign(&payload).unwrap()),
        ),
        opening(
            "signed in another context",
            wrapped(&head, &payload, &signer(5).sign(&beside).unwrap()),
        ),
        opening(
            "a signature of another payload under the same header",
            wrapped(
                &head,
                &payload,
                &Parts::of(&statement(
                    "enrolment",
                    &[payload.clone(), vec![0x52, 0]].concat(),
                    &signer(5),
                ))
                .signature,
            ),
        ),
        opening("the signature's last bit flipped", {
            let mut changed = signature;
            changed[63] ^= 1;
            wrapped(&head, &payload, &changed)
        }),
    ]
}
