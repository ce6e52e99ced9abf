//! The vectors under `tests/vectors`: what every layer makes, and what every reader refuses.
//!
//! `REGENERATE=1 cargo test -p affiant-tests --test vectors` writes the golden files, the corpus and
//! the hexadecimal blocks of `proto/FORMAT.md` anew. What is refused, and by which code, stands
//! beside each fault in this test, so that writing anew never changes a verdict.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod accumulated;
mod authority;
mod bytes;
mod example;
mod format;
mod golden;
mod messages;
mod reading;
mod refused;
mod roll_calls;

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn regenerating() -> bool {
    env::var_os("REGENERATE").is_some()
}

/// Reads a golden file.
fn golden(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// Reads a file of the corpus.
fn lines(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Puts the keys of every object in their alphabetical order: whether JSON keeps them so by itself
/// depends on a feature of its library that other crates turn on.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let fields: BTreeMap<String, Value> = object.into_iter().collect();
            let fields = fields.into_iter();
            Value::Object(fields.map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(all) => all.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Holds a file against what was made, or writes it.
fn hold(name: &str, made: &str) {
    let path = folder().join(name);
    if regenerating() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "{} is not what the code makes; if the format was meant to change: \
         REGENERATE=1 cargo test -p affiant-tests --test vectors",
        path.display()
    );
}

#[test]
fn every_layer_makes_its_golden_bytes() {
    for (name, made) in golden::all() {
        hold(
            name,
            &(serde_json::to_string_pretty(&sorted(made)).unwrap() + "\n"),
        );
    }
}

#[test]
fn a_thousand_generated_records_reach_the_accumulated_hash() {
    let made = accumulated::accumulated();
    hold(
        "accumulated.json",
        &(serde_json::to_string_pretty(&sorted(made)).unwrap() + "\n"),
    );
}

#[test]
fn every_refused_encoding_is_refused_for_its_reason() {
    let example = example::Example::new();
    let mut wrong = Vec::new();
    for (name, corpus) in refused::all() {
        let made: String = corpus
            .iter()
            .map(|refused| sorted(refused.to_json()).to_string() + "\n")
            .collect();
        hold(name, &made);
        let lines = lines(name);
        assert!(lines.len() >= 10, "{name} lost its lines");
        for line in &lines {
            let got = refused::read(line, &example);
            let due = line["refusal"].as_str().unwrap();
            if got.as_deref() != Some(due) {
                wrong.push(format!(
                    "{name}: {}: {got:?} where {due:?} is due",
                    line["fault"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_of_the_vectors_is_left_behind() {
    let mut due: Vec<String> = golden::all()
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    due.extend(refused::all().into_iter().map(|(name, _)| name.to_owned()));
    due.push("accumulated.json".into());
    due.push("README.md".into());
    let names = |folder: PathBuf, before: &'static str| {
        fs::read_dir(folder)
            .unwrap()
            .map(move |file| format!("{before}{}", file.unwrap().file_name().display()))
    };
    let there = names(folder(), "").filter(|name| name != "refused");
    for name in there.chain(names(folder().join("refused"), "refused/")) {
        assert!(due.contains(&name), "{name} is read by no test");
    }
}
