#!/bin/bash
# One sweep on several nodes of Slurm:  sbatch infra/deploy/slurm.sh spec.yaml NAME [more options of `lagrange sweep`]
# The same command starts the sweep, and goes on with it: after a kill, a lost node, the time limit or a preemption, by hand or by requeue.
# The current folder must be shared by the nodes, and hold the virtual environment in .venv (or set VENV).
# Before: the home is mlflow_runs in this folder, and SQLite's locks fail on a network file system. So LAGRANGE_CATALOGUE_URL must name a
# PostgreSQL; LAGRANGE_OPTUNA_URL and LAGRANGE_TRACKING_URI name another database and an MLflow server. Addresses with passwords belong into
# a file that only you can read, named by LAGRANGE_ENVIRONMENT_FILE; nothing is passed on a command line. (Where only this node writes to the
# home, LAGRANGE_HOME may be a local disk that outlives the job; the node must be the same after a requeue.)
#SBATCH --job-name=lagrange
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
# With GPUs: add  #SBATCH --gpus-per-node=1  and set resources.gpu in the spec.
set -euo pipefail
if [[ $# -lt 2 ]]; then
  echo "usage: sbatch slurm.sh spec.yaml NAME [more options of lagrange sweep]" >&2
  exit 2
fi
spec=$1 name=$2
shift 2

home=${LAGRANGE_HOME:-$PWD/mlflow_runs} above=${LAGRANGE_HOME:-$PWD/mlflow_runs}
while [[ ! -e $above ]]; do above=$(dirname "$above"); done
if [[ -z ${LAGRANGE_CATALOGUE_URL:-}${LAGRANGE_ENVIRONMENT_FILE:-} ]]; then
  case $(stat --file-system --format=%T "$above") in
    nfs* | lustre | gpfs | beegfs | afs | cifs | smb* | ceph | fhgfs | panfs | v9fs)
      echo "$home is on a network file system, where SQLite's locks fail: set LAGRANGE_CATALOGUE_URL (see the head of this script)" >&2
      exit 2
      ;;
  esac
fi

# shellcheck disable=SC1091  # the user's own environment
source "${VENV:-.venv}/bin/activate"
here=$PWD
job=$SLURM_JOB_ID
export LAGRANGE_STORAGE="${LAGRANGE_STORAGE:-$here/mlflow_runs/members}"
export RAY_USAGE_STATS_ENABLED=0
# Ray writes down the latest cluster of a node in its folder, and everything later on this node would take that for its own. So this job
# has a folder of its own on each node, which is removed at the end. Its name is short, because sockets lie in it.
export RAY_TMPDIR="${LAGRANGE_RAY_TMP:-/tmp}/lr-$job"
# Without a token anybody on the network can run code in your name. Every process needs the same two variables.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$here/.ray-token-$job"
(umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH")

started=() driver=""
on_one=(--overlap --nodes=1 --ntasks=1 --ntasks-per-node=1)
on_all=(--overlap --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --nodelist="$SLURM_JOB_NODELIST")

clean_up() {
  trap - EXIT
  if ((${#started[@]})); then
    kill "${started[@]}" 2>/dev/null || true
    wait "${started[@]}" 2>/dev/null || true
  fi
  srun "${on_all[@]}" rm -rf "$RAY_TMPDIR" || true
  rm -f "$RAY_AUTH_TOKEN_PATH"
}
trap clean_up EXIT
# Two minutes before the time limit, and at a preemption, Slurm sends TERM: the sweep stops cleanly.
stopped=""
trap 'stopped=yes; if [[ -n $driver ]]; then kill -TERM "$driver" 2>/dev/null || true; fi' TERM

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
srun "${on_all[@]}" mkdir -p -m 700 "$RAY_TMPDIR"
address=$(srun "${on_one[@]}" --nodelist="$head" hostname -I | awk '{print $1}')
port=$((20000 + job % 20000))
cpus=${SLURM_CPUS_PER_TASK:-1}

srun "${on_one[@]}" --nodelist="$head" ray start --head --node-ip-address="$address" --port="$port" --num-cpus="$cpus" --include-dashboard=false \
  --disable-usage-stats --block &
started+=($!)
python "${LAGRANGE_DEPLOY:-infra/deploy}/nodes.py" "$address:$port" 1 "${LAGRANGE_WAIT_SECONDS:-300}"
for node in "${nodes[@]:1}"; do
  srun "${on_one[@]}" --nodelist="$node" ray start --address="$address:$port" --num-cpus="$cpus" --disable-usage-stats --block &
  started+=($!)
done
python "${LAGRANGE_DEPLOY:-infra/deploy}/nodes.py" "$address:$port" "${#nodes[@]}" "${LAGRANGE_WAIT_SECONDS:-300}"

status=0
if [[ -z $stopped ]]; then
  lagrange sweep "$spec" --name "$name" --resume --address "$address:$port" --plain "$@" &
  driver=$!
  wait "$driver" || status=$?
  if [[ -n $stopped ]]; then  # TERM interrupted the waiting; the driver is writing down where it is
    while kill -0 "$driver" 2>/dev/null; do wait "$driver" || true; done
    status=0
    wait "$driver" || status=$?
  fi
else
  status=130
fi
# What was interrupted (130) goes on when Slurm starts this job again. So does what a store (3) or Ray (1, 134) has ended, but not for ever:
# a sweep that failed by itself ends with 1, too, and would only fail again. A mistake in the spec (2) is not tried again.
faults=$here/.lagrange-faults-$job count=0
case $status in
  130) most=${LAGRANGE_REQUEUES:-100} count=${SLURM_RESTART_COUNT:-0} ;;
  1 | 3 | 134)
    most=${LAGRANGE_FAULTS:-3}  # in a row
    if [[ -e $faults ]]; then count=$(< "$faults"); fi
    ;;
  *) most=0 ;;
esac
rm -f "$faults"
if [[ $count -lt $most && ${LAGRANGE_REQUEUE:-yes} == yes ]]; then
  echo "$name is not complete (exit code $status): the job is put back into the queue"
  if [[ $status -ne 130 ]]; then echo $((count + 1)) > "$faults"; fi
  clean_up
  scontrol requeue "$job"
fi
exit "$status"
