#!/usr/bin/env bash
# Everything CI checks, in CI's order.
set -euo pipefail
cd "$(dirname "$0")/.."
# What is built once needs no parts to build from again, which would only take disk.
export CARGO_INCREMENTAL=0

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --check
step cargo clippy --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --no-deps
if command -v cargo-deny >/dev/null; then step cargo deny check; else echo "(cargo-deny is not installed: licences not checked)"; fi
# The README's second command.
step cargo test
# In a browser, where there is one.
step tests/browser/run.sh "${CARGO_TARGET_DIR:-target}/debug/cnnctl"
