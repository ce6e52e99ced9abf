#!/usr/bin/env bash
# Runs every check and test of the project. Nothing is installed: cargo fetches the crates of
# Cargo.lock into its own cache, and what is built stays under target/. Where python3 has no package
# `cryptography`, pip puts one into target/second for the second implementation of the format; where
# it cannot, those tests count as ignored.
#
#   tests/run.sh           everything, some ten to fifteen minutes on two cores
#   tests/run.sh --long    the same, then one after the other: 300 rounds of kills instead of 10, 2,000
#                          simulated schedules and power cuts, and 200 agents that were away for eight
#                          days, as processes and in simulation. Several hours; wants 16 GiB of memory
#
# Uses cargo-nextest when it is there, `cargo test` when not. Needs Rust 1.95 and a C compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    "") long= ;;
    --long) long=1 ;;
    *) sed -n '2,12p' "$0" >&2; exit 64 ;;
esac

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

if ! python3 -c 'import cryptography' 2>/dev/null && [ ! -x target/second/bin/python3 ]; then
    step "a Python for the second implementation of the format"
    if ! { python3 -m venv target/second && target/second/bin/pip install --quiet cryptography; }; then
        rm -rf target/second
        echo "none could be made: its tests count as ignored"
    fi
fi

step "documentation examples, those that must not compile among them"
cargo test --locked --workspace --doc --quiet

# One name of a test, or all.
tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --workspace --no-fail-fast "$@"
    else
        cargo test --locked --workspace --no-fail-fast --lib --bins --tests --examples "$@"
    fi
}

step "tests (some five minutes)"
tests

if [ -n "$long" ]; then
    # Each alone: what else runs would be measured with it, and memory would have to do for both.
    # What they print is shown, for figures are among it.
    export NEXTEST_SUCCESS_OUTPUT=final RUST_TEST_NOCAPTURE=1
    step "300 rounds of kills (some half an hour)"
    AFFIANT_ROUNDS=300 tests killed

    step "2,000 simulated schedules (some eight minutes on two cores)"
    AFFIANT_SEEDS=2000 tests whatever_goes_wrong

    step "2,000 power cuts (some minutes)"
    AFFIANT_SEEDS=2000 tests power

    step "200 agents after eight days without a verifier (estimated two hours; a figure for tests/BENCH.md)"
    AFFIANT_HOSTS=200 tests after_eight_days

    step "the same in simulated time (estimated hours; wants 4 GiB of /dev/shm)"
    AFFIANT_OFFLINE_HOSTS=200 AFFIANT_OFFLINE_DAYS=8 tests after_days_offline
fi
