#!/usr/bin/env bash
# A throw-away Slurm of one node on this machine, without systemd: for tests. Needs root, slurm-wlm and munge.
#   cluster.sh up FOLDER [SECONDS=900]   starts munged, slurmctld and slurmd; a watchdog ends them after SECONDS
#   cluster.sh down FOLDER               ends them and their jobs
#   export SLURM_CONF=FOLDER/slurm.conf  for sbatch, squeue, scontrol ...
# Partition `main` is preempted, and its jobs requeued, by jobs in `urgent`; status 75 requeues a job.
# Settings: PORT (and the one above it), KILL_WAIT, GRACE_TIME (seconds between preemption and the first signal).
set -euo pipefail

write_config() {
  local folder=$1 host cpus port=${PORT:-27817}
  host=$(hostname -s) cpus=$(nproc)
  # A requeued job waits until the credential of its last start has expired: 120 s, unless told otherwise.
  cat > "$folder/slurm.conf" <<END
ClusterName=throwaway
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=$port
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1
MpiDefault=none
KillWait=${KILL_WAIT:-30}
MinJobAge=3600
JobRequeue=1
RequeueExit=75
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MailProg=/bin/true
NodeName=node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=$cpus CoresPerSocket=$cpus RealMemory=500 State=UNKNOWN
PartitionName=main Nodes=node Default=YES MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=${GRACE_TIME:-0}
PartitionName=urgent Nodes=node MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
END
}

# Starts a daemon apart from this shell, and notes its process id.
start() {
  setsid "$@" < /dev/null >> "$folder/$(basename "$1").out" 2>&1 &
  echo $! >> "$folder/pids"
}

up() {
  local folder
  folder=$(realpath -m "$1")
  [[ ! -e $folder/pids ]] || { echo "a cluster is up in $folder" >&2; return 1; }
  mkdir -p "$folder"/{state,spool,munge}
  chmod 755 "$folder" "$folder/munge"
  head -c 128 /dev/urandom > "$folder/munge/key"
  chmod 400 "$folder/munge/key"
  write_config "$folder"
  export SLURM_CONF=$folder/slurm.conf
  start munged -F --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
    --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" --seed-file="$folder/munge/seed"
  wait_for "[[ -S $folder/munge/socket ]]" || { tail "$folder/munged.out" >&2; down "$folder"; return 1; }
  start slurmctld -D -f "$SLURM_CONF"
  start slurmd -D -f "$SLURM_CONF" -N node
  start "$(realpath "$0")" watch "$folder" "${2:-900}"
  wait_for '[[ $(sinfo -h -p main -o %T) == idle ]]' || {
    tail -n 5 "$folder/slurmctld.log" "$folder/slurmd.log" >&2
    down "$folder"
    return 1
  }
}

# Tries a condition for 30 s.
wait_for() {
  local _
  for _ in {1..150}; do
    if eval "$1" 2> /dev/null; then return; fi
    sleep 0.2
  done
  return 1
}

down() {
  local folder pid job
  folder=$(realpath -m "$1")
  [[ -e $folder/pids ]] || return 0
  export SLURM_CONF=$folder/slurm.conf
  for job in $(timeout 10 squeue -h -o %A 2> /dev/null || true); do
    timeout 10 scancel --full --signal=KILL "$job" 2> /dev/null || true
    timeout 10 scancel "$job" 2> /dev/null || true
  done
  wait_for '[[ -z $(timeout 5 squeue -h) ]]' || true
  mv "$folder/pids" "$folder/ended"
  # Last started, first ended; the watchdog, a group of its own with its sleep, among them.
  for pid in $(tac "$folder/ended"); do
    [[ $pid != $$ ]] || continue
    kill -- "-$pid" 2> /dev/null || true
    wait_for "! kill -0 $pid" || kill -9 -- "-$pid" 2> /dev/null || true
  done
}

case ${1:-} in
  up) up "${@:2}" ;;
  down) down "$2" ;;
  watch) sleep "$3" && down "$2" ;;
  *) sed -n '2,7s/^# //p' "$0" && exit 2 ;;
esac
