//! The one way in which numbers and hashes are spelled in the text formats of the log.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::hash::Hash;

/// Reads a decimal number without sign, spaces or leading zeroes.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let one_spelling =
        text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if one_spelling {
        text.parse().ok()
    } else {
        None
    }
}

/// Reads standard base64 (RFC 4648 section 4), padded and with its spare bits zero.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Reads a hash in base64: 44 characters.
pub(super) fn base64_hash(text: &str) -> Option<Hash> {
    // Looked at first, so that a long line costs nothing.
    if text.len() != 44 {
        return None;
    }
    Hash::try_from(base64(text)?.as_slice()).ok()
}

/// Spells bytes in base64.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::tlog::leaf_hash;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for bad in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1_0",
            "٣",
            "18446744073709551616",
        ] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let hash = leaf_hash(b"");
        let text = to_base64(hash.as_bytes());
        assert_eq!(base64_hash(&text), Some(hash));
        let unpadded = text.trim_end_matches('=');
        // 32 bytes leave two spare bits in the last digit before the padding.
        let (kept, last) = unpadded.split_at(42);
        let spare = char::from(last.as_bytes()[0] + 1);
        for bad in [
            unpadded.to_owned(),
            format!("{kept}{spare}="),
            format!("{text}\n"),
            text.replace('=', "A"),
        ] {
            assert_eq!(base64_hash(&bad), None, "{bad:?}");
        }
    }
}
