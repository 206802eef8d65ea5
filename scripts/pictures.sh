#!/usr/bin/env bash
# Makes the pictures of docs/watching.md and docs/looking-inside.md: trains the digits a few times, some seconds each.
#
#     scripts/pictures.sh target/release/cnnctl
set -euo pipefail
cnnctl=$(realpath "${1:-target/release/cnnctl}")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pictures=docs/pictures
mkdir -p "$pictures"

train() { # NAME RATE
    sed "s/base_lr: 0.1/base_lr: $2/; s|snaps/digits|$work/$1|" solvers/digits.prototxt >"$work/$1.prototxt"
    "$cnnctl" train --quiet --solver "$work/$1.prototxt" --metrics "$work/$1.jsonl"
}

train digits 0.1
train slow 0.003
train middle 0.03
train fast 0.3
"$cnnctl" plot "$work/digits.jsonl" -o "$pictures/digits.png" --scale 1
"$cnnctl" plot "base_lr 0.003=$work/slow.jsonl" "base_lr 0.03=$work/middle.jsonl" "base_lr 0.3=$work/fast.jsonl" \
    --y loss,accuracy -o "$pictures/rates.png" --scale 1
"$cnnctl" plot "$work/digits.jsonl" --y loss,lr --x epoch --log-scale -o "$pictures/scales.svg"

weights=$work/digits_iter_1200.caffemodel
"$cnnctl" evaluate --quiet --weights "$weights" --confusion "$pictures/confusion.png" --sheet "$pictures/worst.png" --worst 12 \
    >"$work/evaluate.txt"
"$cnnctl" visualize saliency --quiet --model models/digits/deploy.prototxt --weights "$weights" \
    --image data/digits/three.png --scale 0.00392157 --method occlusion -o "$pictures/saliency.png"
