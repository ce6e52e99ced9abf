//! The three laws of the house (ARCHITECTURE.md): who may depend on whom, what is pure, and which
//! types are proof.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

/// Names of all crates that `package` is built from.
fn built_from(package: &str) -> BTreeSet<String> {
    names(&cargo(&[
        "tree",
        "--locked",
        "-p",
        package,
        "-e",
        "normal,build",
        "--prefix",
        "none",
    ]))
}

fn names(tree: &str) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

// ---- the first law: arrows ----

/// Async runtimes, sockets, TLS, command lines: what the protocol and the judge never reach.
const WORLDLY: [&str; 16] = [
    "async-std",
    "clap",
    "h2",
    "hyper",
    "hyper-util",
    "mio",
    "native-tls",
    "quinn",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tonic",
    "tracing",
    "ureq",
];

#[test]
fn protocol_judge_and_report_reach_no_socket_runtime_or_command_line() {
    for package in ["affiant-proto", "affiant-judge", "affiant-report"] {
        let tree = built_from(package);
        assert!(
            tree.contains("ring"),
            "the tree of {package} was not read: {tree:?}"
        );
        for banned in WORLDLY {
            assert!(!tree.contains(banned), "{package} reaches {banned}");
        }
    }
    assert!(
        built_from("affiant-verifier").contains("tokio"),
        "this test sees what is there"
    );
}

#[test]
fn the_auditors_tool_carries_neither_agent_nor_server() {
    let tree = built_from("affiant-audit");
    assert!(
        tree.contains("affiant-report"),
        "the tree was not read: {tree:?}"
    );
    for banned in [
        "affiant-agent",
        "affiant-verifier",
        "tonic",
        "tonic-prost",
        "sqlx",
        "rustls",
    ] {
        assert!(!tree.contains(banned), "affiant-audit reaches {banned}");
    }
}

#[test]
fn the_arrows_between_the_crates_are_those_of_the_house() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("affiant-proto", &[][..]),
        ("affiant-agent", &["affiant-proto"]),
        ("affiant-judge", &["affiant-proto"]),
        ("affiant-report", &["affiant-judge", "affiant-proto"]),
        (
            "affiant-audit",
            &["affiant-report", "affiant-judge", "affiant-proto"],
        ),
        (
            "affiant-verifier",
            &["affiant-report", "affiant-judge", "affiant-proto"],
        ),
    ]);
    let metadata = cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let place = Path::new(package["manifest_path"].as_str().unwrap());
        let is_test = place.strip_prefix(root()).unwrap().starts_with("tests");
        let Some(allowed) = allowed.get(name) else {
            assert!(is_test, "{name} is neither of the house nor under tests/");
            continue;
        };
        seen += 1;
        // Tests of a crate obey the arrows too: what a unit test may reach, the next edit uses.
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            let internal = on.starts_with("affiant-") || !dependency["path"].is_null();
            assert!(!internal || allowed.contains(&on), "{name} depends on {on}");
        }
    }
    assert_eq!(
        seen,
        allowed.len(),
        "every crate of the house was looked at"
    );
}

#[test]
fn ring_is_the_only_provider_of_cryptography() {
    let all = names(&cargo(&[
        "tree",
        "--locked",
        "--workspace",
        "-e",
        "all",
        "--target",
        "all",
        "--prefix",
        "none",
    ]));
    assert!(
        all.contains("ring") && all.contains("rustls"),
        "the tree was not read"
    );
    for banned in [
        "aws-lc-rs",
        "aws-lc-sys",
        "boring",
        "native-tls",
        "openssl",
        "openssl-sys",
        "schannel",
    ] {
        assert!(!all.contains(banned), "the workspace reaches {banned}");
    }
}

#[test]
fn grpc_stubs_stand_with_those_who_speak_and_never_in_the_protocol() {
    let made = |folder: &str| -> String {
        files(&root().join(folder), "rs")
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect()
    };
    let protocol = made("proto/src");
    assert!(
        protocol.contains("pub struct Enrolment"),
        "the generated messages were not read"
    );
    for word in ["tonic::", "_client {", "_server {"] {
        assert!(!protocol.contains(word), "proto/src names {word}");
    }
    assert!(made("agent/src/gen").contains("pub mod intake_client"));
    assert!(made("verifier/src/gen").contains("pub mod intake_server"));
}

// ---- the second law: purity ----

#[test]
fn protocol_and_judge_name_nothing_of_the_world() {
    for folder in ["proto/src", "verifier/judge/src"] {
        let mut read = 0;
        for path in files(&root().join(folder), "rs") {
            let source = fs::read_to_string(&path).unwrap();
            if in_tests_only(&path) {
                continue;
            }
            read += 1;
            let mut found = worldly(&shipped(&source));
            // The one map without a random hasher, of which nothing gets out but by the order of names.
            if path.ends_with("verifier/judge/src/chains.rs") {
                assert!(found.remove("HashMap"), "the exception is not needed");
            }
            assert!(found.is_empty(), "{} names {found:?}", path.display());
        }
        assert!(read >= 15, "only {read} files of {folder} were read");
    }
}

#[test]
fn the_search_for_impurity_finds_it() {
    for (source, due) in [
        ("fn f() { std::time::SystemTime::now(); }", "SystemTime"),
        (
            "use std::{collections::BTreeMap, fs::{self, File}};",
            "std::fs",
        ),
        ("use std::{\n    env,\n    fmt,\n};", "std::env"),
        ("let x = std::thread::spawn(f);", "std::thread"),
        ("fn f() { println!(\"x\"); }", "println!"),
        ("use std::collections::HashMap;", "HashMap"),
        ("fn f() { tracing::info!(1); }", "tracing"),
        (
            "#[cfg(test)]\nfn f() {\n}\nuse std::net::TcpStream;",
            "std::net",
        ),
    ] {
        assert!(worldly(&shipped(source)).contains(due), "{source:?}");
    }
    for clean in [
        "// std::fs is the caller's\nfn f() {}",
        "/// Not a `HashMap`.\nfn f() {}",
        "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
        "#[cfg(test)]\n#[allow(clippy::unwrap_used)]\nmod tests {\n    fn f() { println!(); }\n}\n",
        "use std::{collections::BTreeMap, fmt};",
    ] {
        assert_eq!(worldly(&shipped(clean)), BTreeSet::new(), "{clean:?}");
    }
}

#[test]
fn clippy_bans_the_ambient_from_protocol_and_judge() {
    for crate_ in ["proto", "verifier/judge"] {
        let text = fs::read_to_string(root().join(crate_).join("clippy.toml")).unwrap();
        let config: toml::Table = text.parse().unwrap();
        let banned = |list: &str| -> BTreeSet<String> {
            let list = config[list].as_array().unwrap().iter();
            list.map(|entry| {
                let reason = entry["reason"].as_str().unwrap();
                assert!(!reason.is_empty());
                entry["path"].as_str().unwrap().to_owned()
            })
            .collect()
        };
        let methods = banned("disallowed-methods");
        for method in [
            "std::time::SystemTime::now",
            "std::time::Instant::now",
            "std::thread::spawn",
            "std::env::var",
            "std::fs::read",
            "ring::rand::SystemRandom::new",
        ] {
            assert!(
                methods.contains(method),
                "{crate_}/clippy.toml allows {method}"
            );
        }
        let types = banned("disallowed-types");
        for banned in [
            "std::collections::HashMap",
            "std::collections::HashSet",
            "std::net::TcpStream",
            "std::fs::File",
        ] {
            assert!(
                types.contains(banned),
                "{crate_}/clippy.toml allows {banned}"
            );
        }
    }
}

/// What of the world a source names.
fn worldly(source: &str) -> BTreeSet<&'static str> {
    const WORDS: [&str; 12] = [
        "SystemTime",
        "Instant::now",
        "println!",
        "eprintln!",
        "dbg!",
        "tracing",
        "HashMap",
        "HashSet",
        "RandomState",
        "SystemRandom",
        "tokio",
        "unsafe",
    ];
    const MODULES: [&str; 6] = [
        "std::env",
        "std::fs",
        "std::net",
        "std::os",
        "std::process",
        "std::thread",
    ];
    let mut found: BTreeSet<&str> = WORDS
        .into_iter()
        .filter(|word| has_word(source, word))
        .collect();
    for (at, _) in source.match_indices("std::") {
        let rest = &source[at + "std::".len()..];
        for module in MODULES {
            let name = &module["std::".len()..];
            if first_segments(rest).contains(name) {
                found.insert(module);
            }
        }
    }
    found
}

fn has_word(source: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    source.match_indices(word).any(|(at, _)| {
        !source[..at].chars().next_back().is_some_and(joins)
            && (word.ends_with('!') || !source[at + word.len()..].chars().next().is_some_and(joins))
    })
}

/// The first segment of a path, or those of all paths of a group in braces.
fn first_segments(rest: &str) -> BTreeSet<&str> {
    let segment = |text: &'_ str| {
        text.len()
            - text
                .trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
                .len()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return BTreeSet::from([&rest[..segment(rest)]]);
    };
    let (mut depth, mut begins, mut out) = (0, true, BTreeSet::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                out.insert(&group[at..at + segment(&group[at..])]);
                begins = false;
            }
            _ => {}
        }
    }
    out
}

/// A source without comments and without items that only tests see.
fn shipped(source: &str) -> String {
    let mut out = String::new();
    let mut lines = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        // Formatted code ends an item at its own indentation.
        let indent = &line[..line.len() - line.trim_start().len()];
        let ends = [format!("{indent}}}"), format!("{indent}}};")];
        for line in lines.by_ref() {
            let one_line = !line.trim_start().starts_with("#[")
                && line.starts_with(indent)
                && line.ends_with(';')
                && !line[indent.len()..].starts_with([' ', ')', '}']);
            if one_line || ends.iter().any(|end| end == line) {
                break;
            }
        }
    }
    out
}

/// Whether a file is a module that its parent names under `#[cfg(test)]`.
fn in_tests_only(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let folder = path.parent().unwrap();
    let parents = [
        folder.join("mod.rs"),
        folder.join("lib.rs"),
        folder.with_extension("rs"),
    ];
    parents
        .iter()
        .filter(|parent| *parent != path)
        .filter_map(|parent| fs::read_to_string(parent).ok())
        .any(|parent| {
            let declared = |source: &str| {
                source
                    .lines()
                    .any(|line| line.trim().trim_start_matches("pub ") == format!("mod {name};"))
            };
            declared(&parent) && !declared(&shipped(&parent))
        })
}

// ---- the third law: types carry proof ----

#[test]
fn what_proves_something_can_be_made_by_its_check_alone() {
    for (file, name) in [
        ("proto/src/statement.rs", "Statement"),
        ("proto/src/statement.rs", "Header"),
        ("proto/src/chain.rs", "ChainState"),
        ("proto/src/chain.rs", "Verified"),
        ("proto/src/keys.rs", "PublicKey"),
        ("proto/src/envelope.rs", "Envelope"),
        ("proto/src/opened.rs", "Opened"),
        ("proto/src/usage.rs", "Lines"),
        ("proto/src/salted.rs", "SaltedTree"),
        ("proto/src/tlog/checkpoint.rs", "Checkpoint"),
        ("proto/src/tlog/checkpoint.rs", "SignedCheckpoint"),
        ("proto/src/tlog/note.rs", "Note"),
        ("proto/src/tlog/policy/mod.rs", "Witnessed"),
        ("verifier/judge/src/admission.rs", "Admitted"),
        ("verifier/judge/src/admission.rs", "HostChain"),
        ("proto/src/authority/mod.rs", "Authorities"),
        ("proto/src/authority/mod.rs", "Act"),
    ] {
        let source = fs::read_to_string(root().join(file)).unwrap();
        let (before, rest) = source
            .split_once(&format!("pub struct {name} {{\n"))
            .unwrap_or_else(|| panic!("{file} has no struct {name}"));
        let (fields, _) = rest.split_once("\n}").unwrap();
        assert!(
            !fields.contains("pub "),
            "{file}: {name} has a field that others can set"
        );
        let derives = before.rsplit("\n\n").next().unwrap();
        for maker in ["Default", "Deserialize"] {
            assert!(
                !derives.contains(maker),
                "{file}: {name} derives {maker}, which makes it of nothing"
            );
        }
    }
}

#[test]
fn a_signature_is_taken_on_trust_by_a_resumed_audit_and_by_nothing_else() {
    const ALLOWED: [&str; 2] = ["proto/src/opened.rs", "verifier/audit/src/log/workers.rs"];
    let mut found = BTreeSet::new();
    for path in files(&root(), "rs") {
        let source = fs::read_to_string(&path).unwrap();
        if source.contains(concat!(".attested_", "before(")) {
            let place = path.strip_prefix(root()).unwrap();
            found.insert(place.to_str().unwrap().to_owned());
        }
    }
    assert_eq!(found, BTreeSet::from(ALLOWED.map(str::to_owned)));
}

#[test]
fn unsafe_code_stands_where_c_is_spoken_and_nowhere_else() {
    // NVML's raw calls, the library that plays NVML, and adjtimex, which no safe crate wraps.
    const ALLOWED: [&str; 3] = [
        "agent/src/source/nvml/raw.rs",
        "tests/nvml/src/api.rs",
        "agent/src/clock.rs",
    ];
    let mut found = BTreeSet::new();
    for path in files(&root(), "rs") {
        let source = fs::read_to_string(&path).unwrap();
        let code: String = source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        let place = path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if code.contains(concat!("allow(", "unsafe_code"))
            || code.contains(concat!("expect(", "unsafe_code"))
        {
            assert!(
                ALLOWED.contains(&place.as_str()),
                "{place} allows what the workspace denies"
            );
            found.insert(place);
        }
    }
    assert!(
        found.contains(ALLOWED[0]) && found.contains(ALLOWED[1]),
        "{found:?}"
    );
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        manifest["workspace"]["lints"]["rust"]["unsafe_code"].as_str(),
        Some("deny")
    );
    let metadata = cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let path = package["manifest_path"].as_str().unwrap();
        let manifest: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{path} has lints of its own"
        );
    }
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let homes = [concat!("/wo", "rk"), concat!("/ro", "ot")];
    let mut read = 0;
    for path in files(&root(), "") {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        read += 1;
        for home in homes {
            let foreign = text.match_indices(home).find(|(at, _)| {
                let within = |c: char| c.is_alphanumeric() || "_-.}$)>".contains(c);
                let before = text[..*at].chars().next_back();
                let after = &text[at + home.len()..];
                // A home in a password file is data, not a place to read from.
                !before.is_some_and(within) && after.starts_with('/') && !text[..*at].ends_with(':')
            });
            assert!(foreign.is_none(), "{} names {home}", path.display());
        }
    }
    assert!(read > 100, "only {read} files were read");
}

/// All files below `folder` with an extension, or all; nothing of version control and builds.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap_or_default()
            .to_owned();
        if path.is_symlink() || name == "target" || name == ".git" {
            continue;
        }
        if path.is_dir() {
            out.extend(files(&path, extension));
        } else if extension.is_empty() || path.extension().is_some_and(|found| found == extension) {
            out.push(path);
        }
    }
    out.sort();
    out
}
