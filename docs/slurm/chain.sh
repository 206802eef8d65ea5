#!/bin/bash
# A chain of jobs, each of which goes on where the one before it stopped, however that ended.
#   chain.sh 5 solvers/lenet.prototxt
# For clusters that requeue nothing. A job that finds the training done ends at once, with status 0.
set -euo pipefail
folder=$(dirname "$0")
job=$(sbatch --parsable --no-requeue "$folder/train.sbatch" "$2")
for ((i = 1; i < $1; i++)); do
  # afterany: after a job that stopped with status 75, afterok would wait for ever.
  job=$(sbatch --parsable --no-requeue --dependency="afterany:$job" "$folder/train.sbatch" "$2")
done
echo "the last of $1 jobs is $job"
