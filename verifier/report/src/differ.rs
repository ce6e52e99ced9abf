//! Where two JSON texts differ, as a path that a person can follow.

use serde_json::Value;

/// Names the first place at which `found` is not `due`; none when both say the same.
pub(crate) fn differ(due: &Value, found: &Value) -> Option<String> {
    let mut path = String::from("$");
    differs(due, found, &mut path).then_some(path)
}

fn differs(due: &Value, found: &Value, path: &mut String) -> bool {
    let length = path.len();
    match (due, found) {
        (Value::Object(due), Value::Object(found)) => {
            for (key, value) in due {
                path.push('.');
                path.push_str(key);
                match found.get(key) {
                    Some(other) if !differs(value, other, path) => path.truncate(length),
                    _ => return true,
                }
            }
            let spare = found.keys().find(|key| !due.contains_key(*key));
            if let Some(spare) = spare {
                path.push('.');
                path.push_str(spare);
            }
            spare.is_some()
        }
        (Value::Array(due), Value::Array(found)) => {
            for (place, value) in due.iter().enumerate() {
                path.push_str(&format!("[{place}]"));
                match found.get(place) {
                    Some(other) if !differs(value, other, path) => path.truncate(length),
                    _ => return true,
                }
            }
            if found.len() > due.len() {
                path.push_str(&format!("[{}]", due.len()));
            }
            found.len() > due.len()
        }
        _ => due != found,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_by_its_path() {
        let due = json!({"a": [1, {"b": 2}], "c": "x"});
        for (found, path) in [
            (json!({"a": [1, {"b": 3}], "c": "x"}), Some("$.a[1].b")),
            (json!({"a": [1], "c": "x"}), Some("$.a[1]")),
            (json!({"a": [1, {"b": 2}, 3], "c": "x"}), Some("$.a[2]")),
            (json!({"a": [1, {"b": 2}]}), Some("$.c")),
            (json!({"a": [1, {"b": 2}], "c": "x", "d": 1}), Some("$.d")),
            (json!([]), Some("$")),
            (due.clone(), None),
        ] {
            assert_eq!(differ(&due, &found).as_deref(), path, "{found}");
        }
    }
}
