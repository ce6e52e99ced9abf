//! The bindings that are checked in are those that the `.proto` files give.
//!
//! `REGENERATE=1 cargo test -p affiant-tests --test generated` writes them anew.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{fs, path::Path};

const MESSAGES: &str = "::affiant_proto::v1";

#[test]
fn bindings_match_the_proto_files() {
    let messages = |b: tonic_prost_build::Builder| b.build_client(false).build_server(false);
    check("proto/src/gen", &["statement", "intake"], messages);
    check("agent/src/gen", &["intake"], |b| {
        b.build_server(false).extern_path(".affiant.v1", MESSAGES)
    });
    check("verifier/src/gen", &["intake"], |b| {
        b.build_client(false).extern_path(".affiant.v1", MESSAGES)
    });
    // Admin's own messages live beside their stubs: nobody else speaks them.
    check("verifier/src/gen", &["admin"], |b| b);
}

fn check(
    folder: &str,
    files: &[&str],
    options: impl Fn(tonic_prost_build::Builder) -> tonic_prost_build::Builder,
) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let names: Vec<String> = files
        .iter()
        .map(|f| format!("affiant/v1/{f}.proto"))
        .filter(|f| root.join("proto").join(f).exists())
        .collect();
    let set = protox::compile(&names, [root.join("proto")]).unwrap();
    let out = tempfile::tempdir().unwrap();
    options(tonic_prost_build::configure().emit_rerun_if_changed(false))
        .out_dir(out.path())
        .compile_fds(set)
        .unwrap();
    for made in fs::read_dir(out.path()).unwrap() {
        let made = made.unwrap();
        let kept = root.join(folder).join(made.file_name());
        let fresh = fs::read_to_string(made.path()).unwrap();
        if std::env::var_os("REGENERATE").is_some() {
            fs::create_dir_all(root.join(folder)).unwrap();
            fs::write(&kept, &fresh).unwrap();
        }
        let stored = fs::read_to_string(&kept).unwrap_or_default();
        assert!(
            stored == fresh,
            "{} is stale: REGENERATE=1 cargo test -p affiant-tests --test generated",
            kept.display()
        );
    }
}
