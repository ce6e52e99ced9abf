#!/usr/bin/env bash
# Runs every check and test of the project. Nothing is installed: cargo fetches the crates of
# Cargo.lock into its own cache, and what is built stays under target/.
#
#   tests/run.sh           everything, some ten to fifteen minutes on two cores
#   tests/run.sh --long    the same with 300 rounds of kills instead of 10, 2,000 simulated schedules
#                          and power cuts, and 200 agents that were away for eight days: over an hour
#
# Uses cargo-nextest when it is there, `cargo test` when not. Needs Rust 1.95 and a C compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    "") rounds=10 ;;
    --long) rounds=300; export AFFIANT_SEEDS=2000 AFFIANT_HOSTS=200 ;;
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

step "tests ($rounds rounds of kills)"
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --no-fail-fast
else
    cargo test --locked --workspace --no-fail-fast --lib --bins --tests --examples
fi
