#!/usr/bin/env bash
# The dashboard in a real browser: tests/browser/run.sh [CNNCTL [--pictures DIR]]. Says why and does nothing where there is
# no node or no Chromium. What node needs beside itself goes to a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() { echo "skipped the browser test: $*"; exit 0; }

command -v node >/dev/null || skip "there is no node"
command -v npm >/dev/null || skip "there is no npm"
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || skip "there is no Chromium"
binary=${1:-target/debug/cnnctl}
[[ -x $binary ]] || { echo "there is no $binary: cargo build"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
timeout 120 npm install --prefix "$work" --no-audit --no-fund --silent playwright-core@1 >/dev/null 2>&1 \
    || skip "playwright-core cannot be installed"
NODE_PATH="$work/node_modules" CHROMIUM="$chromium" CNNCTL=$(realpath "$binary") \
    timeout 600 node tests/browser/dashboard.cjs "${@:2}"
