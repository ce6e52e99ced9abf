//! User id → name, from the host's own file.

use std::path::Path;

use super::bounded;

/// Most bytes of a passwd file that is read: 10,000 users of about 100 bytes each.
const MAX_PASSWD_BYTES: u64 = 1_048_576;

/// Longest user name taken: `LOGIN_NAME_MAX` of Linux.
const MAX_NAME_BYTES: usize = 256;

/// Gives the name of `uid`; `None` where the file does not tell (users of a directory service
/// do not stand there).
pub(super) fn user_name(passwd: &Path, uid: u32) -> Option<String> {
    let bytes = bounded::read_path(passwd, MAX_PASSWD_BYTES).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let of_line: u32 = fields.nth(1)?.parse().ok()?;
        let fits = (1..=MAX_NAME_BYTES).contains(&name.len());
        (of_line == uid && fits).then(|| name.to_owned())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_the_first_line_of_its_number_or_not_at_all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "root:x:0:0::/root:/bin/sh\nbroken\nmaria:x:1000:1000::/h:/bin/sh\nm2:x:1000:1::\n";
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(user_name(file.path(), 1_000).as_deref(), Some("maria"));
        assert_eq!(user_name(file.path(), 7), None);
        assert_eq!(user_name(Path::new("/nowhere/passwd"), 0), None);
    }
}
