#!/usr/bin/env bash
# Trains the digits under a throw-away Slurm that preempts the job again and again, with the script of docs/slurm, and
# compares weights, state and metrics with those of an unbroken run.
#   scripts/slurm_test.sh [CNNCTL=target/release/cnnctl] [TIMES=3] [all]
# `all` also tries the other scripts of docs/slurm, and a time limit: some minutes more.
# Exit status: 0 all is well, 77 no cluster could be started here, else not well.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cnnctl=$(realpath "${1:-$root/target/release/cnnctl}")
times=${2:-3}
# So many that a fast machine, too, is still at it when it is stopped the last time.
iterations=600
folder=$(mktemp -d)
PORT=$((20000 + RANDOM % 10000))
export PORT
PATH=$(dirname "$cnnctl"):$PATH
trap 'echo "FAILED in line $LINENO" >&2' ERR
trap '"$root/scripts/slurm/cluster.sh" down "$folder/cluster"; rm -rf "$folder"' EXIT
"$root/scripts/slurm/cluster.sh" up "$folder/cluster" 900 || exit 77
export SLURM_CONF=$folder/cluster/slurm.conf

fail() {
  echo "FAILED: $*" >&2
  tail -n 20 ./*.log >&2
  scontrol show job | grep -E 'JobId|JobState|Restarts|EndTime' >&2 || true
  exit 1
}

wait_for() {
  local _
  for _ in {1..1200}; do
    if eval "$1"; then return; fi
    sleep 0.1
  done
  fail "waited in vain for $1"
}

# Makes the folder $1 for one training of $2 iterations, with snapshots only where it is stopped, and goes there.
prepare() {
  mkdir -p "$1/snaps"
  cd "$1"
  ln -s "$root/models" "$root/data" .
  sed -e "s/^max_iter:.*/max_iter: $2/" -e 's/^display:.*/display: 5/' -e 's/^snapshot:.*/snapshot: 0/' \
    -e 's|^snapshot_prefix:.*|snapshot_prefix: "snaps/a"|' "$root/solvers/digits.prototxt" > solver.prototxt
  grep -q '^random_seed:' solver.prototxt || echo 'random_seed: 1' >> solver.prototxt
}

unbroken() {
  prepare "$folder/whole$1" "$1"
  cnnctl train --quiet --solver solver.prototxt --metrics solver.jsonl
}

# Compares the folder we are in with the unbroken run.
compare() {
  local file
  for file in "snaps/a_iter_$1.caffemodel" "snaps/a_iter_$1.solverstate" solver.jsonl; do
    cmp "$file" "$folder/whole$1/$file" || fail "$file differs"
  done
}

field() { scontrol show job "$1" | grep -oP "(?<=\b$2=)\S+"; }
lines() { if [[ -e solver.jsonl ]]; then wc -l < solver.jsonl; else echo 0; fi; }

# Waits until a job has trained a little since it was last seen, and holds it, so that a fast machine does not end it
# before what is to come. The CONT that Slurm sends with its signals lets it go on.
hold() {
  local before
  before=$(lines)
  wait_for "[[ \$(field $1 JobState) == RUNNING ]] && (( \$(lines) > $before ))"
  kill -STOP "$(grep -oP '(?<=process )\d+' snaps/a.lock)"
}

finish() {
  wait_for "[[ \$(field $1 JobState) =~ COMPLETED|FAILED|TIMEOUT|CANCELLED ]]"
  [[ $(field "$1" JobState) == COMPLETED ]] || fail "job $1 is $(field "$1" JobState)"
}

# The documentation's scripts ask for more than one core.
sbatch() { command sbatch --cpus-per-task=1 "$@"; }
export -f sbatch

# A more urgent job takes the node, again and again.
preempted() {
  local job i
  prepare "$folder/$1" "$iterations"
  job=$(sbatch --parsable "$root/docs/slurm/$1" solver.prototxt)
  for ((i = 1; i <= times; i++)); do
    hold "$job"
    command sbatch --quiet --wait --partition=urgent --exclusive --output=/dev/null --wrap=true
    wait_for "[[ \$(field $job Restarts) == $i ]]"
  done
  finish "$job"
  [[ $(grep -c 'SIGTERM received' "cnnctl.$job.log") == "$times" ]] || fail "not stopped $times times by SIGTERM"
  [[ $(grep -c 'Resuming from' "cnnctl.$job.log") == "$times" ]] || fail "not resumed $times times"
  compare "$iterations"
  echo "$1: preempted $times times, the same bytes"
}

# The time is over, or will soon be.
limited() {
  local job
  prepare "$folder/limited-$1" "$iterations"
  job=$(sbatch --parsable --time=2 --signal="$2" "$root/docs/slurm/$1" solver.prototxt)
  hold "$job"
  wait_for "[[ \$(field $job Restarts) == 1 ]]"
  finish "$job"
  grep -q 'SIGUSR1 received' "cnnctl.$job.log" || fail "not stopped by SIGUSR1"
  compare "$iterations"
  echo "$1: out of time, requeued, the same bytes"
}

chained() {
  local last job
  prepare "$folder/chained" "$iterations"
  last=$("$root/docs/slurm/chain.sh" 3 solver.prototxt | grep -oP '\d+$')
  for job in $((last - 2)) $((last - 1)); do
    hold "$job"
    scancel "$job"
    wait_for "[[ \$(field $job JobState) == CANCELLED ]]"
  done
  finish "$last"
  compare "$iterations"
  echo "chain.sh: three jobs, the same bytes"
}

arrayed() {
  local job rate
  prepare "$folder/arrayed" 20
  job=$(sbatch --parsable "$root/docs/slurm/array.sbatch" solver.prototxt)
  wait_for "[[ -z \$(squeue -h -j $job) ]]"
  for rate in 0.03 0.01 0.003 0.001; do
    [[ -s runs/rate_$rate/snap_iter_20.caffemodel ]] || fail "no weights for rate $rate"
    grep -q "\"lr\":$rate\b" "runs/rate_$rate/metrics.jsonl" || fail "rate $rate is not what was trained with"
  done
  echo "array.sbatch: four rates"
}

unbroken "$iterations"
preempted train.sbatch
[[ ${3:-} == all ]] || exit 0
preempted requeue.sbatch
arrayed
chained
limited train.sbatch B:USR1@30
limited requeue.sbatch USR1@30
