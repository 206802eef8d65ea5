#!/usr/bin/env bash
# Makes the pictures of docs/dashboard.md, which the browser test takes on its way: scripts/screenshots.sh [CNNCTL]
set -euo pipefail
cd "$(dirname "$0")/.."

shots=$(mktemp -d)
trap 'rm -rf "$shots"' EXIT
tests/browser/run.sh "${1:-target/release/cnnctl}" --pictures "$shots"
mkdir -p docs/pictures
for name in live compare dark phone report; do
    cp "$shots/$name.png" "docs/pictures/dashboard-$name.png"
done
# Fewer colours: a quarter of the bytes, and nobody sees it.
if command -v pngquant >/dev/null; then
    pngquant --force --ext .png --strip docs/pictures/dashboard-*.png
fi
