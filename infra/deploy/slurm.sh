#!/bin/bash
# One sweep on several nodes: sbatch infra/deploy/slurm.sh spec.yaml [more options of `lagrange sweep`]
# To go on after a kill or a time limit: LAGRANGE_COMMAND=resume sbatch infra/deploy/slurm.sh <name>
# The current folder must be shared by the nodes, and hold the virtual environment in .venv (or set VENV).
#SBATCH --job-name=lagrange
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
# With GPUs: add  #SBATCH --gpus-per-node=1  and set resources.gpu in the spec.
set -euo pipefail
: "${1:?usage: sbatch slurm.sh spec.yaml}"

source "${VENV:-.venv}/bin/activate"
export LAGRANGE_STORAGE="${LAGRANGE_STORAGE:-$PWD/mlflow_runs/members}"
export RAY_USAGE_STATS_ENABLED=0
# Without a token anybody on the network can run code in your name. Every process needs the same two variables.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$PWD/.ray-token-$SLURM_JOB_ID"
(umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH")

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname -I | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000))

srun --overlap --nodes=1 --ntasks=1 -w "$head" ray start --head --node-ip-address="$address" --port="$port" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false --block &
started=($!)
sleep 15
for node in "${nodes[@]:1}"; do
  srun --overlap --nodes=1 --ntasks=1 -w "$node" ray start --address="$address:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
  started+=($!)
done
sleep 10

lagrange "${LAGRANGE_COMMAND:-sweep}" "$@" --address "$address:$port" --plain &
driver=$!
# Two minutes before the time limit Slurm sends TERM: the sweep stops cleanly and can be resumed.
trap 'kill -TERM "$driver"' TERM
status=0
wait "$driver" || status=$?
if kill -0 "$driver" 2>/dev/null; then status=0; wait "$driver" || status=$?; fi
kill "${started[@]}" 2>/dev/null || true
rm -f "$RAY_AUTH_TOKEN_PATH"
exit "$status"
