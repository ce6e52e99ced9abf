#!/usr/bin/env bash
# Runs every check and test of the project. Nothing is installed: cargo fetches the crates of
# Cargo.lock into its own cache, and what is built stays under target/.
#
#   tests/run.sh           everything, some ten to fifteen minutes on two cores
#   tests/run.sh --long    the same with 50 crash rounds instead of 10, and 2,000 simulated
#                          schedules of trouble instead of 250
#
# Uses cargo-nextest when it is there, `cargo test` when not. Needs Rust 1.95 and a C compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=10
case "${1:-}" in
    "") ;;
    --long) rounds=50 AFFIANT_SEEDS=${AFFIANT_SEEDS:-2000}; export AFFIANT_SEEDS ;;
    *) sed -n '2,9p' "$0" >&2; exit 64 ;;
esac
export AFFIANT_ROUNDS=$rounds

step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --all --check

step "build (first time: some five minutes on two cores)"
cargo build --locked --workspace --all-targets

step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings

if command -v systemd-analyze >/dev/null; then
    step "units"
    deploy/systemd/check.sh
fi

step "documentation examples, those that must not compile among them"
cargo test --locked --workspace --doc --quiet

step "tests ($rounds crash rounds)"
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --no-fail-fast
else
    cargo test --locked --workspace --no-fail-fast --lib --bins --tests --examples
fi
