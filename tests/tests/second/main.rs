//! A second implementation of `proto/FORMAT.md`, in Python (`tests/second`), against this one: it
//! makes and refuses what the vectors say, and gives every bundle the same verdict.
//!
//! Without a Python that has the package `cryptography` these tests count as ignored, and it is
//! said why; `tests/run.sh` makes one under `target/second`.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod cases;
#[path = "../../../verifier/report/tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use affiant_report::verify::{AnchorKind, Check, verify};
use cases::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("second")
}

/// A Python that can run the second implementation, and why none where there is none.
fn python() -> Result<PathBuf, String> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/second/bin/python3");
    let mut why = String::new();
    for python in [own, PathBuf::from("python3")] {
        let wants = "import tomllib, cryptography.hazmat.primitives.asymmetric.ed25519";
        match Command::new(&python).args(["-c", wants]).output() {
            Ok(tried) if tried.status.success() => return Ok(python),
            Ok(tried) => {
                let said = String::from_utf8_lossy(&tried.stderr);
                why = said.lines().last().unwrap_or_default().to_owned();
            }
            Err(error) if why.is_empty() => why = error.to_string(),
            Err(_) => {}
        }
    }
    Err(why)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let python = python();
    if let Err(why) = &python {
        eprintln!(
            "ignored: no Python 3.11 with the package cryptography ({why}); \
             python3 -m venv target/second && target/second/bin/pip install cryptography"
        );
    }
    let ignored = python.is_err();
    let python = python.unwrap_or_default();
    type Test = fn(&Path) -> Result<(), Failed>;
    let tests: [(&str, Test); 3] = [
        (
            "the_second_implementation_makes_and_refuses_what_the_vectors_say",
            vectors,
        ),
        (
            "both_implementations_give_a_fresh_bundle_and_a_tampered_one_the_same_verdict",
            bundles,
        ),
        (
            "the_second_implementation_sees_a_vector_that_is_wrong",
            wrong_vector,
        ),
    ];
    let trial = |(name, test): (&str, Test)| {
        let python = python.clone();
        Trial::test(name, move || test(&python)).with_ignored_flag(ignored)
    };
    libtest_mimic::run(&arguments, tests.map(trial).into()).exit_code()
}

fn run(python: &Path, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(folder.join("verify.py")).args(arguments);
    command.output().unwrap()
}

fn vectors(python: &Path) -> Result<(), Failed> {
    let done = run(python, &folder(), &["vectors"]);
    let said = String::from_utf8_lossy(&done.stdout);
    let failed = String::from_utf8_lossy(&done.stderr);
    if done.status.code() != Some(0) || said.lines().count() < 4 {
        return Err(format!("{said}{failed}").into());
    }
    Ok(())
}

/// It reads the vectors and does not only say so.
fn wrong_vector(python: &Path) -> Result<(), Failed> {
    let copied = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for part in [
        "tests/second",
        "tests/vectors",
        "tests/vectors/refused",
        "proto",
    ] {
        let to = copied.path().join(part);
        std::fs::create_dir_all(&to).unwrap();
        for file in std::fs::read_dir(root.join(part)).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    }
    let place = copied.path().join("tests/vectors/refused/usage.jsonl");
    let text = std::fs::read_to_string(&place).unwrap();
    std::fs::write(&place, text.replacen("\"overlap\"", "\"apart\"", 1)).unwrap();
    let done = run(python, &copied.path().join("tests/second"), &["vectors"]);
    let said = String::from_utf8_lossy(&done.stdout);
    let fault = said.lines().find(|line| line.starts_with("wrong: "));
    match (done.status.code(), fault) {
        (Some(2), Some(line)) if line.contains("overlap instead of apart") => Ok(()),
        _ => Err(said.into_owned().into()),
    }
}

fn bundles(python: &Path) -> Result<(), Failed> {
    let there = tempfile::tempdir().unwrap();
    let (mut wrong, mut whole, mut broken) = (Vec::new(), 0, 0);
    for (number, group) in cases::all().into_iter().enumerate() {
        let place = there.path().join(number.to_string());
        let said = second(python, &place, &group);
        for (case, theirs) in group.cases.iter().zip(&said) {
            let ours = verify(&case.files, Some(&group.trust), group.since.as_ref()).unwrap();
            // The page is made from the report by code that only one of the two has.
            let failed = |check: &Check| !check.ok && !check.unknown && check.name != "page";
            let ours_broken = ours.checks.iter().any(failed);
            let theirs_broken = theirs["integrity"] == "broken";
            let one_anchor = ours_broken || theirs["anchor"] == anchor(ours.anchor.kind);
            if ours_broken != theirs_broken || !one_anchor {
                wrong.push(format!(
                    "{}: {:?} and {:#?}\n{theirs:#}",
                    case.name, ours.integrity, ours.anchor
                ));
            }
            if case.must_hold && ours_broken {
                wrong.push(format!("{}: {:#?}", case.name, ours.checks));
            }
            *(if ours_broken { &mut broken } else { &mut whole }) += 1;
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n").into());
    }
    if whole < 5 || broken < 200 {
        return Err(format!("only {whole} whole and {broken} broken bundles were compared").into());
    }
    Ok(())
}

/// The second implementation's verdicts on the bundles of a group.
fn second(python: &Path, place: &Path, group: &cases::Group) -> Vec<Value> {
    std::fs::create_dir_all(place).unwrap();
    let trust = place.join("trust.toml");
    std::fs::write(&trust, group.trust.print().unwrap()).unwrap();
    let mut arguments = vec!["bundle".to_owned(), "--trust".to_owned()];
    arguments.push(trust.to_str().unwrap().to_owned());
    if let Some(note) = &group.since {
        let kept = place.join("kept");
        std::fs::write(&kept, note.to_string()).unwrap();
        arguments.extend(["--since".to_owned(), kept.to_str().unwrap().to_owned()]);
    }
    for (number, case) in group.cases.iter().enumerate() {
        let bundle = place.join(format!("bundle-{number}"));
        written(&bundle, &case.files);
        arguments.push(bundle.to_str().unwrap().to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = run(python, &folder(), &arguments);
    let said = String::from_utf8_lossy(&done.stdout);
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let failed = String::from_utf8_lossy(&done.stderr);
    assert_eq!(lines.len(), group.cases.len(), "{failed}");
    lines
}

fn written(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

fn anchor(kind: AnchorKind) -> &'static str {
    match kind {
        AnchorKind::None => "none",
        AnchorKind::Unrelated => "unrelated",
        AnchorKind::Lost => "lost",
        AnchorKind::Kept => "kept",
        AnchorKind::Witnessed => "witnessed",
    }
}

impl Case {
    fn new(name: impl Into<String>, files: BTreeMap<String, Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            files,
            must_hold: false,
        }
    }
}
