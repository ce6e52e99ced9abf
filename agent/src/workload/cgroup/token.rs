//! The names of which a cgroup's path consists.

/// Undoes systemd's `\xNN`.
pub(super) fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split("\\x");
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Exactly 64 hexadecimal digits between separators. CRI-O's monitor stands in a scope named
/// after the container that it watches and is not in it.
pub(super) fn container_id(part: &str) -> Option<String> {
    let tokens = || part.split(|c: char| !c.is_ascii_alphanumeric());
    if tokens().any(|token| token == "conmon") {
        return None;
    }
    let hex = |token: &&str| token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit());
    tokens().find(hex).map(str::to_owned)
}

/// `pod` and a uid: five groups of 8-4-4-4-12 with `-` or `_` between them, or the 32 digits that
/// the kubelet gives a pod read from a file.
pub(super) fn pod_uid(part: &str) -> Option<String> {
    let part = part.split(':').next()?.trim_end_matches(".slice");
    let start = match part.rfind("-pod") {
        Some(at) => at + "-pod".len(),
        None => part.strip_prefix("pod").map(|_| "pod".len())?,
    };
    let uid = part.get(start..)?.replace('_', "-");
    let lengths: Vec<usize> = uid.split('-').map(str::len).collect();
    let shaped = lengths == [8, 4, 4, 4, 12] || lengths == [32];
    let hex = uid.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    (shaped && hex).then_some(uid)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_undone_or_refused() {
        assert_eq!(unescape("qemu\\x2d1").as_deref(), Some("qemu-1"));
        for broken in ["\\x", "\\x2", "\\xzz", "\\xff"] {
            assert_eq!(unescape(broken), None, "{broken}");
        }
    }

    #[test]
    fn an_id_has_exactly_64_digits_between_separators() {
        let id = "0".repeat(64);
        assert_eq!(
            container_id(&format!("docker-{id}.scope")),
            Some(id.clone())
        );
        for other in [format!("{id}0"), format!("x{id}"), "0".repeat(63)] {
            assert_eq!(container_id(&other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_the_parsers_panic(name in "\\PC{0,90}", hex in "(pod|-pod)?[0-9a-f_é-]{30,40}") {
            for name in [&name, &hex] {
                let _ = (unescape(name), container_id(name), pod_uid(name));
            }
        }
    }
}
