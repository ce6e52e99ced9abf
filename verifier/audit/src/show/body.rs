//! What a statement says, as fields and values for people.
//!
//! The generated messages have one description of themselves, which is how they print for debugging:
//! it names fields and enumerations and escapes all text. It is read here line by line, so that a
//! field that is added tomorrow is shown and none is forgotten.

use std::fmt::Debug;

use serde::Serialize;

/// One field that is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name, behind those of the messages that it is in.
    pub name: String,
    /// Its value; bytes in hexadecimal.
    pub value: String,
}

/// What a line opened.
enum Level {
    /// A message, an option or a list: its name, as far as it has one.
    Named(String),
    /// A list that may be of bytes.
    List(String, Vec<u8>),
}

/// Gives the fields of a message but its header.
pub(super) fn fields(message: &impl Debug) -> Vec<Field> {
    let mut found = Vec::new();
    let mut levels: Vec<Level> = Vec::new();
    for line in format!("{message:#?}").lines() {
        let line = line.trim();
        let line = line.strip_suffix(',').unwrap_or(line);
        match line {
            "}" | ")" | "]" => {
                if let Some(Level::List(name, bytes)) = levels.pop()
                    && !bytes.is_empty()
                {
                    push(&mut found, &levels, &name, hex(&bytes));
                }
            }
            _ => open(line, &mut levels, &mut found),
        }
    }
    found
}

fn open(line: &str, levels: &mut Vec<Level>, found: &mut Vec<Field>) {
    let (name, value) = match line.split_once(": ") {
        Some((name, value)) if is_name(name) => (name, value),
        _ => ("", line),
    };
    // Text ends in a quote, so these are never part of it.
    if value.ends_with('[') {
        levels.push(Level::List(name.to_owned(), Vec::new()));
    } else if value.ends_with('{') {
        levels.push(Level::Named(name.to_owned()));
    } else if let Some(variant) = value.strip_suffix('(') {
        // Which of several messages it is stands here alone, but the outermost is the kind.
        let variant = if levels.is_empty() || variant == "Some" {
            ""
        } else {
            variant
        };
        let name = if name.is_empty() {
            variant.to_lowercase()
        } else {
            name.to_owned()
        };
        levels.push(Level::Named(name));
    } else if let (Some(Level::List(_, bytes)), "", Ok(byte)) =
        (levels.last_mut(), name, value.parse::<u8>())
    {
        bytes.push(byte);
    } else {
        let value = value
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .unwrap_or(value);
        if !matches!(value, "" | "[]" | "None") {
            push(found, levels, name, value.to_owned());
        }
    }
}

fn push(found: &mut Vec<Field>, levels: &[Level], name: &str, value: String) {
    let names = levels.iter().map(|level| match level {
        Level::Named(name) | Level::List(name, _) => name.as_str(),
    });
    let names = names.chain([name]).filter(|name| !name.is_empty());
    let name = names.collect::<Vec<_>>().join(".");
    let header = name == "header" || name.starts_with("header.");
    if !header {
        // Where a message is one of several, the field that holds it says nothing.
        let name = name.strip_prefix("body.").unwrap_or(&name).to_owned();
        found.push(Field { name, value });
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Bytes as people compare them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use affiant_proto::v1;

    use super::*;

    fn shown(message: &impl Debug) -> Vec<(String, String)> {
        let fields = fields(message).into_iter();
        fields.map(|field| (field.name, field.value)).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn bytes_enumerations_and_options_are_shown_and_what_is_empty_and_the_header_are_not() {
        let event = v1::HostEvent {
            header: Some(v1::Header {
                chain: vec![1; 32],
                ..v1::Header::default()
            }),
            host_chain: vec![0xab, 0, 7],
            kind: v1::HostEventKind::Evict.into(),
            reason: String::new(),
            until_unix_ms: Some(9),
        };
        assert_eq!(
            shown(&event),
            [
                pair("host_chain", "ab0007"),
                pair("kind", "Evict"),
                pair("until_unix_ms", "9")
            ]
        );
    }

    #[test]
    fn nested_messages_carry_their_path_and_text_cannot_pass_for_structure() {
        let event = v1::BindingEvent {
            binding: Some(v1::Binding {
                id: "a\n}\nheader: Some(".into(),
                namespace: "[".into(),
                ..v1::Binding::default()
            }),
            ..v1::BindingEvent::default()
        };
        assert_eq!(
            shown(&event),
            [
                pair("effective_unix_ms", "0"),
                pair("binding.id", "a\\n}\\nheader: Some("),
                pair("binding.namespace", "["),
                pair("withdrawn", "false"),
            ]
        );
    }

    #[test]
    fn one_of_several_messages_says_which_it_is() {
        let party = v1::Party {
            id: "acme".into(),
            ..v1::Party::default()
        };
        let event = v1::TenantEvent {
            body: Some(v1::tenant_event::Body::Party(party)),
            ..v1::TenantEvent::default()
        };
        let body = affiant_proto::Body::from(event);
        assert!(
            shown(&body).contains(&pair("party.id", "acme")),
            "{:?}",
            shown(&body)
        );
    }

    #[test]
    fn a_list_of_byte_strings_is_one_value_each() {
        let call = v1::RollCall {
            silent: vec![vec![1, 2], vec![3]],
            ..v1::RollCall::default()
        };
        let silent = shown(&call)
            .into_iter()
            .filter(|(name, _)| name == "silent");
        assert_eq!(
            silent.collect::<Vec<_>>(),
            [pair("silent", "0102"), pair("silent", "03")]
        );
    }
}
