#!/usr/bin/env bash
# Kills and preempts runs at many random moments; each must end in the bytes of an unbroken run.
#   scripts/kill_test.sh [TIMES=25] [SEEDS=4]
set -euo pipefail
cd "$(dirname "$0")/.."
for ((seed = 1; seed <= ${2:-4}; seed++)); do
  CNNCTL_KILLS=${1:-25} CNNCTL_KILL_SEED=$seed cargo test --test main -- at_random_moments --nocapture
done
